# The inbox: a COPY for many tables; sessions that insert, roll back and are cut off in mid-statement
# while workers take the jobs. What was committed is handed out once, in the order of the rows.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => { restart_after_crash => 'on', 'fairsched.default_quota' => 100000 });
my $dir = $node->basedir;

$node->safe_psql('postgres', q{
  SELECT fairsched_create_workspace('odd' || n, own_table => true) FROM generate_series(1, 29, 2) n;
  CREATE SEQUENCE numbers;
  CREATE TABLE made (job_id bigint);
  CREATE TABLE served (at bigserial, job_id bigint, workspace text, n bigint);
});

# Several batches, for one shared and 15 own tables
append_to_file("$dir/rows", join('',
    map { join("\t", ($_ % 2 ? 'odd' : 'even') . $_ % 30, qq({"n": $_}), 'copy') . "\n" } 1 .. 9000));
is($node->safe_psql('postgres', qq{\\copy fairsched.inbox (workspace, payload, lane) from '$dir/rows'
  SELECT count(DISTINCT job_table), count(*) FROM fairsched.jobs WHERE lane = 'copy'}), '16|9000',
  'COPY puts rows into the tables of their workspaces');
is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT payload->>'n'), count(DISTINCT workspace)
  FROM fairsched_claim('copied', 10000, lease => '1 h', lanes => '{copy}')}), '9000|9000|30',
  'all of them can be claimed, each once');
is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT token - lag(token) OVER
    (PARTITION BY workspace ORDER BY (payload->>'n')::int) AS step FROM fairsched.jobs WHERE lane = 'copy') s
  WHERE step <= 0}), '0', 'in the order of the rows');
fs_check_ok($node, 'after the COPY memory agrees with the rows');
$node->safe_psql('postgres', q{SELECT fairsched_complete(job_id, token) FROM fairsched.jobs WHERE lane = 'copy'});

# Producers whose statements end in every way, and workers
my $rows = q{SELECT 'load' || g % 9, jsonb_build_object('n', nextval('numbers')), 'load'
  FROM generate_series(1, 400) g};
my $into = 'INSERT INTO fairsched.inbox (workspace, payload, lane)';
my %producers = (
  qq{WITH i AS ($into $rows RETURNING job_id) INSERT INTO made SELECT job_id FROM i;} => 3,
  qq{BEGIN;\nWITH i AS ($into $rows RETURNING job_id) INSERT INTO made SELECT job_id FROM i;\nROLLBACK;} => 1,
  qq{BEGIN;\nSAVEPOINT a;\n$into $rows;\nROLLBACK TO a;
WITH i AS ($into $rows RETURNING job_id) INSERT INTO made SELECT job_id FROM i;
SAVEPOINT b;\n$into $rows;\nROLLBACK TO b;\nCOMMIT;} => 1,
  qq{DO \$\$ BEGIN $into $rows; $into VALUES ('load', '{}', ''); EXCEPTION WHEN OTHERS THEN NULL; END \$\$;} => 1);
my $worker = q{BEGIN;
CREATE TEMP TABLE got ON COMMIT DROP AS SELECT * FROM fairsched_claim(max_jobs => 100, lanes => '{load}', lease => '1 h');
INSERT INTO served (job_id, workspace, n)
  SELECT job_id, workspace, (payload->>'n')::bigint FROM got WHERE fairsched_complete(job_id, token);
COMMIT;};
my $stop = "$dir/stop";
my $workers = fs_pgbench($node, { $worker => 1 }, clients => 2, transactions => 5, forever => $stop);
ok(fs_finish(fs_pgbench($node, \%producers, clients => 4, transactions => 8)), 'no producer met an error');
ok($node->poll_query_until('postgres', 'SELECT count(*) >= (SELECT count(*) FROM made) FROM served'),
  'workers get as many jobs as were committed');
append_to_file($stop, 'now');
ok(fs_finish($workers), 'no worker met an error');
is($node->safe_psql('postgres', 'SELECT count(*) > 0 FROM made'), 't', 'there were some');
is($node->safe_psql('postgres', q{SELECT count(*) FROM made FULL JOIN served USING (job_id)
  WHERE made.job_id IS NULL OR served.job_id IS NULL}), '0', 'and these very ones');
is($node->safe_psql('postgres', 'SELECT count(*) - count(DISTINCT job_id) FROM served'), '0', 'none twice');
fs_check_ok($node, 'under load memory agrees with the rows');

# Cut off with rows collected and a batch written
$node->safe_psql('postgres', q{CREATE FUNCTION stop_here() RETURNS text LANGUAGE sql VOLATILE AS
  $$ SELECT pg_advisory_xact_lock(24)::text $$});
my $gate = fs_session($node);
$gate->ask('SELECT pg_advisory_lock(24)');

sub cut_off
{
  my $session = fs_session($node);

  $session->start(q{INSERT INTO fairsched.inbox (workspace, payload, lane)
    SELECT 'cut', jsonb_build_object('x', CASE WHEN g = 1500 THEN stop_here() END), 'cut' FROM generate_series(1, 2000) g});
  $node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted})
    or die 'it does not wait';
  return $session;
}

my $reserved = q{SELECT fairsched.workspace_memory('cut')};
my $victim = cut_off();
is($node->safe_psql('postgres', $reserved), '1499', 'rows that were taken in are reserved');
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $victim->pid . ', 20000)');
$victim->gone;
ok($node->poll_query_until('postgres', $reserved, '0'), 'terminated: nothing is reserved');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim(lanes => '{cut}')}), '0', 'nor there');
fs_check_ok($node, 'terminated: memory agrees with the rows');

$victim = cut_off();
ok(fs_kill($node, $victim->pid), 'killed: the server is back');
$victim->gone;
$gate->gone;
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim(lanes => '{cut}')}), '0', 'killed: nothing of it is there');
$node->safe_psql('postgres', q{INSERT INTO fairsched.inbox (workspace, lane) SELECT 'cut', 'cut' FROM generate_series(1, 1500)});
is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT job_id) FROM fairsched_claim('w', 10000, lanes => '{cut}')}),
  '1500|1500', 'killed: the inbox works');

$node->stop;
done_testing();
