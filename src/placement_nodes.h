/*
 * placement_nodes.h
 *		The fleet as the loop that moves placements sees it; the built-in scorer.
 */
#ifndef FS_PLACEMENT_NODES_H
#define FS_PLACEMENT_NODES_H

#include "placement.h"
#include "placement_decide.h"

/* A node that has a living worker, at one moment. */
typedef struct FsFleetNode
{
	char		name[FS_NAME_LEN + 1];
	bool		draining;
	PlacementFacts facts;		/* dwell: 0 */
} FsFleetNode;

/* Sorted by name. */
typedef struct FsFleet
{
	int			n;
	FsFleetNode *nodes;
} FsFleet;

/* Takes fs->lock, shared; palloc'd. */
extern void fs_fleet_look(FsDatabase *db, FsFleet *fleet);
extern const FsFleetNode *fs_fleet_find(const FsFleet *fleet, const char *node);

/* Jobs of the chain that workers of these nodes hold; takes fs->lock, shared, a piece at a time. */
extern void fs_fleet_running(FsDatabase *db, FsChainKind kind, const char *name,
							 const char *const *nodes, int n, int *running);

extern bool fs_fleet_runs(FsDatabase *db, const FsLease *lease, FsChainKind kind, const char *name, const char *node);

/* "workspace:NAME", "lane:NAME": how scorers know a chain; false: it is none. */
extern bool fs_chain_parse(const char *label, FsChainKind *kind, const char **name);
extern char *fs_chain_label(FsChainKind kind, const char *name);

/* The built-in opinions; in a transaction, may raise. */
extern PlacementScore fs_placement_builtin_score(FsDatabase *db, const FsFleet *fleet, const char *chain,
												 const char *node);
extern PlacementScore fs_placement_builtin_alternative(const FsFleet *fleet, char **exclude, int nexclude,
													   char **node);

/* A lease of the worker ended like this; fs->lock held. */
extern void fs_placement_note_end(int32 lease, TimestampTz now);

#endif							/* FS_PLACEMENT_NODES_H */
