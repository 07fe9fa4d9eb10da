/*
 * histogram.h
 *		Durations counted in logarithmic buckets.  Pure: no PostgreSQL.
 *
 * Bucket i counts what took at most histogram_bound(i) and more than the bound
 * before; the last one counts all that took longer.  Bounds grow by the square
 * root of two; a quantile read from the counts lies in the bucket of the true
 * one, so it is at most 1.42 times that, or that divided by 1.42.
 */
#ifndef FS_HISTOGRAM_H
#define FS_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BOUNDS	40	/* 16 usec to 12 seconds */
#define HISTOGRAM_BUCKETS	(HISTOGRAM_BOUNDS + 1)

/* Upper bound of a bucket, usec; not of the last one, which has none. */
extern int64_t histogram_bound(int bucket);

extern int	histogram_bucket(int64_t usec);

/* The duration, usec, that a part q (0 to 1) of what was counted did not exceed; -1: nothing was counted. */
extern double histogram_quantile(const int64_t * counts, double q);

#endif							/* FS_HISTOGRAM_H */
