/*
 * claim_result.c
 *		What a claim returns: its rows, and those of a request that was made before.
 *
 * A repeated request id finds the leases of its first claim in memory; what of
 * them is still held is returned again, with the same tokens.
 */
#include "claim_result.h"

#include "access/table.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"
#include "lease.h"

/* fs_claim_row_desc: what rows of job tables are, in any of them; good to the end of the session. */
TupleDesc
fs_claim_row_desc(void)
{
	static TupleDesc desc = NULL;
	static Oid	of = InvalidOid;

	if (of != fs_catalog()->jobs)
	{
		/*
		 * that of the shared table: the parent may be locked while a
		 * partition goes
		 */
		Relation	rel = table_open(fs_table_get(0)->relid, AccessShareLock);
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		if (desc)
			FreeTupleDesc(desc);
		desc = CreateTupleDescCopy(RelationGetDescr(rel));
		MemoryContextSwitchTo(old);
		of = fs_catalog()->jobs;
		table_close(rel, AccessShareLock);
	}
	return desc;
}

/* fs_claim_emit: a row of fairsched_claim's result. */
void
fs_claim_emit(ReturnSetInfo *rsinfo, HeapTuple row, int64 token, TimestampTz expires, const char *worker)
{
	Datum		v[FS_JOB_COLUMNS];
	bool		isnull[FS_JOB_COLUMNS];
	Datum		out[12];
	bool		nulls[12] = {0};

	fs_rows_deform_as(fs_claim_row_desc(), row, v, isnull);
	out[0] = v[FS_COL_JOB_ID];
	out[1] = v[FS_COL_WORKSPACE];
	out[2] = v[FS_COL_LANE];
	out[3] = v[FS_COL_KIND];
	out[4] = v[FS_COL_PAYLOAD];
	out[5] = v[FS_COL_PRIORITY];
	out[6] = v[FS_COL_ATTEMPT];
	out[7] = Int64GetDatum(token);
	out[8] = TimestampTzGetDatum(expires);
	out[9] = v[FS_COL_CHECKPOINT];
	nulls[9] = isnull[FS_COL_CHECKPOINT];
	out[10] = v[FS_COL_RUN_ID];
	nulls[10] = isnull[FS_COL_RUN_ID];
	out[11] = CStringGetTextDatum(worker);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, out, nulls);
}

typedef struct FsRepeat
{
	int64		job_id;
	int64		token;
	int			job_table;
	Oid			relfile;
	ItemPointerData tid;
	bool		soft;
	int64		position;
	int32		attempt;
	TimestampTz expires_at;
	char		worker[FS_NAME_LEN + 1];
} FsRepeat;

static int
by_token(const void *a, const void *b)
{
	int64		x = ((const FsRepeat *) a)->token;
	int64		y = ((const FsRepeat *) b)->token;

	return x < y ? -1 : x > y;
}

/* fs_claim_repeat: a request that was made before: what of it is still leased, in claim order. */
int
fs_claim_repeat(FunctionCallInfo fcinfo, const FsClaimArgs *a)
{
	int			room = 64;
	FsRepeat   *found = palloc(sizeof(FsRepeat) * room);
	int			n;
	int			emitted = 0;

	for (;;)
	{
		n = 0;
		FsLockShared();
		for (int32 l = fs_lease_first_by_request(fs_my_db, &a->request); l != FS_NONE;
			 l = fs_lease_next_by_request(l, &a->request))
		{
			FsLease    *lease = &fs_leases[l];

			if (lease->job_id == 0 ||
				(lease->state != FS_LEASE_ACTIVE && lease->state != FS_LEASE_CLAIMING))
				continue;
			if (n < room)
			{
				found[n].job_id = lease->job_id;
				found[n].token = lease->token;
				found[n].job_table = lease->job_table;
				found[n].relfile = lease->relfile;
				found[n].tid = lease->tid;
				found[n].soft = lease->soft;
				found[n].position = lease->position;
				found[n].attempt = lease->attempt;
				found[n].expires_at = lease->expires_at;
				strcpy(found[n].worker, fs_workers[lease->worker].name);
			}
			n++;
		}
		FsUnlock();
		if (n <= room)
			break;
		room = n * 2;
		found = repalloc(found, sizeof(FsRepeat) * room);
	}
	if (n > 1)
		qsort(found, n, sizeof(FsRepeat), by_token);
	for (int i = 0; i < n; i++)
	{
		FsJobRel   *jr;
		HeapTuple	row;

		fs_push_snapshot();
		jr = fs_rows_open(found[i].job_table, true);
		row = jr ? fs_rows_at(jr, found[i].relfile, &found[i].tid, found[i].job_id) : NULL;
		fs_pop_snapshot();
		if (row == NULL)
		{
			if (jr)
				fs_rows_close(jr);
			row = fs_rows_find(found[i].job_id, &jr);
		}
		if (row && found[i].soft && fs_job_state(row) == FS_JOB_AVAILABLE)
			FsJob(row)->attempt = found[i].attempt; /* as its claim returned
													 * it */
		if (row && (fs_job_state(row) == FS_JOB_RUNNING ? FsJob(row)->token == found[i].token :
					found[i].soft && FsJob(row)->position == found[i].position))
		{
			fs_claim_emit((ReturnSetInfo *) fcinfo->resultinfo, row, found[i].token,
						  found[i].expires_at, found[i].worker);
			emitted++;
		}
		if (jr)
			fs_rows_close(jr);
	}
	return emitted;
}

/* fs_claim_lock_request: two calls with one request id take turns, until the end of the transaction. */
void
fs_claim_lock_request(const pg_uuid_t *request)
{
	LOCKTAG		tag;
	uint32		part[4];

	memcpy(part, request->data, sizeof(part));
	/* class 3 of advisory locks: SQL functions use 1 and 2 */
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, part[0] ^ part[2], part[1] ^ part[3], 3);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}
