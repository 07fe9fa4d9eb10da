/*
 * fairness.c
 *		Who got what of what is due to it, kept as jobs are handed out.
 *
 * The arithmetic is in fair.c.  Each ring has a clock; a share that has
 * something in a ring contends there: it is at home in one member, so that it
 * counts once in a lane however many rings it is in.  A pick moves the clocks
 * of all rings of the lane that the claimer may serve, by its cost / the quanta
 * of all who contend there: O(rings the claimer may serve), which the pick looks
 * at anyway, and nothing for the workspaces that wait.  What a member is entitled
 * to is read off its ring's clock.  Rings that the claimer cannot serve stand
 * still: its work was not to be had by their members.
 *
 * Only competition counts: while a single share contends the clocks stand still
 * and its service is not counted.  A claim that comes to nothing turns the clocks
 * of its lane back by what it moved them; a ring of the lane that its claimer
 * could not serve then errs to less entitlement.
 *
 * How long jobs waited goes into a histogram of the workspace, one of FS_DWELLS
 * that are lent to those that claimed last, and into that of its tier.
 *
 * All functions: fs->lock held exclusively (fs_fair_state: shared is enough);
 * nothing here allocates, waits or raises, so that commit and abort callbacks
 * may call it.
 */
#include "fairness.h"

#include <math.h>

#define PERIOD_MAX (1 << 30)	/* cost units after which a new period begins */

static FairClock *
clock_of(int32 member)
{
	return &fs_rings[fs_members[member].ring].clock;
}

/* What it may take beside its visit of this round: refunds of others. */
static int32
to_come(const FsShare *share)
{
	if (share->drr.round >= fs_lanes[share->lane].round || share->drr.deficit <= 0)
		return 0;
	return (int32) Min(share->drr.deficit, PERIOD_MAX);
}

static void
begin(FsShare *share, int32 m)
{
	share->home = m;
	fair_begin(&share->period, clock_of(m), share->drr.quantum, fs_lanes[share->lane].round);
	share->period.lost = -to_come(share);
}

static void
end(FsShare *share, bool leaves)
{
	fair_end(&share->period, clock_of(share->home), share->drr.quantum, leaves,
			 &fs_workspaces[share->workspace].fair);
	share->home = FS_NONE;
}

static void
restart(FsShare *share)
{
	fair_settle(&share->period, clock_of(share->home), share->drr.quantum, fs_lanes[share->lane].round,
				&fs_workspaces[share->workspace].fair);
	share->period.lost = -to_come(share);
}

/* fs_fair_entered: a member is in its ring; its share contends. */
void
fs_fair_entered(int32 m)
{
	FsShare    *share = &fs_shares[fs_members[m].share];

	if (share->home == FS_NONE && !share->away)
		begin(share, m);
}

/* fs_fair_left: a member left its ring; its share contends in another, or no more. */
void
fs_fair_left(int32 m)
{
	FsShare    *share = &fs_shares[fs_members[m].share];

	if (share->home != m)
		return;
	end(share, share->active == 0);
	if (share->active == 0)
		return;
	for (int32 other = share->members; other != FS_NONE; other = fs_members[other].next)
		if (fs_nodes[other].linked)
		{
			begin(share, other);
			return;
		}
}

/* fs_fair_share_left: it contends no more, in whatever rings it is. */
void
fs_fair_share_left(int32 s)
{
	if (fs_shares[s].home != FS_NONE)
		end(&fs_shares[s], true);
}

/* fs_fair_quantum: from now on it is entitled to another part. */
void
fs_fair_quantum(int32 s, int32 quantum)
{
	FsShare    *share = &fs_shares[s];
	int32		home = share->home;

	if (quantum == share->drr.quantum)
		return;
	if (home != FS_NONE)
		end(share, false);
	share->drr.quantum = quantum;
	if (home != FS_NONE)
		begin(share, home);
}

/*
 * fs_fair_served: the pick takes a job of this member; the lane's round was
 * round_before.  Before the member may leave its ring for it.  Returns how far
 * the clocks moved; 0: nobody else contended.
 */
double
fs_fair_served(const FsEligible *e, int32 m, int32 cost, uint64 round_before, bool urgent)
{
	FsShare    *share = &fs_shares[fs_members[m].share];
	FsLane	   *lane = &fs_lanes[share->lane];
	bool		at_home = false;
	int64		quanta = 0;
	int			shares = 0;
	double		advance;

	fs_fair_head(lane, cost);
	if (urgent)
		lane->jumped_at = lane->round;
	if (share->home == FS_NONE)
		return 0;				/* it is in no ring: nobody contends with it */
	for (int i = 0; i < e->nrings; i++)
	{
		FsRing	   *ring = &fs_rings[e->rings[i]];

		if (ring->lane != share->lane)
			continue;
		fair_rounds(&ring->clock, round_before, lane->round);
		quanta += ring->clock.quanta;
		shares += ring->clock.shares;
		if (e->rings[i] == fs_members[share->home].ring)
			at_home = true;
	}
	if (!at_home)
	{
		/* it is served where its home cannot be: it moves */
		end(share, false);
		begin(share, m);
		quanta += share->drr.quantum;
		shares++;
	}
	if (shares < 2)
	{
		restart(share);
		return 0;
	}
	if (fair_is_stale(&share->period, clock_of(share->home)) || (int64) share->period.served + share->period.lost > PERIOD_MAX)
		restart(share);
	advance = (double) cost / quanta;
	for (int i = 0; i < e->nrings; i++)
		if (fs_rings[e->rings[i]].lane == share->lane)
			fs_rings[e->rings[i]].clock.time += advance;
	share->period.served += cost;
	return advance;
}

