/*
 * quota.c
 *		Quotas of resources: see quota.h.
 */
#include "quota.h"

#include <math.h>

/* quota_fit: may `need` more be used on top of `used`? Exact: at the quota is within it. */
FsFit
quota_fit(const FsQuota *q, int64_t used, int64_t need, bool may_burst)
{
	if (used <= q->quota - need)
		return FS_FITS;
	if (may_burst && used <= q->quota + q->burst - need)
		return FS_FITS_BURST;
	return FS_FITS_NOT;
}

/* A time above the quota goes into the window, each slice its part. */
static void
add_span(FsBurst *b, int64_t from, int64_t to)
{
	if (to - from > FS_BURST_WITHIN)
		from = to - FS_BURST_WITHIN;
	while (from < to)
	{
		int64_t		end = (from / b->spent.width + 1) * b->spent.width;

		if (end > to)
			end = to;
		window_add_at(&b->spent, from, end - from);
		from = end;
	}
}

/* What was above the quota so far is counted; is it too much? */
static void
spend(FsBurst *b, const FsQuota *q, int64_t now)
{
	if (b->spent.width == 0)
		window_init(&b->spent, FS_BURST_WITHIN, now);
	if (b->over_since != 0 && now > b->over_since)
	{
		add_span(b, b->over_since, now);
		b->over_since = now;
	}
	window_advance(&b->spent, now);
	if (b->spent.total >= q->burst_usec)
		b->exhausted = true;
}

/* burst_was: the level was above the quota for a while before anybody counted. */
void
burst_was(FsBurst *b, const FsQuota *q, int64_t from, int64_t to, int64_t now)
{
	spend(b, q, now);
	add_span(b, from, to < now ? to : now);
	if (to > b->below_since)
		b->below_since = to;
	spend(b, q, now);
}

/* burst_changed: of burst_level: it is above the quota, or was. */
void
burst_changed(FsBurst *b, const FsQuota *q, int64_t level, int64_t now)
{
	spend(b, q, now);
	if (level > q->quota)
	{
		if (b->over_since == 0)
			b->over_since = now;
	}
	else if (b->over_since != 0)
	{
		b->over_since = 0;
		b->below_since = now;
	}
}

/*
 * burst_may: may the level be above the quota now?  Not once it was for
 * burst_usec within the hour, until it was not above for as long.
 */
bool
burst_may(FsBurst *b, const FsQuota *q, int64_t now)
{
	if (q->burst <= 0)
		return false;
	spend(b, q, now);
	if (b->exhausted && b->over_since == 0 && b->spent.total < q->burst_usec &&
		now - b->below_since >= q->burst_usec)
		b->exhausted = false;
	return !b->exhausted;
}

/* burst_lifts_at: when burst_may says yes again if the level stays; 0: that depends on the level. */
int64_t
burst_lifts_at(const FsBurst *b, const FsQuota *q)
{
	int64_t		rested = b->below_since + q->burst_usec;
	int64_t		forgotten = window_lifts_at(&b->spent, q->burst_usec - 1);

	if (!b->exhausted || b->over_since != 0 || q->burst <= 0)
		return 0;
	return rested > forgotten ? rested : forgotten;
}

/*
 * quota_threshold_at: the least level that is at this part of the quota, or above.
 * Nothing used is below any; at most the quota itself (above 9 billion a double
 * is not exact), so that who is above the quota is above this.
 */
int64_t
quota_threshold_at(int64_t quota, double threshold)
{
	double		part = ceil(threshold * (double) quota);
	int64_t		at = part < (double) quota ? (int64_t) part : quota;

	return at > 0 ? at : 1;
}

/* quota_severity: 0 low (to 10 % over), 1 medium (25 %), 2 high (50 %), 3 critical. */
int
quota_severity(int64_t quota, int64_t actual)
{
	double		over = quota > 0 ? (double) (actual - quota) / (double) quota : actual > 0 ? 1.0 : 0.0;

	return over <= 0.10 ? 0 : over <= 0.25 ? 1 : over <= 0.50 ? 2 : 3;
}
