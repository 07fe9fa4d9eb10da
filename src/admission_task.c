/*
 * admission_task.c
 *		What admission leaves to the background: the scheduler's task.
 *
 * Claims only note in shared memory what is to be written; this runs at most
 * once a second for it (fs_admit_next_due), so a claim writes no row for a
 * quota, however often it is refused.  What is copied from memory is marked as
 * written there at once, and the mark is taken back when writing it fails.
 *
 * A violation is open while its cause lasts: a reject or a pause while something
 * is parked for it or nothing of the resource is left; an alert while use is
 * above the threshold; a burst while the level is above the quota; a throttle
 * while it lasts.
 *
 * A claim that refuses knows where the refused job stands in its queue, not
 * which it is: that is read here, and the job is left out when it has gone on
 * meanwhile.
 */
#include "admission_task.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "admit.h"
#include "amount.h"
#include "park.h"
#include "requeue.h"
#include "rows.h"

#define BATCH		500			/* violations, or windows, written in one run */
#define STALE_QUIET	USECS_PER_SEC	/* a restore is not read again after each
									 * of its tables */
#define QUIET		USECS_PER_SEC	/* a violation is not resolved sooner than
									 * this after it was seen */
#define CLEAN_EVERY	USECS_PER_HOUR

typedef struct FsNote
{
	int32		limits;
	char		workspace[FS_NAME_LEN + 1];
	char		run_id[FS_NAME_LEN + 1];
	FsResource	resource;
	FsBreachKind kind;
	FsBreach	breach;
	bool		resolved;
} FsNote;

typedef struct FsRateNote
{
	char		workspace[FS_NAME_LEN + 1];
	FsWindow	window;
	int64		epoch;			/* the last one whose claims are in it */
} FsRateNote;

static const char *const severities[] = {"low", "medium", "high", "critical"};

/* ---------- collecting; fs->lock held ---------- */

/* Is the cause of an open violation gone? */
static bool
cause_gone(int32 l, FsResource r, FsBreachKind kind, TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];
	const FsWorkspace *ws = limits->workspace == FS_NONE ? NULL : &fs_workspaces[limits->workspace];
	int64		used;

	if (!(limits->set.has & FsResourceBit(r)))
		return true;
	if (kind == FS_BREACH_THROTTLE)
		return limits->throttled_until <= now;
	if (now < limits->breach[r][kind].last + QUIET)
		return false;
	used = fs_limits_used(limits, r, now) + (ws ? ws->held[r] : 0);
	if (kind == FS_BREACH_BURST)
		return used <= limits->set.quota[r].quota;
	if (kind == FS_BREACH_ALERT)
		return used < limits->set.threshold * limits->set.quota[r].quota ||
			(limits->set.throttle && (limits->set.throttle_mask & FsResourceBit(r)) &&
			 used <= limits->set.quota[r].quota);
	if (ws && ws->parked == FS_PARK_RESOURCE && ws->why.resource == r)
		return false;
	for (int32 f = ws ? ws->parked_flows : FS_NONE; f != FS_NONE; f = fs_flows[f].park_next)
		if (fs_flows[f].why.park == FS_PARK_RESOURCE && fs_flows[f].why.resource == r)
			return false;
	return used < limits->set.quota[r].quota || limits->set.quota[r].quota == 0;
}

/*
 * What is parked for a resource though nobody waits there any more (jobs were
 * cancelled, or moved) takes part again: then nothing is refused, and who comes
 * next is asked, so that a refusal of it is another occurrence.
 */
static void
lift_empty(const FsDatabase *db, const FsLimits *limits)
{
	const FsWorkspace *ws;

	if (!db->counted || limits->workspace == FS_NONE)
		return;
	ws = &fs_workspaces[limits->workspace];
	for (int32 f = ws->parked_flows, next; f != FS_NONE; f = next)
	{
		next = fs_flows[f].park_next;
		if (fs_flows[f].why.park == FS_PARK_RESOURCE && fs_flows[f].ready == 0)
			fs_admit_lift(f);
	}
	if (ws->parked == FS_PARK_RESOURCE && ws->ready[0] + ws->ready[1] + ws->ready[2] + ws->ready[3] == 0)
		fs_sched_unpark(limits->workspace);
}

