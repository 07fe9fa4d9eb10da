/*
 * claimlog.c
 *		The claim log: on which pages of job tables jobs may be running.
 *
 * After a crash the running rows must be found without a look at the backlog.
 * A claim is a heap-only update, so the row stays on its page; the log lists
 * pages.  It is a superset: a page may have no running row any more, but every
 * running row that anybody can see is on a listed page.
 *
 * Since many jobs of a page are claimed one after the other, most claims find
 * their page listed and write nothing.  fs_logged remembers which pages are: a
 * table without collisions resolved, where a forgotten page only costs another
 * row.  A page enters it when the transaction that listed it has committed
 * (ITEM_LOGGED): whoever relies on the entry commits later, hence is lost with
 * it or after it.
 *
 * Two tables in turns, so that the log needs no deletes and does not bloat
 * under a held snapshot.  A transaction holds RowExclusiveLock on the log it
 * writes to or relies on until it ends.  Rotation swaps the logs and forgets
 * fs_logged; gets AccessExclusiveLock on the old log, so everybody who relied
 * on it is over; lists the pages of the running rows that are visible then in
 * the new log; truncates the old one.
 *
 * A page number holds for one file of the table.  VACUUM FULL and the like give
 * the table another; then all of it is read.
 *
 * fs->lock is taken here for the swap (which walks fs_logged, some 50 us, once
 * in thousands of claims); fs_logged is read without it.
 */
#include "claimlog.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/snapmgr.h"
#include "ledger.h"
#include "rows.h"

#define COLUMNS 3
#define CHUNK 100
#define RETRY_AFTER	(USECS_PER_SEC / 5)

static uint64
page_key(const FsPage *page)
{
	return ((uint64) (fs_my_db + 1) << 48) | ((uint64) page->job_table << 32) | page->block;
}

static uint32
place_of(uint64 key)
{
	/* Fibonacci hashing (Knuth): the upper bits of the product */
	return (uint32) ((key * UINT64CONST(0x9E3779B97F4A7C15)) >> (64 - FS_LOGGED_BITS));
}

/* Is the page listed in the log that is in use? */
static bool
is_logged(const FsPage *page)
{
	uint64		key = page_key(page);

	return pg_atomic_read_u64(&fs_logged[place_of(key)]) == key;
}

void
fs_claim_log_listed(uint64 key)
{
	pg_atomic_write_u64(&fs_logged[place_of(key)], key);
}

void
fs_claim_log_forget(int32 db)
{
	for (int i = 0; i < FS_LOGGED_PAGES; i++)
		if (pg_atomic_read_u64(&fs_logged[i]) >> 48 == (uint64) (db + 1))
			pg_atomic_write_u64(&fs_logged[i], 0);
}

/* Lock the log that is in use until the end of the transaction; returns which. */
static int
lock_current(FsDatabase *db)
{
	for (;;)
	{
		int			which = db->claim_log;
		Oid			relid = fs_catalog()->claim_log[which];

		LockRelationOid(relid, RowExclusiveLock);
		/* the log that is swapped out is locked only after the swap */
		if (which == db->claim_log)
			return which;
		UnlockRelationOid(relid, RowExclusiveLock);
	}
}

static HeapTuple
form_row(Relation log, const FsPage *page)
{
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS] = {0};

	values[0] = Int32GetDatum(page->job_table);
	values[1] = ObjectIdGetDatum(page->relfile);
	values[2] = Int64GetDatum((int64) page->block);
	return heap_form_tuple(RelationGetDescr(log), values, nulls);
}

