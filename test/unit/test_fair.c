/*
 * test_fair.c
 *		Entitlement, lag and score against counts made one by one.  Prints TAP.
 *
 * The oracle gives every cost unit that is served to all who contend at that
 * moment, by their quanta, walking over them; the clock does it in one addition.
 */
#include "../../src/drr.h"
#include "../../src/fair.h"
#include "tap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define N 12

static bool
near(double a, double b)
{
	return fabs(a - b) < 1e-6 * (1 + fabs(a) + fabs(b));
}

/* Shares that come and go and are served at random: is each credited its part? */
static void
against_oracle(void)
{
	FairClock	clock = {0};
	FairPeriod	period[N] = {{0}};
	FairTotals	totals[N] = {{0}};
	int32_t		quantum[N];
	bool		in[N] = {false};
	double		due[N] = {0};
	double		got[N] = {0};
	double		all_due = 0;
	double		all_got = 0;
	bool		right = true;

	for (int i = 0; i < N; i++)
		quantum[i] = (int32_t) (20 + 20 * rnd(4));
	for (int step = 0; step < 100000; step++)
	{
		int			i = (int) rnd(N);
		int32_t		cost = (int32_t) (1 + rnd(30));

		if (!in[i])
		{
			fair_begin(&period[i], &clock, quantum[i], (uint64_t) step / 50);
			in[i] = true;
		}
		else if (rnd(20) == 0)
		{
			/* where it does not leave, nothing is forfeited */
			fair_end(&period[i], &clock, quantum[i], false, &totals[i]);
			in[i] = false;
		}
		else if (clock.shares > 1)
		{
			int64_t		quanta = 0;

			for (int j = 0; j < N; j++)
				quanta += in[j] ? quantum[j] : 0;
			right = right && quanta == clock.quanta;
			for (int j = 0; j < N; j++)
				if (in[j])
					due[j] += (double) cost * quantum[j] / quanta;
			clock.time += (double) cost / clock.quanta;
			period[i].served += cost;
			got[i] += cost;
			if (rnd(100) == 0)
				fair_settle(&period[i], &clock, quantum[i], (uint64_t) step / 50, &totals[i]);
		}
	}
	ok(right, "the clock knows the quanta of all who contend");
	for (int i = 0; i < N; i++)
	{
		double		entitled = totals[i].entitled + (in[i] ? fair_entitled(&period[i], &clock, quantum[i]) : 0);
		double		served = (double) totals[i].served + (in[i] ? period[i].served : 0);

		right = right && near(entitled, due[i]) && near(served, got[i]);
		all_due += entitled;
		all_got += served;
	}
	ok(right, "each is entitled to its part of what was served while it contended");
	ok(near(all_due, all_got), "all entitlement together is all service");
}

static void
leaving(void)
{
	FairClock	clock = {0};
	FairPeriod	a;
	FairPeriod	b;
	FairTotals	ta = {0};
	FairTotals	tb = {0};

	fair_begin(&a, &clock, 20, 1);
	fair_begin(&b, &clock, 20, 1);
	clock.time += 15.0 / 40;
	b.served += 15;
	fair_end(&a, &clock, 20, true, &ta);
	ok(ta.entitled == 0 && ta.served == 0, "who leaves before its visit has forfeited it");
	ok(clock.shares == 1 && clock.quanta == 20, "and contends no more");
	fair_begin(&a, &clock, 20, 1);
	clock.time += 100.0 / 40;
	b.served += 100;
	fair_end(&a, &clock, 20, true, &ta);
	ok(near(ta.entitled, 30), "but at most one quantum is forfeited");
	fair_end(&b, &clock, 20, true, &tb);
	ok(near(tb.entitled, 57.5) && tb.served == 115, "who is ahead forfeits nothing");
	ok(clock.shares == 0 && clock.quanta == 0, "nobody contends");
}

static void
rounds(void)
{
	FairClock	clock = {0};
	FairPeriod	p;
	FairTotals	t = {0};

	fair_rounds(&clock, 5, 5);
	fair_begin(&p, &clock, 40, 5);
	fair_rounds(&clock, 5, 8);
	p.served = 100;
	ok(fair_lag(&p, &clock, 40) == 20, "lag is a quantum for each round, less service");
	p.served = 130;
	ok(fair_lag(&p, &clock, 40) == -10, "and negative for who is ahead");
	fair_rounds(&clock, 50, 50);
	ok(fair_is_stale(&p, &clock) && fair_lag(&p, &clock, 40) == 0,
	   "rounds that passed without a claimer of the ring were no offer");
	fair_rounds(&clock, 50, 52);
	ok(fair_lag(&p, &clock, 40) == 80, "those that pass with one are");
	fair_settle(&p, &clock, 40, 52, &t);
	ok(!fair_is_stale(&p, &clock) && fair_lag(&p, &clock, 40) == 0, "a new period begins at 0");
	fair_begin(&p, &clock, 40, 60);
	ok(fair_lag(&p, &clock, 40) == 0, "who came in a round the ring has not seen is not ahead");
	clock.round = (UINT64_C(1) << 32) + 3;
	clock.base = 0;
	fair_begin(&p, &clock, 20, (UINT64_C(1) << 32) - 2);
	ok(fair_lag(&p, &clock, 20) == 100, "low bits of the round are enough");
	ok(fair_bound(20, 30, false) == 80 && fair_bound(20, 30, true) == 120, "the bound, without and with P0");
}

