/*
 * tasks.c
 *		Due work: what the scheduler worker does, and claimers where there is none.
 *
 * Every task does a bounded number of jobs in the caller's transaction and
 * says when it wants to run next.  None waits for a row: what is locked is
 * being changed by somebody else, and is looked at again the next time.
 */
#include "tasks.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "claimlog.h"
#include "admit.h"
#include "admission_task.h"
#include "alert_check.h"
#include "aging_task.h"
#include "budget_task.h"
#include "count.h"
#include "day_partition.h"
#include "fairness_task.h"
#include "held.h"
#include "lease.h"
#include "ledger.h"
#include "notify.h"
#include "placement_task.h"
#include "preempt.h"
#include "rebuild.h"
#include "recommend_task.h"
#include "requeue.h"
#include "rows.h"
#include "stats.h"

const char *const FsTaskNames[FS_TASK_COUNT] = {
	"promote", "expire", "in_doubt", "claim_log", "reconcile", "retention", "admission",
	"preempt", "notify",
	"budgets", "fairness", "alerts", "capacity", "aging", "placement"
};

#define RETENTION_AFTER_INSTALL	(10 * USECS_PER_MINUTE)
#define RETENTION_SCORES	10000	/* scores of reasoning removed in one run */
#define INDOUBT_INTERVAL	(200 * INT64CONST(1000))
#define ADOPT_INTERVAL		(50 * INT64CONST(1000))
#define HELP_LIMIT			20	/* jobs of due work a claimer does */

/* ---------- promote ---------- */

/* The due jobs of one table; returns how many were promoted, and the next due time. */
static int
promote_table(FsDatabase *db, int job_table, int limit, TimestampTz now, TimestampTz *next)
{
	FsJobRel   *jr = fs_rows_open(job_table, true);
	Relation	index;
	TupleTableSlot *slot;
	IndexScanDesc scan;
	HeapTuple  *rows;
	int			n = 0;
	int			done = 0;

	if (jr == NULL)
		return 0;
	if (!fs_table_complete(&jr->table))
	{
		fs_rows_close(jr);
		return 0;
	}
	rows = palloc(sizeof(HeapTuple) * (limit + 1));
	index = index_open(fs_table_index(&jr->table, FS_INDEX_DUE), AccessShareLock);
	slot = table_slot_create(jr->rel, NULL);
	fs_push_snapshot();
	scan = FS_INDEX_BEGINSCAN(jr->rel, index, GetActiveSnapshot(), 0);
	index_rescan(scan, NULL, 0, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		TimestampTz run_at = FsJob(ExecFetchSlotHeapTuple(slot, false, NULL))->run_at;

		if (run_at > now || n == limit)
		{
			*next = Min(*next, run_at);
			break;
		}
		rows[n++] = ExecCopySlotHeapTuple(slot);
	}
	index_endscan(scan);
	fs_pop_snapshot();
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);

	for (int i = 0; i < n; i++)
	{
		FsRequeue	q = {
			.state = FS_JOB_AVAILABLE,
			.attempt = -1,
			.cls = -1,
		};

		q.returned = fs_job_state(rows[i]) == FS_JOB_PREEMPTED ||
			(fs_job_state(rows[i]) == FS_JOB_SCHEDULED && FsJob(rows[i])->rank % 2 != 0);
		if (fs_requeue(db, jr, &rows[i], &q, false) == FS_ROW_DONE)
			done++;
		else
			*next = Min(*next, now + USECS_PER_SEC);	/* locked: soon again */
	}
	fs_rows_close(jr);
	return done;
}

