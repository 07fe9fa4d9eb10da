-- Producers: what goes in, where it stands, and how it is changed while it waits.
-- Everything is in lanes and workspaces of its own; jobs are named by their payload.
\pset null '(null)'
SET client_min_messages = warning;

-- Depths are exact once they have been counted, which happens in the background.
DO $$
BEGIN
	PERFORM fairsched_claim(lanes => '{prod}');
	FOR i IN 1..6000 LOOP
		EXIT WHEN (SELECT counted FROM fairsched.database_status);
		PERFORM pg_sleep(0.1);
	END LOOP;
END
$$;
CREATE VIEW prod_jobs AS
SELECT workspace, payload ->> 'n' AS n, lane, kind, state, priority, cost, attempt, max_attempts, unique_key, run_id
FROM fairsched.jobs WHERE workspace LIKE 'prod\_%';
CREATE VIEW prod_check AS
SELECT "check", workspace, in_memory, in_rows FROM fairsched_check() WHERE workspace LIKE 'prod\_%' AND NOT ok;
CREATE FUNCTION prod_claim(max_jobs int DEFAULT 1, lanes text[] DEFAULT '{prod}', capabilities text[] DEFAULT NULL)
RETURNS TABLE (workspace text, n text, kind text, priority text, attempt int) LANGUAGE sql AS $$
	SELECT c.workspace, c.payload ->> 'n', c.kind, c.priority, c.attempt
	FROM fairsched_claim('prod', max_jobs, lanes => lanes, capabilities => capabilities) c
$$;
CREATE FUNCTION prod_id(n text) RETURNS bigint LANGUAGE sql AS $$
	SELECT job_id FROM fairsched.jobs WHERE workspace LIKE 'prod\_%' AND payload ->> 'n' = n
$$;

-- Defaults
SELECT job_id > 0 AND job_id < 2::numeric ^ 53 AS id, is_duplicate, queue_position, estimated_wait
FROM fairsched_enqueue('prod_a');
SELECT workspace, lane, kind, state, priority, cost, attempt, max_attempts, payload, unique_key, run_id,
	capabilities, resources, budgets, max_runtime, checkpoint, errors, run_at <= now() AS due, job_table
FROM fairsched.jobs WHERE workspace = 'prod_a';
SELECT fairsched_cancel(job_id) FROM fairsched.jobs WHERE workspace = 'prod_a';

-- Every option
SELECT fairsched_set_budget('team', 100);
SELECT is_duplicate, queue_position FROM fairsched_enqueue('prod_a', '{"n": "all"}', 'sign', 'P1', now() - interval '1 day', 'prod', 7, 'key',
	3, '{gpu,big,gpu}', '{"cpu": 0.5, "memory": 2}', '{team}', 'run 1', '5 min');
SELECT workspace, lane, kind, state, priority, cost, max_attempts, unique_key, run_id, capabilities, resources, budgets,
	max_runtime, run_at > now() - interval '1 hour' AS ready_since_now
FROM fairsched.jobs WHERE workspace = 'prod_a';
SELECT * FROM prod_claim(10, capabilities => '{big}');
SELECT * FROM prod_claim(10, capabilities => '{gpu,small,big}');
SELECT fairsched_cancel(prod_id('all'));

-- Anything jsonb can be is a payload
SELECT count(fairsched_enqueue('prod_a', p, lane => 'prod'))
FROM unnest('{"\"text\"", "1.50", "null", "[]", "{\"a\": [1, {\"b\": null}]}", "true"}'::jsonb[]) p;
SELECT c.payload FROM fairsched_claim('prod', 10, lanes => '{prod}') c;
SELECT fairsched_cancel_many(array_agg(job_id)) = array_agg(job_id) AS all_of_them FROM fairsched.jobs WHERE workspace = 'prod_a';
SELECT is_duplicate FROM fairsched_enqueue('prod_a', jsonb_build_object('big', repeat('x', 1000000)), lane => 'prod');
SELECT length(c.payload ->> 'big'), fairsched_complete(c.job_id, c.token) FROM fairsched_claim('prod', lanes => '{prod}') c;

-- Names may be any text, up to 128 bytes
SELECT fairsched_cancel((fairsched_enqueue(w, lane => w, kind => w)).job_id)
FROM unnest(ARRAY['prod_ä "quoted'' \name', 'prod_' || repeat('x', 123)]) w;

