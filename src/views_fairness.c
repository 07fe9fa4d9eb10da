/*
 * views_fairness.c
 *		fairness, fairness_tiers, fairness_summary: what fairness.c counted, as rows.
 *
 * Walks over the workspaces, as views.c has them: O(workspaces), a bounded piece
 * at a time under the shared lock.
 */
#include "views.h"

#include <math.h>

#include "funcapi.h"
#include "utils/builtins.h"
#include "fairness.h"
#include "park.h"

typedef struct FsFairRow
{
	char		workspace[FS_NAME_LEN + 1];
	char		tier[sizeof(((FsTier *) 0)->name)];
	double		weight;
	int32		quantum;
	FsFairState fair;
	int64		served;
	int64		depth;			/* -1: not counted yet */
	int32		running;
	int32		ceiling;
	DwellHistogram dwell;
} FsFairRow;

static bool
fair_copy(FsWalk *walk, int32 at, void *to)
{
	const FsWorkspace *ws = &fs_workspaces[at];
	const FsDatabase *db = &fs_dbs[walk->db];
	FsFairRow  *row = to;

	if (ws->db != walk->db)
		return false;
	strlcpy(row->workspace, ws->name, sizeof(row->workspace));
	row->tier[0] = '\0';
	if (ws->set.tier_id >= 0 && ws->set.tier_id < db->ntiers)
		strlcpy(row->tier, db->tiers[ws->set.tier_id].name, sizeof(row->tier));
	row->weight = ws->set.weight;
	row->quantum = ws->set.quantum;
	fs_fair_state(ws, fs_fair_least_quantum(db), &row->fair);
	row->served = ws->served_cost;
	row->depth = db->counted ? fs_view_ready(ws) : -1;
	row->running = ws->running;
	row->ceiling = fs_sched_ceiling(ws);
	if (ws->dwell != FS_NONE)
		row->dwell = fs_dwells[ws->dwell].histogram;
	else
		memset(&row->dwell, 0, sizeof(row->dwell));
	return true;
}

/* fs_fair_percentiles: p50, p95 and p99 of a histogram as intervals; NULLs when nothing was counted lately. */
void
fs_fair_percentiles(DwellHistogram *dwell, TimestampTz now, Datum *values, bool *nulls)
{
	static const double p[3] = {0.50, 0.95, 0.99};

	dwell_age(dwell, now);
	for (int i = 0; i < 3; i++)
	{
		int64		usec = dwell_percentile(dwell, p[i]);

		nulls[i] = usec < 0;
		if (usec >= 0)
		{
			Interval   *result = palloc0(sizeof(Interval));

			result->time = usec;
			values[i] = IntervalPGetDatum(result);
		}
	}
}

static void
fair_emit(FsWalk *walk, const void *from)
{
	FsFairRow  *row = (FsFairRow *) from;
	Datum		values[18] = {0};
	bool		nulls[18] = {0};

	values[0] = CStringGetTextDatum(row->workspace);
	nulls[1] = row->tier[0] == '\0';
	if (!nulls[1])
		values[1] = CStringGetTextDatum(row->tier);
	values[2] = Float8GetDatum(row->weight);
	values[3] = Int32GetDatum(row->quantum);
	values[4] = Float8GetDatum(Max(row->fair.entitled, 0));
	values[5] = Int64GetDatum(row->served);
	values[6] = Float8GetDatum(row->fair.lag);
	values[7] = Float8GetDatum(row->fair.bound);
	nulls[6] = nulls[7] = row->fair.bound == 0;
	values[8] = Int64GetDatum(row->depth);
	nulls[8] = row->depth < 0;
	values[9] = Int32GetDatum(row->running);
	values[10] = Int32GetDatum(row->ceiling);
	fs_fair_percentiles(&row->dwell, walk->now, &values[11], &nulls[11]);
	values[14] = BoolGetDatum(row->fair.contends);
	values[15] = Int64GetDatum(Max(row->fair.competed, 0));
	values[16] = Float8GetDatum(row->fair.tolerance);
	values[17] = Float8GetDatum(fair_satisfaction(row->fair.entitled, row->fair.competed, row->fair.tolerance));
	fs_view_put(walk, values, nulls);
}

