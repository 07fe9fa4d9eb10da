-- Budgets at the edges: large sums, intervals that go back, rows changed and removed while jobs run.
SET client_min_messages = warning;
CREATE FUNCTION bad(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	m text; h text; d text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, h = PG_EXCEPTION_HINT, d = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' | ', SQLSTATE, m, CASE WHEN SQLSTATE <> '23514' THEN nullif(d, '') END, nullif(h, ''));
END
$$;
CREATE FUNCTION add(n int, budgets text[], resources jsonb DEFAULT '{}', workspace text DEFAULT 'bl_w', kind text DEFAULT 'bl') RETURNS bigint LANGUAGE sql AS $$
	SELECT count(fairsched_enqueue(workspace, lane => 'bl', budgets => budgets, resources => resources, kind => kind)) FROM generate_series(1, n)
$$;
CREATE FUNCTION take(n int DEFAULT 10) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM fairsched_claim('bl', n, lanes => '{bl}', lease => '1 hour')
$$;
CREATE FUNCTION finish(usage jsonb DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FILTER (WHERE fairsched_complete(job_id, token, usage => usage)) FROM fairsched.running_jobs WHERE lane = 'bl'
$$;
CREATE FUNCTION status(of text) RETURNS TABLE (amount numeric, spent numeric, reserved numeric, remaining numeric, percent_used numeric, running int) LANGUAGE sql AS $$
	SELECT amount, spent, reserved, remaining, percent_used, running FROM fairsched.budget_status WHERE budget = of
$$;
CREATE FUNCTION fold() RETURNS boolean LANGUAGE sql AS $$
	SELECT fairsched.own_changes(true);
	SELECT fairsched.fold_budget_spend();
	SELECT fairsched.own_changes(false);
	SELECT true
$$;

-- More is spent than numbers have room for: sums stop at 2e12, the same in memory, in rows, and in rows added up
SELECT fairsched_set_budget('bl_huge', 999999999999.999999);
SELECT count(fairsched_record_spend('bl_huge', 1e12)) FROM generate_series(1, 12);
SELECT * FROM status('bl_huge');
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM fairsched_check() WHERE "check" LIKE '%bl_huge' AND NOT ok;
SELECT fold();
SELECT count(fairsched_record_spend('bl_huge', 1e12)) FROM generate_series(1, 12);
SELECT fold();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM fairsched_check() WHERE "check" LIKE '%bl_huge' AND NOT ok;
SELECT spent FROM fairsched.budget_rows() WHERE (b).budget = 'bl_huge';
-- one that is not folded, as its job runs, on top of such a total; and what the job used according to both
SELECT fairsched_reset_budget('bl_huge');
SELECT add(1, '{bl_huge}', '{"cost": 999999999}');
SELECT take();
SELECT count(fairsched_record_spend('bl_huge', 1e12, job_id)) FROM fairsched.running_jobs, generate_series(1, 12) WHERE lane = 'bl';
SELECT * FROM status('bl_huge');
SELECT finish('{"cost": 1}');
SELECT * FROM status('bl_huge');
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM fairsched_check() WHERE "check" LIKE '%bl_huge' AND NOT ok;
-- after that, the estimate of its kind is all there is: such a job runs alone, and what it reports sets the mean right
SELECT fairsched_reset_budget('bl_huge');
SELECT add(1, '{bl_huge}');
SELECT add(1, '{bl_huge}');
SELECT take();
SELECT reserved FROM status('bl_huge');
SELECT parked_reason, parked_detail FROM fairsched.queue_status WHERE lane = 'bl';
SELECT finish('{"cost": 0}');
SELECT count(fairsched_cancel(job_id)) FROM fairsched.jobs WHERE lane = 'bl';
SELECT bad(s) FROM unnest(ARRAY[
	$$SELECT add(1, '{bl_huge}', '{"anything": 1000000000001}')$$,
	$$SELECT add(1, '{bl_huge}', '{"anything": -1}')$$,
	$$SELECT add(1, '{bl_huge}', '{"anything": "1"}')$$,
	$$SELECT fairsched_record_spend('bl_huge', 1000000000000.000001)$$,
	$$SELECT fairsched_record_spend('bl_huge', 'Infinity')$$,
	$$INSERT INTO fairsched.budgets (budget, amount) VALUES ('bl_bad', 'NaN')$$,
	$$INSERT INTO fairsched.budgets (budget, amount) VALUES ('bl_bad', 1e12)$$,
	$$INSERT INTO fairsched.budgets (budget, amount, warn_at) VALUES ('bl_bad', 1, 'NaN')$$,
	$$UPDATE fairsched.budgets SET amount = 0 WHERE budget = 'bl_huge'$$,
	$$UPDATE fairsched.budgets SET reset_every = '1 day', next_reset_at = '-infinity' WHERE budget = 'bl_huge'$$,
	$$UPDATE fairsched.budgets SET reset_every = '-1 month 31 days', next_reset_at = now() WHERE budget = 'bl_huge'$$,
	$$UPDATE fairsched.budgets SET period = period - 1 WHERE budget = 'bl_huge'$$,
	$$UPDATE fairsched.budgets SET budget = 'bl_tiny' WHERE budget = 'bl_huge'$$,
	$$SELECT fairsched_set_budget('bl_bad', 1, reset_every => '-1 month 31 days')$$,
	$$SELECT fairsched_set_budget('bl_bad', 1, reset_every => '1 day -1 hour')$$,
	$$SELECT fairsched_set_budget('bl_bad', 1, reset_every => '101 years')$$]) s;

-- A job may name eight budgets and, with budgets, sixteen resources; one more is refused when it comes
SELECT fairsched_set_budget('bl_' || n, 10) FROM generate_series(1, 9) n;
SELECT add(1, (SELECT array_agg('bl_' || n) FROM generate_series(1, 8) n), '{"cost": 1}');
SELECT take();
SELECT sum(reserved) FROM fairsched.budget_status WHERE budget ~ '^bl_\d$';
SELECT finish();
SELECT sum(spent), sum(reserved) FROM fairsched.budget_status WHERE budget ~ '^bl_\d$';
SELECT bad(s) FROM unnest(ARRAY[
	$$SELECT add(1, (SELECT array_agg('bl_' || n) FROM generate_series(1, 9) n))$$,
	$$SELECT add(1, '{bl_1}', (SELECT jsonb_object_agg('r' || n, 1) FROM generate_series(1, 17) n))$$,
	$$SELECT add(1, ARRAY['bl_1', NULL])$$,
	$$SELECT add(1, '{""}')$$,
	$$SELECT add(1, ARRAY[repeat('x', 129)])$$,
	$$INSERT INTO fairsched.inbox (workspace, budgets) VALUES ('bl_w', (SELECT array_agg('bl_' || n) FROM generate_series(1, 9) n))$$]) s;
SELECT add(1, '{bl_1}', (SELECT jsonb_object_agg('r' || n, 1) FROM generate_series(1, 16) n));
SELECT count(fairsched_cancel(job_id)) FROM fairsched.jobs WHERE lane = 'bl';

-- What waits for a budget says until when, where that is known: its reset; not where none comes by itself
SELECT fairsched_set_budget('bl_next', 1, reset_every => '1 hour');
SELECT add(2, '{bl_next}', '{"cost": 1}'), add(2, '{bl_1,bl_2}', '{"cost": 8}');
SELECT take();
SELECT parked_detail, retry_at = (SELECT next_reset_at FROM fairsched.budgets WHERE budget = 'bl_next') AS next_reset FROM fairsched.queue_status
	WHERE flow IN (SELECT flow FROM fairsched.jobs WHERE lane = 'bl' AND state = 'available') ORDER BY 1;
SELECT j.budgets, e.verdict, e.retry_at = (SELECT next_reset_at FROM fairsched.budgets WHERE budget = 'bl_next') AS next_reset
	FROM fairsched.jobs j, fairsched_explain(j.job_id) e WHERE j.lane = 'bl' AND state = 'available' AND e.gate = 'budget' ORDER BY 1;
SELECT finish();
SELECT count(fairsched_cancel(job_id)) FROM fairsched.jobs WHERE lane = 'bl';

-- Removed while a job runs, it takes nothing; defined anew, the job has still reserved, and spends of the new one
SELECT fairsched_set_budget('bl_gone', 10);
SELECT add(1, '{bl_gone}', '{"cost": 4}');
SELECT take();
DELETE FROM fairsched.budgets WHERE budget = 'bl_gone';
SELECT bad($$SELECT fairsched_record_spend('bl_gone', 1)$$);
SELECT fairsched_set_budget('bl_gone', 10);
SELECT * FROM status('bl_gone');
SELECT finish('{"cost": 3}');
SELECT * FROM status('bl_gone');
-- it counts something else from now on: the job's reservation stays what it is
SELECT add(1, '{bl_gone}', '{"cost": 4, "tokens": 9}');
SELECT take();
SELECT fairsched_set_budget('bl_gone', 100, dimension => 'tokens');
SELECT * FROM status('bl_gone');
SELECT finish('{"cost": 1, "tokens": 8}');
SELECT * FROM status('bl_gone');
-- it is another workspace's from now on: who runs has reserved and may spend, nobody new comes in
SELECT add(2, '{bl_gone}', '{"tokens": 9}');
SELECT take(1);
SELECT fairsched_set_budget('bl_gone', 100, dimension => 'tokens', workspace => 'bl_other');
SELECT finish(), take();
SELECT * FROM status('bl_gone');
SELECT add(1, '{bl_gone}', '{"tokens": 9}', 'bl_other');
SELECT workspace FROM fairsched_claim('bl', 5, lanes => '{bl}');
SELECT finish();
SELECT count(fairsched_cancel(job_id)) FROM fairsched.jobs WHERE lane = 'bl';
-- There is room for 1024 means. That of a kind whose jobs are handed out by it stays while 3,000 others come.
SELECT fairsched_set_budget('bl_mean', 1000000);
SELECT count(fairsched_enqueue('bl_w', kind => 'bl_kept', budgets => '{bl_mean}', lane => 'bl_kept')) FROM generate_series(1, 2);
SELECT fairsched_complete(job_id, token, usage => '{"cost": 5}') FROM fairsched_claim('bl', 1, lanes => '{bl_kept}');
SELECT count(fairsched_enqueue('bl_w', kind => 'bl_' || n, budgets => '{bl_mean}', lane => 'bl_many')) FROM generate_series(1, 3000) n;
DO $$
DECLARE
	kept bigint; token bigint;
BEGIN
	FOR i IN 1..60 LOOP
		PERFORM fairsched_complete(c.job_id, c.token, usage => '{"cost": 1}') FROM fairsched_claim('bl', 50, lanes => '{bl_many}') c;
		SELECT c.job_id, c.token INTO STRICT kept, token FROM fairsched_claim('bl', 1, lanes => '{bl_kept}') c;
		PERFORM fairsched_release(kept, token);
		COMMIT;
	END LOOP;
END
$$;
SELECT count(*) FROM fairsched.jobs WHERE lane = 'bl_many';
SELECT count(*) FROM fairsched_claim('bl', 1, lanes => '{bl_kept}');
SELECT spent, reserved FROM fairsched.budget_status WHERE budget = 'bl_mean';
SELECT fairsched_complete(job_id, token, usage => '{"cost": 0}') FROM fairsched.running_jobs WHERE lane = 'bl_kept';
-- all removed at once
TRUNCATE fairsched.budgets;
DO $$
BEGIN
	FOR i IN 1..6000 LOOP
		EXIT WHEN (SELECT count(*) = 0 FROM fairsched.memory_budgets());
		PERFORM pg_sleep(0.1);
	END LOOP;
END
$$;
SELECT count(*) FROM fairsched.memory_budgets();
SELECT fairsched_set_budget('bl_gone', 10);
SELECT * FROM status('bl_gone');
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM fairsched_check() WHERE NOT ok;
DELETE FROM fairsched.budgets;
DROP FUNCTION bad, add, take, finish, status, fold;
