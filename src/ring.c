/*
 * ring.c
 *		The order of service: ready lists, and members in their rings.
 *
 * A lane has rings, one for each set of required capabilities; a ring is an
 * ordering of members by (round they are due in, place).  A member is the
 * presence of a share (a workspace in a lane) in a ring; deficit and round
 * belong to the share, so that a workspace with jobs in two rings is not
 * served twice.  What a member has ready hangs on one circular list of flows
 * for each rank slot.
 *
 * A node's key may be lower than the truth (its share was served through
 * another ring, or its head's cost was unknown), never higher than it may be
 * served: it is checked when it comes up, and moved back (pick.c).
 *
 * All functions: fs->lock held exclusively; nothing here allocates, waits or
 * raises, so that commit and abort callbacks may call it.
 */
#include "ring.h"

static void
list_link(int32 f, int slot)
{
	FsMember   *m = &fs_members[fs_flows[f].member];
	int32		head = m->heads[slot];

	fs_flows[f].list_slot = slot;
	if (head == FS_NONE)
	{
		m->heads[slot] = fs_flows[f].list_next = fs_flows[f].list_prev = f;
		return;
	}
	fs_flows[f].list_next = head;
	fs_flows[f].list_prev = fs_flows[head].list_prev;
	fs_flows[fs_flows[head].list_prev].list_next = f;
	fs_flows[head].list_prev = f;
}

static void
list_unlink(int32 f)
{
	FsFlow	   *flow = &fs_flows[f];
	FsMember   *m = &fs_members[flow->member];

	if (flow->list_next == f)
		m->heads[flow->list_slot] = FS_NONE;
	else
	{
		if (m->heads[flow->list_slot] == f)
			m->heads[flow->list_slot] = flow->list_next;
		fs_flows[flow->list_next].list_prev = flow->list_prev;
		fs_flows[flow->list_prev].list_next = flow->list_next;
	}
	flow->list_slot = -1;
}

/* A share that waits in a ring for a costly head has received the quanta of the rounds that passed. */
void
fs_sched_share_settle(FsShare *share)
{
	uint64		round = fs_lanes[share->lane].round;

	if (share->active == 0 || share->drr.round + 1 >= round)
		return;
	for (int32 m = share->members; m != FS_NONE; m = fs_members[m].next)
		if (fs_nodes[m].linked && fs_nodes[m].round >= round)
		{
			drr_grant_until(&share->drr, round - 1);
			return;
		}
}

/* Has the share anything ready, parked flows included? */
bool
fs_sched_share_waits(const FsShare *share)
{
	for (int32 m = share->members; m != FS_NONE; m = fs_members[m].next)
		if (fs_members[m].parked > 0 || fs_sched_member_slot(&fs_members[m]) >= 0)
			return true;
	return false;
}

static void
member_leave(int32 m, bool emptied)
{
	FsShare    *share = &fs_shares[fs_members[m].share];
	FsRing	   *ring = &fs_rings[fs_members[m].ring];

	fs_sched_share_settle(share);
	ringheap_remove(fs_nodes, &ring->root, m);
	ring->active--;
	if (--share->active == 0 && emptied && !fs_sched_share_waits(share))
		drr_empty(&share->drr);
}

/* Put a member where its head's cost says; out of the ring when it has nothing to give. */
static void
member_rekey(int32 m)
{
	FsMember   *member = &fs_members[m];
	FsShare    *share = &fs_shares[member->share];
	FsLane	   *lane = &fs_lanes[share->lane];
	FsRing	   *ring = &fs_rings[member->ring];
	RingNode   *node = &fs_nodes[m];
	bool		parked = fs_workspaces[share->workspace].parked != FS_PARK_NONE;
	int			slot = fs_sched_member_slot(member);
	uint64		key;

	if (slot < 0 || parked)
	{
		if (node->linked)
			member_leave(m, !parked);
		else if (slot < 0 && share->active == 0 && !fs_sched_share_waits(share))
			drr_empty(&share->drr); /* emptied while parked: it hoards nothing */
		return;
	}
	if (!node->linked)
	{
		if (share->active == 0)
		{
			drr_join(&share->drr, lane->round);
			drr_resume(&share->drr, lane->round, fs_sched_flow_head_cost(&fs_flows[member->heads[slot]]));
		}
		else
			fs_sched_share_settle(share);
		node->stamp = ++lane->stamps;
		node->round = drr_key(&share->drr, fs_sched_flow_head_cost(&fs_flows[member->heads[slot]]));
		ringheap_insert(fs_nodes, &ring->root, m);
		ring->active++;
		share->active++;
		return;
	}
	fs_sched_share_settle(share);
	key = drr_key(&share->drr, fs_sched_flow_head_cost(&fs_flows[member->heads[slot]]));
	if (key != node->round)
	{
		ringheap_remove(fs_nodes, &ring->root, m);
		node->round = key;
		ringheap_insert(fs_nodes, &ring->root, m);
	}
}

/* After a change of what a flow has ready: its list, its member's place. */
void
fs_sched_flow_relink(int32 f)
{
	FsFlow	   *flow = &fs_flows[f];
	int			slot = fs_sched_flow_slot(flow);
	bool		parked = flow->why.park != FS_PARK_NONE && slot >= 0;

	if (parked != flow->parked_counted)
	{
		fs_members[flow->member].parked += parked ? 1 : -1;
		flow->parked_counted = parked;
	}
	if (parked)
		slot = -1;				/* it is out of the order of service (admit.c) */
	if (slot != fs_flows[f].list_slot)
	{
		if (fs_flows[f].list_slot >= 0)
			list_unlink(f);
		if (slot >= 0)
			list_link(f, slot);
	}
	member_rekey(fs_flows[f].member);
}

void
fs_sched_share_rekey(int32 s)
{
	for (int32 m = fs_shares[s].members; m != FS_NONE; m = fs_members[m].next)
		member_rekey(m);
}

void
fs_sched_workspace_rekey(int32 w)
{
	for (int32 s = fs_workspaces[w].shares; s != FS_NONE; s = fs_shares[s].next)
		fs_sched_share_rekey(s);
}
