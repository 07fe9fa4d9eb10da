-- Resource pressure: what the fleet has, who makes room for whom, and that the room is had by that one.
\set VERBOSITY sqlstate
SET client_min_messages = warning;
-- The scheduler leaves jobs alone for ten seconds; here they may be asked at once, by this session.
SET fairsched.preemption_min_runtime = 0;

CREATE VIEW asked AS
	SELECT workspace, priority, reason IN ('resource_constraint', 'high_priority_job') AS by_policy, resource, utilisation, threshold, outcome
	FROM fairsched.preemption_history ORDER BY preemption_id;
CREATE VIEW fleet AS SELECT resource, capacity, used, percent, kept, waiting FROM fairsched.capacity_status WHERE capacity IS NOT NULL;
-- n jobs that hold so much while they run.
CREATE FUNCTION put(workspace text, priority text, n int, resources jsonb) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(fairsched_enqueue(put.workspace, priority => put.priority, resources => put.resources)) FROM generate_series(1, n);
$$;
CREATE FUNCTION take(n int) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(c.workspace || ' ' || c.priority, ', ' ORDER BY c.ordinality)
	FROM fairsched_claim('w', n, lease => '1 h') WITH ORDINALITY c;
$$;
-- Workers that were asked give back.
CREATE FUNCTION give_back() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM fairsched.running_jobs WHERE directive = 'preempt' AND fairsched_yield(job_id, token, '{}');
$$;
CREATE FUNCTION clear() RETURNS void LANGUAGE sql AS $$
	SELECT fairsched_cancel(job_id) FROM fairsched.jobs;
	TRUNCATE fairsched.preemption_history;
$$;

-- What the fleet has is not exceeded.
SELECT fairsched_set_capacity('cpu', 4), fairsched_set_capacity('memory', 10.5);
SELECT * FROM fleet;
SELECT put('hog', 'P3', 10, '{"cpu": 1, "memory": 0.5}');
SELECT take(100);
SELECT take(1);
SELECT * FROM fleet;
SELECT workspace, parked_reason, parked_detail FROM fairsched.queue_status WHERE workspace = 'hog';
SELECT gate, verdict, value, limit_value, detail FROM fairsched_explain((SELECT max(job_id) FROM fairsched.jobs WHERE workspace = 'hog')) WHERE gate LIKE 'capacity%';
-- A job that needs none of it is not held up; rolled back, nothing is held.
SELECT put('small', 'P2', 1, '{"gpu": 1}');
BEGIN;
SELECT take(1);
ROLLBACK;
SELECT take(1);
-- What ends makes room, in the same call too; raised, there is more.
SELECT count(*) FROM fairsched.running_jobs r WHERE workspace = 'small' AND fairsched_complete(job_id, token);
SELECT c.workspace FROM (SELECT min(job_id) AS job_id, min(token) AS token FROM fairsched.running_jobs) r,
	fairsched_complete_and_claim(ARRAY[r.job_id], ARRAY[r.token], 'w', lease => '1 h') c;
SELECT * FROM fleet;
SELECT fairsched_set_capacity('cpu', 6);
SELECT take(100);
SELECT fairsched_set_capacity('cpu', 4);
SELECT * FROM fleet;
SELECT take(1);
-- Less than a job needs: it waits for ever, and nobody is asked for it.
SELECT put('huge', 'P0', 1, '{"cpu": 5}');
SELECT take(1);
SELECT workspace, parked_detail FROM fairsched.queue_status WHERE workspace = 'huge';
SELECT fairsched_evaluate_preemption();
SELECT clear();
SELECT fairsched_evaluate_preemption() >= 0 AS settled;

-- Candidates: lowest class, then the workspace furthest above its share, then the least work lost.
SELECT fairsched_set_capacity('cpu', 20), fairsched_set_capacity('memory', NULL);
SELECT fairsched_create_workspace('one'), fairsched_create_workspace('four', tier => 'enterprise');
SELECT put('one', 'P2', 1, '{"cpu": 1}'), put('one', 'P3', 3, '{"cpu": 2}'), put('four', 'P3', 3, '{"cpu": 4}'), put('one', 'P1', 1, '{"cpu": 1}');
SELECT count(*) FROM fairsched_claim('w', 100);
SELECT workspace, priority, amount, held_by_workspace FROM fairsched_preemption_candidates('cpu');
SELECT workspace, priority, amount, held_by_workspace FROM fairsched_preemption_candidates('cpu', max_jobs => 1);
-- The one that saved just now loses least.
WITH j AS (SELECT job_id, token FROM fairsched.running_jobs WHERE workspace = 'four' ORDER BY job_id LIMIT 1)
	SELECT fairsched_checkpoint(job_id, token, '{}') FROM j;
