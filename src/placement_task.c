/*
 * placement_task.c
 *		The loop that keeps placements good.
 *
 * A round: (1) take what changed, and make it due; (2) look at chains that are
 * due, a few at a time (placement_chain.c); (3) say when the next one is.  What
 * is due is in rows (fairsched.placement_watch), so a restart loses none of it.
 *
 * Nothing is scored that is not due.  A chain becomes due
 *	- when its rows change, or those of a node that holds it, or the last worker
 *	  of such a node dies, or its first one comes (placement.c marks these);
 *	- when the health of a node that holds it turns clearly (placement_health.c);
 *	- when it waits for a time: a cooldown, a pin, jobs that finish;
 *	- while it is below the floor, or getting worse, and its scores move;
 *	- when a node changes and it waits for a better one, or a move ends and it
 *	  waits for its turn.
 * So a fleet where nothing changes is at rest and costs no score, and 10 chains
 * that change among 100,000 cost theirs.
 *
 * One loop a database: the scheduler, of which a standby has none; whoever calls
 * fairsched_evaluate_placement meets it at an advisory lock (class 8) and does
 * nothing.  Each chain is a subtransaction: an error puts it off, and no other.
 */
#include "placement_task.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "ledger.h"
#include "placement_chain.h"

PG_FUNCTION_INFO_V1(fs_evaluate_placement);

#define CHAINS_A_ROUND	500
#define ACTS_A_ROUND	(PLACEMENT_MARKS / 2)	/* each chain that is moved is
												 * marked */
#define ROUND_USEC		(250 * INT64CONST(1000))	/* other tasks have their
													 * turn then */
#define BUSY_USEC		USECS_PER_SEC	/* somebody else is at it */
#define LOCK_TIMEOUT	"200ms"

/* Chains that are not as they should be: for a first look, which nothing was marked for. */
#define MAKE_DUE	"INSERT INTO fairsched.placement_watch AS w (chain_kind, chain, due) "
#define DUE_NOW		" ON CONFLICT ON CONSTRAINT placement_watch_pkey DO UPDATE SET due = excluded.due " \
					"WHERE w.due IS NULL OR w.due > excluded.due"

bool
fs_placement_wanted(FsDatabase *db)
{
	const FsPlacement *p = &fs_placements[FsDbIndex(db)];

	return fs_move_placements && p->any && placement_marks_any(&p->marks);
}

static bool
take_turn(void)
{
	LOCKTAG		tag;

	/* class 8 of advisory locks: src/README.md lists them */
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, 8);
	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

static void
with_time(const char *sql, TimestampTz now)
{
	Oid			type = TIMESTAMPTZOID;
	Datum		value = TimestampTzGetDatum(now);

	fs_spi(sql, 1, &type, &value, NULL);
}

/* ---------- what changed ---------- */

static void
chain_due(FsChainKind kind, const char *name, TimestampTz now)
{
	Oid			types[3] = {TIMESTAMPTZOID, TEXTOID, TEXTOID};
	Datum		args[3];

	args[0] = TimestampTzGetDatum(now);
	args[1] = CStringGetTextDatum(FsChainKindNames[kind]);
	args[2] = CStringGetTextDatum(name);
	fs_spi(MAKE_DUE "VALUES ($2, $3, $1)" DUE_NOW, 3, types, args, NULL);
}

/* What the node holds. */
static void
node_due(const char *node, TimestampTz now)
{
	Oid			types[2] = {TIMESTAMPTZOID, TEXTOID};
	Datum		args[2];

	args[0] = TimestampTzGetDatum(now);
	args[1] = CStringGetTextDatum(node);
	fs_spi(MAKE_DUE "SELECT chain_kind, chain, $1 FROM fairsched.placements WHERE node = $2" DUE_NOW,
		   2, types, args, NULL);
}

/* Nodes whose health is clearly another than when chains were scored last. */
static int
turned(FsDatabase *db, char (*names)[FS_NAME_LEN + 1], int max, TimestampTz now)
{
	int			n = 0;

	FsLock();
	for (int i = 0; i < fs->place_nodes.capacity && n < max; i++)
		if (fs_place_nodes[i].db == FsDbIndex(db) && placement_health_turned(&fs_place_nodes[i].health, now))
			strcpy(names[n++], fs_place_nodes[i].name);
	FsUnlock();
	return n;
}

