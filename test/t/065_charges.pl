# What is charged and given back: a job that is taken again is charged as by a claim, as of commit; a claim that is
# rolled back gives its count back to the slice of the window that has it, of the window that has it, and lets others in.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use Test::More;

my $node = fs_node('charges');

# A claim above the quota that is rolled back is a burst no more; looked at when the others of this file are done.
$node->safe_psql('postgres', q{SELECT fairsched_set_quota('undone', 'cpu', 1, burst => 1, burst_duration => '4 s'),
  count(fairsched_enqueue('undone', lane => 'undone', resources => '{"cpu": 1}')) FROM generate_series(1, 2)});
is($node->safe_psql('postgres', q{BEGIN; SELECT count(*) FROM fairsched_claim('w', 2, lease => '1 h', lanes => '{undone}'); ROLLBACK}), '2', 'undone: a burst');
my $undone = $node->safe_psql('postgres', 'SELECT clock_timestamp()');

# A job whose lease ran out; what it held is free.
sub lapsed
{
  my ($ws, $put) = @_;

  $node->safe_psql('postgres', "SELECT fairsched_enqueue('$ws', lane => '$ws', $put)");
  my ($job, $token) = @{ (fs_rows($node, "SELECT job_id, token FROM fairsched_claim('slow', 1, lease => '300 ms', lanes => '{$ws}')"))[0] };
  ok($node->poll_query_until('postgres', "SELECT state = 'available' FROM fairsched.jobs WHERE job_id = $job"), "$ws: the lease runs out");
  return ($job, $token);
}

# ---------- taken again: charged, and not before the commit for what is of committed use ----------
sub charged
{
  my ($ws, $amount, $put, $setup, $used) = @_;

  $node->safe_psql('postgres', $setup);
  my ($job, $token) = lapsed($ws, $put);
  is($node->safe_psql('postgres', $used), '0', "$ws: nothing is held");
  my $open = fs_session($node);
  $open->ask('BEGIN');
  is($open->ask("SELECT directive FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token], '1 h')"), 'continue', "$ws: taken again");
  is($node->safe_psql('postgres', $used), $amount, "$ws: it holds what it did");
  $open->ask('ROLLBACK');
  is($node->safe_psql('postgres', $used), '0', "$ws: rolled back, nothing");
  $open->ask('BEGIN; SAVEPOINT a');
  $open->ask(qq{SELECT fairsched_checkpoint($job, $token, '{"step": 1}')});
  is($node->safe_psql('postgres', $used), $amount, "$ws: by a checkpoint as well");
  $open->ask('ROLLBACK TO a');
  is($node->safe_psql('postgres', $used), '0', "$ws: rolled back to a savepoint, nothing");
  is($open->ask("SELECT directive FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token], '1 h')"), 'continue', "$ws: and again");
  $open->ask('COMMIT');
  is($node->safe_psql('postgres', $used), $amount, "$ws: committed, it holds it");
  $open->quit;
  return ($job, $token);
}

sub usage
{
  my ($ws, $resource) = @_;

  return "SELECT used FROM fairsched.workspace_usage_current WHERE workspace = '$ws' AND resource = '$resource'";
}
my ($job, $token) = charged('cpu', '1.5', q{resources => '{"cpu": 1.5}'}, q{SELECT fairsched_set_quota('cpu', 'cpu', 1, burst => 1)}, usage('cpu', 'cpu'));
# one burst by the claim, one by the job that was taken again; those that were rolled back are none
ok($node->poll_query_until('postgres', q{SELECT sum(occurrences) = 2 FROM fairsched.quota_violations WHERE workspace = 'cpu' AND action = 'burst_allowed'}),
  'cpu: a burst that is taken again is on record');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.quota_violations WHERE workspace = 'cpu' AND action = 'burst_allowed' AND resolved_at IS NULL}), '1', 'cpu: and open');
is($node->safe_psql('postgres', "SELECT fairsched_complete($job, $token)"), 't', 'cpu: done');
($job, $token) = charged('gpu', '2', q{resources => '{"gpu": 2}'}, q{SELECT fairsched_set_quota('gpu', 'gpu', 2), fairsched_set_throttle('gpu', true, 0.5, '1 s', '{gpu}')}, usage('gpu', 'gpu'));
ok($node->poll_query_until('postgres', q{SELECT sum(occurrences) = 2 FROM fairsched.quota_violations WHERE workspace = 'gpu' AND action = 'throttle'}),
  'gpu: it crosses the threshold once more');
