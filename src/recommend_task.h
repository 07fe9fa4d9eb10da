/*
 * recommend_task.h
 *		The capacity signal: how many workers each lane should have.
 */
#ifndef FS_RECOMMEND_TASK_H
#define FS_RECOMMEND_TASK_H

#include "recommend.h"
#include "shmem.h"

/* Of a lane, by its index; fs->lock. */
typedef struct FsSignal
{
	/* settings: fairsched.capacity_settings, fairsched.capacity_pins */
	RecommendLimits limits;		/* without the cool-down, which is a setting
								 * of the server */
	int64		target;			/* usec; 0: fairsched.dwell_target */

	/* rates: sums that decay (recommend_task.c) */
	TimestampTz at;				/* of the last evaluation; 0: none yet */
	int64		arrivals;		/* of FsLaneStats, then */
	int64		ends;
	int64		busy_usec;		/* with that of the leases that were held then */
	double		arrived;		/* jobs */
	double		ended;			/* leases */
	double		busy;			/* seconds that leases were held */
	double		service;		/* mean seconds of a lease, when it was known
								 * last; 0: never */

	/* what the last evaluation found */
	RecommendInput input;
	RecommendState state;
	int32		running;		/* leases */
	int64		ready;			/* jobs that nothing holds up; -1: not counted */
	int64		refused;		/* jobs that something does, */
	FsPark		refused_by;		/* most of them this */
} FsSignal;

extern FsSignal *fs_signals;

/* fs->lock held exclusively; these do not raise. */
extern void fs_recommend_lane_made(int32 lane);

/* Jobs became ready: evaluate again, if that had come to rest. */
extern void fs_recommend_wake(FsDatabase *db, TimestampTz now);

/* Settings from their tables. May raise. */
extern void fs_recommend_load(FsDatabase *db);

/* The task: evaluates all lanes; returns when it wants to run next. May raise. */
extern TimestampTz fs_recommend_task(FsDatabase *db);

/* What was decided for a lane. */
typedef struct FsRecommended
{
	int32		lane;
	char		name[FS_NAME_LEN + 1];
	Recommendation result;
	FsSignal	signal;			/* as it is now */
	double		arrival_rate;	/* jobs a second */
	int64		target;			/* usec */
} FsRecommended;

/* Decide for every lane now; returns an array, palloc'd, and how many there are. May raise. */
extern FsRecommended *fs_recommend_evaluate(FsDatabase *db, int *n);

#endif							/* FS_RECOMMEND_TASK_H */
