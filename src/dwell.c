/*
 * dwell.c
 *		Histograms of waiting times; see dwell.h.
 */
#include "dwell.h"

#include <string.h>

/* Upper ends of bucket b, in usec: 1 ms * 2^(b/2). */
static double
upper(int b)
{
	return (b % 2 ? 1414.2135623730951 : 1000.0) * (double) (INT64_C(1) << (b / 2));
}

/* dwell_bucket: 0 up to a millisecond, then two for each doubling; the last one for all beyond. */
int
dwell_bucket(int64_t usec)
{
	int			b = 0;
	int64_t		ms = usec / 1000;

	while (ms > 1)
	{
		ms /= 2;
		b += 2;
	}
	if (b > 0)
		b--;
	while (b < DWELL_BUCKETS - 1 && usec > upper(b))
		b++;
	return b < DWELL_BUCKETS ? b : DWELL_BUCKETS - 1;
}

/* dwell_age: what is old counts for less. */
void
dwell_age(DwellHistogram *h, int64_t now)
{
	int64_t		halvings = (now - h->halved_at) / DWELL_HALF_LIFE;

	if (halvings <= 0)
		return;
	h->halved_at += halvings * DWELL_HALF_LIFE;
	if (halvings > 15)
		memset(h->count, 0, sizeof(h->count));
	else
		for (int i = 0; i < DWELL_BUCKETS; i++)
			h->count[i] >>= halvings;
}

/* dwell_add: one more in this bucket; a full bucket halves all. */
void
dwell_add(DwellHistogram *h, int bucket, int64_t now)
{
	dwell_age(h, now);
	if (h->count[bucket] > UINT16_MAX - DWELL_UNIT)
		for (int i = 0; i < DWELL_BUCKETS; i++)
			h->count[i] /= 2;
	h->count[bucket] += DWELL_UNIT;
}

/* dwell_percentile: of p from 0 to 1, in usec; -1 when nothing was counted. */
int64_t
dwell_percentile(const DwellHistogram *h, double p)
{
	double		total = 0;
	double		seen = 0;
	int			last = -1;

	for (int i = 0; i < DWELL_BUCKETS; i++)
		total += h->count[i];
	if (total == 0)
		return -1;
	for (int i = 0; i < DWELL_BUCKETS; i++)
	{
		double		low = i == 0 ? 0 : upper(i - 1);

		if (h->count[i] == 0)
			continue;
		last = i;
		if (seen + h->count[i] >= p * total)
			return (int64_t) (low + (upper(i) - low) * (p * total - seen) / h->count[i]);
		seen += h->count[i];
	}
	return (int64_t) upper(last);
}
