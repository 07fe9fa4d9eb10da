/*
 * fsspeed.c: scenarios that measure what a job costs.
 */
#include "fsbench.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Jobs to load so that a run of s seconds does not run dry. */
static long
supply(System sys, int batch, double s, bool fast)
{
	double		rate = batch == 1 ? 16000 : sys == SYS_BASE ? 160000 : 300000;

	if (fast)
		rate *= 1.5;
	return (long) (rate * s) + 20000;
}

/* What the run's log consists of, bytes a job, where the server has pg_walinspect. */
static void
wal_kinds(const char *name, const Run *r)
{
	if (!value(control, "SELECT 1 FROM pg_available_extensions WHERE name = 'pg_walinspect'")[0])
		return;
	sql(control, "CREATE EXTENSION IF NOT EXISTS pg_walinspect");
	sql(control, "CHECKPOINT");	/* so that the log is on disk that far */
	fact(name, "WAL bytes a job: %s",
		 value(control, "SELECT string_agg(format('%%s %%s', \"resource_manager/record_type\","
			   " round(combined_size / %lu.0)), ', ' ORDER BY combined_size DESC)"
			   " FROM pg_get_wal_stats('%s', '%s', true) WHERE combined_size >= %lu",
			   (unsigned long) r->jobs, r->wal_from, r->wal_to, (unsigned long) r->jobs));
}

/*
 * WAL that claims and completions write themselves: while autovacuum is paused.
 * How much autovacuum adds depends on when it comes, more than on the system.
 */
