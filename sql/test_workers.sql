-- Workers: in which order jobs come out, and everything that can be done with one.
-- Everything is in lanes and workspaces of its own; jobs are named by their payload.
\pset null '(null)'
SET client_min_messages = warning;

CREATE VIEW wk_jobs AS
SELECT j.workspace, payload ->> 'n' AS n, s.state, j.priority, s.attempt, rank, j.checkpoint, jsonb_path_query_array(errors, '$[*].error') AS errors
FROM fairsched.jobs j, LATERAL (SELECT * FROM fairsched_job_status(j.job_id) OFFSET 0) s WHERE j.workspace LIKE 'wk\_%';
CREATE VIEW wk_check AS
SELECT "check", workspace, in_memory, in_rows FROM fairsched_check() WHERE workspace LIKE 'wk\_%' AND NOT ok;
CREATE TABLE wk_held (n text, job_id bigint, token bigint, workspace text);
-- Claims, notes what was got, and says it in one line: in claim order
CREATE FUNCTION wk(worker text DEFAULT 'wk', max_jobs int DEFAULT 1, lanes text[] DEFAULT '{wk}', capabilities text[] DEFAULT NULL,
	request_id uuid DEFAULT NULL, lease interval DEFAULT '10 min') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c record;
	said text := '';
BEGIN
	FOR c IN SELECT * FROM fairsched_claim(worker, max_jobs, lease, lanes, capabilities, request_id) LOOP
		DELETE FROM wk_held h WHERE h.job_id = c.job_id;
		INSERT INTO wk_held VALUES (c.payload ->> 'n', c.job_id, c.token, c.workspace);
		said := said || ' ' || coalesce(c.payload ->> 'n', '?');
	END LOOP;
	RETURN said;
END
$$;
CREATE FUNCTION wk_put(workspace text, names text, priority text DEFAULT 'P2', lane text DEFAULT 'wk', cost int DEFAULT NULL,
	capabilities text[] DEFAULT '{}', max_attempts int DEFAULT 25) RETURNS int LANGUAGE sql AS $$
	SELECT cardinality(fairsched_enqueue_many(workspace, ARRAY(SELECT jsonb_build_object('n', n) FROM string_to_table(names, ' ') n),
		priority => priority, lane => lane, cost => cost, capabilities => capabilities, max_attempts => max_attempts))
$$;
CREATE FUNCTION wk_id(n text) RETURNS bigint LANGUAGE sql AS $$ SELECT job_id FROM wk_held h WHERE h.n = wk_id.n $$;
CREATE FUNCTION wk_token(n text) RETURNS bigint LANGUAGE sql AS $$ SELECT token FROM wk_held h WHERE h.n = wk_token.n $$;
-- Completes all that is held, forgets it
CREATE FUNCTION wk_done() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	n int := cardinality(fairsched_complete_many(array_agg(job_id), array_agg(token))) FROM wk_held;
BEGIN
	DELETE FROM wk_held;
	RETURN n;
END
$$;

-- Nothing there: no rows, no error; also in a lane nobody has heard of
SELECT * FROM fairsched_claim('wk', 10, lanes => '{wk,wk_no_such_lane}');

-- What a claim returns
SELECT wk_put('wk_a', 'one', 'P1');
SELECT job_id = (SELECT j.job_id FROM fairsched.jobs j WHERE j.workspace = 'wk_a') AS job_id, workspace, lane, kind, payload, priority, attempt,
	token > 0 AS token, lease_expires_at BETWEEN now() + interval '299 s' AND clock_timestamp() + interval '301 s' AS expires, checkpoint, run_id, worker
FROM fairsched_claim('wk', lease => '5 min', lanes => '{wk}');
SELECT job_id, token FROM fairsched.running_jobs WHERE workspace = 'wk_a' \gset
SELECT worker, attempt, directive, claimed_at <= clock_timestamp() AS claimed FROM fairsched.running_jobs WHERE workspace = 'wk_a';
SELECT fairsched_complete(:job_id, :token), fairsched_complete(:job_id, :token) AS again;
-- a session has a name of its own
SELECT wk_put('wk_a', 'anonymous');
SELECT worker LIKE 'session-%' AS named FROM fairsched_claim(lanes => '{wk}');
SELECT fairsched_cancel(job_id) FROM fairsched.jobs WHERE workspace = 'wk_a';

