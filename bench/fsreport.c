/*
 * fsreport.c: figures of the runs, their medians, and the files they are
 * written to.
 *
 * A table on stdout while it runs, and in --out DIR raw.tsv (every repetition),
 * summary.tsv (medians), series.tsv (jobs/s over time), facts.tsv (single
 * figures) and checks.tsv (targets).  bench/run makes the page of them.
 */
#include "fsbench.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROWS		128

static FILE *raw_file,
		   *facts_file;
FILE	   *series_file;

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
	{"vacuum_cpu_us", offsetof(Run, vacuum_cpu_us)},
};

#define NMETRICS	((int) (sizeof(metric) / sizeof(metric[0])))

typedef struct Row
{
	char		scenario[32];
	char		variant[64];
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

double
median(const double *v, int n)
{
	double		s[MAX_REPS];

	if (n == 0)
		return NAN;
	memcpy(s, v, sizeof(double) * (size_t) n);
	qsort(s, (size_t) n, sizeof(double), compare_double);
	return n % 2 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2;
}

/* med: median of a metric of a row, NAN if it was not measured. */
double
med(const char *scenario, const char *variant, const char *system, const char *name)
{
	Row		   *r = find_row(scenario, variant, system);

	for (int m = 0; r && m < NMETRICS; m++)
		if (!strcmp(metric[m].name, name))
			return median(r->v[m], r->n);
	return NAN;
}

/* note_failure: something went wrong in this scenario; the command will fail, and the page says so. */
void
note_failure(const char *what, const char *message)
{
	size_t		n = strlen(message);

	while (n > 0 && message[n - 1] == '\n')
		n--;
	printf("  FAILED %s: %s: %.*s\n", scenario_name, what, (int) n, message);
	fprintf(facts_file, "%s\tFAILED\t%s\n", scenario_name, what);
	fflush(stdout);
	failures++;
}

void
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
	printf("  %-26s %-22s %9.0f jobs/s  cpu %7.1f us  claim %6.1f done %6.1f vacuum %5.1f  wal %5.0f B"
		   "  claim p50 %7.0f p99 %7.0f  done p50 %7.0f p99 %7.0f us\n",
		   variant, system, r->jobs_s, r->cpu_us, r->claim_cpu_us, r->done_cpu_us, r->vacuum_cpu_us, r->wal_bytes,
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

void fact(const char *name, const char *fmt,...) __attribute__((format(printf, 2, 3)));
void
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

static double
ratio(const char *sc, const char *variant, const char *system, const char *m)
{
	return med(sc, variant, system, m) / med(sc, variant, "baseline", m);
}

static FILE *
out(const char *name)
{
	char		path[1024];
	FILE	   *f;

	snprintf(path, sizeof(path), "%s/%s", opt.out_dir, name);
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
	write_targets(f);
	fclose(f);
}

void
reports_open(void)
{
	raw_file = out("raw.tsv");
	series_file = out("series.tsv");
	facts_file = out("facts.tsv");
	fprintf(raw_file, "scenario\tvariant\tsystem");
	for (int m = 0; m < NMETRICS; m++)
		fprintf(raw_file, "\t%s", metric[m].name);
	fprintf(raw_file, "\tjobs\tseconds\n");
}

void
reports_close(void)
{
	fclose(raw_file);
	fclose(series_file);
	targets_of_medians();
	write_reports();
	fclose(facts_file);
}