static void
drain_wal(int batch)
{
	char		variant[48];

	snprintf(variant, sizeof(variant), "batch %d, autovacuum paused", batch);
	set_guc("autovacuum", "off");
	for (System sys = SYS_BASE; sys <= SYS_FS; sys++)
	{
		Run			r = new_run(sys, M_DRAIN, batch);
		char		name[64];

		if (skip(sys))
			continue;
		r.seconds = secs(0.7, 1);
		prepare_copy(sys, supply(sys, batch, r.seconds, batch == 1), 1000, MIXED);
		while (atoi(value(control, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'")))
			usleep(10000);
		go(&r, variant, sys_name(sys));
		snprintf(name, sizeof(name), "%s, %s", sys_name(sys), variant);
		wal_kinds(name, &r);
	}
	set_guc("autovacuum", NULL);
}

/*
 * Claim and complete what is there.  Two floors beside it at batch 1, where the
 * flush of a commit decides: as many transactions a job that only insert a narrow
 * row into a table without an index.  The baseline in one commit a job is not among
 * them: the usual query deadlocks with itself when one transaction deletes what it
 * has done and locks what comes next.
 */
static void
drain(int batch)
{
	static const struct
	{
		const char *name;
		System		sys;
		Mode		mode;
		int			commits;	/* of a floor */
		bool		pipeline;
		bool		soft;		/* with fairsched.durable_claims = off */
		bool		extra;		/* in full mode only */
		const char *session;
	}			ways[] =
	{
		{"baseline", SYS_BASE, M_DRAIN, 0, false, false, false, NULL},
		{"fairsched", SYS_FS, M_DRAIN, 0, false, false, false, NULL},
		{"floor: two commits", SYS_BASE, M_COMMITS, 2, false, false, false, NULL},
		{"fairsched one commit", SYS_FS, M_ONE_TX, 0, false, false, false, NULL},
		{"floor: one commit", SYS_BASE, M_COMMITS, 1, false, false, true, NULL},
		{"baseline pipelined", SYS_BASE, M_DRAIN, 0, true, false, true, NULL},
		{"fairsched pipelined", SYS_FS, M_DRAIN, 0, true, false, true, NULL},
		{"fairsched not durable", SYS_FS, M_DRAIN, 0, false, true, true, NULL},
		{"fairsched not flushed", SYS_FS, M_DRAIN, 0, false, false, false, "SET synchronous_commit = off"},
	};
	char		variant[32];
	double		s = batch == 1 ? secs(1.1, 4) : secs(1, 2.5);
	int			n = reps(3, 3);

	snprintf(variant, sizeof(variant), "batch %d", batch);
	for (int rep = 0; rep < n; rep++)
		for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++)
		{
			Run			r;

			if (skip(ways[w].sys) || (ways[w].extra && !opt.full) || ((ways[w].commits || ways[w].session) && batch != 1))
				continue;
			if (ways[w].soft && !has_setting("fairsched.durable_claims"))
				continue;
			if (ways[w].soft)
				set_guc("fairsched.durable_claims", "off");
			prepare_copy(ways[w].sys, supply(ways[w].sys, batch, s, batch == 1 || ways[w].soft), 1000, MIXED);
			r = new_run(ways[w].sys, ways[w].mode, batch);
			r.pipeline = ways[w].pipeline;
			r.commits = ways[w].commits;
			r.session_sql = ways[w].session;
			r.seconds = ways[w].commits || ways[w].session ? s * 2 / 3 : s;
			go(&r, variant, ways[w].name);
			if (ways[w].soft)
				set_guc("fairsched.durable_claims", NULL);
		}
	drop_stock();
	drain_wal(batch);
}

void
sc_drain1(void)
{
	drain(1);
}

void
sc_drain100(void)
{
	drain(100);
}

/*
 * As drain100, but tenants enqueue 20 jobs at a time, so 20 of a tenant lie together.  In turns, neighbours in
 * the table are of different tenants: a claim that is fair, and not in the order of the table, touches up to 100 pages for 100 jobs.
 */
void
sc_groups(void)
{
	static const struct
	{
		const char *name;
		System		sys;
		bool		soft;
	}			ways[] =
	{
		{"baseline", SYS_BASE, false},
		{"fairsched", SYS_FS, false},
		{"fairsched not durable", SYS_FS, true},
	};

	for (int rep = 0; rep < reps(1, 3); rep++)
		for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++)
		{
			Run			r = new_run(ways[w].sys, M_DRAIN, 100);

			if (skip(ways[w].sys))
				continue;
			if (ways[w].soft)
				set_guc("fairsched.durable_claims", "off");
			r.seconds = secs(1, 2.5);
			prepare_copy(ways[w].sys, supply(ways[w].sys, 100, r.seconds, true), 1000, GROUPS);
			go(&r, "batch 100", ways[w].name);
			if (ways[w].soft)
				set_guc("fairsched.durable_claims", NULL);
		}
}

/* WAL right after a checkpoint, when each page touched first is logged whole. */
void
sc_checkpoint(void)
{
	for (int rep = 0; rep < reps(1, 3); rep++)
		for (System sys = SYS_BASE; sys <= SYS_FS; sys++)
		{
			Run			r = new_run(sys, M_DRAIN, 100);

			if (skip(sys))
				continue;
			r.seconds = secs(1, 2);
			prepare_copy(sys, supply(sys, 100, r.seconds, false), 1000, MIXED);
			sql(control, "CHECKPOINT");
			go(&r, "batch 100", sys_name(sys));
		}
}

void
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
			for (int way = 0; way < 3; way++)
			{
				System		sys = way == 0 ? SYS_BASE : SYS_FS;
				Run			r = new_run(sys, ways[w].mode, ways[w].batch);

				r.in_from = way == 2;	/* the executor makes more of that: a table of the one row */
				if (skip(sys) || (r.in_from && (r.mode != M_ENQUEUE || !opt.full)))
					continue;
				r.seconds = secs(0.6, 3);
				prepare_copy(sys, 1000, 1000, MIXED);
				go(&r, ways[w].name, r.in_from ? "fairsched, in FROM" : sys_name(sys));
			}
}

