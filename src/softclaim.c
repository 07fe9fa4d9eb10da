/*
 * softclaim.c
 *		Claims that write nothing (fairsched.durable_claims = off): leases that
 *		only memory knows, while the rows stay available.
 *
 * What rows decide for durable claims is decided here by an order of looks:
 *
 *	a claim		names its job in memory (fs_soft_name), then looks at the row with
 *				a newer snapshot (fs_rows_look), and backs off when somebody has
 *				changed it, or is about to;
 *	an end		changes the row first, and frees the lease when that is visible;
 *	any verb	that would change an available row looks for a lease first, and
 *				keeps claims away until it has locked the row (fs_soft_lock).
 *
 * So of two who want the same job at least one sees the other.  What a lease
 * must be hardened for, and how all this is counted, is in src/README.md.
 *
 * fs->lock is taken here for a few look-ups each time.  fs_soft_lock waits for
 * transactions of others, without it, and without having locked the row.
 */
#include "softclaim.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/uuid.h"
#include "claimlog.h"
#include "lease.h"

/* ---------- claims ---------- */

void
fs_soft_begin(FsDatabase *db, int32 l)
{
	FsLease    *lease = &fs_leases[l];

	if (!fs_durable_claims)
		db->soft_asked = true;
	else if (db->soft_leases == 0)
		db->soft_asked = false;
	if (!db->soft_asked)
	{
		lease->row_first = true;
		db->row_first++;
	}
	else if (!fs_durable_claims && db->row_first == 0)
	{
		lease->soft = true;
		db->soft_leases++;
	}
}

/* Is a backend about to lock the row of this job? fs->lock held. */
static bool
is_guarded(int32 db, int64 job_id)
{
	if (fs->nguards == 0)
		return false;
	for (int i = 0; i < fs->max_procs; i++)
		if (fs_waiters[i].guards == job_id && fs_waiters[i].guards_db == db)
			return true;
	return false;
}

void
fs_soft_name(FsDatabase *db, FsTaken *taken, int n)
{
	FsJobRel   *jr = NULL;
	int64	   *jobs = NULL;
	int			jr_table = -1;

	for (int i = 0; i < n; i++)
	{
		FsTaken    *t = &taken[i];

		t->row_first = fs_leases[t->lease].row_first;	/* ours until the
														 * transaction ends */
		if (t->row_first)
			continue;
		if (jobs == NULL)
			jobs = palloc0(sizeof(int64) * n);
		if (jr_table != t->job_table)
		{
			if (jr)
				fs_rows_close(jr);
			jr_table = t->job_table;
			jr = fs_rows_open(t->job_table, true);
		}
		if (jr)
			jobs[i] = fs_rows_job_at(jr, &t->cand);
		if (jobs[i] == 0 && jr && t->cand.relfile != FsRelFile(jr->rel))
			t->result = FS_ROW_MOVED;
	}
	if (jr)
		fs_rows_close(jr);
	if (jobs == NULL)
		return;
	FsLock();
	for (int i = 0; i < n; i++)
	{
		int32		other;

		if (jobs[i] == 0)
			continue;
		other = fs_lease_find_softly(fs_my_db, jobs[i]);
		if (other == FS_NONE && !is_guarded(fs_my_db, jobs[i]))
		{
			fs_lease_set_job(taken[i].lease, jobs[i]);
			taken[i].named = true;
		}

		/*
		 * one that is only named may yet back off, from another version of
		 * the row, and hint nothing
		 */
		else if (other == FS_NONE || fs_leases[other].token == 0)
			taken[i].result = FS_ROW_LOCKED;
	}
	FsUnlock();
	pfree(jobs);
}

int
fs_soft_filter(FsDatabase *db, FsCandidate *found, const int64 *jobs, int n)
{
	int			left = 0;

	if (db->soft_leases == 0)
		return n;
	FsLockShared();
	for (int i = 0; i < n; i++)
	{
		int32		l = fs_lease_find_softly(FsDbIndex(db), jobs[i]);

		/* who is only named may yet back off (fs_soft_name) */
		if (l == FS_NONE || fs_leases[l].token == 0)
			found[left++] = found[i];
	}
	FsUnlock();
	return left;
}

/* ---------- readers ---------- */

int32
fs_soft_attempt(int64 job_id)
{
	int32		l;
	int32		attempt = 0;

	if (fs_my_db == FS_NONE || fs_dbs[fs_my_db].soft_leases == 0)
		return 0;
	FsLockShared();
	l = fs_lease_find_softly(fs_my_db, job_id);
	if (l != FS_NONE && fs_leases[l].soft && fs_leases[l].token != 0 &&
		(fs_leases[l].state != FS_LEASE_CLAIMING || fs_leases[l].owner == FsMyProcNumber()))
		attempt = fs_leases[l].attempt;
	FsUnlock();
	return attempt;
}

/* ---------- verbs ---------- */

/* Others' claims of this job back off until fs_soft_abort; fs->lock held. */
static void
guard(int64 job_id)
{
	FsWaiter   *me = &fs_waiters[FsMyProcNumber()];

	Assert(me->guards == 0);
	me->guards = job_id;
	me->guards_db = fs_my_db;
	fs->nguards++;
}

