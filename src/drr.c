/*
 * drr.c
 *		Deficit Round Robin in closed form; see drr.h.
 */
#include "drr.h"

/* drr_rounds_needed: how many more quanta until a head of this cost is affordable. */
uint64_t
drr_rounds_needed(const DrrShare *share, int64_t cost)
{
	if (cost <= share->deficit)
		return 0;
	return (uint64_t) ((cost - share->deficit + share->quantum - 1) / share->quantum);
}

/* drr_key: the round in which a head of this cost is served. */
uint64_t
drr_key(const DrrShare *share, int64_t cost)
{
	return share->round + drr_rounds_needed(share, cost);
}

/* drr_grant_until: the quanta of every round up to and including `round`. */
void
drr_grant_until(DrrShare *share, uint64_t round)
{
	if (round <= share->round)
		return;
	share->deficit += (int64_t) (round - share->round) * share->quantum;
	share->round = round;
}

/*
 * drr_join: a share (re)enters a ring that is in `ring_round`.  The rounds it
 * was away for bring it nothing, except that they pay off a debt, one quantum
 * each; it is visited once before the ring's next round begins.
 */
void
drr_join(DrrShare *share, uint64_t ring_round)
{
	uint64_t	missed;

	if (share->round + 1 >= ring_round)
		return;
	missed = ring_round - 1 - share->round;
	if (share->deficit < 0)
	{
		uint64_t	owed = (uint64_t) (-share->deficit);
		uint64_t	rounds = (owed + share->quantum - 1) / share->quantum;

		if (missed >= rounds)
			share->deficit = 0;
		else
			share->deficit += (int64_t) missed * share->quantum;
	}
	share->round = ring_round - 1;
}

/*
 * drr_resume: others went past a share in the middle of its visit.  Of what it had
 * it keeps what a visit may leave, less than the cost of its head, and such a job:
 * with more on top of a fresh quantum it would get twice as much as they.  Returns
 * how much it lost.
 */
int64_t
drr_resume(DrrShare *share, uint64_t ring_round, int64_t cost)
{
	int64_t		lost = share->deficit - (2 * cost - 1);

	if (share->round >= ring_round || lost <= 0)
		return 0;
	share->deficit -= lost;
	return lost;
}

void
drr_charge(DrrShare *share, int64_t cost)
{
	share->deficit -= cost;
}

/*
 * drr_refund: what was served is not.  It is as if that had not been, up to one
 * visit: a large claim that is undone leaves no hoard.  Returns how much of it is
 * lost.
 */
int64_t
drr_refund(DrrShare *share, int64_t cost)
{
	int64_t		lost = share->deficit + cost - (share->quantum + cost - 1);

	if (lost < 0)
		lost = 0;
	if (lost > cost)
		lost = cost;
	share->deficit += cost - lost;
	return lost;
}

/* drr_empty: a queue that empties loses what it did not use; a debt stays. */
void
drr_empty(DrrShare *share)
{
	if (share->deficit > 0)
		share->deficit = 0;
}

/*
 * drr_may_jump: urgent work is served before its turn as long as the share's
 * debt afterwards is at most one quantum.
 */
bool
drr_may_jump(const DrrShare *share, int64_t cost)
{
	return share->deficit - cost >= -(int64_t) share->quantum;
}

/*
 * drr_jump_round: the first round in which it may; 0 = at once.  Rounds pay
 * when they have passed, so the quantum of this round itself does not count:
 * that one is had by waiting for the turn.
 */
uint64_t
drr_jump_round(const DrrShare *share, int64_t cost)
{
	int64_t		lacking = cost - share->quantum - share->deficit;

	if (lacking <= 0)
		return 0;
	return share->round + 1 + (uint64_t) ((lacking + share->quantum - 1) / share->quantum);
}

/* drr_debt: what a share that is away still owes in `ring_round`. */
int64_t
drr_debt(const DrrShare *share, uint64_t ring_round)
{
	DrrShare	now = *share;

	drr_join(&now, ring_round);
	return now.deficit < 0 ? -now.deficit : 0;
}
