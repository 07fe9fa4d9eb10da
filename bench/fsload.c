/*
 * fsload.c: one run of the load generator.
 *
 * Each client is a thread with a connection of its own.  Statements are
 * prepared once; ids and tokens travel as binary and are never decoded, only
 * handed back.  Clients first do their warm-up rounds (plans, caches), then
 * wait for each other; the server's CPU and WAL position are read while nobody
 * works, before the start and after the last client has stopped, with all
 * connections still open.
 *
 * The first SPLIT_CLIENTS clients also read the run time of their own backend
 * around every call, which tells the CPU of a claim from that of a completion.
 * The kernel accounts a process when it goes to sleep, so a small tail of a call
 * may be booked to the next one.
 */
#include "fsbench.h"

#include <math.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPLIT_CLIENTS	2
#define PATIENCE_NS		(90 * UINT64_C(1000000000))

typedef struct Client
{
	pthread_t	thread;
	int			no;
	Run		   *run;
	PGconn	   *conn;
	int			backend_pid;
	int			schedfd;		/* -1: not one of those that split */
	char		worker[32];
	unsigned	seed;

	int			held;			/* jobs claimed and not yet completed */
	char	   *ids;			/* binary bigint[], header and held elements */
	char	   *tokens;
	char	   *payloads;		/* text of a jsonb[] or of a COPY */
	char	   *spaces;			/* text of a text[], of run.scatter */

	Hist		claim,
				done,
				enq;
	uint64_t	jobs;
	uint64_t	not_mine;
	uint64_t	last_done;		/* time of the last completion */
	uint64_t	claim_cpu,
				done_cpu,
				split_jobs;
	int			turn;			/* of run.turns */
	double	   *turn_cpu[2];	/* of each claim, us a job */
	int			turn_n[2];
	uint64_t	series[MAX_SERIES];
	char		error[512];
} Client;

static const char *const turn_names[2] = {"claim0", "claim1"};

/* Of the run in progress; there is one at a time. */
static struct
{
	int			ready;
	int			finished;
	int			go;
	int			stop;
	uint64_t	claimed;		/* by measured rounds */
	uint64_t	next_place;		/* of run.places */
	uint64_t	start;
}			now;

#define GET(x)		__atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define SET(x, v)	__atomic_store_n(&(x), (v), __ATOMIC_RELEASE)
#define ADD(x, v)	__atomic_fetch_add(&(x), (v), __ATOMIC_ACQ_REL)

PGconn *
connect_db(const char *dbname)
{
	const char *keys[] = {"dbname", "application_name", NULL};
	const char *vals[] = {dbname, "fsbench", NULL};

	return PQconnectdbParams(keys, vals, 0);
}

/*
 * The baseline's claim.  LIMIT is a literal: with a parameter the planner
 * assumes a tenth of the table and takes a worse plan.
 */
const char *
claim_sql(System sys, int batch)
{
	static __thread char sql[1024];

	if (sys == SYS_FS)
		return "SELECT * FROM fairsched_claim(worker => $1, max_jobs => $2)";
	snprintf(sql, sizeof(sql),
			 "UPDATE base SET state = 1, worker = $1, attempt = attempt + 1,"
			 " lease_expires_at = now() + interval '30 s'"
			 " WHERE id IN (SELECT id FROM base WHERE state = 0"
			 " ORDER BY priority, id FOR UPDATE SKIP LOCKED LIMIT %d) RETURNING *", batch);
	return sql;
}

static void
await_exit(int pid)
{
	for (int i = 0; i < 2000 && pid > 0 && parent_pid(pid) > 0; i++)
		sleep_ns(1000000);
}

/*
 * disconnect: and wait until the backend is gone, whose CPU goes from its own sum to
 * that of all that ended: a measurement that starts meanwhile would see it twice.
 */
void
disconnect(PGconn *c)
{
	int			pid = c ? PQbackendPID(c) : 0;

	PQfinish(c);
	await_exit(pid);
}

static bool
fail(Client *c, const char *what, const char *message)
{
	if (c->error[0] == 0)
		snprintf(c->error, sizeof(c->error), "%s: %s", what, message);
	return false;
}

static bool
exec_ok(Client *c, PGresult *res, const char *what)
{
	ExecStatusType st = PQresultStatus(res);

	if (st == PGRES_TUPLES_OK || st == PGRES_COMMAND_OK)
		return true;
	fail(c, what, res ? PQresultErrorMessage(res) : PQerrorMessage(c->conn));
	PQclear(res);
	return false;
}

