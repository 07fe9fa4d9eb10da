/*
 * preempt.c
 *		Making running jobs give room: the verbs of the protocol.
 *
 * A request is a row of fairsched.preemption_history with outcome requested.
 * At the commit of who asked, the lease is marked: its worker is told by
 * heartbeat and checkpoint, and has until revoke_at to give the job back.
 * What ends the request is whatever changes the job's row first: the yield, the
 * revocation (preempt_task.c), a completion, cancel, failure or expiry.  Row and
 * request change in one transaction, so they agree after a crash too; the mark
 * in memory is only a copy of the request, and is made again from it.
 *
 * Locks: an advisory lock on the job's number while it is asked for, the row of
 * the job, then the row of its request.  Asking locks no job, unless the job's
 * claim is to be written into its row first (softclaim.c).
 */
#include "preempt.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "held.h"
#include "lease.h"
#include "ledger.h"
#include "requeue.h"
#include "softclaim.h"
#include "stats.h"
#include "text.h"

PG_FUNCTION_INFO_V1(fs_preempt);
PG_FUNCTION_INFO_V1(fs_resume_job);
PG_FUNCTION_INFO_V1(fs_yield);

const char *const FsPreemptReasons[] = {
	"resource_constraint", "budget_exceeded", "quota_exceeded", "high_priority_job", "manual", NULL
};

int
fs_preemptions(FsJobRel *jr, HeapTuple row)
{
	bool		isnull;
	Datum		d = heap_getattr(row, FS_COL_PREEMPTIONS + 1, RelationGetDescr(jr->rel), &isnull);

	return isnull ? 0 : DatumGetInt32(d);
}

/* ---------- the mark in memory ---------- */

/* fs_preempt_wake: the scheduler looks at requests at `when`. */
void
fs_preempt_wake(FsDatabase *d, TimestampTz when)
{
	if (when >= d->preempt_due)
		return;
	d->preempt_due = when;
	if (d->worker_latch)
		SetLatch(d->worker_latch);
}

/* fs_preempt_mark: who holds the job under this token is told from now on; nobody may. */
void
fs_preempt_mark(int32 db, int64 job_id, int64 token, TimestampTz revoke_at)
{
	int32		l = fs_lease_find(db, job_id);

	if (l != FS_NONE && fs_leases[l].token == token && fs_leases[l].directive == FS_CONTINUE)
	{
		fs_leases[l].directive = FS_PREEMPT;
		fs_leases[l].revoke_at = revoke_at;
	}
	else
		revoke_at = 0;			/* it ended meanwhile: the request is void */
	fs_preempt_wake(&fs_dbs[db], revoke_at);
}

void
fs_preempt_saved(int64 job_id, int64 token)
{
	int32		l;

	FsLock();
	l = fs_lease_find(fs_my_db, job_id);
	if (l != FS_NONE && fs_leases[l].token == token)
		fs_leases[l].saved_at = GetCurrentTimestamp();
	FsUnlock();
}

/* ---------- asking ---------- */

/*
 * fs_preempt_lock: until the end of the transaction nobody else does the same.
 * The scheduler does not wait: who asks may sit in an open transaction.
 */
