/*
 * budget_preempt.c
 *		Thresholds that ask running jobs to yield, and when these go on.
 *
 * A crossed threshold preempts classes: running jobs of them that name the
 * budget are asked, waiting ones are held back (budget_wake.c) from the commit
 * that crossed it.  A claim that was open then is asked when it commits
 * (fs_budget_confirm).  A job that yielded waits as preempted until none of its
 * budgets holds its class back; who was asked before a raise and yields after
 * it is found at the end of its lease (fs_budget_end).
 *
 * Called in a transaction without fs->lock; may raise.
 */
#include "budget_task.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"

#include "budget_spend.h"
#include "preempt.h"
#include "requeue.h"

#define RESUME_PAGE	100			/* preempted jobs read at once */

typedef struct FsVictim
{
	int64		job_id;
	int			cls;
} FsVictim;

/* fs_budget_preempt: ask running jobs of these classes that name the budget to yield; how many, and of which classes. */
int
fs_budget_preempt(FsDatabase *db, const FsBudgetSettings *set, int classes, double utilisation, double threshold,
				  int *asked_classes)
{
	int			room = 64;
	FsVictim   *victims = palloc(sizeof(FsVictim) * room);
	int			n = 0;
	int			asked = 0;
	FsPreemptRequest request = {
		.reason = "budget_exceeded",
		.resource = set->name,
		.utilisation = utilisation * 100,
		.threshold = threshold * 100,
		.on_exhausted = fs_on_exhausted,
	};

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
			if (lease->directive == FS_PREEMPT)
			{
				asked++;		/* it has been asked */
				*asked_classes |= 1 << cls;
				continue;
			}
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

/* fs_budget_ask_again: memory is new: jobs that were asked to yield do not know any more. */
void
fs_budget_ask_again(FsDatabase *db)
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

			if ((crossed & METER_BIT(t)) && fs_budget_classes(n.set.action[t]))
				(void) fs_budget_preempt(db, &n.set, fs_budget_classes(n.set.action[t]), (double) n.spent / n.set.amount,
										 (double) n.set.ppm[t] / METER_MILLION, &classes);
		}
	}
}

/* ---------- going on ---------- */

/* Does a budget of a preempted job hold its class back?  False also for one that is not preempted any more. */
static bool
is_held_back(FsDatabase *db, int64 job_id)
{
	FsJobRel   *jr;
	HeapTuple	row = fs_rows_find(job_id, &jr);
	FsFlowSpec	spec;
	bool		held = false;

	if (row == NULL)
		return false;
	if (fs_job_state(row) == FS_JOB_PREEMPTED)
	{
		int			cls = FsSlotClass(FsRankSlot(FsJob(row)->rank));

		fs_row_spec(db, jr, row, &spec);
		FsLockShared();
		for (int i = 0; spec.budget && i < spec.budget->n && !held; i++)
		{
			int32		budget = fs_budget_find(FsDbIndex(db), spec.budget->name[i]);

			held = budget != FS_NONE && (fs_budgets[budget].refused & (1 << cls));
		}
		FsUnlock();
	}
	fs_rows_close(jr);
	return held;
}

/*
 * fs_budget_resume: jobs that were preempted for a budget wait for a worker again
 * where no budget of theirs holds their class back, the oldest first, at most
 * `limit`.  Returns false when there may be others: locked, or beyond the limit.
 */
bool
fs_budget_resume(FsDatabase *db, int limit)
{
	static const Oid types[2] = {INT8OID, INT4OID};
	int64		last = 0;
	int64		id[RESUME_PAGE];
	int64		job[RESUME_PAGE];
	bool		all = true;
	int			n;

	do
	{
		Datum		values[2] = {Int64GetDatum(last), Int32GetDatum(RESUME_PAGE)};

		fs_spi_begin();
		n = (int) fs_spi("SELECT preemption_id, job_id FROM fairsched.preemption_history "
						 "WHERE outcome = 'preempted' AND reason = 'budget_exceeded' AND preemption_id > $1 "
						 "ORDER BY preemption_id LIMIT $2", 2, types, values, NULL);
		for (int i = 0; i < n; i++)
		{
			bool		isnull;

			id[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
			job[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));
		}
		fs_spi_end();
		for (int i = 0; i < n; i++)
		{
			CHECK_FOR_INTERRUPTS();
			last = id[i];
			if (is_held_back(db, job[i]))
				continue;
			if (limit-- == 0)
				return false;
			all &= fs_preempt_resume(db, job[i], false) != FS_PREEMPT_ALREADY;
		}
	} while (n == RESUME_PAGE);
	return all;
}