void
fs_soft_abort(void)
{
	FsWaiter   *me = &fs_waiters[FsMyProcNumber()];

	if (me->guards == 0)
		return;
	FsLock();
	me->guards = 0;
	fs->nguards--;
	FsUnlock();
}

/*
 * Does an open transaction of somebody else decide what this lease is?  Also
 * one that is over and has still to tell memory: *vxid is invalid then, or where
 * the claim has no token yet.  fs->lock held.
 */
static bool
in_flux(const FsLease *lease, VirtualTransactionId *vxid)
{
	SetInvalidVirtualTransactionId(*vxid);
	if (lease->owner == FsMyProcNumber() || (lease->state == FS_LEASE_ACTIVE && !lease->hardened))
		return false;
	if (lease->token != 0)
		GET_VXID_FROM_PGPROC(*vxid, ProcGlobal->allProcs[lease->owner]);
	return true;
}

/* Until the open claim, or end, of this lease is over; a claim that has no token yet is over at once. */
static void
wait_for_owner(VirtualTransactionId vxid)
{
	static uint32 wait_event = 0;

	if (VirtualTransactionIdIsValid(vxid))
		(void) VirtualXactLock(vxid, true);
	else
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1,
						 fs_wait_event(&wait_event, "FairschedSoftClaim"));
		ResetLatch(MyLatch);
	}
	CHECK_FOR_INTERRUPTS();
}

FsRowResult
fs_soft_lock(FsDatabase *db, FsJobRel *jr, HeapTuple row, bool wait, FsHeld *held)
{
	int64		job_id = FsJob(row)->job_id;
	FsRowResult result;

	held->job_id = job_id;
	for (;;)
	{
		VirtualTransactionId vxid;
		bool		flux;
		int32		l;

		held->leased = held->soft = false;
		FsLock();
		l = fs_lease_find_softly(fs_my_db, job_id);
		flux = l != FS_NONE && in_flux(&fs_leases[l], &vxid);
		if (!flux)
		{
			/*
			 * what we end ourselves, or claimed and changed by hand, is
			 * nobody's
			 */
			if (l != FS_NONE && fs_leases[l].soft && fs_leases[l].state != FS_LEASE_ENDING)
				fs_held_by(held, &fs_leases[l]);
			else
				guard(job_id);
		}
		FsUnlock();
		if (!flux)
			break;
		if (!wait)
			return FS_ROW_LOCKED;
		wait_for_owner(vxid);
	}
	result = fs_rows_lock(jr, row, wait);
	fs_soft_abort();
	return result;
}

/*
 * fs_soft_settle: a job that waited for something else becomes ready.  Who ended
 * its last lease is over, since we see that row, but may have still to tell memory;
 * until then claims would pass the job over, and the hint for it be lost on them.
 */
void
fs_soft_settle(FsDatabase *db, int64 job_id)
{
	while (db->soft_leases > 0)
	{
		VirtualTransactionId vxid;
		bool		flux;
		int32		l;

		FsLock();
		l = fs_lease_find_softly(fs_my_db, job_id);
		flux = l != FS_NONE && in_flux(&fs_leases[l], &vxid);
		FsUnlock();
		if (!flux)
			break;
		wait_for_owner(vxid);
	}
}

FsRowResult
fs_soft_harden(FsDatabase *db, FsJobRel *jr, HeapTuple *row, const FsHeld *held, bool wait)
{
	FsClaimMark mark = {
		.token = held->token,
		.claimed_at = held->claimed_at,
		.lease = held->length,
	};
	FsCandidate cand;
	FsPage		page = {
		.job_table = jr->table.job_table,
		.relfile = FsRelFile(jr->rel),
	};
	FsRowResult result;
	HeapTuple	claimed;
	int32		l;

	mark.worker = CStringGetTextDatum(held->worker);
	if (held->has_request)
		mark.request = UUIDPGetDatum(&held->request);
	fs_push_snapshot();
	result = fs_rows_claim(jr, FsJob(*row)->flow, fs_rows_candidate(jr, *row, &cand), &mark, wait, &claimed);
	fs_pop_snapshot();
	if (result != FS_ROW_DONE)
		return result == FS_ROW_LOCKED ? result : FS_ROW_GONE;
	page.block = ItemPointerGetBlockNumber(&claimed->t_self);
	fs_claim_log_pages(db, &page, 1);
	fs_ledger_reserve(1);
	FsLock();
	l = fs_lease_find(fs_my_db, held->job_id);
	if (l != FS_NONE && fs_leases[l].token == held->token && fs_leases[l].soft)
		fs_ledger_harden(l, &claimed->t_self, FsRelFile(jr->rel), jr->table.job_table);
	else
		l = FS_NONE;
	FsUnlock();
	if (l == FS_NONE)
		elog(ERROR, "lease of job " INT64_FORMAT " ended without its row", held->job_id);
	CommandCounterIncrement();	/* the caller changes it again */
	*row = claimed;
	return FS_ROW_DONE;
}
