/*
 * leaf.h
 *		New entries of an index, many to a leaf.
 */
#ifndef FS_LEAF_H
#define FS_LEAF_H

#include "compat.h"

#include "storage/itemptr.h"

#define FS_LEAF_COLUMNS 3

/* An entry to be: columns of fixed width, none null. */
typedef struct FsLeafKey
{
	Datum		column[FS_LEAF_COLUMNS];
	ItemPointerData tid;
} FsLeafKey;

/*
 * Can fs_leaf_insert enter rows by so many columns into this index?  Else
 * index_insert is the way.
 */
extern bool fs_leaf_possible(Relation index, int columns);

/*
 * Enter new rows into the index, in ascending order of the keys; unique: a key
 * that is there raises, or waits for who may take it back, as index_insert does.
 */
extern void fs_leaf_insert(Relation index, Relation heap, const FsLeafKey *keys, int n, bool unique);

#endif							/* FS_LEAF_H */
