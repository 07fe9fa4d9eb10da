/*
 * victim.h
 *		Who is to make room: the order of candidates.  Pure: no PostgreSQL.
 */
#ifndef FS_VICTIM_H
#define FS_VICTIM_H

#include <stdbool.h>
#include <stdint.h>

/* A workspace whose jobs hold the resource. */
typedef struct VictimOwner
{
	int64_t		held;			/* of the resource, by all of its jobs that
								 * are not chosen */
	double		weight;
} VictimOwner;

typedef struct Victim
{
	int64_t		job_id;
	int			cls;			/* 0 most urgent */
	int			owner;			/* index */
	int64_t		amount;			/* of the resource, at least 1 */
	int64_t		lost;			/* usec of work to be done again */
	bool		chosen;
} Victim;

typedef enum VictimOrder
{
	VICTIM_BY_SHARE,			/* class, workspace furthest above its share,
								 * least work lost */
	VICTIM_BY_LOSS				/* class, least work lost, share */
} VictimOrder;

extern int	victim_next(const Victim *v, int n, const VictimOwner *owners, VictimOrder order);
extern void victim_choose(Victim *v, VictimOwner *owners);
extern bool victim_enough(const Victim *v, int n, int64_t need);

#endif							/* FS_VICTIM_H */
