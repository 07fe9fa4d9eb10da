/*
 * fsbench.c: the scenarios of the benchmark, what each one sets up, and reports.
 *
 * Every measurement starts from a database created for it and dropped after it,
 * loaded with jobs that arrive interleaved over the workspaces, and vacuumed.
 * Repetitions are interleaved: first repetition of every system, then the second,
 * so that a slow minute of the machine hits all of them.  Figures are medians.
 *
 * The baseline is the queue that people write by hand, not detuned: one narrow
 * table, a partial index that is exactly the claim's order, room for updates on
 * the page, autovacuum that follows closely and never sleeps, a LIMIT the planner
 * can see, plans that stay index plans when the table runs empty.
 *
 * Output: a table on stdout while it runs, and in --out DIR raw.tsv (every
 * repetition), summary.tsv (medians), series.tsv (jobs/s over time), facts.tsv
 * (single figures) and checks.tsv (targets).  bench/run makes the page of them.
 */
#include "fsbench.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DB				"fsbench_run"
#define MAX_REPS		16
#define MAX_ROWS		128
#define HUGE_CEILING	"100000"

static PGconn *control;
static int	postmaster_pid;
static bool full = false;
static int	reps_wanted = 0;
static double seconds_wanted = 0;
static int	clients_wanted = 8;
static bool have_fs = false;
static bool only_base = false;
static bool only_fs = false;
static const char *out_dir = ".";
static FILE *raw_file,
		   *series_file,
		   *facts_file;
static jmp_buf scenario_end;
static const char *scenario_name = "";
static int	failures = 0;

/* ---- talking to the server ---- */

static void
give_up(const char *what, const char *message)
{
	size_t		n = strlen(message);

	while (n > 0 && message[n - 1] == '\n')
		n--;
	printf("  FAILED %s: %s: %.*s\n", scenario_name, what, (int) n, message);
	fprintf(facts_file, "%s\tFAILED\t%s\n", scenario_name, what);
	fflush(stdout);
	failures++;
	longjmp(scenario_end, 1);
}

