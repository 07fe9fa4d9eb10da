/*
 * preempt.c
 *		Asking running jobs to yield: the one way to do it.
 *
 * A request is the directive of the job's lease.  It takes effect at once and
 * stays when the caller's transaction rolls back: a job that was asked in vain
 * yields and is resumed.  Who asks keeps what it asked for (budgets: the rows of
 * fairsched.budget_events).
 */
#include "preempt.h"

#include "lease.h"

bool
fs_preempt_request(FsDatabase *db, int64 job_id, int64 token, const FsPreemptWhy *why)
{
	bool		asked = false;
	int32		l;

	FsLock();
	l = fs_lease_find(FsDbIndex(db), job_id);
	if (l != FS_NONE && fs_leases[l].token == token &&
		(fs_leases[l].state == FS_LEASE_ACTIVE || fs_leases[l].state == FS_LEASE_CLAIMING))
	{
		if (fs_leases[l].directive == FS_CONTINUE)
			fs_leases[l].directive = FS_PREEMPT;
		asked = fs_leases[l].directive == FS_PREEMPT;
	}
	FsUnlock();
	if (asked)
		ereport(DEBUG1,
				(errmsg_internal("job " INT64_FORMAT " is asked to yield: %s of \"%s\", %.0f%% used, threshold %.0f%%",
								 job_id, why->reason, why->resource, 100 * why->utilisation, 100 * why->threshold)));
	return asked;
}
