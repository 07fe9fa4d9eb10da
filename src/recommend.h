/*
 * recommend.h
 *		How many workers a lane should have.  Pure: no PostgreSQL.
 *
 * Amounts of work are in slots: jobs that run at the same time.  Times are
 * microseconds, but for durations of jobs, which are seconds.
 */
#ifndef FS_RECOMMEND_H
#define FS_RECOMMEND_H

#include <stdbool.h>
#include <stdint.h>

#define RECOMMEND_NONE (-1)		/* of a limit: there is none */

typedef enum RecommendReason
{
	RECOMMEND_IDLE,				/* fewer would do than there are */
	RECOMMEND_DWELL,			/* what arrives needs so many to wait no
								 * longer than the target */
	RECOMMEND_BACKLOG,			/* so do the jobs that wait already */
	RECOMMEND_AT_QUOTA,			/* more than there are would be wanted, and be
								 * refused jobs */
	RECOMMEND_BUDGET_PAUSED,	/* the same, by budgets */
	RECOMMEND_STEPPING,			/* on the way, by the step limits */
	RECOMMEND_PINNED			/* by an operator */
} RecommendReason;

/* What is known of a lane at a moment. */
typedef struct RecommendInput
{
	double		offered;		/* slots that arriving jobs keep busy, as far
								 * as they are admitted */
	double		drain;			/* slots more that serve the waiting jobs
								 * within the target, as far as admitted */
	double		refused;		/* slots more that would be wanted, but for
								 * ceilings, quotas, rates, pauses */
	double		paused;			/* the same, but for budgets */
	double		service;		/* mean seconds a job is held */
	double		target;			/* seconds a job should wait at most, on
								 * average */
	double		slots;			/* of a worker, at least 1 */
	int32_t		current;		/* workers there are */
	int32_t		busy;			/* of these, that hold jobs of the lane */
} RecommendInput;

/* What an administrator said. */
typedef struct RecommendLimits
{
	int32_t		min_workers;	/* at least 0 */
	int32_t		max_workers;	/* or RECOMMEND_NONE */
	int32_t		step_up;		/* most above current; or RECOMMEND_NONE */
	int32_t		step_down;		/* most below current; or RECOMMEND_NONE */
	int64_t		cooldown;		/* usec: before fewer are recommended */
	int32_t		pin;			/* or RECOMMEND_NONE */
	int64_t		pin_until;
} RecommendLimits;

/* What is remembered of a lane from one decision to the next. */
typedef struct RecommendState
{
	int32_t		desired;		/* or RECOMMEND_NONE: nothing yet */
	int32_t		highest;		/* while below: most that was wanted since */
	int64_t		below_since;	/* fewer than desired are wanted since; 0:
								 * they are not */
} RecommendState;

typedef struct Recommendation
{
	int32_t		workers;
	RecommendReason reason;
	int32_t		wanted;			/* before limits, cool-down and steps */
	int64_t		shrinks_at;		/* fewer are recommended then, if it stays so;
								 * 0: no */
} Recommendation;

extern double recommend_servers(double offered, double service, double target);
extern int32_t recommend_wanted(const RecommendInput *in, RecommendReason *reason);
extern Recommendation recommend(RecommendState *state, const RecommendInput *in,
								const RecommendLimits *limits, int64_t now);

#endif							/* FS_RECOMMEND_H */
