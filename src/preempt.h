/*
 * preempt.h
 *		Making running jobs give room: the protocol (preempt.c) and what the
 *		scheduler does for it (preempt_task.c).
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
	int64		room_for;		/* job; 0: none in particular */
	FsExhausted on_exhausted;
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
extern FsPreemptResult fs_preempt_resume(FsDatabase *db, int64 job_id);
extern TimestampTz fs_preempt_task(FsDatabase *db, int limit, int *asked);

/* A preempted job is so no more: its row was changed by this transaction. May raise. */
extern void fs_preempt_left(int64 job_id, bool resumed);

/* How often the job was preempted. */
extern int	fs_preemptions(FsJobRel *jr, HeapTuple row);

/* A checkpoint was saved by this transaction, after fs_lease_moved. */
extern void fs_preempt_saved(int64 job_id, int64 token);

/* fs->lock held exclusively; they do not raise. */
extern void fs_preempt_mark(int32 db, int64 job_id, int64 token, TimestampTz revoke_at);
extern void fs_preempt_wake(FsDatabase *db, TimestampTz when);

#endif							/* FS_PREEMPT_H */
