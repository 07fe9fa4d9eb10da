# pg_dump and restore: own tables, backlog, history and settings come back without an error, what ran
# is available again, and new jobs get new ids.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.completed_retention' => "'1d'" });
my $bin = $node->config_data('--bindir');
my @connect = ('-h', $node->host, '-p', $node->port);

$node->safe_psql('postgres', q{
  SELECT fairsched_create_workspace('acme', tier => 'scale', max_running => 7, own_table => true);
  SELECT fairsched_create_workspace('empty', own_table => true);
  SELECT fairsched_create_workspace('beta', quota_class => 'enterprise', max_running => 20,
    max_queue_size => 99,
    own_table => false);
  SELECT fairsched_create_workspace('still', own_table => false);
  SELECT fairsched_pause_workspace('still');
  SELECT fairsched_enqueue_many('acme', array_agg(jsonb_build_object('n', i)), kind => 'sign',
    priority => 'P1') FROM generate_series(1, 40) i;
  SELECT fairsched_enqueue_many('beta', array_agg(jsonb_build_object('n', i)))
    FROM generate_series(1, 40) i;
  SELECT fairsched_enqueue('beta', '{"odd": "a''b\\\\c\td"}', unique_key => 'once', run_id => 'r1');
  SELECT fairsched_enqueue('still');
  SELECT fairsched_enqueue('acme', run_at => now() + interval '1 day', capabilities => '{gpu}');
});
# Limits, what is used of them, and violations: a workspace without jobs.
$node->safe_psql('postgres', q{
  SELECT fairsched_set_quota('lim', 'cpu', 2.5), fairsched_set_quota('lim', 'memory', 4, 1, '10 min'),
    fairsched_set_quota('lim', 'tokens', 1000), fairsched_set_quota('lim', 'cost', NULL), fairsched_set_quota('lim', 'storage', 50);
  SELECT fairsched_set_rate_limit('lim', 7, '1 hour', '5 s'), fairsched_set_throttle('lim', true, 0.8, '1 hour', '{tokens,storage}');
  SELECT fairsched_record_usage('lim', 'tokens', 850, 77, 'r7'), fairsched_record_usage('lim', 'cost', 12.345678),
    fairsched_record_usage('lim', 'storage', 20), fairsched_record_usage('unlimited', 'cost', 3);
  SELECT fairsched_enforce_quota('lim', 'cpu', 3, 78, 'r8')});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM fairsched.quota_violations
  WHERE resolved_at IS NOT NULL OR action = 'throttle'}), 'violations are written, and one is resolved');

# Samples of fairness, of several days.
$node->safe_psql('postgres', q{
  SELECT fairsched.make_day_partition('fairness_samples', (now() AT TIME ZONE 'UTC')::date - d) FROM generate_series(-1, 3) d;
  INSERT INTO fairsched.fairness_samples (sampled_at, scope, workspace, seconds, entitled, competed, served, lacking, tolerance, running)
    SELECT now() - d * interval '1 day', 'workspace', 'acme', 60, d, d, d, 0, 1, 0 FROM generate_series(0, 3) d});
# One of each end, in the own and in the shared table; and some that run.
$node->safe_psql('postgres', q{
  CREATE TEMP TABLE c AS SELECT *, row_number() OVER (PARTITION BY workspace ORDER BY job_id) AS n
    FROM fairsched_claim('w', 100, lease => '10 min');
  SELECT fairsched_complete(job_id, token, '{"sum": 1}') FROM c WHERE n = 1;
  SELECT fairsched_fail(job_id, token, 'broken', discard => true) FROM c WHERE n = 2;
  SELECT fairsched_fail(job_id, token, 'again', retry_in => '1 day') FROM c WHERE n = 3;
  SELECT fairsched_cancel(min(job_id)) FROM fairsched.jobs WHERE state = 'available'
    AND workspace = 'beta';
});

my $jobs = q{SELECT job_id, workspace, lane, kind, priority, cost, attempt, max_attempts,
    CASE WHEN state = 'running' THEN 'available' ELSE state END,
    date_trunc('second', run_at), created_at, payload, run_id
  FROM fairsched.jobs ORDER BY job_id};
my $history = q{SELECT job_id, workspace, state, attempt FROM fairsched.job_history ORDER BY job_id};
my $dead = q{SELECT * FROM fairsched.dead_letters ORDER BY job_id};
my $workspaces = q{SELECT workspace, tier, quota_class, weight, quantum, max_running, paused,
  own_table FROM fairsched.workspace_status ORDER BY workspace};
my $samples = q{SELECT tableoid::regclass, * FROM fairsched.fairness_samples WHERE workspace = 'acme' AND entitled >= 0 AND seconds = 60 ORDER BY sampled_at};
my @limits = (
  [ 'samples of fairness', $samples ],
  [ 'quotas', q{SELECT * FROM fairsched.workspace_quotas ORDER BY 1, 2} ],
  [ 'rate limits', q{SELECT * FROM fairsched.workspace_rate_limits ORDER BY 1} ],
  [ 'throttles', q{SELECT * FROM fairsched.workspace_throttles ORDER BY 1} ],
  [ 'levels', q{SELECT * FROM fairsched.workspace_levels ORDER BY 1, 2} ],
  [ 'usage', q{SELECT * FROM fairsched.workspace_usage ORDER BY 1} ],
  [ 'violations', q{SELECT * FROM fairsched.quota_violations ORDER BY 1} ]);