/* What else is marked: told from the names of all chains. */
static void
others_due(const PlacementMarks *marks, TimestampTz now)
{
	MemoryContext mine = CurrentMemoryContext;
	PlacementMark *found = NULL;
	int			n = 0;
	int			room = 0;

	fs_spi("SELECT c.chain_kind, c.chain, p.node FROM fairsched.placement_chains c "
		   "LEFT JOIN fairsched.placements p USING (chain_kind, chain)", 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		FsChainKind kind = *SPI_getvalue(row, desc, 1) == 'w' ? FS_CHAIN_WORKSPACE : FS_CHAIN_LANE;
		char	   *name = SPI_getvalue(row, desc, 2);
		char	   *node = SPI_getvalue(row, desc, 3);

		if (!placement_marks_may_have(marks, kind, name) &&
			(node == NULL || !placement_marks_may_have(marks, FS_CHAIN_NODE, node)))
			continue;
		if (n == room)
		{
			room = room * 2 + 64;
			found = found ? repalloc_huge(found, sizeof(PlacementMark) * room)
				: MemoryContextAllocHuge(mine, sizeof(PlacementMark) * room);
		}
		found[n].kind = kind;
		strlcpy(found[n++].name, name, sizeof(found->name));
		CHECK_FOR_INTERRUPTS();
	}
	for (int i = 0; i < n; i++)
		chain_due(found[i].kind, found[i].name, now);
}

/*
 * Memory is new: rows tell what is not as it should be, which holders were never
 * scored, and by a scorer that is not in force any more.
 */
static void
unlike_desired_due(FsDatabase *db, TimestampTz now)
{
	Oid			types[2] = {TIMESTAMPTZOID, TEXTARRAYOID};
	Datum		args[2];
	FsFleet		fleet;
	Datum	   *serving;
	int			n = 0;

	fs_fleet_look(db, &fleet);
	serving = palloc(sizeof(Datum) * (fleet.n + 1));
	for (int i = 0; i < fleet.n; i++)
		if (!fleet.nodes[i].draining)
			serving[n++] = CStringGetTextDatum(fleet.nodes[i].name);
	args[0] = TimestampTzGetDatum(now);
	args[1] = PointerGetDatum(construct_array(serving, n, TEXTOID, -1, false, TYPALIGN_INT));
	fs_spi(MAKE_DUE "SELECT c.chain_kind, c.chain, $1 FROM fairsched.placement_chains c "
		   "LEFT JOIN (SELECT p.chain_kind, p.chain, "
		   "count(*) FILTER (WHERE p.state = 'holding' AND p.node = ANY ($2)) AS live, count(*) AS n, "
		   "count(*) FILTER (WHERE s.scored_at IS NULL OR s.scored_at < p.since) AS unscored "
		   "FROM fairsched.placements p LEFT JOIN fairsched.placement_scores s USING (chain_kind, chain, node) "
		   "GROUP BY p.chain_kind, p.chain) p USING (chain_kind, chain) "
		   "LEFT JOIN fairsched.placement_watch v USING (chain_kind, chain) "
		   "WHERE coalesce(p.live, 0) <> c.desired OR coalesce(p.n, 0) <> c.desired OR p.unscored > 0 "
		   "OR v.evaluated_at IS NULL "
		   "OR v.evaluated_at < (SELECT i.installed_at FROM fairsched.placement_scorer i)"
		   DUE_NOW, 2, types, args, NULL);
}

