/*
 * preempt_resume.c
 *		When jobs that were preempted go on by themselves.
 *
 * Going on has hysteresis: the use was 5 points below the threshold for
 * fairsched.preemption_resume_after, the job fits below the threshold, and nobody
 * more urgent waits for the resource.  Strictly lower classes make room, room is
 * kept, nobody is asked before fairsched.preemption_min_runtime: so nothing goes
 * to and fro.
 */
#include "preempt_policy.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "amount.h"
#include "capacity.h"

#define HYSTERESIS		5.0		/* points below the threshold before jobs are
								 * resumed */
#define DEFAULT_THRESHOLD 80.0	/* of a request that names a resource and no
								 * threshold */

/* What a preempted job needs of a resource; -1: it is not preempted any more. */
static int64
need_of(int64 job_id, FsResource r, int *cls)
{
	FsJobRel   *jr;
	HeapTuple	row = fs_rows_find(job_id, &jr);
	FsNeeds		needs;
	bool		isnull;
	Datum		d;
	int64		need = -1;

	if (row == NULL)
		return -1;
	if (fs_job_state(row) == FS_JOB_PREEMPTED)
	{
		d = heap_getattr(row, FS_COL_RESOURCES + 1, RelationGetDescr(jr->rel), &isnull);
		fs_amount_needs(isnull ? 0 : d, &needs);
		need = needs.amount[r];
		*cls = FsSlotClass(FsRankSlot(FsJob(row)->rank));
	}
	fs_rows_close(jr);
	return need;
}

/* A job that was preempted by a rule, and may go on. */
typedef struct Stopped
{
	int64		id;				/* of the preemption */
	int64		job_id;
	int			resource;
	double		threshold;
	char	   *throttled;		/* the workspace whose throttle stopped it;
								 * NULL: the fleet's use did */
} Stopped;

/* Stopped jobs with higher numbers than this, the oldest first. */
static Stopped *
read_stopped(int64 after, int limit, int *n)
{
	MemoryContext mine = CurrentMemoryContext;
	Oid			types[2] = {INT8OID, INT4OID};
	Datum		args[2] = {Int64GetDatum(after), Int32GetDatum(limit)};
	Stopped    *rows;

	fs_spi_begin();
	*n = fs_spi("SELECT preemption_id, job_id, resource, threshold, "
				"CASE WHEN reason = 'quota_exceeded' AND threshold IS NOT NULL THEN workspace END "
				"FROM fairsched.preemption_history WHERE outcome = 'preempted' AND preemption_id > $1 "
	/* a budget may have the name of a resource */
				"AND ((resource IN ('cpu', 'memory', 'gpu') AND reason <> 'budget_exceeded') "
				"OR (reason = 'quota_exceeded' AND threshold IS NOT NULL)) "
				"ORDER BY preemption_id LIMIT $2", 2, types, args, NULL);
	rows = MemoryContextAlloc(mine, sizeof(Stopped) * (*n + 1));
	for (int i = 0; i < *n; i++)
	{
		HeapTuple	t = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		char	   *workspace = SPI_getvalue(t, desc, 5);
		bool		isnull;

		rows[i].id = DatumGetInt64(SPI_getbinval(t, desc, 1, &isnull));
		rows[i].job_id = DatumGetInt64(SPI_getbinval(t, desc, 2, &isnull));
		rows[i].resource = fs_resource_by_name(SPI_getvalue(t, desc, 3));
		rows[i].threshold = DatumGetFloat8(SPI_getbinval(t, desc, 4, &isnull));
		if (isnull)
			rows[i].threshold = DEFAULT_THRESHOLD;
		rows[i].throttled = workspace ? MemoryContextStrdup(mine, workspace) : NULL;
	}
	fs_spi_end();
	return rows;
}

/* May this one, stopped for a resource of the fleet, go on? Sets what it needs, and lowers *next to when to ask again. */
static bool
may_go_on(FsDatabase *db, const Stopped *s, const int64 *resumed, int *awaited, int64 *need,
		  TimestampTz now, TimestampTz *next)
{
	int			r = s->resource;
	int			cls = FS_CLASSES - 1;
	TimestampTz since;
	bool		full;

	FsLockShared();
	/* without a capacity nobody can say that the use has fallen */
	since = db->capacity[r] < 0 ? DT_NOEND : fs_capacity_below_since(db, r, s->threshold - HYSTERESIS);
	/* those that went on a moment ago hold nothing yet, and will */
	since = Max(since, db->resumed_at[r]);
	FsUnlock();
	if (since == DT_NOEND)
		return false;
	*need = need_of(s->job_id, r, &cls);
	if (*need < 0)
		return false;
	if (awaited[r] < 0)
		awaited[r] = fs_preempt_find_waiter(db, r, ~0u, PG_INT64_MAX, now).cls;
	FsLockShared();
	full = db->fleet[r] + resumed[r] > 0 &&
		100.0 * (db->fleet[r] + resumed[r] + *need) > s->threshold * db->capacity[r];
	FsUnlock();
	if (full || awaited[r] < cls)
		return false;
	if (since > now - FsMsToUsec(fs_preemption_resume_after))
	{
		*next = Min(*next, since + FsMsToUsec(fs_preemption_resume_after));
		return false;
	}
	return true;
}

/*
 * fs_preempt_resume_due: jobs that were preempted for a resource whose use has
 * fallen, or by a throttle that is over, go back to wait, the oldest first.
 * Those that cannot hold up nobody behind them. Returns when to look again.
 */
TimestampTz
fs_preempt_resume_due(FsDatabase *db, int limit)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = DT_NOEND;
	int64		resumed[FS_FLEET] = {0};
	int			awaited[FS_FLEET] = {-1, -1, -1};	/* the most urgent class
													 * that waits */
	int64		after = 0;
	bool		any = false;
	int			done = 0;
	int			n;

	FsLock();
	db->resumable = true;		/* what is given back from here on wakes us */
	FsUnlock();
	do
	{
		MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "fairsched resume", ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(work);
		Stopped    *rows = read_stopped(after, limit, &n);

		for (int i = 0; i < n; i++)
		{
			int64		need = 0;

			any = true;
			after = rows[i].id;
			if (rows[i].throttled)
			{
				TimestampTz ends = fs_preempt_throttle_ends(db, rows[i].throttled, now);

				if (ends > 0)
				{
					next = Min(next, ends);
					continue;
				}
			}
			else if (!may_go_on(db, &rows[i], resumed, awaited, &need, now, &next))
				continue;
			if (done == limit)
			{
				next = now;
				break;
			}
			if (fs_preempt_resume(db, rows[i].job_id, false) == FS_PREEMPT_ASKED)
			{
				done++;
				if (!rows[i].throttled)
					resumed[rows[i].resource] += need;
			}
			CHECK_FOR_INTERRUPTS();
		}
		MemoryContextSwitchTo(old);
		MemoryContextDelete(work);
	} while (n == limit && done < limit);
	FsLock();
	for (int r = 0; r < FS_FLEET; r++)
		if (resumed[r] > 0)
			db->resumed_at[r] = now;
	if (!any)
		db->resumable = false;
	FsUnlock();

	/*
	 * what was resumed is claimed now, or not: the others are looked at again
	 * then
	 */
	if (any)
		next = Min(next, now + FsMsToUsec(fs_preemption_interval));
	return next;
}
