/*
 * quota.h
 *		Quotas of resources: what fits, what is a burst, how bad an excess is.
 *
 * Pure arithmetic: no locks, no PostgreSQL.  Amounts are fixed point, FS_UNIT
 * to one; times are microseconds.
 */
#ifndef FS_QUOTA_H
#define FS_QUOTA_H

#include "window.h"

#define FS_UNIT INT64_C(1000000)	/* of an amount: a millionth is the
									 * smallest */
#define FS_NEED_MAX (INT64_C(1000000000) * FS_UNIT) /* of one job */
#define FS_QUOTA_MAX (INT64_C(1000000000000) * FS_UNIT)
#define FS_AMOUNT_MAX INT64_C(4000000000000000000)	/* all jobs together: sums
													 * never overflow */
#define FS_BURST_WITHIN (INT64_C(3600) * 1000000)	/* burst time is counted
													 * over an hour */

/* The seven resources, in the order the gates look at them. */
typedef enum FsResource
{
	FS_RES_CPU,					/* held: cores */
	FS_RES_MEMORY,				/* held: GB */
	FS_RES_GPU,					/* held: count */
	FS_RES_RUNS,				/* held: jobs */
	FS_RES_STORAGE,				/* a level: GB */
	FS_RES_TOKENS,				/* consumed in a rolling day */
	FS_RES_COST,				/* consumed in a rolling day: USD */
	FS_RESOURCES
} FsResource;

#define FsResourceBit(r) (1u << (r))
#define FS_HELD_MASK (FsResourceBit(FS_RES_CPU) | FsResourceBit(FS_RES_MEMORY) | \
					  FsResourceBit(FS_RES_GPU) | FsResourceBit(FS_RES_RUNS))
#define FS_CONSUMED_MASK (FsResourceBit(FS_RES_TOKENS) | FsResourceBit(FS_RES_COST))
#define FS_USED_MASK (FS_CONSUMED_MASK | FsResourceBit(FS_RES_STORAGE)) /* what is recorded */
#define FS_BURST_MASK (FsResourceBit(FS_RES_CPU) | FsResourceBit(FS_RES_MEMORY))

/* What a job holds while it runs; amounts of resources that are not in the mask are 0. */
typedef struct FsNeeds
{
	int64_t		amount[FS_RESOURCES];
	uint32_t	mask;
} FsNeeds;

typedef struct FsQuota
{
	int64_t		quota;
	int64_t		burst;			/* above it, for a while: cpu and memory */
	int64_t		burst_usec;		/* for so long within an hour */
} FsQuota;

/* How long a level was above its quota lately. */
typedef struct FsBurst
{
	int64_t		over_since;		/* counted up to here; 0: not above */
	FsWindow	spent;			/* usec above, over an hour */
	int64_t		below_since;	/* since when it is not above; 0: since ever */
	bool		exhausted;		/* until it was below for burst_usec */
} FsBurst;

typedef enum FsFit
{
	FS_FITS,
	FS_FITS_BURST,				/* above the quota, within the burst */
	FS_FITS_NOT
} FsFit;

/* So many jobs that need the same may be judged at once. */
#define QUOTA_RUN_BITS 5
#define QUOTA_RUN (1 << QUOTA_RUN_BITS)

/* quota_fits_run: does QUOTA_RUN times `need` (not negative) fit below the limit, on top of the level? */
static inline bool
quota_fits_run(int64_t level, int64_t need, int64_t limit)
{
	return level <= limit && need <= (limit - level) >> QUOTA_RUN_BITS;
}

extern FsFit quota_fit(const FsQuota *q, int64_t used, int64_t need, bool may_burst);
extern void burst_was(FsBurst *b, const FsQuota *q, int64_t from, int64_t to, int64_t now);
extern void burst_changed(FsBurst *b, const FsQuota *q, int64_t level, int64_t now);
extern bool burst_may(FsBurst *b, const FsQuota *q, int64_t now);
extern int64_t burst_lifts_at(const FsBurst *b, const FsQuota *q);
extern int64_t quota_threshold_at(int64_t quota, double threshold);
extern int	quota_severity(int64_t quota, int64_t actual);

/* burst_level: the level is this from now on. Most of the time it was not above before either: nothing to count. */
static inline void
burst_level(FsBurst *b, const FsQuota *q, int64_t level, int64_t now)
{
	if (level > q->quota || b->over_since != 0)
		burst_changed(b, q, level, now);
}

#endif							/* FS_QUOTA_H */
