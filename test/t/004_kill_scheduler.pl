# The scheduler worker comes back when it is terminated or killed, and due work is done.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main', conf => { restart_after_crash => 'on' });

# promotes: a job that is due in a moment gets ready, which is the worker's doing.
sub promotes
{
  my ($name) = @_;
  my $id = $node->safe_psql('postgres', q{SELECT job_id
    FROM fairsched_enqueue('acme', run_at => clock_timestamp() + interval '300 ms')});

  ok($node->poll_query_until('postgres',
      "SELECT state = 'available' FROM fairsched.jobs WHERE job_id = $id"), $name);
}

ok(fs_wait_scheduler($node), 'CREATE EXTENSION starts a scheduler');
my $first = fs_scheduler_pid($node);
promotes('it promotes a job that is due');

$node->safe_psql('postgres', "SELECT pg_terminate_backend($first)");
ok(fs_wait_scheduler($node, 'postgres', $first), 'terminated: another one comes');
promotes('terminated: and works');

my $second = fs_scheduler_pid($node);
$node->safe_psql('postgres', q{CREATE TABLE mine AS
  SELECT * FROM fairsched_claim('w', 1, lease => '10 min')});
ok(fs_kill($node, $second), 'killed: the server comes back');
ok(fs_wait_scheduler($node, 'postgres', $second), 'killed: another one comes');
promotes('killed: and works');
is($node->safe_psql('postgres', 'SELECT fairsched_complete(job_id, token) FROM mine'), 't',
  'killed: what ran still runs');

my $launcher = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity
  WHERE backend_type LIKE 'fairsched%' AND datname IS NULL});
like($launcher, qr/^\d+$/, 'one launcher, connected to no database');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)");
ok($node->poll_query_until('postgres', qq{SELECT count(*) = 1 AND bool_and(pid <> $launcher)
  FROM pg_stat_activity WHERE backend_type LIKE 'fairsched%' AND datname IS NULL}),
  'the launcher comes back as well');
ok(fs_wait_scheduler($node), 'and there is still one scheduler');
promotes('that works');

# Nothing is due: the worker sleeps, and burns no transactions.
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM fairsched.maintenance_status
  WHERE last_run IS NOT NULL AND last_error IS NULL AND next_run IS NOT NULL}), 't',
  'maintenance_status shows the tasks');

$node->stop;
done_testing();
