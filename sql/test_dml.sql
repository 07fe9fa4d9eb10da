-- Inside transactions: savepoints, EXCEPTION blocks, CTEs, several calls in one
-- transaction; and rows that are changed behind the functions' back.
\pset null '(null)'
SET client_min_messages = warning;

CREATE VIEW dml_jobs AS
SELECT payload ->> 'n' AS n, state, attempt FROM fairsched.jobs WHERE workspace LIKE 'dml%' ORDER BY 1;
CREATE VIEW dml_check AS
SELECT "check", workspace, in_memory, in_rows FROM fairsched_check() WHERE workspace LIKE 'dml%' AND NOT ok;
CREATE FUNCTION dml_put(names text, workspace text DEFAULT 'dml') RETURNS int LANGUAGE sql AS $$
	SELECT cardinality(fairsched_enqueue_many(workspace, ARRAY(SELECT jsonb_build_object('n', n) FROM string_to_table(names, ' ') n), lane => 'dml'))
$$;
CREATE FUNCTION dml_claim(max_jobs int DEFAULT 10) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(payload ->> 'n', ' '), 'none') FROM fairsched_claim('dml', max_jobs, '1 h', '{dml}')
$$;
CREATE FUNCTION dml_done() RETURNS int LANGUAGE sql AS $$
	SELECT cardinality(fairsched_complete_many(array_agg(job_id), array_agg(token))) FROM fairsched.jobs
	WHERE workspace LIKE 'dml%' AND state = 'running' HAVING count(*) > 0
$$;
CREATE FUNCTION dml_running() RETURNS int LANGUAGE sql AS $$ SELECT coalesce(sum(running), 0)::int FROM fairsched.workspace_status WHERE workspace LIKE 'dml%' $$;

-- Waits until memory and rows agree
CREATE PROCEDURE dml_settled() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..6000 LOOP
		EXIT WHEN (SELECT state = 'ready' AND counted FROM fairsched.database_status) AND NOT EXISTS (SELECT FROM dml_check);
		COMMIT;
		PERFORM pg_sleep(0.05);
	END LOOP;
END
$$;

-- A rollback takes everything back
BEGIN;
SELECT dml_put('a b');
ROLLBACK;
SELECT dml_claim(), (SELECT count(*) FROM dml_jobs) AS jobs;
SELECT dml_put('a b c d');
BEGIN;
SELECT dml_claim(2);
SELECT dml_done();
ROLLBACK;
SELECT * FROM dml_jobs;
SELECT dml_running();
BEGIN;
SELECT dml_claim(3);
ROLLBACK;
SELECT dml_running(), dml_claim(4);
SELECT dml_done();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM dml_check;

-- Savepoints
SELECT dml_put('a b c d e f');
BEGIN;
SELECT dml_claim(1) AS a;
SAVEPOINT s1;
SELECT dml_claim(1) AS b;
SAVEPOINT s2;
SELECT dml_claim(2) AS c_d;
SELECT dml_done();
ROLLBACK TO s2;
SELECT dml_running() AS a_and_b;
RELEASE s1;
SELECT dml_claim(1) AS c_again;
SAVEPOINT s3;
SELECT fairsched_complete(job_id, token) FROM fairsched.jobs WHERE workspace = 'dml' AND payload ->> 'n' = 'a';
ROLLBACK TO s3;
COMMIT;
SELECT * FROM dml_jobs;
SELECT dml_running();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM dml_check;
-- an enqueue that is rolled back to a savepoint, one that is not
BEGIN;
SELECT dml_put('g');
SAVEPOINT s;
SELECT dml_put('never');
ROLLBACK TO s;
SELECT dml_put('h');
COMMIT;
SELECT dml_claim(10);
SELECT dml_done();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM dml_check;

-- EXCEPTION blocks in PL/pgSQL
SELECT dml_put('a b c');
DO $$
DECLARE
	c record;
	i int := 0;
BEGIN
	LOOP
		BEGIN
			i := i + 1;
			SELECT * INTO c FROM fairsched_claim('dml', 1, lanes => '{dml}');
			EXIT WHEN NOT FOUND OR i > 10;
			PERFORM fairsched_complete(c.job_id, c.token);
			IF i = 2 THEN
				RAISE EXCEPTION 'the work failed';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
	END LOOP;
	RAISE WARNING '% rounds', i;
END
$$;
SELECT * FROM dml_jobs;
SELECT dml_running();
SELECT dml_put('k');
DO $$
BEGIN
	FOR i IN 1..3 LOOP
		BEGIN
			PERFORM fairsched_enqueue('dml', '{"n": "l"}', lane => 'dml', unique_key => 'l');
			PERFORM fairsched_enqueue('dml', cost => 0);
		EXCEPTION WHEN invalid_parameter_value THEN
			RAISE WARNING 'taken back';
		END;
	END LOOP;
END
$$;
SELECT * FROM dml_jobs;
SELECT dml_claim();
SELECT dml_done();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM dml_check;

