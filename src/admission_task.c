/*
 * admission_task.c
 *		What admission leaves to the background: the scheduler's task.
 *
 * Claims only note in shared memory what is to be written; this runs at most
 * once a second for it (fs_admit_next_due), so a claim writes no row for a
 * quota, however often it is refused.  What is to be written is taken from memory
 * by admission_notes.c, by one process at a time.
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
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "admission_notes.h"
#include "admit.h"
#include "amount.h"
#include "ledger.h"
#include "requeue.h"
#include "rows.h"

#define STALE_QUIET	USECS_PER_SEC	/* a restore is not read again after each
									 * of its tables */
#define CLEAN_EVERY	USECS_PER_HOUR

static const char *const severities[] = {"low", "medium", "high", "critical"};

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

/*
 * What rows say of thresholds.  A row is replaced rather than changed, so that
 * where a restore brought one beside ours a single one is left.
 */
static void
write_crossings(const FsAdmissionNotes *notes)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	TIMESTAMPTZOID, TIMESTAMPTZOID};

	for (int i = 0; i < notes->ncrossings; i++)
	{
		const FsCrossing *note = &notes->crossings[i];
		Datum		args[8];
		char		nulls[8];

		memset(nulls, ' ', sizeof(nulls));
		args[0] = CStringGetTextDatum(note->workspace);
		args[1] = CStringGetTextDatum(FsResourceNames[note->resource]);
		fs_spi("DELETE FROM fairsched.quota_crossings WHERE workspace = $1 AND resource = $2", 2, types, args, NULL);
		if (note->state == FS_CROSSING_NONE)
			continue;
		args[2] = CStringGetTextDatum(FsCrossingNames[note->state]);
		args[3] = TimestampTzGetDatum(note->seen_at);
		args[4] = TimestampTzGetDatum(note->crossed_at);
		if (note->state != FS_CROSSING_CROSSED || note->crossed_at == 0)
			nulls[4] = 'n';
		args[5] = TimestampTzGetDatum(note->until);
		if (note->until == 0)
			nulls[5] = 'n';
		args[6] = TimestampTzGetDatum(note->quota_since);
		args[7] = TimestampTzGetDatum(note->off_at);
		if (note->off_at == 0)
			nulls[7] = 'n';
		fs_spi("INSERT INTO fairsched.quota_crossings (workspace, resource, state, seen_at, crossed_at, throttled_until, "
			   "quota_since, throttle_off_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", 8, types, args, nulls);
	}
}

static void
write_notes(FsAdmissionNotes *notes)
{
	for (int i = 0; i < notes->nbreaches; i++)
		look_up_job(&notes->breaches[i]);
	fs_spi_begin();
	for (int i = 0; i < notes->nbreaches; i++)
		write_breach(&notes->breaches[i]);
	write_crossings(notes);
	write_rates(notes->rates, notes->nrates);
	fs_spi_end();
}

/*
 * Nobody else writes until the end of the transaction; false: somebody does.
 * Nor does a restore bring rows of thresholds that are not noticed before theirs
 * are replaced (usage_stale): its lock goes when its commit callback has run.
 */
static bool
lock_writing(void)
{
	return ConditionalLockRelationOid(get_relname_relid("quota_crossings", fs_catalog()->nsp), ShareRowExclusiveLock);
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

	/*
	 * what a crash left of quotas that were dropped, and of throttles that
	 * are over
	 */
	fs_spi("DELETE FROM fairsched.quota_crossings c WHERE NOT EXISTS (SELECT FROM fairsched.workspace_quotas q "
		   "WHERE q.workspace = c.workspace AND q.resource = c.resource AND q.created_at = c.quota_since) "
		   "OR (state = 'below' AND throttled_until < now())", 0, NULL, NULL, NULL);
	fs_spi_end();
	next = now + CLEAN_EVERY;
	return next;
}

TimestampTz
fs_admission_task(FsDatabase *db)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		quiet = fs_own_changes;
	bool		write = db->limits_dirty || (db->limits_due != 0 && db->limits_due <= now);
	FsAdmissionNotes *notes = NULL;

	if (write && lock_writing())
	{
		if (db->usage_stale != 0 && now >= db->usage_stale + STALE_QUIET)
			(void) fs_limits_reread(db);
		notes = MemoryContextAlloc(TopTransactionContext, sizeof(FsAdmissionNotes));
		fs_ledger_reserve(1);
	}
	FsLock();
	fs_admit_wake_due(db, now);
	if (notes)
	{
		fs_notes_take(db, notes, now);
		if (notes->nbreaches + notes->ncrossings + notes->nrates > 0)
			fs_ledger_notes(notes);
	}
	db->tasks[FS_TASK_ADMISSION].last_run = now;
	FsUnlock();

	fs_own_changes = true;
	if (notes)
		write_notes(notes);
	now = clean_usage(now);
	fs_own_changes = quiet;
	return now;
}
