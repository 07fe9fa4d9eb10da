# Budgets on a standby that is promoted: what is spent and reserved, which thresholds are crossed, who is paused, which
# classes wait, which jobs are asked to yield, what kinds use on average: all as before. An event that nobody could
# write before comes after the promotion, once.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $primary = fs_node('primary', init => [ allows_streaming => 1 ], conf => { max_connections => 30 });
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

sub claim
{
  my ($node, $lane, $n) = @_;

  return $node->safe_psql('postgres', "SELECT count(*) FROM fairsched_claim('w', $n, lease => '1 h', lanes => '{$lane}')");
}

# calm: nothing crossed. held: P3 and P2 wait. stopped: paused. two: a second budget of the jobs of calm. mine: of one
# workspace. late: its event is not written before the promotion. raised: was paused, and is not any more.
$primary->safe_psql('postgres', q{
  SELECT fairsched_set_budget('calm', 100), fairsched_set_budget('two', 1000, dimension => 'tokens'), fairsched_set_budget('mine', 50, workspace => 'ws_mine'),
    fairsched_set_budget('held', 100, throttle_action => 'preempt P2,P3'), fairsched_set_budget('stopped', 100), fairsched_set_budget('raised', 10),
    fairsched_set_budget('late', 100), fairsched_set_budget('kinds', 100), fairsched_set_budget('period', 100, reset_every => '1 month');
  SELECT fairsched_enqueue('ws_' || b, lane => b, budgets => CASE b WHEN 'calm' THEN '{calm,two}' ELSE ARRAY[b] END, resources => '{"cost": 4, "tokens": 30}', priority => p)
    FROM unnest('{calm,mine,held,stopped,raised,late,period}'::text[]) b, unnest('{P1,P2,P3}'::text[]) p, generate_series(1, 4);
  SELECT fairsched_enqueue('ws_kinds', lane => 'kinds', budgets => '{kinds}', kind => 'big') FROM generate_series(1, 6)});
is(claim($primary, $_, 3), '3', "$_: three run") foreach qw(calm mine stopped late period);
is(claim($primary, 'raised', 3), '2', 'raised: no more fit at first');
# of each class one, so that there is who is asked to yield
$primary->safe_psql('postgres', q{CREATE TABLE taken AS SELECT job_id, priority, token FROM fairsched_claim('w', 9, lease => '1 h', lanes => '{held}');
  SELECT fairsched_release(job_id, token) FROM (SELECT *, row_number() OVER (PARTITION BY priority) FROM taken) t WHERE row_number > 1});
is(claim($primary, 'kinds', 1), '1', 'kinds: one runs, of which nothing is known');
$primary->safe_psql('postgres', q{
  SELECT fairsched_complete(job_id, token, usage => '{"cost": 11}') FROM fairsched.running_jobs WHERE lane = 'kinds';
  SELECT fairsched_complete(min(job_id), (array_agg(token ORDER BY job_id))[1], usage => '{"cost": 3, "tokens": 10}') FROM fairsched.running_jobs WHERE lane = 'calm'});
is(claim($primary, 'kinds', 2), '2', 'kinds: two that are expected to use as much');
$primary->safe_psql('postgres', q{
  SELECT fairsched_record_spend('calm', 1.5, min(job_id)) FROM fairsched.running_jobs WHERE lane = 'calm';
  SELECT fairsched_record_spend('held', 82), fairsched_record_spend('stopped', 96), fairsched_record_spend('raised', 10), fairsched_record_spend('period', 60);
  SELECT fairsched_reset_budget('period'), fairsched_record_spend('period', 7)});
$primary->safe_psql('postgres', q{SELECT fairsched_set_budget('raised', 1000)});
my $settled = q{SELECT bool_and(m.crossed = coalesce(t.crossed, 0) AND (t.crossed_period IS NULL OR t.crossed_period = b.period OR m.crossed = 0))
  FROM fairsched.memory_budgets() m JOIN fairsched.budgets b USING (budget) LEFT JOIN fairsched.budget_totals t USING (budget_id)};
ok($primary->poll_query_until('postgres', $settled), 'what was crossed is written');
ok($primary->poll_query_until('postgres', q{SELECT count(*) = 2 FROM fairsched.running_jobs WHERE lane = 'held' AND directive = 'preempt'}), 'held: two are asked to yield');
ok($primary->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched.budget_averages WHERE kind = 'big' AND mean = 11000000}), 'kinds: the average is written');
# from here on no event can be written
my $holder = fs_session($primary);
$holder->ask('BEGIN; LOCK TABLE fairsched.budget_events IN SHARE MODE');
$primary->safe_psql('postgres', q{SELECT fairsched_record_spend('late', 55)});
is(claim($primary, 'stopped', 20), '0', 'stopped: nobody is let in');
# what is spent and not committed is not spent
my $open = fs_session($primary);
$open->ask('BEGIN');
$open->ask(q{SELECT fairsched_record_spend('calm', 30)});
$open->ask(q{SELECT count(*) FROM fairsched_claim('w', 1, lease => '1 h', lanes => '{mine}')});

my $state = q{SELECT budget, workspace, amount, spent, %s, remaining, percent_used, status, paused, %s, classes_held_back, next_reset_at
  FROM fairsched.budget_status ORDER BY 1};