-- Cost: given, by kind, by the size of the payload, or 1
SELECT count(*) FROM (VALUES
	('n1', 'default', '{}'::jsonb, NULL::int), ('n2', 'verify', '{}', NULL), ('n3', 'sign', '{}', NULL),
	('n4', 'sign', '{}', 5), ('n5', 'batch', '{"items": [1, 2, 3]}', NULL), ('n6', 'batch', '{"items": []}', NULL),
	('n7', 'batch', '{}', NULL), ('n8', 'batch', '{"items": 5}', NULL), ('n9', 'other', '{"items": [1, 2]}', NULL),
	('n10', 'batch', '{"items": [1, 2, 3]}', 10000)) v(n, kind, payload, cost),
	LATERAL fairsched_enqueue('prod_cost', v.payload || jsonb_build_object('n', v.n), v.kind, cost => v.cost, lane => 'prod_cost');
SELECT n, kind, cost FROM prod_jobs WHERE workspace = 'prod_cost' ORDER BY length(n), n;
-- the table of kinds is the operator's
BEGIN;
INSERT INTO fairsched.job_kinds VALUES ('prod slow', 9, NULL), ('prod files', NULL, 'files');
SELECT FROM fairsched_enqueue('prod_cost', '{"n": "slow"}', 'prod slow', lane => 'prod_cost');
SELECT FROM fairsched_enqueue('prod_cost', '{"n": "files", "files": [1, 2, 3, 4]}', 'prod files', lane => 'prod_cost');
ROLLBACK;
INSERT INTO fairsched.job_kinds VALUES ('prod slow', 9, NULL), ('prod files', NULL, 'files');
SELECT FROM fairsched_enqueue('prod_cost', '{"n": "slow"}', 'prod slow', lane => 'prod_cost');
SELECT FROM fairsched_enqueue('prod_cost', '{"n": "files", "files": [1, 2, 3, 4]}', 'prod files', lane => 'prod_cost');
UPDATE fairsched.job_kinds SET cost = 11 WHERE kind = 'prod slow';
SELECT FROM fairsched_enqueue('prod_cost', '{"n": "slower"}', 'prod slow', lane => 'prod_cost');
DELETE FROM fairsched.job_kinds WHERE kind LIKE 'prod %';
SELECT FROM fairsched_enqueue('prod_cost', '{"n": "unlisted"}', 'prod slow', lane => 'prod_cost');
SELECT n, kind, cost FROM prod_jobs WHERE workspace = 'prod_cost' AND kind LIKE 'prod %' ORDER BY n;
SELECT fairsched_drop_workspace('prod_cost', force => true);

-- Many at once
SELECT fairsched_enqueue_many('prod_many', '{}');
SELECT fairsched_enqueue_many('prod_many', ARRAY['{"n": 1}', '{"n": 2}', '{"n": 3}']::jsonb[], 'sign', 'P3', lane => 'prod',
	max_attempts => 2, capabilities => '{}', run_id => 'run 2', max_runtime => '1 h') AS ids \gset
SELECT :'ids'::bigint[] = array_agg(job_id ORDER BY (payload -> 'n')::int) AS in_order FROM fairsched.jobs WHERE workspace = 'prod_many';
SELECT * FROM prod_jobs WHERE workspace = 'prod_many' ORDER BY n;
SELECT array_length(fairsched_enqueue_many('prod_many', array_fill('{"n": "bulk", "items": [1, 2]}'::jsonb, ARRAY[5000]), 'batch', 'P3', lane => 'prod'), 1);
SELECT count(*), count(DISTINCT job_id) AS ids, count(DISTINCT position) AS positions, min(cost), max(cost) FROM fairsched.jobs WHERE workspace = 'prod_many';
SELECT queue_position FROM fairsched_enqueue('prod_many', '{"n": "last"}', priority => 'P3', lane => 'prod');
SELECT queue_position FROM fairsched_enqueue('prod_many', '{"n": "first"}', lane => 'prod');
SELECT * FROM prod_claim(4) WHERE workspace = 'prod_many';
SELECT fairsched_drop_workspace('prod_many', force => true);

-- what this transaction put in before counts, what it rolled back does not, and lower classes never do
BEGIN;
SELECT queue_position FROM fairsched_enqueue('prod_many', lane => 'prod');
SAVEPOINT a;
SELECT queue_position FROM fairsched_enqueue('prod_many', lane => 'prod');
SELECT queue_position FROM fairsched_enqueue('prod_many', priority => 'P1', lane => 'prod');
ROLLBACK TO a;
SELECT queue_position FROM fairsched_enqueue('prod_many', lane => 'prod');
COMMIT;
SELECT queue_position FROM fairsched_enqueue('prod_many', lane => 'prod');
SELECT fairsched_drop_workspace('prod_many', force => true);