void
sc_workspaces(void)
{
	static const int counts[] = {10, 1000, 100000};
	long		jobs = opt.full ? 1000000 : 200000;

	set_guc("fairsched.default_quota", HUGE_CEILING);
	for (int rep = 0; rep < reps(1, 3); rep++)
		for (int k = 0; k < 3; k++)
		{
			Run			r;
			char		v[48];

			if (skip(SYS_FS) || (counts[k] == 1000 && !opt.full))
				continue;
			if (reps(1, 3) > 1)
				prepare_copy(SYS_FS, jobs, counts[k], MIXED);
			else
				prepare_db(SYS_FS, jobs, counts[k], MIXED);
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
	if (!opt.full)
		for (int batch = 1; batch <= 100; batch *= 100)
		{
			char		key[32];

			snprintf(key, sizeof(key), "workspaces.%d", batch);
			reach_note(key, "10 → 100,000, backlog of 200,000");
		}
}

static int
compare_blocks(const void *a, const void *b)
{
	uint32_t	x = ((const Place *) a)->block;
	uint32_t	y = ((const Place *) b)->block;

	return x < y ? -1 : x > y;
}

/*
 * Where the size of a table is measured, each session first reads all of it, as one that has
 * been there for long: else the first touch of each page of shared memory, a fault of the
 * processor, would be counted as the cost of a backlog.
 */
#define LONG_LIVED(sys)	((sys) == SYS_BASE ? "SELECT count(*) FROM base" : "SELECT count(*) FROM fairsched.jobs")

/*
 * The floor of a claim in a large table: 100 rows read by ctid and sent, in the
 * order in which Deficit Round Robin would claim them, and nothing else.  What it
 * costs more in the large table is cache misses.
 */
static void
read_rows(const char *variant, double seconds)
{
	PGconn	   *c = connect_or_give_up(DB);
	Run			r = new_run(SYS_FS, M_READ, 100);
	PGresult   *res;
	Place	   *places;
	int			n,
				pages = 0;

	sql(c, "SET work_mem = '256MB'");
	sql(c, "SET enable_seqscan = off");
	res = PQexecParams(c, "WITH RECURSIVE f AS ("
					   "(SELECT flow FROM fairsched.jobs_0 WHERE position > 0 ORDER BY flow LIMIT 1) UNION ALL"
					   " SELECT (SELECT flow FROM fairsched.jobs_0 WHERE position > 0 AND flow > f.flow ORDER BY flow LIMIT 1)"
					   " FROM f WHERE flow IS NOT NULL)"
					   " SELECT ctid FROM (SELECT j.*, (row_number() OVER (PARTITION BY j.flow ORDER BY j.rank, j.position) - 1) /"
					   " (SELECT quantum FROM fairsched.tiers WHERE tier = 'starter') AS round"
					   " FROM f, LATERAL (SELECT ctid, flow, rank, position FROM fairsched.jobs_0"
					   " WHERE position > 0 AND flow = f.flow ORDER BY rank, position LIMIT 400) j) j"
					   " ORDER BY round, flow, rank, position", 0, NULL, NULL, NULL, NULL, 1);
	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		give_up("places of rows", PQerrorMessage(c));
	n = PQntuples(res) / r.batch * r.batch;
	places = calloc((size_t) n + 1, sizeof(Place));
	for (int i = 0; i < n; i++)
	{
		const unsigned char *p = (const unsigned char *) PQgetvalue(res, i, 0);

		places[i].block = (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
		places[i].offset = (uint16_t) (p[4] << 8 | p[5]);
	}
	PQclear(res);
	disconnect(c);
	for (int i = 0; i < n; i += r.batch)
	{
		Place		batch[100];

		memcpy(batch, &places[i], sizeof(batch));
		qsort(batch, 100, sizeof(Place), compare_blocks);
		pages++;
		for (int k = 1; k < 100; k++)
			pages += batch[k].block != batch[k - 1].block;
	}
	r.session_sql = LONG_LIVED(SYS_FS);
	r.places = places;
	r.nplaces = (uint64_t) n;
	r.seconds = seconds;
	go(&r, variant, "floor: reading rows");
	free(places);
	fact(variant, "the next 100 rows that are claimed are on %.0f pages", n > 0 ? 100.0 * pages / n : 0);
}

/* Own tables that a claim opens beyond those its jobs are in. */
static void
tables_opened(void)
{
	PGconn	   *c = connect_or_give_up(DB);
	const char *jobs;
	const char *opened;

	sql(c, "BEGIN");
	jobs = value(c, "SELECT count(DISTINCT workspace) FROM fairsched_claim(worker => 'opens', max_jobs => 100)");
	opened = value(c, "SELECT count(DISTINCT l.relation) FROM pg_locks l JOIN pg_class t ON t.oid = l.relation"
				   " WHERE l.pid = pg_backend_pid() AND t.relname ~ '^jobs_[1-9][0-9]*$'");
	sql(c, "ROLLBACK");
	disconnect(c);
	fact("a claim of 100 across 100 workspaces with own tables", "jobs of %s workspaces; it holds %s of the own tables open",
		 jobs, opened);
	reach("own.opens", atoi(opened) - atoi(jobs));
}

/* A backlog: where its jobs are, and what is next. */
typedef struct Backlog
{
	const char *name;
	Arrival		arrival;
	bool		own;			/* tables of their own */
	int			workspaces;
	int			least_batch;	/* measured at this and 100 */
} Backlog;

static const Backlog backlogs[] =
{
	{"", MIXED, false, 1000, 1},	/* the first to be claimed are all over the table */
	{", one priority", RANDOM, false, 1000, 100},	/* … are where the table begins */
	{", 100 own tables", RANDOM, true, 100, 100},	/* … and those of a workspace lie together */
};

static void
backlog_db(System sys, long n, const Backlog *b, bool again)
{
	char		name[48];

	snprintf(name, sizeof(name), "%s_%ld_%d", sys_name(sys), n, (int) (b - backlogs));
	if (from_stock(name))
		return;
	create_db(sys);
	if (b->own)
	{
		PGconn	   *c = connect_or_give_up(DB);

		for (int i = 0; i < b->workspaces; i++)
			sql(c, "SELECT fairsched_create_workspace(workspace => 'ws%d', own_table => true)", i);
		disconnect(c);
	}
	load(sys, n, 0, b->workspaces, b->arrival);
	settle();
	if (again)
		to_stock(name);
}

/*
 * enqueue + claim + complete, so that the backlog stays as large as it is, and a
 * small one can be measured as long as a large one; look at the CPU of the claim
 * alone.  What is enqueued goes to workspaces at random: if the jobs of a call went
 * to one, they would lie together, and after a second so would all of a small
 * backlog.
 */
static void
cycles(System sys, long n, const Backlog *b, double seconds)
{
	char		v[64];

	if (sys == SYS_FS && !b->own)
	{
		snprintf(v, sizeof(v), "%ld%s, batch 100", n, b->name);
		read_rows(v, seconds * 2 / 3);
	}
	for (int batch = b->least_batch; batch <= 100; batch *= 100)
	{
		Run			r = new_run(sys, M_CYCLE, batch);

		r.session_sql = LONG_LIVED(sys);
		r.seconds = seconds;
		r.workspaces = b->workspaces;
		r.scatter = true;
		if (b->own)
			r.warmup = 60;		/* each backend has opened most of the tables */
		snprintf(v, sizeof(v), "%ld%s, batch %d", n, b->name, batch);
		go(&r, v, sys_name(sys));
	}
}

void
sc_backlog(void)
{
	static const long counts[] = {10000, 1000000};
	double		s = secs(0.9, 3);
	bool		again = reps(1, 2) > 1;

	for (int rep = 0; rep < reps(1, 2); rep++)
		for (int kind = 0; kind < 3; kind++)
			for (int k = 0; k < 2; k++)
				for (System sys = SYS_BASE; sys <= SYS_FS; sys++)
				{
					if (skip(sys) || (sys == SYS_BASE && (kind > 0 || (k > 0 && !opt.full))))
						continue;
					backlog_db(sys, counts[k], &backlogs[kind], again);
					if (backlogs[kind].own && rep == 0 && k == 0)
						tables_opened();
					cycles(sys, counts[k], &backlogs[kind], s);
				}
}

/* Leaves its database behind, for rebuild10m. */
void
sc_backlog10m(void)
{
	if (skip(SYS_FS))
		return;
	backlog_db(SYS_FS, 10000000, &backlogs[0], false);
	have_10m = true;
	cycles(SYS_FS, 10000000, &backlogs[0], secs(3, 3));
}

/*
 * Weights and ceilings on against everything equal and without limit.  Jobs in groups, of which a visit of a queue
 * finds its jobs together in both; and in turns, where other weights mean another order, so other pages.
 */
void
sc_limits(void)
{
	static const struct
	{
		const char *name;
		bool		on;
		Arrival		arrival;
	}			ways[] =
	{
		{"all equal, no ceiling", false, GROUPS},
		{"weights and ceilings", true, GROUPS},
		{"all equal, no ceiling, in turns", false, MIXED},
		{"weights and ceilings, in turns", true, MIXED},
	};

	for (int rep = 0; rep < reps(1, 4); rep++)
		for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++)
		{
			Run			r = new_run(SYS_FS, M_DRAIN, 100);
			char		name[16];

			if (skip(SYS_FS))
				return;
			r.seconds = secs(1, 2);
			snprintf(name, sizeof(name), "limits_%d", (int) w);
			if (!from_stock(name))
			{
				PGconn	   *c;

				create_db(SYS_FS);
				c = connect_or_give_up(DB);
				sql(c, "SELECT count(fairsched_create_workspace(workspace => 'ws' || i, own_table => false, %s))"
					" FROM generate_series(0, 999) i",
					ways[w].on ? "tier => (ARRAY['starter','growth','scale','enterprise'])[1 + i % 4], max_running => 20 + i % 40"
					: "max_running => " HUGE_CEILING);
				disconnect(c);
				load(SYS_FS, supply(SYS_FS, 100, r.seconds, false), 0, 1000, ways[w].arrival);
				settle();
				if (reps(1, 4) > 1)
					to_stock(name);
			}
			go(&r, ways[w].name, "fairsched");
		}
}

/*
 * All gates set against none: jobs that declare what they need in both lanes; those
 * of one are of workspaces with quotas of it, a rate limit, a throttle, and a
 * budget that each job names, none of which ever refuses.  The others' kind has a
 * longer name, so that their rows are as wide: what a wider row costs is not what
 * gates do.  Each client claims from one lane and the other in turns, so whatever
 * else the machine does, it does to both.
 */
static void
gates_db(void)
{
	PGconn	   *c;

	if (!from_stock("gates"))
	{
		create_db(SYS_FS);
		c = connect_or_give_up(DB);
		sql(c, "INSERT INTO fairsched.job_kinds (kind, cost, resources)"
			" SELECT k, 1, '{\"cpu\": 0.5, \"memory\": 1, \"gpu\": 1, \"tokens\": 10, \"cost\": 0.01}'"
			" FROM unnest(ARRAY['default', lpad('', 48, 'kind')]) k");
		sql(c, "SELECT count(fairsched_create_workspace(workspace => 'ws' || i, own_table => false, max_running => "
			HUGE_CEILING ")) FROM generate_series(0, 199) i");
		sql(c, "SELECT count(fairsched_set_quota('ws' || i, r, 1e9))"
			" FROM generate_series(1, 199, 2) i, unnest('{cpu,memory,gpu,concurrent_runs,storage,tokens,cost}'::text[]) r");
		sql(c, "SELECT count(fairsched_set_quota('ws' || i, r, 1e9, burst => 10))"
			" FROM generate_series(1, 199, 2) i, unnest('{cpu,memory}'::text[]) r");
		sql(c, "SELECT count(fairsched_set_throttle('ws' || i, true)) FROM generate_series(1, 199, 2) i");
		sql(c, "SELECT count(fairsched_set_budget('budget' || i, 1e9, workspace => 'ws' || i)) FROM generate_series(1, 199, 2) i");
		disconnect(c);
		load_with(SYS_FS, supply(SYS_FS, 100, secs(1, 2), false) + supply(SYS_FS, 1, secs(1, 2), false), 0, 200, MIXED,
				  "lane, kind, budgets", "CASE i % 2 WHEN 0 THEN 'plain' ELSE 'gated' END,"
				  " CASE i % 2 WHEN 0 THEN lpad('', 48, 'kind') ELSE 'default' END,"
				  " CASE i % 2 WHEN 1 THEN ARRAY['budget' || i % 200] END");
		settle();
		to_stock("gates");
	}
	/* not in the copy: what was claimed before it is not known there, so the window would count as used */
	c = connect_or_give_up(DB);
	sql(c, "SELECT count(fairsched_set_rate_limit('ws' || i, 1000000000, '1 hour')) FROM generate_series(1, 199, 2) i");
	disconnect(c);
}

void
sc_gates(void)
{
	static const int batches[] = {1, 100};
	static const char *const keys[] = {"gates.cpu1", "gates.cpu"};
	double		ratio[2][MAX_REPS];
	int			n = reps(3, 7);

	if (n > MAX_REPS)
		n = MAX_REPS;
	if (skip(SYS_FS))
		return;
	for (int rep = 0; rep < n; rep++)
	{
		gates_db();
		for (int b = 0; b < 2; b++)
		{
			Run			r = new_run(SYS_FS, M_DRAIN, batches[b]);
			char		v[64];

			r.seconds = secs(1, 2);
			r.turns[0] = "plain";
			r.turns[1] = "gated";
			if (batches[b] == 1)
				r.warmup = 60;	/* each session has booked claims, and knows the tables of that */
			snprintf(v, sizeof(v), "none and all gates set in turns, batch %d", batches[b]);
			go(&r, v, "fairsched");
			ratio[b][rep] = r.turn_cpu_us[1] / r.turn_cpu_us[0];
			fact("gates", "batch %d: CPU of a claim %.2f µs a job with none, %.2f µs with all gates set", batches[b],
				 r.turn_cpu_us[0], r.turn_cpu_us[1]);
		}
	}
	for (int b = 0; b < 2; b++)
	{
		double		least = ratio[b][0],
					most = ratio[b][0];

		for (int i = 1; i < n; i++)
		{
			least = fmin(least, ratio[b][i]);
			most = fmax(most, ratio[b][i]);
		}
		fact("gates", "batch %d, CPU of a claim, all gates against none: %d runs from %.2fx to %.2fx, median %.3fx",
			 batches[b], n, least, most, median(ratio[b], n));
		reach(keys[b], median(ratio[b], n));
	}
}

/* ---- a dashboard ---- */

/* Whole views, every column: more than a dashboard shows of them. */
static const char *const dashboard[] = {
	"SELECT * FROM fairsched.workspace_status",
	"SELECT * FROM fairsched.queue_status",
	"SELECT * FROM fairsched.fairness",
	"SELECT * FROM fairsched.fairness_summary",
	"SELECT * FROM fairsched.claim_stats",
};

#define NDASHBOARD ((int) (sizeof(dashboard) / sizeof(dashboard[0])))

typedef struct Poll
{
	PGconn	   *conn;
	int			stop;
	int			polls;
	bool		warm;			/* the first was made */
	int			rows;			/* of the last poll */
	uint64_t	cpu_ns;			/* of its backend */
	char		error[256];
} Poll;

static void *
poll_views(void *arg)
{
	Poll	   *p = arg;
	int			pid = PQbackendPID(p->conn);

	while (p->error[0] == 0 && !__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE))
	{
		uint64_t	t = now_ns();
		uint64_t	before = sched_pid_ns(pid);

		p->rows = 0;
		for (int i = 0; i < NDASHBOARD && p->error[0] == 0; i++)
		{
			PGresult   *res = PQexec(p->conn, dashboard[i]);

			if (PQresultStatus(res) != PGRES_TUPLES_OK)
				snprintf(p->error, sizeof(p->error), "%s", PQerrorMessage(p->conn));
			p->rows += PQntuples(res);
			PQclear(res);
		}
		/* the first one fills the caches of its connection, which a dashboard keeps */
		if (p->warm)
		{
			p->cpu_ns += sched_pid_ns(pid) - before;
			p->polls++;
		}
		p->warm = true;
		while (now_ns() < t + UINT64_C(1000000000) && !__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE))
			sleep_ns(1000000);
	}
	return NULL;
}

