/*
 * count.c
 *		Queue depths from rows, exact while the queues are in use.
 *
 * From the moment fs->counting_db is set, every commit that changes a depth
 * also notes its transaction and the change.  Then a snapshot is taken and the
 * rows it sees are counted.  A noted change is added if its transaction is not
 * visible in the snapshot: then the rows counted do not contain it.  What
 * committed before the notes began is visible in the snapshot.  So the result
 * is exact without stopping anybody.  Who committed, can be seen and comes to
 * say so only when the count is over is in it already: so the snapshot's
 * transactions are kept, and such a change is left out (ledger_items.c).  Too
 * many notes, or another count began: the count is given up and tried again.  What soft leases hold (softclaim.c) is no change of rows: it
 * is taken off at the end, by the leases there are then.
 */
#include "count.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "config.h"
#include "flows.h"
#include "ledger.h"
#include "requeue.h"
#include "rows.h"

typedef struct FsFlowCount
{
	int32		flow;			/* key */
	int64		ready[FS_CLASSES];
	char		workspace[FS_NAME_LEN + 1];
} FsFlowCount;

typedef struct FsWaitCount
{
	char		workspace[FS_NAME_LEN + 1]; /* key */
	int64		waiting;
} FsWaitCount;

static HTAB *
make_table(const char *name, Size keysize, Size entrysize, int flags)
{
	HASHCTL		ctl = {0};

	ctl.keysize = keysize;
	ctl.entrysize = entrysize;
	ctl.hcxt = CurrentMemoryContext;
	return hash_create(name, 1024, &ctl, HASH_ELEM | HASH_CONTEXT | flags);
}

