/*
 * finish.c
 *		What workers say of the jobs they hold: complete, fail, release,
 *		checkpoint.  The answer to a preemption is in preempt.c.
 *
 * The row decides: whoever holds its lock and finds the token in it may end the
 * job.  Memory only tells where the row is, so no index is searched.  The lease
 * is marked as ending after the row is ours; the slot goes back at commit.
 *
 * A soft lease (softclaim.c) is decided by memory as long as its row has not
 * changed; complete deletes that row, all else writes the lease into it first.
 *
 * A lease that ran out leaves the row available with its old token.  Until it
 * is claimed anew the old holder may still finish it.  Ends that the worker
 * itself chose (fail, release, yield) write a new token, so that nothing can
 * come after them.
 */
#include "held.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "budget_spend.h"
#include "claim.h"
#include "heartbeat.h"
#include "lease.h"
#include "preempt.h"
#include "softclaim.h"
#include "stats.h"
#include "text.h"
#include "usage.h"

PG_FUNCTION_INFO_V1(fs_complete);
PG_FUNCTION_INFO_V1(fs_complete_many);
PG_FUNCTION_INFO_V1(fs_complete_and_claim);
PG_FUNCTION_INFO_V1(fs_fail);
PG_FUNCTION_INFO_V1(fs_fail_many);
PG_FUNCTION_INFO_V1(fs_release);
PG_FUNCTION_INFO_V1(fs_checkpoint);

/* ---------- held jobs ---------- */

void
fs_held_by(FsHeld *h, const FsLease *lease)
{
	h->leased = true;
	h->token = lease->token;

	/*
	 * what we wrote ourselves we see; what others write we wait for, at the
	 * row
	 */
	h->soft = lease->soft && !(lease->hardened && lease->owner == FsMyProcNumber());
	h->job_table = lease->job_table;
	h->relfile = lease->relfile;
	h->tid = lease->tid;
	h->position = lease->position;
	h->attempt = lease->attempt;
	h->claimed_at = lease->claimed_at;
	h->length = lease->length;
	h->has_request = lease->has_request;
	h->request = lease->request;
	strcpy(h->worker, fs_workers[lease->worker].name);
}

void
fs_held_look(FsDatabase *db, FsHeld *held, int n)
{
	FsLockShared();
	for (int i = 0; i < n; i++)
	{
		int32		l = fs_lease_find(fs_my_db, held[i].job_id);

		held[i].leased = held[i].soft = false;
		held[i].claimed_at = 0;
		held[i].worker[0] = '\0';
		if (l == FS_NONE || fs_leases[l].token != held[i].token)
			continue;
		/* a soft claim that is not committed is no one else's business yet */
		if (fs_leases[l].soft && fs_leases[l].state == FS_LEASE_CLAIMING &&
			fs_leases[l].owner != FsMyProcNumber())
			continue;
		fs_held_by(&held[i], &fs_leases[l]);
	}
	FsUnlock();
}

void
fs_held_again(FsDatabase *db, FsHeld *held)
{
	fs_held_look(db, held, 1);
	held->leased = false;
}

void
fs_held_as_claimed(const FsHeld *held, HeapTuple row)
{
	FsJob(row)->attempt = held->attempt;
	FsJob(row)->token = held->token;
}

/* The job's row, where memory says or wherever it is. */
static HeapTuple
find_row(FsHeld *h, FsJobRel **jr)
{
	HeapTuple	row = NULL;

	if (h->leased)
	{
		fs_push_snapshot();
		if (*jr && (*jr)->table.job_table != h->job_table)
		{
			fs_rows_close(*jr);
			*jr = NULL;
		}
		if (*jr == NULL)
			*jr = fs_rows_open(h->job_table, true);
		if (*jr)
			row = fs_rows_at(*jr, h->relfile, &h->tid, h->job_id);
		fs_pop_snapshot();
	}
	if (row == NULL)
	{
		if (*jr)
			fs_rows_close(*jr);
		row = fs_rows_find(h->job_id, jr);
	}
	return row;
}

