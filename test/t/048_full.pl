# Sizes that are reached: who comes too late is told which setting to raise, nobody else notices, nothing is
# counted that is not there; what is over makes room; and a server that was started with less than there is says so.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('full', conf => { 'fairsched.max_databases' => 1, 'fairsched.max_workspaces' => 10, 'fairsched.max_running' => 16,
  'fairsched.max_workers' => 16, 'fairsched.max_rings' => 16, 'fairsched.max_flows' => 100 });

# full: refused with FS004, and the hint names the setting
sub full
{
  my ($sql, $setting, $name, $database) = @_;
  my $error = fs_error($node, $sql, $database // 'postgres');

  like($error, qr/ERROR:  FS004: /, "$name: refused");
  like($error, qr/HINT: .*fairsched\.$setting/, "$name: says what to raise");
}

# Running jobs: the rest of a batch waits, an empty-handed claim says why.
$node->safe_psql('postgres', q{SELECT fairsched_enqueue_many('acme', array_fill('{}'::jsonb, ARRAY[20]))});
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 20, lease => '1 h')}), '16', 'max_running: what fits is handed out');
full(q{SELECT * FROM fairsched_claim('w', 20)}, 'max_running', 'max_running');
is($node->safe_psql('postgres', q{SELECT ready, running FROM fairsched.workspace_status WHERE workspace = 'acme'}), '4|16',
  'max_running: a refused claim counts nothing');
is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT fairsched_complete(job_id, token) AS done
  FROM fairsched.running_jobs LIMIT 3) d WHERE done}), '3', 'some end');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 20, lease => '1 h')}), '3', 'max_running: and others have their places');
$node->safe_psql('postgres', q{SELECT fairsched_complete_many(array_agg(job_id), array_agg(token)) FROM fairsched.running_jobs});
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 20, lease => '1 h')}), '1', 'the last one');

# Workers: those that hold nothing and did not call for long make room, others do not.
$node->safe_psql('postgres', qq{SELECT fairsched_register_worker('r$_')}) foreach 1 .. 15;
full(q{SELECT * FROM fairsched_claim('one more')}, 'max_workers', 'max_workers');
full(q{SELECT fairsched_register_worker('one more')}, 'max_workers', 'max_workers: registration');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.workers WHERE worker = 'one more'}), '0', 'max_workers: and it is not registered');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('r1')}), '0', 'max_workers: those that are known may call');
$node->safe_psql('postgres', q{SELECT fairsched_unregister_worker('r2')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('one more')}), '0', 'max_workers: who leaves makes room');

# Workspaces with jobs: ten; one that has none left makes room.
$node->safe_psql('postgres', qq{SELECT fairsched_enqueue('ws$_')}) foreach 1 .. 9;
full(q{SELECT fairsched_enqueue('ws10')}, 'max_workspaces', 'max_workspaces');
full(q{SELECT fairsched_enqueue_many('ws10', '{"{}"}')}, 'max_workspaces', 'max_workspaces: many');
full(q{INSERT INTO fairsched.inbox (workspace) VALUES ('ws1'), ('ws10')}, 'max_workspaces', 'max_workspaces: inbox');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.jobs WHERE workspace LIKE 'ws%'}), '9', 'max_workspaces: all or nothing');
$node->safe_psql('postgres', q{SELECT fairsched_complete(job_id, token) FROM fairsched_claim('w', 1, lease => '1 h')});
is($node->safe_psql('postgres', q{SELECT is_duplicate FROM fairsched_enqueue('ws10')}), 'f', 'max_workspaces: and one that ran empty makes room');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 20, lease => '1 h')}), '9', 'all others are served');
fs_check_ok($node, 'memory and rows agree');

# Lanes and sets of capabilities.
$node->safe_psql('postgres', qq{SELECT fairsched_enqueue('acme', lane => 'lane$_')}) foreach 1 .. 15;
full(q{SELECT fairsched_enqueue('acme', lane => 'lane16')}, 'max_rings', 'max_rings');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 20, lanes => ARRAY(SELECT 'lane' || n FROM generate_series(1, 16) n), lease => '1 h')}),
  '6', 'max_rings: the others are served, as far as jobs may run');

# Databases: one too many is refused, and does not harm the others.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION fairsched');
full(q{SELECT fairsched_enqueue('acme')}, 'max_databases', 'max_databases', 'other');
is($node->safe_psql('postgres', q{SELECT is_duplicate FROM fairsched_enqueue('acme')}), 'f', 'max_databases: the first goes on');
$node->safe_psql('postgres', 'DROP DATABASE other');

# Started with less than there is: nothing is handed out, and it is said what is lacking. With enough, all goes on.
$node->safe_psql('postgres', q{SELECT fairsched_cancel_many(array_agg(job_id)) FROM fairsched.jobs WHERE lane <> 'default'});
$node->append_conf('postgresql.conf', 'fairsched.max_workspaces = 100');
$node->append_conf('postgresql.conf', 'fairsched.max_running = 100');
$node->restart;
$node->safe_psql('postgres', qq{SELECT fairsched_enqueue_many('big$_', array_fill('{}'::jsonb, ARRAY[2]))}) foreach 1 .. 20;
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 20, lease => '1 h')}), '20', 'more than 16 run');
$node->append_conf('postgresql.conf', 'fairsched.max_running = 16');
$node->restart;
full(q{SELECT * FROM fairsched_claim('w')}, 'max_running', 'restart with too small a max_running');
$node->append_conf('postgresql.conf', 'fairsched.max_running = 100');
$node->append_conf('postgresql.conf', 'fairsched.max_workspaces = 10');
$node->restart;
full(q{SELECT * FROM fairsched_claim('w')}, 'max_workspaces', 'restart with too small a max_workspaces');
$node->append_conf('postgresql.conf', 'fairsched.max_workspaces = 100');
$node->restart;
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 100, lease => '1 h')}), '21', 'with enough all goes on');
is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT token) FROM fairsched.running_jobs}), '51|51', 'with what ran before');
fs_check_ok($node, 'memory and rows agree at last');

$node->stop;
done_testing();
