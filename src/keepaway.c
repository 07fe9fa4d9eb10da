/*
 * keepaway.c
 *		Keeps our workers out of a database while a statement needs it for itself.
 *
 * DROP DATABASE, ALTER DATABASE ... RENAME and SET TABLESPACE, and CREATE
 * DATABASE of its template, fail while anybody is connected (seen: after 5 s).
 * So a hook in front of them puts the database on the list fs->away until the
 * end of the transaction, and waits until our workers are gone.  To the end of
 * the transaction and not of the statement, because until then a new worker
 * would block on the statement's lock, or find a database that goes away.
 *
 * A worker that only sleeps is woken by its latch and leaves quietly.  One that
 * does not leave soon, being in a long task or waiting for a lock, is sent
 * SIGTERM.  One that is registered but does not run yet has its entry closed,
 * and leaves when it sees that.
 *
 * This happens only for callers who pass the statement's own check of rights:
 * who may not drop a database can't stop its scheduler either.
 *
 * Locking: fs->away and fs_launches under fs->lock.  What a backend holds is
 * kept in the backend, and released by the transaction callbacks (ledger.c),
 * which run for FATAL as well.
 */
#include "postgres.h"

#include <signal.h>

#include "keepaway.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#include "launcher.h"

#define LEAVE_NUDGE_MS		3000	/* after that a worker is sent SIGTERM */
#define LEAVE_DEADLINE_MS	10000	/* after that the statement runs anyway */
#define LEAVE_POLL_MS		5
#define MAX_HELD			8	/* databases one transaction keeps us away
								 * from */

/* What this backend's transaction holds in fs->away, and what it will tell at its end. */
static Oid	held[MAX_HELD];
static int	nheld = 0;
static Oid	dropped = InvalidOid;
static bool catalog_changed = false;

static ProcessUtility_hook_type prev_ProcessUtility = NULL;

bool
fs_keepaway_asked(Oid dboid)
{
	for (int i = 0; i < fs->naway; i++)
		if (fs->away[i].dboid == dboid)
			return true;
	return false;
}

/*
 * Who of us is in this database: true while somebody is.  *pid is one of them
 * that runs; a process that announced its end is in the way until it is gone.
 */
static bool
still_there(Oid dboid, int *pid)
{
	int			ended[4];
	int			nended = 0;
	bool		busy = false;

	*pid = 0;
	FsLockShared();
	for (int i = 0; i < fs->nlaunches; i++)
	{
		const FsLaunch *entry = &fs_launches[i];

		if (entry->state == FS_LAUNCH_FREE || entry->dboid != dboid)
			continue;
		if (!FsLaunchEnded(entry->state))
		{
			busy = true;
			*pid = entry->pid;
		}
		else if (entry->pid != 0 && nended < lengthof(ended))
			ended[nended++] = entry->pid;
	}
	FsUnlock();
	for (int i = 0; i < nended && !busy; i++)
		busy = BackendPidGetProc(ended[i]) != NULL;
	return busy;
}

/* Put a database on the list until the end of the transaction; false when there is no room. */
static bool
hold(Oid dboid)
{
	FsAway	   *away = NULL;

	for (int i = 0; i < nheld; i++)
		if (held[i] == dboid)
			return true;
	if (nheld == MAX_HELD)
		return false;

	FsLock();
	for (int i = 0; i < fs->naway && away == NULL; i++)
		if (fs->away[i].dboid == dboid)
			away = &fs->away[i];
	if (away == NULL && fs->naway < FS_AWAY)
	{
		away = &fs->away[fs->naway++];
		away->dboid = dboid;
		away->holders = 0;
	}
	if (away != NULL)
	{
		away->holders++;
		held[nheld++] = dboid;

		/* One that does not run yet never will; one that sleeps must look. */
		for (int i = 0; i < fs->nlaunches; i++)
			if (fs_launches[i].dboid == dboid && fs_launches[i].state == FS_LAUNCH_REGISTERED)
				fs_launches[i].state = FS_LAUNCH_AWAY;
		for (int i = 0; i < fs_max_databases; i++)
			if (fs_dbs[i].state != FS_DB_FREE && fs_dbs[i].dboid == dboid && fs_dbs[i].worker_latch)
				SetLatch(fs_dbs[i].worker_latch);
	}
	FsUnlock();
	return away != NULL;
}

/*
 * Send our workers away from a database until the end of the transaction, and
 * wait until they are gone.  Gives up after a while: the statement then waits
 * in its own way, and fails with its own message.
 */
