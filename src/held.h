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
	int			job_table;
	Oid			relfile;
	ItemPointerData tid;
	TimestampTz claimed_at;
	char		worker[FS_NAME_LEN + 1];
} FsHeld;

/* What memory knows of these; no lock is held afterwards. */
extern void fs_held_look(FsDatabase *db, FsHeld *held, int n);

/*
 * The row if it is still this worker's: running under the token, or expired
 * and not claimed anew.  *jr is the table it is in; it may be open already.
 */
extern HeapTuple fs_held_row(FsHeld *held, FsJobRel **jr);

/* The row is ours and ended: end its lease at commit; returns the lease or FS_NONE. */
extern int32 fs_held_end(FsDatabase *db, int64 job_id, int64 token, FsDirective tell);

/* The arguments (job_id, token) of a function. */
extern FsHeld *fs_held_arg(FunctionCallInfo fcinfo);

extern bool fs_give_back(FsDatabase *db, FsHeld *held, FsJobState state, TimestampTz run_at,
						 Datum checkpoint);

#endif							/* FS_HELD_H */
