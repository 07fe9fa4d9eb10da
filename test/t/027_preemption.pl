# Preemption under crashes and under load: what was asked stays asked, a preempted job is never run by
# two, its checkpoint is the last one saved with a valid token, and nothing is lost.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

# ---------- one step at a time: no scheduler, fairsched_evaluate_preemption does its work ----------

my $quiet = fs_node('quiet', conf => { 'fairsched.background_workers' => 'off',
  'fairsched.preemption_grace' => 0 });

# claimed: a new job that runs, as [job_id, token]
sub claimed
{
  my ($node, $worker) = @_;

  $node->safe_psql('postgres', q{SELECT fairsched_enqueue('acme', priority => 'P3')});
  my ($row) = fs_rows($node, "SELECT job_id, token FROM fairsched_claim('$worker', lease => '10 min')");
  return @$row;
}

foreach my $end (qw(COMMIT ROLLBACK))
{
  my ($job, $token) = claimed($quiet, 'w');
  my $revoker = fs_session($quiet);
  my $worker = fs_session($quiet);

  $quiet->safe_psql('postgres', "SELECT fairsched_checkpoint($job, $token, '7')");
  $revoker->ask("SET fairsched.preemption_grace = '1h'; SELECT fairsched_preempt($job, 'manual')");
  is($quiet->safe_psql('postgres',
    "SELECT directive FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token])"), 'preempt', 'asked');
  is($quiet->safe_psql('postgres', "SELECT fairsched_evaluate_preemption(), state
    FROM fairsched.jobs WHERE job_id = $job"), '0|running', 'within its grace nothing happens');

  # due now
  ($job, $token) = claimed($quiet, 'w');
  $quiet->safe_psql('postgres', "SELECT fairsched_checkpoint($job, $token, '8');
    BEGIN; SELECT fairsched_preempt($job, 'manual'); COMMIT");
  $revoker->ask('BEGIN');
  $revoker->ask('SELECT fairsched_evaluate_preemption()');
  $worker->start("SELECT fairsched_complete($job, $token)");
  $quiet->poll_query_until('postgres', 'SELECT wait_event_type = \'Lock\' FROM pg_stat_activity WHERE pid = '
    . $worker->pid) or die 'the completion does not wait';
  $revoker->ask($end);
  is($worker->finish, $end eq 'COMMIT' ? 'f' : 't',
    "a completion that meets a revocation: $end of the revocation decides");
  is($quiet->safe_psql('postgres', "SELECT state, checkpoint FROM fairsched.jobs WHERE job_id = $job"),
    $end eq 'COMMIT' ? 'preempted|8' : '', "and the job is as that says");
  $quiet->safe_psql('postgres', 'SELECT fairsched_evaluate_preemption()');
  is($quiet->safe_psql('postgres', "SELECT outcome FROM fairsched.preemption_history WHERE job_id = $job"),
    $end eq 'COMMIT' ? 'preempted' : 'void', 'the history too');
  fs_check_ok($quiet, "counters after $end");
  $revoker->quit;
  $worker->quit;
}

# A row that is locked is not waited for.
my ($job, $token) = claimed($quiet, 'w');
my $worker = fs_session($quiet);
$worker->ask('BEGIN');
$worker->ask("SELECT fairsched_checkpoint($job, $token, '9')");
$quiet->safe_psql('postgres', "SELECT fairsched_preempt($job, 'manual')");
$quiet->safe_psql('postgres', 'SELECT fairsched_evaluate_preemption()');
is($quiet->safe_psql('postgres', "SELECT state FROM fairsched.jobs WHERE job_id = $job"), 'running',
  'a locked row is left alone');
$worker->ask('COMMIT');
$quiet->safe_psql('postgres', 'SELECT fairsched_evaluate_preemption()');
is($quiet->safe_psql('postgres', "SELECT state, checkpoint FROM fairsched.jobs WHERE job_id = $job"), 'preempted|9',
  'and met again, with the checkpoint that was saved meanwhile');
$worker->quit;

# Without a scheduler a claim does what is due.
($job, $token) = claimed($quiet, 'w');
$quiet->safe_psql('postgres', "SELECT fairsched_preempt($job, 'manual')");
$quiet->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('other', lanes => '{none}')});
is($quiet->safe_psql('postgres', "SELECT state FROM fairsched.jobs WHERE job_id = $job"), 'preempted',
  'without a scheduler, claimers revoke');

# They do a little each, and those that are not due yet hold up nobody behind them.
$quiet->safe_psql('postgres', q{SELECT fairsched_cancel(job_id) FROM fairsched.jobs; TRUNCATE fairsched.preemption_history;
  SELECT count(fairsched_enqueue('many', priority => 'P3', resources => '{"gpu": 1}')) FROM generate_series(1, 60)});
$quiet->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 60, lease => '1 h')});
$quiet->safe_psql('postgres', q{SET fairsched.preemption_grace = '1h';
  SELECT fairsched_preempt(job_id, 'resource_constraint', 'gpu') FROM fairsched.running_jobs ORDER BY job_id LIMIT 50});
