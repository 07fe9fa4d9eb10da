# Flows that wait for the fleet: however many they are, what a job gives back is looked at by the one who
# claims next, and has the right one: shares, classes and ages hold while everybody waits. All by counts.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

# Without a scheduler nothing happens but what is called here.
my $node = fs_node('main', conf => { 'fairsched.background_workers' => 'off',
  'fairsched.preemption_min_runtime' => 0, 'fairsched.preemption_resume_after' => '300ms',
  'fairsched.max_running' => 20000 });

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub looks { return sql(q{SELECT sum(looks) FROM fairsched.capacity_status}) }
sub waiting { return sql(q{SELECT sum(waiting) FROM fairsched.capacity_status}) }

# empty: nothing waits, nothing runs, no memory of it.
sub empty
{
  sql(q{SELECT fairsched_cancel_many(array_agg(job_id)) FROM fairsched.jobs});
  sql(q{TRUNCATE fairsched.preemption_history});
  $node->restart;
  return;
}

$node->safe_psql('postgres', q{
  CREATE TABLE served (at bigserial, workspace text, priority text);
  -- n times: what runs is done, and its room is had by whoever is next
  CREATE PROCEDURE turns(n int) LANGUAGE plpgsql AS $$
  BEGIN
    FOR i IN 1..n LOOP
      PERFORM fairsched_complete(job_id, token) FROM fairsched.running_jobs;
      COMMIT;
      INSERT INTO served (workspace, priority) SELECT workspace, priority FROM fairsched_claim('w', 100, lease => '1 h');
      COMMIT;
    END LOOP;
  END $$;
  CREATE PROCEDURE until_resumed() LANGUAGE plpgsql AS $$
  BEGIN
    FOR i IN 1..6000 LOOP
      PERFORM fairsched_evaluate_preemption();
      COMMIT;
      EXIT WHEN EXISTS (SELECT FROM fairsched.preemption_history WHERE outcome = 'resumed');
      PERFORM pg_sleep(0.01);
    END LOOP;
  END $$;
  -- the same in one call each
  CREATE PROCEDURE turns_in_one_call(n int) LANGUAGE plpgsql AS $$
  DECLARE
    jobs bigint[];
    tokens bigint[];
    got int;
  BEGIN
    FOR i IN 1..n LOOP
      SELECT coalesce(array_agg(job_id), '{}'), coalesce(array_agg(token), '{}') INTO jobs, tokens FROM fairsched.running_jobs;
      INSERT INTO served (workspace, priority) SELECT workspace, priority
        FROM fairsched_complete_and_claim(jobs, tokens, 'w', lease => '1 h');
      COMMIT;
    END LOOP;
  END $$});

# ---------- ten thousand that wait ----------

sql(q{SELECT fairsched_set_capacity('cpu', 4)});
sql(q{SELECT count(fairsched_enqueue('first', resources => '{"cpu": 1}')) FROM generate_series(1, 4)});
sql(q{SELECT count(*) FROM fairsched_claim('w', 4, lease => '1 h')});
sql(q{SELECT count(fairsched_enqueue('w' || n, resources => jsonb_build_object('cpu', 1 + n % 3), lane => CASE n % 2 WHEN 0 THEN 'default' ELSE 'other' END))
  FROM generate_series(1, 9900) n});
is(sql(q{SELECT count(*) FROM fairsched_claim('w', 1, lanes => '{default,other}')}), '0', 'the fleet is full');
is(waiting(), '9900', 'thousands of flows wait for it');

my $before = looks();
sql(q{SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs LIMIT 2});
is(looks() - $before, 0, 'what is given back looks at none of them');
sql(q{DO $$ BEGIN FOR i IN 1..50 LOOP PERFORM fairsched_claim('w', 1, lanes => '{none}'); END LOOP; END $$});
is(looks() - $before, 0, 'nor do claims that cannot serve them');
is(sql(q{SELECT count(*) FROM fairsched_claim('w', 1, lease => '1 h')}), '1', 'one who can has one');
cmp_ok(looks() - $before, '<=', 4, 'and looked at a few');
cmp_ok(waiting(), '>=', 9896, 'the others wait on');