/* With and without somebody who reads five views each second, 2,000 workspaces. */
void
sc_dashboard(void)
{
	double		cpu = 0;
	int			polls = 0;
	int			rows = 0;

	if (skip(SYS_FS))
		return;
	for (int rep = 0; rep < reps(5, 5); rep++)
		/* in turns first and second */
		for (int k = 0; k < 2; k++)
		{
			bool		on = (rep + k) % 2 == 1;
			Run			r = new_run(SYS_FS, M_DRAIN, 1);
			Poll		p = {0};
			pthread_t	th;

			r.seconds = secs(2, 4);
			prepare_copy(SYS_FS, supply(SYS_FS, 1, r.seconds, false), 2000, MIXED);
			if (on)
			{
				p.conn = connect_or_give_up(DB);
				pthread_create(&th, NULL, poll_views, &p);
			}
			go(&r, on ? "with a dashboard" : "without", "fairsched");
			if (on)
			{
				__atomic_store_n(&p.stop, 1, __ATOMIC_RELEASE);
				pthread_join(th, NULL);
				disconnect(p.conn);
				if (p.error[0])
					give_up("dashboard", p.error);
				cpu += (double) p.cpu_ns / 1e6;
				polls += p.polls;
				rows = p.rows;
			}
		}
	fact("dashboard", "five views, %d rows: %.1f ms of CPU a poll", rows, cpu / polls);
	reach("dashboard.cpu", cpu / polls);
}

