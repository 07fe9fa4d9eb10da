-- The contract of the public schema: every function with its arguments and defaults, every view with
-- its columns, who may do what, and a comment on everything. Run in a database that has pgtap and
-- fairsched; leaves nothing behind.
BEGIN;
SET LOCAL client_min_messages = warning;

SELECT no_plan();

SELECT has_extension('fairsched');
SELECT has_schema('fairsched', 'tables and views have a schema of their own');

-- Where the functions are: the schema the extension was installed into.
CREATE TEMP TABLE home AS
  SELECT n.oid, n.nspname AS name, e.oid AS extension
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'fairsched';

CREATE TEMP TABLE member AS
  SELECT d.classid, d.objid FROM pg_depend d, home h
  WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = h.extension AND d.deptype = 'e';

-- ---------- functions ----------

-- One line an argument: type and default; without a default it is required. value is an expression:
-- that of the function has to give the same.
CREATE TEMP TABLE expected (
  id serial, fn text, variant int DEFAULT 1, arg text, type text, value text);

CREATE FUNCTION pg_temp.expect(fn text, args text[], variant int DEFAULT 1) RETURNS void LANGUAGE sql AS $$
  INSERT INTO expected (fn, variant, arg, type, value)
  SELECT fn, variant, p[1], p[2], p[3]
  FROM unnest(args) WITH ORDINALITY a(line, i),
    regexp_match(line, '^(\S+) (.+?)(?: = (.*))?$') p ORDER BY i;
$$;

-- Producers
SELECT pg_temp.expect('fairsched_enqueue', ARRAY[
  'workspace text', 'payload jsonb = ''{}''::jsonb', 'kind text = ''default''',
  'priority text = ''P2''', 'run_at timestamp with time zone = now()', 'lane text = ''default''',
  'cost integer = NULL', 'unique_key text = NULL', 'max_attempts integer = 25',
  'capabilities text[] = ''{}''::text[]', 'resources jsonb = ''{}''::jsonb',
  'budgets text[] = ''{}''::text[]', 'run_id text = NULL', 'max_runtime interval = NULL',
  'min_deliberation numeric = NULL']);
SELECT pg_temp.expect('fairsched_enqueue_many', ARRAY[
  'workspace text', 'payloads jsonb[]', 'kind text = ''default''',
  'priority text = ''P2''', 'run_at timestamp with time zone = now()', 'lane text = ''default''',
  'cost integer = NULL', 'unique_keys text[] = NULL', 'max_attempts integer = 25',
  'capabilities text[] = ''{}''::text[]', 'resources jsonb = ''{}''::jsonb',
  'budgets text[] = ''{}''::text[]', 'run_id text = NULL', 'max_runtime interval = NULL',
  'min_deliberation numeric = NULL']);
SELECT pg_temp.expect('fairsched_job_status', ARRAY['job_id bigint']);
SELECT pg_temp.expect('fairsched_cancel', ARRAY['job_id bigint']);
SELECT pg_temp.expect('fairsched_cancel_many', ARRAY['job_ids bigint[]']);
SELECT pg_temp.expect('fairsched_cancel_run', ARRAY['run_id text']);
SELECT pg_temp.expect('fairsched_retry', ARRAY['job_id bigint']);
SELECT pg_temp.expect('fairsched_reschedule', ARRAY['job_id bigint', 'run_at timestamp with time zone']);
SELECT pg_temp.expect('fairsched_assign_priority', ARRAY['job_id bigint', 'priority text',
  'reason text = NULL', 'overridable boolean = true']);

-- Workers
SELECT pg_temp.expect('fairsched_claim', ARRAY[
  'worker text = NULL', 'max_jobs integer = 1', 'lease interval = interval ''30 s''',
  'lanes text[] = ''{default}''::text[]', 'capabilities text[] = NULL', 'request_id uuid = NULL',
  'max_wait interval = interval ''0''']);
SELECT pg_temp.expect('fairsched_complete', ARRAY['job_id bigint', 'token bigint',
  'result jsonb = NULL', 'usage jsonb = NULL']);
SELECT pg_temp.expect('fairsched_complete_many', ARRAY['job_ids bigint[]', 'tokens bigint[]']);
SELECT pg_temp.expect('fairsched_complete_and_claim', ARRAY['job_ids bigint[]', 'tokens bigint[]',
  'worker text = NULL', 'max_jobs integer = 1', 'lease interval = interval ''30 s''',
  'lanes text[] = ''{default}''::text[]', 'capabilities text[] = NULL', 'request_id uuid = NULL',
  'max_wait interval = interval ''0''']);
SELECT pg_temp.expect('fairsched_fail', ARRAY['job_id bigint', 'token bigint', 'error text',
  'retry_in interval = NULL', 'discard boolean = false']);
SELECT pg_temp.expect('fairsched_fail_many', ARRAY['job_ids bigint[]', 'tokens bigint[]', 'error text']);
SELECT pg_temp.expect('fairsched_release', ARRAY['job_id bigint', 'token bigint',
  'run_at timestamp with time zone = now()']);
SELECT pg_temp.expect('fairsched_checkpoint', ARRAY['job_id bigint', 'token bigint', 'checkpoint jsonb']);
SELECT pg_temp.expect('fairsched_yield', ARRAY['job_id bigint', 'token bigint', 'checkpoint jsonb']);
SELECT pg_temp.expect('fairsched_heartbeat', ARRAY['job_ids bigint[]', 'tokens bigint[]',
  'extend interval = interval ''30 s''']);
SELECT pg_temp.expect('fairsched_heartbeat', ARRAY['worker text', 'extend interval = interval ''30 s'''], 2);
SELECT pg_temp.expect('fairsched_register_worker', ARRAY['worker text',
  'capabilities text[] = ''{}''::text[]', 'slots integer = 1', 'node text = NULL']);
SELECT pg_temp.expect('fairsched_unregister_worker', ARRAY['worker text']);
SELECT pg_temp.expect('fairsched_wait', ARRAY['timeout interval', 'lanes text[] = ''{default}''::text[]', 'worker text = NULL']);

-- Administration
SELECT pg_temp.expect('fairsched_create_workspace', ARRAY['workspace text', 'tier text = ''starter''',
  'quota_class text = ''default''', 'max_running integer = NULL', 'max_queue_size bigint = NULL',
  'own_table boolean = NULL']);
SELECT pg_temp.expect('fairsched_alter_workspace', ARRAY['workspace text', 'tier text = NULL',
  'quota_class text = NULL', 'max_running integer = NULL', 'max_queue_size bigint = NULL',
  'own_table boolean = NULL']);
