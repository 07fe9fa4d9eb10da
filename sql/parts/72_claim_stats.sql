-- What claims and workers did, by lane.  Counters live in shared memory and start at zero with the server.

CREATE FUNCTION fairsched.claim_stats_internal(
	OUT lane text, OUT claims bigint, OUT jobs bigint, OUT empties bigint, OUT undone bigint,
	OUT refusals bigint, OUT arrivals bigint, OUT completed bigint, OUT failed bigint,
	OUT discarded bigint, OUT released bigint, OUT preempted bigint, OUT expired bigint,
	OUT cancelled bigint, OUT retaken bigint, OUT stale_tokens bigint, OUT waits bigint,
	OUT wakes bigint, OUT busy_seconds double precision, OUT latency_sum double precision,
	OUT latency_p50 double precision, OUT latency_p95 double precision, OUT latency_p99 double precision,
	OUT latency_counts bigint[], OUT latency_bounds double precision[], OUT stats_since timestamptz)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 10
	AS 'MODULE_PATHNAME', 'fs_view_claim_stats';
COMMENT ON FUNCTION fairsched.claim_stats_internal() IS 'Internal: counters of shared memory. Needs SELECT on fairsched.claim_stats.';

CREATE VIEW fairsched.claim_stats AS
SELECT c.lane COLLATE "C" AS lane, c.claims, c.jobs, c.empties, c.undone, c.refusals, c.arrivals, c.completed,
	c.failed, c.discarded, c.released, c.preempted, c.expired, c.cancelled, c.retaken, c.stale_tokens, c.waits,
	c.wakes, c.busy_seconds, c.latency_sum,
	c.latency_p50 * interval '1 s' AS latency_p50, c.latency_p95 * interval '1 s' AS latency_p95,
	c.latency_p99 * interval '1 s' AS latency_p99,
	c.latency_counts, c.latency_bounds, c.stats_since
FROM fairsched.claim_stats_internal() c;
COMMENT ON VIEW fairsched.claim_stats IS 'What happened in each lane since stats_since: one row for each lane that memory knows, and one without a lane for what belongs to none (claims of lanes that never had a job, tokens of jobs that are gone), once there is some; so sums over all rows are complete. Counters only grow; they start at zero with the server and with fairsched_reset_stats(). Costs O(lanes), jobs are not looked at.';
COMMENT ON COLUMN fairsched.claim_stats.lane IS 'Lane; NULL = none that memory knows.';
COMMENT ON COLUMN fairsched.claim_stats.claims IS 'Calls of fairsched_claim and fairsched_complete_and_claim that asked for the lane; one that asked for several lanes counts in each. Counted when the call returns, also when its transaction is rolled back. A repeated request_id that returned its jobs again, and a call that raised an error, do not count.';
COMMENT ON COLUMN fairsched.claim_stats.jobs IS 'Jobs of the lane handed out, by claims that were committed.';
COMMENT ON COLUMN fairsched.claim_stats.empties IS 'Of claims: those that returned no job at all.';
COMMENT ON COLUMN fairsched.claim_stats.undone IS 'Jobs handed out by claims that were rolled back, also to a savepoint.';
COMMENT ON COLUMN fairsched.claim_stats.refusals IS 'How often a job whose turn had come was refused; fairsched.claim_refusals says by what. A refusal parks the flow or workspace until something may have lifted it, so this does not count once a job or claim.';
COMMENT ON COLUMN fairsched.claim_stats.arrivals IS 'Jobs that became ready: enqueued, promoted when their time came, retried, given back.';
COMMENT ON COLUMN fairsched.claim_stats.completed IS 'Jobs completed. This and what follows counts at commit.';
COMMENT ON COLUMN fairsched.claim_stats.failed IS 'Calls of fairsched_fail for a job that was still the caller''s, last attempts included.';
COMMENT ON COLUMN fairsched.claim_stats.discarded IS 'Claimed jobs that ended for good without success; also counted in failed, expired or preempted.';
COMMENT ON COLUMN fairsched.claim_stats.released IS 'Jobs given back by fairsched_release or fairsched_unregister_worker.';
COMMENT ON COLUMN fairsched.claim_stats.preempted IS 'Jobs that made room: yielded, or revoked.';
COMMENT ON COLUMN fairsched.claim_stats.expired IS 'Leases that ran out, and jobs that exceeded max_runtime.';
COMMENT ON COLUMN fairsched.claim_stats.cancelled IS 'Running jobs that were cancelled.';
COMMENT ON COLUMN fairsched.claim_stats.retaken IS 'Leases that had run out and were taken again by a heartbeat or checkpoint of their worker.';
COMMENT ON COLUMN fairsched.claim_stats.stale_tokens IS 'Calls of a worker for a job that is not, or no longer, its own: complete, fail, release, yield, checkpoint, heartbeat by token. Counted for each job, at once. In the row without a lane when nothing is left of the job.';
COMMENT ON COLUMN fairsched.claim_stats.waits IS 'Times that a claim with max_wait or fairsched_wait began to wait for the lane.';
COMMENT ON COLUMN fairsched.claim_stats.wakes IS 'Times that one of these was woken because of the lane.';
COMMENT ON COLUMN fairsched.claim_stats.busy_seconds IS 'Seconds that leases were held which have ended, together: divided by the time, the mean number of running jobs.';
COMMENT ON COLUMN fairsched.claim_stats.latency_sum IS 'Seconds that all claims took together, without waiting for work (max_wait).';
COMMENT ON COLUMN fairsched.claim_stats.latency_p50 IS 'Half of the claims took no longer, waiting for work not included; read from latency_counts, so within the bucket of the true figure: at most 1.42 times as much or as little. NULL = none yet.';
COMMENT ON COLUMN fairsched.claim_stats.latency_p95 IS '95 of 100 claims took no longer; NULL = none yet.';
COMMENT ON COLUMN fairsched.claim_stats.latency_p99 IS '99 of 100 claims took no longer; NULL = none yet.';
COMMENT ON COLUMN fairsched.claim_stats.latency_counts IS 'Histogram: claims that took at most the bound of the same place in latency_bounds and more than the one before; the last, beyond the bounds, all that took longer. Their sum is claims.';
COMMENT ON COLUMN fairsched.claim_stats.latency_bounds IS 'Upper bounds in seconds, from 16 microseconds to 12 seconds, each the root of two times the one before.';
COMMENT ON COLUMN fairsched.claim_stats.stats_since IS 'When counting began: the first use after the server started, or fairsched_reset_stats().';

