/*
 * ledger.c
 *		What an open transaction changed in shared memory, and how it ends.
 *
 * The only file that registers transaction callbacks.  Shared memory is
 * changed when a statement runs, so that others see slots taken at once; every
 * change leaves an item here, which the callbacks confirm at commit or undo at
 * abort, newest first.  Items carry their subtransaction: RELEASE hands them
 * to the parent, ROLLBACK TO undoes them.
 *
 * The callbacks take fs->lock once and do arithmetic only: an error in a
 * commit callback would be a PANIC.  All memory is obtained when an item is
 * made.  At commit they run after the rows became visible and before row locks
 * go, at abort after the rows are gone; the accounting rule that follows from
 * it, counter >= running rows anybody can see, is explained in README.md.
 *
 * FATAL takes the same way (the server aborts the transaction before it
 * leaves); a crash of a backend empties shared memory as a whole.
 */
#include "ledger.h"

#include <math.h>

#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/memutils.h"

#include "inbox.h"
#include "keepaway.h"
#include "launcher.h"
#include "wait.h"

typedef enum FsItemKind
{
	ITEM_CLAIM,
	ITEM_FINISH,
	ITEM_QUEUE,
	ITEM_RESERVED,
	ITEM_PLACE,
	ITEM_FROZEN,
	ITEM_SETTINGS,
	ITEM_DRAINED,
	ITEM_DUE,
	ITEM_RESCAN,
	ITEM_STALE,
	ITEM_EXTENSION,
	ITEM_WORKER
} FsItemKind;

typedef struct FsSettingsChange
{
	char		workspace[FS_NAME_LEN + 1];
	FsWorkspaceSettings set;
	FsWorkspaceSettings old;
	bool		applied;		/* in force already: abort restores `old` */
	bool		forget;			/* dropped: it has no jobs either */
} FsSettingsChange;

typedef struct FsWorkerChange
{
	int32		worker;
	bool		declared;
	int32		slots;
	int32		caps_len;
	char		caps[FS_CAPS_LEN];
	char		node[FS_NAME_LEN + 1];
} FsWorkerChange;

typedef struct FsLedgerItem
{
	FsItemKind	kind;
	SubTransactionId subid;
	int32		db;
	union
	{
		struct
		{
			int32		lease;
			FsLeaseState before;
			uint64		stamp;
			FsDirective tell;	/* not FS_CONTINUE: leave a tombstone that says so */
			ItemPointerData tid;
			Oid			relfile;
			int32		job_table;
			int32		workspace;	/* of a claim: the lease may be another's by then */
			int32		slot;
			int32		charged;
		}			lease;
		struct
		{
			int32		workspace;
			int32		flow;
			int32		slot;
			int32		count;	/* jobs hinted */
			int16		cls_delta;	/* ready jobs of the slot's class, a job */
			int16		waiting_delta;
			bool		on_commit;
			bool		on_abort;
			FsCandidate cand;	/* the job, or the first position of several */
			TimestampTz due;
		}			queue;
		struct
		{
			int32		workspace;
			int32		flow;
			int32		n;
		}			reserved;
		struct
		{
			TimestampTz due;
			TimestampTz expiry;
		}			times;
		FsSettingsChange *settings;
		FsWorkerChange *worker;
		bool		flag;
	}			u;
} FsLedgerItem;

static FsLedgerItem *items = NULL;
static int	nitems = 0;
static int	capacity = 0;

int
fs_ledger_open_items(void)
{
	return nitems;
}

/* fs_ledger_reserve: make room; raises when out of memory. */
void
fs_ledger_reserve(int n)
{
	int			want = nitems + n;

	if (want <= capacity)
		return;
	want = Max(want, capacity * 2);
	want = Max(want, 64);
	if (items == NULL)
		items = MemoryContextAllocHuge(TopMemoryContext, sizeof(FsLedgerItem) * want);
	else
		items = repalloc_huge(items, sizeof(FsLedgerItem) * want);
	capacity = want;
}

static FsLedgerItem *
add_item(FsItemKind kind)
{
	FsLedgerItem *item;

	Assert(nitems < capacity);
	item = &items[nitems++];
	memset(item, 0, sizeof(FsLedgerItem));
	item->kind = kind;
	item->subid = GetCurrentSubTransactionId();
	item->db = fs_my_db;
	return item;
}

/* ---------- making items ---------- */

