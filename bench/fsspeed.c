/*
 * fsspeed.c: scenarios that measure what a job costs.
 */
#include "fsbench.h"

#include <math.h>
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
		{"baseline one commit", SYS_BASE, M_ONE_TX, false, false, true},
		{"baseline pipelined", SYS_BASE, M_DRAIN, true, false, true},
		{"fairsched pipelined", SYS_FS, M_DRAIN, true, false, true},
		{"fairsched not durable", SYS_FS, M_DRAIN, false, true, true},
	};
	char		variant[32];
	double		s = batch == 1 ? secs(1.5, 4) : secs(1.2, 2.5);
	int			n = reps(3, 3);

	snprintf(variant, sizeof(variant), "batch %d", batch);
	for (int rep = 0; rep < n; rep++)
		for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++)
		{
			Run			r;

			if (skip(ways[w].sys) || (ways[w].extra && !extras))
				continue;
			prepare_copy(ways[w].sys, supply(ways[w].sys, batch, s, batch == 1 || ways[w].soft), 1000);
			r = new_run(ways[w].sys, ways[w].mode, batch);
			r.pipeline = ways[w].pipeline;
			r.seconds = s;
			go_with(&r, ways[w].soft ? "fairsched.durable_claims" : NULL, "off", variant, ways[w].name);
		}
}

void
sc_drain1(void)
{
	drain(1, opt.full);
}

void
sc_drain100(void)
{
	drain(100, opt.full);
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
			prepare_copy(sys, supply(sys, 100, r.seconds, false), 1000);
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
			for (System sys = SYS_BASE; sys <= SYS_FS; sys++)
			{
				Run			r = new_run(sys, ways[w].mode, ways[w].batch);

				if (skip(sys))
					continue;
				r.seconds = secs(0.7, 3);
				prepare_copy(sys, 1000, 1000);
				go(&r, ways[w].name, sys_name(sys));
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
void
sc_backlog(void)
{
	long		counts[] = {10000, 1000000, opt.full ? 5000000 : 0};

	for (int rep = 0; rep < reps(1, 2); rep++)
		for (int k = 0; k < 3; k++)
			for (System sys = SYS_BASE; sys <= SYS_FS; sys++)
			{
				char		v[48];

				if (skip(sys) || counts[k] == 0 ||
					(sys == SYS_BASE && counts[k] > (opt.full ? 1000000 : 10000)))
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

void
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

/* Weights and ceilings on against everything equal and without limit. */
void
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
					prepare_copy(sys, supply(sys, 1, r.seconds, true), spaces[k]);
					snprintf(v, sizeof(v), "%d workspaces, %d clients", spaces[k], conns[n]);
					go(&r, v, sys_name(sys));
				}
	set_guc("fairsched.default_quota", NULL);
}

void
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
