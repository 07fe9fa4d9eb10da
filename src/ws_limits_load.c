/*
 * ws_limits_load.c
 *		Limits of workspaces from their tables into shared memory: all of them, or
 *		one that is set; and what is known of before: use, rate windows, violations,
 *		thresholds that were crossed.
 *
 * What the tables say is read first (ws_limits_rows.c), without fs->lock, then
 * taken over under it in one critical section.
 *
 * An entry begins with what its workspace used in the last day.  Usage that is
 * recorded while there is no entry is only in the table; so whoever makes an
 * entry first waits, by an advisory lock on the workspace's name, until no open
 * transaction records usage that way, then reads the table, then makes the
 * entry.  From then on usage is counted in memory (usage.c).
 *
 * Settings are applied at commit by the ledger, one part (a resource's quota,
 * the rate, the throttle) at a time, so that two sessions that change different
 * parts do not undo each other.
 */
#include "ws_limits.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "admit.h"
#include "ledger.h"
#include "rate_file.h"
#include "text.h"
#include "ws_limits_rows.h"

PG_FUNCTION_INFO_V1(fs_limits_wanted);
PG_FUNCTION_INFO_V1(fs_limits_apply_part);

void
fs_limits_lock_usage(const char *workspace, bool exclusive)
{
	LOCKTAG		tag;

	/* class 4 of advisory locks: SQL functions use 1 and 2, request ids 3 */
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, hash_bytes((const unsigned char *) workspace, strlen(workspace)),
						 0, 4);
	(void) LockAcquire(&tag, exclusive ? ExclusiveLock : ShareLock, false, false);
}

/* ---------- putting it into memory; fs->lock held ---------- */

static void
seed_used(int32 l, const FsUsed *used, int n, TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];

	for (int i = fs_limits_first(used, n, sizeof(FsUsed), limits->name);
		 i < n && strcmp(used[i].workspace, limits->name) == 0; i++)
	{
		if (used[i].resource == FS_RES_STORAGE)
			limits->level = used[i].amount;
		else if (FsResourceBit(used[i].resource) & FS_CONSUMED_MASK)
		{
			FsWindow   *window = FsWindowOf(limits, used[i].resource);

			window_add_at(window, Min(used[i].at, now), Min(used[i].amount, FS_AMOUNT_MAX - window->total));
		}
	}
}

/* The entry of a workspace, made with what it used where there is none; FS_NONE: no room. */
static int32
get_seeded(int32 db, const char *workspace, const FsUsed *used, int n, TimestampTz now)
{
	int32		l = fs_limits_find(db, workspace);

	if (l != FS_NONE)
		return l;
	l = fs_limits_get(db, workspace);
	if (l != FS_NONE)
		seed_used(l, used, n, now);
	return l;
}

/* What is known of rate windows when memory is built; each array in the order of workspaces. */
typedef struct FsOldRates
{
	FsSavedRate *exact;			/* by a clean shutdown */
	int			nexact;
	FsSavedRate *saved;
	int			nsaved;
	FsBooked   *booked;			/* claims since */
	int			nbooked;
} FsOldRates;

static const FsSavedRate *
find_rate(const FsSavedRate *rates, int n, const char *workspace)
{
	int			i = fs_limits_first(rates, n, sizeof(FsSavedRate), workspace);

	return i < n && strcmp(rates[i].workspace, workspace) == 0 && rates[i].width > 0 ? &rates[i] : NULL;
}

/*
 * The rate window of before.  After a clean shutdown it is known.  Else a row
 * says what it was when the scheduler saved it, and bookings how many claims may
 * have been made since (rate_book.c): they count as claimed now, so for one
 * period.  Where no row was saved by this server, or since it was promoted, as
 * many as the limit leaves count.
 */
