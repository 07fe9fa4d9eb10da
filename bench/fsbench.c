/*
 * fsbench.c: options, the list of scenarios, and the order in which they run.
 *
 * Repetitions are interleaved: first repetition of every system, then the second,
 * so that a slow minute of the machine hits all of them.  Figures are medians.
 */
#include "fsbench.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Options		opt = {.clients = 8,.out_dir = "."};
jmp_buf		scenario_end;
const char *scenario_name = "";
int			failures = 0;
static uint64_t measuring_ns;

Run
new_run(System sys, Mode mode, int batch)
{
	Run			r;

	memset(&r, 0, sizeof(r));
	r.dbname = DB;
	r.sys = sys;
	r.mode = mode;
	r.batch = batch;
	r.clients = opt.clients;
	r.seconds = 2;
	r.workspaces = 1000;
	r.warmup = 7;				/* generic plans come with the sixth execution */
	return r;
}

void
go(Run *r, const char *variant, const char *system)
{
	uint64_t	t = now_ns();

	run_load(r, control, postmaster_pid);
	measuring_ns += now_ns() - t;
	record(variant, system, r);
}

int
reps(int quick, int in_full)
{
	return opt.reps ? opt.reps : opt.full ? in_full : quick;
}

double
secs(double quick, double in_full)
{
	return opt.seconds > 0 ? opt.seconds : opt.full ? in_full : quick;
}

bool
skip(System sys)
{
	return sys == SYS_FS ? !opt.have_fs || opt.only_base : opt.only_fs;
}

const char *
sys_name(System sys)
{
	return sys == SYS_FS ? "fairsched" : "baseline";
}

static const struct
{
	const char *name;
	void		(*run) (void);
	char		in;				/* q: quick and full, f: full only */
	const char *what;
}			scenarios[] =
{
	{"drain1", sc_drain1, 'q', "claim and complete one by one, 8 clients"},
	{"drain100", sc_drain100, 'q', "the same, 100 a call"},
	{"groups", sc_groups, 'f', "the same where tenants enqueue 20 jobs at a time"},
	{"checkpoint", sc_checkpoint, 'f', "batch 100 right after a checkpoint: full page images"},
	{"enqueue", sc_enqueue, 'q', "one by one, 1,000 a call, COPY"},
	{"workspaces", sc_workspaces, 'q', "10, 1,000, 100,000 workspaces"},
	{"backlog", sc_backlog, 'q', "10 thousand and 1 million jobs waiting"},
		{"held", sc_held, 'q', "enqueue + claim + complete under a held snapshot"},
	{"hot", sc_hot, 'q', "one tenant's flood before 1,000 small tenants"},
	{"jain", sc_jain, 'q', "service against weight, 20 tenants of four tiers"},
	{"limits", sc_limits, 'f', "weights and ceilings on against off"},
	{"gates", sc_gates, 'f', "all gates set against none, jobs that declare needs"},
	{"refused", sc_refused, 'f', "beside 50,000 jobs that are refused"},
	{"dashboard", sc_dashboard, 'f', "beside somebody who reads five views of 2,000 workspaces each second"},
	{"conn64", sc_conn64, 'q', "64 connections against 8"},
	{"own500", sc_own500, 'f', "500 workspaces with tables of their own"},
	{"wakeup", sc_wakeup, 'q', "from commit of an enqueue to an idle worker"},
	{"shm", sc_shm, 'q', "shared memory"},
	{"memory", sc_memory, 'f', "private memory of a session over 1M claims"},
	{"rebuild", sc_rebuild, 'f', "restart with 1M jobs, 5,000 running"},
	{"backlog10m", sc_backlog10m, 'f', "10 million jobs waiting"},
	{"rebuild10m", sc_rebuild10m, 'f', "restart with 10M jobs, 10,000 running"},
};

#define NSCENARIOS	((int) (sizeof(scenarios) / sizeof(scenarios[0])))

/* Run something that may give_up, and say whether it did not; setjmp wants a frame without live locals. */
static bool
attempt(void (*what) (void))
{
	if (setjmp(scenario_end) != 0)
		return false;
	what();
	return true;
}

/* What a scenario that failed has left set. */
static void
reset_settings(void)
{
	if (PQstatus(control) != CONNECTION_OK)
		return;
	sql(control, "ALTER SYSTEM RESET ALL");
	sql(control, "SELECT pg_reload_conf()");
}

