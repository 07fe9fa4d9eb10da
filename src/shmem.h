/*
 * shmem.h
 *		The scheduler's state in shared memory: what is where.
 *
 * One LWLock, fs->lock, protects everything in this file unless a field says
 * otherwise.  It is a leaf: no catalog access, buffer, heavyweight lock, wait,
 * palloc or ereport while it is held.  Sections under it are a few hundred
 * nanoseconds to a few microseconds long, whatever the backlog.
 *
 * Things refer to each other by index into fixed pools (FS_NONE = nothing), so
 * that the size is known at start and nothing depends on an address.
 */
#ifndef FS_SHMEM_H
#define FS_SHMEM_H

#include "fairsched.h"

#include "access/transam.h"
#include "drr.h"
#include "dwell.h"
#include "fair.h"
#include "needtree.h"
#include "placement_health.h"
#include "port/atomics.h"
#include "quota.h"
#include "ringheap.h"
#include "storage/condition_variable.h"
#include "storage/itemptr.h"
#include "storage/lwlock.h"
#include "utils/uuid.h"

#define FS_NONE (-1)
#define FS_RATE_TAU 60.0		/* seconds over which the service rate is
								 * measured */
#define FS_OWN_CANDIDATES 2		/* heads that every flow has room for */
#define FS_DWELLS 1024			/* workspaces whose waiting times are kept */
#define FS_CANDIDATES 24		/* heads in a block, for a flow that is being
								 * served */
#define FS_AGING 2				/* classes whose jobs age: P2 and P3 */
#define FS_AGE_MARKS 128
#define FS_FLEET 3				/* resources a fleet has: the first of
								 * FsResource */
#define FS_ROOMS 16
#define FS_CLOSING 16			/* workspaces that are moved at a time with
								 * their heads being served */
#define FS_WORKER_LANES 8		/* lanes that are remembered of a worker */

/*
 * A pool of equal things: a free list by index, of which those given back last,
 * and of those never used the lowest, come first.  So whoever looks at all that
 * there is need not go beyond `high`, most that there ever was at once; that may
 * be read without the lock: what is made after the reader's snapshot may be missed.
 */
typedef struct FsPool
{
	int32		free_head;
	int32		used;
	int32		capacity;
	int32		high;			/* entries from here on were never used */
} FsPool;

/* Why nothing of a workspace or a flow is handed out; FsParkNames in park.c has the words. */
typedef enum FsPark
{
	FS_PARK_NONE,
	FS_PARK_PAUSED,
	FS_PARK_CEILING,
	FS_PARK_SHARE,				/* fairsched.max_workspace_share */
	FS_PARK_MOVING,				/* last step of isolate_workspace */
	FS_PARK_RATE,				/* fairsched_set_rate_limit */
	FS_PARK_RESOURCE,			/* a quota: of the workspace, or what a flow's
								 * jobs need */
	FS_PARK_BUDGET,				/* flows only */
	FS_PARK_THROTTLE,			/* fairsched_set_throttle */
	FS_PARK_CAPACITY,			/* flows only: fairsched_set_capacity */
	FS_PARK_NODE				/* there is no room for the rings of its
								 * placement */
} FsPark;

#define FS_TOO_MANY	0xff		/* in FsRefusal.classes */

/*
 * What the admission gates say of a refusal; amounts in units of FS_UNIT.  In a
 * workspace or flow that is parked it tells why, and until when.
 */
typedef struct FsRefusal
{
	FsPark		park:8;			/* FS_PARK_NONE: nothing refuses */
	FsResource	resource:8;		/* FS_PARK_RESOURCE, CAPACITY */
	bool		whole;			/* all jobs of the workspace are refused, not
								 * only the flow's */
	uint8		classes;		/* FS_PARK_BUDGET: bits of the classes it
								 * holds back, where that is why; FS_TOO_MANY:
								 * the job names too many */
	int32		on;				/* FS_PARK_BUDGET: the budget */
	int64		value;			/* in use, what the job needs included */
	int64		limit;
	TimestampTz since;
	TimestampTz retry_at;		/* it may be lifted then; 0: by an event only */
} FsRefusal;

struct FsBudgetSpec;

/* What tells flows of one workspace, lane and capability set apart (enqueue.c makes it). */
typedef struct FsFlowSpec
{
	uint64		hash[2];
	FsNeeds		needs;
	struct FsBudgetSpec *budget;	/* NULL: no budget is named */
} FsFlowSpec;

typedef enum FsQuotaClass
{
	FS_QUOTA_DEFAULT,
	FS_QUOTA_ENTERPRISE
} FsQuotaClass;

