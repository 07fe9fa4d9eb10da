/*
 * placement_nodes.c
 *		The fleet as the loop that moves placements sees it; the built-in scorer.
 *
 * What is known of a node is in its entry (fs_place_nodes) and in its workers;
 * how its leases end is counted there where they do (ledger_items.c), in a few
 * decaying numbers.  The fleet is looked at as a whole, O(workers), once a run,
 * so that all chains of a run are judged by the same facts.
 *
 * Nothing is known of nodes on a standby: there are no opinions there.
 */
#include "placement_nodes.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "flows.h"
#include "state.h"
#include "text.h"
#include "views.h"

PG_FUNCTION_INFO_V1(fs_builtin_score);
PG_FUNCTION_INFO_V1(fs_builtin_best_alternative);
PG_FUNCTION_INFO_V1(fs_view_placement_counters);

#define PIECE 1024				/* leases looked at while the lock is held */

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const FsFleetNode *) a)->name, ((const FsFleetNode *) b)->name);
}

void
fs_fleet_look(FsDatabase *db, FsFleet *fleet)
{
	int32		slot = FsDbIndex(db);
	int		   *place = palloc(sizeof(int) * fs->place_nodes.capacity);
	TimestampTz now = GetCurrentTimestamp();

	fleet->n = 0;
	fleet->nodes = palloc0(sizeof(FsFleetNode) * fs->place_nodes.capacity);
	FsLockShared();
	for (int i = 0; i < fs->place_nodes.capacity; i++)
	{
		const FsPlaceNode *from = &fs_place_nodes[i];
		FsFleetNode *to = &fleet->nodes[fleet->n];

		place[i] = -1;
		if (from->db != slot || from->last_seen + FsMsToUsec(fs_worker_timeout) <= now)
			continue;
		place[i] = fleet->n++;
		strlcpy(to->name, from->name, sizeof(to->name));
		to->draining = from->draining;
		to->facts.alive = true;
		to->facts.quiet = from->last_seen + FsMsToUsec(fs_worker_timeout) / 2 <= now;
		to->facts.health = placement_health(&from->health, now);
	}
	for (int i = 0; i < fs->workers.capacity; i++)
	{
		const FsWorker *w = &fs_workers[i];
		int			n = w->db == slot && w->place_node != FS_NONE ? place[w->place_node] : -1;

		if (n < 0)
			continue;
		fleet->nodes[n].facts.running += w->running;
		if (w->last_seen + FsMsToUsec(fs_worker_timeout) > now)
			fleet->nodes[n].facts.slots += w->slots;
	}
	FsUnlock();
	qsort(fleet->nodes, fleet->n, sizeof(FsFleetNode), by_name);
	pfree(place);
}

const FsFleetNode *
fs_fleet_find(const FsFleet *fleet, const char *node)
{
	FsFleetNode key;

	if (strlen(node) > FS_NAME_LEN)
		return NULL;
	strlcpy(key.name, node, sizeof(key.name));
	return bsearch(&key, fleet->nodes, fleet->n, sizeof(FsFleetNode), by_name);
}

/* fs_fleet_runs: does the lease keep a job of the chain on the node? fs->lock held. */
bool
fs_fleet_runs(FsDatabase *db, const FsLease *lease, FsChainKind kind, const char *name, const char *node)
{
	int32		at;

	if (lease->db != FsDbIndex(db) || lease->state == FS_LEASE_FREE || lease->state == FS_LEASE_GONE ||
		lease->worker == FS_NONE)
		return false;
	at = fs_workers[lease->worker].place_node;
	return at != FS_NONE && strcmp(fs_place_nodes[at].name, node) == 0 &&
		strcmp(kind == FS_CHAIN_WORKSPACE ? fs_workspaces[lease->workspace].name
			   : fs_lanes[fs_shares[lease->share].lane].name, name) == 0;
}

void
fs_fleet_running(FsDatabase *db, FsChainKind kind, const char *name, const char *const *nodes, int n, int *running)
{
	memset(running, 0, sizeof(int) * n);
	for (int from = 0; from < fs->leases.capacity; from += PIECE)
	{
		FsLockShared();
		for (int i = from; i < Min(from + PIECE, fs->leases.capacity); i++)
			for (int k = 0; k < n && fs_leases[i].db == FsDbIndex(db); k++)
				running[k] += fs_fleet_runs(db, &fs_leases[i], kind, name, nodes[k]);
		FsUnlock();
		CHECK_FOR_INTERRUPTS();
	}
}

bool
fs_chain_parse(const char *label, FsChainKind *kind, const char **name)
{
	for (int k = FS_CHAIN_WORKSPACE; k <= FS_CHAIN_LANE; k++)
	{
		Size		len = strlen(FsChainKindNames[k]);

		if (strncmp(label, FsChainKindNames[k], len) == 0 && label[len] == ':')
		{
			*kind = k;
			*name = label + len + 1;
			return true;
		}
	}
	return false;
}