static void
seed_rate(int32 l, const FsOldRates *old, TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];
	const FsSavedRate *exact = find_rate(old->exact, old->nexact, limits->name);
	const FsSavedRate *saved = find_rate(old->saved, old->nsaved, limits->name);
	const FsSavedRate *rate = exact ? exact : saved;
	int			b = fs_limits_first(old->booked, old->nbooked, sizeof(FsBooked), limits->name);
	const FsBooked *booked = b < old->nbooked && strcmp(old->booked[b].workspace, limits->name) == 0 ?
		&old->booked[b] : NULL;
	int64		missing;

	for (int k = 0; rate && k < rate->n; k++)
	{
		int64		slice = rate->head - rate->n + 1 + k;

		if (rate->count[k] > 0 && slice > 0)
			window_add_at(&limits->rate,
						  Min(rate->width == limits->rate.width ? slice * rate->width
							  : (slice + 1) * rate->width - 1, now),
						  rate->count[k]);
	}
	/* the next save is later than what is there, whatever the clocks did */
	if (saved)
		limits->rate_epoch = Max(limits->rate_epoch, saved->epoch + 1);
	if (booked)
		limits->rate_epoch = Max(limits->rate_epoch, booked->epoch + 1);
	limits->rate_dirty = true;
	fs_admit_dirty(&fs_dbs[limits->db]);
	if (exact)
		return;
	missing = limits->set.max_claims - limits->rate.total;
	if (saved && saved->booked)
		missing = Min(missing, booked ? booked->claims : 0);
	if (missing > 0)
		(void) window_add(&limits->rate, now, missing);
}

/* What violations tell: which may still be open, how long a burst was. */
static void
seed_breach(int32 l, const FsPastBreach *past, TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];
	FsResource	r = past->resource;

	if (past->kind == FS_BREACH_BURST && (limits->set.has & FsResourceBit(r)) && limits->set.quota[r].burst > 0)
		burst_was(&limits->burst[r], &limits->set.quota[r], past->first, Min(past->resolved, now), now);
	if (past->resolved != DT_NOEND)
		return;
	limits->breach[r][past->kind].open = true;
	limits->breach[r][past->kind].last = past->last;
	limits->breached = true;
	fs_admit_dirty(&fs_dbs[limits->db]);
}

/* When a resource of it was used last, as the table tells; 0: not in the last day. */
static TimestampTz
last_use(const FsUsed *used, int n, const char *workspace, FsResource r)
{
	TimestampTz at = 0;

	for (int i = fs_limits_first(used, n, sizeof(FsUsed), workspace); i < n && strcmp(used[i].workspace, workspace) == 0; i++)
		if (used[i].resource == r)
			at = Max(at, used[i].at);
	return at;
}

/* False: the row is of another quota than is set now.  The throttle that it tells of goes on, unless it was switched off since. */
static bool
resume_throttle(int32 l, const FsCrossing *past, TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];
	FsResource	r = past->resource;
	uint32		bit = FsResourceBit(r);

	if (!(limits->set.has & bit) || past->quota_since != limits->set.quota_since[r])
		return false;
	limits->crossed_at[r] = Max(limits->crossed_at[r], past->crossed_at);
	if (fs_crossing_at(past))
		limits->crossing_rows |= bit;
	if (limits->set.throttle && past->off_at == limits->set.off_at && past->until > now)
		fs_limits_throttled(l, r, past->until);
	return true;
}

/*
 * The entry is new, and what its row says is known (seen_at: since when, 0: there
 * is none).  A resource that is at its threshold, and is armed, crossed it with
 * memory that is lost, if it was used since.
 */
static void
find_lost_crossing(int32 l, FsResource r, TimestampTz seen_at, TimestampTz used_at, TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];
	uint32		bit = FsResourceBit(r);
	int64		committed = fs_limits_committed(limits, r, now);

	if (!(limits->set.has & bit))
		return;
	if (!fs_admit_above(limits, r, committed))
	{
		fs_admit_rearm(l, r, committed);
		return;
	}
	if (!(limits->armed & bit))
		return;
	if (used_at > Max(Max(seen_at, limits->set.quota_since[r]), limits->set.off_at))
		fs_admit_crossed(l, r, committed, false, 0, NULL, now);
	else
	{
		/* before the throttle was switched off? */
		if (used_at > Max(seen_at, limits->set.quota_since[r]))
			limits->armed &= ~bit;
		if (fs_limits_watched(limits, r))
			fs_limits_crossing_changed(l, r);
	}
}

/* An array with a time for each resource of each entry, all 0. */
static TimestampTz *
times_of_all(void)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, sizeof(TimestampTz) * fs->limits.capacity * FS_RESOURCES,
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

#define AT(times, l, r) ((times)[(Size) (l) * FS_RESOURCES + (r)])

