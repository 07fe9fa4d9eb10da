/*
 * capacity.c
 *		What the fleet has of cpu, memory and gpu, and who may take it.
 *
 * What is in use is what running jobs hold, open claims included.  A job that
 * needs more than is left is refused: its flow is parked (admit_parked.c) and waits in
 * order (roomwait.c) until something is given back.  Without a capacity there is
 * no such limit.
 *
 * Room that is made by preemption is kept for the flow it is made for: others,
 * unless their class is higher, find so much less left, until that flow claims
 * or the time is over.  Otherwise whoever comes first would take it, perhaps the
 * very work that was stopped.  It is made for a job of a class: when that is gone
 * (cancelled, or less urgent now), what else the flow has is not entitled to it.
 *
 * high_at remembers for every percent when so much was in use last, so that
 * "below for a while" needs no history: it is one comparison.
 */
#include "capacity.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "amount.h"
#include "admit.h"
#include "holders.h"
#include "ws_limits.h"
#include "preempt.h"
#include "ring.h"
#include "roomwait.h"
#include "state.h"

int
fs_capacity_class(int32 flow)
{
	int			slot = fs_sched_flow_slot(&fs_flows[flow]);

	return slot < 0 ? FS_CLASSES : FsSlotClass(slot);
}

double
fs_capacity_percent(const FsDatabase *d, FsResource r)
{
	if (d->capacity[r] < 0)
		return 0;
	if (d->capacity[r] == 0)
		return d->fleet[r] > 0 ? 100 : 0;
	return 100.0 * d->fleet[r] / d->capacity[r];
}

static int
level(const FsDatabase *d, FsResource r)
{
	return (int) Min(floor(fs_capacity_percent(d, r)), 100);
}

/* fs_capacity_below_since: since when less than this is in use; infinity: it is not so. */
TimestampTz
fs_capacity_below_since(const FsDatabase *d, FsResource r, double percent)
{
	int			at = (int) Max(Min(ceil(percent), 100), 0);

	return level(d, r) >= at ? DT_NOEND : d->high_at[r][at];
}

/* fs_capacity_unknown: what was in use before is not known: as if all had been. Memory is being built. */
void
fs_capacity_unknown(FsDatabase *d, TimestampTz now)
{
	for (int r = 0; r < FS_FLEET; r++)
		for (int p = 0; p <= 100; p++)
			d->high_at[r][p] = now;
}

/* fs_capacity_less: of fs_capacity_hold: something is given back. */
void
fs_capacity_less(FsDatabase *d, FsResource r, int64 delta)
{
	int			before;

	d->room_gen++;
	if (d->capacity[r] < 0)
	{
		d->fleet[r] += delta;
		return;
	}
	before = level(d, r);
	d->fleet[r] += delta;
	if (level(d, r) < before)
	{
		TimestampTz now = GetCurrentTimestamp();

		for (int p = level(d, r) + 1; p <= before; p++)
			d->high_at[r][p] = now;
		if (d->resumable)
			fs_preempt_wake(d, now + FsMsToUsec(fs_preemption_resume_after));
	}
}

/* ---------- rooms ---------- */

static bool
room_is_of(const FsRoom *room, int32 flow)
{
	return room->flow == flow && flow != FS_NONE && fs_flows[flow].id == room->flow_id;
}

/* fs_capacity_kept: how much of a resource is kept for others than jobs of this flow and class. */
int64
fs_capacity_kept(const FsDatabase *d, FsResource r, int32 flow, int cls, TimestampTz now)
{
	int64		sum = 0;

	for (int i = 0; i < d->nrooms; i++)
		if (d->rooms[i].until > now &&
			(d->rooms[i].cls < cls || (d->rooms[i].cls == cls && !room_is_of(&d->rooms[i], flow))))
			sum = Min(sum + d->rooms[i].amount[r], FS_AMOUNT_MAX);
	return sum;
}

/* fs_capacity_left: how much of a resource a flow of this class may still take. */
int64
fs_capacity_left(const FsDatabase *d, FsResource r, int32 flow, int cls, TimestampTz now)
{
	if (d->capacity[r] < 0)
		return FS_AMOUNT_MAX - d->fleet[r]; /* so that sums never overflow */
	return d->capacity[r] - d->fleet[r] - fs_capacity_kept(d, r, flow, cls, now);
}

/* fs_capacity_room_owner: who this room is kept for, FS_NONE: nobody any more. */
int32
fs_capacity_room_owner(const FsDatabase *d, int i)
{
	return fs_flows[d->rooms[i].flow].member != FS_NONE && room_is_of(&d->rooms[i], d->rooms[i].flow)
		? d->rooms[i].flow : FS_NONE;
}

/* fs_capacity_keep: room is being made for a flow, which waits with a job of this class; false: too many have some. */
bool
fs_capacity_keep(FsDatabase *d, int32 flow, int cls, const FsNeeds *needs, TimestampTz until)
{
	FsRoom	   *room;

	(void) fs_capacity_claimed(d, flow);
	if (d->nrooms == FS_ROOMS)
		return false;
	room = &d->rooms[d->nrooms++];
	room->flow = flow;
	room->flow_id = fs_flows[flow].id;
	room->cls = cls;
	for (int r = 0; r < FS_FLEET; r++)
		room->amount[r] = needs->amount[r];
	room->until = until;
	fs_preempt_wake(d, until);
	return true;
}

