/*
 * preempt_policy.h
 *		What the files of the preemption policies share: rules, candidates
 *		(preempt_candidates.c), and who waits for the fleet (preempt_waiting.c).
 */
#ifndef FS_PREEMPT_POLICY_H
#define FS_PREEMPT_POLICY_H

#include "preempt.h"
#include "victim.h"
#include "ws_limits.h"

/* A row of fairsched.preemption_policies. */
typedef struct FsPreemptRule
{
	FsResource	resource;
	double		threshold;		/* percent */
	uint32		preempts;		/* bits of classes */
	uint32		waiting;
	int			max_jobs;
	VictimOrder order;
	FsExhausted on_exhausted;
} FsPreemptRule;

typedef struct FsPreemptCandidate
{
	int64		token;
	int32		workspace;		/* pool index, as of the copy */
	TimestampTz claimed_at;
	char		name[FS_NAME_LEN + 1];
} FsPreemptCandidate;

typedef struct FsPreemptCandidates
{
	int			n;
	Victim	   *v;
	FsPreemptCandidate *c;		/* by the same index */
	int			nowners;
	VictimOwner *owners;
	int64		coming;			/* held by jobs that were asked already */
	TimestampTz ripe_at;		/* when another job will have run long enough */
} FsPreemptCandidates;

/* What waits for the fleet. */
typedef struct FsFleetWaiter
{
	int32		flow;			/* FS_NONE: nobody */
	int32		id;				/* of the flow */
	int			cls;
	FsNeeds		needs;
	int64		free;			/* of the resource it lacks; less than 0 while
								 * others hold too much */
} FsFleetWaiter;

/* In a transaction, without fs->lock; they may raise.  Results are palloc'd. */
extern FsPreemptRule *fs_preempt_rules(int *n);
extern FsPreemptCandidates *fs_preempt_collect(FsDatabase *db, FsResource r, uint32 classes, TimestampTz now);
extern FsFleetWaiter fs_preempt_find_waiter(FsDatabase *db, FsResource r, uint32 classes, int64 most, TimestampTz now);
extern void fs_preempt_look_at_rooms(FsDatabase *db);

#endif							/* FS_PREEMPT_POLICY_H */
