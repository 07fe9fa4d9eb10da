/*
 * fairsched.h
 *		What every file of the extension shares: limits, error codes, settings.
 */
#ifndef FAIRSCHED_H
#define FAIRSCHED_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/timestamp.h"

#include "compat.h"

/* Limits of text, in bytes. */
#define FS_NAME_LEN			128 /* workspace, lane, worker, kind, node */
#define FS_CAPS_MAX			64	/* capabilities of a job, or a worker */
#define FS_CAPS_BYTES		4096	/* of these together */
#define FS_CAPS_LEN			(FS_CAPS_BYTES + FS_CAPS_MAX)	/* as a list of
															 * NUL-terminated names */

#define FS_MAX_BATCH		10000	/* jobs a call may claim */
#define FS_MAX_TABLES		4096	/* 12 bits of a job id */
#define FS_SEQ_BITS			41	/* the other bits of a job id */

/* Every function's own errors: class FS. README.md lists them. */
#define FS_ERRCODE(c) MAKE_SQLSTATE('F','S','0','0',c)
#define ERRCODE_FS_NOT_PRELOADED		FS_ERRCODE('1')
#define ERRCODE_FS_UNKNOWN_WORKSPACE	FS_ERRCODE('2')
#define ERRCODE_FS_QUEUE_FULL			FS_ERRCODE('3')
#define ERRCODE_FS_CAPACITY				FS_ERRCODE('4')
#define ERRCODE_FS_WRONG_STATE			FS_ERRCODE('5')
#define ERRCODE_FS_UNKNOWN_JOB			FS_ERRCODE('6')
#define ERRCODE_FS_NOT_INSTALLED		FS_ERRCODE('7')
#define ERRCODE_FS_PREPARE				FS_ERRCODE('8')
#define ERRCODE_FS_BUSY					FS_ERRCODE('9')
#define ERRCODE_FS_UNKNOWN_WORKER		FS_ERRCODE('A')
#define ERRCODE_FS_UNKNOWN_BUDGET		FS_ERRCODE('B')
/* FS00C, unknown node, is raised in SQL */

/* Priority classes and the ranks of the ready key: class * 2, minus 1 for a job that returns. */
#define FS_CLASSES		4
#define FS_RANKS		8
#define FsRankOf(cls, returned) ((cls) * 2 - ((returned) ? 1 : 0))
#define FsRankSlot(rank)	((rank) + 1)
#define FsSlotRank(slot)	((slot) - 1)
#define FsSlotClass(slot)	((slot) / 2)

#define FsJobTableOf(job_id)	((int) ((uint64) (job_id) >> FS_SEQ_BITS))
#define FsMakeJobId(table, seq) (((int64) (table) << FS_SEQ_BITS) | (seq))

/* Settings (guc.c).  Sizes are fixed at start, the rest follows a reload. */
extern int	fs_max_databases;
extern int	fs_max_workspaces;
extern int	fs_max_flows;
extern int	fs_max_rings;
extern int	fs_max_running;
extern int	fs_max_workers;
extern int	fs_max_limits;
extern int	fs_max_budgets;
extern int	fs_max_own_tables;
extern int	fs_default_quota;
extern int	fs_enterprise_quota;
extern double fs_max_workspace_share;
extern int	fs_max_queue_size;
extern int	fs_max_cost;
extern int	fs_max_visits;
extern int	fs_completed_retention; /* seconds; 0 = completed jobs are deleted */
extern int	fs_dead_retention;	/* seconds */
extern int	fs_worker_timeout;	/* ms */
extern int	fs_rebuild_grace;	/* ms */
extern int	fs_max_wait;		/* ms */
extern int	fs_priority_aging;	/* ms; 0 = jobs do not age */
extern int	fs_preemption_grace;	/* ms */
extern int	fs_preemption_interval; /* ms */
extern int	fs_max_preemptions;
extern int	fs_preemption_min_runtime;	/* ms */
extern int	fs_preemption_hold; /* ms */
extern int	fs_preemption_resume_after; /* ms */
extern int	fs_on_exhausted;	/* FsExhausted */
extern bool fs_notify;
extern int	fs_retry_base;		/* ms */
extern int	fs_retry_max;		/* ms */
extern int	fs_reconcile_interval;	/* s */
extern int	fs_fairness_interval;	/* s; 0 = off */
extern int	fs_fairness_workspaces;
extern int	fs_fairness_retention;	/* s */
extern int	fs_alert_interval;	/* s; 0 = off */
extern int	fs_alert_retention; /* s */
extern double fs_alert_min_share;
extern double fs_alert_min_weight;
extern double fs_alert_min_score;
extern int	fs_alert_starvation;	/* s */
extern double fs_alert_expiry_rate;
extern int	fs_alert_task_failures;
extern int	fs_alert_overdue;	/* s */
extern int	fs_dwell_target;	/* ms */
extern int	fs_capacity_interval;	/* ms */
extern int	fs_capacity_cooldown;	/* s */
extern double fs_deliberation_depth_weight;
extern double fs_deliberation_coherence_weight;
extern double fs_deliberation_relevance_weight;
extern double fs_deliberation_min_depth;
extern double fs_deliberation_min_coherence;
extern double fs_deliberation_min_relevance;
extern double fs_deliberation_min_overall;
extern int	fs_deliberation_max_tokens;
extern int	fs_deliberation_retention;	/* seconds */
extern bool fs_move_placements;
extern int	fs_placement_interval;	/* ms */
extern double fs_placement_score_floor;
extern double fs_placement_hysteresis_gap;
extern double fs_placement_service_value;
extern double fs_placement_move_cost;
extern int	fs_placement_cooldown;	/* ms */
extern int	fs_placement_max_moves;
extern int	fs_scorer_timeout;	/* ms */
extern int	fs_placement_eviction;	/* FsEviction */
extern bool fs_background_workers;
extern bool fs_durable_claims;

/* What becomes of a job that was preempted fairsched.max_preemptions times. */
typedef enum FsExhausted
{
	FS_EXHAUSTED_DISCARD,
	FS_EXHAUSTED_RUN
} FsExhausted;

/* What becomes of jobs that run where their placement is evicted from. */
typedef enum FsEviction
{
	FS_EVICTION_FINISH,
	FS_EVICTION_YIELD
} FsEviction;

extern void fs_guc_define(void);
extern int	fs_flow_capacity(void);
extern int	fs_limits_capacity(void);

/* Rings: a set of capabilities may be required in several lanes, and by what is placed on several sets of nodes. */
#define FsRingCapacity() (fs_max_rings * 4)

/* True when the library was loaded at server start, so that shared memory is there. */
extern bool fs_preloaded;

#define FsMsToUsec(ms) ((int64) (ms) * 1000)

#endif							/* FAIRSCHED_H */
