-- The first of these files: claims that name no lease get a long one, also on a slow machine
\set ON_ERROR_STOP 1
\i test/leases.sql
SELECT proname, pg_get_function_arguments(oid) ~ 'lease interval DEFAULT .*1.*h' AS long FROM pg_proc
	WHERE proname IN ('fairsched_claim', 'fairsched_complete_and_claim') ORDER BY 1;
SELECT fairsched_enqueue('lease', lane => 'lease') IS NOT NULL AS enqueued;
SELECT lease_expires_at > now() + interval '59 min' AS long, fairsched_complete(job_id, token) FROM fairsched_claim(lanes => '{lease}');
SELECT fairsched_drop_workspace('lease');
