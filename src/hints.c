/*
 * hints.c
 *		What is known of a flow's queue: candidates, cursors, hints.
 *
 * A flow's candidates are its next heads with their places, for any of its slots:
 * those of one slot are in the order of their positions, and nothing before or
 * between them waits.  Every flow has room for a few; one that is filled by a
 * scan borrows a block for more, if there is one, until they are used up.
 * cursor[slot] is where the ready index is to be read on,
 * if bit `slot` of `more` says that it may hold something from there.  A hint says that jobs became ready; it may
 * be stale: the row decides.  One backend at a time reads the index for a flow
 * (filling); what is hinted meanwhile lowers fill_min, so that it is not taken
 * for read.
 *
 * What lies behind a cursor was never handed out, so most entries of the index
 * there stand for jobs that wait: a scan takes them as they are, and who claims
 * sees the row.  Where the cursor went back, scans look at the rows until they
 * come to where it was (given_back): what was handed out left entries behind, also
 * where the claim was rolled back.  Where a claim met an entry of a job that is
 * gone or not committed, the next FS_LOOKS scans look at the rows, until so many in
 * a row met none but waiting jobs; where the queue is read from its start, by a flow
 * that memory learnt from rows, one that does is enough.
 *
 * All functions: fs->lock held exclusively; nothing here allocates, waits or
 * raises, so that commit and abort callbacks may call it.
 */
#include "hints.h"

#include "ring.h"

/* Candidates that the flow has room for. */
static int
room(const FsFlow *f)
{
	return f->block != FS_NONE ? FS_CANDIDATES : FS_OWN_CANDIDATES;
}

static void
borrow_block(FsFlow *f)
{
	int32		b;

	if (f->block != FS_NONE)
		return;
	FS_POOL_TAKE(fs->blocks, fs_blocks, b);
	if (b == FS_NONE)
		return;
	memcpy(fs_blocks[b].cand, f->own, f->cand_count * sizeof(FsCandidate));
	f->block = b;
}

void
fs_sched_drop_candidates(FsFlow *f)
{
	f->cand_count = 0;
	if (f->block != FS_NONE)
		FS_POOL_GIVE(fs->blocks, fs_blocks, f->block);
	f->block = FS_NONE;
}

static void
remove_candidate(FsFlow *f, int i)
{
	FsCandidate *cand = fs_sched_flow_cands(f);

	memmove(&cand[i], &cand[i + 1], (--f->cand_count - i) * sizeof(FsCandidate));
	if (f->cand_count == 0)
		fs_sched_drop_candidates(f);
}

/* The index is to be read again from this candidate on; those behind it in its slot must be gone. */
static void
forget_candidate(FsFlow *f, int i)
{
	FsCandidate *cand = fs_sched_flow_cands(f);
	int			slot = cand[i].slot;

	f->cursor[slot] = f->more & (1u << slot) ? Min(f->cursor[slot], cand[i].position)
		: cand[i].position;
	f->more |= 1u << slot;
	remove_candidate(f, i);
}

/* Forget candidates of a slot from a position on; the index is looked at again from there. */
static void
truncate_candidates(FsFlow *f, int slot, int64 position)
{
	for (int i = f->cand_count - 1; i >= 0; i--)
	{
		const FsCandidate *cand = &fs_sched_flow_cands(f)[i];

		if (cand->slot == slot && cand->position >= position)
			forget_candidate(f, i);
	}
}

/* Make room for n, by forgetting the last of other slots. */
static void
make_room(FsFlow *f, int slot, int n)
{
	for (int i = f->cand_count - 1; i >= 0 && room(f) - f->cand_count < n; i--)
		if (fs_sched_flow_cands(f)[i].slot != slot)
			forget_candidate(f, i);
}

/* fs_sched_reread: what is known may not be there any more; the index is read from the first of them on. */
void
fs_sched_reread(int32 flow)
{
	make_room(&fs_flows[flow], -1, room(&fs_flows[flow]));
	fs_sched_flow_relink(flow);
}

/* fs_sched_take: the first candidate of a slot is handed out. */
FsCandidate
fs_sched_take(int32 flow, int slot)
{
	FsFlow	   *f = &fs_flows[flow];
	int			i = fs_sched_flow_candidate(f, slot);
	FsCandidate cand = fs_sched_flow_cands(f)[i];

	remove_candidate(f, i);
	return cand;
}

/* fs_sched_forget_places: what was known of places is void; the index is read from the start. */
void
fs_sched_forget_places(int32 flow)
{
	FsFlow	   *f = &fs_flows[flow];

	for (int i = 0; i < f->cand_count; i++)
		f->more |= 1u << fs_sched_flow_cands(f)[i].slot;
	fs_sched_drop_candidates(f);
	f->fill_min = 0;
	for (int i = 0; i < FS_RANKS; i++)
	{
		f->given_back = Max(f->given_back, f->cursor[i]);
		f->cursor[i] = 0;
	}
	f->look = Max(f->look, 1);
	fs_sched_flow_relink(flow);
}

