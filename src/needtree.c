/*
 * needtree.c
 *		A treap ordered by need, each node of which knows who comes first below
 *		it; see needtree.h.
 *
 * Priorities of the treap are a hash of the place in the array, so that its
 * depth does not depend on the order in which things come.
 */
#include "needtree.h"

static uint32_t
priority(int32_t node)
{
	uint32_t	h = (uint32_t) node + UINT32_C(0x9e3779b9);

	h = (h ^ (h >> 16)) * UINT32_C(0x85ebca6b);
	h = (h ^ (h >> 13)) * UINT32_C(0xc2b2ae35);
	return h ^ (h >> 16);
}

/* Is node a left of node b? */
static bool
needs_less(const NeedNode *nodes, int32_t a, int32_t b)
{
	return nodes[a].need < nodes[b].need || (nodes[a].need == nodes[b].need && a < b);
}

/* Whichever of two comes first; either may be none. */
static int32_t
earlier(const NeedNode *nodes, int32_t a, int32_t b)
{
	if (a == NEEDTREE_NONE || b == NEEDTREE_NONE)
		return a == NEEDTREE_NONE ? b : a;
	if (nodes[a].round != nodes[b].round)
		return nodes[a].round < nodes[b].round ? a : b;
	if (nodes[a].since != nodes[b].since)
		return nodes[a].since < nodes[b].since ? a : b;
	if (nodes[a].position != nodes[b].position)
		return nodes[a].position < nodes[b].position ? a : b;
	return a < b ? a : b;
}

static int32_t
first_of(const NeedNode *nodes, int32_t n)
{
	return n == NEEDTREE_NONE ? NEEDTREE_NONE : nodes[n].first;
}

static void
refresh(NeedNode *nodes, int32_t n)
{
	nodes[n].first = earlier(nodes, n, earlier(nodes, first_of(nodes, nodes[n].left),
											   first_of(nodes, nodes[n].right)));
}

/* What is left of `at`, and the rest. */
static void
split(NeedNode *nodes, int32_t tree, int32_t at, int32_t *left, int32_t *right)
{
	if (tree == NEEDTREE_NONE)
	{
		*left = *right = NEEDTREE_NONE;
		return;
	}
	if (needs_less(nodes, tree, at))
	{
		split(nodes, nodes[tree].right, at, &nodes[tree].right, right);
		*left = tree;
	}
	else
	{
		split(nodes, nodes[tree].left, at, left, &nodes[tree].left);
		*right = tree;
	}
	refresh(nodes, tree);
}

/* All of a is left of all of b. */
static int32_t
merge(NeedNode *nodes, int32_t a, int32_t b)
{
	int32_t		top;

	if (a == NEEDTREE_NONE || b == NEEDTREE_NONE)
		return a == NEEDTREE_NONE ? b : a;
	if (priority(a) > priority(b))
	{
		nodes[a].right = merge(nodes, nodes[a].right, b);
		top = a;
	}
	else
	{
		nodes[b].left = merge(nodes, a, nodes[b].left);
		top = b;
	}
	refresh(nodes, top);
	return top;
}

/* needtree_insert: its need, round and since are set. */
void
needtree_insert(NeedNode *nodes, int32_t *root, int32_t node)
{
	int32_t		left;
	int32_t		right;

	nodes[node].left = nodes[node].right = NEEDTREE_NONE;
	nodes[node].first = node;
	nodes[node].linked = true;
	split(nodes, *root, node, &left, &right);
	*root = merge(nodes, merge(nodes, left, node), right);
}

void
needtree_remove(NeedNode *nodes, int32_t *root, int32_t node)
{
	if (*root == node)
	{
		*root = merge(nodes, nodes[node].left, nodes[node].right);
		nodes[node].linked = false;
		return;
	}
	if (needs_less(nodes, node, *root))
		needtree_remove(nodes, &nodes[*root].left, node);
	else
		needtree_remove(nodes, &nodes[*root].right, node);
	refresh(nodes, *root);
}

/* needtree_first: of those that need at most this, who comes first; NEEDTREE_NONE: there is none. */
int32_t
needtree_first(const NeedNode *nodes, int32_t root, int64_t most)
{
	int32_t		best = NEEDTREE_NONE;

	while (root != NEEDTREE_NONE)
	{
		if (nodes[root].need > most)
		{
			root = nodes[root].left;
			continue;
		}
		best = earlier(nodes, best, earlier(nodes, root, first_of(nodes, nodes[root].left)));
		root = nodes[root].right;
	}
	return best;
}
