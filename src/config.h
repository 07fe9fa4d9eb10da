/*
 * config.h
 *		Settings of workspaces, tiers and kinds, from their tables.
 */
#ifndef FS_CONFIG_H
#define FS_CONFIG_H

#include "state.h"

/* The settings of a workspace by its row, or the defaults when it has none. */
extern void fs_settings_read(FsDatabase *db, const char *workspace, FsWorkspaceSettings *set);

/* Find or load a workspace and return with fs->lock held; raises when there is no room. */
extern int32 fs_workspace_lock(FsDatabase *db, const char *workspace);

/* Fill db->tiers from fairsched.tiers. */
extern void fs_tiers_load(FsDatabase *db);

/* The cost of a job by its kind; payload is jsonb. */
extern int	fs_kind_cost(const char *kind, Datum payload);
extern uint64 fs_kinds_read(void);

/* What a job of this kind holds where it does not say; jsonb, 0 = nothing. Valid until the next call. */
extern Datum fs_kind_resources(const char *kind);

extern void fs_config_init(void);

#endif							/* FS_CONFIG_H */
