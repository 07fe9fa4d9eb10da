-- Every wrong call: its SQLSTATE, message and hint; and it changes nothing.
\pset null '(null)'
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
SET client_min_messages = warning;

-- Runs one statement that must fail.
CREATE FUNCTION bad(statement text) RETURNS TABLE (said text) LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN QUERY SELECT 'NO ERROR: ' || statement;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN QUERY SELECT state || ' ' || message || CASE WHEN detail <> '' THEN ' / ' || detail ELSE '' END || ' / ' || coalesce(nullif(hint, ''), 'NO HINT');
END
$$;
CREATE VIEW bad_check AS
SELECT "check", workspace, in_memory, in_rows FROM fairsched_check() WHERE workspace LIKE 'bad%' AND NOT ok;

-- A job of each state
SELECT fairsched_create_workspace('bad', own_table => false);
SELECT job_id AS ready FROM fairsched_enqueue('bad', '{"n": "ready"}', lane => 'bad_never') \gset
SELECT job_id AS later FROM fairsched_enqueue('bad', '{"n": "later"}', lane => 'bad_never', run_at => now() + interval '1 day') \gset
SELECT job_id AS fixed FROM fairsched_enqueue('bad', '{"n": "fixed"}', lane => 'bad_never') \gset
SELECT fairsched_assign_priority(:fixed, 'P3', overridable => false);
SELECT job_id AS dead FROM fairsched_enqueue('bad', '{"n": "dead"}', lane => 'bad', unique_key => 'dead') \gset
SELECT fairsched_fail(job_id, token, 'x', discard => true) FROM fairsched_claim('bad', lanes => '{bad}');
SELECT job_id AS cancelled FROM fairsched_enqueue('bad', '{"n": "cancelled"}', lane => 'bad') \gset
SELECT fairsched_cancel(:cancelled);
SELECT job_id AS done FROM fairsched_enqueue('bad', '{"n": "done"}', lane => 'bad') \gset
SELECT token AS done_token FROM fairsched_claim('bad', lanes => '{bad}') \gset
SELECT fairsched_complete(:done, :done_token);
SELECT job_id AS running FROM fairsched_enqueue('bad', '{"n": "running"}', lane => 'bad') \gset
SELECT token FROM fairsched_claim('bad', lease => '1 h', lanes => '{bad}') \gset

