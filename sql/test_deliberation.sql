-- Reasoning quality: scores and recommendations, what is kept of them, settings, every wrong call.
\pset null '(null)'
SET client_min_messages = warning;
TRUNCATE fairsched.deliberation_scores;

-- One row: what it said of a text.
CREATE FUNCTION said(reasoning text, phase text DEFAULT NULL, goal text DEFAULT NULL, tokens int DEFAULT NULL)
RETURNS TABLE (advice text, depth numeric, coherence numeric, relevance numeric, overall numeric, tok int, steps int, issues int, off int) LANGUAGE sql AS $$
	SELECT recommendation, depth_score, coherence_score, relevance_score, overall_score, s.tokens, reasoning_steps, logical_issues, off_topic_segments
	FROM fairsched_score_deliberation(reasoning, phase => said.phase, goal => said.goal, tokens => said.tokens) s
$$;

\echo -- the whole row, and that it is the one that is kept
SELECT job_id, run_id, depth_score, coherence_score, relevance_score, overall_score, tokens, recommendation, reasoning_steps,
	logical_issues, off_topic_segments, model, phase, scored_at BETWEEN now() AND clock_timestamp() AS just_now
FROM fairsched_score_deliberation(
	'First, the requirements: the payment service needs a schema. Then we build it step by step, because that is cheap. '
	'Therefore the goal is met.', 42, 'run-1', 'Plan', 'A schema for the payment service', 'model-x') \gx
CREATE TEMP TABLE got AS SELECT * FROM fairsched_score_deliberation('Thus.', 7, 'run-1', 'test', 'goal', 'm', 11);
SELECT count(*) FROM (SELECT * FROM got EXCEPT SELECT * FROM fairsched.deliberation_scores) d;
SELECT (fairsched_score_deliberation('Thus.')).overall_score;

\echo -- pass, review, fallback, reject
SELECT * FROM said('First a. Then b. Next c. Because of that: thus d. Since e.');
SELECT * FROM said('First a. Then b. Next c. Because of that: thus d. Since e.', tokens => 2000);
SELECT * FROM said('First a. Then b. Next c. Because of that: thus d. Since e.', tokens => 2001);
SELECT * FROM said(repeat('a ', 4002));
SELECT * FROM said(repeat('a ', 4001) || 'a');
SELECT * FROM said('First a. Then b. Next c.');
SELECT * FROM said('First a. As b.');
SELECT * FROM said('It is so.');
SELECT * FROM said('');
SELECT * FROM said(E' \n\t ');
SELECT * FROM said('no end');

\echo -- coherence: four kinds of issue, each once, each in one sentence
SELECT * FROM said('First and then. However, it works but slowly. However, it works but slowly.');
SELECT * FROM said('First and then. It is not so. It must be so. However it is. Although it is not. Both are. And they are neither.');
SELECT * FROM said('First and then. It is never always so. Both are good, but one is neither. Maybe, perhaps, it might, it could be.');
SELECT * FROM said('First and then. Because of that, however, though it is not, it must: both this and that are neither. Maybe maybe maybe maybe.');

\echo -- off-topic: long sentences without a word of the goal
SELECT * FROM said('The weather of today is much better than that of yesterday. Payments are what this sentence, a long one, is all about. Short.', goal => 'Pay the PAYMENT on time');
SELECT * FROM said('The weather of today is much better than that of yesterday.', goal => 'do it now');
SELECT * FROM said('The weather of today is much better than that of yesterday.');

