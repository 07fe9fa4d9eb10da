/*
 * state.c
 *		A database's place in shared memory: found, built before use, given up.
 *
 * A slot belongs to a database and to one CREATE EXTENSION in it.  Its states:
 *
 *	FREE -> EMPTY		first call in a database (fs_state_attach)
 *	EMPTY -> BUILDING	the first verb; everybody else waits on db->built
 *	BUILDING -> READY	rows were read (rebuild.c)
 *	BUILDING -> EMPTY	the builder failed or was terminated
 *	any -> DEAD			DROP EXTENSION committed, or the database was dropped
 *	DEAD -> EMPTY		the slot is swept and used again
 *
 * Nothing that changes jobs starts before READY, so a slot that is being built
 * has no open ledger items.
 */
#include "state.h"

#include "access/parallel.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "access/genam.h"
#include "storage/bufmgr.h"

#include "aging.h"
#include "flows.h"
#include "hints.h"
#include "lease.h"
#include "claimlog.h"
#include "inbox.h"
#include "ledger.h"
#include "park.h"
#include "placement.h"
#include "rebuild.h"
#include "softclaim.h"
#include "stats.h"
#include "tables.h"
#include "wait.h"

int32		fs_my_db = FS_NONE;
bool		fs_own_changes = false;

static FsCatalog catalog;
static bool catalog_valid = false;

/* Who called, for each block that is open: what runs in one may open another. */
static struct
{
	Oid			user;
	int			context;
	int			level;			/* of the subtransaction */
	int			guc_level;		/* of the search path */
}			callers[4];
static int	spi_depth = 0;

static int32 building = FS_NONE;	/* slot that this backend builds */
static int32 filling_flow = FS_NONE;
static int32 filling_db;
static FsReading reading = FS_READING_NONE;
static int32 reading_db;

/* ---------- catalog ---------- */

static void
catalog_invalidate(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == catalog.jobs)
		catalog_valid = false;
}

Oid
fs_catalog_jobs(void)
{
	return catalog.jobs;
}

static Oid
need_relation(const char *name)
{
	Oid			relid = get_relname_relid(name, catalog.nsp);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_FS_NOT_INSTALLED),
				 errmsg("relation \"fairsched.%s\" does not exist", name),
				 errhint("Run CREATE EXTENSION fairsched in this database.")));
	return relid;
}

static Oid
relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

const FsCatalog *
fs_catalog(void)
{
	static bool registered = false;

	if (!fs_preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_FS_NOT_PRELOADED),
				 errmsg("fairsched must be loaded via \"shared_preload_libraries\""),
				 errhint("Add shared_preload_libraries = 'fairsched' to postgresql.conf and restart the server.")));
	if (!registered)
	{
		CacheRegisterRelcacheCallback(catalog_invalidate, (Datum) 0);
		registered = true;
	}
	if (catalog_valid)
		return &catalog;

	AcceptInvalidationMessages();
	catalog.extension = get_extension_oid("fairsched", true);
	catalog.nsp = get_namespace_oid("fairsched", true);
	if (!OidIsValid(catalog.extension) || !OidIsValid(catalog.nsp))
		ereport(ERROR,
				(errcode(ERRCODE_FS_NOT_INSTALLED),
				 errmsg("extension \"fairsched\" is not installed in this database"),
				 errhint("Run CREATE EXTENSION fairsched.")));
	catalog.jobs = need_relation("jobs");
	catalog.claim_log[0] = need_relation("claim_log_0");
	catalog.claim_log[1] = need_relation("claim_log_1");
	catalog.job_seq = need_relation("job_seq");
	catalog.position_seq = need_relation("position_seq");
	catalog.token_seq = need_relation("token_seq");

	/*
	 * not by opening it: a partition that is being dropped holds it
	 * exclusively
	 */
	catalog.owner = relation_owner(catalog.jobs);
	catalog_valid = true;
	return &catalog;
}

/* ---------- slots ---------- */