static TimestampTz
promote(FsDatabase *db, int limit)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = DT_NOEND;
	int			n;
	int		   *tables;
	int			done = 0;

	fs_ledger_due(db->next_due, DT_NOEND);
	FsLock();
	if (db->next_due > now)
	{
		next = db->next_due;
		FsUnlock();
		return next;
	}
	db->next_due = DT_NOEND;	/* commits from here on lower it again */
	FsUnlock();
	tables = fs_table_list(&n);
	for (int i = 0; i < n; i++)
	{
		if (done >= limit)
		{
			next = now;
			break;
		}
		done += promote_table(db, tables[i], limit - done, now, &next);
		CHECK_FOR_INTERRUPTS();
	}
	FsLock();
	db->next_due = Min(db->next_due, next);
	next = db->next_due;
	FsUnlock();
	return next;
}

/* ---------- expire ---------- */

/* End one lease that ran out. */
static void
expire_one(FsDatabase *db, int64 job_id, int64 token, TimestampTz now)
{
	FsHeld		held = {
		.job_id = job_id,
		.token = token,
	};
	FsJobRel   *jr = NULL;
	HeapTuple	row;
	int32		l;
	bool		too_long = false;
	bool		mine = false;
	FsRowResult r = FS_ROW_DONE;

	fs_held_look(db, &held, 1);
	if (!held.leased)
		return;
	row = fs_held_row(db, &held, &jr, FS_HELD_TRY);
	fs_ledger_reserve(1);
	FsLock();
	l = fs_lease_find(fs_my_db, job_id);
	if (l != FS_NONE && (fs_leases[l].token != token || fs_leases[l].state != FS_LEASE_ACTIVE ||
						 fs_leases[l].expires_at > now))
		l = FS_NONE;			/* ended or extended meanwhile */
	if (l != FS_NONE && held.busy)
		fs_leases[l].expires_at = now + USECS_PER_SEC / 10;
	else if (l != FS_NONE)
	{
		too_long = fs_leases[l].deadline <= now;
		fs_ledger_finish(l, FS_LOST, FS_ENDED_EXPIRED |
						 (row && fs_job_state(row) == FS_JOB_RUNNING &&
						  FsJob(row)->attempt >= FsJob(row)->max_attempts ? FS_ENDED_DISCARDED : 0));
		fs_leases[l].ends_as = PLACEMENT_EXPIRED;
		mine = true;
	}
	FsUnlock();
	if (mine && row && fs_job_state(row) == FS_JOB_RUNNING)
	{
		Datum		errors = fs_add_error(jr, row, too_long ? "max_runtime exceeded" : "lease expired");

		if (FsJob(row)->attempt >= FsJob(row)->max_attempts)
		{
			FsEnd		end = {
				.state = "discarded",
				.errors = errors,
				.claimed_at = held.claimed_at,
				.worker = held.worker,
			};

			r = fs_end_job(db, jr, row, &end, false);
		}
		else
		{
			FsRequeue	q = {
				.state = FS_JOB_AVAILABLE,
				.attempt = -1,
				.cls = -1,
				.run_at = now,
				.errors = errors,
			};

			if (too_long)
			{
				q.state = FS_JOB_RETRYABLE;
				q.run_at = now + fs_backoff(FsJob(row)->attempt);
			}
			r = fs_requeue(db, jr, &row, &q, false);
		}
		if (r == FS_ROW_DONE)
		{
			FsLock();
			db->expired++;
			FsUnlock();
		}
		else
		{
			/* being finished at this moment: whatever comes of that */
			FsLock();
			fs_ledger_unfinish(l);
			fs_leases[l].expires_at = now + USECS_PER_SEC / 10;
			FsUnlock();
		}
	}
	if (jr)
		fs_rows_close(jr);
}

