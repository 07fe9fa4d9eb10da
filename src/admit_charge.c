/*
 * admit_charge.c
 *		Admission: what a lease takes and gives back.
 *
 * All is taken in the critical section that makes the lease, after the gates
 * (admit_gates.c) let its job through, so a refusal leaves nothing behind.  A
 * lease keeps what it took (FsLease.held, rate_slice, budget_set), so that its
 * end, or the abort of its claim, needs nothing else:
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

#include "budget.h"
#include "capacity.h"
#include "park.h"
#include "roomwait.h"

/* What is set for a workspace; NULL: nothing. */
static inline FsLimits *
limits_of(const FsWorkspace *ws)
{
	return ws->limits == FS_NONE ? NULL : &fs_limits[ws->limits];
}

static inline void
level_changed(const FsWorkspace *ws, FsLimits *limits, FsResource r, TimestampTz now)
{
	if (limits && (FsResourceBit(r) & FS_BURST_MASK) && limits->set.quota[r].burst > 0)
		burst_level(&limits->burst[r], &limits->set.quota[r], ws->held[r], now);
}

/* The jobs of a workspace hold so much more, or less. */
static inline void
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
	FsLimits   *limits = limits_of(ws);

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
		level_changed(ws, limits, r, now);
	}
	lease->room_until = 0;
	if (fs_dbs[ws->db].nrooms > 0)
		lease->room_until = fs_capacity_claimed(&fs_dbs[ws->db], lease->flow);
	lease->rate_gen = 0;
	lease->rate_owed = false;
	if ((how & FS_CHARGE_RATE) && limits && (limits->set.has & FS_LIMIT_RATE))
	{
		lease->rate_slice = window_add(&limits->rate, now, 1);
		lease->rate_gen = limits->rate_gen;
		lease->rate_owed = limits->rate_booked == 0;
		if (!lease->rate_owed)
			limits->rate_booked--;
		limits->rate_unsaved++;
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
fs_admit_again(int32 w, const FsFlowSpec *spec, int cls, TimestampTz now)
{
	int32		set = spec->budget ? fs_budget_attach(fs_workspaces[w].db, spec->budget) : FS_NONE;
	FsRefusal	why;

	if (set == FS_BUDGET_FULL)
		return false;
	fs_admit_judge(w, &spec->needs, set, cls, FS_NONE, FS_GATE_RESOURCE | FS_GATE_BUDGET, now, &why);
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
	FsLimits   *limits = limits_of(ws);
	TimestampTz now = limits ? GetCurrentTimestamp() : 0;

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
		level_changed(ws, limits, r, now);
	}
	if (lease->room_until != 0)
		(void) fs_capacity_keep(&fs_dbs[ws->db], lease->flow, FsSlotClass(lease->rank_slot), &lease->held,
								lease->room_until);
	lease->held.mask = 0;
	lease->open = false;
	if (lease->rate_gen != 0 && limits && limits->rate_gen == lease->rate_gen &&
		(limits->set.has & FS_LIMIT_RATE))
	{
		(void) window_take_back(&limits->rate, lease->rate_slice, 1);
		limits->rate_dirty = true;	/* it may be saved already */
		fs_admit_dirty(&fs_dbs[ws->db]);
		if (ws->parked == FS_PARK_RATE)
			fs_admit_changed(lease->workspace, now);
	}
	if (ws->parked_flows != FS_NONE)
		fs_admit_relieved(lease->workspace);
	if (fs_dbs[ws->db].room_rings != FS_NONE)
		fs_room_freed(&fs_dbs[ws->db], GetCurrentTimestamp());
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

/* A level is below its threshold. */
static void
arm(int32 l, FsResource r)
{
	fs_limits[l].armed |= FsResourceBit(r);
	if (fs_limits[l].crossing_rows & FsResourceBit(r))
		fs_limits_crossing_changed(l, r);
}

/* fs_admit_confirm: the claim is committed. */
void
fs_admit_confirm(int32 l, TimestampTz now)
{
	FsLease    *lease = &fs_leases[l];
	FsWorkspace *ws = &fs_workspaces[lease->workspace];
	FsLimits   *limits = limits_of(ws);

	if (!lease->open)
		return;
	lease->open = false;
	if (lease->budget_set != FS_NONE)
		fs_budget_confirm(l);
	for_each_need(r, lease->held.mask)
	{
		int64		committed;

		ws->open[r] -= lease->held.amount[r];
		if (limits == NULL || !(FsResourceBit(r) & limits->set.has & FS_BURST_MASK) || limits->set.quota[r].burst <= 0)
			continue;
		committed = ws->held[r] - ws->open[r];
		if (committed > limits->set.quota[r].quota)
			(void) fs_limits_breach(ws->limits, r, FS_BREACH_BURST, committed, lease->job_id, NULL, now);
	}
}

/*
 * fs_admit_levels: the transaction is over, all of it: where is what the workspace
 * holds, as to its thresholds?  What it ended and what it claimed are one step, in
 * whatever order; only what it claimed may cross one.  job_id: what it claimed
 * last; 0: not known.
 */
void
fs_admit_levels(int32 w, bool claimed, int64 job_id, TimestampTz now)
{
	FsWorkspace *ws = &fs_workspaces[w];
	FsLimits   *limits = limits_of(ws);

	if (limits == NULL)
		return;
	for_each_need(r, limits->set.has & FS_HELD_MASK)
	{
		int64		committed = ws->held[r] - ws->open[r];

		if (!(limits->armed & FsResourceBit(r)))
			fs_admit_rearm(ws->limits, r, committed);
		else if (claimed && committed >= limits->threshold_at[r])
			fs_admit_crossed(ws->limits, r, committed, false, job_id, NULL, now);
	}
}

/* fs_admit_end: what ended the job is committed; what its lease still holds goes back. */
void
fs_admit_end(int32 l, TimestampTz now)
{
	FsLease    *lease = &fs_leases[l];
	FsWorkspace *ws = &fs_workspaces[lease->workspace];
	FsLimits   *limits = limits_of(ws);

	if (lease->budget_set != FS_NONE)
		fs_budget_end(l);
	for_each_need(r, lease->held.mask)
	{
		hold(ws, r, -lease->held.amount[r]);
		if (lease->open)
			ws->open[r] -= lease->held.amount[r];
		level_changed(ws, limits, r, now);
	}
	lease->held.mask = 0;
	lease->open = false;
	if (ws->parked_flows != FS_NONE)
		fs_admit_relieved(lease->workspace);
	if (ws->parked == FS_PARK_RESOURCE)
		fs_sched_unpark_if_fits(lease->workspace);
	if (fs_dbs[ws->db].room_rings != FS_NONE)
		fs_room_freed(&fs_dbs[ws->db], now);
}

/* ---------- thresholds ---------- */

bool
fs_admit_above(const FsLimits *limits, FsResource r, int64 committed)
{
	return committed >= limits->threshold_at[r];
}

/*
 * fs_admit_crossed: what is committed crosses the threshold upward: throttle,
 * once; or an alert, where the throttle does not watch the resource.  What was
 * `recorded` nobody could refuse: above the quota itself it is an alert, too.
 */
void
fs_admit_crossed(int32 l, FsResource r, int64 committed, bool recorded, int64 job_id, const char *run_id,
				 TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];
	uint32		bit = FsResourceBit(r);
	bool		crosses;

	if (!(limits->set.has & bit))
		return;
	if (committed < limits->threshold_at[r])
	{
		arm(l, r);
		return;
	}
	crosses = (limits->armed & bit) != 0;
	limits->armed &= ~bit;
	if (crosses && fs_limits_watched(limits, r))
		fs_limits_crossed(l, r, now);
	if (crosses && limits->set.throttle && (limits->set.throttle_mask & bit))
	{
		fs_limits_throttled(l, r, now + limits->set.throttle_usec);
		(void) fs_limits_breach(l, r, FS_BREACH_THROTTLE, committed, job_id, run_id, now);
	}
	else if ((crosses && fs_limits_watched(limits, r)) ||
			 (recorded && committed > limits->set.quota[r].quota))
		(void) fs_limits_breach(l, r, FS_BREACH_ALERT, committed, job_id, run_id, now);
}

/* fs_admit_rearm: it was at this for a moment at least. */
void
fs_admit_rearm(int32 l, FsResource r, int64 committed)
{
	if (committed < fs_limits[l].threshold_at[r])
		arm(l, r);
}
