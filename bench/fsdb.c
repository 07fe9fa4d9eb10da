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
	static char buf[4][256];
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

void
drop_db(void)
{
	for (int i = 0; i < 20; i++)
	{
		PGresult   *res = PQexec(control, "DROP DATABASE IF EXISTS " DB " WITH (FORCE)");
		bool		ok = PQresultStatus(res) == PGRES_COMMAND_OK;

		PQclear(res);
		if (ok)
			return;
		usleep(250000);
	}
	give_up("drop database", PQerrorMessage(control));
}

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
	{
		sql(c, "CREATE TABLE base ("
			" id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
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
			" autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_threshold = 2000000000)");
		sql(c, "CREATE INDEX base_ready ON base (priority, id) WHERE state = 0");
	}
	PQfinish(c);
}

/*
 * load: jobs first … first + n - 1, job i in workspace ws(base_ws + i mod workspaces),
 * one in ten of a higher and one in ten of a lower priority when mixed.  Two
 * connections, 25,000 jobs a transaction.
 */
void
load(System sys, long n, int base_ws, int workspaces, bool mixed)
{
	PGconn	   *c[2];
	long		next = 0;
	const char *pri = mixed
		? "(ARRAY[1,2,2,2,2,2,2,2,2,3])[1 + abs(hashint8(i) % 10)]" : "2";

	c[0] = connect_or_give_up(DB);
	c[1] = connect_or_give_up(DB);
	while (next < n)
	{
		bool		sent[2] = {false, false};

		for (int k = 0; k < 2 && next < n; k++)
		{
			long		m = n - next < 25000 ? n - next : 25000;
			char		s[1024];

			snprintf(s, sizeof(s),
					 "INSERT INTO %s (workspace, priority, payload)"
					 " SELECT 'ws' || (%d + i %% %d), %s,"
					 " ('{\"n\": ' || i || ', \"path\": \"/srv/data/incoming/' ||"
					 " lpad(i::text, 8, '0') || '/part.bin\", \"kind\": \"sha256\"}')::jsonb"
					 " FROM generate_series(%ld, %ld) i",
					 sys == SYS_FS ? "fairsched.inbox" : "base", base_ws, workspaces,
					 sys == SYS_FS ? (mixed ? "'P' || (ARRAY[1,2,2,2,2,2,2,2,2,3])[1 + abs(hashint8(i) % 10)]"
									  : "'P2'") : pri,
					 next, next + m - 1);
			if (!PQsendQuery(c[k], s))
				give_up("load", PQerrorMessage(c[k]));
			sent[k] = true;
			next += m;
		}
		for (int k = 0; k < 2; k++)
		{
			PGresult   *res;

			while (sent[k] && (res = PQgetResult(c[k])) != NULL)
			{
				ExecStatusType st = PQresultStatus(res);

				PQclear(res);
				if (st != PGRES_COMMAND_OK)
					give_up("load", PQerrorMessage(c[k]));
			}
		}
	}
	PQfinish(c[0]);
	PQfinish(c[1]);
}

void
settle(void)
{
	PGconn	   *c = connect_or_give_up(DB);

	sql(c, "VACUUM (ANALYZE)");
	PQfinish(c);
}

/* A fresh database with n jobs, ready to be measured. */
void
prepare_db(System sys, long n, int workspaces)
{
	create_db(sys);
	load(sys, n, 0, workspaces, true);
	settle();
}
