/*
 * fsbench.h: what the files of the benchmark share.
 *
 * fsbench.c    options, the list of scenarios, and the order in which they run
 * fsspeed.c fsfair.c fswake.c fsrestart.c
 *              the scenarios
 * fsdb.c       what they do to the server outside of a measurement
 * fsreport.c   figures of the runs, medians, and the files they are written to
 * fstargets.c  what is to be reached, and whether it was
 * fsload.c     one run: N client threads against one database, and its figures
 * fsproc.c     clocks, histograms, CPU time of the server from /proc
 *
 * An error ends the scenario, not the benchmark: give_up() jumps to the list of
 * scenarios.
 */
#ifndef FSBENCH_H
#define FSBENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <libpq-fe.h>

/* ---- fsproc.c ---- */

#define HIST_SUB		32			/* sub-buckets per power of two: 3 % wide */
#define HIST_BUCKETS	(48 * HIST_SUB)

typedef struct Hist
{
	uint64_t	n;
	uint32_t	bucket[HIST_BUCKETS];
} Hist;

extern uint64_t now_ns(void);
extern void sleep_ns(uint64_t ns);
extern void hist_add(Hist *h, uint64_t ns);
extern void hist_merge(Hist *into, const Hist *from);
extern double hist_quantile_us(const Hist *h, double q);

/* One reading of the server's CPU clock, in nanoseconds. */
typedef struct CpuSample
{
	uint64_t	total_ns;		/* postmaster, its children, and those that are gone */
	uint64_t	vacuum_ns;		/* of that, autovacuum workers and all that are gone */
} CpuSample;

extern int	parent_pid(int pid);
extern CpuSample cpu_sample(int postmaster_pid);
extern int	sched_open(int pid);	/* a descriptor to pass to sched_read_ns */
extern uint64_t sched_read_ns(int fd);
extern uint64_t sched_pid_ns(int pid);
extern uint64_t self_cpu_ns(void);
extern long anon_kb(int pid);	/* private memory of a process */

/* ---- fsload.c ---- */

typedef enum System
{
	SYS_BASE,					/* one table, FOR UPDATE SKIP LOCKED */
	SYS_FS						/* fairsched */
} System;

typedef enum Mode
{
	M_DRAIN,					/* claim, then complete: two transactions */
	M_ONE_TX,					/* complete what I hold and claim the next: one transaction */
	M_CYCLE,					/* enqueue, claim, complete: three transactions */
	M_ENQUEUE,					/* one job a statement */
	M_ENQUEUE_MANY,				/* run.batch jobs a statement */
	M_COPY,						/* run.batch jobs a COPY */
	M_CLAIM_ONLY,				/* claims and never completes */
	M_COMMITS,					/* floor: run.commits transactions a job that only insert a narrow row */
	M_READ						/* floor: reads run.batch rows by their places, run.places in turn */
} Mode;

#define MAX_CLIENTS		256
#define MAX_SERIES		256		/* seconds */

/* Who was served when: filled in order of arrival of the claims at the clients. */
typedef struct Order
{
	uint32_t   *tenant;			/* tenant number of the k-th claimed job */
	uint64_t	size;
	uint64_t	next;			/* changed atomically */
} Order;

/* Where a row is, as ctid says. */
typedef struct Place
{
	uint32_t	block;
	uint16_t	offset;
} Place;

typedef struct Run
{
	/* in */
	const char *dbname;
	System		sys;
	Mode		mode;
	int			clients;
	int			batch;
	double		seconds;		/* stop after that long … */
	uint64_t	max_jobs;		/* … or after that many jobs; 0 = no limit */
	int			workspaces;		/* names ws0 … are used for enqueues */
	int			warmup;			/* rounds of each client that are not measured */
	bool		pipeline;		/* completion and next claim share a round trip */
	bool		scatter;		/* each job of M_CYCLE goes to another workspace */
	bool		in_from;		/* fairsched_enqueue is called in FROM, not as a column */
	const char *session_sql;	/* run by each client after connecting, or NULL */
	const char *turns[2];		/* of M_DRAIN: lanes that each client claims from in turns; or NULL */
	Order	   *order;			/* or NULL */
	int			commits;		/* of M_COMMITS */
	const Place *places;		/* of M_READ */
	uint64_t	nplaces;

	/* out */
	bool		ok;
	char		error[512];
	double		elapsed;		/* s, until the last completion */
	uint64_t	jobs;
	uint64_t	not_mine;		/* completions that were refused */
	double		jobs_s;
	double		cpu_us;			/* server CPU per job, all processes */
	double		cpu_backend_us; /* of that, the clients' own backends */
	double		claim_cpu_us;	/* backend CPU per job inside claim calls */
	double		turn_cpu_us[2]; /* of these, from each of turns[]: median of the calls */
	double		done_cpu_us;	/* … inside completion calls */
	double		client_cpu_us;	/* of the load generator */
	double		vacuum_cpu_us;	/* of autovacuum workers */
	double		wal_bytes;		/* per job */
	char		wal_from[32],
				wal_to[32];		/* positions in the log */
	double		claim_p50,
				claim_p99,
				done_p50,
				done_p99,
				enq_p50,
				enq_p99;		/* us */
	uint64_t	series[MAX_SERIES]; /* jobs completed in each second */
} Run;

