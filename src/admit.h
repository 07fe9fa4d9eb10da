/*
 * admit.h
 *		Admission: the gates behind ceiling and share, all or nothing.  fs->lock
 *		held exclusively; nothing here allocates, waits or raises.
 *
 * admit_charge.c (what leases take) calls admit_parked.c (who waits, and what
 * lifts it), which calls admit_gates.c (the decision).
 */
#ifndef FS_ADMIT_H
#define FS_ADMIT_H

#include "ws_limits.h"
#include "pick.h"
#include "port/pg_bitutils.h"

#define for_each_need(r, mask) \
	for (uint32 r##_rest = (mask), r; r##_rest != 0 && (r = pg_rightmost_one_pos32(r##_rest), true); \
		 r##_rest &= r##_rest - 1)

/* Is there any gate that could refuse jobs of this flow? */
static inline bool
fs_admit_gated(const FsWorkspace *ws, const FsFlow *f)
{
	return ws->limits != FS_NONE || f->budget_set != FS_NONE ||
		(f->needs.mask & ~FsResourceBit(FS_RES_RUNS)) != 0;
}

/* ---------- admit_gates.c ---------- */

/* Which gates are asked. */
#define FS_GATE_RATE		1
#define FS_GATE_RESOURCE	2
#define FS_GATE_BUDGET		4
#define FS_GATE_THROTTLE	8
#define FS_GATE_ALL			15

/*
 * Decide; changes nothing.  why->park is FS_PARK_NONE when a job of the flow may
 * be claimed.  cls: its class; -1 for any that budgets do not hold back.
 */
extern void fs_admit_judge(int32 workspace, const FsNeeds *needs, int32 budget_set, int cls, int32 gift,
						   int gates, TimestampTz now, FsRefusal *why);

/*
 * Is it plain that QUOTA_RUN jobs that need this may be claimed one after the
 * other, of any class, where nothing is taken over and nothing else changes?
 * Changes nothing; false says nothing.
 */
extern bool fs_admit_plain(int32 workspace, const FsNeeds *needs, int32 budget_set, TimestampTz now);

/* One resource of these gates by itself. */
extern bool fs_admit_resource(const FsWorkspace *ws, FsResource r, int64 need, int64 gift, TimestampTz now,
							  FsRefusal *why);

/* What a parked workspace or flow waits for, in words. */
extern void fs_admit_detail(const FsRefusal *why, char *buf, Size len);

/* ---------- admit_parked.c ---------- */

/* Decide for a claim; a refusal parks the flow or its workspace. */
extern bool fs_admit_flow(int32 flow, int slot, FsEligible *e);

/* What lifts refusals. */
extern bool fs_admit_open(int32 workspace);
extern void fs_admit_relieved(int32 workspace);
extern void fs_admit_changed(int32 workspace, TimestampTz now);
extern int	fs_admit_recheck(int32 *waiters, TimestampTz now);
extern void fs_admit_hold_back(int32 flow, int classes);
extern void fs_admit_lift(int32 flow);
extern void fs_admit_head_changed(int32 flow, int slot, bool left);
extern void fs_admit_offer(int32 workspace, int32 gift, TimestampTz now);
extern void fs_admit_wake_due(FsDatabase *db, TimestampTz now);

/* Something is to be written by the scheduler, within a second. */
extern void fs_admit_dirty(FsDatabase *db);

/* When the next refusal lifts by time. Any lock mode. */
extern TimestampTz fs_admit_wake_at(const FsDatabase *db);

/* When the scheduler has something to do here: DT_NOEND = not by time. Any lock mode, or none. */
extern TimestampTz fs_admit_next_due(const FsDatabase *db);

/* Coming and going. */
extern bool fs_admit_flow_made(int32 flow, const FsFlowSpec *spec);
extern void fs_admit_flow_gone(int32 flow);
extern bool fs_admit_new_head(int32 flow, const FsFlowSpec *spec);
extern void fs_admit_no_room(int32 flow, TimestampTz now);
extern void fs_admit_workspace_made(int32 workspace);
extern void fs_admit_workspace_gone(int32 workspace);
extern int32 fs_admit_bind(int32 db, const char *workspace, int32 limits);

/* Why nothing of a flow is handed out, as far as these gates say so. Any lock mode. */
extern void fs_admit_why(int32 flow, FsRefusal *why);

/* ---------- admit_charge.c ---------- */

/* What a lease takes and gives back. */
#define FS_CHARGE_OPEN	1		/* by a claim that is not committed */
#define FS_CHARGE_RATE	2		/* counts against the rate limit */
extern void fs_admit_charge(int32 lease, const FsNeeds *needs, int32 budget_set, int32 gift, int how,
							TimestampTz now);
extern bool fs_admit_again(int32 workspace, const FsFlowSpec *spec, int cls, TimestampTz now);
extern void fs_admit_take_again(int32 lease, const FsFlowSpec *spec, TimestampTz now);
extern void fs_admit_restore(int32 lease, const FsFlowSpec *spec, TimestampTz now);
extern void fs_admit_unclaim(int32 lease);
extern void fs_admit_ungift(int32 lease);
extern void fs_admit_confirm(int32 lease, TimestampTz now);
extern void fs_admit_levels(int32 workspace, bool claimed, int64 job_id, TimestampTz now);
extern void fs_admit_end(int32 lease, TimestampTz now);

/* Usage of a resource is, as of commit, what it is now: throttle, or an alert, at the threshold. */
extern void fs_admit_crossed(int32 limits, FsResource r, int64 committed, bool recorded, int64 job_id,
							 const char *run_id, TimestampTz now);
extern void fs_admit_rearm(int32 limits, FsResource r, int64 committed);
extern bool fs_admit_above(const FsLimits *limits, FsResource r, int64 committed);	/* its threshold */

#endif							/* FS_ADMIT_H */
