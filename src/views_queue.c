/*
 * views_queue.c
 *		queue_status: what waits, and why nothing of it is handed out.
 *
 * Two walks (views.c has the rules): the first collects the distinct pairs of
 * capability set and node of workers, the second the flows.  Whether a live
 * worker can serve a ring, and runs on a node that holds it, is worked out
 * outside of the lock, once for each ring, so the cost is O(flows + rings * pairs).
 */
#include "views.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "admit.h"
#include "flows.h"
#include "park.h"
#include "placement.h"
#include "text.h"

/* A set of capabilities: what a ring requires, or a worker has. */
typedef struct FsCapsSet
{
	TimestampTz died;			/* of a worker that does not live any more;
								 * else 0 */
	int32		node;			/* of a worker: FS_NONE where it has none, or
								 * one that drains */
	int			len;
	char		caps[FS_CAPS_LEN];
} FsCapsSet;

/* What live workers can do for a ring, worked out once. */
typedef struct FsVerdict
{
	FsCapsSet	need;			/* of the ring; its slot may be used again
								 * meanwhile */
	FsHolders	holders;		/* the same; n < 0: any node */
	char	   *detail;			/* NULL: some live worker can */
	TimestampTz since;			/* when the last that could died; 0: none ever
								 * did */
	bool		no_node;		/* of the live workers that could, none runs
								 * where it is placed */
	TimestampTz node_since;
} FsVerdict;

typedef struct FsQueueExtra
{
	List	   *sets;			/* of FsCapsSet: distinct, of live workers */
	List	   *dead;			/* the same of others */
	FsVerdict **verdicts;		/* by ring */
	int			nverdicts;
	MemoryContext context;
} FsQueueExtra;

typedef struct FsQueueRow
{
	char		workspace[FS_NAME_LEN + 1];
	char		lane[FS_NAME_LEN + 1];
	int32		flow;
	int32		ring;
	FsCapsSet	need;
	FsHolders	holders;		/* nodes that hold the workspace and the lane;
								 * n < 0: any */
	char		placed[256];	/* the same in words */
	int64		ready;			/* -1: not known */
	FsPark		parked;
	TimestampTz parked_since;
	int32		running;
	int32		ceiling;
	int32		live_slots;
	double		workspace_share;
	bool		drained;
	TimestampTz ring_since;
	TimestampTz retry_at;
	char		detail[256];	/* of a gate of admit_gates.c */
} FsQueueRow;

static bool
set_copy(FsWalk *walk, int32 at, void *to)
{
	const FsWorker *worker = &fs_workers[at];
	FsCapsSet  *set = to;

	if (worker->db != walk->db)
		return false;
	set->died = fs_view_alive(worker, walk->now) ? 0 : worker->last_seen + FsMsToUsec(fs_worker_timeout);
	set->node = worker->place_node;
	if (set->node != FS_NONE && fs_place_nodes[set->node].draining)
		set->node = FS_NONE;
	set->len = worker->caps_len;
	memcpy(set->caps, worker->caps, worker->caps_len);
	return true;
}

static void
set_emit(FsWalk *walk, const void *from)
{
	FsQueueExtra *extra = walk->extra;
	const FsCapsSet *set = from;
	List	  **list = set->died == 0 ? &extra->sets : &extra->dead;
	ListCell   *lc;
	MemoryContext old;

	foreach(lc, *list)
	{
		FsCapsSet  *known = lfirst(lc);

		if (known->node == set->node && known->len == set->len && memcmp(known->caps, set->caps, set->len) == 0)
		{
			known->died = Max(known->died, set->died);
			return;
		}
	}
	old = MemoryContextSwitchTo(extra->context);
	*list = lappend(*list, memcpy(palloc(sizeof(FsCapsSet)), set, sizeof(FsCapsSet)));
	MemoryContextSwitchTo(old);
}

/*
 * Ready jobs of a flow.  Depths are kept by workspace, so they are known for a
 * flow that is the only one of its workspace, and where the workspace has none.
 */
static int64
ready_of_flow(const FsDatabase *db, const FsWorkspace *ws)
{
	int64		ready = fs_view_ready(ws);
	int			flows = 0;

	if (!db->counted)
		return -1;
	if (ready == 0)
		return 0;
	for (int32 s = ws->shares; s != FS_NONE; s = fs_shares[s].next)
		for (int32 m = fs_shares[s].members; m != FS_NONE; m = fs_members[m].next)
		{
			flows += fs_members[m].flows;
			if (flows > 1)
				return -1;
		}
	return ready;
}