static char *vformat(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
static char *
vformat(const char *fmt, va_list ap)
{
	char	   *s;

	if (vasprintf(&s, fmt, ap) < 0)
		abort();
	return s;
}

/* Run SQL; an error ends the scenario. */
static void sql(PGconn *c, const char *fmt,...) __attribute__((format(printf, 2, 3)));
static void
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
static const char *value(PGconn *c, const char *fmt,...) __attribute__((format(printf, 2, 3)));
static const char *
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

static PGconn *
connect_or_give_up(const char *db)
{
	PGconn	   *c = connect_db(db);

	if (PQstatus(c) != CONNECTION_OK)
		give_up("connect", PQerrorMessage(c));
	PQclear(PQexec(c, "SET client_min_messages = warning"));
	return c;
}

static void
find_postmaster(void)
{
	postmaster_pid = parent_pid(PQbackendPID(control));
	if (postmaster_pid <= 1)
	{
		fprintf(stderr, "fsbench: the server must run on this machine\n");
		exit(1);
	}
}

static void
set_guc(const char *name, const char *val)
{
	if (!have_fs && strncmp(name, "fairsched.", 10) == 0)
		return;
	if (val)
		sql(control, "ALTER SYSTEM SET %s = '%s'", name, val);
	else
		sql(control, "ALTER SYSTEM RESET %s", name);
	sql(control, "SELECT pg_reload_conf()");
	usleep(100000);
}

static void
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

static void
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
static void
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

static void
settle(void)
{
	PGconn	   *c = connect_or_give_up(DB);

	sql(c, "VACUUM (ANALYZE)");
	PQfinish(c);
}

/* A fresh database with n jobs, ready to be measured. */
static void
prepare_db(System sys, long n, int workspaces)
{
	create_db(sys);
	load(sys, n, 0, workspaces, true);
	settle();
}

/* ---- results ---- */

static const struct
{
	const char *name;
	size_t		offset;
}			metric[] =
{
	{"jobs_s", offsetof(Run, jobs_s)},
	{"cpu_us", offsetof(Run, cpu_us)},
	{"cpu_backend_us", offsetof(Run, cpu_backend_us)},
	{"claim_cpu_us", offsetof(Run, claim_cpu_us)},
	{"done_cpu_us", offsetof(Run, done_cpu_us)},
	{"wal_bytes", offsetof(Run, wal_bytes)},
	{"claim_p50", offsetof(Run, claim_p50)},
	{"claim_p99", offsetof(Run, claim_p99)},
	{"done_p50", offsetof(Run, done_p50)},
	{"done_p99", offsetof(Run, done_p99)},
	{"enq_p50", offsetof(Run, enq_p50)},
	{"enq_p99", offsetof(Run, enq_p99)},
	{"client_cpu_us", offsetof(Run, client_cpu_us)},
};

#define NMETRICS	((int) (sizeof(metric) / sizeof(metric[0])))

typedef struct Row
{
	char		scenario[32];
	char		variant[48];
	char		system[32];
	int			n;
	double		v[NMETRICS][MAX_REPS];
} Row;

static Row	rows[MAX_ROWS];
static int	nrows;

static Row *
find_row(const char *scenario, const char *variant, const char *system)
{
	for (int i = 0; i < nrows; i++)
		if (!strcmp(rows[i].scenario, scenario) && !strcmp(rows[i].variant, variant) &&
			!strcmp(rows[i].system, system))
			return &rows[i];
	return NULL;
}

static int
compare_double(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return x < y ? -1 : x > y;
}

static double
median(const double *v, int n)
{
	double		s[MAX_REPS];

	if (n == 0)
		return NAN;
	memcpy(s, v, sizeof(double) * (size_t) n);
	qsort(s, (size_t) n, sizeof(double), compare_double);
	return n % 2 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2;
}

/* Median of a metric of a row, NAN if it was not measured. */
static double
med(const char *scenario, const char *variant, const char *system, const char *name)
{
	Row		   *r = find_row(scenario, variant, system);

	for (int m = 0; r && m < NMETRICS; m++)
		if (!strcmp(metric[m].name, name))
			return median(r->v[m], r->n);
	return NAN;
}

static void
record(const char *variant, const char *system, Run *r)
{
	Row		   *row = find_row(scenario_name, variant, system);

	if (!r->ok)
	{
		printf("  %-26s %-22s ", variant, system);
		give_up("run", r->error);
	}
	if (row == NULL && nrows < MAX_ROWS)
	{
		row = &rows[nrows++];
		snprintf(row->scenario, sizeof(row->scenario), "%s", scenario_name);
		snprintf(row->variant, sizeof(row->variant), "%s", variant);
		snprintf(row->system, sizeof(row->system), "%s", system);
	}
	if (row && row->n < MAX_REPS)
	{
		for (int m = 0; m < NMETRICS; m++)
			row->v[m][row->n] = *(double *) ((char *) r + metric[m].offset);
		row->n++;
	}
	printf("  %-26s %-22s %9.0f jobs/s  cpu %7.1f us  claim %6.1f done %6.1f  wal %5.0f B"
		   "  claim p50 %7.0f p99 %7.0f  done p50 %7.0f p99 %7.0f us\n",
		   variant, system, r->jobs_s, r->cpu_us, r->claim_cpu_us, r->done_cpu_us, r->wal_bytes,
		   r->claim_p50, r->claim_p99, r->mode >= M_ENQUEUE && r->mode <= M_COPY ? r->enq_p50 : r->done_p50,
		   r->mode >= M_ENQUEUE && r->mode <= M_COPY ? r->enq_p99 : r->done_p99);
	if (r->not_mine)
		printf("    note: %lu completions were refused\n", (unsigned long) r->not_mine);
	fprintf(raw_file, "%s\t%s\t%s", scenario_name, variant, system);
	for (int m = 0; m < NMETRICS; m++)
		fprintf(raw_file, "\t%.3f", *(double *) ((char *) r + metric[m].offset));
	fprintf(raw_file, "\t%lu\t%.3f\n", (unsigned long) r->jobs, r->elapsed);
	fflush(stdout);
	fflush(raw_file);
}

static void fact(const char *name, const char *fmt,...) __attribute__((format(printf, 2, 3)));
static void
fact(const char *name, const char *fmt,...)
{
	va_list		ap;
	char	   *s;

	va_start(ap, fmt);
	s = vformat(fmt, ap);
	va_end(ap);
	printf("  %-50s %s\n", name, s);
	fprintf(facts_file, "%s\t%s\t%s\n", scenario_name, name, s);
	fflush(stdout);
	fflush(facts_file);
	free(s);
}

/* Single figures that have a target; kept until the end. */
static struct
{
	char		what[96];
	char		target[64];
	char		got[64];
	int			pass;			/* -1: not measured */
}			checks[64];
static int	nchecks;

static void check(const char *what, const char *target, int pass, const char *fmt,...)
__attribute__((format(printf, 4, 5)));
static void
check(const char *what, const char *target, int pass, const char *fmt,...)
{
	va_list		ap;

	if (nchecks >= 64)
		return;
	snprintf(checks[nchecks].what, sizeof(checks[0].what), "%s", what);
	snprintf(checks[nchecks].target, sizeof(checks[0].target), "%s", target);
	checks[nchecks].pass = pass;
	va_start(ap, fmt);
	vsnprintf(checks[nchecks].got, sizeof(checks[0].got), fmt, ap);
	va_end(ap);
	nchecks++;
}

static void
check_min(const char *what, double got, double least, const char *unit)
{
	char		t[64];

	snprintf(t, sizeof(t), "≥ %g%s", least, unit);
	if (!isnan(got))
		check(what, t, got >= least, got >= 1000 ? "%.0f%s" : "%.3g%s", got, unit);
}

static void
check_max(const char *what, double got, double most, const char *unit)
{
	char		t[64];

	snprintf(t, sizeof(t), "≤ %g%s", most, unit);
	if (!isnan(got))
		check(what, t, got <= most, got >= 1000 ? "%.0f%s" : "%.3g%s", got, unit);
}

static Run
new_run(System sys, Mode mode, int batch)
{
	Run			r;

	memset(&r, 0, sizeof(r));
	r.dbname = DB;
	r.sys = sys;
	r.mode = mode;
	r.batch = batch;
	r.clients = clients_wanted;
	r.seconds = 2;
	r.workspaces = 1000;
	r.warmup = 7;				/* generic plans come with the sixth execution */
	return r;
}

static void
go(Run *r, const char *variant, const char *system)
{
	run_load(r, control, postmaster_pid);
	record(variant, system, r);
}

static int
reps(int quick, int in_full)
{
	return reps_wanted ? reps_wanted : full ? in_full : quick;
}

static double
secs(double quick, double in_full)
{
	return seconds_wanted > 0 ? seconds_wanted : full ? in_full : quick;
}

static bool
skip(System sys)
{
	return sys == SYS_FS ? !have_fs || only_base : only_fs;
}

static const char *
sys_name(System sys)
{
	return sys == SYS_FS ? "fairsched" : "baseline";
}

/* ---- scenarios ---- */

/* Jobs to load so that a run of s seconds does not run dry. */
static long
supply(System sys, int batch, double s, bool fast)
{
	double		rate = batch == 1 ? 15000 : sys == SYS_BASE ? 160000 : 300000;

	if (fast)
		rate *= 1.5;
	return (long) (rate * s) + 20000;
}

static void
drain(int batch, bool extras)
{
	static const struct
	{
		const char *name;
		System		sys;
		Mode		mode;
		bool		pipeline;
		bool		soft;		/* fairsched.durable_claims = off */
		bool		extra;
	}			ways[] =
	{
		{"baseline", SYS_BASE, M_DRAIN, false, false, false},
		{"fairsched", SYS_FS, M_DRAIN, false, false, false},
		{"fairsched one commit", SYS_FS, M_ONE_TX, false, false, false},
		{"fairsched not durable", SYS_FS, M_DRAIN, false, true, false},
		{"baseline one commit", SYS_BASE, M_ONE_TX, false, false, true},
		{"baseline pipelined", SYS_BASE, M_DRAIN, true, false, true},
		{"fairsched pipelined", SYS_FS, M_DRAIN, true, false, true},
	};
	char		variant[32];
	double		s = batch == 1 ? secs(1.5, 4) : secs(1.2, 3);
	int			n = reps(3, 3);

	snprintf(variant, sizeof(variant), "batch %d", batch);
	for (int rep = 0; rep < n; rep++)
		for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++)
		{
			Run			r;

			if (skip(ways[w].sys) || (ways[w].extra && !extras))
				continue;
			prepare_db(ways[w].sys, supply(ways[w].sys, batch, s, ways[w].mode == M_ONE_TX || ways[w].soft), 1000);
			r = new_run(ways[w].sys, ways[w].mode, batch);
			r.pipeline = ways[w].pipeline;
			r.seconds = s;
			if (ways[w].soft)
				set_guc("fairsched.durable_claims", "off");
			run_load(&r, control, postmaster_pid);
			if (ways[w].soft)
				set_guc("fairsched.durable_claims", NULL);
			record(variant, ways[w].name, &r);
		}
}

