/*
 * deliberation.c
 *		fairsched_score_deliberation(): scores a text of reasoning, keeps the scores.
 *
 * The text is read where it is (deliberation_score.c) and goes nowhere: not
 * into a table, a message, or the log.  Our own messages name arguments, never
 * what is in them.  But the server logs the statement of an error, and where
 * the caller wrote the text into the statement that is the text; so whatever is
 * raised while we run, by us or by what we call, is logged without statement
 * and context.  What is raised before or after is beyond our reach:
 * docs/deliberation.md says what to do about that.
 *
 * Memory is not asked and no lock of ours is taken: all that changes is a row
 * of fairsched.deliberation_scores, which goes if the transaction rolls back.
 * So a caller who scores a hundred texts in a transaction holds up nobody.  The
 * exception is a job that is held until a score passes (review.c): it is let go
 * in the same transaction, and its row is locked until that ends.
 */
#include "state.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "deliberation_score.h"
#include "review.h"
#include "text.h"
#include "utf8.h"

PG_FUNCTION_INFO_V1(fs_score_deliberation);

#define READ_AT_ONCE	(64 * 1024) /* bytes between looks for a cancel */

/* The arguments in their order. */
enum
{
	ARG_REASONING, ARG_JOB_ID, ARG_RUN_ID, ARG_PHASE, ARG_GOAL, ARG_MODEL, ARG_TOKENS
};

/* Error context callback: nothing that quotes the caller gets into the log. */
static void
hide_statement(void *arg)
{
	errhidestmt(true);
	errhidecontext(true);
}

/* ---------- text as UTF-8 ---------- */

/*
 * A text as UTF-8 bytes; not copied where the database has it so.  In
 * SQL_ASCII bytes stay as they are.  The server's own conversions raise errors
 * that quote what they cannot convert; here that becomes a U+FFFD.
 */
static const char *
as_utf8(text *t, size_t *len)
{
	const char *s = VARDATA_ANY(t);
	int			rest = VARSIZE_ANY_EXHDR(t);
	int			encoding = GetDatabaseEncoding();
	unsigned char piece[8192];
	StringInfoData out;
	Oid			proc;

	*len = rest;
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return s;
	proc = FindDefaultConversionProc(encoding, PG_UTF8);
	if (!OidIsValid(proc))
		return s;
	initStringInfo(&out);
	while (rest > 0)
	{
		int			done = pg_do_encoding_conversion_buf(proc, encoding, PG_UTF8, (unsigned char *) s,
														 rest, piece, sizeof(piece), true);

		if (done > 0)
			appendStringInfoString(&out, (char *) piece);
		else
		{
			done = Min(pg_mblen(s), rest);
			appendStringInfoString(&out, "\xEF\xBF\xBD");
		}
		s += done;
		rest -= done;
		CHECK_FOR_INTERRUPTS();
	}
	*len = out.len;
	return out.data;
}

/* Read a text, and see to it that it can be interrupted. */
static void
read_text(DelibScan *scan, const char *s, size_t len)
{
	while (len > 0)
	{
		size_t		n = Min(len, READ_AT_ONCE);

		while (n < len && n < READ_AT_ONCE + FS_UTF8_MAX && (s[n] & 0xC0) == 0x80)
			n++;				/* whole characters */
		delib_read(scan, s, n);
		s += n;
		len -= n;
		CHECK_FOR_INTERRUPTS();
	}
}

/* ---------- arguments ---------- */

/* An optional name, NULL when it is not given. */
static char *
optional_name(FunctionCallInfo fcinfo, int n, const char *what)
{
	return PG_ARGISNULL(n) ? NULL : fs_arg_name(fcinfo, n, what);
}

static DelibRules
rules_now(void)
{
	DelibRules	rules = {
		.depth_weight = fs_deliberation_depth_weight,
		.coherence_weight = fs_deliberation_coherence_weight,
		.relevance_weight = fs_deliberation_relevance_weight,
		.min_depth = fs_deliberation_min_depth,
		.min_coherence = fs_deliberation_min_coherence,
		.min_relevance = fs_deliberation_min_relevance,
		.min_overall = fs_deliberation_min_overall,
		.max_tokens = fs_deliberation_max_tokens
	};

	if (rules.depth_weight + rules.coherence_weight + rules.relevance_weight <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("weights of the overall score are all 0"),
				 errhint("Set fairsched.deliberation_depth_weight, _coherence_weight or _relevance_weight to more than 0.")));
	return rules;
}

/* ---------- the row ---------- */

static Datum
score_datum(double score)
{
	char		digits[16];
	int			hundredths = delib_hundredths(score);

	snprintf(digits, sizeof(digits), "%d.%02d", hundredths / 100, hundredths % 100);
	return DirectFunctionCall3(numeric_in, CStringGetDatum(digits), ObjectIdGetDatum(InvalidOid),
							   Int32GetDatum(-1));
}

