/*
 * claimer.h
 *		Who claims, and what it may serve.
 */
#ifndef FS_CLAIMER_H
#define FS_CLAIMER_H

#include "claim.h"
#include "pick.h"

/* This session's worker name where none is given. */
extern char *fs_session_worker(void);

/* Make a worker known or refresh when it was seen; raises when there is no room. */
extern int32 fs_worker_seen(FsDatabase *db, const char *name, const char *caps, int caps_len);

/* A claim begins: its lanes, and the capabilities it goes by.  May raise. */
extern void fs_claimer_is(const FsClaimArgs *args, const char *caps, int caps_len);

/* What it may serve; fs->lock held. */
extern const FsEligible *fs_claimer_eligible(FsDatabase *db, const FsClaimArgs *args, int32 worker);

/* The lanes it could serve when that was asked last; how many. */
extern int	fs_claimer_lanes(const int32 **lanes);

#endif							/* FS_CLAIMER_H */
