-- Producers.

CREATE FUNCTION fairsched_enqueue(
	workspace text, payload jsonb DEFAULT '{}', kind text DEFAULT 'default', priority text DEFAULT 'P2',
	run_at timestamptz DEFAULT now(), lane text DEFAULT 'default', cost int DEFAULT NULL,
	unique_key text DEFAULT NULL, max_attempts int DEFAULT 25, capabilities text[] DEFAULT '{}',
	resources jsonb DEFAULT '{}', budgets text[] DEFAULT '{}', run_id text DEFAULT NULL,
	max_runtime interval DEFAULT NULL, min_deliberation numeric DEFAULT NULL,
	OUT job_id bigint, OUT is_duplicate boolean, OUT queue_position bigint, OUT estimated_wait interval)
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_enqueue';
COMMENT ON FUNCTION fairsched_enqueue(text, jsonb, text, text, timestamptz, text, int, text, int, text[], jsonb, text[], text, interval, numeric) IS
'Puts a job into the queue of a workspace; it can be claimed when the transaction commits. priority: P0 (most urgent) to P3. cost: cost units, by default that of its kind. unique_key: a live job of the workspace with the same key is returned instead, with is_duplicate. max_attempts: claims after which a failure is final. capabilities: what a worker must have to get it. max_runtime: its lease is not extended beyond. min_deliberation: 0 to 1; the job is held (waiting_for_review) until fairsched_score_deliberation gives it a score that passes with at least this, or fairsched_release_review lets it go; run_at counts from then on. queue_position: ready jobs of the workspace before it, NULL when it is not ready or not known yet; estimated_wait: by the service rate of the last minute. Errors: FS003 the queue is full, FS004 memory is full, 22004 and 22023 for arguments.';

CREATE FUNCTION fairsched_enqueue_many(
	workspace text, payloads jsonb[], kind text DEFAULT 'default', priority text DEFAULT 'P2',
	run_at timestamptz DEFAULT now(), lane text DEFAULT 'default', cost int DEFAULT NULL,
	unique_keys text[] DEFAULT NULL, max_attempts int DEFAULT 25, capabilities text[] DEFAULT '{}',
	resources jsonb DEFAULT '{}', budgets text[] DEFAULT '{}', run_id text DEFAULT NULL,
	max_runtime interval DEFAULT NULL, min_deliberation numeric DEFAULT NULL) RETURNS bigint[]
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_enqueue_many';
COMMENT ON FUNCTION fairsched_enqueue_many(text, jsonb[], text, text, timestamptz, text, int, text[], int, text[], jsonb, text[], text, interval, numeric) IS
'Puts a job for each payload, as fairsched_enqueue does; all or none. unique_keys: one for each payload, NULL for none. Returns the job ids in the order of the payloads; where a key is taken, the id of the job that has it.';

CREATE VIEW fairsched.inbox AS
	SELECT NULL::text AS workspace, NULL::jsonb AS payload, NULL::text AS kind, NULL::text AS priority,
		NULL::timestamptz AS run_at, NULL::text AS lane, NULL::int AS cost, NULL::text AS unique_key,
		NULL::int AS max_attempts, NULL::text[] AS capabilities, NULL::jsonb AS resources,
		NULL::text[] AS budgets, NULL::text AS run_id, NULL::interval AS max_runtime,
		NULL::bigint AS job_id, NULL::numeric AS min_deliberation
	WHERE false;
CREATE FUNCTION fairsched.inbox_insert() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'fs_inbox_insert';
COMMENT ON FUNCTION fairsched.inbox_insert() IS 'Row trigger of fairsched.inbox: checks a row, gives it its job_id and collects it.';
REVOKE ALL ON FUNCTION fairsched.inbox_insert() FROM PUBLIC;
CREATE TRIGGER enqueue INSTEAD OF INSERT ON fairsched.inbox
	FOR EACH ROW EXECUTE FUNCTION fairsched.inbox_insert();
CREATE FUNCTION fairsched.inbox_flush() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'fs_inbox_flush';
COMMENT ON FUNCTION fairsched.inbox_flush() IS 'Statement trigger of fairsched.inbox: writes the rows that its row trigger collected.';
REVOKE ALL ON FUNCTION fairsched.inbox_flush() FROM PUBLIC;
CREATE TRIGGER flush AFTER INSERT ON fairsched.inbox
	FOR EACH STATEMENT EXECUTE FUNCTION fairsched.inbox_flush();
