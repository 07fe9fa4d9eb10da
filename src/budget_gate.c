/*
 * budget_gate.c
 *		The budget gate: may a job be let in?
 *
 * A claim reserves what its job is expected to use of each budget it names; it
 * is let in only where that fits into what is neither spent nor reserved.  So
 * many claims at once cannot overrun a budget by more than they turn out to use
 * beyond their estimates.
 *
 * All functions: as at the top of budget.c.
 */
#include "budget.h"

#include "amount.h"

/* fs_budget_pausing: which thresholds stop claims. */
unsigned
fs_budget_pausing(const FsBudgetSettings *set)
{
	unsigned	mask = 0;

	for (int t = 0; t < METER_THRESHOLDS; t++)
		if (set->action[t] == FS_BUDGET_PAUSE_ALL)
			mask |= METER_BIT(t);
	return mask;
}

/* fs_budget_classes: the classes that an action asks to yield, as bits. */
int
fs_budget_classes(FsBudgetAction action)
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

/* fs_budget_shut: does it let nobody in, whatever the job? */
bool
fs_budget_shut(const FsBudget *b)
{
	return b->set.id == 0 || fs_budget_notices[b->db].stale || fs_budget_paused(b) ||
		b->meter.spent >= b->meter.amount;
}

/* May jobs of the workspace name it? */
static bool
is_for(const FsBudget *b, int32 workspace)
{
	return b->set.id != 0 && (b->set.workspace[0] == '\0' ||
							  (workspace != FS_NONE &&
							   strcmp(b->set.workspace, fs_workspaces[workspace].name) == 0));
}

/*
 * fs_budget_judge: does a budget let a job of this workspace and class in?  cls:
 * -1 where the class is not asked for.  `gift`: a lease that ends in this call
 * and whose reservation may count as free, or FS_NONE.  why: what it says, for
 * fs_budget_detail, whether or not it does; a limit of 0 means that there is no
 * such budget for this workspace, of which it learns nothing else.
 */
bool
fs_budget_judge(int32 budget, const FsBudgetNeed *need, int32 workspace, int cls, int32 gift, TimestampTz now,
				FsRefusal *why)
{
	const FsBudget *b = &fs_budgets[budget];
	int64		estimate = fs_budget_estimate(need, budget);
	int64		room = meter_room(&b->meter) + fs_budget_gift_room(gift, budget);
	bool		ours = is_for(b, workspace);

	why->park = FS_PARK_BUDGET;
	why->on = budget;
	why->classes = 0;
	why->value = why->limit = why->retry_at = 0;
	if (!ours)
		return false;
	why->value = b->meter.amount - room + estimate;
	why->limit = b->meter.amount;
	why->retry_at = b->set.next_reset != DT_NOEND && b->set.next_reset > now ? b->set.next_reset : 0;
	if (need->too_many)
	{
		why->classes = FS_TOO_MANY;
		why->retry_at = 0;
		return false;
	}
	if (fs_budget_shut(b) || estimate > room)
		return false;
	if (cls >= 0 && (b->refused & (1 << cls)))
		why->classes = b->refused;
	return why->classes == 0;
}

/* fs_budget_admit: may a job of the set be claimed now? All its budgets must let it in. */
bool
fs_budget_admit(int32 s, int32 workspace, int cls, int32 gift, TimestampTz now, FsRefusal *why)
{
	const FsBudgetSet *set = &fs_budget_sets[s];

	for (int i = 0; i < set->n; i++)
		if (!fs_budget_judge(set->budget[i], &set->need, workspace, cls, gift, now, why))
			return false;
	why->park = FS_PARK_NONE;
	why->on = FS_NONE;
	why->value = why->limit = why->retry_at = 0;
	return true;
}

/* fs_budget_plain: is there plainly room for QUOTA_RUN jobs of the set, of any class that is not held back? */
bool
fs_budget_plain(int32 s, int32 workspace)
{
	const FsBudgetSet *set = &fs_budget_sets[s];

	for (int i = 0; i < set->n; i++)
	{
		const FsBudget *b = &fs_budgets[set->budget[i]];

		if (!is_for(b, workspace) || fs_budget_shut(b) ||
			!quota_fits_run(b->meter.spent + b->meter.reserved, fs_budget_estimate(&set->need, set->budget[i]),
							b->meter.amount))
			return false;
	}
	return !set->need.too_many;
}

/* fs_budget_fits: is there room for a job of the set in all its budgets, whosever they are? */
bool
fs_budget_fits(int32 s)
{
	const FsBudgetSet *set = &fs_budget_sets[s];

	for (int i = 0; i < set->n; i++)
		if (fs_budget_shut(&fs_budgets[set->budget[i]]) ||
			fs_budget_estimate(&set->need, set->budget[i]) > meter_room(&fs_budgets[set->budget[i]].meter))
			return false;
	return !set->need.too_many;
}

/* fs_budget_tightest: what the fullest budget of the set says, where all let the job in. */
void
fs_budget_tightest(int32 s, int32 workspace, TimestampTz now, FsRefusal *why)
{
	const FsBudgetSet *set = &fs_budget_sets[s];
	double		fullest = -1;

	for (int i = 0; i < set->n; i++)
	{
		FsRefusal	one;

		(void) fs_budget_judge(set->budget[i], &set->need, workspace, -1, FS_NONE, now, &one);
		if ((double) one.value / Max(one.limit, 1) > fullest)
		{
			fullest = (double) one.value / Max(one.limit, 1);
			*why = one;
		}
	}
}

/* fs_budget_detail: what a budget said of a job, for people. */
void
fs_budget_detail(const FsRefusal *why, char *buf, Size len)
{
	const FsBudget *b;
	const Meter *m;
	char		amount[32];
	char		spent[32];
	char		reserved[32];
	char		need[32];

	if (why->on < 0)
	{
		snprintf(buf, len, "more budgets are named than fairsched.max_budgets has room for");
		return;
	}
	b = &fs_budgets[why->on];
	m = &b->meter;
	fs_amount_text(m->amount, amount, sizeof(amount));
	fs_amount_text(m->spent, spent, sizeof(spent));
	fs_amount_text(m->reserved, reserved, sizeof(reserved));
	fs_amount_text(Max(why->value - m->spent - m->reserved, 0), need, sizeof(need));
	if (fs_budget_notices[b->db].stale)
		snprintf(buf, len, "budgets are being read again");
	else if (why->limit == 0)
		snprintf(buf, len, "budget \"%s\" is not defined for this workspace", b->set.name);
	else if (why->classes == FS_TOO_MANY)
		snprintf(buf, len, "the job names too many budgets, or declares too many resources");
	else if (fs_budget_paused(b))
		snprintf(buf, len, "budget \"%s\" is paused: %s of %s spent", b->set.name, spent, amount);
	else if (why->classes)
		snprintf(buf, len, "budget \"%s\" holds %s back: %s of %s spent", b->set.name,
				 why->classes == 1 << 3 ? "P3" : "P2 and P3", spent, amount);
	else
		snprintf(buf, len, "budget \"%s\": %s of %s spent, %s reserved, the job needs %s",
				 b->set.name, spent, amount, reserved, need);
}
