/*
 * test_dwell.c
 *		Percentiles of histograms against sorted lists.  Prints TAP.
 */
#include "../../src/dwell.h"
#include "tap.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N 3000

static double
uniform(void)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (double) (seed >> 11) / (double) (UINT64_C(1) << 53);
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
	DwellHistogram h = {0};
	static int64_t times[N];
	double		p[] = {0.01, 0.5, 0.95, 0.99};
	bool		right = true;
	int			last = 0;
	int64_t		before;

	ok(dwell_percentile(&h, 0.5) == -1, "nothing was counted");
	ok(dwell_bucket(-5) == 0 && dwell_bucket(0) == 0 && dwell_bucket(1000) == 0, "up to a millisecond is one bucket");
	ok(dwell_bucket(INT64_MAX) == DWELL_BUCKETS - 1, "the last one takes all beyond");
	for (double t = 500; t < 3e12; t *= 1.01)
	{
		int			b = dwell_bucket((int64_t) t);

		right = right && (b == last || b == last + 1) &&
			t <= 1000 * pow(2, b / 2.0) * 1.001 && (b == 0 || t >= 1000 * pow(2, (b - 1) / 2.0) * 0.999);
		last = b;
	}
	ok(right, "buckets grow by the square root of 2");
	right = true;

	for (int i = 0; i < N; i++)
	{
		times[i] = (int64_t) (2000 * pow(10, 5 * uniform()));	/* 2 ms to 200 s */
		dwell_add(&h, dwell_bucket(times[i]), 0);
	}
	qsort(times, N, sizeof(times[0]), ascending);
	for (int i = 0; i < 4; i++)
	{
		double		exact = (double) times[(int) (p[i] * N)];

		right = right && fabs((double) dwell_percentile(&h, p[i]) - exact) <= 0.2 * exact;
	}
	ok(right, "percentiles are right to within 20 %");

	before = dwell_percentile(&h, 0.5);
	dwell_age(&h, DWELL_HALF_LIFE - 1);
	ok(h.halved_at == 0, "nothing ages before its half-life");
	for (int i = 0; i < N; i++)
		dwell_add(&h, dwell_bucket(INT64_C(3600) * 1000000), 2 * DWELL_HALF_LIFE);
	ok(dwell_percentile(&h, 0.5) > before, "what is recent counts more");
	dwell_age(&h, 100 * DWELL_HALF_LIFE);
	ok(dwell_percentile(&h, 0.5) == -1, "what is old is forgotten");

	memset(&h, 0, sizeof(h));
	for (int i = 0; i < 100000; i++)
		dwell_add(&h, i % 4 == 0 ? 10 : 20, 0);
	ok(h.count[10] > 0 && fabs((double) h.count[20] / h.count[10] - 3) < 0.3, "a full bucket halves all");
	memset(&h, 0, sizeof(h));
	dwell_add(&h, 7, 0);
	dwell_age(&h, DWELL_HALF_LIFE);
	ok(dwell_percentile(&h, 0.5) > 0, "a single one outlives a halving");
	return done_testing();
}
