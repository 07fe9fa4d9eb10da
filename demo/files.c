/*
 * files.c
 *	  The demo's main job on real input: one job per file, the SHA-256 of the file as its result.
 *
 *	  files enqueue [LABEL=]FOLDER...   walk the folders and put one job per regular file in; the
 *	                                    workspace is the top-level folder below FOLDER
 *	  files work NAME [N]               be a worker until there are no jobs left; with N, die in the
 *	                                    middle of claim N as by kill -9
 *	  files export                      write "sum  path" for every result, each ended by a NUL byte
 *
 *	  A worker claims a few jobs, computes, and finishes each batch in one transaction: it completes
 *	  the jobs and, for those that were still its own, stores the result in the application's table
 *	  demo.result. So a result exists exactly if its job is completed, whenever a worker may die.
 */
#define _XOPEN_SOURCE 700

#include "common.h"
#include "sha256.h"

#include <ftw.h>
#include <signal.h>
#include <unistd.h>

#define CLAIM_BATCH "8"
#define ENQUEUE_BATCH 1000

/* Paths may be any bytes; JSON and text may not. Those that are not UTF-8 travel in hexadecimal. */
static bool
is_utf8(const char *str)
{
	const unsigned char *s = (const unsigned char *) str;

	while (*s)
	{
		int			more;
		uint32_t	c = *s++;

		if (c < 0x80)
			continue;
		if (c >= 0xC2 && c <= 0xDF)
			more = 1, c &= 0x1F;
		else if (c >= 0xE0 && c <= 0xEF)
			more = 2, c &= 0x0F;
		else if (c >= 0xF0 && c <= 0xF4)
			more = 3, c &= 0x07;
		else
			return false;
		for (int i = 0; i < more; i++, s++)
		{
			if ((*s & 0xC0) != 0x80)
				return false;
			c = c << 6 | (*s & 0x3F);
		}
		if ((more == 2 && c < 0x800) || (more == 3 && (c < 0x10000 || c > 0x10FFFF)) ||
			(c >= 0xD800 && c <= 0xDFFF))
			return false;
	}
	return true;
}

/* ---------------------------------------------------------------- enqueue */

typedef struct File
{
	char	   *workspace;
	char	   *path;
} File;

static File *files;
static size_t nfiles;
static size_t files_size;
static size_t unreadable;
static const char *walk_label;
static size_t walk_root_len;

static int
visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *rest = path + walk_root_len;
	const char *slash;
	Buf			workspace = {0};

	(void) ftw;
	if (type == FTW_DNR)
		unreadable++;
	if (type != FTW_F || !S_ISREG(st->st_mode))
		return 0;
	if (access(path, R_OK) != 0)
	{
		unreadable++;
		return 0;
	}

	while (*rest == '/')
		rest++;
	slash = strchr(rest, '/');
	buf_puts(&workspace, walk_label ? walk_label : "");
	if (slash != NULL)
	{
		if (walk_label)
			buf_puts(&workspace, "/");
		buf_add(&workspace, rest, (size_t) (slash - rest));
	}
	else if (!walk_label)
		buf_puts(&workspace, "(top level)");

	/* A workspace's name is text of at most 128 bytes. */
	if (!is_utf8(workspace.data))
		for (char *p = workspace.data; *p; p++)
			if ((unsigned char) *p >= 0x80)
				*p = '?';
	if (workspace.len > 128)
	{
		size_t		n = 128;

		while (n > 0 && ((unsigned char) workspace.data[n] & 0xC0) == 0x80)
			n--;
		workspace.data[n] = '\0';
	}

	if (nfiles == files_size)
	{
		files_size = files_size ? files_size * 2 : 1024;
		files = need(realloc(files, files_size * sizeof(File)));
	}
	files[nfiles].workspace = workspace.data;
	files[nfiles].path = need(strdup(path));
	nfiles++;
	return 0;
}

static int
by_workspace(const void *a, const void *b)
{
	const File *x = a;
	const File *y = b;
	int			c = strcmp(x->workspace, y->workspace);

	return c ? c : strcmp(x->path, y->path);
}

static void
send_batch(PGconn *conn, const char *workspace, Buf *batch, bool hex)
{
	const char *values[2] = {workspace, batch->data};

	if (batch->len > 1)
	{
		buf_puts(batch, "}");
		values[1] = batch->data;
		PQclear(exec_prepared(conn, hex ? "enqueue_hex" : "enqueue", 2, values));
	}
	buf_begin_array(batch);
}