-- the estimated wait: unknown before anything was claimed, then by the measured rate, which falls while nothing is
SELECT queue_position, estimated_wait FROM fairsched_enqueue('prod_e', lane => 'prod_e');
SELECT queue_position, estimated_wait FROM fairsched_enqueue('prod_e', lane => 'prod_e');
SELECT cardinality(fairsched_enqueue_many('prod_e', array_fill('{}'::jsonb, ARRAY[58]), lane => 'prod_e'));
SELECT count(*) FROM prod_claim(20, '{prod_e}');
CREATE TABLE prod_e AS SELECT queue_position AS ahead, extract(epoch FROM estimated_wait) AS wait FROM fairsched_enqueue('prod_e', lane => 'prod_e');
SELECT cardinality(fairsched_enqueue_many('prod_e', array_fill('{}'::jsonb, ARRAY[39]), lane => 'prod_e'));
INSERT INTO prod_e SELECT queue_position, extract(epoch FROM estimated_wait) FROM fairsched_enqueue('prod_e', lane => 'prod_e');
SELECT a.ahead, b.ahead, a.wait > 0 AS known, b.wait > 1.9 * a.wait AS longer FROM prod_e a, prod_e b WHERE a.ahead < b.ahead;
DROP TABLE prod_e;
SELECT fairsched_drop_workspace('prod_e', force => true);

-- Unique keys: at most one live job of the workspace has it
SELECT is_duplicate FROM fairsched_enqueue('prod_u', '{"n": "u1"}', unique_key => 'k1', lane => 'prod');
SELECT d.is_duplicate, d.job_id = prod_id('u1') AS same, d.queue_position, d.estimated_wait
FROM fairsched_enqueue('prod_u', '{"n": "ignored"}', unique_key => 'k1', lane => 'prod_elsewhere', priority => 'P0') d;
SELECT is_duplicate FROM fairsched_enqueue('prod_u2', '{"n": "other workspace"}', unique_key => 'k1', lane => 'prod');
SELECT ids[1] = prod_id('u1') AS taken, ids[2] = prod_id('u2') AS new, ids[3] = prod_id('u3') AS keyless, ids[4] = prod_id('u2') AS twice_in_one_call, ids[5] = prod_id('u5') AS new2, array_length(ids, 1)
FROM (SELECT fairsched_enqueue_many('prod_u', ARRAY['{"n": "x"}', '{"n": "u2"}', '{"n": "u3"}', '{"n": "x"}', '{"n": "u5"}']::jsonb[],
	unique_keys => '{k1,k2,NULL,k2,k3}', lane => 'prod') AS ids OFFSET 0) e;
SELECT * FROM prod_jobs WHERE workspace LIKE 'prod\_u%' ORDER BY workspace, n;
-- also while it runs, waits for a retry or for its time
SELECT n FROM prod_claim() WHERE workspace = 'prod_u';
SELECT is_duplicate FROM fairsched_enqueue('prod_u', unique_key => 'k1', lane => 'prod');
SELECT fairsched_fail(job_id, token, 'again', '1 h') FROM fairsched.jobs WHERE job_id = prod_id('u1');
SELECT is_duplicate FROM fairsched_enqueue('prod_u', unique_key => 'k1', lane => 'prod');
-- and is free when it is over
SELECT fairsched_cancel(prod_id('u1')), fairsched_cancel(prod_id('u2'));
SELECT is_duplicate FROM fairsched_enqueue('prod_u', '{"n": "u1 again"}', unique_key => 'k1', run_at => now() + interval '1 day', lane => 'prod');
SELECT is_duplicate FROM fairsched_enqueue('prod_u', unique_key => 'k1', lane => 'prod');
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM prod_check;
SELECT fairsched_drop_workspace('prod_u', true), fairsched_drop_workspace('prod_u2', true);

