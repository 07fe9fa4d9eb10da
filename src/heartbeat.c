/*
 * heartbeat.c
 *		Heartbeats: extend leases in shared memory, tell workers what to do.
 *
 * A heartbeat writes no row.  The exception is a lease that had run out while
 * nobody claimed the job: it is taken again through admission, with its old
 * token, where the workspace has a slot for it.
 */
#include "claimer.h"
#include "claimlog.h"
#include "held.h"
#include "heartbeat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "admit.h"
#include "flows.h"
#include "lease.h"
#include "park.h"
#include "stats.h"
#include "placement.h"
#include "text.h"

PG_FUNCTION_INFO_V1(fs_heartbeat_jobs);
PG_FUNCTION_INFO_V1(fs_heartbeat_worker);

const char *const FsDirectiveNames[] = {"continue", "preempt", "cancel", "lost"};

/* Somebody else is about to end it; as long as that is not committed, its holder has it. */
static bool
ends_elsewhere(const FsLease *lease)
{
	return lease->state == FS_LEASE_ENDING && lease->owner != FsMyProcNumber();
}

static void
extend_lease(FsLease *lease, TimestampTz now, int64 extend)
{
	if (extend <= 0)
		return;
	lease->length = extend;
	lease->expires_at = Max(lease->expires_at, Min(now + extend, lease->deadline));
}

/* A running row of ours is on this page now. */
static void
log_page(FsDatabase *db, FsJobRel *jr, HeapTuple row)
{
	FsPage		page = {
		.job_table = jr->table.job_table,
		.relfile = FsRelFile(jr->rel),
	};

	page.block = ItemPointerGetBlockNumber(&row->t_self);
	fs_claim_log_pages(db, &page, 1);
}

/* fs_lease_moved: later looks find the new place; an earlier one is refused by the row itself. */
void
fs_lease_moved(FsDatabase *db, FsJobRel *jr, HeapTuple row, ItemPointer was)
{
	FsJobFixed *job = FsJob(row);
	int32		l;

	if (fs_job_state(row) == FS_JOB_RUNNING)
		log_page(db, jr, row);
	fs_ledger_reserve(2);
	FsLock();
	l = fs_lease_find(fs_my_db, job->job_id);
	if (l != FS_NONE && fs_leases[l].token == job->token && fs_job_state(row) == FS_JOB_RUNNING)
	{
		fs_ledger_place(l, &row->t_self, FsRelFile(jr->rel), jr->table.job_table);
		fs_leases[l].rank_slot = FsRankSlot(job->rank);
	}
	else if (fs_job_state(row) == FS_JOB_AVAILABLE)
	{
		/*
		 * its candidate points to the old version: hint the new one, or the
		 * old at abort
		 */
		int32		flow = fs_sched_flow_by_id(fs_my_db, job->flow);

		if (flow != FS_NONE)
		{
			FsCandidate cand = {
				.position = job->position,
				.cost = job->cost,
			};

			ItemPointerSetInvalid(&cand.tid);
			fs_ledger_queue(FsWorkspaceOfFlow(flow), flow, FsRankSlot(job->rank), &cand, 0, 0, 0,
							true, true);
		}
	}
	FsUnlock();
}