FsDatabase *
fs_state_attach(void)
{
	const FsCatalog *c = fs_catalog();
	int32		free_slot = FS_NONE;
	int32		found = FS_NONE;

	if (fs_my_db != FS_NONE && fs_dbs[fs_my_db].dboid == MyDatabaseId &&
		fs_dbs[fs_my_db].extoid == c->extension && fs_dbs[fs_my_db].state != FS_DB_DEAD)
		return &fs_dbs[fs_my_db];

	FsLock();
	for (int i = 0; i < fs_max_databases; i++)
	{
		FsDatabase *d = &fs_dbs[i];

		if (d->state == FS_DB_FREE || d->state == FS_DB_DEAD)
		{
			if (free_slot == FS_NONE || d->state == FS_DB_FREE)
				free_slot = i;
			continue;
		}
		if (d->dboid == MyDatabaseId && d->extoid == c->extension)
			found = i;
	}
	if (found == FS_NONE && free_slot != FS_NONE)
	{
		FsDatabase *d = &fs_dbs[free_slot];

		if (d->state == FS_DB_DEAD)
		{
			for (int i = 0; i < fs->leases.capacity; i++)
				if (fs_leases[i].db == free_slot)
					fs_lease_free(i);
			fs_sched_sweep(free_slot);
		}
		if (fs->counting_db == free_slot)
			fs->counting_db = FS_NONE;
		fs_claim_log_forget(free_slot);
		memset(d, 0, sizeof(FsDatabase));
		ConditionVariableInit(&d->built);
		ConditionVariableInit(&d->filled);
		d->state = FS_DB_EMPTY;
		d->dboid = MyDatabaseId;
		d->extoid = c->extension;
		d->lanes = d->capped = FS_NONE;
		d->wake_root = RINGHEAP_NONE;
		d->next_due = d->next_expiry = d->slots_until = d->notify_due = DT_NOEND;
		d->preempt_due = 0;
		d->room_rings = FS_NONE;
		d->room_gen = 1;
		d->capacity[FS_RES_CPU] = d->capacity[FS_RES_MEMORY] = d->capacity[FS_RES_GPU] = -1;
		d->claim_log_limit = FS_CLAIM_LOG_ROWS;
		d->default_quota = fs_default_quota;
		d->enterprise_quota = fs_enterprise_quota;
		d->workspace_share = fs_max_workspace_share;
		fs_stats_reset(free_slot, GetCurrentTimestamp());
		d->signal_gen = 1;
		found = free_slot;
	}
	FsUnlock();
	if (found == FS_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_FS_CAPACITY),
				 errmsg("too many databases use fairsched"),
				 errhint("Increase fairsched.max_databases (now %d) and restart the server.",
						 fs_max_databases)));
	fs_my_db = found;
	return &fs_dbs[found];
}

FsDatabase *
fs_state_peek(void)
{
	FsDatabase *d = fs_state_attach();

	return d->state == FS_DB_READY ? d : NULL;
}

/* Settings of the configuration file: the newest one read by any process holds. */
static void
take_over_quotas(FsDatabase *d)
{
	if (d->default_quota == fs_default_quota && d->enterprise_quota == fs_enterprise_quota &&
		d->workspace_share == fs_max_workspace_share)
		return;
	FsLock();
	if (PgReloadTime >= d->quotas_at)
	{
		d->quotas_at = PgReloadTime;
		fs_sched_set_quotas(d, fs_default_quota, fs_enterprise_quota, fs_max_workspace_share);
	}
	FsUnlock();
}

/* As PostgreSQL's Prevent… functions, with hints. */
static void
refuse_where_nothing_can_change(const char *command)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot execute %s during recovery", command),
				 errhint("Call it on the primary; a standby serves once it is promoted.")));
	if (XactReadOnly)
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot execute %s in a read-only transaction", command),
				 errhint("Use BEGIN READ WRITE; default_transaction_read_only may be on.")));
	PreventCommandIfParallelMode(command);
}

