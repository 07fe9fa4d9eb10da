-- priority_queue

CREATE FUNCTION fairsched.priority_queue_internal(
	OUT job_id bigint, OUT workspace text, OUT priority text, OUT effective_priority text,
	OUT state text, OUT wait interval, OUT preemption_count integer)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1000000
	AS 'MODULE_PATHNAME', 'fs_view_priority_queue';
COMMENT ON FUNCTION fairsched.priority_queue_internal() IS 'Internal: ready jobs by the class they count as, then age, made one by one. Needs SELECT on fairsched.priority_queue.';

-- The function stands in a select list, where rows are made as they are asked for.
CREATE VIEW fairsched.priority_queue AS
SELECT (q.r).job_id AS job_id, (q.r).workspace COLLATE "C" AS workspace, (q.r).priority AS priority,
	(q.r).effective_priority AS effective_priority, (q.r).state AS state, (q.r).wait AS wait,
	(q.r).preemption_count AS preemption_count
FROM (SELECT fairsched.priority_queue_internal() AS r) q
UNION ALL
SELECT j.job_id, j.workspace, j.priority, j.priority, j.state,
	CASE j.state WHEN 'preempted' THEN clock_timestamp() - (SELECT h.preempted_at
		FROM fairsched.preemption_history h WHERE h.job_id = j.job_id AND h.outcome = 'preempted' LIMIT 1) END,
	coalesce(j.preemptions, 0)
FROM fairsched.jobs j WHERE j.position = 0;
COMMENT ON VIEW fairsched.priority_queue IS 'What waits: ready jobs first, by the class they count as, then by age, over all workspaces (which of these is next is decided by the round robin); then those that are not ready. Read it with LIMIT and without ORDER BY: rows are made as they are asked for, and cost nothing before that.';
COMMENT ON COLUMN fairsched.priority_queue.job_id IS 'Id of the job.';
COMMENT ON COLUMN fairsched.priority_queue.workspace IS 'Tenant it belongs to.';
COMMENT ON COLUMN fairsched.priority_queue.priority IS 'Its class, P0 to P3.';
COMMENT ON COLUMN fairsched.priority_queue.effective_priority IS 'The class it counts as after waiting: one higher for each fairsched.priority_aging, P1 at most.';
COMMENT ON COLUMN fairsched.priority_queue.state IS 'available, or preempted, retryable, scheduled: not ready.';
COMMENT ON COLUMN fairsched.priority_queue.wait IS 'How long it has been ready, or preempted; NULL = its time has not come.';
COMMENT ON COLUMN fairsched.priority_queue.preemption_count IS 'How often it was preempted.';
REVOKE ALL ON fairsched.priority_queue FROM PUBLIC;

-- capacity_status

CREATE FUNCTION fairsched.capacity_status_internal(
	OUT resource text, OUT capacity numeric, OUT used numeric, OUT kept numeric, OUT waiting integer,
	OUT looks bigint)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 3
	AS 'MODULE_PATHNAME', 'fs_view_capacity_status';
COMMENT ON FUNCTION fairsched.capacity_status_internal() IS 'Internal: the fleet in shared memory. Needs SELECT on fairsched.capacity_status.';

CREATE VIEW fairsched.capacity_status AS
SELECT c.resource, c.capacity, c.used, round(100 * c.used / nullif(c.capacity, 0), 1) AS percent, c.kept, c.waiting,
	c.looks
FROM fairsched.capacity_status_internal() c;
COMMENT ON VIEW fairsched.capacity_status IS 'The fleet: what it has, what is held, who waits for it.';
COMMENT ON COLUMN fairsched.capacity_status.resource IS 'cpu (cores), memory (GB) or gpu (count).';
COMMENT ON COLUMN fairsched.capacity_status.capacity IS 'What the fleet has (fairsched_set_capacity); NULL = no limit.';
COMMENT ON COLUMN fairsched.capacity_status.used IS 'What running jobs hold, open claims included.';
COMMENT ON COLUMN fairsched.capacity_status.percent IS 'Percent of the capacity that is held.';
COMMENT ON COLUMN fairsched.capacity_status.kept IS 'Kept for jobs that preemption makes room for.';
COMMENT ON COLUMN fairsched.capacity_status.waiting IS 'Flows that wait because there is less left than their jobs need.';
COMMENT ON COLUMN fairsched.capacity_status.looks IS 'How often one of those was looked at, to see whether it fits now, since the server started. About one for each job that is claimed after waiting, however many wait.';
REVOKE ALL ON fairsched.capacity_status FROM PUBLIC;
