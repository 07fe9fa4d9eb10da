/*
 * admit_parked.c
 *		Admission: flows and workspaces that a gate refused, and what lifts it.
 *
 * The pick (pick.c) asks here when a job's turn has come, after ceiling and
 * share.  A refusal that holds for every job of the workspace parks the
 * workspace, one that depends on what the jobs need parks the flow: both leave
 * their rings in O(1) and cost claimers nothing until something lifts the
 * refusal:
 *
 *	rate, throttle, usage of a day	time: a heap of workspaces by retry_at (fs_wakes)
 *	held resources					a lease of the workspace that ends or is undone
 *	budgets							budget_wake.c, through fs_admit_recheck
 *	capacity of the fleet			who picks, when something was given back (roomwait.c)
 *	all								changed settings
 *
 * What lifts a refusal only puts the flow back; the pick asks the gates again.
 *
 * All functions: fs->lock held exclusively; nothing here allocates, waits or
 * raises, so that commit and abort callbacks may call it.
 */
#include "admit.h"

#include "storage/latch.h"

#include "budget.h"
#include "capacity.h"
#include "flows.h"
#include "hints.h"
#include "park.h"
#include "ring.h"
#include "roomwait.h"
#include "stats.h"
#include "wait.h"

#define NO_ROOM_WAIT USECS_PER_SEC	/* until a place for budgets is looked for
									 * again */
#define OFFER_FLOWS	16			/* flows that wait for the fleet, asked about
								 * a gift */
#define MIN_WAIT	1000		/* usec a time-based refusal lasts at least */
#define SAVE_EVERY	USECS_PER_SEC	/* rate windows and violations are written */
#define WAKE_EVERY	(5 * INT64CONST(1000))	/* the scheduler looks no more
											 * often */

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
	if (d->limits_due != 0)
		due = Min(due, Max(d->limits_due, last + SAVE_EVERY));
	return due;
}

/* ---------- parking ---------- */

/* Of its workspace: those that wait for the fleet are apart, since what the workspace gives back is nothing to them. */
static int32 *
parked_of(int32 flow, int32 w)
{
	return fs_flows[flow].why.park == FS_PARK_CAPACITY ? &fs_workspaces[w].room_flows
		: &fs_workspaces[w].parked_flows;
}

static void
link_parked(int32 flow, int32 w)
{
	FsFlow	   *f = &fs_flows[flow];
	int32	   *head = parked_of(flow, w);

	f->park_prev = FS_NONE;
	f->park_next = *head;
	if (*head != FS_NONE)
		fs_flows[*head].park_prev = flow;
	*head = flow;
}

static void
unlink_parked(int32 flow, int32 w)
{
	FsFlow	   *f = &fs_flows[flow];

	if (f->park_prev != FS_NONE)
		fs_flows[f->park_prev].park_next = f->park_next;
	else
		*parked_of(flow, w) = f->park_next;
	if (f->park_next != FS_NONE)
		fs_flows[f->park_next].park_prev = f->park_prev;
}

/* The list of those that wait for the same, for a flow parked for a budget. */
static int32 *
waiters_of(int32 flow)
{
	return &fs_budget_sets[fs_flows[flow].budget_set].waiters;
}

static bool
waits_in_list(const FsRefusal *why)
{
	return why->park == FS_PARK_BUDGET && why->on != FS_NONE;
}

static void
link_waiter(int32 flow, uint64 due)
{
	FsFlow	   *f = &fs_flows[flow];
	int32	   *head = waiters_of(flow);

	f->wait_prev = FS_NONE;
	f->wait_next = *head;
	if (*head != FS_NONE)
		fs_flows[*head].wait_prev = flow;
	*head = flow;
	fs_budget_wait(flow, due);
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
	fs_budget_wait_over(flow);
}

