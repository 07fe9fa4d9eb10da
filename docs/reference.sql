-- Prints docs/reference.md from the catalog of a database with fairsched, after docs/reference.head.md:
--     make reference
-- test/t/044_reference.pl sees to it that the file in the tree is what this prints.
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET intervalstyle = postgres_verbose;
SET search_path = public, pg_catalog;

CREATE TEMP TABLE section (n int, title text, intro text, functions text);
INSERT INTO section VALUES
	(1, 'Producers', NULL, 'enqueue|enqueue_many|cancel|cancel_many|cancel_run|retry|reschedule|assign_priority|job_status'),
	(2, 'Workers', NULL, 'claim|complete|complete_many|complete_and_claim|fail|fail_many|release|checkpoint|yield|heartbeat|register_worker|unregister_worker|wait'),
	(3, 'Administration', NULL, '(create|alter|pause|resume|isolate|drop)_workspace|drain|undrain|check'),
	(4, 'Admission', '[quotas.md](quotas.md) is the page for who sets the first quota.',
		'(set|drop|check|enforce)_quota|set_throttle|set_rate_limit|record_usage|workspace_health|cleanup_usage|explain'),
	(5, 'Budgets', 'How they are used: [budgets.md](budgets.md).', 'set_budget|record_spend|reset_budget'),
	(6, 'Preemption', 'How it works, and a worker: [preemption.md](preemption.md).',
		'preempt|resume_job|evaluate_preemption|preemption_candidates|set_capacity'),
	(7, 'Alerts', '[alerts.md](alerts.md) tells of each what it means and what to do.', 'acknowledge_alert'),
	(11, 'The report', '[report.md](report.md) has its keys, and the rules of its recommendations.', 'fairness_report|report_html'),
	(8, 'Capacity and statistics', 'How they are used: [capacity.md](capacity.md).', 'pin_capacity|reset_stats'),
	(10, 'Placement', 'How it works, and a scorer of your own: [placement.md](placement.md).',
		'(un)?place(_lane)?|pin_placement|(set|drop|drain|undrain)_node|set_placement_scorer|builtin_.*|rescore_placements|evaluate_placement'),
	(9, 'Reasoning quality', '[deliberation.md](deliberation.md) has the words that are counted, the settings and an example.',
		'score_deliberation|release_review'),
	(99, 'Other functions', NULL, '.*');

-- Tables that are how it is built, not for use.
CREATE TEMP TABLE internal AS SELECT unnest('{job_tables,control,claim_log_0,claim_log_1,rate_windows,rate_bookings,quota_crossings,position_times,
	budget_totals,budget_spend,budget_averages,placement_watch}'::text[]) AS name;

-- Arguments with their defaults as DESIGN and the documentation write them, in lines of at most 110 characters.
CREATE FUNCTION pg_temp.wrapped(line text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text := '';
	piece text;
	len int := 0;
BEGIN
	FOREACH piece IN ARRAY regexp_split_to_array(line, '(?<=[a-z''0-9)\]LE]), (?=[a-z])') LOOP
		IF len > 0 THEN
			result := result || ',';
			IF len + length(piece) > 106 THEN
				result := result || E'\n   ';
				len := 4;
			END IF;
			result := result || ' ';
		END IF;
		result := result || piece;
		len := len + length(piece) + 2;
	END LOOP;
	RETURN result;
END
$$;

CREATE FUNCTION pg_temp.short(types text) RETURNS text LANGUAGE sql AS $$
	SELECT replace(replace(replace(replace(replace(regexp_replace(regexp_replace(types, '''([^'']*)''::[a-z ]+(\[\])?', '''\1''', 'g'),
		'NULL::[a-z ]+(\[\])?', 'NULL', 'g'), ' DEFAULT ', ' = '), 'timestamp with time zone', 'timestamptz'),
		'integer', 'int'), '''@ 30 secs''', '''30 s'''), '''@ ', '''')
$$;

CREATE TEMP TABLE shown AS
SELECT p.oid, p.proname, s.n,
	CASE WHEN p.prokind = 'p' THEN 'CALL ' ELSE '' END ||
	pg_temp.wrapped(p.proname || '(' || pg_temp.short(coalesce((
		SELECT string_agg(a, ', ' ORDER BY i) FROM (
			SELECT i, pg_get_function_arg_default(p.oid, i::int) AS d,
				p.proargnames[i] || ' ' || format_type(t, NULL) ||
				coalesce(' DEFAULT ' || pg_get_function_arg_default(p.oid, i::int), '') AS a
			FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY AS u(t, i)
			WHERE coalesce(p.proargmodes[i], 'i') IN ('i', 'b')) args), '')) || ')') AS call,
	CASE WHEN p.prokind = 'p' OR p.prorettype = 'void'::regtype THEN NULL
		ELSE pg_temp.wrapped(CASE WHEN p.proretset THEN 'rows of ' ELSE '' END || coalesce(
			'(' || (SELECT string_agg(p.proargnames[i] || ' ' || pg_temp.short(format_type(t, NULL)), ', ' ORDER BY i)
				FROM unnest(p.proallargtypes) WITH ORDINALITY AS u(t, i) WHERE p.proargmodes[i] IN ('o', 't', 'b')) || ')',
			pg_temp.short(format_type(p.prorettype, NULL)))) END AS result,
	obj_description(p.oid, 'pg_proc') AS comment
FROM pg_proc p
CROSS JOIN LATERAL (SELECT min(n) AS n FROM section WHERE substr(p.proname, 11) ~ ('^(' || functions || ')$')) s
WHERE p.proname LIKE 'fairsched\_%' AND p.pronamespace = (SELECT extnamespace FROM pg_extension WHERE extname = 'fairsched');

CREATE TEMP TABLE relation AS
SELECT c.oid, c.relname, obj_description(c.oid, 'pg_class') AS comment,
	(SELECT string_agg(format('| `%s` | %s |', a.attname,
			replace(replace(coalesce(col_description(c.oid, a.attnum), ''), E'\n', ' '), '|', '\|')), E'\n' ORDER BY a.attnum)
		FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
FROM pg_class c
WHERE c.relnamespace = 'fairsched'::regnamespace AND c.relkind IN ('r', 'v', 'p') AND NOT c.relispartition
	AND c.relname NOT IN (SELECT name FROM internal);

WITH line AS (
	SELECT s.n, ''::text AS name, 0 AS part, 0::oid AS oid,
		format(E'## %s\n', s.title) || coalesce(E'\n' || s.intro || E'\n', '') AS text
	FROM section s WHERE EXISTS (SELECT FROM shown WHERE shown.n = s.n)
	UNION ALL
	SELECT n, proname, 1, min(oid), format(E'### %s\n', proname) FROM shown GROUP BY n, proname
	UNION ALL
	SELECT n, proname, 2, oid, format(E'```\n%s%s\n```\n\n%s\n', call, coalesce(E'\n→ ' || result, ''), comment) FROM shown
	UNION ALL
	SELECT 100, '', 0, 0, E'## Views and tables\n\nAll are in schema `fairsched`.\n'
	UNION ALL
	SELECT 100, relname, 1, oid, format(E'### fairsched.%s\n\n%s\n\n| column | |\n|---|---|\n%s\n', relname, comment, columns) FROM relation
)
SELECT rtrim(string_agg(text, E'\n' ORDER BY l.n, coalesce(f.first, 0::oid), l.part, l.oid), E'\n')
FROM line l LEFT JOIN (SELECT name, n, min(oid) AS first FROM line WHERE part > 0 GROUP BY 1, 2) f USING (name, n);
