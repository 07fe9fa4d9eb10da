/*
 * oldest.h
 *		Since when the oldest ready jobs of workspaces are ready.
 */
#ifndef FS_OLDEST_H
#define FS_OLDEST_H

#include "shmem.h"

#define FS_SINCE_NOBODY	DT_NOEND	/* nothing of the flow is ready after all */
#define FS_SINCE_UNKNOWN DT_NOBEGIN /* it takes more than a bounded number of
									 * rows to tell */

/*
 * Which flows are asked about, and what is to be done with the answers.  wanted
 * is called under fs->lock; told without, once for each flow that seemed to have
 * something ready: `since` is when its oldest ready job became so.
 */
typedef struct FsOldestWalk
{
	bool		(*wanted) (struct FsOldestWalk *walk, int32 flow);
	void		(*told) (struct FsOldestWalk *walk, int32 workspace, const char *name, TimestampTz since);
	const int32 *flows;			/* only these are looked at; NULL: all */
	int			nflows;
	bool		admissible;		/* leave out what a gate holds up: parked
								 * flows, classes that a budget holds back */
	void	   *extra;			/* the caller's own */
} FsOldestWalk;

extern void fs_oldest_walk(FsOldestWalk *walk);

#endif							/* FS_OLDEST_H */
