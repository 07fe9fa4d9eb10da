/*
 * hints.h
 *		What is known of a flow's queue.  fs->lock held exclusively; nothing here
 *		allocates, waits or raises.
 */
#ifndef FS_HINTS_H
#define FS_HINTS_H

#include "shmem.h"

/* Something became ready, at a commit or an abort. */
extern void fs_sched_ready_one(int32 flow, int slot, const FsCandidate *cand);
extern void fs_sched_ready_many(int32 flow, int slot, int64 from);

/* A scan of the ready index for candidates: begun by the pick, ended by who scanned. */
extern void fs_sched_fill_begin(int32 flow);
extern void fs_sched_filled(int32 flow, int slot, const FsCandidate *found, int n, bool more);
extern void fs_sched_fill_abandoned(int32 flow);

#endif							/* FS_HINTS_H */
