-- What the session's search_path says does not reach statements that run as the extension's owner, or scorers.
SET client_min_messages = warning;
CREATE ROLE path_user;
CREATE SCHEMA path_evil AUTHORIZATION path_user;
GRANT USAGE ON SCHEMA path_evil TO PUBLIC;
DO $$
BEGIN
	EXECUTE (SELECT string_agg(format('GRANT EXECUTE ON %s %s TO path_user', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, p.oid::regprocedure), '; ')
		FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
		JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'fairsched' WHERE p.proname LIKE 'fairsched\_%');
END
$$;
SET ROLE path_user;
-- in the place of what statements use: operators of text, numbers and times, and functions without arguments
CREATE FUNCTION path_evil.text_eq(a text, b text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$;
CREATE FUNCTION path_evil.int8_eq(a bigint, b bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$;
CREATE FUNCTION path_evil.times_le(a timestamptz, b timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$;
CREATE OPERATOR path_evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = path_evil.text_eq);
CREATE OPERATOR path_evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = path_evil.int8_eq);
CREATE OPERATOR path_evil.<= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = path_evil.times_le);
CREATE FUNCTION path_evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$;
CREATE FUNCTION path_evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$;
SET search_path = path_evil, pg_catalog;
-- it works for what the session itself says
SELECT now();
SELECT public.fairsched_create_workspace('path', own_table := false);
SELECT public.fairsched_register_worker('path_w', slots := 4, node := 'path_n');
SELECT count(public.fairsched_enqueue_many('path', '{"{}","{}","{}"}', lane := 'path', resources := '{"cpu": 1}', budgets := '{path_b}', unique_keys := '{a,b,c}', run_id := 'path'));
SELECT public.fairsched_set_budget('path_b', 100);
SELECT public.fairsched_set_quota('path', 'tokens', 1000);
SELECT count(*) FROM public.fairsched_claim('path_w', 3, lanes := '{path}', request_id := '7e3d0c3a-57f0-4f4b-9d53-0d5d1c7c3a57');
RESET search_path;
RESET ROLE;
SELECT array_agg(job_id ORDER BY job_id) AS jobs, array_agg(token ORDER BY job_id) AS tokens FROM fairsched.running_jobs WHERE lane = 'path' \gset
SET ROLE path_user;
SET search_path = path_evil, pg_catalog;
SELECT count(*) FROM public.fairsched_claim('path_w', 3, lanes := '{path}', request_id := '7e3d0c3a-57f0-4f4b-9d53-0d5d1c7c3a57');
SELECT public.fairsched_preempt((:'jobs'::bigint[])[1], 'manual');
SELECT public.fairsched_preempt((:'jobs'::bigint[])[1], 'manual');
SELECT public.fairsched_yield((:'jobs'::bigint[])[1], (:'tokens'::bigint[])[1], '{}');
SELECT public.fairsched_resume_job((:'jobs'::bigint[])[1]);
SELECT public.fairsched_assign_priority((:'jobs'::bigint[])[1], 'P1', 'because');
SELECT public.fairsched_checkpoint((:'jobs'::bigint[])[2], (:'tokens'::bigint[])[2], '{}');
SELECT public.fairsched_record_spend('path_b', 1, (:'jobs'::bigint[])[2]);
SELECT public.fairsched_record_usage('path', 'tokens', 1);
SELECT allowed FROM public.fairsched_check_quota('path', 'tokens', 1);
SELECT public.fairsched_evaluate_preemption();
SELECT count(*) FROM public.fairsched_preemption_candidates('cpu');
SELECT count(*) > 5 FROM public.fairsched_explain((:'jobs'::bigint[])[1]);
SELECT state FROM public.fairsched_job_status((:'jobs'::bigint[])[1]);
SELECT public.fairsched_fail((:'jobs'::bigint[])[2], (:'tokens'::bigint[])[2], 'x', discard := true);
SELECT public.fairsched_retry((:'jobs'::bigint[])[2]);
SELECT public.fairsched_complete((:'jobs'::bigint[])[3], (:'tokens'::bigint[])[3], usage := '{"tokens": 3}');
SELECT public.fairsched_place('path', '{path_n}');
SELECT public.fairsched_evaluate_placement() >= 0;
SELECT public.fairsched_unplace('path');
SELECT public.fairsched_cancel_run('path');
RESET search_path;
RESET ROLE;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT count(*) FROM fairsched_check() WHERE NOT ok AND workspace = 'path';
SELECT fairsched_unregister_worker('path_w');
SELECT fairsched_drop_node('path_n');
SELECT fairsched_drop_workspace('path', true);
DELETE FROM fairsched.budgets WHERE budget = 'path_b';
DROP OWNED BY path_user CASCADE;
DROP ROLE path_user;
