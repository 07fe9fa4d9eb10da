/*
 * fstargets.c: what is to be reached, in the order of the page, and whether it
 * was.
 *
 * Scenarios report single figures with reach(); figures that are ratios of
 * medians are computed at the end, by targets_of_medians().  Where a target may be
 * out of reach because of what the server itself costs, the floor says what that
 * is: measured in the same run, interleaved.
 */
#include "fsbench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum Sense
{
	LEAST,						/* at least */
	MOST,						/* at most */
	EXACT,
	INFO						/* no target */
} Sense;

static const struct
{
	const char *key;
	char		in;				/* q: quick and full mode, f: full mode */
	Sense		sense;
	double		bound;
	const char *unit;
	const char *what;
}			targets[] =
{
	/* claim and complete */
	{"drain1.speed", 'q', LEAST, 1.05, "x", "claim, then complete, batch 1, 8 clients: jobs/s against baseline"},
	{"drain1.cpu", 'q', MOST, 0.5, "x", "the same: server CPU a job against baseline"},
	{"onecommit.speed", 'q', LEAST, 2, "x", "the same with fairsched_complete_and_claim (one commit a job): jobs/s against baseline"},
	{"notdurable1.speed", 'f', LEAST, 1.7, "x", "the same with fairsched.durable_claims = off: jobs/s against baseline"},
	{"notdurable100.speed", 'f', LEAST, 3.5, "x", "the same at batch 100"},
	{"drain100.speed", 'q', LEAST, 2.5, "x", "claim, then complete, batch 100, 8 clients: jobs/s against baseline"},
	{"drain100.cpu", 'q', MOST, 10, " µs", "the same: server CPU a job of claim and completion"},
	{"groups.speed", 'f', LEAST, 2.5, "x", "the same where tenants enqueue 20 jobs at a time: jobs/s against baseline"},
	{"groups.cpu", 'f', MOST, 10, " µs", "the same: server CPU a job of claim and completion"},
	{"groups.notdurable", 'f', LEAST, 3.5, "x", "the same with fairsched.durable_claims = off: jobs/s against baseline"},
	{"drain1.claim", 'q', MOST, 60, " µs", "CPU of a claim, batch 1"},
	{"drain1.claimasync", 'q', MOST, 60, " µs", "the same with commits that are not flushed (the measure in which the prototype took 50)"},
	{"drain100.claim", 'q', MOST, 15, " µs", "CPU of a claim, batch 100, a job"},
	{"drain1.wal", 'q', MOST, 300, " B", "WAL of claim and completion, batch 1, autovacuum paused"},
	{"drain100.wal", 'q', MOST, 300, " B", "WAL of claim and completion, batch 100, a job, autovacuum paused"},
	/* enqueue */
	{"enqueue.one", 'q', LEAST, 1, "x", "enqueue one by one: jobs/s against INSERT"},
	{"enqueue.from", 'f', INFO, 0, "x", "the same called in FROM: SELECT job_id FROM fairsched_enqueue(…)"},
	{"enqueue.many", 'q', LEAST, 1, "x", "enqueue 1,000 a call: jobs/s against INSERT … SELECT of 1,000"},
	{"enqueue.copy", 'q', LEAST, 1, "x", "COPY of 1,000 into fairsched.inbox: jobs/s against INSERT … SELECT of 1,000"},
	{"enqueue.copycopy", 'q', INFO, 0, "x", "COPY of 1,000 into fairsched.inbox: jobs/s against COPY of 1,000"},
	/* sizes */
	{"workspaces.1", 'q', MOST, 1.1, "x", "workspaces 10 → 1,000 → 100,000, backlog of 1M, batch 1: CPU of a claim, most against least"},
	{"workspaces.100", 'q', MOST, 1.1, "x", "the same at batch 100"},
	{"backlog1m.1", 'q', MOST, 1.1, "x", "backlog of mixed priorities 10 thousand → 1M, batch 1: CPU of a claim"},
	{"backlog1m.100", 'q', MOST, 1.1, "x", "the same at batch 100"},
	{"backlog10m.1", 'f', MOST, 1.1, "x", "backlog of mixed priorities 10 thousand → 10M, batch 1: CPU of a claim"},
	{"backlog10m.100", 'f', MOST, 1.1, "x", "the same at batch 100"},
	{"backlogone.100", 'q', MOST, 1.1, "x", "backlog of one priority 10 thousand → 1M, batch 100: CPU of a claim"},
	{"backlogown.100", 'q', MOST, 1.1, "x", "the same of 100 workspaces with tables of their own"},
	/* a held snapshot */
	{"held.keep", 'q', LEAST, 0.85, "", "60 s of enqueue + claim + complete under a held snapshot: last 5 s against first 5 s"},
	{"held.baseline", 'q', LEAST, 10, "x", "the same: last 5 s against baseline's"},
	/* fairness */
	{"hot.1", 'q', MOST, 5000, "", "200,000 jobs of a hot tenant, then 1,000 tenants with 5 each, batch 1: claims until 99 % of the small ones' jobs are claimed"},
	{"hot.10", 'q', MOST, 5000, "", "the same at batch 10"},
	{"jain.1", 'q', LEAST, 0.999, "", "Jain index of served/weight, 20 tenants of four weights, batch 1"},
	{"jain.100", 'q', LEAST, 0.999, "", "the same at batch 100"},
	{"limits.cpu", 'f', MOST, 1.05, "x", "weights and ceilings on against off: CPU a job"},
	{"limits.turns", 'f', MOST, 1.05, "x", "the same where tenants enqueue in turns, so other weights mean other pages"},
	{"gates.cpu", 'f', MOST, 1.05, "x", "all gates set against none, batch 100: CPU of a claim, median of runs"},
	{"gates.cpu1", 'f', MOST, 1.05, "x", "the same at batch 1"},
	{"refused.cpu", 'f', MOST, 1.05, "x", "beside 50,000 refused jobs of 1,000 workspaces, batch 1: CPU of a claim"},
	{"dashboard.speed", 'f', LEAST, 0.97, "x", "a dashboard that reads five views of 2,000 workspaces each second, batch 1, 8 clients: jobs/s against none"},
	{"dashboard.cpu", 'f', MOST, 20, " ms", "the same: CPU of one look at all five"},
	/* waiting */
	{"wake.1.p50", 'q', MOST, 0.3, " ms", "wake-up in max_wait, from commit to claim in hand, p50"},
	{"wake.1.p99", 'q', MOST, 1.5, " ms", "the same, p99"},
	{"wake.2.p50", 'q', MOST, 0.3, " ms", "wake-up in fairsched_wait, from commit to claim in hand, p50"},
	{"wake.2.p99", 'q', MOST, 1.5, " ms", "the same, p99"},
	{"idle.waiting", 'q', EXACT, 16, "", "16 idle sessions in fairsched_wait: still waiting after 3 s"},
	{"idle.cpu", 'q', MOST, 1, " ms/s", "the same: CPU a second, together"},
	{"idle.pins", 'q', EXACT, 0, "", "the same: snapshots they pin"},
	/* connections, own tables */
	{"conn64.1", 'q', LEAST, 0.8, "x", "64 connections against 8, one hot workspace: jobs/s"},
	{"conn64.10000", 'q', LEAST, 0.8, "x", "64 connections against 8, 10,000 workspaces: jobs/s"},
	{"own500.cpu", 'f', MOST, 2, "x", "500 workspaces with tables of their own against 500 in the shared one, batch 100 across them: CPU a job"},
	{"own.opens", 'q', EXACT, 0, "", "tables of their own that a claim across 100 workspaces opens, beyond those its jobs are in"},
	/* restart, memory */
	{"rebuild1m", 'f', MOST, 3, " s", "restart with 1M jobs, 5,000 running: to the first claim"},
	{"rebuild10m", 'f', MOST, 10, " s", "restart with 10M jobs, 10,000 running: to the first claim"},
	{"shm.128", 'q', MOST, 128, " MB", "shared memory for 100,000 workspaces, 10,000 running"},
	{"shm.docs", 'q', EXACT, 0, "", "sizes of shared memory in docs/operations.md that are not as measured"},
	{"memory", 'f', MOST, 256, " kB", "growth of a session's private memory over 1M claims"},
};