/* fs_ledger_claim: the lease is CLAIMING, counted and charged by the pick. */
void
fs_ledger_claim(int32 lease, const FsCandidate *cand)
{
	FsLedgerItem *item = add_item(ITEM_CLAIM);

	item->u.lease.lease = lease;
	item->u.lease.tid = cand->tid;
	item->u.lease.relfile = cand->relfile;
	item->u.lease.stamp = fs_leases[lease].stamp = ++fs->stamps;
	item->u.lease.workspace = fs_leases[lease].workspace;
	item->u.lease.slot = fs_leases[lease].rank_slot;
	item->u.lease.charged = fs_leases[lease].charged;
	fs_workspaces[item->u.lease.workspace].refs++;
}

/* Give a claim back at once: the lease goes, the workspace gets slot and cost. */
static void
undo_claim(int32 l)
{
	FsLease    *lease = &fs_leases[l];
	int32		w = lease->workspace;

	if (lease->slot_from != FS_NONE)
	{
		fs_leases[lease->slot_from].slot_given = false;
		fs_sched_refund(lease->share, lease->charged);
	}
	else
	{
		fs_sched_refund(lease->share, lease->charged);
		fs_sched_slot_freed(w);
	}
	fs_lease_free(l);
}

/* fs_ledger_unclaim: the row was not to be had; forget the newest claim of this lease. */
void
fs_ledger_unclaim(int32 lease)
{
	for (int i = nitems - 1; i >= 0; i--)
		if (items[i].kind == ITEM_CLAIM && items[i].u.lease.lease == lease)
		{
			fs_workspaces[items[i].u.lease.workspace].refs--;
			undo_claim(lease);
			memmove(&items[i], &items[i + 1], sizeof(FsLedgerItem) * (nitems - i - 1));
			nitems--;
			return;
		}
	Assert(false);
}

/*
 * fs_ledger_finish: this transaction ends the lease.  With a directive its
 * entry stays after commit until the worker was told or the lease runs out.
 */
void
fs_ledger_finish(int32 lease, FsDirective tell)
{
	FsLedgerItem *item = add_item(ITEM_FINISH);

	item->u.lease.lease = lease;
	item->u.lease.before = fs_leases[lease].state;
	/* a claim that can be seen is committed, whether or not its callback has run */
	if (item->u.lease.before == FS_LEASE_CLAIMING && fs_leases[lease].owner != FsMyProcNumber())
		item->u.lease.before = FS_LEASE_ACTIVE;
	item->u.lease.tell = tell;
	item->u.lease.stamp = fs_leases[lease].stamp = ++fs->stamps;
	fs_leases[lease].state = FS_LEASE_ENDING;
	fs_leases[lease].owner = FsMyProcNumber();
}

/* fs_ledger_unfinish: the row was not to be had; forget the newest end of this lease. */
void
fs_ledger_unfinish(int32 lease)
{
	for (int i = nitems - 1; i >= 0; i--)
		if (items[i].kind == ITEM_FINISH && items[i].u.lease.lease == lease)
		{
			fs_leases[lease].state = items[i].u.lease.before;
			memmove(&items[i], &items[i + 1], sizeof(FsLedgerItem) * (nitems - i - 1));
			nitems--;
			return;
		}
	Assert(false);
}

/* fs_ledger_frozen: the workspace is parked as MOVING until the transaction ends. */
void
fs_ledger_frozen(int32 workspace)
{
	add_item(ITEM_FROZEN)->u.reserved.workspace = workspace;
	fs_workspaces[workspace].refs++;
	fs_sched_park(workspace, FS_PARK_MOVING);
}

/* fs_ledger_freezes: did this transaction freeze the workspace? */
bool
fs_ledger_freezes(int32 workspace)
{
	for (int i = 0; i < nitems; i++)
		if (items[i].kind == ITEM_FROZEN && items[i].u.reserved.workspace == workspace)
			return true;
	return false;
}

/* fs_ledger_place: the row of a running job moved within this transaction. */
void
fs_ledger_place(int32 l, ItemPointer tid, Oid relfile, int32 job_table)
{
	FsLedgerItem *item = add_item(ITEM_PLACE);
	FsLease    *lease = &fs_leases[l];

	item->u.lease.lease = l;
	item->u.lease.tid = lease->tid;
	item->u.lease.relfile = lease->relfile;
	item->u.lease.job_table = lease->job_table;
	lease->tid = *tid;
	lease->relfile = relfile;
	lease->job_table = job_table;
}

