/*
 * explain.c
 *		fairsched_explain: every gate of the claim for one job, in order.
 *
 * The gates are asked as a claim asks them (admit_gates.c), each by itself, in one
 * critical section; nothing is changed but what is known of others' queues.
 * Rows are made afterwards.
 */
#include "rows.h"

#include "funcapi.h"
#include "utils/builtins.h"
#include "admit.h"
#include "amount.h"
#include "budget.h"
#include "capacity.h"
#include "candidates.h"
#include "config.h"
#include "flows.h"
#include "hints.h"
#include "park.h"
#include "placement.h"
#include "requeue.h"
#include "review.h"
#include "ring.h"
#include "softclaim.h"
#include "text.h"

PG_FUNCTION_INFO_V1(fs_explain);

#define MAX_GATES (FS_RESOURCES + 14)

typedef struct FsGateRow
{
	const char *gate;
	bool		refuses;
	bool		figures;		/* value and limit are known, */
	bool		limited;		/* or the limit alone */
	int64		value;
	int64		limit;
	TimestampTz retry_at;		/* 0: not known */
	char		detail[200];
} FsGateRow;

typedef struct FsGateRows
{
	int			n;
	FsGateRow	row[MAX_GATES];
} FsGateRows;

static FsGateRow *
add(FsGateRows *rows, const char *gate, bool refuses, const char *detail)
{
	FsGateRow  *r = &rows->row[rows->n++];

	memset(r, 0, sizeof(FsGateRow));
	r->gate = gate;
	r->refuses = refuses;
	strlcpy(r->detail, detail ? detail : "", sizeof(r->detail));
	return r;
}

static void
figures(FsGateRow *r, int64 value, int64 limit)
{
	r->figures = true;
	r->value = value;
	r->limit = limit;
}

/* Would a claim take a job of this flow, for all that its workspace has set? fs->lock held. */
static bool
admissible(FsDatabase *db, int32 w, int32 flow, TimestampTz now)
{
	const FsWorkspace *ws = &fs_workspaces[w];
	const FsFlow *f = &fs_flows[flow];
	FsRefusal	why;

	if (ws->running >= fs_sched_ceiling(ws) || ws->running >= fs_sched_share_cap(db))
		return false;
	if (!fs_admit_gated(ws, f))
		return true;
	fs_admit_judge(w, &f->needs, f->budget_set, -1, FS_NONE, FS_GATE_ALL, now, &why);
	return why.park == FS_PARK_NONE && !fs_capacity_refuses(db, flow, &f->needs, FS_NONE, now, &why);
}

/*
 * Does any other workspace wait in the job's lane?  Then the cap on a
 * workspace's share holds.  What is in a ring may have nothing any more: who
 * surely has a job is known by its candidate; *flow is one of which it is to be
 * looked at, FS_NONE: no such.  fs->lock held.
 */
static bool
others_wait(FsDatabase *db, int32 w, int32 lane, int32 *flow, int *slot)
{
	bool		perhaps = false;
	TimestampTz now = GetCurrentTimestamp();

	*flow = FS_NONE;
	for (int m = 0; m < fs->members.capacity; m++)
	{
		int32		f;
		int			s;
		int			at;

		if (fs_members[m].share == FS_NONE || !fs_nodes[m].linked || fs_shares[fs_members[m].share].away || fs_rings[fs_members[m].ring].lane != lane ||
			FsWorkspaceOfShare(fs_members[m].share) == w || fs_sched_member_next(m, &f, &s) == FS_NOTHING ||
			!admissible(db, FsWorkspaceOfFlow(f), f, now))
			continue;
		at = fs_sched_flow_candidate(&fs_flows[f], s);
		if (at >= 0 && !fs_sched_flow_cands(&fs_flows[f])[at].unseen)
		{
			*flow = FS_NONE;
			return true;
		}
		perhaps = true;
		if (!fs_flows[f].filling)
		{
			*flow = f;
			*slot = s;
		}
	}
	return perhaps;
}

#define LOOKS 32				/* queues that are looked at to know whether
								 * others wait */

