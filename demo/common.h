/*
 * common.h
 *	  What the demo's programs share: one libpq connection, errors that end the program, a clock.
 *	  The server is found through PGHOST, PGPORT, PGUSER and PGDATABASE, like any client's.
 */
#ifndef FAIRSCHED_DEMO_COMMON_H
#define FAIRSCHED_DEMO_COMMON_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libpq-fe.h"

/* A worker gives up when it gets no job for so long although there are some (usec). */
#define STALLED_AFTER 60000000

static const char *progname = "demo";

static inline void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *fmt,...)
{
	va_list		ap;

	fprintf(stderr, "%s: ", progname);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static inline void *
need(void *p)
{
	if (p == NULL)
		die("out of memory");
	return p;
}

/* Microseconds of a clock that all processes of this machine share. */
static inline int64_t
now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static inline PGconn *
connect_or_die(const char *name)
{
	const char *keys[] = {"application_name", NULL};
	const char *values[] = {name, NULL};
	PGconn	   *conn = PQconnectdbParams(keys, values, 0);

	if (PQstatus(conn) != CONNECTION_OK)
		die("%s", PQerrorMessage(conn));
	return conn;
}

static inline PGresult *
check_or_die(PGconn *conn, PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		die("%s", PQerrorMessage(conn));
	return res;
}

static inline void
prepare(PGconn *conn, const char *name, const char *sql)
{
	PQclear(check_or_die(conn, PQprepare(conn, name, sql, 0, NULL)));
}

static inline PGresult *
exec_prepared(PGconn *conn, const char *name, int nparams, const char *const *values)
{
	return check_or_die(conn, PQexecPrepared(conn, name, nparams, values, NULL, NULL, 0));
}

/* Run a query that answers yes or no. */
static inline bool
ask(PGconn *conn, const char *sql)
{
	PGresult   *res = check_or_die(conn, PQexec(conn, sql));
	bool		yes = PQntuples(res) == 1 && strcmp(PQgetvalue(res, 0, 0), "t") == 0;

	PQclear(res);
	return yes;
}

/* Decode a bytea; the result ends with a NUL that does not count. Freed by the caller. */
static inline char *
bytes_of(const char *bytea)
{
	size_t		len;
	unsigned char *raw = need(PQunescapeBytea((const unsigned char *) bytea, &len));
	char	   *copy = need(malloc(len + 1));

	memcpy(copy, raw, len);
	copy[len] = '\0';
	PQfreemem(raw);
	return copy;
}

/* A string that grows. */
typedef struct Buf
{
	char	   *data;
	size_t		len;
	size_t		size;
} Buf;

static inline void
buf_add(Buf *b, const char *s, size_t n)
{
	if (b->len + n + 1 > b->size)
	{
		b->size = (b->len + n + 1) * 2;
		b->data = need(realloc(b->data, b->size));
	}
	memcpy(b->data + b->len, s, n);
	b->len += n;
	b->data[b->len] = '\0';
}

static inline void
buf_puts(Buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

/* Append one element to the text form of an SQL array that was begun with "{". */
static inline void
buf_element(Buf *b, const char *s)
{
	if (b->len > 1)
		buf_puts(b, ",");
	buf_puts(b, "\"");
	for (; *s; s++)
	{
		if (*s == '"' || *s == '\\')
			buf_puts(b, "\\");
		buf_add(b, s, 1);
	}
	buf_puts(b, "\"");
}

static inline void
buf_begin_array(Buf *b)
{
	b->len = 0;
	buf_puts(b, "{");
}

#endif
