/*
 * enqueue.c
 *		New jobs: fairsched_enqueue, fairsched_enqueue_many, and what inbox.c
 *		shares with them.
 *
 * Order of a call: arguments are checked; under fs->lock the workspace, its
 * queue limit and the flow are looked up, and the jobs are reserved against the
 * limit (the reservation also keeps workspace and flow in memory); rows are
 * inserted; then the hints that make them claimable at commit are put into the
 * ledger.  A claimer may pass a position whose insert is not committed yet: the
 * hint brings it back.
 */
#include "enqueue.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "math.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "pgstat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/snapmgr.h"
#include "amount.h"
#include "budget_spend.h"
#include "config.h"
#include "flows.h"
#include "review.h"
#include "rows_insert.h"
#include "text.h"

PG_FUNCTION_INFO_V1(fs_enqueue);
PG_FUNCTION_INFO_V1(fs_enqueue_many);

#define CHUNK 4096				/* numbers drawn and rows inserted at once */

/* fs_jsonb_empty_is_null: {} and null are stored as nothing. */
Datum
fs_jsonb_empty_is_null(Datum jsonb)
{
	Jsonb	   *jb = DatumGetJsonbP(jsonb);

	return JB_ROOT_COUNT(jb) == 0 ? (Datum) 0 : jsonb;
}

/* fs_enqueue_spec: what tells flows of one workspace, lane and capability set apart. */
void
fs_enqueue_spec(FsDatabase *db, Datum resources, Datum budgets, const char *kind, FsFlowSpec *s)
{
	uint64	   *spec = s->hash;

	spec[0] = spec[1] = 0;
	fs_amount_needs(resources, &s->needs);
	s->budget = fs_budget_spec(db, resources, budgets, kind, spec);
	if (resources)
	{
		Jsonb	   *jb = DatumGetJsonbP(resources);

		spec[0] ^= hash_bytes_extended((unsigned char *) VARDATA(jb), VARSIZE(jb) - VARHDRSZ, 1);
		spec[1] ^= hash_bytes_extended((unsigned char *) VARDATA(jb), VARSIZE(jb) - VARHDRSZ, 2);
	}
	if (budgets)
	{
		ArrayType  *a = DatumGetArrayTypeP(budgets);

		spec[0] ^= hash_bytes_extended((unsigned char *) VARDATA(a), VARSIZE(a) - VARHDRSZ, 3);
		spec[1] ^= hash_bytes_extended((unsigned char *) VARDATA(a), VARSIZE(a) - VARHDRSZ, 4);
	}
}

int32
fs_enqueue_flow(FsDatabase *db, int32 workspace, const char *lane, const char *caps, int caps_len,
				const FsFlowSpec *spec)
{
	int32		ring;
	int32		flow;

	fs_workspaces[workspace].refs++;
	ring = fs_sched_ring_get(workspace, lane, caps, caps_len);
	flow = FS_NONE;
	if (ring != FS_NONE)
	{
		flow = fs_sched_flow_get(workspace, ring, spec);
		if (flow == FS_NONE)
			flow = fs_sched_flow_overflow(workspace, ring);
	}
	fs_workspaces[workspace].refs--;
	return flow;
}

/* ---------- arguments ---------- */

/* What one job may declare: looked at whenever it is admitted. */
#define FS_MAX_GATES 100

static void
too_many(const char *what, int n)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("a job can have at most %d %s", FS_MAX_GATES, what),
			 errdetail("This one has %d.", n),
			 errhint("Declare only what is limited.")));
}

static void
check_budgets(Datum array)
{
	Datum	   *elems;
	bool	   *nulls;
	int			n;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT,
					  &elems, &nulls, &n);
	if (n > FS_MAX_GATES)
		too_many("budgets", n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("budgets must not contain null"),
					 errhint("Use '{}' for no budget.")));
		(void) fs_text_name(elems[i], "budget");
	}
}

