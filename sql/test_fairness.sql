-- The bound of Deficit Round Robin where it was seen to break: after a large
-- claim is rolled back, and when a workspace comes back in the middle of a visit.
-- The bound is Qmin + 2 * Max = 22 cost units here (quantum 20, cost 1).
SET client_min_messages = warning;
CREATE TABLE fair_served (n serial, workspace text);
-- Largest difference between what the two got, over all intervals
CREATE FUNCTION fair_spread(x text, y text) RETURNS bigint LANGUAGE sql AS $$
	SELECT max(d) - min(d) FROM (
		SELECT 0::bigint AS d
		UNION ALL
		SELECT sum(CASE workspace WHEN x THEN 1 WHEN y THEN -1 ELSE 0 END) OVER (ORDER BY n) FROM fair_served) s
$$;

-- A claim of 400 that is rolled back leaves no hoard
SELECT fairsched_create_workspace(w, max_running => 1000, own_table => false) FROM unnest('{fair_a,fair_b}'::text[]) w;
SELECT cardinality(fairsched_enqueue_many(w, array_fill('{}'::jsonb, ARRAY[500]), lane => 'fair')) FROM unnest('{fair_a,fair_b}'::text[]) w;
BEGIN;
SELECT workspace, count(*) FROM fairsched_claim('fair', 400, lanes => '{fair}') GROUP BY 1 ORDER BY 1;
ROLLBACK;
SELECT workspace, deficit <= quantum AS no_hoard FROM fairsched.workspace_status WHERE workspace LIKE 'fair\_%' ORDER BY 1;
INSERT INTO fair_served (workspace) SELECT workspace FROM fairsched_claim('fair', 400, lanes => '{fair}');
SELECT fair_spread('fair_a', 'fair_b') <= 22 AS within_bound, count(*) FROM fair_served;

-- A claim that is rolled back costs its workspace nothing: the order is as if it had not been
SELECT cardinality(fairsched_enqueue_many(w, array_fill('{}'::jsonb, ARRAY[40]), lane => 'fair0')) FROM unnest('{fair_a,fair_b}'::text[]) w;
BEGIN;
SELECT workspace, count(*) FROM fairsched_claim('fair', 20, lanes => '{fair0}') GROUP BY 1;
SAVEPOINT s;
SELECT workspace, count(*) FROM fairsched_claim('fair', 10, lanes => '{fair0}') GROUP BY 1;
ROLLBACK TO s;
SELECT workspace, count(*) FROM fairsched_claim('fair', 20, lanes => '{fair0}') GROUP BY 1;
ROLLBACK;
SELECT workspace, count(*), min(n), max(n) FROM fairsched_claim('fair', 40, lanes => '{fair0}') WITH ORDINALITY c(job_id, workspace, lane, kind, payload, priority, attempt, token, lease_expires_at, checkpoint, run_id, worker, n) GROUP BY 1 ORDER BY 3;

-- The same wherever the claim begins and ends: over what is claimed then the bound holds between any two
CREATE TABLE fair_spreads (lane text, spread bigint);
DO $$ BEGIN
	FOR k IN 1..30 LOOP
		PERFORM fairsched_create_workspace('fair_u' || k || w, max_running => 1000, own_table => false) FROM unnest('{a,b,c}'::text[]) w;
		PERFORM fairsched_enqueue_many('fair_u' || k || w, array_fill('{}'::jsonb, ARRAY[150]), lane => 'fair_u' || k) FROM unnest('{a,b,c}'::text[]) w;
	END LOOP;
END $$;
DO $$ BEGIN
	FOR k IN 1..30 LOOP
		PERFORM count(*) FROM fairsched_claim('fair', 1 + k * 7 % 50, lanes => ARRAY['fair_u' || k]);
		BEGIN
			PERFORM count(*) FROM fairsched_claim('fair', k * 9 % 100 + 1, lanes => ARRAY['fair_u' || k]);
			RAISE SQLSTATE 'FAIR0';
		EXCEPTION WHEN SQLSTATE 'FAIR0' THEN
		END;
		TRUNCATE fair_served;
		INSERT INTO fair_served (workspace) SELECT right(workspace, 1) FROM fairsched_claim('fair', 150, lanes => ARRAY['fair_u' || k]);
		INSERT INTO fair_spreads SELECT 'fair_u' || k, greatest(fair_spread('a', 'b'), fair_spread('a', 'c'), fair_spread('b', 'c'));
	END LOOP;
END $$;
DO $$ BEGIN
	FOR k IN 1..30 LOOP
		PERFORM fairsched_drop_workspace('fair_u' || k || w, true) FROM unnest('{a,b,c}'::text[]) w;
	END LOOP;
END $$;
SELECT count(*), max(spread) <= 22 AS within_bound FROM fair_spreads;
DROP TABLE fair_spreads;

-- A workspace that was parked in the middle of its visit, and comes back
TRUNCATE fair_served;
SELECT fairsched_create_workspace('fair_c', max_running => 1, own_table => false),
	fairsched_create_workspace('fair_d', max_running => 1000, own_table => false);