/* fs_sched_ready_many: jobs of this slot became ready, none before `from`. */
void
fs_sched_ready_many(int32 flow, int slot, int64 from)
{
	FsFlow	   *f = &fs_flows[flow];

	f->fill_min = Min(f->fill_min, from);
	if (from < f->cursor[slot])
		f->given_back = Max(f->given_back, f->cursor[slot]);
	truncate_candidates(f, slot, from);
	if (!(f->more & (1u << slot)) || from < f->cursor[slot])
		f->cursor[slot] = (f->more & (1u << slot)) ? Min(f->cursor[slot], from) : from;
	f->more |= 1u << slot;
	fs_sched_flow_relink(flow);
}

/* fs_sched_doubt: a candidate that was found in the index alone was not what it seemed. */
void
fs_sched_doubt(int32 flow, int slot, int64 position)
{
	fs_flows[flow].look = FS_LOOKS;
	fs_sched_ready_many(flow, slot, position);
}

/*
 * fs_sched_ready_one: one job became ready and its place is known.  Where it
 * fits among the candidates it saves the scan; an old position (a transaction
 * that took long) then costs no walk over what was served meanwhile.
 */
void
fs_sched_ready_one(int32 flow, int slot, const FsCandidate *cand)
{
	int64		position = cand->position;
	FsFlow	   *f = &fs_flows[flow];
	FsCandidate *known = fs_sched_flow_cands(f);
	bool		more = (f->more & (1u << slot)) != 0;
	int			at = f->cand_count; /* where it goes: before the first of its
									 * slot that is behind it */
	int			last = -1;

	f->fill_min = Min(f->fill_min, position);
	if (more && position >= f->cursor[slot])
		return;					/* the scan gets there */
	if (position < f->cursor[slot])
		f->given_back = Max(f->given_back, f->cursor[slot]);
	for (int i = f->cand_count - 1; i >= 0; i--)
		if (known[i].slot == slot)
		{
			if (known[i].position == position)
			{
				/*
				 * another place of the same job: the row moved, and which of
				 * them is the later one is not known
				 */
				if (known[i].relfile != cand->relfile || !ItemPointerEquals(&known[i].tid, (ItemPointer) &cand->tid))
					fs_sched_ready_many(flow, slot, position);
				return;
			}
			if (known[i].position > position)
				at = i;
			if (last < 0)
				last = i;
		}
	if (f->filling || f->id < 0 || (f->cand_count == room(f) && at > last))
	{
		fs_sched_ready_many(flow, slot, position);
		return;
	}
	if (f->cand_count == room(f))
	{
		forget_candidate(f, last);
		more = true;
	}
	memmove(&known[at + 1], &known[at], (f->cand_count - at) * sizeof(FsCandidate));
	known[at] = *cand;
	known[at].slot = slot;
	f->cand_count++;
	if (!more)
		f->cursor[slot] = Max(f->cursor[slot], position + 1);
	fs_sched_flow_relink(flow);
}

/*
 * fs_sched_fill_begin: the caller scans the flow's index for a slot of which no
 * candidate is known; one of the two below must follow.  An overflow flow may
 * move to another ring afterwards, so nothing is to be known of it.
 */
void
fs_sched_fill_begin(int32 flow, int slot)
{
	FsFlow	   *f = &fs_flows[flow];

	if (f->id < 0)
		make_room(f, -1, room(f));
	Assert(fs_sched_flow_candidate(f, slot) < 0);
	f->filling = true;
	f->fill_min = PG_INT64_MAX;
}

/*
 * fs_sched_filled: the caller scanned from the flow's cursor and found these,
 * in order; `more` says that the index may hold others behind them.  What was
 * hinted meanwhile (fill_min) may be missing from the result.
 */
void
fs_sched_filled(int32 flow, int slot, const FsCandidate *found, int n, bool more)
{
	FsFlow	   *f = &fs_flows[flow];
	FsCandidate *cand;

	f->filling = false;
	/* slots that are served in turns share the places */
	if (n > room(f) - f->cand_count)
		borrow_block(f);
	make_room(f, slot, Min(n, (room(f) + 1) / 2));
	if (n > room(f) - f->cand_count)
	{
		n = room(f) - f->cand_count;
		more = true;
	}
	cand = fs_sched_flow_cands(f);
	for (int i = 0; i < n; i++)
	{
		cand[f->cand_count] = found[i];
		cand[f->cand_count++].slot = slot;
	}
	if (n > 0)
		f->cursor[slot] = found[n - 1].position + 1;
	if (!more && f->fill_min == PG_INT64_MAX)
		f->more &= ~(1u << slot);
	if (f->fill_min < f->cursor[slot])
	{
		truncate_candidates(f, slot, f->fill_min);
		f->cursor[slot] = f->fill_min;
		f->more |= 1u << slot;
	}
	fs_sched_flow_relink(flow);
}

void
fs_sched_fill_abandoned(int32 flow)
{
	fs_flows[flow].filling = false;
}

int
fs_sched_fill_want(int32 flow)
{
	return fs_flows[flow].block != FS_NONE || fs->blocks.free_head != FS_NONE ? FS_CANDIDATES
		: FS_OWN_CANDIDATES;
}
