/*
 * preempt.h
 *		Making running jobs give room: the protocol (preempt.c), what the scheduler
 *		does for it (preempt_task.c), who is asked (preempt_policy.c) and when they go on (preempt_resume.c).
 */
#ifndef FS_PREEMPT_H
#define FS_PREEMPT_H

#include "rows.h"

/* Who is to make room, and why. */
typedef struct FsPreemptRequest
{
	int64		job_id;
	const char *reason;			/* one of FsPreemptReasons */
	const char *resource;		/* NULL: none */
	double		utilisation;	/* percent; negative: not known */
	double		threshold;		/* percent; negative: no policy */
	int64		token;			/* of the claim that is meant; 0: whichever it
								 * is */
	FsExhausted on_exhausted;
	bool		wait;			/* for others who are asking for the same job;
								 * else ALREADY */
} FsPreemptRequest;

typedef enum FsPreemptResult
{
	FS_PREEMPT_ASKED,
	FS_PREEMPT_DISCARDED,		/* preempted too often: it is over */
	FS_PREEMPT_RUNS_ON,			/* preempted too often: it is left alone */
	FS_PREEMPT_ALREADY,
	FS_PREEMPT_NOT_RUNNING,
	FS_PREEMPT_UNKNOWN			/* no such live job */
} FsPreemptResult;

extern const char *const FsPreemptReasons[];

/* They may raise; the caller holds no lock of ours. */
extern FsPreemptResult fs_preempt_request(FsDatabase *db, const FsPreemptRequest *r);
extern FsPreemptResult fs_preempt_resume(FsDatabase *db, int64 job_id, bool wait);
extern int	fs_preempt_evaluate(FsDatabase *db, bool wait);
extern bool fs_preempt_lock(uint32 kind, int64 key, bool wait);
extern TimestampTz fs_preempt_resume_due(FsDatabase *db, int limit);
extern TimestampTz fs_preempt_task(FsDatabase *db, int limit, bool wait, int *asked);

/* A throttle that asks running jobs to make room (preempt_quota.c). */
extern TimestampTz fs_preempt_throttled(FsDatabase *db, TimestampTz now);
extern TimestampTz fs_preempt_throttle_ends(FsDatabase *db, const char *workspace, TimestampTz now);

/* A preempted job is so no more: its row was changed by this transaction. May raise. */
extern void fs_preempt_left(int64 job_id, bool resumed);

#define FS_LOCK_REQUEST		0	/* kinds of fs_preempt_lock: asking for a job */
#define FS_LOCK_EVALUATE	1	/* letting the policies act */

/* How often the job was preempted. */
extern int	fs_preemptions(FsJobRel *jr, HeapTuple row);

/* A checkpoint was saved by this transaction, after fs_lease_moved. */
extern void fs_preempt_saved(int64 job_id, int64 token);

/* fs->lock held exclusively; they do not raise. */
extern void fs_preempt_mark(int32 db, int64 job_id, int64 token, TimestampTz revoke_at);
extern void fs_preempt_wake(FsDatabase *db, TimestampTz when);

#endif							/* FS_PREEMPT_H */