static void
sc_drain1(void)
{
	drain(1, full);
}

static void
sc_drain100(void)
{
	drain(100, full);
}

/* WAL right after a checkpoint, when each page touched first is logged whole. */
static void
sc_checkpoint(void)
{
	for (int rep = 0; rep < reps(1, 3); rep++)
		for (System sys = SYS_BASE; sys <= SYS_FS; sys++)
		{
			Run			r = new_run(sys, M_DRAIN, 100);

			if (skip(sys))
				continue;
			r.seconds = secs(1, 2);
			prepare_db(sys, supply(sys, 100, r.seconds, false), 1000);
			sql(control, "CHECKPOINT");
			go(&r, "batch 100", sys_name(sys));
		}
}

static void
sc_enqueue(void)
{
	static const struct
	{
		const char *name;
		Mode		mode;
		int			batch;
	}			ways[] = {{"one by one", M_ENQUEUE, 1}, {"1,000 a call", M_ENQUEUE_MANY, 1000},
	{"COPY of 1,000", M_COPY, 1000}};

	for (int rep = 0; rep < reps(3, 3); rep++)
		for (int w = 0; w < 3; w++)
			for (System sys = SYS_BASE; sys <= SYS_FS; sys++)
			{
				Run			r = new_run(sys, ways[w].mode, ways[w].batch);

				if (skip(sys))
					continue;
				r.seconds = secs(0.7, 3);
				prepare_db(sys, 1000, 1000);
				go(&r, ways[w].name, sys_name(sys));
			}
}

static void
sc_workspaces(void)
{
	static const int counts[] = {10, 1000, 100000};
	long		jobs = full ? 1000000 : 200000;

	set_guc("fairsched.default_quota", HUGE_CEILING);
	for (int rep = 0; rep < reps(1, 3); rep++)
		for (int k = 0; k < 3; k++)
		{
			Run			r;
			char		v[48];

			if (skip(SYS_FS) || (counts[k] == 1000 && !full))
				continue;
			prepare_db(SYS_FS, jobs, counts[k]);
			r = new_run(SYS_FS, M_DRAIN, 1);
			r.seconds = secs(1.5, 3);
			snprintf(v, sizeof(v), "%d, batch 1", counts[k]);
			go(&r, v, "fairsched");
			r = new_run(SYS_FS, M_DRAIN, 100);
			r.seconds = secs(1.2, 2);
			r.max_jobs = (uint64_t) (jobs * 6 / 10);
			snprintf(v, sizeof(v), "%d, batch 100", counts[k]);
			go(&r, v, "fairsched");
		}
	set_guc("fairsched.default_quota", NULL);
}

/*
 * The backlog is kept constant by enqueueing what is claimed, so that a small one
 * can be measured as long as a large one; look at the CPU of the claim alone.
 */
static void
sc_backlog(void)
{
	long		counts[] = {10000, 1000000, full ? 5000000 : 0};

	for (int rep = 0; rep < reps(1, 2); rep++)
		for (int k = 0; k < 3; k++)
			for (System sys = SYS_BASE; sys <= SYS_FS; sys++)
			{
				char		v[48];

				if (skip(sys) || counts[k] == 0 ||
					(sys == SYS_BASE && counts[k] > (full ? 1000000 : 10000)))
					continue;
				prepare_db(sys, counts[k], 1000);
				for (int batch = 1; batch <= 100; batch *= 100)
				{
					Run			r = new_run(sys, M_CYCLE, batch);

					r.seconds = secs(1.2, 3);
					snprintf(v, sizeof(v), "%ld, batch %d", counts[k], batch);
					go(&r, v, sys_name(sys));
				}
			}
}

static void
sc_backlog10m(void)
{
	Run			r;

	if (skip(SYS_FS))
		return;
	prepare_db(SYS_FS, 10000000, 1000);
	r = new_run(SYS_FS, M_CYCLE, 1);
	r.seconds = secs(3, 3);
	go(&r, "10000000, batch 1", "fairsched");
	r = new_run(SYS_FS, M_CYCLE, 100);
	r.seconds = secs(3, 3);
	go(&r, "10000000, batch 100", "fairsched");
}