static bool
simple(Client *c, const char *sql)
{
	PGresult   *res = PQexec(c->conn, sql);

	if (!exec_ok(c, res, sql))
		return false;
	PQclear(res);
	return true;
}

static bool
prepare(Client *c, const char *name, const char *sql)
{
	PGresult   *res = PQprepare(c->conn, name, sql, 0, NULL);

	if (!exec_ok(c, res, sql))
		return false;
	PQclear(res);
	return true;
}

/* Nothing but index plans for the baseline, also when its table looks empty. */
void
base_session(PGconn *conn)
{
	PQclear(PQexec(conn, "SET plan_cache_mode = force_generic_plan"));
	PQclear(PQexec(conn, "SET enable_seqscan = off"));
	PQclear(PQexec(conn, "SET enable_bitmapscan = off"));
	PQclear(PQexec(conn, "SET enable_hashjoin = off"));
	PQclear(PQexec(conn, "SET enable_mergejoin = off"));
}

/* ---- binary arrays of bigint ---- */

#define ARRAY_HEADER	20
#define ARRAY_SIZE(n)	(ARRAY_HEADER + (n) * 12)
#define INT8OID			20
#define TIDOID			27
#define INT8ARRAYOID	1016

static void
put32(char *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, 4);
}

static uint32_t
get32(const char *p)
{
	uint32_t	v;

	memcpy(&v, p, 4);
	return ntohl(v);
}

static void
array_header(char *a, int n)
{
	put32(a, n > 0 ? 1 : 0);
	put32(a + 4, 0);
	put32(a + 8, INT8OID);
	put32(a + 12, (uint32_t) n);
	put32(a + 16, 1);
}

static int
array_len(int n)
{
	return n > 0 ? ARRAY_SIZE(n) : 12;
}

static void
array_put(char *a, int i, const char *raw8)
{
	char	   *p = a + ARRAY_HEADER + i * 12;

	put32(p, 8);
	memcpy(p + 4, raw8, 8);
}

/* ---- the statements ---- */

static bool
prepare_all(Client *c)
{
	Run		   *r = c->run;
	bool		base = r->sys == SYS_BASE;
	char		sql[1536];

	switch (r->mode)
	{
		case M_ENQUEUE:
		case M_ENQUEUE_MANY:
		case M_COPY:
			break;
		case M_COMMITS:
			return prepare(c, "commit", "INSERT INTO floor VALUES ($1)");
		case M_READ:
			return prepare(c, "read", "SELECT job_id, workspace, lane, kind, payload, priority, attempt, token"
						   " FROM fairsched.jobs_0 WHERE ctid = ANY ($1)");
		default:
			for (int t = 0; t < 2 && r->turns[t]; t++)
			{
				snprintf(sql, sizeof(sql), "SELECT * FROM fairsched_claim(worker => $1, max_jobs => $2, lanes => '{%s}')",
						 r->turns[t]);
				if (!prepare(c, turn_names[t], sql))
					return false;
			}
			if (!r->turns[0] && !prepare(c, "claim", claim_sql(r->sys, r->batch)))
				return false;
			if (base)
				snprintf(sql, sizeof(sql), "DELETE FROM base WHERE id = ANY($1::bigint[])");
			else if (r->batch == 1)
				snprintf(sql, sizeof(sql), "SELECT fairsched_complete(job_id => $1, token => $2)");
			else
				snprintf(sql, sizeof(sql),
						 "SELECT fairsched_complete_many(job_ids => $1, tokens => $2)");
			if (!prepare(c, "done", sql))
				return false;
			break;
	}
	if (r->mode == M_ONE_TX)
	{
		if (base)
			snprintf(sql, sizeof(sql),
					 "WITH d AS (DELETE FROM base WHERE id = ANY($2::bigint[])) %s",
					 claim_sql(r->sys, r->batch));
		else
			snprintf(sql, sizeof(sql),
					 "SELECT * FROM fairsched_complete_and_claim(job_ids => $1, tokens => $2,"
					 " worker => $3, max_jobs => $4)");
		if (!prepare(c, "next", sql))
			return false;
	}
	if (r->mode == M_ENQUEUE || (r->mode == M_CYCLE && r->batch == 1))
		return prepare(c, "enq", base
					   ? "INSERT INTO base (workspace, priority, payload) VALUES ($1, 2, $2)"
					   : r->in_from ? "SELECT job_id FROM fairsched_enqueue(workspace => $1, payload => $2)"
					   : "SELECT (fairsched_enqueue(workspace => $1, payload => $2)).job_id");
	if (r->scatter)
	{
		snprintf(sql, sizeof(sql), "INSERT INTO %s (workspace, priority, payload)"
				 " SELECT unnest($1::text[]), %s, unnest($2::jsonb[])",
				 base ? "base" : "fairsched.inbox", base ? "2" : "'P2'");
		return prepare(c, "enq", sql);
	}
	if (r->mode == M_ENQUEUE_MANY || r->mode == M_CYCLE)
		return prepare(c, "enq", base
					   ? "INSERT INTO base (workspace, priority, payload)"
					   " SELECT $1, 2, unnest($2::jsonb[])"
					   : "SELECT fairsched_enqueue_many(workspace => $1, payloads => $2)");
	return true;
}

