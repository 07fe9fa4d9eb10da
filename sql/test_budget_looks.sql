-- A change of a budget looks at the flows that wait for it, and at nobody else's: by counting looks.
SET client_min_messages = warning;
CREATE FUNCTION looks() RETURNS TABLE (budget text, looks bigint) LANGUAGE sql AS $$
	SELECT budget, looks FROM fairsched.memory_budgets() WHERE budget LIKE 'lk\_%'
$$;
CREATE TEMP TABLE before (budget text, looks bigint);
-- how many since this was asked last
CREATE FUNCTION more() RETURNS TABLE (budget text, more bigint) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT l.budget, l.looks - coalesce(b.looks, 0) FROM looks() l LEFT JOIN before b USING (budget) ORDER BY 1;
	DELETE FROM before;
	INSERT INTO before SELECT * FROM looks();
END
$$;
CREATE FUNCTION take() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
	done bigint := 0;
BEGIN
	FOR i IN 1..20 LOOP
		n := (SELECT count(*) FROM fairsched_claim('lk', 1000, lanes => '{lk}', lease => '1 hour'));
		done := done + n;
		-- a claim looks at a bounded number of flows
		EXIT WHEN n = 0 AND i > 5;
	END LOOP;
	RETURN done;
END
$$;
SELECT fairsched_set_budget('lk_many', 10, throttle_at => NULL, pause_at => NULL), fairsched_set_budget('lk_few', 10, throttle_at => NULL, pause_at => NULL);
-- 300 workspaces wait for one of the budgets, 3 for the other, each with two jobs that need the same
SELECT count(fairsched_enqueue('lk_' || n, lane => 'lk', budgets => CASE WHEN n > 3 THEN '{lk_many}'::text[] ELSE '{lk_few}' END, resources => '{"cost": 2}'))
FROM generate_series(1, 303) n, generate_series(1, 2);
SELECT fairsched_record_spend('lk_many', 9), fairsched_record_spend('lk_few', 9);
SELECT take();
SELECT parked_reason, count(*) FROM fairsched.queue_status WHERE lane = 'lk' GROUP BY 1;
SELECT count(*) FROM more();
-- room, but not enough: one look for all jobs alike
SELECT fairsched_set_budget('lk_many', 10.5, throttle_at => NULL, pause_at => NULL);
SELECT * FROM more();
-- of the other
SELECT fairsched_set_budget('lk_few', 10.5, throttle_at => NULL, pause_at => NULL);
SELECT * FROM more();
-- enough: those that wait for it, once
SELECT fairsched_set_budget('lk_few', 11, throttle_at => NULL, pause_at => NULL);
SELECT * FROM more();
SELECT take();
SELECT * FROM more();
-- a job that ends and gives back all that it has reserved, to those that wait for it
SELECT count(*) FILTER (WHERE fairsched_complete(job_id, token, usage => '{"cost": 0}')) FROM fairsched.running_jobs WHERE lane = 'lk';
SELECT * FROM more();
SELECT take();
-- one that gives back nothing looks at nobody
SELECT * FROM more();
SELECT count(*) FILTER (WHERE fairsched_complete(job_id, token)) FROM fairsched.running_jobs WHERE lane = 'lk';
SELECT * FROM more();
-- nothing fits where all is spent: nobody is looked at
SELECT fairsched_record_spend('lk_many', 5);
SELECT fairsched_set_budget('lk_many', 14, throttle_at => NULL, pause_at => NULL);
SELECT * FROM more();
-- a threshold that holds classes back looks at all flows of its budget, and no others
SELECT fairsched_set_budget('lk_few', 11, throttle_at => 0.5, pause_at => NULL);
SELECT * FROM more();
SELECT fairsched_set_budget('lk_many', 100, warn_at => NULL, throttle_at => 0.1, pause_at => NULL);
SELECT * FROM more();
SELECT take();
-- jobs that name the budget and differ in what they declare are looked at apart
SELECT count(fairsched_enqueue('lk_1', lane => 'lk', budgets => '{lk_few}', resources => jsonb_build_object('cost', n))) FROM generate_series(3, 7) n;
SELECT take();
SELECT fairsched_set_budget('lk_few', 11.5, throttle_at => NULL, pause_at => NULL);
SELECT take();
SELECT count(*) FROM more();
SELECT fairsched_set_budget('lk_few', 12, throttle_at => NULL, pause_at => NULL);
SELECT * FROM more();
-- what a job gives back is room for one of hundreds: it looks at one, whoever else waits, also where nobody serves the lane of most
SELECT count(fairsched_cancel(job_id)) > 0 AS cancelled FROM fairsched.jobs WHERE lane = 'lk';
SELECT fairsched_set_budget('lk_one', 10, warn_at => NULL, throttle_at => NULL, pause_at => NULL);
SELECT count(fairsched_enqueue('lk_o' || n, lane => CASE WHEN n % 3 = 0 THEN 'lk' ELSE 'lk_nobody' END, budgets => '{lk_one}', resources => '{"cost": 10}'))
FROM generate_series(1, 300) n, generate_series(1, 3);
-- all are met once, in both lanes
SELECT count(*) FROM fairsched_claim('lk', 1, lanes => '{lk}', lease => '1 hour');
SELECT take(), count(*) FROM fairsched_claim('lk', 1, lanes => '{lk_nobody}');
SELECT parked_reason, count(*) FROM fairsched.queue_status WHERE workspace LIKE 'lk\_o%' GROUP BY 1;
SELECT count(*) FROM more();
-- a completion counts at its commit, so each is a statement of its own
SELECT count(fairsched_complete(job_id, token, usage => '{"cost": 0}')) FROM fairsched.running_jobs WHERE lane = 'lk';
SELECT * FROM more() WHERE budget = 'lk_one';
SELECT count(*) FROM fairsched_claim('lk', 5, lanes => '{lk}', lease => '1 hour');
SELECT more BETWEEN 1 AND 201 AS those_of_the_other_lane_once FROM more() WHERE budget = 'lk_one';
SELECT count(fairsched_complete(job_id, token, usage => '{"cost": 0}')) FROM fairsched.running_jobs WHERE lane = 'lk';
SELECT count(*) FROM fairsched_claim('lk', 5, lanes => '{lk}', lease => '1 hour');
SELECT more <= 3 AS few FROM more() WHERE budget = 'lk_one';
SELECT count(fairsched_complete(job_id, token, usage => '{"cost": 0}')) FROM fairsched.running_jobs WHERE lane = 'lk';
SELECT count(*) FROM fairsched_claim('lk', 5, lanes => '{lk}', lease => '1 hour');
SELECT more <= 3 AS few FROM more() WHERE budget = 'lk_one';
-- two free places: two are let in, and a claim that is undone leaves them to others
SELECT fairsched_set_budget('lk_one', 20, warn_at => NULL, throttle_at => NULL, pause_at => NULL);
BEGIN;
SELECT count(*) FROM fairsched_claim('lk', 5, lanes => '{lk}', lease => '1 hour');
ROLLBACK;
SELECT count(*) FROM fairsched_claim('lk', 5, lanes => '{lk}', lease => '1 hour');
SELECT count(fairsched_complete(job_id, token, usage => '{"cost": 0}')) FROM fairsched.running_jobs WHERE lane = 'lk';
SELECT count(*) FROM fairsched_claim('lk', 5, lanes => '{lk_nobody}', lease => '1 hour');
SELECT count(fairsched_cancel(job_id)) > 0 AS cancelled FROM fairsched.jobs WHERE lane = 'lk_nobody';
SELECT count(fairsched_cancel(job_id)) > 0 AS cancelled FROM fairsched.jobs WHERE lane = 'lk';
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM fairsched_check() WHERE NOT ok;
DELETE FROM fairsched.budgets WHERE budget LIKE 'lk%';
DROP FUNCTION more, looks, take;
