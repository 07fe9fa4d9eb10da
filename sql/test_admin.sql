-- Administration: workspaces, limits, tiers, pause, drain, check.
-- Everything is in lanes and workspaces of its own; jobs are named by their payload.
\pset null '(null)'
SET client_min_messages = warning;

CREATE VIEW adm_ws AS
SELECT workspace, tier, quota_class, weight, quantum, running, max_running, paused, parked_reason, own_table
FROM fairsched.workspace_status WHERE workspace LIKE 'adm\_%' ORDER BY workspace;
CREATE VIEW adm_check AS
SELECT "check", workspace, in_memory, in_rows FROM fairsched_check() WHERE workspace LIKE 'adm\_%' AND NOT ok;
CREATE FUNCTION adm_put(workspace text, jobs int, lane text DEFAULT 'adm', cost int DEFAULT NULL) RETURNS int LANGUAGE sql AS $$
	SELECT cardinality(fairsched_enqueue_many(workspace, ARRAY(SELECT jsonb_build_object('n', n) FROM generate_series(1, jobs) n), lane => lane, cost => cost))
$$;
-- How many it got, of whom
CREATE FUNCTION adm_claim(max_jobs int DEFAULT 1000, lane text DEFAULT 'adm') RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(workspace || ' ' || n, ', ' ORDER BY workspace), 'none')
	FROM (SELECT workspace, count(*) AS n FROM fairsched_claim('adm', max_jobs, '1 h', ARRAY[lane]) GROUP BY 1) c
$$;
CREATE FUNCTION adm_done() RETURNS int LANGUAGE sql AS $$
	SELECT cardinality(fairsched_complete_many(array_agg(job_id), array_agg(token))) FROM fairsched.running_jobs WHERE workspace LIKE 'adm\_%' HAVING count(*) > 0
$$;
-- Create: defaults, and everything said
SELECT fairsched_create_workspace('adm_a', own_table => false);
SELECT fairsched_create_workspace('adm_b', 'enterprise', 'enterprise', 7, 50, true);
SELECT fairsched_create_workspace('adm_c', max_running => -1, max_queue_size => -1);
SELECT * FROM adm_ws;
SELECT workspace, max_running, max_queue_size, job_table > 0 AS own_table, paused FROM fairsched.workspaces WHERE workspace LIKE 'adm\_%' ORDER BY 1;
-- job tables are analysed often, so with a small sample: few statistics of columns one searches by, none of the others
SELECT a.attstattarget, string_agg(a.attname, ' ' ORDER BY a.attnum)
FROM pg_attribute a JOIN fairsched.workspaces w ON a.attrelid = to_regclass('fairsched.jobs_' || w.job_table)
WHERE w.workspace = 'adm_b' AND a.attnum > 0 AND NOT a.attisdropped GROUP BY 1 ORDER BY 1;
SELECT fairsched_create_workspace('adm_a');
\echo :SQLSTATE
-- created in a transaction that rolls back, it never was
BEGIN;
SELECT fairsched_create_workspace('adm_x', own_table => true);
SELECT adm_put('adm_x', 3);
ROLLBACK;
SELECT count(*) FROM fairsched.workspaces WHERE workspace = 'adm_x';
SELECT adm_claim();
-- create, fill and alter in one transaction
BEGIN;
SELECT fairsched_create_workspace('adm_x', own_table => true);
SELECT adm_put('adm_x', 3);
SELECT fairsched_alter_workspace('adm_x', 'growth', max_running => 2);
COMMIT;
SELECT * FROM adm_ws WHERE workspace = 'adm_x';
SELECT adm_claim();
SELECT adm_done();
SELECT fairsched_drop_workspace('adm_x', true);

-- Alter: NULL is unchanged, -1 back to the default
SELECT fairsched_alter_workspace('adm_a', 'scale', 'enterprise', 5, 10);
SELECT fairsched_alter_workspace('adm_a');
SELECT * FROM adm_ws WHERE workspace = 'adm_a';
SELECT max_running, max_queue_size FROM fairsched.workspaces WHERE workspace = 'adm_a';
SELECT fairsched_alter_workspace('adm_a', quota_class => 'default', max_running => -1, max_queue_size => -1);
SELECT * FROM adm_ws WHERE workspace = 'adm_a';
SELECT max_running, max_queue_size FROM fairsched.workspaces WHERE workspace = 'adm_a';
SELECT fairsched_alter_workspace('adm_b', own_table => false);
\echo :SQLSTATE
-- one that only has jobs can be altered too
SELECT adm_put('adm_jobs', 1);
SELECT fairsched_alter_workspace('adm_jobs', 'growth');
SELECT * FROM adm_ws WHERE workspace = 'adm_jobs';
SELECT fairsched_drop_workspace('adm_jobs', true);

