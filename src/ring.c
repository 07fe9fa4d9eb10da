/*
 * ring.c
 *		The order of service: ready lists, and members in their rings.
 *
 * A lane has rings, one for each set of required capabilities; a ring is an
 * ordering of members by (round they are due in, place).  A member is the
 * presence of a share (a workspace in a lane) in a ring; deficit and round
 * belong to the share, so that a workspace with jobs in two rings is not
 * served twice.  What a member has ready hangs on one circular list of flows
 * for each rank slot: flows of a class take turns.
 *
 * Jobs of P2 and P3 age (aging.c).  A member has a heap of its flows by their
 * oldest job of each of these classes; what has aged competes with the heads
 * of the lists, and among what counts as the same class the oldest is first.
 *
 * Members whose head is P0 are also in the ring's heap of urgent ones, by the
 * round in which they may be served before their turn (drr_jump_round); those
 * that may at once come first, and take turns.  It is looked at before the ring.
 *
 * Classes that budgets of a flow hold back (FsFlow.refused) are passed over as if
 * they were not there; a flow that has nothing else counts as parked.
 *
 * A node's key may be lower than the truth (its share was served through
 * another ring, or its head's cost was unknown), never higher than it may be
 * served: it is checked when it comes up, and moved back (pick.c).
 *
 * All functions: fs->lock held exclusively; nothing here allocates, waits or
 * raises, so that commit and abort callbacks may call it.
 */
#include "ring.h"

#include "aging.h"
#include "fairness.h"
#include "roomwait.h"

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

/* The place of a flow among those of its member whose jobs of this class age. */
static void
aging_rekey(int32 f, int cls)
{
	FsFlow	   *flow = &fs_flows[f];
	int32	   *root = &fs_members[flow->member].aging[cls - 2];
	int32		n = f * FS_AGING + cls - 2;
	int64		oldest = PG_INT64_MAX;

	if (!flow->parked_counted && !(flow->refused & (1 << cls)))
		oldest = Min(fs_sched_flow_head(flow, cls * 2), fs_sched_flow_head(flow, cls * 2 + 1));

	if (fs_aging_nodes[n].linked)
	{
		if (fs_aging_nodes[n].round == (uint64) oldest)
			return;
		ringheap_remove(fs_aging_nodes, root, n);
	}
	if (oldest == PG_INT64_MAX)
		return;
	fs_aging_nodes[n].round = oldest;
	ringheap_insert(fs_aging_nodes, root, n);
}

int
fs_sched_member_next(int32 m, int32 *flow, int *slot)
{
	FsMember   *member = &fs_members[m];
	FsDatabase *d = &fs_dbs[fs_rings[member->ring].db];
	int			s = fs_sched_member_slot(member);
	int			counts;
	int64		position;

	if (s < 0)
		return FS_NOTHING;
	*flow = member->heads[s];
	*slot = s;
	if (s <= 1 || d->aged[1] == 0)
		return s;
	position = fs_sched_flow_head(&fs_flows[*flow], s);
	counts = fs_aging_class(d->aged, s / 2, position);
	counts = counts == s / 2 ? s : counts * 2 + 1;
	for (int cls = 2; cls < FS_CLASSES; cls++)
	{
		int32		n = member->aging[cls - 2];
		int64		oldest;
		int			c;

		if (n == RINGHEAP_NONE)
			continue;
		oldest = fs_aging_nodes[n].round;
		c = fs_aging_class(d->aged, cls, oldest);
		if (c == cls || c > counts / 2 || (c == counts / 2 && oldest >= position))
			continue;
		*flow = n / FS_AGING;
		*slot = fs_sched_flow_head(&fs_flows[*flow], cls * 2) == oldest ? cls * 2 : cls * 2 + 1;
		counts = c * 2 + 1;
		position = oldest;
	}
	return counts;
}

static int32
next_cost(int32 m)
{
	int32		flow;
	int			slot;

	int32		cost;

	if (fs_sched_member_next(m, &flow, &slot) == FS_NOTHING)
		return 1;
	cost = fs_sched_flow_head_cost(&fs_flows[flow], slot);
	fs_fair_head(&fs_lanes[fs_shares[fs_members[m].share].lane], cost);
	return cost;
}

