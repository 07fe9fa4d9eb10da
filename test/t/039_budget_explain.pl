# fairsched_explain agrees with what claim does about budgets: over random budgets, thresholds, spendings and
# jobs of all classes, the job that is handed out is one that explain lets pass, and when none is, it lets none pass.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use Test::More;

srand(7);
my $node = fs_node('explain', conf => { 'fairsched.background_workers' => 'off' });
my $db = fs_session($node);
my (@wrong, %seen);

# a worker is there from its first call on
$db->ask(q{SELECT count(*) FROM fairsched_claim('w', lanes => '{none}')});
sub pick { return $_[ int rand @_ ]; }

$db->ask(q{CREATE FUNCTION passes(l text) RETURNS text LANGUAGE sql AS
  $$SELECT coalesce(string_agg(job_id::text, ',' ORDER BY job_id) FILTER (WHERE ok), '') || '|' || count(*) || '|' || coalesce(string_agg(DISTINCT why, ';'), '')
    FROM (SELECT j.job_id, bool_and(e.verdict = 'pass') AS ok, max(regexp_replace(e.detail, '"[^"]*"', '')) FILTER (WHERE e.verdict = 'refuse') AS why
      FROM fairsched.jobs j, fairsched_explain(j.job_id) e WHERE j.lane = l AND j.state = 'available' GROUP BY 1) x$$});

foreach my $round (1 .. 60)
{
  my $lane = "l$round";
  my @budgets = map { "b${round}_$_" } 1 .. 3;
  my @sql;

  foreach my $b (@budgets)
  {
    next if rand() < 0.08;                       # not defined
    my $low = pick('0.1', '0.3', '0.5');
    my @actions = map { pick('alert', 'preempt P3', 'preempt P2,P3', 'pause all') } 1 .. 4;

    push @sql, "SELECT fairsched_set_budget('$b', " . pick(4, 8, 20) . ", workspace => " . pick('NULL', 'NULL', 'NULL', "'ws$round'", "'other'") .
      ", warn_at => $low, throttle_at => " . pick('NULL', '0.6') . ', preempt_at => ' . pick('NULL', '0.7') . ', pause_at => ' . pick('NULL', '0.9') .
      ", warn_action => '$actions[0]', throttle_action => '$actions[1]', preempt_action => '$actions[2]', pause_action => '$actions[3]')";
  }
  # some jobs run, some wait; all classes
  my $jobs = sub
  {
    my @named = grep { rand() < 0.5 } @budgets;
    my $named = join ',', @named;

    return "SELECT fairsched_enqueue('ws$round', lane => '$lane', budgets => '{$named}', resources => '{\"cost\": " . pick(0, 1, 2, 5) . "}', priority => '" .
      pick('P0', 'P1', 'P2', 'P3') . "')";
  };
  push @sql, map { $jobs->() } 1 .. 6;
  push @sql, "SELECT count(*) FROM fairsched_claim('w', " . pick(0, 1, 3) . " + 1, lease => '1 h', lanes => '{$lane}')" if rand() < 0.6;
  foreach my $b (@budgets)
  {
    push @sql, "SELECT fairsched_record_spend('$b', " . pick(1, 2, 3, 6) . ') WHERE EXISTS (SELECT FROM fairsched.budgets WHERE budget = ' . "'$b')" if rand() < 0.6;
    push @sql, "SELECT fairsched_reset_budget('$b') WHERE EXISTS (SELECT FROM fairsched.budgets WHERE budget = " . "'$b')" if rand() < 0.1;
    push @sql, "DELETE FROM fairsched.budgets WHERE budget = '$b'" if rand() < 0.05;
    push @sql, "UPDATE fairsched.budgets SET amount = amount * " . pick('0.5', '2') . " WHERE budget = '$b'" if rand() < 0.2;
  }
  push @sql, "SELECT count(fairsched_complete(job_id, token, usage => '{\"cost\": 1}')) FROM fairsched.running_jobs WHERE lane = '$lane'" if rand() < 0.4;
  push @sql, map { $jobs->() } 1 .. 3;
  $db->ask($_) foreach @sql;

  # one after the other, until nothing is handed out; and once what was spent is lifted
  foreach my $step (1 .. 14)
  {
    my ($may, $n, $why) = split /\|/, $db->ask("SELECT passes('$lane')"), 3;

    last if $n == 0;
    $seen{$_}++ foreach split /;/, $why;
    my $got = $db->ask("SELECT job_id FROM fairsched_claim('w', 1, lease => '1 h', lanes => '{$lane}')");
    push @wrong, "round $round step $step: may be '$may', was '$got'\n" . join("\n", @sql)
      if ($got eq '') != ($may eq '') || ($got ne '' && !grep { $_ == $got } split /,/, $may);
    last if $got eq '' && $step > 10;
    $db->ask("SELECT fairsched_reset_budget(budget) FROM fairsched.budgets WHERE budget LIKE 'b${round}\\_%'") if $got eq '';
  }
}
is(join("\n\n", @wrong), '', 'explain says what claim does');
note("$_: $seen{$_}") foreach sort keys %seen;
foreach my $why ('is not defined for this workspace', 'is paused', 'holds P3 back', 'holds P2 and P3 back', 'the job needs')
{
  ok((grep { /\Q$why\E/ } keys %seen), "met: $why");
}
fs_check_ok($node, 'memory equals the rows');
$db->quit;
$node->stop;
done_testing();