static TimestampTz
expire(FsDatabase *db, int limit)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = DT_NOEND;
	int64	   *jobs = palloc(sizeof(int64) * limit);
	int64	   *tokens = palloc(sizeof(int64) * limit);
	int			n = 0;
	int32		slot = FsDbIndex(db);

	fs_ledger_due(DT_NOEND, db->next_expiry);
	FsLock();
	if (db->next_expiry > now)
	{
		next = db->next_expiry;
		FsUnlock();
		return next;
	}
	db->next_expiry = DT_NOEND; /* claims from here on lower it again */
	FsUnlock();
	for (int from = 0; from < fs->leases.capacity; from += 1024)
	{
		FsLock();
		for (int i = from; i < Min(from + 1024, fs->leases.capacity); i++)
		{
			FsLease    *lease = &fs_leases[i];

			if (lease->db != slot)
				continue;
			if (lease->state == FS_LEASE_GONE && lease->expires_at <= now)
			{
				fs_lease_free(i);
				continue;
			}
			if (lease->state == FS_LEASE_ACTIVE && lease->expires_at <= now)
			{
				if (n < limit)
				{
					jobs[n] = lease->job_id;
					tokens[n++] = lease->token;
				}
				else
					next = now;
			}
			else
				next = Min(next, Max(lease->expires_at, now + USECS_PER_SEC / 10));
		}
		FsUnlock();
		CHECK_FOR_INTERRUPTS();
	}
	for (int i = 0; i < n; i++)
	{
		expire_one(db, jobs[i], tokens[i], now);
		CHECK_FOR_INTERRUPTS();
	}
	FsLock();
	db->next_expiry = Min(db->next_expiry, next);
	next = db->next_expiry;
	FsUnlock();
	return next;
}

/* ---------- prepared transactions ---------- */

static TimestampTz
in_doubt(FsDatabase *db)
{
	TransactionId xids[FS_INDOUBT];
	int			n;
	int			over = 0;

	FsLockShared();
	n = db->nindoubt;
	memcpy(xids, db->indoubt, sizeof(TransactionId) * n);
	FsUnlock();
	for (int i = 0; i < n; i++)
	{
		if (TransactionIdIsInProgress(xids[i]))
			continue;
		over++;
		FsLock();
		for (int j = 0; j < db->nindoubt; j++)
			if (db->indoubt[j] == xids[i])
			{
				db->indoubt[j] = db->indoubt[--db->nindoubt];
				break;
			}
		db->rescan = true;
		FsUnlock();
	}
	if (over > 0)
		fs_rebuild_rescan(db);
	return db->nindoubt > 0 ? GetCurrentTimestamp() + INDOUBT_INTERVAL : DT_NOEND;
}

/* ---------- retention ---------- */

static TimestampTz
retention(FsDatabase *db)
{
	Oid			types[1] = {FLOAT8OID};
	Oid			score_types[2] = {FLOAT8OID, INT4OID};
	Datum		alert_args[1];
	Datum		score_args[2];
	uint64		scores;

	alert_args[0] = Float8GetDatum((double) fs_alert_retention);
	score_args[0] = Float8GetDatum((double) fs_deliberation_retention);
	score_args[1] = Int32GetDatum(RETENTION_SCORES);
	fs_spi_begin();
	/* a restore makes and fills partitions itself: stay out of its way */
	if (fs_spi("SELECT 1 FROM fairsched.control WHERE installed_at > now() - interval '10 min' "
			   "AND installed_at > pg_postmaster_start_time()", 0, NULL, NULL, NULL) > 0)
	{
		fs_spi_end();
		return GetCurrentTimestamp() + RETENTION_AFTER_INSTALL;
	}
	fs_day_partitions_ahead("job_history_dead");
	if (fs_completed_retention > 0)
		fs_day_partitions_ahead("job_history_completed");
	if (fs_fairness_interval > 0)
		fs_day_partitions_ahead("fairness_samples");
	fs_day_partitions_drop("job_history_dead", fs_dead_retention);
	fs_day_partitions_drop("job_history_completed", fs_completed_retention);
	fs_day_partitions_drop("fairness_samples", fs_fairness_retention);
	fs_spi("SELECT fairsched.drop_old_budget_events()", 0, NULL, NULL, NULL);
	fs_spi("DELETE FROM fairsched.alerts WHERE resolved_at < now() - make_interval(secs => $1)", 1, types, alert_args, NULL);
	fs_spi("DELETE FROM fairsched.job_tables t WHERE dropped_at IS NOT NULL AND NOT EXISTS "
		   "(SELECT 1 FROM fairsched.job_history h WHERE h.job_id >= t.job_table::bigint << 41 "
		   "AND h.job_id < (t.job_table + 1)::bigint << 41)", 0, NULL, NULL, NULL);
	scores = fs_spi("DELETE FROM fairsched.deliberation_scores WHERE score_id = ANY (ARRAY("
					"SELECT score_id FROM fairsched.deliberation_scores "
					"WHERE scored_at < now() - make_interval(secs => $1) ORDER BY scored_at LIMIT $2))",
					2, score_types, score_args, NULL);
	fs_spi_end();
	return GetCurrentTimestamp() + (scores < RETENTION_SCORES ? USECS_PER_HOUR : USECS_PER_SEC);
}

