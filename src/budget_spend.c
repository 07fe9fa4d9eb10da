/*
 * budget_spend.c
 *		What jobs name and declare; what they and others spend; rows of
 *		fairsched.budgets that change.
 *
 * Spending appends one narrow row to fairsched.budget_spend and touches nothing
 * that others write: completions of one budget do not wait for each other.  The
 * row is the truth; memory adds it up at commit (ledger_items.c), the scheduler
 * folds rows into fairsched.budget_totals (budget_task.c).  What is spent of a
 * budget is always its total plus its rows that are not folded yet.  Jobs that
 * one call completes have one row for each of their budgets.
 *
 * A row belongs to the period of its budget in which it was made.  One that is
 * made before a reset and committed after it is the old period's, in memory as
 * in the tables.
 *
 * All functions run in a transaction, without fs->lock unless said otherwise.
 */
#include "budget_spend.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "amount.h"
#include "flows.h"
#include "lease.h"
#include "ledger.h"
#include "requeue.h"
#include "text.h"

PG_FUNCTION_INFO_V1(fs_record_spend);
PG_FUNCTION_INFO_V1(fs_budgets_changed);
PG_FUNCTION_INFO_V1(fs_budget_rows_changed);
PG_FUNCTION_INFO_V1(fs_read_budgets_again);
PG_FUNCTION_INFO_V1(fs_changes_are_own);

/* ---------- what a job names and declares ---------- */

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* The numbers of an object, at most `max`; returns how many it has. */
static int
read_amounts(Datum jsonb, int max, uint64 *dimension, int64 *amount)
{
	Jsonb	   *jb = DatumGetJsonbP(jsonb);
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken t;
	char	   *key = NULL;
	int			n = 0;

	if (!JB_ROOT_IS_OBJECT(jb))
		return 0;
	it = JsonbIteratorInit(&jb->root);
	while ((t = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (t == WJB_KEY)
			key = pnstrdup(v.val.string.val, v.val.string.len);
		else if (t == WJB_VALUE && v.type == jbvNumeric)
		{
			if (n < max)
			{
				dimension[n] = fs_budget_name_hash(key);
				amount[n] = fs_amount_numeric(NumericGetDatum(v.val.numeric), key, FS_QUOTA_MAX, false);
			}
			n++;
		}
	}
	return n;
}

/*
 * fs_budget_spec: what a job names and declares, for its flow; NULL when it
 * names no budget.  The kind is part of it, as its average may be the estimate.
 * Nothing is refused here (rows may come from elsewhere): a job that names too
 * many is not let in.
 */
FsBudgetSpec *
fs_budget_spec(FsDatabase *db, Datum resources, Datum budgets, const char *kind, uint64 *hash)
{
	FsBudgetSpec *spec;
	Datum	   *elems;
	bool	   *nulls;
	char	  **names;
	int			n;

	if (budgets == 0)
		return NULL;
	deconstruct_array(DatumGetArrayTypeP(budgets), TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls, &n);
	if (n == 0)
		return NULL;
	spec = palloc0(sizeof(FsBudgetSpec));
	names = palloc(sizeof(char *) * n);
	for (int i = 0; i < n; i++)
		names[i] = nulls[i] ? pstrdup("") : TextDatumGetCString(elems[i]);
	qsort(names, n, sizeof(char *), by_name);
	for (int i = 0; i < n; i++)
	{
		if (i > 0 && strcmp(names[i], names[i - 1]) == 0)
			continue;
		if (spec->n == FS_JOB_BUDGETS || strlen(names[i]) > FS_NAME_LEN)
		{
			spec->need.too_many = true;
			continue;
		}
		strcpy(spec->name[spec->n++], names[i]);
	}
	if (spec->n == 0)
		spec->n = 1;			/* the empty name, which nobody can define */
	spec->need.kind = fs_budget_name_hash(kind);
	if (resources != 0)
	{
		int			found = read_amounts(resources, FS_JOB_AMOUNTS, spec->need.dimension,
										 spec->need.declared);

		spec->need.too_many |= found > FS_JOB_AMOUNTS;
		spec->need.ndeclared = Min(found, FS_JOB_AMOUNTS);
	}
	for (int i = 0; i < 2; i++)
	{
		uint64		key = hash_bytes_extended((unsigned char *) &spec->need, sizeof(spec->need), 5 + i);

		for (int b = 0; b < spec->n; b++)
			key = hash_bytes_extended((unsigned char *) spec->name[b], strlen(spec->name[b]) + 1, key);
		spec->key[i] = key;
		hash[i] ^= key;
	}
	return spec;
}

/* fs_budget_check: refuse what a new job cannot name or declare. */
void
fs_budget_check(Datum budgets, Datum resources)
{
	uint64		hash[2] = {0, 0};
	FsBudgetSpec *spec = fs_budget_spec(NULL, resources, budgets, "", hash);

	if (spec && spec->need.too_many)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the job names too many budgets or resources"),
				 errdetail("It can name %d budgets, and with budgets %d resources.",
						   FS_JOB_BUDGETS, FS_JOB_AMOUNTS),
				 errhint("Name fewer.")));
}