#define NTARGETS	((int) (sizeof(targets) / sizeof(targets[0])))

static struct
{
	double		figure;
	bool		measured;
	char		note[160];		/* how the measurement is less than what is asked */
	char		floor[200];
}			got[NTARGETS];

static int
find(const char *key)
{
	for (int i = 0; i < NTARGETS; i++)
		if (!strcmp(targets[i].key, key))
			return i;
	fprintf(stderr, "fsbench: there is no target \"%s\"\n", key);
	exit(1);
}

/* reach: the figure of a target; of several, the worst counts.  NAN: not measured. */
void
reach(const char *key, double figure)
{
	int			i = find(key);

	if (isnan(figure))
		return;
	if (got[i].measured && (targets[i].sense == LEAST ? figure > got[i].figure : figure < got[i].figure))
		return;
	got[i].figure = figure;
	got[i].measured = true;
}

/* In what the measurement is less than what the target says. */
void
reach_note(const char *key, const char *fmt,...)
{
	va_list		ap;

	va_start(ap, fmt);
	vsnprintf(got[find(key)].note, sizeof(got[0].note), fmt, ap);
	va_end(ap);
}

void
reach_floor(const char *key, const char *fmt,...)
{
	va_list		ap;

	va_start(ap, fmt);
	vsnprintf(got[find(key)].floor, sizeof(got[0].floor), fmt, ap);
	va_end(ap);
}

