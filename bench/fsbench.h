/*
 * fsbench.h: what the three files of the load generator share.
 *
 * fsbench.c    options, the list of scenarios, what each one sets up, reports
 * fsload.c     one run: N client threads against one database, and its figures
 * fsproc.c     clocks, histograms, CPU time of the server from /proc
 */
#ifndef FSBENCH_H
#define FSBENCH_H

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
	uint64_t	vacuum_ns;		/* of that, autovacuum workers alive now */
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
	M_CLAIM_ONLY				/* claims and never completes */
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
	const char *session_sql;	/* run by each client after connecting, or NULL */
	Order	   *order;			/* or NULL */

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
	double		done_cpu_us;	/* … inside completion calls */
	double		client_cpu_us;	/* of the load generator */
	double		wal_bytes;		/* per job */
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
extern const char *claim_sql(System sys, int batch);
extern void base_session(PGconn *c);

#endif
