/*
 * sched.c
 *		The scheduler: who is next.
 *
 * A lane has rings, one for each set of required capabilities; a ring is an
 * ordering of members by (round they are due in, place).  A member is the
 * presence of a share (a workspace in a lane) in a ring; deficit and round
 * belong to the share, so that a workspace with jobs in two rings is not
 * served twice.  A claimer compares the minima of the rings it may serve: with
 * the lane's round as a floor for rings that were not served for a while, that
 * is one round robin over everything it can do, and such a ring catches up by
 * at most one round.
 *
 * A node's key may be lower than the truth (its share was served through
 * another ring, or its head's cost was unknown), never higher than it may be
 * served: it is checked when it comes up, and moved back.
 *
 * All functions: fs->lock held exclusively; nothing here allocates, waits or
 * raises, so that commit and abort callbacks may call it.
 */
#include "sched.h"

#include "common/hashfn.h"

const char *const FsParkNames[] = {NULL, "paused", "ceiling", "workspace_share", "moving"};

static void member_rekey(int32 member);
static void flow_relink(int32 flow);

/* ---------- names and hashes ---------- */

static uint32
hash_name(int32 db, const char *name)
{
	return hash_bytes((const unsigned char *) name, strlen(name)) ^ (uint32) (db * 0x9e3779b9);
}

static uint32
hash_flow(int32 member_or_ws, int32 ring, const uint64 *spec)
{
	uint32		h = murmurhash32((uint32) member_or_ws * 31 + (uint32) ring);

	return h ^ (uint32) spec[0];
}

static uint32
hash_flow_id(int32 db, int32 id)
{
	return murmurhash32((uint32) id ^ (uint32) (db << 24));
}

int32
fs_sched_workspace_find(int32 db, const char *name)
{
	int32		w = fs_workspace_hash[hash_name(db, name) & fs_workspace_mask];

	while (w != FS_NONE &&
		   (fs_workspaces[w].db != db || strcmp(fs_workspaces[w].name, name) != 0))
		w = fs_workspaces[w].next;
	return w;
}

/* fs_sched_workspace_add: name is new and at most FS_NAME_LEN bytes long. */
int32
fs_sched_workspace_add(int32 db, const char *name, const FsWorkspaceSettings *set)
{
	FsWorkspace *ws;
	int32		w;
	uint32		bucket = hash_name(db, name) & fs_workspace_mask;

	if (fs->workspaces.free_head == FS_NONE)
		fs_sched_reclaim(db);
	FS_POOL_TAKE(fs->workspaces, fs_workspaces, w);
	if (w == FS_NONE)
		return FS_NONE;
	ws = &fs_workspaces[w];
	memset(ws, 0, sizeof(FsWorkspace));
	ws->db = db;
	strlcpy(ws->name, name, sizeof(ws->name));
	ws->set = *set;
	ws->shares = FS_NONE;
	ws->capped_next = FS_NONE;
	ws->next = fs_workspace_hash[bucket];
	fs_workspace_hash[bucket] = w;
	if (set->paused)
	{
		ws->parked = FS_PARK_PAUSED;
		ws->parked_since = GetCurrentTimestamp();
	}
	return w;
}

int32
fs_sched_lane_find(int32 db, const char *name)
{
	int32		l = fs_dbs[db].lanes;

	while (l != FS_NONE && strcmp(fs_lanes[l].name, name) != 0)
		l = fs_lanes[l].next;
	return l;
}

/* fs_sched_caps_subset: both are sorted lists of NUL-terminated names. */
bool
fs_sched_caps_subset(const char *need, int need_len, const char *have, int have_len)
{
	const char *h = have;

	for (const char *n = need; n < need + need_len; n += strlen(n) + 1)
	{
		while (h < have + have_len && strcmp(h, n) < 0)
			h += strlen(h) + 1;
		if (h >= have + have_len || strcmp(h, n) != 0)
			return false;
	}
	return true;
}

/* fs_sched_ring_get: find or make the ring, and its lane. */
int32
fs_sched_ring_get(int32 db, const char *lane, const char *caps, int caps_len)
{
	FsDatabase *d = &fs_dbs[db];
	int32		l = fs_sched_lane_find(db, lane);
	int32		r;

	if (l == FS_NONE)
	{
		FS_POOL_TAKE(fs->lanes, fs_lanes, l);
		if (l == FS_NONE)
			return FS_NONE;
		memset(&fs_lanes[l], 0, sizeof(FsLane));
		fs_lanes[l].db = db;
		fs_lanes[l].round = 1;
		fs_lanes[l].rings = FS_NONE;
		strlcpy(fs_lanes[l].name, lane, sizeof(fs_lanes[l].name));
		fs_lanes[l].next = d->lanes;
		d->lanes = l;
		d->rings_gen++;
	}
	for (r = fs_lanes[l].rings; r != FS_NONE; r = fs_rings[r].lane_next)
		if (fs_rings[r].caps_len == caps_len && memcmp(fs_rings[r].caps, caps, caps_len) == 0)
			return r;

	if (fs->rings.free_head == FS_NONE)
		fs_sched_reclaim(db);
	FS_POOL_TAKE(fs->rings, fs_rings, r);
	if (r == FS_NONE)
		return FS_NONE;
	memset(&fs_rings[r], 0, sizeof(FsRing));
	fs_rings[r].db = db;
	fs_rings[r].lane = l;
	fs_rings[r].root = RINGHEAP_NONE;
	fs_rings[r].caps_len = caps_len;
	memcpy(fs_rings[r].caps, caps, caps_len);
	fs_rings[r].lane_next = fs_lanes[l].rings;
	fs_lanes[l].rings = r;
	d->rings_gen++;
	return r;
}

