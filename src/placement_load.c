/*
 * placement_load.c
 *		Placements from their tables, and rows of these that change.
 *
 * Nodes that drain and lanes that are placed are loaded at a rebuild; the
 * placement of a workspace when memory learns of it (fs_workspace_lock), like
 * its settings.  Both race with commits that change rows: db->settings_gen
 * tells whether one was applied since, and the reader reads again.
 *
 * A row that changes locks the row of its chain, then reads what the chain is
 * now, and leaves that to the ledger: so the changes of a chain are applied in
 * the order of their commits, whoever makes them, and the last has all of it.
 * Where there is no such row, or it is new and others do not see it, one
 * advisory lock stands for it: rows of the two tables may come in transactions
 * of their own (a restore).
 *
 * All functions run in a transaction, without fs->lock.
 */
#include "placement.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "flows.h"
#include "ledger.h"
#include "text.h"

PG_FUNCTION_INFO_V1(fs_placement_changed);
PG_FUNCTION_INFO_V1(fs_node_changed);
PG_FUNCTION_INFO_V1(fs_placement_truncated);
PG_FUNCTION_INFO_V1(fs_placement_marks);
PG_FUNCTION_INFO_V1(fs_forget_placement_marks);

/* Columns of the tables (sql/parts/80_placement.sql). */
enum
{
	CHAIN_KIND = 1, CHAIN_NAME, CHAIN_DESIRED
};
enum
{
	PLACE_KIND = 1, PLACE_CHAIN, PLACE_NODE, PLACE_SINCE, PLACE_PINNED, PLACE_STATE
};
enum
{
	NODE_NAME = 1, NODE_LABELS, NODE_DRAINING
};

/* ---------- reading ---------- */

/* The rows of a chain in one of the two tables, whose keys begin alike. */
static SysScanDesc
chain_scan(Relation rel, FsChainKind kind, const char *name, Snapshot snapshot)
{
	ScanKeyData keys[2];
	TupleDesc	desc = RelationGetDescr(rel);

	(void) RelationGetIndexList(rel);	/* fills rd_pkindex */
	ScanKeyEntryInitialize(&keys[0], 0, CHAIN_KIND, BTEqualStrategyNumber, InvalidOid,
						   TupleDescAttr(desc, CHAIN_KIND - 1)->attcollation, F_TEXTEQ,
						   CStringGetTextDatum(FsChainKindNames[kind]));
	ScanKeyEntryInitialize(&keys[1], 0, CHAIN_NAME, BTEqualStrategyNumber, InvalidOid,
						   TupleDescAttr(desc, CHAIN_NAME - 1)->attcollation, F_TEXTEQ,
						   CStringGetTextDatum(name));
	return systable_beginscan(rel, rel->rd_pkindex, OidIsValid(rel->rd_pkindex), snapshot, 2, keys);
}

static Relation
open_table(const char *name)
{
	return table_open(get_relname_relid(name, fs_catalog()->nsp), AccessShareLock);
}

/* fs_placement_read: which nodes hold the chain, by its rows as they are now. */
void
fs_placement_read(FsChainKind kind, const char *name, FsHolderNames *names)
{
	Relation	chains;
	Relation	rel;
	Snapshot	snapshot;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		isnull;

	names->n = -1;
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	chains = open_table("placement_chains");
	scan = chain_scan(chains, kind, name, snapshot);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple) &&
		DatumGetInt32(heap_getattr(tuple, CHAIN_DESIRED, RelationGetDescr(chains), &isnull)) > 0)
		names->n = 0;
	systable_endscan(scan);
	table_close(chains, NoLock);
	if (names->n == 0)
	{
		rel = open_table("placements");
		scan = chain_scan(rel, kind, name, snapshot);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			TupleDesc	desc = RelationGetDescr(rel);
			Datum		state = heap_getattr(tuple, PLACE_STATE, desc, &isnull);

			if (*VARDATA_ANY(DatumGetTextPP(state)) != 'h')
				continue;
			if (names->n == FS_MAX_HOLDERS)
				ereport(ERROR,
						(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						 errmsg("more than %d nodes hold %s \"%s\"", FS_MAX_HOLDERS, FsChainKindNames[kind], name),
						 errhint("Delete rows of it from fairsched.placements.")));
			strlcpy(names->name[names->n++],
					TextDatumGetCString(heap_getattr(tuple, PLACE_NODE, desc, &isnull)), FS_NAME_LEN + 1);
		}
		systable_endscan(scan);
		table_close(rel, NoLock);
	}
	UnregisterSnapshot(snapshot);
}

