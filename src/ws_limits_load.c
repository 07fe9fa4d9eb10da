/*
 * ws_limits_load.c
 *		Limits of workspaces from their tables: all of them, or one that is set.
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
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "admit.h"
#include "amount.h"
#include "ledger.h"
#include "rate_file.h"
#include "text.h"

PG_FUNCTION_INFO_V1(fs_limits_wanted);
PG_FUNCTION_INFO_V1(fs_limits_apply_part);

StaticAssertDecl(offsetof(FsSavedRate, workspace) == 0, "found by its workspace, which is its first field");

/* One part of one workspace's settings. */
typedef struct FsPart
{
	char		workspace[FS_NAME_LEN + 1];
	uint32		part;
	FsLimitSettings set;
} FsPart;

/* What a workspace used, or its level. */
typedef struct FsUsed
{
	char		workspace[FS_NAME_LEN + 1];
	FsResource	resource;
	TimestampTz at;
	int64		amount;
} FsUsed;

/* Claims that were made, or might have been, since a window was saved. */
typedef struct FsBooked
{
	char		workspace[FS_NAME_LEN + 1];
	int64		claims;
	int64		epoch;			/* the last one */
} FsBooked;

/* A violation that was open when memory was lost, or a burst that is not long over. */
typedef struct FsPastBreach
{
	char		workspace[FS_NAME_LEN + 1];
	int			resource;
	FsBreachKind kind;
	TimestampTz first;
	TimestampTz last;
	TimestampTz resolved;		/* DT_NOEND: open */
} FsPastBreach;

/* A row of quota_crossings. */
typedef struct FsPastCrossing
{
	char		workspace[FS_NAME_LEN + 1];
	int			resource;
	bool		crossed;		/* not armed then */
	bool		above;			/* armed, though at the threshold */
	TimestampTz seen_at;
	TimestampTz crossed_at;		/* 0: not known */
	TimestampTz until;			/* 0: no throttle */
	TimestampTz quota_since;
	TimestampTz off_at;			/* 0: never */
} FsPastCrossing;

void
fs_limits_lock_usage(const char *workspace, bool exclusive)
{
	LOCKTAG		tag;

	/* class 4 of advisory locks: SQL functions use 1 and 2, request ids 3 */
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, hash_bytes((const unsigned char *) workspace, strlen(workspace)),
						 0, 4);
	(void) LockAcquire(&tag, exclusive ? ExclusiveLock : ShareLock, false, false);
}

/* ---------- reading ---------- */

/* Everything that is read begins with the workspace's name, so that it can be sorted and found by it. */
static int
by_workspace(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Where a workspace's entries begin in a sorted array, or would. */
static int
first_of(const void *array, int n, Size size, const char *workspace)
{
	int			low = 0;

	while (low < n)
	{
		int			mid = (low + n) / 2;

		if (strcmp((const char *) array + mid * size, workspace) < 0)
			low = mid + 1;
		else
			n = mid;
	}
	return low;
}

#define COLUMN(i, n) SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, (n), &isnull)

/* Run a query, with `workspace` as $1 where it is not NULL; the rows are in SPI_tuptable. */
static uint64
query(const char *sql, const char *condition, const char *workspace)
{
	Oid			types[1] = {TEXTOID};
	Datum		args[1];

	if (workspace == NULL)
		return fs_spi(psprintf(sql, ""), 0, NULL, NULL, NULL);
	args[0] = CStringGetTextDatum(workspace);
	return fs_spi(psprintf(sql, condition), 1, types, args, NULL);
}

static uint32
resource_mask(Datum array)
{
	Datum	   *elems;
	bool	   *nulls;
	int			n;
	uint32		mask = 0;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		int			r = nulls[i] ? -1 : fs_resource_by_name(TextDatumGetCString(elems[i]));

		if (r >= 0)
			mask |= FsResourceBit(r);
	}
	return mask;
}

static FsPart *
add_part(FsPart **parts, int *n, int *room, Datum workspace, uint32 part)
{
	FsPart	   *p;

	if (*n == *room)
	{
		*room *= 2;
		*parts = repalloc_huge(*parts, sizeof(FsPart) * *room);
	}
	p = &(*parts)[(*n)++];
	memset(p, 0, sizeof(FsPart));
	strlcpy(p->workspace, TextDatumGetCString(workspace), sizeof(p->workspace));
	p->part = p->set.has = part;
	return p;
}