charged('runs', '1', q{resources => '{}'}, q{SELECT fairsched_set_quota('runs', 'concurrent_runs', 3)}, usage('runs', 'concurrent_runs'));
charged('tokens', '60', q{resources => '{"tokens": 60}'}, q{SELECT fairsched_set_quota('tokens', 'tokens', 100), fairsched_set_throttle('tokens', false)}, usage('tokens', 'tokens'));
($job, $token) = charged('budget', '6', q{resources => '{"cost": 6}', budgets => '{b}'}, q{SELECT fairsched_set_budget('b', 10, pause_at => 1)},
  q{SELECT reserved FROM fairsched.budget_status WHERE budget = 'b'});
is($node->safe_psql('postgres', "SELECT fairsched_complete($job, $token)"), 't', 'budget: done');
is($node->safe_psql('postgres', q{SELECT spent, reserved FROM fairsched.budget_status WHERE budget = 'b'}), '6|0', 'budget: spent, and no more reserved');

# ---------- a budget that is removed, and made anew, while jobs that name it wait and run ----------
$node->safe_psql('postgres', q{SELECT fairsched_set_budget('going', 10), count(fairsched_enqueue('going', lane => 'going', budgets => '{going}', resources => '{"cost": 2}'))
  FROM generate_series(1, 4)});
my $take = q{SELECT count(*) FROM fairsched_claim('w', %d, lease => '1 h', lanes => '{going}')};
is($node->safe_psql('postgres', sprintf($take, 2)), '2', 'removed: two run');
$node->safe_psql('postgres', q{DELETE FROM fairsched.budgets WHERE budget = 'going'});
is($node->safe_psql('postgres', sprintf($take, 2)), '0', 'removed: nobody is let in');
is($node->safe_psql('postgres', q{SELECT parked_reason, parked_detail FROM fairsched.queue_status WHERE workspace = 'going'}),
  'waiting_for_budget|budget "going" is not defined for this workspace', 'removed: and says why');
is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT fairsched_complete(job_id, token) AS done FROM fairsched.running_jobs WHERE workspace = 'going' ORDER BY job_id LIMIT 1) c WHERE done}),
  '1', 'removed: who runs can finish');
like(fs_error($node, q{UPDATE fairsched.budgets SET budget = 'going' WHERE budget = 'b'}), qr/a budget cannot be renamed/, 'removed: another does not take its name');
is($node->safe_psql('postgres', sprintf($take, 2)), '0', 'removed: still nobody is let in');
$node->safe_psql('postgres', q{SELECT fairsched_set_budget('going', 10)});
is($node->safe_psql('postgres', sprintf($take, 1)), '1', 'made anew: who waited goes on');
is($node->safe_psql('postgres', q{SELECT spent, reserved, running FROM fairsched.budget_status WHERE budget = 'going'}), '0|4|2', 'made anew: nothing is spent, and what runs is reserved');

# ---------- a budget that is reset while a job's spending is not committed: it is the old period's, and no more reserved ----------
$node->safe_psql('postgres', q{SELECT fairsched_set_budget('anew', 10), fairsched_enqueue('anew', lane => 'anew_b', budgets => '{anew}', resources => '{"cost": 6}')});
($job, $token) = @{ (fs_rows($node, q{SELECT job_id, token FROM fairsched_claim('w', 1, lease => '1 h', lanes => '{anew_b}')}))[0] };
my $spender = fs_session($node);
$spender->ask("BEGIN; SELECT fairsched_record_spend('anew', 2, $job)");
$node->safe_psql('postgres', q{SELECT fairsched_reset_budget('anew')});
$spender->ask('COMMIT');
$spender->quit;
my $anew = q{SELECT spent, reserved FROM fairsched.budget_status WHERE budget = 'anew'};
is($node->safe_psql('postgres', $anew), '0|4', 'anew: what was recorded before is not reserved any more');
is($node->safe_psql('postgres', "SELECT fairsched_complete($job, $token)"), 't', 'anew: done');
is($node->safe_psql('postgres', $anew), '0|0', 'anew: nothing is left reserved');