/* Make due what changed since the last round. */
static void
take_changes(FsDatabase *db, TimestampTz now)
{
	PlacementMarks *marks = palloc(sizeof(PlacementMarks));
	char		(*names)[FS_NAME_LEN + 1] = palloc(sizeof(*names) * PLACEMENT_MARKS);
	int			nturned;
	bool		nodes;

	fs_ledger_placements_taken();
	fs_placement_take(db, marks);
	nturned = turned(db, names, PLACEMENT_MARKS, now);
	nodes = marks->first || marks->more_nodes || nturned > 0;

	fs_spi_begin();
	for (int i = 0; i < marks->n; i++)
		if (marks->mark[i].kind != FS_CHAIN_NODE)
			chain_due(marks->mark[i].kind, marks->mark[i].name, now);
		else
		{
			node_due(marks->mark[i].name, now);
			nodes = true;
		}
	for (int i = 0; i < nturned; i++)
		node_due(names[i], now);
	if (marks->more)
		others_due(marks, now);
	if (marks->first)
		unlike_desired_due(db, now);
	if (marks->first || marks->more)
		with_time("UPDATE fairsched.placement_watch w SET due = $1 WHERE NOT EXISTS (SELECT FROM "
				  "fairsched.placement_chains c WHERE c.chain_kind = w.chain_kind AND c.chain = w.chain)", now);
	if (nodes)
		with_time("UPDATE fairsched.placement_watch SET due = $1 WHERE (due IS NULL OR due > $1) "
				  "AND verdict IN ('gap', 'no_alternative', 'no_opinion', 'waiting_for_node')", now);
	fs_spi_end();
}

/* ---------- a round ---------- */

static void
begin_round(FsPlacementRound *round, FsDatabase *db, TimestampTz now)
{
	MemoryContext mine = CurrentMemoryContext;
	Oid			types[2] = {INT4OID, TIMESTAMPTZOID};
	Datum		args[2];
	bool		isnull;

	memset(round, 0, sizeof(*round));
	round->db = db;
	round->settings = (PlacementSettings)
	{
		.floor = fs_placement_score_floor,
			.gap = fs_placement_hysteresis_gap,
			.service_value = fs_placement_service_value,
			.move_cost = fs_placement_move_cost,
			.cooldown = FsMsToUsec(fs_placement_cooldown),
			.interval = FsMsToUsec(fs_placement_interval),
			.max_moves = fs_placement_max_moves
	};
	fs_fleet_look(db, &round->fleet);
	fs_scorer_load(&round->scorer, &round->fleet);
	fs_spi_begin();
	round->nnodes = (int) fs_spi("SELECT node FROM fairsched.nodes ORDER BY node", 0, NULL, NULL, NULL);
	round->nodes = MemoryContextAlloc(mine, sizeof(char *) * (round->nnodes + 1));
	for (int i = 0; i < round->nnodes; i++)
		round->nodes[i] = MemoryContextStrdup(mine, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	fs_spi("SELECT count(*)::int FROM fairsched.placement_events "
		   "WHERE state IN ('evicting', 'refilling') AND reason = 'score'", 0, NULL, NULL, NULL);
	round->moves = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if (round->moves < fs_placement_max_moves)
	{
		/* as many as there is room for have their turn */
		args[0] = Int32GetDatum(fs_placement_max_moves - round->moves);
		args[1] = TimestampTzGetDatum(now);
		fs_spi("UPDATE fairsched.placement_watch w SET due = $2 FROM (SELECT chain_kind, chain "
			   "FROM fairsched.placement_watch WHERE verdict = 'max_moves' AND due IS NULL "
			   "ORDER BY chain_kind, chain LIMIT $1) f WHERE w.chain_kind = f.chain_kind AND w.chain = f.chain",
			   2, types, args, NULL);
	}
	fs_spi_end();
}

/* Those that are due, in the order in which they became so, then by name. */
static PlacementMark *
read_due(int *n, TimestampTz now)
{
	MemoryContext mine = CurrentMemoryContext;
	PlacementMark *due;

	fs_spi_begin();
	with_time("SELECT chain_kind, chain FROM fairsched.placement_watch WHERE due <= $1 "
			  "ORDER BY due, chain_kind, chain LIMIT " CppAsString2(CHAINS_A_ROUND), now);
	*n = (int) SPI_processed;
	due = MemoryContextAlloc(mine, sizeof(PlacementMark) * (*n + 1));
	for (int i = 0; i < *n; i++)
	{
		const char *kind = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);

		due[i].kind = *kind == 'w' ? FS_CHAIN_WORKSPACE : FS_CHAIN_LANE;
		strlcpy(due[i].name, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2), sizeof(due[i].name));
	}
	fs_spi_end();
	return due;
}

