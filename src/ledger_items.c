/*
 * ledger_items.c
 *		What each kind of ledger item does when its transaction ends.
 *
 * An item is confirmed at commit, undone at the abort of its transaction or
 * subtransaction, or let go of when its transaction is prepared.  When the
 * callbacks run, and what others can see by then, is at the top of ledger.c.
 *
 * All functions: fs->lock held exclusively.  They are called from transaction
 * callbacks: arithmetic only, nothing here allocates, waits or raises.
 */
#include "ledger_items.h"

#include <math.h>

#include "claimlog.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/latch.h"

#include "admit.h"
#include "fairness.h"
#include "closing.h"
#include "flows.h"
#include "hints.h"
#include "launcher.h"
#include "lease.h"
#include "notify.h"
#include "park.h"
#include "pick.h"
#include "placement_nodes.h"
#include "preempt.h"
#include "recommend_task.h"
#include "stats.h"
#include "wait.h"

/* fs_ledger_undo_claim: give a claim back at once: the lease goes, the workspace gets slot and cost. */
void
fs_ledger_undo_claim(int32 l)
{
	FsLease    *lease = &fs_leases[l];
	int32		w = lease->workspace;

	fs_admit_unclaim(l);
	if (lease->slot_from != FS_NONE)
	{
		fs_leases[lease->slot_from].slot_given = false;
		fs_sched_refund(lease->share, lease->charged, lease->advance);
	}
	else
	{
		fs_sched_refund(lease->share, lease->charged, lease->advance);
		if (!lease->slot_lost)
			fs_sched_slot_freed(w);
	}
	fs_lease_free(l);
}

/*
 * fs_ledger_take_back_gift: the lease is ended by somebody else than the
 * transaction that gave its slot on: that one aborted, its rows are free
 * already, and its callback is still to come.  The claim that took the slot
 * over, which nobody will ever see, is left without one until that callback
 * undoes it.
 */
void
fs_ledger_take_back_gift(int32 l)
{
	FsLease    *to = &fs_leases[fs_leases[l].given_to];

	fs_leases[l].slot_given = false;
	fs_admit_ungift(fs_leases[l].given_to);
	to->slot_from = FS_NONE;
	to->slot_lost = true;
}

/* fs_ledger_undo_finish: the lease is what it was, unless somebody who has its row ends it. */
void
fs_ledger_undo_finish(const FsLedgerItem *item)
{
	FsLease    *lease = &fs_leases[item->u.lease.lease];

	if (lease->stamp != item->u.lease.stamp)
		return;
	lease->state = item->u.lease.before;
	lease->stamp = item->u.lease.stamp_before;
}

/* Rows changed by this transaction, for who is counting them right now. */
static void
note_delta(int32 db, int32 workspace, int32 flow, int cls, int delta)
{
	FsCountDelta *d;

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
	d->flow = flow == FS_NONE ? FS_DELTA_NO_FLOW : flow;
	d->cls = cls;
	d->delta = delta;
}

/*
 * Is what this transaction did in the last count already?  That was over
 * between the moment in which others could see it and this one.
 */
static bool
counted_already(const FsDatabase *d)
{
	FullTransactionId xid = GetTopFullTransactionIdIfAny();

	if (!FullTransactionIdIsValid(xid) || !FullTransactionIdPrecedes(xid, d->count_xmax))
		return false;
	for (int i = 0; i < d->ncount_xids; i++)
		if (d->count_xids[i] == XidFromFullTransactionId(xid))
			return false;
	return true;
}

static void
count_delta(int32 db, int32 workspace, int32 flow, int cls, int delta)
{
	if (counted_already(&fs_dbs[db]))
		return;
	if (cls == FS_CLASSES)
		fs_workspaces[workspace].waiting += delta;
	else
	{
		fs_workspaces[workspace].ready[cls] += delta;
		if (flow != FS_NONE)
			fs_flows[flow].ready += delta;
	}
	note_delta(db, workspace, flow, cls, delta);
}

