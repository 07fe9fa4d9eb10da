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
 * served: it is checked when it comes up, and moved back (pick.c).  So who is
 * served in one ring changes nothing in the others, however many they are; who
 * comes upon it there puts right what he can serve himself.  What must be known
 * of all members of a share is kept with the share: how many there are of a kind
 * (active, waiting, jumps_later), the costliest head, and the one that the others
 * wait for (saves_for: only then is a place later than the truth).
 *
 * A share whose workspace is parked is away: it contends nowhere.  Its members
 * stay where they are until somebody comes upon them, who takes those out that
 * he could serve.  When it returns only those go back into their rings.
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

/* Its head costs this; of a member that is in its ring, or about to be. */
static void
note_cost(int32 m, int32 cost)
{
	FsMember   *member = &fs_members[m];
	FsShare    *share = &fs_shares[member->share];

	if (share->costliest == m ? cost < member->cost && share->active > 1 :
		share->costliest != FS_NONE && cost > fs_members[share->costliest].cost)
		share->costliest = share->costliest == m ? FS_NONE : m;
	member->cost = cost;
}

/* What the costliest of the heads costs; of a share that is in some ring. O(its members) where that is not known. */
static int32
highest_cost(FsShare *share)
{
	if (share->costliest == FS_NONE)
		for (int32 m = share->members; m != FS_NONE; m = fs_members[m].next)
			if (fs_nodes[m].linked &&
				(share->costliest == FS_NONE || fs_members[m].cost >= fs_members[share->costliest].cost))
				share->costliest = m;
	return fs_members[share->costliest].cost;
}

static void
urgent_remove(int32 m)
{
	FsMember   *member = &fs_members[m];

	if (!fs_urgent_nodes[m].linked)
		return;
	if (fs_urgent_nodes[m].round > 0)
		fs_shares[member->share].jumps_later--;
	ringheap_remove(fs_urgent_nodes, &fs_rings[member->ring].urgent, m);
}

/* The place of a member among the urgent ones; none where its head is not P0 or it is in no ring. */
static void
urgent_rekey(int32 m)
{
	FsMember   *member = &fs_members[m];
	FsShare    *share = &fs_shares[member->share];
	RingNode   *node = &fs_urgent_nodes[m];
	int			slot = fs_sched_member_slot(member);
	uint64		key;

	if (!fs_nodes[m].linked || slot < 0 || slot > 1)
	{
		urgent_remove(m);
		return;
	}
	key = drr_jump_round(&share->drr, fs_sched_flow_head_cost(&fs_flows[member->heads[slot]], slot));
	if (node->linked)
	{
		if (node->round == key)
			return;
		urgent_remove(m);
	}
	else
		node->stamp = ++fs_lanes[share->lane].stamps;
	node->round = key;
	if (key > 0)
		share->jumps_later++;
	ringheap_insert(fs_urgent_nodes, &fs_rings[member->ring].urgent, m);
}

void
fs_sched_urgent_served(int32 m)
{
	urgent_remove(m);
	urgent_rekey(m);
}

/*
 * fs_sched_share_granted: its round's quantum may let P0 jobs jump at once, that
 * were told to wait for a later round.  The only keys that a service makes lower.
 */
void
fs_sched_share_granted(int32 s)
{
	if (fs_shares[s].jumps_later > 0)
		for (int32 m = fs_shares[s].members; m != FS_NONE; m = fs_members[m].next)
			if (fs_urgent_nodes[m].linked)
				urgent_rekey(m);
}

/*
 * fs_sched_rings_see: somebody looks who may serve these.  Rounds since one of
 * those in this lane was seen last, others brought it, in rings of their own.
 */
void
fs_sched_rings_see(const int32 *rings, int n, int32 lane)
{
	uint64		round = fs_lanes[lane].round;
	uint64		seen = 0;

	for (int i = 0; i < n; i++)
		if (fs_rings[rings[i]].lane == lane)
			seen = Max(seen, fs_rings[rings[i]].seen);
	for (int i = 0; i < n; i++)
		if (fs_rings[rings[i]].lane == lane)
		{
			fs_rings[rings[i]].foreign += round - seen;
			fs_rings[rings[i]].seen = round;
		}
}

/*
 * fs_sched_member_in_step: its share has had all rounds up to the lane's, also
 * those of which it is not known yet whether they are foreign to the member's ring.
 */