SELECT pg_temp.expect('fairsched_drop_workspace', ARRAY['workspace text', 'force boolean = false']);
SELECT pg_temp.expect('fairsched_isolate_workspace', ARRAY['workspace text']);
SELECT pg_temp.expect('fairsched_pause_workspace', ARRAY['workspace text', 'drain boolean = false']);
SELECT pg_temp.expect('fairsched_resume_workspace', ARRAY['workspace text']);
SELECT pg_temp.expect('fairsched_drain', ARRAY['timeout interval = interval ''30 s''']);
SELECT pg_temp.expect('fairsched_undrain', '{}');
SELECT pg_temp.expect('fairsched_check', ARRAY['repair boolean = false']);

-- Reasoning quality
SELECT pg_temp.expect('fairsched_release_review', ARRAY['job_id bigint']);
SELECT pg_temp.expect('fairsched_score_deliberation', ARRAY['reasoning text', 'job_id bigint = NULL',
  'run_id text = NULL', 'phase text = NULL', 'goal text = NULL', 'model text = NULL', 'tokens integer = NULL']);
-- Admission
SELECT pg_temp.expect('fairsched_set_quota', ARRAY['workspace text', 'resource text', 'quota numeric', 'burst numeric = 0',
  'burst_duration interval = interval ''1 hour''']);
SELECT pg_temp.expect('fairsched_drop_quota', ARRAY['workspace text', 'resource text']);
SELECT pg_temp.expect('fairsched_set_throttle', ARRAY['workspace text', 'enabled boolean', 'threshold double precision = 0.9',
  'duration interval = interval ''5 min''', 'resources text[] = ''{tokens,cost,storage}''::text[]', 'preempt text = NULL']);
SELECT pg_temp.expect('fairsched_set_rate_limit', ARRAY['workspace text', 'max_claims integer', 'per interval',
  'jitter interval = interval ''0''']);
SELECT pg_temp.expect('fairsched_check_quota', ARRAY['workspace text', 'resource text', 'amount numeric']);
SELECT pg_temp.expect('fairsched_enforce_quota', ARRAY['workspace text', 'resource text', 'amount numeric', 'job_id bigint = NULL',
  'run_id text = NULL']);
SELECT pg_temp.expect('fairsched_record_usage', ARRAY['workspace text', 'resource text', 'amount numeric', 'job_id bigint = NULL',
  'run_id text = NULL']);
SELECT pg_temp.expect('fairsched_workspace_health', ARRAY['workspace text']);
SELECT pg_temp.expect('fairsched_cleanup_usage', ARRAY['retention interval = interval ''30 days''']);
SELECT pg_temp.expect('fairsched_explain', ARRAY['job_id bigint']);
-- Preemption
SELECT pg_temp.expect('fairsched_preempt', ARRAY['job_id bigint', 'reason text', 'resource text = NULL']);
SELECT pg_temp.expect('fairsched_resume_job', ARRAY['job_id bigint']);
SELECT pg_temp.expect('fairsched_preemption_candidates', ARRAY['resource text', 'max_jobs integer = 10']);
SELECT pg_temp.expect('fairsched_evaluate_preemption', '{}');
SELECT pg_temp.expect('fairsched_set_capacity', ARRAY['resource text', 'capacity numeric']);

-- Budgets
SELECT pg_temp.expect('fairsched_set_budget', ARRAY['budget text', 'amount numeric', 'workspace text = NULL',
  'dimension text = ''cost''', 'warn_at numeric = 0.5', 'throttle_at numeric = 0.8', 'pause_at numeric = 0.95',
  'reset_every interval = NULL', 'preempt_at numeric = NULL', 'warn_action text = ''alert''', 'throttle_action text = ''preempt P3''',
  'preempt_action text = ''preempt P2,P3''', 'pause_action text = ''pause all''']);
SELECT pg_temp.expect('fairsched_record_spend', ARRAY['budget text', 'amount numeric', 'job_id bigint = NULL']);
SELECT pg_temp.expect('fairsched_reset_budget', ARRAY['budget text']);
SELECT columns_are('fairsched', 'budget_status', ARRAY['budget', 'workspace', 'dimension', 'amount', 'spent', 'reserved', 'remaining',
  'percent_used', 'status', 'paused', 'running', 'period_started_at', 'next_reset_at', 'classes_held_back']);
SELECT col_type_is('fairsched', 'budget_status', 'classes_held_back', 'text[]', 'budget_status says which classes are held back');
SELECT ok(to_regclass('fairsched.' || r) = ANY (e.extconfig), 'fairsched.' || r || ' is dumped')
  FROM unnest(ARRAY['budgets', 'budget_totals', 'budget_spend', 'budget_averages', 'budget_events']) r, pg_extension e WHERE extname = 'fairsched';

-- Placement
SELECT pg_temp.expect('fairsched_place', ARRAY['workspace text', 'nodes text[]', 'desired integer = NULL']);
SELECT pg_temp.expect('fairsched_place_lane', ARRAY['lane text', 'nodes text[]', 'desired integer = NULL']);
SELECT pg_temp.expect('fairsched_unplace', ARRAY['workspace text']);
SELECT pg_temp.expect('fairsched_unplace_lane', ARRAY['lane text']);
SELECT pg_temp.expect('fairsched_pin_placement', ARRAY['workspace text', 'node text', 'until timestamp with time zone']);
SELECT pg_temp.expect('fairsched_set_node', ARRAY['node text', 'labels jsonb = ''{}''::jsonb']);
SELECT pg_temp.expect('fairsched_drop_node', ARRAY['node text']);
SELECT pg_temp.expect('fairsched_drain_node', ARRAY['node text']);
SELECT pg_temp.expect('fairsched_undrain_node', ARRAY['node text']);
SELECT pg_temp.expect('fairsched_set_placement_scorer', ARRAY['score regprocedure', 'best_alternative regprocedure']);
SELECT pg_temp.expect('fairsched_builtin_score', ARRAY['chain text', 'node text']);
SELECT pg_temp.expect('fairsched_builtin_best_alternative', ARRAY['chain text', 'exclude text[] = ''{}''::text[]']);
SELECT pg_temp.expect('fairsched_rescore_placements', ARRAY['workspace text = NULL', 'node text = NULL']);
SELECT pg_temp.expect('fairsched_evaluate_placement', '{}');

-- What there is: input arguments in their order, with defaults; and output columns.
CREATE TEMP TABLE actual AS
  SELECT p.oid, p.proname AS fn, a.i AS place, a.name AS arg, format_type(a.type, NULL) AS type,
    a.mode IN ('i', 'b', 'v') AS is_input,
    CASE WHEN a.mode IN ('i', 'b', 'v') THEN row_number()
      OVER (PARTITION BY p.oid, a.mode IN ('i', 'b', 'v') ORDER BY a.i) END AS input,
    pg_get_function_arg_default(p.oid, a.i::int) AS value
  FROM pg_proc p
    JOIN home h ON h.oid = p.pronamespace
    JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid,
    LATERAL (SELECT n.name, t.type, coalesce(o.mode, 'i') AS mode, t.i
      FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY t(type, i)
      LEFT JOIN unnest(p.proargnames) WITH ORDINALITY n(name, i) USING (i)
      LEFT JOIN unnest(p.proargmodes) WITH ORDINALITY o(mode, i) USING (i)) a;

