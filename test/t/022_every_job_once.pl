# Every job that was committed ends exactly once, whatever its workers do: complete, fail, release, let
# the lease run out, checkpoint, cancel, retry, with rollbacks and killed sessions in between.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = fs_node('main', conf => { max_connections => 60, log_min_messages => 'error',
  'fairsched.completed_retention' => "'1d'" });
my $stop = $node->basedir . '/stop';
my $seconds = 6;

$node->safe_psql('postgres', q{
  SELECT fairsched_create_workspace('own', max_running => 40);
  CREATE TABLE born (job_id bigint PRIMARY KEY);
  CREATE TABLE ended (job_id bigint, how text);
  CREATE TABLE claimed (job_id bigint, token bigint, attempt int);
});

my $some = "\\set n random(1, 5)\n\\set w random(1, 4)\n";
my $enqueue = q{INSERT INTO born SELECT job_id FROM fairsched_enqueue(
  CASE WHEN :w = 1 THEN 'own' ELSE 'shared' || :w END, priority => 'P' || (:n % 4),
  max_attempts => 3, lane => CASE WHEN :n = 5 THEN 'side' ELSE 'default' END,
  run_at => CASE WHEN :n = 4 THEN clock_timestamp() + interval '200 ms' ELSE clock_timestamp() END);};
my $claim = q{CREATE TEMP TABLE got ON COMMIT DROP AS SELECT * FROM fairsched_claim('w' || :client_id,
    :n, lease => '700 ms', lanes => '{default,side}');
  INSERT INTO claimed SELECT job_id, token, attempt FROM got;};
my $end_by = sub { my ($how, $call) = @_;
  return "INSERT INTO ended SELECT job_id, '$how' FROM got WHERE $call;" };
my $complete = $end_by->('completed', 'fairsched_complete(job_id, token)');
my $fail = $end_by->('discarded',
  q{fairsched_fail(job_id, token, 'x', retry_in => '1 ms') = 'discarded'});
my $discard = $end_by->('discarded',
  q{fairsched_fail(job_id, token, 'x', discard => true) = 'discarded'});

my %steady = (
  "$some$enqueue" => 6,
  "${some}BEGIN;\n$enqueue\nROLLBACK;\n" => 1,
  "${some}BEGIN;\nSAVEPOINT a;\n$enqueue\nROLLBACK TO a;\n$enqueue\nCOMMIT;\n" => 1,
  "${some}BEGIN;\n$claim\n$complete\nCOMMIT;\n" => 4,
  "${some}BEGIN;\n$claim\n$complete\nROLLBACK;\n" => 1,
  "${some}BEGIN;\n$claim\nSAVEPOINT a;\n$complete\nROLLBACK TO a;\n$fail\nCOMMIT;\n" => 1,
  "${some}BEGIN;\n$claim\n$fail\nCOMMIT;\n" => 2,
  "${some}BEGIN;\n$claim\n$discard\nCOMMIT;\n" => 1,
  "${some}BEGIN;\n$claim\nSELECT fairsched_release(job_id, token) FROM got;\nCOMMIT;\n" => 1,
  # claims that are forgotten: their leases run out
  "${some}BEGIN;\n$claim\nCOMMIT;\n" => 1,
  # a claim, a pause, an end in another transaction: by then the lease may be gone
  qq{${some}CREATE TEMP TABLE IF NOT EXISTS mine (job_id bigint, token bigint);
DELETE FROM mine;
INSERT INTO mine SELECT job_id, token FROM fairsched_claim('l' || :client_id, 2, lease => '100 ms');
INSERT INTO claimed SELECT job_id, token, NULL FROM mine;
SELECT pg_sleep(0.001 * :n * :n * :n);
INSERT INTO ended SELECT job_id, 'completed' FROM mine WHERE fairsched_complete(job_id, token);
} => 3,
  # somebody cancels
  qq{BEGIN;
CREATE TEMP TABLE c ON COMMIT DROP AS SELECT job_id FROM born ORDER BY random() LIMIT 1;
INSERT INTO ended SELECT job_id, 'cancelled' FROM c WHERE fairsched_cancel(job_id);
COMMIT;
} => 1);
my %victim = (
  "${some}BEGIN;\n$enqueue\n$claim\nSELECT pg_sleep(0.01);\n$complete\nSELECT pg_sleep(0.01);\nCOMMIT;\n" => 1);