my $in_use = q{SELECT workspace, resource, used, quota, burst, throttled_until IS NOT NULL FROM fairsched.workspace_usage_current
  WHERE workspace IN ('lim', 'unlimited') ORDER BY 1, 2};
my %before = map { $_ => $node->safe_psql('postgres', $_) } $in_use, (map { $_->[1] } @limits), $jobs, $history, $dead, $workspaces;
my $ran = $node->safe_psql('postgres', q{SELECT job_id FROM fairsched.jobs
  WHERE state = 'running' ORDER BY job_id});
my $live = $node->safe_psql('postgres', 'SELECT count(*) FROM fairsched.jobs');

cmp_ok(scalar(split /\n/, $ran), '>', 5, 'some jobs run');
cmp_ok(scalar(split /\n/, $before{$history}), '>=', 5, 'some have ended');

# Both formats, while jobs run and the scheduler is alive.
my $dir = $node->basedir;
command_ok([ "$bin/pg_dump", @connect, '-Fc', '-f', "$dir/dump.custom", 'postgres' ], 'pg_dump -Fc');
command_ok([ "$bin/pg_dump", @connect, '-Fp', '-f', "$dir/dump.sql", 'postgres' ], 'pg_dump -Fp');
command_ok([ "$bin/pg_dump", @connect, '-Fd', '-f', "$dir/dump.dir", '-j', 2, 'postgres' ],
  'pg_dump -Fd');

my %restore = (
  custom   => [ "$bin/pg_restore", @connect, '--exit-on-error', '-d', 'custom', "$dir/dump.custom" ],
  parallel => [ "$bin/pg_restore", @connect, '--exit-on-error', '-j', 2, '-d', 'parallel',
    "$dir/dump.dir" ],
  plain    => [ "$bin/psql", @connect, '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'plain', '-f',
    "$dir/dump.sql" ]);

foreach my $db (sort keys %restore)
{
  $node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
  command_ok($restore{$db}, "$db: restored without an error");

  is($node->safe_psql($db, $_->[1]), $before{ $_->[1] }, "$db: $_->[0]")
    foreach [ 'jobs are the same', $jobs ], [ 'history is the same', $history ],
    [ 'dead letters are the same', $dead ], [ 'workspaces are the same', $workspaces ],
    map { [ "$_->[0] are the same", $_->[1] ] } @limits;
  ok($node->poll_query_until($db, $in_use, $before{$in_use}), "$db: and so is what is in use, as the gates know it");
  # the scheduler takes restored tables over as soon as they are complete
  ok($node->poll_query_until($db, q{SELECT count(*) = 0 FROM fairsched.jobs WHERE state = 'running'}),
    "$db: what ran is available again");
  ok($node->poll_query_until($db, q{SELECT sum(running) FROM fairsched.workspace_status}, '0'),
    "$db: and holds nothing");
  is($node->safe_psql($db, q{SELECT is_duplicate FROM fairsched_enqueue('beta',
    unique_key => 'once')}), 't', "$db: a unique key is still taken");

  my ($max) = $node->safe_psql($db, q{SELECT max(id & ((1::bigint << 41) - 1))
    FROM (SELECT job_id FROM fairsched.jobs UNION ALL SELECT job_id FROM fairsched.job_history) j(id)});
  cmp_ok($node->safe_psql($db, q{SELECT job_id & ((1::bigint << 41) - 1)
    FROM fairsched_enqueue('acme')}), '>', $max, "$db: a new job has a new id");
  is($node->safe_psql($db, q{SELECT fairsched_complete(job_id, 1) FROM fairsched.jobs
    WHERE job_id = } . (split /\n/, $ran)[0]), 'f', "$db: no token of before is good");

  $node->safe_psql($db, q{SELECT fairsched_record_usage('lim', 'cost', 1)});
  is($node->safe_psql($db, q{SELECT count(*), count(DISTINCT usage_id) FROM fairsched.workspace_usage}), '5|5',
    "$db: usage has new numbers");

  # Everything can be claimed, by the rules that were set.
  $node->safe_psql($db, q{CREATE TABLE got AS
    SELECT * FROM fairsched_claim('w', 1000, lease => '10 min')});
  is($node->safe_psql($db, q{SELECT count(*) FROM got WHERE workspace = 'acme'}), '7',
    "$db: the ceiling that was set holds");
  is($node->safe_psql($db, q{SELECT count(*) FROM got WHERE workspace = 'still'}), '0',
    "$db: a paused workspace stays paused");
  is($node->safe_psql($db, q{SELECT bool_and(attempt = 2) FROM got
      WHERE job_id IN (} . join(',', split /\n/, $ran) . ')'), 't',
    "$db: what ran is on its second attempt");
  fs_check_ok($node, "$db: fairsched_check finds nothing", $db);
  ok(fs_wait_scheduler($node, $db), "$db: a scheduler comes");
}

# A restored database can be dumped and restored again.
command_ok([ "$bin/pg_dump", @connect, '-Fc', '-f', "$dir/again.custom", 'custom' ], 'dumped again');
$node->safe_psql('postgres', 'CREATE DATABASE again TEMPLATE template0');
command_ok([ "$bin/pg_restore", @connect, '--exit-on-error', '-d', 'again', "$dir/again.custom" ],
  'restored again');
is($node->safe_psql('again', 'SELECT count(*) FROM fairsched.jobs'), $live + 1,
  'with all jobs and the new one');

$node->stop;
done_testing();
