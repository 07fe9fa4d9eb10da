/*
 * inbox.c
 *		INSERT and COPY into fairsched.inbox: rows collected, written in batches.
 *
 * The view has two triggers.  The row trigger checks a row, reserves it against
 * its queue's limit, gives it its job_id (so RETURNING has it, and errors are
 * those of the row at hand) and keeps it; every BATCH_ROWS rows or BATCH_BYTES
 * bytes the rows go to their job tables together, with the hints that make
 * them claimable at commit.  The statement trigger writes what is left.  A row
 * with a unique key is written at once, since its job_id depends on who else
 * has the key; numbers are drawn in the order of the rows all the same.
 *
 * So that they can be seen as rows of any INSERT can, they are written before a
 * function of the extension (fs_state_ready), or a query that reads a table of
 * its schema (ExecutorStart), runs within the statement, and carry the command
 * id of when they came.  The exception: what runs in a subtransaction, an
 * EXCEPTION block that the statement called, does not see them yet.
 *
 * What makes sure that no row is forgotten:
 * - Statement triggers of a view are queued when the ModifyTable node is
 *	 through (nodeModifyTable.c), or COPY is (copyfrom.c), and fired before the
 *	 statement ends (AfterTriggerEndQuery); only constraint triggers can be
 *	 deferred, and views cannot have those.  A data-modifying CTE that nobody
 *	 read to its end is run to it (ExecPostprocessPlan) before that.
 * - A caller of SPI may stop an INSERT … RETURNING after n rows; then, and when
 *	 session_replication_role changed in the middle, there is no statement
 *	 trigger.  ExecutorFinish runs in any case: our hook writes what is left.
 * - A transaction does not commit while rows wait (fs_inbox_before_commit).
 *
 * Rows belong to the subtransaction their statement runs in.  If a function
 * that the statement called inserts into the inbox in a subtransaction of its
 * own, that gets a buffer of its own, on top of the first, so that its rows
 * are never written by a parent's transaction id, nor the other way round; it
 * is discarded when the subtransaction aborts.  A statement within a statement
 * of the same subtransaction shares the buffer.
 *
 * Rows of one place (workspace, lane, kind, capabilities, resources, budgets) share
 * a group, found by the bytes given: it is checked, and looked up in shared
 * memory, once.  Its reservation in the ledger keeps workspace and flow in
 * memory, and other sessions from moving the workspace to another job table
 * (they wait, then give up), until the transaction ends.  A group that depends
 * on nothing but its names is kept for later statements, whose first
 * reservation looks whether its flow is still there (fs_enqueue_reserve_more).
 */
#include "inbox.h"

#include "access/detoast.h"
#include "access/heaptoast.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "config.h"
#include "enqueue.h"
#include "rows_insert.h"

PG_FUNCTION_INFO_V1(fs_inbox_insert);
PG_FUNCTION_INFO_V1(fs_inbox_flush);

#define BATCH_ROWS		1000	/* rows collected … */
#define BATCH_TABLE_ROWS 20		/* … more when they go to many tables: so
								 * many for each, */
#define BATCH_BYTES		(1024 * 1024)	/* but no more bytes than this */
#define GROUPS_BYTES	(4 * 1024 * 1024)	/* groups are forgotten beyond
											 * this, */
#define KEPT_GROUPS_BYTES	(2 * 1024 * 1024)	/* between statements beyond
												 * this */
#define KEPT_BYTES		(256 * 1024)	/* of each memory context for the next
										 * statement; used in part only */
#define DRAW_MOST		1024	/* numbers drawn at once */

/* The columns of the view, in order (sql/parts/20_producers.sql). */
enum
{
	IN_WORKSPACE, IN_PAYLOAD, IN_KIND, IN_PRIORITY, IN_RUN_AT, IN_LANE, IN_COST, IN_UNIQUE_KEY,
	IN_MAX_ATTEMPTS, IN_CAPABILITIES, IN_RESOURCES, IN_BUDGETS, IN_RUN_ID, IN_MAX_RUNTIME,
	IN_JOB_ID, IN_MIN_DELIBERATION, IN_COLUMNS
};

