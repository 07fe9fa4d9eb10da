/*
 * claim.c
 *		Handing out jobs: fairsched_claim.
 *
 * In one call: under fs->lock the scheduler decides who is next and charges it
 * (pick.c), a lease in state CLAIMING takes the slot; then, without the lock,
 * the rows are marked; then, under the lock again, the leases get their job.
 * A row that is not to be had costs nothing: its lease is given back and the
 * next is picked.  At last the pages of the rows are listed in the claim log,
 * where they are not yet (claimlog.c).
 *
 * Order matters (HOTPATH rule 3): what is read from shared memory was put there
 * by transactions that are visible already, so a snapshot taken afterwards sees
 * their rows.  Ownership is decided by the update of the row, whatever shared
 * memory says; with fairsched.durable_claims = off by the lease and a look at the
 * row after it (softclaim.c).
 *
 * Nothing is awaited while fs->lock is held.  A claimer that needs candidates
 * of a flow that somebody else is scanning waits on db->filled: the workspace
 * is neither empty nor skipped.
 */
#include "claim.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"
#include "aging.h"
#include "claimlog.h"
#include "admit.h"
#include "enqueue.h"
#include "flows.h"
#include "hints.h"
#include "lease.h"
#include "park.h"
#include "placement.h"
#include "pick.h"
#include "rate_book.h"
#include "softclaim.h"
#include "stats.h"
#include "tasks.h"
#include "text.h"
#include "wait.h"

PG_FUNCTION_INFO_V1(fs_claim_jobs);

static uint32 poll_event = 0;	/* wait events */
static uint32 candidates_event = 0;

#define REVISIT_AFTER	(20 * INT64CONST(1000))	/* usec until a locked row is looked at again */

/* ---------- arguments ---------- */

static char **
lane_array(Datum array, int *n)
{
	Datum	   *elems;
	bool	   *nulls;
	char	  **result;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT,
					  &elems, &nulls, n);
	if (*n == 0 || *n > 1000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lanes must name 1 to 1000 lanes"),
				 errhint("Leave the argument out for the lane \"default\".")));
	result = palloc(sizeof(char *) * *n);
	for (int i = 0; i < *n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("lanes must not contain null"),
					 errhint("Leave the argument out for the lane \"default\".")));
		result[i] = fs_text_name(elems[i], "lane");
	}
	return result;
}

void
fs_claim_args(FunctionCallInfo fcinfo, int first, FsClaimArgs *a)
{
	memset(a, 0, sizeof(FsClaimArgs));
	a->worker = PG_ARGISNULL(first) ? fs_session_worker()
		: fs_text_name(PG_GETARG_DATUM(first), "worker");
	fs_need_arg(fcinfo, first + 1, "max_jobs");
	a->max_jobs = PG_GETARG_INT32(first + 1);
	if (a->max_jobs < 1 || a->max_jobs > FS_MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_jobs must be between 1 and %d", FS_MAX_BATCH),
				 errhint("Call fairsched_claim again for more.")));
	fs_need_arg(fcinfo, first + 2, "lease");
	a->lease = fs_interval_usec(PG_GETARG_DATUM(first + 2), "lease", false);
	fs_need_arg(fcinfo, first + 3, "lanes");
	a->lanes = lane_array(PG_GETARG_DATUM(first + 3), &a->nlanes);
	if (!PG_ARGISNULL(first + 4))
	{
		a->caps_given = true;
		a->caps_len = fs_arg_caps(PG_GETARG_DATUM(first + 4), a->caps);
	}
	if (!PG_ARGISNULL(first + 5))
	{
		a->has_request = true;
		a->request = *PG_GETARG_UUID_P(first + 5);
	}
	fs_need_arg(fcinfo, first + 6, "max_wait");
	a->max_wait = fs_interval_usec(PG_GETARG_DATUM(first + 6), "max_wait", true);
	a->max_wait = Min(a->max_wait, FsMsToUsec(fs_max_wait));
}

/* ---------- workers ---------- */

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

static void
make_memo_key(const FsClaimArgs *a, const char *caps, int caps_len)
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
		memo.rings_room = FsRingCapacity();
		memo.e.rings = MemoryContextAlloc(TopMemoryContext, sizeof(int32) * memo.rings_room);
	}
}