/* ---------- shares, members, flows ---------- */

static int32
share_get(int32 workspace, int32 lane)
{
	FsWorkspace *ws = &fs_workspaces[workspace];
	int32		s;

	for (s = ws->shares; s != FS_NONE; s = fs_shares[s].next)
		if (fs_shares[s].lane == lane)
			return s;
	FS_POOL_TAKE(fs->shares, fs_shares, s);
	if (s == FS_NONE)
		return FS_NONE;
	memset(&fs_shares[s], 0, sizeof(FsShare));
	fs_shares[s].workspace = workspace;
	fs_shares[s].lane = lane;
	fs_shares[s].members = FS_NONE;
	fs_shares[s].drr.quantum = ws->set.quantum;
	fs_shares[s].next = ws->shares;
	ws->shares = s;
	return s;
}

static int32
member_get(int32 workspace, int32 ring)
{
	int32		s = share_get(workspace, fs_rings[ring].lane);
	int32		m;

	if (s == FS_NONE)
		return FS_NONE;
	for (m = fs_shares[s].members; m != FS_NONE; m = fs_members[m].next)
		if (fs_members[m].ring == ring)
			return m;
	FS_POOL_TAKE(fs->members, fs_members, m);
	if (m == FS_NONE)
		return FS_NONE;
	memset(&fs_members[m], 0, sizeof(FsMember));
	fs_members[m].share = s;
	fs_members[m].ring = ring;
	for (int i = 0; i < FS_RANKS; i++)
		fs_members[m].heads[i] = FS_NONE;
	fs_members[m].next = fs_shares[s].members;
	fs_shares[s].members = m;
	fs_rings[ring].members++;
	memset(&fs_nodes[m], 0, sizeof(RingNode));
	return m;
}

int32
fs_sched_flow_by_id(int32 db, int32 id)
{
	int32		f = fs_flow_id_hash[hash_flow_id(db, id) & fs_flow_mask];

	while (f != FS_NONE &&
		   (fs_flows[f].id != id || fs_workspaces[FsWorkspaceOfFlow(f)].db != db))
		f = fs_flows[f].id_next;
	return f;
}

static int32
flow_find(int32 workspace, int32 ring, const uint64 *spec, bool overflow)
{
	int32		f = fs_flow_hash[hash_flow(workspace, overflow ? -1 : ring, spec) & fs_flow_mask];

	for (; f != FS_NONE; f = fs_flows[f].next)
	{
		FsFlow	   *flow = &fs_flows[f];

		if (flow->spec[0] != spec[0] || flow->spec[1] != spec[1] ||
			(flow->id < 0) != overflow || FsWorkspaceOfFlow(f) != workspace)
			continue;
		if (overflow ? fs_shares[FsShareOfFlow(f)].lane == fs_rings[ring].lane
			: fs_members[flow->member].ring == ring)
			return f;
	}
	return FS_NONE;
}

static int32
flow_make(int32 workspace, int32 ring, const uint64 *spec, int32 id)
{
	int32		db = fs_workspaces[workspace].db;
	int32		m;
	int32		f;
	uint32		bucket;

	m = member_get(workspace, ring);
	if (m == FS_NONE)
		return FS_NONE;
	FS_POOL_TAKE(fs->flows, fs_flows, f);
	if (f == FS_NONE)
		return FS_NONE;
	memset(&fs_flows[f], 0, sizeof(FsFlow));
	fs_flows[f].id = id;
	fs_flows[f].member = m;
	fs_flows[f].spec[0] = spec[0];
	fs_flows[f].spec[1] = spec[1];
	fs_flows[f].list_slot = -1;
	fs_members[m].flows++;
	bucket = hash_flow(workspace, id < 0 ? -1 : ring, spec) & fs_flow_mask;
	fs_flows[f].next = fs_flow_hash[bucket];
	fs_flow_hash[bucket] = f;
	bucket = hash_flow_id(db, id) & fs_flow_mask;
	fs_flows[f].id_next = fs_flow_id_hash[bucket];
	fs_flow_id_hash[bucket] = f;
	return f;
}

/*
 * fs_sched_flow_get: the flow of jobs alike, made when new.  Beyond
 * fairsched.max_flows only what is left for overflow flows remains: FS_NONE
 * then, and the caller asks for the overflow flow.
 */
