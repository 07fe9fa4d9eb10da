/*
 * fairness.h
 *		Who got what of what is due to it.  fs->lock held exclusively; nothing here
 *		allocates, waits or raises.
 */
#ifndef FS_FAIRNESS_H
#define FS_FAIRNESS_H

#include "pick.h"

/* A member entered, or left, its ring. */
extern void fs_fair_entered(int32 member);
extern void fs_fair_left(int32 member);
extern void fs_fair_share_left(int32 share);

/* The quantum of a share changes. */
extern void fs_fair_quantum(int32 share, int32 quantum);

/* A job was picked; returns how far it moved the clocks, for fs_fair_undone. */
extern double fs_fair_served(const FsEligible *e, int32 member, int32 cost, uint64 round_before, bool urgent);
extern void fs_fair_undone(int32 share, int32 cost, double advance, int64 lost);
extern void fs_fair_lost(FsShare *share, int64 lost);

/* A claim is committed: how long its job had been ready. */
extern void fs_fair_waited(int32 workspace, FsLease *lease, TimestampTz now);

extern void fs_fair_workspace_gone(int32 workspace);

/* A job that costs so much waits at the head of a queue. */
static inline void
fs_fair_head(FsLane *lane, int32 cost)
{
	if (cost > lane->max_cost)
		lane->max_cost = cost;
}

/* Of one workspace, its periods that go on included; any lock mode. */
typedef struct FsFairState
{
	double		entitled;
	int64		competed;		/* service in competition */
	double		lag;			/* normalised; of the lane where it is largest
								 * for its bound */
	double		bound;
	double		tolerance;		/* what the round robin's bound accounts for */
	bool		contends;
} FsFairState;

extern int32 fs_fair_least_quantum(const FsDatabase *db);
extern void fs_fair_percentiles(DwellHistogram *dwell, TimestampTz now, Datum *values, bool *nulls);	/* no lock;
																										 * views_fairness.c */
extern void fs_fair_state(const FsWorkspace *ws, int32 least_quantum, FsFairState *state);

#endif							/* FS_FAIRNESS_H */
