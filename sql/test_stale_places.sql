-- Where a job's row is, is remembered; the row found there decides.  A place can be another job's by
-- now: then it is not handed out as what it was remembered for.
SET client_min_messages = warning;
SELECT fairsched_create_workspace('stale', own_table => true);
SELECT format('fairsched.jobs_%s', job_table) AS jobs FROM fairsched.workspaces WHERE workspace = 'stale' \gset

-- A job is gone without anybody being told, and the place of its row taken by another's
SELECT is_duplicate FROM fairsched_enqueue('stale', '{"n": "gone"}', lane => 'stale_a');
SELECT fairsched.own_changes(true);
DELETE FROM fairsched.jobs WHERE workspace = 'stale';
SELECT fairsched.own_changes(false);
VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) :jobs;
SELECT is_duplicate FROM fairsched_enqueue('stale', '{"n": "other lane"}', lane => 'stale_b');
SELECT payload ->> 'n' AS n, lane FROM fairsched_claim('stale', 9, lanes => '{stale_a}');
SELECT payload ->> 'n' AS n, lane, fairsched_complete(job_id, token) FROM fairsched_claim('stale', 9, lanes => '{stale_b}');

-- The same with a job that waits for its time
SELECT is_duplicate FROM fairsched_enqueue('stale', '{"n": "gone"}', lane => 'stale_a');
SELECT fairsched.own_changes(true);
DELETE FROM fairsched.jobs WHERE workspace = 'stale';
SELECT fairsched.own_changes(false);
VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) :jobs;
SELECT is_duplicate FROM fairsched_enqueue('stale', '{"n": "later"}', lane => 'stale_a', run_at => now() + interval '1 day');
SELECT payload ->> 'n' AS n, lane FROM fairsched_claim('stale', 9, lanes => '{stale_a}');
SELECT state, attempt FROM fairsched.jobs WHERE workspace = 'stale';
DELETE FROM fairsched.jobs WHERE workspace = 'stale';
VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) :jobs;

-- And with one of the same flow, but of another class
SELECT is_duplicate FROM fairsched_enqueue('stale', '{"n": "gone"}', lane => 'stale_a', priority => 'P0');
SELECT fairsched.own_changes(true);
DELETE FROM fairsched.jobs WHERE workspace = 'stale';
SELECT fairsched.own_changes(false);
VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) :jobs;
SELECT is_duplicate FROM fairsched_enqueue('stale', '{"n": "P3"}', lane => 'stale_a', priority => 'P3');
SELECT payload ->> 'n' AS n, lane FROM fairsched_claim('stale', 9, lanes => '{stale_a}');
SELECT priority FROM fairsched.running_jobs WHERE workspace = 'stale';

-- counts were not told of what was deleted
SELECT count(*) >= 0 AS repaired FROM fairsched_check(true);
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM fairsched_check() WHERE workspace = 'stale' AND NOT ok;
SELECT fairsched_drop_workspace('stale', true);