static const FsEligible *
eligible(FsDatabase *db, const FsClaimArgs *a, int32 worker)
{
	int			caps_len;
	const char *caps = memo.key + sizeof(int);
	int32		node = fs_workers[worker].place_node;

	if (memo.db == fs_my_db && memo.extoid == db->extoid && memo.gen == db->rings_gen && memo.node == node)
		return &memo.e;
	memcpy(&caps_len, memo.key, sizeof(int));
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
				memo.e.rings[memo.e.nrings++] = r;
	}
	memo.db = fs_my_db;
	memo.extoid = db->extoid;
	memo.node = node;
	memo.gen = memo.e.gen = db->rings_gen;
	return &memo.e;
}

/* ---------- candidates ---------- */

/* fs_claim_fill: scan for a flow's next candidates; the flow is marked as being filled by us. */
void
fs_claim_fill(FsDatabase *db, int32 flow, int slot)
{
	FsFlow	   *f = &fs_flows[flow];
	FsWorkspace *ws = &fs_workspaces[FsWorkspaceOfFlow(flow)];
	FsCandidate found[FS_CANDIDATES];
	int64		jobs[FS_CANDIDATES];
	int64		from = f->cursor[slot];
	int			job_table = ws->set.job_table;
	bool		overflow = f->id < 0;
	bool		look = overflow || f->look > 0;
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
			more |= to != PG_INT64_MAX; /* what is behind the bound was not looked at */
		}
		read = n;
		if (n > 0)
			from = found[n - 1].position + 1;
		if (look)
			n = fs_soft_filter(db, found, jobs, n);
		if (n > 0 || read == 0 || !more)
			break;
		CHECK_FOR_INTERRUPTS();	/* all of them run by soft leases: go on behind them */
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

/* Rows that were locked when a claim came by; fs->lock held. */
static void
revisit(FsDatabase *db, TimestampTz now)
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

static void
revisit_later(FsDatabase *db, int32 flow, int slot, int64 position, TimestampTz now)
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

/* ---------- claiming ---------- */

static void
make_lease(FsDatabase *db, const FsClaimArgs *a, const FsEligible *e, int32 worker,
		   TimestampTz now, int32 flow, int slot, const FsCandidate *cand, int32 l, FsTaken *t)
{
	FsLease    *lease = &fs_leases[l];
	FsFlow	   *f = &fs_flows[flow];
	int32		share = FsShareOfFlow(flow);
	int32		w = fs_shares[share].workspace;

	lease->state = FS_LEASE_CLAIMING;
	lease->workspace = w;
	lease->share = share;
	lease->flow = flow;
	f->running++;
	lease->rank_slot = slot;
	lease->position = cand->position;
	lease->cost = lease->charged = cand->cost;
	lease->advance = db->advance;
	lease->owner = FsMyProcNumber();
	lease->claimed_at = now;
	lease->length = a->lease;
	lease->expires_at = now + a->lease;
	lease->deadline = DT_NOEND;
	lease->job_table = fs_workspaces[w].set.job_table;
	fs_lease_link_worker(l, worker);
	if (a->has_request)
		fs_lease_link_request(l, &a->request);
	/* a slot that a job finished in this call leaves to us, where there is one */
	for (int i = 0; i < e->ngifts; i++)
		if (e->gifts[i] != FS_NONE && fs_leases[e->gifts[i]].workspace == w)
		{
			fs_leases[e->gifts[i]].slot_given = true;
			fs_leases[e->gifts[i]].given_to = l;
			lease->slot_from = e->gifts[i];
			e->gifts[i] = FS_NONE;
			fs_workspaces[w].running--;
			db->running--;
			break;
		}
	fs_admit_charge(l, &f->needs, f->budget_set, lease->slot_from, FS_CHARGE_OPEN | FS_CHARGE_RATE, e->now);
	t->lease = l;
	t->flow_id = f->id;
	t->job_table = lease->job_table;
	t->cand = *cand;
	t->named = false;
	t->result = FS_ROW_GONE;
	t->row = NULL;
	fs_soft_begin(db, l);
	fs_ledger_claim(l, cand);
}

/*
 * Pick up to n jobs.  Scans for candidates on the way; returns how many were
 * taken, and in *pick why no more.
 */
