/*
 * stats.c
 *		What claims and workers did, counted by lane.
 *
 * Counters are for people and programs that watch; nothing depends on them.
 * They start at zero with the server, and with fairsched_reset_stats().
 *
 * Cost: what a commit makes true is added under fs->lock, where the commit is
 * applied; a call of fairsched_claim adds three atomic sums to the lane it
 * asked for, and reads the clock once more than it would have to.  A wait for
 * fs->lock is timed only where the lock was not free at once (fs_lock_wait).
 *
 * A lane's counters live as long as the lane: until the extension is dropped.
 */
#include "stats.h"

#include "port/pg_bitutils.h"
#include "portability/instr_time.h"

#include "flows.h"
#include "lease.h"

/* fs_lock_wait: fs->lock was not free: wait for it, and say how long that took. */
void
fs_lock_wait(LWLockMode mode)
{
	instr_time	start;
	instr_time	waited;

	INSTR_TIME_SET_CURRENT(start);
	LWLockAcquire(fs->lock, mode);
	INSTR_TIME_SET_CURRENT(waited);
	INSTR_TIME_SUBTRACT(waited, start);
	pg_atomic_fetch_add_u64(&fs_lock_stats->waits, 1);
	pg_atomic_fetch_add_u64(&fs_lock_stats->usec, INSTR_TIME_GET_MICROSEC(waited));
}

void
fs_stats_init(void)
{
	for (int i = 0; i < FsStatsSlots(); i++)
	{
		FsLaneStats *s = &fs_lane_stats[i];

		pg_atomic_init_u64(&s->claims, 0);
		pg_atomic_init_u64(&s->empties, 0);
		pg_atomic_init_u64(&s->latency_usec, 0);
		pg_atomic_init_u64(&s->stale, 0);
		for (int b = 0; b < HISTOGRAM_BUCKETS; b++)
			pg_atomic_init_u64(&s->latency[b], 0);
	}
	pg_atomic_init_u64(&fs_lock_stats->waits, 0);
	pg_atomic_init_u64(&fs_lock_stats->usec, 0);
	pg_atomic_init_u64(&fs_lock_stats->since, GetCurrentTimestamp());
}

/* Zero, but for what rates are taken from. */
static void
clear(FsLaneStats *s)
{
	pg_atomic_write_u64(&s->claims, 0);
	pg_atomic_write_u64(&s->empties, 0);
	pg_atomic_write_u64(&s->latency_usec, 0);
	pg_atomic_write_u64(&s->stale, 0);
	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
		pg_atomic_write_u64(&s->latency[i], 0);
	s->jobs = s->undone = s->retaken = s->waits = s->wakes = 0;
	memset(s->ended, 0, sizeof(s->ended));
	memset(s->refused, 0, sizeof(s->refused));
	s->arrivals_before = s->arrivals;
	s->busy_before = s->busy_usec;
}

/* fs_stats_lane_made: its place may have been another lane's. */
void
fs_stats_lane_made(int32 lane)
{
	FsLaneStats *s = FsStatsOfLane(lane);

	s->arrivals = s->ends = s->busy_usec = 0;
	clear(s);
}

/* fs_stats_reset: all counters of the database are zero from now on. */
void
fs_stats_reset(int32 db, TimestampTz now)
{
	for (int32 l = fs_dbs[db].lanes; l != FS_NONE; l = fs_lanes[l].next)
		clear(FsStatsOfLane(l));
	clear(FsStatsOfNoLane(db));
	fs_dbs[db].stats_since = now;
}

/* fs_stats_reset_lock: the server's own, from now on; no lock needed. */
void
fs_stats_reset_lock(TimestampTz now)
{
	pg_atomic_write_u64(&fs_lock_stats->waits, 0);
	pg_atomic_write_u64(&fs_lock_stats->usec, 0);
	pg_atomic_write_u64(&fs_lock_stats->since, now);
}

/* fs_stats_ended: a lease of the lane ended, and that is committed; below 0: the job had none any more. */
void
fs_stats_ended(int32 lane, int how, int64 busy_usec)
{
	FsLaneStats *s = FsStatsOfLane(lane);

	if (busy_usec >= 0)
	{
		s->ends++;
		s->busy_usec += busy_usec;
	}
	for (uint32 bits = how; bits != 0; bits &= bits - 1)
		s->ended[pg_rightmost_one_pos32(bits)]++;
}

