/*
 * test_meter.c
 *		A budget's meter against an oracle that keeps every amount in a list.
 *		Prints TAP.
 *
 * The oracle knows nothing of bits and armings: after every step it adds up the
 * list and compares with each threshold, so that a threshold counted twice, or
 * not at all, in any order of reservations, spendings, rises, cuts and resets
 * shows as a difference.
 */
#include "../../src/meter.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int32_t usual[METER_THRESHOLDS] = {500000, 800000, METER_NEVER, 950000};

static void
test_thresholds(void)
{
	Meter		m = {0};
	unsigned	armed;

	ok(meter_set(&m, 100, usual, &armed) == 0 && armed == 0, "a new budget has crossed nothing");
	ok(meter_spend(&m, 49, 0) == 0, "below the first threshold nothing is crossed");
	ok(meter_spend(&m, 1, 0) == METER_BIT(METER_WARN), "exactly at it, it is");
	ok(meter_spend(&m, 1, 0) == 0, "and not again");
	ok(meter_spend(&m, 60, 0) == (METER_BIT(METER_THROTTLE) | METER_BIT(METER_PAUSE)),
	   "one amount may cross several; one that is off is not");
	ok(m.spent == 111 && meter_room(&m) == -11, "overspent by eleven");

	ok(meter_set(&m, 200, usual, &armed) == 0, "raised: nothing is newly crossed");
	ok(armed == (METER_BIT(METER_THROTTLE) | METER_BIT(METER_PAUSE)), "what lies above is armed again");
	ok(m.crossed == METER_BIT(METER_WARN), "what lies below stays crossed");
	ok(meter_spend(&m, 49, 0) == METER_BIT(METER_THROTTLE), "and is crossed again when it is reached");
	ok(meter_set(&m, 100, usual, &armed) == METER_BIT(METER_PAUSE), "cut: what is reached now is crossed");
	ok(meter_set(&m, 100, usual, &armed) == 0 && armed == 0, "setting the same again changes nothing");
	ok(meter_reset(&m) == (METER_BIT(METER_WARN) | METER_BIT(METER_THROTTLE) | METER_BIT(METER_PAUSE)),
	   "a reset arms all");
	ok(m.spent == 0 && m.crossed == 0, "and nothing is spent");
	ok(meter_reset(&m) == 0, "another has nothing to arm");

	{
		int32_t		off[METER_THRESHOLDS] = {METER_NEVER, METER_NEVER, METER_NEVER, METER_NEVER};

		meter_spend(&m, 99, 0);
		meter_set(&m, 100, off, &armed);
		ok(armed == (METER_BIT(METER_WARN) | METER_BIT(METER_THROTTLE) | METER_BIT(METER_PAUSE)) &&
		   m.crossed == 0, "a threshold that is switched off is not crossed any more");
	}
}

static void
test_edges(void)
{
	Meter		m = {0};
	unsigned	armed;
	int32_t		all[METER_THRESHOLDS] = {1, 500000, 999999, 1000000};

	meter_set(&m, 1, all, &armed);
	ok(m.at[0] == 1 && m.at[1] == 1 && m.at[3] == 1, "thresholds of the least amount are that amount, never 0");
	meter_set(&m, INT64_C(1000000000000000000), all, &armed);
	ok(m.at[0] == INT64_C(1000000000000) && m.at[2] == INT64_C(999999000000000000) && m.at[3] == m.amount,
	   "those of the largest are exact");
	meter_set(&m, 3, usual, &armed);
	ok(m.at[METER_WARN] == 2, "a threshold between two units is the upper one");
	for (int i = 0; i < 10; i++)
		meter_spend(&m, INT64_C(1000000000000000000), 0);
	ok(m.spent == METER_MAX && meter_room(&m) < 0, "sums stop before they overflow");
	{
		int64_t		promised[5];
		int64_t		sum = 0;

		for (int i = 0; i < 5; i++)
			promised[i] = meter_reserve(&m, INT64_C(900000000000000000));
		ok(promised[1] == INT64_C(900000000000000000) && promised[2] == METER_MAX - 2 * promised[0] && promised[4] == 0 &&
		   m.reserved == METER_MAX, "so do reservations, which say how much of each was made");
		ok(m.amount - meter_room(&m) == 2 * METER_MAX && meter_room(&m) < 0, "and all that is added up of both");
		for (int i = 0; i < 5; i++)
		{
			meter_release(&m, promised[i]);
			sum += promised[i];
		}
		ok(m.reserved == 0 && sum == METER_MAX, "and go back exactly");
	}
}

