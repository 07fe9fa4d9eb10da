/*
 * closing.h
 *		Workspaces that are about to be frozen, and served up to a position.
 *
 * fairsched_isolate_workspace locks the backlog behind some position before it
 * freezes the workspace.  Were those jobs merely skipped, younger ones would be
 * handed out before them.  So who comes to a job behind the position parks the
 * workspace there and then: the freeze begins early.
 *
 * All functions: fs->lock held exclusively; nothing here allocates, waits or raises.
 */
#ifndef FS_CLOSING_H
#define FS_CLOSING_H

#include "shmem.h"

extern bool fs_closing_begin(int32 workspace, int64 position);
extern void fs_closing_end(int32 workspace);
extern bool fs_closing_find(int32 workspace, int64 position);

/* fs_closing_bars: must this job wait until the workspace has moved? */
static inline bool
fs_closing_bars(int32 workspace, int64 position)
{
	return fs->nclosing > 0 && fs_closing_find(workspace, position);
}

#endif							/* FS_CLOSING_H */
