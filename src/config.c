/*
 * config.c
 *		Settings of workspaces, tiers and kinds, from their tables.
 *
 * A workspace's settings are in memory once it has been seen; a change of them
 * is applied by the ledger at the commit that made it.  Loading races with
 * such a commit: db->settings_gen tells whether one was applied since, and the
 * loader reads again.
 */
#include "config.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "flows.h"
#include "placement.h"

/* Columns of fairsched.workspaces (sql/parts/10_schema.sql). */
enum
{
	WS_NAME = 1, WS_TIER, WS_QUOTA_CLASS, WS_MAX_RUNNING, WS_MAX_QUEUE, WS_JOB_TABLE, WS_PAUSED
};

static int
tier_by_name(FsDatabase *db, const char *name)
{
	for (int i = 0; i < db->ntiers; i++)
		if (strcmp(db->tiers[i].name, name) == 0)
			return i;
	return 0;
}

void
fs_settings_read(FsDatabase *db, const char *workspace, FsWorkspaceSettings *set)
{
	Relation	rel = table_open(get_relname_relid("workspaces", fs_catalog()->nsp), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	Snapshot	snapshot;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char		tier[64] = "starter";
	bool		isnull;
	Oid			index;

	memset(set, 0, sizeof(FsWorkspaceSettings));
	set->max_running = -1;
	set->max_queue_size = -1;
	(void) RelationGetIndexList(rel);	/* fills rd_pkindex */
	index = rel->rd_pkindex;
	ScanKeyEntryInitialize(&key, 0, WS_NAME, BTEqualStrategyNumber, InvalidOid,
						   TupleDescAttr(desc, WS_NAME - 1)->attcollation, F_TEXTEQ,
						   CStringGetTextDatum(workspace));
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = systable_beginscan(rel, index, OidIsValid(index), snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Datum		d;

		set->has_row = true;
		strlcpy(tier, TextDatumGetCString(heap_getattr(tuple, WS_TIER, desc, &isnull)), sizeof(tier));
		d = heap_getattr(tuple, WS_QUOTA_CLASS, desc, &isnull);
		set->quota_class = *VARDATA_ANY(DatumGetTextPP(d)) == 'e' ? FS_QUOTA_ENTERPRISE : FS_QUOTA_DEFAULT;
		d = heap_getattr(tuple, WS_MAX_RUNNING, desc, &isnull);
		if (!isnull)
			set->max_running = DatumGetInt32(d);
		d = heap_getattr(tuple, WS_MAX_QUEUE, desc, &isnull);
		if (!isnull)
			set->max_queue_size = DatumGetInt64(d);
		set->job_table = DatumGetInt32(heap_getattr(tuple, WS_JOB_TABLE, desc, &isnull));
		set->paused = DatumGetBool(heap_getattr(tuple, WS_PAUSED, desc, &isnull));
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);

	FsLockShared();
	set->tier_id = tier_by_name(db, tier);
	set->quantum = db->tiers[set->tier_id].quantum;
	set->weight = db->tiers[set->tier_id].weight;
	FsUnlock();
}

int32
fs_workspace_lock(FsDatabase *db, const char *workspace)
{
	int32		w;

	FsLock();
	w = fs_sched_workspace_find(FsDbIndex(db), workspace);
	while (w == FS_NONE)
	{
		uint64		gen = db->settings_gen;
		bool		placed = fs_placements[FsDbIndex(db)].any;
		FsWorkspaceSettings set;
		FsHolderNames names;
		int32		holders;

		FsUnlock();
		fs_settings_read(db, workspace, &set);
		names.n = -1;
		if (placed)
			fs_placement_read(FS_CHAIN_WORKSPACE, workspace, &names);
		FsLock();
		w = fs_sched_workspace_find(FsDbIndex(db), workspace);
		if (w != FS_NONE || gen != db->settings_gen)
			continue;
		holders = fs_holders_of(FsDbIndex(db), &names);
		if (holders == FS_HOLDERS_FULL)
		{
			FsUnlock();
			fs_placement_no_room();
		}
		w = fs_sched_workspace_add(FsDbIndex(db), workspace, &set);
		if (w != FS_NONE)
			fs_workspaces[w].holders = holders;
		else
		{
			fs_holders_unref(holders);
			FsUnlock();
			ereport(ERROR,
					(errcode(ERRCODE_FS_CAPACITY),
					 errmsg("too many workspaces have jobs"),
					 errhint("Increase fairsched.max_workspaces (now %d) and restart the server.",
							 fs_max_workspaces)));
		}
	}
	return w;
}

void
fs_tiers_load(FsDatabase *db)
{
	FsTier		tiers[FS_MAX_TIERS];
	int			n;

	memset(tiers, 0, sizeof(tiers));
	fs_spi_begin();
	n = (int) fs_spi("SELECT tier, weight, quantum FROM fairsched.tiers "
					 "ORDER BY tier OPERATOR(pg_catalog.<>) 'starter', tier", 0, NULL, NULL, NULL);
	if (n > FS_MAX_TIERS)
		ereport(ERROR,
				(errcode(ERRCODE_FS_CAPACITY),
				 errmsg("fairsched.tiers has too many rows"),
				 errhint("At most %d tiers are possible; delete some.", FS_MAX_TIERS)));
	for (int i = 0; i < n; i++)
	{
		HeapTuple	t = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		strlcpy(tiers[i].name, SPI_getvalue(t, desc, 1), sizeof(tiers[i].name));
		tiers[i].weight = DatumGetFloat8(SPI_getbinval(t, desc, 2, &isnull));
		tiers[i].quantum = DatumGetInt32(SPI_getbinval(t, desc, 3, &isnull));
	}
	if (n == 0)
	{
		strlcpy(tiers[0].name, "starter", sizeof(tiers[0].name));
		tiers[0].weight = 1.0;
		tiers[0].quantum = 20;
		n = 1;
	}
	fs_spi_end();
	FsLock();
	memcpy(db->tiers, tiers, sizeof(tiers));
	db->ntiers = n;
	FsUnlock();
}

/* ---------- costs of kinds ---------- */

typedef struct FsKind
{
	char		kind[FS_NAME_LEN + 1];
	int			cost;			/* 0: length of an array in the payload */
	char		items_key[FS_NAME_LEN + 1];
	Jsonb	   *resources;		/* NULL: none */
} FsKind;

static FsKind *kinds = NULL;
static int	nkinds = 0;
static bool kinds_valid = false;
static uint64 kinds_read = 0;
static bool kinds_changed = false;	/* while they were read */
static Oid	kinds_relid = InvalidOid;

static void
kinds_invalidate(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == kinds_relid)
	{
		kinds_valid = false;
		kinds_changed = true;
	}
}

