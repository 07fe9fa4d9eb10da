/*
 * requeue.c
 *		A job that goes back to wait, and one that is over.
 *
 * Every transition of a row except the claim goes through fs_requeue or
 * fs_end_job, which keep row, indexes, history and the ledger's counts together.
 * The caller has decided that the transition is right and deals with the lease.
 */
#include "requeue.h"

#include <math.h>

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "config.h"
#include "day_partition.h"
#include "enqueue.h"
#include "flows.h"
#include "preempt.h"
#include "rows_insert.h"
#include "softclaim.h"
#include "text.h"

#define MAX_ERRORS 10

char *
fs_row_text(FsJobRel *jr, HeapTuple row, FsJobColumn col)
{
	bool		isnull;
	Datum		d = heap_getattr(row, col + 1, RelationGetDescr(jr->rel), &isnull);

	return isnull ? NULL : TextDatumGetCString(d);
}

/*
 * May this job's row be changed now? While its workspace is frozen, and nobody's
 * transaction of before is left, its rows belong to who froze it: if we locked one
 * and then waited for the end of the freeze (a new job does), we would wait for
 * each other.  Otherwise FS_ROW_GONE after a wait: the row is to be looked up
 * again; or FS_ROW_LOCKED at once.
 */
static FsRowResult
wait_for_move(FsJobRel *jr, HeapTuple row, bool wait)
{
	static uint32 wait_event = 0;
	char	   *name;
	FsRowResult result = FS_ROW_DONE;

	if (fs->nsettled == 0)
		return FS_ROW_DONE;
	name = fs_row_text(jr, row, FS_COL_WORKSPACE);
	for (;;)
	{
		int32		w;
		bool		settled;

		FsLockShared();
		w = fs_sched_workspace_find(fs_my_db, name);
		settled = w != FS_NONE && fs_workspaces[w].settled && !fs_ledger_freezes(w);
		FsUnlock();
		if (!settled)
			return result;
		if (!wait)
			return FS_ROW_LOCKED;
		result = FS_ROW_GONE;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 2,
						 fs_wait_event(&wait_event, "FairschedMoving"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* fs_backoff: exponential with jitter of a quarter, in usec. */
int64
fs_backoff(int attempt)
{
	double		ms = fs_retry_base * pow(2.0, Min(Max(attempt, 1) - 1, 40));

	ms = Min(ms, (double) fs_retry_max);
	ms *= 0.75 + 0.5 * pg_prng_double(&pg_global_prng_state);
	return (int64) (Min(ms, (double) fs_retry_max) * 1000);
}

Datum
fs_add_error(FsJobRel *jr, HeapTuple row, const char *error)
{
	bool		isnull;
	Datum		old = heap_getattr(row, FS_COL_ERRORS + 1, RelationGetDescr(jr->rel), &isnull);
	StringInfoData json;
	Datum		one;

	initStringInfo(&json);
	appendStringInfo(&json, "[{\"attempt\": %d, \"error\": ", FsJob(row)->attempt);
	escape_json(&json, error);
	appendStringInfoString(&json, ", \"at\": ");
	escape_json(&json, timestamptz_to_str(GetCurrentTimestamp()));
	appendStringInfoString(&json, "}]");
	one = DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
	if (isnull)
		return one;
	while (JB_ROOT_COUNT(DatumGetJsonbP(old)) >= MAX_ERRORS)
		old = DirectFunctionCall2(jsonb_delete_idx, old, Int32GetDatum(0));
	return DirectFunctionCall2(jsonb_concat, old, one);
}

void
fs_row_spec(FsDatabase *db, FsJobRel *jr, HeapTuple row, FsFlowSpec *spec)
{
	TupleDesc	desc = RelationGetDescr(jr->rel);
	bool		isnull;
	Datum		resources;
	Datum		budgets;

	resources = heap_getattr(row, FS_COL_RESOURCES + 1, desc, &isnull);
	if (isnull)
		resources = 0;
	budgets = heap_getattr(row, FS_COL_BUDGETS + 1, desc, &isnull);
	if (isnull)
		budgets = 0;
	/* few jobs have either: theirs is the kind worth knowing */
	fs_enqueue_spec(db, resources, budgets, budgets ? fs_row_text(jr, row, FS_COL_KIND) : "", spec);
}

/*
 * The flow of a row that becomes ready, by its id or, where that is not in
 * memory any more, by its contents.  Returns with fs->lock held and the flow
 * kept in memory by the ledger.
 */
static int32
lock_flow_of(FsDatabase *db, FsJobRel *jr, HeapTuple row, int32 *workspace)
{
	char	   *name = fs_row_text(jr, row, FS_COL_WORKSPACE);
	char	   *lane = fs_row_text(jr, row, FS_COL_LANE);
	bool		isnull;
	Datum		d;
	char		caps[FS_CAPS_LEN];
	int			caps_len = 0;
	FsFlowSpec	spec;
	int32		flow;

	d = heap_getattr(row, FS_COL_CAPABILITIES + 1, RelationGetDescr(jr->rel), &isnull);
	if (!isnull)
		caps_len = fs_text_caps(d, caps);
	fs_row_spec(db, jr, row, &spec);
	fs_ledger_reserve(4);
	*workspace = fs_workspace_lock(db, name);
	flow = fs_sched_flow_by_id(FsDbIndex(db), FsJob(row)->flow);
	if (flow != FS_NONE)
	{
		/* after a restart its number may be another's */
		FsRing	   *ring = &fs_rings[fs_members[fs_flows[flow].member].ring];

		if (FsWorkspaceOfFlow(flow) != *workspace || strcmp(fs_lanes[ring->lane].name, lane) != 0 ||
			(fs_flows[flow].id > 0 &&
			 (fs_ring_caps[ring->caps].len != caps_len || memcmp(fs_ring_caps[ring->caps].caps, caps, caps_len) != 0 ||
			  fs_flows[flow].spec[0] != spec.hash[0] || fs_flows[flow].spec[1] != spec.hash[1])))
			flow = FS_NONE;
	}
	if (flow == FS_NONE)
		flow = fs_enqueue_flow(db, *workspace, lane, caps, caps_len, &spec);
	if (flow == FS_NONE)
	{
		FsUnlock();
		ereport(ERROR,
				(errcode(ERRCODE_FS_CAPACITY),
				 errmsg("too many flows have jobs"),
				 errhint("Increase fairsched.max_flows, fairsched.max_workspaces or fairsched.max_rings and restart the server.")));
	}
	fs_ledger_reserved(*workspace, flow, 0);
	return flow;
}

/* What it means for queues that this row stops being what it is; fs->lock held. */
static void
ledger_leave(FsDatabase *db, FsJobRel *jr, HeapTuple row, FsJobState was, int32 workspace)
{
	FsCandidate cand;
	FsJobFixed *job = FsJob(row);

	if (workspace == FS_NONE)
		return;
	if (was == FS_JOB_AVAILABLE)
	{
		int32		flow = fs_sched_flow_by_id(FsDbIndex(db), job->flow);

		fs_ledger_queue(workspace, flow, FsRankSlot(job->rank), fs_rows_candidate(jr, row, &cand),
						-1, 0, 0, false, flow != FS_NONE);
	}
	else if (was != FS_JOB_RUNNING)
		fs_ledger_queue(workspace, FS_NONE, FsRankSlot(job->rank), NULL, 0, -1, 0, false, false);
}

FsRowResult
fs_requeue(FsDatabase *db, FsJobRel *jr, HeapTuple *row, const FsRequeue *q, bool wait)
{
	Datum		values[FS_JOB_COLUMNS];
	bool		nulls[FS_JOB_COLUMNS] = {0};
	bool		replace[FS_JOB_COLUMNS] = {0};
	FsJobFixed	old = *FsJob(*row);
	FsJobState	was = fs_job_state(*row);
	HeapTupleData before = **row;
	bool		ready = q->state == FS_JOB_AVAILABLE;
	bool		running = q->state == FS_JOB_RUNNING;
	int			cls = q->cls;
	int			rank = old.rank;
	int64		position = old.position;
	int32		workspace;
	int32		flow = FS_NONE;
	FsCandidate cand;
	FsRowResult result;

	result = wait_for_move(jr, *row, wait);
	if (result != FS_ROW_DONE)
		return result;
#define SET(col, datum) \
	do { values[col] = (datum); replace[col] = true; } while (0)

	if (cls >= 0)
		SET(FS_COL_PRIORITY, CStringGetTextDatum(FsPriorityNames[cls]));
	else
		cls = FsSlotClass(FsRankSlot(old.rank));
	if (!running || q->cls >= 0)
		rank = FsRankOf(cls, q->returned);
	if (!q->keep_position)
		position = ready ? FsPosition(fs_state_numbers(db, FS_COUNTER_POSITION, 1), old.cost) : 0;
	flow = lock_flow_of(db, jr, *row, &workspace);
	FsUnlock();

	SET(FS_COL_STATE, CStringGetTextDatum(FsJobStateNames[q->state]));
	SET(FS_COL_POSITION, Int64GetDatum(position));
	SET(FS_COL_RANK, Int32GetDatum(rank));
	if (ready)
		SET(FS_COL_FLOW, Int32GetDatum(fs_flows[flow].id));
	if (q->run_at)
		SET(FS_COL_RUN_AT, TimestampTzGetDatum(q->run_at));
	if (q->attempt >= 0)
		SET(FS_COL_ATTEMPT, Int32GetDatum(q->attempt));
	if (q->token)
		SET(FS_COL_TOKEN, Int64GetDatum(q->token));
	if (q->errors)
		SET(FS_COL_ERRORS, q->errors);
	if (q->checkpoint)
		SET(FS_COL_CHECKPOINT, q->checkpoint);
	if (q->note)
		SET(FS_COL_PRIORITY_NOTE, q->note);
	if (!running)
	{
		SET(FS_COL_REQUEST_ID, (Datum) 0);
		nulls[FS_COL_REQUEST_ID] = true;
	}
	if (q->preempted)
		SET(FS_COL_PREEMPTIONS, Int32GetDatum(fs_preemptions(jr, *row) + 1));
	if (q->review_run_at)
		SET(FS_COL_REVIEW_RUN_AT, TimestampTzGetDatum(q->review_run_at));
	else if (q->reviewed || q->state != FS_JOB_SCHEDULED)
	{
		SET(FS_COL_REVIEW_RUN_AT, (Datum) 0);
		nulls[FS_COL_REVIEW_RUN_AT] = true;
	}
	result = fs_rows_update(jr, row, values, nulls, replace, wait);
	if (result != FS_ROW_DONE)
		return result;
	if (ready && was != FS_JOB_AVAILABLE)
		fs_soft_settle(db, old.job_id);

	fs_ledger_reserve(2);
	FsLock();
	if (was != q->state || !running)
		ledger_leave(db, jr, &before, was, workspace);
	if (ready)
		fs_ledger_queue(workspace, flow, FsRankSlot(rank), fs_rows_candidate(jr, *row, &cand),
						1, 0, 0, true, false);
	else if (!running)
		fs_ledger_queue(workspace, FS_NONE, FsRankSlot(rank), NULL, 0, 1, FsJob(*row)->run_at,
						false, false);
	FsUnlock();
	if (was == FS_JOB_PREEMPTED && q->state != FS_JOB_PREEMPTED)
		fs_preempt_left(old.job_id, true);
	return FS_ROW_DONE;
}

/* ---------- the end of a job ---------- */

#define HISTORY_COLUMNS 28

/* The values of a history row, nothing of them stored with the job. */
static void
history_values(FsJobRel *jr, HeapTuple row, const FsEnd *end, const char *outcome,
			   TimestampTz now, Datum *out, bool *nulls)
{
	/* columns of fairsched.job_history that are copied, and from where */
	static const struct
	{
		int			to;
		FsJobColumn from;
	}			copy[] = {
		{0, FS_COL_JOB_ID}, {1, FS_COL_WORKSPACE}, {2, FS_COL_LANE}, {3, FS_COL_KIND},
		{5, FS_COL_PRIORITY}, {6, FS_COL_COST}, {7, FS_COL_ATTEMPT}, {8, FS_COL_MAX_ATTEMPTS},
		{9, FS_COL_RUN_AT}, {10, FS_COL_CREATED_AT}, {14, FS_COL_PAYLOAD}, {17, FS_COL_ERRORS},
		{18, FS_COL_CHECKPOINT}, {19, FS_COL_RUN_ID}, {20, FS_COL_UNIQUE_KEY},
		{21, FS_COL_CAPABILITIES}, {22, FS_COL_RESOURCES}, {23, FS_COL_BUDGETS},
		{24, FS_COL_MAX_RUNTIME}, {25, FS_COL_TOKEN}, {27, FS_COL_MIN_DELIBERATION}
	};
	Datum		v[FS_JOB_COLUMNS];
	bool		isnull[FS_JOB_COLUMNS];

	fs_rows_deform(jr, row, v, isnull);
	memset(nulls, true, HISTORY_COLUMNS);
	for (int i = 0; i < lengthof(copy); i++)
	{
		out[copy[i].to] = v[copy[i].from];
		nulls[copy[i].to] = isnull[copy[i].from];
		/* what is stored out of line goes with the row: take the value itself */
		if (!nulls[copy[i].to] && TupleDescAttr(RelationGetDescr(jr->rel), copy[i].from)->attlen == -1)
			out[copy[i].to] = PointerGetDatum(PG_DETOAST_DATUM(out[copy[i].to]));
	}
#define OUT(n, datum) \
	do { out[n] = (datum); nulls[n] = false; } while (0)
	OUT(4, CStringGetTextDatum(end->state));
	if (!isnull[FS_COL_REVIEW_RUN_AT])
		OUT(9, v[FS_COL_REVIEW_RUN_AT]);
	OUT(12, TimestampTzGetDatum(now));
	if (end->claimed_at)
		OUT(11, TimestampTzGetDatum(end->claimed_at));
	if (end->worker)
		OUT(13, CStringGetTextDatum(end->worker));
	if (end->result)
		OUT(15, end->result);
	if (end->usage)
		OUT(16, end->usage);
	if (end->errors)
		OUT(17, end->errors);
	OUT(26, CStringGetTextDatum(outcome));
}

FsRowResult
fs_end_job(FsDatabase *db, FsJobRel *jr, HeapTuple row, const FsEnd *end, bool wait)
{
	FsJobState	was = fs_job_state(row);
	bool		completed = strcmp(end->state, "completed") == 0;
	const char *outcome = completed ? "completed" : "dead";
	bool		keep = !completed || fs_completed_retention > 0;
	TimestampTz now = keep ? GetCurrentTimestamp() : 0;
	Datum		values[HISTORY_COLUMNS];
	bool		nulls[HISTORY_COLUMNS];
	FsRowResult result;

	result = wait_for_move(jr, row, wait);
	if (result != FS_ROW_DONE)
		return result;
	if (keep)
		history_values(jr, row, end, outcome, now, values, nulls);
	result = fs_rows_delete(jr, row, wait);
	if (result != FS_ROW_DONE)
		return result;
	if (keep)
	{
		Relation	rel = fs_day_partition_open(completed ? "job_history_completed" : "job_history_dead", now);

		fs_rows_insert_plain(rel, heap_form_tuple(RelationGetDescr(rel), values, nulls));
		table_close(rel, NoLock);
	}
	if (was != FS_JOB_RUNNING && !end->soft)
	{
		char	   *name = fs_row_text(jr, row, FS_COL_WORKSPACE);

		fs_ledger_reserve(1);
		FsLock();
		ledger_leave(db, jr, row, was, fs_sched_workspace_find(FsDbIndex(db), name));
		FsUnlock();
		if (was == FS_JOB_PREEMPTED)
			fs_preempt_left(FsJob(row)->job_id, false);
	}
	return FS_ROW_DONE;
}
