/*
 * worker.c
 *		The scheduler worker: does what is due in its database.
 *
 * It begins as a probe of the launcher (see there for the states of its entry
 * in fs_launches) and becomes the scheduler where the extension is installed:
 *
 *	entry REGISTERED -> connect -> extension? -- no --> IDLE, gone
 *								   | yes
 *				 attach to the slot in fs_dbs, SERVING
 *								   |
 *		 +-> leave? -> run each task that is due -> sleep until the next -+
 *		 +----------------------------------------------------------------+
 *
 * Each task runs in a transaction of its own, under a lock on the extension, so
 * that DROP EXTENSION waits for one task and no longer.  An error in one is
 * recorded, delays that task by 1 s, 2 s, 4 s ... up to 5 min, and touches no
 * other.  The worker leaves with exit code 0 when the extension or its slot is
 * gone or somebody needs the database without it (fs->away); 1 means that it
 * wants to be started again.
 *
 * It sleeps without a time limit when nothing is due: whoever brings work
 * forward (the ledger, at commit) sets db->worker_latch.
 *
 * Locking: fs->lock for its entry, its slot and the task states, each time for
 * a few assignments; no transaction, error or allocation while it is held.  A
 * slot can be swept and reused by others once it is DEAD, so nothing is written
 * to it unless it still names this process as its worker.
 */
#include "postgres.h"

#include "worker.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "admit.h"
#include "aging_task.h"
#include "budget_task.h"
#include "keepaway.h"
#include "launcher.h"
#include "placement_task.h"
#include "tasks.h"

#define TASK_LIMIT		1000	/* jobs of a task in one transaction */
#define RETRY_MIN_MS	1000
#define RETRY_MAX_MS	(300 * 1000)
#define STUCK_MS		100		/* before a due time that did not move is
								 * served again */
#define READY_TASK		FS_TASK_COUNT	/* stands for the first look at the
										 * state */

static Oid	my_dboid = InvalidOid;
static int	my_launch = FS_NONE;	/* index in fs_launches */
static FsDatabase *my_db = NULL;	/* once serving */
static Oid	my_extension = InvalidOid;
static MemoryContext round_context = NULL;

/* What a task's run came to. */
typedef struct TaskResult
{
	bool		gone;			/* no extension any more: nothing was run */
	bool		failed;
	TimestampTz next_run;
	char		error[sizeof(((FsTaskStatus *) NULL)->last_error)];
} TaskResult;

/* ---------- for all our workers ---------- */

/*
 * A request to stop is noticed in two ways: between tasks by the flag, quietly;
 * within one, or waiting for a lock, as any backend does.
 */
static void
handle_sigterm(SIGNAL_ARGS)
{
	ShutdownRequestPending = true;
	die(postgres_signal_arg);
}

/* fs_worker_signals: before signals are unblocked. */
void
fs_worker_signals(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, handle_sigterm);
}

