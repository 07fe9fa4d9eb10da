/*
 * placement_marks.c
 *		What changed since the loop that moves placements looked.
 *
 * A few are remembered by name.  Of more, a bit of the hash of their names: then
 * whoever knows all names finds those that changed, and very few others (of
 * 100,000 chains of which 1,000 changed, some 1,500).  So a change of many costs
 * about what it changes, in memory of a fixed size.
 */
#include "placement_marks.h"

#include <string.h>

/* FNV-1a, its high bits folded into those that are used. */
static uint32_t
bit_of(FsChainKind kind, const char *name)
{
	uint32_t	h = (2166136261u ^ (uint32_t) kind) * 16777619u;

	for (const unsigned char *p = (const unsigned char *) name; *p; p++)
		h = (h ^ *p) * 16777619u;
	return (h ^ (h >> 16)) % PLACEMENT_MARK_BITS;
}

static void
set_bit(PlacementMarks *m, FsChainKind kind, const char *name)
{
	uint32_t	b = bit_of(kind, name);

	m->bits[b / 32] |= 1u << (b % 32);
	m->more = true;
	m->more_nodes |= kind == FS_CHAIN_NODE;
}

/* placement_marks_any: is there something to look at? */
bool
placement_marks_any(const PlacementMarks *m)
{
	return m->first || m->n > 0 || m->more;
}

/* placement_marks_clear: nothing is marked; all zero is that too. */
void
placement_marks_clear(PlacementMarks *m)
{
	m->first = false;
	m->n = 0;
	if (m->more)
		memset(m->bits, 0, sizeof(m->bits));
	m->more = m->more_nodes = false;
}

/* placement_marks_add: this chain, or what this node holds, changed. */
void
placement_marks_add(PlacementMarks *m, FsChainKind kind, const char *name)
{
	for (int i = 0; i < m->n; i++)
		if (m->mark[i].kind == kind && strcmp(m->mark[i].name, name) == 0)
			return;
	if (m->n == PLACEMENT_MARKS)
	{
		set_bit(m, kind, name);
		return;
	}
	m->mark[m->n].kind = kind;
	strncpy(m->mark[m->n].name, name, PLACEMENT_MARK_NAME);
	m->mark[m->n++].name[PLACEMENT_MARK_NAME] = '\0';
}

/* placement_marks_merge: as if the others had been marked here. */
void
placement_marks_merge(PlacementMarks *m, const PlacementMarks *others)
{
	m->first |= others->first;
	for (int i = 0; i < others->n; i++)
		placement_marks_add(m, others->mark[i].kind, others->mark[i].name);
	if (!others->more)
		return;
	for (int i = 0; i < PLACEMENT_MARK_BITS / 32; i++)
		m->bits[i] |= others->bits[i];
	m->more = true;
	m->more_nodes |= others->more_nodes;
}

/* placement_marks_may_have: is it in the bits?  Never false wrongly; those remembered by name are not meant. */
bool
placement_marks_may_have(const PlacementMarks *m, FsChainKind kind, const char *name)
{
	uint32_t	b = bit_of(kind, name);

	return m->more && (m->bits[b / 32] & (1u << (b % 32))) != 0;
}
