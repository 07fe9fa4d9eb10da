/*
 * candidates.c
 *		Reading queues: the next candidates of a flow from its index, and rows
 *		that were locked when a claim came by.
 *
 * One backend at a time reads for a flow (FsFlow.filling, hints.c); it does so
 * without fs->lock and puts what it found under it.  An error on the way is
 * cleaned up by fs_state_abort_cleanup.
 */
#include "candidates.h"

#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "admit.h"
#include "enqueue.h"
#include "flows.h"
#include "hints.h"
#include "softclaim.h"

#define REVISIT_AFTER	(20 * INT64CONST(1000)) /* usec until a locked row is
												 * looked at again */

/*
 * Without what this call has picked: the cursor may have gone back before it, and
 * the rows do not tell yet.
 */
static int
leave_out_taken(FsCandidate *found, int n, int32 flow_id, const FsTaken *taken, int ntaken)
{
	int64		first = n > 0 ? found[0].position : PG_INT64_MAX;

	for (int t = 0; t < ntaken; t++)
	{
		if (taken[t].flow_id != flow_id || taken[t].cand.position < first)
			continue;
		for (int i = 0; i < n; i++)
			if (found[i].position == taken[t].cand.position)
			{
				memmove(&found[i], &found[i + 1], (--n - i) * sizeof(FsCandidate));
				break;
			}
	}
	return n;
}

/* fs_candidates_fill: scan for a flow's next candidates; the flow is marked as being filled by us. */
void
fs_candidates_fill(FsDatabase *db, int32 flow, int slot, const FsTaken *taken, int ntaken)
{
	FsFlow	   *f = &fs_flows[flow];
	FsWorkspace *ws = &fs_workspaces[FsWorkspaceOfFlow(flow)];
	FsCandidate found[FS_CANDIDATES];
	int64		jobs[FS_CANDIDATES];
	int64		from = f->cursor[slot];
	int			job_table = ws->set.job_table;
	bool		overflow = f->id < 0;
	bool		look = overflow || f->look > 0 || from < f->given_back;
	bool		others = false;
	FsOverflowHead head = {0};
	FsFlowSpec	spec;
	bool		more = false;
	bool		moved = false;
	int			want = fs_sched_fill_want(flow);
	int			n = 0;
	FsJobRel   *jr;

	fs_state_filling(flow);
	fs_push_snapshot();
	jr = fs_rows_open(job_table, true);
	while (jr)
	{
		int64		to = f->gap > 0 ? from + f->gap * want * 2 : PG_INT64_MAX;
		int			read;

		n = look ? -1 : fs_rows_list_ready(jr, f->id, FsSlotRank(slot), from, to, want, found, &more);
		if (n < 0)
		{
			look = true;
			n = fs_rows_scan_ready(jr, f->id, FsSlotRank(slot), from, to, want, found, jobs, &more,
								   &others, overflow ? &head : NULL);
		}
		if (n < want && !more && to != PG_INT64_MAX)
		{
			f->gap = 0;			/* not that far: look at all there is */
			continue;
		}
		if (n == want)
		{
			f->gap = (found[n - 1].position - found[0].position) / (n - 1) + 1;
			more |= to != PG_INT64_MAX; /* what is behind the bound was not
										 * looked at */
		}
		read = n;
		if (n > 0)
			from = found[n - 1].position + 1;
		if (look)
			n = leave_out_taken(found, fs_soft_filter(db, found, jobs, n), f->id, taken, ntaken);
		if (n > 0 || read == 0 || !more)
			break;
		CHECK_FOR_INTERRUPTS(); /* all of them run by soft leases, or are
								 * ours: go on behind them */
	}
	if (jr)
		fs_rows_close(jr);
	fs_pop_snapshot();
	if (overflow && n > 0)
		fs_enqueue_spec(db, head.resources, head.budgets, head.kind, &spec);

	FsLock();
	if (overflow && n > 0)
	{
		FsRing	   *ring = &fs_rings[fs_members[f->member].ring];
		FsRingCaps *caps = &fs_ring_caps[ring->caps];

		if (caps->len != head.caps_len || memcmp(caps->caps, head.caps, head.caps_len) != 0)
		{
			int32		r = fs_sched_ring_get(FsWorkspaceOfFlow(flow), fs_lanes[ring->lane].name, head.caps,
											  head.caps_len);

			fs_sched_fill_abandoned(flow);
			if (r != FS_NONE)
				fs_sched_flow_move(flow, r);
			moved = true;
		}
	}
	if (!moved)
	{
		if (overflow && n > 0 && !fs_admit_new_head(flow, &spec))
		{
			fs_sched_fill_abandoned(flow);
			fs_admit_no_room(flow, GetCurrentTimestamp());
		}
		else
		{
			if (look)
				f->look = others ? FS_LOOKS : f->look > 0 ? f->look - 1 : 0;
			fs_sched_filled(flow, slot, found, n, more);
		}
	}
	FsUnlock();
	fs_state_filling(FS_NONE);
	ConditionVariableBroadcast(&db->filled);
}

/* fs_candidates_revisit: rows that were locked when a claim came by, some time ago; fs->lock held. */
void
fs_candidates_revisit(FsDatabase *db, TimestampTz now)
{
	for (int i = db->nrevisits - 1; i >= 0; i--)
	{
		FsRevisit  *r = &db->revisits[i];

		if (r->at > now)
			continue;
		if (fs_flows[r->flow].member != FS_NONE)
			fs_sched_ready_many(r->flow, r->slot, r->position);
		*r = db->revisits[--db->nrevisits];
	}
}

/* fs_candidates_revisit_later: a row is locked, or may be had in a moment; fs->lock held. */
void
fs_candidates_revisit_later(FsDatabase *db, int32 flow, int slot, int64 position, TimestampTz now)
{
	FsRevisit  *r;

	for (int i = 0; i < db->nrevisits; i++)
		if (db->revisits[i].flow == flow && db->revisits[i].slot == slot)
		{
			db->revisits[i].position = Min(db->revisits[i].position, position);
			return;
		}
	if (db->nrevisits == FS_REVISITS)
	{
		fs_sched_ready_many(flow, slot, position);
		return;
	}
	r = &db->revisits[db->nrevisits++];
	r->flow = flow;
	r->slot = slot;
	r->position = position;
	r->at = now + REVISIT_AFTER;
}