/* What rows say of quotas that are new to memory (`made`, by entry; NULL: those of held resources), and since when. */
static void
seed_crossings(FsDatabase *db, const FsCrossing *past, int n, const uint32 *made, TimestampTz *seen_at,
			   TimestampTz now)
{
	for (int i = 0; i < n; i++)
	{
		int32		l = fs_limits_find(FsDbIndex(db), past[i].workspace);

		if (l == FS_NONE || !((made ? made[l] : FS_HELD_MASK) & FsResourceBit(past[i].resource)) ||
			!resume_throttle(l, &past[i], now))
			continue;
		if (past[i].state == FS_CROSSING_CROSSED)
			fs_limits[l].armed &= ~FsResourceBit(past[i].resource);

		/*
		 * memory has nothing newer: the throttle's settings may come after it
		 * in a restore
		 */
		if (fs_crossing_at(&past[i]))
			fs_limits[l].crossing_dirty &= ~FsResourceBit(past[i].resource);
		AT(seen_at, l, past[i].resource) = past[i].seen_at;
	}
}

static void
no_room(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_FS_CAPACITY),
			 errmsg("too many workspaces have limits"),
			 errhint("Increase fairsched.max_limits (now %d) and restart the server.", fs_limits_capacity())));
}

void
fs_limits_load(FsDatabase *db)
{
	int32		slot = FsDbIndex(db);
	bool		building = db->state == FS_DB_BUILDING;
	bool		again;

	do
	{
		uint64		gen = db->settings_gen;
		int			nparts;
		FsLimitPart *parts = fs_limits_read_parts(NULL, &nparts);
		int			nused = 0;
		FsUsed	   *used = NULL;
		FsOldRates	old = {0};
		int			npast = 0;
		FsPastBreach *past = NULL;
		int			ncrossings;
		FsCrossing *crossings;
		TimestampTz *seen_at = times_of_all();
		uint32	   *seen;
		uint32	   *made;
		bool		fresh = false;
		bool		throttles = false;
		bool		full = false;
		TimestampTz now;

		for (int i = 0; i < nparts; i++)
		{
			bool		known;

			if (i > 0 && strcmp(parts[i - 1].workspace, parts[i].workspace) == 0)
				continue;
			FsLockShared();
			known = fs_limits_find(slot, parts[i].workspace) != FS_NONE;
			FsUnlock();
			if (!known && !building)
				fs_limits_lock_usage(parts[i].workspace, true);
			fresh |= !known;
		}
		if (building)
			past = fs_limits_read_breaches(&npast);
		if (fresh || npast > 0)
		{
			used = fs_limits_read_used(NULL, &nused);
			if (building)
			{
				old.saved = fs_limits_read_rates(&old.nsaved);
				old.booked = fs_limits_read_booked(&old.nbooked);
				old.exact = fs_rate_file_read(db, &old.nexact);
				fs_limits_sort(old.exact, old.nexact, sizeof(FsSavedRate));
			}
		}
		seen = MemoryContextAllocZero(CurrentMemoryContext, sizeof(uint32) * fs->limits.capacity);
		made = MemoryContextAllocZero(CurrentMemoryContext, sizeof(uint32) * fs->limits.capacity);
		crossings = fs_limits_read_crossings(&ncrossings);

		FsLock();
		again = gen != db->settings_gen;
		now = GetCurrentTimestamp();
		for (int i = 0; i < nparts && !again && !full; i++)
		{
			int32		l = get_seeded(slot, parts[i].workspace, used, nused, now);

			if (l == FS_NONE)
			{
				full = true;
				break;
			}
			made[l] |= parts[i].part & ~fs_limits[l].set.has;
			throttles |= (made[l] & FS_LIMIT_THROTTLE) != 0;
			fs_limits_apply(l, parts[i].part, &parts[i].set, now);
			if (building && parts[i].part == FS_LIMIT_RATE)
				seed_rate(l, &old, now);
			seen[l] |= parts[i].part;
		}
		for (int l = 0; l < fs->limits.capacity && !again && !full; l++)
		{
			static const FsLimitSettings none = {0};
			uint32		gone = fs_limits[l].set.has & ~seen[l];

			if (fs_limits[l].db != slot)
				continue;
			if (gone != 0)
				fs_limits_apply(l, gone, &none, now);
			if (!building)
				fs_limits_release(l);
		}
		for (int i = 0; i < npast && !again && !full; i++)
		{
			/*
			 * what is open of a workspace without limits is to be closed;
			 * where there is no room, by the next rebuild
			 */
			int32		l = past[i].resolved == DT_NOEND ? get_seeded(slot, past[i].workspace, used, nused, now)
				: fs_limits_find(slot, past[i].workspace);

			if (l != FS_NONE)
				seed_breach(l, &past[i], now);
		}
		if (!again && !full)
			seed_crossings(db, crossings, ncrossings, made, seen_at, now);
		for (int l = 0; l < fs->limits.capacity && building && !again && !full; l++)
			for (int r = FS_RES_STORAGE; r < FS_RESOURCES && fs_limits[l].db == slot; r++)
				find_lost_crossing(l, r, AT(seen_at, l, r), last_use(used, nused, fs_limits[l].name, r), now);
		if (throttles && !building && !again)
		{
			/* in a restore, what was throttled may be there already */
			db->usage_stale = now;
			fs_admit_dirty(db);
		}
		FsUnlock();
		if (full)
			no_room();
	} while (again);
}

