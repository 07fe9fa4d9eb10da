/*
 * rows_index.c
 *		The indexes of job tables: opened when first needed, and new entries of a
 *		row.
 *
 * Keys of our own indexes are taken from the row as it lies there, without the
 * executor; indexes that an administrator added get theirs by the executor's
 * general means.
 *
 * Locks: RowExclusiveLock on an index, until the end of the transaction.
 */
#include "rows_index.h"

#include "access/genam.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "executor/tuptable.h"

Relation
fs_rows_index(FsJobRel *jr, int i)
{
	if (jr->index[i] == NULL)
		jr->index[i] = index_open(jr->table.index[i], RowExclusiveLock);
	return jr->index[i];
}

Relation
fs_rows_index_of_kind(FsJobRel *jr, FsIndexKind kind)
{
	for (int i = 0; i < jr->table.nindexes; i++)
		if (jr->table.kind[i] == kind)
			return fs_rows_index(jr, i);
	(void) fs_table_index(&jr->table, kind);	/* raises */
	return NULL;
}

/* Does this index hold the row, and under which key? */
static bool
index_key(FsIndexKind kind, HeapTuple tuple, TupleDesc desc, Datum *key, bool *isnull)
{
	FsJobFixed *job = FsJob(tuple);

	isnull[0] = isnull[1] = isnull[2] = false;
	switch (kind)
	{
		case FS_INDEX_JOB:
			key[0] = Int64GetDatum(job->job_id);
			return true;
		case FS_INDEX_READY:
			key[0] = Int32GetDatum(job->flow);
			key[1] = Int32GetDatum(job->rank);
			key[2] = Int64GetDatum(job->position);
			return job->position > 0;
		case FS_INDEX_DUE:
			key[0] = TimestampTzGetDatum(job->run_at);
			return job->position == 0;
		case FS_INDEX_WAITING:
			if (job->position != 0)
				return false;
			key[0] = heap_getattr(tuple, FS_COL_WORKSPACE + 1, desc, &isnull[0]);
			return true;
		case FS_INDEX_RUN:
			key[0] = heap_getattr(tuple, FS_COL_RUN_ID + 1, desc, &isnull[0]);
			return !isnull[0];
		case FS_INDEX_UNIQUE:
			key[1] = heap_getattr(tuple, FS_COL_UNIQUE_KEY + 1, desc, &isnull[1]);
			if (isnull[1])
				return false;
			key[0] = heap_getattr(tuple, FS_COL_WORKSPACE + 1, desc, &isnull[0]);
			return true;
		case FS_INDEX_OTHER:
			break;
	}
	return false;
}

/* Any index, by the executor's means. */
void
fs_rows_enter_other(Relation rel, Relation index, HeapTuple tuple)
{
	IndexInfo  *info = BuildIndexInfo(index);
	EState	   *estate = CreateExecutorState();
	ExprContext *econtext = GetPerTupleExprContext(estate);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];

	ExecStoreHeapTuple(tuple, slot, false);
	econtext->ecxt_scantuple = slot;
	if (info->ii_Predicate == NIL ||
		ExecQual(ExecPrepareQual(info->ii_Predicate, estate), econtext))
	{
		FormIndexDatum(info, slot, estate, values, isnull);
		index_insert(index, values, isnull, &tuple->t_self, rel,
					 info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, info);
		FS_INDEX_INSERT_CLEANUP(index, info);
	}
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
}

bool
fs_rows_enter_key(FsJobRel *jr, int i, Datum *key, bool *isnull, ItemPointer tid, IndexUniqueCheck check)
{
	static IndexInfo info = {.type = T_IndexInfo};

	info.ii_AmCache = NULL;
	return index_insert(fs_rows_index(jr, i), key, isnull, tid, jr->rel, check, false, &info);
}

bool
fs_rows_enter(FsJobRel *jr, int i, HeapTuple tuple, IndexUniqueCheck check)
{
	Datum		key[3];
	bool		isnull[3];
	FsIndexKind kind = jr->table.kind[i];

	if (kind == FS_INDEX_OTHER)
	{
		fs_rows_enter_other(jr->rel, fs_rows_index(jr, i), tuple);
		return true;
	}
	if (!index_key(kind, tuple, RelationGetDescr(jr->rel), key, isnull))
		return true;
	if (kind != FS_INDEX_JOB && kind != FS_INDEX_UNIQUE)
		check = UNIQUE_CHECK_NO;
	return fs_rows_enter_key(jr, i, key, isnull, &tuple->t_self, check);
}

void
fs_rows_enter_all(FsJobRel *jr, HeapTuple tuple)
{
	for (int i = 0; i < jr->table.nindexes; i++)
		fs_rows_enter(jr, i, tuple, UNIQUE_CHECK_YES);
}
