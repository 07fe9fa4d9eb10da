# The report names the replication slot that holds VACUUM back, and does not before that is so.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('primary', init => [ allows_streaming => 1 ], conf => { 'fairsched.background_workers' => 'off' });
my $slots = q{SELECT severity, subject, setting, action, regexp_replace(reason, '\d{7}', 'N') FROM fairsched.recommendations('24 hours', clock_timestamp())
  WHERE subject LIKE 'replication slot%'};

# A standby that says what it still reads, and goes.
$node->safe_psql('postgres', q{SELECT pg_create_physical_replication_slot('away')});
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->append_conf('postgresql.conf',
  "primary_slot_name = 'away'\nhot_standby_feedback = on\nwal_receiver_status_interval = 1\n");
$standby->start;
ok($node->poll_query_until('postgres', q{SELECT xmin IS NOT NULL FROM pg_replication_slots}), 'the slot holds VACUUM back');
$standby->stop;
is($node->safe_psql('postgres', $slots), '', 'not yet by much');

# A million transactions, without doing them: their status is in the first segment of pg_xact.
$node->stop;
my $file = $node->data_dir . '/pg_xact/0000';
truncate($file, 32 * 8192) or die "$file: $!";
command_ok([ 'pg_resetwal', '-f', '-x', 1_040_000, $node->data_dir ], 'transactions pass');
$node->start;
is($node->safe_psql('postgres', $slots),
  q{high|replication slot away|max_slot_wal_keep_size|Let its subscriber catch up, or drop it: SELECT pg_drop_replication_slot('away').|It holds back VACUUM by N transactions.},
  'a million transactions are');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('away')});
is($node->safe_psql('postgres', $slots), '', 'and nothing when it is dropped');

$node->stop;
done_testing();
