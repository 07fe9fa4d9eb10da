/*
 * rows.h
 *		Job rows: the only way to read and change them.
 */
#ifndef FS_ROWS_H
#define FS_ROWS_H

#include "state.h"
#include "tables.h"

#include "access/htup_details.h"
#include "nodes/execnodes.h"

/* The columns of fairsched.jobs, in order (sql/parts/10_schema.sql). */
typedef enum FsJobColumn
{
	FS_COL_JOB_ID,
	FS_COL_POSITION,
	FS_COL_CREATED_AT,
	FS_COL_RUN_AT,
	FS_COL_JOB_TABLE,
	FS_COL_FLOW,
	FS_COL_COST,
	FS_COL_MAX_ATTEMPTS,
	FS_COL_RANK,
	FS_COL_ATTEMPT,
	FS_COL_TOKEN,
	FS_COL_CLAIMED_AT,
	FS_COL_LEASE_MS,
	FS_COL_STATE,
	FS_COL_WORKER,
	FS_COL_PRIORITY,
	FS_COL_WORKSPACE,
	FS_COL_LANE,
	FS_COL_KIND,
	FS_COL_PAYLOAD,
	FS_COL_UNIQUE_KEY,
	FS_COL_RUN_ID,
	FS_COL_CAPABILITIES,
	FS_COL_RESOURCES,
	FS_COL_BUDGETS,
	FS_COL_CHECKPOINT,
	FS_COL_ERRORS,
	FS_COL_MAX_RUNTIME,
	FS_COL_PRIORITY_NOTE,
	FS_COL_REQUEST_ID,
	FS_COL_PREEMPTIONS,
	FS_COL_MIN_DELIBERATION,
	FS_COL_REVIEW_RUN_AT,
	FS_JOB_COLUMNS
} FsJobColumn;

/* Most jobs have none of the columns from here on: their rows end before it (fs_rows_form). */
#define FS_COL_OPTIONAL FS_COL_UNIQUE_KEY

/* The columns of fixed width as they lie in a tuple. */
typedef struct FsJobFixed
{
	int64		job_id;
	int64		position;
	TimestampTz created_at;
	TimestampTz run_at;
	int32		job_table;
	int32		flow;
	int32		cost;
	int32		max_attempts;
	int32		rank;
	int32		attempt;
	int64		token;
	TimestampTz claimed_at;
	int32		lease_ms;
	/* text state follows */
} FsJobFixed;

#define FS_JOB_FIXED_LEN (offsetof(FsJobFixed, lease_ms) + sizeof(int32))

#define FsJob(tuple) ((FsJobFixed *) GETSTRUCT(tuple))

/* States of a row, by what the text begins with. */
typedef enum FsJobState
{
	FS_JOB_AVAILABLE,
	FS_JOB_SCHEDULED,
	FS_JOB_RUNNING,
	FS_JOB_RETRYABLE,
	FS_JOB_PREEMPTED
} FsJobState;

extern const char *const FsJobStateNames[];
extern FsJobState fs_job_state(HeapTuple tuple);

/* A job table open for work, with its indexes opened when first needed. */
typedef struct FsJobRel
{
	Relation	rel;
	FsTable		table;
	Relation	index[FS_TABLE_INDEXES];
} FsJobRel;

typedef enum FsRowResult
{
	FS_ROW_DONE,
	FS_ROW_LOCKED,				/* somebody else is changing it */
	FS_ROW_MOVED,				/* the table was rewritten: its place is
								 * another now */
	FS_ROW_GONE					/* not what was expected any more */
} FsRowResult;

extern FsJobRel *fs_rows_open(int job_table, bool missing_ok);
extern void fs_rows_close(FsJobRel *jr);

/* A row as a candidate. */
extern FsCandidate *fs_rows_candidate(FsJobRel *jr, HeapTuple row, FsCandidate *cand);

/* What the head of an overflow flow needs: its jobs differ. Datums as in the row; palloc'ed. */
typedef struct FsOverflowHead
{
	char		caps[FS_CAPS_LEN];
	int			caps_len;
	Datum		resources;		/* 0: none */
	Datum		budgets;
	char	   *kind;
} FsOverflowHead;

/*
 * Up to max visible, available rows of one flow and rank with positions from
 * `from` to `to`, and their jobs' numbers; *more: there are more of them;
 * *others is set where there were entries of jobs that do not wait, or not yet.
 */
extern int	fs_rows_scan_ready(FsJobRel *jr, int32 flow, int rank, int64 from, int64 to, int max,
							   FsCandidate *found, int64 *jobs, bool *more, bool *others,
							   FsOverflowHead *head);

/* The same by the index alone, whatever the rows are. -1: that is not enough, look at the rows. */
extern int	fs_rows_list_ready(FsJobRel *jr, int32 flow, int rank, int64 from, int64 to, int max,
							   FsCandidate *found, bool *more);

/* The row at a position of a flow's queue, if it waits there or runs, else the next that waits; a copy, or NULL. */
extern HeapTuple fs_rows_first_from(FsJobRel *jr, int32 flow, int rank, int64 position);

/* What a claim writes into the row. */
typedef struct FsClaimMark
{
	int64		token;
	TimestampTz claimed_at;
	int64		lease;			/* usec */
	Datum		worker;			/* text */
	Datum		request;		/* uuid, or 0 */
} FsClaimMark;

/* Mark a row as running; *copy is the new row. */
extern FsRowResult fs_rows_claim(FsJobRel *jr, int32 flow_id, const FsCandidate *cand,
								 const FsClaimMark *mark, bool wait, HeapTuple *copy);

/* Only look whether a claim could mark it: *copy is the row as it is. Never waits. */
extern FsRowResult fs_rows_look(FsJobRel *jr, int32 flow_id, const FsCandidate *cand, HeapTuple *copy);

/* Which job has, or had, the candidate's place and position, whoever sees it; 0 when none. */
extern int64 fs_rows_job_at(FsJobRel *jr, const FsCandidate *cand);

/* Lock a row until the end of the transaction. GONE: the row is another by now, look again. */
extern FsRowResult fs_rows_lock(FsJobRel *jr, HeapTuple tuple, bool wait);

/* Copies of the visible rows on a page that are running; returns how many. */
extern int	fs_rows_running_on(FsJobRel *jr, BlockNumber block, HeapTuple *rows);

/* The row of a lease at its known place, or NULL when it is not there. */
extern HeapTuple fs_rows_at(FsJobRel *jr, Oid relfile, ItemPointer tid, int64 job_id);

/* The live row of a job wherever it is, as of now; *jr is open when found. */
extern HeapTuple fs_rows_find(int64 job_id, FsJobRel **jr);

/* Waits for row locks. GONE: the row is another by now, look again. */
extern FsRowResult fs_rows_delete(FsJobRel *jr, HeapTuple tuple, bool wait);
extern FsRowResult fs_rows_update(FsJobRel *jr, HeapTuple *tuple, Datum *values, bool *nulls,
								  bool *replace, bool wait);

/* Rows from columns, and columns from rows; _as: with the descriptor of any job table. */
extern HeapTuple fs_rows_form_as(TupleDesc desc, Datum *values, bool *nulls);
extern HeapTuple fs_rows_form(FsJobRel *jr, Datum *values, bool *nulls);
extern void fs_rows_deform_as(TupleDesc desc, HeapTuple tuple, Datum *values, bool *nulls);
extern void fs_rows_deform(FsJobRel *jr, HeapTuple tuple, Datum *values, bool *nulls);

#endif							/* FS_ROWS_H */
