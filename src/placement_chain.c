/*
 * placement_chain.c
 *		One chain looked at: asked about, decided, moved.
 *
 * State, decision and execution are apart: the state is in rows and in the
 * fleet; placement_decide.c decides and asks for what it lacks; what is done is
 * plain INSERT, UPDATE and DELETE of fairsched.placements, from whose commit on
 * claims follow.  So nodes may become servers one day without a change to who
 * decides.
 *
 * A move, and the rows that say how far it is:
 *
 *	decided	 placements (from): holding -> evicting; event: evicting
 *	commit
 *	refilled placements (to): holding; event: to_node
 *	over	 nothing of the chain runs at from: its row goes; event: done,
 *			 or refilling as long as there is no to_node
 *
 * Whoever looks at the chain next, after a crash too, goes on from there.  The
 * row of the chain is locked first, without waiting: so is it by whoever changes
 * its placement by hand, and by a second loop.
 */
#include "placement_chain.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "flows.h"
#include "placement_yield.h"

#define AGAIN_AFTER	USECS_PER_SEC	/* where somebody else has the chain */

typedef struct Samples
{
	int			n;
	float		v[PLACEMENT_SAMPLES];
} Samples;

typedef struct Chain
{
	FsPlacementRound *round;
	FsChainKind kind;
	const char *name;
	char	   *label;			/* for scorers */
	PlacementChain c;
	Samples    *samples;		/* by holder */
	int			ncandidates;	/* 0: any node */
	Datum	   *candidates;
	int			nleft;			/* nodes that it left just now */
	const char **left;
	bool		counted;		/* running and backlog are known */
	int			open;			/* events */
	int			asked;			/* jobs that were asked to yield and are not
								 * resumed yet */
	StringInfoData scores;		/* as a JSON object, for the event */
} Chain;

/* ---------- SQL ---------- */

#define TEXT_OR_NULL(s) ((s) ? CStringGetTextDatum(s) : (Datum) 0)

/* A statement whose $1 and $2 are the chain; `more` arguments follow. */
static uint64
run(Chain *ch, const char *sql, int more, const Oid *more_types, const Datum *more_values, const char *more_nulls)
{
	Oid			types[16] = {TEXTOID, TEXTOID};
	Datum		values[16];
	char		nulls[17] = "  ";

	values[0] = CStringGetTextDatum(FsChainKindNames[ch->kind]);
	values[1] = CStringGetTextDatum(ch->name);
	for (int i = 0; i < more; i++)
	{
		types[2 + i] = more_types[i];
		values[2 + i] = more_values[i];
		nulls[2 + i] = more_nulls ? more_nulls[i] : ' ';
	}
	nulls[2 + more] = '\0';
	return fs_spi(sql, 2 + more, types, values, nulls);
}

static uint64
run_text(Chain *ch, const char *sql, const char *text)
{
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(text);

	return run(ch, sql, 1, &type, &value, NULL);
}

/* ---------- reading ---------- */

static void
read_holder(Chain *ch, int i, HeapTuple row, TupleDesc desc, MemoryContext mine)
{
	PlacementHolder *h = &ch->c.holders[i];
	bool		isnull;
	Datum		pinned;
	Datum		samples;
	const FsFleetNode *node;

	h->node = MemoryContextStrdup(mine, SPI_getvalue(row, desc, 1));
	h->evicting = *SPI_getvalue(row, desc, 2) == 'e';
	h->since = DatumGetTimestampTz(SPI_getbinval(row, desc, 3, &isnull));
	pinned = SPI_getbinval(row, desc, 4, &isnull);
	h->pinned_until = isnull ? 0 : DatumGetTimestampTz(pinned);
	h->pinned = h->pinned_until > ch->c.now;
	samples = SPI_getbinval(row, desc, 5, &isnull);
	if (!isnull)
	{
		Datum	   *v;
		int			n;

		deconstruct_array(DatumGetArrayTypeP(samples), FLOAT4OID, sizeof(float4), true, TYPALIGN_INT, &v, NULL, &n);
		for (int k = 0; k < n && k < PLACEMENT_SAMPLES; k++)
			ch->samples[i].v[ch->samples[i].n++] = DatumGetFloat4(v[k]);
	}
	node = fs_fleet_find(&ch->round->fleet, h->node);
	h->lost = node == NULL ? PLACEMENT_DEAD : node->draining ? PLACEMENT_DRAINING : PLACEMENT_WHY_NONE;
}

