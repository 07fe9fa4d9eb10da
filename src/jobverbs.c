/*
 * jobverbs.c
 *		What producers and administrators do to single jobs: cancel, retry,
 *		reschedule, assign_priority.
 *
 * All wait for the row: a job that is being claimed or finished right now is
 * what that transaction made of it.  After a wait the row is looked up again,
 * since its newest version may be elsewhere or gone.
 */
#include "held.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "config.h"
#include "enqueue.h"
#include "heartbeat.h"
#include "review.h"
#include "rows_insert.h"
#include "softclaim.h"
#include "stats.h"
#include "text.h"

PG_FUNCTION_INFO_V1(fs_cancel);
PG_FUNCTION_INFO_V1(fs_cancel_many);
PG_FUNCTION_INFO_V1(fs_cancel_run);
PG_FUNCTION_INFO_V1(fs_retry);
PG_FUNCTION_INFO_V1(fs_reschedule);
PG_FUNCTION_INFO_V1(fs_assign_priority);

/* ---------- cancel ---------- */

/* Cancel one job; false when there is no such live job. */
static bool
cancel(FsDatabase *db, int64 job_id)
{
	for (;;)
	{
		FsJobRel   *jr;
		HeapTuple	row = fs_rows_find(job_id, &jr);
		FsEnd		end = {.state = "cancelled"};
		FsHeld		held = {.job_id = job_id};
		FsRowResult r = FS_ROW_DONE;
		bool		running;

		if (row == NULL)
			return false;
		held.token = FsJob(row)->token;
		running = fs_job_state(row) == FS_JOB_RUNNING;
		if (running)
			fs_held_look(db, &held, 1);
		else if (fs_job_state(row) == FS_JOB_AVAILABLE)
		{
			r = fs_soft_lock(db, jr, row, true, &held);
			running = end.soft = held.soft;
			if (held.soft)
				fs_held_as_claimed(&held, row);
		}
		if (running)
		{
			end.claimed_at = held.claimed_at;
			end.worker = held.worker[0] ? held.worker : NULL;
		}
		if (r == FS_ROW_DONE)
			r = fs_end_job(db, jr, row, &end, true);
		fs_rows_close(jr);
		if (r == FS_ROW_DONE)
		{
			if (running)
				fs_held_end(db, job_id, held.token, FS_CANCEL, FS_ENDED_CANCELLED, 0);
			return true;
		}
		CHECK_FOR_INTERRUPTS();
	}
}

/* fairsched_cancel(job_id) → boolean */
Datum
fs_cancel(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_cancel()");

	fs_need_arg(fcinfo, 0, "job_id");
	PG_RETURN_BOOL(cancel(db, PG_GETARG_INT64(0)));
}

static Datum
int8_array(const int64 *ids, int n)
{
	Datum	   *out = palloc(sizeof(Datum) * (n + 1));

	for (int i = 0; i < n; i++)
		out[i] = Int64GetDatum(ids[i]);
	return PointerGetDatum(construct_array(out, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

/* fairsched_cancel_many(job_ids) → the ids cancelled */
Datum
fs_cancel_many(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_cancel_many()");
	int64	   *ids;
	int			n;
	int			m = 0;

	fs_need_arg(fcinfo, 0, "job_ids");
	ids = fs_int8_array(PG_GETARG_DATUM(0), &n, "job_ids");
	for (int i = 0; i < n; i++)
	{
		if (cancel(db, ids[i]))
			ids[m++] = ids[i];
		CHECK_FOR_INTERRUPTS();
	}
	PG_RETURN_DATUM(int8_array(ids, m));
}

/* fairsched_cancel_run(run_id) → how many jobs of the run were cancelled */
Datum
fs_cancel_run(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_cancel_run()");
	Datum		args[1];
	Oid			types[1] = {TEXTOID};
	int64	   *ids;
	uint64		n;
	int64		done = 0;

	(void) fs_arg_name(fcinfo, 0, "run_id");
	args[0] = PG_GETARG_DATUM(0);
	fs_spi_begin();
	n = fs_spi("SELECT job_id FROM fairsched.jobs WHERE run_id = $1 ORDER BY job_id", 1, types, args, NULL);
	ids = SPI_palloc(sizeof(int64) * (n + 1));
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		ids[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	}
	fs_spi_end();
	for (uint64 i = 0; i < n; i++)
	{
		if (cancel(db, ids[i]))
			done++;
		CHECK_FOR_INTERRUPTS();
	}
	PG_RETURN_INT64(done);
}

/* ---------- changes of waiting jobs ---------- */

static void
unknown_job(int64 job_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_FS_UNKNOWN_JOB),
			 errmsg("job " INT64_FORMAT " does not exist", job_id),
			 errhint("It may have finished; see fairsched.job_history.")));
}

static void
wrong_state(int64 job_id, const char *state, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FS_WRONG_STATE),
			 errmsg("cannot %s job " INT64_FORMAT, what, job_id),
			 errdetail("It is %s.", state),
			 errhint("%s", hint)));
}

