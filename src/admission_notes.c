/*
 * admission_notes.c
 *		What memory has to be written by the scheduler: taken out, and put back.
 *
 * What is taken counts as written at once, so that what comes meanwhile is
 * noticed.  It is an item of the ledger (ITEM_NOTES): where the transaction
 * that writes it is undone, it is put back, to be written again.
 *
 * A violation is open while its cause lasts: a reject or a pause while something
 * is parked for it or nothing of the resource is left; an alert while use is
 * above the threshold; a burst while the level is above the quota; a throttle
 * while it lasts.
 *
 * Of a threshold that was crossed the row of quota_crossings is written with the
 * violation, so all that a workspace has of both is taken, or nothing: nothing
 * while rows of a restore are still to be read.  Nor then of a workspace that has
 * no limits: they may come.
 *
 * All functions: fs->lock held exclusively; nothing here allocates, waits or
 * raises.
 */
#include "admission_notes.h"

#include "admit.h"
#include "park.h"

#define RESTORE_TIME (10 * USECS_PER_SEC)	/* tables that changed behind our
											 * back may be read by then */
#define QUIET		USECS_PER_SEC	/* a violation is not resolved sooner than
									 * this after it was seen */

/* Is the cause of an open violation gone? */
static bool
cause_gone(int32 l, FsResource r, FsBreachKind kind, TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];
	const FsWorkspace *ws = limits->workspace == FS_NONE ? NULL : &fs_workspaces[limits->workspace];
	int64		used;

	if (!(limits->set.has & FsResourceBit(r)))
		return true;
	if (kind == FS_BREACH_THROTTLE)
		return limits->throttle_until[r] <= now;
	if (now < limits->breach[r][kind].last + QUIET)
		return false;
	used = fs_limits_used(limits, r, now) + (ws ? ws->held[r] : 0);
	if (kind == FS_BREACH_BURST)
		return used <= limits->set.quota[r].quota;
	if (kind == FS_BREACH_ALERT)
		return used < limits->set.threshold * limits->set.quota[r].quota ||
			(limits->set.throttle && (limits->set.throttle_mask & FsResourceBit(r)) &&
			 used <= limits->set.quota[r].quota);
	if (ws && ws->parked == FS_PARK_RESOURCE && ws->why.resource == r)
		return false;
	for (int32 f = ws ? ws->parked_flows : FS_NONE; f != FS_NONE; f = fs_flows[f].park_next)
		if (fs_flows[f].why.park == FS_PARK_RESOURCE && fs_flows[f].why.resource == r)
			return false;
	return used < limits->set.quota[r].quota || limits->set.quota[r].quota == 0;
}

/*
 * What is parked for a resource though nobody waits there any more (jobs were
 * cancelled, or moved) takes part again: then nothing is refused, and who comes
 * next is asked, so that a refusal of it is another occurrence.
 */
static void
lift_empty(const FsDatabase *db, const FsLimits *limits)
{
	const FsWorkspace *ws;

	if (!db->counted || limits->workspace == FS_NONE)
		return;
	ws = &fs_workspaces[limits->workspace];
	for (int32 f = ws->parked_flows, next; f != FS_NONE; f = next)
	{
		next = fs_flows[f].park_next;
		if (fs_flows[f].why.park == FS_PARK_RESOURCE && fs_flows[f].ready == 0)
			fs_admit_lift(f);
	}
	if (ws->parked == FS_PARK_RESOURCE && ws->ready[0] + ws->ready[1] + ws->ready[2] + ws->ready[3] == 0)
		fs_sched_unpark(limits->workspace);
}

/* What the row of a resource is to say, as things are now. */
static void
describe_crossing(int32 l, FsResource r, TimestampTz now, FsCrossing *note)
{
	FsLimits   *limits = &fs_limits[l];
	uint32		bit = FsResourceBit(r);
	bool		throttled = limits->throttle_until[r] > now;
	bool		crossed = !(limits->armed & bit);
	bool		above = crossed || fs_admit_above(limits, r, fs_limits_committed(limits, r, now));

	strcpy(note->workspace, limits->name);
	note->resource = r;
	if (!(limits->set.has & bit) || (!throttled && !(above && fs_limits_watched(limits, r))))
		note->state = FS_CROSSING_NONE;
	else if (!above)
		note->state = FS_CROSSING_BELOW;
	else
		note->state = crossed ? FS_CROSSING_CROSSED : FS_CROSSING_ABOVE;
	note->seen_at = now;
	note->crossed_at = limits->crossed_at[r];
	note->until = throttled ? limits->throttle_until[r] : 0;
	note->quota_since = limits->set.quota_since[r];
	note->off_at = limits->set.off_at;
}

/* Violations of a workspace to be written or closed; returns whether any is open still. */
static bool
take_breaches(int32 l, FsAdmissionNotes *notes, TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];
	bool		open = false;

	for (int r = 0; r < FS_RESOURCES; r++)
		for (int k = 0; k < FS_BREACH_KINDS; k++)
		{
			FsBreach   *b = &limits->breach[r][k];
			bool		gone = b->open && cause_gone(l, r, k, now);
			FsNote	   *note = &notes->breaches[notes->nbreaches];

			if (!b->open)
				continue;
			open |= !gone;
			if (b->count == 0 && !gone)
				continue;
			strcpy(note->workspace, limits->name);
			strcpy(note->run_id, limits->run_resource == r && limits->run_kind == k ? limits->run_id : "");
			note->resource = r;
			note->kind = k;
			note->breach = *b;
			note->resolved = gone;
			notes->nbreaches++;
			b->count = 0;
			b->open = !gone;
			/* the row is not needed any more where use is below again */
			if (gone && k == FS_BREACH_THROTTLE)
				limits->crossing_dirty |= FsResourceBit(r);
		}
	return open;
}

