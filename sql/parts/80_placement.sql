-- Placement: which nodes serve a workspace or a lane.  The tables are the truth and the interface of the
-- loop that moves placements (by plain INSERT, UPDATE, DELETE); their triggers tell memory at commit
-- (placement_load.c).  src/README.md says how they go together.  No foreign keys: pg_restore with several jobs
-- does not know of those of an extension's tables.

CREATE TABLE fairsched.nodes (
	node text COLLATE "C" PRIMARY KEY CHECK (octet_length(node) BETWEEN 1 AND 128),
	labels jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(labels) = 'object'),
	draining boolean NOT NULL DEFAULT false,
	created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE fairsched.nodes IS 'Nodes that workers said they run on (fairsched_register_worker), or that were made known by fairsched_set_node. What runs there is in fairsched.node_status.';
COMMENT ON COLUMN fairsched.nodes.node IS 'Name, 1 to 128 bytes, as workers give it.';
COMMENT ON COLUMN fairsched.nodes.labels IS 'What an administrator says of it, an object; scorers of placements may read it.';
COMMENT ON COLUMN fairsched.nodes.draining IS 'True from fairsched_drain_node until fairsched_undrain_node: its workers are handed out nothing.';
COMMENT ON COLUMN fairsched.nodes.created_at IS 'When it was heard of first.';

CREATE TABLE fairsched.placement_chains (
	chain_kind text COLLATE "C" NOT NULL CHECK (chain_kind IN ('workspace', 'lane')),
	chain text COLLATE "C" NOT NULL CHECK (octet_length(chain) BETWEEN 1 AND 128),
	desired integer NOT NULL DEFAULT 0 CHECK (desired BETWEEN 0 AND 32),
	candidates text[] NOT NULL DEFAULT '{}',
	last_move timestamptz,
	PRIMARY KEY (chain_kind, chain)
);
COMMENT ON TABLE fairsched.placement_chains IS 'Workspaces and lanes that are placed, by fairsched_place and fairsched_place_lane. One without a row is served anywhere.';
COMMENT ON COLUMN fairsched.placement_chains.chain_kind IS 'workspace or lane.';
COMMENT ON COLUMN fairsched.placement_chains.chain IS 'Name of the workspace or lane.';
COMMENT ON COLUMN fairsched.placement_chains.desired IS 'How many nodes should hold it; 0 = it is served anywhere.';
COMMENT ON COLUMN fairsched.placement_chains.candidates IS 'Nodes it may be moved to; empty = any.';
COMMENT ON COLUMN fairsched.placement_chains.last_move IS 'When it was moved last by itself; NULL = never.';

CREATE TABLE fairsched.placements (
	chain_kind text COLLATE "C" NOT NULL,
	chain text COLLATE "C" NOT NULL,
	node text COLLATE "C" NOT NULL CHECK (octet_length(node) BETWEEN 1 AND 128),
	since timestamptz NOT NULL DEFAULT now(),
	pinned_until timestamptz,
	state text COLLATE "C" NOT NULL DEFAULT 'holding' CHECK (state IN ('holding', 'evicting')),
	PRIMARY KEY (chain_kind, chain, node)
);
CREATE INDEX placements_node ON fairsched.placements (node);
COMMENT ON TABLE fairsched.placements IS 'Nodes that hold a workspace or lane: workers of these, and no others, are handed out its jobs. A change counts from its commit on; jobs that run go on.';
COMMENT ON COLUMN fairsched.placements.chain_kind IS 'workspace or lane.';
COMMENT ON COLUMN fairsched.placements.chain IS 'Name of the workspace or lane.';
COMMENT ON COLUMN fairsched.placements.node IS 'Node that holds it.';
COMMENT ON COLUMN fairsched.placements.since IS 'Since when.';
COMMENT ON COLUMN fairsched.placements.pinned_until IS 'It is not moved away by itself before (fairsched_pin_placement); NULL = not pinned.';
COMMENT ON COLUMN fairsched.placements.state IS 'holding; or evicting: it gets no new jobs there any more, those that run are waited for.';

-- ---------- memory ----------

CREATE FUNCTION fairsched.placement_changed() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'fs_placement_changed';
COMMENT ON FUNCTION fairsched.placement_changed() IS 'Internal: a placement was changed; memory follows at commit.';
CREATE FUNCTION fairsched.node_changed() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'fs_node_changed';
COMMENT ON FUNCTION fairsched.node_changed() IS 'Internal: a node was changed; memory follows at commit.';
CREATE FUNCTION fairsched.placement_truncated() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'fs_placement_truncated';
COMMENT ON FUNCTION fairsched.placement_truncated() IS 'Internal: refuses TRUNCATE, which fires no row triggers.';

