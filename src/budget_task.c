/*
 * budget_task.c
 *		What the scheduler does for budgets, and budgets from their tables.
 *
 *	notices		-> events	each threshold that was crossed: one row of
 *							fairsched.budget_events, its action, and a bit in
 *							fairsched.budget_totals.crossed, in one transaction
 *	spendings	-> totals	when there are many rows of fairsched.budget_spend
 *	next_reset	-> a new period
 *	averages	-> fairsched.budget_averages, once a minute; of a new kind at once
 *
 * Notices are in memory, in the order of the commits that made them; the bit in
 * the table decides whether an event is written, so one that is seen twice is
 * written once, and one that was lost (a crash, a full list) is found by
 * comparing bits with what memory says is crossed.
 *
 * One process at a time writes, under an advisory lock of class 4 that nobody
 * waits for.  It never waits for who changes a budget either: fairsched.budgets
 * is only read here, except for resets, which skip rows that are locked.
 */
#include "budget_task.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "budget_spend.h"
#include "lease.h"
#include "ledger.h"
#include "preempt.h"
#include "text.h"

#define BUSY_RETRY	(100 * INT64CONST(1000))	/* somebody else writes, or spends */
#define QUIET		(2 * USECS_PER_SEC)	/* after a change of the tables by others: a restore has several steps */
#define SPEND_ROW_BYTES 60		/* of a row of fairsched.budget_spend, its line pointer included */
#define SAVE_EVERY	USECS_PER_MINUTE	/* averages */

PG_FUNCTION_INFO_V1(fs_budget_job_runs);

/* ---------- budgets from their tables ---------- */

typedef struct FsBudgetRow
{
	FsBudgetSettings set;
	int64		spent;
	int32		crossed;		/* events that are written */
	int32		crossed_period;
} FsBudgetRow;

/* All budgets as their rows are now; allocated in the caller's context. */
static FsBudgetRow *
read_rows(uint64 *n)
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
		HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(row), .t_data = row};
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

	rows = read_rows(&n);
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
	list->lost = list->ask_again = true;	/* of crossings, whatever is not written yet */
	fs_budget_signal(slot);
	FsUnlock();
}

/* fairsched.job_runs(job_id, token) */
Datum
fs_budget_job_runs(PG_FUNCTION_ARGS)
{
	int32		l;
	bool		runs;

	(void) fs_state_attach();
	FsLockShared();
	l = fs_lease_find(fs_my_db, PG_GETARG_INT64(0));
	runs = l != FS_NONE && fs_leases[l].token == PG_GETARG_INT64(1);
	FsUnlock();
	PG_RETURN_BOOL(runs);
}

/*
 * Tables of what is spent changed behind our back: read them again while nobody
 * spends.  Who spends holds RowExclusiveLock until its commit callback has run.
 */
static bool
lock_spending(void)
{
	return ConditionalLockRelationOid(get_relname_relid("budget_spend", fs_catalog()->nsp), ShareLock);
}

static void
read_again(int32 slot)
{
	uint64		n;
	FsBudgetRow *rows = read_rows(&n);

	apply_rows(slot, rows, n);
	forget_others(slot, rows, n);
}

/* ---------- preemption ---------- */

typedef struct FsVictim
{
	int64		job_id;
	int			cls;
} FsVictim;

/* Ask running jobs of these classes that name the budget to yield; returns how many, and of which classes. */
static int
preempt(FsDatabase *db, const FsBudgetSettings *set, int classes, double utilisation, double threshold,
		int *asked_classes)
{
	int			room = 64;
	FsVictim   *victims = palloc(sizeof(FsVictim) * room);
	int			n = 0;
	int			asked = 0;
	FsPreemptRequest request = {.reason = "budget_exceeded", .resource = set->name,
		.utilisation = utilisation * 100, .threshold = threshold * 100,
	.on_exhausted = fs_on_exhausted};

	*asked_classes = 0;
	for (int from = 0; from < fs->leases.capacity;)
	{
		int			to = Min(from + 1024, fs->leases.capacity);
		int32		budget;

		if (room - n < to - from)
		{
			room = n + (to - from);
			victims = repalloc(victims, sizeof(FsVictim) * room);
		}
		FsLock();
		budget = fs_budget_find(FsDbIndex(db), set->name);
		for (; from < to; from++)
		{
			FsLease    *lease = &fs_leases[from];
			int			cls = FsSlotClass(lease->rank_slot);

			if (lease->db != FsDbIndex(db) || lease->job_id == 0 || !(classes & (1 << cls)) ||
				fs_budget_place(from, budget) < 0)
				continue;
			victims[n].job_id = lease->job_id;
			victims[n++].cls = cls;
		}
		FsUnlock();
		CHECK_FOR_INTERRUPTS();
	}
	for (int i = 0; i < n; i++)
	{
		FsPreemptResult result;

		request.job_id = victims[i].job_id;
		result = fs_preempt_request(db, &request);
		if (result == FS_PREEMPT_ASKED || result == FS_PREEMPT_ALREADY || result == FS_PREEMPT_DISCARDED)
		{
			asked++;
			*asked_classes |= 1 << victims[i].cls;
		}
	}
	pfree(victims);
	return asked;
}

