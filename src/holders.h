/*
 * holders.h
 *		Nodes that memory knows, and sets of nodes that hold something: FS_NONE
 *		means any node, and those who say none.
 */
#ifndef FS_HOLDERS_H
#define FS_HOLDERS_H

#include "shmem.h"

#define FS_MAX_HOLDERS	32		/* nodes that hold a chain: also in
								 * 80_placement.sql */
#define FS_HOLDERS_FULL (-2)
#define FS_ANY_NODE		(-2)	/* of a claimer: it is not known where it runs */

/* A node that something in memory refers to, or that is draining. */
typedef struct FsPlaceNode
{
	int32		next;			/* hash chain, or free list */
	int32		db;				/* FS_NONE when free */
	char		name[FS_NAME_LEN + 1];
	bool		draining;
	bool		alive;			/* a worker of it lived at the last refresh */
	int32		refs;			/* sets, workers, open ledger items */
	TimestampTz last_seen;		/* last call of any of its workers */
	PlacementHealth health;		/* how leases of its workers end */
} FsPlaceNode;

/* A set of nodes; n = 0: nobody. */
typedef struct FsHolders
{
	int32		next;			/* hash chain, or free list */
	int32		db;
	int32		refs;			/* workspaces, lanes, rings, open ledger items */
	int32		n;
	int32		node[FS_MAX_HOLDERS];	/* in fs_place_nodes, ascending */
} FsHolders;

/* What rows say of a chain (placement_load.c). */
typedef struct FsHolderNames
{
	int			n;				/* -1: it is not placed */
	char		name[FS_MAX_HOLDERS][FS_NAME_LEN + 1];
} FsHolderNames;

extern FsPlaceNode *fs_place_nodes;
extern FsHolders *fs_holders;
extern int32 *fs_holders_hash;
extern int32 *fs_place_node_hash;
extern uint32 fs_place_node_mask;

/* Nodes by name; get: FS_NONE when full, the caller takes a reference. */
extern int32 fs_place_node_find(int32 db, const char *name);
extern int32 fs_place_node_get(int32 db, const char *name);
extern void fs_place_node_unref(int32 node);

/* A worker says where it runs. */
extern void fs_place_worker(int32 worker, int32 node);
extern void fs_place_worker_seen(int32 worker, TimestampTz now);

/* The set of these nodes, with a reference; FS_HOLDERS_FULL: no room. */
extern int32 fs_holders_get(int32 db, int n, const int32 *nodes);
extern int32 fs_holders_of(int32 db, const FsHolderNames *names);
extern void fs_holders_unref(int32 set);

/* May workers of this node (FS_NONE: of none) be given what the set holds? */
static inline bool
fs_holders_serve(int32 set, int32 node)
{
	const FsHolders *h;

	if (set == FS_NONE || node == FS_ANY_NODE)
		return true;
	if (node == FS_NONE)
		return false;
	h = &fs_holders[set];
	for (int i = 0; i < h->n; i++)
		if (h->node[i] == node)
			return true;
	return false;
}

/* Can a node serve at all? */
static inline bool
fs_place_node_serves(int32 node, TimestampTz now)
{
	return !fs_place_nodes[node].draining &&
		fs_place_nodes[node].last_seen + FsMsToUsec(fs_worker_timeout) > now;
}

extern bool fs_holders_live(int32 set, TimestampTz now);
extern bool fs_holders_ring_served(int32 ring, TimestampTz now);
extern TimestampTz fs_holders_died(int32 set);
extern void fs_holders_sweep(int32 db);
extern void fs_holders_detail(int32 set, int32 lane_set, char *buf, Size len);

#endif							/* FS_HOLDERS_H */
