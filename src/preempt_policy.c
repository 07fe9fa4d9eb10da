/*
 * preempt_policy.c
 *		An evaluation: which running jobs make room for which waiting ones.
 *
 * It looks at flows that wait for a resource of the fleet, at the use of that
 * resource, and at the rules of fairsched.preemption_policies; one rule acts.
 * Then it asks as many jobs as it takes to make the room that the most urgent of
 * the flows needs, and keeps that room for it (capacity.c).  What was asked and
 * did not answer yet counts as room that is coming, so evaluating twice asks
 * nobody twice over.
 */
#include "preempt_policy.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "capacity.h"

#define AGAIN_AFTER		(100 * INT64CONST(1000))	/* usec, where somebody
													 * else evaluates */

/* What all candidates hold, and those who were asked. */
static int64
held_by_all(const FsPreemptCandidates *cs)
{
	int64		sum = cs->coming;

	for (int i = 0; i < cs->n; i++)
		sum += cs->v[i].amount;
	return sum;
}

/*
 * For whom a rule can make room, by asking whom: the first of the most urgent
 * class for which there is enough. One who needs more than all of them hold is
 * passed over for the next who does not. *ripe_at: when there may be more.
 */
static FsFleetWaiter
find_whom_to_help(FsDatabase *db, const FsPreemptRule *p, FsPreemptCandidates **candidates, TimestampTz now,
				  TimestampTz *ripe_at)
{
	uint32		classes = p->waiting;
	FsFleetWaiter w;

	*ripe_at = DT_NOEND;
	for (;;)
	{
		FsPreemptCandidates *cs;
		int			cls;

		w = fs_preempt_find_waiter(db, p->resource, classes, PG_INT64_MAX, now);
		cls = w.cls;
		if (w.flow == FS_NONE)
			return w;
		/* strictly lower classes than its own */
		*candidates = cs = fs_preempt_collect(db, p->resource, p->preempts & ~((2u << cls) - 1), now);
		if (victim_enough(cs->v, cs->n, w.needs.amount[p->resource] - w.free - cs->coming))
			return w;
		*ripe_at = Min(*ripe_at, cs->ripe_at);
		w = fs_preempt_find_waiter(db, p->resource, 1u << cls, w.free + held_by_all(cs), now);
		if (w.flow != FS_NONE &&
			victim_enough(cs->v, cs->n, w.needs.amount[p->resource] - w.free - cs->coming))
			return w;
		classes &= ~((2u << cls) - 1);
	}
}

/* Let one rule act; returns how many jobs were asked, -1 when it does not apply. */
static int
apply(FsDatabase *db, const FsPreemptRule *p, const char *reason, TimestampTz now)
{
	FsPreemptRequest q = {
		.reason = reason,
		.resource = FsResourceNames[p->resource],
		.threshold = p->threshold,
		.on_exhausted = p->on_exhausted,
	};
	TimestampTz ripe_at;
	FsFleetWaiter w;
	FsPreemptCandidates *cs = NULL;
	int64		lacking;
	bool		kept = false;
	int			asked = 0;

	FsLockShared();
	q.utilisation = fs_capacity_percent(db, p->resource);
	FsUnlock();
	if (q.utilisation < p->threshold)
		return -1;
	w = find_whom_to_help(db, p, &cs, now, &ripe_at);
	if (w.flow == FS_NONE)
	{
		/*
		 * it would be for nothing; perhaps not when others have run long
		 * enough
		 */
		if (ripe_at != DT_NOEND)
		{
			FsLock();
			db->pressed |= strcmp(reason, "high_priority_job") == 0;
			fs_preempt_wake(db, ripe_at);
			FsUnlock();
		}
		return -1;
	}
	lacking = w.needs.amount[p->resource] - w.free - cs->coming;
	if (lacking > 0)
	{
		FsLock();
		if (fs_flows[w.flow].member != FS_NONE && fs_flows[w.flow].id == w.id)
			kept = fs_capacity_keep(db, w.flow, w.cls, &w.needs,
									now + FsMsToUsec(fs_preemption_grace) + FsMsToUsec(fs_preemption_hold));
		FsUnlock();

		/*
		 * what is not kept others would take: it waits until a room is given
		 * up
		 */
		if (!kept)
			return 0;
	}
	while (lacking > 0 && asked < p->max_jobs)
	{
		int			i = victim_next(cs->v, cs->n, cs->owners, p->order);
		FsPreemptResult result;

		if (i < 0)
			break;
		q.job_id = cs->v[i].job_id;
		q.token = cs->c[i].token;
		victim_choose(&cs->v[i], cs->owners);
		result = fs_preempt_request(db, &q);
		if (result == FS_PREEMPT_ASKED || result == FS_PREEMPT_DISCARDED)
		{
			lacking -= cs->v[i].amount;
			asked++;
		}
		CHECK_FOR_INTERRUPTS();
	}
	return asked;
}

/* fs_preempt_evaluate: one rule acts, the one of the highest threshold that applies. */
int
fs_preempt_evaluate(FsDatabase *db, bool wait)
{
	TimestampTz now = GetCurrentTimestamp();
	MemoryContext work;
	MemoryContext old;
	const char *reason = "resource_constraint";
	FsPreemptRule *policies;
	int			n;
	int			asked = 0;

	fs_preempt_look_at_rooms(db);
	FsLock();
	fs_capacity_forget_rooms(db, now);
	n = db->room_rings != FS_NONE && !db->drained;	/* nobody could claim what
													 * is freed */
	FsUnlock();
	if (n == 0)
		return 0;
	/* what another evaluation asks for counts only from its commit on */
	if (!fs_preempt_lock(FS_LOCK_EVALUATE, 0, wait))
	{
		FsLock();
		fs_preempt_wake(db, now + AGAIN_AFTER);
		FsUnlock();
		return 0;
	}
	FsLock();
	if (db->pressed)
		reason = "high_priority_job";
	db->pressed = false;
	FsUnlock();
	work = AllocSetContextCreate(CurrentMemoryContext, "fairsched preemption", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(work);
	policies = fs_preempt_rules(&n);
	for (int i = 0; i < n; i++)
	{
		asked = apply(db, &policies[i], reason, now);
		if (asked >= 0)
			break;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
	return Max(asked, 0);
}
