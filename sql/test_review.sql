-- Jobs that are held until a score of their reasoning passes.
\pset null '(null)'
SET client_min_messages = warning;
TRUNCATE fairsched.deliberation_scores;

-- Texts whose overall scores are known: 0.91 (0.905, rounded) that passes; 0.70, for review; 0.91 that is of too many tokens.
CREATE FUNCTION good(job bigint) RETURNS text LANGUAGE sql AS $$
	SELECT recommendation || ' ' || overall_score
	FROM fairsched_score_deliberation('First a. Then b. Next c. Because of that: thus d. Since e.', job)
$$;
CREATE FUNCTION fair(job bigint) RETURNS text LANGUAGE sql AS $$
	SELECT recommendation || ' ' || overall_score FROM fairsched_score_deliberation('First a. As b.', job)
$$;
CREATE FUNCTION long(job bigint) RETURNS text LANGUAGE sql AS $$
	SELECT recommendation || ' ' || overall_score
	FROM fairsched_score_deliberation('First a. Then b. Next c. Because of that: thus d. Since e.', job, tokens => 2001)
$$;
CREATE FUNCTION rv(n text) RETURNS bigint LANGUAGE sql AS $$
	SELECT job_id FROM fairsched.jobs WHERE lane = 'rv' AND payload ->> 'n' = $1
$$;
CREATE FUNCTION held(n text) RETURNS TABLE (state text, ready boolean, run_at timestamptz, min_deliberation numeric, held boolean)
LANGUAGE sql AS $$
	SELECT state, position > 0, nullif(run_at, CASE WHEN isfinite(run_at) THEN run_at END), min_deliberation,
		review_run_at IS NOT NULL
	FROM fairsched.jobs WHERE job_id = rv($1)
$$;

\echo -- held: no place in the order, no estimate
SELECT job_id > 0 AS job, is_duplicate, queue_position, estimated_wait
FROM fairsched_enqueue('rv_a', '{"n": "a"}', lane => 'rv', min_deliberation => 0.7);
SELECT * FROM held('a');
SELECT count(*) FROM fairsched_claim('rv', 10, lanes => '{rv}');
SELECT state, attempt, run_at = created_at AS at_once, held_reason FROM fairsched_job_status(rv('a'));
SELECT gate, verdict, value, limit_value, detail, retry_at FROM fairsched_explain(rv('a')) WHERE gate IN ('state', 'review');
SELECT ready, scheduled FROM fairsched.workspace_status WHERE workspace = 'rv_a';
SELECT workspace, lane, kind, priority, min_deliberation, run_at = created_at AS at_once, scores, best_score, last_recommendation, run_id
FROM fairsched.review_queue;
SELECT state, wait FROM fairsched.priority_queue WHERE workspace = 'rv_a';

\echo -- what does not pass: too low, or not recommended however high
SELECT fair(rv('a'));
SELECT long(rv('a'));
SELECT * FROM held('a');
SELECT scores, best_score, last_recommendation FROM fairsched.review_queue;
SELECT verdict, value, limit_value FROM fairsched_explain(rv('a')) WHERE gate = 'review';

\echo -- what passes lets it go, in its transaction
BEGIN;
SELECT good(rv('a'));
SELECT * FROM held('a');
ROLLBACK;
SELECT * FROM held('a');
SELECT count(*) FROM fairsched_claim('rv', 10, lanes => '{rv}');
SELECT good(rv('a'));
SELECT * FROM held('a');
SELECT held_reason, state FROM fairsched_job_status(rv('a'));
SELECT gate, verdict, value, limit_value, detail FROM fairsched_explain(rv('a')) WHERE gate IN ('state', 'review');
SELECT count(*) FROM fairsched.review_queue;
SELECT ready, scheduled FROM fairsched.workspace_status WHERE workspace = 'rv_a';
SELECT fair(rv('a')), good(rv('a'));
SELECT state, position > 0 AS ready FROM fairsched.jobs WHERE job_id = rv('a');
SELECT payload, fairsched_complete(job_id, token) FROM fairsched_claim('rv', 10, lanes => '{rv}');

\echo -- the score as it is kept, to the last digit: 0.91
SELECT fairsched_enqueue_many('rv_a', ARRAY['{"n": "b1"}', '{"n": "b2"}']::jsonb[], lane => 'rv', min_deliberation => 0.91) IS NOT NULL AS many;
SELECT (fairsched_enqueue('rv_a', '{"n": "b3"}', lane => 'rv', min_deliberation => 0.911)).is_duplicate;
SELECT good(rv('b1')), good(rv('b3'));
SELECT n, h.* FROM unnest('{b1,b2,b3}'::text[]) n, held(n) h;

