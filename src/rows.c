/*
 * rows.c
 *		Job rows, found and changed.  Beside rows_insert.c, which makes new ones,
 *		the only file that changes them.
 *
 * Rows are read and changed through the heap and index access methods, without
 * SPI or the executor: that is most of the speed of a claim.  What this skips
 * is made sure otherwise: privileges (EXECUTE on the functions is the right),
 * constraints (the functions check), triggers (they exist for other writers
 * only), generated columns and row security (job tables have none).
 *
 * A claim updates attempt, token, claimed_at, lease_ms, state and worker: they
 * lie side by side, so that WAL holds little more than them, and no index knows
 * them, so it is a heap-only update as long as the page has room, which the
 * fillfactor sees to.
 *
 * A row whose optional columns are all null is stored without them, as if they
 * had been added to the table later: no null bitmap, which saves 8 bytes in the
 * row and in WAL, and half of the work of taking rows apart.
 *
 * Locks: RowExclusiveLock on the job table until the end of the transaction.
 * A row is never waited for in a claim (wait = false), so claims skip locked
 * rows; verbs about one job wait.
 */
#include "rows.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/hio.h"
#include "access/multixact.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "rows_index.h"
#include "text.h"

StaticAssertDecl(FS_JOB_FIXED_LEN == 76, "FsJobFixed must match the columns of fairsched.jobs");

const char *const FsJobStateNames[] = {"available", "scheduled", "running", "retryable", "preempted"};

/* fs_job_state: from the first letters of the text that follows the fixed columns. */
FsJobState
fs_job_state(HeapTuple tuple)
{
	const char *s = VARDATA_ANY((char *) GETSTRUCT(tuple) + FS_JOB_FIXED_LEN);

	switch (s[0])
	{
		case 's':
			return FS_JOB_SCHEDULED;
		case 'p':
			return FS_JOB_PREEMPTED;
		case 'r':
			return s[1] == 'u' ? FS_JOB_RUNNING : FS_JOB_RETRYABLE;
		default:
			return FS_JOB_AVAILABLE;
	}
}

FsJobRel *
fs_rows_open(int job_table, bool missing_ok)
{
	const FsTable *t = fs_table_get(job_table);
	FsJobRel   *jr;
	Relation	rel = NULL;

	if (t != NULL)
		rel = try_relation_open(t->relid, RowExclusiveLock);
	if (rel == NULL)
	{
		if (missing_ok)
			return NULL;
		ereport(ERROR,
				(errcode(ERRCODE_FS_BUSY),
				 errmsg("job table %d is not there any more", job_table),
				 errhint("Its workspace was dropped or moved just now; try again.")));
	}
	if (!t->valid)
	{
		t = fs_table_get(job_table);	/* opening it took an invalidation in */
		if (t == NULL)
		{
			table_close(rel, NoLock);
			return fs_rows_open(job_table, missing_ok);
		}
	}
	jr = palloc0(sizeof(FsJobRel));
	jr->rel = rel;
	jr->table = *t;
	return jr;
}

/* fs_rows_close: locks stay until the end of the transaction. */
void
fs_rows_close(FsJobRel *jr)
{
	for (int i = 0; i < jr->table.nindexes; i++)
		if (jr->index[i])
			index_close(jr->index[i], NoLock);
	table_close(jr->rel, NoLock);
	pfree(jr);
}

/* The columns that every job has; the same in all job tables. */
static TupleDesc
short_desc(TupleDesc full)
{
	static TupleDesc desc = NULL;

	if (desc == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
		TupleDesc	d = CreateTemplateTupleDesc(FS_COL_OPTIONAL);

		for (int i = 1; i <= FS_COL_OPTIONAL; i++)
			TupleDescCopyEntry(d, i, full, i);
		desc = d;
		MemoryContextSwitchTo(old);
	}
	return desc;
}