# A hundred ends and claims.
sql(q{SELECT count(*) FROM fairsched_claim('w', 100, lanes => '{default,other}', lease => '1 h')});
$before = looks();
my $claimed = sql(q{
  CREATE TABLE got (n int);
  DO $$
  DECLARE
    j record;
    n int;
  BEGIN
    FOR i IN 1..100 LOOP
      SELECT job_id, token INTO j FROM fairsched.running_jobs ORDER BY claimed_at, job_id LIMIT 1;
      PERFORM fairsched_complete(j.job_id, j.token);
      COMMIT;
      INSERT INTO got SELECT count(*) FROM fairsched_claim('w', 100, lanes => '{default,other}', lease => '1 h');
      COMMIT;
    END LOOP;
  END $$;
  SELECT sum(n) FROM got});
cmp_ok($claimed, '>', 50, 'a hundred jobs end, others are claimed');
cmp_ok(looks() - $before, '<=', 100 * 6, 'with six looks for each end at most, of thousands: ' . (looks() - $before));
$before = looks();
sql(q{DO $$ BEGIN FOR i IN 1..100 LOOP PERFORM fairsched_claim('w', 1, lanes => '{default,other}'); END LOOP; END $$});
cmp_ok(looks() - $before, '<=', 2, 'claims at a full fleet look at none of them');
# Undone, the room is free again.
sql(q{SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs});
is(sql(q{BEGIN; SELECT count(*) > 1 FROM fairsched_claim('w', 4, lease => '1 h'); ROLLBACK}), 't', 'a claim of several');
is(sql(q{SELECT used FROM fairsched.capacity_status WHERE resource = 'cpu'}), '0', 'is rolled back');
is(sql(q{SELECT count(*) > 1 FROM fairsched_claim('w', 4, lease => '1 h')}), 't', 'and others have the room');
# No limit, nobody waits.
sql(q{SELECT fairsched_set_capacity('cpu', NULL)});
is(sql(q{SELECT count(*) FROM fairsched_claim('w', 10000, lanes => '{default,other}', lease => '1 h')}) + $claimed > 9000 ? 1 : 0, 1,
  'without a capacity all of them are claimed');
is(waiting(), '0', 'and nobody waits');
fs_check_ok($node, 'counters equal the rows');
empty();

# ---------- who comes first ----------

# Shares hold although everybody waits all the time: 1 to 4, in calls of both kinds.
sql(q{SELECT fairsched_set_capacity('cpu', 1); SELECT fairsched_create_workspace('one'), fairsched_create_workspace('four', tier => 'enterprise')});
foreach my $how (qw(turns turns_in_one_call))
{
  sql(q{SELECT count(fairsched_enqueue(w, resources => '{"cpu": 1}')) FROM generate_series(1, 900), unnest('{one,four}'::text[]) w});
  sql("CALL $how(600)");
  my ($one, $four) = @{ (fs_rows($node, q{SELECT count(*) FILTER (WHERE workspace = 'one'),
    count(*) FILTER (WHERE workspace = 'four') FROM served}))[0] };
  cmp_ok($one + $four, '>', 500, "$how: the fleet is used");
  cmp_ok(abs($one - $four / 4), '<=', 22, "$how: $one to $four, within the bound of 1 to 4");
  sql(q{TRUNCATE served});
  empty();
}

# Others in another lane too, though whoever ends a job has more to do in its own.
sql(q{SELECT count(fairsched_enqueue(w, lane => w, resources => '{"cpu": 1}')) FROM generate_series(1, 100), unnest('{left,right}'::text[]) w});
sql(q{SELECT count(*) FROM fairsched_claim('w', 1, lanes => '{left}', lease => '1 h')});
is(sql(q{SELECT count(*) FROM fairsched_claim('w', 1, lanes => '{right}', lease => '1 h')}), '0', 'one lane has the fleet');
my ($taken) = map { $_->[0] } fs_rows($node, q{SELECT count(c.job_id) FROM fairsched.running_jobs r,
  fairsched_complete_and_claim(ARRAY[r.job_id], ARRAY[r.token], 'w', lanes => '{left}', lease => '1 h') c});
