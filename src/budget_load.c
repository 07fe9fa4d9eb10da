/*
 * budget_load.c
 *		Budgets from their tables: at a rebuild, and when tables of what is spent
 *		changed behind our back.
 *
 * Called in a transaction without fs->lock; may raise.
 */
#include "budget_task.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/typcache.h"

#include "budget_spend.h"
#include "lease.h"

/* fs_budget_read_rows: all budgets as their rows are now; allocated in the caller's context. */
FsBudgetRow *
fs_budget_read_rows(uint64 *n)
{
	MemoryContext mine = CurrentMemoryContext;
	FsBudgetRow *rows;

	fs_spi_begin();
	*n = fs_spi("SELECT b, spent, crossed, crossed_period FROM fairsched.budget_rows()", 0, NULL, NULL, NULL);
	rows = MemoryContextAllocHuge(mine, sizeof(FsBudgetRow) * (*n + 1));
	for (uint64 i = 0; i < *n; i++)
	{
		HeapTuple	t = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		HeapTupleHeader row = DatumGetHeapTupleHeader(SPI_getbinval(t, desc, 1, &isnull));
		HeapTupleData tuple = {
			.t_len = HeapTupleHeaderGetDatumLength(row),
			.t_data = row,
		};
		TupleDesc	row_desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row),
													  HeapTupleHeaderGetTypMod(row));

		fs_budget_from_row(&tuple, row_desc, &rows[i].set);
		ReleaseTupleDesc(row_desc);
		rows[i].spent = DatumGetInt64(SPI_getbinval(t, desc, 2, &isnull));
		rows[i].crossed = DatumGetInt32(SPI_getbinval(t, desc, 3, &isnull));
		rows[i].crossed_period = DatumGetInt32(SPI_getbinval(t, desc, 4, &isnull));
	}
	fs_spi_end();
	return rows;
}

/* Take over what the rows say. Nobody spends meanwhile. */
static void
apply_rows(int32 slot, const FsBudgetRow *rows, uint64 n)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		full = false;

	for (uint64 i = 0; i < n; i++)
	{
		FsLock();
		if (fs_budget_get(slot, rows[i].set.name) == FS_NONE)
			full = true;
		else
			fs_budget_apply(slot, &rows[i].set, &rows[i].spent, now);
		FsUnlock();
	}
	if (full)
		ereport(ERROR,
				(errcode(ERRCODE_FS_CAPACITY),
				 errmsg("more budgets are defined than fit into memory"),
				 errhint("Increase fairsched.max_budgets (now %d) and restart the server.", fs_max_budgets)));
}

static int
by_id(const void *a, const void *b)
{
	int32		x = ((const FsBudgetRow *) a)->set.id;
	int32		y = ((const FsBudgetRow *) b)->set.id;

	return x < y ? -1 : x > y;
}

/* Budgets that memory has and the rows have not; sorts the rows. */
static void
forget_others(int32 slot, FsBudgetRow *rows, uint64 n)
{
	TimestampTz now = GetCurrentTimestamp();

	qsort(rows, n, sizeof(FsBudgetRow), by_id);
	for (int b = 0; b < fs->budgets.capacity; b++)
	{
		FsBudgetRow key;
		FsBudgetSettings gone;
		bool		mine;

		FsLock();
		gone = fs_budgets[b].set;
		mine = fs_budgets[b].db == slot && gone.id != 0;
		FsUnlock();
		key.set.id = gone.id;
		if (!mine || bsearch(&key, rows, n, sizeof(FsBudgetRow), by_id))
			continue;
		gone.id = 0;
		gone.next_reset = DT_NOEND;
		FsLock();
		fs_budget_apply(slot, &gone, NULL, now);
		FsUnlock();
	}
}

/* What jobs of each kind used lately. */
static void
read_averages(int32 slot)
{
	uint64		n;

	fs_spi_begin();
	n = fs_spi("SELECT kind, dimension, mean, samples FROM fairsched.budget_averages", 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple	t = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		char	   *kind = SPI_getvalue(t, desc, 1);
		char	   *dimension = SPI_getvalue(t, desc, 2);
		FsAverage  *a;

		FsLock();
		a = fs_average_get(slot, kind, dimension);
		a->mean = DatumGetInt64(SPI_getbinval(t, desc, 3, &isnull));
		a->samples = DatumGetInt32(SPI_getbinval(t, desc, 4, &isnull));
		FsUnlock();
	}
	fs_spi_end();
}

/* fs_budget_load: into memory that knows none, at a rebuild; before leases are restored. */
void
fs_budget_load(FsDatabase *db)
{
	int32		slot = FsDbIndex(db);
	FsBudgetRow *rows;
	uint64		n;

	rows = fs_budget_read_rows(&n);
	apply_rows(slot, rows, n);
	read_averages(slot);
}

/* fs_budget_loaded: leases are there: what their jobs recorded so far. */
void
fs_budget_loaded(FsDatabase *db)
{
	int32		slot = FsDbIndex(db);
	FsBudgetNotices *list = &fs_budget_notices[slot];
	uint64		n;

	fs_spi_begin();
	n = fs_spi("SELECT s.job_id, s.token, b.budget, s.amount FROM fairsched.budget_spend s "
			   "LEFT JOIN fairsched.budgets b ON b.budget_id OPERATOR(pg_catalog.=) s.budget_id", 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple	t = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		int64		job_id = DatumGetInt64(SPI_getbinval(t, desc, 1, &isnull));
		int64		token = DatumGetInt64(SPI_getbinval(t, desc, 2, &isnull));
		int64		amount = DatumGetInt64(SPI_getbinval(t, desc, 4, &isnull));
		char	   *name = SPI_getvalue(t, desc, 3);

		if (token == 0 || name == NULL)
			continue;
		FsLock();
		fs_budget_recorded(slot, job_id, token, name, amount);
		FsUnlock();
	}
	fs_spi_end();
	FsLock();
	list->spend_rows = (int64) n;
	list->lost = list->ask_again = list->resume = true; /* whatever is not
														 * written, asked or
														 * resumed yet */
	fs_budget_signal(slot);
	FsUnlock();
}

/* fs_budget_read_again: tables changed behind our back; nobody spends meanwhile. */
void
fs_budget_read_again(int32 slot)
{
	uint64		n;
	FsBudgetRow *rows = fs_budget_read_rows(&n);

	apply_rows(slot, rows, n);
	forget_others(slot, rows, n);
	read_averages(slot);
}