static void
check_resources(Datum jsonb)
{
	Jsonb	   *jb = DatumGetJsonbP(jsonb);
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken t;
	int			depth = 0;

	if (!JB_ROOT_IS_OBJECT(jb))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("resources must be an object"),
				 errhint("Use for example '{\"cpu\": 0.5, \"memory\": 2}'.")));
	if (JB_ROOT_COUNT(jb) > FS_MAX_GATES)
		too_many("resources", JB_ROOT_COUNT(jb));
	it = JsonbIteratorInit(&jb->root);
	while ((t = JsonbIteratorNext(&it, &v, false)) != WJB_DONE)
	{
		if (t == WJB_BEGIN_OBJECT || t == WJB_BEGIN_ARRAY)
			depth++;
		if (t == WJB_KEY)
			(void) fs_text_name(PointerGetDatum(cstring_to_text_with_len(v.val.string.val, v.val.string.len)),
								"resource");
		if (depth > 1 || (t == WJB_VALUE &&
						  (v.type != jbvNumeric ||
						   DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(v.val.numeric),
															DirectFunctionCall1(int4_numeric, Int32GetDatum(0)))))))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("resources must be numbers that are not negative"),
					 errhint("Use for example '{\"cpu\": 0.5, \"memory\": 2}'.")));
	}
}

/* Words that most rows have, as text. */
typedef enum FsWord
{
	WORD_AVAILABLE, WORD_SCHEDULED, WORD_DEFAULT, WORD_EMPTY,
	WORD_P0						/* and the other classes */
} FsWord;

static Datum
word(FsWord w)
{
	static const char *const spelled[] = {"available", "scheduled", "default", "", "P0", "P1", "P2", "P3"};
	static struct
	{
		varattrib_1b head;
		char text[	15];
	}			words[lengthof(spelled)];

	if (words[w].head.va_header == 0)
	{
		int			len = strlen(spelled[w]);

		memcpy((char *) &words[w] + VARHDRSZ_SHORT, spelled[w], len);
		SET_VARSIZE_SHORT(&words[w], VARHDRSZ_SHORT + len);
	}
	return PointerGetDatum(&words[w]);
}

/* Text as rows hold it: neither compressed nor elsewhere. */
static Datum
plain_text(Datum value)
{
	return PointerGetDatum(DatumGetTextPP(value));
}

/* fs_enqueue_read_place: workspace, lane, and what makes flows; the kind has a say in resources and budgets. */
void
fs_enqueue_read_place(const FsOption *o, FsNewJobs *j)
{
	Datum		by_kind;

	if (o[OPT_WORKSPACE].isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("workspace must not be null"),
				 errhint("Every job belongs to a workspace: name the tenant.")));
	j->workspace = fs_text_name(o[OPT_WORKSPACE].value, "workspace");
	j->workspace_text = plain_text(o[OPT_WORKSPACE].value);
	j->lane = o[OPT_LANE].isnull ? "default" : fs_text_name(o[OPT_LANE].value, "lane");
	j->lane_text = o[OPT_LANE].isnull ? word(WORD_DEFAULT) : plain_text(o[OPT_LANE].value);
	j->kind = o[OPT_KIND].isnull ? "default" : fs_text_name(o[OPT_KIND].value, "kind");
	j->kind_text = o[OPT_KIND].isnull ? word(WORD_DEFAULT) : plain_text(o[OPT_KIND].value);
	j->caps_len = 0;
	j->caps = "";
	j->capabilities = j->resources = j->budgets = (Datum) 0;
	if (!o[OPT_CAPABILITIES].isnull)
	{
		j->caps = palloc(FS_CAPS_LEN);
		j->caps_len = fs_arg_caps(o[OPT_CAPABILITIES].value, j->caps);
		if (j->caps_len > 0)
			j->capabilities = fs_caps_array(j->caps, j->caps_len);
	}
	if (!o[OPT_RESOURCES].isnull)
	{
		check_resources(o[OPT_RESOURCES].value);
		j->resources = fs_jsonb_empty_is_null(o[OPT_RESOURCES].value);
	}
	by_kind = fs_kind_resources(j->kind);
	if (by_kind)
	{
		check_resources(by_kind);
		j->resources = j->resources ? DirectFunctionCall2(jsonb_concat, by_kind, j->resources)
			: PointerGetDatum(PG_DETOAST_DATUM_COPY(by_kind));
	}
	if (!o[OPT_BUDGETS].isnull)
	{
		check_budgets(o[OPT_BUDGETS].value);
		if (ARR_NDIM(DatumGetArrayTypeP(o[OPT_BUDGETS].value)) > 0)
			j->budgets = o[OPT_BUDGETS].value;
		fs_budget_check(j->budgets, j->resources);
	}
}

