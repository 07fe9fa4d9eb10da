/*
 * wait.h
 *		Waiting for work without polling.
 */
#ifndef FS_WAIT_H
#define FS_WAIT_H

#include "pick.h"

/* fs_wait_wake: up to n of those who wait for this lane; fs->lock held. */
extern void fs_wait_wake(int32 db, int32 lane, int n);

/* Sleep until woken or `until`; true when woken. Lanes: those to listen to; wait_event: as shown meanwhile. */
extern bool fs_wait_for_work(int32 db, int nlanes, char **lanes, const FsEligible *e,
							 TimestampTz until, uint32 wait_event);

extern void fs_wait_cleanup(void);

#endif							/* FS_WAIT_H */
