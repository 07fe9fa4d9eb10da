/*
 * usage.c
 *		What workspaces use: reported at completion, recorded, checked, enforced.
 *
 * Usage is a row of workspace_usage and, where the workspace has limits, a
 * count in memory: added when the statement runs, under fs->lock together with
 * the check, so that of two calls that fit only alone one is allowed; confirmed
 * at commit, when the throttle is looked at; taken back at abort (ledger.c).
 * What ws_limits_load.c says about the advisory lock keeps the two in step.
 *
 * The level of storage is a row that is locked before memory is looked at.
 */
#include "usage.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "admit.h"
#include "amount.h"
#include "ledger.h"
#include "flows.h"
#include "requeue.h"
#include "rows_insert.h"
#include "text.h"
#include "views.h"

PG_FUNCTION_INFO_V1(fs_check_quota);
PG_FUNCTION_INFO_V1(fs_enforce_quota);
PG_FUNCTION_INFO_V1(fs_record_usage);
PG_FUNCTION_INFO_V1(fs_view_workspace_usage);
PG_FUNCTION_INFO_V1(fs_usage_changed);

typedef struct FsAnswer
{
	bool		limited;		/* there is a quota */
	FsFit		fit;
	int64		used;
	int64		quota;
	int64		burst;
	TimestampTz retry_at;		/* 0: not known */
} FsAnswer;

/* ---------- memory ---------- */

/* How does this amount fit? fs->lock held. */
static void
judge(int32 db, int32 l, const char *workspace, FsResource r, int64 amount, TimestampTz now, FsAnswer *a)
{
	int32		w = fs_sched_workspace_find(db, workspace);
	FsLimits   *limits = l == FS_NONE ? NULL : &fs_limits[l];
	bool		burst = false;

	memset(a, 0, sizeof(FsAnswer));
	if (w != FS_NONE)
		a->used = fs_workspaces[w].held[r];
	if (limits == NULL)
		return;
	a->used += fs_limits_used(limits, r, now);
	if (!(limits->set.has & FsResourceBit(r)))
		return;
	a->limited = true;
	a->quota = limits->set.quota[r].quota;
	a->burst = limits->set.quota[r].burst;
	if (FsResourceBit(r) & FS_BURST_MASK)
		burst = burst_may(&limits->burst[r], &limits->set.quota[r], now);
	a->fit = quota_fit(&limits->set.quota[r], a->used, amount, burst);
	if (a->fit != FS_FITS_NOT)
		return;
	if (FsResourceBit(r) & FS_CONSUMED_MASK)
		a->retry_at = window_lifts_at(FsWindowOf(limits, r), a->quota - amount -
									  (w == FS_NONE ? 0 : fs_workspaces[w].held[r]));
	else if ((FsResourceBit(r) & FS_BURST_MASK) && a->used + amount <= a->quota + a->burst)
		a->retry_at = burst_lifts_at(&limits->burst[r], &limits->set.quota[r]);
	a->retry_at = Max(a->retry_at, 0);
}

typedef enum FsAsk
{
	ASK_CHECK,					/* changes nothing */
	ASK_RECORD,					/* it was used */
	ASK_ENFORCE					/* recorded if it fits */
} FsAsk;

/* Decide and count in one critical section; true: to be recorded. */
static bool
ask(FsDatabase *db, const char *workspace, FsResource r, int64 amount, FsAsk what,
	int64 job_id, const char *run_id, TimestampTz now, FsAnswer *a)
{
	bool		locked = false;
	bool		record;
	int32		l;
	char	   *run = run_id && what != ASK_CHECK ? MemoryContextStrdup(TopTransactionContext, run_id) : NULL;

	for (;;)
	{
		fs_ledger_reserve(1);
		FsLock();
		l = fs_limits_find(FsDbIndex(db), workspace);
		if (l != FS_NONE || locked || what == ASK_CHECK)
			break;
		FsUnlock();
		fs_limits_lock_usage(workspace, false);
		locked = true;
	}
	judge(FsDbIndex(db), l, workspace, r, amount, now, a);
	record = what == ASK_RECORD || (what == ASK_ENFORCE && a->fit != FS_FITS_NOT);
	if (l != FS_NONE && record && !(FsResourceBit(r) & FS_HELD_MASK))
		fs_ledger_usage(l, r, amount, job_id, run, now);
	if (what == ASK_ENFORCE && a->fit != FS_FITS)
	{
		(void) fs_limits_breach(l, r, a->fit == FS_FITS_BURST ? FS_BREACH_BURST : FS_BREACH_REJECT,
								a->used + amount, job_id, run_id, now);
	}
	FsUnlock();
	return record;
}

/* ---------- rows ---------- */

