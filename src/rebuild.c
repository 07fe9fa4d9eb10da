/*
 * rebuild.c
 *		Shared memory from rows: after a start, a crash, a promotion, a restore.
 *
 * What must be exact before the first claim, and where it comes from:
 *
 *	running jobs	rows that are running, on the pages that the claim log lists
 *					(claimlog.c).  So the backlog is not looked at.
 *	ready flows		one probe of the ready index for each flow and rank that
 *					occurs (a skip scan): the first row tells workspace, lane
 *					and capabilities.
 *	next due time	the first entry of each due index.
 *
 * Queue depths are counted afterwards, in the background (count.c).
 *
 * The builder holds the slot as BUILDING; nobody else changes jobs meanwhile.
 */
#include "rebuild.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"
#include "aging.h"
#include "aging_task.h"
#include "admit.h"
#include "budget_task.h"
#include "capacity.h"
#include "claim.h"
#include "claimlog.h"
#include "config.h"
#include "enqueue.h"
#include "flows.h"
#include "hints.h"
#include "lease.h"
#include "ledger.h"
#include "park.h"
#include "recommend_task.h"
#include "placement.h"
#include "requeue.h"
#include "rows.h"
#include "text.h"
#include "wait.h"

/* ---------- flows ---------- */

/* Make the flow of a row known, under the number it carries; FS_NONE: no room. */
static int32
adopt_flow(FsDatabase *db, FsJobRel *jr, HeapTuple row)
{
	TupleDesc	desc = RelationGetDescr(jr->rel);
	bool		isnull;
	char	   *name = TextDatumGetCString(fastgetattr(row, FS_COL_WORKSPACE + 1, desc, &isnull));
	char	   *lane = TextDatumGetCString(fastgetattr(row, FS_COL_LANE + 1, desc, &isnull));
	char		caps[FS_CAPS_LEN];
	int			caps_len = 0;
	FsFlowSpec	spec;
	Datum		d;
	int32		w;
	int32		ring;
	int32		flow = FS_NONE;

	d = heap_getattr(row, FS_COL_CAPABILITIES + 1, desc, &isnull);
	if (!isnull)
		caps_len = fs_text_caps(d, caps);
	if (FsJob(row)->flow < 0)
		memset(&spec, 0, sizeof(spec));
	else
		fs_row_spec(db, jr, row, &spec);
	w = fs_workspace_lock(db, name);
	fs_workspaces[w].refs++;
	ring = fs_sched_ring_get(w, lane, caps, caps_len);
	if (ring != FS_NONE)
		flow = fs_sched_flow_adopt(w, ring, &spec, FsJob(row)->flow);
	fs_workspaces[w].refs--;
	FsUnlock();
	pfree(name);
	pfree(lane);
	return flow;
}

