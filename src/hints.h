/*
 * hints.h
 *		What is known of a flow's queue.  fs->lock held exclusively; nothing here
 *		allocates, waits or raises.
 */
#ifndef FS_HINTS_H
#define FS_HINTS_H

#include "shmem.h"

/* Scans that look at rows after something unexpected. */
#define FS_LOOKS 4

/* Something became ready, at a commit or an abort. */
extern void fs_sched_ready_one(int32 flow, int slot, const FsCandidate *cand);
extern void fs_sched_ready_many(int32 flow, int slot, int64 from);

/* The first candidate of a slot, which there must be, is handed out; the caller relinks the flow. */
extern FsCandidate fs_sched_take(int32 flow, int slot);

/* A candidate that was `unseen` turned out to be none: look again from there, at the rows too. */
extern void fs_sched_doubt(int32 flow, int slot, int64 position);

/* All candidates are to be looked for again. */
extern void fs_sched_reread(int32 flow);

/* A flow's jobs are in another table. */
extern void fs_sched_forget_places(int32 flow);

/* A scan of the ready index for candidates: begun by the pick, ended by who scanned. */
extern void fs_sched_fill_begin(int32 flow, int slot);
extern void fs_sched_filled(int32 flow, int slot, const FsCandidate *found, int n, bool more);
extern void fs_sched_fill_abandoned(int32 flow);

/* Forget all candidates, without a word about where the index is to be read. */
extern void fs_sched_drop_candidates(FsFlow *f);

/* How many candidates are worth looking for. Any lock mode, or none: it is a guess. */
extern int	fs_sched_fill_want(int32 flow);

#endif							/* FS_HINTS_H */
