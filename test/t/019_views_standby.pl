# Where memory is not built and may not be built: on a standby the views have what the tables say,
# and NULL for what only memory knows; promotion fills them.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $primary = fs_node('primary', init => [ allows_streaming => 1 ]);

$primary->safe_psql('postgres', q{
  SELECT fairsched_create_workspace('acme', max_running => 5);
  SELECT fairsched_register_worker('w1', '{gpu}', 4, 'node 1');
  SELECT fairsched_enqueue_many('acme', array_agg('{}'::jsonb)) FROM generate_series(1, 20);
  SELECT fairsched_enqueue_many('beta', array_agg('{}'::jsonb)) FROM generate_series(1, 20);
  SELECT count(*) FROM fairsched_claim('w1', 3, lease => '10 min')});

$primary->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby, 'replay');

my $workspaces = q{SELECT workspace, max_running, ready IS NULL, running IS NULL,
    oldest_ready_age IS NULL FROM fairsched.workspace_status ORDER BY workspace};

is($standby->safe_psql('postgres', $workspaces), 'acme|5|t|t|t',
  'standby: settings are known, counts are not');
is($standby->safe_psql('postgres', q{SELECT worker, node, capabilities, slots,
    running IS NULL, alive IS NULL FROM fairsched.worker_status}),
  'w1|node 1|{gpu}|4|t|t', 'standby: so with workers');
is($standby->safe_psql('postgres', "SELECT count(*) FROM fairsched.$_"), '0', "standby: $_ is empty")
  foreach qw(queue_status running_jobs maintenance_status dead_letters claim_stats claim_refusals scheduler_stats
    capacity_recommendation);
is($standby->safe_psql('postgres', 'SELECT state, drained IS NULL FROM fairsched.database_status'),
  'empty|t', 'standby: database_status says why');

# A server that was just started: the first reader builds memory, unless it may not write.
$primary->append_conf('postgresql.conf', 'fairsched.background_workers = off');
$primary->restart;
is($primary->safe_psql('postgres', q{BEGIN READ ONLY; SELECT state FROM fairsched.database_status}),
  'empty', 'restarted: a read-only reader gets what there is');
is($primary->safe_psql('postgres', q{BEGIN READ ONLY; SELECT count(*) FROM fairsched.running_jobs}),
  '0', 'restarted: which is nothing yet');
is($primary->safe_psql('postgres', 'SELECT sum(running) FROM fairsched.workspace_status'),
  '3', 'restarted: the first reader that may write builds memory');
is($primary->safe_psql('postgres', q{BEGIN READ ONLY; SELECT count(*) FROM fairsched.running_jobs}),
  '3', 'restarted: and then everybody sees it');
is($primary->safe_psql('postgres', 'SELECT state, rebuilds FROM fairsched.database_status'),
  'ready|1', 'restarted: it was built once');

$primary->stop('immediate');
$standby->promote;
is($standby->safe_psql('postgres', 'SELECT worker, count(*) FROM fairsched.running_jobs GROUP BY 1'),
  'w1|3', 'promoted: the views are filled');

$standby->stop;
done_testing();