/* The classes that an action asks to yield, as bits. */
static int
classes_of(FsBudgetAction action)
{
	switch (action)
	{
		case FS_BUDGET_PREEMPT_P3:
			return 1 << 3;
		case FS_BUDGET_PREEMPT_P2_P3:
			return 1 << 2 | 1 << 3;
		default:
			return 0;
	}
}

/* ---------- events ---------- */

static bool
spi_bool(const char *sql, int nargs, const Oid *types, const Datum *values)
{
	bool		isnull;

	return fs_spi(sql, nargs, types, values, NULL) == 1 &&
		DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)) && !isnull;
}

static void
add_event(const FsBudgetNotice *n, const char *type, int32 ppm, const char *action, int jobs, int classes)
{
	static const Oid types[10] = {TEXTOID, TEXTOID, TEXTOID, INT8OID, INT8OID, INT8OID, TEXTOID, INT4OID,
	TEXTARRAYOID, TIMESTAMPTZOID};
	Datum		values[10];
	char		nulls[11] = "          ";
	Datum		names[FS_CLASSES];
	int			nnames = 0;

	for (int c = 0; c < FS_CLASSES; c++)
		if (classes & (1 << c))
			names[nnames++] = CStringGetTextDatum(FsPriorityNames[c]);
	values[0] = CStringGetTextDatum(n->set.name);
	values[1] = CStringGetTextDatum(n->set.workspace);
	values[2] = CStringGetTextDatum(type);
	values[3] = Int64GetDatum(ppm);
	nulls[3] = ppm == METER_NEVER ? 'n' : ' ';
	values[4] = Int64GetDatum(n->set.amount);
	values[5] = Int64GetDatum(n->spent);
	values[6] = CStringGetTextDatum(action);
	values[7] = Int32GetDatum(jobs);
	values[8] = PointerGetDatum(construct_array(names, nnames, TEXTOID, -1, false, TYPALIGN_INT));
	values[9] = TimestampTzGetDatum(n->at);
	fs_spi("SELECT fairsched.add_budget_event($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", 10, types, values, nulls);
}

static void
write_crossed(FsDatabase *db, const FsBudgetNotice *n)
{
	static const Oid types[3] = {INT4OID, INT4OID, INT4OID};

	for (int t = 0; t < METER_THRESHOLDS; t++)
	{
		Datum		values[3] = {Int32GetDatum(n->set.id), Int32GetDatum(METER_BIT(t)), Int32GetDatum(n->set.period)};
		FsBudgetAction action = n->set.action[t];
		int			classes = 0;
		int			jobs = n->running;

		if (!(n->mask & METER_BIT(t)) ||
			!spi_bool("SELECT fairsched.take_crossing($1, $2, $3)", 3, types, values))
			continue;
		if (classes_of(action))
			jobs = preempt(db, &n->set, classes_of(action), (double) n->spent / n->set.amount,
						   (double) n->set.ppm[t] / METER_MILLION, &classes);
		add_event(n, FsThresholdNames[t], n->set.ppm[t], FsBudgetActionNames[action], jobs, classes);
	}
}