#define PAYLOAD_FORMAT \
	"{\"n\": %d, \"path\": \"/srv/data/incoming/%08d/part.bin\", \"kind\": \"sha256\"}"

/* What this client enqueues, built once: a jsonb, a jsonb[] or the rows of a COPY. */
static bool
build_payloads(Client *c)
{
	Run		   *r = c->run;
	size_t		room = (size_t) r->batch * 200 + 64;
	char	   *p;

	c->payloads = p = malloc(room);
	if (p == NULL)
		return fail(c, "payloads", "out of memory");
	*p = 0;
	if (r->mode == M_COMMITS || r->mode == M_READ)
		return true;
	if (r->mode == M_ENQUEUE || (r->mode == M_CYCLE && r->batch == 1))
		sprintf(p, PAYLOAD_FORMAT, c->no, c->no);
	else if (r->mode == M_COPY)
		for (int i = 0; i < r->batch; i++)
			p += sprintf(p, "ws%d\t%s\t" PAYLOAD_FORMAT "\n", rand_r(&c->seed) % r->workspaces,
						 r->sys == SYS_BASE ? "2" : "P2", i, c->no);
	else
	{
		*p++ = '{';
		for (int i = 0; i < r->batch; i++)
		{
			char		one[200];

			sprintf(one, PAYLOAD_FORMAT, i, c->no);
			if (i > 0)
				*p++ = ',';
			*p++ = '"';
			for (char *s = one; *s; s++)
			{
				if (*s == '"')
					*p++ = '\\';
				*p++ = *s;
			}
			*p++ = '"';
		}
		strcpy(p, "}");
	}
	return true;
}

/* Keep ids and tokens of a claim's result. */
static bool
take_claimed(Client *c, PGresult *res, bool measured)
{
	Run		   *r = c->run;
	int			n = PQntuples(res);
	int			id = PQfnumber(res, r->sys == SYS_FS ? "job_id" : "id");
	int			token = r->sys == SYS_FS ? PQfnumber(res, "token") : -1;

	if (n > r->batch)
		return fail(c, "claim", "more jobs than asked for");
	if (id < 0 || (r->sys == SYS_FS && token < 0))
		return fail(c, "claim", "the result has no job_id or no token");
	for (int i = 0; i < n; i++)
	{
		array_put(c->ids, i, PQgetvalue(res, i, id));
		if (token >= 0)
			array_put(c->tokens, i, PQgetvalue(res, i, token));
	}
	c->held = n;
	if (measured && n > 0)
	{
		ADD(now.claimed, (uint64_t) n);
		if (r->order)
		{
			int			ws = PQfnumber(res, "workspace");
			uint64_t	at = ADD(r->order->next, (uint64_t) n);

			for (int i = 0; i < n && at + (uint64_t) i < r->order->size; i++)
				r->order->tenant[at + (uint64_t) i] =
					(uint32_t) atoi(PQgetvalue(res, i, ws) + 2);
		}
	}
	return true;
}

static void
note_done(Client *c, int n, int confirmed, uint64_t t, bool measured)
{
	uint64_t	second;

	if (confirmed < n)
		c->not_mine += (uint64_t) (n - confirmed);
	if (!measured)
		return;
	c->jobs += (uint64_t) confirmed;
	c->last_done = t;
	second = (t - now.start) / 1000000000u;
	if (second < MAX_SERIES)
		c->series[second] += (uint64_t) confirmed;
}

/* How many jobs a completion's result says were completed. */
static int
confirmed_count(Client *c, PGresult *res)
{
	if (c->run->sys == SYS_BASE)
		return atoi(PQcmdTuples(res));
	if (PQntuples(res) == 0 || PQgetisnull(res, 0, 0))
		return 0;
	if (c->run->batch == 1)
		return PQgetvalue(res, 0, 0)[0] ? 1 : 0;
	if (PQftype(res, 0) == INT8ARRAYOID)
		return get32(PQgetvalue(res, 0, 0)) == 0 ? 0 : (int) get32(PQgetvalue(res, 0, 0) + 12);
	return PQntuples(res);
}

