-- The report as one page of HTML: plots are inline SVG, nothing is loaded, no script runs.

-- Text that came from outside, for HTML; control characters, which no browser shows, as spaces.
CREATE FUNCTION fairsched.html(value text) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT replace(replace(replace(replace(regexp_replace(coalesce(value, ''), '[\x01-\x1f\x7f]', ' ', 'g'),
		'&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;')
$$;
COMMENT ON FUNCTION fairsched.html(text) IS 'Internal: text made safe for HTML.';

CREATE FUNCTION fairsched.html_seconds(seconds double precision) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN seconds IS NULL THEN '&ndash;' WHEN seconds < 0.001 THEN '&lt; 1 ms' WHEN seconds < 0.9995 THEN round((seconds * 1000)::numeric) || ' ms'
		WHEN seconds < 9.95 THEN trim_scale(round(seconds::numeric, 1)) || ' s' WHEN seconds < 119.5 THEN round(seconds::numeric) || ' s'
		WHEN seconds < 7170 THEN round((seconds / 60)::numeric) || ' min' WHEN seconds < 172800 THEN trim_scale(round((seconds / 3600)::numeric, 1)) || ' h'
		ELSE trim_scale(round((seconds / 86400)::numeric, 1)) || ' d' END
$$;
COMMENT ON FUNCTION fairsched.html_seconds(double precision) IS 'Internal: a time for people.';

CREATE FUNCTION fairsched.html_number(n numeric) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN n IS NULL THEN '&ndash;' WHEN abs(n) >= 1e15 THEN to_char(n, 'FM9.99EEEE')
		WHEN n = trunc(n) OR abs(n) >= 1000 THEN replace(to_char(round(n), 'FM999,999,999,999,990'), ',', '&#8239;')
		ELSE trim_scale(round(n, CASE WHEN abs(n) >= 10 THEN 1 ELSE 2 END))::text END
$$;
COMMENT ON FUNCTION fairsched.html_number(numeric) IS 'Internal: a number for people; thousands are parted by thin spaces.';

-- A horizontal bar: the value as a filled bar, a mark where it should be, both from 0 to 1.
CREATE FUNCTION fairsched.svg_bar(value double precision, mark double precision, class text) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('<svg class="bar" viewBox="0 0 300 14" preserveAspectRatio="none" aria-hidden="true"><rect class="rail" width="300" height="14"/>'
		'<rect class="%s" width="%s" height="14"/>%s</svg>', class,
		round((300 * least(greatest(coalesce(value, 0), 0), 1))::numeric, 1),
		CASE WHEN mark IS NOT NULL THEN format('<rect class="mark" x="%s" width="3" height="14"/>',
			round((297 * least(greatest(mark, 0), 1))::numeric, 1)) ELSE '' END)
$$;
COMMENT ON FUNCTION fairsched.svg_bar(double precision, double precision, text) IS 'Internal: a bar of the report.';

-- Percentiles of a waiting time on a logarithmic axis from 1 ms to 1 day.
CREATE FUNCTION fairsched.svg_dwell(p50 double precision, p95 double precision, p99 double precision) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('<svg class="bar" viewBox="0 0 300 14" preserveAspectRatio="none" aria-hidden="true"><rect class="rail" width="300" height="14"/>'
		'<rect class="s1 faint" x="%s" width="%s" height="14"/><rect class="s1" x="%s" width="%s" height="14"/><rect class="mark" x="%s" width="3" height="14"/></svg>',
		x50, x99 - x50, x50, x95 - x50, least(x50, 297))
	FROM (SELECT round((300 * ln(least(greatest(p50, 0.001), 86400) / 0.001) / ln(86400 / 0.001))::numeric, 1) AS x50,
		round((300 * ln(least(greatest(p95, 0.001), 86400) / 0.001) / ln(86400 / 0.001))::numeric, 1) AS x95,
		round((300 * ln(least(greatest(p99, 0.001), 86400) / 0.001) / ln(86400 / 0.001))::numeric, 1) AS x99) x
$$;
COMMENT ON FUNCTION fairsched.svg_dwell(double precision, double precision, double precision) IS 'Internal: waiting times as a bar of the report.';

-- Text in a table that may be long: what does not fit is in its title.
CREATE FUNCTION fairsched.html_name(value text) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('<span class="cut" title="%1$s">%1$s</span>', fairsched.html(value))
$$;
COMMENT ON FUNCTION fairsched.html_name(text) IS 'Internal: a name in a table of the report, cut where it is long.';

-- The end of an axis: the next of 1, 1.2, 1.6, 2, 3, 4, 5, 6 and 8, with zeros, so that its middle is a round number too.
CREATE FUNCTION fairsched.svg_top(value double precision) RETURNS double precision
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT min(f * power(10, floor(log(value)))) FROM unnest('{1,1.2,1.6,2,3,4,5,6,8,10}'::double precision[]) f
	WHERE f * power(10, floor(log(value))) >= value * (1 - 1e-9)
$$;
COMMENT ON FUNCTION fairsched.svg_top(double precision) IS 'Internal: the round number at the end of an axis for values up to this one, which is above 0.';

-- Up to two lines over time. at: 0 to 1 from left to right; values from 0 to top.
CREATE FUNCTION fairsched.svg_lines(at double precision[], one double precision[], two double precision[],
	top double precision, names text[], starts text, ends text) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH point AS (
		SELECT i, round((64 + 520 * at[i])::numeric, 1) AS x, one[i] AS one, two[i] AS two FROM generate_subscripts(at, 1) i),
	drawn AS (
		SELECT string_agg(format('%s,%s', x, round((130 - 118 * least(one / top, 1))::numeric, 1)), ' ' ORDER BY i) FILTER (WHERE one IS NOT NULL) AS line1,
			string_agg(format('%s,%s', x, round((130 - 118 * least(two / top, 1))::numeric, 1)), ' ' ORDER BY i) FILTER (WHERE two IS NOT NULL) AS line2
		FROM point)
	SELECT format('<p class="key"><span class="k1"></span>%s%s</p>', fairsched.html(names[1]),
			CASE WHEN two IS NOT NULL THEN format('<span class="k2"></span>%s', fairsched.html(names[2])) ELSE '' END) ||
		'<svg class="lines" viewBox="0 0 600 152" role="img" aria-label="' || fairsched.html(array_to_string(names, ', ')) || ' over time">' ||
		(SELECT string_agg(format('<line class="grid" x1="64" x2="584" y1="%s" y2="%s"/><text x="58" y="%s" text-anchor="end">%s</text>',
			130 - 59 * g, 130 - 59 * g, 134 - 59 * g, fairsched.html_number((top * g / 2)::numeric)), '' ORDER BY g) FROM generate_series(0, 2) g) ||
		coalesce(format('<polyline class="l2" points="%s"/>', line2), '') || coalesce(format('<polyline class="l1" points="%s"/>', line1), '') ||
		format('<text x="64" y="148">%s</text><text x="584" y="148" text-anchor="end">%s</text></svg>', fairsched.html(starts), fairsched.html(ends))
	FROM drawn
$$;
COMMENT ON FUNCTION fairsched.svg_lines(double precision[], double precision[], double precision[], double precision, text[], text, text) IS 'Internal: a plot of lines of the report.';

-- Columns, one for each part of the period.
CREATE FUNCTION fairsched.svg_columns(counts bigint[], name text, starts text, ends text) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('<svg class="lines" viewBox="0 0 600 152" role="img" aria-label="%s over time">', fairsched.html(name)) ||
		(SELECT string_agg(format('<line class="grid" x1="64" x2="584" y1="%s" y2="%s"/><text x="58" y="%s" text-anchor="end">%s</text>',
			130 - 118 * g, 130 - 118 * g, 134 - 118 * g, fairsched.html_number((top * g)::numeric)), '' ORDER BY g) FROM generate_series(0, 1) g) ||
		coalesce((SELECT string_agg(format('<rect class="s1" x="%s" y="%s" width="%s" height="%s"/>',
				round(64 + (i - 1) * 520.0 / n + 1, 1), round((130 - 118 * counts[i] / top)::numeric, 1), round(520.0 / n - 2, 1), round((118 * counts[i] / top)::numeric, 1)), '' ORDER BY i)
			FROM generate_subscripts(counts, 1) i WHERE counts[i] > 0), '') ||
		format('<text x="64" y="148">%s</text><text x="584" y="148" text-anchor="end">%s</text></svg>', fairsched.html(starts), fairsched.html(ends))
	FROM (SELECT fairsched.svg_top(greatest(max(c), 1)) AS top, count(*) AS n FROM unnest(counts) c) t
$$;
COMMENT ON FUNCTION fairsched.svg_columns(bigint[], text, text, text) IS 'Internal: a plot of columns of the report.';

-- A table; head and cells are HTML already, cells of a row in an array. numeric_from: columns from there on are figures.
CREATE FUNCTION fairsched.html_table(head text[], cells jsonb, numeric_from int, nothing text) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN jsonb_array_length(coalesce(cells, '[]')) = 0 THEN format('<p class="nothing">%s</p>', nothing)
		ELSE '<div class="scroll"><table><thead><tr>' ||
			(SELECT string_agg(format('<th%s>%s</th>', CASE WHEN i >= numeric_from THEN ' class="n"' ELSE '' END, h), '' ORDER BY i)
				FROM unnest(head) WITH ORDINALITY AS u(h, i)) || '</tr></thead><tbody>' ||
			(SELECT string_agg('<tr>' || (SELECT string_agg(format('<td%s>%s</td>', CASE WHEN i >= numeric_from THEN ' class="n"' ELSE '' END, c), '' ORDER BY i)
				FROM jsonb_array_elements_text(row) WITH ORDINALITY AS v(c, i)) || '</tr>', '' ORDER BY r)
				FROM jsonb_array_elements(cells) WITH ORDINALITY AS t(row, r)) || '</tbody></table></div>' END
$$;
COMMENT ON FUNCTION fairsched.html_table(text[], jsonb, int, text) IS 'Internal: a table of the report.';

CREATE FUNCTION fairsched.html_card(title text, body text, note text DEFAULT NULL, wide boolean DEFAULT false) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format(E'<section class="card%s"><h2>%s</h2>%s%s</section>\n', CASE WHEN wide THEN ' wide' ELSE '' END, title,
		coalesce('<p class="note">' || note || '</p>', ''), body)
$$;
COMMENT ON FUNCTION fairsched.html_card(text, text, text, boolean) IS 'Internal: a part of the report.';

CREATE FUNCTION fairsched_report_html(period interval DEFAULT '24 hours') RETURNS text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	parts CONSTANT int := 24;
	now CONSTANT timestamptz := clock_timestamp();
	began timestamptz;
	api text := (SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'fairsched');
	r jsonb;
	starts text;
	at double precision[];
	depth double precision[];
	running double precision[];
	score double precision[];
	jain double precision[];
	counts bigint[];
	page text;
BEGIN
	PERFORM fairsched.report_period(period);
	EXECUTE format('SELECT %s.fairsched_fairness_report($1)', api) INTO r USING period;
	began := now - period;
	starts := to_char(began, 'YYYY-MM-DD HH24:MI');

	-- at most 120 points: the mean of what lies between
	SELECT array_agg(b.at ORDER BY b.at), array_agg(b.depth ORDER BY b.at), array_agg(b.running ORDER BY b.at),
		array_agg(b.score ORDER BY b.at), array_agg(b.jain ORDER BY b.at)
	INTO at, depth, running, score, jain
	FROM (SELECT avg(extract(epoch FROM s.sampled_at - began) / extract(epoch FROM period))::double precision AS at,
			avg(s.depth)::double precision AS depth, avg(s.running)::double precision AS running, avg(s.score) AS score, avg(s.jain_index) AS jain
		FROM fairsched.fairness_samples s WHERE s.scope = 'all' AND s.sampled_at BETWEEN began AND now
		GROUP BY floor(extract(epoch FROM s.sampled_at - began) / extract(epoch FROM period) * 120)) b;

	page := format($html$<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>fairsched: %1$s</title>
<style>
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --ink: #1b1f24; --dim: #5b6470; --line: #d9dde3; --rail: #e9ecf0;
  --s1: #2563a8; --s2: #b4530f; --mark: #1b1f24; --good: #1f7a3d; --warn: #96650a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --card: #1d2126; --ink: #e8eaed; --dim: #a2abb6; --line: #363c44; --rail: #2b3037;
  --s1: #6aa9ee; --s2: #f0955c; --mark: #ffffff; --good: #5cc27f; --warn: #e0b34c; --bad: #f28b82; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 24px; background: var(--page); color: var(--ink); font: 14px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 20px; margin: 0 0 4px; } h2 { font-size: 15px; margin: 0 0 8px; }
p { margin: 0 0 8px; } .note, .sub, .nothing { color: var(--dim); } .sub { margin-bottom: 16px; }
.grid-of-cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%%, 440px), 1fr)); gap: 16px; align-items: start; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 16px; min-width: 0; } .wide { grid-column: 1 / -1; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(120px, 1fr)); gap: 12px; margin-bottom: 16px; }
.figure { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px; min-width: 0; }
.figure b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; } .figure > span { color: var(--dim); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%%; } th, td { text-align: left; padding: 4px 16px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: normal; }
th:last-child, td:last-child { padding-right: 0; } tbody tr:last-child td { border-bottom: 0; }
th { color: var(--dim); font-weight: 500; white-space: nowrap; } .date { white-space: nowrap; } .long { display: block; min-width: 220px; overflow-wrap: anywhere; }
.cut { display: inline-block; max-width: 220px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; vertical-align: bottom; } .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.rows { display: grid; grid-template-columns: minmax(80px, 3fr) minmax(80px, 4fr) minmax(110px, max-content); gap: 6px 10px; align-items: center; grid-auto-flow: dense; }
.wide .rows { grid-template-columns: fit-content(260px) 1fr minmax(110px, max-content); gap: 6px 16px; }
.rows .name { grid-column: 1; } .rows .bar { grid-column: 2; } .rows .value { grid-column: 3; }
.name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; } .value { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
svg { display: block; width: 100%%; } .bar { height: 14px; } .rail { fill: var(--rail); } .s1 { fill: var(--s1); } .faint { opacity: 0.45; } .mark { fill: var(--mark); }
.bar .good { fill: var(--good); } .bar .warn { fill: var(--warn); } .bar .bad { fill: var(--bad); }
.lines text { fill: var(--dim); font-size: 11px; } .grid { stroke: var(--line); } polyline { fill: none; stroke-width: 2; stroke-linejoin: round; } .l1 { stroke: var(--s1); } .l2 { stroke: var(--s2); stroke-dasharray: 5 3; }
.key { color: var(--dim); display: flex; flex-wrap: wrap; gap: 4px 6px; align-items: center; } .k1, .k2 { width: 18px; border-top: 3px solid var(--s1); } .k2 { border-top: 3px dashed var(--s2); margin-left: 10px; }
.low { color: var(--dim); } .medium { color: var(--warn); } .high, .critical { color: var(--bad); font-weight: 600; }
@media (max-width: 560px) { body { padding: 12px; } .card { padding: 12px; } .lines text { font-size: 17px; }
  .rows, .wide .rows { grid-template-columns: minmax(0, 1fr) max-content; } .rows .value { grid-column: 2; } .rows .bar { grid-column: 1 / -1; margin-bottom: 6px; } }
ul { margin: 0; padding-left: 18px; } li { margin-bottom: 8px; } code { font-size: 13px; }
</style></head><body>
<h1>fairsched: %1$s</h1>
<p class="sub">%2$s, looking back %3$s. Memory is %4$s.</p>
$html$, fairsched.html(current_database()), to_char(now, 'YYYY-MM-DD HH24:MI:SS TZ'), fairsched.html_seconds(extract(epoch FROM period)::double precision),
		fairsched.html(CASE coalesce(r ->> 'state', '') WHEN 'counted' THEN 'complete' WHEN 'ready' THEN 'built, and jobs are being counted'
			ELSE 'not built here (a standby, or nobody called yet): figures are missing' END));

	page := page || '<div class="figures">' || (
		SELECT string_agg(format('<div class="figure"><b>%s</b><span>%s</span></div>', value, label), '' ORDER BY i)
		FROM (VALUES (1, coalesce(round((r #>> '{summary,score}')::numeric, 3)::text, '&ndash;'), 'fairness score'),
			(2, coalesce(round((r #>> '{summary,jain_index}')::numeric, 3)::text, '&ndash;'), 'Jain index'),
			(3, fairsched.html_number((r #>> '{totals,workspaces}')::numeric), 'workspaces'),
			(4, fairsched.html_number((r #>> '{totals,contending}')::numeric), 'compete now'),
			(5, fairsched.html_number((r #>> '{totals,ready}')::numeric), 'jobs are ready'),
			(6, fairsched.html_number((r #>> '{totals,running}')::numeric), 'jobs run'),
			(7, format(CASE WHEN jsonb_path_exists(r, '$.alerts.open[*] ? (@.severity == "critical" || @.severity == "high")') THEN '<span class="high">%s</span>' ELSE '%s' END,
				fairsched.html_number(jsonb_array_length(r #> '{alerts,open}'))), 'open alerts')) f(i, value, label)) || E'</div>\n<div class="grid-of-cards">\n';

	page := page || fairsched.html_card('What to change', CASE WHEN jsonb_array_length(r -> 'recommendations') = 0 THEN '<p class="nothing">Nothing.</p>'
		ELSE '<ul>' || (SELECT string_agg(format('<li><span class="%s">%s</span> &ndash; <b>%s</b>: %s %s (<code>%s</code>)</li>', e ->> 'severity', e ->> 'severity',
			fairsched.html(e ->> 'subject'), fairsched.html(e ->> 'reason'), fairsched.html(e ->> 'action'), fairsched.html(e ->> 'setting')), '' ORDER BY i)
			FROM jsonb_array_elements(r -> 'recommendations') WITH ORDINALITY AS x(e, i)) || '</ul>' END, wide => true);

	page := page || fairsched.html_card('Shares against entitlement', coalesce('<div class="rows">' || (
		SELECT string_agg(format('<div class="name" title="%1$s">%1$s</div><div class="value">%3$s %% of %4$s %%</div>%2$s', fairsched.html(w ->> 'workspace'),
			fairsched.svg_bar((w ->> 'competed_share')::double precision / greatest(top, 1e-9), (w ->> 'entitled_share')::double precision / greatest(top, 1e-9), 's1'),
			round((w ->> 'competed_share')::numeric * 100, 1), round((w ->> 'entitled_share')::numeric * 100, 1)), '' ORDER BY i)
		FROM (SELECT w, i, max(greatest((w ->> 'competed_share')::double precision, (w ->> 'entitled_share')::double precision)) OVER () AS top
			FROM jsonb_array_elements(r -> 'workspaces') WITH ORDINALITY AS x(w, i) WHERE (w ->> 'entitled')::numeric > 0 AND i <= 15) x) || '</div>',
		'<p class="nothing">Nobody has competed with anybody yet.</p>'),
		'Of all that was served in competition: the bar is what a workspace got, the mark what was due to it.');

	page := page || fairsched.html_card('Waiting times', coalesce('<div class="rows">' || (
		SELECT string_agg(format('<div class="name" title="%1$s">%1$s</div><div class="value">%3$s &middot; %4$s</div>%2$s', fairsched.html(w ->> 'workspace'),
			fairsched.svg_dwell((w ->> 'dwell_p50_seconds')::double precision, (w ->> 'dwell_p95_seconds')::double precision, (w ->> 'dwell_p99_seconds')::double precision),
			fairsched.html_seconds((w ->> 'dwell_p50_seconds')::double precision), fairsched.html_seconds((w ->> 'dwell_p99_seconds')::double precision)), '' ORDER BY i)
		FROM (SELECT w, i FROM jsonb_array_elements(r -> 'workspaces') WITH ORDINALITY AS x(w, i) WHERE w ->> 'dwell_p50_seconds' IS NOT NULL ORDER BY i LIMIT 15) x) || '</div>',
		'<p class="nothing">No job was claimed lately.</p>'),
		'From ready to claimed: median (the mark), 95 % (the bar) and 99 % (its faint end), from 1 ms to 1 day on a logarithmic axis. In figures: median &middot; 99&nbsp;%.');

	page := page || fairsched.html_card('Depth', CASE WHEN cardinality(at) >= 2 THEN
		fairsched.svg_lines(at, depth, running, fairsched.svg_top(greatest((SELECT max(v) FROM unnest(depth || running) v), 2)), '{ready jobs,running jobs}', starts, to_char(now, 'HH24:MI'))
		ELSE '<p class="nothing">Not enough samples in this time.</p>' END, 'Of workspaces that competed or were served.');
	page := page || fairsched.html_card('Fairness over time', CASE WHEN cardinality(at) >= 2 THEN
		fairsched.svg_lines(at, score, jain, 1, '{score,Jain index}', starts, to_char(now, 'HH24:MI'))
		ELSE '<p class="nothing">Not enough samples in this time.</p>' END, '1 = everybody who competed got what was due.');

	page := page || fairsched.html_card('Budgets', coalesce('<div class="rows">' || (
		SELECT string_agg(format('<div class="name" title="%1$s">%1$s</div><div class="value">%3$s %% of %4$s%5$s</div>%2$s', fairsched.html(b ->> 'budget'),
			fairsched.svg_bar(coalesce((b ->> 'percent_used')::double precision / 100, 1), NULL,
				CASE b ->> 'status' WHEN 'healthy' THEN 'good' WHEN 'critical' THEN 'bad' ELSE 'warn' END),
			coalesce(round((b ->> 'percent_used')::numeric)::text, '&ndash;'), fairsched.html_number((b ->> 'amount')::numeric),
			CASE WHEN (b ->> 'paused')::boolean THEN ', <span class="high">paused</span>' ELSE '' END), '' ORDER BY i)
		FROM jsonb_array_elements(r -> 'budgets') WITH ORDINALITY AS x(b, i) WHERE i <= 15) || '</div>', '<p class="nothing">There are no budgets.</p>'), NULL, true);

	SELECT array_agg(coalesce(v.n, 0) ORDER BY p) INTO counts FROM generate_series(0, parts - 1) p
		LEFT JOIN (SELECT least(floor(extract(epoch FROM q.first_seen - began) / extract(epoch FROM period) * parts), parts - 1)::int AS part, count(*) AS n
			FROM fairsched.quota_violations q WHERE q.first_seen BETWEEN began AND now GROUP BY 1) v ON v.part = p;
	page := page || fairsched.html_card('Quota violations', CASE WHEN 0 < ANY (counts) THEN fairsched.svg_columns(counts, 'quota violations', starts, to_char(now, 'HH24:MI')) ELSE '' END ||
		fairsched.html_table('{workspace,resource,action,times,open}', (SELECT jsonb_agg(jsonb_build_array(fairsched.html_name(v ->> 'workspace'), fairsched.html_name(v ->> 'resource'),
				format('<span class="%s">%s</span>', v ->> 'severity', v ->> 'action'), fairsched.html_number((v ->> 'occurrences')::numeric), v ->> 'open') ORDER BY i)
			FROM jsonb_array_elements(r #> '{violations,by_workspace}') WITH ORDINALITY AS x(v, i) WHERE i <= 8), 4, 'None in this time.'), 'When they were seen first.');

	SELECT array_agg(coalesce(v.n, 0) ORDER BY p) INTO counts FROM generate_series(0, parts - 1) p
		LEFT JOIN (SELECT least(floor(extract(epoch FROM h.requested_at - began) / extract(epoch FROM period) * parts), parts - 1)::int AS part, count(*) AS n
			FROM fairsched.preemption_history h WHERE h.requested_at BETWEEN began AND now GROUP BY 1) v ON v.part = p;
	page := page || fairsched.html_card('Preemptions', CASE WHEN 0 < ANY (counts) THEN fairsched.svg_columns(counts, 'preemptions', starts, to_char(now, 'HH24:MI')) ELSE '' END ||
		fairsched.html_table('{reason,resource,asked,preempted,resumed,saved}', (SELECT jsonb_agg(jsonb_build_array(fairsched.html(p ->> 'reason'),
				CASE WHEN p ->> 'resource' IS NULL THEN '&ndash;' ELSE fairsched.html_name(p ->> 'resource') END, p ->> 'requests', p ->> 'preempted', p ->> 'resumed', p ->> 'with_checkpoint') ORDER BY i)
			FROM jsonb_array_elements(r #> '{preemptions,by_reason}') WITH ORDINALITY AS x(p, i) WHERE i <= 8), 3, 'None in this time.'), 'When they were asked for. Saved: with a checkpoint.');

	page := page || fairsched.html_card('Tiers', fairsched.html_table('{tier,weight,workspaces,ready,running,got,due,95 % waited}',
		(SELECT jsonb_agg(jsonb_build_array(fairsched.html_name(t ->> 'tier'), t ->> 'weight', fairsched.html_number((t ->> 'workspaces')::numeric),
				fairsched.html_number((t ->> 'depth')::numeric), fairsched.html_number((t ->> 'running')::numeric), fairsched.html_number((t ->> 'competed')::numeric),
				fairsched.html_number(round((t ->> 'entitled')::numeric)), fairsched.html_seconds((t ->> 'dwell_p95_seconds')::double precision)) ORDER BY i)
			FROM jsonb_array_elements(r -> 'tiers') WITH ORDINALITY AS x(t, i)), 2, 'Memory is not built.'), 'Cost units that workspaces got, and that were due to them, while they competed.', true);

	page := page || fairsched.html_card('Alerts', fairsched.html_table('{severity,type,about,what was seen,since,times}',
		(SELECT jsonb_agg(jsonb_build_array(format('<span class="%s">%s</span>', a ->> 'severity', a ->> 'severity'), fairsched.html(a ->> 'type'),
				fairsched.html_name(concat_ws(', ', a ->> 'workspace', a ->> 'subject')), format('<span class="long">%s</span>', fairsched.html(a ->> 'detail')),
				format('<span class="date">%s</span>%s', to_char((a ->> 'first_seen')::timestamptz, 'MM-DD HH24:MI'), CASE WHEN a ->> 'resolved_at' IS NOT NULL THEN ', resolved' ELSE '' END),
				fairsched.html_number((a ->> 'occurrences')::numeric)) ORDER BY i)
			FROM jsonb_array_elements((r #> '{alerts,open}') || (r #> '{alerts,recent}')) WITH ORDINALITY AS x(a, i) WHERE i <= 30), 6, 'None is open, none was resolved in this time.'), NULL, true);
	RETURN page || E'</div>\n</body></html>\n';
END
$$;
COMMENT ON FUNCTION fairsched_report_html(interval) IS 'fairsched_fairness_report for people: one page of HTML, with plots as inline SVG, for light and dark; nothing is loaded and no script runs, so it may be mailed or kept. For example: psql -XAtc "SELECT fairsched_report_html()" >report.html. period: how far it looks back. Times are in the session''s time zone. Errors: 22004 and 22023 for period.';

REVOKE ALL ON FUNCTION fairsched.html(text), fairsched.html_seconds(double precision), fairsched.html_number(numeric),
	fairsched.svg_bar(double precision, double precision, text), fairsched.svg_dwell(double precision, double precision, double precision),
	fairsched.svg_lines(double precision[], double precision[], double precision[], double precision, text[], text, text),
	fairsched.svg_columns(bigint[], text, text, text), fairsched.html_table(text[], jsonb, int, text),
	fairsched.html_name(text), fairsched.svg_top(double precision),
	fairsched.html_card(text, text, text, boolean), fairsched_report_html(interval) FROM PUBLIC;
