/*
 * views.c
 *		What dashboards read: shared memory as rows.
 *
 * Each view of schema fairsched has a set-returning function here.  It walks
 * one pool by index, a bounded piece at a time: under fs->lock (shared) it
 * copies what belongs to this database into memory that was allocated before,
 * releases the lock, then makes rows of the copies.  So a reader never holds
 * up a claim for longer than a few microseconds, however much there is to
 * show; the price is that a result is not of one instant: something that is
 * made or freed meanwhile may or may not be in it.  Each row by itself is
 * consistent.  The cost is O(most that were in the pool at once), jobs are never
 * scanned.
 *
 * The two columns that need a job's row are functions of their own
 * (views_rows.c), so that only who selects them pays.
 *
 * Rights: a function in a view is checked against the caller, not against the
 * view's owner, so EXECUTE alone would make GRANT SELECT ON a view useless.
 * The functions are therefore executable by PUBLIC and ask here for what
 * counts: SELECT on (all of) a view that is made of them.  Nobody learns more
 * from calling one than from reading its view.
 *
 * After a restart memory is empty until the first call builds it.  A reader is
 * as good a first call as any, where it may write: not on a standby, nor in a
 * read-only transaction.  There the views have no rows from memory.
 */
#include "views.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "heartbeat.h"
#include "lease.h"
#include "park.h"
#include "placement.h"
#include "softclaim.h"
#include "tasks.h"
#include "text.h"

#define VIEW_SLOTS 512			/* pool entries looked at while the lock is
								 * held */
#define VIEW_ROWS 32			/* of these, rows copied */
#define STATUS_POOLS 5			/* pools that database_status tells of */

/* ---------- rights and state ---------- */

static bool
may_read(const char *view)
{
	Oid			relid = get_relname_relid(view, fs_catalog()->nsp);

	return OidIsValid(relid) && pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
}

/* fs_view_check: raise unless the caller may read one of these views as a whole. */
void
fs_view_check(const char *view, const char *or_view)
{
	if (may_read(view) || (or_view != NULL && may_read(or_view)))
		return;
	aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_VIEW, view);
}

/*
 * fs_view_state: memory as up to date as this transaction may make it; NULL when
 * it is not built and may not be built from here.  May raise, and wait for who
 * is building.
 */
FsDatabase *
fs_view_state(const char *view)
{
	FsDatabase *db = fs_state_peek();

	if (!RecoveryInProgress() && !XactReadOnly && !IsInParallelMode() &&
		(db == NULL || db->rescan || db->tiers_stale))
		db = fs_state_ready(psprintf("SELECT FROM fairsched.%s", view));
	return db;
}

/* fs_view_ours: is the slot still ours? fs->lock held; false after a DROP EXTENSION elsewhere. */
bool
fs_view_ours(int32 db)
{
	return fs_dbs[db].state == FS_DB_READY && fs_dbs[db].dboid == MyDatabaseId;
}

/* ---------- walking a pool ---------- */