static void
count_table(int job_table, Snapshot snapshot, HTAB *flows, HTAB *waits)
{
	FsJobRel   *jr = fs_rows_open(job_table, true);
	TupleTableSlot *slot;
	TableScanDesc scan;
	int64		n = 0;

	if (jr == NULL)
		return;
	slot = table_slot_create(jr->rel, NULL);
	scan = table_beginscan(jr->rel, snapshot, 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		HeapTuple	row = ExecFetchSlotHeapTuple(slot, false, NULL);
		FsJobFixed *job = FsJob(row);
		bool		found;

		if ((++n & 1023) == 0)
			CHECK_FOR_INTERRUPTS();
		if (job->position > 0)
		{
			FsFlowCount *c;

			if (fs_job_state(row) != FS_JOB_AVAILABLE)
				continue;
			c = hash_search(flows, &job->flow, HASH_ENTER, &found);
			if (!found)
			{
				char	   *name = fs_row_text(jr, row, FS_COL_WORKSPACE);

				memset(c->ready, 0, sizeof(c->ready));
				strlcpy(c->workspace, name, sizeof(c->workspace));
				pfree(name);
			}
			c->ready[FsSlotClass(FsRankSlot(job->rank))]++;
		}
		else
		{
			char	   *name = fs_row_text(jr, row, FS_COL_WORKSPACE);
			FsWaitCount *c = hash_search(waits, name, HASH_ENTER, &found);

			if (!found)
				c->waiting = 0;
			c->waiting++;
			pfree(name);
		}
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	fs_rows_close(jr);
}

/*
 * Keep which transactions the count has seen, for those that come late.  Under
 * fs->lock.  Of too many nothing is kept: a depth may be wrong then until the
 * next count.
 */
static void
keep_seen(FsDatabase *db, Snapshot snapshot, FullTransactionId next)
{
	uint32		epoch = EpochFromFullTransactionId(next);

	if (snapshot->xmax > XidFromFullTransactionId(next))
		epoch--;
	/* and our own: it may go on */
	db->count_xmax = snapshot->xcnt >= FS_COUNT_XIDS ? InvalidFullTransactionId :
		FullTransactionIdFromEpochAndXid(epoch, snapshot->xmax);
	db->ncount_xids = Min(snapshot->xcnt, FS_COUNT_XIDS - 1);
	if (db->ncount_xids > 0)
		memcpy(db->count_xids, snapshot->xip, db->ncount_xids * sizeof(TransactionId));
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		db->count_xids[db->ncount_xids++] = GetTopTransactionIdIfAny();
}

/* fs_count_queues: depths of this database; when to do it again. */
TimestampTz
fs_count_queues(FsDatabase *db)
{
	int32		slot = FsDbIndex(db);
	MemoryContext mine = AllocSetContextCreate(CurrentMemoryContext, "fairsched count",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(mine);
	HTAB	   *flows;
	HTAB	   *waits;
	Snapshot	snapshot;
	FullTransactionId next;
	uint64		gen;
	uint64		number;			/* this count */
	int			n;
	int		   *tables;
	bool	   *counts;
	int			evaluated = 0;
	bool		done = false;
	TimestampTz now = GetCurrentTimestamp();

	FsLock();
	if (fs->counting_db != FS_NONE && fs->counting_db != slot)
	{
		FsUnlock();
		MemoryContextSwitchTo(old);
		MemoryContextDelete(mine);
		return now + USECS_PER_SEC;
	}
	fs->counting_db = slot;
	number = ++fs->counts;
	fs->ndeltas = 0;
	gen = db->rescan_gen;
	FsUnlock();
	fs_state_reading(FS_READING_COUNT);

	flows = make_table("fairsched count of flows", sizeof(int32), sizeof(FsFlowCount), HASH_BLOBS);
	waits = make_table("fairsched count of waiting", FS_NAME_LEN + 1, sizeof(FsWaitCount), HASH_STRINGS);
	counts = palloc(FS_COUNT_DELTAS);
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	next = ReadNextFullTransactionId();
	tables = fs_table_list(&n);
	for (int i = 0; i < n; i++)
		count_table(tables[i], snapshot, flows, waits);

	{
		/* a workspace with nothing but waiting jobs may not be in memory yet */
		HASH_SEQ_STATUS status;
		FsWaitCount *w;

		hash_seq_init(&status, waits);
		while ((w = hash_seq_search(&status)) != NULL)
		{
			(void) fs_workspace_lock(db, w->workspace);
			FsUnlock();
		}
	}

	while (!done)
	{
		int			have;
		TransactionId xids[256];
		int			m = 0;

		FsLock();
		if (fs->counts != number)
		{
			FsUnlock();
			break;
		}
		if (fs->counting_db == slot && gen != db->rescan_gen)
			fs->counting_db = FS_NONE;	/* rows were looked at anew meanwhile:
										 * whose changes nobody noted */
		if (fs->counting_db != slot)
		{
			/* that, or too many notes */
			FsUnlock();
			break;
		}
		have = fs->ndeltas;
		if (evaluated == have)
		{
			HASH_SEQ_STATUS status;
			FsFlowCount *f;
			FsWaitCount *w;

			for (int i = 0; i < fs->workspaces.capacity; i++)
				if (fs_workspaces[i].db == slot)
				{
					memset(fs_workspaces[i].ready, 0, sizeof(fs_workspaces[i].ready));
					fs_workspaces[i].waiting = 0;
				}
			for (int i = 0; i < fs->flows.capacity; i++)
				if (fs_flows[i].member != FS_NONE && fs_workspaces[FsWorkspaceOfFlow(i)].db == slot)
					fs_flows[i].ready = 0;
			hash_seq_init(&status, flows);
			while ((f = hash_seq_search(&status)) != NULL)
			{
				int32		ws = fs_sched_workspace_find(slot, f->workspace);
				int32		flow = fs_sched_flow_by_id(slot, f->flow);

				for (int c = 0; ws != FS_NONE && c < FS_CLASSES; c++)
					fs_workspaces[ws].ready[c] += f->ready[c];
				for (int c = 0; flow != FS_NONE && c < FS_CLASSES; c++)
					fs_flows[flow].ready += f->ready[c];
			}
			/* available rows that soft leases hold */
			for (int i = 0; i < fs->leases.capacity && db->soft_leases > 0; i++)
				if (fs_leases[i].db == slot && fs_leases[i].counted)
				{
					fs_workspaces[fs_leases[i].workspace].ready[FsSlotClass(fs_leases[i].rank_slot)]--;
					if (fs_leases[i].flow != FS_NONE)
						fs_flows[fs_leases[i].flow].ready--;
				}
			hash_seq_init(&status, waits);
			while ((w = hash_seq_search(&status)) != NULL)
			{
				int32		ws = fs_sched_workspace_find(slot, w->workspace);

				if (ws != FS_NONE)
					fs_workspaces[ws].waiting += w->waiting;
			}
			for (int i = 0; i < have; i++)
			{
				FsCountDelta *d = &fs_deltas[i];

				if (!counts[i])
					continue;
				if (d->cls == FS_CLASSES)
					fs_workspaces[d->workspace].waiting += d->delta;
				else
				{
					fs_workspaces[d->workspace].ready[d->cls] += d->delta;
					if (d->flow != FS_DELTA_NO_FLOW && fs_flows[d->flow].member != FS_NONE)
						fs_flows[d->flow].ready += d->delta;
				}
			}
			fs->counting_db = FS_NONE;
			keep_seen(db, snapshot, next);
			db->counted = true;
			done = true;
		}
		else
		{
			m = Min(have - evaluated, 256);
			for (int i = 0; i < m; i++)
				xids[i] = fs_deltas[evaluated + i].xid;
		}
		FsUnlock();
		/* visibility may need a look at pg_subtrans: not under the lock */
		for (int i = 0; !done && i < m; i++)
			counts[evaluated + i] = XidInMVCCSnapshot(xids[i], snapshot);
		if (!done)
			evaluated += m;
	}
	fs_state_reading(FS_READING_NONE);
	UnregisterSnapshot(snapshot);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(mine);
	return done ? now + (int64) fs_reconcile_interval * USECS_PER_SEC : now + USECS_PER_SEC;
}
