/*
 * views_rows.c
 *		The two columns of views that need a job's row: the kind of a running
 *		job, and since when a workspace's oldest ready job is ready.
 *
 * They are functions of their own, marked STABLE, so that the planner leaves
 * them out where nobody selects the column.  Both only read, through the
 * indexes of one job table, under an AccessShareLock that is given back at
 * once: a dashboard's transaction holds up no move and no drop.
 */
#include "views.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "flows.h"
#include "ring.h"
#include "rows.h"
#include "softclaim.h"

#define VIEW_HEADS 64			/* ready lists of a workspace whose first row is looked up */
#define VIEW_PROBES 256			/* rows looked at for one of them */

/* A job table, or NULL; its indexes in *table. */
static Relation
open_table(int32 job_table, const FsTable **table)
{
	const FsTable *t = fs_table_get(job_table);
	Relation	rel = t ? try_relation_open(t->relid, AccessShareLock) : NULL;

	if (rel == NULL)
		return NULL;
	if (!t->valid)
		t = fs_table_get(job_table);	/* opening it took an invalidation in */
	if (t == NULL || t->relid != RelationGetRelid(rel))
	{
		table_close(rel, AccessShareLock);
		return NULL;
	}
	*table = t;
	return rel;
}

static void
read_begin(FsIndexRead *r, const FsTable *t, FsIndexKind kind, Snapshot snapshot, ScanKey keys, int nkeys)
{
	r->index = index_open(fs_table_index(t, kind), AccessShareLock);
	r->slot = table_slot_create(r->rel, NULL);
	r->scan = FS_INDEX_BEGINSCAN(r->rel, r->index, snapshot, nkeys);
	index_rescan(r->scan, keys, nkeys, NULL, 0);
}

static void
read_end(FsIndexRead *r)
{
	index_endscan(r->scan);
	ExecDropSingleTupleTableSlot(r->slot);
	index_close(r->index, AccessShareLock);
}

/* fs_view_read_begin: false when there is no such table. */
bool
fs_view_read_begin(FsIndexRead *r, int32 job_table, FsIndexKind kind, Snapshot snapshot,
		   ScanKey keys, int nkeys)
{
	const FsTable *t;

	r->rel = open_table(job_table, &t);
	if (r->rel == NULL)
		return false;
	read_begin(r, t, kind, snapshot, keys, nkeys);
	return true;
}

/* fs_view_read_next: the next row, or NULL; valid until the next call. */
HeapTuple
fs_view_read_next(FsIndexRead *r)
{
	if (!index_getnext_slot(r->scan, ForwardScanDirection, r->slot))
		return NULL;
	return ExecFetchSlotHeapTuple(r->slot, false, NULL);
}

void
fs_view_read_end(FsIndexRead *r)
{
	read_end(r);
	table_close(r->rel, AccessShareLock);
}

/* ---------- workspace_status.oldest_ready_age ---------- */

/* The head of one queue of a workspace, as memory knows it. */
typedef struct FsHead
{
	int32		flow;
	int			slot;
	int64		from;			/* its position, or the lowest that it can have */
	int64		gap;			/* how far apart the flow's positions are; 0: not known */
} FsHead;

/*
 * Since when the first available row of a queue is ready; *since is left alone
 * when there is none.  False: not known, the first rows there all run.
 *
 * An index scan reads all matching entries of a leaf page before it gives the
 * first one back, and there are hundreds.  So it looks into a window of a few
 * first, then into a wider one, and only then at all.
 */
static bool
ready_since(Relation rel, const FsTable *table, const FsHead *head, TimestampTz *since)
{
	const int64 width[] = {head->gap > 0 ? 4 * head->gap : FsPosition(32, 0), FsPosition(4096, 0), 0};
	ScanKeyData keys[4];
	FsIndexRead r = {.rel = rel};
	HeapTuple	tuple;
	int64		from = head->from;
	int			probes = 0;
	bool		found = false;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(head->flow));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(FsSlotRank(head->slot)));
	for (int i = 0; i < lengthof(width) && !found && probes < VIEW_PROBES; i++)
	{
		int64		end = width[i] > 0 && from < PG_INT64_MAX - width[i] ? from + width[i] : PG_INT64_MAX;

		ScanKeyInit(&keys[2], 3, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(from));
		ScanKeyInit(&keys[3], 3, BTLessStrategyNumber, F_INT8LT, Int64GetDatum(end));
		if (i > 0)
			index_rescan(r.scan, keys, 4, NULL, 0);
		else
			read_begin(&r, table, FS_INDEX_READY, GetActiveSnapshot(), keys, 4);
		while (!found && probes < VIEW_PROBES && (tuple = fs_view_read_next(&r)) != NULL)
		{
			found = fs_job_state(tuple) == FS_JOB_AVAILABLE && fs_soft_attempt(FsJob(tuple)->job_id) == 0;
			if (found)
				*since = FsJob(tuple)->run_at;
			probes++;
		}
		from = end;
	}
	read_end(&r);
	return found || probes < VIEW_PROBES;
}