/* One probe for each flow and rank of a job table's ready index. */
static void
scan_ready_flows(FsDatabase *db, FsJobRel *jr, MemoryContext work)
{
	Relation	index = index_open(fs_table_index(&jr->table, FS_INDEX_READY), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(jr->rel, NULL);
	IndexScanDesc scan;
	ScanKeyData keys[2];
	int32		flow = PG_INT32_MIN;
	int32		rank = 0;
	bool		any = false;

	fs_push_snapshot();
	scan = FS_INDEX_BEGINSCAN(jr->rel, index, GetActiveSnapshot(), 2);
	for (;;)
	{
		int			nkeys = 0;
		bool		found = false;

		/* the next entry behind (flow, rank): in the same flow first */
		if (any)
		{
			ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(flow));
			ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_INT4GT, Int32GetDatum(rank));
			index_rescan(scan, keys, 2, NULL, 0);
			while (index_getnext_slot(scan, ForwardScanDirection, slot))
			{
				HeapTuple	row = ExecFetchSlotHeapTuple(slot, false, NULL);

				if (fs_job_state(row) == FS_JOB_AVAILABLE)
				{
					found = true;
					break;
				}
			}
		}
		if (!found)
		{
			if (any)
			{
				if (flow == PG_INT32_MAX)
					break;
				ScanKeyInit(&keys[0], 1, BTGreaterStrategyNumber, F_INT4GT, Int32GetDatum(flow));
				nkeys = 1;
			}

			/*
			 * an index scan with fewer keys than announced: make the second
			 * one always true
			 */
			if (nkeys == 0)
				ScanKeyInit(&keys[0], 1, BTGreaterEqualStrategyNumber, F_INT4GE, Int32GetDatum(PG_INT32_MIN));
			ScanKeyInit(&keys[1], 2, BTGreaterEqualStrategyNumber, F_INT4GE, Int32GetDatum(PG_INT32_MIN));
			index_rescan(scan, keys, 2, NULL, 0);
			while (index_getnext_slot(scan, ForwardScanDirection, slot))
			{
				HeapTuple	row = ExecFetchSlotHeapTuple(slot, false, NULL);

				if (fs_job_state(row) == FS_JOB_AVAILABLE)
				{
					found = true;
					break;
				}
			}
		}
		if (!found)
			break;
		{
			HeapTuple	row = ExecFetchSlotHeapTuple(slot, false, NULL);
			MemoryContext old = MemoryContextSwitchTo(work);
			int64		position = FsJob(row)->position;
			TimestampTz ready_at = Max(FsJob(row)->run_at, FsJob(row)->created_at);
			int32		f;

			flow = FsJob(row)->flow;
			rank = FsJob(row)->rank;
			any = true;
			FsLock();
			fs_aging_seed(db, position, ready_at);
			f = fs_sched_flow_by_id(FsDbIndex(db), flow);
			if (f != FS_NONE)
				fs_sched_ready_many(f, FsRankSlot(rank), position);
			FsUnlock();
			if (f == FS_NONE)
			{
				f = adopt_flow(db, jr, row);
				if (f == FS_NONE)
					ereport(ERROR,
							(errcode(ERRCODE_FS_CAPACITY),
							 errmsg("more flows have jobs than fit into memory"),
							 errhint("Increase fairsched.max_flows, fairsched.max_workspaces, fairsched.max_rings or fairsched.max_budgets and restart the server.")));
				FsLock();
				f = fs_sched_flow_by_id(FsDbIndex(db), flow);
				if (f != FS_NONE)
					fs_sched_ready_many(f, FsRankSlot(rank), position);
				FsUnlock();
			}
			MemoryContextSwitchTo(old);
			MemoryContextReset(work);
		}
		CHECK_FOR_INTERRUPTS();
	}
	index_endscan(scan);
	fs_pop_snapshot();
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
}

/* The earliest run_at of jobs that wait for a time. */
static TimestampTz
first_due(FsJobRel *jr)
{
	Relation	index = index_open(fs_table_index(&jr->table, FS_INDEX_DUE), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(jr->rel, NULL);
	IndexScanDesc scan;
	TimestampTz due = DT_NOEND;

	fs_push_snapshot();
	scan = FS_INDEX_BEGINSCAN(jr->rel, index, GetActiveSnapshot(), 0);
	index_rescan(scan, NULL, 0, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, slot))
		due = FsJob(ExecFetchSlotHeapTuple(slot, false, NULL))->run_at;
	index_endscan(scan);
	fs_pop_snapshot();
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	return due;
}

static void
raise_flows(FsDatabase *db)
{
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "fairsched rebuild",
											   ALLOCSET_DEFAULT_SIZES);
	TimestampTz due = DT_NOEND;
	int			n;
	int		   *tables = fs_table_list(&n);

	for (int i = 0; i < n; i++)
	{
		FsJobRel   *jr = fs_rows_open(tables[i], true);
		TimestampTz first;

		if (jr == NULL)
			continue;
		if (!fs_table_complete(&jr->table))
		{
			fs_rows_close(jr);
			continue;
		}
		scan_ready_flows(db, jr, work);
		first = first_due(jr);
		due = Min(due, first);
		fs_rows_close(jr);
	}
	FsLock();
	db->next_due = Min(db->next_due, due);
	FsUnlock();
	MemoryContextDelete(work);
}