my $committed = sprintf($state, 'reserved', 'running');
my $crossed = q{SELECT budget, spent, crossed FROM fairsched.memory_budgets() ORDER BY 1};
my $events = q{SELECT budget, event_type, threshold, total, spent, jobs_affected, classes_preempted, occurred_at, resolved_at FROM fairsched.budget_events WHERE budget <> 'late' ORDER BY event_id};
my %before = map { $_ => $primary->safe_psql('postgres', $_) } $crossed, $events;
my $with_open = $primary->safe_psql('postgres', $committed);
like($with_open, qr/^mine\|ws_mine\|50\|0\|16\|50\|0.00\|healthy\|f\|4\|/m, 'an open claim reserves');
(my $expected = $with_open) =~ s/^(mine\|ws_mine\|50\|0\|)16(\|50\|0.00\|healthy\|f\|)4/${1}12${2}3/m;
like($expected, qr/^calm\|\|100\|4.5\|6.5\|95.5\|/m, 'calm: of two that run, one has used a part');
like($expected, qr/^held\|\|100\|82\|12\|18\|82.00\|warning\|f\|3\|\{P2,P3\}\|/m, 'held: two classes wait');
like($expected, qr/^kinds\|\|100\|11\|22\|/m, 'kinds: two as the first');
like($expected, qr/^stopped\|.*\|critical\|t\|/m, 'stopped: paused');
like($expected, qr/^raised\|\|1000\|10\|8\|990\|1.00\|healthy\|f\|/m, 'raised: not any more');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
$primary->stop('immediate');
$_->gone foreach $holder, $open;
$standby->promote;

is($standby->safe_psql('postgres', $committed), $expected, 'promoted: amounts, reservations, states, classes are as before');
is($standby->safe_psql('postgres', $crossed), $before{$crossed}, 'promoted: so is what is crossed');
fs_check_ok($standby, 'promoted: memory equals the rows');
is(claim($standby, 'stopped', 20), '0', 'promoted: the paused one lets nobody in');
is($standby->safe_psql('postgres', q{SELECT parked_reason FROM fairsched.queue_status WHERE workspace = 'ws_stopped'}), 'waiting_for_budget', 'promoted: and says so');
is($standby->safe_psql('postgres', q{SELECT coalesce(string_agg(DISTINCT priority, ','), '') || count(*) FROM fairsched_claim('w', 20, lease => '1 h', lanes => '{held}')}),
  'P11', 'promoted: of classes that are held back nobody is let in, and of the others as many as fit');
# 100 less 11 spent and 22 reserved: six more of 11, but there are three
is(claim($standby, 'kinds', 20), '3', 'promoted: who is left of the kind');
is($standby->safe_psql('postgres', q{SELECT reserved FROM fairsched.budget_status WHERE budget = 'kinds'}), '55', 'promoted: each as the average');
# 95.5 left, of which 6.5 reserved: all nine
is(claim($standby, 'calm', 50), '9', 'promoted: the calm one goes on');
is(claim($standby, 'mine', 50), '9', 'promoted: what an open claim had reserved is free');
is($standby->safe_psql('postgres', q{SELECT fairsched_complete(min(job_id), (array_agg(token ORDER BY job_id))[1]) FROM fairsched.running_jobs WHERE lane = 'calm'}), 't', 'promoted: a job is done');
is($standby->safe_psql('postgres', q{SELECT spent FROM fairsched.budget_status WHERE budget = 'calm'}), '4.5', 'promoted: what it recorded before is not charged again');
ok($standby->poll_query_until('postgres', q{SELECT count(*) = 2 FROM fairsched.running_jobs WHERE lane = 'held' AND directive = 'preempt'}), 'promoted: the same are asked to yield again');
ok($standby->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched.budget_events WHERE budget = 'late'}), 'promoted: the event that was not written is');
ok($standby->poll_query_until('postgres', $settled), 'promoted: all is compared');
is($standby->safe_psql('postgres', $events), $before{$events}, 'promoted: no event was written twice, none changed');
is($standby->safe_psql('postgres', q{SELECT event_type, spent, total FROM fairsched.budget_events WHERE budget = 'late'}), 'warn|55|100', 'promoted: nor that one');
# and it goes on as a budget does
$standby->safe_psql('postgres', q{SELECT fairsched_set_budget('stopped', 1000), fairsched_reset_budget('held')});
is(claim($standby, 'stopped', 20), '9', 'promoted: raised, it lets all in');
is(claim($standby, 'held', 20), '8', 'promoted: reset, it lets all classes in');
$standby->safe_psql('postgres', q{SELECT fairsched_record_spend('mine', 30)});
ok($standby->poll_query_until('postgres', q{SELECT string_agg(budget || ' ' || event_type, ',' ORDER BY budget) = 'mine warn,stopped resume'
    FROM fairsched.budget_events WHERE (budget, event_type) IN (('stopped', 'resume'), ('mine', 'warn'))}), 'promoted: new events come');
ok($standby->poll_query_until('postgres', q{SELECT count(*) = 0 FROM fairsched.budget_events WHERE budget = 'held' AND resolved_at IS NULL}), 'promoted: old ones are resolved');
fs_check_ok($standby, 'promoted: in the end memory equals the rows');
$standby->stop;
done_testing();
