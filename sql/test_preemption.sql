-- The protocol of preemption: asked, told, given back or revoked, resumed.
\set VERBOSITY sqlstate
SET client_min_messages = warning;

-- The scheduler does some of it on its own: until a condition holds.
CREATE PROCEDURE until(cond text) LANGUAGE plpgsql AS $$
DECLARE
	ok boolean;
BEGIN
	FOR i IN 1..6000 LOOP
		EXECUTE 'SELECT ' || cond INTO ok;
		-- and memory has followed the rows
		IF ok AND NOT EXISTS (SELECT FROM fairsched_check() c WHERE NOT c.ok) THEN
			RETURN;
		END IF;
		COMMIT;
		PERFORM pg_sleep(0.05);
	END LOOP;
	RAISE EXCEPTION 'did not come: %', cond;
END
$$;
SELECT coalesce(max(preemption_id), 0) AS since FROM fairsched.preemption_history \gset
CREATE VIEW history AS
	SELECT priority, reason, resource, outcome, answer, has_checkpoint, work_lost = '0' AS nothing_lost,
		preempted_at >= requested_at AS stopped, resumed_at >= preempted_at AS resumed
	FROM fairsched.preemption_history WHERE preemption_id > :since ORDER BY preemption_id;

-- Asked and given back.
SELECT job_id AS job FROM fairsched_enqueue('a', '{"n": 1}', priority => 'P3') \gset
SELECT count(fairsched_enqueue('a', priority => 'P3')) FROM generate_series(1, 3);
SELECT job_id = :job AS first, token, attempt, checkpoint FROM fairsched_claim('w') \gset
SELECT directive FROM fairsched_heartbeat(ARRAY[:job], ARRAY[:token]);
SELECT fairsched_preempt(:job, 'manual');
SELECT directive FROM fairsched_heartbeat(ARRAY[:job], ARRAY[:token]);
SELECT directive FROM fairsched_heartbeat(worker => 'w');
SELECT directive FROM fairsched.running_jobs WHERE job_id = :job;
SELECT fairsched_checkpoint(:job, :token, '{"at": 10}');
-- Once is enough.
SELECT fairsched_preempt(:job, 'manual');
SELECT fairsched_yield(:job, :token, '{"at": 11}');
SELECT * FROM history;
SELECT state, attempt, preemptions, checkpoint, run_at FROM fairsched.jobs WHERE job_id = :job;
SELECT priority, effective_priority, state, wait >= '0' AS waits, preemption_count
	FROM fairsched.priority_queue WHERE state <> 'available';
-- The token is stale for every verb.
SELECT fairsched_yield(:job, :token, '{"at": 12}'), fairsched_complete(:job, :token),
	fairsched_fail(:job, :token, 'late'), fairsched_release(:job, :token), fairsched_checkpoint(:job, :token, '{"at": 13}');
SELECT directive FROM fairsched_heartbeat(ARRAY[:job], ARRAY[:token]);
-- It does not come back by itself, and is first in its class when it does: with its checkpoint, and the attempt not counted.
SELECT fairsched_evaluate_preemption();
SELECT job_id <> :job AS another FROM fairsched_claim('other');
SELECT fairsched_resume_job(:job);
SELECT fairsched_resume_job(:job);
SELECT job_id = :job AS resumed, attempt, checkpoint, token > :token AS newer, token FROM fairsched_claim('w') \gset
SELECT :'resumed' AS resumed, :'attempt' AS attempt, :'checkpoint' AS checkpoint, :'newer' AS newer;
SELECT * FROM history;