/* What an administrator sets for a workspace. */
typedef struct FsWorkspaceSettings
{
	int32		tier_id;
	int32		quantum;		/* cost units a round */
	double		weight;
	FsQuotaClass quota_class;
	int32		max_running;	/* -1: the class's default */
	int64		max_queue_size; /* -1: fairsched.max_queue_size; 0: no limit */
	int32		job_table;		/* 0: the shared table */
	bool		paused;
	bool		has_row;		/* known to fairsched.workspaces */
} FsWorkspaceSettings;

typedef struct FsWorkspace
{
	int32		next;			/* hash chain, or free list */
	int32		db;				/* database slot; FS_NONE when free */
	char		name[FS_NAME_LEN + 1];
	bool		misplaced;		/* not all its members are in rings of
								 * `holders` */
	bool		settled;		/* frozen, and nobody's transaction that began
								 * before is left */
	int32		dwell;			/* its histogram in fs_dwells; FS_NONE:
								 * claimed nothing lately */
	FsWorkspaceSettings set;
	int32		shares;			/* list of its shares, one a lane */
	int32		refs;			/* open ledger items that point here */

	int32		running;		/* leases that occupy a slot, open claims
								 * included */
	int32		ready[FS_CLASSES];	/* committed; meaningful when db->counted */
	int32		waiting;		/* scheduled, retryable, preempted */
	int64		reserved;		/* enqueued by open transactions */

	TimestampTz parked_since;
	FsPark		parked;
	int32		capped_next;	/* list of workspaces parked as FS_PARK_SHARE */

	/* admission (admit.h) */
	int32		limits;			/* its entry in fs_limits; FS_NONE: nothing is
								 * set */
	int32		parked_flows;	/* list of its flows that are parked by
								 * themselves, */
	int32		room_flows;		/* and of those that wait for the fleet */
	int32		holders;		/* nodes it is placed on: in fs_holders,
								 * FS_NONE = any */
	FsRefusal	why;			/* of FS_PARK_RATE, RESOURCE, THROTTLE */
	int64		held[FS_RESOURCES]; /* by leases, open claims included */
	int64		open[FS_RESOURCES]; /* of these, by claims that are not
									 * committed */

	double		rate;			/* claims, decaying with FS_RATE_TAU */
	TimestampTz rate_since;
	TimestampTz rate_at;
	int64		served_jobs;
	int64		served_cost;
	FairTotals	fair;			/* of periods that are over (fairness.c) */
} FsWorkspace;

/* A lane: a named queue.  `round` is the virtual time of its rings. */
typedef struct FsLane
{
	int32		next;
	int32		db;
	char		name[FS_NAME_LEN + 1];
	uint64		round;			/* highest round served */
	uint64		stamps;			/* places in the ring handed out */
	uint64		served_at;		/* db->serve_clock of its last service */
	uint64		jumped_at;		/* round in which P0 was served before its
								 * turn last; 0: never */
	int32		max_cost;		/* dearest job that was a head */
	int32		rings;			/* list of its rings */
	int32		holders;		/* nodes it is placed on; FS_NONE: any */
} FsLane;

/* All members of a lane that require the same capabilities and are placed on the same nodes. */
typedef struct FsRing
{
	int32		next;			/* hash chain, or free list */
	int32		db;
	int32		lane;
	int32		lane_next;		/* next ring of the lane */
	int32		root;			/* heap of members, FS_NONE when empty */
	int32		urgent;			/* heap of those whose head is P0, by when
								 * they may jump */
	int32		active;			/* members in the heap */
	int32		members;		/* members at all */
	uint64		seen;			/* the lane's round when somebody looked who
								 * may serve it */
	uint64		foreign;		/* rounds that were brought by others, who
								 * serve none of what those serve */
	FairClock	clock;			/* fairness.c */
	TimestampTz made_at;

	/* flows that wait for the fleet (roomwait.c) */
	int32		waiting;
	int32		room_next;		/* list of the database's rings that have some */
	int32		room_prev;
	uint64		room_seen;		/* db->room_gen when nobody was found to fit */
	int32		room[FS_FLEET][FS_CLASSES]; /* trees, by the resource that is
											 * lacking and class */

	int32		holders;		/* those nodes; FS_NONE: any */
	uint32		key;			/* hash of lane and capabilities */
	int32		caps;			/* those capabilities: in fs_ring_caps */
} FsRing;

/* A set of required capabilities, kept once for all rings that have it. */
typedef struct FsRingCaps
{
	int32		next;			/* hash chain, or free list */
	int32		refs;			/* rings */
	uint32		hash;
	int32		len;
	char		caps[FS_CAPS_LEN];	/* sorted names, each NUL-terminated */
} FsRingCaps;

