-- Quota violations: which action, whose job and run, how often, and when the cause is gone.
-- Everything is in workspaces and a lane of its own.
\pset null '(null)'
SET client_min_messages = warning;

CREATE FUNCTION viol_put(workspace text, jobs int, resources jsonb DEFAULT '{}', run_id text DEFAULT NULL, priority text DEFAULT 'P2') RETURNS int LANGUAGE sql AS $$
	SELECT cardinality(fairsched_enqueue_many(workspace, ARRAY(SELECT '{}'::jsonb FROM generate_series(1, jobs)),
		lane => 'viol', resources => resources, run_id => run_id, priority => priority))
$$;
CREATE FUNCTION viol_claim(max_jobs int DEFAULT 1000) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(workspace || ' ' || n, ', ' ORDER BY workspace), 'none')
	FROM (SELECT workspace, count(*) AS n FROM fairsched_claim('viol', max_jobs, '1 h', '{viol}') GROUP BY 1) c
$$;
CREATE FUNCTION viol_done(workspace text) RETURNS int LANGUAGE sql AS $$
	SELECT cardinality(fairsched_complete_many(array_agg(job_id), array_agg(token)))
	FROM fairsched.running_jobs r WHERE r.workspace = viol_done.workspace
$$;
-- The scheduler writes them: wait for the row.  The job is told by its place among those of its workspace.
CREATE FUNCTION viol(ws text, act text, times bigint, is_open boolean DEFAULT true, job_ids bigint[] DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v fairsched.quota_violations;
BEGIN
	FOR i IN 1..30000 LOOP
		SELECT * INTO v FROM fairsched.quota_violations q WHERE q.workspace = ws AND q.action = act
			AND (q.resolved_at IS NULL) = is_open AND q.occurrences >= times ORDER BY violation_id DESC LIMIT 1;
		IF FOUND THEN
			RETURN format('%s %s: %s of %s, over %s, %s, %s times, job %s, run %s', v.action, v.resource, v.actual, v.quota, v.overage,
				v.severity, v.occurrences, CASE WHEN v.job_id IS NULL THEN '-' ELSE coalesce(array_position(job_ids, v.job_id)::text, 'unknown') END,
				coalesce(v.run_id, '-'));
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN 'there is none';
END
$$;
CREATE FUNCTION viol_jobs(ws text) RETURNS bigint[] LANGUAGE sql AS $$
	SELECT array_agg(job_id ORDER BY job_id) FROM fairsched.jobs j WHERE j.workspace = ws
$$;

-- A claim refuses what a job needs: reject, of the first job of those that wait, with its run
SELECT fairsched_set_quota('viol_a', 'cpu', 2);
SELECT viol_put('viol_a', 2, '{"cpu": 1}', 'viol run 1'), viol_put('viol_a', 2, '{"cpu": 1.5}', 'viol run 2');
SELECT viol_claim();
SELECT viol('viol_a', 'reject', 1, true, viol_jobs('viol_a'));
-- the same cause again is the same row; what is refused now is more urgent
SELECT viol_put('viol_a', 1, '{"cpu": 1.5}', 'viol run 3', 'P1');
SELECT count(*) FROM (SELECT array_agg(job_id) AS jobs, array_agg(token) AS tokens
	FROM (SELECT job_id, token FROM fairsched.running_jobs WHERE workspace = 'viol_a' ORDER BY job_id LIMIT 1) r) r,
	fairsched_complete_and_claim(r.jobs, r.tokens, 'viol', 10, lanes => '{viol}');
SELECT viol('viol_a', 'reject', 2, true, viol_jobs('viol_a'));
-- nobody waits any more
SELECT count(*) FROM (SELECT fairsched_cancel(job_id) FROM fairsched.jobs WHERE workspace = 'viol_a') c;
SELECT count(*) FROM fairsched.quota_violations WHERE workspace = 'viol_a' AND action <> 'reject';

-- A claim finds nothing left for any job: pause
SELECT fairsched_set_quota('viol_b', 'concurrent_runs', 1);
SELECT viol_put('viol_b', 3, '{}', 'viol run 4');
SELECT viol_claim();
SELECT viol('viol_b', 'pause', 1, true, viol_jobs('viol_b'));
SELECT parked_reason FROM fairsched.workspace_status WHERE workspace = 'viol_b';
SELECT fairsched_drop_quota('viol_b', 'concurrent_runs');
SELECT viol_claim();
SELECT viol_done('viol_b');
-- of a day's tokens, used up
SELECT fairsched_set_throttle('viol_c', false);
SELECT fairsched_set_quota('viol_c', 'tokens', 100);
SELECT viol_put('viol_c', 2, '{}', 'viol run 5');
SELECT fairsched_record_usage('viol_c', 'tokens', 80);
SELECT viol_claim(1);
SELECT fairsched_complete(job_id, token, usage => '{"tokens": 20}') FROM fairsched.running_jobs WHERE workspace = 'viol_c';
SELECT viol_claim();
SELECT viol('viol_c', 'pause', 1, true, viol_jobs('viol_c'));

-- Nothing holds it up: the throttle is off.  At its threshold an alert, of the job whose usage it was
SELECT viol('viol_c', 'alert', 1) LIKE 'alert tokens: 100 of 100, over 0, low, 1 times, job unknown, run viol run 5' AS alert;
-- not at each use above the threshold, nor at the quota, but at each that leaves it above the quota
SELECT fairsched_set_quota('viol_d', 'cost', 10);
SELECT fairsched_set_throttle('viol_d', false);
SELECT fairsched_record_usage('viol_d', 'cost', 9, job_id => 77, run_id => 'viol run 6');
SELECT fairsched_record_usage('viol_d', 'cost', 0.5, job_id => 78);
SELECT viol('viol_d', 'alert', 1, true, '{78, 77}');
SELECT fairsched_record_usage('viol_d', 'cost', 0.5, job_id => 78);
SELECT fairsched_record_usage('viol_d', 'cost', 1, run_id => 'viol run 7');
SELECT viol('viol_d', 'alert', 2, true, '{78, 77}');
SELECT fairsched_record_usage('viol_d', 'cost', 2, job_id => 78);
SELECT viol('viol_d', 'alert', 3, true, '{78, 77}');
-- rolled back is not used
BEGIN;
SELECT fairsched_record_usage('viol_d', 'cost', 100);
ROLLBACK;
-- a resource that the throttle does not watch, as against one that it does
SELECT fairsched_set_throttle('viol_e', true, 0.5, resources => '{tokens}');
SELECT fairsched_set_quota('viol_e', 'storage', 10), fairsched_set_quota('viol_e', 'tokens', 10);
SELECT fairsched_record_usage('viol_e', 'storage', 6), fairsched_record_usage('viol_e', 'tokens', 6, 79, 'viol run 8');
SELECT viol('viol_e', 'alert', 1), viol('viol_e', 'throttle', 1, true, '{79}');
-- below again
SELECT fairsched_record_usage('viol_e', 'storage', -2);
-- what jobs hold is watched when the throttle names it
SELECT fairsched_set_throttle('viol_f', false, 0.5, resources => '{gpu}');
SELECT fairsched_set_quota('viol_f', 'gpu', 2), fairsched_set_quota('viol_f', 'cpu', 2);
SELECT viol_put('viol_f', 1, '{"gpu": 1, "cpu": 2}', 'viol run 9');
SELECT viol_claim();
SELECT viol('viol_f', 'alert', 1, true, viol_jobs('viol_f'));
SELECT viol_done('viol_f');

-- A burst: the job that was let through
SELECT fairsched_set_quota('viol_g', 'memory', 2, burst => 1);
SELECT viol_put('viol_g', 3, '{"memory": 1}', 'viol run 10');
SELECT viol_claim();
SELECT viol('viol_g', 'burst_allowed', 1, true, viol_jobs('viol_g'));
SELECT viol_done('viol_g');

-- An explicit call: two in one moment, each with its own run
SELECT fairsched_set_quota('viol_h', 'tokens', 10), fairsched_set_quota('viol_h', 'cost', 10);
SELECT t.allowed, c.allowed FROM fairsched_enforce_quota('viol_h', 'tokens', 12, 81, 'viol run 11') t,
	fairsched_enforce_quota('viol_h', 'cost', 16) c;
SELECT viol('viol_h', 'reject', 1, false, '{81}') <> 'there is none' AS written;
SELECT resource, actual, overage_percent, severity, job_id, run_id FROM fairsched.quota_violations WHERE workspace = 'viol_h' ORDER BY actual;

-- Gone with its cause
SELECT viol('viol_a', 'reject', 2, false) LIKE 'reject cpu: % times, job unknown, run viol run _' AS resolved;
SELECT viol('viol_b', 'pause', 1, false) LIKE 'pause concurrent_runs:%' AS resolved;
SELECT viol('viol_e', 'alert', 1, false);
SELECT viol('viol_f', 'alert', 1, false) LIKE 'alert gpu:%' AS resolved;

-- One row as long as the cause lasts, with the worst of it, and the last job that is known
SELECT fairsched_set_quota('viol_i', 'tokens', 10), fairsched_set_throttle('viol_i', false);
SELECT fairsched_record_usage('viol_i', 'tokens', 10);
SELECT allowed FROM fairsched_enforce_quota('viol_i', 'tokens', 1, 91, 'viol run 12');
SELECT viol('viol_i', 'reject', 1, true, '{91,92}');
SELECT allowed FROM fairsched_enforce_quota('viol_i', 'tokens', 6, 92, 'viol run 13');
SELECT viol('viol_i', 'reject', 2, true, '{91,92}');
SELECT allowed FROM fairsched_enforce_quota('viol_i', 'tokens', 2);
SELECT viol('viol_i', 'reject', 3, true, '{91,92}');
SELECT overage_percent, last_seen > first_seen AS later FROM fairsched.quota_violations WHERE workspace = 'viol_i' AND action = 'reject';
-- a cause that lasts although less than the quota is in use: what waits needs more, or a whole run
SELECT fairsched_set_quota('viol_j', 'cpu', 2), viol_put('viol_j', 1, '{"cpu": 1}'), viol_put('viol_j', 1, '{"cpu": 1.5}');
SELECT fairsched_set_quota('viol_k', 'concurrent_runs', 1.5), viol_put('viol_k', 2);
SELECT fairsched_set_quota('viol_l', 'memory', 1, burst => 1), viol_put('viol_l', 2, '{"memory": 1}');
SELECT viol_claim();
SELECT viol('viol_j', 'reject', 1), viol('viol_k', 'pause', 1), viol('viol_l', 'burst_allowed', 1);
-- with the throttle, use that is above the quota is an alert until it is within
SELECT fairsched_set_quota('viol_m', 'storage', 10), fairsched_record_usage('viol_m', 'storage', 12);
SELECT fairsched_record_usage('viol_m', 'storage', 1);
SELECT viol('viol_m', 'alert', 1), viol('viol_m', 'throttle', 1);
-- what nothing holds up is over a second after it was seen; of a quota of nothing as well
SELECT fairsched_set_quota('viol_n', 'gpu', 0), fairsched_set_quota('viol_o', 'tokens', 10);
SELECT fairsched_set_quota('viol_p', 'tokens', 10), fairsched_set_quota('viol_p', 'cpu', 10, burst => 2);
SELECT t.allowed, c.allowed, c.burst_allowed FROM fairsched_check_quota('viol_p', 'tokens', 11) t, fairsched_check_quota('viol_p', 'cpu', 11) c;
SELECT g.allowed, t.allowed FROM fairsched_enforce_quota('viol_n', 'gpu', 1) g, fairsched_enforce_quota('viol_o', 'tokens', 11) t;
SELECT viol('viol_n', 'reject', 1, false), viol('viol_o', 'reject', 1, false);
-- ... and those were looked at then, too; who only asked violated nothing
SELECT count(*) FROM fairsched.quota_violations WHERE workspace = 'viol_p';
SELECT workspace, resource, action, resolved_at IS NULL AS open FROM fairsched.quota_violations WHERE workspace IN ('viol_i', 'viol_j', 'viol_k', 'viol_l', 'viol_m') ORDER BY 1, 3;
-- an explicit call that fits as a burst
SELECT allowed, burst_allowed FROM fairsched_enforce_quota('viol_p', 'cpu', 11);
SELECT viol('viol_p', 'burst_allowed', 1, false);
SELECT fairsched_record_usage('viol_m', 'storage', -3.5);
SELECT viol('viol_m', 'alert', 1, false), viol('viol_m', 'throttle', 1);
SELECT fairsched_drop_quota('viol_i', 'tokens'), count(fairsched_cancel(job_id)) FROM fairsched.jobs WHERE workspace IN ('viol_j', 'viol_k') AND state = 'available';
SELECT viol_done('viol_l');
-- nobody waits, though what runs goes on
SELECT viol('viol_i', 'alert', 1, false) <> 'there is none' AS i, viol('viol_i', 'reject', 3, false) <> 'there is none' AS i, viol('viol_j', 'reject', 1, false), viol('viol_k', 'pause', 1, false), viol('viol_l', 'burst_allowed', 1, false);
-- who comes then is refused anew
SELECT viol_put('viol_j', 1, '{"cpu": 1.5}'), viol_put('viol_k', 2);
SELECT viol_claim();
SELECT viol('viol_j', 'reject', 1), viol('viol_k', 'pause', 1);
SELECT viol_done('viol_j'), viol_done('viol_k');
SELECT viol_claim();
SELECT viol('viol_j', 'reject', 1, false), viol_done('viol_j'), viol_done('viol_k');
SELECT count(fairsched_cancel(job_id)) FROM fairsched.jobs WHERE workspace = 'viol_k';
-- switched off: the throttle is over
SELECT fairsched_set_throttle('viol_m', false);
SELECT viol('viol_m', 'throttle', 1, false);
SELECT count(*) FROM fairsched.quota_violations WHERE workspace LIKE 'viol\_%' AND resolved_at < last_seen + interval '1 s' AND action <> 'throttle'
	AND workspace NOT IN ('viol_b', 'viol_i');

-- What a transaction ends and what it claims are one step: at the threshold a job for another is no crossing, nor one
-- below it, whatever comes first; a job more is
SELECT fairsched_create_workspace('viol_swap', own_table => false), fairsched_set_quota('viol_swap', 'cpu', 10),
	fairsched_set_throttle('viol_swap', true, resources => '{cpu}', duration => '0.1 s');
SELECT count(fairsched_enqueue('viol_swap', resources => '{"cpu": 1}', lane => 'viol_swap')) FROM generate_series(1, 20);
CREATE FUNCTION viol_throttled() RETURNS boolean LANGUAGE sql AS
	$$SELECT throttled_until IS NOT NULL FROM fairsched.workspace_usage_current WHERE workspace = 'viol_swap' AND resource = 'cpu'$$;
CREATE FUNCTION viol_end() RETURNS bigint LANGUAGE sql AS
	$$SELECT count(fairsched_complete(job_id, token)) FROM (SELECT job_id, token FROM fairsched.running_jobs WHERE workspace = 'viol_swap' LIMIT 1) j$$;
SELECT count(*) FROM fairsched_claim('viol', 8, lanes => '{viol_swap}');
BEGIN;
SELECT count(*) FROM fairsched_claim('viol', 1, lanes => '{viol_swap}');
SELECT viol_end();
COMMIT;
SELECT viol_throttled() AS below;
SELECT count(*) FROM fairsched_claim('viol', 1, lanes => '{viol_swap}');
SELECT viol_throttled() AS a_job_more;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT viol_throttled(); PERFORM pg_sleep(0.01); END LOOP; END $$;
BEGIN;
SELECT viol_end();
SELECT count(*) FROM fairsched_claim('viol', 1, lanes => '{viol_swap}');
COMMIT;
SELECT viol_throttled() AS a_job_for_another;
SELECT count(*) FROM fairsched_complete_and_claim(
	(SELECT ARRAY[min(job_id)] FROM fairsched.running_jobs WHERE workspace = 'viol_swap'),
	(SELECT ARRAY[token] FROM fairsched.running_jobs WHERE workspace = 'viol_swap' ORDER BY job_id LIMIT 1), 'viol', 1, lanes => '{viol_swap}');
SELECT viol_throttled() AS in_one_call;
SELECT viol_end();
SELECT count(*) FROM fairsched_claim('viol', 1, lanes => '{viol_swap}');
SELECT viol_throttled() AS in_two_steps;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT viol_throttled(); PERFORM pg_sleep(0.01); END LOOP; END $$;
-- one ended and more claimed: it is the claim that crosses, and its job is known
SELECT fairsched_create_workspace('viol_swap2', own_table => false), fairsched_set_quota('viol_swap2', 'cpu', 10),
	fairsched_set_throttle('viol_swap2', true, resources => '{cpu}');
SELECT count(fairsched_enqueue('viol_swap2', resources => '{"cpu": 1}', lane => 'viol_swap2')) FROM generate_series(1, 12);
SELECT count(*) FROM fairsched_claim('viol', 8, lanes => '{viol_swap2}');
BEGIN;
SELECT count(fairsched_complete(job_id, token)) FROM (SELECT job_id, token FROM fairsched.running_jobs WHERE workspace = 'viol_swap2' LIMIT 1) j;
SELECT count(*) FROM fairsched_claim('viol', 2, lanes => '{viol_swap2}');
COMMIT;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN EXISTS (SELECT FROM fairsched.quota_violations WHERE workspace = 'viol_swap2'); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT action, actual, job_id IS NOT NULL AS job_known FROM fairsched.quota_violations WHERE workspace = 'viol_swap2';
DROP FUNCTION viol_throttled, viol_end;

-- Health counts open violations
SELECT fairsched_workspace_health('viol_d') AS health;
SELECT DISTINCT action FROM fairsched.quota_violations WHERE workspace LIKE 'viol\_%' ORDER BY 1;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT count(*) FROM fairsched_check() WHERE workspace LIKE 'viol\_%' AND NOT ok;