/* Steady enqueue + claim + complete while one session keeps its snapshot. */
static void
sc_held(void)
{
	double		s = secs(8, 60);
	int			window = s >= 30 ? 5 : 2;
	double		last[2] = {NAN, NAN};

	for (System sys = SYS_BASE; sys <= SYS_FS; sys++)
	{
		Run			r = new_run(sys, M_CYCLE, 10);
		PGconn	   *holder;
		double		a = 0,
					b = 0;
		int			n = (int) s;

		if (skip(sys))
			continue;
		r.seconds = s;
		prepare_db(sys, 10000, 1000);
		holder = connect_or_give_up(DB);
		sql(holder, "BEGIN ISOLATION LEVEL REPEATABLE READ");
		sql(holder, "SELECT count(*) FROM pg_class");
		go(&r, "batch 10", sys_name(sys));
		PQfinish(holder);
		for (int i = 0; i < n && i < MAX_SERIES; i++)
		{
			fprintf(series_file, "%s\t%s\t%d\t%lu\n", scenario_name, sys_name(sys), i,
					(unsigned long) r.series[i]);
			if (i < window)
				a += (double) r.series[i] / window;
			if (i >= n - window)
				b += (double) r.series[i] / window;
		}
		last[sys] = b;
		fact(sys == SYS_BASE ? "baseline, jobs/s first and last" : "fairsched, jobs/s first and last",
			 "%.0f → %.0f (%.2f), windows of %d s", a, b, b / a, window);
		if (sys == SYS_FS)
			check_min("held snapshot: last seconds / first seconds", b / a, 0.85, "");
	}
	if (!isnan(last[0]) && !isnan(last[1]))
		check_min("held snapshot: last seconds against baseline's", last[1] / last[0], 10, "x");
}

/* 200,000 jobs of one tenant first, then 1,000 tenants with 5 each: who is served when? */
static void
sc_hot(void)
{
	static const int batches[] = {1, 10};

	set_guc("fairsched.default_quota", HUGE_CEILING);
	for (System sys = SYS_BASE; sys <= SYS_FS; sys++)
		for (int k = 0; k < 2; k++)
		{
			Run			r = new_run(sys, M_DRAIN, batches[k]);
			Order		o;
			long		small = 0,
						small5000 = 0,
						at99 = -1;
			char		v[96];

			if (skip(sys) || (sys == SYS_BASE && k == 0))
				continue;
			create_db(sys);
			load(sys, full ? 200000 : 100000, 0, 1, false);
			load(sys, 5000, 1, 1000, false);
			settle();
			o.size = 12000;
			o.next = 0;
			o.tenant = calloc(o.size, sizeof(uint32_t));
			r.order = &o;
			r.warmup = 0;
			r.seconds = 30;
			r.max_jobs = o.size;
			snprintf(v, sizeof(v), "batch %d", batches[k]);
			go(&r, v, sys_name(sys));
			for (uint64_t i = 0; i < o.size && i < o.next; i++)
				if (o.tenant[i] != 0)
				{
					small++;
					if (i < 5000)
						small5000++;
					if (small == 4950)
						at99 = (long) i + 1;
				}
			fact(v, "%s: %ld of 5,000 small jobs in the first 5,000 claims; 99 %% of them by claim %s%ld",
				 sys_name(sys), small5000, at99 < 0 ? "> " : "", at99 < 0 ? (long) o.size : at99);
			if (sys == SYS_FS)
			{
				snprintf(v, sizeof(v), "hot tenant, batch %d: claims until 99 %% of small", batches[k]);
				check_max(v, at99 < 0 ? 1e9 : (double) at99, 5000, "");
			}
			free(o.tenant);
		}
	set_guc("fairsched.default_quota", NULL);
}

/* 20 tenants of four tiers, all backlogged: is service proportional to weight? */
static void
sc_jain(void)
{
	static const char *tier[] = {"starter", "growth", "scale", "enterprise"};
	static const double quantum[] = {20, 24, 40, 80};

	set_guc("fairsched.default_quota", HUGE_CEILING);
	for (int batch = 1; batch <= 100; batch *= 100)
		for (System sys = SYS_BASE; sys <= SYS_FS; sys++)
		{
			Run			r = new_run(sys, M_DRAIN, batch);
			Order		o;
			double		x[20] = {0},
						sum = 0,
						squares = 0,
						jain;
			char		v[96];

			if (skip(sys) || (sys == SYS_BASE && !full))
				continue;
			create_db(sys);
			if (sys == SYS_FS)
			{
				PGconn	   *c = connect_or_give_up(DB);

				for (int i = 0; i < 20; i++)
					sql(c, "SELECT fairsched_create_workspace(workspace => 'ws%d', tier => '%s',"
						" own_table => false)", i, tier[i % 4]);
				PQfinish(c);
			}
			load(sys, batch == 1 ? 60000 : 240000, 0, 20, true);
			settle();
			o.size = batch == 1 ? 16400 : 82000;
			o.next = 0;
			o.tenant = calloc(o.size, sizeof(uint32_t));
			r.order = &o;
			r.seconds = 30;
			r.max_jobs = o.size;
			r.warmup = 0;
			snprintf(v, sizeof(v), "batch %d", batch);
			go(&r, v, sys_name(sys));
			for (uint64_t i = 0; i < o.size && i < o.next; i++)
				x[o.tenant[i] % 20] += 1 / quantum[o.tenant[i] % 4];
			for (int i = 0; i < 20; i++)
			{
				sum += x[i];
				squares += x[i] * x[i];
			}
			jain = sum * sum / (20 * squares);
			fact(v, "%s: Jain index of served/weight %.5f", sys_name(sys), jain);
			if (sys == SYS_FS)
			{
				snprintf(v, sizeof(v), "Jain index of 20 weighted tenants, batch %d", batch);
				check(v, "≥ 0.999", jain >= 0.999, "%.5f", jain);
			}
			free(o.tenant);
		}
	set_guc("fairsched.default_quota", NULL);
}

