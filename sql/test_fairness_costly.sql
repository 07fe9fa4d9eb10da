-- Jobs that cost many quanta: what a workspace saves for one is its own, whatever comes in between.
SET client_min_messages = warning;
CREATE PROCEDURE take(lane text, n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..n LOOP
		PERFORM fairsched_claim('fc', lease => '1 h', lanes => ARRAY[take.lane]);
		COMMIT;
	END LOOP;
END $$;
-- How many claims until a job of the workspace comes (at most 900); its claim is rolled back, or not
CREATE PROCEDURE take_until(lane text, who text, undo bool, INOUT n int) LANGUAGE plpgsql AS $$
DECLARE
	got text;
BEGIN
	n := 0;
	LOOP
		SELECT workspace INTO got FROM fairsched_claim('fc', lease => '1 h', lanes => ARRAY[take_until.lane]);
		n := n + 1;
		IF got = who AND undo THEN ROLLBACK; ELSE COMMIT; END IF;
		EXIT WHEN got = who OR n = 900;
	END LOOP;
END $$;
SELECT fairsched_create_workspace(w, max_running => 10000, own_table => false) FROM unnest('{fc_big,fc_small,fc_hand}'::text[]) w;
SELECT cardinality(fairsched_enqueue_many('fc_small', array_fill('{}'::jsonb, ARRAY[2000]), cost => 1, lane => 'fc_' || l)) FROM generate_series(1, 3) l;

-- Its only job, of ten quanta: the claim is rolled back, it need not be saved for again
SELECT count(fairsched_enqueue('fc_big', cost => 200, lane => 'fc_1'));
CALL take_until('fc_1', 'fc_big', true, NULL);
DO $$
DECLARE
	n int;
BEGIN
	CALL take_until('fc_1', 'fc_big', true, n);
	RAISE WARNING 'again: %', n;
	CALL take_until('fc_1', 'fc_big', true, n);
	RAISE WARNING 'again: %', n;
	CALL take_until('fc_1', 'fc_big', false, n);
	RAISE WARNING 'again: %', n;
END $$;

-- Paused when it has nearly saved enough, while a cheap and more urgent job comes
SELECT count(fairsched_enqueue('fc_big', cost => 200, priority => 'P3', lane => 'fc_2'));
CALL take('fc_2', 170);
SELECT fairsched_pause_workspace('fc_big');
SELECT count(fairsched_enqueue('fc_big', cost => 1, priority => 'P1', lane => 'fc_2'));
CALL take('fc_2', 30);
SELECT fairsched_resume_workspace('fc_big');
DO $$
DECLARE
	n int;
BEGIN
	CALL take_until('fc_2', 'fc_big', false, n);
	RAISE WARNING 'the cheap one: %', n;
	CALL take_until('fc_2', 'fc_big', false, n);
	RAISE WARNING 'the dear one: %', n;
END $$;

-- Paused while its head is not known, as rows were changed by hand
SELECT count(fairsched_enqueue('fc_hand', lane => 'fc_hand'));
SELECT count(fairsched_enqueue('fc_big', cost => 200, lane => 'fc_3'));
CALL take('fc_3', 170);
SELECT fairsched_pause_workspace('fc_big');
UPDATE fairsched.jobs SET payload = '{"by": "hand"}' WHERE workspace = 'fc_hand';
CALL take('fc_3', 30);
SELECT fairsched_resume_workspace('fc_big');
DO $$
DECLARE
	n int;
BEGIN
	CALL take_until('fc_3', 'fc_big', false, n);
	RAISE WARNING 'the dear one: %', n;
END $$;

-- Workers that cannot serve it bring the lane further all the time.  Where they serve rings of their own only,
-- these rounds do not pass for anybody else: who needs {a} shares with who needs {a}.
CREATE TABLE fc_served (lane text, workspace text, cost int);
CREATE PROCEDURE in_turns(lane text, others text[], mine text[], ratio int, n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..n LOOP
		FOR j IN 1..ratio LOOP
			PERFORM fairsched_claim('fc_others', lease => '1 h', lanes => ARRAY[in_turns.lane], capabilities => others);
			COMMIT;
		END LOOP;
		INSERT INTO fc_served SELECT in_turns.lane, workspace, (payload ->> 'cost')::int
			FROM fairsched_claim('fc_mine', lease => '1 h', lanes => ARRAY[in_turns.lane], capabilities => mine);
		COMMIT;
	END LOOP;
END $$;
SELECT fairsched_create_workspace(w, max_running => 10000, own_table => false) FROM unnest('{fc_dear,fc_cheap,fc_other}'::text[]) w;
SELECT count(fairsched_enqueue_many('fc_dear', array_fill('{"cost": 200}'::jsonb, ARRAY[50]), cost => 200, capabilities => '{fc_a}', lane => 'fc_4' || l)),
	count(fairsched_enqueue_many('fc_cheap', array_fill('{"cost": 1}'::jsonb, ARRAY[700]), cost => 1, capabilities => '{fc_a}', lane => 'fc_4' || l)),
	count(fairsched_enqueue_many('fc_other', array_fill('{"cost": 20}'::jsonb, ARRAY[2200]), cost => 20, capabilities => '{fc_b}', lane => 'fc_4' || l))
	FROM generate_series(1, 3) l;
CALL in_turns('fc_41', '{fc_b}', '{fc_a}', 1, 650);
CALL in_turns('fc_42', '{fc_b}', '{fc_a}', 3, 650);
CALL in_turns('fc_43', '{fc_b}', '{fc_a}', 0, 650);
SELECT lane, abs(sum(cost) FILTER (WHERE workspace = 'fc_dear') - sum(cost) FILTER (WHERE workspace = 'fc_cheap')) <= 20 + 2 * 200 AS within_bound
	FROM fc_served GROUP BY lane ORDER BY lane;

-- Where they serve what this worker serves too, the rounds pass for all of these: it saves in each.
SELECT count(fairsched_enqueue_many('fc_dear', array_fill('{"cost": 100}'::jsonb, ARRAY[50]), cost => 100, capabilities => '{fc_a}', lane => 'fc_5')),
	count(fairsched_enqueue_many('fc_cheap', array_fill('{"cost": 2}'::jsonb, ARRAY[1000]), cost => 2, lane => 'fc_5')),
	count(fairsched_enqueue_many('fc_other', array_fill('{"cost": 2}'::jsonb, ARRAY[1000]), cost => 2, lane => 'fc_5'));
CALL in_turns('fc_5', '{}', '{fc_a}', 1, 500);
SELECT count(*) > 5 AS served FROM fc_served WHERE lane = 'fc_5' AND workspace = 'fc_dear';

-- Its own cheap jobs in another ring do not spend what it saves for a more urgent one that the same worker serves:
-- these come as if all were in one ring
SELECT fairsched_create_workspace(w, max_running => 10000, own_table => false) FROM unnest('{fc_urgent}'::text[]) w;
SELECT count(fairsched_enqueue_many('fc_urgent', array_fill('{}'::jsonb, ARRAY[3]), priority => 'P1', cost => 100, capabilities => '{fc_a}', lane => 'fc_6')),
	count(fairsched_enqueue_many('fc_urgent', array_fill('{}'::jsonb, ARRAY[300]), priority => 'P3', lane => 'fc_6')),
	count(fairsched_enqueue_many('fc_small', array_fill('{}'::jsonb, ARRAY[600]), lane => 'fc_6'));
SELECT workspace, priority, count(*) FROM fairsched_claim('fc', 202, lanes => '{fc_6}', capabilities => '{fc_a}') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT workspace, priority, count(*) FROM fairsched_claim('fc', 141, lanes => '{fc_6}', capabilities => '{fc_a}') GROUP BY 1, 2 ORDER BY 1, 2;

SELECT count(fairsched_drop_workspace(w, true)) FROM unnest('{fc_urgent,fc_big,fc_small,fc_hand,fc_dear,fc_cheap,fc_other}'::text[]) w;
DROP PROCEDURE take, take_until, in_turns;
DROP TABLE fc_served;
