/*
 * placement_decide.c
 *		Whether a chain moves to another node: the decision.
 *
 * A function of a snapshot and nothing else, so that the same inputs give the
 * same decisions in the same order.  What it needs to know and the snapshot
 * does not say it asks for (PLACEMENT_ASK_...): the caller finds out, puts it in,
 * and calls again.  So nothing is scored that the decision does not depend on,
 * and the victim is scored a second time, last of all, when everything else
 * speaks for the move.
 *
 * In order:
 *	1. evictions that are over are finished;
 *	2. holders that do not serve (dead, draining, not a candidate) and surplus
 *	   ones are evicted; pinned ones keep their place, and do not count;
 *	3. fewer live holders than desired: refilled with the best alternative,
 *	   whatever its score;
 *	4. the worst holder that is not pinned, if below the floor: evicted when the
 *	   best alternative is better by the gap, and
 *	   (better - worse) * service_value > cost of the move,
 *	   not within the cooldown, and not beyond max_moves at a time.
 * An eviction and the refill after it are never in one answer: evict first, and
 * look again.
 *
 * Why it comes to rest: between two changes of scores a move of kind 4 takes a
 * holder from below the floor to a node that is better by the gap, so there are
 * at most 1 / gap of them for each holder; 1 to 3 each bring the number of live
 * holders nearer to what is desired, and never away from it.  Scores that swing
 * by less than the gap move nothing; however they swing, a chain moves once in a
 * cooldown.
 *
 * Ties are broken by the node's name.
 */
#include "placement_decide.h"

#include <math.h>
#include <string.h>

#define EPSILON		1e-6		/* scores are single precision */
#define MOVED		0.02		/* a score that differs by less is what it was */
#define TREND		0.05		/* between the older and the newer half */
#define TREND_OF	8			/* samples that a trend is told from */
#define TREND_LEAST	4

const char *const PlacementWhyNames[PLACEMENT_WHYS] = {
	"none",
	"score", "node_dead", "node_draining", "not_a_candidate", "surplus",
	"short",
	"anywhere", "good", "no_opinion", "pinned", "cooldown", "max_moves", "no_alternative", "gap", "cost",
	"recovered", "evicting", "waiting_for_node"
};

const char *const PlacementTrendNames[] = {"stable", "degrading", "improving"};

/*
 * placement_move_cost: in the unit of service_value.  What runs at the old place
 * finishes beside the new one, or is done again, so each job counts; a backlog is
 * served cold at first, which matters less the longer it is.
 */
double
placement_move_cost(const PlacementSettings *s, int running, int64_t backlog)
{
	return s->move_cost * (1.0 + 0.1 * running + 0.1 * log1p((double) (backlog > 0 ? backlog : 0)));
}

static bool
is_live(const PlacementHolder *h)
{
	return !h->evicting && h->lost == PLACEMENT_WHY_NONE;
}

static PlacementDecision *
add(PlacementDecision *out, int *n, PlacementAct act, PlacementWhy why, int holder)
{
	PlacementDecision *d = &out[(*n)++];

	memset(d, 0, sizeof(*d));
	d->act = act;
	d->why = why;
	d->holder = holder;
	d->due = PLACEMENT_NEVER;
	return d;
}

/* The next of those marked in the order of their names; takes its mark off. -1: none. */
static int
next_by_name(const PlacementChain *c, bool (*wanted) (const PlacementChain *, const PlacementHolder *),
			 const char *after)
{
	int			best = -1;

	for (int i = 0; i < c->nholders; i++)
		if (wanted(c, &c->holders[i]) &&
			(after == NULL || strcmp(c->holders[i].node, after) > 0) &&
			(best < 0 || strcmp(c->holders[i].node, c->holders[best].node) < 0))
			best = i;
	return best;
}

static bool
is_over(const PlacementChain *c, const PlacementHolder *h)
{
	return h->evicting && (h->running == 0 || h->lost == PLACEMENT_DEAD);
}

/* Where there is no other place a holder that does not serve may serve again. */
static bool
is_lost(const PlacementChain *c, const PlacementHolder *h)
{
	return !h->evicting && !h->pinned && h->lost != PLACEMENT_WHY_NONE &&
		(c->eligible > 0 || h->lost == PLACEMENT_NOT_CANDIDATE);
}

