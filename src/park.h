/*
 * park.h
 *		Which workspaces may be served.  fs->lock held exclusively; nothing here
 *		allocates, waits or raises.
 */
#ifndef FS_PARK_H
#define FS_PARK_H

#include "shmem.h"

extern const char *const FsParkNames[];

extern void fs_sched_park(int32 workspace, FsPark why);
extern void fs_sched_unpark(int32 workspace);
extern void fs_sched_unpark_if_fits(int32 workspace);
extern void fs_sched_slot_freed(int32 workspace);

extern void fs_sched_apply_settings(int32 workspace, const FsWorkspaceSettings *set);
extern void fs_sched_set_quotas(FsDatabase *db, int32 dflt, int32 enterprise, double share);
extern void fs_sched_refresh_slots(FsDatabase *db, TimestampTz now);

/* Did a gate of admit_gates.c park the workspace? Then its `why` says more. */
static inline bool
fs_park_by_gate(FsPark why)
{
	return why == FS_PARK_RATE || why == FS_PARK_RESOURCE || why == FS_PARK_BUDGET || why == FS_PARK_THROTTLE;
}

/* Arithmetic; fs->lock held, any mode. */

/* The most jobs of the workspace that may run at a time. */
static inline int32
fs_sched_ceiling(const FsWorkspace *ws)
{
	if (ws->set.max_running >= 0)
		return ws->set.max_running;
	return ws->set.quota_class == FS_QUOTA_ENTERPRISE ? fs_dbs[ws->db].enterprise_quota
		: fs_dbs[ws->db].default_quota;
}

/* The most a workspace may hold while others want workers, or INT_MAX. */
static inline int32
fs_sched_share_cap(const FsDatabase *d)
{
	if (d->live_slots < 2)
		return INT_MAX;
	return Max(1, (int32) (d->workspace_share * d->live_slots));
}

#endif							/* FS_PARK_H */
