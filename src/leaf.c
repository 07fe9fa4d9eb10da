/*
 * leaf.c
 *		New entries of an index, many to a leaf.
 *
 * A job table's ready index has the end of each flow's queue on another page.
 * index_insert finds it from the root, for each row: half of what an enqueue
 * costs beyond a plain INSERT's is cache misses on the way.  Here a session
 * remembers on which leaf it last entered something of the same queue, looks
 * there first, and enters all that belongs on the leaf while it has it.
 *
 * It is what nbtinsert.c does in the simple case, by nbtree's own functions and
 * log records; its shortcut for the rightmost leaf rests on the same argument.
 * The simple case: a leaf that is in use, with its split completed, with room,
 * and no entry on it that equals the new one.  Everything else is left to
 * index_insert: splits, deletion and deduplication, equal keys, posting lists,
 * uniqueness in doubt.
 *
 * That a leaf is the right one is seen on it, under its lock, and does not
 * depend on what was remembered: the new key is greater than some entry of it
 * and not greater than its high key, or it has none.  Of a unique index the key
 * is compared without its row's place and must be less than the high key, so
 * that an equal one can be on this leaf only.
 *
 * A remembered buffer is used only while it holds that block of that file
 * (ReadRecentBuffer), so it matters to nobody what became of it.
 *
 * Locks: one buffer lock at a time, which is a leaf of the index, exclusively.
 */
#include "leaf.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/nbtxlog.h"
#include "access/xloginsert.h"
#include "catalog/pg_am.h"
#include "catalog/pg_opfamily.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "storage/buf_internals.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"

#define PLACES 4096				/* remembered; a power of 2 */
#define MOST_STEPS 2			/* to the right, where a leaf was split since */
#define MOST_ON_LEAF 400
#define FETCH_PAGE 7			/* so many entries ahead both ends of its page
								 * are fetched, */
#define FETCH_ITEMS 5			/* then line pointers, */
#define FETCH_ENTRY 2			/* then the entry before it */
#define RECORD_BYTES	48		/* of a log record of one entry, beside that */

/* Where an entry of some queue was entered last. */
typedef struct FsLeafPlace
{
	BlockNumber block;
	Buffer		buffer;			/* InvalidBuffer: nothing is known */
	OffsetNumber at;			/* behind it the next one is expected */
} FsLeafPlace;

static FsLeafPlace places[PLACES];

typedef struct FsLeafInsert
{
	Relation	index;
	Relation	heap;
	int			columns;
	bool		unique;
	int16		width[FS_LEAF_COLUMNS]; /* bytes of each column */
	BTScanInsert key;			/* of the entry at hand */
	const Datum *column;		/* the same */
	/* the leaf: pinned and locked, or InvalidBuffer */
	Buffer		buf;
	Page		page;
	BTPageOpaque opaque;
} FsLeafInsert;

bool
fs_leaf_possible(Relation index, int columns)
{
	bool		heapkeyspace;
	bool		allequalimage;

	if (index->rd_rel->relam != BTREE_AM_OID || RelationUsesLocalBuffers(index) ||
		IndexRelationGetNumberOfAttributes(index) != columns ||
		IndexRelationGetNumberOfKeyAttributes(index) != columns)
		return false;
	for (int i = 0; i < columns; i++)
		if (index->rd_indoption[i] != 0 || index->rd_opfamily[i] != INTEGER_BTREE_FAM_OID)
			return false;
	_bt_metaversion(index, &heapkeyspace, &allequalimage);
	return heapkeyspace;
}

/* ---------- entries ---------- */

static IndexTuple
form_entry(FsLeafInsert *s, const FsLeafKey *k)
{
	static bool isnull[FS_LEAF_COLUMNS];
	Datum		values[FS_LEAF_COLUMNS];
	IndexTuple	entry;

	memcpy(values, k->column, sizeof(values));
	entry = index_form_tuple(RelationGetDescr(s->index), values, isnull);
	entry->t_tid = k->tid;
	return entry;
}

/* Is b greater than a? */
static bool
ascends(FsLeafInsert *s, const FsLeafKey *a, const FsLeafKey *b)
{
	for (int i = 0; i < s->columns; i++)
		if (a->column[i] != b->column[i])
			return (int64) a->column[i] < (int64) b->column[i];
	return false;
}