static bool
is_candidate(const Chain *ch, const char *node)
{
	for (int i = 0; i < ch->ncandidates; i++)
		if (strcmp(TextDatumGetCString(ch->candidates[i]), node) == 0)
			return true;
	return ch->ncandidates == 0;
}

/* Could it have the chain? */
static bool
is_eligible(const Chain *ch, const FsFleetNode *node)
{
	if (node->draining || !is_candidate(ch, node->name))
		return false;
	for (int i = 0; i < ch->c.nholders; i++)
		if (strcmp(ch->c.holders[i].node, node->name) == 0)
			return false;
	for (int i = 0; i < ch->nleft; i++)
		if (strcmp(ch->left[i], node->name) == 0)
			return false;
	return true;
}

static void
count_eligible(Chain *ch)
{
	ch->c.eligible = 0;
	for (int i = 0; i < ch->round->fleet.n; i++)
		ch->c.eligible += is_eligible(ch, &ch->round->fleet.nodes[i]);
}

typedef enum Found
{
	FOUND,
	FOUND_GONE,
	FOUND_LOCKED
} Found;

/* The chain as its rows say, its row locked. Within fs_spi_begin. */
static Found
read_chain(Chain *ch, MemoryContext mine)
{
	HeapTuple	row;
	TupleDesc	desc;
	bool		isnull;
	Datum		value;
	MemoryContext old;

	if (run(ch, "SELECT desired, candidates, last_move FROM fairsched.placement_chains "
			"WHERE chain_kind = $1 AND chain = $2 FOR NO KEY UPDATE SKIP LOCKED", 0, NULL, NULL, NULL) == 0)
		return run(ch, "SELECT FROM fairsched.placement_chains WHERE chain_kind = $1 AND chain = $2",
				   0, NULL, NULL, NULL) == 0 ? FOUND_GONE : FOUND_LOCKED;
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	ch->c.desired = DatumGetInt32(SPI_getbinval(row, desc, 1, &isnull));
	value = SPI_getbinval(row, desc, 2, &isnull);
	old = MemoryContextSwitchTo(mine);
	deconstruct_array(DatumGetArrayTypePCopy(value), TEXTOID, -1, false, TYPALIGN_INT,
					  &ch->candidates, NULL, &ch->ncandidates);
	MemoryContextSwitchTo(old);
	value = SPI_getbinval(row, desc, 3, &isnull);
	ch->c.last_move = isnull ? 0 : DatumGetTimestampTz(value);

	ch->c.nholders = (int) run(ch, "SELECT p.node, p.state, p.since, p.pinned_until, s.samples "
							   "FROM fairsched.placements p LEFT JOIN fairsched.placement_scores s "
							   "USING (chain_kind, chain, node) WHERE chain_kind = $1 AND chain = $2 ORDER BY p.node",
							   0, NULL, NULL, NULL);
	/* room for those that are to come */
	ch->c.holders = MemoryContextAllocZero(mine, sizeof(PlacementHolder) * (ch->c.nholders + FS_MAX_HOLDERS + 1));
	ch->samples = MemoryContextAllocZero(mine, sizeof(Samples) * (ch->c.nholders + FS_MAX_HOLDERS + 1));
	ch->left = MemoryContextAllocZero(mine, sizeof(char *) * (ch->c.nholders + FS_MAX_HOLDERS + 1));
	for (int i = 0; i < ch->c.nholders; i++)
		read_holder(ch, i, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, mine);
	for (int i = 0; i < ch->c.nholders; i++)
		if (!is_candidate(ch, ch->c.holders[i].node))
			ch->c.holders[i].lost = PLACEMENT_NOT_CANDIDATE;
	ch->open = (int) run(ch, "SELECT FROM fairsched.placement_events WHERE chain_kind = $1 AND chain = $2 "
						 "AND state IN ('evicting', 'refilling')", 0, NULL, NULL, NULL);
	count_eligible(ch);
	return FOUND;
}

