-- Views for dashboards: shared memory as rows, O(workspaces), never a scan of the jobs.
--
-- PostgreSQL checks EXECUTE on a function in a view against the caller, not the
-- view's owner.  So the functions behind the views may be executed by PUBLIC,
-- and ask inside for SELECT on the view they belong to (views.c): GRANT SELECT
-- ON a view is all that its readers need, and nobody gets at more without it.

CREATE FUNCTION fairsched.scheduler_state() RETURNS text
	LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'fs_view_scheduler_state';
COMMENT ON FUNCTION fairsched.scheduler_state() IS 'Internal: what shared memory knows of this database: empty or building (nothing), ready (what waits and runs), counted (also how much). Needs SELECT on fairsched.workspace_status, fairsched.worker_status or fairsched.fairness.';

-- workspace_status

CREATE FUNCTION fairsched.workspace_status_internal(
	OUT workspace text, OUT tier text, OUT quota_class text, OUT weight double precision,
	OUT quantum integer, OUT deficit bigint, OUT ready bigint, OUT scheduled bigint,
	OUT running integer, OUT max_running integer, OUT paused boolean, OUT parked_reason text,
	OUT parked_until timestamptz, OUT own_table boolean, OUT parked_since timestamptz,
	OUT max_queue_size bigint, OUT served_jobs bigint, OUT served_cost bigint)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 1000
	AS 'MODULE_PATHNAME', 'fs_view_workspace_status';
COMMENT ON FUNCTION fairsched.workspace_status_internal() IS 'Internal: the workspaces that shared memory knows. Needs SELECT on fairsched.workspace_status.';

CREATE FUNCTION fairsched.oldest_ready_age(workspace text) RETURNS interval
	LANGUAGE c STABLE STRICT PARALLEL UNSAFE COST 10
	AS 'MODULE_PATHNAME', 'fs_view_oldest_ready_age';
COMMENT ON FUNCTION fairsched.oldest_ready_age(text) IS 'Internal: how long the oldest ready job of a workspace has been ready, whether anything holds it up or not, by a look at one row, or into the ready index, for each priority and flow with ready jobs; asked more often than 64 times in a statement it looks at all workspaces, and keeps the answers for the statement (a second at most); NULL = nothing is ready, or not known. Needs SELECT on fairsched.workspace_status or fairsched.fairness.';

CREATE VIEW fairsched.workspace_status AS
SELECT coalesce(m.workspace, w.workspace) COLLATE "C" AS workspace,
	coalesce(m.tier, w.tier) AS tier,
	coalesce(m.quota_class, w.quota_class) AS quota_class,
	coalesce(m.weight, t.weight) AS weight,
	coalesce(m.quantum, t.quantum) AS quantum,
	coalesce(m.deficit, z.zero) AS deficit,
	CASE WHEN m.workspace IS NULL THEN z.zero ELSE m.ready END AS ready,
	CASE WHEN m.workspace IS NULL THEN z.zero_counted ELSE m.scheduled END AS scheduled,
	coalesce(m.running, z.zero::integer) AS running,
	coalesce(m.max_running, w.max_running,
		current_setting('fairsched.' || w.quota_class || '_quota', true)::integer) AS max_running,
	coalesce(m.paused, w.paused) AS paused,
	CASE WHEN m.workspace IS NOT NULL THEN m.parked_reason
		WHEN (SELECT c.drained FROM fairsched.control c) THEN 'drained'
		WHEN w.paused THEN 'paused' END AS parked_reason,
	m.parked_until,
	coalesce(m.own_table, w.job_table <> 0) AS own_table,
	CASE WHEN m.ready > 0 OR m.ready IS NULL THEN
		fairsched.oldest_ready_age(m.workspace) END AS oldest_ready_age,
	m.parked_since,
	coalesce(m.max_queue_size, w.max_queue_size,
		current_setting('fairsched.max_queue_size', true)::bigint) AS max_queue_size,
	coalesce(m.served_jobs, z.zero) AS served_jobs,
	coalesce(m.served_cost, z.zero) AS served_cost
