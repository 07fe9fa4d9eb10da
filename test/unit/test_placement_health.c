/*
 * test_placement_health.c
 *		Health of nodes, and the built-in score.  Prints TAP.
 */
#include "../../src/placement_health.h"
#include "tap.h"

#include <math.h>
#include <stdio.h>

#define MINUTE	INT64_C(60000000)

static bool
is(double a, double b)
{
	return fabs(a - b) < 1e-9;
}

/* Health after so many ends of each kind at once. */
static double
after(int ended, int failed, int expired)
{
	PlacementHealth h = {0};

	for (int i = 0; i < ended; i++)
		placement_health_add(&h, PLACEMENT_ENDED, MINUTE);
	for (int i = 0; i < failed; i++)
		placement_health_add(&h, PLACEMENT_FAILED_JOB, MINUTE);
	for (int i = 0; i < expired; i++)
		placement_health_add(&h, PLACEMENT_EXPIRED, MINUTE);
	return placement_health(&h, MINUTE);
}

int
main(void)
{
	PlacementHealth h = {0};
	PlacementFacts f = {true, false, 4, 0, 1.0, 0};
	double		score;
	int			turns = 0;

	ok(is(placement_health(&h, 5 * MINUTE), 1.0), "of whom nothing is known is healthy");
	ok(!placement_health_turned(&h, MINUTE), "and no news");
	ok(is(after(1000, 0, 0), 1.0), "good ends");
	ok(is(after(0, 0, 100), 0.0), "nothing but expired leases");
	ok(is(after(48, 0, 52), 0.0), "half of them expired");
	ok(after(0, 100, 0) < 0.05 && after(0, 100, 0) > 0, "nothing but failed jobs");
	ok(after(75, 25, 0) > after(75, 0, 25), "a failed job is less than an expired lease");
	ok(after(0, 1, 0) > 0.75, "one failure condemns nobody");
	ok(is(after(96, 0, 10), 1 - 2 * 10 / 110.0), "by the rate");

	for (int i = 0; i < 100; i++)
	{
		placement_health_add(&h, PLACEMENT_EXPIRED, MINUTE);
		turns += placement_health_turned(&h, MINUTE);
	}
	ok(turns >= 2 && turns <= 5, "from 1 to 0 it turns a few times");
	ok(is(placement_health(&h, MINUTE), 0), "and is 0");
	ok(placement_health(&h, 60 * MINUTE) > 0.5, "old misfortune is forgotten");
	ok(!placement_health_turned(&h, 2 * MINUTE) && placement_health_turned(&h, 60 * MINUTE), "which is news too");
	turns = placement_health(&h, 60 * MINUTE) > placement_health(&h, 30 * MINUTE);
	ok(turns, "gradually");
	placement_health_add(&h, PLACEMENT_ENDED, 0);
	ok(h.at == MINUTE, "a clock that goes back changes nothing");

	ok(is(placement_builtin_score(&f), 0.9), "live, healthy, empty, new: 0.9");
	f.dwell = 1000 * MINUTE;
	ok(fabs(placement_builtin_score(&f) - 1.0) < 1e-6, "there for long: 1");
	f.health = 0;
	ok(placement_builtin_score(&f) < 0.5, "bad health alone takes it below the floor");
	f.health = 1;
	f.running = 5;
	score = placement_builtin_score(&f);
	ok(score > 0.5 && fabs(score - 0.8) < 1e-6, "a full one is not below it");
	f.slots = 0;
	ok(fabs(placement_builtin_score(&f) - 0.9) < 1e-6, "slots that nobody declared are half free");
	f.quiet = true;
	ok(fabs(placement_builtin_score(&f) - 0.825) < 1e-6, "quiet for a while");
	f.alive = false;
	ok(is(placement_builtin_score(&f), 0), "dead: 0");

	return done_testing();
}