/* Take an expired, unclaimed job again; false where there is no room or it is not ours. */
static bool
take_again(FsDatabase *db, int64 job_id, int64 token, int64 extend)
{
	FsHeld		held = {
		.job_id = job_id,
		.token = token,
	};
	FsJobRel   *jr = NULL;
	HeapTuple	row = fs_held_row(db, &held, &jr, FS_HELD_TRY);
	TimestampTz now = GetCurrentTimestamp();
	int32		worker;
	int32		flow;
	int32		l = FS_NONE;
	int32		gone;
	int32		w;
	bool		done = false;
	bool		isnull;
	Datum		d;
	TimestampTz deadline = DT_NOEND;
	FsCandidate was;
	char		name[FS_NAME_LEN + 1];
	FsFlowSpec	spec;

	if (row == NULL || fs_job_state(row) != FS_JOB_AVAILABLE)
		goto out;
	worker = fs_worker_seen(db, fs_session_worker(), NULL, 0);
	d = heap_getattr(row, FS_COL_MAX_RUNTIME + 1, RelationGetDescr(jr->rel), &isnull);
	if (!isnull)
		deadline = now + fs_interval_usec(d, "max_runtime", false);
	fs_rows_candidate(jr, row, &was);
	fs_row_spec(db, jr, row, &spec);
	fs_ledger_reserve(2);
	FsLock();
	flow = fs_sched_flow_by_id(fs_my_db, FsJob(row)->flow);
	if (flow != FS_NONE)
	{
		w = FsWorkspaceOfFlow(flow);
		if (fs_workspaces[w].running < fs_sched_ceiling(&fs_workspaces[w]) && !db->drained &&
			fs_workspaces[w].parked != FS_PARK_PAUSED && fs_workspaces[w].parked != FS_PARK_MOVING &&
			fs_admit_again(w, &spec, FsSlotClass(FsRankSlot(FsJob(row)->rank)), now))
			l = fs_lease_new(fs_my_db, 0);
		if (l != FS_NONE)
		{
			FsLease    *lease = &fs_leases[l];

			fs_workspaces[w].running++;
			db->running++;
			lease->state = FS_LEASE_CLAIMING;
			lease->owner = FsMyProcNumber();
			lease->workspace = w;
			lease->share = FsShareOfFlow(flow);
			lease->flow = flow;
			fs_flows[flow].running++;
			fs_admit_take_again(l, &spec, now);
			lease->rank_slot = FsRankSlot(FsJob(row)->rank);
			lease->position = FsJob(row)->position;
			lease->cost = FsJob(row)->cost;
			lease->charged = 0; /* it was charged when it was claimed */
			lease->claimed_at = now;
			lease->length = extend;
			lease->deadline = deadline;
			lease->expires_at = Min(now + extend, deadline);
			lease->job_table = jr->table.job_table;
			gone = fs_lease_find_gone(fs_my_db, job_id, token);
			if (gone != FS_NONE)
				worker = fs_leases[gone].worker;	/* whoever had it */
			fs_lease_link_worker(l, worker);
			strcpy(name, fs_workers[worker].name);
			fs_ledger_claim(l, &was);
			db->next_expiry = Min(db->next_expiry, lease->expires_at);
		}
	}
	FsUnlock();
	if (l == FS_NONE)
		goto out;
	{
		Datum		values[FS_JOB_COLUMNS];
		bool		nulls[FS_JOB_COLUMNS] = {0};
		bool		replace[FS_JOB_COLUMNS] = {0};

		values[FS_COL_STATE] = CStringGetTextDatum("running");
		values[FS_COL_CLAIMED_AT] = TimestampTzGetDatum(now);
		values[FS_COL_LEASE_MS] = Int32GetDatum((int32) Min(extend / 1000, PG_INT32_MAX));
		values[FS_COL_WORKER] = CStringGetTextDatum(name);
		replace[FS_COL_STATE] = replace[FS_COL_CLAIMED_AT] = replace[FS_COL_LEASE_MS] =
			replace[FS_COL_WORKER] = true;
		/* it is locked by us, so nobody is waited for */
		done = fs_rows_update(jr, &row, values, nulls, replace, true) == FS_ROW_DONE;
	}
	FsLock();
	if (done)
	{
		FsLease    *lease = &fs_leases[l];

		lease->token = token;
		lease->attempt = FsJob(row)->attempt;
		lease->tid = row->t_self;
		lease->relfile = FsRelFile(jr->rel);
		fs_lease_set_job(l, job_id);
	}
	else
		fs_ledger_unclaim(l);
	FsUnlock();
	if (done)
		log_page(db, jr, row);
out:
	if (jr)
		fs_rows_close(jr);
	return done;
}

FsDirective
fs_lease_beat(FsDatabase *db, int64 job_id, int64 token, int64 extend)
{
	TimestampTz now = GetCurrentTimestamp();
	FsDirective directive = FS_LOST;
	bool		known = false;
	bool		revived;
	int32		l;

	FsLock();
	l = fs_lease_find(fs_my_db, job_id);
	if (l != FS_NONE && fs_leases[l].token == token && token > 0)
	{
		FsLease    *lease = &fs_leases[l];

		known = true;
		if (lease->state == FS_LEASE_ACTIVE || ends_elsewhere(lease) ||
			(lease->state == FS_LEASE_CLAIMING && lease->owner == FsMyProcNumber()))
		{
			directive = lease->directive;
			extend_lease(lease, now, extend);
			revived = fs_workers[lease->worker].declared &&
				fs_workers[lease->worker].last_seen + FsMsToUsec(fs_worker_timeout) <= now;
			fs_workers[lease->worker].last_seen = now;
			fs_place_worker_seen(lease->worker, now);
			if (revived)
				fs_sched_refresh_slots(db, now);
		}
	}
	else if ((l = fs_lease_find_gone(fs_my_db, job_id, token)) != FS_NONE)
	{
		directive = fs_leases[l].directive;
		known = directive != FS_LOST;	/* it ran out, but may be there still */
	}
	FsUnlock();
	if (!known && token > 0 && take_again(db, job_id, token, extend > 0 ? extend : 30 * USECS_PER_SEC))
		directive = FS_CONTINUE;
	return directive;
}

