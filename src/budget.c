/*
 * budget.c
 *		The budget gate: what jobs name, what running jobs hold, what is spent.
 *
 * A claim reserves what its job is expected to use of each budget it names; it
 * is let in only where that fits into what is neither spent nor reserved.  The
 * reservation goes back when the job ends, however it ends; what it really
 * used is counted at the commit that says so.  So many claims at once cannot
 * overrun a budget by more than they turn out to use beyond their estimates.
 *
 * What is spent only changes in commit callbacks, so thresholds are crossed in
 * one order that everybody agrees on, and whoever crosses one leaves a notice
 * for the scheduler, which writes the events (budget_task.c).
 *
 * All functions: fs->lock held exclusively (finders: shared is enough); nothing
 * here allocates, waits or raises, so that commit and abort callbacks may call
 * it.
 */
#include "budget.h"

#include "common/hashfn.h"

#include "admit.h"
#include "amount.h"
#include "lease.h"
#include "ledger_items.h"

const char *const FsBudgetActionNames[FS_BUDGET_ACTIONS] = {
	"alert", "preempt P3", "preempt P2,P3", "pause all"
};
const char *const FsThresholdNames[METER_THRESHOLDS] = {"warn", "throttle", "preempt", "pause"};

/* ---------- budgets by name ---------- */

uint64
fs_budget_name_hash(const char *name)
{
	return hash_bytes_extended((const unsigned char *) name, strlen(name), 0);
}

static int32 *
budget_bucket(int32 db, const char *name)
{
	return &fs_budget_hash[((uint32) fs_budget_name_hash(name) ^ (uint32) (db * 0x9e3779b9)) & fs_budget_mask];
}

int32
fs_budget_find(int32 db, const char *name)
{
	int32		b = *budget_bucket(db, name);

	while (b != FS_NONE && (fs_budgets[b].db != db || strcmp(fs_budgets[b].set.name, name) != 0))
		b = fs_budgets[b].next;
	return b;
}

static void
budget_free(int32 b)
{
	FS_UNCHAIN(*budget_bucket(fs_budgets[b].db, fs_budgets[b].set.name), b, fs_budgets, FsBudget, next);
	fs_budgets[b].db = FS_NONE;
	FS_POOL_GIVE(fs->budgets, fs_budgets, b);
}

static int32
budget_add(int32 db, const char *name)
{
	int32	   *bucket = budget_bucket(db, name);
	int32		b;

	FS_POOL_TAKE(fs->budgets, fs_budgets, b);
	if (b == FS_NONE)
		return FS_NONE;
	memset(&fs_budgets[b], 0, sizeof(FsBudget));
	fs_budgets[b].db = db;
	strlcpy(fs_budgets[b].set.name, name, sizeof(fs_budgets[b].set.name));
	for (int t = 0; t < METER_THRESHOLDS; t++)
		fs_budgets[b].set.ppm[t] = fs_budgets[b].meter.at[t] = METER_NEVER;
	fs_budgets[b].set.next_reset = DT_NOEND;
	fs_budgets[b].waiters = FS_NONE;
	fs_budgets[b].next = *bucket;
	*bucket = b;
	return b;
}

/* fs_budget_get: a budget by name, made known (as undefined) when it is not; FS_NONE: full. */
int32
fs_budget_get(int32 db, const char *name)
{
	int32		b = fs_budget_find(db, name);

	if (b == FS_NONE && fs->budgets.used + fs->budgets_promised < fs->budgets.capacity)
		b = budget_add(db, name);
	return b;
}

/* A name that nobody defines and nobody uses is forgotten. */
static void
budget_release(int32 b)
{
	if (fs_budgets[b].set.id == 0 && fs_budgets[b].refs == 0 && fs_budgets[b].waiters == FS_NONE)
		budget_free(b);
}

void
fs_budget_unref(int32 b)
{
	fs_budgets[b].refs--;
	budget_release(b);
}

/*
 * fs_budget_promise: a row is being written; at commit there will be room for
 * it.  False: there is none.  Give the promise back by fs->budgets_promised--.
 */
bool
fs_budget_promise(int32 db)
{
	if (fs->budgets.used + fs->budgets_promised >= fs->budgets.capacity)
		return false;
	fs->budgets_promised++;
	return true;
}

int32 *
fs_budget_waiters(int32 b)
{
	return &fs_budgets[b].waiters;
}