-- Inside a workspace: priority, then age
SELECT wk_put('wk_a', 'c1 c2'), wk_put('wk_a', 'd1', 'P3'), wk_put('wk_a', 'a1', 'P0'), wk_put('wk_a', 'b1', 'P1'), wk_put('wk_a', 'c3'), wk_put('wk_a', 'a2', 'P0');
SELECT wk(), wk(), wk(), wk(max_jobs => 10);
SELECT wk_done();
-- flows of one priority (another resource request is another flow) take turns
SELECT count(fairsched_enqueue('wk_a', v.p, lane => 'wk', resources => v.r, priority => v.c)) FROM (VALUES
	('{"n": "f1"}'::jsonb, '{}'::jsonb, 'P2'), ('{"n": "f2"}', '{}', 'P2'), ('{"n": "f3"}', '{}', 'P2'),
	('{"n": "g1"}', '{"cpu": 1}', 'P2'), ('{"n": "g2"}', '{"cpu": 1}', 'P2'), ('{"n": "h0"}', '{"cpu": 2}', 'P1')) v(p, r, c);
SELECT wk(max_jobs => 10);
SELECT wk_done();

-- Between workspaces: rounds, by weight.  Two tiers, quantum 20 and 40.
SELECT fairsched_create_workspace('wk_one', own_table => false), fairsched_create_workspace('wk_two', 'scale', own_table => false);
SELECT fairsched_enqueue_many('wk_one', array_fill('{"n": "1"}'::jsonb, ARRAY[60]), lane => 'wk_w') <> '{}',
	fairsched_enqueue_many('wk_two', array_fill('{"n": "2"}'::jsonb, ARRAY[60]), lane => 'wk_w') <> '{}';
-- 30 claims of 1, then one of 30: the same order goes on
SELECT string_agg(wk(lanes => '{wk_w}'), '' ORDER BY g) AS by_ones FROM generate_series(1, 30) g;
SELECT wk(max_jobs => 60, lanes => '{wk_w}') AS at_once;
SELECT wk_done();
SELECT wk(max_jobs => 60, lanes => '{wk_w}') AS rest;
SELECT wk_done(), wk(lanes => '{wk_w}');
-- cost counts, not number: 10 units each time for two, 1 for the other
SELECT wk_put('wk_one', 'x1 x2 x3 x4 x5', lane => 'wk_w', cost => 10), wk_put('wk_two', 'y1 y2 y3 y4 y5 y6 y7 y8', lane => 'wk_w', cost => 10);
SELECT wk(max_jobs => 20, lanes => '{wk_w}');
SELECT wk_done();
-- a job dearer than the quantum waits for the rounds it needs
SELECT wk_put('wk_one', 'dear', lane => 'wk_w2', cost => 60), wk_put('wk_one', 'x1', lane => 'wk_w2', cost => 20),
	wk_put('wk_two', 'y1 y2 y3 y4 y5', lane => 'wk_w2', cost => 40);
SELECT wk(max_jobs => 20, lanes => '{wk_w2}');
SELECT wk_done();
-- one who comes later waits at most a round, and has saved up nothing
SELECT wk_put('wk_one', 'x1 x2 x3 x4', lane => 'wk_w3', cost => 20), wk_put('wk_two', 'y1 y2 y3 y4', lane => 'wk_w3', cost => 40);
SELECT wk(max_jobs => 3, lanes => '{wk_w3}');
SELECT wk_put('wk_new', 'z1 z2 z3', lane => 'wk_w3', cost => 20);
SELECT wk(max_jobs => 20, lanes => '{wk_w3}');
SELECT wk_done();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM wk_check;
SELECT fairsched_drop_workspace(w, true) FROM unnest('{wk_one,wk_two,wk_new}'::text[]) w;

-- Lanes: only those that are named, served in turns
SELECT wk_put('wk_a', 'p1 p2 p3', lane => 'wk_p'), wk_put('wk_a', 'q1 q2 q3', lane => 'wk_q'), wk_put('wk_a', 'other', lane => 'wk_r');
SELECT wk(max_jobs => 4, lanes => '{wk_p,wk_q}'), wk(max_jobs => 4, lanes => '{wk_q,wk_p}');
SELECT wk(lanes => '{wk_p,wk_p}'), wk(lanes => '{wk_r}');
SELECT wk_done();

