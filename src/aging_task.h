/*
 * aging_task.h
 *		Saving how long jobs have waited, and reading it after a restart.
 */
#ifndef FS_AGING_TASK_H
#define FS_AGING_TASK_H

#include "state.h"

/* Both may raise; the caller holds no lock of ours. */
extern TimestampTz fs_aging_task(FsDatabase *db);
extern void fs_aging_load(FsDatabase *db);

/* When there is something to save; DT_NOEND: nothing. Any lock mode, or none. */
extern TimestampTz fs_aging_save_due(const FsDatabase *db);

#endif							/* FS_AGING_TASK_H */
