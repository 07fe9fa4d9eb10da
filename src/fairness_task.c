/*
 * fairness_task.c
 *		The scheduler's sample of fairness: rows of fairsched.fairness_samples.
 *
 * A sample is of the time since the one before: memory counts from its start,
 * and what the counters were then is kept by the process that samples (32 bytes
 * for each workspace that fits into memory), so shared memory and claims pay
 * nothing for it.  The first sample of a process writes no rows.
 *
 * One walk over the workspaces, a bounded piece at a time under the shared lock;
 * written are a row for all, one for each tier, and those of a bounded number of
 * workspaces: who lacks most of what is due comes first, then who was served most.
 */
#include "fairness_task.h"

#include <math.h>

#include "access/table.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "day_partition.h"
#include "fairness.h"
#include "views.h"

#define PIECE 512				/* workspaces looked at while the lock is held */

/* A workspace at the last sample. */
typedef struct FsBaseline
{
	double		entitled;
	int64		competed;
	int64		served;
	uint32		name;			/* hash: another workspace may have its place
								 * by now */
} FsBaseline;

/* What happened since: of a workspace, a tier, or all. */
typedef struct FsFairDelta
{
	int32		workspace;
	int32		tier;
	uint32		name;
	double		weight;
	double		entitled;
	double		competed;
	int64		served;
	double		lacking;
	double		tolerance;
	double		lag;
	double		bound;
	int64		depth;			/* -1: not counted yet */
	int64		running;
	int			contending;
	FsBaseline	now;
} FsFairDelta;

typedef struct FsFairText
{
	char		workspace[FS_NAME_LEN + 1];
	char		tier[sizeof(((FsTier *) 0)->name)];
	DwellHistogram dwell;
} FsFairText;

static FsBaseline *baseline = NULL;
static TimestampTz baseline_at = 0; /* 0: none was taken */
static TimestampTz baseline_of = 0; /* the memory it is of, by when that was
									 * built */

static uint32
hash_of(const char *name)
{
	return hash_bytes((const unsigned char *) name, strlen(name));
}

/* ---------- collecting ---------- */

static double
by_bound(const FsFairDelta *d)
{
	return d->bound > 0 ? fabs(d->lag) / d->bound : 0;
}

static void
add(FsFairDelta *sum, const FsFairDelta *d)
{
	sum->entitled += d->entitled;
	sum->competed += d->competed;
	sum->served += d->served;
	sum->lacking += d->lacking;
	sum->tolerance += d->tolerance;
	sum->depth = sum->depth < 0 || d->depth < 0 ? -1 : sum->depth + d->depth;
	sum->running += d->running;
	sum->contending += d->contending;
	if (d->bound > 0 && (sum->bound == 0 || by_bound(d) > by_bound(sum)))
	{
		sum->lag = d->lag;
		sum->bound = d->bound;
	}
}

/* What a workspace did since the last sample; fs->lock held.  False: nothing. */
static bool
delta_of(const FsDatabase *db, int32 w, FsFairDelta *d)
{
	const FsWorkspace *ws = &fs_workspaces[w];
	const FsBaseline *was = &baseline[w];
	FsFairState fair;
	uint32		name = hash_of(ws->name);
	bool		known = was->name == name && was->served <= ws->served_cost;

	fs_fair_state(ws, fs_fair_least_quantum(db), &fair);
	memset(d, 0, sizeof(*d));
	d->workspace = w;
	d->tier = ws->set.tier_id;
	d->name = name;
	d->weight = ws->set.weight;
	d->now.entitled = fair.entitled;
	d->now.competed = fair.competed;
	d->now.served = ws->served_cost;
	d->now.name = name;
	/* a visit that was forfeited, a claim that was undone: less than before */
	d->entitled = Max(fair.entitled - (known ? was->entitled : 0), 0);
	d->competed = Max(fair.competed - (known ? was->competed : 0), 0);
	d->served = ws->served_cost - (known ? was->served : 0);
	d->tolerance = fair.tolerance;
	d->lacking = fair_lacking(d->entitled, d->competed, d->tolerance);
	d->lag = fair.lag;
	d->bound = fair.bound;
	d->depth = db->counted ? fs_view_ready(ws) : -1;
	d->running = ws->running;
	d->contending = d->entitled > 0;
	return d->entitled > 0 || d->competed > 0 || d->served > 0 || fair.contends;
}