-- The function meant by an expectation: of that name, with these names of arguments first.
CREATE TEMP TABLE found AS
  SELECT e.fn, e.variant, p.oid
  FROM (SELECT fn, variant, array_agg(arg ORDER BY id) FILTER (WHERE arg IS NOT NULL) AS args
        FROM expected GROUP BY fn, variant) e
  LEFT JOIN LATERAL (
    SELECT p.oid FROM pg_proc p JOIN home h ON h.oid = p.pronamespace
    WHERE p.proname = e.fn
      AND (e.args IS NULL OR (SELECT array_agg(a.arg ORDER BY a.input) FROM actual a
           WHERE a.oid = p.oid AND a.is_input AND a.input <= cardinality(e.args)) = e.args)
    ) p ON true;
-- Functions without arguments made no line above.
INSERT INTO found SELECT 'fairsched_undrain', 1, p.oid FROM pg_proc p JOIN home h
  ON h.oid = p.pronamespace WHERE p.proname = 'fairsched_undrain' AND p.pronargs = 0;

SELECT isnt(f.oid, NULL::oid, format('%s(%s) exists', f.fn, (SELECT string_agg(arg, ', ' ORDER BY id)
    FROM expected e WHERE (e.fn, e.variant) = (f.fn, f.variant))))
  FROM found f ORDER BY f.fn, f.variant;
SELECT is((SELECT count(*)::int FROM found WHERE fn = 'fairsched_undrain'), 1, 'fairsched_undrain() exists');

SELECT is(a.type, e.type, format('%s: argument %s is of type %s', e.fn, e.arg, e.type))
  FROM (SELECT *, row_number() OVER (PARTITION BY fn, variant ORDER BY id) AS i FROM expected) e
  JOIN found f USING (fn, variant) JOIN actual a ON a.oid = f.oid AND a.input = e.i
  ORDER BY e.id;

