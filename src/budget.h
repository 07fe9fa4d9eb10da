/*
 * budget.h
 *		Budgets in shared memory: what is set, spent and reserved, what jobs name
 *		together, and what running jobs hold.
 *
 * A *budget* is one row of fairsched.budgets, or a name that jobs use and
 * nobody defined yet (id 0: nothing is let in).  A *set* is what jobs of a flow
 * name and declare, kept once for all flows alike.  A *hold* is what a running
 * job has reserved, by lease.  A *notice* tells the scheduler that thresholds
 * were crossed, or armed again: it writes the events (budget_task.c).
 *
 * Amounts are in millionths of the budget's unit (meter.h).
 */
#ifndef FS_BUDGET_H
#define FS_BUDGET_H

#include "shmem.h"

#include "meter.h"

#define FS_JOB_BUDGETS	8		/* budgets a job may name */
#define FS_JOB_AMOUNTS	16		/* keys of resources of a job that names
								 * budgets */
#define FS_BUDGET_SETS	8		/* sets for each budget, on average */
#define FS_BUDGET_NOTICES 64	/* notices of a database that wait to be
								 * written */
#define FS_AVERAGES		1024	/* recent averages of (kind, dimension), in
								 * the cluster */
#define FS_AVERAGE_WAYS	8		/* places where one of them may be */
#define FS_BUDGET_FULL	(-2)	/* no set, or no budget, is free */
#define FS_SPEND_ROWS	10000	/* rows of fairsched.budget_spend that are
								 * added up at least at once */

/* What happens when a threshold is crossed; FsBudgetActionNames has the words. */
typedef enum FsBudgetAction
{
	FS_BUDGET_ALERT,
	FS_BUDGET_PREEMPT_P3,
	FS_BUDGET_PREEMPT_P2_P3,
	FS_BUDGET_PAUSE_ALL,
	FS_BUDGET_ACTIONS
} FsBudgetAction;

/* A row of fairsched.budgets. */
typedef struct FsBudgetSettings
{
	char		name[FS_NAME_LEN + 1];
	int32		id;				/* 0: the row is gone */
	char		workspace[FS_NAME_LEN + 1]; /* whose jobs may name it; "":
											 * everybody's */
	char		dimension[FS_NAME_LEN + 1];
	int64		amount;
	int32		ppm[METER_THRESHOLDS];	/* millionths of the amount, or
										 * METER_NEVER */
	FsBudgetAction action[METER_THRESHOLDS];
	int32		period;
	TimestampTz next_reset;		/* DT_NOEND: by hand only */
	int64		revision;		/* grows with every change of the row */
	bool		promised;		/* in a ledger item: room for it is kept free */
} FsBudgetSettings;

typedef struct FsBudget
{
	int32		next;			/* hash chain, or free list */
	int32		db;				/* FS_NONE when free */
	FsBudgetSettings set;
	uint64		dimension;		/* hash of set.dimension */
	Meter		meter;
	int32		refs;			/* sets, holds and open ledger items that
								 * point here */
	int32		running;		/* leases that hold something of it */
	int32		sets;			/* list of the places in sets that name it
								 * (FsBudgetLink) */
	uint8		refused;		/* bits of the classes that crossed thresholds
								 * hold back */
	TimestampTz refused_at;		/* since when it is these */
	int64		looks;			/* sets and waiting flows looked at because it
								 * changed */
} FsBudget;

/* What a job is expected to use: what it declared, else the mean of its kind. */
typedef struct FsBudgetNeed
{
	uint64		kind;			/* hash */
	int			ndeclared;
	uint64		dimension[FS_JOB_AMOUNTS];	/* hashes */
	int64		declared[FS_JOB_AMOUNTS];
	bool		too_many;		/* it names or declares more than fits: it is
								 * not let in */
} FsBudgetNeed;

typedef struct FsBudgetSet
{
	int32		next;			/* hash chain, or free list */
	int32		db;				/* FS_NONE when free */
	uint64		key[2];
	int32		refs;			/* flows and leases */
	int32		flows;			/* list of its flows */
	int32		waiters;		/* list of these that are parked for a budget
								 * (admit_parked.c) */
	int32		wait_root;		/* heap of those, in the order in which room
								 * lets them in (nodes: fs_aging_nodes) */
	uint32		wait_stamp;		/* of the last one */
	uint64		wait_clock;		/* key of the last one that was let in */
	bool		hopeful;		/* there may be room for one of them: it is in
								 * the database's circle */
	uint8		refused;		/* bits of the classes that one of its budgets
								 * holds back */
	int32		hope_next;
	int32		hope_prev;
	int			n;
	TimestampTz refused_at;		/* since when it is these */
	int32		budget[FS_JOB_BUDGETS];
	int32		link_next[FS_JOB_BUDGETS];	/* lists of the budgets
											 * (FsBudgetLink) */
	int32		link_prev[FS_JOB_BUDGETS];
	FsBudgetNeed need;
} FsBudgetSet;

