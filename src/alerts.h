/*
 * alerts.h
 *		Alerts: what an operator should look at, kept in fairsched.alerts.
 *
 * Called within a transaction of a scheduler task, or of a session; an alert
 * holds when that commits.  Any of these may raise as SPI may.
 */
#ifndef FS_ALERTS_H
#define FS_ALERTS_H

#include "state.h"

/*
 * fs_alert_raise: the cause holds now.  One row for (type, workspace, subject)
 * is open at a time: a repetition counts up, and takes over severity and detail.
 * severity: low, medium, high, critical.  workspace, subject (a budget, node,
 * lane ... that tells alerts of a type apart): NULL = none.
 */
extern void fs_alert_raise(const char *type, const char *severity, const char *workspace,
						   const char *subject, const char *detail);

/* The cause is gone; nothing happens where no such alert is open. */
extern void fs_alert_resolve(const char *type, const char *workspace, const char *subject);

/* A check that raises every alert of a type whose cause holds ends with this: the others are over. */
extern void fs_alert_resolve_rest(const char *type, TimestampTz since);

/* The time that these three go by; 0 = the clock.  Who sets it puts it back, also after an error. */
extern void fs_alert_at(TimestampTz now);
extern TimestampTz fs_alert_now(void);

#endif							/* FS_ALERTS_H */
