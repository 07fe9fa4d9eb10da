/*
 * pick.c
 *		The choice: whose job is next, and what it is charged.
 *
 * A claimer compares the minima of the rings it may serve: with the lane's
 * round as a floor for rings that were not served for a while, that is one
 * round robin over everything it can do, and such a ring catches up by at most
 * one round.  Keys that turn out too low are moved back (ring.c), of all places
 * of a share that the claimer may serve; workspaces that turn out to be full are
 * parked (park.c).
 *
 * P0 jumps and pays: before the rings, their heaps of urgent members are looked
 * at.  A member with a P0 job is served there while that leaves its share at
 * most one quantum in debt.  It brings the lane no round further; rounds that
 * pass pay the debt, a quantum each, so over time a workspace gets its share
 * whatever it calls urgent.
 *
 * All functions: fs->lock held exclusively; nothing here allocates, waits or
 * raises, so that commit and abort callbacks may call it.
 */
#include "pick.h"

#include "admit.h"
#include "budget.h"
#include "closing.h"
#include "fairness.h"
#include "flows.h"
#include "hints.h"
#include "park.h"
#include "placement.h"
#include "ring.h"
#include "stats.h"
#include "roomwait.h"

/* How far fs_sched_fill_ahead looks: members, and nodes of heaps on the way to them. */
#define AHEAD_MEMBERS 16
#define AHEAD_NODES 64

/* fs_sched_has_work: may a claim of this kind find something? Never false wrongly. */
bool
fs_sched_has_work(int32 db, const FsEligible *e)
{
	if (fs_dbs[db].drained)
		return false;
	for (int i = 0; i < e->nrings; i++)
		if (fs_rings[e->rings[i]].root != RINGHEAP_NONE || fs_room_unseen(&fs_dbs[db], e->rings[i]))
			return true;
	for (int32 w = fs_dbs[db].capped; w != FS_NONE && e->nrings > 0; w = fs_workspaces[w].capped_next)
		if (fs_holders_serve(fs_workspaces[w].holders, e->node))
			return true;
	return e->nrings > 0 && fs_budget_hopeful(db);
}

/* Nobody else is admissible: the cap on a workspace's share is void for those this claimer may serve. */
static bool
let_capped_in(FsDatabase *d, const FsEligible *e)
{
	bool		found = false;

	for (int32 w = d->capped, next; w != FS_NONE; w = next)
	{
		next = fs_workspaces[w].capped_next;
		if (!fs_holders_serve(fs_workspaces[w].holders, e->node))
			continue;
		fs_sched_unpark(w);
		found = true;
	}
	return found;
}

/* fs_sched_gifts_left: slots of this workspace that the call may take over. */
int
fs_sched_gifts_left(const FsEligible *e, int32 workspace)
{
	int			n = 0;

	for (int i = 0; i < e->ngifts; i++)
		if (e->gifts[i] != FS_NONE && fs_leases[e->gifts[i]].workspace == workspace)
			n++;
	return n;
}

/* fs_sched_first_gift: the lease that the next claim of this workspace takes over from. */
int32
fs_sched_first_gift(const FsEligible *e, int32 workspace)
{
	for (int i = 0; i < e->ngifts; i++)
		if (e->gifts[i] != FS_NONE && fs_leases[e->gifts[i]].workspace == workspace)
			return e->gifts[i];
	return FS_NONE;
}

/* fs_sched_offer_gifts: workspaces with slots to pass on rejoin the ring for this call. */
void
fs_sched_offer_gifts(const FsEligible *e)
{
	for (int i = 0; i < e->ngifts; i++)
	{
		int32		w;

		if (e->gifts[i] == FS_NONE)
			continue;
		w = fs_leases[e->gifts[i]].workspace;
		if (fs_workspaces[w].parked == FS_PARK_CEILING || fs_workspaces[w].parked == FS_PARK_SHARE)
			fs_sched_unpark(w);
		fs_admit_offer(w, e->gifts[i], e->now);
	}
}