bool
fs_preempt_lock(uint32 kind, int64 key, bool wait)
{
	LOCKTAG		tag;

	/*
	 * class 6 of advisory locks: SQL functions use 1 and 2, others of ours 3
	 * to 5
	 */
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (key >> 32) ^ (kind << 31), (uint32) key, 6);
	return LockAcquire(&tag, ExclusiveLock, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

/* Write the request; false when the job has been asked under this token. */
static bool
record_request(const FsPreemptRequest *r, FsJobRel *jr, HeapTuple row, const char *worker,
			   const char *outcome)
{
	Oid			types[11] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, FLOAT8OID, FLOAT8OID,
	BOOLOID, TEXTOID, TEXTOID, INT8OID};
	Oid			claim_types[2] = {INT8OID, INT8OID};
	Datum		args[11];
	Datum		claim[2];
	char		nulls[12] = "           ";
	bool		isnull;
	uint64		n;

	(void) heap_getattr(row, FS_COL_CHECKPOINT + 1, RelationGetDescr(jr->rel), &isnull);
	args[0] = Int64GetDatum(r->job_id);
	args[1] = CStringGetTextDatum(fs_row_text(jr, row, FS_COL_WORKSPACE));
	args[2] = CStringGetTextDatum(fs_row_text(jr, row, FS_COL_PRIORITY));
	args[3] = CStringGetTextDatum(r->reason);
	args[4] = r->resource ? CStringGetTextDatum(r->resource) : (Datum) 0;
	args[5] = Float8GetDatum(r->utilisation);
	args[6] = Float8GetDatum(r->threshold);
	args[7] = BoolGetDatum(!isnull);
	args[8] = CStringGetTextDatum(outcome);
	args[9] = CStringGetTextDatum(worker);
	args[10] = Int64GetDatum(FsJob(row)->token);
	nulls[4] = r->resource ? ' ' : 'n';
	nulls[5] = r->utilisation >= 0 ? ' ' : 'n';
	nulls[6] = r->threshold >= 0 ? ' ' : 'n';
	nulls[9] = worker[0] ? ' ' : 'n';
	claim[0] = args[0];
	claim[1] = args[10];
	fs_spi_begin();
	/* one of an earlier claim, which the scheduler has not closed yet */
	fs_spi("UPDATE fairsched.preemption_history SET outcome = 'void' "
		   "WHERE job_id = $1 AND outcome = 'requested' AND token <> $2", 2, claim_types, claim, NULL);

	/*
	 * look first: an insert would wait for who is answering the one that is
	 * there
	 */
	if (fs_spi("SELECT 1 FROM fairsched.preemption_history WHERE job_id = $1 AND outcome = 'requested' AND token = $2",
			   2, claim_types, claim, NULL) > 0)
	{
		fs_spi_end();
		return false;
	}
	n = fs_spi("INSERT INTO fairsched.preemption_history (job_id, workspace, priority, reason, resource, "
			   "utilisation, threshold, requested_at, has_checkpoint, outcome, worker, token) "
			   "VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp(), $8, $9, $10, $11) "
			   "ON CONFLICT (job_id) WHERE outcome = 'requested' DO NOTHING",
			   11, types, args, nulls);
	fs_spi_end();
	return n > 0;
}

/* fs_preempt_request: ask the worker of a running job to give it back, from commit on. */
FsPreemptResult
fs_preempt_request(FsDatabase *db, const FsPreemptRequest *r)
{
	if (!fs_preempt_lock(FS_LOCK_REQUEST, r->job_id, r->wait))
		return FS_PREEMPT_ALREADY;
	for (;;)
	{
		FsJobRel   *jr;
		HeapTuple	row = fs_rows_find(r->job_id, &jr);
		FsHeld		held = {.job_id = r->job_id};
		FsPreemptResult result;

		if (row == NULL)
			return FS_PREEMPT_UNKNOWN;
		if (fs_job_state(row) == FS_JOB_AVAILABLE)
		{
			/* the request goes with what the row says */
			FsRowResult soft = fs_soft_lock(db, jr, row, r->wait, &held);

			if (soft == FS_ROW_DONE && held.soft)
				soft = fs_soft_harden(db, jr, &row, &held, true);	/* the row is locked by
																	 * us */
			if (soft != FS_ROW_DONE)
			{
				fs_rows_close(jr);
				if (!r->wait)
					return FS_PREEMPT_NOT_RUNNING;	/* it is being finished */
				CHECK_FOR_INTERRUPTS();
				continue;
			}
		}
		held.token = FsJob(row)->token;
		fs_held_look(db, &held, 1);
		if (fs_job_state(row) != FS_JOB_RUNNING || (r->token != 0 && r->token != held.token))
			result = FS_PREEMPT_NOT_RUNNING;
		else if (fs_preemptions(jr, row) < fs_max_preemptions)
		{
			result = FS_PREEMPT_ALREADY;
			if (record_request(r, jr, row, held.worker, "requested"))
			{
				fs_ledger_preempt(r->job_id, held.token);
				result = FS_PREEMPT_ASKED;
			}
		}
		else if (r->on_exhausted == FS_EXHAUSTED_RUN)
			result = FS_PREEMPT_RUNS_ON;
		else
		{
			char	   *error = psprintf("preempted %d times", fs_preemptions(jr, row));
			FsEnd		end = {
				.state = "discarded",
				.errors = fs_add_error(jr, row, error),
				.claimed_at = held.claimed_at,
				.worker = held.worker[0] ? held.worker : NULL,
			};

			if (fs_end_job(db, jr, row, &end, r->wait) != FS_ROW_DONE)
			{
				fs_rows_close(jr);
				if (!r->wait)
					return FS_PREEMPT_NOT_RUNNING;	/* it is being finished */
				CHECK_FOR_INTERRUPTS();
				continue;
			}
			fs_held_end(db, r->job_id, held.token, FS_CANCEL, FS_ENDED_PREEMPTED | FS_ENDED_DISCARDED, 0);
			(void) record_request(r, jr, row, held.worker, "discarded");
			result = FS_PREEMPT_DISCARDED;
		}
		fs_rows_close(jr);
		return result;
	}
}

