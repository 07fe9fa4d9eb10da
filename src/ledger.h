/*
 * ledger.h
 *		What an open transaction changed in shared memory, and how it ends.
 */
#ifndef FS_LEDGER_H
#define FS_LEDGER_H

#include "admission_notes.h"
#include "budget.h"
#include "ws_limits.h"
#include "placement.h"
#include "state.h"

/* fs_ledger_init: once a process, from _PG_init. */
extern void fs_ledger_init(void);

/* Room for n more items; may raise. Call before taking fs->lock. */
extern void fs_ledger_reserve(int n);

/* The following need fs->lock held and room reserved; they do not raise. */
extern void fs_ledger_claim(int32 lease, const FsCandidate *cand);
extern void fs_ledger_unclaim(int32 lease);
extern void fs_ledger_finish(int32 lease, FsDirective tell, int how);
extern void fs_ledger_ended(int32 lane, int how);
extern void fs_ledger_unfinish(int32 lease);
extern void fs_ledger_harden(int32 lease, ItemPointer tid, Oid relfile, int32 job_table);
extern void fs_ledger_frozen(int32 workspace);
extern bool fs_ledger_freezes(int32 workspace);
extern bool fs_ledger_holds_up(int32 workspace);
extern bool fs_ledger_closing(int32 workspace, int64 position);
extern bool fs_ledger_closes(int32 workspace);
extern void fs_ledger_queue(int32 workspace, int32 flow, int slot, const FsCandidate *cand,
							int cls_delta, int waiting_delta, TimestampTz due,
							bool hint_on_commit, bool hint_on_abort);
extern int	fs_ledger_queue_into(int at, int32 workspace, int32 flow, int slot,
								 const FsCandidate *cand, int cls_delta, int waiting_delta,
								 TimestampTz due, bool hint_on_commit, bool hint_on_abort);
extern void fs_ledger_reserved(int32 workspace, int32 flow, int n);
extern int	fs_ledger_reserved_into(int at, int32 workspace, int32 flow, int n);
extern int64 fs_ledger_pending(int32 workspace, int cls);
extern void fs_ledger_spend(const FsSpendItem *spend);
extern int64 fs_ledger_recorded(int32 budget, int64 job_id, int64 token);
extern bool fs_ledger_budget_pending(const char *name, FsBudgetSettings *set);
extern void fs_ledger_budget_run(const FsBudgetRun *run);
extern void fs_ledger_usage_stale(void);
extern void fs_ledger_notes(const FsAdmissionNotes *notes);
extern void fs_ledger_usage(int32 limits, FsResource r, int64 amount, int64 job_id, const char *run_id,
							TimestampTz now);
extern void fs_ledger_placement(FsPlacementChange *change);
extern void fs_ledger_limits(int32 limits, uint32 part, FsLimitSettings *set);
extern void fs_ledger_booked(int32 limits, int64 left);
extern void fs_ledger_place(int32 lease, ItemPointer tid, Oid relfile, int32 job_table);

/* Room must be reserved; the lock is not needed. */
extern void fs_ledger_logged(uint64 page, uint64 gen);

/* Others; they may raise and take the lock themselves. */
extern void fs_ledger_settings(const char *workspace, const FsWorkspaceSettings *set, bool apply_now,
							   const FsWorkspaceSettings *old);
extern void fs_ledger_forget(const char *workspace, const FsWorkspaceSettings *defaults);
extern void fs_ledger_drained(bool drained);
extern void fs_ledger_due(TimestampTz due, TimestampTz expiry);
extern void fs_ledger_preempt_due(TimestampTz due);
extern void fs_ledger_placements_taken(void);
extern void fs_ledger_preempt(int64 job_id, int64 token);
extern bool fs_ledger_preempts(int64 job_id);
extern void fs_ledger_events(const int64 *events, bool sent);
extern void fs_ledger_rescan(bool on_abort_too);
extern void fs_ledger_settings_stale(void);
extern void fs_ledger_signal_stale(void);
extern void fs_ledger_extension(Oid extension, bool created);
extern void fs_ledger_worker(int32 worker, bool declared, int32 slots, const char *caps,
							 int caps_len, const char *node);

extern void fs_ledger_budget(const FsBudgetSettings *set);
extern void fs_ledger_budgets_stale(void);

extern int	fs_ledger_open_items(void);

#endif							/* FS_LEDGER_H */
