/*
 * placement_health.c
 *		How a node does, and the built-in score.
 *
 * Health: 1 while leases end well, 0 when half of them run out, or all fail.  An
 * expired lease counts twice as much as a failed job: the first is the node's
 * doing, the second may be the job's.  A few good ends are counted in advance, so
 * that one failure in the beginning does not condemn a node.
 *
 * The score is a weighted sum:
 *		0.55 * health
 *	  + 0.15 * liveness (1; 0.5 when no worker called for half of worker_timeout)
 *	  + 0.20 * free slots / slots (0.5 where no slots are declared)
 *	  + 0.10 * dwell (0 ... 1: 1 - exp(-time the chain is there / 10 min))
 * and 0 for a node without a live worker.  The weights are such that bad health
 * alone takes a node below 0.5, and a full one alone does not: it serves, and
 * moving away from it would serve nobody.
 */
#include "placement_health.h"

#include <math.h>

#define TAU			600e6		/* usec */
#define IN_ADVANCE	4.0			/* good ends */

#define WEIGHT_HEALTH	0.55
#define WEIGHT_LIVE		0.15
#define WEIGHT_FREE		0.20
#define WEIGHT_DWELL	0.10

static double
decay(const PlacementHealth *h, int64_t now)
{
	return now > h->at ? exp(-(double) (now - h->at) / TAU) : 1.0;
}

/* placement_health_add: a lease ended there. All zero is a node that nothing is known of. */
void
placement_health_add(PlacementHealth *h, PlacementEnd how, int64_t now)
{
	double		left = decay(h, now);

	if (h->ended == 0)
		h->told = 1.0;
	h->ended = h->ended * left + 1;
	h->failed = h->failed * left + (how == PLACEMENT_FAILED_JOB);
	h->expired = h->expired * left + (how == PLACEMENT_EXPIRED);
	h->at = now > h->at ? now : h->at;
}

/* placement_health: 0 ... 1 */
double
placement_health(const PlacementHealth *h, int64_t now)
{
	double		left = decay(h, now);
	double		bad = (h->expired + h->failed / 2) * left / (h->ended * left + IN_ADVANCE);

	return bad >= 0.5 ? 0.0 : 1.0 - 2 * bad;
}

/* placement_health_turned: is it clearly another than when this said so last? */
bool
placement_health_turned(PlacementHealth *h, int64_t now)
{
	double		health = placement_health(h, now);

	if (h->ended == 0 || fabs(health - h->told) < PLACEMENT_HEALTH_TURN)
		return false;
	h->told = health;
	return true;
}

double
placement_builtin_score(const PlacementFacts *f)
{
	double		room = 0.5;

	if (!f->alive)
		return 0;
	if (f->slots > 0)
		room = f->running >= f->slots ? 0 : 1.0 - (double) f->running / f->slots;
	return WEIGHT_HEALTH * f->health + WEIGHT_LIVE * (f->quiet ? 0.5 : 1.0) + WEIGHT_FREE * room +
		WEIGHT_DWELL * (f->dwell > 0 ? 1.0 - exp(-(double) f->dwell / TAU) : 0.0);
}
