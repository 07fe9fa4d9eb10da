/*
 * ws_limits.h
 *		What is set for a workspace (quotas, rate limit, throttle), and how much of
 *		it is used: entries of a pool of their own, by name.
 *
 * An entry is there as long as something is set, or a violation is to be written
 * or closed, whether or not the workspace has jobs.  fs->lock held exclusively unless said otherwise; what is under
 * "Transactions" takes the lock itself and may raise.
 */
#ifndef FS_WS_LIMITS_H
#define FS_WS_LIMITS_H

#include "state.h"

#include "quota.h"

/* Parts of an entry's settings that are set one by one. */
#define FS_LIMIT_RATE (1u << FS_RESOURCES)
#define FS_LIMIT_THROTTLE (1u << (FS_RESOURCES + 1))

typedef struct FsLimitSettings
{
	uint32		has;			/* bits of resources, FS_LIMIT_RATE,
								 * FS_LIMIT_THROTTLE */
	FsQuota		quota[FS_RESOURCES];
	int32		max_claims;
	int64		period;			/* usec */
	int64		jitter;			/* usec */
	bool		throttle;		/* enabled */
	double		threshold;
	int64		throttle_usec;
	uint32		throttle_mask;	/* bits of resources */
	uint32		preempt;		/* bits of classes that a throttle asks to
								 * yield */
	TimestampTz quota_since[FS_RESOURCES];	/* when the quota was made: which
											 * one it is */
	TimestampTz off_at;			/* when the throttle was switched off last; 0:
								 * never */
} FsLimitSettings;

/* Causes of a violation; one open row for each of these and each resource. */
typedef enum FsBreachKind
{
	FS_BREACH_REJECT,			/* an amount, or the jobs of a flow, were
								 * refused */
	FS_BREACH_PAUSE,			/* all jobs of the workspace were */
	FS_BREACH_ALERT,			/* nothing was, but much is used */
	FS_BREACH_BURST,			/* let through above the quota */
	FS_BREACH_THROTTLE,
	FS_BREACH_KINDS
} FsBreachKind;

typedef struct FsBreach
{
	int64		actual;			/* of the last occurrence */
	int64		quota;
	int64		job_id;			/* 0: not known; with `queued`: the position
								 * of the job that a claim refused */
	TimestampTz last;
	int32		count;			/* occurrences that are not written yet */
	int32		flow_id;		/* queued: where it stands, so that it can be
								 * read which it is */
	int32		job_table;
	int16		rank_slot;
	bool		queued;
	bool		open;			/* a row of it may be open */
} FsBreach;

/* What a row of fairsched.quota_crossings says of a resource. */
typedef enum FsCrossingState
{
	FS_CROSSING_NONE,			/* there is no row */
	FS_CROSSING_CROSSED,		/* not armed */
	FS_CROSSING_ABOVE,			/* armed, though at the threshold */
	FS_CROSSING_BELOW
} FsCrossingState;

typedef struct FsCrossing
{
	char		workspace[FS_NAME_LEN + 1];
	FsResource	resource;
	FsCrossingState state;
	TimestampTz seen_at;		/* when it was so */
	TimestampTz crossed_at;		/* 0: not known */
	TimestampTz until;			/* 0: no throttle */
	TimestampTz quota_since;
	TimestampTz off_at;			/* 0: never */
} FsCrossing;

/* Use was at the threshold, or above. */
static inline bool
fs_crossing_at(const FsCrossing *crossing)
{
	return crossing->state == FS_CROSSING_CROSSED || crossing->state == FS_CROSSING_ABOVE;
}

