/*
 * ws_limits_rows.h
 *		What tables say of limits: what is set, what was used, what happened.
 *
 * Reads into this backend's memory; shared memory is neither read nor changed,
 * and fs->lock is not taken (ws_limits_load.c makes of it what memory has).
 * May raise.
 */
#ifndef FS_WS_LIMITS_ROWS_H
#define FS_WS_LIMITS_ROWS_H

#include "ws_limits.h"

#include "rate_file.h"

/* One part of one workspace's settings. */
typedef struct FsLimitPart
{
	char		workspace[FS_NAME_LEN + 1];
	uint32		part;
	FsLimitSettings set;
} FsLimitPart;

/* What a workspace used, or its level. */
typedef struct FsUsed
{
	char		workspace[FS_NAME_LEN + 1];
	FsResource	resource;
	TimestampTz at;
	int64		amount;
} FsUsed;

/* Claims that were made, or might have been, since a window was saved. */
typedef struct FsBooked
{
	char		workspace[FS_NAME_LEN + 1];
	int64		claims;
	int64		epoch;			/* the last one */
} FsBooked;

/* A violation that was open when memory was lost, or a burst that is not long over. */
typedef struct FsPastBreach
{
	char		workspace[FS_NAME_LEN + 1];
	FsResource	resource;
	FsBreachKind kind;
	TimestampTz first;
	TimestampTz last;
	TimestampTz resolved;		/* DT_NOEND: open */
} FsPastBreach;

/*
 * Each returns an array in the caller's memory context, of one workspace or
 * (NULL) of all.  In the order of workspaces, unless something else is said.
 */
extern FsLimitPart *fs_limits_read_parts(const char *workspace, int *count);

/* In the last day, by slices of the window; and levels. */
extern FsUsed *fs_limits_read_used(const char *workspace, int *count);
extern FsSavedRate *fs_limits_read_rates(int *count);
extern FsBooked *fs_limits_read_booked(int *count);

/* In no order. */
extern FsPastBreach *fs_limits_read_breaches(int *count);

/* Of two rows of a resource the one that crossed comes last. */
extern FsCrossing *fs_limits_read_crossings(int *count);

/* Arrays whose entries begin with a workspace's name: in the order of these; and where those of one begin, or would. */
extern void fs_limits_sort(void *array, int n, Size size);
extern int	fs_limits_first(const void *array, int n, Size size, const char *workspace);

#endif							/* FS_WS_LIMITS_ROWS_H */