/* fs_rows_deform_as: with the descriptor of any job table. */
void
fs_rows_deform_as(TupleDesc desc, HeapTuple tuple, Datum *values, bool *nulls)
{
	if (HeapTupleHeaderGetNatts(tuple->t_data) == FS_COL_OPTIONAL)
	{
		heap_deform_tuple(tuple, short_desc(desc), values, nulls);
		memset(nulls + FS_COL_OPTIONAL, true, FS_JOB_COLUMNS - FS_COL_OPTIONAL);
	}
	else
		heap_deform_tuple(tuple, desc, values, nulls);
}

void
fs_rows_deform(FsJobRel *jr, HeapTuple tuple, Datum *values, bool *nulls)
{
	fs_rows_deform_as(RelationGetDescr(jr->rel), tuple, values, nulls);
}

FsCandidate *
fs_rows_candidate(FsJobRel *jr, HeapTuple row, FsCandidate *cand)
{
	cand->position = FsJob(row)->position;
	cand->cost = FsJob(row)->cost;
	cand->relfile = FsRelFile(jr->rel);
	cand->tid = row->t_self;
	cand->unseen = false;
	return cand;
}

/*
 * Is there such a place?  VACUUM may have cut off the pages of rows that are
 * gone.  A size that was once read is still right: who cuts pages off invalidates
 * it, and cannot while we hold our lock, which we got after taking that in.
 */
static bool
place_exists(FsJobRel *jr, const ItemPointerData *tid)
{
	BlockNumber block = ItemPointerGetBlockNumber(tid);
	BlockNumber known = RelationGetSmgr(jr->rel)->smgr_cached_nblocks[MAIN_FORKNUM];

	if (known != InvalidBlockNumber && block < known)
		return true;
	return block < RelationGetNumberOfBlocks(jr->rel);
}

/* ---------- finding ---------- */

/* A column of variable length as it is in memory, or 0 for null. */
static Datum
varlena_of(TupleTableSlot *slot, FsJobColumn col)
{
	bool		isnull;
	Datum		d = slot_getattr(slot, col + 1, &isnull);

	return isnull ? (Datum) 0 : PointerGetDatum(PG_DETOAST_DATUM_COPY(d));
}

static bool
same_varlena(Datum a, Datum b)
{
	if (a == 0 || b == 0)
		return a == b;
	return VARSIZE(a) == VARSIZE(b) && memcmp(DatumGetPointer(a), DatumGetPointer(b), VARSIZE(a)) == 0;
}

/* An overflow flow is served as far as its jobs need what its head does; the first one says what that is. */
static bool
same_head(TupleTableSlot *slot, FsOverflowHead *head, bool first)
{
	FsOverflowHead mine = {0};
	bool		isnull;
	Datum		d = slot_getattr(slot, FS_COL_CAPABILITIES + 1, &isnull);

	if (!isnull)
		mine.caps_len = fs_text_caps(d, mine.caps);
	mine.resources = varlena_of(slot, FS_COL_RESOURCES);
	mine.budgets = varlena_of(slot, FS_COL_BUDGETS);
	mine.kind = TextDatumGetCString(slot_getattr(slot, FS_COL_KIND + 1, &isnull));
	if (first)
	{
		*head = mine;
		return true;
	}
	return mine.caps_len == head->caps_len && memcmp(mine.caps, head->caps, mine.caps_len) == 0 &&
		same_varlena(mine.resources, head->resources) && same_varlena(mine.budgets, head->budgets) &&
		(mine.budgets == 0 || strcmp(mine.kind, head->kind) == 0);
}