FROM fairsched.workspace_status_internal() m
	FULL JOIN fairsched.workspaces w ON w.workspace = m.workspace
	LEFT JOIN fairsched.tiers t ON t.tier = w.tier
	-- what holds for a workspace that memory does not know
	CROSS JOIN (SELECT CASE WHEN s IN ('ready', 'counted') THEN 0::bigint END AS zero,
			CASE WHEN s = 'counted' THEN 0::bigint END AS zero_counted
		FROM fairsched.scheduler_state() s) z;
COMMENT ON VIEW fairsched.workspace_status IS 'Every workspace that has jobs or settings. Counts are exact and come from memory. After a restart ready and scheduled are NULL until the jobs have been counted in the background. NULL counts of a workspace that has settings only: memory is not built, as on a standby.';
COMMENT ON COLUMN fairsched.workspace_status.workspace IS 'Name.';
COMMENT ON COLUMN fairsched.workspace_status.tier IS 'Tier: weight and quantum (fairsched.tiers).';
COMMENT ON COLUMN fairsched.workspace_status.quota_class IS 'default or enterprise: which ceiling applies when it has none of its own.';
COMMENT ON COLUMN fairsched.workspace_status.weight IS 'Share of the workers relative to a tier of weight 1.0.';
COMMENT ON COLUMN fairsched.workspace_status.quantum IS 'Cost units it may use in one round.';
COMMENT ON COLUMN fairsched.workspace_status.deficit IS 'Cost units it may still use in its current round, over all lanes; negative = it is in debt.';
COMMENT ON COLUMN fairsched.workspace_status.ready IS 'Jobs that may be claimed, of all lanes and priorities. NULL = not counted yet.';
COMMENT ON COLUMN fairsched.workspace_status.scheduled IS 'Jobs that wait for their time, their next attempt, a review or to be resumed. NULL = not counted yet.';
COMMENT ON COLUMN fairsched.workspace_status.running IS 'Jobs that occupy a slot, those of claims that are not committed yet included.';
COMMENT ON COLUMN fairsched.workspace_status.max_running IS 'Ceiling on running: its own, else that of its quota class.';
COMMENT ON COLUMN fairsched.workspace_status.paused IS 'True from fairsched_pause_workspace until fairsched_resume_workspace.';
COMMENT ON COLUMN fairsched.workspace_status.parked_reason IS 'Why nothing of it is handed out: drained (the whole database), paused, ceiling, workspace_share (fairsched.max_workspace_share), moving (to its own table), rate_limited (fairsched_set_rate_limit), waiting_for_resources (concurrent_runs, or a day''s tokens or cost, are used up), throttled (fairsched_set_throttle) or waiting_for_node (no worker lives on a node that it is placed on, or these drain). NULL = it takes part.';
COMMENT ON COLUMN fairsched.workspace_status.parked_until IS 'When it takes part again; NULL = no fixed time, an event lifts it.';
COMMENT ON COLUMN fairsched.workspace_status.own_table IS 'True: its jobs are in a table of their own; false: in the shared one.';
COMMENT ON COLUMN fairsched.workspace_status.oldest_ready_age IS 'How long its oldest ready job has been ready. Jobs that a gate or a pause holds up count too. NULL = nothing is ready, or not known. Costs a look at a row or into an index for each flow with ready jobs, about 1 µs; nothing when the column is not selected.';
COMMENT ON COLUMN fairsched.workspace_status.parked_since IS 'Since when it is parked for a reason of its own.';
COMMENT ON COLUMN fairsched.workspace_status.max_queue_size IS 'Jobs that may wait at once; 0 = no limit.';
COMMENT ON COLUMN fairsched.workspace_status.served_jobs IS 'Jobs handed out since memory was built.';
COMMENT ON COLUMN fairsched.workspace_status.served_cost IS 'Cost units handed out since memory was built.';

-- queue_status

CREATE FUNCTION fairsched.queue_status_internal(
	OUT workspace text, OUT lane text, OUT flow integer, OUT ready bigint, OUT parked_reason text,
	OUT parked_detail text, OUT parked_since timestamptz, OUT retry_at timestamptz,
	OUT capabilities text[])
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 1000
	AS 'MODULE_PATHNAME', 'fs_view_queue_status';