static void
look_for_fairsched(void)
{
	opt.have_fs = atoi(value(control, "SELECT count(*) FROM pg_available_extensions"
						 " WHERE name = 'fairsched'")) > 0 &&
		strstr(value(control, "SHOW shared_preload_libraries"), "fairsched") != NULL;
}

static void
usage(void)
{
	printf("fsbench [--full] [--reps N] [--seconds S] [--clients N] [--baseline-only | --fairsched-only] [--out DIR] [SCENARIO ...]\n"
		   "The server is found by PGHOST, PGPORT, PGUSER; it must run on this machine. Scenarios:\n");
	for (int i = 0; i < NSCENARIOS; i++)
		printf("  %-12s %s%s\n", scenarios[i].name, scenarios[i].what,
			   scenarios[i].in == 'q' ? "" : " (full only)");
}

int
main(int argc, char **argv)
{
	const char *names[64];
	int			n = 0;

	for (int i = 1; i < argc; i++)
	{
		const char *a = argv[i];

		if (!strcmp(a, "--full"))
			opt.full = true;
		else if (!strcmp(a, "--baseline-only"))
			opt.only_base = true;
		else if (!strcmp(a, "--fairsched-only"))
			opt.only_fs = true;
		else if (!strcmp(a, "--reps") && i + 1 < argc)
			opt.reps = atoi(argv[++i]);
		else if (!strcmp(a, "--seconds") && i + 1 < argc)
			opt.seconds = atof(argv[++i]);
		else if (!strcmp(a, "--clients") && i + 1 < argc)
			opt.clients = atoi(argv[++i]);
		else if (!strcmp(a, "--out") && i + 1 < argc)
			opt.out_dir = argv[++i];
		else if (a[0] == '-' || n == 64)
		{
			usage();
			return strcmp(a, "--help") != 0;
		}
		else
			names[n++] = a;
	}
	if (opt.reps > MAX_REPS || opt.clients < 1 || opt.clients > MAX_CLIENTS)
	{
		fprintf(stderr, "fsbench: at most %d repetitions and %d clients\n", MAX_REPS, MAX_CLIENTS);
		return 1;
	}
	for (int k = 0; k < n; k++)
	{
		int			i = 0;

		while (i < NSCENARIOS && strcmp(names[k], scenarios[i].name))
			i++;
		if (i == NSCENARIOS)
		{
			fprintf(stderr, "fsbench: there is no scenario \"%s\"\n", names[k]);
			return 1;
		}
	}

	control = connect_db("postgres");
	if (PQstatus(control) != CONNECTION_OK)
	{
		fprintf(stderr, "fsbench: %s", PQerrorMessage(control));
		return 1;
	}
	PQclear(PQexec(control, "SET client_min_messages = warning"));
	find_postmaster();
	reports_open();

	attempt(look_for_fairsched);
	if (!opt.have_fs)
		printf("fairsched is not installed or not preloaded in this server: baseline only\n");

	for (int i = 0; i < NSCENARIOS; i++)
	{
		bool		wanted = n == 0 && (scenarios[i].in == 'q' || (opt.full && scenarios[i].in == 'f'));
		uint64_t	t = now_ns();

		for (int k = 0; k < n; k++)
			wanted |= !strcmp(names[k], scenarios[i].name);
		if (!wanted)
			continue;
		scenario_name = scenarios[i].name;
		printf("%s: %s\n", scenario_name, scenarios[i].what);
		fflush(stdout);
		measuring_ns = 0;
		if (!attempt(scenarios[i].run))
			attempt(reset_settings);
		if (PQstatus(control) != CONNECTION_OK)
		{
			PQfinish(control);
			for (int tries = 0; tries < 60; tries++)
			{
				control = connect_db("postgres");
				if (PQstatus(control) == CONNECTION_OK)
					break;
				if (tries < 59)
					PQfinish(control);
				usleep(500000);
			}
			find_postmaster();
			attempt(reset_settings);
		}
		attempt(drop_stock);
		printf("  (%.0f s, %.0f of them the runs)\n", (double) (now_ns() - t) / 1e9, (double) measuring_ns / 1e9);
	}
	scenario_name = "end";
	attempt(drop_db);
	reports_close();
	PQfinish(control);
	return failures > 0 ? 2 : 0;
}