/* ---------- spending ---------- */

static void
append_rows(int32 db, const FsSpendRow *rows, int n)
{
	Relation	rel;

	if (n == 0)
		return;
	rel = table_open(get_relname_relid("budget_spend", fs_catalog()->nsp), RowExclusiveLock);
	for (int i = 0; i < n; i++)
	{
		Datum		values[5] = {
			Int64GetDatum(rows[i].job_id), Int64GetDatum(rows[i].token), Int64GetDatum(rows[i].amount),
			Int32GetDatum(rows[i].budget_id), Int32GetDatum(rows[i].period)
		};
		bool		nulls[5] = {0};
		HeapTuple	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);

		heap_insert(rel, tuple, GetCurrentCommandId(true), 0, NULL);
		heap_freetuple(tuple);
	}
	table_close(rel, NoLock);
	FsLock();
	if (fs_budget_notices[db].spend_rows <= fs_budget_notices[db].spend_limit &&
		fs_budget_notices[db].spend_rows + n > fs_budget_notices[db].spend_limit)
		fs_budget_signal(db);
	fs_budget_notices[db].spend_rows += n;
	FsUnlock();
}

static int
by_budget(const void *a, const void *b)
{
	const FsSpendRow *x = a;
	const FsSpendRow *y = b;

	if (x->budget_id != y->budget_id)
		return x->budget_id < y->budget_id ? -1 : 1;
	return (x->period > y->period) - (x->period < y->period);
}

/*
 * fs_budget_spent: write what fs_budget_usage collected, a row for each budget:
 * no job of it runs any more, so nobody asks whose it was.
 */
void
fs_budget_spent(FsDatabase *db, FsSpendings *sum)
{
	int			n = 0;

	if (sum->n > 1)
		qsort(sum->rows, sum->n, sizeof(FsSpendRow), by_budget);
	for (int i = 0; i < sum->n; i++)
	{
		FsSpendRow *last = n > 0 ? &sum->rows[n - 1] : NULL;

		if (last && by_budget(last, &sum->rows[i]) == 0 && last->amount <= METER_MAX - sum->rows[i].amount)
		{
			last->job_id = last->token = 0;
			last->amount += sum->rows[i].amount;
		}
		else
			sum->rows[n++] = sum->rows[i];
	}
	append_rows(FsDbIndex(db), sum->rows, n);
}

/*
 * Put a spending into the ledger, and describe its row.  fs->lock held, room in
 * the ledger reserved.  False: nobody defined the budget.
 */
static bool
spend(int32 budget, int64 amount, int32 lease, int64 job_id, int64 token, bool ends, FsSpendRow *row)
{
	FsBudgetSettings pending;
	const FsBudgetSettings *now = &fs_budgets[budget].set;
	FsSpendItem item = {
		.budget = budget,
		.amount = amount,
		.lease = lease,
		.job_id = job_id,
		.token = token,
		.ends = ends,
	};

	if (fs_ledger_budget_pending(now->name, &pending))
		now = &pending;			/* this transaction changed it */
	if (now->id == 0)
		return false;
	item.id = now->id;
	item.period = now->period;
	row->job_id = job_id;
	row->token = token;
	row->amount = amount;
	row->budget_id = now->id;
	row->period = now->period;
	fs_ledger_spend(&item);
	return true;
}

