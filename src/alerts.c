/*
 * alerts.c
 *		Alerts: what an operator should look at, kept in fairsched.alerts.
 *
 * An alert is open from when its cause is first seen until the cause is gone.
 * Of one (type, workspace, subject) at most one is open: a partial unique index
 * decides, and raising is one statement, so two sessions that raise the same
 * make one row.  Who looks for causes does so again and again (alert_check.c):
 * raising is a no-op but for a count and the time.
 *
 * Nothing of this is in shared memory, so it needs no lock of ours; the rows'
 * locks are held to the end of the transaction, which is short: that of a task.
 * Listeners are told of alerts that are new or over, when it commits (notify.c).
 */
#include "alerts.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "ledger.h"
#include "text.h"

static TimestampTz pretended = 0;

void
fs_alert_at(TimestampTz now)
{
	pretended = now;
}

TimestampTz
fs_alert_now(void)
{
	return pretended != 0 ? pretended : GetCurrentTimestamp();
}

static void
tell(FsEvent event, int64 n)
{
	int64		events[FS_EVENTS] = {0};

	if (n == 0 || !fs_notify)
		return;
	events[event] = n;
	fs_ledger_events(events, false);
}

static Datum
text_or_null(const char *s, char *null)
{
	*null = s == NULL ? 'n' : ' ';
	return s == NULL ? (Datum) 0 : CStringGetTextDatum(s);
}

void
fs_alert_raise(const char *type, const char *severity, const char *workspace, const char *subject,
			   const char *detail)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum		args[6];
	char		nulls[6];
	bool		isnull;

	args[0] = text_or_null(type, &nulls[0]);
	args[1] = text_or_null(severity, &nulls[1]);
	args[2] = text_or_null(workspace, &nulls[2]);
	args[3] = text_or_null(subject, &nulls[3]);
	args[4] = text_or_null(detail, &nulls[4]);
	args[5] = TimestampTzGetDatum(fs_alert_now());
	nulls[5] = ' ';
	fs_spi_begin();
	/* worse than when somebody acknowledged it: it is to be looked at again */
	fs_spi("INSERT INTO fairsched.alerts AS a (type, severity, workspace, subject, detail, first_seen, last_seen) "
		   "VALUES ($1, $2, $3, $4, $5, $6, $6) "
		   "ON CONFLICT (type, coalesce(workspace, ''), coalesce(subject, '')) WHERE resolved_at IS NULL DO UPDATE SET "
		   "severity = excluded.severity, detail = excluded.detail, occurrences = a.occurrences + 1, "
		   "last_seen = greatest(a.last_seen, excluded.last_seen), "
		   "acknowledged_at = CASE WHEN array_position('{low,medium,high,critical}', excluded.severity) <= "
		   "array_position('{low,medium,high,critical}', a.severity) THEN a.acknowledged_at END "
		   "RETURNING occurrences = 1",
		   6, types, args, nulls);
	tell(FS_EVENT_ALERT_RAISED,
		 DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)) ? 1 : 0);
	fs_spi_end();
}

void
fs_alert_resolve(const char *type, const char *workspace, const char *subject)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum		args[4];

	args[0] = CStringGetTextDatum(type);
	args[1] = CStringGetTextDatum(workspace ? workspace : "");
	args[2] = CStringGetTextDatum(subject ? subject : "");
	args[3] = TimestampTzGetDatum(fs_alert_now());
	fs_spi_begin();
	tell(FS_EVENT_ALERT_RESOLVED,
		 fs_spi("UPDATE fairsched.alerts SET resolved_at = $4 WHERE type = $1 AND coalesce(workspace, '') = $2 "
				"AND coalesce(subject, '') = $3 AND resolved_at IS NULL", 4, types, args, NULL));
	fs_spi_end();
}

void
fs_alert_resolve_rest(const char *type, TimestampTz since)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		args[3];

	args[0] = CStringGetTextDatum(type);
	args[1] = TimestampTzGetDatum(since);
	args[2] = TimestampTzGetDatum(fs_alert_now());
	fs_spi_begin();
	tell(FS_EVENT_ALERT_RESOLVED,
		 fs_spi("UPDATE fairsched.alerts SET resolved_at = $3 WHERE type = $1 AND last_seen < $2 AND resolved_at IS NULL",
				3, types, args, NULL));
	fs_spi_end();
}

/* ---------- for SQL ---------- */

static const char *
optional_text(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(arg));
}

PG_FUNCTION_INFO_V1(fs_raise_alert);
Datum
fs_raise_alert(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"type", "severity", NULL, NULL, "detail"};

	for (int i = 0; i < lengthof(names); i++)
		if (names[i] != NULL)
			fs_need_arg(fcinfo, i, names[i]);
	(void) fs_state_ready("fairsched.raise_alert");
	fs_alert_raise(optional_text(fcinfo, 0), optional_text(fcinfo, 1), optional_text(fcinfo, 2), optional_text(fcinfo, 3),
				   optional_text(fcinfo, 4));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(fs_resolve_alert);
Datum
fs_resolve_alert(PG_FUNCTION_ARGS)
{
	fs_need_arg(fcinfo, 0, "type");
	(void) fs_state_ready("fairsched.resolve_alert");
	fs_alert_resolve(optional_text(fcinfo, 0), optional_text(fcinfo, 1), optional_text(fcinfo, 2));
	PG_RETURN_VOID();
}
