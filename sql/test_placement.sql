-- Placement: which nodes serve a workspace or a lane.  Lanes, workspaces and nodes of its own.
\pset null '(null)'
SET client_min_messages = warning;
\set SHOW_CONTEXT never
-- nothing moves by itself here
ALTER SYSTEM SET fairsched.move_placements = off;
SELECT pg_reload_conf();

CREATE FUNCTION plc_put(workspace text, jobs int DEFAULT 4, lane text DEFAULT 'plc', caps text[] DEFAULT '{}') RETURNS int LANGUAGE sql AS $$
	SELECT cardinality(fairsched_enqueue_many(workspace, ARRAY(SELECT jsonb_build_object('n', n) FROM generate_series(1, jobs) n),
		lane => lane, capabilities => caps))
$$;
CREATE FUNCTION plc_claim(worker text, max_jobs int DEFAULT 100, lanes text[] DEFAULT '{plc}') RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(workspace || ' ' || n, ', ' ORDER BY workspace), 'none')
	FROM (SELECT workspace, count(*) AS n FROM fairsched_claim(worker, max_jobs, '1 h', lanes) GROUP BY 1) c
$$;
CREATE VIEW plc_why AS SELECT workspace, lane, parked_reason, parked_detail FROM fairsched.queue_status
	WHERE workspace LIKE 'plc\_%' AND parked_reason IS NOT NULL ORDER BY 1, 2;
CREATE VIEW plc_placed AS SELECT p.chain_kind, p.chain, c.desired, c.candidates, p.node, p.pinned_until, p.state
	FROM fairsched.placement_chains c LEFT JOIN fairsched.placements p USING (chain_kind, chain)
	WHERE c.chain LIKE 'plc%' ORDER BY 1, 2, p.node;

-- Nodes become known by their workers, or by name
SELECT fairsched_register_worker('plc_a1', slots => 4, node => 'plc_a'), fairsched_register_worker('plc_a2', slots => 2, node => 'plc_a'),
	fairsched_register_worker('plc_b1', slots => 3, node => 'plc_b'), fairsched_register_worker('plc_none');
SELECT fairsched_set_node('plc_c', '{"zone": "z1"}');
SELECT fairsched_set_node('plc_b', '{"zone": "z2"}');
SELECT node, labels, draining, workers, alive, slots, running, last_seen IS NOT NULL AS seen, placements FROM fairsched.node_status
	WHERE node LIKE 'plc%' ORDER BY 1;

-- Nothing placed: anybody. Placed: only there, and not for workers without a node
SELECT plc_put('plc_x'), plc_put('plc_y');
SELECT fairsched_place('plc_x', '{plc_a}');
SELECT plc_claim('plc_none', 1) AS no_node, plc_claim('plc_unheard', 1) AS unknown_worker, plc_claim('plc_b1') AS b;
SELECT plc_claim('plc_a1', 1) AS a1, plc_claim('plc_a2') AS a2;
SELECT * FROM plc_placed;

-- It keeps what it may still use of its round
SELECT fairsched_enqueue('plc_x', lane => 'plc_deficit', cost => 7) IS NOT NULL AS one, fairsched_enqueue('plc_x', lane => 'plc_deficit', cost => 2) IS NOT NULL AS two;
SELECT plc_claim('plc_a1', 1, '{plc_deficit}');
SELECT deficit FROM fairsched.workspace_status WHERE workspace = 'plc_x';
SELECT fairsched_place('plc_x', '{plc_b,plc_a}');
SELECT deficit FROM fairsched.workspace_status WHERE workspace = 'plc_x';
SELECT plc_claim('plc_b1', 1, '{plc_deficit}');
SELECT fairsched_place('plc_x', '{plc_a}');

-- What the same worker may serve is shared as ever, wherever else it may be served
SELECT plc_put('plc_f1', 200, 'plc_fair'), plc_put('plc_f2', 200, 'plc_fair'), plc_put('plc_f3', 200, 'plc_fair'), plc_put('plc_f4', 200, 'plc_fair');
SELECT fairsched_place('plc_f2', '{plc_a}'), fairsched_place('plc_f3', '{plc_a,plc_b}'), fairsched_place('plc_f4', '{plc_b}');
SELECT fairsched_alter_workspace(w, max_running => 1000) FROM unnest('{plc_f1,plc_f2,plc_f3,plc_f4}'::text[]) w;
SELECT plc_claim('plc_a1', 180, '{plc_fair}') AS a;
SELECT plc_claim('plc_b1', 180, '{plc_fair}') AS b;
SELECT fairsched_drop_workspace(w, true) FROM unnest('{plc_f1,plc_f2,plc_f3,plc_f4}'::text[]) w;