int32
fs_sched_flow_get(int32 workspace, int32 ring, const uint64 *spec)
{
	FsDatabase *d = &fs_dbs[fs_workspaces[workspace].db];
	int32		f = flow_find(workspace, ring, spec, false);
	int			limit = fs_max_flows > 0 ? fs_max_flows : fs->flows.capacity - fs_max_workspaces / 8;

	if (f != FS_NONE)
		return f;
	if (fs->flows.used >= limit)
	{
		fs_workspaces[workspace].refs++;
		fs_rings[ring].members++;
		fs_sched_reclaim(FsDbIndex(d));
		fs_rings[ring].members--;
		fs_workspaces[workspace].refs--;
		if (fs->flows.used >= limit)
			return FS_NONE;
	}
	return flow_make(workspace, ring, spec, ++d->next_flow);
}

/* fs_sched_flow_overflow: one flow of a workspace and lane for all that is beyond the limit. */
int32
fs_sched_flow_overflow(int32 workspace, int32 ring)
{
	FsDatabase *d = &fs_dbs[fs_workspaces[workspace].db];
	static const uint64 spec[2] = {0, 0};
	int32		f = flow_find(workspace, ring, spec, true);

	return f != FS_NONE ? f : flow_make(workspace, ring, spec, -(++d->next_flow));
}

/* fs_sched_flow_adopt: a flow that rows carry and memory does not know (rebuild). */
int32
fs_sched_flow_adopt(int32 workspace, int32 ring, const uint64 *spec, int32 id)
{
	FsDatabase *d = &fs_dbs[fs_workspaces[workspace].db];
	int32		f = fs_sched_flow_by_id(FsDbIndex(d), id);

	if (f != FS_NONE)
		return f;
	d->next_flow = Max(d->next_flow, abs(id));
	return flow_make(workspace, ring, spec, id);
}

/* fs_sched_flow_move: an overflow flow follows its head to the ring that can serve it. */
void
fs_sched_flow_move(int32 flow, int32 ring)
{
	FsFlow	   *f = &fs_flows[flow];
	int32		old = f->member;
	int32		m = member_get(FsWorkspaceOfFlow(flow), ring);
	int			slot = f->list_slot;
	uint8		more = f->more;

	if (m == FS_NONE || m == old)
		return;
	f->more = 0;
	f->cand_count = 0;
	flow_relink(flow);
	f->member = m;
	fs_members[old].flows--;
	fs_members[m].flows++;
	f->more = more;
	(void) slot;
	flow_relink(flow);
}

static void
unchain(int32 *head, int32 what, char *array, Size size, Size link)
{
	while (*head != what)
		head = (int32 *) (array + (Size) *head * size + link);
	*head = *(int32 *) (array + (Size) what * size + link);
}

#define UNCHAIN(head, what, array, type, field) \
	unchain(&(head), what, (char *) (array), sizeof(type), offsetof(type, field))

static void
flow_free(int32 f)
{
	FsFlow	   *flow = &fs_flows[f];
	int32		w = FsWorkspaceOfFlow(f);
	int32		ring = fs_members[flow->member].ring;

	UNCHAIN(fs_flow_hash[hash_flow(w, flow->id < 0 ? -1 : ring, flow->spec) & fs_flow_mask],
			f, fs_flows, FsFlow, next);
	UNCHAIN(fs_flow_id_hash[hash_flow_id(fs_workspaces[w].db, flow->id) & fs_flow_mask],
			f, fs_flows, FsFlow, id_next);
	fs_members[flow->member].flows--;
	flow->member = FS_NONE;
	FS_POOL_GIVE(fs->flows, fs_flows, f);
}

static void
member_free(int32 m)
{
	FsMember   *member = &fs_members[m];

	UNCHAIN(fs_shares[member->share].members, m, fs_members, FsMember, next);
	fs_rings[member->ring].members--;
	member->share = FS_NONE;
	FS_POOL_GIVE(fs->members, fs_members, m);
}

static void
share_free(int32 s)
{
	UNCHAIN(fs_workspaces[fs_shares[s].workspace].shares, s, fs_shares, FsShare, next);
	fs_shares[s].workspace = FS_NONE;
	FS_POOL_GIVE(fs->shares, fs_shares, s);
}

static void
workspace_free(int32 w)
{
	FsWorkspace *ws = &fs_workspaces[w];

	UNCHAIN(fs_workspace_hash[hash_name(ws->db, ws->name) & fs_workspace_mask],
			w, fs_workspaces, FsWorkspace, next);
	ws->db = FS_NONE;
	FS_POOL_GIVE(fs->workspaces, fs_workspaces, w);
}

static void
ring_free(int32 r)
{
	UNCHAIN(fs_lanes[fs_rings[r].lane].rings, r, fs_rings, FsRing, lane_next);
	fs_dbs[fs_rings[r].db].rings_gen++;
	fs_rings[r].db = FS_NONE;
	FS_POOL_GIVE(fs->rings, fs_rings, r);
}

