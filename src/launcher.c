/*
 * launcher.c
 *		Starts a scheduler worker in each database that has the extension.
 *
 * The launcher is connected to no database, so it can't see where the extension
 * is installed.  It finds out with a *probe*: a worker (worker.c) that connects,
 * looks, and either leaves or stays as the scheduler.  Every database is probed
 * when the launcher first sees it, and then only when asked: by the commit of a
 * CREATE EXTENSION, or because its worker ended.  Probes are started one at a
 * time; one that hangs (say, on the lock of an open ALTER DATABASE) delays the
 * next by PATIENCE only.
 *
 * What runs where is in fs_launches, under fs->lock.  An entry's life, and who
 * moves it on:
 *
 *	FREE -> REGISTERED		launcher, before it asks the postmaster
 *	REGISTERED -> FREE		launcher: there was no background worker slot
 *	REGISTERED -> PROBING	worker, when it runs and nobody wants it away
 *	REGISTERED -> AWAY		worker, or keepaway.c: it must not connect now
 *	PROBING -> SERVING		worker, with its slot of fs_dbs
 *	PROBING -> IDLE			worker: no extension here, or another worker serves
 *	PROBING, SERVING -> AWAY	worker: sent away
 *	PROBING, SERVING -> LEFT	worker: the extension or its slot is gone
 *	PROBING, SERVING -> LOST	worker's exit callback: anything else
 *	IDLE, AWAY, LEFT, LOST -> FREE	launcher, when the process is gone
 *
 * IDLE is left alone until asked, AWAY is started again as soon as it may be,
 * LEFT is looked at again, LOST is started again with a delay that doubles.  A
 * killed worker makes no transition, but then the whole server starts over with
 * empty shared memory.
 *
 * Locking: fs->lock for everything shared, never across a call that could
 * raise or wait.  The launcher's own table is private to it.
 */
#include "postgres.h"

#include "launcher.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "keepaway.h"
#include "worker.h"

#define RESTART_SECONDS		5	/* of the launcher, by the postmaster */
#define RESCAN_MS			(300 * 1000)	/* between looks without a reason */
#define PATIENCE_MS			2000	/* with a start before the next is made */
#define ORPHAN_MS			5000	/* a former launcher's start that never
									 * ran */
#define RETRY_MIN_MS		1000
#define RETRY_MAX_MS		(300 * 1000)
#define SETTLED_MS			(60 * 1000) /* a worker that lived so long starts
										 * afresh */
#define BRIEF_MS			1000	/* one that leaves sooner, */
#define BRIEF_MAX			3	/* so often in a row, is not started again at
								 * once */

/* A database as the launcher knows it. */
typedef struct Known
{
	Oid			dboid;			/* hash key */
	NameData	name;
	bool		listed;			/* seen by the newest scan */
	bool		wanted;			/* a worker should be started */
	bool		has_us;			/* it had a scheduler, or we were asked for
								 * one */
	int			failures;		/* in a row */
	int			brief;			/* times in a row that it left almost at once */
	TimestampTz retry_at;		/* not before */
	TimestampTz begun_at;		/* last start */
	int			launch;			/* index in fs_launches, or FS_NONE */
	BackgroundWorkerHandle *handle; /* NULL: a former launcher started it */
} Known;

static HTAB *known = NULL;
static MemoryContext launcher_context = NULL;

/* Background worker slots ran out. */
static int	slot_failures = 0;
static TimestampTz slot_retry_at = 0;

#define LaunchStarting(s) ((s) == FS_LAUNCH_REGISTERED || (s) == FS_LAUNCH_PROBING)

/* ---------- what others call; see launcher.h ---------- */

void
fs_launcher_wake(void)
{
	if (fs->launcher_latch)
		SetLatch(fs->launcher_latch);
}

void
fs_launcher_ask(Oid dboid)
{
	/*
	 * An empty list means all, so "all" and "too many" both empty it for
	 * good.
	 */
	if (!OidIsValid(dboid) || fs->nasked == FS_ASKED)
		fs->nasked = -1;
	else if (fs->nasked >= 0)
		fs->asked[fs->nasked++] = dboid;
	fs->launch_requests++;
	fs_launcher_wake();
}

/* ---------- the launcher ---------- */

