-- Budgets: what is reserved, what is spent, what happens at thresholds.
\pset null '(null)'
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
-- Events are written in the background, in the order things happened.
CREATE FUNCTION events(of text, n int) RETURNS TABLE (event_type text, threshold numeric, total numeric, spent numeric,
	remaining numeric, percent_used numeric, action text, jobs_affected int, classes_preempted text[], open boolean) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..6000 LOOP
		EXIT WHEN (SELECT count(*) FROM fairsched.budget_events e WHERE e.budget = of) >= n AND
			(SELECT m.crossed = coalesce(t.crossed, 0) FROM fairsched.memory_budgets() m JOIN fairsched.budgets b USING (budget)
				LEFT JOIN fairsched.budget_totals t USING (budget_id) WHERE m.budget = of);
		PERFORM pg_sleep(0.1);
	END LOOP;
	RETURN QUERY SELECT e.event_type, e.threshold, e.total, e.spent, e.remaining, e.percent_used, e.action, e.jobs_affected,
		e.classes_preempted, e.resolved_at IS NULL FROM fairsched.budget_events e WHERE e.budget = of ORDER BY e.event_id;
END
$$;
CREATE FUNCTION status(of text) RETURNS TABLE (amount numeric, spent numeric, reserved numeric, remaining numeric,
	percent_used numeric, status text, paused boolean, running int) LANGUAGE sql AS $$
	SELECT amount, spent, reserved, remaining, percent_used, status, paused, running FROM fairsched.budget_status WHERE budget = of
$$;
CREATE FUNCTION add(n int, budgets text[], resources jsonb DEFAULT '{}', workspace text DEFAULT 'bud_w', kind text DEFAULT 'default',
	priority text DEFAULT 'P2') RETURNS bigint LANGUAGE sql AS $$
	SELECT count(fairsched_enqueue(workspace, lane => 'bud', budgets => budgets, resources => resources, kind => kind, priority => priority))
	FROM generate_series(1, n)