static const char *
reason_arg(FunctionCallInfo fcinfo, int n)
{
	char	   *reason = fs_arg_name(fcinfo, n, "reason");

	for (int i = 0; FsPreemptReasons[i]; i++)
		if (strcmp(FsPreemptReasons[i], reason) == 0)
			return FsPreemptReasons[i];
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("reason \"%s\" does not exist", reason),
			 errhint("Give resource_constraint, budget_exceeded, quota_exceeded, high_priority_job or manual.")));
}

/* Raise for a job that is not there, or not as it has to be. */
static void
refuse(FsPreemptResult why, int64 job_id, const char *what, const char *detail, const char *hint)
{
	if (why == FS_PREEMPT_UNKNOWN)
		ereport(ERROR,
				(errcode(ERRCODE_FS_UNKNOWN_JOB),
				 errmsg("job " INT64_FORMAT " does not exist", job_id),
				 errhint("It may have finished; see fairsched.job_history.")));
	if (why == FS_PREEMPT_NOT_RUNNING)
		ereport(ERROR,
				(errcode(ERRCODE_FS_WRONG_STATE),
				 errmsg("cannot %s job " INT64_FORMAT, what, job_id),
				 errdetail("%s", detail),
				 errhint("%s", hint)));
}

/* fairsched_preempt(job_id, reason, resource) → boolean */
Datum
fs_preempt(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_preempt()");
	FsPreemptRequest r = {
		.utilisation = -1,
		.threshold = -1,
		.on_exhausted = fs_on_exhausted,
		.wait = true,
	};
	FsPreemptResult result;

	fs_need_arg(fcinfo, 0, "job_id");
	r.job_id = PG_GETARG_INT64(0);
	r.reason = reason_arg(fcinfo, 1);
	if (!PG_ARGISNULL(2))
		r.resource = fs_arg_name(fcinfo, 2, "resource");
	result = fs_preempt_request(db, &r);
	refuse(result, r.job_id, "preempt", "It is not running.",
		   "A waiting job makes no room; see fairsched_pause_workspace and fairsched_reschedule.");
	PG_RETURN_BOOL(result == FS_PREEMPT_ASKED || result == FS_PREEMPT_DISCARDED);
}

/* ---------- giving back ---------- */

/* Has the worker that holds the job under this token been asked to give it back? */
static bool
was_asked(const FsHeld *held)
{
	Oid			types[2] = {INT8OID, INT8OID};
	Datum		args[2] = {Int64GetDatum(held->job_id), Int64GetDatum(held->token)};
	bool		asked;

	fs_spi_begin();
	asked = fs_spi("SELECT 1 FROM fairsched.preemption_history "
				   "WHERE job_id = $1 AND token = $2 AND outcome = 'requested'", 2, types, args, NULL) > 0;
	fs_spi_end();
	return asked;
}

