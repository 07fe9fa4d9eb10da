# Never over a ceiling: claims, completions, rollbacks, savepoints and killed sessions at once, while
# a sampler counts what is held.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = fs_node('main', conf => { max_connections => 60, log_min_messages => 'error' });
my $stop = $node->basedir . '/stop';
my $seconds = 6;

# held is what clients hold by their own books, changed in the transactions of the claims.
$node->safe_psql('postgres', q{
  CREATE TABLE ceiling (workspace text, n int);
  INSERT INTO ceiling VALUES ('one', 1), ('three', 3), ('eight', 8), ('shared', 5);
  SELECT fairsched_create_workspace(workspace, max_running => n, own_table => workspace <> 'shared')
    FROM ceiling;
  SELECT count(fairsched_enqueue_many(workspace, (SELECT array_agg('{}'::jsonb)
    FROM generate_series(1, CASE workspace WHEN 'one' THEN 4000 ELSE 15000 END)))) FROM ceiling;
  CREATE UNLOGGED TABLE held (job_id bigint PRIMARY KEY, workspace text, token bigint);
  CREATE UNLOGGED TABLE done (job_id bigint);
  CREATE UNLOGGED TABLE violation (what text, workspace text, n int);
  CREATE UNLOGGED TABLE sampled (n int);
  ALTER TABLE held SET (autovacuum_enabled = off);
  ALTER TABLE done SET (autovacuum_enabled = off);
});

my $take = q{INSERT INTO held SELECT job_id, workspace, token
  FROM fairsched_claim('w' || :client_id, :n, lease => '1 hour');};
my $give = q{WITH h AS (SELECT * FROM held ORDER BY random() LIMIT :n FOR UPDATE SKIP LOCKED),
    c AS MATERIALIZED (SELECT h.* FROM h WHERE fairsched_complete(h.job_id, h.token)),
    d AS (DELETE FROM held USING c WHERE held.job_id = c.job_id)
  INSERT INTO done SELECT job_id FROM c;};
my $n = "\\set n random(1, 6)\n";

my %steady = (
  "$n$take" => 4,
  "$n$give" => 5,
  "${n}BEGIN;\n$take\nROLLBACK;\n" => 2,
  "${n}BEGIN;\n$give\nROLLBACK;\n" => 1,
  "${n}BEGIN;\n$take\nSAVEPOINT a;\n$take\nROLLBACK TO a;\n$give\nCOMMIT;\n" => 2,
  "${n}BEGIN;\nSAVEPOINT a;\n$give\nSAVEPOINT b;\n$take\nRELEASE b;\nROLLBACK TO a;\n$take\nCOMMIT;\n" => 2,
  # finish and claim in one transaction, as a worker does
  "${n}BEGIN;\n$give\n$take\nCOMMIT;\n" => 3,
  # an error in a statement after a claim
  "${n}BEGIN;\n$take\nSAVEPOINT a;\n$take\nDO 'BEGIN BEGIN PERFORM fairsched_claim(); PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN NULL; END; END';\nROLLBACK;\n" => 1);
my %victim = (
  "${n}BEGIN;\n$take\nSELECT pg_sleep(0.01);\n$give\nSAVEPOINT a;\n$take\nSELECT pg_sleep(0.01);\nCOMMIT;\n" => 1);
my $sampler = q{
WITH s AS (
  SELECT 'held' AS what, workspace, count(*) AS n FROM held GROUP BY workspace
  UNION ALL
  SELECT 'rows', workspace, count(*) FROM fairsched.jobs WHERE state = 'running' GROUP BY workspace
  UNION ALL
  SELECT 'counter', workspace, running FROM fairsched.workspace_status)
INSERT INTO violation SELECT s.what, s.workspace, s.n FROM s JOIN ceiling c USING (workspace)
  WHERE s.n > c.n;
INSERT INTO sampled VALUES (1);
};

my @load = (
  fs_pgbench($node, \%steady, clients => 12, time => 3, forever => $stop),
  fs_pgbench($node, { $sampler => 1 }, time => 3, forever => $stop, app => 'sampler'));
my @victims = map { fs_pgbench($node, \%victim, clients => 1, time => 1, forever => $stop,
    app => 'victim') } 1 .. 4;