-- Several nodes, fewer at a time than named: who has it keeps it
SELECT fairsched_place('plc_x', '{plc_c,plc_b,plc_a}', 2);
SELECT * FROM plc_placed;
SELECT fairsched_place('plc_x', '{plc_b,plc_c}', 1);
SELECT * FROM plc_placed;
SELECT plc_put('plc_x', 2);
SELECT plc_claim('plc_a1') AS a, plc_claim('plc_b1', 1) AS b;
-- 0: anywhere; so is what is not placed any more
SELECT fairsched_place('plc_x', '{plc_c}', 0);
SELECT plc_claim('plc_a1') AS a;
SELECT fairsched_place('plc_x', '{plc_c}'), plc_put('plc_x', 1);
SELECT plc_claim('plc_a1') AS a;
SELECT fairsched_unplace('plc_x');
SELECT plc_claim('plc_a1') AS a;
SELECT count(*) FROM plc_placed;
SELECT fairsched_unplace('plc_x');

-- Nothing holds before commit, or after a rollback
SELECT plc_put('plc_x', 6);
BEGIN;
SELECT fairsched_place('plc_x', '{plc_b}');
SELECT plc_claim('plc_a1', 1) AS a;
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT fairsched_place('plc_x', '{plc_c}');
ROLLBACK TO s;
SELECT fairsched_place('plc_x', '{plc_b}');
COMMIT;
SELECT plc_claim('plc_a1', 1) AS a, plc_claim('plc_b1', 1) AS b;

-- A lane is placed too: what holds both
SELECT fairsched_place_lane('plc', '{plc_a,plc_b}');
SELECT plc_claim('plc_none', 1) AS no_node, plc_claim('plc_a1', 1) AS a, plc_claim('plc_b1', 1) AS b;
SELECT fairsched_place_lane('plc', '{plc_a}');
SELECT plc_claim('plc_a1', 1) AS a, plc_claim('plc_b1', 1) AS b;
SELECT * FROM plc_why;
SELECT gate, verdict, detail FROM fairsched_explain((SELECT min(job_id) FROM fairsched.jobs WHERE workspace = 'plc_x' AND state = 'available'))
	WHERE gate IN ('capabilities', 'placement');
SELECT parked_reason FROM fairsched.workspace_status WHERE workspace = 'plc_x';
SELECT fairsched_unplace_lane('plc');
SELECT * FROM plc_why;

-- Nodes drain: their workers get nothing, placed or not
SELECT plc_put('plc_y', 3);
SELECT fairsched_drain_node('plc_b');
SELECT plc_claim('plc_b1') AS b;
SELECT * FROM plc_why;
SELECT parked_reason, parked_since IS NULL AS not_known FROM fairsched.workspace_status WHERE workspace = 'plc_x';
SELECT gate, verdict, detail FROM fairsched_explain((SELECT min(job_id) FROM fairsched.jobs WHERE workspace = 'plc_x' AND state = 'available'))
	WHERE gate = 'placement';
SELECT draining, running > 0 AS runs FROM fairsched.node_status WHERE node = 'plc_b';
-- placed on what drains last
SELECT fairsched_place('plc_y', '{plc_b,plc_a}', 1);
SELECT node FROM plc_placed WHERE chain = 'plc_y';
SELECT fairsched_undrain_node('plc_b');
SELECT * FROM plc_why;
SELECT plc_claim('plc_b1') AS b, plc_claim('plc_a1') AS a;

-- Nobody lives there: it waits, until a worker of the node comes; a worker may move to another node
SELECT fairsched_place('plc_x', '{plc_c}'), plc_put('plc_x', 3);
SELECT * FROM plc_why;
SELECT parked_reason FROM fairsched.workspace_status WHERE workspace = 'plc_x';
SELECT fairsched_register_worker('plc_c1', node => 'plc_c');
SELECT * FROM plc_why;
SELECT plc_claim('plc_c1', 1) AS c;
SELECT fairsched_register_worker('plc_a2', node => 'plc_c');
SELECT plc_claim('plc_a2', 1) AS moved;
SELECT fairsched_unregister_worker('plc_a2'), fairsched_unregister_worker('plc_c1');
SELECT workspace, lane, parked_reason FROM plc_why;
-- one that lives there but cannot do it
SELECT plc_put('plc_z', 1, caps => '{plc_gpu}'), fairsched_place('plc_z', '{plc_b}');
SELECT parked_reason, parked_detail FROM plc_why WHERE workspace = 'plc_z';
SELECT fairsched_register_worker('plc_a2', '{plc_gpu}', node => 'plc_a');
SELECT parked_reason, parked_detail FROM plc_why WHERE workspace = 'plc_z';
SELECT gate, verdict, detail FROM fairsched_explain((SELECT min(job_id) FROM fairsched.jobs WHERE workspace = 'plc_z'))
	WHERE gate IN ('capabilities', 'placement');