/* fairsched_yield(job_id, token, checkpoint) → boolean */
Datum
fs_yield(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_yield()");
	FsHeld	   *held = fs_held_arg(fcinfo);
	FsRequeue	q = {
		.state = FS_JOB_PREEMPTED,
		.returned = true,
		.cls = -1,
	};
	FsJobRel   *jr = NULL;
	bool		done = false;

	fs_need_arg(fcinfo, 2, "checkpoint");
	q.checkpoint = PG_GETARG_DATUM(2);
	q.token = fs_state_numbers(db, FS_COUNTER_TOKEN, 1);
	fs_held_look(db, held, 1);
	for (;;)
	{
		HeapTuple	row = fs_held_row(db, held, &jr, FS_HELD_CHANGE);

		int32		flow;

		if (row == NULL)
		{
			fs_held_stale(held);
			break;
		}
		flow = FsJob(row)->flow;
		q.attempt = Max(FsJob(row)->attempt - 1, 0);
		q.preempted = was_asked(held);

		/*
		 * asked, it waits until somebody resumes it; else until the scheduler
		 * comes by
		 */
		q.run_at = q.preempted ? DT_NOEND : GetCurrentTimestamp();
		if (fs_requeue(db, jr, &row, &q, true) == FS_ROW_DONE)
		{
			fs_held_end(db, held->job_id, held->token, FS_CONTINUE, FS_ENDED_PREEMPTED, flow);
			done = true;
			break;
		}
		fs_held_again(db, held);
		CHECK_FOR_INTERRUPTS();
	}
	if (jr)
		fs_rows_close(jr);
	if (done && q.preempted)
	{
		Oid			types[2] = {INT8OID, INT8OID};
		Datum		args[2] = {Int64GetDatum(held->job_id), Int64GetDatum(held->token)};
		int64		events[FS_EVENTS] = {[FS_EVENT_PREEMPTED] = 1};

		fs_spi_begin();
		fs_spi("UPDATE fairsched.preemption_history SET outcome = 'preempted', answer = 'yielded', "
			   "preempted_at = clock_timestamp(), has_checkpoint = true, work_lost = '0' "
			   "WHERE job_id = $1 AND token = $2 AND outcome = 'requested'", 2, types, args, NULL);
		fs_spi_end();
		fs_ledger_events(events, false);
	}
	PG_RETURN_BOOL(done);
}

/* ---------- resuming ---------- */

/* fs_preempt_left: a job that was preempted goes back to wait, or is over. */
void
fs_preempt_left(int64 job_id, bool resumed)
{
	Oid			types[1] = {INT8OID};
	Datum		args[1] = {Int64GetDatum(job_id)};
	int64		events[FS_EVENTS] = {[FS_EVENT_RESUMED] = 1};
	uint64		n;

	fs_spi_begin();
	n = fs_spi(resumed
			   ? "UPDATE fairsched.preemption_history SET outcome = 'resumed', resumed_at = clock_timestamp() "
			   "WHERE job_id = $1 AND outcome = 'preempted'"
			   : "UPDATE fairsched.preemption_history SET outcome = 'ended' "
			   "WHERE job_id = $1 AND outcome = 'preempted'", 1, types, args, NULL);
	fs_spi_end();
	if (resumed && n > 0)
		fs_ledger_events(events, false);
}

/* fs_preempt_resume: a preempted job waits for a worker again; ASKED when it does, ALREADY when somebody has it locked. */
FsPreemptResult
fs_preempt_resume(FsDatabase *db, int64 job_id, bool wait)
{
	for (;;)
	{
		FsJobRel   *jr;
		HeapTuple	row = fs_rows_find(job_id, &jr);
		FsRequeue	q = {
			.state = FS_JOB_AVAILABLE,
			.returned = true,
			.attempt = -1,
			.cls = -1,
		};
		FsRowResult r;

		if (row == NULL)
			return FS_PREEMPT_UNKNOWN;
		if (fs_job_state(row) != FS_JOB_PREEMPTED)
		{
			fs_rows_close(jr);
			return FS_PREEMPT_NOT_RUNNING;
		}
		q.run_at = GetCurrentTimestamp();
		r = fs_requeue(db, jr, &row, &q, wait);
		fs_rows_close(jr);
		if (r == FS_ROW_DONE)
			return FS_PREEMPT_ASKED;
		if (!wait)
			return FS_PREEMPT_ALREADY;
		CHECK_FOR_INTERRUPTS();
	}
}

/* fairsched_resume_job(job_id) → boolean */
Datum
fs_resume_job(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_resume_job()");
	int64		job_id;

	fs_need_arg(fcinfo, 0, "job_id");
	job_id = PG_GETARG_INT64(0);
	refuse(fs_preempt_resume(db, job_id, true), job_id, "resume", "It is not preempted.",
		   "See fairsched_job_status for its state; fairsched_reschedule runs a waiting job sooner.");
	PG_RETURN_BOOL(true);
}