/* All parts that are set, of one workspace or of all. */
static FsPart *
read_parts(const char *workspace, int *count)
{
	int			n = 0;
	int			room = 64;
	FsPart	   *parts = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(FsPart) * room);
	uint64		rows;
	bool		isnull;

	fs_spi_begin();
	rows = query("SELECT workspace, resource, quota, burst, burst_duration, created_at FROM fairsched.workspace_quotas%s",
				 " WHERE workspace = $1", workspace);
	for (uint64 i = 0; i < rows; i++)
	{
		int			r = fs_resource_by_name(TextDatumGetCString(COLUMN(i, 2)));
		FsPart	   *p = add_part(&parts, &n, &room, COLUMN(i, 1), FsResourceBit(r));

		p->set.quota[r].quota = fs_amount_numeric(COLUMN(i, 3), "quota", FS_QUOTA_MAX, false);
		p->set.quota[r].burst = fs_amount_numeric(COLUMN(i, 4), "burst", FS_QUOTA_MAX, false);
		p->set.quota[r].burst_usec = fs_interval_usec(COLUMN(i, 5), "burst_duration", false);
		p->set.quota_since[r] = DatumGetTimestampTz(COLUMN(i, 6));
	}
	rows = query("SELECT workspace, max_claims, period, jitter FROM fairsched.workspace_rate_limits%s",
				 " WHERE workspace = $1", workspace);
	for (uint64 i = 0; i < rows; i++)
	{
		FsPart	   *p = add_part(&parts, &n, &room, COLUMN(i, 1), FS_LIMIT_RATE);

		p->set.max_claims = DatumGetInt32(COLUMN(i, 2));
		p->set.period = fs_interval_usec(COLUMN(i, 3), "per", false);
		p->set.jitter = fs_interval_usec(COLUMN(i, 4), "jitter", true);
	}
	rows = query("SELECT workspace, enabled, threshold, duration, resources, preempt, off_at "
				 "FROM fairsched.workspace_throttles%s", " WHERE workspace = $1", workspace);
	for (uint64 i = 0; i < rows; i++)
	{
		FsPart	   *p = add_part(&parts, &n, &room, COLUMN(i, 1), FS_LIMIT_THROTTLE);
		Datum		preempt;
		Datum		off_at;

		p->set.throttle = DatumGetBool(COLUMN(i, 2));
		p->set.threshold = DatumGetFloat8(COLUMN(i, 3));
		p->set.throttle_usec = fs_interval_usec(COLUMN(i, 4), "duration", false);
		p->set.throttle_mask = resource_mask(COLUMN(i, 5));
		preempt = COLUMN(i, 6);
		if (!isnull)
			p->set.preempt = strcmp(TextDatumGetCString(preempt), "P3") == 0 ? 1u << 3 : 1u << 3 | 1u << 2;
		off_at = COLUMN(i, 7);
		p->set.off_at = isnull ? 0 : DatumGetTimestampTz(off_at);
	}
	fs_spi_end();
	*count = n;
	return parts;
}

/* What was used in the last day, by slices of the window, and levels. */
static FsUsed *
read_used(const char *workspace, int *count)
{
	FsUsed	   *used;
	uint64		rows;
	int			n = 0;
	bool		isnull;
	MemoryContext mine = CurrentMemoryContext;

	fs_spi_begin();

	/*
	 * a slice is 1350 s; both epochs are whole numbers of slices apart; 4e12
	 * is FS_AMOUNT_MAX
	 */
	rows = query("SELECT workspace, resource, max(recorded_at), least(sum(amount), 4e12) FROM fairsched.workspace_usage "
				 "WHERE recorded_at > clock_timestamp() - interval '1 day 23 min' AND resource IN ('tokens', 'cost')%s "
				 "GROUP BY workspace, resource, floor(extract(epoch FROM recorded_at) / 1350) "
				 "UNION ALL SELECT workspace, resource, updated_at, level FROM fairsched.workspace_levels",
				 " AND workspace = $1", workspace);
	used = MemoryContextAllocHuge(mine, sizeof(FsUsed) * (rows + 1));
	for (uint64 i = 0; i < rows; i++)
	{
		FsUsed	   *u = &used[n];

		strlcpy(u->workspace, TextDatumGetCString(COLUMN(i, 1)), sizeof(u->workspace));
		if (workspace && strcmp(workspace, u->workspace) != 0)
			continue;
		u->resource = fs_resource_by_name(TextDatumGetCString(COLUMN(i, 2)));
		u->at = DatumGetTimestampTz(COLUMN(i, 3));
		u->amount = fs_amount_numeric(COLUMN(i, 4), "usage", FS_AMOUNT_MAX, true);
		n++;
	}
	fs_spi_end();
	if (n > 1)
		qsort(used, n, sizeof(FsUsed), by_workspace);
	*count = n;
	return used;
}

