/*
 * tap.h
 *		What the unit tests print, and their random numbers: the same in each run.
 */
#ifndef FS_TEST_TAP_H
#define FS_TEST_TAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

static int	tests = 0;
static int	failures = 0;
static uint64_t seed = 7;

static inline void
ok(bool cond, const char *what)
{
	printf("%sok %d - %s\n", cond ? "" : "not ", ++tests, what);
	if (!cond)
		failures++;
}

/* The plan; what main() returns. */
static inline int
done_testing(void)
{
	printf("1..%d\n", tests);
	return failures > 0;
}

/* 0 … n - 1, at most 2^31 - 1 */
static inline int64_t
rnd(int64_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (int64_t) (seed >> 33) % n;
}

#endif							/* FS_TEST_TAP_H */
