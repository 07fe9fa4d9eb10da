/*
 * preempt_policy.c
 *		Which running jobs make room for which waiting ones, and when they go on.
 *
 * An evaluation looks at flows that wait for a resource of the fleet, at the use
 * of that resource, and at the rules of fairsched.preemption_policies; one rule
 * acts.  Then it asks as many jobs as it takes to make the room that the most
 * urgent of the flows needs, and keeps that room for it (capacity.c).  What was
 * asked and did not answer yet counts as room that is coming, so evaluating twice
 * asks nobody twice over.
 *
 * Going on has hysteresis: the use was 5 points below the threshold for
 * fairsched.preemption_resume_after, the job fits below the threshold, and nobody
 * more urgent waits for the resource.  Strictly lower classes make room, room is
 * kept, nobody is asked before fairsched.preemption_min_runtime: so nothing goes
 * to and fro.
 *
 * Leases are copied under fs->lock, a piece at a time; the choice is made
 * without it, on the copies (victim.c).  A job that ended meanwhile is not asked:
 * the request names its token.
 */
#include "preempt.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "amount.h"
#include "admit.h"
#include "capacity.h"
#include "claim.h"
#include "held.h"
#include "hints.h"
#include "ws_limits.h"
#include "ring.h"
#include "requeue.h"
#include "roomwait.h"
#include "text.h"
#include "victim.h"

PG_FUNCTION_INFO_V1(fs_preemption_candidates);

#define HYSTERESIS		5.0		/* points below the threshold before jobs are resumed */
#define DEFAULT_THRESHOLD 80.0	/* of a request that names a resource and no threshold */
#define LOOK			1024	/* leases looked at while the lock is held */
#define AGAIN_AFTER		(100 * INT64CONST(1000))	/* usec, where somebody else evaluates */

typedef struct Policy
{
	FsResource	resource;
	double		threshold;		/* percent */
	uint32		preempts;		/* bits of classes */
	uint32		waiting;
	int			max_jobs;
	VictimOrder order;
	FsExhausted on_exhausted;
} Policy;

typedef struct Candidate
{
	int64		token;
	int32		workspace;		/* pool index, as of the copy */
	TimestampTz claimed_at;
	char		name[FS_NAME_LEN + 1];
} Candidate;

typedef struct Candidates
{
	int			n;
	Victim	   *v;
	Candidate  *c;				/* by the same index */
	int			nowners;
	VictimOwner *owners;
	int64		coming;			/* held by jobs that were asked already */
	TimestampTz ripe_at;		/* when another job will have run long enough */
} Candidates;

/* ---------- the rules ---------- */

static uint32
class_bits(Datum array)
{
	Datum	   *elems;
	int			n;
	uint32		bits = 0;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elems, NULL, &n);
	for (int i = 0; i < n; i++)
		bits |= 1u << fs_text_priority(elems[i]);
	return bits;
}

/* Rules in force, the highest threshold first. */
static Policy *
read_policies(int *n)
{
	MemoryContext mine = CurrentMemoryContext;
	Policy	   *p;

	fs_spi_begin();
	*n = fs_spi("SELECT resource, threshold, preempts, waiting, max_jobs, ordering, "
				"coalesce(on_exhausted, current_setting('fairsched.preemption_on_exhausted')) "
				"FROM fairsched.preemption_policies WHERE enabled "
				"ORDER BY threshold DESC, resource", 0, NULL, NULL, NULL);
	p = MemoryContextAlloc(mine, sizeof(Policy) * (*n + 1));
	for (int i = 0; i < *n; i++)
	{
		HeapTuple	t = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		p[i].resource = fs_resource_by_name(SPI_getvalue(t, desc, 1));
		p[i].threshold = DatumGetFloat8(SPI_getbinval(t, desc, 2, &isnull));
		p[i].preempts = class_bits(SPI_getbinval(t, desc, 3, &isnull));
		p[i].waiting = class_bits(SPI_getbinval(t, desc, 4, &isnull));
		p[i].max_jobs = DatumGetInt32(SPI_getbinval(t, desc, 5, &isnull));
		p[i].order = strcmp(SPI_getvalue(t, desc, 6), "loss") == 0 ? VICTIM_BY_LOSS : VICTIM_BY_SHARE;
		p[i].on_exhausted = strcmp(SPI_getvalue(t, desc, 7), "discard") == 0 ? FS_EXHAUSTED_DISCARD
			: FS_EXHAUSTED_RUN;
	}
	fs_spi_end();
	return p;
}

