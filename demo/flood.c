/*
 * flood.c
 *	  The demo's second half: one workspace with a flood of jobs and a thousand with a few each, drained
 *	  by several workers, and a picture of who was served when.
 *
 *	  flood drain fair|plain NAME BATCH TRACE   be a worker until there are no jobs left; TRACE gets
 *	                                            a line per claim: time of claim, time of completion
 *	                                            (microseconds), and the tenant of each job in order
 *	  flood picture WIDTH unicode|ascii FLOOD TENANTS EACH FAIR_TRACES PLAIN_TRACES
 *	                                            TRACES: comma-separated files
 *
 *	  Tenant 0 is the flood. Both ways do the same: claim a batch, commit, do nothing, complete the
 *	  batch, commit.
 */
#define _XOPEN_SOURCE 700

#include "common.h"

/* ------------------------------------------------------------------ drain */

static int
drain(bool fair, const char *name, const char *batch, const char *trace_path)
{
	PGconn	   *conn = connect_or_die(name);
	FILE	   *trace = fopen(trace_path, "w");
	Buf			ids = {0};
	Buf			tokens = {0};
	int64_t		last_job = now_usec();

	if (trace == NULL)
		die("could not write \"%s\": %s", trace_path, strerror(errno));

	if (fair)
	{
		prepare(conn, "claim",
				"SELECT job_id, token, payload->>'tenant' "
				"FROM fairsched_claim(worker => $1::text, max_jobs => $2::int)");
		prepare(conn, "complete", "SELECT count(*) FROM fairsched_complete_many($1::bigint[], $2::bigint[])");
	}
	else
	{
		/* What people write today, with the index it needs. */
		prepare(conn, "claim",
				"UPDATE plain.jobs SET state = 'running', worker = $1::text, claimed_at = now() "
				"WHERE job_id = ANY (ARRAY(SELECT job_id FROM plain.jobs WHERE state = 'available' "
				"ORDER BY job_id LIMIT $2::int FOR UPDATE SKIP LOCKED)) "
				"RETURNING job_id, 0 AS token, payload->>'tenant'");
		prepare(conn, "complete", "DELETE FROM plain.jobs WHERE job_id = ANY ($1::bigint[])");
	}

	for (;;)
	{
		const char *claim_args[2] = {name, batch};
		const char *complete_args[2];
		PGresult   *res = exec_prepared(conn, "claim", 2, claim_args);
		int			n = PQntuples(res);
		int64_t		claimed;

		if (n == 0)
		{
			PQclear(res);
			if (ask(conn, fair ? "SELECT NOT EXISTS (SELECT FROM fairsched.jobs)"
					: "SELECT NOT EXISTS (SELECT FROM plain.jobs)"))
				break;
			if (now_usec() - last_job > STALLED_AFTER)
				die("%s got no job for a minute although there are some", name);
			/* The rest is in other workers' hands: look again in 20 ms. */
			nanosleep(&(struct timespec) {.tv_nsec = 20000000}, NULL);
			continue;
		}

		last_job = claimed = now_usec();
		buf_begin_array(&ids);
		buf_begin_array(&tokens);
		for (int i = 0; i < n; i++)
		{
			buf_element(&ids, PQgetvalue(res, i, 0));
			buf_element(&tokens, PQgetvalue(res, i, 1));
		}
		buf_puts(&ids, "}");
		buf_puts(&tokens, "}");
		complete_args[0] = ids.data;
		complete_args[1] = tokens.data;
		PQclear(exec_prepared(conn, "complete", fair ? 2 : 1, complete_args));

		fprintf(trace, "%lld %lld", (long long) claimed, (long long) now_usec());
		for (int i = 0; i < n; i++)
			fprintf(trace, " %s", PQgetvalue(res, i, 2));
		fputc('\n', trace);
		PQclear(res);
	}
	PQfinish(conn);
	if (fclose(trace) != 0)
		die("could not write \"%s\": %s", trace_path, strerror(errno));
	return 0;
}

/* ---------------------------------------------------------------- picture */

typedef struct Claim
{
	int64_t		claimed;
	int64_t		done;
	int			first;			/* of its jobs, in jobs[] */
	int			n;
} Claim;

typedef struct Run
{
	const char *title;
	Claim	   *claims;
	int			nclaims;
	int		   *tenant;			/* of each job, in the order of service */
	int			njobs;
	int			small;			/* jobs of the small tenants */
	int64_t		start;
	int64_t		end;
	int			p99_jobs;		/* jobs, claims and usec until 99 % of the small tenants' jobs were done */
	int			p99_claims;
	int64_t		p99_usec;
	int64_t	   *finished;		/* of each small tenant: usec from the start to its last completion */
} Run;

