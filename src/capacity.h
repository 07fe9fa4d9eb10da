/*
 * capacity.h
 *		What the fleet has of cpu, memory and gpu, and who may take it.
 */
#ifndef FS_CAPACITY_H
#define FS_CAPACITY_H

#include "shmem.h"

StaticAssertDecl(FS_RES_GPU == FS_FLEET - 1, "cpu, memory and gpu come first");

/* fs->lock held exclusively; they do not raise. */
extern bool fs_capacity_refuses(FsDatabase *db, int32 flow, const FsNeeds *needs, int32 gift,
								TimestampTz now, FsRefusal *why);
extern bool fs_capacity_plain(const FsDatabase *db, const FsNeeds *needs);
extern void fs_capacity_less(FsDatabase *db, FsResource r, int64 delta);
extern void fs_capacity_refused(FsDatabase *db, int32 flow, TimestampTz now);
extern TimestampTz fs_capacity_claimed(FsDatabase *db, int32 flow);
extern void fs_capacity_flow_gone(FsDatabase *db, int32 flow);
extern bool fs_capacity_keep(FsDatabase *db, int32 flow, int cls, const FsNeeds *needs, TimestampTz until);
extern void fs_capacity_unknown(FsDatabase *db, TimestampTz now);
extern void fs_capacity_forget_rooms(FsDatabase *db, TimestampTz now);

/* fs->lock held, any mode. */
extern double fs_capacity_percent(const FsDatabase *db, FsResource r);
extern int64 fs_capacity_left(const FsDatabase *db, FsResource r, int32 flow, int cls, TimestampTz now);
extern int32 fs_capacity_room_owner(const FsDatabase *db, int room);
extern TimestampTz fs_capacity_below_since(const FsDatabase *db, FsResource r, double percent);
extern int64 fs_capacity_kept(const FsDatabase *db, FsResource r, int32 flow, int cls, TimestampTz now);

/* The class of the most urgent job of a flow. */
extern int	fs_capacity_class(int32 flow);

/* From its table; may raise. */
extern void fs_capacity_load(FsDatabase *db);

/* fs_capacity_hold: jobs hold so much more, or less. fs->lock held exclusively. */
static inline void
fs_capacity_hold(FsDatabase *d, FsResource r, int64 delta)
{
	if (r >= FS_FLEET)
		return;
	if (delta < 0)
		fs_capacity_less(d, r, delta);
	else
		d->fleet[r] += delta;
}

#endif							/* FS_CAPACITY_H */
