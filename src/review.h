/*
 * review.h
 *		Jobs that are held until a score of their reasoning passes.
 */
#ifndef FS_REVIEW_H
#define FS_REVIEW_H

#include "rows.h"

/* min_deliberation of a new job, checked. May raise. */
extern Datum fs_review_minimum(Datum numeric);

/* Does this row wait for a review? */
extern bool fs_review_awaited(FsJobRel *jr, HeapTuple row);

/* A score of this job was kept, which is recommended to pass: let the job go if it was held for that. May raise. */
extern void fs_review_passed(int64 job_id, Datum overall_score);

/* The highest score of the job that is recommended to pass, numeric; false: none is. May raise. */
extern bool fs_review_best(int64 job_id, Datum *overall_score);

#endif							/* FS_REVIEW_H */