/* Does it let nobody in, whatever the job? */
static bool
shut(const FsBudget *b)
{
	return b->set.id == 0 || fs_budget_notices[b->db].stale || fs_budget_paused(b) ||
		b->meter.spent >= b->meter.amount;
}

/* Somebody may fit in now. O(flows that wait), so only where one could. */
static void
recheck(int32 b, TimestampTz now)
{
	if (fs_budgets[b].waiters != FS_NONE && !shut(&fs_budgets[b]))
		fs_admit_recheck(&fs_budgets[b].waiters, now);
}

/* ---------- notices ---------- */

/* fs_budget_signal: there is something for the scheduler to do. */
void
fs_budget_signal(int32 db)
{
	fs_budget_notices[db].signal++;
	fs_ledger_wake_scheduler(&fs_dbs[db]);
}

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

/* fs_budget_describe: it as it is now. */
void
fs_budget_describe(int32 budget, FsBudgetNotice *notice)
{
	const FsBudget *b = &fs_budgets[budget];

	notice->paused = fs_budget_paused(b);
	notice->id = b->set.id;
	notice->set = b->set;
	notice->spent = b->meter.spent;
	notice->running = b->running;
}

/*
 * Thresholds of row `id` were crossed, or armed again; `pausing` are those that
 * stopped claims until now.  When the list is full the scheduler compares with
 * what it wrote instead.
 */
static void
leave_notice(int32 budget, FsBudgetNoticeKind kind, int32 id, unsigned mask, unsigned pausing, TimestampTz now)
{
	FsBudget   *b = &fs_budgets[budget];
	FsBudgetNotices *list = &fs_budget_notices[b->db];
	FsBudgetNotice *notice;

	if (mask == 0)
		return;
	fs_budget_signal(b->db);
	if (list->next - list->first >= FS_BUDGET_NOTICES)
	{
		list->lost = true;
		return;
	}
	notice = &list->notice[list->next++ % FS_BUDGET_NOTICES];
	notice->kind = kind;
	notice->mask = mask;
	notice->pausing = pausing;
	notice->at = now;
	fs_budget_describe(budget, notice);
	notice->id = id;
}

/* ---------- settings ---------- */

/*
 * fs_budget_apply: the row of a budget was committed, or read (`spent`: what its
 * rows add up to; NULL: what is spent is known here).  Older news are ignored.
 * There is room: it is known, or promised.
 */
void
fs_budget_apply(int32 db, const FsBudgetSettings *set, const int64 *spent, TimestampTz now)
{
	int32		budget = fs_budget_find(db, set->name);
	FsBudget   *b;
	unsigned	pausing;
	unsigned	armed = 0;
	unsigned	more = 0;
	unsigned	crossed = 0;
	int32		id;

	if (budget == FS_NONE)
		budget = budget_add(db, set->name);
	if (budget == FS_NONE)
		return;
	b = &fs_budgets[budget];
	if (set->revision < b->set.revision ||
		(set->revision == b->set.revision && set->id == b->set.id && spent == NULL))
	{
		budget_release(budget);
		return;
	}
	pausing = fs_budget_pausing(&b->set);
	id = b->set.id;
	if (set->id != b->set.id || set->period != b->set.period)
		armed = meter_reset(&b->meter);
	if (spent)
		b->meter.spent = *spent;
	b->set = *set;
	b->dimension = fs_budget_name_hash(set->dimension);
	if (set->id != 0)
		crossed = meter_set(&b->meter, set->amount, set->ppm, &more);
	else
		b->meter.amount = 0;
	/* in this order: what is crossed at once after a reset was armed before */
	leave_notice(budget, FS_BUDGET_ARMED, id, armed | more, pausing, now);
	leave_notice(budget, FS_BUDGET_CROSSED, set->id, crossed, fs_budget_pausing(set), now);
	if (set->next_reset < fs_budget_notices[db].next_reset)
	{
		fs_budget_notices[db].next_reset = set->next_reset;
		fs_budget_signal(db);
	}
	recheck(budget, now);
	budget_release(budget);
}

/* ---------- sets ---------- */

static int32 *
set_bucket(int32 db, const uint64 *key)
{
	return &fs_budget_set_hash[((uint32) key[0] ^ (uint32) (db * 0x9e3779b9)) & fs_budget_set_mask];
}

/*
 * fs_budget_attach: the set of what a job names, for a flow; made when new.
 * FS_NONE for nothing, FS_BUDGET_FULL when there is no room.
 */
