/*
 * fairness_task.h
 *		The scheduler's sample of fairness.
 */
#ifndef FS_FAIRNESS_TASK_H
#define FS_FAIRNESS_TASK_H

#include "state.h"

/* Both in a transaction; may raise. */
extern int	fs_fairness_sample(FsDatabase *db, TimestampTz now);
extern TimestampTz fs_fairness_task(FsDatabase *db);

#endif							/* FS_FAIRNESS_TASK_H */
