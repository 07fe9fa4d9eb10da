/*
 * admin.c
 *		What administration in SQL (sql/parts/40_admin.sql) needs of the
 *		scheduler; workers; drain; check.
 *
 * A workspace is *frozen* for a change that needs its queues to stand still
 * (its job table changes, it is dropped): it is parked as MOVING, new jobs and
 * claims wait or pass it by, and the caller waits until no open transaction
 * has claims, completions or new jobs of it.  The freeze ends with the
 * transaction, however that ends.
 */
#include "held.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "claimer.h"
#include "claimlog.h"
#include "config.h"
#include "flows.h"
#include "lease.h"
#include "tasks.h"
#include "text.h"

PG_FUNCTION_INFO_V1(fs_workspace_close);
PG_FUNCTION_INFO_V1(fs_workspace_freeze);
PG_FUNCTION_INFO_V1(fs_workspace_apply);
PG_FUNCTION_INFO_V1(fs_workspace_memory);
PG_FUNCTION_INFO_V1(fs_workspace_forget);
PG_FUNCTION_INFO_V1(fs_workspace_flows);
PG_FUNCTION_INFO_V1(fs_quiet);
PG_FUNCTION_INFO_V1(fs_max_own_tables_setting);
PG_FUNCTION_INFO_V1(fs_register_worker);
PG_FUNCTION_INFO_V1(fs_unregister_worker);
PG_FUNCTION_INFO_V1(fs_drain);
PG_FUNCTION_INFO_V1(fs_undrain);
PG_FUNCTION_INFO_V1(fs_jobs_changed);
PG_FUNCTION_INFO_V1(fs_log_table);
PG_FUNCTION_INFO_V1(fs_settings_changed);
PG_FUNCTION_INFO_V1(fs_repair_job);
PG_FUNCTION_INFO_V1(fs_recount);
PG_FUNCTION_INFO_V1(fs_workspace_wait);
PG_FUNCTION_INFO_V1(fs_memory_counts);
PG_FUNCTION_INFO_V1(fs_memory_leases);
PG_FUNCTION_INFO_V1(fs_drop_leases);

#define FREEZE_TIMEOUT	(3 * USECS_PER_SEC)

static void
nap(long ms)
{
	static uint32 wait_event = 0;

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 fs_wait_event(&wait_event, "FairschedAdmin"));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* ---------- workspaces ---------- */

/* Leases of the workspace that open transactions other than ours are making or ending. */
static bool
leases_in_flux(int32 w)
{
	for (int i = 0; i < fs->leases.capacity; i++)
		if (fs_leases[i].db != FS_NONE && fs_leases[i].workspace == w &&
			(fs_leases[i].state == FS_LEASE_CLAIMING || fs_leases[i].state == FS_LEASE_ENDING))
			return true;
	return false;
}

/*
 * fairsched.close_workspace(workspace, position): until the end of the transaction
 * it is served up to this position only.  False: it has to be frozen at once.
 */
Datum
fs_workspace_close(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("a change of a workspace");
	char	   *name = fs_arg_name(fcinfo, 0, "workspace");
	int32		w;
	bool		closes;

	fs_need_arg(fcinfo, 1, "position");
	fs_ledger_reserve(1);
	w = fs_workspace_lock(db, name);
	closes = fs_workspaces[w].parked != FS_PARK_MOVING && fs_ledger_closing(w, PG_GETARG_INT64(1));
	FsUnlock();
	PG_RETURN_BOOL(closes);
}