\echo -- relevance: goal and phase
SELECT relevance FROM said('x');
SELECT relevance FROM said('x', goal => '');
SELECT relevance FROM said('x', goal => 'to do');
SELECT relevance FROM said('x', phase => 'review');
SELECT relevance FROM said('x', phase => ' TEST ');
SELECT relevance FROM said('the latest contest', phase => 'test');
SELECT relevance FROM said('testing, and an assertion', phase => 'test');
SELECT relevance FROM said('implementation of code: a function, classes, modules', phase => 'build');
SELECT relevance FROM said('released to production', phase => 'deploy', goal => 'something else');
SELECT relevance FROM said('a user story about objectives', phase => 'plan', goal => 'story objective');
SELECT relevance FROM said('Die GRÖSSE ist überall gleich', goal => 'grösse Überall');
SELECT relevance FROM said('Сроки платежей', goal => 'СРОК ПЛАТЁЖ');

\echo -- settings: of the database, the session
BEGIN;
SET LOCAL fairsched.deliberation_max_tokens = 10;
SELECT advice FROM said('First a. Then b. Next c. Because of that: thus d. Since e.');
SET LOCAL fairsched.deliberation_max_tokens = 15;
SELECT advice FROM said('First a. Then b. Next c. Because of that: thus d. Since e.');
SET LOCAL fairsched.deliberation_min_depth = 1;
SELECT advice FROM said('First a. Then b. Next c. Because of that: thus d. Since e.');
SET LOCAL fairsched.deliberation_min_depth = 0.9;
SET LOCAL fairsched.deliberation_min_coherence = 1;
SELECT advice FROM said('First a. Then b. Next c. Because of that: thus d. Since e.');
SET LOCAL fairsched.deliberation_min_relevance = 0.81;
SELECT advice FROM said('First a. Then b. Next c. Because of that: thus d. Since e.');
SET LOCAL fairsched.deliberation_min_relevance = 0.8;
SET LOCAL fairsched.deliberation_min_overall = 0.91;
SELECT advice, overall FROM said('First a. Then b. Next c. Because of that: thus d. Since e.');
SET LOCAL fairsched.deliberation_min_overall = 0;
SET LOCAL fairsched.deliberation_depth_weight = 1;
SET LOCAL fairsched.deliberation_coherence_weight = 0;
SET LOCAL fairsched.deliberation_relevance_weight = 1;
SELECT advice, overall FROM said('First a. Then b. Next c. Because of that: thus d. Since e.');
ROLLBACK;

\echo -- what is kept
TRUNCATE fairsched.deliberation_scores;
BEGIN;
SELECT advice FROM said('It is so.');
ROLLBACK;
SELECT count(*) FROM fairsched.deliberation_scores;
SELECT s.job_id, s.run_id, s.recommendation FROM (VALUES
	(1, 'a', 'First a. Then b. Next c. Because of that: thus d. Since e.'), (2, 'a', 'It is so.'),
	(3, 'b', 'First a. As b.'), (3000, 'a', 'It is so.'), (5, NULL, 'It is so.')) v(i, r, t),
	fairsched_score_deliberation(t, i, r, model => 'm', tokens => i) s;
SELECT job_id, run_id, overall_score, recommendation FROM fairsched.low_quality_reasoning ORDER BY score_id;
SELECT run_id, scored, passed, for_review, for_fallback, rejected, pass_share, avg_depth, avg_coherence, avg_relevance, avg_overall,
	min_overall, tokens, first_scored_at <= last_scored_at AS in_order