void
fs_sched_member_in_step(int32 m)
{
	FsMember   *member = &fs_members[m];
	FsShare    *share = &fs_shares[member->share];
	const FsRing *ring = &fs_rings[member->ring];

	member->foreign = (uint32) (ring->foreign + fs_lanes[ring->lane].round - ring->seen);
	member->returns = share->returns;
	share->in_step = m;
}

/* Rounds that turned out to be foreign to a member's ring since. */
static uint32
foreign_since(const FsMember *member)
{
	int32		n = (int32) ((uint32) fs_rings[member->ring].foreign - member->foreign);

	return Max(n, 0);
}

/* The last round of which it is known for some ring of a share whether it passed for it. */
static uint64
last_known(const FsShare *share)
{
	uint64		round = fs_lanes[share->lane].round;
	uint64		known = 0;

	for (int32 m = share->members; m != FS_NONE && known < round; m = fs_members[m].next)
		if (fs_nodes[m].linked)
			known = Max(known, fs_rings[fs_members[m].ring].seen);
	return known;
}

/*
 * fs_sched_share_shift: rounds that were foreign to all of a share's rings did not
 * pass for it.  It neither loses them nor is given anything for them: it is where
 * it was, so many rounds later.  Its places say too early a round then, and are put
 * right by who comes upon them.
 */
void
fs_sched_share_shift(FsShare *share)
{
	uint64		shift = PG_UINT64_MAX;
	uint64		round;

	if (share->active == 0 || share->away)
		return;
	if (share->in_step != FS_NONE && foreign_since(&fs_members[share->in_step]) == 0)
		return;
	for (int32 m = share->members; m != FS_NONE && shift > 0; m = fs_members[m].next)
		if (fs_nodes[m].linked && fs_members[m].returns == share->returns)
			shift = Min(shift, foreign_since(&fs_members[m]));
	if (shift == 0)
		return;
	if (shift < PG_UINT64_MAX)
	{
		round = Min(share->drr.round + shift, fs_lanes[share->lane].round);
		if (share->visited == (uint32) share->drr.round)
			share->visited = (uint32) round;
		share->drr.round = round;
	}
	for (int32 m = share->members; m != FS_NONE; m = fs_members[m].next)
		if (fs_nodes[m].linked)
			fs_sched_member_in_step(m);
}

/*
 * fs_sched_share_settle: a share that waits in a ring for a costly head has
 * received the quanta of the rounds that passed before that is due.  Where that is
 * earlier than now, others went past it: the rounds since are lost to it when it
 * joins.
 */
void
fs_sched_share_settle(FsShare *share)
{
	uint64		due;

	if (share->active == 0 || share->away || share->drr.round + 1 >= fs_lanes[share->lane].round)
		return;
	fs_sched_share_shift(share);
	due = Min(drr_key(&share->drr, highest_cost(share)), last_known(share));
	if (due > 0)
		drr_grant_until(&share->drr, due - 1);
}

/* A share whose head costs this takes part in this round of its lane, in which it did not so far. */
static void
join(FsShare *share, int32 cost)
{
	uint64		round = fs_lanes[share->lane].round;
	bool		broken_off = share->visited == (uint32) share->drr.round;

	drr_join(&share->drr, round);
	if (broken_off)
		drr_resume(&share->drr, round, cost);
}

/* fs_sched_share_join: others went past a share that is in some ring. */
void
fs_sched_share_join(FsShare *share)
{
	fs_sched_share_settle(share);
	join(share, highest_cost(share));
}

static void
member_leave(int32 m)
{
	FsShare    *share = &fs_shares[fs_members[m].share];
	FsRing	   *ring = &fs_rings[fs_members[m].ring];

	fs_sched_share_settle(share);
	ringheap_remove(fs_nodes, &ring->root, m);
	ring->active--;
	share->active--;
	if (share->costliest == m)
		share->costliest = FS_NONE;
	if (share->in_step == m)
	{
		/* the others may have been in step longer ago */
		share->in_step = FS_NONE;
		share->returns++;
	}
	fs_fair_left(m);
}

/* Its share is away: when it returns, the member goes back into its ring. */
static void
put_out(int32 m)
{
	FsShare    *share = &fs_shares[fs_members[m].share];

	if (fs_members[m].is_out)
		return;
	fs_members[m].is_out = true;
	fs_members[m].out_next = share->out;
	share->out = m;
}