/* Rows that wait to be written to one job table. */
typedef struct FsInboxTable
{
	struct FsInboxTable *next;
	int			job_table;
	int			n;
	int			room;
	HeapTuple  *rows;
	struct FsInboxGroup **groups;	/* of each row */
} FsInboxTable;

/* Rows of one place. */
typedef struct FsInboxGroup
{
	FsNewJobs	jobs;			/* what they share; the rest is the last row's */
	FsFlowSpec	spec;
	FsPlace		place;			/* flow FS_NONE: not looked up yet */
	FsInboxTable *table;
	int			queued[FS_RANKS][2];	/* ledger items, by rank slot and
										 * ready */
} FsInboxGroup;

/* Groups by the bytes that were given for the columns that make a place. */
typedef struct FsInboxKey
{
	uint64		hash;
	int			len;
	const char *bytes;
} FsInboxKey;

typedef struct FsInboxEntry
{
	FsInboxKey	key;
	FsInboxGroup *group;
	char		status;
} FsInboxEntry;

#define SH_PREFIX groups
#define SH_ELEMENT_TYPE FsInboxEntry
#define SH_KEY_TYPE FsInboxKey
#define SH_KEY key
#define SH_HASH_KEY(tb, k) ((uint32) (k).hash)
#define SH_EQUAL(tb, a, b) \
	((a).hash == (b).hash && (a).len == (b).len && memcmp((a).bytes, (b).bytes, (a).len) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Numbers drawn and not used yet. */
typedef struct FsInboxNumbers
{
	int64		next;
	int64		end;
	int			draw;			/* how many next time */
} FsInboxNumbers;

/* A buffer: what the statements of one subtransaction have collected. */
typedef struct FsInbox
{
	struct FsInbox *outer;
	SubTransactionId subid;
	Oid			view;
	FsDatabase *db;
	MemoryContext cxt;			/* this, for as long as its statement */
	MemoryContext lookup;		/* groups and tables, */
	bool		keep;			/* which the next statement can use, */
	FsDatabase *kept_db;		/* if these are the same: memory, */
	TimestampTz kept_rebuilt_at;
	uint64		kept_kinds;		/* and kinds of jobs */
	MemoryContext rows;			/* rows, until they are written */
	groups_hash *groups;		/* NULL: none */
	FsInboxTable *tables;
	int			ntables;
	TupleDesc	desc;			/* of job tables */
	StringInfoData key;
	FsInboxNumbers jobs;
	FsInboxNumbers positions;
	int			n;				/* rows that wait */
	CommandId	cid;			/* when the last of them came */
	Size		bytes;
	bool		others;			/* the view has other triggers on rows: they
								 * get what we return */
	bool		busy;			/* in take_row or write_rows: not to be
								 * written now */
} FsInbox;

static FsInbox *top = NULL;
static FsInbox *spare = NULL;	/* an empty one, for the next statement */
static ExecutorStart_hook_type prev_ExecutorStart = NULL;
static ExecutorFinish_hook_type prev_ExecutorFinish = NULL;

/* ---------- buffers ---------- */

/* Forget groups and tables; no rows wait. */
static void
forget_groups(FsInbox *b)
{
	MemoryContextReset(b->lookup);
	b->groups = NULL;
	b->tables = NULL;
	b->ntables = 0;
	b->desc = NULL;
	b->keep = true;
}

/* Between statements: keep groups if they are few and depend on their names alone. */
static void
keep_groups(FsInbox *b)
{
	if (!b->keep || MemoryContextMemAllocated(b->lookup, true) > KEPT_GROUPS_BYTES)
		forget_groups(b);
	else if (b->desc)
	{
		FreeTupleDesc(b->desc);
		b->desc = NULL;
	}
}

/* The buffer of the current subtransaction. */
static FsInbox *
open_buffer(Relation view)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	MemoryContext old = CurrentMemoryContext;
	FsDatabase *db;
	uint64		kinds;
	FsInbox    *b;

	if (top && top->subid == subid)
	{
		if (top->busy)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("fairsched.inbox is being written"),
					 errhint("An index expression of a job table must not insert jobs.")));
		return top;
	}
	db = fs_state_ready("INSERT into fairsched.inbox");
	kinds = fs_kinds_read();
	b = spare;
	if (b == NULL)
	{
		MemoryContext cxt = AllocSetContextCreate(TopMemoryContext, "fairsched inbox",
												  ALLOCSET_SMALL_SIZES);

		b = MemoryContextAllocZero(cxt, sizeof(FsInbox));
		b->cxt = cxt;
		b->lookup = AllocSetContextCreate(cxt, "fairsched inbox groups", KEPT_BYTES, KEPT_BYTES,
										  ALLOCSET_DEFAULT_MAXSIZE);
		b->rows = GenerationContextCreate(cxt, "fairsched inbox rows", KEPT_BYTES, KEPT_BYTES,
										  ALLOCSET_DEFAULT_MAXSIZE);
		MemoryContextSwitchTo(cxt);
		initStringInfo(&b->key);
		MemoryContextSwitchTo(old);
	}
	spare = NULL;
	b->subid = subid;
	b->view = RelationGetRelid(view);
	b->others = false;
	for (int i = 0, ours = 0; i < view->trigdesc->numtriggers; i++)
		if (TRIGGER_TYPE_MATCHES(view->trigdesc->triggers[i].tgtype, TRIGGER_TYPE_ROW,
								 TRIGGER_TYPE_INSTEAD, TRIGGER_TYPE_INSERT) && ++ours > 1)
			b->others = true;
	b->db = db;
	if (b->kept_db != db || b->kept_rebuilt_at != db->rebuilt_at || b->kept_kinds != kinds)
	{
		forget_groups(b);
		b->kept_db = db;
		b->kept_rebuilt_at = db->rebuilt_at;
		b->kept_kinds = kinds;
	}
	b->jobs = b->positions = (FsInboxNumbers)
	{
		.draw = 1
	};
	b->outer = top;
	top = b;
	return b;
}

