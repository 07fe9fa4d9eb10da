-- Preemption: who is asked to make room, and what became of it.

CREATE TABLE fairsched.preemption_history (
	preemption_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	job_id bigint NOT NULL,
	workspace text COLLATE "C" NOT NULL,
	priority text COLLATE "C" NOT NULL,
	reason text COLLATE "C" NOT NULL CHECK (reason IN
		('resource_constraint', 'budget_exceeded', 'quota_exceeded', 'high_priority_job', 'manual')),
	resource text COLLATE "C",
	utilisation double precision,
	threshold double precision,
	requested_at timestamptz NOT NULL,
	preempted_at timestamptz,
	resumed_at timestamptz,
	has_checkpoint boolean NOT NULL DEFAULT false,
	outcome text COLLATE "C" NOT NULL DEFAULT 'requested' CHECK (outcome IN
		('requested', 'preempted', 'resumed', 'ended', 'void', 'discarded')),
	answer text COLLATE "C" CHECK (answer IN ('yielded', 'revoked')),
	work_lost interval,
	worker text COLLATE "C",
	token bigint NOT NULL
);
COMMENT ON TABLE fairsched.preemption_history IS 'Every preemption that was asked for, and what became of it; rows outlive their jobs, and go fairsched.dead_retention after they were closed.';
COMMENT ON COLUMN fairsched.preemption_history.preemption_id IS 'Number of the preemption.';
COMMENT ON COLUMN fairsched.preemption_history.job_id IS 'Job that was asked to make room.';
COMMENT ON COLUMN fairsched.preemption_history.workspace IS 'Tenant it belongs to.';
COMMENT ON COLUMN fairsched.preemption_history.priority IS 'Its class then.';
COMMENT ON COLUMN fairsched.preemption_history.reason IS 'resource_constraint, budget_exceeded, quota_exceeded, high_priority_job or manual.';
COMMENT ON COLUMN fairsched.preemption_history.resource IS 'Resource that was short; NULL = none was named. The job is resumed when the use of it has fallen.';
COMMENT ON COLUMN fairsched.preemption_history.utilisation IS 'Percent of the resource''s capacity that was in use; NULL = not known.';
COMMENT ON COLUMN fairsched.preemption_history.threshold IS 'Percent above which the policy acts; NULL = no policy was involved.';
COMMENT ON COLUMN fairsched.preemption_history.requested_at IS 'When it was asked for.';
COMMENT ON COLUMN fairsched.preemption_history.preempted_at IS 'When the job stopped; NULL = it did not, or not yet.';
COMMENT ON COLUMN fairsched.preemption_history.resumed_at IS 'When it went back to wait for a worker; NULL = it did not, or not yet.';
COMMENT ON COLUMN fairsched.preemption_history.has_checkpoint IS 'The job had a checkpoint when it stopped (until then: when it was asked).';
COMMENT ON COLUMN fairsched.preemption_history.outcome IS 'requested: its worker has been told or will be; preempted: it waits to be resumed; resumed: it was; ended: it was cancelled or dropped instead; void: it finished or left in another way before it was preempted, or was raised to P0 or P1 after a rule had asked; discarded: it had been preempted too often.';
COMMENT ON COLUMN fairsched.preemption_history.answer IS 'yielded: its worker gave it back; revoked: fairsched.preemption_grace ran out; NULL = neither.';
COMMENT ON COLUMN fairsched.preemption_history.work_lost IS 'Work that is to be done again: time from the claim, or from the last checkpoint after it, until the job stopped.';
COMMENT ON COLUMN fairsched.preemption_history.worker IS 'Worker that had it.';
COMMENT ON COLUMN fairsched.preemption_history.token IS 'Fence token of that claim.';

-- One open request a job; the second index is what the scheduler looks at.
CREATE UNIQUE INDEX preemption_requested ON fairsched.preemption_history (job_id) WHERE outcome = 'requested';
CREATE INDEX preemption_open ON fairsched.preemption_history (outcome, preemption_id)
	WHERE outcome IN ('requested', 'preempted');
CREATE INDEX preemption_job ON fairsched.preemption_history (job_id);
CREATE INDEX preemption_requested_at ON fairsched.preemption_history (requested_at);
SELECT pg_extension_config_dump('fairsched.preemption_history', '');
SELECT pg_extension_config_dump('fairsched.preemption_history_preemption_id_seq', '');