/* Jobs of it that run at its holders, and those that wait: looked for when they matter. */
static void
count_jobs(Chain *ch)
{
	const char **nodes;
	int		   *running;

	if (ch->counted)
		return;
	ch->counted = true;
	nodes = palloc(sizeof(char *) * (ch->c.nholders + 1));
	running = palloc(sizeof(int) * (ch->c.nholders + 1));
	for (int i = 0; i < ch->c.nholders; i++)
		nodes[i] = ch->c.holders[i].node;
	fs_fleet_running(ch->round->db, ch->kind, ch->name, nodes, ch->c.nholders, running);
	for (int i = 0; i < ch->c.nholders; i++)
		ch->c.holders[i].running = running[i];
	if (ch->kind == FS_CHAIN_WORKSPACE)
	{
		int32		w;

		FsLockShared();
		w = fs_sched_workspace_find(FsDbIndex(ch->round->db), ch->name);
		if (w != FS_NONE)
			for (int cls = 0; cls < FS_CLASSES; cls++)
				ch->c.backlog += fs_workspaces[w].ready[cls];
		FsUnlock();
	}
}

/* ---------- asking ---------- */

/* One more score of a holder. Outside of fs_spi_begin. */
static void
remember(Chain *ch, int i)
{
	PlacementHolder *h = &ch->c.holders[i];
	Samples    *s = &ch->samples[i];
	Oid			types[5] = {TEXTOID, FLOAT4OID, FLOAT4OID, TEXTOID, FLOAT4ARRAYOID};
	Datum		values[5];
	char		nulls[6] = "     ";
	Datum		v[PLACEMENT_SAMPLES];
	PlacementTrend trend;

	if (h->score.opinion == PLACEMENT_SCORED)
	{
		if (s->n == 0 || placement_moved(s->v[s->n - 1], h->score.value))
			ch->c.moving = true;
		if (s->n == PLACEMENT_SAMPLES)
			memmove(s->v, s->v + 1, sizeof(float) * --s->n);
		s->v[s->n++] = (float) h->score.value;
	}
	trend = placement_trend(s->v, s->n);
	if (trend == PLACEMENT_DEGRADING)
		ch->c.degrading = true;
	for (int k = 0; k < s->n; k++)
		v[k] = Float4GetDatum(s->v[k]);
	values[0] = CStringGetTextDatum(h->node);
	values[1] = Float4GetDatum((float4) h->score.value);
	values[2] = Float4GetDatum((float4) placement_mean(s->v, s->n));
	values[3] = CStringGetTextDatum(PlacementTrendNames[trend]);
	values[4] = PointerGetDatum(construct_array(v, s->n, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT));
	if (h->score.opinion != PLACEMENT_SCORED)
		nulls[1] = 'n';
	if (s->n == 0)
		nulls[2] = 'n';
	fs_spi_begin();
	run(ch, "INSERT INTO fairsched.placement_scores (chain_kind, chain, node, score, mean, trend, samples, scored_at) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp()) "
		"ON CONFLICT ON CONSTRAINT placement_scores_pkey DO UPDATE SET score = excluded.score, mean = excluded.mean, "
		"trend = excluded.trend, samples = excluded.samples, scored_at = excluded.scored_at", 5, types, values, nulls);
	fs_spi_end();
}

static void
note_score(Chain *ch, const char *node, PlacementScore score)
{
	appendStringInfoString(&ch->scores, ch->scores.len > 0 ? ", " : "{");
	escape_json(&ch->scores, node);
	if (score.opinion == PLACEMENT_SCORED)
		appendStringInfo(&ch->scores, ": %.6g", score.value);
	else
		appendStringInfoString(&ch->scores, ": null");
}

static void
ask_scores(Chain *ch)
{
	for (int i = 0; i < ch->c.nholders; i++)
	{
		PlacementHolder *h = &ch->c.holders[i];

		if (h->evicting || h->lost != PLACEMENT_WHY_NONE)
			continue;
		h->score = fs_scorer_score(ch->round->db, &ch->round->scorer, ch->label, h->node);
		remember(ch, i);
		note_score(ch, h->node, h->score);
	}
}