COMMENT ON VIEW fairsched.inbox IS 'INSERT or COPY jobs of many workspaces into it; each row is enqueued as fairsched_enqueue does, NULL = default. Always empty. Rows are written in batches, all of them before the statement ends; what runs in an EXCEPTION block that the statement itself calls does not find its jobs yet. Where session_replication_role is replica, as in the apply worker of logical replication, triggers of views do not fire and rows are dropped: call fairsched_enqueue there.';
COMMENT ON COLUMN fairsched.inbox.workspace IS 'Tenant; required.';
COMMENT ON COLUMN fairsched.inbox.payload IS 'What the worker gets; default {}.';
COMMENT ON COLUMN fairsched.inbox.kind IS 'Kind of work; default ''default''.';
COMMENT ON COLUMN fairsched.inbox.priority IS 'P0 to P3; default P2.';
COMMENT ON COLUMN fairsched.inbox.run_at IS 'Not before this time; default now.';
COMMENT ON COLUMN fairsched.inbox.lane IS 'Lane; default ''default''.';
COMMENT ON COLUMN fairsched.inbox.cost IS 'Cost units; default that of the kind.';
COMMENT ON COLUMN fairsched.inbox.unique_key IS 'At most one live job of the workspace has it.';
COMMENT ON COLUMN fairsched.inbox.max_attempts IS 'Claims after which a failure is final; default 25.';
COMMENT ON COLUMN fairsched.inbox.capabilities IS 'What a worker must have to get it.';
COMMENT ON COLUMN fairsched.inbox.resources IS 'Resources it declares.';
COMMENT ON COLUMN fairsched.inbox.budgets IS 'Budgets it is charged to.';
COMMENT ON COLUMN fairsched.inbox.run_id IS 'Run it is part of.';
COMMENT ON COLUMN fairsched.inbox.max_runtime IS 'Longest time it may run.';
COMMENT ON COLUMN fairsched.inbox.job_id IS 'For RETURNING: the id of the job, or of the earlier one with its unique_key.';
COMMENT ON COLUMN fairsched.inbox.min_deliberation IS 'Least overall score of its reasoning, 0 to 1, until which it is held; default none.';

CREATE FUNCTION fairsched_cancel(job_id bigint) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_cancel';
COMMENT ON FUNCTION fairsched_cancel(bigint) IS 'Cancels a waiting or running job; it goes to fairsched.job_history as cancelled. A running job''s token is stale from then on, and its worker is told with the directive cancel. False: there is no such live job.';

CREATE FUNCTION fairsched_cancel_many(job_ids bigint[]) RETURNS bigint[]
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_cancel_many';
COMMENT ON FUNCTION fairsched_cancel_many(bigint[]) IS 'Cancels jobs as fairsched_cancel does; returns the ids that were cancelled.';

CREATE FUNCTION fairsched_cancel_run(run_id text) RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_cancel_run';
COMMENT ON FUNCTION fairsched_cancel_run(text) IS 'Cancels all live jobs of a run; returns how many.';

CREATE FUNCTION fairsched_retry(job_id bigint) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_retry';
COMMENT ON FUNCTION fairsched_retry(bigint) IS 'Makes a discarded job available again, under its id, with all its attempts; its errors stay, and it needs no new review. Errors: FS006 unknown job, FS005 it is not discarded, its workspace was dropped, or another live job has its unique key.';

CREATE FUNCTION fairsched_reschedule(job_id bigint, run_at timestamptz) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_reschedule';
COMMENT ON FUNCTION fairsched_reschedule(bigint, timestamptz) IS 'Changes when a waiting job may run; a time that has passed means now. A job that waits for a review goes on waiting for it. Errors: FS006 unknown job, FS005 it is running.';

CREATE FUNCTION fairsched_assign_priority(job_id bigint, priority text, reason text DEFAULT NULL, overridable boolean DEFAULT true) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_assign_priority';
COMMENT ON FUNCTION fairsched_assign_priority(bigint, text, text, boolean) IS 'Changes the class of a waiting or running job and keeps reason (at most 8192 bytes) and time in fairsched.jobs.priority_note. A waiting job keeps its age. Errors: FS006 unknown job, FS005 an earlier assignment was not overridable.';

CREATE FUNCTION fairsched.job_lease(job_id bigint, token bigint, OUT claimed_at timestamptz, OUT worker text,
	OUT lease_expires_at timestamptz, OUT soft_attempt int)
	LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED COST 10 AS 'MODULE_PATHNAME', 'fs_job_lease';
COMMENT ON FUNCTION fairsched.job_lease(bigint, bigint) IS 'Internal: what memory knows of a claim; NULLs when it knows nothing of it. soft_attempt: the attempt, of a claim that its row, which is available and has another token, does not tell of (fairsched.durable_claims = off).';
REVOKE ALL ON FUNCTION fairsched.job_lease(bigint, bigint) FROM PUBLIC;

