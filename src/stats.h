/*
 * stats.h
 *		What claims and workers did, counted by lane.
 *
 * Two kinds of counters.  Those of what a transaction makes true are plain and
 * change under fs->lock, which is held where they change anyway.  Those of what
 * happened whatever becomes of the transaction (a call, a refused token) are
 * atomic and need no lock.  None is ever read to decide anything.
 */
#ifndef FS_STATS_H
#define FS_STATS_H

#include "histogram.h"
#include "shmem.h"

/* How a lease ended; bits in the order of FsLaneStats.ended. */
#define FS_ENDED_COMPLETED	(1 << 0)
#define FS_ENDED_FAILED		(1 << 1)	/* its worker said so */
#define FS_ENDED_DISCARDED	(1 << 2)	/* besides another: it was the last
										 * attempt */
#define FS_ENDED_RELEASED	(1 << 3)	/* given back: release, unregister */
#define FS_ENDED_PREEMPTED	(1 << 4)	/* yielded or revoked */
#define FS_ENDED_EXPIRED	(1 << 5)	/* the lease or max_runtime ran out */
#define FS_ENDED_CANCELLED	(1 << 6)
#define FS_ENDED_KINDS		7

/* What refuses a job when its turn has come; FsRefusalNames in stats_view.c has the words. */
typedef enum FsRefusalCount
{
	FS_REFUSED_CEILING,
	FS_REFUSED_SHARE,
	FS_REFUSED_RATE,
	FS_REFUSED_BUDGET,
	FS_REFUSED_THROTTLE,
	FS_REFUSED_RESOURCE,		/* one for each FsResource */
	FS_REFUSED_CAPACITY = FS_REFUSED_RESOURCE + FS_RESOURCES,	/* one for each of the
																 * fleet */
	FS_REFUSED_COUNT = FS_REFUSED_CAPACITY + FS_FLEET
} FsRefusalCount;

typedef struct FsLaneStats
{
	/* atomic, no lock */
	pg_atomic_uint64 claims;	/* calls that asked for the lane */
	pg_atomic_uint64 empties;	/* of these, that returned nothing */
	pg_atomic_uint64 latency_usec;	/* all of them together */
	pg_atomic_uint64 latency[HISTOGRAM_BUCKETS];
	pg_atomic_uint64 stale;		/* tokens that were not, or no longer, good */

	/* fs->lock */
	int64		jobs;			/* handed out, by claims that were committed */
	int64		undone;			/* by claims that were rolled back */
	int64		retaken;		/* leases that had run out, taken again by
								 * their worker */
	int64		waits;			/* of claims and fairsched_wait */
	int64		wakes;
	int64		ended[FS_ENDED_KINDS];
	int64		refused[FS_REFUSED_COUNT];

	/*
	 * never reset, since rates are taken from their growth; shown less what
	 * they were at the reset
	 */
	int64		arrivals;		/* jobs that became ready */
	int64		ends;			/* leases that ended */
	int64		busy_usec;		/* that these leases were held */
	int64		arrivals_before;
	int64		busy_before;
} FsLaneStats;

/* By lane; behind those, by database: what belongs to no lane that memory knows. */
extern FsLaneStats *fs_lane_stats;

#define FsStatsSlots()	(fs_max_rings + fs_max_databases)
#define FsStatsOfLane(lane)	(&fs_lane_stats[lane])
#define FsStatsOfNoLane(db)	(&fs_lane_stats[fs_max_rings + (db)])

/* Waits for fs->lock: by any process of the cluster. */
typedef struct FsLockStats
{
	pg_atomic_uint64 waits;
	pg_atomic_uint64 usec;
	pg_atomic_uint64 since;		/* a TimestampTz: the start of the server, or
								 * the last reset */
} FsLockStats;

extern FsLockStats *fs_lock_stats;

/* Once, when shared memory is laid out. */
extern void fs_stats_init(void);

/* fs->lock held exclusively; these do not raise. */
extern void fs_stats_lane_made(int32 lane);
extern void fs_stats_reset(int32 db, TimestampTz now);
extern void fs_stats_reset_lock(TimestampTz now);
extern void fs_stats_ended(int32 lane, int how, int64 busy_usec);
extern void fs_stats_refused(int32 lane, const FsRefusal *why);
extern void fs_stats_parked(int32 lane, FsPark why);
extern void fs_stats_asked(int32 worker, const int32 *lanes, int nlanes, TimestampTz now);
extern bool fs_stats_serves(const FsWorker *worker, int32 lane);

/* Without the lock: a call asked for these lanes and got so many jobs. */
extern void fs_stats_claim(int32 db, const int32 *lanes, int nlanes, int got, int64 usec);

/* Takes the lock, shared: a worker came with a token that was not good. flow_id: of the row, 0: it is gone. */
extern void fs_stats_stale(int32 db, int64 job_id, int64 token, int32 flow_id);

/* The lane of a flow by its number, FS_NONE: not known. fs->lock held, any mode. */
extern int32 fs_stats_lane_of(int32 db, int32 flow_id);

#endif							/* FS_STATS_H */
