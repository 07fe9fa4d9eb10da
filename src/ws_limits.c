/*
 * ws_limits.c
 *		What is set for a workspace, and how much of it is used: the pool.
 *
 * Entries are found by name, since something may be set, used up or throttled
 * while the workspace has no jobs; where it has, the two point to each other.
 * All functions: fs->lock held exclusively (finders: shared is enough); nothing
 * here allocates, waits or raises.
 */
#include "ws_limits.h"

#include "common/hashfn.h"

#include "admit.h"
#include "park.h"
#include "preempt.h"

struct FsLimits *fs_limits;

const char *const FsResourceNames[FS_RESOURCES] = {
	"cpu", "memory", "gpu", "concurrent_runs", "storage", "tokens", "cost"
};

/* As fairsched.quota_violations says them. */
const char *const FsBreachNames[FS_BREACH_KINDS] = {"reject", "pause", "alert", "burst_allowed", "throttle"};

/* As fairsched.quota_crossings says them. */
const char *const FsCrossingNames[FS_CROSSING_BELOW + 1] = {NULL, "crossed", "above", "below"};

int
fs_resource_by_name(const char *name)
{
	for (int r = 0; r < FS_RESOURCES; r++)
		if (strcmp(FsResourceNames[r], name) == 0)
			return r;
	return -1;
}

static uint32
hash_name(int32 db, const char *name)
{
	return (hash_bytes((const unsigned char *) name, strlen(name)) ^ (uint32) (db * 0x9e3779b9)) & fs_limits_mask;
}

int32
fs_limits_find(int32 db, const char *workspace)
{
	int32		l;

	if (fs_dbs[db].nlimits == 0)
		return FS_NONE;
	l = fs_limits_hash[hash_name(db, workspace)];
	while (l != FS_NONE && (fs_limits[l].db != db || strcmp(fs_limits[l].name, workspace) != 0))
		l = fs_limits[l].next;
	return l;
}

/* What holds where no row says otherwise. */
static void
default_throttle(FsLimitSettings *set)
{
	set->throttle = true;
	set->threshold = 0.9;
	set->throttle_usec = 5 * USECS_PER_MINUTE;
	set->throttle_mask = FS_CONSUMED_MASK | FsResourceBit(FS_RES_STORAGE);
	set->preempt = 0;
	set->off_at = 0;
}

/* Thresholds as amounts, by what is set. */
static void
set_thresholds(FsLimits *limits)
{
	for (int r = 0; r < FS_RESOURCES; r++)
		limits->threshold_at[r] = quota_threshold_at(limits->set.quota[r].quota, limits->set.threshold);
}

/* fs_limits_get: find or make it, with nothing set; the caller holds a reference or sets something. */
int32
fs_limits_get(int32 db, const char *workspace)
{
	int32		l = fs_limits_find(db, workspace);
	uint32		bucket = hash_name(db, workspace);

	if (l != FS_NONE)
		return l;
	FS_POOL_TAKE(fs->limits, fs_limits, l);
	if (l == FS_NONE)
		return FS_NONE;
	memset(&fs_limits[l], 0, sizeof(FsLimits));
	fs_limits[l].db = db;
	strlcpy(fs_limits[l].name, workspace, sizeof(fs_limits[l].name));
	fs_limits[l].armed = (1u << FS_RESOURCES) - 1;
	default_throttle(&fs_limits[l].set);
	set_thresholds(&fs_limits[l]);
	fs_limits[l].next = fs_limits_hash[bucket];
	fs_limits_hash[bucket] = l;
	fs_dbs[db].nlimits++;
	for (int i = 0; i < lengthof(fs_limits[l].used); i++)
		window_init(&fs_limits[l].used[i], USECS_PER_DAY, GetCurrentTimestamp());
	fs_limits[l].rate_epoch = GetCurrentTimestamp();
	fs_limits[l].workspace = fs_admit_bind(db, workspace, l);
	return l;
}

static void
limits_free(int32 l)
{
	FsLimits   *limits = &fs_limits[l];

	if (limits->workspace != FS_NONE)
		fs_workspaces[limits->workspace].limits = FS_NONE;
	FS_UNCHAIN(fs_limits_hash[hash_name(limits->db, limits->name)], l, fs_limits, FsLimits, next);
	fs_dbs[limits->db].nlimits--;
	limits->db = FS_NONE;
	FS_POOL_GIVE(fs->limits, fs_limits, l);
}