/* fairsched.freeze_workspace(workspace): until the end of the transaction. */
Datum
fs_workspace_freeze(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("a change of a workspace");
	char	   *name = fs_arg_name(fcinfo, 0, "workspace");
	TimestampTz give_up = GetCurrentTimestamp() + FREEZE_TIMEOUT;
	int32		w;
	bool		closes;
	bool		moving;
	bool		ours;

	/*
	 * with a snapshot of before, jobs that came since would not be seen:
	 * neither moved nor known to be there
	 */
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot move or drop a workspace, or create one with its own table, under REPEATABLE READ or SERIALIZABLE"),
				 errhint("Use BEGIN ISOLATION LEVEL READ COMMITTED.")));
	fs_ledger_reserve(1);
	w = fs_workspace_lock(db, name);
	if (fs_ledger_freezes(w))
	{
		FsUnlock();				/* it is frozen, by an earlier call in this
								 * transaction */
		PG_RETURN_VOID();
	}
	closes = fs_ledger_closes(w);	/* then somebody may have begun the freeze
									 * already */
	moving = fs_workspaces[w].parked == FS_PARK_MOVING && !closes;
	ours = fs_ledger_holds_up(w);
	if (!moving && !ours)
		fs_ledger_frozen(w);
	FsUnlock();
	if (ours)
		ereport(ERROR,
				(errcode(ERRCODE_FS_BUSY),
				 errmsg("workspace \"%s\" is in use by this transaction", name),
				 errdetail("It has claimed, finished, changed or enqueued jobs of it."),
				 errhint("Commit first.")));
	if (moving)
		ereport(ERROR,
				(errcode(ERRCODE_FS_BUSY),
				 errmsg("workspace \"%s\" is being changed by another session", name),
				 errhint("Try again when that has finished.")));
	for (;;)
	{
		bool		busy;

		FsLock();
		busy = fs_workspaces[w].refs > (closes ? 2 : 1) || leases_in_flux(w);
		if (!busy)
		{
			fs_workspaces[w].settled = true;
			fs->nsettled++;
		}
		FsUnlock();
		if (!busy)
			break;
		if (GetCurrentTimestamp() > give_up)
			ereport(ERROR,
					(errcode(ERRCODE_FS_BUSY),
					 errmsg("workspace \"%s\" is in use by open transactions", name),
					 errdetail("They have claimed, finished or enqueued jobs of it and did not end within 3 seconds."),
					 errhint("Try again, or end long transactions first (see pg_stat_activity).")));
		nap(2);
	}
	PG_RETURN_VOID();
}

/*
 * fairsched.apply_workspace(workspace, at_once): take the row's settings over,
 * at commit; or now, and back at abort.
 */
Datum
fs_workspace_apply(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("a change of a workspace");
	char	   *name = fs_arg_name(fcinfo, 0, "workspace");
	bool		at_once = PG_GETARG_BOOL(1);
	FsWorkspaceSettings set;
	FsWorkspaceSettings old;
	int32		w;

	CommandCounterIncrement();
	fs_settings_read(db, name, &set);
	FsLock();
	w = fs_sched_workspace_find(fs_my_db, name);
	if (w != FS_NONE)
		old = fs_workspaces[w].set;
	else
		old = set;
	FsUnlock();
	fs_ledger_settings(name, &set, at_once, &old);
	PG_RETURN_VOID();
}

/* fairsched.forget_workspace(workspace): it was dropped, with its jobs. */
Datum
fs_workspace_forget(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_drop_workspace()");
	char	   *name = fs_arg_name(fcinfo, 0, "workspace");
	FsWorkspaceSettings set;

	CommandCounterIncrement();
	fs_settings_read(db, name, &set);	/* the defaults: its row is gone */
	fs_ledger_forget(name, &set);
	PG_RETURN_VOID();
}

/* fairsched.workspace_memory(workspace) → jobs that memory knows of, NULL when it does not know the workspace */
Datum
fs_workspace_memory(PG_FUNCTION_ARGS)
{
	char	   *name = fs_arg_name(fcinfo, 0, "workspace");
	int32		w;
	int64		n = 0;

	(void) fs_state_ready("a change of a workspace");
	FsLockShared();
	w = fs_sched_workspace_find(fs_my_db, name);
	if (w != FS_NONE)
	{
		FsWorkspace *ws = &fs_workspaces[w];

		n = ws->running + ws->reserved;
	}
	FsUnlock();
	if (w == FS_NONE)
		PG_RETURN_NULL();
	PG_RETURN_INT64(n);
}

