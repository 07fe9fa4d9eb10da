/*
 * histogram.c
 *		Durations counted in logarithmic buckets.
 *
 * Bounds are 16 * 2^(i/2) usec.  Even ones are powers of two; odd ones lie at
 * the root of two between them, rounded down, so everything is integer
 * arithmetic and the same everywhere.
 */
#include "histogram.h"

#define FIRST_SHIFT	4			/* 16 usec */
#define LAST_BOUND	11863296	/* histogram_bound(HISTOGRAM_BOUNDS - 1) */

int64_t
histogram_bound(int i)
{
	int64_t		power = (int64_t) 1 << (FIRST_SHIFT + i / 2);

	/*
	 * 46341 / 32768 is the root of two, to ten digits enough for whole usec
	 * below 2^24
	 */
	return i % 2 == 0 ? power : power * 46341 / 32768;
}

int
histogram_bucket(int64_t usec)
{
	int			octave;
	int			i;

	if (usec <= 1 << FIRST_SHIFT)
		return 0;
	if (usec > LAST_BOUND)
		return HISTOGRAM_BOUNDS;
	/* 2^octave < usec <= 2^(octave + 1) */
	octave = 63 - __builtin_clzll((unsigned long long) (usec - 1));
	i = (octave - FIRST_SHIFT) * 2 + 1;
	return usec <= histogram_bound(i) ? i : i + 1;
}

/* Evenly spread within a bucket; of the last one only the lower bound is known. */
double
histogram_quantile(const int64_t * counts, double q)
{
	int64_t		total = 0;
	int64_t		below = 0;
	double		rank;

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += counts[i];
	if (total <= 0)
		return -1;
	rank = q * (double) total;
	for (int i = 0; i < HISTOGRAM_BOUNDS; i++)
	{
		if (counts[i] > 0 && (double) (below + counts[i]) >= rank)
		{
			double		low = i == 0 ? 0 : (double) histogram_bound(i - 1);

			return low + (histogram_bound(i) - low) * ((rank - below) / counts[i]);
		}
		below += counts[i];
	}
	return (double) histogram_bound(HISTOGRAM_BOUNDS - 1);
}
