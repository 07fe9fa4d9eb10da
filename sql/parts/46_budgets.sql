-- Budgets.  What is set is in fairsched.budgets, what was spent in budget_spend
-- (one row a spending, appended) and budget_totals (rows added up, by the
-- scheduler alone).  src/README.md says how they go together.

CREATE SEQUENCE fairsched.budget_id_seq AS integer;
COMMENT ON SEQUENCE fairsched.budget_id_seq IS 'Numbers of budgets.';
CREATE SEQUENCE fairsched.budget_revision_seq;
COMMENT ON SEQUENCE fairsched.budget_revision_seq IS 'Revisions of rows of fairsched.budgets.';
CREATE SEQUENCE fairsched.budget_event_id_seq;
COMMENT ON SEQUENCE fairsched.budget_event_id_seq IS 'Numbers of budget events.';

-- C reads the columns by their order (budget_spend.c).
CREATE TABLE fairsched.budgets (
	budget text COLLATE "C" PRIMARY KEY CHECK (octet_length(budget) BETWEEN 1 AND 128),
	budget_id integer NOT NULL UNIQUE DEFAULT nextval('fairsched.budget_id_seq'),
	workspace text COLLATE "C" CHECK (octet_length(workspace) BETWEEN 1 AND 128),
	dimension text COLLATE "C" NOT NULL DEFAULT 'cost' CHECK (octet_length(dimension) BETWEEN 1 AND 128),
	amount numeric(18, 6) NOT NULL CHECK (amount > 0 AND amount < 'NaN'),
	warn_at numeric(7, 6) DEFAULT 0.5 CHECK (warn_at > 0 AND warn_at <= 1),
	throttle_at numeric(7, 6) DEFAULT 0.8 CHECK (throttle_at > 0 AND throttle_at <= 1),
	preempt_at numeric(7, 6) CHECK (preempt_at > 0 AND preempt_at <= 1),
	pause_at numeric(7, 6) DEFAULT 0.95 CHECK (pause_at > 0 AND pause_at <= 1),
	warn_action text COLLATE "C" NOT NULL DEFAULT 'alert' CHECK (warn_action IN ('alert', 'preempt P3', 'preempt P2,P3', 'pause all')),
	throttle_action text COLLATE "C" NOT NULL DEFAULT 'preempt P3' CHECK (throttle_action IN ('alert', 'preempt P3', 'preempt P2,P3', 'pause all')),
	preempt_action text COLLATE "C" NOT NULL DEFAULT 'preempt P2,P3' CHECK (preempt_action IN ('alert', 'preempt P3', 'preempt P2,P3', 'pause all')),
	pause_action text COLLATE "C" NOT NULL DEFAULT 'pause all' CHECK (pause_action IN ('alert', 'preempt P3', 'preempt P2,P3', 'pause all')),
	reset_every interval CHECK (reset_every >= '1 second' AND least(extract(year FROM reset_every), extract(month FROM reset_every), extract(day FROM reset_every),
		extract(hour FROM reset_every), extract(minute FROM reset_every), extract(second FROM reset_every)) >= 0),
	period integer NOT NULL DEFAULT 1,
	period_started_at timestamptz NOT NULL DEFAULT now(),
	next_reset_at timestamptz CHECK (isfinite(next_reset_at)),
	revision bigint NOT NULL DEFAULT 0,
	created_at timestamptz NOT NULL DEFAULT now(),
	CHECK ((reset_every IS NULL) = (next_reset_at IS NULL))
);
COMMENT ON TABLE fairsched.budgets IS 'Budgets as they are set: fairsched_set_budget. Deleting a row removes the budget; jobs that name it then wait. What is spent is in fairsched.budget_status.';
COMMENT ON COLUMN fairsched.budgets.budget IS 'Name, 1 to 128 bytes, as jobs give it in budgets. Cannot be changed.';
COMMENT ON COLUMN fairsched.budgets.budget_id IS 'Its number. Cannot be changed.';
COMMENT ON COLUMN fairsched.budgets.workspace IS 'Only jobs of this workspace may name it; NULL = those of all.';
COMMENT ON COLUMN fairsched.budgets.dimension IS 'What it counts: cost (USD), tokens, or any name. A job''s estimate is found under this key in its resources, what it used in its usage.';
COMMENT ON COLUMN fairsched.budgets.amount IS 'What may be spent in a period, in units of the dimension; to six decimals.';
COMMENT ON COLUMN fairsched.budgets.warn_at IS 'Share of the amount whose spending is the warning; NULL = off.';
COMMENT ON COLUMN fairsched.budgets.throttle_at IS 'Share of the amount at which throttle_action is taken; NULL = off.';
COMMENT ON COLUMN fairsched.budgets.preempt_at IS 'Share of the amount at which preempt_action is taken; NULL = off, the default.';
COMMENT ON COLUMN fairsched.budgets.pause_at IS 'Share of the amount at which pause_action is taken; NULL = off.';
COMMENT ON COLUMN fairsched.budgets.warn_action IS 'alert, preempt P3, preempt P2,P3 or pause all.';
COMMENT ON COLUMN fairsched.budgets.throttle_action IS 'alert, preempt P3, preempt P2,P3 or pause all.';
COMMENT ON COLUMN fairsched.budgets.preempt_action IS 'alert, preempt P3, preempt P2,P3 or pause all.';
COMMENT ON COLUMN fairsched.budgets.pause_action IS 'alert, preempt P3, preempt P2,P3 or pause all.';
COMMENT ON COLUMN fairsched.budgets.reset_every IS 'Length of a period; NULL = it is reset by hand only.';
COMMENT ON COLUMN fairsched.budgets.period IS 'Number of the current period; grows with every reset.';
COMMENT ON COLUMN fairsched.budgets.period_started_at IS 'When the current period began.';
COMMENT ON COLUMN fairsched.budgets.next_reset_at IS 'When it is reset next; NULL = by hand only.';
COMMENT ON COLUMN fairsched.budgets.revision IS 'Grows with every change of the row.';
COMMENT ON COLUMN fairsched.budgets.created_at IS 'When it was defined first.';

