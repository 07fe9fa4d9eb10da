/*
 * drr.h
 *		Deficit Round Robin in closed form (Shreedhar & Varghese 1995).
 *
 * The textbook algorithm walks a list: on a visit in round k a flow's deficit
 * grows by its quantum, it is served while its head costs no more than the
 * deficit, then the list moves on.  Here the round in which a flow's head
 * becomes affordable is computed instead of walked to, so that a job that
 * costs a thousand quanta costs no more work than one that costs one.  A ring
 * is then an ordering by (that round, place in the ring); its minimum is the
 * next flow to serve.  The order of service is that of the textbook.
 *
 * Pure arithmetic: no locks, no PostgreSQL.  All amounts are cost units.
 */
#ifndef FS_DRR_H
#define FS_DRR_H

#include <stdbool.h>
#include <stdint.h>

typedef struct DrrShare
{
	int64_t		deficit;		/* cost units it may still use in `round` */
	uint64_t	round;			/* the last round whose quantum it received */
	int32_t		quantum;		/* cost units a round, at least 1 */
} DrrShare;

extern uint64_t drr_rounds_needed(const DrrShare *share, int64_t cost);
extern uint64_t drr_key(const DrrShare *share, int64_t cost);
extern void drr_grant_until(DrrShare *share, uint64_t round);
extern void drr_join(DrrShare *share, uint64_t ring_round);
extern int64_t drr_resume(DrrShare *share, uint64_t ring_round, int64_t cost);
extern void drr_charge(DrrShare *share, int64_t cost);
extern int64_t drr_refund(DrrShare *share, int64_t cost);
extern void drr_empty(DrrShare *share);
extern bool drr_may_jump(const DrrShare *share, int64_t cost);
extern uint64_t drr_jump_round(const DrrShare *share, int64_t cost);
extern int64_t drr_debt(const DrrShare *share, uint64_t ring_round);

#endif							/* FS_DRR_H */
