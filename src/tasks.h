/*
 * tasks.h
 *		Due work: what the scheduler worker does, and claimers where there is none.
 */
#ifndef FS_TASKS_H
#define FS_TASKS_H

#include "state.h"

extern const char *const FsTaskNames[FS_TASK_COUNT];

/*
 * fs_task_run: do one task of this database, at most `limit` jobs of it, inside
 * the caller's transaction.  Returns when it wants to run next (DT_NOEND: when
 * woken); a time in the past when the limit was reached.  May raise.
 */
extern TimestampTz fs_task_run(FsTask task, FsDatabase *db, int limit);

/* When the next promotion or expiry is due; no lock needed. */
extern TimestampTz fs_task_next_due(FsDatabase *db);

/* Called by claimers: bounded due work when no scheduler worker is there to do it. */
extern void fs_task_help(FsDatabase *db);

#endif							/* FS_TASKS_H */