/* The flow of a claim's item, FS_NONE when it was given back meanwhile. */
static int32
flow_of_claim(const FsLedgerItem *item)
{
	int32		flow = item->u.lease.flow;

	return fs_flows[flow].member != FS_NONE && fs_flows[flow].id == item->u.lease.flow_id ? flow : FS_NONE;
}

/* The row of a soft lease is not available any more: which it did not count as. */
static void
note_soft_row(int32 db, const FsLease *lease, int slot)
{
	if (!lease->counted)
		return;
	if (counted_already(&fs_dbs[db]))
	{
		/* but the count took it off as held */
		fs_workspaces[lease->workspace].ready[FsSlotClass(slot)]++;
		if (lease->flow != FS_NONE)
			fs_flows[lease->flow].ready++;
	}
	note_delta(db, lease->workspace, lease->flow, FsSlotClass(slot), -1);
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
	fs_wait_wake_for(item->u.queue.workspace, fs_shares[FsShareOfFlow(flow)].lane, item->u.queue.count);
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
	if (ws->settled)
		fs->nsettled--;
	ws->settled = false;
	fs_sched_park(w, FS_PARK_PAUSED);	/* lifted below unless it is paused */
	fs_sched_unpark_if_fits(w);
	for (int32 s = ws->shares; s != FS_NONE; s = fs_shares[s].next)
		fs_wait_wake(db, fs_shares[s].lane, PG_INT32_MAX);
}

/* A workspace that was about to be frozen, and perhaps was by who came to the end of its head. */
static void
open_again(int32 db, int32 w)
{
	fs_closing_end(w);
	if (fs_workspaces[w].parked == FS_PARK_MOVING)
		thaw(db, w);
	else
		fs_workspaces[w].refs--;
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

/* fs_ledger_wake_scheduler: there is work for the scheduler of the database. */
void
fs_ledger_wake_scheduler(FsDatabase *d)
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
	if (w->place_node != c->place_node)
		for (int32 l = d->lanes; l != FS_NONE; l = fs_lanes[l].next)
			fs_wait_wake(FsDbIndex(d), l, PG_INT32_MAX);	/* who waits for it may
															 * serve other things
															 * now */
	fs_place_worker(c->worker, c->place_node);
	fs_sched_refresh_slots(d, now);
}

/* A booking is committed: others may claim on it, unless the window was saved since. */
static void
confirm_booking(const FsLedgerItem *item)
{
	FsLimits   *limits = &fs_limits[item->u.booked.limits];

	if (limits->rate_epoch == item->u.booked.epoch)
		limits->rate_booked += item->u.booked.left;
	else if (limits->set.has & FS_LIMIT_RATE)
	{
		limits->rate_dirty = true;	/* the next save removes it */
		fs_admit_dirty(&fs_dbs[item->db]);
	}
	limits->refs--;
	fs_limits_release(item->u.booked.limits);
}

/* Usage is committed: throttle where that crosses the threshold, even if it had been below for a moment only. */
static void
confirm_usage(FsLedgerItem *item, TimestampTz now)
{
	int32		l = item->u.usage.limits;
	FsResource	r = item->u.usage.resource;
	int64		amount = item->u.usage.amount;
	FsLimits   *limits = &fs_limits[l];

	if (r == FS_RES_STORAGE)
	{
		if (amount > 0)
			limits->level_pending -= amount;
		else
			limits->level += amount;
		limits->level_items--;
	}
	else
	{
		limits->pending[r - FS_RES_TOKENS] -= amount;
		fs_admit_rearm(l, r, fs_limits_committed(limits, r, now) - amount);
	}

	/*
	 * of a level what counts is what it is when all changes of the
	 * transaction are done, in whatever order it went up and down; they are
	 * of one transaction, which holds its row
	 */
	if (r != FS_RES_STORAGE || limits->level_items == 0)
		fs_admit_crossed(l, r, fs_limits_committed(limits, r, now), amount > 0, item->u.usage.job_id,
						 item->u.usage.run_id, now);
	limits->refs--;
	if (amount < 0 && limits->workspace != FS_NONE)
		fs_admit_changed(limits->workspace, now);
	fs_limits_release(l);
}