static FsSavedRate *
read_rates(int *count)
{
	FsSavedRate *rates;
	uint64		rows;
	bool		isnull;
	MemoryContext mine = CurrentMemoryContext;

	fs_spi_begin();
	rows = query("SELECT workspace, width, head, counts, epoch, timeline FROM fairsched.rate_windows%s", "", NULL);
	rates = MemoryContextAllocHuge(mine, sizeof(FsSavedRate) * (rows + 1));
	for (uint64 i = 0; i < rows; i++)
	{
		int64	   *counts;

		rates[i].complete = false;
		rates[i].booked = DatumGetInt64(COLUMN(i, 6)) == GetWALInsertionTimeLine();
		rates[i].epoch = DatumGetInt64(COLUMN(i, 5));
		strlcpy(rates[i].workspace, TextDatumGetCString(COLUMN(i, 1)), sizeof(rates[i].workspace));
		rates[i].width = DatumGetInt64(COLUMN(i, 2));
		rates[i].head = DatumGetInt64(COLUMN(i, 3));
		counts = fs_int8_array(COLUMN(i, 4), &rates[i].n, "counts");
		rates[i].n = Min(rates[i].n, FS_WINDOW_KEPT);
		memcpy(rates[i].count, counts, sizeof(int64) * rates[i].n);
	}
	fs_spi_end();
	if (rows > 1)
		qsort(rates, rows, sizeof(FsSavedRate), by_workspace);
	*count = (int) rows;
	return rates;
}

static FsBooked *
read_booked(int *count)
{
	FsBooked   *booked;
	uint64		rows;
	bool		isnull;
	MemoryContext mine = CurrentMemoryContext;

	fs_spi_begin();
	rows = query("SELECT workspace, sum(claims)::bigint, max(epoch) FROM fairsched.rate_bookings%s GROUP BY workspace",
				 "", NULL);
	booked = MemoryContextAllocHuge(mine, sizeof(FsBooked) * (rows + 1));
	for (uint64 i = 0; i < rows; i++)
	{
		strlcpy(booked[i].workspace, TextDatumGetCString(COLUMN(i, 1)), sizeof(booked[i].workspace));
		booked[i].claims = DatumGetInt64(COLUMN(i, 2));
		booked[i].epoch = DatumGetInt64(COLUMN(i, 3));
	}
	fs_spi_end();
	if (rows > 1)
		qsort(booked, rows, sizeof(FsBooked), by_workspace);
	*count = (int) rows;
	return booked;
}

static FsPastBreach *
read_breaches(int *count)
{
	FsPastBreach *past;
	uint64		rows;
	bool		isnull;
	MemoryContext mine = CurrentMemoryContext;

	fs_spi_begin();
	rows = query("SELECT workspace, resource, action, first_seen, last_seen, coalesce(resolved_at, 'infinity') "
				 "FROM fairsched.quota_violations WHERE resolved_at IS NULL "
				 "OR (action = 'burst_allowed' AND resolved_at > clock_timestamp() - interval '1 hour')%s", "", NULL);
	past = MemoryContextAllocHuge(mine, sizeof(FsPastBreach) * (rows + 1));
	for (uint64 i = 0; i < rows; i++)
	{
		char	   *action = TextDatumGetCString(COLUMN(i, 3));

		strlcpy(past[i].workspace, TextDatumGetCString(COLUMN(i, 1)), sizeof(past[i].workspace));
		past[i].resource = fs_resource_by_name(TextDatumGetCString(COLUMN(i, 2)));
		past[i].kind = FS_BREACH_REJECT;
		while (past[i].kind < FS_BREACH_KINDS - 1 && strcmp(FsBreachNames[past[i].kind], action) != 0)
			past[i].kind++;
		past[i].first = DatumGetTimestampTz(COLUMN(i, 4));
		past[i].last = DatumGetTimestampTz(COLUMN(i, 5));
		past[i].resolved = DatumGetTimestampTz(COLUMN(i, 6));
	}
	fs_spi_end();
	*count = (int) rows;
	return past;
}