/*
 * fs_ledger_queue: what happens to queues.  cls_delta and waiting_delta are
 * applied at commit; the hint that a job is ready in `slot` of `flow` at
 * `position` is raised at commit, or at abort where this transaction had the
 * row locked and others may have passed it.
 */
void
fs_ledger_queue(int32 workspace, int32 flow, int slot, const FsCandidate *cand, int cls_delta,
				int waiting_delta, TimestampTz due, bool on_commit, bool on_abort)
{
	(void) fs_ledger_queue_into(nitems - 1, workspace, flow, slot, cand, cls_delta, waiting_delta,
								due, on_commit, on_abort);
}

/*
 * fs_ledger_queue_into: the same, counted in an item that says just this of
 * other jobs, when `at` is one.  Returns the item that was used.  Items are
 * known by what they are, so an outdated `at` costs a new item and no more.
 */
int
fs_ledger_queue_into(int at, int32 workspace, int32 flow, int slot, const FsCandidate *cand,
					 int cls_delta, int waiting_delta, TimestampTz due, bool on_commit, bool on_abort)
{
	FsLedgerItem *item;

	if (at >= 0 && at < nitems)
	{
		item = &items[at];
		if (item->kind == ITEM_QUEUE && item->subid == GetCurrentSubTransactionId() &&
			item->u.queue.workspace == workspace && item->u.queue.flow == flow &&
			item->u.queue.slot == slot && item->u.queue.on_commit == on_commit &&
			item->u.queue.on_abort == on_abort && item->u.queue.cls_delta == cls_delta &&
			item->u.queue.waiting_delta == waiting_delta && item->u.queue.count < PG_INT32_MAX / 2)
		{
			item->u.queue.count++;
			if (cand)
				item->u.queue.cand.position = Min(item->u.queue.cand.position, cand->position);
			item->u.queue.due = Min(item->u.queue.due, due);
			return at;
		}
	}
	item = add_item(ITEM_QUEUE);
	item->u.queue.workspace = workspace;
	item->u.queue.flow = flow;
	item->u.queue.slot = slot;
	item->u.queue.count = 1;
	item->u.queue.cls_delta = cls_delta;
	item->u.queue.waiting_delta = waiting_delta;
	item->u.queue.due = due;
	item->u.queue.on_commit = on_commit;
	item->u.queue.on_abort = on_abort;
	if (cand)
		item->u.queue.cand = *cand;
	else
		ItemPointerSetInvalid(&item->u.queue.cand.tid);
	fs_workspaces[workspace].refs++;
	if (flow != FS_NONE)
		fs_flows[flow].refs++;
	return nitems - 1;
}

/* fs_ledger_reserved: n jobs count against the queue limit until the end of the transaction. */
void
fs_ledger_reserved(int32 workspace, int32 flow, int n)
{
	(void) fs_ledger_reserved_into(FS_NONE, workspace, flow, n);
}

/* fs_ledger_reserved_into: the same, in item `at` when it is one of the same place; see above. */
int
fs_ledger_reserved_into(int at, int32 workspace, int32 flow, int n)
{
	FsLedgerItem *item;

	fs_workspaces[workspace].reserved += n;
	if (at >= 0 && at < nitems)
	{
		item = &items[at];
		if (item->kind == ITEM_RESERVED && item->subid == GetCurrentSubTransactionId() &&
			item->u.reserved.workspace == workspace && item->u.reserved.flow == flow &&
			item->u.reserved.n < PG_INT32_MAX / 2)
		{
			item->u.reserved.n += n;
			return at;
		}
	}
	item = add_item(ITEM_RESERVED);
	item->u.reserved.workspace = workspace;
	item->u.reserved.n = n;
	item->u.reserved.flow = flow;
	fs_workspaces[workspace].refs++;
	fs_flows[flow].refs++;
	return nitems - 1;
}

/* fs_ledger_pending: jobs this transaction made ready in the workspace, up to a class. */
int64
fs_ledger_pending(int32 workspace, int cls)
{
	int64		n = 0;

	for (int i = 0; i < nitems; i++)
		if (items[i].kind == ITEM_QUEUE && items[i].u.queue.workspace == workspace &&
			items[i].u.queue.slot >= 0 && FsSlotClass(items[i].u.queue.slot) <= cls)
			n += items[i].u.queue.cls_delta * items[i].u.queue.count;
	return n;
}

