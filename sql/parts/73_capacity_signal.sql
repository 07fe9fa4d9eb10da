-- The capacity signal: how many workers each lane should have.

CREATE TABLE fairsched.capacity_settings (
	lane text COLLATE "C" PRIMARY KEY CHECK (octet_length(lane) BETWEEN 1 AND 128),
	min_workers integer NOT NULL DEFAULT 0 CHECK (min_workers BETWEEN 0 AND 1000000),
	max_workers integer CHECK (max_workers BETWEEN 0 AND 1000000),
	max_step_up integer CHECK (max_step_up BETWEEN 1 AND 1000000),
	max_step_down integer CHECK (max_step_down BETWEEN 1 AND 1000000),
	dwell_target interval CHECK (dwell_target >= '1 ms' AND dwell_target <= '366 days'),
	CHECK (max_workers >= min_workers)
);
COMMENT ON TABLE fairsched.capacity_settings IS 'Bounds of fairsched.capacity_recommendation, for lanes that need some; change it with INSERT, UPDATE and DELETE, which count from the next reading on. A lane without a row has no bounds.';
COMMENT ON COLUMN fairsched.capacity_settings.lane IS 'Lane, 1 to 128 bytes.';
COMMENT ON COLUMN fairsched.capacity_settings.min_workers IS 'Never fewer are recommended.';
COMMENT ON COLUMN fairsched.capacity_settings.max_workers IS 'Never more are recommended, but for workers that hold jobs; NULL = no bound.';
COMMENT ON COLUMN fairsched.capacity_settings.max_step_up IS 'Most that is recommended above the present number of workers; NULL = no bound.';
COMMENT ON COLUMN fairsched.capacity_settings.max_step_down IS 'Most that is recommended below the present number of workers; NULL = no bound.';
COMMENT ON COLUMN fairsched.capacity_settings.dwell_target IS 'How long a ready job of the lane should wait on average; NULL = fairsched.dwell_target.';
SELECT pg_extension_config_dump('fairsched.capacity_settings', '');

