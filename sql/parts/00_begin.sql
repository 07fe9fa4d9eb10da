\echo Use "CREATE EXTENSION fairsched" to load this file. \quit

-- Functions go to the schema the extension is installed into; tables and views
-- to schema fairsched, which is made here unless it is that schema.
SET LOCAL search_path TO @extschema@, pg_temp;

DO $$
BEGIN
	IF '@extschema@' <> 'fairsched' THEN
		CREATE SCHEMA fairsched;
		COMMENT ON SCHEMA fairsched IS 'Tables and views of the extension fairsched.';
	END IF;
END
$$;