/* fs_enqueue_read_job: what may differ between jobs of one place. */
void
fs_enqueue_read_job(const FsOption *o, FsNewJobs *j)
{
	j->cls = o[OPT_PRIORITY].isnull ? 2 : fs_text_priority(o[OPT_PRIORITY].value);
	j->run_at = o[OPT_RUN_AT].isnull ? 0 : DatumGetTimestampTz(o[OPT_RUN_AT].value);
	if (!o[OPT_RUN_AT].isnull && TIMESTAMP_NOT_FINITE(j->run_at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("run_at must be finite"),
				 errhint("Leave it out to run the job as soon as possible.")));
	j->cost = 0;
	if (!o[OPT_COST].isnull)
	{
		j->cost = DatumGetInt32(o[OPT_COST].value);
		if (j->cost < 1 || j->cost > fs_max_cost)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("cost must be between 1 and %d", fs_max_cost),
					 errhint("fairsched.max_cost sets the limit.")));
	}
	j->max_attempts = o[OPT_MAX_ATTEMPTS].isnull ? 25 : DatumGetInt32(o[OPT_MAX_ATTEMPTS].value);
	if (j->max_attempts < 1 || j->max_attempts > 1000000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_attempts must be between 1 and 1000000"),
				 errhint("Use 1 for a job that must not be tried again.")));
	j->run_id = j->max_runtime = (Datum) 0;
	if (!o[OPT_RUN_ID].isnull)
	{
		(void) fs_text_name(o[OPT_RUN_ID].value, "run_id");
		j->run_id = plain_text(o[OPT_RUN_ID].value);
	}
	if (!o[OPT_MAX_RUNTIME].isnull)
	{
		(void) fs_interval_usec(o[OPT_MAX_RUNTIME].value, "max_runtime", false);
		j->max_runtime = o[OPT_MAX_RUNTIME].value;
	}
	j->min_deliberation = (Datum) 0;
	if (!o[OPT_MIN_DELIBERATION].isnull)
		j->min_deliberation = fs_review_minimum(o[OPT_MIN_DELIBERATION].value);
}

/* fs_enqueue_key: a unique key: NULL is none (0), and empty is refused. */
Datum
fs_enqueue_key(Datum key, bool isnull)
{
	text	   *t;

	if (isnull)
		return (Datum) 0;
	t = DatumGetTextPP(key);
	if (VARSIZE_ANY_EXHDR(t) < 1 || VARSIZE_ANY_EXHDR(t) > 512)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unique_key must have 1 to 512 bytes"),
				 errhint("Leave it out for a job that may be there twice, or hash a longer key.")));
	return PointerGetDatum(t);
}

/* fs_enqueue_cost: of one job, given or by its kind. */
int
fs_enqueue_cost(const FsNewJobs *j, Datum payload)
{
	int			cost = j->cost ? j->cost : fs_kind_cost(j->kind, payload);

	if (cost > fs_max_cost)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("job costs %d, more than fairsched.max_cost", cost),
				 errdetail("The cost follows from its kind \"%s\" and payload; the limit is %d.",
						   j->kind, fs_max_cost),
				 errhint("Split the job, or raise fairsched.max_cost.")));
	return cost;
}

