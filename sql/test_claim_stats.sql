-- fairsched.claim_stats, claim_refusals, scheduler_stats: what counts as what. Lanes of its own; other
-- tests' counters go with the reset.
\pset null '(null)'
SET client_min_messages = warning;
CREATE VIEW cs AS
SELECT lane, claims, jobs, empties, undone, refusals, completed, failed, discarded, released, preempted,
	expired, cancelled, retaken, stale_tokens
FROM fairsched.claim_stats WHERE lane LIKE 'cs%' ORDER BY lane;

SELECT count(fairsched_enqueue('cs_a', lane => 'cs')) FROM generate_series(1, 20);
SELECT fairsched_reset_stats() <= clock_timestamp() AS reset;
SELECT * FROM cs;
SELECT DISTINCT stats_since = fairsched_reset_stats() AS same FROM fairsched.claim_stats;
SELECT count(DISTINCT stats_since) FROM fairsched.claim_stats;

SELECT count(fairsched_enqueue('cs_a', lane => 'cs')) FROM generate_series(1, 3);
SELECT count(fairsched_enqueue('cs_a', lane => 'cs', run_at => now() + interval '1 day'));
BEGIN;
SELECT count(fairsched_enqueue('cs_a', lane => 'cs'));
ROLLBACK;
SELECT lane, arrivals FROM fairsched.claim_stats WHERE lane = 'cs';

-- Claims, also of several lanes at once, and what is rolled back
CREATE TABLE cs_held AS SELECT * FROM fairsched_claim('cs_w', 5, '1 hour', '{cs}');
BEGIN;
SELECT count(*) FROM fairsched_claim('cs_w', 3, '1 hour', '{cs}');
SAVEPOINT s;
SELECT count(*) FROM fairsched_claim('cs_w', 2, '1 hour', '{cs}');
ROLLBACK TO s;
ROLLBACK;
SELECT count(*) FROM fairsched_claim('cs_w', 1, '1 hour', '{cs,cs_none}');
SELECT count(*) FROM fairsched_claim('cs_w', 1, '1 hour', '{cs}', capabilities => '{cs_other}');
SELECT * FROM cs;
-- Nobody knows this lane: the row without one
SELECT count(*) FROM fairsched_claim('cs_w', 1, lanes => '{cs_none}');
SELECT lane, claims, empties, jobs, stale_tokens FROM fairsched.claim_stats WHERE lane IS NULL;
-- Errors do not count; a repeated request does not either
SELECT count(*) FROM fairsched_claim('cs_w', 0, lanes => '{cs}');
SELECT count(*) FROM fairsched_claim('cs_w', 1, '1 hour', '{cs}', request_id => '00000000-0000-0000-0000-0000000000c5');
SELECT count(*) FROM fairsched_claim('cs_w', 1, '1 hour', '{cs}', request_id => '00000000-0000-0000-0000-0000000000c5');
SELECT claims, jobs, empties FROM cs;

-- How jobs end. What is rolled back did not happen.
BEGIN;
SELECT count(fairsched_complete(job_id, token)) FROM cs_held;
ROLLBACK;
SELECT completed FROM cs;
CREATE VIEW cs_next AS SELECT job_id, token FROM fairsched.running_jobs WHERE lane LIKE 'cs%' ORDER BY job_id LIMIT 1;
CREATE TABLE cs_done AS SELECT job_id, token FROM cs_next;
SELECT fairsched_complete(job_id, token) FROM cs_done;
SELECT fairsched_fail(job_id, token, 'x', retry_in => '1 hour') FROM cs_next;
SELECT fairsched_fail(job_id, token, 'x', discard => true) FROM cs_next;
SELECT fairsched_release(job_id, token, now() + interval '1 hour') FROM cs_next;
SELECT fairsched_yield(job_id, token, '{}') FROM cs_next;
SELECT fairsched_cancel(job_id) FROM cs_next;
SELECT array_length(fairsched_complete_many(ARRAY[job_id], ARRAY[token]), 1) FROM cs_next;
SELECT fairsched_unregister_worker('cs_w');
SELECT * FROM cs;

