/*
 * admit.c
 *		Admission: may a job of this flow be handed out, and what does it take?
 *
 * The pick (pick.c) asks here when a job's turn has come, after ceiling and
 * share.  The gates, in this order: rate window, resources, budgets, throttle.
 * All are asked before anything is taken, and all is taken in the critical
 * section that makes the lease, so a refusal leaves nothing behind.
 *
 * A refusal that holds for every job of the workspace parks the workspace, one
 * that depends on what the jobs need parks the flow: both leave their rings in
 * O(1) and cost claimers nothing until something lifts the refusal:
 *
 *	rate, throttle, usage of a day	time: a heap of workspaces by retry_at (fs_wakes)
 *	held resources					a lease of the workspace that ends or is undone
 *	budgets							budget.c, through fs_admit_recheck
 *	capacity of the fleet			any lease that ends or is undone, rooms given up (capacity.c)
 *	all								changed settings
 *
 * What lifts a refusal only puts the flow back; the pick asks the gates again.
 *
 * A lease keeps what it took (FsLease.held, rate_slice, budget_set), so that
 * its end, or the abort of its claim, needs nothing else:
 *
 *	charge	-> unclaim	abort, savepoint rollback, row not to be had: all goes back
 *			-> confirm	commit: from now on it counts for the throttle
 *			-> end		commit of what ended the job: held resources and reservations go
 *						back; the rate window keeps its count
 *
 * A claim that takes over the slot of a job finished in the same call (a gift)
 * takes over what that lease holds, up to what it needs itself; the rest stays
 * with the ending lease until its end is committed, so that an abort finds it.
 *
 * All functions: fs->lock held exclusively; nothing here allocates, waits or
 * raises, so that commit and abort callbacks may call it.
 */
#include "admit.h"

#include "common/hashfn.h"
#include "storage/latch.h"

#include "amount.h"
#include "budget.h"
#include "capacity.h"
#include "flows.h"
#include "park.h"
#include "ring.h"
#include "stats.h"
#include "wait.h"

#define NO_ROOM_WAIT USECS_PER_SEC	/* until a place for budgets is looked for again */
#define MIN_WAIT	1000		/* usec a time-based refusal lasts at least */
#define SAVE_EVERY	USECS_PER_SEC	/* rate windows and violations are written */
#define WAKE_EVERY	(5 * INT64CONST(1000))	/* the scheduler looks no more often */

#define for_each_need(r, mask) \
	for (int r = 0; r < FS_RESOURCES; r++) \
		if ((mask) & FsResourceBit(r))

/* ---------- deciding ---------- */

static void
refuse_resource(FsRefusal *why, FsResource r, bool whole, int64 value, int64 limit, TimestampTz retry_at)
{
	why->park = FS_PARK_RESOURCE;
	why->whole = whole;
	why->resource = r;
	why->value = value;
	why->limit = limit;
	why->retry_at = retry_at;
}

/* fs_admit_resource: does one resource refuse a job that needs so much of it? gift: held, to be had by it. */
bool
fs_admit_resource(const FsWorkspace *ws, FsResource r, int64 need, int64 gift, TimestampTz now,
				 FsRefusal *why)
{
	FsLimits   *limits = ws->limits == FS_NONE ? NULL : &fs_limits[ws->limits];
	int64		held = ws->held[r] - gift;
	int64		used;
	const FsQuota *q;
	bool		burst = false;
	int64		retry_at = 0;

	if (limits == NULL || !(limits->set.has & FsResourceBit(r)))
	{
		if (held <= FS_AMOUNT_MAX - need)
			return false;
		refuse_resource(why, r, false, held, FS_AMOUNT_MAX, 0);
		return true;
	}
	q = &limits->set.quota[r];
	used = fs_limits_used(limits, r, now);
	if (need == 0)
	{
		/* whatever it is going to use: nothing is left of the day's amount */
		if (!(FsResourceBit(r) & FS_CONSUMED_MASK) || used < q->quota)
			return false;
		refuse_resource(why, r, true, used, q->quota, window_lifts_at(FsWindowOf(limits, r), q->quota - 1));
		why->retry_at = Max(why->retry_at, 0);
		return true;
	}
	if (FsResourceBit(r) & FS_BURST_MASK)
	{
		burst = burst_may(&limits->burst[r], q, now);
		retry_at = burst_lifts_at(&limits->burst[r], q);
	}
	if (quota_fit(q, used + held, need, burst) != FS_FITS_NOT)
		return false;
	if (FsResourceBit(r) & FS_CONSUMED_MASK)
		retry_at = Max(window_lifts_at(FsWindowOf(limits, r), q->quota - need - held), 0);
	refuse_resource(why, r, r == FS_RES_RUNS && need == FS_UNIT, used + held + need,
					q->quota + (burst ? q->burst : 0), retry_at);
	return true;
}