static void
test_reservations(void)
{
	Meter		m = {0};
	unsigned	armed;

	meter_set(&m, 100, usual, &armed);
	meter_reserve(&m, 60);
	ok(meter_room(&m) == 40 && m.crossed == 0, "a reservation takes room and crosses nothing");
	meter_release(&m, 60);
	ok(meter_room(&m) == 100, "given back, it is free");
	meter_reserve(&m, 60);
	ok(meter_spend(&m, 20, 20) == 0 && m.reserved == 40 && meter_room(&m) == 40,
	   "what is used of a reservation changes no room");
	meter_release(&m, 40);
	ok(meter_room(&m) == 80, "what was not used comes back");
	meter_reserve(&m, 10);
	ok(meter_spend(&m, 30, 10) == METER_BIT(METER_WARN) && meter_room(&m) == 50,
	   "more than was estimated: the rest comes out of the room");
	meter_reserve(&m, 50);
	meter_reset(&m);
	ok(m.reserved == 50 && meter_room(&m) == 50, "a reset keeps what runs");
}

static void
test_average(void)
{
	int32_t		n = 0;
	int64_t		mean = 0;

	mean = meter_average(mean, &n, 1000);
	ok(mean == 1000 && n == 1, "the first value is the mean");
	mean = meter_average(mean, &n, 3000);
	ok(mean == 2000, "the mean of two");
	for (int i = 0; i < 200; i++)
		mean = meter_average(mean, &n, 500000);
	ok(mean > 499900 && mean <= 500000 && n == METER_WINDOW, "old values fade");
	for (int i = 0; i < 200; i++)
		mean = meter_average(mean, &n, 0);
	ok(mean >= 0 && mean < 100, "down as well, never below zero");
}

/* ---------- against the oracle ---------- */

#define MAX_JOBS 40

static void
test_random(void)
{
	bool		sums = true;
	bool		once = true;
	bool		within = true;
	long		crossings = 0;

	for (int run = 0; run < 400; run++)
	{
		Meter		m = {0};
		unsigned	armed;
		int64_t		job[MAX_JOBS];
		int			njobs = 0;
		int64_t		spent = 0;
		int64_t		reserved = 0;
		int64_t		error = 0;	/* used beyond estimates in this period */
		int64_t		amount = 1 + rnd(1000);
		int32_t		ppm[METER_THRESHOLDS] = {500000, 800000, run % 2 ? 900000 : METER_NEVER, 950000};
		int			open[METER_THRESHOLDS] = {0};	/* crossings told less armings told */

		(void) meter_set(&m, amount, ppm, &armed);
		for (int step = 0; step < 300; step++)
		{
			unsigned	told = 0;

			armed = 0;
			switch (rnd(8))
			{
				case 0:
				case 1:
				case 2:			/* a claim */
					{
						int64_t		estimate = rnd(60);

						if (njobs < MAX_JOBS && estimate <= meter_room(&m))
						{
							meter_reserve(&m, estimate);
							job[njobs++] = estimate;
							reserved += estimate;
							if (m.spent + m.reserved > m.amount)
								within = false;
						}
						break;
					}
				case 3:
				case 4:			/* a job ends, having used more or less */
					if (njobs > 0)
					{
						int			j = rnd(njobs);
						int64_t		used = rnd(80);

						told = meter_spend(&m, used, job[j]);
						spent += used;
						reserved -= job[j];
						error += used > job[j] ? used - job[j] : 0;
						job[j] = job[--njobs];
					}
					break;
				case 5:			/* a job comes to nothing */
					if (njobs > 0)
					{
						int			j = rnd(njobs);

						meter_release(&m, job[j]);
						reserved -= job[j];
						job[j] = job[--njobs];
					}
					break;
				case 6:			/* raised or cut */
					if (rnd(4) == 0)
					{
						amount = 1 + rnd(1500);
						told = meter_set(&m, amount, ppm, &armed);
						error += 2000;	/* a cut may leave it overspent */
					}
					break;
				case 7:
					if (rnd(8) == 0)
					{
						armed = meter_reset(&m);
						spent = 0;
						error += reserved;
					}
					break;
			}
			for (int t = 0; t < METER_THRESHOLDS; t++)
			{
				int64_t		at = ppm[t] == METER_NEVER ? INT64_MAX : (amount * ppm[t] + 999999) / 1000000;

				if (armed & METER_BIT(t))
					open[t]--;
				if (told & METER_BIT(t))
				{
					open[t]++;
					crossings++;
				}
				if (open[t] != (spent >= at ? 1 : 0))
					once = false;
			}
			if (m.spent != spent || m.reserved != reserved)
				sums = false;
			if (m.spent > m.amount + error)
				within = false;
		}
	}
	ok(sums, "random steps: spent and reserved are the sums of what was given");
	ok(once, "each threshold is told once when it is crossed, and once when it is armed again");
	ok(within, "never more promised than there is, never overspent by more than the errors of estimates");
	ok(crossings > 1000, "and many were crossed");
}

int
main(void)
{
	test_thresholds();
	test_edges();
	test_reservations();
	test_average();
	test_random();
	return done_testing();
}