static void
keep_away(Oid dboid)
{
	static uint32 wait_event = 0;
	TimestampTz start = GetCurrentTimestamp();
	bool		nudged = false;
	int			pid;

	if (!hold(dboid))
		return;
	while (still_there(dboid, &pid))
	{
		TimestampTz now = GetCurrentTimestamp();

		if (TimestampDifferenceExceeds(start, now, LEAVE_DEADLINE_MS))
			break;
		if (!nudged && pid != 0 && TimestampDifferenceExceeds(start, now, LEAVE_NUDGE_MS))
		{
			/* In the middle of something long, or waiting for a lock. */
			(void) kill(pid, SIGTERM);
			nudged = true;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LEAVE_POLL_MS,
						 fs_wait_event(&wait_event, "FairschedKeepAway"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
fs_keepaway_at_xact_end(bool committed)
{
	if (nheld == 0 && !catalog_changed)
		return;

	FsLock();
	if (committed && OidIsValid(dropped))
		for (int i = 0; i < fs_max_databases; i++)
			if (fs_dbs[i].state != FS_DB_FREE && fs_dbs[i].dboid == dropped)
				fs_dbs[i].state = FS_DB_DEAD;
	for (int h = 0; h < nheld; h++)
		for (int i = 0; i < fs->naway; i++)
			if (fs->away[i].dboid == held[h])
			{
				if (--fs->away[i].holders == 0)
					fs->away[i] = fs->away[--fs->naway];
				break;
			}
	fs_launcher_wake();
	FsUnlock();
	nheld = 0;
	dropped = InvalidOid;
	catalog_changed = false;
}

static bool
may_create_databases(void)
{
	HeapTuple	tuple;
	bool		result = false;

	if (superuser())
		return true;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
		ReleaseSysCache(tuple);
	}
	return result;
}

static bool
is_template(Oid dboid)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dboid));
	bool		result = false;

	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
		ReleaseSysCache(tuple);
	}
	return result;
}

/* The value of an option of CREATE or ALTER DATABASE, or NULL. */
static const char *
option_value(List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = (DefElem *) lfirst(cell);

		if (strcmp(option->defname, name) == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return NULL;
}

/*
 * Which database must be free of our workers for this statement?  InvalidOid
 * when none, or when the statement is going to be refused anyway.
 */
static Oid
database_to_free(Node *stmt, bool toplevel)
{
	const char *name = NULL;
	bool		copy = false;
	bool		own_transaction = true;
	bool		createdb = false;
	Oid			dboid;

	switch (nodeTag(stmt))
	{
		case T_DropdbStmt:
			name = ((DropdbStmt *) stmt)->dbname;
			break;
		case T_RenameStmt:
			if (((RenameStmt *) stmt)->renameType == OBJECT_DATABASE)
				name = ((RenameStmt *) stmt)->subname;
			own_transaction = false;
			createdb = true;
			break;
		case T_AlterDatabaseStmt:
			if (option_value(((AlterDatabaseStmt *) stmt)->options, "tablespace"))
				name = ((AlterDatabaseStmt *) stmt)->dbname;
			break;
		case T_CreatedbStmt:
			name = option_value(((CreatedbStmt *) stmt)->options, "template");
			if (name == NULL)
				name = "template1";
			copy = createdb = true;
			break;
		default:
			break;
	}
	if (name == NULL || (own_transaction && IsInTransactionBlock(toplevel)))
		return InvalidOid;
	if (createdb && !may_create_databases())
		return InvalidOid;
	dboid = get_database_oid(name, true);
	if (!OidIsValid(dboid) || (dboid == MyDatabaseId && !copy))
		return InvalidOid;
	if (!FsOwnsDatabase(dboid) && !(copy && is_template(dboid)))
		return InvalidOid;
	return dboid;
}

static void
keepaway_ProcessUtility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
						ProcessUtilityContext context, ParamListInfo params,
						QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *stmt = pstmt->utilityStmt;
	Oid			dboid = InvalidOid;
	bool		about_databases = IsA(stmt, DropdbStmt) || IsA(stmt, CreatedbStmt) ||
		IsA(stmt, AlterDatabaseStmt) || IsA(stmt, RenameStmt);

	if (about_databases && fs != NULL && IsUnderPostmaster && !RecoveryInProgress())
	{
		dboid = database_to_free(stmt, context == PROCESS_UTILITY_TOPLEVEL);
		if (OidIsValid(dboid))
			keep_away(dboid);
		if (!IsA(stmt, RenameStmt))
			catalog_changed = true;
		if (IsA(stmt, DropdbStmt))
			dropped = dboid;
	}

	if (prev_ProcessUtility)
		prev_ProcessUtility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context, params, queryEnv,
								dest, qc);
}

void
fs_keepaway_install_hooks(void)
{
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	prev_ProcessUtility = ProcessUtility_hook;
	ProcessUtility_hook = keepaway_ProcessUtility;
}
