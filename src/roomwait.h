/*
 * roomwait.h
 *		Flows that wait for the fleet, in the order in which they are served.
 */
#ifndef FS_ROOMWAIT_H
#define FS_ROOMWAIT_H

#include "pick.h"

/* fs->lock held exclusively; they do not raise. */

/* After a change of what a flow has ready, or of why it is parked. */
extern void fs_room_relink(int32 flow);

/* In how many rounds of its lane its head is served. */
extern uint64 fs_room_rounds(int32 flow);

/* Before a member goes to another ring of its lane. */
extern void fs_room_member_moves(int32 member, int32 ring);

/* Before a pick: flows that fit now take part again; true where there is one. */
extern bool fs_room_offer(FsDatabase *db, const FsEligible *e, int *visits);

/* Is somebody due before this flow who would fit into what the gift leaves? */
extern bool fs_room_others_first(FsDatabase *db, int32 flow, int32 gift, TimestampTz now);

/* There is no limit any more: all that lack this take part again. O(those). */
extern void fs_room_lift_all(FsDatabase *db, FsResource r);

/* The fleet may have more left: who waits for work looks again. */
extern void fs_room_freed(FsDatabase *db, TimestampTz now);

/* fs->lock held, any mode. */

/* May the next offer to this ring find something? Never false wrongly. */
extern bool fs_room_unseen(const FsDatabase *db, int32 ring);

/*
 * Who is first of the most urgent of these classes, lacks the resource, and needs
 * at most so much and what there is; of those that some worker may be handed out.
 */
extern int32 fs_room_first(const FsDatabase *db, FsResource r, uint32 classes, int64 most, TimestampTz now, int *cls);

#endif							/* FS_ROOMWAIT_H */
