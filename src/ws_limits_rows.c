/*
 * ws_limits_rows.c
 *		What tables say of limits: see ws_limits_rows.h.
 */
#include "ws_limits_rows.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "amount.h"
#include "text.h"

StaticAssertDecl(offsetof(FsLimitPart, workspace) == 0 && offsetof(FsUsed, workspace) == 0 &&
				 offsetof(FsBooked, workspace) == 0 && offsetof(FsPastBreach, workspace) == 0 &&
				 offsetof(FsCrossing, workspace) == 0 && offsetof(FsSavedRate, workspace) == 0,
				 "found by their workspace, which is their first field");

/* ---------- in the order of workspaces ---------- */

static int
by_workspace(const void *a, const void *b)
{
	return strcmp(a, b);
}

void
fs_limits_sort(void *array, int n, Size size)
{
	if (n > 1)
		qsort(array, n, size, by_workspace);
}

int
fs_limits_first(const void *array, int n, Size size, const char *workspace)
{
	int			low = 0;

	while (low < n)
	{
		int			mid = (low + n) / 2;

		if (strcmp((const char *) array + mid * size, workspace) < 0)
			low = mid + 1;
		else
			n = mid;
	}
	return low;
}

/* ---------- rows of a query ---------- */

/* What is made of rows: an array of entries of one type. */
typedef struct Entries
{
	Size		size;			/* of one */
	int			n;
	void	   *array;
} Entries;

/* Makes an entry, whose workspace is set already and the rest 0, of row i of SPI_tuptable; false: it is left out. */
typedef bool (*FillEntry) (uint64 i, void *entry);

/*
 * Entries of the rows of a query, whose first column is the workspace, after
 * those that are there.  `workspace` is $1 of the condition, which is left out
 * where it is NULL.
 */
static void
read_rows(Entries *entries, const char *sql, const char *condition, const char *workspace, FillEntry fill)
{
	MemoryContext mine = CurrentMemoryContext;
	Oid			types[1] = {TEXTOID};
	Datum		args[1];
	uint64		rows;
	Size		room;

	fs_spi_begin();
	if (workspace)
		args[0] = CStringGetTextDatum(workspace);
	rows = fs_spi(psprintf(sql, workspace ? condition : ""), workspace ? 1 : 0, types, args, NULL);
	room = entries->size * (entries->n + rows + 1);
	entries->array = entries->array ? repalloc_huge(entries->array, room) : MemoryContextAllocHuge(mine, room);
	for (uint64 i = 0; i < rows; i++)
	{
		char	   *entry = (char *) entries->array + entries->n * entries->size;
		bool		isnull;

		memset(entry, 0, entries->size);
		strlcpy(entry, TextDatumGetCString(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)),
				FS_NAME_LEN + 1);
		if (fill(i, entry))
			entries->n++;
	}
	fs_spi_end();
}

/* A column that is not null, of a row of SPI_tuptable. */
static Datum
column(uint64 i, int n)
{
	bool		isnull;

	return SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, n, &isnull);
}

/* As text; NULL: null. */
static char *
text_column(uint64 i, int n)
{
	bool		isnull;
	Datum		d = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, n, &isnull);

	return isnull ? NULL : TextDatumGetCString(d);
}

/* As a time; 0: null. */
static TimestampTz
time_column(uint64 i, int n)
{
	bool		isnull;
	Datum		d = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, n, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(d);
}

/* ---------- what is set ---------- */

static bool
fill_quota(uint64 i, void *entry)
{
	FsLimitPart *p = entry;
	int			r = fs_resource_by_name(text_column(i, 2));

	p->part = p->set.has = FsResourceBit(r);
	p->set.quota[r].quota = fs_amount_numeric(column(i, 3), "quota", FS_QUOTA_MAX, false);
	p->set.quota[r].burst = fs_amount_numeric(column(i, 4), "burst", FS_QUOTA_MAX, false);
	p->set.quota[r].burst_usec = fs_interval_usec(column(i, 5), "burst_duration", false);
	p->set.quota_since[r] = time_column(i, 6);
	return true;
}

