/*
 * budget_events.c
 *		Events of budgets: each threshold that is crossed, and its return, once.
 *
 * Notices are in memory, in the order of the commits that made them; a bit in
 * fairsched.budget_totals decides whether an event is written, so one that is
 * seen twice is written once, and one that was lost (a crash, a full list) is
 * found by comparing bits with what memory says is crossed.
 *
 * With the event an alert is raised, and resolved when the threshold is armed
 * again (alerts.c).
 *
 * Called in a transaction without fs->lock, under the lock of the task
 * (budget_task.c); may raise.
 */
#include "budget_task.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "alerts.h"
#include "amount.h"
#include "text.h"

static bool
spi_bool(const char *sql, int nargs, const Oid *types, const Datum *values)
{
	bool		isnull;

	return fs_spi(sql, nargs, types, values, NULL) == 1 &&
		DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)) && !isnull;
}

static void
add_event(const FsBudgetNotice *n, const char *type, int32 ppm, const char *action, int jobs, int classes)
{
	static const Oid types[10] = {TEXTOID, TEXTOID, TEXTOID, INT8OID, INT8OID, INT8OID, TEXTOID, INT4OID,
	TEXTARRAYOID, TIMESTAMPTZOID};
	Datum		values[10];
	char		nulls[11] = "          ";

	values[0] = CStringGetTextDatum(n->set.name);
	values[1] = CStringGetTextDatum(n->set.workspace);
	values[2] = CStringGetTextDatum(type);
	values[3] = Int64GetDatum(ppm);
	nulls[3] = ppm == METER_NEVER ? 'n' : ' ';
	values[4] = Int64GetDatum(n->set.amount);
	values[5] = Int64GetDatum(n->spent);
	values[6] = CStringGetTextDatum(action);
	values[7] = Int32GetDatum(jobs);
	values[8] = fs_class_names(classes);
	values[9] = TimestampTzGetDatum(n->at);
	fs_spi("SELECT fairsched.add_budget_event($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", 10, types, values, nulls);
}

/* ---------- alerts: one for each threshold that is crossed, as long as it is ---------- */

static const char *const alert_types[METER_THRESHOLDS] = {
	"budget_warn", "budget_throttle", "budget_preempt", "budget_paused"
};
static const char *const alert_severities[METER_THRESHOLDS] = {"low", "medium", "high", "critical"};

static void
raise_alert(const FsBudgetNotice *n, int t)
{
	FsBudgetAction action = n->set.action[t];
	char		spent[32];
	char		amount[32];
	char	   *detail;

	fs_amount_text(n->spent, spent, sizeof(spent));
	fs_amount_text(n->set.amount, amount, sizeof(amount));
	detail = psprintf("budget \"%s\": %s of %s %s spent (%.2f %%), action: %s; %d running jobs name it",
					  n->set.name, spent, amount, n->set.dimension, 100.0 * n->spent / n->set.amount,
					  FsBudgetActionNames[action], n->running);
	fs_alert_raise(alert_types[t], action == FS_BUDGET_PAUSE_ALL ? "critical" : alert_severities[t],
				   n->set.workspace[0] ? n->set.workspace : NULL, n->set.name, detail);
}

/* The open alerts of a type, of one budget or (name NULL) of budgets that are gone. */
static void
resolve_alerts(const char *type, const char *name)
{
	static const Oid types[2] = {TEXTOID, TEXTOID};
	Datum		values[2] = {CStringGetTextDatum(type), name ? CStringGetTextDatum(name) : (Datum) 0};
	char		nulls[3] = {' ', name ? ' ' : 'n', '\0'};
	SPITupleTable *found;
	uint64		n;

	fs_spi_begin();
	/* the budget may have been of another workspace then */
	n = fs_spi("SELECT workspace, subject FROM fairsched.alerts a WHERE type = $1 AND resolved_at IS NULL AND "
			   "CASE WHEN $2 IS NULL THEN NOT EXISTS (SELECT FROM fairsched.budgets b "
			   "WHERE b.budget OPERATOR(pg_catalog.=) a.subject) ELSE subject OPERATOR(pg_catalog.=) $2 END",
			   2, types, values, nulls);
	found = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
		fs_alert_resolve(type, SPI_getvalue(found->vals[i], found->tupdesc, 1),
						 SPI_getvalue(found->vals[i], found->tupdesc, 2));
	fs_spi_end();
}

