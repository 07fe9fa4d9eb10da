/*
 * budget.h
 *		Budgets at admission: what a claim reserves of them.
 */
#ifndef FS_BUDGET_H
#define FS_BUDGET_H

#include "state.h"

#define FS_BUDGET_FULL (-2)

/* Outside of the lock; may raise. */
extern struct FsBudgetSpec *fs_budget_spec(FsDatabase *db, Datum resources, Datum budgets, const char *kind,
										   uint64 *hash);
extern void fs_budget_load(FsDatabase *db);
extern void fs_budget_usage(FsDatabase *db, int32 lease, int64 job_id, Datum budgets, Datum usage);

/* fs->lock held exclusively; nothing here allocates, waits or raises. */
extern int32 fs_budget_attach(int32 db, const struct FsBudgetSpec *spec);
extern void fs_budget_detach(int32 set);
extern bool fs_budget_admit(int32 set, int32 gift, TimestampTz now, FsRefusal *why);
extern void fs_budget_charge(int32 lease, int32 set, int32 gift);
extern void fs_budget_unclaim(int32 lease);
extern void fs_budget_ungift(int32 lease);
extern void fs_budget_end(int32 lease, TimestampTz now);
extern int32 *fs_budget_waiters(int32 budget);
extern void fs_budget_detail(int32 budget, char *buf, Size len);
extern void fs_budget_sweep(int32 db);

#endif							/* FS_BUDGET_H */
