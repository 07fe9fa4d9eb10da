-- Health, the throttle that is armed again, and retention: figures at and next to each bound.
SET client_min_messages = warning;
SELECT fairsched_set_throttle(w, false) FROM unnest('{uf_cpu,uf_memory,uf_cost,uf_all}'::text[]) w;
CREATE FUNCTION uf_health(w text, r text, n numeric) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	-- of the quota, what is used makes n percent
	IF r = 'cost' THEN
		PERFORM fairsched_set_quota(w, r, 1000 / n);
	ELSE
		PERFORM fairsched_set_quota(w, r, 300 / n);
	END IF;
	RETURN NULL;
END
$$;
SELECT fairsched_workspace_health('uf_unknown');
SELECT count(fairsched_enqueue('uf_cpu', lane => 'uf', resources => '{"cpu": 3}')), count(fairsched_enqueue('uf_memory', lane => 'uf', resources => '{"memory": 3}'));
SELECT count(*) FROM fairsched_claim('uf', 10, lanes => '{uf}', lease => '1 h');
SELECT fairsched_record_usage('uf_cost', 'cost', 10);
-- cpu and memory: above 75 and above 90 percent
SELECT uf_health('uf_cpu', 'cpu', 75), uf_health('uf_memory', 'memory', 75), uf_health('uf_cost', 'cost', 80);
SELECT fairsched_workspace_health(w) AS h FROM unnest('{uf_cpu,uf_memory,uf_cost}'::text[]) w;
SELECT uf_health('uf_cpu', 'cpu', 76), uf_health('uf_memory', 'memory', 76), uf_health('uf_cost', 'cost', 81);
SELECT fairsched_workspace_health(w) AS h FROM unnest('{uf_cpu,uf_memory,uf_cost}'::text[]) w;
SELECT uf_health('uf_cpu', 'cpu', 90), uf_health('uf_memory', 'memory', 90), uf_health('uf_cost', 'cost', 95);
SELECT fairsched_workspace_health(w) AS h FROM unnest('{uf_cpu,uf_memory,uf_cost}'::text[]) w;
SELECT uf_health('uf_cpu', 'cpu', 91), uf_health('uf_memory', 'memory', 91), uf_health('uf_cost', 'cost', 96);
SELECT fairsched_workspace_health(w) AS h FROM unnest('{uf_cpu,uf_memory,uf_cost}'::text[]) w;
-- each open violation of the last hour: -5; not one that is resolved, nor an older one
BEGIN;
INSERT INTO fairsched.quota_violations (workspace, resource, quota, actual, overage, action, severity, last_seen, resolved_at)
	VALUES ('uf_cpu', 'gpu', 1, 2, 1, 'reject', 'low', now() - interval '59 min', NULL), ('uf_cpu', 'tokens', 1, 2, 1, 'alert', 'low', now(), NULL),
	('uf_cpu', 'cost', 1, 2, 1, 'alert', 'low', now() - interval '61 min', NULL), ('uf_cpu', 'storage', 1, 2, 1, 'alert', 'low', now(), now());
SELECT fairsched_workspace_health('uf_cpu');
-- 0 is the least
INSERT INTO fairsched.quota_violations (workspace, resource, quota, actual, overage, action, severity)
	SELECT 'uf_cpu', r, 1, 2, 1, a, 'low' FROM unnest('{cpu,memory,gpu,concurrent_runs,storage}'::text[]) r, unnest('{pause,throttle,burst_allowed,reject}'::text[]) a ON CONFLICT DO NOTHING;
SELECT fairsched_workspace_health('uf_cpu');
ROLLBACK;

-- A throttle once, until the level was below the threshold; then again
CREATE FUNCTION uf_throttled() RETURNS boolean LANGUAGE sql AS $$
	SELECT throttled_until > now() FROM fairsched.workspace_usage_current WHERE workspace = 'uf_arm' AND resource = 'storage'