/* A workspace in a lane: the flow of Deficit Round Robin. */
typedef struct FsShare
{
	int32		next;			/* next share of the workspace, or free list */
	int32		workspace;		/* FS_NONE when free */
	int32		lane;
	int32		members;		/* list of its members */
	int32		nmembers;
	int32		waiting;		/* members with something ready, parked or not */
	int32		active;			/* members in a heap */
	int32		home;			/* of these, the one in whose ring it
								 * contends; FS_NONE: it does not */
	bool		away;			/* its workspace is parked: it contends in no
								 * ring */
	int32		out;			/* list of members that somebody came upon
								 * meanwhile, or that became ready */
	int32		costliest;		/* of these, one whose head costs most;
								 * FS_NONE: to be looked for */
	int32		in_step;		/* of these, the last one that was served or
								 * entered; FS_NONE: not known */
	int32		saves_for;		/* the one for whose head the others wait, if
								 * any */
	uint32		returns;		/* how often it came back, or what its members
								 * know of rounds became void in another way */
	int32		jumps_later;	/* members whose P0 job may not jump yet */
	uint32		charges;		/* how often it was charged */
	uint32		visited;		/* low bits of drr.round when it was served
								 * last in its turn: while it is that, what it
								 * has left is of a visit */
	DrrShare	drr;
	FairPeriod	period;			/* fairness.c */
} FsShare;

/*
 * A share's presence in one ring.  Its flows that have something ready hang on
 * one circular list per rank slot of their best rank.
 */
typedef struct FsMember
{
	int32		next;			/* next member of the share, or free list */
	int32		hash_next;
	int32		share;			/* FS_NONE when free */
	int32		ring;
	int32		cost;			/* of its head, when it was put in its place */
	uint32		charges;		/* of its share, then */
	uint32		returns;		/* of its share, then */
	uint32		foreign;		/* of its ring, then: the low bits */
	bool		waits;			/* it has something ready, parked or not */
	bool		is_out;			/* on its share's list */
	int32		out_next;
	int32		flows;			/* flows that belong here */
	int32		parked;			/* of these, parked with something ready */
	int32		heads[FS_RANKS];	/* next flow to serve, by rank slot */
	int32		aging[FS_AGING];	/* heaps of flows by their oldest P2, P3 */
	uint32		served;			/* db->serve_clock of its last service */
} FsMember;

/* The head of a flow, found by a scan or told by the transaction that made it ready. */
typedef struct FsCandidate
{
	int64		position;
	int32		cost;
	Oid			relfile;		/* the file the tid is valid in */
	ItemPointerData tid;
	int8		slot;			/* rank slot; set where it becomes a candidate
								 * (hints.c) */
	bool		unseen;			/* found in the index alone: its row was not
								 * looked at */
} FsCandidate;

/* More candidates than a flow has room for; borrowed until they are used up. */
typedef struct FsBlock
{
	int32		next;			/* free list */
	FsCandidate cand[FS_CANDIDATES];
} FsBlock;

/* Jobs of one workspace and lane that are admitted or refused together. */
typedef struct FsFlow
{
	int32		next;			/* hash chain, or free list */
	int32		id_next;		/* hash chain by id */
	int32		id;				/* what rows carry; negative: an overflow flow */
	int32		member;			/* FS_NONE when free */
	uint64		spec[2];		/* hash of budgets and resources */
	int32		refs;			/* open ledger items that point here */
	int32		running;		/* leases */

	/* admission (admit.h) */
	FsNeeds		needs;			/* what each of its jobs holds; of an overflow
								 * flow: its candidates */
	int32		budget_set;		/* budget.c's; FS_NONE: no budget */
	int32		set_next;		/* list of the flows of that set */
	int32		set_prev;
	int32		block;			/* in fs_blocks, FS_NONE: the candidates are
								 * in own[] */
	int32		ready;			/* jobs; meaningful when db->counted */

	/* candidates (hints.c); these are here because there is room */
	uint8		more;			/* per slot: the index may hold entries from
								 * cursor on */
	uint8		filling;		/* somebody scans for candidates */
	uint8		cand_count;
	uint8		look;			/* so many scans look at the rows too
								 * (hints.c) */

	FsRefusal	why;			/* parked by itself */
	bool		parked_counted; /* in its member's `parked` */
	bool		in_room;		/* waits for the fleet (roomwait.c): its aging
								 * nodes are a NeedNode */
	bool		in_wait;		/* waits for room in a budget (budget_wake.c):
								 * the first of its aging nodes is in that
								 * heap */
	uint8		refused;		/* bits of the classes that its budgets hold
								 * back */
	int8		room_class;		/* the tree it waits in for the fleet
								 * (roomwait.c) */
	int8		room_resource;
	int8		list_slot;		/* rank slot of its member's ready list that
								 * it is linked in, or -1 */
	int32		park_next;		/* list of its workspace's parked flows, of
								 * either kind */
	int32		park_prev;
	int32		wait_next;		/* list of the flows that wait for the same:
								 * of their set, or for the fleet */
	int32		wait_prev;

	/* ready list of the member */
	int32		list_next;
	int32		list_prev;
	int64		fill_min;		/* lowest position hinted while a scan runs */
	int64		gap;			/* mean distance of positions in the last
								 * scan; 0 = unknown */
	int64		cursor[FS_RANKS];	/* positions below hold nothing that waits */
	int64		given_back;		/* entries below may be of jobs that were
								 * handed out, and came back */
	FsCandidate own[FS_OWN_CANDIDATES];
} FsFlow;

