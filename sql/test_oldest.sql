-- How long the oldest ready job has been ready: what the views say agrees with the rows, whatever state the queues are in,
-- for one workspace and for all of them.
\pset null '(null)'
SET client_min_messages = warning;
DO $$
BEGIN
	PERFORM fairsched_claim(lanes => '{old}');
	FOR i IN 1..600 LOOP
		EXIT WHEN (SELECT counted FROM fairsched.database_status);
		PERFORM pg_sleep(0.1);
	END LOOP;
END
$$;
CREATE VIEW old_rows AS
SELECT w.workspace, min(j.run_at) FILTER (WHERE j.state = 'available') AS since
FROM fairsched.workspaces w LEFT JOIN fairsched.jobs j ON j.workspace = w.workspace
WHERE w.workspace LIKE 'old\_%' GROUP BY 1;
-- who is shown with another age than its rows tell: nobody
CREATE VIEW old_wrong AS
SELECT r.workspace, statement_timestamp() - r.since AS rows, s.oldest_ready_age AS status, f.oldest_ready_age AS fairness
FROM old_rows r LEFT JOIN fairsched.workspace_status s USING (workspace) LEFT JOIN fairsched.fairness f USING (workspace)
WHERE statement_timestamp() - r.since IS DISTINCT FROM s.oldest_ready_age OR statement_timestamp() - r.since IS DISTINCT FROM f.oldest_ready_age;
-- the same, asked of one workspace at a time
CREATE FUNCTION old_wrong_one() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	w text;
	ok boolean;
BEGIN
	FOR w IN SELECT workspace FROM old_rows LOOP
		EXECUTE format('SELECT statement_timestamp() - (SELECT since FROM old_rows WHERE workspace = %1$L) IS NOT DISTINCT FROM '
			'(SELECT oldest_ready_age FROM fairsched.workspace_status WHERE workspace = %1$L)', w) INTO ok;
		IF NOT ok THEN
			RETURN NEXT w;
		END IF;
	END LOOP;
END
$$;

-- a hundred workspaces, more than are looked up one by one, some with tables of their own; jobs of all priorities, in two lanes, of different ages
SELECT count(fairsched_create_workspace('old_' || i, own_table => i % 20 = 0)) FROM generate_series(1, 100) i;
INSERT INTO fairsched.inbox (workspace, lane, priority)
SELECT 'old_' || i % 90 + CASE WHEN i % 90 < 50 THEN 1 ELSE 11 END, (ARRAY['old', 'old2'])[1 + i % 2], 'P' || i % 3 + 1 FROM generate_series(0, 999) i ORDER BY i % 7, i;
-- each a second older than the next one in the order in which they came
UPDATE fairsched.jobs SET run_at = now() - (i.last - position) / 65536 * interval '1 s'
FROM (SELECT max(position) AS last FROM fairsched.jobs) i WHERE workspace LIKE 'old\_%';
SELECT count(*) > 10, count(DISTINCT since) = count(*) FROM old_rows WHERE since IS NOT NULL;
SELECT * FROM old_wrong;
SELECT old_wrong_one();
SELECT count(oldest_ready_age) FROM fairsched.workspace_status WHERE workspace LIKE 'old\_%';

-- queues that were served, so that heads are known; jobs that run, that wait for their time, that are gone
CREATE TABLE old_got AS SELECT job_id, token, row_number() OVER () AS n FROM fairsched_claim('old_w', 200, '1 hour', '{old}');
SELECT count(*) FROM fairsched_claim('old_w', 77, '1 hour', '{old2}');
SELECT * FROM old_wrong;
SELECT old_wrong_one();
SELECT count(fairsched_complete(job_id, token)) FROM old_got WHERE n % 4 = 0;
SELECT count(fairsched_release(job_id, token)) FROM old_got WHERE n % 4 = 1;
SELECT count(fairsched_fail(job_id, token, 'x', interval '1 hour')) FROM old_got WHERE n % 4 = 2;
SELECT count(fairsched_cancel(job_id)) FROM
	(SELECT j.job_id, row_number() OVER (ORDER BY j.position) AS n FROM old_rows r JOIN fairsched.jobs j ON j.workspace = r.workspace AND j.run_at = r.since AND j.state = 'available') x
	WHERE n % 3 = 0;
SELECT * FROM old_wrong;
SELECT old_wrong_one();
-- heads that were cancelled behind memory's back, and one queue of which nothing is left
DELETE FROM fairsched.jobs WHERE workspace = 'old_7' AND state = 'available';
DELETE FROM fairsched.jobs WHERE job_id IN (SELECT min(job_id) FROM fairsched.jobs WHERE workspace LIKE 'old\_1%' AND state = 'available' GROUP BY workspace, lane);
SELECT * FROM old_wrong;
SELECT old_wrong_one();

-- what an open transaction did is not there
BEGIN;
SELECT count(fairsched_enqueue('old_60', lane => 'old', run_at => now() - interval '1 day'));
SELECT count(*) FROM fairsched_claim('old_w', 30, lanes => '{old}');
SELECT workspace, oldest_ready_age FROM fairsched.workspace_status WHERE workspace IN ('old_59', 'old_60') ORDER BY 1;
ROLLBACK;
SELECT * FROM old_wrong;

