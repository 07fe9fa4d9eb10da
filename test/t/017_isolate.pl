# fairsched_isolate_workspace while producers and workers are at it: nothing lost, doubled or out of
# order, and the workspace is served while its backlog moves.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.max_own_tables' => 10, 'fairsched.default_quota' => 1000 });
my $stop = $node->basedir . '/stop';

$node->safe_psql('postgres', q{
  CREATE SEQUENCE hot_n;
  CREATE TABLE served (at bigserial, workspace text, n bigint);
  CREATE TABLE marks (at bigint, what text);
  -- the oldest job is claimed before the move and completed after it
  SELECT fairsched_enqueue('hot', jsonb_build_object('n', nextval('hot_n')));
  CREATE TABLE held AS SELECT * FROM fairsched_claim('holder', 1, lease => '10 min');
  SELECT count(*) FROM fairsched_enqueue_many('hot',
    (SELECT array_agg(jsonb_build_object('n', nextval('hot_n'))) FROM generate_series(1, 20000)));
  SELECT count(*) FROM fairsched_enqueue_many('calm',
    (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 20000) n));
  SELECT fairsched_enqueue('hot', '{"n": 0}', unique_key => 'one', lane => 'side');
  SELECT fairsched_enqueue('hot', '{"n": 0}', run_at => now() + interval '1 day', lane => 'side');
});
is($node->safe_psql('postgres', q{SELECT count(DISTINCT job_table) FROM fairsched.jobs}), '1',
  'everything is in the shared table');

# One producer and one worker for the hot workspace, so that its order is defined; others for calm.
my $serve = q{
BEGIN;
CREATE TEMP TABLE got ON COMMIT DROP AS
  SELECT * FROM fairsched_claim(max_jobs => 4, lease => '10 min') WITH ORDINALITY;
INSERT INTO served (workspace, n)
  SELECT workspace, (payload->>'n')::bigint FROM got
  WHERE fairsched_complete(job_id, token) ORDER BY ordinality;
COMMIT;
};
my @load = (
  fs_pgbench($node, { qq{SELECT fairsched_enqueue('hot', jsonb_build_object('n', nextval('hot_n')));} => 1 },
    forever => $stop, transactions => 100),
  fs_pgbench($node, { $serve => 1 }, forever => $stop, transactions => 50));
ok($node->poll_query_until('postgres', q{SELECT count(*) > 100 FROM served WHERE workspace = 'hot'}),
  'the hot workspace is being served');

$node->safe_psql('postgres', q{
  INSERT INTO marks SELECT max(at), 'begin' FROM served;
  SELECT fairsched_isolate_workspace('hot');
  INSERT INTO marks SELECT max(at), 'end' FROM served});
is($node->safe_psql('postgres', q{SELECT own_table FROM fairsched.workspace_status
  WHERE workspace = 'hot'}), 't', 'isolated');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT j.job_table)
  FROM fairsched.jobs j WHERE workspace = 'hot'}), '1', 'its jobs are in one table');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.jobs
  WHERE workspace = 'hot' AND job_table = 0}), '0', 'which is not the shared one');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.jobs
  WHERE workspace = 'calm' AND job_table <> 0}), '0', 'where the other workspace stays');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM served WHERE workspace = 'hot'
  AND at BETWEEN (SELECT at FROM marks WHERE what = 'begin') AND (SELECT at FROM marks WHERE what = 'end')}),
  '>', 0, 'it was served meanwhile');

my $now = $node->safe_psql('postgres', 'SELECT max(at) FROM served');
ok($node->poll_query_until('postgres', qq{SELECT count(*) > 100 FROM served
  WHERE workspace = 'hot' AND at > $now}), 'and goes on being served');
append_to_file($stop, 'now');
ok(fs_finish($_), 'no client met an error') foreach @load;

# What was known before is known after.
is($node->safe_psql('postgres', 'SELECT state FROM held, fairsched_job_status(held.job_id)'),
  'running', 'an id of before leads to its job');
