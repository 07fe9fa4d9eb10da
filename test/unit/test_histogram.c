/*
 * test_histogram.c
 *		Durations in logarithmic buckets.  Prints TAP.
 */
#include "../../src/histogram.h"
#include "tap.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The bucket by looking at every bound. */
static int
slow_bucket(int64_t usec)
{
	for (int i = 0; i < HISTOGRAM_BOUNDS; i++)
		if (usec <= histogram_bound(i))
			return i;
	return HISTOGRAM_BOUNDS;
}

static int
ascending(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return x < y ? -1 : x > y;
}

int
main(void)
{
	int64_t		counts[HISTOGRAM_BUCKETS] = {0};
	int64_t		values[5000];
	bool		right = true;

	for (int i = 1; i < HISTOGRAM_BOUNDS; i++)
		right &= fabs((double) histogram_bound(i) / histogram_bound(i - 1) - sqrt(2)) < 0.05;
	ok(right, "each bound is the root of two times the one before");
	ok(histogram_bound(0) == 16 && histogram_bound(2) == 32 && histogram_bound(1) == 22,
	   "the first bounds are 16, 22 and 32 usec");
	ok(histogram_bound(HISTOGRAM_BOUNDS - 1) == 11863296, "the last is 11.9 s");

	for (int64_t usec = -3; usec < 40000; usec++)
		right &= histogram_bucket(usec) == slow_bucket(usec);
	for (int i = 0; i < HISTOGRAM_BOUNDS; i++)
		for (int64_t d = -2; d <= 2; d++)
			right &= histogram_bucket(histogram_bound(i) + d) == slow_bucket(histogram_bound(i) + d);
	right &= histogram_bucket(INT64_MAX) == HISTOGRAM_BOUNDS;
	ok(right, "the bucket is the first whose bound is not exceeded");

	ok(histogram_quantile(counts, 0.5) == -1, "nothing counted, no quantile");
	counts[0] = 1;
	ok(histogram_quantile(counts, 0.99) > 0 && histogram_quantile(counts, 0.99) <= 16, "one in the first bucket");
	memset(counts, 0, sizeof(counts));
	counts[HISTOGRAM_BOUNDS] = 7;
	ok(histogram_quantile(counts, 0.5) == histogram_bound(HISTOGRAM_BOUNDS - 1),
	   "beyond the bounds: the last bound, which is less than the truth");

	/* against the exact quantiles of random durations */
	srandom(42);
	right = true;
	for (int round = 0; round < 50 && right; round++)
	{
		static const double qs[] = {0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0};
		double		spread = 1 + round / 5.0;

		memset(counts, 0, sizeof(counts));
		for (int i = 0; i < 5000; i++)
		{
			values[i] = (int64_t) (30 * exp(spread * (random() / (double) RAND_MAX)));
			counts[histogram_bucket(values[i])]++;
		}
		qsort(values, 5000, sizeof(int64_t), ascending);
		for (unsigned q = 0; q < sizeof(qs) / sizeof(qs[0]); q++)
		{
			double		exact = (double) values[(int) ceil(qs[q] * 5000) - 1];
			double		got = histogram_quantile(counts, qs[q]);

			/* within the bucket of the exact one */
			if (exact < 11000000 && (got > exact * 1.45 || got < exact / 1.45))
				right = false;
		}
	}
	ok(right, "quantiles lie in the bucket of the exact ones");
	return done_testing();
}