/* Take the top buffer away, with what is in it; done: its statement came to its end.  Raises nothing. */
static void
drop_buffer(bool done)
{
	FsInbox    *b = top;

	top = b->outer;
	if (spare)
	{
		MemoryContextDelete(b->cxt);
		return;
	}
	if (done)
		keep_groups(b);
	else
		forget_groups(b);
	MemoryContextReset(b->rows);
	b->n = 0;
	b->bytes = 0;
	b->busy = false;
	spare = b;
}

/* ---------- numbers ---------- */

static int64
draw_number(FsInbox *b, FsCounter which, FsInboxNumbers *n)
{
	if (n->next == n->end)
	{
		n->next = fs_state_numbers(b->db, which, n->draw);
		n->end = n->next + n->draw;
		n->draw = Min(n->draw * 2, DRAW_MOST);
	}
	return n->next++;
}

static void
return_unused(FsInbox *b, FsCounter which, FsInboxNumbers *n)
{
	if (n->next != n->end)
		fs_state_numbers_unused(b->db, which, n->next, n->end);
	n->next = n->end;
}

/* So that numbers, and with them the order of jobs, go by when rows came. */
static void
return_numbers(FsInbox *b)
{
	return_unused(b, FS_COUNTER_JOB, &b->jobs);
	return_unused(b, FS_COUNTER_POSITION, &b->positions);
}

/* ---------- writing ---------- */

