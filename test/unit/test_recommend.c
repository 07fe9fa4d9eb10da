/*
 * test_recommend.c
 *		How many workers a lane should have: the pure decision.  Prints TAP.
 */
#include "../../src/recommend.h"
#include "tap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SEC INT64_C(1000000)

static RecommendLimits
free_limits(void)
{
	RecommendLimits l = {0, RECOMMEND_NONE, RECOMMEND_NONE, RECOMMEND_NONE, 300 * SEC, RECOMMEND_NONE, 0};

	return l;
}

static RecommendState
new_state(void)
{
	RecommendState s = {RECOMMEND_NONE, 0, 0};

	return s;
}

static double
unit(void)
{
	return random() / (double) RAND_MAX;
}

/* ---------- M/M/c ---------- */

/* Mean wait by the sum that defines it, for loads a sum can bear. */
static double
wait_by_definition(int c, double a, double service)
{
	double		term = 1;
	double		sum = 1;
	double		last;

	for (int k = 1; k < c; k++)
	{
		term *= a / k;
		sum += term;
	}
	last = term * a / c * (c / (c - a));
	return last / (sum + last) * service / (c - a);
}

static void
test_servers(void)
{
	bool		right = true;

	ok(recommend_servers(0, 1, 10) == 0 && recommend_servers(5, 0, 10) == 0 && recommend_servers(NAN, 1, 1) == 0,
	   "nothing to do needs nobody");
	for (int i = 0; i < 4000; i++)
	{
		double		a = exp(unit() * log(100));
		double		service = 0.001 * exp(unit() * log(100000));
		double		target = service * (0.01 + 3 * unit());
		int			c = (int) recommend_servers(a, service, target);

		if (c <= a || wait_by_definition(c, a, service) > target * (1 + 1e-9))
			right = false;
		if (c - 1 > a && wait_by_definition(c - 1, a, service) <= target * (1 - 1e-9))
			right = false;
	}
	ok(right, "the fewest with which the mean wait of M/M/c is within the target");

	right = true;
	for (int i = 0; i < 20000; i++)
	{
		double		rate = exp(unit() * log(5000));
		double		service = 0.001 * exp(unit() * log(20000));
		double		target = 0.001 * exp(unit() * log(100000));
		double		more = 1 + unit();
		double		n = recommend_servers(rate * service, service, target);

		if (rate * service > 5000)
			continue;
		if (recommend_servers(rate * more * service, service, target) < n ||
			recommend_servers(rate * service * more, service * more, target) < n ||
			recommend_servers(rate * service, service, target * more) > n)
			right = false;
	}
	ok(right, "never fewer for more arrivals, longer jobs, or a shorter target");
	right = true;
	for (double a = 999990; a < 1000010; a += 0.5)
		right &= recommend_servers(a + 0.5, 1, 1) >= recommend_servers(a, 1, 1);
	ok(right, "nor where the approximation begins");
}

/* ---------- reasons ---------- */

typedef struct Case
{
	const char *what;
	RecommendInput in;
	int32_t		workers;
	RecommendReason reason;
} Case;