/* fairsched_reschedule(job_id, run_at) → boolean */
Datum
fs_reschedule(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_reschedule()");
	int64		job_id;
	TimestampTz run_at;

	fs_need_arg(fcinfo, 0, "job_id");
	fs_need_arg(fcinfo, 1, "run_at");
	job_id = PG_GETARG_INT64(0);
	run_at = PG_GETARG_TIMESTAMPTZ(1);
	if (TIMESTAMP_NOT_FINITE(run_at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("run_at must be finite"),
				 errhint("Use now() to run the job as soon as possible.")));
	for (;;)
	{
		FsJobRel   *jr;
		HeapTuple	row = fs_rows_find(job_id, &jr);
		TimestampTz now = GetCurrentTimestamp();
		FsRequeue	q = {
			.attempt = -1,
			.cls = -1,
		};
		FsHeld		held = {0};
		FsRowResult r = FS_ROW_DONE;

		if (row == NULL)
			unknown_job(job_id);
		if (fs_job_state(row) == FS_JOB_AVAILABLE)
			r = fs_soft_lock(db, jr, row, true, &held);
		if (fs_job_state(row) == FS_JOB_RUNNING || (r == FS_ROW_DONE && held.soft))
			wrong_state(job_id, "running", "reschedule",
						"Its worker can give it back with fairsched_release(job_id, token, run_at).");
		q.state = run_at > now ? FS_JOB_SCHEDULED : FS_JOB_AVAILABLE;
		q.run_at = Max(run_at, now);
		if (fs_review_awaited(jr, row))
		{
			/* when it may run, not whether */
			q.review_run_at = q.run_at;
			q.run_at = 0;
			q.state = FS_JOB_SCHEDULED;
		}
		if (FsJob(row)->token > 0)
			q.token = fs_state_numbers(db, FS_COUNTER_TOKEN, 1);
		if (r == FS_ROW_DONE)
			r = fs_requeue(db, jr, &row, &q, true);
		fs_rows_close(jr);
		if (r == FS_ROW_DONE)
			PG_RETURN_BOOL(true);
		CHECK_FOR_INTERRUPTS();
	}
}

static bool
is_overridable(Datum note)
{
	JsonbValue *v = getKeyJsonValueFromContainer(&DatumGetJsonbP(note)->root, "overridable",
												 strlen("overridable"), NULL);

	return v == NULL || v->type != jbvBool || v->val.boolean;
}

/* The reason of an assignment is kept within this, as errors are. */
#define MAX_REASON_LEN 8192

/* fairsched_assign_priority(job_id, priority, reason, overridable) → boolean */
Datum
fs_assign_priority(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_assign_priority()");
	int64		job_id;
	int			cls;
	StringInfoData json;
	Datum		note;

	fs_need_arg(fcinfo, 0, "job_id");
	fs_need_arg(fcinfo, 1, "priority");
	fs_need_arg(fcinfo, 3, "overridable");
	job_id = PG_GETARG_INT64(0);
	cls = fs_text_priority(PG_GETARG_DATUM(1));
	if (!PG_ARGISNULL(2) && VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(2)) > MAX_REASON_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("reason must have at most %d bytes", MAX_REASON_LEN),
				 errhint("Shorten it.")));
	initStringInfo(&json);
	appendStringInfoString(&json, "{\"reason\": ");
	if (PG_ARGISNULL(2))
		appendStringInfoString(&json, "null");
	else
		escape_json(&json, TextDatumGetCString(PG_GETARG_DATUM(2)));
	appendStringInfoString(&json, ", \"at\": ");
	escape_json(&json, timestamptz_to_str(GetCurrentTimestamp()));
	appendStringInfo(&json, ", \"overridable\": %s}", PG_GETARG_BOOL(3) ? "true" : "false");
	note = DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
	for (;;)
	{
		FsJobRel   *jr;
		HeapTuple	row = fs_rows_find(job_id, &jr);
		FsRequeue	q = {
			.attempt = -1,
			.cls = cls,
			.note = note,
			.keep_position = true,
		};
		FsHeld		held = {0};
		FsRowResult r = FS_ROW_DONE;
		Datum		old;
		bool		isnull;
		ItemPointerData was;

		if (row == NULL)
			unknown_job(job_id);
		old = heap_getattr(row, FS_COL_PRIORITY_NOTE + 1, RelationGetDescr(jr->rel), &isnull);
		if (!isnull && !is_overridable(old))
			wrong_state(job_id, "assigned a priority that is not overridable",
						"assign a priority to", "The one who assigned it said so; cancel the job and enqueue it anew if you must.");
		if (fs_job_state(row) == FS_JOB_AVAILABLE)
			r = fs_soft_lock(db, jr, row, true, &held);
		if (r == FS_ROW_DONE && held.soft)
			r = fs_soft_harden(db, jr, &row, &held, true);
		q.state = fs_job_state(row);
		q.returned = FsJob(row)->rank % 2 != 0;
		was = row->t_self;
		if (r == FS_ROW_DONE)
			r = fs_requeue(db, jr, &row, &q, true);
		if (r == FS_ROW_DONE && q.state == FS_JOB_RUNNING)
			fs_lease_moved(db, jr, row, &was);
		fs_rows_close(jr);
		if (r == FS_ROW_DONE)
			PG_RETURN_BOOL(true);
		CHECK_FOR_INTERRUPTS();
	}
}

