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

#include "access/xact.h"
#include "utils/memutils.h"

#include "closing.h"
#include "flows.h"
#include "inbox.h"
#include "keepaway.h"
#include "ledger_items.h"
#include "park.h"
#include "placement_scorer.h"

#define FETCH_ITEMS 4			/* so many items ahead */

static FsLedgerItem *items = NULL;
static int	nitems = 0;
static int	capacity = 0;
static bool has_budget = false; /* some item may be an ITEM_BUDGET */
static bool has_recorded = false;	/* some item may be an ITEM_SPEND of a job
									 * that runs */

int
fs_ledger_open_items(void)
{
	int			n = 0;

	for (int i = 0; i < nitems; i++)
		n += items[i].kind != ITEM_NOTES;
	return n;
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
	if (nitems == 0)
		has_budget = has_recorded = false;
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
	item->u.lease.soft = fs_leases[lease].soft;
	item->u.lease.lane = fs_shares[fs_leases[lease].share].lane;
	item->u.lease.flow = fs_leases[lease].flow;
	item->u.lease.flow_id = fs_flows[fs_leases[lease].flow].id;
	fs_workspaces[item->u.lease.workspace].refs++;
}

/* fs_ledger_unclaim: the row was not to be had; forget the newest claim of this lease. */
void
fs_ledger_unclaim(int32 lease)
{
	for (int i = nitems - 1; i >= 0; i--)
		if (items[i].kind == ITEM_CLAIM && items[i].u.lease.lease == lease)
		{
			fs_workspaces[items[i].u.lease.workspace].refs--;
			fs_ledger_undo_claim(lease);
			memmove(&items[i], &items[i + 1], sizeof(FsLedgerItem) * (nitems - i - 1));
			nitems--;
			return;
		}
	Assert(false);
}

/*
 * fs_ledger_finish: this transaction ends the lease, as what `how` says
 * (FS_ENDED_* of stats.h).  With a directive its entry stays after commit until
 * the worker was told or the lease runs out.
 */
void
fs_ledger_finish(int32 lease, FsDirective tell, int how)
{
	FsLedgerItem *item = add_item(ITEM_FINISH);

	item->u.lease.lease = lease;
	item->u.lease.workspace = fs_leases[lease].workspace;
	item->u.lease.before = fs_leases[lease].state;

	/*
	 * a claim that can be seen is committed, whether or not its callback has
	 * run
	 */
	if (item->u.lease.before == FS_LEASE_CLAIMING && fs_leases[lease].owner != FsMyProcNumber())
		item->u.lease.before = FS_LEASE_ACTIVE;
	/* who was ending it has aborted, whether or not its callback has run */
	if (item->u.lease.before == FS_LEASE_ENDING)
		item->u.lease.before = FS_LEASE_ACTIVE;
	if (fs_leases[lease].slot_given)
		fs_ledger_take_back_gift(lease);
	item->u.lease.stamp_before = fs_leases[lease].stamp;
	item->u.lease.tell = tell;
	item->u.lease.how = how;
	item->u.lease.lane = fs_shares[fs_leases[lease].share].lane;
	item->u.lease.stamp = fs_leases[lease].stamp = ++fs->stamps;
	fs_leases[lease].state = FS_LEASE_ENDING;
	fs_leases[lease].owner = FsMyProcNumber();
	fs_leases[lease].ends_as = PLACEMENT_ENDED;
}

/* fs_ledger_ended: a job that no lease holds any more ends, by who had it. */
void
fs_ledger_ended(int32 lane, int how)
{
	FsLedgerItem *item = add_item(ITEM_ENDED);

	item->u.lease.lane = lane;
	item->u.lease.how = how;
}

/* fs_ledger_unfinish: the row was not to be had; forget the newest end of this lease. */
void
fs_ledger_unfinish(int32 lease)
{
	for (int i = nitems - 1; i >= 0; i--)
		if (items[i].kind == ITEM_FINISH && items[i].u.lease.lease == lease)
		{
			fs_ledger_undo_finish(&items[i]);
			memmove(&items[i], &items[i + 1], sizeof(FsLedgerItem) * (nitems - i - 1));
			nitems--;
			return;
		}
	Assert(false);
}

