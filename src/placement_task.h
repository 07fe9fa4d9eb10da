/*
 * placement_task.h
 *		The loop that keeps placements good.
 */
#ifndef FS_PLACEMENT_TASK_H
#define FS_PLACEMENT_TASK_H

#include "state.h"

/*
 * The task: one round; returns when it wants to run next.  *acts (or NULL) gets
 * the number of changes made.  May raise.
 */
extern TimestampTz fs_placement_task(FsDatabase *db, int *acts);

/* Has something changed that the loop has not seen?  No lock needed. */
extern bool fs_placement_wanted(FsDatabase *db);

#endif							/* FS_PLACEMENT_TASK_H */