/* ---------- candidates ---------- */

/* Jobs of these classes that hold the resource, ran long enough, and were not asked. */
static Candidates *
collect(FsDatabase *db, FsResource r, uint32 classes, TimestampTz now)
{
	Candidates *cs = palloc0(sizeof(Candidates));
	int			room = 64;
	int			owner_room = 64;
	int		   *owner_of = palloc(sizeof(int) * fs->workspaces.capacity);
	int32		slot = FsDbIndex(db);

	for (int i = 0; i < fs->workspaces.capacity; i++)
		owner_of[i] = -1;
	cs->ripe_at = DT_NOEND;
	cs->v = palloc(sizeof(Victim) * room);
	cs->c = palloc(sizeof(Candidate) * room);
	cs->owners = palloc(sizeof(VictimOwner) * owner_room);
	for (int from = 0; from < fs->leases.capacity; from += LOOK)
	{
		if (cs->n + LOOK > room)
		{
			room = cs->n + LOOK + room;
			cs->v = repalloc_huge(cs->v, sizeof(Victim) * room);
			cs->c = repalloc_huge(cs->c, sizeof(Candidate) * room);
		}
		if (cs->nowners + LOOK > owner_room)
		{
			owner_room = cs->nowners + LOOK + owner_room;
			cs->owners = repalloc_huge(cs->owners, sizeof(VictimOwner) * owner_room);
		}
		FsLockShared();
		for (int l = from; l < Min(from + LOOK, fs->leases.capacity); l++)
		{
			FsLease    *lease = &fs_leases[l];
			FsWorkspace *ws;
			int			cls;

			if (lease->db != slot || lease->held.amount[r] == 0 || !(lease->held.mask & FsResourceBit(r)))
				continue;
			/* its worker may be answering, but not for ever */
			if (lease->directive == FS_PREEMPT &&
				(lease->state == FS_LEASE_ACTIVE ||
				 (lease->state == FS_LEASE_ENDING && now < lease->revoke_at + FsMsToUsec(fs_preemption_grace))))
				cs->coming += lease->held.amount[r];
			if (lease->state != FS_LEASE_ACTIVE)
				continue;
			cls = FsSlotClass(lease->rank_slot);
			if (lease->directive != FS_CONTINUE || !(classes & (1u << cls)))
				continue;
			if (lease->claimed_at + FsMsToUsec(fs_preemption_min_runtime) > now)
			{
				cs->ripe_at = Min(cs->ripe_at, lease->claimed_at + FsMsToUsec(fs_preemption_min_runtime));
				continue;
			}
			ws = &fs_workspaces[lease->workspace];
			if (owner_of[lease->workspace] < 0)
			{
				cs->owners[cs->nowners].held = ws->held[r];
				cs->owners[cs->nowners].weight = ws->set.weight;
				owner_of[lease->workspace] = cs->nowners++;
			}
			cs->v[cs->n].job_id = lease->job_id;
			cs->v[cs->n].cls = cls;
			cs->v[cs->n].owner = owner_of[lease->workspace];
			cs->v[cs->n].amount = lease->held.amount[r];
			cs->v[cs->n].lost = now - Max(lease->claimed_at, lease->saved_at);
			cs->v[cs->n].chosen = false;
			cs->c[cs->n].token = lease->token;
			cs->c[cs->n].workspace = lease->workspace;
			cs->c[cs->n].claimed_at = lease->claimed_at;
			strcpy(cs->c[cs->n].name, ws->name);
			cs->n++;
		}
		FsUnlock();
		CHECK_FOR_INTERRUPTS();
	}
	pfree(owner_of);
	return cs;
}

/* ---------- who waits ---------- */

/*
 * What memory knows of the queue of a parked flow is as old as its last claim: its
 * head may have been cancelled.  Read the index again, slot by slot, until
 * there is a job; a flow without one waits for nothing.
 */