void
fs_config_init(void)
{
	CacheRegisterRelcacheCallback(kinds_invalidate, (Datum) 0);
}

static void
load_kinds(void)
{
	int			n;

	kinds_relid = get_relname_relid("job_kinds", fs_catalog()->nsp);
	kinds_changed = false;
	fs_spi_begin();
	n = (int) fs_spi("SELECT kind, cost, items_key, resources FROM fairsched.job_kinds", 0, NULL, NULL, NULL);
	for (int i = 0; i < nkinds; i++)
		if (kinds[i].resources)
			pfree(kinds[i].resources);
	if (kinds)
		pfree(kinds);
	kinds = NULL;
	nkinds = 0;
	kinds = MemoryContextAllocZero(TopMemoryContext, sizeof(FsKind) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		resources;
		HeapTuple	t = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		char	   *cost = SPI_getvalue(t, desc, 2);
		char	   *key = SPI_getvalue(t, desc, 3);

		strlcpy(kinds[i].kind, SPI_getvalue(t, desc, 1), sizeof(kinds[i].kind));
		kinds[i].cost = cost ? atoi(cost) : 0;
		strlcpy(kinds[i].items_key, key ? key : "", sizeof(kinds[i].items_key));
		resources = SPI_getbinval(t, desc, 4, &isnull);
		if (!isnull)
		{
			Jsonb	   *jb = DatumGetJsonbP(resources);

			kinds[i].resources = MemoryContextAlloc(TopMemoryContext, VARSIZE(jb));
			memcpy(kinds[i].resources, jb, VARSIZE(jb));
		}
		nkinds = i + 1;
	}
	fs_spi_end();
	kinds_valid = !kinds_changed;	/* only now: an error leaves them to be
									 * read again */
	kinds_read++;
}

/* fs_kinds_read: grows whenever kinds are read anew. */
uint64
fs_kinds_read(void)
{
	if (!kinds_valid)
		load_kinds();
	return kinds_read;
}

Datum
fs_kind_resources(const char *kind)
{
	if (!kinds_valid)
		load_kinds();
	for (int i = 0; i < nkinds; i++)
		if (strcmp(kinds[i].kind, kind) == 0)
			return PointerGetDatum(kinds[i].resources);
	return (Datum) 0;
}

int
fs_kind_cost(const char *kind, Datum payload)
{
	if (!kinds_valid)
		load_kinds();
	for (int i = 0; i < nkinds; i++)
	{
		Jsonb	   *jb;
		JsonbValue *v;
		int			n = 1;

		if (strcmp(kinds[i].kind, kind) != 0)
			continue;
		if (kinds[i].cost > 0)
			return kinds[i].cost;
		jb = DatumGetJsonbP(payload);
		if (JB_ROOT_IS_OBJECT(jb))
		{
			v = getKeyJsonValueFromContainer(&jb->root, kinds[i].items_key,
											 strlen(kinds[i].items_key), NULL);
			if (v && v->type == jbvBinary && JsonContainerIsArray(v->val.binary.data))
				n = JsonContainerSize(v->val.binary.data);
			else if (v && v->type == jbvArray)
				n = v->val.array.nElems;
		}
		return Max(n, 1);
	}
	return 1;
}
