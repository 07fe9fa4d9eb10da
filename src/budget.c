/*
 * budget.c
 *		Budgets at admission: the seam that admit.c calls.
 *
 * No budget can be set here, so none holds a job up: names that a job carries
 * tell its flow apart and reserve nothing.
 */
#include "budget.h"

struct FsBudgetSpec *
fs_budget_spec(FsDatabase *db, Datum resources, Datum budgets, const char *kind, uint64 *hash)
{
	return NULL;
}

void
fs_budget_load(FsDatabase *db)
{
}

void
fs_budget_usage(FsDatabase *db, int32 lease, int64 job_id, Datum budgets, Datum usage)
{
}

int32
fs_budget_attach(int32 db, const struct FsBudgetSpec *spec)
{
	return FS_NONE;
}

void
fs_budget_detach(int32 set)
{
}

bool
fs_budget_admit(int32 set, int32 gift, TimestampTz now, FsRefusal *why)
{
	return true;
}

void
fs_budget_charge(int32 lease, int32 set, int32 gift)
{
}

void
fs_budget_unclaim(int32 lease)
{
}

void
fs_budget_ungift(int32 lease)
{
}

void
fs_budget_end(int32 lease, TimestampTz now)
{
}

int32 *
fs_budget_waiters(int32 budget)
{
	return NULL;
}

void
fs_budget_detail(int32 budget, char *buf, Size len)
{
	buf[0] = '\0';
}

void
fs_budget_sweep(int32 db)
{
}