/* The ready index of one flow and rank, from a position to another; entries: what it says is wanted. */
static IndexScanDesc
scan_ready(FsJobRel *jr, int32 flow, int rank, int64 from, int64 to, bool entries)
{
	ScanKeyData keys[4];
	IndexScanDesc scan;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(flow));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(rank));
	ScanKeyInit(&keys[2], 3, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(from));

	/*
	 * the descent reads every matching entry of its leaf page: hence an upper
	 * bound
	 */
	ScanKeyInit(&keys[3], 3, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(to));
	scan = FS_INDEX_BEGINSCAN(jr->rel, fs_rows_index_of_kind(jr, FS_INDEX_READY), GetActiveSnapshot(), 4);
	scan->xs_want_itup = entries;	/* the index wants to know before it
									 * begins */
	index_rescan(scan, keys, 4, NULL, 0);
	return scan;
}

int
fs_rows_scan_ready(FsJobRel *jr, int32 flow, int rank, int64 from, int64 to, int max,
				   FsCandidate *found, int64 *jobs, bool *more, bool *others, FsOverflowHead *head)
{
	IndexScanDesc scan = scan_ready(jr, flow, rank, from, to, false);
	TupleTableSlot *slot = table_slot_create(jr->rel, NULL);
	int			n = 0;

	*more = false;
	while (index_getnext_tid(scan, ForwardScanDirection))
	{
		HeapTuple	tuple;

		if (!index_fetch_heap(scan, slot))
		{
			*others = true;
			continue;
		}
		tuple = ExecFetchSlotHeapTuple(slot, false, NULL);
		if (fs_job_state(tuple) != FS_JOB_AVAILABLE)
		{
			*others = true;
			continue;
		}
		if (n == max)
		{
			*more = true;
			break;
		}
		if (head && !same_head(slot, head, n == 0))
		{
			*more = true;
			break;
		}
		found[n].position = FsJob(tuple)->position;
		found[n].cost = FsJob(tuple)->cost;
		found[n].relfile = FsRelFile(jr->rel);
		found[n].tid = slot->tts_tid;
		found[n].unseen = false;
		jobs[n] = FsJob(tuple)->job_id;
		n++;
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return n;
}

HeapTuple
fs_rows_first_from(FsJobRel *jr, int32 flow, int rank, int64 position)
{
	IndexScanDesc scan = scan_ready(jr, flow, rank, position, PG_INT64_MAX, false);
	TupleTableSlot *slot = table_slot_create(jr->rel, NULL);
	HeapTuple	row = NULL;

	while (row == NULL && index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, NULL);

		if (FsJob(tuple)->position == position || fs_job_state(tuple) == FS_JOB_AVAILABLE)
			row = ExecCopySlotHeapTuple(slot);
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return row;
}

/* fs_rows_list_ready: -1 when an entry does not tell its cost. */
int
fs_rows_list_ready(FsJobRel *jr, int32 flow, int rank, int64 from, int64 to, int max,
				   FsCandidate *found, bool *more)
{
	IndexScanDesc scan = scan_ready(jr, flow, rank, from, to, true);
	ItemPointer tid;
	int			n = 0;

	*more = false;
	while ((tid = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		bool		isnull;
		int64		position = DatumGetInt64(index_getattr(scan->xs_itup, 3, scan->xs_itupdesc, &isnull));
		int32		cost = FsPositionCost(position);

		if (n == max)
		{
			*more = true;
			break;
		}
		if (cost == 0 || cost == FS_COST_IN_ROW)
		{
			n = -1;
			break;
		}
		found[n].position = position;
		found[n].cost = cost;
		found[n].relfile = FsRelFile(jr->rel);
		found[n].tid = *tid;
		found[n].unseen = true;
		n++;
	}
	index_endscan(scan);
	return n;
}

/*
 * fs_rows_job_at: the position tells whether the place still holds the job that
 * was meant; which of its versions that is, and who sees it, does not matter.
 */
int64
fs_rows_job_at(FsJobRel *jr, const FsCandidate *cand)
{
	HeapTupleData tuple;
	Buffer		buf;
	int64		job_id = 0;

	if (cand->relfile != FsRelFile(jr->rel) || !place_exists(jr, &cand->tid))
		return 0;
	tuple.t_self = cand->tid;
	if (heap_fetch(jr->rel, SnapshotAny, &tuple, &buf, false))
	{
		if (FsJob(&tuple)->position == cand->position)
			job_id = FsJob(&tuple)->job_id;
		ReleaseBuffer(buf);
	}
	return job_id;
}

/* The visible row at a place if it is this job's; a copy, or NULL. */
HeapTuple
fs_rows_at(FsJobRel *jr, Oid relfile, ItemPointer tid, int64 job_id)
{
	HeapTupleData tuple;
	Buffer		buf;
	HeapTuple	copy = NULL;

	if (FsRelFile(jr->rel) != relfile || !place_exists(jr, tid))
		return NULL;
	tuple.t_self = *tid;
	if (heap_fetch(jr->rel, GetActiveSnapshot(), &tuple, &buf, false))
	{
		if (FsJob(&tuple)->job_id == job_id)
			copy = heap_copytuple(&tuple);
		ReleaseBuffer(buf);
	}
	return copy;
}

/* fs_rows_running_on: rows has room for MaxHeapTuplesPerPage. */
int
fs_rows_running_on(FsJobRel *jr, BlockNumber block, HeapTuple *rows)
{
	Snapshot	snapshot = GetActiveSnapshot();
	Buffer		buf = ReadBuffer(jr->rel, block);
	Page		page;
	int			n = 0;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buf);
	for (OffsetNumber off = FirstOffsetNumber; off <= PageGetMaxOffsetNumber(page); off++)
	{
		ItemId		item = PageGetItemId(page, off);
		HeapTupleData tuple;

		if (!ItemIdIsNormal(item))
			continue;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(jr->rel);
		ItemPointerSet(&tuple.t_self, block, off);
		if (fs_job_state(&tuple) == FS_JOB_RUNNING &&
			HeapTupleSatisfiesVisibility(&tuple, snapshot, buf))
			rows[n++] = heap_copytuple(&tuple);
	}
	UnlockReleaseBuffer(buf);
	return n;
}

static HeapTuple
find_in(FsJobRel *jr, int64 job_id)
{
	ScanKeyData key;
	IndexScanDesc scan;
	TupleTableSlot *slot = table_slot_create(jr->rel, NULL);
	HeapTuple	copy = NULL;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(job_id));
	scan = FS_INDEX_BEGINSCAN(jr->rel, fs_rows_index_of_kind(jr, FS_INDEX_JOB), GetActiveSnapshot(), 1);
	index_rescan(scan, &key, 1, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, slot))
		copy = ExecCopySlotHeapTuple(slot);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return copy;
}

