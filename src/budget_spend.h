/*
 * budget_spend.h
 *		What jobs name and spend; rows of fairsched.budgets.
 */
#ifndef FS_BUDGET_SPEND_H
#define FS_BUDGET_SPEND_H

#include "budget.h"
#include "rows.h"

#include "access/htup.h"
#include "access/tupdesc.h"

/* In a transaction, without fs->lock; may raise. */
extern FsBudgetSpec *fs_budget_spec(FsDatabase *db, Datum resources, Datum budgets, const char *kind,
									uint64 *hash);
extern void fs_budget_check(Datum budgets, Datum resources);
extern void fs_budget_usage(FsDatabase *db, int64 job_id, int64 token, FsJobRel *jr, HeapTuple row,
							Datum usage);
extern void fs_budget_from_row(HeapTuple tuple, TupleDesc desc, FsBudgetSettings *set);

#endif							/* FS_BUDGET_SPEND_H */