SELECT fairsched_place('plc_z', '{plc_a}'), plc_claim('plc_a1') AS cannot, plc_claim('plc_a2', 1) AS too_early;
SELECT plc_claim('plc_a2', 1) AS can;

-- By hand, as the loop does it: evicting is not holding; rows of a chain that wants nobody count for nothing
SELECT fairsched_place('plc_x', '{plc_a,plc_b}'), plc_put('plc_x', 5);
UPDATE fairsched.placements SET state = 'evicting' WHERE chain = 'plc_x' AND node = 'plc_a';
SELECT plc_claim('plc_a1', 1) AS a, plc_claim('plc_b1', 1) AS b;
DELETE FROM fairsched.placements WHERE chain = 'plc_x';
SELECT * FROM plc_why WHERE workspace = 'plc_x';
INSERT INTO fairsched.placements (chain_kind, chain, node) VALUES ('workspace', 'plc_x', 'plc_a');
SELECT plc_claim('plc_a1', 1) AS a, plc_claim('plc_b1', 1) AS b;
SELECT plc_put('plc_y', 2, 'plc_named');
UPDATE fairsched.placement_chains SET chain = 'plc_y2' WHERE chain = 'plc_y';
SELECT plc_claim('plc_b1', 1, '{plc_named}') AS b;
UPDATE fairsched.placement_chains SET chain = 'plc_y' WHERE chain = 'plc_y2';
SELECT plc_claim('plc_b1', 1, '{plc_named}') AS b, plc_claim('plc_a1', 1, '{plc_named}') AS a;
DELETE FROM fairsched.placements WHERE chain = 'plc_x';
UPDATE fairsched.placement_chains SET desired = 0 WHERE chain = 'plc_x';
SELECT plc_claim('plc_b1', 1) AS b;
TRUNCATE fairsched.placements;
\echo :SQLSTATE
TRUNCATE fairsched.placement_chains CASCADE;
\echo :SQLSTATE
TRUNCATE fairsched.nodes CASCADE;
\echo :SQLSTATE

-- Pins
SELECT fairsched_place('plc_x', '{plc_a}');
SELECT fairsched_pin_placement('plc_x', 'plc_a', 'infinity');
SELECT node, pinned_until FROM plc_placed WHERE chain = 'plc_x';
SELECT fairsched_place('plc_x', '{plc_a}');
SELECT node, pinned_until FROM plc_placed WHERE chain = 'plc_x';

-- A dropped workspace is not placed
SELECT fairsched_create_workspace('plc_gone', own_table => false), fairsched_place('plc_gone', '{plc_a}');
SELECT fairsched_drop_workspace('plc_gone');
SELECT count(*) FROM plc_placed WHERE chain = 'plc_gone';
SELECT plc_put('plc_gone', 1);
SELECT plc_claim('plc_none', 1) AS anybody;

-- More sets of nodes than fit: an error when it is placed, not later
\set VERBOSITY terse
DO $$
BEGIN
	PERFORM fairsched_set_node('plc_many' || n) FROM generate_series(1, 1100) n;
	FOR n IN 1..1100 LOOP
		PERFORM fairsched_place('plc_x', ARRAY['plc_many' || n]);
	END LOOP;
EXCEPTION WHEN SQLSTATE 'FS004' THEN
	RAISE WARNING '%', regexp_replace(SQLERRM, '[0-9]+', 'N', 'g');
END
$$;
\set VERBOSITY default
SELECT node FROM plc_placed WHERE chain = 'plc_x';

