/*
 * placement_scorer.c
 *		Opinions about nodes: of a pair of SQL functions, or the built-in ones.
 *
 * An installed function runs as its owner, whoever runs the loop: what an
 * unprivileged role wrote never runs with the rights of another.  As for the
 * expressions of indexes, the context is security-restricted (no SET ROLE, no
 * temporary tables, no LISTEN); besides it is read-only, so a scorer that
 * writes has no opinion.  Who installs one must own it, or be a superuser:
 * otherwise one could make somebody else's function run as that somebody.
 *
 * Each call is a subtransaction, so whatever the function raises ends there. The
 * time-out is one of our own, since a statement_timeout of the session may be
 * running already: it cancels as pg_cancel_backend does and leaves a mark, by
 * which the two are told apart.  Whoever catches the cancellation is cancelled
 * again as soon as he goes on (fs_scorer_subxact_aborted), so a loop around the
 * catching does not last either.  A real cancellation passes through, and so does
 * termination, which cannot be caught at all.
 *
 * Locking: none; counters of calls under fs->lock.
 */
#include "placement_scorer.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"

#include "alerts.h"

#define ALERT "placement_scorer"

PG_FUNCTION_INFO_V1(fs_set_placement_scorer);

/* ---------- which ---------- */

/* What is wrong with a function as a scorer; NULL: nothing. */
static const char *
misfit(Oid func, bool alternative)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(func));
	Form_pg_proc proc;
	Oid			second = alternative ? TEXTARRAYOID : TEXTOID;
	const char *wrong = NULL;

	if (!HeapTupleIsValid(tuple))
		return "it does not exist";
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	if (proc->prokind != PROKIND_FUNCTION)
		wrong = "it is not a plain function";
	else if (isAnyTempNamespace(proc->pronamespace))
		wrong = "it is temporary";
	else if (proc->pronargs != 2 || proc->proargtypes.values[0] != TEXTOID ||
			 proc->proargtypes.values[1] != second)
		wrong = alternative ? "its arguments are not (text, text[])" : "its arguments are not (text, text)";
	else if (!alternative && (proc->prorettype != FLOAT4OID || proc->proretset))
		wrong = "it does not return real";
	else if (alternative)
	{
		Oid			type;
		TupleDesc	desc = NULL;

		if (get_func_result_type(func, &type, &desc) != TYPEFUNC_COMPOSITE || desc->natts != 2 ||
			TupleDescAttr(desc, 0)->atttypid != TEXTOID || TupleDescAttr(desc, 1)->atttypid != FLOAT4OID)
			wrong = "it does not return (text, real)";
	}
	ReleaseSysCache(tuple);
	return wrong;
}

/* fs_scorer_load: the installed pair, palloc'd in the caller's context. */
void
fs_scorer_load(FsScorer *scorer, const FsFleet *fleet)
{
	MemoryContext mine = CurrentMemoryContext;

	memset(scorer, 0, sizeof(*scorer));
	scorer->fleet = fleet;
	fs_spi_begin();
	if (fs_spi("SELECT score, best_alternative, coalesce(pg_catalog.to_regprocedure(score)::oid, 0), "
			   "coalesce(pg_catalog.to_regprocedure(best_alternative)::oid, 0) "
			   "FROM fairsched.placement_scorer", 0, NULL, NULL, NULL) > 0)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		scorer->installed = true;
		for (int i = 0; i < 2; i++)
			scorer->names[i] = MemoryContextStrdup(mine, SPI_getvalue(row, desc, i + 1));
		scorer->score = DatumGetObjectId(SPI_getbinval(row, desc, 3, &isnull));
		scorer->alternative = DatumGetObjectId(SPI_getbinval(row, desc, 4, &isnull));
	}
	fs_spi_end();
	/* another function may have its name by now */
	if (OidIsValid(scorer->score) && misfit(scorer->score, false))
		scorer->score = InvalidOid;
	if (OidIsValid(scorer->alternative) && misfit(scorer->alternative, true))
		scorer->alternative = InvalidOid;
}