static void
insert_rows(Relation log, const FsPage *pages, int n)
{
	CommandId	cid = GetCurrentCommandId(true);
	TupleTableSlot *slots[CHUNK];
	int			nslots = Min(n, CHUNK);

	if (n == 1)
	{
		HeapTuple	row = form_row(log, pages);

		heap_insert(log, row, cid, 0, NULL);
		heap_freetuple(row);
		return;
	}
	for (int i = 0; i < nslots; i++)
		slots[i] = MakeSingleTupleTableSlot(RelationGetDescr(log), &TTSOpsHeapTuple);
	for (int from = 0; from < n; from += CHUNK)
	{
		int			m = Min(CHUNK, n - from);

		for (int i = 0; i < m; i++)
			ExecStoreHeapTuple(form_row(log, &pages[from + i]), slots[i], true);
		heap_multi_insert(log, slots, m, cid, 0, NULL);
	}
	for (int i = 0; i < nslots; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
}

/* Rows were added; soon or late it is time to rotate. The count is a guess. */
static void
count_rows(FsDatabase *db, int n)
{
	db->claim_log_rows += n;
	if (db->claim_log_rows > db->claim_log_limit && db->tasks[FS_TASK_CLAIM_LOG].next_run != 0)
	{
		FsLock();
		db->tasks[FS_TASK_CLAIM_LOG].next_run = 0;
		if (db->worker_latch)
			SetLatch(db->worker_latch);
		FsUnlock();
	}
}

void
fs_claim_log_pages(FsDatabase *db, const FsPage *pages, int n)
{
	int			which = lock_current(db);
	uint64		gen = db->claim_log_gen;
	FsPage	   *missing = NULL;
	int			m = 0;

	for (int i = 0; i < n; i++)
	{
		if (m > 0 && missing[m - 1].block == pages[i].block &&
			missing[m - 1].job_table == pages[i].job_table)
			continue;
		if (is_logged(&pages[i]))
			continue;
		if (missing == NULL)
			missing = palloc(sizeof(FsPage) * (n - i));
		missing[m++] = pages[i];
	}
	if (m > 0)
	{
		Relation	log = table_open(fs_catalog()->claim_log[which], NoLock);

		fs_ledger_reserve(m);
		insert_rows(log, missing, m);
		table_close(log, NoLock);
		for (int i = 0; i < m; i++)
			fs_ledger_logged(page_key(&missing[i]), gen);
		count_rows(db, m);
		pfree(missing);
	}
}

void
fs_claim_log_table(FsDatabase *db, int job_table)
{
	FsPage		all = {
		.job_table = job_table,
		.relfile = InvalidOid,
		.block = InvalidBlockNumber,
	};

	fs_claim_log_pages(db, &all, 1);
	/* such an entry makes a rebuild long: get rid of it soon */
	count_rows(db, db->claim_log_limit);
}

/* ---------- rotation ---------- */

static int
by_page(const void *a, const void *b)
{
	const FsPage *x = a;
	const FsPage *y = b;

	if (x->job_table != y->job_table)
		return x->job_table < y->job_table ? -1 : 1;
	if (x->relfile != y->relfile)
		return x->relfile < y->relfile ? -1 : 1;
	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	return 0;
}

static int
sort_unique(FsPage *pages, int n)
{
	int			m = 0;

	qsort(pages, n, sizeof(FsPage), by_page);
	for (int i = 0; i < n; i++)
		if (m == 0 || by_page(&pages[m - 1], &pages[i]) != 0)
			pages[m++] = pages[i];
	return m;
}

typedef struct RunningJob
{
	int64		job_id;
	FsPage		page;
	ItemPointerData tid;
} RunningJob;

/* The pages of all running rows that can be seen now. */
static FsPage *
pages_in_use(FsDatabase *db, int *npages)
{
	RunningJob *jobs;
	FsPage	   *pages;
	int			n = 0;
	int			m = 0;
	FsJobRel   *jr = NULL;

	jobs = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(RunningJob) * (Size) (fs_max_running + 1));
	FsLockShared();
	for (int i = 0; i < fs->leases.capacity; i++)
	{
		FsLease    *lease = &fs_leases[i];

		if (lease->db != fs_my_db || lease->job_id == 0 || lease->state == FS_LEASE_GONE)
			continue;
		jobs[n].job_id = lease->job_id;
		jobs[n].page.job_table = lease->job_table;
		jobs[n].page.relfile = lease->relfile;
		jobs[n].tid = lease->tid;
		n++;
	}
	FsUnlock();

	pages = palloc_extended(sizeof(FsPage) * (Size) (n + 1), MCXT_ALLOC_HUGE);
	fs_push_snapshot();
	for (int i = 0; i < n; i++)
	{
		HeapTuple	row = NULL;
		FsJobRel   *other = NULL;

		if (jr && jr->table.job_table != jobs[i].page.job_table)
		{
			fs_rows_close(jr);
			jr = NULL;
		}
		if (jr == NULL)
			jr = fs_rows_open(jobs[i].page.job_table, true);
		if (jr)
			row = fs_rows_at(jr, jobs[i].page.relfile, &jobs[i].tid, jobs[i].job_id);
		if (row == NULL)
			row = fs_rows_find(jobs[i].job_id, &other);
		if (row && fs_job_state(row) == FS_JOB_RUNNING)
		{
			pages[m].job_table = other ? other->table.job_table : jobs[i].page.job_table;
			pages[m].relfile = FsRelFile(other ? other->rel : jr->rel);
			pages[m].block = ItemPointerGetBlockNumber(&row->t_self);
			m++;
		}
		if (row)
			heap_freetuple(row);
		if (other)
			fs_rows_close(other);
		CHECK_FOR_INTERRUPTS();
	}
	fs_pop_snapshot();
	if (jr)
		fs_rows_close(jr);
	pfree(jobs);
	*npages = sort_unique(pages, m);
	return pages;
}