/* fs_launcher_register: a static worker; a standby starts it when it is promoted. */
void
fs_launcher_register(void)
{
	BackgroundWorker worker;

	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade || !fs_background_workers)
		return;
	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_SECONDS;
	strlcpy(worker.bgw_library_name, "fairsched", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "fs_launcher_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "fairsched launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "fairsched launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

static void
launcher_exit(int code, Datum arg)
{
	FsLock();
	if (fs->launcher_pid == MyProcPid)
	{
		fs->launcher_pid = 0;
		fs->launcher_latch = NULL;
	}
	FsUnlock();
}

static int64
backoff_ms(int failures)
{
	return Min((int64) RETRY_MIN_MS << Min(failures - 1, 20), RETRY_MAX_MS);
}

/* Bring `known` in line with pg_database; new databases are wanted. */
static void
scan_databases(MemoryContext scratch)
{
	HASH_SEQ_STATUS seq;
	Known	   *k;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	hash_seq_init(&seq, known);
	while ((k = hash_seq_search(&seq)) != NULL)
		k->listed = false;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		bool		found;

		/* A template is for copying, which a connection would prevent. */
		if (!form->datallowconn || form->datistemplate ||
			form->datconnlimit == DATCONNLIMIT_INVALID_DB)
			continue;
		k = hash_search(known, &form->oid, HASH_ENTER, &found);
		if (!found)
		{
			memset((char *) k + sizeof(Oid), 0, sizeof(Known) - sizeof(Oid));
			k->launch = FS_NONE;
			k->wanted = true;
		}
		k->name = form->datname;
		k->listed = true;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(scratch);
	pgstat_report_stat(false);

	hash_seq_init(&seq, known);
	while ((k = hash_seq_search(&seq)) != NULL)
		if (!k->listed && k->launch == FS_NONE)
			hash_search(known, &k->dboid, HASH_REMOVE, NULL);
}

/*
 * Take what fs_launcher_ask left; who asks need not wait for a delay to pass.
 * A database that isn't known yet will be new to a later scan, and wanted then.
 */
static void
take_requests(uint64 *seen)
{
	HASH_SEQ_STATUS seq;
	Known	   *k;
	Oid			asked[FS_ASKED];
	int			n;

	FsLock();
	if (fs->launch_requests == *seen)
	{
		FsUnlock();
		return;
	}
	*seen = fs->launch_requests;
	n = fs->nasked;
	if (n > 0)
		memcpy(asked, fs->asked, n * sizeof(Oid));
	fs->nasked = 0;
	FsUnlock();

	hash_seq_init(&seq, known);
	while ((k = hash_seq_search(&seq)) != NULL)
	{
		bool		mine = n <= 0;

		for (int i = 0; i < n; i++)
			if (asked[i] == k->dboid)
				mine = k->has_us = true;
		if (!mine)
			continue;
		k->wanted = true;
		k->failures = k->brief = 0;
		k->retry_at = 0;
	}
}

/* Entries of a launcher before this one: take over those that live. */
static void
adopt_launches(void)
{
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < fs->nlaunches; i++)
	{
		FsLaunch	entry;
		Known	   *k;
		bool		found;

		FsLockShared();
		entry = fs_launches[i];
		FsUnlock();
		if (entry.state == FS_LAUNCH_FREE)
			continue;
		k = hash_search(known, &entry.dboid, HASH_ENTER, &found);
		if (!found)
			memset((char *) k + sizeof(Oid), 0, sizeof(Known) - sizeof(Oid));
		k->launch = i;
		k->begun_at = now;
	}
}

/* Has the process behind this entry gone? */
static bool
launch_over(Known *k, const FsLaunch *entry, TimestampTz now)
{
	pid_t		pid;

	if (k->handle)
		return GetBackgroundWorkerPid(k->handle, &pid) == BGWH_STOPPED;
	if (entry->state == FS_LAUNCH_REGISTERED)
		return TimestampDifferenceExceeds(k->begun_at, now, ORPHAN_MS);
	return FsLaunchEnded(entry->state) && (entry->pid == 0 || BackendPidGetProc(entry->pid) == NULL);
}