static void
test_reasons(void)
{
	/* offered, drain, refused, paused, service, target, slots, current, busy */
	static const Case cases[] = {
		{"nothing at all", {0, 0, 0, 0, 0, 10, 1, 0, 0}, 0, RECOMMEND_IDLE},
		{"workers and no work", {0, 0, 0, 0, 1, 10, 1, 5, 0}, 0, RECOMMEND_IDLE},
		{"less work than workers", {2.5, 0, 0, 0, 1, 10, 1, 9, 3}, 3, RECOMMEND_IDLE},
		{"what arrives needs them", {2.5, 0, 0, 0, 1, 10, 1, 3, 3}, 3, RECOMMEND_DWELL},
		{"a shorter target needs more", {2.5, 0, 0, 0, 1, 0.05, 1, 3, 3}, 6, RECOMMEND_DWELL},
		{"what waits needs more", {2.5, 4, 0, 0, 1, 10, 1, 3, 3}, 7, RECOMMEND_BACKLOG},
		{"a hair of a slot is none", {2.5, 1e-12, 0, 0, 1, 10, 1, 3, 3}, 3, RECOMMEND_DWELL},
		{"workers of four slots", {2.5, 4, 0, 0, 1, 10, 4, 1, 1}, 2, RECOMMEND_BACKLOG},
		{"what waits is refused", {2.5, 0, 100, 0, 1, 10, 1, 3, 3}, 3, RECOMMEND_AT_QUOTA},
		{"all is refused", {0, 0, 100, 0, 1, 10, 1, 3, 0}, 0, RECOMMEND_AT_QUOTA},
		{"budgets refuse it", {0, 0, 0, 5, 1, 10, 1, 0, 0}, 0, RECOMMEND_BUDGET_PAUSED},
		{"quotas refuse more than budgets", {0, 0, 6, 5, 1, 10, 1, 0, 0}, 0, RECOMMEND_AT_QUOTA},
		{"budgets refuse more than quotas", {0, 0, 5, 6, 1, 10, 1, 0, 0}, 0, RECOMMEND_BUDGET_PAUSED},
		{"quotas refuse as much as budgets", {0, 0, 6, 6, 1, 10, 1, 0, 0}, 0, RECOMMEND_AT_QUOTA},
		{"workers that declared no slots", {2.5, 4, 0, 0, 1, 10, 0, 3, 3}, 7, RECOMMEND_BACKLOG},
		{"more than can be counted", {0, 1e15, 0, 0, 1, 10, 1, 3, 3}, 1000000000, RECOMMEND_BACKLOG},
		{"some is refused, and more workers would help", {2.5, 2, 100, 0, 1, 10, 1, 3, 3}, 5, RECOMMEND_BACKLOG},
		{"what is refused would fit into the workers wanted", {0, 2.5, 0.3, 0, 1, 10, 1, 3, 0}, 3, RECOMMEND_BACKLOG},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		RecommendReason reason;
		int32_t		n = recommend_wanted(&cases[i].in, &reason);

		ok(n == cases[i].workers && reason == cases[i].reason, cases[i].what);
		if (n != cases[i].workers || reason != cases[i].reason)
			printf("# %d workers, reason %d\n", n, reason);
	}
}

/* ---------- over time ---------- */

/* A lane that needs n workers and has current. */
static RecommendInput
needs(int n, int current)
{
	RecommendInput in = {0, n, 0, 0, 1, 10, 1, current, 0};

	return in;
}

static void
test_time(void)
{
	RecommendLimits l = free_limits();
	RecommendState s = new_state();
	RecommendInput in = needs(3, 8);
	Recommendation r = recommend(&s, &in, &l, 1000 * SEC);

	ok(r.workers == 8 && r.reason == RECOMMEND_IDLE && r.wanted == 3, "the first decision sends nobody away");
	ok(r.shrinks_at == 1300 * SEC, "and says until when");
	r = recommend(&s, &in, &l, 1299 * SEC);
	ok(r.workers == 8, "nor any other before the cool-down is over");
	r = recommend(&s, &in, &l, 1300 * SEC);
	ok(r.workers == 3, "then fewer");

	in = needs(20, 3);
	r = recommend(&s, &in, &l, 1301 * SEC);
	ok(r.workers == 20 && r.reason == RECOMMEND_BACKLOG, "more at once");

	in = needs(5, 20);
	(void) recommend(&s, &in, &l, 1400 * SEC);
	in = needs(12, 20);
	(void) recommend(&s, &in, &l, 1500 * SEC);
	in = needs(4, 20);
	r = recommend(&s, &in, &l, 1700 * SEC);
	ok(r.workers == 12, "fewer means: as many as were wanted at most within the cool-down");
	r = recommend(&s, &in, &l, 1999 * SEC);
	ok(r.workers == 12, "and the next step down takes another");
	r = recommend(&s, &in, &l, 2000 * SEC);
	ok(r.workers == 4, "after which it comes");

	in = needs(50, 4);
	(void) recommend(&s, &in, &l, 2001 * SEC);
	in = needs(46, 50);
	r = recommend(&s, &in, &l, 2002 * SEC);
	ok(r.shrinks_at == 0, "less than a tenth fewer is no difference");
	r = recommend(&s, &in, &l, 9999 * SEC);
	ok(r.workers == 50, "however long it lasts");
	in = needs(45, 50);
	(void) recommend(&s, &in, &l, 10000 * SEC);
	r = recommend(&s, &in, &l, 10300 * SEC);
	ok(r.workers == 45, "a tenth is");

	in = needs(40, 45);
	(void) recommend(&s, &in, &l, 20000 * SEC);
	in = needs(45, 45);
	(void) recommend(&s, &in, &l, 20299 * SEC);
	in = needs(40, 45);
	r = recommend(&s, &in, &l, 20300 * SEC);
	ok(r.workers == 45 && r.shrinks_at == 20600 * SEC, "load that comes back starts the cool-down anew");

	/* up to here 45; what is within a tenth of that is as good as all of it */
	in = needs(42, 45);
	r = recommend(&s, &in, &l, 20599 * SEC);
	ok(r.workers == 45 && r.shrinks_at == 0, "so does load that comes back but for less than a tenth");
	in = needs(40, 45);
	r = recommend(&s, &in, &l, 20600 * SEC);
	ok(r.workers == 45 && r.shrinks_at == 20900 * SEC, "fewer are wanted since then");
	in = needs(5, 45);
	(void) recommend(&s, &in, &l, 20700 * SEC);
	in.busy = 30;
	(void) recommend(&s, &in, &l, 20800 * SEC);
	in.busy = 0;
	(void) recommend(&s, &in, &l, 20900 * SEC);
	in.busy = 31;
	(void) recommend(&s, &in, &l, 21000 * SEC);
	in.busy = 0;
	r = recommend(&s, &in, &l, 21200 * SEC);
	ok(r.workers == 31, "who held jobs within the cool-down was needed");
	r = recommend(&s, &in, &l, 21500 * SEC);
	ok(r.workers == 5 && r.shrinks_at == 0, "nothing more is to come where all is gone that was too much");
	in = needs(3, 5);
	(void) recommend(&s, &in, &l, 21600 * SEC);
	in = needs(5, 5);
	r = recommend(&s, &in, &l, 21899 * SEC);
	ok(r.workers == 5 && r.shrinks_at == 0, "as many as there are: none is too much");
	in = needs(3, 5);
	r = recommend(&s, &in, &l, 21900 * SEC);
	ok(r.workers == 5, "and the cool-down begins anew, for a few workers too");
	in = needs(45, 5);
	(void) recommend(&s, &in, &l, 21901 * SEC);
	in = needs(20, 45);
	(void) recommend(&s, &in, &l, 21902 * SEC);

	l.cooldown = 0;
	in = needs(0, 45);
	r = recommend(&s, &in, &l, 21903 * SEC);
	ok(r.workers == 0, "without a cool-down fewer at once");
	in = needs(7, 0);
	(void) recommend(&s, &in, &l, 30000 * SEC);
	in = needs(1, 7);
	l.cooldown = 300 * SEC;
	(void) recommend(&s, &in, &l, 30010 * SEC);
	r = recommend(&s, &in, &l, 29000 * SEC);
	ok(r.workers == 7 && r.shrinks_at == 29300 * SEC, "a clock that was set back is followed");
}