FROM fairsched.deliberation_runs ORDER BY run_id \gx
\echo -- a score below 0.6 that passes, by lower minima
BEGIN;
SET LOCAL fairsched.deliberation_min_depth = 0;
SET LOCAL fairsched.deliberation_min_relevance = 0;
SET LOCAL fairsched.deliberation_min_overall = 0.5;
SELECT advice, overall FROM said('First a. As b.', phase => 'plan');
SELECT recommendation FROM fairsched.low_quality_reasoning WHERE phase = 'plan';
ROLLBACK;
\echo -- views read no more than they have to
SET enable_seqscan = off;
CREATE FUNCTION reads(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		RETURN QUERY SELECT substring(line FROM 'Seq Scan|Sort|deliberation_scores_\w+') WHERE line ~ 'Scan|Sort' AND line ~ 'Seq Scan|Sort|deliberation_scores_';
	END LOOP;
END
$$;
SELECT reads('SELECT * FROM fairsched.low_quality_reasoning ORDER BY scored_at DESC LIMIT 10');
SELECT reads($$SELECT passed FROM fairsched.deliberation_runs WHERE run_id = 'a'$$);
SELECT reads('SELECT recommendation FROM fairsched.deliberation_scores WHERE job_id = 7');
RESET enable_seqscan;

\echo -- wrong calls
\pset tuples_only on
\pset format unaligned
CREATE FUNCTION bad(statement text) RETURNS TABLE (said text) LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN QUERY SELECT 'NO ERROR: ' || statement;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN QUERY SELECT state || ' ' || message || CASE WHEN detail <> '' THEN ' / ' || detail ELSE '' END || ' / ' || coalesce(nullif(hint, ''), 'NO HINT');
END
$$;
SELECT count(*) FROM fairsched.deliberation_scores;
SELECT bad($$SELECT fairsched_score_deliberation(NULL)$$);
SELECT bad($$SELECT fairsched_score_deliberation('x', 0)$$);
SELECT bad($$SELECT fairsched_score_deliberation('x', -1)$$);
SELECT bad($$SELECT fairsched_score_deliberation('x', tokens => -1)$$);
SELECT bad($$SELECT fairsched_score_deliberation('x', run_id => '')$$);
SELECT bad($$SELECT fairsched_score_deliberation('x', run_id => repeat('ä', 65))$$);
SELECT bad($$SELECT fairsched_score_deliberation('x', model => '')$$);
SELECT bad($$SELECT fairsched_score_deliberation('x', model => repeat('x', 129))$$);
SELECT bad($$SELECT fairsched_score_deliberation('x', phase => '')$$);
SELECT bad($$SELECT fairsched_score_deliberation('x', phase => repeat('x', 129))$$);
BEGIN READ ONLY;
SELECT bad($$SELECT fairsched_score_deliberation('x')$$);
ROLLBACK;
BEGIN;
SET LOCAL fairsched.deliberation_depth_weight = 0;
SET LOCAL fairsched.deliberation_coherence_weight = 0;
SET LOCAL fairsched.deliberation_relevance_weight = 0;
SELECT bad($$SELECT fairsched_score_deliberation('x')$$);
ROLLBACK;
SELECT bad($$SET fairsched.deliberation_depth_weight = 1.5$$);
SELECT bad($$SET fairsched.deliberation_min_overall = -0.1$$);
SELECT bad($$SET fairsched.deliberation_max_tokens = 0$$);
SELECT bad($$SET fairsched.deliberation_retention = '1 d'$$);
SELECT count(*) FROM fairsched.deliberation_scores;
\echo -- the longest names
SELECT length(run_id), length(phase), length(model), job_id FROM fairsched_score_deliberation('x', 9007199254740991,
	repeat('ä', 64), repeat('p', 128), 'goal', repeat('m', 128), 2147483647);
\echo -- an application does not set what it is judged by
CREATE ROLE regress_fairsched_app;
SET ROLE regress_fairsched_app;
SELECT bad($$SET fairsched.deliberation_min_overall = 0$$);
SELECT bad($$SELECT fairsched_score_deliberation('x')$$);
RESET ROLE;
GRANT EXECUTE ON FUNCTION fairsched_score_deliberation TO regress_fairsched_app;
SET ROLE regress_fairsched_app;
SELECT recommendation FROM fairsched_score_deliberation('x');
SELECT bad($$SELECT * FROM fairsched.deliberation_scores$$);
RESET ROLE;
REVOKE EXECUTE ON FUNCTION fairsched_score_deliberation FROM regress_fairsched_app;
DROP ROLE regress_fairsched_app;
DROP FUNCTION said, bad, reads;
TRUNCATE fairsched.deliberation_scores;