static void
insert_usage(const char *workspace, FsResource r, int64 amount, int64 job_id, const char *run_id, TimestampTz now)
{
	Oid			nsp = fs_catalog()->nsp;
	Relation	rel = table_open(get_relname_relid("workspace_usage", nsp), RowExclusiveLock);
	Datum		values[7];
	bool		nulls[7] = {0};

	values[0] = Int64GetDatum(nextval_internal(get_relname_relid("usage_seq", nsp), false));
	values[1] = CStringGetTextDatum(workspace);
	values[2] = CStringGetTextDatum(FsResourceNames[r]);
	values[3] = fs_amount_datum(amount);
	values[4] = Int64GetDatum(job_id);
	nulls[4] = job_id == 0;
	nulls[5] = run_id == NULL;
	if (run_id)
		values[5] = CStringGetTextDatum(run_id);
	values[6] = TimestampTzGetDatum(now);
	fs_rows_insert_plain(rel, heap_form_tuple(RelationGetDescr(rel), values, nulls));
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

/* The level of storage, its row locked; made when new. */
static int64
lock_level(const char *workspace)
{
	bool		quiet = fs_own_changes;
	Oid			types[1] = {TEXTOID};
	Datum		args[1];
	bool		isnull;
	int64		level;

	args[0] = CStringGetTextDatum(workspace);
	fs_own_changes = true;
	fs_spi_begin();
	do
	{
		CHECK_FOR_INTERRUPTS();
		fs_spi("INSERT INTO fairsched.workspace_levels (workspace, resource, level) VALUES ($1, 'storage', 0) "
			   "ON CONFLICT DO NOTHING", 1, types, args, NULL);
		/* it may be deleted between the two, by hand or with the workspace */
	} while (fs_spi("SELECT level FROM fairsched.workspace_levels WHERE workspace = $1 AND resource = 'storage' FOR UPDATE",
					1, types, args, NULL) == 0);
	level = fs_amount_numeric(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull),
							  "level", FS_QUOTA_MAX, false);
	fs_spi_end();
	fs_own_changes = quiet;
	return level;
}

static void
set_level(const char *workspace, int64 level)
{
	bool		quiet = fs_own_changes;
	Oid			types[2] = {TEXTOID, NUMERICOID};
	Datum		args[2];

	args[0] = CStringGetTextDatum(workspace);
	args[1] = fs_amount_datum(level);
	fs_own_changes = true;
	fs_spi_begin();
	fs_spi("UPDATE fairsched.workspace_levels SET level = $2, updated_at = clock_timestamp() "
		   "WHERE workspace = $1 AND resource = 'storage'", 2, types, args, NULL);
	fs_spi_end();
	fs_own_changes = quiet;
}

/* All of it: rows and memory.  Returns whether it was recorded. */
static bool
use(FsDatabase *db, const char *workspace, FsResource r, int64 amount, bool absolute, FsAsk what,
	int64 job_id, const char *run_id, FsAnswer *a)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		level = 0;
	char text[	48];

	if (r == FS_RES_STORAGE && what != ASK_CHECK)
	{
		level = lock_level(workspace);
		if (absolute)
			amount -= level;
		if (level + amount < 0 || level + amount > FS_QUOTA_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("storage of workspace \"%s\" would be out of range", workspace),
					 errdetail("It is %s GB.", fs_amount_text(level, text, sizeof(text))),
					 errhint("Set it with absolute => true.")));
	}
	if (!ask(db, workspace, r, amount, what, job_id, run_id, now, a))
		return false;
	if (amount != 0 || what == ASK_RECORD)
		insert_usage(workspace, r, amount, job_id, run_id, now);
	if (r == FS_RES_STORAGE && amount != 0)
		set_level(workspace, level + amount);
	return true;
}

/* ---------- completion ---------- */

void
fs_usage_check(Datum usage)
{
	Jsonb	   *jb = DatumGetJsonbP(usage);
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken t;
	int			depth = 0;
	char	   *key = NULL;

	if (!JB_ROOT_IS_OBJECT(jb))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("usage must be an object"),
				 errhint("Use for example '{\"tokens\": 1200, \"cost\": 0.25}'.")));
	it = JsonbIteratorInit(&jb->root);
	while ((t = JsonbIteratorNext(&it, &v, false)) != WJB_DONE)
	{
		if (t == WJB_BEGIN_OBJECT || t == WJB_BEGIN_ARRAY)
			depth++;
		if (t == WJB_KEY)
			key = pnstrdup(v.val.string.val, Min(v.val.string.len, FS_NAME_LEN));
		if (depth > 1 || (t == WJB_VALUE && v.type != jbvNumeric))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("usage must be numbers that are not negative"),
					 errhint("Use for example '{\"tokens\": 1200, \"cost\": 0.25}'.")));
		if (t == WJB_VALUE)
			(void) fs_amount_numeric(NumericGetDatum(v.val.numeric), key, FS_NEED_MAX, false);
	}
}

