/*
 * enqueue.h
 *		New jobs.
 */
#ifndef FS_ENQUEUE_H
#define FS_ENQUEUE_H

#include "ledger.h"
#include "rows.h"

#include "utils/jsonb.h"

/* The options, as arguments or as columns of the inbox: isnull means the default. */
typedef struct FsOption
{
	Datum		value;
	bool		isnull;
} FsOption;

enum
{
	OPT_WORKSPACE, OPT_KIND, OPT_PRIORITY, OPT_RUN_AT, OPT_LANE, OPT_COST, OPT_MAX_ATTEMPTS,
	OPT_CAPABILITIES, OPT_RESOURCES, OPT_BUDGETS, OPT_RUN_ID, OPT_MAX_RUNTIME, OPT_MIN_DELIBERATION,
	OPT_COUNT
};

/* What jobs of one call have in common; checked.  Datums are 0 where there is none. */
typedef struct FsNewJobs
{
	/* where they belong: fs_enqueue_read_place */
	char	   *workspace;
	char	   *lane;
	Datum		workspace_text;
	Datum		lane_text;
	char	   *kind;
	Datum		kind_text;
	int			caps_len;
	char	   *caps;			/* sorted names, each NUL-terminated */
	Datum		capabilities;
	Datum		resources;
	Datum		budgets;
	/* the rest: fs_enqueue_read_job */
	int			cls;
	TimestampTz run_at;			/* 0: now */
	int			cost;			/* 0: by kind */
	int			max_attempts;
	Datum		run_id;
	Datum		max_runtime;
	Datum		min_deliberation;	/* held until it is reviewed (review.c) */
} FsNewJobs;

/* Where new jobs go, reserved there until the end of the transaction. */
typedef struct FsPlace
{
	int32		workspace;
	int32		flow;
	int32		flow_id;
	int			job_table;
	bool		own;			/* this transaction froze the workspace: it
								 * need not wait */
	int			reserved;		/* ledger item, as fs_ledger_reserved_into
								 * knows it */
	int64		ahead;			/* ready jobs before the first one; -1 unknown */
	double		rate;			/* of service, as in FsWorkspace */
	TimestampTz rate_since;
	TimestampTz rate_at;
} FsPlace;

/* A row to be: what is the same in all jobs of a call is filled in once. */
typedef struct FsNewRow
{
	Datum		values[FS_JOB_COLUMNS];
	bool		nulls[FS_JOB_COLUMNS];
	bool		ready;			/* or waits for its time */
} FsNewRow;

/* Check options; raise for the first that is wrong.  Texts are made in the current memory context. */
extern void fs_enqueue_read_place(const FsOption *o, FsNewJobs *j);
extern void fs_enqueue_read_job(const FsOption *o, FsNewJobs *j);
extern Datum fs_enqueue_key(Datum key, bool isnull);
extern int	fs_enqueue_cost(const FsNewJobs *j, Datum payload);

/*
 * Find the place of n jobs and reserve them there; may wait, raises when there
 * is no room.  p->reserved is a ledger item to use if it fits, or FS_NONE.
 */
extern void fs_enqueue_reserve(FsDatabase *db, const FsNewJobs *j, int n, const Datum *keys,
							   const FsFlowSpec *spec, FsPlace *p);

/* The same for one more job of a place; false: it takes the above.  fs->lock held, no errors. */
extern bool fs_enqueue_reserve_more(FsDatabase *db, FsPlace *p);

/* What does not differ between the rows of a call. */
extern void fs_enqueue_row(const FsNewJobs *j, const FsPlace *p, TimestampTz now, FsNewRow *row);

/* Tell the ledger of a row that was inserted, in item `at` if it can; fs->lock held. */
extern int	fs_enqueue_queue(int at, const FsPlace *p, FsJobRel *jr, HeapTuple row);

extern Datum fs_jsonb_empty_is_null(Datum jsonb);

/* The flow for such jobs; fs->lock held and the workspace valid; FS_NONE: no room. */
extern int32 fs_enqueue_flow(FsDatabase *db, int32 workspace, const char *lane, const char *caps,
							 int caps_len, const FsFlowSpec *spec);

/* What tells flows apart: resources (jsonb) and budgets (text[]), 0 = none. May raise. */
extern void fs_enqueue_spec(FsDatabase *db, Datum resources, Datum budgets, const char *kind,
							FsFlowSpec *spec);

#endif							/* FS_ENQUEUE_H */