/* ---------- calling ---------- */

typedef struct Answer
{
	bool		row;
	char	   *node;			/* NULL: null, or not asked for */
	bool		null;			/* the score */
	float4		score;
} Answer;

static TimeoutId timeout_id = MAX_TIMEOUTS;
static bool armed = false;
static volatile sig_atomic_t timed_out = false;

static void
on_timeout(void)
{
	timed_out = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

/*
 * fs_scorer_subxact_aborted: from the abort callback of a subtransaction.  To catch
 * an error takes one, so this is a scorer that has caught its cancellation: it is
 * cancelled once more, now outside of what has caught it.
 */
void
fs_scorer_subxact_aborted(void)
{
	if (armed && timed_out)
		on_timeout();
}

static void
arm(void)
{
	if (timeout_id == MAX_TIMEOUTS)
		timeout_id = RegisterTimeout(USER_TIMEOUT, on_timeout);
	timed_out = false;
	armed = true;
	enable_timeout_every(timeout_id, GetCurrentTimestamp() + FsMsToUsec(fs_scorer_timeout), fs_scorer_timeout);
}

/* A cancellation that came at the same time as ours is lost with it. */
static void
disarm(void)
{
	armed = false;
	disable_timeout(timeout_id, false);
	if (timed_out)
		QueryCancelPending = false;
}

/* Run the function as its owner, inside the subtransaction. */
static void
ask(Oid func, const char *sql, Oid second, Datum chain, Datum arg, MemoryContext mine, Answer *answer)
{
	Oid			types[2] = {TEXTOID, second};
	Datum		values[2] = {chain, arg};
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(func));
	Oid			owner;
	Oid			user;
	int			context;
	int			level;
	int			rc;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", func);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_RESTRICTED_OPERATION);
	level = fs_safe_search_path();	/* that of who runs the loop is not the
									 * owner's */
	XactReadOnly = true;		/* until the end of the subtransaction */
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	rc = SPI_execute_with_args(sql, 2, types, values, NULL, false, 1);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "a scorer could not be run: %s", SPI_result_code_string(rc));
	answer->row = SPI_processed > 0;
	if (answer->row)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		Datum		score = SPI_getbinval(row, desc, desc->natts, &answer->null);

		answer->score = answer->null ? 0 : DatumGetFloat4(score);
		if (desc->natts == 2)
		{
			char	   *node = SPI_getvalue(row, desc, 1);

			answer->node = node ? MemoryContextStrdup(mine, node) : NULL;
		}
	}
	SPI_finish();
	AtEOXact_GUC(false, level);
	SetUserIdAndSecContext(user, context);
}

/*
 * Call an installed function; false when it raised or took too long, and why.
 * The SQLSTATE alone: a message might quote what the scorer has read.
 */
static bool
call(Oid func, const char *sql, Oid second, Datum chain, Datum arg, Answer *answer, const char **problem)
{
	MemoryContext mine = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool ok = false;

	memset(answer, 0, sizeof(*answer));
	BeginInternalSubTransaction("fairsched_scorer");
	MemoryContextSwitchTo(mine);
	arm();
	PG_TRY();
	{
		ask(func, sql, second, chain, arg, mine, answer);
		disarm();
		ReleaseCurrentSubTransaction();
		ok = !timed_out;		/* it may have caught the cancellation */
		if (!ok)
			*problem = "it took longer than fairsched.scorer_timeout";
	}
	PG_CATCH();
	{
		ErrorData  *error;

		disarm();
		MemoryContextSwitchTo(mine);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(mine);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED && !timed_out)
			ReThrowError(error);
		*problem = error->sqlerrcode == ERRCODE_QUERY_CANCELED
			? "it took longer than fairsched.scorer_timeout"
			: psprintf("it raised SQLSTATE %s", unpack_sql_state(error->sqlerrcode));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(mine);
	CurrentResourceOwner = owner;
	return ok;
}

