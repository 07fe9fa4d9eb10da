/*
 * placement.c
 *		Which nodes serve a workspace or a lane: changes of that in memory, and what
 *		is marked as changed.
 *
 * The gate costs a claim nothing: a ring belongs to a lane, a set of required
 * capabilities and a set of holders, so a claimer chooses its rings by its node
 * as it does by its capabilities (claim.c), and never meets members that are
 * placed elsewhere.  The set of a lane is looked at beside that of its rings,
 * so what is handed out is held by both.  Workers without a node, and those of
 * a draining one, are no holders of anything.
 *
 * A placement changes at the commit of its rows: members of the workspace move
 * to the rings of the new set, with their share, deficit and round as they are
 * (fs_placement_move).  The set is made, and its node entries
 * kept, when the row is written, and it is seen whether there is room for rings,
 * where there may be an error.  Where they are lacking at commit all the same the
 * workspace is parked as FS_PARK_NODE, and tried again.
 *
 * Nodes without living workers need no parking: nobody looks at their rings.
 * Views and fairsched_explain say so (waiting_for_node).
 *
 * All functions: fs->lock held exclusively (finders: shared is enough) unless
 * said otherwise; nothing here allocates, waits or raises, so that commit and
 * abort callbacks may call it.
 */
#include "placement.h"

#include "flows.h"
#include "ledger_items.h"
#include "park.h"
#include "preempt.h"
#include "wait.h"

StaticAssertDecl(PLACEMENT_MARK_NAME == FS_NAME_LEN, "names of marks are names");

const char *const FsChainKindNames[FS_CHAIN_KINDS] = {"workspace", "lane", "node"};

/* ---------- what changed ---------- */

static void
mark_dirty(int32 db, FsChainKind kind, const char *name)
{
	FsPlacement *p = &fs_placements[db];

	p->dirtied[kind]++;
	fs_ledger_wake_scheduler(&fs_dbs[db]);
	placement_marks_add(&p->marks, kind, name);
}

/* fs_placement_dirtied: how often chains of this kind, or nodes, were marked; without the lock. */
uint64
fs_placement_dirtied(FsDatabase *db, FsChainKind kind)
{
	return fs_placements[FsDbIndex(db)].dirtied[kind];
}

/* What the open transaction has taken. */
static PlacementMarks taken;

/* fs_placement_take: takes the lock itself. */
void
fs_placement_take(FsDatabase *db, PlacementMarks *marks)
{
	PlacementMarks *from = &fs_placements[FsDbIndex(db)].marks;

	FsLock();
	*marks = *from;
	placement_marks_clear(from);
	FsUnlock();
	placement_marks_merge(&taken, marks);
}

void
fs_placement_put_back(int32 db)
{
	placement_marks_merge(&fs_placements[db].marks, &taken);
	placement_marks_clear(&taken);
}

void
fs_placement_taken_done(void)
{
	placement_marks_clear(&taken);
}

/*
 * fs_placement_refresh: which nodes have living workers; marks those that
 * changed.  O(workers + nodes): on a change of workers, or a time-out.
 */
void
fs_placement_refresh(int32 db, TimestampTz now)
{
	for (int i = 0; i < fs->place_nodes.capacity; i++)
		if (fs_place_nodes[i].db == db)
			fs_place_nodes[i].last_seen = 0;
	for (int i = 0; i < fs->workers.capacity; i++)
		if (fs_workers[i].db == db)
			fs_place_worker_seen(i, fs_workers[i].last_seen);
	for (int i = 0; i < fs->place_nodes.capacity; i++)
	{
		FsPlaceNode *node = &fs_place_nodes[i];
		bool		alive = node->last_seen + FsMsToUsec(fs_worker_timeout) > now;

		if (node->db != db || node->alive == alive)
			continue;
		node->alive = alive;
		mark_dirty(db, FS_CHAIN_NODE, node->name);
	}
}

/* ---------- transactions ---------- */

/* fs_placement_fits: is there room for the rings that the workspace needs with this set? */
bool
fs_placement_fits(int32 w, int32 set)
{
	if (fs->rings.capacity - fs->rings.used >= fs_sched_rings_lacking(w, set))
		return true;
	fs_workspaces[w].refs++;
	fs_sched_reclaim(fs_workspaces[w].db);
	fs_workspaces[w].refs--;
	return fs->rings.capacity - fs->rings.used >= fs_sched_rings_lacking(w, set);
}