-- a lane that is named a thousand times is one lane
SELECT wk_put('wk_a', 'n1', lane => 'wk_n'), wk_put('wk_a', 'n2', lane => 'wk_n', capabilities => '{a}'), wk_put('wk_a', 'n3', lane => 'wk_n', capabilities => '{b}');
SELECT wk(max_jobs => 5, lanes => array_fill('wk_n'::text, ARRAY[1000]), capabilities => '{a,b}');
SELECT wk_done();

-- Capabilities: all that a job needs; given with the claim, or registered
SELECT wk_put('wk_a', 'none'), wk_put('wk_a', 'gpu', capabilities => '{gpu}'), wk_put('wk_a', 'both', capabilities => '{gpu,eu}');
SELECT wk(max_jobs => 5), wk(max_jobs => 5, capabilities => '{eu}'), wk(max_jobs => 5, capabilities => '{gpu,us}'), wk(max_jobs => 5, capabilities => '{eu,gpu}');
SELECT wk_done();
SELECT wk_put('wk_a', 'gpu2', capabilities => '{gpu}');
SELECT fairsched_register_worker('wk reg', '{eu,gpu,eu}', 4, 'node 7');
SELECT worker, node, capabilities, slots, running, alive FROM fairsched.worker_status WHERE worker = 'wk reg';
SELECT wk('wk reg', capabilities => '{}'), wk('wk reg', 2);
SELECT running FROM fairsched.worker_status WHERE worker = 'wk reg';
-- again to change it
SELECT fairsched_register_worker('wk reg');
SELECT worker, node, capabilities, slots, running, alive FROM fairsched.worker_status WHERE worker = 'wk reg';
SELECT wk_put('wk_a', 'gpu3', capabilities => '{gpu}');
SELECT wk('wk reg');
SELECT fairsched_register_worker('wk reg', '{gpu}', 10);
SELECT wk('wk reg');
-- unregister: its jobs go back at once, first in their class, without counting the attempt
SELECT wk_put('wk_a', 'younger', capabilities => '{gpu}');
SELECT fairsched_unregister_worker('wk reg');
SELECT n, state, attempt, rank FROM wk_jobs ORDER BY n;
SELECT fairsched_complete(wk_id('gpu3'), wk_token('gpu3')) AS stale;
SELECT count(*) FROM fairsched.workers WHERE worker = 'wk reg';
SELECT wk(max_jobs => 5, capabilities => '{gpu}');
SELECT wk_done();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM wk_check;

-- No workspace has more than 0.8 of the declared slots while another wants one
SELECT fairsched_register_worker('wk slots', slots => 5);
SELECT wk_put('wk_hot', 'h1 h2 h3 h4 h5 h6 h7 h8', lane => 'wk_s'), wk_put('wk_small', 's1', lane => 'wk_s');
SELECT wk('wk slots', 5, '{wk_s}');
SELECT wk('wk slots', 2, '{wk_s}') AS "nobody else wants it";
SELECT wk_done();
SELECT wk('wk slots', 5, '{wk_s}');
SELECT wk_done(), fairsched_unregister_worker('wk slots');

-- The same request id: the same jobs while they are leased
SELECT wk_put('wk_a', 'r1 r2 r3 r4');
SELECT wk(max_jobs => 2, request_id => '00000000-0000-0000-0000-0000000000a1');
CREATE TABLE wk_first AS SELECT * FROM wk_held;
SELECT wk(max_jobs => 3, request_id => '00000000-0000-0000-0000-0000000000a1') AS "no top-up";
SELECT count(*) AS "same tokens" FROM wk_first JOIN wk_held USING (job_id, token);
SELECT count(*) AS running FROM fairsched.running_jobs WHERE workspace = 'wk_a';
SELECT wk(request_id => '00000000-0000-0000-0000-0000000000a2') AS "another request";
SELECT fairsched_complete(wk_id('r1'), wk_token('r1'));
SELECT wk(max_jobs => 2, request_id => '00000000-0000-0000-0000-0000000000a1') AS "what is still leased";
SELECT fairsched_complete(wk_id('r2'), wk_token('r2'));
SELECT wk(max_jobs => 2, request_id => '00000000-0000-0000-0000-0000000000a1') AS "none is: anew";
DELETE FROM wk_held WHERE n IN ('r1', 'r2');
SELECT wk_done();
DROP TABLE wk_first;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM wk_check;