/* What is known of thresholds that were crossed; of two rows of a resource the one that crossed comes last. */
static FsPastCrossing *
read_crossings(int *count)
{
	FsPastCrossing *past;
	uint64		rows;
	int			n = 0;
	bool		isnull;
	MemoryContext mine = CurrentMemoryContext;

	fs_spi_begin();
	rows = query("SELECT workspace, resource, state, seen_at, crossed_at, throttled_until, quota_since, throttle_off_at "
				 "FROM fairsched.quota_crossings%s ORDER BY state <> 'crossed' DESC, crossed_at NULLS FIRST", "", NULL);
	past = MemoryContextAllocHuge(mine, sizeof(FsPastCrossing) * (rows + 1));
	for (uint64 i = 0; i < rows; i++)
	{
		FsPastCrossing *p = &past[n];
		char	   *state = TextDatumGetCString(COLUMN(i, 3));
		Datum		d;

		strlcpy(p->workspace, TextDatumGetCString(COLUMN(i, 1)), sizeof(p->workspace));
		p->resource = fs_resource_by_name(TextDatumGetCString(COLUMN(i, 2)));
		p->crossed = strcmp(state, "crossed") == 0;
		p->above = strcmp(state, "above") == 0;
		p->seen_at = DatumGetTimestampTz(COLUMN(i, 4));
		d = COLUMN(i, 5);
		p->crossed_at = isnull ? 0 : DatumGetTimestampTz(d);
		d = COLUMN(i, 6);
		p->until = isnull ? 0 : DatumGetTimestampTz(d);
		p->quota_since = DatumGetTimestampTz(COLUMN(i, 7));
		d = COLUMN(i, 8);
		p->off_at = isnull ? 0 : DatumGetTimestampTz(d);
		n += p->resource >= 0;
	}
	fs_spi_end();
	*count = n;
	return past;
}

/* ---------- putting it into memory; fs->lock held ---------- */

static void
seed_used(int32 l, const FsUsed *used, int n, TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];

	for (int i = first_of(used, n, sizeof(FsUsed), limits->name);
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
	int			i = first_of(rates, n, sizeof(FsSavedRate), workspace);

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
	int			b = first_of(old->booked, old->nbooked, sizeof(FsBooked), limits->name);
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

	for (int i = first_of(used, n, sizeof(FsUsed), workspace); i < n && strcmp(used[i].workspace, workspace) == 0; i++)
		if (used[i].resource == r)
			at = Max(at, used[i].at);
	return at;
}

