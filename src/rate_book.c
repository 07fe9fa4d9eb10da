/*
 * rate_book.c
 *		Claims that count against a rate limit, durably before they are saved.
 *
 * The scheduler saves rate windows each second, so after a crash the claims
 * since the last save would not be known.  Therefore a claim is *booked*: a
 * narrow row of fairsched.rate_bookings says that so many claims of a workspace
 * may be made before its window is saved.  One booking covers the claims of its
 * own transaction and, once that is committed, the next ones of anybody
 * (FsLimits.rate_booked), so most claims find themselves covered and write
 * nothing: it is for a 64th of the limit, or for as many as were claimed since
 * the last save, whichever is more.
 *
 * At any moment, so at any crash, the claims that are committed and not in the
 * saved window are at most the sum of the committed bookings:
 *
 * - who claims either takes one off what committed bookings leave, or books in
 *	 its own transaction, whose commit is flushed whatever synchronous_commit
 *	 says;
 * - a save copies the window, and begins a new epoch, in one critical section:
 *	 what was claimed in the epoch before is in the copy, and its bookings are
 *	 removed by the transaction that writes it (admission_task.c).  What they
 *	 leave is void from then on, also what an open transaction is going to
 *	 leave: its epoch is over when it commits.
 *
 * What is booked and was not claimed counts as claimed after a crash: that is the
 * error, and it is on the safe side.  Nothing is given back at an abort: at most
 * another booking is made.  fairsched.rate_windows says on which timeline it was
 * saved: what another server did meanwhile is in nobody's bookings, and then all
 * that the limit leaves counts as claimed (ws_limits_load.c).
 */
#include "rate_book.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "ledger.h"

/* One row of fairsched.rate_bookings (sql/parts/45_admission.sql). */
typedef struct FsRateBooking
{
	char		workspace[FS_NAME_LEN + 1];
	int64		epoch;
	int64		claims;
} FsRateBooking;

/* The window in which a lease was counted; NULL: its limit is gone, or another. */
static FsLimits *
limits_of(const FsLease *lease)
{
	int32		l = fs_workspaces[lease->workspace].limits;

	return l != FS_NONE && fs_limits[l].rate_gen == lease->rate_gen ? &fs_limits[l] : NULL;
}

/* fs->lock held, room in the ledger reserved. */
static int
book(const FsTaken *taken, int n, FsRateBooking *bookings)
{
	int			made = 0;

	for (int i = 0; i < n; i++)
	{
		FsLease    *lease = &fs_leases[taken[i].lease];
		FsLimits   *limits = lease->rate_owed ? limits_of(lease) : NULL;

		if (limits)
			limits->rate_owed++;
	}
	for (int i = 0; i < n; i++)
	{
		FsLease    *lease = &fs_leases[taken[i].lease];
		FsLimits   *limits = lease->rate_owed ? limits_of(lease) : NULL;
		int64		more;

		lease->rate_owed = false;
		if (limits == NULL || limits->rate_owed == 0)
			continue;
		more = Max(limits->rate_unsaved, limits->set.max_claims / FS_WINDOW_SLICES) - limits->rate_owed;
		more = Max(Min(more, limits->set.max_claims - limits->rate.total), 0);
		strcpy(bookings[made].workspace, limits->name);
		bookings[made].epoch = limits->rate_epoch;
		bookings[made++].claims = limits->rate_owed + more;
		fs_ledger_booked((int32) (limits - fs_limits), more);
		limits->rate_owed = 0;
	}
	return made;
}

void
fs_rate_book(const FsTaken *taken, int n)
{
	FsRateBooking *bookings;
	Relation	rel;
	bool		owed = false;

	for (int i = 0; i < n && !owed; i++)
		owed = fs_leases[taken[i].lease].rate_owed;
	if (!owed)
		return;
	bookings = palloc(sizeof(FsRateBooking) * n);
	fs_ledger_reserve(n);
	FsLock();
	n = book(taken, n, bookings);
	FsUnlock();
	if (n > 0)
	{
		rel = table_open(get_relname_relid("rate_bookings", fs_catalog()->nsp), RowExclusiveLock);
		for (int i = 0; i < n; i++)
		{
			Datum		values[3] = {
				CStringGetTextDatum(bookings[i].workspace), Int64GetDatum(bookings[i].epoch),
				Int64GetDatum(bookings[i].claims)
			};
			bool		nulls[3] = {0};
			HeapTuple	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);

			heap_insert(rel, tuple, GetCurrentCommandId(true), 0, NULL);
			heap_freetuple(tuple);
		}
		table_close(rel, NoLock);
		ForceSyncCommit();
	}
	pfree(bookings);
}
