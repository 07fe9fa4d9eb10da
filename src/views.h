/*
 * views.h
 *		What the functions behind the views share.
 */
#ifndef FS_VIEWS_H
#define FS_VIEWS_H

#include "state.h"

/* Raise unless the caller may SELECT from one of these views of schema fairsched. */
extern void fs_view_check(const char *view, const char *or_view);

/* Memory as up to date as this transaction may make it, or NULL. */
extern FsDatabase *fs_view_state(const char *view);

/* Is the slot still this database's? fs->lock held. */
extern bool fs_view_ours(int32 db);

#endif							/* FS_VIEWS_H */