/* Compare with this entry from now on. */
static void
set_key(FsLeafInsert *s, const FsLeafKey *k, IndexTuple entry)
{
	if (s->key == NULL)
		s->key = _bt_mkscankey(s->index, entry);
	for (int i = 0; i < s->columns; i++)
		s->key->scankeys[i].sk_argument = k->column[i];
	s->key->scantid = s->unique ? NULL : &entry->t_tid;
	s->column = k->column;
}

/*
 * The key against an entry of the leaf, as _bt_compare: integers that differ
 * are compared as they lie there, all else is left to it.
 */
static inline int32
compare(FsLeafInsert *s, OffsetNumber at)
{
	IndexTuple	entry = (IndexTuple) PageGetItem(s->page, PageGetItemId(s->page, at));
	char	   *data = (char *) entry + IndexInfoFindDataOffset(entry->t_info);

	/* no posting list, and no entry that is not of the usual form */
	if ((entry->t_info & (INDEX_NULL_MASK | INDEX_ALT_TID_MASK)) == 0)
		for (int i = 0; i < s->columns; i++)
		{
			int64		mine = (int64) s->column[i];
			int64		theirs;

			if (s->width[i] == sizeof(int64))
			{
				data = (char *) DOUBLEALIGN(data);
				theirs = *(int64 *) data;
			}
			else if (s->width[i] == sizeof(int32))
				theirs = *(int32 *) data;
			else
				break;
			if (mine != theirs)
				return mine < theirs ? -1 : 1;
			data += s->width[i];
		}
	return _bt_compare(s->index, s->key, s->page, at);
}

/* Entries that differ in the last column only are near each other. */
static FsLeafPlace *
place_of(FsLeafInsert *s, const FsLeafKey *k)
{
	uint32		hash = murmurhash32(RelationGetRelid(s->index));

	for (int i = 0; i < s->columns - 1; i++)
		hash = murmurhash32(hash_combine(hash, (uint32) k->column[i]));
	return &places[hash & (PLACES - 1)];
}

/* ---------- the leaf ---------- */

static void
take_leaf(FsLeafInsert *s, Buffer buf)
{
	s->buf = buf;
	s->page = BufferGetPage(buf);
	s->opaque = PageIsNew(s->page) ? NULL : BTPageGetOpaque(s->page);
}

static void
leave_leaf(FsLeafInsert *s)
{
	_bt_relbuf(s->index, s->buf);
	s->buf = InvalidBuffer;
}

static bool
simple_leaf(FsLeafInsert *s)
{
	return s->opaque && P_ISLEAF(s->opaque) && !P_IGNORE(s->opaque) && !P_INCOMPLETE_SPLIT(s->opaque);
}

static bool
beyond_leaf(FsLeafInsert *s)
{
	int32		c;

	if (P_RIGHTMOST(s->opaque))
		return false;
	c = _bt_compare(s->index, s->key, s->page, P_HIKEY);
	return s->unique ? c >= 0 : c > 0;
}

typedef enum FsLeafFit
{
	FIT_HERE,
	FIT_RIGHT,					/* on a leaf to the right */
	FIT_UNKNOWN					/* left of it, perhaps, or something equals it */
} FsLeafFit;

/*
 * Where on the leaf the key goes: *at.  All up to `below` is known to be less,
 * if not 0; `guess`: it is expected right behind that one.  not_before: the key
 * is known to be no less than what the leaf is for.
 */
static FsLeafFit
fit(FsLeafInsert *s, OffsetNumber below, OffsetNumber guess, bool not_before, OffsetNumber *at)
{
	OffsetNumber first = P_FIRSTDATAKEY(s->opaque);
	OffsetNumber max = PageGetMaxOffsetNumber(s->page);
	OffsetNumber low = Max(OffsetNumberNext(below), first); /* all before is less */
	OffsetNumber high = OffsetNumberNext(max);	/* all from here on is greater */
	OffsetNumber probe = Min(guess, max);
	bool		near_guess = guess != InvalidOffsetNumber;
	int			step = 0;

	while (low < high)
	{
		int32		c;

		if (probe < low || probe >= high)
			probe = low + (high - low) / 2;
		c = compare(s, probe);
		if (c == 0)
			return FIT_UNKNOWN;
		if (c > 0)
			low = OffsetNumberNext(probe);
		else
		{
			high = probe;
			near_guess = false;
		}

		/*
		 * where the guess was good one more look will do; others may have put
		 * some before it
		 */
		probe = near_guess ? low + step : InvalidOffsetNumber;
		step = step * 2 + 1;
	}
	*at = low;
	if (low > max && beyond_leaf(s))
		return FIT_RIGHT;
	return low > first || not_before ? FIT_HERE : FIT_UNKNOWN;
}