\echo -- by an operator
SELECT fairsched_release_review(rv('b2')), fairsched_release_review(rv('b3'));
\set VERBOSITY sqlstate
SELECT fairsched_release_review(rv('b2'));
\set VERBOSITY default
SELECT n, h.* FROM unnest('{b1,b2,b3}'::text[]) n, held(n) h;
SELECT verdict, value, limit_value, detail FROM fairsched_explain(rv('b2')) WHERE gate = 'review';
SELECT count(fairsched_complete(job_id, token)) FROM fairsched_claim('rv', 10, lanes => '{rv}');

\echo -- its time counts from then on
SELECT (fairsched_enqueue('rv_a', '{"n": "c1"}', run_at => now() + interval '1 day', lane => 'rv', min_deliberation => 0)).queue_position;
SELECT (fairsched_enqueue('rv_a', '{"n": "c2"}', run_at => now() - interval '1 day', lane => 'rv', min_deliberation => 0)).queue_position;
SELECT payload ->> 'n' AS n, review_run_at > now() AS later, review_run_at > now() - interval '1 hour' AS not_before FROM fairsched.jobs WHERE lane = 'rv' ORDER BY 1;
SELECT good(rv('c1')), good(rv('c2'));
SELECT n, h.* FROM unnest('{c1,c2}'::text[]) n, held(n) h;
SELECT run_at > now() AS later FROM fairsched.jobs WHERE job_id = rv('c1');
SELECT fairsched_cancel(rv('c1')), fairsched_cancel(rv('c2'));

\echo -- reschedule and assign_priority do not let it go
SELECT (fairsched_enqueue('rv_a', '{"n": "d"}', lane => 'rv', min_deliberation => 0.5)).is_duplicate;
SELECT fairsched_reschedule(rv('d'), now());
SELECT * FROM held('d');
SELECT fairsched_reschedule(rv('d'), '2100-01-01 00:00+00');
SELECT * FROM held('d');
SELECT run_at = '2100-01-01 00:00+00' AS told FROM fairsched_job_status(rv('d'));
SELECT fairsched_assign_priority(rv('d'), 'P0', 'urgent');
SELECT h.*, rank, priority, review_run_at = '2100-01-01 00:00+00' AS same FROM held('d') h, fairsched.jobs j WHERE job_id = rv('d');
SELECT fairsched_reschedule(rv('d'), now());
SELECT count(*) FROM fairsched_claim('rv', 10, lanes => '{rv}');
SELECT good(rv('d'));
SELECT payload, priority FROM fairsched_claim('rv', 10, lanes => '{rv}');

\echo -- what comes later asks for no new score: release, expiry, retry of a dead letter
SELECT token AS d_token FROM fairsched.jobs WHERE job_id = rv('d') \gset
SELECT fairsched_release(rv('d'), :d_token, now() + interval '1 hour');
SELECT state, isfinite(run_at) AS has_time, review_run_at IS NULL AS free FROM fairsched.jobs WHERE job_id = rv('d');
SELECT fairsched_reschedule(rv('d'), now());
SELECT rv('d') AS d \gset
SELECT fairsched_fail(job_id, token, 'no', discard => true) FROM fairsched_claim('rv', lanes => '{rv}');
SELECT min_deliberation FROM fairsched.job_history WHERE job_id = :d;
SELECT fairsched_retry(:d);
SELECT state, position > 0 AS ready, min_deliberation, review_run_at FROM fairsched.jobs WHERE job_id = :d;
SELECT fairsched_complete(job_id, token) FROM fairsched_claim('rv', lanes => '{rv}');

\echo -- cancelled while it is held: history tells when it would have run
SELECT (fairsched_enqueue('rv_a', '{"n": "e"}', lane => 'rv', run_id => 'rv-run', min_deliberation => 0.5)).is_duplicate;
SELECT rv('e') AS e \gset
SELECT fairsched_cancel_run('rv-run');
SELECT state, isfinite(run_at) AS has_time, min_deliberation FROM fairsched.job_history WHERE job_id = :e;
SELECT good(:e);
SELECT state, held_reason FROM fairsched_job_status(:e);

\echo -- its unique key and its place in the queue count
SELECT fairsched_create_workspace('rv_b', max_queue_size => 2, own_table => false);
SELECT (fairsched_enqueue('rv_b', '{"n": "f1"}', lane => 'rv', unique_key => 'k', min_deliberation => 0.5)).is_duplicate;
SELECT is_duplicate, queue_position FROM fairsched_enqueue('rv_b', '{"n": "f1"}', lane => 'rv', unique_key => 'k');
SELECT * FROM held('f1');
SELECT (fairsched_enqueue('rv_b', '{"n": "f2"}', lane => 'rv', min_deliberation => 0.5)).is_duplicate;
SELECT fairsched_enqueue('rv_b', '{"n": "f3"}', lane => 'rv');
\echo :SQLSTATE