/* fs_view_walk: see views.h. */
void
fs_view_walk(FsWalk *walk)
{
	char	   *rows = palloc(walk->row_size * VIEW_ROWS);
	MemoryContext piece = AllocSetContextCreate(CurrentMemoryContext, "fairsched view rows",
												ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	int			at = 0;

	walk->db = fs_my_db;
	walk->now = GetCurrentTimestamp();
	while (at < walk->capacity)
	{
		int			end = Min(at + VIEW_SLOTS, walk->capacity);
		int			n = 0;
		bool		ours;

		CHECK_FOR_INTERRUPTS();
		FsLockShared();
		ours = fs_view_ours(walk->db);
		if (ours)
			for (; at < end && n < VIEW_ROWS; at++)
				if (walk->copy(walk, at, rows + n * walk->row_size))
					n++;
		FsUnlock();
		if (!ours)
			break;

		old = MemoryContextSwitchTo(piece);
		for (int i = 0; i < n; i++)
			walk->emit(walk, rows + i * walk->row_size);
		MemoryContextSwitchTo(old);
		MemoryContextReset(piece);
	}
	MemoryContextDelete(piece);
	pfree(rows);
}

void
fs_view_put(FsWalk *walk, Datum *values, bool *nulls)
{
	tuplestore_putvalues(walk->result->setResult, walk->result->setDesc, values, nulls);
}

/* ---------- datums ---------- */

static Datum
text_datum(const char *s)
{
	return CStringGetTextDatum(s);
}

static Datum
interval_datum(int64 usec)
{
	Interval   *result = palloc0(sizeof(Interval));

	result->time = usec;
	return IntervalPGetDatum(result);
}

/* fs_view_park_word: of a workspace; what holds up the whole database comes first. */
const char *
fs_view_park_word(bool drained, FsPark parked)
{
	return drained ? "drained" : FsParkNames[parked];
}

/* ---------- workspace_status ---------- */

typedef struct FsWorkspaceRow
{
	FsWorkspace ws;
	char		tier[sizeof(((FsTier *) 0)->name)];
	int64		deficit;
	int32		ceiling;
	bool		counted;
	bool		drained;
	bool		no_node;		/* nobody lives where it is placed */
	TimestampTz no_node_since;	/* 0: not known */
} FsWorkspaceRow;

static bool
workspace_copy(FsWalk *walk, int32 at, void *to)
{
	const FsWorkspace *ws = &fs_workspaces[at];
	const FsDatabase *db = &fs_dbs[walk->db];
	FsWorkspaceRow *row = to;

	if (ws->db != walk->db)
		return false;
	row->ws = *ws;
	row->tier[0] = '\0';
	if (ws->set.tier_id >= 0 && ws->set.tier_id < db->ntiers)
		strlcpy(row->tier, db->tiers[ws->set.tier_id].name, sizeof(row->tier));
	row->deficit = 0;
	for (int32 s = ws->shares; s != FS_NONE; s = fs_shares[s].next)
		row->deficit += fs_shares[s].drr.deficit;
	row->ceiling = fs_sched_ceiling(ws);
	row->no_node = !fs_holders_live(ws->holders, walk->now);
	row->no_node_since = row->no_node ? fs_holders_died(ws->holders) : 0;
	row->counted = db->counted;
	row->drained = db->drained;
	return true;
}

/* fs_view_ready: of all priorities; while a count runs a figure may be below zero for a moment. */
int64
fs_view_ready(const FsWorkspace *ws)
{
	int64		ready = 0;

	for (int i = 0; i < FS_CLASSES; i++)
		ready += ws->ready[i];
	return Max(ready, 0);
}

static void
workspace_emit(FsWalk *walk, const void *from)
{
	const FsWorkspaceRow *row = from;
	const FsWorkspace *ws = &row->ws;
	const char *park = fs_view_park_word(row->drained, ws->parked);
	TimestampTz since = ws->parked == FS_PARK_NONE ? 0 : ws->parked_since;
	Datum		values[18] = {0};
	bool		nulls[18] = {0};

	if (park == NULL && row->no_node)
	{
		park = FsParkNames[FS_PARK_NODE];
		since = row->no_node_since;
	}
	values[0] = text_datum(ws->name);
	nulls[1] = row->tier[0] == '\0';
	if (!nulls[1])
		values[1] = text_datum(row->tier);
	values[2] = text_datum(ws->set.quota_class == FS_QUOTA_ENTERPRISE ? "enterprise" : "default");
	values[3] = Float8GetDatum(ws->set.weight);
	values[4] = Int32GetDatum(ws->set.quantum);
	values[5] = Int64GetDatum(row->deficit);
	nulls[6] = nulls[7] = !row->counted;
	values[6] = Int64GetDatum(fs_view_ready(ws));
	values[7] = Int64GetDatum(Max(ws->waiting, 0));
	values[8] = Int32GetDatum(ws->running);
	values[9] = Int32GetDatum(row->ceiling);
	values[10] = BoolGetDatum(ws->set.paused);
	nulls[11] = park == NULL;
	if (!nulls[11])
		values[11] = text_datum(park);
	nulls[12] = row->drained || !fs_park_by_gate(ws->parked) || ws->why.retry_at == 0;
	values[12] = TimestampTzGetDatum(ws->why.retry_at);
	values[13] = BoolGetDatum(ws->set.job_table != 0);
	nulls[14] = since == 0;
	values[14] = TimestampTzGetDatum(since);
	values[15] = Int64GetDatum(ws->set.max_queue_size >= 0 ? ws->set.max_queue_size
							   : fs_max_queue_size);
	values[16] = Int64GetDatum(ws->served_jobs);
	values[17] = Int64GetDatum(ws->served_cost);
	fs_view_put(walk, values, nulls);
}

PG_FUNCTION_INFO_V1(fs_view_workspace_status);
Datum
fs_view_workspace_status(PG_FUNCTION_ARGS)
{
	FsWalk		walk = {0};

	fs_view_check("workspace_status", NULL);
	InitMaterializedSRF(fcinfo, 0);
	if (fs_view_state("workspace_status") == NULL)
		return (Datum) 0;
	walk.capacity = fs->workspaces.high;
	walk.row_size = sizeof(FsWorkspaceRow);
	walk.copy = workspace_copy;
	walk.emit = workspace_emit;
	walk.result = (ReturnSetInfo *) fcinfo->resultinfo;
	fs_view_walk(&walk);
	return (Datum) 0;
}

/* ---------- worker_status ---------- */

/* fs_view_alive: did it call lately? */
bool
fs_view_alive(const FsWorker *worker, TimestampTz now)
{
	return worker->last_seen + FsMsToUsec(fs_worker_timeout) > now;
}

/* Workers that never registered are of interest while they call or hold something. */
static bool
worker_copy(FsWalk *walk, int32 at, void *to)
{
	const FsWorker *worker = &fs_workers[at];

	if (worker->db != walk->db ||
		(!worker->declared && worker->running == 0 && !fs_view_alive(worker, walk->now)))
		return false;
	*(FsWorker *) to = *worker;
	return true;
}

static void
worker_emit(FsWalk *walk, const void *from)
{
	const FsWorker *worker = from;
	Datum		values[8] = {0};
	bool		nulls[8] = {0};

	values[0] = text_datum(worker->name);
	nulls[1] = worker->node[0] == '\0';
	if (!nulls[1])
		values[1] = text_datum(worker->node);
	values[2] = fs_caps_array(worker->caps, worker->caps_len);
	values[3] = Int32GetDatum(worker->slots);
	values[4] = Int32GetDatum(worker->running);
	nulls[5] = worker->last_seen == 0;
	values[5] = TimestampTzGetDatum(worker->last_seen);
	values[6] = BoolGetDatum(fs_view_alive(worker, walk->now));
	values[7] = BoolGetDatum(worker->declared);
	fs_view_put(walk, values, nulls);
}

PG_FUNCTION_INFO_V1(fs_view_worker_status);
Datum
fs_view_worker_status(PG_FUNCTION_ARGS)
{
	FsWalk		walk = {0};

	fs_view_check("worker_status", "node_status");
	InitMaterializedSRF(fcinfo, 0);
	if (fs_view_state("worker_status") == NULL)
		return (Datum) 0;
	walk.capacity = fs->workers.high;
	walk.row_size = sizeof(FsWorker);
	walk.copy = worker_copy;
	walk.emit = worker_emit;
	walk.result = (ReturnSetInfo *) fcinfo->resultinfo;
	fs_view_walk(&walk);
	return (Datum) 0;
}

/* ---------- running_jobs ---------- */

typedef struct FsLeaseRow
{
	FsLease		lease;
	char		workspace[FS_NAME_LEN + 1];
	char		lane[FS_NAME_LEN + 1];
	char		worker[FS_NAME_LEN + 1];
} FsLeaseRow;

static bool
lease_copy(FsWalk *walk, int32 at, void *to)
{
	const FsLease *lease = &fs_leases[at];
	FsLeaseRow *row = to;

	if (lease->db != walk->db ||
		(lease->state != FS_LEASE_ACTIVE && lease->state != FS_LEASE_ENDING))
		return false;
	row->lease = *lease;
	strlcpy(row->workspace, fs_workspaces[lease->workspace].name, sizeof(row->workspace));
	strlcpy(row->lane, fs_lanes[fs_shares[lease->share].lane].name, sizeof(row->lane));
	row->worker[0] = '\0';
	if (lease->worker != FS_NONE)
		strlcpy(row->worker, fs_workers[lease->worker].name, sizeof(row->worker));
	return true;
}

static void
lease_emit(FsWalk *walk, const void *from)
{
	const FsLeaseRow *row = from;
	const FsLease *lease = &row->lease;
	Datum		values[15] = {0};
	bool		nulls[15] = {0};

	values[0] = Int64GetDatum(lease->job_id);
	values[1] = text_datum(row->workspace);
	values[2] = text_datum(row->lane);
	values[3] = text_datum(FsPriorityNames[FsSlotClass(lease->rank_slot)]);
	nulls[4] = row->worker[0] == '\0';
	if (!nulls[4])
		values[4] = text_datum(row->worker);
	values[5] = Int64GetDatum(lease->token);
	values[6] = Int32GetDatum(lease->attempt);
	values[7] = TimestampTzGetDatum(lease->claimed_at);
	values[8] = TimestampTzGetDatum(lease->expires_at);
	values[9] = text_datum(FsDirectiveNames[lease->directive]);
	values[10] = Int32GetDatum(lease->job_table);
	values[11] = Int32GetDatum(lease->cost);
	nulls[12] = TIMESTAMP_NOT_FINITE(lease->deadline) || lease->deadline == 0;
	values[12] = TimestampTzGetDatum(lease->deadline);
	nulls[13] = !lease->has_request;
	values[13] = UUIDPGetDatum(&lease->request);
	values[14] = BoolGetDatum(!lease->soft);
	fs_view_put(walk, values, nulls);
}

PG_FUNCTION_INFO_V1(fs_view_running_jobs);
Datum
fs_view_running_jobs(PG_FUNCTION_ARGS)
{
	FsWalk		walk = {0};

	fs_view_check("running_jobs", NULL);
	InitMaterializedSRF(fcinfo, 0);
	if (fs_view_state("running_jobs") == NULL)
		return (Datum) 0;
	walk.capacity = fs->leases.high;
	walk.row_size = sizeof(FsLeaseRow);
	walk.copy = lease_copy;
	walk.emit = lease_emit;
	walk.result = (ReturnSetInfo *) fcinfo->resultinfo;
	fs_view_walk(&walk);
	return (Datum) 0;
}

/*
 * fs_job_lease(job_id, token): when this claim of a job was made, by whom, and
 * until when it holds; all NULL when nobody holds it so, as far as memory knows.
 * For a soft claim, whose token its row does not have, also the attempt.
 * For fairsched_job_status, which is not refused where there is no memory.
 */
PG_FUNCTION_INFO_V1(fs_job_lease);
Datum
fs_job_lease(PG_FUNCTION_ARGS)
{
	FsLeaseRow	row;
	FsWalk		walk = {0};
	bool		found = false;
	TupleDesc	desc;
	Datum		values[4] = {0};
	bool		nulls[4] = {true, true, true, true};
	int32		soft_attempt = 0;

	if (fs_preloaded && fs_state_peek() != NULL)
	{
		int32		l;

		walk.db = fs_my_db;
		FsLockShared();
		if (fs_view_ours(walk.db))
		{
			l = fs_lease_find(walk.db, PG_GETARG_INT64(0));
			found = l != FS_NONE &&
				(fs_leases[l].token == PG_GETARG_INT64(1) || fs_leases[l].soft) &&
				lease_copy(&walk, l, &row);
		}
		FsUnlock();
		soft_attempt = fs_soft_attempt(PG_GETARG_INT64(0));
	}
	if (found)
	{
		nulls[0] = nulls[2] = false;
		values[0] = TimestampTzGetDatum(row.lease.claimed_at);
		nulls[1] = row.worker[0] == '\0';
		if (!nulls[1])
			values[1] = text_datum(row.worker);
		values[2] = TimestampTzGetDatum(row.lease.expires_at);
	}
	nulls[3] = soft_attempt == 0;
	values[3] = Int32GetDatum(soft_attempt);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* ---------- maintenance_status ---------- */

PG_FUNCTION_INFO_V1(fs_view_maintenance_status);
Datum
fs_view_maintenance_status(PG_FUNCTION_ARGS)
{
	FsTaskStatus *tasks = palloc(sizeof(FsTaskStatus) * FS_TASK_COUNT);
	FsWalk		walk = {0};
	bool		ours;

	fs_view_check("maintenance_status", NULL);
	InitMaterializedSRF(fcinfo, 0);
	if (fs_view_state("maintenance_status") == NULL)
		return (Datum) 0;
	walk.result = (ReturnSetInfo *) fcinfo->resultinfo;

	FsLockShared();
	ours = fs_view_ours(fs_my_db);
	memcpy(tasks, fs_dbs[fs_my_db].tasks, sizeof(FsTaskStatus) * FS_TASK_COUNT);
	FsUnlock();
	for (int i = 0; i < FS_TASK_COUNT && ours; i++)
	{
		FsTaskStatus *t = &tasks[i];
		Datum		values[6] = {0};
		bool		nulls[6] = {0};

		values[0] = text_datum(FsTaskNames[i]);
		nulls[1] = nulls[2] = t->last_run == 0;
		values[1] = TimestampTzGetDatum(t->last_run);
		if (!nulls[2])
			values[2] = interval_datum(t->last_usec);
		nulls[3] = t->last_error[0] == '\0';
		if (!nulls[3])
			values[3] = text_datum(t->last_error);
		nulls[4] = t->next_run == 0 || TIMESTAMP_NOT_FINITE(t->next_run);
		values[4] = TimestampTzGetDatum(t->next_run);
		values[5] = Int32GetDatum(t->failures);
		fs_view_put(&walk, values, nulls);
	}
	return (Datum) 0;
}

/* ---------- database_status ---------- */

static const char *
state_word(FsDbState state)
{
	switch (state)
	{
		case FS_DB_READY:
			return "ready";
		case FS_DB_BUILDING:
			return "building";
		default:
			return "empty";
	}
}

PG_FUNCTION_INFO_V1(fs_view_database_status);
Datum
fs_view_database_status(PG_FUNCTION_ARGS)
{
	const FsPool *pools[STATUS_POOLS];
	int32		used[STATUS_POOLS];
	int32		capacity[STATUS_POOLS];
	FsDatabase *d;
	FsDatabase	db;
	FsWalk		walk = {0};
	int64		visits;
	Datum		values[9 + 2 * STATUS_POOLS] = {0};
	bool		nulls[9 + 2 * STATUS_POOLS] = {0};

	fs_view_check("database_status", NULL);
	InitMaterializedSRF(fcinfo, 0);
	walk.result = (ReturnSetInfo *) fcinfo->resultinfo;
	if (fs_view_state("database_status") == NULL)
		(void) fs_state_attach();
	d = &fs_dbs[fs_my_db];
	pools[0] = &fs->workspaces;
	pools[1] = &fs->flows;
	pools[2] = &fs->rings;
	pools[3] = &fs->leases;
	pools[4] = &fs->workers;

	FsLockShared();
	db.state = fs_view_ours(fs_my_db) ? FS_DB_READY
		: d->state == FS_DB_BUILDING ? FS_DB_BUILDING : FS_DB_EMPTY;
	db.drained = d->drained;
	db.counted = d->counted;
	db.running = d->running;
	db.live_slots = d->live_slots;
	db.rebuilds = d->rebuilds;
	db.rebuilt_at = d->rebuilt_at;
	db.worker_pid = d->worker_pid;
	visits = fs_dbs[fs_my_db].visits;
	for (int i = 0; i < STATUS_POOLS; i++)
	{
		used[i] = pools[i]->used;
		capacity[i] = pools[i]->capacity;
	}
	FsUnlock();

	values[0] = text_datum(state_word(db.state));
	nulls[1] = nulls[2] = nulls[3] = nulls[4] = nulls[6] = db.state != FS_DB_READY;
	values[1] = BoolGetDatum(db.drained);
	values[2] = BoolGetDatum(db.counted);
	values[3] = Int32GetDatum(db.running);
	values[4] = Int32GetDatum(db.live_slots);
	values[5] = Int64GetDatum(db.rebuilds);
	nulls[6] |= db.rebuilt_at == 0;
	values[6] = TimestampTzGetDatum(db.rebuilt_at);
	nulls[7] = db.worker_pid == 0;
	values[7] = Int32GetDatum(db.worker_pid);
	for (int i = 0; i < STATUS_POOLS; i++)
	{
		values[8 + 2 * i] = Int32GetDatum(used[i]);
		values[9 + 2 * i] = Int32GetDatum(capacity[i]);
	}
	nulls[8 + 2 * STATUS_POOLS] = db.state != FS_DB_READY;
	values[8 + 2 * STATUS_POOLS] = Int64GetDatum(visits);
	fs_view_put(&walk, values, nulls);
	return (Datum) 0;
}

/*
 * fs_view_scheduler_state: for views that must tell "none" from "not known":
 * as database_status.state, or "counted" when queue depths are known as well.
 */
PG_FUNCTION_INFO_V1(fs_view_scheduler_state);
Datum
fs_view_scheduler_state(PG_FUNCTION_ARGS)
{
	FsDatabase *db;

	if (!may_read("fairness"))
		fs_view_check("workspace_status", "worker_status");
	db = fs_view_state("workspace_status");
	PG_RETURN_TEXT_P(cstring_to_text(db == NULL ? state_word(fs_state_attach()->state)
									 : db->counted ? "counted" : "ready"));
}