static int
by_time(const void *a, const void *b)
{
	const Claim *x = a;
	const Claim *y = b;

	return x->claimed < y->claimed ? -1 : x->claimed > y->claimed;
}

static int
by_value(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return x < y ? -1 : x > y;
}

/* Read the traces of all workers of one run and put the claims in order of time. */
static Run
read_run(const char *title, char *paths, int flood, int tenants, int each)
{
	Run			run = {.title = title};
	int			claims_size = 0;
	int			jobs_size = 0;
	int		   *raw = NULL;
	int			nraw = 0;
	int		   *seen = need(calloc(tenants + 1, sizeof(int)));
	int			small_done = 0;
	int			wrong = 0;

	for (char *path = strtok(paths, ","); path; path = strtok(NULL, ","))
	{
		FILE	   *f = fopen(path, "r");
		char	   *line = NULL;
		size_t		size = 0;

		if (f == NULL)
			die("could not read \"%s\": %s", path, strerror(errno));
		while (getline(&line, &size, f) > 0)
		{
			char	   *p = line;
			Claim		c = {.first = nraw};

			c.claimed = strtoll(p, &p, 10);
			c.done = strtoll(p, &p, 10);
			while (*p == ' ')
			{
				if (nraw == jobs_size)
				{
					jobs_size = jobs_size ? jobs_size * 2 : 65536;
					raw = need(realloc(raw, jobs_size * sizeof(int)));
				}
				raw[nraw++] = (int) strtol(p, &p, 10);
			}
			c.n = nraw - c.first;
			if (run.nclaims == claims_size)
			{
				claims_size = claims_size ? claims_size * 2 : 4096;
				run.claims = need(realloc(run.claims, claims_size * sizeof(Claim)));
			}
			run.claims[run.nclaims++] = c;
		}
		free(line);
		fclose(f);
	}
	if (run.nclaims == 0)
		die("%s: nothing was claimed", title);
	qsort(run.claims, run.nclaims, sizeof(Claim), by_time);

	run.start = run.claims[0].claimed;
	run.tenant = need(malloc(nraw * sizeof(int)));
	run.finished = need(calloc(tenants + 1, sizeof(int64_t)));
	for (int i = 0; i < run.nclaims; i++)
	{
		Claim	   *c = &run.claims[i];

		if (c->done > run.end)
			run.end = c->done;
		for (int j = 0; j < c->n; j++)
		{
			int			t = raw[c->first + j];

			if (t < 0 || t > tenants)
				die("%s: a job of unknown tenant %d", title, t);
			run.tenant[run.njobs++] = t;
			seen[t]++;
			if (t == 0)
				continue;
			run.small++;
			if (c->done - run.start > run.finished[t])
				run.finished[t] = c->done - run.start;
			small_done++;
			if (run.p99_jobs == 0 && (int64_t) small_done * 100 >= (int64_t) tenants * each * 99)
			{
				run.p99_jobs = run.njobs;
				run.p99_claims = i + 1;
				run.p99_usec = c->done - run.start;
			}
		}
	}

	/* Each job once: the picture of a wrong run would be worth nothing. */
	for (int t = 0; t <= tenants; t++)
		if (seen[t] != (t == 0 ? flood : each))
			wrong++;
	if (wrong > 0)
		die("%s: %d of %d tenants were not served exactly as many jobs as they put in", title, wrong, tenants + 1);
	free(raw);
	free(seen);
	return run;
}

