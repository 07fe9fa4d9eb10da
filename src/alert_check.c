/*
 * alert_check.c
 *		Looking for what is worth an alert, every fairsched.alert_interval.
 *
 * Each check looks for all causes of one type, raises an alert for each, and
 * resolves the open alerts of the type that it did not see (alerts.c).  Fairness
 * is judged by the samples of the interval that ends now (fairness_task.c), the
 * rest by what tables and memory say at the moment.  The cost is that of a few
 * queries on small tables, and of one walk over the flows, a bounded piece at a
 * time under the shared lock.
 *
 * `now` is an argument throughout, so that tests need not wait.
 */
#include "alert_check.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "alerts.h"
#include "flows.h"
#include "holders.h"
#include "oldest.h"
#include "ring.h"
#include "tasks.h"
#include "views.h"

#define PIECE		512			/* flows looked at while the lock is held */
#define OLDEST		256			/* workspaces whose oldest job is looked up */
#define MIN_EXPIRED	10			/* leases; fewer are no rate */

/* ---------- what tables tell ---------- */

/*
 * Raise an alert for each row (severity, workspace, subject, detail) of a query;
 * others of the type are over.
 */
static void
check_query(const char *type, const char *sql, int nargs, const Oid *types, const Datum *args)
{
	SPITupleTable *rows;
	uint64		n;

	fs_spi_begin();
	n = fs_spi(sql, nargs, types, args, NULL);
	rows = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
		fs_alert_raise(type, SPI_getvalue(rows->vals[i], rows->tupdesc, 1),
					   SPI_getvalue(rows->vals[i], rows->tupdesc, 2),
					   SPI_getvalue(rows->vals[i], rows->tupdesc, 3),
					   SPI_getvalue(rows->vals[i], rows->tupdesc, 4));
	fs_alert_resolve_rest(type, fs_alert_now());
	fs_spi_end();
}

static void
check_fairness(TimestampTz now)
{
	static const Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, FLOAT8OID, FLOAT8OID};
	Datum		args[4];

	args[0] = TimestampTzGetDatum(now - (int64) fs_alert_interval * USECS_PER_SEC);
	args[1] = TimestampTzGetDatum(now);
	args[2] = Float8GetDatum(fs_alert_min_share);
	args[3] = Float8GetDatum(fs_alert_min_weight);
	check_query("fairness_violation",
				"SELECT CASE WHEN part < 0.2 THEN 'critical' WHEN part < 0.5 THEN 'high' ELSE 'medium' END, workspace, "
				"CASE WHEN workspace IS NULL THEN tier END, "
				"format('got %s %% of its entitlement while it competed: %s of %s cost units', "
				"round((100 * part)::numeric, 1), round(competed::numeric), round(entitled::numeric)) "
				"FROM (SELECT workspace, tier, sum(competed) AS competed, sum(entitled) AS entitled, "
				"sum(competed) / nullif(sum(entitled), 0) AS part, max(tolerance) AS tolerance "
				"FROM fairsched.fairness_samples WHERE sampled_at > $1 AND sampled_at <= $2 "
				"AND scope IN ('tier', 'workspace') AND weight >= $4 GROUP BY scope, workspace, tier) s "
				"WHERE part < $3 AND entitled - competed > tolerance ORDER BY entitled - competed DESC LIMIT 1000",
				4, types, args);
	args[2] = Float8GetDatum(fs_alert_min_score);
	check_query("low_fairness_score",
				"SELECT CASE WHEN score < $3 / 2 THEN 'high' ELSE 'medium' END, NULL, NULL, "
				"format('the fairness score is %s; %s of %s cost units went to others than were entitled to them%s', "
				"round(score::numeric, 3), round(lacking::numeric), round(entitled::numeric), "
				"coalesce('; most of what is due lacked ' || worst, '')) "
				"FROM (SELECT 1 - sum(lacking) / nullif(sum(entitled), 0) AS score, sum(lacking) AS lacking, "
				"sum(entitled) AS entitled, (array_agg(worst_workspace ORDER BY lacking DESC))[1] AS worst "
				"FROM fairsched.fairness_samples WHERE sampled_at > $1 AND sampled_at <= $2 AND scope = 'all') s "
				"WHERE score < $3", 3, types, args);
	check_query("bound_exceeded",
				"SELECT DISTINCT ON (workspace) 'critical', workspace, NULL, "
				"format('lag %s is beyond the bound of %s; this is a defect of fairsched, please report it', "
				"round(lag::numeric, 1), round(bound::numeric, 1)) "
				"FROM fairsched.fairness_samples WHERE sampled_at > $1 AND sampled_at <= $2 AND scope = 'workspace' "
				"AND abs(lag) > bound ORDER BY workspace, abs(lag) / bound DESC LIMIT 1000", 2, types, args);
}

static void
check_quotas(void)
{
	check_query("quota_violation",
				"SELECT severity, workspace, resource || '/' || action, "
				"format('%s of %s: %s of a quota of %s, %s times', action, resource, trim_scale(actual), trim_scale(quota), "
				"occurrences) FROM fairsched.quota_violations WHERE resolved_at IS NULL AND action <> 'burst_allowed' "
				"ORDER BY last_seen DESC LIMIT 1000", 0, NULL, NULL);
}

