/*
 * budget_task.h
 *		What the scheduler does for budgets; budgets from their tables.
 */
#ifndef FS_BUDGET_TASK_H
#define FS_BUDGET_TASK_H

#include "budget.h"
#include "state.h"

/* At a rebuild: before leases are restored, and after. May raise. */
extern void fs_budget_load(FsDatabase *db);
extern void fs_budget_loaded(FsDatabase *db);

/* The task; returns when it wants to run next. May raise. */
extern TimestampTz fs_budget_task(FsDatabase *db);

/* Is there something to do, resets until `now` included? Any lock mode, or none. */
extern bool fs_budget_task_wanted(FsDatabase *db, TimestampTz now);

#endif							/* FS_BUDGET_TASK_H */
