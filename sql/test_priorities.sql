-- Order inside a workspace, urgent work before the ring's order, and the debt it leaves.
\set VERBOSITY terse
SET client_min_messages = warning;

CREATE TABLE served (at bigserial, workspace text, priority text, job_id bigint);
-- Claims n jobs, one at a time, each in a transaction of its own, and notes them.
CREATE PROCEDURE serve(n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..n LOOP
		INSERT INTO served (workspace, priority, job_id)
			SELECT workspace, priority, job_id FROM fairsched_claim('w')
			WHERE fairsched_complete(job_id, token);
		COMMIT;
	END LOOP;
END
$$;
-- What was served, runs of the same joined.
CREATE FUNCTION story() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(what || CASE WHEN n > 1 THEN ' x' || n ELSE '' END, ', ' ORDER BY first)
	FROM (SELECT what, count(*) AS n, min(at) AS first
		FROM (SELECT at, workspace || ' ' || priority AS what,
				row_number() OVER (ORDER BY at) - row_number() OVER (PARTITION BY workspace, priority ORDER BY at) AS grp
			FROM served) s
		GROUP BY what, grp) g
$$;

-- Inside a workspace: class, then age; a job that returned is first in its class.
SELECT count(fairsched_enqueue('a', priority => p)) FROM unnest('{P3,P1,P2,P0,P2,P1,P3,P0}'::text[]) p;
CALL serve(8);
SELECT story();
TRUNCATE served;

-- A full ring of twenty, each with more to do than it is served here.
SELECT count(fairsched_enqueue('t' || w)) FROM generate_series(1, 20) w, generate_series(1, 60);
CALL serve(25);
TRUNCATE served;

-- Urgent work of one of them is the next that is claimed, wherever the ring is.
SELECT count(fairsched_enqueue('t17', priority => 'P0'));
CALL serve(1);
SELECT story();
TRUNCATE served;
-- A workspace that was not there before, too.
SELECT count(fairsched_enqueue('new', priority => 'P0'));
CALL serve(1);
SELECT story();
TRUNCATE served;

-- Two urgent ones take turns.
SELECT count(fairsched_enqueue(w, priority => 'P0')) FROM unnest('{t3,t5}'::text[]) w, generate_series(1, 3);
CALL serve(6);
SELECT story();
SELECT count(fairsched_drop_workspace('t' || w, force => true)) FROM generate_series(1, 20) w;
TRUNCATE served;

-- The quantum is 20: one at a time, twenty jump; the next waits until a round has passed.
SELECT count(fairsched_enqueue('calm')) FROM generate_series(1, 200);
CALL serve(1);
DO $$
BEGIN
	FOR i IN 1..26 LOOP
		PERFORM fairsched_enqueue('loud', priority => 'P0');
		COMMIT;
		CALL serve(1);
	END LOOP;
END
$$;
SELECT story();
SELECT deficit FROM fairsched.workspace_status WHERE workspace = 'loud';
TRUNCATE served;
SELECT fairsched_drop_workspace('calm', force => true), fairsched_drop_workspace('loud', force => true);

-- Nobody gains by marking everything urgent: over any stretch of claims the two
-- differ by at most 3 * Qmin + 2 * Max = 62, and in the end each had its half.
SELECT count(fairsched_enqueue('urgent', priority => 'P0')), count(fairsched_enqueue('normal'))
	FROM generate_series(1, 700);
CALL serve(1000);
WITH lead AS (
	SELECT at, sum(CASE workspace WHEN 'urgent' THEN 1 ELSE -1 END) OVER (ORDER BY at) AS ahead FROM served)
SELECT max(ahead) - min(ahead) <= 62 AS within_the_bound,
	(SELECT abs(ahead) <= 40 FROM lead ORDER BY at DESC LIMIT 1) AS halves FROM lead;
-- Among them a rare urgent job of a third is next at once.
SELECT count(fairsched_enqueue('rare', priority => 'P0'));
TRUNCATE served;
CALL serve(1);
SELECT story();
TRUNCATE served;
SELECT fairsched_drop_workspace('urgent', force => true), fairsched_drop_workspace('normal', force => true);

-- An urgent job that costs more than the debt allows waits for its turn: two rounds.
SELECT count(fairsched_enqueue('calm')) FROM generate_series(1, 100);
CALL serve(1);
SELECT count(fairsched_enqueue('dear', priority => 'P0', cost => 30));
CALL serve(45);
SELECT story();
TRUNCATE served;
SELECT fairsched_drop_workspace('calm', force => true);

-- Rolled back, urgent work costs nothing.
SELECT count(fairsched_enqueue('calm')) FROM generate_series(1, 5);
SELECT job_id AS urgent FROM fairsched_enqueue('loud', priority => 'P0') \gset
BEGIN;
SELECT workspace, priority FROM fairsched_claim('w');
SELECT workspace, deficit < 0 AS owes FROM fairsched.workspace_status WHERE workspace = 'loud';
ROLLBACK;
SELECT workspace, deficit < 0 AS owes FROM fairsched.workspace_status WHERE workspace = 'loud';
SELECT workspace, priority FROM fairsched_claim('w');
SELECT fairsched_drop_workspace('calm', force => true), fairsched_drop_workspace('loud', force => true);

-- fairsched_assign_priority: waiting jobs.
SELECT job_id AS low FROM fairsched_enqueue('b', priority => 'P3') \gset
SELECT job_id AS mid FROM fairsched_enqueue('b', priority => 'P2') \gset
SELECT fairsched_assign_priority(:low, 'P0', 'the customer waits');
SELECT state, priority, priority_note ->> 'reason' AS reason, priority_note ->> 'overridable' AS overridable,
	(priority_note ->> 'at')::timestamptz BETWEEN now() - interval '1 min' AND clock_timestamp() AS dated
	FROM fairsched.jobs WHERE job_id = :low;
SELECT job_id = :low AS first, priority, token AS low_token FROM fairsched_claim('w') \gset
SELECT :'first' AS first, :'priority' AS priority;
-- Running ones: the class is that of the job from then on, the token stays.
SELECT fairsched_assign_priority(:low, 'P1', 'it runs', overridable => false);
SELECT state, priority, token = :low_token AS same_token FROM fairsched.jobs WHERE job_id = :low;
SELECT priority FROM fairsched.running_jobs WHERE job_id = :low;
SELECT directive FROM fairsched_heartbeat(ARRAY[:low], ARRAY[:low_token]);
-- An assignment that was not overridable stands, whoever asks.
\set VERBOSITY sqlstate
SELECT fairsched_assign_priority(:low, 'P3');
SELECT priority, priority_note ->> 'reason' AS reason FROM fairsched.jobs WHERE job_id = :low;
SELECT fairsched_release(:low, :low_token);
SELECT fairsched_assign_priority(:low, 'P3');
-- Rolled back it is as it was.
BEGIN;
SELECT fairsched_assign_priority(:mid, 'P0');
ROLLBACK;
SELECT job_id = :low AS first, priority, token AS low_token FROM fairsched_claim('w') \gset
SELECT :'first' AS first, :'priority' AS priority;
BEGIN;
SELECT fairsched_assign_priority(job_id, 'P3') FROM fairsched_claim('w') WHERE job_id = :mid;
ROLLBACK;
SELECT job_id = :mid AS mid, priority FROM fairsched_claim('w');
SELECT fairsched_assign_priority(4711, 'P1');
SELECT fairsched_assign_priority(:mid, 'P9');
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM fairsched_check() WHERE NOT ok;
