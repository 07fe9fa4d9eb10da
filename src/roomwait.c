/*
 * roomwait.c
 *		Flows that wait for the fleet, in the order in which they are served.
 *
 * A flow that lacks cpu, memory or gpu (capacity.c) is parked.  What a lease
 * gives back may be enough for ten thousand of them, and is taken by one; so
 * nothing that ends a lease looks at those that wait.  It counts room_gen up,
 * and wakes claimers that wait.  Who picks a job lets the first flow in that
 * fits now, one a pick: it takes its place in the ring, and Deficit Round Robin
 * goes on from there.  A ring where nobody fits is not looked at again before
 * room_gen has grown (FsRing.room_seen).
 *
 * Each ring has a tree (needtree.c) for each resource that is lacking and each
 * class, ordered by need, so that who comes first of those that fit is found in
 * O(log n).  First comes who is due in the earliest round, as of when it was
 * parked (a P0 that may jump is due at once); then who has waited longest, where
 * a class counts for one fairsched.priority_aging.  Which flow of its workspace
 * goes then is decided as in the ring, by class and age, among the first few.
 *
 * A flow is in the tree of one resource.  When that is there and another is
 * not, it moves to the other's; each such look counts as a visit of the claim.
 *
 * All functions: fs->lock held exclusively unless said otherwise; nothing here
 * allocates, waits or raises, so that commit and abort callbacks may call it.
 */
#include "roomwait.h"

#include "admit.h"
#include "aging.h"
#include "capacity.h"
#include "holders.h"
#include "ring.h"
#include "wait.h"

#define SIBLINGS	16			/* flows of its workspace that one is compared
								 * with */

static void
ring_link(FsDatabase *d, int32 ring)
{
	FsRing	   *r = &fs_rings[ring];

	if (r->waiting++ > 0)
		return;
	r->room_prev = FS_NONE;
	r->room_next = d->room_rings;
	if (d->room_rings != FS_NONE)
		fs_rings[d->room_rings].room_prev = ring;
	d->room_rings = ring;
}

static void
ring_unlink(FsDatabase *d, int32 ring)
{
	FsRing	   *r = &fs_rings[ring];

	if (--r->waiting > 0)
		return;
	if (r->room_prev != FS_NONE)
		fs_rings[r->room_prev].room_next = r->room_next;
	else
		d->room_rings = r->room_next;
	if (r->room_next != FS_NONE)
		fs_rings[r->room_next].room_prev = r->room_prev;
}

/* The round in which a flow's head is served. */
static uint64
due_in(int32 flow, int cls)
{
	FsShare    *share = &fs_shares[FsShareOfFlow(flow)];
	int32		cost = fs_sched_flow_head_cost(&fs_flows[flow], fs_sched_flow_slot(&fs_flows[flow]));

	return cls == 0 && drr_may_jump(&share->drr, cost) ? 0 : drr_key(&share->drr, cost);
}

uint64
fs_room_rounds(int32 flow)
{
	uint64		round = fs_lanes[fs_shares[FsShareOfFlow(flow)].lane].round;
	int			cls = fs_capacity_class(flow);
	uint64		due = cls < FS_CLASSES ? due_in(flow, cls) : 0;

	return due > round ? due - round : 0;
}