static void
look_again(FsDatabase *db, int32 flow, int32 flow_id)
{
	FsFlow	   *f = &fs_flows[flow];

	for (int slot = 0; slot < FS_RANKS; slot++)
	{
		bool		look = false;
		bool		gone;

		FsLock();
		gone = f->member == FS_NONE || f->id != flow_id || f->why.park != FS_PARK_CAPACITY || f->filling;
		if (!gone && fs_sched_flow_head(f, slot) != PG_INT64_MAX)
		{
			look = true;
			fs_sched_ready_many(flow, slot, fs_sched_flow_head(f, slot));
			fs_sched_fill_begin(flow, slot);
		}
		FsUnlock();
		if (gone)
			return;
		if (!look)
			continue;
		fs_claim_fill(db, flow, slot);
		FsLockShared();
		gone = fs_sched_flow_candidate(f, slot) >= 0;
		FsUnlock();
		if (gone)
			return;
	}
	FsLock();
	if (f->member != FS_NONE && f->id == flow_id && f->why.park == FS_PARK_CAPACITY &&
		fs_sched_flow_slot(f) < 0)
		fs_admit_lift(flow);
	FsUnlock();
}

/* ---------- evaluation ---------- */

/* What waits for the fleet. */
typedef struct Waiter
{
	int32		flow;			/* FS_NONE: nobody */
	int32		id;				/* of the flow */
	int			cls;
	FsNeeds		needs;
	int64		free;			/* of the resource it lacks; less than 0 while others hold too much */
} Waiter;

/*
 * The first flow of the most urgent of these classes that lacks this resource
 * and needs at most so much.
 * Memory may be wrong about a flow, so the one that is found is looked at, and
 * the next one if nothing waits there: nobody is asked for a job that is gone,
 * however many waited.  Each round either ends it or takes one flow off the list.
 */
static Waiter
find_waiter(FsDatabase *db, FsResource r, uint32 classes, int64 most, TimestampTz now)
{
	Waiter		w = {.flow = FS_NONE};
	int32		looked_at = FS_NONE;
	int32		id = 0;

	for (;;)
	{
		FsLock();
		w.flow = fs_room_first(db, r, classes, most, now, &w.cls);
		if (w.flow != FS_NONE && fs_workspaces[FsWorkspaceOfFlow(w.flow)].parked != FS_PARK_NONE)
		{
			/* held up by something else: it does not wait for the fleet */
			fs_admit_lift(w.flow);
			FsUnlock();
			continue;
		}
		/* an overflow flow is another with each head: claims see to it */
		if (w.flow == FS_NONE || fs_flows[w.flow].id < 0 ||
			(w.flow == looked_at && fs_flows[w.flow].id == id))
			break;
		looked_at = w.flow;
		id = fs_flows[w.flow].id;
		FsUnlock();
		look_again(db, looked_at, id);
		CHECK_FOR_INTERRUPTS();
	}
	if (w.flow != FS_NONE)
	{
		w.id = fs_flows[w.flow].id;
		w.needs = fs_flows[w.flow].needs;
		w.free = fs_capacity_left(db, r, w.flow, w.cls, now);
	}
	FsUnlock();
	return w;
}

/* Room is kept for jobs that may have been cancelled. */
static void
look_at_rooms(FsDatabase *db)
{
	int32		flows[FS_ROOMS];
	int32		ids[FS_ROOMS];
	int			n = 0;

	FsLockShared();
	for (int i = 0; i < db->nrooms; i++)
	{
		flows[n] = fs_capacity_room_owner(db, i);
		if (flows[n] != FS_NONE && fs_flows[flows[n]].id >= 0)
		{
			ids[n] = fs_flows[flows[n]].id;
			n++;
		}
	}
	FsUnlock();
	for (int i = 0; i < n; i++)
		look_again(db, flows[i], ids[i]);
}

/* What all candidates hold, and those who were asked. */
static int64
held_by_all(const Candidates *cs)
{
	int64		sum = cs->coming;

	for (int i = 0; i < cs->n; i++)
		sum += cs->v[i].amount;
	return sum;
}

/*
 * For whom a rule can make room, by asking whom: the first of the most urgent
 * class for which there is enough. One who needs more than all of them hold is
 * passed over for the next who does not. *ripe_at: when there may be more.
 */
static Waiter
find_whom_to_help(FsDatabase *db, const Policy *p, Candidates **candidates, TimestampTz now, TimestampTz *ripe_at)
{
	uint32		classes = p->waiting;
	Waiter		w;

	*ripe_at = DT_NOEND;
	for (;;)
	{
		Candidates *cs;
		int			cls;

		w = find_waiter(db, p->resource, classes, PG_INT64_MAX, now);
		cls = w.cls;
		if (w.flow == FS_NONE)
			return w;
		/* strictly lower classes than its own */
		*candidates = cs = collect(db, p->resource, p->preempts & ~((2u << cls) - 1), now);
		if (victim_enough(cs->v, cs->n, w.needs.amount[p->resource] - w.free - cs->coming))
			return w;
		*ripe_at = Min(*ripe_at, cs->ripe_at);
		w = find_waiter(db, p->resource, 1u << cls, w.free + held_by_all(cs), now);
		if (w.flow != FS_NONE &&
			victim_enough(cs->v, cs->n, w.needs.amount[p->resource] - w.free - cs->coming))
			return w;
		classes &= ~((2u << cls) - 1);
	}
}

