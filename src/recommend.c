/*
 * recommend.c
 *		How many workers a lane should have.
 *
 * Little's law: jobs that arrive at a rate r and are held for s seconds keep
 * r * s slots busy (the offered load).  With no more than that the queue would
 * grow for ever, so the smallest number of slots is taken with which a job waits
 * no longer than the target on average in an M/M/c queue (Erlang 1917):
 *
 *	B(0) = 1, B(c) = a B(c-1) / (c + a B(c-1))		loss formula, a = offered load
 *	C    = B / (1 - a/c (1 - B))					part of the jobs that wait
 *	wait = C s / (c - a)
 *
 * To that the slots are added that the waiting jobs need to be served within
 * the target: n jobs of s seconds need n * s / target.
 *
 * More workers are recommended at once.  Fewer only after fewer were wanted for
 * the whole cool-down, and then as many as were wanted at most meanwhile; a
 * difference of less than a tenth counts as none.  So the recommendation can
 * go down at most once a cool-down, whatever the load does, and load that comes
 * back within a cool-down finds its workers.  Then limits apply: never fewer
 * than hold jobs, minimum and maximum, steps from the present number.  A pin
 * replaces all of it but the first.
 */
#include "recommend.h"

#include <math.h>

#define EXACT_UP_TO	1000000.0	/* slots */
#define ROUNDING	1e-9
#define WORKERS_MAX	1000000000.0
#define TENTH(n)	((n) / 10)

/* With so many hardly a job waits, however short the target (square root law of staffing). */
static double
enough(double a)
{
	return a + 4 * sqrt(a) + 4;
}

/* recommend_servers: slots with which jobs wait no longer than target, on average. */
double
recommend_servers(double a, double service, double target)
{
	double		b = 1;

	if (!(a > 0) || !(service > 0))
		return 0;
	if (a > EXACT_UP_TO)
		return ceil(enough(a));
	for (int c = 1;; c++)
	{
		double		wait;

		b = a * b / (c + a * b);
		if (c <= a)
			continue;
		wait = b / (1 - a / c * (1 - b)) * service / (c - a);
		if (wait <= target)
			return c;
		if (c >= enough(a))
			return c;
	}
}

static int32_t
workers_for(double slots, double each)
{
	double		n = ceil(slots / (each >= 1 ? each : 1) - ROUNDING);

	return n <= 0 ? 0 : n > WORKERS_MAX ? (int32_t) WORKERS_MAX : (int32_t) n;
}

/* recommend_wanted: workers for the work there is, and what makes it so many. */
int32_t
recommend_wanted(const RecommendInput *in, RecommendReason *reason)
{
	double		arriving = recommend_servers(in->offered, in->service, in->target);
	double		slots = arriving + in->drain;
	int32_t		n = workers_for(slots, in->slots);

	/* with fewer than can be used it is not quotas that matter, but the work */
	if (n <= in->current && workers_for(slots + in->refused + in->paused, in->slots) > n)
		*reason = in->paused > in->refused ? RECOMMEND_BUDGET_PAUSED : RECOMMEND_AT_QUOTA;
	else if (n < in->current || n == 0)
		*reason = RECOMMEND_IDLE;
	else if (workers_for(arriving, in->slots) < n)
		*reason = RECOMMEND_BACKLOG;
	else
		*reason = RECOMMEND_DWELL;
	return n;
}

static int32_t
clamp(int32_t n, const RecommendLimits *limits)
{
	if (limits->max_workers != RECOMMEND_NONE && n > limits->max_workers)
		n = limits->max_workers;
	return n < limits->min_workers ? limits->min_workers : n;
}

static int32_t
at_least(int32_t n, int32_t least)
{
	return n < least ? least : n;
}

/* Let the state follow what is wanted now. */
static void
follow(RecommendState *state, int32_t target, int32_t current, int64_t cooldown, int64_t now)
{
	if (state->desired == RECOMMEND_NONE)
	{
		/*
		 * nothing is known of what was: nobody is sent away before a
		 * cool-down is over
		 */
		state->desired = at_least(target, current);
		state->below_since = 0;
	}
	if (target >= state->desired)
	{
		state->desired = target;
		state->below_since = 0;
		return;
	}
	if (state->desired - target < TENTH(state->desired))
	{
		state->below_since = 0;
		return;
	}
	if (state->below_since == 0 || state->below_since > now || cooldown <= 0)
	{
		state->below_since = now;
		state->highest = target;
	}
	state->highest = at_least(state->highest, target);
	if (now - state->below_since >= cooldown)
	{
		state->desired = state->highest;
		state->below_since = target < state->desired ? now : 0;
		state->highest = target;
	}
}

/* recommend: decide, and remember what the next decision depends on. */
Recommendation
recommend(RecommendState *state, const RecommendInput *in, const RecommendLimits *limits, int64_t now)
{
	Recommendation r = {0};
	int32_t		n;

	r.wanted = recommend_wanted(in, &r.reason);
	follow(state, at_least(clamp(r.wanted, limits), in->busy), in->current, limits->cooldown, now);
	/* limits may have changed since, and who runs is not sent away */
	state->desired = at_least(clamp(state->desired, limits), in->busy);
	n = state->desired;

	if (limits->pin != RECOMMEND_NONE && now < limits->pin_until)
	{
		r.reason = RECOMMEND_PINNED;
		r.workers = at_least(limits->pin, in->busy);
		return r;
	}
	if (limits->step_up != RECOMMEND_NONE && n - (int64_t) in->current > limits->step_up)
	{
		n = at_least(in->current + limits->step_up, in->busy);
		r.reason = RECOMMEND_STEPPING;
	}
	else if (limits->step_down != RECOMMEND_NONE && (int64_t) in->current - n > limits->step_down)
	{
		n = in->current - limits->step_down;
		r.reason = RECOMMEND_STEPPING;
	}
	r.workers = n;
	if (state->below_since != 0)
		r.shrinks_at = state->below_since + limits->cooldown;
	return r;
}
