/*
 * rate_file.h
 *		Rate windows across a clean shutdown: a file, as pg_stat_statements keeps one.
 */
#ifndef FS_RATE_FILE_H
#define FS_RATE_FILE_H

#include "shmem.h"

/* A rate window as it was saved. */
typedef struct FsSavedRate
{
	char		workspace[FS_NAME_LEN + 1];
	bool		complete;		/* by a clean shutdown: no claim was made
								 * after it */
	bool		booked;			/* else: what was claimed after it is in
								 * fairsched.rate_bookings */
	int64		epoch;
	int64		width;
	int64		head;
	int			n;
	int64		count[FS_WINDOW_KEPT];	/* of the slices up to head, oldest
										 * first */
} FsSavedRate;

/* When shared memory is made, in the process that makes it. */
extern void fs_rate_file_startup(void);

/* Those of a database that the last clean shutdown saved; palloc'ed. */
extern FsSavedRate *fs_rate_file_read(const FsDatabase *db, int *count);

#endif							/* FS_RATE_FILE_H */
