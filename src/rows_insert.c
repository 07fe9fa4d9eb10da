/*
 * rows_insert.c
 *		New job rows: into their table, and into its indexes.
 *
 * Rows of one call are inserted together: their pages are filled and logged as
 * wholes, then each index gets its entries, in its own order (leaf.c).  A row
 * with a unique key goes in as INSERT … ON CONFLICT does it, by itself.
 *
 * Locks: as in rows.c.  Only a unique key waits for other transactions.
 */
#include "rows_insert.h"

#include "access/heapam.h"
#include "access/heaptoast.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "extend.h"
#include "leaf.h"
#include "rows_index.h"

#define INSERT_CHUNK 100

/* What the indexes that most rows are in need of them; the rows themselves do not stay in cache. */
typedef struct FsNewEntry
{
	int64		job_id;
	int64		position;
	int32		flow;
	int32		rank;
	ItemPointerData tid;
} FsNewEntry;

static inline int
compare_ready(const FsNewEntry *a, const FsNewEntry *b)
{
	if (a->flow != b->flow)
		return a->flow < b->flow ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return a->position < b->position ? -1 : a->position > b->position;
}

#define ST_SORT sort_ready
#define ST_ELEMENT_TYPE FsNewEntry
#define ST_COMPARE(a, b) compare_ready(a, b)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

#define ST_SORT sort_jobs
#define ST_ELEMENT_TYPE FsNewEntry
#define ST_COMPARE(a, b) ((a)->job_id < (b)->job_id ? -1 : (a)->job_id > (b)->job_id)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* The job or the ready index, in its order; keys has room for n. */
static void
insert_entries(FsJobRel *jr, int x, FsNewEntry *entries, int n, FsLeafKey *keys)
{
	bool		ready = jr->table.kind[x] == FS_INDEX_READY;
	bool		isnull[FS_LEAF_COLUMNS] = {0};
	int			m = 0;

	if (ready)
		sort_ready(entries, n);
	else
		sort_jobs(entries, n);
	for (int i = 0; i < n; i++)
	{
		FsNewEntry *e = &entries[i];
		FsLeafKey  *key = &keys[m];

		if (ready && e->position <= 0)
			continue;			/* not ready: no entry */
		if (ready)
		{
			key->column[0] = Int32GetDatum(e->flow);
			key->column[1] = Int32GetDatum(e->rank);
			key->column[2] = Int64GetDatum(e->position);
		}
		else
			key->column[0] = Int64GetDatum(e->job_id);
		key->tid = e->tid;
		m++;
	}
	if (fs_leaf_possible(fs_rows_index(jr, x), ready ? 3 : 1))
		fs_leaf_insert(fs_rows_index(jr, x), jr->rel, keys, m, !ready);
	else
		for (int i = 0; i < m; i++)
			fs_rows_enter_key(jr, x, keys[i].column, isnull, &keys[i].tid, ready ? UNIQUE_CHECK_NO : UNIQUE_CHECK_YES);
}

