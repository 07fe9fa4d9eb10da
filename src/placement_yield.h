/*
 * placement_yield.h
 *		Jobs that run where their chain is evicted from: asked to yield, and resumed.
 */
#ifndef FS_PLACEMENT_YIELD_H
#define FS_PLACEMENT_YIELD_H

#include "placement_nodes.h"

/*
 * Ask those that run on the node, with fairsched.placement_eviction = yield.  In a
 * transaction; waits for nobody; may raise.
 */
extern void fs_placement_ask_to_yield(FsDatabase *db, FsChainKind kind, const char *name, const char *node);

/*
 * Those that were asked and have yielded wait for a worker again.  Returns how
 * many still do not: they were asked and have not answered, or somebody has them
 * locked.
 */
extern int	fs_placement_resume(FsDatabase *db, FsChainKind kind, const char *name);

#endif							/* FS_PLACEMENT_YIELD_H */