($job) = map { $_->[0] } fs_rows($quiet, q{SELECT max(job_id) FROM fairsched.running_jobs});
$quiet->safe_psql('postgres', "SELECT fairsched_preempt($job, 'manual')");
$quiet->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('other', lanes => '{none}')});
is($quiet->safe_psql('postgres', q{SELECT string_agg(job_id::text, ',') FROM fairsched.jobs WHERE state = 'preempted'}), $job,
  'the one that is due is revoked, behind fifty that are not');
$quiet->safe_psql('postgres', q{SELECT fairsched_yield(job_id, token, '1') FROM fairsched.running_jobs WHERE directive = 'preempt'});
($job) = map { $_->[0] } fs_rows($quiet, q{SELECT max(job_id) FROM fairsched.running_jobs});
$quiet->safe_psql('postgres', "SELECT fairsched_set_capacity('cpu', 10); SELECT fairsched_preempt($job, 'resource_constraint', 'cpu')");
$quiet->safe_psql('postgres', q{SELECT fairsched_yield(job_id, token, '1') FROM fairsched.running_jobs WHERE directive = 'preempt'});
$quiet->safe_psql('postgres', q{ALTER SYSTEM SET fairsched.preemption_resume_after = 0}); $quiet->reload;
$quiet->poll_query_until('postgres', q{SELECT current_setting('fairsched.preemption_resume_after') = '0'}) or die;
$quiet->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('other', lanes => '{none}')});
is($quiet->safe_psql('postgres', "SELECT state FROM fairsched.jobs WHERE job_id = $job"), 'available',
  'the one that can go on does, behind fifty that cannot');
# Eight hold a gpu each; of 20, 16 may be held below the threshold of 80 %.
$quiet->safe_psql('postgres', q{SELECT fairsched_set_capacity('gpu', 20); SELECT fairsched_evaluate_preemption()});
is($quiet->safe_psql('postgres', q{SELECT count(*) FROM fairsched.preemption_history WHERE outcome = 'resumed' AND resource = 'gpu'}), '8',
  'as many go on as stay below the threshold together');
$quiet->stop;

# ---------- crashes ----------

my $node = fs_node('main', conf => { max_connections => 60, restart_after_crash => 'on',
  'fairsched.preemption_min_runtime' => 0, 'fairsched.preemption_interval' => '50ms',
  'fairsched.preemption_resume_after' => '20ms' });

($job, $token) = claimed($node, 'w');
$node->safe_psql('postgres', "SELECT fairsched_checkpoint($job, $token, '{\"at\": 1}');
  SELECT fairsched_preempt($job, 'manual')");
$node->stop('immediate');
$node->start;
ok($node->poll_query_until('postgres',
  "SELECT directive FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token])", 'preempt'),
  'after a crash its worker is asked still, under its token');
is($node->safe_psql('postgres', "SELECT state FROM fairsched.jobs WHERE job_id = $job"), 'running',
  'and has its grace again');

# A backend dies while it gives the job back.
my $dies = fs_session($node);
$dies->ask('BEGIN');
$dies->ask("SELECT fairsched_yield($job, $token, '{\"at\": 2}')");
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
fs_kill($node, $dies->pid) or die;
$dies->gone;
ok($node->poll_query_until('postgres',
  "SELECT directive FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token])", 'preempt'),
  'killed while it gave the job back: the job runs, and is asked');
is($node->safe_psql('postgres', "SELECT state, checkpoint FROM fairsched.jobs WHERE job_id = $job"),
  'running|{"at": 1}', 'with the checkpoint of before');
is($node->safe_psql('postgres', "SELECT fairsched_yield($job, $token, '{\"at\": 3}')"), 't', 'given back');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', "SELECT state, checkpoint, attempt FROM fairsched.jobs WHERE job_id = $job"),
  'preempted|{"at": 3}|0', 'a preempted job is so after a crash');
is($node->safe_psql('postgres', "SELECT fairsched_yield($job, $token, '{}'), fairsched_complete($job, $token)"),
  'f|f', 'and its old token is stale');
