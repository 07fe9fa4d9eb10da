-- The loop that moves placements: scorers that are installed, what a bad one comes to, and moves.
-- The scheduler does it; what it is to do is waited for.
CREATE FUNCTION wait_until(condition text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	ok boolean;
BEGIN
	FOR i IN 1..6000 LOOP
		EXECUTE 'SELECT ' || condition INTO ok;
		IF ok THEN
			RETURN true;
		END IF;
		PERFORM pg_sleep(0.05);
	END LOOP;
	RETURN false;
END
$$;
CREATE VIEW at AS SELECT chain, string_agg(node || CASE state WHEN 'holding' THEN '' ELSE ' (' || state || ')' END, ', ' ORDER BY node) AS nodes
	FROM fairsched.placements WHERE chain LIKE 'loop-%' GROUP BY chain;

SELECT fairsched_register_worker('loop-' || n, slots => 4, node => 'loop-' || n) FROM unnest('{a,b,c}'::text[]) n;
SELECT fairsched_create_workspace('loop-acme', own_table => false);
SELECT fairsched_place('loop-acme', '{loop-a,loop-b,loop-c}', 1);

-- the built-in scorer: live, healthy, empty; nothing is known of others
SELECT n, round(fairsched_builtin_score('workspace:loop-acme', n)::numeric, 2)
	FROM unnest('{loop-a,loop-b,nowhere}'::text[]) n ORDER BY n;
SELECT node, round(score::numeric, 2) AS score
	FROM fairsched_builtin_best_alternative('workspace:loop-acme', (SELECT array_agg(node) FROM fairsched.nodes WHERE node NOT IN ('loop-c', 'loop-b')));
SELECT * FROM fairsched_builtin_best_alternative('workspace:loop-acme', (SELECT array_agg(node) FROM fairsched.nodes));
SELECT fairsched_builtin_score(NULL, 'loop-a');
SELECT wait_until($$(SELECT reason = 'good' FROM fairsched.placement_status WHERE chain = 'loop-acme')$$);
SELECT chain_kind, chain, desired, holding, candidates, last_move, cooldown_until, reason, detail, next_look,
	h ->> 'node' AS node, h ->> 'state' AS state, round((h ->> 'score')::numeric, 1) AS score, h ->> 'trend' AS trend
	FROM fairsched.placement_status, jsonb_array_elements(holders) h WHERE chain = 'loop-acme';

-- draining moves it, and so does nothing else
SELECT fairsched_drain_node('loop-a');
SELECT wait_until($$(SELECT state = 'done' FROM fairsched.placement_events WHERE chain = 'loop-acme')$$);
TABLE at;
SELECT chain_kind, chain, from_node, to_node, from_score, round(to_score::numeric, 1) AS to_score, reason, state,
	finished_at >= started_at AS finished, took >= '0' AS took FROM fairsched.placement_events WHERE chain = 'loop-acme';
SELECT fairsched_undrain_node('loop-a');

-- ---------- a scorer of one's own ----------
CREATE ROLE loop_owner;
CREATE ROLE loop_other;
CREATE SCHEMA loop;
GRANT USAGE ON SCHEMA loop TO loop_owner, loop_other;
GRANT CREATE ON SCHEMA loop TO loop_owner;
GRANT EXECUTE ON FUNCTION fairsched_set_placement_scorer(regprocedure, regprocedure) TO loop_owner, loop_other;
SET ROLE loop_owner;
CREATE TABLE loop.scores (node text PRIMARY KEY, score real, what text);
INSERT INTO loop.scores VALUES ('loop-a', 0.9), ('loop-b', 0.2), ('loop-c', 0.6);
CREATE FUNCTION loop.score(chain text, node text) RETURNS real LANGUAGE plpgsql AS $$
DECLARE
	s loop.scores;
BEGIN
	SELECT * INTO s FROM loop.scores x WHERE x.node = score.node;
	IF s.what = 'raise' THEN
		RAISE EXCEPTION 'secret of %', chain;
	ELSIF s.what = 'sleep' THEN
		PERFORM pg_sleep(600);
	ELSIF s.what = 'catch' THEN
		BEGIN
			PERFORM pg_sleep(600);
		EXCEPTION WHEN query_canceled THEN
			NULL;
		END;
	ELSIF s.what = 'write' THEN
		UPDATE loop.scores SET score = 1;
	ELSIF s.what = 'role' THEN
		SET ROLE NONE;
	ELSIF s.what = 'who' THEN
		RETURN CASE WHEN current_user = 'loop_owner' AND current_setting('search_path') = 'pg_catalog, pg_temp' THEN 0.77 ELSE 0.11 END;
	END IF;
	RETURN s.score;
END
$$;
CREATE FUNCTION loop.best(chain text, exclude text[]) RETURNS TABLE (node text, score real) LANGUAGE sql STABLE AS $$
	SELECT s.node, s.score FROM loop.scores s WHERE s.node <> ALL (exclude) ORDER BY s.score DESC, s.node LIMIT 1 $$;
CREATE FUNCTION loop.wrong(chain text, node text) RETURNS double precision LANGUAGE sql AS 'SELECT 1.0::float8';
CREATE FUNCTION loop.wrong(chain text, exclude text[]) RETURNS SETOF text LANGUAGE sql AS $$SELECT 'a'$$;
CREATE FUNCTION loop.wrong(chain text) RETURNS real LANGUAGE sql AS 'SELECT 1.0::real';
CREATE AGGREGATE loop.wrong(real) (SFUNC = float4larger, STYPE = real);

SELECT fairsched_set_placement_scorer('loop.score(text,text)', NULL);
SELECT fairsched_set_placement_scorer(NULL, 'loop.best(text,text[])');
SELECT fairsched_set_placement_scorer('loop.nothing(text,text)', 'loop.best(text,text[])');
SELECT fairsched_set_placement_scorer(0::regprocedure, 'loop.best(text,text[])');
SELECT fairsched_set_placement_scorer('loop.wrong(text,text)', 'loop.best(text,text[])');
SELECT fairsched_set_placement_scorer('loop.wrong(text)', 'loop.best(text,text[])');
SELECT fairsched_set_placement_scorer('loop.wrong(real)', 'loop.best(text,text[])');
SELECT fairsched_set_placement_scorer('loop.score(text,text)', 'loop.wrong(text,text[])');
SELECT fairsched_set_placement_scorer('loop.best(text,text[])', 'loop.score(text,text)');
CREATE FUNCTION pg_temp.score(chain text, node text) RETURNS real LANGUAGE sql AS 'SELECT 1.0::real';
DO $$
BEGIN
	PERFORM fairsched_set_placement_scorer('pg_temp.score(text,text)', 'loop.best(text,text[])');
EXCEPTION WHEN invalid_function_definition THEN
	RAISE NOTICE '%', regexp_replace(SQLERRM, 'pg_temp_[0-9]+', 'pg_temp');
END
$$;
DROP FUNCTION pg_temp.score(text, text);
SET ROLE loop_other;
SELECT fairsched_set_placement_scorer('loop.score(text,text)', 'loop.best(text,text[])');
SET ROLE loop_owner;
REVOKE EXECUTE ON FUNCTION loop.score(text, text) FROM loop_owner, PUBLIC;
SELECT fairsched_set_placement_scorer('loop.score(text,text)', 'loop.best(text,text[])');
GRANT EXECUTE ON FUNCTION loop.score(text, text) TO loop_owner;
SELECT * FROM fairsched_set_placement_scorer('loop.score(text,text)', 'loop.best(text,text[])');
SELECT * FROM fairsched_set_placement_scorer('loop.score(text,text)', 'loop.best(text,text[])');
RESET ROLE;
SELECT score, best_alternative, installed_by FROM fairsched.placement_scorer;

-- it moved a moment ago, so not now; and then
SELECT wait_until($$(SELECT reason = 'cooldown' FROM fairsched.placement_status WHERE chain = 'loop-acme')$$);
SELECT detail, next_look = cooldown_until AS waits FROM fairsched.placement_status WHERE chain = 'loop-acme';
UPDATE fairsched.placement_chains SET last_move = NULL WHERE chain = 'loop-acme';
SELECT wait_until($$(SELECT count(*) = 2 AND bool_and(state = 'done') FROM fairsched.placement_events WHERE chain = 'loop-acme')$$);
TABLE at;
SELECT from_node, to_node, from_score, to_score, scores, reason, detail FROM fairsched.placement_events
	WHERE chain = 'loop-acme' ORDER BY event_id DESC LIMIT 1;

-- why it stays
CREATE FUNCTION now_score(a real, b real, c real, what text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	UPDATE loop.scores SET score = CASE node WHEN 'loop-a' THEN a WHEN 'loop-b' THEN b ELSE c END, what = $4;
	UPDATE fairsched.placement_chains SET last_move = NULL WHERE chain = 'loop-acme';
	UPDATE fairsched.placement_watch SET verdict = NULL WHERE chain = 'loop-acme' $$;
CREATE FUNCTION stays_for(reason text) RETURNS text LANGUAGE sql AS $$
	SELECT wait_until(format('(SELECT reason = %L FROM fairsched.placement_status WHERE chain = ''loop-acme'')', reason));
	SELECT s.reason || coalesce(': ' || s.detail, '') FROM fairsched.placement_status s WHERE chain = 'loop-acme' $$;
SELECT now_score(0.5, 1, 1);
SELECT stays_for('good');
SELECT now_score(0.4, 0.59, 0.3);
SELECT stays_for('gap');
SELECT now_score(NULL, 1, 1);
SELECT stays_for('no_opinion');
BEGIN;
SELECT now_score(0.1, 0.9, 0.3);
SELECT fairsched_pin_placement('loop-acme', 'loop-a', 'infinity');
COMMIT;
SELECT stays_for('pinned');
UPDATE fairsched.placements SET pinned_until = NULL WHERE chain = 'loop-acme';
SELECT wait_until($$(SELECT count(*) = 3 AND bool_and(state = 'done') FROM fairsched.placement_events WHERE chain = 'loop-acme')$$);
TABLE at;

-- what a bad scorer says is no opinion, and told
CREATE VIEW told AS SELECT severity, subject, detail FROM fairsched.alerts WHERE type = 'placement_scorer' ORDER BY subject;
CREATE FUNCTION bad_score(a real, b real, c real, what text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	DELETE FROM fairsched.alerts WHERE type = 'placement_scorer';
	SELECT now_score(a, b, c, what) $$;
SELECT bad_score(0, 1.5, 0);
SELECT stays_for('no_opinion');
TABLE told;
SELECT bad_score(0, 'NaN', 0);
SELECT stays_for('no_opinion');
TABLE told;
SELECT bad_score(0, -0.1, 0);
SELECT stays_for('no_opinion');
SELECT bad_score(0, 1, 0, 'raise');
SELECT stays_for('no_opinion');
TABLE told;
SELECT bad_score(0, 1, 0, 'write');
SELECT stays_for('no_opinion');
TABLE told;
SELECT bad_score(0, 1, 0, 'role');
SELECT stays_for('no_opinion');
TABLE told;
SELECT bad_score(0, 1, 0, 'sleep');
SELECT stays_for('no_opinion');
TABLE told;
SELECT bad_score(0, 1, 0, 'catch');
SELECT stays_for('no_opinion');
TABLE told;
-- it runs as its owner
SELECT now_score(0, 1, 0, 'who');
SELECT stays_for('good');
SELECT round((h ->> 'score')::numeric, 2) AS score FROM fairsched.placement_status, jsonb_array_elements(holders) h WHERE chain = 'loop-acme';
-- the best alternative: one that is excluded, or does not exist, or none
CREATE OR REPLACE FUNCTION loop.best(chain text, exclude text[]) RETURNS TABLE (node text, score real) LANGUAGE sql STABLE AS $$
	SELECT exclude[1], 1::real $$;
SELECT bad_score(0.1, 0.1, 0.1);
SELECT wait_until('EXISTS (SELECT FROM told)');
SELECT subject, detail LIKE '%named a node that was excluded.' AS told FROM told;
CREATE OR REPLACE FUNCTION loop.best(chain text, exclude text[]) RETURNS TABLE (node text, score real) LANGUAGE sql STABLE AS $$
	SELECT 'nowhere'::text, 1::real $$;
SELECT bad_score(0.1, 0.1, 0.1);
SELECT wait_until('EXISTS (SELECT FROM told)');
TABLE told;
CREATE OR REPLACE FUNCTION loop.best(chain text, exclude text[]) RETURNS TABLE (node text, score real) LANGUAGE sql STABLE AS $$
	SELECT 'nowhere'::text, 1::real WHERE false $$;
SELECT now_score(0.1, 0.1, 0.1);
SELECT stays_for('no_alternative');
-- but who only fails keeps no chain from being served
CREATE OR REPLACE FUNCTION loop.best(chain text, exclude text[]) RETURNS TABLE (node text, score real) LANGUAGE sql STABLE AS $$
	SELECT 'x', 1/length('')::real $$;
DELETE FROM fairsched.placements WHERE chain = 'loop-acme';
SELECT wait_until($$(SELECT nodes IS NOT NULL FROM at)$$);
SELECT count(*) FROM at;
DROP FUNCTION loop.best(text, text[]);
SELECT bad_score(0.1, 0.1, 0.1);
SELECT wait_until('EXISTS (SELECT FROM told)');
TABLE told;
SELECT * FROM fairsched_set_placement_scorer(NULL, NULL);
SELECT score, best_alternative, scorer_calls > scorer_failures AND scorer_failures > 0 AS counted FROM fairsched.placement_scorer_status;

-- lanes too; and a surplus, a candidate that is none any more, what is unplaced
SELECT fairsched_place_lane('loop-lane', '{loop-a,loop-b,loop-c}', 3);
SELECT wait_until($$(SELECT reason = 'good' FROM fairsched.placement_status WHERE chain = 'loop-lane')$$);
UPDATE fairsched.placement_chains SET desired = 2 WHERE chain = 'loop-lane';
SELECT wait_until($$(SELECT nodes = 'loop-a, loop-b' FROM at WHERE chain = 'loop-lane')$$);
UPDATE fairsched.placement_chains SET candidates = '{loop-a,loop-c}' WHERE chain = 'loop-lane';
SELECT wait_until($$(SELECT nodes = 'loop-a, loop-c' FROM at WHERE chain = 'loop-lane')$$);
SELECT wait_until($$(SELECT bool_and(state = 'done') FROM fairsched.placement_events WHERE chain = 'loop-lane')$$);
SELECT chain_kind, from_node, to_node, reason, state FROM fairsched.placement_events WHERE chain = 'loop-lane' ORDER BY event_id;
SELECT fairsched_unplace_lane('loop-lane'), fairsched_unplace('loop-acme');
SELECT wait_until($$NOT EXISTS (SELECT FROM fairsched.placement_watch WHERE chain LIKE 'loop-%')$$);
SELECT count(*) FROM fairsched.placement_scores WHERE chain LIKE 'loop-%';

-- rights
SET ROLE loop_other;
SELECT fairsched_evaluate_placement();
SELECT fairsched_rescore_placements();
SELECT fairsched_builtin_score('workspace:loop-acme', 'loop-a');
SELECT * FROM fairsched.placement_status;
RESET ROLE;

SELECT fairsched_unregister_worker('loop-' || n) FROM unnest('{a,b,c}'::text[]) n;
SELECT fairsched_drop_node('loop-' || n) FROM unnest('{a,b,c}'::text[]) n;
SELECT fairsched_drop_workspace('loop-acme');
DELETE FROM fairsched.alerts WHERE type = 'placement_scorer';
DROP VIEW at;
DROP FUNCTION bad_score(real, real, real, text);
DROP VIEW told;
DROP FUNCTION wait_until(text), stays_for(text), now_score(real, real, real, text);
SET client_min_messages = warning;
DROP SCHEMA loop CASCADE;
REVOKE EXECUTE ON FUNCTION fairsched_set_placement_scorer(regprocedure, regprocedure) FROM loop_owner, loop_other;
DROP ROLE loop_owner, loop_other;