/* Write the rows that wait, each with its hint. */
static void
write_rows(FsInbox *b)
{
	MemoryContext old;

	if (b->n == 0)
		return;
	b->busy = true;
	old = MemoryContextSwitchTo(b->rows);
	for (FsInboxTable *t = b->tables; t; t = t->next)
	{
		FsJobRel   *jr;

		if (t->n == 0)
			continue;
		jr = fs_rows_open(t->job_table, false);
		fs_rows_insert(jr, t->rows, t->n, b->cid);
		fs_ledger_reserve(t->n);
		FsLock();
		for (int i = 0; i < t->n; i++)
		{
			FsInboxGroup *g = t->groups[i];
			FsJobFixed *job = FsJob(t->rows[i]);
			int		   *at = &g->queued[FsRankSlot(job->rank)][job->position > 0];

			*at = fs_enqueue_queue(*at, &g->place, jr, t->rows[i]);
		}
		FsUnlock();
		fs_rows_close(jr);
		t->n = 0;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(b->rows);
	b->n = 0;
	b->bytes = 0;
	b->busy = false;
	if (MemoryContextMemAllocated(b->lookup, true) > GROUPS_BYTES)
		forget_groups(b);
}

void
fs_inbox_settle(void)
{
	SubTransactionId subid;

	if (top == NULL)
		return;
	subid = GetCurrentSubTransactionId();
	for (FsInbox *b = top; b; b = b->outer)
		if (!b->busy)
		{
			return_numbers(b);
			if (b->subid == subid)
				write_rows(b);
		}
}

/* A statement is over. */
static void
end_statement(void)
{
	SubTransactionId subid = GetCurrentSubTransactionId();

	while (top && top->subid == subid && !top->busy)
	{
		write_rows(top);
		return_numbers(top);
		drop_buffer(true);
	}
}

/* ---------- rows ---------- */

/* Add the bytes of a column to the key; *o is then the value in one piece. */
static void
add_key(StringInfo key, FsOption *o)
{
	int32		len = -1;

	if (o->isnull)
	{
		appendBinaryStringInfo(key, (char *) &len, sizeof(len));
		return;
	}
	o->value = PointerGetDatum(PG_DETOAST_DATUM_PACKED(o->value));
	len = VARSIZE_ANY_EXHDR(DatumGetPointer(o->value));
	appendBinaryStringInfo(key, (char *) &len, sizeof(len));
	appendBinaryStringInfo(key, VARDATA_ANY(DatumGetPointer(o->value)), len);
}

/* The group of a row's place: known, or checked now. */
static FsInboxGroup *
group_of(FsInbox *b, FsOption *o)
{
	static const int columns[] = {OPT_WORKSPACE, OPT_LANE, OPT_KIND, OPT_CAPABILITIES, OPT_RESOURCES,
	OPT_BUDGETS};
	FsInboxKey	key;
	FsInboxEntry *e;
	FsInboxGroup *g;
	FsOption	mine[OPT_COUNT];
	MemoryContext old;
	bool		found;

	resetStringInfo(&b->key);
	for (int i = 0; i < lengthof(columns); i++)
		add_key(&b->key, &o[columns[i]]);
	key.bytes = b->key.data;
	key.len = b->key.len;
	key.hash = hash_bytes_extended((unsigned char *) b->key.data, b->key.len, 0);
	if (b->groups)
	{
		e = groups_lookup(b->groups, key);
		if (e)
			return e->group;
	}
	else
		b->groups = groups_create(b->lookup, 32, NULL);

	old = MemoryContextSwitchTo(b->lookup);
	g = palloc(sizeof(FsInboxGroup));
	for (int i = 0; i < lengthof(columns); i++)
	{
		FsOption   *m = &mine[columns[i]];

		*m = o[columns[i]];
		if (!m->isnull)
			m->value = PointerGetDatum(PG_DETOAST_DATUM_COPY(m->value));
	}
	fs_enqueue_read_place(mine, &g->jobs);
	fs_enqueue_spec(b->db, g->jobs.resources, g->jobs.budgets, g->jobs.kind, &g->spec);
	g->place.flow = FS_NONE;
	g->place.reserved = FS_NONE;
	g->table = NULL;
	memset(g->queued, -1, sizeof(g->queued));
	key.bytes = memcpy(palloc(key.len), b->key.data, key.len);
	e = groups_insert(b->groups, key, &found);
	e->group = g;
	MemoryContextSwitchTo(old);
	return g;
}

/* What rows of any job table look like, as one of them says. */
static TupleDesc
row_desc(FsInbox *b, int job_table)
{
	if (b->desc == NULL)
	{
		FsJobRel   *jr = fs_rows_open(job_table, false);
		MemoryContext old = MemoryContextSwitchTo(b->lookup);

		b->desc = CreateTupleDescCopy(RelationGetDescr(jr->rel));
		MemoryContextSwitchTo(old);
		fs_rows_close(jr);
	}
	return b->desc;
}

static FsInboxTable *
table_of(FsInbox *b, int job_table)
{
	FsInboxTable *t;

	for (t = b->tables; t; t = t->next)
		if (t->job_table == job_table)
			return t;
	t = MemoryContextAllocZero(b->lookup, sizeof(FsInboxTable));
	t->job_table = job_table;
	t->next = b->tables;
	b->tables = t;
	b->ntables++;
	return t;
}

/* Reserve one job of the group, and find out where it goes if that is not known. */
static void
reserve(FsInbox *b, FsInboxGroup *g, const Datum *key)
{
	if (g->place.flow != FS_NONE)
	{
		bool		done;

		fs_ledger_reserve(1);
		FsLock();
		done = fs_enqueue_reserve_more(b->db, &g->place);
		FsUnlock();
		if (done)
			return;
	}
	fs_enqueue_reserve(b->db, &g->jobs, 1, key, &g->spec, &g->place);
	if (g->place.own || g->place.flow_id < 0 || g->jobs.caps_len > 0 || g->jobs.resources || g->jobs.budgets)
		b->keep = false;
	if (g->table == NULL || g->table->job_table != g->place.job_table)
		g->table = table_of(b, g->place.job_table);
}

/* Write a row with a unique key; the id of the job that has the key now. */
static int64
write_unique(FsInboxGroup *g, HeapTuple tuple, Datum key)
{
	FsJobRel   *jr = fs_rows_open(g->place.job_table, false);
	FsJobFixed *job = FsJob(tuple);
	int64		id = job->job_id;

	if (fs_rows_insert_unique(jr, tuple, g->jobs.workspace, key, &id))
	{
		int		   *at = &g->queued[FsRankSlot(job->rank)][job->position > 0];

		fs_ledger_reserve(1);
		FsLock();
		*at = fs_enqueue_queue(*at, &g->place, jr, tuple);
		FsUnlock();
	}
	fs_rows_close(jr);
	return id;
}

static void
keep_row(FsInbox *b, FsInboxGroup *g, HeapTuple tuple)
{
	FsInboxTable *t = g->table;

	if (t->n == t->room)
	{
		t->room = Max(t->room * 2, 16);
		if (t->rows == NULL)
		{
			t->rows = MemoryContextAlloc(b->lookup, sizeof(HeapTuple) * t->room);
			t->groups = MemoryContextAlloc(b->lookup, sizeof(FsInboxGroup *) * t->room);
		}
		else
		{
			t->rows = repalloc(t->rows, sizeof(HeapTuple) * t->room);
			t->groups = repalloc(t->groups, sizeof(FsInboxGroup *) * t->room);
		}
	}
	t->rows[t->n] = tuple;
	t->groups[t->n++] = g;
	b->n++;
	b->bytes += tuple->t_len;
}

/* Take one row in; its job id. */
static int64
take_row(FsInbox *b, FsOption *o, Datum payload, Datum key)
{
	FsInboxGroup *g = group_of(b, o);
	TimestampTz now = GetCurrentTimestamp();
	FsNewRow	row;
	MemoryContext old;
	HeapTuple	tuple;
	TupleDesc	desc;
	int64		id;
	int			cost;

	b->busy = true;
	fs_enqueue_read_job(o, &g->jobs);
	cost = fs_enqueue_cost(&g->jobs, payload);
	reserve(b, g, key ? &key : NULL);
	desc = row_desc(b, g->place.job_table);
	fs_enqueue_row(&g->jobs, &g->place, now, &row);
	id = FsMakeJobId(g->place.job_table, draw_number(b, FS_COUNTER_JOB, &b->jobs));
	row.values[FS_COL_JOB_ID] = Int64GetDatum(id);
	row.values[FS_COL_POSITION] =
		Int64GetDatum(row.ready ? FsPosition(draw_number(b, FS_COUNTER_POSITION, &b->positions), cost) : 0);
	row.values[FS_COL_COST] = Int32GetDatum(cost);
	row.values[FS_COL_PAYLOAD] = payload;
	row.values[FS_COL_UNIQUE_KEY] = key;
	row.nulls[FS_COL_UNIQUE_KEY] = key == 0;
	if (key)
	{
		id = write_unique(g, fs_rows_form_as(desc, row.values, row.nulls), key);
		b->busy = false;
		return id;
	}

	old = MemoryContextSwitchTo(b->rows);
	tuple = fs_rows_form_as(desc, row.values, row.nulls);
	if (HeapTupleHasExternal(tuple))
		tuple = toast_flatten_tuple(tuple, desc);	/* what it points to may
													 * go before it is written */
	MemoryContextSwitchTo(old);
	keep_row(b, g, tuple);
	b->cid = GetCurrentCommandId(true);
	b->busy = false;
	if (b->bytes >= BATCH_BYTES || (b->n >= BATCH_ROWS && b->n >= b->ntables * BATCH_TABLE_ROWS))
		write_rows(b);
	return id;
}

/* ---------- triggers ---------- */

/* {}, made once. */
static Datum
empty_payload(void)
{
	static Datum payload = (Datum) 0;

	if (payload == 0)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		payload = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
		MemoryContextSwitchTo(old);
	}
	return payload;
}

