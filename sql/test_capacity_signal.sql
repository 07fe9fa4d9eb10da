-- fairsched.capacity_recommendation: reasons, bounds, pins, errors. What is decided over time is in
-- test/unit/test_recommend.c. Lanes of its own; times of jobs vary, so bounds make figures certain.
\pset null '(null)'
SET client_min_messages = warning;

-- Depths are exact once they have been counted, which happens in the background.
DO $$
BEGIN
	PERFORM fairsched_claim(lanes => '{cap_none}');
	FOR i IN 1..6000 LOOP
		EXIT WHEN (SELECT counted FROM fairsched.database_status);
		PERFORM pg_sleep(0.1);
	END LOOP;
END
$$;
CREATE VIEW cap AS
SELECT lane, desired_workers AS desired, current_workers AS current, reason, busy_workers AS busy, running, ready, held_up
FROM fairsched.capacity_recommendation WHERE lane LIKE 'cap\_%' ORDER BY lane;

-- A lane appears with its first job or a row in capacity_settings, not by being asked for.
SELECT * FROM cap;
INSERT INTO fairsched.capacity_settings (lane) VALUES ('cap_set');
SELECT * FROM cap;
DELETE FROM fairsched.capacity_settings WHERE lane = 'cap_set';

-- Jobs, and nothing known of how long they take: one worker to begin with
SELECT count(fairsched_enqueue('cap_w', lane => 'cap_a')) FROM generate_series(1, 100);
SELECT * FROM cap WHERE lane = 'cap_a';
SELECT detail, wanted_workers, arrival_rate > 0 AS arrives, service_time, slots_per_worker, dwell_target, pinned_workers, pinned_until
FROM fairsched.capacity_recommendation WHERE lane = 'cap_a';

-- Three workers; their jobs take a while, and the target is short
INSERT INTO fairsched.capacity_settings (lane, max_workers, dwell_target) VALUES ('cap_a', 10, '1 ms');
SELECT count(*) FROM unnest('{cap_1,cap_2,cap_3}'::text[]) w, fairsched_claim(w, 1, '1 hour', '{cap_a}');
DO $$
BEGIN
	FOR i IN 1..6000 LOOP
		EXIT WHEN (SELECT min(service_time) >= '50 ms' FROM fairsched.capacity_recommendation WHERE lane LIKE 'cap_a' AND running > 0);
		PERFORM pg_sleep(0.01);
	END LOOP;
END
$$;
SELECT * FROM cap WHERE lane = 'cap_a';
SELECT detail ~ '^\d+ wanted: \S+ jobs a second arrive and take \S+ s each, 1 of a worker''s slots at a time; 97 wait; max_workers is 10$'
	AS detail, wanted_workers > 10 AS wanted, service_time >= '50 ms' AS service_time, slots_per_worker, dwell_target
FROM fairsched.capacity_recommendation WHERE lane = 'cap_a';

-- Bounds and steps, each from the next reading on; a rollback takes them back
UPDATE fairsched.capacity_settings SET max_step_up = 2 WHERE lane = 'cap_a';
SELECT * FROM cap WHERE lane = 'cap_a';
BEGIN;
UPDATE fairsched.capacity_settings SET max_workers = 4 WHERE lane = 'cap_a';
SELECT desired FROM cap WHERE lane = 'cap_a';
COMMIT;
SELECT desired, reason FROM cap WHERE lane = 'cap_a';
BEGIN;
UPDATE fairsched.capacity_settings SET max_workers = NULL, max_step_up = NULL WHERE lane = 'cap_a';
SELECT desired FROM cap WHERE lane = 'cap_a';
ROLLBACK;
SELECT desired, reason FROM cap WHERE lane = 'cap_a';
-- never fewer than hold jobs
UPDATE fairsched.capacity_settings SET max_workers = 1 WHERE lane = 'cap_a';
SELECT desired, busy FROM cap WHERE lane = 'cap_a';
TRUNCATE fairsched.capacity_settings;
INSERT INTO fairsched.capacity_settings (lane, min_workers) VALUES ('cap_a', 20);
SELECT desired FROM cap WHERE lane = 'cap_a';

