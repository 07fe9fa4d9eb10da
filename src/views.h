/*
 * views.h
 *		What the functions behind the views share.
 */
#ifndef FS_VIEWS_H
#define FS_VIEWS_H

#include "state.h"
#include "tables.h"

#include "nodes/execnodes.h"

/* Raise unless the caller may SELECT from one of these views of schema fairsched. */
extern void fs_view_check(const char *view, const char *or_view);

/* Memory as up to date as this transaction may make it, or NULL. */
extern FsDatabase *fs_view_state(const char *view);

/* Is the slot still this database's? fs->lock held. */
extern bool fs_view_ours(int32 db);

/*
 * What one view does with a pool: copy is called under fs->lock, says whether
 * entry `at` is of interest and puts it into *row; emit is called without the
 * lock, in a context that is reset after each piece.
 */
typedef struct FsWalk
{
	int			capacity;
	Size		row_size;
	bool		(*copy) (struct FsWalk *walk, int32 at, void *row);
	void		(*emit) (struct FsWalk *walk, const void *row);
	int32		db;				/* filled in by fs_view_walk */
	TimestampTz now;
	ReturnSetInfo *result;
	void	   *extra;			/* the view's own */
} FsWalk;

extern void fs_view_walk(FsWalk *walk);
extern void fs_view_put(FsWalk *walk, Datum *values, bool *nulls);

/* An index of a job table, open for reading under an AccessShareLock (views_rows.c). */
typedef struct FsIndexRead
{
	struct RelationData *rel;
	struct RelationData *index;
	struct TupleTableSlot *slot;
	struct IndexScanDescData *scan;
} FsIndexRead;

extern struct RelationData *fs_view_open_table(int32 job_table, const FsTable **table);
extern void fs_view_index_begin(FsIndexRead *r, const FsTable *t, FsIndexKind kind, Snapshot snapshot,
								struct ScanKeyData *keys, int nkeys);
extern void fs_view_index_end(FsIndexRead *r);
extern bool fs_view_read_begin(FsIndexRead *r, int32 job_table, FsIndexKind kind, Snapshot snapshot,
							   struct ScanKeyData *keys, int nkeys);
extern HeapTuple fs_view_read_next(FsIndexRead *r);
extern void fs_view_read_end(FsIndexRead *r);

/* Of one workspace or worker; the pointers may be to copies. */
extern const char *fs_view_park_word(bool drained, FsPark parked);
extern int64 fs_view_ready(const FsWorkspace *ws);
extern bool fs_view_alive(const FsWorker *worker, TimestampTz now);

#endif							/* FS_VIEWS_H */