/* Let one rule act; returns how many jobs were asked, -1 when it does not apply. */
static int
apply(FsDatabase *db, const Policy *p, const char *reason, TimestampTz now)
{
	FsPreemptRequest q = {.reason = reason, .resource = FsResourceNames[p->resource],
	.threshold = p->threshold, .on_exhausted = p->on_exhausted};
	TimestampTz ripe_at;
	Waiter		w;
	Candidates *cs = NULL;
	int64		lacking;
	bool		kept = false;
	int			asked = 0;

	FsLockShared();
	q.utilisation = fs_capacity_percent(db, p->resource);
	FsUnlock();
	if (q.utilisation < p->threshold)
		return -1;
	w = find_whom_to_help(db, p, &cs, now, &ripe_at);
	if (w.flow == FS_NONE)
	{
		/* it would be for nothing; perhaps not when others have run long enough */
		if (ripe_at != DT_NOEND)
		{
			FsLock();
			db->pressed |= strcmp(reason, "high_priority_job") == 0;
			fs_preempt_wake(db, ripe_at);
			FsUnlock();
		}
		return -1;
	}
	lacking = w.needs.amount[p->resource] - w.free - cs->coming;
	if (lacking > 0)
	{
		FsLock();
		if (fs_flows[w.flow].member != FS_NONE && fs_flows[w.flow].id == w.id)
			kept = fs_capacity_keep(db, w.flow, w.cls, &w.needs,
									now + FsMsToUsec(fs_preemption_grace) + FsMsToUsec(fs_preemption_hold));
		FsUnlock();
		/* what is not kept others would take: it waits until a room is given up */
		if (!kept)
			return 0;
	}
	while (lacking > 0 && asked < p->max_jobs)
	{
		int			i = victim_next(cs->v, cs->n, cs->owners, p->order);
		FsPreemptResult result;

		if (i < 0)
			break;
		q.job_id = cs->v[i].job_id;
		q.token = cs->c[i].token;
		victim_choose(&cs->v[i], cs->owners);
		result = fs_preempt_request(db, &q);
		if (result == FS_PREEMPT_ASKED || result == FS_PREEMPT_DISCARDED)
		{
			lacking -= cs->v[i].amount;
			asked++;
		}
		CHECK_FOR_INTERRUPTS();
	}
	return asked;
}