/* A place in a set, in the list of its budget. */
#define FsBudgetLink(set, place)	((set) * FS_JOB_BUDGETS + (place))
#define FsBudgetLinkSet(link)		((link) / FS_JOB_BUDGETS)
#define FsBudgetLinkPlace(link)		((link) % FS_JOB_BUDGETS)

/* What a lease reserved of its budgets but the first, in the order of its set's (fs_budget_part). */
typedef struct FsBudgetHold
{
	FsBudgetPart of[FS_JOB_BUDGETS - 1];
} FsBudgetHold;

/* Recent mean of what jobs of a kind used of a dimension. */
typedef struct FsAverage
{
	int32		db;				/* FS_NONE when free */
	int32		samples;
	uint64		kind;
	uint64		dimension;
	int64		mean;
	uint64		used;			/* fs->average_clock when it was used last */
	bool		dirty;			/* not in fairsched.budget_averages as it is */
	char		kind_name[FS_NAME_LEN + 1];
	char		dimension_name[FS_NAME_LEN + 1];
} FsAverage;

typedef enum FsBudgetNoticeKind
{
	FS_BUDGET_CROSSED,			/* of `mask`, each was crossed */
	FS_BUDGET_ARMED				/* of `mask`, each is armed again */
} FsBudgetNoticeKind;

typedef struct FsBudgetNotice
{
	FsBudgetNoticeKind kind;
	unsigned	mask;
	unsigned	pausing;		/* thresholds that pause */
	bool		paused;			/* it is, after this */
	int32		id;				/* of the row whose thresholds they are */
	FsBudgetSettings set;		/* as it is after this */
	int64		spent;
	int32		running;
	TimestampTz at;
} FsBudgetNotice;

/* Of one database; in order, the oldest at `first`. */
typedef struct FsBudgetNotices
{
	uint64		first;
	uint64		next;
	bool		lost;			/* the list was full, or memory is new:
								 * compare with the table */
	bool		stale;			/* tables changed behind our back: read them
								 * again */
	uint64		stale_gen;		/* how often they did */
	TimestampTz stale_at;		/* when they did last */
	bool		ask_again;		/* repeat the preemptions that are in force:
								 * memory is new, or a claim came late */
	bool		resume;			/* jobs that were preempted for a budget may
								 * go on */
	int32		hopeful;		/* circle of the sets whose waiters may find
								 * room; FS_NONE: none */
	uint64		signal;			/* grows when the scheduler has something to
								 * do */
	uint64		seen;			/* of it, what the scheduler saw */
	int64		spend_rows;		/* in fairsched.budget_spend, about */
	int64		spend_limit;	/* beyond, they are added up */
	TimestampTz next_reset;		/* no budget is reset before */
	bool		averages_dirty;
	bool		averages_new;	/* one of them was not known before */
	TimestampTz saved_at;		/* when averages were written */
	FsBudgetNotice notice[FS_BUDGET_NOTICES];
} FsBudgetNotices;

/* What a job names and declares, outside of shared memory (budget_spend.c makes it). */
typedef struct FsBudgetSpec
{
	uint64		key[2];
	int			n;
	char		name[FS_JOB_BUDGETS][FS_NAME_LEN + 1];
	FsBudgetNeed need;
} FsBudgetSpec;

/* A ledger item: an amount that an open transaction spent. */
typedef struct FsSpendItem
{
	int32		budget;
	int32		id;				/* of its row */
	int32		period;
	int32		lease;			/* FS_NONE: no running job's */
	bool		ends;			/* its job is completed */
	int64		amount;
	int64		job_id;
	int64		token;
} FsSpendItem;

/* A ledger item: what a run of the scheduler's task takes care of, if it commits. */
typedef struct FsBudgetRun
{
	uint64		upto;			/* notices before this one are written */
	uint64		stale;			/* 0, or the stale_gen whose tables were read
								 * again */
	bool		lost;
	bool		ask_again;
	bool		resume;
	bool		save;			/* averages */
	int64		folded;			/* rows of fairsched.budget_spend */
	int64		spend_limit;
} FsBudgetRun;

extern FsBudget *fs_budgets;
extern FsBudgetSet *fs_budget_sets;
extern FsBudgetHold *fs_budget_holds;	/* by lease */
extern FsAverage *fs_averages;
extern FsBudgetNotices *fs_budget_notices;	/* by database */
extern int32 *fs_budget_hash;
extern int32 *fs_budget_set_hash;
extern uint32 fs_budget_mask;
extern uint32 fs_budget_set_mask;

/* What a lease reserved of the budget in place i of its set. */
static inline FsBudgetPart *
fs_budget_part(int32 lease, int i)
{
	return i == 0 ? &fs_leases[lease].first_part : &fs_budget_holds[lease].of[i - 1];
}