/* ---------- the work ---------- */

/* Jobs a workspace may have, 0 = any number, and those it has or is about to; fs->lock held. */
static int64
queue_limit(const FsWorkspace *ws)
{
	return ws->set.max_queue_size >= 0 ? ws->set.max_queue_size : fs_max_queue_size;
}

static int64
queue_length(const FsWorkspace *ws)
{
	return (int64) ws->ready[0] + ws->ready[1] + ws->ready[2] + ws->ready[3] + ws->waiting + ws->reserved;
}

/*
 * fs_enqueue_reserve: look up workspace and flow, and reserve n jobs (keys: as
 * enqueue) against the queue limit.
 */
void
fs_enqueue_reserve(FsDatabase *db, const FsNewJobs *j, int n, const Datum *keys,
				   const FsFlowSpec *spec, FsPlace *p)
{
	static uint32 moving_event = 0;
	bool		looked = false; /* for jobs that are there already */
	int			own_table = -1; /* set where this very transaction froze the
								 * workspace */

	for (;;)
	{
		FsWorkspace *ws;
		int64		limit;
		int64		queued;
		bool		moving;
		bool		full = false;
		int			job_table = 0;

		fs_ledger_reserve(n + 1);
		p->workspace = fs_workspace_lock(db, j->workspace);
		ws = &fs_workspaces[p->workspace];
		moving = ws->parked == FS_PARK_MOVING;
		if (moving && own_table < 0 && fs_ledger_freezes(p->workspace))
		{
			FsWorkspaceSettings set;

			/* created or moved by us and not committed: its row says where to */
			FsUnlock();
			CommandCounterIncrement();
			fs_settings_read(db, j->workspace, &set);
			own_table = set.job_table;
			continue;
		}
		/* where the move waits for us we must not wait for it */
		if (own_table >= 0 || (moving && fs_ledger_holds_up(p->workspace)))
			moving = false;
		limit = queue_limit(ws);
		queued = queue_length(ws);
		if (!moving)
		{
			full = limit > 0 && n > 0 && queued + n > limit;
			job_table = ws->set.job_table;
			p->flow = full ? FS_NONE
				: fs_enqueue_flow(db, p->workspace, j->lane, j->caps, j->caps_len, spec);
			if (p->flow != FS_NONE)
			{
				p->reserved = fs_ledger_reserved_into(p->reserved, p->workspace, p->flow, n);
				p->flow_id = fs_flows[p->flow].id;
				p->own = own_table >= 0;
				p->job_table = p->own ? own_table : ws->set.job_table;
				p->ahead = -1;
				if (db->counted)
				{
					p->ahead = 0;
					for (int c = 0; c <= j->cls; c++)
						p->ahead += ws->ready[c];
				}
				p->rate = ws->rate;
				p->rate_since = ws->rate_since;
				p->rate_at = ws->rate_at;
			}
		}
		FsUnlock();
		if (moving)
		{
			/*
			 * its last step takes moments; positions and unique keys depend
			 * on waiting
			 */
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 2,
							 fs_wait_event(&moving_event, "FairschedMoving"));
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
			continue;
		}
		if (full && keys && !looked)
		{
			/* a job whose key is taken is none more: only new ones need room */
			FsJobRel   *jr = fs_rows_open(own_table >= 0 ? own_table : job_table, false);
			int64		existing;
			int			fresh = 0;

			for (int i = 0; i < n; i++)
				if (keys[i] == 0 || !fs_rows_find_unique(jr, j->workspace, keys[i], &existing))
					fresh++;
			fs_rows_close(jr);
			looked = true;
			n = fresh;
			continue;
		}
		if (full)
			ereport(ERROR,
					(errcode(ERRCODE_FS_QUEUE_FULL),
					 errmsg("queue of workspace \"%s\" is full", j->workspace),
					 errdetail("It may hold " INT64_FORMAT " jobs.", limit),
					 errhint("Enqueue later, or raise max_queue_size with fairsched_alter_workspace.")));
		if (p->flow == FS_NONE)
			ereport(ERROR,
					(errcode(ERRCODE_FS_CAPACITY),
					 errmsg("too many flows have jobs"),
					 errhint("Increase fairsched.max_flows, fairsched.max_workspaces or fairsched.max_rings and restart the server.")));
		return;
	}
}

