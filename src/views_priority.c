/*
 * views_priority.c
 *		fairsched.priority_queue: ready jobs by the class they count as, then age;
 *		and fairsched.capacity_status.
 *
 * What waits is on many queues, one for each flow and rank; each is in order,
 * since a longer wait never makes a job count as less.  Memory knows where each
 * begins, so this is a merge: a heap of queues by their first job, of which a few
 * rows are read at a time.  A row is made only when the executor asks for it (the
 * function stands in a select list, so nothing collects them first): with LIMIT n
 * the cost is O(flows) in memory and O(n) index reads, however many jobs wait.
 *
 * No lock, relation or snapshot is held from row to row: a reader that goes away
 * leaves nothing behind.  So a result is not of one instant.
 */
#include "views.h"

#include "access/genam.h"
#include "access/skey.h"
#include "funcapi.h"
#include "lib/binaryheap.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "aging.h"
#include "amount.h"
#include "capacity.h"
#include "flows.h"
#include "ws_limits.h"
#include "preempt.h"
#include "requeue.h"
#include "ring.h"
#include "softclaim.h"
#include "text.h"

PG_FUNCTION_INFO_V1(fs_view_priority_queue);
PG_FUNCTION_INFO_V1(fs_view_capacity_status);

#define CHUNK 32				/* rows of a queue read at a time */
#define LOOK 1024				/* flows looked at while the lock is held */

typedef struct Waiting
{
	int64		job_id;
	int64		position;
	int			cls;
	int			preemptions;
	TimestampTz since;
	char		workspace[FS_NAME_LEN + 1];
} Waiting;

typedef struct Queue
{
	int32		flow;			/* what rows carry */
	int32		job_table;
	int			slot;
	int64		from;			/* the index is to be read on from here */
	bool		more;
	int			counts;			/* class its first job counts as, */
	int64		position;		/* and its position; less, where it was not
								 * read yet */
	int			n;				/* rows read, next of them at `next` */
	int			next;
	Waiting    *rows;
} Queue;

typedef struct Merge
{
	Queue	   *queues;
	binaryheap *heap;
	int64		aged[FS_AGING + 1];
	TimestampTz now;
} Merge;

static int
counts_as(const Merge *m, int slot, int64 position)
{
	return fs_aging_class(m->aged, FsSlotClass(slot), position);
}

/* binaryheap keeps the greatest first: that is the most urgent, then the oldest. */
static int
more_urgent(Datum a, Datum b, void *arg)
{
	const Queue *x = &((Merge *) arg)->queues[DatumGetInt32(a)];
	const Queue *y = &((Merge *) arg)->queues[DatumGetInt32(b)];

	if (x->counts != y->counts)
		return x->counts < y->counts ? 1 : -1;
	if (x->position != y->position)
		return x->position < y->position ? 1 : -1;
	return 0;
}

/* What memory knows of queues: where they begin, at the least. */
static void
collect(Merge *m, FsDatabase *db)
{
	int			room = 64;
	int			n = 0;

	m->queues = palloc(sizeof(Queue) * room);
	FsLock();
	fs_aging_refresh(db, m->now);
	memcpy(m->aged, db->aged, sizeof(m->aged));
	FsUnlock();
	for (int from = 0; from < fs->flows.high; from += LOOK)
	{
		if (n + LOOK * FS_RANKS > room)
		{
			room = n + LOOK * FS_RANKS + room;
			m->queues = repalloc_huge(m->queues, sizeof(Queue) * room);
		}
		FsLockShared();
		for (int f = from; f < Min(from + LOOK, fs->flows.high); f++)
		{
			FsFlow	   *flow = &fs_flows[f];

			if (flow->member == FS_NONE || fs_workspaces[FsWorkspaceOfFlow(f)].db != FsDbIndex(db))
				continue;
			for (int slot = 0; slot < FS_RANKS; slot++)
			{
				Queue	   *q = &m->queues[n];
				int64		head = fs_sched_flow_head(flow, slot);

				if (head == PG_INT64_MAX)
					continue;
				memset(q, 0, sizeof(Queue));
				q->flow = flow->id;
				q->job_table = fs_workspaces[FsWorkspaceOfFlow(f)].set.job_table;
				q->slot = slot;
				q->from = q->position = head;
				q->more = true;
				q->counts = counts_as(m, slot, head);
				n++;
			}
		}
		FsUnlock();
		CHECK_FOR_INTERRUPTS();
	}
	m->heap = binaryheap_allocate(Max(n, 1), more_urgent, m);
	for (int i = 0; i < n; i++)
		binaryheap_add_unordered(m->heap, Int32GetDatum(i));
	binaryheap_build(m->heap);
}

