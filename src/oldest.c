/*
 * oldest.c
 *		Since when the oldest ready jobs of workspaces are ready:
 *		workspace_status.oldest_ready_age, fairness.oldest_ready_age, alerts.
 *
 * Memory knows the head of each queue (a flow's jobs of one rank), or from which
 * position on there may be one, not since when it is ready: that is in its row.
 * So this is a walk over the flows, a piece at a time: under fs->lock (shared)
 * the heads are copied; then, without it, their rows are looked at, with a
 * snapshot that is newer than what was copied.  Where the place of the head is
 * known and it still waits there, that is one look at one page.  Else (nobody
 * claimed from the queue lately, or its head was cancelled) the ready index
 * tells, from the known position on.
 *
 * A reader asks for a few workspaces or for all of them, a dashboard twice each
 * second for all.  So what SQL calls is a function of the workspace, evaluated
 * only where the column is selected, that answers the first calls by looking at
 * the flows of this workspace, and then by a walk over all, whose answers it
 * keeps for the statement: 2,000 workspaces cost about 1 µs each, and no lock of
 * their own.
 */
#include "oldest.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "flows.h"
#include "ring.h"
#include "rows.h"
#include "softclaim.h"
#include "views.h"

#define PIECE_FLOWS	512			/* looked at while the lock is held */
#define PIECE_HEADS	32			/* of these, copied */
#define PROBES		4096		/* rows looked at for one head: running jobs
								 * before it */
#define SINGLE_CALLS 64			/* in a statement, before all workspaces are
								 * looked at */
#define SINGLE_FLOWS 64			/* of one workspace; of more it is looked for
								 * among all flows */
#define KEEP_FOR	USECS_PER_SEC	/* answers for all workspaces */

/* The head of one queue. */
typedef struct FsHead
{
	int32		workspace;
	char		name[FS_NAME_LEN + 1];
	int32		job_table;
	int32		flow;			/* its id */
	int			slot;
	int64		from;			/* its position, or the lowest that it can
								 * have */
	int64		gap;			/* how far apart the flow's positions are; 0:
								 * not known */
	Oid			relfile;		/* InvalidOid: its place is not known */
	ItemPointerData tid;
} FsHead;

/* A job table that is open, and the heads that are looked up in it. */
typedef struct FsHeadRead
{
	FsIndexRead r;				/* r.rel NULL: none; r.scan NULL: the index
								 * was not needed yet */
	const FsTable *table;
	int32		job_table;
	BlockNumber blocks;
} FsHeadRead;

/* ---------- the rows ---------- */

static void
table_release(FsHeadRead *t)
{
	if (t->r.scan != NULL)
		fs_view_index_end(&t->r);
	if (t->r.rel != NULL)
		table_close(t->r.rel, AccessShareLock);
	t->r.scan = NULL;
	t->r.rel = NULL;
}

/* Open a job table unless it is; false: there is none. */
static bool
table_use(FsHeadRead *t, int32 job_table)
{
	if (t->r.rel != NULL && t->job_table == job_table)
		return true;
	table_release(t);
	t->r.rel = fs_view_open_table(job_table, &t->table);
	if (t->r.rel == NULL)
		return false;
	t->job_table = job_table;
	t->blocks = RelationGetNumberOfBlocks(t->r.rel);
	return true;
}

/* Does a row wait, as far as its state and soft claims tell? */
static bool
waits(HeapTuple tuple)
{
	return fs_job_state(tuple) == FS_JOB_AVAILABLE && fs_soft_attempt(FsJob(tuple)->job_id) == 0;
}

/* The row at the place of the head, if it is still what memory says. */
static bool
since_by_place(FsHeadRead *t, const FsHead *head, TimestampTz *since)
{
	HeapTupleData tuple;
	Buffer		buf;
	bool		found;

	if (head->relfile == InvalidOid || head->relfile != FsRelFile(t->r.rel) ||
		ItemPointerGetBlockNumber(&head->tid) >= t->blocks)
		return false;
	tuple.t_self = head->tid;
	if (!heap_fetch(t->r.rel, GetActiveSnapshot(), &tuple, &buf, false))
		return false;
	found = FsJob(&tuple)->position == head->from && waits(&tuple);
	if (found)
		*since = FsJob(&tuple)->run_at;
	ReleaseBuffer(buf);
	return found;
}