$$;
SELECT fairsched_set_throttle('uf_arm', true, duration => '1 h', resources => '{storage}'), fairsched_set_quota('uf_arm', 'storage', 10);
SELECT fairsched_record_usage('uf_arm', 'storage', 8.9, absolute => true);
SELECT coalesce(uf_throttled(), false) AS below;
SELECT fairsched_record_usage('uf_arm', 'storage', 9, absolute => true);
SELECT uf_throttled() AS crossed;
-- switched off and on again: the level is above still, so no crossing
SELECT fairsched_set_throttle('uf_arm', false, resources => '{storage}');
SELECT fairsched_set_throttle('uf_arm', true, duration => '1 h', resources => '{storage}');
SELECT fairsched_record_usage('uf_arm', 'storage', 9.5, absolute => true);
SELECT coalesce(uf_throttled(), false) AS still_above;
-- below and above in a transaction that is rolled back, or that ends above: never below as of commit
BEGIN;
SELECT fairsched_record_usage('uf_arm', 'storage', 1, absolute => true);
ROLLBACK;
SELECT fairsched_record_usage('uf_arm', 'storage', 9.6, absolute => true);
BEGIN;
SELECT fairsched_record_usage('uf_arm', 'storage', 1, absolute => true);
SAVEPOINT a;
SELECT fairsched_record_usage('uf_arm', 'storage', 2, absolute => true);
ROLLBACK TO a;
SELECT fairsched_record_usage('uf_arm', 'storage', 9.7, absolute => true);
COMMIT;
SELECT coalesce(uf_throttled(), false) AS never_below;
SELECT fairsched_record_usage('uf_arm', 'storage', 8.9, absolute => true);
SELECT coalesce(uf_throttled(), false) AS armed;
-- above in a transaction that ends below: never above
BEGIN;
SELECT fairsched_record_usage('uf_arm', 'storage', 9.9, absolute => true);
SELECT fairsched_record_usage('uf_arm', 'storage', 8, absolute => true);
COMMIT;
SELECT coalesce(uf_throttled(), false) AS never_above;
SELECT fairsched_record_usage('uf_arm', 'storage', 9, absolute => true);
SELECT uf_throttled() AS again;
-- what a job declares and the day has not left: until the oldest use is a day old; not known where running jobs hold it
SELECT fairsched_set_quota('uf_day', 'tokens', 1000), fairsched_set_throttle('uf_day', false);
SELECT fairsched_record_usage('uf_day', 'tokens', 700);
SELECT count(fairsched_enqueue('uf_day', lane => 'uf_day', resources => '{"tokens": 200}')), count(fairsched_enqueue('uf_day', lane => 'uf_day', resources => '{"tokens": 400}')),
	count(fairsched_enqueue('uf_day', lane => 'uf_day', resources => '{"tokens": 900}'));
SELECT count(*) FROM fairsched_claim('uf', 10, lanes => '{uf_day}', lease => '1 h');
SELECT parked_detail, retry_at BETWEEN now() + interval '23 h' AND now() + interval '24 h 24 min' AS tomorrow FROM fairsched.queue_status
	WHERE workspace = 'uf_day' AND parked_reason IS NOT NULL ORDER BY 1;
SELECT resources, verdict, retry_at BETWEEN now() + interval '23 h' AND now() + interval '24 h 24 min' AS tomorrow
	FROM fairsched.jobs j, fairsched_explain(j.job_id) e WHERE workspace = 'uf_day' AND state = 'available' AND gate = 'quota_tokens' ORDER BY j.job_id;
SELECT count(fairsched_cancel(job_id)) FROM fairsched.jobs WHERE workspace = 'uf_day';
-- without a call of fairsched_set_throttle: at 90 %, for five minutes
SELECT fairsched_set_quota('uf_default', 'storage', 10);
SELECT fairsched_record_usage('uf_default', 'storage', 8.999999);
SELECT throttled_until > now() AS throttled FROM fairsched.workspace_usage_current WHERE workspace = 'uf_default';
SELECT fairsched_record_usage('uf_default', 'storage', 0.000001);
SELECT throttled_until BETWEEN now() + interval '3 min' AND now() + interval '5 min' AS five_minutes FROM fairsched.workspace_usage_current WHERE workspace = 'uf_default';
-- of two throttles the longer one counts
SELECT fairsched_set_throttle('uf_long', true, duration => '2 h'), fairsched_set_quota('uf_long', 'tokens', 10), fairsched_set_quota('uf_long', 'cost', 10);
SELECT fairsched_record_usage('uf_long', 'tokens', 9);
SELECT fairsched_set_throttle('uf_long', true, duration => '1 min');
SELECT fairsched_record_usage('uf_long', 'cost', 9);
SELECT DISTINCT throttled_until > now() + interval '1 h' AS longer FROM fairsched.workspace_usage_current WHERE workspace = 'uf_long';
-- nothing used crosses nothing, also of a quota of nothing; the least use does
SELECT fairsched_set_quota('uf_nil', 'tokens', 0), fairsched_record_usage('uf_nil', 'tokens', 0);
SELECT fairsched_record_usage('uf_nil', 'tokens', 0);
SELECT used, throttled_until > now() AS throttled FROM fairsched.workspace_usage_current WHERE workspace = 'uf_nil';
SELECT fairsched_record_usage('uf_nil', 'tokens', 0.000001);
SELECT used, throttled_until > now() AS throttled FROM fairsched.workspace_usage_current WHERE workspace = 'uf_nil';
-- more than numbers have room for is far above any quota, and no less
SELECT fairsched_set_quota('uf_huge', 'tokens', 1000), fairsched_set_throttle('uf_huge', false);
SELECT count(fairsched_record_usage('uf_huge', 'tokens', 1e12)) FROM generate_series(1, 12);
SELECT used FROM fairsched.workspace_usage_current WHERE workspace = 'uf_huge';
BEGIN;
SELECT fairsched_record_usage('uf_huge', 'tokens', 1e12);
ROLLBACK;
SELECT used FROM fairsched.workspace_usage_current WHERE workspace = 'uf_huge';
SELECT allowed, current_usage FROM fairsched_check_quota('uf_huge', 'tokens', 1);
-- ... also what was recorded before there was a quota
SELECT count(fairsched_record_usage('uf_large', 'tokens', 1e12)) FROM generate_series(1, 12);
SELECT fairsched.own_changes(true);
INSERT INTO fairsched.workspace_usage (workspace, resource, amount, recorded_at)
	SELECT 'uf_large', 'tokens', 1e12, now() - n * interval '1 hour' FROM generate_series(1, 3) n, generate_series(1, 5);