/* Of surplus holders the newest goes: that of the longest stay is the one that knows its jobs. */
static int
newest(const PlacementChain *c, const PlacementDecision *taken, int ntaken)
{
	int			best = -1;

	for (int i = 0; i < c->nholders; i++)
	{
		const PlacementHolder *h = &c->holders[i];
		bool		gone = !is_live(h) || h->pinned;

		for (int t = 0; t < ntaken; t++)
			gone |= taken[t].act == PLACEMENT_EVICT && taken[t].holder == i;
		if (gone)
			continue;
		if (best < 0 || h->since > c->holders[best].since ||
			(h->since == c->holders[best].since && strcmp(h->node, c->holders[best].node) > 0))
			best = i;
	}
	return best;
}

/* It stays: until something changes, or while scores move. */
static void
stay(const PlacementChain *c, const PlacementSettings *s, PlacementDecision *d, PlacementWhy why)
{
	d->act = PLACEMENT_STAY;
	d->why = why;
	d->due = c->moving ? c->now + s->interval : PLACEMENT_NEVER;
}

/* Is the alternative better by the gap, and worth the cost?  Else *d says why it stays. */
static bool
worth_it(const PlacementChain *c, const PlacementSettings *s, double worse, PlacementDecision *d)
{
	d->worse = worse;
	if (d->better - worse < s->gap - EPSILON)
	{
		stay(c, s, d, PLACEMENT_GAP);
		return false;
	}
	if ((d->better - worse) * s->service_value - d->cost <= 0)
	{
		/*
		 * what runs and waits makes the cost, and nobody tells when it is
		 * less
		 */
		stay(c, s, d, PLACEMENT_COST);
		d->due = c->now + s->interval;
		return false;
	}
	return true;
}

/* Step 4: a move that scores decide; one decision, whatever comes of it. */
static void
decide_move(const PlacementChain *c, const PlacementSettings *s, PlacementDecision *d)
{
	int			worst = -1;
	int			scored = 0;
	bool		failed = false;
	bool		pinned = false;
	int64_t		pin = PLACEMENT_NEVER;
	const PlacementHolder *victim;

	for (int i = 0; i < c->nholders; i++)
	{
		const PlacementHolder *h = &c->holders[i];

		if (!is_live(h))
			continue;
		if (h->score.opinion == PLACEMENT_NOT_ASKED)
		{
			d->act = PLACEMENT_ASK_SCORES;
			return;
		}
		failed |= h->score.opinion == PLACEMENT_FAILED;
		if (h->score.opinion != PLACEMENT_SCORED)
			continue;
		scored++;
		if (h->score.value >= s->floor)
			continue;
		if (h->pinned)
		{
			pinned = true;
			if (h->pinned_until < pin)
				pin = h->pinned_until;
			continue;
		}
		if (worst < 0 || h->score.value < c->holders[worst].score.value ||
			(h->score.value == c->holders[worst].score.value &&
			 strcmp(h->node, c->holders[worst].node) < 0))
			worst = i;
	}
	if (worst < 0)
	{
		stay(c, s, d, pinned ? PLACEMENT_PINNED :
			 scored == 0 ? PLACEMENT_NO_OPINION : PLACEMENT_GOOD);
		if (d->why == PLACEMENT_PINNED)
			d->due = pin;
		else if (failed || (d->why == PLACEMENT_GOOD && c->degrading))
			d->due = c->now + s->interval;
		else
			d->due = PLACEMENT_NEVER;
		return;
	}
	victim = &c->holders[worst];
	d->holder = worst;
	d->worse = victim->score.value;
	if (c->last_move != 0 && c->now < c->last_move + s->cooldown)
	{
		stay(c, s, d, PLACEMENT_COOLDOWN);
		d->due = c->last_move + s->cooldown;
		return;
	}
	if (c->moves >= s->max_moves)
	{
		stay(c, s, d, PLACEMENT_MAX_MOVES);
		d->due = PLACEMENT_NEVER;	/* the end of a move makes it due */
		return;
	}
	if (c->eligible == 0 || (c->alternative.opinion != PLACEMENT_NOT_ASKED && c->alternative_node == NULL))
	{
		stay(c, s, d, PLACEMENT_NO_ALTERNATIVE);
		if (c->alternative.opinion == PLACEMENT_FAILED)
			d->due = c->now + s->interval;
		return;
	}
	if (c->alternative.opinion == PLACEMENT_NOT_ASKED)
	{
		d->act = PLACEMENT_ASK_ALTERNATIVE;
		return;
	}
	d->node = c->alternative_node;
	if (c->alternative.opinion != PLACEMENT_SCORED)
	{
		stay(c, s, d, PLACEMENT_NO_OPINION);
		if (c->alternative.opinion == PLACEMENT_FAILED)
			d->due = c->now + s->interval;
		return;
	}
	d->better = c->alternative.value;
	d->cost = placement_move_cost(s, victim->running, c->backlog);
	if (!worth_it(c, s, victim->score.value, d))
		return;
	if (victim->live.opinion == PLACEMENT_NOT_ASKED)
	{
		d->act = PLACEMENT_ASK_LIVE;
		return;
	}
	if (victim->live.opinion != PLACEMENT_SCORED)
	{
		stay(c, s, d, PLACEMENT_NO_OPINION);
		d->due = c->now + s->interval;
		return;
	}
	if (victim->live.value >= s->floor)
	{
		stay(c, s, d, PLACEMENT_RECOVERED);
		d->worse = victim->live.value;
		d->due = c->now + s->interval;
		return;
	}
	if (!worth_it(c, s, victim->live.value, d))
		return;
	d->act = PLACEMENT_EVICT;
	d->why = PLACEMENT_SCORE;
}

