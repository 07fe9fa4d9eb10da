/*
 * budget_hold.c
 *		What running jobs have reserved of budgets, and what they and others spend.
 *
 * The reservation goes back when the job ends, however it ends; what it really
 * used is counted at the commit that says so, and uses up what was reserved.
 *
 * All functions: as at the top of budget.c.
 */
#include "budget.h"

#include "lease.h"

/*
 * fs_budget_charge: the lease reserves what its job is expected to use.  What
 * the gift leaves is passed on; the rest of it stays reserved until its end is
 * committed.  Also for leases that a rebuild restores, which nobody checks.
 */
void
fs_budget_charge(int32 l, int32 s, int32 gift)
{
	FsBudgetSet *set = &fs_budget_sets[s];

	fs_leases[l].budget_set = s;
	set->refs++;
	for (int i = 0; i < set->n; i++)
	{
		FsBudget   *b = &fs_budgets[set->budget[i]];
		int			from = gift == FS_NONE ? -1 : fs_budget_place(gift, set->budget[i]);
		FsBudgetPart *part = fs_budget_part(l, i);
		int64		estimate = fs_budget_declared(&set->need, b->dimension);
		int64		taken = 0;

		if (estimate < 0)
		{
			estimate = fs_budget_estimate(&set->need, set->budget[i]);
			fs_average_used(&set->need, set->budget[i]);
		}
		if (from >= 0)
		{
			taken = Min(Max(fs_budget_gift_room(gift, set->budget[i]), 0), estimate);
			fs_budget_part(gift, from)->reserved -= taken;
		}
		part->reserved = taken + meter_reserve(&b->meter, estimate - taken);
		part->taken = taken;
		part->actual = part->recorded = 0;
		b->refs++;
		b->running++;
	}
}

/* The lease holds nothing any more; room that others may use goes back. */
static void
let_go(int32 l)
{
	int32		s = fs_leases[l].budget_set;
	FsBudgetSet *set = &fs_budget_sets[s];

	fs_leases[l].budget_set = FS_NONE;
	for (int i = 0; i < set->n; i++)
	{
		FsBudget   *b = &fs_budgets[set->budget[i]];

		meter_release(&b->meter, fs_budget_part(l, i)->reserved);
		Assert(b->meter.reserved >= 0 && b->running > 0);
		b->running--;
		if (fs_budget_part(l, i)->reserved > 0)
			fs_budget_room(set->budget[i]);
		fs_budget_unref(set->budget[i]);
	}
	fs_budget_detach(s);
}

/* fs_budget_confirm: a claim was committed: one of a class that is held back by now is to be asked to yield. */
void
fs_budget_confirm(int32 l)
{
	const FsLease *lease = &fs_leases[l];

	if (lease->budget_set < 0 ||
		!(fs_budget_sets[lease->budget_set].refused & (1 << FsSlotClass(lease->rank_slot))))
		return;
	fs_budget_notices[lease->db].ask_again = true;
	fs_budget_signal(lease->db);
}

/* fs_budget_unclaim: the claim came to nothing; what was taken over goes back to where it came from. */
void
fs_budget_unclaim(int32 l)
{
	const FsBudgetSet *set;
	int32		gift = fs_leases[l].slot_from;

	if (fs_leases[l].budget_set < 0)
		return;
	set = &fs_budget_sets[fs_leases[l].budget_set];
	for (int i = 0; i < set->n; i++)
	{
		int			to = fs_budget_place(gift, set->budget[i]);

		if (to >= 0 && fs_budget_part(l, i)->taken > 0)
		{
			fs_budget_part(gift, to)->reserved += fs_budget_part(l, i)->taken;
			fs_budget_part(l, i)->reserved -= fs_budget_part(l, i)->taken;
		}
	}
	let_go(l);
}

/* fs_budget_ungift: what the claim took over from slot_from is that lease's again; the claim was aborted. */
void
fs_budget_ungift(int32 l)
{
	const FsBudgetSet *set = &fs_budget_sets[fs_leases[l].budget_set];

	for (int i = 0; i < set->n; i++)
	{
		int			to = fs_budget_place(fs_leases[l].slot_from, set->budget[i]);

		if (to < 0)
			continue;
		fs_budget_part(fs_leases[l].slot_from, to)->reserved += fs_budget_part(l, i)->taken;
		fs_budget_part(l, i)->reserved -= fs_budget_part(l, i)->taken;
		fs_budget_part(l, i)->taken = 0;
	}
}

/* fs_budget_end: what ended the lease was committed; what it still holds goes back. */
void
fs_budget_end(int32 l)
{
	const FsLease *lease = &fs_leases[l];

	if (lease->budget_set < 0)
		return;
	if (lease->directive == FS_PREEMPT &&
		!(fs_budget_sets[lease->budget_set].refused & (1 << FsSlotClass(lease->rank_slot))))
	{
		/*
		 * what it was asked for is over already: where it yielded, it may go
		 * on
		 */
		fs_budget_notices[lease->db].resume = true;
		fs_budget_signal(lease->db);
	}
	let_go(l);
}

/* ---------- spending ---------- */

/* Place of a budget in what the lease of an item holds, or -1 when that lease is another by now. */
static int
place_of_item(const FsSpendItem *item)
{
	if (item->lease == FS_NONE || fs_leases[item->lease].job_id != item->job_id ||
		fs_leases[item->lease].token != item->token)
		return -1;
	return fs_budget_place(item->lease, item->budget);
}

/* fs_budget_spend_commit: count it; it uses up what its job has reserved. */
void
fs_budget_spend_commit(const FsSpendItem *item, TimestampTz now)
{
	FsBudget   *b = &fs_budgets[item->budget];
	int			i = place_of_item(item);
	int64		promised = 0;

	if (i >= 0)
	{
		FsBudgetPart *part = fs_budget_part(item->lease, i);

		promised = Min(part->reserved, item->amount);
		part->reserved -= promised;
		part->recorded = meter_add(part->recorded, item->amount);
		part->actual = 0;
	}
	if (item->id == b->set.id && item->period == b->set.period)
	{
		fs_budget_notice(item->budget, FS_BUDGET_CROSSED, item->id,
						 meter_spend(&b->meter, item->amount, promised), fs_budget_pausing(&b->set), now);
		fs_budget_hold_back(item->budget, now);
	}
	else if (promised > 0)
	{
		/* spent before a reset that was committed since: not of this period */
		meter_release(&b->meter, promised);
		fs_budget_room(item->budget);
	}
	fs_budget_unref(item->budget);
}

void
fs_budget_spend_abort(const FsSpendItem *item)
{
	int			i = place_of_item(item);

	if (i >= 0 && item->ends)
		fs_budget_part(item->lease, i)->actual = 0;
	fs_budget_unref(item->budget);
}

/* fs_budget_recorded: at a rebuild: a job that runs has recorded this since its claim. */
void
fs_budget_recorded(int32 db, int64 job_id, int64 token, const char *name, int64 amount)
{
	int32		budget = fs_budget_find(db, name);
	int32		l = fs_lease_find(db, job_id);
	int			i = l == FS_NONE || fs_leases[l].token != token ? -1 : fs_budget_place(l, budget);
	FsBudgetPart *part;
	int64		promised;

	if (i < 0)
		return;
	part = fs_budget_part(l, i);
	promised = Min(part->reserved, amount);
	part->reserved -= promised;
	part->recorded = meter_add(part->recorded, amount);
	meter_release(&fs_budgets[budget].meter, promised);
}