static int
pick_jobs(FsDatabase *db, const FsClaimArgs *a, int32 worker, TimestampTz now, int n,
		  int ngifts, int32 *gifts, int *visits, FsTaken *taken, bool first, FsPick *why)
{
	int			got = 0;
	bool		full = false;

	while (got < n)
	{
		FsEligible	e;
		FsPick		pick = FS_PICK_NOTHING;
		int32		flow = FS_NONE;
		int			slot = 0;
		int32		next_flow;
		int			next_slot;
		bool		ahead;
		FsCandidate cand;

		fs_ledger_reserve(n - got);
		FsLock();
		e = *eligible(db, a, worker);
		e.ngifts = ngifts;
		e.gifts = gifts;
		fs_aging_refresh(db, now);
		/* the gates' time: in the order of the critical sections, whatever the clocks do */
		now = GetCurrentTimestamp();
		if (now > db->clock || db->clock - now > USECS_PER_SEC)
			db->clock = now;
		e.now = db->clock;
		if (first)
			fs_stats_asked(worker, e.lanes, e.nlanes, e.now);
		if (ngifts)
			fs_sched_offer_gifts(&e);
		if (db->nrevisits)
			revisit(db, now);
		while (got < n)
		{
			int32		l;

			pick = fs_sched_pick(fs_my_db, &e, visits, &flow, &slot, &cand);
			if (pick != FS_PICK_TAKE)
				break;
			l = fs_lease_new(fs_my_db, 0);
			if (l == FS_NONE)
			{
				int32		w = FsWorkspaceOfFlow(flow);

				fs_sched_refund(FsShareOfFlow(flow), cand.cost, db->advance);
				fs_sched_slot_freed(w);
				fs_sched_ready_one(flow, slot, &cand);
				full = true;
				break;
			}
			make_lease(db, a, &e, worker, now, flow, slot, &cand, l, &taken[got++]);
		}
		/* somebody scans for who is next: scan for who comes after, meanwhile */
		ahead = pick == FS_PICK_WAIT && fs_sched_fill_ahead(&e, &next_flow, &next_slot);
		if (got > 0 && now + a->lease < db->next_expiry)
		{
			db->next_expiry = now + a->lease;
			if (db->worker_latch)
				SetLatch(db->worker_latch);
		}
		FsUnlock();

		if (full)
			break;
		if (pick == FS_PICK_FILL)
			fs_claim_fill(db, flow, slot);
		else if (pick == FS_PICK_WAIT && ahead)
			fs_claim_fill(db, next_flow, next_slot);
		else if (pick == FS_PICK_WAIT)
		{
			ConditionVariablePrepareToSleep(&db->filled);
			if (fs_flows[flow].filling)
				(void) ConditionVariableTimedSleep(&db->filled, 1000,
												   fs_wait_event(&candidates_event, "FairschedCandidates"));
			ConditionVariableCancelSleep();
			CHECK_FOR_INTERRUPTS();
		}
		else if (pick != FS_PICK_TAKE)
		{
			*why = pick;
			return got;
		}
	}
	*why = full ? FS_PICK_TIRED : FS_PICK_TAKE;
	if (full && got == 0 && first)
		ereport(ERROR,
				(errcode(ERRCODE_FS_CAPACITY),
				 errmsg("too many jobs are running"),
				 errhint("Increase fairsched.max_running (now %d) and restart the server.",
						 fs_max_running)));
	return got;
}

/*
 * Mark the rows of what was picked, or look at them where the claim is soft;
 * leases of rows that were not to be had go back.
 */