/* fs_limits_release: let it go when nothing is set, and nothing is left to be written. */
void
fs_limits_release(int32 l)
{
	if (fs_limits[l].refs == 0 && fs_limits[l].set.has == 0 && !fs_limits[l].breached)
		limits_free(l);
}

/* A throttle for one resource is over before its time; one for another lasts. */
static void
throttle_over(int32 l, FsResource r, TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];

	if (limits->throttle_until[r] > now)
		fs_limits_crossing_changed(l, r);
	limits->throttle_until[r] = limits->throttled_until = 0;
	for (int k = 0; k < FS_RESOURCES; k++)
		limits->throttled_until = Max(limits->throttled_until, limits->throttle_until[k]);
	if (fs_dbs[limits->db].resumable)
		fs_preempt_wake(&fs_dbs[limits->db], now);	/* jobs it stopped go on */
}

/* Jobs that a throttle asks to yield are asked. */
static void
throttle_asks(const FsLimits *limits, TimestampTz now)
{
	if (limits->set.preempt == 0 || limits->throttled_until <= now)
		return;
	fs_dbs[limits->db].throttle_asks = true;
	fs_preempt_wake(&fs_dbs[limits->db], now);
}

/* A quota or a threshold is set: what is below is armed, and what is above is to be known as such. */
static void
threshold_set(int32 l, FsResource r, TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];
	uint32		bit = FsResourceBit(r);
	bool		above;

	if (!(limits->set.has & bit))
		return;
	above = fs_admit_above(limits, r, fs_limits_committed(limits, r, now));

	/*
	 * what is said of one that is off is not meant: it may be on again, as it
	 * was
	 */
	if (!above && limits->set.throttle)
		limits->armed |= bit;
	above |= !(limits->armed & bit);
	if ((above && fs_limits_watched(limits, r)) != ((limits->crossing_rows & bit) != 0) || limits->throttle_until[r] > now)
		fs_limits_crossing_changed(l, r);
}

/*
 * fs_limits_apply: take over one part of the settings (a resource's bit,
 * FS_LIMIT_RATE or FS_LIMIT_THROTTLE), or its absence.  Takes effect on the
 * existing backlog at once.
 */
void
fs_limits_apply(int32 l, uint32 part, const FsLimitSettings *set, TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];
	uint32		had = limits->set.has;

	limits->set.has = (limits->set.has & ~part) | (set->has & part);
	for (int r = 0; r < FS_RESOURCES; r++)
		if (part & FsResourceBit(r))
		{
			uint32		bit = FsResourceBit(r);

			if ((had & bit) && (!(set->has & bit) || set->quota_since[r] != limits->set.quota_since[r]))
			{
				/* that quota is gone, and another one begins anew */
				throttle_over(l, r, now);
				limits->armed |= bit;
				if (limits->crossing_rows & bit)
					fs_limits_crossing_changed(l, r);
			}
			limits->set.quota[r] = set->quota[r];
			limits->set.quota_since[r] = set->quota_since[r];
			set_thresholds(limits);
			threshold_set(l, r, now);
			if (FsResourceBit(r) & FS_BURST_MASK)
			{
				FsBurst    *b = &limits->burst[r];

				memset(b, 0, sizeof(FsBurst));
				if (limits->workspace != FS_NONE && (set->has & FsResourceBit(r)))
					burst_level(b, &set->quota[r], fs_workspaces[limits->workspace].held[r], now);
			}
		}
	if (part & FS_LIMIT_RATE)
	{
		if (!(set->has & FS_LIMIT_RATE))
		{
			memset(&limits->rate, 0, sizeof(FsWindow));
			limits->rate_epoch++;
			limits->rate_unsaved = limits->rate_booked = 0;
		}
		else if (limits->rate.width == 0)
			window_init(&limits->rate, set->period, now);
		else if (limits->set.period != set->period)
			window_rescale(&limits->rate, set->period, now);
		if (limits->rate_gen == 0 || limits->set.period != set->period)
			limits->rate_gen++;
		limits->rate_gen += limits->rate_gen == 0;
		limits->set.max_claims = set->max_claims;
		limits->set.period = set->period;
		limits->set.jitter = set->jitter;
		limits->rate_dirty = true;
		fs_admit_dirty(&fs_dbs[limits->db]);
	}
	if (part & FS_LIMIT_THROTTLE)
	{
		TimestampTz off_at = limits->set.off_at;

		if (!(set->has & FS_LIMIT_THROTTLE))
			default_throttle(&limits->set);
		else
		{
			limits->set.off_at = set->off_at;
			limits->set.throttle = set->throttle;
			limits->set.threshold = set->threshold;
			limits->set.throttle_usec = set->throttle_usec;
			limits->set.throttle_mask = set->throttle_mask;
			limits->set.preempt = set->preempt;
		}
		/* it may be on again: what was throttled before is over */
		if (!limits->set.throttle || (limits->set.off_at != off_at && limits->set.off_at != 0))
			for (int r = 0; r < FS_RESOURCES; r++)
				throttle_over(l, r, now);
		set_thresholds(limits);
		for (int r = 0; r < FS_RESOURCES; r++)
			threshold_set(l, r, now);
		throttle_asks(limits, now);
	}
	if (limits->workspace != FS_NONE)
	{
		FsWorkspace *ws = &fs_workspaces[limits->workspace];

		/*
		 * still refused, perhaps, but until another time: the pick asks
		 * again, and says until when
		 */
		if (ws->parked == FS_PARK_RATE ? (part & FS_LIMIT_RATE) != 0 :
			ws->parked == FS_PARK_RESOURCE && (part & FsResourceBit(ws->why.resource)) != 0)
			fs_sched_unpark(limits->workspace);
		fs_admit_changed(limits->workspace, now);
	}
}