-- The inbox: INSERT, RETURNING, COPY, many workspaces at once
INSERT INTO fairsched.inbox (workspace) VALUES ('prod_i1');
INSERT INTO fairsched.inbox (workspace, payload, kind, priority, run_at, lane, cost, unique_key, max_attempts, capabilities, resources, budgets, run_id, max_runtime)
VALUES ('prod_i1', '{"n": "all"}', 'sign', 'P0', NULL, 'prod', 3, 'k', 2, '{gpu}', '{"cpu": 1}', '{b}', 'run 3', '1 min'),
	('prod_i2', '{"n": "nulls"}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
RETURNING workspace, payload, kind, job_id = prod_id(payload ->> 'n') AS "id is right";
INSERT INTO fairsched.inbox (workspace, payload, unique_key) VALUES ('prod_i1', '{"n": "duplicate"}', 'k')
RETURNING job_id = prod_id('all') AS "id of the earlier job";
COPY fairsched.inbox (workspace, payload, kind, lane, run_at) FROM stdin;
prod_i1	{"n": "copied", "items": [1, 2]}	batch	prod	\N
prod_i2	{"n": "copied later"}	\N	prod	2999-01-01 00:00:00+00
prod_i3	\N	verify	\N	\N
\.
SELECT * FROM prod_jobs WHERE workspace LIKE 'prod\_i%' ORDER BY workspace, n;
SELECT capabilities, resources, budgets, max_runtime FROM fairsched.jobs WHERE workspace = 'prod_i1' AND payload ->> 'n' = 'all';
SELECT count(*) AS "always empty" FROM fairsched.inbox;
-- one bad row, nothing goes in
INSERT INTO fairsched.inbox (workspace, priority) VALUES ('prod_i3', 'P1'), ('prod_i3', 'P9');
COPY fairsched.inbox (workspace, lane) FROM stdin;
prod_i3	prod
\N	prod
\.
UPDATE fairsched.inbox SET lane = 'x';
DELETE FROM fairsched.inbox;
SELECT count(*) FROM fairsched.jobs WHERE workspace = 'prod_i3';
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM prod_check;
SELECT fairsched_drop_workspace(w, true) FROM unnest('{prod_i1,prod_i2,prod_i3}'::text[]) w;

-- Scheduled
SELECT queue_position, estimated_wait FROM fairsched_enqueue('prod_s', '{"n": "s1"}', run_at => now() + interval '1 hour', lane => 'prod');
SELECT FROM fairsched_enqueue('prod_s', '{"n": "s2"}', run_at => '9999-12-31', lane => 'prod');
SELECT FROM fairsched_enqueue('prod_s', '{"n": "s3"}', run_at => '1900-01-01', lane => 'prod');
SELECT n, state FROM prod_jobs WHERE workspace = 'prod_s' ORDER BY n;
SELECT * FROM prod_claim(10);
SELECT * FROM prod_claim(10);
-- reschedule: to now, to later, a running one not
SELECT fairsched_reschedule(prod_id('s2'), now() - interval '1 year');
SELECT n, state FROM prod_jobs WHERE workspace = 'prod_s' ORDER BY n;
SELECT fairsched_reschedule(prod_id('s2'), now() + interval '1 day'), fairsched_reschedule(prod_id('s1'), now() + interval '2 days');
SELECT n, state, run_at > now() + interval '20 hours' AS later FROM fairsched.jobs, LATERAL (SELECT payload ->> 'n' AS n) p WHERE workspace = 'prod_s' ORDER BY n;
SELECT * FROM prod_claim(10);
SELECT fairsched_reschedule(prod_id('s1'), now()), fairsched_reschedule(prod_id('s2'), now());
SELECT * FROM prod_claim(10);
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM prod_check;
SELECT fairsched_drop_workspace('prod_s', true);

-- assign_priority: the class changes, the age stays
SELECT count(*) FROM fairsched_enqueue_many('prod_p', ARRAY['{"n": "p1"}', '{"n": "p2"}', '{"n": "p3"}', '{"n": "p4"}']::jsonb[], lane => 'prod');
SELECT fairsched_assign_priority(prod_id('p3'), 'P1', 'the customer called'), fairsched_assign_priority(prod_id('p1'), 'P3', overridable => false);
SELECT payload ->> 'n' AS n, priority, priority_note - 'at' AS note, (priority_note ->> 'at')::timestamptz <= clock_timestamp() AS at
FROM fairsched.jobs WHERE workspace = 'prod_p' ORDER BY 1;
-- p2 and p4 go away and come back; p2 is still the older one
SELECT fairsched_assign_priority(prod_id('p2'), 'P0'), fairsched_assign_priority(prod_id('p2'), 'P2', 'back');
SELECT n, priority FROM prod_claim(10);
-- a running job: for its next turn
SELECT fairsched_assign_priority(prod_id('p4'), 'P0');
SELECT n, state, priority FROM prod_jobs WHERE workspace = 'prod_p' ORDER BY n;
SELECT fairsched_release(job_id, token) FROM fairsched.jobs WHERE workspace = 'prod_p' ORDER BY payload;
SELECT n, priority, attempt FROM prod_claim(10);
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM prod_check;
SELECT fairsched_drop_workspace('prod_p', true);

-- Cancel: waiting, scheduled, running; not twice; not what never was
SELECT FROM fairsched_enqueue('prod_c', '{"n": "c1"}', lane => 'prod', unique_key => 'c');
SELECT FROM fairsched_enqueue('prod_c', '{"n": "c2"}', lane => 'prod');
SELECT FROM fairsched_enqueue('prod_c', '{"n": "c3"}', lane => 'prod', run_at => now() + interval '1 h');
SELECT n FROM prod_claim();
SELECT job_id AS c1, token AS t1 FROM fairsched.jobs WHERE job_id = prod_id('c1') \gset
SELECT fairsched_cancel(:c1);
SELECT fairsched_cancel(:c1) AS again, fairsched_cancel(1) AS unknown, fairsched_cancel(-1) AS negative, fairsched_cancel(9223372036854775807) AS huge;
SELECT fairsched_complete(:c1, :t1) AS complete, fairsched_fail(:c1, :t1, 'x') AS fail, fairsched_release(:c1, :t1) AS release;
SELECT state, attempt, worker, finished_at >= claimed_at AS times, error FROM fairsched_job_status(:c1);
SELECT cardinality(fairsched_cancel_many(ARRAY[prod_id('c2'), 1, prod_id('c3'), prod_id('c2')]));
SELECT fairsched_cancel_many('{}');
SELECT payload ->> 'n' AS n, state, attempt, worker FROM fairsched.job_history WHERE workspace = 'prod_c' ORDER BY 1;
SELECT running FROM fairsched.workspace_status WHERE workspace = 'prod_c';
-- by run, across workspaces
SELECT FROM fairsched_enqueue_many('prod_c', ARRAY['{"n": "r1"}', '{"n": "r2"}']::jsonb[], lane => 'prod', run_id => 'prod run');
SELECT FROM fairsched_enqueue('prod_c2', '{"n": "r3"}', lane => 'prod', run_id => 'prod run', run_at => now() + interval '1 h');
SELECT FROM fairsched_enqueue('prod_c2', '{"n": "r4"}', lane => 'prod', run_id => 'prod run 2');
SELECT n FROM prod_claim(1, '{prod}') WHERE workspace = 'prod_c';
SELECT fairsched_cancel_run('prod run'), fairsched_cancel_run('prod run') AS again, fairsched_cancel_run('no such run') AS unknown;
SELECT workspace, n, state FROM prod_jobs ORDER BY 1, 2;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM prod_check;

-- Retry: a dead letter comes back under its id, with all its attempts; its errors stay
SELECT FROM fairsched_enqueue('prod_c', '{"n": "d1"}', 'sign', 'P1', lane => 'prod_d', max_attempts => 2, unique_key => 'd', run_id => 'rd', max_runtime => '1 h', capabilities => '{gpu}');
SELECT job_id AS d1 FROM fairsched.jobs WHERE job_id = prod_id('d1') \gset
SELECT fairsched_fail(job_id, token, 'first', '0') FROM fairsched_claim('prod', lanes => '{prod_d}', capabilities => '{gpu}');
SELECT fairsched_reschedule(:d1, now());
SELECT fairsched_fail(job_id, token, 'second') FROM fairsched_claim('prod', lanes => '{prod_d}', capabilities => '{gpu}');
SELECT state, attempt, max_attempts, error FROM fairsched_job_status(:d1);
SELECT workspace, kind, payload, attempt, jsonb_path_query_array(errors, '$[*].error') AS errors FROM fairsched.dead_letters WHERE job_id = :d1;
SELECT fairsched_retry(:d1);
SELECT count(*) FROM fairsched.dead_letters WHERE job_id = :d1;
SELECT state, attempt, max_attempts, error, priority, kind, run_id FROM fairsched_job_status(:d1);
SELECT * FROM prod_claim(lanes => '{prod_d}', capabilities => '{gpu}');
SELECT payload, unique_key, max_runtime, capabilities, jsonb_path_query_array(errors, '$[*].error') AS errors FROM fairsched.jobs WHERE job_id = :d1;
SELECT fairsched_complete(job_id, token) FROM fairsched.jobs WHERE job_id = :d1;
SELECT count(*) AS "completed jobs are not kept by default" FROM fairsched_job_status(:d1);

-- Status of a job at every stage; results are kept for fairsched.completed_retention
ALTER SYSTEM SET fairsched.completed_retention = '1 h';
SELECT pg_reload_conf();
-- until this session has read that
\set ECHO none
\o /dev/null
SELECT 'SELECT pg_sleep(0.1) WHERE current_setting(''fairsched.completed_retention'') <> ''1h''' FROM generate_series(1, 600) \gexec
\o
\set ECHO all
SHOW fairsched.completed_retention;
SELECT job_id AS f FROM fairsched_enqueue('prod_f', '{"n": "f"}', lane => 'prod_f', run_id => 'run f') \gset
\x on
SELECT workspace, lane, kind, state, priority, attempt, max_attempts, result, error, created_at <= clock_timestamp() AS created, run_at <= clock_timestamp() AS ready, finished_at, checkpoint, run_id FROM fairsched_job_status(:f);
SELECT token AS t FROM fairsched_claim('prod f', lease => '5 min', lanes => '{prod_f}') \gset
SELECT fairsched_checkpoint(:f, :t, '{"step": 2}');
SELECT state, attempt, checkpoint, finished_at, claimed_at BETWEEN created_at AND clock_timestamp() AS claimed, worker, lease_expires_at - claimed_at AS lease FROM fairsched_job_status(:f);
BEGIN;
SELECT fairsched_release(:f, :t);
SELECT state, attempt, claimed_at, worker, lease_expires_at FROM fairsched_job_status(:f);
ROLLBACK;
SELECT state, worker FROM fairsched_job_status(:f);
SELECT fairsched_complete(:f, :t, '{"answer": 42}', '{"tokens": 7}');
SELECT workspace, lane, kind, state, priority, attempt, max_attempts, result, error, created_at <= clock_timestamp() AS created, claimed_at >= created_at AS claimed, finished_at >= claimed_at AS finished, worker, checkpoint, run_id, lease_expires_at FROM fairsched_job_status(:f);
\x off
SELECT usage, result FROM fairsched.job_history WHERE job_id = :f;
SELECT count(*) FROM fairsched_job_status(12345);
ALTER SYSTEM RESET fairsched.completed_retention;
SELECT pg_reload_conf();

-- The queue limit: per workspace, 0 = none; what waits counts, what runs does not
SELECT fairsched_create_workspace('prod_q', max_queue_size => 3, own_table => false);
SELECT count(*) FROM fairsched_enqueue_many('prod_q', ARRAY['{"n": "q1"}', '{"n": "q2"}']::jsonb[], lane => 'prod_q');
SELECT FROM fairsched_enqueue_many('prod_q', ARRAY['{"n": "x"}', '{"n": "x"}']::jsonb[], lane => 'prod_q');
\echo :SQLSTATE
SELECT is_duplicate, queue_position FROM fairsched_enqueue('prod_q', '{"n": "q3"}', lane => 'prod_q', unique_key => 'q');
SELECT FROM fairsched_enqueue('prod_q', '{"n": "x"}', lane => 'prod_q');
SELECT FROM fairsched_enqueue('prod_q', '{"n": "x"}', lane => 'prod_q', run_at => now() + interval '1 h');
SELECT count(*) FROM prod_jobs WHERE workspace = 'prod_q';
SELECT n FROM prod_claim(lanes => '{prod_q}');
SELECT queue_position FROM fairsched_enqueue('prod_q', '{"n": "q4"}', lane => 'prod_q');
SELECT FROM fairsched_enqueue('prod_q', '{"n": "x"}', lane => 'prod_q');
SELECT fairsched_alter_workspace('prod_q', max_queue_size => 0);
SELECT queue_position FROM fairsched_enqueue('prod_q', '{"n": "q5"}', lane => 'prod_q');
SELECT n, state FROM prod_jobs WHERE workspace = 'prod_q' ORDER BY n;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM prod_check;

SELECT fairsched_drop_workspace(w, true) FROM unnest('{prod_a,prod_c,prod_c2,prod_f,prod_q}'::text[]) w;
SELECT * FROM prod_jobs;
SELECT count(*) FROM fairsched.job_history WHERE workspace LIKE 'prod\_%' AND workspace NOT LIKE 'prod\_ä%' AND workspace NOT LIKE 'prod\_xx%';
DROP VIEW prod_jobs, prod_check;
DROP FUNCTION prod_claim, prod_id;