/* fs_limits_loaded: of what jobs hold; how much that is was not known before. */
void
fs_limits_loaded(FsDatabase *db)
{
	int			n;
	FsCrossing *past = fs_limits_read_crossings(&n);
	TimestampTz *seen_at = times_of_all();
	TimestampTz *used_at = times_of_all();
	TimestampTz now;

	FsLock();
	now = GetCurrentTimestamp();
	seed_crossings(db, past, n, NULL, seen_at, now);
	for (int i = 0; i < fs->leases.capacity; i++)
	{
		const FsLease *lease = &fs_leases[i];
		int32		l = lease->db == FsDbIndex(db) ? fs_workspaces[lease->workspace].limits : FS_NONE;

		for (int r = 0; r < FS_RES_STORAGE && l != FS_NONE; r++)
			if (lease->held.mask & FsResourceBit(r))
				AT(used_at, l, r) = Max(AT(used_at, l, r), lease->claimed_at);
	}
	for (int l = 0; l < fs->limits.capacity; l++)
		for (int r = 0; r < FS_RES_STORAGE && fs_limits[l].db == FsDbIndex(db); r++)
			find_lost_crossing(l, r, AT(seen_at, l, r), AT(used_at, l, r), now);
	FsUnlock();
	pfree(past);
	pfree(seen_at);
	pfree(used_at);
}

/* Which of what is recorded is at its threshold. */
static uint32
used_above(int32 l, TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];
	uint32		above = 0;

	for (int r = FS_RES_STORAGE; r < FS_RESOURCES; r++)
		if ((limits->set.has & FsResourceBit(r)) && fs_admit_above(limits, r, fs_limits_committed(limits, r, now)))
			above |= FsResourceBit(r);
	return above;
}

/*
 * fs_limits_reread: who records usage holds RowExclusiveLock on its table until
 * its commit callback has run, so under ShareLock the table has what was
 * committed, and memory what is pending beside it.  Nobody is waited for.
 */
