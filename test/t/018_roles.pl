# docs/roles.sql: it runs, also twice, and each group can do its work and no more.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main');
my $snippet = "$FindBin::RealBin/../../docs/roles.sql";
my $bin = $node->config_data('--bindir');
my @psql = ("$bin/psql", '-X', '-q', '-h', $node->host, '-p', $node->port);

# role_ok, role_refused: a statement as a member of one of the groups.
sub as_role
{
  my ($db, $role, $sql) = @_;

  return fs_error($node, "\\o /dev/null\nSET ROLE $role;\n$sql", $db);
}

sub role_ok
{
  my ($db, $role, $sql) = @_;
  local $Test::Builder::Level = $Test::Builder::Level + 1;

  return is(as_role($db, $role, $sql), '', "$role: $sql");
}

sub role_refused
{
  my ($db, $role, $sql) = @_;
  local $Test::Builder::Level = $Test::Builder::Level + 1;

  return like(as_role($db, $role, $sql), qr/ERROR:  42501/, "$role may not: $sql");
}

my @views = qw(workspace_status queue_status running_jobs worker_status maintenance_status
  database_status dead_letters);

# The functions in their usual schema, in a schema of their own, and all in one schema.
foreach my $schema (qw(public queue fairsched))
{
  $node->safe_psql('postgres', "CREATE DATABASE in_$schema");
  my $db = "in_$schema";
  my $enqueue = "SELECT * FROM $schema.fairsched_enqueue('acme')";
  my $claim = "SELECT * FROM $schema.fairsched_claim('w', lease => '1 h')";

  $node->safe_psql($db, ($schema eq 'public' ? '' : "CREATE SCHEMA $schema; ")
      . "CREATE EXTENSION fairsched SCHEMA $schema");

  # Before: nobody may do anything.
  $node->safe_psql('postgres', 'DROP ROLE IF EXISTS nobody_at_all; CREATE ROLE nobody_at_all');
  role_refused($db, 'nobody_at_all', $_)
    foreach $enqueue, $claim, 'SELECT * FROM fairsched.jobs',
    'SELECT * FROM fairsched.workspace_status';

  command_ok([ @psql, '-d', $db, '-f', $snippet ], "$schema: docs/roles.sql runs");
  command_ok([ @psql, '-d', $db, '-f', $snippet ], "$schema: and again");
  $node->safe_psql('postgres', 'CREATE ROLE app IN ROLE fairsched_producer') if $schema eq 'public';

  role_ok($db, 'app', $enqueue);
  role_ok($db, 'fairsched_producer',
    "INSERT INTO fairsched.inbox (workspace) VALUES ('acme') RETURNING job_id");
  role_refused($db, 'fairsched_producer', $_) foreach $claim, 'SELECT * FROM fairsched.jobs',
    'SELECT * FROM fairsched.dead_letters', "SELECT $schema.fairsched_create_workspace('x')",
    "INSERT INTO fairsched.jobs_0 (workspace) VALUES ('x')", 'SELECT * FROM fairsched.running_jobs';

  role_ok($db, 'fairsched_worker', $claim);
  role_ok($db, 'fairsched_worker', "SELECT $schema.fairsched_heartbeat('w')");
  role_ok($db, 'fairsched_worker', "SELECT $schema.fairsched_score_deliberation('Thus.')");
  role_refused($db, 'fairsched_worker', $_) foreach $enqueue, 'DELETE FROM fairsched.jobs',
    "SELECT $schema.fairsched_drop_workspace('acme', true)", 'SELECT * FROM fairsched.worker_status',
    'SELECT * FROM fairsched.deliberation_scores';

  role_ok($db, 'fairsched_observer', "SELECT * FROM fairsched.$_")
    foreach @views, qw(jobs job_history workspaces deliberation_scores low_quality_reasoning
    deliberation_runs);
  is($node->safe_psql($db, q{SET ROLE fairsched_observer;
      SELECT workspace, running FROM fairsched.workspace_status}),
    'acme|1', "$schema: the observer sees what runs");
  role_refused($db, 'fairsched_observer', $_) foreach $enqueue, $claim,
    "UPDATE fairsched.workspaces SET paused = true", 'DELETE FROM fairsched.tiers';

  role_ok($db, 'fairsched_admin', $_) foreach "SELECT $schema.fairsched_create_workspace('new')",
    "SELECT $schema.fairsched_pause_workspace('new')", "SELECT * FROM $schema.fairsched_check()",
    $enqueue, $claim, 'SELECT * FROM fairsched.queue_status',
    q{INSERT INTO fairsched.job_kinds (kind, cost) VALUES ('render', 5)},
    q{UPDATE fairsched.tiers SET quantum = 20 WHERE tier = 'starter'};
  role_refused($db, 'fairsched_admin', 'DELETE FROM fairsched.jobs');
  role_refused($db, 'nobody_at_all', $_)
    foreach $enqueue, $claim, 'SELECT * FROM fairsched.jobs',
    'SELECT * FROM fairsched.workspace_status';
}

# SELECT on a view is all that a dashboard of one's own needs.
$node->safe_psql('in_public', q{CREATE ROLE grafana; GRANT USAGE ON SCHEMA fairsched TO grafana;
  GRANT SELECT ON fairsched.workspace_status TO grafana});
role_ok('in_public', 'grafana', 'SELECT * FROM fairsched.workspace_status');
role_refused('in_public', 'grafana', "SELECT * FROM fairsched.$_")
  foreach qw(running_jobs worker_status);
$node->safe_psql('postgres', 'CREATE ROLE reader IN ROLE pg_read_all_data');
role_ok('in_public', 'reader', "SELECT * FROM fairsched.$_") foreach @views;

$node->stop;
done_testing();