/*
 * placement_decide: what to do with the chain now, in order; `out` has room for
 * PLACEMENT_DECISIONS(chain).  The last one is a question, a refill or a stay,
 * unless there is something to evict.
 */
int
placement_decide(const PlacementChain *c, const PlacementSettings *s, PlacementDecision *out)
{
	int			n = 0;
	int			live = 0;
	int			evicted = 0;
	int			finished = 0;
	int			evicting = 0;
	PlacementDecision *d;

	for (int i = next_by_name(c, is_over, NULL); i >= 0; i = next_by_name(c, is_over, c->holders[i].node))
	{
		(void) add(out, &n, PLACEMENT_FINISH, PLACEMENT_WHY_NONE, i);
		finished++;
	}
	for (int i = next_by_name(c, is_lost, NULL); i >= 0; i = next_by_name(c, is_lost, c->holders[i].node))
	{
		(void) add(out, &n, PLACEMENT_EVICT, c->holders[i].lost, i);
		evicted++;
	}
	for (int i = 0; i < c->nholders; i++)
	{
		live += is_live(&c->holders[i]);
		evicting += c->holders[i].evicting;
	}
	for (int surplus = live - (c->desired > 0 ? c->desired : 0); surplus > 0; surplus--)
	{
		int			i = newest(c, out, n);

		if (i < 0)
			break;				/* the others are pinned */
		(void) add(out, &n, PLACEMENT_EVICT, PLACEMENT_SURPLUS, i);
		evicted++;
	}
	if (evicted > 0)
		return n;

	d = add(out, &n, PLACEMENT_STAY, PLACEMENT_WHY_NONE, -1);
	if (live < c->desired)
	{
		d->why = PLACEMENT_NO_NODE;
		if (c->eligible > 0 && c->alternative.opinion == PLACEMENT_NOT_ASKED)
			d->act = PLACEMENT_ASK_ALTERNATIVE;
		else if (c->eligible > 0 && c->alternative_node != NULL)
		{
			d->act = PLACEMENT_REFILL;
			d->why = PLACEMENT_SHORT;
			d->node = c->alternative_node;
			if (c->alternative.opinion == PLACEMENT_SCORED)
				d->better = c->alternative.value;
		}
		else if (c->eligible > 0)
			d->due = c->now + s->interval;	/* the scorer wants none of them:
											 * it may change its mind */
	}
	else if (evicting > finished)
		d->why = PLACEMENT_EVICTING;
	else if (c->desired <= 0)
		d->why = PLACEMENT_ANYWHERE;
	else
		decide_move(c, s, d);

	/* nobody tells when the last job at an old place is over */
	if (d->act == PLACEMENT_STAY && evicting > finished && d->due > c->now + s->interval)
		d->due = c->now + s->interval;
	return n;
}

/* ---------- history ---------- */

/* placement_moved: is it another score than before? */
bool
placement_moved(double before, double after)
{
	return fabs(after - before) > MOVED;
}

/* placement_mean: of the samples that are kept; 0 when there are none. */
double
placement_mean(const float *samples, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += samples[i];
	return n > 0 ? sum / n : 0;
}

/* placement_trend: of the last samples (oldest first), the newer half against the older. */
PlacementTrend
placement_trend(const float *samples, int n)
{
	int			of = n < TREND_OF ? n - n % 2 : TREND_OF;
	double		change;

	if (n < TREND_LEAST)
		return PLACEMENT_STABLE;
	change = placement_mean(samples + n - of / 2, of / 2) - placement_mean(samples + n - of, of / 2);
	return change > TREND ? PLACEMENT_IMPROVING : change < -TREND ? PLACEMENT_DEGRADING : PLACEMENT_STABLE;
}