/* fs_ledger_harden: the soft lease was written into its row, which is at this place now. */
void
fs_ledger_harden(int32 l, ItemPointer tid, Oid relfile, int32 job_table)
{
	FsLedgerItem *item = add_item(ITEM_HARD);
	FsLease    *lease = &fs_leases[l];

	item->u.lease.lease = l;
	item->u.lease.token = lease->token;
	item->u.lease.slot = lease->rank_slot;
	item->u.lease.tid = lease->tid;
	item->u.lease.relfile = lease->relfile;
	item->u.lease.job_table = lease->job_table;
	lease->hardened = true;
	lease->owner = FsMyProcNumber();
	lease->tid = *tid;
	lease->relfile = relfile;
	lease->job_table = job_table;
}

/* fs_ledger_holds_up: does who freezes the workspace wait for this transaction to end? fs->lock held. */
bool
fs_ledger_holds_up(int32 workspace)
{
	if (fs_workspaces[workspace].settled)
		return false;
	for (int i = 0; i < nitems; i++)
	{
		const FsLedgerItem *item = &items[i];
		bool		holds = false;

		if (item->kind == ITEM_CLAIM)
			holds = item->u.lease.workspace == workspace;
		else if (item->kind == ITEM_QUEUE)
			holds = item->u.queue.workspace == workspace;
		else if (item->kind == ITEM_RESERVED)
			holds = item->u.reserved.workspace == workspace;
		else if (item->kind == ITEM_FINISH)
		{
			const FsLease *lease = &fs_leases[item->u.lease.lease];

			holds = lease->stamp == item->u.lease.stamp && lease->state == FS_LEASE_ENDING &&
				lease->workspace == workspace;
		}
		if (holds)
			return true;
	}
	return false;
}

/*
 * fs_ledger_closing: until the transaction ends the workspace is served up to this
 * position only; who gets there freezes it.  False: too many are being moved.
 */
bool
fs_ledger_closing(int32 workspace, int64 position)
{
	if (!fs_closing_begin(workspace, position))
		return false;
	add_item(ITEM_CLOSING)->u.reserved.workspace = workspace;
	fs_workspaces[workspace].refs++;
	return true;
}