/*
 * fs_sched_reclaim: give back what holds nothing: flows without ready jobs,
 * leases or open transactions; members, shares and workspaces left empty
 * (a share in debt is kept: debt outlives an empty queue); unused rings.
 * Returns how many flows it freed.  O(everything): only when a pool is full.
 */
int
fs_sched_reclaim(int32 db)
{
	int			freed = 0;

	if (fs->counting_db == db)
		return 0;				/* the count refers to what is there */
	for (int f = 0; f < fs->flows.capacity; f++)
	{
		FsFlow	   *flow = &fs_flows[f];

		if (flow->member == FS_NONE || flow->more || flow->cand_count ||
			flow->refs || flow->running || flow->filling)
			continue;
		if (fs_workspaces[FsWorkspaceOfFlow(f)].db != db)
			continue;
		flow_free(f);
		freed++;
	}
	for (int m = 0; m < fs->members.capacity; m++)
		if (fs_members[m].share != FS_NONE && fs_members[m].flows == 0 &&
			fs_rings[fs_members[m].ring].db == db)
			member_free(m);
	for (int s = 0; s < fs->shares.capacity; s++)
	{
		FsShare    *share = &fs_shares[s];

		if (share->workspace != FS_NONE && share->members == FS_NONE &&
			share->drr.deficit >= 0 && fs_workspaces[share->workspace].db == db &&
			fs_workspaces[share->workspace].running == 0)
			share_free(s);
	}
	for (int w = 0; w < fs->workspaces.capacity; w++)
	{
		FsWorkspace *ws = &fs_workspaces[w];

		if (ws->db == db && ws->shares == FS_NONE && ws->refs == 0 && ws->running == 0 &&
			ws->reserved == 0 && ws->waiting == 0 && ws->parked != FS_PARK_MOVING &&
			fs_dbs[db].counted)
			workspace_free(w);
	}
	for (int r = 0; r < fs->rings.capacity; r++)
		if (fs_rings[r].db == db && fs_rings[r].members == 0)
			ring_free(r);
	return freed;
}

/* fs_sched_sweep: everything of a database whose extension is gone. */
void
fs_sched_sweep(int32 db)
{
	for (int f = 0; f < fs->flows.capacity; f++)
		if (fs_flows[f].member != FS_NONE && fs_workspaces[FsWorkspaceOfFlow(f)].db == db)
			flow_free(f);
	for (int m = 0; m < fs->members.capacity; m++)
		if (fs_members[m].share != FS_NONE && fs_rings[fs_members[m].ring].db == db)
			member_free(m);
	for (int s = 0; s < fs->shares.capacity; s++)
		if (fs_shares[s].workspace != FS_NONE && fs_workspaces[fs_shares[s].workspace].db == db)
			share_free(s);
	for (int w = 0; w < fs->workspaces.capacity; w++)
		if (fs_workspaces[w].db == db)
			workspace_free(w);
	for (int r = 0; r < fs->rings.capacity; r++)
		if (fs_rings[r].db == db)
			ring_free(r);
	for (int l = 0; l < fs->lanes.capacity; l++)
		if (fs_lanes[l].db == db)
		{
			fs_lanes[l].db = FS_NONE;
			FS_POOL_GIVE(fs->lanes, fs_lanes, l);
		}
	for (int w = 0; w < fs->workers.capacity; w++)
		if (fs_workers[w].db == db)
		{
			fs_workers[w].db = FS_NONE;
			FS_POOL_GIVE(fs->workers, fs_workers, w);
		}
	fs_dbs[db].lanes = FS_NONE;
	fs_dbs[db].capped = FS_NONE;
}

/* ---------- ready lists and rings ---------- */

/* The most urgent slot in which a flow has something, or -1. */
static int
flow_slot(const FsFlow *f)
{
	uint32		mask = f->more;

	if (f->cand_count)
		mask |= 1u << f->cand_slot;
	for (int i = 0; i < FS_RANKS; i++)
		if (mask & (1u << i))
			return i;
	return -1;
}

static int
member_slot(const FsMember *m)
{
	for (int i = 0; i < FS_RANKS; i++)
		if (m->heads[i] != FS_NONE)
			return i;
	return -1;
}

/* The head's cost if it is known, else the least a job can cost. */
static int32
flow_head_cost(const FsFlow *f)
{
	if (f->cand_count && f->cand_slot == f->list_slot)
		return f->cand[f->cand_head].cost;
	return 1;
}

static void
list_link(int32 f, int slot)
{
	FsMember   *m = &fs_members[fs_flows[f].member];
	int32		head = m->heads[slot];

	fs_flows[f].list_slot = slot;
	if (head == FS_NONE)
	{
		m->heads[slot] = fs_flows[f].list_next = fs_flows[f].list_prev = f;
		return;
	}
	fs_flows[f].list_next = head;
	fs_flows[f].list_prev = fs_flows[head].list_prev;
	fs_flows[fs_flows[head].list_prev].list_next = f;
	fs_flows[head].list_prev = f;
}

