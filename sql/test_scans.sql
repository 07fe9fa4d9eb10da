-- Scans for candidates: the index alone, and rows where that is not enough.
\set VERBOSITY terse
SELECT fairsched_create_workspace('scan', max_running => 1000, own_table => false);
SELECT count(fairsched_enqueue_many('scan', ARRAY(SELECT jsonb_build_object('n', n) FROM generate_series(1, 900) n), lane => 'scan'));

-- a queue is read from its first job on
DO $$ BEGIN FOR i IN 1 .. 12 LOOP PERFORM fairsched_claim('scan', 24, lanes => '{scan}'); END LOOP; END $$;
SELECT count(*) FROM fairsched.running_jobs WHERE lane = 'scan';

-- by the index alone: it fetches no row
BEGIN;
SELECT idx_tup_fetch AS before FROM pg_stat_xact_all_tables WHERE relid = 'fairsched.jobs_0'::regclass \gset
SELECT count(*), min((payload ->> 'n')::int), max((payload ->> 'n')::int) FROM fairsched_claim('scan', 36, lanes => '{scan}');
SELECT idx_tup_fetch - :before AS fetched FROM pg_stat_xact_all_tables WHERE relid = 'fairsched.jobs_0'::regclass;
COMMIT;

-- entries of jobs that are gone are met by who claims, and left out
SELECT count(*) FROM fairsched_cancel_many(ARRAY(SELECT job_id FROM fairsched.jobs
	WHERE lane = 'scan' AND (payload ->> 'n')::int BETWEEN 340 AND 439)) c;
SELECT count(*), min((payload ->> 'n')::int), max((payload ->> 'n')::int),
	bool_and((payload ->> 'n')::int NOT BETWEEN 340 AND 439) AS none_of_them,
	bool_and(n = row) AS in_order
FROM (SELECT payload, (payload ->> 'n')::int AS n,
		CASE WHEN row_number() OVER () <= 15 THEN 324 + row_number() OVER () ELSE 424 + row_number() OVER () END AS row
	FROM fairsched_claim('scan', 100, lanes => '{scan}')) c;

-- an aborted claim, after which the queue is read from where it was
BEGIN;
SELECT count(*), min((payload ->> 'n')::int) FROM fairsched_claim('scan', 50, lanes => '{scan}');
ROLLBACK;
SELECT count(*), min((payload ->> 'n')::int), max((payload ->> 'n')::int) FROM fairsched_claim('scan', 50, lanes => '{scan}');

-- costs, also those that a position has no room for
ALTER SYSTEM SET fairsched.max_cost = 1000000;
SELECT pg_reload_conf();
-- until this session has read that
\set ECHO none
\o /dev/null
SELECT 'SELECT pg_sleep(0.1) WHERE current_setting(''fairsched.max_cost'') <> ''1000000''' FROM generate_series(1, 600) \gexec
\o
\set ECHO all
SELECT count(fairsched_enqueue('scan_cost', lane => 'scan_cost', cost => c)) FROM unnest('{1,65534,65535,65536,1000000,2}'::int[]) c;
SELECT cost, position & 65535 AS told FROM fairsched.jobs WHERE lane = 'scan_cost' ORDER BY position;
SELECT count(*) FROM fairsched_claim('scan', 10, lanes => '{scan_cost}');
SELECT cost, state FROM fairsched.jobs WHERE lane = 'scan_cost' ORDER BY position;
ALTER SYSTEM RESET fairsched.max_cost;
SELECT pg_reload_conf();

SELECT count(fairsched_complete(job_id, token)) FROM fairsched.running_jobs WHERE lane IN ('scan', 'scan_cost');
SELECT count(fairsched_cancel(job_id)) FROM fairsched.jobs WHERE lane IN ('scan', 'scan_cost');
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM fairsched_check() WHERE workspace IN ('scan', 'scan_cost');
