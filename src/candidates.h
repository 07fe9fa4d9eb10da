/*
 * candidates.h
 *		Reading queues.
 */
#ifndef FS_CANDIDATES_H
#define FS_CANDIDATES_H

#include "claim.h"
#include "rows.h"

/* After fs_sched_fill_begin: read the index, for who has picked these.  May raise. */
extern void fs_candidates_fill(FsDatabase *db, int32 flow, int slot, const FsTaken *taken, int ntaken);

/* Look again at rows that were locked, where it is time; fs->lock held. */
extern void fs_candidates_revisit(FsDatabase *db, TimestampTz now);

/* The row at this position was locked: look again in a moment; fs->lock held. */
extern void fs_candidates_revisit_later(FsDatabase *db, int32 flow, int slot, int64 position, TimestampTz now);

#endif							/* FS_CANDIDATES_H */