/*
 * fs_rows_find: by its number a job leads to the table it was born in; one
 * that was born in the shared table may have moved to an own table.
 */
HeapTuple
fs_rows_find(int64 job_id, FsJobRel **jr)
{
	int			birth = FsJobTableOf(job_id);
	HeapTuple	tuple = NULL;
	int		   *list;
	int			n;

	*jr = NULL;
	if (job_id <= 0 || birth >= FS_MAX_TABLES)
		return NULL;
	fs_push_snapshot();
	*jr = fs_rows_open(birth, true);
	if (*jr)
		tuple = find_in(*jr, job_id);
	if (tuple == NULL && birth == 0)
	{
		list = fs_table_list(&n);
		for (int i = 0; i < n && tuple == NULL; i++)
		{
			if (list[i] == 0)
				continue;
			if (*jr)
				fs_rows_close(*jr);
			*jr = fs_rows_open(list[i], true);
			if (*jr)
				tuple = find_in(*jr, job_id);
		}
	}
	fs_pop_snapshot();
	if (tuple == NULL && *jr)
	{
		fs_rows_close(*jr);
		*jr = NULL;
	}
	return tuple;
}

/* ---------- forming ---------- */

/* fs_rows_form_as: with the descriptor of any job table. */
HeapTuple
fs_rows_form_as(TupleDesc desc, Datum *values, bool *nulls)
{
	bool		optional = false;

	for (int i = FS_COL_OPTIONAL; i < FS_JOB_COLUMNS && !optional; i++)
		optional = !nulls[i];
	return heap_form_tuple(optional ? desc : short_desc(desc), values, nulls);
}

