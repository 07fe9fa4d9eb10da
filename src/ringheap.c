/*
 * ringheap.c
 *		A pairing heap over an array; see ringheap.h.
 */
#include "ringheap.h"

bool
ringheap_before(const RingNode *a, const RingNode *b)
{
	if (a->round != b->round)
		return a->round < b->round;
	return (int32_t) ((uint32_t) (a->stamp - b->stamp) << 1) < 0;
}

/* Join two heaps, either of which may be empty; returns the new root. */
static int32_t
meld(RingNode *nodes, int32_t a, int32_t b)
{
	int32_t		top,
				sub;

	if (a == RINGHEAP_NONE)
		return b;
	if (b == RINGHEAP_NONE)
		return a;
	top = ringheap_before(&nodes[b], &nodes[a]) ? b : a;
	sub = (top == a) ? b : a;
	nodes[sub].next = nodes[top].child;
	if (nodes[top].child != RINGHEAP_NONE)
		nodes[nodes[top].child].prev = sub;
	nodes[sub].prev = top;
	nodes[top].child = sub;
	nodes[top].next = RINGHEAP_NONE;
	nodes[top].prev = RINGHEAP_NONE;
	return top;
}

/* Join a list of siblings into one heap: in pairs, then from the last back. */
static int32_t
meld_siblings(RingNode *nodes, int32_t first)
{
	int32_t		pairs = RINGHEAP_NONE;
	int32_t		root = RINGHEAP_NONE;

	while (first != RINGHEAP_NONE)
	{
		int32_t		a = first;
		int32_t		b = nodes[a].next;
		int32_t		joined;

		first = (b == RINGHEAP_NONE) ? RINGHEAP_NONE : nodes[b].next;
		nodes[a].next = nodes[a].prev = RINGHEAP_NONE;
		if (b != RINGHEAP_NONE)
			nodes[b].next = nodes[b].prev = RINGHEAP_NONE;
		joined = meld(nodes, a, b);
		nodes[joined].next = pairs;
		pairs = joined;
	}
	while (pairs != RINGHEAP_NONE)
	{
		int32_t		rest = nodes[pairs].next;

		nodes[pairs].next = nodes[pairs].prev = RINGHEAP_NONE;
		root = meld(nodes, root, pairs);
		pairs = rest;
	}
	return root;
}

void
ringheap_insert(RingNode *nodes, int32_t *root, int32_t node)
{
	nodes[node].child = RINGHEAP_NONE;
	nodes[node].next = RINGHEAP_NONE;
	nodes[node].prev = RINGHEAP_NONE;
	nodes[node].linked = true;
	*root = meld(nodes, *root, node);
}

void
ringheap_remove(RingNode *nodes, int32_t *root, int32_t node)
{
	RingNode   *n = &nodes[node];
	int32_t		rest;

	if (*root != node)
	{
		RingNode   *before = &nodes[n->prev];

		if (before->child == node)
			before->child = n->next;
		else
			before->next = n->next;
		if (n->next != RINGHEAP_NONE)
			nodes[n->next].prev = n->prev;
	}
	rest = meld_siblings(nodes, n->child);
	*root = (*root == node) ? rest : meld(nodes, *root, rest);
	n->child = n->next = n->prev = RINGHEAP_NONE;
	n->linked = false;
}