/* The member of a lane with a P0 job that may be served before its turn, if any. */
static int32
urgent_in_lane(const FsEligible *e, int32 lane)
{
	int32		best = FS_NONE;

	for (int i = 0; i < e->nrings; i++)
	{
		FsRing	   *ring = &fs_rings[e->rings[i]];

		if (ring->lane != lane || ring->urgent == RINGHEAP_NONE ||
			fs_urgent_nodes[ring->urgent].round > fs_lanes[lane].round)
			continue;
		if (best == FS_NONE || ringheap_before(&fs_urgent_nodes[ring->urgent], &fs_urgent_nodes[best]))
			best = ring->urgent;
	}
	return best;
}

/* The member that is due first over all rings of a lane that the claimer may serve. */
static int32
first_in_lane(const FsEligible *e, int32 lane)
{
	uint64		floor = fs_lanes[lane].round;
	int32		best = FS_NONE;
	uint64		best_round = 0;

	for (int i = 0; i < e->nrings; i++)
	{
		FsRing	   *ring = &fs_rings[e->rings[i]];
		uint64		round;

		if (ring->lane != lane || ring->root == RINGHEAP_NONE)
			continue;
		round = Max(fs_nodes[ring->root].round, floor);
		if (best == FS_NONE || round < best_round ||
			(round == best_round && ringheap_before(&fs_nodes[ring->root], &fs_nodes[best])))
		{
			best = ring->root;
			best_round = round;
		}
	}
	return best;
}

/* Lanes take turns: the one with work, or urgent work, that was served longest ago. */
static int32
first_member(const FsEligible *e, bool urgent)
{
	int32		best = FS_NONE;
	uint64		best_at = 0;

	for (int i = 0; i < e->nlanes; i++)
	{
		FsLane	   *lane = &fs_lanes[e->lanes[i]];

		if (best == FS_NONE || lane->served_at < best_at)
		{
			int32		m = urgent ? urgent_in_lane(e, e->lanes[i]) : first_in_lane(e, e->lanes[i]);

			if (m != FS_NONE)
			{
				best = m;
				best_at = lane->served_at;
			}
		}
	}
	return best;
}

/*
 * Members of a share that the claimer may serve, remembered from pick to pick in
 * this backend: the others may be many.
 */
static struct
{
	int32		share;
	uint64		choice;			/* of what the claimer may serve */
	uint64		members_gen;
	int			n;				/* in FsEligible.members */
}			mine = {.share = FS_NONE};

static void
choose_members(const FsEligible *e, int32 share)
{
	int32		db = fs_workspaces[fs_shares[share].workspace].db;
	uint64		gen = fs_dbs[db].members_gen;

	if (mine.share == share && mine.choice == e->choice && mine.members_gen == gen)
		return;
	mine.share = share;
	mine.choice = e->choice;
	mine.members_gen = gen;
	mine.n = 0;
	if (e->nrings < fs_shares[share].nmembers)
		for (int i = 0; i < e->nrings; i++)
		{
			int32		m = fs_sched_member_find(share, e->rings[i]);

			if (m != FS_NONE)
				e->members[mine.n++] = m;
		}
	else
		for (int32 m = fs_shares[share].members; m != FS_NONE; m = fs_members[m].next)
			if (e->may_serve[fs_members[m].ring])
				e->members[mine.n++] = m;
	fs_dbs[db].visits += Min(e->nrings, fs_shares[share].nmembers) - 1;
}

/* The share's places that the claimer may serve are put right. */
static void
rekey_mine(const FsEligible *e, int32 share)
{
	choose_members(e, share);
	fs_sched_members_rekey(e->members, mine.n);
}

/*
 * Where a share is in several rings: the most urgent head of those that the claimer
 * may serve, whether or not the share can pay for it yet, as in a single ring;
 * rings take turns.
 */
static int32
best_member_of_share(const FsEligible *e, int32 member)
{
	int32		best = member;
	int32		flow;
	int			slot;
	int			best_counts;

	if (fs_shares[fs_members[member].share].active == 1)
		return member;
	choose_members(e, fs_members[member].share);
	best_counts = fs_sched_member_next(member, &flow, &slot);
	for (int i = 0; i < mine.n; i++)
	{
		int32		m = e->members[i];
		int			counts;

		if (m == best || !fs_nodes[m].linked)
			continue;
		counts = fs_sched_member_next(m, &flow, &slot);
		if (counts < best_counts ||
			(counts == best_counts && (int32) (fs_members[m].served - fs_members[best].served) < 0))
		{
			best = m;
			best_counts = counts;
		}
	}
	return best;
}