static int
send_claim(Client *c)
{
	uint32_t	max = htonl((uint32_t) c->run->batch);
	const char *v[2] = {c->worker, (char *) &max};
	int			l[2] = {(int) strlen(c->worker), 4};
	int			f[2] = {0, 1};

	return PQsendQueryPrepared(c->conn, c->run->turns[0] ? turn_names[c->turn] : "claim",
							   c->run->sys == SYS_FS ? 2 : 1, v, l, f, 1);
}

static int
send_done(Client *c)
{
	const char *v[2] = {c->ids, c->tokens};
	int			l[2] = {array_len(c->held), array_len(c->held)};
	int			f[2] = {1, 1};

	array_header(c->ids, c->held);
	array_header(c->tokens, c->held);
	if (c->run->sys == SYS_BASE)
		return PQsendQueryPrepared(c->conn, "done", 1, v, l, f, 1);
	if (c->run->batch == 1)
	{
		v[0] += ARRAY_HEADER + 4;
		v[1] += ARRAY_HEADER + 4;
		l[0] = l[1] = 8;
	}
	return PQsendQueryPrepared(c->conn, "done", 2, v, l, f, 1);
}

static int
send_next(Client *c)
{
	uint32_t	max = htonl((uint32_t) c->run->batch);
	const char *v[4] = {c->ids, c->tokens, c->worker, (char *) &max};
	int			l[4] = {array_len(c->held), array_len(c->held), (int) strlen(c->worker), 4};
	int			f[4] = {1, 1, 0, 1};

	array_header(c->ids, c->held);
	array_header(c->tokens, c->held);
	if (c->run->sys == SYS_BASE)
	{
		const char *bv[2] = {v[2], v[0]};
		int			bl[2] = {l[2], l[0]};
		int			bf[2] = {0, 1};

		return PQsendQueryPrepared(c->conn, "next", 2, bv, bl, bf, 1);
	}
	return PQsendQueryPrepared(c->conn, "next", 4, v, l, f, 1);
}

/* The one result of a statement that was sent; NULL after an error, which is noted. */
static PGresult *
receive(Client *c, const char *what)
{
	PGresult   *res = PQgetResult(c->conn);
	PGresult   *more;

	if (!exec_ok(c, res, what))
	{
		while ((more = PQgetResult(c->conn)) != NULL)
			PQclear(more);
		return NULL;
	}
	while ((more = PQgetResult(c->conn)) != NULL)
		PQclear(more);
	return res;
}

static uint64_t
backend_ns(Client *c)
{
	return c->schedfd >= 0 ? sched_read_ns(c->schedfd) : 0;
}

/* The calls themselves are kept: of some tens a single one that met a hiccup of the machine decides the mean. */
static void
note_turn(Client *c, double us)
{
	int			n = c->turn_n[c->turn]++;

	if ((n & (n - 1)) == 0)
		c->turn_cpu[c->turn] = realloc(c->turn_cpu[c->turn], sizeof(double) * (size_t) (n == 0 ? 1 : n * 2));
	c->turn_cpu[c->turn][n] = us;
}

static bool
do_claim(Client *c, bool measured)
{
	uint64_t	cpu = backend_ns(c);
	uint64_t	t = now_ns();
	PGresult   *res;
	bool		ok;

	if (!send_claim(c))
		return fail(c, "claim", PQerrorMessage(c->conn));
	if ((res = receive(c, "claim")) == NULL)
		return false;
	t = now_ns() - t;
	ok = take_claimed(c, res, measured);
	PQclear(res);
	if (measured && c->held > 0)
	{
		cpu = backend_ns(c) - cpu;
		hist_add(&c->claim, t);
		c->claim_cpu += cpu;
		c->split_jobs += (uint64_t) c->held;
		if (c->run->turns[0] && c->schedfd >= 0)
			note_turn(c, (double) cpu / 1000 / c->held);
	}
	if (c->run->turns[0])
		c->turn = 1 - c->turn;
	return ok;
}

static bool
do_done(Client *c, bool measured)
{
	uint64_t	cpu = backend_ns(c);
	uint64_t	t = now_ns();
	uint64_t	t2;
	PGresult   *res;

	if (!send_done(c))
		return fail(c, "complete", PQerrorMessage(c->conn));
	if ((res = receive(c, "complete")) == NULL)
		return false;
	t2 = now_ns();
	note_done(c, c->held, confirmed_count(c, res), t2, measured);
	PQclear(res);
	if (measured)
	{
		hist_add(&c->done, t2 - t);
		c->done_cpu += backend_ns(c) - cpu;
	}
	c->held = 0;
	return true;
}

