/*
 * preempt_candidates.c
 *		The rules of preemption, and running jobs that may make room by them.
 *
 * Leases are copied under fs->lock, a piece at a time; the choice is made
 * without it, on the copies (victim.c).  A job that ended meanwhile is not asked:
 * the request names its token.
 */
#include "preempt_policy.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "amount.h"
#include "text.h"

PG_FUNCTION_INFO_V1(fs_preemption_candidates);

#define LOOK			1024	/* leases looked at while the lock is held */

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

/* fs_preempt_rules: those in force, the highest threshold first. */
FsPreemptRule *
fs_preempt_rules(int *n)
{
	MemoryContext mine = CurrentMemoryContext;
	FsPreemptRule *p;

	fs_spi_begin();
	*n = fs_spi("SELECT resource, threshold, preempts, waiting, max_jobs, ordering, "
				"coalesce(on_exhausted, current_setting('fairsched.preemption_on_exhausted')) "
				"FROM fairsched.preemption_policies WHERE enabled "
				"ORDER BY threshold DESC, resource", 0, NULL, NULL, NULL);
	p = MemoryContextAlloc(mine, sizeof(FsPreemptRule) * (*n + 1));
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

/*
 * Take a lease in where its job is one of these classes, holds the resource, ran
 * long enough, and was not asked. owner_of: place among the owners by workspace, -1:
 * none yet. fs->lock held; there is room for one more.
 */
static void
consider(FsPreemptCandidates *cs, int *owner_of, const FsLease *lease, FsResource r, uint32 classes, TimestampTz now)
{
	const FsWorkspace *ws = &fs_workspaces[lease->workspace];
	int			cls = FsSlotClass(lease->rank_slot);
	TimestampTz ripe_at = lease->claimed_at + FsMsToUsec(fs_preemption_min_runtime);
	Victim	   *v = &cs->v[cs->n];
	FsPreemptCandidate *c = &cs->c[cs->n];

	/* its worker may be answering, but not for ever */
	if (lease->directive == FS_PREEMPT &&
		(lease->state == FS_LEASE_ACTIVE ||
		 (lease->state == FS_LEASE_ENDING && now < lease->revoke_at + FsMsToUsec(fs_preemption_grace))))
		cs->coming += lease->held.amount[r];
	if (lease->state != FS_LEASE_ACTIVE || lease->directive != FS_CONTINUE || !(classes & (1u << cls)))
		return;
	if (ripe_at > now)
	{
		cs->ripe_at = Min(cs->ripe_at, ripe_at);
		return;
	}
	if (owner_of[lease->workspace] < 0)
	{
		cs->owners[cs->nowners].held = ws->held[r];
		cs->owners[cs->nowners].weight = ws->set.weight;
		owner_of[lease->workspace] = cs->nowners++;
	}
	v->job_id = lease->job_id;
	v->cls = cls;
	v->owner = owner_of[lease->workspace];
	v->amount = lease->held.amount[r];
	v->lost = now - Max(lease->claimed_at, lease->saved_at);
	v->chosen = false;
	c->token = lease->token;
	c->workspace = lease->workspace;
	c->claimed_at = lease->claimed_at;
	strcpy(c->name, ws->name);
	cs->n++;
}

/* fs_preempt_collect: jobs of these classes that hold the resource, ran long enough, and were not asked. */
FsPreemptCandidates *
fs_preempt_collect(FsDatabase *db, FsResource r, uint32 classes, TimestampTz now)
{
	FsPreemptCandidates *cs = palloc0(sizeof(FsPreemptCandidates));
	int			room = 64;
	int			owner_room = 64;
	int		   *owner_of = palloc(sizeof(int) * fs->workspaces.capacity);

	for (int i = 0; i < fs->workspaces.capacity; i++)
		owner_of[i] = -1;
	cs->ripe_at = DT_NOEND;
	cs->v = palloc(sizeof(Victim) * room);
	cs->c = palloc(sizeof(FsPreemptCandidate) * room);
	cs->owners = palloc(sizeof(VictimOwner) * owner_room);
	for (int from = 0; from < fs->leases.capacity; from += LOOK)
	{
		if (cs->n + LOOK > room)
		{
			room = cs->n + LOOK + room;
			cs->v = repalloc_huge(cs->v, sizeof(Victim) * room);
			cs->c = repalloc_huge(cs->c, sizeof(FsPreemptCandidate) * room);
		}
		if (cs->nowners + LOOK > owner_room)
		{
			owner_room = cs->nowners + LOOK + owner_room;
			cs->owners = repalloc_huge(cs->owners, sizeof(VictimOwner) * owner_room);
		}
		FsLockShared();
		for (int l = from; l < Min(from + LOOK, fs->leases.capacity); l++)
			if (fs_leases[l].db == FsDbIndex(db) && fs_leases[l].held.amount[r] != 0 &&
				(fs_leases[l].held.mask & FsResourceBit(r)))
				consider(cs, owner_of, &fs_leases[l], r, classes, now);
		FsUnlock();
		CHECK_FOR_INTERRUPTS();
	}
	pfree(owner_of);
	return cs;
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
	FsPreemptRule *policies;
	int			n;
	FsPreemptCandidates *cs;

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
	policies = fs_preempt_rules(&n);
	for (int i = n - 1; i >= 0; i--)
		if (policies[i].resource == r)
		{
			classes |= policies[i].preempts;
			order = policies[i].order;
		}
	cs = fs_preempt_collect(db, r, classes, now);
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
