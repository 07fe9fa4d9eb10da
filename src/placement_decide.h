/*
 * placement_decide.h
 *		Whether a chain moves to another node: the decision.  Pure: no PostgreSQL.
 */
#ifndef FS_PLACEMENT_DECIDE_H
#define FS_PLACEMENT_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#define PLACEMENT_NEVER		INT64_MAX	/* of a time: not until something
										 * changes */

typedef enum PlacementAct
{
	PLACEMENT_STAY,				/* nothing to do now: `why`; look again at
								 * `due` */
	PLACEMENT_ASK_SCORES,		/* the decision needs a score of each live
								 * holder */
	PLACEMENT_ASK_ALTERNATIVE,	/* ... the best node outside the holders */
	PLACEMENT_ASK_LIVE,			/* ... a score of `holder` of this moment */
	PLACEMENT_FINISH,			/* the eviction of `holder` is over: nothing
								 * runs there */
	PLACEMENT_EVICT,			/* no new claims at `holder`, because of `why` */
	PLACEMENT_REFILL			/* place it on the alternative */
} PlacementAct;

/* Why: of an eviction, a refill, or of staying. PlacementWhyNames has the words. */
typedef enum PlacementWhy
{
	PLACEMENT_WHY_NONE,
	/* evictions */
	PLACEMENT_SCORE,			/* another node is clearly better */
	PLACEMENT_DEAD,				/* no live worker on the node */
	PLACEMENT_DRAINING,			/* fairsched_drain_node */
	PLACEMENT_NOT_CANDIDATE,	/* not one of the nodes it may be placed on */
	PLACEMENT_SURPLUS,			/* more live holders than desired */
	/* refills */
	PLACEMENT_SHORT,			/* fewer live holders than desired */
	/* it stays */
	PLACEMENT_ANYWHERE,			/* no holders are desired */
	PLACEMENT_GOOD,				/* no holder below the floor */
	PLACEMENT_NO_OPINION,		/* the scorer has none */
	PLACEMENT_PINNED,
	PLACEMENT_COOLDOWN,
	PLACEMENT_MAX_MOVES,
	PLACEMENT_NO_ALTERNATIVE,
	PLACEMENT_GAP,
	PLACEMENT_COST,
	PLACEMENT_RECOVERED,		/* the score of the moment is at the floor
								 * again */
	PLACEMENT_EVICTING,			/* jobs finish where it was */
	PLACEMENT_NO_NODE,			/* fewer live holders than desired, and no
								 * node to place it on */
	PLACEMENT_WHYS
} PlacementWhy;

extern const char *const PlacementWhyNames[PLACEMENT_WHYS];

typedef enum PlacementOpinion
{
	PLACEMENT_NOT_ASKED,
	PLACEMENT_NONE,				/* NULL */
	PLACEMENT_FAILED,			/* none, because the scorer raised, took too
								 * long, answered nonsense */
	PLACEMENT_SCORED
} PlacementOpinion;

typedef struct PlacementScore
{
	PlacementOpinion opinion;
	double		value;			/* PLACEMENT_SCORED: 0 ... 1 */
} PlacementScore;

typedef struct PlacementHolder
{
	const char *node;
	bool		evicting;
	bool		pinned;			/* now */
	int64_t		pinned_until;
	PlacementWhy lost;			/* DEAD, DRAINING, NOT_CANDIDATE: it does not
								 * serve; WHY_NONE: live */
	int64_t		since;
	int			running;		/* jobs of the chain there */
	PlacementScore score;
	PlacementScore live;		/* of the victim, asked for after everything
								 * else spoke for the move */
} PlacementHolder;

/* All times in microseconds of one clock. */
typedef struct PlacementChain
{
	int			desired;
	int			nholders;
	PlacementHolder *holders;	/* in any order, names are unique */
	int			eligible;		/* nodes outside the holders that could have
								 * it */
	PlacementScore alternative; /* of the best of these */
	const char *alternative_node;	/* NULL: there is none */
	int64_t		last_move;		/* 0: never */
	int64_t		backlog;		/* jobs ready */
	bool		moving;			/* a score is not what it was when it was
								 * asked last */
	bool		degrading;		/* trend of a holder */
	int			moves;			/* in flight, of all chains, that scores
								 * decided */
	int64_t		now;
} PlacementChain;

typedef struct PlacementSettings
{
	double		floor;
	double		gap;
	double		service_value;
	double		move_cost;
	int64_t		cooldown;		/* usec */
	int64_t		interval;		/* usec */
	int			max_moves;
} PlacementSettings;

typedef struct PlacementDecision
{
	PlacementAct act;
	PlacementWhy why;
	int			holder;			/* index; -1: none */
	const char *node;			/* REFILL */
	double		worse;			/* the victim's score, where one decided */
	double		better;			/* the alternative's */
	double		cost;			/* of the move, in the unit of service_value */
	int64_t		due;			/* STAY */
} PlacementDecision;

/* Room that placement_decide needs for its answer. */
#define PLACEMENT_DECISIONS(chain) ((chain)->nholders + 1)

extern double placement_move_cost(const PlacementSettings *s, int running, int64_t backlog);
extern int	placement_decide(const PlacementChain *chain, const PlacementSettings *s,
							 PlacementDecision *out);

/* History of a score. */
#define PLACEMENT_SAMPLES	64

typedef enum PlacementTrend
{
	PLACEMENT_STABLE,
	PLACEMENT_DEGRADING,
	PLACEMENT_IMPROVING
} PlacementTrend;

extern const char *const PlacementTrendNames[];

extern bool placement_moved(double before, double after);
extern double placement_mean(const float *samples, int n);
extern PlacementTrend placement_trend(const float *samples, int n);

#endif							/* FS_PLACEMENT_DECIDE_H */
