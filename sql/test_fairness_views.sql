-- What fairness, fairness_tiers and fairness_summary say: who got what of what is due.
SET client_min_messages = warning;
CREATE VIEW fv AS SELECT workspace, round(entitled::numeric, 2) AS entitled, served, competed,
	round(satisfaction::numeric, 2) AS satisfaction, round(lag::numeric, 2) AS lag, round(bound::numeric, 2) AS bound,
	contending, depth, running, max_running
	FROM fairsched.fairness WHERE workspace LIKE 'fv\_%' ORDER BY workspace;
SELECT fairsched_create_workspace(w, tier => t, max_running => 10000, own_table => false)
	FROM (VALUES ('fv_a', 'starter'), ('fv_b', 'enterprise'), ('fv_c', 'starter'), ('fv_idle', 'scale')) v (w, t);
SELECT count(fairsched_enqueue_many(w, array_fill('{}'::jsonb, ARRAY[2000]), lane => 'fv')) FROM unnest('{fv_a,fv_b}'::text[]) w;

-- two that compete, 1 to 4; one that asks for nothing is entitled to nothing
SELECT count(*) FROM fairsched_claim('fv', 500, lanes => '{fv}');
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN (SELECT counted FROM fairsched.database_status); PERFORM pg_sleep(0.1); END LOOP; END $$;
SELECT * FROM fv;

-- one by one it is the same
DO $$ BEGIN FOR i IN 1..50 LOOP PERFORM fairsched_claim('fv', lanes => '{fv}'); END LOOP; END $$;
SELECT * FROM fv;

-- a claim counts as competed while it is open, as served once it is committed, and as neither after a rollback
BEGIN;
SELECT count(*) FROM fairsched_claim('fv', 150, lanes => '{fv}');
SELECT * FROM fv;
SAVEPOINT s;
SELECT count(*) FROM fairsched_claim('fv', 100, lanes => '{fv}');
ROLLBACK TO s;
SELECT * FROM fv;
ROLLBACK;
SELECT * FROM fv;

-- one that comes later is entitled to its part from then on
SELECT count(fairsched_enqueue_many('fv_c', array_fill('{}'::jsonb, ARRAY[2000]), lane => 'fv'));
SELECT count(*) FROM fairsched_claim('fv', 600, lanes => '{fv}');
SELECT * FROM fv;

-- a paused one competes no more, whatever waits; then one is alone, and what it gets is not in competition
SELECT fairsched_pause_workspace('fv_b'), fairsched_pause_workspace('fv_c');
SELECT count(*) FROM fairsched_claim('fv', 100, lanes => '{fv}');
SELECT * FROM fv;
SELECT fairsched_resume_workspace('fv_b'), fairsched_resume_workspace('fv_c');

-- a job for who had none: it waits for its turn, is served, and is not behind
SELECT count(fairsched_enqueue('fv_idle', lane => 'fv'));
SELECT count(*) FROM fairsched_claim('fv', 300, lanes => '{fv}');
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN (SELECT counted FROM fairsched.database_status); PERFORM pg_sleep(0.1); END LOOP; END $$;
SELECT * FROM fv WHERE workspace = 'fv_idle';

-- another tier counts from now on, and only for what comes
SELECT fairsched_alter_workspace('fv_a', tier => 'enterprise');
CREATE TEMP TABLE before AS SELECT * FROM fairsched.fairness WHERE workspace LIKE 'fv\_%';
SELECT count(*) FROM fairsched_claim('fv', 900, lanes => '{fv}');
SELECT workspace, round((f.entitled - b.entitled)::numeric, 2) AS entitled, f.competed - b.competed AS competed,
	abs(f.lag) <= f.bound AS within_bound FROM fairsched.fairness f JOIN before b USING (workspace) ORDER BY 1;

-- service in competition is all that anybody is entitled to, but for what was forfeited by leaving: less than a visit each
SELECT sum(competed) - sum(entitled) BETWEEN 0 AND 140 FROM fairsched.fairness WHERE workspace LIKE 'fv\_%';