/* Complete what is held, claim the next, in one transaction. */
static bool
do_next(Client *c, bool measured)
{
	int			n = c->held;
	uint64_t	cpu = backend_ns(c);
	uint64_t	t = now_ns();
	uint64_t	t2;
	PGresult   *res;
	bool		ok;

	if (!send_next(c))
		return fail(c, "complete and claim", PQerrorMessage(c->conn));
	if ((res = receive(c, "complete and claim")) == NULL)
		return false;
	t2 = now_ns();
	note_done(c, n, n, t2, measured);
	ok = take_claimed(c, res, measured);
	PQclear(res);
	if (measured && c->held > 0)
	{
		hist_add(&c->claim, t2 - t);
		c->claim_cpu += backend_ns(c) - cpu;
		c->split_jobs += (uint64_t) c->held;
	}
	return ok;
}

/* Completion and next claim are two transactions in one round trip. */
static bool
do_pipelined(Client *c, bool measured)
{
	int			n = c->held;
	uint64_t	t = now_ns();
	PGresult   *res;
	bool		ok = true;

	if (n > 0 && (!send_done(c) || !PQpipelineSync(c->conn)))
		return fail(c, "complete", PQerrorMessage(c->conn));
	if (!send_claim(c) || !PQpipelineSync(c->conn))
		return fail(c, "claim", PQerrorMessage(c->conn));
	for (int step = n > 0 ? 0 : 1; step < 2 && ok; step++)
	{
		res = PQgetResult(c->conn);
		if (!exec_ok(c, res, step ? "claim" : "complete"))
			return false;
		if (step == 0)
			note_done(c, n, confirmed_count(c, res), now_ns(), measured);
		else
			ok = take_claimed(c, res, measured);
		PQclear(res);
		PQclear(PQgetResult(c->conn));	/* NULL: end of the statement */
		PQclear(PQgetResult(c->conn));	/* the sync */
	}
	if (measured && c->held > 0)
		hist_add(&c->claim, now_ns() - t);
	return ok;
}

static bool
do_enqueue(Client *c, bool measured)
{
	Run		   *r = c->run;
	uint64_t	t;
	uint64_t	t2;
	PGresult   *res;
	char		ws[32];

	snprintf(ws, sizeof(ws), "ws%d", rand_r(&c->seed) % r->workspaces);
	if (r->scatter && r->batch > 1)
	{
		char	   *p = c->spaces;

		for (int i = 0; i < r->batch; i++)
			p += sprintf(p, "%cws%d", i == 0 ? '{' : ',', rand_r(&c->seed) % r->workspaces);
		strcpy(p, "}");
	}
	t = now_ns();
	if (r->mode == M_COPY)
	{
		res = PQexec(c->conn, r->sys == SYS_BASE
					 ? "COPY base (workspace, priority, payload) FROM STDIN"
					 : "COPY fairsched.inbox (workspace, priority, payload) FROM STDIN");
		if (PQresultStatus(res) != PGRES_COPY_IN)
		{
			fail(c, "copy", PQerrorMessage(c->conn));
			PQclear(res);
			return false;
		}
		PQclear(res);
		PQputCopyData(c->conn, c->payloads, (int) strlen(c->payloads));
		PQputCopyEnd(c->conn, NULL);
	}
	else
	{
		const char *v[2] = {r->scatter && r->batch > 1 ? c->spaces : ws, c->payloads};

		if (!PQsendQueryPrepared(c->conn, "enq", 2, v, NULL, NULL, 1))
			return fail(c, "enqueue", PQerrorMessage(c->conn));
	}
	if ((res = receive(c, "enqueue")) == NULL)
		return false;
	PQclear(res);
	t2 = now_ns();
	if (measured)
		hist_add(&c->enq, t2 - t);
	if (r->mode != M_CYCLE)
		note_done(c, r->batch, r->batch, t2, measured);
	return true;
}