HeapTuple
fs_held_row(FsDatabase *db, FsHeld *h, FsJobRel **jr, FsHeldUse use)
{
	h->busy = false;
	h->stale_flow = 0;
	if (h->token <= 0)
		return NULL;
	for (;;)
	{
		HeapTuple	row = find_row(h, jr);
		FsJobState	state;
		FsRowResult r;

		if (row == NULL)
			return NULL;
		state = fs_job_state(row);
		if (h->soft && state == FS_JOB_AVAILABLE && FsJob(row)->position == h->position)
		{
			if (use == FS_HELD_END)
			{
				fs_held_as_claimed(h, row);
				return row;
			}
			r = fs_soft_harden(db, *jr, &row, h, use != FS_HELD_TRY);
		}
		else if (FsJob(row)->token != h->token)
		{
			h->stale_flow = FsJob(row)->flow;
			return NULL;
		}
		else if (state == FS_JOB_AVAILABLE)
		{
			/*
			 * it ran out; a soft claim of it by somebody else does not show
			 * in the row
			 */
			FsHeld		other;

			r = fs_soft_lock(db, *jr, row, use != FS_HELD_TRY, &other);
			if (r == FS_ROW_DONE && other.soft)
			{
				h->stale_flow = FsJob(row)->flow;
				return NULL;
			}
		}
		else
			r = state == FS_JOB_RUNNING ? FS_ROW_DONE : FS_ROW_GONE;
		if (r == FS_ROW_DONE)
		{
			h->soft = false;
			return row;
		}
		if (state != FS_JOB_RUNNING && state != FS_JOB_AVAILABLE)
		{
			h->stale_flow = FsJob(row)->flow;
			return NULL;
		}
		if (r == FS_ROW_LOCKED)
		{
			h->busy = true;
			return NULL;
		}
		fs_held_again(db, h);
		CHECK_FOR_INTERRUPTS();
	}
}

int32
fs_held_end(FsDatabase *db, int64 job_id, int64 token, FsDirective tell, int how, int32 flow_id)
{
	int32		l;

	fs_ledger_reserve(1);
	FsLock();
	l = fs_lease_find(fs_my_db, job_id);
	if (l != FS_NONE && fs_leases[l].token == token)
		fs_ledger_finish(l, tell, how);
	else
	{
		int32		lane = fs_stats_lane_of(fs_my_db, flow_id);

		l = FS_NONE;
		if (lane != FS_NONE)
			fs_ledger_ended(lane, how);
	}
	FsUnlock();
	return l;
}

void
fs_held_stale(const FsHeld *held)
{
	fs_stats_stale(fs_my_db, held->job_id, held->token, held->stale_flow);
}

/* ---------- complete ---------- */

/*
 * Finish n jobs; ok[i] tells which were still the caller's.  gifts (or NULL)
 * gets the leases whose slots the call may pass on, FS_NONE for others.
 */