static void
take_crossings(int32 l, FsAdmissionNotes *notes, TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];

	for (int r = 0; r < FS_RESOURCES; r++)
	{
		FsCrossing *note = &notes->crossings[notes->ncrossings];

		if (!(limits->crossing_dirty & FsResourceBit(r)))
			continue;
		describe_crossing(l, r, now, note);
		notes->ncrossings++;
		if (fs_crossing_at(note))
			limits->crossing_rows |= FsResourceBit(r);
		else
			limits->crossing_rows &= ~FsResourceBit(r);
	}
	limits->crossing_dirty = 0;
}

/* Where the window of a day `moved`, which are below their thresholds now?  And when it moves next (limits_due). */
static void
look_by_time(int32 l, bool moved, TimestampTz now)
{
	FsLimits   *limits = &fs_limits[l];
	FsDatabase *db = &fs_dbs[limits->db];

	for (int r = FS_RES_TOKENS; r < FS_RESOURCES; r++)
	{
		if (!(limits->crossing_rows & FsResourceBit(r)))
			continue;
		if (moved)
			fs_admit_rearm(l, r, fs_limits_committed(limits, r, now));
		else
			window_advance(FsWindowOf(limits, r), now);
		if (db->limits_due == 0 || FsWindowOf(limits, r)->until < db->limits_due)
			db->limits_due = FsWindowOf(limits, r)->until;
	}
}

static void
take_rates(FsDatabase *db, FsAdmissionNotes *notes, bool *rest)
{
	for (int l = 0; l < fs->limits.capacity; l++)
	{
		FsLimits   *limits = &fs_limits[l];

		if (limits->db != FsDbIndex(db) || !limits->rate_dirty)
			continue;
		if (notes->nrates == FS_NOTES)
		{
			*rest = true;
			break;
		}
		limits->rate_dirty = false;
		if (!(limits->set.has & FS_LIMIT_RATE))
			continue;
		strcpy(notes->rates[notes->nrates].workspace, limits->name);
		notes->rates[notes->nrates].window = limits->rate;
		notes->rates[notes->nrates++].epoch = limits->rate_epoch++;
		limits->rate_unsaved = limits->rate_booked = 0;
	}
}

/* fs_notes_take: all that is to be written, or as much as there is room for; limits_dirty: there is, or will be, more. */
void
fs_notes_take(FsDatabase *db, FsAdmissionNotes *notes, TimestampTz now)
{
	bool		rest = db->usage_stale != 0;
	bool		moved = db->limits_due != 0 && db->limits_due <= now;
	bool		restoring = rest && now < db->usage_stale + RESTORE_TIME;

	notes->nbreaches = notes->nrates = notes->ncrossings = 0;
	db->limits_due = 0;
	for (int l = 0; l < fs->limits.capacity; l++)
	{
		FsLimits   *limits = &fs_limits[l];
		int			before;
		bool		open;

		if (limits->db != FsDbIndex(db))
			continue;
		look_by_time(l, moved, now);
		if (!limits->breached)
			continue;
		if (((limits->crossing_dirty != 0 || limits->set.has == 0) && restoring) ||
			notes->nbreaches > FS_NOTES - FS_RESOURCES * FS_BREACH_KINDS ||
			notes->ncrossings > FS_NOTES - FS_RESOURCES)
		{
			rest = true;
			continue;
		}
		lift_empty(db, limits);
		before = notes->nbreaches + notes->ncrossings;
		open = take_breaches(l, notes, now);
		take_crossings(l, notes, now);

		/*
		 * what is taken may be put back: the entry is let go in a run after
		 * that
		 */
		limits->breached = open || notes->nbreaches + notes->ncrossings > before;
		rest |= limits->breached;
		if (!limits->breached)
			fs_limits_release(l);
	}
	take_rates(db, notes, &rest);
	db->limits_dirty = rest;
}

/* fs_notes_put_back: what was written is undone, or never was. */
void
fs_notes_put_back(int32 db, const FsAdmissionNotes *notes)
{
	for (int i = 0; i < notes->nbreaches; i++)
	{
		const FsNote *note = &notes->breaches[i];
		int32		l = fs_limits_find(db, note->workspace);
		FsBreach   *b;

		if (l == FS_NONE)
			continue;
		b = &fs_limits[l].breach[note->resource][note->kind];
		if (!b->open && b->count == 0)
			*b = note->breach;
		else
			b->count += note->breach.count;
		b->open = true;
		fs_limits[l].breached = true;
	}
	for (int i = 0; i < notes->ncrossings; i++)
	{
		int32		l = fs_limits_find(db, notes->crossings[i].workspace);

		if (l != FS_NONE)
			fs_limits_crossing_changed(l, notes->crossings[i].resource);
	}
	for (int i = 0; i < notes->nrates; i++)
	{
		int32		l = fs_limits_find(db, notes->rates[i].workspace);

		if (l != FS_NONE)
			fs_limits[l].rate_dirty = true;
	}
	fs_admit_dirty(&fs_dbs[db]);
}
