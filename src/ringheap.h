/*
 * ringheap.h
 *		A pairing heap over an array, linked by index: the order of a ring.
 *
 * Insert is O(1), removal O(log n) amortised, and nothing is allocated, so it
 * can live in shared memory and be changed under a lock.  Pure: no PostgreSQL.
 */
#ifndef FS_RINGHEAP_H
#define FS_RINGHEAP_H

#include <stdbool.h>
#include <stdint.h>

#define RINGHEAP_NONE (-1)

typedef struct RingNode
{
	uint64_t	round;			/* first key: the round it is due in */
	uint32_t	stamp:31;		/* second key: its place in the ring; it wraps
								 * around */
	uint32_t	linked:1;
	int32_t		child;
	int32_t		next;
	int32_t		prev;			/* parent for a first child, else left sibling */
} RingNode;

extern void ringheap_insert(RingNode *nodes, int32_t *root, int32_t node);
extern void ringheap_remove(RingNode *nodes, int32_t *root, int32_t node);
extern bool ringheap_before(const RingNode *a, const RingNode *b);

#endif							/* FS_RINGHEAP_H */
