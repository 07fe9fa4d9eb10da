/*
 * fsrestart.c: scenarios of restart and memory.
 */
#include "fsbench.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
server(const char *command)
{
	const char *script = getenv("FSBENCH_SERVER");
	char		cmd[512];

	if (script == NULL)
		give_up("rebuild", "FSBENCH_SERVER names no script that takes \"start\", \"stop\" and \"crash\"");
	snprintf(cmd, sizeof(cmd), "%s %s >/dev/null", script, command);
	if (system(cmd) != 0)
		give_up(cmd, "failed");
}

/* rebuild: restart with so many jobs; those that were loaded already stay when `loaded`. */
static void
rebuild(long jobs, long running, bool loaded, const char *key)
{
	static const char *const how[] = {"stop", "crash"};
	char		v[96];
	Run			r = new_run(SYS_FS, M_CLAIM_ONLY, 100);

	if (!loaded)
		prepare_db(SYS_FS, jobs, 1000, MIXED);
	r.max_jobs = (uint64_t) running;
	r.seconds = 30;
	r.warmup = 0;
	r.session_sql = NULL;
	run_load(&r, control, postmaster_pid);
	if (!r.ok)
		give_up("claim", r.error);
	for (int k = 0; k < 2; k++)
	{
		uint64_t	t0,
					t1,
					t2,
					end;
		PGconn	   *c = NULL;
		int			n = 0;
		char		running_now[32];

		PQfinish(control);
		control = NULL;
		server(how[k]);
		t0 = now_ns();
		server("start");
		end = now_ns() + UINT64_C(120000000000);
		for (;;)
		{
			c = connect_db(DB);
			if (PQstatus(c) == CONNECTION_OK || now_ns() > end)
				break;
			disconnect(c);
			usleep(2000);
		}
		control = connect_db("postgres");
		find_postmaster();
		t1 = now_ns();
		while (n == 0 && now_ns() < end)
		{
			PGresult   *res = PQexec(c, "SELECT job_id FROM fairsched_claim(worker => 'after')");

			if (PQresultStatus(res) != PGRES_TUPLES_OK)
				give_up("first claim", PQerrorMessage(c));
			n = PQntuples(res);
			PQclear(res);
			if (n == 0)
				usleep(1000);
		}
		t2 = now_ns();
		snprintf(running_now, sizeof(running_now), "%s",
				 value(c, "SELECT sum(running) FROM fairsched.workspace_status"));
		disconnect(c);
		snprintf(v, sizeof(v), "%ld jobs, %ld running, after %s", jobs, running,
				 k ? "immediate stop" : "clean stop");
		fact(v, "first claim %.2f s after the first connection, %.2f s after the start command; running says %s",
			 (double) (t2 - t1) / 1e9, (double) (t2 - t0) / 1e9, running_now);
		reach(key, (double) (t2 - t1) / 1e9);
	}
}

void
sc_rebuild(void)
{
	if (!skip(SYS_FS))
		rebuild(1000000, 5000, false, "rebuild1m");
}

void
sc_rebuild10m(void)
{
	if (!skip(SYS_FS))
		rebuild(10000000, 10000, have_10m, "rebuild10m");
}

/* Shared memory, as bench/sizes has measured it on servers of their own, and what the documentation says. */
void
sc_shm(void)
{
	char	   *sizes = getenv("FSBENCH_SIZES") ? strdup(getenv("FSBENCH_SIZES")) : NULL;
	int			wrong = 0,
				rows = 0;

	if (skip(SYS_FS))
		return;
	fact("fairsched.max_workspaces, max_running", "%s, %s", value(control, "SHOW fairsched.max_workspaces"),
		 value(control, "SHOW fairsched.max_running"));
	fact("entries named fairsched in pg_shmem_allocations", "%s",
		 value(control, "SELECT coalesce(pg_size_pretty(sum(allocated_size)), 'none')"
			   " FROM pg_shmem_allocations WHERE name ILIKE 'fairsched%%'"));
	for (char *line = sizes ? strtok(sizes, "\n") : NULL; line; line = strtok(NULL, "\n"))
	{
		char	   *name = line;
		char	   *documented = strchr(name, '\t');
		char	   *measured = documented ? strchr(documented + 1, '\t') : NULL;

		if (measured == NULL)
			continue;
		*documented++ = 0;
		*measured++ = 0;
		if (!strcmp(name, "whole"))
		{
			fact("shared memory for 100,000 workspaces, 10,000 running",
				 "%s MB (shared_memory_size with − without the library)", measured);
			reach("shm.128", atof(measured));
			continue;
		}
		fact(name, "%s%s%s", measured, strcmp(documented, measured) ? ", in the documentation " : "",
			 strcmp(documented, measured) ? documented : "");
		wrong += strcmp(documented, measured) != 0;
		rows++;
	}
	if (rows > 0)
		reach("shm.docs", wrong);
	free(sizes);
}

/* Private memory of one session that claims and completes many jobs. */
void
sc_memory(void)
{
	long		jobs = opt.full ? 1000000 : 200000;
	PGconn	   *c;
	long		done = 0,
				early = 0,
				late;
	PGresult   *res;

	if (skip(SYS_FS))
		return;
	prepare_db(SYS_FS, jobs, 1000, MIXED);
	c = connect_or_give_up(DB);
	PQclear(PQprepare(c, "claim", "SELECT array_agg(job_id), array_agg(token)"
					  " FROM fairsched_claim(worker => 'memory', max_jobs => 100)", 0, NULL));
	PQclear(PQprepare(c, "done", "SELECT fairsched_complete_many(job_ids => $1, tokens => $2)", 0, NULL));
	for (;;)
	{
		const char *v[2];

		res = PQexecPrepared(c, "claim", 0, NULL, NULL, NULL, 0);
		if (PQresultStatus(res) != PGRES_TUPLES_OK)
			give_up("claim", PQerrorMessage(c));
		if (PQgetisnull(res, 0, 0))
			break;
		v[0] = PQgetvalue(res, 0, 0);
		v[1] = PQgetvalue(res, 0, 1);
		PQclear(PQexecPrepared(c, "done", 2, v, NULL, NULL, 0));
		PQclear(res);
		done += 100;
		if (done == jobs / 5)
			early = anon_kb(PQbackendPID(c));
	}
	PQclear(res);
	late = anon_kb(PQbackendPID(c));
	disconnect(c);
	fact("private memory of one session", "%ld kB after %ld claims, %ld kB after %ld", early, jobs / 5, late, done);
	reach("memory", (double) (late - early));
}