/* The share saves for this member's head, due in that round: its others that the claimer may serve wait too. */
static void
save_for(const FsEligible *e, int32 member, int32 cost, uint64 round)
{
	fs_sched_member_put_off(member, cost, round);
	if (fs_shares[fs_members[member].share].active == 1)
		return;
	fs_shares[fs_members[member].share].saves_for = member;
	for (int i = 0; i < mine.n; i++)
		if (fs_nodes[e->members[i]].linked && fs_nodes[e->members[i]].round < round)
			fs_sched_member_put_off(e->members[i], fs_members[e->members[i]].cost, round);
}

/*
 * fs_sched_pick: decide the next job and charge it.
 *
 * On FS_PICK_TAKE the workspace's slot is counted and its cost charged; the
 * caller makes the lease in the same critical section.  On FS_PICK_FILL the
 * flow is marked as being scanned by the caller, who must call fs_sched_filled
 * or fs_sched_fill_abandoned.
 */
FsPick
fs_sched_pick(int32 db, FsEligible *e, int *visits, int32 *flow, int *slot,
			  FsCandidate *cand)
{
	FsDatabase *d = &fs_dbs[db];
	bool		beyond_share = false;

	if (d->drained || e->nrings == 0)
		return FS_PICK_NOTHING;
	if (d->wake_root != RINGHEAP_NONE)
		fs_admit_wake_due(d, e->now);
	if (d->room_rings != FS_NONE)
		(void) fs_room_offer(d, e, visits);
	if (fs_budget_hopeful(db))
		(void) fs_budget_offer(db, visits, e->now);
	for (;;)
	{
		int32		m = first_member(e, true);
		bool		urgent = m != FS_NONE;
		FsMember   *member;
		FsShare    *share;
		FsLane	   *lane;
		FsWorkspace *ws;
		FsFlow	   *f;
		uint64		due;
		uint64		key;
		uint64		before;
		int			s;

		if (!urgent)
			m = first_member(e, false);
		if (m == FS_NONE)
		{
			if (d->room_rings != FS_NONE && fs_room_offer(d, e, visits))
				continue;
			if (fs_budget_hopeful(db) && fs_budget_offer(db, visits, e->now))
				continue;
			if (*visits > fs_max_visits)
				return FS_PICK_TIRED;
			if (beyond_share || !let_capped_in(d, e))
				return FS_PICK_NOTHING;
			beyond_share = true;
			continue;
		}
		d->visits++;
		if (++*visits > fs_max_visits)
			return FS_PICK_TIRED;

		share = &fs_shares[fs_members[m].share];
		if (share->away)
		{
			choose_members(e, fs_members[m].share);
			fs_sched_members_take_out(e->members, mine.n);
			continue;
		}
		lane = &fs_lanes[share->lane];
		ws = &fs_workspaces[share->workspace];
		if (ws->running >= fs_sched_ceiling(ws) &&
			ws->running - fs_sched_gifts_left(e, share->workspace) >= fs_sched_ceiling(ws))
		{
			fs_stats_parked(share->lane, FS_PARK_CEILING);
			fs_sched_park(share->workspace, FS_PARK_CEILING);
			continue;
		}
		if (!beyond_share && ws->running >= fs_sched_share_cap(d) &&
			ws->running - fs_sched_gifts_left(e, share->workspace) >= fs_sched_share_cap(d))
		{
			fs_stats_parked(share->lane, FS_PARK_SHARE);
			fs_sched_park(share->workspace, FS_PARK_SHARE);
			continue;
		}

		if (fs_members[m].charges != share->charges)
		{
			/* it was served through another ring since it got its place */
			rekey_mine(e, fs_members[m].share);
			continue;
		}
		if (fs_rings[fs_members[m].ring].seen != lane->round)
			fs_sched_rings_see(e->rings, e->nrings, share->lane);
		fs_sched_share_shift(share);
		due = urgent ? lane->round : Max(fs_nodes[m].round, lane->round);
		if (urgent)
		{
			fs_sched_share_settle(share);
			drr_join(&share->drr, lane->round);
		}
		else if (fs_nodes[m].round < lane->round)
			fs_sched_share_join(share);
		if (!urgent)
			m = best_member_of_share(e, m);
		member = &fs_members[m];
		(void) fs_sched_member_next(m, flow, &s);
		f = &fs_flows[*flow];
		*slot = s;

		if (fs_sched_flow_candidate(f, s) < 0)
		{
			if (f->filling)
				return FS_PICK_WAIT;
			fs_sched_fill_begin(*flow, s);
			return FS_PICK_FILL;
		}

		if (fs_closing_bars(share->workspace, fs_sched_flow_cands(f)[fs_sched_flow_candidate(f, s)].position))
		{
			fs_sched_park(share->workspace, FS_PARK_MOVING);
			continue;
		}
		if (fs_admit_gated(ws, f) && !fs_admit_flow(*flow, s, e))
			continue;			/* parked, with a reason */

		if (urgent)
		{
			if (!drr_may_jump(&share->drr, fs_sched_flow_head_cost(f, s)))
			{
				/*
				 * served through another ring meanwhile, or dearer than
				 * thought
				 */
				rekey_mine(e, fs_members[m].share);
				continue;
			}
		}
		else
		{
			key = drr_key(&share->drr, fs_sched_flow_head_cost(f, s));
			if (key > due)
			{
				/* the same */
				save_for(e, m, fs_sched_flow_head_cost(f, s), key);
				continue;
			}
			if (key > share->drr.round)
			{
				drr_grant_until(&share->drr, key);
				fs_sched_share_granted(fs_members[m].share);
			}
		}
		before = lane->round;
		lane->round = Max(lane->round, due);
		lane->served_at = ++d->serve_clock;

		if (!urgent && share->drr.round == lane->round)
			share->visited = (uint32) lane->round;
		if (lane->round > before)
			for (int i = 0; i < e->nrings; i++)
				if (fs_rings[e->rings[i]].lane == share->lane)
					fs_rings[e->rings[i]].seen = lane->round;
		fs_sched_member_in_step(m);

		*cand = fs_sched_take(*flow, s);
		d->advance = fs_fair_served(e, m, cand->cost, before, urgent);
		drr_charge(&share->drr, cand->cost);
		member->charges = ++share->charges; /* it gets its new place at once */
		share->saves_for = FS_NONE;
		ws->running++;
		d->running++;
		if (f->list_slot == s && member->heads[s] == *flow)
			member->heads[s] = f->list_next;	/* flows of a class take turns */
		member->served = (uint32) d->serve_clock;
		fs_sched_flow_relink(*flow);
		if (urgent)
			fs_sched_urgent_served(m);
		return FS_PICK_TAKE;
	}
}

