-- The views: their columns, what they say at each stage of a job's life, and who may read them.
-- Everything is in lanes and workspaces of its own, so what other tests leave does not matter.
\pset null '(null)'
SET client_min_messages = warning;

-- Depths are exact once they have been counted, which happens in the background.
DO $$
BEGIN
	PERFORM fairsched_claim(lanes => '{views}');
	FOR i IN 1..6000 LOOP
		EXIT WHEN (SELECT counted FROM fairsched.database_status);
		PERFORM pg_sleep(0.1);
	END LOOP;
END
$$;
SELECT state, drained, counted, running >= 0 AS running, rebuilds > 0 AS rebuilds,
	rebuilt_at <= now() AS rebuilt_at, workspaces_used < workspaces_capacity AS room
FROM fairsched.database_status;

-- Columns, in order
\a \t
SELECT c.relname, string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'fairsched'::regnamespace AND c.relname IN ('workspace_status', 'queue_status',
	'running_jobs', 'worker_status', 'dead_letters', 'maintenance_status', 'database_status')
GROUP BY 1 ORDER BY 1;
\a \t

-- Nothing in the schema is without a comment, nothing can be read by PUBLIC.
SELECT c.oid::regclass AS relation, a.attname AS "column"
FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'fairsched'::regnamespace AND c.relkind = 'v'
	AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL);
SELECT p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace = 'fairsched'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL;
SELECT c.oid::regclass, acl.privilege_type
FROM pg_class c, aclexplode(c.relacl) acl
WHERE c.relnamespace = 'fairsched'::regnamespace AND acl.grantee = 0;

-- A workspace that only has settings
SELECT fairsched_create_workspace('views_a', tier => 'scale', quota_class => 'enterprise', max_running => 2, own_table => false);
SELECT fairsched_create_workspace('views_b', own_table => true);
CREATE VIEW views_ws AS
SELECT workspace, tier, quota_class, weight, quantum, ready, scheduled, running, max_running, paused,
	parked_reason, parked_until, own_table, oldest_ready_age >= '0' AS oldest_ready_age
FROM fairsched.workspace_status WHERE workspace LIKE 'views\_%' ORDER BY workspace;
CREATE VIEW views_queue AS
SELECT workspace, lane, ready, parked_reason, parked_detail, parked_since <= clock_timestamp() AS parked_since,
	retry_at, capabilities
FROM fairsched.queue_status WHERE lane LIKE 'views%' ORDER BY workspace, lane, capabilities;
SELECT * FROM views_ws;

-- Waiting jobs
SELECT is_duplicate FROM fairsched_enqueue('views_a', '{"n": 1}', 'sign', lane => 'views', priority => 'P1');
SELECT is_duplicate FROM fairsched_enqueue('views_a', '{"n": 2}', lane => 'views');
SELECT is_duplicate FROM fairsched_enqueue('views_a', '{"n": 3}', lane => 'views');
SELECT is_duplicate FROM fairsched_enqueue('views_a', lane => 'views', run_at => now() + interval '1 day');
SELECT * FROM views_ws;
SELECT * FROM views_queue;

-- The age is that of the oldest, and what an open transaction did is not in the depths.
SELECT pg_sleep(0.05);
BEGIN;
SELECT is_duplicate FROM fairsched_enqueue('views_a', lane => 'views');
SELECT ready, oldest_ready_age >= '0.05 s' AS oldest_ready_age FROM fairsched.workspace_status WHERE workspace = 'views_a';
ROLLBACK;
SELECT ready FROM fairsched.workspace_status WHERE workspace = 'views_a';