-- complete_many: the ids that were ours
SELECT wk_put('wk_a', 'm1 m2 m3');
SELECT wk(max_jobs => 3);
SELECT fairsched_complete_many('{}', '{}');
SELECT fairsched_complete_many(ARRAY[wk_id('m1'), wk_id('m2'), 77, wk_id('m1'), wk_id('m3')],
	ARRAY[wk_token('m1'), wk_token('m3'), 77, wk_token('m1'), wk_token('m3')]) = ARRAY[wk_id('m1'), wk_id('m3')] AS "m1 and m3";
SELECT n, state FROM wk_jobs;
SELECT wk_done();

-- complete_and_claim: finish and take the next; the freed slot is used by this call
SELECT fairsched_create_workspace('wk_c', max_running => 2, own_table => false);
SELECT wk_put('wk_c', 'c1 c2 c3 c4 c5', lane => 'wk_c');
SELECT wk(max_jobs => 5, lanes => '{wk_c}') AS "at its ceiling";
SELECT payload, attempt, worker FROM fairsched_complete_and_claim(ARRAY[wk_id('c1')], ARRAY[wk_token('c1')], 'wk 2', 5, lanes => '{wk_c}');
SELECT payload FROM fairsched_complete_and_claim(ARRAY[wk_id('c1'), 5], ARRAY[wk_token('c1'), 5], 'wk 2', 5, lanes => '{wk_c}') AS "nothing freed";
SELECT n, state FROM wk_jobs ORDER BY n;
-- rolled back: the old leases are held again
BEGIN;
SELECT payload FROM fairsched_complete_and_claim(ARRAY[wk_id('c2')], ARRAY[wk_token('c2')], 'wk 2', 5, lanes => '{wk_c}');
ROLLBACK;
SELECT n, state FROM wk_jobs ORDER BY n;
SELECT payload FROM fairsched_complete_and_claim(ARRAY[wk_id('c2')], ARRAY[wk_token('c2')], 'wk 2', 5, lanes => '{wk_c}');
SELECT payload FROM fairsched_complete_and_claim('{}', '{}', 'wk 2', 5, lanes => '{wk_c}');
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM wk_check;
DELETE FROM wk_held;
SELECT fairsched_drop_workspace('wk_c', true);

-- fail: retried after a while, in the end a dead letter
SELECT wk_put('wk_a', 'e1', max_attempts => 3);
SELECT wk();
SELECT fairsched_fail(wk_id('e1'), wk_token('e1'), 'first', '1 day'), fairsched_fail(wk_id('e1'), wk_token('e1'), 'twice') AS again;
SELECT n, state, attempt, rank, errors FROM wk_jobs;
SELECT run_at BETWEEN now() + interval '23 h' AND now() + interval '25 h' AS in_a_day FROM fairsched.jobs WHERE workspace = 'wk_a';
SELECT fairsched_reschedule(wk_id('e1'), now());
SELECT wk();
SELECT clock_timestamp() AS failing \gset
SELECT fairsched_fail(wk_id('e1'), wk_token('e1'), 'second');
-- second attempt: 2 s, with a jitter of a quarter
SELECT run_at BETWEEN :'failing'::timestamptz + interval '1.4 s' AND clock_timestamp() + interval '2.6 s' AS backoff FROM fairsched.jobs WHERE workspace = 'wk_a';
SELECT fairsched_reschedule(wk_id('e1'), now());
SELECT wk();
SELECT fairsched_fail(wk_id('e1'), wk_token('e1'), 'third', '1 s');
SELECT * FROM wk_jobs;
SELECT payload, attempt, worker, state, errors -> 0 ? 'at' AS at, jsonb_path_query_array(errors, '$[*].error') AS errors,
	jsonb_path_query_array(errors, '$[*].attempt') AS attempts FROM fairsched.job_history WHERE workspace = 'wk_a' AND state = 'discarded';
-- at once, by discard; an error may be empty
SELECT wk_put('wk_a', 'e2');
SELECT wk();
SELECT fairsched_fail(wk_id('e2'), wk_token('e2'), '', discard => true);
SELECT payload, attempt, jsonb_path_query_array(errors, '$[*].error') AS errors FROM fairsched.dead_letters WHERE workspace = 'wk_a' ORDER BY 1;
-- the last 10 errors are kept
DELETE FROM wk_held;
SELECT wk_put('wk_a', 'e3');
DO $$
BEGIN
	FOR i IN 1..12 LOOP
		PERFORM wk();
		PERFORM fairsched_fail(wk_id('e3'), wk_token('e3'), 'error ' || i, '1 h');
		COMMIT;
		PERFORM fairsched_reschedule(wk_id('e3'), now());
		COMMIT;
	END LOOP;
