/*
 * stats_view.c
 *		What stats.c counted, as rows.
 *
 * A lane's counters are copied under fs->lock (shared), then made into a row.
 * What belongs to no lane that memory knows (a token of a job that is gone, a
 * claim of a lane that never had a job) is a row of its own, without a lane, as
 * soon as there is some; so sums over the rows are complete.
 */
#include "stats.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "views.h"
#include "ws_limits.h"

PG_FUNCTION_INFO_V1(fs_view_claim_stats);
PG_FUNCTION_INFO_V1(fs_view_claim_refusals);
PG_FUNCTION_INFO_V1(fs_view_scheduler_stats);
PG_FUNCTION_INFO_V1(fs_reset_stats);

/* Gate as in fairsched_explain, reason as in parked_reason of the views. */
static const struct
{
	const char *gate;
	const char *reason;
}			refusals[FS_REFUSED_RESOURCE] = {
	{"ceiling", "ceiling"},
	{"workspace_share", "workspace_share"},
	{"rate", "rate_limited"},
	{"budget", "waiting_for_budget"},
	{"throttle", "throttled"}
};

typedef struct FsStatsRow
{
	int32		lane;			/* FS_NONE: none */
	char		name[FS_NAME_LEN + 1];
	FsLaneStats s;
	TimestampTz since;
} FsStatsRow;

/* Atomic counters as plain ones of the copy. */
static int64
count_of(const pg_atomic_uint64 *counter)
{
	return (int64) pg_atomic_read_u64((pg_atomic_uint64 *) counter);
}

static bool
stats_copy(FsWalk *walk, int32 at, void *to)
{
	FsStatsRow *row = to;

	if (at < fs_max_rings)
	{
		if (fs_lanes[at].db != walk->db)
			return false;
		row->lane = at;
		strlcpy(row->name, fs_lanes[at].name, sizeof(row->name));
		memcpy(&row->s, FsStatsOfLane(at), sizeof(FsLaneStats));
	}
	else
	{
		if (at - fs_max_rings != walk->db)
			return false;
		row->lane = FS_NONE;
		memcpy(&row->s, FsStatsOfNoLane(walk->db), sizeof(FsLaneStats));
		if (count_of(&row->s.claims) == 0 && count_of(&row->s.stale) == 0)
			return false;
	}
	row->since = fs_dbs[walk->db].stats_since;
	return true;
}

