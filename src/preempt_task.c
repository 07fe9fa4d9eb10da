/*
 * preempt_task.c
 *		What the scheduler does for preemption: mark, revoke, close; evaluate the
 *		policies (preempt_policy.c) and resume (preempt_resume.c).
 *
 * Each round reads the open requests, oldest first, and sets memory right by
 * them: a lease under the request's token is marked (it is not after a restart,
 * and gets a fresh grace then); one whose grace ran out is revoked; a request
 * whose lease is gone is void, since a yield closes its own; and so is one that a
 * rule made of a job that was raised to P0 or P1 since.  So a request that is
 * missed once is met the next time.
 *
 * Like expiry this waits for no row: one that is locked is being finished, and
 * whatever comes of that wins.
 */
#include "preempt.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "held.h"
#include "lease.h"
#include "ledger.h"
#include "requeue.h"
#include "stats.h"

PG_FUNCTION_INFO_V1(fs_evaluate_preemption);

#define IDLE_INTERVAL	USECS_PER_HOUR	/* when nothing is open: old history
										 * goes */
#define AGAIN_AFTER		(100 * INT64CONST(1000))	/* usec, where a row was
													 * locked */

typedef struct Pending
{
	int64		id;
	int64		job_id;
	int64		token;
	bool		by_rule;		/* of preemption_policies */
} Pending;

/* Open requests with higher numbers than this, the oldest first. */
static Pending *
read_pending(int64 after, int limit, int *n)
{
	MemoryContext mine = CurrentMemoryContext;
	Oid			types[2] = {INT8OID, INT4OID};
	Datum		args[2] = {Int64GetDatum(after), Int32GetDatum(limit)};
	Pending    *p;

	fs_spi_begin();
	*n = fs_spi("SELECT preemption_id, job_id, token, "
				"reason IN ('resource_constraint', 'high_priority_job') AND threshold IS NOT NULL "
				"FROM fairsched.preemption_history "
				"WHERE outcome = 'requested' AND preemption_id > $1 ORDER BY preemption_id LIMIT $2",
				2, types, args, NULL);
	p = MemoryContextAlloc(mine, sizeof(Pending) * (*n + 1));
	for (int i = 0; i < *n; i++)
	{
		HeapTuple	t = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		p[i].id = DatumGetInt64(SPI_getbinval(t, desc, 1, &isnull));
		p[i].job_id = DatumGetInt64(SPI_getbinval(t, desc, 2, &isnull));
		p[i].token = DatumGetInt64(SPI_getbinval(t, desc, 3, &isnull));
		p[i].by_rule = DatumGetBool(SPI_getbinval(t, desc, 4, &isnull));
	}
	fs_spi_end();
	return p;
}

static void
close_void(int64 id)
{
	Oid			types[1] = {INT8OID};
	Datum		args[1] = {Int64GetDatum(id)};

	fs_spi_begin();
	/* one that is locked is being closed by somebody else */
	fs_spi("UPDATE fairsched.preemption_history SET outcome = 'void' WHERE preemption_id = "
		   "(SELECT preemption_id FROM fairsched.preemption_history "
		   "WHERE preemption_id = $1 AND outcome = 'requested' FOR UPDATE SKIP LOCKED)", 1, types, args, NULL);
	fs_spi_end();
}

static void
close_revoked(int64 id, bool has_checkpoint, int64 lost)
{
	Oid			types[3] = {INT8OID, BOOLOID, FLOAT8OID};
	Datum		args[3] = {Int64GetDatum(id), BoolGetDatum(has_checkpoint),
	Float8GetDatum(Max(lost, 0) / 1000000.0)};
	int64		events[FS_EVENTS] = {[FS_EVENT_PREEMPTED] = 1};

	fs_spi_begin();
	fs_spi("UPDATE fairsched.preemption_history SET outcome = 'preempted', answer = 'revoked', "
		   "preempted_at = clock_timestamp(), has_checkpoint = $2, work_lost = make_interval(secs => $3) "
		   "WHERE preemption_id = $1 AND outcome = 'requested'", 3, types, args, NULL);
	fs_spi_end();
	fs_ledger_events(events, false);
}

/*
 * The grace of this lease ran out: the job goes back as preempted, under a new
 * token, so whatever the worker does from now on changes nothing.  False when
 * the row is locked, or not to be seen as it was.
 */