/*
 * fs_sched_member_put_off: its head costs this, so it is due in that round, later
 * than its place in its ring says.
 */
void
fs_sched_member_put_off(int32 m, int32 cost, uint64 round)
{
	int32	   *root = &fs_rings[fs_members[m].ring].root;

	note_cost(m, cost);
	ringheap_remove(fs_nodes, root, m);
	fs_nodes[m].round = round;
	ringheap_insert(fs_nodes, root, m);
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
	int			slot = fs_sched_member_slot(member);
	bool		waits = slot >= 0 || member->parked > 0;
	bool		emptied = member->waits && !waits;
	uint64		key;
	int32		cost;

	if (waits != member->waits)
	{
		member->waits = waits;
		share->waiting += waits ? 1 : -1;
	}
	if (slot < 0)
	{
		if (node->linked)
			member_leave(m);
		if (emptied && share->active == 0 && share->waiting == 0)
			drr_empty(&share->drr); /* it hoards nothing */
		return;
	}
	if (share->away && !node->linked)
	{
		put_out(m);
		return;
	}
	cost = next_cost(m);
	if (!node->linked)
	{
		if (share->active == 0)
		{
			join(share, cost);
			share->costliest = m;
		}
		else
			fs_sched_share_settle(share);
		note_cost(m, cost);
		node->stamp = ++lane->stamps;
		node->round = Max(drr_key(&share->drr, cost), lane->round);
		member->charges = share->charges;
		ringheap_insert(fs_nodes, &ring->root, m);
		fs_sched_member_in_step(m);
		ring->active++;
		share->active++;
		fs_fair_entered(m);
		return;
	}
	fs_sched_share_settle(share);
	key = drr_key(&share->drr, cost);

	/*
	 * it waited for a costly head and now has a cheaper one: its visit of
	 * this round is still to come
	 */
	if (key < lane->round)
		key = Max(key, Min(node->round, lane->round));
	if (key != node->round)
		fs_sched_member_put_off(m, cost, key);
	else
		note_cost(m, cost);
	member->charges = share->charges;
}

/*
 * Put a member in its place, and if it was its head that the others wait for, and that is gone
 * or cheaper now: they wait no more.
 */
static void
rekey_with_others(int32 m)
{
	FsShare    *share = &fs_shares[fs_members[m].share];
	uint64		before = fs_nodes[m].round;

	ring_rekey(m);
	if (share->saves_for != m || (fs_nodes[m].linked && fs_nodes[m].round >= before))
		return;
	share->saves_for = FS_NONE;
	for (int32 other = share->members; other != FS_NONE; other = fs_members[other].next)
		if (other != m && fs_nodes[other].linked)
			ring_rekey(other);
}

/* What is kept with the share is what its members say, and none of these is later in its ring than its costliest head. */
static void
assert_share(FsShare *share)
{
#ifdef USE_ASSERT_CHECKING
	int			members = 0;
	int			active = 0;
	int			waiting = 0;
	int			jumps_later = 0;
	int32		cost = 1;

	for (int32 m = share->members; m != FS_NONE; m = fs_members[m].next)
		if (fs_nodes[m].linked)
			cost = Max(cost, fs_members[m].cost);
	for (int32 m = share->members; m != FS_NONE; m = fs_members[m].next)
	{
		members++;
		waiting += fs_members[m].waits;
		jumps_later += fs_urgent_nodes[m].linked && fs_urgent_nodes[m].round > 0;
		Assert(fs_nodes[m].linked || fs_members[m].is_out || fs_sched_member_slot(&fs_members[m]) < 0);
		if (!fs_nodes[m].linked)
			continue;
		active++;
		Assert(!fs_members[m].is_out);
		Assert(fs_nodes[m].round <= Max(drr_key(&share->drr, cost), fs_lanes[share->lane].round));
		Assert(share->costliest == FS_NONE || fs_members[m].cost <= fs_members[share->costliest].cost);
	}
	Assert(members == share->nmembers && active == share->active);
	Assert(waiting == share->waiting && jumps_later == share->jumps_later);
	Assert(share->costliest == FS_NONE || fs_nodes[share->costliest].linked);
#endif
}

