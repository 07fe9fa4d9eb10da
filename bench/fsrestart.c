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

static void
rebuild(long jobs, long running, double most)
{
	static const char *const how[] = {"stop", "crash"};
	char		v[96];
	Run			r = new_run(SYS_FS, M_CLAIM_ONLY, 100);

	create_db(SYS_FS);
	load(SYS_FS, jobs, 0, 1000, true);
	settle();
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
			PQfinish(c);
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
		PQfinish(c);
		snprintf(v, sizeof(v), "%ld jobs, %ld running, after %s", jobs, running,
				 k ? "immediate stop" : "clean stop");
		fact(v, "first claim %.2f s after the first connection, %.2f s after the start command; running says %s",
			 (double) (t2 - t1) / 1e9, (double) (t2 - t0) / 1e9, running_now);
		snprintf(v, sizeof(v), "rebuild of %ldM jobs, %ld running (%s)", jobs / 1000000, running, how[k]);
		check_max(v, (double) (t2 - t1) / 1e9, most, " s");
	}
}

void
sc_rebuild(void)
{
	if (!skip(SYS_FS))
		rebuild(1000000, 5000, 3);
}

void
sc_rebuild10m(void)
{
	if (!skip(SYS_FS))
		rebuild(10000000, 10000, 10);
}

void
sc_shm(void)
{
	if (skip(SYS_FS))
		return;
	fact("fairsched.max_workspaces, max_running", "%s, %s", value(control, "SHOW fairsched.max_workspaces"),
		 value(control, "SHOW fairsched.max_running"));
	fact("entries named fairsched in pg_shmem_allocations", "%s",
		 value(control, "SELECT coalesce(pg_size_pretty(sum(allocated_size)), 'none')"
			   " FROM pg_shmem_allocations WHERE name ILIKE 'fairsched%%'"));
	if (getenv("FSBENCH_SHM_WITH") && getenv("FSBENCH_SHM_WITHOUT"))
	{
		double		mb = atof(getenv("FSBENCH_SHM_WITH")) - atof(getenv("FSBENCH_SHM_WITHOUT"));

		fact("shared memory for 100,000 workspaces, 10,000 running", "%.0f MB (shared_memory_size with − without the library)", mb);
		check_max("shared memory for 100,000 workspaces, 10,000 running", mb, 128, " MB");
	}
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
	prepare_db(SYS_FS, jobs, 1000);
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
	PQfinish(c);
	fact("private memory of one session", "%ld kB after %ld claims, %ld kB after %ld", early, jobs / 5, late, done);
	check_max("growth of a session over its claims", (double) (late - early), 256, " kB");
}