COMMENT ON FUNCTION fairsched.queue_status_internal() IS 'Internal: the flows that have something ready or are parked. Needs SELECT on fairsched.queue_status.';

CREATE VIEW fairsched.queue_status AS
SELECT q.workspace COLLATE "C" AS workspace, q.lane COLLATE "C" AS lane, q.flow, q.ready,
	q.parked_reason, q.parked_detail, q.parked_since, q.retry_at, q.capabilities
FROM fairsched.queue_status_internal() q;
COMMENT ON VIEW fairsched.queue_status IS 'Flows (jobs of a workspace and lane that are admitted or refused together) that have something ready or are held up, and why.';
COMMENT ON COLUMN fairsched.queue_status.workspace IS 'Name of the workspace.';
COMMENT ON COLUMN fairsched.queue_status.lane IS 'Lane the jobs wait in.';
COMMENT ON COLUMN fairsched.queue_status.flow IS 'Number of the flow, as in fairsched.jobs. Negative: jobs of many kinds that share a flow because fairsched.max_flows was reached.';
COMMENT ON COLUMN fairsched.queue_status.ready IS 'Jobs of the flow that may be claimed. NULL = not known: depths are kept by workspace, so only that of a workspace''s only flow is.';
COMMENT ON COLUMN fairsched.queue_status.parked_reason IS 'Why nothing of it is handed out: a reason of its workspace (workspace_status.parked_reason); waiting_for_resources: what each of its jobs needs does not fit a quota now; waiting_for_budget; waiting_for_capable_worker; or waiting_for_node: no live worker that can do it runs on a node that the workspace and the lane are placed on. NULL = it takes part.';
COMMENT ON COLUMN fairsched.queue_status.parked_detail IS 'The same with figures or names: how many run, which resource would be at what of its quota, which capabilities no live worker has, on which nodes it is placed.';
COMMENT ON COLUMN fairsched.queue_status.parked_since IS 'Since when; NULL = not parked, or not known.';
COMMENT ON COLUMN fairsched.queue_status.retry_at IS 'When it takes part again; NULL = no fixed time, an event lifts it.';
COMMENT ON COLUMN fairsched.queue_status.capabilities IS 'Capabilities a worker must have to get these jobs.';

-- running_jobs

CREATE FUNCTION fairsched.running_jobs_internal(
	OUT job_id bigint, OUT workspace text, OUT lane text, OUT priority text, OUT worker text,
	OUT token bigint, OUT attempt integer, OUT claimed_at timestamptz,
	OUT lease_expires_at timestamptz, OUT directive text, OUT job_table integer, OUT cost integer,
	OUT deadline timestamptz, OUT request_id uuid, OUT durable boolean)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 1000
	AS 'MODULE_PATHNAME', 'fs_view_running_jobs';
COMMENT ON FUNCTION fairsched.running_jobs_internal() IS 'Internal: the leases of committed claims. Needs SELECT on fairsched.running_jobs.';

CREATE FUNCTION fairsched.job_kind(job_table integer, job_id bigint) RETURNS text
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10
	AS 'MODULE_PATHNAME', 'fs_view_job_kind';
COMMENT ON FUNCTION fairsched.job_kind(integer, bigint) IS 'Internal: the kind of a live job, by its primary key; NULL = it has no row in that table. Needs SELECT on fairsched.running_jobs.';

CREATE VIEW fairsched.running_jobs AS
SELECT r.job_id, r.workspace COLLATE "C" AS workspace, r.lane COLLATE "C" AS lane,
	fairsched.job_kind(r.job_table, r.job_id) COLLATE "C" AS kind, r.priority,
	r.worker COLLATE "C" AS worker, r.token, r.attempt, r.claimed_at, r.lease_expires_at,
	r.directive, r.cost, r.deadline, r.request_id, r.durable