static void
complete(FsDatabase *db, FsHeld *held, int n, Datum result, Datum usage, bool *ok, int32 *gifts)
{
	FsJobRel   *jr = NULL;
	FsEnd		end = {
		.state = "completed",
		.result = result,
		.usage = usage,
	};
	FsSpendings spent = {0};

	fs_held_look(db, held, n);
	for (int i = 0; i < n; i++)
	{
		ok[i] = false;
		if (gifts)
			gifts[i] = FS_NONE;
		for (;;)
		{
			HeapTuple	row = fs_held_row(db, &held[i], &jr, FS_HELD_END);
			FsRowResult r;

			if (row == NULL)
			{
				fs_held_stale(&held[i]);
				break;
			}
			end.claimed_at = held[i].claimed_at;
			end.worker = held[i].worker[0] ? held[i].worker : NULL;
			end.soft = held[i].soft;
			r = fs_end_job(db, jr, row, &end, true);
			if (r == FS_ROW_DONE)
			{
				int32		l;

				/*
				 * before the lease ends: spending is counted first, then what
				 * was reserved goes back
				 */
				fs_budget_usage(db, held[i].job_id, held[i].token, jr, row, usage, &spent);
				l = fs_held_end(db, held[i].job_id, held[i].token, FS_CONTINUE, FS_ENDED_COMPLETED,
								FsJob(row)->flow);

				ok[i] = true;
				if (gifts)
					gifts[i] = l;
				if (usage)
					fs_usage_of_job(db, jr, row, usage);
				heap_freetuple(row);
				break;
			}
			fs_held_again(db, &held[i]);	/* it moved */
			CHECK_FOR_INTERRUPTS();
		}
	}
	if (jr)
		fs_rows_close(jr);
	fs_budget_spent(db, &spent);
}

/* Two arrays of equal length as held jobs. */
static FsHeld *
held_arrays(FunctionCallInfo fcinfo, int first, int *n)
{
	int64	   *ids;
	int64	   *tokens;
	int			ntokens;
	FsHeld	   *held;

	fs_need_arg(fcinfo, first, "job_ids");
	fs_need_arg(fcinfo, first + 1, "tokens");
	ids = fs_int8_array(PG_GETARG_DATUM(first), n, "job_ids");
	tokens = fs_int8_array(PG_GETARG_DATUM(first + 1), &ntokens, "tokens");
	if (*n != ntokens)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("job_ids has %d elements, tokens has %d", *n, ntokens),
				 errhint("Give the token of each job at the same place.")));
	if (*n > FS_MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("job_ids must have at most %d elements", FS_MAX_BATCH),
				 errhint("Use several calls.")));
	held = palloc0(sizeof(FsHeld) * (*n + 1));
	for (int i = 0; i < *n; i++)
	{
		held[i].job_id = ids[i];
		held[i].token = tokens[i];
	}
	return held;
}

FsHeld *
fs_held_arg(FunctionCallInfo fcinfo)
{
	FsHeld	   *held = palloc0(sizeof(FsHeld));

	fs_need_arg(fcinfo, 0, "job_id");
	fs_need_arg(fcinfo, 1, "token");
	held->job_id = PG_GETARG_INT64(0);
	held->token = PG_GETARG_INT64(1);
	return held;
}

/* fairsched_complete(job_id, token, result, usage) → boolean */
Datum
fs_complete(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_complete()");
	FsHeld	   *held = fs_held_arg(fcinfo);
	bool		ok;

	if (!PG_ARGISNULL(3))
		fs_usage_check(PG_GETARG_DATUM(3));
	complete(db, held, 1, PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2),
			 PG_ARGISNULL(3) ? (Datum) 0 : PG_GETARG_DATUM(3), &ok, NULL);
	PG_RETURN_BOOL(ok);
}