/* The nodes that hold both the workspace and the lane. */
static void
holders_copy(const FsWorkspace *ws, int32 lane, FsQueueRow *row)
{
	int32		lane_set = fs_lanes[lane].holders;
	int32		set = ws->holders != FS_NONE ? ws->holders : lane_set;

	row->holders.n = -1;
	row->placed[0] = '\0';
	if (set == FS_NONE)
		return;
	row->holders.n = 0;
	for (int i = 0; i < fs_holders[set].n; i++)
		if (fs_holders_serve(lane_set, fs_holders[set].node[i]))
			row->holders.node[row->holders.n++] = fs_holders[set].node[i];
	fs_holders_detail(ws->holders, lane_set, row->placed, sizeof(row->placed));
}

static bool
queue_copy(FsWalk *walk, int32 at, void *to)
{
	const FsFlow *flow = &fs_flows[at];
	const FsDatabase *db = &fs_dbs[walk->db];
	const FsWorkspace *ws;
	const FsRing *ring;
	FsRefusal	flow_why;
	const FsRefusal *why;
	FsQueueRow *row = to;

	if (flow->member == FS_NONE)
		return false;
	ws = &fs_workspaces[FsWorkspaceOfFlow(at)];
	if (ws->db != walk->db)
		return false;
	if (!flow->more && flow->cand_count == 0 && ws->parked == FS_PARK_NONE)
		return false;
	fs_admit_why(at, &flow_why);
	why = ws->parked == FS_PARK_NONE ? &flow_why : fs_park_by_gate(ws->parked) ? &ws->why : NULL;
	ring = &fs_rings[fs_members[flow->member].ring];
	strlcpy(row->workspace, ws->name, sizeof(row->workspace));
	strlcpy(row->lane, fs_lanes[ring->lane].name, sizeof(row->lane));
	row->flow = flow->id;
	row->ring = fs_members[flow->member].ring;
	row->need.len = fs_ring_caps[ring->caps].len;
	memcpy(row->need.caps, fs_ring_caps[ring->caps].caps, row->need.len);
	row->ring_since = ring->made_at;
	holders_copy(ws, ring->lane, row);
	row->ready = ready_of_flow(db, ws);
	row->parked = ws->parked;
	row->parked_since = ws->parked_since;
	row->retry_at = 0;
	row->detail[0] = '\0';
	if (why != NULL && why->park != FS_PARK_NONE)
	{
		row->parked = why->park;
		row->parked_since = why->since;
		row->retry_at = why->retry_at;
		fs_admit_detail(why, row->detail, sizeof(row->detail));
	}
	row->running = ws->running;
	row->ceiling = fs_sched_ceiling(ws);
	row->live_slots = db->live_slots;
	row->workspace_share = db->workspace_share;
	row->drained = db->drained;
	return true;
}

/*
 * Why no live worker can serve a ring, or NULL when one can: the capabilities
 * that none of them has, else all that none of them has together.
 */
static char *
missing_caps(const FsQueueExtra *extra, const FsCapsSet *need)
{
	StringInfoData missing;
	ListCell   *lc;

	foreach(lc, extra->sets)
	{
		const FsCapsSet *have = lfirst(lc);

		if (fs_sched_caps_subset(need->caps, need->len, have->caps, have->len))
			return NULL;
	}
	initStringInfo(&missing);
	for (int all = 0; all < 2 && missing.len == 0; all++)
		for (const char *c = need->caps; c < need->caps + need->len; c += strlen(c) + 1)
		{
			bool		somebody = false;

			foreach(lc, extra->sets)
			{
				const FsCapsSet *have = lfirst(lc);

				somebody |= fs_sched_caps_subset(c, strlen(c) + 1, have->caps, have->len);
			}
			if (!somebody || all)
				appendStringInfo(&missing, "%s%s",
								 missing.len > 0 ? ", " : all ? "no live worker has all of " :
								 "no live worker has ", c);
		}
	return missing.data;
}

/* When the last worker that could serve such jobs stopped living. */
static TimestampTz
last_capable(const FsQueueExtra *extra, const FsCapsSet *need)
{
	TimestampTz died = 0;
	ListCell   *lc;

	foreach(lc, extra->dead)
	{
		const FsCapsSet *had = lfirst(lc);

		if (fs_sched_caps_subset(need->caps, need->len, had->caps, had->len))
			died = Max(died, had->died);
	}
	return died;
}

static bool
held_by(const FsHolders *holders, int32 node)
{
	for (int i = 0; i < holders->n; i++)
		if (holders->node[i] == node)
			return true;
	return false;
}

/* Does none of the live workers that could serve such jobs run on one of these nodes? */
static bool
none_there(const FsQueueExtra *extra, const FsCapsSet *need, const FsHolders *holders, TimestampTz *since)
{
	ListCell   *lc;

	*since = 0;
	if (holders->n < 0)
		return false;
	foreach(lc, extra->sets)
	{
		const FsCapsSet *have = lfirst(lc);

		if (held_by(holders, have->node) &&
			fs_sched_caps_subset(need->caps, need->len, have->caps, have->len))
			return false;
	}
	foreach(lc, extra->dead)
	{
		const FsCapsSet *had = lfirst(lc);

		if (held_by(holders, had->node) &&
			fs_sched_caps_subset(need->caps, need->len, had->caps, had->len))
			*since = Max(*since, had->died);
	}
	return true;
}