END
$$;
SELECT attempt, errors FROM wk_jobs WHERE n = 'e3';
SELECT wk_put('wk_a', 'e4');
SELECT wk(max_jobs => 2);
SELECT fairsched_fail_many(ARRAY[wk_id('e3'), 99, wk_id('e4')], ARRAY[wk_token('e3'), 99, wk_token('e4') + 1], 'many') = ARRAY[wk_id('e3')] AS "e3";
SELECT fairsched_fail_many('{}', '{}', 'none');
SELECT n, state, attempt FROM wk_jobs ORDER BY n;
SELECT fairsched_cancel(wk_id('e3')), fairsched_cancel(wk_id('e4'));
DELETE FROM wk_held;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM wk_check;

-- release: given back without counting, first in its class
SELECT wk_put('wk_a', 'l1 l2'), wk_put('wk_a', 'l0', 'P1');
SELECT wk(max_jobs => 2);
SELECT fairsched_release(wk_id('l1'), wk_token('l1')), fairsched_release(wk_id('l1'), wk_token('l1')) AS again;
SELECT n, state, attempt, rank FROM wk_jobs ORDER BY n;
SELECT wk();
SELECT fairsched_release(wk_id('l1'), wk_token('l1'), now() + interval '1 h'), fairsched_release(wk_id('l0'), wk_token('l0'), '2000-01-01');
SELECT n, state, attempt, rank FROM wk_jobs ORDER BY n;
SELECT wk(max_jobs => 5);
SELECT fairsched_cancel(wk_id('l1'));
DELETE FROM wk_held WHERE n = 'l1';
SELECT wk_done();

-- checkpoint: the next claim returns it
SELECT wk_put('wk_a', 'k1');
SELECT wk();
SELECT fairsched_checkpoint(wk_id('k1'), wk_token('k1'), '{"step": 1}'), fairsched_checkpoint(wk_id('k1'), wk_token('k1'), '{"step": 2}');
SELECT fairsched_checkpoint(wk_id('k1'), wk_token('k1') + 1, '{"step": 3}') AS stale, fairsched_checkpoint(5, 5, '{}') AS unknown;
SELECT fairsched_release(wk_id('k1'), wk_token('k1'));
SELECT fairsched_checkpoint(wk_id('k1'), wk_token('k1'), '{"step": 4}') AS released;
SELECT payload, checkpoint, attempt, fairsched_complete(job_id, token) FROM fairsched_claim('wk', lanes => '{wk}');
DELETE FROM wk_held;

-- yield: saved, and waits to be resumed
SELECT wk_put('wk_a', 'y1');
SELECT wk();
SELECT fairsched_yield(wk_id('y1'), wk_token('y1') + 1, '{}') AS stale;
SELECT fairsched_yield(wk_id('y1'), wk_token('y1'), '{"at": 5}'), fairsched_yield(wk_id('y1'), wk_token('y1'), '{}') AS again;
SELECT n, attempt, checkpoint FROM wk_jobs;
SELECT fairsched_cancel(wk_id('y1'));
DELETE FROM wk_held;

-- heartbeats: by ids and tokens, by worker
SELECT wk_put('wk_a', 'b1 b2 b3');
SELECT wk('wk hb', 3, lease => '1 min');
SELECT x.n, h.directive FROM fairsched_heartbeat(ARRAY[wk_id('b1'), wk_id('b2'), 5, wk_id('b1')], ARRAY[wk_token('b1'), wk_token('b2') + 1, 5, wk_token('b1')], '1 h') WITH ORDINALITY h(job_id, directive, o)
LEFT JOIN wk_held x USING (job_id) ORDER BY o;
SELECT payload ->> 'n' AS n, r.lease_expires_at > now() + interval '50 min' AS extended FROM fairsched.running_jobs r JOIN fairsched.jobs USING (job_id) WHERE r.workspace = 'wk_a' ORDER BY 1;
SELECT count(*) FROM fairsched_heartbeat('{}', '{}', '1 s');
SELECT n, directive FROM fairsched_heartbeat('wk hb', interval '2 h') JOIN wk_held USING (job_id) ORDER BY n;
SELECT count(*) FROM fairsched.running_jobs r WHERE r.workspace = 'wk_a' AND r.lease_expires_at > now() + interval '110 min';
SELECT count(*) FROM fairsched_heartbeat('wk nobody');
-- it only extends
SELECT directive FROM fairsched_heartbeat(ARRAY[wk_id('b1')], ARRAY[wk_token('b1')], '1 min');
SELECT lease_expires_at < now() + interval '2 min' AS shortened FROM fairsched.running_jobs WHERE job_id = wk_id('b1');
-- cancelled: said once to the worker
SELECT fairsched_cancel(wk_id('b2'));
SELECT directive FROM fairsched_heartbeat(ARRAY[wk_id('b2')], ARRAY[wk_token('b2')]);
SELECT n, directive FROM fairsched_heartbeat('wk hb') JOIN wk_held USING (job_id) ORDER BY n;
SELECT n, directive FROM fairsched_heartbeat('wk hb') JOIN wk_held USING (job_id) ORDER BY n;
DELETE FROM wk_held WHERE n = 'b2';
SELECT wk_done();
SELECT count(*) FROM fairsched_heartbeat('wk hb');

