/*
 * meter.h
 *		What a budget has spent and promised, and which thresholds it crossed.
 *		Pure arithmetic: no PostgreSQL, no locks; test/unit/test_meter.c.
 *
 * Amounts are in millionths of the budget's unit (micro-dollars, millionths of
 * a token).  `spent` is what was really used, `reserved` what running jobs are
 * expected to use; a job is let in only while both and its own estimate fit
 * into `amount`.  Thresholds are looked at for `spent` alone, which only grows
 * until the budget is reset: so each is crossed once between two armings, and
 * whoever adds the amount that crosses it is told so.
 */
#ifndef METER_H
#define METER_H

#include <stdbool.h>
#include <stdint.h>

typedef enum MeterThreshold
{
	METER_WARN,
	METER_THROTTLE,
	METER_PREEMPT,
	METER_PAUSE,
	METER_THRESHOLDS
} MeterThreshold;

#define METER_BIT(t) (1u << (t))
#define METER_MILLION INT64_C(1000000)	/* thresholds are millionths of the
										 * amount */
#define METER_NEVER (-1)		/* for a threshold: it is off */
#define METER_MAX INT64_C(2000000000000000000)	/* sums stop here; several of
												 * them fit into 64 bits (sql:
												 * 2e18) */

typedef struct Meter
{
	int64_t		amount;
	int64_t		spent;
	int64_t		reserved;
	int64_t		at[METER_THRESHOLDS];	/* crossed when this much is spent */
	unsigned	crossed;		/* bits of thresholds crossed since they were
								 * armed */
} Meter;

/*
 * Set amount and thresholds (millionths of the amount; METER_NEVER: off).
 * Thresholds that are now above what is spent are armed again and returned in
 * *armed; those reached that were not crossed before are returned.
 */
extern unsigned meter_set(Meter *m, int64_t amount, const int32_t *ppm, unsigned *armed);

/* A new period: nothing is spent; reservations stay. Returns what was crossed and is armed again. */
extern unsigned meter_reset(Meter *m);

/* How much more may be promised; negative: more is promised than there is. */
static inline int64_t
meter_room(const Meter *m)
{
	return m->amount - m->spent - m->reserved;
}

/* A sum of two amounts, at most METER_MAX. */
extern int64_t meter_add(int64_t a, int64_t b);

/* Promise an amount, or as much of it as the sum has room for; returns how much. Give that back in the end. */
static inline int64_t
meter_reserve(Meter *m, int64_t amount)
{
	if (amount > METER_MAX - m->reserved)
		amount = METER_MAX - m->reserved;
	m->reserved += amount;
	return amount;
}

static inline void
meter_release(Meter *m, int64_t amount)
{
	m->reserved -= amount;
}

/*
 * Count what was used; `promised` of it was reserved and is so no more.
 * Returns the thresholds that this crossed.
 */
extern unsigned meter_spend(Meter *m, int64_t used, int64_t promised);

/* Mean of recent values: all of the first METER_WINDOW, then the newest weighs 1/METER_WINDOW. */
#define METER_WINDOW 8
extern int64_t meter_average(int64_t mean, int32_t *samples, int64_t value);

#endif							/* METER_H */