/* What workers can do for the ring of a row, worked out once for each ring. */
static const FsVerdict *
verdict_of(FsQueueExtra *extra, const FsQueueRow *row)
{
	FsVerdict  *v;
	MemoryContext old;

	if ((row->need.len == 0 && row->holders.n < 0) || row->ring >= extra->nverdicts)
		return NULL;
	v = extra->verdicts[row->ring];
	if (v != NULL && v->need.len == row->need.len &&
		memcmp(v->need.caps, row->need.caps, row->need.len) == 0 && v->holders.n == row->holders.n &&
		memcmp(v->holders.node, row->holders.node, sizeof(int32) * Max(row->holders.n, 0)) == 0)
		return v;
	old = MemoryContextSwitchTo(extra->context);
	v = palloc(sizeof(FsVerdict));
	v->need = row->need;
	v->holders = row->holders;
	v->detail = row->need.len == 0 ? NULL : missing_caps(extra, &row->need);
	v->since = last_capable(extra, &row->need);
	v->no_node = none_there(extra, &row->need, &row->holders, &v->node_since);
	MemoryContextSwitchTo(old);
	extra->verdicts[row->ring] = v;
	return v;
}

static void
queue_emit(FsWalk *walk, const void *from)
{
	const FsQueueRow *row = from;
	const char *park = fs_view_park_word(row->drained, row->parked);
	TimestampTz since = row->drained || row->parked == FS_PARK_NONE ? 0 : row->parked_since;
	char	   *detail = NULL;
	Datum		values[9] = {0};
	bool		nulls[9] = {0};

	if (park != NULL && !row->drained)
		switch (row->parked)
		{
			case FS_PARK_CEILING:
				detail = psprintf("running %d of %d", row->running, row->ceiling);
				break;
			case FS_PARK_SHARE:
				detail = psprintf("running %d, at most %g of %d live slots while others wait",
								  row->running, row->workspace_share, row->live_slots);
				break;
			case FS_PARK_NODE:
				detail = psprintf("%s; no room for that: fairsched.max_rings is reached", row->placed);
				break;
			default:
				detail = row->detail[0] ? pstrdup(row->detail) : NULL;
				break;
		}
	else if (park == NULL)
	{
		const FsVerdict *verdict = verdict_of(walk->extra, row);

		if (verdict != NULL && verdict->detail != NULL)
		{
			park = "waiting_for_capable_worker";
			detail = verdict->detail;
			since = Max(verdict->since, row->ring_since);
		}
		else if (verdict != NULL && verdict->no_node)
		{
			park = FsParkNames[FS_PARK_NODE];
			detail = pstrdup(row->placed);
			since = Max(verdict->node_since, row->ring_since);
		}
	}

	values[0] = CStringGetTextDatum(row->workspace);
	values[1] = CStringGetTextDatum(row->lane);
	values[2] = Int32GetDatum(row->flow);
	nulls[3] = row->ready < 0;
	values[3] = Int64GetDatum(row->ready);
	nulls[4] = park == NULL;
	if (!nulls[4])
		values[4] = CStringGetTextDatum(park);
	nulls[5] = detail == NULL;
	if (!nulls[5])
		values[5] = CStringGetTextDatum(detail);
	nulls[6] = since == 0;
	values[6] = TimestampTzGetDatum(since);
	nulls[7] = row->drained || row->retry_at == 0;
	values[7] = TimestampTzGetDatum(row->retry_at);
	values[8] = fs_caps_array(row->need.caps, row->need.len);
	fs_view_put(walk, values, nulls);
}

PG_FUNCTION_INFO_V1(fs_view_queue_status);
Datum
fs_view_queue_status(PG_FUNCTION_ARGS)
{
	FsWalk		walk = {0};
	FsQueueExtra extra = {0};

	fs_view_check("queue_status", NULL);
	InitMaterializedSRF(fcinfo, 0);
	if (fs_view_state("queue_status") == NULL)
		return (Datum) 0;
	extra.context = CurrentMemoryContext;
	extra.nverdicts = fs->rings.capacity;
	extra.verdicts = palloc0(sizeof(FsVerdict *) * extra.nverdicts);
	walk.extra = &extra;
	walk.result = (ReturnSetInfo *) fcinfo->resultinfo;

	walk.capacity = fs->workers.high;
	walk.row_size = sizeof(FsCapsSet);
	walk.copy = set_copy;
	walk.emit = set_emit;
	fs_view_walk(&walk);

	walk.capacity = fs->flows.high;
	walk.row_size = sizeof(FsQueueRow);
	walk.copy = queue_copy;
	walk.emit = queue_emit;
	fs_view_walk(&walk);
	return (Datum) 0;
}
