-- A job that was asked to make room by a rule, and is raised to P0 or P1 since, is let off; one that somebody asked is not.
SET client_min_messages = warning;
SET fairsched.preemption_min_runtime = 0;
CREATE VIEW pu_asked AS SELECT workspace, priority, outcome FROM fairsched.preemption_history WHERE workspace LIKE 'pu\_%' ORDER BY preemption_id;
CREATE VIEW pu_running AS SELECT workspace, priority, directive FROM fairsched.running_jobs WHERE lane = 'pu' ORDER BY 1;
SELECT fairsched_create_workspace(w, own_table => false) FROM unnest('{pu_low,pu_high}'::text[]) w;
SELECT fairsched_set_capacity('gpu', 1);
SELECT job_id AS low FROM fairsched_enqueue('pu_low', priority => 'P3', lane => 'pu', resources => '{"gpu": 1}') \gset
SELECT count(*) FROM fairsched_claim('pu', 1, lanes => '{pu}', lease => '1 h');
SELECT job_id > 0 FROM fairsched_enqueue('pu_high', priority => 'P0', lane => 'pu', resources => '{"gpu": 1}');
SELECT count(*) FROM fairsched_claim('pu', 1, lanes => '{pu}');
SELECT fairsched_evaluate_preemption() >= 0;
TABLE pu_running;
SELECT fairsched_assign_priority(:low, 'P1', 'it is urgent after all');
SELECT fairsched_evaluate_preemption() >= 0;
TABLE pu_running;
TABLE pu_asked;

-- less urgent again: it is asked again
SELECT fairsched_assign_priority(:low, 'P3');
SELECT fairsched_evaluate_preemption() >= 0;
TABLE pu_running;
TABLE pu_asked;
SELECT fairsched_assign_priority(:low, 'P1');
SELECT fairsched_evaluate_preemption() >= 0;

-- by hand, whatever the class
SELECT fairsched_preempt(:low, 'manual');
SELECT fairsched_evaluate_preemption() >= 0;
TABLE pu_running;
TABLE pu_asked;
SELECT fairsched_yield(job_id, token, '{}') IS NOT NULL FROM fairsched.running_jobs WHERE job_id = :low;

SELECT count(fairsched_cancel(job_id)) FROM fairsched.jobs WHERE lane = 'pu';
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT count(*) FROM fairsched_check() WHERE NOT ok AND workspace LIKE 'pu\_%';
SELECT fairsched_set_capacity('gpu', NULL);
SELECT fairsched_drop_workspace(w, true) FROM unnest('{pu_low,pu_high}'::text[]) w;
DELETE FROM fairsched.preemption_history WHERE workspace LIKE 'pu\_%';
DROP VIEW pu_asked, pu_running;