/* Decide what follows on a worker's end. */
static void
after_end(Known *k, FsLaunchState how, TimestampTz now)
{
	int64		lived = TimestampDifferenceMilliseconds(k->begun_at, now);
	bool		asked = k->wanted;	/* since it was started */
	int			count = 0;

	switch (how)
	{
		case FS_LAUNCH_IDLE:
			k->failures = k->brief = 0;
			k->has_us = asked;
			break;
		case FS_LAUNCH_AWAY:
			k->wanted = true;
			k->failures = k->brief = 0;
			break;
		case FS_LAUNCH_LEFT:
			k->wanted = true;
			k->failures = 0;
			k->brief = lived < BRIEF_MS ? k->brief + 1 : 0;
			count = k->brief - BRIEF_MAX;
			break;
		default:
			k->wanted = true;
			k->brief = 0;
			k->failures = lived < SETTLED_MS ? k->failures + 1 : 1;
			count = k->failures;
			break;
	}
	k->retry_at = (asked || count <= 0) ? 0 :
		TimestampTzPlusMilliseconds(now, backoff_ms(count));
}

/*
 * Free the entries of workers that are gone.  Returns how many are starting
 * and worth waiting for; *next is brought forward to when that changes.
 */
static int
reap(TimestampTz now, TimestampTz *next)
{
	HASH_SEQ_STATUS seq;
	Known	   *k;
	int			starting = 0;

	hash_seq_init(&seq, known);
	while ((k = hash_seq_search(&seq)) != NULL)
	{
		FsLaunch	entry;

		if (k->launch == FS_NONE)
			continue;
		FsLockShared();
		entry = fs_launches[k->launch];
		FsUnlock();
		if (entry.state == FS_LAUNCH_SERVING)
			k->has_us = true;
		if (launch_over(k, &entry, now))
		{
			FsLock();
			entry = fs_launches[k->launch];
			fs_launches[k->launch].state = FS_LAUNCH_FREE;
			FsUnlock();
			if (k->handle)
				pfree(k->handle);
			k->handle = NULL;
			k->launch = FS_NONE;
			slot_retry_at = 0;	/* a background worker slot is free again */
			after_end(k, entry.state, now);
			continue;
		}
		if (LaunchStarting(entry.state) &&
			!TimestampDifferenceExceeds(k->begun_at, now, PATIENCE_MS))
		{
			starting++;
			*next = Min(*next, TimestampTzPlusMilliseconds(k->begun_at, PATIENCE_MS));
		}

		/*
		 * Nobody tells us of the end of a process that another launcher
		 * started.
		 */
		if (k->handle == NULL && FsLaunchEnded(entry.state))
			*next = Min(*next, TimestampTzPlusMilliseconds(now, 100));
		else if (k->handle == NULL && entry.state == FS_LAUNCH_REGISTERED)
			*next = Min(*next, TimestampTzPlusMilliseconds(k->begun_at, ORPHAN_MS));
	}
	return starting;
}

/*
 * No slot for a background worker.  Parallel queries use them too, so the first
 * time says little; the second time it is reported, once until one was free.
 * Until then claimers do the due work.  The number named is one that suffices:
 * databases that could not be probed yet count as if they had us.
 */
static void
slot_refused(Known *refused, TimestampTz now)
{
	slot_failures++;
	slot_retry_at = TimestampTzPlusMilliseconds(now, backoff_ms(slot_failures));
	if (slot_failures == 2)
	{
		HASH_SEQ_STATUS seq;
		Known	   *k;
		int			missing = 0;

		hash_seq_init(&seq, known);
		while ((k = hash_seq_search(&seq)) != NULL)
			if (k->wanted && k->listed && k->launch == FS_NONE)
				missing++;
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker is free to be the fairsched scheduler of database \"%s\"",
						NameStr(refused->name)),
				 errdetail("Sessions that claim jobs do its work meanwhile, a bounded part of it in each call."),
				 errhint("Set max_worker_processes to at least %d and restart the server: each database with fairsched needs one.",
						 max_worker_processes + Max(missing, 1))));
	}
}