static void
undo_usage(FsLedgerItem *item)
{
	int32		l = item->u.usage.limits;
	FsResource	r = item->u.usage.resource;
	int64		amount = item->u.usage.amount;
	FsLimits   *limits = &fs_limits[l];

	if (r == FS_RES_STORAGE)
	{
		limits->level_items--;
		if (amount > 0)
		{
			limits->level -= amount;
			limits->level_pending -= amount;
		}
	}
	else
	{
		(void) window_take_back(FsWindowOf(limits, r), item->u.usage.slice, amount);
		limits->pending[r - FS_RES_TOKENS] -= amount;
	}
	limits->refs--;
	if (limits->workspace != FS_NONE)
		fs_admit_changed(limits->workspace, GetCurrentTimestamp());
	fs_limits_release(l);
}

/* fs_ledger_fetch_item: it will be confirmed soon; a transaction may have new jobs of thousands of flows. */
void
fs_ledger_fetch_item(const FsLedgerItem *item)
{
	int32		workspace = FS_NONE;
	int32		flow = FS_NONE;

	if (item->kind == ITEM_QUEUE)
	{
		workspace = item->u.queue.workspace;
		flow = item->u.queue.flow;
	}
	else if (item->kind == ITEM_RESERVED)
	{
		workspace = item->u.reserved.workspace;
		flow = item->u.reserved.flow;
	}
	if (workspace != FS_NONE)
		__builtin_prefetch(&fs_workspaces[workspace].refs);
	if (flow != FS_NONE)
		__builtin_prefetch(&fs_flows[flow].refs);
}

/* fs_ledger_settle_item: all items of the transaction are confirmed; newest first. */
void
fs_ledger_settle_item(const FsLedgerItem *item, TimestampTz now)
{
	if (item->kind == ITEM_CLAIM)
	{
		const FsLease *lease = &fs_leases[item->u.lease.lease];

		fs_admit_levels(item->u.lease.workspace, true, lease->stamp == item->u.lease.stamp ? lease->job_id : 0, now);
	}
	else if (item->kind == ITEM_FINISH && item->u.lease.workspace != FS_NONE)
		fs_admit_levels(item->u.lease.workspace, false, 0, now);
}

