-- What a session knows of a place from its last statement holds only as long as it is so.
\pset null '(null)'
SET client_min_messages = warning;
CREATE VIEW again_jobs AS
SELECT workspace, job_table, resources, cost, count(*) FROM fairsched.jobs WHERE workspace LIKE 'again%' GROUP BY 1, 2, 3, 4;
CREATE FUNCTION again_claim() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(workspace || ' ' || n, ', ' ORDER BY workspace) FROM (
		SELECT workspace, count(*) AS n FROM fairsched_claim('again', 100, '1 h') c WHERE fairsched_complete(job_id, token) GROUP BY 1) c
$$;

COPY fairsched.inbox (workspace, kind) FROM STDIN;
again1	again
again1	again
again2	again
\.
SELECT * FROM again_jobs ORDER BY 1;

-- it moved to a table of its own
SELECT fairsched_isolate_workspace('again1') IS NOT NULL AS moved;
COPY fairsched.inbox (workspace, kind) FROM STDIN;
again1	again
again2	again
\.
SELECT workspace, job_table = 0 AS shared, count FROM again_jobs ORDER BY 1, 2;
SELECT again_claim();

-- its kind holds something now, and costs something
INSERT INTO fairsched.job_kinds (kind, cost, resources) VALUES ('again', 3, '{"cpu": 2}');
COPY fairsched.inbox (workspace, kind) FROM STDIN;
again1	again
again2	again
\.
SELECT workspace, resources, cost, count FROM again_jobs ORDER BY 1, 2;
DELETE FROM fairsched.job_kinds WHERE kind = 'again';
COPY fairsched.inbox (workspace, kind) FROM STDIN;
again2	again
\.
SELECT workspace, resources, cost, count FROM again_jobs ORDER BY 1, 2, 3;
SELECT again_claim();

-- its queue is full; the line at fault is told
SELECT fairsched_alter_workspace('again2', max_queue_size => 2);
COPY fairsched.inbox (workspace, kind) FROM STDIN;
again2	again
again2	again
again2	again
\.
\set VERBOSITY terse
COPY fairsched.inbox (workspace, kind) FROM STDIN;
again2	again
again1	again
again2	again
\.
COPY fairsched.inbox (workspace, kind) FROM STDIN;
again2	again
again1	again
again2	again
again2	again
\.
SELECT workspace, count FROM again_jobs ORDER BY 1;
SELECT again_claim();

-- it was rolled back, and dropped, and came again
BEGIN;
INSERT INTO fairsched.inbox (workspace) VALUES ('again2'), ('again3');
SAVEPOINT a;
INSERT INTO fairsched.inbox (workspace) VALUES ('again2'), ('again3');
ROLLBACK TO a;
INSERT INTO fairsched.inbox (workspace) VALUES ('again3');
ROLLBACK;
INSERT INTO fairsched.inbox (workspace) VALUES ('again2'), ('again3');
SELECT again_claim();
SELECT fairsched_drop_workspace('again1') IS NOT NULL AS dropped;
INSERT INTO fairsched.inbox (workspace) VALUES ('again1'), ('again3');
SELECT workspace, job_table = 0 AS shared, count FROM again_jobs ORDER BY 1;
SELECT again_claim();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT "check", workspace, in_memory, in_rows FROM fairsched_check() WHERE workspace LIKE 'again%' AND NOT ok;

-- more places than memory keeps are handed out all the same
INSERT INTO fairsched.inbox (workspace) SELECT 'again' || g FROM generate_series(1, 4000) g;
INSERT INTO fairsched.inbox (workspace) SELECT 'again' || g FROM generate_series(1, 4000) g;
SELECT count(*), count(DISTINCT workspace) FROM fairsched_claim('again', 10000, '1 h') c WHERE fairsched_complete(job_id, token);

DROP VIEW again_jobs;
DROP FUNCTION again_claim();