/* Take the leaf for the key: the one that is remembered, or by a search; false: none that is simple. */
static bool
find_leaf(FsLeafInsert *s, FsLeafPlace *place, OffsetNumber *at)
{
	Buffer		buf;
	BTStack		stack;

	if (BufferIsValid(place->buffer) && place->buffer <= NBuffers &&
		FsReadRecentBuffer(s->index, place->block, place->buffer))
	{
		_bt_lockbuf(s->index, place->buffer, BT_WRITE);
		take_leaf(s, place->buffer);
		for (int step = 0; simple_leaf(s); step++)
		{
			FsLeafFit	f = fit(s, 0, step == 0 ? place->at : InvalidOffsetNumber, step > 0, at);

			if (f == FIT_HERE)
				return true;
			if (f != FIT_RIGHT || step == MOST_STEPS)
				break;
			take_leaf(s, _bt_relandgetbuf(s->index, s->buf, s->opaque->btpo_next, BT_WRITE));
		}
		leave_leaf(s);
	}
	stack = FsBtreeSearch(s->index, s->heap, s->key, &buf);
	if (stack)
		_bt_freestack(stack);
	take_leaf(s, buf);
	if (simple_leaf(s) && fit(s, 0, InvalidOffsetNumber, true, at) == FIT_HERE)
		return true;
	leave_leaf(s);
	return false;
}

/* ---------- writing ---------- */

static void
add_entry(FsLeafInsert *s, IndexTuple entry, OffsetNumber at)
{
	if (PageAddItem(s->page, (Item) entry, MAXALIGN(IndexTupleSize(entry)), at, false, false) == InvalidOffsetNumber)
		elog(PANIC, "failed to add an entry to a page of index \"%s\"", RelationGetRelationName(s->index));
}

/* As _bt_insertonpg. */
static void
write_one(FsLeafInsert *s, IndexTuple entry, OffsetNumber at)
{
	START_CRIT_SECTION();
	add_entry(s, entry, at);
	MarkBufferDirty(s->buf);
	if (RelationNeedsWAL(s->index))
	{
		xl_btree_insert xlrec = {.offnum = at};
		XLogRecPtr	recptr;

		XLogBeginInsert();
		XLogRegisterData((char *) &xlrec, SizeOfBtreeInsert);
		XLogRegisterBuffer(0, s->buf, REGBUF_STANDARD);
		XLogRegisterBufData(0, (char *) entry, IndexTupleSize(entry));
		recptr = XLogInsert(RM_BTREE_ID, XLOG_BTREE_INSERT_LEAF);
		PageSetLSN(s->page, recptr);
	}
	END_CRIT_SECTION();
}

/* The page is logged as a whole, once: in its middle is nothing, and that is left out. */
static void
write_many(FsLeafInsert *s, IndexTuple *entries, OffsetNumber *at, int n)
{
	START_CRIT_SECTION();
	for (int i = 0; i < n; i++)
		add_entry(s, entries[i], at[i]);
	MarkBufferDirty(s->buf);
	if (RelationNeedsWAL(s->index))
		(void) log_newpage_buffer(s->buf, true);
	END_CRIT_SECTION();
}

/* Write entries that fit: whichever way logs less. */
static void
write_entries(FsLeafInsert *s, IndexTuple *entries, OffsetNumber *at, int n, Size size)
{
	Size		whole = BLCKSZ - PageGetExactFreeSpace(s->page) + size;

	if (n > 1 && whole < size + n * RECORD_BYTES)
		write_many(s, entries, at, n);
	else
		for (int i = 0; i < n; i++)
			write_one(s, entries[i], at[i]);
}

/* Where an entry is expected; NULL: nothing is known. */
static FsLeafPlace *
expected(FsLeafInsert *s, const FsLeafKey *keys, int i, int n)
{
	FsLeafPlace *place = i < n ? place_of(s, &keys[i]) : NULL;

	return place && BufferIsValid(place->buffer) ? place : NULL;
}

