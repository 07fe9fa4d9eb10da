-- Admission: quotas, rate limits, throttles, usage, capabilities, explain.
-- Everything is in lanes and workspaces of its own.
\pset null '(null)'
SET client_min_messages = warning;

CREATE FUNCTION gate_put(workspace text, jobs int, resources jsonb DEFAULT '{}', caps text[] DEFAULT '{}', kind text DEFAULT 'default') RETURNS int LANGUAGE sql AS $$
	SELECT cardinality(fairsched_enqueue_many(workspace, ARRAY(SELECT jsonb_build_object('n', n) FROM generate_series(1, jobs) n),
		lane => 'gate', resources => resources, capabilities => caps, kind => kind))
$$;
CREATE FUNCTION gate_claim(max_jobs int DEFAULT 1000, caps text[] DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(workspace || ' ' || n, ', ' ORDER BY workspace), 'none')
	FROM (SELECT workspace, count(*) AS n FROM fairsched_claim('gate', max_jobs, '1 h', '{gate}', caps) GROUP BY 1) c
$$;
CREATE FUNCTION gate_done(workspace text, jobs int DEFAULT 1000) RETURNS int LANGUAGE sql AS $$
	SELECT cardinality(fairsched_complete_many(array_agg(job_id), array_agg(token)))
	FROM (SELECT job_id, token FROM fairsched.running_jobs r WHERE r.workspace = gate_done.workspace ORDER BY token LIMIT jobs) r
$$;
CREATE FUNCTION gate_why(workspace text) RETURNS TABLE (reason text, detail text, timed boolean) LANGUAGE sql AS $$
	SELECT parked_reason, parked_detail, retry_at > now() FROM fairsched.queue_status q
	WHERE q.workspace = gate_why.workspace AND parked_reason IS NOT NULL ORDER BY flow
$$;
CREATE VIEW gate_usage AS SELECT workspace, resource, used, quota, percent, burst_in_use, throttled_until > now() AS throttled
	FROM fairsched.workspace_usage_current WHERE workspace LIKE 'gate\_%';