/* fs_room_relink: its place among those that wait, or none. */
void
fs_room_relink(int32 flow)
{
	FsFlow	   *f = &fs_flows[flow];
	NeedNode   *node = &fs_room_nodes[flow];
	bool		waits = f->why.park == FS_PARK_CAPACITY && fs_capacity_class(flow) < FS_CLASSES;
	int			cls = waits ? fs_capacity_class(flow) : -1;
	int32		ring;
	FsDatabase *d;

	if (!waits && !f->in_room)
		return;
	if (waits && f->in_room && f->room_class == cls && f->room_resource == f->why.resource)
		return;
	ring = fs_members[f->member].ring;
	d = &fs_dbs[fs_rings[ring].db];
	if (f->in_room)
	{
		needtree_remove(fs_room_nodes, &fs_rings[ring].room[f->room_resource][f->room_class], flow);
		memset(node, 0, sizeof(NeedNode));	/* its aging nodes are out of
											 * their heaps */
		f->in_room = false;
		d->room_waiting[f->room_resource]--;
		ring_unlink(d, ring);
	}
	else
		f->room_class = FS_CLASSES;
	if (!waits)
		return;
	f->in_room = true;
	node->need = f->needs.amount[f->why.resource];
	node->round = due_in(flow, cls);
	node->since = f->why.since;
	node->position = fs_sched_flow_head(f, fs_sched_flow_slot(f));
	needtree_insert(fs_room_nodes, &fs_rings[ring].room[f->why.resource][cls], flow);
	d->room_waiting[f->why.resource]++;
	ring_link(d, ring);
	if (cls < f->room_class)
	{
		/*
		 * more urgent work waits than was known: it may see more room, and
		 * policies look at it
		 */
		fs_rings[ring].room_seen = 0;
		fs_capacity_refused(d, flow, GetCurrentTimestamp());
	}
	f->room_class = cls;
	f->room_resource = f->why.resource;
}

/* fs_room_member_moves: those of its flows that wait do so in the other ring.  O(such flows of its workspace). */
void
fs_room_member_moves(int32 m, int32 ring)
{
	int32		old = fs_members[m].ring;
	FsDatabase *d = &fs_dbs[fs_rings[ring].db];

	for (int32 f = fs_workspaces[fs_shares[fs_members[m].share].workspace].room_flows; f != FS_NONE; f = fs_flows[f].park_next)
	{
		if (fs_flows[f].member != m || !fs_flows[f].in_room)
			continue;
		needtree_remove(fs_room_nodes, &fs_rings[old].room[fs_flows[f].room_resource][fs_flows[f].room_class], f);
		ring_unlink(d, old);
		needtree_insert(fs_room_nodes, &fs_rings[ring].room[fs_flows[f].room_resource][fs_flows[f].room_class], f);
		ring_link(d, ring);
		fs_rings[ring].room_seen = 0;
	}
}

/* ---------- who comes first ---------- */

/* Does a come before b?  Of one lane. */
static bool
before(int32 a, int32 b)
{
	const NeedNode *x = &fs_room_nodes[a];
	const NeedNode *y = &fs_room_nodes[b];
	int64		aging = FsMsToUsec(fs_priority_aging);

	if (x->round != y->round)
		return x->round < y->round;
	if (aging == 0 && fs_flows[a].room_class != fs_flows[b].room_class)
		return fs_flows[a].room_class < fs_flows[b].room_class;
	if (x->since + fs_flows[a].room_class * aging != y->since + fs_flows[b].room_class * aging)
		return x->since + fs_flows[a].room_class * aging < y->since + fs_flows[b].room_class * aging;
	return x->position < y->position;
}

/* The first flow of a ring that has enough of what it lacks, with so much more free than there is. */
static int32
first_of_ring(const FsDatabase *d, int32 ring, const FsNeeds *more, TimestampTz now)
{
	int32		best = FS_NONE;

	for (int r = 0; r < FS_FLEET; r++)
		for (int cls = 0; cls < FS_CLASSES; cls++)
		{
			int32		root = fs_rings[ring].room[r][cls];
			int32		f;

			if (root == NEEDTREE_NONE)
				continue;
			f = needtree_first(fs_room_nodes, root,
							   fs_capacity_left(d, r, FS_NONE, cls, now) + (more ? more->amount[r] : 0));
			if (f != FS_NONE && (best == FS_NONE || before(f, best)))
				best = f;
		}
	return best;
}