static void
test_limits(void)
{
	RecommendLimits l = free_limits();
	RecommendState s = new_state();
	RecommendInput in = needs(100, 10);
	Recommendation r;

	l.max_workers = 40;
	r = recommend(&s, &in, &l, SEC);
	ok(r.workers == 40 && r.reason == RECOMMEND_BACKLOG && r.wanted == 100, "no more than max_workers");
	l.max_workers = 20;
	r = recommend(&s, &in, &l, 2 * SEC);
	ok(r.workers == 20, "a lower one counts at once");
	in.busy = 25;
	in.current = 25;
	r = recommend(&s, &in, &l, 3 * SEC);
	ok(r.workers == 25, "but not for those who hold jobs");
	l = free_limits();
	l.min_workers = 6;
	s = new_state();
	in = needs(0, 0);
	r = recommend(&s, &in, &l, SEC);
	ok(r.workers == 6, "no fewer than min_workers");

	l = free_limits();
	l.step_up = 5;
	l.step_down = 2;
	s = new_state();
	in = needs(100, 10);
	r = recommend(&s, &in, &l, SEC);
	ok(r.workers == 15 && r.reason == RECOMMEND_STEPPING, "a step up from the present number");
	in.current = 15;
	r = recommend(&s, &in, &l, 2 * SEC);
	ok(r.workers == 20 && r.reason == RECOMMEND_STEPPING, "the next when they have come");
	in.current = 95;
	r = recommend(&s, &in, &l, 3 * SEC);
	ok(r.workers == 100 && r.reason == RECOMMEND_BACKLOG, "one whole step is no part of the way");
	in.current = 97;
	r = recommend(&s, &in, &l, 3 * SEC);
	ok(r.workers == 100 && r.reason == RECOMMEND_BACKLOG, "until there are enough");
	in = needs(50, 100);
	(void) recommend(&s, &in, &l, 4 * SEC);
	r = recommend(&s, &in, &l, 304 * SEC);
	ok(r.workers == 98 && r.reason == RECOMMEND_STEPPING, "a step down");
	in.current = 52;
	r = recommend(&s, &in, &l, 305 * SEC);
	ok(r.workers == 50 && r.reason == RECOMMEND_IDLE, "a whole one down is none either");
	in.current = 51;
	r = recommend(&s, &in, &l, 305 * SEC);
	ok(r.workers == 50 && r.reason == RECOMMEND_IDLE, "and the last");
	in = needs(50, 0);
	in.busy = 9;
	r = recommend(&s, &in, &l, 306 * SEC);
	ok(r.workers == 9 && r.reason == RECOMMEND_STEPPING, "a step up is to those who hold jobs at least");
	l.step_up = INT32_MAX;
	in = needs(1000000000, 2000000000);
	s = new_state();
	r = recommend(&s, &in, &l, 307 * SEC);
	ok(r.workers == 2000000000, "large numbers do not overflow");
}

