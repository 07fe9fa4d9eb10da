-- Tables.  Names and columns that dashboards use are fixed by the contract.

CREATE TABLE fairsched.tiers (
	tier text COLLATE "C" PRIMARY KEY CHECK (octet_length(tier) BETWEEN 1 AND 63),
	weight double precision NOT NULL CHECK (weight > 0 AND weight <= 1e6),
	quantum integer NOT NULL CHECK (quantum BETWEEN 1 AND 1000000)
);
COMMENT ON TABLE fairsched.tiers IS 'Tiers of workspaces: their share of the workers. A change takes effect on the existing backlog with the next claim. At most 32.';
COMMENT ON COLUMN fairsched.tiers.tier IS 'Name of the tier.';
COMMENT ON COLUMN fairsched.tiers.weight IS 'Share relative to a tier of weight 1.0, for reports.';
COMMENT ON COLUMN fairsched.tiers.quantum IS 'Cost units a workspace of this tier may use in one round of Deficit Round Robin. Keep it proportional to weight.';
INSERT INTO fairsched.tiers VALUES
	('starter', 1.0, 20), ('growth', 1.2, 24), ('scale', 2.0, 40), ('enterprise', 4.0, 80);

CREATE TABLE fairsched.job_kinds (
	kind text COLLATE "C" PRIMARY KEY CHECK (octet_length(kind) BETWEEN 1 AND 128),
	cost integer CHECK (cost >= 1),
	items_key text CHECK (items_key <> ''),
	resources jsonb CHECK (jsonb_typeof(resources) = 'object'),
	CHECK ((cost IS NULL) <> (items_key IS NULL))
);
COMMENT ON TABLE fairsched.job_kinds IS 'Cost of a job by its kind, where none is given at enqueue. A kind that is not listed costs 1.';
COMMENT ON COLUMN fairsched.job_kinds.kind IS 'Kind of job, as given at enqueue.';
COMMENT ON COLUMN fairsched.job_kinds.cost IS 'Cost units of a job of this kind.';
COMMENT ON COLUMN fairsched.job_kinds.items_key IS 'Instead of a fixed cost: key of an array in the payload whose length is the cost (at least 1).';
COMMENT ON COLUMN fairsched.job_kinds.resources IS 'What a job of this kind holds while it runs, as in the argument resources of fairsched_enqueue, for what is not given there; NULL = nothing. A change holds for jobs enqueued from then on.';
INSERT INTO fairsched.job_kinds (kind, cost, items_key) VALUES
	('verify', 1, NULL), ('sign', 2, NULL), ('batch', NULL, 'items');

