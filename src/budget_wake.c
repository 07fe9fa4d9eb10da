/*
 * budget_wake.c
 *		After a change of a budget: flows that wait for it and may be let in now.
 *
 * All functions: as at the top of budget.c.
 */
#include "budget.h"

#include "admit.h"

int32 *
fs_budget_waiters(int32 b)
{
	return &fs_budgets[b].waiters;
}

/* fs_budget_recheck: somebody may fit in now. O(flows that wait), so only where one could. */
void
fs_budget_recheck(int32 b, TimestampTz now)
{
	if (fs_budgets[b].waiters != FS_NONE && !fs_budget_shut(&fs_budgets[b]))
		fs_admit_recheck(&fs_budgets[b].waiters, now);
}
