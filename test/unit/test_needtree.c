/*
 * test_needtree.c
 *		The tree of those that wait for room against a plain array.  Prints TAP.
 */
#include "../../src/needtree.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 20000

static NeedNode nodes[NODES];
static int32_t root = NEEDTREE_NONE;

/* The oracle: look at every node. */
static int32_t
first(int64_t most, int n)
{
	int32_t		best = NEEDTREE_NONE;

	for (int32_t i = 0; i < n; i++)
		if (nodes[i].linked && nodes[i].need <= most &&
			(best == NEEDTREE_NONE || nodes[i].round < nodes[best].round ||
			 (nodes[i].round == nodes[best].round &&
			  (nodes[i].since < nodes[best].since ||
			   (nodes[i].since == nodes[best].since && nodes[i].position < nodes[best].position)))))
			best = i;
	return best;
}

static int
depth(int32_t n)
{
	int			l;
	int			r;

	if (n == NEEDTREE_NONE)
		return 0;
	l = depth(nodes[n].left);
	r = depth(nodes[n].right);
	return 1 + (l > r ? l : r);
}

static int
size(int32_t n)
{
	return n == NEEDTREE_NONE ? 0 : 1 + size(nodes[n].left) + size(nodes[n].right);
}

int
main(void)
{
	int			n = 300;
	int			linked = 0;
	bool		same = true;

	ok(needtree_first(nodes, root, INT64_MAX) == NEEDTREE_NONE, "an empty tree has nobody");
	for (int step = 0; step < 40000; step++)
	{
		int32_t		i = rnd(n);

		if (nodes[i].linked)
		{
			needtree_remove(nodes, &root, i);
			linked--;
		}
		else
		{
			nodes[i].need = rnd(8) == 0 ? INT64_MAX - rnd(3) : rnd(40);
			nodes[i].round = rnd(5) == 0 ? 0 : rnd(6);
			nodes[i].since = (int64_t) rnd(3) - 2;
			nodes[i].position = rnd(3);
			needtree_insert(nodes, &root, i);
			linked++;
		}
		if (step % 7 == 0)
		{
			int64_t		most = rnd(9) == 0 ? INT64_MAX : (int64_t) rnd(45) - 3;

			same = same && needtree_first(nodes, root, most) == first(most, n);
		}
		if (step % 1000 == 0)
			same = same && size(root) == linked;
	}
	ok(same, "as a look at every node says, over 40000 random steps");
	for (int32_t i = 0; i < n; i++)
		if (nodes[i].linked)
			needtree_remove(nodes, &root, i);
	ok(root == NEEDTREE_NONE, "and empty in the end");

	/* ten thousand and more that need the same, or more and more: no long way down */
	for (int32_t i = 0; i < NODES; i++)
	{
		nodes[i].need = i < NODES / 2 ? 7 : i;
		nodes[i].round = 1;
		nodes[i].since = -i;
		needtree_insert(nodes, &root, i);
	}
	ok(depth(root) < 60, "twenty thousand are at most sixty deep");
	ok(needtree_first(nodes, root, 7) == NODES / 2 - 1, "the one who waits longest of those that fit");
	ok(needtree_first(nodes, root, 6) == NEEDTREE_NONE, "nobody where nobody fits");
	return done_testing();
}