/* Read on in a queue. */
static void
read_on(Queue *q)
{
	ScanKeyData keys[3];
	FsIndexRead r;
	HeapTuple	row;

	q->n = q->next = 0;
	q->more = false;
	if (q->rows == NULL)
		q->rows = palloc(sizeof(Waiting) * CHUNK);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(q->flow));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(FsSlotRank(q->slot)));
	ScanKeyInit(&keys[2], 3, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(q->from));
	fs_push_snapshot();
	if (fs_view_read_begin(&r, q->job_table, FS_INDEX_READY, GetActiveSnapshot(), keys, 3))
	{
		while ((row = fs_view_read_next(&r)) != NULL)
		{
			Waiting    *w = &q->rows[q->n];
			FsJobRel	jr = {.rel = r.rel};
			char	   *name;

			q->from = FsJob(row)->position + 1;
			if (fs_job_state(row) != FS_JOB_AVAILABLE || fs_soft_attempt(FsJob(row)->job_id) != 0)
				continue;
			w->job_id = FsJob(row)->job_id;
			w->position = FsJob(row)->position;
			w->cls = FsSlotClass(q->slot);
			w->since = Max(FsJob(row)->run_at, FsJob(row)->created_at);
			w->preemptions = fs_preemptions(&jr, row);
			name = fs_row_text(&jr, row, FS_COL_WORKSPACE);
			strlcpy(w->workspace, name, sizeof(w->workspace));
			pfree(name);
			if (++q->n == CHUNK)
			{
				q->more = true;
				break;
			}
		}
		fs_view_read_end(&r);
	}
	fs_pop_snapshot();
}

/* The next job; its queue stays first in the heap until it is asked again. */
static Waiting *
next_job(Merge *m, int *counts)
{
	while (!binaryheap_empty(m->heap))
	{
		Queue	   *q = &m->queues[DatumGetInt32(binaryheap_first(m->heap))];
		Waiting    *w;

		CHECK_FOR_INTERRUPTS();
		if (q->next == q->n)
		{
			if (q->more)
				read_on(q);
			if (q->n == 0)
			{
				if (q->rows)
					pfree(q->rows);
				(void) binaryheap_remove_first(m->heap);
				continue;
			}
			if (q->next == q->n)
			{
				q->n = q->next = 0;
				continue;
			}
		}
		w = &q->rows[q->next];
		if (w->position != q->position)
		{
			/* its place by what is really there */
			q->position = w->position;
			q->counts = counts_as(m, q->slot, w->position);
			binaryheap_replace_first(m->heap, binaryheap_first(m->heap));
			continue;
		}
		q->next++;
		*counts = q->counts;
		return w;
	}
	return NULL;
}

/* fairsched.priority_queue_internal() */
Datum
fs_view_priority_queue(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	Merge	   *m;
	Waiting    *w;
	int			counts;
	MemoryContext old;

	if (SRF_IS_FIRSTCALL())
	{
		TupleDesc	desc;
		FsDatabase *db;

		fs_view_check("priority_queue", NULL);
		call = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		call->tuple_desc = BlessTupleDesc(desc);
		m = palloc0(sizeof(Merge));
		m->now = GetCurrentTimestamp();
		db = fs_view_state("priority_queue");
		if (db != NULL)
			collect(m, db);
		else
			m->heap = binaryheap_allocate(1, more_urgent, m);
		call->user_fctx = m;
		MemoryContextSwitchTo(old);
	}
	call = SRF_PERCALL_SETUP();
	m = call->user_fctx;
	old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
	w = next_job(m, &counts);
	MemoryContextSwitchTo(old);
	if (w != NULL)
	{
		Datum		out[7];
		bool		nulls[7] = {0};
		Interval   *wait = palloc0(sizeof(Interval));

		wait->time = Max(m->now - w->since, 0);
		out[0] = Int64GetDatum(w->job_id);
		out[1] = CStringGetTextDatum(w->workspace);
		out[2] = CStringGetTextDatum(FsPriorityNames[w->cls]);
		out[3] = CStringGetTextDatum(FsPriorityNames[counts]);
		out[4] = CStringGetTextDatum("available");
		out[5] = IntervalPGetDatum(wait);
		out[6] = Int32GetDatum(w->preemptions);
		SRF_RETURN_NEXT(call, HeapTupleGetDatum(heap_form_tuple(call->tuple_desc, out, nulls)));
	}
	SRF_RETURN_DONE(call);
}

/* fairsched.capacity_status_internal() */
Datum
fs_view_capacity_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz now = GetCurrentTimestamp();
	FsDatabase *db;
	int64		capacity[FS_FLEET];
	int64		used[FS_FLEET];
	int64		kept[FS_FLEET];
	int32		waiting[FS_FLEET];
	int64		looks[FS_FLEET];

	fs_view_check("capacity_status", NULL);
	InitMaterializedSRF(fcinfo, 0);
	db = fs_view_state("capacity_status");
	if (db == NULL)
		return (Datum) 0;
	FsLockShared();
	for (int r = 0; r < FS_FLEET; r++)
	{
		capacity[r] = db->capacity[r];
		used[r] = db->fleet[r];
		kept[r] = fs_capacity_kept(db, r, FS_NONE, FS_CLASSES, now);
	}
	memcpy(waiting, db->room_waiting, sizeof(waiting));
	memcpy(looks, db->room_looks, sizeof(looks));
	FsUnlock();
	for (int r = 0; r < FS_FLEET; r++)
	{
		Datum		out[6];
		bool		nulls[6] = {false, capacity[r] < 0};

		out[0] = CStringGetTextDatum(FsResourceNames[r]);
		out[1] = capacity[r] < 0 ? (Datum) 0 : fs_amount_datum(capacity[r]);
		out[2] = fs_amount_datum(used[r]);
		out[3] = fs_amount_datum(kept[r]);
		out[4] = Int32GetDatum(waiting[r]);
		out[5] = Int64GetDatum(looks[r]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, out, nulls);
	}
	return (Datum) 0;
}
