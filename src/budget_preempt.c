/*
 * budget_preempt.c
 *		Thresholds that ask running jobs to yield.
 *
 * Called in a transaction without fs->lock; may raise.
 */
#include "budget_task.h"

#include "miscadmin.h"

#include "preempt.h"

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