PG_FUNCTION_INFO_V1(fs_view_fairness);
Datum
fs_view_fairness(PG_FUNCTION_ARGS)
{
	FsWalk		walk = {0};

	fs_view_check("fairness", "fairness_tiers");
	InitMaterializedSRF(fcinfo, 0);
	if (fs_view_state("fairness") == NULL)
		return (Datum) 0;
	walk.capacity = fs->workspaces.high;
	walk.row_size = sizeof(FsFairRow);
	walk.copy = fair_copy;
	walk.emit = fair_emit;
	walk.result = (ReturnSetInfo *) fcinfo->resultinfo;
	fs_view_walk(&walk);
	return (Datum) 0;
}

/* ---------- waiting times of tiers ---------- */

PG_FUNCTION_INFO_V1(fs_view_tier_dwell);
Datum
fs_view_tier_dwell(PG_FUNCTION_ARGS)
{
	FsTier	   *tiers = palloc(sizeof(FsTier) * FS_MAX_TIERS);
	DwellHistogram *dwell = palloc(sizeof(DwellHistogram) * FS_MAX_TIERS);
	int			n = 0;
	FsWalk		walk = {0};

	fs_view_check("fairness_tiers", NULL);
	InitMaterializedSRF(fcinfo, 0);
	if (fs_view_state("fairness_tiers") == NULL)
		return (Datum) 0;
	walk.result = (ReturnSetInfo *) fcinfo->resultinfo;
	FsLockShared();
	if (fs_view_ours(fs_my_db))
	{
		n = fs_dbs[fs_my_db].ntiers;
		memcpy(tiers, fs_dbs[fs_my_db].tiers, sizeof(FsTier) * n);
		memcpy(dwell, fs_dbs[fs_my_db].tier_dwell, sizeof(DwellHistogram) * n);
	}
	FsUnlock();
	for (int i = 0; i < n; i++)
	{
		Datum		values[4] = {0};
		bool		nulls[4] = {0};

		values[0] = CStringGetTextDatum(tiers[i].name);
		fs_fair_percentiles(&dwell[i], GetCurrentTimestamp(), &values[1], &nulls[1]);
		fs_view_put(&walk, values, nulls);
	}
	return (Datum) 0;
}

/* ---------- fairness_summary ---------- */

typedef struct FsFairSummary
{
	FairScore	score;
	int			contending;
	double		worst_by;		/* entitlement it lacks, as a part of it */
	char		worst[FS_NAME_LEN + 1];
	double		entitled;
	int64		competed;
} FsFairSummary;

static void
summary_emit(FsWalk *walk, const void *from)
{
	const FsFairRow *row = from;
	const FsFairState *fair = &row->fair;
	FsFairSummary *sum = walk->extra;
	double		lacks;

	sum->contending += fair->contends;
	fair_score_add(&sum->score, fair->entitled, fair->competed, fair->tolerance);
	if (fair->entitled <= 0)
		return;
	sum->entitled += fair->entitled;
	sum->competed += fair->competed;
	lacks = fair_lacking(fair->entitled, fair->competed, fair->tolerance) / fair->entitled;
	if (lacks > sum->worst_by)
	{
		sum->worst_by = lacks;
		strlcpy(sum->worst, row->workspace, sizeof(sum->worst));
	}
}

PG_FUNCTION_INFO_V1(fs_view_fairness_summary);
Datum
fs_view_fairness_summary(PG_FUNCTION_ARGS)
{
	FsFairSummary sum = {0};
	FsWalk		walk = {0};
	Datum		values[6] = {0};
	bool		nulls[6] = {0};

	fs_view_check("fairness_summary", NULL);
	InitMaterializedSRF(fcinfo, 0);
	if (fs_view_state("fairness_summary") == NULL)
		return (Datum) 0;
	walk.capacity = fs->workspaces.high;
	walk.row_size = sizeof(FsFairRow);
	walk.copy = fair_copy;
	walk.emit = summary_emit;
	walk.result = (ReturnSetInfo *) fcinfo->resultinfo;
	walk.extra = &sum;
	fs_view_walk(&walk);
	values[0] = Float8GetDatum(fair_jain(&sum.score));
	values[1] = Float8GetDatum(fair_score(&sum.score));
	values[2] = Int32GetDatum(sum.contending);
	nulls[3] = sum.worst[0] == '\0';
	if (!nulls[3])
		values[3] = CStringGetTextDatum(sum.worst);
	values[4] = Float8GetDatum(sum.entitled);
	values[5] = Int64GetDatum(sum.competed);
	fs_view_put(&walk, values, nulls);
	return (Datum) 0;
}