-- P0 before its turn: the bound is that for P0
SELECT count(fairsched_enqueue('fv_c', priority => 'P0', lane => 'fv'));
SELECT priority FROM fairsched_claim('fv', lanes => '{fv}');
SELECT workspace, bound FROM fairsched.fairness WHERE workspace = 'fv_c';

-- waiting times, of workspaces and tiers
SELECT workspace, dwell_p50 > '0' AND dwell_p50 <= dwell_p95 AND dwell_p95 <= dwell_p99 AS percentiles, oldest_ready_age > '0' AS age
	FROM fairsched.fairness WHERE workspace LIKE 'fv\_%' ORDER BY 1;
SELECT tier, dwell_p50 > '0' AND dwell_p50 <= dwell_p95 AND dwell_p95 <= dwell_p99 AS percentiles
	FROM fairsched.fairness_tiers WHERE tier IN ('starter', 'enterprise') ORDER BY 1;
SELECT fairsched_create_workspace('fv_old', own_table => false);
SELECT count(fairsched_enqueue('fv_old', lane => 'fv1')) FROM generate_series(1, 10);
UPDATE fairsched.jobs SET run_at = now() - interval '100 s', created_at = now() - interval '200 s' WHERE workspace = 'fv_old';
SELECT count(*) FROM fairsched_claim('fv', 10, lanes => '{fv1}');
SELECT extract(epoch FROM dwell_p50)::int BETWEEN 80 AND 140 AS since_it_was_ready FROM fairsched.fairness WHERE workspace = 'fv_old';

-- jobs that need a capability no claimer has compete with nobody
SELECT fairsched_create_workspace(w, max_running => 10000, own_table => false) FROM unnest('{fv_x,fv_y,fv_z}'::text[]) w;
SELECT count(fairsched_enqueue_many(w, array_fill('{}'::jsonb, ARRAY[500]), lane => 'fv2',
	capabilities => CASE WHEN w = 'fv_z' THEN '{fv_gpu}'::text[] ELSE '{}' END)) FROM unnest('{fv_x,fv_y,fv_z}'::text[]) w;
SELECT count(*) FROM fairsched_claim('fv', 200, lanes => '{fv2}');
SELECT workspace, entitled, competed, lag FROM fv WHERE workspace IN ('fv_x', 'fv_y', 'fv_z');
SELECT count(*) FROM fairsched_claim('fv', 300, lanes => '{fv2}', capabilities => '{fv_gpu}');
SELECT workspace, entitled, competed, abs(lag) <= bound AS within_bound FROM fv WHERE workspace IN ('fv_x', 'fv_y', 'fv_z');

-- a workspace with jobs in two rings of a lane has one share of it
SELECT count(fairsched_enqueue_many('fv_x', array_fill('{}'::jsonb, ARRAY[500]), lane => 'fv2', capabilities => '{fv_gpu}'));
TRUNCATE before;
INSERT INTO before SELECT * FROM fairsched.fairness WHERE workspace LIKE 'fv\_%';
SELECT count(*) FROM fairsched_claim('fv', 300, lanes => '{fv2}', capabilities => '{fv_gpu}');
SELECT workspace, round((f.entitled - b.entitled)::numeric, 2) AS entitled, f.competed - b.competed AS competed,
	abs(f.lag) <= f.bound AS within_bound FROM fairsched.fairness f JOIN before b USING (workspace)
	WHERE workspace IN ('fv_x', 'fv_y', 'fv_z') ORDER BY 1;

-- at its ceiling it gets what it can take: no shortfall
SELECT fairsched_create_workspace('fv_low', max_running => 1, own_table => false), fairsched_create_workspace('fv_high', max_running => 10000, own_table => false);
SELECT count(fairsched_enqueue_many(w, array_fill('{}'::jsonb, ARRAY[400]), lane => 'fv3')) FROM unnest('{fv_low,fv_high}'::text[]) w;
DO $$
DECLARE j record;
BEGIN
	FOR i IN 1..200 LOOP
		SELECT * INTO j FROM fairsched_claim('fv', lanes => '{fv3}');
		IF j.workspace = 'fv_low' THEN PERFORM fairsched_complete(j.job_id, j.token); COMMIT; END IF;
	END LOOP;
