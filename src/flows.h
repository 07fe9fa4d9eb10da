/*
 * flows.h
 *		Workspaces, lanes, rings and flows: found, made, given back.  fs->lock held
 *		(exclusively but for finders); nothing here allocates, waits or raises.
 */
#ifndef FS_FLOWS_H
#define FS_FLOWS_H

#include "shmem.h"

/* Finders; FS_NONE when there is none. */
extern int32 fs_sched_workspace_find(int32 db, const char *name);
extern int32 fs_sched_lane_find(int32 db, const char *name);
extern int32 fs_sched_flow_by_id(int32 db, int32 id);
extern int32 fs_sched_member_find(int32 share, int32 ring);
extern bool fs_sched_caps_subset(const char *need, int need_len, const char *have, int have_len);

/* Made when new; FS_NONE when full. */
extern int32 fs_sched_workspace_add(int32 db, const char *name, const FsWorkspaceSettings *set);
extern int32 fs_sched_lane_get(int32 db, const char *lane);
extern int32 fs_sched_ring_get(int32 workspace, const char *lane, const char *caps, int caps_len);
extern int32 fs_sched_flow_get(int32 workspace, int32 ring, const FsFlowSpec *spec);
extern int32 fs_sched_flow_overflow(int32 workspace, int32 ring);
extern int32 fs_sched_flow_adopt(int32 workspace, int32 ring, const FsFlowSpec *spec, int32 id);
extern void fs_sched_flow_move(int32 flow, int32 ring);
extern int	fs_sched_rings_lacking(int32 workspace, int32 holders);
extern bool fs_sched_member_place(int32 member, int32 holders);

/* Given back. */
extern int	fs_sched_reclaim(int32 db);
extern void fs_sched_forget(int32 workspace);
extern void fs_sched_sweep(int32 db);

#endif							/* FS_FLOWS_H */
