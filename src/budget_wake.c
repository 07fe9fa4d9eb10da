/*
 * budget_wake.c
 *		After a change of a budget: what it lets in now, and what it holds back.
 *
 * A budget knows the sets that name it, a set its flows and which of them wait,
 * so a change costs as many looks as the budget has sets, and flows that it
 * concerns; nobody else's are touched.
 *
 * Raising and resetting a budget lets all in that fit.  What a job that ends gives
 * back is often room for one, while thousands may wait; so that only makes the
 * set *hopeful*, and who picks lets one in, a pick, for as long as there is room
 * (fs_budget_offer).  A pick that finds nothing else goes on until somebody takes
 * part whom it may serve, or nobody is left for whom there is room.  First comes
 * who was due in the earliest round, counted from that of its lane when it was
 * parked, and from the key of who was let in last (so nobody is passed over for
 * ever); then who has waited longest.  From there Deficit Round Robin goes on.
 *
 * Room is asked for when a flow's turn comes (budget_gate.c).  Classes that a
 * crossed threshold preempts are held back before that: a flow has jobs of
 * several classes, so it is not parked for it but passes over these classes
 * (FsFlow.refused, ring.c) until they are let in again.  Otherwise the room that
 * a preemption makes would go to the next job of the same class.
 *
 * All functions: as at the top of budget.c.
 */
#include "budget.h"

#include "admit.h"
#include "flows.h"
#include "wait.h"

/* fs_budget_recheck: somebody may fit in now: flows that wait take part again where they do. */
void
fs_budget_recheck(int32 budget, TimestampTz now)
{
	FsBudget   *b = &fs_budgets[budget];

	if (fs_budget_shut(b))
		return;
	for (int32 link = b->sets, next; link != FS_NONE; link = next)
	{
		FsBudgetSet *set = &fs_budget_sets[FsBudgetLinkSet(link)];

		next = set->link_next[FsBudgetLinkPlace(link)];
		if (set->waiters == FS_NONE)
			continue;
		b->looks++;
		if (fs_budget_fits(FsBudgetLinkSet(link)))
			b->looks += fs_admit_recheck(&set->waiters, now);
	}
}

/* ---------- room for one ---------- */

/* A flow that waits is out of the order of service, so its jobs do not age: the first node of these is free. */
#define WAIT_NODE(flow)	((flow) * FS_AGING)

static void
despair(int32 s)
{
	FsBudgetSet *set = &fs_budget_sets[s];
	int32	   *first = &fs_budget_notices[set->db].hopeful;

	if (!set->hopeful)
		return;
	set->hopeful = false;
	if (set->hope_next == s)
	{
		*first = FS_NONE;
		return;
	}
	fs_budget_sets[set->hope_prev].hope_next = set->hope_next;
	fs_budget_sets[set->hope_next].hope_prev = set->hope_prev;
	if (*first == s)
		*first = set->hope_next;
}

/* Its turn comes after that of all others. */
static void
hope(int32 s)
{
	FsBudgetSet *set = &fs_budget_sets[s];
	int32	   *first = &fs_budget_notices[set->db].hopeful;

	if (set->hopeful)
		return;
	set->hopeful = true;
	if (*first == FS_NONE)
	{
		set->hope_next = set->hope_prev = *first = s;
		return;
	}
	set->hope_next = *first;
	set->hope_prev = fs_budget_sets[*first].hope_prev;
	fs_budget_sets[set->hope_prev].hope_next = s;
	fs_budget_sets[*first].hope_prev = s;
}

/* fs_budget_wait: a flow is parked for a budget; its turn in the round robin would be so many rounds from now. */
void
fs_budget_wait(int32 flow, uint64 due)
{
	FsBudgetSet *set = &fs_budget_sets[fs_flows[flow].budget_set];
	RingNode   *node = &fs_aging_nodes[WAIT_NODE(flow)];

	Assert(!node->linked);
	memset(node, 0, sizeof(RingNode));
	node->round = set->wait_clock + due;
	node->stamp = ++set->wait_stamp;
	ringheap_insert(fs_aging_nodes, &set->wait_root, WAIT_NODE(flow));
	fs_flows[flow].in_wait = true;
}