/*
 * fs_placement_move: members go to the rings of the new set.  O(members of the
 * workspace); where rings are lacking it is parked, whatever else holds it up.
 */
void
fs_placement_move(int32 w, int32 set)
{
	FsWorkspace *ws = &fs_workspaces[w];
	FsPlacement *p = &fs_placements[ws->db];
	bool		fits = true;

	if (ws->holders == set && !ws->misplaced)
		return;
	if (set != FS_NONE)
		fs_holders[set].refs++;
	fs_holders_unref(ws->holders);
	ws->holders = set;
	(void) fs_placement_fits(w, set);
	for (int32 s = ws->shares; s != FS_NONE; s = fs_shares[s].next)
		for (int32 m = fs_shares[s].members; m != FS_NONE; m = fs_members[m].next)
			fits &= fs_sched_member_place(m, set);
	if (ws->misplaced == fits)
	{
		ws->misplaced = !fits;
		p->misplaced += fits ? -1 : 1;
	}
	if (fits)
		fs_sched_unpark_if_fits(w);
	else if (ws->parked != FS_PARK_PAUSED && ws->parked != FS_PARK_MOVING)
		fs_sched_park(w, FS_PARK_NODE);
}

static void
wake_all(int32 db)
{
	for (int32 l = fs_dbs[db].lanes; l != FS_NONE; l = fs_lanes[l].next)
		fs_wait_wake(db, l, PG_INT32_MAX);
}

/* fs_placement_commit: it holds from now on. */
void
fs_placement_commit(int32 db, FsPlacementChange *c)
{
	int32		at;

	fs_dbs[db].settings_gen++;	/* who reads rows at the moment reads them
								 * again */
	if (fs_dbs[db].nrooms > 0)
		fs_preempt_wake(&fs_dbs[db], GetCurrentTimestamp());	/* room for work that
																 * nobody can take now */
	switch (c->kind)
	{
		case FS_CHAIN_WORKSPACE:
			at = fs_sched_workspace_find(db, c->name);
			if (at != FS_NONE)
			{
				fs_placement_move(at, c->holders);
				for (int32 s = fs_workspaces[at].shares; s != FS_NONE; s = fs_shares[s].next)
					fs_wait_wake(db, fs_shares[s].lane, PG_INT32_MAX);
			}
			break;
		case FS_CHAIN_LANE:
			at = fs_sched_lane_find(db, c->name);
			if (at != FS_NONE && fs_lanes[at].holders != c->holders)
			{
				if (c->holders != FS_NONE)
					fs_holders[c->holders].refs++;
				fs_holders_unref(fs_lanes[at].holders);
				fs_lanes[at].holders = c->holders;
				fs_dbs[db].rings_gen++;
				fs_wait_wake(db, at, PG_INT32_MAX);
			}
			break;
		case FS_CHAIN_NODE:
		case FS_CHAIN_KINDS:
			at = fs_place_node_find(db, c->name);
			if (at != FS_NONE && fs_place_nodes[at].draining != c->draining)
			{
				fs_place_nodes[at].draining = c->draining;
				fs_dbs[db].rings_gen++;
				if (!c->draining)
				{
					fs_place_nodes[at].refs++;
					fs_place_node_unref(at);	/* it goes when nothing else
												 * needs it */
					wake_all(db);
				}
			}
			break;
	}
	mark_dirty(db, c->kind, c->name);
	fs_placement_abort(c);		/* references are those of workspace, lane or
								 * node from now on */
}

/* fs_placement_abort: the transaction's references go. */
void
fs_placement_abort(FsPlacementChange *c)
{
	fs_holders_unref(c->holders);
	if (c->node != FS_NONE)
		fs_place_node_unref(c->node);
}

/* fs_placement_sweep: everything of a database; workspaces, lanes, rings and workers went before. */
void
fs_placement_sweep(int32 db)
{
	fs_holders_sweep(db);
	memset(&fs_placements[db], 0, sizeof(FsPlacement));
	fs_placements[db].marks.first = true;
}
