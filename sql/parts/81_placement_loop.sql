-- The loop that keeps placements good: scorers, what it knows of each chain, what it did.

-- ---------- scorers ----------

CREATE TABLE fairsched.placement_scorer (
	score text COLLATE "C" NOT NULL,
	best_alternative text COLLATE "C" NOT NULL,
	installed_by text COLLATE "C" NOT NULL,
	installed_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX placement_scorer_one_row ON fairsched.placement_scorer ((true));
COMMENT ON TABLE fairsched.placement_scorer IS 'The pair of functions that score placements (fairsched_set_placement_scorer); empty = the built-in scorer.';
COMMENT ON COLUMN fairsched.placement_scorer.score IS 'Function score(chain, node), with schema and argument types.';
COMMENT ON COLUMN fairsched.placement_scorer.best_alternative IS 'Function best_alternative(chain, exclude), likewise.';
COMMENT ON COLUMN fairsched.placement_scorer.installed_by IS 'Role that installed the pair.';
COMMENT ON COLUMN fairsched.placement_scorer.installed_at IS 'When.';
SELECT pg_extension_config_dump('fairsched.placement_scorer', '');

CREATE FUNCTION fairsched_set_placement_scorer(score regprocedure, best_alternative regprocedure,
	OUT previous_score regprocedure, OUT previous_best_alternative regprocedure) RETURNS record
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_set_placement_scorer';
COMMENT ON FUNCTION fairsched_set_placement_scorer(regprocedure, regprocedure) IS 'Installs, for this database, the functions that say how good a node is for a chain: score(chain text, node text) RETURNS real, 0 to 1, or NULL for no opinion; and best_alternative(chain text, exclude text[]) RETURNS TABLE (node text, score real), the best node that is not among those excluded, or no row. A chain is named workspace:NAME or lane:NAME. NULL for both: the built-in scorer. Both are replaced in one, from the commit on, and all placements are scored anew. Returns the pair of before; NULL = built-in, or it does not exist any more. The caller must own both functions and may execute them; they run as their owner, read-only, in a security-restricted context with search_path pg_catalog, within fairsched.scorer_timeout. What raises, takes longer or answers outside of 0 to 1 is no opinion, counted and alerted. Errors: 42883 no such function, 42P13 it has other arguments or results or is temporary, 42501 not the owner or no EXECUTE, 22004 one is NULL and the other is not.';

CREATE FUNCTION fairsched_builtin_score(chain text, node text) RETURNS real
	LANGUAGE c STABLE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_builtin_score';
COMMENT ON FUNCTION fairsched_builtin_score(text, text) IS 'What the built-in scorer says of a node for a chain (workspace:NAME or lane:NAME): 0 without a living worker, else 0.55 * health + 0.15 * liveness + 0.20 * free slots / slots + 0.10 * dwell. health: 1 - 2 * (expired leases + failed jobs / 2) / (leases that ended + 4), at least 0, of about the last 10 minutes. liveness: 1, or 0.5 when no worker of it called for half of fairsched.worker_timeout. Free slots: 0.5 where none are declared. dwell: 1 - exp(-time the node holds the chain / 10 min). For scorers that build on it. NULL: memory is not built, as on a standby. Error: 22004.';

CREATE FUNCTION fairsched_builtin_best_alternative(chain text, exclude text[] DEFAULT '{}',
	OUT node text, OUT score real) RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL UNSAFE COST 1000 ROWS 1 AS 'MODULE_PATHNAME', 'fs_builtin_best_alternative';
COMMENT ON FUNCTION fairsched_builtin_best_alternative(text, text[]) IS 'The node with the highest built-in score (fairsched_builtin_score, without dwell) that has a living worker, is not draining and not excluded; of equals the first by name. No row: there is none.';

CREATE FUNCTION fairsched_rescore_placements(workspace text DEFAULT NULL, node text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF workspace IS NOT NULL THEN
		UPDATE fairsched.placement_chains c SET desired = c.desired
			WHERE c.chain_kind = 'workspace' AND c.chain = fairsched_rescore_placements.workspace;
	END IF;
	IF node IS NOT NULL OR workspace IS NULL THEN
		UPDATE fairsched.nodes n SET labels = n.labels
			WHERE fairsched_rescore_placements.node IS NULL OR n.node = fairsched_rescore_placements.node;
	END IF;
END
$$;
COMMENT ON FUNCTION fairsched_rescore_placements(text, text) IS 'Says that what a scorer looks at has changed: the placement of this workspace, and those that this node holds, are scored anew once this is committed; with neither, all are. The loop itself scores only what it knows to have changed. For triggers on tables that a scorer of your own reads. What is not placed, or not known, is passed over.';

-- ---------- what the loop knows ----------

CREATE TABLE fairsched.placement_watch (
	chain_kind text COLLATE "C" NOT NULL,
	chain text COLLATE "C" NOT NULL,
	due timestamptz,
	verdict text COLLATE "C",
	detail text,
	evaluated_at timestamptz,
	PRIMARY KEY (chain_kind, chain)
);
CREATE INDEX placement_watch_due ON fairsched.placement_watch (due, chain_kind, chain) WHERE due IS NOT NULL;
CREATE INDEX placement_watch_verdict ON fairsched.placement_watch (verdict)
	WHERE verdict IN ('max_moves', 'gap', 'no_alternative', 'no_opinion', 'waiting_for_node');
COMMENT ON TABLE fairsched.placement_watch IS 'What the loop concluded of each placed chain, and when it looks again. Read fairsched.placement_status.';
COMMENT ON COLUMN fairsched.placement_watch.chain_kind IS 'workspace or lane.';
COMMENT ON COLUMN fairsched.placement_watch.chain IS 'Its name.';
COMMENT ON COLUMN fairsched.placement_watch.due IS 'When it is looked at again; NULL = when something about it changes.';
COMMENT ON COLUMN fairsched.placement_watch.verdict IS 'Why it does not move.';
COMMENT ON COLUMN fairsched.placement_watch.detail IS 'The same with figures.';
COMMENT ON COLUMN fairsched.placement_watch.evaluated_at IS 'When that was concluded.';

CREATE TABLE fairsched.placement_scores (
	chain_kind text COLLATE "C" NOT NULL,
	chain text COLLATE "C" NOT NULL,
	node text COLLATE "C" NOT NULL,
	score real,
	mean real,
	trend text COLLATE "C" NOT NULL DEFAULT 'stable' CHECK (trend IN ('stable', 'degrading', 'improving')),
	samples real[] NOT NULL DEFAULT '{}' CHECK (cardinality(samples) <= 64),
	scored_at timestamptz NOT NULL,
	PRIMARY KEY (chain_kind, chain, node)
);
COMMENT ON TABLE fairsched.placement_scores IS 'The last scores of each holder, as long as it holds the chain.';
COMMENT ON COLUMN fairsched.placement_scores.chain_kind IS 'workspace or lane.';
COMMENT ON COLUMN fairsched.placement_scores.chain IS 'Its name.';
COMMENT ON COLUMN fairsched.placement_scores.node IS 'Node that was scored.';
COMMENT ON COLUMN fairsched.placement_scores.score IS 'The last answer, 0 to 1; NULL = no opinion.';
COMMENT ON COLUMN fairsched.placement_scores.mean IS 'Mean of samples; NULL = there are none.';
COMMENT ON COLUMN fairsched.placement_scores.trend IS 'Of the last 8 samples, the mean of the newer half against that of the older: degrading or improving when it differs by more than 0.05, else stable.';
COMMENT ON COLUMN fairsched.placement_scores.samples IS 'The last 64 scores, oldest first.';
COMMENT ON COLUMN fairsched.placement_scores.scored_at IS 'When it was scored last.';

CREATE TABLE fairsched.placement_events (
	event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	chain_kind text COLLATE "C" NOT NULL,
	chain text COLLATE "C" NOT NULL,
	from_node text COLLATE "C",
	to_node text COLLATE "C",
	from_score real,
	to_score real,
	scores jsonb NOT NULL DEFAULT '{}',
	reason text COLLATE "C" NOT NULL CHECK (reason IN
		('score', 'node_dead', 'node_draining', 'not_a_candidate', 'surplus', 'short')),
	state text COLLATE "C" NOT NULL CHECK (state IN ('evicting', 'refilling', 'done', 'ended')),
	started_at timestamptz NOT NULL,
	finished_at timestamptz,
	took interval,
	detail text,
	asked bigint[] NOT NULL DEFAULT '{}'
);
CREATE INDEX placement_events_open ON fairsched.placement_events (chain_kind, chain)
	WHERE state IN ('evicting', 'refilling');
CREATE INDEX placement_events_chain ON fairsched.placement_events (chain_kind, chain, event_id);
CREATE INDEX placement_events_started ON fairsched.placement_events (started_at);
COMMENT ON TABLE fairsched.placement_events IS 'Every move that the loop made, and why. Finished ones are kept for fairsched.dead_retention.';
COMMENT ON COLUMN fairsched.placement_events.event_id IS 'Number of the move.';
COMMENT ON COLUMN fairsched.placement_events.chain_kind IS 'workspace or lane.';
COMMENT ON COLUMN fairsched.placement_events.chain IS 'Its name.';
COMMENT ON COLUMN fairsched.placement_events.from_node IS 'Node it left; NULL = it was lacking one.';
COMMENT ON COLUMN fairsched.placement_events.to_node IS 'Node it went to; NULL = none yet, or none was needed (surplus).';
COMMENT ON COLUMN fairsched.placement_events.from_score IS 'Score of from_node that decided, asked for again right before the move; NULL = no score did.';
COMMENT ON COLUMN fairsched.placement_events.to_score IS 'Score of to_node when it was chosen; NULL = no opinion.';
COMMENT ON COLUMN fairsched.placement_events.scores IS 'Scores of the holders, and of the alternative, when it was decided: an object by node.';
COMMENT ON COLUMN fairsched.placement_events.reason IS 'score: another node was clearly better; node_dead: no living worker; node_draining: fairsched_drain_node; not_a_candidate: not one of the nodes it may be placed on; surplus: more nodes held it than desired; short: fewer did.';
COMMENT ON COLUMN fairsched.placement_events.state IS 'evicting: from_node gets no new jobs of it, those that run are waited for; refilling: that is over, and a node is looked for; done; ended: it was placed anew or unplaced by hand meanwhile.';
COMMENT ON COLUMN fairsched.placement_events.started_at IS 'When it was decided.';
COMMENT ON COLUMN fairsched.placement_events.finished_at IS 'When it was done, or ended.';
COMMENT ON COLUMN fairsched.placement_events.took IS 'Time between these.';
COMMENT ON COLUMN fairsched.placement_events.detail IS 'The decision in figures.';
COMMENT ON COLUMN fairsched.placement_events.asked IS 'Jobs that were asked to yield at from_node (fairsched.placement_eviction = yield); they are resumed where it went.';
COMMENT ON SEQUENCE fairsched.placement_events_event_id_seq IS 'Numbers of moves.';
SELECT pg_extension_config_dump('fairsched.placement_events', '');
SELECT pg_extension_config_dump('fairsched.placement_events_event_id_seq', '');

CREATE FUNCTION fairsched_evaluate_placement() RETURNS int
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_evaluate_placement';
COMMENT ON FUNCTION fairsched_evaluate_placement() IS 'Does now one round of what the scheduler does every fairsched.placement_interval, and at once where holders, nodes or labels changed: looks at placements that are due, and moves those that should. An eviction and the refill after it are two rounds. Returns how many changes it made; 0 also while the scheduler is at it.';

-- ---------- for people ----------

CREATE FUNCTION fairsched.placement_counters_internal(OUT scorer_calls bigint, OUT scorer_failures bigint) RETURNS record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'fs_view_placement_counters';
COMMENT ON FUNCTION fairsched.placement_counters_internal() IS 'Internal: how often scorers were asked since memory was built. Needs SELECT on fairsched.placement_scorer_status.';

CREATE VIEW fairsched.placement_scorer_status AS
SELECT coalesce(s.score, 'built-in') AS score, coalesce(s.best_alternative, 'built-in') AS best_alternative,
	c.scorer_calls, c.scorer_failures
FROM fairsched.placement_counters_internal() c LEFT JOIN fairsched.placement_scorer s ON true;
COMMENT ON VIEW fairsched.placement_scorer_status IS 'The scorer of placements in force, and how often it was asked; one row.';
COMMENT ON COLUMN fairsched.placement_scorer_status.score IS 'Function score(chain, node), or built-in.';
COMMENT ON COLUMN fairsched.placement_scorer_status.best_alternative IS 'Function best_alternative(chain, exclude), or built-in.';
COMMENT ON COLUMN fairsched.placement_scorer_status.scorer_calls IS 'Questions to either function, or to the built-in scorer, since memory was built. A fleet where nothing changes asks none.';
COMMENT ON COLUMN fairsched.placement_scorer_status.scorer_failures IS 'Of these, answered by an error, too late, or with nonsense.';

CREATE VIEW fairsched.placement_status AS
SELECT c.chain_kind, c.chain, c.desired, coalesce(h.holding, 0) AS holding, coalesce(h.holders, '[]'::jsonb) AS holders,
	c.candidates, c.last_move,
	CASE WHEN c.last_move + current_setting('fairsched.placement_cooldown', true)::interval > now()
		THEN c.last_move + current_setting('fairsched.placement_cooldown', true)::interval END AS cooldown_until,
	w.verdict AS reason, w.detail, w.evaluated_at, w.due AS next_look
FROM fairsched.placement_chains c
	LEFT JOIN fairsched.placement_watch w ON w.chain_kind = c.chain_kind AND w.chain = c.chain
	LEFT JOIN LATERAL (SELECT count(*) FILTER (WHERE p.state = 'holding')::integer AS holding,
			jsonb_agg(jsonb_build_object('node', p.node, 'state', p.state, 'since', p.since, 'pinned_until', p.pinned_until,
				'score', s.score, 'mean', s.mean, 'trend', s.trend, 'samples', cardinality(s.samples),
				'scored_at', s.scored_at) ORDER BY p.node) AS holders
		FROM fairsched.placements p LEFT JOIN fairsched.placement_scores s
			ON s.chain_kind = p.chain_kind AND s.chain = p.chain AND s.node = p.node
		WHERE p.chain_kind = c.chain_kind AND p.chain = c.chain) h ON true;
COMMENT ON VIEW fairsched.placement_status IS 'Every workspace and lane that is placed: where, how good that is, and why it does not move.';
COMMENT ON COLUMN fairsched.placement_status.chain_kind IS 'workspace or lane.';
COMMENT ON COLUMN fairsched.placement_status.chain IS 'Its name.';
COMMENT ON COLUMN fairsched.placement_status.desired IS 'How many nodes should hold it.';
COMMENT ON COLUMN fairsched.placement_status.holding IS 'How many do, living or not; those it is being evicted from are not counted.';
COMMENT ON COLUMN fairsched.placement_status.holders IS 'The nodes: an array of objects with node, state (holding, evicting), since, pinned_until, score (the last one, null = no opinion or not asked), mean and number of the samples kept, trend (stable, degrading, improving), scored_at.';
COMMENT ON COLUMN fairsched.placement_status.candidates IS 'Nodes it may be moved to; empty = any.';
COMMENT ON COLUMN fairsched.placement_status.last_move IS 'When it was moved last by itself; NULL = never.';
COMMENT ON COLUMN fairsched.placement_status.cooldown_until IS 'It is not moved for a better score before; NULL = it may be.';
COMMENT ON COLUMN fairsched.placement_status.reason IS 'Why it does not move: good (no holder below fairsched.placement_score_floor), no_opinion (of the scorer), pinned, cooldown, max_moves, no_alternative (no other node), gap (the best alternative is not better by fairsched.placement_hysteresis_gap), cost (not worth the move), recovered (the score of the moment was good again), evicting (it is moving), waiting_for_node (fewer living holders than desired, and no node to place it on), anywhere (desired is 0). NULL = not looked at yet.';
COMMENT ON COLUMN fairsched.placement_status.detail IS 'The same with figures.';
COMMENT ON COLUMN fairsched.placement_status.evaluated_at IS 'When the loop looked at it last.';
COMMENT ON COLUMN fairsched.placement_status.next_look IS 'When it looks again by itself; NULL = when something about it changes.';

REVOKE ALL ON fairsched.placement_scorer, fairsched.placement_watch, fairsched.placement_scores,
	fairsched.placement_events, fairsched.placement_scorer_status, fairsched.placement_status FROM PUBLIC;
REVOKE ALL ON FUNCTION fairsched_set_placement_scorer(regprocedure, regprocedure), fairsched_builtin_score(text, text),
	fairsched_builtin_best_alternative(text, text[]), fairsched_rescore_placements(text, text),
	fairsched_evaluate_placement() FROM PUBLIC;