/* How long the jobs of a workspace wait; lent to those that claimed last (fairness.c). */
typedef struct FsDwell
{
	int32		next;			/* free list, or less lately used */
	int32		prev;
	int32		workspace;
	DwellHistogram histogram;
} FsDwell;

typedef enum FsLeaseState
{
	FS_LEASE_FREE,
	FS_LEASE_CLAIMING,			/* claimed by an open transaction */
	FS_LEASE_ACTIVE,
	FS_LEASE_ENDING,			/* being finished by an open transaction */
	FS_LEASE_GONE				/* ended by somebody else; the worker is told
								 * once */
} FsLeaseState;

typedef enum FsDirective
{
	FS_CONTINUE,
	FS_PREEMPT,
	FS_CANCEL,
	FS_LOST
} FsDirective;

/* What a lease reserved of one of its budgets. */
typedef struct FsBudgetPart
{
	int64		reserved;
	int64		taken;			/* CLAIMING: of it, taken over from lease
								 * slot_from */
	int64		actual;			/* ENDING: what will have been spent of it */
	int64		recorded;		/* spent since the claim, by
								 * fairsched_record_spend */
} FsBudgetPart;

typedef struct FsLease
{
	int32		next;			/* hash chain by job, or free list */
	int32		db;
	int64		job_id;
	int64		token;			/* 0: a claim that has named its job and not
								 * yet seen its row */
	int32		workspace;
	int32		share;
	int32		flow;
	int32		worker;
	int32		worker_next;	/* list of the worker's leases */
	int32		worker_prev;
	int32		request_next;	/* hash chain by request */
	FsLeaseState state;
	uint64		stamp;			/* of the ledger item that ends it */
	int			owner;			/* process number of who claims or ends it */
	FsDirective directive;
	bool		slot_given;		/* ENDING: its slot was taken over by a claim */
	int32		given_to;		/* the lease of that claim */
	bool		soft;			/* nothing of the claim is written, the row
								 * says available (softclaim.c) */
	bool		hardened;		/* soft, but an open transaction of the owner
								 * wrote it into the row */
	bool		counted;		/* soft and committed: taken off the
								 * workspace's ready jobs */
	bool		row_first;		/* CLAIMING: its job is named after its row
								 * was marked */
	uint8		dwell;			/* how long its job was ready: bucket + 1; 0:
								 * not told */
	int32		slot_from;		/* CLAIMING: lease whose slot it took over */
	bool		slot_lost;		/* CLAIMING, aborted already: that lease has
								 * it back */
	bool		has_request;
	pg_uuid_t	request;
	int32		job_table;
	Oid			relfile;		/* file the tid is valid in */
	ItemPointerData tid;
	int32		cost;
	int32		charged;		/* of it, to the share: less when it was not
								 * claimed by DRR */
	double		advance;		/* of the clocks of its lane, by its claim */
	int32		rank_slot;
	int32		attempt;
	int64		position;

	/* admission: what it holds (admit_charge.c) */
	FsNeeds		held;			/* less what a claim of the same call took
								 * over */
	FsNeeds		moved;			/* CLAIMING: of that, taken over from
								 * slot_from */
	bool		open;			/* counted in its workspace's `open` */
	bool		rate_owed;		/* CLAIMING: no booking covers it yet
								 * (rate_book.c) */
	uint32		rate_gen;		/* the window it was counted in; 0: none */
	int64		rate_slice;
	PlacementEnd ends_as;		/* ENDING: for the node's health */
	int32		budget_set;		/* budget.c's; FS_NONE: reserves nothing */
	FsBudgetPart first_part;	/* of its first budget: here, as most have one
								 * (fs_budget_part) */

	TimestampTz claimed_at;
	TimestampTz expires_at;
	TimestampTz deadline;		/* max_runtime; infinity when none */
	TimestampTz revoke_at;		/* directive PREEMPT: when its worker's time
								 * is over */
	TimestampTz room_until;		/* CLAIMING: it used room that was kept until
								 * then; 0: none */
	TimestampTz saved_at;		/* last checkpoint under this claim; 0 = none */
	int64		length;			/* of the lease, usec */
} FsLease;