CREATE FUNCTION fairsched_preempt(job_id bigint, reason text, resource text DEFAULT NULL) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_preempt';
COMMENT ON FUNCTION fairsched_preempt(bigint, text, text) IS 'Asks a running job to make room, at commit: its worker gets the directive preempt from heartbeat and checkpoint, saves, and answers with fairsched_yield; after fairsched.preemption_grace the lease is revoked. Either way the job becomes preempted, keeps its last checkpoint, and does not lose the attempt. reason: resource_constraint, budget_exceeded, quota_exceeded, high_priority_job or manual. resource: the job is resumed when the use of it has fallen, as far as fairsched_set_capacity gave its capacity; otherwise it waits for fairsched_resume_job. A job that was preempted fairsched.max_preemptions times is discarded instead, or runs on, as fairsched.preemption_on_exhausted says. Returns false when it has been asked already, or runs on. Errors: FS006 unknown job, FS005 it is not running, 22023 unknown reason.';

CREATE FUNCTION fairsched_resume_job(job_id bigint) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_resume_job';
COMMENT ON FUNCTION fairsched_resume_job(bigint) IS 'A preempted job waits for a worker again, first in its class; its next claim returns the checkpoint. Errors: FS006 unknown job, FS005 it is not preempted.';

CREATE FUNCTION fairsched_evaluate_preemption() RETURNS int
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'fs_evaluate_preemption';
COMMENT ON FUNCTION fairsched_evaluate_preemption() IS 'Does now what the scheduler does every fairsched.preemption_interval, and at once when a P0 or P1 job is refused for lack of a resource: evaluates fairsched.preemption_policies, where one rule acts; revokes leases whose grace ran out; resumes jobs. Returns how many jobs were asked to make room.';

