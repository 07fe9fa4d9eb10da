-- The role that postgres_exporter logs in as: it reads the views that monitoring/postgres_exporter.yml
-- asks, and nothing else of fairsched; no payload, no result, no text of a tenant but names.
--
--   psql -X -d mydb -f monitoring/grants.sql      as a superuser; may be run again at any time
--   ALTER ROLE fairsched_exporter PASSWORD '…';   or an entry in pg_hba.conf
--
-- The role belongs to the whole server, the grants to one database: run this in each
-- database that has the extension.

\set ON_ERROR_STOP on
BEGIN;

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fairsched_exporter') THEN
    CREATE ROLE fairsched_exporter LOGIN CONNECTION LIMIT 5;
    ALTER ROLE fairsched_exporter SET statement_timeout = '5s';
  END IF;
END
$$;
-- the exporter's own metrics: pg_stat_activity, pg_stat_database and so on
GRANT pg_monitor TO fairsched_exporter;

GRANT USAGE ON SCHEMA fairsched TO fairsched_exporter;
GRANT SELECT ON
  fairsched.database_status, fairsched.worker_status, fairsched.workspace_status,
  fairsched.fairness, fairsched.fairness_tiers, fairsched.fairness_summary,
  fairsched.claim_stats, fairsched.claim_refusals, fairsched.scheduler_stats,
  fairsched.capacity_recommendation, fairsched.capacity_status, fairsched.workspace_usage_current,
  fairsched.budget_status, fairsched.maintenance_status, fairsched.alerts
  TO fairsched_exporter;

COMMIT;