static int
take_rows(FsDatabase *db, const FsClaimArgs *a, TimestampTz now, FsTaken *taken, int n,
		  int64 *next_token)
{
	FsJobRel   *jr = NULL;
	int			jr_table = -1;
	int			done = 0;
	FsClaimMark mark = {.claimed_at = now, .lease = a->lease};

	mark.worker = CStringGetTextDatum(a->worker);
	if (a->has_request)
		mark.request = UUIDPGetDatum(&a->request);
	fs_soft_name(db, taken, n);
	fs_push_snapshot();
	for (int i = 0; i < n; i++)
	{
		FsTaken    *t = &taken[i];

		if (!t->row_first && !t->named)
			continue;
		if (jr == NULL || jr_table != t->job_table)
		{
			if (jr)
				fs_rows_close(jr);
			jr_table = t->job_table;
			jr = fs_rows_open(t->job_table, true);
		}
		if (jr == NULL)
			continue;
		t->token = *next_token;
		t->relfile = FsRelFile(jr->rel);
		mark.token = t->token;
		if (fs_leases[t->lease].soft)
			t->result = fs_rows_look(jr, t->flow_id, &t->cand, &t->row);
		else
			t->result = fs_rows_claim(jr, t->flow_id, &t->cand, &mark, false, &t->row);
		if (t->result == FS_ROW_DONE)
		{
			if (fs_leases[t->lease].soft)
				FsJob(t->row)->attempt++;	/* in our copy */
			(*next_token)++;
			done++;
		}
	}
	if (jr)
		fs_rows_close(jr);
	fs_pop_snapshot();

	FsLock();
	for (int i = 0; i < n; i++)
	{
		FsTaken    *t = &taken[i];
		FsLease    *lease = &fs_leases[t->lease];

		if (t->result == FS_ROW_DONE)
		{
			FsJobFixed *job = FsJob(t->row);

			lease->token = t->token;
			lease->attempt = job->attempt;
			lease->dwell = 1 + dwell_bucket(now - Max(job->run_at, job->created_at));
			lease->tid = t->row->t_self;
			lease->relfile = t->relfile;
			if (t->row_first)
				fs_lease_set_job(t->lease, job->job_id);
		}
		else
		{
			int32		flow = lease->flow;
			int			slot = lease->rank_slot;

			fs_flows[flow].refs++;
			fs_ledger_unclaim(t->lease);
			if (t->result == FS_ROW_LOCKED)
				revisit_later(db, flow, slot, t->cand.position, now);
			else if (t->result == FS_ROW_MOVED)
				fs_sched_ready_many(flow, slot, t->cand.position);
			else if (t->cand.unseen)
				fs_sched_doubt(flow, slot, t->cand.position);
			fs_flows[flow].refs--;
		}
	}
	FsUnlock();
	return done;
}

/* ---------- results ---------- */

static void
emit(ReturnSetInfo *rsinfo, TupleDesc jobs, HeapTuple row, int64 token, TimestampTz expires,
	 const char *worker)
{
	Datum		v[FS_JOB_COLUMNS];
	bool		isnull[FS_JOB_COLUMNS];
	Datum		out[12];
	bool		nulls[12] = {0};

	fs_rows_deform_as(jobs, row, v, isnull);
	out[0] = v[FS_COL_JOB_ID];
	out[1] = v[FS_COL_WORKSPACE];
	out[2] = v[FS_COL_LANE];
	out[3] = v[FS_COL_KIND];
	out[4] = v[FS_COL_PAYLOAD];
	out[5] = v[FS_COL_PRIORITY];
	out[6] = v[FS_COL_ATTEMPT];
	out[7] = Int64GetDatum(token);
	out[8] = TimestampTzGetDatum(expires);
	out[9] = v[FS_COL_CHECKPOINT];
	nulls[9] = isnull[FS_COL_CHECKPOINT];
	out[10] = v[FS_COL_RUN_ID];
	nulls[10] = isnull[FS_COL_RUN_ID];
	out[11] = CStringGetTextDatum(worker);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, out, nulls);
}

static TupleDesc
jobs_desc(void)
{
	static TupleDesc desc = NULL;
	static Oid	of = InvalidOid;

	if (of != fs_catalog()->jobs)
	{
		/* that of the shared table: the parent may be locked while a partition goes */
		Relation	rel = table_open(fs_table_get(0)->relid, AccessShareLock);
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		if (desc)
			FreeTupleDesc(desc);
		desc = CreateTupleDescCopy(RelationGetDescr(rel));
		MemoryContextSwitchTo(old);
		of = fs_catalog()->jobs;
		table_close(rel, AccessShareLock);
	}
	return desc;
}

typedef struct FsRepeat
{
	int64		job_id;
	int64		token;
	int			job_table;
	Oid			relfile;
	ItemPointerData tid;
	bool		soft;
	int64		position;
	int32		attempt;
	TimestampTz expires_at;
	char		worker[FS_NAME_LEN + 1];
} FsRepeat;

