/*
 * recommend_task.c
 *		The capacity signal: what recommend.c decides from, and when.
 *
 * An evaluation walks workers, leases, flows and shares, a bounded piece at a
 * time under fs->lock (shared), and adds up in memory of its own what each lane
 * has: workers that serve it, jobs that run and wait, and what refuses those that
 * wait.  So a claim is held up by some microseconds at most; jobs are never
 * looked at.  What is added up is not of one instant, which rates do not mind.
 *
 * It runs every fairsched.capacity_interval while jobs come or run or fewer
 * workers are still to be recommended, and then rests until jobs become ready
 * (signal_due).  Who reads the view evaluates too, so what is read is never old.
 * The decision depends on time and not on how often it is made.
 *
 * Rates.  Sums that decay by e^(-t/tau):
 *
 *	arrivals	jobs that became ready; with tau = 60 s, rate = sum / tau
 *	service		seconds that leases were held, and leases that ended, both with
 *				tau = 600 s; their quotient is the mean time a lease is held
 *				(utilisation law).  Leases still held count as far as they are
 *				held, so a job that takes an hour is not noticed only at its end.
 *				As long as less than one lease ended within tau: how long those held
 *				are held by now on average, or what was known before, if that is more.
 *
 * What a workspace adds (fairsched.capacity_recommendation is by lane, ceilings
 * are by workspace): its part of the arrivals by its part of the jobs that wait
 * and run, and its waiting jobs times mean service / target; of both together no
 * more than its ceiling, quota of concurrent_runs and rate limit let run at once.
 * The rest would be refused, however many workers there were.
 *
 * Settings are read from their tables by whoever evaluates next after a change.
 */
#include "recommend_task.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "flows.h"
#include "miscadmin.h"
#include "park.h"
#include "state.h"
#include "stats.h"
#include "views.h"
#include "ws_limits.h"

#define ARRIVAL_TAU		60.0	/* s */
#define SERVICE_TAU		600.0	/* s */
#define RESTING_RATE	0.001	/* jobs a second, below which nothing arrives */
#define PIECE			256		/* entries of a pool looked at while the lock
								 * is held */
#define PARKS			(FS_PARK_CAPACITY + 1)

/* What one evaluation adds up for a lane. */
typedef struct LaneSum
{
	FsRecommended *out;
	int64		busy_usec;		/* of FsLaneStats, and of leases still held */
	int64		held_usec;		/* of these, by leases still held */
	int64		slots;			/* of its workers */
	bool		undeclared;		/* some of these told by what they hold */
	int64		present;		/* jobs that wait or run */
	int64		refused[PARKS];
	double		admitted;		/* jobs that wait and could be taken, with
								 * room for them */
	TimestampTz before;			/* the evaluation that this one follows, */
	double		keep;			/* and what is left since of what decays with
								 * SERVICE_TAU */
} LaneSum;

typedef struct ShareSum
{
	int32		running;
	int32		ready;
	int32		refused;		/* by what its jobs need */
	int32		paused;			/* by budgets */
} ShareSum;

typedef struct HeldBy
{
	int32		lane;
	int32		worker;
} HeldBy;

typedef struct Evaluation
{
	FsDatabase *db;
	int32		slot;
	TimestampTz now;
	int			n;
	FsRecommended *lanes;
	LaneSum    *sums;			/* by lane index */
	ShareSum   *shares;			/* by share index */
	bool		counted;
	bool		drained;
} Evaluation;

void
fs_recommend_lane_made(int32 lane)
{
	FsSignal   *s = &fs_signals[lane];

	memset(s, 0, sizeof(FsSignal));
	s->limits.max_workers = s->limits.step_up = s->limits.step_down = s->limits.pin = RECOMMEND_NONE;
	s->state.desired = RECOMMEND_NONE;
	s->input.slots = 1;
	s->ready = -1;
}

void
fs_recommend_wake(FsDatabase *d, TimestampTz now)
{
	if (d->signal_due != DT_NOEND)
		return;
	d->signal_due = now + Min(FsMsToUsec(fs_capacity_interval), USECS_PER_SEC);
	if (d->worker_latch)
		SetLatch(d->worker_latch);
}

/* ---------- settings ---------- */

static int32
limit_of(HeapTuple t, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		d = SPI_getbinval(t, desc, column, &isnull);

	return isnull ? RECOMMEND_NONE : DatumGetInt32(d);
}

