/*
 * claimer.c
 *		Who claims: a worker, and which lanes and rings it may serve.
 *
 * What a claimer may serve is remembered from call to call in this backend: it
 * changes only with the arguments or when rings do (FsDatabase.rings_gen).
 * fs->lock is taken by fs_worker_seen and held by who calls fs_claimer_eligible.
 */
#include "claimer.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "flows.h"
#include "lease.h"
#include "park.h"
#include "placement.h"

char *
fs_session_worker(void)
{
	static char name[64] = "";

	if (name[0] == '\0')
		snprintf(name, sizeof(name), "session-%d-" INT64_FORMAT, MyProcPid,
				 (int64) (MyStartTimestamp / 1000));
	return name;
}

int32
fs_worker_seen(FsDatabase *db, const char *name, const char *caps, int caps_len)
{
	static int32 last = FS_NONE;	/* most sessions are one worker */
	TimestampTz now = GetCurrentStatementStartTimestamp();
	FsWorker   *worker;
	int32		w;

	FsLock();
	if (last != FS_NONE && fs_workers[last].db == fs_my_db && strcmp(fs_workers[last].name, name) == 0)
		w = last;
	else
		w = fs_worker_get(fs_my_db, name, now);
	if (w != FS_NONE)
	{
		TimestampTz before;

		worker = &fs_workers[w];
		before = worker->last_seen;
		worker->last_seen = now;
		fs_place_worker_seen(w, now);
		if (!worker->declared && caps)
		{
			memcpy(worker->caps, caps, caps_len);
			worker->caps_len = caps_len;
		}
		if (worker->declared && before + FsMsToUsec(fs_worker_timeout) <= now)
			fs_sched_refresh_slots(db, now);
	}
	FsUnlock();
	if (w == FS_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_FS_CAPACITY),
				 errmsg("too many workers"),
				 errhint("Let sessions share a worker name, or increase fairsched.max_workers (now %d) and restart the server.",
						 fs_max_workers)));
	last = w;
	return w;
}

/* ---------- what a claimer may serve ---------- */

/*
 * Which lanes and rings this claim may serve; fs->lock held.  Remembered from
 * call to call, since it changes only with the arguments or when rings do.
 */
static struct
{
	uint64		gen;
	int32		db;
	Oid			extoid;
	int32		node;
	int			key_len;
	char	   *key;
	FsEligible	e;
	int			lanes_room;
	int			rings_room;
}			memo = {.db = FS_NONE};

/* fs_claimer_is: the lanes and capabilities of the claim that begins. */
void
fs_claimer_is(const FsClaimArgs *a, const char *caps, int caps_len)
{
	Size		len = caps_len + sizeof(int);
	char	   *key;

	for (int i = 0; i < a->nlanes; i++)
		len += strlen(a->lanes[i]) + 1;
	key = MemoryContextAlloc(TopMemoryContext, len);
	memcpy(key, &caps_len, sizeof(int));
	memcpy(key + sizeof(int), caps, caps_len);
	len = sizeof(int) + caps_len;
	for (int i = 0; i < a->nlanes; i++)
	{
		strcpy(key + len, a->lanes[i]);
		len += strlen(a->lanes[i]) + 1;
	}
	if (memo.key && memo.key_len == len && memcmp(memo.key, key, len) == 0)
	{
		pfree(key);
		return;
	}
	if (memo.key)
		pfree(memo.key);
	memo.key = key;
	memo.key_len = len;
	memo.db = FS_NONE;
	if (memo.lanes_room < a->nlanes)
	{
		memo.lanes_room = a->nlanes;
		memo.e.lanes = memo.e.lanes ? repalloc(memo.e.lanes, sizeof(int32) * a->nlanes)
			: MemoryContextAlloc(TopMemoryContext, sizeof(int32) * a->nlanes);
	}
	if (memo.rings_room == 0)
	{
		int32	   *both = MemoryContextAlloc(TopMemoryContext, 2 * sizeof(int32) * FsRingCapacity());

		memo.rings_room = FsRingCapacity();
		memo.e.rings = both;
		memo.e.members = both + memo.rings_room;
		memo.e.may_serve = MemoryContextAllocZero(TopMemoryContext, FsRingCapacity());
	}
}

/* fs_claimer_eligible: fs->lock held; what it returns is good while that is. */
const FsEligible *
fs_claimer_eligible(FsDatabase *db, const FsClaimArgs *a, int32 worker)
{
	int			caps_len;
	const char *caps = memo.key + sizeof(int);
	int32		node = fs_workers[worker].place_node;

	if (memo.db == fs_my_db && memo.extoid == db->extoid && memo.gen == db->rings_gen && memo.node == node)
		return &memo.e;
	memcpy(&caps_len, memo.key, sizeof(int));
	for (int i = 0; i < memo.e.nrings; i++)
		memo.e.may_serve[memo.e.rings[i]] = false;
	memo.e.nlanes = memo.e.nrings = 0;
	memo.e.node = node;
	for (int i = 0; i < a->nlanes && (node == FS_NONE || !fs_place_nodes[node].draining); i++)
	{
		int32		l = fs_sched_lane_find(fs_my_db, a->lanes[i]);
		bool		twice = false;

		for (int j = 0; j < memo.e.nlanes; j++)
			twice |= memo.e.lanes[j] == l;
		if (l == FS_NONE || twice || !fs_holders_serve(fs_lanes[l].holders, node))
			continue;
		memo.e.lanes[memo.e.nlanes++] = l;
		for (int32 r = fs_lanes[l].rings; r != FS_NONE; r = fs_rings[r].lane_next)
			if (fs_holders_serve(fs_rings[r].holders, node) &&
				fs_sched_caps_subset(FsCapsOfRing(r)->caps, FsCapsOfRing(r)->len, caps, caps_len))
			{
				memo.e.may_serve[r] = true;
				memo.e.rings[memo.e.nrings++] = r;
			}
	}
	memo.db = fs_my_db;
	memo.extoid = db->extoid;
	memo.node = node;
	memo.gen = memo.e.gen = db->rings_gen;
	memo.e.choice++;
	return &memo.e;
}

/* fs_claimer_lanes: those that the last claim of this backend could serve. */
int
fs_claimer_lanes(const int32 **lanes)
{
	*lanes = memo.e.lanes;
	return memo.e.nlanes;
}
