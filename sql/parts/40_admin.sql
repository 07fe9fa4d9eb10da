-- Administration.  SQL decides, tables remember; the C functions here only tell
-- the scheduler, in step with the transaction.

CREATE FUNCTION fairsched.freeze_workspace(workspace text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_workspace_freeze';
COMMENT ON FUNCTION fairsched.freeze_workspace(text) IS 'Internal: queues of the workspace stand still until the end of the transaction.';
CREATE FUNCTION fairsched.close_workspace(workspace text, "position" bigint) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_workspace_close';
COMMENT ON FUNCTION fairsched.close_workspace(text, bigint) IS 'Internal: until the end of the transaction jobs behind this position wait; false = too many workspaces are being moved.';
CREATE FUNCTION fairsched.apply_workspace(workspace text, at_once boolean) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_workspace_apply';
COMMENT ON FUNCTION fairsched.apply_workspace(text, boolean) IS 'Internal: the scheduler takes over the workspace''s row at commit, or at once and back at abort.';
CREATE FUNCTION fairsched.forget_workspace(workspace text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_workspace_forget';
COMMENT ON FUNCTION fairsched.forget_workspace(text) IS 'Internal: at commit the workspace has no settings and no jobs.';
CREATE FUNCTION fairsched.workspace_memory(workspace text) RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_workspace_memory';
COMMENT ON FUNCTION fairsched.workspace_memory(text) IS 'Internal: running and arriving jobs of it; NULL = memory does not know it.';
CREATE FUNCTION fairsched.workspace_flows(workspace text) RETURNS int[]
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_workspace_flows';
COMMENT ON FUNCTION fairsched.workspace_flows(text) IS 'Internal: numbers of the flows of the workspace.';
CREATE FUNCTION fairsched.own_changes(active boolean) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_quiet';
COMMENT ON FUNCTION fairsched.own_changes(boolean) IS 'Internal: job table triggers stay quiet while SQL of the extension changes rows.';
CREATE FUNCTION fairsched.log_table(job_table integer) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'fs_log_table';
COMMENT ON FUNCTION fairsched.log_table(integer) IS 'Internal: running jobs were moved into this job table; a rebuild reads all of it until the claim log was rotated.';
CREATE FUNCTION fairsched.max_own_tables() RETURNS int
	LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_max_own_tables_setting';
COMMENT ON FUNCTION fairsched.max_own_tables() IS 'Internal: fairsched.max_own_tables.';
CREATE FUNCTION fairsched.repair_job(job_id bigint) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_repair_job';
COMMENT ON FUNCTION fairsched.repair_job(bigint) IS 'Internal: a running job that nobody holds becomes available.';
CREATE FUNCTION fairsched.recount() RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_recount';
COMMENT ON FUNCTION fairsched.recount() IS 'Internal: counts queue depths now.';

CREATE FUNCTION fairsched.check_name(argument text, name text, hint text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF name IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('%s must not be null', argument),
			HINT = format('Name the %s.', argument);
	END IF;
	IF octet_length(name) NOT BETWEEN 1 AND 128 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s must have 1 to 128 bytes', argument),
			DETAIL = format('It has %s.', octet_length(name)), HINT = hint;
	END IF;
END
$$;
COMMENT ON FUNCTION fairsched.check_name(text, text, text) IS 'Internal: refuses what cannot be a name; hint is for one of a wrong length.';

CREATE FUNCTION fairsched.check_workspace_args(workspace text, tier text, quota_class text, max_running int, max_queue_size bigint) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM fairsched.check_name('workspace', workspace, 'Use a shorter name, or an identifier in its place.');
	IF tier IS NOT NULL AND NOT EXISTS (SELECT 1 FROM fairsched.tiers t WHERE t.tier = check_workspace_args.tier) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('tier "%s" does not exist', left(tier, 64)),
			HINT = 'fairsched.tiers lists the tiers; insert a row to add one.';
	END IF;
	IF quota_class IS NOT NULL AND quota_class NOT IN ('default', 'enterprise') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('quota_class "%s" does not exist', left(quota_class, 64)),
			HINT = 'Quota classes are default and enterprise.';
	END IF;
	IF max_running < -1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'max_running must not be negative',
			HINT = 'Use -1 to go back to the default of the class.';
	END IF;
	IF max_queue_size < -1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'max_queue_size must not be negative',
			HINT = 'Use 0 for no limit, -1 to go back to fairsched.max_queue_size.';
	END IF;
END
$$;
COMMENT ON FUNCTION fairsched.check_workspace_args(text, text, text, int, bigint) IS 'Internal: refuses bad arguments.';

-- A free table number, taken; under a lock so that two sessions do not take one.
CREATE FUNCTION fairsched.take_job_table(workspace text) RETURNS int
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n int;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtext('fairsched'), hashtext('job_tables'));
	SELECT min(g) INTO n FROM generate_series(1, 4095) g
	WHERE NOT EXISTS (SELECT 1 FROM fairsched.job_tables t WHERE t.job_table = g);
	IF n IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'FS004', MESSAGE = 'no job table number is free',
			HINT = 'At most 4095 workspaces can have their own table; numbers of dropped ones are free again when their history is gone.';
	END IF;
	INSERT INTO fairsched.job_tables (job_table, workspace) VALUES (n, workspace);
	PERFORM fairsched.make_job_table(n);
	UPDATE fairsched.job_tables SET relid = format('fairsched.jobs_%s', n)::regclass WHERE job_table = n;
	RETURN n;
END
$$;
COMMENT ON FUNCTION fairsched.take_job_table(text) IS 'Internal: makes a job table for the workspace and returns its number.';

-- Is it known at all: a row, or jobs?
CREATE FUNCTION fairsched.need_workspace(workspace text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM fairsched.check_workspace_args(workspace, NULL, NULL, NULL, NULL);
	IF EXISTS (SELECT 1 FROM fairsched.workspaces w WHERE w.workspace = need_workspace.workspace) THEN
		RETURN;
	END IF;
	IF fairsched.workspace_memory(workspace) IS NULL AND NOT EXISTS
		(SELECT 1 FROM fairsched.jobs_0 j WHERE j.workspace = need_workspace.workspace AND j.position = 0)
	THEN
		RAISE EXCEPTION USING ERRCODE = 'FS002', MESSAGE = format('workspace "%s" does not exist', workspace),
			HINT = 'Create it with fairsched_create_workspace, or enqueue a job for it.';
	END IF;
	PERFORM fairsched.own_changes(true);
	INSERT INTO fairsched.workspaces (workspace) VALUES (need_workspace.workspace) ON CONFLICT DO NOTHING;
	PERFORM fairsched.own_changes(false);
END
$$;
COMMENT ON FUNCTION fairsched.need_workspace(text) IS 'Internal: raises FS002 for a workspace nobody knows; one that only has jobs gets a row.';

CREATE FUNCTION fairsched.has_live_jobs(workspace text, job_table int) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	found_one boolean;
BEGIN
	IF coalesce(fairsched.workspace_memory(workspace), 0) > 0 THEN
		RETURN true;
	END IF;
	EXECUTE format('SELECT EXISTS (SELECT 1 FROM fairsched.jobs_%s WHERE workspace = $1 AND position = 0)
		OR EXISTS (SELECT 1 FROM fairsched.jobs_%s WHERE workspace = $1 AND flow = ANY ($2) AND position > 0)', job_table, job_table)
		INTO found_one USING workspace, fairsched.workspace_flows(workspace);
	RETURN found_one;
END
$$;
COMMENT ON FUNCTION fairsched.has_live_jobs(text, int) IS 'Internal: does the workspace have jobs that are not over?';

CREATE FUNCTION fairsched_create_workspace(
	workspace text, tier text DEFAULT 'starter', quota_class text DEFAULT 'default',
	max_running int DEFAULT NULL, max_queue_size bigint DEFAULT NULL, own_table boolean DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n int := 0;
	own boolean := own_table;
BEGIN
	PERFORM fairsched.check_workspace_args(workspace, tier, quota_class, max_running, max_queue_size);
	IF tier IS NULL OR quota_class IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'tier and quota_class must not be null',
			HINT = 'Leave them out to get starter and default.';
	END IF;
	PERFORM fairsched.own_changes(true);
	BEGIN
		INSERT INTO fairsched.workspaces (workspace, tier, quota_class, max_running, max_queue_size)
		VALUES (workspace, tier, quota_class, nullif(max_running, -1), nullif(max_queue_size, -1));
	EXCEPTION WHEN unique_violation THEN
		RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('workspace "%s" already exists', workspace),
			HINT = 'Change it with fairsched_alter_workspace.';
	END;
	PERFORM fairsched.own_changes(true);
	IF own IS DISTINCT FROM false THEN
		PERFORM fairsched.freeze_workspace(workspace);
		IF fairsched.has_live_jobs(workspace, 0) THEN
			IF own THEN
				RAISE EXCEPTION USING ERRCODE = 'FS005', MESSAGE = format('workspace "%s" has jobs in the shared table', workspace),
					HINT = 'Create it with own_table => false, then move it with fairsched_isolate_workspace.';
			END IF;
			own := false;
		END IF;
	END IF;
	IF own IS NULL THEN
		own := (SELECT count(*) FROM fairsched.job_tables t WHERE t.job_table > 0 AND t.dropped_at IS NULL) < fairsched.max_own_tables();
	END IF;
	IF own THEN
		n := fairsched.take_job_table(workspace);
		UPDATE fairsched.workspaces w SET job_table = n WHERE w.workspace = fairsched_create_workspace.workspace;
	END IF;
	PERFORM fairsched.own_changes(false);
	PERFORM fairsched.apply_workspace(workspace, false);
END
$$;
COMMENT ON FUNCTION fairsched_create_workspace(text, text, text, int, bigint, boolean) IS 'Makes a workspace known with its tier (weight), quota class and limits. max_running: its own ceiling on running jobs; NULL = that of the class. max_queue_size: jobs that may wait; NULL = fairsched.max_queue_size, 0 = no limit. own_table: a job table of its own; NULL = yes while fewer than fairsched.max_own_tables exist. Errors: 42710 it exists, FS005 it has jobs in the shared table, 0A000 with its own table under REPEATABLE READ or SERIALIZABLE, 22004 and 22023 for arguments.';

CREATE FUNCTION fairsched_alter_workspace(
	workspace text, tier text DEFAULT NULL, quota_class text DEFAULT NULL,
	max_running int DEFAULT NULL, max_queue_size bigint DEFAULT NULL, own_table boolean DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	current int;
BEGIN
	PERFORM fairsched.check_workspace_args(workspace, tier, quota_class, max_running, max_queue_size);
	PERFORM fairsched.need_workspace(workspace);
	PERFORM fairsched.own_changes(true);
	UPDATE fairsched.workspaces w SET
		tier = coalesce(fairsched_alter_workspace.tier, w.tier),
		quota_class = coalesce(fairsched_alter_workspace.quota_class, w.quota_class),
		max_running = CASE WHEN fairsched_alter_workspace.max_running IS NULL THEN w.max_running ELSE nullif(fairsched_alter_workspace.max_running, -1) END,
		max_queue_size = CASE WHEN fairsched_alter_workspace.max_queue_size IS NULL THEN w.max_queue_size ELSE nullif(fairsched_alter_workspace.max_queue_size, -1) END
	WHERE w.workspace = fairsched_alter_workspace.workspace
	RETURNING w.job_table INTO current;
	PERFORM fairsched.own_changes(false);
	PERFORM fairsched.apply_workspace(workspace, false);
	IF own_table AND current = 0 THEN
		PERFORM @extschema@.fairsched_isolate_workspace(workspace);
	ELSIF NOT own_table AND current <> 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = 'a workspace cannot go back to the shared table',
			HINT = 'Drop it and create it with own_table => false when it has no jobs.';
	END IF;
END
$$;
COMMENT ON FUNCTION fairsched_alter_workspace(text, text, text, int, bigint, boolean) IS 'Changes a workspace; NULL = unchanged, -1 = back to the default of the class. Takes effect on the existing backlog with the commit. own_table => true is fairsched_isolate_workspace. Errors: FS002 unknown workspace, 22023 for arguments.';

CREATE FUNCTION fairsched_pause_workspace(workspace text, drain boolean DEFAULT false) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM fairsched.need_workspace(workspace);
	PERFORM fairsched.own_changes(true);
	UPDATE fairsched.workspaces w SET paused = true WHERE w.workspace = fairsched_pause_workspace.workspace;
	PERFORM fairsched.own_changes(false);
	PERFORM fairsched.apply_workspace(workspace, true);
	IF drain THEN
		PERFORM fairsched.wait_workspace(workspace);
	END IF;
END
$$;
COMMENT ON FUNCTION fairsched_pause_workspace(text, boolean) IS 'Nothing of the workspace is handed out until fairsched_resume_workspace; running jobs go on. Takes effect at once, and is undone if the transaction rolls back. drain: also wait until its running jobs have ended. Error: FS002 unknown workspace.';

CREATE FUNCTION fairsched_resume_workspace(workspace text) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM fairsched.need_workspace(workspace);
	PERFORM fairsched.own_changes(true);
	UPDATE fairsched.workspaces w SET paused = false WHERE w.workspace = fairsched_resume_workspace.workspace;
	PERFORM fairsched.own_changes(false);
	PERFORM fairsched.apply_workspace(workspace, false);
END
$$;
COMMENT ON FUNCTION fairsched_resume_workspace(text) IS 'Ends fairsched_pause_workspace. Error: FS002 unknown workspace.';

CREATE FUNCTION fairsched.wait_workspace(workspace text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_workspace_wait';
COMMENT ON FUNCTION fairsched.wait_workspace(text) IS 'Internal: waits until no job of the workspace runs.';

-- Settling the copies of jobs that are moved (pg_temp.fairsched_copied: what was copied of which
-- version of which row).  A copy counts when we removed the very row it was made of; it is
-- forgotten then.  A copy whose row has changed goes.  The plan must be one look at each place.
CREATE FUNCTION fairsched.settle_copies(job_table int, step text, behind bigint) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
	SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off AS $$
DECLARE
	settled bigint;
BEGIN
	CASE step
		WHEN 'changed' THEN
			EXECUTE format('WITH changed AS MATERIALIZED (
					SELECT c.ctid AS entry, c.job_id FROM pg_temp.fairsched_copied c WHERE NOT EXISTS (
						SELECT 1 FROM fairsched.jobs_0 j WHERE j.ctid = c.place AND j.xmin = c.version AND j.job_id = c.job_id)),
				gone AS (DELETE FROM fairsched.jobs_%s t USING changed x WHERE t.job_id = x.job_id)
				DELETE FROM pg_temp.fairsched_copied c USING changed x WHERE c.ctid = x.entry', job_table);
		WHEN 'behind' THEN
			-- rows with a unique key wait for the freeze: a session that enqueues
			-- the same key would wait for us while we wait for it
			EXECUTE 'WITH mine AS MATERIALIZED (
					SELECT c.ctid AS entry, j.ctid AS place FROM pg_temp.fairsched_copied c JOIN fairsched.jobs_0 j ON j.ctid = c.place
					WHERE j.xmin = c.version AND j.job_id = c.job_id AND c."position" > $1 AND j.unique_key IS NULL
					FOR UPDATE OF j SKIP LOCKED),
				gone AS (DELETE FROM fairsched.jobs_0 j USING mine m WHERE j.ctid = m.place)
				DELETE FROM pg_temp.fairsched_copied c USING mine m WHERE c.ctid = m.entry' USING behind;
		WHEN 'rest' THEN
			EXECUTE 'WITH gone AS (DELETE FROM fairsched.jobs_0 j USING pg_temp.fairsched_copied c
					WHERE j.ctid = c.place AND j.xmin = c.version AND j.job_id = c.job_id RETURNING c.ctid AS entry)
				DELETE FROM pg_temp.fairsched_copied c USING gone g WHERE c.ctid = g.entry';
	END CASE;
	GET DIAGNOSTICS settled = ROW_COUNT;
	RETURN settled;
END
$$;
COMMENT ON FUNCTION fairsched.settle_copies(int, text, bigint) IS 'Internal: changed = copies of jobs that changed since go; behind = originals behind a position that did not change and that nobody holds go; rest = all originals that did not change go. Returns how many.';

-- Move a workspace's jobs into a table of its own.
-- 1. What waits is copied; nothing is locked, and nobody looks at the copies.
-- 2. The workspace is closed behind the jobs that are served next: originals
--    behind them go.  Who comes to the end of the head begins the freeze.
-- 3. It is frozen, and the rest follows.
-- The commit is the swap.
CREATE FUNCTION fairsched_isolate_workspace(workspace text) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET lock_timeout = '3s' AS $$
DECLARE
	n int;
	head bigint;
	behind bigint;
	columns text;
	moved bigint := 0;
	m bigint;
BEGIN
	PERFORM fairsched.need_workspace(workspace);
	IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
		PERFORM fairsched.freeze_workspace(workspace);	-- which refuses, before there is work done
	END IF;
	SELECT w.job_table INTO n FROM fairsched.workspaces w WHERE w.workspace = fairsched_isolate_workspace.workspace FOR UPDATE;
	IF n <> 0 THEN
		RETURN 0;
	END IF;
	n := fairsched.take_job_table(workspace);
	SELECT string_agg(CASE a.attname WHEN 'job_table' THEN n::text ELSE quote_ident(a.attname) END, ', ' ORDER BY a.attnum)
		INTO columns FROM pg_attribute a
		WHERE a.attrelid = 'fairsched.jobs'::regclass AND a.attnum > 0 AND NOT a.attisdropped;
	PERFORM fairsched.own_changes(true);
	CREATE TEMPORARY TABLE fairsched_copied (job_id bigint, place tid, version xid, rank int, "position" bigint) ON COMMIT DROP;

	EXECUTE format('WITH old AS MATERIALIZED (SELECT j.ctid AS place, j.xmin AS version, j.* FROM fairsched.jobs_0 j
				WHERE j.workspace = $1 AND j.flow = ANY ($2) AND j.position > 0 AND j.state = ''available''),
			put AS (INSERT INTO fairsched.jobs_%s SELECT %s FROM old)
		INSERT INTO pg_temp.fairsched_copied SELECT o.job_id, o.place, o.version, o.rank, o.position FROM old o', n, columns)
		USING workspace, fairsched.workspace_flows(workspace);
	GET DIAGNOSTICS m = ROW_COUNT;
	IF m > 2000 THEN
		-- as many as were served while we copied may be served while we remove
		head := greatest(2000, m / 20, fairsched.settle_copies(n, 'changed', 0));
		EXECUTE 'SELECT max(h."position") FROM (SELECT c."position" FROM pg_temp.fairsched_copied c
			ORDER BY c.rank, c."position" LIMIT $1) h' INTO behind USING head;
		IF fairsched.close_workspace(workspace, coalesce(behind, 0)) THEN
			moved := fairsched.settle_copies(n, 'behind', behind);
		END IF;
	END IF;

	PERFORM fairsched.freeze_workspace(workspace);
	moved := moved + fairsched.settle_copies(n, 'rest', 0);
	EXECUTE format('DELETE FROM fairsched.jobs_%s WHERE job_id IN (SELECT c.job_id FROM pg_temp.fairsched_copied c)', n);
	-- in one statement: a job may get ready at this moment
	EXECUTE format('WITH gone AS (DELETE FROM fairsched.jobs_0 j WHERE j.workspace = $1 AND (j.flow = ANY ($2) AND j.position > 0 OR j.position = 0)
			RETURNING *)
		INSERT INTO fairsched.jobs_%s SELECT %s FROM gone', n, columns) USING workspace, fairsched.workspace_flows(workspace);
	GET DIAGNOSTICS m = ROW_COUNT;
	moved := moved + m;
	DROP TABLE pg_temp.fairsched_copied;
	PERFORM fairsched.log_table(n);
	UPDATE fairsched.job_tables t SET holds_shared = true WHERE t.job_table = n;
	UPDATE fairsched.workspaces w SET job_table = n WHERE w.workspace = fairsched_isolate_workspace.workspace;
	PERFORM fairsched.own_changes(false);
	PERFORM fairsched.apply_workspace(workspace, false);
	RETURN moved;
EXCEPTION WHEN lock_not_available THEN
	RAISE EXCEPTION USING ERRCODE = 'FS009', MESSAGE = format('workspace "%s" is in use by open transactions', workspace),
		DETAIL = 'They have rows of it locked and did not end within 3 seconds.',
		HINT = 'Try again, or end long transactions first (see pg_stat_activity).';
END
$$;
COMMENT ON FUNCTION fairsched_isolate_workspace(text) IS 'Moves a workspace with its jobs from the shared table into one of its own, while it is served; only the last step, up to the commit, holds its claims and new jobs up. Returns how many jobs moved; 0 when it has its own table already. Errors: FS002 unknown workspace, FS009 in use by a transaction that does not end, 0A000 under REPEATABLE READ or SERIALIZABLE.';

CREATE FUNCTION fairsched_drop_workspace(workspace text, force boolean DEFAULT false) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
	n int;
	ids bigint[];
BEGIN
	PERFORM fairsched.need_workspace(workspace);
	PERFORM fairsched.freeze_workspace(workspace);
	SELECT w.job_table INTO n FROM fairsched.workspaces w WHERE w.workspace = fairsched_drop_workspace.workspace FOR UPDATE;
	IF fairsched.has_live_jobs(workspace, n) THEN
		IF force IS NOT TRUE THEN
			RAISE EXCEPTION USING ERRCODE = 'FS005', MESSAGE = format('workspace "%s" has live jobs', workspace),
				HINT = 'Let them finish, or drop it with force => true, which cancels them and removes its history.';
		END IF;
		EXECUTE format('SELECT array_agg(job_id) FROM fairsched.jobs_%s WHERE workspace = $1 AND (position = 0 OR flow = ANY ($2))', n)
			INTO ids USING workspace, fairsched.workspace_flows(workspace);
		PERFORM @extschema@.fairsched_cancel_many(coalesce(ids, '{}'));
	END IF;
	IF force THEN
		DELETE FROM fairsched.job_history h WHERE h.workspace = fairsched_drop_workspace.workspace;
		DELETE FROM fairsched.preemption_history h WHERE h.workspace = fairsched_drop_workspace.workspace;
		DELETE FROM fairsched.fairness_samples f WHERE f.scope = 'workspace' AND f.workspace = fairsched_drop_workspace.workspace;
		UPDATE fairsched.fairness_samples f SET worst_workspace = NULL WHERE f.scope = 'all' AND f.worst_workspace = fairsched_drop_workspace.workspace;
		DELETE FROM fairsched.alerts a WHERE a.workspace = fairsched_drop_workspace.workspace;
	END IF;
	PERFORM fairsched.own_changes(true);
	DELETE FROM fairsched.workspaces w WHERE w.workspace = fairsched_drop_workspace.workspace;
	PERFORM fairsched.own_changes(false);
	PERFORM fairsched.forget_workspace(workspace);
	PERFORM fairsched.forget_limits(workspace);
	DELETE FROM fairsched.placement_chains c WHERE c.chain_kind = 'workspace' AND c.chain = fairsched_drop_workspace.workspace;
	IF n <> 0 THEN
		UPDATE fairsched.job_tables t SET dropped_at = now() WHERE t.job_table = n;
		EXECUTE format('DROP TABLE fairsched.jobs_%s', n);
	END IF;
END
$$;
COMMENT ON FUNCTION fairsched_drop_workspace(text, boolean) IS 'Removes a workspace, and its job table if it has one. Refuses while it has live jobs; force cancels them and removes its history. Errors: FS002 unknown workspace, FS005 live jobs, FS009 in use by a transaction that does not end, 0A000 under REPEATABLE READ or SERIALIZABLE.';

CREATE PROCEDURE fairsched_drain(timeout interval DEFAULT '30 s')
	LANGUAGE c AS 'MODULE_PATHNAME', 'fs_drain';
COMMENT ON PROCEDURE fairsched_drain(interval) IS 'Stops all claims of the database until fairsched_undrain(), also across restarts, and waits until running jobs have ended or the time is over (then with a warning). Error 25001 inside a transaction block.';

CREATE FUNCTION fairsched_undrain() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_undrain';
COMMENT ON FUNCTION fairsched_undrain() IS 'Ends fairsched_drain.';

CREATE FUNCTION fairsched.memory_counts()
	RETURNS TABLE (workspace text, ready bigint, waiting bigint, running bigint)
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_memory_counts';
COMMENT ON FUNCTION fairsched.memory_counts() IS 'Internal: what memory says of every workspace; ready and waiting are NULL until they were counted.';
CREATE FUNCTION fairsched.memory_leases() RETURNS TABLE (job_id bigint, token bigint, soft boolean)
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_memory_leases';
COMMENT ON FUNCTION fairsched.memory_leases() IS 'Internal: the jobs that memory says are running; soft: their rows say available.';

CREATE FUNCTION fairsched_check(repair boolean DEFAULT false)
	RETURNS TABLE ("check" text, workspace text, in_memory bigint, in_rows bigint, ok boolean)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF repair THEN
		PERFORM fairsched.repair_job(j.job_id) FROM fairsched.jobs j
			WHERE j.state = 'running' AND NOT EXISTS (SELECT 1 FROM fairsched.memory_leases() l WHERE l.job_id = j.job_id);
		PERFORM fairsched.drop_leases(ARRAY(SELECT l.job_id FROM fairsched.memory_leases() l
			WHERE NOT EXISTS (SELECT 1 FROM fairsched.jobs j WHERE j.job_id = l.job_id
				AND (j.state = 'running' AND j.token = l.token OR j.state = 'available' AND l.soft))));
		PERFORM fairsched.recount();
	END IF;
	RETURN QUERY
		WITH r AS (
			SELECT j.workspace, count(*) FILTER (WHERE j.state = 'available' AND l.job_id IS NULL) AS ready,
				count(*) FILTER (WHERE j.state IN ('scheduled', 'retryable', 'preempted')) AS waiting,
				count(*) FILTER (WHERE j.state = 'running' OR j.state = 'available' AND l.job_id IS NOT NULL) AS running
			FROM fairsched.jobs j LEFT JOIN fairsched.memory_leases() l ON l.job_id = j.job_id AND l.soft
			GROUP BY j.workspace),
		b AS (
			SELECT coalesce(m.workspace, r.workspace) AS workspace,
				CASE WHEN m.workspace IS NULL THEN 0 ELSE m.ready END AS m_ready,
				CASE WHEN m.workspace IS NULL THEN 0 ELSE m.waiting END AS m_waiting,
				coalesce(m.running, 0) AS m_running,
				coalesce(r.ready, 0) AS r_ready, coalesce(r.waiting, 0) AS r_waiting, coalesce(r.running, 0) AS r_running
			FROM fairsched.memory_counts() m FULL JOIN r ON r.workspace = m.workspace)
		SELECT c.what, b.workspace, c.m, c.r, c.m IS NULL OR c.m = c.r
		FROM b, LATERAL (VALUES ('ready', b.m_ready, b.r_ready), ('waiting', b.m_waiting, b.r_waiting),
			('running', b.m_running, b.r_running)) c(what, m, r)
		ORDER BY b.workspace, c.what;
	RETURN QUERY SELECT * FROM fairsched.check_budgets();
END
$$;
COMMENT ON FUNCTION fairsched_check(boolean) IS 'Compares shared memory with rows: for each workspace the ready, waiting and running jobs, ok when they agree. A job that was claimed with fairsched.durable_claims = off counts as running in both. Reads all live jobs. Exact when nobody works meanwhile; open transactions show as differences. in_memory is NULL while queues were not counted yet. repair: first makes jobs available that rows call running and nobody holds, forgets leases without a running row, and counts queues anew.';
CREATE FUNCTION fairsched.drop_leases(job_ids bigint[]) RETURNS int
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_drop_leases';
COMMENT ON FUNCTION fairsched.drop_leases(bigint[]) IS 'Internal: forgets leases that have no running row.';
