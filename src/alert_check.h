/*
 * alert_check.h
 *		Looking for what is worth an alert.
 */
#ifndef FS_ALERT_CHECK_H
#define FS_ALERT_CHECK_H

#include "state.h"

/* Both in a transaction; may raise. */
extern void fs_alert_check(FsDatabase *db, TimestampTz now);
extern TimestampTz fs_alert_task(FsDatabase *db);

#endif							/* FS_ALERT_CHECK_H */