-- Running jobs; those of an open claim count, and are not listed.
BEGIN;
SELECT count(*) FROM fairsched_claim('views_w', 1, lanes => '{views}');
SELECT running, ready FROM fairsched.workspace_status WHERE workspace = 'views_a';
SELECT count(*) FROM fairsched.running_jobs WHERE workspace = 'views_a';
ROLLBACK;
SELECT running FROM fairsched.workspace_status WHERE workspace = 'views_a';
CREATE TABLE views_got AS
SELECT * FROM fairsched_claim('views_w', 5, '1 hour', '{views}', request_id => '00000000-0000-0000-0000-0000000000aa');
SELECT r.workspace, r.lane, r.kind, r.priority, r.worker, r.token = g.token AS token, r.attempt,
	r.claimed_at <= clock_timestamp() AS claimed_at, r.lease_expires_at = g.lease_expires_at AS lease_expires_at,
	r.directive, r.cost, r.deadline, r.request_id
FROM fairsched.running_jobs r LEFT JOIN views_got g USING (job_id)
WHERE r.workspace LIKE 'views\_%' ORDER BY r.priority;
SELECT worker, node, capabilities, slots, running, last_seen <= clock_timestamp() AS last_seen, alive, registered
FROM fairsched.worker_status WHERE worker LIKE 'views\_%' ORDER BY 1;

-- Refused: the ceiling, then a pause
SELECT count(*) FROM fairsched_claim('views_w', lanes => '{views}');
SELECT * FROM views_ws WHERE workspace = 'views_a';
SELECT * FROM views_queue;
SELECT fairsched_pause_workspace('views_a');
SELECT paused, parked_reason FROM views_ws WHERE workspace = 'views_a';
SELECT * FROM views_queue;
SELECT fairsched_resume_workspace('views_a');

-- Dead letters: only what failed for good
SELECT fairsched_fail(job_id, token, 'no good', discard => true) FROM views_got WHERE payload = '{"n": 1}';
SELECT count(*) FROM views_got WHERE payload = '{"n": 2}' AND fairsched_cancel(job_id);
SELECT workspace, kind, payload, attempt, jsonb_array_length(errors) AS errors, errors -> 0 ->> 'error' AS error,
	discarded_at <= clock_timestamp() AS discarded_at, state, lane, priority, worker
FROM fairsched.dead_letters WHERE workspace LIKE 'views\_%';

-- A job that nobody can do
SELECT is_duplicate FROM fairsched_enqueue('views_b', lane => 'views', capabilities => '{views_gpu,views_avx}');
SELECT is_duplicate FROM fairsched_enqueue('views_b', lane => 'views2');
SELECT workspace, lane, ready, parked_reason, parked_detail, capabilities FROM views_queue WHERE workspace = 'views_b';
SELECT fairsched_register_worker('views_gpu', '{views_gpu}', 2, 'node 1');
SELECT lane, parked_reason, parked_detail FROM views_queue WHERE workspace = 'views_b';
SELECT fairsched_register_worker('views_avx', '{views_avx}', 0);
SELECT lane, parked_reason, parked_detail FROM views_queue WHERE workspace = 'views_b';
SELECT fairsched_register_worker('views_both', '{views_gpu,views_avx,views_other}');
SELECT lane, parked_reason, parked_detail FROM views_queue WHERE workspace = 'views_b';
SELECT worker, node, capabilities, slots, running, alive, registered
FROM fairsched.worker_status WHERE worker LIKE 'views\_%' ORDER BY 1;

-- Its own table
SELECT own_table, ready, oldest_ready_age FROM views_ws WHERE workspace = 'views_b';
SELECT kind FROM fairsched_claim('views_both', 5, lanes => '{views,views2}');
SELECT workspace, lane, kind FROM fairsched.running_jobs WHERE worker = 'views_both' ORDER BY lane, workspace;
SELECT running, ready, oldest_ready_age FROM views_ws WHERE workspace = 'views_b';

-- Tasks
SELECT count(*) > 0 AS tasks, count(*) = count(DISTINCT task) AS distinct, bool_and(failures >= 0) AS failures
FROM fairsched.maintenance_status;