/* Start a worker in this database; false when that has to wait. */
static bool
launch(Known *k, TimestampTz now)
{
	BackgroundWorker worker;
	MemoryContext old;
	int			entry = FS_NONE;
	bool		done;

	FsLock();
	if (!fs_keepaway_asked(k->dboid))
		for (int i = 0; i < fs->nlaunches && entry == FS_NONE; i++)
			if (fs_launches[i].state == FS_LAUNCH_FREE)
				entry = i;
	if (entry != FS_NONE)
	{
		fs_launches[entry].state = FS_LAUNCH_REGISTERED;
		fs_launches[entry].dboid = k->dboid;
		fs_launches[entry].pid = 0;
	}
	FsUnlock();
	if (entry == FS_NONE)
		return false;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "fairsched", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "fs_worker_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, FS_WORKER_NAME, BGW_MAXLEN);
	strlcpy(worker.bgw_type, FS_WORKER_NAME, BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(k->dboid);
	worker.bgw_notify_pid = MyProcPid;

	old = MemoryContextSwitchTo(launcher_context);
	done = RegisterDynamicBackgroundWorker(&worker, &k->handle);
	MemoryContextSwitchTo(old);
	if (!done)
	{
		k->handle = NULL;
		FsLock();
		fs_launches[entry].state = FS_LAUNCH_FREE;
		FsUnlock();
		slot_refused(k, now);
		return false;
	}
	slot_failures = 0;
	slot_retry_at = 0;
	k->launch = entry;
	k->begun_at = now;
	k->wanted = false;
	return true;
}

/*
 * Start the next worker that is wanted, if any; *next is brought forward to
 * when there may be another.  Databases known to have us go first.
 */
static void
launch_next(TimestampTz now, TimestampTz *next)
{
	HASH_SEQ_STATUS seq;
	Known	   *k;
	Known	   *best = NULL;

	hash_seq_init(&seq, known);
	while ((k = hash_seq_search(&seq)) != NULL)
	{
		bool		away;

		if (!k->wanted || !k->listed || k->launch != FS_NONE)
			continue;
		FsLockShared();
		away = fs_keepaway_asked(k->dboid);
		FsUnlock();
		if (away)
			continue;			/* woken at the end of that */
		if (k->retry_at > now)
			*next = Min(*next, k->retry_at);
		else if (best == NULL || (k->has_us && !best->has_us))
			best = k;
	}
	if (best == NULL)
		return;
	if (slot_retry_at > now)
		*next = Min(*next, slot_retry_at);
	else if (launch(best, now))
		*next = Min(*next, TimestampTzPlusMilliseconds(now, PATIENCE_MS));
	else
		*next = Min(*next, Max(slot_retry_at, TimestampTzPlusMilliseconds(now, RETRY_MIN_MS)));
}

/* fs_launcher_main: the launcher's process.  An error ends it; it is started again in 5 s. */
void
fs_launcher_main(Datum arg)
{
	static uint32 wait_event = 0;
	HASHCTL		ctl;
	MemoryContext scratch;
	uint64		seen = 0;

	fs_worker_signals();
	BackgroundWorkerUnblockSignals();
	before_shmem_exit(launcher_exit, (Datum) 0);
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	fs_worker_settings("fairsched launcher");

	launcher_context = AllocSetContextCreate(TopMemoryContext, "fairsched launcher",
											 ALLOCSET_DEFAULT_SIZES);
	scratch = AllocSetContextCreate(launcher_context, "fairsched launcher round",
									ALLOCSET_SMALL_SIZES);
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(Known);
	ctl.hcxt = launcher_context;
	known = hash_create("fairsched launcher databases", 64, &ctl,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	FsLock();
	fs->launcher_pid = MyProcPid;
	fs->launcher_latch = MyLatch;
	seen = fs->launch_requests;
	fs->nasked = 0;
	FsUnlock();
	adopt_launches();

	for (;;)
	{
		TimestampTz now;
		TimestampTz next;

		ResetLatch(MyLatch);
		fs_worker_interrupts();
		MemoryContextSwitchTo(scratch);
		MemoryContextReset(scratch);

		scan_databases(scratch);
		take_requests(&seen);
		now = GetCurrentTimestamp();
		next = TimestampTzPlusMilliseconds(now, RESCAN_MS);
		if (reap(now, &next) == 0)
			launch_next(now, &next);

		pgstat_report_activity(STATE_IDLE, NULL);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Max(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next), 1),
						 fs_wait_event(&wait_event, "FairschedLauncher"));
	}
}