/* Beside 50,000 jobs of 1,000 workspaces that are all refused. */
void
sc_refused(void)
{
	static const char *const stock[] = {"alone", "refused"};

	for (int rep = 0; rep < reps(3, 3); rep++)
		for (int on = 0; on < 2; on++)
		{
			Run			r = new_run(SYS_FS, M_DRAIN, 1);

			if (skip(SYS_FS))
				return;
			r.seconds = secs(1, 2);
			if (!from_stock(stock[on]))
			{
				create_db(SYS_FS);
				load(SYS_FS, supply(SYS_FS, 1, r.seconds, true), 0, 100, MIXED);
				if (on)
				{
					PGconn	   *c = connect_or_give_up(DB);

					sql(c, "SELECT count(fairsched_set_quota('ws' || i, CASE WHEN i %% 2 = 0 THEN 'cpu' ELSE 'concurrent_runs' END, 0))"
						" FROM generate_series(1000, 1999) i");
					sql(c, "INSERT INTO fairsched.job_kinds (kind, cost, resources) VALUES ('default', 1, '{\"cpu\": 1}')");
					load(SYS_FS, 50000, 1000, 1000, MIXED);
					disconnect(c);
				}
				settle();
				to_stock(stock[on]);
			}
			go(&r, on ? "beside 50,000 refused jobs" : "alone", "fairsched");
		}
}