-- What the fleet has.
CREATE TABLE fairsched.capacities (
	resource text COLLATE "C" PRIMARY KEY CHECK (resource IN ('cpu', 'memory', 'gpu')),
	capacity numeric NOT NULL CHECK (capacity >= 0 AND capacity <= 1e12),
	updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE fairsched.capacities IS 'What the fleet has; running jobs hold no more of it at once. A resource without a row has no limit. Set it with fairsched_set_capacity; changes by hand are read with the next call.';
COMMENT ON COLUMN fairsched.capacities.resource IS 'cpu (cores), memory (GB) or gpu (count).';
COMMENT ON COLUMN fairsched.capacities.capacity IS 'How much of it all workers have together, in the resource''s unit.';
COMMENT ON COLUMN fairsched.capacities.updated_at IS 'When it was set last.';
CREATE TRIGGER settings_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON fairsched.capacities
	FOR EACH STATEMENT EXECUTE FUNCTION fairsched.settings_changed();
SELECT pg_extension_config_dump('fairsched.capacities', '');

CREATE FUNCTION fairsched_set_capacity(resource text, capacity numeric) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF resource IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'resource must not be null',
			HINT = 'Give cpu, memory or gpu.';
	ELSIF resource NOT IN ('cpu', 'memory', 'gpu') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the fleet has no such resource',
			HINT = 'Give cpu, memory or gpu.';
	END IF;
	IF capacity IS NULL THEN
		DELETE FROM fairsched.capacities c WHERE c.resource = fairsched_set_capacity.resource;
		RETURN;
	END IF;
	IF NOT (capacity >= 0 AND capacity <= 1e12) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'capacity must be between 0 and 1e12',
			HINT = 'Give how much all workers have together, or NULL for no limit.';
	END IF;
	INSERT INTO fairsched.capacities AS c VALUES (fairsched_set_capacity.resource, fairsched_set_capacity.capacity)
		ON CONFLICT ON CONSTRAINT capacities_pkey DO UPDATE SET capacity = excluded.capacity, updated_at = now();
END
$$;
COMMENT ON FUNCTION fairsched_set_capacity(text, numeric) IS 'Says what the fleet has of cpu (cores), memory (GB) or gpu (count): jobs that run hold no more of it together, and preemption policies look at how much of it is held. A job that needs more than is left waits (waiting_for_capacity). NULL: no limit. Takes effect with the next call after commit; running jobs keep what they hold. Errors: 22004, 22023 for arguments.';

-- Which jobs make room for which.
CREATE TABLE fairsched.preemption_policies (
	policy text COLLATE "C" PRIMARY KEY CHECK (octet_length(policy) BETWEEN 1 AND 128),
	resource text COLLATE "C" NOT NULL CHECK (resource IN ('cpu', 'memory', 'gpu')),
	threshold double precision NOT NULL CHECK (threshold > 0 AND threshold <= 100),
	preempts text[] NOT NULL CHECK (preempts <@ ARRAY['P2', 'P3'] AND cardinality(preempts) > 0),
	waiting text[] NOT NULL CHECK (waiting <@ ARRAY['P0', 'P1', 'P2'] AND cardinality(waiting) > 0),
	max_jobs integer NOT NULL DEFAULT 5 CHECK (max_jobs BETWEEN 1 AND 1000),
	ordering text COLLATE "C" NOT NULL DEFAULT 'share' CHECK (ordering IN ('share', 'loss')),
	on_exhausted text COLLATE "C" CHECK (on_exhausted IN ('discard', 'run_to_end')),
	enabled boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE fairsched.preemption_policies IS 'Rules by which running jobs make room. In an evaluation the enabled rule of the highest threshold that applies acts, and no other: the use of its resource is at the threshold or above, a job of a waiting class lacks the resource, and jobs of strictly lower classes hold enough of it. P0 and P1 are never preempted. Changes count from the next evaluation.';
COMMENT ON COLUMN fairsched.preemption_policies.policy IS 'Name of the rule.';
COMMENT ON COLUMN fairsched.preemption_policies.resource IS 'cpu, memory or gpu; it acts only where fairsched_set_capacity gave the capacity.';
COMMENT ON COLUMN fairsched.preemption_policies.threshold IS 'Percent of the capacity that is held. Jobs are resumed 5 points below it.';
COMMENT ON COLUMN fairsched.preemption_policies.preempts IS 'Classes that make room: P2, P3.';
COMMENT ON COLUMN fairsched.preemption_policies.waiting IS 'Classes that room is made for: P0, P1, P2.';
COMMENT ON COLUMN fairsched.preemption_policies.max_jobs IS 'Jobs that are asked in one evaluation, at most.';
COMMENT ON COLUMN fairsched.preemption_policies.ordering IS 'After the class: share = the workspace furthest above its fair share, then the least work lost; loss = the least work lost, then the share.';
COMMENT ON COLUMN fairsched.preemption_policies.on_exhausted IS 'What becomes of a job that was preempted fairsched.max_preemptions times: discard or run_to_end; NULL = as fairsched.preemption_on_exhausted says.';
COMMENT ON COLUMN fairsched.preemption_policies.enabled IS 'False: the rule does not act.';
INSERT INTO fairsched.preemption_policies (policy, resource, threshold, preempts, waiting) VALUES
	('cpu_80', 'cpu', 80, '{P3}', '{P0,P1,P2}'), ('cpu_85', 'cpu', 85, '{P2,P3}', '{P0,P1}'),
	('memory_80', 'memory', 80, '{P3}', '{P0,P1,P2}'), ('memory_85', 'memory', 85, '{P2,P3}', '{P0,P1}'),
	('gpu_80', 'gpu', 80, '{P3}', '{P0,P1,P2}'), ('gpu_85', 'gpu', 85, '{P2,P3}', '{P0,P1}');

-- The shipped rules come with the extension: a restore brings the table as it was, so what is here is
-- taken over by what arrives.
CREATE FUNCTION fairsched.replace_policy() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	DELETE FROM fairsched.preemption_policies p WHERE p.policy = NEW.policy
		AND NEW.policy IN ('cpu_80', 'cpu_85', 'memory_80', 'memory_85', 'gpu_80', 'gpu_85')
		AND (p.threshold, p.max_jobs, p.ordering, coalesce(p.on_exhausted, ''), p.enabled, p.preempts, p.waiting) IN
			((80, 5, 'share', '', true, '{P3}', '{P0,P1,P2}'), (85, 5, 'share', '', true, '{P2,P3}', '{P0,P1}'));
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION fairsched.replace_policy() IS 'Trigger: an inserted rule replaces the one of its name that the extension ships, as long as that is unchanged.';
CREATE TRIGGER replace_policy BEFORE INSERT ON fairsched.preemption_policies
	FOR EACH ROW EXECUTE FUNCTION fairsched.replace_policy();
SELECT pg_extension_config_dump('fairsched.preemption_policies', '');

CREATE FUNCTION fairsched_preemption_candidates(
	resource text, max_jobs int DEFAULT 10,
	OUT job_id bigint, OUT workspace text, OUT priority text, OUT amount numeric,
	OUT held_by_workspace numeric, OUT work_lost interval, OUT running_for interval)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 ROWS 10 AS 'MODULE_PATHNAME', 'fs_preemption_candidates';
COMMENT ON FUNCTION fairsched_preemption_candidates(text, int) IS 'Running jobs in the order in which they would make room for a P0 or P1 job that lacks the resource: lowest class first, then the workspace furthest above its fair share (most of the resource by its weight, what was chosen before not counted), then the least work lost (time since the claim or its last checkpoint). Only classes that an enabled rule preempts, jobs that ran for fairsched.preemption_min_runtime, hold the resource, and were not asked yet. amount: what the job holds; held_by_workspace: what its workspace holds. Errors: 22004, 22023 for arguments.';

REVOKE ALL ON fairsched.preemption_history, fairsched.capacities, fairsched.preemption_policies FROM PUBLIC;
COMMENT ON SEQUENCE fairsched.preemption_history_preemption_id_seq IS 'Numbers of requests.';