/* ---------- retry ---------- */

/*
 * fairsched_retry(job_id) → boolean: a discarded job becomes available again,
 * with its id, as if never tried; its errors stay.
 */
Datum
fs_retry(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_retry()");
	int64		job_id;
	Oid			types[2] = {INT8OID, INT4OID};
	Datum		args[2];
	char	   *workspace;
	char	   *state;
	char	   *unique;
	Datum		key = (Datum) 0;
	static uint32 moving_event = 0;
	bool		gone;
	int			table;
	int32		w;
	FsJobRel   *jr;
	HeapTuple	row;
	FsRequeue	q = {
		.state = FS_JOB_AVAILABLE,
		.attempt = 0,
		.cls = -1,
	};
	MemoryContext mine = CurrentMemoryContext;

	fs_need_arg(fcinfo, 0, "job_id");
	job_id = PG_GETARG_INT64(0);
	args[0] = PG_GETARG_DATUM(0);
	row = fs_rows_find(job_id, &jr);
	if (row)
		wrong_state(job_id, FsJobStateNames[fs_job_state(row)], "retry",
					"Only discarded jobs can be retried; use fairsched_reschedule to run a waiting one sooner.");
	fs_spi_begin();
	if (fs_spi("SELECT workspace, state, unique_key FROM fairsched.job_history WHERE job_id = $1",
			   1, types, args, NULL) == 0)
	{
		fs_spi_end();
		unknown_job(job_id);
	}
	workspace = MemoryContextStrdup(mine, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	state = MemoryContextStrdup(mine, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
	unique = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3);
	if (unique)
	{
		MemoryContext old = MemoryContextSwitchTo(mine);

		key = CStringGetTextDatum(unique);
		MemoryContextSwitchTo(old);
	}
	fs_spi_end();
	if (strcmp(state, "discarded") != 0)
		wrong_state(job_id, state, "retry", "Only discarded jobs can be retried; enqueue a new one.");

	fs_ledger_reserve(1);
	for (;;)
	{
		w = fs_workspace_lock(db, workspace);
		if (fs_workspaces[w].parked != FS_PARK_MOVING || fs_ledger_freezes(w) || fs_ledger_holds_up(w))
			break;
		FsUnlock();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 2,
						 fs_wait_event(&moving_event, "FairschedMoving"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	table = FsJobTableOf(job_id);
	gone = table != 0 && table != fs_workspaces[w].set.job_table;
	if (table == 0)
		table = fs_workspaces[w].set.job_table;
	if (!gone)
		fs_ledger_queue(w, FS_NONE, 0, NULL, 0, 1, 0, false, false);
	FsUnlock();
	if (gone)
		wrong_state(job_id, "a dead letter of a workspace that was dropped", "retry",
					"Enqueue a new job with its payload; fairsched.dead_letters has it.");
	if (key)
	{
		FsJobRel   *into = fs_rows_open(table, false);
		int64		existing;
		bool		taken = fs_rows_find_unique(into, workspace, key, &existing);

		fs_rows_close(into);
		if (taken)
			wrong_state(job_id, psprintf("discarded, and job " INT64_FORMAT " has its unique key now", existing), "retry",
						"Wait until that job is over, or cancel it.");
	}
	args[1] = Int32GetDatum(table);
	fs_own_changes = true;
	fs_spi_begin();
	fs_spi("WITH dead AS (DELETE FROM fairsched.job_history WHERE job_id = $1 AND outcome = 'dead' RETURNING *) "
		   "INSERT INTO fairsched.jobs (job_id, position, created_at, run_at, job_table, flow, cost, "
		   "max_attempts, rank, attempt, token, state, priority, workspace, lane, kind, payload, "
		   "unique_key, run_id, capabilities, resources, budgets, checkpoint, errors, max_runtime, min_deliberation) "
		   "SELECT job_id, 0, created_at, now(), $2, 0, cost, max_attempts, "
		   "2 * substr(priority, 2, 1)::integer, 0, token, 'scheduled', priority, workspace, lane, kind, "
		   "payload, unique_key, run_id, capabilities, resources, budgets, checkpoint, errors, max_runtime, min_deliberation "
		   "FROM dead", 2, types, args, NULL);
	fs_spi_end();
	fs_own_changes = false;
	row = fs_rows_find(job_id, &jr);
	if (row == NULL)
		unknown_job(job_id);
	q.run_at = GetCurrentTimestamp();
	q.token = fs_state_numbers(db, FS_COUNTER_TOKEN, 1);
	if (fs_requeue(db, jr, &row, &q, true) != FS_ROW_DONE)
		elog(ERROR, "job row changed within its own transaction");
	fs_rows_close(jr);
	PG_RETURN_BOOL(true);
}