/*
 * The first row of the queue that waits.
 *
 * An index scan reads all matching entries of a leaf page before it gives the
 * first one back, and there are hundreds.  So it looks into a window of a few
 * first, then into a wider one, and only then at all.
 */
static TimestampTz
since_by_index(FsHeadRead *t, const FsHead *head)
{
	const int64 width[] = {head->gap > 0 ? 4 * head->gap : FsPosition(32, 0), FsPosition(4096, 0), 0};
	ScanKeyData keys[4];
	HeapTuple	tuple;
	int64		from = head->from;
	int			probes = 0;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(head->flow));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(FsSlotRank(head->slot)));
	for (int i = 0; i < lengthof(width); i++)
	{
		int64		end = width[i] > 0 && from < PG_INT64_MAX - width[i] ? from + width[i] : PG_INT64_MAX;

		ScanKeyInit(&keys[2], 3, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(from));
		ScanKeyInit(&keys[3], 3, BTLessStrategyNumber, F_INT8LT, Int64GetDatum(end));
		if (t->r.scan != NULL)
			index_rescan(t->r.scan, keys, 4, NULL, 0);
		else
			fs_view_index_begin(&t->r, t->table, FS_INDEX_READY, GetActiveSnapshot(), keys, 4);
		while ((tuple = fs_view_read_next(&t->r)) != NULL)
		{
			if (waits(tuple))
				return FsJob(tuple)->run_at;
			if (++probes == PROBES)
				return FS_SINCE_UNKNOWN;
		}
		from = end;
	}
	return FS_SINCE_NOBODY;
}

/* ---------- the walk ---------- */

/* The heads of a flow; fs->lock held.  Returns how many. */
static int
copy_heads(const FsOldestWalk *walk, int32 f, FsHead *heads)
{
	const FsFlow *flow = &fs_flows[f];
	const FsCandidate *cand = fs_sched_flow_cands(flow);
	int32		w = FsWorkspaceOfFlow(f);
	uint32		seen = 0;
	int			n = 0;

	/*
	 * slots of which candidates are known, then those of which only the index
	 * can tell
	 */
	for (int i = 0; i < flow->cand_count + FS_RANKS; i++)
	{
		bool		placed = i < flow->cand_count;
		int			slot = placed ? cand[i].slot : i - flow->cand_count;
		FsHead	   *head = &heads[n];

		if ((seen & (1u << slot)) || (!placed && !(flow->more & (1u << slot))))
			continue;
		seen |= 1u << slot;
		if (walk->admissible && (flow->refused & (1 << FsSlotClass(slot))))
			continue;
		head->workspace = w;
		strlcpy(head->name, fs_workspaces[w].name, sizeof(head->name));
		head->job_table = fs_workspaces[w].set.job_table;
		head->flow = flow->id;
		head->slot = slot;
		head->gap = flow->gap;
		head->from = placed ? cand[i].position : flow->cursor[slot];
		head->relfile = placed ? cand[i].relfile : InvalidOid;
		if (placed)
			head->tid = cand[i].tid;
		n++;
	}
	return n;
}

/*
 * fs_oldest_walk: tell the caller of each flow that it wants to hear of.  Memory
 * must be built.  May raise; what is open then is closed by the transaction's end.
 */
