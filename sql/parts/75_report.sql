-- The report: what is going on, how it went, and what to change. docs/report.md has the rules.

CREATE FUNCTION fairsched.report_period(period interval) RETURNS interval
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF period IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'period must not be null',
			HINT = 'It is how far the report looks back: ''24 hours'' when left out.';
	END IF;
	-- an infinite interval (17 and later) is beyond the upper bound as well
	IF period < '1 minute' OR period > '400 days' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'period must be between 1 minute and 400 days',
			HINT = 'It is how far the report looks back: ''24 hours'' when left out.';
	END IF;
	RETURN period;
END
$$;
COMMENT ON FUNCTION fairsched.report_period(interval) IS 'Internal: the period of a report, checked.';

-- One metric over time: average, variance, and whether it rises or falls.
CREATE FUNCTION fairsched.report_metric(n bigint, average double precision, variance double precision,
	lowest double precision, highest double precision, newest double precision,
	slope double precision, correlation double precision, seconds double precision) RETURNS jsonb
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT jsonb_build_object('samples', n, 'average', round(average::numeric, 4), 'variance', round(variance::numeric, 6),
		'min', round(lowest::numeric, 4), 'max', round(highest::numeric, 4), 'last', round(newest::numeric, 4),
		'change', round((slope * seconds)::numeric, 4),
		'trend', CASE WHEN n >= 5 AND abs(correlation) >= 0.5 AND abs(slope * seconds) > 0.1 * abs(average)
			THEN CASE WHEN slope > 0 THEN 'increasing' ELSE 'decreasing' END ELSE 'stable' END)
$$;
COMMENT ON FUNCTION fairsched.report_metric(bigint, double precision, double precision, double precision, double precision, double precision, double precision, double precision, double precision) IS 'Internal: one metric of the history in fairsched_fairness_report. trend: of the least-squares line over the samples: increasing or decreasing when it changes by more than a tenth of the average over the time of the samples, correlates with time by at least 0.5, and there are 5 samples; else stable.';

CREATE FUNCTION fairsched.report_history(period interval) RETURNS jsonb
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	WITH sample AS (
		SELECT CASE scope WHEN 'all' THEN 'all' ELSE tier END AS about, extract(epoch FROM sampled_at)::double precision AS at, m.name, m.value
		FROM fairsched.fairness_samples s
		CROSS JOIN LATERAL (VALUES
			('score', s.score), ('jain_index', s.jain_index), ('depth', s.depth::double precision),
			('running', s.running::double precision), ('served_per_second', s.served / nullif(s.seconds, 0)),
			('lacking', s.lacking), ('dwell_p95_seconds', extract(epoch FROM s.dwell_p95)::double precision)) m(name, value)
		WHERE s.scope IN ('all', 'tier') AND s.sampled_at > clock_timestamp() - period AND m.value IS NOT NULL
	), metric AS (
		SELECT about, name, fairsched.report_metric(count(*), avg(value), var_pop(value), min(value), max(value),
			(array_agg(value ORDER BY at DESC))[1], regr_slope(value, at), corr(value, at), max(at) - min(at)) AS figures
		FROM sample GROUP BY about, name
	)
	SELECT jsonb_build_object('period', period::text,
		'samples', (SELECT count(*) FROM fairsched.fairness_samples s WHERE s.scope = 'all' AND s.sampled_at > clock_timestamp() - period),
		'all', coalesce((SELECT jsonb_object_agg(name, figures) FROM metric WHERE about = 'all'), '{}'),
		'tiers', coalesce((SELECT jsonb_object_agg(about, figures) FROM (
			SELECT about, jsonb_object_agg(name, figures) AS figures FROM metric WHERE about <> 'all' GROUP BY about) t), '{}'))
$$;
COMMENT ON FUNCTION fairsched.report_history(interval) IS 'Internal: the history in fairsched_fairness_report, from fairsched.fairness_samples.';