typedef struct FsWorker
{
	int32		next;
	int32		db;
	char		name[FS_NAME_LEN + 1];
	char		node[FS_NAME_LEN + 1];
	int32		place_node;		/* the same in fs_place_nodes; FS_NONE: it
								 * said none */
	int32		caps_len;
	char		caps[FS_CAPS_LEN];
	int32		slots;			/* declared; 0 when it never registered */
	int32		lanes[FS_WORKER_LANES]; /* it asked for last, */
	TimestampTz asked[FS_WORKER_LANES]; /* and when; 0: unused */
	bool		declared;
	int32		leases;			/* list */
	int32		running;
	TimestampTz last_seen;
} FsWorker;

/* A backend: waiting for work (wait.c), or about to lock an available row (softclaim.c). */
typedef struct FsWaiter
{
	int64		guards;			/* job whose row it is about to lock; 0: none */
	int32		guards_db;
	bool		active;
	bool		woken;
	int32		db;
	int32		node;			/* where it runs, as FsEligible.node */
	int32		nlanes;			/* -1: any */
	uint32		lanes[8];		/* hashes of lane names */
	struct Latch *latch;
} FsWaiter;

typedef enum FsDbState
{
	FS_DB_FREE,
	FS_DB_EMPTY,				/* nothing is known: must be rebuilt from rows */
	FS_DB_BUILDING,
	FS_DB_READY,
	FS_DB_DEAD					/* extension or database is gone: to be swept */
} FsDbState;

/* What listeners are told of (notify.c). */
typedef enum FsEvent
{
	FS_EVENT_READY,
	FS_EVENT_FINISHED,
	FS_EVENT_PREEMPT_ASKED,
	FS_EVENT_PREEMPTED,
	FS_EVENT_RESUMED,
	FS_EVENT_ALERT_RAISED,
	FS_EVENT_ALERT_RESOLVED,
	FS_EVENTS
} FsEvent;

/* Tasks of the scheduler worker, in the order they run. */
typedef enum FsTask
{
	FS_TASK_PROMOTE,			/* scheduled and retryable jobs that are due */
	FS_TASK_EXPIRE,				/* leases that ran out */
	FS_TASK_INDOUBT,			/* prepared transactions that ended */
	FS_TASK_CLAIM_LOG,			/* rotate the claim log */
	FS_TASK_RECONCILE,			/* count queues, compare with rows */
	FS_TASK_RETENTION,			/* history partitions */
	FS_TASK_ADMISSION,			/* parked workspaces whose time has come;
								 * quota violations, rate windows */
	FS_TASK_PREEMPT,			/* preemptions: revoke, resume, evaluate
								 * policies */
	FS_TASK_NOTIFY,				/* tell listeners */
	FS_TASK_BUDGETS,			/* events, resets, spendings added up */
	FS_TASK_FAIRNESS,			/* a sample of fairness */
	FS_TASK_ALERTS,				/* raise and resolve alerts */
	FS_TASK_CAPACITY,			/* how many workers each lane should have */
	FS_TASK_AGING,				/* save how long jobs have waited */
	FS_TASK_PLACEMENT,			/* move placements */
	FS_TASK_COUNT
} FsTask;

typedef struct FsTaskStatus
{
	TimestampTz last_run;
	TimestampTz next_run;
	int64		last_usec;
	int32		failures;		/* in a row */
	char		last_error[256];
} FsTaskStatus;

/* A committed change of a queue's depth while queues are being counted. */
typedef struct FsCountDelta
{
	TransactionId xid;
	int32		workspace;
	uint32		cls:4;			/* FS_CLASSES: waiting */
	uint32		flow:28;		/* FS_DELTA_NO_FLOW: none */
	int32		delta;
} FsCountDelta;

#define FS_DELTA_NO_FLOW ((1 << 28) - 1)

#define FS_GONE_FOR			(60 * USECS_PER_SEC)	/* a worker can learn of a
													 * lost job for so long */