static void
test_pins(void)
{
	RecommendLimits l = free_limits();
	RecommendState s = new_state();
	RecommendInput in = needs(100, 10);
	Recommendation r;

	l.pin = 3;
	l.pin_until = 50 * SEC;
	l.max_workers = 2;
	l.step_up = 1;
	l.step_down = 1;
	r = recommend(&s, &in, &l, SEC);
	ok(r.workers == 3 && r.reason == RECOMMEND_PINNED && r.wanted == 100, "a pin is above bounds and steps");
	in.busy = 8;
	r = recommend(&s, &in, &l, 2 * SEC);
	ok(r.workers == 8 && r.reason == RECOMMEND_PINNED, "not above those who hold jobs");
	in.busy = 0;
	l.pin = 0;
	r = recommend(&s, &in, &l, 3 * SEC);
	ok(r.workers == 0 && r.reason == RECOMMEND_PINNED, "to nobody");
	l.step_up = l.step_down = RECOMMEND_NONE;
	l.max_workers = RECOMMEND_NONE;
	r = recommend(&s, &in, &l, 50 * SEC);
	ok(r.workers == 100 && r.reason == RECOMMEND_BACKLOG, "it ends when its time is over");
}

/* Whatever the load does: down at most once a cool-down, never below who holds jobs or what is wanted. */
static void
test_random_load(void)
{
	bool		enough = true;
	bool		calm = true;
	bool		settles = true;

	for (int round = 0; round < 300; round++)
	{
		RecommendLimits l = free_limits();
		RecommendState s = new_state();
		int			current = (int) (random() % 50);
		int32_t		before = RECOMMEND_NONE;
		int64_t		now = SEC;
		int64_t		fell_at = -l.cooldown;
		int			base = (int) (random() % 200);
		int32_t		last = 0;

		for (int i = 0; i < 400; i++)
		{
			RecommendInput in = needs(base, current);
			Recommendation r;

			if (random() % 40 == 0)
				base = (int) (random() % 200);
			/* noise of a quarter up and down */
			in.drain = base * (0.75 + unit() / 2);
			in.busy = current > 0 ? (int) (random() % (current + 1)) : 0;
			r = recommend(&s, &in, &l, now);
			if (r.workers < in.busy || r.workers < r.wanted)
			{
				/* a tenth fewer than wanted cannot be: only more is ignored */
				enough = false;
			}
			if (before != RECOMMEND_NONE && r.workers < before)
			{
				if (now - fell_at < l.cooldown)
					calm = false;
				fell_at = now;
			}
			before = r.workers;
			current = r.workers;
			now += (1 + random() % 20) * SEC;
		}
		/* steady at last: what is recommended is what is wanted, or up to a tenth more */
		for (int i = 0; i < 100; i++)
		{
			RecommendInput in = needs(base, current);
			Recommendation r = recommend(&s, &in, &l, now);

			last = current = r.workers;
			now += 10 * SEC;
		}
		if (last < base || last - base >= 1 + last / 10)
			settles = false;
	}
	ok(enough, "random load: never fewer than wanted, or than hold jobs");
	ok(calm, "random load: fewer at most once a cool-down, so it does not flap");
	ok(settles, "steady load: it settles within a tenth");
}

/*
 * A lane as it might be: jobs arrive and are served by the workers there are,
 * which follow the recommendation one by one; limits of all kinds.
 */