-- Revoked: the worker does not answer.
SET fairsched.preemption_grace = 0;
SELECT fairsched_checkpoint(:job, :token, '{"at": 20}');
SELECT fairsched_preempt(:job, 'high_priority_job', 'memory');
CALL until($$(SELECT state = 'preempted' FROM fairsched.jobs WHERE payload ->> 'n' = '1')$$);
SELECT state, attempt, preemptions, checkpoint FROM fairsched.jobs WHERE job_id = :job;
SELECT directive FROM fairsched_heartbeat(ARRAY[:job], ARRAY[:token]);
SELECT fairsched_yield(:job, :token, '{"at": 21}'), fairsched_complete(:job, :token), fairsched_checkpoint(:job, :token, '{"at": 22}');
SELECT fairsched_resume_job(:job);
SELECT job_id = :job AS resumed, attempt, checkpoint, token FROM fairsched_claim('w') \gset
SELECT :'resumed' AS resumed, :'attempt' AS attempt, :'checkpoint' AS checkpoint;
SELECT * FROM history;
RESET fairsched.preemption_grace;

-- A completion that comes first wins, and the request is void.
SELECT fairsched_preempt(:job, 'manual');
SELECT fairsched_complete(:job, :token);
CALL until($$NOT EXISTS (SELECT FROM fairsched.preemption_history WHERE outcome = 'requested')$$);
SELECT * FROM history;
TRUNCATE fairsched.preemption_history;
SELECT fairsched_cancel_many(array_agg(job_id)) IS NOT NULL FROM fairsched.jobs;

-- Nothing holds before commit, and a rollback takes all of it back.
SELECT job_id AS job FROM fairsched_enqueue('a', priority => 'P3') \gset
SELECT token FROM fairsched_claim('w') \gset
BEGIN;
SELECT fairsched_preempt(:job, 'manual');
SELECT directive FROM fairsched_heartbeat(ARRAY[:job], ARRAY[:token]);
SELECT fairsched_evaluate_preemption();
SELECT directive FROM fairsched_heartbeat(ARRAY[:job], ARRAY[:token]);
ROLLBACK;
SELECT directive FROM fairsched_heartbeat(ARRAY[:job], ARRAY[:token]);
BEGIN;
SAVEPOINT s;
SELECT fairsched_preempt(:job, 'manual');
ROLLBACK TO s;
COMMIT;
SELECT directive FROM fairsched_heartbeat(ARRAY[:job], ARRAY[:token]);
SELECT count(*) FROM fairsched.preemption_history;
BEGIN;
SELECT fairsched_preempt(:job, 'manual');
PREPARE TRANSACTION 'preempt';
SELECT fairsched_preempt(:job, 'manual');
BEGIN;
SELECT fairsched_yield(:job, :token, '{"at": 1}');
ROLLBACK;
SELECT state, checkpoint FROM fairsched.jobs WHERE job_id = :job;
SELECT directive FROM fairsched_heartbeat(ARRAY[:job], ARRAY[:token]);
SELECT fairsched_yield(:job, :token, '{"at": 2}');
BEGIN;
SELECT fairsched_resume_job(:job);
ROLLBACK;
SELECT state FROM fairsched.jobs WHERE job_id = :job;
SELECT * FROM history;
-- Cancelled while it waits.
SELECT fairsched_cancel(:job);
SELECT * FROM history;
TRUNCATE fairsched.preemption_history;

-- Asked and failed, asked and released: over without a preemption.
SELECT job_id AS job FROM fairsched_enqueue('a') \gset
SELECT token FROM fairsched_claim('w') \gset
SELECT fairsched_preempt(:job, 'manual');
SELECT fairsched_release(:job, :token);
CALL until($$NOT EXISTS (SELECT FROM fairsched.preemption_history WHERE outcome = 'requested')$$);
SELECT token FROM fairsched_claim('w') \gset
SELECT directive FROM fairsched_heartbeat(ARRAY[:job], ARRAY[:token]);
SELECT fairsched_preempt(:job, 'manual');
SELECT fairsched_fail(:job, :token, 'no');
CALL until($$NOT EXISTS (SELECT FROM fairsched.preemption_history WHERE outcome = 'requested')$$);
SELECT outcome, count(*) FROM history GROUP BY 1;
SELECT preemptions FROM fairsched.jobs WHERE job_id = :job;
SELECT fairsched_cancel(:job);
TRUNCATE fairsched.preemption_history;