/*
 * fs_view_oldest_ready_age(workspace): how long its oldest ready job has been
 * ready; NULL when nothing is, or when that would take more than a bounded
 * number of index look-ups.  Every ready list of memory knows from which position on
 * jobs wait, so each look-up starts at the first of them.
 */
PG_FUNCTION_INFO_V1(fs_view_oldest_ready_age);
Datum
fs_view_oldest_ready_age(PG_FUNCTION_ARGS)
{
	FsHead		heads[VIEW_HEADS];
	Relation	rel;
	const FsTable *table;
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int			n = 0;
	bool		too_many = false;
	bool		known = true;
	int32		job_table = 0;
	int32		w;
	TimestampTz oldest = DT_NOEND;
	Interval   *age;

	fs_view_check("workspace_status", "fairness");
	if (fs_view_state("workspace_status") == NULL)
		PG_RETURN_NULL();

	FsLockShared();
	w = fs_view_ours(fs_my_db) ? fs_sched_workspace_find(fs_my_db, name) : FS_NONE;
	if (w != FS_NONE)
	{
		job_table = fs_workspaces[w].set.job_table;
		for (int32 s = fs_workspaces[w].shares; s != FS_NONE && !too_many; s = fs_shares[s].next)
			for (int32 m = fs_shares[s].members; m != FS_NONE && !too_many; m = fs_members[m].next)
				for (int list = 0; list < FS_RANKS && !too_many; list++)
				{
					int32		first = fs_members[m].heads[list];
					int32		f = first;

					if (f == FS_NONE)
						continue;
					do
					{
						const FsFlow *flow = &fs_flows[f];

						for (int slot = 0; slot < FS_RANKS; slot++)
						{
							int64		from = fs_sched_flow_head(flow, slot);

							if (from == PG_INT64_MAX)
								continue;
							if (n == VIEW_HEADS)
							{
								too_many = true;
								break;
							}
							heads[n].flow = flow->id;
							heads[n].slot = slot;
							heads[n].from = from;
							heads[n].gap = flow->gap;
							n++;
						}
						f = flow->list_next;
					} while (f != first && !too_many);
				}
	}
	FsUnlock();
	rel = too_many || n == 0 ? NULL : open_table(job_table, &table);
	if (rel == NULL)
		PG_RETURN_NULL();

	/* memory is ahead of the statement's snapshot */
	fs_push_snapshot();
	for (int i = 0; i < n && known; i++)
	{
		TimestampTz since = DT_NOEND;

		known = ready_since(rel, table, &heads[i], &since);
		oldest = Min(oldest, since);
	}
	fs_pop_snapshot();
	table_close(rel, AccessShareLock);
	if (!known || oldest == DT_NOEND)
		PG_RETURN_NULL();
	age = palloc0(sizeof(Interval));
	age->time = Max(GetCurrentStatementStartTimestamp() - oldest, 0);
	PG_RETURN_INTERVAL_P(age);
}

/* ---------- running_jobs.kind ---------- */

/*
 * fs_view_job_kind(job_table, job_id): the kind of a live job, NULL when it has
 * no row there.  The kind never changes and an id is never given to another
 * job, so any version of the row will do, seen or not by the statement's
 * snapshot: the lease may be newer than that, or just have ended.
 */
PG_FUNCTION_INFO_V1(fs_view_job_kind);
Datum
fs_view_job_kind(PG_FUNCTION_ARGS)
{
	ScanKeyData key;
	FsIndexRead r;
	HeapTuple	tuple;
	bool		isnull = true;
	Datum		kind = (Datum) 0;

	fs_view_check("running_jobs", NULL);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, PG_GETARG_DATUM(1));
	if (!fs_view_read_begin(&r, PG_GETARG_INT32(0), FS_INDEX_JOB, SnapshotAny, &key, 1))
		PG_RETURN_NULL();
	tuple = fs_view_read_next(&r);
	if (tuple != NULL)
	{
		kind = heap_getattr(tuple, FS_COL_KIND + 1, RelationGetDescr(r.rel), &isnull);
		if (!isnull)
			kind = PointerGetDatum(PG_DETOAST_DATUM_COPY(kind));
	}
	fs_view_read_end(&r);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(kind);
}
