/*
 * notify.c
 *		Telling listeners what happens, with fairsched.notify.
 *
 * NOTIFY in the transaction that enqueues or claims would make commits take
 * turns.  So commit callbacks only count, and the scheduler worker sends what
 * was counted, at most once a second and channel.  Payloads are numbers: a
 * channel can be listened to by any role, and no tenant's text is in it.
 */
#include "notify.h"

#include "commands/async.h"
#include "storage/latch.h"
#include "ledger.h"

#define NOTIFY_INTERVAL	USECS_PER_SEC
#define NOTIFY_IDLE		USECS_PER_DAY

/* fs_notify_count: something happened, n times. */
void
fs_notify_count(FsDatabase *d, FsEvent event, int64 n, TimestampTz now)
{
	if (!fs_notify)
		return;
	d->events[event] += n;
	if (d->notify_due != DT_NOEND)
		return;
	d->notify_due = Max(now, d->notified_at + NOTIFY_INTERVAL);
	if (d->worker_latch)
		SetLatch(d->worker_latch);
}

/* fs_notify_task: send what was counted since the last time, when the transaction commits. */
TimestampTz
fs_notify_task(FsDatabase *d)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		events[FS_EVENTS];
	char		payload[256];

	FsLock();
	memcpy(events, d->events, sizeof(events));
	memset(d->events, 0, sizeof(events));
	d->notify_due = DT_NOEND;
	d->notified_at = now;
	FsUnlock();
	fs_ledger_events(events, true);
	if (events[FS_EVENT_READY])
	{
		snprintf(payload, sizeof(payload), "{\"ready\": " INT64_FORMAT "}", events[FS_EVENT_READY]);
		Async_Notify("fairsched_ready", payload);
	}
	if (events[FS_EVENT_FINISHED])
	{
		snprintf(payload, sizeof(payload), "{\"finished\": " INT64_FORMAT "}", events[FS_EVENT_FINISHED]);
		Async_Notify("fairsched_finished", payload);
	}
	if (events[FS_EVENT_PREEMPT_ASKED] || events[FS_EVENT_PREEMPTED] || events[FS_EVENT_RESUMED])
	{
		snprintf(payload, sizeof(payload),
				 "{\"requested\": " INT64_FORMAT ", \"preempted\": " INT64_FORMAT ", \"resumed\": " INT64_FORMAT "}",
				 events[FS_EVENT_PREEMPT_ASKED], events[FS_EVENT_PREEMPTED], events[FS_EVENT_RESUMED]);
		Async_Notify("fairsched_preemption", payload);
	}
	if (events[FS_EVENT_ALERT_RAISED] || events[FS_EVENT_ALERT_RESOLVED])
	{
		snprintf(payload, sizeof(payload), "{\"raised\": " INT64_FORMAT ", \"resolved\": " INT64_FORMAT "}",
				 events[FS_EVENT_ALERT_RAISED], events[FS_EVENT_ALERT_RESOLVED]);
		Async_Notify("fairsched_alerts", payload);
	}
	return now + NOTIFY_IDLE;
}