\echo -- enqueue: null, empty, too long
SELECT bad($$SELECT fairsched_enqueue(NULL)$$);
SELECT bad($$SELECT fairsched_enqueue('')$$);
SELECT bad($$SELECT fairsched_enqueue(repeat('x', 129))$$);
SELECT bad($$SELECT fairsched_enqueue(repeat('ä', 65))$$);
SELECT bad($$SELECT fairsched_enqueue('bad', NULL)$$);
SELECT bad($$SELECT fairsched_enqueue('bad', kind => '')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', kind => repeat('k', 129))$$);
SELECT bad($$SELECT fairsched_enqueue('bad', lane => '')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', lane => repeat('l', 129))$$);
SELECT bad($$SELECT fairsched_enqueue('bad', unique_key => '')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', unique_key => repeat('u', 513))$$);
SELECT bad($$SELECT fairsched_enqueue('bad', run_id => '')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', run_id => repeat('r', 129))$$);
\echo -- enqueue: values
SELECT bad($$SELECT fairsched_enqueue('bad', priority => 'P4')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', priority => 'p1')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', priority => '')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', priority => repeat('ä', 1000))$$);
SELECT bad($$SELECT fairsched_enqueue('bad', run_at => 'infinity')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', run_at => '-infinity')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', cost => 0)$$);
SELECT bad($$SELECT fairsched_enqueue('bad', cost => -1)$$);
SELECT bad($$SELECT fairsched_enqueue('bad', cost => 10001)$$);
SELECT bad($$SELECT fairsched_enqueue('bad', cost => 2147483647)$$);
SELECT bad($$SELECT fairsched_enqueue('bad', jsonb_build_object('items', (SELECT jsonb_agg(1) FROM generate_series(1, 10001))), 'batch')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', max_attempts => 0)$$);
SELECT bad($$SELECT fairsched_enqueue('bad', max_attempts => -5)$$);
SELECT bad($$SELECT fairsched_enqueue('bad', max_attempts => 1000001)$$);
SELECT bad($$SELECT fairsched_enqueue('bad', max_runtime => '0')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', max_runtime => '-1 s')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', max_runtime => '1000 years')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', capabilities => '{a,NULL}')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', capabilities => '{""}')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', capabilities => ARRAY[repeat('c', 129)])$$);
SELECT bad($$SELECT fairsched_enqueue('bad', capabilities => ARRAY(SELECT repeat('c', 120) || i FROM generate_series(1, 40) i))$$);
SELECT bad($$SELECT fairsched_enqueue('bad', resources => '[]')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', resources => '{"cpu": "much"}')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', resources => '{"cpu": -1}')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', resources => '{"cpu": {"min": 1}}')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', resources => '{"": 1}')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', resources => jsonb_build_object(repeat('r', 129), 1))$$);
SELECT bad($$SELECT fairsched_enqueue('bad', resources => (SELECT jsonb_object_agg(i, 1) FROM generate_series(1, 101) i))$$);
SELECT bad($$SELECT fairsched_enqueue('bad', budgets => array_fill('b'::text, ARRAY[101]))$$);
SELECT bad($$SELECT fairsched_enqueue('bad', budgets => ARRAY[repeat('b', 129)])$$);
SELECT bad($$SELECT fairsched_enqueue('bad', budgets => '{NULL}')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', budgets => '{""}')$$);
SELECT bad($$SELECT fairsched_enqueue('bad', 'no json')$$);
\echo -- enqueue_many, inbox
SELECT bad($$SELECT fairsched_enqueue_many(NULL, '{"{}"}')$$);
SELECT bad($$SELECT fairsched_enqueue_many('bad', NULL)$$);
SELECT bad($$SELECT fairsched_enqueue_many('bad', '{"{}",NULL}')$$);
SELECT bad($$SELECT fairsched_enqueue_many('bad', '{"{}","{}"}', unique_keys => '{a}')$$);
SELECT bad($$SELECT fairsched_enqueue_many('bad', '{"{}"}', unique_keys => '{a,b}')$$);
SELECT bad($$SELECT fairsched_enqueue_many('bad', '{"{}","{}"}', unique_keys => '{a,""}')$$);
SELECT bad($$SELECT fairsched_enqueue_many('bad', '{"{}"}', cost => 0)$$);
SELECT bad($$INSERT INTO fairsched.inbox (payload) VALUES ('{}')$$);
SELECT bad($$INSERT INTO fairsched.inbox (workspace, cost) VALUES ('bad', 0)$$);
SELECT bad($$INSERT INTO fairsched.inbox (workspace, unique_key) VALUES ('bad', '')$$);
SELECT bad($$SELECT fairsched.inbox_insert()$$);
\echo -- claim
SELECT bad($$SELECT fairsched_claim('')$$);
SELECT bad($$SELECT fairsched_claim(repeat('w', 129))$$);
SELECT bad($$SELECT fairsched_claim('bad', NULL)$$);
SELECT bad($$SELECT fairsched_claim('bad', 0)$$);
SELECT bad($$SELECT fairsched_claim('bad', -1)$$);
SELECT bad($$SELECT fairsched_claim('bad', 10001)$$);
SELECT bad($$SELECT fairsched_claim('bad', lease => NULL)$$);
SELECT bad($$SELECT fairsched_claim('bad', lease => '0')$$);
SELECT bad($$SELECT fairsched_claim('bad', lease => '-1 s')$$);
SELECT bad($$SELECT fairsched_claim('bad', lease => '1000 years')$$);
SELECT bad($$SELECT fairsched_claim('bad', lease => '1 month -31 days')$$);
-- infinite: PostgreSQL 17 has it, earlier ones refuse the literal
SELECT left(said, 5) IN ('22023', '22007') FROM bad($$SELECT fairsched_claim('bad', lease => 'infinity')$$);
SELECT left(said, 5) IN ('22023', '22007') FROM bad($$SELECT fairsched_claim('bad', max_wait => '-infinity')$$);
SELECT bad($$SELECT fairsched_claim('bad', lanes => NULL)$$);
SELECT bad($$SELECT fairsched_claim('bad', lanes => '{}')$$);
SELECT bad($$SELECT fairsched_claim('bad', lanes => '{a,NULL}')$$);
SELECT bad($$SELECT fairsched_claim('bad', lanes => '{""}')$$);
SELECT bad($$SELECT fairsched_claim('bad', lanes => ARRAY[repeat('l', 129)])$$);
SELECT bad($$SELECT fairsched_claim('bad', lanes => array_fill('l'::text, ARRAY[1001]))$$);
SELECT bad($$SELECT fairsched_claim('bad', capabilities => '{NULL}')$$);
SELECT bad($$SELECT fairsched_claim('bad', capabilities => '{""}')$$);
SELECT bad($$SELECT fairsched_claim('bad', request_id => 'no uuid')$$);
SELECT bad($$SELECT fairsched_claim('bad', max_wait => NULL)$$);
SELECT bad($$SELECT fairsched_claim('bad', max_wait => '-1 s')$$);
\echo -- complete, fail, release, checkpoint, yield
SELECT bad($$SELECT fairsched_complete(NULL, 1)$$);
SELECT bad($$SELECT fairsched_complete(1, NULL)$$);
SELECT bad($$SELECT fairsched_complete_many(NULL, '{1}')$$);
SELECT bad($$SELECT fairsched_complete_many('{1}', NULL)$$);
SELECT bad($$SELECT fairsched_complete_many('{1,2}', '{1}')$$);
SELECT bad($$SELECT fairsched_complete_many('{}', '{1}')$$);
SELECT bad($$SELECT fairsched_complete_many('{1,NULL}', '{1,2}')$$);
SELECT bad($$SELECT fairsched_complete_many('{1,2}', '{1,NULL}')$$);
SELECT bad($$SELECT fairsched_complete_many('{{1,2},{3,4}}', '{{1,2},{3,4}}')$$);
SELECT bad($$SELECT fairsched_complete_many(array_fill(1::bigint, ARRAY[10001]), array_fill(1::bigint, ARRAY[10001]))$$);
SELECT bad($$SELECT fairsched_complete_and_claim('{1,2}', '{1}')$$);
SELECT bad($$SELECT fairsched_complete_and_claim(NULL, NULL)$$);
SELECT bad($$SELECT fairsched_complete_and_claim('{}', '{}', max_jobs => 0)$$);
SELECT bad($$SELECT fairsched_fail(NULL, 1, 'x')$$);
SELECT bad($$SELECT fairsched_fail(1, NULL, 'x')$$);
SELECT bad($$SELECT fairsched_fail(1, 1, NULL)$$);
SELECT bad($$SELECT fairsched_fail(1, 1, repeat('x', 8193))$$);
SELECT bad($$SELECT fairsched_fail(1, 1, 'x', '-1 s')$$);
SELECT bad($$SELECT fairsched_fail(1, 1, 'x', '1000 years')$$);
SELECT bad($$SELECT fairsched_fail(1, 1, 'x', discard => NULL)$$);
SELECT bad($$SELECT fairsched_fail_many('{1}', '{1,2}', 'x')$$);
SELECT bad($$SELECT fairsched_fail_many('{1}', '{1}', NULL)$$);
SELECT bad($$SELECT fairsched_release(NULL, 1)$$);
SELECT bad($$SELECT fairsched_release(1, 1, NULL)$$);
SELECT bad($$SELECT fairsched_release(1, 1, 'infinity')$$);
SELECT bad($$SELECT fairsched_checkpoint(NULL, 1, '{}')$$);
SELECT bad($$SELECT fairsched_checkpoint(1, 1, NULL)$$);
SELECT bad($$SELECT fairsched_yield(1, NULL, '{}')$$);
SELECT bad($$SELECT fairsched_yield(1, 1, NULL)$$);
\echo -- heartbeat, workers, wait
SELECT bad($$SELECT fairsched_heartbeat('{1,2}', '{1}', interval '1 s')$$);
SELECT bad($$SELECT fairsched_heartbeat(NULL::bigint[], '{1}'::bigint[])$$);
SELECT bad($$SELECT fairsched_heartbeat('{NULL}'::bigint[], '{1}'::bigint[])$$);
SELECT bad($$SELECT fairsched_heartbeat('{1}', '{1}', interval '0')$$);
SELECT bad($$SELECT fairsched_heartbeat('{1}', '{1}', NULL)$$);
SELECT bad($$SELECT fairsched_heartbeat(NULL::text)$$);
SELECT bad($$SELECT fairsched_heartbeat('')$$);
SELECT bad($$SELECT fairsched_heartbeat('bad', interval '-1 s')$$);
SELECT bad($$SELECT fairsched_register_worker(NULL)$$);
SELECT bad($$SELECT fairsched_register_worker('')$$);
SELECT bad($$SELECT fairsched_register_worker(repeat('w', 129))$$);
SELECT bad($$SELECT fairsched_register_worker('bad w', '{NULL}')$$);
SELECT bad($$SELECT fairsched_register_worker('bad w', slots => -1)$$);
SELECT bad($$SELECT fairsched_register_worker('bad w', slots => 1000001)$$);
SELECT bad($$SELECT fairsched_register_worker('bad w', node => '')$$);
SELECT bad($$SELECT fairsched_unregister_worker('bad w')$$);
SELECT bad($$SELECT fairsched_unregister_worker(NULL)$$);
SELECT bad($$CALL fairsched_wait(NULL)$$);
SELECT bad($$CALL fairsched_wait('-1 s')$$);
SELECT bad($$CALL fairsched_wait('1 s', '{}')$$);
SELECT bad($$CALL fairsched_wait('1 s', '{NULL}')$$);
SELECT bad($$CALL fairsched_wait('1 s', NULL)$$);
\echo -- cancel, retry, reschedule, assign_priority: unknown jobs and wrong states
SELECT bad($$SELECT fairsched_cancel(NULL)$$);
SELECT bad($$SELECT fairsched_cancel_many(NULL)$$);
SELECT bad($$SELECT fairsched_cancel_many('{1,NULL}')$$);
SELECT bad($$SELECT fairsched_cancel_run(NULL)$$);
SELECT bad($$SELECT fairsched_cancel_run('')$$);
SELECT bad($$SELECT fairsched_retry(NULL)$$);
SELECT bad($$SELECT fairsched_retry(1099511627775)$$);
SELECT bad($$SELECT fairsched_retry(-5)$$);
SELECT bad($$SELECT fairsched_reschedule(NULL, now())$$);
SELECT bad($$SELECT fairsched_reschedule(1099511627775, NULL)$$);
SELECT bad($$SELECT fairsched_reschedule(1099511627775, now())$$);
SELECT bad($$SELECT fairsched_reschedule(9223372036854775807, now())$$);
SELECT bad($$SELECT fairsched_reschedule(1099511627775, 'infinity')$$);
SELECT bad($$SELECT fairsched_assign_priority(NULL, 'P1')$$);
SELECT bad($$SELECT fairsched_assign_priority(1099511627775, NULL)$$);
SELECT bad($$SELECT fairsched_assign_priority(1099511627775, 'P1')$$);
SELECT bad($$SELECT fairsched_assign_priority(1099511627775, 'high')$$);
SELECT bad($$SELECT fairsched_assign_priority(1099511627775, 'P1', repeat('r', 8193))$$);
SELECT bad($$SELECT fairsched_assign_priority(1099511627775, 'P1', overridable => NULL)$$);
SELECT bad($$SELECT fairsched_job_status(NULL)$$);
-- ids vary, so they are cut out
CREATE FUNCTION bad_job(statement text, job_id bigint) RETURNS text LANGUAGE sql AS $$
	SELECT replace(b.said, 'job ' || $2, 'job <id>') FROM bad(format($1, $2)) b
$$;
SELECT bad_job('SELECT fairsched_retry(%s)', :ready);
SELECT bad_job('SELECT fairsched_retry(%s)', :running);
SELECT bad_job('SELECT fairsched_retry(%s)', :cancelled);
SELECT bad_job('SELECT fairsched_retry(%s)', :done);
SELECT bad_job('SELECT fairsched_reschedule(%s, now())', :running);
SELECT bad_job('SELECT fairsched_reschedule(%s, now())', :dead);
SELECT bad_job('SELECT fairsched_reschedule(%s, now())', :done);
SELECT bad_job('SELECT fairsched_assign_priority(%s, ''P0'')', :fixed);
SELECT bad_job('SELECT fairsched_assign_priority(%s, ''P0'')', :dead);
\echo -- nothing to do: no error
SELECT fairsched_enqueue_many('bad', '{}'), fairsched_cancel_many('{}'), fairsched_complete_many('{}', '{}'), fairsched_fail_many('{}', '{}', 'x'), fairsched_cancel_run('bad none');
SELECT count(*) FROM fairsched_heartbeat('{}'::bigint[], '{}'::bigint[]);
SELECT count(*) FROM fairsched_heartbeat('bad nobody'::text);
SELECT count(*) FROM fairsched_complete_and_claim('{}', '{}', 'bad', lanes => '{bad_empty}');
SELECT count(*) FROM fairsched_claim('bad', 10000, lanes => '{bad_empty,bad_empty,bad_nobody}');
\echo -- many: each id is answered, those nobody has too
SELECT count(*) FILTER (WHERE directive = 'lost') FROM fairsched_heartbeat(ARRAY(SELECT generate_series(-10000, -1)::bigint), ARRAY(SELECT generate_series(1, 10000)::bigint));
SELECT fairsched_cancel_many(ARRAY(SELECT generate_series(-10000, -1)::bigint));
\echo -- stale and wrong tokens: false, lost, nothing; also of jobs that nobody has
SELECT fairsched_complete(:running, :token + 1), fairsched_complete(:running, 0), fairsched_complete(:running, -1), fairsched_complete(:running, 9223372036854775807), fairsched_complete(:ready, 0), fairsched_complete(:later, 0), fairsched_complete(:done, :done_token), fairsched_complete(1099511627775, 5), fairsched_complete(-5, 5), fairsched_complete(9223372036854775807, 5);
SELECT fairsched_complete_many(ARRAY[:running, :ready, 1099511627775], ARRAY[1, 0, 5]), fairsched_fail_many(ARRAY[:running, :ready, 1099511627775], ARRAY[1, 0, 5], 'x');
SELECT fairsched_fail(:running, :token + 1, 'x'), fairsched_fail(:ready, 0, 'x'), fairsched_release(:running, :token - 1), fairsched_release(:ready, 0), fairsched_yield(:running, 1, '{}'), fairsched_yield(:ready, 0, '{}'), fairsched_checkpoint(:running, 1, '{}'), fairsched_checkpoint(:ready, 0, '{}');
SELECT directive FROM fairsched_heartbeat(ARRAY[:running, :ready, :done, -1, 9223372036854775807], ARRAY[1, 0, :done_token, -1, 1]);
SELECT fairsched_cancel(:dead), fairsched_cancel(:done), fairsched_cancel(1099511627775);
\echo -- management of what is not there, and bad settings
SELECT bad($$SELECT fairsched_alter_workspace('bad none')$$);
SELECT bad($$SELECT fairsched_drop_workspace('bad none')$$);
SELECT bad($$SELECT fairsched_isolate_workspace('bad none')$$);
SELECT bad($$SELECT fairsched_pause_workspace('bad none')$$);
SELECT bad($$SELECT fairsched_resume_workspace('bad none')$$);
SELECT bad($$SELECT fairsched_create_workspace(NULL)$$);
SELECT bad($$SELECT fairsched_create_workspace('')$$);
SELECT bad($$SELECT fairsched_create_workspace(repeat('x', 129))$$);
SELECT bad($$SELECT fairsched_create_workspace('bad')$$);
SELECT bad($$SELECT fairsched_create_workspace('bad2', 'none')$$);
SELECT bad($$SELECT fairsched_create_workspace('bad2', NULL)$$);
SELECT bad($$SELECT fairsched_create_workspace('bad2', quota_class => 'none')$$);
SELECT bad($$SELECT fairsched_create_workspace('bad2', quota_class => NULL)$$);
SELECT bad($$SELECT fairsched_create_workspace('bad2', max_running => -2)$$);
SELECT bad($$SELECT fairsched_create_workspace('bad2', max_queue_size => -2)$$);
SELECT bad($$SELECT fairsched_alter_workspace(NULL)$$);
SELECT bad($$SELECT fairsched_alter_workspace('bad', 'none')$$);
SELECT bad($$SELECT fairsched_alter_workspace('bad', quota_class => 'none')$$);
SELECT bad($$SELECT fairsched_alter_workspace('bad', max_running => -2)$$);
SELECT bad($$SELECT fairsched_alter_workspace('bad', max_queue_size => -2)$$);
SELECT bad($$SELECT fairsched_drop_workspace(NULL)$$);
SELECT bad($$SELECT fairsched_drop_workspace('bad')$$);
SELECT bad($$SELECT fairsched_drop_workspace('bad', NULL)$$);
SELECT bad($$SELECT fairsched_isolate_workspace(NULL)$$);
SELECT bad($$SELECT fairsched_pause_workspace(NULL)$$);
SELECT bad($$SELECT fairsched_resume_workspace('')$$);
SELECT bad($$CALL fairsched_drain('-1 s')$$);
SELECT bad($$CALL fairsched_drain(NULL)$$);
SELECT workspace FROM fairsched.workspaces WHERE workspace LIKE 'bad%';
\echo -- types
SELECT regexp_replace(said, ' / .*', '') FROM bad($$SELECT fairsched_enqueue(5)$$);
SELECT said FROM bad($$SELECT fairsched_complete('x', 1)$$);
SELECT said FROM bad($$SELECT fairsched_claim('bad', 99999999999)$$);
SELECT said FROM bad($$SELECT fairsched_claim('bad', lease => 'soon')$$);

\echo -- procedures inside a transaction block
BEGIN;
CALL fairsched_wait('1 s');
\echo :SQLSTATE
ROLLBACK;
BEGIN;
CALL fairsched_drain('1 s');
\echo :SQLSTATE
ROLLBACK;
SELECT bad($$CALL fairsched_wait('1 s')$$);
SELECT bad($$CALL fairsched_drain('1 s')$$);
SELECT drained FROM fairsched.database_status;

\echo -- a read-only transaction
CREATE FUNCTION bad_read_only(statement text) RETURNS TABLE (said text) LANGUAGE sql AS $$
	SELECT said FROM bad($1)
$$;
BEGIN READ ONLY;
SELECT bad_read_only($$SELECT fairsched_enqueue('bad')$$);
SELECT bad_read_only($$SELECT fairsched_enqueue_many('bad', '{"{}"}')$$);
SELECT bad_read_only($$INSERT INTO fairsched.inbox (workspace) VALUES ('bad')$$);
SELECT bad_read_only($$SELECT fairsched_claim('bad', lanes => '{bad_never}')$$);
SELECT bad_read_only(format('SELECT fairsched_complete(%s, %s)', :running, :token));
SELECT bad_read_only(format('SELECT fairsched_fail(%s, %s, ''x'')', :running, :token));
SELECT bad_read_only(format('SELECT fairsched_cancel(%s)', :ready));
SELECT bad_read_only($$SELECT fairsched_create_workspace('bad2')$$);
SELECT bad_read_only($$SELECT fairsched_pause_workspace('bad')$$);
SELECT state FROM fairsched_job_status(:running);
SELECT count(*) > 0 FROM fairsched.workspace_status;
COMMIT;

\echo -- REPEATABLE READ and SERIALIZABLE
SELECT job_id AS rr FROM fairsched_enqueue('bad', '{"n": "rr"}', lane => 'bad_rr') \gset
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT payload, token AS rr_token FROM fairsched_claim('bad', lanes => '{bad_rr}') \gset
SELECT fairsched_complete(:rr, :rr_token);
SELECT is_duplicate FROM fairsched_enqueue('bad', '{"n": "ser"}', lane => 'bad_rr', unique_key => 'ser');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT payload, fairsched_complete(job_id, token) FROM fairsched_claim('bad', lanes => '{bad_rr}');
COMMIT;
SELECT payload ->> 'n' FROM fairsched.jobs WHERE lane = 'bad_rr';
-- a change that must see every job of the workspace, also those that came after the snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT bad($$SELECT fairsched_isolate_workspace('bad')$$);
SELECT bad($$SELECT fairsched_alter_workspace('bad', own_table => true)$$);
SELECT bad($$SELECT fairsched_drop_workspace('bad', true)$$);
SELECT bad($$SELECT fairsched_create_workspace('bad2')$$);
SELECT fairsched_create_workspace('bad_rr', own_table => false);
SELECT fairsched_drop_workspace('bad_rr');
\echo :SQLSTATE
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT bad($$SELECT fairsched_drop_workspace('bad')$$);
COMMIT;

\echo -- retry where the job cannot be again
SELECT job_id AS dead2 FROM fairsched_enqueue('bad', '{"n": "dead2"}', lane => 'bad', unique_key => 'dead') \gset
SELECT replace(bad_job('SELECT fairsched_retry(%s)', :dead), :'dead2', '<id>');
SELECT fairsched_cancel(:dead2);
SELECT fairsched_retry(:dead);
SELECT fairsched_fail(job_id, token, 'x', discard => true) FROM fairsched_claim('bad', lanes => '{bad}');
SELECT fairsched_create_workspace('bad_own', own_table => true);
SELECT job_id AS lost FROM fairsched_enqueue('bad_own', lane => 'bad') \gset
SELECT fairsched_fail(job_id, token, 'x', discard => true) FROM fairsched_claim('bad', lanes => '{bad}');
SELECT fairsched_drop_workspace('bad_own');
SELECT bad_job('SELECT fairsched_retry(%s)', :lost);
SELECT fairsched_create_workspace('bad_own', own_table => true);
SELECT bad_job('SELECT fairsched_retry(%s)', :lost);
SELECT state FROM fairsched_job_status(:lost);
SELECT fairsched_drop_workspace('bad_own', true);

\echo -- none of it changed anything
SELECT payload ->> 'n', state, priority, attempt FROM fairsched.jobs WHERE workspace LIKE 'bad%' OR lane LIKE 'bad%' ORDER BY 1;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM bad_check;
SELECT fairsched_complete(:running, :token);
SELECT fairsched_drop_workspace('bad', true);
DROP VIEW bad_check;
DROP FUNCTION bad, bad_job, bad_read_only;