/* ---------- running jobs ---------- */

/* A lease for a row that is running: as committed, with a fresh time. */
static void
restore_lease(FsDatabase *db, FsJobRel *jr, HeapTuple row, TimestampTz now)
{
	FsJobFixed *job = FsJob(row);
	int32		flow = adopt_flow(db, jr, row);
	TimestampTz claimed_at = job->claimed_at;
	int64		length = FsMsToUsec(job->lease_ms);
	char	   *worker = fs_row_text(jr, row, FS_COL_WORKER);
	pg_uuid_t  *request = NULL;
	int64		grace = Max(length, FsMsToUsec(fs_rebuild_grace));
	TimestampTz deadline = DT_NOEND;
	bool		isnull;
	Datum		d;
	int32		w;
	int32		l;
	FsFlowSpec	spec;

	d = heap_getattr(row, FS_COL_REQUEST_ID + 1, RelationGetDescr(jr->rel), &isnull);
	if (!isnull)
		request = DatumGetUUIDP(d);
	fs_row_spec(db, jr, row, &spec);
	d = heap_getattr(row, FS_COL_MAX_RUNTIME + 1, RelationGetDescr(jr->rel), &isnull);
	if (!isnull)
		deadline = Max(claimed_at + fs_interval_usec(d, "max_runtime", false),
					   now + FsMsToUsec(fs_rebuild_grace));
	FsLock();
	l = flow == FS_NONE ? FS_NONE : fs_lease_new(FsDbIndex(db), job->job_id);
	w = l == FS_NONE ? FS_NONE : fs_worker_get(FsDbIndex(db), worker, now);
	if (w != FS_NONE)
	{
		FsLease    *lease = &fs_leases[l];

		lease->state = FS_LEASE_ACTIVE;
		lease->token = job->token;
		lease->flow = flow;
		lease->share = FsShareOfFlow(flow);
		lease->workspace = FsWorkspaceOfFlow(flow);
		fs_flows[flow].running++;
		fs_workspaces[lease->workspace].running++;
		db->running++;
		fs_admit_restore(l, &spec, now);
		lease->rank_slot = FsRankSlot(job->rank);
		lease->position = job->position;
		lease->cost = lease->charged = job->cost;
		lease->attempt = job->attempt;
		lease->claimed_at = claimed_at;
		lease->length = length;
		lease->expires_at = now + grace;
		lease->deadline = deadline;
		lease->job_table = jr->table.job_table;
		lease->relfile = FsRelFile(jr->rel);
		lease->tid = row->t_self;
		fs_lease_link_worker(l, w);
		if (request)
			fs_lease_link_request(l, request);
		db->next_expiry = Min(db->next_expiry, lease->expires_at);
	}
	FsUnlock();
	if (w == FS_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_FS_CAPACITY),
				 errmsg("more jobs are running than fit into memory"),
				 errhint("Increase fairsched.max_running, fairsched.max_workers or fairsched.max_flows and restart the server.")));
}

/* The running jobs of one page. */
static void
restore_page(FsDatabase *db, FsJobRel *jr, BlockNumber block, TimestampTz now)
{
	HeapTuple	rows[MaxHeapTuplesPerPage];
	int			n = fs_rows_running_on(jr, block, rows);

	for (int i = 0; i < n; i++)
	{
		bool		known;

		FsLockShared();
		known = fs_lease_find(FsDbIndex(db), FsJob(rows[i])->job_id) != FS_NONE;
		FsUnlock();
		if (!known)
			restore_lease(db, jr, rows[i], now);
	}
	CHECK_FOR_INTERRUPTS();
}

#define PREFETCH 32