int32
fs_budget_attach(int32 db, const FsBudgetSpec *spec)
{
	FsBudgetSet *set;
	int32	   *bucket;
	int32		s;

	if (spec == NULL)
		return FS_NONE;
	bucket = set_bucket(db, spec->key);
	for (s = *bucket; s != FS_NONE; s = fs_budget_sets[s].next)
		if (fs_budget_sets[s].db == db && fs_budget_sets[s].key[0] == spec->key[0] &&
			fs_budget_sets[s].key[1] == spec->key[1])
		{
			fs_budget_sets[s].refs++;
			return s;
		}
	FS_POOL_TAKE(fs->budget_sets, fs_budget_sets, s);
	if (s == FS_NONE)
		return FS_BUDGET_FULL;
	set = &fs_budget_sets[s];
	memset(set, 0, sizeof(FsBudgetSet));
	set->db = db;
	set->key[0] = spec->key[0];
	set->key[1] = spec->key[1];
	set->refs = 1;
	set->need = spec->need;
	set->next = *bucket;
	*bucket = s;
	for (set->n = 0; set->n < spec->n; set->n++)
	{
		int32		b = fs_budget_get(db, spec->name[set->n]);

		if (b == FS_NONE)
		{
			fs_budget_detach(s);
			return FS_BUDGET_FULL;
		}
		set->budget[set->n] = b;
		fs_budgets[b].refs++;
	}
	return s;
}

void
fs_budget_detach(int32 s)
{
	FsBudgetSet *set;

	if (s < 0)
		return;
	set = &fs_budget_sets[s];
	if (--set->refs > 0)
		return;
	for (int i = 0; i < set->n; i++)
		fs_budget_unref(set->budget[i]);
	FS_UNCHAIN(*set_bucket(set->db, set->key), s, fs_budget_sets, FsBudgetSet, next);
	set->db = FS_NONE;
	FS_POOL_GIVE(fs->budget_sets, fs_budget_sets, s);
}

/* ---------- averages ---------- */

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

/* fs_budget_estimate: what a job is expected to use of a budget; nothing is known: 0. */
int64
fs_budget_estimate(const FsBudgetNeed *need, int32 budget)
{
	const FsBudget *b = &fs_budgets[budget];
	FsAverage  *a;
	bool		found;

	for (int i = 0; i < need->ndeclared; i++)
		if (need->dimension[i] == b->dimension)
			return need->declared[i];
	a = average_place(b->db, need->kind, b->dimension, &found);
	if (!found)
		return 0;
	a->used = ++fs->average_clock;
	return a->mean;
}

/* ---------- the gate ---------- */

/* fs_budget_place: of a budget in what a lease holds, or -1. */
int
fs_budget_place(int32 lease, int32 budget)
{
	const FsBudgetSet *set;

	if (lease == FS_NONE || fs_leases[lease].db == FS_NONE || fs_leases[lease].budget_set < 0)
		return -1;
	set = &fs_budget_sets[fs_leases[lease].budget_set];
	for (int i = 0; i < set->n; i++)
		if (set->budget[i] == budget)
			return i;
	return -1;
}

/* What a lease that ends in this call leaves of its reservation; negative: it used more. */
static int64
gift_room(int32 gift, int32 budget)
{
	int			i = fs_budget_place(gift, budget);

	return i < 0 ? 0 : fs_budget_holds[gift].reserved[i] - fs_budget_holds[gift].actual[i];
}

/*
 * fs_budget_judge: does a budget let a job of this workspace in?  `gift`: a
 * lease that ends in this call and whose reservation may count as free, or
 * FS_NONE.  why: what it says, for fs_budget_detail, whether or not it does; a
 * limit of 0 means that it is not for this workspace.
 */
bool
fs_budget_judge(int32 budget, const FsBudgetNeed *need, int32 workspace, int32 gift, TimestampTz now,
				FsRefusal *why)
{
	const FsBudget *b = &fs_budgets[budget];
	int64		estimate = fs_budget_estimate(need, budget);
	int64		room = meter_room(&b->meter) + gift_room(gift, budget);
	bool		ours = b->set.workspace[0] == '\0' ||
	(workspace != FS_NONE && strcmp(b->set.workspace, fs_workspaces[workspace].name) == 0);

	why->park = FS_PARK_BUDGET;
	why->on = budget;
	why->value = b->meter.amount - room + estimate;
	why->limit = ours ? b->meter.amount : 0;
	why->retry_at = b->set.id != 0 && b->set.next_reset != DT_NOEND && b->set.next_reset > now ?
		b->set.next_reset : 0;
	return ours && !need->too_many && !shut(b) && estimate <= room;
}