my @load = (fs_pgbench($node, \%steady, clients => 12, time => 3, forever => $stop));
my @victims = map { fs_pgbench($node, \%victim, time => 1, forever => $stop, app => 'victim') }
  1 .. 4;
my $killer = fs_session($node);
# Some seconds, and more on a slow machine until enough has happened to mean something.
my $end = time + $seconds;
my $deadline = time + 0.75 * $PostgreSQL::Test::Utils::timeout_default;
while (time < $end || (time < $deadline && $killer->ask(q{SELECT (SELECT count(*) FROM born) <= 500
    OR (SELECT count(*) FROM ended WHERE how = 'completed') <= 200}) eq 't'))
{
  $killer->ask(q{SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid
    FROM pg_stat_activity, pg_sleep(0.05) WHERE application_name = 'victim' AND xact_start IS NOT NULL
    ORDER BY random() LIMIT 1) v});
}
append_to_file($stop, 'now');
ok(fs_finish($_), 'no client met an error') foreach @load;
$_->{handle}->finish foreach @victims;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity
  WHERE application_name IN ('victim', 'pgbench')}), 'all clients are gone');

# Let go what is still held, and finish everything.
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM fairsched.running_jobs}),
  'forgotten leases run out');
$node->safe_psql('postgres', q{SELECT count(fairsched_reschedule(job_id, now())) FROM fairsched.jobs
  WHERE state IN ('scheduled', 'retryable')});
my $drained = join ',', map { "($_)" } fs_drain_all($node, 'postgres',
  q{worker => 'd', max_jobs => 1000, lanes => '{default,side}'});
$node->safe_psql('postgres', "INSERT INTO ended SELECT i, 'completed' FROM (VALUES $drained) v(i)")
  if $drained;
is($node->safe_psql('postgres', 'SELECT count(*) FROM fairsched.jobs'), '0', 'no job is left');

# Leases that ran out on the last attempt end by the scheduler's hand: only the history knows.
my $born = $node->safe_psql('postgres', 'SELECT count(*) FROM born');
cmp_ok($born, '>', 500, "$born jobs were born");
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM ended WHERE how = 'completed'}), '>', 200,
  'many were completed');
is($node->safe_psql('postgres', q{SELECT count(*) FROM born LEFT JOIN fairsched.job_history h
  USING (job_id) WHERE h.job_id IS NULL}), '0', 'each of them is in the history');
is($node->safe_psql('postgres', q{SELECT count(*) - count(DISTINCT job_id) FROM fairsched.job_history}),
  '0', 'once');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.job_history LEFT JOIN born b
  USING (job_id) WHERE b.job_id IS NULL}), '0', 'and nothing that was rolled back');
is($node->safe_psql('postgres', q{SELECT count(*) - count(DISTINCT job_id) FROM ended}), '0',
  'no job was ended twice');
is($node->safe_psql('postgres', q{SELECT count(*) FROM ended e JOIN fairsched.job_history h
  USING (job_id) WHERE h.state <> e.how}), '0', 'each ended as its worker was told');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.job_history h
  LEFT JOIN ended e USING (job_id) WHERE e.job_id IS NULL AND h.state <> 'discarded'}), '0',
  'only leases that ran out too often ended without a worker');
is($node->safe_psql('postgres', q{SELECT count(*) - count(DISTINCT (job_id, token)) FROM claimed}), '0',
  'no claim gave a token of before');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.job_history WHERE attempt > max_attempts}),
  '0', 'no job had more attempts than it may');
ok($node->poll_query_until('postgres', 'SELECT coalesce(sum(running + coalesce(ready, 0) + coalesce(scheduled, 0)), 0)
  FROM fairsched.workspace_status', '0'), 'the counters are at zero');
fs_check_ok($node, 'fairsched_check finds nothing');

$node->stop;
done_testing();