END $$;
SELECT workspace, satisfaction, abs(lag) <= bound AS within_bound FROM fv WHERE workspace IN ('fv_low', 'fv_high');

-- a share whose home is in a ring that this claimer cannot serve competes where it is served
SELECT fairsched_create_workspace(w, max_running => 10000, own_table => false) FROM unnest('{fv_m,fv_n}'::text[]) w;
SELECT count(fairsched_enqueue_many('fv_m', array_fill('{}'::jsonb, ARRAY[200]), lane => 'fv4', capabilities => '{fv_gpu}'));
SELECT count(fairsched_enqueue_many(w, array_fill('{}'::jsonb, ARRAY[200]), lane => 'fv4')) FROM unnest('{fv_m,fv_n}'::text[]) w;
SELECT count(*) FROM fairsched_claim('fv', 200, lanes => '{fv4}');
SELECT workspace, entitled > 85 AS entitled, competed > 85 AS competed FROM fv WHERE workspace IN ('fv_m', 'fv_n');

-- who waits for a dear job and gets a cheaper one in between loses nothing: bound 20 + 2 * 60
SELECT fairsched_create_workspace(w, max_running => 10000, own_table => false) FROM unnest('{fv_p,fv_q,fv_r,fv_s}'::text[]) w;
SELECT count(fairsched_enqueue('fv_p', cost => 60, priority => 'P3', lane => 'fv5')) FROM generate_series(1, 100);
SELECT count(fairsched_enqueue_many('fv_q', array_fill('{}'::jsonb, ARRAY[3000]), lane => 'fv5'));
DO $$
BEGIN
	FOR i IN 1..60 LOOP
		PERFORM fairsched_enqueue('fv_p', priority => 'P1', lane => 'fv5');
		COMMIT;
		PERFORM fairsched_claim('fv', 1 + i % 30, lanes => '{fv5}');
	END LOOP;
END $$;
SELECT workspace, abs(lag) <= bound AS within_bound FROM fv WHERE workspace IN ('fv_p', 'fv_q');
SELECT max(served) - min(served) <= 140 FROM fv WHERE workspace IN ('fv_p', 'fv_q');

-- nor who waits for one in a ring, and has cheap ones in another that fewer workers serve
SELECT count(fairsched_enqueue('fv_r', cost => 60, lane => 'fv6')) FROM generate_series(1, 100);
SELECT count(fairsched_enqueue_many('fv_r', array_fill('{}'::jsonb, ARRAY[2000]), priority => 'P1', lane => 'fv6', capabilities => '{fv_gpu}'));
SELECT count(fairsched_enqueue_many('fv_s', array_fill('{}'::jsonb, ARRAY[4000]), lane => 'fv6'));
DO $$
BEGIN
	FOR i IN 1..60 LOOP
		PERFORM fairsched_claim('fv', 45, lanes => '{fv6}');
		PERFORM fairsched_claim('fv', 3, lanes => '{fv6}', capabilities => '{fv_gpu}');
	END LOOP;
END $$;
SELECT workspace, abs(lag) <= bound AS within_bound FROM fv WHERE workspace IN ('fv_r', 'fv_s');
SELECT max(served) - min(served) <= 140 FROM fv WHERE workspace IN ('fv_r', 'fv_s');

-- sums
SELECT bool_and(abs(total - 1) < 1e-9) FROM (SELECT sum(share) AS total FROM fairsched.fairness UNION ALL SELECT sum(entitled_share) FROM fairsched.fairness
	UNION ALL SELECT sum(share) FROM fairsched.fairness_tiers UNION ALL SELECT sum(entitled_share) FROM fairsched.fairness_tiers) s;
