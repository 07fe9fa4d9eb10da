/*
 * fsproc.c: clocks, histograms, and the CPU time of the server.
 *
 * The server's CPU is read from the kernel, not sampled: for every living
 * child of the postmaster the run time of /proc/PID/schedstat (nanoseconds),
 * plus the postmaster's own, plus its cutime + cstime, which is where children
 * that ended in the meantime (autovacuum workers, closed connections) go.
 * A child that ends between two readings moves from one sum to the other and
 * loses at most one clock tick (10 ms).  In a measurement only autovacuum workers
 * end, so those alive and all that ended are what autovacuum used.  Where schedstat is missing the ticks
 * of /proc/PID/stat are used.
 */
#include "fsbench.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t) ts.tv_sec * 1000000000u + (uint64_t) ts.tv_nsec;
}

void
sleep_ns(uint64_t ns)
{
	struct timespec ts = {(time_t) (ns / 1000000000u), (long) (ns % 1000000000u)};

	nanosleep(&ts, NULL);
}

/* Log-linear buckets: exact below HIST_SUB ns, then HIST_SUB per power of two. */
static int
hist_index(uint64_t ns)
{
	int			shift;
	int			i;

	if (ns < HIST_SUB)
		return (int) ns;
	shift = 63 - __builtin_clzll(ns) - 5;	/* 2^5 = HIST_SUB */
	i = (shift + 1) * HIST_SUB + (int) ((ns >> shift) - HIST_SUB);
	return i < HIST_BUCKETS ? i : HIST_BUCKETS - 1;
}

void
hist_add(Hist *h, uint64_t ns)
{
	h->n++;
	h->bucket[hist_index(ns)]++;
}

void
hist_merge(Hist *into, const Hist *from)
{
	into->n += from->n;
	for (int i = 0; i < HIST_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
}

double
hist_quantile_us(const Hist *h, double q)
{
	uint64_t	want = (uint64_t) (q * (double) h->n);
	uint64_t	seen = 0;

	if (h->n == 0)
		return 0;
	for (int i = 0; i < HIST_BUCKETS; i++)
	{
		seen += h->bucket[i];
		if (seen > want)
		{
			int			shift = i / HIST_SUB - 1;

			if (shift < 0)
				return i / 1000.0;
			return ((double) ((uint64_t) (HIST_SUB + i % HIST_SUB) << shift) +
					(double) ((uint64_t) 1 << shift) / 2) / 1000.0;
		}
	}
	return 0;
}

static bool
read_file(const char *path, char *buf, size_t size)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t		n;

	if (fd < 0)
		return false;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	buf[n] = 0;
	return true;
}

/* Fields of /proc/PID/stat: parent, own ticks, ticks of children that ended. */
static bool
read_stat(int pid, int *ppid, uint64_t *own, uint64_t *children)
{
	char		path[64];
	char		buf[1024];
	char	   *p;
	unsigned long ut,
				st;
	long		cut,
				cst;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (!read_file(path, buf, sizeof(buf)) || (p = strrchr(buf, ')')) == NULL)
		return false;
	if (sscanf(p + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld",
			   ppid, &ut, &st, &cut, &cst) != 5)
		return false;
	*own = ut + st;
	*children = (uint64_t) (cut + cst);
	return true;
}

int
parent_pid(int pid)
{
	int			ppid;
	uint64_t	own,
				children;

	return read_stat(pid, &ppid, &own, &children) ? ppid : -1;
}

static uint64_t
tick_ns(void)
{
	return 1000000000u / (uint64_t) sysconf(_SC_CLK_TCK);
}

uint64_t
sched_pid_ns(int pid)
{
	char		path[64];
	char		buf[128];
	int			ppid;
	uint64_t	own,
				children;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	if (read_file(path, buf, sizeof(buf)))
		return strtoull(buf, NULL, 10);
	return read_stat(pid, &ppid, &own, &children) ? own * tick_ns() : 0;
}

CpuSample
cpu_sample(int postmaster_pid)
{
	CpuSample	s = {0, 0};
	DIR		   *d = opendir("/proc");
	struct dirent *e;
	int			ppid;
	uint64_t	own,
				children;

	if (d == NULL)
		return s;
	while ((e = readdir(d)) != NULL)
	{
		int			pid = atoi(e->d_name);
		uint64_t	ns;
		char		path[64];
		char		cmd[256];

		if (pid <= 0 || !read_stat(pid, &ppid, &own, &children))
			continue;
		if (pid == postmaster_pid)
		{
			s.total_ns += sched_pid_ns(pid) + children * tick_ns();
			s.vacuum_ns += children * tick_ns();
			continue;
		}
		if (ppid != postmaster_pid)
			continue;
		ns = sched_pid_ns(pid);
		s.total_ns += ns;
		snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
		/* without a command line: it is just ending */
		if (!read_file(path, cmd, sizeof(cmd)) || strstr(cmd, "autovacuum worker"))
			s.vacuum_ns += ns;
	}
	closedir(d);
	return s;
}

int
sched_open(int pid)
{
	char		path[64];

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

uint64_t
sched_read_ns(int fd)
{
	char		buf[128];
	ssize_t		n = pread(fd, buf, sizeof(buf) - 1, 0);

	if (n <= 0)
		return 0;
	buf[n] = 0;
	return strtoull(buf, NULL, 10);
}

uint64_t
self_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t) ts.tv_sec * 1000000000u + (uint64_t) ts.tv_nsec;
}

long
anon_kb(int pid)
{
	char		path[64];
	char		buf[4096];
	char	   *p;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (!read_file(path, buf, sizeof(buf)) || (p = strstr(buf, "RssAnon:")) == NULL)
		return -1;
	return atol(p + 8);
}
