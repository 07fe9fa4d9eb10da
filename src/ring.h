/*
 * ring.h
 *		The order of service.  fs->lock held exclusively; nothing here allocates,
 *		waits or raises.
 */
#ifndef FS_RING_H
#define FS_RING_H

#include "shmem.h"

#include "port/pg_bitutils.h"

/* After a change of what a flow has ready: its list, its member's place. */
extern void fs_sched_flow_relink(int32 flow);

/* After a change of deficit, quantum or admission: the places of all members concerned. */
extern void fs_sched_share_rekey(int32 share);
extern void fs_sched_members_rekey(const int32 *members, int n);
extern void fs_sched_member_put_off(int32 member, int32 cost, uint64 round);

/* After a quantum: P0 jobs may jump that could not before. */
extern void fs_sched_share_granted(int32 share);
extern void fs_sched_workspace_rekey(int32 workspace);

/* It is parked, and no more; and places of a share that a claimer came upon while it is. */
extern void fs_sched_workspace_leaves(int32 workspace);
extern void fs_sched_workspace_returns(int32 workspace);
extern void fs_sched_members_take_out(const int32 *members, int n);

/* Before a look at its places, in a ring that was seen: rounds that were foreign to it did not pass for it. */
extern void fs_sched_rings_see(const int32 *rings, int n, int32 lane);
extern void fs_sched_share_shift(FsShare *share);
extern void fs_sched_member_in_step(int32 member);

/* Of a claim that came to nothing; returns how much is lost. */
extern int64 fs_sched_share_refund(int32 share, int32 cost);

/* The job of that claim is gone: a queue that is empty keeps nothing. */
extern void fs_sched_nothing_left(int32 share);

/* Its place says an earlier round than the lane's: it takes part in that one from now on. */
extern void fs_sched_share_join(FsShare *share);

/* Before a change of deficit or quantum: bring the share's round up to date. */
extern void fs_sched_share_settle(FsShare *share);

/*
 * What a member serves next: a flow and the slot of it.  Returns what that
 * counts as (class * 2, less 1 for a job that returned to its own class), or
 * FS_NOTHING.
 */
#define FS_NOTHING	FS_RANKS
extern int	fs_sched_member_next(int32 member, int32 *flow, int *slot);

/* After a member served out of turn: it stands behind others that may do so too. */
extern void fs_sched_urgent_served(int32 member);

/* A flow's candidates; those of one slot are in order. */
static inline FsCandidate *
fs_sched_flow_cands(const FsFlow *f)
{
	return f->block != FS_NONE ? fs_blocks[f->block].cand : ((FsFlow *) f)->own;
}

/* The place of the first candidate of a slot, or -1. */
static inline int
fs_sched_flow_candidate(const FsFlow *f, int slot)
{
	const FsCandidate *cand = fs_sched_flow_cands(f);

	for (int i = 0; i < f->cand_count; i++)
		if (cand[i].slot == slot)
			return i;
	return -1;
}

/* The position of a flow's first job in a slot, or the lowest it can be; PG_INT64_MAX: there is none. */
static inline int64
fs_sched_flow_head(const FsFlow *f, int slot)
{
	int			i = fs_sched_flow_candidate(f, slot);

	if (i >= 0)
		return fs_sched_flow_cands(f)[i].position;
	return f->more & (1u << slot) ? f->cursor[slot] : PG_INT64_MAX;
}

/* The head's cost if it is known, else the least a job can cost. */
static inline int32
fs_sched_flow_head_cost(const FsFlow *f, int slot)
{
	int			i = fs_sched_flow_candidate(f, slot);

	return i >= 0 ? fs_sched_flow_cands(f)[i].cost : 1;
}

/* The slots in which a flow has something, as bits. */
static inline uint32
fs_sched_flow_slots(const FsFlow *f)
{
	const FsCandidate *cand = fs_sched_flow_cands(f);
	uint32		mask = f->more;

	for (int i = 0; i < f->cand_count; i++)
		mask |= 1u << cand[i].slot;
	return mask;
}

/* The most urgent of these slots that no budget holds back, or -1. */
static inline int
fs_sched_open_slot(const FsFlow *f, uint32 mask)
{
	if (f->refused)
		for (int cls = 0; cls < FS_CLASSES; cls++)
			if (f->refused & (1 << cls))
				mask &= ~(3u << (cls * 2));
	return mask ? pg_rightmost_one_pos32(mask) : -1;
}

/* The most urgent slot in which a flow has something that no budget holds back, or -1. */
static inline int
fs_sched_flow_slot(const FsFlow *f)
{
	return fs_sched_open_slot(f, fs_sched_flow_slots(f));
}

/* The most urgent class in which it has something, held back or not, or -1. */
static inline int
fs_sched_flow_class(const FsFlow *f)
{
	uint32		mask = fs_sched_flow_slots(f);

	return mask ? FsSlotClass(pg_rightmost_one_pos32(mask)) : -1;
}

/* The most urgent slot in which a member has a flow, whatever waits for long, or -1. */
static inline int
fs_sched_member_slot(const FsMember *m)
{
	for (int i = 0; i < FS_RANKS; i++)
		if (m->heads[i] != FS_NONE)
			return i;
	return -1;
}

#endif							/* FS_RING_H */