/* fs_preempt_evaluate: one rule acts, the one of the highest threshold that applies. */
int
fs_preempt_evaluate(FsDatabase *db, bool wait)
{
	TimestampTz now = GetCurrentTimestamp();
	MemoryContext work;
	MemoryContext old;
	const char *reason = "resource_constraint";
	Policy	   *policies;
	int			n;
	int			asked = 0;

	look_at_rooms(db);
	FsLock();
	fs_capacity_forget_rooms(db, now);
	n = db->room_rings != FS_NONE && !db->drained;	/* nobody could claim what is freed */
	FsUnlock();
	if (n == 0)
		return 0;
	/* what another evaluation asks for counts only from its commit on */
	if (!fs_preempt_lock(FS_LOCK_EVALUATE, 0, wait))
	{
		FsLock();
		fs_preempt_wake(db, now + AGAIN_AFTER);
		FsUnlock();
		return 0;
	}
	FsLock();
	if (db->pressed)
		reason = "high_priority_job";
	db->pressed = false;
	FsUnlock();
	work = AllocSetContextCreate(CurrentMemoryContext, "fairsched preemption", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(work);
	policies = read_policies(&n);
	for (int i = 0; i < n; i++)
	{
		asked = apply(db, &policies[i], reason, now);
		if (asked >= 0)
			break;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
	return Max(asked, 0);
}

/* ---------- going on ---------- */

/* What a preempted job needs of a resource; -1: it is not preempted any more. */
static int64
need_of(int64 job_id, FsResource r, int *cls)
{
	FsJobRel   *jr;
	HeapTuple	row = fs_rows_find(job_id, &jr);
	FsNeeds		needs;
	bool		isnull;
	Datum		d;
	int64		need = -1;

	if (row == NULL)
		return -1;
	if (fs_job_state(row) == FS_JOB_PREEMPTED)
	{
		d = heap_getattr(row, FS_COL_RESOURCES + 1, RelationGetDescr(jr->rel), &isnull);
		fs_amount_needs(isnull ? 0 : d, &needs);
		need = needs.amount[r];
		*cls = FsSlotClass(FsRankSlot(FsJob(row)->rank));
	}
	fs_rows_close(jr);
	return need;
}

/* A job that was preempted by a rule, and may go on. */
typedef struct Stopped
{
	int64		id;				/* of the preemption */
	int64		job_id;
	int			resource;
	double		threshold;
	char	   *throttled;		/* the workspace whose throttle stopped it; NULL: the fleet's use did */
} Stopped;

/* Stopped jobs with higher numbers than this, the oldest first. */
static Stopped *
read_stopped(int64 after, int limit, int *n)
{
	MemoryContext mine = CurrentMemoryContext;
	Oid			types[2] = {INT8OID, INT4OID};
	Datum		args[2] = {Int64GetDatum(after), Int32GetDatum(limit)};
	Stopped    *rows;

	fs_spi_begin();
	*n = fs_spi("SELECT preemption_id, job_id, resource, threshold, "
				"CASE WHEN reason = 'quota_exceeded' AND threshold IS NOT NULL THEN workspace END "
				"FROM fairsched.preemption_history WHERE outcome = 'preempted' AND preemption_id > $1 "
				/* a budget may have the name of a resource */
				"AND ((resource IN ('cpu', 'memory', 'gpu') AND reason <> 'budget_exceeded') "
				"OR (reason = 'quota_exceeded' AND threshold IS NOT NULL)) "
				"ORDER BY preemption_id LIMIT $2", 2, types, args, NULL);
	rows = MemoryContextAlloc(mine, sizeof(Stopped) * (*n + 1));
	for (int i = 0; i < *n; i++)
	{
		HeapTuple	t = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		char	   *workspace = SPI_getvalue(t, desc, 5);
		bool		isnull;

		rows[i].id = DatumGetInt64(SPI_getbinval(t, desc, 1, &isnull));
		rows[i].job_id = DatumGetInt64(SPI_getbinval(t, desc, 2, &isnull));
		rows[i].resource = fs_resource_by_name(SPI_getvalue(t, desc, 3));
		rows[i].threshold = DatumGetFloat8(SPI_getbinval(t, desc, 4, &isnull));
		if (isnull)
			rows[i].threshold = DEFAULT_THRESHOLD;
		rows[i].throttled = workspace ? MemoryContextStrdup(mine, workspace) : NULL;
	}
	fs_spi_end();
	return rows;
}

/* May this one, stopped for a resource of the fleet, go on? Sets what it needs, and lowers *next to when to ask again. */
static bool
may_go_on(FsDatabase *db, const Stopped *s, const int64 *resumed, int *awaited, int64 *need,
		  TimestampTz now, TimestampTz *next)
{
	int			r = s->resource;
	int			cls = FS_CLASSES - 1;
	TimestampTz since;
	bool		full;

	FsLockShared();
	/* without a capacity nobody can say that the use has fallen */
	since = db->capacity[r] < 0 ? DT_NOEND : fs_capacity_below_since(db, r, s->threshold - HYSTERESIS);
	/* those that went on a moment ago hold nothing yet, and will */
	since = Max(since, db->resumed_at[r]);
	FsUnlock();
	if (since == DT_NOEND)
		return false;
	*need = need_of(s->job_id, r, &cls);
	if (*need < 0)
		return false;
	if (awaited[r] < 0)
		awaited[r] = find_waiter(db, r, ~0u, PG_INT64_MAX, now).cls;
	FsLockShared();
	full = db->fleet[r] + resumed[r] > 0 &&
		100.0 * (db->fleet[r] + resumed[r] + *need) > s->threshold * db->capacity[r];
	FsUnlock();
	if (full || awaited[r] < cls)
		return false;
	if (since > now - FsMsToUsec(fs_preemption_resume_after))
	{
		*next = Min(*next, since + FsMsToUsec(fs_preemption_resume_after));
		return false;
	}
	return true;
}

/*
 * fs_preempt_resume_due: jobs that were preempted for a resource whose use has
 * fallen, or by a throttle that is over, go back to wait, the oldest first.
 * Those that cannot hold up nobody behind them. Returns when to look again.
 */
TimestampTz
fs_preempt_resume_due(FsDatabase *db, int limit)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = DT_NOEND;
	int64		resumed[FS_FLEET] = {0};
	int			awaited[FS_FLEET] = {-1, -1, -1};	/* the most urgent class that waits */
	int64		after = 0;
	bool		any = false;
	int			done = 0;
	int			n;

	FsLock();
	db->resumable = true;		/* what is given back from here on wakes us */
	FsUnlock();
	do
	{
		MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "fairsched resume", ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(work);
		Stopped    *rows = read_stopped(after, limit, &n);

		for (int i = 0; i < n; i++)
		{
			int64		need = 0;

			any = true;
			after = rows[i].id;
			if (rows[i].throttled)
			{
				TimestampTz ends = fs_preempt_throttle_ends(db, rows[i].throttled, now);

				if (ends > 0)
				{
					next = Min(next, ends);
					continue;
				}
			}
			else if (!may_go_on(db, &rows[i], resumed, awaited, &need, now, &next))
				continue;
			if (done == limit)
			{
				next = now;
				break;
			}
			if (fs_preempt_resume(db, rows[i].job_id, false) == FS_PREEMPT_ASKED)
			{
				done++;
				if (!rows[i].throttled)
					resumed[rows[i].resource] += need;
			}
			CHECK_FOR_INTERRUPTS();
		}
		MemoryContextSwitchTo(old);
		MemoryContextDelete(work);
	} while (n == limit && done < limit);
	FsLock();
	for (int r = 0; r < FS_FLEET; r++)
		if (resumed[r] > 0)
			db->resumed_at[r] = now;
	if (!any)
		db->resumable = false;
	FsUnlock();
	/* what was resumed is claimed now, or not: the others are looked at again then */
	if (any)
		next = Min(next, now + FsMsToUsec(fs_preemption_interval));
	return next;
}

/* ---------- what is seen ---------- */

static FsResource
resource_arg(FunctionCallInfo fcinfo, int n)
{
	int			r = fs_resource_by_name(fs_arg_name(fcinfo, n, "resource"));

	if (r < 0 || r >= FS_FLEET)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the fleet has no such resource"),
				 errhint("Give cpu, memory or gpu.")));
	return r;
}