# ---------- completions of one call: a row for each budget ----------
$node->safe_psql('postgres', q{SELECT fairsched_set_budget('many', 1000), fairsched_set_budget('more', 1000, dimension => 'tokens'),
  count(fairsched_enqueue('many', lane => 'many', budgets => CASE WHEN n % 2 = 0 THEN '{many,more}' ELSE '{many}' END::text[], resources => '{"cost": 2, "tokens": 3}'))
  FROM generate_series(1, 20) n});
# they are not added up meanwhile
my $keeper = fs_session($node);
$keeper->ask('BEGIN; LOCK TABLE fairsched.budget_totals IN SHARE MODE');
$node->safe_psql('postgres', q{SELECT cardinality(fairsched_complete_many(array_agg(job_id), array_agg(token))) FROM fairsched_claim('w', 20, lease => '1 h', lanes => '{many}')});
is($node->safe_psql('postgres', q{SELECT budget, count(*), sum(s.amount) / 1e6 = CASE budget WHEN 'many' THEN 40 ELSE 30 END FROM fairsched.budget_spend s
    JOIN fairsched.budgets b USING (budget_id) WHERE budget IN ('many', 'more') GROUP BY 1 ORDER BY 1}), "many|1|t\nmore|1|t", 'one row of each budget');
is($node->safe_psql('postgres', q{SELECT budget, spent, reserved, running FROM fairsched.budget_status WHERE budget IN ('many', 'more') ORDER BY 1}), "many|40|0|0\nmore|30|0|0", 'and all is spent');
$keeper->quit;

# ---------- the first quota of a workspace, set while its usage is being recorded ----------
my $recorder = fs_session($node);
my $setter = fs_session($node);
$recorder->ask(q{BEGIN; SELECT fairsched_record_usage('first', 'tokens', 5)});
$setter->start(q{SELECT fairsched_set_quota('first', 'tokens', 100)});
ok($node->poll_query_until('postgres', "SELECT query LIKE '%set_quota%' AND (wait_event_type = 'Lock' OR state = 'idle') FROM pg_stat_activity WHERE pid = " . $setter->pid), 'first: it is looked at');
$recorder->ask('COMMIT');
$setter->finish;
is($node->safe_psql('postgres', usage('first', 'tokens')), '5', 'first: what was recorded meanwhile counts');
# ---------- the level of storage, changed by two at once ----------
$node->safe_psql('postgres', q{SELECT fairsched_set_quota('level', 'storage', 100), fairsched_record_usage('level', 'storage', 1)});
$recorder->ask(q{BEGIN; SELECT fairsched_record_usage('level', 'storage', 5)});
$setter->start(q{SELECT fairsched_record_usage('level', 'storage', 20, absolute => true)});
ok($node->poll_query_until('postgres', "SELECT query LIKE '%absolute%' AND wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = " . $setter->pid), 'level: the second waits');
$recorder->ask('COMMIT');
$setter->finish;
is($node->safe_psql('postgres', q{SELECT level, (SELECT sum(amount) FROM fairsched.workspace_usage u WHERE u.workspace = 'level') FROM fairsched.workspace_levels WHERE workspace = 'level'}), '20|20', 'level: one after the other');
is($node->safe_psql('postgres', usage('level', 'storage')), '20', 'level: in memory as well');
$_->quit foreach $recorder, $setter;

# ---------- the rate window ----------
my $width = 200_000;    # usec of a slice: 12.8 s / 64
$node->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('slice', 10, '12.8 s'), count(fairsched_enqueue('slice', lane => 'slice')) FROM generate_series(1, 3)});
my $open = fs_session($node);
$open->ask('BEGIN');
my $at = $open->ask(q{SELECT extract(epoch FROM lease_expires_at - interval '1 h') FROM fairsched_claim('w', 1, lease => '1 h', lanes => '{slice}')});
ok($node->poll_query_until('postgres', qq{SELECT extract(epoch FROM clock_timestamp()) > $at + 0.5 AND (SELECT sum(c) FROM unnest(counts) c) = 1
    FROM fairsched.rate_windows WHERE workspace = 'slice'}), 'slice: it is another one by now, and the claim is saved');