-- Defaults are compared by what they give.
CREATE FUNCTION pg_temp.value(expression text, type text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE v text;
BEGIN
  EXECUTE format('SELECT (%s)::%s::text', expression, type) INTO v;
  RETURN v;
END $$;
SELECT CASE WHEN e.value IS NULL
    THEN is(a.value, NULL, format('%s: argument %s is required', e.fn, e.arg))
    ELSE is(a.value IS NOT NULL AND pg_temp.value(a.value, e.type)
        IS NOT DISTINCT FROM pg_temp.value(e.value, e.type), true,
      format('%s: argument %s defaults to %s, not %s', e.fn, e.arg, e.value, coalesce(a.value, 'none')))
    END
  FROM (SELECT *, row_number() OVER (PARTITION BY fn, variant ORDER BY id) AS i FROM expected) e
  JOIN found f USING (fn, variant) JOIN actual a ON a.oid = f.oid AND a.input = e.i
  ORDER BY e.id;

-- Arguments may be added later, if nobody has to give them; all arguments have names.
SELECT is((SELECT string_agg(format('%s.%s', a.fn, a.arg), ', ') FROM actual a JOIN found f USING (oid)
    WHERE a.is_input AND a.value IS NULL AND a.input >
      (SELECT count(*) FROM expected e WHERE (e.fn, e.variant) = (f.fn, f.variant))), NULL,
  'every further argument has a default');
SELECT is((SELECT string_agg(DISTINCT fn, ', ') FROM actual
    WHERE fn LIKE 'fairsched\_%' AND coalesce(arg, '') = ''), NULL, 'every argument has a name');
SELECT is((SELECT string_agg(DISTINCT p.proname, ', ') FROM pg_proc p JOIN member m ON m.objid = p.oid
      AND m.classid = 'pg_proc'::regclass JOIN home h ON h.oid = p.pronamespace
    WHERE p.proname NOT LIKE 'fairsched\_%' AND h.name <> 'fairsched'), NULL,
  'nothing else is put into the schema of the functions');

-- Results
CREATE FUNCTION pg_temp.gives(f text, expected_columns text[]) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT is(
    (SELECT array_agg(format('%s %s', arg, type) ORDER BY place)
     FROM (SELECT a.*, row_number() OVER (ORDER BY place) AS n FROM actual a
           WHERE a.fn = f AND NOT a.is_input AND a.oid = (SELECT min(oid) FROM found WHERE fn = f)) a
     WHERE n <= cardinality(expected_columns)),
    expected_columns, f || ': result columns');
$$;
SELECT pg_temp.gives('fairsched_enqueue', ARRAY['job_id bigint', 'is_duplicate boolean',
  'queue_position bigint', 'estimated_wait interval']);
SELECT pg_temp.gives(f, ARRAY['job_id bigint', 'workspace text', 'lane text',
  'kind text', 'payload jsonb', 'priority text', 'attempt integer', 'token bigint',
  'lease_expires_at timestamp with time zone', 'checkpoint jsonb', 'run_id text', 'worker text'])
  FROM unnest(ARRAY['fairsched_claim', 'fairsched_complete_and_claim']) f;
SELECT pg_temp.gives('fairsched_score_deliberation', ARRAY['score_id bigint', 'job_id bigint', 'run_id text',
  'depth_score numeric', 'coherence_score numeric', 'relevance_score numeric', 'overall_score numeric',
  'tokens integer', 'recommendation text', 'reasoning_steps integer', 'logical_issues integer',
  'off_topic_segments integer', 'model text', 'phase text', 'scored_at timestamp with time zone']);
SELECT pg_temp.gives(f, ARRAY['allowed boolean', 'burst_allowed boolean', 'current_usage numeric', 'quota numeric',
  'retry_after interval', 'reason text']) FROM unnest(ARRAY['fairsched_check_quota', 'fairsched_enforce_quota']) f;
SELECT pg_temp.gives('fairsched_explain', ARRAY['gate text', 'verdict text', 'value numeric', 'limit_value numeric', 'detail text',
  'retry_at timestamp with time zone']);
SELECT pg_temp.gives('fairsched_heartbeat', ARRAY['job_id bigint', 'directive text']);
SELECT is((SELECT string_agg(c, ',' ORDER BY c) FROM unnest(ARRAY['state', 'attempt', 'result', 'error',
      'created_at', 'run_at', 'claimed_at', 'finished_at', 'worker', 'lease_expires_at', 'held_reason']) c
    WHERE NOT EXISTS (SELECT FROM actual WHERE fn = 'fairsched_job_status' AND NOT is_input AND arg = c)),
  NULL, 'fairsched_job_status: result columns');

CREATE TEMP TABLE returned (fn text, type text, is_set boolean);
INSERT INTO returned VALUES
  ('fairsched_enqueue_many', 'bigint[]', false),
  ('fairsched_complete', 'boolean', false),
  ('fairsched_fail', 'text', false),
  ('fairsched_claim', 'record', true),
  ('fairsched_complete_and_claim', 'record', true),
  ('fairsched_heartbeat', 'record', true),
  ('fairsched_score_deliberation', 'record', false);
SELECT is(format_type(p.prorettype, NULL), r.type, r.fn || ': type of the result')
  FROM returned r JOIN found f USING (fn) JOIN pg_proc p ON p.oid = f.oid ORDER BY r.fn, f.variant;
SELECT is(p.proretset, r.is_set, r.fn || CASE WHEN r.is_set THEN ': any number of rows' ELSE ': one value' END)
  FROM returned r JOIN found f USING (fn) JOIN pg_proc p ON p.oid = f.oid ORDER BY r.fn, f.variant;
SELECT is(p.prokind::text, CASE WHEN f.fn IN ('fairsched_wait', 'fairsched_drain') THEN 'p' ELSE 'f' END,
    f.fn || CASE WHEN f.fn IN ('fairsched_wait', 'fairsched_drain') THEN ' is called' ELSE ' is selected' END)
  FROM found f JOIN pg_proc p USING (oid) ORDER BY 1;
SELECT is(p.provolatile::text || p.proparallel::text,
    CASE WHEN f.fn IN ('fairsched_job_status', 'fairsched_builtin_score', 'fairsched_builtin_best_alternative') THEN 's' ELSE 'v' END || 'u', f.fn || ': volatility; never run in parallel')
  FROM found f JOIN pg_proc p USING (oid) WHERE p.prokind = 'f' ORDER BY f.fn;

-- The shortest calls there are: names and defaults as documented do what a person expects.
SELECT lives_ok($$SELECT * FROM fairsched_enqueue('pgtap')$$, 'enqueue needs a workspace only');
SELECT results_eq('SELECT workspace, lane, kind, payload, priority, attempt, max_attempts, cost, state, run_id, unique_key
    FROM fairsched.jobs WHERE workspace = ''pgtap''',
  $$VALUES ('pgtap' COLLATE "C", 'default' COLLATE "C", 'default' COLLATE "C", '{}'::jsonb, 'P2' COLLATE "C", 0, 25, 1,
    'available' COLLATE "C", NULL, NULL)$$, 'with the defaults as documented');
SELECT is_empty('SELECT * FROM fairsched_claim()', 'claim needs nothing; what is not committed is not handed out');
SELECT results_eq($$INSERT INTO fairsched.inbox (workspace) VALUES ('pgtap') RETURNING job_id > 0$$,
  'VALUES (true)', 'the inbox gives the id of the job');

-- ---------- views and tables ----------

CREATE TEMP TABLE wanted (relation text, columns text[]);
INSERT INTO wanted VALUES
  ('jobs', '{job_id,workspace,lane,kind,state,priority,cost,attempt,max_attempts,run_at,created_at,payload,run_id}'),
  ('inbox', '{workspace,payload,kind,priority,run_at,lane,cost,unique_key,max_attempts,capabilities,resources,budgets,run_id,max_runtime,job_id,min_deliberation}'),
  ('workspace_status', '{workspace,tier,quota_class,weight,quantum,deficit,ready,scheduled,running,max_running,paused,parked_reason,parked_until,own_table,oldest_ready_age}'),
  ('queue_status', '{workspace,lane,flow,ready,parked_reason,parked_detail,parked_since,retry_at}'),
  ('running_jobs', '{job_id,workspace,lane,kind,priority,worker,token,attempt,claimed_at,lease_expires_at,directive}'),
  ('worker_status', '{worker,node,capabilities,slots,running,last_seen,alive}'),
  ('dead_letters', '{job_id,workspace,kind,payload,attempt,errors,discarded_at}'),
  ('job_history', '{job_id,workspace,state,result,errors,attempt,finished_at}'),
  ('maintenance_status', '{task,last_run,last_duration,last_error,next_run}'),
  ('database_status', '{state,drained,counted,running,live_slots,rebuilds,rebuilt_at,scheduler_pid,workspaces_used,workspaces_capacity,leases_used,leases_capacity}'),
  ('deliberation_scores', '{score_id,job_id,run_id,depth_score,coherence_score,relevance_score,overall_score,tokens,recommendation,reasoning_steps,logical_issues,off_topic_segments,model,phase,scored_at}'),
  ('low_quality_reasoning', '{score_id,job_id,run_id,depth_score,coherence_score,relevance_score,overall_score,tokens,recommendation,reasoning_steps,logical_issues,off_topic_segments,model,phase,scored_at}'),
  ('review_queue', '{job_id,workspace,lane,kind,priority,min_deliberation,run_at,created_at,scores,best_score,last_recommendation,run_id}'),
  ('deliberation_runs', '{run_id,scored,passed,for_review,for_fallback,rejected,pass_share,avg_depth,avg_coherence,avg_relevance,avg_overall,min_overall,tokens,first_scored_at,last_scored_at}'),
  ('budget_status', '{budget,workspace,dimension,amount,spent,reserved,remaining,percent_used,status,paused}'),
  ('budget_events', '{event_id,budget,workspace,event_type,threshold,total,spent,remaining,percent_used,action,jobs_affected,classes_preempted,occurred_at,resolved_at}'),
  ('tiers', '{tier,weight,quantum}'),
  ('priority_queue', '{job_id,workspace,priority,effective_priority,state,wait,preemption_count}'),
  ('preemption_history', '{preemption_id,job_id,workspace,priority,reason,resource,utilisation,threshold,requested_at,preempted_at,resumed_at,has_checkpoint}'),
  ('preemption_policies', '{resource,threshold,preempts,waiting,max_jobs,ordering,on_exhausted,enabled}'),
  ('capacity_status', '{resource,capacity,used,percent,kept,waiting}'),
  ('workspace_quotas', '{workspace,resource,quota,burst,burst_duration,updated_at}'),
  ('workspace_usage', '{workspace,resource,amount,job_id,run_id,recorded_at}'),
  ('workspace_usage_current', '{workspace,resource,used,quota,percent,burst_in_use,throttled_until}'),
  ('quota_violations', '{violation_id,workspace,resource,quota,actual,overage,overage_percent,action,severity,occurrences,first_seen,last_seen,resolved_at,job_id,run_id}');
SELECT isnt(to_regclass('fairsched.' || relation), NULL, 'fairsched.' || relation || ' exists') FROM wanted;
SELECT has_column('fairsched', relation, c, format('fairsched.%s has %s', relation, c))
  FROM wanted, unnest(columns) c;
SELECT lives_ok(format('SELECT * FROM fairsched.%I LIMIT 1', relation), 'fairsched.' || relation || ' can be read')
  FROM wanted;

CREATE TEMP TABLE typed (relation text, col text, type text);
INSERT INTO typed VALUES
  ('jobs', 'job_id', 'bigint'), ('jobs', 'payload', 'jsonb'), ('jobs', 'run_at', 'timestamp with time zone'),
  ('jobs', 'priority', 'text'), ('jobs', 'state', 'text'), ('running_jobs', 'priority', 'text'),
  ('running_jobs', 'token', 'bigint'), ('running_jobs', 'job_id', 'bigint'),
  ('running_jobs', 'lease_expires_at', 'timestamp with time zone'),
  ('workspace_status', 'paused', 'boolean'), ('workspace_status', 'own_table', 'boolean'),
  ('workspace_status', 'oldest_ready_age', 'interval'), ('worker_status', 'capabilities', 'text[]'),
  ('worker_status', 'alive', 'boolean'), ('worker_status', 'last_seen', 'timestamp with time zone'),
  ('dead_letters', 'discarded_at', 'timestamp with time zone'), ('dead_letters', 'payload', 'jsonb'),
  ('maintenance_status', 'last_duration', 'interval'),
  ('maintenance_status', 'next_run', 'timestamp with time zone');
SELECT col_type_is('fairsched', relation, col, 'pg_catalog', type, format('fairsched.%s.%s is of type %s', relation, col, type))
  FROM typed WHERE type NOT LIKE '%[]';
SELECT is((SELECT relkind::text FROM pg_class WHERE oid = 'fairsched.jobs'::regclass), 'p', 'jobs is partitioned');
SELECT is((SELECT partstrat::text FROM pg_partitioned_table WHERE partrelid = 'fairsched.jobs'::regclass), 'l',
  'by list');
SELECT is((SELECT partdefid FROM pg_partitioned_table WHERE partrelid = 'fairsched.jobs'::regclass), 0::oid,
  'without a default partition');
SELECT is((SELECT count(*)::int FROM pg_index WHERE indrelid IN ('fairsched.jobs'::regclass, 'fairsched.job_history'::regclass)),
  0, 'the partitioned parents have no index');
SELECT is((SELECT count(*)::int FROM pg_trigger WHERE tgrelid = 'fairsched.jobs'::regclass AND tgtype & 1 = 1),
  0, 'the jobs parent has no row trigger');

SELECT set_eq('SELECT tier, weight::numeric, quantum::numeric FROM fairsched.tiers',
  $$VALUES ('starter', 1.0, 20.0), ('growth', 1.2, 24), ('scale', 2.0, 40), ('enterprise', 4.0, 80)$$, 'the tiers');

-- Settings with their defaults.
CREATE TEMP TABLE setting (name text, value text);
INSERT INTO setting VALUES ('default_quota', '64'), ('enterprise_quota', '100'), ('max_own_tables', '500'),
  ('max_workspace_share', '0.8'), ('max_queue_size', '1000000'), ('max_workspaces', NULL), ('max_running', NULL),
  ('max_flows', NULL), ('max_cost', NULL), ('max_visits_per_claim', NULL), ('completed_retention', '0'),
  ('dead_retention', '30d'), ('deliberation_retention', '30d'), ('deliberation_max_tokens', '2000'),
  ('deliberation_depth_weight', '0.35'), ('deliberation_coherence_weight', '0.35'), ('deliberation_relevance_weight', '0.3'),
  ('deliberation_min_depth', '0.6'), ('deliberation_min_coherence', '0.6'), ('deliberation_min_relevance', '0.6'),
  ('deliberation_min_overall', '0.6'), ('worker_timeout', '1min'), ('rebuild_grace', '1min'), ('max_wait', '1s'), ('priority_aging', '1min'), ('preemption_interval', '30s'),
  ('preemption_grace', '30s'), ('preemption_min_runtime', '10s'), ('max_preemptions', '3'), ('preemption_on_exhausted', 'discard'),
  ('preemption_hold', '30s'), ('preemption_resume_after', '10s'), ('notify', 'off'), ('max_limits', '0');
SELECT is(s.name, 'fairsched.' || w.name, 'setting fairsched.' || w.name || ' exists')
  FROM setting w LEFT JOIN pg_settings s ON s.name = 'fairsched.' || w.name;
-- The value built in: the test server may set others.
SELECT is(replace(CASE s.unit
    WHEN 's' THEN make_interval(secs => s.boot_val::float8)::text
    WHEN 'ms' THEN make_interval(secs => s.boot_val::float8 / 1000)::text ELSE s.boot_val END, ' ', ''),
  replace(CASE WHEN s.unit IN ('s', 'ms') THEN
    CASE w.value WHEN '30d' THEN make_interval(secs => 30 * 86400)::text ELSE w.value::interval::text END
    ELSE w.value END, ' ', ''), 'fairsched.' || w.name || ' is ' || w.value || ' by default')
  FROM setting w JOIN pg_settings s ON s.name = 'fairsched.' || w.name WHERE w.value IS NOT NULL;

-- ---------- rights ----------

-- A function in a view is checked against the reader, not the view's owner. So those behind the views may
-- be executed by PUBLIC, if they ask for the right to read their view; everything else may not.
CREATE TEMP TABLE open_to_all AS
  SELECT p.oid, p.proname, p.pronamespace, p.prolang,
    format('SELECT * FROM %I.%I(%s)', n.nspname, p.proname, (SELECT string_agg(
      CASE t WHEN 'text'::regtype THEN '''x''' ELSE format('''0''::%s', format_type(t, NULL)) END, ', ' ORDER BY i)
      FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY a(t, i))) AS call
  FROM pg_proc p JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
    JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0);
