/*
 * tables.h
 *		The job tables of this database as a backend knows them: OIDs, cached.
 */
#ifndef FS_TABLES_H
#define FS_TABLES_H

#include "state.h"

#include "utils/relcache.h"

typedef enum FsIndexKind
{
	FS_INDEX_JOB,
	FS_INDEX_READY,
	FS_INDEX_DUE,
	FS_INDEX_UNIQUE,
	FS_INDEX_RUN,
	FS_INDEX_WAITING,
	FS_INDEX_OTHER				/* made by an administrator */
} FsIndexKind;

#define FS_TABLE_INDEXES 16

typedef struct FsTable
{
	int32		job_table;		/* hash key */
	bool		valid;
	Oid			relid;
	int			nindexes;
	Oid			index[FS_TABLE_INDEXES];
	FsIndexKind kind[FS_TABLE_INDEXES];
} FsTable;

/* NULL when there is no such table. */
extern const FsTable *fs_table_get(int job_table);

/* Has it all indexes that we make? One that is being restored has not. */
extern bool fs_table_complete(const FsTable *table);
extern Oid	fs_table_index(const FsTable *table, FsIndexKind kind);

/* All job tables that exist, by number; palloc'd. */
extern int *fs_table_list(int *n);

extern void fs_tables_init(void);

/* True once after a job table appeared, went or was replaced. */
extern bool fs_tables_changed(void);

#endif							/* FS_TABLES_H */
