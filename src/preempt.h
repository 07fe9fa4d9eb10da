/*
 * preempt.h
 *		Asking running jobs to yield.
 */
#ifndef FS_PREEMPT_H
#define FS_PREEMPT_H

#include "state.h"

/* Why a job is asked to yield. */
typedef struct FsPreemptWhy
{
	const char *reason;			/* budget_exceeded, ... */
	const char *resource;		/* what is short: for a budget its name */
	double		utilisation;	/* share of it that is used */
	double		threshold;		/* share at which this happens */
} FsPreemptWhy;

/*
 * fs_preempt_request: ask the job that runs under this token to yield; its
 * worker is told by its next heartbeat or checkpoint.  True when it is asked,
 * now or before; false when it does not run under the token any more.  In a
 * transaction, without fs->lock; may raise.
 */
extern bool fs_preempt_request(FsDatabase *db, int64 job_id, int64 token, const FsPreemptWhy *why);

#endif							/* FS_PREEMPT_H */
