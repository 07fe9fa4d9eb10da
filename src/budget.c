/*
 * budget.c
 *		Budgets by name, and sets of what jobs name together: found, made, given
 *		back.
 *
 * The other files are about one thing each, and call downwards only:
 *
 *	budget_hold.c		what running jobs reserve, and turn into spendings
 *	budget_apply.c		rows of budgets, and runs of the scheduler's task, taken over
 *	budget_wake.c		who may be let in after a change; calls up into admit_parked.c
 *	budget_notice.c		what is left for the scheduler to write
 *	budget_gate.c		may a job be let in?
 *	budget_average.c	what a job is expected to use
 *	budget.c			names and sets
 *	meter.c				arithmetic
 *
 * What is spent only changes in commit callbacks, so thresholds are crossed in
 * one order that everybody agrees on.
 *
 * All functions of these files: fs->lock held exclusively (finders: shared is
 * enough); nothing here allocates, waits or raises, so that commit and abort
 * callbacks may call it.
 */
#include "budget.h"

#include "common/hashfn.h"

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

/* fs_budget_add: a name that is not known; FS_NONE: full. */
int32
fs_budget_add(int32 db, const char *name)
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
	fs_budgets[b].sets = FS_NONE;
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
		b = fs_budget_add(db, name);
	return b;
}

/* fs_budget_release: a name that nobody defines and nobody uses is forgotten. */
void
fs_budget_release(int32 b)
{
	if (fs_budgets[b].set.id == 0 && fs_budgets[b].refs == 0)
		budget_free(b);
}

void
fs_budget_unref(int32 b)
{
	fs_budgets[b].refs--;
	fs_budget_release(b);
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

/* ---------- sets ---------- */

static int32 *
set_bucket(int32 db, const uint64 *key)
{
	return &fs_budget_set_hash[((uint32) key[0] ^ (uint32) (db * 0x9e3779b9)) & fs_budget_set_mask];
}

static void
link_budget(int32 s, int i)
{
	FsBudget   *b = &fs_budgets[fs_budget_sets[s].budget[i]];
	int32		link = FsBudgetLink(s, i);

	fs_budget_sets[s].link_prev[i] = FS_NONE;
	fs_budget_sets[s].link_next[i] = b->sets;
	if (b->sets != FS_NONE)
		fs_budget_sets[FsBudgetLinkSet(b->sets)].link_prev[FsBudgetLinkPlace(b->sets)] = link;
	b->sets = link;
}

static void
unlink_budget(int32 s, int i)
{
	int32		next = fs_budget_sets[s].link_next[i];
	int32		prev = fs_budget_sets[s].link_prev[i];

	if (prev != FS_NONE)
		fs_budget_sets[FsBudgetLinkSet(prev)].link_next[FsBudgetLinkPlace(prev)] = next;
	else
		fs_budgets[fs_budget_sets[s].budget[i]].sets = next;
	if (next != FS_NONE)
		fs_budget_sets[FsBudgetLinkSet(next)].link_prev[FsBudgetLinkPlace(next)] = prev;
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
	set->flows = set->waiters = FS_NONE;
	set->wait_root = RINGHEAP_NONE;
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
		set->refused |= fs_budgets[b].refused;
		set->refused_at = Max(set->refused_at, fs_budgets[b].refused_at);
		fs_budgets[b].refs++;
		link_budget(s, set->n);
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
	{
		unlink_budget(s, i);
		fs_budget_unref(set->budget[i]);
	}
	FS_UNCHAIN(*set_bucket(set->db, set->key), s, fs_budget_sets, FsBudgetSet, next);
	set->db = FS_NONE;
	FS_POOL_GIVE(fs->budget_sets, fs_budget_sets, s);
}

/* fs_budget_join: a flow has this set, which holds back some of its classes perhaps. */
void
fs_budget_join(int32 s, int32 flow)
{
	FsBudgetSet *set = &fs_budget_sets[s];

	fs_flows[flow].set_prev = FS_NONE;
	fs_flows[flow].set_next = set->flows;
	if (set->flows != FS_NONE)
		fs_flows[set->flows].set_prev = flow;
	set->flows = flow;
	fs_flows[flow].refused = set->refused;
}

void
fs_budget_leave(int32 s, int32 flow)
{
	FsFlow	   *f = &fs_flows[flow];

	if (f->set_prev != FS_NONE)
		fs_flows[f->set_prev].set_next = f->set_next;
	else
		fs_budget_sets[s].flows = f->set_next;
	if (f->set_next != FS_NONE)
		fs_flows[f->set_next].set_prev = f->set_prev;
	f->refused = 0;
}

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

/* fs_budget_gift_room: what a lease that ends in this call leaves of its reservation; negative: it used more. */
int64
fs_budget_gift_room(int32 gift, int32 budget)
{
	int			i = fs_budget_place(gift, budget);

	return i < 0 ? 0 : fs_budget_part(gift, i)->reserved - fs_budget_part(gift, i)->actual;
}

/* ---------- the end ---------- */

/* fs_budget_sweep: everything of a database; its flows and leases go as well. */
void
fs_budget_sweep(int32 db)
{
	fs_budget_notices[db].hopeful = FS_NONE;
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
	fs_budget_notices[db].hopeful = FS_NONE;
	fs_budget_notices[db].spend_limit = FS_SPEND_ROWS;
}
