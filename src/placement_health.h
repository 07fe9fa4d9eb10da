/*
 * placement_health.h
 *		How a node does, and the built-in score.  Pure: no PostgreSQL.
 */
#ifndef FS_PLACEMENT_HEALTH_H
#define FS_PLACEMENT_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

/* How a lease ended. */
typedef enum PlacementEnd
{
	PLACEMENT_ENDED,			/* completed, given back, cancelled: the node
								 * did its part */
	PLACEMENT_FAILED_JOB,		/* fairsched_fail */
	PLACEMENT_EXPIRED			/* its time ran out */
} PlacementEnd;

/* Leases that ended at a node, decaying: in 10 minutes they are e times fewer. */
typedef struct PlacementHealth
{
	double		ended;			/* in whatever way */
	double		failed;
	double		expired;
	int64_t		at;				/* usec; the counts are of then */
	double		told;			/* health at which its chains were scored last */
} PlacementHealth;

typedef struct PlacementFacts
{
	bool		alive;			/* a worker of it called within
								 * fairsched.worker_timeout */
	bool		quiet;			/* but in the second half of that time */
	int			slots;
	int			running;
	double		health;			/* 0 ... 1 */
	int64_t		dwell;			/* usec the chain is there; 0: it is not */
} PlacementFacts;

#define PLACEMENT_HEALTH_TURN	0.2 /* a change of health by which chains are
									 * scored again */

extern void placement_health_add(PlacementHealth *h, PlacementEnd how, int64_t now);
extern double placement_health(const PlacementHealth *h, int64_t now);
extern bool placement_health_turned(PlacementHealth *h, int64_t now);
extern double placement_builtin_score(const PlacementFacts *f);

#endif							/* FS_PLACEMENT_HEALTH_H */