/* Of a completed job, what it names and was expected to use: as its claim found it, else as its row says. */
typedef struct FsNamed
{
	int			n;
	int32		budget[FS_JOB_BUDGETS]; /* FS_NONE: not known */
	FsBudgetNeed need;
} FsNamed;

/* fs->lock held. False: the lease does not know. */
static bool
named_by_lease(int32 lease, FsNamed *named)
{
	const FsBudgetSet *set;

	if (lease == FS_NONE || fs_leases[lease].budget_set < 0)
		return false;
	set = &fs_budget_sets[fs_leases[lease].budget_set];
	named->n = set->n;
	memcpy(named->budget, set->budget, sizeof(int32) * set->n);
	named->need = set->need;
	return true;
}

/* What this transaction recorded of a budget for the job of a lease; it counts at commit. fs->lock held. */
static int64
recorded_here(int32 lease, int32 budget)
{
	return fs_ledger_recorded(budget, fs_leases[lease].job_id, fs_leases[lease].token);
}

/* Was something recorded for the job while it ran? fs->lock held. */
static bool
was_recorded(int32 lease)
{
	const FsBudgetSet *set = &fs_budget_sets[fs_leases[lease].budget_set];

	for (int i = 0; i < set->n; i++)
		if (fs_budget_part(lease, i)->recorded > 0 || recorded_here(lease, set->budget[i]) > 0)
			return true;
	return false;
}

/* The lease of a job under this token, or FS_NONE. fs->lock held. */
static int32
lease_of(int32 slot, int64 job_id, int64 token)
{
	int32		lease = fs_lease_find(slot, job_id);

	return lease != FS_NONE && fs_leases[lease].token == token ? lease : FS_NONE;
}

/*
 * fs_budget_usage: a job is completed: what it used of its budgets is spent.
 * What its worker does not report is what was estimated, unless some of it was
 * recorded while the job ran.  The row is ours; its lease has not ended yet, so
 * that at commit the spending is counted before the reservation goes back.  The
 * rows are collected: fs_budget_spent writes them, in this statement.
 */
void
fs_budget_usage(FsDatabase *db, int64 job_id, int64 token, FsJobRel *jr, HeapTuple row, Datum usage,
				FsSpendings *sum)
{
	int32		slot = FsDbIndex(db);
	FsNamed		named;
	bool		known;
	char	   *kind = NULL;	/* read only where something is observed */
	uint64	   *dimension = NULL;
	int64	   *used = NULL;
	int			nused = 0;
	int32		lease;

	if (heap_attisnull(row, FS_COL_BUDGETS + 1, RelationGetDescr(jr->rel)))
		return;
	if (usage != 0)
	{
		int			room = JB_ROOT_COUNT(DatumGetJsonbP(usage)) + 1;

		kind = fs_row_text(jr, row, FS_COL_KIND);
		dimension = palloc(sizeof(uint64) * room);
		used = palloc(sizeof(int64) * room);
		nused = read_amounts(usage, room, dimension, used);
	}
	if (sum->room < sum->n + FS_JOB_BUDGETS)
	{
		sum->room = 2 * sum->room + FS_JOB_BUDGETS;
		sum->rows = sum->rows ? repalloc_huge(sum->rows, sizeof(FsSpendRow) * sum->room)
			: palloc(sizeof(FsSpendRow) * sum->room);
	}
	fs_ledger_reserve(FS_JOB_BUDGETS);
	FsLock();
	lease = lease_of(slot, job_id, token);
	known = named_by_lease(lease, &named);
	if (known && kind == NULL && was_recorded(lease))
	{
		FsUnlock();
		kind = fs_row_text(jr, row, FS_COL_KIND);
		FsLock();
		lease = lease_of(slot, job_id, token);
		known = named_by_lease(lease, &named);
	}
	if (!known)
	{
		FsFlowSpec	flow;

		FsUnlock();
		if (kind == NULL)
			kind = fs_row_text(jr, row, FS_COL_KIND);
		fs_row_spec(db, jr, row, &flow);
		if (flow.budget == NULL)
			return;
		FsLock();
		lease = lease_of(slot, job_id, token);
		named.n = flow.budget->n;
		named.need = flow.budget->need;
		for (int i = 0; i < named.n; i++)
			named.budget[i] = fs_budget_find(slot, flow.budget->name[i]);
	}
	for (int i = 0; i < named.n; i++)
	{
		int32		budget = named.budget[i];
		int			place;
		int64		amount;
		int64		pending = 0;	/* recorded in this transaction */
		int64		recorded = 0;	/* ... and before */
		bool		reported = false;

		if (budget == FS_NONE)
			continue;
		place = fs_budget_place(lease, budget);
		amount = place >= 0 ? fs_budget_part(lease, place)->reserved
			: fs_budget_estimate(&named.need, budget);
		if (place >= 0)
		{
			pending = recorded_here(lease, budget);
			recorded = meter_add(fs_budget_part(lease, place)->recorded, pending);
		}
		if (recorded > 0)
			amount = 0;
		for (int u = 0; u < nused; u++)
			if (dimension[u] == fs_budgets[budget].dimension)
			{
				amount = used[u];
				reported = true;
			}
		if (reported || amount == 0)
		{
			int64		all = meter_add(amount, recorded);
			bool		again = false;

			/* one observation for each dimension, not for each budget */
			for (int j = 0; j < i && !again; j++)
				again = named.budget[j] != FS_NONE &&
					fs_budgets[named.budget[j]].dimension == fs_budgets[budget].dimension;
			Assert(kind != NULL || all == 0);
			if ((reported || all > 0) && !again && fs_budgets[budget].set.id != 0)
				fs_budget_observe(slot, kind, fs_budgets[budget].set.dimension, all);
		}
		if (meter_add(amount, pending) == 0 ||
			!spend(budget, amount, lease, job_id, token, true, &sum->rows[sum->n]))
			continue;
		if (place >= 0)
			fs_budget_part(lease, place)->actual = meter_add(amount, pending);
		sum->n += amount > 0;	/* else the item is for an abort: to forget
								 * what will have been spent */
	}
	FsUnlock();
	if (kind)
		pfree(kind);
}

