/*
 * usage.h
 *		What workspaces use, reported by their workers.
 */
#ifndef FS_USAGE_H
#define FS_USAGE_H

#include "rows.h"

/* Refuse what is not an object of numbers that are not negative. */
extern void fs_usage_check(Datum usage);

/* A job was completed with this usage; its row is ours. */
extern void fs_usage_of_job(FsDatabase *db, FsJobRel *jr, HeapTuple row, Datum usage);

#endif							/* FS_USAGE_H */
