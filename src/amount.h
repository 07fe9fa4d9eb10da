/*
 * amount.h
 *		Amounts of resources and money: numeric outside, fixed point inside.
 */
#ifndef FS_AMOUNT_H
#define FS_AMOUNT_H

#include "fairsched.h"

#include "quota.h"

/*
 * fs_amount_numeric: a numeric as a fixed-point amount, rounded to FS_UNIT.
 * Refuses NaN, infinities, amounts beyond max, and negative ones unless allowed.
 */
extern int64 fs_amount_numeric(Datum numeric, const char *what, int64 max, bool negative_ok);
extern Datum fs_amount_datum(int64 amount);

/* An amount as text, for details: "9.5". Writes into buf, allocates nothing. */
extern char *fs_amount_text(int64 amount, char *buf, Size len);

/* What a job needs by its declaration (jsonb, 0 = none): always one run. */
extern void fs_amount_needs(Datum resources, FsNeeds *needs);

#endif							/* FS_AMOUNT_H */