char *
fs_chain_label(FsChainKind kind, const char *name)
{
	return psprintf("%s:%s", FsChainKindNames[kind], name);
}

/* Since when the node holds the chain; 0: it does not. */
static TimestampTz
since(const char *chain, const char *node)
{
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		args[3];
	TimestampTz at = 0;
	FsChainKind kind;
	const char *name;

	if (!fs_chain_parse(chain, &kind, &name))
		return 0;
	args[0] = CStringGetTextDatum(FsChainKindNames[kind]);
	args[1] = CStringGetTextDatum(name);
	args[2] = CStringGetTextDatum(node);
	fs_spi_begin();
	if (fs_spi("SELECT since FROM fairsched.placements WHERE chain_kind = $1 AND chain = $2 AND node = $3 "
			   "AND state = 'holding'", 3, types, args, NULL) > 0)
	{
		bool		isnull;

		at = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	fs_spi_end();
	return at;
}

PlacementScore
fs_placement_builtin_score(FsDatabase *db, const FsFleet *fleet, const char *chain, const char *node)
{
	const FsFleetNode *found = fs_fleet_find(fleet, node);
	PlacementFacts facts = {0};
	TimestampTz held = since(chain, node);

	if (found)
		facts = found->facts;
	if (held != 0)
		facts.dwell = Max(GetCurrentTimestamp() - held, 1);
	return (PlacementScore)
	{
		PLACEMENT_SCORED, placement_builtin_score(&facts)
	};
}

PlacementScore
fs_placement_builtin_alternative(const FsFleet *fleet, char **exclude, int nexclude, char **node)
{
	PlacementScore best = {PLACEMENT_NONE, 0};

	*node = NULL;
	for (int i = 0; i < fleet->n; i++)
	{
		double		score = placement_builtin_score(&fleet->nodes[i].facts);
		bool		excluded = fleet->nodes[i].draining;

		for (int k = 0; k < nexclude && !excluded; k++)
			excluded = strcmp(exclude[k], fleet->nodes[i].name) == 0;
		if (excluded || (*node != NULL && score <= best.value))
			continue;
		best.opinion = PLACEMENT_SCORED;
		best.value = score;
		*node = fleet->nodes[i].name;
	}
	return best;
}

void
fs_placement_note_end(int32 l, TimestampTz now)
{
	int32		node = fs_leases[l].worker != FS_NONE ? fs_workers[fs_leases[l].worker].place_node : FS_NONE;

	if (node != FS_NONE)
		placement_health_add(&fs_place_nodes[node].health, fs_leases[l].ends_as, now);
}

/* ---------- for scorers that build on it ---------- */

/* fairsched_builtin_score(chain, node) → real */
Datum
fs_builtin_score(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_peek();
	FsFleet		fleet;

	fs_need_arg(fcinfo, 0, "chain");
	fs_need_arg(fcinfo, 1, "node");
	if (db == NULL)
		PG_RETURN_NULL();
	fs_fleet_look(db, &fleet);
	PG_RETURN_FLOAT4((float4) fs_placement_builtin_score(db, &fleet, text_to_cstring(PG_GETARG_TEXT_PP(0)),
														 text_to_cstring(PG_GETARG_TEXT_PP(1))).value);
}

/* fairsched_builtin_best_alternative(chain, exclude) → (node, score), or no row */
Datum
fs_builtin_best_alternative(PG_FUNCTION_ARGS)
{
	FsDatabase *db = fs_state_peek();
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum	   *exclude = NULL;
	bool	   *isnull = NULL;
	int			n = 0;
	char	  **names;
	char	   *node;
	FsFleet		fleet;
	PlacementScore best;

	InitMaterializedSRF(fcinfo, 0);
	if (db == NULL)
		return (Datum) 0;
	if (!PG_ARGISNULL(1))
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &exclude, &isnull, &n);
	names = palloc(sizeof(char *) * (n + 1));
	for (int i = 0; i < n; i++)
		names[i] = isnull[i] ? pstrdup("") : TextDatumGetCString(exclude[i]);
	fs_fleet_look(db, &fleet);
	best = fs_placement_builtin_alternative(&fleet, names, n, &node);
	if (node != NULL)
	{
		Datum		values[2] = {CStringGetTextDatum(node), Float4GetDatum((float4) best.value)};
		bool		nulls[2] = {false, false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* The row of fairsched.placement_scorer_status that comes from memory. */
Datum
fs_view_placement_counters(PG_FUNCTION_ARGS)
{
	FsDatabase *db;
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	fs_view_check("placement_scorer_status", NULL);
	db = fs_view_state("placement_scorer_status");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	FsLockShared();
	values[0] = Int64GetDatum(db ? fs_placements[FsDbIndex(db)].scorer_calls : 0);
	values[1] = Int64GetDatum(db ? fs_placements[FsDbIndex(db)].scorer_failures : 0);
	FsUnlock();
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