-- A change of settings shows at once.
UPDATE fairsched.tiers SET quantum = 41 WHERE tier = 'scale';
SELECT quantum FROM fairsched.workspace_status WHERE workspace = 'views_a';
UPDATE fairsched.tiers SET quantum = 40 WHERE tier = 'scale';
SELECT fairsched_alter_workspace('views_a', max_running => -1);
SELECT max_running = current_setting('fairsched.enterprise_quota')::int FROM views_ws WHERE workspace = 'views_a';

-- One that waits in a lane nobody serves
SELECT is_duplicate FROM fairsched_enqueue('views_a', lane => 'views3');
SELECT workspace, lane, parked_reason FROM views_queue;

-- Also in a read-only transaction, and in one that sees an old snapshot
BEGIN READ ONLY;
SELECT running FROM fairsched.workspace_status WHERE workspace = 'views_b';
SELECT count(*) FROM fairsched.running_jobs WHERE worker = 'views_both';
SELECT count(*) FROM fairsched.worker_status WHERE worker LIKE 'views\_%';
SELECT count(*) FROM fairsched.queue_status WHERE lane = 'views';
SELECT count(*) > 0 FROM fairsched.maintenance_status;
SELECT state FROM fairsched.database_status;
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM fairsched.running_jobs WHERE worker = 'views_both' AND kind = 'default';
SELECT oldest_ready_age > '0' FROM fairsched.workspace_status WHERE workspace = 'views_a';
COMMIT;

-- Columns that nobody selects cost nothing.
EXPLAIN (COSTS OFF, VERBOSE) SELECT worker FROM fairsched.running_jobs;

-- With parallel workers about
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE TABLE views_big AS SELECT 'views_' || chr(97 + i % 3) AS workspace FROM generate_series(1, 30000) i;
ANALYZE views_big;
SELECT s.workspace, count(*), max(s.running) AS running FROM views_big b JOIN fairsched.workspace_status s USING (workspace)
GROUP BY 1 ORDER BY 1;
SELECT s.workspace, count(*), count(s.oldest_ready_age) > 0 AS aged FROM views_big b JOIN fairsched.workspace_status s USING (workspace)
GROUP BY 1 ORDER BY 1;
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- Rights: SELECT on a view is what it takes, also for the functions behind it.
CREATE ROLE regress_views_reader;
GRANT USAGE ON SCHEMA fairsched TO regress_views_reader;
SET ROLE regress_views_reader;
SELECT * FROM fairsched.workspace_status;
SELECT * FROM fairsched.dead_letters;
SELECT * FROM fairsched.workspace_status_internal();
SELECT * FROM fairsched.queue_status_internal();
SELECT * FROM fairsched.running_jobs_internal();
SELECT * FROM fairsched.worker_status_internal();
SELECT * FROM fairsched.maintenance_status_internal();
SELECT * FROM fairsched.database_status_internal();
SELECT fairsched.oldest_ready_age('views_a');
SELECT fairsched.job_kind(0, 1);
SELECT fairsched.scheduler_state();
RESET ROLE;
GRANT SELECT (workspace) ON fairsched.workspace_status TO regress_views_reader;
SET ROLE regress_views_reader;
SELECT workspace FROM fairsched.workspace_status;
RESET ROLE;
GRANT SELECT ON fairsched.workspace_status, fairsched.running_jobs, fairsched.queue_status, fairsched.maintenance_status,
	fairsched.database_status, fairsched.dead_letters TO regress_views_reader;