/* ---- targets that are ratios of medians ---- */

static double
of(const char *sc, const char *variant, const char *system, const char *m,
   const char *than_variant, const char *than_system)
{
	return med(sc, variant, system, m) / med(sc, than_variant, than_system, m);
}

/* A row's figure against the baseline's. */
static double
vs(const char *sc, const char *variant, const char *system, const char *m)
{
	return of(sc, variant, system, m, variant, "baseline");
}

static void
drain_targets(void)
{
	static const char *const d1 = "drain1";
	static const char *const d100 = "drain100";
	static const char *const b1 = "batch 1";
	static const char *const b100 = "batch 100";
	static const char *const two = "floor: two commits";
	static const char *const one = "floor: one commit";

	reach("drain1.speed", vs(d1, b1, "fairsched", "jobs_s"));
	reach("drain1.cpu", vs(d1, b1, "fairsched", "cpu_us"));
	reach("drain1.claim", med(d1, b1, "fairsched", "claim_cpu_us"));
	reach("drain1.claimasync", med(d1, b1, "fairsched not flushed", "claim_cpu_us"));
	reach("onecommit.speed", vs(d1, b1, "fairsched one commit", "jobs_s"));
	reach("notdurable1.speed", vs(d1, b1, "fairsched not durable", "jobs_s"));
	reach("notdurable100.speed", vs(d100, b100, "fairsched not durable", "jobs_s"));
	reach("drain100.speed", vs(d100, b100, "fairsched", "jobs_s"));
	reach("drain100.cpu", med(d100, b100, "fairsched", "cpu_us"));
	reach("groups.speed", vs("groups", b100, "fairsched", "jobs_s"));
	reach("groups.cpu", med("groups", b100, "fairsched", "cpu_us"));
	reach("groups.notdurable", vs("groups", b100, "fairsched not durable", "jobs_s"));
	reach("drain100.claim", med(d100, b100, "fairsched", "claim_cpu_us"));
	reach("drain1.wal", med(d1, "batch 1, autovacuum paused", "fairsched", "wal_bytes"));
	reach("drain100.wal", med(d100, "batch 100, autovacuum paused", "fairsched", "wal_bytes"));
	if (!isnan(vs(d1, b1, two, "jobs_s")))
	{
		reach_floor("drain1.speed", "two commits alone: %.2fx", vs(d1, b1, two, "jobs_s"));
		reach_floor("drain1.cpu", "two commits alone: %.2fx", vs(d1, b1, two, "cpu_us"));
		reach_floor("drain1.claim", "one commit alone: %.1f µs", med(d1, b1, two, "claim_cpu_us"));
		reach_floor("drain1.wal", "two commits of a narrow row: %.0f B", med(d1, b1, two, "wal_bytes"));
	}
	if (!isnan(vs(d1, b1, one, "jobs_s")))
	{
		reach_floor("onecommit.speed", "one commit alone: %.2fx", vs(d1, b1, one, "jobs_s"));
		reach_floor("notdurable1.speed", "one commit alone: %.2fx", vs(d1, b1, one, "jobs_s"));
	}
}