#define FS_CLAIM_LOG_ROWS	10000	/* the claim log is rotated beyond this */
#define FS_LOGGED_BITS		16
#define FS_LOGGED_PAGES		(1 << FS_LOGGED_BITS)	/* pages known to be
													 * listed in a claim log */
#define FS_COUNT_DELTAS		65536
#define FS_COUNT_XIDS		512 /* transactions under way when queues were
								 * counted */
#define FS_INDOUBT			256
#define FS_REVISITS			256

/* A row that could not be looked at because somebody had it locked. */
typedef struct FsRevisit
{
	int32		flow;
	int32		slot;
	int64		position;
	TimestampTz at;
} FsRevisit;

/* Positions below `end`, and not below that of the mark before, were given out until `last`. */
typedef struct FsAgeMark
{
	TimestampTz opened;
	TimestampTz last;
	int64		end;
} FsAgeMark;

/* Room that is made by preemption, kept for the flow that it is made for. */
typedef struct FsRoom
{
	int32		flow;
	int32		flow_id;		/* another: the flow is gone */
	int			cls;			/* of the job that waits */
	int64		amount[FS_FLEET];
	TimestampTz until;
} FsRoom;

#define FS_MAX_TIERS 32

typedef struct FsTier
{
	char		name[64];
	double		weight;
	int32		quantum;		/* cost units a round */
} FsTier;

typedef struct FsDatabase
{
	FsDbState	state;
	Oid			dboid;
	Oid			extoid;			/* the epoch: a re-created extension is
								 * another */
	int			builder;		/* backend that builds, by process number */
	ConditionVariable built;
	ConditionVariable filled;	/* a scan for candidates ended, or a claim */

	bool		drained;
	bool		counted;		/* queue depths are exact */

	/*
	 * what the last count has seen: transactions before the first that are
	 * not among the others (count.c)
	 */
	FullTransactionId count_xmax;
	int			ncount_xids;
	TransactionId count_xids[FS_COUNT_XIDS];

	uint64		serve_clock;
	uint64		settings_gen;	/* grows when any setting's commit was applied */
	uint64		rings_gen;		/* grows when a ring appears or goes */
	uint64		members_gen;	/* grows when a member appears, goes or moves */
	uint64		visits;			/* members that claims looked at */
	bool		tiers_stale;	/* fairsched.tiers changed */
	int32		ntiers;
	FsTier		tiers[FS_MAX_TIERS];	/* tier_id is the place here */
	DwellHistogram tier_dwell[FS_MAX_TIERS];
	double		advance;		/* of the last pick: see FsLease */
	bool		rescan;			/* rows changed behind our back: look again */
	bool		adopting;		/* a job table is being restored: look again */
	uint64		rescan_gen;

	bool		soft_asked;		/* somebody wants soft claims: all name their
								 * job before they touch its row */
	int32		soft_leases;
	int32		row_first;		/* claims under way that began before that */

	int32		lanes;			/* list */
	int32		capped;			/* workspaces parked as FS_PARK_SHARE */
	int32		running;
	int32		live_slots;		/* declared by live workers */
	TimestampTz slots_until;	/* a worker's time-out makes them wrong then */
	int32		default_quota;
	int32		enterprise_quota;
	double		workspace_share;
	TimestampTz quotas_at;		/* when the configuration they are from was
								 * read */

	/* counters handed out in blocks that a sequence reserved */
	int64		next_job,
				job_limit;
	int64		next_position,
				position_limit;
	int64		next_token,
				token_limit;
	int32		next_flow;

	int32		wake_root;		/* heap of workspaces by when a refusal of
								 * theirs lifts (fs_wakes) */
	TimestampTz clock;			/* latest time the gates were asked at */
	int32		nlimits;		/* entries of fs_limits */
	bool		throttle_asks;	/* a throttle may ask running jobs to yield
								 * (preempt_quota.c) */
	bool		limits_dirty;	/* violations or rate windows are to be
								 * written */
	TimestampTz limits_due;		/* what is above a threshold may be below by
								 * then, by time alone; 0: nothing is */
	TimestampTz usage_stale;	/* when tables of what is used last changed
								 * behind our back; 0: read since */

	TimestampTz next_due;		/* earliest run_at of waiting jobs */
	TimestampTz next_expiry;	/* no lease runs out before */
	TimestampTz preempt_due;	/* the task has something to do then */

	/* the fleet (capacity.c) */
	int64		capacity[FS_FLEET]; /* -1: not set */
	int64		fleet[FS_FLEET];	/* held by all jobs, open claims included */
	TimestampTz high_at[FS_FLEET][101]; /* by percent: when so much was in use
										 * last */
	int32		room_rings;		/* list of rings with flows that wait for it
								 * (roomwait.c) */
	uint64		room_gen;		/* grows when there may be more of it left */
	int32		room_waiting[FS_FLEET]; /* flows that lack it */
	int64		room_looks[FS_FLEET];	/* how often one of these was looked
										 * at */
	int32		nrooms;
	FsRoom		rooms[FS_ROOMS];
	bool		pressed;		/* a P0 or P1 job was refused: policies are
								 * evaluated at once */
	TimestampTz resumed_at[FS_FLEET];	/* jobs went on last: they may not be
										 * claimed yet */
	bool		resumable;		/* preempted jobs wait for the use of a
								 * resource to fall */

	TimestampTz notify_due;
	TimestampTz notified_at;
	int64		events[FS_EVENTS];	/* since then, with fairsched.notify */
	int32		claim_log;		/* which of the two logs claims go to */
	uint64		claim_log_gen;	/* grows with every swap */
	int64		claim_log_rows;
	int64		claim_log_limit;	/* rows after which it is rotated */

	/* how long positions have waited (aging.c) */
	int64		aged[FS_AGING + 1]; /* below: i times
									 * fairsched.priority_aging; [0] unused */
	TimestampTz aged_at;
	int32		nages;
	FsAgeMark	ages[FS_AGE_MARKS]; /* oldest first */
	bool		aging_unsaved;	/* positions were given out since the last
								 * mark was saved */

	int32		nrevisits;
	FsRevisit	revisits[FS_REVISITS];

	/* prepared transactions with jobs in them */
	int32		nindoubt;
	TransactionId indoubt[FS_INDOUBT];

	/* the scheduler worker */
	int			worker_pid;
	struct Latch *worker_latch;
	FsTaskStatus tasks[FS_TASK_COUNT];

	int64		claims;			/* jobs handed out, committed; since memory
								 * was built */
	int64		expired;		/* leases that ran out */
	int64		rebuilds;
	TimestampTz rebuilt_at;
	TimestampTz stats_since;	/* of its lanes' counters (stats.h) */
	TimestampTz signal_due;		/* capacity is evaluated then; DT_NOEND: when
								 * jobs arrive */
	uint64		signal_gen;		/* grows when its settings may have changed */
	uint64		signal_loaded;	/* as of which they were read */
} FsDatabase;