/* The scorer is told all nodes that may not be: it need not know which live. */
static void
ask_alternative(Chain *ch)
{
	FsPlacementRound *round = ch->round;
	char	  **exclude = palloc(sizeof(char *) * (round->nnodes + ch->c.nholders + 1));
	int			n = 0;
	char	   *node;

	for (int i = 0; i < round->nnodes; i++)
	{
		const FsFleetNode *live = fs_fleet_find(&round->fleet, round->nodes[i]);

		if (live == NULL || !is_eligible(ch, live))
			exclude[n++] = round->nodes[i];
	}
	ch->c.alternative = fs_scorer_alternative(round->db, &round->scorer, ch->label, exclude, n, &node);
	/* who only fails must not keep a chain from being served */
	if (ch->c.alternative.opinion == PLACEMENT_FAILED && round->scorer.installed)
	{
		PlacementScore builtin = fs_placement_builtin_alternative(&round->fleet, exclude, n, &node);

		if (builtin.opinion != PLACEMENT_SCORED)
			node = NULL;
	}
	ch->c.alternative_node = node;
	if (node != NULL)
		note_score(ch, node, ch->c.alternative);
	count_jobs(ch);
}

/* ---------- doing ---------- */

static char *
describe(const Chain *ch, const PlacementDecision *d)
{
	StringInfoData s;
	const PlacementHolder *h = d->holder >= 0 ? &ch->c.holders[d->holder] : NULL;

	initStringInfo(&s);
	if (h != NULL && (h->score.opinion == PLACEMENT_SCORED || d->worse > 0))
		appendStringInfo(&s, "\"%s\" scores %.2f", h->node, d->worse);
	if (d->node != NULL && ch->c.alternative.opinion == PLACEMENT_SCORED)
		appendStringInfo(&s, "%s\"%s\" %s%.2f", s.len > 0 ? ", " : "", d->node, s.len > 0 ? "" : "scores ",
						 ch->c.alternative.value);
	if (d->cost > 0)
		appendStringInfo(&s, "; worth %.2f, the move costs %.2f with %d running and " INT64_FORMAT " ready",
						 (d->better - d->worse) * ch->round->settings.service_value, d->cost,
						 h ? h->running : 0, (int64) ch->c.backlog);
	switch (d->why)
	{
		case PLACEMENT_GAP:
			appendStringInfo(&s, "; %.2f more are wanted", ch->round->settings.gap);
			break;
		case PLACEMENT_MAX_MOVES:
			appendStringInfo(&s, "; %d under way", ch->c.moves);
			break;
		case PLACEMENT_EVICTING:
		case PLACEMENT_NO_NODE:
			for (int i = 0; i < ch->c.nholders; i++)
				if (ch->c.holders[i].evicting)
					appendStringInfo(&s, "%s%d jobs run on \"%s\"", s.len > 0 ? ", " : "",
									 ch->c.holders[i].running, ch->c.holders[i].node);
			break;
		default:
			break;
	}
	return s.data;
}

static void
evict(Chain *ch, const PlacementDecision *d)
{
	PlacementHolder *h = &ch->c.holders[d->holder];
	Oid			types[6] = {TEXTOID, TEXTOID, FLOAT4OID, TEXTOID, TEXTOID, FLOAT4OID};
	Datum		values[6];
	char		nulls[7] = "      ";
	char	   *detail = describe(ch, d);
	char	   *scores = ch->scores.len > 0 ? psprintf("%s}", ch->scores.data) : "{}";

	values[0] = CStringGetTextDatum(h->node);
	values[1] = CStringGetTextDatum(PlacementWhyNames[d->why]);
	values[2] = Float4GetDatum((float4) d->worse);
	values[3] = CStringGetTextDatum(scores);
	values[4] = TEXT_OR_NULL(detail[0] ? detail : NULL);
	values[5] = Float4GetDatum((float4) d->better);
	if (d->why != PLACEMENT_SCORE)
		nulls[2] = nulls[5] = 'n';
	if (!detail[0])
		nulls[4] = 'n';
	fs_spi_begin();
	run_text(ch, "UPDATE fairsched.placements SET state = 'evicting' "
			 "WHERE chain_kind = $1 AND chain = $2 AND node = $3", h->node);
	run(ch, "UPDATE fairsched.placement_chains SET last_move = clock_timestamp() "
		"WHERE chain_kind = $1 AND chain = $2", 0, NULL, NULL, NULL);
	run(ch, "INSERT INTO fairsched.placement_events "
		"(chain_kind, chain, from_node, reason, from_score, scores, detail, to_score, state, started_at) "
		"VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, 'evicting', clock_timestamp())", 6, types, values, nulls);
	fs_spi_end();
	h->evicting = true;
	ch->open++;
	ch->round->acts++;
	if (d->why == PLACEMENT_SCORE)
		ch->round->moves++;
}

