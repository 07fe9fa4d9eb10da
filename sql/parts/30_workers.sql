-- Workers.

CREATE FUNCTION fairsched_claim(
	worker text DEFAULT NULL, max_jobs int DEFAULT 1, lease interval DEFAULT '30 s',
	lanes text[] DEFAULT '{default}', capabilities text[] DEFAULT NULL, request_id uuid DEFAULT NULL,
	max_wait interval DEFAULT '0')
	RETURNS TABLE (job_id bigint, workspace text, lane text, kind text, payload jsonb, priority text,
		attempt int, token bigint, lease_expires_at timestamptz, checkpoint jsonb, run_id text, worker text)
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 ROWS 1 AS 'MODULE_PATHNAME', 'fs_claim_jobs';
COMMENT ON FUNCTION fairsched_claim(text, int, interval, text[], text[], uuid, interval) IS
'Takes up to max_jobs jobs for a worker, the fairest first: workspaces in Deficit Round Robin by weight, within a workspace by priority, then age. worker: NULL = one derived from the session. lease: the job comes back when it is neither finished nor extended by a heartbeat for this long. lanes: served in turns. capabilities: NULL = those the worker registered. request_id: the same again returns what of it is still leased. max_wait: wait this long for a job (at most fairsched.max_wait). token: proves ownership to complete, fail, heartbeat and so on. Returns rows in claim order, none when nothing is admissible. Errors: FS004 fairsched.max_running reached, 22004 and 22023 for arguments.';

CREATE FUNCTION fairsched_complete(job_id bigint, token bigint, result jsonb DEFAULT NULL, usage jsonb DEFAULT NULL) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_complete';
COMMENT ON FUNCTION fairsched_complete(bigint, bigint, jsonb, jsonb) IS 'The job is done. result is kept in fairsched.job_history for fairsched.completed_retention. True also when the lease ran out but nobody claimed the job anew; false: it is no longer yours, and nothing was changed.';

CREATE FUNCTION fairsched_complete_many(job_ids bigint[], tokens bigint[]) RETURNS bigint[]
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_complete_many';
COMMENT ON FUNCTION fairsched_complete_many(bigint[], bigint[]) IS 'Completes jobs as fairsched_complete does; returns the ids that were still yours.';

CREATE FUNCTION fairsched_complete_and_claim(
	job_ids bigint[], tokens bigint[],
	worker text DEFAULT NULL, max_jobs int DEFAULT 1, lease interval DEFAULT '30 s',
	lanes text[] DEFAULT '{default}', capabilities text[] DEFAULT NULL, request_id uuid DEFAULT NULL,
	max_wait interval DEFAULT '0')
	RETURNS TABLE (job_id bigint, workspace text, lane text, kind text, payload jsonb, priority text,
		attempt int, token bigint, lease_expires_at timestamptz, checkpoint jsonb, run_id text, worker text)
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 ROWS 1 AS 'MODULE_PATHNAME', 'fs_complete_and_claim';
COMMENT ON FUNCTION fairsched_complete_and_claim(bigint[], bigint[], text, int, interval, text[], text[], uuid, interval) IS 'Completes jobs and takes the next in one transaction and one round trip. The slots of the completed jobs are used by this call where the round robin chooses their workspaces, and go back at commit otherwise. Ids that are no longer yours are passed over. Arguments and result as fairsched_claim.';

CREATE FUNCTION fairsched_fail(job_id bigint, token bigint, error text, retry_in interval DEFAULT NULL, discard boolean DEFAULT false) RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_fail';
COMMENT ON FUNCTION fairsched_fail(bigint, bigint, text, interval, boolean) IS 'The attempt failed. The job waits for retry_in, by default fairsched.retry_base * 2^(attempt - 1) with a jitter of a quarter, at most fairsched.retry_max; after max_attempts, or with discard, it becomes a dead letter. Returns the new state, retryable or discarded, or lost when it was no longer yours.';

CREATE FUNCTION fairsched_fail_many(job_ids bigint[], tokens bigint[], error text) RETURNS bigint[]
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_fail_many';
COMMENT ON FUNCTION fairsched_fail_many(bigint[], bigint[], text) IS 'Fails jobs as fairsched_fail does; returns the ids that were still yours.';