/*
 * A worker of ours that is, or is about to be, connected to a database; the
 * launcher makes and frees these, the worker moves them on (launcher.c).
 */
typedef enum FsLaunchState
{
	FS_LAUNCH_FREE,
	FS_LAUNCH_REGISTERED,		/* the postmaster was asked for it */
	FS_LAUNCH_PROBING,			/* it runs, and looks whether it is needed */
	FS_LAUNCH_SERVING,			/* it is the scheduler of its database */
	FS_LAUNCH_IDLE,				/* ended: nothing to do there until asked */
	FS_LAUNCH_AWAY,				/* ended, sent away: start again when that is
								 * over */
	FS_LAUNCH_LEFT,				/* ended, as the extension went: look again */
	FS_LAUNCH_LOST				/* ended unexpectedly */
} FsLaunchState;

#define FsLaunchEnded(s) ((s) >= FS_LAUNCH_IDLE)

typedef struct FsLaunch
{
	FsLaunchState state;
	Oid			dboid;
	int			pid;			/* 0 until it runs */
} FsLaunch;

#define FS_LAUNCH_SPARE 8		/* entries beyond one a database that has us */
#define FS_AWAY			64
#define FS_ASKED		64

/* A database our workers keep away from, and for how many open transactions. */
typedef struct FsAway
{
	Oid			dboid;
	int			holders;
} FsAway;

/* A workspace that is about to be frozen: jobs behind this position wait for that (closing.h). */
typedef struct FsClosing
{
	int32		workspace;
	int64		position;
} FsClosing;

typedef struct FsShared
{
	LWLock	   *lock;
	FsPool		workspaces,
				lanes,
				rings,
				ring_caps,
				shares,
				members,
				flows,
				blocks,
				dwells,
				leases,
				workers,
				limits,
				place_nodes,
				holders,
				budgets,
				budget_sets;
	int32		dwell_first;	/* list of fs_dwells in use, lately used first */
	int32		dwell_last;
	int			budgets_promised;	/* to rows that are not committed */
	uint64		average_clock;
	int			launcher_pid;
	struct Latch *launcher_latch;
	uint64		launch_requests;	/* grows when the launcher should probe
									 * again */
	int			nasked;
	Oid			asked[FS_ASKED];	/* where to; all databases when empty */
	int			naway;
	FsAway		away[FS_AWAY];
	int			nlaunches;
	int			nwaiters;
	int			nguards;
	int			max_procs;
	uint64		stamps;			/* of ledger items that end leases */
	int			nclosing;
	FsClosing	closing[FS_CLOSING];
	int			nsettled;		/* workspaces that are settled */

	/* the database whose queues are being counted, FS_NONE = none (count.c) */
	int32		counting_db;
	uint64		counts;			/* begun; who began last has the say */
	int32		ndeltas;
} FsShared;