/* ---------- what memory tells ---------- */

/* The head of a workspace's oldest ready list that is admissible. */
typedef struct FsOldest
{
	int32		workspace;
	int32		ring;
	int64		position;		/* the lowest it can be */
} FsOldest;

static int
by_position(const void *a, const void *b)
{
	int64		x = ((const FsOldest *) a)->position;
	int64		y = ((const FsOldest *) b)->position;

	return x < y ? -1 : x > y;
}

/*
 * Keep the OLDEST lowest positions of different workspaces: positions are given
 * out in the order in which jobs become ready, so these are the oldest jobs.
 */
static int
keep_oldest(FsOldest *oldest, int n, const FsOldest *one)
{
	for (int i = 0; i < n; i++)
		if (oldest[i].workspace == one->workspace)
		{
			if (one->position < oldest[i].position)
				oldest[i] = *one;
			return n;
		}
	if (n == OLDEST)
	{
		int			last = 0;

		for (int i = 1; i < n; i++)
			if (oldest[i].position > oldest[last].position)
				last = i;
		if (one->position < oldest[last].position)
			oldest[last] = *one;
		return n;
	}
	oldest[n] = *one;
	return n + 1;
}

/* The oldest ready jobs that no gate holds up. */
static int
find_oldest(FsDatabase *db, FsOldest *oldest)
{
	int			n = 0;
	int64		limit = PG_INT64_MAX;	/* what is not below is too young to
										 * be kept */

	for (int from = 0; from < fs->flows.high; from += PIECE)
	{
		CHECK_FOR_INTERRUPTS();
		FsLockShared();
		for (int f = from; f < Min(from + PIECE, fs->flows.high) && !db->drained; f++)
		{
			const FsFlow *flow = &fs_flows[f];
			FsOldest	one = {.position = PG_INT64_MAX};

			if (flow->member == FS_NONE || flow->why.park != FS_PARK_NONE ||
				(!flow->more && flow->cand_count == 0))
				continue;
			one.workspace = FsWorkspaceOfFlow(f);
			one.ring = fs_members[flow->member].ring;
			if (fs_workspaces[one.workspace].db != FsDbIndex(db) ||
				fs_workspaces[one.workspace].parked != FS_PARK_NONE)
				continue;
			for (int slot = 0; slot < FS_RANKS; slot++)
				if (!(flow->refused & (1 << FsSlotClass(slot))))
					one.position = Min(one.position, fs_sched_flow_head(flow, slot));
			if (one.position >= limit)
				continue;
			n = keep_oldest(oldest, n, &one);
			if (n == OLDEST)
			{
				limit = 0;
				for (int i = 0; i < n; i++)
					limit = Max(limit, oldest[i].position);
			}
		}
		FsUnlock();
	}
	qsort(oldest, n, sizeof(FsOldest), by_position);
	return n;
}

/* Of those that were found: since when their oldest job that no gate holds up is ready. */
typedef struct FsOldestFound
{
	TimestampTz *since;
	int16	   *place;			/* by workspace: in `since`, or -1 */
} FsOldestFound;

static bool
age_wanted(FsOldestWalk *walk, int32 flow)
{
	return ((FsOldestFound *) walk->extra)->place[FsWorkspaceOfFlow(flow)] >= 0;
}

static void
age_told(FsOldestWalk *walk, int32 workspace, const char *name, TimestampTz since)
{
	FsOldestFound *found = walk->extra;
	TimestampTz *known = &found->since[found->place[workspace]];

	*known = Min(*known, since);
}