void
fs_usage_of_job(FsDatabase *db, FsJobRel *jr, HeapTuple row, Datum usage)
{
	char	   *workspace = fs_row_text(jr, row, FS_COL_WORKSPACE);
	char	   *run_id = fs_row_text(jr, row, FS_COL_RUN_ID);

	for (int r = 0; r < FS_RESOURCES; r++)
	{
		JsonbValue *v = getKeyJsonValueFromContainer(&DatumGetJsonbP(usage)->root, FsResourceNames[r],
													 strlen(FsResourceNames[r]), NULL);
		FsAnswer	answer;
		int64		amount;

		if (v == NULL || v->type != jbvNumeric)
			continue;
		amount = fs_amount_numeric(NumericGetDatum(v->val.numeric), FsResourceNames[r], FS_NEED_MAX, false);
		if (amount > 0)
			(void) use(db, workspace, r, amount, false, ASK_RECORD, FsJob(row)->job_id, run_id, &answer);
	}
}

/* ---------- functions ---------- */

static FsResource
resource_arg(FunctionCallInfo fcinfo, int n)
{
	char	   *name;
	int			r;

	fs_need_arg(fcinfo, n, "resource");
	name = text_to_cstring(PG_GETARG_TEXT_PP(n));
	r = fs_resource_by_name(name);
	if (r < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("resource \"%s\" does not exist", pnstrdup(name, Min(strlen(name), 64))),
				 errhint("Resources are cpu, memory, gpu, concurrent_runs, storage, tokens and cost.")));
	return r;
}

static Datum
answer(FunctionCallInfo fcinfo, FsResource r, int64 amount, const FsAnswer *a)
{
	TupleDesc	desc;
	Datum		out[6];
	bool		nulls[6] = {0};
	TimestampTz now = GetCurrentTimestamp();
	char		used[48];
	char		more[48];
	char		quota[48];
	char	   *reason;

	fs_amount_text(a->used, used, sizeof(used));
	fs_amount_text(amount, more, sizeof(more));
	fs_amount_text(a->quota, quota, sizeof(quota));
	if (!a->limited)
		reason = psprintf("no quota of %s is set", FsResourceNames[r]);
	else if (a->fit == FS_FITS)
		reason = psprintf("%s %s + %s is within %s", FsResourceNames[r], used, more, quota);
	else if (a->fit == FS_FITS_BURST)
		reason = psprintf("%s %s + %s is above %s, within the burst", FsResourceNames[r], used, more, quota);
	else
		reason = psprintf("%s %s + %s is above %s", FsResourceNames[r], used, more, quota);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	out[0] = BoolGetDatum(a->fit != FS_FITS_NOT);
	out[1] = BoolGetDatum(a->fit == FS_FITS_BURST);
	out[2] = fs_amount_datum(a->used);
	nulls[3] = !a->limited;
	out[3] = fs_amount_datum(a->quota);
	nulls[4] = a->retry_at == 0;
	if (!nulls[4])
	{
		Interval   *i = palloc0(sizeof(Interval));

		i->time = Max(a->retry_at - now, 0);
		out[4] = IntervalPGetDatum(i);
	}
	out[5] = CStringGetTextDatum(reason);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), out, nulls));
}

static char *
run_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : fs_text_name(PG_GETARG_DATUM(n), "run_id");
}

/* fairsched_check_quota(workspace, resource, amount) */
Datum
fs_check_quota(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_check_quota()");
	char	   *workspace = fs_arg_name(fcinfo, 0, "workspace");
	FsResource	r = resource_arg(fcinfo, 1);
	int64		amount;
	FsAnswer	a;

	fs_need_arg(fcinfo, 2, "amount");
	amount = fs_amount_numeric(PG_GETARG_DATUM(2), "amount", FS_NEED_MAX, false);
	(void) use(db, workspace, r, amount, false, ASK_CHECK, 0, NULL, &a);
	PG_RETURN_DATUM(answer(fcinfo, r, amount, &a));
}

/* fairsched_enforce_quota(workspace, resource, amount, job_id, run_id) */
Datum
fs_enforce_quota(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_enforce_quota()");
	char	   *workspace = fs_arg_name(fcinfo, 0, "workspace");
	FsResource	r = resource_arg(fcinfo, 1);
	int64		job_id = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT64(3);
	char	   *run_id = run_arg(fcinfo, 4);
	int64		amount;
	FsAnswer	a;

	fs_need_arg(fcinfo, 2, "amount");
	amount = fs_amount_numeric(PG_GETARG_DATUM(2), "amount", FS_NEED_MAX, false);
	(void) use(db, workspace, r, amount, false, ASK_ENFORCE, job_id, run_id, &a);
	PG_RETURN_DATUM(answer(fcinfo, r, amount, &a));
}