static void
write_armed(const FsBudgetNotice *n)
{
	static const Oid types[5] = {INT4OID, TEXTOID, INT4OID, INT4OID, TIMESTAMPTZOID};
	Datum		values[5] = {Int32GetDatum(n->id), CStringGetTextDatum(n->set.name), Int32GetDatum((int32) n->mask),
	Int32GetDatum(n->set.period), TimestampTzGetDatum(n->at)};
	bool		isnull;
	int32		was;

	fs_spi("SELECT fairsched.arm_thresholds($1, $2, $3, $4, $5)", 5, types, values, NULL);
	was = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if ((was & n->pausing) && !n->paused && n->set.id != 0)
		add_event(n, "resume", METER_NEVER, "resume", n->running, 0);
}

/*
 * Notices were lost, or memory is new: what is crossed is compared with what is
 * written.  Nothing else is left to be written; what is crossed meanwhile may be
 * found here and come as a notice too, and is written once all the same.
 */
static void
compare(FsDatabase *db)
{
	int32		slot = FsDbIndex(db);
	uint64		n;
	FsBudgetRow *rows = read_rows(&n);

	for (uint64 i = 0; i < n; i++)
	{
		FsBudgetNotice notice = {.at = GetCurrentTimestamp()};
		unsigned	crossed;
		unsigned	armed;
		int32		b;

		FsLock();
		b = fs_budget_find(slot, rows[i].set.name);
		if (b == FS_NONE || fs_budgets[b].set.id != rows[i].set.id)
		{
			FsUnlock();
			continue;
		}
		fs_budget_describe(b, &notice);
		crossed = fs_budgets[b].meter.crossed;
		FsUnlock();
		/* what was crossed in an earlier period was armed by the reset, whether or not it is crossed again */
		armed = rows[i].crossed & (rows[i].crossed_period == notice.set.period ? ~crossed : ~0u);
		notice.pausing = fs_budget_pausing(&notice.set);
		fs_spi_begin();
		if (armed)
		{
			bool		paused = notice.paused;

			/* after that reset it was not paused */
			if (rows[i].crossed_period != notice.set.period)
				notice.paused = false;
			notice.mask = armed;
			write_armed(&notice);
			notice.paused = paused;
		}
		notice.mask = crossed;
		write_crossed(db, &notice);
		fs_spi_end();
		CHECK_FOR_INTERRUPTS();
	}
	pfree(rows);
}

/* Memory is new: jobs that were asked to yield do not know any more. */
static void
ask_again(FsDatabase *db)
{
	for (int b = 0; b < fs->budgets.capacity; b++)
	{
		FsBudgetNotice n = {0};
		bool		mine;
		unsigned	crossed = 0;

		FsLock();
		mine = fs_budgets[b].db == FsDbIndex(db) && fs_budgets[b].set.id != 0;
		if (mine)
		{
			fs_budget_describe(b, &n);
			crossed = fs_budgets[b].meter.crossed;
		}
		FsUnlock();
		for (int t = 0; t < METER_THRESHOLDS && mine; t++)
		{
			int			classes;

			if ((crossed & METER_BIT(t)) && classes_of(n.set.action[t]))
				(void) preempt(db, &n.set, classes_of(n.set.action[t]), (double) n.spent / n.set.amount,
							   (double) n.set.ppm[t] / METER_MILLION, &classes);
		}
	}
}

/* ---------- averages ---------- */

static void
save_averages(int32 slot)
{
	static const Oid types[4] = {TEXTOID, TEXTOID, INT8OID, INT4OID};

	for (int i = 0; i < FS_AVERAGES; i++)
	{
		FsAverage	a;
		Datum		values[4];

		FsLock();
		a = fs_averages[i];
		fs_averages[i].dirty &= a.db != slot;
		FsUnlock();
		if (a.db != slot || !a.dirty)
			continue;
		values[0] = CStringGetTextDatum(a.kind_name);
		values[1] = CStringGetTextDatum(a.dimension_name);
		values[2] = Int64GetDatum(a.mean);
		values[3] = Int32GetDatum(a.samples);
		fs_spi("SELECT fairsched.save_budget_average($1, $2, $3, $4)", 4, types, values, NULL);
	}
}

/* ---------- the task ---------- */

bool
fs_budget_task_wanted(FsDatabase *db, TimestampTz now)
{
	FsBudgetNotices *list = &fs_budget_notices[FsDbIndex(db)];

	return list->signal != list->seen || list->next_reset <= now;
}

/*
 * Rows of fairsched.budget_spend that are added up at once: a quarter of what
 * its file has room for at least, so that reading rows that are dead and cannot
 * be removed yet (somebody holds a snapshot) costs each row a fixed share.
 */