static void
member_rekey(int32 m)
{
	rekey_with_others(m);
	urgent_rekey(m);
	assert_share(&fs_shares[fs_members[m].share]);
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
 * fs_sched_share_refund: a claim came to nothing; returns how much of its cost is
 * lost.  It may have what its heads cost now, which were to wait for its next
 * visit: then it is due at once, and that visit is still to come.
 */
int64
fs_sched_share_refund(int32 s, int32 cost)
{
	FsShare    *share = &fs_shares[s];
	int64		lost;

	fs_sched_share_settle(share);
	share->visited = 0;			/* what comes back is not left of a visit */
	lost = drr_refund(&share->drr, cost, share->active > 0 ? highest_cost(share) : cost);
	for (int32 m = share->members; m != FS_NONE; m = fs_members[m].next)
	{
		uint64		key;

		if (!fs_nodes[m].linked)
			continue;
		key = drr_key(&share->drr, next_cost(m));
		if (key >= fs_nodes[m].round)
			continue;
		ringheap_remove(fs_nodes, &fs_rings[fs_members[m].ring].root, m);
		fs_nodes[m].round = key;
		ringheap_insert(fs_nodes, &fs_rings[fs_members[m].ring].root, m);
	}
	fs_sched_share_rekey(s);
	return lost;
}

void
fs_sched_nothing_left(int32 s)
{
	if (fs_shares[s].active == 0 && fs_shares[s].waiting == 0)
		drr_empty(&fs_shares[s].drr);
}

void
fs_sched_share_rekey(int32 s)
{
	fs_dbs[fs_workspaces[fs_shares[s].workspace].db].visits += fs_shares[s].nmembers;
	for (int32 m = fs_shares[s].members; m != FS_NONE; m = fs_members[m].next)
		member_rekey(m);
}

/* fs_sched_members_rekey: some of a share's members, which turned out to be too early in their rings. */
void
fs_sched_members_rekey(const int32 *members, int n)
{
	for (int i = 0; i < n; i++)
	{
		fs_dbs[fs_rings[fs_members[members[i]].ring].db].visits++;
		member_rekey(members[i]);
	}
}

/* fs_sched_members_take_out: of a share that is away, places that a claimer came upon. */
void
fs_sched_members_take_out(const int32 *members, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (!fs_nodes[members[i]].linked)
			continue;
		urgent_remove(members[i]);
		member_leave(members[i]);
		put_out(members[i]);
	}
}

/* fs_sched_workspace_leaves: it is parked.  What its shares have left stays theirs. */
void
fs_sched_workspace_leaves(int32 w)
{
	for (int32 s = fs_workspaces[w].shares; s != FS_NONE; s = fs_shares[s].next)
	{
		FsShare    *share = &fs_shares[s];

		fs_sched_share_settle(share);
		share->away = true;
		fs_fair_share_left(s);
	}
}

/* fs_sched_workspace_returns: it is parked no more. */
void
fs_sched_workspace_returns(int32 w)
{
	for (int32 s = fs_workspaces[w].shares; s != FS_NONE; s = fs_shares[s].next)
	{
		FsShare    *share = &fs_shares[s];
		int32		first = share->out;

		if (!share->away)
			continue;
		share->away = false;
		share->in_step = FS_NONE;
		share->returns++;
		if (share->active > 0)
		{
			/* those in rings are at worst too early: joining makes them later */
			if (first == FS_NONE)
				for (first = share->members; !fs_nodes[first].linked; first = fs_members[first].next)
					;
			join(share, highest_cost(share));
			if (fs_nodes[first].linked)
				fs_fair_entered(first);
		}
		while (share->out != FS_NONE)
		{
			int32		m = share->out;

			share->out = fs_members[m].out_next;
			fs_members[m].is_out = false;
			rekey_with_others(m);
			urgent_rekey(m);
		}
		if (share->active > 0 && share->home == FS_NONE)
			for (int32 m = share->members; m != FS_NONE && share->home == FS_NONE; m = fs_members[m].next)
				if (fs_nodes[m].linked)
					fs_fair_entered(m);
		assert_share(share);
	}
}

void
fs_sched_workspace_rekey(int32 w)
{
	for (int32 s = fs_workspaces[w].shares; s != FS_NONE; s = fs_shares[s].next)
		fs_sched_share_rekey(s);
}
