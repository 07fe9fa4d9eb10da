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

/* What a budget says of a job (budget_view.c); amounts in millionths. */
typedef struct FsBudgetVerdict
{
	char		name[FS_NAME_LEN + 1];
	bool		passes;
	int64		value;			/* spent and reserved, the estimate included */
	int64		limit;			/* the amount */
	TimestampTz retry_at;		/* the next reset; 0: by an event only */
	char		detail[256];
} FsBudgetVerdict;

/* verdicts: room for FS_JOB_BUDGETS */
extern void fs_budget_explain(FsDatabase *db, const char *workspace, const FsBudgetSpec *spec,
							  FsBudgetVerdict *verdicts, int *n);

#endif							/* FS_BUDGET_SPEND_H */