/* Nothing of it runs there any more. */
static void
finish(Chain *ch, int i)
{
	const char *node = ch->c.holders[i].node;

	fs_spi_begin();
	run_text(ch, "DELETE FROM fairsched.placements WHERE chain_kind = $1 AND chain = $2 AND node = $3 "
			 "AND state = 'evicting'", node);
	run_text(ch, "DELETE FROM fairsched.placement_scores WHERE chain_kind = $1 AND chain = $2 AND node = $3", node);
	run_text(ch, "UPDATE fairsched.placement_events SET "
			 "state = CASE WHEN to_node IS NULL AND reason <> 'surplus' THEN 'refilling' ELSE 'done' END, "
			 "finished_at = CASE WHEN to_node IS NULL AND reason <> 'surplus' THEN NULL ELSE clock_timestamp() END, "
			 "took = CASE WHEN to_node IS NULL AND reason <> 'surplus' THEN NULL "
			 "ELSE clock_timestamp() - started_at END "
			 "WHERE chain_kind = $1 AND chain = $2 AND from_node = $3 AND state = 'evicting'", node);
	fs_spi_end();
	ch->left[ch->nleft++] = node;
	ch->round->acts++;
}

static void
forget_holder(Chain *ch, const char *node)
{
	for (int i = 0; i < ch->c.nholders; i++)
		if (ch->c.holders[i].node == node)
		{
			int			rest = --ch->c.nholders - i;

			memmove(&ch->c.holders[i], &ch->c.holders[i + 1], sizeof(PlacementHolder) * rest);
			memmove(&ch->samples[i], &ch->samples[i + 1], sizeof(Samples) * rest);
			return;
		}
}

/* Place it on the alternative: the oldest move that lacks a place gets it. */
static void
refill(Chain *ch, const PlacementDecision *d)
{
	Oid			types[4] = {TEXTOID, FLOAT4OID, TEXTOID, TEXTOID};
	Datum		values[4];
	char		nulls[5] = "    ";
	char	   *detail = describe(ch, d);
	char	   *scores = ch->scores.len > 0 ? psprintf("%s}", ch->scores.data) : "{}";
	PlacementHolder *h;

	values[0] = CStringGetTextDatum(d->node);
	values[1] = Float4GetDatum((float4) ch->c.alternative.value);
	values[2] = CStringGetTextDatum(scores);
	values[3] = TEXT_OR_NULL(detail[0] ? detail : NULL);
	if (ch->c.alternative.opinion != PLACEMENT_SCORED)
		nulls[1] = 'n';
	if (!detail[0])
		nulls[3] = 'n';
	fs_spi_begin();
	if (run_text(ch, "INSERT INTO fairsched.placements (chain_kind, chain, node, since) "
				 "SELECT $1, $2, n.node, clock_timestamp() FROM fairsched.nodes n WHERE n.node = $3 FOR KEY SHARE",
				 d->node) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("node \"%s\" was dropped", d->node)));
	run(ch, "UPDATE fairsched.placement_chains SET last_move = clock_timestamp() "
		"WHERE chain_kind = $1 AND chain = $2", 0, NULL, NULL, NULL);
	if (run(ch, "UPDATE fairsched.placement_events SET to_node = $3, to_score = $4, "
			"state = CASE state WHEN 'refilling' THEN 'done' ELSE state END, "
			"finished_at = CASE state WHEN 'refilling' THEN clock_timestamp() END, "
			"took = CASE state WHEN 'refilling' THEN clock_timestamp() - started_at END "
			"WHERE event_id = (SELECT min(e.event_id) FROM fairsched.placement_events e "
			"WHERE e.chain_kind = $1 AND e.chain = $2 AND e.state IN ('evicting', 'refilling') "
			"AND e.to_node IS NULL AND e.reason <> 'surplus')", 2, types, values, nulls) == 0)
		run(ch, "INSERT INTO fairsched.placement_events "
			"(chain_kind, chain, to_node, to_score, scores, detail, reason, state, started_at, finished_at, took) "
			"VALUES ($1, $2, $3, $4, $5::jsonb, $6, 'short', 'done', clock_timestamp(), clock_timestamp(), '0')",
			4, types, values, nulls);
	fs_spi_end();

	h = &ch->c.holders[ch->c.nholders];
	memset(h, 0, sizeof(*h));
	memset(&ch->samples[ch->c.nholders++], 0, sizeof(Samples));
	h->node = d->node;
	h->since = ch->c.now;
	ch->c.last_move = ch->c.now;
	ch->c.alternative = (PlacementScore)
	{
		PLACEMENT_NOT_ASKED, 0
	};
	ch->c.alternative_node = NULL;
	ch->round->acts++;
}