static int
by_token(const void *a, const void *b)
{
	int64		x = ((const FsRepeat *) a)->token;
	int64		y = ((const FsRepeat *) b)->token;

	return x < y ? -1 : x > y;
}

/* A request that was made before: what of it is still leased, in claim order. */
static int
repeat_request(FunctionCallInfo fcinfo, const FsClaimArgs *a)
{
	int			room = 64;
	FsRepeat   *found = palloc(sizeof(FsRepeat) * room);
	int			n;
	int			emitted = 0;

	for (;;)
	{
		n = 0;
		FsLockShared();
		for (int32 l = fs_lease_first_by_request(fs_my_db, &a->request); l != FS_NONE;
			 l = fs_lease_next_by_request(l, &a->request))
		{
			FsLease    *lease = &fs_leases[l];

			if (lease->job_id == 0 ||
				(lease->state != FS_LEASE_ACTIVE && lease->state != FS_LEASE_CLAIMING))
				continue;
			if (n < room)
			{
				found[n].job_id = lease->job_id;
				found[n].token = lease->token;
				found[n].job_table = lease->job_table;
				found[n].relfile = lease->relfile;
				found[n].tid = lease->tid;
				found[n].soft = lease->soft;
				found[n].position = lease->position;
				found[n].attempt = lease->attempt;
				found[n].expires_at = lease->expires_at;
				strcpy(found[n].worker, fs_workers[lease->worker].name);
			}
			n++;
		}
		FsUnlock();
		if (n <= room)
			break;
		room = n * 2;
		found = repalloc(found, sizeof(FsRepeat) * room);
	}
	if (n > 1)
		qsort(found, n, sizeof(FsRepeat), by_token);
	for (int i = 0; i < n; i++)
	{
		FsJobRel   *jr;
		HeapTuple	row;

		fs_push_snapshot();
		jr = fs_rows_open(found[i].job_table, true);
		row = jr ? fs_rows_at(jr, found[i].relfile, &found[i].tid, found[i].job_id) : NULL;
		fs_pop_snapshot();
		if (row == NULL)
		{
			if (jr)
				fs_rows_close(jr);
			row = fs_rows_find(found[i].job_id, &jr);
		}
		if (row && found[i].soft && fs_job_state(row) == FS_JOB_AVAILABLE)
			FsJob(row)->attempt = found[i].attempt;	/* as its claim returned it */
		if (row && (fs_job_state(row) == FS_JOB_RUNNING ? FsJob(row)->token == found[i].token :
					found[i].soft && FsJob(row)->position == found[i].position))
		{
			emit((ReturnSetInfo *) fcinfo->resultinfo, jobs_desc(), row, found[i].token,
				 found[i].expires_at, found[i].worker);
			emitted++;
		}
		if (jr)
			fs_rows_close(jr);
	}
	return emitted;
}

/* Two calls with one request id take turns: until the end of the transaction. */
static void
lock_request(const pg_uuid_t *request)
{
	LOCKTAG		tag;
	uint32		part[4];

	memcpy(part, request->data, sizeof(part));
	/* class 3 of advisory locks: SQL functions use 1 and 2 */
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, part[0] ^ part[2], part[1] ^ part[3], 3);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

static void
set_deadlines(FsDatabase *db, FsTaken *taken, int n)
{
	TupleDesc	desc = jobs_desc();

	for (int i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		d;

		if (taken[i].result != FS_ROW_DONE || !HeapTupleHasNulls(taken[i].row))
			continue;
		d = heap_getattr(taken[i].row, FS_COL_MAX_RUNTIME + 1, desc, &isnull);
		if (!isnull)
		{
			FsLease    *lease = &fs_leases[taken[i].lease];
			int64		usec = fs_interval_usec(d, "max_runtime", false);

			/* ours alone until the transaction ends */
			lease->deadline = lease->claimed_at + usec;
			lease->expires_at = Min(lease->expires_at, lease->deadline);
			FsLock();
			if (lease->expires_at < db->next_expiry)
			{
				db->next_expiry = lease->expires_at;
				if (db->worker_latch)
					SetLatch(db->worker_latch);
			}
			FsUnlock();
		}
	}
}