-- Ceilings: of the class, of its own; changed with effect on the next claim
SELECT fairsched_create_workspace('adm_d', own_table => false), fairsched_create_workspace('adm_e', quota_class => 'enterprise', own_table => false), fairsched_create_workspace('adm_o', max_running => 3, own_table => false);
SELECT adm_put('adm_d', 150), adm_put('adm_e', 150), adm_put('adm_o', 150);
SELECT adm_claim();
SELECT adm_claim();
SELECT workspace, running, max_running, parked_reason FROM adm_ws WHERE workspace IN ('adm_d', 'adm_e', 'adm_o');
SELECT fairsched_complete(job_id, token) FROM (SELECT DISTINCT ON (workspace) * FROM fairsched.running_jobs WHERE workspace LIKE 'adm\_%' ORDER BY workspace, job_id) r;
SELECT adm_claim();
SELECT fairsched_alter_workspace('adm_o', max_running => 5);
SELECT adm_claim();
-- lower than what runs: nothing until enough ended
SELECT fairsched_alter_workspace('adm_o', max_running => 2);
SELECT fairsched_complete(job_id, token) FROM (SELECT * FROM fairsched.running_jobs WHERE workspace = 'adm_o' ORDER BY job_id LIMIT 3) r;
SELECT adm_claim();
SELECT fairsched_complete(job_id, token) FROM (SELECT * FROM fairsched.running_jobs WHERE workspace = 'adm_o' ORDER BY job_id LIMIT 1) r;
SELECT adm_claim();
-- 0: nothing at all
SELECT fairsched_alter_workspace('adm_o', max_running => 0);
SELECT adm_done();
SELECT adm_claim(10000) AS o_gets_none;
SELECT workspace, running, max_running, parked_reason FROM adm_ws WHERE workspace = 'adm_o';
SELECT adm_done();
-- the settings, at run time
ALTER SYSTEM SET fairsched.default_quota = 4;
ALTER SYSTEM SET fairsched.enterprise_quota = 6;
SELECT pg_reload_conf();
-- until this session has read that
\set ECHO none
\o /dev/null
SELECT 'SELECT pg_sleep(0.1) WHERE current_setting(''fairsched.enterprise_quota'') <> ''6''' FROM generate_series(1, 600) \gexec
\o
\set ECHO all
SHOW fairsched.enterprise_quota;
SELECT adm_put('adm_e', 50), adm_put('adm_d', 50);
SELECT workspace, max_running FROM adm_ws WHERE workspace IN ('adm_d', 'adm_e', 'adm_o');
SELECT adm_claim();
SELECT fairsched_alter_workspace('adm_d', quota_class => 'enterprise');
SELECT adm_claim();
ALTER SYSTEM RESET fairsched.default_quota;
ALTER SYSTEM RESET fairsched.enterprise_quota;
SELECT pg_reload_conf();
-- until this session has read that
\set ECHO none
\o /dev/null
SELECT 'SELECT pg_sleep(0.1) WHERE current_setting(''fairsched.enterprise_quota'') <> ''100''' FROM generate_series(1, 600) \gexec
\o
\set ECHO all
SHOW fairsched.enterprise_quota;
SELECT fairsched_alter_workspace('adm_o', max_running => -1), fairsched_alter_workspace('adm_d', quota_class => 'default');
SELECT adm_done();
-- many in one go, and in a savepoint that is undone: the ceiling holds
BEGIN;
SAVEPOINT s;
SELECT adm_claim();
ROLLBACK TO s;
SELECT adm_claim();
SELECT adm_claim();
COMMIT;
SELECT workspace, running, max_running FROM adm_ws WHERE running > 0;
SELECT adm_done();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM adm_check;
SELECT fairsched_drop_workspace(w, true) FROM unnest('{adm_d,adm_e,adm_o}'::text[]) w;

