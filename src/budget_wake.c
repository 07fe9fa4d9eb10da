/*
 * budget_wake.c
 *		After a change of a budget: what it lets in now, and what it holds back.
 *
 * A budget knows the sets that name it, a set its flows and which of them wait,
 * so a change costs as many looks as the budget has sets, and flows that it
 * concerns; nobody else's are touched.
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