static void
park_flow(int32 flow, const FsRefusal *why, TimestampTz now)
{
	FsFlow	   *f = &fs_flows[flow];
	uint64		due = waits_in_list(why) ? fs_room_rounds(flow) : 0;

	f->why = *why;
	f->why.since = now;
	link_parked(flow, FsWorkspaceOfFlow(flow));
	fs_sched_flow_relink(flow);
	if (waits_in_list(why))
		link_waiter(flow, due); /* its aging nodes are free now */
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

/* A violation: the flow's first job in this slot is refused.  Who that is, the scheduler reads. */
static void
breach(int32 w, const FsFlow *f, int slot, const FsRefusal *why, TimestampTz now)
{
	FsBreach   *b = fs_limits_breach(fs_workspaces[w].limits, why->resource,
									 why->whole ? FS_BREACH_PAUSE : FS_BREACH_REJECT, why->value, 0, NULL, now);

	b->flow_id = f->id;
	b->job_table = fs_workspaces[w].set.job_table;
	b->rank_slot = slot;
	b->job_id = fs_sched_flow_head(f, slot);
	b->queued = true;
}

#ifdef USE_ASSERT_CHECKING
/* What is plain the gates say as well. */
static bool
judged_alike(int32 flow, TimestampTz now)
{
	const FsFlow *f = &fs_flows[flow];
	int32		w = FsWorkspaceOfFlow(flow);
	FsRefusal	why;

	fs_admit_judge(w, &f->needs, f->budget_set, -1, FS_NONE, FS_GATE_ALL, now, &why);
	return why.park == FS_PARK_NONE &&
		!fs_capacity_refuses(&fs_dbs[fs_workspaces[w].db], flow, &f->needs, FS_NONE, now, &why);
}
#endif

/*
 * fs_admit_flow: true when the flow's job in this slot may be taken now; else it
 * or its workspace is parked.
 *
 * Most of the time there is room for many.  Jobs of a flow need the same, so
 * where QUOTA_RUN of them plainly fit, that is asked once for as many as are
 * taken one after the other in a critical section: nothing but they themselves
 * changes what the gates look at (a flow without gates holds nothing that
 * counts).  Where it is not plain, near a limit or with a gift, each is judged.
 */
bool
fs_admit_flow(int32 flow, int slot, FsEligible *e)
{
	FsFlow	   *f = &fs_flows[flow];
	int32		w = FsWorkspaceOfFlow(flow);
	FsDatabase *d = &fs_dbs[fs_workspaces[w].db];
	int32		gift;
	FsRefusal	why;

	if (e->run.left > 0 && e->run.flow == flow)
	{
		e->run.left--;
		Assert(judged_alike(flow, e->now));
		return true;
	}
	e->run.left = 0;
	gift = fs_sched_first_gift(e, w);
	/* the jobs of an overflow flow are not all alike */
	if (gift == FS_NONE && f->id > 0 && fs_admit_plain(w, &f->needs, f->budget_set, e->now))
	{
		e->run.flow = flow;
		e->run.left = QUOTA_RUN - 1;
		Assert(judged_alike(flow, e->now));
		return true;
	}
	fs_admit_judge(w, &f->needs, f->budget_set, -1, gift, FS_GATE_ALL, e->now, &why);
	if (why.park == FS_PARK_NONE)
	{
		if (!fs_capacity_refuses(d, flow, &f->needs, gift, e->now, &why))
			return true;
		fs_stats_refused(fs_shares[FsShareOfFlow(flow)].lane, &why);
		park_flow(flow, &why, e->now);
		return false;
	}
	fs_stats_refused(fs_shares[FsShareOfFlow(flow)].lane, &why);
	if (why.retry_at != 0)
		why.retry_at = Max(why.retry_at, e->now + MIN_WAIT);
	if (why.park == FS_PARK_RESOURCE && fs_workspaces[w].limits != FS_NONE &&
		(fs_limits[fs_workspaces[w].limits].set.has & FsResourceBit(why.resource)))
		breach(w, f, slot, &why, e->now);
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

/* fs_admit_relieved: less is held in the workspace: flows that fit now take part again. O(its parked flows). */
void
fs_admit_relieved(int32 w)
{
	for (int32 f = fs_workspaces[w].parked_flows, next; f != FS_NONE; f = next)
	{
		FsRefusal	why;

		next = fs_flows[f].park_next;
		if (fs_flows[f].why.park != FS_PARK_RESOURCE)
			continue;
		fs_admit_judge(w, &fs_flows[f].needs, FS_NONE, -1, FS_NONE, FS_GATE_RESOURCE,
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
	fs_admit_relieved(w);
	wake_workspace(w);
}

/*
 * fs_admit_recheck: a budget has room for jobs of a set: flows of it that wait
 * take part again, unless it is not for their workspace.  Returns how many it
 * looked at.
 */
int
fs_admit_recheck(int32 *waiters, TimestampTz now)
{
	int			looks = 0;

	for (int32 f = *waiters, next; f != FS_NONE; f = next)
	{
		FsRefusal	why;

		next = fs_flows[f].wait_next;
		looks++;
		fs_admit_judge(FsWorkspaceOfFlow(f), &fs_flows[f].needs, fs_flows[f].budget_set, -1, FS_NONE,
					   FS_GATE_BUDGET, now, &why);
		if (why.park == FS_PARK_NONE)
			unpark_flow(f);
	}
	return looks;
}

/* fs_admit_hold_back: budgets of the flow hold these classes back, and no others. */
void
fs_admit_hold_back(int32 flow, int classes)
{
	FsFlow	   *f = &fs_flows[flow];
	bool		lifted = (f->refused & ~classes) != 0;
	int32		s = FsShareOfFlow(flow);

	f->refused = classes;
	fs_sched_flow_relink(flow);
	if (lifted)
		fs_wait_wake(fs_workspaces[fs_shares[s].workspace].db, fs_shares[s].lane, PG_INT32_MAX);
}

/* fs_admit_lift: a parked flow takes part again, or has nothing ready any more. */
void
fs_admit_lift(int32 flow)
{
	lift_flow(flow);
}

/*
 * fs_admit_head_changed: a job of this slot left the queue of a flow, or comes to
 * it.  Jobs of an overflow flow need each something else, and what the flow is
 * parked for, or holds back, is what its head needs: where that may be another
 * now, look again.
 */
void
fs_admit_head_changed(int32 flow, int slot, bool left)
{
	FsFlow	   *f = &fs_flows[flow];
	uint32		slots = fs_sched_flow_slots(f);

	if (f->id > 0 || !f->parked_counted || f->filling)
		return;
	if (!left && slots != 0 && slot >= pg_rightmost_one_pos32(slots))
		return;
	f->refused = 0;				/* that was for the budgets of that head */
	fs_sched_reread(flow);
	unpark_flow(flow);
}

/*
 * fs_admit_offer: this call has a gift of the workspace: its flows may ask again;
 * of those that wait for the fleet a few that would fit.
 */
void
fs_admit_offer(int32 w, int32 gift, TimestampTz now)
{
	int			n = 0;

	if (fs_workspaces[w].parked == FS_PARK_RESOURCE)
		fs_sched_unpark(w);
	for (int32 f = fs_workspaces[w].parked_flows, next; f != FS_NONE; f = next)
	{
		next = fs_flows[f].park_next;
		lift_flow(f);
	}
	for (int32 f = fs_workspaces[w].room_flows, next; f != FS_NONE && n < OFFER_FLOWS; f = next, n++)
	{
		FsRefusal	why;

		next = fs_flows[f].park_next;
		if (!fs_capacity_refuses(&fs_dbs[fs_workspaces[w].db], f, &fs_flows[f].needs, gift, now, &why))
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
		fs_budget_join(set, flow);
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
	{
		fs_budget_leave(f->budget_set, flow);
		fs_budget_detach(f->budget_set);
	}
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
	FsRefusal	why = {
		.park = FS_PARK_BUDGET,
		.on = FS_NONE,
		.retry_at = now + NO_ROOM_WAIT,
	};

	fs_stats_refused(fs_shares[FsShareOfFlow(flow)].lane, &why);
	park_flow(flow, &why, now);
	set_timer(FsWorkspaceOfFlow(flow), why.retry_at);
}

void
fs_admit_workspace_made(int32 w)
{
	FsWorkspace *ws = &fs_workspaces[w];

	ws->parked_flows = ws->room_flows = FS_NONE;
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

/* ---------- for people ---------- */

/*
 * fs_admit_why: what holds a flow up by itself.  Of budgets it is what they say
 * now: the one that it was parked for may have let it in, and another not.
 */
void
fs_admit_why(int32 flow, FsRefusal *why)
{
	const FsFlow *f = &fs_flows[flow];
	int32		w = FsWorkspaceOfFlow(flow);
	FsRefusal	now;

	*why = f->why;
	if (f->budget_set == FS_NONE || (why->park != FS_PARK_NONE && why->park != FS_PARK_BUDGET))
		return;
	if (why->park == FS_PARK_NONE && !f->parked_counted)
		return;

	/*
	 * parked for a budget, or all that waits is of classes that budgets hold
	 * back
	 */
	fs_admit_judge(w, &f->needs, f->budget_set, why->park == FS_PARK_NONE ? fs_sched_flow_class(f) : -1, FS_NONE,
				   FS_GATE_BUDGET, fs_dbs[fs_workspaces[w].db].clock, &now);
	if (now.park == FS_PARK_NONE)
		return;
	now.since = why->park == FS_PARK_NONE ? fs_budget_sets[f->budget_set].refused_at : why->since;
	*why = now;
}