SELECT cardinality(fairsched_enqueue_many(w, array_fill('{}'::jsonb, ARRAY[600]), lane => 'fair2')) FROM unnest('{fair_c,fair_d}'::text[]) w;
SELECT workspace, count(*) FROM fairsched_claim('fair', 100, lanes => '{fair2}') GROUP BY 1 ORDER BY 1;
SELECT fairsched_alter_workspace('fair_c', max_running => 1000);
INSERT INTO fair_served (workspace) SELECT workspace FROM fairsched_claim('fair', 200, lanes => '{fair2}');
SELECT fair_spread('fair_c', 'fair_d') <= 22 AS within_bound, count(*) FROM fair_served;

-- Index entries that a claim left behind, which was rolled back, are not taken for jobs: where there was no
-- room for its versions of the rows on their pages
TRUNCATE fair_served;
SELECT fairsched_create_workspace('fair_h', max_running => 3000, own_table => true),
	fairsched_create_workspace('fair_i', max_running => 3000, own_table => false);
DO $$ BEGIN
	EXECUTE (SELECT format('ALTER TABLE fairsched.jobs_%s SET (fillfactor = 100)', job_table) FROM fairsched.workspaces WHERE workspace = 'fair_h');
END $$;
SELECT cardinality(fairsched_enqueue_many(w, array_fill(jsonb_build_object('x', repeat('x', 1500)), ARRAY[700]), lane => 'fair7')) FROM unnest('{fair_h,fair_i}'::text[]) w;
BEGIN;
SELECT workspace, count(*) FROM fairsched_claim('fair', 1200, lanes => '{fair7}') GROUP BY 1 ORDER BY 1;
ROLLBACK;
INSERT INTO fair_served (workspace) SELECT workspace FROM fairsched_claim('fair', 1200, lanes => '{fair7}');
SELECT fair_spread('fair_h', 'fair_i') <= 22 AS within_bound, count(*) FROM fair_served;

-- Workers that cannot serve it bring the lane rounds further in the middle of its visit: of that visit a job's
-- cost is left.  (Its ring catches up by a round, so more than a quantum and two jobs is to be expected.)
TRUNCATE fair_served;
SELECT fairsched_create_workspace(w, max_running => 1000, own_table => false) FROM unnest('{fair_j,fair_k}'::text[]) w;
SELECT cardinality(fairsched_enqueue_many('fair_j', array_fill('{}'::jsonb, ARRAY[300]), lane => 'fair8', capabilities => '{fair_g}'));
SELECT cardinality(fairsched_enqueue_many('fair_k', array_fill('{}'::jsonb, ARRAY[600]), lane => 'fair8'));
SELECT workspace, count(*) FROM fairsched_claim('fair_g', 3, lanes => '{fair8}', capabilities => '{fair_g}') GROUP BY 1;
SELECT workspace, count(*) FROM fairsched_claim('fair', 100, lanes => '{fair8}', capabilities => '{}') GROUP BY 1;
INSERT INTO fair_served (workspace) SELECT workspace FROM fairsched_claim('fair_g', 200, lanes => '{fair8}', capabilities => '{fair_g}');
SELECT fair_spread('fair_j', 'fair_k') <= 42 AS within_bound, count(*) FROM fair_served;

-- Flows of one class that need different capabilities take turns
SELECT count(fairsched_enqueue('fair_e', jsonb_build_object('n', 'f' || n), lane => 'fair3')) FROM generate_series(1, 3) n;
SELECT count(fairsched_enqueue('fair_e', jsonb_build_object('n', 'g' || n), lane => 'fair3', capabilities => '{g}')) FROM generate_series(1, 2) n;
SELECT string_agg(substr(payload ->> 'n', 1, 1), '') IN ('fgfgf', 'gfgff') AS in_turns
	FROM fairsched_claim('fair', 5, lanes => '{fair3}', capabilities => '{g,h}');

-- A full queue still knows its jobs
SELECT fairsched_create_workspace('fair_f', max_queue_size => 1, own_table => false);
SELECT is_duplicate FROM fairsched_enqueue('fair_f', unique_key => 'k', lane => 'fair4');
SELECT is_duplicate FROM fairsched_enqueue('fair_f', unique_key => 'k', lane => 'fair4');
SELECT cardinality(fairsched_enqueue_many('fair_f', array_fill('{}'::jsonb, ARRAY[2]), unique_keys => '{k,k}', lane => 'fair4'));
\set VERBOSITY terse
SELECT fairsched_enqueue('fair_f', unique_key => 'other', lane => 'fair4');

-- Isolating in the session that claimed keeps running jobs with their worker
SELECT cardinality(fairsched_enqueue_many('fair_g', array_fill('{}'::jsonb, ARRAY[3]), lane => 'fair5'));
SELECT count(*) FROM fairsched_claim('fair_x', 1, lanes => '{fair5}');
SELECT fairsched_isolate_workspace('fair_g');
SELECT count(*) FROM fairsched_claim('fair_y', 5, lanes => '{fair5}');
SELECT worker, count(*), min(attempt), max(attempt) FROM fairsched.running_jobs WHERE workspace = 'fair_g' GROUP BY 1 ORDER BY 1;

SELECT fairsched_drop_workspace(w, true) FROM unnest('{fair_a,fair_b,fair_c,fair_d,fair_e,fair_f,fair_g,fair_h,fair_i,fair_j,fair_k}'::text[]) w;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM fairsched_check() WHERE workspace LIKE 'fair\_%' AND NOT ok;
SELECT count(*) FROM fairsched.running_jobs WHERE workspace LIKE 'fair\_%';
DROP FUNCTION fair_spread;
DROP TABLE fair_served;