HeapTuple
fs_rows_form(FsJobRel *jr, Datum *values, bool *nulls)
{
	HeapTuple	row = fs_rows_form_as(RelationGetDescr(jr->rel), values, nulls);

	row->t_tableOid = RelationGetRelid(jr->rel);
	return row;
}

/* ---------- changing ---------- */

/* May we change this row right now, as far as others go?  The buffer is pinned. */
static TM_Result
may_modify(Buffer buf, HeapTuple tuple)
{
	TM_Result	result;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	result = HeapTupleSatisfiesUpdate(tuple, GetCurrentCommandId(false), buf);
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	return result;
}

/* Is somebody changing or locking this row right now? */
static bool
being_modified(Buffer buf, HeapTuple tuple)
{
	return may_modify(buf, tuple) == TM_BeingModified;
}

/* The same for a row that is known by a copy. */
static bool
copy_being_modified(FsJobRel *jr, HeapTuple copy)
{
	HeapTupleData tuple;
	Buffer		buf;
	bool		result;

	tuple.t_self = copy->t_self;
	if (!heap_fetch(jr->rel, SnapshotAny, &tuple, &buf, false))
		return false;
	result = being_modified(buf, &tuple);
	ReleaseBuffer(buf);
	return result;
}

/* Behind n short values that lie side by side from `at`; NULL when one is not short. */
static char *
skip_short(char *at, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (!VARATT_IS_SHORT(at) || VARATT_IS_EXTERNAL(at))
			return NULL;
		at += VARSIZE_SHORT(at);
	}
	return at;
}

static char *
put_short(char *to, const char *from, Size len)
{
	SET_VARSIZE_SHORT(to, VARHDRSZ_SHORT + len);
	memcpy(to + VARHDRSZ_SHORT, from, len);
	return to + VARHDRSZ_SHORT + len;
}

/*
 * The row as claimed, put together from pieces of the old one.  That is a
 * quarter of the work of forming it, but needs a row without optional columns
 * and with short names; NULL otherwise.
 */
static HeapTuple
splice_claimed(FsJobRel *jr, HeapTuple old, const FsClaimMark *mark)
{
	char	   *data = (char *) GETSTRUCT(old);
	char	   *priority;
	char	   *kind_end;
	char	   *payload;
	char	   *at;
	Size		payload_len;
	Size		worker_len = VARSIZE_ANY_EXHDR(DatumGetPointer(mark->worker));
	FsJobFixed *job;
	HeapTuple	row;

	if (HeapTupleHasNulls(old) || HeapTupleHeaderGetNatts(old->t_data) != FS_COL_OPTIONAL ||
		mark->request != 0 || worker_len + VARHDRSZ_SHORT > VARATT_SHORT_MAX)
		return NULL;
	priority = skip_short(data + FS_JOB_FIXED_LEN, FS_COL_PRIORITY - FS_COL_STATE);
	kind_end = priority ? skip_short(priority, FS_COL_PAYLOAD - FS_COL_PRIORITY) : NULL;
	if (kind_end == NULL)
		return NULL;
	/* the only column that may need alignment is the last */
	payload = data + att_align_pointer(kind_end - data, TYPALIGN_INT, -1, kind_end);
	payload_len = (char *) old->t_data + old->t_len - payload;

	row = palloc0(HEAPTUPLESIZE + MAXALIGN(old->t_len + VARATT_SHORT_MAX));
	row->t_data = (HeapTupleHeader) ((char *) row + HEAPTUPLESIZE);
	row->t_tableOid = RelationGetRelid(jr->rel);
	ItemPointerSetInvalid(&row->t_self);
	ItemPointerSetInvalid(&row->t_data->t_ctid);
	row->t_data->t_hoff = old->t_data->t_hoff;
	row->t_data->t_infomask = old->t_data->t_infomask & (HEAP_HASVARWIDTH | HEAP_HASEXTERNAL);
	HeapTupleHeaderSetNatts(row->t_data, FS_COL_OPTIONAL);
	job = FsJob(row);
	memcpy(job, data, FS_JOB_FIXED_LEN);
	job->attempt++;
	job->token = mark->token;
	job->claimed_at = mark->claimed_at;
	job->lease_ms = (int32) Min(mark->lease / 1000, PG_INT32_MAX);
	at = put_short((char *) job + FS_JOB_FIXED_LEN, "running", strlen("running"));
	at = put_short(at, VARDATA_ANY(DatumGetPointer(mark->worker)), worker_len);
	memcpy(at, priority, kind_end - priority);
	at += kind_end - priority;
	if (payload != kind_end || VARATT_IS_4B(payload))
		at = (char *) job + INTALIGN(at - (char *) job);
	memcpy(at, payload, payload_len);
	row->t_len = at + payload_len - (char *) row->t_data;
	return row;
}