/* fs_placement_no_room: raises. */
void
fs_placement_no_room(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_FS_CAPACITY),
			 errmsg("too many combinations of lanes, capabilities and nodes of placements"),
			 errhint("Place more workspaces on the same nodes, or increase fairsched.max_rings (now %d) or fairsched.max_workers (now %d) and restart the server.",
					 fs_max_rings, fs_max_workers)));
}

/* Take over what rows say of a lane, unless its placement was changed since `gen`. */
static bool
load_lane(FsDatabase *db, const char *name, const FsHolderNames *names, uint64 gen)
{
	int32		lane = FS_NONE;
	int32		set = FS_HOLDERS_FULL;
	bool		same;

	FsLock();
	same = gen == db->settings_gen;
	if (same)
	{
		lane = fs_sched_lane_get(FsDbIndex(db), name);
		set = fs_holders_of(FsDbIndex(db), names);
		if (lane != FS_NONE && set != FS_HOLDERS_FULL)
		{
			fs_holders_unref(fs_lanes[lane].holders);
			fs_lanes[lane].holders = set;
			db->rings_gen++;
		}
	}
	FsUnlock();
	if (same && (lane == FS_NONE || set == FS_HOLDERS_FULL))
		fs_placement_no_room();
	return same;
}

/* The names in the first column of a query's rows. */
static char **
names_of(const char *sql, int *n)
{
	MemoryContext mine = CurrentMemoryContext;
	char	  **names;

	fs_spi_begin();
	*n = (int) fs_spi(sql, 0, NULL, NULL, NULL);
	names = MemoryContextAlloc(mine, sizeof(char *) * (*n + 1));
	for (int i = 0; i < *n; i++)
		names[i] = MemoryContextStrdup(mine, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	fs_spi_end();
	return names;
}

/* fs_placement_load: at a rebuild, before workers and flows. */
void
fs_placement_load(FsDatabase *db)
{
	int32		slot = FsDbIndex(db);
	FsHolderNames *holders = palloc(sizeof(FsHolderNames));
	uint64		gen;
	char	  **names;
	int			n;
	bool		same;
	bool		full = false;

	FsLock();
	memset(&fs_placements[slot], 0, sizeof(FsPlacement));
	fs_placements[slot].marks.first = true;
	FsUnlock();
	do
	{
		gen = db->settings_gen;
		names = names_of("SELECT node FROM fairsched.nodes WHERE draining", &n);
		FsLock();
		same = gen == db->settings_gen;
		for (int i = 0; i < n && same && !full; i++)
		{
			int32		node = fs_place_node_get(slot, names[i]);

			full = node == FS_NONE;
			if (!full)
			{
				fs_place_nodes[node].draining = true;
				fs_place_node_unref(node);
			}
		}
		FsUnlock();
		if (full)
			fs_placement_no_room();
	} while (!same);
	(void) names_of("SELECT chain FROM fairsched.placement_chains LIMIT 1", &n);
	if (n > 0)
		fs_placements[slot].any = true;
	names = names_of("SELECT chain FROM fairsched.placement_chains WHERE chain_kind = 'lane' AND desired > 0", &n);
	for (int i = 0; i < n; i++)
		do
		{
			gen = db->settings_gen;
			fs_placement_read(FS_CHAIN_LANE, names[i], holders);
		} while (!load_lane(db, names[i], holders, gen));
	pfree(holders);
}

/* fs_placement_retry: workspaces whose rings there was no room for; at most once a second. */
void
fs_placement_retry(FsDatabase *db)
{
	FsPlacement *p = &fs_placements[FsDbIndex(db)];
	TimestampTz now = GetCurrentTimestamp();

	FsLock();
	if (p->misplaced > 0 && p->replaced_at + USECS_PER_SEC <= now)
	{
		p->replaced_at = now;
		for (int w = 0; w < fs->workspaces.capacity; w++)
			if (fs_workspaces[w].db == FsDbIndex(db) && fs_workspaces[w].misplaced)
				fs_placement_move(w, fs_workspaces[w].holders);
	}
	FsUnlock();
}

/* ---------- rows that change ---------- */

static void
check_trigger(FunctionCallInfo fcinfo, const char *name)
{
	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(((TriggerData *) fcinfo->context)->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(((TriggerData *) fcinfo->context)->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("fairsched.%s() must be called as an AFTER ROW trigger", name)));
}

static FsPlacementChange *
new_change(FsChainKind kind, const char *name)
{
	FsPlacementChange *change = MemoryContextAllocZero(TopTransactionContext, sizeof(FsPlacementChange));

	fs_ledger_reserve(1);
	change->kind = kind;
	strlcpy(change->name, name, sizeof(change->name));
	change->holders = change->node = FS_NONE;
	return change;
}

static char *
column(HeapTuple tuple, int n, TupleDesc desc)
{
	bool		isnull;

	return TextDatumGetCString(heap_getattr(tuple, n, desc, &isnull));
}

/* Nobody else changes the chain until the end of the transaction; what was committed is seen by who looks now. */
static void
lock_chain(FsChainKind kind, const char *name, bool fresh)
{
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		args[2];
	LOCKTAG		tag;
	uint64		n = 0;

	args[0] = CStringGetTextDatum(FsChainKindNames[kind]);
	args[1] = CStringGetTextDatum(name);
	/* class 7 of advisory locks: SQL functions use 1 and 2 */
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, 7);
	if (fresh)
		(void) LockAcquire(&tag, ExclusiveLock, false, false);
	for (int i = 0; i < 2 && n == 0; i++)
	{
		fs_spi_begin();
		n = fs_spi("SELECT FROM fairsched.placement_chains WHERE chain_kind = $1 AND chain = $2 FOR NO KEY UPDATE",
				   2, types, args, NULL);
		fs_spi_end();
		if (n == 0 && i == 0)
			(void) LockAcquire(&tag, ExclusiveLock, false, false);
	}
}

