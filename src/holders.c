/*
 * holders.c
 *		Nodes that memory knows, and sets of nodes that hold something.
 *
 * A node has an entry while a worker, a set or an open transaction refers to
 * it, or while it drains.  A set is kept once for all that have the same nodes,
 * and lives as long as somebody has a reference.
 *
 * All functions: fs->lock held exclusively (finders: shared is enough); nothing
 * here allocates, waits or raises, so that commit and abort callbacks may call
 * it.
 */
#include "holders.h"

#include "common/hashfn.h"
#include "flows.h"

/* ---------- nodes ---------- */

static int32 *
node_bucket(int32 db, const char *name)
{
	uint32		h = hash_bytes((const unsigned char *) name, strlen(name)) ^ (uint32) (db * 0x9e3779b9);

	return &fs_place_node_hash[h & fs_place_node_mask];
}

int32
fs_place_node_find(int32 db, const char *name)
{
	int32		node = *node_bucket(db, name);

	while (node != FS_NONE && (fs_place_nodes[node].db != db || strcmp(fs_place_nodes[node].name, name) != 0))
		node = fs_place_nodes[node].next;
	return node;
}

static void
node_free(int32 node)
{
	FS_UNCHAIN(*node_bucket(fs_place_nodes[node].db, fs_place_nodes[node].name), node,
			   fs_place_nodes, FsPlaceNode, next);
	fs_place_nodes[node].db = FS_NONE;
	FS_POOL_GIVE(fs->place_nodes, fs_place_nodes, node);
}

int32
fs_place_node_get(int32 db, const char *name)
{
	int32		node = fs_place_node_find(db, name);

	if (node == FS_NONE)
	{
		int32	   *bucket = node_bucket(db, name);

		FS_POOL_TAKE(fs->place_nodes, fs_place_nodes, node);
		if (node == FS_NONE)
			return FS_NONE;
		memset(&fs_place_nodes[node], 0, sizeof(FsPlaceNode));
		fs_place_nodes[node].db = db;
		strlcpy(fs_place_nodes[node].name, name, sizeof(fs_place_nodes[node].name));
		fs_place_nodes[node].next = *bucket;
		*bucket = node;
	}
	fs_place_nodes[node].refs++;
	return node;
}

void
fs_place_node_unref(int32 node)
{
	if (--fs_place_nodes[node].refs == 0 && !fs_place_nodes[node].draining)
		node_free(node);
}

/* fs_place_worker: the worker runs on this node (FS_NONE: on none), whose reference it takes over. */
void
fs_place_worker(int32 worker, int32 node)
{
	int32		old = fs_workers[worker].place_node;

	fs_workers[worker].place_node = node;
	if (node != FS_NONE)
		fs_place_worker_seen(worker, fs_workers[worker].last_seen);
	if (old != FS_NONE)
		fs_place_node_unref(old);
}

void
fs_place_worker_seen(int32 worker, TimestampTz now)
{
	int32		node = fs_workers[worker].place_node;

	if (node != FS_NONE && fs_place_nodes[node].last_seen < now)
		fs_place_nodes[node].last_seen = now;
}

/* ---------- sets ---------- */

static int32 *
holders_bucket(int32 db, int n, const int32 *nodes)
{
	uint32		h = hash_bytes((const unsigned char *) nodes, n * sizeof(int32)) ^ (uint32) (db * 0x9e3779b9);

	return &fs_holders_hash[h & fs_ring_mask];
}

/* fs_holders_get: the nodes in any order, none twice; at most FS_MAX_HOLDERS. */
int32
fs_holders_get(int32 db, int n, const int32 *nodes)
{
	int32		sorted[FS_MAX_HOLDERS];
	int32	   *bucket;
	int32		set;

	for (int i = 0; i < n; i++)
	{
		int			j = i;

		for (; j > 0 && sorted[j - 1] > nodes[i]; j--)
			sorted[j] = sorted[j - 1];
		sorted[j] = nodes[i];
	}
	bucket = holders_bucket(db, n, sorted);
	for (set = *bucket; set != FS_NONE; set = fs_holders[set].next)
		if (fs_holders[set].db == db && fs_holders[set].n == n &&
			memcmp(fs_holders[set].node, sorted, n * sizeof(int32)) == 0)
		{
			fs_holders[set].refs++;
			return set;
		}
	FS_POOL_TAKE(fs->holders, fs_holders, set);
	if (set == FS_NONE)
		return FS_HOLDERS_FULL;
	fs_holders[set].db = db;
	fs_holders[set].refs = 1;
	fs_holders[set].n = n;
	memcpy(fs_holders[set].node, sorted, n * sizeof(int32));
	for (int i = 0; i < n; i++)
		fs_place_nodes[sorted[i]].refs++;
	fs_holders[set].next = *bucket;
	*bucket = set;
	return set;
}