/*
 * fs_enqueue_reserve_more: one more job of a place that was reserved, in this
 * transaction or an earlier one; fs->lock held.  A flow that is of the same
 * workspace and has the same number is the same: numbers are not used again.
 */
bool
fs_enqueue_reserve_more(FsDatabase *db, FsPlace *p)
{
	FsWorkspace *ws = &fs_workspaces[p->workspace];
	FsFlow	   *flow = &fs_flows[p->flow];
	int64		limit;

	if (flow->id != p->flow_id || flow->member == FS_NONE ||
		FsWorkspaceOfFlow(p->flow) != p->workspace || ws->db != FsDbIndex(db))
		return false;
	limit = queue_limit(ws);
	if ((!p->own && (ws->parked == FS_PARK_MOVING || ws->set.job_table != p->job_table)) ||
		(limit > 0 && queue_length(ws) + 1 > limit))
		return false;
	p->reserved = fs_ledger_reserved_into(p->reserved, p->workspace, p->flow, 1);
	return true;
}

/* fs_enqueue_row: the columns of a row but numbers, cost, payload and unique key. */
void
fs_enqueue_row(const FsNewJobs *j, const FsPlace *p, TimestampTz now, FsNewRow *row)
{
	Datum	   *values = row->values;
	bool	   *nulls = row->nulls;

	bool		held = j->min_deliberation != 0;
	TimestampTz run_at = Max(j->run_at, now);	/* it has been ready since
												 * now, not since a past
												 * run_at */

	row->ready = !held && j->run_at <= now;
	memset(nulls, 0, sizeof(row->nulls));
	values[FS_COL_CREATED_AT] = TimestampTzGetDatum(now);
	values[FS_COL_RUN_AT] = TimestampTzGetDatum(held ? DT_NOEND : run_at);
	values[FS_COL_JOB_TABLE] = Int32GetDatum(p->job_table);
	values[FS_COL_FLOW] = Int32GetDatum(p->flow_id);
	values[FS_COL_MAX_ATTEMPTS] = Int32GetDatum(j->max_attempts);
	values[FS_COL_RANK] = Int32GetDatum(FsRankOf(j->cls, false));
	values[FS_COL_ATTEMPT] = Int32GetDatum(0);
	values[FS_COL_TOKEN] = Int64GetDatum(0);
	values[FS_COL_CLAIMED_AT] = TimestampTzGetDatum(DT_NOBEGIN);
	values[FS_COL_LEASE_MS] = Int32GetDatum(0);
	values[FS_COL_WORKER] = word(WORD_EMPTY);
	values[FS_COL_STATE] = word(row->ready ? WORD_AVAILABLE : WORD_SCHEDULED);
	values[FS_COL_PRIORITY] = word(WORD_P0 + j->cls);
	values[FS_COL_WORKSPACE] = j->workspace_text;
	values[FS_COL_LANE] = j->lane_text;
	values[FS_COL_KIND] = j->kind_text;
	values[FS_COL_RUN_ID] = j->run_id;
	nulls[FS_COL_RUN_ID] = j->run_id == 0;
	values[FS_COL_CAPABILITIES] = j->capabilities;
	nulls[FS_COL_CAPABILITIES] = j->capabilities == 0;
	values[FS_COL_RESOURCES] = j->resources;
	nulls[FS_COL_RESOURCES] = j->resources == 0;
	values[FS_COL_BUDGETS] = j->budgets;
	nulls[FS_COL_BUDGETS] = j->budgets == 0;
	values[FS_COL_MAX_RUNTIME] = j->max_runtime;
	nulls[FS_COL_MAX_RUNTIME] = j->max_runtime == 0;
	for (int col = FS_COL_CHECKPOINT; col < FS_JOB_COLUMNS; col++)
		if (col != FS_COL_MAX_RUNTIME)
			nulls[col] = true;
	if (held)
	{
		values[FS_COL_MIN_DELIBERATION] = j->min_deliberation;
		values[FS_COL_REVIEW_RUN_AT] = TimestampTzGetDatum(run_at);
		nulls[FS_COL_MIN_DELIBERATION] = nulls[FS_COL_REVIEW_RUN_AT] = false;
	}
}