CREATE FUNCTION fairsched_job_status(
	job_id bigint, OUT workspace text, OUT lane text, OUT kind text, OUT state text, OUT priority text,
	OUT attempt int, OUT max_attempts int, OUT result jsonb, OUT error text,
	OUT created_at timestamptz, OUT run_at timestamptz, OUT claimed_at timestamptz,
	OUT finished_at timestamptz, OUT worker text, OUT checkpoint jsonb, OUT run_id text,
	OUT lease_expires_at timestamptz, OUT held_reason text)
	RETURNS SETOF record
	LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	birth int;
	n int;
BEGIN
	IF job_id IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'job_id must not be null',
			HINT = 'Give the id that fairsched_enqueue returned.';
	END IF;
	birth := (job_id >> 41)::int;
	FOR n IN
		SELECT t.job_table FROM fairsched.job_tables t
		WHERE t.dropped_at IS NULL AND (t.job_table = birth OR (birth = 0 AND t.holds_shared))
		ORDER BY t.job_table <> birth
	LOOP
		RETURN QUERY EXECUTE format(
			'SELECT j.workspace, j.lane, j.kind, '
			'CASE WHEN j.state OPERATOR(pg_catalog.=) ''available'' AND l.soft_attempt IS NOT NULL THEN ''running'' ELSE j.state END, '
			'j.priority, CASE j.state WHEN ''available'' THEN coalesce(l.soft_attempt, j.attempt) ELSE j.attempt END, '
			'j.max_attempts, NULL::jsonb, '
			'j.errors OPERATOR(pg_catalog.->) -1 OPERATOR(pg_catalog.->>) ''error'', j.created_at, '
			'coalesce(j.review_run_at, j.run_at), '
			'l.claimed_at, NULL::timestamptz, l.worker, j.checkpoint, j.run_id, l.lease_expires_at, '
			'CASE WHEN j.review_run_at IS NOT NULL THEN ''waiting_for_review'' END '
			'FROM fairsched.jobs_%s j LEFT JOIN LATERAL fairsched.job_lease(j.job_id, j.token) l '
			'ON j.state OPERATOR(pg_catalog.=) ''running'' OR (j.state OPERATOR(pg_catalog.=) ''available'' AND l.soft_attempt IS NOT NULL) '
			'WHERE j.job_id OPERATOR(pg_catalog.=) $1', n) USING job_id;
		IF FOUND THEN
			RETURN;
		END IF;
	END LOOP;
	RETURN QUERY
		SELECT h.workspace, h.lane, h.kind, h.state, h.priority, h.attempt, h.max_attempts, h.result,
			h.errors -> -1 ->> 'error', h.created_at, h.run_at, h.claimed_at, h.finished_at, h.worker,
			h.checkpoint, h.run_id, NULL::timestamptz, NULL::text
		FROM fairsched.job_history h WHERE h.job_id = fairsched_job_status.job_id LIMIT 1;
END
$$;
COMMENT ON FUNCTION fairsched_job_status(bigint) IS 'What is known of a job, one row: state (available, scheduled, running, retryable, preempted, completed, discarded, cancelled), attempt, result, last error, times. worker and claimed_at are those of the last claim of a finished job, and of the present one of a running job, as is lease_expires_at; they are NULL for other states, and for a running job where memory is not built (a standby) or it ends just now. held_reason: waiting_for_review for a job that is held until a score passes (min_deliberation of fairsched_enqueue); its state is scheduled, and run_at when it may run after that. NULL = it is not held. No row: it never was, or is not kept any more (completed jobs are kept for fairsched.completed_retention). One index look-up for each table it can be in. Where it stands in its queue is told once, by fairsched_enqueue (queue_position): counters tell how many jobs are before the last one of a priority, not before one in the middle.';

REVOKE ALL ON FUNCTION fairsched_enqueue(text, jsonb, text, text, timestamptz, text, int, text, int, text[], jsonb, text[], text, interval, numeric),
	fairsched_enqueue_many(text, jsonb[], text, text, timestamptz, text, int, text[], int, text[], jsonb, text[], text, interval, numeric),
	fairsched_cancel(bigint), fairsched_cancel_many(bigint[]), fairsched_cancel_run(text), fairsched_retry(bigint),
	fairsched_reschedule(bigint, timestamptz), fairsched_assign_priority(bigint, text, text, boolean),
	fairsched_job_status(bigint) FROM PUBLIC;