-- jobs that a gate holds up are ready all the same: a pause, a quota, a budget's pause of a class
SELECT fairsched_pause_workspace('old_1');
SELECT fairsched_set_quota('old_55', 'cpu', 1);
SELECT is_duplicate FROM fairsched_enqueue('old_55', lane => 'old', resources => '{"cpu": 2}');
SELECT is_duplicate FROM fairsched_enqueue('old_55', lane => 'old');
SELECT fairsched_set_budget('old_budget', 10);
SELECT is_duplicate FROM fairsched_enqueue('old_56', lane => 'old', priority => 'P3', budgets => '{old_budget}');
SELECT fairsched_record_spend('old_budget', 10) IS NOT NULL;
SELECT count(*) > 600 FROM fairsched_claim('old_w', 1000, '1 hour', '{old,old2}');
SELECT workspace, parked_reason FROM fairsched.queue_status WHERE workspace IN ('old_55', 'old_56') ORDER BY 1;
UPDATE fairsched.jobs SET run_at = now() - interval '1 hour' WHERE workspace IN ('old_55', 'old_56') AND state = 'available';
SELECT workspace, date_trunc('hour', oldest_ready_age) FROM fairsched.workspace_status WHERE workspace IN ('old_55', 'old_56') ORDER BY 1;
SELECT * FROM old_wrong;
SELECT old_wrong_one();
-- and nobody is told that they starve: only of a job that nothing holds up
SELECT is_duplicate FROM fairsched_enqueue('old_55', lane => 'old');
SELECT is_duplicate FROM fairsched_enqueue('old_57', lane => 'old');
-- one flow of two classes, of which a budget holds back the older job's
SELECT fairsched_set_budget('old_half', 100, warn_at => NULL, throttle_at => 0.5);
SELECT fairsched_record_spend('old_half', 60) IS NOT NULL;
SELECT count(fairsched_enqueue('old_54', lane => 'old', priority => p, budgets => '{old_half}', resources => '{"cost": 1}')) FROM unnest('{P3,P1}'::text[]) p;
SELECT classes_held_back FROM fairsched.budget_status WHERE budget = 'old_half';
UPDATE fairsched.jobs SET run_at = now() - interval '1 hour' WHERE (workspace = 'old_57' OR workspace = 'old_54' AND priority = 'P3') AND state = 'available';
SELECT date_trunc('hour', oldest_ready_age) FROM fairsched.workspace_status WHERE workspace = 'old_54';
SELECT fairsched.check_alerts(now());
SELECT type, workspace FROM fairsched.alerts WHERE type IN ('starvation', 'no_capable_worker') AND workspace IN ('old_54', 'old_55', 'old_56', 'old_57') AND resolved_at IS NULL;

-- asked more than once in a statement
SELECT w, fairsched.oldest_ready_age(w) = statement_timestamp() - since AS right FROM unnest('{old_55,old_55,old_57,old_56,old_57,old_57}'::text[])
	WITH ORDINALITY u (w, i) JOIN old_rows ON workspace = w ORDER BY i;
-- often enough that all are looked at together; what was told once is looked up anew
DO $$
DECLARE
	old boolean;
BEGIN
	FOR i IN 1..70 LOOP
		old := fairsched.oldest_ready_age('old_55') > '1 hour';
		IF i IN (1, 64, 65, 66, 67, 68) THEN
			RAISE INFO '% %', i, old;
		END IF;
		IF i = 67 THEN
			PERFORM fairsched_cancel(job_id) FROM fairsched.jobs WHERE workspace = 'old_55' AND state = 'available' ORDER BY position LIMIT 1;
		END IF;
	END LOOP;
	RAISE EXCEPTION 'undone';
END
$$;
-- who may not read it is told so, also when somebody else was answered in the same statement
CREATE ROLE regress_old_nobody;
GRANT USAGE ON SCHEMA fairsched TO regress_old_nobody;
DO $$
DECLARE
	old boolean;
BEGIN
	FOR i IN 1..66 LOOP
		PERFORM set_config('role', CASE i WHEN 66 THEN 'regress_old_nobody' ELSE 'none' END, true);
		old := fairsched.oldest_ready_age(CASE i WHEN 66 THEN 'old_55' ELSE 'old_57' END) > '1 hour';
		IF i > 64 THEN
			RAISE INFO '% %', i, old;
		END IF;
	END LOOP;
END
$$;
REVOKE USAGE ON SCHEMA fairsched FROM regress_old_nobody;
DROP ROLE regress_old_nobody;


-- the next one, when the first are handed out
SELECT count(fairsched_enqueue('old_53', lane => 'old4')) FROM generate_series(1, 9);
UPDATE fairsched.jobs SET run_at = now() - (n || ' hours')::interval FROM
	(SELECT job_id AS id, 10 - row_number() OVER (ORDER BY position) AS n FROM fairsched.jobs WHERE workspace = 'old_53') x WHERE job_id = id;
SELECT count(*) FROM fairsched_claim('old_w', 3, '1 hour', '{old4}');
SELECT date_trunc('hour', oldest_ready_age) FROM fairsched.workspace_status WHERE workspace = 'old_53';

DROP FUNCTION old_wrong_one();
DROP VIEW old_wrong, old_rows;
DROP TABLE old_got;
SELECT count(fairsched_drop_workspace('old_' || i, force => true)) FROM generate_series(1, 100) i;
DELETE FROM fairsched.budgets WHERE budget IN ('old_budget', 'old_half');
SELECT fairsched_unregister_worker('old_w') >= 0;