CREATE TABLE fairsched.budget_totals (
	budget_id integer PRIMARY KEY,
	period integer NOT NULL,
	spent bigint NOT NULL DEFAULT 0 CHECK (spent BETWEEN 0 AND 2000000000000000000),
	crossed integer NOT NULL DEFAULT 0,
	crossed_period integer NOT NULL DEFAULT 0
);
COMMENT ON TABLE fairsched.budget_totals IS 'What the scheduler added up of each budget, and which events it has written. Only the scheduler writes it, so it never waits for who changes a budget.';
COMMENT ON COLUMN fairsched.budget_totals.budget_id IS 'Number of the budget.';
COMMENT ON COLUMN fairsched.budget_totals.period IS 'Period that spent belongs to.';
COMMENT ON COLUMN fairsched.budget_totals.spent IS 'Sum of the rows of fairsched.budget_spend that were folded into it, in millionths of the unit.';
COMMENT ON COLUMN fairsched.budget_totals.crossed IS 'Thresholds whose events are written and in force: bits 1 warn, 2 throttle, 4 preempt, 8 pause.';
COMMENT ON COLUMN fairsched.budget_totals.crossed_period IS 'Period that crossed belongs to.';

CREATE TABLE fairsched.budget_spend (
	job_id bigint NOT NULL,
	token bigint NOT NULL,
	amount bigint NOT NULL CHECK (amount >= 0),
	budget_id integer NOT NULL,
	period integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE fairsched.budget_spend IS 'Spendings that are not added up yet: a row each, appended when jobs complete (one for each of their budgets, of all jobs of the call) or fairsched_record_spend is called, removed when the scheduler folds it into fairsched.budget_totals. Rows of running jobs stay.';
COMMENT ON COLUMN fairsched.budget_spend.job_id IS 'Job that spent it; 0 = none was named, or several of one call.';
COMMENT ON COLUMN fairsched.budget_spend.token IS 'Fence token it ran under; 0 = it was not running, or several jobs.';
COMMENT ON COLUMN fairsched.budget_spend.amount IS 'How much, in millionths of the budget''s unit.';
COMMENT ON COLUMN fairsched.budget_spend.budget_id IS 'Number of the budget.';
COMMENT ON COLUMN fairsched.budget_spend.period IS 'Period of the budget in which it was spent.';

CREATE TABLE fairsched.budget_averages (
	kind text COLLATE "C" NOT NULL,
	dimension text COLLATE "C" NOT NULL,
	mean bigint NOT NULL,
	samples integer NOT NULL,
	PRIMARY KEY (kind, dimension)
);
COMMENT ON TABLE fairsched.budget_averages IS 'What jobs of a kind used lately, the estimate for jobs that declare nothing. Memory has it; the scheduler saves it here, for the next start.';
COMMENT ON COLUMN fairsched.budget_averages.kind IS 'Kind of job.';
COMMENT ON COLUMN fairsched.budget_averages.dimension IS 'Dimension of budgets.';
COMMENT ON COLUMN fairsched.budget_averages.mean IS 'Mean of the first 8 values; from then on each new one weighs 1/8. In millionths of the unit.';
COMMENT ON COLUMN fairsched.budget_averages.samples IS 'How many values it is from, at most 8.';

CREATE TABLE fairsched.budget_events (
	event_id bigint PRIMARY KEY DEFAULT nextval('fairsched.budget_event_id_seq'),
	budget text COLLATE "C" NOT NULL,
	workspace text COLLATE "C",
	event_type text COLLATE "C" NOT NULL CHECK (event_type IN ('warn', 'throttle', 'pause', 'resume', 'preempt')),
	threshold numeric,
	total numeric NOT NULL,
	spent numeric NOT NULL,
	remaining numeric NOT NULL,
	percent_used numeric NOT NULL,
	action text COLLATE "C" NOT NULL,
	jobs_affected integer NOT NULL,
	classes_preempted text[] NOT NULL DEFAULT '{}',
	occurred_at timestamptz NOT NULL,
	resolved_at timestamptz
);
CREATE INDEX budget_events_open ON fairsched.budget_events (budget) WHERE resolved_at IS NULL;
CREATE INDEX budget_events_occurred ON fairsched.budget_events (occurred_at);
COMMENT ON TABLE fairsched.budget_events IS 'Thresholds that budgets crossed, one row for each crossing, and their return. Written by the scheduler, in the order things happened. Kept for 400 days after they are resolved.';
COMMENT ON COLUMN fairsched.budget_events.event_id IS 'Number; grows in the order of the crossings.';
COMMENT ON COLUMN fairsched.budget_events.budget IS 'Name of the budget.';
COMMENT ON COLUMN fairsched.budget_events.workspace IS 'Workspace of the budget; NULL = of all.';
COMMENT ON COLUMN fairsched.budget_events.event_type IS 'warn, throttle, preempt, pause: that threshold was crossed; resume: a paused budget was raised or reset.';
COMMENT ON COLUMN fairsched.budget_events.threshold IS 'Share of the amount that was crossed; NULL for resume.';
COMMENT ON COLUMN fairsched.budget_events.total IS 'Amount of the budget at that moment.';
COMMENT ON COLUMN fairsched.budget_events.spent IS 'What was spent of it, the amount that crossed the threshold included.';
COMMENT ON COLUMN fairsched.budget_events.remaining IS 'total - spent; negative = overspent.';
COMMENT ON COLUMN fairsched.budget_events.percent_used IS '100 * spent / total.';
COMMENT ON COLUMN fairsched.budget_events.action IS 'What was set to happen: alert, preempt P3, preempt P2,P3, pause all; resume for the return.';
COMMENT ON COLUMN fairsched.budget_events.jobs_affected IS 'Running jobs that name the budget; of an action preempt, those that were asked to yield.';
COMMENT ON COLUMN fairsched.budget_events.classes_preempted IS 'Priorities of the jobs that were asked to yield.';
COMMENT ON COLUMN fairsched.budget_events.occurred_at IS 'When the spending was committed that crossed it.';
COMMENT ON COLUMN fairsched.budget_events.resolved_at IS 'When the budget was below the threshold again: raised, reset or removed; NULL = it still is above.';

-- Memory follows the rows, whoever changes them.

CREATE FUNCTION fairsched.budgets_changed() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'fs_budgets_changed';
COMMENT ON FUNCTION fairsched.budgets_changed() IS 'Trigger: the scheduler takes the row over at commit. Error: FS004 fairsched.max_budgets is reached.';
CREATE FUNCTION fairsched.budget_rows_changed() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'fs_budget_rows_changed';
COMMENT ON FUNCTION fairsched.budget_rows_changed() IS 'Trigger: what is spent was changed by hand or by a restore; it is read again when that has been quiet for 2 seconds, and until then budgets let nothing in.';

CREATE FUNCTION fairsched.read_budgets_again() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_read_budgets_again';
COMMENT ON FUNCTION fairsched.read_budgets_again() IS 'Internal: what is spent is read from the tables again, after the commit.';
CREATE FUNCTION fairsched.changes_are_own() RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_changes_are_own';
COMMENT ON FUNCTION fairsched.changes_are_own() IS 'Internal: is SQL of the extension changing rows (fairsched.own_changes)?';

-- A restore may bring rows that the scheduler has written meanwhile.
CREATE FUNCTION fairsched.budget_rows_arrive() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF fairsched.changes_are_own() THEN
		RETURN NEW;
	END IF;
	CASE TG_TABLE_NAME
		WHEN 'budget_totals' THEN
			DELETE FROM fairsched.budget_totals t WHERE t.budget_id = NEW.budget_id;
		WHEN 'budget_averages' THEN
			DELETE FROM fairsched.budget_averages a WHERE a.kind = NEW.kind AND a.dimension = NEW.dimension;
		ELSE
			DELETE FROM fairsched.budget_events e WHERE e.event_id = NEW.event_id;
	END CASE;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION fairsched.budget_rows_arrive() IS 'Trigger: a row that is restored replaces one of its key.';

CREATE FUNCTION fairsched.budget_revision() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF TG_OP = 'UPDATE' AND (NEW.budget <> OLD.budget OR NEW.budget_id <> OLD.budget_id) THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = 'a budget cannot be renamed',
			HINT = 'Define one of the new name, and delete this one when no job names it.';
	END IF;
	-- what was spent in an earlier period would count again
	IF TG_OP = 'UPDATE' AND NEW.period < OLD.period THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = 'the period of a budget cannot go back',
			HINT = 'fairsched_reset_budget begins a new one.';
	END IF;
	-- a row that has one comes from elsewhere, and what was spent of it as well
	IF TG_OP = 'INSERT' AND NEW.revision <> 0 THEN
		PERFORM fairsched.read_budgets_again();
	END IF;
	NEW.revision := nextval('fairsched.budget_revision_seq');
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION fairsched.budget_revision() IS 'Trigger: every change of a row of fairsched.budgets has a number, so that the newest counts.';

CREATE TRIGGER revision BEFORE INSERT OR UPDATE ON fairsched.budgets
	FOR EACH ROW EXECUTE FUNCTION fairsched.budget_revision();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON fairsched.budgets
	FOR EACH ROW EXECUTE FUNCTION fairsched.budgets_changed();
CREATE TRIGGER truncated AFTER TRUNCATE ON fairsched.budgets
	FOR EACH STATEMENT EXECUTE FUNCTION fairsched.budget_rows_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON fairsched.budget_totals
	FOR EACH STATEMENT EXECUTE FUNCTION fairsched.budget_rows_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON fairsched.budget_averages
	FOR EACH STATEMENT EXECUTE FUNCTION fairsched.budget_rows_changed();
CREATE TRIGGER arrive BEFORE INSERT ON fairsched.budget_totals
	FOR EACH ROW EXECUTE FUNCTION fairsched.budget_rows_arrive();
CREATE TRIGGER arrive BEFORE INSERT ON fairsched.budget_averages
	FOR EACH ROW EXECUTE FUNCTION fairsched.budget_rows_arrive();
CREATE TRIGGER arrive BEFORE INSERT ON fairsched.budget_events
	FOR EACH ROW EXECUTE FUNCTION fairsched.budget_rows_arrive();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON fairsched.budget_spend
	FOR EACH STATEMENT EXECUTE FUNCTION fairsched.budget_rows_changed();
ALTER TABLE fairsched.budgets ENABLE ALWAYS TRIGGER revision;
ALTER TABLE fairsched.budgets ENABLE ALWAYS TRIGGER changed;
ALTER TABLE fairsched.budgets ENABLE ALWAYS TRIGGER truncated;
ALTER TABLE fairsched.budget_totals ENABLE ALWAYS TRIGGER changed;
ALTER TABLE fairsched.budget_spend ENABLE ALWAYS TRIGGER changed;
ALTER TABLE fairsched.budget_averages ENABLE ALWAYS TRIGGER changed;

-- For use.

CREATE FUNCTION fairsched_set_budget(
	budget text, amount numeric, workspace text DEFAULT NULL, dimension text DEFAULT 'cost',
	warn_at numeric DEFAULT 0.5, throttle_at numeric DEFAULT 0.8, pause_at numeric DEFAULT 0.95,
	reset_every interval DEFAULT NULL, preempt_at numeric DEFAULT NULL,
	warn_action text DEFAULT 'alert', throttle_action text DEFAULT 'preempt P3',
	preempt_action text DEFAULT 'preempt P2,P3', pause_action text DEFAULT 'pause all') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	arg record;
	last numeric := 0;
BEGIN
	FOR arg IN SELECT * FROM (VALUES ('budget', budget, true), ('workspace', workspace, false),
		('dimension', dimension, true)) v(name, value, required)
	LOOP
		IF arg.value IS NULL AND arg.required THEN
			RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('%s must not be null', arg.name),
				HINT = 'Leave the argument out to get its default, or give a value.';
		END IF;
		IF octet_length(arg.value) NOT BETWEEN 1 AND 128 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s must have 1 to 128 bytes', arg.name),
				DETAIL = format('It has %s.', octet_length(arg.value)), HINT = 'Use a shorter name, or an identifier in its place.';
		END IF;
	END LOOP;
	IF amount IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'amount must not be null',
			HINT = 'Give what may be spent, in units of the dimension.';
	END IF;
	IF amount IN ('NaN', 'Infinity', '-Infinity') OR round(amount, 6) <= 0 OR round(amount, 6) >= 1e12 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'amount must be positive and below 1e12',
			HINT = 'Give what may be spent, in units of the dimension; the least is 0.000001.';
	END IF;
	FOR arg IN SELECT * FROM (VALUES ('warn_at', warn_at), ('throttle_at', throttle_at),
		('preempt_at', preempt_at), ('pause_at', pause_at)) v(name, value)
	LOOP
		CONTINUE WHEN arg.value IS NULL;
		IF arg.value = 'NaN' OR round(arg.value, 6) <= 0 OR arg.value > 1 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s must be above 0 and at most 1', arg.name),
				HINT = 'It is a share of the amount: 0.8 is 80 percent. Use NULL to switch it off.';
		END IF;
		IF arg.value < last THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s must not be below the threshold before it', arg.name),
				HINT = 'The order is warn_at, throttle_at, preempt_at, pause_at.';
		END IF;
		last := arg.value;
	END LOOP;
	FOR arg IN SELECT * FROM (VALUES ('warn_action', warn_action), ('throttle_action', throttle_action),
		('preempt_action', preempt_action), ('pause_action', pause_action)) v(name, value)
	LOOP
		IF arg.value IS NULL OR arg.value NOT IN ('alert', 'preempt P3', 'preempt P2,P3', 'pause all') THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s is not an action', arg.name),
				HINT = 'Actions are: alert; preempt P3; preempt P2,P3; pause all.';
		END IF;
	END LOOP;
	IF reset_every IS NOT NULL AND (reset_every < '1 second' OR reset_every > '100 years') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'reset_every must be between a second and 100 years',
			HINT = 'Use an interval such as ''1 month'', or NULL to reset it by hand.';
	END IF;
	-- '31 days -1 month' would stand still, or go back
	IF least(extract(year FROM reset_every), extract(month FROM reset_every), extract(day FROM reset_every),
		extract(hour FROM reset_every), extract(minute FROM reset_every), extract(second FROM reset_every)) < 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'reset_every must have no negative part',
			HINT = 'Use an interval such as ''1 month'', or NULL to reset it by hand.';
	END IF;
	INSERT INTO fairsched.budgets AS b (budget, amount, workspace, dimension, warn_at, throttle_at, preempt_at, pause_at,
		warn_action, throttle_action, preempt_action, pause_action, reset_every, next_reset_at)
	VALUES (budget, amount, workspace, dimension, warn_at, throttle_at, preempt_at, pause_at,
		warn_action, throttle_action, preempt_action, pause_action, reset_every, now() + reset_every)
	ON CONFLICT ON CONSTRAINT budgets_pkey DO UPDATE SET amount = excluded.amount, workspace = excluded.workspace,
		dimension = excluded.dimension, warn_at = excluded.warn_at, throttle_at = excluded.throttle_at,
		preempt_at = excluded.preempt_at, pause_at = excluded.pause_at, warn_action = excluded.warn_action,
		throttle_action = excluded.throttle_action, preempt_action = excluded.preempt_action,
		pause_action = excluded.pause_action, reset_every = excluded.reset_every,
		next_reset_at = CASE WHEN b.reset_every = excluded.reset_every THEN b.next_reset_at ELSE excluded.next_reset_at END;
END
$$;
COMMENT ON FUNCTION fairsched_set_budget(text, numeric, text, text, numeric, numeric, numeric, interval, numeric, text, text, text, text) IS 'Defines a budget, or changes one as a whole: what is left out is the default again. amount: what may be spent in a period, in units of dimension (cost = USD, tokens, or any name). workspace: only its jobs may name it; NULL = all. warn_at, throttle_at, preempt_at, pause_at: shares of the amount; when so much is spent an event is written and the action taken; NULL = off. Actions: alert (the event alone), preempt P3 or preempt P2,P3 (running jobs of these priorities that name it are asked to yield, and others wait, until it is raised or reset), pause all (all jobs that name it wait until then). reset_every: a new period begins by itself, the first after this time (months and days in UTC). What was spent stays when a budget is changed; raising a paused one resumes it. Takes effect at commit. Errors: FS004 fairsched.max_budgets is reached, 22004 and 22023 for arguments.';

CREATE FUNCTION fairsched_record_spend(budget text, amount numeric, job_id bigint DEFAULT NULL) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_record_spend';
COMMENT ON FUNCTION fairsched_record_spend(text, numeric, bigint) IS 'Counts an amount as spent, at commit. job_id: a running job that names the budget; it uses up what the job reserved, and fairsched_complete then adds what its usage says and nothing where usage does not name the dimension. Record an amount here or report it in usage, not both. Amounts have six decimals; smaller ones count as 0.000001. Errors: FS00B unknown budget, 22004, 22003 and 22023 for arguments.';

CREATE FUNCTION fairsched_reset_budget(budget text) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF budget IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'budget must not be null',
			HINT = 'Name the budget.';
	END IF;
	UPDATE fairsched.budgets b SET period = b.period + 1, period_started_at = now()
	WHERE b.budget = fairsched_reset_budget.budget;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'FS00B', MESSAGE = format('budget "%s" does not exist', left(budget, 128)),
			HINT = 'Define it with fairsched_set_budget.';
	END IF;
END
$$;
COMMENT ON FUNCTION fairsched_reset_budget(text) IS 'Begins a new period now: nothing is spent, all thresholds are armed, a paused budget resumes. What running jobs reserved stays reserved. The next reset of reset_every stays when it was. Takes effect at commit. Errors: FS00B unknown budget, 22004.';

-- For the scheduler.

CREATE FUNCTION fairsched.reset_due_budgets() RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	b record;
	n bigint;
	at timestamptz := clock_timestamp();
	done integer := 0;
BEGIN
	FOR b IN SELECT * FROM fairsched.budgets WHERE next_reset_at <= at FOR UPDATE SKIP LOCKED LOOP
		-- periods that went by unnoticed are skipped, the rhythm stays
		n := greatest(floor(extract(epoch FROM at - b.next_reset_at) / extract(epoch FROM b.reset_every))::bigint - 1, 0);
		WHILE b.next_reset_at + n * b.reset_every <= at LOOP
			n := n + 1;
		END LOOP;
		UPDATE fairsched.budgets u SET period = u.period + 1, period_started_at = b.next_reset_at + (n - 1) * b.reset_every,
			next_reset_at = b.next_reset_at + n * b.reset_every
		WHERE u.budget_id = b.budget_id;
		done := done + 1;
	END LOOP;
	RETURN done;
END
$$;
COMMENT ON FUNCTION fairsched.reset_due_budgets() IS 'Internal: begins the new period of budgets whose time has come; returns how many.';

CREATE FUNCTION fairsched.job_runs(job_id bigint, token bigint) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_budget_job_runs';
COMMENT ON FUNCTION fairsched.job_runs(bigint, bigint) IS 'Internal: does memory say that the job runs under this token?';

-- Sums stop at 2e18 millionths, as they do in memory (METER_MAX).
CREATE FUNCTION fairsched.fold_budget_spend(gone boolean DEFAULT true) RETURNS bigint
	LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	WITH done AS (
		DELETE FROM fairsched.budget_spend s WHERE (s.token = 0 OR NOT fairsched.job_runs(s.job_id, s.token))
			AND (gone OR s.budget_id IN (SELECT b.budget_id FROM fairsched.budgets b))
		RETURNING s.budget_id, s.period, s.amount),
	sums AS (
		SELECT DISTINCT ON (g.budget_id) g.budget_id, g.period, least(sum(g.amount), 2e18)::bigint AS amount
		FROM done g JOIN fairsched.budgets b USING (budget_id)
		GROUP BY g.budget_id, g.period ORDER BY g.budget_id, g.period DESC),
	orphans AS (
		DELETE FROM fairsched.budget_totals t
		WHERE gone AND NOT EXISTS (SELECT FROM fairsched.budgets b WHERE b.budget_id = t.budget_id)),
	folded AS (
		INSERT INTO fairsched.budget_totals AS t (budget_id, period, spent)
		SELECT s.budget_id, s.period, s.amount FROM sums s
		ON CONFLICT (budget_id) DO UPDATE SET period = excluded.period,
			spent = least(excluded.spent + CASE WHEN t.period = excluded.period THEN t.spent ELSE 0 END, 2000000000000000000)
		WHERE t.period <= excluded.period)
	SELECT count(*) FROM done
$$;
COMMENT ON FUNCTION fairsched.fold_budget_spend(boolean) IS 'Internal: adds rows of fairsched.budget_spend up; returns how many. gone: also removes what belongs to budgets that are not there.';

CREATE FUNCTION fairsched.budget_rows() RETURNS TABLE (b fairsched.budgets, spent bigint, crossed integer, crossed_period integer)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT b, least(coalesce(s.amount, 0) + CASE WHEN t.period = b.period THEN t.spent ELSE 0 END, 2e18)::bigint,
		coalesce(t.crossed, 0), coalesce(t.crossed_period, 0)
	FROM fairsched.budgets b
		LEFT JOIN fairsched.budget_totals t ON t.budget_id = b.budget_id
		LEFT JOIN (SELECT budget_id, period, sum(amount) AS amount FROM fairsched.budget_spend
			GROUP BY budget_id, period) s ON s.budget_id = b.budget_id AND s.period = b.period
$$;
COMMENT ON FUNCTION fairsched.budget_rows() IS 'Internal: every budget and what its rows say is spent, in millionths of the unit.';

CREATE FUNCTION fairsched.take_crossing(budget_id integer, mask integer, period integer) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO fairsched.budget_totals AS t (budget_id, period, crossed, crossed_period)
	VALUES (budget_id, period, mask, period)
	ON CONFLICT ON CONSTRAINT budget_totals_pkey DO UPDATE SET crossed = t.crossed | mask, crossed_period = excluded.crossed_period
	WHERE t.crossed & mask = 0;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION fairsched.take_crossing(integer, integer, integer) IS 'Internal: true for who is to write the event of this crossing; once.';

CREATE FUNCTION fairsched.add_budget_event(budget text, workspace text, event_type text, threshold bigint, total bigint,
	spent bigint, action text, jobs_affected integer, classes text[], at timestamptz) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	INSERT INTO fairsched.budget_events (budget, workspace, event_type, threshold, total, spent, remaining, percent_used,
		action, jobs_affected, classes_preempted, occurred_at, resolved_at)
	VALUES (budget, nullif(workspace, ''), event_type, trim_scale(threshold / 1e6), trim_scale(total / 1e6), trim_scale(spent / 1e6),
		trim_scale((total - spent) / 1e6), round(100.0 * spent / total, 2), action, jobs_affected, classes, at,
		CASE WHEN event_type = 'resume' THEN at END)
$$;
COMMENT ON FUNCTION fairsched.add_budget_event(text, text, text, bigint, bigint, bigint, text, integer, text[], timestamptz) IS 'Internal: writes an event; amounts are in millionths.';

CREATE FUNCTION fairsched.arm_thresholds(id integer, name text, mask integer, period integer, at timestamptz) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	before integer;
BEGIN
	SELECT t.crossed INTO before FROM fairsched.budget_totals t WHERE t.budget_id = id FOR UPDATE;
	UPDATE fairsched.budget_totals t SET crossed = t.crossed & ~mask, crossed_period = arm_thresholds.period
	WHERE t.budget_id = id;
	UPDATE fairsched.budget_events e SET resolved_at = at
	WHERE e.budget = name AND e.resolved_at IS NULL AND e.event_type = ANY (
		ARRAY(SELECT w.word FROM (VALUES (1, 'warn'), (2, 'throttle'), (4, 'preempt'), (8, 'pause')) w(n, word)
			WHERE w.n & mask <> 0));
	RETURN coalesce(before & mask, 0);
END
$$;
COMMENT ON FUNCTION fairsched.arm_thresholds(integer, text, integer, integer, timestamptz) IS 'Internal: these thresholds are not crossed any more; resolves their events and returns which of them had one.';

CREATE FUNCTION fairsched.resolve_gone_budgets() RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	UPDATE fairsched.budget_events e SET resolved_at = clock_timestamp()
	WHERE e.resolved_at IS NULL AND NOT EXISTS (SELECT FROM fairsched.budgets b WHERE b.budget = e.budget)
$$;
COMMENT ON FUNCTION fairsched.resolve_gone_budgets() IS 'Internal: resolves events of budgets that do not exist any more.';

CREATE FUNCTION fairsched.drop_old_budget_events() RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	DELETE FROM fairsched.budget_events WHERE occurred_at < now() - interval '400 days' AND resolved_at < now() - interval '400 days'
$$;
COMMENT ON FUNCTION fairsched.drop_old_budget_events() IS 'Internal: removes events that were resolved more than 400 days ago.';

CREATE FUNCTION fairsched.save_budget_average(kind text, dimension text, mean bigint, samples integer) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	INSERT INTO fairsched.budget_averages (kind, dimension, mean, samples) VALUES (kind, dimension, mean, samples)
	ON CONFLICT ON CONSTRAINT budget_averages_pkey DO UPDATE SET mean = excluded.mean, samples = excluded.samples
$$;
COMMENT ON FUNCTION fairsched.save_budget_average(text, text, bigint, integer) IS 'Internal: keeps an average for the next start.';

-- For people.

CREATE FUNCTION fairsched.budget_status_internal(
	OUT budget_id integer, OUT spent bigint, OUT reserved bigint, OUT running integer, OUT paused boolean,
	OUT classes_held_back text[])
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 100
	AS 'MODULE_PATHNAME', 'fs_view_budget_status';
COMMENT ON FUNCTION fairsched.budget_status_internal() IS 'Internal: the budgets that shared memory knows; amounts in millionths. Needs SELECT on fairsched.budget_status.';

CREATE VIEW fairsched.budget_status AS
SELECT b.budget, b.workspace, b.dimension, trim_scale(b.amount) AS amount,
	trim_scale(v.spent) AS spent,
	trim_scale(m.reserved / 1e6) AS reserved,
	trim_scale(b.amount - v.spent) AS remaining,
	round(100 * v.spent / b.amount, 2) AS percent_used,
	CASE WHEN v.spent >= b.amount * coalesce(b.pause_at, 1) THEN 'critical'
		WHEN v.spent >= b.amount * b.throttle_at THEN 'warning'
		WHEN v.spent >= b.amount * b.warn_at THEN 'caution'
		ELSE 'healthy' END AS status,
	coalesce(m.paused,
		v.spent >= b.amount * b.pause_at AND b.pause_action = 'pause all' OR
		v.spent >= b.amount * b.preempt_at AND b.preempt_action = 'pause all' OR
		v.spent >= b.amount * b.throttle_at AND b.throttle_action = 'pause all' OR
		v.spent >= b.amount * b.warn_at AND b.warn_action = 'pause all', false) AS paused,
	m.running, b.period_started_at, b.next_reset_at, m.classes_held_back
FROM fairsched.budgets b
	LEFT JOIN fairsched.budget_status_internal() m USING (budget_id)
	-- a standby has no memory: its rows tell
	LEFT JOIN (SELECT r.budget_id, r.period, sum(r.amount) AS spent
		FROM (SELECT t.budget_id, t.period, t.spent AS amount FROM fairsched.budget_totals t
			UNION ALL SELECT s.budget_id, s.period, s.amount FROM fairsched.budget_spend s) r
		WHERE NOT EXISTS (SELECT FROM fairsched.budget_status_internal())
		GROUP BY r.budget_id, r.period) r ON r.budget_id = b.budget_id AND r.period = b.period
	CROSS JOIN LATERAL (SELECT least(coalesce(m.spent, r.spent, 0), 2e18) / 1e6 AS spent) v;
COMMENT ON VIEW fairsched.budget_status IS 'Every budget: what is spent and reserved of it in its current period. From memory; where memory is not built, as on a standby, from rows.';
COMMENT ON COLUMN fairsched.budget_status.budget IS 'Name.';
COMMENT ON COLUMN fairsched.budget_status.workspace IS 'Only jobs of this workspace may name it; NULL = those of all.';
COMMENT ON COLUMN fairsched.budget_status.dimension IS 'What it counts; the unit of the amounts.';
COMMENT ON COLUMN fairsched.budget_status.amount IS 'What may be spent in a period.';
COMMENT ON COLUMN fairsched.budget_status.spent IS 'What was spent in this period.';
COMMENT ON COLUMN fairsched.budget_status.reserved IS 'What running jobs are expected to spend, open claims included. NULL = not known.';
COMMENT ON COLUMN fairsched.budget_status.remaining IS 'amount - spent; negative = overspent. A job is let in while its estimate fits into remaining - reserved.';
COMMENT ON COLUMN fairsched.budget_status.percent_used IS '100 * spent / amount.';
COMMENT ON COLUMN fairsched.budget_status.status IS 'healthy; caution: warn_at is reached; warning: throttle_at; critical: pause_at, or all is spent.';
COMMENT ON COLUMN fairsched.budget_status.paused IS 'True: a threshold with the action pause all is crossed; jobs that name it wait until it is raised or reset.';
COMMENT ON COLUMN fairsched.budget_status.running IS 'Running jobs that name it. NULL = not known.';
COMMENT ON COLUMN fairsched.budget_status.period_started_at IS 'When the current period began.';
COMMENT ON COLUMN fairsched.budget_status.next_reset_at IS 'When it is reset by itself; NULL = by hand only.';
COMMENT ON COLUMN fairsched.budget_status.classes_held_back IS 'Priorities that a crossed threshold preempts: jobs of them that name it do not start until it is raised or reset. NULL = not known.';

CREATE FUNCTION fairsched.memory_budgets(OUT budget text, OUT spent bigint, OUT reserved bigint, OUT held bigint, OUT crossed integer, OUT looks bigint)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100 AS 'MODULE_PATHNAME', 'fs_memory_budgets';
COMMENT ON FUNCTION fairsched.memory_budgets() IS 'Internal: what memory says of each budget; held: the sum of what leases of running jobs reserved; looks: sets of jobs and waiting flows that were looked at because it changed. Amounts in millionths.';

CREATE FUNCTION fairsched.check_budgets()
	RETURNS TABLE ("check" text, workspace text, in_memory bigint, in_rows bigint, ok boolean)
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT c.what || ' of budget ' || coalesce(m.budget, (r.b).budget), (r.b).workspace, c.m, c.r, c.m IS NOT DISTINCT FROM c.r
	FROM fairsched.memory_budgets() m FULL JOIN fairsched.budget_rows() r ON (r.b).budget = m.budget,
		LATERAL (VALUES ('spent', m.spent, r.spent), ('reserved', m.reserved, m.held)) c(what, m, r)
	ORDER BY 1
$$;
COMMENT ON FUNCTION fairsched.check_budgets() IS 'Internal: the part of fairsched_check that is about budgets, in millionths of their units.';

-- What pg_dump keeps.
SELECT pg_extension_config_dump('fairsched.budgets', '');
SELECT pg_extension_config_dump('fairsched.budget_totals', '');
SELECT pg_extension_config_dump('fairsched.budget_spend', '');
SELECT pg_extension_config_dump('fairsched.budget_averages', '');
SELECT pg_extension_config_dump('fairsched.budget_events', '');
SELECT pg_extension_config_dump('fairsched.budget_id_seq', '');
SELECT pg_extension_config_dump('fairsched.budget_revision_seq', '');
SELECT pg_extension_config_dump('fairsched.budget_event_id_seq', '');

REVOKE ALL ON fairsched.budgets, fairsched.budget_totals, fairsched.budget_spend, fairsched.budget_averages,
	fairsched.budget_events, fairsched.budget_status FROM PUBLIC;
REVOKE ALL ON SEQUENCE fairsched.budget_id_seq, fairsched.budget_revision_seq, fairsched.budget_event_id_seq FROM PUBLIC;
REVOKE ALL ON FUNCTION fairsched.budgets_changed(), fairsched.budget_rows_changed(), fairsched.budget_revision(),
	fairsched.read_budgets_again(), fairsched.changes_are_own(), fairsched.budget_rows_arrive(),
	fairsched_set_budget(text, numeric, text, text, numeric, numeric, numeric, interval, numeric, text, text, text, text),
	fairsched_record_spend(text, numeric, bigint), fairsched_reset_budget(text),
	fairsched.reset_due_budgets(), fairsched.job_runs(bigint, bigint), fairsched.fold_budget_spend(boolean), fairsched.budget_rows(),
	fairsched.take_crossing(integer, integer, integer),
	fairsched.add_budget_event(text, text, text, bigint, bigint, bigint, text, integer, text[], timestamptz),
	fairsched.arm_thresholds(integer, text, integer, integer, timestamptz),
	fairsched.resolve_gone_budgets(), fairsched.drop_old_budget_events(), fairsched.save_budget_average(text, text, bigint, integer),
	fairsched.memory_budgets(), fairsched.check_budgets() FROM PUBLIC;