/* fs_stats_parked: a gate of the pick said no. */
void
fs_stats_parked(int32 lane, FsPark why)
{
	FsStatsOfLane(lane)->refused[why == FS_PARK_CEILING ? FS_REFUSED_CEILING : FS_REFUSED_SHARE]++;
}

/* fs_stats_refused: a gate of admission said no. */
void
fs_stats_refused(int32 lane, const FsRefusal *why)
{
	int64	   *refused = FsStatsOfLane(lane)->refused;

	switch (why->park)
	{
		case FS_PARK_RATE:
			refused[FS_REFUSED_RATE]++;
			break;
		case FS_PARK_RESOURCE:
			refused[FS_REFUSED_RESOURCE + why->resource]++;
			break;
		case FS_PARK_BUDGET:
			refused[FS_REFUSED_BUDGET]++;
			break;
		case FS_PARK_THROTTLE:
			refused[FS_REFUSED_THROTTLE]++;
			break;
		case FS_PARK_CAPACITY:
			refused[FS_REFUSED_CAPACITY + why->resource]++;
			break;
		default:
			break;
	}
}

/* fs_stats_asked: a worker asks for these lanes; of more than are remembered, the first ones. */
void
fs_stats_asked(int32 w, const int32 *lanes, int nlanes, TimestampTz now)
{
	FsWorker   *worker = &fs_workers[w];

	for (int i = 0; i < Min(nlanes, FS_WORKER_LANES); i++)
	{
		int			at = 0;

		for (int j = 0; j < FS_WORKER_LANES; j++)
		{
			if (worker->asked[j] != 0 && worker->lanes[j] == lanes[i])
			{
				at = j;
				break;
			}
			if (worker->asked[j] < worker->asked[at])
				at = j;			/* unused, or asked for longest ago */
		}
		worker->lanes[at] = lanes[i];
		worker->asked[at] = now;
	}
}

/* fs_stats_serves: was the lane among those that the worker asked for when it asked last? Any lock mode. */
bool
fs_stats_serves(const FsWorker *worker, int32 lane)
{
	TimestampTz last = 0;
	TimestampTz asked = 0;

	for (int j = 0; j < FS_WORKER_LANES; j++)
	{
		last = Max(last, worker->asked[j]);
		if (worker->asked[j] != 0 && worker->lanes[j] == lane)
			asked = worker->asked[j];
	}
	return asked != 0 && asked + FsMsToUsec(fs_worker_timeout) > last;
}

void
fs_stats_claim(int32 db, const int32 *lanes, int nlanes, int got, int64 usec)
{
	int			bucket = histogram_bucket(usec);

	for (int i = 0; i < Max(nlanes, 1); i++)
	{
		FsLaneStats *s = nlanes == 0 ? FsStatsOfNoLane(db) : FsStatsOfLane(lanes[i]);

		pg_atomic_fetch_add_u64(&s->claims, 1);
		if (got == 0)
			pg_atomic_fetch_add_u64(&s->empties, 1);
		pg_atomic_fetch_add_u64(&s->latency_usec, Max(usec, 0));
		pg_atomic_fetch_add_u64(&s->latency[bucket], 1);
	}
}

int32
fs_stats_lane_of(int32 db, int32 flow_id)
{
	int32		f = flow_id == 0 ? FS_NONE : fs_sched_flow_by_id(db, flow_id);

	return f == FS_NONE ? FS_NONE : fs_shares[FsShareOfFlow(f)].lane;
}

/* Without a row: by the lease that somebody else has, or one that is left to tell its worker that it is over. */
void
fs_stats_stale(int32 db, int64 job_id, int64 token, int32 flow_id)
{
	int32		lane;
	FsLaneStats *s;

	FsLockShared();
	lane = fs_stats_lane_of(db, flow_id);
	if (lane == FS_NONE)
	{
		int32		l = fs_lease_find(db, job_id);

		if (l == FS_NONE)
			l = fs_lease_find_gone(db, job_id, token);
		if (l != FS_NONE && fs_shares[fs_leases[l].share].workspace == fs_leases[l].workspace)
			lane = fs_shares[fs_leases[l].share].lane;
	}
	s = lane == FS_NONE ? FsStatsOfNoLane(db) : FsStatsOfLane(lane);
	FsUnlock();
	pg_atomic_fetch_add_u64(&s->stale, 1);
}
