/*
 * admission_task.h
 *		What admission leaves to the background.
 */
#ifndef FS_ADMISSION_TASK_H
#define FS_ADMISSION_TASK_H

#include "state.h"

/* Refusals that were to last until now are lifted; violations and rate windows are written. */
extern TimestampTz fs_admission_task(FsDatabase *db);

#endif							/* FS_ADMISSION_TASK_H */
