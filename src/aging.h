/*
 * aging.h
 *		How long jobs have waited, told from their positions.
 */
#ifndef FS_AGING_H
#define FS_AGING_H

#include "shmem.h"

/* fs->lock held exclusively; they do not raise. */
extern void fs_aging_given(FsDatabase *db, int64 first, int64 end, TimestampTz now);
extern void fs_aging_refresh(FsDatabase *db, TimestampTz now);
extern void fs_aging_start(FsDatabase *db, TimestampTz now);
extern void fs_aging_saved(FsDatabase *db, TimestampTz at, int64 position);
extern void fs_aging_seed(FsDatabase *db, int64 position, TimestampTz ready_at);

/* The class a job counts as, by FsDatabase.aged. */
static inline int
fs_aging_class(const int64 *aged, int cls, int64 position)
{
	if (cls >= 2 && position < aged[cls - 1])
		return 1;
	if (cls == 3 && position < aged[1])
		return 2;
	return cls;
}

#endif							/* FS_AGING_H */
