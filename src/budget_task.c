/*
 * budget_task.c
 *		What the scheduler does for budgets.
 *
 *	notices		-> events	each threshold that was crossed: one row of
 *							fairsched.budget_events, its action, and a bit in
 *							fairsched.budget_totals.crossed, in one transaction
 *	spendings	-> totals	when there are many rows of fairsched.budget_spend
 *	next_reset	-> a new period
 *	preempted	-> available: jobs whose budgets do not hold them back any more
 *	averages	-> fairsched.budget_averages, once a minute; of a new kind at once
 *
 * One process at a time writes, under an advisory lock of class 5 that nobody
 * waits for.  It never waits for who changes a budget either: fairsched.budgets
 * is only read here, except for resets, which skip rows that are locked.
 */
#include "budget_task.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "lease.h"
#include "ledger.h"

#define BUSY_RETRY	(100 * INT64CONST(1000))	/* somebody else writes, or
												 * spends */
#define QUIET		(2 * USECS_PER_SEC) /* after a change of the tables by
										 * others: a restore has several steps */
#define RESTORE_TIME (10 * USECS_PER_MINUTE)	/* a restore may have brought
												 * rows of budgets that are
												 * still to come */
#define SPEND_ROW_BYTES 60		/* of a row of fairsched.budget_spend, its
								 * line pointer included */
#define RESUME_LIMIT 200		/* preempted jobs that go back to wait in one
								 * run */
#define SAVE_EVERY	USECS_PER_MINUTE	/* averages */

PG_FUNCTION_INFO_V1(fs_budget_job_runs);

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

	/*
	 * jobs that were locked: the scheduler comes back for them by itself,
	 * else whoever claims does
	 */
	return list->signal != list->seen || list->next_reset <= now || (list->resume && now > 0);
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

	/* class 5 of advisory locks: 3 is that of requests, 4 that of usage */
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, 5);
	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
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
	static const Oid bool_type[1] = {BOOLOID};
	Datum		gone;
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

	/*
	 * Until the rows are read, what memory noticed, and what a comparison
	 * would find, may be of figures that are not so (in a restore budgets
	 * have spent nothing at first); reading them then says all that is to be
	 * written.
	 */
	run.lost = run.stale || (list->lost && !list->stale);
	list->lost &= !run.lost;
	run.ask_again = list->ask_again;
	run.resume = list->resume;
	list->ask_again = list->resume = false;
	run.upto = list->stale && !run.stale ? list->first : list->next;
	for (uint64 i = list->first; i < run.upto && !run.stale; i++)
		notices[n++] = list->notice[i % FS_BUDGET_NOTICES];
	if (list->spend_rows > list->spend_limit && (run.stale || !list->stale))
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
		fs_budget_read_again(slot);
	fs_spi_begin();
	if (reset <= now)
	{
		fs_spi("SELECT fairsched.reset_due_budgets()", 0, NULL, NULL, NULL);
		next = Min(next, now + BUSY_RETRY); /* one that was locked, or the
											 * next ones */
	}
	else
		next = Min(next, reset);
	fs_own_changes = true;
	for (int i = 0; i < n; i++)
	{
		if (notices[i].kind == FS_BUDGET_CROSSED)
			fs_budget_write_crossed(db, &notices[i]);
		else
			fs_budget_write_armed(&notices[i]);
	}
	fs_spi_end();
	if (run.lost)
		fs_budget_compare(db);
	if (run.ask_again)
		fs_budget_ask_again(db);
	if (run.resume && !fs_budget_resume(db, RESUME_LIMIT))
	{
		FsLock();
		list->resume = true;
		FsUnlock();
		next = Min(next, now + BUSY_RETRY);
	}
	fs_spi_begin();
	if (run.folded)
	{
		gone = BoolGetDatum(now >= list->stale_at + RESTORE_TIME && now >= db->rebuilt_at + RESTORE_TIME);
		fs_spi("SELECT fairsched.fold_budget_spend($1)", 1, bool_type, &gone, NULL);
	}
	if (run.save)
		save_averages(slot);
	else if (list->averages_dirty)
		next = Min(next, list->saved_at + SAVE_EVERY);
	fs_spi_end();
	fs_own_changes = quiet;
	return next;
}
