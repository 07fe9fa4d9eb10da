/*
 * budget_apply.c
 *		What is committed of budgets, taken over into memory: their rows, and what
 *		a run of the scheduler's task has done.
 *
 * All functions: as at the top of budget.c.
 */
#include "budget.h"

/* Is this older than what is known?  A row that was deleted has its last revision. */
static bool
is_old(const FsBudget *b, const FsBudgetSettings *set)
{
	return set->revision < b->set.revision || (set->revision == b->set.revision && b->set.id == 0 && set->id != 0);
}

/*
 * fs_budget_apply: the row of a budget was committed, or read (`spent`: what its
 * rows add up to; NULL: what is spent is known here).  Older news are ignored.
 * There is room: it is known, or promised.
 */
void
fs_budget_apply(int32 db, const FsBudgetSettings *set, const int64 *spent, TimestampTz now)
{
	int32		budget = fs_budget_find(db, set->name);
	FsBudget   *b;
	unsigned	pausing;
	unsigned	armed = 0;
	unsigned	more = 0;
	unsigned	crossed = 0;
	int32		id;

	if (budget == FS_NONE)
		budget = fs_budget_add(db, set->name);
	if (budget == FS_NONE)
		return;
	b = &fs_budgets[budget];
	if (is_old(b, set))
	{
		/*
		 * its settings are newer than these rows, but what they add up to is
		 * not known to it yet
		 */
		if (spent == NULL || set->id != b->set.id || set->period != b->set.period)
		{
			fs_budget_release(budget);
			return;
		}
		set = &b->set;
	}
	else if (set->revision == b->set.revision && set->id == b->set.id && spent == NULL)
	{
		fs_budget_release(budget);
		return;
	}
	pausing = fs_budget_pausing(&b->set);
	id = b->set.id;
	if (set->id != b->set.id || set->period != b->set.period)
		armed = meter_reset(&b->meter);
	if (spent)
		b->meter.spent = *spent;
	b->set = *set;
	b->dimension = fs_budget_name_hash(set->dimension);
	if (set->id != 0)
		crossed = meter_set(&b->meter, set->amount, set->ppm, &more);
	else
		b->meter.amount = 0;
	/* in this order: what is crossed at once after a reset was armed before */
	fs_budget_notice(budget, FS_BUDGET_ARMED, id, armed | more, pausing, now);
	fs_budget_notice(budget, FS_BUDGET_CROSSED, set->id, crossed, fs_budget_pausing(set), now);
	if (set->next_reset < fs_budget_notices[db].next_reset)
	{
		fs_budget_notices[db].next_reset = set->next_reset;
		fs_budget_signal(db);
	}
	fs_budget_hold_back(budget, now);
	fs_budget_recheck(budget, now);
	fs_budget_release(budget);
}

/* fs_budget_stale: tables of what is spent changed behind our back. Nothing is let in until they are read. */
void
fs_budget_stale(int32 db, TimestampTz now)
{
	fs_budget_notices[db].stale_at = now;
	fs_budget_notices[db].stale = true;
	fs_budget_notices[db].stale_gen++;
	fs_budget_signal(db);
}

void
fs_budget_run_commit(int32 db, const FsBudgetRun *run, TimestampTz now)
{
	FsBudgetNotices *list = &fs_budget_notices[db];

	list->first = run->upto;
	list->spend_rows -= run->folded;
	if (run->spend_limit > 0)
		list->spend_limit = run->spend_limit;
	if (run->save)
		list->saved_at = now;
	if (run->stale == 0 || run->stale != list->stale_gen)
		return;
	list->stale = false;
	for (int b = 0; b < fs->budgets.capacity; b++)
		if (fs_budgets[b].db == db)
			fs_budget_recheck(b, now);
}

void
fs_budget_run_abort(int32 db, const FsBudgetRun *run)
{
	fs_budget_notices[db].lost |= run->lost;
	fs_budget_notices[db].ask_again |= run->ask_again;
	fs_budget_notices[db].resume |= run->resume;
	if (run->save)
	{
		fs_budget_notices[db].averages_dirty = true;
		for (int i = 0; i < FS_AVERAGES; i++)
			fs_averages[i].dirty |= fs_averages[i].db == db;
	}
	fs_budget_signal(db);
}