$node->safe_psql('postgres', "SELECT fairsched_resume_job($job)");
is($node->safe_psql('postgres', q{SELECT checkpoint, attempt FROM fairsched_claim('w')}), '{"at": 3}|1',
  'resumed with its checkpoint');
fs_check_ok($node, 'counters after crashes');

# Backends that die while they ask, and while they revoke: nothing of it has happened.
sub killed
{
  my ($what) = @_;
  my $session = fs_session($node);

  $session->ask('BEGIN');
  $session->ask($what);
  fs_kill($node, $session->pid) or die;
  $session->gone;
  return;
}

$node->safe_psql('postgres', "SELECT fairsched_cancel($job); TRUNCATE fairsched.preemption_history");
($job, $token) = claimed($node, 'w');
$node->safe_psql('postgres', "SELECT fairsched_checkpoint($job, $token, '1')");
killed("SELECT fairsched_preempt($job, 'manual')");
is($node->safe_psql('postgres', "SELECT directive FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token])"), 'continue',
  'killed while it asked: nobody was asked');
is($node->safe_psql('postgres', 'SELECT count(*) FROM fairsched.preemption_history'), '0', 'and no request is left');
$node->safe_psql('postgres', "SELECT fairsched_preempt($job, 'manual')");
killed("SET LOCAL fairsched.preemption_grace = 0; SELECT fairsched_preempt($job, 'manual'), fairsched_cancel($job)");
is($node->safe_psql('postgres', "SELECT state, token = $token, attempt FROM fairsched.jobs WHERE job_id = $job"), 'running|t|1',
  'killed while it cancelled what was asked: it runs');
ok($node->poll_query_until('postgres',
  "SELECT directive FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token])", 'preempt'), 'and is asked still');
$node->safe_psql('postgres', q{ALTER SYSTEM SET fairsched.background_workers = off});
$node->restart;
$node->safe_psql('postgres', q{ALTER SYSTEM SET fairsched.preemption_grace = 0}); $node->reload;
$node->poll_query_until('postgres', q{SELECT current_setting('fairsched.preemption_grace') = '0'}) or die;
my $revoker = fs_session($node);
$revoker->ask('BEGIN');
$revoker->ask('SELECT fairsched_evaluate_preemption()');
is($revoker->ask("SELECT state FROM fairsched.jobs WHERE job_id = $job"), 'preempted', 'revoked, in an open transaction');
fs_kill($node, $revoker->pid) or die;
$revoker->gone;
ok($node->poll_query_until('postgres',
  "SELECT state = 'running' AND token = $token FROM fairsched.jobs WHERE job_id = $job"), 'killed: it runs under its token');
is($node->safe_psql('postgres', "SELECT fairsched_complete($job, $token)"), 't', 'and its completion comes in time');
$node->safe_psql('postgres', 'SELECT fairsched_evaluate_preemption()');
is($node->safe_psql('postgres', 'SELECT outcome FROM fairsched.preemption_history'), 'void', 'so the request is void');
is($node->safe_psql('postgres', q{SELECT coalesce(sum(running), 0) FROM fairsched.workspace_status}), '0', 'nothing is held');
fs_check_ok($node, 'counters after those crashes');
$node->safe_psql('postgres', q{ALTER SYSTEM RESET ALL});
$node->restart;

# The scheduler waits for nobody: a worker that gives back in an open transaction does not hold up a
# budget that asks its job again.
$node->safe_psql('postgres', q{SELECT fairsched_set_budget('b', 100, warn_at => NULL, throttle_at => NULL, pause_at => NULL, preempt_at => 0.5);
  SELECT fairsched_enqueue('acme', priority => 'P3', budgets => '{b}', resources => '{"cost": 1}')});
($job, $token) = @{ (fs_rows($node, q{SELECT job_id, token FROM fairsched_claim('w', lease => '10 min')}))[0] };
$node->safe_psql('postgres', "SELECT fairsched_preempt($job, 'manual')");
my $slow = fs_session($node);
$slow->ask('BEGIN');
is($slow->ask("SELECT fairsched_yield($job, $token, '1')"), 't', 'a worker gives back, and does not commit');
$node->safe_psql('postgres', q{SELECT fairsched_record_spend('b', 60)});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched.budget_events WHERE event_type = 'preempt'}),
  'the scheduler does not wait for it');