/*
 * Leases from the pages that the claim log lists.  A table with an entry for
 * another file than its own, because it was rewritten since, is read as a whole.
 */
static void
restore_leases(FsDatabase *db)
{
	TimestampTz now = GetCurrentTimestamp();
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "fairsched rebuild leases",
											   ALLOCSET_DEFAULT_SIZES);
	int			n;
	FsPage	   *pages = fs_claim_log_read(db, &n);

	fs_push_snapshot();
	for (int from = 0, to; from < n; from = to)
	{
		FsJobRel   *jr = fs_rows_open(pages[from].job_table, true);
		bool		all = false;
		BlockNumber nblocks = 0;

		if (jr)
			nblocks = RelationGetNumberOfBlocks(jr->rel);
		for (to = from; to < n && pages[to].job_table == pages[from].job_table; to++)
			all |= jr && pages[to].relfile != FsRelFile(jr->rel);
		if (jr == NULL)
			continue;
		for (int64 i = all ? 0 : from; i < (all ? (int64) nblocks : to); i++)
		{
			BlockNumber block = all ? (BlockNumber) i : pages[i].block;
			MemoryContext old;

			if (!all && i + PREFETCH < to && pages[i + PREFETCH].block < nblocks)
				(void) PrefetchBuffer(jr->rel, MAIN_FORKNUM, pages[i + PREFETCH].block);
			if (block >= nblocks)
				continue;		/* cut off by VACUUM: nothing was there */
			old = MemoryContextSwitchTo(work);
			restore_page(db, jr, block, now);
			MemoryContextSwitchTo(old);
			MemoryContextReset(work);
		}
		fs_rows_close(jr);
	}
	fs_pop_snapshot();
	pfree(pages);
	MemoryContextDelete(work);
}

/* ---------- tables that came from elsewhere ---------- */

/*
 * A job table whose OID is not the recorded one was restored from a dump: its
 * running jobs are nobody's, and become available.  One scan of that table;
 * its ready jobs are looked for when the transaction ends.
 *
 * A restore makes the table first, then its rows and the row of job_tables, and
 * indexes and triggers last.  Until all are there the table is left alone, and
 * looked at again.
 */
static void
adopt(FsDatabase *db)
{
	uint64		n;
	int		   *tables;
	bool	   *complete;
	bool		pending = false;
	bool		quiet = fs_own_changes;
	MemoryContext mine = CurrentMemoryContext;

	fs_own_changes = true;
	fs_spi_begin();
	n = fs_spi("SELECT substring(c.relname FROM 6)::integer, "
			   "(SELECT count(*) FROM pg_index x WHERE x.indrelid = c.oid) >= 6 AND "
			   "(SELECT count(*) FROM pg_trigger g WHERE g.tgrelid = c.oid) >= 2 AND "
			   "(t.job_table IS NOT NULL) "
			   "FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
			   "LEFT JOIN fairsched.job_tables t ON t.job_table::text = substring(c.relname FROM 6) "
			   "WHERE i.inhparent = 'fairsched.jobs'::regclass AND c.relname ~ '^jobs_[0-9]+$' "
			   "AND t.relid IS DISTINCT FROM i.inhrelid", 0, NULL, NULL, NULL);
	tables = MemoryContextAlloc(mine, sizeof(int) * (n + 1));
	complete = MemoryContextAlloc(mine, n + 1);
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		tables[i] = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		complete[i] = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));
	}
	for (uint64 i = 0; i < n; i++)
	{
		char		sql[256];

		if (!complete[i])
		{
			pending = true;
			continue;
		}
		snprintf(sql, sizeof(sql), "UPDATE fairsched.job_tables SET relid = 'fairsched.jobs_%d'::regclass "
				 "WHERE job_table = %d", tables[i], tables[i]);
		fs_spi(sql, 0, NULL, NULL, NULL);
		if (tables[i] == 0)
			continue;			/* it comes with the extension, and its
								 * trigger saw its rows */
		snprintf(sql, sizeof(sql), "UPDATE fairsched.jobs_%d SET state = 'available' "
				 "WHERE state = 'running'", tables[i]);
		fs_spi(sql, 0, NULL, NULL, NULL);
		fs_ledger_rescan(true);
	}
	fs_spi_end();
	fs_own_changes = quiet;
	db->adopting = pending;
}