/* fairsched_record_spend(budget, amount, job_id) */
Datum
fs_record_spend(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_record_spend()");
	int32		slot = FsDbIndex(db);
	char	   *name = fs_arg_name(fcinfo, 0, "budget");
	int64		amount;
	int64		job_id = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2);
	int64		token = 0;
	int32		budget;
	int32		lease = FS_NONE;
	FsSpendRow	row;
	bool		known = false;

	fs_need_arg(fcinfo, 1, "amount");
	amount = fs_amount_numeric(PG_GETARG_DATUM(1), "amount", FS_QUOTA_MAX, false);
	fs_ledger_reserve(1);
	FsLock();
	/* one that this transaction defined has no place yet */
	budget = fs_budget_get(slot, name);
	if (budget != FS_NONE)
	{
		if (job_id != 0)
		{
			lease = fs_lease_find(slot, job_id);
			if (fs_budget_place(lease, budget) < 0)
				lease = FS_NONE;
			else
				token = fs_leases[lease].token;
		}
		fs_budgets[budget].refs++;
		known = spend(budget, amount, lease, job_id, token, false, &row);
		fs_budget_unref(budget);
	}
	FsUnlock();
	if (!known)
		ereport(ERROR,
				(errcode(ERRCODE_FS_UNKNOWN_BUDGET),
				 errmsg("budget \"%s\" does not exist", name),
				 errhint("Define it with fairsched_set_budget.")));
	if (amount > 0)
		append_rows(slot, &row, 1);
	PG_RETURN_VOID();
}

/* ---------- rows of fairsched.budgets ---------- */

/* The columns, in order (sql/parts/46_budgets.sql). */
enum
{
	COL_BUDGET, COL_BUDGET_ID, COL_WORKSPACE, COL_DIMENSION, COL_AMOUNT,
	COL_WARN_AT, COL_THROTTLE_AT, COL_PREEMPT_AT, COL_PAUSE_AT,
	COL_WARN_ACTION, COL_THROTTLE_ACTION, COL_PREEMPT_ACTION, COL_PAUSE_ACTION,
	COL_RESET_EVERY, COL_PERIOD, COL_PERIOD_STARTED_AT, COL_NEXT_RESET_AT, COL_REVISION
};

static FsBudgetAction
action_by_name(const char *name)
{
	for (int i = 0; i < FS_BUDGET_ACTIONS; i++)
		if (strcmp(FsBudgetActionNames[i], name) == 0)
			return i;
	return FS_BUDGET_PAUSE_ALL; /* not known: the strictest */
}