SELECT c.job_id = (SELECT min(job_id) FROM fairsched.running_jobs WHERE workspace = 'four') AS saved_last
	FROM fairsched_preemption_candidates('cpu') c WHERE workspace = 'four' LIMIT 1;
-- Those that were asked, that hold none of it, or that have just begun are none.
SELECT count(*) FROM fairsched_preemption_candidates('gpu');
SELECT fairsched_preempt(job_id, 'manual') FROM fairsched_preemption_candidates('cpu', 1);
SELECT count(*) FROM fairsched_preemption_candidates('cpu');
SET fairsched.preemption_min_runtime = '1h';
SELECT count(*) FROM fairsched_preemption_candidates('cpu');
SET fairsched.preemption_min_runtime = 0;
SELECT clear();
SELECT fairsched_evaluate_preemption() >= 0 AS settled;

-- At 80 %, P3 makes room for P2; not for a job that can have what it needs.
SELECT fairsched_set_capacity('cpu', 5);
SELECT put('hog', 'P3', 20, '{"cpu": 1}');
SELECT take(4);
SELECT put('normal', 'P2', 1, '{"cpu": 1}');
SELECT take(1);
SELECT fairsched_evaluate_preemption();
SELECT put('normal', 'P2', 1, '{"cpu": 2}');
SELECT take(1);
SELECT fairsched_evaluate_preemption();
SELECT * FROM asked;
-- Again: who was asked will give room, so nobody else is.
SELECT fairsched_evaluate_preemption(), fairsched_evaluate_preemption();
SELECT give_back();
-- The room is for the one that caused it: the P3 jobs that wait do not get it.
SELECT * FROM fleet;
SELECT count(*) FROM fairsched.jobs WHERE workspace = 'hog' AND state = 'available';
SELECT take(100);
SELECT * FROM fleet;
-- And it is full again: one more P2 job waits, and nobody makes room for the P3 jobs that do.
SELECT fairsched_evaluate_preemption();
SELECT give_back();
SELECT take(100);
SELECT fairsched_evaluate_preemption();
SELECT count(*) FROM asked;
SELECT clear();
SELECT fairsched_evaluate_preemption() >= 0 AS settled;

-- At 85 %, P3 first and then P2 for P0 and P1; P2 is not for P2; P1 is for nobody.
SELECT put('high', 'P1', 2, '{"cpu": 1}'), put('mid', 'P2', 2, '{"cpu": 1}'), put('low', 'P3', 1, '{"cpu": 1}');
SELECT take(5);
SELECT put('other', 'P2', 1, '{"cpu": 2}');
SELECT take(1);
SELECT fairsched_evaluate_preemption();
SELECT put('rush', 'P0', 1, '{"cpu": 3}');
SELECT take(1);
SELECT fairsched_evaluate_preemption();
SELECT * FROM asked;
SELECT give_back();
SELECT take(100);
SELECT clear();
SELECT fairsched_evaluate_preemption() >= 0 AS settled;
SELECT put('high', 'P1', 5, '{"cpu": 1}');
SELECT take(5);
SELECT put('rush', 'P0', 1, '{"cpu": 1}');
SELECT take(1);
SELECT fairsched_evaluate_preemption();
SELECT clear();
SELECT fairsched_evaluate_preemption() >= 0 AS settled;

-- A job that was cancelled while it waited asks nobody.
SELECT put('low', 'P3', 5, '{"cpu": 1}');
SELECT take(5);
SELECT put('rush', 'P1', 1, '{"cpu": 1}');
SELECT take(1);
SELECT fairsched_cancel(job_id) FROM fairsched.jobs WHERE workspace = 'rush';
SELECT fairsched_evaluate_preemption();
SELECT clear();
SELECT fairsched_evaluate_preemption() >= 0 AS settled;

