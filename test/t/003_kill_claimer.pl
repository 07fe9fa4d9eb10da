# A backend that dies in the middle of a claim: terminated, and killed with -9.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main', conf => { restart_after_crash => 'on' });
my $running = q{SELECT running FROM fairsched.workspace_status WHERE workspace = 'acme'};

$node->safe_psql('postgres', q{
  SELECT fairsched_create_workspace('acme', max_running => 6);
  SELECT fairsched_enqueue_many('acme', array_agg('{}'::jsonb)) FROM generate_series(1, 12);
});

my @kept = fs_rows($node, q{SELECT job_id, token FROM fairsched_claim('keeper', 2,
  lease => '10 min')});
is(scalar(@kept), 2, 'two claimed for good');

# mid_claim: a session with claims in the main transaction, in a released and in an open savepoint.
sub mid_claim
{
  my $session = fs_session($node);

  $session->ask('BEGIN');
  $session->ask("SELECT fairsched_complete($kept[0][0], $kept[0][1])");
  $session->ask(q{SELECT count(*) FROM fairsched_claim('victim', 1)});
  $session->ask('SAVEPOINT a');
  $session->ask(q{SELECT count(*) FROM fairsched_claim('victim', 1)});
  $session->ask('RELEASE SAVEPOINT a');
  $session->ask('SAVEPOINT b');
  $session->ask(q{SELECT count(*) FROM fairsched_claim('victim', 1)});
  return $session;
}

my $victim = mid_claim();
is($node->safe_psql('postgres', $running), '5', 'open claims count');
is($node->safe_psql('postgres', q{BEGIN; SELECT count(*) FROM fairsched_claim('other', 10);
  ROLLBACK}), '1', 'so only one more fits below the ceiling');
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $victim->pid . ', 20000)');
ok($node->poll_query_until('postgres', $running, '2'), 'terminated: its slots come back');
$victim->gone;
is($node->safe_psql('postgres', q{BEGIN; SELECT count(*) FROM fairsched_claim('other', 10);
  ROLLBACK}), '4', 'terminated: all four free slots can be claimed');

$victim = mid_claim();
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
ok(fs_kill($node, $victim->pid), 'killed: the server is back');
$victim->gone;
is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started,
  'killed: by a crash restart of the same postmaster');
is($node->safe_psql('postgres', $running), '2', 'killed: the committed claims still run');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.running_jobs
  WHERE worker = 'victim'}), '0', 'killed: the open claims are gone');

is($node->safe_psql('postgres', q{CREATE TABLE more AS
    SELECT * FROM fairsched_claim('other', 10, lease => '10 min');
  SELECT count(*), count(DISTINCT job_id), max(attempt) FROM more}), '4|4|1',
  'killed: four fit, and what the victim held costs no attempt');
is($node->safe_psql('postgres', "SELECT count(*) FROM more WHERE job_id IN ($kept[0][0], $kept[1][0])"),
  '0', 'killed: what was claimed for good is not handed out again');

my %done;
foreach my $job (@kept, fs_rows($node, 'SELECT job_id, token FROM more'))
{
  $done{ $job->[0] }++
    if $node->safe_psql('postgres', "SELECT fairsched_complete($job->[0], $job->[1])") eq 't';
}
$done{$_}++ foreach fs_drain_all($node);
is(scalar(keys %done), 12, 'every job was done');
is((grep { $_ > 1 } values %done), 0, 'none twice');
fs_check_ok($node, 'fairsched_check finds nothing');

$node->stop;
done_testing();
