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
	int32		limits;
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

typedef enum FsCrossingState
{
	FS_CROSSING_NONE,			/* no row */
	FS_CROSSING_CROSSED,
	FS_CROSSING_ABOVE,
	FS_CROSSING_BELOW
} FsCrossingState;

/* What the row of a resource in quota_crossings is to say. */
typedef struct FsCrossingNote
{
	char		workspace[FS_NAME_LEN + 1];
	FsResource	resource;
	FsCrossingState state;
	TimestampTz crossed_at;		/* 0: not known */
	TimestampTz until;			/* 0: no throttle */
	TimestampTz quota_since;
	TimestampTz off_at;			/* 0: never */
} FsCrossingNote;

typedef struct FsAdmissionNotes
{
	TimestampTz at;
	int			nbreaches;
	int			nrates;
	int			ncrossings;
	FsNote		breaches[FS_NOTES];
	FsRateNote	rates[FS_NOTES];
	FsCrossingNote crossings[FS_NOTES];
} FsAdmissionNotes;

/* fs->lock held exclusively; they do not raise. */
extern void fs_notes_take(FsDatabase *db, FsAdmissionNotes *notes, TimestampTz now);
extern void fs_notes_put_back(int32 db, const FsAdmissionNotes *notes);

#endif							/* FS_ADMISSION_NOTES_H */