FsDatabase *
fs_state_ready(const char *command)
{
	static uint32 wait_event = 0;
	FsDatabase *d;

	fs_catalog();
	refuse_where_nothing_can_change(command);
	fs_inbox_settle();
	d = fs_state_attach();
	while (d->state != FS_DB_READY)
	{
		bool		build = false;
		bool		dead = false;

		FsLock();
		if (d->state == FS_DB_EMPTY)
		{
			d->state = FS_DB_BUILDING;
			d->builder = MyProcPid;
			build = true;
			building = FsDbIndex(d);
		}
		else if (d->state == FS_DB_DEAD || d->state == FS_DB_FREE)
			dead = true;
		FsUnlock();
		if (dead)
		{
			fs_my_db = FS_NONE;
			d = fs_state_attach();
			continue;
		}
		if (build)
		{
			fs_rebuild(d);
			FsLock();
			d->state = FS_DB_READY;
			d->rebuilds++;
			d->rebuilt_at = GetCurrentTimestamp();
			building = FS_NONE;
			FsUnlock();
			ConditionVariableBroadcast(&d->built);
			break;
		}
		ConditionVariablePrepareToSleep(&d->built);
		if (d->state == FS_DB_BUILDING)
			(void) ConditionVariableTimedSleep(&d->built, 1000, fs_wait_event(&wait_event, "FairschedBuild"));
		ConditionVariableCancelSleep();
		CHECK_FOR_INTERRUPTS();
	}
	take_over_quotas(d);
	if (d->tiers_stale)
		fs_rebuild_settings(d);
	if (d->rescan)
		fs_rebuild_rescan(d);
	else if (fs_tables_changed() || d->adopting)
		fs_rebuild_adopt(d);
	if (fs_placements[fs_my_db].misplaced > 0)
		fs_placement_retry(d);
	if (GetCurrentStatementStartTimestamp() > d->slots_until)
	{
		TimestampTz now = GetCurrentTimestamp();

		FsLock();
		fs_sched_refresh_slots(d, now);
		FsUnlock();
	}
	return d;
}

/* fs_state_filling: remember that this backend scans for a flow's candidates. */
void
fs_state_filling(int32 flow)
{
	filling_flow = flow;
	filling_db = fs_my_db;
}

/* fs_state_reading: remember what this backend reads; FS_READING_NONE when done. */
void
fs_state_reading(FsReading what)
{
	reading = what;
	reading_db = fs_my_db;
}

/* fs_state_abort_cleanup: from the abort callbacks, before items are undone. */
void
fs_state_abort_cleanup(void)
{
	/*
	 * blocks of the subtransaction that is undone, or all; the server resets
	 * the user
	 */
	while (spi_depth > 0 && callers[spi_depth - 1].level >= GetCurrentTransactionNestLevel())
		spi_depth--;
	fs_own_changes = false;
	if (building != FS_NONE)
	{
		FsDatabase *d = &fs_dbs[building];

		FsLock();
		if (d->state == FS_DB_BUILDING)
			fs_rebuild_discard(d);
		building = FS_NONE;
		FsUnlock();
		ConditionVariableBroadcast(&d->built);
	}
	if (reading != FS_READING_NONE)
	{
		FsLock();
		if (reading == FS_READING_RESCAN)
			fs_dbs[reading_db].rescan = true;
		else if (reading == FS_READING_SETTINGS)
			fs_dbs[reading_db].tiers_stale = true;
		else if (reading == FS_READING_ADOPT)
			fs_dbs[reading_db].adopting = true;
		else if (fs->counting_db == reading_db)
			fs->counting_db = FS_NONE;
		FsUnlock();
		reading = FS_READING_NONE;
	}
	if (filling_flow != FS_NONE)
	{
		FsLock();
		fs_sched_fill_abandoned(filling_flow);
		FsUnlock();
		filling_flow = FS_NONE;
		ConditionVariableBroadcast(&fs_dbs[filling_db].filled);
	}
	fs_soft_abort();
	fs_wait_cleanup();
}

/* ---------- SPI as the owner ---------- */

/*
 * fs_safe_search_path: names and operators mean what they should, whatever the
 * session says, until AtEOXact_GUC of the level that is returned.  Without it
 * whoever calls us could have functions of his own run as somebody else.
 */
int
fs_safe_search_path(void)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