/* The row as claimed, formed from its columns. */
static HeapTuple
form_claimed(FsJobRel *jr, HeapTuple old, const FsClaimMark *mark)
{
	Datum		values[FS_JOB_COLUMNS];
	bool		nulls[FS_JOB_COLUMNS];

	fs_rows_deform(jr, old, values, nulls);
	values[FS_COL_STATE] = CStringGetTextDatum("running");
	values[FS_COL_ATTEMPT] = Int32GetDatum(FsJob(old)->attempt + 1);
	values[FS_COL_TOKEN] = Int64GetDatum(mark->token);
	values[FS_COL_CLAIMED_AT] = TimestampTzGetDatum(mark->claimed_at);
	values[FS_COL_LEASE_MS] = Int32GetDatum((int32) Min(mark->lease / 1000, PG_INT32_MAX));
	values[FS_COL_WORKER] = mark->worker;
	values[FS_COL_REQUEST_ID] = mark->request;
	nulls[FS_COL_REQUEST_ID] = mark->request == 0;
	return fs_rows_form(jr, values, nulls);
}

/* The row of a candidate, if it is still there to be claimed; its buffer is pinned then. */
static FsRowResult
fetch_candidate(FsJobRel *jr, int32 flow_id, const FsCandidate *cand, HeapTuple tuple, Buffer *buf)
{
	FsJobFixed *job;

	if (cand->relfile != FsRelFile(jr->rel))
		return FS_ROW_MOVED;
	if (!place_exists(jr, &cand->tid))
		return FS_ROW_GONE;
	tuple->t_self = cand->tid;
	if (!heap_fetch(jr->rel, GetActiveSnapshot(), tuple, buf, false))
		return FS_ROW_GONE;
	job = FsJob(tuple);
	if (job->position == cand->position && job->flow == flow_id && job->cost == cand->cost &&
		fs_job_state(tuple) == FS_JOB_AVAILABLE)
		return FS_ROW_DONE;
	ReleaseBuffer(*buf);
	return FS_ROW_GONE;
}

FsRowResult
fs_rows_look(FsJobRel *jr, int32 flow_id, const FsCandidate *cand, HeapTuple *copy)
{
	HeapTupleData tuple;
	Buffer		buf;
	FsRowResult found = fetch_candidate(jr, flow_id, cand, &tuple, &buf);
	TM_Result	result;

	if (found != FS_ROW_DONE)
		return found;
	result = may_modify(buf, &tuple);
	if (result == TM_Ok)
		*copy = heap_copytuple(&tuple);
	ReleaseBuffer(buf);
	return result == TM_Ok ? FS_ROW_DONE : result == TM_BeingModified ? FS_ROW_LOCKED : FS_ROW_GONE;
}

