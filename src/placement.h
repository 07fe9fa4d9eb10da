/*
 * placement.h
 *		Which nodes serve a workspace or a lane, in shared memory.
 *
 * A chain is a workspace or a lane.  What is set is in fairsched.placement_chains
 * and fairsched.placements; memory has, for each workspace and lane it knows,
 * the set of nodes that hold it (FsWorkspace.holders, FsLane.holders): FS_NONE,
 * any; else an entry of fs_holders, kept once for all that have the same.
 *
 * Unless said otherwise fs->lock is held exclusively (finders: shared is
 * enough), and nothing allocates, waits or raises.
 */
#ifndef FS_PLACEMENT_H
#define FS_PLACEMENT_H

#include "compat.h"
#include "holders.h"
#include "placement_marks.h"

extern const char *const FsChainKindNames[FS_CHAIN_KINDS];

/* Of a database. */
typedef struct FsPlacement
{
	bool		any;			/* some chain may be placed: its rows are to
								 * be read */
	int32		misplaced;		/* workspaces whose rings there was no room
								 * for */
	TimestampTz replaced_at;	/* when that was tried again last */
	int64		scorer_calls;	/* placement_scorer.c */
	int64		scorer_failures;
	uint64		dirtied[FS_CHAIN_KINDS];	/* how often each kind was marked */
	PlacementMarks marks;
} FsPlacement;

/* A change of a chain, or of a node, that an open transaction made; in TopTransactionContext. */
typedef struct FsPlacementChange
{
	FsChainKind kind;
	char		name[FS_NAME_LEN + 1];
	int32		holders;		/* a chain's, with a reference; FS_NONE: any */
	int32		node;			/* a draining node, with a reference, or
								 * FS_NONE */
	bool		draining;
} FsPlacementChange;

extern FsPlacement *fs_placements;	/* by database */

/* The workspace is held by this set from now on; takes a reference of its own. */
extern bool fs_placement_fits(int32 workspace, int32 set);
extern void fs_placement_move(int32 workspace, int32 set);

/* Life cycle, and what ledger items do. */
extern void fs_placement_refresh(int32 db, TimestampTz now);
extern void fs_placement_sweep(int32 db);
extern void fs_placement_commit(int32 db, FsPlacementChange *change);
extern void fs_placement_abort(FsPlacementChange *change);

/*
 * What the loop that moves placements is told (no lock held).  Marks come from
 * commits that changed rows of a chain or node, and from nodes whose last worker
 * died or first one came.  take: they are taken off, in a transaction whose ledger
 * says so; put back when it is undone (fs->lock held), forgotten when it commits.
 */
extern uint64 fs_placement_dirtied(FsDatabase *db, FsChainKind kind);
extern void fs_placement_take(FsDatabase *db, PlacementMarks *marks);
extern void fs_placement_put_back(int32 db);
extern void fs_placement_taken_done(void);

/* Outside the lock, in a transaction; may raise (placement_load.c). */
extern void fs_placement_read(FsChainKind kind, const char *name, FsHolderNames *names);
extern void fs_placement_load(FsDatabase *db);
extern void fs_placement_retry(FsDatabase *db);
FS_NORETURN extern void fs_placement_no_room(void);

#endif							/* FS_PLACEMENT_H */