/* fs_holders_of: the same by names; FS_NONE: it is not placed. */
int32
fs_holders_of(int32 db, const FsHolderNames *names)
{
	int32		nodes[FS_MAX_HOLDERS] = {0};
	int32		set = FS_HOLDERS_FULL;
	int			n = 0;

	if (names->n < 0)
		return FS_NONE;
	while (n < names->n && (nodes[n] = fs_place_node_get(db, names->name[n])) != FS_NONE)
		n++;
	if (n == names->n)
		set = fs_holders_get(db, n, nodes);
	while (n > 0)
		fs_place_node_unref(nodes[--n]);
	return set;
}

void
fs_holders_unref(int32 set)
{
	FsHolders  *h;

	if (set == FS_NONE)
		return;
	h = &fs_holders[set];
	if (--h->refs > 0)
		return;
	FS_UNCHAIN(*holders_bucket(h->db, h->n, h->node), set, fs_holders, FsHolders, next);
	h->db = FS_NONE;
	for (int i = 0; i < h->n; i++)
		fs_place_node_unref(h->node[i]);
	FS_POOL_GIVE(fs->holders, fs_holders, set);
}

/* fs_holders_live: does a worker live on one of its nodes, and may be given jobs? */
bool
fs_holders_live(int32 set, TimestampTz now)
{
	if (set == FS_NONE)
		return true;
	for (int i = 0; i < fs_holders[set].n; i++)
		if (fs_place_node_serves(fs_holders[set].node[i], now))
			return true;
	return false;
}

/*
 * fs_holders_ring_served: is there a worker that jobs of the ring may be handed out
 * to?  One that lives, or holds jobs: it comes back when these are done.
 * O(workers).
 */
bool
fs_holders_ring_served(int32 ring, TimestampTz now)
{
	const FsRing *r = &fs_rings[ring];

	for (int i = 0; i < fs->workers.capacity; i++)
	{
		const FsWorker *w = &fs_workers[i];

		if (w->db == r->db && (w->running > 0 || w->last_seen + FsMsToUsec(fs_worker_timeout) > now) &&
			(w->place_node == FS_NONE || !fs_place_nodes[w->place_node].draining) &&
			fs_holders_serve(r->holders, w->place_node) &&
			fs_holders_serve(fs_lanes[r->lane].holders, w->place_node) &&
			fs_sched_caps_subset(FsCapsOfRing(ring)->caps, FsCapsOfRing(ring)->len, w->caps, w->caps_len))
			return true;
	}
	return false;
}

/* fs_holders_died: when the last worker of its nodes stopped living; 0: not known. */
TimestampTz
fs_holders_died(int32 set)
{
	TimestampTz died = 0;

	for (int i = 0; i < fs_holders[set].n; i++)
	{
		const FsPlaceNode *node = &fs_place_nodes[fs_holders[set].node[i]];

		if (!node->draining && node->last_seen != 0)
			died = Max(died, node->last_seen + FsMsToUsec(fs_worker_timeout));
	}
	return died;
}

/* fs_holders_detail: which nodes hold both, and what is the matter with them, in words. */
void
fs_holders_detail(int32 set, int32 lane_set, char *buf, Size len)
{
	const FsHolders *h = &fs_holders[set != FS_NONE ? set : lane_set];
	Size		at = 0;
	int			named = 0;

	buf[0] = '\0';
	for (int i = 0; i < h->n; i++)
	{
		const FsPlaceNode *node = &fs_place_nodes[h->node[i]];
		const char *state = node->draining ? " (draining)" : "";

		if (!fs_holders_serve(lane_set, h->node[i]))
			continue;
		if (at + strlen(node->name) + strlen(state) + 32 >= len)
		{
			strlcat(buf, ", â91¦", len);
			return;
		}
		snprintf(buf + at, len - at, "%s%s%s", named++ > 0 ? ", " : "placed on ", node->name, state);
		at += strlen(buf + at);
	}
	if (named == 0)
		strlcpy(buf, "no node holds it", len);
}

/* fs_holders_sweep: everything of a database: whatever referred to it is gone. */
void
fs_holders_sweep(int32 db)
{
	for (int i = 0; i < fs->holders.capacity; i++)
		if (fs_holders[i].db == db)
		{
			fs_holders[i].refs = 1;
			fs_holders_unref(i);
		}
	for (int i = 0; i < fs->place_nodes.capacity; i++)
		if (fs_place_nodes[i].db == db)
			node_free(i);
}