extern void run_load(Run *r, PGconn *control, int postmaster_pid);
extern PGconn *connect_db(const char *dbname);
extern void disconnect(PGconn *c);
extern const char *claim_sql(System sys, int batch);
extern void base_session(PGconn *c);

/* ---- fsdb.c ---- */

#define DB				"fsbench_run"
#define HUGE_CEILING	"100000"

extern PGconn *control;			/* to another database, never measured */
extern int	postmaster_pid;

extern void give_up(const char *what, const char *message) __attribute__((noreturn));
extern char *vformat(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
extern void sql(PGconn *c, const char *fmt,...) __attribute__((format(printf, 2, 3)));
extern const char *value(PGconn *c, const char *fmt,...) __attribute__((format(printf, 2, 3)));
extern PGconn *connect_or_give_up(const char *db);
extern void find_postmaster(void);
extern void set_guc(const char *name, const char *val);
extern bool has_setting(const char *name);
extern void drop_db(void);
extern void create_db(System sys);

/* To which workspaces jobs go, and of which priority. */
typedef enum Arrival
{
	MIXED,						/* in turns; 10 % P1, 80 % P2, 10 % P3 */
	PLAIN,						/* in turns; P2 */
	RANDOM,						/* at random; P2 */
	GROUPS						/* 20 of each in turn, as of a call that enqueues 20; P2 */
} Arrival;

extern void load(System sys, long n, int base_ws, int workspaces, Arrival arrival);
extern void load_with(System sys, long n, int base_ws, int workspaces, Arrival arrival, const char *column,
					  const char *value);
extern void settle(void);
extern bool from_stock(const char *name);
extern void to_stock(const char *name);
extern void drop_stock(void);
extern void prepare_db(System sys, long n, int workspaces, Arrival arrival);
extern void prepare_copy(System sys, long n, int workspaces, Arrival arrival);
extern bool have_10m;			/* the database is what sc_backlog10m has loaded */

/* ---- fsreport.c ---- */

#define MAX_REPS		16

extern FILE *series_file;

extern void reports_open(void);
extern void reports_close(void);
extern void record(const char *variant, const char *system, Run *r);
extern void fact(const char *name, const char *fmt,...) __attribute__((format(printf, 2, 3)));
extern void note_failure(const char *what, const char *message);
extern double median(const double *v, int n);	/* of at most MAX_REPS; NAN of none */
extern double med(const char *scenario, const char *variant, const char *system, const char *name);

/* ---- fstargets.c ---- */

extern void reach(const char *key, double got);
extern void reach_note(const char *key, const char *fmt,...) __attribute__((format(printf, 2, 3)));
extern void reach_floor(const char *key, const char *fmt,...) __attribute__((format(printf, 2, 3)));
extern void targets_of_medians(void);
extern void write_targets(FILE *f);

/* ---- fsbench.c ---- */

typedef struct Options
{
	bool		full;
	int			reps;			/* 0: as the scenario says */
	double		seconds;		/* 0: as the scenario says */
	int			clients;
	bool		have_fs;		/* fairsched is installed and preloaded */
	bool		only_base;
	bool		only_fs;
	const char *out_dir;
} Options;

extern Options opt;
extern jmp_buf scenario_end;
extern const char *scenario_name;
extern int	failures;

extern Run	new_run(System sys, Mode mode, int batch);
extern void go(Run *r, const char *variant, const char *system);
extern int	reps(int quick, int in_full);
extern double secs(double quick, double in_full);
extern bool skip(System sys);
extern const char *sys_name(System sys);

/* ---- the scenarios ---- */

extern void sc_drain1(void);
extern void sc_drain100(void);
extern void sc_groups(void);
extern void sc_checkpoint(void);
extern void sc_enqueue(void);
extern void sc_workspaces(void);
extern void sc_backlog(void);
extern void sc_backlog10m(void);
extern void sc_limits(void);
extern void sc_gates(void);
extern void sc_refused(void);
extern void sc_dashboard(void);
extern void sc_conn64(void);
extern void sc_own500(void);
extern void sc_held(void);
extern void sc_hot(void);
extern void sc_jain(void);
extern void sc_wakeup(void);
extern void sc_shm(void);
extern void sc_memory(void);
extern void sc_rebuild(void);
extern void sc_rebuild10m(void);

#endif