int
fs_claim(FunctionCallInfo fcinfo, FsDatabase *db, FsClaimArgs *a, int ngifts, int32 *gifts)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz give_up = 0;
	int32		worker;
	FsTaken    *taken;
	FsPage	   *pages;
	TimestampTz start = GetCurrentTimestamp();
	int64		waited = 0;		/* usec */
	bool		first = true;
	int			got = 0;

	worker = fs_worker_seen(db, a->worker, a->caps_given ? a->caps : NULL, a->caps_len);
	if (!a->caps_given)
	{
		FsLockShared();
		memcpy(a->caps, fs_workers[worker].caps, fs_workers[worker].caps_len);
		a->caps_len = fs_workers[worker].caps_len;
		FsUnlock();
	}
	make_memo_key(a, a->caps, a->caps_len);
	if (a->has_request)
	{
		lock_request(&a->request);
		got = repeat_request(fcinfo, a);
		if (got > 0)
			return got;
	}
	fs_task_help(db);

	taken = palloc(sizeof(FsTaken) * a->max_jobs);
	pages = palloc(sizeof(FsPage) * a->max_jobs);
	for (;;)
	{
		/* the time of the call will do, where nothing was waited for since */
		TimestampTz now = first && !a->has_request && db->worker_pid != 0 ? start : GetCurrentTimestamp();
		int			visits = 0;
		int64		token = 0;
		FsPick		why = FS_PICK_TAKE;

		while (got < a->max_jobs && why == FS_PICK_TAKE)
		{
			int			n = pick_jobs(db, a, worker, now, a->max_jobs - got, ngifts, gifts,
									  &visits, taken + got, got == 0, &why);
			int			done;

			if (n == 0)
				break;
			if (token == 0)
				token = fs_state_numbers(db, FS_COUNTER_TOKEN, a->max_jobs);
			done = take_rows(db, a, now, taken + got, n, &token);
			set_deadlines(db, taken + got, n);
			/* close the gaps */
			for (int i = got, to = got; i < got + n; i++)
				if (taken[i].result == FS_ROW_DONE)
					taken[to++] = taken[i];
			got += done;
			if (done < n && why != FS_PICK_TIRED)
				why = FS_PICK_TAKE;
			CHECK_FOR_INTERRUPTS();
		}
		if (got > 0)
		{
			int			marked = 0;

			for (int i = 0; i < got; i++)
			{
				if (fs_leases[taken[i].lease].soft)
					continue;
				pages[marked].job_table = taken[i].job_table;
				pages[marked].relfile = taken[i].relfile;
				pages[marked++].block = ItemPointerGetBlockNumber(&taken[i].row->t_self);
			}
			if (marked > 0)
				fs_claim_log_pages(db, pages, marked);
			fs_rate_book(taken, got);
			break;
		}
		if (a->max_wait == 0)
			break;
		if (give_up == 0)
			give_up = now + a->max_wait;
		if (now >= give_up)
			break;
		{
			FsEligible	e;
			TimestampTz since = GetCurrentTimestamp();

			FsLock();
			e = *eligible(db, a, worker);
			FsUnlock();
			if (!fs_wait_for_work(fs_my_db, a->nlanes, a->lanes, &e, give_up,
								  fs_wait_event(&poll_event, "FairschedLongPoll")))
				a->max_wait = 0;	/* one last look */
			waited += Max(GetCurrentTimestamp() - since, 0);
		}
		first = false;
		db = fs_state_ready("fairsched_claim()");
		fs_task_help(db);
	}
	for (int i = 0; i < got; i++)
		emit(rsinfo, jobs_desc(), taken[i].row, taken[i].token,
			 fs_leases[taken[i].lease].expires_at, a->worker);
	fs_stats_claim(fs_my_db, memo.e.lanes, memo.e.nlanes, got, GetCurrentTimestamp() - start - waited);
	return got;
}

/* fairsched_claim(worker, max_jobs, lease, lanes, capabilities, request_id, max_wait) */
Datum
fs_claim_jobs(PG_FUNCTION_ARGS)
{
	FsClaimArgs args;
	FsDatabase *db;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	db = fs_state_ready("fairsched_claim()");
	fs_claim_args(fcinfo, 0, &args);
	fs_claim(fcinfo, db, &args, 0, NULL);
	return (Datum) 0;
}