void
fs_admit_judge(int32 w, const FsNeeds *needs, int32 budget_set, int32 gift, int gates,
			   TimestampTz now, FsRefusal *why)
{
	const FsWorkspace *ws = &fs_workspaces[w];
	FsLimits   *limits = ws->limits == FS_NONE ? NULL : &fs_limits[ws->limits];

	memset(why, 0, sizeof(FsRefusal));
	why->on = FS_NONE;
	if (limits && (gates & FS_GATE_RATE) && (limits->set.has & FS_LIMIT_RATE))
	{
		window_advance(&limits->rate, now);
		if (limits->rate.total >= limits->set.max_claims)
		{
			why->park = FS_PARK_RATE;
			why->whole = true;
			why->value = limits->rate.total * FS_UNIT;
			why->limit = limits->set.max_claims * FS_UNIT;
			why->retry_at = window_lifts_at(&limits->rate, limits->set.max_claims - 1);
			if (why->retry_at > 0 && limits->set.jitter > 0)
				why->retry_at += murmurhash32((uint32) w ^ (uint32) why->retry_at) %
					(uint64) (limits->set.jitter + 1);
			why->retry_at = Max(why->retry_at, 0);
			return;
		}
	}
	if (gates & FS_GATE_RESOURCE)
		for (int r = 0; r < FS_RESOURCES; r++)
		{
			if (needs->amount[r] == 0 && limits == NULL)
				continue;
			if (fs_admit_resource(ws, r, needs->amount[r],
								 gift == FS_NONE ? 0 : fs_leases[gift].held.amount[r], now, why))
				return;
		}
	if ((gates & FS_GATE_BUDGET) && budget_set != FS_NONE &&
		!fs_budget_admit(budget_set, w, gift, now, why))
	{
		why->park = FS_PARK_BUDGET;
		return;
	}
	if (limits && (gates & FS_GATE_THROTTLE) && limits->throttled_until > now)
	{
		why->park = FS_PARK_THROTTLE;
		why->whole = true;
		why->retry_at = limits->throttled_until;
	}
}

/* ---------- timers ---------- */

/* The workspace is looked at again at this time at the latest. */
static void
set_timer(int32 w, TimestampTz at)
{
	FsDatabase *d = &fs_dbs[fs_workspaces[w].db];
	RingNode   *node = &fs_wakes[w];

	if (node->linked)
	{
		if (node->round <= (uint64) at)
			return;
		ringheap_remove(fs_wakes, &d->wake_root, w);
	}
	node->round = (uint64) at;
	node->stamp = w;
	ringheap_insert(fs_wakes, &d->wake_root, w);
	if (d->wake_root == w && d->worker_latch)
		SetLatch(d->worker_latch);
}

void
fs_admit_dirty(FsDatabase *d)
{
	if (d->limits_dirty)
		return;
	d->limits_dirty = true;
	if (d->worker_latch)
		SetLatch(d->worker_latch);
}

TimestampTz
fs_admit_wake_at(const FsDatabase *d)
{
	return d->wake_root == RINGHEAP_NONE ? DT_NOEND : (TimestampTz) fs_wakes[d->wake_root].round;
}

TimestampTz
fs_admit_next_due(const FsDatabase *d)
{
	TimestampTz due = DT_NOEND;
	TimestampTz last = d->tasks[FS_TASK_ADMISSION].last_run;
	int32		root = d->wake_root;

	if (root != RINGHEAP_NONE)
		due = Max((TimestampTz) fs_wakes[root].round, last + WAKE_EVERY);
	if (d->limits_dirty)
		due = Min(due, last + SAVE_EVERY);
	return due;
}

