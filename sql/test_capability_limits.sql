-- Capabilities: what a token may be, how many, how long together; wherever they are given.
SET client_min_messages = warning;
\set VERBOSITY terse

CREATE FUNCTION cap_try(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE what;
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	RETURN format('%s %s', SQLSTATE, SQLERRM);
END
$$;
-- the same for all that take capabilities
CREATE FUNCTION cap_all(caps text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	call text;
	answers text[] = '{}';
BEGIN
	FOREACH call IN ARRAY ARRAY[
		'SELECT fairsched_enqueue(''cap'', lane => ''cap'', capabilities => %L::text[])',
		'SELECT fairsched_enqueue_many(''cap'', ARRAY[''{}''::jsonb], lane => ''cap'', capabilities => %L::text[])',
		'INSERT INTO fairsched.inbox (workspace, lane, capabilities) VALUES (''cap'', ''cap'', %L::text[])',
		'SELECT fairsched_register_worker(''cap'', %L::text[])',
		'SELECT fairsched_claim(''cap'', lanes => ''{cap_none}'', capabilities => %L::text[])'] LOOP
		answers := answers || cap_try(format(call, caps));
	END LOOP;
	RETURN QUERY SELECT a || CASE WHEN count(*) < 5 THEN format(' (%s of 5)', count(*)) ELSE '' END FROM unnest(answers) a GROUP BY a ORDER BY a;
END
$$;

-- What a token is made of
SELECT c.what, cap_all(ARRAY['gpu', c.token]) FROM (VALUES
	(1, 'letters', 'python-3.12'), (2, 'signs', 'a/b:c@d=e+f#g;h|i"j''k'), (3, 'other scripts', 'größe-大-😀'),
	(4, 'space', 'a b'), (5, 'space at the end', 'a '), (6, 'tab', E'a\tb'), (7, 'line feed', E'a\nb'), (8, 'carriage return', E'a\rb'),
	(9, 'control', E'a\x01'), (10, 'delete', E'a\x7f'), (11, 'comma', 'a,b'), (12, 'empty', ''),
	(13, 'next line', U&'a\0085b'), (14, 'C1 control', U&'a\009f'), (15, 'no-break space', U&'a\00a0b'), (16, 'em space', U&'a\2003b'),
	(17, 'line separator', U&'a\2028b'), (18, 'ideographic space', U&'a\3000b'), (19, 'byte order mark', U&'\feffa'),
	(20, '128 bytes', repeat('c', 128)), (21, '129 bytes', repeat('c', 129))) c(n, what, token) ORDER BY n;
SELECT cap_all('{a,NULL}');

-- How many: 64, repeats not counted
SELECT cap_all(ARRAY(SELECT 'c' || n FROM generate_series(1, 64) n));
SELECT cap_all(ARRAY(SELECT 'c' || n FROM generate_series(1, 65) n));
SELECT cap_all(ARRAY(SELECT 'c' || n % 64 FROM generate_series(1, 200) n));

-- How long together: 4096 bytes
SELECT cap_all(ARRAY(SELECT lpad(n::text, 128, 'c') FROM generate_series(1, 32) n));
SELECT cap_all(ARRAY(SELECT lpad(n::text, 128, 'c') FROM generate_series(1, 32) n) || 'c'::text);

-- The most that fits is required and found: by who has all of it, not by who lacks one
SELECT count(*) FROM (SELECT fairsched_cancel(job_id) FROM fairsched.jobs WHERE workspace = 'cap') c;
SELECT count(fairsched_enqueue('cap', lane => 'cap', capabilities => caps)) FROM (VALUES
	(ARRAY(SELECT 'c' || n FROM generate_series(1, 64) n)), (ARRAY(SELECT lpad(n::text, 128, 'c') FROM generate_series(1, 32) n))) c(caps);
SELECT fairsched_unregister_worker('cap') AS returned;
SELECT count(*) FROM fairsched_claim('cap_less', 10, lanes => '{cap}', capabilities => ARRAY(SELECT 'c' || n FROM generate_series(1, 63) n));
SELECT parked_reason, count(*) FROM fairsched.queue_status
	WHERE flow IN (SELECT flow FROM fairsched.jobs WHERE workspace = 'cap' AND state = 'available') GROUP BY 1 ORDER BY 1;
SELECT fairsched_register_worker('cap_all', ARRAY(SELECT 'c' || n FROM generate_series(1, 64) n));
SELECT parked_reason, count(*) FROM fairsched.queue_status
	WHERE flow IN (SELECT flow FROM fairsched.jobs WHERE workspace = 'cap' AND state = 'available') GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM fairsched_claim('cap_all', 10, lanes => '{cap}');
SELECT count(*) FROM fairsched_claim('cap_long', 10, lanes => '{cap}', capabilities => ARRAY(SELECT lpad(n::text, 128, 'c') FROM generate_series(1, 32) n));
SELECT count(fairsched_complete(job_id, token)) FROM fairsched.running_jobs WHERE workspace = 'cap';
SELECT fairsched_unregister_worker('cap_all') AS returned;