/* fs_enqueue_queue: a row was inserted; fs->lock held, room in the ledger reserved. */
int
fs_enqueue_queue(int at, const FsPlace *p, FsJobRel *jr, HeapTuple row)
{
	FsJobFixed *job = FsJob(row);
	bool		ready = job->position > 0;
	FsCandidate cand;

	return fs_ledger_queue_into(at, p->workspace, ready ? p->flow : FS_NONE, FsRankSlot(job->rank),
								fs_rows_candidate(jr, row, &cand), ready ? 1 : 0, ready ? 0 : 1,
								ready ? 0 : job->run_at, ready, false);
}

/*
 * Insert n jobs; payloads are jsonb, keys (or NULL) text with 0 for none.
 * ids[] gets the job ids, dup[] whether each is an earlier job's.
 */
static void
enqueue(FsDatabase *db, const FsNewJobs *j, int n, const Datum *payloads, const Datum *keys,
		int64 *ids, bool *dup, FsPlace *place)
{
	/*
	 * ledger items of the last call: calls for one flow in one transaction
	 * share them
	 */
	static int	last_reserved = FS_NONE;
	static int	last_queued = FS_NONE;
	TimestampTz now = GetCurrentTimestamp();
	FsFlowSpec	spec;
	FsNewRow	row;
	HeapTuple  *tuples = palloc(sizeof(HeapTuple) * Min(n, CHUNK));
	int		   *costs = palloc(sizeof(int) * n);
	FsJobRel   *jr;

	for (int i = 0; i < n; i++)
		costs[i] = fs_enqueue_cost(j, payloads[i]);
	fs_enqueue_spec(db, j->resources, j->budgets, j->kind, &spec);

	place->reserved = last_reserved;
	fs_enqueue_reserve(db, j, n, keys, &spec, place);
	last_reserved = place->reserved;
	fs_ledger_reserve(n);
	fs_enqueue_row(j, place, now, &row);

	jr = fs_rows_open(place->job_table, false);
	for (int from = 0; from < n; from += CHUNK)
	{
		int			m = Min(CHUNK, n - from);
		int			plain = 0;
		int64		first_job = fs_state_numbers(db, FS_COUNTER_JOB, m);
		int64		first_position = row.ready ? fs_state_numbers(db, FS_COUNTER_POSITION, m) : 0;

		for (int i = 0; i < m; i++)
		{
			Datum		key = keys ? keys[from + i] : (Datum) 0;
			HeapTuple	tuple;

			ids[from + i] = FsMakeJobId(place->job_table, first_job + i);
			dup[from + i] = false;
			row.values[FS_COL_JOB_ID] = Int64GetDatum(ids[from + i]);
			row.values[FS_COL_POSITION] = Int64GetDatum(row.ready ? FsPosition(first_position + i, costs[from + i]) : 0);
			row.values[FS_COL_COST] = Int32GetDatum(costs[from + i]);
			row.values[FS_COL_PAYLOAD] = payloads[from + i];
			row.values[FS_COL_UNIQUE_KEY] = key;
			row.nulls[FS_COL_UNIQUE_KEY] = key == 0;
			tuple = fs_rows_form(jr, row.values, row.nulls);
			tuples[i] = tuple;
			if (key == 0)
			{
				tuples[plain++] = tuple;
				continue;
			}
			if (!fs_rows_insert_unique(jr, tuple, j->workspace, key, &ids[from + i]))
				dup[from + i] = true;
			else
			{
				FsLock();
				last_queued = fs_enqueue_queue(last_queued, place, jr, tuple);
				FsUnlock();
			}
		}
		if (plain > 0)
		{
			fs_rows_insert(jr, tuples, plain, GetCurrentCommandId(true));
			FsLock();
			for (int i = 0; i < plain; i++)
				last_queued = fs_enqueue_queue(last_queued, place, jr, tuples[i]);
			FsUnlock();
		}
		for (int i = 0; i < plain; i++)
			heap_freetuple(tuples[i]);
	}
	fs_rows_close(jr);
	if (!row.ready)
		place->ahead = -1;
}