/* ---------- parking ---------- */

static void
link_parked(int32 flow, int32 w)
{
	FsFlow	   *f = &fs_flows[flow];
	FsWorkspace *ws = &fs_workspaces[w];

	f->park_prev = FS_NONE;
	f->park_next = ws->parked_flows;
	if (ws->parked_flows != FS_NONE)
		fs_flows[ws->parked_flows].park_prev = flow;
	ws->parked_flows = flow;
}

static void
unlink_parked(int32 flow, int32 w)
{
	FsFlow	   *f = &fs_flows[flow];

	if (f->park_prev != FS_NONE)
		fs_flows[f->park_prev].park_next = f->park_next;
	else
		fs_workspaces[w].parked_flows = f->park_next;
	if (f->park_next != FS_NONE)
		fs_flows[f->park_next].park_prev = f->park_prev;
}

/* The list of those that wait for the same, for a flow parked for a budget or the fleet. */
static int32 *
waiters_of(int32 flow)
{
	const FsRefusal *why = &fs_flows[flow].why;

	return why->park == FS_PARK_BUDGET ? fs_budget_waiters(why->on)
		: &fs_dbs[fs_workspaces[FsWorkspaceOfFlow(flow)].db].room_waiters;
}

static bool
waits_in_list(const FsRefusal *why)
{
	return (why->park == FS_PARK_BUDGET && why->on != FS_NONE) || why->park == FS_PARK_CAPACITY;
}

static void
link_waiter(int32 flow)
{
	FsFlow	   *f = &fs_flows[flow];
	int32	   *head = waiters_of(flow);

	f->wait_prev = FS_NONE;
	f->wait_next = *head;
	if (*head != FS_NONE)
		fs_flows[*head].wait_prev = flow;
	*head = flow;
}

static void
unlink_waiter(int32 flow)
{
	FsFlow	   *f = &fs_flows[flow];

	if (f->wait_prev != FS_NONE)
		fs_flows[f->wait_prev].wait_next = f->wait_next;
	else
		*waiters_of(flow) = f->wait_next;
	if (f->wait_next != FS_NONE)
		fs_flows[f->wait_next].wait_prev = f->wait_prev;
}

static void
park_flow(int32 flow, const FsRefusal *why, TimestampTz now)
{
	FsFlow	   *f = &fs_flows[flow];

	f->why = *why;
	f->why.since = now;
	link_parked(flow, FsWorkspaceOfFlow(flow));
	if (waits_in_list(why))
		link_waiter(flow);
	fs_sched_flow_relink(flow);
}

/* Nothing holds the flow up by itself any more; forgets why. */
static void
lift_flow(int32 flow)
{
	FsFlow	   *f = &fs_flows[flow];

	if (f->why.park == FS_PARK_NONE)
		return;
	if (waits_in_list(&f->why))
		unlink_waiter(flow);
	unlink_parked(flow, FsWorkspaceOfFlow(flow));
	f->why.park = FS_PARK_NONE;
	fs_sched_flow_relink(flow);
}

static void
unpark_flow(int32 flow)
{
	int32		s = FsShareOfFlow(flow);

	lift_flow(flow);
	fs_wait_wake(fs_workspaces[fs_shares[s].workspace].db, fs_shares[s].lane, PG_INT32_MAX);
}

static void
wake_workspace(int32 w)
{
	for (int32 s = fs_workspaces[w].shares; s != FS_NONE; s = fs_shares[s].next)
		fs_wait_wake(fs_workspaces[w].db, fs_shares[s].lane, PG_INT32_MAX);
}