FROM fairsched.running_jobs_internal() r;
COMMENT ON VIEW fairsched.running_jobs IS 'Jobs that a worker holds, by committed claims.';
COMMENT ON COLUMN fairsched.running_jobs.job_id IS 'Id of the job.';
COMMENT ON COLUMN fairsched.running_jobs.workspace IS 'Tenant it belongs to.';
COMMENT ON COLUMN fairsched.running_jobs.lane IS 'Lane it waited in.';
COMMENT ON COLUMN fairsched.running_jobs.kind IS 'Kind of work. Costs an index look-up for each job; nothing when the column is not selected.';
COMMENT ON COLUMN fairsched.running_jobs.priority IS 'P0 (most urgent) to P3.';
COMMENT ON COLUMN fairsched.running_jobs.worker IS 'Worker that holds it.';
COMMENT ON COLUMN fairsched.running_jobs.token IS 'Fence token of the claim.';
COMMENT ON COLUMN fairsched.running_jobs.attempt IS 'Which attempt this is, from 1.';
COMMENT ON COLUMN fairsched.running_jobs.claimed_at IS 'When it was claimed.';
COMMENT ON COLUMN fairsched.running_jobs.lease_expires_at IS 'When it goes back unless a heartbeat comes before.';
COMMENT ON COLUMN fairsched.running_jobs.directive IS 'What the next heartbeat will tell its worker: continue, preempt or cancel.';
COMMENT ON COLUMN fairsched.running_jobs.cost IS 'Cost units that were charged to its workspace.';
COMMENT ON COLUMN fairsched.running_jobs.deadline IS 'Its lease is not extended beyond this time (max_runtime); NULL = no limit.';
COMMENT ON COLUMN fairsched.running_jobs.request_id IS 'Request id of the claim; NULL = none was given.';
COMMENT ON COLUMN fairsched.running_jobs.durable IS 'False: claimed with fairsched.durable_claims = off. It is known to memory only, its row in fairsched.jobs says available, and after a crash it runs again.';

-- worker_status

CREATE FUNCTION fairsched.worker_status_internal(
	OUT worker text, OUT node text, OUT capabilities text[], OUT slots integer, OUT running integer,
	OUT last_seen timestamptz, OUT alive boolean, OUT registered boolean)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 100
	AS 'MODULE_PATHNAME', 'fs_view_worker_status';
COMMENT ON FUNCTION fairsched.worker_status_internal() IS 'Internal: the workers that shared memory knows. Needs SELECT on fairsched.worker_status or fairsched.node_status.';

CREATE VIEW fairsched.worker_status AS
SELECT coalesce(m.worker, w.worker) COLLATE "C" AS worker,
	CASE WHEN m.worker IS NULL THEN w.node ELSE m.node END AS node,
	coalesce(m.capabilities, w.capabilities) AS capabilities,
	coalesce(m.slots, w.slots) AS slots,
	coalesce(m.running, CASE WHEN s.state IN ('ready', 'counted') THEN 0 END) AS running,
	m.last_seen,
	coalesce(m.alive, CASE WHEN s.state IN ('ready', 'counted') THEN false END) AS alive,
	coalesce(m.registered, true) AS registered
FROM fairsched.worker_status_internal() m
	FULL JOIN fairsched.workers w ON w.worker = m.worker
	CROSS JOIN fairsched.scheduler_state() s(state);
COMMENT ON VIEW fairsched.worker_status IS 'Workers that registered or called lately.';
COMMENT ON COLUMN fairsched.worker_status.worker IS 'Name.';
COMMENT ON COLUMN fairsched.worker_status.node IS 'Where it runs, as it says; NULL = it did not.';
COMMENT ON COLUMN fairsched.worker_status.capabilities IS 'What it can do.';
COMMENT ON COLUMN fairsched.worker_status.slots IS 'Jobs it runs at once, as it declared; 0 = it did not.';
COMMENT ON COLUMN fairsched.worker_status.running IS 'Jobs it holds. NULL = not known (memory is not built, as on a standby).';
COMMENT ON COLUMN fairsched.worker_status.last_seen IS 'Its last call; NULL = none since memory was built.';
COMMENT ON COLUMN fairsched.worker_status.alive IS 'True: it called within fairsched.worker_timeout. NULL = not known.';
COMMENT ON COLUMN fairsched.worker_status.registered IS 'True: by fairsched_register_worker; false: it only claimed.';

