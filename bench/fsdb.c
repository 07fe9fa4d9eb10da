/*
 * fsdb.c: what the scenarios do to the server outside of a measurement.
 *
 * Every measurement starts from a database created for it and dropped after it,
 * loaded with jobs that arrive interleaved over the workspaces, and vacuumed.
 *
 * The baseline is the queue that people write by hand, not detuned: one narrow
 * table, a partial index that is exactly the claim's order, room for updates on
 * the page, autovacuum that follows closely and never sleeps, a LIMIT the planner
 * can see, plans that stay index plans when the table runs empty.
 */
#include "fsbench.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

PGconn	   *control;
int			postmaster_pid;
bool		have_10m = false;

void
give_up(const char *what, const char *message)
{
	note_failure(what, message);
	longjmp(scenario_end, 1);
}

char *
vformat(const char *fmt, va_list ap)
{
	char	   *s;

	if (vasprintf(&s, fmt, ap) < 0)
		abort();
	return s;
}

/* Run SQL; an error ends the scenario. */
void sql(PGconn *c, const char *fmt,...) __attribute__((format(printf, 2, 3)));
void
sql(PGconn *c, const char *fmt,...)
{
	va_list		ap;
	char	   *s;
	PGresult   *res;
	ExecStatusType st;

	va_start(ap, fmt);
	s = vformat(fmt, ap);
	va_end(ap);
	res = PQexec(c, s);
	st = PQresultStatus(res);
	PQclear(res);
	if (st != PGRES_COMMAND_OK && st != PGRES_TUPLES_OK)
		give_up(s, PQerrorMessage(c));
	free(s);
}