/* fs_admit_flow: true when a job of the flow may be taken now; else it or its workspace is parked. */
bool
fs_admit_flow(int32 flow, const FsEligible *e)
{
	FsFlow	   *f = &fs_flows[flow];
	int32		w = FsWorkspaceOfFlow(flow);
	FsDatabase *d = &fs_dbs[fs_workspaces[w].db];
	FsRefusal	why;

	fs_admit_judge(w, &f->needs, f->budget_set, fs_sched_first_gift(e, w), FS_GATE_ALL, e->now, &why);
	if (why.park == FS_PARK_NONE)
	{
		if (!fs_capacity_refuses(d, flow, &f->needs, fs_sched_first_gift(e, w), e->now, &why))
			return true;
		fs_stats_refused(fs_shares[FsShareOfFlow(flow)].lane, &why);
		park_flow(flow, &why, e->now);
		fs_capacity_refused(d, flow, e->now);
		return false;
	}
	fs_stats_refused(fs_shares[FsShareOfFlow(flow)].lane, &why);
	if (why.retry_at != 0)
		why.retry_at = Max(why.retry_at, e->now + MIN_WAIT);
	if (why.park == FS_PARK_RESOURCE && fs_workspaces[w].limits != FS_NONE &&
		(fs_limits[fs_workspaces[w].limits].set.has & FsResourceBit(why.resource)))
		fs_limits_breach(fs_workspaces[w].limits, why.resource, FS_BREACH_REJECT, why.value, 0, e->now);
	if (why.whole)
	{
		fs_sched_park(w, why.park);
		fs_workspaces[w].why = why;
		fs_workspaces[w].why.since = e->now;
	}
	else
		park_flow(flow, &why, e->now);
	if (why.retry_at != 0)
		set_timer(w, why.retry_at);
	return false;
}

/* ---------- what lifts refusals ---------- */

/* fs_admit_open: the workspace is parked for rate, resource or throttle: may it be asked again? */
bool
fs_admit_open(int32 w)
{
	const FsWorkspace *ws = &fs_workspaces[w];
	FsLimits   *limits;
	TimestampTz clock = fs_dbs[ws->db].clock;
	FsRefusal	why;

	if (ws->limits == FS_NONE)
		return true;
	limits = &fs_limits[ws->limits];
	switch (ws->parked)
	{
		case FS_PARK_RATE:
			return !(limits->set.has & FS_LIMIT_RATE) || limits->rate.total < limits->set.max_claims;
		case FS_PARK_THROTTLE:
			return limits->throttled_until <= clock;
		case FS_PARK_RESOURCE:
			return !fs_admit_resource(ws, ws->why.resource,
									 ws->why.resource == FS_RES_RUNS ? FS_UNIT : 0, 0, clock, &why);
		default:
			return true;
	}
}

/* Less is held in the workspace: flows that fit now take part again. O(its parked flows). */
static void
relieved(int32 w)
{
	for (int32 f = fs_workspaces[w].parked_flows, next; f != FS_NONE; f = next)
	{
		FsRefusal	why;

		next = fs_flows[f].park_next;
		if (fs_flows[f].why.park != FS_PARK_RESOURCE)
			continue;
		fs_admit_judge(w, &fs_flows[f].needs, FS_NONE, FS_NONE, FS_GATE_RESOURCE,
					   fs_dbs[fs_workspaces[w].db].clock, &why);
		if (why.park == FS_PARK_NONE)
			unpark_flow(f);
	}
}

/* fs_admit_changed: settings or usage of the workspace changed: everything is asked again. */
void
fs_admit_changed(int32 w, TimestampTz now)
{
	FsDatabase *d = &fs_dbs[fs_workspaces[w].db];

	d->clock = Max(d->clock, now);
	fs_sched_unpark_if_fits(w);
	relieved(w);
	wake_workspace(w);
}

/* fs_admit_recheck: a budget may admit more: flows that wait for it take part again, where it does. */
void
fs_admit_recheck(int32 *waiters, TimestampTz now)
{
	for (int32 f = *waiters, next; f != FS_NONE; f = next)
	{
		FsRefusal	why;

		next = fs_flows[f].wait_next;
		fs_admit_judge(FsWorkspaceOfFlow(f), &fs_flows[f].needs, fs_flows[f].budget_set, FS_NONE,
					   FS_GATE_BUDGET, now, &why);
		if (why.park == FS_PARK_NONE)
			unpark_flow(f);
		else
		{
			why.since = fs_flows[f].why.since;
			if (why.on != fs_flows[f].why.on)
			{
				unlink_waiter(f);
				fs_flows[f].why = why;
				link_waiter(f);
			}
			fs_flows[f].why = why;
			if (why.retry_at != 0)
				set_timer(FsWorkspaceOfFlow(f), Max(why.retry_at, now + MIN_WAIT));
		}
	}
}