static void
list_unlink(int32 f)
{
	FsFlow	   *flow = &fs_flows[f];
	FsMember   *m = &fs_members[flow->member];

	if (flow->list_next == f)
		m->heads[flow->list_slot] = FS_NONE;
	else
	{
		if (m->heads[flow->list_slot] == f)
			m->heads[flow->list_slot] = flow->list_next;
		fs_flows[flow->list_next].list_prev = flow->list_prev;
		fs_flows[flow->list_prev].list_next = flow->list_next;
	}
	flow->list_slot = -1;
}

/* After a change of what a flow has ready: its list, its member's place. */
static void
flow_relink(int32 f)
{
	int			slot = flow_slot(&fs_flows[f]);

	if (slot != fs_flows[f].list_slot)
	{
		if (fs_flows[f].list_slot >= 0)
			list_unlink(f);
		if (slot >= 0)
			list_link(f, slot);
	}
	member_rekey(fs_flows[f].member);
}

/* A share that waits in a ring for a costly head has received the quanta of the rounds that passed. */
static void
share_settle(FsShare *share)
{
	uint64		round = fs_lanes[share->lane].round;

	if (share->active == 0 || share->drr.round + 1 >= round)
		return;
	for (int32 m = share->members; m != FS_NONE; m = fs_members[m].next)
		if (fs_nodes[m].linked && fs_nodes[m].round >= round)
		{
			drr_grant_until(&share->drr, round - 1);
			return;
		}
}

static void
member_leave(int32 m, bool emptied)
{
	FsShare    *share = &fs_shares[fs_members[m].share];
	FsRing	   *ring = &fs_rings[fs_members[m].ring];

	share_settle(share);
	ringheap_remove(fs_nodes, &ring->root, m);
	ring->active--;
	if (--share->active == 0 && emptied)
		drr_empty(&share->drr);
}

/* Put a member where its head's cost says; out of the ring when it has nothing to give. */
static void
member_rekey(int32 m)
{
	FsMember   *member = &fs_members[m];
	FsShare    *share = &fs_shares[member->share];
	FsLane	   *lane = &fs_lanes[share->lane];
	FsRing	   *ring = &fs_rings[member->ring];
	RingNode   *node = &fs_nodes[m];
	bool		parked = fs_workspaces[share->workspace].parked != FS_PARK_NONE;
	int			slot = member_slot(member);
	uint64		key;

	if (slot < 0 || parked)
	{
		if (node->linked)
			member_leave(m, !parked);
		else if (slot < 0 && share->active == 0 && parked)
		{
			/* emptied while parked: it hoards nothing */
			bool		any = false;

			for (int32 o = share->members; o != FS_NONE; o = fs_members[o].next)
				any |= member_slot(&fs_members[o]) >= 0;
			if (!any)
				drr_empty(&share->drr);
		}
		return;
	}
	if (!node->linked)
	{
		if (share->active == 0)
		{
			drr_join(&share->drr, lane->round);
			drr_resume(&share->drr, lane->round, flow_head_cost(&fs_flows[member->heads[slot]]));
		}
		else
			share_settle(share);
		node->stamp = ++lane->stamps;
		node->round = drr_key(&share->drr, flow_head_cost(&fs_flows[member->heads[slot]]));
		ringheap_insert(fs_nodes, &ring->root, m);
		ring->active++;
		share->active++;
		return;
	}
	share_settle(share);
	key = drr_key(&share->drr, flow_head_cost(&fs_flows[member->heads[slot]]));
	if (key != node->round)
	{
		ringheap_remove(fs_nodes, &ring->root, m);
		node->round = key;
		ringheap_insert(fs_nodes, &ring->root, m);
	}
}

static void
share_rekey(int32 s)
{
	for (int32 m = fs_shares[s].members; m != FS_NONE; m = fs_members[m].next)
		member_rekey(m);
}

static void
workspace_rekey(int32 w)
{
	for (int32 s = fs_workspaces[w].shares; s != FS_NONE; s = fs_shares[s].next)
		share_rekey(s);
}

/* ---------- settings, ceilings, parking ---------- */

int32
fs_sched_ceiling(const FsWorkspace *ws)
{
	if (ws->set.max_running >= 0)
		return ws->set.max_running;
	return ws->set.quota_class == FS_QUOTA_ENTERPRISE ? fs_dbs[ws->db].enterprise_quota
		: fs_dbs[ws->db].default_quota;
}

/* The most a workspace may hold while others want workers, or INT_MAX. */
static int32
share_cap(const FsDatabase *d)
{
	if (d->live_slots < 2)
		return INT_MAX;
	return Max(1, (int32) (d->workspace_share * d->live_slots));
}