void
fs_oldest_walk(FsOldestWalk *walk)
{
	FsHead	   *heads = palloc(sizeof(FsHead) * PIECE_HEADS);
	FsHeadRead	t = {0};
	int			total = walk->flows != NULL ? walk->nflows : fs->flows.high;
	int			at = 0;

	while (at < total)
	{
		int			end = Min(at + PIECE_FLOWS, total);
		int			n = 0;
		bool		ours;

		CHECK_FOR_INTERRUPTS();
		FsLockShared();
		ours = fs_view_ours(fs_my_db);
		for (; ours && at < end && n <= PIECE_HEADS - FS_RANKS; at++)
		{
			int32		f = walk->flows != NULL ? walk->flows[at] : at;

			if (fs_flows[f].member != FS_NONE && (fs_flows[f].more || fs_flows[f].cand_count > 0) &&
				!(walk->admissible && fs_flows[f].why.park != FS_PARK_NONE) &&
				fs_workspaces[FsWorkspaceOfFlow(f)].db == fs_my_db && walk->wanted(walk, f))
				n += copy_heads(walk, f, heads + n);
		}
		FsUnlock();
		if (!ours)
			break;
		if (n == 0)
			continue;

		/* memory is ahead of the statement's snapshot */
		fs_push_snapshot();
		for (int i = 0; i < n; i++)
		{
			TimestampTz since = FS_SINCE_NOBODY;

			if (table_use(&t, heads[i].job_table) && !since_by_place(&t, &heads[i], &since))
				since = since_by_index(&t, &heads[i]);
			walk->told(walk, heads[i].workspace, heads[i].name, since);
		}
		/* a scan of the index belongs to the snapshot */
		if (t.r.scan != NULL)
			fs_view_index_end(&t.r);
		t.r.scan = NULL;
		fs_pop_snapshot();
	}
	table_release(&t);
	pfree(heads);
}

/* ---------- fairsched.oldest_ready_age ---------- */

/* What a walk told of one workspace. */
typedef struct FsAge
{
	const char *name;
	uint32		hash;
	char		status;
	bool		asked;			/* its answer was given: another call wants a
								 * new one */
	TimestampTz since;
} FsAge;

#define SH_PREFIX ages
#define SH_ELEMENT_TYPE FsAge
#define SH_KEY_TYPE const char *
#define SH_KEY name
#define SH_HASH_KEY(tb, key) hash_bytes((const unsigned char *) (key), strlen(key))
#define SH_EQUAL(tb, a, b) (strcmp(a, b) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Of one place in one statement (fn_extra). */
typedef struct FsAges
{
	int			singles;		/* calls that were answered one by one */
	ages_hash  *all;			/* NULL: no walk for all yet */
	MemoryContext cxt;			/* of that */
	TimestampTz at;
	Oid			reader;			/* who was found to have the right to it */
} FsAges;

typedef struct FsAgesWalk
{
	int32		workspace;		/* the only one that is asked about; FS_NONE:
								 * all */
	TimestampTz since;			/* of that one */
	ages_hash  *all;			/* of all of them */
	MemoryContext cxt;			/* for their names */
} FsAgesWalk;

static bool
ages_wanted(FsOldestWalk *walk, int32 flow)
{
	const FsAgesWalk *a = walk->extra;

	return a->workspace == FS_NONE || FsWorkspaceOfFlow(flow) == a->workspace;
}

/* The older of two, where FS_SINCE_UNKNOWN comes before everything. */
static void
ages_told(FsOldestWalk *walk, int32 workspace, const char *name, TimestampTz since)
{
	FsAgesWalk *a = walk->extra;
	FsAge	   *age;
	bool		known;

	if (a->all == NULL)
	{
		a->since = Min(a->since, since);
		return;
	}
	age = ages_lookup(a->all, name);
	if (age == NULL)
	{
		age = ages_insert(a->all, MemoryContextStrdup(a->cxt, name), &known);
		age->since = FS_SINCE_NOBODY;
		age->asked = false;
	}
	age->since = Min(age->since, since);
}

/*
 * The flows of a workspace that have something ready, by its lists; fs->lock
 * held.  Returns how many, or -1 when there are too many, or when some are on no
 * list: those of which budgets hold back all classes.
 */