is($taken, '1', 'the first turn is its own');
($taken) = map { $_->[0] } fs_rows($node, q{SELECT count(c.job_id) FROM fairsched.running_jobs r,
  fairsched_complete_and_claim(ARRAY[r.job_id], ARRAY[r.token], 'w', lanes => '{left}', lease => '1 h') c});
is($taken, '0', 'then who waited meanwhile is first');
is(sql(q{SELECT workspace FROM fairsched_claim('w', 1, lanes => '{right}', lease => '1 h')}), 'right', 'and has it');
empty();

# Inside a workspace the class, whatever flow waited longer; and what has aged.
sql(q{SELECT fairsched_set_capacity('cpu', 2)});
sql(q{SELECT fairsched_enqueue('hold', resources => '{"cpu": 2}')});
sql(q{SELECT count(*) FROM fairsched_claim('w', 1, lease => '1 h')});
sql(qq{SELECT fairsched_enqueue('mixed', priority => '$_->[0]', resources => '{"cpu": $_->[1]}');
  SELECT count(*) FROM fairsched_claim('w', 1)}) foreach [ 'P3', 1.5 ], [ 'P2', 1.25 ], [ 'P1', 2 ], [ 'P1', 1.75 ];
is(waiting(), '4', 'four flows of a workspace wait');
sql(q{CALL turns(4)});
is(sql(q{SELECT string_agg(priority, ',' ORDER BY at) FROM served}), 'P1,P1,P2,P3', 'they are served by class');
sql(q{TRUNCATE served});
empty();

# ---------- evaluations ----------

# Hundreds were refused and are gone; the one that is left is found behind them, and room is made for it.
sql(q{SELECT fairsched_set_capacity('cpu', 10)});
sql(q{SELECT count(fairsched_enqueue('hog', priority => 'P3', resources => '{"cpu": 1}')) FROM generate_series(1, 10)});
sql(q{SELECT count(*) FROM fairsched_claim('w', 10, lease => '1 h')});
sql(q{SELECT count(fairsched_enqueue('gone' || n, priority => 'P0', resources => '{"cpu": 1}')) FROM generate_series(1, 700) n});
sql(q{SELECT fairsched_enqueue('rush', priority => 'P1', resources => '{"cpu": 2}')});
sql(q{SELECT count(*) FROM fairsched_claim('w', 1, lease => '1 h')});
is(waiting(), '701', 'hundreds of urgent jobs wait');
sql(q{SELECT fairsched_cancel_many(array_agg(job_id)) FROM fairsched.jobs WHERE workspace LIKE 'gone%'});
is(sql(q{SELECT fairsched_evaluate_preemption()}), '2', 'cancelled ones ask nobody; one evaluation finds the last');
is(waiting(), '1', 'and forgets the others');
is(sql(q{SELECT count(*) FROM fairsched.running_jobs WHERE directive = 'preempt' AND fairsched_yield(job_id, token, '{}')}), '2', 'room is made');
is(sql(q{SELECT workspace || count(*) FROM fairsched_claim('w', 100, lease => '1 h') GROUP BY workspace}), 'rush1', 'for it');
empty();

