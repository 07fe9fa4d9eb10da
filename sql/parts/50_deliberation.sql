-- Reasoning quality: scores of texts, never the texts.

CREATE SEQUENCE fairsched.score_seq;
COMMENT ON SEQUENCE fairsched.score_seq IS 'Ids of fairsched.deliberation_scores.';

CREATE TABLE fairsched.deliberation_scores (
	score_id bigint PRIMARY KEY DEFAULT nextval('fairsched.score_seq'),
	job_id bigint,
	run_id text COLLATE "C",
	depth_score numeric(3, 2) NOT NULL CHECK (depth_score BETWEEN 0 AND 1),
	coherence_score numeric(3, 2) NOT NULL CHECK (coherence_score BETWEEN 0 AND 1),
	relevance_score numeric(3, 2) NOT NULL CHECK (relevance_score BETWEEN 0 AND 1),
	overall_score numeric(3, 2) NOT NULL CHECK (overall_score BETWEEN 0 AND 1),
	tokens integer NOT NULL CHECK (tokens >= 0),
	recommendation text COLLATE "C" NOT NULL CHECK (recommendation IN ('pass', 'review', 'fallback', 'reject')),
	reasoning_steps integer NOT NULL CHECK (reasoning_steps >= 0),
	logical_issues integer NOT NULL CHECK (logical_issues >= 0),
	off_topic_segments integer NOT NULL CHECK (off_topic_segments >= 0),
	model text COLLATE "C",
	phase text COLLATE "C",
	scored_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX deliberation_scores_job ON fairsched.deliberation_scores (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX deliberation_scores_run ON fairsched.deliberation_scores (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX deliberation_scores_time ON fairsched.deliberation_scores (scored_at);
CREATE INDEX deliberation_scores_low ON fairsched.deliberation_scores (scored_at)
	WHERE overall_score < 0.6 OR recommendation <> 'pass';
COMMENT ON TABLE fairsched.deliberation_scores IS 'Scores that fairsched_score_deliberation gave, kept for fairsched.deliberation_retention. Has nothing of the texts. docs/deliberation.md has the formulas.';
COMMENT ON COLUMN fairsched.deliberation_scores.score_id IS 'Id of the score; grows.';
COMMENT ON COLUMN fairsched.deliberation_scores.job_id IS 'Job the text was written for, as the caller said; NULL = none. Not checked, and stays when the job is gone.';
COMMENT ON COLUMN fairsched.deliberation_scores.run_id IS 'Run it was written for, as the caller said; NULL = none.';
COMMENT ON COLUMN fairsched.deliberation_scores.depth_score IS '0 to 1: min(steps/5, 1) * 0.5, plus 0.2 if it concludes, 0.2 if it justifies, 0.1 if its sentences have more than 50 characters on average. steps are reasoning_steps, but their third is not rounded.';
COMMENT ON COLUMN fairsched.deliberation_scores.coherence_score IS '0 to 1: 1 - 0.15 * logical_issues - 0.1 * off_topic_segments, at least 0.';
COMMENT ON COLUMN fairsched.deliberation_scores.relevance_score IS '0 to 1: 0.6 * share of the goal''s words found + 0.4 * share of the phase''s words found. A goal without words, and a missing or unknown phase, count half of their part; 0.8 when neither was given.';
COMMENT ON COLUMN fairsched.deliberation_scores.overall_score IS '0 to 1: mean of the three, by the weights that were set. Like the others rounded to 2 digits after the recommendation was made.';
COMMENT ON COLUMN fairsched.deliberation_scores.tokens IS 'As the caller said, or a quarter of the characters of the text, rounded down.';
COMMENT ON COLUMN fairsched.deliberation_scores.recommendation IS 'fallback: more tokens than fairsched.deliberation_max_tokens. Else reject: one of the four scores is below 0.3. Else review: one is below its minimum. Else pass.';
COMMENT ON COLUMN fairsched.deliberation_scores.reasoning_steps IS 'Sentences with a step marker (first, then, because and so on), but at least a third of all sentences, rounded up.';
COMMENT ON COLUMN fairsched.deliberation_scores.logical_issues IS '0 to 4: how many kinds of issue the text has. In one sentence: however ... but; not ... always; both ... and ... neither. In the text: more than 3 hedges such as maybe.';
COMMENT ON COLUMN fairsched.deliberation_scores.off_topic_segments IS 'Sentences of more than 50 characters without a word of the goal; 0 when the goal has none.';
COMMENT ON COLUMN fairsched.deliberation_scores.model IS 'Model that wrote the text, as the caller said; NULL = not said.';
COMMENT ON COLUMN fairsched.deliberation_scores.phase IS 'Phase of the work, as the caller said; NULL = not said. Known are plan, design, build, test and deploy.';
COMMENT ON COLUMN fairsched.deliberation_scores.scored_at IS 'When it was scored.';

CREATE FUNCTION fairsched_score_deliberation(
	reasoning text, job_id bigint DEFAULT NULL, run_id text DEFAULT NULL, phase text DEFAULT NULL,
	goal text DEFAULT NULL, model text DEFAULT NULL, tokens int DEFAULT NULL,
	OUT score_id bigint, OUT job_id bigint, OUT run_id text, OUT depth_score numeric,
	OUT coherence_score numeric, OUT relevance_score numeric, OUT overall_score numeric,
	OUT tokens int, OUT recommendation text, OUT reasoning_steps int, OUT logical_issues int,
	OUT off_topic_segments int, OUT model text, OUT phase text, OUT scored_at timestamptz)
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_score_deliberation';
COMMENT ON FUNCTION fairsched_score_deliberation(text, bigint, text, text, text, text, int) IS
'Scores a text of reasoning (a chain of thought in English) by its words and keeps the scores, not the text: the row of fairsched.deliberation_scores, whose columns have the formulas. job_id, run_id, model: kept with the scores. phase: plan, design, build, test or deploy, in any case; another one is kept and counts as unknown. goal: what the text should be about; not kept. tokens: NULL = a quarter of the characters. recommendation: pass, review, fallback or reject. An empty text is scored like any other. A job that is held for a review (min_deliberation of fairsched_enqueue) is let go, in the same transaction, if its score passes: recommendation pass, and overall_score at least min_deliberation. Pass the text as a parameter: docs/deliberation.md says why. Errors: 22004 reasoning is null, 22023 tokens is negative, job_id is not positive, run_id, phase or model has not 1 to 128 bytes, or all weights are 0; 25006 read-only transaction or standby; and where a held job is let go, FS004 memory is full.';

CREATE FUNCTION fairsched_release_review(job_id bigint) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_release_review';
COMMENT ON FUNCTION fairsched_release_review(bigint) IS 'Lets a job go that is held until a score of its reasoning passes (min_deliberation of fairsched_enqueue), whatever its scores: it is available, or scheduled when its run_at has not come. Returns true. For administrators. Errors: FS006 unknown job, FS005 it does not wait for a review.';

CREATE VIEW fairsched.review_queue AS
SELECT j.job_id, j.workspace, j.lane, j.kind, j.priority, j.min_deliberation, j.review_run_at AS run_at,
	j.created_at, s.scores, s.best_score, s.last_recommendation, j.run_id
FROM fairsched.jobs j CROSS JOIN LATERAL (
	SELECT count(*) AS scores, max(d.overall_score) AS best_score,
		(array_agg(d.recommendation ORDER BY d.score_id DESC))[1] AS last_recommendation
	FROM fairsched.deliberation_scores d WHERE d.job_id = j.job_id) s
WHERE j.position = 0 AND j.run_at = 'infinity' AND j.review_run_at IS NOT NULL;
COMMENT ON VIEW fairsched.review_queue IS 'Jobs that are held until a score of their reasoning passes (waiting_for_review), with the scores they got so far. Reads the jobs that wait without a time by an index, and the scores of each job that is shown.';
COMMENT ON COLUMN fairsched.review_queue.job_id IS 'Id of the job; fairsched_release_review lets it go.';
COMMENT ON COLUMN fairsched.review_queue.workspace IS 'Tenant it belongs to.';
COMMENT ON COLUMN fairsched.review_queue.lane IS 'Lane it waits in.';
COMMENT ON COLUMN fairsched.review_queue.kind IS 'Kind of work.';
COMMENT ON COLUMN fairsched.review_queue.priority IS 'P0 to P3.';
COMMENT ON COLUMN fairsched.review_queue.min_deliberation IS 'Least overall score that lets it go.';
COMMENT ON COLUMN fairsched.review_queue.run_at IS 'When it may run after that; in the past: at once.';
COMMENT ON COLUMN fairsched.review_queue.created_at IS 'When it was enqueued.';
COMMENT ON COLUMN fairsched.review_queue.scores IS 'Scores that it got.';
COMMENT ON COLUMN fairsched.review_queue.best_score IS 'Highest overall_score of them, whatever the recommendation; NULL = none.';
COMMENT ON COLUMN fairsched.review_queue.last_recommendation IS 'Recommendation of the last of them; NULL = none.';
COMMENT ON COLUMN fairsched.review_queue.run_id IS 'Run it is part of.';

CREATE VIEW fairsched.low_quality_reasoning AS
SELECT s.score_id, s.job_id, s.run_id, s.depth_score, s.coherence_score, s.relevance_score,
	s.overall_score, s.tokens, s.recommendation, s.reasoning_steps, s.logical_issues,
	s.off_topic_segments, s.model, s.phase, s.scored_at
FROM fairsched.deliberation_scores s
WHERE s.overall_score < 0.6 OR s.recommendation <> 'pass';
COMMENT ON VIEW fairsched.low_quality_reasoning IS 'Scores with an overall score below 0.6 or a recommendation other than pass. ORDER BY scored_at DESC LIMIT n reads n rows by an index.';

CREATE VIEW fairsched.deliberation_runs AS
SELECT s.run_id, count(*) AS scored,
	count(*) FILTER (WHERE s.recommendation = 'pass') AS passed,
	count(*) FILTER (WHERE s.recommendation = 'review') AS for_review,
	count(*) FILTER (WHERE s.recommendation = 'fallback') AS for_fallback,
	count(*) FILTER (WHERE s.recommendation = 'reject') AS rejected,
	round(count(*) FILTER (WHERE s.recommendation = 'pass')::numeric / count(*), 2) AS pass_share,
	round(avg(s.depth_score), 2) AS avg_depth, round(avg(s.coherence_score), 2) AS avg_coherence,
	round(avg(s.relevance_score), 2) AS avg_relevance, round(avg(s.overall_score), 2) AS avg_overall,
	min(s.overall_score) AS min_overall, sum(s.tokens) AS tokens,
	min(s.scored_at) AS first_scored_at, max(s.scored_at) AS last_scored_at
FROM fairsched.deliberation_scores s
WHERE s.run_id IS NOT NULL
GROUP BY s.run_id;
COMMENT ON VIEW fairsched.deliberation_runs IS 'Scores of reasoning by run, for those that name one. With WHERE run_id = ... it reads the scores of that run by an index, without it all that are kept.';

DO $$
DECLARE
	c record;
BEGIN
	-- the view has the table's columns
	FOR c IN SELECT a.attname, col_description(a.attrelid, a.attnum) AS txt FROM pg_attribute a
		WHERE a.attrelid = 'fairsched.deliberation_scores'::regclass AND a.attnum > 0
	LOOP
		EXECUTE format('COMMENT ON COLUMN fairsched.low_quality_reasoning.%I IS %L', c.attname, c.txt);
	END LOOP;
END
$$;
COMMENT ON COLUMN fairsched.deliberation_runs.run_id IS 'The run.';
COMMENT ON COLUMN fairsched.deliberation_runs.scored IS 'Texts that were scored.';
COMMENT ON COLUMN fairsched.deliberation_runs.passed IS 'With the recommendation pass.';
COMMENT ON COLUMN fairsched.deliberation_runs.for_review IS 'With the recommendation review.';
COMMENT ON COLUMN fairsched.deliberation_runs.for_fallback IS 'With the recommendation fallback.';
COMMENT ON COLUMN fairsched.deliberation_runs.rejected IS 'With the recommendation reject.';
COMMENT ON COLUMN fairsched.deliberation_runs.pass_share IS 'passed / scored, 0 to 1.';
COMMENT ON COLUMN fairsched.deliberation_runs.avg_depth IS 'Mean of depth_score.';
COMMENT ON COLUMN fairsched.deliberation_runs.avg_coherence IS 'Mean of coherence_score.';
COMMENT ON COLUMN fairsched.deliberation_runs.avg_relevance IS 'Mean of relevance_score.';
COMMENT ON COLUMN fairsched.deliberation_runs.avg_overall IS 'Mean of overall_score.';
COMMENT ON COLUMN fairsched.deliberation_runs.min_overall IS 'Lowest overall_score.';
COMMENT ON COLUMN fairsched.deliberation_runs.tokens IS 'Sum of tokens.';
COMMENT ON COLUMN fairsched.deliberation_runs.first_scored_at IS 'When the first was scored.';
COMMENT ON COLUMN fairsched.deliberation_runs.last_scored_at IS 'When the last was scored.';

REVOKE ALL ON fairsched.deliberation_scores, fairsched.low_quality_reasoning,
	fairsched.deliberation_runs, fairsched.review_queue FROM PUBLIC;

SELECT pg_extension_config_dump('fairsched.deliberation_scores', '');
SELECT pg_extension_config_dump('fairsched.score_seq', '');
