/*
 * ring.h
 *		The order of service.  fs->lock held exclusively; nothing here allocates,
 *		waits or raises.
 */
#ifndef FS_RING_H
#define FS_RING_H

#include "shmem.h"

/* After a change of what a flow has ready: its list, its member's place. */
extern void fs_sched_flow_relink(int32 flow);

/* After a change of deficit, quantum or admission: the places of all members concerned. */
extern void fs_sched_share_rekey(int32 share);
extern void fs_sched_workspace_rekey(int32 workspace);

/* Has the share anything ready, parked flows included? */
extern bool fs_sched_share_waits(const FsShare *share);

/* Before a change of deficit or quantum: bring the share's round up to date. */
extern void fs_sched_share_settle(FsShare *share);

/* The most urgent slot in which a flow has something, or -1. */
static inline int
fs_sched_flow_slot(const FsFlow *f)
{
	uint32		mask = f->more;

	if (f->cand_count)
		mask |= 1u << f->cand_slot;
	for (int i = 0; i < FS_RANKS; i++)
		if (mask & (1u << i))
			return i;
	return -1;
}

/* The most urgent slot in which a member has a flow, or -1. */
static inline int
fs_sched_member_slot(const FsMember *m)
{
	for (int i = 0; i < FS_RANKS; i++)
		if (m->heads[i] != FS_NONE)
			return i;
	return -1;
}

/* The head's cost if it is known, else the least a job can cost. */
static inline int32
fs_sched_flow_head_cost(const FsFlow *f)
{
	if (f->cand_count && f->cand_slot == f->list_slot)
		return f->cand[f->cand_head].cost;
	return 1;
}

#endif							/* FS_RING_H */