CREATE TABLE fairsched.capacity_pins (
	lane text COLLATE "C" PRIMARY KEY CHECK (octet_length(lane) BETWEEN 1 AND 128),
	workers integer NOT NULL CHECK (workers BETWEEN 0 AND 1000000),
	until timestamptz,
	pinned_by text COLLATE "C" NOT NULL DEFAULT session_user,
	pinned_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE fairsched.capacity_pins IS 'Lanes whose recommendation an operator has fixed with fairsched_pin_capacity. A row whose time is over has no effect, and goes when somebody pins or unpins.';
COMMENT ON COLUMN fairsched.capacity_pins.lane IS 'Lane.';
COMMENT ON COLUMN fairsched.capacity_pins.workers IS 'Workers that are recommended.';
COMMENT ON COLUMN fairsched.capacity_pins.until IS 'Until when; NULL = until it is unpinned.';
COMMENT ON COLUMN fairsched.capacity_pins.pinned_by IS 'Role that was logged in when it was pinned.';
COMMENT ON COLUMN fairsched.capacity_pins.pinned_at IS 'When it was pinned.';
SELECT pg_extension_config_dump('fairsched.capacity_pins', '');

CREATE FUNCTION fairsched.signal_changed() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'fs_signal_changed';
COMMENT ON FUNCTION fairsched.signal_changed() IS 'Trigger of the tables behind fairsched.capacity_recommendation: they are read again.';
CREATE TRIGGER signal_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON fairsched.capacity_settings
	FOR EACH STATEMENT EXECUTE FUNCTION fairsched.signal_changed();
CREATE TRIGGER signal_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON fairsched.capacity_pins
	FOR EACH STATEMENT EXECUTE FUNCTION fairsched.signal_changed();

CREATE FUNCTION fairsched.capacity_recommendation_internal(
	OUT lane text, OUT desired_workers integer, OUT current_workers integer, OUT reason text, OUT detail text,
	OUT wanted_workers integer, OUT busy_workers integer, OUT running integer, OUT ready bigint, OUT held_up bigint,
	OUT arrival_rate double precision, OUT service_time double precision, OUT slots_per_worker double precision,
	OUT dwell_target double precision, OUT pinned_workers integer, OUT pinned_until timestamptz)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10
	AS 'MODULE_PATHNAME', 'fs_view_capacity_recommendation';
COMMENT ON FUNCTION fairsched.capacity_recommendation_internal() IS 'Internal: evaluates the capacity signal. Needs SELECT on fairsched.capacity_recommendation.';

CREATE VIEW fairsched.capacity_recommendation AS
SELECT c.lane COLLATE "C" AS lane, c.desired_workers, c.current_workers, c.reason COLLATE "C" AS reason, c.detail,
	c.wanted_workers, c.busy_workers, c.running, c.ready, c.held_up, c.arrival_rate,
	c.service_time * interval '1 s' AS service_time, c.slots_per_worker,
	c.dwell_target * interval '1 s' AS dwell_target, c.pinned_workers,
	nullif(c.pinned_until, 'infinity') AS pinned_until
FROM fairsched.capacity_recommendation_internal() c;
COMMENT ON VIEW fairsched.capacity_recommendation IS 'How many workers each lane should have, one row for each lane that memory knows: for an autoscaler to poll. From the rate at which jobs become ready, how long they are held, how many wait, and fairsched.dwell_target; as of now. Costs O(workspaces), jobs are not looked at. The rule: docs/capacity.md.';
COMMENT ON COLUMN fairsched.capacity_recommendation.lane IS 'Lane.';
COMMENT ON COLUMN fairsched.capacity_recommendation.desired_workers IS 'Workers it should have: wanted_workers after the cool-down (fairsched.capacity_cooldown, for fewer only), bounds and steps of fairsched.capacity_settings, or as pinned; never fewer than busy_workers.';
COMMENT ON COLUMN fairsched.capacity_recommendation.current_workers IS 'Workers that serve it: asked for it when they claimed last, and have called within fairsched.worker_timeout or hold a job. One that serves several lanes counts in each.';
COMMENT ON COLUMN fairsched.capacity_recommendation.reason IS 'backlog: jobs that wait make it so many; dwell: jobs that arrive do, to wait no longer than the target; idle: fewer are wanted than there are, or none; at_quota: more workers would not help, what waits is held up by ceilings, quotas, rates or a pause; budget_paused: the same, by budgets; stepping: a step limit cuts it; pinned: by fairsched_pin_capacity.';
COMMENT ON COLUMN fairsched.capacity_recommendation.detail IS 'The figures behind it, in words.';
COMMENT ON COLUMN fairsched.capacity_recommendation.wanted_workers IS 'Workers for the work there is now, before cool-down, bounds, steps and pin.';
COMMENT ON COLUMN fairsched.capacity_recommendation.busy_workers IS 'Workers that hold jobs of it.';
COMMENT ON COLUMN fairsched.capacity_recommendation.running IS 'Jobs of it that run, open claims included.';
COMMENT ON COLUMN fairsched.capacity_recommendation.ready IS 'Jobs of it that wait and are not held up; NULL = not counted yet.';
COMMENT ON COLUMN fairsched.capacity_recommendation.held_up IS 'Jobs of it that wait and whose workspace or flow is parked; NULL = not counted yet.';
COMMENT ON COLUMN fairsched.capacity_recommendation.arrival_rate IS 'Jobs a second that become ready: a mean that forgets with a time constant of 60 s.';
COMMENT ON COLUMN fairsched.capacity_recommendation.service_time IS 'How long a job is held, on average; forgets with a time constant of 600 s. NULL = none was held yet.';
COMMENT ON COLUMN fairsched.capacity_recommendation.slots_per_worker IS 'Jobs a worker holds at a time, on average: what it declared, or holds if that is more; at least 1.';
COMMENT ON COLUMN fairsched.capacity_recommendation.dwell_target IS 'How long a ready job should wait on average.';
COMMENT ON COLUMN fairsched.capacity_recommendation.pinned_workers IS 'What it is pinned to; NULL = it is not.';
COMMENT ON COLUMN fairsched.capacity_recommendation.pinned_until IS 'Until when; NULL = it is not pinned, or until it is unpinned.';

CREATE FUNCTION fairsched_pin_capacity(lane text, n int, until timestamptz DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	IF $1 IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'lane must not be null',
			HINT = 'fairsched.capacity_recommendation lists the lanes.';
	ELSIF $2 < 0 OR $2 > 1000000 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'n must be between 0 and 1000000',
			HINT = 'Give how many workers the lane should have, or NULL to unpin it.';
	ELSIF $2 IS NOT NULL AND $3 <= clock_timestamp() THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'until must be in the future',
			HINT = 'Leave it out to pin the lane until it is unpinned.';
	ELSIF $1 <> 'default' AND NOT EXISTS (SELECT FROM fairsched.claim_stats c WHERE c.lane = $1)
		AND NOT EXISTS (SELECT FROM fairsched.capacity_settings s WHERE s.lane = $1)
		AND NOT EXISTS (SELECT FROM fairsched.capacity_pins p WHERE p.lane = $1) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('lane "%s" is not known', $1),
			HINT = 'fairsched.capacity_recommendation lists the lanes; a lane that is to have jobs later becomes known by a row in fairsched.capacity_settings.';
	END IF;
	DELETE FROM fairsched.capacity_pins p WHERE p.until <= now() AND p.lane <> $1;
	IF $2 IS NULL THEN
		DELETE FROM fairsched.capacity_pins p WHERE p.lane = $1;
		RETURN;
	END IF;
	INSERT INTO fairsched.capacity_pins AS p (lane, workers, until) VALUES ($1, $2, nullif($3, 'infinity'))
		ON CONFLICT (lane) DO UPDATE SET workers = excluded.workers, until = excluded.until,
			pinned_by = excluded.pinned_by, pinned_at = excluded.pinned_at;
END
$$;
COMMENT ON FUNCTION fairsched_pin_capacity(text, int, timestamptz) IS 'Fixes what fairsched.capacity_recommendation says for a lane at n workers until a time, or until it is unpinned; from commit on, through restarts and dumps. It is never fewer than hold jobs; other bounds do not count while it is pinned. n NULL: unpins. The lane default is always known. Errors: 22004 no lane, 22023 n is negative or too large, until is not in the future, 42704 unknown lane.';

REVOKE ALL ON fairsched.capacity_settings, fairsched.capacity_pins, fairsched.capacity_recommendation FROM PUBLIC;
REVOKE ALL ON FUNCTION fairsched_pin_capacity(text, int, timestamptz), fairsched.signal_changed() FROM PUBLIC;