static int
flows_of(int32 w, int32 *flows)
{
	const int32 parked[] = {fs_workspaces[w].parked_flows, fs_workspaces[w].room_flows};
	int			missing = 0;
	int			n = 0;

	for (int32 s = fs_workspaces[w].shares; s != FS_NONE; s = fs_shares[s].next)
		for (int32 m = fs_shares[s].members; m != FS_NONE; m = fs_members[m].next)
		{
			missing += fs_members[m].parked;
			for (int list = 0; list < FS_RANKS; list++)
			{
				int32		first = fs_members[m].heads[list];

				int32		f = first;

				if (first == FS_NONE)
					continue;
				do
				{
					if (n == SINGLE_FLOWS)
						return -1;
					flows[n++] = f;
					f = fs_flows[f].list_next;
				} while (f != first);
			}
		}
	for (int i = 0; i < lengthof(parked); i++)
		for (int32 f = parked[i]; f != FS_NONE; f = fs_flows[f].park_next)
		{
			if (n == SINGLE_FLOWS)
				return -1;
			flows[n++] = f;
			missing -= fs_flows[f].parked_counted;
		}
	return missing == 0 ? n : -1;
}

static TimestampTz
since_of_one(const char *name)
{
	FsAgesWalk	a = {.since = FS_SINCE_NOBODY};
	FsOldestWalk walk = {
		.wanted = ages_wanted,
		.told = ages_told,
		.extra = &a,
	};
	int32		flows[SINGLE_FLOWS];

	FsLockShared();
	a.workspace = fs_view_ours(fs_my_db) ? fs_sched_workspace_find(fs_my_db, name) : FS_NONE;
	if (a.workspace != FS_NONE)
		walk.nflows = flows_of(a.workspace, flows);
	FsUnlock();
	if (a.workspace == FS_NONE)
		return FS_SINCE_NOBODY;
	if (walk.nflows >= 0)
		walk.flows = flows;
	fs_oldest_walk(&walk);
	return a.since;
}

static void
look_at_all(FsAges *ages, MemoryContext parent, TimestampTz now)
{
	FsAgesWalk	a = {.workspace = FS_NONE};
	FsOldestWalk walk = {
		.wanted = ages_wanted,
		.told = ages_told,
		.extra = &a,
	};

	ages->all = NULL;
	if (ages->cxt == NULL)
		ages->cxt = AllocSetContextCreate(parent, "fairsched oldest ready jobs", ALLOCSET_DEFAULT_SIZES);
	else
		MemoryContextReset(ages->cxt);
	a.cxt = ages->cxt;
	a.all = ages_create(ages->cxt, Max(fs->flows.used, 16), NULL);
	fs_oldest_walk(&walk);
	ages->all = a.all;
	ages->at = now;
}

/*
 * fs_view_oldest_ready_age(workspace): how long its oldest ready job has been
 * ready, whether a gate holds it up or not; NULL when nothing is ready, or when
 * it would take more than a bounded number of rows to tell.
 */
PG_FUNCTION_INFO_V1(fs_view_oldest_ready_age);
Datum
fs_view_oldest_ready_age(PG_FUNCTION_ARGS)
{
	FsAges	   *ages = fcinfo->flinfo->fn_extra;
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz since;
	FsAge	   *age = NULL;
	Interval   *result;

	if (ages == NULL)
		ages = fcinfo->flinfo->fn_extra = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(FsAges));
	if (ages->all != NULL && ages->reader == GetUserId() && now - ages->at < KEEP_FOR)
		age = ages_lookup(ages->all, name);
	else
		ages->all = NULL;
	if (ages->all == NULL || (age != NULL && age->asked))
	{
		fs_view_check("workspace_status", "fairness");
		if (fs_view_state("workspace_status") == NULL)
			PG_RETURN_NULL();
		if (ages->singles >= SINGLE_CALLS)
		{
			look_at_all(ages, fcinfo->flinfo->fn_mcxt, now);
			ages->reader = GetUserId();
			age = ages_lookup(ages->all, name);
		}
	}
	if (ages->all == NULL)
	{
		since = since_of_one(name);
		ages->singles++;
	}
	else
	{
		since = age == NULL ? FS_SINCE_NOBODY : age->since;
		if (age != NULL)
			age->asked = true;
	}
	if (since == FS_SINCE_NOBODY || since == FS_SINCE_UNKNOWN)
		PG_RETURN_NULL();
	result = palloc0(sizeof(Interval));
	result->time = Max(GetCurrentStatementStartTimestamp() - since, 0);
	PG_RETURN_INTERVAL_P(result);
}