/* What claims touch comes first, side by side. */
typedef struct FsLimits
{
	int32		next;			/* hash chain, or free list */
	int32		db;
	int32		workspace;		/* FS_NONE: it has no jobs */
	int32		refs;			/* open ledger items that point here */
	uint32		armed;			/* resources that were below the threshold
								 * since they throttled */
	uint32		rate_gen;		/* grows when `rate` begins anew; never 0 */
	TimestampTz throttled_until;	/* the latest of throttle_until */
	int64		rate_unsaved;	/* counted in this epoch */
	int64		rate_booked;	/* claims that bookings of this epoch cover
								 * and nobody made yet */
	FsLimitSettings set;
	int64		threshold_at[FS_RESOURCES]; /* by that: at and above this the
											 * threshold is crossed */
	bool		rate_dirty;		/* `rate` changed since it was saved */

	/* usage, in part: claims look at the totals of the windows only */
	int64		pending[2];		/* by open transactions */
	int64		level;			/* storage */
	int64		level_pending;
	int32		level_items;	/* open ledger items that change it */

	FsWindow	rate;			/* of the rate limit */
	FsWindow	used[2];		/* tokens, cost: of a day; what open
								 * transactions add is in it */
	FsBurst		burst[2];		/* cpu, memory */

	int64		rate_epoch;		/* grows with every save (rate_book.c) */
	int64		rate_owed;		/* within fs_rate_book */
	char		name[FS_NAME_LEN + 1];
	FsResource	throttled_by;	/* what crossed its threshold last */
	TimestampTz throttle_until[FS_RESOURCES];	/* by which resource; 0: not */
	TimestampTz crossed_at[FS_RESOURCES];	/* of those not armed; 0: not
											 * known */
	uint32		crossing_rows;	/* resources whose row in quota_crossings says
								 * that they are at the threshold */
	uint32		crossing_dirty; /* whose row is to be looked at */
	FsBreach	breach[FS_RESOURCES][FS_BREACH_KINDS];
	bool		breached;		/* some breach is open or not written, or
								 * crossing_dirty */
	char		run_id[FS_NAME_LEN + 1];	/* of the last breach that named a
											 * run */
	FsResource	run_resource;	/* that breach */
	FsBreachKind run_kind;
} FsLimits;

extern const char *const FsResourceNames[FS_RESOURCES];
extern int	fs_resource_by_name(const char *name);	/* -1: there is none of
													 * this name */

extern int32 fs_limits_find(int32 db, const char *workspace);	/* shared is enough */
extern int32 fs_limits_get(int32 db, const char *workspace);	/* made when new;
																 * FS_NONE: full */
extern void fs_limits_release(int32 limits);	/* freed when nothing is set
												 * or points to it */
extern void fs_limits_apply(int32 limits, uint32 part, const FsLimitSettings *set, TimestampTz now);
extern void fs_limits_sweep(int32 db);

/* How much of it counts for the threshold: what is committed; of held resources what jobs hold. */
extern int64 fs_limits_committed(FsLimits *limits, FsResource r, TimestampTz now);

/* Is the crossing of its threshold a throttle, or an alert? */
static inline bool
fs_limits_watched(const FsLimits *limits, FsResource r)
{
	return ((limits->set.throttle_mask | FS_USED_MASK) & FsResourceBit(r)) != 0;
}

extern const char *const FsBreachNames[FS_BREACH_KINDS];
extern const char *const FsCrossingNames[FS_CROSSING_BELOW + 1];

/* A quota was exceeded, or an excess refused; job_id 0, run_id NULL: not known. */
extern FsBreach *fs_limits_breach(int32 limits, FsResource r, FsBreachKind kind, int64 actual, int64 job_id,
								  const char *run_id, TimestampTz now);

/* It is throttled until then for this resource, unless it is for longer. */
extern void fs_limits_throttled(int32 limits, FsResource r, TimestampTz until);

/* It crossed the threshold; its row in quota_crossings is to be looked at. */
extern void fs_limits_crossed(int32 limits, FsResource r, TimestampTz now);
extern void fs_limits_crossing_changed(int32 limits, FsResource r);

/* ---------- transactions: these take the lock themselves and may raise ---------- */

/* All limits of the database from their tables: when memory is built, and when they changed by hand. */
extern void fs_limits_load(FsDatabase *db);

/* Memory is built, and what running jobs hold is known: what of it crossed its threshold? */
extern void fs_limits_loaded(FsDatabase *db);

/* What is used, and violations, from their tables again, which changed by hand; false: somebody records. */
extern bool fs_limits_reread(FsDatabase *db);

/* Until the end of the transaction: no usage that memory does not see (or: that it would not). */
extern void fs_limits_lock_usage(const char *workspace, bool exclusive);

#define FsWindowOf(limits, r) (&(limits)->used[(r) - FS_RES_TOKENS])

/* How much of a resource is used, without what jobs hold; `now` drops what is a day old. */
static inline int64
fs_limits_used(FsLimits *limits, FsResource r, TimestampTz now)
{
	if (FsResourceBit(r) & FS_CONSUMED_MASK)
	{
		window_advance(FsWindowOf(limits, r), now);
		return FsWindowOf(limits, r)->total;
	}
	return r == FS_RES_STORAGE ? limits->level : 0;
}

#endif							/* FS_WS_LIMITS_H */