void
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

					if (skip(sys) || (sys == SYS_BASE && !opt.full))
						continue;
					r.clients = conns[n];
					r.seconds = secs(1.2, 3);
					prepare_copy(sys, supply(sys, 1, r.seconds, true), spaces[k], MIXED);
					snprintf(v, sizeof(v), "%d workspaces, %d clients", spaces[k], conns[n]);
					go(&r, v, sys_name(sys));
				}
	set_guc("fairsched.default_quota", NULL);
}

/*
 * Sessions of workers live long: before it is measured, each has made so many
 * claims that it has met nearly all of the 500 tables.
 */
void
sc_own500(void)
{
	static const char *const stock[] = {"shared500", "own500"};

	for (int rep = 0; rep < reps(1, 3); rep++)
		for (int own = 0; own < 2; own++)
		{
			Run			r = new_run(SYS_FS, M_DRAIN, 100);

			if (skip(SYS_FS))
				return;
			r.warmup = 300;
			r.seconds = secs(1, 2);
			if (!from_stock(stock[own]))
			{
				PGconn	   *c;
				uint64_t	t = now_ns();

				create_db(SYS_FS);
				c = connect_or_give_up(DB);
				for (int i = 0; i < 500; i++)
					sql(c, "SELECT fairsched_create_workspace(workspace => 'ws%d', own_table => %s)",
						i, own ? "true" : "false");
				if (own)
					fact("time to create 500 workspaces with tables", "%.1f s", (double) (now_ns() - t) / 1e9);
				disconnect(c);
				load(SYS_FS, supply(SYS_FS, 100, r.seconds, false) + r.warmup * r.clients * 100L, 0, 500, MIXED);
				settle();
				if (reps(1, 3) > 1)
					to_stock(stock[own]);
			}
			go(&r, own ? "500 own tables" : "500 in the shared table", "fairsched");
		}
}