static int
enqueue(int nroots, char **roots)
{
	PGconn	   *conn;
	Buf			plain = {0};
	Buf			hex = {0};
	size_t		workspaces = 0;

	for (int i = 0; i < nroots; i++)
	{
		char	   *root = roots[i];
		char	   *equals = root[0] == '/' ? NULL : strchr(root, '=');

		walk_label = NULL;
		if (equals != NULL)
		{
			*equals = '\0';
			walk_label = root;
			root = equals + 1;
		}
		walk_root_len = strlen(root);
		if (nftw(root, visit, 64, FTW_PHYS) != 0)
			die("could not read folder \"%s\": %s", root, strerror(errno));
	}
	if (nfiles == 0)
		die("there is no readable file below %s", roots[0]);
	qsort(files, nfiles, sizeof(File), by_workspace);

	conn = connect_or_die("demo producer");
	prepare(conn, "enqueue",
			"SELECT fairsched_enqueue_many($1::text, "
			"(SELECT array_agg(jsonb_build_object('path', p) ORDER BY n) "
			"FROM unnest($2::text[]) WITH ORDINALITY AS u(p, n)))");
	prepare(conn, "enqueue_hex",
			"SELECT fairsched_enqueue_many($1::text, "
			"(SELECT array_agg(jsonb_build_object('path_hex', p) ORDER BY n) "
			"FROM unnest($2::text[]) WITH ORDINALITY AS u(p, n)))");

	buf_begin_array(&plain);
	buf_begin_array(&hex);
	for (size_t i = 0; i < nfiles; i++)
	{
		bool		last = i + 1 == nfiles || strcmp(files[i].workspace, files[i + 1].workspace) != 0;

		if (is_utf8(files[i].path))
			buf_element(&plain, files[i].path);
		else
		{
			Buf			h = {0};
			char		two[3];

			for (unsigned char *p = (unsigned char *) files[i].path; *p; p++)
			{
				snprintf(two, sizeof(two), "%02x", *p);
				buf_puts(&h, two);
			}
			buf_element(&hex, h.data);
			free(h.data);
		}
		if (last || i % ENQUEUE_BATCH == ENQUEUE_BATCH - 1)
		{
			send_batch(conn, files[i].workspace, &plain, false);
			send_batch(conn, files[i].workspace, &hex, true);
		}
		if (last)
			workspaces++;
	}
	PQfinish(conn);

	printf("%zu jobs in %zu workspaces", nfiles, workspaces);
	if (unreadable > 0)
		printf(" (%zu files or folders are not readable and left out)", unreadable);
	printf("\n");
	return 0;
}

/* ------------------------------------------------------------------- work */

static PGconn *worker_conn;
static const char *worker_name;
static int64_t next_heartbeat;

/*
 * heartbeat: a lease is short so that the jobs of a worker that died come back soon; one that lives
 * and is busy with a large file says so once a second. Whether a job was lost all the same is found
 * out when it is completed.
 */
static void
heartbeat(void)
{
	const char *args[1] = {worker_name};

	if (now_usec() < next_heartbeat)
		return;
	PQclear(exec_prepared(worker_conn, "heartbeat", 1, args));
	next_heartbeat = now_usec() + 1000000;
}