static void
enqueue_targets(void)
{
	reach("enqueue.one", vs("enqueue", "one by one", "fairsched", "jobs_s"));
	reach("enqueue.from", vs("enqueue", "one by one", "fairsched, in FROM", "jobs_s"));
	reach("enqueue.many", vs("enqueue", "1,000 a call", "fairsched", "jobs_s"));
	reach("enqueue.copy", of("enqueue", "COPY of 1,000", "fairsched", "jobs_s", "1,000 a call", "baseline"));
	reach("enqueue.copycopy", vs("enqueue", "COPY of 1,000", "fairsched", "jobs_s"));
}

static void
size_targets(int batch)
{
	static const char *const counts[] = {"10", "1000", "100000"};
	double		least = NAN,
				most = NAN;
	char		key[32],
				a[64],
				b[64],
				c[64];

	for (int i = 0; i < 3; i++)
	{
		double		cpu;

		snprintf(a, sizeof(a), "%s, batch %d", counts[i], batch);
		cpu = med("workspaces", a, "fairsched", "claim_cpu_us");
		least = fmin(least, cpu);	/* fmin and fmax pass over NAN */
		most = fmax(most, cpu);
	}
	snprintf(key, sizeof(key), "workspaces.%d", batch);
	reach(key, most / least);

	snprintf(a, sizeof(a), "10000, batch %d", batch);
	snprintf(b, sizeof(b), "1000000, batch %d", batch);
	snprintf(c, sizeof(c), "10000000, batch %d", batch);
	snprintf(key, sizeof(key), "backlog1m.%d", batch);
	reach(key, of("backlog", b, "fairsched", "claim_cpu_us", a, "fairsched"));
	snprintf(key, sizeof(key), "backlog10m.%d", batch);
	reach(key, med("backlog10m", c, "fairsched", "claim_cpu_us") / med("backlog", a, "fairsched", "claim_cpu_us"));
}

static void
backlog_target(const char *key, const char *name)
{
	char		a[64],
				b[64];

	snprintf(a, sizeof(a), "10000%s, batch 100", name);
	snprintf(b, sizeof(b), "1000000%s, batch 100", name);
	reach(key, of("backlog", b, "fairsched", "claim_cpu_us", a, "fairsched"));
}

/* What reading the rows alone costs more in a large table, next to what claims cost more. */
static void
read_floor(const char *key, const char *small, const char *scenario, const char *large)
{
	static const char *const floor = "floor: reading rows";
	double		read[2] = {med("backlog", small, floor, "claim_cpu_us"), med(scenario, large, floor, "claim_cpu_us")};
	double		claim[2] = {med("backlog", small, "fairsched", "claim_cpu_us"),
	med(scenario, large, "fairsched", "claim_cpu_us")};

	if (!isnan(read[0]) && !isnan(read[1]))
		reach_floor(key, "reading the rows alone: %.1f → %.1f µs a job, of the claim's %.1f → %.1f",
					read[0], read[1], claim[0], claim[1]);
}

