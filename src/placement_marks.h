/*
 * placement_marks.h
 *		What changed since the loop that moves placements looked: pure, no PostgreSQL.
 */
#ifndef FS_PLACEMENT_MARKS_H
#define FS_PLACEMENT_MARKS_H

#include <stdbool.h>
#include <stdint.h>

#define PLACEMENT_MARKS		64	/* remembered by name */
#define PLACEMENT_MARK_BITS	32768	/* of their names, what is beyond */
#define PLACEMENT_MARK_NAME	128 /* bytes, without the NUL */

typedef enum FsChainKind
{
	FS_CHAIN_WORKSPACE,
	FS_CHAIN_LANE,
	FS_CHAIN_NODE,				/* all chains that this node holds, or may
								 * hold */
	FS_CHAIN_KINDS
} FsChainKind;

typedef struct PlacementMark
{
	FsChainKind kind;
	char		name[PLACEMENT_MARK_NAME + 1];
} PlacementMark;

typedef struct PlacementMarks
{
	bool		first;			/* memory is new: rows tell what is not as it
								 * should be */
	int32_t		n;
	PlacementMark mark[PLACEMENT_MARKS];
	bool		more;			/* others are in the bits */
	bool		more_nodes;		/* nodes are among these */
	uint32_t	bits[PLACEMENT_MARK_BITS / 32];
} PlacementMarks;

extern bool placement_marks_any(const PlacementMarks *m);
extern void placement_marks_clear(PlacementMarks *m);
extern void placement_marks_add(PlacementMarks *m, FsChainKind kind, const char *name);
extern void placement_marks_merge(PlacementMarks *m, const PlacementMarks *others);
extern bool placement_marks_may_have(const PlacementMarks *m, FsChainKind kind, const char *name);

#endif							/* FS_PLACEMENT_MARKS_H */