/*
 * fs_sched_fill_ahead: of the members that are next in their rings, the first
 * whose next job is not known and not being looked for.  True: it is marked as
 * being scanned by the caller, as by FS_PICK_FILL.  Decides nothing about the order.
 */
bool
fs_sched_fill_ahead(const FsEligible *e, int32 *flow, int *slot)
{
	int32		near[AHEAD_NODES];
	int			n = 0;

	for (int i = 0; i < e->nrings && n < AHEAD_NODES; i++)
		if (fs_rings[e->rings[i]].root != RINGHEAP_NONE)
			near[n++] = fs_rings[e->rings[i]].root;
	for (int looked = 0; n > 0 && looked < AHEAD_MEMBERS; looked++)
	{
		int			first = 0;
		int32		m;
		FsFlow	   *f;

		for (int i = 1; i < n; i++)
			if (ringheap_before(&fs_nodes[near[i]], &fs_nodes[near[first]]))
				first = i;
		m = near[first];
		near[first] = near[--n];
		for (int32 c = fs_nodes[m].child; c != RINGHEAP_NONE && n < AHEAD_NODES; c = fs_nodes[c].next)
			near[n++] = c;
		if (fs_shares[fs_members[m].share].away || fs_sched_member_next(m, flow, slot) == FS_NOTHING)
			continue;
		f = &fs_flows[*flow];
		if (f->filling || f->id < 0 || fs_sched_flow_candidate(f, *slot) >= 0)
			continue;
		fs_sched_fill_begin(*flow, *slot);
		return true;
	}
	return false;
}

/* fs_sched_refund: a claim came to nothing; `advance` is what it brought the clocks of fairness.c. */
void
fs_sched_refund(int32 s, int32 cost, double advance)
{
	int64		lost = fs_sched_share_refund(s, cost);

	fs_fair_undone(s, cost, advance, lost);
}
