/*
 * test_ringheap.c
 *		The pairing heap of a ring against a plain array.  Prints TAP.
 */
#include "../../src/ringheap.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NODES 4000

static RingNode nodes[MAX_NODES];
static int32_t root = RINGHEAP_NONE;

/* The oracle: look at every node. */
static int32_t
minimum(void)
{
	int32_t		best = RINGHEAP_NONE;

	for (int32_t i = 0; i < MAX_NODES; i++)
		if (nodes[i].linked &&
			(best == RINGHEAP_NONE || nodes[i].round < nodes[best].round ||
			 (nodes[i].round == nodes[best].round && nodes[i].stamp < nodes[best].stamp)))
			best = i;
	return best;
}

/* Links of the whole heap: no node before its parent, prev right, all linked; how many. */
static int
count_heap(void)
{
	static int32_t stack[MAX_NODES];
	int			depth = 0;
	int			n = 0;

	if (root == RINGHEAP_NONE)
		return 0;
	if (nodes[root].next != RINGHEAP_NONE || nodes[root].prev != RINGHEAP_NONE)
		return -1;
	stack[depth++] = root;
	while (depth > 0)
	{
		int32_t		p = stack[--depth];
		int32_t		left = p;

		n++;
		if (!nodes[p].linked || n > MAX_NODES)
			return -1;
		for (int32_t c = nodes[p].child; c != RINGHEAP_NONE; c = nodes[c].next)
		{
			if (nodes[c].prev != left || ringheap_before(&nodes[c], &nodes[p]) || depth >= MAX_NODES)
				return -1;
			left = c;
			stack[depth++] = c;
		}
	}
	return n;
}

static int
by_key(const void *a, const void *b)
{
	const RingNode *x = &nodes[*(const int32_t *) a];
	const RingNode *y = &nodes[*(const int32_t *) b];

	return ringheap_before(x, y) ? -1 : ringheap_before(y, x) ? 1 : 0;
}

static void
add(int32_t i, uint64_t round, uint64_t stamp)
{
	nodes[i].round = round;
	nodes[i].stamp = stamp;
	ringheap_insert(nodes, &root, i);
}

static void
reset(void)
{
	memset(nodes, 0, sizeof(nodes));
	root = RINGHEAP_NONE;
}

/* n nodes in, all out by the root: as qsort orders them. */
static bool
sorts(int n, int order)
{
	static int32_t want[MAX_NODES];
	bool		same = true;

	reset();
	for (int i = 0; i < n; i++)
	{
		int			round = order == 0 ? i : order == 1 ? n - i : order == 2 ? 7 : (int) rnd(n / 8 + 1);

		want[i] = i;
		add(i, round, i);
	}
	same = count_heap() == n;
	qsort(want, n, sizeof(want[0]), by_key);
	for (int i = 0; i < n; i++)
	{
		if (root != want[i])
			same = false;
		ringheap_remove(nodes, &root, root);
	}
	return same && root == RINGHEAP_NONE;
}

int
main(void)
{
	RingNode	a = {.round = 1,.stamp = 9};
	RingNode	b = {.round = 2,.stamp = 1};
	RingNode	c = {.round = 2,.stamp = 2};
	bool		right;
	int			linked;
	uint64_t	stamps;

	ok(ringheap_before(&a, &b) && !ringheap_before(&b, &a), "the earlier round is first, whatever the stamp");
	ok(ringheap_before(&b, &c) && !ringheap_before(&c, &b), "in one round the lower stamp is first");
	ok(!ringheap_before(&b, &b), "nothing is before itself");
	a.round = UINT64_MAX;
	b.round = UINT64_MAX - 1;
	ok(ringheap_before(&b, &a) && !ringheap_before(&a, &b), "rounds up to 2^64 - 1 compare");

	reset();
	add(3, 5, 1);
	ok(root == 3 && nodes[3].linked, "one node is the root");
	ringheap_remove(nodes, &root, 3);
	ok(root == RINGHEAP_NONE && !nodes[3].linked, "and leaves nothing");
	add(3, 5, 1);
	ok(root == 3 && count_heap() == 1, "a removed node can come again");
	add(0, 5, 2);
	add(1, 5, 3);
	add(2, 5, 4);
	ringheap_remove(nodes, &root, 1);	/* a middle sibling */
	ringheap_remove(nodes, &root, 0);	/* the last sibling */
	ringheap_remove(nodes, &root, 2);	/* the first child */
	ok(root == 3 && count_heap() == 1, "siblings at every place can be removed");
	ringheap_remove(nodes, &root, 3);

	ok(sorts(1000, 0), "1,000 nodes that come in order");
	ok(sorts(1000, 1), "1,000 nodes that come in reverse order");
	ok(sorts(1000, 2), "1,000 nodes of one round leave in the order of their stamps");
	ok(sorts(MAX_NODES, 3), "4,000 nodes of random rounds");
	right = true;
	for (int n = 0; n <= 40; n++)
		right &= sorts(n, n % 4);
	ok(right, "every size from 0 to 40");

	/* anything at any time, as claims, parks and joins do it */
	reset();
	right = true;
	linked = 0;
	stamps = 0;
	for (int step = 0; step < 60000; step++)
	{
		uint32_t	what = rnd(100);
		int32_t		i = rnd(step < 20000 ? 300 : MAX_NODES);

		if (what < 30 && root != RINGHEAP_NONE)
		{
			/* the usual one: the root is served, and comes back later */
			uint64_t	round = nodes[root].round;
			uint64_t	stamp = nodes[root].stamp;

			i = root;
			ringheap_remove(nodes, &root, i);
			add(i, round + rnd(4), stamp);
		}
		else if (nodes[i].linked)
		{
			ringheap_remove(nodes, &root, i);
			linked--;
		}
		else
		{
			add(i, (step / 100) + rnd(1000), ++stamps);
			linked++;
		}
		if (step % 50 == 0 && (root != minimum() || count_heap() != linked))
			right = false;
	}
	ok(right, "60,000 random inserts, removals and moves: the root is the minimum, links are whole");
	for (; root != RINGHEAP_NONE; linked--)
	{
		int32_t		was = root;

		ringheap_remove(nodes, &root, was);
		if (root != RINGHEAP_NONE && ringheap_before(&nodes[root], &nodes[was]))
			right = false;
	}
	ok(right && linked == 0, "and what is left leaves in order");

	return done_testing();
}