my $killer = fs_session($node);
my $kills = 0;
# Some seconds, and more on a slow machine until enough has happened to mean something.
my $end = time + $seconds;
my $deadline = time + 0.75 * $PostgreSQL::Test::Utils::timeout_default;
while (time < $end || (time < $deadline && ($kills <= 20 || $killer->ask(q{SELECT
    (SELECT count(*) FROM sampled) <= 100 OR (SELECT count(*) FROM done) <= 500}) eq 't')))
{
  # what is killed is inside a transaction, most of the time with claims in it
  $kills += $killer->ask(q{SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid
    FROM pg_stat_activity, pg_sleep(0.05) WHERE application_name = 'victim' AND xact_start IS NOT NULL
    ORDER BY random() LIMIT 1) v});
}
append_to_file($stop, 'now');
ok(fs_finish($_), 'no client met an error') foreach @load;
$_->{handle}->finish foreach @victims;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity
  WHERE application_name IN ('victim', 'pgbench')}), 'all clients are gone');

cmp_ok($kills, '>', 20, "$kills sessions were killed");
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM sampled'), '>', 100, 'many samples');
is($node->safe_psql('postgres', q{SELECT what, workspace, max(n), count(*) FROM violation
  GROUP BY 1, 2}), '', 'never over a ceiling');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM done'), '>', 500, 'many jobs were done');

# The books agree: the clients', the rows, the counters.
my $held = $node->safe_psql('postgres', q{SELECT c.workspace, count(h.job_id) FROM ceiling c
  LEFT JOIN held h USING (workspace) GROUP BY 1 ORDER BY 1});
is($node->safe_psql('postgres', q{SELECT c.workspace, count(j.job_id) FROM ceiling c
    LEFT JOIN fairsched.jobs j ON j.workspace = c.workspace AND (j.state = 'running'
      OR j.job_id IN (SELECT job_id FROM fairsched.running_jobs WHERE NOT durable))
    GROUP BY 1 ORDER BY 1}), $held, 'running rows are what clients hold');
is($node->safe_psql('postgres', q{SELECT c.workspace, w.running FROM ceiling c
    JOIN fairsched.workspace_status w USING (workspace) ORDER BY 1}), $held, 'so are the counters');
is($node->safe_psql('postgres', q{SELECT count(*) FROM held h JOIN fairsched.running_jobs r
  USING (job_id, token)}), $node->safe_psql('postgres', 'SELECT count(*) FROM held'),
  'and the leases, each with its token');
fs_check_ok($node, 'fairsched_check finds nothing');

# All slots can be had again: none leaked.
$node->safe_psql('postgres', q{INSERT INTO held SELECT job_id, workspace, token
  FROM fairsched_claim('last', 100, lease => '1 hour')});
is($node->safe_psql('postgres', q{SELECT workspace, count(*) FROM held GROUP BY 1 ORDER BY 1}),
  "eight|8\none|1\nshared|5\nthree|3", 'each ceiling is reached exactly');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('more', 100)}), '0',
  'and not passed');

# A ceiling that is changed takes effect on the next claim.
$node->safe_psql('postgres', q{SELECT fairsched_alter_workspace('three', max_running => 5)});
is($node->safe_psql('postgres', q{SELECT workspace, count(*)
  FROM fairsched_claim('more', 100, lease => '1 hour') GROUP BY 1}), 'three|2', 'raised by two: two more');
$node->safe_psql('postgres', q{SELECT fairsched_alter_workspace('three', max_running => 1);
  SELECT count(fairsched_release(job_id, token)) FROM fairsched.running_jobs WHERE worker = 'more'});
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('more', 100)}), '0',
  'lowered below what runs: nothing until it has come down');

# Every job once.
$node->safe_psql('postgres', q{INSERT INTO done SELECT job_id FROM held
  WHERE fairsched_complete(job_id, token)});
$node->safe_psql('postgres', 'SELECT fairsched_alter_workspace(workspace, max_running => 10000) FROM ceiling');
my @rest = fs_drain_all($node, 'postgres', q{worker => 'drainer', max_jobs => 5000});
is($node->safe_psql('postgres', 'SELECT count(*) - count(DISTINCT job_id) FROM done'), '0',
  'no job was done twice');
is($node->safe_psql('postgres', 'SELECT count(*) FROM done') + @rest, 49000, 'none was lost');
is($node->safe_psql('postgres', 'SELECT count(*) FROM fairsched.jobs'), '0', 'none is left');

$node->stop;
done_testing();