/* fs_rebuild_adopt: after an error the request for it stays, in db->adopting. */
void
fs_rebuild_adopt(FsDatabase *db)
{
	fs_state_reading(FS_READING_ADOPT);
	adopt(db);
	fs_state_reading(FS_READING_NONE);
}

/* ---------- workers and switches ---------- */

static void
load_workers(FsDatabase *db)
{
	TimestampTz now = GetCurrentTimestamp();
	uint64		n;
	typedef struct
	{
		char		name[FS_NAME_LEN + 1];
		char		node[FS_NAME_LEN + 1];
		char		caps[FS_CAPS_LEN];
		int			caps_len;
		int			slots;
	} Row;
	Row		   *rows;

	fs_spi_begin();
	n = fs_spi("SELECT worker, capabilities, slots, node FROM fairsched.workers ORDER BY registered_at DESC",
			   0, NULL, NULL, NULL);
	rows = palloc0(sizeof(Row) * (n + 1));
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple	t = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		char	   *node = SPI_getvalue(t, desc, 4);

		strlcpy(rows[i].name, SPI_getvalue(t, desc, 1), sizeof(rows[i].name));
		rows[i].caps_len = fs_text_caps(SPI_getbinval(t, desc, 2, &isnull), rows[i].caps);
		rows[i].slots = DatumGetInt32(SPI_getbinval(t, desc, 3, &isnull));
		strlcpy(rows[i].node, node ? node : "", sizeof(rows[i].node));
	}
	FsLock();
	for (uint64 i = 0; i < n; i++)
	{
		int32		w = fs_worker_get(FsDbIndex(db), rows[i].name, now);

		if (w == FS_NONE)
			break;				/* the oldest registrations come when they
								 * call */
		fs_workers[w].declared = true;
		fs_workers[w].slots = rows[i].slots;
		fs_workers[w].caps_len = rows[i].caps_len;
		memcpy(fs_workers[w].caps, rows[i].caps, rows[i].caps_len);
		strlcpy(fs_workers[w].node, rows[i].node, sizeof(fs_workers[w].node));

		/*
		 * where there is no room for its node it only gets what is placed
		 * nowhere
		 */
		if (rows[i].node[0] != '\0')
			fs_place_worker(w, fs_place_node_get(FsDbIndex(db), rows[i].node));
	}
	fs_sched_refresh_slots(db, now);
	FsUnlock();
	n = fs_spi("SELECT 1 FROM fairsched.control WHERE drained", 0, NULL, NULL, NULL);
	db->drained = n > 0;
	/* transactions that were prepared may hold new jobs */
	n = fs_spi("SELECT transaction FROM pg_prepared_xacts WHERE database = current_database()",
			   0, NULL, NULL, NULL);
	for (uint64 i = 0; i < n && db->nindoubt < FS_INDOUBT; i++)
	{
		bool		isnull;

		db->indoubt[db->nindoubt++] =
			DatumGetTransactionId(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	}
	fs_spi_end();
}

/* ---------- entry points ---------- */