static bool
fill_rate_limit(uint64 i, void *entry)
{
	FsLimitPart *p = entry;

	p->part = p->set.has = FS_LIMIT_RATE;
	p->set.max_claims = DatumGetInt32(column(i, 2));
	p->set.period = fs_interval_usec(column(i, 3), "per", false);
	p->set.jitter = fs_interval_usec(column(i, 4), "jitter", true);
	return true;
}

static uint32
resource_mask(Datum array)
{
	Datum	   *elems;
	bool	   *nulls;
	int			n;
	uint32		mask = 0;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		int			r = nulls[i] ? -1 : fs_resource_by_name(TextDatumGetCString(elems[i]));

		if (r >= 0)
			mask |= FsResourceBit(r);
	}
	return mask;
}

static bool
fill_throttle(uint64 i, void *entry)
{
	FsLimitPart *p = entry;
	const char *preempt = text_column(i, 6);

	p->part = p->set.has = FS_LIMIT_THROTTLE;
	p->set.throttle = DatumGetBool(column(i, 2));
	p->set.threshold = DatumGetFloat8(column(i, 3));
	p->set.throttle_usec = fs_interval_usec(column(i, 4), "duration", false);
	p->set.throttle_mask = resource_mask(column(i, 5));
	if (preempt)
		p->set.preempt = strcmp(preempt, "P3") == 0 ? 1u << 3 : 1u << 3 | 1u << 2;
	p->set.off_at = time_column(i, 7);
	return true;
}

FsLimitPart *
fs_limits_read_parts(const char *workspace, int *count)
{
	Entries		parts = {.size = sizeof(FsLimitPart)};
	const char *of = " WHERE workspace = $1";

	read_rows(&parts, "SELECT workspace, resource, quota, burst, burst_duration, created_at "
			  "FROM fairsched.workspace_quotas%s", of, workspace, fill_quota);
	read_rows(&parts, "SELECT workspace, max_claims, period, jitter FROM fairsched.workspace_rate_limits%s", of,
			  workspace, fill_rate_limit);
	read_rows(&parts, "SELECT workspace, enabled, threshold, duration, resources, preempt, off_at "
			  "FROM fairsched.workspace_throttles%s", of, workspace, fill_throttle);
	fs_limits_sort(parts.array, parts.n, parts.size);
	*count = parts.n;
	return parts.array;
}

/* ---------- what was used ---------- */

static bool
fill_used(uint64 i, void *entry)
{
	FsUsed	   *u = entry;

	u->resource = fs_resource_by_name(text_column(i, 2));
	u->at = time_column(i, 3);
	u->amount = fs_amount_numeric(column(i, 4), "usage", FS_AMOUNT_MAX, true);
	return true;
}

FsUsed *
fs_limits_read_used(const char *workspace, int *count)
{
	Entries		used = {.size = sizeof(FsUsed)};
	const char *of = " AND workspace = $1";

	/*
	 * a slice is 1350 s; both epochs are whole numbers of slices apart; 4e12
	 * is FS_AMOUNT_MAX
	 */
	read_rows(&used, "SELECT workspace, resource, max(recorded_at), least(sum(amount), 4e12) "
			  "FROM fairsched.workspace_usage WHERE recorded_at > clock_timestamp() - interval '1 day 23 min' "
			  "AND resource IN ('tokens', 'cost')%s "
			  "GROUP BY workspace, resource, floor(extract(epoch FROM recorded_at) / 1350)", of, workspace, fill_used);
	read_rows(&used, "SELECT workspace, resource, updated_at, level FROM fairsched.workspace_levels WHERE true%s", of,
			  workspace, fill_used);
	fs_limits_sort(used.array, used.n, used.size);
	*count = used.n;
	return used.array;
}

