/*
 * admission_notes.h
 *		What memory has to be written by the scheduler: violations, thresholds that
 *		were crossed, rate windows.
 */
#ifndef FS_ADMISSION_NOTES_H
#define FS_ADMISSION_NOTES_H

#include "ws_limits.h"

#define FS_NOTES	500			/* of each kind, in one run */

/* A violation: occurrences that are not written, or its end. */
typedef struct FsNote
{
	char		workspace[FS_NAME_LEN + 1];
	char		run_id[FS_NAME_LEN + 1];
	FsResource	resource;
	FsBreachKind kind;
	FsBreach	breach;
	bool		resolved;
} FsNote;

typedef struct FsRateNote
{
	char		workspace[FS_NAME_LEN + 1];
	FsWindow	window;
	int64		epoch;			/* the last one whose claims are in it */
} FsRateNote;

typedef struct FsAdmissionNotes
{
	int			nbreaches;
	int			nrates;
	int			ncrossings;
	FsNote		breaches[FS_NOTES];
	FsRateNote	rates[FS_NOTES];
	FsCrossing	crossings[FS_NOTES];	/* what their rows are to say */
} FsAdmissionNotes;

/* fs->lock held exclusively; they do not raise. */
extern void fs_notes_take(FsDatabase *db, FsAdmissionNotes *notes, TimestampTz now);
extern void fs_notes_put_back(int32 db, const FsAdmissionNotes *notes);

#endif							/* FS_ADMISSION_NOTES_H */