static bool
revoke_lease(FsDatabase *db, const Pending *p, TimestampTz now)
{
	FsHeld		held = {
		.job_id = p->job_id,
		.token = p->token,
	};
	FsJobRel   *jr = NULL;
	HeapTuple	row;
	int32		l;
	bool		mine = false;
	bool		done = false;
	int64		lost = 0;

	fs_held_look(db, &held, 1);
	row = fs_held_row(db, &held, &jr, FS_HELD_TRY);
	fs_ledger_reserve(1);
	FsLock();
	l = fs_lease_find(fs_my_db, p->job_id);
	if (l != FS_NONE && fs_leases[l].token == p->token && fs_leases[l].state == FS_LEASE_ACTIVE &&
		fs_leases[l].directive == FS_PREEMPT && !held.busy)
	{
		lost = now - Max(fs_leases[l].claimed_at, fs_leases[l].saved_at);
		fs_ledger_finish(l, FS_LOST, FS_ENDED_PREEMPTED);
		mine = true;
	}
	FsUnlock();
	if (mine && row && fs_job_state(row) == FS_JOB_RUNNING)
	{
		FsRequeue	q = {
			.state = FS_JOB_PREEMPTED,
			.returned = true,
			.preempted = true,
			.cls = -1,
			.run_at = DT_NOEND,
		};
		bool		no_checkpoint;

		(void) heap_getattr(row, FS_COL_CHECKPOINT + 1, RelationGetDescr(jr->rel), &no_checkpoint);
		q.attempt = Max(FsJob(row)->attempt - 1, 0);
		q.token = fs_state_numbers(db, FS_COUNTER_TOKEN, 1);
		if (fs_requeue(db, jr, &row, &q, false) == FS_ROW_DONE)
		{
			close_revoked(p->id, !no_checkpoint, lost);
			done = true;
		}
	}
	if (mine && !done)
	{
		FsLock();
		fs_ledger_unfinish(l);
		FsUnlock();
	}
	if (jr)
		fs_rows_close(jr);
	return done;
}

/*
 * The open requests: mark, revoke, close. All of them are looked at, since one
 * that is not due may stand before one that is; the limit is for those that are
 * revoked or closed. Returns when one of them is due next.
 */
static TimestampTz
serve_requests(FsDatabase *db, int limit, TimestampTz now)
{
	TimestampTz next = DT_NOEND;
	int64		after = 0;
	int			done = 0;
	int			n;

	do
	{
		Pending    *p = read_pending(after, limit, &n);

		for (int i = 0; i < n; i++)
		{
			TimestampTz revoke_at = 0;
			bool		leased = false;
			bool		let_off = false;
			int32		l;

			after = p[i].id;
			if (fs_ledger_preempts(p[i].job_id))
				continue;		/* asked by this transaction: nothing holds
								 * before its commit */
			FsLock();
			l = fs_lease_find(fs_my_db, p[i].job_id);
			if (l != FS_NONE && fs_leases[l].token == p[i].token)
			{
				leased = true;
				let_off = p[i].by_rule && FsSlotClass(fs_leases[l].rank_slot) <= 1;
				if (let_off)
				{
					if (fs_leases[l].directive == FS_PREEMPT)
						fs_leases[l].directive = FS_CONTINUE;
				}
				else if (fs_leases[l].directive != FS_PREEMPT)
					fs_preempt_mark(FsDbIndex(db), p[i].job_id, p[i].token,
									now + FsMsToUsec(fs_preemption_grace));
				revoke_at = fs_leases[l].revoke_at;
			}
			FsUnlock();
			if (leased && !let_off && revoke_at > now)
				next = Min(next, revoke_at);
			else if (done++ >= limit)
				next = Min(next, now);
			else if (!leased || let_off)
				close_void(p[i].id);
			else if (!revoke_lease(db, &p[i], now))
				next = Min(next, now + AGAIN_AFTER);
			CHECK_FOR_INTERRUPTS();
		}
		pfree(p);
	} while (n == limit);
	return next;
}

/* Closed requests are kept as long as dead letters. */
static void
drop_old_requests(void)
{
	Oid			types[1] = {FLOAT8OID};
	Datum		args[1] = {Float8GetDatum((double) fs_dead_retention)};

	fs_spi_begin();
	fs_spi("DELETE FROM fairsched.preemption_history "
		   "WHERE requested_at < now() - make_interval(secs => $1) "
		   "AND outcome NOT IN ('requested', 'preempted')", 1, types, args, NULL);
	fs_spi_end();
}

TimestampTz
fs_preempt_task(FsDatabase *db, int limit, bool wait, int *asked)
{
	static TimestampTz dropped_at = 0;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next;
	TimestampTz other;			/* Min() looks at its arguments twice */
	int			n;

	fs_ledger_preempt_due(now);
	FsLock();
	db->preempt_due = DT_NOEND; /* commits from here on lower it again */
	FsUnlock();
	next = serve_requests(db, limit, now);
	other = fs_preempt_throttled(db, now);
	next = Min(next, other);
	n = fs_preempt_evaluate(db, wait);
	if (asked)
		*asked = n;
	other = fs_preempt_resume_due(db, limit);
	next = Min(next, other);
	if (now >= dropped_at + IDLE_INTERVAL)
	{
		drop_old_requests();
		dropped_at = now;
	}
	next = Min(next, now + IDLE_INTERVAL);
	FsLock();
	if (db->room_rings != FS_NONE)
		next = Min(next, now + FsMsToUsec(fs_preemption_interval));
	db->preempt_due = Min(db->preempt_due, next);
	FsUnlock();
	return next;
}

/* fairsched_evaluate_preemption() → how many jobs were asked */
Datum
fs_evaluate_preemption(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_evaluate_preemption()");
	int			asked;

	(void) fs_preempt_task(db, 1000, true, &asked);
	PG_RETURN_INT32(asked);
}
