/*
 * claim_result.h
 *		What a claim returns.
 */
#ifndef FS_CLAIM_RESULT_H
#define FS_CLAIM_RESULT_H

#include "claim.h"

#include "nodes/execnodes.h"

/* What rows of job tables are. */
extern TupleDesc fs_claim_row_desc(void);

/* One job into the tuplestore of the function. */
extern void fs_claim_emit(ReturnSetInfo *rsinfo, HeapTuple row, int64 token, TimestampTz expires, const char *worker);

/* Two calls with one request id take turns. */
extern void fs_claim_lock_request(const pg_uuid_t *request);

/* What a request that was made before still holds, into the tuplestore; how many. */
extern int	fs_claim_repeat(FunctionCallInfo fcinfo, const FsClaimArgs *args);

#endif							/* FS_CLAIM_RESULT_H */