/* The rate at which jobs of the workspace are claimed, a second; 0 unknown. */
static double
service_rate(const FsPlace *p, TimestampTz now)
{
	double		age = (double) (now - p->rate_since) / USECS_PER_SEC;

	if (p->rate_since == 0 || age <= 0)
		return 0;
	return p->rate * exp(-(double) (now - p->rate_at) / (FS_RATE_TAU * USECS_PER_SEC)) /
		(1.0 - exp(-Max(age, 0.1) / FS_RATE_TAU));
}

/*
 * What fairsched_enqueue returns.  The catalog says the same at each call, for
 * a sixth of what the call costs; a descriptor that is known by its columns
 * needs no more than to be made once.
 */
static TupleDesc
enqueued_desc(void)
{
	static TupleDesc desc = NULL;

	if (desc == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
		TupleDesc	d = CreateTemplateTupleDesc(4);

		TupleDescInitEntry(d, 1, "job_id", INT8OID, -1, 0);
		TupleDescInitEntry(d, 2, "is_duplicate", BOOLOID, -1, 0);
		TupleDescInitEntry(d, 3, "queue_position", INT8OID, -1, 0);
		TupleDescInitEntry(d, 4, "estimated_wait", INTERVALOID, -1, 0);
		desc = BlessTupleDesc(d);
		MemoryContextSwitchTo(old);
	}
	return desc;
}

#define ARG(n) ((FsOption) {PG_ARGISNULL(n) ? (Datum) 0 : PG_GETARG_DATUM(n), PG_ARGISNULL(n)})

/*
 * fairsched_enqueue(workspace, payload, kind, priority, run_at, lane, cost, unique_key,
 *		max_attempts, capabilities, resources, budgets, run_id, max_runtime, min_deliberation)
 */
