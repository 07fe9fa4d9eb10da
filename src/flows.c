/*
 * flows.c
 *		What the scheduler knows: workspaces, lanes, rings, shares, members and
 *		flows, found by name or number, made when new, given back when empty.
 *
 * A flow is all jobs of a workspace, lane and set of required capabilities that
 * are admitted or refused together.  It belongs to a member (its workspace's
 * share in a ring), which is made with it.  When a pool is full, what holds
 * nothing is given back first.
 *
 * Finders only read: fs->lock held.  The others: held exclusively.  Nothing
 * here allocates, waits or raises, so that commit and abort callbacks may call it.
 */
#include "flows.h"

#include "common/hashfn.h"

#include "admit.h"
#include "capacity.h"
#include "budget.h"
#include "fairness.h"
#include "placement.h"
#include "hints.h"
#include "ring.h"
#include "roomwait.h"
#include "recommend_task.h"
#include "stats.h"

/* ---------- names and hashes ---------- */

static uint32
hash_name(int32 db, const char *name)
{
	return hash_bytes((const unsigned char *) name, strlen(name)) ^ (uint32) (db * 0x9e3779b9);
}

static uint32
hash_flow(int32 workspace, uint32 ring_key, const uint64 *spec)
{
	uint32		h = murmurhash32((uint32) workspace * 31 + ring_key);

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
	ws->dwell = FS_NONE;
	ws->holders = FS_NONE;
	ws->next = fs_workspace_hash[bucket];
	fs_workspace_hash[bucket] = w;
	fs_admit_workspace_made(w);
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

/* fs_sched_lane_get: find or make the lane. */
int32
fs_sched_lane_get(int32 db, const char *lane)
{
	FsDatabase *d = &fs_dbs[db];
	int32		l = fs_sched_lane_find(db, lane);

	if (l != FS_NONE)
		return l;
	FS_POOL_TAKE(fs->lanes, fs_lanes, l);
	if (l == FS_NONE)
		return FS_NONE;
	memset(&fs_lanes[l], 0, sizeof(FsLane));
	fs_lanes[l].db = db;
	fs_lanes[l].round = 1;
	fs_lanes[l].rings = FS_NONE;
	fs_lanes[l].holders = FS_NONE;
	strlcpy(fs_lanes[l].name, lane, sizeof(fs_lanes[l].name));
	fs_lanes[l].next = d->lanes;
	d->lanes = l;
	d->rings_gen++;
	fs_stats_lane_made(l);
	fs_recommend_lane_made(l);
	return l;
}

/* The set of these capabilities, with a reference; FS_NONE: no room. */
static int32
caps_get(const char *caps, int len, uint32 hash)
{
	int32	   *bucket = &fs_ring_caps_hash[hash & fs_ring_mask];
	int32		c;

	for (c = *bucket; c != FS_NONE; c = fs_ring_caps[c].next)
		if (fs_ring_caps[c].len == len && memcmp(fs_ring_caps[c].caps, caps, len) == 0)
			break;
	if (c == FS_NONE)
	{
		FS_POOL_TAKE(fs->ring_caps, fs_ring_caps, c);
		if (c == FS_NONE)
			return FS_NONE;
		fs_ring_caps[c].refs = 0;
		fs_ring_caps[c].hash = hash;
		fs_ring_caps[c].len = len;
		memcpy(fs_ring_caps[c].caps, caps, len);
		fs_ring_caps[c].next = *bucket;
		*bucket = c;
	}
	fs_ring_caps[c].refs++;
	return c;
}

static void
caps_unref(int32 c)
{
	if (--fs_ring_caps[c].refs > 0)
		return;
	FS_UNCHAIN(fs_ring_caps_hash[fs_ring_caps[c].hash & fs_ring_mask], c, fs_ring_caps, FsRingCaps, next);
	FS_POOL_GIVE(fs->ring_caps, fs_ring_caps, c);
}

static int32 *
ring_bucket(uint32 key, int32 holders)
{
	return &fs_ring_hash[murmurhash32(key ^ (uint32) holders * 0x9e3779b9) & fs_ring_mask];
}

static int32
ring_find(int32 l, const char *caps, int caps_len, int32 holders, uint32 key)
{
	int32		r = *ring_bucket(key, holders);

	while (r != FS_NONE && (fs_rings[r].lane != l || fs_rings[r].holders != holders ||
							FsCapsOfRing(r)->len != caps_len || memcmp(FsCapsOfRing(r)->caps, caps, caps_len) != 0))
		r = fs_rings[r].next;
	return r;
}

/* The ring of a lane, capabilities and holders; made when new. reclaim: where there is none left, look for some. */
static int32
ring_get(int32 l, const char *caps, int caps_len, int32 holders, bool reclaim)
{
	int32		db = fs_lanes[l].db;
	uint32		hash = hash_bytes((const unsigned char *) caps, caps_len);
	uint32		key = hash ^ (uint32) l * 0x85ebca6b;
	int32	   *bucket = ring_bucket(key, holders);
	int32		r = ring_find(l, caps, caps_len, holders, key);
	int32		c;

	if (r != FS_NONE)
		return r;
	if ((fs->rings.free_head == FS_NONE || fs->ring_caps.free_head == FS_NONE) && reclaim)
		fs_sched_reclaim(db);
	c = caps_get(caps, caps_len, hash);
	if (c == FS_NONE)
		return FS_NONE;
	FS_POOL_TAKE(fs->rings, fs_rings, r);
	if (r == FS_NONE)
	{
		caps_unref(c);
		return FS_NONE;
	}
	memset(&fs_rings[r], 0, sizeof(FsRing));
	fs_rings[r].db = db;
	fs_rings[r].lane = l;
	fs_rings[r].root = fs_rings[r].urgent = RINGHEAP_NONE;
	for (int i = 0; i < FS_FLEET * FS_CLASSES; i++)
		fs_rings[r].room[i / FS_CLASSES][i % FS_CLASSES] = NEEDTREE_NONE;
	fs_rings[r].made_at = GetCurrentTimestamp();
	fs_rings[r].seen = fs_lanes[l].round;
	fs_rings[r].caps = c;
	fs_rings[r].lane_next = fs_lanes[l].rings;
	fs_lanes[l].rings = r;
	fs_rings[r].key = key;
	fs_rings[r].holders = holders;
	if (holders != FS_NONE)
		fs_holders[holders].refs++;
	fs_rings[r].next = *bucket;
	*bucket = r;
	fs_dbs[db].rings_gen++;
	return r;
}

/* fs_sched_ring_get: find or make the ring that jobs of a workspace belong to, and its lane. */
int32
fs_sched_ring_get(int32 workspace, const char *lane, const char *caps, int caps_len)
{
	int32		l = fs_sched_lane_get(fs_workspaces[workspace].db, lane);
	int32		r;

	if (l == FS_NONE)
		return FS_NONE;
	fs_workspaces[workspace].refs++;
	r = ring_get(l, caps, caps_len, fs_workspaces[workspace].holders, true);
	fs_workspaces[workspace].refs--;
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
	fs_shares[s].members = fs_shares[s].home = fs_shares[s].costliest = fs_shares[s].in_step = fs_shares[s].saves_for =
		fs_shares[s].out = FS_NONE;
	fs_shares[s].away = ws->parked != FS_PARK_NONE;
	fs_shares[s].drr.quantum = ws->set.quantum;
	fs_shares[s].next = ws->shares;
	ws->shares = s;
	return s;
}

static int32 *
member_bucket(int32 share, int32 ring)
{
	return &fs_member_hash[murmurhash32((uint32) share * 0x9e3779b9 ^ (uint32) ring) & fs_flow_mask];
}

/* fs_sched_member_find: the share's member in a ring, or FS_NONE. */
int32
fs_sched_member_find(int32 share, int32 ring)
{
	int32		m = *member_bucket(share, ring);

	while (m != FS_NONE && (fs_members[m].share != share || fs_members[m].ring != ring))
		m = fs_members[m].hash_next;
	return m;
}

static void
member_hash(int32 m)
{
	int32	   *bucket = member_bucket(fs_members[m].share, fs_members[m].ring);

	fs_members[m].hash_next = *bucket;
	*bucket = m;
}

static void
member_unhash(int32 m)
{
	FS_UNCHAIN(*member_bucket(fs_members[m].share, fs_members[m].ring), m, fs_members, FsMember, hash_next);
}

static int32
member_get(int32 workspace, int32 ring)
{
	int32		s = share_get(workspace, fs_rings[ring].lane);
	int32		m;

	if (s == FS_NONE)
		return FS_NONE;
	m = fs_sched_member_find(s, ring);
	if (m != FS_NONE)
		return m;
	FS_POOL_TAKE(fs->members, fs_members, m);
	if (m == FS_NONE)
		return FS_NONE;
	memset(&fs_members[m], 0, sizeof(FsMember));
	fs_members[m].share = s;
	fs_members[m].ring = ring;
	for (int i = 0; i < FS_RANKS; i++)
		fs_members[m].heads[i] = FS_NONE;
	for (int i = 0; i < FS_AGING; i++)
		fs_members[m].aging[i] = RINGHEAP_NONE;
	member_hash(m);
	fs_members[m].next = fs_shares[s].members;
	fs_shares[s].members = m;
	fs_shares[s].nmembers++;
	fs_rings[ring].members++;
	fs_dbs[fs_rings[ring].db].members_gen++;
	memset(&fs_nodes[m], 0, sizeof(RingNode));
	memset(&fs_urgent_nodes[m], 0, sizeof(RingNode));
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
	int32		f = fs_flow_hash[hash_flow(workspace, overflow ? 0 : fs_rings[ring].key, spec) & fs_flow_mask];

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
flow_make(int32 workspace, int32 ring, const FsFlowSpec *spec, int32 id)
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
	fs_flows[f].spec[0] = spec->hash[0];
	fs_flows[f].spec[1] = spec->hash[1];
	fs_flows[f].list_slot = -1;
	fs_flows[f].block = FS_NONE;
	memset(&fs_aging_nodes[f * FS_AGING], 0, sizeof(RingNode) * FS_AGING);
	if (!fs_admit_flow_made(f, spec))
	{
		fs_flows[f].member = FS_NONE;
		FS_POOL_GIVE(fs->flows, fs_flows, f);
		return FS_NONE;
	}
	fs_members[m].flows++;
	bucket = hash_flow(workspace, id < 0 ? 0 : fs_rings[ring].key, spec->hash) & fs_flow_mask;
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
fs_sched_flow_get(int32 workspace, int32 ring, const FsFlowSpec *spec)
{
	FsDatabase *d = &fs_dbs[fs_workspaces[workspace].db];
	int32		f = flow_find(workspace, ring, spec->hash, false);
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

	/* what its jobs need is known when its head is (fs_admit_new_head) */
	static const FsFlowSpec spec = {.needs = {.mask = 0}};
	int32		f = flow_find(workspace, ring, spec.hash, true);

	return f != FS_NONE ? f : flow_make(workspace, ring, &spec, -(++d->next_flow));
}

/* fs_sched_flow_adopt: a flow that rows carry and memory does not know (rebuild). */
int32
fs_sched_flow_adopt(int32 workspace, int32 ring, const FsFlowSpec *spec, int32 id)
{
	FsDatabase *d = &fs_dbs[fs_workspaces[workspace].db];
	int32		f = fs_sched_flow_by_id(FsDbIndex(d), id);

	if (f != FS_NONE)
		return f;
	d->next_flow = Max(d->next_flow, abs(id));
	f = flow_make(workspace, ring, spec, id);
	if (f != FS_NONE)
		fs_flows[f].look = 1;	/* what its jobs were before is not known */
	return f;
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
	fs_admit_flow_gone(flow);
	f->more = 0;
	fs_sched_drop_candidates(f);
	fs_sched_flow_relink(flow);
	f->member = m;
	fs_members[old].flows--;
	fs_members[m].flows++;
	f->more = more;
	(void) slot;
	fs_sched_flow_relink(flow);
}

/* ---------- giving back ---------- */

static void
flow_free(int32 f)
{
	FsFlow	   *flow = &fs_flows[f];
	int32		w = FsWorkspaceOfFlow(f);
	int32		ring = fs_members[flow->member].ring;

	fs_admit_flow_gone(f);
	fs_capacity_flow_gone(&fs_dbs[fs_workspaces[w].db], f);
	fs_sched_drop_candidates(flow);
	FS_UNCHAIN(fs_flow_hash[hash_flow(w, flow->id < 0 ? 0 : fs_rings[ring].key, flow->spec) & fs_flow_mask],
			   f, fs_flows, FsFlow, next);
	FS_UNCHAIN(fs_flow_id_hash[hash_flow_id(fs_workspaces[w].db, flow->id) & fs_flow_mask],
			   f, fs_flows, FsFlow, id_next);
	fs_members[flow->member].flows--;
	flow->member = FS_NONE;
	FS_POOL_GIVE(fs->flows, fs_flows, f);
}

static void
member_free(int32 m)
{
	FsMember   *member = &fs_members[m];

	FS_UNCHAIN(fs_shares[member->share].members, m, fs_members, FsMember, next);
	fs_shares[member->share].nmembers--;
	if (member->is_out)
		FS_UNCHAIN(fs_shares[member->share].out, m, fs_members, FsMember, out_next);
	if (fs_shares[member->share].saves_for == m)
		fs_shares[member->share].saves_for = FS_NONE;
	member_unhash(m);
	fs_rings[member->ring].members--;
	fs_dbs[fs_rings[member->ring].db].members_gen++;
	member->share = FS_NONE;
	FS_POOL_GIVE(fs->members, fs_members, m);
}

static void
share_free(int32 s)
{
	FS_UNCHAIN(fs_workspaces[fs_shares[s].workspace].shares, s, fs_shares, FsShare, next);
	fs_shares[s].workspace = FS_NONE;
	FS_POOL_GIVE(fs->shares, fs_shares, s);
}

static void
workspace_free(int32 w)
{
	FsWorkspace *ws = &fs_workspaces[w];

	fs_admit_workspace_gone(w);
	fs_fair_workspace_gone(w);
	fs_holders_unref(ws->holders);
	FS_UNCHAIN(fs_workspace_hash[hash_name(ws->db, ws->name) & fs_workspace_mask],
			   w, fs_workspaces, FsWorkspace, next);
	ws->db = FS_NONE;
	FS_POOL_GIVE(fs->workspaces, fs_workspaces, w);
}

static void
ring_free(int32 r)
{
	FS_UNCHAIN(fs_lanes[fs_rings[r].lane].rings, r, fs_rings, FsRing, lane_next);
	FS_UNCHAIN(*ring_bucket(fs_rings[r].key, fs_rings[r].holders), r, fs_rings, FsRing, next);
	fs_holders_unref(fs_rings[r].holders);
	caps_unref(fs_rings[r].caps);
	fs_dbs[fs_rings[r].db].rings_gen++;
	fs_rings[r].db = FS_NONE;
	FS_POOL_GIVE(fs->rings, fs_rings, r);
}

/* fs_sched_rings_lacking: how many rings are to be made for a workspace to be held by these. */
int
fs_sched_rings_lacking(int32 workspace, int32 holders)
{
	int			n = 0;

	for (int32 s = fs_workspaces[workspace].shares; s != FS_NONE; s = fs_shares[s].next)
		for (int32 m = fs_shares[s].members; m != FS_NONE; m = fs_members[m].next)
		{
			int32		r = fs_members[m].ring;
			const FsRingCaps *caps = FsCapsOfRing(r);

			if (ring_find(fs_rings[r].lane, caps->caps, caps->len, holders, fs_rings[r].key) == FS_NONE)
				n++;
		}
	return n;
}

/*
 * fs_sched_member_place: the member moves to the ring of its lane and
 * capabilities that belongs to these holders.  Its places in the order of
 * service, and all of its share, stay what they are.  False: there is no room
 * for that ring.
 */
bool
fs_sched_member_place(int32 m, int32 holders)
{
	FsMember   *member = &fs_members[m];
	int32		old = member->ring;
	FsRing	   *from = &fs_rings[old];
	int32		r;

	if (from->holders == holders)
		return true;
	r = ring_get(from->lane, FsCapsOfRing(old)->caps, FsCapsOfRing(old)->len, holders, false);
	if (r == FS_NONE)
		return false;
	fs_room_member_moves(m, r);
	member_unhash(m);
	if (fs_nodes[m].linked)
	{
		ringheap_remove(fs_nodes, &from->root, m);
		from->active--;
		fs_fair_left(m);
		member->ring = r;
		member->foreign = (uint32) fs_rings[r].foreign;
		ringheap_insert(fs_nodes, &fs_rings[r].root, m);
		fs_rings[r].active++;
		fs_fair_entered(m);
	}
	if (fs_urgent_nodes[m].linked)
	{
		ringheap_remove(fs_urgent_nodes, &from->urgent, m);
		ringheap_insert(fs_urgent_nodes, &fs_rings[r].urgent, m);
	}
	member->ring = r;
	member_hash(m);
	fs_rings[r].members++;
	fs_dbs[fs_rings[r].db].members_gen++;
	if (--from->members == 0 && from->holders != FS_NONE)
		ring_free(old);
	return true;
}

/* No job of the workspace is ready: what its flows remember of some is over. */
static bool
nothing_ready(const FsWorkspace *ws)
{
	return fs_dbs[ws->db].counted && ws->refs == 0 && ws->reserved == 0 &&
		ws->ready[0] + ws->ready[1] + ws->ready[2] + ws->ready[3] == 0;
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

		if (flow->member == FS_NONE || flow->refs || flow->running || flow->filling)
			continue;
		if (fs_workspaces[FsWorkspaceOfFlow(f)].db != db)
			continue;
		if (flow->more || flow->cand_count)
		{
			/* nobody looks at a parked flow: its jobs may have been cancelled */
			if (!flow->parked_counted || !nothing_ready(&fs_workspaces[FsWorkspaceOfFlow(f)]))
				continue;
			flow->more = 0;
			flow->cand_count = 0;
			fs_sched_flow_relink(f);
		}
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
			drr_debt(&share->drr, fs_lanes[share->lane].round) == 0 &&
			fs_workspaces[share->workspace].db == db &&
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
		flow->ready = 0;
		fs_sched_drop_candidates(flow);
		fs_sched_flow_relink(f);
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
	fs_placement_sweep(db);
	fs_budget_sweep(db);
	fs_limits_sweep(db);
	fs_dbs[db].lanes = FS_NONE;
	fs_dbs[db].capped = FS_NONE;
	fs_dbs[db].wake_root = RINGHEAP_NONE;
}
