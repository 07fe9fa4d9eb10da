# fairsched_explain agrees with what claim does, over random states of all gates.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use Test::More;

srand(42);
my $node = fs_node('explain', conf => { 'fairsched.background_workers' => 'off' });
my $db = fs_session($node);
my @wrong;
my %seen;

$db->ask(q{CREATE FUNCTION refusals(job bigint) RETURNS text LANGUAGE sql AS
  $$SELECT coalesce(string_agg(gate, ',' ORDER BY gate), '') FROM fairsched_explain(job) WHERE verdict = 'refuse'$$});
sub pick { return $_[ int rand @_ ]; }

foreach my $round (1 .. 150)
{
  my $ws = "ws$round";
  my $needs = pick('{}', '{"cpu": 1}', '{"cpu": 2.5, "memory": 4}', '{"gpu": 1, "tokens": 50}', '{"storage": 3}', '{"cost": 0.5, "concurrent_runs": 2}');
  my @sql = ("SELECT fairsched_create_workspace('$ws', own_table => false, max_running => " . pick(0, 1, 3, 50) . ")");

  # some run already, before anything is set
  push @sql, "SELECT count(fairsched_enqueue('$ws', lane => '$ws', resources => '$needs')) FROM generate_series(1, " . pick(0, 0, 1, 2) . ")",
    "SELECT count(*) FROM fairsched_claim('w', 10, lease => '1 h', lanes => '{$ws}')";
  foreach my $r (qw(cpu memory gpu concurrent_runs storage tokens cost))
  {
    my %of = (cpu => [ 0, 2, 5, 7.5 ], memory => [ 3, 8, 100 ], gpu => [ 0, 1, 2 ], concurrent_runs => [ 0, 1, 2, 4 ],
      storage => [ 2, 3, 10 ], tokens => [ 0, 50, 100, 1000 ], cost => [ 0.4, 0.5, 9 ]);

    push @sql, "SELECT fairsched_set_quota('$ws', '$r', " . pick(@{ $of{$r} }) .
      ($r eq 'cpu' && rand() < 0.5 ? ', burst => 1' : '') . ")" if rand() < 0.35;
    push @sql, "SELECT fairsched_record_usage('$ws', '$r', " . pick(0.25, 1, 45, 60) . ")" if rand() < 0.2;
  }
  push @sql, "SELECT fairsched_set_throttle('$ws', " . pick('true', 'false') . ", " . pick('0.2', '0.9') . ", resources => '{tokens,cost,storage,cpu}')" if rand() < 0.4;
  push @sql, "SELECT fairsched_set_rate_limit('$ws', " . pick(1, 2) . ", '1 h')" if rand() < 0.3;
  push @sql, "SELECT fairsched_record_usage('$ws', 'tokens', " . pick(1, 30) . ")" if rand() < 0.3;
  push @sql, "SELECT count(fairsched_complete(job_id, token, usage => '{\"cost\": 0.25}')) FROM fairsched.running_jobs WHERE workspace = '$ws'" if rand() < 0.3;
  push @sql, "SELECT count(fairsched_enqueue('$ws', lane => '$ws', resources => '$needs')) FROM generate_series(1, 3)";
  push @sql, "SELECT count(*) FROM fairsched_claim('w', 1, lease => '1 h', lanes => '{$ws}')" if rand() < 0.3;
  push @sql, "SELECT fairsched_pause_workspace('$ws')" if rand() < 0.1;
  push @sql, "SELECT fairsched_register_worker('other', slots => " . pick(0, 2, 3) . ")" if rand() < 0.2;
  $db->ask($_) foreach @sql;

  # then explain and claim, one job after the other
  foreach my $step (1 .. 3)
  {
    my $job = $db->ask("SELECT min(job_id) FROM fairsched.jobs WHERE workspace = '$ws' AND state = 'available'");

    last unless $job;
    my $why = $db->ask("SELECT refusals($job)");
    my $got = $db->ask("SELECT count(*) FROM fairsched_claim('w', 1, lease => '1 h', lanes => '{$ws}')");

    # workers are there for as long as they call: the claim itself is such a call
    $seen{$_}++ foreach $why eq '' ? 'nothing' : split /,/, $why;
    push @wrong, "round $round step $step: refused by '$why', claimed $got\n" . join("\n", @sql) if ($why eq '') != ($got == 1);
  }
}
is(join("\n\n", @wrong), '', 'explain says what claim does');
foreach my $gate (qw(nothing ceiling pause rate throttle quota_cpu quota_gpu quota_concurrent_runs quota_tokens quota_cost quota_storage))
{
  ok($seen{$gate}, "$gate was met " . ($seen{$gate} || 0) . ' times');
}
$db->quit if $db->can('quit');
$node->stop;
done_testing();
