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
$db->ask(q{CREATE FUNCTION tidy() RETURNS void LANGUAGE sql AS
  $$SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs; SELECT fairsched_cancel(job_id) FROM fairsched.jobs WHERE state <> 'running'$$});
sub pick { return $_[ int rand @_ ]; }

foreach my $round (1 .. 220)
{
  my $ws = "ws$round";
  my @budgets = map { "$ws-$_" } 1 .. pick(0, 0, 1, 2);
  my $caps = pick('{}', '{}', '{}', '{x}', '{x,y}');
  my $claim = "fairsched_claim('w', 1, lease => '1 h', lanes => '{$ws}', capabilities => '{}')";
  my $budgets = '{' . join(',', @budgets) . '}';
  # what the jobs need: of two kinds, which are told apart by it
  my @needs = (pick('{}', '{"cpu": 1}', '{"cpu": 2.5, "memory": 4}', '{"gpu": 1, "tokens": 50}', '{"storage": 3}', '{"cost": 0.5, "concurrent_runs": 2}'),
    pick('{"memory": 2}', '{"cpu": 0.5}', '{"gpu": 2}', '{"tokens": 20}', '{"cost": 2, "cpu": 1.5}'));
  my $put = sub {
    my ($needs, $n) = @_;

    return "SELECT count(fairsched_enqueue('$ws', lane => '$ws', resources => '$needs', budgets => '$budgets', capabilities => '$caps')) FROM generate_series(1, $n)";
  };
  my @sql = ("SELECT fairsched_create_workspace('$ws', own_table => false, max_running => " . pick(0, 1, 3, 50, 50) . ")",
    map { "SELECT fairsched_set_budget('$_', " . pick(0.5, 2, 20) . ", warn_at => NULL, throttle_at => NULL, pause_at => " . pick('1', '0.5') . ")" }
      grep { rand() < 0.9 } @budgets);

  if ($caps ne '{}' && rand() < 0.8)
  {
    push @sql, "SELECT fairsched_register_worker('capable', '" . pick('{x}', '{x,y}', '{x,y}') . "')";
    $claim = "fairsched_claim('capable', 1, lease => '1 h', lanes => '{$ws}')";
  }
  # placed on a node: who claims is there, or nobody is
  my $placed = $caps eq '{}' && rand() < 0.15;
  if ($placed)
  {
    push @sql, "INSERT INTO fairsched.nodes (node) VALUES ('n$round'), ('m$round')",
      "SELECT fairsched_place('$ws', '{" . pick("n$round", "m$round", "m$round,n$round") . "}')",
      "SELECT fairsched_register_worker('there', node => 'n$round')";
    $claim = "fairsched_claim('there', 1, lease => '1 h', lanes => '{$ws}')";
  }
  # some run already, before anything is set
  push @sql, $put->($needs[0], pick(0, 0, 1, 2)), "SELECT count(*) FROM $claim", "SELECT count(*) FROM $claim";
  foreach my $r (qw(cpu memory gpu concurrent_runs storage tokens cost))
  {
    my %of = (cpu => [ 0, 2, 5, 7.5 ], memory => [ 1, 3, 8 ], gpu => [ 0, 1, 2 ], concurrent_runs => [ 0, 1, 2, 4 ],
      storage => [ 2, 3, 10 ], tokens => [ 0, 50, 100, 1000 ], cost => [ 0.4, 0.5, 9 ]);

    push @sql, "SELECT fairsched_set_quota('$ws', '$r', " . pick(@{ $of{$r} }) .
      ($r =~ /cpu|memory/ && rand() < 0.5 ? ', burst => 1' : '') . ")" if rand() < 0.25;
    push @sql, "SELECT fairsched_record_usage('$ws', '$r', " . pick(0.25, 1, 45, 60) . ")" if rand() < 0.15;
  }
  push @sql, "SELECT fairsched_set_throttle('$ws', " . pick('true', 'false') . ", " . pick('0.2', '0.9') . ", resources => '{tokens,cost,storage,cpu}')" if rand() < 0.4;
  push @sql, "SELECT fairsched_set_rate_limit('$ws', " . pick(1, 2) . ", '1 h'" . pick('', ", '1 h'") . ")" if rand() < 0.25;
  push @sql, "SELECT fairsched_record_usage('$ws', 'tokens', " . pick(1, 30) . ")" if rand() < 0.3;
  push @sql, "SELECT fairsched_record_spend('$budgets[0]', " . pick(0.25, 1, 30) . ")" if @budgets && rand() < 0.3 && grep { /set_budget\('$budgets[0]'/ } @sql;
  push @sql, "SELECT count(fairsched_complete(job_id, token, usage => '{\"cost\": 0.25}')) FROM fairsched.running_jobs WHERE workspace = '$ws'" if rand() < 0.3;
  push @sql, map { "SELECT fairsched_set_capacity('$_->[0]', $_->[1])" } grep { rand() < 0.2 } [ cpu => pick(1, 3, 6) ], [ memory => pick(3, 9) ], [ gpu => pick(0, 1, 2) ];
  push @sql, $put->($needs[0], 3), $put->($needs[1], pick(0, 1, 2));
  if (rand() < 0.2)
  {
    push @sql, "SELECT fairsched_enqueue('$ws', lane => '$ws', resources => '{\"cpu\": 0.125}', capabilities => '$caps', min_deliberation => 0.9)";
    push @sql, "SELECT fairsched_release_review(job_id) FROM fairsched.jobs WHERE workspace = '$ws' AND state = 'scheduled'" if rand() < 0.5;
  }
  push @sql, "SELECT count(*) FROM $claim" if rand() < 0.3;
  push @sql, "SELECT fairsched_pause_workspace('$ws')" if rand() < 0.1;
  # somebody else who waits for the same workers
  push @sql, "SELECT fairsched_register_worker('other', slots => " . pick(2, 3) . ")",
    "SELECT count(fairsched_enqueue('rival', lane => '$ws', capabilities => '$caps')) FROM generate_series(1, " . pick(1, 3) . ")" if rand() < 0.3;
  push @sql, "CALL fairsched_drain('1 ms')" if rand() < 0.05;
  $db->try($_) foreach @sql;

  # then explain and claim, one job after the other
  foreach my $step (1 .. 5)
  {
    my %job = map { split /\|/ } split /\n/, $db->ask("SELECT resources, min(job_id) FROM fairsched.jobs
      WHERE workspace = '$ws' AND state IN ('available', 'scheduled') GROUP BY resources");

    last unless %job;
    my %why = map { $_ => $db->ask("SELECT refusals($job{$_})") } keys %job;
    my ($who, $what) = split /\|/, $db->ask("SELECT c.workspace, j.resources FROM $claim c JOIN fairsched.jobs j USING (job_id)") || '|';
    my @may = grep { $why{$_} eq '' } keys %job;
    my $ours = defined $who && $who eq $ws;
    my $rival = defined $who && $who eq 'rival';

    # workers are there for as long as they call: the claim itself is such a call
    $seen{$_}++ foreach map { $_ eq '' ? 'nothing' : split /,/ } values %why;
    push @wrong, "round $round step $step: got '" . ($who || 'nothing') . ' ' . ($what || '') . "', explain said " .
      join('; ', map { "$_: '$why{$_}'" } sort keys %why) . "\n" . join("\n", @sql)
      # what is claimed was not refused; what nothing refuses is claimed, or who waits for the same workers is
      if $ours ? !grep { $_ eq $what } @may : @may && !$rival;
    last if $ours && $step > 3;
  }
  $db->ask('SELECT tidy()');
  $db->try("SELECT fairsched_unregister_worker('$_')") foreach qw(capable other there);
  $db->ask("SELECT fairsched_set_capacity('$_', NULL)") foreach qw(cpu memory gpu);
  $db->ask('SELECT fairsched_undrain()');
}
is(join("\n\n", @wrong), '', 'explain says what claim does');
foreach my $gate (qw(nothing drain pause review placement capabilities ceiling workspace_share rate quota_cpu quota_memory quota_gpu quota_concurrent_runs
  quota_storage quota_tokens quota_cost budget throttle capacity_cpu capacity_memory capacity_gpu))
{
  ok($seen{$gate}, "$gate was met " . ($seen{$gate} || 0) . ' times');
}

# A job that is not ready says so first.
my $later = $db->ask(q{SELECT job_id FROM fairsched_enqueue('later', lane => 'later', run_at => now() + interval '1 day')});
is($db->ask("SELECT gate, verdict, detail, retry_at > now() FROM fairsched_explain($later) LIMIT 1"), 'state|refuse|scheduled|t', 'a job that is not due');
$db->ask("SELECT fairsched_reschedule($later, now())");
is($db->ask("SELECT refusals($later)"), '', 'now it is');
$db->ask(q{SELECT fairsched_claim('w', lanes => '{later}')});
is($db->ask("SELECT gate, verdict, detail FROM fairsched_explain($later) LIMIT 1"), 'state|refuse|running', 'it runs');
$db->quit if $db->can('quit');
$node->stop;
done_testing();