/* What a flushed commit costs, with as little else as a transaction can do. */
static bool
do_commits(Client *c, bool measured)
{
	const char *v[1] = {"1"};

	for (int k = 0; k < c->run->commits; k++)
	{
		uint64_t	cpu = backend_ns(c);
		uint64_t	t = now_ns();
		PGresult   *res;

		if (!PQsendQueryPrepared(c->conn, "commit", 1, v, NULL, NULL, 1))
			return fail(c, "commit", PQerrorMessage(c->conn));
		if ((res = receive(c, "commit")) == NULL)
			return false;
		PQclear(res);
		if (!measured)
			continue;
		hist_add(k == 0 ? &c->claim : &c->done, now_ns() - t);
		*(k == 0 ? &c->claim_cpu : &c->done_cpu) += backend_ns(c) - cpu;
	}
	if (measured)
		c->split_jobs++;
	note_done(c, 1, 1, now_ns(), measured);
	return true;
}

/* Read the rows at the next places, and send them as a claim does. */
static bool
do_read(Client *c, bool measured)
{
	Run		   *r = c->run;
	uint64_t	at = ADD(now.next_place, (uint64_t) r->batch);
	const char *v[1] = {c->ids};
	int			l[1] = {ARRAY_HEADER + r->batch * 10};
	int			f[1] = {1};
	uint64_t	cpu,
				t;
	PGresult   *res;
	int			n;

	array_header(c->ids, r->batch);
	put32(c->ids + 8, TIDOID);
	for (int i = 0; i < r->batch; i++)
	{
		const Place *place = &r->places[(at + (uint64_t) i) % r->nplaces];
		char	   *p = c->ids + ARRAY_HEADER + i * 10;
		uint16_t	offset = htons(place->offset);

		put32(p, 6);
		put32(p + 4, place->block);
		memcpy(p + 8, &offset, 2);
	}
	cpu = backend_ns(c);
	t = now_ns();
	if (!PQsendQueryPrepared(c->conn, "read", 1, v, l, f, 1))
		return fail(c, "read", PQerrorMessage(c->conn));
	if ((res = receive(c, "read")) == NULL)
		return false;
	n = PQntuples(res);
	PQclear(res);
	if (n != r->batch)
		return fail(c, "read", "rows are not where they were");
	if (measured)
	{
		hist_add(&c->claim, now_ns() - t);
		c->claim_cpu += backend_ns(c) - cpu;
		c->split_jobs += (uint64_t) n;
	}
	note_done(c, n, n, now_ns(), measured);
	return true;
}

/* One round; false = this client is through, with or without an error. */
static bool
one_round(Client *c, bool measured)
{
	Run		   *r = c->run;
	bool		ok;

	switch (r->mode)
	{
		case M_ENQUEUE:
		case M_ENQUEUE_MANY:
		case M_COPY:
			return do_enqueue(c, measured);
		case M_ONE_TX:
			ok = do_next(c, measured);
			break;
		case M_CLAIM_ONLY:
			ok = do_claim(c, measured);
			if (ok && measured)
				note_done(c, c->held, c->held, now_ns(), true);
			break;
		case M_CYCLE:
			if (!do_enqueue(c, measured) || !do_claim(c, measured))
				return false;
			return c->held == 0 || do_done(c, measured);
		case M_COMMITS:
			return do_commits(c, measured);
		case M_READ:
			return do_read(c, measured);
		case M_DRAIN:
		default:
			if (r->pipeline)
				ok = do_pipelined(c, measured);
			else
				ok = do_claim(c, measured) && (c->held == 0 || do_done(c, measured));
			break;
	}
	return ok;
}

static void *
client_main(void *arg)
{
	Client	   *c = arg;
	Run		   *r = c->run;
	int			idle = 0;

	c->conn = connect_db(r->dbname);
	if (PQstatus(c->conn) != CONNECTION_OK)
		fail(c, "connect", PQerrorMessage(c->conn));
	else
	{
		if (r->sys == SYS_BASE)
			base_session(c->conn);
		c->backend_pid = PQbackendPID(c->conn);
		if (c->no < SPLIT_CLIENTS && !r->pipeline)
			c->schedfd = sched_open(c->backend_pid);
		if ((r->session_sql == NULL || simple(c, r->session_sql)) &&
			prepare_all(c) && build_payloads(c))
		{
			if (r->pipeline && !PQenterPipelineMode(c->conn))
				fail(c, "pipeline", PQerrorMessage(c->conn));
			for (int i = 0; i < r->warmup && c->error[0] == 0; i++)
				if (!one_round(c, false))
					break;
		}
	}

	ADD(now.ready, 1);
	while (!GET(now.go))
		sleep_ns(100000);

	idle = 0;
	while (c->error[0] == 0 && !GET(now.stop) && idle < 4)
	{
		uint64_t	before = c->jobs;
		int			held = c->held;

		if (r->max_jobs && GET(now.claimed) >= r->max_jobs)
			break;
		if (!one_round(c, true))
			break;
		/* Nothing done and nothing in hand, a few times over: drained. */
		if (c->jobs == before && c->held == 0 && held == 0 && r->mode != M_CYCLE)
		{
			idle++;
			sleep_ns(500000);
		}
		else
			idle = 0;
	}
	if (c->error[0] == 0 && c->held > 0 && (r->mode == M_ONE_TX || r->pipeline))
	{
		if (r->pipeline)
		{
			int			n = c->held;
			PGresult   *res;

			if (send_done(c) && PQpipelineSync(c->conn))
			{
				res = PQgetResult(c->conn);
				if (exec_ok(c, res, "complete"))
				{
					note_done(c, n, confirmed_count(c, res), now_ns(), true);
					PQclear(res);
				}
			}
		}
		else
			do_done(c, true);
	}
	ADD(now.finished, 1);
	return NULL;
}

