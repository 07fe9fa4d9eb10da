-- Jobs of a flow are judged together while many fit: a call takes as many as fit one by one, and no more.
\pset null '(null)'
SET client_min_messages = warning;

-- `jobs` jobs that need this, each workspace in the lane of that name
CREATE FUNCTION runs_put(workspace text, jobs int, resources jsonb DEFAULT '{}', budgets text[] DEFAULT '{}', lane text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	SELECT fairsched_create_workspace(workspace, max_running => 1000, own_table => false)
		WHERE NOT EXISTS (SELECT FROM fairsched.workspaces w WHERE w.workspace = runs_put.workspace);
	SELECT fairsched_enqueue_many(workspace, ARRAY(SELECT '{}'::jsonb FROM generate_series(1, jobs)),
		lane => coalesce(lane, workspace), resources => resources, budgets => budgets);
$$;
CREATE FUNCTION runs_claim(lane text) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM fairsched_claim('runs', 1000, '1 h', ARRAY[lane])
$$;

-- Room for so many of 120, by each gate: about a run, two, and in between
CREATE TABLE runs AS
	SELECT gate, room, format('runs_%s_%s', gate, room) AS workspace
	FROM unnest('{rate,concurrent_runs,cpu,burst,gpu,storage,tokens,budget,shared_budget}'::text[]) gate, unnest('{1,31,32,33,63,64,65,100}'::int[]) room;
SELECT count(CASE gate
	WHEN 'rate' THEN fairsched_set_rate_limit(workspace, room, '1 day')::text
	WHEN 'concurrent_runs' THEN fairsched_set_quota(workspace, gate, room)::text
	WHEN 'cpu' THEN fairsched_set_quota(workspace, gate, room * 0.5)::text
	WHEN 'burst' THEN fairsched_set_quota(workspace, 'cpu', room * 0.5 - 0.5, burst => 0.5)::text
	WHEN 'budget' THEN fairsched_set_budget(workspace, room * 2, workspace => workspace, throttle_at => 1, pause_at => 1)::text
	WHEN 'shared_budget' THEN fairsched_set_budget(workspace, room * 2, throttle_at => 1, pause_at => 1)::text
	ELSE fairsched_set_quota(workspace, gate, room * 3 + 2)::text END) AS set
	FROM runs;
SELECT count(runs_put(workspace, 120, CASE gate
		WHEN 'rate' THEN '{}' WHEN 'concurrent_runs' THEN '{}' WHEN 'cpu' THEN '{"cpu": 0.5}' WHEN 'burst' THEN '{"cpu": 0.5}'
		WHEN 'budget' THEN '{"cost": 2}' WHEN 'shared_budget' THEN '{"cost": 2}' ELSE format('{"%s": 3}', gate) END::jsonb,
		CASE WHEN gate IN ('budget', 'shared_budget') THEN ARRAY[workspace] ELSE '{}' END)) AS put
	FROM runs;
-- the same budget from another workspace of the lane, which is served in turns
SELECT count(runs_put(workspace || '_too', 120, '{"cost": 2}', ARRAY[workspace], workspace)) AS put FROM runs WHERE gate = 'shared_budget';
SELECT gate, array_agg(taken ORDER BY room) AS taken, bool_and(taken = room) AS as_set
	FROM (SELECT gate, room, runs_claim(workspace) AS taken FROM runs) t GROUP BY gate ORDER BY gate;
SELECT count(*) AS more FROM runs WHERE runs_claim(workspace) > 0;

-- Flows of a workspace that need different amounts of the same, in turns
SELECT fairsched_set_quota('runs_turns', 'memory', 100);
SELECT runs_put('runs_turns', 60, '{"memory": 1}'), runs_put('runs_turns', 60, '{"memory": 1.5}');
SELECT runs_claim('runs_turns') BETWEEN 66 AND 100 AS taken;
SELECT used BETWEEN 99 AND 100 AS full_up FROM fairsched.workspace_usage_current WHERE workspace = 'runs_turns' AND resource = 'memory';

-- The fleet: two workspaces in turns
SELECT fairsched_set_capacity('memory', 1e6);
SELECT fairsched_set_capacity('memory', used + 70) FROM fairsched.capacity_status WHERE resource = 'memory';
SELECT runs_put('runs_fleet', 60, '{"memory": 1}'), runs_put('runs_fleet2', 60, '{"memory": 1}', lane => 'runs_fleet');
SELECT runs_claim('runs_fleet') AS taken;
SELECT fairsched_set_capacity('memory', NULL);
SELECT runs_claim('runs_fleet') AS rest;

-- A completion and the next claim in one call: what it frees is taken over, and no more
SELECT runs_put('runs_gift', 200), fairsched_set_quota('runs_gift', 'concurrent_runs', 40);
SELECT runs_claim('runs_gift') AS taken;
SELECT count(*) AS passed_on FROM (SELECT array_agg(job_id) AS j, array_agg(token) AS t FROM fairsched.running_jobs WHERE workspace = 'runs_gift') r,
	fairsched_complete_and_claim(r.j, r.t, 'runs', 1000, '1 h', '{runs_gift}');

SELECT count(fairsched_complete_many(j, t)) > 0 AS done FROM (SELECT array_agg(job_id) AS j, array_agg(token) AS t FROM fairsched.running_jobs WHERE workspace LIKE 'runs\_%' GROUP BY workspace) r;
SELECT count(fairsched_drop_workspace(workspace, force => true)) > 0 AS gone FROM fairsched.workspaces WHERE workspace LIKE 'runs\_%';
DELETE FROM fairsched.budgets WHERE budget LIKE 'runs\_%';
DROP TABLE runs;
DROP FUNCTION runs_put, runs_claim;