CREATE FUNCTION fairsched.placement_chain_gone() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	DELETE FROM fairsched.placements p WHERE p.chain_kind = OLD.chain_kind AND p.chain = OLD.chain;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION fairsched.placement_chain_gone() IS 'Internal: what is not placed any more is held by nobody.';

CREATE TRIGGER placement_chain_gone AFTER DELETE ON fairsched.placement_chains
	FOR EACH ROW EXECUTE FUNCTION fairsched.placement_chain_gone();
CREATE TRIGGER placement_changed AFTER INSERT OR UPDATE OR DELETE ON fairsched.placement_chains
	FOR EACH ROW EXECUTE FUNCTION fairsched.placement_changed();
CREATE TRIGGER placement_changed AFTER INSERT OR UPDATE OR DELETE ON fairsched.placements
	FOR EACH ROW EXECUTE FUNCTION fairsched.placement_changed();
CREATE TRIGGER node_changed AFTER INSERT OR UPDATE OR DELETE ON fairsched.nodes
	FOR EACH ROW EXECUTE FUNCTION fairsched.node_changed();
CREATE TRIGGER placement_truncated BEFORE TRUNCATE ON fairsched.placement_chains
	FOR EACH STATEMENT EXECUTE FUNCTION fairsched.placement_truncated();
CREATE TRIGGER placement_truncated BEFORE TRUNCATE ON fairsched.placements
	FOR EACH STATEMENT EXECUTE FUNCTION fairsched.placement_truncated();
CREATE TRIGGER placement_truncated BEFORE TRUNCATE ON fairsched.nodes
	FOR EACH STATEMENT EXECUTE FUNCTION fairsched.placement_truncated();
-- also for logical replication and for whoever runs as a replica
ALTER TABLE fairsched.placement_chains ENABLE ALWAYS TRIGGER placement_changed;
ALTER TABLE fairsched.placements ENABLE ALWAYS TRIGGER placement_changed;
ALTER TABLE fairsched.nodes ENABLE ALWAYS TRIGGER node_changed;
ALTER TABLE fairsched.placement_chains ENABLE ALWAYS TRIGGER placement_truncated;
ALTER TABLE fairsched.placements ENABLE ALWAYS TRIGGER placement_truncated;
ALTER TABLE fairsched.nodes ENABLE ALWAYS TRIGGER placement_truncated;

CREATE FUNCTION fairsched.placement_marks(OUT kind text, OUT name text) RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10 AS 'MODULE_PATHNAME', 'fs_placement_marks';
COMMENT ON FUNCTION fairsched.placement_marks() IS 'Internal: workspaces, lanes and nodes that changed and were not looked at since; kind all: memory is new; more: others, known by hashes only.';
CREATE FUNCTION fairsched.forget_placement_marks() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_forget_placement_marks';
COMMENT ON FUNCTION fairsched.forget_placement_marks() IS 'Internal: as if all of them had been looked at.';

-- ---------- nodes ----------

CREATE FUNCTION fairsched.check_node(node text) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	SELECT fairsched.check_name('node', node, 'Give the name that its workers register with.')
$$;
COMMENT ON FUNCTION fairsched.check_node(text) IS 'Internal: refuses what cannot be the name of a node.';