-- Tiers: a table; a change is in force for the backlog
SELECT tier, weight, quantum FROM fairsched.tiers ORDER BY quantum;
SELECT fairsched_create_workspace('adm_t1', own_table => false), fairsched_create_workspace('adm_t2', own_table => false);
SELECT adm_put('adm_t1', 40, 'adm_t', 10), adm_put('adm_t2', 60, 'adm_t', 10);
SELECT adm_claim(8, 'adm_t');
SELECT fairsched_alter_workspace('adm_t2', 'scale');
SELECT adm_claim(12, 'adm_t');
-- a job dearer than its quantum is due after fewer rounds, from now on
SELECT fairsched_create_workspace('adm_t3', own_table => false), adm_put('adm_t3', 1, 'adm_t', 200);
SELECT adm_claim(8, 'adm_t');
SELECT fairsched_alter_workspace('adm_t3', 'enterprise');
SELECT adm_claim(16, 'adm_t');
SELECT fairsched_drop_workspace('adm_t3', true);
INSERT INTO fairsched.tiers VALUES ('adm tier', 3, 60);
SELECT fairsched_alter_workspace('adm_t2', 'adm tier');
SELECT adm_claim(16, 'adm_t');
SELECT tier, weight, quantum FROM adm_ws WHERE workspace = 'adm_t2';
UPDATE fairsched.tiers SET quantum = 20, weight = 1 WHERE tier = 'adm tier';
SELECT tier, weight, quantum FROM adm_ws WHERE workspace = 'adm_t2';
SELECT adm_claim(8, 'adm_t');
DELETE FROM fairsched.tiers WHERE tier = 'adm tier';
\echo :SQLSTATE
SELECT adm_done();
SELECT fairsched_drop_workspace('adm_t1', true), fairsched_drop_workspace('adm_t2', true);
DELETE FROM fairsched.tiers WHERE tier = 'adm tier';

-- Pause and resume; running jobs go on
SELECT adm_put('adm_a', 5);
SELECT adm_claim(1);
SELECT fairsched_pause_workspace('adm_a');
SELECT adm_claim(), (SELECT paused::text || ' ' || parked_reason FROM adm_ws WHERE workspace = 'adm_a') AS paused;
SELECT adm_done(), adm_put('adm_a', 1);
SELECT adm_claim();
SELECT fairsched_pause_workspace('adm_a') AS again;
SELECT fairsched_pause_workspace('adm_a', drain => true) AS nothing_runs;
SELECT fairsched_resume_workspace('adm_a'), fairsched_resume_workspace('adm_a') AS again;
SELECT adm_claim(2);
-- rolled back
BEGIN;
SELECT fairsched_pause_workspace('adm_a');
SELECT adm_claim(1) AS at_once;
ROLLBACK;
SELECT adm_claim(1), (SELECT paused FROM adm_ws WHERE workspace = 'adm_a') AS paused;
-- of one that only has jobs
SELECT adm_put('adm_jobs', 1);
SELECT fairsched_pause_workspace('adm_jobs');
SELECT adm_claim(), fairsched_resume_workspace('adm_jobs');
SELECT adm_claim();
SELECT adm_done();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM adm_check;

-- Isolate: the jobs move into a table of their own, in order, whatever their state
SELECT adm_put('adm_i', 3000);
SELECT adm_put('adm_i', 3);
SELECT FROM fairsched_enqueue('adm_i', '{"n": "later"}', lane => 'adm', run_at => now() + interval '1 day');
SELECT FROM fairsched_enqueue('adm_i', '{"n": "keyed"}', lane => 'adm', unique_key => 'key', priority => 'P1');
CREATE TABLE adm_before AS SELECT job_id, rank, position, state, attempt, token, payload, unique_key, run_at FROM fairsched.jobs WHERE workspace = 'adm_i';
SELECT fairsched_isolate_workspace('adm_i') AS moved, fairsched_isolate_workspace('adm_i') AS again;
SELECT count(*) AS all_there, count(*) FILTER (WHERE b IS DISTINCT FROM a) AS changed
FROM adm_before b FULL JOIN (SELECT job_id, rank, position, state, attempt, token, payload, unique_key, run_at FROM fairsched.jobs WHERE workspace = 'adm_i') a USING (job_id);
DROP TABLE adm_before;
SELECT count(*) FILTER (WHERE job_table = 0) AS shared, count(*) FILTER (WHERE job_table > 0) AS own FROM fairsched.jobs WHERE workspace = 'adm_i';
SELECT own_table, running FROM adm_ws WHERE workspace = 'adm_i';
SELECT is_duplicate FROM fairsched_enqueue('adm_i', lane => 'adm', unique_key => 'key');
SELECT string_agg(payload ->> 'n', ' ') FROM fairsched_claim('adm', 5, lanes => '{adm}');
SELECT adm_done(), adm_put('adm_i', 2);
SELECT state, workspace FROM fairsched_job_status((SELECT max(job_id) FROM fairsched.jobs WHERE workspace = 'adm_i'));
SELECT count(*), fairsched_cancel(min(job_id)) FROM fairsched.jobs WHERE workspace = 'adm_i';
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM adm_check;

