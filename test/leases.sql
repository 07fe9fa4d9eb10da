-- For tests: in this database a claim that names no lease gets one of an hour, so that on a slow machine it does not
-- run out between two lines of a test. Everything else of the functions stays as it is.
DO $do$ DECLARE
	f regprocedure;
BEGIN
	FOR f IN SELECT oid FROM pg_proc WHERE proname IN ('fairsched_claim', 'fairsched_complete_and_claim') LOOP
		EXECUTE regexp_replace(pg_get_functiondef(f), $$(lease interval DEFAULT )'[^']*'::interval$$, $$\1'1 hour'::interval$$);
	END LOOP;
END $do$;