/* fs_budget_wait_over: it is out of the list, too. */
void
fs_budget_wait_over(int32 flow)
{
	int32		s = fs_flows[flow].budget_set;

	if (fs_aging_nodes[WAIT_NODE(flow)].linked)
		ringheap_remove(fs_aging_nodes, &fs_budget_sets[s].wait_root, WAIT_NODE(flow));
	memset(&fs_aging_nodes[WAIT_NODE(flow)], 0, sizeof(RingNode));
	fs_flows[flow].in_wait = false;
	if (fs_budget_sets[s].wait_root == RINGHEAP_NONE)
		despair(s);
}

/* fs_budget_room: something was given back: sets with room for one more.  O(sets of the budget). */
void
fs_budget_room(int32 budget)
{
	FsBudget   *b = &fs_budgets[budget];
	bool		any = false;

	if (fs_budget_shut(b))
		return;
	for (int32 link = b->sets; link != FS_NONE;
		 link = fs_budget_sets[FsBudgetLinkSet(link)].link_next[FsBudgetLinkPlace(link)])
	{
		int32		s = FsBudgetLinkSet(link);

		if (fs_budget_sets[s].wait_root == RINGHEAP_NONE)
			continue;
		b->looks++;
		if (!fs_budget_fits(s))
			continue;
		hope(s);
		any = true;
	}
	if (any && fs->nwaiters > 0)
		for (int32 lane = fs_dbs[b->db].lanes; lane != FS_NONE; lane = fs_lanes[lane].next)
			fs_wait_wake(b->db, lane, PG_INT32_MAX);
}

/*
 * fs_budget_offer: before a pick: one flow for which there is room takes part
 * again; false: there is none.  Each one looked at counts as a visit.
 */
bool
fs_budget_offer(int32 db, int *visits, TimestampTz now)
{
	while (fs_budget_hopeful(db) && *visits <= fs_max_visits)
	{
		int32		s = fs_budget_notices[db].hopeful;
		FsBudgetSet *set = &fs_budget_sets[s];
		int32		f = set->wait_root / FS_AGING;
		FsRefusal	why;

		if (!fs_budget_fits(s))
		{
			despair(s);
			continue;
		}
		++*visits;
		fs_budgets[set->budget[0]].looks++;
		fs_admit_judge(FsWorkspaceOfFlow(f), &fs_flows[f].needs, s, -1, FS_NONE, FS_GATE_BUDGET, now, &why);
		if (why.park != FS_PARK_NONE)
		{
			/*
			 * not for its workspace: room does not help, only a change of the
			 * budget does
			 */
			ringheap_remove(fs_aging_nodes, &set->wait_root, WAIT_NODE(f));
			if (set->wait_root == RINGHEAP_NONE)
				despair(s);
			continue;
		}
		set->wait_clock = Max(set->wait_clock, fs_aging_nodes[WAIT_NODE(f)].round);
		fs_budget_notices[db].hopeful = set->hope_next;
		fs_admit_lift(f);
		if (fs_workspaces[FsWorkspaceOfFlow(f)].parked == FS_PARK_NONE)
			return true;
	}
	return false;
}

/* ---------- classes ---------- */

/* The classes that its crossed thresholds preempt. */
static uint8
held_back(const FsBudget *b)
{
	int			classes = 0;

	for (int t = 0; t < METER_THRESHOLDS && b->set.id != 0; t++)
		if (b->meter.crossed & METER_BIT(t))
			classes |= fs_budget_classes(b->set.action[t]);
	return classes;
}

/* fs_budget_hold_back: thresholds were crossed, armed, or set: its flows pass over the classes it holds back. */
void
fs_budget_hold_back(int32 budget, TimestampTz now)
{
	FsBudget   *b = &fs_budgets[budget];
	uint8		classes = held_back(b);

	if (classes == b->refused)
		return;
	if (b->refused & ~classes)
	{
		fs_budget_notices[b->db].resume = true;
		fs_budget_signal(b->db);
	}
	b->refused = classes;
	b->refused_at = now;
	for (int32 link = b->sets; link != FS_NONE;
		 link = fs_budget_sets[FsBudgetLinkSet(link)].link_next[FsBudgetLinkPlace(link)])
	{
		FsBudgetSet *set = &fs_budget_sets[FsBudgetLinkSet(link)];
		uint8		all = 0;

		for (int i = 0; i < set->n; i++)
			all |= fs_budgets[set->budget[i]].refused;
		b->looks++;
		if (all == set->refused)
			continue;
		set->refused = all;
		set->refused_at = now;
		for (int32 f = set->flows; f != FS_NONE; f = fs_flows[f].set_next)
		{
			b->looks++;
			fs_admit_hold_back(f, all);
		}
	}
}
