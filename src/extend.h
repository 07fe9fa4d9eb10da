/*
 * extend.h
 *		New pages of a table, many at once.
 */
#ifndef FS_EXTEND_H
#define FS_EXTEND_H

#include "compat.h"

/*
 * See to it that a table whose free space map knows of no room for a row of
 * this size has about so many empty pages more, if that can be had cheaply.
 * RowExclusiveLock on it is held.  Raises what reading a page may raise; that
 * there is no room on the disk is left for the insertion to find.
 */
extern void fs_extend_for(Relation rel, Size row, int pages);

#endif							/* FS_EXTEND_H */
