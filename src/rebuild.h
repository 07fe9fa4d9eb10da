/*
 * rebuild.h
 *		Shared memory from rows.
 */
#ifndef FS_REBUILD_H
#define FS_REBUILD_H

#include "state.h"

/* fs_rebuild: everything, into an empty slot that the caller holds as BUILDING. */
extern void fs_rebuild(FsDatabase *db);

/* fs_rebuild_discard: back to EMPTY after a failed build; fs->lock held. */
extern void fs_rebuild_discard(FsDatabase *db);

/* fs_rebuild_rescan: rows changed behind our back; look for ready ones again. */
extern void fs_rebuild_rescan(FsDatabase *db);

/* fs_rebuild_adopt: job tables came or went; take over those that a restore brought. */
extern void fs_rebuild_adopt(FsDatabase *db);

/* fs_rebuild_settings: read tiers and the settings of known workspaces again. */
extern void fs_rebuild_settings(FsDatabase *db);

#endif							/* FS_REBUILD_H */