-- Enqueue, claim and complete in one transaction: a job can be claimed after the commit
BEGIN;
SELECT dml_put('own');
SELECT dml_claim() AS "not yet";
COMMIT;
BEGIN;
SELECT dml_claim();
SELECT dml_done();
SELECT dml_put('next');
SELECT dml_claim() AS "not yet";
COMMIT;
SELECT * FROM dml_jobs;
-- enqueued and cancelled, claimed and cancelled, released and failed
BEGIN;
SELECT dml_put('gone');
SELECT fairsched_cancel(job_id) FROM fairsched.jobs WHERE payload ->> 'n' = 'gone' AND workspace = 'dml';
COMMIT;
BEGIN;
SELECT dml_claim();
SELECT fairsched_cancel(job_id) FROM fairsched.jobs WHERE workspace = 'dml';
SELECT dml_running();
COMMIT;
SELECT dml_put('a b');
BEGIN;
SELECT fairsched_fail(job_id, token, 'x', '1 h') FROM fairsched_claim('dml', 1, lanes => '{dml}');
SELECT fairsched_release(job_id, token) FROM fairsched_claim('dml', 1, lanes => '{dml}');
COMMIT;
SELECT * FROM dml_jobs;
BEGIN;
SELECT fairsched_reschedule(job_id, now()) FROM fairsched.jobs WHERE workspace = 'dml' AND state = 'retryable';
SELECT fairsched_assign_priority(job_id, 'P1') FROM fairsched.jobs WHERE workspace = 'dml' AND payload ->> 'n' = 'b';
ROLLBACK;
SELECT * FROM dml_jobs;
SELECT dml_running();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM dml_check;
SELECT fairsched_cancel(job_id) FROM fairsched.jobs WHERE workspace = 'dml';

-- In CTEs and joins
CREATE TABLE dml_orders (id int PRIMARY KEY, job_id bigint);
WITH o AS (SELECT g AS id, (fairsched_enqueue('dml', jsonb_build_object('n', 'order ' || g), lane => 'dml')).job_id AS job_id FROM generate_series(1, 3) g)
INSERT INTO dml_orders SELECT * FROM o;
SELECT id, state FROM dml_orders, fairsched_job_status(job_id) ORDER BY id;
WITH c AS MATERIALIZED (SELECT * FROM fairsched_claim('dml', 2, lanes => '{dml}')), o AS (UPDATE dml_orders SET job_id = NULL FROM c WHERE dml_orders.job_id = c.job_id RETURNING id)
SELECT (SELECT string_agg(payload ->> 'n', ', ') FROM c) AS claimed, (SELECT count(*) FROM o) AS noted;
SELECT fairsched_complete(job_id, token) FROM fairsched.jobs WHERE workspace = 'dml' AND state = 'running';
-- only as many rows as are wanted are taken
SELECT c.payload FROM fairsched_claim('dml', 10, lanes => '{dml}') c WHERE false;
SELECT * FROM dml_jobs;
SELECT dml_done();
-- a job and its row in one transaction
BEGIN;
INSERT INTO dml_orders SELECT 9, job_id FROM fairsched_enqueue('dml', '{"n": "nine"}', lane => 'dml');
ROLLBACK;
SELECT id FROM dml_orders ORDER BY 1;
SELECT dml_claim();
-- INSERT … SELECT into the inbox
INSERT INTO fairsched.inbox (workspace, payload, lane) SELECT 'dml' || id, jsonb_build_object('n', id), 'dml' FROM dml_orders;
SELECT * FROM dml_jobs;
SELECT workspace, payload FROM fairsched_claim('dml', 10, '1 h', '{dml}') ORDER BY 1;
SELECT dml_done();
DROP TABLE dml_orders;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM dml_check;

-- A trigger enqueues, a deferred one too
CREATE TABLE dml_docs (id int);
CREATE FUNCTION dml_doc() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM fairsched_enqueue('dml', jsonb_build_object('n', TG_NAME || new.id), lane => 'dml');
	RETURN new;
END
$$;
CREATE TRIGGER now BEFORE INSERT ON dml_docs FOR EACH ROW EXECUTE FUNCTION dml_doc();
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON dml_docs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dml_doc();
INSERT INTO dml_docs VALUES (1), (2);
SELECT dml_claim();
SELECT dml_done();
DROP TABLE dml_docs;
DROP FUNCTION dml_doc;

-- A cursor
SELECT dml_put('a b c');
BEGIN;
DECLARE dml CURSOR FOR SELECT payload ->> 'n' AS n FROM fairsched_claim('dml', 3, lanes => '{dml}');
FETCH 1 FROM dml;
SELECT dml_running();
CLOSE dml;
COMMIT;
SELECT dml_running();
SELECT dml_done();

-- PREPARE TRANSACTION: with enqueues it may, with claims not
BEGIN;
SELECT dml_put('prepared');
PREPARE TRANSACTION 'dml 1';
SELECT dml_claim();
COMMIT PREPARED 'dml 1';
CALL dml_settled();
SELECT dml_claim();
BEGIN;
SELECT dml_done();
PREPARE TRANSACTION 'dml 2';
\echo :SQLSTATE
SELECT dml_running();
BEGIN;
SELECT dml_put('never');
PREPARE TRANSACTION 'dml 3';
ROLLBACK PREPARED 'dml 3';
SELECT dml_done();
SELECT dml_claim();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM dml_check;

-- Rows changed by hand: the scheduler looks again
SELECT dml_put('a b c d e');
DELETE FROM fairsched.jobs WHERE workspace = 'dml' AND payload ->> 'n' IN ('a', 'd');
SELECT dml_claim(1);
UPDATE fairsched.jobs SET cost = 5 WHERE workspace = 'dml' AND state = 'available';
-- the scheduler has looked again after a moment
DO $$
BEGIN
	FOR i IN 1..6000 LOOP
		PERFORM dml_claim();
		COMMIT;
		EXIT WHEN dml_running() = 3;
		PERFORM pg_sleep(0.05);
	END LOOP;
END
$$;
SELECT * FROM dml_jobs;
CALL dml_settled();
SELECT dml_done();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM dml_check;
SELECT fairsched_drop_workspace(w, true) FROM unnest('{dml,dml1,dml2,dml3}'::text[]) w;
SELECT * FROM dml_jobs;
DROP PROCEDURE dml_settled;
DROP VIEW dml_jobs, dml_check;
DROP FUNCTION dml_put, dml_claim, dml_done, dml_running;
