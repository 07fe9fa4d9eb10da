/*
 * meter.c
 *		Arithmetic of budgets; see meter.h.
 */
#include "meter.h"

int64_t
meter_add(int64_t a, int64_t b)
{
	return a > METER_MAX - b ? METER_MAX : a + b;
}

/* The least spending that is at least ppm millionths of amount; at least one unit. */
static int64_t
threshold(int64_t amount, int32_t ppm)
{
	int64_t		at = amount / METER_MILLION * ppm + (amount % METER_MILLION * ppm + METER_MILLION - 1) / METER_MILLION;

	return at > 0 ? at : 1;
}

/* The thresholds reached that were not crossed before; they are now. */
static unsigned
cross(Meter *m)
{
	unsigned	reached = 0;

	for (int t = 0; t < METER_THRESHOLDS; t++)
		if (m->at[t] != METER_NEVER && m->spent >= m->at[t])
			reached |= METER_BIT(t);
	reached &= ~m->crossed;
	m->crossed |= reached;
	return reached;
}

unsigned
meter_set(Meter *m, int64_t amount, const int32_t *ppm, unsigned *armed)
{
	*armed = 0;
	m->amount = amount;
	for (int t = 0; t < METER_THRESHOLDS; t++)
	{
		m->at[t] = ppm[t] == METER_NEVER ? METER_NEVER : threshold(amount, ppm[t]);
		if (m->at[t] == METER_NEVER || m->spent < m->at[t])
			*armed |= m->crossed & METER_BIT(t);
	}
	m->crossed &= ~*armed;
	return cross(m);
}

unsigned
meter_reset(Meter *m)
{
	unsigned	armed = m->crossed;

	m->spent = 0;
	m->crossed = 0;
	return armed;
}

unsigned
meter_spend(Meter *m, int64_t used, int64_t promised)
{
	m->reserved -= promised;
	m->spent = meter_add(m->spent, used);
	return cross(m);
}

int64_t
meter_average(int64_t mean, int32_t *samples, int64_t value)
{
	if (*samples < METER_WINDOW)
		(*samples)++;
	return mean + (value - mean) / *samples;
}
