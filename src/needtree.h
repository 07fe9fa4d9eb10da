/*
 * needtree.h
 *		Who comes first of those that need no more than so much: a treap over an
 *		array, linked by index.
 *
 * Everything is O(log n) expected, and nothing is allocated, so it can live in
 * shared memory and be changed under a lock.  Pure: no PostgreSQL.
 */
#ifndef FS_NEEDTREE_H
#define FS_NEEDTREE_H

#include <stdbool.h>
#include <stdint.h>

#define NEEDTREE_NONE (-1)

typedef struct NeedNode
{
	int64_t		need;			/* what the tree is ordered by */
	uint64_t	round;			/* who comes first: the lowest round, */
	int64_t		since;			/* then the lowest of these, */
	int64_t		position;		/* and of these, then the lowest place in the
								 * array */
	int32_t		left;
	int32_t		right;
	int32_t		first;			/* of this node and all below it */
	bool		linked;
} NeedNode;

extern void needtree_insert(NeedNode *nodes, int32_t *root, int32_t node);
extern void needtree_remove(NeedNode *nodes, int32_t *root, int32_t node);
extern int32_t needtree_first(const NeedNode *nodes, int32_t root, int64_t most);

#endif							/* FS_NEEDTREE_H */