void
fs_sched_park(int32 w, FsPark why)
{
	FsWorkspace *ws = &fs_workspaces[w];

	if (ws->parked == FS_PARK_NONE)
		ws->parked_since = GetCurrentTimestamp();
	if (why == FS_PARK_SHARE && ws->parked != FS_PARK_SHARE)
	{
		ws->capped_next = fs_dbs[ws->db].capped;
		fs_dbs[ws->db].capped = w;
	}
	else if (why != FS_PARK_SHARE && ws->parked == FS_PARK_SHARE)
		UNCHAIN(fs_dbs[ws->db].capped, w, fs_workspaces, FsWorkspace, capped_next);
	ws->parked = why;
	workspace_rekey(w);
}

static void
unpark(int32 w)
{
	FsWorkspace *ws = &fs_workspaces[w];

	if (ws->parked == FS_PARK_SHARE)
		UNCHAIN(fs_dbs[ws->db].capped, w, fs_workspaces, FsWorkspace, capped_next);
	ws->parked = FS_PARK_NONE;
	ws->parked_since = 0;
	workspace_rekey(w);
}

/* fs_sched_unpark_if_fits: called when something changed that may lift a refusal. */
void
fs_sched_unpark_if_fits(int32 w)
{
	FsWorkspace *ws = &fs_workspaces[w];

	switch (ws->parked)
	{
		case FS_PARK_NONE:
		case FS_PARK_MOVING:
			break;
		case FS_PARK_PAUSED:
			if (!ws->set.paused)
				unpark(w);
			break;
		case FS_PARK_CEILING:
			if (ws->running < fs_sched_ceiling(ws))
				unpark(w);
			break;
		case FS_PARK_SHARE:
			if (ws->running < share_cap(&fs_dbs[ws->db]))
				unpark(w);
			break;
	}
}

/* fs_sched_slot_freed: one running job of the workspace fewer. */
void
fs_sched_slot_freed(int32 w)
{
	fs_workspaces[w].running--;
	fs_dbs[fs_workspaces[w].db].running--;
	fs_sched_unpark_if_fits(w);
}

/*
 * fs_sched_forget: the rows of a workspace are gone.  What memory has of it
 * goes too, as far as nothing refers to it.
 */
void
fs_sched_forget(int32 w)
{
	FsWorkspace *ws = &fs_workspaces[w];
	bool		counting = fs->counting_db == ws->db;

	memset(ws->ready, 0, sizeof(ws->ready));
	ws->waiting = 0;
	for (int f = 0; f < fs->flows.capacity; f++)
	{
		FsFlow	   *flow = &fs_flows[f];

		if (flow->member == FS_NONE || FsWorkspaceOfFlow(f) != w)
			continue;
		flow->more = 0;
		flow->cand_count = 0;
		flow_relink(f);
		if (!counting && flow->refs == 0 && flow->running == 0 && !flow->filling)
			flow_free(f);
	}
	if (counting)
		return;
	for (int32 s = ws->shares, next_share; s != FS_NONE; s = next_share)
	{
		next_share = fs_shares[s].next;
		for (int32 m = fs_shares[s].members, next; m != FS_NONE; m = next)
		{
			next = fs_members[m].next;
			if (fs_members[m].flows == 0)
				member_free(m);
		}
		if (fs_shares[s].members == FS_NONE)
			share_free(s);
	}
	if (ws->shares == FS_NONE && ws->refs == 0 && ws->running == 0 && ws->parked != FS_PARK_SHARE)
		workspace_free(w);
}

/* fs_sched_apply_settings: take effect on the existing backlog at once. */
void
fs_sched_apply_settings(int32 w, const FsWorkspaceSettings *set)
{
	FsWorkspace *ws = &fs_workspaces[w];
	bool		table_changed = ws->set.job_table != set->job_table;

	for (int32 s = ws->shares; s != FS_NONE; s = fs_shares[s].next)
	{
		share_settle(&fs_shares[s]);
		fs_shares[s].drr.quantum = set->quantum;
	}
	ws->set = *set;
	if (table_changed)
	{
		/* what was known of places is void: look from the start of the new table */
		for (int32 s = ws->shares; s != FS_NONE; s = fs_shares[s].next)
			for (int32 m = fs_shares[s].members; m != FS_NONE; m = fs_members[m].next)
				for (int f = 0; f < fs->flows.capacity; f++)
					if (fs_flows[f].member == m)
					{
						FsFlow	   *flow = &fs_flows[f];

						if (flow->cand_count)
							flow->more |= 1u << flow->cand_slot;
						flow->cand_count = 0;
						flow->fill_min = 0;
						for (int i = 0; i < FS_RANKS; i++)
							flow->cursor[i] = 0;
						flow_relink(f);
					}
	}
	if (set->paused && ws->parked != FS_PARK_MOVING)
		fs_sched_park(w, FS_PARK_PAUSED);
	else
		fs_sched_unpark_if_fits(w);
	workspace_rekey(w);
}

/* Every workspace of the database whose refusal may be void now. O(workspaces): settings only. */
static void
unpark_all_that_fit(int32 db)
{
	for (int w = 0; w < fs->workspaces.capacity; w++)
		if (fs_workspaces[w].db == db)
			fs_sched_unpark_if_fits(w);
}