/* What a flow's next job counts as, and its position: as in fs_sched_member_next. */
static int
flow_next(const FsDatabase *d, const FsFlow *f, int64 *position)
{
	int			best = FS_NOTHING;

	*position = PG_INT64_MAX;
	for (int slot = 0; slot < FS_RANKS; slot++)
	{
		int64		head = fs_sched_flow_head(f, slot);
		int			cls;
		int			counts;

		if (head == PG_INT64_MAX || (f->refused & (1 << FsSlotClass(slot))))
			continue;
		cls = fs_aging_class(d->aged, FsSlotClass(slot), head);
		counts = cls == FsSlotClass(slot) ? slot : cls * 2 + 1;
		if (counts < best || (counts == best && head < *position))
		{
			best = counts;
			*position = head;
		}
	}
	return best;
}

/* Of a flow that fits and others of its member that do: the one with the most urgent job. */
static int32
sibling(FsDatabase *d, int32 flow, TimestampTz now)
{
	int32		best = flow;
	int64		best_position;
	int			best_counts = flow_next(d, &fs_flows[flow], &best_position);
	int			n = 0;

	for (int32 f = fs_workspaces[FsWorkspaceOfFlow(flow)].room_flows; f != FS_NONE && n < SIBLINGS;
		 f = fs_flows[f].park_next, n++)
	{
		FsRefusal	why;
		int64		position;
		int			counts;

		if (f == flow || fs_flows[f].member != fs_flows[flow].member || !fs_flows[f].in_room)
			continue;
		counts = flow_next(d, &fs_flows[f], &position);
		if (counts > best_counts || (counts == best_counts && position > best_position) ||
			fs_capacity_refuses(d, f, &fs_flows[f].needs, FS_NONE, now, &why))
			continue;
		best = f;
		best_counts = counts;
		best_position = position;
	}
	return best;
}

/* ---------- letting in ---------- */

/* Take the flow out; true when it takes part now. */
static bool
let_in(int32 flow)
{
	int32		w = FsWorkspaceOfFlow(flow);

	fs_admit_lift(flow);
	return fs_workspaces[w].parked == FS_PARK_NONE;
}

/* The first flow of a ring that fits takes part again; false: none does. */
static bool
offer_ring(FsDatabase *d, int32 ring, TimestampTz now, int *visits)
{
	while (*visits <= fs_max_visits)
	{
		int32		f = first_of_ring(d, ring, NULL, now);
		FsRefusal	why;

		if (f == FS_NONE)
		{
			fs_rings[ring].room_seen = d->room_gen;
			return false;
		}
		++*visits;
		d->room_looks[fs_flows[f].room_resource]++;
		if (fs_capacity_refuses(d, f, &fs_flows[f].needs, FS_NONE, now, &why))
		{
			/* another resource is lacking now */
			why.since = fs_flows[f].why.since;
			fs_flows[f].why = why;
			fs_room_relink(f);
		}
		else if (let_in(sibling(d, f, now)))
			return true;
	}
	return false;
}

bool
fs_room_offer(FsDatabase *d, const FsEligible *e, int *visits)
{
	bool		any = false;

	for (int i = 0; i < e->nrings; i++)
	{
		if (!fs_room_unseen(d, e->rings[i]))
			continue;
		/* those that room is kept for find more of it than others */
		for (int k = 0; k < d->nrooms; k++)
		{
			int32		f = fs_capacity_room_owner(d, k);
			FsRefusal	why;

			if (f == FS_NONE || !fs_flows[f].in_room || fs_members[fs_flows[f].member].ring != e->rings[i])
				continue;
			++*visits;
			d->room_looks[fs_flows[f].room_resource]++;
			if (!fs_capacity_refuses(d, f, &fs_flows[f].needs, FS_NONE, e->now, &why))
				any |= let_in(f);
		}
		any |= offer_ring(d, e->rings[i], e->now, visits);
	}
	return any;
}

bool
fs_room_unseen(const FsDatabase *d, int32 ring)
{
	return fs_rings[ring].waiting > 0 && fs_rings[ring].room_seen != d->room_gen;
}

