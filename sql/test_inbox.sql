-- fairsched.inbox: rows are collected and written in batches, and nothing of it shows.
\pset null '(null)'
SET client_min_messages = warning;

CREATE VIEW inbox_jobs AS
SELECT workspace, (payload ->> 'n')::int AS n, lane, priority, state, unique_key, position, job_id, job_table
FROM fairsched.jobs WHERE workspace LIKE 'inbox%';
CREATE VIEW inbox_check AS
SELECT "check", workspace, in_memory, in_rows FROM fairsched_check() WHERE workspace LIKE 'inbox%' AND NOT ok;
-- the rows in their order, and whether the scheduler has them in that order
CREATE FUNCTION inbox_ns() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(n::text, ' ' ORDER BY position) FROM inbox_jobs $$;
CREATE FUNCTION inbox_claim(max_jobs int DEFAULT 100) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(payload ->> 'n', ' '), 'none') FROM fairsched_claim('inbox', max_jobs, '1 h', '{inbox}')
$$;
CREATE FUNCTION inbox_clear() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(fairsched_cancel(job_id)) FROM fairsched.jobs WHERE workspace LIKE 'inbox%'
$$;
-- jobs that open transactions have reserved room for
CREATE FUNCTION inbox_reserved() RETURNS bigint LANGUAGE sql AS $$
	SELECT coalesce(sum(fairsched.workspace_memory('inbox' || g)), 0)::bigint FROM generate_series(0, 9) g
$$;

-- More than a batch: several places, in the order of the rows, each id once
CREATE TABLE inbox_ids (n int, job_id bigint);
WITH i AS (
	INSERT INTO fairsched.inbox (workspace, payload, lane, priority, capabilities, budgets, run_at)
	SELECT 'inbox' || g % 5, jsonb_build_object('n', g), CASE WHEN g % 2 = 0 THEN 'inbox' END, CASE WHEN g % 3 = 0 THEN 'P1' END,
		CASE WHEN g % 7 = 0 THEN '{gpu}'::text[] END, CASE WHEN g % 11 = 0 THEN '{}'::text[] END, CASE WHEN g % 13 = 0 THEN '9999-01-01'::timestamptz END
	FROM generate_series(1, 3500) g RETURNING payload, job_id)
INSERT INTO inbox_ids SELECT (payload ->> 'n')::int, job_id FROM i;
SELECT count(*), count(DISTINCT i.job_id), bool_and(j.n = i.n) AS right_ids FROM inbox_ids i JOIN inbox_jobs j USING (job_id);
SELECT count(*) AS out_of_order FROM (SELECT n - lag(n) OVER (ORDER BY position) AS step, job_id - lag(job_id) OVER (ORDER BY position) AS id_step
	FROM inbox_jobs WHERE position > 0) s WHERE step <= 0 OR id_step <= 0;
SELECT lane, priority, state, count(*), min(n), max(n) FROM inbox_jobs GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT inbox_reserved();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM inbox_check;
-- the scheduler serves each flow in its order
SELECT workspace, string_agg(payload ->> 'n', ' ') FROM fairsched_claim('inbox', 30, '1 h', '{inbox}') GROUP BY 1 ORDER BY 1;
SELECT inbox_clear();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM inbox_check;
-- wide rows fill a batch before it has many
CREATE TABLE inbox_wide AS SELECT g AS n, jsonb_build_object('n', g, 'x', (SELECT string_agg(md5((g * 1000 + i)::text), '') FROM generate_series(1, 200 * (1 + g % 3)) i)) AS payload
FROM generate_series(1, 300) g;
INSERT INTO fairsched.inbox (workspace, payload, lane) SELECT 'inbox1', payload, 'inbox' FROM inbox_wide;
SELECT count(*), bool_and(j.payload = w.payload) AS same FROM inbox_wide w JOIN fairsched.jobs j ON j.workspace = 'inbox1' AND (j.payload ->> 'n')::int = w.n;
SELECT inbox_clear();
DROP TABLE inbox_wide;

-- Unique keys among others: the order is that of the rows, and the first has the key
INSERT INTO fairsched.inbox (workspace, payload, lane, unique_key)
VALUES ('inbox1', '{"n": 1}', 'inbox', NULL), ('inbox1', '{"n": 2}', 'inbox', 'a'), ('inbox1', '{"n": 3}', 'inbox', NULL),
	('inbox1', '{"n": 4}', 'inbox', 'a'), ('inbox1', '{"n": 5}', 'inbox', 'b'), ('inbox2', '{"n": 6}', 'inbox', 'a'), ('inbox1', '{"n": 7}', 'inbox', NULL)