/* fs_ledger_closes: did this transaction? */
bool
fs_ledger_closes(int32 workspace)
{
	for (int i = 0; i < nitems; i++)
		if (items[i].kind == ITEM_CLOSING && items[i].u.reserved.workspace == workspace)
			return true;
	return false;
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
	item->u.lease.slot = lease->rank_slot;
	item->u.lease.saved_at = lease->saved_at;
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

/* fs_ledger_spend: it counts at commit; the budget is kept in memory until then. */
void
fs_ledger_spend(const FsSpendItem *spend)
{
	add_item(ITEM_SPEND)->u.spend = *spend;
	fs_budgets[spend->budget].refs++;
	has_recorded |= spend->lease != FS_NONE && !spend->ends;
}

/* fs_ledger_recorded: what this transaction recorded of a budget for a job under this token, before it ends. */
int64
fs_ledger_recorded(int32 budget, int64 job_id, int64 token)
{
	int64		amount = 0;

	for (int i = 0; has_recorded && i < nitems; i++)
		if (items[i].kind == ITEM_SPEND && !items[i].u.spend.ends && items[i].u.spend.budget == budget &&
			items[i].u.spend.job_id == job_id && items[i].u.spend.token == token)
			amount = meter_add(amount, items[i].u.spend.amount);
	return amount;
}

/* fs_ledger_budget_pending: what this transaction made of a budget; false: nothing. */
bool
fs_ledger_budget_pending(const char *name, FsBudgetSettings *set)
{
	if (!has_budget)
		return false;
	for (int i = nitems - 1; i >= 0; i--)
		if (items[i].kind == ITEM_BUDGET && strcmp(items[i].u.budget->name, name) == 0)
		{
			*set = *items[i].u.budget;
			return true;
		}
	return false;
}

/* fs_ledger_budget_run: what the scheduler's task takes care of, if it commits. */
void
fs_ledger_budget_run(const FsBudgetRun *run)
{
	add_item(ITEM_BUDGET_RUN)->u.run = *run;
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

/*
 * fs_ledger_limits: at commit the entry takes over this part of its settings;
 * `set` lives until then.  With part 0 the entry only stays until the end of
 * the transaction.
 */
void
fs_ledger_limits(int32 limits, uint32 part, FsLimitSettings *set)
{
	FsLedgerItem *item = add_item(ITEM_LIMITS);

	item->u.limits.limits = limits;
	item->u.limits.part = part;
	item->u.limits.set = set;
	fs_limits[limits].refs++;
}

/* fs_ledger_booked: a booking of the epoch of now leaves so many claims to others (rate_book.c). */
void
fs_ledger_booked(int32 limits, int64 left)
{
	FsLedgerItem *item = add_item(ITEM_BOOKED);

	item->u.booked.limits = limits;
	item->u.booked.epoch = fs_limits[limits].rate_epoch;
	item->u.booked.left = left;
	fs_limits[limits].refs++;
}

/*
 * fs_ledger_usage: so much of a resource is used.  More counts at once, so that
 * others see it before they decide; less counts from the commit on.  The sum of a
 * day stops at FS_AMOUNT_MAX, far above any quota.  run_id: NULL, or something
 * that lives as long as the transaction.
 */
void
fs_ledger_usage(int32 l, FsResource r, int64 amount, int64 job_id, const char *run_id, TimestampTz now)
{
	FsLedgerItem *item = add_item(ITEM_USAGE);
	FsLimits   *limits = &fs_limits[l];

	if (r != FS_RES_STORAGE)
		amount = Min(amount, FS_AMOUNT_MAX - fs_limits_used(limits, r, now));
	item->u.usage.limits = l;
	item->u.usage.resource = r;
	item->u.usage.amount = amount;
	item->u.usage.job_id = job_id;
	item->u.usage.run_id = run_id;
	limits->refs++;
	if (r == FS_RES_STORAGE)
	{
		limits->level_items++;
		if (amount > 0)
		{
			limits->level += amount;
			limits->level_pending += amount;
		}
	}
	else
	{
		item->u.usage.slice = window_add(FsWindowOf(limits, r), now, amount);
		limits->pending[r - FS_RES_TOKENS] += amount;
	}
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

/* fs_ledger_logged: a page was listed in the claim log; others may rely on it from commit on. */
void
fs_ledger_logged(uint64 page, uint64 gen)
{
	FsLedgerItem *item = add_item(ITEM_LOGGED);

	item->u.logged.page = page;
	item->u.logged.gen = gen;
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
	item->u.times.preempt = DT_NOEND;
	item->u.times.placements = false;
}

void
fs_ledger_preempt_due(TimestampTz due)
{
	fs_ledger_due(DT_NOEND, DT_NOEND);
	items[nitems - 1].u.times.preempt = due;
}

/* fs_ledger_placements_taken: marks of placements are being acted on; at abort they are put back. */
void
fs_ledger_placements_taken(void)
{
	fs_ledger_due(DT_NOEND, DT_NOEND);
	items[nitems - 1].u.times.placements = true;
}

/* fs_ledger_preempt: at commit the worker that has the job under this token is asked to give it back. */
void
fs_ledger_preempt(int64 job_id, int64 token)
{
	FsLedgerItem *item;

	fs_ledger_reserve(1);
	item = add_item(ITEM_PREEMPT);
	item->u.preempt.job_id = job_id;
	item->u.preempt.token = token;
	item->u.preempt.grace = FsMsToUsec(fs_preemption_grace);
}

/* fs_ledger_preempts: did this transaction ask for the job? */
bool
fs_ledger_preempts(int64 job_id)
{
	for (int i = 0; i < nitems; i++)
		if (items[i].kind == ITEM_PREEMPT && items[i].u.preempt.job_id == job_id)
			return true;
	return false;
}

/* fs_ledger_events: what listeners are to be told, at commit; or what they are being told: at abort it is to be told again. */
void
fs_ledger_events(const int64 *events, bool sent)
{
	FsLedgerItem *item;

	fs_ledger_reserve(1);
	item = add_item(ITEM_EVENTS);
	for (int i = 0; i < FS_EVENTS; i++)
		item->u.events[i] = sent ? -events[i] : events[i];
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

/* fs_ledger_signal_stale: only the settings of the capacity signal changed, which claims do not look at. */
void
fs_ledger_signal_stale(void)
{
	fs_ledger_reserve(1);
	add_item(ITEM_STALE)->u.flag = true;
}

/* fs_ledger_extension: CREATE or DROP EXTENSION; of a drop fs_my_db is the slot. */
void
fs_ledger_extension(Oid extension, bool created)
{
	FsLedgerItem *item;

	fs_ledger_reserve(1);
	item = add_item(ITEM_EXTENSION);
	item->u.extension.oid = extension;
	item->u.extension.created = created;
}

void
fs_ledger_worker(int32 worker, bool declared, int32 slots, const char *caps, int caps_len,
				 const char *node)
{
	FsWorkerChange *change = MemoryContextAllocZero(TopTransactionContext, sizeof(FsWorkerChange));
	bool		full = false;

	fs_ledger_reserve(1);
	change->worker = worker;
	change->declared = declared;
	change->slots = slots;
	change->caps_len = caps_len;
	memcpy(change->caps, caps, caps_len);
	strlcpy(change->node, node ? node : "", sizeof(change->node));
	change->place_node = FS_NONE;
	FsLock();
	if (node)
	{
		change->place_node = fs_place_node_get(fs_my_db, node);
		full = change->place_node == FS_NONE;
	}
	if (!full)
		add_item(ITEM_WORKER)->u.worker = change;
	FsUnlock();
	if (full)
		ereport(ERROR,
				(errcode(ERRCODE_FS_CAPACITY),
				 errmsg("too many nodes"),
				 errhint("Let workers share a node name, or increase fairsched.max_workers (now %d) and restart the server.",
						 fs_max_workers)));
}

/* fs_ledger_placement: at commit the chain or node is as it says; takes over its references. */
void
fs_ledger_placement(FsPlacementChange *change)
{
	add_item(ITEM_PLACEMENT)->u.placement = change;
}

/* fs_ledger_budget: a row of fairsched.budgets was written; room is reserved. */
void
fs_ledger_budget(const FsBudgetSettings *set)
{
	FsBudgetSettings *copy = MemoryContextAlloc(TopTransactionContext, sizeof(FsBudgetSettings));

	*copy = *set;
	add_item(ITEM_BUDGET)->u.budget = copy;
	has_budget = true;
}

void
fs_ledger_budgets_stale(void)
{
	if (nitems > 0 && items[nitems - 1].kind == ITEM_BUDGETS_STALE &&
		items[nitems - 1].subid == GetCurrentSubTransactionId())
		return;
	fs_ledger_reserve(1);
	add_item(ITEM_BUDGETS_STALE);
}

void
fs_ledger_usage_stale(void)
{
	if (nitems > 0 && items[nitems - 1].kind == ITEM_USAGE_STALE &&
		items[nitems - 1].subid == GetCurrentSubTransactionId())
		return;
	fs_ledger_reserve(1);
	add_item(ITEM_USAGE_STALE);
}

/* fs_ledger_notes: what was taken from memory is being written; at abort it is put back.  fs->lock held, room reserved. */
void
fs_ledger_notes(const FsAdmissionNotes *notes)
{
	add_item(ITEM_NOTES)->u.notes = notes;
}

/* ---------- ending transactions and subtransactions ---------- */

static void
commit_all(void)
{
	TimestampTz now = GetCurrentTransactionStopTimestamp();

	FsLock();
	for (int i = 0; i < nitems; i++)
	{
		if (i + FETCH_ITEMS < nitems)
			fs_ledger_fetch_item(&items[i + FETCH_ITEMS]);
		fs_ledger_commit_item(&items[i], now);
	}
	for (int i = nitems - 1; i >= 0; i--)
		fs_ledger_settle_item(&items[i], now);
	nitems = 0;
	FsUnlock();
}

/* Undo the items of one subtransaction, or all: newest first. */
static void
abort_items(SubTransactionId subid)
{
	FsLock();
	while (nitems > 0 && (subid == InvalidSubTransactionId || items[nitems - 1].subid == subid))
		fs_ledger_abort_item(&items[--nitems]);
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
		if (items[i].kind == ITEM_RESERVED || items[i].kind == ITEM_DUE || items[i].kind == ITEM_NOTES)
			continue;
		/* a job that left a queue was there before */
		if (items[i].kind == ITEM_QUEUE && !items[i].u.queue.on_abort &&
			items[i].u.queue.cls_delta >= 0 && items[i].u.queue.waiting_delta >= 0)
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
		fs_ledger_wake_scheduler(&fs_dbs[fs_my_db]);
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
					fs_ledger_prepare_item(&items[--nitems]);
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
			fs_scorer_subxact_aborted();
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