static Datum
text_datum(const char *s, char *null)
{
	*null = s ? ' ' : 'n';
	return s ? CStringGetTextDatum(s) : (Datum) 0;
}

/*
 * fairsched_score_deliberation(reasoning, job_id, run_id, phase, goal, model,
 * tokens) → the row of fairsched.deliberation_scores
 */
Datum
fs_score_deliberation(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT8OID, TEXTOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID,
	INT4OID, TEXTOID, INT4OID, INT4OID, INT4OID, TEXTOID, TEXTOID};
	const char *command = "fairsched_score_deliberation()";
	ErrorContextCallback quiet = {
		.callback = hide_statement,
		.previous = error_context_stack,
	};
	Datum		values[lengthof(types)];
	char		nulls[lengthof(types)];
	Datum		result;
	DelibScan	scan;
	DelibScores scores;
	DelibRules	rules;
	DelibPhase	phase_known;
	char	   *run_id;
	char	   *phase;
	char	   *model;
	const char *goal = "";
	const char *reasoning;
	size_t		len = 0;
	int64		tokens;

	error_context_stack = &quiet;
	(void) fs_catalog();
	PreventCommandDuringRecovery(command);
	PreventCommandIfReadOnly(command);
	PreventCommandIfParallelMode(command);

	fs_need_arg(fcinfo, ARG_REASONING, "reasoning");
	run_id = optional_name(fcinfo, ARG_RUN_ID, "run_id");
	model = optional_name(fcinfo, ARG_MODEL, "model");
	phase = optional_name(fcinfo, ARG_PHASE, "phase");
	phase_known = phase ? delib_phase(phase, strlen(phase)) : DELIB_NO_PHASE;
	if (!PG_ARGISNULL(ARG_JOB_ID) && PG_GETARG_INT64(ARG_JOB_ID) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("job_id must be positive"),
				 errhint("Give the id that fairsched_claim returned, or leave it out.")));
	if (!PG_ARGISNULL(ARG_TOKENS) && PG_GETARG_INT32(ARG_TOKENS) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("tokens must not be negative"),
				 errhint("Leave it out to have them estimated from the length of the text.")));
	rules = rules_now();

	if (!PG_ARGISNULL(ARG_GOAL))
		goal = as_utf8(PG_GETARG_TEXT_PP(ARG_GOAL), &len);
	delib_begin(&scan, phase_known, goal, len,
				MemoryContextAllocHuge(CurrentMemoryContext, delib_goal_space(len)));
	reasoning = as_utf8(PG_GETARG_TEXT_PP(ARG_REASONING), &len);
	read_text(&scan, reasoning, len);
	delib_end(&scan);
	tokens = PG_ARGISNULL(ARG_TOKENS) ? delib_tokens(&scan.counts) : PG_GETARG_INT32(ARG_TOKENS);
	delib_scores(&scan.counts, &rules, tokens, &scores);

	memset(nulls, ' ', sizeof(nulls));
	nulls[0] = PG_ARGISNULL(ARG_JOB_ID) ? 'n' : ' ';
	values[0] = PG_GETARG_DATUM(ARG_JOB_ID);
	values[1] = text_datum(run_id, &nulls[1]);
	values[2] = score_datum(scores.depth);
	values[3] = score_datum(scores.coherence);
	values[4] = score_datum(scores.relevance);
	values[5] = score_datum(scores.overall);
	values[6] = Int32GetDatum((int32) tokens);
	values[7] = CStringGetTextDatum(DelibRecommendations[scores.recommendation]);
	values[8] = Int32GetDatum((int32) delib_steps(&scan.counts));
	values[9] = Int32GetDatum(scan.counts.issues);
	values[10] = Int32GetDatum((int32) scan.counts.off_topic);
	values[11] = text_datum(model, &nulls[11]);
	values[12] = text_datum(phase, &nulls[12]);
	fs_spi_begin();
	fs_spi("INSERT INTO fairsched.deliberation_scores (job_id, run_id, depth_score, coherence_score, "
		   "relevance_score, overall_score, tokens, recommendation, reasoning_steps, logical_issues, "
		   "off_topic_segments, model, phase) "
		   "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) "
		   "RETURNING score_id, job_id, run_id, depth_score, coherence_score, relevance_score, "
		   "overall_score, tokens, recommendation, reasoning_steps, logical_issues, "
		   "off_topic_segments, model, phase, scored_at", lengthof(types), types, values, nulls);
	result = PointerGetDatum(SPI_returntuple(SPI_tuptable->vals[0], SPI_tuptable->tupdesc));
	fs_spi_end();
	if (!PG_ARGISNULL(ARG_JOB_ID) && scores.recommendation == DELIB_PASS)
		fs_review_passed(PG_GETARG_INT64(ARG_JOB_ID), values[5]);
	error_context_stack = quiet.previous;
	PG_RETURN_DATUM(result);
}