/* Lock the job's workspace; *wait: others wait in its lane, and that matters. */
static int32
lock_workspace(FsDatabase *db, const char *name, const char *lane, bool *wait)
{
	for (int i = 0;; i++)
	{
		int32		w = fs_workspace_lock(db, name);
		int32		l = fs_sched_lane_find(FsDbIndex(db), lane);
		int32		flow = FS_NONE;
		int			slot = 0;

		*wait = l != FS_NONE && fs_workspaces[w].running >= fs_sched_share_cap(db) &&
			others_wait(db, w, l, &flow, &slot);
		if (flow == FS_NONE || i == LOOKS)
			return w;
		if (fs_sched_flow_candidate(&fs_flows[flow], slot) >= 0)
			fs_sched_doubt(flow, slot, fs_sched_flow_head(&fs_flows[flow], slot));	/* its row was not
																					 * looked at */
		fs_sched_fill_begin(flow, slot);
		FsUnlock();
		fs_candidates_fill(db, flow, slot, NULL, 0);
	}
}

static bool
somebody_can(FsDatabase *db, const char *caps, int caps_len, int32 holders, int32 lane_holders, TimestampTz now)
{
	for (int i = 0; i < fs->workers.capacity; i++)
		if (fs_workers[i].db == FsDbIndex(db) && fs_workers[i].last_seen + FsMsToUsec(fs_worker_timeout) > now &&
			fs_sched_caps_subset(caps, caps_len, fs_workers[i].caps, fs_workers[i].caps_len) &&
			(fs_workers[i].place_node == FS_NONE || !fs_place_nodes[fs_workers[i].place_node].draining) &&
			fs_holders_serve(holders, fs_workers[i].place_node) &&
			fs_holders_serve(lane_holders, fs_workers[i].place_node))
			return true;
	return false;
}

/* Is there a node that serves the workspace and the lane, and a worker on it that can? */
static void
look_for_node(FsDatabase *db, int32 w, const char *lane, const char *caps, int caps_len, TimestampTz now,
			  FsGateRows *rows)
{
	int32		l = fs_sched_lane_find(FsDbIndex(db), lane);
	int32		lane_holders = l == FS_NONE ? FS_NONE : fs_lanes[l].holders;
	int32		holders = fs_workspaces[w].holders;
	bool		can = somebody_can(db, caps, caps_len, FS_NONE, FS_NONE, now);
	FsGateRow  *r = add(rows, "capabilities", !can, NULL);

	if (r->refuses)
		strlcpy(r->detail, "no live worker has all that the job requires", sizeof(r->detail));
	r = add(rows, "placement", false, NULL);
	if (holders == FS_NONE && lane_holders == FS_NONE)
		return;
	fs_holders_detail(holders, lane_holders, r->detail, sizeof(r->detail));
	if (fs_workspaces[w].misplaced || !somebody_can(db, caps, caps_len, holders, lane_holders, now))
	{
		r->refuses = true;
		strlcat(r->detail, fs_workspaces[w].misplaced ? ": fairsched.max_rings is reached" :
				": no live worker there that can do it", sizeof(r->detail));
	}
}