SELECT is((SELECT string_agg(o.oid::regprocedure::text, ', ') FROM open_to_all o
    WHERE NOT EXISTS (SELECT FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
      WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_proc'::regclass AND d.refobjid = o.oid)), NULL,
  'PUBLIC may execute no function but those that views are made of');
SELECT is((SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace,
    aclexplode(coalesce(c.relacl, acldefault(CASE WHEN c.relkind = 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) a
    WHERE n.nspname = 'fairsched' AND a.grantee = 0), NULL, 'PUBLIC may read or change no table, view or sequence');
SELECT is((SELECT string_agg(format('%s.%s', attrelid::regclass, attname), ', ') FROM pg_attribute
    JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(attacl) a
    WHERE n.nspname = 'fairsched' AND a.grantee = 0), NULL, 'nor a single column');
SELECT is((SELECT string_agg(a.privilege_type, ', ') FROM pg_namespace n, aclexplode(n.nspacl) a
    WHERE n.nspname = 'fairsched' AND a.grantee = 0 AND a.privilege_type = 'CREATE'), NULL,
  'PUBLIC may create nothing in schema fairsched');

-- Somebody without any right, in fact.
CREATE FUNCTION pg_temp.as_nobody(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  SET LOCAL ROLE fairsched_pgtap_nobody;
  EXECUTE call;
  RESET ROLE;
  RETURN 'allowed';
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE;
END $$;
CREATE ROLE fairsched_pgtap_nobody;
DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO fairsched_pgtap_nobody', (SELECT name FROM home)); END $$;
GRANT USAGE ON SCHEMA fairsched TO fairsched_pgtap_nobody;
SELECT ok(NOT has_function_privilege('fairsched_pgtap_nobody', f.oid, 'EXECUTE'), 'nobody cannot execute ' || f.fn)
  FROM found f WHERE f.oid IS NOT NULL ORDER BY f.fn;
SELECT ok(NOT has_table_privilege('fairsched_pgtap_nobody', 'fairsched.' || relation, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE'),
  'nobody cannot touch fairsched.' || relation) FROM wanted;

SELECT is(pg_temp.as_nobody(call), '42501', 'nobody gets nothing from ' || oid::regprocedure)
  FROM open_to_all ORDER BY proname;
SELECT is(pg_temp.as_nobody('SELECT * FROM fairsched_claim()'), '42501', 'nobody cannot claim');
SELECT is(pg_temp.as_nobody('SELECT * FROM fairsched.' || relation), '42501', 'nobody cannot read fairsched.' || relation)
  FROM wanted;

-- ---------- search_path, comments ----------

-- C functions resolve no names by search_path; a procedure that commits cannot have a SET clause.
SELECT is((SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc p
    JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
    JOIN pg_language l ON l.oid = p.prolang
    WHERE l.lanname <> 'c' AND p.prokind <> 'p'
      AND p.prosqlbody IS NULL
      AND NOT EXISTS (SELECT FROM unnest(p.proconfig) c WHERE c LIKE 'search\_path=%')), NULL,
  'every function pins its search_path');
SELECT is((SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc p
    JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
    WHERE p.prokind = 'p' AND (p.prosecdef OR p.proconfig IS NOT NULL)), NULL,
  'no procedure has what would keep it from committing');
SELECT is((SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc p
    JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
    WHERE p.prosecdef AND NOT EXISTS (SELECT FROM unnest(p.proconfig) c
      WHERE c LIKE 'search\_path=%' AND c LIKE '%pg\_temp')), NULL,
  'a function with its owner''s rights looks for names in pg_temp last');

SELECT is((SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc p
    JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
    WHERE coalesce(obj_description(p.oid, 'pg_proc'), '') = ''), NULL, 'every function has a comment');
SELECT is((SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_class c
    JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND coalesce(obj_description(c.oid, 'pg_class'), '') = ''), NULL,
  'every table, view and sequence has a comment');
SELECT is((SELECT string_agg(format('%s.%s', c.oid::regclass, a.attname), ', ') FROM pg_class c
    JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p', 'v', 'm') AND coalesce(col_description(c.oid, a.attnum), '') = ''), NULL,
  'every column has a comment');
SELECT isnt(obj_description((SELECT oid FROM pg_namespace WHERE nspname = 'fairsched'), 'pg_namespace'), NULL,
  'so has the schema');

-- ---------- fairness and alerts ----------

SELECT columns_are('fairsched', 'fairness', ARRAY['workspace', 'tier', 'weight', 'entitled', 'served', 'share', 'lag', 'bound',
  'depth', 'running', 'max_running', 'dwell_p50', 'dwell_p95', 'dwell_p99', 'oldest_ready_age', 'contending', 'competed',
  'satisfaction', 'entitled_share', 'normalised', 'tolerance', 'quantum'], 'columns of fairness');
SELECT columns_are('fairsched', 'fairness_tiers', ARRAY['tier', 'weight', 'entitled', 'served', 'share', 'competed',
  'entitled_share', 'workspaces', 'contending', 'depth', 'running', 'dwell_p50', 'dwell_p95', 'dwell_p99'], 'columns of fairness_tiers');
SELECT columns_are('fairsched', 'fairness_summary', ARRAY['jain_index', 'score', 'contending', 'worst_workspace', 'entitled',
  'competed', 'sampled_jain_index', 'sampled_score', 'sampled_at'], 'columns of fairness_summary');
SELECT columns_are('fairsched', 'fairness_samples', ARRAY['sampled_at', 'scope', 'workspace', 'tier', 'seconds', 'weight', 'entitled',
  'competed', 'served', 'lacking', 'tolerance', 'lag', 'bound', 'depth', 'running', 'dwell_p50', 'dwell_p95', 'dwell_p99',
  'jain_index', 'score', 'contending', 'worst_workspace'], 'columns of fairness_samples');
SELECT columns_are('fairsched', 'alerts', ARRAY['alert_id', 'type', 'severity', 'workspace', 'detail', 'first_seen', 'last_seen',
  'occurrences', 'acknowledged_at', 'resolved_at', 'subject'], 'columns of alerts');
SELECT is((SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'fairsched.fairness'::regclass AND attnum BETWEEN 1 AND 15),
  'workspace,tier,weight,entitled,served,share,lag,bound,depth,running,max_running,dwell_p50,dwell_p95,dwell_p99,oldest_ready_age', 'the contract''s columns come first');
SELECT is((SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'fairsched.alerts'::regclass AND attnum BETWEEN 1 AND 10),
  'alert_id,type,severity,workspace,detail,first_seen,last_seen,occurrences,acknowledged_at,resolved_at', 'and those of alerts');
SELECT col_type_is('fairsched', relation, col, 'pg_catalog', type, format('fairsched.%s.%s is of type %s', relation, col, type))
  FROM (VALUES ('fairness', 'entitled', 'double precision'), ('fairness', 'served', 'bigint'), ('fairness', 'lag', 'double precision'),
    ('fairness', 'dwell_p99', 'interval'), ('fairness', 'oldest_ready_age', 'interval'), ('fairness_summary', 'score', 'double precision'),
    ('fairness_summary', 'contending', 'integer'), ('alerts', 'alert_id', 'bigint'), ('alerts', 'occurrences', 'bigint')) t (relation, col, type);
SELECT has_function((SELECT name FROM home), 'fairsched_acknowledge_alert', ARRAY['bigint'], 'an alert can be acknowledged');
SELECT function_returns((SELECT name FROM home), 'fairsched_acknowledge_alert', ARRAY['bigint'], 'boolean', 'and that says whether it was news');
SELECT is(current_setting('fairsched.' || name), value, format('fairsched.%s is %s', name, value))
  FROM (VALUES ('fairness_workspaces', '50'), ('fairness_retention', '7d'), ('alert_interval', '5min'),
    ('alert_retention', '30d'), ('alert_min_share', '0.8'), ('alert_min_weight', '1.2'), ('alert_min_score', '0.7'),
    ('alert_starvation', '10min'), ('alert_expiry_rate', '0.1'), ('alert_task_failures', '3'), ('alert_overdue', '1min')) s (name, value);
-- (test/test.conf sets another)
SELECT is(boot_val || unit, '60s', 'fairsched.fairness_interval is a minute') FROM pg_settings WHERE name = 'fairsched.fairness_interval';
SELECT ok(NOT has_table_privilege('fairsched_pgtap_nobody', 'fairsched.' || r, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE'), 'nobody cannot touch fairsched.' || r)
  FROM unnest(ARRAY['fairness', 'fairness_tiers', 'fairness_summary', 'fairness_samples', 'alerts']) r;
SELECT ok(NOT has_function_privilege('fairsched_pgtap_nobody', f::regprocedure, 'EXECUTE'), 'nobody cannot execute ' || f)
  FROM unnest(ARRAY['fairsched.raise_alert(text,text,text,text,text)', 'fairsched.resolve_alert(text,text,text)',
    'fairsched.check_alerts(timestamptz)', 'fairsched.sample_fairness(timestamptz)']) f;
SELECT ok(to_regclass('fairsched.alerts') = ANY (e.extconfig), 'fairsched.alerts is dumped')
  FROM pg_extension e WHERE extname = 'fairsched';
SELECT is((SELECT partstrat::text FROM pg_partitioned_table WHERE partrelid = 'fairsched.fairness_samples'::regclass), 'r',
  'fairness_samples is partitioned by range');
SELECT is((SELECT partdefid FROM pg_partitioned_table WHERE partrelid = 'fairsched.fairness_samples'::regclass), 0::oid,
  'without a default partition');
SELECT is((SELECT count(*)::int FROM pg_index WHERE indrelid = 'fairsched.fairness_samples'::regclass), 0,
  'and without an index of its own: a restore makes those of the partitions');

-- What pg_dump has to keep: the settings of workspaces, workers, the shared jobs, and every sequence.
SELECT ok(to_regclass('fairsched.' || r) = ANY (e.extconfig), 'fairsched.' || r || ' is dumped')
  FROM unnest(ARRAY['workspaces', 'tiers', 'deliberation_scores']) r, pg_extension e WHERE extname = 'fairsched';
SELECT is((SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_class c
    JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid, pg_extension e
    WHERE extname = 'fairsched' AND c.relkind = 'S' AND NOT c.oid = ANY (e.extconfig)), NULL,
  'every sequence is dumped');

-- Statistics and the capacity signal: columns in order, types, functions, rights, what is dumped.
SELECT columns_are('fairsched', 'claim_stats', ARRAY['lane', 'claims', 'jobs', 'empties', 'undone', 'refusals', 'arrivals',
  'completed', 'failed', 'discarded', 'released', 'preempted', 'expired', 'cancelled', 'retaken', 'stale_tokens', 'waits', 'wakes',
  'busy_seconds', 'latency_sum', 'latency_p50', 'latency_p95', 'latency_p99', 'latency_counts', 'latency_bounds', 'stats_since']);
SELECT columns_are('fairsched', 'claim_refusals', ARRAY['lane', 'gate', 'reason', 'resource', 'refusals', 'stats_since']);
SELECT columns_are('fairsched', 'scheduler_stats', ARRAY['lock_waits', 'lock_wait_seconds', 'stats_since']);
SELECT columns_are('fairsched', 'capacity_recommendation', ARRAY['lane', 'desired_workers', 'current_workers', 'reason', 'detail',
  'wanted_workers', 'busy_workers', 'running', 'ready', 'held_up', 'arrival_rate', 'service_time', 'slots_per_worker', 'dwell_target',
  'pinned_workers', 'pinned_until']);
SELECT columns_are('fairsched', 'capacity_settings', ARRAY['lane', 'min_workers', 'max_workers', 'max_step_up', 'max_step_down', 'dwell_target']);
SELECT columns_are('fairsched', 'capacity_pins', ARRAY['lane', 'workers', 'until', 'pinned_by', 'pinned_at']);
SELECT is(format_type(a.atttypid, a.atttypmod), w.type, format('%s.%s is of type %s', w.relation, w.col, w.type))
  FROM (VALUES ('claim_stats', 'lane', 'text'), ('claim_stats', 'claims', 'bigint'), ('claim_stats', 'latency_p99', 'interval'),
    ('claim_stats', 'latency_counts', 'bigint[]'), ('claim_stats', 'latency_bounds', 'double precision[]'),
    ('claim_stats', 'latency_sum', 'double precision'), ('claim_refusals', 'refusals', 'bigint'),
    ('capacity_recommendation', 'desired_workers', 'integer'), ('capacity_recommendation', 'current_workers', 'integer'),
    ('capacity_recommendation', 'reason', 'text'), ('capacity_recommendation', 'service_time', 'interval'),
    ('capacity_recommendation', 'pinned_until', 'timestamp with time zone')) w(relation, col, type)
  JOIN pg_attribute a ON a.attrelid = ('fairsched.' || w.relation)::regclass AND a.attname = w.col;
SELECT has_function('fairsched_pin_capacity', ARRAY['text', 'integer', 'timestamp with time zone']);
SELECT is(pg_get_function_arguments('fairsched_pin_capacity'::regproc),
  'lane text, n integer, until timestamp with time zone DEFAULT NULL::timestamp with time zone', 'names and defaults');
SELECT function_returns('fairsched_reset_stats', '{}'::name[], 'timestamp with time zone');
SELECT is(has_function_privilege('public', f::regprocedure, 'EXECUTE'), false, f || ' is not for PUBLIC')
  FROM unnest(ARRAY['fairsched_pin_capacity(text,int,timestamptz)', 'fairsched_reset_stats()']) f;
SELECT is(has_table_privilege('public', 'fairsched.' || r, 'SELECT'), false, r || ' is not for PUBLIC')
  FROM unnest(ARRAY['claim_stats', 'claim_refusals', 'scheduler_stats', 'capacity_recommendation', 'capacity_settings', 'capacity_pins']) r;
SELECT ok(to_regclass('fairsched.' || r) = ANY (e.extconfig), 'fairsched.' || r || ' is dumped')
  FROM unnest(ARRAY['capacity_settings', 'capacity_pins']) r, pg_extension e WHERE extname = 'fairsched';
SELECT is(s.boot_val || s.unit, w.value, w.name || ' is ' || w.value || ' by default')
  FROM (VALUES ('fairsched.dwell_target', '10000ms'), ('fairsched.capacity_cooldown', '300s'), ('fairsched.capacity_interval', '5000ms')) w(name, value)
  LEFT JOIN pg_settings s ON s.name = w.name;
-- Tables whose changes by hand are read again.
SELECT has_trigger('fairsched', t, 'usage_changed', t || ' is read again')
  FROM unnest(ARRAY['workspace_usage', 'workspace_levels', 'quota_violations']) t;
SELECT has_trigger('fairsched', t, 'settings_changed', t || ' is read again')
  FROM unnest(ARRAY['workspace_quotas', 'workspace_rate_limits', 'workspace_throttles']) t;
-- Aging across restarts, throttles that ask running jobs, what waits for the fleet
SELECT has_column('fairsched', 'workspace_throttles', 'preempt', 'a throttle may ask running jobs');
SELECT col_is_null('fairsched', 'workspace_throttles', 'preempt', 'by default it does not');
SELECT has_column('fairsched', 'capacity_status', 'looks', 'looks at what waits are counted');
SELECT columns_are('fairsched', 'position_times', ARRAY['at', 'position'], 'what is known of the age of places');
SELECT is(to_regclass('fairsched.position_times') = ANY (e.extconfig), false, 'which is of this server, and not dumped')
  FROM pg_extension e WHERE extname = 'fairsched';
-- Placement: columns, and what is dumped
SELECT is((SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute
    WHERE attrelid = to_regclass('fairsched.' || c.name) AND attnum > 0), c.columns, c.name || ': columns')
  FROM (VALUES ('nodes', 'node,labels,draining,created_at'),
    ('placement_chains', 'chain_kind,chain,desired,candidates,last_move'),
    ('placements', 'chain_kind,chain,node,since,pinned_until,state'),
    ('node_status', 'node,labels,draining,workers,alive,slots,running,last_seen,created_at,placements')) c(name, columns);
SELECT ok(to_regclass('fairsched.' || r) = ANY (e.extconfig), 'fairsched.' || r || ' is dumped')
  FROM unnest(ARRAY['nodes', 'placement_chains', 'placements']) r, pg_extension e WHERE extname = 'fairsched';

-- The placement loop
SELECT is((SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute
    WHERE attrelid = to_regclass('fairsched.' || c.name) AND attnum > 0), c.columns, c.name || ': columns')
  FROM (VALUES ('placement_scorer', 'score,best_alternative,installed_by,installed_at'),
    ('placement_events', 'event_id,chain_kind,chain,from_node,to_node,from_score,to_score,scores,reason,state,started_at,finished_at,took,detail,asked'),
    ('placement_scores', 'chain_kind,chain,node,score,mean,trend,samples,scored_at'),
    ('placement_scorer_status', 'score,best_alternative,scorer_calls,scorer_failures'),
    ('placement_status', 'chain_kind,chain,desired,holding,holders,candidates,last_move,cooldown_until,reason,detail,evaluated_at,next_look'))
    c(name, columns);
SELECT ok(to_regclass('fairsched.' || r) = ANY (e.extconfig), 'fairsched.' || r || ' is dumped')
  FROM unnest(ARRAY['placement_scorer', 'placement_events']) r, pg_extension e WHERE extname = 'fairsched';

-- The report
SELECT unnest(ARRAY[has_function(f, ARRAY['interval']), function_returns(f, ARRAY['interval'], r), volatility_is(f, ARRAY['interval'], 'volatile')])
  FROM (VALUES ('fairsched_fairness_report', 'jsonb'), ('fairsched_report_html', 'text')) t(f, r);
SELECT unnest(ARRAY[is(pg_get_function_arguments(f::regproc), $$period interval DEFAULT '24:00:00'::interval$$, f || ': names and defaults'),
  is(has_function_privilege('public', (f || '(interval)')::regprocedure, 'EXECUTE'), false, f || ' is not for PUBLIC')])
  FROM unnest('{fairsched_fairness_report,fairsched_report_html}'::text[]) f;
SELECT is(has_function_privilege('public', p.oid, 'EXECUTE'), false, p.proname || ' is not for PUBLIC')
  FROM pg_proc p WHERE p.pronamespace = 'fairsched'::regnamespace AND p.proname ~ '^(html|svg|report)_|^html$|^recommendations$';

-- What is known of thresholds that were crossed
SELECT columns_are('fairsched', 'quota_crossings', string_to_array('workspace,resource,state,seen_at,crossed_at,throttled_until,quota_since,throttle_off_at', ','));
SELECT unnest(ARRAY[col_type_is('fairsched', 'quota_crossings', c.col, c.type, 'quota_crossings.' || c.col || ' is ' || c.type),
    CASE WHEN c.must THEN col_not_null('fairsched', 'quota_crossings', c.col, 'quota_crossings.' || c.col || ' is never null')
      ELSE col_is_null('fairsched', 'quota_crossings', c.col, 'quota_crossings.' || c.col || ' may be null') END,
    is(col_description('fairsched.quota_crossings'::regclass, a.attnum) <> '', true, 'quota_crossings.' || c.col || ' has a comment')])
  FROM (VALUES ('workspace', 'text', true), ('resource', 'text', true), ('state', 'text', true), ('seen_at', 'timestamp with time zone', true),
    ('crossed_at', 'timestamp with time zone', false), ('throttled_until', 'timestamp with time zone', false),
    ('quota_since', 'timestamp with time zone', true), ('throttle_off_at', 'timestamp with time zone', false)) c(col, type, must)
  JOIN pg_attribute a ON a.attrelid = 'fairsched.quota_crossings'::regclass AND a.attname = c.col;
SELECT is(obj_description('fairsched.quota_crossings'::regclass) <> '', true, 'quota_crossings has a comment');
-- a restore may bring a row that is there: no key, and an index by which it is found
SELECT hasnt_pk('fairsched', 'quota_crossings', 'quota_crossings: no primary key');
SELECT has_index('fairsched', 'quota_crossings', 'quota_crossings_of', ARRAY['workspace', 'resource']);
SELECT is((SELECT count(*) FROM pg_index WHERE indrelid = 'fairsched.quota_crossings'::regclass AND indisunique), 0::bigint, 'quota_crossings: nor is anything unique');
SELECT throws_ok($$INSERT INTO fairsched.quota_crossings (workspace, resource, state, seen_at, quota_since) VALUES ('contract', 'cpu', 'near', now(), now())$$,
  '23514', NULL, 'quota_crossings: crossed, above or below');
SELECT has_trigger('fairsched', 'quota_crossings', 'usage_changed', 'quota_crossings is read again');
SELECT is(to_regclass('fairsched.quota_crossings') = ANY (e.extconfig), true, 'quota_crossings is dumped') FROM pg_extension e WHERE extname = 'fairsched';
SELECT is(has_table_privilege('public', 'fairsched.quota_crossings', p), false, 'quota_crossings is not for PUBLIC: ' || p)
  FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE}'::text[]) p;
SELECT is(array_length(relacl, 1), 1, 'quota_crossings: only its owner may read it') FROM pg_class WHERE oid = 'fairsched.quota_crossings'::regclass;

SELECT * FROM finish();
ROLLBACK;