/*
 * No opinion, because of what the scorer did.  Neither the chain nor what the
 * function said is in the alert: operators see those, and tenants' names may be
 * in both.
 */
static PlacementScore
failed(FsDatabase *db, FsScorer *scorer, int which, const char *node, const char *problem)
{
	FsLock();
	fs_placements[FsDbIndex(db)].scorer_failures++;
	FsUnlock();
	if (!scorer->alerted[which])
		fs_alert_raise(ALERT, "medium", NULL, scorer->names[which],
					   node ? psprintf("The scorer had no opinion of node \"%s\": %s.", node, problem)
					   : psprintf("The scorer could not name the best node: %s.", problem));
	scorer->alerted[which] = true;
	return (PlacementScore)
	{
		PLACEMENT_FAILED, 0
	};
}

static bool
in_range(float4 score)
{
	return score >= 0 && score <= 1;	/* not so for NaN */
}

/* With its schema; argument types are as they are checked. */
static const char *
name_of(Oid func)
{
	return quote_qualified_identifier(get_namespace_name(get_func_namespace(func)), get_func_name(func));
}

static PlacementScore
opinion(const Answer *answer)
{
	PlacementScore s = {PLACEMENT_NONE, 0};

	if (answer->row && !answer->null)
	{
		s.opinion = PLACEMENT_SCORED;
		s.value = answer->score;
	}
	return s;
}

PlacementScore
fs_scorer_score(FsDatabase *db, FsScorer *scorer, const char *chain, const char *node)
{
	const char *problem = "it does not exist any more, or has other arguments";
	Answer		answer;
	char	   *sql;

	FsLock();
	fs_placements[FsDbIndex(db)].scorer_calls++;
	FsUnlock();
	scorer->asked[0] = true;
	if (!scorer->installed)
		return fs_placement_builtin_score(db, scorer->fleet, chain, node);
	if (!OidIsValid(scorer->score))
		return failed(db, scorer, 0, node, problem);
	sql = psprintf("SELECT %s($1, $2)", name_of(scorer->score));
	if (!call(scorer->score, sql, TEXTOID, CStringGetTextDatum(chain), CStringGetTextDatum(node), &answer, &problem))
		return failed(db, scorer, 0, node, problem);
	if (answer.row && !answer.null && !in_range(answer.score))
		return failed(db, scorer, 0, node, "its answer is not between 0 and 1");
	return opinion(&answer);
}

PlacementScore
fs_scorer_alternative(FsDatabase *db, FsScorer *scorer, const char *chain,
					  char **exclude, int nexclude, char **node)
{
	const char *problem = "it does not exist any more, or has other arguments";
	Datum	   *names = palloc(sizeof(Datum) * (nexclude + 1));
	const FsFleetNode *found;
	Answer		answer;
	char	   *sql;

	*node = NULL;
	FsLock();
	fs_placements[FsDbIndex(db)].scorer_calls++;
	FsUnlock();
	scorer->asked[1] = true;
	if (!scorer->installed)
		return fs_placement_builtin_alternative(scorer->fleet, exclude, nexclude, node);
	if (!OidIsValid(scorer->alternative))
		return failed(db, scorer, 1, NULL, problem);
	for (int i = 0; i < nexclude; i++)
		names[i] = CStringGetTextDatum(exclude[i]);
	sql = psprintf("SELECT * FROM %s($1, $2)", name_of(scorer->alternative));
	if (!call(scorer->alternative, sql, TEXTARRAYOID, CStringGetTextDatum(chain),
			  PointerGetDatum(construct_array(names, nexclude, TEXTOID, -1, false, TYPALIGN_INT)), &answer, &problem))
		return failed(db, scorer, 1, NULL, problem);
	if (!answer.row)
		return opinion(&answer);
	if (answer.node == NULL)
		return failed(db, scorer, 1, NULL, "it named no node");
	for (int i = 0; i < nexclude; i++)
		if (strcmp(answer.node, exclude[i]) == 0)
			return failed(db, scorer, 1, answer.node, "it named a node that was excluded");
	found = fs_fleet_find(scorer->fleet, answer.node);
	if (found == NULL || found->draining)
		return failed(db, scorer, 1, answer.node, "it named a node that does not serve");
	if (!answer.null && !in_range(answer.score))
		return failed(db, scorer, 1, answer.node, "its answer is not between 0 and 1");
	*node = answer.node;
	return opinion(&answer);
}