RETURNING payload ->> 'n' AS n, job_id = (SELECT job_id FROM inbox_jobs WHERE n = 2) AS "not seen by its own statement";
SELECT inbox_ns();
INSERT INTO fairsched.inbox (workspace, payload, lane, unique_key) VALUES ('inbox1', '{"n": 8}', 'inbox', 'b'), ('inbox1', '{"n": 9}', 'inbox', 'c')
RETURNING payload ->> 'n' AS n, job_id IN (SELECT job_id FROM inbox_jobs) AS "was there";
SELECT inbox_ns();
SELECT inbox_reserved();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM inbox_check;
SELECT inbox_clear();

-- The limit of a queue: exactly, for the row that breaks it, also when one statement fills it
SELECT fairsched_create_workspace('inbox3', max_queue_size => 1200, own_table => false);
INSERT INTO fairsched.inbox (workspace, payload, lane) SELECT CASE WHEN g % 2 = 0 THEN 'inbox3' ELSE 'inbox4' END, '{}', 'inbox' FROM generate_series(1, 2402) g;
\echo :SQLSTATE
SELECT count(*) FROM inbox_jobs;
SELECT inbox_reserved();
INSERT INTO fairsched.inbox (workspace, payload, lane) SELECT CASE WHEN g % 2 = 0 THEN 'inbox3' ELSE 'inbox4' END, '{}', 'inbox' FROM generate_series(1, 2400) g;
SELECT workspace, count(*) FROM inbox_jobs GROUP BY 1 ORDER BY 1;
INSERT INTO fairsched.inbox (workspace) VALUES ('inbox3');
SELECT inbox_clear();

-- An error is that of its row, and nothing goes in
COPY fairsched.inbox (workspace, lane, priority) FROM stdin;
inbox1	inbox	P1
inbox1	inbox	P1
inbox1	inbox	P9
inbox1	inbox	P1
\.
INSERT INTO fairsched.inbox (workspace, lane, cost) SELECT 'inbox' || g % 3, 'inbox', CASE WHEN g = 1700 THEN 0 END FROM generate_series(1, 2000) g;
SELECT count(*) FROM inbox_jobs;
SELECT inbox_reserved();

-- Savepoints
BEGIN;
INSERT INTO fairsched.inbox (workspace, payload, lane) VALUES ('inbox1', '{"n": 1}', 'inbox'), ('inbox1', '{"n": 2}', 'inbox');
SAVEPOINT s;
INSERT INTO fairsched.inbox (workspace, payload, lane) VALUES ('inbox1', '{"n": 3}', 'inbox'), ('inbox1', '{"n": 4}', 'inbox');
SELECT inbox_ns();
ROLLBACK TO s;
INSERT INTO fairsched.inbox (workspace, payload, lane) VALUES ('inbox1', '{"n": 5}', 'inbox'), ('inbox1', NULL, '');
ROLLBACK TO s;
INSERT INTO fairsched.inbox (workspace, payload, lane) VALUES ('inbox1', '{"n": 6}', 'inbox'), ('inbox1', '{"n": 7}', 'inbox');
RELEASE s;
COMMIT;
SELECT inbox_ns();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM inbox_check;
SELECT inbox_claim();
SELECT inbox_reserved();
SELECT inbox_clear();