static int64
fold_at(void)
{
	Relation	rel = table_open(get_relname_relid("budget_spend", fs_catalog()->nsp), AccessShareLock);
	int64		rows = (int64) RelationGetNumberOfBlocks(rel) * (BLCKSZ / SPEND_ROW_BYTES);

	table_close(rel, AccessShareLock);
	return Max(FS_SPEND_ROWS, rows / 4);
}

/* The earliest reset of any budget. */
static TimestampTz
first_reset(int32 slot)
{
	TimestampTz first = DT_NOEND;

	for (int from = 0; from < fs->budgets.capacity; from += 1024)
	{
		FsLockShared();
		for (int b = from; b < Min(from + 1024, fs->budgets.capacity); b++)
			if (fs_budgets[b].db == slot)
				first = Min(first, fs_budgets[b].set.next_reset);
		FsUnlock();
	}
	FsLock();
	fs_budget_notices[slot].next_reset = Min(fs_budget_notices[slot].next_reset, first);
	FsUnlock();
	return first;
}

/* Nobody else writes until the end of the transaction; false: somebody does. */
static bool
lock_writing(void)
{
	LOCKTAG		tag;

	/* class 4 of advisory locks; 3 is that of requests */
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, 4);
	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

TimestampTz
fs_budget_task(FsDatabase *db)
{
	int32		slot = FsDbIndex(db);
	FsBudgetNotices *list = &fs_budget_notices[slot];
	FsBudgetNotice *notices = palloc(sizeof(FsBudgetNotice) * FS_BUDGET_NOTICES);
	bool		quiet = fs_own_changes;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = DT_NOEND;
	TimestampTz reset;
	FsBudgetRun run = {0};
	int64		spend_limit;
	int			n = 0;

	if (!lock_writing())
		return now + BUSY_RETRY;
	spend_limit = fold_at();
	fs_ledger_reserve(1);
	if (list->stale && now < list->stale_at + QUIET)
		next = list->stale_at + QUIET;
	else if (list->stale)
	{
		run.stale = list->stale_gen;
		/* what this transaction spent itself is not counted yet */
		if (fs_ledger_open_items() > 0 || !lock_spending())
		{
			run.stale = 0;
			next = now + BUSY_RETRY;
		}
	}
	FsLock();
	list->seen = list->signal;
	run.lost = list->lost || run.stale;
	run.ask_again = list->ask_again;
	run.upto = list->next;
	list->lost = list->ask_again = false;
	for (uint64 i = list->first; i < list->next; i++)
		notices[n++] = list->notice[i % FS_BUDGET_NOTICES];
	if (list->spend_rows > list->spend_limit)
		run.folded = list->spend_rows;
	run.save = list->averages_dirty && (list->averages_new || now >= list->saved_at + SAVE_EVERY);
	if (run.save)
		list->averages_dirty = list->averages_new = false;
	list->next_reset = DT_NOEND;	/* commits from here on lower it */
	run.spend_limit = spend_limit;
	fs_ledger_budget_run(&run); /* puts back at abort what is taken here */
	FsUnlock();
	reset = first_reset(slot);

	if (run.stale)
	{
		read_again(slot);
		read_averages(slot);
	}
	fs_spi_begin();
	if (reset <= now)
	{
		fs_spi("SELECT fairsched.reset_due_budgets()", 0, NULL, NULL, NULL);
		next = Min(next, now + BUSY_RETRY); /* one that was locked, or the next ones */
	}
	else
		next = Min(next, reset);
	fs_own_changes = true;
	for (int i = 0; i < n; i++)
	{
		if (notices[i].kind == FS_BUDGET_CROSSED)
			write_crossed(db, &notices[i]);
		else
			write_armed(&notices[i]);
	}
	fs_spi_end();
	if (run.lost)
		compare(db);
	if (run.ask_again)
		ask_again(db);
	fs_spi_begin();
	if (run.folded)
		fs_spi("SELECT fairsched.fold_budget_spend()", 0, NULL, NULL, NULL);
	if (run.save)
		save_averages(slot);
	else if (list->averages_dirty)
		next = Min(next, list->saved_at + SAVE_EVERY);
	fs_spi_end();
	fs_own_changes = quiet;
	return next;
}
