/*
 * rows_index.h
 *		The indexes of job tables, for rows.c and rows_insert.c.
 */
#ifndef FS_ROWS_INDEX_H
#define FS_ROWS_INDEX_H

#include "rows.h"

#include "access/genam.h"

/* The i-th index of an open job table, or the one of a kind (raises where it is missing). */
extern Relation fs_rows_index(FsJobRel *jr, int i);
extern Relation fs_rows_index_of_kind(FsJobRel *jr, FsIndexKind kind);

/*
 * Enter a row that is in its table into the i-th index, if that holds it; false:
 * `check` is UNIQUE_CHECK_PARTIAL and another row may have the key.
 */
extern bool fs_rows_enter(FsJobRel *jr, int i, HeapTuple tuple, IndexUniqueCheck check);
extern bool fs_rows_enter_key(FsJobRel *jr, int i, Datum *key, bool *isnull, ItemPointer tid,
							  IndexUniqueCheck check);

/* Into all of them; a key that is taken raises. */
extern void fs_rows_enter_all(FsJobRel *jr, HeapTuple tuple);

/* Into any index of any table. */
extern void fs_rows_enter_other(Relation rel, Relation index, HeapTuple tuple);

#endif							/* FS_ROWS_INDEX_H */