/* A row of the chain was changed: memory has, from commit on, what its rows say now. fresh: its first row. */
static void
chain_changed(FsDatabase *db, const char *kind_name, const char *name, bool fresh)
{
	FsChainKind kind = *kind_name == 'w' ? FS_CHAIN_WORKSPACE : FS_CHAIN_LANE;
	FsHolderNames *names = palloc(sizeof(FsHolderNames));
	FsPlacementChange *change = new_change(kind, name);
	int32		lane = 0;
	bool		fits = true;

	lock_chain(kind, name, fresh);
	fs_placement_read(kind, name, names);

	FsLock();
	fs_placements[FsDbIndex(db)].any = true;
	change->holders = fs_holders_of(FsDbIndex(db), names);
	if (kind == FS_CHAIN_LANE && names->n >= 0 && change->holders != FS_HOLDERS_FULL)
		lane = fs_sched_lane_get(FsDbIndex(db), name);
	if (change->holders != FS_HOLDERS_FULL)
	{
		int32		w = kind == FS_CHAIN_WORKSPACE ? fs_sched_workspace_find(FsDbIndex(db), name) : FS_NONE;

		fs_ledger_placement(change);
		fits = w == FS_NONE || change->holders == FS_NONE || fs_placement_fits(w, change->holders);
	}
	FsUnlock();
	if (change->holders == FS_HOLDERS_FULL || lane == FS_NONE || !fits)
		fs_placement_no_room();
	pfree(names);
}

/* Trigger of placement_chains and placements, after each row. */
Datum
fs_placement_changed(PG_FUNCTION_ARGS)
{
	TriggerData *t = (TriggerData *) fcinfo->context;
	FsDatabase *db;
	TupleDesc	desc;
	char	   *kind;
	char	   *name;

	check_trigger(fcinfo, "placement_changed");
	if (!fs_preloaded)
		return PointerGetDatum(NULL);
	db = fs_state_ready("a change of a placement");
	desc = RelationGetDescr(t->tg_relation);
	kind = column(t->tg_trigtuple, CHAIN_KIND, desc);
	name = column(t->tg_trigtuple, CHAIN_NAME, desc);
	chain_changed(db, kind, name, TRIGGER_FIRED_BY_INSERT(t->tg_event) &&
				  strcmp(RelationGetRelationName(t->tg_relation), "placement_chains") == 0);
	if (TRIGGER_FIRED_BY_UPDATE(t->tg_event))
	{
		char	   *new_kind = column(t->tg_newtuple, CHAIN_KIND, desc);
		char	   *new_name = column(t->tg_newtuple, CHAIN_NAME, desc);

		if (strcmp(kind, new_kind) != 0 || strcmp(name, new_name) != 0)
			chain_changed(db, new_kind, new_name, true);
	}
	return PointerGetDatum(NULL);
}