-- dead_letters

CREATE VIEW fairsched.dead_letters AS
SELECT h.job_id, h.workspace, h.kind, h.payload, h.attempt, h.errors, h.finished_at AS discarded_at,
	h.state, h.lane, h.priority, h.cost, h.max_attempts, h.run_id, h.worker, h.created_at,
	h.claimed_at
FROM fairsched.job_history h
WHERE h.outcome = 'dead' AND h.state = 'discarded';
COMMENT ON VIEW fairsched.dead_letters IS 'Jobs that failed for good, for fairsched.dead_retention. fairsched_retry(job_id) gives one another chance. Give a range of discarded_at to read few days only.';
COMMENT ON COLUMN fairsched.dead_letters.job_id IS 'Id of the job.';
COMMENT ON COLUMN fairsched.dead_letters.workspace IS 'Tenant it belongs to.';
COMMENT ON COLUMN fairsched.dead_letters.kind IS 'Kind of work.';
COMMENT ON COLUMN fairsched.dead_letters.payload IS 'What the application gave.';
COMMENT ON COLUMN fairsched.dead_letters.attempt IS 'Claims it took.';
COMMENT ON COLUMN fairsched.dead_letters.errors IS 'Array of {attempt, error, at}, at most the last 10.';
COMMENT ON COLUMN fairsched.dead_letters.discarded_at IS 'When it failed for good.';
COMMENT ON COLUMN fairsched.dead_letters.state IS 'Always discarded.';
COMMENT ON COLUMN fairsched.dead_letters.lane IS 'Lane it waited in.';
COMMENT ON COLUMN fairsched.dead_letters.priority IS 'P0 (most urgent) to P3.';
COMMENT ON COLUMN fairsched.dead_letters.cost IS 'Cost units.';
COMMENT ON COLUMN fairsched.dead_letters.max_attempts IS 'Claims it was allowed.';
COMMENT ON COLUMN fairsched.dead_letters.run_id IS 'The run (workflow) it was part of.';
COMMENT ON COLUMN fairsched.dead_letters.worker IS 'Worker that had it last.';
COMMENT ON COLUMN fairsched.dead_letters.created_at IS 'When it was enqueued.';
COMMENT ON COLUMN fairsched.dead_letters.claimed_at IS 'When it was claimed last; NULL = never, or not known any more.';

-- maintenance_status

CREATE FUNCTION fairsched.maintenance_status_internal(
	OUT task text, OUT last_run timestamptz, OUT last_duration interval, OUT last_error text,
	OUT next_run timestamptz, OUT failures integer)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 10
	AS 'MODULE_PATHNAME', 'fs_view_maintenance_status';
COMMENT ON FUNCTION fairsched.maintenance_status_internal() IS 'Internal: the tasks of the scheduler worker. Needs SELECT on fairsched.maintenance_status.';

CREATE VIEW fairsched.maintenance_status AS
SELECT m.task, m.last_run, m.last_duration, m.last_error, m.next_run, m.failures
FROM fairsched.maintenance_status_internal() m;
COMMENT ON VIEW fairsched.maintenance_status IS 'Tasks of this database''s scheduler worker. Times are those since the server started; no rows where memory is not built, as on a standby.';
COMMENT ON COLUMN fairsched.maintenance_status.task IS 'Name of the task.';
COMMENT ON COLUMN fairsched.maintenance_status.last_run IS 'When it ran last; NULL = not yet.';
COMMENT ON COLUMN fairsched.maintenance_status.last_duration IS 'How long that took.';
COMMENT ON COLUMN fairsched.maintenance_status.last_error IS 'What went wrong then; NULL = nothing.';
COMMENT ON COLUMN fairsched.maintenance_status.next_run IS 'When it is due; NULL = when something wakes it.';
COMMENT ON COLUMN fairsched.maintenance_status.failures IS 'How often it failed in a row; it waits longer after each.';

-- database_status