/* fs_ledger_commit_item: confirm it; `now` is the end of the transaction. */
void
fs_ledger_commit_item(FsLedgerItem *item, TimestampTz now)
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
					fs_admit_confirm(item->u.lease.lease, now);
				}
				ws->refs--;
				if (item->u.lease.charged > 0)
					FsStatsOfLane(item->u.lease.lane)->jobs++;
				else
					FsStatsOfLane(item->u.lease.lane)->retaken++;
				ws->served_jobs++;
				d->claims++;
				ws->served_cost += item->u.lease.charged;
				measure_rate(ws, now);
				/* the lease may be ENDING by now, by us */
				if (lease->db == item->db && lease->owner == FsMyProcNumber())
					fs_fair_waited(item->u.lease.workspace, lease, now);
				if (item->u.lease.soft)
				{
					/* no row changed; the lease may be ENDING by now, by us */
					ws->ready[FsSlotClass(item->u.lease.slot)]--;
					if (flow_of_claim(item) != FS_NONE)
						fs_flows[item->u.lease.flow].ready--;
					if (lease->db == item->db && lease->owner == FsMyProcNumber())
						lease->counted = lease->soft;
				}
				else
					count_delta(item->db, item->u.lease.workspace, flow_of_claim(item),
								FsSlotClass(item->u.lease.slot), -1);
				break;
			}
		case ITEM_FINISH:
			{
				FsLease    *lease = &fs_leases[item->u.lease.lease];

				fs_stats_ended(item->u.lease.lane, item->u.lease.how,
							   lease->stamp == item->u.lease.stamp ? Max(now - lease->claimed_at, 0) : 0);
				if (lease->stamp != item->u.lease.stamp)
				{
					/* somebody who had the row ended it */
					item->u.lease.workspace = FS_NONE;
					break;
				}
				fs_placement_note_end(item->u.lease.lease, now);
				fs_admit_end(item->u.lease.lease, now);
				if (lease->directive == FS_PREEMPT)
					fs_preempt_wake(d, now);	/* its request is answered, or
												 * void */
				fs_notify_count(d, FS_EVENT_FINISHED, 1, now);
				if (!lease->slot_given)
					fs_sched_slot_freed(lease->workspace);
				else
					fs_sched_unpark_if_fits(lease->workspace);
				fs_wait_wake_for(lease->workspace, fs_shares[lease->share].lane, 1);
				note_soft_row(item->db, lease, lease->rank_slot);
				if (lease->soft && item->u.lease.tell == FS_LOST)
					d->rescan = true;	/* its row was changed by hand:
										 * whatever that is now */
				if (item->u.lease.tell == FS_CONTINUE)
					fs_lease_free(item->u.lease.lease);
				else
				{
					fs_lease_not_soft(item->u.lease.lease);
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
				count_delta(item->db, item->u.queue.workspace, item->u.queue.flow,
							FsSlotClass(item->u.queue.slot),
							item->u.queue.cls_delta * item->u.queue.count);
			if (item->u.queue.cls_delta < 0 && d->nrooms > 0)
				fs_preempt_wake(d, now);	/* perhaps room is kept for nobody
											 * now */
			if (item->u.queue.waiting_delta)
				count_delta(item->db, item->u.queue.workspace, FS_NONE, FS_CLASSES,
							item->u.queue.waiting_delta * item->u.queue.count);
			if (item->u.queue.flow != FS_NONE)
				fs_admit_head_changed(item->u.queue.flow, item->u.queue.slot, item->u.queue.cls_delta < 0);
			if (item->u.queue.on_commit)
			{
				if (item->u.queue.cls_delta > 0)
				{
					FsStatsOfLane(fs_shares[FsShareOfFlow(item->u.queue.flow)].lane)->arrivals += item->u.queue.count;
					fs_recommend_wake(d, now);
				}
				hint(item->db, item);
				fs_notify_count(d, FS_EVENT_READY, item->u.queue.count, now);
			}
			if (item->u.queue.due != 0 && item->u.queue.due < d->next_due)
			{
				d->next_due = item->u.queue.due;
				fs_ledger_wake_scheduler(d);
			}
			unref_queue(item);
			break;
		case ITEM_RESERVED:
			unreserve(item);
			break;
		case ITEM_HARD:
			{
				FsLease    *lease = &fs_leases[item->u.lease.lease];

				if (lease->db != item->db || lease->token != item->u.lease.token)
					break;		/* the row could be seen before this: it ended */
				note_soft_row(item->db, lease, item->u.lease.slot);
				fs_lease_not_soft(item->u.lease.lease);
				break;
			}
		case ITEM_PLACE:
			if (fs_leases[item->u.lease.lease].directive == FS_PREEMPT)
				fs_preempt_wake(d, now);	/* its class may be another now */
			break;
		case ITEM_CLOSING:
			open_again(item->db, item->u.reserved.workspace);
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
			if (item->u.times.placements)
				fs_placement_taken_done();
			break;
		case ITEM_DRAINED:
			set_drained(d, item->u.flag);
			break;
		case ITEM_RESCAN:
			d->rescan = true;
			fs_ledger_wake_scheduler(d);
			break;
		case ITEM_STALE:
			if (item->u.flag)
			{
				d->signal_gen++;
				break;
			}
			d->tiers_stale = true;
			d->settings_gen++;
			break;
		case ITEM_EXTENSION:
			if (item->u.extension.created)
				fs_launcher_ask(MyDatabaseId);
			else
			{
				d->state = FS_DB_DEAD;
				fs_ledger_wake_scheduler(d);
			}
			break;
		case ITEM_WORKER:
			apply_worker(d, item->u.worker, now);
			break;
		case ITEM_LOGGED:
			if (d->claim_log_gen == item->u.logged.gen)
				fs_claim_log_listed(item->u.logged.page);
			break;
		case ITEM_SPEND:
			fs_budget_spend_commit(&item->u.spend, now);
			break;
		case ITEM_BUDGET:
			fs->budgets_promised -= item->u.budget->promised;
			fs_budget_apply(item->db, item->u.budget, NULL, now);
			break;
		case ITEM_BUDGETS_STALE:
			fs_budget_stale(item->db, now);
			break;
		case ITEM_USAGE_STALE:
			d->usage_stale = now;
			fs_admit_dirty(d);
			break;
		case ITEM_BUDGET_RUN:
			fs_budget_run_commit(item->db, &item->u.run, now);
			break;
		case ITEM_PLACEMENT:
			fs_placement_commit(item->db, item->u.placement);
			break;
		case ITEM_LIMITS:
			if (item->u.limits.part != 0)
			{
				fs_limits_apply(item->u.limits.limits, item->u.limits.part, item->u.limits.set, now);
				d->settings_gen++;
			}
			fs_limits[item->u.limits.limits].refs--;
			fs_limits_release(item->u.limits.limits);
			break;
		case ITEM_BOOKED:
			confirm_booking(item);
			break;
		case ITEM_USAGE:
			confirm_usage(item, now);
			break;
		case ITEM_PREEMPT:
			fs_preempt_mark(item->db, item->u.preempt.job_id, item->u.preempt.token,
							now + item->u.preempt.grace);
			fs_notify_count(d, FS_EVENT_PREEMPT_ASKED, 1, now);
			break;
		case ITEM_EVENTS:
			for (int i = 0; i < FS_EVENTS; i++)
				if (item->u.events[i] > 0)
					fs_notify_count(d, i, item->u.events[i], now);
			break;
		case ITEM_ENDED:
			fs_stats_ended(item->u.lease.lane, item->u.lease.how, -1);
			break;
		case ITEM_NOTES:
			break;
	}
}