void
fs_recommend_load(FsDatabase *db)
{
	bool		done = false;

	while (!done)
	{
		uint64		gen;
		int			n;
		char	   *names;
		RecommendLimits *limits;
		int64	   *targets;

		FsLockShared();
		gen = db->signal_gen;
		FsUnlock();
		fs_spi_begin();
		n = (int) fs_spi("SELECT coalesce(s.lane, p.lane), s.min_workers, s.max_workers, s.max_step_up, "
						 "s.max_step_down, (extract(epoch FROM s.dwell_target) * 1000000)::bigint, p.workers, p.until "
						 "FROM fairsched.capacity_settings s FULL JOIN fairsched.capacity_pins p ON p.lane = s.lane",
						 0, NULL, NULL, NULL);
		names = palloc0((Size) (n + 1) * (FS_NAME_LEN + 1));
		limits = palloc0(sizeof(RecommendLimits) * (n + 1));
		targets = palloc0(sizeof(int64) * (n + 1));
		for (int i = 0; i < n; i++)
		{
			HeapTuple	t = SPI_tuptable->vals[i];
			TupleDesc	desc = SPI_tuptable->tupdesc;
			bool		isnull;
			Datum		d;

			strlcpy(names + i * (FS_NAME_LEN + 1), SPI_getvalue(t, desc, 1), FS_NAME_LEN + 1);
			limits[i].min_workers = Max(limit_of(t, desc, 2), 0);
			limits[i].max_workers = limit_of(t, desc, 3);
			limits[i].step_up = limit_of(t, desc, 4);
			limits[i].step_down = limit_of(t, desc, 5);
			d = SPI_getbinval(t, desc, 6, &isnull);
			targets[i] = isnull ? 0 : DatumGetInt64(d);
			limits[i].pin = limit_of(t, desc, 7);
			d = SPI_getbinval(t, desc, 8, &isnull);
			limits[i].pin_until = isnull ? DT_NOEND : DatumGetTimestampTz(d);
		}

		FsLock();
		if (gen == db->signal_gen)
		{
			for (int32 l = db->lanes; l != FS_NONE; l = fs_lanes[l].next)
			{
				RecommendLimits none = {0, RECOMMEND_NONE, RECOMMEND_NONE, RECOMMEND_NONE, 0, RECOMMEND_NONE, 0};

				fs_signals[l].limits = none;
				fs_signals[l].target = 0;
			}
			for (int i = 0; i < n; i++)
			{
				int32		l = fs_sched_lane_get(FsDbIndex(db), names + i * (FS_NAME_LEN + 1));

				if (l == FS_NONE)
					continue;	/* as many lanes as fit have jobs */
				fs_signals[l].limits = limits[i];
				fs_signals[l].target = targets[i];
			}
			db->signal_loaded = gen;
			done = true;
		}
		FsUnlock();
		fs_spi_end();
		CHECK_FOR_INTERRUPTS();
	}
}

/* ---------- adding up ---------- */

/* Is the slot still ours? fs->lock held. */
static bool
lost(const Evaluation *ev)
{
	return !fs_view_ours(ev->slot);
}

/* Which lanes there are, and how many workers serve each. */
static void
add_lanes(Evaluation *ev)
{
	int			room = 0;
	int			n = 0;

	FsLockShared();
	if (!lost(ev))
		for (int32 l = ev->db->lanes; l != FS_NONE; l = fs_lanes[l].next)
			room++;
	FsUnlock();
	ev->lanes = palloc0(sizeof(FsRecommended) * (room + 1));
	ev->sums = palloc0(sizeof(LaneSum) * fs_max_rings);
	FsLockShared();
	if (!lost(ev))
		for (int32 l = ev->db->lanes; l != FS_NONE && n < room; l = fs_lanes[l].next)
		{
			FsRecommended *r = &ev->lanes[n++];

			r->lane = l;
			strcpy(r->name, fs_lanes[l].name);
			ev->sums[l].out = r;
		}
	ev->counted = ev->db->counted;
	ev->drained = ev->db->drained;
	FsUnlock();
	ev->n = n;
}

static void
add_workers(Evaluation *ev)
{
	for (int from = 0; from < fs->workers.high; from += PIECE)
	{
		FsLockShared();
		for (int i = from; i < Min(from + PIECE, fs->workers.high) && !lost(ev); i++)
		{
			const FsWorker *worker = &fs_workers[i];

			if (worker->db != ev->slot || (worker->running == 0 && !fs_view_alive(worker, ev->now)))
				continue;
			for (int j = 0; j < FS_WORKER_LANES; j++)
			{
				LaneSum    *sum = &ev->sums[worker->lanes[j]];

				if (worker->asked[j] == 0 || sum->out == NULL || !fs_stats_serves(worker, worker->lanes[j]))
					continue;
				sum->out->signal.input.current++;
				sum->slots += Max(Max(worker->slots, worker->running), 1);
				sum->undeclared |= !worker->declared;
			}
		}
		FsUnlock();
		CHECK_FOR_INTERRUPTS();
	}
}