/* fs_admit_room: the fleet has more left: flows that fit now take part again. O(those that wait for it). */
void
fs_admit_room(FsDatabase *d, TimestampTz now)
{
	for (int32 f = d->room_waiters, next; f != FS_NONE; f = next)
	{
		FsRefusal	why;

		next = fs_flows[f].wait_next;
		if (!fs_capacity_refuses(d, f, &fs_flows[f].needs, FS_NONE, now, &why))
			unpark_flow(f);
	}
}

/* fs_admit_nobody_waits: a parked flow has nothing ready any more. */
void
fs_admit_nobody_waits(int32 flow)
{
	lift_flow(flow);
}

/* fs_admit_offer: this call has gifts of the workspace: its flows may ask again. */
void
fs_admit_offer(int32 w)
{
	if (fs_workspaces[w].parked == FS_PARK_RESOURCE)
		fs_sched_unpark(w);
	for (int32 f = fs_workspaces[w].parked_flows, next; f != FS_NONE; f = next)
	{
		next = fs_flows[f].park_next;
		lift_flow(f);
	}
}

/* fs_admit_wake_due: refusals that were to last until now. */
void
fs_admit_wake_due(FsDatabase *d, TimestampTz now)
{
	while (d->wake_root != RINGHEAP_NONE && fs_wakes[d->wake_root].round <= (uint64) now)
	{
		int32		w = d->wake_root;
		FsWorkspace *ws = &fs_workspaces[w];
		TimestampTz next = 0;
		bool		lifted = false;

		ringheap_remove(fs_wakes, &d->wake_root, w);
		if (fs_park_by_gate(ws->parked))
		{
			if (ws->why.retry_at != 0 && ws->why.retry_at <= now)
			{
				fs_sched_unpark(w);
				lifted = true;
			}
			else
				next = ws->why.retry_at;
		}
		for (int32 f = ws->parked_flows, after; f != FS_NONE; f = after)
		{
			TimestampTz at = fs_flows[f].why.retry_at;

			after = fs_flows[f].park_next;
			if (at == 0)
				continue;
			if (at <= now)
			{
				lift_flow(f);
				lifted = true;
			}
			else if (next == 0 || at < next)
				next = at;
		}
		if (lifted)
			wake_workspace(w);
		if (next != 0)
			set_timer(w, next);
	}
}

/* ---------- charging ---------- */

static void
level_changed(int32 w, FsResource r, TimestampTz now)
{
	FsWorkspace *ws = &fs_workspaces[w];

	if (ws->limits != FS_NONE && (FsResourceBit(r) & FS_BURST_MASK) &&
		fs_limits[ws->limits].set.quota[r].burst > 0)
		burst_level(&fs_limits[ws->limits].burst[r], &fs_limits[ws->limits].set.quota[r], ws->held[r], now);
}

/* The jobs of a workspace hold so much more, or less. */
static void
hold(FsWorkspace *ws, FsResource r, int64 delta)
{
	ws->held[r] += delta;
	fs_capacity_hold(&fs_dbs[ws->db], r, delta);
}

/*
 * fs_admit_charge: the lease takes what its job needs.  Its workspace is set;
 * `gift` is the lease that it takes over from, or FS_NONE.
 */