static void
node_changed(FsDatabase *db, const char *name, bool draining)
{
	FsPlacementChange *change = new_change(FS_CHAIN_NODE, name);

	change->draining = draining;
	FsLock();
	if (draining)
		change->node = fs_place_node_get(FsDbIndex(db), name);
	if (!draining || change->node != FS_NONE)
		fs_ledger_placement(change);
	FsUnlock();
	if (draining && change->node == FS_NONE)
		fs_placement_no_room();
}

/* Trigger of nodes, after each row. */
Datum
fs_node_changed(PG_FUNCTION_ARGS)
{
	TriggerData *t = (TriggerData *) fcinfo->context;
	FsDatabase *db;
	TupleDesc	desc;
	char	   *name;
	bool		isnull;

	check_trigger(fcinfo, "node_changed");
	if (!fs_preloaded)
		return PointerGetDatum(NULL);
	db = fs_state_ready("a change of a node");
	desc = RelationGetDescr(t->tg_relation);
	name = column(t->tg_trigtuple, NODE_NAME, desc);
	if (TRIGGER_FIRED_BY_UPDATE(t->tg_event))
	{
		char	   *new_name = column(t->tg_newtuple, NODE_NAME, desc);
		bool		draining = DatumGetBool(heap_getattr(t->tg_newtuple, NODE_DRAINING, desc, &isnull));

		if (strcmp(name, new_name) != 0)
			node_changed(db, name, false);
		node_changed(db, new_name, draining);
	}
	else
		node_changed(db, name, TRIGGER_FIRED_BY_INSERT(t->tg_event) &&
					 DatumGetBool(heap_getattr(t->tg_trigtuple, NODE_DRAINING, desc, &isnull)));
	return PointerGetDatum(NULL);
}

/* Trigger of TRUNCATE. */
Datum
fs_placement_truncated(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("fairsched.placement_truncated() must be called as a trigger")));
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot truncate table \"fairsched.%s\"",
					RelationGetRelationName(((TriggerData *) fcinfo->context)->tg_relation)),
			 errhint("Use DELETE.")));
}

/* ---------- for tests ---------- */

/* fairsched.placement_marks(): what the loop is to look at; it stays marked. */
Datum
fs_placement_marks(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FsDatabase *db = fs_state_ready("fairsched.placement_marks()");
	FsPlacement *p = palloc(sizeof(FsPlacement));
	bool		nulls[2] = {0};

	InitMaterializedSRF(fcinfo, 0);
	FsLockShared();
	*p = fs_placements[FsDbIndex(db)];
	FsUnlock();
	if (p->marks.first)
	{
		Datum		all[2] = {CStringGetTextDatum("all"), CStringGetTextDatum("")};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, all, nulls);
	}
	if (p->marks.more)
	{
		Datum		more[2] = {CStringGetTextDatum("more"), CStringGetTextDatum("")};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, more, nulls);
	}
	for (int i = 0; i < p->marks.n; i++)
	{
		Datum		out[2];

		out[0] = CStringGetTextDatum(FsChainKindNames[p->marks.mark[i].kind]);
		out[1] = CStringGetTextDatum(p->marks.mark[i].name);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, out, nulls);
	}
	return (Datum) 0;
}

/* fairsched.forget_placement_marks(): as if the loop had looked at everything. */
Datum
fs_forget_placement_marks(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched.forget_placement_marks()");
	PlacementMarks *marks = palloc(sizeof(PlacementMarks));

	fs_placement_take(db, marks);
	fs_placement_taken_done();
	PG_RETURN_VOID();
}