/* The place of a member among the urgent ones; none where its head is not P0 or it is in no ring. */
static void
urgent_rekey(int32 m)
{
	FsMember   *member = &fs_members[m];
	FsShare    *share = &fs_shares[member->share];
	FsRing	   *ring = &fs_rings[member->ring];
	RingNode   *node = &fs_urgent_nodes[m];
	int			slot = fs_sched_member_slot(member);
	uint64		key;

	if (!fs_nodes[m].linked || slot < 0 || slot > 1)
	{
		if (node->linked)
			ringheap_remove(fs_urgent_nodes, &ring->urgent, m);
		return;
	}
	key = drr_jump_round(&share->drr, fs_sched_flow_head_cost(&fs_flows[member->heads[slot]], slot));
	if (node->linked)
	{
		if (node->round == key)
			return;
		ringheap_remove(fs_urgent_nodes, &ring->urgent, m);
	}
	else
		node->stamp = ++fs_lanes[share->lane].stamps;
	node->round = key;
	ringheap_insert(fs_urgent_nodes, &ring->urgent, m);
}

void
fs_sched_urgent_served(int32 m)
{
	if (fs_urgent_nodes[m].linked)
		ringheap_remove(fs_urgent_nodes, &fs_rings[fs_members[m].ring].urgent, m);
	urgent_rekey(m);
}

/*
 * fs_sched_share_is_due_later: is it due in this round of the lane or a later one,
 * in any of its rings?  Then it is not in the middle of a visit that others went past.
 */
bool
fs_sched_share_is_due_later(const FsShare *share)
{
	for (int32 m = share->members; m != FS_NONE; m = fs_members[m].next)
		if (fs_nodes[m].linked && fs_nodes[m].round >= fs_lanes[share->lane].round)
			return true;
	return false;
}

/* A share that waits in a ring for a costly head has received the quanta of the rounds that passed. */
void
fs_sched_share_settle(FsShare *share)
{
	uint64		round = fs_lanes[share->lane].round;

	if (share->active == 0 || share->drr.round + 1 >= round)
		return;
	if (fs_sched_share_is_due_later(share))
		drr_grant_until(&share->drr, round - 1);
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
	share->active--;
	fs_fair_left(m);
	if (share->active == 0 && emptied && !fs_sched_share_waits(share))
		drr_empty(&share->drr);
}

static FsKeysHold *
keys_hold(int32 s)
{
	return &fs_dbs[fs_workspaces[fs_shares[s].workspace].db].keys_hold;
}

/* Is the share in the same round as when its members' keys were looked at? */
static bool
keys_of_now(const FsKeysHold *keys, const FsShare *share)
{
	return keys->quantum == share->drr.quantum && keys->round == share->drr.round &&
		keys->lane_round == fs_lanes[share->lane].round;
}

/* A member that is in its ring was put where its head's cost says: until its share has how little? */
static void
keys_hold_with(int32 m)
{
	int32		s = fs_members[m].share;
	const FsShare *share = &fs_shares[s];
	FsKeysHold *keys = keys_hold(s);
	int64		cost;

	if (keys->share != s)
		return;
	if (fs_urgent_nodes[m].linked || !keys_of_now(keys, share))
	{
		keys->share = FS_NONE;
		return;
	}
	cost = next_cost(m);
	keys->least = Max(keys->least, cost - (int64) drr_rounds_needed(&share->drr, cost) * share->drr.quantum);
	keys->most = Min(keys->most, share->drr.deficit);
}

/* Put a member where its head's cost says; out of the ring when it has nothing to give. */
static void
ring_rekey(int32 m)
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
			drr_resume(&share->drr, lane->round, next_cost(m));
		}
		else
			fs_sched_share_settle(share);
		node->stamp = ++lane->stamps;
		node->round = drr_key(&share->drr, next_cost(m));
		ringheap_insert(fs_nodes, &ring->root, m);
		ring->active++;
		share->active++;
		fs_fair_entered(m);
		keys_hold_with(m);
		return;
	}
	fs_sched_share_settle(share);
	key = drr_key(&share->drr, next_cost(m));

	/*
	 * It waited for a costly head and now has a cheaper one: it has yet to be
	 * visited in this round.  An earlier key would say that it was taken away
	 * in the middle of a visit (drr_resume), and cost it this round's
	 * quantum.
	 */
	if (key < lane->round && node->round >= lane->round)
		key = lane->round;
	if (key != node->round)
	{
		ringheap_remove(fs_nodes, &ring->root, m);
		node->round = key;
		ringheap_insert(fs_nodes, &ring->root, m);
	}
	keys_hold_with(m);
}