# The classic loop, where stopped work may go on at once: an urgent job comes, room is made, it is done, and
# comes again. Each time one job makes room; what was stopped does not come back to be stopped again.
sql(q{SELECT count(fairsched_enqueue('hog', priority => 'P3', resources => '{"cpu": 1}')) FROM generate_series(1, 60)});
sql(q{SELECT count(*) FROM fairsched_claim('w', 100, lease => '1 h')});
sql(q{
  CREATE PROCEDURE rounds(n int) LANGUAGE plpgsql AS $$
  BEGIN
    FOR i IN 1..n LOOP
      PERFORM fairsched_enqueue('rush', priority => 'P1', resources => '{"cpu": 1}');
      COMMIT;
      FOR k IN 1..4 LOOP
        PERFORM fairsched_claim('w', 100, lease => '1 h');
        COMMIT;
        PERFORM fairsched_evaluate_preemption();
        COMMIT;
        PERFORM fairsched_yield(job_id, token, '{}') FROM fairsched.running_jobs WHERE directive = 'preempt';
        COMMIT;
      END LOOP;
      PERFORM fairsched_complete(job_id, token) FROM fairsched.running_jobs WHERE workspace = 'rush';
      COMMIT;
    END LOOP;
  END $$;
  CALL rounds(12)});
is(sql(q{SELECT count(*), count(DISTINCT job_id) FROM fairsched.preemption_history}), '12|12', 'twelve rounds, twelve preemptions, of twelve jobs');
is(sql(q{SELECT workspace || ' ' || count(*) FROM fairsched_claim('w', 100, lease => '1 h') GROUP BY workspace}), 'hog 1', 'the last room is had by others');
sql(q{SELECT fairsched_pause_workspace('hog');
  SELECT fairsched_complete(job_id, token) FROM (SELECT * FROM fairsched.running_jobs LIMIT 3) r;
  CALL until_resumed()});
# 7 of 10 run; at 80 % nothing more may
is(sql(q{SELECT outcome || ' ' || count(*) FROM fairsched.preemption_history GROUP BY outcome ORDER BY 1}), "preempted 11\nresumed 1",
  'when the use has fallen as much goes on as stays below the threshold');
is(sql(q{SELECT count(*) FROM fairsched.job_history WHERE state = 'discarded'}), '0', 'none was stopped too often');
empty();
sql(q{SELECT fairsched_resume_workspace('hog')});

# Whoever is held up by something else does not wait for the fleet.
sql(q{SELECT count(fairsched_enqueue('hog', priority => 'P3', resources => '{"cpu": 1}')) FROM generate_series(1, 10)});
sql(q{SELECT count(*) FROM fairsched_claim('w', 10, lease => '1 h')});
sql(q{SELECT fairsched_enqueue('rush', priority => 'P1', resources => '{"cpu": 1}')});
sql(q{SELECT count(*) FROM fairsched_claim('w', 1)});
sql(q{SELECT fairsched_pause_workspace('rush')});
is(sql(q{SELECT fairsched_evaluate_preemption()}), '0', 'nobody makes room for a workspace that is paused');
sql(q{SELECT fairsched_resume_workspace('rush'); SELECT count(*) FROM fairsched_claim('w', 1)});
my $drain = fs_session($node);
$drain->ask(q{CALL fairsched_drain('1 ms')});
is(sql(q{SELECT fairsched_evaluate_preemption()}), '0', 'nor while claims are stopped');
sql(q{SELECT fairsched_undrain()});
is(sql(q{SELECT fairsched_evaluate_preemption()}), '1', 'afterwards one does');
$drain->quit;

# What can never fit holds nobody up.
is(sql(q{SELECT count(*) FROM fairsched.running_jobs WHERE directive = 'preempt' AND fairsched_yield(job_id, token, '{}')}), '1', 'given back');
is(sql(q{SELECT count(*) FROM fairsched_claim('w', 1, lease => '1 h')}), '1', 'taken');
sql(q{SELECT fairsched_enqueue('huge', priority => 'P0', resources => '{"cpu": 11}'); SELECT count(*) FROM fairsched_claim('w', 1)});
sql(q{SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs});
sql(q{CALL until_resumed()});
is(sql(q{SELECT state FROM fairsched.jobs WHERE workspace = 'hog'}), 'available', 'work that was stopped goes on although it waits');
empty();