static void
override(const char *name, const char *value)
{
	SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * fs_worker_settings: once connected.  What an administrator set for sessions
 * (in postgresql.conf, or with ALTER DATABASE) must not end or block us.
 */
void
fs_worker_settings(const char *name)
{
	SetConfigOption("application_name", name, PGC_USERSET, PGC_S_SESSION);
	override("search_path", "pg_catalog, pg_temp");
	override("statement_timeout", "0");
	override("lock_timeout", "0");
	override("idle_in_transaction_session_timeout", "0");
	if (FS_HAS_TRANSACTION_TIMEOUT)
		override("transaction_timeout", "0");
	override("default_transaction_isolation", "read committed");
	override("default_transaction_read_only", "off");
	override("default_transaction_deferrable", "off");
	override("zero_damaged_pages", "off");

	/* As autovacuum: a standby that is away must not stop what is due here. */
	if (synchronous_commit > SYNCHRONOUS_COMMIT_LOCAL_FLUSH)
		override("synchronous_commit", "local");
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* fs_worker_interrupts: once a round, outside of a transaction. */
void
fs_worker_interrupts(void)
{
	if (ShutdownRequestPending)
		proc_exit(1);
	/* There is nothing to cancel between tasks. */
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/* ---------- coming and going ---------- */

/* Runs after the abort of an open transaction, however the process ends. */
static void
worker_exit(int code, Datum arg)
{
	FsLock();
	if (my_db != NULL && my_db->worker_pid == MyProcPid)
	{
		my_db->worker_pid = 0;
		my_db->worker_latch = NULL;
	}
	if (my_launch != FS_NONE && fs_launches[my_launch].pid == MyProcPid)
	{
		FsLaunch   *entry = &fs_launches[my_launch];

		if (entry->state == FS_LAUNCH_PROBING || entry->state == FS_LAUNCH_SERVING)
			entry->state = FS_LAUNCH_LOST;
	}
	fs_launcher_wake();
	FsUnlock();
}

/* End on purpose, outside of a transaction. */
static void
leave(FsLaunchState how)
{
	FsLock();
	fs_launches[my_launch].state = how;
	FsUnlock();
	proc_exit(0);
}

/* Find the entry that the launcher made for this process; false when there is nothing to do. */
static bool
report_for_duty(void)
{
	FsLock();
	for (int i = 0; i < fs->nlaunches && my_launch == FS_NONE; i++)
		if (fs_launches[i].state == FS_LAUNCH_REGISTERED && fs_launches[i].dboid == my_dboid)
			my_launch = i;
	if (my_launch != FS_NONE)
	{
		fs_launches[my_launch].pid = MyProcPid;
		fs_launches[my_launch].state = fs_keepaway_asked(my_dboid) ?
			FS_LAUNCH_AWAY : FS_LAUNCH_PROBING;
	}
	FsUnlock();
	return my_launch != FS_NONE && fs_launches[my_launch].state == FS_LAUNCH_PROBING;
}

/*
 * Lock the extension against DROP until the end of the transaction; InvalidOid
 * when it is not there.
 */
static Oid
lock_extension(void)
{
	for (;;)
	{
		Oid			extension = get_extension_oid("fairsched", true);

		if (!OidIsValid(extension))
			return InvalidOid;

		/*
		 * We may have to wait for an open DROP EXTENSION; hold back no vacuum
		 * meanwhile.
		 */
		InvalidateCatalogSnapshot();
		LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
		if (get_extension_oid("fairsched", true) == extension)
			return extension;
		UnlockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
	}
}

static void
begin(const char *activity)
{
	pgstat_report_activity(STATE_RUNNING, activity);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
}

static void
commit(void)
{
	CommitTransactionCommand();
	MemoryContextSwitchTo(round_context);
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Become the scheduler of this database; leaves when it needs none. */
static void
take_office(void)
{
	FsDatabase *db = NULL;
	bool		other = false;
	Oid			extension;

	begin("fairsched: look for the extension");
	extension = lock_extension();
	if (OidIsValid(extension))
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		db = fs_state_attach();
		PopActiveSnapshot();
	}
	commit();
	if (db == NULL)
		leave(FS_LAUNCH_IDLE);

	FsLock();
	if (db->dboid == my_dboid && db->extoid == extension && db->state != FS_DB_DEAD)
	{
		other = db->worker_pid != 0;
		if (!other)
		{
			my_db = db;
			my_extension = extension;
			db->worker_pid = MyProcPid;
			db->worker_latch = MyLatch;
			fs_launches[my_launch].state = FS_LAUNCH_SERVING;
			fs_launcher_wake();
		}
	}
	FsUnlock();
	if (my_db == NULL)
		leave(other ? FS_LAUNCH_IDLE : FS_LAUNCH_LEFT);
}

/* Is the slot still this process's?  fs->lock held. */
static bool
slot_is_mine(void)
{
	return my_db->worker_pid == MyProcPid && my_db->state != FS_DB_DEAD &&
		my_db->dboid == my_dboid && my_db->extoid == my_extension;
}

/* Leave when the slot is dead, or when somebody wants us out of the database. */
static void
leave_if_told(void)
{
	bool		mine;
	bool		away;

	FsLockShared();
	mine = slot_is_mine();
	away = fs_keepaway_asked(my_dboid);
	FsUnlock();
	if (away)
		leave(FS_LAUNCH_AWAY);
	if (!mine)
		leave(FS_LAUNCH_LEFT);
}

/* ---------- tasks ---------- */

static int64
backoff_ms(int failures)
{
	return Min((int64) RETRY_MIN_MS << Min(failures - 1, 20), RETRY_MAX_MS);
}

static const char *
task_name(FsTask task)
{
	return task == READY_TASK ? "ready" : FsTaskNames[task];
}

/*
 * Run a task in a transaction of its own; whatever it raises ends up in
 * *result, with the transaction aborted.  READY_TASK only builds the state.
 */
static void
run_isolated(FsTask task, TaskResult *result)
{
	char		activity[64];

	memset(result, 0, sizeof(*result));
	snprintf(activity, sizeof(activity), "fairsched: %s", task_name(task));
	PG_TRY();
	{
		begin(activity);
		if (lock_extension() != my_extension)
			result->gone = true;
		else
		{
			PushActiveSnapshot(GetTransactionSnapshot());
			result->gone = fs_state_ready("scheduler") != my_db;
			PopActiveSnapshot();
			if (!result->gone && task != READY_TASK)
			{
				/* Anew: building the state may have taken a while. */
				PushActiveSnapshot(GetTransactionSnapshot());
				result->next_run = fs_task_run(task, my_db, TASK_LIMIT);
				PopActiveSnapshot();
			}
		}
		commit();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* No interrupt may get in between the error and the abort. */
		HOLD_INTERRUPTS();
		disable_all_timeouts(false);
		QueryCancelPending = false;
		MemoryContextSwitchTo(round_context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(round_context);

		result->failed = true;
		if (error->message)
			memcpy(result->error, error->message,
				   pg_mbcliplen(error->message, strlen(error->message),
								sizeof(result->error) - 1));

		/* Without its DETAIL, which would quote values out of tenants' rows. */
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("fairsched task \"%s\" failed: %s",
						task_name(task), result->error)));
		pgstat_report_stat(false);
		pgstat_report_activity(STATE_IDLE, NULL);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
}

/*
 * Note how a task went.  A task takes the due time down before it works, so
 * that commits from then on put up theirs; when it failed its rows are as they
 * were, and nobody but us would know that they are still due.
 */
static void
record(FsTask task, TimestampTz started, const TaskResult *result)
{
	TimestampTz now = GetCurrentTimestamp();

	FsLock();
	if (slot_is_mine())
	{
		FsTaskStatus *status = &my_db->tasks[task];

		status->last_run = started;
		status->last_usec = now - started;
		if (result->failed)
		{
			status->failures++;
			memcpy(status->last_error, result->error, sizeof(status->last_error));
			status->next_run = TimestampTzPlusMilliseconds(now, backoff_ms(status->failures));
			if (task == FS_TASK_PROMOTE)
				my_db->next_due = Min(my_db->next_due, status->next_run);
			else if (task == FS_TASK_EXPIRE)
				my_db->next_expiry = Min(my_db->next_expiry, status->next_run);
		}
		else
		{
			status->failures = 0;
			status->last_error[0] = '\0';
			status->next_run = result->next_run;
		}
	}
	FsUnlock();
}

/* ---------- the loop ---------- */

/* The due time of jobs and leases that was served last, and when. */
static TimestampTz served_due = 0;
static TimestampTz served_at = 0;

/*
 * When promotion and expiry are due because of a job or lease.  A time that
 * is still there after it was served (somebody has the row locked, perhaps)
 * must not make us spin.
 */
static TimestampTz
jobs_due(void)
{
	TimestampTz due = fs_task_next_due(my_db);

	if (due == served_due)
		due = Max(due, served_at + FsMsToUsec(STUCK_MS));
	return due;
}

/* When this task is to run: in the past means now.  `woken`: somebody set the latch. */
static TimestampTz
task_due(FsTask task, TimestampTz due, bool woken)
{
	FsTaskStatus *status = &my_db->tasks[task];

	if (status->failures > 0)
		return status->next_run;
	if (task == FS_TASK_PROMOTE || task == FS_TASK_EXPIRE)
		return Min(status->next_run, due);
	if (task == FS_TASK_ADMISSION)
		return Min(status->next_run, fs_admit_next_due(my_db));
	if (task == FS_TASK_PREEMPT)
		return Min(status->next_run, my_db->preempt_due);
	if (task == FS_TASK_NOTIFY)
		return Min(status->next_run, my_db->notify_due);
	if (task == FS_TASK_CAPACITY)
		return Min(status->next_run, my_db->signal_due);
	if (task == FS_TASK_AGING)
		return Min(status->next_run, fs_aging_save_due(my_db));
	if (task == FS_TASK_BUDGETS && fs_budget_task_wanted(my_db, 0))
		return 0;
	if (task == FS_TASK_PLACEMENT && fs_placement_wanted(my_db))
		return 0;
	if (status->next_run == DT_NOEND && woken)
		return 0;
	return status->next_run;
}

/* fs_worker_main: see the top of the file. */
void
fs_worker_main(Datum dboid)
{
	static uint32 wait_event = 0;
	TaskResult	result;
	bool		woken = true;

	my_dboid = DatumGetObjectId(dboid);
	fs_worker_signals();
	BackgroundWorkerUnblockSignals();
	if (fs == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FS_NOT_PRELOADED),
				 errmsg("fairsched must be loaded via \"shared_preload_libraries\"")));
	round_context = AllocSetContextCreate(TopMemoryContext, "fairsched scheduler round",
										  ALLOCSET_DEFAULT_SIZES);

	/*
	 * First of all, so that it runs after the callbacks that abort a
	 * transaction.
	 */
	before_shmem_exit(worker_exit, (Datum) 0);
	if (!report_for_duty())
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(my_dboid, InvalidOid, 0);
	fs_worker_settings(FS_WORKER_NAME);
	MemoryContextSwitchTo(round_context);

	take_office();
	leave_if_told();
	run_isolated(READY_TASK, &result);
	if (result.gone)
		leave(FS_LAUNCH_LEFT);
	if (result.failed)
		proc_exit(1);			/* the launcher tries again, less and less
								 * often */

	for (;;)
	{
		TimestampTz due;
		TimestampTz next = DT_NOEND;
		bool		ran = false;

		MemoryContextReset(round_context);
		fs_worker_interrupts();
		leave_if_told();

		due = jobs_due();
		for (int task = 0; task < FS_TASK_COUNT; task++)
		{
			TimestampTz started = GetCurrentTimestamp();

			if (task_due(task, due, woken) > started)
				continue;
			run_isolated(task, &result);
			if (result.gone)
				leave(FS_LAUNCH_LEFT);
			record(task, started, &result);
			ran = true;
			fs_worker_interrupts();
			leave_if_told();
		}
		if (due <= GetCurrentTimestamp() && ran)
		{
			served_due = due;
			served_at = GetCurrentTimestamp();
		}
		if (!ran)
		{
			/* Woken, but for no task: perhaps because the extension is gone. */
			begin("fairsched: look for the extension");
			result.gone = lock_extension() != my_extension;
			commit();
			if (result.gone)
				leave(FS_LAUNCH_LEFT);
		}

		due = jobs_due();
		for (int task = 0; task < FS_TASK_COUNT; task++)
			next = Min(next, task_due(task, due, false));

		woken = false;
		if (next == DT_NOEND)
		{
			pgstat_report_stat(true);
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1L,
							 fs_wait_event(&wait_event, "FairschedScheduler"));
			woken = true;
		}
		else
		{
			long		timeout = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next);
			int			events;

			if (timeout > 0)
				pgstat_report_stat(true);
			events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout,
							   fs_wait_event(&wait_event, "FairschedScheduler"));
			woken = (events & WL_LATCH_SET) != 0;
		}
		ResetLatch(MyLatch);
	}
}