my $counted = q{SELECT value FROM fairsched_explain((SELECT max(job_id) FROM fairsched.jobs WHERE workspace = 'slice')) WHERE gate = 'rate'};
is($node->safe_psql('postgres', $counted), '1', 'slice: it counts');
$open->ask('ROLLBACK');
ok($node->poll_query_until('postgres', qq{SELECT count(*) = 1 FROM fairsched.rate_windows WHERE workspace = 'slice' AND extract(epoch FROM saved_at) > $at + 0.5
    AND width = $width AND (SELECT sum(c) FROM unnest(counts) c) = 0}), 'slice: it is given back');
is($node->safe_psql('postgres', q{SELECT 0 = ALL (counts) FROM fairsched.rate_windows WHERE workspace = 'slice'}), 't', 'slice: by the one that was charged');
is($node->safe_psql('postgres', $counted), '0', 'slice: none is counted');

# another window: what was counted in the one before is not taken from it
$node->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('anew', 3, '1 hour'), count(fairsched_enqueue('anew', lane => 'anew')) FROM generate_series(1, 9)});
$open->ask('BEGIN');
is($open->ask(q{SELECT count(*) FROM fairsched_claim('w', 2, lease => '1 h', lanes => '{anew}')}), '2', 'anew: two that are not committed');
$node->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('anew', NULL, NULL)});
$node->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('anew', 3, '1 hour')});
$open->ask('ROLLBACK');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 9, lease => '1 h', lanes => '{anew}')}), '3', 'anew: as many as the limit, not more');

# who is refused meanwhile is let in, and who waits is woken
$node->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('back', 1, '1 hour'), count(fairsched_enqueue('back', lane => 'back')) FROM generate_series(1, 3)});
$open->ask('BEGIN');
is($open->ask(q{SELECT count(*) FROM fairsched_claim('w', 1, lease => '1 h', lanes => '{back}')}), '1', 'back: one that is not committed');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 1, lease => '1 h', lanes => '{back}')}), '0', 'back: no more for an hour');
is($node->safe_psql('postgres', q{SELECT parked_reason FROM fairsched.workspace_status WHERE workspace = 'back'}), 'rate_limited', 'back: that is why');
my $waiter = fs_session($node);
$waiter->start(q{CALL fairsched_wait('1000 s', '{back}')});
ok($node->poll_query_until('postgres', "SELECT state = 'active' AND wait_event_type IS NOT NULL
    AND wait_event_type NOT IN ('Client', 'IO', 'LWLock') FROM pg_stat_activity WHERE pid = " . $waiter->pid), 'back: a worker waits');
$open->ask('ROLLBACK');
$waiter->finish;
pass('back: it is woken');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 3, lease => '1 h', lanes => '{back}')}), '1', 'back: and can have it');
# ... also one that took over the slot of the job it finished
$node->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('gift', 2, '1 hour'), count(fairsched_enqueue('gift', lane => 'gift')) FROM generate_series(1, 4)});
my ($gift, $gifts) = @{ (fs_rows($node, q{SELECT job_id, token FROM fairsched_claim('w', 1, lease => '1 h', lanes => '{gift}')}))[0] };
$open->ask('BEGIN');
is($open->ask("SELECT count(*) FROM fairsched_complete_and_claim(ARRAY[$gift], ARRAY[$gifts], 'w', 1, lease => '1 h', lanes => '{gift}')"), '1', 'gift: the next one');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 1, lease => '1 h', lanes => '{gift}')}), '0', 'gift: no more for an hour');
$open->ask('ROLLBACK');
is($node->safe_psql('postgres', q{SELECT coalesce(parked_reason, 'none') FROM fairsched.workspace_status WHERE workspace = 'gift'}), 'none', 'gift: it is let in again');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 3, lease => '1 h', lanes => '{gift}')}), '1', 'gift: and can have it');
$open->quit;
ok($node->poll_query_until('postgres', "SELECT clock_timestamp() > '$undone'::timestamptz + interval '5 s'"), 'undone: long enough ago');
is($node->safe_psql('postgres', q{SELECT allowed, burst_allowed FROM fairsched_check_quota('undone', 'cpu', 2)}), 't|t', 'undone: it did not go on');
fs_check_ok($node, 'fairsched_check finds nothing');
$node->stop;
done_testing();