static void
test_random_lane(void)
{
	bool		bounded = true;
	bool		held = true;
	bool		quick = true;
	bool		still = true;

	for (int round = 0; round < 300; round++)
	{
		RecommendLimits l = free_limits();
		RecommendState s = new_state();
		double		service = 0.1 * exp(unit() * log(300));
		double		rate = exp(unit() * log(40)) / service;
		double		queue = 0;
		int			current = (int) (random() % 20);
		int64_t		now = SEC;
		int32_t		settled = RECOMMEND_NONE;

		if (random() % 2)
			l.step_up = 1 + (int32_t) (random() % 5);
		if (random() % 2)
			l.step_down = 1 + (int32_t) (random() % 5);
		if (random() % 4 == 0)
			l.max_workers = 1 + (int32_t) (random() % 60);
		for (int i = 0; i < 600; i++)
		{
			RecommendInput in = {rate * service, 0, 0, 0, service, 10, 1, current, 0};
			double		could = current * 10 / service;
			double		come;
			Recommendation r;
			int32_t		least;

			/* bursts and lulls in the first half, then the same rate for good */
			come = rate * 10 * (i < 300 ? (random() % 20 == 0 ? 8 : 2 * unit()) : 1);
			queue += come;
			in.busy = queue >= could ? current : (int) ceil(queue / could * current);
			queue -= queue < could ? queue : could;
			in.drain = queue * service / in.target;
			r = recommend(&s, &in, &l, now);

			held &= r.workers >= in.busy;
			/* more than may be go step by step */
			bounded &= l.max_workers == RECOMMEND_NONE || r.workers <= l.max_workers || r.workers == in.busy ||
				(r.reason == RECOMMEND_STEPPING && r.workers < current);
			if (l.step_up != RECOMMEND_NONE)
				bounded &= r.workers <= current + l.step_up;
			if (l.step_down != RECOMMEND_NONE)
				bounded &= r.workers >= current - l.step_down;
			/* what is wanted is recommended at once, as far as the limits let it */
			least = r.wanted;
			if (l.max_workers != RECOMMEND_NONE && least > l.max_workers)
				least = l.max_workers;
			if (l.step_up != RECOMMEND_NONE && least > current + l.step_up)
				least = current + l.step_up;
			quick &= r.workers >= least;
			/* long after the last burst nothing moves any more, where there is work for all that wait */
			if (i >= 560 && l.max_workers == RECOMMEND_NONE)
			{
				if (settled == RECOMMEND_NONE)
					settled = r.workers;
				still &= r.workers == settled;
			}
			current = r.workers;
			now += 10 * SEC;
		}
	}
	ok(held, "a random lane: never fewer than hold jobs");
	ok(bounded, "a random lane: within its limits and steps");
	ok(quick, "a random lane: growth does not wait");
	ok(still, "a random lane: constant load, constant workers");
}

/* How often it is asked does not matter. */
static void
test_often(void)
{
	RecommendLimits l = free_limits();
	RecommendState seldom = new_state();
	RecommendState often = new_state();
	bool		same = true;

	for (int t = 1; t < 5000; t++)
	{
		RecommendInput in = needs(t / 500 % 2 ? 10 : 30, 30);
		Recommendation a;
		Recommendation b = recommend(&often, &in, &l, t * SEC);

		if (t % 10 == 0)
		{
			a = recommend(&seldom, &in, &l, t * SEC);
			same &= a.workers == b.workers;
		}
	}
	ok(same, "a hundred readers change nothing");
}

/* More of anything that wants workers never means fewer, from the same state. */
static void
test_monotone(void)
{
	bool		right = true;

	for (int i = 0; i < 20000; i++)
	{
		RecommendLimits l = free_limits();
		int32_t		desired = (int32_t) (random() % 100) - 1;
		/* highest is below desired, where it means something */
		RecommendState s = {desired, desired > 0 ? (int32_t) (random() % desired) : 0,
		desired > 0 ? random() % 400 * SEC : 0};
		RecommendState t;
		RecommendInput in = {unit() * 30, unit() * 30, unit() * 10, 0, 0.1 + unit(), 0.1 + unit() * 5, 1 + random() % 4,
		(int32_t) (random() % 60), 0};
		RecommendInput more;
		int64_t		now = 400 * SEC + random() % 300 * SEC;

		if (random() % 2)
			l.max_workers = (int32_t) (random() % 80);
		if (random() % 2)
			l.step_up = 1 + (int32_t) (random() % 10);
		if (random() % 2)
			l.step_down = 1 + (int32_t) (random() % 10);
		in.busy = in.current > 0 ? (int32_t) (random() % in.current) : 0;
		more = in;
		switch (random() % 4)
		{
			case 0:
				more.offered += unit() * 10;
				break;
			case 1:
				more.drain += unit() * 10;
				break;
			case 2:
				more.busy = more.current;
				break;
			default:
				more.target /= 1 + unit();
				break;
		}
		t = s;
		if (recommend(&s, &in, &l, now).workers > recommend(&t, &more, &l, now).workers)
			right = false;
	}
	ok(right, "more to do, or less patience, never means fewer workers");
}

int
main(void)
{
	srandom(4711);
	test_servers();
	test_reasons();
	test_time();
	test_limits();
	test_pins();
	test_random_load();
	test_random_lane();
	test_often();
	test_monotone();
	return done_testing();
}
