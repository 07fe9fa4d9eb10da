/*
 * review.c
 *		Jobs that are held until a score of their reasoning passes.
 *
 * A job that was enqueued with min_deliberation waits for a review: its row is
 * scheduled, for infinity, and has no position; review_run_at is set, to when
 * it may run after that.  So it is in no ready index, no claimer comes across
 * it, and what promotes due jobs ends its scan of run_at before it.  For the
 * queue's counts it is one of those that wait.
 *
 * fairsched_score_deliberation lets it go, in the transaction that keeps the
 * score, when the recommendation is pass and overall_score, as it is kept, is at
 * least min_deliberation; fairsched_release_review does it by hand.  Then
 * review_run_at is null, for good: what happens to the job later, a retry
 * included, asks for no new score.  min_deliberation stays, as a record.
 *
 * Who lets a job go locks its row until the end of the transaction, and waits
 * for others that do.  No lock of ours is held meanwhile.
 */
#include "review.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/numeric.h"

#include "requeue.h"
#include "text.h"

PG_FUNCTION_INFO_V1(fs_release_review);

Datum
fs_review_minimum(Datum numeric)
{
	/* NaN is greater than all numbers */
	if (DatumGetBool(DirectFunctionCall2(numeric_lt, numeric, NumericGetDatum(int64_to_numeric(0)))) ||
		DatumGetBool(DirectFunctionCall2(numeric_gt, numeric, NumericGetDatum(int64_to_numeric(1)))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("min_deliberation must be between 0 and 1"),
				 errhint("It is the least overall score of reasoning that lets the job go; leave it out for a job that needs none.")));
	return numeric;
}

bool
fs_review_awaited(FsJobRel *jr, HeapTuple row)
{
	return fs_job_state(row) == FS_JOB_SCHEDULED &&
		!heap_attisnull(row, FS_COL_REVIEW_RUN_AT + 1, RelationGetDescr(jr->rel));
}

/* Is the score enough for this row? */
static bool
score_suffices(FsJobRel *jr, HeapTuple row, Datum overall_score)
{
	bool		isnull;
	Datum		minimum = heap_getattr(row, FS_COL_MIN_DELIBERATION + 1, RelationGetDescr(jr->rel), &isnull);

	return isnull || DatumGetBool(DirectFunctionCall2(numeric_ge, overall_score, minimum));
}

typedef enum FsReviewResult
{
	FS_REVIEW_DONE,
	FS_REVIEW_NOT_AWAITED,		/* or the score does not suffice */
	FS_REVIEW_UNKNOWN			/* no such live job */
} FsReviewResult;

/* Let a job go, whose score is this, or 0 when none is asked for. */
static FsReviewResult
let_go(const char *command, int64 job_id, Datum overall_score)
{
	for (;;)
	{
		FsJobRel   *jr;
		HeapTuple	row = fs_rows_find(job_id, &jr);
		TimestampTz now = GetCurrentTimestamp();
		FsRequeue	q = {
			.attempt = -1,
			.cls = -1,
			.reviewed = true,
		};
		FsRowResult r;
		bool		isnull;

		if (row == NULL)
			return FS_REVIEW_UNKNOWN;
		if (!fs_review_awaited(jr, row) || (overall_score && !score_suffices(jr, row, overall_score)))
		{
			fs_rows_close(jr);
			return FS_REVIEW_NOT_AWAITED;
		}
		q.run_at = DatumGetTimestampTz(heap_getattr(row, FS_COL_REVIEW_RUN_AT + 1,
													RelationGetDescr(jr->rel), &isnull));
		q.state = q.run_at > now ? FS_JOB_SCHEDULED : FS_JOB_AVAILABLE;
		q.run_at = Max(q.run_at, now);
		r = fs_requeue(fs_state_ready(command), jr, &row, &q, true);
		fs_rows_close(jr);
		if (r == FS_ROW_DONE)
			return FS_REVIEW_DONE;
		CHECK_FOR_INTERRUPTS();
	}
}

void
fs_review_passed(int64 job_id, Datum overall_score)
{
	(void) let_go("fairsched_score_deliberation()", job_id, overall_score);
}

bool
fs_review_best(int64 job_id, Datum *overall_score)
{
	Oid			types[1] = {INT8OID};
	Datum		args[1] = {Int64GetDatum(job_id)};
	MemoryContext mine = CurrentMemoryContext;
	MemoryContext old;
	bool		isnull;
	Datum		best;

	fs_spi_begin();
	fs_spi("SELECT max(overall_score) FROM fairsched.deliberation_scores "
		   "WHERE job_id = $1 AND recommendation = 'pass'", 1, types, args, NULL);
	best = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
	{
		old = MemoryContextSwitchTo(mine);
		*overall_score = datumCopy(best, false, -1);
		MemoryContextSwitchTo(old);
	}
	fs_spi_end();
	return !isnull;
}

/* fairsched_release_review(job_id) → boolean */
Datum
fs_release_review(PG_FUNCTION_ARGS)
{
	const char *command = "fairsched_release_review()";
	int64		job_id;
	FsReviewResult r;

	(void) fs_state_ready(command);
	fs_need_arg(fcinfo, 0, "job_id");
	job_id = PG_GETARG_INT64(0);
	r = let_go(command, job_id, (Datum) 0);
	if (r == FS_REVIEW_UNKNOWN)
		ereport(ERROR,
				(errcode(ERRCODE_FS_UNKNOWN_JOB),
				 errmsg("job " INT64_FORMAT " does not exist", job_id),
				 errhint("It may have finished; see fairsched.job_history.")));
	if (r == FS_REVIEW_NOT_AWAITED)
		ereport(ERROR,
				(errcode(ERRCODE_FS_WRONG_STATE),
				 errmsg("cannot release job " INT64_FORMAT " from its review", job_id),
				 errdetail("It does not wait for one."),
				 errhint("fairsched.review_queue shows the jobs that do.")));
	PG_RETURN_BOOL(true);
}