static void
emit(ReturnSetInfo *rsinfo, int64 job_id, FsDirective directive)
{
	Datum		out[2];
	bool		nulls[2] = {0};

	out[0] = Int64GetDatum(job_id);
	out[1] = CStringGetTextDatum(FsDirectiveNames[directive]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, out, nulls);
}

/* fairsched_heartbeat(job_ids, tokens, extend) → (job_id, directive) */
Datum
fs_heartbeat_jobs(PG_FUNCTION_ARGS)
{
	FsDatabase *db;
	int64	   *ids;
	int64	   *tokens;
	int			n;
	int			ntokens;
	int64		extend;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	db = fs_state_ready("fairsched_heartbeat()");
	fs_need_arg(fcinfo, 0, "job_ids");
	fs_need_arg(fcinfo, 1, "tokens");
	fs_need_arg(fcinfo, 2, "extend");
	ids = fs_int8_array(PG_GETARG_DATUM(0), &n, "job_ids");
	tokens = fs_int8_array(PG_GETARG_DATUM(1), &ntokens, "tokens");
	if (n != ntokens)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("job_ids has %d elements, tokens has %d", n, ntokens),
				 errhint("Give the token of each job at the same place.")));
	extend = fs_interval_usec(PG_GETARG_DATUM(2), "extend", false);
	for (int i = 0; i < n; i++)
	{
		FsDirective directive = fs_lease_beat(db, ids[i], tokens[i], extend);

		if (directive == FS_LOST)
			fs_stats_stale(fs_my_db, ids[i], tokens[i], 0);
		emit((ReturnSetInfo *) fcinfo->resultinfo, ids[i], directive);
		CHECK_FOR_INTERRUPTS();
	}
	return (Datum) 0;
}

typedef struct FsBeat
{
	int64		job_id;
	FsDirective directive;
} FsBeat;

/* fairsched_heartbeat(worker, extend) → (job_id, directive) for all jobs of a named worker */
Datum
fs_heartbeat_worker(PG_FUNCTION_ARGS)
{
	FsDatabase *db;
	char	   *name;
	int64		extend;
	int32		w;
	FsBeat	   *beats;
	int			room = 0;
	int			n;
	TimestampTz now = GetCurrentTimestamp();

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	db = fs_state_ready("fairsched_heartbeat()");
	name = fs_arg_name(fcinfo, 0, "worker");
	fs_need_arg(fcinfo, 1, "extend");
	extend = fs_interval_usec(PG_GETARG_DATUM(1), "extend", false);
	w = fs_worker_seen(db, name, NULL, 0);
	for (;;)
	{
		int32		next;

		beats = palloc(sizeof(FsBeat) * (room + 1));
		n = 0;
		FsLock();
		if (fs_workers[w].running > room)
		{
			room = fs_workers[w].running;
			FsUnlock();
			continue;
		}
		for (int32 l = fs_workers[w].leases; l != FS_NONE; l = next)
		{
			FsLease    *lease = &fs_leases[l];

			next = lease->worker_next;
			if (lease->db != fs_my_db)
				continue;
			if (lease->state == FS_LEASE_GONE)
			{
				beats[n].job_id = lease->job_id;
				beats[n++].directive = lease->directive;
				fs_lease_free(l);
			}
			else if (lease->state == FS_LEASE_ACTIVE || ends_elsewhere(lease))
			{
				beats[n].job_id = lease->job_id;
				beats[n++].directive = lease->directive;
				extend_lease(lease, now, extend);
			}
		}
		FsUnlock();
		break;
	}
	for (int i = 0; i < n; i++)
		emit((ReturnSetInfo *) fcinfo->resultinfo, beats[i].job_id, beats[i].directive);
	return (Datum) 0;
}