-- A worker that gives a job back of its own accord: it is resumed at once, and that is no preemption.
SELECT job_id AS job FROM fairsched_enqueue('a') \gset
SELECT token FROM fairsched_claim('w') \gset
SELECT fairsched_yield(:job, :token, '{"at": 5}');
CALL until($$(SELECT bool_and(state = 'available') FROM fairsched.jobs)$$);
SELECT attempt, checkpoint, preemptions FROM fairsched.jobs WHERE job_id = :job;
SELECT count(*) FROM fairsched.preemption_history;
-- reschedule and assign_priority on a preempted job.
SELECT token FROM fairsched_claim('w') \gset
SELECT fairsched_preempt(:job, 'manual'), fairsched_yield(:job, :token, '{"at": 6}');
CALL until($$(SELECT state = 'preempted' FROM fairsched.jobs)$$);
SELECT fairsched_assign_priority(:job, 'P1');
SELECT state, priority FROM fairsched.jobs WHERE job_id = :job;
SELECT fairsched_reschedule(:job, now());
SELECT * FROM history;
SELECT fairsched_cancel(:job);
TRUNCATE fairsched.preemption_history;

-- Too often: fairsched.max_preemptions times three, then it is over; its checkpoint stays with it.
SELECT job_id AS job FROM fairsched_enqueue('a', priority => 'P3') \gset
CREATE PROCEDURE again(job bigint, times int) LANGUAGE plpgsql AS $$
DECLARE
	t bigint;
BEGIN
	FOR i IN 1..times LOOP
		SELECT c.token INTO t FROM fairsched_claim('w') c;
		COMMIT;
		PERFORM fairsched_preempt(job, 'manual');
		COMMIT;
		PERFORM fairsched_yield(job, t, jsonb_build_object('round', i));
		COMMIT;
		PERFORM fairsched_resume_job(job);
		COMMIT;
	END LOOP;
END
$$;
CALL again(:job, 3);
SELECT token, attempt, checkpoint FROM fairsched_claim('w') \gset
SELECT :'attempt' AS attempt, :'checkpoint' AS checkpoint;
SELECT fairsched_preempt(:job, 'manual');
SELECT directive FROM fairsched_heartbeat(ARRAY[:job], ARRAY[:token]);
SELECT fairsched_complete(:job, :token);
SELECT state, attempt, error FROM fairsched_job_status(:job);
SELECT checkpoint FROM fairsched.job_history WHERE job_id = :job;
SELECT outcome, count(*) FROM history GROUP BY 1 ORDER BY 1;
-- Tried again it starts afresh, from its checkpoint.
SELECT fairsched_retry(:job);
SELECT attempt, checkpoint FROM fairsched_claim('w');
SELECT preemptions FROM fairsched.jobs WHERE job_id = :job;
SELECT fairsched_cancel(:job);
TRUNCATE fairsched.preemption_history;
-- Or it runs to its end.
SET fairsched.preemption_on_exhausted = 'run_to_end';
SET fairsched.max_preemptions = 1;
SELECT job_id AS job FROM fairsched_enqueue('a', priority => 'P3') \gset
CALL again(:job, 1);
SELECT token FROM fairsched_claim('w') \gset
SELECT fairsched_preempt(:job, 'manual');
SELECT directive FROM fairsched_heartbeat(ARRAY[:job], ARRAY[:token]);
SELECT fairsched_complete(:job, :token);
RESET fairsched.preemption_on_exhausted;
RESET fairsched.max_preemptions;
TRUNCATE fairsched.preemption_history;

-- A throttle: running jobs go on, unless its workspace chose otherwise.
CREATE FUNCTION told() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(priority || ' ' || directive, ', ' ORDER BY priority) FROM fairsched.running_jobs;
$$;
SELECT fairsched_set_quota('q', 'tokens', 100), fairsched_set_throttle('q', true, 0.5, '1 hour');
SELECT count(fairsched_enqueue('q', priority => p)) FROM unnest('{P1,P2,P3}'::text[]) p;
SELECT count(*) FROM fairsched_claim('w', 10, lease => '1 h');
SELECT fairsched_record_usage('q', 'tokens', 60);
SELECT parked_reason IS NULL AS not_asked_yet, throttled_until > now() AS throttled FROM fairsched.workspace_usage_current
	JOIN fairsched.workspace_status USING (workspace) WHERE workspace = 'q' AND resource = 'tokens';