void
fs_sched_set_quotas(FsDatabase *d, int32 dflt, int32 enterprise, double share)
{
	if (d->default_quota == dflt && d->enterprise_quota == enterprise &&
		d->workspace_share == share)
		return;
	d->default_quota = dflt;
	d->enterprise_quota = enterprise;
	d->workspace_share = share;
	unpark_all_that_fit(FsDbIndex(d));
}

/* fs_sched_refresh_slots: what live workers declared. O(workers): on a change or a time-out. */
void
fs_sched_refresh_slots(FsDatabase *d, TimestampTz now)
{
	int32		db = FsDbIndex(d);
	int32		slots = 0;
	TimestampTz until = DT_NOEND;

	for (int i = 0; i < fs->workers.capacity; i++)
	{
		FsWorker   *w = &fs_workers[i];
		TimestampTz dies;

		if (w->db != db || !w->declared)
			continue;
		dies = w->last_seen + FsMsToUsec(fs_worker_timeout);
		if (dies > now)
		{
			slots += w->slots;
			until = Min(until, dies);
		}
	}
	d->slots_until = until;
	if (slots != d->live_slots)
	{
		d->live_slots = slots;
		for (int32 w = d->capped, next; w != FS_NONE; w = next)
		{
			next = fs_workspaces[w].capped_next;
			fs_sched_unpark_if_fits(w);
		}
	}
}

/* ---------- hints ---------- */

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
	flow_relink(flow);
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
		(!f->cand_count && flow_slot(f) >= 0 && flow_slot(f) < slot))
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
	flow_relink(flow);
}

/* fs_sched_has_work: may a claim of this kind find something? Never false wrongly. */
bool
fs_sched_has_work(int32 db, const FsEligible *e)
{
	if (fs_dbs[db].drained)
		return false;
	for (int i = 0; i < e->nrings; i++)
		if (fs_rings[e->rings[i]].root != RINGHEAP_NONE)
			return true;
	return fs_dbs[db].capped != FS_NONE;
}

/* ---------- choosing ---------- */

static bool
ring_eligible(const FsEligible *e, int32 ring)
{
	for (int i = 0; i < e->nrings; i++)
		if (e->rings[i] == ring)
			return true;
	return false;
}

/* fs_sched_gifts_left: slots of this workspace that the call may take over. */
int
fs_sched_gifts_left(const FsEligible *e, int32 workspace)
{
	int			n = 0;

	for (int i = 0; i < e->ngifts; i++)
		if (e->gifts[i] != FS_NONE && fs_leases[e->gifts[i]].workspace == workspace)
			n++;
	return n;
}

/* fs_sched_offer_gifts: workspaces with slots to pass on rejoin the ring for this call. */
void
fs_sched_offer_gifts(const FsEligible *e)
{
	for (int i = 0; i < e->ngifts; i++)
	{
		int32		w;

		if (e->gifts[i] == FS_NONE)
			continue;
		w = fs_leases[e->gifts[i]].workspace;
		if (fs_workspaces[w].parked == FS_PARK_CEILING || fs_workspaces[w].parked == FS_PARK_SHARE)
			unpark(w);
	}
}

/* The member that is due first over all rings of a lane that the claimer may serve. */
static int32
first_in_lane(const FsEligible *e, int32 lane)
{
	uint64		floor = fs_lanes[lane].round;
	int32		best = FS_NONE;
	uint64		best_round = 0;

	for (int i = 0; i < e->nrings; i++)
	{
		FsRing	   *ring = &fs_rings[e->rings[i]];
		uint64		round;

		if (ring->lane != lane || ring->root == RINGHEAP_NONE)
			continue;
		round = Max(fs_nodes[ring->root].round, floor);
		if (best == FS_NONE || round < best_round ||
			(round == best_round && ringheap_before(&fs_nodes[ring->root], &fs_nodes[best])))
		{
			best = ring->root;
			best_round = round;
		}
	}
	return best;
}

/* Lanes take turns: the one with work that was served longest ago. */
static int32
first_member(const FsEligible *e)
{
	int32		best = FS_NONE;
	uint64		best_at = 0;

	for (int i = 0; i < e->nlanes; i++)
	{
		FsLane	   *lane = &fs_lanes[e->lanes[i]];

		if (best == FS_NONE || lane->served_at < best_at)
		{
			int32		m = first_in_lane(e, e->lanes[i]);

			if (m != FS_NONE)
			{
				best = m;
				best_at = lane->served_at;
			}
		}
	}
	return best;
}

/* Where a share is in several rings: the most urgent head that is due; rings take turns. */
static int32
best_member_of_share(const FsEligible *e, int32 member, uint64 due)
{
	int32		best = member;
	int			best_slot = member_slot(&fs_members[member]);

	for (int32 m = fs_shares[fs_members[member].share].members; m != FS_NONE; m = fs_members[m].next)
	{
		int			slot;
		FsFlow	   *a;

		if (m == best || !fs_nodes[m].linked || fs_nodes[m].round > due ||
			!ring_eligible(e, fs_members[m].ring))
			continue;
		slot = member_slot(&fs_members[m]);
		if (slot > best_slot)
			continue;
		a = &fs_flows[fs_members[m].heads[slot]];
		if (a->cand_count && drr_key(&fs_shares[fs_members[m].share].drr, flow_head_cost(a)) > due)
			continue;
		if (slot < best_slot || fs_members[m].served < fs_members[best].served)
		{
			best = m;
			best_slot = slot;
		}
	}
	return best;
}