-- Violations are written by the scheduler: wait for the row, of these figures where it matters.
CREATE FUNCTION gate_violation(ws text, res text, act text, is_open boolean, of numeric DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v fairsched.quota_violations;
BEGIN
	FOR i IN 1..30000 LOOP
		SELECT * INTO v FROM fairsched.quota_violations q WHERE q.workspace = ws AND q.resource = res AND q.action = act
			AND coalesce((q.resolved_at IS NULL) = is_open, true) AND coalesce(q.actual = of, true) ORDER BY violation_id DESC LIMIT 1;
		IF FOUND THEN
			RETURN CASE WHEN of IS NULL THEN v.action ELSE format('%s: %s of %s, over %s (%s %%), %s, job %s, run %s', v.action, v.actual,
				v.quota, v.overage, v.overage_percent, v.severity, CASE WHEN v.job_id = 77 THEN '77' WHEN v.job_id > 0 THEN 'known' ELSE '-' END, coalesce(v.run_id, '-')) END;
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN 'there is none';
END
$$;

-- Figures of a row that is made without, and updated_at
INSERT INTO fairsched.workspace_quotas (workspace, resource)
	SELECT 'gate_figures', unnest('{cpu,memory,gpu,concurrent_runs,storage,tokens,cost}'::text[]);
SELECT resource, quota, burst, burst_duration FROM fairsched.workspace_quotas WHERE workspace = 'gate_figures' ORDER BY quota;
UPDATE fairsched.workspace_quotas SET quota = 11, updated_at = 'epoch' WHERE workspace = 'gate_figures' AND resource = 'cpu';
SELECT updated_at > 'epoch' AS kept, quota FROM fairsched.workspace_quotas WHERE workspace = 'gate_figures' AND resource = 'cpu';
SELECT resource, quota FROM gate_usage WHERE workspace = 'gate_figures' AND resource = 'cpu';
SELECT fairsched_drop_quota('gate_figures', 'cpu'), fairsched_drop_quota('gate_figures', 'cpu');
SELECT count(*) FROM gate_usage WHERE workspace = 'gate_figures';
DELETE FROM fairsched.workspace_quotas WHERE workspace = 'gate_figures';
SELECT count(*) FROM gate_usage WHERE workspace = 'gate_figures';

-- What is refused
SELECT fairsched_set_quota('gate_a', 'disk', 1);
\echo :SQLSTATE
SELECT fairsched_set_quota('gate_a', 'cpu', -1);
\echo :SQLSTATE
SELECT fairsched_set_quota('gate_a', 'cpu', 'NaN');
\echo :SQLSTATE
SELECT fairsched_set_quota('gate_a', 'cpu', 'Infinity');
\echo :SQLSTATE
SELECT fairsched_set_quota('gate_a', 'cpu', 1e13);
\echo :SQLSTATE
SELECT fairsched_set_quota('gate_a', 'tokens', 1, burst => 1);
\echo :SQLSTATE
SELECT fairsched_set_quota('gate_a', 'cpu', 1, 1, '2 hours');
\echo :SQLSTATE
SELECT fairsched_set_quota('gate_a', 'cpu', 1, NULL);
\echo :SQLSTATE
SELECT fairsched_set_quota('', 'cpu', 1);
\echo :SQLSTATE
SELECT fairsched_set_rate_limit('gate_a', 0, '1 s');
\echo :SQLSTATE
SELECT fairsched_set_rate_limit('gate_a', 1, '0');
\echo :SQLSTATE
SELECT fairsched_set_rate_limit('gate_a', 1, '1 s', '-1 s');
\echo :SQLSTATE
SELECT fairsched_set_throttle('gate_a', NULL);
\echo :SQLSTATE
SELECT fairsched_set_throttle('gate_a', true, 1.5);
\echo :SQLSTATE
SELECT fairsched_set_throttle('gate_a', true, resources => '{disk}');
\echo :SQLSTATE
SELECT fairsched_set_throttle('gate_a', true, duration => '0');
\echo :SQLSTATE
SELECT fairsched_check_quota('gate_a', 'disk', 1);
\echo :SQLSTATE
SELECT fairsched_check_quota('gate_a', 'cpu', 'NaN');
\echo :SQLSTATE
SELECT fairsched_check_quota('gate_a', 'cpu', NULL);
\echo :SQLSTATE
SELECT fairsched_enforce_quota('gate_a', 'tokens', -1);
\echo :SQLSTATE
SELECT fairsched_record_usage('gate_a', 'tokens', 'Infinity');
\echo :SQLSTATE
SELECT fairsched_record_usage('gate_a', 'cost', -1);
\echo :SQLSTATE
SELECT fairsched_record_usage('gate_a', 'cost', 1, absolute => true);
\echo :SQLSTATE
SELECT fairsched_record_usage('gate_a', 'storage', -1);
\echo :SQLSTATE
SELECT fairsched_cleanup_usage('1 hour');
\echo :SQLSTATE
SELECT fairsched_enqueue('gate_a', resources => '{"cpu": -1}');
\echo :SQLSTATE
SELECT fairsched_enqueue('gate_a', resources => '{"cpu": 1e10}');
\echo :SQLSTATE
SELECT fairsched_enqueue('gate_a', capabilities => '{"a b"}');
\echo :SQLSTATE
SELECT fairsched_enqueue('gate_a', capabilities => '{"a,b"}');
\echo :SQLSTATE
SELECT fairsched_enqueue('gate_a', capabilities => ARRAY[E'a\u00a0b']);
\echo :SQLSTATE
SELECT fairsched_enqueue('gate_a', capabilities => ARRAY[E'a\u0007']);
\echo :SQLSTATE
SELECT fairsched_enqueue('gate_a', capabilities => '{""}');
\echo :SQLSTATE
SELECT fairsched_enqueue('gate_a', capabilities => ARRAY(SELECT 'c' || n FROM generate_series(1, 65) n));
\echo :SQLSTATE
SELECT fairsched_enqueue('gate_a', capabilities => ARRAY(SELECT repeat('c', 126) || n FROM generate_series(10, 45) n));
\echo :SQLSTATE
SELECT fairsched_register_worker('gate', '{"a b"}');
\echo :SQLSTATE
SELECT * FROM fairsched_explain(1::bigint << 52);
\echo :SQLSTATE
SELECT count(*) FROM fairsched.workspace_quotas WHERE workspace LIKE 'gate\_%';

-- Held resources: exactly to the quota, in halves; a flow that does not fit holds nobody else up
SELECT fairsched_set_quota('gate_a', 'cpu', 2);
SELECT gate_put('gate_a', 5, '{"cpu": 0.5}'), gate_put('gate_a', 1, '{"cpu": 3}'), gate_put('gate_a', 2);
SELECT gate_claim();
SELECT * FROM gate_why('gate_a');
SELECT resource, used, quota, percent FROM gate_usage WHERE workspace = 'gate_a';
SELECT gate, verdict, value, limit_value, detail FROM fairsched_explain((SELECT min(job_id) FROM fairsched.jobs WHERE workspace = 'gate_a' AND state = 'available' AND resources = '{"cpu": 0.5}'))
	WHERE gate LIKE 'quota%';
-- one ends: one more fits
SELECT gate_done('gate_a', 1);
SELECT gate_claim();
-- raised and lowered: at once, with the commit
BEGIN;
SELECT fairsched_set_quota('gate_a', 'cpu', 5);
ROLLBACK;
SELECT gate_claim();
SELECT fairsched_set_quota('gate_a', 'cpu', 5);
SELECT gate_claim();
SELECT used, quota FROM gate_usage WHERE workspace = 'gate_a' AND resource = 'cpu';
SELECT fairsched_set_quota('gate_a', 'cpu', 1);
SELECT gate_put('gate_a', 1, '{"cpu": 0.5}');
SELECT gate_claim();
SELECT percent FROM gate_usage WHERE workspace = 'gate_a' AND resource = 'cpu';
SELECT fairsched_workspace_health('gate_a') BETWEEN 75 AND 80 AS unwell;
SELECT gate_done('gate_a');
SELECT gate_claim();
SELECT gate_done('gate_a');
SELECT used FROM gate_usage WHERE workspace = 'gate_a' AND resource = 'cpu';
-- a claim that is undone holds nothing; a savepoint neither
SELECT gate_put('gate_a', 3, '{"cpu": 0.5}');
BEGIN;
SELECT gate_claim(1);
SAVEPOINT a;
SELECT gate_claim();
SELECT used FROM gate_usage WHERE workspace = 'gate_a' AND resource = 'cpu';
ROLLBACK TO a;
SELECT used FROM gate_usage WHERE workspace = 'gate_a' AND resource = 'cpu';
ROLLBACK;
SELECT used FROM gate_usage WHERE workspace = 'gate_a' AND resource = 'cpu';
-- failed, released, yielded, cancelled: all give back
SELECT gate_claim();
SELECT fairsched_fail(job_id, token, 'x', '1 h') FROM fairsched.running_jobs WHERE workspace = 'gate_a' ORDER BY token LIMIT 1;
SELECT fairsched_cancel(job_id) FROM fairsched.running_jobs WHERE workspace = 'gate_a';
SELECT used FROM gate_usage WHERE workspace = 'gate_a' AND resource = 'cpu';
SELECT gate_claim();
SELECT fairsched_release(job_id, token, now() + interval '1 h') FROM fairsched.running_jobs WHERE workspace = 'gate_a';
SELECT used FROM gate_usage WHERE workspace = 'gate_a' AND resource = 'cpu';
SELECT count(*) AS gone FROM (SELECT fairsched_cancel(job_id) FROM fairsched.jobs WHERE workspace = 'gate_a') c;
SELECT * FROM gate_why('gate_a');
SELECT gate_violation('gate_a', 'cpu', 'reject', false);

-- Finish and claim in one call: what the finished job held is the next one's
SELECT fairsched_set_quota('gate_b', 'gpu', 1);
SELECT gate_put('gate_b', 3, '{"gpu": 1}');
SELECT gate_claim();
SELECT count(*) FROM fairsched_complete_and_claim((SELECT array_agg(job_id) FROM fairsched.running_jobs WHERE workspace = 'gate_b'),
	(SELECT array_agg(token) FROM fairsched.running_jobs WHERE workspace = 'gate_b'), 'gate', 10, lanes => '{gate}');
BEGIN;
SELECT count(*) FROM fairsched_complete_and_claim((SELECT array_agg(job_id) FROM fairsched.running_jobs WHERE workspace = 'gate_b'),
	(SELECT array_agg(token) FROM fairsched.running_jobs WHERE workspace = 'gate_b'), 'gate', 10, lanes => '{gate}');
ROLLBACK;
SELECT used FROM gate_usage WHERE workspace = 'gate_b';
SELECT gate_claim();
SELECT gate_done('gate_b');
SELECT gate_claim();
SELECT gate_done('gate_b');
SELECT used FROM gate_usage WHERE workspace = 'gate_b';

-- concurrent_runs, counted without a declaration; a quota that comes when jobs run
SELECT gate_put('gate_c', 4);
SELECT gate_claim(2);
SELECT fairsched_set_quota('gate_c', 'concurrent_runs', 3);
SELECT used, quota FROM gate_usage WHERE workspace = 'gate_c';
SELECT gate_claim();
SELECT workspace, parked_reason, parked_until FROM fairsched.workspace_status WHERE workspace = 'gate_c';
SELECT * FROM gate_why('gate_c');
SELECT gate_done('gate_c');
SELECT gate_claim();
SELECT gate_done('gate_c');

-- Burst
SELECT fairsched_set_quota('gate_d', 'memory', 4, burst => 1, burst_duration => '1 min');
SELECT gate_put('gate_d', 6, '{"memory": 1}');
SELECT gate_claim();
SELECT used, quota, percent, burst_in_use FROM gate_usage WHERE workspace = 'gate_d';
SELECT gate_violation('gate_d', 'memory', 'burst_allowed', true, 5);
SELECT allowed, burst_allowed, current_usage, quota FROM fairsched_check_quota('gate_d', 'memory', 0);
SELECT gate_done('gate_d');
SELECT gate_claim();
SELECT gate_done('gate_d');
SELECT allowed, burst_allowed, reason FROM fairsched_check_quota('gate_d', 'memory', 5);
SELECT allowed, burst_allowed, reason FROM fairsched_check_quota('gate_d', 'memory', 5.000001);
SELECT gate_violation('gate_d', 'memory', 'burst_allowed', false);

-- Rate limit: a claim that is undone does not count, a repeated request neither
SELECT fairsched_set_rate_limit('gate_e', 3, '1 hour');
SELECT gate_put('gate_e', 5);
BEGIN;
SELECT gate_claim();
ROLLBACK;
SELECT count(*) FROM fairsched_claim('gate', 2, '1 h', '{gate}', request_id => 'e0000000-0000-4000-8000-000000000001');
SELECT count(*) FROM fairsched_claim('gate', 2, '1 h', '{gate}', request_id => 'e0000000-0000-4000-8000-000000000001');
SELECT gate_claim();
SELECT parked_reason, parked_until BETWEEN now() + interval '50 min' AND now() + interval '62 min' AS in_an_hour
	FROM fairsched.workspace_status WHERE workspace = 'gate_e';
SELECT * FROM gate_why('gate_e');
SELECT gate, verdict, value, limit_value, retry_at > now() AS later
	FROM fairsched_explain((SELECT max(job_id) FROM fairsched.jobs WHERE workspace = 'gate_e')) WHERE verdict = 'refuse';
SELECT gate_done('gate_e');
SELECT gate_claim();
SELECT fairsched_set_rate_limit('gate_e', 4, '1 hour');
SELECT gate_claim();
-- of another length: what was claimed counts still
SELECT fairsched_set_rate_limit('gate_e', 4, '2 hours');
SELECT gate_claim();
SELECT fairsched_set_rate_limit('gate_e', 4, '40 min');
SELECT gate_claim();
SELECT fairsched_set_rate_limit('gate_e', NULL, NULL);
SELECT gate_claim();
SELECT gate_done('gate_e');

-- Consumed: declared tokens are reserved, usage counts, what is used up refuses all
SELECT fairsched_set_quota('gate_f', 'tokens', 1000);
SELECT fairsched_set_throttle('gate_f', false);
SELECT gate_put('gate_f', 3, '{"tokens": 400}'), gate_put('gate_f', 1);
SELECT gate_claim();
SELECT used FROM gate_usage WHERE workspace = 'gate_f' AND resource = 'tokens';
SELECT * FROM gate_why('gate_f');
SELECT fairsched_complete(job_id, token, usage => '{"tokens": -1}') FROM fairsched.running_jobs WHERE workspace = 'gate_f' ORDER BY token LIMIT 1;
\echo :SQLSTATE
SELECT fairsched_complete(job_id, token, usage => '{"tokens": 100, "cost": 0.125}') FROM fairsched.running_jobs WHERE workspace = 'gate_f' ORDER BY token LIMIT 1;
SELECT resource, used, quota, percent FROM gate_usage WHERE workspace = 'gate_f' AND resource <> 'concurrent_runs';
SELECT gate_claim();
SELECT allowed, current_usage, quota, retry_after, reason FROM fairsched_check_quota('gate_f', 'tokens', 100);
SELECT allowed, current_usage, retry_after BETWEEN '23 h' AND '24 h 23 min' AS tomorrow, reason FROM fairsched_check_quota('gate_f', 'tokens', 101);
SELECT allowed, current_usage, reason FROM fairsched_enforce_quota('gate_f', 'tokens', 60);
BEGIN;
SELECT allowed, current_usage, reason FROM fairsched_enforce_quota('gate_f', 'tokens', 40);
ROLLBACK;
SELECT allowed, current_usage, reason FROM fairsched_enforce_quota('gate_f', 'tokens', 41);
SELECT gate_violation('gate_f', 'tokens', 'reject', NULL);
-- what an explicit call refuses is written although nothing else is: with job and run, counted in one row
SELECT fairsched_set_quota('gate_q', 'tokens', 10);
SELECT allowed, current_usage, quota, reason FROM fairsched_enforce_quota('gate_q', 'tokens', 11, 77, 'gate run');
SELECT gate_violation('gate_q', 'tokens', 'reject', false, 11);
SELECT fairsched_set_quota('gate_q', 'tokens', 4);
BEGIN;
SELECT allowed FROM fairsched_enforce_quota('gate_q', 'tokens', 6, 77);
ROLLBACK;
SELECT gate_violation('gate_q', 'tokens', 'reject', false, 6);
SELECT gate_done('gate_f');
SELECT fairsched_record_usage('gate_f', 'tokens', 840, run_id => 'gate run');
SELECT gate_put('gate_f', 1);
SELECT gate_claim();
SELECT * FROM gate_why('gate_f');
SELECT parked_reason, parked_until > now() AS timed FROM fairsched.workspace_status WHERE workspace = 'gate_f';
SELECT resource, amount, job_id IS NOT NULL AS job, run_id FROM fairsched.workspace_usage WHERE workspace = 'gate_f' ORDER BY usage_id;
-- a quota that comes later counts the day
SELECT fairsched_record_usage('gate_g', 'cost', 99.5);
SELECT fairsched_set_throttle('gate_g', false);
SELECT fairsched_set_quota('gate_g', 'cost', NULL);
SELECT used, quota, percent FROM gate_usage WHERE workspace = 'gate_g';
SELECT fairsched_workspace_health('gate_g');
SELECT fairsched_drop_quota('gate_f', 'tokens');
SELECT gate_claim();
SELECT gate_done('gate_f');

-- Storage: a level
SELECT fairsched_set_quota('gate_h', 'storage', 10);
SELECT fairsched_set_throttle('gate_h', false);
SELECT fairsched_record_usage('gate_h', 'storage', 4);
SELECT fairsched_record_usage('gate_h', 'storage', 9, absolute => true);
SELECT fairsched_record_usage('gate_h', 'storage', -1);
SELECT used FROM gate_usage WHERE workspace = 'gate_h';
SELECT allowed FROM fairsched_enforce_quota('gate_h', 'storage', 3);
SELECT allowed FROM fairsched_enforce_quota('gate_h', 'storage', 2);
SELECT level FROM fairsched.workspace_levels WHERE workspace = 'gate_h';
SELECT gate_put('gate_h', 1, '{"storage": 1}');
SELECT gate_claim();
SELECT fairsched_record_usage('gate_h', 'storage', -5);
SELECT gate_claim();
SELECT fairsched_complete(job_id, token, usage => '{"storage": 0.5}') FROM fairsched.running_jobs WHERE workspace = 'gate_h';
SELECT used FROM gate_usage WHERE workspace = 'gate_h';
SELECT amount FROM fairsched.workspace_usage WHERE workspace = 'gate_h' ORDER BY usage_id;

-- Throttle: at the threshold, as of commit, once
SELECT fairsched_set_quota('gate_i', 'tokens', 100);
SELECT gate_put('gate_i', 3);
SELECT gate_claim(1);
BEGIN;
SELECT fairsched_record_usage('gate_i', 'tokens', 95);
SELECT used, throttled FROM gate_usage WHERE workspace = 'gate_i' AND resource = 'tokens';
ROLLBACK;
SELECT fairsched_record_usage('gate_i', 'tokens', 89);
SELECT used, throttled FROM gate_usage WHERE workspace = 'gate_i' AND resource = 'tokens';
SELECT fairsched_record_usage('gate_i', 'tokens', 1);
SELECT used, throttled FROM gate_usage WHERE workspace = 'gate_i' AND resource = 'tokens';
SELECT gate_claim();
SELECT * FROM gate_why('gate_i');
SELECT gate, verdict FROM fairsched_explain((SELECT max(job_id) FROM fairsched.jobs WHERE workspace = 'gate_i')) WHERE verdict = 'refuse';
SELECT gate_violation('gate_i', 'tokens', 'throttle', true, 90);
SELECT gate_done('gate_i');
SELECT fairsched_set_throttle('gate_i', false);
SELECT gate_claim(1);
-- above already: not again
SELECT fairsched_set_throttle('gate_i', true);
SELECT fairsched_record_usage('gate_i', 'tokens', 1);
SELECT used, throttled FROM gate_usage WHERE workspace = 'gate_i' AND resource = 'tokens';
SELECT gate_claim();
SELECT gate_done('gate_i');
-- held resources on request
SELECT fairsched_set_quota('gate_j', 'gpu', 2);
SELECT fairsched_set_throttle('gate_j', true, 0.5, '10 min', '{gpu}');
SELECT gate_put('gate_j', 3, '{"gpu": 1}');
SELECT gate_claim(1);
SELECT gate_claim();
SELECT parked_reason FROM fairsched.workspace_status WHERE workspace = 'gate_j';
SELECT gate_done('gate_j');
SELECT fairsched_set_throttle('gate_j', false);
SELECT gate_claim();
SELECT gate_done('gate_j');

-- Defaults of a kind
INSERT INTO fairsched.job_kinds (kind, cost, resources) VALUES ('gate_train', 1, '{"gpu": 2, "cpu": 4}');
SELECT gate_put('gate_k', 1, kind => 'gate_train'), gate_put('gate_k', 1, '{"cpu": 1}', kind => 'gate_train');
SELECT resources FROM fairsched.jobs WHERE workspace = 'gate_k' ORDER BY job_id;
SELECT gate_claim();
SELECT gate_done('gate_k');
DELETE FROM fairsched.job_kinds WHERE kind = 'gate_train';

-- Capabilities: parked until a worker that has them registers
SELECT gate_put('gate_l', 2, caps => '{gate-x,gate-y}');
SELECT reason, detail FROM gate_why('gate_l');
SELECT gate, verdict, detail FROM fairsched_explain((SELECT max(job_id) FROM fairsched.jobs WHERE workspace = 'gate_l')) WHERE gate = 'capabilities';
SELECT gate_claim();
SELECT fairsched_register_worker('gate_xyz', '{gate-x,gate-y,gate-z}');
SELECT reason, detail FROM gate_why('gate_l');
SELECT gate_claim(caps => '{gate-x,gate-y,gate-z}');
SELECT gate_done('gate_l');
SELECT fairsched_unregister_worker('gate_xyz');

-- explain: a job that nothing holds up, one that is not ready
SELECT gate_put('gate_m', 1);
SELECT gate, verdict, value, limit_value, detail, retry_at FROM fairsched_explain((SELECT job_id FROM fairsched.jobs WHERE workspace = 'gate_m'))
	WHERE gate NOT IN ('workspace_share');
SELECT fairsched_pause_workspace('gate_m');
SELECT gate, verdict, detail FROM fairsched_explain((SELECT job_id FROM fairsched.jobs WHERE workspace = 'gate_m')) WHERE verdict = 'refuse';
SELECT fairsched_resume_workspace('gate_m');
SELECT gate_claim();
SELECT gate, verdict, detail FROM fairsched_explain((SELECT job_id FROM fairsched.jobs WHERE workspace = 'gate_m')) WHERE verdict = 'refuse';
SELECT gate_done('gate_m');

-- A dropped workspace has no limits
SELECT fairsched_create_workspace('gate_n', own_table => false);
SELECT fairsched_set_quota('gate_n', 'cpu', 1);
SELECT fairsched_set_rate_limit('gate_n', 1, '1 h');
SELECT fairsched_set_throttle('gate_n', true);
SELECT fairsched_drop_workspace('gate_n');
SELECT (SELECT count(*) FROM fairsched.workspace_quotas WHERE workspace = 'gate_n') + (SELECT count(*) FROM fairsched.workspace_rate_limits WHERE workspace = 'gate_n')
	+ (SELECT count(*) FROM fairsched.workspace_throttles WHERE workspace = 'gate_n') AS rows;
SELECT count(*) FROM gate_usage WHERE workspace = 'gate_n';

-- Usage is cleaned up
INSERT INTO fairsched.workspace_usage (workspace, resource, amount, recorded_at) VALUES ('gate_o', 'cost', 1, now() - interval '31 days'), ('gate_o', 'cost', 1, now() - interval '29 days');
-- and violations that were resolved as long ago
INSERT INTO fairsched.quota_violations (workspace, resource, quota, actual, overage, action, severity, first_seen, last_seen, resolved_at)
	SELECT 'gate_o', r, 1, 2, 1, 'reject', 'low', now() - interval '40 days', now() - interval '40 days', now() - age * interval '1 day'
	FROM (VALUES ('cpu', 31), ('gpu', 29), ('memory', 1), ('cost', NULL)) v(r, age);
SELECT fairsched_cleanup_usage();
SELECT resource FROM fairsched.quota_violations WHERE workspace = 'gate_o' ORDER BY 1;
SELECT fairsched_cleanup_usage('3 days');
SELECT resource FROM fairsched.quota_violations WHERE workspace = 'gate_o' ORDER BY 1;
DELETE FROM fairsched.quota_violations WHERE workspace = 'gate_o';

-- Usage and levels that are changed by hand: the scheduler reads them again
SELECT fairsched_set_quota('gate_r', 'cost', 10), fairsched_set_quota('gate_r', 'storage', 10), fairsched_set_throttle('gate_r', false);
SELECT fairsched_record_usage('gate_r', 'cost', 1), fairsched_record_usage('gate_r', 'storage', 2);
CREATE FUNCTION gate_wait(ws text, used text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	now_used text;
BEGIN
	FOR i IN 1..30000 LOOP
		SELECT string_agg(u.resource || ' ' || u.used, ', ' ORDER BY u.resource) INTO now_used FROM fairsched.workspace_usage_current u WHERE u.workspace = ws;
		EXIT WHEN now_used = gate_wait.used;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN now_used;
END
$$;
INSERT INTO fairsched.workspace_usage (workspace, resource, amount) VALUES ('gate_r', 'cost', 2.5);
UPDATE fairsched.workspace_levels SET level = 5 WHERE workspace = 'gate_r';
SELECT gate_wait('gate_r', 'cost 3.5, storage 5');
DELETE FROM fairsched.workspace_usage WHERE workspace = 'gate_r' AND amount = 1 AND resource = 'cost';
SELECT gate_wait('gate_r', 'cost 2.5, storage 5');
SELECT fairsched_drop_quota('gate_r', 'cost'), fairsched_drop_quota('gate_r', 'storage');
-- what is above its threshold by then throttles nobody; what is below can throttle again
SELECT fairsched_set_quota('gate_t', 'tokens', 100), fairsched_set_throttle('gate_t', true, duration => '1 h');
INSERT INTO fairsched.workspace_usage (workspace, resource, amount) VALUES ('gate_t', 'tokens', 95);
SELECT gate_wait('gate_t', 'tokens 95');
SELECT fairsched_record_usage('gate_t', 'tokens', 1);
SELECT used, throttled FROM gate_usage WHERE workspace = 'gate_t';
DELETE FROM fairsched.workspace_usage WHERE workspace = 'gate_t';
SELECT gate_wait('gate_t', 'tokens 0');
SELECT fairsched_record_usage('gate_t', 'tokens', 95);
SELECT used, throttled FROM gate_usage WHERE workspace = 'gate_t';
SELECT fairsched_drop_quota('gate_t', 'tokens');

-- Nobody without a grant
CREATE ROLE gate_nobody;
GRANT USAGE ON SCHEMA fairsched TO gate_nobody;
SET ROLE gate_nobody;
SELECT fairsched_set_quota('gate_a', 'cpu', 1);
\echo :SQLSTATE
SELECT fairsched_enforce_quota('gate_a', 'cpu', 1);
\echo :SQLSTATE
SELECT * FROM fairsched.workspace_usage_current;
\echo :SQLSTATE
SELECT * FROM fairsched.workspace_usage_internal();
\echo :SQLSTATE
RESET ROLE;
REVOKE USAGE ON SCHEMA fairsched FROM gate_nobody;
DROP ROLE gate_nobody;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT count(*) FROM fairsched_check() WHERE workspace LIKE 'gate\_%' AND NOT ok;
