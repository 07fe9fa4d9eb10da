# Failed jobs: backoff that grows, with jitter; the last attempt makes a dead letter; retry revives it.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.retry_base' => "'60 s'" });
my $claim = q{FROM fairsched_claim('w', 1, lease => '10 min')};

my $job = $node->safe_psql('postgres', q{SELECT job_id
  FROM fairsched_enqueue('acme', '{"n": 7}', max_attempts => 3)});

is($node->safe_psql('postgres', "SELECT fairsched_fail(job_id, token, 'first', retry_in => '1 hour') $claim"),
  'retryable', 'a failed job is retryable');
is($node->safe_psql('postgres', "SELECT count(*) $claim"), '0', 'not before its time');
is($node->safe_psql('postgres', "SELECT error FROM fairsched_job_status($job)"), 'first',
  'its status shows the error');
$node->safe_psql('postgres', "SELECT fairsched_reschedule($job, clock_timestamp() + interval '300 ms')");
my ($again, $token, $attempt) = fs_claim_until($node, q{'w', 1});
is("$again $attempt", "$job 2", 'then it comes again');
is($node->safe_psql('postgres', "SELECT fairsched_fail($job, $token, 'second', retry_in => '1 ms')"),
  'retryable', 'and fails again');
($again, $token, $attempt) = fs_claim_until($node, q{'w', 1});
is("$again $attempt", "$job 3", 'and again');
is($node->safe_psql('postgres', "SELECT fairsched_fail($job, $token, 'third')"), 'discarded',
  'the third of three attempts discards it');
is($node->safe_psql('postgres', "SELECT workspace, kind, payload, attempt,
    errors::text ~ 'first' AND errors::text ~ 'third', discarded_at <= now()
  FROM fairsched.dead_letters WHERE job_id = $job"), qq(acme|default|{"n": 7}|3|t|t),
  'the dead letter has all that happened');
is($node->safe_psql('postgres', 'SELECT count(*) FROM fairsched.jobs'), '0', 'and is no job any more');
is($node->safe_psql('postgres', "SELECT state FROM fairsched_job_status($job)"), 'discarded',
  'its status is found');

$node->safe_psql('postgres', "SELECT fairsched_retry($job)");
is($node->safe_psql('postgres', 'SELECT count(*) FROM fairsched.dead_letters'), '0', 'retried: no dead letter');
is($node->safe_psql('postgres', "SELECT state FROM fairsched_job_status($job)"), 'available',
  'retried: available, with its id');
is($node->safe_psql('postgres', "SELECT fairsched_complete(job_id, token) $claim"), 't',
  'retried: it can be done');

# A worker that gave a job away, in whatever manner, has no say any more, also before anybody else has
# claimed it: its token is stale. (One that only was late still has; see 012_lease_expiry.)
my %away = (
  fail    => q{fairsched_fail(job_id, token, 'x', retry_in => '1 ms') = 'retryable'},
  release => q{fairsched_release(job_id, token)},
  yield   => q{fairsched_yield(job_id, token, '{}')});
foreach my $how (sort keys %away)
{
  $node->safe_psql('postgres', qq{SELECT fairsched_create_workspace('$how');
    SELECT fairsched_enqueue('$how', lane => '$how')});
  ($job, $token) = @{ (fs_rows($node, qq{SELECT job_id, token FROM fairsched_claim('w', lanes => '{$how}')}))[0] };
  # paused, so that it stays available
  $node->safe_psql('postgres', qq{SELECT fairsched_pause_workspace('$how')});
  is($node->safe_psql('postgres', "SELECT $away{$how} FROM (VALUES ($job, $token)) v(job_id, token)"), 't',
    "$how: the job is given away");
  ok($node->poll_query_until('postgres', "SELECT state = 'available' FROM fairsched.jobs WHERE job_id = $job"),
    "$how: it is available again");
  is($node->safe_psql('postgres', "SELECT fairsched_complete($job, $token)"), 'f', "$how: complete says no");
  is($node->safe_psql('postgres', "SELECT fairsched_fail($job, $token, 'late')"), 'lost', "$how: fail says lost");
  is($node->safe_psql('postgres', "SELECT directive FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token])"),
    'lost', "$how: heartbeat says lost");
  is($node->safe_psql('postgres', qq{SELECT fairsched_resume_workspace('$how');
    SELECT fairsched_complete(job_id, token) FROM fairsched_claim('w', lanes => '{$how}')}) =~ /t$/, 1,
    "$how: another can have it");
}

# discard => true does not wait for the last attempt.
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('acme')});
is($node->safe_psql('postgres', "SELECT fairsched_fail(job_id, token, 'hopeless', discard => true) $claim"),
  'discarded', 'discard at the first attempt');

# Backoff: 20 jobs each after 1, 3 and 5 failures. Grows, is not all the same, is not absurd.
$node->safe_psql('postgres', q{SELECT fairsched_enqueue_many('many', array_agg('{}'::jsonb),
  lane => 'many') FROM generate_series(1, 20)});
my %delay;
foreach my $attempt (1 .. 5)
{
  $node->safe_psql('postgres', q{
    CREATE TEMP TABLE got AS SELECT * FROM fairsched_claim('w', 20, lanes => '{many}');
    SELECT count(fairsched_fail(job_id, token, 'x')) FROM got});
  $delay{$attempt} = [ map { $_->[0] } fs_rows($node, qq{
    SELECT round(extract(epoch FROM run_at - now()) * 1000) FROM fairsched.jobs
    WHERE workspace = 'many' AND attempt = $attempt AND state = 'retryable' ORDER BY 1}) ];
  is(scalar(@{ $delay{$attempt} }), 20, "attempt $attempt: 20 wait");
  $node->safe_psql('postgres', q{SELECT fairsched_reschedule(job_id, now()) FROM fairsched.jobs
    WHERE workspace = 'many'});
}
cmp_ok($delay{1}[0], '>', 0, 'the first backoff is in the future');
cmp_ok($delay{3}[10], '>', 2 * $delay{1}[10], 'the backoff of the third attempt is longer');
cmp_ok($delay{5}[10], '>', 2 * $delay{3}[10], 'and that of the fifth longer still');
my %distinct = map { $_ => 1 } @{ $delay{5} };
cmp_ok(scalar(keys %distinct), '>', 10, 'with jitter');
cmp_ok($delay{5}[-1], '<', 24 * 3600 * 1000, 'within a day');
fs_check_ok($node, 'fairsched_check finds nothing');

# The longest delay is not exceeded by the jitter, and has some.
$node->append_conf('postgresql.conf', "fairsched.retry_max = '40 s'");
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT current_setting('fairsched.retry_max') = '40s'}), 'another longest delay');
$node->safe_psql('postgres', q{SELECT fairsched_create_workspace('most', max_running => 100);
  SELECT fairsched_enqueue_many('most', array_fill('{}'::jsonb, ARRAY[100]), lane => 'most');
  CREATE TABLE most AS SELECT job_id, token FROM fairsched_claim('w', 100, lanes => '{most}');
  CREATE TABLE begun AS SELECT clock_timestamp() AS at;
  SELECT fairsched_fail_many(array_agg(job_id), array_agg(token), 'x') FROM most;
  CREATE TABLE ended AS SELECT clock_timestamp() AS at});
is($node->safe_psql('postgres', q{SELECT count(*), max(run_at) <= max(ended.at) + interval '40 s', min(run_at) < max(begun.at) + interval '35 s'
  FROM fairsched.jobs, begun, ended WHERE workspace = 'most'}), '100|t|t', 'holds, and not all wait for as long');

$node->stop;
done_testing();