void
fs_limits_sweep(int32 db)
{
	for (int i = 0; i < fs->limits.capacity; i++)
		if (fs_limits[i].db == db)
			limits_free(i);
	fs_dbs[db].limits_due = 0;
}

int64
fs_limits_committed(FsLimits *limits, FsResource r, TimestampTz now)
{
	const FsWorkspace *ws = limits->workspace == FS_NONE ? NULL : &fs_workspaces[limits->workspace];

	if (r == FS_RES_STORAGE)
		return limits->level - limits->level_pending;
	if (FsResourceBit(r) & FS_CONSUMED_MASK)
		return fs_limits_used(limits, r, now) - limits->pending[r - FS_RES_TOKENS];
	return ws ? ws->held[r] - ws->open[r] : 0;
}

void
fs_limits_throttled(int32 l, FsResource r, TimestampTz until)
{
	FsLimits   *limits = &fs_limits[l];

	limits->throttle_until[r] = Max(limits->throttle_until[r], until);
	limits->throttled_until = Max(limits->throttled_until, until);
	limits->throttled_by = r;
	throttle_asks(limits, GetCurrentTimestamp());
}

/* fs_limits_crossing_changed: the scheduler looks whether its row is what it should be (admission_notes.c). */
void
fs_limits_crossing_changed(int32 l, FsResource r)
{
	FsLimits   *limits = &fs_limits[l];

	limits->crossing_rows |= FsResourceBit(r);
	limits->crossing_dirty |= FsResourceBit(r);
	limits->breached = true;
	fs_admit_dirty(&fs_dbs[limits->db]);
}

void
fs_limits_crossed(int32 l, FsResource r, TimestampTz now)
{
	fs_limits[l].crossed_at[r] = now;
	fs_limits_crossing_changed(l, r);
}

/* fs_limits_breach: to be written by the scheduler (admission_task.c). */
FsBreach *
fs_limits_breach(int32 l, FsResource r, FsBreachKind kind, int64 actual, int64 job_id, const char *run_id,
				 TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];
	FsBreach   *b = &limits->breach[r][kind];

	b->actual = b->count > 0 ? Max(b->actual, actual) : actual;
	b->quota = limits->set.quota[r].quota;
	b->job_id = job_id;
	b->queued = false;
	b->last = now;
	b->count = Min(b->count, PG_INT32_MAX - 1) + 1;
	b->open = true;
	limits->breached = true;
	if (run_id)
	{
		strlcpy(limits->run_id, run_id, sizeof(limits->run_id));
		limits->run_resource = r;
		limits->run_kind = kind;
	}
	else if (limits->run_resource == r && limits->run_kind == kind)
		limits->run_id[0] = '\0';
	fs_admit_dirty(&fs_dbs[limits->db]);
	return b;
}