static int
work(const char *name, int die_in_claim)
{
	PGconn	   *conn = connect_or_die(name);
	int64_t		last_job = now_usec();
	int			claims = 0;
	Buf			ids = {0};
	Buf			tokens = {0};
	Buf			sums = {0};
	Buf			attempts = {0};
	Buf			workspaces = {0};
	Buf			payloads = {0};
	long		done = 0;

	worker_conn = conn;
	worker_name = name;
	prepare(conn, "heartbeat",
			"SELECT job_id, directive FROM fairsched_heartbeat(worker => $1::text, extend => '3 s')");
	prepare(conn, "claim",
			"SELECT job_id, token, attempt, workspace, payload, "
			"coalesce(convert_to(payload->>'path', 'UTF8'), decode(payload->>'path_hex', 'hex')) "
			"FROM fairsched_claim(worker => $1::text, max_jobs => " CLAIM_BATCH ", "
			"lease => '3 s', max_wait => '500 ms')");
	prepare(conn, "finish",
			"WITH done AS MATERIALIZED ("
			"SELECT u.*, fairsched_complete(u.job_id, u.token, jsonb_build_object('sha256', u.sum)) AS ok "
			"FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::text[], $5::jsonb[], $6::text[]) "
			"AS u(job_id, token, attempt, workspace, payload, sum)) "
			"INSERT INTO demo.result (job_id, attempt, workspace, payload, sha256, worker) "
			"SELECT job_id, attempt, workspace, payload, sum, $7::text FROM done WHERE ok");
	prepare(conn, "fail", "SELECT fairsched_fail($1::bigint, $2::bigint, $3::text, discard => true)");

	for (;;)
	{
		const char *claim_args[1] = {name};
		PGresult   *jobs = exec_prepared(conn, "claim", 1, claim_args);
		int			n = PQntuples(jobs);

		if (n == 0)
		{
			PQclear(jobs);
			/* Others may still hold jobs, which come back if their worker died. */
			if (ask(conn, "SELECT NOT EXISTS (SELECT FROM fairsched.jobs)"))
				break;
			if (now_usec() - last_job > STALLED_AFTER &&
				ask(conn, "SELECT NOT EXISTS (SELECT FROM fairsched.running_jobs)"))
				die("%s got no job for a minute although there are some and nobody runs any", name);
			continue;
		}

		claims++;
		last_job = now_usec();
		next_heartbeat = last_job + 1000000;
		buf_begin_array(&ids);
		buf_begin_array(&tokens);
		buf_begin_array(&attempts);
		buf_begin_array(&workspaces);
		buf_begin_array(&payloads);
		buf_begin_array(&sums);
		for (int i = 0; i < n; i++)
		{
			char	   *path = bytes_of(PQgetvalue(jobs, i, 5));
			char		sum[65];

			if (sha256_file(path, sum, heartbeat))
			{
				buf_element(&ids, PQgetvalue(jobs, i, 0));
				buf_element(&tokens, PQgetvalue(jobs, i, 1));
				buf_element(&attempts, PQgetvalue(jobs, i, 2));
				buf_element(&workspaces, PQgetvalue(jobs, i, 3));
				buf_element(&payloads, PQgetvalue(jobs, i, 4));
				buf_element(&sums, sum);
			}
			else
			{
				const char *args[3] = {PQgetvalue(jobs, i, 0), PQgetvalue(jobs, i, 1), strerror(errno)};

				PQclear(exec_prepared(conn, "fail", 3, args));
			}
			free(path);
			heartbeat();
			if (claims == die_in_claim)
				raise(SIGKILL);
		}
		if (ids.len > 1)
		{
			const char *args[7];
			Buf		   *all[6] = {&ids, &tokens, &attempts, &workspaces, &payloads, &sums};
			PGresult   *res;

			for (int i = 0; i < 6; i++)
			{
				buf_puts(all[i], "}");
				args[i] = all[i]->data;
			}
			args[6] = name;
			res = exec_prepared(conn, "finish", 7, args);
			done += atol(PQcmdTuples(res));
			PQclear(res);
		}
		PQclear(jobs);
	}
	PQfinish(conn);
	printf("%s: %ld files\n", name, done);
	return 0;
}

/* ----------------------------------------------------------------- export */

static int
export_results(void)
{
	PGconn	   *conn = connect_or_die("demo export");
	PGresult   *res = check_or_die(conn, PQexec(conn,
												"SELECT sha256, coalesce(convert_to(payload->>'path', 'UTF8'), "
												"decode(payload->>'path_hex', 'hex')) FROM demo.result"));

	for (int i = 0; i < PQntuples(res); i++)
	{
		char	   *path = bytes_of(PQgetvalue(res, i, 1));

		printf("%s  %s%c", PQgetvalue(res, i, 0), path, '\0');
		free(path);
	}
	PQclear(res);
	PQfinish(conn);
	return 0;
}

int
main(int argc, char **argv)
{
	progname = "demo/files";
	if (argc >= 3 && strcmp(argv[1], "enqueue") == 0)
		return enqueue(argc - 2, argv + 2);
	if ((argc == 3 || argc == 4) && strcmp(argv[1], "work") == 0)
		return work(argv[2], argc == 4 ? atoi(argv[3]) : 0);
	if (argc == 2 && strcmp(argv[1], "export") == 0)
		return export_results();
	die("usage: files enqueue [LABEL=]FOLDER... | work NAME [N] | export");
}