/* fs_budget_admit: may a job of the set be claimed now? All its budgets must let it in. */
bool
fs_budget_admit(int32 s, int32 workspace, int32 gift, TimestampTz now, FsRefusal *why)
{
	const FsBudgetSet *set = &fs_budget_sets[s];

	for (int i = 0; i < set->n; i++)
		if (!fs_budget_judge(set->budget[i], &set->need, workspace, gift, now, why))
			return false;
	why->park = FS_PARK_NONE;
	why->on = FS_NONE;
	why->value = why->limit = why->retry_at = 0;
	return true;
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

		(void) fs_budget_judge(set->budget[i], &set->need, workspace, FS_NONE, now, &one);
		if ((double) one.value / Max(one.limit, 1) > fullest)
		{
			fullest = (double) one.value / Max(one.limit, 1);
			*why = one;
		}
	}
}

/*
 * fs_budget_charge: the lease reserves what its job is expected to use.  What
 * the gift leaves is passed on; the rest of it stays reserved until its end is
 * committed.  Also for leases that a rebuild restores, which nobody checks.
 */
void
fs_budget_charge(int32 l, int32 s, int32 gift)
{
	FsBudgetSet *set = &fs_budget_sets[s];
	FsBudgetHold *hold = &fs_budget_holds[l];

	memset(hold, 0, sizeof(FsBudgetHold));
	fs_leases[l].budget_set = s;
	set->refs++;
	for (int i = 0; i < set->n; i++)
	{
		FsBudget   *b = &fs_budgets[set->budget[i]];
		int			from = fs_budget_place(gift, set->budget[i]);

		hold->reserved[i] = fs_budget_estimate(&set->need, set->budget[i]);
		if (from >= 0)
		{
			hold->taken[i] = Min(Max(gift_room(gift, set->budget[i]), 0), hold->reserved[i]);
			fs_budget_holds[gift].reserved[from] -= hold->taken[i];
		}
		meter_reserve(&b->meter, hold->reserved[i] - hold->taken[i]);
		b->refs++;
		b->running++;
	}
}

/* The lease holds nothing any more; room that others may use goes back. */
static void
let_go(int32 l, TimestampTz now)
{
	int32		s = fs_leases[l].budget_set;
	FsBudgetSet *set = &fs_budget_sets[s];

	fs_leases[l].budget_set = FS_NONE;
	for (int i = 0; i < set->n; i++)
	{
		FsBudget   *b = &fs_budgets[set->budget[i]];

		meter_release(&b->meter, fs_budget_holds[l].reserved[i]);
		Assert(b->meter.reserved >= 0 && b->running > 0);
		b->running--;
		if (fs_budget_holds[l].reserved[i] > 0)
			recheck(set->budget[i], now);
		fs_budget_unref(set->budget[i]);
	}
	fs_budget_detach(s);
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

		if (to >= 0 && fs_budget_holds[l].taken[i] > 0)
		{
			fs_budget_holds[gift].reserved[to] += fs_budget_holds[l].taken[i];
			fs_budget_holds[l].reserved[i] -= fs_budget_holds[l].taken[i];
		}
	}
	let_go(l, GetCurrentTimestamp());
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
		fs_budget_holds[fs_leases[l].slot_from].reserved[to] += fs_budget_holds[l].taken[i];
		fs_budget_holds[l].reserved[i] -= fs_budget_holds[l].taken[i];
		fs_budget_holds[l].taken[i] = 0;
	}
}

/* fs_budget_end: what ended the lease was committed; what it still holds goes back. */
void
fs_budget_end(int32 l, TimestampTz now)
{
	if (fs_leases[l].budget_set >= 0)
		let_go(l, now);
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
	if (b->set.id == 0)
		snprintf(buf, len, "budget \"%s\" is not defined", b->set.name);
	else if (fs_budget_notices[b->db].stale)
		snprintf(buf, len, "budgets are being read again");
	else if (why->limit == 0)
		snprintf(buf, len, "budget \"%s\" belongs to another workspace", b->set.name);
	else if (fs_budget_paused(b))
		snprintf(buf, len, "budget \"%s\" is paused: %s of %s spent", b->set.name, spent, amount);
	else
		snprintf(buf, len, "budget \"%s\": %s of %s spent, %s reserved, the job needs %s",
				 b->set.name, spent, amount, reserved, need);
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
		FsBudgetHold *hold = &fs_budget_holds[item->lease];

		promised = Min(hold->reserved[i], item->amount);
		hold->reserved[i] -= promised;
		hold->recorded[i] += item->amount;
		hold->actual[i] = 0;
	}
	if (item->id == b->set.id && item->period == b->set.period)
		leave_notice(item->budget, FS_BUDGET_CROSSED, item->id,
					 meter_spend(&b->meter, item->amount, promised), fs_budget_pausing(&b->set), now);
	else if (promised > 0)
	{
		/* spent before a reset that was committed since: not of this period */
		meter_release(&b->meter, promised);
		recheck(item->budget, now);
	}
	fs_budget_unref(item->budget);
}

