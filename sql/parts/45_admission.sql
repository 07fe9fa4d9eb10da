-- Admission: quotas, rate limits, throttles, usage.  Tables remember; the C
-- functions tell the scheduler, in step with the transaction.  An entry of a
-- workspace that nobody knows yet is kept for when its first job comes.

CREATE TABLE fairsched.workspace_quotas (
	workspace text COLLATE "C" NOT NULL CHECK (octet_length(workspace) BETWEEN 1 AND 128),
	resource text COLLATE "C" NOT NULL CHECK (resource IN ('cpu', 'memory', 'gpu', 'concurrent_runs', 'storage', 'tokens', 'cost')),
	quota numeric NOT NULL CHECK (quota >= 0 AND quota <= 1e12),
	burst numeric NOT NULL DEFAULT 0 CHECK (burst >= 0 AND burst <= 1e12),
	burst_duration interval NOT NULL DEFAULT '1 hour' CHECK (burst_duration > '0' AND burst_duration <= '1 hour'),
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (workspace, resource),
	CHECK (burst = 0 OR resource IN ('cpu', 'memory'))
);
COMMENT ON TABLE fairsched.workspace_quotas IS 'Quotas of workspaces. Where there is no row, only the ceiling on running jobs applies. A row made without a figure gets: cpu 10 cores, memory 32 GB, gpu 2, concurrent_runs 5, storage 100 GB, tokens 1,000,000 and cost 100.00 USD a day. Set them with fairsched_set_quota; changes by hand are read with the next call.';
COMMENT ON COLUMN fairsched.workspace_quotas.workspace IS 'Name of the workspace, 1 to 128 bytes.';
COMMENT ON COLUMN fairsched.workspace_quotas.resource IS 'cpu (cores), memory (GB), gpu and concurrent_runs (count) are held while a job runs; storage (GB) is a level; tokens and cost (USD) are consumed per rolling day.';
COMMENT ON COLUMN fairsched.workspace_quotas.quota IS 'Most that may be in use, in the resource''s unit.';
COMMENT ON COLUMN fairsched.workspace_quotas.burst IS 'cpu and memory: how much above the quota is allowed for a while; 0 = nothing.';
COMMENT ON COLUMN fairsched.workspace_quotas.burst_duration IS 'For how long within an hour it may be above. Then it may not until it was at or below the quota for as long.';
COMMENT ON COLUMN fairsched.workspace_quotas.created_at IS 'When the row was made.';
COMMENT ON COLUMN fairsched.workspace_quotas.updated_at IS 'When it was changed last.';

