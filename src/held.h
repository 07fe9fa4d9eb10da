/*
 * held.h
 *		Jobs that a worker says it holds.
 */
#ifndef FS_HELD_H
#define FS_HELD_H

#include "ledger.h"
#include "requeue.h"
#include "rows.h"

typedef struct FsHeld
{
	int64		job_id;
	int64		token;
	bool		leased;			/* memory knows the place of its row */
	bool		soft;			/* its row is available, with this position
								 * (softclaim.c) */
	int32		stale_flow;		/* of a row that is another's by now; 0: there
								 * is none */
	bool		busy;			/* its row is locked, or an open claim wants
								 * it (FS_HELD_TRY) */
	int			job_table;
	Oid			relfile;
	ItemPointerData tid;
	int64		position;
	int32		attempt;
	TimestampTz claimed_at;
	int64		length;			/* of the lease, usec */
	bool		has_request;
	pg_uuid_t	request;
	char		worker[FS_NAME_LEN + 1];
} FsHeld;

/* What the caller is going to do with the row. */
typedef enum FsHeldUse
{
	FS_HELD_END,				/* delete it: that of a soft lease may be as
								 * it is */
	FS_HELD_CHANGE,				/* a soft lease is written into it first */
	FS_HELD_TRY					/* the same, without waiting for anybody */
} FsHeldUse;

/* What memory knows of these; no lock is held afterwards. */
extern void fs_held_look(FsDatabase *db, FsHeld *held, int n);

/* The row was another than memory said: look by the job's number the next time. */
extern void fs_held_again(FsDatabase *db, FsHeld *held);

/* What a lease says; fs->lock held. */
extern void fs_held_by(FsHeld *held, const FsLease *lease);

/*
 * The row if it is still this worker's: running under the token, or available
 * because the lease is soft, or expired and not claimed anew.  *jr is the table it
 * is in; it may be open already.  held->soft tells afterwards that the row is as it
 * was before the claim, but for token and attempt in the copy returned.
 */
extern HeapTuple fs_held_row(FsDatabase *db, FsHeld *held, FsJobRel **jr, FsHeldUse use);

/* The copy of a row that a soft claim holds gets what the claim would have written. */
extern void fs_held_as_claimed(const FsHeld *held, HeapTuple row);

/*
 * The row is ours and ended: end its lease at commit; returns the lease or FS_NONE.
 * how: FS_ENDED_* of stats.h, counted at commit, for the lane of flow_id where no
 * lease is left (it ran out before).
 */
extern int32 fs_held_end(FsDatabase *db, int64 job_id, int64 token, FsDirective tell, int how, int32 flow_id);

/* A token was not good, and the caller is told so. */
extern void fs_held_stale(const FsHeld *held);

/* The arguments (job_id, token) of a function. */
extern FsHeld *fs_held_arg(FunctionCallInfo fcinfo);

extern bool fs_give_back(FsDatabase *db, FsHeld *held, FsJobState state, TimestampTz run_at,
						 Datum checkpoint);

#endif							/* FS_HELD_H */