void
fs_ledger_settings(const char *workspace, const FsWorkspaceSettings *set, bool apply_now,
				   const FsWorkspaceSettings *old)
{
	FsSettingsChange *change = MemoryContextAllocZero(TopTransactionContext, sizeof(FsSettingsChange));
	FsLedgerItem *item;

	fs_ledger_reserve(1);
	strlcpy(change->workspace, workspace, sizeof(change->workspace));
	change->set = *set;
	if (old)
		change->old = *old;
	change->applied = apply_now;
	FsLock();
	item = add_item(ITEM_SETTINGS);
	item->u.settings = change;
	if (apply_now)
	{
		int32		w = fs_sched_workspace_find(fs_my_db, workspace);

		if (w != FS_NONE)
			fs_sched_apply_settings(w, set);
	}
	FsUnlock();
}

/* fs_ledger_forget: the workspace was dropped with its jobs. */
void
fs_ledger_forget(const char *workspace, const FsWorkspaceSettings *defaults)
{
	fs_ledger_settings(workspace, defaults, false, NULL);
	items[nitems - 1].u.settings->forget = true;
}

void
fs_ledger_drained(bool drained)
{
	fs_ledger_reserve(1);
	add_item(ITEM_DRAINED)->u.flag = drained;
}

/* fs_ledger_due: due work is being done; at abort it is due again. */
void
fs_ledger_due(TimestampTz due, TimestampTz expiry)
{
	FsLedgerItem *item;

	fs_ledger_reserve(1);
	item = add_item(ITEM_DUE);
	item->u.times.due = due;
	item->u.times.expiry = expiry;
}

/* fs_ledger_rescan: rows changed in a way memory was not told of. */
void
fs_ledger_rescan(bool on_abort_too)
{
	for (int i = 0; i < nitems; i++)
		if (items[i].kind == ITEM_RESCAN && items[i].subid == GetCurrentSubTransactionId() &&
			items[i].u.flag == on_abort_too)
			return;
	fs_ledger_reserve(1);
	add_item(ITEM_RESCAN)->u.flag = on_abort_too;
}

void
fs_ledger_settings_stale(void)
{
	fs_ledger_reserve(1);
	add_item(ITEM_STALE);
}

void
fs_ledger_extension(bool created)
{
	fs_ledger_reserve(1);
	add_item(ITEM_EXTENSION)->u.flag = created;
}

void
fs_ledger_worker(int32 worker, bool declared, int32 slots, const char *caps, int caps_len,
				 const char *node)
{
	FsWorkerChange *change = MemoryContextAllocZero(TopTransactionContext, sizeof(FsWorkerChange));

	fs_ledger_reserve(1);
	change->worker = worker;
	change->declared = declared;
	change->slots = slots;
	change->caps_len = caps_len;
	memcpy(change->caps, caps, caps_len);
	strlcpy(change->node, node ? node : "", sizeof(change->node));
	add_item(ITEM_WORKER)->u.worker = change;
}

/* ---------- ending items: fs->lock held, nothing may raise ---------- */

static void
count_delta(int32 db, int32 workspace, int cls, int delta)
{
	FsCountDelta *d;

	if (cls == FS_CLASSES)
		fs_workspaces[workspace].waiting += delta;
	else
		fs_workspaces[workspace].ready[cls] += delta;
	if (fs->counting_db != db)
		return;
	if (fs->ndeltas >= FS_COUNT_DELTAS)
	{
		fs->counting_db = FS_NONE;	/* the count is given up and tried again */
		return;
	}
	d = &fs_deltas[fs->ndeltas++];
	d->xid = GetTopTransactionIdIfAny();
	d->workspace = workspace;
	d->cls = cls;
	d->delta = delta;
}

static void
measure_rate(FsWorkspace *ws, TimestampTz now)
{
	if (ws->rate_since == 0)
		ws->rate_since = ws->rate_at = now;
	if (now > ws->rate_at)
	{
		ws->rate *= exp(-(double) (now - ws->rate_at) / (FS_RATE_TAU * USECS_PER_SEC));
		ws->rate_at = now;
	}
	ws->rate += 1.0 / FS_RATE_TAU;
}