FsRowResult
fs_rows_claim(FsJobRel *jr, int32 flow_id, const FsCandidate *cand, const FsClaimMark *mark,
			  bool wait, HeapTuple *copy)
{
	HeapTupleData tuple;
	Buffer		buf;
	HeapTuple	row;
	FsRowResult found = fetch_candidate(jr, flow_id, cand, &tuple, &buf);
	TM_Result	result;
	bool		hot;

	if (found != FS_ROW_DONE)
		return found;
	row = splice_claimed(jr, &tuple, mark);
	if (row == NULL)
		row = form_claimed(jr, &tuple, mark);
	if (FS_UPDATE_LOOK_FIRST && !wait && being_modified(buf, &tuple))
	{
		ReleaseBuffer(buf);
		return FS_ROW_LOCKED;
	}
	/* keep the pin: heap_update finds the page again at once */
	result = fs_heap_update(jr->rel, &tuple.t_self, row, GetCurrentCommandId(true), wait, &hot);
	ReleaseBuffer(buf);
	switch (result)
	{
		case TM_Ok:
			if (!hot)
				fs_rows_enter_all(jr, row);
			*copy = row;
			return FS_ROW_DONE;
		case TM_BeingModified:
		case TM_WouldBlock:
			return FS_ROW_LOCKED;
		default:
			return FS_ROW_GONE;
	}
}

FsRowResult
fs_rows_lock(FsJobRel *jr, HeapTuple row, bool wait)
{
	HeapTupleData tuple;
	TM_FailureData failure;
	TM_Result	result;
	Buffer		buf;

	tuple.t_self = row->t_self;
	result = heap_lock_tuple(jr->rel, &tuple, GetCurrentCommandId(true), LockTupleExclusive,
							 wait ? LockWaitBlock : LockWaitSkip, false, &buf, &failure);
	ReleaseBuffer(buf);
	if (result == TM_Ok)
		return FS_ROW_DONE;
	return result == TM_WouldBlock ? FS_ROW_LOCKED : FS_ROW_GONE;
}

FsRowResult
fs_rows_delete(FsJobRel *jr, HeapTuple tuple, bool wait)
{
	TM_FailureData failure;
	TM_Result	result;

	if (FS_UPDATE_LOOK_FIRST && !wait && copy_being_modified(jr, tuple))
		return FS_ROW_LOCKED;
	result = heap_delete(jr->rel, &tuple->t_self, GetCurrentCommandId(true), InvalidSnapshot,
						 wait, &failure, false);
	if (result == TM_Ok)
		return FS_ROW_DONE;
	if (result == TM_BeingModified || result == TM_WouldBlock)
		return FS_ROW_LOCKED;
	return FS_ROW_GONE;
}

/* fs_rows_update: *tuple becomes the new row. */
FsRowResult
fs_rows_update(FsJobRel *jr, HeapTuple *tuple, Datum *values, bool *nulls, bool *replace, bool wait)
{
	Datum		all[FS_JOB_COLUMNS];
	bool		isnull[FS_JOB_COLUMNS];
	HeapTuple	row;
	TM_Result	result;
	bool		hot;

	fs_rows_deform(jr, *tuple, all, isnull);
	for (int i = 0; i < FS_JOB_COLUMNS; i++)
		if (replace[i])
		{
			all[i] = values[i];
			isnull[i] = nulls[i];
		}
	row = fs_rows_form(jr, all, isnull);
	if (FS_UPDATE_LOOK_FIRST && !wait && copy_being_modified(jr, *tuple))
		return FS_ROW_LOCKED;
	result = fs_heap_update(jr->rel, &(*tuple)->t_self, row, GetCurrentCommandId(true), wait, &hot);
	if (result == TM_BeingModified || result == TM_WouldBlock)
		return FS_ROW_LOCKED;
	if (result != TM_Ok)
		return FS_ROW_GONE;
	if (!hot)
		fs_rows_enter_all(jr, row);
	*tuple = row;
	return FS_ROW_DONE;
}