static bool
fill_rate(uint64 i, void *entry)
{
	FsSavedRate *rate = entry;
	int64	   *counts = fs_int8_array(column(i, 4), &rate->n, "counts");

	rate->width = DatumGetInt64(column(i, 2));
	rate->head = DatumGetInt64(column(i, 3));
	rate->n = Min(rate->n, FS_WINDOW_KEPT);
	memcpy(rate->count, counts, sizeof(int64) * rate->n);
	rate->epoch = DatumGetInt64(column(i, 5));
	rate->booked = DatumGetInt64(column(i, 6)) == GetWALInsertionTimeLine();
	return true;
}

FsSavedRate *
fs_limits_read_rates(int *count)
{
	Entries		rates = {.size = sizeof(FsSavedRate)};

	read_rows(&rates, "SELECT workspace, width, head, counts, epoch, timeline FROM fairsched.rate_windows%s", "", NULL,
			  fill_rate);
	fs_limits_sort(rates.array, rates.n, rates.size);
	*count = rates.n;
	return rates.array;
}

static bool
fill_booked(uint64 i, void *entry)
{
	FsBooked   *booked = entry;

	booked->claims = DatumGetInt64(column(i, 2));
	booked->epoch = DatumGetInt64(column(i, 3));
	return true;
}

FsBooked *
fs_limits_read_booked(int *count)
{
	Entries		booked = {.size = sizeof(FsBooked)};

	read_rows(&booked, "SELECT workspace, sum(claims)::bigint, max(epoch) "
			  "FROM fairsched.rate_bookings%s GROUP BY workspace",
			  "", NULL, fill_booked);
	fs_limits_sort(booked.array, booked.n, booked.size);
	*count = booked.n;
	return booked.array;
}

/* ---------- what happened ---------- */

static bool
fill_breach(uint64 i, void *entry)
{
	FsPastBreach *past = entry;
	int			r = fs_resource_by_name(text_column(i, 2));
	const char *action = text_column(i, 3);

	past->resource = r;
	past->kind = FS_BREACH_REJECT;
	while (past->kind < FS_BREACH_KINDS - 1 && strcmp(FsBreachNames[past->kind], action) != 0)
		past->kind++;
	past->first = time_column(i, 4);
	past->last = time_column(i, 5);
	past->resolved = time_column(i, 6);
	return r >= 0;
}

FsPastBreach *
fs_limits_read_breaches(int *count)
{
	Entries		past = {.size = sizeof(FsPastBreach)};

	read_rows(&past, "SELECT workspace, resource, action, first_seen, last_seen, coalesce(resolved_at, 'infinity') "
			  "FROM fairsched.quota_violations WHERE resolved_at IS NULL "
			  "OR (action = 'burst_allowed' AND resolved_at > clock_timestamp() - interval '1 hour')%s", "", NULL,
			  fill_breach);
	*count = past.n;
	return past.array;
}

static bool
fill_crossing(uint64 i, void *entry)
{
	FsCrossing *past = entry;
	int			r = fs_resource_by_name(text_column(i, 2));
	const char *state = text_column(i, 3);

	past->resource = r;
	past->state = FS_CROSSING_CROSSED;
	while (past->state < FS_CROSSING_BELOW && strcmp(FsCrossingNames[past->state], state) != 0)
		past->state++;
	past->seen_at = time_column(i, 4);
	past->crossed_at = time_column(i, 5);
	past->until = time_column(i, 6);
	past->quota_since = time_column(i, 7);
	past->off_at = time_column(i, 8);
	return r >= 0;
}

FsCrossing *
fs_limits_read_crossings(int *count)
{
	Entries		past = {.size = sizeof(FsCrossing)};

	read_rows(&past, "SELECT workspace, resource, state, seen_at, crossed_at, throttled_until, quota_since, "
			  "throttle_off_at FROM fairsched.quota_crossings%s "
			  "ORDER BY state <> 'crossed' DESC, crossed_at NULLS FIRST", "", NULL,
			  fill_crossing);
	*count = past.n;
	return past.array;
}
