/*
 * test_quota.c
 *		What fits a quota, how long it may be exceeded, how bad that is.  Prints TAP.
 */
#include "../../src/quota.h"
#include "../../src/window.h"
#include "tap.h"

#include <stdio.h>

#define SEC INT64_C(1000000)
#define MIN (60 * SEC)

int
main(void)
{
	FsQuota		q = {.quota = 10 * FS_UNIT, .burst = 2 * FS_UNIT, .burst_usec = 10 * MIN};
	FsBurst		b = {.exhausted = false};
	int64_t		t = INT64_C(800000000000000);
	int64_t		lifts;

	ok(quota_fit(&q, 9 * FS_UNIT, FS_UNIT, false) == FS_FITS, "to the quota exactly");
	ok(quota_fit(&q, 9 * FS_UNIT, FS_UNIT + 1, false) == FS_FITS_NOT, "a millionth more is too much");
	ok(quota_fit(&q, 9 * FS_UNIT, 3 * FS_UNIT, true) == FS_FITS_BURST, "to quota and burst");
	ok(quota_fit(&q, 9 * FS_UNIT, 3 * FS_UNIT + 1, true) == FS_FITS_NOT, "and no further");
	ok(quota_fit(&(FsQuota) {.quota = FS_QUOTA_MAX}, FS_AMOUNT_MAX, FS_NEED_MAX, false) == FS_FITS_NOT,
	   "large amounts do not overflow");

	/* so many at once as fit one after the other, and no more */
	ok(quota_fits_run(0, FS_UNIT, QUOTA_RUN * FS_UNIT), "a run to the limit exactly");
	ok(!quota_fits_run(1, FS_UNIT, QUOTA_RUN * FS_UNIT), "a millionth more is no run");
	ok(quota_fits_run(5, 0, 5) && !quota_fits_run(6, 0, 5), "nothing fits up to the limit, not above it");
	ok(quota_fits_run(FS_AMOUNT_MAX - QUOTA_RUN * FS_NEED_MAX, FS_NEED_MAX, FS_AMOUNT_MAX) &&
	   !quota_fits_run(FS_AMOUNT_MAX, 1, FS_AMOUNT_MAX), "the largest amounts");

	/* where a threshold is crossed, in amounts: as the product says */
	ok(quota_threshold_at(100 * FS_UNIT, 0.9) == 90 * FS_UNIT, "nine tenths of 100 are 90");
	ok(quota_threshold_at(5, 0.5) == 3, "half of 5 millionths is not reached at 2");
	ok(quota_threshold_at(0, 0.9) == 1 && quota_threshold_at(1, 0.0001) == 1, "nothing used is below any threshold");
	ok(quota_threshold_at(FS_QUOTA_MAX, 1) == FS_QUOTA_MAX && quota_threshold_at(FS_QUOTA_MAX - 1, 1) == FS_QUOTA_MAX - 1,
	   "all of a quota is no more than the quota");
	for (int64_t quota = 1; quota < 1000; quota += 37)
		for (double part = 0.05; part <= 1; part += 0.05)
		{
			int64_t		at = quota_threshold_at(quota, part);

			if (at < part * quota || (at > 1 && at - 1 >= part * quota))
				ok(false, "the least level at this part of the quota");
		}

	/* five minutes above, five below, five above: that is ten within the hour */
	ok(burst_may(&b, &q, t), "at first it may");
	burst_level(&b, &q, 11 * FS_UNIT, t);
	ok(burst_may(&b, &q, t + 5 * MIN), "after five minutes above it may");
	burst_level(&b, &q, 9 * FS_UNIT, t + 5 * MIN);
	burst_level(&b, &q, 11 * FS_UNIT, t + 9 * MIN);
	ok(burst_may(&b, &q, t + 13 * MIN), "nine minutes: it may");
	ok(!burst_may(&b, &q, t + 14 * MIN), "ten minutes: no more");
	ok(burst_lifts_at(&b, &q) == 0, "when it may again depends on the level");
	burst_level(&b, &q, 9 * FS_UNIT, t + 20 * MIN);
	ok(!burst_may(&b, &q, t + 25 * MIN), "not five minutes after it came down");
	lifts = burst_lifts_at(&b, &q);
	ok(lifts >= t + 30 * MIN, "nor before it was down for as long");
	ok(!burst_may(&b, &q, t + 31 * MIN), "and not while the hour has ten minutes of it");
	ok(lifts > t + 60 * MIN && lifts < t + 80 * MIN, "it says when");
	ok(!burst_may(&b, &q, lifts - 1), "not before then");
	ok(burst_may(&b, &q, lifts), "then it may");

	/* at the quota exactly is not above it */
	b = (FsBurst) {.exhausted = false};
	burst_level(&b, &q, 10 * FS_UNIT, t);
	ok(burst_may(&b, &q, t + 59 * MIN), "the quota exactly used is no burst");
	burst_level(&b, &q, 10 * FS_UNIT + 1, t + 59 * MIN);
	burst_level(&b, &q, 10 * FS_UNIT, t + 60 * MIN);
	ok(burst_may(&b, &q, t + 75 * MIN), "nor after one");
	burst_level(&b, &q, 10 * FS_UNIT + 1, t + 75 * MIN);
	ok(!burst_may(&b, &q, t + 85 * MIN), "a millionth above is");

	/* resting starts anew each time it is above */
	b = (FsBurst) {.exhausted = false};
	q.burst_usec = 60 * SEC;
	burst_level(&b, &q, 11 * FS_UNIT, t);
	burst_level(&b, &q, 9 * FS_UNIT, t + 60 * SEC);
	ok(!burst_may(&b, &q, t + 61 * SEC), "exhausted after its minute");
	ok(burst_may(&b, &q, t + 70 * MIN), "over after an hour");

	/* what was before anybody counted */
	b = (FsBurst) {.exhausted = false};
	burst_was(&b, &q, t, t + 40 * SEC, t + 41 * SEC);
	ok(burst_may(&b, &q, t + 41 * SEC), "a past burst that left something");
	burst_was(&b, &q, t + 50 * SEC, t + 70 * SEC, t + 71 * SEC);
	ok(!burst_may(&b, &q, t + 71 * SEC), "two that did not");
	ok(!burst_may(&b, &q, t + 120 * SEC), "nor while the hour has its minute");
	ok(burst_may(&b, &q, t + 70 * MIN), "over after an hour, too");
	b = (FsBurst) {.exhausted = false};
	burst_was(&b, &q, t - 300 * MIN, t - 200 * MIN, t);
	ok(burst_may(&b, &q, t), "one that is long over does not count");
	b = (FsBurst) {.exhausted = false};
	q.burst_usec = 50 * MIN;
	burst_was(&b, &q, t - 55 * MIN, t - MIN, t);
	ok(!burst_may(&b, &q, t + 20 * MIN), "a past burst of 54 minutes: not below for as long yet");
	ok(burst_lifts_at(&b, &q) == t + 49 * MIN, "it says until when: the hour has forgotten enough of it before that");
	ok(!burst_may(&b, &q, t + 48 * MIN), "nor half an hour later");
	ok(burst_may(&b, &q, t + 49 * MIN), "after 50 minutes below it may");
	ok(burst_lifts_at(&b, &q) == 0, "and then there is nothing to wait for");

	/* long above: when the hour has less than the duration of it, it was not below for as long yet */
	b = (FsBurst) {.exhausted = false};
	q.burst_usec = 50 * MIN;
	burst_level(&b, &q, 11 * FS_UNIT, t);
	ok(!burst_may(&b, &q, t + 51 * MIN), "fifty minutes: no more");
	burst_level(&b, &q, 9 * FS_UNIT, t + 70 * MIN);
	ok(!burst_may(&b, &q, t + 90 * MIN), "twenty minutes below, of fifty");
	ok(!burst_may(&b, &q, t + 119 * MIN), "forty-nine");
	ok(burst_may(&b, &q, t + 121 * MIN), "as long as it was above");

	q.burst = 0;
	ok(!burst_may(&b, &q, t + 200 * MIN), "no burst, no excess");

	ok(quota_severity(100, 110) == 0 && quota_severity(100, 111) == 1 && quota_severity(100, 125) == 1 &&
	   quota_severity(100, 126) == 2 && quota_severity(100, 150) == 2 && quota_severity(100, 151) == 3,
	   "severity by excess");
	ok(quota_severity(0, 1) == 3, "all over nothing");
	return done_testing();
}
