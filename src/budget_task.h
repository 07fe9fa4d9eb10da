/*
 * budget_task.h
 *		What the scheduler does for budgets (budget_task.c) and its parts: budgets
 *		from their tables, events, preemption.
 */
#ifndef FS_BUDGET_TASK_H
#define FS_BUDGET_TASK_H

#include "budget.h"
#include "state.h"

/* A budget as its rows are. */
typedef struct FsBudgetRow
{
	FsBudgetSettings set;
	int64		spent;
	int32		crossed;		/* events that are written */
	int32		crossed_period;
} FsBudgetRow;

/* budget_load.c: at a rebuild, before leases are restored, and after. May raise. */
extern void fs_budget_load(FsDatabase *db);
extern void fs_budget_loaded(FsDatabase *db);
extern FsBudgetRow *fs_budget_read_rows(uint64 *n);
extern void fs_budget_read_again(int32 slot);

/* budget_events.c. May raise. */
extern void fs_budget_write_crossed(FsDatabase *db, const FsBudgetNotice *n);
extern void fs_budget_write_armed(const FsBudgetNotice *n);
extern void fs_budget_compare(FsDatabase *db);

/* budget_preempt.c. May raise. */
extern int	fs_budget_preempt(FsDatabase *db, const FsBudgetSettings *set, int classes, double utilisation,
							  double threshold, int *asked_classes);
extern void fs_budget_ask_again(FsDatabase *db);
extern bool fs_budget_resume(FsDatabase *db, int limit);

/* The task; returns when it wants to run next. May raise. */
extern TimestampTz fs_budget_task(FsDatabase *db);

/* Is there something to do, resets until `now` included? Any lock mode, or none. */
extern bool fs_budget_task_wanted(FsDatabase *db, TimestampTz now);

#endif							/* FS_BUDGET_TASK_H */
