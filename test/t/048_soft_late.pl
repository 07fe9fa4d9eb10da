# Claims that write nothing: a job can be seen as it is after its lease before memory knows that the lease is over.
# Whatever makes the job ready in between, it is claimed again.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.durable_claims' => 'off' });
my $file = $node->basedir . '/late';

$node->safe_psql('postgres',
  q{CREATE FUNCTION late_commit(text) RETURNS void LANGUAGE c AS '$libdir/fairsched_test_late'});

my $holder = fs_session($node);

# the first dead letter of a day makes the table they are in, locked until its transaction is over
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('acme')});
$node->safe_psql('postgres', q{SELECT fairsched_fail(job_id, token, 'x', discard => true) FROM fairsched_claim('w')});

# late: the session does this and commits, which others can see; its lease is still in memory
sub late
{
  my ($sql, $seen) = @_;

  append_to_file($file, 'wait');
  $holder->ask("BEGIN; SELECT late_commit('$file'); $sql");
  $holder->start("COMMIT");
  ok($node->poll_query_until('postgres', "SELECT $seen"), 'its work can be seen');
}

foreach my $case (
  [ 'a retry that is due at once', q{SELECT fairsched_fail(job_id, token, 'x', retry_in => '0 s')}, 'promoted' ],
  [ 'a retry that is brought forward', q{SELECT fairsched_fail(job_id, token, 'x', retry_in => '1 h')}, 'fairsched_reschedule' ],
  [ 'a dead letter that is retried', q{SELECT fairsched_fail(job_id, token, 'x', discard => true)}, 'fairsched_retry' ])
{
  my ($name, $end, $again) = @$case;
  my $seen = $again eq 'fairsched_retry' ? q{count(*) = 0 FROM fairsched.jobs WHERE lane = 'default'}
    : q{count(*) = 1 FROM fairsched.jobs WHERE lane = 'default' AND (state = 'retryable' OR (state = 'available' AND attempt = 1))};
  my $job = $node->safe_psql('postgres', q{SELECT job_id FROM fairsched_enqueue('acme', max_attempts => 5)});
  my $other = fs_session($node);

  is($holder->ask("SELECT count(*) FROM fairsched_claim('w', lease => '1 h')"), 1, "$name: the job is claimed");
  late("$end FROM fairsched.running_jobs;", $seen);
  # the scheduler is told of the next one that is due, and takes them all
  $node->safe_psql('postgres', q{SELECT fairsched_enqueue('other', lane => 'other', run_at => now() + interval '1 ms')})
    if $again eq 'promoted';
  $other->start("SELECT $again($job" . ($again eq 'fairsched_reschedule' ? ', now()' : '') . ')')
    unless $again eq 'promoted';
  # a claim that comes by now finds nothing, and does not spoil what comes later
  is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('v', max_wait => '100 ms')}), 0,
    'it is not to be had yet');
  unlink $file;
  $holder->finish;
  $other->finish unless $again eq 'promoted';
  my ($got) = fs_claim_until($node, q{'v', lease => '1 h'});
  is($got, $job, 'it is claimed again');
  is($node->safe_psql('postgres', 'SELECT bool_and(fairsched_complete(job_id, token)) FROM fairsched.running_jobs'),
    't', 'and done');
  $other->quit;
}
fs_check_ok($node, 'counters equal the rows');
$node->stop;
done_testing();