SELECT fairsched_evaluate_preemption();
SELECT told();
-- Chosen while it is throttled: P3 from now on, then P2 as well; each is asked once.
SELECT fairsched_set_throttle('q', true, 0.5, '1 hour', preempt => 'P3');
CALL until($$told() = 'P1 continue, P2 continue, P3 preempt'$$);
SELECT fairsched_evaluate_preemption();
SELECT told();
SELECT fairsched_set_throttle('q', true, 0.5, '1 hour', preempt => 'P2,P3');
CALL until($$told() = 'P1 continue, P2 preempt, P3 preempt'$$);
SELECT priority, reason, resource, utilisation, threshold, outcome FROM fairsched.preemption_history ORDER BY priority;
SELECT count(*) FROM fairsched.running_jobs WHERE directive = 'preempt' AND fairsched_yield(job_id, token, '{"at": 1}');
-- They are not resumed while it lasts, and are when it is over.
SELECT fairsched_evaluate_preemption();
SELECT priority, state FROM fairsched.jobs WHERE workspace = 'q' ORDER BY 1;
SELECT fairsched_set_throttle('q', false);
CALL until($$NOT EXISTS (SELECT FROM fairsched.jobs WHERE state = 'preempted')$$);
SELECT priority, outcome FROM fairsched.preemption_history ORDER BY priority;
SELECT priority, checkpoint FROM fairsched_claim('w', 10, lease => '1 h') ORDER BY 1;
-- Armed again when it has been below; the next crossing asks again, of itself.
SELECT fairsched_set_throttle('q', true, 0.9, '1 hour', preempt => 'P3');
SELECT told();
SELECT fairsched_record_usage('q', 'tokens', 35);
CALL until($$told() = 'P1 continue, P2 continue, P3 preempt'$$);
SELECT fairsched_set_throttle('q', true, preempt => 'P1');
SELECT fairsched_set_throttle('q', true, preempt => '');
SELECT fairsched_drop_workspace('q', force => true);
TRUNCATE fairsched.preemption_history;

-- What is refused.
SELECT job_id AS job FROM fairsched_enqueue('a') \gset
SELECT fairsched_preempt(:job, 'manual');
SELECT fairsched_preempt(4711, 'manual');
SELECT fairsched_preempt(:job, 'because');
SELECT fairsched_preempt(:job, NULL);
SELECT fairsched_preempt(NULL, 'manual');
SELECT fairsched_preempt(:job, 'manual', '');
SELECT fairsched_resume_job(:job);
SELECT fairsched_resume_job(4711);
SELECT fairsched_resume_job(NULL);
SELECT fairsched_yield(:job, 1, NULL);
\set VERBOSITY default
SELECT fairsched_preempt(4711, 'because');
\set VERBOSITY sqlstate

-- priority_queue: by the class a job counts as, then by age, over all workspaces.
SELECT count(fairsched_enqueue(w, priority => p, resources => r)) FROM unnest('{P2,P3,P1,P0}'::text[]) p,
	unnest('{b,c}'::text[]) w, unnest('{"{}","{\"memory\": 1}"}'::jsonb[]) r;
SELECT string_agg(workspace || ' ' || priority, ', ') FROM (SELECT * FROM fairsched.priority_queue LIMIT 9) q;
SELECT count(*), count(DISTINCT job_id) FROM fairsched.priority_queue;
-- The history goes with its workspace.
SELECT token FROM fairsched_claim('w', 17) WHERE job_id = :job \gset
SELECT fairsched_preempt(:job, 'manual');
SELECT fairsched_drop_workspace('a', force => true), fairsched_drop_workspace('b', force => true), fairsched_drop_workspace('c', force => true);
SELECT count(*) FROM fairsched.preemption_history;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM fairsched_check() WHERE NOT ok;