static void
hint(int32 db, FsLedgerItem *item)
{
	int32		flow = item->u.queue.flow;

	if (flow == FS_NONE || item->u.queue.slot < 0)
		return;
	if (item->u.queue.count == 1 && ItemPointerIsValid(&item->u.queue.cand.tid))
		fs_sched_ready_one(flow, item->u.queue.slot, &item->u.queue.cand);
	else
		fs_sched_ready_many(flow, item->u.queue.slot, item->u.queue.cand.position);
	fs_wait_wake(db, fs_shares[FsShareOfFlow(flow)].lane, item->u.queue.count);
}

static void
unref_queue(FsLedgerItem *item)
{
	fs_workspaces[item->u.queue.workspace].refs--;
	if (item->u.queue.flow != FS_NONE)
		fs_flows[item->u.queue.flow].refs--;
}

static void
unreserve(FsLedgerItem *item)
{
	fs_workspaces[item->u.reserved.workspace].reserved -= item->u.reserved.n;
	fs_workspaces[item->u.reserved.workspace].refs--;
	fs_flows[item->u.reserved.flow].refs--;
}

/* A workspace that was frozen is served again, from whichever table it is in now. */
static void
thaw(int32 db, int32 w)
{
	FsWorkspace *ws = &fs_workspaces[w];

	ws->refs--;
	fs_sched_park(w, FS_PARK_PAUSED);	/* lifted below unless it is paused */
	fs_sched_unpark_if_fits(w);
	for (int32 s = ws->shares; s != FS_NONE; s = fs_shares[s].next)
		fs_wait_wake(db, fs_shares[s].lane, PG_INT32_MAX);
}

/* Leases whose rows were moved are found by their number from now on. */
static void
move_leases(int32 w, int32 job_table)
{
	for (int i = 0; i < fs->leases.capacity; i++)
		if (fs_leases[i].db != FS_NONE && fs_leases[i].workspace == w &&
			fs_leases[i].job_table != job_table)
		{
			fs_leases[i].job_table = job_table;
			fs_leases[i].relfile = InvalidOid;
		}
}

static void
wake_scheduler(FsDatabase *d)
{
	if (d->worker_latch)
		SetLatch(d->worker_latch);
}

static void
set_drained(FsDatabase *d, bool drained)
{
	d->drained = drained;
	if (!drained)
		for (int32 l = d->lanes; l != FS_NONE; l = fs_lanes[l].next)
			fs_wait_wake(FsDbIndex(d), l, PG_INT32_MAX);
}

static void
apply_worker(FsDatabase *d, FsWorkerChange *c, TimestampTz now)
{
	FsWorker   *w = &fs_workers[c->worker];

	w->declared = c->declared;
	w->slots = c->slots;
	w->caps_len = c->caps_len;
	memcpy(w->caps, c->caps, c->caps_len);
	strlcpy(w->node, c->node, sizeof(w->node));
	if (!c->declared)
		w->last_seen = 0;		/* it said goodbye */
	fs_sched_refresh_slots(d, now);
}