CREATE TABLE fairsched.workspace_rate_limits (
	workspace text COLLATE "C" PRIMARY KEY CHECK (octet_length(workspace) BETWEEN 1 AND 128),
	max_claims integer NOT NULL CHECK (max_claims BETWEEN 1 AND 1000000000),
	period interval NOT NULL CHECK (period >= '1 ms' AND period <= '366 days'),
	jitter interval NOT NULL DEFAULT '0' CHECK (jitter >= '0' AND jitter <= '366 days'),
	updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE fairsched.workspace_rate_limits IS 'Rate limits of workspaces, set with fairsched_set_rate_limit.';
COMMENT ON COLUMN fairsched.workspace_rate_limits.workspace IS 'Name of the workspace.';
COMMENT ON COLUMN fairsched.workspace_rate_limits.max_claims IS 'Jobs that may be claimed in any window of length period.';
COMMENT ON COLUMN fairsched.workspace_rate_limits.period IS 'Length of the window.';
COMMENT ON COLUMN fairsched.workspace_rate_limits.jitter IS 'A workspace that was refused takes part again up to so much later.';
COMMENT ON COLUMN fairsched.workspace_rate_limits.updated_at IS 'When it was changed last.';

CREATE TABLE fairsched.workspace_throttles (
	workspace text COLLATE "C" PRIMARY KEY CHECK (octet_length(workspace) BETWEEN 1 AND 128),
	enabled boolean NOT NULL DEFAULT true,
	threshold double precision NOT NULL DEFAULT 0.9 CHECK (threshold > 0 AND threshold <= 1),
	duration interval NOT NULL DEFAULT '5 min' CHECK (duration > '0' AND duration <= '366 days'),
	resources text[] NOT NULL DEFAULT '{tokens,cost,storage}'
		CHECK (resources <@ ARRAY['cpu', 'memory', 'gpu', 'concurrent_runs', 'storage', 'tokens', 'cost']),
	updated_at timestamptz NOT NULL DEFAULT now(),
	preempt text CHECK (preempt IN ('P3', 'P2,P3')),
	off_at timestamptz
);
COMMENT ON TABLE fairsched.workspace_throttles IS 'Throttles of workspaces, set with fairsched_set_throttle. A workspace with quotas and no row here is throttled by the defaults of these columns.';
COMMENT ON COLUMN fairsched.workspace_throttles.workspace IS 'Name of the workspace.';
COMMENT ON COLUMN fairsched.workspace_throttles.enabled IS 'False: it is never throttled.';
COMMENT ON COLUMN fairsched.workspace_throttles.threshold IS 'Part of a quota whose crossing, upward, throttles the workspace once.';
COMMENT ON COLUMN fairsched.workspace_throttles.duration IS 'For how long it gets no new jobs.';
COMMENT ON COLUMN fairsched.workspace_throttles.resources IS 'Resources that are watched.';
COMMENT ON COLUMN fairsched.workspace_throttles.updated_at IS 'When it was changed last.';
COMMENT ON COLUMN fairsched.workspace_throttles.off_at IS 'When it was switched off last: what throttled before that is over, also after a crash (fairsched.quota_crossings). NULL = never. Kept by a trigger.';
COMMENT ON COLUMN fairsched.workspace_throttles.preempt IS 'Running jobs of these classes, P3 or P2,P3, are asked to yield while it is throttled; NULL = running jobs go on.';

CREATE TABLE fairsched.workspace_levels (
	workspace text COLLATE "C" NOT NULL CHECK (octet_length(workspace) BETWEEN 1 AND 128),
	resource text COLLATE "C" NOT NULL CHECK (resource = 'storage'),
	level numeric NOT NULL CHECK (level >= 0 AND level <= 1e12),
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (workspace, resource)
);
COMMENT ON TABLE fairsched.workspace_levels IS 'Level of storage of each workspace, changed with fairsched_record_usage.';
COMMENT ON COLUMN fairsched.workspace_levels.workspace IS 'Name of the workspace.';
COMMENT ON COLUMN fairsched.workspace_levels.resource IS 'storage.';
COMMENT ON COLUMN fairsched.workspace_levels.level IS 'In use, in GB.';
COMMENT ON COLUMN fairsched.workspace_levels.updated_at IS 'When it was changed last.';

CREATE SEQUENCE fairsched.usage_seq CACHE 32;
COMMENT ON SEQUENCE fairsched.usage_seq IS 'Numbers of rows of fairsched.workspace_usage.';
CREATE TABLE fairsched.workspace_usage (
	usage_id bigint NOT NULL DEFAULT nextval('fairsched.usage_seq'),
	workspace text COLLATE "C" NOT NULL,
	resource text COLLATE "C" NOT NULL,
	amount numeric NOT NULL CHECK (amount >= CASE resource WHEN 'storage' THEN -1e12 ELSE 0 END AND amount <= 1e12),
	job_id bigint,
	run_id text COLLATE "C",
	recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX workspace_usage_at ON fairsched.workspace_usage (workspace, recorded_at);
CREATE INDEX workspace_usage_age ON fairsched.workspace_usage USING brin (recorded_at);
COMMENT ON TABLE fairsched.workspace_usage IS 'Usage of resources as a time series; rows are only added, and removed by fairsched_cleanup_usage. What a workspace consumed in the last day is the sum of its rows.';
COMMENT ON COLUMN fairsched.workspace_usage.usage_id IS 'Number of the row.';
COMMENT ON COLUMN fairsched.workspace_usage.workspace IS 'Name of the workspace.';
COMMENT ON COLUMN fairsched.workspace_usage.resource IS 'Resource, as in fairsched.workspace_quotas.';
COMMENT ON COLUMN fairsched.workspace_usage.amount IS 'tokens, cost: consumed; storage: the change of the level; others: what was reported.';
COMMENT ON COLUMN fairsched.workspace_usage.job_id IS 'Job it was for; NULL = not said.';
COMMENT ON COLUMN fairsched.workspace_usage.run_id IS 'Run it was for; NULL = not said.';
COMMENT ON COLUMN fairsched.workspace_usage.recorded_at IS 'When.';

CREATE TABLE fairsched.quota_violations (
	violation_id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	workspace text COLLATE "C" NOT NULL,
	resource text COLLATE "C" NOT NULL,
	quota numeric NOT NULL,
	actual numeric NOT NULL,
	overage numeric NOT NULL,
	overage_percent numeric,
	action text NOT NULL CHECK (action IN ('throttle', 'pause', 'alert', 'reject', 'burst_allowed')),
	severity text NOT NULL CHECK (severity IN ('low', 'medium', 'high', 'critical')),
	occurrences bigint NOT NULL DEFAULT 1,
	first_seen timestamptz NOT NULL DEFAULT now(),
	last_seen timestamptz NOT NULL DEFAULT now(),
	resolved_at timestamptz,
	job_id bigint,
	run_id text COLLATE "C"
);
CREATE UNIQUE INDEX quota_violations_open ON fairsched.quota_violations (workspace, resource, action) WHERE resolved_at IS NULL;
CREATE INDEX quota_violations_seen ON fairsched.quota_violations (workspace, last_seen);
COMMENT ON SEQUENCE fairsched.quota_violations_violation_id_seq IS 'Numbers of rows of fairsched.quota_violations.';
COMMENT ON TABLE fairsched.quota_violations IS 'Quotas that were exceeded, would have been, or nearly are. One open row for each workspace, resource and action, with a count; written by the scheduler within about a second, whatever becomes of the transaction that met the limit.';
COMMENT ON COLUMN fairsched.quota_violations.violation_id IS 'Number of the row.';
COMMENT ON COLUMN fairsched.quota_violations.workspace IS 'Name of the workspace.';
COMMENT ON COLUMN fairsched.quota_violations.resource IS 'Resource.';
COMMENT ON COLUMN fairsched.quota_violations.quota IS 'Its quota at the last occurrence.';
COMMENT ON COLUMN fairsched.quota_violations.actual IS 'Most that was in use, or would have been with what was refused, since first_seen.';
COMMENT ON COLUMN fairsched.quota_violations.overage IS 'actual - quota, at least 0.';
COMMENT ON COLUMN fairsched.quota_violations.overage_percent IS 'overage in percent of quota; NULL where the quota is 0.';
COMMENT ON COLUMN fairsched.quota_violations.action IS 'What was done. reject: an amount, or jobs that need more than is left, were refused; other jobs of the workspace go on. pause: all jobs of the workspace are set aside, since no run of concurrent_runs, or nothing of a day''s tokens or cost, is left. throttle: use crossed the threshold of the throttle; the workspace gets no new jobs for a while. alert: nothing was held up, but use of storage, tokens, cost or a resource that the throttle names crossed its threshold while the throttle is off, or does not watch the resource; and each time that what was recorded left storage, tokens or cost above the quota. burst_allowed: a job was let through above the quota, within the burst.';
COMMENT ON COLUMN fairsched.quota_violations.severity IS 'By overage: low to 10 %, medium to 25 %, high to 50 %, critical above.';
COMMENT ON COLUMN fairsched.quota_violations.occurrences IS 'How often. A flow that is refused is parked and counts once until it is asked again.';
COMMENT ON COLUMN fairsched.quota_violations.first_seen IS 'When first.';
COMMENT ON COLUMN fairsched.quota_violations.last_seen IS 'When last.';
COMMENT ON COLUMN fairsched.quota_violations.resolved_at IS 'When the cause was gone; NULL = open. reject, pause: nothing is refused any more; alert: use is below the threshold, or, where the throttle watches it, within the quota; burst_allowed: the level is at or below the quota; throttle: it ended.';
COMMENT ON COLUMN fairsched.quota_violations.job_id IS 'Job of the last occurrence, where one is known: of those that a claim refused the first in the queue; of a burst the one that was let through; else the one whose usage it was.';
COMMENT ON COLUMN fairsched.quota_violations.run_id IS 'Run of the last occurrence, where one is known.';

CREATE TABLE fairsched.rate_windows (
	workspace text COLLATE "C" PRIMARY KEY,
	width bigint NOT NULL,
	head bigint NOT NULL,
	counts bigint[] NOT NULL,
	saved_at timestamptz NOT NULL DEFAULT now(),
	epoch bigint NOT NULL,
	timeline bigint NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE fairsched.rate_windows IS 'Rate windows as they were, saved each second by the scheduler and read after a crash or a promotion. Claims after saved_at are not in it: what fairsched.rate_bookings has counts as claimed at the start of the server; after a promotion, or where nothing was saved, as much as the limit left. At a clean shutdown the server writes the windows to a file of its own, which is exact and goes before these rows.';
COMMENT ON COLUMN fairsched.rate_windows.workspace IS 'Name of the workspace.';
COMMENT ON COLUMN fairsched.rate_windows.width IS 'Length of a slice, in microseconds.';
COMMENT ON COLUMN fairsched.rate_windows.head IS 'Number of the newest slice: microseconds since 2000-01-01 UTC / width.';
COMMENT ON COLUMN fairsched.rate_windows.counts IS 'Claims in the last 65 slices, oldest first.';
COMMENT ON COLUMN fairsched.rate_windows.saved_at IS 'When.';
COMMENT ON COLUMN fairsched.rate_windows.epoch IS 'Claims that were booked up to this epoch are in it.';
COMMENT ON COLUMN fairsched.rate_windows.timeline IS 'Timeline of the server that saved it: after a promotion claims of another server may be unknown.';

-- C appends rows by the order of the columns (rate_book.c).
CREATE TABLE fairsched.rate_bookings (
	workspace text COLLATE "C" NOT NULL,
	epoch bigint NOT NULL,
	claims bigint NOT NULL
);
COMMENT ON TABLE fairsched.rate_bookings IS 'Claims against rate limits that fairsched.rate_windows may not have yet. A claim that no earlier row covers appends one, for itself and some that follow: at least a 64th of the limit, or as many as were claimed since the last save. Saving the window removes them. After a crash they count as claimed at the start of the server.';
COMMENT ON COLUMN fairsched.rate_bookings.workspace IS 'Name of the workspace.';
COMMENT ON COLUMN fairsched.rate_bookings.epoch IS 'Grows with every save of its window.';
COMMENT ON COLUMN fairsched.rate_bookings.claims IS 'Claims that it covers.';

-- No primary key: while a restore is under way the scheduler may write a row that the restore brings as well.
CREATE TABLE fairsched.quota_crossings (
	workspace text COLLATE "C" NOT NULL,
	resource text COLLATE "C" NOT NULL,
	state text NOT NULL CHECK (state IN ('crossed', 'above', 'below')),
	seen_at timestamptz NOT NULL,
	crossed_at timestamptz,
	throttled_until timestamptz,
	quota_since timestamptz NOT NULL,
	throttle_off_at timestamptz
);
CREATE INDEX quota_crossings_of ON fairsched.quota_crossings (workspace, resource);
COMMENT ON TABLE fairsched.quota_crossings IS 'Thresholds of throttles that use is at or above, and throttles that last: what shared memory knows, written by the scheduler together with the violation, within about a second. After a crash, a restart or a promotion it tells which crossings throttled already, and until when; one that has no row yet throttles then.';
COMMENT ON COLUMN fairsched.quota_crossings.workspace IS 'Name of the workspace.';
COMMENT ON COLUMN fairsched.quota_crossings.resource IS 'Resource, as in fairsched.workspace_quotas.';
COMMENT ON COLUMN fairsched.quota_crossings.state IS 'crossed: use crossed the threshold of the throttle upward, and was not below since; it does not throttle again. above: use was there already when the quota or the threshold was set; the next use throttles. below: use is below the threshold again, and the throttle lasts.';
COMMENT ON COLUMN fairsched.quota_crossings.seen_at IS 'When it was so.';
COMMENT ON COLUMN fairsched.quota_crossings.crossed_at IS 'When it crossed; NULL = state is not crossed, or the time is not known.';
COMMENT ON COLUMN fairsched.quota_crossings.throttled_until IS 'Until then the workspace is throttled for it; NULL = it is not, or not any more.';
COMMENT ON COLUMN fairsched.quota_crossings.quota_since IS 'created_at of the quota in fairsched.workspace_quotas: of another quota the row tells nothing.';
COMMENT ON COLUMN fairsched.quota_crossings.throttle_off_at IS 'off_at in fairsched.workspace_throttles: where that is another one, the throttle was switched off since and is over.';

CREATE FUNCTION fairsched.quota_defaults() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF TG_OP = 'INSERT' AND NEW.quota IS NULL THEN
		NEW.quota := CASE NEW.resource WHEN 'cpu' THEN 10 WHEN 'memory' THEN 32 WHEN 'gpu' THEN 2 WHEN 'concurrent_runs' THEN 5
			WHEN 'storage' THEN 100 WHEN 'tokens' THEN 1000000 WHEN 'cost' THEN 100.00 END;
	END IF;
	IF TG_OP = 'UPDATE' THEN
		NEW.updated_at := now();
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION fairsched.quota_defaults() IS 'Trigger of fairsched.workspace_quotas: figures of a row that is made without, and updated_at.';
CREATE TRIGGER quota_defaults BEFORE INSERT OR UPDATE ON fairsched.workspace_quotas
	FOR EACH ROW EXECUTE FUNCTION fairsched.quota_defaults();

CREATE FUNCTION fairsched.throttle_off() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT NEW.enabled AND (CASE TG_OP WHEN 'INSERT' THEN NEW.off_at IS NULL ELSE OLD.enabled END) THEN
		NEW.off_at := clock_timestamp();
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION fairsched.throttle_off() IS 'Trigger of fairsched.workspace_throttles: off_at of a throttle that is switched off.';
REVOKE ALL ON FUNCTION fairsched.throttle_off() FROM PUBLIC;
CREATE TRIGGER throttle_off BEFORE INSERT OR UPDATE ON fairsched.workspace_throttles
	FOR EACH ROW EXECUTE FUNCTION fairsched.throttle_off();

DO $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['workspace_quotas', 'workspace_rate_limits', 'workspace_throttles'] LOOP
		EXECUTE format('CREATE TRIGGER settings_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON fairsched.%I
			FOR EACH STATEMENT EXECUTE FUNCTION fairsched.settings_changed()', t);
	END LOOP;
END
$$;

CREATE FUNCTION fairsched.usage_changed() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'fs_usage_changed';
COMMENT ON FUNCTION fairsched.usage_changed() IS 'Trigger of fairsched.workspace_usage, workspace_levels, quota_violations and quota_crossings: when they change by hand, or in a restore, the scheduler reads them again, a second after the last such commit.';
REVOKE ALL ON FUNCTION fairsched.usage_changed() FROM PUBLIC;
DO $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['workspace_usage', 'workspace_levels', 'quota_violations', 'quota_crossings'] LOOP
		EXECUTE format('CREATE TRIGGER usage_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON fairsched.%I
			FOR EACH STATEMENT EXECUTE FUNCTION fairsched.usage_changed()', t);
	END LOOP;
END
$$;

SELECT pg_extension_config_dump('fairsched.workspace_quotas', '');
SELECT pg_extension_config_dump('fairsched.workspace_rate_limits', '');
SELECT pg_extension_config_dump('fairsched.workspace_throttles', '');
SELECT pg_extension_config_dump('fairsched.workspace_levels', '');
SELECT pg_extension_config_dump('fairsched.workspace_usage', '');
SELECT pg_extension_config_dump('fairsched.usage_seq', '');
SELECT pg_extension_config_dump('fairsched.quota_violations', '');
SELECT pg_extension_config_dump('fairsched.quota_crossings', '');
SELECT pg_extension_config_dump('fairsched.quota_violations_violation_id_seq', '');

-- Settings

CREATE FUNCTION fairsched.limits_wanted(workspace text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_limits_wanted';
COMMENT ON FUNCTION fairsched.limits_wanted(text) IS 'Internal: memory gets an entry for limits of the workspace, with what it used in the last day. Raises FS004 when there is no room.';
CREATE FUNCTION fairsched.apply_limits(workspace text, part text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_limits_apply_part';
COMMENT ON FUNCTION fairsched.apply_limits(text, text) IS 'Internal: at commit the scheduler takes over a resource''s quota, the rate (rate) or the throttle (throttle) of a workspace as its row says.';

CREATE FUNCTION fairsched.check_resource(workspace text, resource text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM fairsched.check_workspace_args(workspace, NULL, NULL, NULL, NULL);
	IF resource IS NULL OR resource NOT IN ('cpu', 'memory', 'gpu', 'concurrent_runs', 'storage', 'tokens', 'cost') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('resource "%s" does not exist', left(coalesce(resource, 'NULL'), 64)),
			HINT = 'Resources are cpu, memory, gpu, concurrent_runs, storage, tokens and cost.';
	END IF;
END
$$;
COMMENT ON FUNCTION fairsched.check_resource(text, text) IS 'Internal: refuses bad arguments.';

CREATE FUNCTION fairsched.check_amount(amount numeric, what text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF amount = 'NaN' OR amount IN ('Infinity', '-Infinity') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s must be a finite number', what),
			HINT = 'NaN and infinity are no amounts.';
	ELSIF amount < 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s must not be negative', what),
			HINT = 'Use 0 or more.';
	ELSIF amount > 1e12 THEN
		RAISE EXCEPTION USING ERRCODE = 'numeric_value_out_of_range', MESSAGE = format('%s is too large', what),
			HINT = 'At most 1000000000000 is possible.';
	END IF;
END
$$;
COMMENT ON FUNCTION fairsched.check_amount(numeric, text) IS 'Internal: refuses bad arguments.';

CREATE FUNCTION fairsched_set_quota(workspace text, resource text, quota numeric, burst numeric DEFAULT 0, burst_duration interval DEFAULT '1 hour') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	PERFORM fairsched.check_resource(fairsched_set_quota.workspace, fairsched_set_quota.resource);
	PERFORM fairsched.check_amount(fairsched_set_quota.quota, 'quota');
	PERFORM fairsched.check_amount(fairsched_set_quota.burst, 'burst');
	IF fairsched_set_quota.burst IS NULL OR fairsched_set_quota.burst_duration IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'burst and burst_duration must not be null',
			HINT = 'Leave them out for no burst.';
	END IF;
	IF fairsched_set_quota.burst > 0 AND fairsched_set_quota.resource NOT IN ('cpu', 'memory') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('resource "%s" has no burst', fairsched_set_quota.resource),
			HINT = 'Only cpu and memory may be above their quota for a while.';
	END IF;
	IF fairsched_set_quota.burst_duration <= '0' OR fairsched_set_quota.burst_duration > '1 hour' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'burst_duration must be positive and at most 1 hour',
			HINT = 'It is the time within an hour that the level may be above the quota.';
	END IF;
	PERFORM fairsched.limits_wanted(fairsched_set_quota.workspace);
	PERFORM fairsched.own_changes(true);
	INSERT INTO fairsched.workspace_quotas AS q (workspace, resource, quota, burst, burst_duration)
	VALUES (fairsched_set_quota.workspace, fairsched_set_quota.resource, fairsched_set_quota.quota, fairsched_set_quota.burst, fairsched_set_quota.burst_duration)
	ON CONFLICT (workspace, resource) DO UPDATE SET quota = excluded.quota, burst = excluded.burst, burst_duration = excluded.burst_duration;
	PERFORM fairsched.own_changes(false);
	PERFORM fairsched.apply_limits(fairsched_set_quota.workspace, fairsched_set_quota.resource);
END
$$;
COMMENT ON FUNCTION fairsched_set_quota(text, text, numeric, numeric, interval) IS 'Sets how much of a resource a workspace may use; takes effect on the existing backlog with the commit. resource: cpu (cores), memory (GB), gpu, concurrent_runs are held while jobs run that declared them; storage (GB) is a level; tokens and cost (USD) are consumed per rolling day. quota: NULL = the default figure (fairsched.workspace_quotas). burst: cpu and memory may be so much above it for burst_duration within an hour. Running jobs are not stopped by a lower quota. fairsched_drop_quota removes it. Errors: 22023 and 22003 for arguments, FS004 fairsched.max_limits reached.';

CREATE FUNCTION fairsched_drop_quota(workspace text, resource text) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	there boolean;
BEGIN
	PERFORM fairsched.check_resource(workspace, resource);
	PERFORM fairsched.own_changes(true);
	DELETE FROM fairsched.workspace_quotas q WHERE q.workspace = fairsched_drop_quota.workspace AND q.resource = fairsched_drop_quota.resource;
	there := FOUND;
	PERFORM fairsched.own_changes(false);
	IF there THEN
		PERFORM fairsched.apply_limits(workspace, resource);
	END IF;
	RETURN there;
END
$$;
COMMENT ON FUNCTION fairsched_drop_quota(text, text) IS 'Removes a quota: the resource has no limit any more, and a throttle for it is over. False when there was none. Error: 22023 for arguments.';

CREATE FUNCTION fairsched_set_rate_limit(workspace text, max_claims int, per interval, jitter interval DEFAULT '0') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	PERFORM fairsched.check_workspace_args(fairsched_set_rate_limit.workspace, NULL, NULL, NULL, NULL);
	IF fairsched_set_rate_limit.max_claims IS NULL THEN
		PERFORM fairsched.own_changes(true);
		DELETE FROM fairsched.workspace_rate_limits WHERE workspace = fairsched_set_rate_limit.workspace;
		DELETE FROM fairsched.rate_windows WHERE workspace = fairsched_set_rate_limit.workspace;
		DELETE FROM fairsched.rate_bookings WHERE workspace = fairsched_set_rate_limit.workspace;
		PERFORM fairsched.own_changes(false);
		PERFORM fairsched.apply_limits(fairsched_set_rate_limit.workspace, 'rate');
		RETURN;
	END IF;
	IF fairsched_set_rate_limit.max_claims NOT BETWEEN 1 AND 1000000000 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'max_claims must be between 1 and 1000000000',
			HINT = 'Use fairsched_pause_workspace to stop a workspace, null for no rate limit.';
	END IF;
	IF per IS NULL OR per < '1 ms' OR per > '366 days' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'per must be between 1 ms and 366 days',
			HINT = 'It is the length of the window, for example ''1 min''.';
	END IF;
	IF fairsched_set_rate_limit.jitter IS NULL OR fairsched_set_rate_limit.jitter < '0' OR fairsched_set_rate_limit.jitter > '366 days' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'jitter must be between 0 and 366 days',
			HINT = 'Leave it out for none.';
	END IF;
	PERFORM fairsched.limits_wanted(fairsched_set_rate_limit.workspace);
	PERFORM fairsched.own_changes(true);
	INSERT INTO fairsched.workspace_rate_limits AS r (workspace, max_claims, period, jitter)
	VALUES (fairsched_set_rate_limit.workspace, fairsched_set_rate_limit.max_claims, per, fairsched_set_rate_limit.jitter)
	ON CONFLICT (workspace) DO UPDATE SET max_claims = excluded.max_claims, period = excluded.period, jitter = excluded.jitter, updated_at = now();
	PERFORM fairsched.own_changes(false);
	PERFORM fairsched.apply_limits(fairsched_set_rate_limit.workspace, 'rate');
END
$$;
COMMENT ON FUNCTION fairsched_set_rate_limit(text, int, interval, interval) IS 'At most max_claims jobs of the workspace are claimed in any window of length per, wherever it begins. A claim counts for up to a 64th of per longer than that. A claim that is rolled back does not count. max_claims: NULL = no limit any more. jitter: a workspace that was refused takes part again up to so much later, so that many do not return at one moment. A restart forgets nothing. After a crash what was claimed since the scheduler last saved the window, each second, counts as claimed at the start of the server, and up to as many again, or a 64th of the limit; after a promotion as much as the limit left counts. Either for one period at most. Errors: 22023 for arguments, FS004 fairsched.max_limits reached.';

CREATE FUNCTION fairsched_set_throttle(workspace text, enabled boolean, threshold double precision DEFAULT 0.9, duration interval DEFAULT '5 min', resources text[] DEFAULT '{tokens,cost,storage}', preempt text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	r text;
BEGIN
	PERFORM fairsched.check_workspace_args(fairsched_set_throttle.workspace, NULL, NULL, NULL, NULL);
	IF fairsched_set_throttle.enabled IS NULL OR fairsched_set_throttle.resources IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'enabled and resources must not be null',
			HINT = 'Use enabled => false to switch the throttle off.';
	END IF;
	IF NOT coalesce(fairsched_set_throttle.threshold > 0 AND fairsched_set_throttle.threshold <= 1, false) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'threshold must be above 0 and at most 1',
			HINT = 'It is the part of a quota that throttles, for example 0.9.';
	END IF;
	IF NOT coalesce(fairsched_set_throttle.duration > '0' AND fairsched_set_throttle.duration <= '366 days', false) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'duration must be positive and at most 366 days',
			HINT = 'Use an interval such as ''5 min''.';
	END IF;
	IF fairsched_set_throttle.preempt NOT IN ('P3', 'P2,P3') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'preempt must be P3 or P2,P3',
			HINT = 'Leave it out: running jobs go on.';
	END IF;
	FOREACH r IN ARRAY fairsched_set_throttle.resources LOOP
		PERFORM fairsched.check_resource(fairsched_set_throttle.workspace, r);
	END LOOP;
	PERFORM fairsched.limits_wanted(fairsched_set_throttle.workspace);
	PERFORM fairsched.own_changes(true);
	INSERT INTO fairsched.workspace_throttles AS t (workspace, enabled, threshold, duration, resources, preempt)
	VALUES (fairsched_set_throttle.workspace, fairsched_set_throttle.enabled, fairsched_set_throttle.threshold, fairsched_set_throttle.duration, fairsched_set_throttle.resources, fairsched_set_throttle.preempt)
	ON CONFLICT (workspace) DO UPDATE SET enabled = excluded.enabled, threshold = excluded.threshold, duration = excluded.duration, resources = excluded.resources, preempt = excluded.preempt, updated_at = now();
	PERFORM fairsched.own_changes(false);
	PERFORM fairsched.apply_limits(fairsched_set_throttle.workspace, 'throttle');
END
$$;
COMMENT ON FUNCTION fairsched_set_throttle(text, boolean, double precision, interval, text[], text) IS 'When the use of one of the resources crosses threshold of its quota upward, as of commit, the workspace gets no new jobs for duration; running ones go on. Once, until it has been below again. preempt: running jobs of these classes, P3 or P2,P3, do not go on: while the throttle lasts they are asked to yield, as by fairsched_preempt (reason quota_exceeded), and they are resumed when it is over; NULL, the default: no job is asked. Without this call a workspace with quotas is throttled by the defaults. enabled => false switches it off, and ends a throttle. Errors: 22023 and 22004 for arguments, FS004 fairsched.max_limits reached.';

CREATE FUNCTION fairsched.forget_limits(workspace text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	part text;
BEGIN
	-- memory is told as well, which may know the workspace for longer
	PERFORM @extschema@.fairsched_record_usage(forget_limits.workspace, 'storage', 0, absolute => true)
		FROM fairsched.workspace_levels l WHERE l.workspace = forget_limits.workspace AND l.level > 0;
	PERFORM fairsched.own_changes(true);
	FOR part IN DELETE FROM fairsched.workspace_quotas q WHERE q.workspace = forget_limits.workspace RETURNING q.resource LOOP
		PERFORM fairsched.apply_limits(workspace, part);
	END LOOP;
	DELETE FROM fairsched.workspace_rate_limits r WHERE r.workspace = forget_limits.workspace;
	IF FOUND THEN
		PERFORM fairsched.apply_limits(workspace, 'rate');
	END IF;
	DELETE FROM fairsched.workspace_throttles t WHERE t.workspace = forget_limits.workspace;
	IF FOUND THEN
		PERFORM fairsched.apply_limits(workspace, 'throttle');
	END IF;
	DELETE FROM fairsched.rate_windows r WHERE r.workspace = forget_limits.workspace;
	DELETE FROM fairsched.rate_bookings r WHERE r.workspace = forget_limits.workspace;
	DELETE FROM fairsched.workspace_levels l WHERE l.workspace = forget_limits.workspace;
	PERFORM fairsched.own_changes(false);
END
$$;
COMMENT ON FUNCTION fairsched.forget_limits(text) IS 'Internal: a dropped workspace has no quotas, rate limit, throttle or storage any more. Its usage stays until fairsched_cleanup_usage removes it.';

-- Usage

CREATE FUNCTION fairsched_check_quota(workspace text, resource text, amount numeric,
	OUT allowed boolean, OUT burst_allowed boolean, OUT current_usage numeric, OUT quota numeric, OUT retry_after interval, OUT reason text)
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_check_quota';
COMMENT ON FUNCTION fairsched_check_quota(text, text, numeric) IS 'Would so much more of the resource fit the workspace''s quota now? Records nothing. allowed; burst_allowed: only as a burst; current_usage: in use, by open transactions too; quota: NULL = none is set, all is allowed; retry_after: when it would fit, where that is known; reason: in words. Errors: 22023, 22003, 22004 for arguments.';
CREATE FUNCTION fairsched_enforce_quota(workspace text, resource text, amount numeric, job_id bigint DEFAULT NULL, run_id text DEFAULT NULL,
	OUT allowed boolean, OUT burst_allowed boolean, OUT current_usage numeric, OUT quota numeric, OUT retry_after interval, OUT reason text)
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_enforce_quota';
COMMENT ON FUNCTION fairsched_enforce_quota(text, text, numeric, bigint, text) IS 'As fairsched_check_quota, in one step with what follows: an amount that fits is recorded as fairsched_record_usage does, and throttles the workspace where it crosses the threshold; one that does not becomes a violation (reject), as does one that fits only as a burst (burst_allowed). Exact under concurrency: of two calls that fit only alone, one is allowed. Of a resource that jobs hold (cpu, memory, gpu, concurrent_runs) nothing is held by this call. Errors: 22023, 22003, 22004 for arguments.';
CREATE FUNCTION fairsched_record_usage(workspace text, resource text, amount numeric, job_id bigint DEFAULT NULL, run_id text DEFAULT NULL, absolute boolean DEFAULT false) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_record_usage';
COMMENT ON FUNCTION fairsched_record_usage(text, text, numeric, bigint, text, boolean) IS 'Records what was used, quota or not, in fairsched.workspace_usage. tokens, cost: counts for a day. storage: changes the level by amount, which may be negative, or with absolute sets it. Others: a figure for the time series, since what jobs hold is known from their declarations. Crossing the throttle''s threshold throttles the workspace at commit. Errors: 22023, 22003, 22004 for arguments; 22023 also for a level below 0.';

CREATE FUNCTION fairsched_cleanup_usage(retention interval DEFAULT '30 days') RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n bigint;
BEGIN
	IF retention IS NULL OR retention < '2 days' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'retention must be at least 2 days',
			HINT = 'The usage of the last day is what quotas of tokens and cost count.';
	END IF;
	PERFORM fairsched.own_changes(true);
	DELETE FROM fairsched.workspace_usage u WHERE u.recorded_at < now() - retention;
	GET DIAGNOSTICS n = ROW_COUNT;
	DELETE FROM fairsched.quota_violations v WHERE v.resolved_at < now() - retention;
	PERFORM fairsched.own_changes(false);
	RETURN n;
END
$$;
COMMENT ON FUNCTION fairsched_cleanup_usage(interval) IS 'Removes usage, and resolved violations, older than retention; returns how many usage rows went. The scheduler does it once an hour with the default. Error: 22023 less than 2 days.';

-- Why a job is not handed out

CREATE FUNCTION fairsched_explain(job_id bigint)
	RETURNS TABLE (gate text, verdict text, value numeric, limit_value numeric, detail text, retry_at timestamptz)
	LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 12 AS 'MODULE_PATHNAME', 'fs_explain';
COMMENT ON FUNCTION fairsched_explain(bigint) IS 'Every gate of the claim for a job, in the order they are asked, each by itself: gate; verdict, pass or refuse; value and limit_value where the gate compares figures; detail; retry_at: when it lifts, where that is a matter of time. Gates: state, review (of a job with min_deliberation; value is the best of its scores with the recommendation pass), drain, pause, capabilities (has any live worker what the job requires), placement (does one of these run on a node that its workspace and lane are placed on), ceiling, workspace_share, rate, quota_cpu and so on for what the job needs or the workspace has a quota of, budget, throttle, capacity_cpu and so on for what the job needs and the fleet has a capacity of (fairsched_set_capacity). Where all pass the job is handed out when its turn in the fair order comes. Changes nothing. Errors: FS006 the job does not exist or is over, 22004.';

-- workspace_usage_current

CREATE FUNCTION fairsched.workspace_usage_internal(
	OUT workspace text, OUT resource text, OUT used numeric, OUT quota numeric, OUT percent numeric,
	OUT burst_in_use numeric, OUT throttled_until timestamptz, OUT burst numeric)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 100
	AS 'MODULE_PATHNAME', 'fs_view_workspace_usage';
COMMENT ON FUNCTION fairsched.workspace_usage_internal() IS 'Internal: workspaces with limits, as shared memory knows them. Needs SELECT on fairsched.workspace_usage_current.';

CREATE VIEW fairsched.workspace_usage_current AS
SELECT u.workspace COLLATE "C" AS workspace, u.resource COLLATE "C" AS resource, u.used, u.quota, u.percent,
	u.burst_in_use, u.throttled_until, u.burst
FROM fairsched.workspace_usage_internal() u;
COMMENT ON VIEW fairsched.workspace_usage_current IS 'What workspaces with limits use now, one row for each resource that has a quota or is in use. From memory: exact, open transactions included.';
COMMENT ON COLUMN fairsched.workspace_usage_current.workspace IS 'Name of the workspace.';
COMMENT ON COLUMN fairsched.workspace_usage_current.resource IS 'Resource.';
COMMENT ON COLUMN fairsched.workspace_usage_current.used IS 'cpu, memory, gpu, concurrent_runs: held by running jobs; storage: the level, and what running jobs declared; tokens, cost: consumed in the last day (up to 22.5 minutes more), and what running jobs declared.';
COMMENT ON COLUMN fairsched.workspace_usage_current.quota IS 'Its quota; NULL = none.';
COMMENT ON COLUMN fairsched.workspace_usage_current.percent IS 'used in percent of quota; NULL without one, or where it is 0.';
COMMENT ON COLUMN fairsched.workspace_usage_current.burst_in_use IS 'How much used is above quota, at least 0; NULL without a quota.';
COMMENT ON COLUMN fairsched.workspace_usage_current.throttled_until IS 'Until then the workspace gets no new jobs; NULL = it is not throttled.';
COMMENT ON COLUMN fairsched.workspace_usage_current.burst IS 'How much above the quota is allowed for a while; NULL without a quota.';

CREATE FUNCTION fairsched_workspace_health(workspace text) RETURNS int
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	minus int;
BEGIN
	PERFORM fairsched.check_workspace_args(workspace, NULL, NULL, NULL, NULL);
	SELECT coalesce(sum(CASE
		WHEN u.resource IN ('cpu', 'memory') AND u.percent > 90 THEN 20
		WHEN u.resource IN ('cpu', 'memory') AND u.percent > 75 THEN 10
		WHEN u.resource = 'cost' AND u.percent > 95 THEN 30
		WHEN u.resource = 'cost' AND u.percent > 80 THEN 15 ELSE 0 END), 0)
		INTO minus FROM fairsched.workspace_usage_current u WHERE u.workspace = fairsched_workspace_health.workspace;
	minus := minus + 5 * (SELECT count(*) FROM fairsched.quota_violations v
		WHERE v.workspace = fairsched_workspace_health.workspace AND v.resolved_at IS NULL AND v.last_seen > now() - interval '1 hour');
	RETURN greatest(100 - minus, 0);
END
$$;
COMMENT ON FUNCTION fairsched_workspace_health(text) IS 'A figure for dashboards, 100 (well) to 0: cpu and memory each -20 above 90 % of their quota, -10 above 75 %; cost -30 above 95 %, -15 above 80 %; -5 for each open violation seen in the last hour. Error: 22023 and 22004 for arguments.';

REVOKE ALL ON fairsched.workspace_quotas, fairsched.workspace_rate_limits, fairsched.workspace_throttles, fairsched.workspace_levels,
	fairsched.workspace_usage, fairsched.quota_violations, fairsched.quota_crossings, fairsched.rate_windows, fairsched.rate_bookings, fairsched.workspace_usage_current FROM PUBLIC;
COMMENT ON SEQUENCE fairsched.quota_violations_violation_id_seq IS 'Numbers of violations.';