void
fs_admit_charge(int32 l, const FsNeeds *needs, int32 budget_set, int32 gift, int how, TimestampTz now)
{
	FsLease    *lease = &fs_leases[l];
	FsLease    *from = gift == FS_NONE ? NULL : &fs_leases[gift];
	FsWorkspace *ws = &fs_workspaces[lease->workspace];

	lease->held = *needs;
	lease->open = (how & FS_CHARGE_OPEN) != 0;
	lease->moved.mask = 0;
	for_each_need(r, lease->held.mask)
	{
		int64		need = lease->held.amount[r];

		if (from)
		{
			int64		moved = Min(from->held.amount[r], need);

			lease->moved.amount[r] = moved;
			lease->moved.mask |= FsResourceBit(r);
			from->held.amount[r] -= moved;
			if (from->open)
				ws->open[r] -= moved;
			hold(ws, r, need - moved);
		}
		else
			hold(ws, r, need);
		if (lease->open)
			ws->open[r] += need;
		level_changed(lease->workspace, r, now);
	}
	if (fs_dbs[ws->db].nrooms > 0)
		fs_capacity_claimed(&fs_dbs[ws->db], lease->flow);
	lease->rate_gen = 0;
	if ((how & FS_CHARGE_RATE) && ws->limits != FS_NONE && (fs_limits[ws->limits].set.has & FS_LIMIT_RATE))
	{
		FsLimits   *limits = &fs_limits[ws->limits];

		lease->rate_slice = window_add(&limits->rate, now, 1);
		lease->rate_gen = limits->rate_gen;
		limits->rate_dirty = true;
		fs_admit_dirty(&fs_dbs[ws->db]);
	}
	lease->budget_set = FS_NONE;
	if (budget_set != FS_NONE)
		fs_budget_charge(l, budget_set, gift);
}

/*
 * fs_admit_again: may a job whose lease ran out be taken again by who had it?
 * It was counted against the rate when it was claimed, and a throttle is for
 * new jobs.  Of its own spec: an overflow flow's needs are those of its head.
 */
bool
fs_admit_again(int32 w, const FsFlowSpec *spec, TimestampTz now)
{
	int32		set = spec->budget ? fs_budget_attach(fs_workspaces[w].db, spec->budget) : FS_NONE;
	FsRefusal	why;

	if (set == FS_BUDGET_FULL)
		return false;
	fs_admit_judge(w, &spec->needs, set, FS_NONE, FS_GATE_RESOURCE | FS_GATE_BUDGET, now, &why);
	if (set != FS_NONE)
		fs_budget_detach(set);
	return why.park == FS_PARK_NONE &&
		!fs_capacity_refuses(&fs_dbs[fs_workspaces[w].db], FS_NONE, &spec->needs, FS_NONE, now, &why);
}

static void
charge_spec(int32 l, const FsFlowSpec *spec, int how, TimestampTz now)
{
	int32		db = fs_leases[l].db;
	int32		set = spec->budget ? fs_budget_attach(db, spec->budget) : FS_NONE;

	if (set == FS_BUDGET_FULL)
		set = FS_NONE;
	fs_admit_charge(l, &spec->needs, set, FS_NONE, how, now);
	if (set != FS_NONE)
		fs_budget_detach(set);	/* the lease has its own reference */
}

/* fs_admit_take_again: after fs_admit_again, in the same critical section. */
void
fs_admit_take_again(int32 l, const FsFlowSpec *spec, TimestampTz now)
{
	charge_spec(l, spec, FS_CHARGE_OPEN, now);
}

/* fs_admit_restore: a rebuild found it running: it holds what it holds. */
void
fs_admit_restore(int32 l, const FsFlowSpec *spec, TimestampTz now)
{
	charge_spec(l, spec, 0, now);
}

/* fs_admit_unclaim: the claim is undone; what it took goes back to where it came from. */
void
fs_admit_unclaim(int32 l)
{
	FsLease    *lease = &fs_leases[l];
	FsWorkspace *ws = &fs_workspaces[lease->workspace];
	FsLease    *from = lease->slot_from == FS_NONE ? NULL : &fs_leases[lease->slot_from];
	TimestampTz now = ws->limits == FS_NONE ? 0 : GetCurrentTimestamp();

	if (lease->budget_set != FS_NONE)
		fs_budget_unclaim(l);
	for_each_need(r, lease->held.mask)
	{
		int64		moved = from ? lease->moved.amount[r] : 0;

		hold(ws, r, moved - lease->held.amount[r]);
		if (lease->open)
			ws->open[r] -= lease->held.amount[r];
		if (from)
		{
			from->held.amount[r] += moved;
			if (from->open)
				ws->open[r] += moved;
		}
		level_changed(lease->workspace, r, now);
	}
	lease->held.mask = 0;
	lease->open = false;
	if (lease->rate_gen != 0 && ws->limits != FS_NONE &&
		fs_limits[ws->limits].rate_gen == lease->rate_gen &&
		(fs_limits[ws->limits].set.has & FS_LIMIT_RATE))
	{
		(void) window_take_back(&fs_limits[ws->limits].rate, lease->rate_slice, 1);
		if (ws->parked == FS_PARK_RATE)
			fs_admit_changed(lease->workspace, now);
	}
	if (ws->parked_flows != FS_NONE)
		relieved(lease->workspace);
	if (fs_dbs[ws->db].room_waiters != FS_NONE)
		fs_admit_room(&fs_dbs[ws->db], GetCurrentTimestamp());
}

