/*
 * rows_insert.h
 *		New job rows.
 */
#ifndef FS_ROWS_INSERT_H
#define FS_ROWS_INSERT_H

#include "rows.h"

/* Insert rows that were formed by fs_rows_form; none has a unique key. */
extern void fs_rows_insert(FsJobRel *jr, HeapTuple *tuples, int n, CommandId cid);

/* Insert a row with a unique key; false: *existing has it already. */
extern bool fs_rows_insert_unique(FsJobRel *jr, HeapTuple tuple, const char *workspace,
								  Datum unique_key, int64 *existing);
extern bool fs_rows_find_unique(FsJobRel *jr, const char *workspace, Datum unique_key,
								int64 *existing);

/* Insert into any table, keeping all of its indexes. */
extern void fs_rows_insert_plain(Relation rel, HeapTuple tuple);

#endif							/* FS_ROWS_INSERT_H */
