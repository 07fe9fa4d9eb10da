-- A crossed threshold that preempts classes holds new jobs of them back, until it is armed again.
SET client_min_messages = warning;
SELECT fairsched_register_worker('bc', slots => 100);
CREATE FUNCTION add(budgets text[], VARIADIC priorities text[]) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(fairsched_enqueue('bc_w', lane => 'bc', budgets => budgets, resources => '{"cost": 1}', priority => p))
	FROM unnest(priorities) p
$$;
-- what is claimed, in order; the jobs are given back by done() with nothing spent
CREATE FUNCTION take(n int DEFAULT 10) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(priority, ',') FROM fairsched_claim('bc', n, lanes => '{bc}', lease => '1 hour')
$$;
CREATE FUNCTION done() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FILTER (WHERE fairsched_complete(job_id, token, usage => '{"cost": 0}')) FROM fairsched.running_jobs WHERE lane = 'bc'
$$;
CREATE FUNCTION clear() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(fairsched_cancel(job_id)) FROM fairsched.jobs WHERE lane = 'bc'
$$;
CREATE FUNCTION waits() RETURNS TABLE (parked_reason text, parked_detail text, since boolean, retry_at timestamptz) LANGUAGE sql AS $$
	SELECT parked_reason, parked_detail, parked_since IS NOT NULL, retry_at FROM fairsched.queue_status WHERE lane = 'bc' ORDER BY 1, 2
$$;
CREATE FUNCTION explained() RETURNS TABLE (priority text, verdict text, value numeric, limit_value numeric, detail text) LANGUAGE sql AS $$
	SELECT DISTINCT j.priority, e.verdict, e.value, e.limit_value, e.detail FROM fairsched.jobs j, fairsched_explain(j.job_id) e
	WHERE j.lane = 'bc' AND j.state = 'available' AND e.gate = 'budget' ORDER BY 1