CREATE TABLE fairsched.workspaces (
	workspace text COLLATE "C" PRIMARY KEY CHECK (octet_length(workspace) BETWEEN 1 AND 128),
	tier text COLLATE "C" NOT NULL DEFAULT 'starter' REFERENCES fairsched.tiers,
	quota_class text NOT NULL DEFAULT 'default' CHECK (quota_class IN ('default', 'enterprise')),
	max_running integer CHECK (max_running >= 0),
	max_queue_size bigint CHECK (max_queue_size >= 0),
	job_table integer NOT NULL DEFAULT 0 CHECK (job_table BETWEEN 0 AND 4095),
	paused boolean NOT NULL DEFAULT false,
	created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE fairsched.workspaces IS 'Workspaces that were created or changed by an administrator. One that only enqueues needs no row: it is of tier starter, class default, in the shared job table.';
COMMENT ON COLUMN fairsched.workspaces.workspace IS 'Name, 1 to 128 bytes.';
COMMENT ON COLUMN fairsched.workspaces.tier IS 'Tier: weight and quantum.';
COMMENT ON COLUMN fairsched.workspaces.quota_class IS 'Which ceiling on jobs running at once applies: fairsched.default_quota or fairsched.enterprise_quota.';
COMMENT ON COLUMN fairsched.workspaces.max_running IS 'Its own ceiling on jobs running at once; NULL = that of the class.';
COMMENT ON COLUMN fairsched.workspaces.max_queue_size IS 'Jobs that may wait at once; NULL = fairsched.max_queue_size, 0 = no limit.';
COMMENT ON COLUMN fairsched.workspaces.job_table IS 'Number of its job table; 0 = the shared one.';
COMMENT ON COLUMN fairsched.workspaces.paused IS 'True: nothing of it is handed out.';
COMMENT ON COLUMN fairsched.workspaces.created_at IS 'When the row was made.';

CREATE TABLE fairsched.job_tables (
	job_table integer PRIMARY KEY CHECK (job_table BETWEEN 0 AND 4095),
	workspace text COLLATE "C",
	holds_shared boolean NOT NULL DEFAULT false,
	relid oid,
	created_at timestamptz NOT NULL DEFAULT now(),
	dropped_at timestamptz
);
COMMENT ON TABLE fairsched.job_tables IS 'Every job table number in use, and those of dropped tables until no id of theirs can be found any more.';
COMMENT ON COLUMN fairsched.job_tables.job_table IS 'Number: job ids born there carry it in their upper bits.';
COMMENT ON COLUMN fairsched.job_tables.workspace IS 'The workspace it belongs to; NULL = shared.';
COMMENT ON COLUMN fairsched.job_tables.holds_shared IS 'True: holds jobs that were born in the shared table (after fairsched_isolate_workspace).';
COMMENT ON COLUMN fairsched.job_tables.relid IS 'OID of the table when it was last adopted; another one (after a restore) means its running jobs are to be made available.';
COMMENT ON COLUMN fairsched.job_tables.created_at IS 'When the table was made.';
COMMENT ON COLUMN fairsched.job_tables.dropped_at IS 'When it was dropped; NULL = it exists.';
INSERT INTO fairsched.job_tables (job_table) VALUES (0);

CREATE TABLE fairsched.workers (
	worker text COLLATE "C" PRIMARY KEY CHECK (octet_length(worker) BETWEEN 1 AND 128),
	capabilities text[] NOT NULL DEFAULT '{}',
	slots integer NOT NULL DEFAULT 1 CHECK (slots >= 0),
	node text,
	registered_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE fairsched.workers IS 'Workers that registered. Which of them live is in fairsched.worker_status.';
COMMENT ON COLUMN fairsched.workers.worker IS 'Name of the worker.';
COMMENT ON COLUMN fairsched.workers.capabilities IS 'What it can do: it gets jobs whose required capabilities are among these.';
COMMENT ON COLUMN fairsched.workers.slots IS 'Jobs it runs at once.';
COMMENT ON COLUMN fairsched.workers.node IS 'Where it runs, as it says.';
COMMENT ON COLUMN fairsched.workers.registered_at IS 'When it registered last.';

CREATE TABLE fairsched.control (
	drained boolean NOT NULL DEFAULT false,
	installed_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX control_one_row ON fairsched.control ((true));
COMMENT ON TABLE fairsched.control IS 'Switches of this database; one row. Not dumped: a restored database starts with the switches off, and is served as soon as workers claim.';
COMMENT ON COLUMN fairsched.control.drained IS 'True from fairsched_drain until fairsched_undrain: no job is handed out.';
COMMENT ON COLUMN fairsched.control.installed_at IS 'When the extension came into this database; a restore may be filling it for a while after that.';
INSERT INTO fairsched.control DEFAULT VALUES;

CREATE SEQUENCE fairsched.job_seq INCREMENT BY 8192 MAXVALUE 2199023247359;
COMMENT ON SEQUENCE fairsched.job_seq IS 'Lower 41 bits of job ids. Advanced in blocks: numbers below its value may still be unused.';
-- positions are these numbers times 65536
CREATE SEQUENCE fairsched.position_seq INCREMENT BY 65536 MAXVALUE 140737488289792;
COMMENT ON SEQUENCE fairsched.position_seq IS 'Positions in the ready order. Advanced in blocks.';
CREATE SEQUENCE fairsched.token_seq INCREMENT BY 65536 MAXVALUE 9007199254675455;
COMMENT ON SEQUENCE fairsched.token_seq IS 'Fence tokens. Advanced in blocks, and by a block at every rebuild, so that tokens only grow.';

-- The job tables.  The columns of fixed width come first and are never null:
-- C reads them in place (FsJobFixed in rows.h).
CREATE TABLE fairsched.jobs (
	job_id bigint NOT NULL,
	position bigint NOT NULL,
	created_at timestamptz NOT NULL,
	run_at timestamptz NOT NULL,
	job_table integer NOT NULL,
	flow integer NOT NULL,
	cost integer NOT NULL,
	max_attempts integer NOT NULL,
	rank integer NOT NULL,
	attempt integer NOT NULL,
	token bigint NOT NULL,
	claimed_at timestamptz NOT NULL DEFAULT '-infinity',
	lease_ms integer NOT NULL DEFAULT 0,
	state text COLLATE "C" NOT NULL,
	worker text COLLATE "C" NOT NULL DEFAULT '',
	priority text COLLATE "C" NOT NULL,
	workspace text COLLATE "C" NOT NULL,
	lane text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	payload jsonb NOT NULL,
	unique_key text COLLATE "C",
	run_id text COLLATE "C",
	capabilities text[],
	resources jsonb,
	budgets text[],
	checkpoint jsonb,
	errors jsonb,
	max_runtime interval,
	priority_note jsonb,
	request_id uuid,
	preemptions integer,
	min_deliberation numeric,
	review_run_at timestamptz
) PARTITION BY LIST (job_table);
COMMENT ON TABLE fairsched.jobs IS 'Live jobs: one partition for all workspaces that share (job_table 0), one for each workspace with its own table. Finished jobs are in fairsched.job_history. Change them by the fairsched_ functions only.';
COMMENT ON COLUMN fairsched.jobs.job_id IS 'Never changes; at most 53 bits: 12 of the job table it was born in, 41 of fairsched.job_seq.';
COMMENT ON COLUMN fairsched.jobs.position IS 'Place in the ready order; grows with every time the job becomes ready. 0 = not ready.';
COMMENT ON COLUMN fairsched.jobs.created_at IS 'When it was enqueued.';
COMMENT ON COLUMN fairsched.jobs.run_at IS 'When it may run, or became ready last; infinity = waits to be resumed, or for a review.';
COMMENT ON COLUMN fairsched.jobs.job_table IS 'Number of the table this row is in.';
COMMENT ON COLUMN fairsched.jobs.flow IS 'Flow: jobs with one number are admitted or refused together. Negative: the overflow flow of the workspace and lane.';
COMMENT ON COLUMN fairsched.jobs.cost IS 'Cost units charged to the workspace when it is claimed.';
COMMENT ON COLUMN fairsched.jobs.max_attempts IS 'Claims after which a failure is final.';
COMMENT ON COLUMN fairsched.jobs.rank IS 'Order before position: class * 2, minus 1 for a job that returned through no fault of its own.';
COMMENT ON COLUMN fairsched.jobs.attempt IS 'Claims so far, releases not counted.';
COMMENT ON COLUMN fairsched.jobs.token IS 'Fence token of its last claim; 0 = never claimed.';
COMMENT ON COLUMN fairsched.jobs.claimed_at IS 'When it was claimed last; -infinity = never.';
COMMENT ON COLUMN fairsched.jobs.lease_ms IS 'Length of the lease it was last claimed with, in milliseconds.';
COMMENT ON COLUMN fairsched.jobs.worker IS 'Worker that claimed it last; empty = none yet.';
COMMENT ON COLUMN fairsched.jobs.request_id IS 'Request id of the claim it runs under; NULL = none.';
COMMENT ON COLUMN fairsched.jobs.state IS 'available, scheduled, running, retryable or preempted. A job that was claimed with fairsched.durable_claims = off stays available here; fairsched_job_status and fairsched.running_jobs know that it runs.';
COMMENT ON COLUMN fairsched.jobs.priority IS 'P0 (most urgent) to P3.';
COMMENT ON COLUMN fairsched.jobs.workspace IS 'Tenant it belongs to.';
COMMENT ON COLUMN fairsched.jobs.lane IS 'Lane it waits in.';
COMMENT ON COLUMN fairsched.jobs.kind IS 'Kind of work; sets the cost when none is given.';
COMMENT ON COLUMN fairsched.jobs.payload IS 'What the application gave.';
COMMENT ON COLUMN fairsched.jobs.unique_key IS 'At most one live job of the workspace has it.';
COMMENT ON COLUMN fairsched.jobs.run_id IS 'The run (workflow) it is part of.';
COMMENT ON COLUMN fairsched.jobs.capabilities IS 'What a worker must be able to do to get it; NULL = nothing.';
COMMENT ON COLUMN fairsched.jobs.resources IS 'Resources it declared; NULL = none.';
COMMENT ON COLUMN fairsched.jobs.budgets IS 'Budgets it is charged to; NULL = none.';
COMMENT ON COLUMN fairsched.jobs.checkpoint IS 'Last checkpoint its worker saved.';
COMMENT ON COLUMN fairsched.jobs.errors IS 'Array of {attempt, error, at}, at most the last 10.';
COMMENT ON COLUMN fairsched.jobs.max_runtime IS 'Its lease is not extended beyond this time after the claim.';
COMMENT ON COLUMN fairsched.jobs.priority_note IS 'Last fairsched_assign_priority: {reason, at, overridable}; NULL = none.';
COMMENT ON COLUMN fairsched.jobs.preemptions IS 'How often it was preempted; NULL = never.';
COMMENT ON COLUMN fairsched.jobs.min_deliberation IS 'Least overall score of its reasoning, 0 to 1, as given at enqueue; NULL = it needs none.';
COMMENT ON COLUMN fairsched.jobs.review_run_at IS 'Not NULL: it is held until a score of at least min_deliberation passes or fairsched_release_review lets it go (waiting_for_review), and may run from this time on. NULL = it is not held.';

-- Rows that change behind the back of the functions (COPY by pg_restore,
-- logical replication, an administrator's hand) make memory look again.
CREATE FUNCTION fairsched.jobs_changed() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'fs_jobs_changed';
COMMENT ON FUNCTION fairsched.jobs_changed() IS 'Row trigger of job tables: at commit the scheduler looks at the rows again. A job that arrives as running becomes available.';
REVOKE ALL ON FUNCTION fairsched.jobs_changed() FROM PUBLIC;

CREATE FUNCTION fairsched.settings_changed() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'fs_settings_changed';
COMMENT ON FUNCTION fairsched.settings_changed() IS 'Trigger of tables that hold settings: at commit the scheduler reads them again.';
REVOKE ALL ON FUNCTION fairsched.settings_changed() FROM PUBLIC;

CREATE TRIGGER settings_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON fairsched.tiers
	FOR EACH STATEMENT EXECUTE FUNCTION fairsched.settings_changed();
CREATE TRIGGER settings_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON fairsched.workspaces
	FOR EACH STATEMENT EXECUTE FUNCTION fairsched.settings_changed();
CREATE TRIGGER settings_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON fairsched.job_kinds
	FOR EACH STATEMENT EXECUTE FUNCTION fairsched.settings_changed();

-- Make a job table and attach it.  ATTACH takes SHARE UPDATE EXCLUSIVE on the
-- parent, so serving goes on; there is no default partition it would have to scan.
CREATE FUNCTION fairsched.make_job_table(n integer) RETURNS regclass
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	t text := format('fairsched.jobs_%s', n);
BEGIN
	EXECUTE format($sql$
		CREATE TABLE %1$s (LIKE fairsched.jobs INCLUDING DEFAULTS INCLUDING COMMENTS,
			CONSTRAINT jobs_%2$s_job_table CHECK (job_table = %2$s))
			WITH (fillfactor = 47, autovacuum_vacuum_scale_factor = 0.05,
				autovacuum_vacuum_insert_threshold = 100000, autovacuum_vacuum_insert_scale_factor = 0.2,
				autovacuum_vacuum_cost_delay = 0,
				autovacuum_analyze_scale_factor = 2, autovacuum_analyze_threshold = 100000);
		-- the functions plan nothing by statistics; views need few, and autovacuum collects them often
		ALTER TABLE %1$s
			ALTER job_id SET STATISTICS 10, ALTER position SET STATISTICS 10, ALTER created_at SET STATISTICS 10,
			ALTER run_at SET STATISTICS 10, ALTER job_table SET STATISTICS 10, ALTER flow SET STATISTICS 10,
			ALTER cost SET STATISTICS 10, ALTER max_attempts SET STATISTICS 10, ALTER rank SET STATISTICS 10,
			ALTER attempt SET STATISTICS 10, ALTER token SET STATISTICS 10, ALTER state SET STATISTICS 10,
			ALTER priority SET STATISTICS 10, ALTER workspace SET STATISTICS 10, ALTER lane SET STATISTICS 10,
			ALTER kind SET STATISTICS 10, ALTER payload SET STATISTICS 0, ALTER unique_key SET STATISTICS 10,
			ALTER run_id SET STATISTICS 10, ALTER capabilities SET STATISTICS 0, ALTER resources SET STATISTICS 0,
			ALTER budgets SET STATISTICS 0, ALTER checkpoint SET STATISTICS 0, ALTER errors SET STATISTICS 0,
			ALTER max_runtime SET STATISTICS 0, ALTER priority_note SET STATISTICS 0, ALTER claimed_at SET STATISTICS 0,
			ALTER lease_ms SET STATISTICS 0, ALTER worker SET STATISTICS 10, ALTER request_id SET STATISTICS 0,
			ALTER preemptions SET STATISTICS 0, ALTER min_deliberation SET STATISTICS 0,
			ALTER review_run_at SET STATISTICS 0;
		CREATE UNIQUE INDEX jobs_%2$s_job ON %1$s (job_id);
		CREATE INDEX jobs_%2$s_ready ON %1$s (flow, rank, position) WHERE position > 0;
		CREATE INDEX jobs_%2$s_due ON %1$s (run_at) WHERE position = 0;
		CREATE UNIQUE INDEX jobs_%2$s_unique ON %1$s (workspace, unique_key) WHERE unique_key IS NOT NULL;
		CREATE INDEX jobs_%2$s_run ON %1$s (run_id) WHERE run_id IS NOT NULL;
		CREATE INDEX jobs_%2$s_waiting ON %1$s (workspace) WHERE position = 0;
		CREATE TRIGGER jobs_arrive BEFORE INSERT ON %1$s
			FOR EACH ROW EXECUTE FUNCTION fairsched.jobs_changed();
		CREATE TRIGGER jobs_changed AFTER UPDATE OR DELETE ON %1$s
			FOR EACH ROW EXECUTE FUNCTION fairsched.jobs_changed();
		ALTER TABLE %1$s ENABLE ALWAYS TRIGGER jobs_arrive;
		ALTER TABLE %1$s ENABLE ALWAYS TRIGGER jobs_changed;
		REVOKE ALL ON %1$s FROM PUBLIC;
		ALTER TABLE fairsched.jobs ATTACH PARTITION %1$s FOR VALUES IN (%2$s);
	$sql$, t, n);
	RETURN t::regclass;
END
$$;
COMMENT ON FUNCTION fairsched.make_job_table(integer) IS 'Internal: makes job table n with its indexes and triggers and attaches it.';
REVOKE ALL ON FUNCTION fairsched.make_job_table(integer) FROM PUBLIC;

SELECT fairsched.make_job_table(0);
-- nobody has to adopt it: who did, with the first call of all, would hold up everybody until his transaction ends
UPDATE fairsched.job_tables SET relid = 'fairsched.jobs_0'::regclass WHERE job_table = 0;
COMMENT ON TABLE fairsched.jobs_0 IS 'The shared job table: jobs of all workspaces that have no table of their own.';

-- On which pages of job tables jobs may be running, so that they are found
-- after a crash without a look at the backlog.  Two tables in turns: the one out
-- of use is truncated (claimlog.c).  Not dumped: restored jobs are not running.
CREATE TABLE fairsched.claim_log_0 (
	job_table integer NOT NULL,
	file oid NOT NULL,
	page bigint NOT NULL
);
CREATE TABLE fairsched.claim_log_1 (LIKE fairsched.claim_log_0);
COMMENT ON TABLE fairsched.claim_log_0 IS 'Pages of job tables that may hold running jobs. A claim writes a row only where its page is not listed yet. Read after a restart only.';
COMMENT ON TABLE fairsched.claim_log_1 IS 'As claim_log_0; the two are used in turns.';
DO $$
BEGIN
	FOR i IN 0..1 LOOP
		EXECUTE format($sql$
			COMMENT ON COLUMN fairsched.claim_log_%1$s.job_table IS 'Number of the job table.';
			COMMENT ON COLUMN fairsched.claim_log_%1$s.file IS 'File of the table for which the page number holds. Where the table has another by now (VACUUM FULL), all of it is read; so does 0.';
			COMMENT ON COLUMN fairsched.claim_log_%1$s.page IS 'Page in it, from 0.';
		$sql$, i);
	END LOOP;
END
$$;

-- Finished jobs.  By outcome, then by day, so that retention drops a partition.
CREATE TABLE fairsched.job_history (
	job_id bigint NOT NULL,
	workspace text COLLATE "C" NOT NULL,
	lane text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	state text COLLATE "C" NOT NULL,
	priority text COLLATE "C" NOT NULL,
	cost integer NOT NULL,
	attempt integer NOT NULL,
	max_attempts integer NOT NULL,
	run_at timestamptz NOT NULL,
	created_at timestamptz NOT NULL,
	claimed_at timestamptz,
	finished_at timestamptz NOT NULL,
	worker text,
	payload jsonb NOT NULL,
	result jsonb,
	usage jsonb,
	errors jsonb,
	checkpoint jsonb,
	run_id text COLLATE "C",
	unique_key text COLLATE "C",
	capabilities text[],
	resources jsonb,
	budgets text[],
	max_runtime interval,
	token bigint NOT NULL,
	outcome text COLLATE "C" NOT NULL CHECK (outcome IN ('completed', 'dead')),
	min_deliberation numeric
) PARTITION BY LIST (outcome);
CREATE TABLE fairsched.job_history_completed PARTITION OF fairsched.job_history
	FOR VALUES IN ('completed') PARTITION BY RANGE (finished_at);
CREATE TABLE fairsched.job_history_dead PARTITION OF fairsched.job_history
	FOR VALUES IN ('dead') PARTITION BY RANGE (finished_at);
COMMENT ON TABLE fairsched.job_history IS 'Finished jobs: completed ones for fairsched.completed_retention, discarded and cancelled ones for fairsched.dead_retention. Partitioned by outcome, then by day (UTC).';
COMMENT ON TABLE fairsched.job_history_completed IS 'Completed jobs, by day.';
COMMENT ON TABLE fairsched.job_history_dead IS 'Discarded and cancelled jobs, by day.';
DO $$
DECLARE
	c record;
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['job_history', 'job_history_completed', 'job_history_dead'] LOOP
		FOR c IN SELECT * FROM (VALUES
			('job_id', 'Id of the job.'), ('workspace', 'Tenant it belonged to.'),
			('lane', 'Lane it waited in.'), ('kind', 'Kind of work.'),
			('state', 'completed, discarded or cancelled.'), ('priority', 'P0 to P3.'),
			('cost', 'Cost units.'), ('attempt', 'Claims it took.'),
			('max_attempts', 'Claims it was allowed.'), ('run_at', 'When it became ready last.'),
			('created_at', 'When it was enqueued.'), ('claimed_at', 'When it was claimed last; NULL = never, or not known any more.'),
			('finished_at', 'When it ended.'), ('worker', 'Worker that had it last.'),
			('payload', 'What the application gave.'), ('result', 'What its worker gave to fairsched_complete.'),
			('usage', 'Usage its worker reported.'), ('errors', 'Array of {attempt, error, at}.'),
			('checkpoint', 'Last checkpoint.'), ('run_id', 'Run it was part of.'),
			('unique_key', 'Unique key it had.'), ('capabilities', 'Capabilities it required.'),
			('resources', 'Resources it declared.'), ('budgets', 'Budgets it was charged to.'),
			('max_runtime', 'Longest time it might run.'), ('token', 'Its last fence token.'),
			('outcome', 'completed or dead: how long it is kept.'),
			('min_deliberation', 'Least overall score of its reasoning that it needed; NULL = none.')) v(col, txt)
		LOOP
			EXECUTE format('COMMENT ON COLUMN fairsched.%I.%I IS %L', t, c.col, c.txt);
		END LOOP;
	END LOOP;
END
$$;

-- Tables that keep history have a partition for each day (UTC), made when it is
-- needed and a few days ahead; retention drops it. The parents have no indexes:
-- each partition has its own.
CREATE FUNCTION fairsched.make_day_partition(parent text, day date) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	whole regclass := format('fairsched.%I', parent);
	name text := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
	at text := substring(pg_get_partkeydef(whole) FROM '^RANGE \((.*)\)$');
	indexes text := CASE WHEN parent = 'fairness_samples' THEN
		'CREATE INDEX %1$s_at ON fairsched.%1$I (sampled_at);
		CREATE INDEX %1$s_workspace ON fairsched.%1$I (workspace, sampled_at) WHERE scope = ''workspace'';'
		ELSE
		'CREATE INDEX %1$s_job ON fairsched.%1$I (job_id);
		CREATE INDEX %1$s_workspace ON fairsched.%1$I (workspace, finished_at);' END;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtext('fairsched'), hashtext(name));
	-- not to_regclass: it may remember that there was none
	IF EXISTS (SELECT FROM pg_class c WHERE c.relname = name AND c.relnamespace = 'fairsched'::regnamespace) THEN
		RETURN false;
	END IF;
	EXECUTE format($sql$
		CREATE TABLE fairsched.%1$I (LIKE %2$s INCLUDING DEFAULTS INCLUDING COMMENTS INCLUDING CONSTRAINTS,
			CONSTRAINT %1$s_bounds CHECK (%3$s %4$s >= %5$L AND %4$s < %6$L));
		$sql$ || indexes || $sql$
		REVOKE ALL ON fairsched.%1$I FROM PUBLIC;
		ALTER TABLE %2$s ATTACH PARTITION fairsched.%1$I FOR VALUES FROM (%5$L) TO (%6$L);
	$sql$, name, whole, pg_get_partition_constraintdef(whole) || ' AND', at, day::timestamptz, (day + 1)::timestamptz);
	RETURN true;
END
$$;
COMMENT ON FUNCTION fairsched.make_day_partition(text, date) IS 'Internal: makes the partition of one day (UTC) of job_history_completed, job_history_dead or fairness_samples; false when it exists.';
REVOKE ALL ON FUNCTION fairsched.make_day_partition(text, date) FROM PUBLIC;

-- Remove partitions whose last moment is older than the retention.
CREATE FUNCTION fairsched.drop_old_days(parent text, retention interval) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
	SET lock_timeout = '2s' AS $$
DECLARE
	p record;
	dropped integer := 0;
BEGIN
	FOR p IN
		SELECT c.oid::regclass AS part, substring(c.relname FROM '(\d{8})$') AS day
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = format('fairsched.%I', parent)::regclass
		ORDER BY 2
	LOOP
		CONTINUE WHEN p.day IS NULL OR to_date(p.day, 'YYYYMMDD') + 1 > now() - retention;
		EXECUTE format('DROP TABLE %s', p.part);
		dropped := dropped + 1;
	END LOOP;
	RETURN dropped;
END
$$;
COMMENT ON FUNCTION fairsched.drop_old_days(text, interval) IS 'Internal: drops the day partitions of job_history_completed, job_history_dead or fairness_samples that are past their retention; returns how many.';
REVOKE ALL ON FUNCTION fairsched.drop_old_days(text, interval) FROM PUBLIC;

-- A restore brings changed rows of what the extension ships: they replace the
-- shipped ones.  Any other repeated key is refused as always.
CREATE FUNCTION fairsched.replace_shipped() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF TG_TABLE_NAME = 'tiers' THEN
		UPDATE fairsched.tiers t SET weight = NEW.weight, quantum = NEW.quantum
		WHERE t.tier = NEW.tier AND (t.tier, t.weight, t.quantum) IN
			(('starter', 1.0, 20), ('growth', 1.2, 24), ('scale', 2.0, 40), ('enterprise', 4.0, 80));
	ELSE
		UPDATE fairsched.job_kinds k SET cost = NEW.cost, items_key = NEW.items_key, resources = NEW.resources
		WHERE k.kind = NEW.kind AND k.resources IS NULL AND (k.kind, coalesce(k.cost, 0), coalesce(k.items_key, '')) IN
			(('verify', 1, ''), ('sign', 2, ''), ('batch', 0, 'items'));
	END IF;
	RETURN CASE WHEN FOUND THEN NULL ELSE NEW END;
END
$$;
COMMENT ON FUNCTION fairsched.replace_shipped() IS 'Trigger: an inserted tier or kind replaces the one the extension ships, as long as that is unchanged.';
REVOKE ALL ON FUNCTION fairsched.replace_shipped() FROM PUBLIC;
CREATE TRIGGER replace_shipped BEFORE INSERT ON fairsched.tiers
	FOR EACH ROW EXECUTE FUNCTION fairsched.replace_shipped();
CREATE TRIGGER replace_shipped BEFORE INSERT ON fairsched.job_kinds
	FOR EACH ROW EXECUTE FUNCTION fairsched.replace_shipped();

-- What pg_dump keeps.
SELECT pg_extension_config_dump('fairsched.tiers', 'WHERE (tier, weight, quantum) NOT IN ((''starter'', 1.0, 20), (''growth'', 1.2, 24), (''scale'', 2.0, 40), (''enterprise'', 4.0, 80))');
SELECT pg_extension_config_dump('fairsched.job_kinds', 'WHERE (kind, coalesce(cost, 0), coalesce(items_key, '''')) NOT IN ((''verify'', 1, ''''), (''sign'', 2, ''''), (''batch'', 0, ''items'')) OR resources IS NOT NULL');
SELECT pg_extension_config_dump('fairsched.workspaces', '');
SELECT pg_extension_config_dump('fairsched.job_tables', 'WHERE job_table <> 0');
SELECT pg_extension_config_dump('fairsched.workers', '');
SELECT pg_extension_config_dump('fairsched.jobs_0', '');
SELECT pg_extension_config_dump('fairsched.job_seq', '');
SELECT pg_extension_config_dump('fairsched.position_seq', '');
SELECT pg_extension_config_dump('fairsched.token_seq', '');