/* fairsched_record_usage(workspace, resource, amount, job_id, run_id, absolute) */
Datum
fs_record_usage(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_record_usage()");
	char	   *workspace = fs_arg_name(fcinfo, 0, "workspace");
	FsResource	r = resource_arg(fcinfo, 1);
	int64		job_id = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT64(3);
	char	   *run_id = run_arg(fcinfo, 4);
	bool		absolute;
	int64		amount;
	FsAnswer	a;

	fs_need_arg(fcinfo, 2, "amount");
	fs_need_arg(fcinfo, 5, "absolute");
	absolute = PG_GETARG_BOOL(5);
	if (absolute && r != FS_RES_STORAGE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("only the level of storage can be set"),
				 errhint("Leave out absolute: usage of other resources is added.")));
	amount = fs_amount_numeric(PG_GETARG_DATUM(2), "amount", FS_QUOTA_MAX, r == FS_RES_STORAGE && !absolute);
	(void) use(db, workspace, r, amount, absolute, ASK_RECORD, job_id, run_id, &a);
	PG_RETURN_VOID();
}

/* Trigger of the tables of what is used: they changed by hand, or are being restored. */
Datum
fs_usage_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("fairsched.usage_changed() must be called as a trigger")));
	if (!fs_own_changes && fs_preloaded)
	{
		(void) fs_state_attach();
		fs_ledger_usage_stale();
	}
	return PointerGetDatum(NULL);
}

/* ---------- workspace_usage_current ---------- */

typedef struct FsUsageRow
{
	char		workspace[FS_NAME_LEN + 1];
	uint32		has;
	int64		used[FS_RESOURCES];
	FsQuota		quota[FS_RESOURCES];
	TimestampTz throttled_until;
} FsUsageRow;

static bool
usage_copy(FsWalk *walk, int32 at, void *to)
{
	FsLimits   *limits = &fs_limits[at];
	FsUsageRow *row = to;

	if (limits->db != walk->db)
		return false;
	strlcpy(row->workspace, limits->name, sizeof(row->workspace));
	row->has = limits->set.has;
	row->throttled_until = limits->throttled_until;
	for (int r = 0; r < FS_RESOURCES; r++)
	{
		FsWindow	window;

		/*
		 * the lock is shared here: what has left the window is dropped from a
		 * copy
		 */
		row->used[r] = r == FS_RES_STORAGE ? limits->level : 0;
		if (FsResourceBit(r) & FS_CONSUMED_MASK)
		{
			window = *FsWindowOf(limits, r);
			window_advance(&window, walk->now);
			row->used[r] = window.total;
		}
		if (limits->workspace != FS_NONE)
			row->used[r] += fs_workspaces[limits->workspace].held[r];
		row->quota[r] = limits->set.quota[r];
	}
	return true;
}

static void
usage_emit(FsWalk *walk, const void *from)
{
	const FsUsageRow *row = from;

	for (int r = 0; r < FS_RESOURCES; r++)
	{
		bool		limited = (row->has & FsResourceBit(r)) != 0;
		Datum		values[8] = {0};
		bool		nulls[8] = {0};

		if (!limited && row->used[r] == 0)
			continue;
		values[0] = CStringGetTextDatum(row->workspace);
		values[1] = CStringGetTextDatum(FsResourceNames[r]);
		values[2] = fs_amount_datum(row->used[r]);
		nulls[3] = nulls[5] = nulls[7] = !limited;
		nulls[4] = !limited || row->quota[r].quota == 0;
		if (limited)
		{
			values[3] = fs_amount_datum(row->quota[r].quota);
			values[5] = fs_amount_datum(Max(row->used[r] - row->quota[r].quota, 0));
			values[7] = fs_amount_datum(row->quota[r].burst);
		}
		if (!nulls[4])
			values[4] = DirectFunctionCall2(numeric_round,
											DirectFunctionCall2(numeric_div,
																DirectFunctionCall2(numeric_mul, values[2],
																					NumericGetDatum(int64_to_numeric(100))),
																values[3]),
											Int32GetDatum(2));
		nulls[6] = row->throttled_until <= walk->now;
		values[6] = TimestampTzGetDatum(row->throttled_until);
		fs_view_put(walk, values, nulls);
	}
}

Datum
fs_view_workspace_usage(PG_FUNCTION_ARGS)
{
	FsWalk		walk = {0};

	fs_view_check("workspace_usage_current", NULL);
	InitMaterializedSRF(fcinfo, 0);
	if (fs_view_state("workspace_usage_current") == NULL)
		return (Datum) 0;
	walk.capacity = fs->limits.high;
	walk.row_size = sizeof(FsUsageRow);
	walk.copy = usage_copy;
	walk.emit = usage_emit;
	walk.result = (ReturnSetInfo *) fcinfo->resultinfo;
	fs_view_walk(&walk);
	return (Datum) 0;
}