/* Where the log is: in bytes, and as text in at[32]. */
static double
wal_position(PGconn *control, char *at)
{
	PGresult   *res = PQexec(control, "SELECT l - '0/0', l FROM pg_current_wal_insert_lsn() l");
	double		v = PQntuples(res) == 1 ? atof(PQgetvalue(res, 0, 0)) : 0;

	snprintf(at, 32, "%s", PQntuples(res) == 1 ? PQgetvalue(res, 0, 1) : "");
	PQclear(res);
	return v;
}

/* Under bench/run --perf only the measured part is recorded: tell perf through its fifo. */
static void
profile(const char *command)
{
	const char *fifo = getenv("FSBENCH_PERF_CONTROL");
	FILE	   *f = fifo ? fopen(fifo, "w") : NULL;

	if (f == NULL)
		return;
	fputs(command, f);
	fclose(f);
	sleep_ns(50000000);
}

/* Wait until *counter reaches n; after the deadline cancel what still runs. */
static void
await(int *counter, int n, uint64_t deadline, Client *clients, int nclients)
{
	bool		cancelled = false;

	while (GET(*counter) < n)
	{
		sleep_ns(500000);
		if (now_ns() > deadline && !cancelled)
		{
			char		err[256];

			cancelled = true;
			SET(now.stop, 1);
			for (int i = 0; i < nclients; i++)
				if (clients[i].conn)
				{
					PGcancel   *k = PQgetCancel(clients[i].conn);

					if (k)
						PQcancel(k, err, sizeof(err));
					PQfreeCancel(k);
				}
		}
	}
}

static int
by_value(const void *a, const void *b)
{
	double		x = *(const double *) a,
				y = *(const double *) b;

	return (x > y) - (x < y);
}