# A claim that used room made for it and is rolled back has it still.
sql(q{SELECT count(fairsched_enqueue('hog', priority => 'P3', resources => '{"cpu": 1}')) FROM generate_series(1, 20)});
sql(q{SELECT count(*) FROM fairsched_claim('w', 10, lease => '1 h')});
sql(q{SELECT fairsched_enqueue('rush', priority => 'P1', resources => '{"cpu": 1}'); SELECT count(*) FROM fairsched_claim('w', 1)});
is(sql(q{SELECT fairsched_evaluate_preemption()}), '1', 'asked');
is(sql(q{SELECT count(*) FROM fairsched.running_jobs WHERE directive = 'preempt' AND fairsched_yield(job_id, token, '{}')}), '1', 'given back');
is(sql(q{BEGIN; SELECT workspace FROM fairsched_claim('w', 1); ROLLBACK}), 'rush', 'claimed and rolled back');
sql(q{SELECT fairsched_pause_workspace('rush')});
is(sql(q{SELECT count(*) FROM fairsched_claim('w', 1)}), '0', 'the room is kept');
sql(q{SELECT fairsched_resume_workspace('rush')});
is(sql(q{SELECT workspace FROM fairsched_claim('w', 1)}), 'rush', 'for it');

# Room that is kept for a workspace that is dropped is not.
sql(q{SELECT fairsched_enqueue('short', priority => 'P1', resources => '{"cpu": 1}'); SELECT count(*) FROM fairsched_claim('w', 1)});
is(sql(q{SELECT fairsched_evaluate_preemption()}), '1', 'asked again');
is(sql(q{SELECT kept FROM fairsched.capacity_status WHERE resource = 'cpu'}), '1', 'for one that waits');
sql(q{SELECT fairsched_drop_workspace('short', force => true)});
is(sql(q{SELECT kept FROM fairsched.capacity_status WHERE resource = 'cpu'}), '0', 'nothing is kept for one that is gone');
empty();

# Who waits for work sleeps while the fleet is full, and wakes when something is given back.
sql(q{SELECT count(fairsched_enqueue('w', resources => '{"cpu": 5}')) FROM generate_series(1, 3)});
sql(q{SELECT count(*) FROM fairsched_claim('w', 3, lease => '1 h')});
my $sleeper = fs_session($node);
$sleeper->start(q{CALL fairsched_wait('10 min')});
my $seen = 'SELECT %s FROM pg_stat_activity WHERE pid = ' . $sleeper->pid;
ok($node->poll_query_until('postgres', sprintf($seen, q{wait_event_type = 'Extension'})), 'a worker sleeps');
sql(q{SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs LIMIT 1});
ok($node->poll_query_until('postgres', sprintf($seen, q{state = 'idle'})), 'and is woken by what ends');
$sleeper->finish;
is($sleeper->ask(q{SELECT count(*) FROM fairsched_claim('w', 3, lease => '1 h')}), '1', 'to have it');
$sleeper->quit;
fs_check_ok($node, 'counters equal the rows, in the end');
$node->stop;

# A job of P0 in a flow that waits with jobs of P3 makes it urgent: policies act at once.
my $busy = fs_node('busy', conf => { 'fairsched.preemption_min_runtime' => 0, 'fairsched.preemption_interval' => '1h' });
$busy->safe_psql('postgres', q{SELECT fairsched_set_capacity('cpu', 4);
  SELECT count(fairsched_enqueue('hog', priority => 'P3', resources => '{"cpu": 1}')) FROM generate_series(1, 4)});
is($busy->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 4, lease => '1 h')}), '4', 'a full fleet');
$busy->safe_psql('postgres', q{SELECT fairsched_enqueue('rush', priority => 'P3', resources => '{"cpu": 1}');
  SELECT count(*) FROM fairsched_claim('w', 1)});
is($busy->safe_psql('postgres', q{SELECT waiting FROM fairsched.capacity_status WHERE resource = 'cpu'}), '1', 'one of P3 waits');
$busy->safe_psql('postgres', q{SELECT fairsched_enqueue('rush', priority => 'P0', resources => '{"cpu": 1}')});
ok($busy->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched.running_jobs WHERE directive = 'preempt'}),
  'with one of P0 behind it room is made at once');
$busy->stop;
done_testing();