/* All that did something; *n how many. */
static FsFairDelta *
collect(FsDatabase *db, int *n)
{
	int			room = 256;
	FsFairDelta *result = palloc(sizeof(FsFairDelta) * room);

	*n = 0;
	for (int from = 0; from < fs->workspaces.high; from += PIECE)
	{
		if (room < *n + PIECE)
		{
			room = 2 * room + PIECE;
			result = repalloc_huge(result, sizeof(FsFairDelta) * room);
		}
		CHECK_FOR_INTERRUPTS();
		FsLockShared();
		for (int w = from; w < Min(from + PIECE, fs->workspaces.high); w++)
			if (fs_workspaces[w].db == FsDbIndex(db) && delta_of(db, w, &result[*n]))
				(*n)++;
		FsUnlock();
	}
	return result;
}

/* Who is beyond its bound, then who lacks most, then who was served most. */
static int
by_interest(const void *pa, const void *pb)
{
	const FsFairDelta *a = pa;
	const FsFairDelta *b = pb;
	double		x = Max(by_bound(a), 1);
	double		y = Max(by_bound(b), 1);

	if (x == y)
	{
		x = a->lacking;
		y = b->lacking;
	}
	if (x == y)
	{
		x = Max(a->served, a->entitled);
		y = Max(b->served, b->entitled);
	}
	return x > y ? -1 : x < y;
}

/* ---------- writing ---------- */

static void
write_row(TimestampTz now, double seconds, const char *scope, const FsFairDelta *d, FsFairText *text,
		  const FairScore *score, const char *worst)
{
	static const Oid types[] = {TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, FLOAT8OID, FLOAT8OID, FLOAT8OID,
		FLOAT8OID, INT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, INT8OID, INT8OID, INTERVALOID,
	INTERVALOID, INTERVALOID, FLOAT8OID, FLOAT8OID, INT4OID, TEXTOID};
	Datum		args[lengthof(types)] = {0};
	bool		isnull[lengthof(types)] = {0};
	char		nulls[lengthof(types)];
	bool		workspace = strcmp(scope, "workspace") == 0;

	args[0] = TimestampTzGetDatum(now);
	args[1] = CStringGetTextDatum(scope);
	isnull[2] = !workspace;
	if (!isnull[2])
		args[2] = CStringGetTextDatum(text->workspace);
	isnull[3] = text == NULL || text->tier[0] == '\0';

	if (!isnull[3])
		args[3] = CStringGetTextDatum(text->tier);
	args[4] = Float8GetDatum(seconds);
	isnull[5] = text == NULL;

	args[5] = Float8GetDatum(d->weight);
	args[6] = Float8GetDatum(d->entitled);
	args[7] = Float8GetDatum(d->competed);
	args[8] = Int64GetDatum(d->served);
	args[9] = Float8GetDatum(d->lacking);
	args[10] = Float8GetDatum(d->tolerance);
	isnull[11] = isnull[12] = d->bound == 0;
	args[11] = Float8GetDatum(d->lag);
	args[12] = Float8GetDatum(d->bound);
	isnull[13] = d->depth < 0;
	args[13] = Int64GetDatum(d->depth);
	args[14] = Int64GetDatum(d->running);
	isnull[15] = isnull[16] = isnull[17] = true;
	if (text)
		fs_fair_percentiles(&text->dwell, GetCurrentTimestamp(), &args[15], &isnull[15]);
	isnull[18] = isnull[19] = score == NULL;
	if (score)
	{
		args[18] = Float8GetDatum(fair_jain(score));
		args[19] = Float8GetDatum(fair_score(score));
	}
	isnull[20] = workspace;
	args[20] = Int32GetDatum(d->contending);
	isnull[21] = worst == NULL;
	if (worst)
		args[21] = CStringGetTextDatum(worst);
	for (int i = 0; i < lengthof(types); i++)
		nulls[i] = isnull[i] ? 'n' : ' ';
	fs_spi("INSERT INTO fairsched.fairness_samples (sampled_at, scope, workspace, tier, seconds, weight, entitled, "
		   "competed, served, lacking, tolerance, lag, bound, depth, running, dwell_p50, dwell_p95, dwell_p99, "
		   "jain_index, score, contending, worst_workspace) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, "
		   "$12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)", lengthof(types), types, args, nulls);
}

/* Names and waiting times of a workspace; false when its place is another's by now. */
static bool
workspace_text(const FsDatabase *db, const FsFairDelta *d, FsFairText *text)
{
	const FsWorkspace *ws = &fs_workspaces[d->workspace];
	bool		ours;

	memset(text, 0, sizeof(*text));
	FsLockShared();
	ours = ws->db == FsDbIndex(db) && hash_of(ws->name) == d->name;
	if (ours)
	{
		strlcpy(text->workspace, ws->name, sizeof(text->workspace));
		if (d->tier >= 0 && d->tier < db->ntiers)
			strlcpy(text->tier, db->tiers[d->tier].name, sizeof(text->tier));
		if (ws->dwell != FS_NONE)
			text	  ->dwell = fs_dwells[ws->dwell].histogram;
	}
	FsUnlock();
	return ours;
}

