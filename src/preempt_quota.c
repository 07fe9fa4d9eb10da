/*
 * preempt_quota.c
 *		A throttle that asks running jobs to make room.
 *
 * A throttle lets running jobs go on, unless its workspace chose otherwise
 * (preempt of fairsched_set_throttle): then jobs of these classes are asked to
 * yield while it lasts, by the same protocol as any (preempt.c), and are resumed
 * when it is over.
 *
 * What is asked for follows from what is so, not from an event: as long as the
 * throttle lasts, every running job of these classes that was not asked is.  So
 * nothing is lost with memory, and one that was just being claimed is met in the
 * next round.
 */
#include "preempt.h"

#include "miscadmin.h"
#include "ws_limits.h"

#define LOOK	1024			/* leases looked at while the lock is held */

typedef struct Victim
{
	int64		job_id;
	int64		token;
	FsResource	resource;		/* whose use crossed the threshold */
	double		utilisation;	/* percent */
	double		threshold;
} Victim;

/* Does the throttle of a workspace ask running jobs now? fs->lock held. */
static bool
asks(const FsLimits *limits, TimestampTz now)
{
	return limits->set.preempt != 0 && limits->throttled_until > now;
}

/* Is any of the database's? fs->lock held. */
static bool
some_ask(FsDatabase *db, TimestampTz now)
{
	for (int l = 0; l < fs->limits.capacity; l++)
		if (fs_limits[l].db == FsDbIndex(db) && asks(&fs_limits[l], now))
			return true;
	return false;
}

static void
victim_of(Victim *v, const FsLease *lease, FsLimits *limits, TimestampTz now)
{
	FsResource	r = limits->throttled_by;
	int64		quota = limits->set.quota[r].quota;
	int64		used = fs_limits_used(limits, r, now) + fs_workspaces[lease->workspace].held[r];

	v->job_id = lease->job_id;
	v->token = lease->token;
	v->resource = r;
	v->utilisation = quota > 0 ? 100.0 * used / quota : -1;
	v->threshold = 100.0 * limits->set.threshold;
}

/* fs_preempt_throttled: ask whom throttles ask. Returns when to look again. */
TimestampTz
fs_preempt_throttled(FsDatabase *db, TimestampTz now)
{
	Victim	   *v = NULL;
	int			n = 0;
	int			room = 0;

	FsLock();
	if (db->throttle_asks)
		db->throttle_asks = some_ask(db, now);
	if (!db->throttle_asks)
	{
		FsUnlock();
		return DT_NOEND;
	}
	FsUnlock();
	for (int from = 0; from < fs->leases.capacity; from += LOOK)
	{
		if (n + LOOK > room)
		{
			room = n + LOOK + room;
			v = v ? repalloc_huge(v, sizeof(Victim) * room)
				: MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Victim) * room);
		}
		FsLock();
		for (int l = from; l < Min(from + LOOK, fs->leases.capacity); l++)
		{
			const FsLease *lease = &fs_leases[l];
			int32		limits;

			if (lease->db != FsDbIndex(db) || lease->state != FS_LEASE_ACTIVE || lease->directive != FS_CONTINUE)
				continue;
			limits = fs_workspaces[lease->workspace].limits;
			if (limits != FS_NONE && asks(&fs_limits[limits], now) &&
				(fs_limits[limits].set.preempt & (1u << FsSlotClass(lease->rank_slot))))
				victim_of(&v[n++], lease, &fs_limits[limits], now);
		}
		FsUnlock();
		CHECK_FOR_INTERRUPTS();
	}
	for (int i = 0; i < n; i++)
	{
		FsPreemptRequest q = {
			.job_id = v[i].job_id,
			.token = v[i].token,
			.reason = "quota_exceeded",
			.resource = FsResourceNames[v[i].resource],
			.utilisation = v[i].utilisation,
			.threshold = v[i].threshold,
			.on_exhausted = fs_on_exhausted,
		};

		(void) fs_preempt_request(db, &q);
		CHECK_FOR_INTERRUPTS();
	}
	if (v)
		pfree(v);
	return now + FsMsToUsec(fs_preemption_interval);
}

/* fs_preempt_throttle_ends: until when the workspace is throttled; 0: it is not. */
TimestampTz
fs_preempt_throttle_ends(FsDatabase *db, const char *workspace, TimestampTz now)
{
	TimestampTz until = 0;
	int32		l;

	FsLockShared();
	l = fs_limits_find(FsDbIndex(db), workspace);
	if (l != FS_NONE && fs_limits[l].throttled_until > now)
		until = fs_limits[l].throttled_until;
	FsUnlock();
	return until;
}