/* False: the row is of another quota than is set now.  The throttle that it tells of goes on, unless it was switched off since. */
static bool
resume_throttle(int32 l, const FsPastCrossing *past, TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];
	FsResource	r = past->resource;
	uint32		bit = FsResourceBit(r);

	if (!(limits->set.has & bit) || past->quota_since != limits->set.quota_since[r])
		return false;
	limits->crossed_at[r] = Max(limits->crossed_at[r], past->crossed_at);
	if (past->crossed || past->above)
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
seed_crossings(FsDatabase *db, const FsPastCrossing *past, int n, const uint32 *made, TimestampTz *seen_at,
			   TimestampTz now)
{
	for (int i = 0; i < n; i++)
	{
		int32		l = fs_limits_find(FsDbIndex(db), past[i].workspace);

		if (l == FS_NONE || !((made ? made[l] : FS_HELD_MASK) & FsResourceBit(past[i].resource)) ||
			!resume_throttle(l, &past[i], now))
			continue;
		if (past[i].crossed)
			fs_limits[l].armed &= ~FsResourceBit(past[i].resource);

		/*
		 * memory has nothing newer: the throttle's settings may come after it
		 * in a restore
		 */
		if (past[i].crossed || past[i].above)
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
		FsPart	   *parts = read_parts(NULL, &nparts);
		int			nused = 0;
		FsUsed	   *used = NULL;
		FsOldRates	old = {0};
		int			npast = 0;
		FsPastBreach *past = NULL;
		int			ncrossings;
		FsPastCrossing *crossings;
		TimestampTz *seen_at = times_of_all();
		uint32	   *seen;
		uint32	   *made;
		bool		fresh = false;
		bool		throttles = false;
		bool		full = false;
		TimestampTz now;

		if (nparts > 1)
			qsort(parts, nparts, sizeof(FsPart), by_workspace);
		for (int i = 0; i < nparts; i++)
		{
			bool		known;

			if (i > 0 && by_workspace(&parts[i - 1], &parts[i]) == 0)
				continue;
			FsLockShared();
			known = fs_limits_find(slot, parts[i].workspace) != FS_NONE;
			FsUnlock();
			if (!known && !building)
				fs_limits_lock_usage(parts[i].workspace, true);
			fresh |= !known;
		}
		if (fresh)
		{
			used = read_used(NULL, &nused);
			if (building)
			{
				old.saved = read_rates(&old.nsaved);
				old.booked = read_booked(&old.nbooked);
				old.exact = fs_rate_file_read(db, &old.nexact);
				if (old.nexact > 1)
					qsort(old.exact, old.nexact, sizeof(FsSavedRate), by_workspace);
				past = read_breaches(&npast);
			}
		}
		seen = MemoryContextAllocZero(CurrentMemoryContext, sizeof(uint32) * fs->limits.capacity);
		made = MemoryContextAllocZero(CurrentMemoryContext, sizeof(uint32) * fs->limits.capacity);
		crossings = read_crossings(&ncrossings);

		FsLock();
		again = gen != db->settings_gen;
		now = GetCurrentTimestamp();
		for (int i = 0; i < nparts && !again && !full; i++)
		{
			int32		l = fs_limits_find(slot, parts[i].workspace);

			if (l == FS_NONE)
			{
				l = fs_limits_get(slot, parts[i].workspace);
				if (l == FS_NONE)
				{
					full = true;
					break;
				}
				seed_used(l, used, nused, now);
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
			int32		l = fs_limits_find(slot, past[i].workspace);

			if (l != FS_NONE && past[i].resource >= 0)
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
	FsPastCrossing *past = read_crossings(&n);
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
	FsPastCrossing *crossings;
	uint32	   *risen = MemoryContextAllocZero(CurrentMemoryContext, sizeof(uint32) * fs->limits.capacity);

	/* what this transaction used itself is in the tables already */
	if (fs_ledger_open_items() > 0 ||
		!ConditionalLockRelationOid(get_relname_relid("workspace_usage", nsp), ShareLock) ||
		!ConditionalLockRelationOid(get_relname_relid("workspace_levels", nsp), ShareLock))
		return false;
	used = read_used(NULL, &nused);
	past = read_breaches(&npast);
	crossings = read_crossings(&ncrossings);

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

		if (l != FS_NONE && past[i].resource >= 0)
			seed_breach(l, &past[i], now);
	}
	for (int i = 0; i < ncrossings; i++)
	{
		int32		l = fs_limits_find(FsDbIndex(db), crossings[i].workspace);
		uint32		bit = FsResourceBit(crossings[i].resource);

		if (l == FS_NONE || !resume_throttle(l, &crossings[i], now))
			continue;
		if (crossings[i].above)
			risen[l] &= ~bit;
		else if (crossings[i].crossed && (used_above(l, now) & bit))
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
	used = read_used(name, &n);
	fs_ledger_reserve(1);
	FsLock();
	known = fs_limits_find(FsDbIndex(db), name) != FS_NONE;
	l = fs_limits_get(FsDbIndex(db), name);
	if (l != FS_NONE)
	{
		if (!known)
			seed_used(l, used, n, GetCurrentTimestamp());
		fs_ledger_limits(l, 0, NULL);
	}
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
	FsPart	   *parts;
	int			n;
	int32		l;

	CommandCounterIncrement();
	parts = read_parts(name, &n);
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
