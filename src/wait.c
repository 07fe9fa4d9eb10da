/*
 * wait.c
 *		Waiting for work without polling: long polls and fairsched_wait.
 *
 * A waiter enters itself, with the lanes it listens to, and then looks once
 * more whether there is work; so a job that is committed in between is seen by
 * one of the two.  Commits that make jobs ready (ledger.c) wake as many
 * waiters as there are new jobs.  A waiter that was woken but leaves without
 * having looked (an error, a time-out at the same moment) passes the wake-up on.
 *
 * fairsched_wait commits before it waits, so it pins no snapshot; inside a
 * transaction block it cannot, and raises.
 */
#include "wait.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "admit.h"
#include "flows.h"
#include "lease.h"
#include "placement.h"
#include "state.h"
#include "stats.h"
#include "text.h"

PG_FUNCTION_INFO_V1(fs_wait);

static bool waiting = false;

static uint32
hash_lane(const char *name)
{
	return hash_bytes((const unsigned char *) name, strlen(name));
}

/* Wake up to n who listen to the lane and may be given what these nodes hold. */
static void
wake(int32 db, int32 lane, int32 holders, int n)
{
	bool		placed = holders != FS_NONE || fs_lanes[lane].holders != FS_NONE;
	uint32		h;

	if (fs->nwaiters == 0)
		return;
	h = hash_lane(fs_lanes[lane].name);
	for (int i = 0; i < fs->max_procs && n > 0; i++)
	{
		FsWaiter   *w = &fs_waiters[i];
		bool		mine = w->nlanes < 0;

		if (!w->active || w->woken || w->db != db)
			continue;
		for (int j = 0; j < w->nlanes && !mine; j++)
			mine = w->lanes[j] == h;
		if (!mine || !fs_holders_serve(holders, w->node) || !fs_holders_serve(fs_lanes[lane].holders, w->node) ||
			(w->node >= 0 && fs_place_nodes[w->node].draining))
			continue;
		w->woken = true;
		SetLatch(w->latch);
		FsStatsOfLane(lane)->wakes++;

		/*
		 * where it is not known what it can serve, somebody who can is woken
		 * too
		 */
		if (w->node != FS_ANY_NODE || !placed)
			n--;
	}
}

/* fs_wait_wake: fs->lock held. */
void
fs_wait_wake(int32 db, int32 lane, int n)
{
	wake(db, lane, FS_NONE, n);
}

/* fs_wait_wake_for: fs->lock held. */
void
fs_wait_wake_for(int32 w, int32 lane, int n)
{
	wake(fs_workspaces[w].db, lane, fs_workspaces[w].holders, n);
}

/* Leave; a wake-up that was not used goes to somebody else. */
static void
leave(bool pass_on)
{
	FsWaiter   *me = &fs_waiters[FsMyProcNumber()];

	FsLock();
	if (me->active)
	{
		me->active = false;
		fs->nwaiters--;
		if (pass_on && me->woken)
			for (int32 l = fs_dbs[me->db].lanes; l != FS_NONE; l = fs_lanes[l].next)
				fs_wait_wake(me->db, l, fs_placements[me->db].any ? PG_INT32_MAX : 1);
	}
	FsUnlock();
	waiting = false;
}

void
fs_wait_cleanup(void)
{
	if (waiting)
		leave(true);
}

bool
fs_wait_for_work(int32 db, int nlanes, char **lanes, const FsEligible *e, TimestampTz until,
				 uint32 wait_event)
{
	FsWaiter   *me = &fs_waiters[FsMyProcNumber()];
	bool		woken = false;

	Assert(FsMyProcNumber() < fs->max_procs);
	FsLock();
	if (e->gen != fs_dbs[db].rings_gen || fs_sched_has_work(db, e))
	{
		FsUnlock();
		return true;
	}
	me->db = db;
	me->woken = false;
	me->node = e->node;
	me->nlanes = nlanes <= lengthof(me->lanes) ? nlanes : -1;
	for (int i = 0; i < me->nlanes; i++)
		me->lanes[i] = hash_lane(lanes[i]);
	me->latch = MyLatch;
	me->active = true;
	fs->nwaiters++;
	waiting = true;
	for (int i = 0; i < nlanes; i++)
	{
		int32		l = fs_sched_lane_find(db, lanes[i]);

		if (l != FS_NONE)
			FsStatsOfLane(l)->waits++;
	}
	FsUnlock();

	pgstat_report_activity(STATE_RUNNING, NULL);
	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		TimestampTz next = until;
		long		ms;

		woken = me->woken;
		if (woken || now >= until)
			break;
		if (fs_dbs[db].worker_pid == 0)
		{
			/* nobody else lifts refusals whose time has come */
			FsLock();
			fs_admit_wake_due(&fs_dbs[db], now);
			next = Min(next, fs_admit_wake_at(&fs_dbs[db]));
			FsUnlock();
		}
		ms = next == DT_NOEND ? -1 : Max(1, (long) ((next - now + 999) / 1000));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (ms < 0 ? 0 : WL_TIMEOUT),
						 ms, wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	leave(false);
	return woken;
}