void
fs_rebuild(FsDatabase *db)
{
	FsLock();
	fs_claim_log_forget(FsDbIndex(db));
	fs_aging_start(db, GetCurrentTimestamp());
	db->visits = 0;
	FsUnlock();
	fs_aging_load(db);
	fs_tiers_load(db);
	fs_placement_load(db);
	load_workers(db);
	adopt(db);
	fs_limits_load(db);
	fs_capacity_load(db);
	fs_recommend_load(db);
	fs_capacity_unknown(db, GetCurrentTimestamp());
	fs_budget_load(db);
	restore_leases(db);
	fs_budget_loaded(db);
	raise_flows(db);
	(void) fs_tables_changed();

	/* nothing there: nothing to count */
	FsLock();
	db->counted = db->next_due == DT_NOEND && db->running == 0;
	for (int32 l = db->lanes; l != FS_NONE && db->counted; l = fs_lanes[l].next)
		for (int32 r = fs_lanes[l].rings; r != FS_NONE; r = fs_rings[r].lane_next)
			if (fs_rings[r].members > 0)
				db->counted = false;
	FsUnlock();
}

/* fs_rebuild_discard: fs->lock held, from an abort callback. */
void
fs_rebuild_discard(FsDatabase *db)
{
	int32		slot = FsDbIndex(db);

	for (int i = 0; i < fs->leases.capacity; i++)
		if (fs_leases[i].db == slot)
			fs_lease_free(i);
	fs_sched_sweep(slot);
	db->running = 0;
	db->nindoubt = 0;
	db->nrevisits = 0;
	db->next_due = db->next_expiry = DT_NOEND;
	db->preempt_due = 0;
	memset(db->fleet, 0, sizeof(db->fleet));
	db->nrooms = 0;
	db->state = FS_DB_EMPTY;
}

void
fs_rebuild_rescan(FsDatabase *db)
{
	fs_state_reading(FS_READING_RESCAN);
	db->rescan = false;			/* what changes from here on sets it again */
	adopt(db);
	raise_flows(db);
	fs_state_reading(FS_READING_NONE);
	FsLock();
	db->counted = false;
	db->rescan_gen++;			/* a count that is under way does not do */
	db->tasks[FS_TASK_RECONCILE].next_run = 0;
	if (db->worker_latch)
		SetLatch(db->worker_latch);
	for (int32 l = db->lanes; l != FS_NONE; l = fs_lanes[l].next)
		fs_wait_wake(FsDbIndex(db), l, PG_INT32_MAX);
	FsUnlock();
}

/*
 * fs_rebuild_settings: tiers or settings were changed by hand.  Every workspace
 * in memory reads its row again.
 */
void
fs_rebuild_settings(FsDatabase *db)
{
	int			n = 0;
	uint64		before;
	char	   *names;

	fs_state_reading(FS_READING_SETTINGS);
	FsLockShared();
	before = db->settings_gen;
	FsUnlock();
	fs_tiers_load(db);
	fs_limits_load(db);
	fs_capacity_load(db);
	fs_recommend_load(db);

	/*
	 * until here nobody else goes on with the old ones; what was changed
	 * meanwhile may be overwritten: once more
	 */
	FsLock();
	db->tiers_stale = before != db->settings_gen;
	FsUnlock();
	names = MemoryContextAllocHuge(CurrentMemoryContext, (Size) fs_max_workspaces * (FS_NAME_LEN + 1));
	FsLockShared();
	for (int i = 0; i < fs->workspaces.capacity; i++)
		if (fs_workspaces[i].db == FsDbIndex(db))
			strcpy(names + (Size) n++ * (FS_NAME_LEN + 1), fs_workspaces[i].name);
	FsUnlock();
	for (int i = 0; i < n; i++)
	{
		char	   *name = names + (Size) i * (FS_NAME_LEN + 1);
		FsWorkspaceSettings set;
		uint64		gen;
		int32		w;

		do
		{
			gen = db->settings_gen;
			fs_settings_read(db, name, &set);
			FsLock();
			w = fs_sched_workspace_find(FsDbIndex(db), name);
			if (w != FS_NONE && gen == db->settings_gen)
				fs_sched_apply_settings(w, &set);
			FsUnlock();
		} while (w != FS_NONE && gen != db->settings_gen);
		CHECK_FOR_INTERRUPTS();
	}
	fs_state_reading(FS_READING_NONE);
	pfree(names);
}