-- What to change, and why. Each rule names who it is about and the setting; docs/report.md lists them in this order.
CREATE FUNCTION fairsched.recommendations(period interval, now timestamptz,
	OUT rule text, OUT severity text, OUT subject text, OUT setting text, OUT action text, OUT reason text)
	RETURNS SETOF record
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	WITH fair AS MATERIALIZED (SELECT * FROM fairsched.fairness_internal()),
	status AS MATERIALIZED (SELECT workspace, tier, quantum, ready, running, max_running, parked_reason, parked_since
		FROM fairsched.workspace_status),
	lane AS MATERIALIZED (SELECT * FROM fairsched.capacity_recommendation),
	growing AS (
		SELECT s.workspace, regr_slope(s.depth, extract(epoch FROM s.sampled_at)) * 3600 AS per_hour,
			corr(s.depth, extract(epoch FROM s.sampled_at)) AS r, count(*) AS n, avg(s.depth) AS average
		FROM fairsched.fairness_samples s
		WHERE s.scope = 'workspace' AND s.sampled_at > recommendations.now - least(period, interval '6 hours') AND s.depth IS NOT NULL
		GROUP BY s.workspace),
	dead AS (
		SELECT c.oid, c.relname, pg_stat_get_live_tuples(c.oid) AS live, pg_stat_get_dead_tuples(c.oid) AS dead,
			pg_stat_get_last_autovacuum_time(c.oid) AS vacuumed
		FROM pg_class c WHERE c.relnamespace = 'fairsched'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^jobs_[0-9]+$')

	SELECT 'ceiling', 'medium', 'workspace ' || s.workspace, 'max_running',
		format('Raise its ceiling: fairsched_alter_workspace(%L, max_running => ...), or leave it: it is what the ceiling is for.', s.workspace),
		format('%s of %s jobs run and %s wait: more workers would not help it.', s.running, s.max_running, s.ready)
	FROM (SELECT * FROM status WHERE parked_reason = 'ceiling' AND ready > 0 ORDER BY ready DESC LIMIT 10) s
	UNION ALL
	SELECT 'weight', 'medium', 'workspace ' || g.workspace, 'tier',
		format('Give it more weight: fairsched_alter_workspace(%L, tier => ...), or let it enqueue less.', g.workspace),
		format('It competes all the time, gets what is due to it (%s %% of the entitlement), and its queue grows by %s jobs an hour.',
			round(f.satisfaction * 100), round(g.per_hour))
	FROM (SELECT * FROM growing WHERE n >= 5 AND r >= 0.7 AND per_hour > 0.1 * average ORDER BY per_hour DESC LIMIT 10) g
		JOIN fair f ON f.workspace = g.workspace AND f.contending AND f.satisfaction >= 0.95
	UNION ALL
	SELECT 'entitlement', 'high', 'workspace ' || f.workspace, 'claims',
		'Let workers commit their claims before they do the work, and give jobs back with fairsched_release: what a rolled back claim took from the current round is not had in a later one. Were few rolled back, report it with fairsched.fairness.',
		format('While it competed it got %s of the %s cost units that were due to it; of %s jobs handed out, to whomever, claims of %s were rolled back.',
			f.competed, round(f.entitled), u.jobs + u.undone, u.undone)
	FROM (SELECT * FROM fair WHERE entitled - competed > tolerance AND competed < entitled * current_setting('fairsched.alert_min_share')::double precision
		ORDER BY competed / entitled LIMIT 10) f
		CROSS JOIN (SELECT coalesce(sum(undone), 0) AS undone, coalesce(sum(jobs), 0) AS jobs FROM fairsched.claim_stats_internal()) u
	UNION ALL
	SELECT 'quantum', 'low', 'tier ' || s.tier, 'fairsched.tiers.quantum',
		format('Multiply all quanta by the same factor: UPDATE fairsched.tiers SET quantum = quantum * %s; their ratios are what counts.', factor),
		format('The dearest job costs %s, %s times the quantum of %s: its workspace waits that many rounds for one job and is served in bursts.',
			dearest, round(dearest / quantum), quantum)
	FROM (SELECT t.tier, t.quantum, d.dearest, ceil(d.dearest / (10 * t.quantum)) AS factor
		FROM (SELECT max((f.bound - q.smallest * CASE WHEN f.bound > 3 * q.smallest THEN 1 ELSE 0 END) / 2)::bigint AS dearest, max(q.smallest) AS smallest
			FROM fair f CROSS JOIN (SELECT min(quantum) AS smallest FROM fairsched.tiers) q) d
			CROSS JOIN LATERAL (SELECT tier, quantum FROM fairsched.tiers ORDER BY quantum, tier LIMIT 1) t
		WHERE d.dearest > 20 * t.quantum) s
	UNION ALL
	SELECT 'workers', 'high', 'lane ' || l.lane, 'workers',
		format('Run %s more workers for this lane.', l.desired_workers - l.current_workers),
		format('%s are wanted and %s work: %s.', l.desired_workers, l.current_workers, coalesce(l.detail, l.reason))
	FROM lane l WHERE l.desired_workers > l.current_workers AND l.reason IN ('backlog', 'dwell', 'stepping')
	UNION ALL
	SELECT 'capability', 'high', format('lane %s, workspace %s', q.lane, q.workspace), 'capabilities',
		'Register a worker that has them: fairsched_register_worker(..., capabilities => ...).',
		format('%s wait since %s: %s.', coalesce(q.ready || ' jobs', 'Its jobs'), to_char(q.parked_since, 'YYYY-MM-DD HH24:MI:SS'), q.parked_detail)
	FROM (SELECT DISTINCT ON (lane, parked_detail) * FROM fairsched.queue_status
		WHERE parked_reason = 'waiting_for_capable_worker' ORDER BY lane, parked_detail, ready DESC NULLS LAST LIMIT 10) q
	UNION ALL
	SELECT 'budget', 'high', 'budget ' || b.budget, 'amount',
		format('Raise it: fairsched_set_budget(%L, ...), or begin a new period: fairsched_reset_budget(%L).', b.budget, b.budget),
		format('%s of %s %s are spent, and it is paused: jobs that name it wait.', b.spent, b.amount, b.dimension)
	FROM (SELECT * FROM fairsched.budget_status WHERE paused ORDER BY budget LIMIT 10) b
	UNION ALL
	SELECT 'quota', v.severity, format('workspace %s', v.workspace), 'quota of ' || v.resource,
		format('Raise it: fairsched_set_quota(%L, %L, ...), or look at what the workspace does.', v.workspace, v.resource),
		format('%s of %s were used or wanted; seen %s since %s.', trim_scale(v.actual), trim_scale(v.quota),
			CASE v.occurrences WHEN 1 THEN 'once,' ELSE v.occurrences || ' times' END, to_char(v.first_seen, 'YYYY-MM-DD HH24:MI:SS'))
	FROM (SELECT * FROM fairsched.quota_violations WHERE resolved_at IS NULL AND severity IN ('medium', 'high', 'critical')
		ORDER BY array_position('{critical,high,medium}', severity), last_seen DESC LIMIT 10) v
	UNION ALL
	SELECT 'leases', 'medium', 'lane ' || coalesce(c.lane, '(none)'), 'lease',
		'Claim with a longer lease, or let workers send fairsched_heartbeat more often.',
		format('%s of %s jobs came back because their lease ran out: they run twice.', c.expired, c.jobs)
	FROM fairsched.claim_stats_internal() c
	WHERE c.jobs >= 20 AND c.expired > c.jobs * current_setting('fairsched.alert_expiry_rate')::double precision
	UNION ALL
	SELECT 'memory', 'high', d.what, d.setting, format('Increase %s and restart the server.', d.setting),
		format('%s of %s are in use.', d.used, d.capacity)
	FROM fairsched.database_status s CROSS JOIN LATERAL (VALUES
		('workspaces', 'fairsched.max_workspaces', workspaces_used, workspaces_capacity),
		('flows', 'fairsched.max_flows', flows_used, flows_capacity),
		('rings', 'fairsched.max_rings', rings_used, rings_capacity),
		('running jobs', 'fairsched.max_running', leases_used, leases_capacity),
		('workers', 'fairsched.max_workers', workers_used, workers_capacity)) d(what, setting, used, capacity)
	WHERE d.used > d.capacity * 0.8
	UNION ALL
	SELECT 'snapshot', 'high', format('session %s', a.pid), 'idle_in_transaction_session_timeout',
		format('End it: SELECT pg_terminate_backend(%s). Against the next one: idle_in_transaction_session_timeout.', a.pid),
		format('It is %s and has held a snapshot for %s: VACUUM removes no dead row that is younger.', a.state, date_trunc('second', a.age))
	FROM (SELECT pid, coalesce(state, backend_type) AS state, recommendations.now - xact_start AS age FROM pg_stat_activity
		WHERE backend_xmin IS NOT NULL AND xact_start < recommendations.now - interval '10 minutes'
			AND backend_type <> 'autovacuum worker'
		ORDER BY xact_start LIMIT 5) a
	UNION ALL
	SELECT 'snapshot', 'high', format('prepared transaction %s', p.gid), 'max_prepared_transactions',
		format('End it: COMMIT PREPARED %L or ROLLBACK PREPARED %L.', p.gid, p.gid),
		format('It was prepared %s ago: VACUUM removes no dead row that is younger.', date_trunc('second', recommendations.now - p.prepared))
	FROM (SELECT gid, prepared FROM pg_prepared_xacts WHERE prepared < recommendations.now - interval '10 minutes' ORDER BY prepared LIMIT 5) p
	UNION ALL
	SELECT 'snapshot', 'high', format('replication slot %s', r.slot_name), 'max_slot_wal_keep_size',
		format('Let its subscriber catch up, or drop it: SELECT pg_drop_replication_slot(%L).', r.slot_name),
		format('It holds back VACUUM by %s transactions.', age(coalesce(r.xmin, r.catalog_xmin)))
	FROM pg_replication_slots r WHERE age(r.xmin) > 1000000
	UNION ALL
	SELECT 'autovacuum', 'medium', 'table fairsched.' || t.relname, 'autovacuum_vacuum_cost_limit',
		format('Let autovacuum work faster: autovacuum_vacuum_cost_limit, autovacuum_max_workers; once, by hand: VACUUM fairsched.%I.', t.relname),
		format('%s dead rows beside %s live ones; the last autovacuum was %s.', t.dead, t.live,
			coalesce(date_trunc('second', recommendations.now - t.vacuumed) || ' ago', 'never'))
	FROM (SELECT * FROM dead WHERE dead > 100000 AND dead > 5 * live
			AND (vacuumed IS NULL OR vacuumed < recommendations.now - interval '10 minutes') ORDER BY dead DESC LIMIT 5) t
$$;
COMMENT ON FUNCTION fairsched.recommendations(interval, timestamptz) IS 'Internal: the recommendations of fairsched_fairness_report, one row each, as of now. docs/report.md lists the rules.';

CREATE FUNCTION fairsched_fairness_report(period interval DEFAULT '24 hours') RETURNS jsonb
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	report jsonb;
BEGIN
	PERFORM fairsched.report_period(period);
	SELECT jsonb_build_object('generated_at', clock_timestamp(), 'database', current_database(),
		'state', fairsched.scheduler_state(),
		'summary', (SELECT to_jsonb(s) FROM fairsched.fairness_summary s),
		'totals', (SELECT jsonb_build_object('workspaces', count(*), 'contending', count(*) FILTER (WHERE contending),
				'ready', sum(depth), 'running', sum(running), 'served', sum(served)) FROM fairsched.fairness_internal()),
		'tiers', coalesce((SELECT jsonb_agg((to_jsonb(t) - '{dwell_p50,dwell_p95,dwell_p99}'::text[]) || jsonb_build_object(
				'dwell_p50_seconds', extract(epoch FROM t.dwell_p50), 'dwell_p95_seconds', extract(epoch FROM t.dwell_p95),
				'dwell_p99_seconds', extract(epoch FROM t.dwell_p99))
				ORDER BY t.weight DESC, t.tier) FROM fairsched.fairness_tiers t), '[]'),
		'workspaces', coalesce((SELECT jsonb_agg(to_jsonb(w) ORDER BY w.entitled DESC, w.workspace) FROM (
			SELECT f.workspace, f.tier, f.weight, round(f.entitled::numeric, 2) AS entitled, f.competed, f.served,
				round((f.entitled / nullif(sum(f.entitled) OVER (), 0))::numeric, 6) AS entitled_share,
				round((f.competed / nullif(sum(f.competed) OVER (), 0))::numeric, 6) AS competed_share,
				round(f.satisfaction::numeric, 4) AS satisfaction, round(f.lag::numeric, 2) AS lag, f.bound, f.depth, f.running,
				f.max_running, f.contending,
				extract(epoch FROM f.dwell_p50) AS dwell_p50_seconds, extract(epoch FROM f.dwell_p95) AS dwell_p95_seconds,
				extract(epoch FROM f.dwell_p99) AS dwell_p99_seconds,
				CASE WHEN f.depth > 0 THEN extract(epoch FROM fairsched.oldest_ready_age(f.workspace)) END AS oldest_ready_seconds
			FROM fairsched.fairness_internal() f
			ORDER BY f.entitled DESC, f.served DESC, f.depth DESC NULLS LAST, f.workspace LIMIT 50) w), '[]'),
		'history', fairsched.report_history(period),
		'budgets', coalesce((SELECT jsonb_agg(to_jsonb(b)) FROM (SELECT budget, workspace, dimension, amount, spent, reserved,
				remaining, percent_used, status, paused FROM fairsched.budget_status ORDER BY percent_used DESC NULLS LAST, budget LIMIT 50) b), '[]'),
		'violations', jsonb_build_object(
			'open', (SELECT count(*) FROM fairsched.quota_violations WHERE resolved_at IS NULL),
			'in_period', (SELECT count(*) FROM fairsched.quota_violations WHERE last_seen > clock_timestamp() - period),
			'by_workspace', coalesce((SELECT jsonb_agg(to_jsonb(v)) FROM (SELECT workspace, resource, action, severity, sum(occurrences)::bigint AS occurrences,
					count(*) FILTER (WHERE resolved_at IS NULL) AS open, max(last_seen) AS last_seen
				FROM fairsched.quota_violations WHERE last_seen > clock_timestamp() - period
				GROUP BY 1, 2, 3, 4 ORDER BY open DESC, occurrences DESC, workspace, resource LIMIT 20) v), '[]')),
		'preemptions', jsonb_build_object(
			'in_period', (SELECT count(*) FROM fairsched.preemption_history WHERE requested_at > clock_timestamp() - period),
			'by_reason', coalesce((SELECT jsonb_agg(to_jsonb(p)) FROM (SELECT reason, resource, count(*) AS requests,
					count(preempted_at) AS preempted, count(resumed_at) AS resumed, count(*) FILTER (WHERE has_checkpoint) AS with_checkpoint
				FROM fairsched.preemption_history WHERE requested_at > clock_timestamp() - period
				GROUP BY 1, 2 ORDER BY requests DESC, reason LIMIT 20) p), '[]')),
		'alerts', jsonb_build_object(
			'open', coalesce((SELECT jsonb_agg(to_jsonb(a)) FROM (SELECT alert_id, type, severity, workspace, subject, detail, first_seen,
					last_seen, occurrences, acknowledged_at FROM fairsched.alerts WHERE resolved_at IS NULL
				ORDER BY array_position('{critical,high,medium,low}', severity), first_seen LIMIT 100) a), '[]'),
			'recent', coalesce((SELECT jsonb_agg(to_jsonb(a)) FROM (SELECT alert_id, type, severity, workspace, subject, detail, first_seen,
					last_seen, occurrences, resolved_at FROM fairsched.alerts WHERE resolved_at > clock_timestamp() - period
				ORDER BY resolved_at DESC LIMIT 50) a), '[]')),
		'recommendations', coalesce((SELECT jsonb_agg(to_jsonb(r)) FROM (SELECT * FROM fairsched.recommendations(period, clock_timestamp()) r
			ORDER BY array_position('{critical,high,medium,low}', r.severity), r.rule, r.subject) r), '[]'))
	INTO report;
	RETURN report;
END
$$;
COMMENT ON FUNCTION fairsched_fairness_report(interval) IS 'Everything an operator, or a program, wants to know, as one jsonb: generated_at; database; state of memory; summary (fairsched.fairness_summary) and totals; tiers; workspaces, the 50 with the largest entitlement; history of the period from fairsched.fairness_samples: samples, average, variance, min, max, last, change and trend (increasing, decreasing, stable) of each metric, over all and by tier; budgets, violations, preemptions; alerts, open and recent; recommendations: rule, severity, subject, setting, action, reason. docs/report.md has the rules. period: how far it looks back. O(workspaces); job tables are not read but for the age of the oldest job of each workspace shown. Errors: 22004 and 22023 for period.';

REVOKE ALL ON FUNCTION fairsched.report_period(interval), fairsched.report_history(interval), fairsched.recommendations(interval, timestamptz),
	fairsched.report_metric(bigint, double precision, double precision, double precision, double precision, double precision, double precision, double precision, double precision),
	fairsched_fairness_report(interval) FROM PUBLIC;
