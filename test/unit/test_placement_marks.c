/* Marks of changed placements: by name as long as they are few, by hash beyond, nothing lost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../src/placement_marks.h"
#include "tap.h"

static bool
has(const PlacementMarks *m, FsChainKind kind, const char *name)
{
	for (int i = 0; i < m->n; i++)
		if (m->mark[i].kind == kind && strcmp(m->mark[i].name, name) == 0)
			return true;
	return placement_marks_may_have(m, kind, name);
}

static void
add(PlacementMarks *m, const char *format, int from, int to)
{
	char		name[32];

	for (int i = from; i < to; i++)
	{
		snprintf(name, sizeof(name), format, i);
		placement_marks_add(m, FS_CHAIN_WORKSPACE, name);
	}
}

static int
count(const PlacementMarks *m, const char *format, int from, int to)
{
	char		name[32];
	int			n = 0;

	for (int i = from; i < to; i++)
	{
		snprintf(name, sizeof(name), format, i);
		n += has(m, FS_CHAIN_WORKSPACE, name);
	}
	return n;
}

int
main(void)
{
	PlacementMarks *m = calloc(1, sizeof(PlacementMarks));
	PlacementMarks *o = calloc(1, sizeof(PlacementMarks));

	ok(!placement_marks_any(m), "nothing in the beginning");
	add(m, "w%d", 0, 64);
	add(m, "w%d", 0, 64);
	ok(m->n == 64 && !m->more, "64 are remembered by name, none twice");
	ok(count(m, "x%d", 0, 100000) == 0, "and nothing else is");
	add(m, "w%d", 64, 1000);
	ok(m->more && !m->more_nodes && count(m, "w%d", 0, 1000) == 1000, "of 1000 none is lost");
	ok(count(m, "w%d", 1000, 100000) < 4000, "and few of 99,000 others are taken for them");
	ok(!placement_marks_may_have(o, FS_CHAIN_WORKSPACE, "w70"), "marks are apart");
	placement_marks_add(m, FS_CHAIN_NODE, "n");
	ok(m->more_nodes && has(m, FS_CHAIN_NODE, "n"), "a node beyond those");
	add(o, "y%d", 0, 60);
	placement_marks_merge(o, m);
	ok(count(o, "w%d", 0, 1000) == 1000 && count(o, "y%d", 0, 60) == 60 && o->more_nodes, "merged, all are there");
	o->first = true;
	placement_marks_clear(o);
	ok(!placement_marks_any(o) && count(o, "w%d", 0, 1000) == 0, "cleared, none is");
	add(o, "y%d", 0, 70);
	ok(count(o, "w%d", 64, 1000) < 30, "nor comes back");
	o->first = true;
	placement_marks_clear(m);
	placement_marks_merge(m, o);
	ok(m->first && placement_marks_any(m), "that memory is new is kept, too");
	return done_testing();
}