SELECT fairsched.own_changes(false);
SELECT fairsched_set_quota('uf_large', 'tokens', 1000);
SELECT allowed, current_usage FROM fairsched_check_quota('uf_large', 'tokens', 1);
-- figures that are none, by hand
CREATE FUNCTION uf_by_hand(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE what;
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END
$$;
SELECT t.what, string_agg(v || ': ' || uf_by_hand(format(t.what, v)), ', ' ORDER BY v COLLATE "C") FROM (VALUES
	('INSERT INTO fairsched.workspace_quotas (workspace, resource, quota) VALUES (''uf_hand'', ''cpu'', %L)'),
	('INSERT INTO fairsched.workspace_quotas (workspace, resource, quota, burst) VALUES (''uf_hand'', ''cpu'', 1, %L)'),
	('INSERT INTO fairsched.workspace_throttles (workspace, threshold) VALUES (''uf_hand'', %L)'),
	('INSERT INTO fairsched.workspace_levels (workspace, resource, level) VALUES (''uf_hand'', ''storage'', %L)'),
	('INSERT INTO fairsched.workspace_usage (workspace, resource, amount) VALUES (''uf_hand'', ''tokens'', %L)'),
	('SELECT fairsched_set_quota(''uf_hand'', ''cpu'', %L)'),
	('SELECT fairsched_set_quota(''uf_hand'', ''cpu'', 1, %L)'),
	('SELECT fairsched_set_throttle(''uf_hand'', true, %L)'),
	('SELECT fairsched_check_quota(''uf_hand'', ''cpu'', %L)'),
	('SELECT fairsched_enforce_quota(''uf_hand'', ''tokens'', %L)'),
	('SELECT fairsched_record_usage(''uf_hand'', ''tokens'', %L)'),
	('SELECT fairsched_record_usage(''uf_hand'', ''storage'', %L)'),
	('SELECT fairsched_record_usage(''uf_hand'', ''storage'', %L, absolute => true)')) t(what), unnest('{NaN,Infinity,-Infinity,-1}'::text[]) v GROUP BY t.what ORDER BY t.what COLLATE "C";
-- those come as JSON, which has neither
INSERT INTO fairsched.job_kinds (kind, cost) VALUES ('uf_kind', 1);
SELECT t.what, string_agg(v || ': ' || uf_by_hand(format(t.what, v)), ', ' ORDER BY v COLLATE "C") FROM (VALUES
	('SELECT fairsched_enqueue(''uf_hand'', lane => ''uf'', resources => ''{"cpu": %s}'')'),
	('SELECT fairsched_enqueue_many(''uf_hand'', ''{"{}"}'', lane => ''uf'', resources => ''{"memory": %s}'')'),
	('INSERT INTO fairsched.inbox (workspace, lane, resources) VALUES (''uf_hand'', ''uf'', ''{"tokens": %s}'')'),
	('SELECT fairsched_complete(1, 1, usage => ''{"cost": %s}'')'),
	('UPDATE fairsched.job_kinds SET resources = ''{"gpu": %s}'' WHERE kind = ''uf_kind''; SELECT fairsched_enqueue(''uf_hand'', lane => ''uf'', kind => ''uf_kind'')')) t(what), unnest('{NaN,"\"NaN\"",-0.5}'::text[]) v GROUP BY t.what ORDER BY t.what COLLATE "C";
DELETE FROM fairsched.job_kinds WHERE kind = 'uf_kind';
SELECT count(*) FROM fairsched.workspace_quotas WHERE workspace = 'uf_hand';
-- of a held resource that the list names: armed again when jobs end
SELECT fairsched_set_throttle('uf_held', true, 0.5, '1 h', '{cpu}'), fairsched_set_quota('uf_held', 'cpu', 2);
SELECT count(fairsched_enqueue('uf_held', lane => 'uf_held', resources => '{"cpu": 1}')) FROM generate_series(1, 3);
SELECT count(*) FROM fairsched_claim('uf', 1, lanes => '{uf_held}', lease => '1 h');
SELECT count(*) FROM fairsched_claim('uf', 1, lanes => '{uf_held}', lease => '1 h');
SELECT fairsched_set_throttle('uf_held', false);
SELECT fairsched_set_throttle('uf_held', true, 0.5, '1 h', '{cpu}');
-- above still: it goes on
SELECT count(*) FROM fairsched_claim('uf', 1, lanes => '{uf_held}', lease => '1 h');
SELECT count(fairsched_complete(job_id, token)) FROM fairsched.running_jobs WHERE workspace = 'uf_held';
SELECT throttled_until > now() AS throttled FROM fairsched.workspace_usage_current WHERE workspace = 'uf_held' AND resource = 'cpu';
SELECT count(*) FROM fairsched_claim('uf', 1, lanes => '{uf_held}', lease => '1 h');
SELECT throttled_until > now() AS throttled_again FROM fairsched.workspace_usage_current WHERE workspace = 'uf_held' AND resource = 'cpu';
-- ... and when the quota is raised above what they hold
SELECT fairsched_set_throttle('uf_raise', true, 0.5, '1 h', '{cpu}'), fairsched_set_quota('uf_raise', 'cpu', 2);
SELECT count(fairsched_enqueue('uf_raise', lane => 'uf_raise', resources => '{"cpu": 1}')) FROM generate_series(1, 3);
SELECT count(*) FROM fairsched_claim('uf', 1, lanes => '{uf_raise}', lease => '1 h');
SELECT throttled_until > now() AS throttled FROM fairsched.workspace_usage_current WHERE workspace = 'uf_raise' AND resource = 'cpu';
SELECT fairsched_set_quota('uf_raise', 'cpu', 100), fairsched_set_throttle('uf_raise', false);
SELECT fairsched_set_throttle('uf_raise', true, 0.5, '1 h', '{cpu}');
SELECT count(*) FROM fairsched_claim('uf', 1, lanes => '{uf_raise}', lease => '1 h');
SELECT fairsched_set_quota('uf_raise', 'cpu', 4);
SELECT count(*) FROM fairsched_claim('uf', 1, lanes => '{uf_raise}', lease => '1 h');
SELECT throttled_until > now() AS throttled_again FROM fairsched.workspace_usage_current WHERE workspace = 'uf_raise' AND resource = 'cpu';
SELECT count(fairsched_complete(job_id, token)) FROM fairsched.running_jobs WHERE workspace LIKE 'uf\_%';
-- a quota that is replaced by hand, in one transaction, is another one: the throttle of the one before is over
SELECT fairsched_set_throttle('uf_hand', true, duration => '2 hours'), fairsched_set_quota('uf_hand', 'tokens', 100);
SELECT fairsched_record_usage('uf_hand', 'tokens', 95);
SELECT throttled_until IS NOT NULL AS throttled FROM fairsched.workspace_usage_current WHERE workspace = 'uf_hand' AND resource = 'tokens';
BEGIN;
DELETE FROM fairsched.workspace_quotas WHERE workspace = 'uf_hand';
INSERT INTO fairsched.workspace_quotas (workspace, resource, quota) VALUES ('uf_hand', 'tokens', 100);
COMMIT;
DO $$
BEGIN
	FOR i IN 1..6000 LOOP
		EXIT WHEN (SELECT throttled_until IS NULL FROM fairsched.workspace_usage_current WHERE workspace = 'uf_hand' AND resource = 'tokens');
		PERFORM pg_sleep(0.01);
	END LOOP;
END
$$;
SELECT used, quota, throttled_until IS NOT NULL AS throttled FROM fairsched.workspace_usage_current WHERE workspace = 'uf_hand' AND resource = 'tokens';
SELECT fairsched_drop_quota(workspace, resource) FROM fairsched.workspace_quotas WHERE workspace LIKE 'uf\_%';