SELECT t.served = f.served AND abs(t.entitled - f.entitled) < 1e-6 AND t.competed = f.competed AND t.running = f.running AS tiers_are_sums
	FROM fairsched.fairness_tiers t JOIN (SELECT tier, sum(served) AS served, sum(entitled) AS entitled, sum(competed) AS competed,
		sum(running) AS running FROM fairsched.fairness GROUP BY tier) f USING (tier) WHERE tier = 'enterprise';
SELECT s.contending = f.contending AS contending, abs(s.score - f.score) < 1e-6 AS score, abs(s.jain_index - f.jain) < 1e-6 AS jain,
	s.competed = f.competed AND abs(s.entitled - f.entitled) < 1e-6 AS totals
FROM fairsched.fairness_summary s, (SELECT count(*) FILTER (WHERE contending) AS contending,
	1 - coalesce(sum(greatest(entitled - competed, 0)) FILTER (WHERE entitled - competed > tolerance), 0) / sum(entitled) AS score,
	sum(satisfaction) FILTER (WHERE entitled > 0) ^ 2 / (count(*) FILTER (WHERE entitled > 0) * sum(satisfaction ^ 2) FILTER (WHERE entitled > 0)) AS jain,
	sum(entitled) AS entitled, sum(competed) FILTER (WHERE entitled > 0) AS competed FROM fairsched.fairness) f;

-- samples: of the time since the last
SELECT fairsched.sample_fairness('2040-01-01');
SELECT count(*) FROM fairsched_claim('fv', 300, lanes => '{fv}');
SELECT fairsched.sample_fairness('2040-01-01 00:01:30') > 2;
SELECT scope, workspace, tier, seconds, round(entitled::numeric, 1) AS entitled, competed, served, lacking, depth IS NULL OR depth > 0 AS depth, running > 0 AS running,
	jain_index > 0 AS jain, score, worst_workspace FROM fairsched.fairness_samples
	WHERE sampled_at = '2040-01-01 00:01:30' AND (scope <> 'workspace' OR competed > 0) ORDER BY scope, workspace, tier;
SELECT sampled_at = '2040-01-01 00:01:30', sampled_score FROM fairsched.fairness_summary;
-- no more rows than wanted
SELECT count(*) <= current_setting('fairsched.fairness_workspaces')::int FROM fairsched.fairness_samples WHERE sampled_at = '2040-01-01 00:01:30' AND scope = 'workspace';
-- in the partition of that day, which the sampler made
SELECT tableoid::regclass, count(*) > 2 FROM fairsched.fairness_samples WHERE sampled_at >= '2040-01-01' GROUP BY 1;
DROP TABLE fairsched.fairness_samples_20400101;

-- rights
CREATE ROLE fv_reader;
GRANT USAGE ON SCHEMA fairsched TO fv_reader;
SET ROLE fv_reader;
SELECT count(*) FROM fairsched.fairness;
SELECT count(*) FROM fairsched.fairness_internal();
SELECT count(*) FROM fairsched.fairness_summary_internal();
SELECT count(*) FROM fairsched.tier_dwell_internal();
SELECT fairsched.sample_fairness(now());
RESET ROLE;
GRANT SELECT ON fairsched.fairness, fairsched.fairness_tiers, fairsched.fairness_summary TO fv_reader;
SET ROLE fv_reader;
SELECT count(*) > 0, count(oldest_ready_age) > 0 FROM fairsched.fairness;
SELECT count(*) > 0 FROM fairsched.fairness_tiers;
SELECT count(*) FROM fairsched.fairness_summary;
RESET ROLE;

-- leave nothing
DROP TABLE before;
DROP VIEW fv;
DROP OWNED BY fv_reader;
DROP ROLE fv_reader;
SELECT count(fairsched_drop_workspace(workspace, force => true)) FROM fairsched.workspaces WHERE workspace LIKE 'fv\_%';