TimestampTz
fs_claim_log_rotate(FsDatabase *db)
{
	int			out;
	int			n;
	FsPage	   *pages;
	char		sql[64];
	static bool pending = false;

	if (!pending && db->claim_log_rows <= db->claim_log_limit)
		return DT_NOEND;		/* claims wake us (count_rows) */
	if (!pending)
	{
		FsLock();
		db->claim_log = 1 - db->claim_log;
		db->claim_log_gen++;
		db->claim_log_rows = 0;
		fs_claim_log_forget(fs_my_db);
		FsUnlock();
		pending = true;
	}
	out = 1 - db->claim_log;
	if (!ConditionalLockRelationOid(fs_catalog()->claim_log[out], AccessExclusiveLock))
		return GetCurrentTimestamp() + RETRY_AFTER;
	pages = pages_in_use(db, &n);
	if (n > 0)
	{
		Relation	to = table_open(fs_catalog()->claim_log[1 - out], RowExclusiveLock);

		insert_rows(to, pages, n);
		table_close(to, NoLock);
	}
	pfree(pages);
	snprintf(sql, sizeof(sql), "TRUNCATE fairsched.claim_log_%d", out);
	fs_spi_begin();
	if (SPI_execute(sql, false, 0) < 0)
		elog(ERROR, "could not truncate the claim log");
	fs_spi_end();
	pending = false;
	db->claim_log_rows += n;
	db->claim_log_limit = Max(FS_CLAIM_LOG_ROWS, n * 2);
	return DT_NOEND;
}

/* ---------- for the rebuild ---------- */

FsPage *
fs_claim_log_read(FsDatabase *db, int *n)
{
	int			room = 1024;
	FsPage	   *pages = palloc(sizeof(FsPage) * room);
	int64		rows[2] = {0, 0};
	int			m = 0;

	for (int which = 0; which < 2; which++)
	{
		Relation	log = table_open(fs_catalog()->claim_log[which], AccessShareLock);
		TupleTableSlot *slot = table_slot_create(log, NULL);
		TableScanDesc scan;

		fs_push_snapshot();
		scan = table_beginscan(log, GetActiveSnapshot(), 0, NULL);
		while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		{
			rows[which]++;
			slot_getallattrs(slot);
			if (m == room)
			{
				room *= 2;
				pages = repalloc_huge(pages, sizeof(FsPage) * (Size) room);
			}
			pages[m].job_table = DatumGetInt32(slot->tts_values[0]);
			pages[m].relfile = DatumGetObjectId(slot->tts_values[1]);
			pages[m].block = (BlockNumber) DatumGetInt64(slot->tts_values[2]);
			m++;
		}
		table_endscan(scan);
		fs_pop_snapshot();
		ExecDropSingleTupleTableSlot(slot);
		table_close(log, NoLock);
	}
	db->claim_log = rows[1] > rows[0] ? 1 : 0;
	db->claim_log_rows = rows[db->claim_log];
	*n = sort_unique(pages, m);
	return pages;
}
