/*
 * park.c
 *		Which workspaces may be served: settings, ceilings, parking.
 *
 * A workspace that must not be served (paused, at its ceiling, beyond its share
 * of the slots, moving to another table) is parked: it contends in no ring any
 * more, its deficits stay (ring.c).  Whatever may lift the refusal calls
 * fs_sched_unpark_if_fits.  Workspaces parked for their share of the slots are
 * on a list of the database (capped): the pick lets them in when nobody else is
 * admissible.
 *
 * All functions: fs->lock held exclusively; nothing here allocates, waits or
 * raises, so that commit and abort callbacks may call it.
 */
#include "park.h"

#include "hints.h"
#include "admit.h"
#include "fairness.h"
#include "placement.h"
#include "ring.h"

const char *const FsParkNames[] = {NULL, "paused", "ceiling", "workspace_share", "moving",
	"rate_limited", "waiting_for_resources", "waiting_for_budget", "throttled",
"waiting_for_capacity", "waiting_for_node"};

void
fs_sched_park(int32 w, FsPark why)
{
	FsWorkspace *ws = &fs_workspaces[w];

	if (ws->parked == FS_PARK_NONE)
		ws->parked_since = GetCurrentTimestamp();
	if (why == FS_PARK_SHARE && ws->parked != FS_PARK_SHARE)
	{
		ws->capped_next = fs_dbs[ws->db].capped;
		fs_dbs[ws->db].capped = w;
	}
	else if (why != FS_PARK_SHARE && ws->parked == FS_PARK_SHARE)
		FS_UNCHAIN(fs_dbs[ws->db].capped, w, fs_workspaces, FsWorkspace, capped_next);
	ws->parked = why;
	fs_sched_workspace_leaves(w);
}

void
fs_sched_unpark(int32 w)
{
	FsWorkspace *ws = &fs_workspaces[w];

	if (ws->parked == FS_PARK_SHARE)
		FS_UNCHAIN(fs_dbs[ws->db].capped, w, fs_workspaces, FsWorkspace, capped_next);
	ws->parked = ws->misplaced ? FS_PARK_NODE : FS_PARK_NONE;
	ws->parked_since = ws->misplaced ? GetCurrentTimestamp() : 0;
	if (ws->parked == FS_PARK_NONE)
		fs_sched_workspace_returns(w);
}

/* fs_sched_unpark_if_fits: called when something changed that may lift a refusal. */
void
fs_sched_unpark_if_fits(int32 w)
{
	FsWorkspace *ws = &fs_workspaces[w];

	switch (ws->parked)
	{
		case FS_PARK_NONE:
		case FS_PARK_MOVING:
			break;
		case FS_PARK_PAUSED:
			if (!ws->set.paused)
				fs_sched_unpark(w);
			break;
		case FS_PARK_CEILING:
			if (ws->running < fs_sched_ceiling(ws))
				fs_sched_unpark(w);
			break;
		case FS_PARK_SHARE:
			if (ws->running < fs_sched_share_cap(&fs_dbs[ws->db]))
				fs_sched_unpark(w);
			break;
		case FS_PARK_NODE:
			if (!ws->misplaced)
				fs_sched_unpark(w);
			break;
		case FS_PARK_RATE:
		case FS_PARK_RESOURCE:
		case FS_PARK_BUDGET:
		case FS_PARK_THROTTLE:
		case FS_PARK_CAPACITY:
			if (fs_admit_open(w))
				fs_sched_unpark(w);
			break;
	}
}

/* fs_sched_slot_freed: one running job of the workspace fewer. */
void
fs_sched_slot_freed(int32 w)
{
	fs_workspaces[w].running--;
	fs_dbs[fs_workspaces[w].db].running--;
	fs_sched_unpark_if_fits(w);
}

/* fs_sched_apply_settings: take effect on the existing backlog at once. */
void
fs_sched_apply_settings(int32 w, const FsWorkspaceSettings *set)
{
	FsWorkspace *ws = &fs_workspaces[w];
	bool		table_changed = ws->set.job_table != set->job_table;

	for (int32 s = ws->shares; s != FS_NONE; s = fs_shares[s].next)
	{
		fs_sched_share_settle(&fs_shares[s]);
		fs_fair_quantum(s, set->quantum);
	}
	ws->set = *set;
	if (table_changed)
	{
		/*
		 * what was known of places is void: look from the start of the new
		 * table
		 */
		for (int f = 0; f < fs->flows.capacity; f++)
			if (fs_flows[f].member != FS_NONE && FsWorkspaceOfFlow(f) == w)
				fs_sched_forget_places(f);
	}
	if (set->paused && ws->parked != FS_PARK_MOVING)
		fs_sched_park(w, FS_PARK_PAUSED);
	else
		fs_sched_unpark_if_fits(w);
	fs_sched_workspace_rekey(w);
}

/* Every workspace of the database whose refusal may be void now. O(workspaces): settings only. */
static void
unpark_all_that_fit(int32 db)
{
	for (int w = 0; w < fs->workspaces.capacity; w++)
		if (fs_workspaces[w].db == db)
			fs_sched_unpark_if_fits(w);
}

void
fs_sched_set_quotas(FsDatabase *d, int32 dflt, int32 enterprise, double share)
{
	if (d->default_quota == dflt && d->enterprise_quota == enterprise &&
		d->workspace_share == share)
		return;
	d->default_quota = dflt;
	d->enterprise_quota = enterprise;
	d->workspace_share = share;
	unpark_all_that_fit(FsDbIndex(d));
}

/* fs_sched_refresh_slots: what live workers declared. O(workers): on a change or a time-out. */
void
fs_sched_refresh_slots(FsDatabase *d, TimestampTz now)
{
	int32		db = FsDbIndex(d);
	int32		slots = 0;
	TimestampTz until = DT_NOEND;

	for (int i = 0; i < fs->workers.capacity; i++)
	{
		FsWorker   *w = &fs_workers[i];
		TimestampTz dies;

		if (w->db != db || !w->declared)
			continue;
		dies = w->last_seen + FsMsToUsec(fs_worker_timeout);
		if (dies > now)
		{
			slots += w->slots;
			until = Min(until, dies);
		}
	}
	d->slots_until = until;
	fs_placement_refresh(db, now);
	if (slots != d->live_slots)
	{
		d->live_slots = slots;
		for (int32 w = d->capped, next; w != FS_NONE; w = next)
		{
			next = fs_workspaces[w].capped_next;
			fs_sched_unpark_if_fits(w);
		}
	}
}