/*
 * fs_room_others_first: a claim would take over room from a job that ends in
 * the same call.  Others cannot have it before the commit, so whoever has work
 * would keep the fleet for ever if those that wait were not asked.  In a lane
 * the order of service decides; of another lane, whoever waited already when
 * the job that ends was claimed comes first.
 */
bool
fs_room_others_first(FsDatabase *d, int32 flow, int32 gift, TimestampTz now)
{
	const FsLease *from = &fs_leases[gift];
	int32		lane = fs_shares[FsShareOfFlow(flow)].lane;
	int			cls = fs_capacity_class(flow);
	uint64		due = due_in(flow, cls);

	for (int32 ring = d->room_rings; ring != FS_NONE; ring = fs_rings[ring].room_next)
	{
		int32		f = first_of_ring(d, ring, &from->held, now);
		bool		fits = f != FS_NONE && FsWorkspaceOfFlow(f) != from->workspace &&
			fs_workspaces[FsWorkspaceOfFlow(f)].parked == FS_PARK_NONE;

		if (f != FS_NONE)
			d->room_looks[fs_flows[f].room_resource]++;
		for (int r = 0; r < FS_FLEET && fits; r++)
			fits = fs_flows[f].needs.amount[r] == 0 ||
				fs_flows[f].needs.amount[r] <= fs_capacity_left(d, r, f, fs_flows[f].room_class, now) +
				from->held.amount[r];
		if (!fits)
			continue;
		if (fs_rings[ring].lane == lane ? fs_room_nodes[f].round < due
			: fs_room_nodes[f].since < from->claimed_at)
			return true;
	}
	return false;
}

void
fs_room_lift_all(FsDatabase *d, FsResource r)
{
	for (int32 ring = d->room_rings, next; ring != FS_NONE; ring = next)
	{
		next = fs_rings[ring].room_next;
		for (int cls = 0; cls < FS_CLASSES; cls++)
			while (fs_rings[ring].room[r][cls] != NEEDTREE_NONE)
				fs_admit_lift(fs_rings[ring].room[r][cls]);
		fs_wait_wake(FsDbIndex(d), fs_rings[ring].lane, PG_INT32_MAX);
	}
}

/* fs_room_freed: after fs_capacity_hold. O(rings with flows that wait), and nothing where no claimer waits. */
void
fs_room_freed(FsDatabase *d, TimestampTz now)
{
	if (fs->nwaiters == 0)
		return;
	for (int32 ring = d->room_rings; ring != FS_NONE; ring = fs_rings[ring].room_next)
		if (fs_room_unseen(d, ring) && (d->nrooms > 0 || first_of_ring(d, ring, NULL, now) != FS_NONE))
			fs_wait_wake(FsDbIndex(d), fs_rings[ring].lane, PG_INT32_MAX);
}

int32
fs_room_first(const FsDatabase *d, FsResource r, uint32 classes, int64 most, TimestampTz now, int *cls)
{
	for (*cls = 0; *cls < FS_CLASSES; ++*cls)
	{
		int32		best = FS_NONE;

		if (!(classes & (1u << *cls)))
			continue;
		for (int32 ring = d->room_rings; ring != FS_NONE; ring = fs_rings[ring].room_next)
		{
			int32		f = needtree_first(fs_room_nodes, fs_rings[ring].room[r][*cls],
										   Min(most, d->capacity[r]));

			if (f != FS_NONE && (best == FS_NONE || fs_room_nodes[f].since < fs_room_nodes[best].since ||
								 (fs_room_nodes[f].since == fs_room_nodes[best].since &&
								  fs_room_nodes[f].position < fs_room_nodes[best].position)) &&
				fs_holders_ring_served(ring, now))
				best = f;
		}
		if (best != FS_NONE)
			return best;
	}
	return FS_NONE;
}