/* fairsched.workspace_flows(workspace) → the numbers of its flows that memory knows */
Datum
fs_workspace_flows(PG_FUNCTION_ARGS)
{
	char	   *name = fs_arg_name(fcinfo, 0, "workspace");
	Datum	   *out;
	int			n = 0;
	int			room = fs->flows.capacity;
	int32		w;

	(void) fs_state_ready("a change of a workspace");
	out = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Datum) * room);
	FsLockShared();
	w = fs_sched_workspace_find(fs_my_db, name);
	for (int f = 0; w != FS_NONE && f < fs->flows.capacity; f++)
		if (fs_flows[f].member != FS_NONE && FsWorkspaceOfFlow(f) == w)
			out[n++] = Int32GetDatum(fs_flows[f].id);
	FsUnlock();
	PG_RETURN_ARRAYTYPE_P(construct_array(out, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

/* fairsched.own_changes(on): SQL of the extension changes job tables; triggers stay quiet. */
Datum
fs_quiet(PG_FUNCTION_ARGS)
{
	fs_own_changes = PG_GETARG_BOOL(0);
	PG_RETURN_VOID();
}

Datum
fs_max_own_tables_setting(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(fs_max_own_tables);
}

/* ---------- workers ---------- */

/* fairsched_register_worker(worker, capabilities, slots, node) */
Datum
fs_register_worker(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_register_worker()");
	char	   *name = fs_arg_name(fcinfo, 0, "worker");
	char		caps[FS_CAPS_LEN];
	int			caps_len;
	int			slots;
	char	   *node = PG_ARGISNULL(3) ? NULL : fs_text_name(PG_GETARG_DATUM(3), "node");
	Oid			types[4] = {TEXTOID, TEXTARRAYOID, INT4OID, TEXTOID};
	Datum		args[4];
	char		nulls[4] = {' ', ' ', ' ', ' '};
	int32		w;

	fs_need_arg(fcinfo, 1, "capabilities");
	caps_len = fs_arg_caps(PG_GETARG_DATUM(1), caps);
	fs_need_arg(fcinfo, 2, "slots");
	slots = PG_GETARG_INT32(2);
	if (slots < 0 || slots > 1000000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("slots must be between 0 and 1000000"),
				 errhint("Give the number of jobs the worker runs at once.")));
	args[0] = CStringGetTextDatum(name);
	args[1] = fs_caps_array(caps, caps_len);
	args[2] = Int32GetDatum(slots);
	args[3] = node ? CStringGetTextDatum(node) : (Datum) 0;
	if (!node)
		nulls[3] = 'n';
	fs_spi_begin();
	fs_spi("INSERT INTO fairsched.workers (worker, capabilities, slots, node) VALUES ($1, $2, $3, $4) "
		   "ON CONFLICT (worker) DO UPDATE SET capabilities = excluded.capabilities, "
		   "slots = excluded.slots, node = excluded.node, registered_at = now()",
		   4, types, args, nulls);
	if (node)
		fs_spi("INSERT INTO fairsched.nodes (node) VALUES ($4) ON CONFLICT DO NOTHING", 4, types, args, nulls);
	fs_spi_end();
	w = fs_worker_seen(db, name, NULL, 0);
	fs_ledger_worker(w, true, slots, caps, caps_len, node);
	PG_RETURN_VOID();
}

/* fairsched_unregister_worker(worker) → how many jobs it gave back */
Datum
fs_unregister_worker(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_unregister_worker()");
	char	   *name = fs_arg_name(fcinfo, 0, "worker");
	Oid			types[1] = {TEXTOID};
	Datum		args[1];
	uint64		known;
	int32		w;
	int			n = 0;
	int			room = 0;
	FsHeld	   *held = NULL;
	int			given = 0;

	args[0] = CStringGetTextDatum(name);
	fs_spi_begin();
	known = fs_spi("DELETE FROM fairsched.workers WHERE worker = $1", 1, types, args, NULL);
	fs_spi_end();
	FsLockShared();
	w = fs_worker_find(fs_my_db, name);
	if (w != FS_NONE)
		room = fs_workers[w].running;
	FsUnlock();
	if (w == FS_NONE)
	{
		if (known == 0)
			ereport(ERROR,
					(errcode(ERRCODE_FS_UNKNOWN_WORKER),
					 errmsg("worker \"%s\" is not known", name),
					 errhint("fairsched.worker_status lists the workers.")));
		PG_RETURN_INT32(0);
	}
	held = palloc0(sizeof(FsHeld) * (room + 1));
	FsLockShared();
	for (int32 l = fs_workers[w].leases; l != FS_NONE && n < room; l = fs_leases[l].worker_next)
		if (fs_leases[l].state == FS_LEASE_ACTIVE)
		{
			held[n].job_id = fs_leases[l].job_id;
			held[n++].token = fs_leases[l].token;
		}
	FsUnlock();
	for (int i = 0; i < n; i++)
		if (fs_give_back(db, &held[i], FS_JOB_AVAILABLE, GetCurrentTimestamp(), (Datum) 0))
			given++;
	fs_ledger_worker(w, false, 0, "", 0, NULL);
	PG_RETURN_INT32(given);
}

/* ---------- drain ---------- */

static void
set_drained(bool drained)
{
	Oid			types[1] = {BOOLOID};
	Datum		args[1] = {BoolGetDatum(drained)};

	fs_spi_begin();
	fs_spi("UPDATE fairsched.control SET drained = $1", 1, types, args, NULL);
	fs_spi_end();
	fs_ledger_drained(drained);
}

/* CALL fairsched_drain(timeout) */
Datum
fs_drain(PG_FUNCTION_ARGS)
{
	FsDatabase *db;
	int64		timeout;
	TimestampTz give_up;

	fs_need_arg(fcinfo, 0, "timeout");
	timeout = fs_interval_usec(PG_GETARG_DATUM(0), "timeout", true);
	if (!fcinfo->context || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("fairsched_drain cannot run inside a transaction block"),
				 errhint("CALL it outside of BEGIN: it commits before it waits.")));
	db = fs_state_ready("fairsched_drain()");
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect_ext failed");
	fs_push_snapshot();
	set_drained(true);
	fs_pop_snapshot();
	SPI_commit();
	give_up = GetCurrentTimestamp() + timeout;
	while (db->running > 0 && GetCurrentTimestamp() < give_up && db->drained)
		nap(10);
	if (db->running > 0)
		ereport(WARNING,
				(errmsg_plural("%d job is still running", "%d jobs are still running",
							   db->running, db->running),
				 errhint("No new ones are handed out. fairsched.running_jobs lists them; fairsched_undrain() ends the drain.")));
	SPI_finish();
	PG_RETURN_VOID();
}