static void
check_waiting(FsDatabase *db, TimestampTz now)
{
	FsOldest   *oldest = palloc(sizeof(FsOldest) * OLDEST);
	int			n = find_oldest(db, oldest);
	TimestampTz *since = palloc(sizeof(TimestampTz) * OLDEST);
	FsOldestFound found = {.since = since};
	FsOldestWalk walk = {
		.wanted = age_wanted,
		.told = age_told,
		.admissible = true,
		.extra = &found,
	};
	TimestampTz real = GetCurrentTimestamp();
	int64		longest = FsMsToUsec((int64) fs_alert_starvation * 1000);

	found.place = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(int16) * fs->workspaces.capacity);
	memset(found.place, -1, sizeof(int16) * fs->workspaces.capacity);
	for (int i = 0; i < n; i++)
	{
		since[i] = FS_SINCE_NOBODY;
		found.place[oldest[i].workspace] = i;
	}
	if (n > 0)
		fs_oldest_walk(&walk);
	fs_spi_begin();
	for (int i = 0; i < n; i++)
	{
		char		workspace[FS_NAME_LEN + 1] = "";
		char		lane[FS_NAME_LEN + 1] = "";
		bool		served = false;
		int64		age;
		char	   *detail;

		FsLockShared();
		if (fs_view_ours(FsDbIndex(db)) && fs_workspaces[oldest[i].workspace].db == FsDbIndex(db) &&
			fs_rings[oldest[i].ring].db == FsDbIndex(db))
		{
			strlcpy(workspace, fs_workspaces[oldest[i].workspace].name, sizeof(workspace));
			strlcpy(lane, fs_lanes[fs_rings[oldest[i].ring].lane].name, sizeof(lane));
			served = fs_holders_ring_served(oldest[i].ring, real);
		}
		FsUnlock();
		if (workspace[0] == '\0')
			continue;
		if (since[i] == FS_SINCE_NOBODY || since[i] == FS_SINCE_UNKNOWN)
			continue;
		age = now - since[i];
		if (age <= longest)
			continue;
		detail = psprintf("its oldest ready job has waited for " INT64_FORMAT " s, more than fairsched.alert_starvation (%d s)%s",
						  age / USECS_PER_SEC, fs_alert_starvation,
						  served ? "" : "; no live worker can do it");
		if (served)
			fs_alert_raise("starvation", age > 2 * longest ? "critical" : "high", workspace, lane, detail);
		else
			fs_alert_raise("no_capable_worker", "medium", workspace, lane, detail);
	}
	fs_spi_end();
	fs_alert_resolve_rest("starvation", fs_alert_now());
	fs_alert_resolve_rest("no_capable_worker", fs_alert_now());
}

/* Leases that ran out, since the last check of this process. */
static void
check_leases(FsDatabase *db)
{
	static int64 claims_before = 0;
	static int64 expired_before = 0;
	static TimestampTz of = 0;
	int64		claims;
	int64		expired;

	FsLockShared();
	claims = db->claims;
	expired = db->expired;
	FsUnlock();
	if (of != db->rebuilt_at)
		claims_before = expired_before = 0;
	of = db->rebuilt_at;
	claims -= claims_before;
	expired -= expired_before;
	claims_before += claims;
	expired_before += expired;
	if (expired >= MIN_EXPIRED && expired > fs_alert_expiry_rate * claims)
		fs_alert_raise("lease_expiry_rate", expired > 0.5 * claims ? "high" : "medium", NULL, NULL,
					   psprintf(INT64_FORMAT " leases ran out while " INT64_FORMAT " jobs were claimed", expired, claims));
	else
		fs_alert_resolve("lease_expiry_rate", NULL, NULL);
}

static void
check_scheduler(FsDatabase *db, TimestampTz now)
{
	FsTaskStatus *tasks = palloc(sizeof(FsTaskStatus) * FS_TASK_COUNT);
	TimestampTz due;
	int64		overdue = (int64) fs_alert_overdue * USECS_PER_SEC;

	FsLockShared();
	memcpy(tasks, db->tasks, sizeof(FsTaskStatus) * FS_TASK_COUNT);
	due = Min(db->next_due, db->next_expiry);
	FsUnlock();
	for (int i = 0; i < FS_TASK_COUNT; i++)
		if (tasks[i].failures >= fs_alert_task_failures)
			fs_alert_raise("task_failing", "high", NULL, FsTaskNames[i],
						   psprintf("failed %d times in a row: %s", tasks[i].failures, tasks[i].last_error));
	fs_alert_resolve_rest("task_failing", fs_alert_now());
	if (due < now - overdue)
		fs_alert_raise("due_backlog", due < now - 10 * overdue ? "critical" : "high", NULL, NULL,
					   psprintf("due jobs and leases wait for the scheduler since " INT64_FORMAT " s",
								(now - due) / USECS_PER_SEC));
	else
		fs_alert_resolve("due_backlog", NULL, NULL);
}

/* ---------- entry points ---------- */

/* fs_alert_check: everything, as of `now`. */
void
fs_alert_check(FsDatabase *db, TimestampTz now)
{
	fs_alert_at(now);
	PG_TRY();
	{
		check_fairness(now);
		check_waiting(db, now);
		check_quotas();
		check_leases(db);
		check_scheduler(db, now);
	}
	PG_FINALLY();
	{
		fs_alert_at(0);
	}
	PG_END_TRY();
}

/* fairsched.check_alerts(now) */
PG_FUNCTION_INFO_V1(fs_check_alerts);
Datum
fs_check_alerts(PG_FUNCTION_ARGS)
{
	fs_alert_check(fs_state_ready("fairsched.check_alerts"), PG_GETARG_TIMESTAMPTZ(0));
	PG_RETURN_VOID();
}

/* fs_alert_task: one check; returns when the next is due.  The first is one interval after the start. */
TimestampTz
fs_alert_task(FsDatabase *db)
{
	static TimestampTz next = 0;
	TimestampTz now = GetCurrentTimestamp();
	int64		interval = (int64) fs_alert_interval * USECS_PER_SEC;

	if (fs_alert_interval == 0)
		return now + USECS_PER_MINUTE;	/* off: look again whether it still is */
	if (next == 0)
		next = now + interval;
	if (now >= next || next > now + interval)
	{
		fs_alert_check(db, now);
		next = now + interval;
	}
	return next;
}
