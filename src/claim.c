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

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "admit.h"
#include "aging.h"
#include "candidates.h"
#include "claim_result.h"
#include "claimer.h"
#include "claimlog.h"
#include "hints.h"
#include "lease.h"
#include "park.h"
#include "pick.h"
#include "rate_book.h"
#include "ring.h"
#include "softclaim.h"
#include "stats.h"
#include "tasks.h"
#include "text.h"
#include "wait.h"

PG_FUNCTION_INFO_V1(fs_claim_jobs);

static uint32 poll_event = 0;	/* wait events */
static uint32 candidates_event = 0;

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

	/*
	 * a slot that a job finished in this call leaves to us, where there is
	 * one
	 */
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
		e = *fs_claimer_eligible(db, a, worker);
		e.ngifts = ngifts;
		e.gifts = gifts;
		fs_aging_refresh(db, now);

		/*
		 * the gates' time: in the order of the critical sections, whatever
		 * the clocks do
		 */
		now = GetCurrentTimestamp();
		if (now > db->clock || db->clock - now > USECS_PER_SEC)
			db->clock = now;
		e.now = db->clock;
		if (first)
			fs_stats_asked(worker, e.lanes, e.nlanes, e.now);
		if (ngifts)
			fs_sched_offer_gifts(&e);
		if (db->nrevisits)
			fs_candidates_revisit(db, now);
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
			fs_candidates_fill(db, flow, slot, taken, got);
		else if (pick == FS_PICK_WAIT && ahead)
			fs_candidates_fill(db, next_flow, next_slot, taken, got);
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
	FsClaimMark mark = {
		.claimed_at = now,
		.lease = a->lease,
	};

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
				fs_candidates_revisit_later(db, flow, slot, t->cand.position, now);
			else if (t->result == FS_ROW_MOVED)
				fs_sched_ready_many(flow, slot, t->cand.position);
			else if (t->cand.unseen)
				fs_sched_doubt(flow, slot, t->cand.position);
			fs_sched_nothing_left(FsShareOfFlow(flow));
			fs_flows[flow].refs--;
		}
	}
	FsUnlock();
	return done;
}

static void
set_deadlines(FsDatabase *db, FsTaken *taken, int n)
{
	TupleDesc	desc = fs_claim_row_desc();

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
	const int32 *lanes;
	int			nlanes;

	worker = fs_worker_seen(db, a->worker, a->caps_given ? a->caps : NULL, a->caps_len);
	if (!a->caps_given)
	{
		FsLockShared();
		memcpy(a->caps, fs_workers[worker].caps, fs_workers[worker].caps_len);
		a->caps_len = fs_workers[worker].caps_len;
		FsUnlock();
	}
	fs_claimer_is(a, a->caps, a->caps_len);
	if (a->has_request)
	{
		fs_claim_lock_request(&a->request);
		got = fs_claim_repeat(fcinfo, a);
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
			e = *fs_claimer_eligible(db, a, worker);
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
		fs_claim_emit(rsinfo, taken[i].row, taken[i].token,
					  fs_leases[taken[i].lease].expires_at, a->worker);
	nlanes = fs_claimer_lanes(&lanes);
	fs_stats_claim(fs_my_db, lanes, nlanes, got, GetCurrentTimestamp() - start - waited);
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
