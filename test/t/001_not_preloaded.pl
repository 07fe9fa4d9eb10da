# Without shared_preload_libraries the extension installs, and calls say what to set.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('bare', conf => { shared_preload_libraries => "''" });

is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_extension WHERE extname = 'fairsched'}),
  '1', 'the extension installs');

my %calls = (
  'claim'            => q{SELECT * FROM fairsched_claim()},
  'enqueue'          => q{SELECT * FROM fairsched_enqueue('acme')},
  'enqueue_many'     => q{SELECT fairsched_enqueue_many('acme', ARRAY['{}']::jsonb[])},
  'inbox'            => q{INSERT INTO fairsched.inbox (workspace) VALUES ('acme')},
  'complete'         => q{SELECT fairsched_complete(1, 1)},
  'heartbeat'        => q{SELECT * FROM fairsched_heartbeat(ARRAY[1]::bigint[], ARRAY[1]::bigint[])},
  'register_worker'  => q{SELECT fairsched_register_worker('w')},
  'score'            => q{SELECT fairsched_score_deliberation('Thus.')},
  'create_workspace' => q{SELECT fairsched_create_workspace('acme')},
  'wait'             => q{CALL fairsched_wait('1 s')});

foreach my $name (sort keys %calls)
{
  my $error = fs_error($node, $calls{$name});

  like($error, qr/ERROR:  FS001: .*shared_preload_libraries/, "$name: says what is missing");
  like($error, qr/HINT:  .*shared_preload_libraries/, "$name: says what to do");
}

is($node->safe_psql('postgres', 'SELECT count(*) FROM fairsched.jobs'), '0', 'tables are readable');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity
  WHERE backend_type LIKE 'fairsched%'}), '0', 'no worker runs');

$node->safe_psql('postgres', 'DROP EXTENSION fairsched');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_namespace WHERE nspname = 'fairsched'}),
  '0', 'and it can be dropped');

# The same cluster, once it is set.
$node->safe_psql('postgres', 'CREATE EXTENSION fairsched');
$node->append_conf('postgresql.conf', q{shared_preload_libraries = 'fairsched'});
$node->restart;
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('acme')});
is($node->safe_psql('postgres', 'SELECT workspace FROM fairsched_claim()'), 'acme',
  'with the line added, what was installed before works');
ok(fs_wait_scheduler($node), 'and the scheduler worker comes');

$node->stop;
done_testing();
