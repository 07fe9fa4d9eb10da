/*
 * dwell.h
 *		Histograms of how long jobs were ready until they were claimed.
 *
 * Buckets grow by a factor of the square root of 2, from a millisecond to 49
 * days, so a percentile is right to within 20 % (it is interpolated), in 128
 * bytes.  Counts are halved every DWELL_HALF_LIFE, so the recent counts most; each
 * job counts as DWELL_UNIT, so that it does not vanish at the first halving.
 *
 * Pure arithmetic: no locks, no PostgreSQL.  Times are microseconds.
 */
#ifndef FS_DWELL_H
#define FS_DWELL_H

#include <stdint.h>

#define DWELL_BUCKETS	64
#define DWELL_UNIT		16
#define DWELL_HALF_LIFE	(INT64_C(300) * 1000000)

typedef struct DwellHistogram
{
	int64_t		halved_at;		/* multiple of DWELL_HALF_LIFE */
	uint16_t	count[DWELL_BUCKETS];
} DwellHistogram;

extern int	dwell_bucket(int64_t usec);
extern void dwell_age(DwellHistogram *h, int64_t now);
extern void dwell_add(DwellHistogram *h, int bucket, int64_t now);
extern int64_t dwell_percentile(const DwellHistogram *h, double p);

#endif							/* FS_DWELL_H */