extern FsShared *fs;
extern FsDatabase *fs_dbs;
extern FsWorkspace *fs_workspaces;
extern FsLane *fs_lanes;
extern FsRing *fs_rings;
extern FsRingCaps *fs_ring_caps;
extern FsShare *fs_shares;
extern FsMember *fs_members;
extern RingNode *fs_nodes;		/* by member */
extern RingNode *fs_urgent_nodes;	/* by member */
extern RingNode *fs_aging_nodes;	/* by flow * FS_AGING + class - 2 */
extern RingNode *fs_wakes;		/* by workspace */
#define fs_room_nodes ((NeedNode *) fs_aging_nodes) /* by flow: those of a
													 * flow that is in_room */
extern FsFlow *fs_flows;
extern FsBlock *fs_blocks;
extern FsDwell *fs_dwells;
extern FsLease *fs_leases;
extern FsWorker *fs_workers;
extern FsWaiter *fs_waiters;	/* by process number */
extern FsCountDelta *fs_deltas;
extern FsLaunch *fs_launches;
extern pg_atomic_uint64 *fs_logged; /* claimlog.c; read without the lock */
extern struct FsLimits *fs_limits;	/* ws_limits.h */

/* Hash tables: heads of chains. */
extern int32 *fs_workspace_hash;
extern int32 *fs_flow_hash;
extern int32 *fs_flow_id_hash;
extern int32 *fs_member_hash;
extern int32 *fs_lease_hash;
extern int32 *fs_request_hash;
extern int32 *fs_limits_hash;
extern int32 *fs_ring_hash;
extern int32 *fs_ring_caps_hash;
extern uint32 fs_workspace_mask;
extern uint32 fs_flow_mask;
extern uint32 fs_lease_mask;
extern uint32 fs_limits_mask;
extern uint32 fs_ring_mask;

extern Size fs_shmem_size(void);
extern void fs_shmem_install_hooks(void);

/* Where it is not free at once, the wait is counted (stats.c). */
extern void fs_lock_wait(LWLockMode mode);

static inline void
fs_lock(LWLockMode mode)
{
	if (!LWLockConditionalAcquire(fs->lock, mode))
		fs_lock_wait(mode);
}

#define FsLock()	fs_lock(LW_EXCLUSIVE)
#define FsLockShared()	fs_lock(LW_SHARED)
#define FsUnlock()	LWLockRelease(fs->lock)

/* Take from or give back to a pool; the first int32 of a thing links the free list. */
#define FS_POOL_TAKE(pool, array, idx) \
	do { \
		(idx) = (pool).free_head; \
		if ((idx) != FS_NONE) \
		{ \
			(pool).free_head = *(int32 *) &(array)[idx]; \
			(pool).used++; \
			if ((idx) >= (pool).high) \
				(pool).high = (idx) + 1; \
		} \
	} while (0)
#define FS_POOL_GIVE(pool, array, idx) \
	do { \
		*(int32 *) &(array)[idx] = (pool).free_head; \
		(pool).free_head = (idx); \
		(pool).used--; \
	} while (0)

/* Take one out of a chain that it is in; fs->lock held exclusively. */
static inline void
fs_unchain(int32 *head, int32 what, char *array, Size size, Size link)
{
	while (*head != what)
		head = (int32 *) (array + (Size) *head * size + link);
	*head = *(int32 *) (array + (Size) what * size + link);
}

#define FS_UNCHAIN(head, what, array, type, field) \
	fs_unchain(&(head), what, (char *) (array), sizeof(type), offsetof(type, field))

/* Whose something is. */
#define FsWorkspaceOfShare(s) (fs_shares[s].workspace)
#define FsShareOfFlow(f) (fs_members[fs_flows[f].member].share)
#define FsWorkspaceOfFlow(f) FsWorkspaceOfShare(FsShareOfFlow(f))
#define FsDbIndex(d) ((int32) ((d) - fs_dbs))

#define FsCapsOfRing(r) (&fs_ring_caps[fs_rings[r].caps])

#endif							/* FS_SHMEM_H */