/* The gates of a job of this workspace, lane, spec and class; fs->lock held. */
static void
look(FsDatabase *db, int32 w, bool wait, const char *lane, const char *caps, int caps_len, const FsFlowSpec *spec,
	 int cls, TimestampTz now, FsGateRows *rows)
{
	static const char *const capacity_gates[FS_FLEET] = {"capacity_cpu", "capacity_memory", "capacity_gpu"};
	static const char *const quota_gates[FS_RESOURCES] = {
		"quota_cpu", "quota_memory", "quota_gpu", "quota_concurrent_runs", "quota_storage", "quota_tokens",
		"quota_cost"
	};
	FsWorkspace *ws = &fs_workspaces[w];
	FsGateRow  *r;
	FsRefusal	why;
	int32		cap = fs_sched_share_cap(db);
	int32		set;

	add(rows, "drain", db->drained, db->drained ? "fairsched_undrain ends it" : NULL);
	if (ws->parked == FS_PARK_MOVING)
		add(rows, "pause", true, "the workspace is being moved or changed");
	else
		add(rows, "pause", ws->set.paused, ws->set.paused ? "fairsched_resume_workspace ends it" : NULL);
	look_for_node(db, w, lane, caps, caps_len, now, rows);
	r = add(rows, "ceiling", ws->running >= fs_sched_ceiling(ws), "running jobs");
	figures(r, ws->running * FS_UNIT, fs_sched_ceiling(ws) * FS_UNIT);
	r = add(rows, "workspace_share", wait,
			cap == INT_MAX ? "fewer than 2 slots are declared" : "running jobs, while other workspaces wait in its lane");
	if (cap != INT_MAX)
		figures(r, ws->running * FS_UNIT, cap * FS_UNIT);

	fs_admit_judge(w, &spec->needs, FS_NONE, -1, FS_NONE, FS_GATE_RATE, now, &why);
	r = add(rows, "rate", why.park != FS_PARK_NONE, NULL);
	if (ws->limits != FS_NONE && (fs_limits[ws->limits].set.has & FS_LIMIT_RATE))
	{
		strlcpy(r->detail, "claims in the window", sizeof(r->detail));
		figures(r, fs_limits[ws->limits].rate.total * FS_UNIT, fs_limits[ws->limits].set.max_claims * FS_UNIT);
	}
	r->retry_at = why.retry_at;
	/* what jitter adds is still to be waited for */
	if (ws->parked == FS_PARK_RATE && ws->why.retry_at > now)
	{
		r->refuses = true;
		r->retry_at = ws->why.retry_at;
	}

	for (int i = 0; i < FS_RESOURCES; i++)
	{
		bool		limited = ws->limits != FS_NONE && (fs_limits[ws->limits].set.has & FsResourceBit(i));
		char		need[48];

		if (!limited && spec->needs.amount[i] == 0)
			continue;
		memset(&why, 0, sizeof(why));
		r = add(rows, quota_gates[i], fs_admit_resource(ws, i, spec->needs.amount[i], 0, now, &why), NULL);
		snprintf(r->detail, sizeof(r->detail), "in use; the job needs %s more",
				 fs_amount_text(spec->needs.amount[i], need, sizeof(need)));
		r->figures = limited;
		r->value = ws->held[i] + (limited ? fs_limits_used(&fs_limits[ws->limits], i, now) : 0);
		r->limit = limited ? fs_limits[ws->limits].set.quota[i].quota : 0;
		r->retry_at = why.retry_at;
	}

	set = spec->budget ? fs_budget_attach(FsDbIndex(db), spec->budget) : FS_NONE;
	r = add(rows, "budget", set == FS_BUDGET_FULL, set == FS_BUDGET_FULL ? "no room for the budgets of the job" : NULL);
	if (set >= 0)
	{
		fs_admit_judge(w, &spec->needs, set, cls, FS_NONE, FS_GATE_BUDGET, now, &why);
		r->refuses = why.park != FS_PARK_NONE;
		if (!r->refuses)
			fs_budget_tightest(set, w, now, &why);
		figures(r, why.value, why.limit);
		r->retry_at = r->refuses ? why.retry_at : 0;
		fs_budget_detail(&why, r->detail, sizeof(r->detail));
		fs_budget_detach(set);
	}

	fs_admit_judge(w, &spec->needs, FS_NONE, -1, FS_NONE, FS_GATE_THROTTLE, now, &why);
	r = add(rows, "throttle", why.park != FS_PARK_NONE,
			why.park != FS_PARK_NONE ? "a resource crossed the threshold of its quota" : NULL);
	r->retry_at = why.retry_at;

	for (int i = 0; i < FS_FLEET; i++)
	{
		FsNeeds		one = {.mask = FsResourceBit(i)};

		one.amount[i] = spec->needs.amount[i];
		if (one.amount[i] == 0 || db->capacity[i] < 0)
			continue;
		r = add(rows, capacity_gates[i], fs_capacity_refuses(db, FS_NONE, &one, FS_NONE, now, &why),
				"held by all jobs or kept for urgent ones, with what the job needs");
		figures(r, db->fleet[i] + fs_capacity_kept(db, i, FS_NONE, FS_CLASSES, now) + one.amount[i], db->capacity[i]);
	}
}

