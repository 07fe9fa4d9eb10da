/*
 * fair.h
 *		What is fair: entitlement, lag, score.  docs/fairness.md has the formulas.
 *
 * Entitlement is that of a fluid server (generalised processor sharing, Parekh
 * & Gallager 1993): while work is served, each of those who contend for it is
 * entitled to its weight's part.  A ring's clock shows virtual time, which
 * advances by cost / (quanta of all who contend), so whoever contends from v to
 * w is entitled to quantum * (w - v): no work for those who wait, whatever
 * their number.
 *
 * Lag is measured against the round robin's own promise, a quantum in each
 * round: rounds that passed * quantum - service.  It does not drift with others
 * that come and go, so the bound of Deficit Round Robin holds for it in any
 * period in which somebody contends.
 *
 * Pure arithmetic: no locks, no PostgreSQL.  Amounts are cost units.
 */
#ifndef FS_FAIR_H
#define FS_FAIR_H

#include <stdbool.h>
#include <stdint.h>

/* Of a ring. */
typedef struct FairClock
{
	double		time;			/* virtual: rounds of those who contend,
								 * served */
	uint64_t	round;			/* of the lane, when a claimer of this ring
								 * was served last */
	uint64_t	base;			/* rounds before this one passed without such
								 * a claimer */
	int64_t		quanta;			/* of all who contend here */
	int32_t		shares;			/* how many these are */
} FairClock;

/* Of one who contends: since it does, or since it was alone. */
typedef struct FairPeriod
{
	double		since;			/* the clock's time at the start */
	uint32_t	round;			/* the lane's round at the start, its low bits */
	int32_t		served;			/* since then, in competition */
	int32_t		lost;			/* refunds that it did not get, less those of
								 * before that it may still get */
} FairPeriod;

/* Of all periods that are over. */
typedef struct FairTotals
{
	double		entitled;
	int64_t		served;			/* in competition */
} FairTotals;

extern void fair_begin(FairPeriod *period, FairClock *clock, int32_t quantum, uint64_t round);
extern void fair_settle(FairPeriod *period, const FairClock *clock, int32_t quantum, uint64_t round,
						FairTotals *totals);
extern void fair_end(FairPeriod *period, FairClock *clock, int32_t quantum, bool leaves,
					 FairTotals *totals);
extern void fair_rounds(FairClock *clock, uint64_t before, uint64_t after);
extern uint64_t fair_start(const FairPeriod *period, const FairClock *clock);
extern bool fair_is_stale(const FairPeriod *period, const FairClock *clock);
extern double fair_entitled(const FairPeriod *period, const FairClock *clock, int32_t quantum);
extern double fair_lag(const FairPeriod *period, const FairClock *clock, int32_t quantum);
extern double fair_bound(int32_t least_quantum, int32_t max_cost, bool urgent);

/* Over those who contended: Jain's index and the score. */
typedef struct FairScore
{
	int32_t		n;
	double		sum;			/* of satisfactions */
	double		squares;
	double		entitled;
	double		lacking;
} FairScore;

extern double fair_satisfaction(double entitled, double served, double tolerance);
extern double fair_lacking(double entitled, double served, double tolerance);
extern void fair_score_add(FairScore *score, double entitled, double served, double tolerance);
extern double fair_jain(const FairScore *score);
extern double fair_score(const FairScore *score);

#endif							/* FS_FAIR_H */