-- Tokens that are not good. Nothing is left of a completed job, so nobody knows its lane.
SELECT fairsched_complete(job_id, token) FROM cs_done;
SELECT fairsched_fail(job_id, token, 'x') FROM cs_done;
SELECT fairsched_heartbeat(ARRAY[job_id], ARRAY[token]) IS NOT NULL FROM cs_done;
SELECT lane, stale_tokens FROM fairsched.claim_stats WHERE lane IS NULL;
SELECT count(fairsched_enqueue('cs_a', lane => 'cs_stale'));
CREATE TABLE cs_first AS SELECT job_id, token FROM fairsched_claim('cs_w', 1, '1 hour', '{cs_stale}');
SELECT fairsched_release(job_id, token) FROM cs_first;
SELECT fairsched_complete(job_id, token) FROM cs_first;
CREATE TABLE cs_second AS SELECT job_id, token FROM fairsched_claim('cs_w', 1, '1 hour', '{cs_stale}');
SELECT f.job_id = s.job_id AS same_job FROM cs_first f, cs_second s;
SELECT fairsched_complete(job_id, token) FROM cs_first;
SELECT fairsched_fail(job_id, token, 'x') FROM cs_first;
SELECT fairsched_release(job_id, token) FROM cs_first;
SELECT fairsched_yield(job_id, token, '{}') FROM cs_first;
SELECT fairsched_checkpoint(job_id, token, '{}') FROM cs_first;
SELECT directive FROM cs_first f, fairsched_heartbeat(ARRAY[f.job_id], ARRAY[f.token]);
SELECT fairsched_complete_many(ARRAY[job_id], ARRAY[token]) FROM cs_first;
SELECT lane, stale_tokens FROM fairsched.claim_stats WHERE lane = 'cs_stale' OR lane IS NULL ORDER BY lane;
SELECT fairsched_complete(job_id, token) FROM cs_second;
SELECT stale_tokens, completed, released FROM cs WHERE lane = 'cs_stale';

-- complete_and_claim is a claim too
CREATE TABLE cs_third AS SELECT job_id, token FROM fairsched_claim('cs_w', 1, '1 hour', '{cs}');
SELECT fairsched_reset_stats() IS NOT NULL AS reset;
SELECT count(*) FROM cs_third t, fairsched_complete_and_claim(ARRAY[t.job_id], ARRAY[t.token], 'cs_w', 1, '1 hour', '{cs}');
SELECT claims, jobs, completed FROM cs WHERE lane = 'cs';

-- Expired, taken again, completed after the lease was over, discarded at the last attempt
SELECT count(fairsched_enqueue('cs_x', lane => 'cs_exp', max_attempts => 1)) FROM generate_series(1, 2);
SELECT count(fairsched_enqueue('cs_x', lane => 'cs_exp')) FROM generate_series(1, 2);
CREATE TABLE cs_lapsed AS SELECT job_id, token, attempt FROM fairsched_claim('cs_w', 4, lease => '1 ms', lanes => '{cs_exp}');
DO $$
BEGIN
	FOR i IN 1..6000 LOOP
		EXIT WHEN (SELECT expired FROM fairsched.claim_stats WHERE lane = 'cs_exp') = 4;
		PERFORM pg_sleep(0.1);
		COMMIT;
	END LOOP;
END
$$;
SELECT jobs, expired, discarded, retaken, completed FROM cs WHERE lane = 'cs_exp';
SELECT directive FROM cs_lapsed l, fairsched_heartbeat(ARRAY[l.job_id], ARRAY[l.token])
	WHERE l.job_id = (SELECT max(job_id) FROM cs_lapsed);
SELECT fairsched_complete(job_id, token) FROM cs_lapsed ORDER BY job_id DESC LIMIT 2;
SELECT jobs, expired, discarded, retaken, completed FROM cs WHERE lane = 'cs_exp';
SELECT fairsched_complete(job_id, token) FROM cs_lapsed ORDER BY job_id LIMIT 1;
SELECT lane, stale_tokens FROM fairsched.claim_stats WHERE lane = 'cs_exp';