/* Violations to be written or closed; sets *rest where something stays to be looked at. */
static int
collect_breaches(FsDatabase *db, FsNote *notes, int max, TimestampTz now, bool *rest)
{
	int			n = 0;

	for (int l = 0; l < fs->limits.capacity; l++)
	{
		FsLimits   *limits = &fs_limits[l];
		bool		open = false;

		if (limits->db != FsDbIndex(db) || !limits->breached)
			continue;
		lift_empty(db, limits);
		for (int r = 0; r < FS_RESOURCES; r++)
			for (int k = 0; k < FS_BREACH_KINDS; k++)
			{
				FsBreach   *b = &limits->breach[r][k];
				bool		gone = b->open && cause_gone(l, r, k, now);

				if (!b->open)
					continue;
				if (b->count == 0 && !gone)
				{
					open = true;
					continue;
				}
				if (n == max)
				{
					open = true;
					continue;
				}
				notes[n].limits = l;
				strcpy(notes[n].workspace, limits->name);
				strcpy(notes[n].run_id, limits->run_resource == r && limits->run_kind == k ? limits->run_id : "");
				notes[n].resource = r;
				notes[n].kind = k;
				notes[n].breach = *b;
				notes[n++].resolved = gone;
				b->count = 0;
				b->open = !gone;
				open |= !gone;
			}
		limits->breached = open;
		*rest |= open;
		if (!open)
			fs_limits_release(l);
	}
	return n;
}

/* Writing failed: it is still to be written. */
static void
put_back(FsDatabase *db, const FsNote *notes, int n)
{
	for (int i = 0; i < n; i++)
	{
		int32		l = fs_limits_find(FsDbIndex(db), notes[i].workspace);
		FsBreach   *b;

		if (l == FS_NONE)
			continue;
		b = &fs_limits[l].breach[notes[i].resource][notes[i].kind];
		if (!b->open && b->count == 0)
			*b = notes[i].breach;
		else
			b->count += notes[i].breach.count;
		b->open = true;
		fs_limits[l].breached = true;
	}
}

static int
collect_rates(FsDatabase *db, FsRateNote *notes, int max, bool *rest)
{
	int			n = 0;

	for (int l = 0; l < fs->limits.capacity; l++)
	{
		FsLimits   *limits = &fs_limits[l];

		if (limits->db != FsDbIndex(db) || !limits->rate_dirty)
			continue;
		if (n == max)
		{
			*rest = true;
			break;
		}
		limits->rate_dirty = false;
		if (!(limits->set.has & FS_LIMIT_RATE))
			continue;
		strcpy(notes[n].workspace, limits->name);
		notes[n].window = limits->rate;
		notes[n++].epoch = limits->rate_epoch++;
		limits->rate_unsaved = limits->rate_booked = 0;
	}
	return n;
}

/* ---------- writing ---------- */

/* Which job was refused, and whose run it is. */
static void
look_up_job(FsNote *note)
{
	FsBreach   *b = &note->breach;
	FsJobRel   *jr = NULL;
	HeapTuple	row = NULL;
	char	   *run_id;

	if (b->count == 0)
		return;
	if (b->queued)
	{
		fs_push_snapshot();
		jr = fs_rows_open(b->job_table, true);
		if (jr && fs_table_complete(&jr->table))
			row = fs_rows_first_from(jr, b->flow_id, FsSlotRank(b->rank_slot), b->job_id);
		fs_pop_snapshot();
	}
	else if ((FsResourceBit(note->resource) & FS_HELD_MASK) && note->kind != FS_BREACH_REJECT &&
			 b->job_id != 0 && note->run_id[0] == '\0')
		row = fs_rows_find(b->job_id, &jr); /* of a job that holds it, the
											 * claim did not say whose run it
											 * is */
	if (b->queued)
		b->job_id = row ? FsJob(row)->job_id : 0;
	b->queued = false;
	if (row)
	{
		run_id = fs_row_text(jr, row, FS_COL_RUN_ID);
		if (run_id)
			strlcpy(note->run_id, run_id, sizeof(note->run_id));
	}
	if (jr)
		fs_rows_close(jr);
}