static const char *const bars_unicode[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
static const char *const bars_ascii[] = {" ", ".", ":", "-", "=", "+", "*", "%", "#"};
static const char *const *bars;

/*
 * strip: two rows of bars over jobs [from, to) in the order of service; the height of a bar is the
 * share of its column. Whoever got anything shows at least the lowest bar.
 */
static void
strip(const Run *run, int from, int to, int columns)
{
	for (int row = 0; row < 2; row++)
	{
		printf("  %-13s", row == 0 ? "small tenants" : "the flood");
		fputs(" |", stdout);
		for (int c = 0; c < columns; c++)
		{
			int			a = from + (int) ((int64_t) (to - from) * c / columns);
			int			b = from + (int) ((int64_t) (to - from) * (c + 1) / columns);
			int			n = 0;
			int			level = 0;

			for (int i = a; i < b; i++)
				n += (run->tenant[i] == 0) == (row == 1);
			if (n > 0)
			{
				level = (int) ((8 * (int64_t) n + (b - a) / 2) / (b - a));
				if (level < 1)
					level = 1;
			}
			fputs(bars[level], stdout);
		}
		puts("|");
	}
}

/* 1234567 as "1,234,567" */
static const char *
grouped(int64_t n)
{
	static char ring[8][32];
	static int	next;
	char	   *out = ring[next++ % 8];
	char		digits[24];
	int			len = snprintf(digits, sizeof(digits), "%lld", (long long) n);
	int			o = 0;

	for (int i = 0; i < len; i++)
	{
		if (i > 0 && (len - i) % 3 == 0)
			out[o++] = ',';
		out[o++] = digits[i];
	}
	out[o] = '\0';
	return out;
}

static const char *
seconds(int64_t usec)
{
	static char ring[8][32];
	static int	next;
	char	   *out = ring[next++ % 8];

	snprintf(out, sizeof(ring[0]), "%.2f s", usec / 1e6);
	return out;
}

static void
row(const char *what, const char *fair, const char *plain)
{
	printf("  %-44s%16s%16s\n", what, fair, plain);
}

static int
picture(int width, bool unicode, int flood, int tenants, int each, char *fair_paths, char *plain_paths)
{
	Run			fair = read_run("with fairsched", fair_paths, flood, tenants, each);
	Run			plain = read_run("without: one table, oldest first, FOR UPDATE SKIP LOCKED", plain_paths,
								 flood, tenants, each);
	const Run  *runs[2] = {&fair, &plain};
	int			columns = width - 18;
	int			zoom;
	int			zoom_columns;

	bars = unicode ? bars_unicode : bars_ascii;

	printf("Who was served when: all %s jobs in the order they were handed out, left to right.\n",
		   grouped(fair.njobs));
	printf("One column is %s jobs; the height is the share of the column.\n", grouped(fair.njobs / columns));
	for (int i = 0; i < 2; i++)
	{
		printf("\n  %s\n", runs[i]->title);
		strip(runs[i], 0, runs[i]->njobs, columns);
	}

	/* The start of the fair run, closer: far enough to see the small tenants come to their end. */
	zoom = fair.p99_jobs + fair.p99_jobs / 4;
	if (zoom > 0 && zoom < fair.njobs / 4)
	{
		zoom_columns = columns < zoom ? columns : zoom;
		printf("\n  the first %s jobs with fairsched, closer (one column is %s jobs)\n",
			   grouped(zoom), grouped(zoom / zoom_columns));
		strip(&fair, 0, zoom, zoom_columns);
	}

	printf("\n");
	row("", "with fairsched", "without");
	puts("  99 % of the small tenants' jobs done after");
	row("    jobs handed out", grouped(fair.p99_jobs), grouped(plain.p99_jobs));
	row("    claims", grouped(fair.p99_claims), grouped(plain.p99_claims));
	row("    time", seconds(fair.p99_usec), seconds(plain.p99_usec));
	for (int i = 0; i < 2; i++)
		qsort(runs[i]->finished + 1, tenants, sizeof(int64_t), by_value);
	puts("  a small tenant has all its jobs done after");
	row("    median", seconds(fair.finished[1 + tenants / 2]), seconds(plain.finished[1 + tenants / 2]));
	row("    slowest", seconds(fair.finished[tenants]), seconds(plain.finished[tenants]));
	row("everything done after", seconds(fair.end - fair.start), seconds(plain.end - plain.start));
	row("jobs a second",
		grouped(fair.njobs * INT64_C(1000000) / (fair.end - fair.start + 1)),
		grouped(plain.njobs * INT64_C(1000000) / (plain.end - plain.start + 1)));
	return 0;
}

int
main(int argc, char **argv)
{
	progname = "demo/flood";
	if (argc == 6 && strcmp(argv[1], "drain") == 0)
		return drain(strcmp(argv[2], "fair") == 0, argv[3], argv[4], argv[5]);
	if (argc == 9 && strcmp(argv[1], "picture") == 0)
		return picture(atoi(argv[2]), strcmp(argv[3], "unicode") == 0, atoi(argv[4]), atoi(argv[5]),
					   atoi(argv[6]), argv[7], argv[8]);
	die("usage: flood drain fair|plain NAME BATCH TRACE | "
		"flood picture WIDTH unicode|ascii FLOOD TENANTS EACH FAIR_TRACES PLAIN_TRACES");
}
