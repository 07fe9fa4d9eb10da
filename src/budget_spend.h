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

/* One row of fairsched.budget_spend (sql/parts/46_budgets.sql). */
typedef struct FsSpendRow
{
	int64		job_id;			/* 0: none, or several */
	int64		token;
	int64		amount;
	int32		budget_id;
	int32		period;
} FsSpendRow;

/* What the jobs that a call completes have spent; begins as {0}. */
typedef struct FsSpendings
{
	FsSpendRow *rows;
	int			n;
	int			room;
} FsSpendings;

/* In a transaction, without fs->lock; may raise. */
extern FsBudgetSpec *fs_budget_spec(FsDatabase *db, Datum resources, Datum budgets, const char *kind,
									uint64 *hash);
extern void fs_budget_check(Datum budgets, Datum resources);
extern void fs_budget_usage(FsDatabase *db, int64 job_id, int64 token, FsJobRel *jr, HeapTuple row,
							Datum usage, FsSpendings *sum);
extern void fs_budget_spent(FsDatabase *db, FsSpendings *sum);
extern void fs_budget_from_row(HeapTuple tuple, TupleDesc desc, FsBudgetSettings *set);

#endif							/* FS_BUDGET_SPEND_H */
