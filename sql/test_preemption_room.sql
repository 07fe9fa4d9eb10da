-- Room that preemption makes is for the job it is made for: not for others of its queue, and for nobody who cannot be served.
SET client_min_messages = warning;
SET fairsched.preemption_min_runtime = 0;
CREATE VIEW pr_asked AS SELECT workspace, priority, outcome FROM fairsched.preemption_history WHERE workspace LIKE 'pr\_%' ORDER BY preemption_id;
CREATE VIEW pr_fleet AS SELECT capacity, used, kept FROM fairsched.capacity_status WHERE resource = 'gpu';
CREATE FUNCTION pr_put(workspace text, priority text) RETURNS bigint LANGUAGE sql AS $$
	SELECT job_id FROM fairsched_enqueue(workspace, priority => priority, lane => 'pr', resources => '{"gpu": 1}') $$;
CREATE FUNCTION pr_take(worker text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce((SELECT workspace || ' ' || priority FROM fairsched_claim(worker, 1, lanes => '{pr}', lease => '1 h')), 'nothing') $$;
CREATE FUNCTION pr_yield() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM fairsched.running_jobs WHERE lane = 'pr' AND directive = 'preempt' AND fairsched_yield(job_id, token, '{}') $$;
CREATE FUNCTION pr_clear() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(fairsched_cancel(job_id)) FROM fairsched.jobs WHERE lane = 'pr' $$;
SELECT fairsched_create_workspace(w, own_table => false) FROM unnest('{pr_low,pr_high,pr_mid}'::text[]) w;
SELECT fairsched_register_worker('pr_a', slots => 4, node => 'pr_a');
SELECT fairsched_register_worker('pr_b', slots => 4, node => 'pr_b');
SELECT fairsched_set_capacity('gpu', 1);

-- the job that caused it is cancelled: what else waits in its queue has no claim to the room
SELECT pr_put('pr_low', 'P3') > 0;
SELECT pr_take('pr_a');
SELECT pr_put('pr_high', 'P3') > 0;
SELECT pr_put('pr_high', 'P0') AS urgent \gset
SELECT pr_put('pr_mid', 'P2') > 0;
SELECT pr_take('pr_a');
SELECT fairsched_evaluate_preemption() >= 0;
TABLE pr_asked;
TABLE pr_fleet;
SELECT fairsched_cancel(:urgent);
SELECT pr_yield();
SELECT fairsched_evaluate_preemption() >= 0;
TABLE pr_fleet;
SELECT pr_take('pr_a');
SELECT pr_clear() > 0;

-- the same without an evaluation in between: who claims finds out
SELECT pr_put('pr_low', 'P3') > 0;
SELECT pr_take('pr_a');
SELECT pr_put('pr_high', 'P3') > 0;
SELECT pr_put('pr_high', 'P0') AS urgent \gset
SELECT pr_put('pr_mid', 'P2') > 0;
SELECT pr_take('pr_a');
SELECT fairsched_evaluate_preemption() >= 0;
SELECT fairsched_cancel(:urgent);
SELECT pr_yield();
-- whose turn it is depends on whether the scheduler came in between
SELECT count(*) AS somebody FROM fairsched_claim('pr_a', 1, lanes => '{pr}', lease => '1 h', max_wait => '30 s');
TABLE pr_fleet;
SELECT pr_clear() > 0;

-- less urgent now: likewise
SELECT pr_put('pr_low', 'P3') > 0;
SELECT pr_take('pr_a');
SELECT pr_put('pr_high', 'P0') AS urgent \gset
SELECT pr_put('pr_mid', 'P2') > 0;
SELECT pr_take('pr_a');
SELECT fairsched_evaluate_preemption() >= 0;
SELECT fairsched_assign_priority(:urgent, 'P3', 'it can wait');
SELECT pr_yield();
-- whose turn it is depends on whether the scheduler came in between
SELECT count(*) AS somebody FROM fairsched_claim('pr_a', 1, lanes => '{pr}', lease => '1 h', max_wait => '30 s');
SELECT pr_clear() > 0;

-- nobody is asked for a job that no worker may be handed out: placed on a node where none lives, or that drains
DELETE FROM fairsched.preemption_history WHERE workspace LIKE 'pr\_%';
SELECT fairsched_set_node('pr_nowhere');
SELECT pr_put('pr_low', 'P3') > 0;
SELECT pr_take('pr_a');
SELECT pr_put('pr_high', 'P0') AS urgent \gset
SELECT pr_take('pr_a');
SELECT fairsched_place('pr_high', '{pr_nowhere}');
SELECT fairsched_evaluate_preemption() >= 0;
SELECT fairsched_place('pr_high', '{pr_b}');
SELECT fairsched_drain_node('pr_b');
SELECT fairsched_evaluate_preemption() >= 0;
TABLE pr_asked;
-- served again: it is made room for, and kept where it is placed elsewhere meanwhile
SELECT fairsched_undrain_node('pr_b');
SELECT fairsched_evaluate_preemption() >= 0;
TABLE pr_asked;
SELECT fairsched_place('pr_high', '{pr_a}');
SELECT pr_put('pr_mid', 'P1') > 0;
SELECT pr_yield();
SELECT pr_take('pr_b');
SELECT pr_take('pr_a');
SELECT pr_clear() > 0;

-- equals never make room for each other, whatever a rule says
UPDATE fairsched.preemption_policies SET preempts = '{P2,P3}', waiting = '{P0,P1,P2}' WHERE resource = 'gpu';
SELECT pr_put('pr_low', 'P2') > 0;
SELECT pr_take('pr_a');
SELECT pr_put('pr_high', 'P2') > 0;
SELECT pr_take('pr_a');
SELECT fairsched_evaluate_preemption() >= 0;
TABLE pr_asked;
SELECT pr_clear() > 0;
UPDATE fairsched.preemption_policies SET preempts = '{P3}' WHERE policy = 'gpu_80';
UPDATE fairsched.preemption_policies SET waiting = '{P0,P1}' WHERE policy = 'gpu_85';

-- what was preempted at 80 percent does not go on at once, nor at 78 percent, but below 75 for a while
ALTER SYSTEM SET fairsched.preemption_resume_after = '1 h';
SELECT pg_reload_conf();
SELECT fairsched_set_capacity('gpu', 100);
DELETE FROM fairsched.preemption_history WHERE workspace LIKE 'pr\_%';
CREATE FUNCTION pr_hold(workspace text, priority text, amount int) RETURNS bigint LANGUAGE sql AS $$
	SELECT job_id FROM fairsched_enqueue(workspace, priority => priority, lane => 'pr', resources => jsonb_build_object('gpu', amount)) $$;
CREATE FUNCTION pr_done(job bigint) RETURNS boolean LANGUAGE sql AS $$
	SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs WHERE job_id = job $$;
SELECT pr_hold('pr_mid', 'P2', 72) > 0, pr_hold('pr_low', 'P3', 2) > 0;
SELECT pr_hold('pr_mid', 'P2', 6) AS six \gset
SELECT pr_take('pr_a') IS NOT NULL FROM generate_series(1, 3);
SELECT pr_hold('pr_high', 'P1', 21) AS urgent \gset
SELECT pr_take('pr_a');
SELECT fairsched_evaluate_preemption() >= 0;
TABLE pr_asked;
SELECT pr_yield();
SELECT pr_take('pr_a');
SELECT pr_done(:urgent);
SELECT pr_done(:six);
TABLE pr_fleet;
SELECT fairsched_evaluate_preemption() >= 0;
TABLE pr_asked;
SELECT pr_hold('pr_mid', 'P2', 6) AS six \gset
SELECT pr_take('pr_a');
ALTER SYSTEM SET fairsched.preemption_resume_after = 0;
SELECT pg_reload_conf();
-- a session that is there already would see it with its next statement only
\c -
SET client_min_messages = warning;
SET fairsched.preemption_min_runtime = 0;
TABLE pr_fleet;
SELECT fairsched_evaluate_preemption() >= 0;
TABLE pr_asked;
SELECT pr_done(:six);
DO $$
BEGIN
	FOR i IN 1..6000 LOOP
		PERFORM fairsched_evaluate_preemption();
		EXIT WHEN (SELECT outcome = 'resumed' FROM pr_asked);
		PERFORM pg_sleep(0.05);
	END LOOP;
END
$$;
TABLE pr_asked;
ALTER SYSTEM RESET fairsched.preemption_resume_after;
SELECT pg_reload_conf();
SELECT pr_clear() > 0;
SELECT fairsched_set_capacity('gpu', 1);
DROP FUNCTION pr_hold, pr_done;

-- placed where nobody can take it: the room is had by others
SELECT pr_put('pr_low', 'P3') > 0;
SELECT pr_take('pr_a');
SELECT pr_put('pr_high', 'P0') AS urgent \gset
SELECT pr_take('pr_a');
SELECT fairsched_evaluate_preemption() >= 0;
SELECT fairsched_place('pr_high', '{pr_nowhere}');
SELECT pr_put('pr_mid', 'P1') > 0;
SELECT pr_yield();
SELECT fairsched_evaluate_preemption() >= 0;
TABLE pr_fleet;
SELECT pr_take('pr_a');
SELECT pr_clear() > 0;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT count(*) FROM fairsched_check() WHERE NOT ok AND workspace LIKE 'pr\_%';

SELECT fairsched_set_capacity('gpu', NULL);
SELECT fairsched_unplace('pr_high');
SELECT fairsched_unregister_worker('pr_a'), fairsched_unregister_worker('pr_b');
SELECT fairsched_drop_node(n) FROM unnest('{pr_a,pr_b,pr_nowhere}'::text[]) n;
SELECT fairsched_drop_workspace(w, true) FROM unnest('{pr_low,pr_high,pr_mid}'::text[]) w;
DELETE FROM fairsched.preemption_history WHERE workspace LIKE 'pr\_%';
DROP VIEW pr_asked, pr_fleet;
DROP FUNCTION pr_put, pr_take, pr_yield, pr_clear;