CREATE FUNCTION fairsched.unknown_node(node text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'FS00C', MESSAGE = format('node "%s" does not exist', node),
		HINT = 'fairsched.node_status lists the nodes; a worker that registers there, or fairsched_set_node, makes one known.';
END
$$;
COMMENT ON FUNCTION fairsched.unknown_node(text) IS 'Internal: raises FS00C.';

CREATE FUNCTION fairsched_set_node(node text, labels jsonb DEFAULT '{}') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM fairsched.check_node(node);
	IF labels IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'labels must not be null',
			HINT = 'Leave the argument out for none.';
	END IF;
	IF jsonb_typeof(labels) <> 'object' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'labels must be an object',
			HINT = 'For example ''{"zone": "a"}''.';
	END IF;
	INSERT INTO fairsched.nodes AS n (node, labels) VALUES (node, labels)
	ON CONFLICT ON CONSTRAINT nodes_pkey DO UPDATE SET labels = excluded.labels;
END
$$;
COMMENT ON FUNCTION fairsched_set_node(text, jsonb) IS 'Makes a node known before a worker registers there, or gives it other labels: an object that scorers of placements may read. Errors: 22004 and 22023 for arguments.';

CREATE FUNCTION fairsched_drop_node(node text) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM fairsched.check_node(node);
	IF EXISTS (SELECT FROM fairsched.workers w WHERE w.node = fairsched_drop_node.node) THEN
		RAISE EXCEPTION USING ERRCODE = 'FS005', MESSAGE = format('node "%s" has registered workers', node),
			HINT = 'Unregister them first: fairsched.worker_status lists them.';
	END IF;
	DELETE FROM fairsched.nodes n WHERE n.node = fairsched_drop_node.node;
	IF NOT FOUND THEN
		PERFORM fairsched.unknown_node(node);
	END IF;
	-- only now: whoever was about to place something there has been waited for
	IF EXISTS (SELECT FROM fairsched.placements p WHERE p.node = fairsched_drop_node.node) THEN
		RAISE EXCEPTION USING ERRCODE = 'FS005', MESSAGE = format('node "%s" holds placements', node),
			HINT = 'Place what it holds elsewhere first: fairsched.placements lists it.';
	END IF;
END
$$;
COMMENT ON FUNCTION fairsched_drop_node(text) IS 'Forgets a node that is gone for good. Errors: FS00C unknown node, FS005 workers are registered there or it holds placements, 22004 and 22023 for arguments.';

CREATE FUNCTION fairsched.set_draining(node text, draining boolean) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM fairsched.check_node(node);
	UPDATE fairsched.nodes n SET draining = set_draining.draining WHERE n.node = set_draining.node;
	IF NOT FOUND THEN
		PERFORM fairsched.unknown_node(node);
	END IF;
END
$$;
COMMENT ON FUNCTION fairsched.set_draining(text, boolean) IS 'Internal: fairsched_drain_node and fairsched_undrain_node.';

CREATE FUNCTION fairsched_drain_node(node text) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM fairsched.set_draining(node, true);
END
$$;
COMMENT ON FUNCTION fairsched_drain_node(text) IS 'From the commit on workers of the node are handed out nothing, placed there or not; what runs there goes on. Lasts until fairsched_undrain_node, also across restarts. Errors: FS00C unknown node, 22004 and 22023 for arguments.';

CREATE FUNCTION fairsched_undrain_node(node text) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM fairsched.set_draining(node, false);
END
$$;
COMMENT ON FUNCTION fairsched_undrain_node(text) IS 'Ends fairsched_drain_node. Errors: FS00C unknown node, 22004 and 22023 for arguments.';

-- ---------- placing ----------

CREATE FUNCTION fairsched.check_lane(lane text) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	SELECT fairsched.check_name('lane', lane, 'Give the name that jobs are enqueued with.')
$$;
COMMENT ON FUNCTION fairsched.check_lane(text) IS 'Internal: refuses what cannot be the name of a lane.';

CREATE FUNCTION fairsched.place_chain(kind text, name text, nodes text[], desired int) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	want int := desired;
	bad text;
BEGIN
	IF nodes IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'nodes must not be null',
			HINT = 'Name the nodes, or use fairsched_unplace to have it served anywhere.';
	END IF;
	IF cardinality(nodes) NOT BETWEEN 1 AND 1000 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'nodes must name 1 to 1000 nodes',
			DETAIL = format('It has %s.', cardinality(nodes)), HINT = 'Use fairsched_unplace to have it served anywhere.';
	END IF;
	IF array_ndims(nodes) <> 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'nodes must be a list',
			HINT = 'For example ARRAY[''a'', ''b''].';
	END IF;
	IF array_position(nodes, NULL) IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'nodes must not contain null',
			HINT = 'Name the nodes.';
	END IF;
	PERFORM fairsched.check_node(u.n) FROM unnest(nodes) u(n);
	SELECT u.n INTO bad FROM unnest(nodes) u(n) GROUP BY u.n HAVING count(*) > 1 LIMIT 1;
	IF bad IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('nodes names "%s" more than once', bad),
			HINT = 'Name each node once.';
	END IF;
	IF want IS NULL THEN
		want := cardinality(nodes);
	END IF;
	IF want NOT BETWEEN 0 AND least(cardinality(nodes), 32) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('desired must be between 0 and %s', least(cardinality(nodes), 32)),
			DETAIL = 'At most 32 nodes can hold it, and no more than are named.',
			HINT = 'Name more nodes, or want fewer to hold it at a time.';
	END IF;
	-- a node stays while it is named here
	PERFORM FROM fairsched.nodes d WHERE d.node = ANY (nodes) ORDER BY d.node FOR KEY SHARE;
	SELECT u.n INTO bad FROM unnest(nodes) u(n)
		WHERE NOT EXISTS (SELECT FROM fairsched.nodes d WHERE d.node = u.n) LIMIT 1;
	IF bad IS NOT NULL THEN
		PERFORM fairsched.unknown_node(bad);
	END IF;

	INSERT INTO fairsched.placement_chains AS c (chain_kind, chain, desired, candidates) VALUES (kind, name, want, nodes)
	ON CONFLICT ON CONSTRAINT placement_chains_pkey DO UPDATE SET desired = excluded.desired, candidates = excluded.candidates;
	-- whoever holds it already stays, if it may; then in the order given, those that drain last
	WITH chosen AS (
		SELECT u.n FROM unnest(nodes) WITH ORDINALITY u(n, i) JOIN fairsched.nodes d ON d.node = u.n
			LEFT JOIN fairsched.placements p ON p.chain_kind = kind AND p.chain = name AND p.node = u.n AND p.state = 'holding'
		ORDER BY d.draining, p.node IS NULL, u.i LIMIT want),
	gone AS (
		DELETE FROM fairsched.placements p WHERE p.chain_kind = kind AND p.chain = name
			AND NOT EXISTS (SELECT FROM chosen c WHERE c.n = p.node))
	INSERT INTO fairsched.placements AS p (chain_kind, chain, node) SELECT kind, name, c.n FROM chosen c
	ON CONFLICT ON CONSTRAINT placements_pkey DO UPDATE SET state = 'holding', pinned_until = NULL,
		since = CASE WHEN p.state = 'holding' THEN p.since ELSE excluded.since END
	WHERE p.state <> 'holding' OR p.pinned_until IS NOT NULL;
END
$$;
COMMENT ON FUNCTION fairsched.place_chain(text, text, text[], int) IS 'Internal: fairsched_place and fairsched_place_lane, for a chain that is known.';

CREATE FUNCTION fairsched_place(workspace text, nodes text[], desired int DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM fairsched.need_workspace(workspace);
	PERFORM fairsched.place_chain('workspace', workspace, nodes, desired);
END
$$;
COMMENT ON FUNCTION fairsched_place(text, text[], int) IS 'From the commit on only workers on some of these nodes are handed out jobs of the workspace. desired: how many of the nodes hold it at a time, at most 32, NULL = all of them, 0 = none, it is served anywhere; those that hold it already are kept, then the first ones named are taken, nodes that drain last. It may be moved to the others later. Ends pins of before. Jobs that run elsewhere go on there. While no worker lives on a node that holds it, it waits (waiting_for_node). Where its lane is placed too, only nodes that hold both serve it. Errors: FS002 unknown workspace, FS00C unknown node, FS004 fairsched.max_rings or fairsched.max_workers is reached, 22004 and 22023 for arguments.';

CREATE FUNCTION fairsched_place_lane(lane text, nodes text[], desired int DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM fairsched.check_lane(lane);
	PERFORM fairsched.place_chain('lane', lane, nodes, desired);
END
$$;
COMMENT ON FUNCTION fairsched_place_lane(text, text[], int) IS 'As fairsched_place, for all jobs of a lane. Errors: FS00C unknown node, FS004 fairsched.max_rings or fairsched.max_workers is reached, 22004 and 22023 for arguments.';

CREATE FUNCTION fairsched_unplace(workspace text) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM fairsched.need_workspace(workspace);
	DELETE FROM fairsched.placement_chains c WHERE c.chain_kind = 'workspace' AND c.chain = fairsched_unplace.workspace;
END
$$;
COMMENT ON FUNCTION fairsched_unplace(text) IS 'Ends fairsched_place: from the commit on the workspace is served anywhere. Error: FS002 unknown workspace.';

CREATE FUNCTION fairsched_unplace_lane(lane text) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM fairsched.check_lane(lane);
	DELETE FROM fairsched.placement_chains c WHERE c.chain_kind = 'lane' AND c.chain = fairsched_unplace_lane.lane;
END
$$;
COMMENT ON FUNCTION fairsched_unplace_lane(text) IS 'Ends fairsched_place_lane. Errors: 22004 and 22023 for arguments.';

CREATE FUNCTION fairsched_pin_placement(workspace text, node text, until timestamptz) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM fairsched.need_workspace(workspace);
	PERFORM fairsched.check_node(node);
	IF until IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'until must not be null',
			HINT = 'Give a time, ''infinity'' for good; fairsched_place ends a pin.';
	END IF;
	IF until <= now() THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'until must be in the future',
			HINT = 'Give a later time, ''infinity'' for good; fairsched_place ends a pin.';
	END IF;
	IF NOT EXISTS (SELECT FROM fairsched.nodes d WHERE d.node = fairsched_pin_placement.node) THEN
		PERFORM fairsched.unknown_node(node);
	END IF;
	UPDATE fairsched.placements p SET pinned_until = until
	WHERE p.chain_kind = 'workspace' AND p.chain = fairsched_pin_placement.workspace
		AND p.node = fairsched_pin_placement.node AND p.state = 'holding';
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'FS005', MESSAGE = format('node "%s" does not hold workspace "%s"', node, workspace),
			HINT = 'Place it there first, with fairsched_place.';
	END IF;
END
$$;
COMMENT ON FUNCTION fairsched_pin_placement(text, text, timestamptz) IS 'The workspace is not moved away from this node by itself until then; fairsched_place ends it before. Errors: FS002 unknown workspace, FS00C unknown node, FS005 the node does not hold it, 22004 and 22023 for arguments.';

-- ---------- for people ----------

CREATE VIEW fairsched.node_status AS
SELECT n.node, n.labels, n.draining, coalesce(w.workers, 0) AS workers, coalesce(w.alive, false) AS alive,
	coalesce(w.slots, 0) AS slots, coalesce(w.running, 0) AS running, w.last_seen, n.created_at,
	(SELECT count(*) FROM fairsched.placements p WHERE p.node = n.node AND p.state = 'holding') AS placements
FROM fairsched.nodes n
	LEFT JOIN (SELECT s.node, count(*)::integer AS workers, bool_or(s.alive) AS alive,
		sum(s.slots) FILTER (WHERE s.alive)::integer AS slots, sum(s.running)::integer AS running,
		max(s.last_seen) AS last_seen FROM fairsched.worker_status_internal() s GROUP BY s.node) w ON w.node = n.node;
COMMENT ON VIEW fairsched.node_status IS 'Every node, and what its workers tell; that is from memory: where it is not built, as on a standby, none is known.';
COMMENT ON COLUMN fairsched.node_status.node IS 'Name.';
COMMENT ON COLUMN fairsched.node_status.labels IS 'What an administrator says of it (fairsched_set_node).';
COMMENT ON COLUMN fairsched.node_status.draining IS 'True: its workers are handed out nothing (fairsched_drain_node).';
COMMENT ON COLUMN fairsched.node_status.workers IS 'Workers that registered there.';
COMMENT ON COLUMN fairsched.node_status.alive IS 'True: one of them called within fairsched.worker_timeout.';
COMMENT ON COLUMN fairsched.node_status.slots IS 'Jobs that those which live run at once, as they declared.';
COMMENT ON COLUMN fairsched.node_status.running IS 'Jobs its workers hold.';
COMMENT ON COLUMN fairsched.node_status.last_seen IS 'The last call of one of them; NULL = none since memory was built.';
COMMENT ON COLUMN fairsched.node_status.created_at IS 'When it was heard of first.';
COMMENT ON COLUMN fairsched.node_status.placements IS 'Workspaces and lanes that it holds.';

-- What pg_dump keeps.
SELECT pg_extension_config_dump('fairsched.nodes', '');
SELECT pg_extension_config_dump('fairsched.placement_chains', '');
SELECT pg_extension_config_dump('fairsched.placements', '');

REVOKE ALL ON fairsched.nodes, fairsched.placement_chains, fairsched.placements, fairsched.node_status FROM PUBLIC;
REVOKE ALL ON FUNCTION fairsched.placement_changed(), fairsched.node_changed(), fairsched.placement_truncated(),
	fairsched.placement_chain_gone(), fairsched.placement_marks(), fairsched.forget_placement_marks(),
	fairsched.check_node(text), fairsched.unknown_node(text), fairsched.check_lane(text),
	fairsched.set_draining(text, boolean),
	fairsched.place_chain(text, text, text[], int),
	fairsched_set_node(text, jsonb), fairsched_drop_node(text), fairsched_drain_node(text), fairsched_undrain_node(text),
	fairsched_place(text, text[], int), fairsched_place_lane(text, text[], int),
	fairsched_unplace(text), fairsched_unplace_lane(text), fairsched_pin_placement(text, text, timestamptz) FROM PUBLIC;