/* Weights and ceilings on against everything equal and without limit. */
static void
sc_limits(void)
{
	for (int rep = 0; rep < reps(1, 3); rep++)
		for (int on = 0; on < 2; on++)
		{
			Run			r = new_run(SYS_FS, M_DRAIN, 100);
			PGconn	   *c;

			if (skip(SYS_FS))
				return;
			create_db(SYS_FS);
			c = connect_or_give_up(DB);
			sql(c, "SELECT count(fairsched_create_workspace(workspace => 'ws' || i, own_table => false, %s))"
				" FROM generate_series(0, 999) i",
				on ? "tier => (ARRAY['starter','growth','scale','enterprise'])[1 + i % 4], max_running => 20 + i % 40"
				: "max_running => " HUGE_CEILING);
			PQfinish(c);
			r.seconds = secs(1, 2);
			load(SYS_FS, supply(SYS_FS, 100, r.seconds, false), 0, 1000, true);
			settle();
			go(&r, on ? "weights and ceilings" : "all equal, no ceiling", "fairsched");
		}
}

static void
sc_conn64(void)
{
	static const int spaces[] = {1, 10000};
	static const int conns[] = {8, 64};

	set_guc("fairsched.default_quota", HUGE_CEILING);
	for (int rep = 0; rep < reps(1, 3); rep++)
		for (int k = 0; k < 2; k++)
			for (int n = 0; n < 2; n++)
				for (System sys = SYS_BASE; sys <= SYS_FS; sys++)
				{
					Run			r = new_run(sys, M_DRAIN, 1);
					char		v[48];

					if (skip(sys) || (sys == SYS_BASE && !full))
						continue;
					r.clients = conns[n];
					r.seconds = secs(1.2, 3);
					prepare_db(sys, supply(sys, 1, r.seconds * 2, false), spaces[k]);
					snprintf(v, sizeof(v), "%d workspaces, %d clients", spaces[k], conns[n]);
					go(&r, v, sys_name(sys));
				}
	set_guc("fairsched.default_quota", NULL);
}

static void
sc_own500(void)
{
	for (int rep = 0; rep < reps(1, 3); rep++)
		for (int own = 0; own < 2; own++)
		{
			Run			r = new_run(SYS_FS, M_DRAIN, 100);
			PGconn	   *c;
			uint64_t	t;

			if (skip(SYS_FS))
				return;
			create_db(SYS_FS);
			c = connect_or_give_up(DB);
			t = now_ns();
			for (int i = 0; i < 500; i++)
				sql(c, "SELECT fairsched_create_workspace(workspace => 'ws%d', own_table => %s)",
					i, own ? "true" : "false");
			if (own && rep == 0)
				fact("time to create 500 workspaces with tables", "%.1f s", (double) (now_ns() - t) / 1e9);
			PQfinish(c);
			r.seconds = secs(1, 2);
			load(SYS_FS, supply(SYS_FS, 100, r.seconds, false), 0, 500, true);
			settle();
			go(&r, own ? "500 own tables" : "500 in the shared table", "fairsched");
		}
}

/* ---- wake-up ---- */

typedef struct Wake
{
	System		sys;
	int			way;			/* 0 LISTEN, 1 max_wait, 2 fairsched_wait */
	PGconn	   *conn;
	int			got;
	uint64_t	t_got;
	int			stop;
	char		error[256];
} Wake;

static void *
wake_worker(void *arg)
{
	Wake	   *w = arg;
	const char *claim = w->sys == SYS_BASE ? claim_sql(SYS_BASE, 1)
		: w->way == 1 ? "SELECT * FROM fairsched_claim(worker => 'wake', max_wait => '1 s')"
		: "SELECT * FROM fairsched_claim(worker => 'wake')";
	const char *who[1] = {"wake"};
	PGresult   *res = PQprepare(w->conn, "claim", claim, 0, NULL);

	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		snprintf(w->error, sizeof(w->error), "%s", PQerrorMessage(w->conn));
	PQclear(res);
	if (w->sys == SYS_BASE)
		PQclear(PQexec(w->conn, "LISTEN base"));
	while (w->error[0] == 0 && !__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE))
	{
		uint64_t	t;

		if (w->way == 2)
		{
			res = PQexec(w->conn, "CALL fairsched_wait(timeout => '2 s')");
			if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK)
				snprintf(w->error, sizeof(w->error), "%s", PQerrorMessage(w->conn));
			PQclear(res);
		}
		else if (w->way == 0)
		{
			fd_set		set;
			struct timeval tv = {2, 0};
			PGnotify   *n;
			bool		any = false;

			PQconsumeInput(w->conn);
			while ((n = PQnotifies(w->conn)) != NULL)
			{
				any = true;
				PQfreemem(n);
			}
			if (!any)
			{
				FD_ZERO(&set);
				FD_SET(PQsocket(w->conn), &set);
				select(PQsocket(w->conn) + 1, &set, NULL, NULL, &tv);
				continue;
			}
		}
		res = PQexecPrepared(w->conn, "claim", w->sys == SYS_BASE ? 1 : 0, who, NULL, NULL, 0);
		t = now_ns();
		if (PQresultStatus(res) != PGRES_TUPLES_OK)
			snprintf(w->error, sizeof(w->error), "%s", PQerrorMessage(w->conn));
		else if (PQntuples(res) > 0)
		{
			char		s[256];

			if (w->sys == SYS_BASE)
				snprintf(s, sizeof(s), "DELETE FROM base WHERE id = %s", PQgetvalue(res, 0, 0));
			else
				snprintf(s, sizeof(s), "SELECT fairsched_complete(job_id => %s, token => %s)",
						 PQgetvalue(res, 0, PQfnumber(res, "job_id")),
						 PQgetvalue(res, 0, PQfnumber(res, "token")));
			PQclear(PQexec(w->conn, s));
			w->t_got = t;
			__atomic_add_fetch(&w->got, 1, __ATOMIC_ACQ_REL);
		}
		PQclear(res);
	}
	return NULL;
}

