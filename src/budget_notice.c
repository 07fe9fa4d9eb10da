/*
 * budget_notice.c
 *		What is left for the scheduler: notices of thresholds that were crossed or
 *		armed again, in the order of the commits that did it.
 *
 * All functions: as at the top of budget.c.
 */
#include "budget.h"

#include "ledger_items.h"

/* fs_budget_signal: there is something for the scheduler to do. */
void
fs_budget_signal(int32 db)
{
	fs_budget_notices[db].signal++;
	fs_ledger_wake_scheduler(&fs_dbs[db]);
}

/* fs_budget_describe: it as it is now. */
void
fs_budget_describe(int32 budget, FsBudgetNotice *notice)
{
	const FsBudget *b = &fs_budgets[budget];

	notice->paused = fs_budget_paused(b);
	notice->id = b->set.id;
	notice->set = b->set;
	notice->spent = b->meter.spent;
	notice->running = b->running;
}

/*
 * fs_budget_notice: thresholds of row `id` were crossed, or armed again; `pausing` are those that
 * stopped claims until now.  When the list is full the scheduler compares with
 * what it wrote instead.
 */
void
fs_budget_notice(int32 budget, FsBudgetNoticeKind kind, int32 id, unsigned mask, unsigned pausing, TimestampTz now)
{
	FsBudget   *b = &fs_budgets[budget];
	FsBudgetNotices *list = &fs_budget_notices[b->db];
	FsBudgetNotice *notice;

	if (mask == 0)
		return;
	fs_budget_signal(b->db);
	if (list->next - list->first >= FS_BUDGET_NOTICES)
	{
		list->lost = true;
		return;
	}
	notice = &list->notice[list->next++ % FS_BUDGET_NOTICES];
	notice->kind = kind;
	notice->mask = mask;
	notice->pausing = pausing;
	notice->at = now;
	fs_budget_describe(budget, notice);
	notice->id = id;
}