/* fs_capacity_claimed: the flow took a job: its room was used. Until when it was kept, 0: there was none. */
TimestampTz
fs_capacity_claimed(FsDatabase *d, int32 flow)
{
	for (int i = 0; i < d->nrooms; i++)
		if (room_is_of(&d->rooms[i], flow))
		{
			TimestampTz until = d->rooms[i].until;

			d->rooms[i] = d->rooms[--d->nrooms];
			return until;
		}
	return 0;
}

/* fs_capacity_flow_gone: before it is freed: nothing is kept for it. */
void
fs_capacity_flow_gone(FsDatabase *d, int32 flow)
{
	if (d->nrooms == 0 || fs_capacity_claimed(d, flow) == 0)
		return;
	d->room_gen++;
	fs_room_freed(d, GetCurrentTimestamp());
}

/* fs_capacity_forget_rooms: those whose time is over, or that nobody waits for any more, or could not take. */
void
fs_capacity_forget_rooms(FsDatabase *d, TimestampTz now)
{
	bool		freed = false;

	for (int i = d->nrooms - 1; i >= 0; i--)
	{
		FsRoom	   *room = &d->rooms[i];

		if (room->until > now && fs_flows[room->flow].member != FS_NONE && room_is_of(room, room->flow) &&
			fs_capacity_class(room->flow) <= room->cls &&
			fs_holders_ring_served(fs_members[fs_flows[room->flow].member].ring, now))
		{
			fs_preempt_wake(d, room->until);
			continue;
		}
		*room = d->rooms[--d->nrooms];
		freed = true;
	}
	if (freed)
	{
		d->room_gen++;
		fs_room_freed(d, now);
	}
}

/* ---------- the gate ---------- */

/* The first resource of which less is left than needed, given so much more of it; -1: there is none. */
static int
lacking(const FsDatabase *d, int32 flow, int cls, const FsNeeds *needs, const FsNeeds *more, TimestampTz now)
{
	for (int r = 0; r < FS_FLEET; r++)
		if (needs->amount[r] > 0 &&
			needs->amount[r] - (more ? Min(needs->amount[r], more->amount[r]) : 0) >
			Max(fs_capacity_left(d, r, flow, cls, now), 0))
			return r;
	return -1;
}

/*
 * fs_capacity_refuses: is there less left than a job of this flow needs?  Sets
 * *why.  gift: a lease whose share of it the claim takes over where nobody else
 * is due first, or FS_NONE.
 */
bool
fs_capacity_refuses(FsDatabase *d, int32 flow, const FsNeeds *needs, int32 gift, TimestampTz now,
					FsRefusal *why)
{
	int			cls = flow == FS_NONE ? FS_CLASSES : fs_capacity_class(flow);
	int			r = lacking(d, flow, cls, needs, NULL, now);

	if (r < 0)
		return false;
	if (gift != FS_NONE && lacking(d, flow, cls, needs, &fs_leases[gift].held, now) < 0 &&
		!fs_room_others_first(d, flow, gift, now))
		return false;
	memset(why, 0, sizeof(FsRefusal));
	why->on = FS_NONE;
	why->park = FS_PARK_CAPACITY;
	why->resource = r;
	why->value = d->fleet[r] + fs_capacity_kept(d, r, flow, cls, now) + needs->amount[r];
	why->limit = d->capacity[r] < 0 ? FS_AMOUNT_MAX : d->capacity[r];
	return true;
}

/* fs_capacity_plain: is there plainly enough left for QUOTA_RUN jobs that need this, whoever they are? */
bool
fs_capacity_plain(const FsDatabase *d, const FsNeeds *needs)
{
	if (d->nrooms > 0)
		return false;
	for (int r = 0; r < FS_FLEET; r++)
		if (needs->amount[r] > 0 &&
			!quota_fits_run(d->fleet[r], needs->amount[r], d->capacity[r] < 0 ? FS_AMOUNT_MAX : d->capacity[r]))
			return false;
	return true;
}

/* fs_capacity_refused: the flow was parked: policies look at it, at once where it is urgent. */
void
fs_capacity_refused(FsDatabase *d, int32 flow, TimestampTz now)
{
	if (fs_capacity_class(flow) <= 1)
	{
		d->pressed = true;
		fs_preempt_wake(d, now);
	}
	else
		fs_preempt_wake(d, now + FsMsToUsec(fs_preemption_interval));
}

/* ---------- settings ---------- */

void
fs_capacity_load(FsDatabase *d)
{
	int64		capacity[FS_FLEET] = {-1, -1, -1};
	uint64		n;

	fs_spi_begin();
	n = fs_spi("SELECT resource, capacity FROM fairsched.capacities", 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		int			r = fs_resource_by_name(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
		Datum		d1 = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull);

		if (r >= 0 && r < FS_FLEET)
			capacity[r] = fs_amount_numeric(d1, "capacity", FS_QUOTA_MAX, false);
	}
	fs_spi_end();
	FsLock();
	memcpy(d->capacity, capacity, sizeof(capacity));
	for (int r = 0; r < FS_FLEET; r++)
		if (capacity[r] < 0)
			fs_room_lift_all(d, r);
	d->room_gen++;
	fs_room_freed(d, GetCurrentTimestamp());
	FsUnlock();
}
