/*
 * fair.c
 *		What is fair, in numbers; see fair.h.
 */
#include "fair.h"

/* fair_begin: a share contends from now on, in the lane's round. */
void
fair_begin(FairPeriod *period, FairClock *clock, int32_t quantum, uint64_t round)
{
	clock->quanta += quantum;
	clock->shares++;
	period->since = clock->time;
	period->round = (uint32_t) round;
	period->served = period->lost = 0;
}

/* fair_entitled: to what, in this period. */
double
fair_entitled(const FairPeriod *period, const FairClock *clock, int32_t quantum)
{
	return quantum * (clock->time - period->since);
}

/* fair_settle: what has been goes into the totals, and a new period begins. */
void
fair_settle(FairPeriod *period, const FairClock *clock, int32_t quantum, uint64_t round,
			FairTotals *totals)
{
	totals->entitled += fair_entitled(period, clock, quantum);
	totals->served += period->served;
	period->since = clock->time;
	period->round = (uint32_t) round;
	period->served = period->lost = 0;
}

/*
 * fair_end: it contends no more.  Who leaves (its queue is empty, or it may not
 * take more) took what it could take: it forfeits what is left of its visit, at
 * most a quantum, as the round robin takes its deficit away.  What it lacks
 * beyond that stays on record.
 */
void
fair_end(FairPeriod *period, FairClock *clock, int32_t quantum, bool leaves, FairTotals *totals)
{
	if (leaves)
	{
		double		lacking = fair_entitled(period, clock, quantum) - period->served;

		if (lacking > 0)
			totals->entitled -= lacking < quantum ? lacking : quantum;
	}
	fair_settle(period, clock, quantum, period->round, totals);
	clock->quanta -= quantum;
	clock->shares--;
}

/*
 * fair_rounds: a claimer that may serve this ring brought the lane from one
 * round to another.  Rounds that others brought it through, who may not serve
 * the ring, were no offer to its members: their periods are void (base).
 */
void
fair_rounds(FairClock *clock, uint64_t before, uint64_t after)
{
	if (clock->round < before)
		clock->base = before;
	clock->round = after;
}

/* fair_start: the round in which the period began: near that of the clock, of which it has the low bits. */
uint64_t
fair_start(const FairPeriod *period, const FairClock *clock)
{
	return clock->round - (uint64_t) (int64_t) (int32_t) ((uint32_t) clock->round - period->round);
}

/* fair_is_stale: the period began in rounds that were no offer; a new one is to begin. */
bool
fair_is_stale(const FairPeriod *period, const FairClock *clock)
{
	return clock->base > fair_start(period, clock);
}

/*
 * fair_lag: how far the service of this period is behind a quantum in each round
 * (negative: ahead of it), but for what the round robin does not owe it any more.
 */
double
fair_lag(const FairPeriod *period, const FairClock *clock, int32_t quantum)
{
	uint64_t	start = fair_start(period, clock);

	if (fair_is_stale(period, clock))
		return (double) quantum * (clock->round - clock->base);
	if (start > clock->round)
		start = clock->round;	/* it came in a round that this ring's
								 * claimers have not seen yet */
	return (double) quantum * (clock->round - start) - period->served - period->lost;
}

/* fair_bound: of the lag, normalised to the least quantum (DESIGN of the round robin). */
double
fair_bound(int32_t least_quantum, int32_t max_cost, bool urgent)
{
	return (urgent ? 3.0 : 1.0) * least_quantum + 2.0 * max_cost;
}

/*
 * fair_satisfaction: service as a part of entitlement.  Who is served in rounds
 * is ahead or behind at any moment: within that (tolerance) it has what is its.
 */
double
fair_satisfaction(double entitled, double served, double tolerance)
{
	double		lacking = entitled - served;

	if (entitled <= 0 || (lacking <= tolerance && -lacking <= tolerance))
		return 1.0;
	return served > 0 ? served / entitled : 0.0;
}

/* fair_lacking: of the entitlement, beyond what the bound accounts for. */
double
fair_lacking(double entitled, double served, double tolerance)
{
	double		lacking = entitled - (served > 0 ? served : 0);

	return lacking > tolerance ? lacking : 0.0;
}

/* fair_score_add: one that contended. */
void
fair_score_add(FairScore *score, double entitled, double served, double tolerance)
{
	double		x;

	if (entitled <= 0)
		return;
	x = fair_satisfaction(entitled, served, tolerance);
	score->n++;
	score->sum += x;
	score->squares += x * x;
	score->entitled += entitled;
	score->lacking += fair_lacking(entitled, served, tolerance);
}

/* fair_jain: (sum x)^2 / (n * sum x^2) (Jain, Chiu & Hawe 1984); 1 when nobody contended. */
double
fair_jain(const FairScore *score)
{
	if (score->n == 0 || score->squares <= 0)
		return 1.0;
	return score->sum * score->sum / (score->n * score->squares);
}

/* fair_score: the part of all entitlement that was served; 1 when nobody contended. */
double
fair_score(const FairScore *score)
{
	if (score->entitled <= 0)
		return 1.0;
	return 1.0 - score->lacking / score->entitled;
}