static void
write_tiers(FsDatabase *db, TimestampTz now, double seconds, const FsFairDelta *tiers)
{
	for (int i = 0; i < FS_MAX_TIERS; i++)
	{
		FsFairText text = {0};
		FsFairDelta d = tiers[i];

		if (d.entitled == 0 && d.competed == 0 && d.served == 0)
			continue;
		FsLockShared();
		strlcpy(text.tier, db->tiers[i].name, sizeof(text.tier));
		text.		dwell = db->tier_dwell[i];

		d.weight = db->tiers[i].weight;
		FsUnlock();
		write_row(now, seconds, "tier", &d, &text, NULL, NULL);
	}
}

/*
 * fs_fairness_sample: write what happened since the last time.  Returns the rows
 * written: 0 when nothing happened, -1 when this is the process's first.
 */
int
fs_fairness_sample(FsDatabase *db, TimestampTz now)
{
	int			n;
	int			rows = 0;
	FsFairDelta *deltas;
	FsFairDelta all = {0};
	FsFairDelta *tiers = palloc0(sizeof(FsFairDelta) * FS_MAX_TIERS);
	FairScore	score = {0};
	FsFairText text;
	const FsFairDelta *worst = NULL;
	Oid			types[1] = {TIMESTAMPTZOID};
	Datum		args[1];
	double		seconds;
	bool		first = baseline_at == 0 || baseline_of != db->rebuilt_at;

	if (baseline == NULL)
		baseline = MemoryContextAllocHuge(TopMemoryContext, sizeof(FsBaseline) * fs->workspaces.capacity);
	if (first)
		memset(baseline, 0, sizeof(FsBaseline) * fs->workspaces.capacity);
	deltas = collect(db, &n);
	seconds = Max(now - baseline_at, 0) / (double) USECS_PER_SEC;

	if (!first && n > 0)
	{
		for (int i = 0; i < n; i++)
		{
			const FsFairDelta *d = &deltas[i];

			add(&all, d);
			if (d->tier >= 0 && d->tier < FS_MAX_TIERS)
				add(&tiers[d->tier], d);
			fair_score_add(&score, d->entitled, d->competed, d->tolerance);
			if (d->lacking > 0 && (worst == NULL || d->lacking / d->entitled > worst->lacking / worst->entitled))
				worst = d;
		}
		/* its day, in case nobody made it ahead */
		table_close(fs_day_partition_open("fairness_samples", now), NoLock);
		fs_spi_begin();
		write_row(now, seconds, "all", &all, NULL, &score,
				  worst && workspace_text(db, worst, &text) ? text.workspace : NULL);
		write_tiers(db, now, seconds, tiers);
		qsort(deltas, n, sizeof(FsFairDelta), by_interest);
		for (int i = 0; i < Min(n, fs_fairness_workspaces); i++)
			if (workspace_text(db, &deltas[i], &text))
				write_row(now, seconds, "workspace", &deltas[i], &text, NULL, NULL);
		args[0] = TimestampTzGetDatum(now);
		fs_spi("SELECT FROM fairsched.fairness_samples WHERE sampled_at = $1", 1, types, args, NULL);
		rows = SPI_processed;
		fs_spi_end();
	}
	/* rows were written: from here on the next one counts */
	for (int i = 0; i < n; i++)
		baseline[deltas[i].workspace] = deltas[i].now;
	baseline_at = now;
	baseline_of = db->rebuilt_at;
	return first ? -1 : rows;
}

/* fairsched.sample_fairness(now) */
PG_FUNCTION_INFO_V1(fs_sample_fairness);
Datum
fs_sample_fairness(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched.sample_fairness");
	int			rows = fs_fairness_sample(db, PG_GETARG_TIMESTAMPTZ(0));

	if (rows < 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(rows);
}

/* fs_fairness_task: one sample; returns when the next is due. */
TimestampTz
fs_fairness_task(FsDatabase *db)
{
	TimestampTz now = GetCurrentTimestamp();

	if (fs_fairness_interval == 0)
		return now + USECS_PER_MINUTE;	/* off: look again whether it still is */
	if (baseline_at != 0 && now < baseline_at + (int64) fs_fairness_interval * USECS_PER_SEC &&
		now >= baseline_at)
		return baseline_at + (int64) fs_fairness_interval * USECS_PER_SEC;
	(void) fs_fairness_sample(db, now);
	return now + (int64) fs_fairness_interval * USECS_PER_SEC;
}