/* targets_of_medians: at the end, when all medians are known. */
void
targets_of_medians(void)
{
	drain_targets();
	enqueue_targets();
	size_targets(1);
	size_targets(100);
	backlog_target("backlogone.100", ", one priority");
	backlog_target("backlogown.100", ", 100 own tables");
	read_floor("backlog1m.100", "10000, batch 100", "backlog", "1000000, batch 100");
	read_floor("backlog10m.100", "10000, batch 100", "backlog10m", "10000000, batch 100");
	read_floor("backlogone.100", "10000, one priority, batch 100", "backlog", "1000000, one priority, batch 100");
	reach("limits.cpu", of("limits", "weights and ceilings", "fairsched", "cpu_us", "all equal, no ceiling", "fairsched"));
	reach("limits.turns", of("limits", "weights and ceilings, in turns", "fairsched", "cpu_us", "all equal, no ceiling, in turns", "fairsched"));
	reach("refused.cpu", of("refused", "beside 50,000 refused jobs", "fairsched", "claim_cpu_us", "alone", "fairsched"));
	reach("dashboard.speed", of("dashboard", "with a dashboard", "fairsched", "jobs_s", "without", "fairsched"));
	reach("conn64.1", of("conn64", "1 workspaces, 64 clients", "fairsched", "jobs_s",
						 "1 workspaces, 8 clients", "fairsched"));
	reach("conn64.10000", of("conn64", "10000 workspaces, 64 clients", "fairsched", "jobs_s",
							 "10000 workspaces, 8 clients", "fairsched"));
	reach("own500.cpu", of("own500", "500 own tables", "fairsched", "cpu_us", "500 in the shared table", "fairsched"));
}

/* ---- the table ---- */

static const char *
result(int i)
{
	if (!got[i].measured)
		return targets[i].in == 'f' && !opt.full ? "not run in quick mode" : "not measured";
	switch (targets[i].sense)
	{
		case LEAST:
			return got[i].figure >= targets[i].bound ? "reached" : "missed";
		case MOST:
			return got[i].figure <= targets[i].bound ? "reached" : "missed";
		case EXACT:
			return got[i].figure == targets[i].bound ? "reached" : "missed";
		case INFO:
			break;
	}
	return "for information";
}

/*
 * write_targets: all of them to the file; those that were measured to stdout.
 * Columns: what, target, measured, floor, result.
 */
void
write_targets(FILE *f)
{
	static const char *const sign[] = {"≥ ", "≤ ", "", ""};

	fprintf(f, "what\ttarget\tmeasured\tfloor\tresult\n");
	printf("\ntargets\n");
	for (int i = 0; i < NTARGETS; i++)
	{
		double		x = got[i].figure;
		int			digits = x == floor(x) || x >= 1000 ? 0 : x >= 100 ? 1 : x >= 10 ? 2 : 3;
		char		target[64] = "",
					measured[256] = "";

		if (targets[i].sense != INFO)
			snprintf(target, sizeof(target), "%s%g%s", sign[targets[i].sense], targets[i].bound, targets[i].unit);
		if (got[i].measured)
			snprintf(measured, sizeof(measured), "%.*f%s%s%s%s",
					 strncmp(targets[i].key, "jain", 4) ? digits : 5, x, targets[i].unit,
					 got[i].note[0] ? " (" : "", got[i].note, got[i].note[0] ? ")" : "");
		fprintf(f, "%s\t%s\t%s\t%s\t%s\n", targets[i].what, target, measured, got[i].floor, result(i));
		if (got[i].measured)
			printf("  %-8s %s: %s%s%s%s%s\n", strcmp(result(i), "missed") ? result(i) : "MISSED", targets[i].what,
				   measured, target[0] ? ", target " : "", target, got[i].floor[0] ? "; floor: " : "", got[i].floor);
	}
}