/* ---------- entry points ---------- */

TimestampTz
fs_task_run(FsTask task, FsDatabase *db, int limit)
{
	switch (task)
	{
		case FS_TASK_PROMOTE:
			return promote(db, limit);
		case FS_TASK_EXPIRE:
			return expire(db, limit);
		case FS_TASK_INDOUBT:
			if (db->rescan)
				fs_rebuild_rescan(db);
			else if (db->adopting)
				fs_rebuild_adopt(db);
			return Min(in_doubt(db), db->adopting ? GetCurrentTimestamp() + ADOPT_INTERVAL : DT_NOEND);
		case FS_TASK_CLAIM_LOG:
			return fs_claim_log_rotate(db);
		case FS_TASK_RECONCILE:
			return fs_count_queues(db);
		case FS_TASK_RETENTION:
			return retention(db);
		case FS_TASK_ADMISSION:
			return fs_admission_task(db);
		case FS_TASK_PREEMPT:
			return fs_preempt_task(db, limit, false, NULL);
		case FS_TASK_NOTIFY:
			return fs_notify_task(db);
		case FS_TASK_BUDGETS:
			return fs_budget_task(db);
		case FS_TASK_FAIRNESS:
			return fs_fairness_task(db);
		case FS_TASK_ALERTS:
			return fs_alert_task(db);
		case FS_TASK_CAPACITY:
			return fs_recommend_task(db);
		case FS_TASK_AGING:
			return fs_aging_task(db);
		case FS_TASK_PLACEMENT:
			return fs_move_placements ? fs_placement_task(db, NULL) : DT_NOEND;
		case FS_TASK_COUNT:
			break;
	}
	return DT_NOEND;
}

TimestampTz
fs_task_next_due(FsDatabase *db)
{
	TimestampTz next = Min(db->next_due, db->next_expiry);

	if (db->nindoubt > 0)
		next = Min(next, db->tasks[FS_TASK_INDOUBT].next_run);
	return next;
}

void
fs_task_help(FsDatabase *db)
{
	TimestampTz now;

	if (db->worker_pid != 0)
		return;
	now = GetCurrentTimestamp();
	if (db->next_due <= now)
		(void) promote(db, HELP_LIMIT);
	if (db->next_expiry <= now)
		(void) expire(db, HELP_LIMIT);
	if (db->preempt_due <= now)
		(void) fs_preempt_task(db, HELP_LIMIT, false, NULL);
	if (db->nindoubt > 0)
		(void) in_doubt(db);
	if (fs_admit_next_due(db) <= now)
		(void) fs_admission_task(db);
	if (fs_budget_task_wanted(db, now))
		(void) fs_budget_task(db);
	if (fs_aging_save_due(db) <= now)
	{
		FsLock();
		db->tasks[FS_TASK_AGING].last_run = now;
		FsUnlock();
		(void) fs_aging_task(db);
	}
}