void
fs_spi_begin(void)
{
	Oid			owner = fs_catalog()->owner;

	if (spi_depth == lengthof(callers))
		elog(ERROR, "too many nested SPI blocks");
	GetUserIdAndSecContext(&callers[spi_depth].user, &callers[spi_depth].context);
	SetUserIdAndSecContext(owner, callers[spi_depth].context |
						   SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	callers[spi_depth].guc_level = fs_safe_search_path();
	callers[spi_depth++].level = GetCurrentTransactionNestLevel();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
fs_spi_end(void)
{
	SPI_finish();
	spi_depth--;
	AtEOXact_GUC(true, callers[spi_depth].guc_level);
	SetUserIdAndSecContext(callers[spi_depth].user, callers[spi_depth].context);
}

/*
 * fs_spi: run one statement between fs_spi_begin and fs_spi_end, seeing all
 * that is committed now whatever the isolation level.  Returns the rows
 * processed; results are in SPI_tuptable.
 */
uint64
fs_spi(const char *sql, int nargs, const Oid *types, const Datum *values, const char *nulls)
{
	SPIPlanPtr	plan = SPI_prepare(sql, nargs, (Oid *) types);
	int			rc;

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	rc = SPI_execute_snapshot(plan, (Datum *) values, nulls, GetLatestSnapshot(),
							  InvalidSnapshot, false, true, 0);
	if (rc < 0)
		elog(ERROR, "SPI_execute_snapshot failed: %s", SPI_result_code_string(rc));
	return SPI_processed;
}

/* ---------- counters ---------- */

static int64 *
next_number(FsDatabase *d, FsCounter which)
{
	return which == FS_COUNTER_JOB ? &d->next_job :
		which == FS_COUNTER_POSITION ? &d->next_position : &d->next_token;
}

/*
 * What a sequence has logged goes to disk.  For numbers that somebody may rely on
 * without a commit that would flush more than this: tokens of soft claims.
 */
static void
flush_sequence(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	Buffer		buf = ReadBuffer(rel, 0);
	XLogRecPtr	lsn;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	lsn = BufferGetLSNAtomic(buf);
	UnlockReleaseBuffer(buf);
	relation_close(rel, NoLock);
	XLogFlush(lsn);
}

/*
 * fs_state_numbers: the first of n consecutive numbers.  They come from blocks
 * that a sequence reserved beforehand, so they never repeat after a crash, and
 * a dump's sequences are ahead of all numbers in use.  May draw a block.
 */
int64
fs_state_numbers(FsDatabase *d, FsCounter which, int n)
{
	const FsCatalog *c = fs_catalog();
	Oid			seq = which == FS_COUNTER_JOB ? c->job_seq :
		which == FS_COUNTER_POSITION ? c->position_seq : c->token_seq;
	int64	   *next = next_number(d, which);
	int64	   *limit = which == FS_COUNTER_JOB ? &d->job_limit :
		which == FS_COUNTER_POSITION ? &d->position_limit : &d->token_limit;
	int			block = which == FS_COUNTER_JOB ? 8192 : 65536;
	int64		first = 0;
	TimestampTz now = which == FS_COUNTER_POSITION ? GetCurrentTimestamp() : 0;

	Assert(n > 0 && n <= block);
	for (;;)
	{
		int64		start;

		FsLock();
		if (*next > 0 && *next + n <= *limit)
		{
			first = *next;
			*next += n;
			if (which == FS_COUNTER_POSITION)
				fs_aging_given(d, FsPosition(first, 0), FsPosition(first + n, 0), now);
		}
		FsUnlock();
		if (first > 0)
			return first;

		start = nextval_internal(seq, false);
		if (which == FS_COUNTER_TOKEN)
			flush_sequence(seq);
		FsLock();
		if (start >= *limit)
		{
			*next = start;
			*limit = start + block;
		}
		FsUnlock();
		CHECK_FOR_INTERRUPTS();
	}
}

/* fs_state_numbers_unused: from … to - 1 were drawn in vain; the next one may have them. */
void
fs_state_numbers_unused(FsDatabase *d, FsCounter which, int64 from, int64 to)
{
	int64	   *next = next_number(d, which);

	FsLock();
	if (*next == to)
		*next = from;
	FsUnlock();
}

/* ---------- snapshots ---------- */

void
fs_push_snapshot(void)
{
	CommandCounterIncrement();	/* what this statement changed so far is to be
								 * seen too */
	PushActiveSnapshot(GetLatestSnapshot());
}

void
fs_pop_snapshot(void)
{
	PopActiveSnapshot();
}
