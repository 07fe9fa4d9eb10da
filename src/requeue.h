/*
 * requeue.h
 *		A job that goes back to wait, and one that is over.
 */
#ifndef FS_REQUEUE_H
#define FS_REQUEUE_H

#include "ledger.h"
#include "rows.h"

/* What becomes of a job that is not over. Zero means: as it is. */
typedef struct FsRequeue
{
	FsJobState	state;
	bool		returned;		/* first in its class */
	bool		keep_position;	/* stays where it is in the order */
	bool		preempted;		/* counts as one more preemption */
	bool		reviewed;		/* waits for no review any more; so does what
								 * is not scheduled */
	TimestampTz run_at;
	TimestampTz review_run_at;	/* when it may run once it is reviewed */
	int			attempt;		/* -1: as it is */
	int64		token;			/* 0: as it is */
	int			cls;			/* -1: as it is */
	Datum		errors;
	Datum		checkpoint;
	Datum		note;
} FsRequeue;

/* What tells the flow of a row apart. May raise. */
extern void fs_row_spec(FsDatabase *db, FsJobRel *jr, HeapTuple row, FsFlowSpec *spec);

/* Update the row, and put into the ledger what follows for queues. The lease is the caller's affair. */
extern FsRowResult fs_requeue(FsDatabase *db, FsJobRel *jr, HeapTuple *row, const FsRequeue *q,
							  bool wait);

/* Delete the row; a history row is added for dead jobs and where completed ones are kept. */
typedef struct FsEnd
{
	const char *state;			/* completed, discarded, cancelled */
	Datum		result;			/* 0: none */
	Datum		usage;
	Datum		errors;			/* 0: those of the row */
	TimestampTz claimed_at;		/* 0: unknown */
	const char *worker;
	bool		soft;			/* held by a soft lease, whose end counts the
								 * row */
} FsEnd;

extern FsRowResult fs_end_job(FsDatabase *db, FsJobRel *jr, HeapTuple row, const FsEnd *end, bool wait);

/* The row's errors with one more. */
extern Datum fs_add_error(FsJobRel *jr, HeapTuple row, const char *error);

/* Delay before the next try. */
extern int64 fs_backoff(int attempt);

/* The workspace's name in a row; palloc'd. */
extern char *fs_row_text(FsJobRel *jr, HeapTuple row, FsJobColumn col);

#endif							/* FS_REQUEUE_H */