/* It stays, with all the holders it should have: what a hand has changed meanwhile is over. */
static void
close_events(Chain *ch)
{
	int			live = 0;

	for (int i = 0; i < ch->c.nholders; i++)
	{
		if (ch->c.holders[i].evicting)
			return;
		live += ch->c.holders[i].lost == PLACEMENT_WHY_NONE;
	}
	if (ch->open == 0 || live < ch->c.desired || ch->asked > 0)
		return;
	fs_spi_begin();
	run(ch, "UPDATE fairsched.placement_events SET state = 'ended', finished_at = clock_timestamp(), "
		"took = clock_timestamp() - started_at "
		"WHERE chain_kind = $1 AND chain = $2 AND state IN ('evicting', 'refilling')", 0, NULL, NULL, NULL);
	fs_spi_end();
}

static void
conclude(Chain *ch, const char *verdict, const char *detail, TimestampTz due)
{
	Oid			types[3] = {TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[3];
	char		nulls[4] = "   ";

	values[0] = TEXT_OR_NULL(verdict);
	values[1] = TEXT_OR_NULL(detail);
	values[2] = TimestampTzGetDatum(due);
	nulls[0] = verdict ? ' ' : 'n';
	nulls[1] = detail && detail[0] ? ' ' : 'n';
	nulls[2] = due == PLACEMENT_NEVER ? 'n' : ' ';
	fs_spi_begin();
	if (verdict)
		run(ch, "UPDATE fairsched.placement_watch SET verdict = $3, detail = $4, due = $5, "
			"evaluated_at = clock_timestamp() WHERE chain_kind = $1 AND chain = $2", 3, types, values, nulls);
	else
		run(ch, "UPDATE fairsched.placement_watch SET due = $3 WHERE chain_kind = $1 AND chain = $2",
			1, types + 2, values + 2, nulls + 2);
	fs_spi_end();
}

/* It is not placed any more. */
static void
forget(Chain *ch)
{
	fs_spi_begin();
	run(ch, "DELETE FROM fairsched.placement_watch WHERE chain_kind = $1 AND chain = $2", 0, NULL, NULL, NULL);
	run(ch, "DELETE FROM fairsched.placement_scores WHERE chain_kind = $1 AND chain = $2", 0, NULL, NULL, NULL);
	run(ch, "UPDATE fairsched.placement_events SET state = 'ended', finished_at = clock_timestamp(), "
		"took = clock_timestamp() - started_at "
		"WHERE chain_kind = $1 AND chain = $2 AND state IN ('evicting', 'refilling')", 0, NULL, NULL, NULL);
	fs_spi_end();
}

/* What runs where it is evicted from: asked to yield, counted, resumed elsewhere. */
static void
look_after_jobs(Chain *ch)
{
	if (ch->open == 0)
		return;
	for (int i = 0; i < ch->c.nholders; i++)
		if (ch->c.holders[i].evicting && ch->c.holders[i].lost != PLACEMENT_DEAD)
			fs_placement_ask_to_yield(ch->round->db, ch->kind, ch->name, ch->c.holders[i].node);
	count_jobs(ch);
	ch->asked = fs_placement_resume(ch->round->db, ch->kind, ch->name);

	/*
	 * a job that is still to be resumed keeps the move open, also where its
	 * node is dead
	 */
	for (int i = 0; i < ch->c.nholders && ch->asked > 0; i++)
		if (ch->c.holders[i].evicting)
		{
			ch->c.holders[i].running += ch->asked;
			ch->c.holders[i].lost = PLACEMENT_WHY_NONE;
		}
}

/* Do one decision; false: nothing is to follow it in this round. */
static bool
act(Chain *ch, const PlacementDecision *d)
{
	switch (d->act)
	{
		case PLACEMENT_FINISH:
			finish(ch, d->holder);
			return true;
		case PLACEMENT_EVICT:
			evict(ch, d);
			return true;
		case PLACEMENT_REFILL:
			refill(ch, d);
			return true;
		case PLACEMENT_ASK_SCORES:
			ask_scores(ch);
			return true;
		case PLACEMENT_ASK_ALTERNATIVE:
			ask_alternative(ch);
			return true;
		case PLACEMENT_ASK_LIVE:
			ch->c.holders[d->holder].live = fs_scorer_score(ch->round->db, &ch->round->scorer, ch->label,
															ch->c.holders[d->holder].node);
			return true;
		case PLACEMENT_STAY:
			break;
	}
	return false;
}

void
fs_placement_chain(FsPlacementRound *round, FsChainKind kind, const char *name)
{
	Chain		chain = {
		.round = round,
		.kind = kind,
		.name = name,
	};
	Chain	   *ch = &chain;
	MemoryContext mine = CurrentMemoryContext;
	PlacementDecision *d;
	int			acts = round->acts;
	Found		found;

	ch->label = fs_chain_label(kind, name);
	ch->c.now = GetCurrentTimestamp();
	initStringInfo(&ch->scores);
	fs_spi_begin();
	found = read_chain(ch, mine);
	fs_spi_end();
	if (found == FOUND_GONE && fs_placement_resume(round->db, kind, name) == 0)
	{
		forget(ch);
		return;
	}
	if (found != FOUND)
	{
		conclude(ch, NULL, NULL, ch->c.now + AGAIN_AFTER);
		return;
	}
	look_after_jobs(ch);
	d = palloc(sizeof(PlacementDecision) * (ch->c.nholders + FS_MAX_HOLDERS + 2));
	for (;;)
	{
		int			n;
		bool		evicted = false;
		bool		go_on = true;

		ch->c.moves = round->moves;
		n = placement_decide(&ch->c, &round->settings, d);
		if (d[n - 1].act == PLACEMENT_ASK_SCORES && round->acts > acts)
		{
			/* what was changed just now is looked at when it is committed */
			conclude(ch, NULL, NULL, ch->c.now);
			return;
		}
		for (int i = 0; i < n && go_on; i++)
		{
			go_on = act(ch, &d[i]);
			evicted |= d[i].act == PLACEMENT_EVICT;
		}

		/*
		 * those that are over leave the list when nothing points into it any
		 * more
		 */
		if (!go_on || evicted)
		{
			if (evicted)
				conclude(ch, PlacementWhyNames[PLACEMENT_EVICTING], describe(ch, &d[n - 1]), ch->c.now);
			else
			{
				close_events(ch);
				conclude(ch, PlacementWhyNames[d[n - 1].why], describe(ch, &d[n - 1]),
						 ch->asked > 0 ? Min(d[n - 1].due, ch->c.now + round->settings.interval) : d[n - 1].due);
			}
			return;
		}
		for (int i = 0; i < ch->nleft; i++)
			forget_holder(ch, ch->left[i]);
		count_eligible(ch);
	}
}