\echo -- moved to a table of its own
SELECT fairsched_isolate_workspace('rv_b');
SELECT n, h.* FROM unnest('{f1,f2}'::text[]) n, held(n) h;
SELECT good(rv('f1')), fairsched_release_review(rv('f2'));
SELECT count(fairsched_complete(job_id, token)) FROM fairsched_claim('rv', 10, lanes => '{rv}');

\echo -- the inbox
INSERT INTO fairsched.inbox (workspace, payload, lane, min_deliberation) VALUES
	('rv_a', '{"n": "g1"}', 'rv', 0.5), ('rv_a', '{"n": "g2"}', 'rv', NULL), ('rv_a', '{"n": "g3"}', 'rv', 1) RETURNING min_deliberation;
INSERT INTO fairsched.inbox (workspace, payload, lane, unique_key, min_deliberation) VALUES ('rv_a', '{"n": "g4"}', 'rv', 'g4', 0.5);
COPY fairsched.inbox (workspace, payload, lane, min_deliberation) FROM stdin;
rv_a	{"n": "g5"}	rv	0.6
rv_a	{"n": "g6"}	rv	\N
\.
SELECT n, h.* FROM unnest('{g1,g2,g3,g4,g5,g6}'::text[]) n, held(n) h;
SELECT payload ->> 'n' AS n, good(job_id) FROM fairsched.review_queue JOIN fairsched.jobs USING (job_id) WHERE jobs.workspace = 'rv_a' ORDER BY 1;
SELECT payload ->> 'n' AS n, fairsched_complete(job_id, token) FROM fairsched_claim('rv', 10, lanes => '{rv}');

\echo -- enqueued and scored by one transaction, by one statement
BEGIN;
SELECT good((SELECT job_id FROM fairsched_enqueue('rv_a', '{"n": "h1"}', lane => 'rv', min_deliberation => 0.5)));
WITH i AS (INSERT INTO fairsched.inbox (workspace, payload, lane, min_deliberation)
	VALUES ('rv_a', '{"n": "h2"}', 'rv', 0.5), ('rv_a', '{"n": "h3"}', 'rv', 0.9) RETURNING job_id)
SELECT good(job_id) FROM i;
COMMIT;
SELECT n, h.* FROM unnest('{h1,h2,h3}'::text[]) n, held(n) h;
SELECT count(fairsched_complete(job_id, token)) FROM fairsched_claim('rv', 10, lanes => '{rv}');

\echo -- jobs that are dropped with their workspace
SELECT (fairsched_enqueue('rv_b', '{"n": "j"}', lane => 'rv', min_deliberation => 1)).is_duplicate;
\set VERBOSITY sqlstate
SELECT fairsched_drop_workspace('rv_b');
\set VERBOSITY default
SELECT fairsched_drop_workspace('rv_b', force => true);
SELECT count(*) FROM fairsched.jobs WHERE workspace = 'rv_b';

\echo -- wrong calls
SELECT fairsched_enqueue('rv_a', lane => 'rv', min_deliberation => 1.0000000001);
\echo :SQLSTATE
SELECT fairsched_enqueue('rv_a', lane => 'rv', min_deliberation => -0.01);
\echo :SQLSTATE
SELECT fairsched_enqueue('rv_a', lane => 'rv', min_deliberation => 'NaN');
\echo :SQLSTATE
SELECT fairsched_enqueue_many('rv_a', ARRAY['{}']::jsonb[], lane => 'rv', min_deliberation => 'Infinity');
\echo :SQLSTATE
INSERT INTO fairsched.inbox (workspace, min_deliberation) VALUES ('rv_a', 2);
\echo :SQLSTATE
SELECT fairsched_release_review(NULL);
\echo :SQLSTATE
SELECT fairsched_release_review(1);
\echo :SQLSTATE
SELECT fairsched_release_review(-1);
\echo :SQLSTATE
SELECT (fairsched_enqueue('rv_a', '{"n": "k"}', lane => 'rv')).is_duplicate;
\set VERBOSITY sqlstate
SELECT fairsched_release_review(job_id) FROM (SELECT 1) one, LATERAL (SELECT rv('k') AS job_id) k;
\set VERBOSITY default
BEGIN READ ONLY;
SELECT fairsched_release_review(1);
\echo :SQLSTATE
ROLLBACK;
SELECT fairsched_cancel(rv('k'));
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT "check", in_memory, in_rows FROM fairsched_check() WHERE NOT ok;