$$;
CREATE FUNCTION wait_until(condition text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	ok boolean;
BEGIN
	FOR i IN 1..6000 LOOP
		EXECUTE 'SELECT ' || condition INTO ok;
		-- and memory has followed the rows
		EXIT WHEN ok AND NOT EXISTS (SELECT FROM fairsched_check() c WHERE NOT c.ok);
		PERFORM pg_sleep(0.1);
	END LOOP;
	RETURN ok;
END
$$;

SELECT fairsched_set_budget('bc', 100, warn_at => NULL, throttle_at => 0.5, preempt_at => 0.7);
SELECT add('{bc}', 'P3', 'P2', 'P1', 'P3');
SELECT fairsched_record_spend('bc', 50);
-- one flow of three classes: P3 is passed over, the others go on; the first P3 is the oldest of all
SELECT take(1), take(1), take(1);
SELECT classes_held_back, paused FROM fairsched.budget_status WHERE budget = 'bc';
SELECT * FROM waits();
SELECT * FROM explained();
-- a new urgent job of the same flow is not held up by those that wait
SELECT add('{bc}', 'P0', 'P2');
SELECT * FROM explained();
SELECT take();
SELECT done();
-- nor is who finishes a job and claims in one call let around it
SELECT add('{bc}', 'P2');
SELECT take();
SELECT count(*) FROM fairsched.running_jobs r, fairsched_complete_and_claim(ARRAY[r.job_id], ARRAY[r.token], 'bc', lanes => '{bc}') WHERE r.lane = 'bc';
-- what was spent by that completion was the estimate
SELECT spent FROM fairsched.budget_status WHERE budget = 'bc';
-- raised: they are let in at once
SELECT fairsched_set_budget('bc', 110, warn_at => NULL, throttle_at => 0.5, preempt_at => 0.7);
SELECT classes_held_back FROM fairsched.budget_status WHERE budget = 'bc';
SELECT * FROM waits();
SELECT take();
SELECT done();
-- the next threshold holds P2 back as well; a reset lifts all
SELECT fairsched_record_spend('bc', 26);
SELECT add('{bc}', 'P3', 'P2');
SELECT take();
SELECT classes_held_back FROM fairsched.budget_status WHERE budget = 'bc';
SELECT * FROM waits();
SELECT * FROM explained();
-- whoever is made more urgent may go
SELECT fairsched_assign_priority(job_id, 'P1') FROM fairsched.jobs WHERE lane = 'bc' AND priority = 'P3';
SELECT take();
SELECT fairsched_reset_budget('bc');
SELECT take();
SELECT done(), clear();
-- an action that is changed takes effect, a budget that is removed holds nobody back by class
SELECT fairsched_record_spend('bc', 60);
SELECT add('{bc}', 'P3');
SELECT take();
SELECT fairsched_set_budget('bc', 110, warn_at => NULL, throttle_at => 0.5, throttle_action => 'alert');
SELECT take();
SELECT fairsched_set_budget('bc', 110, warn_at => NULL, throttle_at => 0.5);
SELECT add('{bc}', 'P3');
SELECT take();
DELETE FROM fairsched.budgets WHERE budget = 'bc';
SELECT * FROM waits();
SELECT fairsched_set_budget('bc', 110, warn_at => NULL, throttle_at => 0.5);
SELECT take();
SELECT done(), clear();

-- Several budgets: each has a say
SELECT fairsched_set_budget('bc2', 100, warn_at => NULL, throttle_at => 0.5, throttle_action => 'preempt P2,P3');
SELECT add('{bc,bc2}', 'P1', 'P2', 'P3');
SELECT fairsched_record_spend('bc', 60), fairsched_record_spend('bc2', 60);
SELECT take();
SELECT * FROM explained();
SELECT fairsched_reset_budget('bc2');
SELECT take();
SELECT * FROM waits();
SELECT fairsched_reset_budget('bc');
SELECT take();
SELECT done(), clear();
-- and one that has no room, while the other holds a class back
SELECT fairsched_record_spend('bc', 60), fairsched_record_spend('bc2', 99.5);
SELECT fairsched_set_budget('bc2', 100, warn_at => NULL, throttle_at => NULL, pause_at => NULL);
SELECT add('{bc,bc2}', 'P3', 'P2');
SELECT take();
SELECT fairsched_reset_budget('bc2');
SELECT take();
SELECT * FROM waits();
SELECT done(), clear();

-- A savepoint, a rollback: what was not committed holds nobody back
SELECT fairsched_reset_budget('bc');
SELECT add('{bc}', 'P3', 'P3');
BEGIN;
SELECT fairsched_record_spend('bc', 90);
SELECT take(1);
ROLLBACK;
SELECT take(1);
SELECT done(), clear();

-- A job that yields for its budget waits until that is over, and then goes on by itself
SELECT add('{bc,bc2}', 'P3', 'P1');
SELECT take();
SELECT fairsched_record_spend('bc', 60);
SELECT wait_until($$count(*) = 1 FROM fairsched.running_jobs WHERE lane = 'bc' AND directive = 'preempt'$$);
SELECT fairsched_yield(job_id, token, '{"at": 1}') FROM fairsched.running_jobs WHERE lane = 'bc' AND directive = 'preempt';
SELECT state, priority, checkpoint FROM fairsched.jobs WHERE lane = 'bc' ORDER BY 2;
-- resumed by hand it waits all the same
SELECT fairsched_resume_job(job_id) FROM fairsched.jobs WHERE lane = 'bc' AND state = 'preempted';
SELECT take();
SELECT * FROM waits();
SELECT fairsched_reset_budget('bc');
SELECT take();
-- once more, by itself
SELECT fairsched_record_spend('bc', 60);
SELECT wait_until($$count(*) = 1 FROM fairsched.running_jobs WHERE lane = 'bc' AND directive = 'preempt'$$);
SELECT fairsched_yield(job_id, token, '{"at": 2}') FROM fairsched.running_jobs WHERE lane = 'bc' AND directive = 'preempt';
-- another of its budgets holds its class back as well: raising one is not enough
SELECT fairsched_set_budget('bc2', 100, warn_at => NULL, throttle_at => 0.01), fairsched_record_spend('bc2', 2);
SELECT fairsched_reset_budget('bc');
SELECT wait_until($$count(*) = 1 FROM fairsched.budget_events WHERE budget = 'bc2' AND event_type = 'throttle' AND threshold = 0.01$$);
SELECT state, priority FROM fairsched.jobs WHERE lane = 'bc' ORDER BY 2;
SELECT fairsched_set_budget('bc2', 1000, warn_at => NULL, throttle_at => 0.01);
SELECT wait_until($$state = 'available' FROM fairsched.jobs WHERE lane = 'bc' AND priority = 'P3'$$);
SELECT outcome, answer, resumed_at IS NOT NULL AS resumed FROM fairsched.preemption_history h JOIN fairsched.jobs j USING (job_id)
WHERE j.lane = 'bc' ORDER BY preemption_id;
SELECT job_id IS NOT NULL AS claimed, checkpoint FROM fairsched_claim('bc', lanes => '{bc}', lease => '1 hour', max_wait => '1 min');
-- asked before a raise, it yields after it: it goes on as well
SELECT fairsched_record_spend('bc', 60);
SELECT wait_until($$count(*) = 1 FROM fairsched.running_jobs WHERE lane = 'bc' AND directive = 'preempt'$$);
SELECT fairsched_reset_budget('bc');
SELECT fairsched_yield(job_id, token, '{"at": 3}') FROM fairsched.running_jobs WHERE lane = 'bc' AND directive = 'preempt';
SELECT wait_until($$state = 'available' FROM fairsched.jobs WHERE lane = 'bc' AND priority = 'P3'$$);
SELECT clear();

-- A lease that ran out is not taken again where the class is held back
SELECT add('{bc}', 'P3');
CREATE TEMP TABLE lost AS SELECT job_id, token FROM fairsched_claim('bc', lease => '1 ms', lanes => '{bc}');
SELECT wait_until($$count(*) = 0 FROM fairsched.running_jobs WHERE lane = 'bc'$$);
SELECT fairsched_record_spend('bc', 60);
SELECT directive FROM lost, fairsched_heartbeat(ARRAY[lost.job_id], ARRAY[lost.token], '1 hour');
SELECT fairsched_reset_budget('bc');
SELECT directive FROM lost, fairsched_heartbeat(ARRAY[lost.job_id], ARRAY[lost.token], '1 hour');
SELECT clear();

-- Of a budget of another workspace, and of one that does not exist, jobs learn the same: nothing
SELECT fairsched_set_budget('bc_private', 1234, workspace => 'bc_other', reset_every => '1 day');
SELECT fairsched_record_spend('bc_private', 700);
SELECT add('{bc_private}', 'P2');
SELECT take();
SELECT * FROM waits();
SELECT value, limit_value, detail, retry_at FROM fairsched.jobs j, fairsched_explain(j.job_id) e WHERE j.lane = 'bc' AND e.gate = 'budget';
SELECT clear();
SELECT add('{bc_nowhere}', 'P2');
SELECT take();
SELECT * FROM waits() WHERE parked_detail LIKE '%nowhere%';
SELECT value, limit_value, detail, retry_at FROM fairsched.jobs j, fairsched_explain(j.job_id) e WHERE j.lane = 'bc' AND e.gate = 'budget';
SELECT clear();

DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM fairsched_check() WHERE NOT ok;
SELECT fairsched_unregister_worker('bc');
DELETE FROM fairsched.budgets WHERE budget LIKE 'bc%';
DROP FUNCTION add, take, done, clear, waits, explained, wait_until;