/* Median of any number of values, which are sorted. */
static double
middle(double *v, int n)
{
	if (n == 0)
		return NAN;
	qsort(v, (size_t) n, sizeof(double), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/*
 * run_load: do what *r says and fill in its results.  Errors of any client make
 * r->ok false and leave the first message in r->error.
 */
void
run_load(Run *r, PGconn *control, int postmaster_pid)
{
	Client	   *clients = calloc((size_t) r->clients, sizeof(Client));
	CpuSample	cpu0,
				cpu1;
	double		wal0,
				wal1;
	uint64_t	self0,
				backend0 = 0,
				backend1 = 0,
				last = 0,
				end;
	Hist	   *claim = calloc(3, sizeof(Hist));
	Hist	   *done = claim + 1;
	Hist	   *enq = claim + 2;
	uint64_t	claim_cpu = 0,
				done_cpu = 0,
				split_jobs = 0;
	double	   *turn_cpu[2] = {NULL, NULL};
	int			turn_n[2] = {0, 0};

	memset(&now, 0, sizeof(now));
	r->ok = true;
	r->error[0] = 0;
	r->jobs = r->not_mine = 0;
	memset(r->series, 0, sizeof(r->series));
	if (r->workspaces < 1)
		r->workspaces = 1;
	for (int i = 0; i < r->clients; i++)
	{
		Client	   *c = &clients[i];

		c->no = i;
		c->run = r;
		c->turn = i % 2 && r->turns[0];
		c->schedfd = -1;
		c->seed = (unsigned) (i * 7919 + 17);
		snprintf(c->worker, sizeof(c->worker), "bench-%d", i);
		c->ids = calloc(1, (size_t) ARRAY_SIZE(r->batch));
		c->tokens = calloc(1, (size_t) ARRAY_SIZE(r->batch));
		c->spaces = calloc(1, (size_t) r->batch * 16 + 16);
		pthread_create(&c->thread, NULL, client_main, c);
	}
	await(&now.ready, r->clients, now_ns() + PATIENCE_NS, clients, r->clients);

	profile("enable\n");
	for (int i = 0; i < r->clients; i++)
		backend0 += sched_pid_ns(clients[i].backend_pid);
	wal0 = wal_position(control, r->wal_from);
	cpu0 = cpu_sample(postmaster_pid);
	self0 = self_cpu_ns();
	now.start = now_ns();
	SET(now.go, 1);
	end = now.start + (uint64_t) (r->seconds * 1e9);
	while (GET(now.finished) < r->clients && now_ns() < end)
		sleep_ns(1000000);
	SET(now.stop, 1);
	await(&now.finished, r->clients, now_ns() + PATIENCE_NS, clients, r->clients);
	r->client_cpu_us = (double) (self_cpu_ns() - self0) / 1000;
	cpu1 = cpu_sample(postmaster_pid);
	wal1 = wal_position(control, r->wal_to);
	for (int i = 0; i < r->clients; i++)
		backend1 += sched_pid_ns(clients[i].backend_pid);
	profile("disable\n");

	for (int i = 0; i < r->clients; i++)
	{
		Client	   *c = &clients[i];

		pthread_join(c->thread, NULL);
		if (c->error[0] && r->ok)
		{
			r->ok = false;
			snprintf(r->error, sizeof(r->error), "%s", c->error);
		}
		r->jobs += c->jobs;
		r->not_mine += c->not_mine;
		if (c->last_done > last)
			last = c->last_done;
		hist_merge(claim, &c->claim);
		hist_merge(done, &c->done);
		hist_merge(enq, &c->enq);
		if (c->schedfd >= 0)
		{
			claim_cpu += c->claim_cpu;
			done_cpu += c->done_cpu;
			split_jobs += c->split_jobs;
			for (int t = 0; t < 2; t++)
			{
				turn_cpu[t] = realloc(turn_cpu[t], sizeof(double) * (size_t) (turn_n[t] + c->turn_n[t] + 1));
				if (c->turn_n[t] > 0)
					memcpy(turn_cpu[t] + turn_n[t], c->turn_cpu[t], sizeof(double) * (size_t) c->turn_n[t]);
				turn_n[t] += c->turn_n[t];
				free(c->turn_cpu[t]);
			}
			close(c->schedfd);
		}
		for (int s = 0; s < MAX_SERIES; s++)
			r->series[s] += c->series[s];
		PQfinish(c->conn);
		free(c->ids);
		free(c->tokens);
		free(c->payloads);
		free(c->spaces);
	}
	for (int i = 0; i < r->clients; i++)
		await_exit(clients[i].backend_pid);
	if (r->ok && r->jobs == 0)
	{
		r->ok = false;
		snprintf(r->error, sizeof(r->error), "no job was done");
	}
	if (r->jobs > 0)
	{
		double		n = (double) r->jobs;

		r->elapsed = (double) (last - now.start) / 1e9;
		r->jobs_s = n / r->elapsed;
		r->cpu_us = (double) (cpu1.total_ns - cpu0.total_ns) / 1000 / n;
		r->cpu_backend_us = (double) (backend1 - backend0) / 1000 / n;
		if (cpu1.vacuum_ns > cpu0.vacuum_ns)	/* else less than the clock's tick */
			r->vacuum_cpu_us = (double) (cpu1.vacuum_ns - cpu0.vacuum_ns) / 1000 / n;
		r->client_cpu_us /= n;
		r->wal_bytes = (wal1 - wal0) / n;
		r->claim_cpu_us = split_jobs ? (double) claim_cpu / 1000 / (double) split_jobs : 0;
		for (int t = 0; t < 2; t++)
			r->turn_cpu_us[t] = middle(turn_cpu[t], turn_n[t]);
		r->done_cpu_us = split_jobs ? (double) done_cpu / 1000 / (double) split_jobs : 0;
	}
	r->claim_p50 = hist_quantile_us(claim, 0.50);
	r->claim_p99 = hist_quantile_us(claim, 0.99);
	r->done_p50 = hist_quantile_us(done, 0.50);
	r->done_p99 = hist_quantile_us(done, 0.99);
	r->enq_p50 = hist_quantile_us(enq, 0.50);
	r->enq_p99 = hist_quantile_us(enq, 0.99);
	free(turn_cpu[0]);
	free(turn_cpu[1]);
	free(claim);
	free(clients);
}