static Datum
bigint_array(const int64 *counts, int n)
{
	Datum	   *elems = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		elems[i] = Int64GetDatum(counts[i]);
	return PointerGetDatum(construct_array(elems, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static Datum
bounds_array(void)
{
	Datum	   *elems = palloc(sizeof(Datum) * HISTOGRAM_BOUNDS);

	for (int i = 0; i < HISTOGRAM_BOUNDS; i++)
		elems[i] = Float8GetDatum(histogram_bound(i) / 1e6);
	return PointerGetDatum(construct_array(elems, HISTOGRAM_BOUNDS, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

static void
stats_emit(FsWalk *walk, const void *from)
{
	static const double quantiles[] = {0.5, 0.95, 0.99};
	const FsStatsRow *row = from;
	const FsLaneStats *s = &row->s;
	int64		latency[HISTOGRAM_BUCKETS];
	int64		refused = 0;
	Datum		values[26] = {0};
	bool		nulls[26] = {0};
	int			n = 0;

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
		latency[i] = count_of(&s->latency[i]);
	for (int i = 0; i < FS_REFUSED_COUNT; i++)
		refused += s->refused[i];
	nulls[n] = row->lane == FS_NONE;
	if (!nulls[n])
		values[n] = CStringGetTextDatum(row->name);
	n++;
	values[n++] = Int64GetDatum(count_of(&s->claims));
	values[n++] = Int64GetDatum(s->jobs);
	values[n++] = Int64GetDatum(count_of(&s->empties));
	values[n++] = Int64GetDatum(s->undone);
	values[n++] = Int64GetDatum(refused);
	values[n++] = Int64GetDatum(s->arrivals - s->arrivals_before);
	for (int i = 0; i < FS_ENDED_KINDS; i++)
		values[n++] = Int64GetDatum(s->ended[i]);
	values[n++] = Int64GetDatum(s->retaken);
	values[n++] = Int64GetDatum(count_of(&s->stale));
	values[n++] = Int64GetDatum(s->waits);
	values[n++] = Int64GetDatum(s->wakes);
	values[n++] = Float8GetDatum((s->busy_usec - s->busy_before) / 1e6);
	values[n++] = Float8GetDatum(count_of(&s->latency_usec) / 1e6);
	for (int i = 0; i < lengthof(quantiles); i++)
	{
		double		usec = histogram_quantile(latency, quantiles[i]);

		nulls[n] = usec < 0;
		values[n++] = Float8GetDatum(usec / 1e6);
	}
	values[n++] = bigint_array(latency, HISTOGRAM_BUCKETS);
	values[n++] = bounds_array();
	values[n++] = TimestampTzGetDatum(row->since);
	fs_view_put(walk, values, nulls);
}

static void
walk_stats(FunctionCallInfo fcinfo, const char *view, void (*emit) (FsWalk *walk, const void *row))
{
	FsWalk		walk = {0};

	fs_view_check(view, NULL);
	InitMaterializedSRF(fcinfo, 0);
	if (fs_view_state(view) == NULL)
		return;
	walk.capacity = FsStatsSlots();
	walk.row_size = sizeof(FsStatsRow);
	walk.copy = stats_copy;
	walk.emit = emit;
	walk.result = (ReturnSetInfo *) fcinfo->resultinfo;
	fs_view_walk(&walk);
}

Datum
fs_view_claim_stats(PG_FUNCTION_ARGS)
{
	walk_stats(fcinfo, "claim_stats", stats_emit);
	return (Datum) 0;
}

static void
refusals_emit(FsWalk *walk, const void *from)
{
	const FsStatsRow *row = from;

	if (row->lane == FS_NONE)
		return;
	for (int i = 0; i < FS_REFUSED_COUNT; i++)
	{
		Datum		values[6] = {0};
		bool		nulls[6] = {0};
		const char *resource = NULL;
		const char *gate;
		const char *reason;

		if (row->s.refused[i] == 0)
			continue;
		if (i >= FS_REFUSED_CAPACITY)
		{
			resource = FsResourceNames[i - FS_REFUSED_CAPACITY];
			gate = psprintf("capacity_%s", resource);
			reason = "waiting_for_capacity";
		}
		else if (i >= FS_REFUSED_RESOURCE)
		{
			resource = FsResourceNames[i - FS_REFUSED_RESOURCE];
			gate = psprintf("quota_%s", resource);
			reason = "waiting_for_resources";
		}
		else
		{
			gate = refusals[i].gate;
			reason = refusals[i].reason;
		}
		values[0] = CStringGetTextDatum(row->name);
		values[1] = CStringGetTextDatum(gate);
		values[2] = CStringGetTextDatum(reason);
		nulls[3] = resource == NULL;
		if (!nulls[3])
			values[3] = CStringGetTextDatum(resource);
		values[4] = Int64GetDatum(row->s.refused[i]);
		values[5] = TimestampTzGetDatum(row->since);
		fs_view_put(walk, values, nulls);
	}
}

Datum
fs_view_claim_refusals(PG_FUNCTION_ARGS)
{
	walk_stats(fcinfo, "claim_refusals", refusals_emit);
	return (Datum) 0;
}

/* Not of this database: the lock is the server's. */
Datum
fs_view_scheduler_stats(PG_FUNCTION_ARGS)
{
	FsWalk		walk = {0};
	Datum		values[3];
	bool		nulls[3] = {0};

	fs_view_check("scheduler_stats", NULL);
	InitMaterializedSRF(fcinfo, 0);
	if (fs_view_state("scheduler_stats") == NULL)
		return (Datum) 0;
	walk.result = (ReturnSetInfo *) fcinfo->resultinfo;
	values[0] = Int64GetDatum(count_of(&fs_lock_stats->waits));
	values[1] = Float8GetDatum(count_of(&fs_lock_stats->usec) / 1e6);
	values[2] = TimestampTzGetDatum(count_of(&fs_lock_stats->since));
	fs_view_put(&walk, values, nulls);
	return (Datum) 0;
}

/* fairsched_reset_stats() */
Datum
fs_reset_stats(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();

	(void) fs_state_ready("fairsched_reset_stats()");
	FsLock();
	fs_stats_reset(fs_my_db, now);
	FsUnlock();
	fs_stats_reset_lock(now);
	PG_RETURN_TIMESTAMPTZ(now);
}