/* fs_ledger_abort_item: undo it, at the abort of its transaction or subtransaction. */
void
fs_ledger_abort_item(FsLedgerItem *item)
{
	FsDatabase *d = &fs_dbs[item->db];

	switch (item->kind)
	{
		case ITEM_CLAIM:
			{
				FsLease    *lease = &fs_leases[item->u.lease.lease];
				int32		flow = lease->flow;
				int			slot = lease->rank_slot;
				FsCandidate cand = {
					.position = lease->position,
					.cost = lease->cost,
					.relfile = item->u.lease.relfile,
					.tid = item->u.lease.tid,
				};
				int32		lane = fs_shares[lease->share].lane;
				bool		confirmed = lease->token != 0;

				if (item->u.lease.charged > 0)
					FsStatsOfLane(lane)->undone++;
				fs_flows[flow].refs++;
				fs_workspaces[item->u.lease.workspace].refs--;
				fs_ledger_undo_claim(item->u.lease.lease);
				if (!confirmed)
					fs_sched_doubt(flow, slot, cand.position);	/* nobody has seen a row
																 * at its place */
				else if (item->u.lease.soft)
					fs_sched_ready_many(flow, slot, cand.position); /* nothing kept its row
																	 * in place */
				else
					fs_sched_ready_one(flow, slot, &cand);
				fs_flows[flow].refs--;
				fs_wait_wake_for(item->u.lease.workspace, lane, 1);
				break;
			}
		case ITEM_FINISH:
			fs_ledger_undo_finish(item);
			break;
		case ITEM_QUEUE:
			if (item->u.queue.on_abort)
				hint(item->db, item);
			unref_queue(item);
			break;
		case ITEM_RESERVED:
			unreserve(item);
			break;
		case ITEM_HARD:
			{
				FsLease    *lease = &fs_leases[item->u.lease.lease];

				if (lease->db != item->db || lease->token != item->u.lease.token)
					break;		/* our row could not be seen any more: it
								 * ended */
				lease->hardened = false;
				lease->tid = item->u.lease.tid;
				lease->relfile = item->u.lease.relfile;
				lease->job_table = item->u.lease.job_table;
				break;
			}
		case ITEM_PLACE:
			{
				FsLease    *lease = &fs_leases[item->u.lease.lease];

				lease->tid = item->u.lease.tid;
				lease->relfile = item->u.lease.relfile;
				lease->job_table = item->u.lease.job_table;
				lease->rank_slot = item->u.lease.slot;
				lease->saved_at = item->u.lease.saved_at;
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
		case ITEM_CLOSING:
			open_again(item->db, item->u.reserved.workspace);
			break;
		case ITEM_FROZEN:
			thaw(item->db, item->u.reserved.workspace);
			break;
		case ITEM_DUE:
			d->next_due = Min(d->next_due, item->u.times.due);
			d->next_expiry = Min(d->next_expiry, item->u.times.expiry);
			d->preempt_due = Min(d->preempt_due, item->u.times.preempt);
			if (item->u.times.placements)
				fs_placement_put_back(item->db);
			fs_ledger_wake_scheduler(d);
			break;
		case ITEM_RESCAN:
			if (item->u.flag)
				d->rescan = true;
			break;
		case ITEM_EXTENSION:

			/*
			 * what used it in this transaction took a slot that nobody will
			 * use again
			 */
			for (int i = 0; i < fs_max_databases && item->u.extension.created; i++)
				if (fs_dbs[i].dboid == MyDatabaseId && fs_dbs[i].state != FS_DB_FREE &&
					fs_dbs[i].extoid == item->u.extension.oid)
					fs_dbs[i].state = FS_DB_DEAD;
			break;
		case ITEM_SPEND:
			fs_budget_spend_abort(&item->u.spend);
			break;
		case ITEM_BUDGET:
			fs->budgets_promised -= item->u.budget->promised;
			break;
		case ITEM_BUDGET_RUN:
			fs_budget_run_abort(item->db, &item->u.run);
			break;
		case ITEM_PLACEMENT:
			fs_placement_abort(item->u.placement);
			break;
		case ITEM_NOTES:
			fs_notes_put_back(item->db, item->u.notes);
			break;
		case ITEM_WORKER:
			if (item->u.worker->place_node != FS_NONE)
				fs_place_node_unref(item->u.worker->place_node);
			break;
		case ITEM_LIMITS:
			fs_limits[item->u.limits.limits].refs--;
			fs_limits_release(item->u.limits.limits);
			break;
		case ITEM_BOOKED:
			fs_limits[item->u.booked.limits].refs--;
			fs_limits_release(item->u.booked.limits);
			break;
		case ITEM_USAGE:
			undo_usage(item);
			break;
		case ITEM_EVENTS:
			for (int i = 0; i < FS_EVENTS; i++)
				if (item->u.events[i] < 0)
					fs_notify_count(d, i, -item->u.events[i], GetCurrentTimestamp());
			break;
		case ITEM_STALE:
			if (item->u.flag)
				d->signal_gen++;	/* it may have been read here meanwhile */
			break;
		case ITEM_DRAINED:
		case ITEM_LOGGED:
		case ITEM_PREEMPT:
		case ITEM_BUDGETS_STALE:
		case ITEM_ENDED:
		case ITEM_USAGE_STALE:
			break;
	}
}

/* fs_ledger_prepare_item: memory lets go of it; new jobs are on the in-doubt list. */
void
fs_ledger_prepare_item(FsLedgerItem *item)
{
	if (item->kind == ITEM_QUEUE)
		unref_queue(item);
	else if (item->kind == ITEM_RESERVED)
		unreserve(item);
	else if (item->kind == ITEM_DUE && item->u.times.placements)
		fs_placement_put_back(item->db);	/* nobody tells how it ends */
	else if (item->kind == ITEM_NOTES)
		fs_notes_put_back(item->db, item->u.notes);
}
