/*
 * test_victim.c
 *		The order of candidates for preemption.  Prints TAP.
 */
#include "../../src/victim.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>

static void
reset(Victim *v, int n)
{
	for (int i = 0; i < n; i++)
		v[i].chosen = false;
}

/* The ids in the order in which they would be chosen, as a number. */
static long
order_of(Victim *v, int n, const VictimOwner *from, int nowners, VictimOrder order)
{
	VictimOwner owners[8];
	long		digits = 0;
	int			i;

	for (int o = 0; o < nowners; o++)
		owners[o] = from[o];
	reset(v, n);
	while ((i = victim_next(v, n, owners, order)) >= 0)
	{
		victim_choose(&v[i], owners);
		digits = digits * 10 + (long) v[i].job_id;
	}
	return digits;
}

int
main(void)
{
	VictimOwner one[1] = {{100, 1.0}};
	VictimOwner two[2] = {{60, 1.0}, {80, 2.0}};
	Victim		classes[4] = {{1, 2, 0, 1, 5, false}, {2, 3, 0, 1, 9, false}, {3, 1, 0, 1, 0, false}, {4, 3, 0, 1, 1, false}};
	Victim		shares[4] = {{1, 3, 0, 10, 5, false}, {2, 3, 1, 10, 1, false}, {3, 3, 0, 10, 7, false}, {4, 3, 1, 10, 2, false}};
	Victim		turns[6] = {{1, 3, 0, 25, 1, false}, {2, 3, 0, 25, 1, false}, {3, 3, 1, 25, 1, false}, {4, 3, 1, 25, 1, false},
	{5, 3, 0, 10, 1, false}, {6, 3, 1, 30, 1, false}};
	Victim		alike[3] = {{1, 3, 0, 1, 4, false}, {3, 3, 0, 1, 4, false}, {2, 3, 0, 1, 4, false}};
	Victim		none[1];
	bool		right = true;

	ok(order_of(classes, 4, one, 1, VICTIM_BY_SHARE) == 4213, "the lowest class first, then the least work lost");
	ok(order_of(classes, 4, one, 1, VICTIM_BY_LOSS) == 4213, "by loss, the class is first all the same");
	ok(order_of(shares, 4, two, 2, VICTIM_BY_SHARE) == 1324, "held / weight: 60 of weight 1 is more than 80 of weight 2");
	ok(order_of(shares, 4, two, 2, VICTIM_BY_LOSS) == 2413, "by loss: whoever loses least");
	{
		VictimOwner owners[2] = {{80, 1.0}, {80, 1.0}};
		int			last = -1;

		reset(turns, 6);
		for (int k = 0; k < 4; k++)
		{
			int			i = victim_next(turns, 6, owners, VICTIM_BY_SHARE);
			double		most = owners[0].held > owners[1].held ? owners[0].held : owners[1].held;

			right &= owners[turns[i].owner].held >= most;
			victim_choose(&turns[i], owners);
			last = i;
		}
		ok(right && last >= 0, "what was chosen counts as given back: equals take turns");
	}
	ok(order_of(alike, 3, one, 1, VICTIM_BY_SHARE) == 321, "jobs that are alike: the youngest first");
	ok(victim_next(none, 0, one, VICTIM_BY_SHARE) == -1, "nobody");
	reset(shares, 4);
	ok(victim_enough(shares, 4, 40) && !victim_enough(shares, 4, 41), "all of them hold 40");
	shares[0].chosen = true;
	ok(victim_enough(shares, 4, 30) && !victim_enough(shares, 4, 31), "without the one that was chosen 30");
	ok(victim_enough(shares, 0, 0) && victim_enough(shares, 0, -5), "nothing is lacking");

	/* random: every next one is the least of those that are left, by definition */
	right = true;
	srand(7);
	for (int run = 0; run < 200; run++)
	{
		Victim		v[40];
		VictimOwner owners[5];
		int			cls = 3;

		for (int o = 0; o < 5; o++)
			owners[o] = (VictimOwner) {0, 0.5 + rand() % 8};
		for (int i = 0; i < 40; i++)
		{
			v[i] = (Victim) {i + 1, 2 + rand() % 2, rand() % 5, 1 + rand() % 9, rand() % 50, false};
			owners[v[i].owner].held += v[i].amount;
		}
		for (int k = 0; k < 40; k++)
		{
			int			i = victim_next(v, 40, owners, VICTIM_BY_SHARE);

			right &= i >= 0 && v[i].cls <= cls;
			cls = v[i].cls;
			for (int j = 0; j < 40; j++)
				if (!v[j].chosen && v[j].cls == v[i].cls)
				{
					double		a = owners[v[i].owner].held / owners[v[i].owner].weight;
					double		b = owners[v[j].owner].held / owners[v[j].owner].weight;

					right &= a >= b && (a > b || v[i].lost <= v[j].lost);
				}
			victim_choose(&v[i], owners);
		}
		for (int o = 0; o < 5; o++)
			right &= owners[o].held == 0;
	}
	ok(right, "random ones: class, share, loss; in the end nothing is held");

	return done_testing();
}