bool
fs_limits_reread(FsDatabase *db)
{
	Oid			nsp = fs_catalog()->nsp;
	TimestampTz stale = db->usage_stale;
	TimestampTz now;
	int			nused;
	FsUsed	   *used;
	int			npast;
	FsPastBreach *past;
	int			ncrossings;
	FsCrossing *crossings;
	uint32	   *risen = MemoryContextAllocZero(CurrentMemoryContext, sizeof(uint32) * fs->limits.capacity);

	/* what this transaction used itself is in the tables already */
	if (fs_ledger_open_items() > 0 ||
		!ConditionalLockRelationOid(get_relname_relid("workspace_usage", nsp), ShareLock) ||
		!ConditionalLockRelationOid(get_relname_relid("workspace_levels", nsp), ShareLock))
		return false;
	used = fs_limits_read_used(NULL, &nused);
	past = fs_limits_read_breaches(&npast);
	crossings = fs_limits_read_crossings(&ncrossings);

	FsLock();
	now = GetCurrentTimestamp();
	for (int l = 0; l < fs->limits.capacity; l++)
	{
		FsLimits   *limits = &fs_limits[l];
		uint32		was_above;

		if (limits->db != FsDbIndex(db))
			continue;
		was_above = used_above(l, now);
		limits->level = 0;
		for (int i = 0; i < lengthof(limits->used); i++)
		{
			window_init(&limits->used[i], USECS_PER_DAY, now);
			(void) window_add(&limits->used[i], now, limits->pending[i]);
		}
		seed_used(l, used, nused, now);
		risen[l] = used_above(l, now) & limits->armed & ~was_above;
		for (int r = 0; r < FS_RESOURCES; r++)
		{
			if (FsResourceBit(r) & FS_USED_MASK)
				fs_admit_rearm(l, r, fs_limits_committed(limits, r, now));
			for (int k = 0; k < FS_BREACH_KINDS; k++)
				limits->breach[r][k].open = limits->breach[r][k].count > 0;
			if (FsResourceBit(r) & FS_BURST_MASK)
				memset(&limits->burst[r], 0, sizeof(FsBurst));
		}
	}
	for (int i = 0; i < npast; i++)
	{
		int32		l = fs_limits_find(FsDbIndex(db), past[i].workspace);

		if (l != FS_NONE)
			seed_breach(l, &past[i], now);
	}
	for (int i = 0; i < ncrossings; i++)
	{
		int32		l = fs_limits_find(FsDbIndex(db), crossings[i].workspace);
		uint32		bit = FsResourceBit(crossings[i].resource);

		if (l == FS_NONE || !resume_throttle(l, &crossings[i], now))
			continue;
		if (crossings[i].state == FS_CROSSING_ABOVE)
			risen[l] &= ~bit;
		else if (crossings[i].state == FS_CROSSING_CROSSED && (used_above(l, now) & bit))
			fs_limits[l].armed &= ~bit;
	}
	for (int l = 0; l < fs->limits.capacity; l++)
	{
		FsLimits   *limits = &fs_limits[l];

		if (limits->db != FsDbIndex(db))
			continue;
		/* by other hands: it crossed when that was used */
		for (int r = FS_RES_STORAGE; r < FS_RESOURCES; r++)
			if (risen[l] & FsResourceBit(r))
			{
				limits->armed &= ~FsResourceBit(r);
				fs_limits_crossing_changed(l, r);
			}
		if (limits->workspace == FS_NONE)
			continue;
		for (int r = 0; r < FS_RESOURCES; r++)
			if ((FsResourceBit(r) & FS_BURST_MASK) && limits->set.quota[r].burst > 0)
				burst_level(&limits->burst[r], &limits->set.quota[r], fs_workspaces[limits->workspace].held[r], now);
		fs_admit_changed(limits->workspace, now);
	}
	if (db->usage_stale == stale)
		db->usage_stale = 0;
	FsUnlock();
	return true;
}

/* ---------- called by the functions that set limits ---------- */

/* fairsched.limits_wanted(workspace): there is an entry until the end of the transaction. */
Datum
fs_limits_wanted(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("a change of limits");
	char	   *name = fs_arg_name(fcinfo, 0, "workspace");
	int			n;
	FsUsed	   *used = NULL;
	bool		known;
	int32		l;

	fs_ledger_reserve(1);
	FsLock();
	l = fs_limits_find(FsDbIndex(db), name);
	known = l != FS_NONE;
	if (known)
		fs_ledger_limits(l, 0, NULL);
	FsUnlock();
	if (known)
		PG_RETURN_VOID();
	fs_limits_lock_usage(name, true);
	used = fs_limits_read_used(name, &n);
	fs_ledger_reserve(1);
	FsLock();
	l = get_seeded(FsDbIndex(db), name, used, n, GetCurrentTimestamp());
	if (l != FS_NONE)
		fs_ledger_limits(l, 0, NULL);
	FsUnlock();
	if (l == FS_NONE)
		no_room();
	PG_RETURN_VOID();
}

/* fairsched.apply_limits(workspace, part): as the row says, at commit. */
Datum
fs_limits_apply_part(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("a change of limits");
	char	   *name = fs_arg_name(fcinfo, 0, "workspace");
	char	   *what = text_to_cstring(PG_GETARG_TEXT_PP(1));
	int			r = fs_resource_by_name(what);
	uint32		part = r >= 0 ? FsResourceBit(r) : strcmp(what, "rate") == 0 ? FS_LIMIT_RATE : FS_LIMIT_THROTTLE;
	FsLimitSettings *set = MemoryContextAllocZero(TopTransactionContext, sizeof(FsLimitSettings));
	FsLimitPart *parts;
	int			n;
	int32		l;

	CommandCounterIncrement();
	parts = fs_limits_read_parts(name, &n);
	for (int i = 0; i < n; i++)
		if (parts[i].part == part)
			*set = parts[i].set;
	fs_ledger_reserve(1);
	FsLock();
	l = fs_limits_find(FsDbIndex(db), name);
	if (l != FS_NONE)
		fs_ledger_limits(l, part, set);
	FsUnlock();
	PG_RETURN_VOID();
}
