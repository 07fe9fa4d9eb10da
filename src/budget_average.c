/*
 * budget_average.c
 *		What a job is expected to use of a budget: what it declares, else the
 *		recent mean of its kind.
 *
 * Averages are kept in a fixed number of places, each in one of a few that its
 * name leads to; one that was not used for long goes for a new one.
 *
 * All functions: as at the top of budget.c.
 */
#include "budget.h"

#include "common/hashfn.h"

/* The place of an average, or the one to give up for it. */
static FsAverage *
average_place(int32 db, uint64 kind, uint64 dimension, bool *found)
{
	FsAverage  *first = &fs_averages[(hash_combine64(kind, dimension) ^ db) %
									 (FS_AVERAGES / FS_AVERAGE_WAYS) * FS_AVERAGE_WAYS];
	FsAverage  *oldest = first;

	for (FsAverage *a = first; a < first + FS_AVERAGE_WAYS; a++)
	{
		if (a->db == db && a->kind == kind && a->dimension == dimension)
		{
			*found = true;
			return a;
		}
		if (a->db == FS_NONE ? oldest->db != FS_NONE : oldest->db != FS_NONE && a->used < oldest->used)
			oldest = a;
	}
	*found = false;
	return oldest;
}

/* fs_average_get: the average of a kind and dimension; the one of its places used longest ago goes for it. */
FsAverage *
fs_average_get(int32 db, const char *kind, const char *dimension)
{
	uint64		k = fs_budget_name_hash(kind);
	uint64		d = fs_budget_name_hash(dimension);
	bool		found;
	FsAverage  *a = average_place(db, k, d, &found);

	if (!found)
	{
		memset(a, 0, sizeof(FsAverage));
		a->db = db;
		a->kind = k;
		a->dimension = d;
		strlcpy(a->kind_name, kind, sizeof(a->kind_name));
		strlcpy(a->dimension_name, dimension, sizeof(a->dimension_name));
	}
	a->used = ++fs->average_clock;
	return a;
}

/* fs_budget_observe: a job of the kind used this much. An observation, so a rollback does not take it back. */
void
fs_budget_observe(int32 db, const char *kind, const char *dimension, int64 amount)
{
	FsAverage  *a = fs_average_get(db, kind, dimension);

	a->mean = meter_average(a->mean, &a->samples, amount);
	a->dirty = true;
	if (!fs_budget_notices[db].averages_dirty || a->samples == 1)
		fs_budget_signal(db);
	fs_budget_notices[db].averages_dirty = true;
	fs_budget_notices[db].averages_new |= a->samples == 1;
}

/*
 * fs_budget_estimate: what a job is expected to use of a budget; nothing is known:
 * 0.  A mean above all that there is counts as all: such a job runs alone, so that
 * a wrong report of usage cannot keep its kind out for good.
 */
int64
fs_budget_estimate(const FsBudgetNeed *need, int32 budget)
{
	const FsBudget *b = &fs_budgets[budget];
	int64		amount = fs_budget_declared(need, b->dimension);
	const FsAverage *a;
	bool		found;

	if (amount >= 0)
		return amount;
	a = average_place(b->db, need->kind, b->dimension, &found);
	return found ? Min(a->mean, b->meter.amount) : 0;
}

/* fs_average_used: a job is let in: if by this estimate, it is kept. */
void
fs_average_used(const FsBudgetNeed *need, int32 budget)
{
	bool		found;
	FsAverage  *a;

	if (fs_budget_declared(need, fs_budgets[budget].dimension) >= 0)
		return;
	a = average_place(fs_budgets[budget].db, need->kind, fs_budgets[budget].dimension, &found);
	if (found)
		a->used = ++fs->average_clock;
}