/* The first value of a query's result, in a static buffer; "" for none. */
const char *value(PGconn *c, const char *fmt,...) __attribute__((format(printf, 2, 3)));
const char *
value(PGconn *c, const char *fmt,...)
{
	static char buf[4][1024];
	static int	turn;
	va_list		ap;
	char	   *s;
	PGresult   *res;
	char	   *b = buf[turn++ % 4];

	va_start(ap, fmt);
	s = vformat(fmt, ap);
	va_end(ap);
	res = PQexec(c, s);
	if (PQresultStatus(res) != PGRES_TUPLES_OK)
	{
		PQclear(res);
		give_up(s, PQerrorMessage(c));
	}
	snprintf(b, sizeof(buf[0]), "%s", PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
	PQclear(res);
	free(s);
	return b;
}

PGconn *
connect_or_give_up(const char *db)
{
	PGconn	   *c = connect_db(db);

	if (PQstatus(c) != CONNECTION_OK)
		give_up("connect", PQerrorMessage(c));
	PQclear(PQexec(c, "SET client_min_messages = warning"));
	return c;
}

void
find_postmaster(void)
{
	postmaster_pid = parent_pid(PQbackendPID(control));
	if (postmaster_pid <= 1)
	{
		fprintf(stderr, "fsbench: the server must run on this machine\n");
		exit(1);
	}
}

void
set_guc(const char *name, const char *val)
{
	if (!opt.have_fs && strncmp(name, "fairsched.", 10) == 0)
		return;
	if (val)
		sql(control, "ALTER SYSTEM SET %s = '%s'", name, val);
	else
		sql(control, "ALTER SYSTEM RESET %s", name);
	sql(control, "SELECT pg_reload_conf()");
	usleep(100000);
}

bool
has_setting(const char *name)
{
	return strcmp(value(control, "SELECT count(*) FROM pg_settings WHERE name = '%s'", name), "1") == 0;
}

/* Drop a database; sessions that are just ending may hold it for a moment. */
static void
drop(const char *name)
{
	char		s[128];

	snprintf(s, sizeof(s), "DROP DATABASE IF EXISTS %s WITH (FORCE)", name);
	for (int i = 0; i < 20; i++)
	{
		PGresult   *res = PQexec(control, s);
		bool		ok = PQresultStatus(res) == PGRES_COMMAND_OK;

		PQclear(res);
		if (ok)
			return;
		usleep(250000);
	}
	give_up("drop database", PQerrorMessage(control));
}

void
drop_db(void)
{
	drop(DB);
	have_10m = false;
}

/* The baseline's indexes come after loading, in settle(). */
void
create_db(System sys)
{
	PGconn	   *c;

	drop_db();
	sql(control, "CREATE DATABASE " DB);
	c = connect_or_give_up(DB);
	if (sys == SYS_FS)
		sql(c, "CREATE EXTENSION fairsched");
	else
		sql(c, "CREATE TABLE base ("
			" id bigint GENERATED ALWAYS AS IDENTITY,"
			" workspace text NOT NULL,"
			" priority smallint NOT NULL DEFAULT 2,"
			" state smallint NOT NULL DEFAULT 0,"
			" attempt int NOT NULL DEFAULT 0,"
			" payload jsonb NOT NULL,"
			" worker text,"
			" lease_expires_at timestamptz,"
			" created_at timestamptz NOT NULL DEFAULT now())"
			" WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0,"
			" autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_insert_threshold = 100000,"
			" autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_threshold = 2000000000);"
			"CREATE TABLE floor (x int) WITH (autovacuum_enabled = off)");
	disconnect(c);
}

#define MAX_LOADERS		8
#define LOAD_CHUNK		2000	/* jobs a transaction */

/*
 * load_with: n jobs for the workspaces from ws(base_ws) on, with one more column,
 * an SQL expression over `i`, the job's number; or NULL.  A connection for each core,
 * so jobs of all workspaces arrive interleaved, and side by side.
 */
void
load_with(System sys, long n, int base_ws, int workspaces, Arrival arrival, const char *column, const char *value)
{
	PGconn	   *c[MAX_LOADERS];
	long		cores = sysconf(_SC_NPROCESSORS_ONLN);
	int			loaders = cores < 2 ? 2 : cores > MAX_LOADERS ? MAX_LOADERS : (int) cores;
	const char *turn = arrival == RANDOM ? "abs(hashint8extended(i, 1) %"
		: arrival == GROUPS ? "(i / 20 %" : "(i %";
	const char *priority = arrival == MIXED ? "(ARRAY[1,2,2,2,2,2,2,2,2,3])[1 + abs(hashint8(i) % 10)]" : "2";
	char		message[512] = "";

	for (int k = 0; k < loaders; k++)
	{
		char		s[1024];

		c[k] = connect_or_give_up(DB);
		sql(c[k], "SET synchronous_commit = off");
		snprintf(s, sizeof(s),
				 "DO $$ DECLARE first bigint := %ld; BEGIN WHILE first < %ld LOOP"
				 " INSERT INTO %s (workspace, priority, payload%s%s)"
				 " SELECT 'ws' || (%d + %s %d)), %s%s,"
				 " ('{\"n\": ' || i || ', \"path\": \"/srv/data/incoming/' ||"
				 " lpad(i::text, 8, '0') || '/part.bin\", \"kind\": \"sha256\"}')::jsonb%s%s"
				 " FROM generate_series(first, least(first + %d, %ld) - 1) i;"
				 " COMMIT; first := first + %d; END LOOP; END $$",
				 (long) k * LOAD_CHUNK, n, sys == SYS_FS ? "fairsched.inbox" : "base", column ? ", " : "",
				 column ? column : "", base_ws, turn, workspaces, sys == SYS_FS ? "'P' || " : "", priority,
				 column ? ", " : "", column ? value : "", LOAD_CHUNK, n, loaders * LOAD_CHUNK);
		if (!PQsendQuery(c[k], s))
			give_up("load", PQerrorMessage(c[k]));
	}
	for (int k = 0; k < loaders; k++)
	{
		PGresult   *res;

		while ((res = PQgetResult(c[k])) != NULL)
		{
			if (PQresultStatus(res) != PGRES_COMMAND_OK)
				snprintf(message, sizeof(message), "%s", PQresultErrorMessage(res));
			PQclear(res);
		}
		disconnect(c[k]);
	}
	if (message[0])
		give_up("load", message);
}

void
load(System sys, long n, int base_ws, int workspaces, Arrival arrival)
{
	load_with(sys, n, base_ws, workspaces, arrival, NULL, NULL);
}

/*
 * settle: indexes of the baseline, then visibility and statistics.  The small
 * sample of ANALYZE is enough for plans that are kept on the indexes anyway.
 */
void
settle(void)
{
	PGconn	   *c = connect_or_give_up(DB);

	if (value(c, "SELECT 1 FROM pg_class WHERE relname = 'base'")[0])
	{
		sql(c, "SET maintenance_work_mem = '512MB'");
		sql(c, "ALTER TABLE base ADD PRIMARY KEY (id)");
		sql(c, "CREATE INDEX base_ready ON base (priority, id) WHERE state = 0");
	}
	sql(c, "SET default_statistics_target = 10");
	sql(c, "VACUUM (ANALYZE)");
	disconnect(c);
}

/* ---- copies of a loaded database ---- */

/*
 * Loading costs more than measuring, so a database that is measured several
 * times is loaded once, set aside, and copied.  A copy is warmed up to what a
 * loaded one is: its pages in shared buffers, fairsched's memory built and its
 * queues counted.  Copying logs all pages, so that none of them is logged whole
 * again in the measurement.
 */
static void
warm(void)
{
	PGconn	   *c = connect_or_give_up(DB);

	sql(c, "SELECT sum(pg_prewarm(oid)) FROM pg_class WHERE relkind IN ('r', 'i')"
		" AND relname ~ '^(base|jobs_[0-9])' AND relpages > 0");
	if (value(c, "SELECT 1 FROM pg_extension WHERE extname = 'fairsched'")[0])
	{
		uint64_t	end = now_ns() + UINT64_C(60000000000);

		/* the scheduler does it as well, but may not be there yet */
		sql(c, "SELECT fairsched_cancel(0)");
		while (strcmp(value(c, "SELECT counted FROM fairsched.database_status"), "t") != 0)
		{
			if (now_ns() > end)
				give_up("warm", "queues were not counted within 60 s");
			usleep(5000);
		}
	}
	disconnect(c);
}

/* from_stock: make the database a copy of what was set aside as `name`; false = there is none. */
bool
from_stock(const char *name)
{
	if (!value(control, "SELECT 1 FROM pg_database WHERE datname = 'fsbench_%s'", name)[0])
		return false;
	drop_db();
	sql(control, "CREATE DATABASE " DB " TEMPLATE fsbench_%s STRATEGY wal_log", name);
	warm();
	return true;
}

/* to_stock: set the settled database aside as `name`, and go on with a copy. */
void
to_stock(const char *name)
{
	PGconn	   *c = connect_or_give_up(DB);

	sql(c, "CREATE EXTENSION IF NOT EXISTS pg_prewarm");
	disconnect(c);
	sql(control, "ALTER DATABASE " DB " RENAME TO fsbench_%s", name);
	from_stock(name);
}

void
drop_stock(void)
{
	const char *name;

	while ((name = value(control, "SELECT datname FROM pg_database WHERE datname ~ '^fsbench_'"
						 " AND datname <> '" DB "' LIMIT 1"))[0])
		drop(name);
}

/* ---- the usual databases ---- */

/* A fresh database with n jobs, ready to be measured. */
void
prepare_db(System sys, long n, int workspaces, Arrival arrival)
{
	create_db(sys);
	load(sys, n, 0, workspaces, arrival);
	settle();
}

/* The same, when more than one such database will be asked for in this scenario. */
void
prepare_copy(System sys, long n, int workspaces, Arrival arrival)
{
	char		name[48];

	snprintf(name, sizeof(name), "%s_%ld_%d_%d", sys == SYS_FS ? "fs" : "base", n, workspaces, (int) arrival);
	if (from_stock(name))
		return;
	prepare_db(sys, n, workspaces, arrival);
	to_stock(name);
}