/* fairsched_preemption_candidates(resource, max_jobs) */
Datum
fs_preemption_candidates(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz now = GetCurrentTimestamp();
	FsDatabase *db;
	FsResource	r;
	int			max_jobs;
	uint32		classes = 0;
	VictimOrder order = VICTIM_BY_SHARE;
	Policy	   *policies;
	int			n;
	Candidates *cs;

	InitMaterializedSRF(fcinfo, 0);
	db = fs_state_ready("fairsched_preemption_candidates()");
	r = resource_arg(fcinfo, 0);
	fs_need_arg(fcinfo, 1, "max_jobs");
	max_jobs = PG_GETARG_INT32(1);
	if (max_jobs < 1 || max_jobs > FS_MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_jobs must be between 1 and %d", FS_MAX_BATCH),
				 errhint("Leave it out for 10.")));
	policies = read_policies(&n);
	for (int i = n - 1; i >= 0; i--)
		if (policies[i].resource == r)
		{
			classes |= policies[i].preempts;
			order = policies[i].order;
		}
	cs = collect(db, r, classes, now);
	for (int k = 0; k < max_jobs; k++)
	{
		int			i = victim_next(cs->v, cs->n, cs->owners, order);
		Datum		out[7];
		bool		nulls[7] = {0};
		Interval   *lost;
		Interval   *ran;

		if (i < 0)
			break;
		lost = palloc0(sizeof(Interval));
		ran = palloc0(sizeof(Interval));
		lost->time = Max(cs->v[i].lost, 0);
		ran->time = Max(now - cs->c[i].claimed_at, 0);
		out[0] = Int64GetDatum(cs->v[i].job_id);
		out[1] = CStringGetTextDatum(cs->c[i].name);
		out[2] = CStringGetTextDatum(FsPriorityNames[cs->v[i].cls]);
		out[3] = fs_amount_datum(cs->v[i].amount);
		out[4] = fs_amount_datum(cs->owners[cs->v[i].owner].held);
		out[5] = IntervalPGetDatum(lost);
		out[6] = IntervalPGetDatum(ran);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, out, nulls);
		victim_choose(&cs->v[i], cs->owners);
		CHECK_FOR_INTERRUPTS();
	}
	return (Datum) 0;
}