/* fs_budget_from_row: the first columns of a tuple are a row of fairsched.budgets. */
void
fs_budget_from_row(HeapTuple tuple, TupleDesc desc, FsBudgetSettings *set)
{
	bool		isnull;
	Datum		d;

#define GET(col) heap_getattr(tuple, (col) + 1, desc, &isnull)
	memset(set, 0, sizeof(FsBudgetSettings));
	strlcpy(set->name, TextDatumGetCString(GET(COL_BUDGET)), sizeof(set->name));
	set->id = DatumGetInt32(GET(COL_BUDGET_ID));
	d = GET(COL_WORKSPACE);
	if (!isnull)
		strlcpy(set->workspace, TextDatumGetCString(d), sizeof(set->workspace));
	strlcpy(set->dimension, TextDatumGetCString(GET(COL_DIMENSION)), sizeof(set->dimension));
	set->amount = fs_amount_numeric(GET(COL_AMOUNT), "amount", FS_QUOTA_MAX, false);
	for (int t = 0; t < METER_THRESHOLDS; t++)
	{
		d = GET(COL_WARN_AT + t);
		set->ppm[t] = isnull ? METER_NEVER : (int32) fs_amount_numeric(d, "threshold", FS_UNIT, false);
		set->action[t] = action_by_name(TextDatumGetCString(GET(COL_WARN_ACTION + t)));
	}
	set->period = DatumGetInt32(GET(COL_PERIOD));
	d = GET(COL_NEXT_RESET_AT);
	set->next_reset = isnull ? DT_NOEND : DatumGetTimestampTz(d);
	set->revision = DatumGetInt64(GET(COL_REVISION));
#undef GET
}

/* Trigger of fairsched.budgets, after each row: memory takes it over at commit. */
Datum
fs_budgets_changed(PG_FUNCTION_ARGS)
{
	TriggerData *t = (TriggerData *) fcinfo->context;
	FsBudgetSettings set;
	bool		full;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(t->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(t->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("fairsched.budgets_changed() must be called as an AFTER ROW trigger")));
	if (!fs_preloaded)
		return PointerGetDatum(NULL);
	(void) fs_state_attach();
	fs_budget_from_row(TRIGGER_FIRED_BY_UPDATE(t->tg_event) ? t->tg_newtuple : t->tg_trigtuple,
					   RelationGetDescr(t->tg_relation), &set);
	if (TRIGGER_FIRED_BY_DELETE(t->tg_event))
	{
		set.id = 0;
		set.next_reset = DT_NOEND;
	}
	fs_ledger_reserve(1);
	FsLock();
	set.promised = fs_budget_promise(fs_my_db);
	if (!set.promised && fs_sched_reclaim(fs_my_db) > 0)
		set.promised = fs_budget_promise(fs_my_db); /* flows that named
													 * unknown budgets are
													 * gone */
	full = !set.promised && fs_budget_find(fs_my_db, set.name) == FS_NONE;
	FsUnlock();
	if (full)
		ereport(ERROR,
				(errcode(ERRCODE_FS_CAPACITY),
				 errmsg("too many budgets"),
				 errhint("Delete some from fairsched.budgets, or increase fairsched.max_budgets (now %d) and restart the server.",
						 fs_max_budgets)));
	fs_ledger_budget(&set);
	return PointerGetDatum(NULL);
}

/*
 * Trigger of the tables of what is spent, and of TRUNCATE of fairsched.budgets:
 * they changed behind our back (a restore, an administrator's hand).
 */
Datum
fs_budget_rows_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("fairsched.budget_rows_changed() must be called as a trigger")));
	if (!fs_own_changes && fs_preloaded)
	{
		(void) fs_state_attach();
		fs_ledger_budgets_stale();
	}
	return PointerGetDatum(NULL);
}

/* fairsched.read_budgets_again() */
Datum
fs_read_budgets_again(PG_FUNCTION_ARGS)
{
	if (fs_preloaded)
	{
		(void) fs_state_attach();
		fs_ledger_budgets_stale();
	}
	PG_RETURN_VOID();
}

/* fairsched.changes_are_own() */
Datum
fs_changes_are_own(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(fs_own_changes);
}