/*
 * The bound itself: Deficit Round Robin over random queues, as ring.c does it,
 * with shares that come, go and are undone.
 */
static void
bound_holds(void)
{
	DrrShare	drr[N];
	FairClock	clock = {0};
	FairPeriod	period[N];
	FairTotals	totals[N] = {{0}};
	int32_t		head[N];
	bool		in[N] = {false};
	uint64_t	round = 1;
	double		worst = 0;

	for (int i = 0; i < N; i++)
		drr[i] = (DrrShare) {.quantum = (int32_t) (20 << rnd(3))};
	clock.round = round;
	for (int step = 0; step < 200000; step++)
	{
		int			i = (int) rnd(N);
		int			first = -1;

		if (rnd(10) == 0 && !in[i])
		{
			drr_join(&drr[i], round);
			head[i] = (int32_t) (1 + rnd(50));
			drr_resume(&drr[i], round, head[i]);
			fair_begin(&period[i], &clock, drr[i].quantum, round);
			in[i] = true;
		}
		else if (rnd(200) == 0 && in[i])
		{
			fair_end(&period[i], &clock, drr[i].quantum, true, &totals[i]);
			drr_empty(&drr[i]);
			in[i] = false;
		}
		for (int j = 0; j < N; j++)
			if (in[j] && (first < 0 || drr_key(&drr[j], head[j]) < drr_key(&drr[first], head[first])))
				first = j;
		if (first < 0)
			continue;
		{
			uint64_t	due = drr_key(&drr[first], head[first]);
			uint64_t	before = round;

			if (due < round)
				due = round;
			/* who waits for a costly head has received the quanta of the rounds that passed */
			drr_grant_until(&drr[first], due);
			round = due;
			drr_charge(&drr[first], head[first]);
			fair_rounds(&clock, before, round);
			clock.time += (double) head[first] / clock.quanta;
			period[first].served += head[first];
			if (rnd(50) == 0)
			{
				/* undone: its job is the head again */
				period[first].lost += (int32_t) drr_refund(&drr[first], head[first]);
				clock.time -= (double) head[first] / clock.quanta;
				period[first].served -= head[first];
				fair_settle(&period[first], &clock, drr[first].quantum, round, &totals[first]);
			}
			else
				head[first] = (int32_t) (1 + rnd(50));
		}
		for (int j = 0; j < N; j++)
			if (in[j])
			{
				double		f = drr[j].quantum / 20.0;
				double		by = fabs(fair_lag(&period[j], &clock, drr[j].quantum)) / f /
					fair_bound(20, 50, false);

				if (by > worst)
					worst = by;
			}
	}
	printf("# largest lag: %.2f of the bound\n", worst);
	ok(worst <= 1, "lag is never beyond the bound, whoever comes and goes");
	ok(worst > 0.2, "and the bound means something");
}

static void
scores(void)
{
	FairScore	s = {0};

	ok(fair_score(&s) == 1 && fair_jain(&s) == 1, "nobody contended: 1");
	fair_score_add(&s, 0, 0, 21);
	ok(s.n == 0, "who was entitled to nothing is not unfairly served");
	fair_score_add(&s, 100, 100, 21);
	fair_score_add(&s, 100, 85, 21);
	ok(fair_score(&s) == 1 && fair_jain(&s) == 1, "within a visit is all that is due");
	fair_score_add(&s, 200, 0, 21);
	ok(near(fair_score(&s), 0.5), "half of all entitlement was not served");
	ok(near(fair_jain(&s), 4.0 / (3 * 2)), "Jain's index of 1, 1 and 0");
	ok(fair_satisfaction(100, 50, 21) == 0.5 && fair_satisfaction(100, 150, 21) == 1.5, "satisfaction");
	ok(fair_lacking(100, 50, 21) == 50 && fair_lacking(100, 80, 21) == 0 && fair_lacking(100, 200, 21) == 0,
	   "what is lacking");
}

int
main(void)
{
	against_oracle();
	leaving();
	rounds();
	bound_holds();
	scores();
	return done_testing();
}