/* Jobs that run, and how many workers hold some of a lane. */
static void
add_leases(Evaluation *ev)
{
	HASHCTL		ctl = {
		.keysize = sizeof(HeldBy),
		.entrysize = sizeof(HeldBy),
		.hcxt = CurrentMemoryContext,
	};
	HTAB	   *holders = hash_create("fairsched workers that hold jobs", 256, &ctl,
									  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	HeldBy	   *piece = palloc(sizeof(HeldBy) * PIECE);
	bool	   *serves = palloc(sizeof(bool) * PIECE);

	for (int from = 0; from < fs->leases.high; from += PIECE)
	{
		int			n = 0;

		FsLockShared();
		for (int i = from; i < Min(from + PIECE, fs->leases.high) && !lost(ev); i++)
		{
			const FsLease *lease = &fs_leases[i];
			LaneSum    *sum;

			if (lease->db != ev->slot || lease->state == FS_LEASE_GONE || lease->state == FS_LEASE_FREE)
				continue;
			piece[n].lane = fs_shares[lease->share].lane;
			piece[n].worker = lease->worker;
			sum = &ev->sums[piece[n].lane];
			if (sum->out == NULL)
				continue;
			sum->out->signal.running++;
			sum->held_usec += Max(ev->now - lease->claimed_at, 0);
			ev->shares[lease->share].running++;
			serves[n] = lease->worker != FS_NONE && fs_stats_serves(&fs_workers[lease->worker], piece[n].lane);
			n++;
		}
		FsUnlock();
		for (int i = 0; i < n; i++)
		{
			bool		found;

			if (piece[i].worker == FS_NONE)
				continue;
			(void) hash_search(holders, &piece[i], HASH_ENTER, &found);
			if (found)
				continue;
			ev->sums[piece[i].lane].out->signal.input.busy++;
			if (!serves[i])
			{
				/*
				 * it has not asked since memory was built, or for another
				 * lane since
				 */
				ev->sums[piece[i].lane].out->signal.input.current++;
				ev->sums[piece[i].lane].slots++;
				ev->sums[piece[i].lane].undeclared = true;
			}
		}
		CHECK_FOR_INTERRUPTS();
	}
	hash_destroy(holders);
}

/* What holds up the jobs of a flow. fs->lock held. */
static FsPark
held_up_by(const Evaluation *ev, int32 flow)
{
	FsPark		ws = fs_workspaces[FsWorkspaceOfFlow(flow)].parked;

	if (ev->drained || ws == FS_PARK_MOVING)
		return FS_PARK_PAUSED;
	if (ws != FS_PARK_NONE && ws != FS_PARK_SHARE)
		return ws;
	return fs_flows[flow].why.park;
}

/* Jobs that wait, and what for. */
static void
add_flows(Evaluation *ev)
{
	for (int from = 0; from < fs->flows.high; from += PIECE)
	{
		FsLockShared();
		for (int i = from; i < Min(from + PIECE, fs->flows.high) && !lost(ev); i++)
		{
			const FsFlow *flow = &fs_flows[i];
			FsPark		by;
			LaneSum    *sum;
			ShareSum   *share;

			if (flow->member == FS_NONE || flow->ready <= 0 ||
				fs_workspaces[FsWorkspaceOfFlow(i)].db != ev->slot)
				continue;
			by = held_up_by(ev, i);
			share = &ev->shares[FsShareOfFlow(i)];
			sum = &ev->sums[fs_shares[FsShareOfFlow(i)].lane];
			if (sum->out == NULL)
				continue;
			if (by == FS_PARK_NONE)
				sum->out->signal.ready += flow->ready;
			else
			{
				sum->out->signal.refused += flow->ready;
				sum->refused[by] += flow->ready;
			}
			if (by == FS_PARK_BUDGET)
				share->paused += flow->ready;
			else if (by == FS_PARK_NONE || by == FS_PARK_CEILING || by == FS_PARK_RATE)
				share->ready += flow->ready;	/* what is set for the
												 * workspace bounds it below */
			else
				share->refused += flow->ready;
		}
		FsUnlock();
		CHECK_FOR_INTERRUPTS();
	}
}

/* The most jobs of a share that may run at once; by a rate limit, on average. fs->lock held. */
static double
most_at_once(const FsWorkspace *ws, const ShareSum *share, double service)
{
	const FsLimits *limits = ws->limits == FS_NONE ? NULL : &fs_limits[ws->limits];
	double		most = share->running + Max(fs_sched_ceiling(ws) - ws->running, 0);

	if (limits == NULL)
		return most;
	if (limits->set.has & FsResourceBit(FS_RES_RUNS))
	{
		int64		room = (limits->set.quota[FS_RES_RUNS].quota - ws->held[FS_RES_RUNS]) / FS_UNIT;

		most = Min(most, share->running + Max(room, 0));
	}
	if ((limits->set.has & FS_LIMIT_RATE) && (service > 0 || ws->parked == FS_PARK_RATE))
		most = Min(most, Max(share->running, limits->set.max_claims * service / (limits->set.period / 1e6)));
	return most;
}

/* What each workspace could use of workers, and would, but for what refuses its jobs. */
static void
add_shares(Evaluation *ev)
{
	for (int from = 0; from < fs->shares.high; from += PIECE)
	{
		FsLockShared();
		for (int i = from; i < Min(from + PIECE, fs->shares.high) && !lost(ev); i++)
		{
			const ShareSum *share = &ev->shares[i];
			double		present = (double) share->running + share->ready + share->refused + share->paused;
			LaneSum    *sum;
			RecommendInput *in;
			double		job;	/* slots for one that waits */
			double		arriving;	/* slots for what arrives, a job that is
									 * present */
			double		most;
			double		offered;
			double		drain;

			if (present == 0 || fs_shares[i].workspace == FS_NONE)
				continue;
			sum = &ev->sums[fs_shares[i].lane];
			if (sum->out == NULL)
				continue;
			in = &sum->out->signal.input;
			job = in->service / in->target;
			arriving = sum->out->arrival_rate * in->service / sum->present;
			most = most_at_once(&fs_workspaces[fs_shares[i].workspace], share, in->service);
			offered = arriving * (share->running + share->ready);
			drain = share->ready * job;
			in->refused += Max(offered + drain - most, 0) + share->refused * (arriving + job);
			in->paused += share->paused * (arriving + job);
			in->offered += Min(offered, most);
			in->drain += Min(drain, Max(most - offered, 0));
			if (share->ready > 0 && most > share->running)
				sum->admitted += share->ready;
		}
		FsUnlock();
		CHECK_FOR_INTERRUPTS();
	}
}

/* ---------- rates ---------- */

/* What is left of something that happened evenly over a time of x time constants, at its end. */
static double
left_of(double x)
{
	return x < 1e-6 ? 1 : (1 - exp(-x)) / x;
}

/* Take over what is known of the lane, and bring its rates up to now. fs->lock held. */
static void
take_over(Evaluation *ev, LaneSum *sum)
{
	FsRecommended *r = sum->out;
	FsSignal   *to = &r->signal;
	const FsSignal *from = &fs_signals[r->lane];
	const FsLaneStats *stats = FsStatsOfLane(r->lane);
	FsSignal	found = *to;

	*to = *from;
	sum->before = from->at;
	to->running = found.running;
	to->ready = found.ready;
	to->refused = found.refused;
	to->input.current = Max(found.input.current, found.input.busy);
	to->input.busy = found.input.busy;
	r->target = from->target > 0 ? from->target : FsMsToUsec(fs_dwell_target);
	to->input.target = r->target / 1e6;
	sum->busy_usec = stats->busy_usec + sum->held_usec;
	to->arrivals = stats->arrivals;
	to->ends = stats->ends;
	to->busy_usec = sum->busy_usec;
	to->at = ev->now;
	sum->keep = from->at == 0 ? 0 : exp(-Max(ev->now - from->at, 0) / 1e6 / SERVICE_TAU);
	if (from->at == 0)
		to->arrived = to->arrivals; /* since the lane was made */
	else
	{
		double		seconds = Max(ev->now - from->at, 0) / 1e6;
		double		left = left_of(seconds / SERVICE_TAU);

		to->arrived = from->arrived * exp(-seconds / ARRIVAL_TAU) +
			(to->arrivals - from->arrivals) * left_of(seconds / ARRIVAL_TAU);
		if (to->arrived < RESTING_RATE * ARRIVAL_TAU)
			to->arrived = 0;	/* or somebody would be wanted for ever */
		to->ended = from->ended * sum->keep + (to->ends - from->ends) * left;
		to->busy = Max(from->busy * sum->keep + (to->busy_usec - from->busy_usec) / 1e6 * left, 0);
	}
}

/* Seconds a lease is held on average; 0: there was none. */
static double
service_of(const FsSignal *s, const LaneSum *sum)
{
	double		held = s->running > 0 ? sum->held_usec / 1e6 / s->running : 0;

	return s->ended >= 1 ? s->busy / s->ended : Max(s->service, held);
}

static void
rates(Evaluation *ev)
{
	for (int i = 0; i < ev->n; i++)
	{
		FsRecommended *r = &ev->lanes[i];
		LaneSum    *sum = &ev->sums[r->lane];
		FsSignal   *s = &r->signal;
		int64		most = 0;

		FsLockShared();
		take_over(ev, sum);
		FsUnlock();
		if (s->input.current > 0)
		{
			double		each = Max((double) sum->slots / s->input.current, 1);

			/*
			 * who claims several at a time without having said so will do it
			 * again
			 */
			if (sum->undeclared)
				each = Max(each, 1 + (s->input.slots - 1) * sum->keep);
			s->input.slots = each;
		}
		s->service = s->input.service = service_of(s, sum);
		s->input.offered = s->input.drain = s->input.refused = s->input.paused = 0;
		r->arrival_rate = s->arrived / ARRIVAL_TAU;
		sum->present = (int64) s->running + s->ready + s->refused;
		if (sum->present == 0)
			s->input.offered = r->arrival_rate * s->service;
		s->refused_by = FS_PARK_NONE;
		for (int p = 0; p < PARKS; p++)
			if (sum->refused[p] > most)
			{
				most = sum->refused[p];
				s->refused_by = p;
			}
	}
}

/* ---------- deciding ---------- */

/* Nothing will change before something happens. */
static bool
at_rest(const FsRecommended *r)
{
	const FsSignal *s = &r->signal;

	return s->running == 0 && s->ready == 0 && s->refused == 0 && s->arrived == 0 &&
		s->state.below_since == 0;
}

/* Unless somebody else evaluated meanwhile: then that stands, and this was only for the caller. */
static void
remember(const Evaluation *ev, const LaneSum *sum)
{
	FsSignal   *to = &fs_signals[sum->out->lane];

	FsLock();
	if (!lost(ev) && to->at == sum->before)
	{
		FsSignal	was = *to;

		*to = sum->out->signal;
		to->limits = was.limits;	/* they may have been read anew */
		to->target = was.target;
	}
	FsUnlock();
}

FsRecommended *
fs_recommend_evaluate(FsDatabase *db, int *n)
{
	Evaluation	ev = {
		.db = db,
		.slot = FsDbIndex(db),
	};
	bool		rest = true;

	if (db->signal_loaded != db->signal_gen && !IsInParallelMode())
		fs_recommend_load(db);
	ev.now = GetCurrentTimestamp();
	ev.shares = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(ShareSum) * fs->shares.capacity,
										   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	add_lanes(&ev);
	add_workers(&ev);
	add_leases(&ev);
	add_flows(&ev);
	rates(&ev);
	add_shares(&ev);
	for (int i = 0; i < ev.n; i++)
	{
		FsRecommended *r = &ev.lanes[i];
		FsSignal   *s = &r->signal;
		LaneSum    *sum = &ev.sums[r->lane];

		if (s->service == 0 && s->ready + s->refused > 0)
		{
			/* nothing is known of how long jobs take: one worker will tell */
			*(sum->admitted > 0 ? &s->input.drain : sum->refused[FS_PARK_BUDGET] > 0 ? &s->input.paused
			  : &s->input.refused) = 1;
		}
		s->limits.cooldown = (int64) fs_capacity_cooldown * USECS_PER_SEC;
		r->result = recommend(&s->state, &s->input, &s->limits, ev.now);
		remember(&ev, sum);
		rest = rest && at_rest(r);
		if (!ev.counted)
			s->ready = s->refused = -1;
	}
	FsLock();

	/*
	 * jobs that arrived after their lane was looked at have woken nobody: it
	 * was not at rest then
	 */
	for (int i = 0; i < ev.n; i++)
		rest = rest && FsStatsOfLane(ev.lanes[i].lane)->arrivals == ev.lanes[i].signal.arrivals;
	if (!lost(&ev))
		db->signal_due = rest ? DT_NOEND : ev.now + FsMsToUsec(fs_capacity_interval);
	FsUnlock();
	pfree(ev.shares);
	pfree(ev.sums);
	*n = ev.n;
	return ev.lanes;
}

TimestampTz
fs_recommend_task(FsDatabase *db)
{
	int			n;

	pfree(fs_recommend_evaluate(db, &n));
	return db->signal_due;
}