is($node->safe_psql('postgres', 'SELECT directive FROM held,
  fairsched_heartbeat(ARRAY[held.job_id], ARRAY[held.token], interval \'10 min\')'), 'continue',
  'a job that ran during the move still runs');
is($node->safe_psql('postgres', 'SELECT fairsched_complete(job_id, token) FROM held'), 't',
  'and can be completed');
is($node->safe_psql('postgres', q{SELECT is_duplicate FROM fairsched_enqueue('hot',
  unique_key => 'one')}), 't', 'a unique key of before still holds');
fs_check_ok($node, 'fairsched_check finds nothing');

# Serve the rest, by several workers.
my $rest = 1;
foreach (1 .. 20)
{
  $rest &&= fs_finish(fs_pgbench($node, { $serve =~ s/max_jobs => 4/max_jobs => 500/r => 1 }, clients => 3, transactions => 60));
  last if $node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.jobs WHERE state = 'available' AND lane = 'default'}) == 0;
}
ok($rest, 'the rest is served');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.jobs WHERE state = 'available'
  AND lane = 'default'}), '0', 'completely');
my $last = $node->safe_psql('postgres', q{SELECT last_value FROM hot_n});
is($node->safe_psql('postgres', q{SELECT workspace, count(*), count(DISTINCT n), max(n) FROM served
  GROUP BY workspace ORDER BY workspace}),
  "calm|20000|20000|20000\nhot|" . ($last - 1) . '|' . ($last - 1) . "|$last",
  'every job was served once');

# One worker, one producer: while these ran the order is that of the enqueues.
is($node->safe_psql('postgres', qq{SELECT count(*) FROM (SELECT workspace, n,
    lag(n) OVER (PARTITION BY workspace ORDER BY at) AS before FROM served
    WHERE at <= $now) s WHERE n < before}), '0', 'in the order in which they were enqueued');
is($node->safe_psql('postgres', q{SELECT fairsched_drop_workspace('hot', true);
  SELECT count(*) FROM fairsched.jobs WHERE workspace = 'hot'}) =~ /0$/, 1,
  'it can be dropped with what is left');

# Two queues: while the large one is being copied, the small one is served faster than it was ever kept
# ready for; none of its young jobs comes before an old one that is on its way to the other table.
$node->safe_psql('postgres', q{
  TRUNCATE served; ALTER SEQUENCE hot_n RESTART;
  SELECT count(*) FROM fairsched_enqueue_many('two',
    (SELECT array_agg(jsonb_build_object('n', nextval('hot_n'))) FROM generate_series(1, 8000)), lane => 'quick');
  SELECT count(*) FROM fairsched_enqueue_many('two',
    (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 60000) n), lane => 'slow')});
unlink $stop;
my $quick = $serve =~ s/max_jobs => 4/max_jobs => 100, lanes => '{quick}'/r;
@load = (
  fs_pgbench($node, { qq{SELECT fairsched_enqueue('two', jsonb_build_object('n', nextval('hot_n')), lane => 'quick');} => 1 },
    forever => $stop, transactions => 100),
  fs_pgbench($node, { $quick => 1 }, forever => $stop, transactions => 1000));
ok($node->poll_query_until('postgres', q{SELECT count(*) > 100 FROM served}), 'the quick queue is being served');
$node->safe_psql('postgres', q{SELECT fairsched_isolate_workspace('two')});
$now = $node->safe_psql('postgres', q{SELECT coalesce(max(n), 0) FROM served});
ok($node->poll_query_until('postgres', qq{SELECT count(*) > 0 FROM served WHERE n > 8000 AND n > $now}),
  'and serves jobs that came later');
append_to_file($stop, 'now');
ok(fs_finish($_), 'no client met an error') foreach @load;
is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT n, lag(n) OVER (ORDER BY at) AS before FROM served) s
    WHERE n < before}), '0', 'in the order in which they were enqueued');
is($node->safe_psql('postgres', q{SELECT count(*) - count(DISTINCT n), count(*) + (SELECT count(*) FROM fairsched.jobs
    WHERE workspace = 'two' AND lane = 'quick') - (SELECT last_value FROM hot_n) FROM served}), '0|0', 'none twice, none lost');
is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT job_table), min(job_table) > 0 FROM fairsched.jobs
    WHERE workspace = 'two' AND lane = 'slow'}), '60000|1|t', 'and the other queue has moved');
fs_check_ok($node, 'fairsched_check finds nothing');

$node->stop;
done_testing();
