/*
 * placement_scorer.h
 *		Opinions about nodes: of a pair of SQL functions, or the built-in ones.
 */
#ifndef FS_PLACEMENT_SCORER_H
#define FS_PLACEMENT_SCORER_H

#include "placement_decide.h"
#include "placement_nodes.h"
#include "state.h"

/* The pair in force; read once a run of the loop. */
typedef struct FsScorer
{
	bool		installed;		/* false: the built-in */
	Oid			score;			/* InvalidOid: not what it was when it was
								 * installed */
	Oid			alternative;
	char	   *names[2];		/* for alerts */
	bool		asked[2];
	bool		alerted[2];		/* once a run is enough */
	const FsFleet *fleet;		/* by which all chains of the run are judged */
} FsScorer;

extern void fs_scorer_load(FsScorer *scorer, const FsFleet *fleet);
extern void fs_scorer_done(FsScorer *scorer);

/*
 * What the scorer says of a node, or of the best one for the chain that is not in
 * `exclude`.  An error, a time-out or a senseless answer is no opinion: it is
 * counted and alerted (PLACEMENT_FAILED).  Raises only for what is not the
 * scorer's doing: a cancelled statement, a terminated session.  In a transaction,
 * outside of fs_spi_begin.
 */
extern PlacementScore fs_scorer_score(FsDatabase *db, FsScorer *scorer,
									  const char *chain, const char *node);
extern PlacementScore fs_scorer_alternative(FsDatabase *db, FsScorer *scorer, const char *chain,
											char **exclude, int nexclude, char **node);

extern void fs_scorer_subxact_aborted(void);

#endif							/* FS_PLACEMENT_SCORER_H */
