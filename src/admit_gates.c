/*
 * admit_gates.c
 *		Admission: may a job that needs this be handed out?
 *
 * The gates behind ceiling and share, in this order: rate window, resources,
 * budgets, throttle.  All are asked before anything is taken, and asking
 * changes nothing, so fairsched_explain asks here as a claim does.
 *
 * All functions: fs->lock held exclusively; nothing here allocates, waits or
 * raises, so that commit and abort callbacks may call it.
 */
#include "admit.h"

#include "common/hashfn.h"

#include "amount.h"
#include "budget.h"
#include "capacity.h"

static void
refuse_resource(FsRefusal *why, FsResource r, bool whole, int64 value, int64 limit, TimestampTz retry_at)
{
	why->park = FS_PARK_RESOURCE;
	why->whole = whole;
	why->resource = r;
	why->value = value;
	why->limit = limit;
	why->retry_at = retry_at;
}

/* fs_admit_resource: does one resource refuse a job that needs so much of it? gift: held, to be had by it. */
bool
fs_admit_resource(const FsWorkspace *ws, FsResource r, int64 need, int64 gift, TimestampTz now,
				  FsRefusal *why)
{
	FsLimits   *limits = ws->limits == FS_NONE ? NULL : &fs_limits[ws->limits];
	int64		held = ws->held[r] - gift;
	int64		used;
	const FsQuota *q;
	bool		burst = false;
	int64		retry_at = 0;

	if (limits == NULL || !(limits->set.has & FsResourceBit(r)))
	{
		if (held <= FS_AMOUNT_MAX - need)
			return false;
		refuse_resource(why, r, false, held, FS_AMOUNT_MAX, 0);
		return true;
	}
	q = &limits->set.quota[r];
	used = fs_limits_used(limits, r, now);
	if (need == 0)
	{
		/* whatever it is going to use: nothing is left of the day's amount */
		if (!(FsResourceBit(r) & FS_CONSUMED_MASK) || used < q->quota)
			return false;
		refuse_resource(why, r, true, used, q->quota, window_lifts_at(FsWindowOf(limits, r), q->quota - 1));
		why->retry_at = Max(why->retry_at, 0);
		return true;
	}
	if (quota_fit(q, used + held, need, false) != FS_FITS_NOT)
		return false;
	if (FsResourceBit(r) & FS_BURST_MASK)
	{
		burst = burst_may(&limits->burst[r], q, now);
		retry_at = burst_lifts_at(&limits->burst[r], q);
	}
	if (burst && quota_fit(q, used + held, need, true) != FS_FITS_NOT)
		return false;
	if (FsResourceBit(r) & FS_CONSUMED_MASK)
		retry_at = Max(window_lifts_at(FsWindowOf(limits, r), q->quota - need - held), 0);
	refuse_resource(why, r, r == FS_RES_RUNS && need == FS_UNIT, used + held + need,
					q->quota + (burst ? q->burst : 0), retry_at);
	return true;
}

bool
fs_admit_plain(int32 w, const FsNeeds *needs, int32 budget_set, TimestampTz now)
{
	const FsWorkspace *ws = &fs_workspaces[w];
	FsLimits   *limits = ws->limits == FS_NONE ? NULL : &fs_limits[ws->limits];
	uint32		has = limits ? limits->set.has : 0;

	if (has & FS_LIMIT_RATE)
	{
		window_advance(&limits->rate, now);
		if (!quota_fits_run(limits->rate.total, 1, limits->set.max_claims))
			return false;
	}
	for_each_need(r, needs->mask | (has & FS_CONSUMED_MASK))
	{
		int64		level = ws->held[r];
		int64		limit = FS_AMOUNT_MAX;

		if (has & FsResourceBit(r))
		{
			level += fs_limits_used(limits, r, now);
			limit = limits->set.quota[r].quota;
		}
		if (!quota_fits_run(level, Max(needs->amount[r], 1), limit))
			return false;
	}
	return (budget_set == FS_NONE || fs_budget_plain(budget_set, w)) &&
		(limits == NULL || limits->throttled_until <= now) && fs_capacity_plain(&fs_dbs[ws->db], needs);
}

void
fs_admit_judge(int32 w, const FsNeeds *needs, int32 budget_set, int cls, int32 gift, int gates,
			   TimestampTz now, FsRefusal *why)
{
	const FsWorkspace *ws = &fs_workspaces[w];
	FsLimits   *limits = ws->limits == FS_NONE ? NULL : &fs_limits[ws->limits];

	memset(why, 0, sizeof(FsRefusal));
	why->on = FS_NONE;
	if (limits && (gates & FS_GATE_RATE) && (limits->set.has & FS_LIMIT_RATE))
	{
		window_advance(&limits->rate, now);
		if (limits->rate.total >= limits->set.max_claims)
		{
			why->park = FS_PARK_RATE;
			why->whole = true;
			why->value = limits->rate.total * FS_UNIT;
			why->limit = limits->set.max_claims * FS_UNIT;
			why->retry_at = window_lifts_at(&limits->rate, limits->set.max_claims - 1);
			if (why->retry_at > 0 && limits->set.jitter > 0)
				why->retry_at += murmurhash32((uint32) w ^ (uint32) why->retry_at) %
					(uint64) (limits->set.jitter + 1);
			why->retry_at = Max(why->retry_at, 0);
			return;
		}
	}
	if (gates & FS_GATE_RESOURCE)
	{
		/* what a job does not need is only asked for what may be used up */
		uint32		mask = needs->mask | (limits ? limits->set.has & FS_CONSUMED_MASK : 0);

		for (int r = 0; r < FS_RESOURCES; r++)
		{
			if (!(mask & FsResourceBit(r)))
				continue;
			if (fs_admit_resource(ws, r, needs->amount[r],
								  gift == FS_NONE ? 0 : fs_leases[gift].held.amount[r], now, why))
				return;
		}
	}
	if ((gates & FS_GATE_BUDGET) && budget_set != FS_NONE &&
		!fs_budget_admit(budget_set, w, cls, gift, now, why))
	{
		why->park = FS_PARK_BUDGET;
		return;
	}
	if (limits && (gates & FS_GATE_THROTTLE) && limits->throttled_until > now)
	{
		why->park = FS_PARK_THROTTLE;
		why->whole = true;
		why->retry_at = limits->throttled_until;
	}
}

/* ---------- words ---------- */

void
fs_admit_detail(const FsRefusal *why, char *buf, Size len)
{
	char		value[48];
	char		limit[48];

	buf[0] = '\0';
	fs_amount_text(why->value, value, sizeof(value));
	fs_amount_text(why->limit, limit, sizeof(limit));
	switch (why->park)
	{
		case FS_PARK_RATE:
			snprintf(buf, len, "%s claims of %s in the window", value, limit);
			break;
		case FS_PARK_RESOURCE:
			snprintf(buf, len, "%s %s of %s", FsResourceNames[why->resource], value, limit);
			break;
		case FS_PARK_BUDGET:
			fs_budget_detail(why, buf, len);
			break;
		case FS_PARK_CAPACITY:
			snprintf(buf, len, "%s %s of %s of the fleet", FsResourceNames[why->resource], value, limit);
			break;
		default:
			break;
	}
}