/* fairsched_undrain() */
Datum
fs_undrain(PG_FUNCTION_ARGS)
{
	(void) fs_state_ready("fairsched_undrain()");
	set_drained(false);
	PG_RETURN_VOID();
}

/* ---------- changes by others ---------- */

/*
 * Row trigger of job tables: rows changed by COPY of a restore, by logical
 * replication, or by hand.  A job cannot arrive running: nobody holds it.
 */
Datum
fs_jobs_changed(PG_FUNCTION_ARGS)
{
	TriggerData *t = (TriggerData *) fcinfo->context;
	HeapTuple	row;
	TupleDesc	desc;
	int			state;
	bool		isnull;
	Datum		d;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("fairsched.jobs_changed() must be called as a trigger")));
	row = TRIGGER_FIRED_BY_UPDATE(t->tg_event) ? t->tg_newtuple : t->tg_trigtuple;
	if (fs_own_changes || !fs_preloaded)
		return PointerGetDatum(row);
	(void) fs_state_attach();
	fs_ledger_rescan(false);
	if (!TRIGGER_FIRED_BEFORE(t->tg_event) || !TRIGGER_FIRED_BY_INSERT(t->tg_event))
		return PointerGetDatum(row);
	desc = RelationGetDescr(t->tg_relation);
	state = SPI_fnumber(desc, "state");
	d = heap_getattr(row, state, desc, &isnull);
	if (!isnull && strcmp(TextDatumGetCString(d), "running") == 0)
	{
		Datum		available = CStringGetTextDatum("available");
		bool		null = false;

		row = heap_modify_tuple_by_cols(row, desc, 1, &state, &available, &null);
	}
	return PointerGetDatum(row);
}