-- Drop: refused with live jobs, forced it cancels them and removes the history
SELECT fairsched_drop_workspace('adm_i');
\echo :SQLSTATE
SELECT adm_claim(2);
SELECT fairsched_drop_workspace('adm_i', force => true);
SELECT count(*) FROM fairsched.jobs WHERE workspace = 'adm_i';
SELECT count(*) FROM fairsched.job_history WHERE workspace = 'adm_i';
SELECT count(*) FROM fairsched.running_jobs WHERE workspace = 'adm_i';
SELECT count(*) FROM adm_ws WHERE workspace = 'adm_i';
SELECT adm_claim();
-- it can come again, and starts anew
SELECT fairsched_create_workspace('adm_i', 'growth');
SELECT tier, own_table FROM adm_ws WHERE workspace = 'adm_i';
SELECT adm_put('adm_i', 1);
SELECT adm_claim();
SELECT adm_done();
SELECT fairsched_drop_workspace('adm_i');
-- dropping is undone with its transaction
SELECT adm_put('adm_c', 2);
BEGIN;
SELECT fairsched_drop_workspace('adm_c', true);
ROLLBACK;
SELECT adm_claim();
SELECT adm_done();
SELECT fairsched_drop_workspace('adm_c');
-- not after changes of its jobs in the same transaction; moved, filled and dropped in one transaction
SELECT fairsched_create_workspace('adm_m', own_table => false), adm_put('adm_m', 2);
BEGIN;
SELECT adm_put('adm_m', 1);
SELECT fairsched_isolate_workspace('adm_m');
ROLLBACK;
BEGIN;
SELECT fairsched_isolate_workspace('adm_m');
SELECT adm_put('adm_m', 1);
ROLLBACK;
SELECT job_table, count(*) FROM fairsched.jobs WHERE workspace = 'adm_m' GROUP BY 1;
BEGIN;
SELECT fairsched_isolate_workspace('adm_m');
SELECT fairsched_drop_workspace('adm_m', true);
COMMIT;
SELECT count(*) FROM fairsched.workspaces WHERE workspace = 'adm_m';
-- history stays without force
SELECT adm_put('adm_h', 1);
SELECT fairsched_cancel(job_id) FROM fairsched.jobs WHERE workspace = 'adm_h';
SELECT fairsched_pause_workspace('adm_h'), fairsched_drop_workspace('adm_h');
SELECT state FROM fairsched.job_history WHERE workspace = 'adm_h';

-- Drain: no claims in this database until undrain
SELECT adm_put('adm_a', 2);
SELECT adm_claim(1);
SET client_min_messages = error;
CALL fairsched_drain('10 ms');
SET client_min_messages = warning;
SELECT adm_claim(), drained FROM fairsched.database_status;
SELECT adm_put('adm_a', 1) AS enqueue_goes_on, adm_done() AS complete_too;
CALL fairsched_drain();
CALL fairsched_drain('1 s');
SELECT fairsched_undrain(), fairsched_undrain() AS again;
SELECT drained, adm_claim(2) FROM fairsched.database_status;

-- Check: memory against rows, and repair
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT "check", in_memory, in_rows, ok FROM fairsched_check() WHERE workspace = 'adm_a' ORDER BY 1;
SELECT DISTINCT ok FROM fairsched_check(repair => true) WHERE workspace LIKE 'adm\_%';
SELECT adm_done();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM adm_check;

SELECT fairsched_drop_workspace(w, true) FROM unnest('{adm_a,adm_b,adm_jobs}'::text[]) w;
SELECT * FROM adm_ws;
SELECT count(*) FROM fairsched.jobs WHERE workspace LIKE 'adm\_%';
DROP VIEW adm_ws, adm_check;
DROP FUNCTION adm_put, adm_claim, adm_done;
