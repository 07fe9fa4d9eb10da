-- EXECUTE is a grant, also for functions: nobody may call what the parts before this one made, but for
-- the functions behind views, which ask for SELECT on their view themselves (60_views.sql says why).

DO $$
DECLARE
	f record;
BEGIN
	FOR f IN SELECT p.oid::regprocedure AS sig, p.prokind FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid
			AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
		JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'fairsched'
		WHERE p.proname NOT LIKE '%\_internal'
	LOOP
		EXECUTE format('REVOKE ALL ON %s %s FROM PUBLIC', CASE f.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, f.sig);
	END LOOP;
END
$$;