static void
commit_item(FsLedgerItem *item, TimestampTz now)
{
	FsDatabase *d = &fs_dbs[item->db];

	switch (item->kind)
	{
		case ITEM_CLAIM:
			{
				FsLease    *lease = &fs_leases[item->u.lease.lease];
				FsWorkspace *ws = &fs_workspaces[item->u.lease.workspace];

				/*
				 * The row could be seen before this: somebody may have ended
				 * the job already, and the lease be another's.
				 */
				if (lease->stamp == item->u.lease.stamp)
				{
					lease->state = FS_LEASE_ACTIVE;
					lease->slot_from = FS_NONE;
				}
				ws->refs--;
				ws->served_jobs++;
				ws->served_cost += item->u.lease.charged;
				measure_rate(ws, now);
				count_delta(item->db, item->u.lease.workspace, FsSlotClass(item->u.lease.slot), -1);
				break;
			}
		case ITEM_FINISH:
			{
				FsLease    *lease = &fs_leases[item->u.lease.lease];

				if (lease->stamp != item->u.lease.stamp)
					break;		/* somebody who had the row ended it */
				if (!lease->slot_given)
					fs_sched_slot_freed(lease->workspace);
				else
					fs_sched_unpark_if_fits(lease->workspace);
				fs_wait_wake(item->db, fs_shares[lease->share].lane, 1);
				if (item->u.lease.tell == FS_CONTINUE)
					fs_lease_free(item->u.lease.lease);
				else
				{
					lease->state = FS_LEASE_GONE;
					lease->directive = item->u.lease.tell;
					fs_flows[lease->flow].running--;
					lease->flow = FS_NONE;
					lease->expires_at = now + Max(lease->length, FS_GONE_FOR);
					d->next_expiry = Min(d->next_expiry, lease->expires_at);
				}
				break;
			}
		case ITEM_QUEUE:
			if (item->u.queue.cls_delta)
				count_delta(item->db, item->u.queue.workspace, FsSlotClass(item->u.queue.slot),
							item->u.queue.cls_delta * item->u.queue.count);
			if (item->u.queue.waiting_delta)
				count_delta(item->db, item->u.queue.workspace, FS_CLASSES,
							item->u.queue.waiting_delta * item->u.queue.count);
			if (item->u.queue.on_commit)
				hint(item->db, item);
			if (item->u.queue.due != 0 && item->u.queue.due < d->next_due)
			{
				d->next_due = item->u.queue.due;
				wake_scheduler(d);
			}
			unref_queue(item);
			break;
		case ITEM_RESERVED:
			unreserve(item);
			break;
		case ITEM_PLACE:
			break;
		case ITEM_FROZEN:
			thaw(item->db, item->u.reserved.workspace);
			break;
		case ITEM_SETTINGS:
			{
				int32		w = fs_sched_workspace_find(item->db, item->u.settings->workspace);

				if (w != FS_NONE && item->u.settings->forget)
				{
					fs_sched_forget(w);
					w = fs_sched_workspace_find(item->db, item->u.settings->workspace);
				}
				if (w != FS_NONE)
				{
					if (fs_workspaces[w].set.job_table != item->u.settings->set.job_table)
						move_leases(w, item->u.settings->set.job_table);
					fs_sched_apply_settings(w, &item->u.settings->set);
					for (int32 s = fs_workspaces[w].shares; s != FS_NONE; s = fs_shares[s].next)
						fs_wait_wake(item->db, fs_shares[s].lane, PG_INT32_MAX);
				}
				d->settings_gen++;
				break;
			}
		case ITEM_DUE:
			break;
		case ITEM_DRAINED:
			set_drained(d, item->u.flag);
			break;
		case ITEM_RESCAN:
			d->rescan = true;
			wake_scheduler(d);
			break;
		case ITEM_STALE:
			d->tiers_stale = true;
			d->settings_gen++;
			break;
		case ITEM_EXTENSION:
			if (item->u.flag)
				fs_launcher_ask(MyDatabaseId);
			else
			{
				d->state = FS_DB_DEAD;
				wake_scheduler(d);
			}
			break;
		case ITEM_WORKER:
			apply_worker(d, item->u.worker, now);
			break;
	}
}

static void
abort_item(FsLedgerItem *item)
{
	FsDatabase *d = &fs_dbs[item->db];

	switch (item->kind)
	{
		case ITEM_CLAIM:
			{
				FsLease    *lease = &fs_leases[item->u.lease.lease];
				int32		flow = lease->flow;
				int			slot = lease->rank_slot;
				FsCandidate cand = {.position = lease->position, .cost = lease->cost,
				.relfile = item->u.lease.relfile, .tid = item->u.lease.tid};
				int32		lane = fs_shares[lease->share].lane;

				fs_flows[flow].refs++;
				fs_workspaces[item->u.lease.workspace].refs--;
				undo_claim(item->u.lease.lease);
				fs_sched_ready_one(flow, slot, &cand);
				fs_flows[flow].refs--;
				fs_wait_wake(item->db, lane, 1);
				break;
			}
		case ITEM_FINISH:
			if (fs_leases[item->u.lease.lease].stamp == item->u.lease.stamp)
				fs_leases[item->u.lease.lease].state = item->u.lease.before;
			break;
		case ITEM_QUEUE:
			if (item->u.queue.on_abort)
				hint(item->db, item);
			unref_queue(item);
			break;
		case ITEM_RESERVED:
			unreserve(item);
			break;
		case ITEM_PLACE:
			{
				FsLease    *lease = &fs_leases[item->u.lease.lease];

				lease->tid = item->u.lease.tid;
				lease->relfile = item->u.lease.relfile;
				lease->job_table = item->u.lease.job_table;
				break;
			}
		case ITEM_SETTINGS:
			if (item->u.settings->applied)
			{
				int32		w = fs_sched_workspace_find(item->db, item->u.settings->workspace);

				if (w != FS_NONE)
					fs_sched_apply_settings(w, &item->u.settings->old);
			}
			break;
		case ITEM_FROZEN:
			thaw(item->db, item->u.reserved.workspace);
			break;
		case ITEM_DUE:
			d->next_due = Min(d->next_due, item->u.times.due);
			d->next_expiry = Min(d->next_expiry, item->u.times.expiry);
			wake_scheduler(d);
			break;
		case ITEM_RESCAN:
			if (item->u.flag)
				d->rescan = true;
			break;
		case ITEM_DRAINED:
		case ITEM_STALE:
		case ITEM_EXTENSION:
		case ITEM_WORKER:
			break;
	}
}