static Datum
ids_done(const FsHeld *held, const bool *ok, int n)
{
	Datum	   *out = palloc(sizeof(Datum) * (n + 1));
	int			m = 0;

	for (int i = 0; i < n; i++)
		if (ok[i])
			out[m++] = Int64GetDatum(held[i].job_id);
	return PointerGetDatum(construct_array(out, m, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

/* fairsched_complete_many(job_ids, tokens) → the ids completed */
Datum
fs_complete_many(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_complete_many()");
	int			n;
	FsHeld	   *held = held_arrays(fcinfo, 0, &n);
	bool	   *ok = palloc(n + 1);

	complete(db, held, n, 0, 0, ok, NULL);
	PG_RETURN_DATUM(ids_done(held, ok, n));
}

/* fairsched_complete_and_claim(job_ids, tokens, …the arguments of fairsched_claim) */
Datum
fs_complete_and_claim(PG_FUNCTION_ARGS)
{
	FsDatabase *db;
	FsClaimArgs args;
	int			n;
	FsHeld	   *held;
	bool	   *ok;
	int32	   *gifts;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	db = fs_state_ready("fairsched_complete_and_claim()");
	held = held_arrays(fcinfo, 0, &n);
	fs_claim_args(fcinfo, 2, &args);
	ok = palloc(n + 1);
	gifts = palloc(sizeof(int32) * (n + 1));
	complete(db, held, n, 0, 0, ok, gifts);
	fs_claim(fcinfo, db, &args, n, gifts);
	return (Datum) 0;
}

/* ---------- fail ---------- */

/* The error of a failed job is kept within this. */
#define MAX_ERROR_LEN 8192

static const char *
fail(FsDatabase *db, FsHeld *held, const char *error, int64 retry_in, bool discard)
{
	FsJobRel   *jr = NULL;
	const char *state = "lost";

	fs_held_look(db, held, 1);
	for (;;)
	{
		HeapTuple	row = fs_held_row(db, held, &jr, FS_HELD_CHANGE);
		FsRowResult r;
		Datum		errors;
		bool		final;
		int32		flow;

		if (row == NULL)
		{
			fs_held_stale(held);
			break;
		}
		flow = FsJob(row)->flow;
		errors = fs_add_error(jr, row, error);
		final = discard || FsJob(row)->attempt >= FsJob(row)->max_attempts;
		if (final)
		{
			FsEnd		end = {
				.state = "discarded",
				.errors = errors,
				.claimed_at = held->claimed_at,
				.worker = held->worker[0] ? held->worker : NULL,
			};

			r = fs_end_job(db, jr, row, &end, true);
		}
		else
		{
			FsRequeue	q = {
				.state = FS_JOB_RETRYABLE,
				.attempt = -1,
				.cls = -1,
				.errors = errors,
			};

			q.run_at = GetCurrentTimestamp() + (retry_in >= 0 ? retry_in : fs_backoff(FsJob(row)->attempt));
			q.token = fs_state_numbers(db, FS_COUNTER_TOKEN, 1);
			r = fs_requeue(db, jr, &row, &q, true);
		}
		if (r == FS_ROW_DONE)
		{
			int32		l = fs_held_end(db, held->job_id, held->token, FS_CONTINUE,
										FS_ENDED_FAILED | (final ? FS_ENDED_DISCARDED : 0), flow);

			if (l != FS_NONE)
				fs_leases[l].ends_as = PLACEMENT_FAILED_JOB;	/* ours until this ends */
			state = final ? "discarded" : "retryable";
			break;
		}
		fs_held_again(db, held);
		CHECK_FOR_INTERRUPTS();
	}
	if (jr)
		fs_rows_close(jr);
	return state;
}

static char *
error_arg(FunctionCallInfo fcinfo, int n)
{
	text	   *t;

	fs_need_arg(fcinfo, n, "error");
	t = PG_GETARG_TEXT_PP(n);
	if (VARSIZE_ANY_EXHDR(t) > MAX_ERROR_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("error must have at most %d bytes", MAX_ERROR_LEN),
				 errhint("Shorten it; keep long logs elsewhere and their address here.")));
	return text_to_cstring(t);
}

/* fairsched_fail(job_id, token, error, retry_in, discard) → new state, or lost */
Datum
fs_fail(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_fail()");
	FsHeld	   *held = fs_held_arg(fcinfo);
	char	   *error = error_arg(fcinfo, 2);
	int64		retry_in = PG_ARGISNULL(3) ? -1
		: fs_interval_usec(PG_GETARG_DATUM(3), "retry_in", true);

	fs_need_arg(fcinfo, 4, "discard");
	PG_RETURN_TEXT_P(cstring_to_text(fail(db, held, error, retry_in, PG_GETARG_BOOL(4))));
}

/* fairsched_fail_many(job_ids, tokens, error) → the ids that were still the caller's */
Datum
fs_fail_many(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_fail_many()");
	int			n;
	FsHeld	   *held = held_arrays(fcinfo, 0, &n);
	char	   *error = error_arg(fcinfo, 2);
	bool	   *ok = palloc(n + 1);

	for (int i = 0; i < n; i++)
		ok[i] = strcmp(fail(db, &held[i], error, -1, false), "lost") != 0;
	PG_RETURN_DATUM(ids_done(held, ok, n));
}

/* ---------- give back, save ---------- */

/*
 * fs_give_back: a held job goes back, as `state`, first in its class and
 * without counting the attempt; false when it is not the caller's any more.
 */
bool
fs_give_back(FsDatabase *db, FsHeld *held, FsJobState state, TimestampTz run_at, Datum checkpoint)
{
	FsRequeue	q = {
		.state = state,
		.returned = true,
		.run_at = run_at,
		.cls = -1,
		.checkpoint = checkpoint,
	};
	FsJobRel   *jr = NULL;
	bool		done = false;

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
		if (fs_requeue(db, jr, &row, &q, true) == FS_ROW_DONE)
		{
			fs_held_end(db, held->job_id, held->token, FS_CONTINUE, FS_ENDED_RELEASED, flow);
			done = true;
			break;
		}
		fs_held_again(db, held);
		CHECK_FOR_INTERRUPTS();
	}
	if (jr)
		fs_rows_close(jr);
	return done;
}

/* fairsched_release(job_id, token, run_at) → boolean */
Datum
fs_release(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_release()");
	FsHeld	   *held = fs_held_arg(fcinfo);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz run_at;

	fs_need_arg(fcinfo, 2, "run_at");
	run_at = PG_GETARG_TIMESTAMPTZ(2);
	if (TIMESTAMP_NOT_FINITE(run_at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("run_at must be finite"),
				 errhint("Leave it out to run the job as soon as possible.")));
	PG_RETURN_BOOL(fs_give_back(db, held, run_at > now ? FS_JOB_SCHEDULED : FS_JOB_AVAILABLE,
								Max(run_at, now), (Datum) 0));
}

/* fairsched_checkpoint(job_id, token, checkpoint) → directive */
Datum
fs_checkpoint(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_checkpoint()");
	FsHeld	   *held = fs_held_arg(fcinfo);
	FsJobRel   *jr = NULL;
	FsDirective directive;

	fs_need_arg(fcinfo, 2, "checkpoint");
	directive = fs_lease_beat(db, held->job_id, held->token, 0);
	fs_held_look(db, held, 1);
	for (;;)
	{
		HeapTuple	row = fs_held_row(db, held, &jr, FS_HELD_CHANGE);
		Datum		values[FS_JOB_COLUMNS];
		bool		nulls[FS_JOB_COLUMNS] = {0};
		bool		replace[FS_JOB_COLUMNS] = {0};
		ItemPointerData was;

		if (row == NULL)
		{
			/*
			 * it was revoked after the lease was looked at: nothing is saved,
			 * and so it is said
			 */
			if (directive != FS_CANCEL)
				directive = FS_LOST;
			fs_held_stale(held);
			break;
		}
		was = row->t_self;
		values[FS_COL_CHECKPOINT] = PG_GETARG_DATUM(2);
		replace[FS_COL_CHECKPOINT] = true;
		if (fs_rows_update(jr, &row, values, nulls, replace, true) == FS_ROW_DONE)
		{
			fs_lease_moved(db, jr, row, &was);
			fs_preempt_saved(held->job_id, held->token);
			break;
		}
		fs_held_again(db, held);
		CHECK_FOR_INTERRUPTS();
	}
	if (jr)
		fs_rows_close(jr);
	PG_RETURN_TEXT_P(cstring_to_text(FsDirectiveNames[directive]));
}