-- Refusals: one each time a job's turn has come and it is parked for it
SELECT fairsched_create_workspace('cs_one', max_running => 1, own_table => false);
SELECT fairsched_create_workspace('cs_rate', own_table => false);
SELECT fairsched_set_rate_limit('cs_rate', 1, '1 hour');
SELECT fairsched_create_workspace('cs_cpu', own_table => false);
SELECT fairsched_set_quota('cs_cpu', 'cpu', 1);
SELECT fairsched_set_budget('cs_budget', 1);
SELECT fairsched_record_spend('cs_budget', 1);
SELECT count(fairsched_enqueue(w, lane => 'cs_' || w)) FROM unnest('{cs_one,cs_rate}'::text[]) w, generate_series(1, 3);
SELECT count(fairsched_enqueue('cs_cpu', lane => 'cs_cs_cpu', resources => '{"cpu": 1}')) FROM generate_series(1, 3);
SELECT count(fairsched_enqueue('cs_broke', lane => 'cs_cs_budget', budgets => '{cs_budget}')) FROM generate_series(1, 3);
SELECT lane, count(*) FROM unnest('{cs_one,cs_rate,cs_cpu,cs_budget}'::text[]) w,
	fairsched_claim('cs_w', 3, lanes => ARRAY['cs_' || w], lease => '1 hour') GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM fairsched_claim('cs_w', 3, lanes => '{cs_cs_one}');
SELECT lane, gate, reason, resource, refusals FROM fairsched.claim_refusals WHERE lane LIKE 'cs%' ORDER BY lane, gate;
SELECT lane, refusals, empties FROM cs WHERE refusals > 0;

-- The histogram: as many as claims; quantiles in order; bounds that grow
SELECT lane, (SELECT sum(n) FROM unnest(latency_counts) n) = claims AS all_counted,
	latency_p50 <= latency_p95 AND latency_p95 <= latency_p99 AS in_order, latency_sum > 0 AS sum,
	array_length(latency_counts, 1) - array_length(latency_bounds, 1) AS one_more
FROM fairsched.claim_stats WHERE lane LIKE 'cs\_cs%' ORDER BY lane;
SELECT count(*) FILTER (WHERE b <= before) AS not_growing, min(b), max(b)
FROM (SELECT b, lag(b) OVER (ORDER BY o) AS before FROM fairsched.claim_stats, unnest(latency_bounds) WITH ORDINALITY u(b, o)
	WHERE lane = 'cs') x;
SELECT lock_waits >= 0 AS waits, lock_wait_seconds >= 0 AS seconds, stats_since <= now() AS since FROM fairsched.scheduler_stats;

-- Rights
CREATE ROLE cs_nobody;
SET ROLE cs_nobody;
SELECT fairsched_reset_stats();
SELECT * FROM fairsched.claim_stats;
SELECT * FROM fairsched.claim_stats_internal();
SELECT * FROM fairsched.claim_refusals_internal();
SELECT * FROM fairsched.scheduler_stats_internal();
RESET ROLE;
GRANT USAGE ON SCHEMA fairsched TO cs_nobody;
GRANT SELECT ON fairsched.claim_stats TO cs_nobody;
SET ROLE cs_nobody;
SELECT count(*) > 0 FROM fairsched.claim_stats;
SELECT * FROM fairsched.claim_refusals;
RESET ROLE;
DROP OWNED BY cs_nobody;
DROP ROLE cs_nobody;

SELECT fairsched_drop_workspace(w, force => true) IS NOT NULL AS dropped
FROM unnest('{cs_one,cs_rate,cs_cpu}'::text[]) w;
SELECT count(fairsched_cancel(job_id)) > 0 AS cancelled FROM fairsched.jobs WHERE lane LIKE 'cs%' AND state <> 'running';
SELECT fairsched_unregister_worker('cs_w') >= 0 AS gone;
SELECT count(fairsched_cancel(job_id)) >= 0 AS cancelled FROM fairsched.jobs WHERE lane LIKE 'cs%';
DELETE FROM fairsched.budgets WHERE budget = 'cs_budget';
DROP VIEW cs, cs_next;
DROP TABLE cs_held, cs_done, cs_first, cs_second, cs_third, cs_lapsed;