/* Enter new rows into their indexes: one after the other. */
static void
insert_indexes_of_many(FsJobRel *jr, HeapTuple *tuples, FsNewEntry *entries, FsLeafKey *keys, int n)
{
	bool		holds[FS_INDEX_OTHER + 1] = {[FS_INDEX_JOB] = true,[FS_INDEX_OTHER] = true};

	for (int i = 0; i < n; i++)
	{
		FsJobFixed *job = FsJob(tuples[i]);

		entries[i].job_id = job->job_id;
		entries[i].position = job->position;
		entries[i].flow = job->flow;
		entries[i].rank = job->rank;
		entries[i].tid = tuples[i]->t_self;
		holds[job->position > 0 ? FS_INDEX_READY : FS_INDEX_DUE] = true;
		holds[FS_INDEX_RUN] |= !heap_attisnull(tuples[i], FS_COL_RUN_ID + 1, NULL);
		holds[FS_INDEX_UNIQUE] |= !heap_attisnull(tuples[i], FS_COL_UNIQUE_KEY + 1, NULL);
	}
	holds[FS_INDEX_WAITING] = holds[FS_INDEX_DUE];
	for (int x = 0; x < jr->table.nindexes; x++)
	{
		FsIndexKind kind = jr->table.kind[x];

		if (!holds[kind])
			continue;
		if (kind == FS_INDEX_JOB || kind == FS_INDEX_READY)
			insert_entries(jr, x, entries, n, keys);
		else
			for (int i = 0; i < n; i++)
				fs_rows_enter(jr, x, tuples[i], UNIQUE_CHECK_YES);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Pages for rows that are as long as m of them are, n in all. */
static void
make_room(Relation rel, HeapTuple *tuples, int m, int n)
{
	Size		usable = BLCKSZ - SizeOfPageHeaderData - RelationGetTargetPageFreeSpace(rel, HEAP_DEFAULT_FILLFACTOR);
	Size		bytes = 0;

	for (int i = 0; i < m; i++) /* what is longer goes to the TOAST table */
		bytes += MAXALIGN(Min(tuples[i]->t_len, TOAST_TUPLE_TARGET)) + sizeof(ItemIdData);
	fs_extend_for(rel, MAXALIGN(Min(tuples[0]->t_len, TOAST_TUPLE_TARGET)), bytes / m * n / usable);
}

/*
 * fs_rows_insert: rows without unique keys, together, as inserted by command
 * cid: their pages are filled and logged as wholes.
 */
void
fs_rows_insert(FsJobRel *jr, HeapTuple *tuples, int n, CommandId cid)
{
	TupleTableSlot *slots[INSERT_CHUNK];
	FsNewEntry *entries;
	FsLeafKey  *keys;
	int			nslots;

	if (n == 1)
	{
		FsNewEntry	entry;
		FsLeafKey	key;

		heap_insert(jr->rel, tuples[0], cid, 0, NULL);
		insert_indexes_of_many(jr, tuples, &entry, &key, 1);
		return;
	}
	nslots = Min(n, INSERT_CHUNK);
	for (int i = 0; i < nslots; i++)
		slots[i] = MakeSingleTupleTableSlot(RelationGetDescr(jr->rel), &TTSOpsHeapTuple);
	for (int from = 0; from < n; from += INSERT_CHUNK)
	{
		int			m = Min(INSERT_CHUNK, n - from);

		make_room(jr->rel, tuples + from, m, n - from);
		for (int i = 0; i < m; i++)
			ExecStoreHeapTuple(tuples[from + i], slots[i], true);
		heap_multi_insert(jr->rel, slots, m, cid, 0, NULL);
		for (int i = 0; i < m; i++)
		{
			tuples[from + i]->t_self = slots[i]->tts_tid;
			slots[i]->tts_flags &= ~TTS_FLAG_SHOULDFREE;	/* it was a loan that
															 * spared a copy */
			ExecClearTuple(slots[i]);
		}
		CHECK_FOR_INTERRUPTS();
	}
	for (int i = 0; i < nslots; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	entries = palloc(sizeof(FsNewEntry) * n);
	keys = palloc(sizeof(FsLeafKey) * n);
	insert_indexes_of_many(jr, tuples, entries, keys, n);
	pfree(keys);
	pfree(entries);
}

/* ---------- unique keys ---------- */

/*
 * fs_rows_find_unique: the live job of the workspace that has this key, the
 * newest truth whatever the transaction's snapshot.  Waits for transactions
 * that are inserting or deleting such a job.
 */
bool
fs_rows_find_unique(FsJobRel *jr, const char *workspace, Datum unique_key, int64 *existing)
{
	Relation	index = fs_rows_index_of_kind(jr, FS_INDEX_UNIQUE);
	Datum		ws = CStringGetTextDatum(workspace);

	for (;;)
	{
		SnapshotData dirty;
		ScanKeyData keys[2];
		IndexScanDesc scan;
		TupleTableSlot *slot = table_slot_create(jr->rel, NULL);
		TransactionId wait = InvalidTransactionId;
		uint32		token = 0;
		ItemPointerData tid;
		bool		found = false;

		InitDirtySnapshot(dirty);
		ScanKeyEntryInitialize(&keys[0], 0, 1, BTEqualStrategyNumber, InvalidOid,
							   index->rd_indcollation[0], F_TEXTEQ, ws);
		ScanKeyEntryInitialize(&keys[1], 0, 2, BTEqualStrategyNumber, InvalidOid,
							   index->rd_indcollation[1], F_TEXTEQ, unique_key);
		scan = FS_INDEX_BEGINSCAN(jr->rel, index, &dirty, 2);
		index_rescan(scan, keys, 2, NULL, 0);
		while (index_getnext_slot(scan, ForwardScanDirection, slot))
		{
			wait = TransactionIdIsValid(dirty.xmin) ? dirty.xmin : dirty.xmax;
			token = dirty.speculativeToken;
			tid = slot->tts_tid;
			if (TransactionIdIsValid(wait))
				break;
			*existing = FsJob(ExecFetchSlotHeapTuple(slot, false, NULL))->job_id;
			found = true;
			break;
		}
		index_endscan(scan);
		ExecDropSingleTupleTableSlot(slot);
		if (found)
			return true;
		if (!TransactionIdIsValid(wait))
			return false;
		if (token && TransactionIdIsValid(dirty.xmin))
			SpeculativeInsertionWait(dirty.xmin, token);
		else
			XactLockTableWait(wait, jr->rel, &tid, XLTW_InsertIndex);
		CHECK_FOR_INTERRUPTS();
	}
}

bool
fs_rows_insert_unique(FsJobRel *jr, HeapTuple tuple, const char *workspace, Datum unique_key,
					  int64 *existing)
{
	TransactionId xid = GetCurrentTransactionId();
	CommandId	cid = GetCurrentCommandId(true);
	int			unique = -1;

	for (int i = 0; i < jr->table.nindexes; i++)
		if (jr->table.kind[i] == FS_INDEX_UNIQUE)
			unique = i;
	for (;;)
	{
		uint32		token;
		bool		mine;

		if (fs_rows_find_unique(jr, workspace, unique_key, existing))
			return false;

		/*
		 * as INSERT … ON CONFLICT does: others wait for the token, not for
		 * our transaction
		 */
		token = SpeculativeInsertionLockAcquire(xid);
		HeapTupleHeaderSetSpeculativeToken(tuple->t_data, token);
		heap_insert(jr->rel, tuple, cid, HEAP_INSERT_SPECULATIVE, NULL);
		mine = fs_rows_enter(jr, unique, tuple, UNIQUE_CHECK_PARTIAL);
		if (mine)
			heap_finish_speculative(jr->rel, &tuple->t_self);
		else
			heap_abort_speculative(jr->rel, &tuple->t_self);
		SpeculativeInsertionLockRelease(xid);
		if (mine)
			break;
	}
	for (int i = 0; i < jr->table.nindexes; i++)
		if (i != unique)
			fs_rows_enter(jr, i, tuple, UNIQUE_CHECK_YES);
	return true;
}

/* ---------- other tables ---------- */

/* fs_rows_insert_plain: for tables off the hot path (history). */
void
fs_rows_insert_plain(Relation rel, HeapTuple tuple)
{
	List	   *indexes;
	ListCell   *lc;

	heap_insert(rel, tuple, GetCurrentCommandId(true), 0, NULL);
	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), RowExclusiveLock);

		fs_rows_enter_other(rel, index, tuple);
		index_close(index, NoLock);
	}
}