/*
 * The pages are many, and others fill them too, so they are seldom in this
 * processor's cache: fetch what find_leaf will look at, in three steps, since
 * each says where the next is.  What is read here without a lock matters for
 * that only.  (Always inline: gcc drops calls of functions that do nothing but
 * prefetch.)
 */
static pg_attribute_always_inline void
fetch_ahead(FsLeafInsert *s, const FsLeafKey *keys, int n)
{
	FsLeafPlace *place = expected(s, keys, FETCH_PAGE, n);
	char	   *page;

	if (place)
	{
		page = BufferGetPage(place->buffer);
		__builtin_prefetch(GetBufferDescriptor(place->buffer - 1));
		__builtin_prefetch(page);
		__builtin_prefetch(page + BLCKSZ - 1);
	}
	place = expected(s, keys, FETCH_ITEMS, n);
	if (place)
	{
		page = BufferGetPage(place->buffer);
		__builtin_prefetch(PageGetItemId(page, place->at));
		__builtin_prefetch(page + ItemIdGetOffset(PageGetItemId(page, P_HIKEY)) % BLCKSZ);
	}
	place = expected(s, keys, FETCH_ENTRY, n);
	if (place)
	{
		page = BufferGetPage(place->buffer);
		__builtin_prefetch(page + ItemIdGetOffset(PageGetItemId(page, place->at)) % BLCKSZ);
		__builtin_prefetch(page + Min(((PageHeader) page)->pd_upper, BLCKSZ) - 1);
	}
}

/* Enter what belongs on one leaf; how many that were, 0: the first is not simple. */
static int
insert_on_leaf(FsLeafInsert *s, const FsLeafKey *keys, int n)
{
	IndexTuple	entries[MOST_ON_LEAF];
	OffsetNumber at[MOST_ON_LEAF];
	FsLeafPlace *place = place_of(s, &keys[0]);
	OffsetNumber behind;
	Size		room;
	int			m = 0;
	int			formed = 1;

	entries[0] = form_entry(s, &keys[0]);
	set_key(s, &keys[0], entries[0]);
	if (find_leaf(s, place, &at[0]))
	{
		place->buffer = s->buf;
		place->block = BufferGetBlockNumber(s->buf);
		room = PageGetExactFreeSpace(s->page);
		for (;;)
		{
			Size		size = MAXALIGN(IndexTupleSize(entries[m])) + sizeof(ItemIdData);

			if (size > room)
				break;
			room -= size;
			if (++m == Min(n, MOST_ON_LEAF) || !ascends(s, &keys[m - 1], &keys[m]))
				break;
			entries[m] = form_entry(s, &keys[m]);
			formed++;
			set_key(s, &keys[m], entries[m]);

			/*
			 * among the entries that were there before, then moved by those
			 * that come before it
			 */
			behind = at[m - 1] - (m - 1);
			if (fit(s, behind - 1, behind, true, &at[m]) != FIT_HERE)
				break;
			at[m] += m;
		}
		if (m > 0)
		{
			CheckForSerializableConflictIn(s->index, NULL, place->block);
			write_entries(s, entries, at, m, PageGetExactFreeSpace(s->page) - room);
			place->at = at[m - 1];
		}
		leave_leaf(s);
	}
	for (int i = 0; i < formed; i++)
		pfree(entries[i]);
	return m;
}

void
fs_leaf_insert(Relation index, Relation heap, const FsLeafKey *keys, int n, bool unique)
{
	FsLeafInsert s = {
		.index = index,
		.heap = heap,
		.unique = unique,
		.columns = IndexRelationGetNumberOfAttributes(index),
	};

	for (int i = 0; i < s.columns; i++)
		s.width[i] = TupleDescAttr(RelationGetDescr(index), i)->attlen;
	for (int i = 0; i < n;)
	{
		int			m;

		fetch_ahead(&s, &keys[i], n - i);
		m = insert_on_leaf(&s, &keys[i], n - i);

		if (m == 0)
		{
			static IndexInfo info = {.type = T_IndexInfo};
			static bool isnull[FS_LEAF_COLUMNS];
			FsLeafKey	k = keys[i];

			info.ii_AmCache = NULL;
			index_insert(index, k.column, isnull, &k.tid, heap,
						 unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, &info);
			m = 1;
		}
		i += m;
		CHECK_FOR_INTERRUPTS();
	}
	if (s.key)
		pfree(s.key);
}