CREATE FUNCTION fairsched_release(job_id bigint, token bigint, run_at timestamptz DEFAULT now()) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_release';
COMMENT ON FUNCTION fairsched_release(bigint, bigint, timestamptz) IS 'Gives a job back without counting the attempt; it is first in its class, from run_at on. False: no longer yours.';

CREATE FUNCTION fairsched_checkpoint(job_id bigint, token bigint, checkpoint jsonb) RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_checkpoint';
COMMENT ON FUNCTION fairsched_checkpoint(bigint, bigint, jsonb) IS 'Saves a checkpoint that the next claim of the job returns. Returns the directive: continue, preempt, cancel or lost (then go on no further; where the lease had run out and nobody took the job, the checkpoint was saved all the same).';

CREATE FUNCTION fairsched_yield(job_id bigint, token bigint, checkpoint jsonb) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_yield';
COMMENT ON FUNCTION fairsched_yield(bigint, bigint, jsonb) IS 'Answers a preemption: saves the checkpoint and gives the job back as preempted, without counting the attempt; it is resumed first in its class. Where nobody asked, it is resumed at once. False: no longer yours.';

CREATE FUNCTION fairsched_heartbeat(job_ids bigint[], tokens bigint[], extend interval DEFAULT '30 s')
	RETURNS TABLE (job_id bigint, directive text)
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 ROWS 10 AS 'MODULE_PATHNAME', 'fs_heartbeat_jobs';
COMMENT ON FUNCTION fairsched_heartbeat(bigint[], bigint[], interval) IS 'Extends the leases of these jobs to `extend` from now, and returns for each what to do: continue, preempt, cancel or lost. Writes no row. A lease that ran out is taken again if nobody claimed the job and its workspace has room.';

CREATE FUNCTION fairsched_heartbeat(worker text, extend interval DEFAULT '30 s')
	RETURNS TABLE (job_id bigint, directive text)
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 ROWS 10 AS 'MODULE_PATHNAME', 'fs_heartbeat_worker';
COMMENT ON FUNCTION fairsched_heartbeat(text, interval) IS 'Extends the leases of all jobs of a named worker, and returns for each what to do; lost and cancel are said once.';

CREATE FUNCTION fairsched_register_worker(worker text, capabilities text[] DEFAULT '{}', slots int DEFAULT 1, node text DEFAULT NULL) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_register_worker';
COMMENT ON FUNCTION fairsched_register_worker(text, text[], int, text) IS 'Says what a worker can do and how many jobs it runs at once; again to change it. It lives while it makes a call at least every fairsched.worker_timeout.';

CREATE FUNCTION fairsched_unregister_worker(worker text) RETURNS int
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_unregister_worker';
COMMENT ON FUNCTION fairsched_unregister_worker(text) IS 'The worker stops: its jobs go back at once, first in their class, without counting the attempt. Returns how many. Error: FS00A unknown worker.';

CREATE PROCEDURE fairsched_wait(timeout interval, lanes text[] DEFAULT '{default}', worker text DEFAULT NULL)
	LANGUAGE c AS 'MODULE_PATHNAME', 'fs_wait';
COMMENT ON PROCEDURE fairsched_wait(interval, text[], text) IS 'Commits, then waits until there may be work in these lanes, or for the time given; holds no snapshot meanwhile. worker: only for work that this worker may be given, by its capabilities and its node; without it any work ends the wait. Error 25001 inside a transaction block.';

REVOKE ALL ON FUNCTION fairsched_claim(text, int, interval, text[], text[], uuid, interval),
	fairsched_complete(bigint, bigint, jsonb, jsonb), fairsched_complete_many(bigint[], bigint[]),
	fairsched_complete_and_claim(bigint[], bigint[], text, int, interval, text[], text[], uuid, interval),
	fairsched_fail(bigint, bigint, text, interval, boolean), fairsched_fail_many(bigint[], bigint[], text),
	fairsched_release(bigint, bigint, timestamptz), fairsched_checkpoint(bigint, bigint, jsonb),
	fairsched_yield(bigint, bigint, jsonb), fairsched_heartbeat(bigint[], bigint[], interval),
	fairsched_heartbeat(text, interval), fairsched_register_worker(text, text[], int, text),
	fairsched_unregister_worker(text) FROM PUBLIC;
REVOKE ALL ON PROCEDURE fairsched_wait(interval, text[], text) FROM PUBLIC;