/* A job that was enqueued with min_deliberation: is it held still, and which score came next to passing? */
static void
review(FsJobRel *jr, HeapTuple row, FsGateRows *rows)
{
	bool		held = fs_review_awaited(jr, row);
	FsGateRow  *r;
	Datum		minimum;
	Datum		best;
	bool		isnull;

	minimum = heap_getattr(row, FS_COL_MIN_DELIBERATION + 1, RelationGetDescr(jr->rel), &isnull);
	if (isnull)
		return;
	r = add(rows, "review", held, held ? "waiting_for_review" : NULL);
	r->limited = true;
	r->limit = fs_amount_numeric(minimum, "min_deliberation", FS_UNIT, false);
	if (fs_review_best(FsJob(row)->job_id, &best))
		figures(r, fs_amount_numeric(best, "overall_score", FS_UNIT, false), r->limit);
}

/* fairsched_explain(job_id) → gate, verdict, value, limit_value, detail, retry_at */
Datum
fs_explain(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FsDatabase *db = fs_state_ready("fairsched_explain()");
	int64		job_id;
	FsJobRel   *jr;
	HeapTuple	row;
	FsFlowSpec	spec;
	char		caps[FS_CAPS_LEN];
	int			caps_len = 0;
	bool		isnull;
	Datum		d;
	FsJobState	state;
	FsGateRows *rows = palloc0(sizeof(FsGateRows));
	FsGateRow  *r;
	bool		wait;
	char	   *lane;
	int32		w;

	InitMaterializedSRF(fcinfo, 0);
	fs_need_arg(fcinfo, 0, "job_id");
	job_id = PG_GETARG_INT64(0);
	row = fs_rows_find(job_id, &jr);
	if (row == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FS_UNKNOWN_JOB),
				 errmsg("job " INT64_FORMAT " does not exist or is over", job_id),
				 errhint("fairsched_job_status tells of finished jobs while they are kept.")));
	fs_row_spec(db, jr, row, &spec);
	d = heap_getattr(row, FS_COL_CAPABILITIES + 1, RelationGetDescr(jr->rel), &isnull);
	if (!isnull)
		caps_len = fs_text_caps(d, caps);
	state = fs_job_state(row);
	if (state == FS_JOB_AVAILABLE && fs_soft_attempt(job_id) != 0)
		state = FS_JOB_RUNNING; /* its row does not tell */
	r = add(rows, "state", state != FS_JOB_AVAILABLE, FsJobStateNames[state]);
	if (state == FS_JOB_SCHEDULED || state == FS_JOB_RETRYABLE)
		r->retry_at = FsJob(row)->run_at;
	review(jr, row, rows);
	lane = fs_row_text(jr, row, FS_COL_LANE);
	w = lock_workspace(db, fs_row_text(jr, row, FS_COL_WORKSPACE), lane, &wait);
	look(db, w, wait, lane, caps, caps_len, &spec, FsSlotClass(FsRankSlot(FsJob(row)->rank)), GetCurrentTimestamp(), rows);
	FsUnlock();
	fs_rows_close(jr);

	for (int i = 0; i < rows->n; i++)
	{
		Datum		out[6];
		bool		nulls[6] = {0};

		r = &rows->row[i];
		out[0] = CStringGetTextDatum(r->gate);
		out[1] = CStringGetTextDatum(r->refuses ? "refuse" : "pass");
		nulls[2] = !r->figures;
		nulls[3] = !r->figures && !r->limited;
		out[2] = fs_amount_datum(r->value);
		out[3] = fs_amount_datum(r->limit);
		nulls[4] = r->detail[0] == '\0';
		out[4] = CStringGetTextDatum(r->detail);
		nulls[5] = !r->refuses || r->retry_at == 0 || TIMESTAMP_NOT_FINITE(r->retry_at);
		out[5] = TimestampTzGetDatum(r->retry_at);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, out, nulls);
	}
	return (Datum) 0;
}
