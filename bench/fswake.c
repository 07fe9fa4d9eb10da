/*
 * fswake.c: scenarios of workers that wait.
 */
#include "fsbench.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
	int			events = opt.full ? 2000 : 150;
	unsigned	seed = 1;
	char		v[64];

	prepare_copy(sys, 0, 1, MIXED);
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
	disconnect(c);
	if (w.error[0])
		give_up(name, w.error);
	fact(name, "enqueue reported → claim in hand p50 %.2f ms p99 %.2f ms; enqueue sent → claim in hand p50 %.2f p99 %.2f ms",
		 hist_quantile_us(from_commit, 0.5) / 1000, hist_quantile_us(from_commit, 0.99) / 1000,
		 hist_quantile_us(from_send, 0.5) / 1000, hist_quantile_us(from_send, 0.99) / 1000);
	if (sys == SYS_FS)
	{
		snprintf(v, sizeof(v), "wake.%d.p50", way);
		reach(v, hist_quantile_us(from_commit, 0.5) / 1000);
		snprintf(v, sizeof(v), "wake.%d.p99", way);
		reach(v, hist_quantile_us(from_commit, 0.99) / 1000);
	}
	else
		for (int k = 1; k <= 2; k++)
		{
			snprintf(v, sizeof(v), "wake.%d.p50", k);
			reach_floor(v, "LISTEN/NOTIFY: %.2f ms", hist_quantile_us(from_commit, 0.5) / 1000);
			snprintf(v, sizeof(v), "wake.%d.p99", k);
			reach_floor(v, "LISTEN/NOTIFY: %.2f ms", hist_quantile_us(from_commit, 0.99) / 1000);
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

	prepare_copy(SYS_FS, 0, 1, MIXED);
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
	reach("idle.waiting", atoi(waiting));
	reach("idle.pins", atoi(pinned));
	reach("idle.cpu", (double) (after - before) / 2e6);
	for (int i = 0; i < 16; i++)
		PQfinish(c[i]);
}

void
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