static void
member_rekey(int32 m)
{
	ring_rekey(m);
	urgent_rekey(m);
}

/* After a change of what a flow has ready: its list, its member's place. */
void
fs_sched_flow_relink(int32 f)
{
	FsFlow	   *flow = &fs_flows[f];
	uint32		slots = fs_sched_flow_slots(flow);
	int			slot = fs_sched_open_slot(flow, slots);
	bool		parked = slots != 0 && (flow->why.park != FS_PARK_NONE || slot < 0);

	if (parked != flow->parked_counted)
	{
		fs_members[flow->member].parked += parked ? 1 : -1;
		flow->parked_counted = parked;
	}
	if (parked)
		slot = -1;				/* it is out of the order of service
								 * (admit_parked.c) */

	/*
	 * a flow that waits for the fleet has its place there in the room of its
	 * aging nodes
	 */
	if (flow->in_room)
		fs_room_relink(f);
	if (slot != fs_flows[f].list_slot)
	{
		if (fs_flows[f].list_slot >= 0)
			list_unlink(f);
		if (slot >= 0)
			list_link(f, slot);
	}
	if (!flow->in_room && !flow->in_wait)
	{
		for (int cls = 2; cls < FS_CLASSES; cls++)
			aging_rekey(f, cls);
		fs_room_relink(f);
	}
	member_rekey(fs_flows[f].member);
}

/*
 * fs_sched_share_due_earlier: after a refund, what it has left is of visits that
 * others went past: it is due at once, and that is its visit of this round.
 */
void
fs_sched_share_due_earlier(int32 s)
{
	for (int32 m = fs_shares[s].members; m != FS_NONE; m = fs_members[m].next)
	{
		uint64		key;

		if (!fs_nodes[m].linked)
			continue;
		key = drr_key(&fs_shares[s].drr, next_cost(m));
		if (key >= fs_nodes[m].round)
			continue;
		ringheap_remove(fs_nodes, &fs_rings[fs_members[m].ring].root, m);
		fs_nodes[m].round = key;
		ringheap_insert(fs_nodes, &fs_rings[fs_members[m].ring].root, m);
	}
}

void
fs_sched_share_rekey(int32 s)
{
	FsShare    *share = &fs_shares[s];
	FsKeysHold *keys = keys_hold(s);

	keys->share = FS_NONE;
	for (int32 m = share->members; m != FS_NONE; m = fs_members[m].next)
		member_rekey(m);
	keys->share = s;
	keys->quantum = share->drr.quantum;
	keys->round = share->drr.round;
	keys->lane_round = fs_lanes[share->lane].round;
	keys->least = PG_INT64_MIN;
	keys->most = share->drr.deficit;
	for (int32 m = share->members; m != FS_NONE && keys->share == s; m = fs_members[m].next)
		if (fs_nodes[m].linked)
			keys_hold_with(m);
}

/*
 * fs_sched_share_charged: a share of several rings was served.  Its members'
 * keys change only when a head becomes dearer than what is left, once or twice
 * in a visit; so members that nobody here can serve are not looked at for each job.
 */
void
fs_sched_share_charged(int32 s)
{
	const FsShare *share = &fs_shares[s];
	const FsKeysHold *keys = keys_hold(s);

	if (keys->share != s || !keys_of_now(keys, share) ||
		share->drr.deficit < keys->least || share->drr.deficit > keys->most)
		fs_sched_share_rekey(s);
}

void
fs_sched_workspace_rekey(int32 w)
{
	for (int32 s = fs_workspaces[w].shares; s != FS_NONE; s = fs_shares[s].next)
		fs_sched_share_rekey(s);
}