static void
write_breach(const FsNote *note)
{
	static const Oid types[] = {TEXTOID, TEXTOID, NUMERICOID, NUMERICOID, TEXTOID, TEXTOID, INT8OID,
	TIMESTAMPTZOID, INT8OID, TEXTOID};
	const FsBreach *b = &note->breach;
	Datum		args[10];
	char		nulls[10];

	memset(nulls, ' ', sizeof(nulls));
	args[0] = CStringGetTextDatum(note->workspace);
	args[1] = CStringGetTextDatum(FsResourceNames[note->resource]);
	args[2] = fs_amount_datum(b->quota);
	args[3] = fs_amount_datum(b->actual);
	args[4] = CStringGetTextDatum(FsBreachNames[note->kind]);
	args[5] = CStringGetTextDatum(severities[quota_severity(b->quota, b->actual)]);
	args[6] = Int64GetDatum(b->count);
	args[7] = TimestampTzGetDatum(b->last);
	args[8] = Int64GetDatum(b->job_id);
	if (b->job_id == 0)
		nulls[8] = 'n';
	args[9] = CStringGetTextDatum(note->run_id);
	if (note->run_id[0] == '\0')
		nulls[9] = 'n';
	if (b->count > 0)
		fs_spi("INSERT INTO fairsched.quota_violations AS v (workspace, resource, quota, actual, overage, overage_percent, "
			   "action, severity, occurrences, first_seen, last_seen, job_id, run_id) "
			   "VALUES ($1, $2, $3, $4, greatest($4 - $3, 0), round(100 * greatest($4 - $3, 0) / nullif($3, 0), 2), "
			   "$5, $6, $7, $8, $8, $9, $10) "
			   "ON CONFLICT (workspace, resource, action) WHERE resolved_at IS NULL DO UPDATE SET "
			   "quota = excluded.quota, actual = greatest(v.actual, excluded.actual), "
			   "overage = greatest(v.overage, excluded.overage), "
			   "overage_percent = greatest(v.overage_percent, excluded.overage_percent), "
			   "severity = CASE WHEN excluded.overage > v.overage THEN excluded.severity ELSE v.severity END, "
			   "occurrences = v.occurrences + excluded.occurrences, last_seen = excluded.last_seen, "
			   "(job_id, run_id) = (SELECT CASE WHEN known THEN excluded.job_id ELSE v.job_id END, "
			   "CASE WHEN known THEN excluded.run_id ELSE v.run_id END "
			   "FROM (SELECT coalesce(excluded.job_id::text, excluded.run_id) IS NOT NULL AS known) k)",
			   10, types, args, nulls);
	if (note->resolved)
		fs_spi("UPDATE fairsched.quota_violations SET resolved_at = clock_timestamp() "
			   "WHERE workspace = $1 AND resource = $2 AND action = $5 AND resolved_at IS NULL",
			   5, types, args, nulls);
}