-- max_runtime: a lease does not go beyond
SELECT is_duplicate FROM fairsched_enqueue('wk_a', '{"n": "t1"}', lane => 'wk', max_runtime => '20 min');
SELECT lease_expires_at < now() + interval '21 min' AS capped FROM fairsched_claim('wk', lease => '1 day', lanes => '{wk}');
SELECT h.directive FROM fairsched.running_jobs r, LATERAL fairsched_heartbeat(ARRAY[r.job_id], ARRAY[r.token], '1 day') h WHERE r.workspace = 'wk_a';
SELECT lease_expires_at < now() + interval '21 min' AS capped, fairsched_complete(job_id, token) FROM fairsched.running_jobs WHERE workspace = 'wk_a';

-- A lease that ran out: complete still succeeds while nobody claimed the job anew
SELECT wk_put('wk_a', 'x1 x2');
SELECT wk(max_jobs => 2, lease => '1 ms');
DO $$
BEGIN
	FOR i IN 1..6000 LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM fairsched.running_jobs WHERE workspace = 'wk_a');
		PERFORM pg_sleep(0.1);
	END LOOP;
END
$$;
SELECT n, state, attempt FROM wk_jobs ORDER BY n;
SELECT fairsched_complete(wk_id('x1'), wk_token('x1') + 1) AS "wrong token", fairsched_complete(wk_id('x1'), wk_token('x1')) AS late, fairsched_complete(wk_id('x1'), wk_token('x1')) AS again;
SELECT token AS old FROM wk_held WHERE n = 'x2' \gset
SELECT fairsched_reschedule(job_id, now()) FROM fairsched.jobs WHERE workspace = 'wk_a' AND state <> 'available';
SELECT wk(max_jobs => 2);
SELECT fairsched_complete(wk_id('x2'), :old) AS "claimed anew", fairsched_fail(wk_id('x2'), :old, 'x') AS fail, fairsched_checkpoint(wk_id('x2'), :old, '{}') AS checkpoint,
	fairsched_release(wk_id('x2'), :old) AS release, fairsched_yield(wk_id('x2'), :old, '{}') AS yield, wk_token('x2') > :old AS "tokens grow";
SELECT directive FROM fairsched_heartbeat(ARRAY[wk_id('x2')], ARRAY[:old]);
DELETE FROM wk_held WHERE n = 'x1';
SELECT wk_done();
SELECT * FROM wk_jobs;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM wk_check;

-- Waiting for work: at most fairsched.max_wait, at once when there is some
SELECT wk_put('wk_a', 'w1');
SELECT payload, fairsched_complete(job_id, token) FROM fairsched_claim('wk', lanes => '{wk}', max_wait => '1 day');
SELECT count(*) FROM fairsched_claim('wk', lanes => '{wk}', max_wait => '10 ms');
CALL fairsched_wait('10 ms', '{wk}');
CALL fairsched_wait('0', '{wk,wk_no_such_lane}');
SELECT wk_put('wk_a', 'w2');
CALL fairsched_wait('1 h', '{wk}');
SELECT wk(), wk_done();

SELECT fairsched_drop_workspace(w, true) FROM unnest('{wk_a,wk_hot,wk_small}'::text[]) w;
SELECT * FROM wk_jobs;
DROP VIEW wk_jobs, wk_check;
DROP TABLE wk_held;
DROP FUNCTION wk, wk_put, wk_id, wk_token, wk_done;