/* INSTEAD OF INSERT FOR EACH ROW on fairsched.inbox */
Datum
fs_inbox_insert(PG_FUNCTION_ARGS)
{
	TriggerData *t = (TriggerData *) fcinfo->context;
	TupleTableSlot *slot;
	FsInbox    *b;
	TupleDesc	desc;
	Datum		v[IN_COLUMNS];
	bool		isnull[IN_COLUMNS];
	Datum		payload;
	Datum		key;
	int64		id;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_INSTEAD(t->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(t->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("fairsched.inbox_insert() must be called as an INSTEAD OF INSERT trigger")));
	slot = t->tg_trigslot;
	desc = RelationGetDescr(t->tg_relation);
	if (desc->natts != IN_COLUMNS)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("fairsched.inbox_insert() works for fairsched.inbox only")));
	b = open_buffer(t->tg_relation);
	slot_getallattrs(slot);
	payload = slot->tts_isnull[IN_PAYLOAD] ? empty_payload() : slot->tts_values[IN_PAYLOAD];
	key = fs_enqueue_key(slot->tts_values[IN_UNIQUE_KEY], slot->tts_isnull[IN_UNIQUE_KEY]);
	{
#define COL(n) ((FsOption) {slot->tts_values[n], slot->tts_isnull[n]})
		FsOption	o[OPT_COUNT] = {
			[OPT_WORKSPACE] = COL(IN_WORKSPACE),[OPT_KIND] = COL(IN_KIND),
			[OPT_PRIORITY] = COL(IN_PRIORITY),[OPT_RUN_AT] = COL(IN_RUN_AT),
			[OPT_LANE] = COL(IN_LANE),[OPT_COST] = COL(IN_COST),
			[OPT_MAX_ATTEMPTS] = COL(IN_MAX_ATTEMPTS),[OPT_CAPABILITIES] = COL(IN_CAPABILITIES),
			[OPT_RESOURCES] = COL(IN_RESOURCES),[OPT_BUDGETS] = COL(IN_BUDGETS),
			[OPT_RUN_ID] = COL(IN_RUN_ID),[OPT_MAX_RUNTIME] = COL(IN_MAX_RUNTIME),
			[OPT_MIN_DELIBERATION] = COL(IN_MIN_DELIBERATION)
		};

		id = take_row(b, o, payload, key);
	}
	if (TTS_IS_VIRTUAL(slot) && !b->others && !slot->tts_isnull[IN_PAYLOAD])
	{
		/*
		 * nobody but RETURNING looks at the row again, and it looks here: no
		 * row needs to be formed
		 */
		slot->tts_values[IN_JOB_ID] = Int64GetDatum(id);
		slot->tts_isnull[IN_JOB_ID] = false;
		return PointerGetDatum(t->tg_trigtuple);
	}
	memcpy(v, slot->tts_values, sizeof(v));
	memcpy(isnull, slot->tts_isnull, sizeof(isnull));
	v[IN_PAYLOAD] = payload;
	v[IN_JOB_ID] = Int64GetDatum(id);
	isnull[IN_JOB_ID] = isnull[IN_PAYLOAD] = false;
	return PointerGetDatum(heap_form_tuple(desc, v, isnull));
}