/* fs_scorer_done: the round is over; a function that was asked and did not fail is well again. */
void
fs_scorer_done(FsScorer *scorer)
{
	for (int i = 0; i < 2; i++)
		if (scorer->installed && scorer->asked[i] && !scorer->alerted[i])
			fs_alert_resolve(ALERT, NULL, scorer->names[i]);
}

/* ---------- installing ---------- */

/* The function may be a scorer, and the caller may make it one; its name for the table. */
static char *
check_function(Oid func, bool alternative)
{
	const char *what = alternative ? "best_alternative" : "score";
	const char *wrong = misfit(func, alternative);

	if (get_func_name(func) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function %u, given as %s, does not exist", func, what),
				 errhint("Give it by name and argument types, as in 'public.score(text,text)'.")));
	if (wrong)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("function %s cannot be used as %s: %s", format_procedure(func), what, wrong),
				 errhint("Give score(chain text, node text) RETURNS real, and "
						 "best_alternative(chain text, exclude text[]) RETURNS TABLE (node text, score real).")));
	if (!FsOwnsFunction(func))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_FUNCTION, get_func_name(func));
	if (!FsMayExecute(func))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, get_func_name(func));
	return format_procedure_qualified(func);
}

/*
 * fairsched_set_placement_scorer(score, best_alternative) → the earlier pair.  In
 * force from commit on; who installs one at the same time waits.
 */
Datum
fs_set_placement_scorer(PG_FUNCTION_ARGS)
{
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		args[3];
	Datum		values[2];
	bool		nulls[2] = {true, true};
	char	   *names[2] = {NULL, NULL};
	TupleDesc	desc;
	FsScorer	before;

	(void) fs_state_ready("fairsched_set_placement_scorer()");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (PG_ARGISNULL(0) != PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null when %s is given", PG_ARGISNULL(0) ? "score" : "best_alternative",
						PG_ARGISNULL(0) ? "best_alternative" : "score"),
				 errhint("Give both functions, or NULL for both: the built-in scorer.")));
	for (int i = 0; i < 2; i++)
		if (!PG_ARGISNULL(i))
			names[i] = check_function(PG_GETARG_OID(i), i == 1);

	args[2] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
	fs_spi_begin();
	fs_spi("LOCK TABLE fairsched.placement_scorer IN SHARE ROW EXCLUSIVE MODE", 0, NULL, NULL, NULL);
	fs_spi_end();
	fs_scorer_load(&before, NULL);
	fs_spi_begin();
	fs_spi("DELETE FROM fairsched.placement_scorer", 0, NULL, NULL, NULL);
	if (names[0] != NULL)
	{
		args[0] = CStringGetTextDatum(names[0]);
		args[1] = CStringGetTextDatum(names[1]);
		fs_spi("INSERT INTO fairsched.placement_scorer (score, best_alternative, installed_by) "
			   "VALUES ($1, $2, $3)", 3, types, args, NULL);
	}
	/* opinions of another are worth nothing: all chains are scored anew */
	fs_spi("UPDATE fairsched.nodes SET labels = labels", 0, NULL, NULL, NULL);
	fs_spi_end();

	for (int i = 0; i < 2 && before.installed; i++)
		fs_alert_resolve(ALERT, NULL, before.names[i]);

	values[0] = ObjectIdGetDatum(before.score);
	values[1] = ObjectIdGetDatum(before.alternative);
	nulls[0] = !OidIsValid(before.score);
	nulls[1] = !OidIsValid(before.alternative);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
