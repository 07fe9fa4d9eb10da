/*
 * hints.c
 *		What is known of a flow's queue: candidates, cursors, hints.
 *
 * cand[] holds the next heads of a flow with their places; cursor[slot] is
 * where the ready index is to be read on, if bit `slot` of `more` says that it
 * may hold something from there.  A hint says that jobs became ready; it may
 * be stale: the row decides.  One backend at a time reads the index for a flow
 * (filling); what is hinted meanwhile lowers fill_min, so that it is not taken
 * for read.
 *
 * All functions: fs->lock held exclusively; nothing here allocates, waits or
 * raises, so that commit and abort callbacks may call it.
 */
#include "hints.h"

#include "ring.h"

/* Forget candidates from a position on; the index is looked at again from there. */
static void
truncate_candidates(FsFlow *f, int64 position)
{
	for (int i = 0; i < f->cand_count; i++)
		if (f->cand[f->cand_head + i].position >= position)
		{
			f->cursor[f->cand_slot] = Min(f->cursor[f->cand_slot],
										  f->cand[f->cand_head + i].position);
			f->more |= 1u << f->cand_slot;
			f->cand_count = i;
			break;
		}
}

/* fs_sched_ready_many: jobs of this slot became ready, none before `from`. */
void
fs_sched_ready_many(int32 flow, int slot, int64 from)
{
	FsFlow	   *f = &fs_flows[flow];

	f->fill_min = Min(f->fill_min, from);
	if (f->cand_count && f->cand_slot == slot)
		truncate_candidates(f, from);
	if (!(f->more & (1u << slot)) || from < f->cursor[slot])
		f->cursor[slot] = (f->more & (1u << slot)) ? Min(f->cursor[slot], from) : from;
	f->more |= 1u << slot;
	fs_sched_flow_relink(flow);
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
	bool		more = (f->more & (1u << slot)) != 0;
	int			i;

	f->fill_min = Min(f->fill_min, position);
	if (more && position >= f->cursor[slot])
		return;					/* the scan gets there */
	if (f->filling || f->id < 0 || (f->cand_count && f->cand_slot != slot) ||
		(!f->cand_count && fs_sched_flow_slot(f) >= 0 && fs_sched_flow_slot(f) < slot))
	{
		fs_sched_ready_many(flow, slot, position);
		return;
	}
	if (f->cand_count == 0)
		f->cand_head = 0;
	if (f->cand_head + f->cand_count == FS_CANDIDATES && f->cand_head > 0)
	{
		memmove(f->cand, f->cand + f->cand_head, f->cand_count * sizeof(FsCandidate));
		f->cand_head = 0;
	}
	for (i = f->cand_count; i > 0; i--)
		if (f->cand[f->cand_head + i - 1].position <= position)
			break;
	if (i > 0 && f->cand[f->cand_head + i - 1].position == position)
		return;
	if (f->cand_count == FS_CANDIDATES)
	{
		if (i == FS_CANDIDATES)
		{
			fs_sched_ready_many(flow, slot, position);
			return;
		}
		truncate_candidates(f, f->cand[f->cand_head + f->cand_count - 1].position);
		more = true;
	}
	memmove(f->cand + f->cand_head + i + 1, f->cand + f->cand_head + i,
			(f->cand_count - i) * sizeof(FsCandidate));
	f->cand[f->cand_head + i] = *cand;
	f->cand_count++;
	f->cand_slot = slot;
	if (!more)
		f->cursor[slot] = Max(f->cursor[slot], position + 1);
	fs_sched_flow_relink(flow);
}

/* fs_sched_fill_begin: the caller scans the flow's index; one of the two below must follow. */
void
fs_sched_fill_begin(int32 flow)
{
	FsFlow	   *f = &fs_flows[flow];

	if (f->cand_count)
	{
		int64		first = f->cand[f->cand_head].position;

		truncate_candidates(f, first);
	}
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

	f->filling = false;
	Assert(f->cand_count == 0);
	memcpy(f->cand, found, n * sizeof(FsCandidate));
	f->cand_head = 0;
	f->cand_count = n;
	f->cand_slot = slot;
	if (n > 0)
		f->cursor[slot] = found[n - 1].position + 1;
	if (!more && f->fill_min == PG_INT64_MAX)
		f->more &= ~(1u << slot);
	if (f->fill_min < f->cursor[slot])
	{
		truncate_candidates(f, f->fill_min);
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