/* Windows, and what was booked of the claims in them; an older copy does not go before a newer one. */
static void
write_rates(const FsRateNote *notes, int n)
{
	static const Oid types[] = {TEXTOID, INT8OID, INT8OID, INT8ARRAYOID, INT8OID, INT8OID};
	static const Oid written_types[] = {TEXTARRAYOID, INT8ARRAYOID};
	Datum		written[2];
	Datum	   *workspaces = palloc(sizeof(Datum) * n);
	Datum	   *epochs = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
	{
		int64		count[FS_WINDOW_KEPT];
		Datum		counts[FS_WINDOW_KEPT];
		Datum		args[6];

		window_counts(&notes[i].window, count);
		for (int k = 0; k < FS_WINDOW_KEPT; k++)
			counts[k] = Int64GetDatum(count[k]);
		workspaces[i] = args[0] = CStringGetTextDatum(notes[i].workspace);
		args[1] = Int64GetDatum(notes[i].window.width);
		args[2] = Int64GetDatum(notes[i].window.head);
		args[3] = PointerGetDatum(construct_array(counts, FS_WINDOW_KEPT, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
												  TYPALIGN_DOUBLE));
		epochs[i] = args[4] = Int64GetDatum(notes[i].epoch);
		args[5] = Int64GetDatum((int64) GetWALInsertionTimeLine());
		fs_spi("INSERT INTO fairsched.rate_windows AS w (workspace, width, head, counts, epoch, timeline) "
			   "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (workspace) DO UPDATE SET width = excluded.width, "
			   "head = excluded.head, counts = excluded.counts, epoch = excluded.epoch, timeline = excluded.timeline, "
			   "saved_at = clock_timestamp() WHERE w.epoch < excluded.epoch", 6, types, args, NULL);
	}
	if (n > 0)
	{
		written[0] = PointerGetDatum(construct_array(workspaces, n, TEXTOID, -1, false, TYPALIGN_INT));
		written[1] = PointerGetDatum(construct_array(epochs, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
		fs_spi("DELETE FROM fairsched.rate_bookings b USING unnest($1, $2) AS s (workspace, epoch) "
			   "WHERE b.workspace = s.workspace AND b.epoch <= s.epoch", 2, written_types, written, NULL);
	}
}

/* Write what was collected; an error leaves it to be written. */
static void
write_notes(FsDatabase *db, FsNote *notes, const int nnotes, const FsRateNote *rates, const int nrates)
{
	PG_TRY();
	{
		for (int i = 0; i < nnotes; i++)
			look_up_job(&notes[i]);
		fs_spi_begin();
		for (int i = 0; i < nnotes; i++)
			write_breach(&notes[i]);
		write_rates(rates, nrates);
		fs_spi_end();
	}
	PG_CATCH();
	{
		FsLock();
		put_back(db, notes, nnotes);
		for (int i = 0; i < nrates; i++)
		{
			int32		l = fs_limits_find(FsDbIndex(db), rates[i].workspace);

			if (l != FS_NONE)
				fs_limits[l].rate_dirty = true;
		}
		db->limits_dirty = true;
		FsUnlock();
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* Old usage goes once an hour. */
static TimestampTz
clean_usage(TimestampTz now)
{
	static TimestampTz next = 0;

	if (next == 0)
		next = now + CLEAN_EVERY;	/* a restore may be under way */
	if (now < next)
		return next;
	fs_spi_begin();
	fs_spi("DELETE FROM fairsched.workspace_usage WHERE recorded_at < now() - interval '30 days'", 0, NULL, NULL, NULL);
	fs_spi("DELETE FROM fairsched.quota_violations WHERE resolved_at < now() - interval '30 days'", 0, NULL, NULL, NULL);
	fs_spi_end();
	next = now + CLEAN_EVERY;
	return next;
}

TimestampTz
fs_admission_task(FsDatabase *db)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		quiet = fs_own_changes;
	FsNote	   *notes = NULL;
	FsRateNote *rates = NULL;
	int			nnotes = 0;
	int			nrates = 0;
	bool		rest = false;

	if (db->usage_stale != 0 && now >= db->usage_stale + STALE_QUIET)
		(void) fs_limits_reread(db);
	if (db->limits_dirty)
	{
		notes = palloc(sizeof(FsNote) * BATCH);
		rates = palloc(sizeof(FsRateNote) * BATCH);
	}
	FsLock();
	fs_admit_wake_due(db, now);
	if (notes)
	{
		db->limits_dirty = false;
		nnotes = collect_breaches(db, notes, BATCH, now, &rest);
		nrates = collect_rates(db, rates, BATCH, &rest);
		if (rest || db->usage_stale != 0)
			db->limits_dirty = true;
	}
	db->tasks[FS_TASK_ADMISSION].last_run = now;
	FsUnlock();

	fs_own_changes = true;
	if (nnotes + nrates > 0)
		write_notes(db, notes, nnotes, rates, nrates);
	now = clean_usage(now);
	fs_own_changes = quiet;
	return now;
}
