/*
 * placement_chain.h
 *		One chain looked at: asked about, decided, moved.
 */
#ifndef FS_PLACEMENT_CHAIN_H
#define FS_PLACEMENT_CHAIN_H

#include "placement_nodes.h"
#include "placement_scorer.h"

/* What a round of the loop knows, for all its chains. */
typedef struct FsPlacementRound
{
	FsDatabase *db;
	PlacementSettings settings;
	FsFleet		fleet;
	FsScorer	scorer;
	int			nnodes;			/* of fairsched.nodes, living or not */
	char	  **nodes;
	int			moves;			/* in flight, that scores decided */
	int			acts;			/* changes made */
} FsPlacementRound;

/*
 * fs_placement_chain: look at the chain, do what is decided, and write down why
 * it stays and when to look again.  In a transaction; waits for no row of the
 * chain.  May raise: then nothing of it is done.
 */
extern void fs_placement_chain(FsPlacementRound *round, FsChainKind kind, const char *name);

#endif							/* FS_PLACEMENT_CHAIN_H */
