/*
 * preempt_waiting.c
 *		Who waits for the fleet, as it is and not as memory remembers it.
 */
#include "preempt_policy.h"

#include "miscadmin.h"
#include "admit.h"
#include "capacity.h"
#include "candidates.h"
#include "flows.h"
#include "hints.h"
#include "ring.h"
#include "roomwait.h"

/*
 * What memory knows of the queue of a parked flow is as old as its last claim: its
 * head may have been cancelled.  Read the index again, slot by slot, until
 * there is a job; a flow without one waits for nothing.
 */
static void
look_again(FsDatabase *db, int32 flow, int32 flow_id)
{
	FsFlow	   *f = &fs_flows[flow];

	for (int slot = 0; slot < FS_RANKS; slot++)
	{
		bool		look = false;
		bool		gone;

		FsLock();
		gone = f->member == FS_NONE || f->id != flow_id || f->why.park != FS_PARK_CAPACITY || f->filling;
		if (!gone && fs_sched_flow_head(f, slot) != PG_INT64_MAX)
		{
			look = true;
			fs_sched_ready_many(flow, slot, fs_sched_flow_head(f, slot));
			fs_sched_fill_begin(flow, slot);
		}
		FsUnlock();
		if (gone)
			return;
		if (!look)
			continue;
		fs_candidates_fill(db, flow, slot, NULL, 0);
		FsLockShared();
		gone = fs_sched_flow_candidate(f, slot) >= 0;
		FsUnlock();
		if (gone)
			return;
	}
	FsLock();
	if (f->member != FS_NONE && f->id == flow_id && f->why.park == FS_PARK_CAPACITY &&
		fs_sched_flow_slot(f) < 0)
		fs_admit_lift(flow);
	FsUnlock();
}

/*
 * fs_preempt_find_waiter: the first flow of the most urgent of these classes that
 * lacks this resource and needs at most so much.
 * Memory may be wrong about a flow, so the one that is found is looked at, and
 * the next one if nothing waits there: nobody is asked for a job that is gone,
 * however many waited.  Each round either ends it or takes one flow off the list.
 */
FsFleetWaiter
fs_preempt_find_waiter(FsDatabase *db, FsResource r, uint32 classes, int64 most, TimestampTz now)
{
	FsFleetWaiter w = {.flow = FS_NONE};
	int32		looked_at = FS_NONE;
	int32		id = 0;

	for (;;)
	{
		FsLock();
		w.flow = fs_room_first(db, r, classes, most, now, &w.cls);
		if (w.flow != FS_NONE && fs_workspaces[FsWorkspaceOfFlow(w.flow)].parked != FS_PARK_NONE)
		{
			/* held up by something else: it does not wait for the fleet */
			fs_admit_lift(w.flow);
			FsUnlock();
			continue;
		}
		/* an overflow flow is another with each head: claims see to it */
		if (w.flow == FS_NONE || fs_flows[w.flow].id < 0 ||
			(w.flow == looked_at && fs_flows[w.flow].id == id))
			break;
		looked_at = w.flow;
		id = fs_flows[w.flow].id;
		FsUnlock();
		look_again(db, looked_at, id);
		CHECK_FOR_INTERRUPTS();
	}
	if (w.flow != FS_NONE)
	{
		w.id = fs_flows[w.flow].id;
		w.needs = fs_flows[w.flow].needs;
		w.free = fs_capacity_left(db, r, w.flow, w.cls, now);
	}
	FsUnlock();
	return w;
}

/* fs_preempt_look_at_rooms: room is kept for jobs that may have been cancelled. */
void
fs_preempt_look_at_rooms(FsDatabase *db)
{
	int32		flows[FS_ROOMS];
	int32		ids[FS_ROOMS];
	int			n = 0;

	FsLockShared();
	for (int i = 0; i < db->nrooms; i++)
	{
		flows[n] = fs_capacity_room_owner(db, i);
		if (flows[n] != FS_NONE && fs_flows[flows[n]].id >= 0)
		{
			ids[n] = fs_flows[flows[n]].id;
			n++;
		}
	}
	FsUnlock();
	for (int i = 0; i < n; i++)
		look_again(db, flows[i], ids[i]);
}