$$;
CREATE FUNCTION take(n int DEFAULT 1) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM fairsched_claim('bud', n, lanes => '{bud}')
$$;
CREATE FUNCTION finish(n int, usage jsonb DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FILTER (WHERE fairsched_complete(job_id, token, usage => usage))
	FROM (SELECT job_id, token FROM fairsched.running_jobs WHERE lane = 'bud' ORDER BY token LIMIT n) r
$$;
CREATE FUNCTION clear() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(fairsched_cancel(job_id)) FROM fairsched.jobs WHERE lane = 'bud'
$$;

-- Defaults, and everything given
SELECT fairsched_set_budget('bud_plain', 10);
SELECT fairsched_set_budget('bud_full', 1.5, 'bud_w', 'tokens', 0.1, 0.2, 0.4, '1 month', 0.3, 'preempt P3', 'alert', 'pause all', 'preempt P2,P3');
SELECT budget, workspace, dimension, amount, warn_at, throttle_at, preempt_at, pause_at, warn_action, throttle_action, preempt_action,
	pause_action, reset_every, period, next_reset_at > now() AS next FROM fairsched.budgets WHERE budget LIKE 'bud\_%' ORDER BY budget;
SELECT budget, workspace, dimension, amount, spent, reserved, remaining, percent_used, status, paused
FROM fairsched.budget_status WHERE budget LIKE 'bud\_%' ORDER BY budget;

-- Reserved at the claim, all or nothing; what does not fit waits, with a reason
SELECT add(4, '{bud_plain}', '{"cost": 4}');
SELECT take(10);
SELECT * FROM status('bud_plain');
SELECT workspace, parked_reason, parked_detail, parked_since IS NOT NULL AS since, retry_at FROM fairsched.queue_status WHERE lane = 'bud';
SELECT workspace, parked_reason FROM fairsched.workspace_status WHERE workspace = 'bud_w';
-- what is really used is counted; what was reserved beyond comes back, and one more fits
SELECT finish(1, '{"cost": 1.25, "tokens": 77}');
SELECT * FROM status('bud_plain');
SELECT take(10);
SELECT * FROM status('bud_plain');
-- more than was estimated
SELECT finish(1, '{"cost": 4.5}');
SELECT * FROM status('bud_plain');
-- nothing reported: as estimated
SELECT finish(1);
SELECT * FROM status('bud_plain');
SELECT * FROM events('bud_plain', 3);
SELECT parked_reason, parked_detail FROM fairsched.queue_status WHERE lane = 'bud';
SELECT take(10);

-- Raised: it resumes, thresholds above are armed again, the one below stays
SELECT fairsched_set_budget('bud_plain', 14);
SELECT * FROM events('bud_plain', 4);
SELECT take(10);
SELECT clear();
SELECT * FROM status('bud_plain');
-- the same again changes nothing; cut: what is reached now is crossed
SELECT fairsched_set_budget('bud_plain', 14);
SELECT fairsched_set_budget('bud_plain', 12);
SELECT event_type, spent, total, open FROM events('bud_plain', 5);
-- reset: nothing spent, all armed
SELECT fairsched_reset_budget('bud_plain');
SELECT event_type, spent, total, open FROM events('bud_plain', 5);
SELECT period, spent, status FROM fairsched.budgets JOIN fairsched.budget_status USING (budget) WHERE budget = 'bud_plain';
SELECT fairsched_record_spend('bud_plain', 12);
SELECT event_type, spent, total, open FROM events('bud_plain', 8);
SELECT * FROM status('bud_plain');
SELECT fairsched_reset_budget('bud_plain');
SELECT event_type, spent, total, open FROM events('bud_plain', 9);

-- What ends a claim otherwise gives all back
SELECT add(3, '{bud_plain}', '{"cost": 3}');
BEGIN;
SELECT take(2);
SELECT * FROM status('bud_plain');
SAVEPOINT a;
SELECT fairsched_complete(job_id, token, usage => '{"cost": 5}') FROM fairsched_claim('bud', lanes => '{bud}');
SELECT reserved, spent FROM status('bud_plain');
ROLLBACK TO a;
SELECT reserved, spent FROM status('bud_plain');
ROLLBACK;
SELECT reserved, spent, running FROM status('bud_plain');
SELECT take(3);
SELECT reserved, running FROM status('bud_plain');
SELECT fairsched_fail(job_id, token, 'no', '1 hour') FROM (SELECT * FROM fairsched.running_jobs WHERE lane = 'bud' ORDER BY token LIMIT 1) r;
SELECT reserved, running FROM status('bud_plain');
SELECT fairsched_release(job_id, token, now() + interval '1 hour') FROM (SELECT * FROM fairsched.running_jobs WHERE lane = 'bud' ORDER BY token LIMIT 1) r;
SELECT reserved, running FROM status('bud_plain');
SELECT clear();
SELECT reserved, spent, running FROM status('bud_plain');

-- A lease that runs out gives it back, too; who comes back takes it again, where it fits; who is done all the same has spent it
SELECT add(2, '{bud_plain}', '{"cost": 7}');
CREATE TEMP TABLE lost AS SELECT job_id, token FROM fairsched_claim('bud', lease => '1 ms', lanes => '{bud}');
DO $$
BEGIN
	FOR i IN 1..6000 LOOP
		EXIT WHEN (SELECT running FROM fairsched.budget_status WHERE budget = 'bud_plain') = 0;
		PERFORM pg_sleep(0.1);
	END LOOP;
END
$$;
SELECT reserved, running FROM status('bud_plain');
SELECT fairsched_set_budget('bud_plain', 6);
SELECT directive FROM lost, fairsched_heartbeat(ARRAY[lost.job_id], ARRAY[lost.token], '1 hour');
SELECT fairsched_set_budget('bud_plain', 12);
SELECT directive FROM lost, fairsched_heartbeat(ARRAY[lost.job_id], ARRAY[lost.token], '1 hour');
SELECT reserved, running FROM status('bud_plain');
SELECT clear();
SELECT add(1, '{bud_plain}', '{"cost": 7}');
TRUNCATE lost;
INSERT INTO lost SELECT job_id, token FROM fairsched_claim('bud', lease => '1 ms', lanes => '{bud}');
DO $$
BEGIN
	FOR i IN 1..6000 LOOP
		EXIT WHEN (SELECT running FROM fairsched.budget_status WHERE budget = 'bud_plain') = 0;
		PERFORM pg_sleep(0.1);
	END LOOP;
END
$$;
SELECT fairsched_complete(job_id, token) FROM lost;
SELECT spent, reserved, running FROM status('bud_plain');
SELECT fairsched_reset_budget('bud_plain');

-- Recorded while the job runs: it uses up the reservation, and completing adds only what is reported
SELECT add(2, '{bud_plain}', '{"cost": 3}');
SELECT take(2);
SELECT fairsched_record_spend('bud_plain', 2, max(job_id)) FROM fairsched.running_jobs WHERE lane = 'bud';
SELECT reserved, spent FROM status('bud_plain');
SELECT fairsched_record_spend('bud_plain', 2.5, max(job_id)) FROM fairsched.running_jobs WHERE lane = 'bud';
SELECT reserved, spent FROM status('bud_plain');
SELECT fairsched_complete(job_id, token) FROM (SELECT * FROM fairsched.running_jobs WHERE lane = 'bud' ORDER BY job_id DESC LIMIT 1) r;
SELECT reserved, spent FROM status('bud_plain');
SELECT fairsched_record_spend('bud_plain', 1, max(job_id)) FROM fairsched.running_jobs WHERE lane = 'bud';
SELECT finish(1, '{"cost": 0.5}');
SELECT reserved, spent FROM status('bud_plain');
-- in one transaction with the definition, and with a reset
BEGIN;
SELECT fairsched_set_budget('bud_new', 5);
SELECT fairsched_record_spend('bud_new', 1);
SELECT fairsched_reset_budget('bud_new');
SELECT fairsched_record_spend('bud_new', 2);
COMMIT;
SELECT spent FROM status('bud_new');
BEGIN;
SELECT fairsched_record_spend('bud_new', 1);
SELECT fairsched_set_budget('bud_gone', 5);
SELECT fairsched_record_spend('bud_gone', 1);
ROLLBACK;
SELECT budget, spent FROM fairsched.budget_status WHERE budget IN ('bud_new', 'bud_gone');

-- Several budgets: all must admit, none keeps a charge; a name given twice is charged once
SELECT fairsched_set_budget('bud_cost', 10), fairsched_set_budget('bud_tokens', 1000, dimension => 'tokens');
SELECT add(3, '{bud_cost,bud_tokens,bud_cost}', '{"cost": 1, "tokens": 400, "cpu": 0.5}');
SELECT take(10);
SELECT budget, reserved FROM fairsched.budget_status WHERE budget IN ('bud_cost', 'bud_tokens') ORDER BY 1;
SELECT parked_detail FROM fairsched.queue_status WHERE lane = 'bud';
SELECT finish(2, '{"tokens": 10}');
SELECT budget, reserved, spent FROM fairsched.budget_status WHERE budget IN ('bud_cost', 'bud_tokens') ORDER BY 1;
SELECT take(10);
SELECT clear();

-- No declaration: what jobs of the kind used lately
SELECT fairsched_set_budget('bud_avg', 10);
SELECT add(1, '{bud_avg}', kind => 'bud_kind');
SELECT take();
SELECT reserved FROM status('bud_avg');
SELECT finish(1, '{"cost": 2}');
SELECT add(6, '{bud_avg}', kind => 'bud_kind'), add(1, '{bud_avg}', kind => 'bud_other');
SELECT take(10);
SELECT spent, reserved, running FROM status('bud_avg');
SELECT finish(1, '{"cost": 4}'), finish(10, '{"cost": 0}');
SELECT clear();

-- In one call: what the completed job leaves of its reservation is passed on
SELECT fairsched_set_budget('bud_gift', 10);
SELECT add(4, '{bud_gift}', '{"cost": 6}');
SELECT take(2);
SELECT fairsched_record_spend('bud_gift', 1, job_id) FROM fairsched.running_jobs WHERE lane = 'bud';
BEGIN;
SELECT count(*) FROM fairsched.running_jobs r, fairsched_complete_and_claim(ARRAY[r.job_id], ARRAY[r.token], 'bud', lanes => '{bud}') WHERE r.lane = 'bud';
SELECT spent, reserved FROM status('bud_gift');
ROLLBACK;
SELECT spent, reserved FROM status('bud_gift');
SELECT count(*) FROM fairsched.running_jobs r, fairsched_complete_and_claim(ARRAY[r.job_id], ARRAY[r.token], 'bud', lanes => '{bud}') WHERE r.lane = 'bud';
SELECT spent, reserved FROM status('bud_gift');
-- nothing recorded: what was reserved is spent, and leaves no room
SELECT count(*) FROM fairsched.running_jobs r, fairsched_complete_and_claim(ARRAY[r.job_id], ARRAY[r.token], 'bud', lanes => '{bud}') WHERE r.lane = 'bud';
SELECT spent, reserved FROM status('bud_gift');
SELECT fairsched_set_budget('bud_gift', 13);
SELECT take(2);
BEGIN;
SELECT fairsched_complete(job_id, token, usage => '{"cost": 1}') FROM fairsched.running_jobs WHERE lane = 'bud';
SELECT spent, reserved FROM status('bud_gift');
ROLLBACK;
SELECT spent, reserved FROM status('bud_gift');
SELECT clear();
SELECT spent, reserved FROM status('bud_gift');

-- Not defined, another workspace's: refused, until that changes
SELECT add(1, '{bud_late}', '{"cost": 1}');
SELECT take();
SELECT parked_reason, parked_detail FROM fairsched.queue_status WHERE lane = 'bud';
SELECT fairsched_set_budget('bud_late', 5, workspace => 'bud_x');
SELECT take();
SELECT parked_reason, parked_detail FROM fairsched.queue_status WHERE lane = 'bud';
SELECT fairsched_set_budget('bud_late', 5);
SELECT take();
DELETE FROM fairsched.budgets WHERE budget = 'bud_late';
SELECT add(1, '{bud_late}', '{"cost": 1}');
SELECT take();
SELECT parked_detail FROM fairsched.queue_status WHERE lane = 'bud';
-- a job whose budget was removed finishes all the same
SELECT finish(1, '{"cost": 1}');
SELECT clear();
-- nothing is held up behind a flow that waits
SELECT fairsched_set_budget('bud_shut', 1);
SELECT fairsched_record_spend('bud_shut', 1);
SELECT add(3, '{bud_shut}'), add(1, '{}'), add(1, '{bud_cost}');
SELECT take(10);
SELECT clear();

-- Thresholds that ask jobs to yield: those of the budget and the class, no others
SELECT fairsched_set_budget('bud_pre', 100, warn_at => NULL, preempt_at => 0.9, pause_at => NULL);
SELECT add(1, '{bud_pre}', priority => p) FROM unnest('{P0,P1,P2,P3,P3}'::text[]) p;
SELECT add(2, '{bud_cost}', '{"cost": 0.1}', priority => 'P3');
SELECT take(10);
SELECT fairsched_record_spend('bud_pre', 80);
SELECT * FROM events('bud_pre', 1);
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN (SELECT count(*) = 2 FROM fairsched.running_jobs WHERE lane = 'bud' AND directive = 'preempt'); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT r.priority, directive, count(*) FROM fairsched.running_jobs r WHERE lane = 'bud' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT fairsched_record_spend('bud_pre', 15);
SELECT * FROM events('bud_pre', 2);
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN (SELECT count(*) = 3 FROM fairsched.running_jobs WHERE lane = 'bud' AND directive = 'preempt'); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT r.priority, directive, count(*) FROM fairsched.running_jobs r WHERE lane = 'bud' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT status, paused FROM status('bud_pre');
SELECT fairsched_yield(job_id, token, '{}') FROM fairsched.running_jobs WHERE lane = 'bud' AND directive = 'preempt' LIMIT 1;
SELECT fairsched_record_spend('bud_pre', 5);
SELECT add(1, '{bud_pre}', priority => 'P0');
SELECT status, paused, take() FROM status('bud_pre');
SELECT clear();

-- A new period by itself
SELECT fairsched_set_budget('bud_tick', 1, reset_every => '1 s');
SELECT fairsched_record_spend('bud_tick', 1);
DO $$
BEGIN
	FOR i IN 1..6000 LOOP
		EXIT WHEN (SELECT period > 1 AND spent = 0 AND NOT paused FROM fairsched.budget_status JOIN fairsched.budgets USING (budget) WHERE budget = 'bud_tick');
		PERFORM pg_sleep(0.1);
	END LOOP;
END
$$;
SELECT b.period > 1 AS next_period, s.spent, s.paused, s.next_reset_at > b.created_at + interval '1 s' AS later,
	extract(epoch FROM s.next_reset_at - b.created_at) % 1 = 0 AS in_step
FROM fairsched.budget_status s JOIN fairsched.budgets b USING (budget) WHERE budget = 'bud_tick';
SELECT event_type FROM events('bud_tick', 4);
SELECT fairsched_set_budget('bud_tick', 1);
-- periods that went by while nobody looked are one; the rhythm stays
SELECT fairsched_set_budget('bud_late', 1, reset_every => '1 hour');
SELECT fairsched_record_spend('bud_late', 0.25);
CREATE TEMP TABLE late AS SELECT now() - interval '10 hours 20 min' AS at;
UPDATE fairsched.budgets SET next_reset_at = at FROM late WHERE budget = 'bud_late';
DO $$
BEGIN
	FOR i IN 1..6000 LOOP
		EXIT WHEN (SELECT next_reset_at > now() AND spent = 0 FROM fairsched.budget_status WHERE budget = 'bud_late');
		PERFORM pg_sleep(0.1);
	END LOOP;
END
$$;
SELECT period, s.next_reset_at - at AS next, s.period_started_at - at AS began, spent
FROM late, fairsched.budget_status s JOIN fairsched.budgets USING (budget) WHERE budget = 'bud_late';

-- Adding up changes nothing that can be seen
SELECT fairsched_record_spend('bud_cost', 0.000001) FROM generate_series(1, 3);
CREATE TEMP TABLE before AS SELECT budget, spent FROM fairsched.budget_status;
SELECT fairsched.own_changes(true);
SELECT fairsched.fold_budget_spend() > 3 AS some;
SELECT fairsched.own_changes(false);
SELECT count(*) FROM fairsched.budget_spend;
SELECT * FROM before EXCEPT SELECT budget, spent FROM fairsched.budget_status;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM fairsched_check() WHERE NOT ok;
-- changed by hand: read again
UPDATE fairsched.budget_totals SET spent = 7000000 WHERE budget_id = (SELECT budget_id FROM fairsched.budgets WHERE budget = 'bud_cost');
DO $$
BEGIN
	FOR i IN 1..6000 LOOP
		EXIT WHEN (SELECT spent FROM fairsched.budget_status WHERE budget = 'bud_cost') = 7;
		PERFORM pg_sleep(0.1);
	END LOOP;
END
$$;
SELECT spent, status FROM status('bud_cost');
SELECT event_type FROM events('bud_cost', 1);

-- What is refused
SELECT bad(s) FROM unnest(ARRAY[
	$$SELECT fairsched_set_budget(NULL, 1)$$,
	$$SELECT fairsched_set_budget('', 1)$$,
	$$SELECT fairsched_set_budget(repeat('x', 129), 1)$$,
	$$SELECT fairsched_set_budget('bud_bad', NULL)$$,
	$$SELECT fairsched_set_budget('bud_bad', 0)$$,
	$$SELECT fairsched_set_budget('bud_bad', -1)$$,
	$$SELECT fairsched_set_budget('bud_bad', 0.0000001)$$,
	$$SELECT fairsched_set_budget('bud_bad', 'NaN')$$,
	$$SELECT fairsched_set_budget('bud_bad', 'Infinity')$$,
	$$SELECT fairsched_set_budget('bud_bad', 1e12)$$,
	$$SELECT fairsched_set_budget('bud_bad', 1, workspace => '')$$,
	$$SELECT fairsched_set_budget('bud_bad', 1, dimension => NULL)$$,
	$$SELECT fairsched_set_budget('bud_bad', 1, dimension => repeat('ä', 65))$$,
	$$SELECT fairsched_set_budget('bud_bad', 1, warn_at => 0)$$,
	$$SELECT fairsched_set_budget('bud_bad', 1, pause_at => 1.1)$$,
	$$SELECT fairsched_set_budget('bud_bad', 1, throttle_at => 'NaN')$$,
	$$SELECT fairsched_set_budget('bud_bad', 1, warn_at => 0.9)$$,
	$$SELECT fairsched_set_budget('bud_bad', 1, preempt_at => 0.99)$$,
	$$SELECT fairsched_set_budget('bud_bad', 1, warn_action => 'explode')$$,
	$$SELECT fairsched_set_budget('bud_bad', 1, pause_action => NULL)$$,
	$$SELECT fairsched_set_budget('bud_bad', 1, reset_every => '0')$$,
	$$SELECT fairsched_set_budget('bud_bad', 1, reset_every => '-1 day')$$,
	$$SELECT fairsched_record_spend('bud_nope', 1)$$,
	$$SELECT fairsched_record_spend(NULL, 1)$$,
	$$SELECT fairsched_record_spend('bud_cost', NULL)$$,
	$$SELECT fairsched_record_spend('bud_cost', -1)$$,
	$$SELECT fairsched_record_spend('bud_cost', 'NaN')$$,
	$$SELECT fairsched_record_spend('bud_cost', '-Infinity')$$,
	$$SELECT fairsched_record_spend('bud_cost', 1e13)$$,
	$$SELECT fairsched_reset_budget('bud_nope')$$,
	$$SELECT fairsched_reset_budget(NULL)$$,
	$$UPDATE fairsched.budgets SET budget = 'bud_renamed' WHERE budget = 'bud_cost'$$,
	$$INSERT INTO fairsched.budgets (budget, amount) VALUES ('bud_bad', 'NaN')$$,
	$$SELECT fairsched_enqueue('bud_w', budgets => ARRAY(SELECT 'b' || n FROM generate_series(1, 9) n))$$,
	$$SELECT fairsched_enqueue('bud_w', budgets => '{b}', resources => (SELECT jsonb_object_agg('r' || n, n) FROM generate_series(1, 17) n))$$
]) s;
-- nothing at all is fine
SELECT fairsched_record_spend('bud_cost', 0);
SELECT spent FROM status('bud_cost');
SELECT add(1, ARRAY(SELECT 'b' || n FROM generate_series(1, 8) n), (SELECT jsonb_object_agg('r' || n, n) FROM generate_series(1, 16) n));
SELECT clear();

-- Recorded and completed in one transaction: the estimate is not spent as well, and what is recorded is not passed on
SELECT fairsched_set_budget('bud_once', 10, pause_at => NULL), fairsched_set_budget('bud_too', 100);
SELECT add(4, '{bud_once,bud_too}', '{"cost": 6}');
SELECT take();
BEGIN;
SELECT fairsched_record_spend('bud_once', 1, job_id), fairsched_record_spend('bud_once', 0.5, job_id) FROM fairsched.running_jobs WHERE lane = 'bud';
SELECT finish(1);
COMMIT;
SELECT budget, spent, reserved FROM fairsched.budget_status WHERE budget IN ('bud_once', 'bud_too') ORDER BY 1;
SELECT take();
BEGIN;
SELECT fairsched_record_spend('bud_once', 3, job_id) FROM fairsched.running_jobs WHERE lane = 'bud';
-- 1.5 and 3 are spent, 5.5 is left
SELECT count(*) FROM fairsched.running_jobs r, fairsched_complete_and_claim(ARRAY[r.job_id], ARRAY[r.token], 'bud', lanes => '{bud}') WHERE r.lane = 'bud';
COMMIT;
SELECT budget, spent, reserved FROM fairsched.budget_status WHERE budget IN ('bud_once', 'bud_too') ORDER BY 1;
-- rolled back to a savepoint: all of the reservation may be passed on again
SELECT fairsched_reset_budget('bud_once');
SELECT take();
SELECT fairsched_record_spend('bud_once', 0.5, job_id) FROM fairsched.running_jobs WHERE lane = 'bud';
BEGIN;
SELECT fairsched_record_spend('bud_once', 1, job_id) FROM fairsched.running_jobs WHERE lane = 'bud';
SAVEPOINT a;
SELECT finish(1);
ROLLBACK TO a;
ROLLBACK;
SELECT fairsched_set_budget('bud_once', 6.5, pause_at => NULL);
SELECT count(*) FROM fairsched.running_jobs r, fairsched_complete_and_claim(ARRAY[r.job_id], ARRAY[r.token], 'bud', lanes => '{bud}') WHERE r.lane = 'bud';
SELECT spent, reserved FROM status('bud_once');
SELECT clear();
-- two budgets of a dimension are one observation
SELECT fairsched_set_budget('bud_once', 100), fairsched_reset_budget('bud_once'), fairsched_reset_budget('bud_too');
SELECT add(1, '{bud_once,bud_too}', '{"cost": 6}', kind => 'bud_two');
SELECT take();
SELECT fairsched_record_spend('bud_once', 2, job_id), fairsched_record_spend('bud_too', 4, job_id) FROM fairsched.running_jobs WHERE lane = 'bud';
SELECT finish(1);
SELECT add(1, '{bud_once,bud_too}', kind => 'bud_two');
SELECT take();
SELECT budget, spent, reserved FROM fairsched.budget_status WHERE budget IN ('bud_once', 'bud_too') ORDER BY 1;
SELECT clear();
-- What is recorded for a job is that job's: of the next one, whose lease lies in the same place, nothing is
SELECT fairsched_set_budget('bud_once', 100), fairsched_reset_budget('bud_once'), fairsched_reset_budget('bud_too');
SELECT add(2, '{bud_once,bud_too}', '{"cost": 6}');
SELECT take();
SELECT fairsched_record_spend('bud_once', 1, job_id), fairsched_record_spend('bud_too', 1, job_id) FROM fairsched.running_jobs WHERE lane = 'bud';
SELECT finish(1);
SELECT take();
SELECT finish(1);
SELECT budget, spent, reserved FROM fairsched.budget_status WHERE budget IN ('bud_once', 'bud_too') ORDER BY 1;
-- not so of a job whose lease ran out: it gave its reservation back, and is charged anew
SELECT fairsched_reset_budget('bud_once');
SELECT add(1, '{bud_once}', '{"cost": 6}');
TRUNCATE lost;
BEGIN;
INSERT INTO lost SELECT job_id, token FROM fairsched_claim('bud', lease => '1 ms', lanes => '{bud}');
SELECT fairsched_record_spend('bud_once', 1, job_id) FROM lost;
COMMIT;
DO $$
BEGIN
	FOR i IN 1..6000 LOOP
		EXIT WHEN (SELECT running FROM fairsched.budget_status WHERE budget = 'bud_once') = 0;
		PERFORM pg_sleep(0.1);
	END LOOP;
END
$$;
SELECT fairsched_complete(job_id, token) FROM lost;
SELECT spent, reserved FROM status('bud_once');

-- No transaction that spends or sets can be prepared
BEGIN;
SELECT fairsched_record_spend('bud_cost', 1);
PREPARE TRANSACTION 'bud';
ROLLBACK;

DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM fairsched_check() WHERE NOT ok;
DELETE FROM fairsched.budgets WHERE budget LIKE 'bud\_%';
SELECT count(*) FROM fairsched.budget_status WHERE budget LIKE 'bud\_%';
DROP FUNCTION bad, events, status, add, take, finish, clear;