CREATE FUNCTION fairsched.claim_refusals_internal(
	OUT lane text, OUT gate text, OUT reason text, OUT resource text, OUT refusals bigint, OUT stats_since timestamptz)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 20
	AS 'MODULE_PATHNAME', 'fs_view_claim_refusals';
COMMENT ON FUNCTION fairsched.claim_refusals_internal() IS 'Internal: counters of shared memory. Needs SELECT on fairsched.claim_refusals.';

CREATE VIEW fairsched.claim_refusals AS
SELECT r.lane COLLATE "C" AS lane, r.gate COLLATE "C" AS gate, r.reason COLLATE "C" AS reason,
	r.resource COLLATE "C" AS resource, r.refusals, r.stats_since
FROM fairsched.claim_refusals_internal() r;
COMMENT ON VIEW fairsched.claim_refusals IS 'By what jobs whose turn had come were refused since stats_since, one row for each lane and gate that refused some. Paused workspaces and a drained database are not asked, so they do not count.';
COMMENT ON COLUMN fairsched.claim_refusals.lane IS 'Lane.';
COMMENT ON COLUMN fairsched.claim_refusals.gate IS 'Gate, named as in fairsched_explain: ceiling, workspace_share, rate, quota_ and capacity_ with the resource, budget, throttle.';
COMMENT ON COLUMN fairsched.claim_refusals.reason IS 'Reason, named as parked_reason of the views.';
COMMENT ON COLUMN fairsched.claim_refusals.resource IS 'Resource of a quota or of the fleet''s capacity; NULL for other gates.';
COMMENT ON COLUMN fairsched.claim_refusals.refusals IS 'How often; their sum over a lane is refusals of fairsched.claim_stats.';
COMMENT ON COLUMN fairsched.claim_refusals.stats_since IS 'When counting began.';

CREATE FUNCTION fairsched.scheduler_stats_internal(
	OUT lock_waits bigint, OUT lock_wait_seconds double precision, OUT stats_since timestamptz)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 1
	AS 'MODULE_PATHNAME', 'fs_view_scheduler_stats';
COMMENT ON FUNCTION fairsched.scheduler_stats_internal() IS 'Internal: counters of shared memory. Needs SELECT on fairsched.scheduler_stats.';

CREATE VIEW fairsched.scheduler_stats AS
SELECT s.lock_waits, s.lock_wait_seconds, s.stats_since FROM fairsched.scheduler_stats_internal() s;
COMMENT ON VIEW fairsched.scheduler_stats IS 'The lock over the scheduler''s state, one row; it is one for all databases of the server, and so are these figures.';
COMMENT ON COLUMN fairsched.scheduler_stats.lock_waits IS 'Times that a process did not get the scheduler''s lock at once.';
COMMENT ON COLUMN fairsched.scheduler_stats.lock_wait_seconds IS 'How long these waited, together.';
COMMENT ON COLUMN fairsched.scheduler_stats.stats_since IS 'When counting began: the start of the server, or fairsched_reset_stats() in any of its databases.';

CREATE FUNCTION fairsched_reset_stats() RETURNS timestamptz
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_reset_stats';
COMMENT ON FUNCTION fairsched_reset_stats() IS 'Sets the counters of fairsched.claim_stats and fairsched.claim_refusals of this database, and those of fairsched.scheduler_stats, to zero, at once: a rollback does not bring them back. Returns the new stats_since. fairsched.capacity_recommendation is not touched by it.';

REVOKE ALL ON fairsched.claim_stats, fairsched.claim_refusals, fairsched.scheduler_stats FROM PUBLIC;
REVOKE ALL ON FUNCTION fairsched_reset_stats() FROM PUBLIC;