SET ROLE regress_views_reader;
SELECT workspace, running, oldest_ready_age > '0' AS oldest_ready_age FROM fairsched.workspace_status
WHERE workspace LIKE 'views\_%' ORDER BY 1;
SELECT kind FROM fairsched.running_jobs WHERE worker = 'views_both';
SELECT count(*) FROM fairsched.queue_status WHERE lane = 'views';
SELECT count(*) > 0 FROM fairsched.maintenance_status;
SELECT state FROM fairsched.database_status;
SELECT count(*) FROM fairsched.dead_letters WHERE workspace = 'views_a';
SELECT * FROM fairsched.worker_status;
RESET ROLE;
REVOKE SELECT ON ALL TABLES IN SCHEMA fairsched FROM regress_views_reader;
GRANT SELECT ON fairsched.worker_status TO regress_views_reader;
SET ROLE regress_views_reader;
SELECT worker, running FROM fairsched.worker_status WHERE worker = 'views_both';
RESET ROLE;

-- The oldest ready job is the one that the rows tell, however far behind the queue's known head it is
CREATE VIEW views_age AS
SELECT (SELECT oldest_ready_age FROM fairsched.workspace_status WHERE workspace = 'views_gap') =
		statement_timestamp() - min(run_at) AS right_age, count(*) AS ready
FROM fairsched.jobs WHERE workspace = 'views_gap' AND state = 'available';
SELECT fairsched_create_workspace(w, own_table => false) FROM unnest('{views_gap,views_fill}'::text[]) w;
CREATE TABLE views_gaps AS SELECT 0 AS n, job_id FROM fairsched_enqueue('views_gap', lane => 'views_gap');
DO $$
BEGIN
	FOR i IN 1..6 LOOP
		PERFORM fairsched_enqueue_many('views_fill', array_fill('{}'::jsonb, ARRAY[(ARRAY[1, 40, 40, 6000, 6000, 40])[i]]), lane => 'views_gap');
		INSERT INTO views_gaps SELECT i, job_id FROM fairsched_enqueue('views_gap', lane => 'views_gap', priority => (ARRAY['P2', 'P1'])[1 + i % 2]);
		COMMIT;
	END LOOP;
END
$$;
SELECT * FROM views_age;
SELECT fairsched_cancel(job_id) FROM views_gaps WHERE n = 0;
SELECT * FROM views_age;
SELECT fairsched_cancel(job_id) FROM views_gaps WHERE n IN (1, 2);
SELECT * FROM views_age;
SELECT count(*) FROM fairsched_claim('views_w', 1, lanes => '{views_gap}', lease => '1 h');
SELECT * FROM views_age;
SELECT fairsched_cancel(job_id) FROM views_gaps WHERE n IN (3, 4) ORDER BY n;
SELECT * FROM views_age;
DELETE FROM fairsched.jobs WHERE workspace = 'views_gap' AND job_id = (SELECT job_id FROM views_gaps WHERE n = 5);
SELECT * FROM views_age;
DROP VIEW views_age;
DROP TABLE views_gaps;
SELECT count(fairsched_drop_workspace(w, force => true)) FROM unnest('{views_gap,views_fill}'::text[]) w;

-- Odd arguments
SELECT fairsched.oldest_ready_age(NULL), fairsched.oldest_ready_age(''), fairsched.oldest_ready_age(repeat('x', 5000));
SELECT fairsched.job_kind(NULL, 1), fairsched.job_kind(-1, 1), fairsched.job_kind(4095, 1), fairsched.job_kind(0, -1);

-- Away again
REVOKE ALL ON SCHEMA fairsched FROM regress_views_reader;
REVOKE ALL ON fairsched.worker_status FROM regress_views_reader;
DROP ROLE regress_views_reader;
SELECT fairsched_unregister_worker(w) FROM unnest('{views_gpu,views_avx,views_both}'::text[]) w;
DROP VIEW views_ws, views_queue;
DROP TABLE views_got, views_big;
SELECT fairsched_drop_workspace('views_a', force => true);
SELECT fairsched_drop_workspace('views_b', force => true);
SELECT count(*) FROM fairsched.workspace_status WHERE workspace LIKE 'views\_%' AND (running > 0 OR ready > 0 OR scheduled > 0);
SELECT count(*) FROM fairsched.worker_status WHERE worker LIKE 'views\_%' AND worker <> 'views_w';