$slow->ask('COMMIT');
$slow->quit;
is($node->safe_psql('postgres', "SELECT state FROM fairsched.jobs WHERE job_id = $job"), 'preempted', 'and it gives back');
$node->safe_psql('postgres', "SELECT fairsched_cancel($job); TRUNCATE fairsched.preemption_history");

# ---------- under load ----------

# A small fleet that everything contends for, so that the policies act all the time. Workers claim,
# save, are asked, give back or go on; others ask for any job at any time with any
# grace, resume, and cancel. Every job ends once; what a claim returns as checkpoint is the last that
# was saved under a valid token.
$node->safe_psql('postgres', q{
  CREATE TABLE saved (job_id bigint PRIMARY KEY, value bigint);
  CREATE TABLE done (job_id bigint PRIMARY KEY);
  CREATE TABLE cancelled (job_id bigint PRIMARY KEY);
  CREATE TABLE wrong (what text, job_id bigint, detail text);
  CREATE SEQUENCE step;
  SELECT fairsched_create_workspace('t' || n, max_running => 4) FROM generate_series(1, 5) n;
  SELECT fairsched_set_capacity('cpu', 8);
  CREATE TABLE enqueued (job_id bigint PRIMARY KEY);
  INSERT INTO enqueued SELECT q.job_id FROM generate_series(1, 300) n,
    fairsched_enqueue('t' || 1 + n % 5, priority => 'P' || n % 4, max_attempts => 1000000,
      resources => jsonb_build_object('cpu', 1 + n % 3)) q;

  -- Says it is saved in the transaction that saves.
  CREATE FUNCTION note(job bigint, value bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO saved VALUES (job, value) ON CONFLICT (job_id) DO UPDATE SET value = excluded.value;
  $$;
  CREATE PROCEDURE work(who text) LANGUAGE plpgsql AS $$
  DECLARE
    j record;
    v bigint;
    told text;
    before bigint;
  BEGIN
    SELECT * INTO j FROM fairsched_claim('w' || who, lease => '10 min');
    IF j.job_id IS NULL THEN
      PERFORM pg_sleep(0.001);
      RETURN;
    END IF;
    SELECT value INTO before FROM saved s WHERE s.job_id = j.job_id;
    IF before IS DISTINCT FROM (j.checkpoint #>> '{}')::bigint THEN
      INSERT INTO wrong VALUES ('checkpoint', j.job_id, format('saved %s, got %s', before, j.checkpoint));
    END IF;
    COMMIT;
    FOR i IN 1..(random() * 3)::int LOOP
      v := nextval('step');
      told := fairsched_checkpoint(j.job_id, j.token, to_jsonb(v));
      IF told IN ('continue', 'preempt') THEN
        PERFORM note(j.job_id, v);
      END IF;
      IF random() < 0.1 THEN
        ROLLBACK;
      ELSE
        COMMIT;
      END IF;
      EXIT WHEN told = 'lost' OR told = 'cancel';
      IF told = 'preempt' AND random() < 0.7 THEN
        v := nextval('step');
        IF fairsched_yield(j.job_id, j.token, to_jsonb(v)) THEN
          PERFORM note(j.job_id, v);
        END IF;
        IF random() < 0.1 THEN
          ROLLBACK;
        ELSE
          COMMIT;
        END IF;
        RETURN;
      END IF;
      PERFORM pg_sleep(random() * 0.01);
      COMMIT;
    END LOOP;
    CASE WHEN random() < 0.7 THEN
      IF fairsched_complete(j.job_id, j.token) THEN
        INSERT INTO done VALUES (j.job_id);
        INSERT INTO enqueued SELECT q.job_id FROM fairsched_enqueue('t' || 1 + (random() * 4)::int,
          priority => 'P' || (random() * 3)::int, max_attempts => 1000000,
          resources => jsonb_build_object('cpu', 1 + (random() * 2)::int)) q;
      END IF;
    WHEN random() < 0.5 THEN
      PERFORM fairsched_fail(j.job_id, j.token, 'again', retry_in => '1 ms');
    ELSE
      PERFORM fairsched_release(j.job_id, j.token);
    END CASE;
  END
  $$;
  CREATE PROCEDURE disturb() LANGUAGE plpgsql AS $$
  DECLARE
    j bigint;
  BEGIN
    INSERT INTO wrong SELECT 'fleet', NULL, used::text FROM fairsched.capacity_status WHERE used > capacity;
    COMMIT;
    PERFORM set_config('fairsched.preemption_grace', (random() * 20)::int::text, true);
    SELECT job_id INTO j FROM fairsched.running_jobs ORDER BY random() LIMIT 1;
    BEGIN
      IF random() < 0.9 THEN
        PERFORM fairsched_preempt(j, 'manual');
      ELSIF fairsched_cancel(j) THEN
        INSERT INTO cancelled VALUES (j);
      END IF;
    EXCEPTION WHEN SQLSTATE 'FS005' OR SQLSTATE 'FS006' OR null_value_not_allowed THEN
      NULL;
    END;
    IF random() < 0.1 THEN
      ROLLBACK;
    END IF;
    COMMIT;
    SELECT job_id INTO j FROM fairsched.preemption_history WHERE outcome = 'preempted' ORDER BY random() LIMIT 1;
    BEGIN
      PERFORM fairsched_resume_job(j);
    EXCEPTION WHEN SQLSTATE 'FS005' OR SQLSTATE 'FS006' OR null_value_not_allowed THEN
      NULL;
    END;
  END
  $$});
my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
my ($worked, $disturbed, $counts) = (1, 1);
# in rounds, so that a slow machine comes to all kinds of preemptions as well
do
{
  my $work = fs_pgbench($node, { "CALL work(:client_id::text);\n" => 1 }, clients => 8, time => 6);
  my $disturb = fs_pgbench($node, { "CALL disturb();\n" => 1 }, clients => 3, time => 6, app => 'disturb');

  $worked &&= fs_finish($work);
  $disturbed &&= fs_finish($disturb);
  ($counts) = fs_rows($node, q{SELECT count(*) FILTER (WHERE answer = 'yielded'),
    count(*) FILTER (WHERE answer = 'revoked'), count(*) FILTER (WHERE outcome = 'void'),
    count(*) FILTER (WHERE outcome = 'discarded'),
    count(*) FILTER (WHERE threshold IS NOT NULL) FROM fairsched.preemption_history});
} while ((grep { $_ == 0 } @$counts) && time < $deadline);
ok($worked, 'workers met no error');
ok($disturbed, 'nor those who preempt, resume and cancel');
is($node->safe_psql('postgres', 'SELECT * FROM wrong LIMIT 5'), '',
  'every claim got the last checkpoint that was saved under a valid token');
note("yielded $counts->[0], revoked $counts->[1], void $counts->[2], discarded $counts->[3], by policy $counts->[4]");
ok((!grep { $_ == 0 } @$counts), 'there were preemptions of all kinds');

# Nothing was lost, nothing done twice (done has a primary key), what was held is free.
$node->safe_psql('postgres', q{INSERT INTO done SELECT job_id FROM fairsched.running_jobs
  WHERE fairsched_complete(job_id, token)});
ok($node->poll_query_until('postgres', q{SELECT NOT EXISTS
  (SELECT FROM fairsched.preemption_history WHERE outcome = 'requested')}), 'no request stays open');
$node->safe_psql('postgres', q{DO $$ DECLARE j bigint; BEGIN
  FOR j IN SELECT job_id FROM fairsched.jobs WHERE state = 'preempted' AND run_at = 'infinity' LOOP
    BEGIN
      PERFORM fairsched_resume_job(j);
    EXCEPTION WHEN SQLSTATE 'FS005' THEN NULL;  -- the scheduler did
    END;
  END LOOP; END $$});
$node->poll_query_until('postgres', q{
  WITH c AS (SELECT job_id FROM fairsched_claim('last', 100) c WHERE fairsched_complete(c.job_id, c.token)),
    d AS (INSERT INTO done SELECT job_id FROM c RETURNING 1)
  SELECT NOT EXISTS (SELECT FROM d) AND NOT EXISTS (SELECT FROM fairsched.jobs)}) or die 'jobs remain';
is($node->safe_psql('postgres', q{SELECT job_id FROM (SELECT job_id FROM done UNION ALL
    SELECT job_id FROM fairsched.job_history) e GROUP BY job_id HAVING count(*) > 1}), '', 'every job ended once');
is($node->safe_psql('postgres', q{SELECT job_id FROM enqueued EXCEPT
    (SELECT job_id FROM done UNION SELECT job_id FROM fairsched.job_history)}), '', 'and none was lost');
ok($node->poll_query_until('postgres', q{SELECT used, waiting FROM fairsched.capacity_status WHERE resource = 'cpu'}, '0|0'),
  'the fleet holds nothing, and nobody waits for it');
ok($node->poll_query_until('postgres', q{SELECT coalesce(sum(running), 0) FROM fairsched.workspace_status}, '0'),
  'no slot is held');
fs_check_ok($node, 'counters equal the rows');
$node->stop;
done_testing();