/* An error put it off. */
static void
put_off(const PlacementMark *chain, TimestampTz until)
{
	Oid			types[3] = {TIMESTAMPTZOID, TEXTOID, TEXTOID};
	Datum		args[3];

	args[0] = TimestampTzGetDatum(until);
	args[1] = CStringGetTextDatum(FsChainKindNames[chain->kind]);
	args[2] = CStringGetTextDatum(chain->name);
	fs_spi_begin();
	fs_spi("UPDATE fairsched.placement_watch SET due = $1 WHERE chain_kind = $2 AND chain = $3", 3, types, args, NULL);
	fs_spi_end();
}

/* Look at a chain in a subtransaction, and memory of its own. */
static void
look_at(FsPlacementRound *round, const PlacementMark *chain, MemoryContext context)
{
	MemoryContext mine = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int			acts = round->acts;
	int			moves = round->moves;

	BeginInternalSubTransaction("fairsched_placement");
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		fs_placement_chain(round, chain->kind, chain->name);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(mine);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;
		bool		locked;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(mine);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
		round->acts = acts;
		round->moves = moves;
		locked = error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
		put_off(chain, GetCurrentTimestamp() + (locked ? BUSY_USEC : round->settings.interval));
		if (!locked)
			ereport(WARNING,
					(errcode(error->sqlerrcode),
					 errmsg("fairsched could not look at a placement: %s", error->message)));
	}
	PG_END_TRY();
	MemoryContextReset(context);
}

/* When the next chain is due; the past: some are left. */
static TimestampTz
next_due(void)
{
	TimestampTz due = DT_NOEND;
	bool		isnull;

	fs_spi_begin();
	fs_spi("SELECT min(due) FROM fairsched.placement_watch WHERE due IS NOT NULL", 0, NULL, NULL, NULL);
	due = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	fs_spi_end();
	return isnull ? DT_NOEND : due;
}

/* Events that are over are kept as long as dead letters. */
static void
drop_old_events(TimestampTz now)
{
	static TimestampTz dropped_at = 0;
	Oid			type = FLOAT8OID;
	Datum		value = Float8GetDatum((double) fs_dead_retention);

	if (now < dropped_at + USECS_PER_HOUR)
		return;
	fs_spi_begin();
	fs_spi("DELETE FROM fairsched.placement_events WHERE started_at < now() - make_interval(secs => $1) "
		   "AND state IN ('done', 'ended')", 1, &type, &value, NULL);
	fs_spi_end();
	dropped_at = now;
}

TimestampTz
fs_placement_task(FsDatabase *db, int *acts)
{
	FsPlacement *p = &fs_placements[FsDbIndex(db)];
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = now + FsMsToUsec(fs_placement_interval);
	FsPlacementRound *round;
	PlacementMark *due;
	MemoryContext context;
	int			level;
	int			n;

	if (acts)
		*acts = 0;
	if (!p->any)
		return DT_NOEND;
	if (!take_turn())
		return now + BUSY_USEC;

	/* what somebody has locked is put off, not waited for */
	level = NewGUCNestLevel();
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	take_changes(db, now);
	round = palloc(sizeof(FsPlacementRound));
	begin_round(round, db, now);
	due = read_due(&n, now);
	context = AllocSetContextCreate(CurrentMemoryContext, "fairsched placement", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < n && round->acts < ACTS_A_ROUND && GetCurrentTimestamp() < now + ROUND_USEC; i++)
	{
		look_at(round, &due[i], context);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextDelete(context);
	fs_scorer_done(&round->scorer);
	drop_old_events(now);
	next = Min(next, next_due());
	AtEOXact_GUC(false, level);
	if (acts)
		*acts = round->acts;

	/* a node whose last worker falls silent is noticed then */
	if (db->slots_until > now && db->slots_until != DT_NOEND)
		next = Min(next, db->slots_until + FsMsToUsec(1));
	return Max(next, now);
}

/* fairsched_evaluate_placement() → changes made */
Datum
fs_evaluate_placement(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_ready("fairsched_evaluate_placement()");
	int			acts;

	(void) fs_placement_task(db, &acts);
	PG_RETURN_INT32(acts);
}
