/*
 * count.h
 *		Queue depths from rows, exact while the queues are in use.
 */
#ifndef FS_COUNT_H
#define FS_COUNT_H

#include "state.h"

/* fs_count_queues: one scan of the job tables; returns when to count again. */
extern TimestampTz fs_count_queues(FsDatabase *db);

#endif							/* FS_COUNT_H */
