/*
 * enqueue.h
 *		New jobs.
 */
#ifndef FS_ENQUEUE_H
#define FS_ENQUEUE_H

#include "ledger.h"
#include "rows.h"

#include "utils/jsonb.h"

/* What jobs of one call have in common; checked. */
typedef struct FsNewJobs
{
	char	   *workspace;
	char	   *kind;
	char	   *lane;
	int			cls;
	TimestampTz run_at;
	int			cost;			/* 0: by kind */
	int			max_attempts;
	int			caps_len;
	char		caps[FS_CAPS_LEN];
	Datum		capabilities;	/* 0: none */
	Datum		resources;
	Datum		budgets;
	Datum		run_id;
	Datum		max_runtime;
} FsNewJobs;

extern Datum fs_jsonb_empty_is_null(Datum jsonb);

/* The flow for such jobs; fs->lock held and the workspace valid; FS_NONE: no room. */
extern int32 fs_enqueue_flow(FsDatabase *db, int32 workspace, const char *lane, const char *caps,
							 int caps_len, const FsFlowSpec *spec);

/* What tells flows apart: resources (jsonb) and budgets (text[]), 0 = none. May raise. */
extern void fs_enqueue_spec(FsDatabase *db, Datum resources, Datum budgets, const char *kind,
							FsFlowSpec *spec);

#endif							/* FS_ENQUEUE_H */