/* fs_admit_ungift: what the claim took over from slot_from is that lease's again; the claim was aborted. */
void
fs_admit_ungift(int32 l)
{
	FsLease    *lease = &fs_leases[l];
	FsLease    *from = &fs_leases[lease->slot_from];
	FsWorkspace *ws = &fs_workspaces[lease->workspace];

	if (lease->budget_set != FS_NONE)
		fs_budget_ungift(l);
	for_each_need(r, lease->moved.mask)
	{
		from->held.amount[r] += lease->moved.amount[r];
		if (from->open)
			ws->open[r] += lease->moved.amount[r];
		lease->held.amount[r] -= lease->moved.amount[r];
		if (lease->open)
			ws->open[r] -= lease->moved.amount[r];
	}
	lease->moved.mask = 0;
}

/* fs_admit_confirm: the claim is committed. */
void
fs_admit_confirm(int32 l, TimestampTz now)
{
	FsLease    *lease = &fs_leases[l];
	FsWorkspace *ws = &fs_workspaces[lease->workspace];

	if (!lease->open)
		return;
	lease->open = false;
	for_each_need(r, lease->held.mask)
	{
		ws->open[r] -= lease->held.amount[r];
		if (ws->limits != FS_NONE && (fs_limits[ws->limits].set.has & FsResourceBit(r)))
		{
			FsLimits   *limits = &fs_limits[ws->limits];
			int64		committed = ws->held[r] - ws->open[r];

			if (FsResourceBit(r) & FS_HELD_MASK)
				fs_admit_crossed(ws->limits, r, committed, now);
			if (limits->set.quota[r].burst > 0 && committed > limits->set.quota[r].quota)
				fs_limits_breach(ws->limits, r, FS_BREACH_BURST, committed, lease->job_id, now);
		}
	}
}

/* fs_admit_end: what ended the job is committed; what its lease still holds goes back. */
void
fs_admit_end(int32 l, TimestampTz now)
{
	FsLease    *lease = &fs_leases[l];
	FsWorkspace *ws = &fs_workspaces[lease->workspace];

	if (lease->budget_set != FS_NONE)
		fs_budget_end(l, now);
	for_each_need(r, lease->held.mask)
	{
		hold(ws, r, -lease->held.amount[r]);
		if (lease->open)
			ws->open[r] -= lease->held.amount[r];
		level_changed(lease->workspace, r, now);
		if (ws->limits != FS_NONE && (FsResourceBit(r) & FS_HELD_MASK))
			fs_admit_crossed(ws->limits, r, ws->held[r] - ws->open[r], now);
	}
	lease->held.mask = 0;
	lease->open = false;
	if (ws->parked_flows != FS_NONE)
		relieved(lease->workspace);
	if (ws->parked == FS_PARK_RESOURCE)
		fs_sched_unpark_if_fits(lease->workspace);
	if (fs_dbs[ws->db].room_waiters != FS_NONE)
		fs_admit_room(&fs_dbs[ws->db], now);
}

void
fs_admit_crossed(int32 l, FsResource r, int64 committed, TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];
	uint32		bit = FsResourceBit(r);
	bool		over;

	if (!(limits->set.has & bit))
		return;
	over = committed >= limits->set.threshold * limits->set.quota[r].quota && committed > 0;
	if (over && (limits->armed & bit) && limits->set.throttle && (limits->set.throttle_mask & bit))
	{
		limits->throttled_until = Max(limits->throttled_until, now + limits->set.throttle_usec);
		fs_limits_breach(l, r, FS_BREACH_THROTTLE, committed, 0, now);
	}
	if (over)
		limits->armed &= ~bit;
	else
		limits->armed |= bit;
}

