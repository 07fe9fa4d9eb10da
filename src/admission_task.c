/*
 * admission_task.c
 *		What admission leaves to the background: the scheduler's task.
 *
 * Claims only note in shared memory what is to be written; this runs at most
 * once a second for it (fs_admit_next_due), so a claim writes no row for a
 * quota, however often it is refused.
 */
#include "admission_task.h"

#include "admit.h"

TimestampTz
fs_admission_task(FsDatabase *db)
{
	TimestampTz now = GetCurrentTimestamp();

	FsLock();
	fs_admit_wake_due(db, now);
	db->limits_dirty = false;
	db->tasks[FS_TASK_ADMISSION].last_run = now;
	FsUnlock();
	return DT_NOEND;
}