extern const char *const FsBudgetActionNames[FS_BUDGET_ACTIONS];
extern const char *const FsThresholdNames[METER_THRESHOLDS];

/* ---------- fs->lock held exclusively; nothing here allocates, waits or raises ---------- */

/* budget.c: names and sets */
extern uint64 fs_budget_name_hash(const char *name);
extern int32 fs_budget_find(int32 db, const char *name);
extern int32 fs_budget_get(int32 db, const char *name);
extern int32 fs_budget_add(int32 db, const char *name);
extern void fs_budget_release(int32 budget);
extern void fs_budget_unref(int32 budget);
extern bool fs_budget_promise(int32 db);
extern int32 fs_budget_attach(int32 db, const FsBudgetSpec *spec);
extern void fs_budget_detach(int32 set);
extern void fs_budget_join(int32 set, int32 flow);
extern void fs_budget_leave(int32 set, int32 flow);
extern int	fs_budget_place(int32 lease, int32 budget);
extern int64 fs_budget_gift_room(int32 gift, int32 budget);
extern void fs_budget_sweep(int32 db);
extern void fs_budget_forget(int32 db);

/* budget_average.c: what jobs are expected to use */
extern FsAverage *fs_average_get(int32 db, const char *kind, const char *dimension);
extern void fs_budget_observe(int32 db, const char *kind, const char *dimension, int64 amount);
extern void fs_average_used(const FsBudgetNeed *need, int32 budget);
extern int64 fs_budget_estimate(const FsBudgetNeed *need, int32 budget);

/* budget_gate.c: who may be let in */
extern unsigned fs_budget_pausing(const FsBudgetSettings *set);
extern int	fs_budget_classes(FsBudgetAction action);
extern bool fs_budget_shut(const FsBudget *b);
extern bool fs_budget_judge(int32 budget, const FsBudgetNeed *need, int32 workspace, int cls, int32 gift,
							TimestampTz now, FsRefusal *why);
extern bool fs_budget_admit(int32 set, int32 workspace, int cls, int32 gift, TimestampTz now, FsRefusal *why);
extern bool fs_budget_plain(int32 set, int32 workspace);
extern bool fs_budget_fits(int32 set);
extern void fs_budget_tightest(int32 set, int32 workspace, TimestampTz now, FsRefusal *why);
extern void fs_budget_detail(const FsRefusal *why, char *buf, Size len);

/* budget_notice.c: what is left for the scheduler */
extern void fs_budget_signal(int32 db);
extern void fs_budget_describe(int32 budget, FsBudgetNotice *notice);
extern void fs_budget_notice(int32 budget, FsBudgetNoticeKind kind, int32 id, unsigned mask, unsigned pausing,
							 TimestampTz now);

/* budget_wake.c: who may be let in now */
extern void fs_budget_recheck(int32 budget, TimestampTz now);
extern void fs_budget_room(int32 budget);
extern void fs_budget_wait(int32 flow, uint64 due);
extern void fs_budget_wait_over(int32 flow);
extern bool fs_budget_offer(int32 db, int *visits, TimestampTz now);
extern void fs_budget_hold_back(int32 budget, TimestampTz now);

/* budget_hold.c: what jobs reserve and spend */
extern void fs_budget_charge(int32 lease, int32 set, int32 gift);
extern void fs_budget_confirm(int32 lease);
extern void fs_budget_unclaim(int32 lease);
extern void fs_budget_ungift(int32 lease);
extern void fs_budget_end(int32 lease);
extern void fs_budget_spend_commit(const FsSpendItem *item, TimestampTz now);
extern void fs_budget_spend_abort(const FsSpendItem *item);
extern void fs_budget_recorded(int32 db, int64 job_id, int64 token, const char *budget, int64 amount);

/* budget_apply.c: what is committed */
extern void fs_budget_apply(int32 db, const FsBudgetSettings *set, const int64 *spent, TimestampTz now);
extern void fs_budget_stale(int32 db, TimestampTz now);
extern void fs_budget_run_commit(int32 db, const FsBudgetRun *run, TimestampTz now);
extern void fs_budget_run_abort(int32 db, const FsBudgetRun *run);

/* May fs_budget_offer find somebody? Any lock mode. */
static inline bool
fs_budget_hopeful(int32 db)
{
	return fs_budget_notices[db].hopeful != FS_NONE;
}

/* What a job declares of a dimension; -1: nothing. */
static inline int64
fs_budget_declared(const FsBudgetNeed *need, uint64 dimension)
{
	for (int i = 0; i < need->ndeclared; i++)
		if (need->dimension[i] == dimension)
			return need->declared[i];
	return -1;
}

static inline bool
fs_budget_paused(const FsBudget *b)
{
	return (b->meter.crossed & fs_budget_pausing(&b->set)) != 0;
}

#endif							/* FS_BUDGET_H */