-- Pins
SELECT fairsched_pin_capacity('cap_a', 7);
SELECT desired, reason FROM cap WHERE lane = 'cap_a';
SELECT detail ~ '^pinned to 7 until it is unpinned; \d+ are wanted$' AS detail, pinned_workers, pinned_until
FROM fairsched.capacity_recommendation WHERE lane = 'cap_a';
SELECT fairsched_pin_capacity(lane => 'cap_a', n => 1, until => now() + interval '1 hour');
SELECT desired, reason FROM cap WHERE lane = 'cap_a';
SELECT detail ~ '^pinned to 1 until \S+ \S+; 3 workers hold jobs; \d+ are wanted$' AS detail, pinned_workers, pinned_until > now() AS until
FROM fairsched.capacity_recommendation WHERE lane = 'cap_a';
SELECT lane, workers, until > now() AS until, pinned_by = session_user AS by_me, pinned_at <= now() AS at FROM fairsched.capacity_pins;
BEGIN;
SELECT fairsched_pin_capacity('cap_a', NULL);
ROLLBACK;
SELECT reason FROM cap WHERE lane = 'cap_a';
-- one whose time is over has no effect, and goes with the next
UPDATE fairsched.capacity_pins SET until = now();
SELECT reason <> 'pinned' AS over FROM cap WHERE lane = 'cap_a';
SELECT fairsched_pin_capacity('default', 3, 'infinity');
SELECT lane, workers, until FROM fairsched.capacity_pins;
SELECT desired_workers >= 3, reason, pinned_workers, pinned_until FROM fairsched.capacity_recommendation WHERE lane = 'default';
SELECT fairsched_pin_capacity('default', NULL);
SELECT fairsched_pin_capacity('default', NULL, 'yesterday');
SELECT * FROM fairsched.capacity_pins;

-- Errors
SELECT fairsched_pin_capacity('cap_nowhere', 1);
SELECT fairsched_pin_capacity('cap_nowhere', NULL);
SELECT fairsched_pin_capacity('', 1);
SELECT fairsched_pin_capacity(NULL, 1);
SELECT fairsched_pin_capacity('cap_a', -1);
SELECT fairsched_pin_capacity('cap_a', 1000001);
SELECT fairsched_pin_capacity('cap_a', 1, now() - interval '1 second');
SELECT fairsched_pin_capacity('cap_a', 1, '-infinity');
SELECT fairsched_pin_capacity('cap_a', 1, clock_timestamp());
INSERT INTO fairsched.capacity_settings (lane, min_workers) VALUES ('cap_b', -1);
INSERT INTO fairsched.capacity_settings (lane, min_workers, max_workers) VALUES ('cap_b', 3, 2);
INSERT INTO fairsched.capacity_settings (lane, max_step_up) VALUES ('cap_b', 0);
INSERT INTO fairsched.capacity_settings (lane, max_step_down) VALUES ('cap_b', 0);
INSERT INTO fairsched.capacity_settings (lane, dwell_target) VALUES ('cap_b', '0');
INSERT INTO fairsched.capacity_settings (lane) VALUES ('');
-- a setting makes a lane known that has had no job
INSERT INTO fairsched.capacity_settings (lane) VALUES ('cap_new');
SELECT fairsched_pin_capacity('cap_new', 2);
SELECT * FROM cap WHERE lane = 'cap_new';
SELECT fairsched_pin_capacity('cap_new', NULL);

-- at_quota: at its ceiling; paused; out of a quota. More workers would not help.
SELECT fairsched_create_workspace('cap_full', max_running => 1, own_table => false);
SELECT fairsched_create_workspace('cap_paused', own_table => false);
SELECT fairsched_pause_workspace('cap_paused');
SELECT fairsched_create_workspace('cap_cpu', own_table => false);
SELECT fairsched_set_quota('cap_cpu', 'cpu', 1);
SELECT fairsched_create_workspace('cap_runs', own_table => false);
SELECT fairsched_set_quota('cap_runs', 'concurrent_runs', 2);
SELECT fairsched_create_workspace('cap_rate', own_table => false);
SELECT fairsched_set_rate_limit('cap_rate', 1, '1 day');
SELECT fairsched_set_budget('cap_broke', 1);
SELECT fairsched_record_spend('cap_broke', 1);
INSERT INTO fairsched.capacity_settings (lane, dwell_target)
	SELECT 'cap_q_' || w, '1 ms' FROM unnest('{full,paused,cpu,runs,rate,broke}'::text[]) w;