static void
wake_up(System sys, int way, const char *name)
{
	Wake		w = {sys, way, NULL, 0, 0, 0, ""};
	PGconn	   *c;
	pthread_t	th;
	Hist	   *from_send = calloc(2, sizeof(Hist));
	Hist	   *from_commit = from_send + 1;
	PGresult   *res;
	int			events = full ? 2000 : 150;
	unsigned	seed = 1;
	char		v[64];

	prepare_db(sys, 0, 1);
	c = connect_or_give_up(DB);
	w.conn = connect_or_give_up(DB);
	if (sys == SYS_BASE)
		base_session(w.conn);
	res = PQprepare(c, "enq", sys == SYS_BASE
					? "WITH i AS (INSERT INTO base (workspace, payload) VALUES ('ws1', '{}') RETURNING id)"
					" SELECT pg_notify('base', '') FROM i"
					: "SELECT job_id FROM fairsched_enqueue(workspace => 'ws1', payload => '{}')", 0, NULL);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		give_up("prepare", PQerrorMessage(c));
	PQclear(res);
	pthread_create(&th, NULL, wake_worker, &w);
	usleep(300000);
	for (int i = 0; i < events && w.error[0] == 0; i++)
	{
		uint64_t	t0,
					t1;
		int			seen = __atomic_load_n(&w.got, __ATOMIC_ACQUIRE);

		sleep_ns(1000000 + (uint64_t) (rand_r(&seed) % 4000000));
		t0 = now_ns();
		res = PQexecPrepared(c, "enq", 0, NULL, NULL, NULL, 0);
		t1 = now_ns();
		if (PQresultStatus(res) != PGRES_TUPLES_OK)
			snprintf(w.error, sizeof(w.error), "%s", PQerrorMessage(c));
		PQclear(res);
		while (__atomic_load_n(&w.got, __ATOMIC_ACQUIRE) == seen && w.error[0] == 0)
		{
			if (now_ns() - t1 > UINT64_C(5000000000))
				snprintf(w.error, sizeof(w.error), "the job was not seen within 5 s");
			sleep_ns(50000);
		}
		if (i >= 10)
		{
			hist_add(from_send, w.t_got - t0);
			hist_add(from_commit, w.t_got > t1 ? w.t_got - t1 : 0);
		}
	}
	__atomic_store_n(&w.stop, 1, __ATOMIC_RELEASE);
	pthread_join(th, NULL);
	PQfinish(w.conn);
	PQfinish(c);
	if (w.error[0])
		give_up(name, w.error);
	fact(name, "enqueue reported → claim in hand p50 %.2f ms p99 %.2f ms; enqueue sent → claim in hand p50 %.2f p99 %.2f ms",
		 hist_quantile_us(from_commit, 0.5) / 1000, hist_quantile_us(from_commit, 0.99) / 1000,
		 hist_quantile_us(from_send, 0.5) / 1000, hist_quantile_us(from_send, 0.99) / 1000);
	if (sys == SYS_FS)
	{
		snprintf(v, sizeof(v), "wake-up by %s, p50", name);
		check_max(v, hist_quantile_us(from_commit, 0.5) / 1000, 0.3, " ms");
		snprintf(v, sizeof(v), "wake-up by %s, p99", name);
		check_max(v, hist_quantile_us(from_commit, 0.99) / 1000, 1.5, " ms");
	}
	free(from_send);
}

/* CPU and snapshots of sessions that only wait. */
static void
idle_waiters(void)
{
	PGconn	   *c[16];
	uint64_t	before = 0,
				after = 0;
	const char *pinned;
	const char *waiting;

	prepare_db(SYS_FS, 0, 1);
	for (int i = 0; i < 16; i++)
	{
		c[i] = connect_or_give_up(DB);
		PQsendQuery(c[i], "CALL fairsched_wait(timeout => '5 s')");
	}
	usleep(1000000);
	for (int i = 0; i < 16; i++)
		before += sched_pid_ns(PQbackendPID(c[i]));
	usleep(2000000);
	for (int i = 0; i < 16; i++)
		after += sched_pid_ns(PQbackendPID(c[i]));
	pinned = value(control, "SELECT count(*) FROM pg_stat_activity WHERE datname = '" DB "'"
				   " AND query LIKE 'CALL fairsched_wait%%' AND state = 'active'"
				   " AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)");
	waiting = value(control, "SELECT count(*) FROM pg_stat_activity WHERE datname = '" DB "'"
					" AND query LIKE 'CALL fairsched_wait%%' AND state = 'active'");
	fact("16 sessions idle in fairsched_wait", "%s wait, %s of them pin a snapshot; %.3f ms of CPU a second, together",
		 waiting, pinned, (double) (after - before) / 2e6);
	check("sessions that still wait after 3 s", "16", atoi(waiting) == 16, "%s", waiting);
	check("snapshots pinned by 16 waiters in fairsched_wait", "0", atoi(pinned) == 0, "%s", pinned);
	check_max("CPU of 16 idle waiters", (double) (after - before) / 2e6, 1, " ms/s");
	for (int i = 0; i < 16; i++)
		PQfinish(c[i]);
}

static void
sc_wakeup(void)
{
	if (!skip(SYS_BASE))
		wake_up(SYS_BASE, 0, "LISTEN/NOTIFY (baseline)");
	if (skip(SYS_FS))
		return;
	wake_up(SYS_FS, 1, "max_wait");
	wake_up(SYS_FS, 2, "fairsched_wait");
	idle_waiters();
}

/* ---- rebuild, memory ---- */

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

static void
sc_rebuild(void)
{
	if (!skip(SYS_FS))
		rebuild(1000000, 5000, 3);
}

static void
sc_rebuild10m(void)
{
	if (!skip(SYS_FS))
		rebuild(10000000, 10000, 10);
}

