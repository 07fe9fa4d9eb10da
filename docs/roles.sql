-- Group roles for fairsched: who may do what, as plain GRANTs.
--
--   psql -X -d mydb -f docs/roles.sql          as a superuser; may be run again at any time
--   GRANT fairsched_producer TO my_app;        then put login roles into the groups
--
-- fairsched_producer   enqueues, and manages jobs: cancel, retry, reschedule, status
-- fairsched_worker     claims jobs and finishes them, scores reasoning
-- fairsched_observer   reads the views, the jobs and their history (payloads included)
-- fairsched_admin      all of these, and manages workspaces, tiers and costs
--
-- Roles belong to the whole server, GRANTs to one database: run this in each
-- database that has the extension. Change the names of the roles as you like.
--
-- EXECUTE is the right: the functions act on tables as the owner of the
-- extension, so nobody needs, or should get, INSERT, UPDATE or DELETE on
-- fairsched.jobs. A role that may call a function may call it for every workspace.

\set ON_ERROR_STOP on
BEGIN;

DO $$
DECLARE
  r text;
BEGIN
  FOREACH r IN ARRAY ARRAY[
    'fairsched_producer', 'fairsched_worker', 'fairsched_observer', 'fairsched_admin']
  LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', r);
    END IF;
  END LOOP;
END
$$;

GRANT fairsched_producer, fairsched_worker, fairsched_observer TO fairsched_admin;

-- The functions are in the schema that the extension was installed into, tables and views in
-- schema fairsched.
SELECT quote_ident(n.nspname) AS api
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'fairsched' \gset
SET LOCAL search_path TO :api, pg_catalog;
GRANT USAGE ON SCHEMA :api, fairsched
  TO fairsched_producer, fairsched_worker, fairsched_observer, fairsched_admin;

-- Producers
GRANT EXECUTE ON FUNCTION
  fairsched_enqueue, fairsched_enqueue_many, fairsched_job_status,
  fairsched_cancel, fairsched_cancel_many, fairsched_cancel_run,
  fairsched_retry, fairsched_reschedule, fairsched_assign_priority
  TO fairsched_producer;
-- SELECT is for INSERT ... RETURNING job_id.
GRANT SELECT, INSERT ON fairsched.inbox TO fairsched_producer;

-- Workers
GRANT EXECUTE ON FUNCTION
  fairsched_claim, fairsched_complete, fairsched_complete_many, fairsched_complete_and_claim,
  fairsched_fail, fairsched_fail_many, fairsched_release, fairsched_checkpoint, fairsched_yield,
  fairsched_heartbeat(bigint[], bigint[], interval), fairsched_heartbeat(text, interval),
  fairsched_register_worker, fairsched_unregister_worker, fairsched_job_status,
  fairsched_score_deliberation,
  fairsched_check_quota, fairsched_enforce_quota, fairsched_record_usage, fairsched_record_spend
  TO fairsched_worker;
GRANT EXECUTE ON PROCEDURE fairsched_wait TO fairsched_worker;

-- Observers. SELECT on a view is enough: the functions behind it ask for nothing else.
GRANT SELECT ON
  fairsched.workspace_status, fairsched.queue_status, fairsched.running_jobs,
  fairsched.worker_status, fairsched.maintenance_status, fairsched.database_status,
  fairsched.budget_status, fairsched.budget_events, fairsched.budgets,
  fairsched.priority_queue, fairsched.preemption_history, fairsched.preemption_policies,
  fairsched.capacity_status, fairsched.capacities,
  fairsched.dead_letters, fairsched.jobs, fairsched.job_history,
  fairsched.deliberation_scores, fairsched.low_quality_reasoning, fairsched.deliberation_runs,
  fairsched.review_queue,
  fairsched.workspaces, fairsched.tiers, fairsched.job_kinds, fairsched.workers,
  fairsched.workspace_quotas, fairsched.workspace_rate_limits, fairsched.workspace_throttles,
  fairsched.workspace_levels, fairsched.workspace_usage, fairsched.workspace_usage_current,
  fairsched.quota_violations,
  fairsched.fairness, fairsched.fairness_tiers, fairsched.fairness_summary, fairsched.fairness_samples, fairsched.alerts,
  fairsched.claim_stats, fairsched.claim_refusals, fairsched.scheduler_stats,
  fairsched.capacity_recommendation, fairsched.capacity_settings, fairsched.capacity_pins,
  fairsched.nodes, fairsched.node_status, fairsched.placement_chains, fairsched.placements,
  fairsched.placement_status, fairsched.placement_events, fairsched.placement_scores,
  fairsched.placement_scorer, fairsched.placement_scorer_status
  TO fairsched_observer;
GRANT EXECUTE ON FUNCTION fairsched_job_status, fairsched_explain, fairsched_workspace_health,
  fairsched_fairness_report, fairsched_report_html
  TO fairsched_observer;

-- Administrators
GRANT EXECUTE ON FUNCTION
  fairsched_create_workspace, fairsched_alter_workspace, fairsched_drop_workspace,
  fairsched_isolate_workspace, fairsched_pause_workspace, fairsched_resume_workspace,
  fairsched_undrain, fairsched_check, fairsched_release_review,
  fairsched_preempt, fairsched_resume_job, fairsched_preemption_candidates,
  fairsched_evaluate_preemption, fairsched_set_capacity,
  fairsched_acknowledge_alert,
  fairsched_set_quota, fairsched_drop_quota, fairsched_set_throttle, fairsched_set_rate_limit,
  fairsched_pin_capacity, fairsched_reset_stats,
  fairsched_place, fairsched_place_lane, fairsched_unplace, fairsched_unplace_lane,
  fairsched_pin_placement, fairsched_set_node, fairsched_drop_node,
  fairsched_drain_node, fairsched_undrain_node,
  fairsched_set_placement_scorer, fairsched_builtin_score, fairsched_builtin_best_alternative,
  fairsched_rescore_placements, fairsched_evaluate_placement,
  fairsched_cleanup_usage, fairsched_set_budget, fairsched_reset_budget, fairsched_record_spend
  TO fairsched_admin;
GRANT EXECUTE ON PROCEDURE fairsched_drain TO fairsched_admin;
GRANT INSERT, UPDATE, DELETE ON fairsched.tiers, fairsched.job_kinds, fairsched.preemption_policies,
  fairsched.capacity_settings TO fairsched_admin;
GRANT DELETE ON fairsched.budgets TO fairsched_admin;

COMMIT;