SELECT count(fairsched_enqueue('cap_' || w, lane => 'cap_q_' || w, resources => CASE w WHEN 'cpu' THEN '{"cpu": 1}' ELSE '{}' END::jsonb,
	budgets => CASE w WHEN 'broke' THEN '{cap_broke}' ELSE '{}' END::text[]))
FROM unnest('{full,paused,cpu,runs,rate,broke}'::text[]) w, generate_series(1, 50);
-- before anything of it ran, one worker is to find out, whatever is set
SELECT desired, reason FROM cap WHERE lane IN ('cap_q_full', 'cap_q_rate', 'cap_q_runs') ORDER BY lane;
SELECT w, count(*) FROM unnest('{full,paused,cpu,runs,rate,broke}'::text[]) w, fairsched_claim('cap_q', 5, '1 hour', ARRAY['cap_q_' || w])
GROUP BY 1 ORDER BY 1;
DO $$
BEGIN
	FOR i IN 1..6000 LOOP
		EXIT WHEN (SELECT min(service_time) >= '50 ms' FROM fairsched.capacity_recommendation WHERE lane LIKE 'cap\_q\_%' AND running > 0);
		PERFORM pg_sleep(0.01);
	END LOOP;
END
$$;
SELECT * FROM cap WHERE lane LIKE 'cap\_q\_%';
SELECT lane, substring(detail FROM 'held up \((.*?)\)') AS held_up_by FROM fairsched.capacity_recommendation WHERE lane LIKE 'cap\_q\_%' ORDER BY 1;
SELECT fairsched_resume_workspace('cap_paused');
DELETE FROM fairsched.capacity_settings;
SELECT desired, reason, ready, held_up FROM cap WHERE lane = 'cap_q_paused';

-- What waits equals the rows
SELECT lane FROM fairsched.capacity_recommendation c WHERE lane LIKE 'cap\_%' AND ready + held_up <>
	(SELECT count(*) FROM fairsched.jobs j WHERE j.lane = c.lane AND j.state = 'available');
-- all of it goes
SELECT count(fairsched_unregister_worker(w)) FROM unnest('{cap_1,cap_2,cap_3,cap_q}'::text[]) w;
SELECT count(fairsched_cancel(job_id)) > 0 AS cancelled FROM fairsched.jobs WHERE lane LIKE 'cap\_%';
SELECT lane, running, ready, held_up FROM cap;

-- Rights
CREATE ROLE cap_nobody;
SET ROLE cap_nobody;
SELECT fairsched_pin_capacity('cap_a', 1);
RESET ROLE;
GRANT USAGE ON SCHEMA fairsched TO cap_nobody;
SET ROLE cap_nobody;
SELECT * FROM fairsched.capacity_recommendation;
SELECT * FROM fairsched.capacity_recommendation_internal();
SELECT * FROM fairsched.capacity_settings;
SELECT * FROM fairsched.capacity_pins;
RESET ROLE;
GRANT SELECT ON fairsched.capacity_recommendation TO cap_nobody;
GRANT EXECUTE ON FUNCTION fairsched_pin_capacity TO cap_nobody;
SET ROLE cap_nobody;
SELECT fairsched_pin_capacity('cap_a', 1);
SELECT desired_workers, reason FROM fairsched.capacity_recommendation WHERE lane = 'cap_a';
SELECT fairsched_pin_capacity('cap_a', NULL);
RESET ROLE;
DROP OWNED BY cap_nobody;
DROP ROLE cap_nobody;
SELECT count(fairsched_drop_workspace('cap_' || w, force => true)) FROM unnest('{full,paused,cpu,runs,rate}'::text[]) w;
DELETE FROM fairsched.budgets WHERE budget = 'cap_broke';
DROP VIEW cap;