/* ---------- coming and going ---------- */

/* fs_admit_flow_made: a flow gets what its jobs need; false: no room for its budgets. */
bool
fs_admit_flow_made(int32 flow, const FsFlowSpec *spec)
{
	FsFlow	   *f = &fs_flows[flow];

	f->park_next = f->park_prev = f->wait_next = f->wait_prev = FS_NONE;
	f->budget_set = FS_NONE;
	f->needs = spec->needs;
	if (spec->budget)
	{
		int32		set = fs_budget_attach(fs_workspaces[FsWorkspaceOfFlow(flow)].db, spec->budget);

		if (set == FS_BUDGET_FULL)
			return false;
		f->budget_set = set;
	}
	return true;
}

/* fs_admit_flow_gone: before it is freed. */
void
fs_admit_flow_gone(int32 flow)
{
	FsFlow	   *f = &fs_flows[flow];

	lift_flow(flow);
	if (f->budget_set != FS_NONE)
		fs_budget_detach(f->budget_set);
	f->budget_set = FS_NONE;
}

/*
 * fs_admit_new_head: the candidates of an overflow flow need this.  False: no
 * room for their budgets.
 */
bool
fs_admit_new_head(int32 flow, const FsFlowSpec *spec)
{
	fs_admit_flow_gone(flow);
	return fs_admit_flow_made(flow, spec);
}

/* fs_admit_no_room: there is none for the budgets of its head: it waits, and is tried again. */
void
fs_admit_no_room(int32 flow, TimestampTz now)
{
	FsRefusal	why = {.park = FS_PARK_BUDGET, .on = FS_NONE, .retry_at = now + NO_ROOM_WAIT};

	fs_stats_refused(fs_shares[FsShareOfFlow(flow)].lane, &why);
	park_flow(flow, &why, now);
	set_timer(FsWorkspaceOfFlow(flow), why.retry_at);
}

void
fs_admit_workspace_made(int32 w)
{
	FsWorkspace *ws = &fs_workspaces[w];

	ws->parked_flows = FS_NONE;
	memset(&fs_wakes[w], 0, sizeof(RingNode));
	ws->limits = fs_limits_find(ws->db, ws->name);
	if (ws->limits != FS_NONE)
		fs_limits[ws->limits].workspace = w;
}

void
fs_admit_workspace_gone(int32 w)
{
	FsWorkspace *ws = &fs_workspaces[w];

	if (fs_wakes[w].linked)
		ringheap_remove(fs_wakes, &fs_dbs[ws->db].wake_root, w);
	if (ws->limits != FS_NONE)
		fs_limits[ws->limits].workspace = FS_NONE;
	ws->limits = FS_NONE;
}

/* fs_admit_bind: an entry of limits was made; returns its workspace if memory has it. */
int32
fs_admit_bind(int32 db, const char *workspace, int32 limits)
{
	int32		w = fs_sched_workspace_find(db, workspace);

	if (w != FS_NONE)
		fs_workspaces[w].limits = limits;
	return w;
}

/* ---------- words ---------- */

void
fs_admit_detail(const FsRefusal *why, char *buf, Size len)
{
	char		value[48];
	char		limit[48];

	buf[0] = '\0';
	fs_amount_text(why->value, value, sizeof(value));
	fs_amount_text(why->limit, limit, sizeof(limit));
	switch (why->park)
	{
		case FS_PARK_RATE:
			snprintf(buf, len, "%s claims of %s in the window", value, limit);
			break;
		case FS_PARK_RESOURCE:
			snprintf(buf, len, "%s %s of %s", FsResourceNames[why->resource], value, limit);
			break;
		case FS_PARK_BUDGET:
			fs_budget_detail(why, buf, len);
			break;
		case FS_PARK_CAPACITY:
			snprintf(buf, len, "%s %s of %s of the fleet", FsResourceNames[why->resource], value, limit);
			break;
		default:
			break;
	}
}