static void
commit_all(void)
{
	TimestampTz now = GetCurrentTransactionStopTimestamp();

	FsLock();
	for (int i = 0; i < nitems; i++)
		commit_item(&items[i], now);
	nitems = 0;
	FsUnlock();
}

/* Undo the items of one subtransaction, or all: newest first. */
static void
abort_items(SubTransactionId subid)
{
	FsLock();
	while (nitems > 0 && (subid == InvalidSubTransactionId || items[nitems - 1].subid == subid))
		abort_item(&items[--nitems]);
	FsUnlock();
}

/*
 * PREPARE TRANSACTION: only new jobs may be in doubt.  Their hints are raised
 * when the transaction is over, by a look at the rows (tasks.c), so all that
 * is kept is its id; it is put there now, while an error can still be raised.
 */
static void
check_prepare(void)
{
	bool		jobs = false;
	bool		full = false;

	for (int i = 0; i < nitems; i++)
	{
		if (items[i].kind == ITEM_RESERVED || items[i].kind == ITEM_DUE)
			continue;
		if (items[i].kind == ITEM_QUEUE && !items[i].u.queue.on_abort)
		{
			jobs = true;
			continue;
		}
		if (items[i].kind == ITEM_RESCAN)
		{
			jobs = true;
			continue;
		}
		ereport(ERROR,
				(errcode(ERRCODE_FS_PREPARE),
				 errmsg("cannot prepare a transaction that claimed, finished or changed jobs"),
				 errhint("Only fairsched_enqueue and its kin can be part of a prepared transaction.")));
	}
	if (jobs)
	{
		TransactionId xid = GetTopTransactionId();

		FsLock();
		if (fs_dbs[fs_my_db].nindoubt < FS_INDOUBT)
			fs_dbs[fs_my_db].indoubt[fs_dbs[fs_my_db].nindoubt++] = xid;
		else
			full = true;
		wake_scheduler(&fs_dbs[fs_my_db]);
		FsUnlock();
		if (full)
			ereport(ERROR,
					(errcode(ERRCODE_FS_CAPACITY),
					 errmsg("too many prepared transactions hold new jobs"),
					 errhint("Finish some of those in pg_prepared_xacts first.")));
	}
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			fs_inbox_before_commit();
			break;
		case XACT_EVENT_COMMIT:
			if (nitems > 0)
				commit_all();
			fs_keepaway_at_xact_end(true);
			break;
		case XACT_EVENT_ABORT:
			fs_state_abort_cleanup();
			fs_inbox_discard(InvalidSubTransactionId);
			if (nitems > 0)
				abort_items(InvalidSubTransactionId);
			fs_keepaway_at_xact_end(false);
			break;
		case XACT_EVENT_PRE_PREPARE:
			fs_inbox_before_commit();
			if (nitems > 0)
				check_prepare();
			break;
		case XACT_EVENT_PREPARE:
			if (nitems > 0)
			{
				FsLock();
				while (nitems > 0)
				{
					FsLedgerItem *item = &items[--nitems];

					if (item->kind == ITEM_QUEUE)
						unref_queue(item);
					else if (item->kind == ITEM_RESERVED)
						unreserve(item);
				}
				FsUnlock();
			}
			fs_keepaway_at_xact_end(false);
			break;
		default:
			break;
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid,
				 void *arg)
{
	switch (event)
	{
		case SUBXACT_EVENT_COMMIT_SUB:
			for (int i = nitems - 1; i >= 0 && items[i].subid == mySubid; i--)
				items[i].subid = parentSubid;
			fs_inbox_hand_up(mySubid, parentSubid);
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			fs_state_abort_cleanup();
			fs_inbox_discard(mySubid);
			if (nitems > 0 && items[nitems - 1].subid == mySubid)
				abort_items(mySubid);
			break;
		default:
			break;
	}
}

void
fs_ledger_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
