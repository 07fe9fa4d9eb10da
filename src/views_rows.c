/*
 * views_rows.c
 *		What views read of job tables, and the kind of a running job.
 *
 * Columns of views that need a job's row (the kind; oldest.c has the other) are
 * functions of their own, marked STABLE, so that the planner leaves them out
 * where nobody selects the column.  They only read, under an AccessShareLock
 * that is given back at once: a dashboard's transaction holds up no move and no
 * drop.
 */
#include "views.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "rows.h"

/* fs_view_open_table: a job table, or NULL; its indexes in *table.  Closed by table_close(…, AccessShareLock). */
Relation
fs_view_open_table(int32 job_table, const FsTable **table)
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

/* fs_view_index_begin: of a table that is open; ended by fs_view_index_end. */
void
fs_view_index_begin(FsIndexRead *r, const FsTable *t, FsIndexKind kind, Snapshot snapshot, ScanKey keys, int nkeys)
{
	r->index = index_open(fs_table_index(t, kind), AccessShareLock);
	r->slot = table_slot_create(r->rel, NULL);
	r->scan = FS_INDEX_BEGINSCAN(r->rel, r->index, snapshot, nkeys);
	index_rescan(r->scan, keys, nkeys, NULL, 0);
}

void
fs_view_index_end(FsIndexRead *r)
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

	r->rel = fs_view_open_table(job_table, &t);
	if (r->rel == NULL)
		return false;
	fs_view_index_begin(r, t, kind, snapshot, keys, nkeys);
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
	fs_view_index_end(r);
	table_close(r->rel, AccessShareLock);
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