/* AFTER INSERT FOR EACH STATEMENT on fairsched.inbox */
Datum
fs_inbox_flush(PG_FUNCTION_ARGS)
{
	TriggerData *t = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(t->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(t->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("fairsched.inbox_flush() must be called as an AFTER INSERT trigger FOR EACH STATEMENT")));
	end_statement();
	return PointerGetDatum(NULL);
}

/* ---------- ends of statements and transactions ---------- */

static void
executor_start(QueryDesc *q, int eflags)
{
	ListCell   *lc;

	if (top && top->n > 0)
		foreach(lc, q->plannedstmt->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_RELATION && rte->relid != top->view &&
			get_rel_namespace(rte->relid) == fs_catalog()->nsp)
		{
			fs_inbox_settle();
			break;
		}
	}
	if (prev_ExecutorStart)
		prev_ExecutorStart(q, eflags);
	else
		standard_ExecutorStart(q, eflags);
}

static void
executor_finish(QueryDesc *q)
{
	ListCell   *lc;

	if (prev_ExecutorFinish)
		prev_ExecutorFinish(q);
	else
		standard_ExecutorFinish(q);
	if (top == NULL)
		return;
	foreach(lc, q->plannedstmt->resultRelations)
		if (rt_fetch(lfirst_int(lc), q->plannedstmt->rtable)->relid == top->view)
	{
		end_statement();
		break;
	}
}

void
fs_inbox_install_hooks(void)
{
	prev_ExecutorStart = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
	prev_ExecutorFinish = ExecutorFinish_hook;
	ExecutorFinish_hook = executor_finish;
}

/* fs_inbox_before_commit: rows that nobody will write any more are an error. */
void
fs_inbox_before_commit(void)
{
	for (; top; drop_buffer(false))
		if (top->n > 0)
			ereport(ERROR,
					(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
					 errmsg("rows for fairsched.inbox were not written"),
					 errdetail("The trigger that ends their statement did not run."),
					 errhint("Do not change session_replication_role while COPY is reading rows.")));
}

/* fs_inbox_hand_up: the subtransaction became part of its parent. */
void
fs_inbox_hand_up(SubTransactionId child, SubTransactionId parent)
{
	for (FsInbox *b = top; b && b->subid == child; b = b->outer)
		b->subid = parent;
}

/* fs_inbox_discard: the subtransaction, or with InvalidSubTransactionId all, is undone. */
void
fs_inbox_discard(SubTransactionId subid)
{
	while (top && (subid == InvalidSubTransactionId || top->subid == subid))
		drop_buffer(false);
}