/* ---------- events ---------- */

/* fs_budget_write_crossed: the events of thresholds that were crossed, and what is to happen. */
void
fs_budget_write_crossed(FsDatabase *db, const FsBudgetNotice *n)
{
	static const Oid types[3] = {INT4OID, INT4OID, INT4OID};

	for (int t = 0; t < METER_THRESHOLDS; t++)
	{
		Datum		values[3] = {Int32GetDatum(n->set.id), Int32GetDatum(METER_BIT(t)), Int32GetDatum(n->set.period)};
		FsBudgetAction action = n->set.action[t];
		int			classes = 0;
		int			jobs = n->running;

		if (!(n->mask & METER_BIT(t)) ||
			!spi_bool("SELECT fairsched.take_crossing($1, $2, $3)", 3, types, values))
			continue;
		if (fs_budget_classes(action))
			jobs = fs_budget_preempt(db, &n->set, fs_budget_classes(action), (double) n->spent / n->set.amount,
									 (double) n->set.ppm[t] / METER_MILLION, &classes);
		add_event(n, FsThresholdNames[t], n->set.ppm[t], FsBudgetActionNames[action], jobs, classes);
		raise_alert(n, t);
	}
}

/* fs_budget_write_armed: thresholds are not crossed any more: their events are resolved. */
void
fs_budget_write_armed(const FsBudgetNotice *n)
{
	static const Oid types[5] = {INT4OID, TEXTOID, INT4OID, INT4OID, TIMESTAMPTZOID};
	Datum		values[5] = {Int32GetDatum(n->id), CStringGetTextDatum(n->set.name), Int32GetDatum((int32) n->mask),
	Int32GetDatum(n->set.period), TimestampTzGetDatum(n->at)};
	bool		isnull;
	int32		was;

	fs_spi("SELECT fairsched.arm_thresholds($1, $2, $3, $4, $5)", 5, types, values, NULL);
	was = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	for (int t = 0; t < METER_THRESHOLDS; t++)
		if (n->mask & METER_BIT(t))
			resolve_alerts(alert_types[t], n->set.name);
	if ((was & n->pausing) && !n->paused && n->set.id != 0)
		add_event(n, "resume", METER_NEVER, "resume", n->running, 0);
}

/*
 * fs_budget_compare: notices were lost, or memory is new: what is crossed is compared with what is
 * written.  Nothing else is left to be written; what is crossed meanwhile may be
 * found here and come as a notice too, and is written once all the same.
 */
void
fs_budget_compare(FsDatabase *db)
{
	int32		slot = FsDbIndex(db);
	uint64		n;
	FsBudgetRow *rows = fs_budget_read_rows(&n);

	/* of budgets that are gone, in case nobody came to it at the time */
	fs_spi_begin();
	fs_spi("SELECT fairsched.resolve_gone_budgets()", 0, NULL, NULL, NULL);
	fs_spi_end();
	for (int t = 0; t < METER_THRESHOLDS; t++)
		resolve_alerts(alert_types[t], NULL);
	for (uint64 i = 0; i < n; i++)
	{
		FsBudgetNotice notice = {.at = GetCurrentTimestamp()};
		unsigned	crossed;
		unsigned	armed;
		int32		b;

		FsLock();
		b = fs_budget_find(slot, rows[i].set.name);
		if (b == FS_NONE || fs_budgets[b].set.id != rows[i].set.id)
		{
			FsUnlock();
			continue;
		}
		fs_budget_describe(b, &notice);
		crossed = fs_budgets[b].meter.crossed;
		FsUnlock();

		/*
		 * what was crossed in an earlier period was armed by the reset,
		 * whether or not it is crossed again
		 */
		armed = rows[i].crossed & (rows[i].crossed_period == notice.set.period ? ~crossed : ~0u);
		notice.pausing = fs_budget_pausing(&notice.set);
		fs_spi_begin();
		if (armed)
		{
			bool		paused = notice.paused;

			/* after that reset it was not paused */
			if (rows[i].crossed_period != notice.set.period)
				notice.paused = false;
			notice.mask = armed;
			fs_budget_write_armed(&notice);
			notice.paused = paused;
		}
		notice.mask = crossed;
		fs_budget_write_crossed(db, &notice);
		fs_spi_end();
		CHECK_FOR_INTERRUPTS();
	}
	pfree(rows);
}
