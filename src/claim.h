/*
 * claim.h
 *		Handing out jobs.
 */
#ifndef FS_CLAIM_H
#define FS_CLAIM_H

#include "ledger.h"
#include "rows.h"

/* A candidate that was picked and has a lease, on the way to be claimed. */
typedef struct FsTaken
{
	int32		lease;
	int32		flow_id;
	int			job_table;
	FsCandidate cand;
	bool		row_first;		/* its row is marked, then its job becomes
								 * known (softclaim.c) */
	bool		named;			/* or: its job is known and nobody else's */
	FsRowResult result;
	HeapTuple	row;
	int64		token;
	Oid			relfile;
} FsTaken;

/* The arguments of fairsched_claim, checked. */
typedef struct FsClaimArgs
{
	char	   *worker;
	int			max_jobs;
	int64		lease;			/* usec */
	int			nlanes;
	char	  **lanes;
	bool		caps_given;
	int			caps_len;
	char		caps[FS_CAPS_LEN];
	bool		has_request;
	pg_uuid_t	request;
	int64		max_wait;		/* usec */
} FsClaimArgs;

/* Read the seven arguments of fairsched_claim from `first` on. */
extern void fs_claim_args(FunctionCallInfo fcinfo, int first, FsClaimArgs *args);

/* Claim and put the result rows into the function's tuplestore; returns how many. */
extern int	fs_claim(FunctionCallInfo fcinfo, FsDatabase *db, FsClaimArgs *args,
					 int ngifts, int32 *gifts);

#endif							/* FS_CLAIM_H */
