-- Preemption: who is asked to make room, and what became of it.

CREATE TABLE fairsched.preemption_history (
	preemption_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	job_id bigint NOT NULL,
	workspace text COLLATE "C" NOT NULL,
	priority text COLLATE "C" NOT NULL,
	reason text COLLATE "C" NOT NULL CHECK (reason IN
		('resource_constraint', 'budget_exceeded', 'quota_exceeded', 'high_priority_job', 'manual')),
	resource text COLLATE "C",
	utilisation double precision,
	threshold double precision,
	requested_at timestamptz NOT NULL,
	preempted_at timestamptz,
	resumed_at timestamptz,
	has_checkpoint boolean NOT NULL DEFAULT false,
	outcome text COLLATE "C" NOT NULL DEFAULT 'requested' CHECK (outcome IN
		('requested', 'preempted', 'resumed', 'ended', 'void', 'discarded')),
	answer text COLLATE "C" CHECK (answer IN ('yielded', 'revoked')),
	work_lost interval,
	worker text COLLATE "C",
	token bigint NOT NULL,
	room_for bigint
);
COMMENT ON TABLE fairsched.preemption_history IS 'Every preemption that was asked for, and what became of it; rows outlive their jobs, and go fairsched.dead_retention after they were closed.';
COMMENT ON COLUMN fairsched.preemption_history.preemption_id IS 'Number of the preemption.';
COMMENT ON COLUMN fairsched.preemption_history.job_id IS 'Job that was asked to make room.';
COMMENT ON COLUMN fairsched.preemption_history.workspace IS 'Tenant it belongs to.';
COMMENT ON COLUMN fairsched.preemption_history.priority IS 'Its class then.';
COMMENT ON COLUMN fairsched.preemption_history.reason IS 'resource_constraint, budget_exceeded, quota_exceeded, high_priority_job or manual.';
COMMENT ON COLUMN fairsched.preemption_history.resource IS 'Resource that was short; NULL = none was named. The job is resumed when the use of it has fallen.';
COMMENT ON COLUMN fairsched.preemption_history.utilisation IS 'Percent of the resource''s capacity that was in use; NULL = not known.';
COMMENT ON COLUMN fairsched.preemption_history.threshold IS 'Percent above which the policy acts; NULL = no policy was involved.';
COMMENT ON COLUMN fairsched.preemption_history.requested_at IS 'When it was asked for.';
COMMENT ON COLUMN fairsched.preemption_history.preempted_at IS 'When the job stopped; NULL = it did not, or not yet.';
COMMENT ON COLUMN fairsched.preemption_history.resumed_at IS 'When it went back to wait for a worker; NULL = it did not, or not yet.';
COMMENT ON COLUMN fairsched.preemption_history.has_checkpoint IS 'The job had a checkpoint when it stopped (until then: when it was asked).';
COMMENT ON COLUMN fairsched.preemption_history.outcome IS 'requested: its worker has been told or will be; preempted: it waits to be resumed; resumed: it was; ended: it was cancelled or dropped instead; void: it finished or left in another way before it was preempted; discarded: it had been preempted too often.';
COMMENT ON COLUMN fairsched.preemption_history.answer IS 'yielded: its worker gave it back; revoked: fairsched.preemption_grace ran out; NULL = neither.';
COMMENT ON COLUMN fairsched.preemption_history.work_lost IS 'Work that is to be done again: time from the claim, or from the last checkpoint after it, until the job stopped.';
COMMENT ON COLUMN fairsched.preemption_history.worker IS 'Worker that had it.';
COMMENT ON COLUMN fairsched.preemption_history.token IS 'Fence token of that claim.';
COMMENT ON COLUMN fairsched.preemption_history.room_for IS 'Job that the room was made for; NULL = for none in particular.';

-- One open request a job; the second index is what the scheduler looks at.
CREATE UNIQUE INDEX preemption_requested ON fairsched.preemption_history (job_id) WHERE outcome = 'requested';
CREATE INDEX preemption_open ON fairsched.preemption_history (outcome, preemption_id)
	WHERE outcome IN ('requested', 'preempted');
CREATE INDEX preemption_job ON fairsched.preemption_history (job_id);
CREATE INDEX preemption_requested_at ON fairsched.preemption_history (requested_at);
SELECT pg_extension_config_dump('fairsched.preemption_history', '');
SELECT pg_extension_config_dump('fairsched.preemption_history_preemption_id_seq', '');

CREATE FUNCTION fairsched_preempt(job_id bigint, reason text, resource text DEFAULT NULL) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_preempt';
COMMENT ON FUNCTION fairsched_preempt(bigint, text, text) IS 'Asks a running job to make room, at commit: its worker gets the directive preempt from heartbeat and checkpoint, saves, and answers with fairsched_yield; after fairsched.preemption_grace the lease is revoked. Either way the job becomes preempted, keeps its last checkpoint, and does not lose the attempt. reason: resource_constraint, budget_exceeded, quota_exceeded, high_priority_job or manual. resource: the job is resumed when the use of it has fallen; without one it waits for fairsched_resume_job. A job that was preempted fairsched.max_preemptions times is discarded instead, or runs on, as fairsched.preemption_on_exhausted says. Returns false when it has been asked already, or runs on. Errors: FS006 unknown job, FS005 it is not running, 22023 unknown reason.';

CREATE FUNCTION fairsched_resume_job(job_id bigint) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_resume_job';
COMMENT ON FUNCTION fairsched_resume_job(bigint) IS 'A preempted job waits for a worker again, first in its class; its next claim returns the checkpoint. Errors: FS006 unknown job, FS005 it is not preempted.';

CREATE FUNCTION fairsched_evaluate_preemption() RETURNS int
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_evaluate_preemption';
COMMENT ON FUNCTION fairsched_evaluate_preemption() IS 'Does now what the scheduler does every fairsched.preemption_interval: revokes leases whose grace ran out, resumes jobs. Returns how many jobs were asked to make room.';

REVOKE ALL ON FUNCTION fairsched_preempt(bigint, text, text), fairsched_resume_job(bigint),
	fairsched_evaluate_preemption() FROM PUBLIC;
REVOKE ALL ON fairsched.preemption_history FROM PUBLIC;

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
COMMENT ON SEQUENCE fairsched.preemption_history_preemption_id_seq IS 'Numbers of requests.';
