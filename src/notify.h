/*
 * notify.h
 *		Telling listeners what happens.
 */
#ifndef FS_NOTIFY_H
#define FS_NOTIFY_H

#include "shmem.h"

/* fs->lock held exclusively; does not raise. */
extern void fs_notify_count(FsDatabase *db, FsEvent event, int64 n, TimestampTz now);

extern TimestampTz fs_notify_task(FsDatabase *db);

#endif							/* FS_NOTIFY_H */