void
fs_budget_spend_abort(const FsSpendItem *item)
{
	int			i = place_of_item(item);

	if (i >= 0 && item->ends)
		fs_budget_holds[item->lease].actual[i] = 0;
	fs_budget_unref(item->budget);
}

/* fs_budget_recorded: at a rebuild: a job that runs has recorded this since its claim. */
void
fs_budget_recorded(int32 db, int64 job_id, int64 token, const char *name, int64 amount)
{
	int32		budget = fs_budget_find(db, name);
	int32		l = fs_lease_find(db, job_id);
	int			i = l == FS_NONE || fs_leases[l].token != token ? -1 : fs_budget_place(l, budget);
	FsBudgetHold *hold = &fs_budget_holds[l];
	int64		promised;

	if (i < 0)
		return;
	promised = Min(hold->reserved[i], amount);
	hold->reserved[i] -= promised;
	hold->recorded[i] += amount;
	meter_release(&fs_budgets[budget].meter, promised);
}

/* ---------- the scheduler's task ---------- */

/* fs_budget_stale: tables of what is spent changed behind our back. Nothing is let in until they are read. */
void
fs_budget_stale(int32 db, TimestampTz now)
{
	fs_budget_notices[db].stale_at = now;
	fs_budget_notices[db].stale = true;
	fs_budget_notices[db].stale_gen++;
	fs_budget_signal(db);
}

void
fs_budget_run_commit(int32 db, const FsBudgetRun *run, TimestampTz now)
{
	FsBudgetNotices *list = &fs_budget_notices[db];

	list->first = run->upto;
	list->spend_rows -= run->folded;
	if (run->spend_limit > 0)
		list->spend_limit = run->spend_limit;
	if (run->save)
		list->saved_at = now;
	if (run->stale == 0 || run->stale != list->stale_gen)
		return;
	list->stale = false;
	for (int b = 0; b < fs->budgets.capacity; b++)
		if (fs_budgets[b].db == db)
			recheck(b, now);
}

void
fs_budget_run_abort(int32 db, const FsBudgetRun *run)
{
	fs_budget_notices[db].lost |= run->lost;
	fs_budget_notices[db].ask_again |= run->ask_again;
	if (run->save)
	{
		fs_budget_notices[db].averages_dirty = true;
		for (int i = 0; i < FS_AVERAGES; i++)
			fs_averages[i].dirty |= fs_averages[i].db == db;
	}
	fs_budget_signal(db);
}

/* ---------- the end ---------- */

/* fs_budget_sweep: everything of a database; its flows and leases go as well. */
void
fs_budget_sweep(int32 db)
{
	for (int s = 0; s < fs->budget_sets.capacity; s++)
		if (fs_budget_sets[s].db == db)
		{
			FS_UNCHAIN(*set_bucket(db, fs_budget_sets[s].key), s, fs_budget_sets, FsBudgetSet, next);
			fs_budget_sets[s].db = FS_NONE;
			FS_POOL_GIVE(fs->budget_sets, fs_budget_sets, s);
		}
	for (int b = 0; b < fs->budgets.capacity; b++)
		if (fs_budgets[b].db == db)
			budget_free(b);
	for (int i = 0; i < FS_AVERAGES; i++)
		if (fs_averages[i].db == db)
			fs_averages[i].db = FS_NONE;
	fs_budget_forget(db);
}

/* fs_budget_forget: nothing is to be done for this slot. */
void
fs_budget_forget(int32 db)
{
	memset(&fs_budget_notices[db], 0, sizeof(FsBudgetNotices));
	fs_budget_notices[db].next_reset = DT_NOEND;
	fs_budget_notices[db].spend_limit = FS_SPEND_ROWS;
}