/* fs_fair_lost: the round robin took so much away from it, of what it had not used. */
void
fs_fair_lost(FsShare *share, int64 lost)
{
	if (lost > 0 && share->home != FS_NONE)
		share->period.lost += (int32) Min(lost, PERIOD_MAX - share->period.lost);
}

/*
 * fs_fair_undone: a pick that moved the clocks by `advance` came to nothing, and
 * its share was given its cost back, but for what is lost.
 */
void
fs_fair_undone(int32 s, int32 cost, double advance, int64 lost)
{
	FsShare    *share = &fs_shares[s];

	if (advance == 0)
		return;					/* it was not counted */
	for (int32 r = fs_lanes[share->lane].rings; r != FS_NONE; r = fs_rings[r].lane_next)
		fs_rings[r].clock.time -= advance;
	if (share->home != FS_NONE)
	{
		share->period.served -= cost;
		fs_fair_lost(share, lost);
	}
	else
		fs_workspaces[share->workspace].fair.served -= cost;
}

/* ---------- how long jobs wait ---------- */

static void
dwell_unlink(int32 i)
{
	FsDwell    *dwell = &fs_dwells[i];

	if (dwell->prev != FS_NONE)
		fs_dwells[dwell->prev].next = dwell->next;
	else
		fs->dwell_first = dwell->next;
	if (dwell->next != FS_NONE)
		fs_dwells[dwell->next].prev = dwell->prev;
	else
		fs->dwell_last = dwell->prev;
}

static void
dwell_to_front(int32 i)
{
	fs_dwells[i].prev = FS_NONE;
	fs_dwells[i].next = fs->dwell_first;
	if (fs->dwell_first != FS_NONE)
		fs_dwells[fs->dwell_first].prev = i;
	else
		fs->dwell_last = i;
	fs->dwell_first = i;
}

/* The histogram of a workspace; when all are lent, of who claimed least lately. */
static DwellHistogram *
dwell_of(int32 w, TimestampTz now)
{
	int32		i = fs_workspaces[w].dwell;

	if (i == FS_NONE)
	{
		FS_POOL_TAKE(fs->dwells, fs_dwells, i);
		if (i == FS_NONE)
		{
			i = fs->dwell_last;
			dwell_unlink(i);
			fs_workspaces[fs_dwells[i].workspace].dwell = FS_NONE;
		}
		fs_dwells[i].workspace = w;
		memset(&fs_dwells[i].histogram, 0, sizeof(DwellHistogram));
		fs_dwells[i].histogram.halved_at = now;
		fs_workspaces[w].dwell = i;
		dwell_to_front(i);
	}
	else if (fs->dwell_first != i)
	{
		dwell_unlink(i);
		dwell_to_front(i);
	}
	return &fs_dwells[i].histogram;
}

/* fs_fair_waited: a claim is committed. */
void
fs_fair_waited(int32 w, FsLease *lease, TimestampTz now)
{
	FsDatabase *d = &fs_dbs[lease->db];
	int32		tier = fs_workspaces[w].set.tier_id;
	int			bucket = lease->dwell - 1;

	if (bucket < 0)
		return;
	lease->dwell = 0;
	dwell_add(dwell_of(w, now), bucket, now);
	if (tier >= 0 && tier < d->ntiers)
		dwell_add(&d->tier_dwell[tier], bucket, now);
}

/* fs_fair_workspace_gone: memory forgets it. */
void
fs_fair_workspace_gone(int32 w)
{
	int32		i = fs_workspaces[w].dwell;

	if (i == FS_NONE)
		return;
	dwell_unlink(i);
	FS_POOL_GIVE(fs->dwells, fs_dwells, i);
	fs_workspaces[w].dwell = FS_NONE;
}

/* ---------- reading ---------- */

/* fs_fair_least_quantum: lag and bound are normalised to it. */
int32
fs_fair_least_quantum(const FsDatabase *db)
{
	int32		least = db->ntiers > 0 ? db->tiers[0].quantum : 1;

	for (int i = 1; i < db->ntiers; i++)
		least = Min(least, db->tiers[i].quantum);
	return least;
}

/* fs_fair_state: of a workspace, over all its lanes. */
void
fs_fair_state(const FsWorkspace *ws, int32 least_quantum, FsFairState *state)
{
	double		worst = -1;

	state->entitled = ws->fair.entitled;
	state->competed = ws->fair.served;
	state->lag = state->bound = 0;
	state->tolerance = 0;
	state->contends = false;
	for (int32 s = ws->shares; s != FS_NONE; s = fs_shares[s].next)
	{
		const FsShare *share = &fs_shares[s];
		const FsLane *lane = &fs_lanes[share->lane];
		const FairClock *clock;
		double		norm;
		double		lag;
		double		bound;

		norm = (double) least_quantum / share->drr.quantum;
		state->tolerance += fair_bound(least_quantum, lane->max_cost, lane->jumped_at != 0) / norm;
		if (share->home == FS_NONE)
			continue;
		clock = clock_of(share->home);
		state->entitled += fair_entitled(&share->period, clock, share->drr.quantum);
		state->competed += share->period.served;
		lag = fair_lag(&share->period, clock, share->drr.quantum) * norm;
		bound = fair_bound(least_quantum, lane->max_cost,
						   lane->jumped_at != 0 && lane->jumped_at >= fair_start(&share->period, clock));
		state->contends |= clock->shares > 1;
		if (fabs(lag) / bound > worst)
		{
			worst = fabs(lag) / bound;
			state->lag = lag;
			state->bound = bound;
		}
	}
}