CREATE FUNCTION fairsched.database_status_internal(
	OUT state text, OUT drained boolean, OUT counted boolean, OUT running integer,
	OUT live_slots integer, OUT rebuilds bigint, OUT rebuilt_at timestamptz,
	OUT scheduler_pid integer,
	OUT workspaces_used integer, OUT workspaces_capacity integer,
	OUT flows_used integer, OUT flows_capacity integer,
	OUT rings_used integer, OUT rings_capacity integer,
	OUT leases_used integer, OUT leases_capacity integer,
	OUT workers_used integer, OUT workers_capacity integer, OUT visits bigint)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 1
	AS 'MODULE_PATHNAME', 'fs_view_database_status';
COMMENT ON FUNCTION fairsched.database_status_internal() IS 'Internal: this database in shared memory, and how full that is. Needs SELECT on fairsched.database_status.';

CREATE VIEW fairsched.database_status AS
SELECT d.state, d.drained, d.counted, d.running, d.live_slots, d.rebuilds, d.rebuilt_at,
	d.scheduler_pid, d.workspaces_used, d.workspaces_capacity, d.flows_used, d.flows_capacity,
	d.rings_used, d.rings_capacity, d.leases_used, d.leases_capacity, d.workers_used,
	d.workers_capacity, d.visits
FROM fairsched.database_status_internal() d;
COMMENT ON VIEW fairsched.database_status IS 'This database as the scheduler sees it, one row; and how full shared memory is, which all databases of the server share.';
COMMENT ON COLUMN fairsched.database_status.state IS 'ready: jobs are handed out; building: memory is being built from the rows; empty: the next call builds it, unless this is a standby.';
COMMENT ON COLUMN fairsched.database_status.drained IS 'True from fairsched_drain until fairsched_undrain: no job is handed out. NULL = not ready.';
COMMENT ON COLUMN fairsched.database_status.counted IS 'False: queue depths are still being counted in the background. NULL = not ready.';
COMMENT ON COLUMN fairsched.database_status.running IS 'Jobs that occupy a slot, open claims included. NULL = not ready.';
COMMENT ON COLUMN fairsched.database_status.live_slots IS 'Slots that live workers declared. NULL = not ready.';
COMMENT ON COLUMN fairsched.database_status.rebuilds IS 'How often memory was built since the server started.';
COMMENT ON COLUMN fairsched.database_status.rebuilt_at IS 'When it was built last. NULL = not ready.';
COMMENT ON COLUMN fairsched.database_status.scheduler_pid IS 'Process id of the scheduler worker of this database; NULL = there is none.';
COMMENT ON COLUMN fairsched.database_status.workspaces_used IS 'Workspaces in memory, of all databases.';
COMMENT ON COLUMN fairsched.database_status.workspaces_capacity IS 'Most that fit (fairsched.max_workspaces).';
COMMENT ON COLUMN fairsched.database_status.flows_used IS 'Flows in memory, of all databases.';
COMMENT ON COLUMN fairsched.database_status.flows_capacity IS 'Most that fit (fairsched.max_flows and the overflow flows).';
COMMENT ON COLUMN fairsched.database_status.rings_used IS 'Combinations of a lane, a set of required capabilities and a set of nodes in memory, of all databases.';
COMMENT ON COLUMN fairsched.database_status.rings_capacity IS 'Most that fit (four times fairsched.max_rings).';
COMMENT ON COLUMN fairsched.database_status.leases_used IS 'Leases in memory, of all databases; ended ones whose worker is still to be told are among them.';
COMMENT ON COLUMN fairsched.database_status.leases_capacity IS 'Most that fit (fairsched.max_running).';
COMMENT ON COLUMN fairsched.database_status.workers_used IS 'Workers in memory, of all databases.';
COMMENT ON COLUMN fairsched.database_status.workers_capacity IS 'Most that fit (fairsched.max_workers).';
COMMENT ON COLUMN fairsched.database_status.visits IS 'Places in the order of service that claims looked at since memory was built: a workspace has one for each lane, set of required capabilities and placement of its jobs. One that a claimer may not serve is not looked at. NULL = not ready.';

REVOKE ALL ON fairsched.workspace_status, fairsched.queue_status, fairsched.running_jobs,
	fairsched.worker_status, fairsched.dead_letters, fairsched.maintenance_status,
	fairsched.database_status FROM PUBLIC;