/* fairsched.log_table(n): running jobs were moved into job table n. */
Datum
fs_log_table(PG_FUNCTION_ARGS)
{
	fs_claim_log_table(fs_state_ready("a change of a workspace"), PG_GETARG_INT32(0));
	PG_RETURN_VOID();
}

/* Trigger of tiers, job_kinds and workspaces. */
Datum
fs_settings_changed(PG_FUNCTION_ARGS)
{
	TriggerData *t = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("fairsched.settings_changed() must be called as a trigger")));
	CacheInvalidateRelcache(t->tg_relation);
	if (!fs_own_changes && fs_preloaded)
	{
		(void) fs_state_attach();
		fs_ledger_settings_stale();
	}
	return PointerGetDatum(NULL);
}

/* ---------- check ---------- */

/* fairsched.repair_job(job_id): a running row that nobody holds becomes available. */
Datum
fs_repair_job(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_check()");
	int64		job_id = PG_GETARG_INT64(0);
	FsJobRel   *jr;
	HeapTuple	row = fs_rows_find(job_id, &jr);
	FsRequeue	q = {
		.state = FS_JOB_AVAILABLE,
		.returned = true,
		.cls = -1,
		.attempt = -1,
	};
	bool		leased;
	bool		done = false;

	if (row == NULL)
		PG_RETURN_BOOL(false);
	FsLockShared();
	leased = fs_lease_find(fs_my_db, job_id) != FS_NONE;
	FsUnlock();
	if (!leased && fs_job_state(row) == FS_JOB_RUNNING)
	{
		q.run_at = GetCurrentTimestamp();
		done = fs_requeue(db, jr, &row, &q, false) == FS_ROW_DONE;
	}
	fs_rows_close(jr);
	PG_RETURN_BOOL(done);
}

/* fairsched.recount(): count queue depths now. */
Datum
fs_recount(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_check()");

	(void) fs_task_run(FS_TASK_RECONCILE, db, 0);
	PG_RETURN_BOOL(db->counted);
}

/* fairsched.wait_workspace(workspace): until nothing of it runs. */
Datum
fs_workspace_wait(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_pause_workspace()");
	char	   *name = fs_arg_name(fcinfo, 0, "workspace");

	for (;;)
	{
		int32		w;
		int32		running = 0;

		FsLockShared();
		w = fs_sched_workspace_find(FsDbIndex(db), name);
		if (w != FS_NONE)
			running = fs_workspaces[w].running;
		FsUnlock();
		if (running == 0)
			break;
		nap(10);
	}
	PG_RETURN_VOID();
}

