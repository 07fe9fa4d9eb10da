-- A workspace that waits for the fleet is placed elsewhere meanwhile: it waits there, and its jobs come when there is room.
SET client_min_messages = warning;
ALTER SYSTEM SET fairsched.move_placements = off;
SELECT pg_reload_conf();
SELECT fairsched_register_worker('plr_a', slots => 4, node => 'plr_a'), fairsched_register_worker('plr_b', slots => 4, node => 'plr_b');
SELECT fairsched_create_workspace(w, own_table => false) FROM unnest('{plr_w,plr_v}'::text[]) w;
SELECT fairsched_place('plr_w', '{plr_a}');
SELECT fairsched_set_capacity('cpu', 1);
SELECT count(fairsched_enqueue_many(w, ARRAY['{}', '{}']::jsonb[], lane => 'plr', resources => '{"cpu": 1}')) FROM unnest('{plr_w,plr_v}'::text[]) w;
SELECT count(*) FROM fairsched_claim('plr_a', 10, lanes => '{plr}');
-- both have jobs that do not fit
SELECT workspace, parked_reason FROM fairsched.queue_status WHERE lane = 'plr' ORDER BY 1;
SELECT fairsched_place('plr_w', '{plr_b}');
SELECT count(fairsched_complete(job_id, token)) FROM fairsched.running_jobs WHERE lane = 'plr';
-- it is served where it is placed now, and the other one after it
SELECT workspace FROM fairsched_claim('plr_b', 10, lanes => '{plr}');
SELECT count(fairsched_complete(job_id, token)) FROM fairsched.running_jobs WHERE lane = 'plr';
SELECT workspace FROM fairsched_claim('plr_b', 10, lanes => '{plr}');
SELECT count(fairsched_complete(job_id, token)) FROM fairsched.running_jobs WHERE lane = 'plr';
SELECT workspace FROM fairsched_claim('plr_a', 10, lanes => '{plr}');
SELECT count(fairsched_complete(job_id, token)) FROM fairsched.running_jobs WHERE lane = 'plr';
SELECT count(*) FROM fairsched.jobs WHERE lane = 'plr';
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT count(*) FROM fairsched_check() WHERE NOT ok AND workspace LIKE 'plr%';

SELECT fairsched_set_capacity('cpu', NULL);
SELECT fairsched_unplace('plr_w');
DELETE FROM fairsched.placement_chains WHERE chain LIKE 'plr%';
SELECT fairsched_unregister_worker('plr_a') > 0 AS a, fairsched_unregister_worker('plr_b') > 0 AS b;
SELECT count(fairsched_drop_node(node)) FROM fairsched.nodes WHERE node LIKE 'plr%';
SELECT fairsched_drop_workspace(w, true) FROM unnest('{plr_w,plr_v}'::text[]) w;
ALTER SYSTEM RESET fairsched.move_placements;
SELECT pg_reload_conf();