/*
 * fs_sched_pick: decide the next job and charge it.
 *
 * On FS_PICK_TAKE the workspace's slot is counted and its cost charged; the
 * caller makes the lease in the same critical section.  On FS_PICK_FILL the
 * flow is marked as being scanned by the caller, who must call fs_sched_filled
 * or fs_sched_fill_abandoned.
 */
FsPick
fs_sched_pick(int32 db, const FsEligible *e, int *visits, int32 *flow, int *slot,
			  FsCandidate *cand)
{
	FsDatabase *d = &fs_dbs[db];
	bool		beyond_share = false;

	if (d->drained)
		return FS_PICK_NOTHING;
	for (;;)
	{
		int32		m = first_member(e);
		FsMember   *member;
		FsShare    *share;
		FsLane	   *lane;
		FsWorkspace *ws;
		FsFlow	   *f;
		uint64		due;
		uint64		key;
		bool		lagging;
		int			s;

		if (m == FS_NONE)
		{
			/* nobody else is admissible, so the cap on a workspace's share is void */
			if (beyond_share || d->capped == FS_NONE)
				return FS_PICK_NOTHING;
			beyond_share = true;
			while (d->capped != FS_NONE)
				unpark(d->capped);
			continue;
		}
		if (++*visits > fs_max_visits)
			return FS_PICK_TIRED;

		share = &fs_shares[fs_members[m].share];
		lane = &fs_lanes[share->lane];
		ws = &fs_workspaces[share->workspace];
		if (ws->running >= fs_sched_ceiling(ws) &&
			ws->running - fs_sched_gifts_left(e, share->workspace) >= fs_sched_ceiling(ws))
		{
			fs_sched_park(share->workspace, FS_PARK_CEILING);
			continue;
		}
		if (!beyond_share && ws->running >= share_cap(d) &&
			ws->running - fs_sched_gifts_left(e, share->workspace) >= share_cap(d))
		{
			fs_sched_park(share->workspace, FS_PARK_SHARE);
			continue;
		}

		due = Max(fs_nodes[m].round, lane->round);
		lagging = fs_nodes[m].round < lane->round;
		if (lagging)
		{
			share_settle(share);
			drr_join(&share->drr, due);
		}
		m = best_member_of_share(e, m, due);
		member = &fs_members[m];
		s = member_slot(member);
		f = &fs_flows[member->heads[s]];

		if (f->cand_count == 0 || f->cand_slot != s)
		{
			*flow = member->heads[s];
			*slot = s;
			if (f->filling)
				return FS_PICK_WAIT;
			if (f->cand_count)
			{
				int64		first = f->cand[f->cand_head].position;

				truncate_candidates(f, first);
			}
			f->filling = true;
			f->fill_min = PG_INT64_MAX;
			return FS_PICK_FILL;
		}

		if (lagging)
			drr_resume(&share->drr, due, flow_head_cost(f));
		key = drr_key(&share->drr, flow_head_cost(f));
		if (key > due)
		{
			/* served through another ring meanwhile, or dearer than thought */
			ringheap_remove(fs_nodes, &fs_rings[member->ring].root, m);
			fs_nodes[m].round = key;
			ringheap_insert(fs_nodes, &fs_rings[member->ring].root, m);
			continue;
		}

		drr_grant_until(&share->drr, key);
		lane->round = Max(lane->round, due);
		lane->served_at = ++d->serve_clock;

		*flow = member->heads[s];
		*slot = s;
		*cand = f->cand[f->cand_head];
		f->cand_head++;
		f->cand_count--;
		drr_charge(&share->drr, cand->cost);
		ws->running++;
		d->running++;
		member->heads[s] = f->list_next;	/* flows of a class take turns */
		member->served = d->serve_clock;
		flow_relink(*flow);
		if (share->active > 1)
			share_rekey(fs_members[m].share);
		return FS_PICK_TAKE;
	}
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
	flow_relink(flow);
}

void
fs_sched_fill_abandoned(int32 flow)
{
	fs_flows[flow].filling = false;
}

/* fs_sched_refund: a claim came to nothing. */
void
fs_sched_refund(int32 s, int32 cost)
{
	share_settle(&fs_shares[s]);
	drr_refund(&fs_shares[s].drr, cost);
	if (fs_shares[s].active == 0)
	{
		bool		any = false;

		for (int32 m = fs_shares[s].members; m != FS_NONE; m = fs_members[m].next)
			any |= member_slot(&fs_members[m]) >= 0;
		if (!any)
			drr_empty(&fs_shares[s].drr);
	}
	share_rekey(s);
}