/* fairsched.memory_counts() */
Datum
fs_memory_counts(PG_FUNCTION_ARGS)
{
	typedef struct
	{
		char		name[FS_NAME_LEN + 1];
		int64		ready;
		int64		waiting;
		int64		running;
	} Row;
	FsDatabase *db;
	Row		   *rows;
	int			n = 0;
	bool		counted;
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	db = fs_state_ready("fairsched_check()");
	rows = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Row) * (Size) fs->workspaces.capacity);
	FsLockShared();
	counted = db->counted;
	for (int i = 0; i < fs->workspaces.capacity; i++)
	{
		FsWorkspace *ws = &fs_workspaces[i];

		if (ws->db != FsDbIndex(db))
			continue;
		strcpy(rows[n].name, ws->name);
		rows[n].ready = ws->ready[0] + ws->ready[1] + ws->ready[2] + ws->ready[3];
		rows[n].waiting = ws->waiting;
		rows[n++].running = ws->running;
	}
	FsUnlock();
	for (int i = 0; i < n; i++)
	{
		Datum		out[4];
		bool		nulls[4] = {false, !counted, !counted, false};

		out[0] = CStringGetTextDatum(rows[i].name);
		out[1] = Int64GetDatum(rows[i].ready);
		out[2] = Int64GetDatum(rows[i].waiting);
		out[3] = Int64GetDatum(rows[i].running);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, out, nulls);
	}
	return (Datum) 0;
}

/* fairsched.memory_leases() */
Datum
fs_memory_leases(PG_FUNCTION_ARGS)
{
	FsDatabase *db;
	int64	   *jobs;
	int64	   *tokens;
	bool	   *soft;
	int			n = 0;
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	db = fs_state_ready("fairsched_check()");
	soft = MemoryContextAllocHuge(CurrentMemoryContext, (Size) fs->leases.capacity);
	jobs = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(int64) * (Size) fs->leases.capacity);
	tokens = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(int64) * (Size) fs->leases.capacity);
	FsLockShared();
	for (int i = 0; i < fs->leases.capacity; i++)
		if (fs_leases[i].db == FsDbIndex(db) && fs_leases[i].job_id != 0 &&
			fs_leases[i].state != FS_LEASE_GONE)
		{
			jobs[n] = fs_leases[i].job_id;
			soft[n] = fs_leases[i].soft;
			tokens[n++] = fs_leases[i].token;
		}
	FsUnlock();
	for (int i = 0; i < n; i++)
	{
		Datum		out[3] = {Int64GetDatum(jobs[i]), Int64GetDatum(tokens[i]), BoolGetDatum(soft[i])};
		bool		nulls[3] = {0};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, out, nulls);
	}
	return (Datum) 0;
}

/*
 * fairsched.drop_leases(job_ids): those whose rows are not running, at commit.
 * Whoever asks may have seen rows of before the claim, so they are looked at
 * here: a lease that is active is of a claim that committed before.
 */
Datum
fs_drop_leases(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_check()");
	int			n;
	int64	   *ids = fs_int8_array(PG_GETARG_DATUM(0), &n, "job_ids");
	int			dropped = 0;

	for (int i = 0; i < n; i++)
	{
		FsHeld		held = {.job_id = ids[i]};
		FsJobRel   *jr;
		HeapTuple	row;
		int32		l;

		FsLockShared();
		l = fs_lease_find(FsDbIndex(db), ids[i]);
		if (l != FS_NONE && fs_leases[l].state == FS_LEASE_ACTIVE)
			fs_held_by(&held, &fs_leases[l]);
		FsUnlock();
		if (!held.leased)
			continue;
		row = fs_rows_find(ids[i], &jr);
		if (row)
		{
			bool		right = fs_job_state(row) == FS_JOB_RUNNING ? FsJob(row)->token == held.token
				: held.soft && fs_job_state(row) == FS_JOB_AVAILABLE;

			fs_rows_close(jr);
			if (right)
				continue;
		}
		fs_ledger_reserve(1);
		FsLock();
		l = fs_lease_find(FsDbIndex(db), ids[i]);
		if (l != FS_NONE && fs_leases[l].state == FS_LEASE_ACTIVE && fs_leases[l].token == held.token)
		{
			fs_ledger_finish(l, FS_CONTINUE, 0);
			dropped++;
		}
		FsUnlock();
		CHECK_FOR_INTERRUPTS();
	}
	PG_RETURN_INT32(dropped);
}