-- A rule can be changed, put off, and made; one acts in an evaluation.
SELECT policy, threshold, preempts, waiting, max_jobs, ordering, enabled FROM fairsched.preemption_policies ORDER BY policy;
SELECT put('low', 'P3', 5, '{"cpu": 1}');
SELECT take(5);
SELECT put('rush', 'P1', 1, '{"cpu": 4}');
SELECT take(1);
UPDATE fairsched.preemption_policies SET enabled = false;
SELECT fairsched_evaluate_preemption();
UPDATE fairsched.preemption_policies SET enabled = true, max_jobs = 3;
SELECT fairsched_evaluate_preemption();
SELECT fairsched_evaluate_preemption();
SELECT fairsched_evaluate_preemption();
SELECT threshold, count(*) FROM asked GROUP BY 1;
SELECT clear();
SELECT fairsched_evaluate_preemption() >= 0 AS settled;
UPDATE fairsched.preemption_policies SET max_jobs = 5;
INSERT INTO fairsched.preemption_policies VALUES ('bad', 'cpu', 90, '{P1}', '{P0}');
INSERT INTO fairsched.preemption_policies VALUES ('bad', 'cpu', 0, '{P3}', '{P0}');
INSERT INTO fairsched.preemption_policies VALUES ('bad', 'money', 90, '{P3}', '{P0}');
INSERT INTO fairsched.preemption_policies VALUES ('cpu_80', 'cpu', 70, '{P3}', '{P0}');
INSERT INTO fairsched.preemption_policies VALUES ('cpu_80', 'cpu', 70, '{P3}', '{P0}');
DELETE FROM fairsched.preemption_policies WHERE policy = 'cpu_80';
INSERT INTO fairsched.preemption_policies (policy, resource, threshold, preempts, waiting) VALUES ('cpu_80', 'cpu', 80, '{P3}', '{P0,P1,P2}');

-- A job that was preempted often enough is over, or left alone.
SELECT put('low', 'P3', 5, '{"cpu": 1}');
SELECT take(5);
SELECT put('rush', 'P1', 1, '{"cpu": 1}');
SELECT take(1);
SET fairsched.max_preemptions = 0;
UPDATE fairsched.preemption_policies SET on_exhausted = 'run_to_end';
SELECT fairsched_evaluate_preemption();
UPDATE fairsched.preemption_policies SET on_exhausted = 'discard';
SELECT fairsched_evaluate_preemption();
SELECT outcome FROM asked;
SELECT take(1);
RESET fairsched.max_preemptions;
UPDATE fairsched.preemption_policies SET on_exhausted = NULL;
SELECT clear();
SELECT fairsched_evaluate_preemption() >= 0 AS settled;

-- The classic loop: an urgent job comes again and again, work that was stopped waits. Each time one job
-- makes room, and what was stopped does not come back before the use has fallen.
SELECT put('hog', 'P3', 40, '{"cpu": 1}');
SELECT take(5);
CREATE PROCEDURE loop(rounds int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..rounds LOOP
		PERFORM put('rush', 'P1', 1, '{"cpu": 1}');
		COMMIT;
		PERFORM take(10);
		COMMIT;
		FOR k IN 1..3 LOOP
			PERFORM fairsched_evaluate_preemption();
			COMMIT;
			PERFORM give_back();
			COMMIT;
			PERFORM take(10);
			COMMIT;
		END LOOP;
		PERFORM fairsched_complete(job_id, token) FROM fairsched.running_jobs WHERE workspace = 'rush';
		COMMIT;
		PERFORM take(10);
		COMMIT;
	END LOOP;
END
$$;
CALL loop(10);
SELECT count(*) AS preemptions, count(DISTINCT job_id) AS jobs FROM fairsched.preemption_history;
SELECT workspace, state, count(*) FROM fairsched.jobs GROUP BY 1, 2 ORDER BY 1, 2;
SELECT clear();
SELECT fairsched_evaluate_preemption() >= 0 AS settled;

-- What is refused.
SELECT fairsched_set_capacity('tokens', 1);
SELECT fairsched_set_capacity(NULL, 1);
SELECT fairsched_set_capacity('cpu', -1);
SELECT fairsched_set_capacity('cpu', 'NaN');
SELECT * FROM fairsched_preemption_candidates('tokens');
SELECT * FROM fairsched_preemption_candidates(NULL);
SELECT * FROM fairsched_preemption_candidates('cpu', 0);
SELECT * FROM fairsched_preemption_candidates('cpu', NULL);

-- No capacity, no limit; none at all, no job that needs it.
SELECT fairsched_set_capacity('cpu', 0);
SELECT put('a', 'P0', 1, '{"cpu": 0.000001}');
SELECT take(1);
SELECT fairsched_evaluate_preemption();
SELECT fairsched_set_capacity('cpu', NULL);
SELECT take(1);
SELECT clear();
SELECT fairsched_evaluate_preemption() >= 0 AS settled;
SELECT resource, capacity, used, percent, kept, waiting FROM fairsched.capacity_status;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM fairsched_check() WHERE NOT ok;