static void
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
static void
sc_memory(void)
{
	long		jobs = full ? 1000000 : 200000;
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

/* ---- targets that are ratios of rows ---- */

static double
ratio(const char *sc, const char *variant, const char *system, const char *m)
{
	return med(sc, variant, system, m) / med(sc, variant, "baseline", m);
}

static void
final_checks(void)
{
	check_min("drain, batch 1: jobs/s against baseline", ratio("drain1", "batch 1", "fairsched", "jobs_s"), 1.05, "x");
	check_max("drain, batch 1: server CPU against baseline", ratio("drain1", "batch 1", "fairsched", "cpu_us"), 0.5, "x");
	check_max("drain, batch 1: CPU of a claim", med("drain1", "batch 1", "fairsched", "claim_cpu_us"), 60, " µs");
	check_min("one commit a job, batch 1: jobs/s against baseline", ratio("drain1", "batch 1", "fairsched one commit", "jobs_s"), 2.0, "x");
	check_min("claims not durable, batch 1: jobs/s against baseline", ratio("drain1", "batch 1", "fairsched not durable", "jobs_s"), 1.7, "x");
	check_min("drain, batch 100: jobs/s against baseline", ratio("drain100", "batch 100", "fairsched", "jobs_s"), 2.5, "x");
	check_max("drain, batch 100: server CPU of claim + complete", med("drain100", "batch 100", "fairsched", "cpu_us"), 10, " µs");
	check_max("drain, batch 100: CPU of a claim", med("drain100", "batch 100", "fairsched", "claim_cpu_us"), 15, " µs");
	check_max("drain, batch 100: WAL of claim + complete", med("drain100", "batch 100", "fairsched", "wal_bytes"), 300, " B");
	check_max("drain, batch 1: WAL of claim + complete", med("drain1", "batch 1", "fairsched", "wal_bytes"), 300, " B");
	check_min("claims not durable, batch 100: jobs/s against baseline", ratio("drain100", "batch 100", "fairsched not durable", "jobs_s"), 3.5, "x");
	check_min("enqueue one by one against INSERT", ratio("enqueue", "one by one", "fairsched", "jobs_s"), 1, "x");
	check_min("enqueue 1,000 a call against INSERT … SELECT unnest", ratio("enqueue", "1,000 a call", "fairsched", "jobs_s"), 1, "x");
	check_min("COPY into fairsched.inbox against COPY", ratio("enqueue", "COPY of 1,000", "fairsched", "jobs_s"), 1, "x");
	for (int batch = 1; batch <= 100; batch *= 100)
	{
		char		a[48],
					b[48],
					what[96];

		snprintf(a, sizeof(a), "10, batch %d", batch);
		snprintf(b, sizeof(b), "100000, batch %d", batch);
		snprintf(what, sizeof(what), "CPU of a claim, 100,000 workspaces against 10, batch %d", batch);
		check_max(what, med("workspaces", b, "fairsched", "claim_cpu_us") / med("workspaces", a, "fairsched", "claim_cpu_us"), full ? 1.10 : 1.15, "x");
		snprintf(a, sizeof(a), "10000, batch %d", batch);
		snprintf(b, sizeof(b), "%s, batch %d", full ? "5000000" : "1000000", batch);
		snprintf(what, sizeof(what), "CPU of a claim, backlog %s against 10,000, batch %d", full ? "5M" : "1M", batch);
		check_max(what, med("backlog", b, "fairsched", "claim_cpu_us") / med("backlog", a, "fairsched", "claim_cpu_us"), full ? 1.10 : 1.15, "x");
	}
	check_max("weights and ceilings on against off, CPU", med("limits", "weights and ceilings", "fairsched", "cpu_us") /
			  med("limits", "all equal, no ceiling", "fairsched", "cpu_us"), 1.05, "x");
	check_min("64 clients against 8, one hot workspace", med("conn64", "1 workspaces, 64 clients", "fairsched", "jobs_s") /
			  med("conn64", "1 workspaces, 8 clients", "fairsched", "jobs_s"), 0.8, "x");
	check_min("64 clients against 8, 10,000 workspaces", med("conn64", "10000 workspaces, 64 clients", "fairsched", "jobs_s") /
			  med("conn64", "10000 workspaces, 8 clients", "fairsched", "jobs_s"), 0.8, "x");
	check_max("500 own tables against the shared one, CPU", med("own500", "500 own tables", "fairsched", "cpu_us") /
			  med("own500", "500 in the shared table", "fairsched", "cpu_us"), 2, "x");
}

static FILE *
out(const char *name)
{
	char		path[1024];
	FILE	   *f;

	snprintf(path, sizeof(path), "%s/%s", out_dir, name);
	if ((f = fopen(path, "w")) == NULL)
	{
		fprintf(stderr, "fsbench: could not write \"%s\": %s\n", path, strerror(errno));
		exit(1);
	}
	return f;
}

static void
write_reports(void)
{
	FILE	   *f = out("summary.tsv");

	fprintf(f, "scenario\tvariant\tsystem\treps");
	for (int m = 0; m < NMETRICS; m++)
		fprintf(f, "\t%s", metric[m].name);
	fprintf(f, "\tspeed_ratio\tcpu_ratio\tmin_jobs_s\tmax_jobs_s\n");
	printf("\nmedians\n%-12s %-26s %-22s %10s %8s %8s %7s %9s %9s %9s %9s\n", "scenario", "variant", "system",
		   "jobs/s", "cpu us", "wal B", "ratio", "claim p50", "p99", "done p50", "p99");
	for (int i = 0; i < nrows; i++)
	{
		Row		   *r = &rows[i];
		double		lo = r->v[0][0],
					hi = r->v[0][0];
		double		speed = ratio(r->scenario, r->variant, r->system, "jobs_s");
		double		cpu = ratio(r->scenario, r->variant, r->system, "cpu_us");
		char		x[16];

		for (int k = 1; k < r->n; k++)
		{
			lo = fmin(lo, r->v[0][k]);
			hi = fmax(hi, r->v[0][k]);
		}
		fprintf(f, "%s\t%s\t%s\t%d", r->scenario, r->variant, r->system, r->n);
		for (int m = 0; m < NMETRICS; m++)
			fprintf(f, "\t%.2f", median(r->v[m], r->n));
		if (isnan(speed))
		{
			fprintf(f, "\t\t");
			strcpy(x, "");
		}
		else
		{
			fprintf(f, "\t%.3f\t%.3f", speed, cpu);
			snprintf(x, sizeof(x), "%.2fx", speed);
		}
		fprintf(f, "\t%.0f\t%.0f\n", lo, hi);
		printf("%-12s %-26s %-22s %10.0f %8.1f %8.0f %7s %9.0f %9.0f %9.0f %9.0f\n", r->scenario, r->variant, r->system,
			   median(r->v[0], r->n), median(r->v[1], r->n), median(r->v[5], r->n), x,
			   median(r->v[6], r->n), median(r->v[7], r->n), median(r->v[8], r->n), median(r->v[9], r->n));
	}
	fclose(f);

	f = out("checks.tsv");
	printf("\ntargets\n");
	for (int i = 0; i < nchecks; i++)
	{
		fprintf(f, "%s\t%s\t%s\t%s\n", checks[i].what, checks[i].target, checks[i].got,
				checks[i].pass ? "reached" : "missed");
		printf("  %-7s %-66s %10s  (%s)\n", checks[i].pass ? "ok" : "MISSED", checks[i].what,
			   checks[i].got, checks[i].target);
	}
	fclose(f);
}

static const struct
{
	const char *name;
	void		(*run) (void);
	char		in;				/* q: quick and full, f: full only, x: when named */
	const char *what;
}			scenarios[] =
{
	{"drain1", sc_drain1, 'q', "claim and complete one by one, 8 clients"},
	{"drain100", sc_drain100, 'q', "the same, 100 a call"},
	{"checkpoint", sc_checkpoint, 'f', "batch 100 right after a checkpoint: full page images"},
	{"enqueue", sc_enqueue, 'q', "one by one, 1,000 a call, COPY"},
	{"workspaces", sc_workspaces, 'q', "10, 1,000, 100,000 workspaces"},
	{"backlog", sc_backlog, 'q', "10 thousand, 1 million, in full 5 million jobs waiting"},
	{"backlog10m", sc_backlog10m, 'x', "10 million jobs waiting"},
	{"held", sc_held, 'q', "enqueue + claim + complete under a held snapshot"},
	{"hot", sc_hot, 'q', "one tenant's flood before 1,000 small tenants"},
	{"jain", sc_jain, 'q', "service against weight, 20 tenants of four tiers"},
	{"limits", sc_limits, 'f', "weights and ceilings on against off"},
	{"conn64", sc_conn64, 'q', "64 connections against 8"},
	{"own500", sc_own500, 'f', "500 workspaces with tables of their own"},
	{"wakeup", sc_wakeup, 'q', "from commit of an enqueue to an idle worker"},
	{"shm", sc_shm, 'q', "shared memory"},
	{"memory", sc_memory, 'f', "private memory of a session over 1M claims"},
	{"rebuild", sc_rebuild, 'f', "restart with 1M jobs, 5,000 running"},
	{"rebuild10m", sc_rebuild10m, 'x', "restart with 10M jobs, 10,000 running"},
};

#define NSCENARIOS	((int) (sizeof(scenarios) / sizeof(scenarios[0])))

/* Run something that may give_up; setjmp wants a frame without live locals. */
static void
attempt(void (*what) (void))
{
	if (setjmp(scenario_end) == 0)
		what();
}

static void
look_for_fairsched(void)
{
	have_fs = atoi(value(control, "SELECT count(*) FROM pg_available_extensions"
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
			   scenarios[i].in == 'q' ? "" : scenarios[i].in == 'f' ? " (full only)" : " (only when named)");
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
			full = true;
		else if (!strcmp(a, "--baseline-only"))
			only_base = true;
		else if (!strcmp(a, "--fairsched-only"))
			only_fs = true;
		else if (!strcmp(a, "--reps") && i + 1 < argc)
			reps_wanted = atoi(argv[++i]);
		else if (!strcmp(a, "--seconds") && i + 1 < argc)
			seconds_wanted = atof(argv[++i]);
		else if (!strcmp(a, "--clients") && i + 1 < argc)
			clients_wanted = atoi(argv[++i]);
		else if (!strcmp(a, "--out") && i + 1 < argc)
			out_dir = argv[++i];
		else if (a[0] == '-' || n == 64)
		{
			usage();
			return strcmp(a, "--help") != 0;
		}
		else
			names[n++] = a;
	}
	if (reps_wanted > MAX_REPS || clients_wanted < 1 || clients_wanted > MAX_CLIENTS)
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
	raw_file = out("raw.tsv");
	series_file = out("series.tsv");
	facts_file = out("facts.tsv");
	fprintf(raw_file, "scenario\tvariant\tsystem");
	for (int m = 0; m < NMETRICS; m++)
		fprintf(raw_file, "\t%s", metric[m].name);
	fprintf(raw_file, "\tjobs\tseconds\n");

	attempt(look_for_fairsched);
	if (!have_fs)
		printf("fairsched is not installed or not preloaded in this server: baseline only\n");

	for (int i = 0; i < NSCENARIOS; i++)
	{
		bool		wanted = n == 0 && (scenarios[i].in == 'q' || (full && scenarios[i].in == 'f'));
		uint64_t	t = now_ns();

		for (int k = 0; k < n; k++)
			wanted |= !strcmp(names[k], scenarios[i].name);
		if (!wanted)
			continue;
		scenario_name = scenarios[i].name;
		printf("%s: %s\n", scenario_name, scenarios[i].what);
		fflush(stdout);
		attempt(scenarios[i].run);
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
		}
		printf("  (%.0f s)\n", (double) (now_ns() - t) / 1e9);
	}
	scenario_name = "end";
	attempt(drop_db);
	fclose(raw_file);
	fclose(series_file);
	final_checks();
	write_reports();
	fclose(facts_file);
	PQfinish(control);
	return failures > 0 ? 2 : 0;
}