-- What is refused
SELECT fairsched_place('plc_unknown', '{plc_a}');
\echo :SQLSTATE
SELECT fairsched_place(NULL, '{plc_a}');
\echo :SQLSTATE
SELECT fairsched_place('', '{plc_a}');
\echo :SQLSTATE
SELECT fairsched_place('plc_x', NULL);
\echo :SQLSTATE
SELECT fairsched_place('plc_x', '{}');
\echo :SQLSTATE
SELECT fairsched_place('plc_x', '{plc_a,NULL}');
\echo :SQLSTATE
SELECT fairsched_place('plc_x', '{{plc_a},{plc_b}}');
\echo :SQLSTATE
SELECT fairsched_place('plc_x', '{plc_a,plc_b,plc_a}');
\echo :SQLSTATE
SELECT fairsched_place('plc_x', '{plc_a,""}');
\echo :SQLSTATE
SELECT fairsched_place('plc_x', '{plc_a,plc_nowhere}');
\echo :SQLSTATE
SELECT fairsched_place('plc_x', '{plc_a,plc_b}', -1);
\echo :SQLSTATE
SELECT fairsched_place('plc_x', '{plc_a,plc_b}', 3);
\echo :SQLSTATE
SELECT fairsched_place('plc_x', array_agg('n' || n)) FROM generate_series(1, 33) n;
\echo :SQLSTATE
SELECT fairsched_place('plc_x', array_agg('n' || n), 1) FROM generate_series(1, 1001) n;
\echo :SQLSTATE
SELECT fairsched_place_lane(NULL, '{plc_a}');
\echo :SQLSTATE
SELECT fairsched_place_lane(repeat('x', 129), '{plc_a}');
\echo :SQLSTATE
SELECT fairsched_place_lane('plc', '{plc_nowhere}');
\echo :SQLSTATE
SELECT fairsched_unplace('plc_unknown');
\echo :SQLSTATE
SELECT fairsched_unplace_lane('');
\echo :SQLSTATE
SELECT fairsched_pin_placement('plc_unknown', 'plc_a', 'infinity');
\echo :SQLSTATE
SELECT fairsched_pin_placement('plc_x', 'plc_nowhere', 'infinity');
\echo :SQLSTATE
SELECT fairsched_pin_placement('plc_x', NULL, 'infinity');
\echo :SQLSTATE
SELECT fairsched_pin_placement('plc_x', 'plc_b', 'infinity');
\echo :SQLSTATE
SELECT fairsched_pin_placement('plc_x', 'plc_a', NULL);
\echo :SQLSTATE
SELECT fairsched_pin_placement('plc_x', 'plc_a', 'yesterday');
\echo :SQLSTATE
SELECT fairsched_drain_node('plc_nowhere');
\echo :SQLSTATE
SELECT fairsched_drain_node(NULL);
\echo :SQLSTATE
SELECT fairsched_undrain_node('plc_nowhere');
\echo :SQLSTATE
SELECT fairsched_set_node('');
\echo :SQLSTATE
SELECT fairsched_set_node('plc_a', NULL);
\echo :SQLSTATE
SELECT fairsched_set_node('plc_a', '[1]');
\echo :SQLSTATE
SELECT fairsched_drop_node('plc_nowhere');
\echo :SQLSTATE
SELECT fairsched_drop_node('plc_a');
\echo :SQLSTATE
SELECT fairsched_unregister_worker('plc_a1') > 0 AS a1, fairsched_unregister_worker('plc_a2') > 0 AS a2;
SELECT fairsched_drop_node('plc_a');
\echo :SQLSTATE

-- Away with it
SELECT fairsched_unplace('plc_x');
DELETE FROM fairsched.placement_chains WHERE chain LIKE 'plc%';
SELECT fairsched_drop_node('plc_a');
SELECT fairsched_unregister_worker('plc_b1') > 0 AS b1, fairsched_unregister_worker('plc_none') > 0 AS no_node;
SELECT count(fairsched_drop_node(node)) FROM fairsched.nodes WHERE node LIKE 'plc%';
SELECT count(*) FROM fairsched.node_status WHERE node LIKE 'plc%';
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT count(*) FROM fairsched_check() WHERE NOT ok AND workspace LIKE 'plc%';
SELECT fairsched_drop_workspace(workspace, true) FROM unnest('{plc_x,plc_y,plc_z,plc_gone}'::text[]) workspace;
SELECT count(*) FROM fairsched.jobs WHERE workspace LIKE 'plc%';
DROP VIEW plc_why, plc_placed;
DROP FUNCTION plc_put, plc_claim;
ALTER SYSTEM RESET fairsched.move_placements;
SELECT pg_reload_conf();
