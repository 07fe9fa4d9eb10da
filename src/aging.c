/*
 * aging.c
 *		How long jobs have waited, told from their positions.
 *
 * A job that waits fairsched.priority_aging counts as one class higher, P1 at
 * most.  Positions are given out in the order in which jobs become ready, so
 * age needs no look at jobs: marks remember until when the positions below a
 * number were given out, and from them follow two limits, aged[1] and aged[2]:
 * positions below have waited once and twice that long.  What a job counts as
 * is then a comparison of its position (fs_aging_class), and which job of a
 * workspace that is, a comparison of the heads of its queues (ring.c).
 *
 * A job never counts as higher too early; marks are 1/32 of the aging apart and
 * limits are renewed every 1/64, so it may be that much later.  After a restart
 * marks that were saved (aging_task.c) tell which positions are that old, and
 * where there are none the heads of the queues do, by the time in their rows
 * (fs_aging_seed); the others count from the restart.
 *
 * All functions: fs->lock held exclusively; nothing here allocates, waits or
 * raises.
 */
#include "aging.h"

#include "storage/latch.h"

#define FROM_HEADS	0			/* `opened` of a mark that only heads of
								 * queues are for */
#define NOT_YET PG_INT64_MAX	/* end of the mark that stands for everything
								 * before the start */

/* fs_aging_given: positions from `first` to before `end` are given to jobs that become ready now. */
void
fs_aging_given(FsDatabase *d, int64 first, int64 end, TimestampTz now)
{
	FsAgeMark  *newest = &d->ages[d->nages - 1];

	if (d->nages == 0)
		return;					/* not built yet */
	if (newest->end == NOT_YET)
		newest->end = first;
	if (!d->aging_unsaved && fs_priority_aging > 0)
	{
		d->aging_unsaved = true;
		if (d->worker_latch)
			SetLatch(d->worker_latch);
	}
	if (now < newest->opened + FsMsToUsec(fs_priority_aging) / 32)
	{
		newest->last = Max(newest->last, now);
		newest->end = Max(newest->end, end);
		return;
	}
	if (d->nages == FS_AGE_MARKS)
	{
		/* what the oldest says, the next one says too, of a later time */
		memmove(&d->ages[0], &d->ages[1], sizeof(FsAgeMark) * --d->nages);
	}
	newest = &d->ages[d->nages++];
	newest->opened = newest->last = now;
	newest->end = end;
}

/* fs_aging_refresh: move the limits to where they are now.  Cheap: does nothing most of the time. */
void
fs_aging_refresh(FsDatabase *d, TimestampTz now)
{
	int64		aging = FsMsToUsec(fs_priority_aging);

	if (now >= d->aged_at && now < d->aged_at + aging / 64)
		return;
	d->aged_at = now;
	d->aged[1] = d->aged[2] = 0;
	if (aging == 0)
		return;
	for (int i = d->nages - 1; i >= 0; i--)
	{
		if (d->aged[1] == 0 && d->ages[i].last <= now - aging)
			d->aged[1] = d->ages[i].end;
		if (d->ages[i].last <= now - 2 * aging)
		{
			d->aged[2] = d->ages[i].end;
			break;
		}
	}
}

/*
 * fs_aging_start: memory is about to be built from rows; their positions were
 * given out before now.  The first two marks are for what heads of queues tell.
 */
void
fs_aging_start(FsDatabase *d, TimestampTz now)
{
	int64		aging = FsMsToUsec(fs_priority_aging);

	d->ages[0].last = now - 2 * aging;
	d->ages[1].last = now - aging;
	d->ages[2].last = now;
	d->ages[0].end = d->ages[1].end = 0;
	d->ages[2].end = NOT_YET;
	d->ages[0].opened = d->ages[1].opened = FROM_HEADS;
	d->ages[2].opened = now;
	d->nages = 3;
	d->aged[1] = d->aged[2] = 0;
	d->aged_at = 0;
}

/* Is memory being built? */
static bool
building(const FsDatabase *d)
{
	return d->nages > 0 && d->ages[d->nages - 1].end == NOT_YET;
}

/* What was given out before a mark was given out before each later one. */
static void
carry_on(FsDatabase *d)
{
	for (int i = 1; i < d->nages; i++)
		d->ages[i].end = Max(d->ages[i].end, d->ages[i - 1].end);
}

/* fs_aging_saved: while memory is built, a mark that was saved: what it says is so. */
void
fs_aging_saved(FsDatabase *d, TimestampTz at, int64 position)
{
	int			i = d->nages - 1;

	if (!building(d) || at >= d->ages[i].last || d->nages == FS_AGE_MARKS)
		return;
	while (i > 0 && d->ages[i - 1].last > at)
		i--;
	memmove(&d->ages[i + 1], &d->ages[i], sizeof(FsAgeMark) * (d->nages++ - i));
	d->ages[i].opened = d->ages[i].last = at;
	d->ages[i].end = position;
	carry_on(d);
}

/* fs_aging_seed: while memory is built, the head of a queue and since when it is ready. */
void
fs_aging_seed(FsDatabase *d, int64 position, TimestampTz ready_at)
{
	if (!building(d))
		return;

	/*
	 * a row may be older than its position: its job returned, or was put off
	 * to a time in the past
	 */
	for (int i = 0; i < d->nages - 1; i++)
		if (d->ages[i].opened != FROM_HEADS && d->ages[i].end <= position)
			ready_at = Max(ready_at, d->ages[i].last + 1);
	for (int i = 0; i < d->nages - 1; i++)
		if (d->ages[i].opened == FROM_HEADS && ready_at <= d->ages[i].last)
			d->ages[i].end = Max(d->ages[i].end, position + 1);
	carry_on(d);
}
