/*
 * pick.h
 *		The choice of the next job.  fs->lock held exclusively; nothing here
 *		allocates, waits or raises.
 */
#ifndef FS_PICK_H
#define FS_PICK_H

#include "shmem.h"

/* What a claimer may serve, and what the pick found (claim.c). */
typedef struct FsEligible
{
	int			nlanes;
	int32	   *lanes;			/* lane indexes */
	int			nrings;
	int32	   *rings;			/* ring indexes */
	bool	   *may_serve;		/* by ring: is it one of these? */
	uint64		gen;			/* db->rings_gen when the rings were chosen */
	uint64		choice;			/* number of that choice in this backend */
	int32	   *members;		/* room for a share's, one in each ring
								 * (pick.c) */
	int32		node;			/* of the claimer; FS_NONE: it has none */
	int			ngifts;			/* slots that jobs finished in this call leave
								 * to it */
	int32	   *gifts;			/* lease indexes, FS_NONE once used */
	TimestampTz now;			/* as of the critical section; never earlier
								 * than the last one's */
} FsEligible;

typedef enum FsPick
{
	FS_PICK_NOTHING,			/* nothing admissible remains */
	FS_PICK_FILL,				/* scan this flow's index for candidates */
	FS_PICK_WAIT,				/* somebody scans; wait on db->filled */
	FS_PICK_TAKE,				/* *cand of *flow is next and paid for */
	FS_PICK_TIRED				/* fairsched.max_visits_per_claim reached */
} FsPick;

extern FsPick fs_sched_pick(int32 db, const FsEligible *e, int *visits, int32 *flow,
							int *slot, FsCandidate *cand);
extern bool fs_sched_fill_ahead(const FsEligible *e, int32 *flow, int *slot);
extern void fs_sched_refund(int32 share, int32 cost, double advance);

extern bool fs_sched_has_work(int32 db, const FsEligible *e);
extern void fs_sched_offer_gifts(const FsEligible *e);
extern int32 fs_sched_first_gift(const FsEligible *e, int32 workspace);
extern int	fs_sched_gifts_left(const FsEligible *e, int32 workspace);

#endif							/* FS_PICK_H */
