/*
 * budget_view.c
 *		Budgets as people see them: budget_status, fairsched_check.
 *
 * Rows are copied under fs->lock, a piece at a time, and made into results
 * without it (views.c has the rules).
 */
#include "budget.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "text.h"
#include "views.h"

PG_FUNCTION_INFO_V1(fs_view_budget_status);
PG_FUNCTION_INFO_V1(fs_memory_budgets);

static bool
budget_copy(FsWalk *walk, int32 at, void *to)
{
	if (fs_budgets[at].db != walk->db || fs_budgets[at].set.id == 0)
		return false;
	*(FsBudget *) to = fs_budgets[at];
	return true;
}

static void
status_emit(FsWalk *walk, const void *from)
{
	const FsBudget *b = from;
	Datum		values[6];
	bool		nulls[6] = {0};

	values[0] = Int32GetDatum(b->set.id);
	values[1] = Int64GetDatum(b->meter.spent);
	values[2] = Int64GetDatum(b->meter.reserved);
	values[3] = Int32GetDatum(b->running);
	values[4] = BoolGetDatum(fs_budget_paused(b));
	values[5] = fs_class_names(b->refused);
	fs_view_put(walk, values, nulls);
}

/* fairsched.budget_status_internal() */
Datum
fs_view_budget_status(PG_FUNCTION_ARGS)
{
	FsWalk		walk = {0};

	fs_view_check("budget_status", NULL);
	InitMaterializedSRF(fcinfo, 0);
	if (fs_view_state("budget_status") == NULL)
		return (Datum) 0;
	walk.capacity = fs->budgets.high;
	walk.row_size = sizeof(FsBudget);
	walk.copy = budget_copy;
	walk.emit = status_emit;
	walk.result = (ReturnSetInfo *) fcinfo->resultinfo;
	fs_view_walk(&walk);
	return (Datum) 0;
}

/* ---------- for fairsched_check ---------- */

/* fairsched.memory_budgets(): also what leases hold, added up */
Datum
fs_memory_budgets(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FsDatabase *db;
	FsBudget   *copy;
	int64	   *held;
	int			n = fs == NULL ? 0 : fs->budgets.capacity;

	InitMaterializedSRF(fcinfo, 0);
	db = fs_state_ready("fairsched_check()");
	n = fs->budgets.capacity;
	copy = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(FsBudget) * (Size) n);
	held = palloc0(sizeof(int64) * n);
	FsLockShared();
	memcpy(copy, fs_budgets, sizeof(FsBudget) * (Size) n);
	for (int l = 0; l < fs->leases.capacity; l++)
	{
		const FsBudgetSet *set;

		if (fs_leases[l].db != FsDbIndex(db) || fs_leases[l].budget_set < 0)
			continue;
		set = &fs_budget_sets[fs_leases[l].budget_set];
		for (int i = 0; i < set->n; i++)
			held[set->budget[i]] += fs_budget_part(l, i)->reserved;
	}
	FsUnlock();
	for (int b = 0; b < n; b++)
	{
		Datum		values[6];
		bool		nulls[6] = {0};

		if (copy[b].db != FsDbIndex(db) || copy[b].set.id == 0)
			continue;
		values[0] = CStringGetTextDatum(copy[b].set.name);
		values[1] = Int64GetDatum(copy[b].meter.spent);
		values[2] = Int64GetDatum(copy[b].meter.reserved);
		values[3] = Int64GetDatum(held[b]);
		values[4] = Int32GetDatum((int32) copy[b].meter.crossed);
		values[5] = Int64GetDatum(copy[b].looks);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
