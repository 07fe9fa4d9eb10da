/*
 * softclaim.h
 *		Claims that write nothing: leases that only memory knows.
 */
#ifndef FS_SOFTCLAIM_H
#define FS_SOFTCLAIM_H

#include "claim.h"
#include "held.h"

/* A lease is being made: soft or not.  fs->lock held; before fs_ledger_claim. */
extern void fs_soft_begin(FsDatabase *db, int32 lease);

/*
 * Give the leases of picked candidates the jobs that are at their places; the
 * result of those that are not to be had is set.  Before the snapshot in which
 * the rows are looked at.
 */
extern void fs_soft_name(FsDatabase *db, FsTaken *taken, int n);

/* Leave out jobs that the rows may call available although somebody claims them; how many are left. */
extern int	fs_soft_filter(FsDatabase *db, FsCandidate *found, const int64 *jobs, int n);

/* Is the job running by a soft lease that the caller may know of?  The attempt, 0 when not. */
extern int32 fs_soft_attempt(int64 job_id);

/*
 * Lock an available row, unless a claim of it is open, and say who holds it
 * softly: held->soft and what else is known.  With wait, open claims and row locks
 * are waited for; without, LOCKED.  GONE: the row is another by now.
 */
extern FsRowResult fs_soft_lock(FsDatabase *db, FsJobRel *jr, HeapTuple row, bool wait, FsHeld *held);

/*
 * Write a soft lease into its available row, which becomes *row, in this
 * transaction.  A row that we locked counts as locked without `wait`.
 */
extern FsRowResult fs_soft_harden(FsDatabase *db, FsJobRel *jr, HeapTuple *row, const FsHeld *held,
								  bool wait);

/* Before a job that was retryable, scheduled, preempted or dead becomes ready: wait until memory knows how its last lease ended. */
extern void fs_soft_settle(FsDatabase *db, int64 job_id);

/* From the abort callbacks. */
extern void fs_soft_abort(void);

#endif							/* FS_SOFTCLAIM_H */