-- Statements within a statement: functions that insert too, in its subtransaction and in their own
CREATE FUNCTION inbox_one(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO fairsched.inbox (workspace, payload, lane) VALUES ('inbox2', jsonb_build_object('n', n), 'inbox');
	RETURN n;
END
$$;
CREATE FUNCTION inbox_try(n int, fails boolean) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		INSERT INTO fairsched.inbox (workspace, payload, lane) SELECT 'inbox2', jsonb_build_object('n', n), 'inbox' FROM generate_series(1, 2);
		IF fails THEN
			RAISE EXCEPTION 'no';
		END IF;
	EXCEPTION WHEN raise_exception THEN
		NULL;
	END;
	RETURN n;
END
$$;
INSERT INTO fairsched.inbox (workspace, payload, lane)
SELECT 'inbox1', jsonb_build_object('n', inbox_one(10 * g) + 1), 'inbox' FROM generate_series(1, 3) g RETURNING inbox_one(((payload ->> 'n')::int + 1)) AS n;
SELECT inbox_ns();
SELECT inbox_clear();
INSERT INTO fairsched.inbox (workspace, payload, lane)
SELECT 'inbox1', jsonb_build_object('n', inbox_try(10 * g, g = 2) + 1), 'inbox' FROM generate_series(1, 3) g RETURNING inbox_try(((payload ->> 'n')::int + 1), payload ->> 'n' = '31') AS n;
SELECT inbox_ns();
SELECT inbox_reserved();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM inbox_check;
SELECT string_agg(n, ' ' ORDER BY n) AS claimable FROM string_to_table(inbox_claim(), ' ') n;
SELECT inbox_clear();
-- rows of the outer statement do not go with the inner subtransaction, nor with a savepoint
BEGIN;
SAVEPOINT s;
INSERT INTO fairsched.inbox (workspace, payload, lane) SELECT 'inbox1', jsonb_build_object('n', inbox_try(g, true) + 100), 'inbox' FROM generate_series(1, 3) g;
RELEASE s;
SAVEPOINT s;
INSERT INTO fairsched.inbox (workspace, payload, lane) SELECT 'inbox1', jsonb_build_object('n', inbox_try(g, false) + 100), 'inbox' FROM generate_series(4, 6) g;
ROLLBACK TO s;
COMMIT;
SELECT inbox_ns();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM inbox_check;
SELECT inbox_clear();

-- Data-modifying CTEs, read or not
WITH i AS (INSERT INTO fairsched.inbox (workspace, payload, lane) SELECT 'inbox1', jsonb_build_object('n', g), 'inbox' FROM generate_series(1, 1500) g RETURNING job_id)
SELECT 1 AS unread;
WITH i AS (INSERT INTO fairsched.inbox (workspace, payload, lane) SELECT 'inbox1', jsonb_build_object('n', g), 'inbox' FROM generate_series(1, 1500) g RETURNING job_id)
SELECT count(*) AS one FROM (SELECT FROM i LIMIT 1) i;
SELECT count(*) FROM inbox_jobs;
SELECT inbox_clear();
-- functions of the extension find the jobs of the statement, volatile functions too
WITH i AS (INSERT INTO fairsched.inbox (workspace, payload, lane) SELECT 'inbox1', jsonb_build_object('n', g), 'inbox' FROM generate_series(1, 6) g RETURNING job_id, payload)
SELECT fairsched_assign_priority(job_id, 'P1'), payload ->> 'n' = '3' AND fairsched_cancel(job_id) AS cancelled FROM i;
SELECT n, priority FROM inbox_jobs ORDER BY n;
INSERT INTO fairsched.inbox (workspace, payload, lane) SELECT 'inbox1', jsonb_build_object('n', g), 'inbox' FROM generate_series(11, 13) g RETURNING inbox_ns();
SELECT inbox_clear();

-- PL/pgSQL: a loop that is left, and INTO with too many rows
DO $$
DECLARE
	r record;
	id bigint;
BEGIN
	FOR r IN INSERT INTO fairsched.inbox (workspace, payload, lane) SELECT 'inbox1', jsonb_build_object('n', g), 'inbox' FROM generate_series(1, 3) g RETURNING job_id LOOP
		EXIT;
	END LOOP;
	BEGIN
		INSERT INTO fairsched.inbox (workspace, payload, lane) SELECT 'inbox1', jsonb_build_object('n', g), 'inbox' FROM generate_series(4, 6) g RETURNING job_id INTO id;
	EXCEPTION WHEN too_many_rows THEN
		RAISE WARNING 'too many';
	END;
	INSERT INTO fairsched.inbox (workspace, payload, lane) VALUES ('inbox1', '{"n": 7}', 'inbox') RETURNING job_id INTO STRICT id;
	IF NOT fairsched_cancel(id) THEN
		RAISE WARNING 'not there';
	END IF;
END
$$;
SELECT inbox_ns();
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM inbox_check;
SELECT inbox_clear();

-- A workspace that this transaction made
BEGIN;
SELECT fairsched_create_workspace('inbox5', own_table => true);
INSERT INTO fairsched.inbox (workspace, payload, lane) SELECT CASE WHEN g % 3 = 0 THEN 'inbox1' ELSE 'inbox5' END, jsonb_build_object('n', g), 'inbox' FROM generate_series(1, 9) g;
COMMIT;
SELECT workspace, job_table > 0 AS own, job_id >> 41 = job_table AS born_there, string_agg(n::text, ' ' ORDER BY position) FROM inbox_jobs GROUP BY 1, 2, 3 ORDER BY 1;
DO $$ BEGIN FOR i IN 1..6000 LOOP EXIT WHEN NOT EXISTS (SELECT FROM fairsched_check() WHERE NOT ok); PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT * FROM inbox_check;
SELECT inbox_clear();

-- Triggers of others: a row trigger gets the id, a statement trigger finds the jobs
CREATE TABLE inbox_log (what text, found bigint);
CREATE FUNCTION inbox_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_LEVEL = 'ROW' THEN
		INSERT INTO inbox_log VALUES (TG_NAME || ' ' || (new.payload ->> 'n'), new.job_id);
	ELSE
		INSERT INTO inbox_log SELECT TG_NAME, count(*) FROM inbox_jobs;
	END IF;
	RETURN new;
END
$$;
CREATE TRIGGER noted INSTEAD OF INSERT ON fairsched.inbox FOR EACH ROW EXECUTE FUNCTION inbox_note();
CREATE TRIGGER noted_after AFTER INSERT ON fairsched.inbox FOR EACH STATEMENT EXECUTE FUNCTION inbox_note();
INSERT INTO fairsched.inbox (workspace, payload, lane) SELECT 'inbox1', jsonb_build_object('n', g), 'inbox' FROM generate_series(1, 2) g RETURNING job_id IN (SELECT found FROM inbox_log) AS "not seen yet";
SELECT what, CASE WHEN what LIKE '% %' THEN found = (SELECT job_id FROM inbox_jobs WHERE n = split_part(what, ' ', 2)::int) ELSE found = 2 END AS "right" FROM inbox_log ORDER BY 1;
DROP TRIGGER noted ON fairsched.inbox;
DROP TRIGGER noted_after ON fairsched.inbox;
DROP FUNCTION inbox_note;
DROP TABLE inbox_log;
SELECT inbox_clear();
-- the trigger functions are for fairsched.inbox
CREATE VIEW inbox_other AS SELECT 1 AS a;
CREATE TRIGGER t INSTEAD OF INSERT ON inbox_other FOR EACH ROW EXECUTE FUNCTION fairsched.inbox_insert();
INSERT INTO inbox_other VALUES (1);
DROP VIEW inbox_other;
CREATE TABLE inbox_other (a int);
CREATE TRIGGER t BEFORE INSERT ON inbox_other FOR EACH ROW EXECUTE FUNCTION fairsched.inbox_flush();
INSERT INTO inbox_other VALUES (1);
DROP TABLE inbox_other;

-- Without its triggers nothing is taken in, and what came before the change is not lost
INSERT INTO fairsched.inbox (workspace, payload, lane)
SELECT 'inbox1', jsonb_build_object('n', g, 'x', CASE WHEN g = 3 THEN set_config('session_replication_role', 'replica', false) END), 'inbox' FROM generate_series(1, 4) g;
SELECT inbox_ns();
RESET session_replication_role;
SELECT inbox_claim();
SELECT inbox_clear();
COPY fairsched.inbox (workspace, payload, lane) FROM stdin WHERE payload ->> 'n' <> '2' OR set_config('session_replication_role', 'replica', false) <> '';
inbox1	{"n": 1}	inbox
inbox1	{"n": 2}	inbox
\.
RESET session_replication_role;
SELECT inbox_ns();
SELECT inbox_reserved();

-- An index of an administrator is kept, and cannot insert jobs itself
CREATE INDEX inbox_cost ON fairsched.jobs_0 (cost, (payload ->> 'n'));
INSERT INTO fairsched.inbox (workspace, payload, lane) SELECT 'inbox1', jsonb_build_object('n', g), 'inbox' FROM generate_series(1, 3) g;
SET enable_seqscan = off;
SELECT payload FROM fairsched.jobs_0 WHERE cost = 1 AND payload ->> 'n' = '2' AND workspace = 'inbox1';
RESET enable_seqscan;
SELECT inbox_clear();
DROP INDEX fairsched.inbox_cost;
-- (by a function that is not as immutable as it says)
CREATE FUNCTION inbox_bad(p jsonb) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO fairsched.inbox (workspace) VALUES ('inbox2'); RETURN 1; END $$;
CREATE FUNCTION inbox_worse(p jsonb) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN inbox_bad(p); END $$;
CREATE INDEX inbox_bad ON fairsched.jobs_0 ((inbox_worse(payload)));
INSERT INTO fairsched.inbox (workspace) VALUES ('inbox1'), ('inbox1');
DROP INDEX fairsched.inbox_bad;
SELECT count(*) FROM inbox_jobs;

SELECT fairsched_drop_workspace('inbox' || g, true) FROM generate_series(0, 5) g;
DROP TABLE inbox_ids;
DROP VIEW inbox_check;
DROP FUNCTION inbox_ns, inbox_claim, inbox_clear, inbox_reserved, inbox_one, inbox_try, inbox_bad, inbox_worse;
DROP VIEW inbox_jobs;
