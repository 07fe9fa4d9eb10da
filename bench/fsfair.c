/*
 * fsfair.c: scenarios that show who is served when: under a held snapshot,
 * behind a hot tenant, by weight.
 */
#include "fsbench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
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
		prepare_db(sys, 10000, 1000, MIXED);
		holder = connect_or_give_up(DB);
		sql(holder, "BEGIN ISOLATION LEVEL REPEATABLE READ");
		sql(holder, "SELECT count(*) FROM pg_class");
		go(&r, "batch 10", sys_name(sys));
		disconnect(holder);
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
			reach("held.keep", b / a);
	}
	reach("held.baseline", last[1] / last[0]);
	if (s < 60)
	{
		reach_note("held.keep", "%g s, %d s at each end", s, window);
		reach_note("held.baseline", "%g s, %d s at the end", s, window);
	}
}

/* 200,000 jobs of one tenant first, then 1,000 tenants with 5 each: who is served when? */
void
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
			snprintf(v, sizeof(v), "hot_%s", sys_name(sys));
			if (!from_stock(v))
			{
				create_db(sys);
				load(sys, 200000, 0, 1, PLAIN);
				load(sys, 5000, 1, 1000, PLAIN);
				settle();
				if (sys == SYS_FS)
					to_stock(v);
			}
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
				snprintf(v, sizeof(v), "hot.%d", batches[k]);
				reach(v, at99 < 0 ? (double) o.size : (double) at99);
				reach_floor(v, "4,970: 99 %% of the small ones' jobs and one quantum of the hot tenant");
			}
			free(o.tenant);
		}
	set_guc("fairsched.default_quota", NULL);
}

/* 20 tenants of four tiers, all backlogged: is service proportional to weight? */
void
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

			if (skip(sys) || (sys == SYS_BASE && !opt.full))
				continue;
			create_db(sys);
			if (sys == SYS_FS)
			{
				PGconn	   *c = connect_or_give_up(DB);

				for (int i = 0; i < 20; i++)
					sql(c, "SELECT fairsched_create_workspace(workspace => 'ws%d', tier => '%s',"
						" own_table => false)", i, tier[i % 4]);
				disconnect(c);
			}
			load(sys, batch == 1 ? 60000 : 240000, 0, 20, MIXED);
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
				snprintf(v, sizeof(v), "jain.%d", batch);
				reach(v, jain);
			}
			free(o.tenant);
		}
	set_guc("fairsched.default_quota", NULL);
}