/* CALL fairsched_wait(timeout, lanes, worker): returns when there may be work (for this worker), or in time. */
Datum
fs_wait(PG_FUNCTION_ARGS)
{
	static uint32 wait_event = 0;
	int64		timeout;
	Datum	   *elems;
	bool	   *nulls;
	int			n;
	char	  **names;
	int32	   *rings;
	FsEligible	e = {.node = FS_ANY_NODE};
	char	   *worker = NULL;
	TimestampTz until;
	MemoryContext mine;
	MemoryContext old;

	fs_need_arg(fcinfo, 0, "timeout");
	timeout = fs_interval_usec(PG_GETARG_DATUM(0), "timeout", true);
	fs_need_arg(fcinfo, 1, "lanes");
	/* what must outlive the commit */
	mine = AllocSetContextCreate(PortalContext ? PortalContext : TopMemoryContext,
								 "fairsched wait", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(mine);
	deconstruct_array(DatumGetArrayTypeP(PG_GETARG_DATUM(1)), TEXTOID, -1, false, TYPALIGN_INT,
					  &elems, &nulls, &n);
	names = palloc(sizeof(char *) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("lanes must not contain null"),
					 errhint("Leave the argument out for the lane \"default\".")));
		names[i] = fs_text_name(elems[i], "lane");
	}
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lanes must name at least one lane"),
				 errhint("Leave the argument out for the lane \"default\".")));
	if (!PG_ARGISNULL(2))
		worker = fs_text_name(PG_GETARG_DATUM(2), "worker");
	MemoryContextSwitchTo(old);

	if (!fcinfo->context || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("fairsched_wait cannot run inside a transaction block"),
				 errhint("CALL it outside of BEGIN, or use max_wait of fairsched_claim.")));
	fs_state_ready("fairsched_wait()");
	until = GetCurrentTimestamp() + timeout;

	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect_ext failed");
	SPI_commit();

	rings = MemoryContextAlloc(mine, sizeof(int32) * FsRingCapacity());
	FsLock();
	{
		int32		w = worker ? fs_worker_find(fs_my_db, worker) : FS_NONE;

		/*
		 * a worker that memory does not know has said no node, and no
		 * capabilities
		 */
		if (worker)
			e.node = w == FS_NONE ? FS_NONE : fs_workers[w].place_node;
		for (int i = 0; i < n; i++)
		{
			int32		l = fs_sched_lane_find(fs_my_db, names[i]);

			if (l == FS_NONE || !fs_holders_serve(fs_lanes[l].holders, e.node) ||
				(e.node >= 0 && fs_place_nodes[e.node].draining))
				continue;
			for (int32 r = fs_lanes[l].rings; r != FS_NONE; r = fs_rings[r].lane_next)
				if (fs_holders_serve(fs_rings[r].holders, e.node) &&
					(!worker || fs_sched_caps_subset(FsCapsOfRing(r)->caps, FsCapsOfRing(r)->len,
													 w == FS_NONE ? "" : fs_workers[w].caps,
													 w == FS_NONE ? 0 : fs_workers[w].caps_len)))
					rings[e.nrings++] = r;
		}
	}
	e.rings = rings;
	e.gen = fs_dbs[fs_my_db].rings_gen;
	FsUnlock();
	(void) fs_wait_for_work(fs_my_db, n, names, &e, until,
							fs_wait_event(&wait_event, "FairschedWait"));
	SPI_finish();
	MemoryContextDelete(mine);
	PG_RETURN_VOID();
}