Datum
fs_enqueue(PG_FUNCTION_ARGS)
{
	FsOption	o[OPT_COUNT] = {
		[OPT_WORKSPACE] = ARG(0),[OPT_KIND] = ARG(2),[OPT_PRIORITY] = ARG(3),
		[OPT_RUN_AT] = ARG(4),[OPT_LANE] = ARG(5),[OPT_COST] = ARG(6),
		[OPT_MAX_ATTEMPTS] = ARG(8),[OPT_CAPABILITIES] = ARG(9),[OPT_RESOURCES] = ARG(10),
		[OPT_BUDGETS] = ARG(11),[OPT_RUN_ID] = ARG(12),[OPT_MAX_RUNTIME] = ARG(13),
		[OPT_MIN_DELIBERATION] = ARG(14)
	};
	FsDatabase *db = fs_state_ready("fairsched_enqueue()");
	FsNewJobs	j;
	FsPlace		place;
	Datum		payload;
	Datum		key;
	int64		id;
	bool		dup;
	double		rate = 0;
	Datum		out[4];
	bool		nulls[4] = {0};

	fs_enqueue_read_place(o, &j);
	fs_enqueue_read_job(o, &j);
	fs_need_arg(fcinfo, 1, "payload");
	payload = PG_GETARG_DATUM(1);
	key = fs_enqueue_key(PG_ARGISNULL(7) ? (Datum) 0 : PG_GETARG_DATUM(7), PG_ARGISNULL(7));
	enqueue(db, &j, 1, &payload, &key, &id, &dup, &place);
	if (place.ahead >= 0)
		place.ahead += fs_ledger_pending(place.workspace, j.cls) - 1;	/* it is one of them */

	out[0] = Int64GetDatum(id);
	out[1] = BoolGetDatum(dup);
	out[2] = Int64GetDatum(place.ahead);
	nulls[2] = nulls[3] = dup || place.ahead < 0;
	if (!nulls[3])
		rate = service_rate(&place, GetCurrentTimestamp());
	if (!nulls[3] && (rate > 0 || place.ahead == 0))
	{
		double		secs = place.ahead == 0 ? 0 : Min(place.ahead / rate, 1e9);
		Interval   *i = palloc0(sizeof(Interval));

		i->time = (int64) (secs * USECS_PER_SEC);
		out[3] = IntervalPGetDatum(i);
	}
	else
		nulls[3] = true;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(enqueued_desc(), out, nulls)));
}

/*
 * fairsched_enqueue_many(workspace, payloads, kind, priority, run_at, lane, cost, unique_keys,
 *		max_attempts, capabilities, resources, budgets, run_id, max_runtime, min_deliberation)
 *		→ bigint[]
 */
Datum
fs_enqueue_many(PG_FUNCTION_ARGS)
{
	FsOption	o[OPT_COUNT] = {
		[OPT_WORKSPACE] = ARG(0),[OPT_KIND] = ARG(2),[OPT_PRIORITY] = ARG(3),
		[OPT_RUN_AT] = ARG(4),[OPT_LANE] = ARG(5),[OPT_COST] = ARG(6),
		[OPT_MAX_ATTEMPTS] = ARG(8),[OPT_CAPABILITIES] = ARG(9),[OPT_RESOURCES] = ARG(10),
		[OPT_BUDGETS] = ARG(11),[OPT_RUN_ID] = ARG(12),[OPT_MAX_RUNTIME] = ARG(13),
		[OPT_MIN_DELIBERATION] = ARG(14)
	};
	FsDatabase *db = fs_state_ready("fairsched_enqueue_many()");
	FsNewJobs	j;
	FsPlace		place;
	Datum	   *payloads;
	bool	   *nulls;
	Datum	   *keys = NULL;
	bool	   *key_nulls;
	int			n;
	int			nkeys;
	int64	   *ids;
	bool	   *dup;
	Datum	   *out;

	fs_enqueue_read_place(o, &j);
	fs_enqueue_read_job(o, &j);
	fs_need_arg(fcinfo, 1, "payloads");
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), JSONBOID, -1, false, TYPALIGN_INT,
					  &payloads, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("payloads must not contain null"),
					 errhint("Use '{}' for a job without a payload.")));
	if (!PG_ARGISNULL(7))
	{
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(7), TEXTOID, -1, false, TYPALIGN_INT,
						  &keys, &key_nulls, &nkeys);
		if (nkeys != n)
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("unique_keys has %d elements for %d payloads", nkeys, n),
					 errhint("Give one key for each payload, null for those without.")));
		for (int i = 0; i < n; i++)
			keys[i] = fs_enqueue_key(keys[i], key_nulls[i]);
	}
	if (n == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(INT8OID));
	ids = palloc(sizeof(int64) * n);
	dup = palloc(sizeof(bool) * n);
	enqueue(db, &j, n, payloads, keys, ids, dup, &place);
	out = palloc(sizeof(Datum) * n);
	for (int i = 0; i < n; i++)
		out[i] = Int64GetDatum(ids[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(out, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
										  TYPALIGN_DOUBLE));
}
