# Job tables grow by many pages at once: sessions that insert batches side by side and roll some back,
# with VACUUM among the new pages, and a crash. Every page is used, and no row is lost.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $clients = 4;
my $most = 64;    # pages, of extend.c
my $node = fs_node('main', conf => { 'fairsched.default_quota' => 100000, 'fairsched.max_running' => 100000, autovacuum => 'off',
  shared_buffers => '64MB', wal_consistency_checking => "'all'", full_page_writes => 'on' });
my $batch = q{SELECT cardinality(fairsched_enqueue_many('one', array_fill('{"n": 1}'::jsonb, '{1000}')))};

# Pages of the shared table, and those of them that have a row
sub pages
{
  return $node->safe_psql('postgres', q{
    SELECT pg_relation_size('fairsched.jobs_0') / current_setting('block_size')::int,
      count(DISTINCT split_part(trim(ctid::text, '()'), ',', 1)) FROM fairsched.jobs_0});
}

# The second batch finds no room
my ($ret, $out, $err) = $node->psql('postgres', "SET client_min_messages = debug1; $batch; $batch");
is($out, "1000\n1000", 'batches are enqueued');
SKIP:
{
  skip 'the server extends tables by itself', 2 if $node->pg_version >= 16 || $^O ne 'linux';
  skip 'the file system cannot reserve ranges of files', 2 if $err =~ /could not reserve a range/;
  like($err, qr/extended table "jobs_0" by \d{2} pages at once/, 'by tens of pages');
  my ($all, $used) = split(/\|/, pages());
  cmp_ok($all - $used, '<=', $most, 'most of which are used');
}

# An own table, and COPY; nothing that is reserved is taken for a row
$node->safe_psql('postgres', q{SELECT fairsched_create_workspace('own', own_table => true);
  INSERT INTO fairsched.inbox (workspace) SELECT CASE WHEN g % 2 = 0 THEN 'own' ELSE 'w' || g % 50 END FROM generate_series(1, 4000) g});
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT job_id) FROM fairsched.jobs'), '6000|6000', 'rows of a statement');

# Side by side
ok(fs_finish(fs_pgbench($node, {
      "$batch;" => 3,
      "BEGIN;\n$batch;\nROLLBACK;" => 1,
      q{INSERT INTO fairsched.inbox (workspace) SELECT 'w' || g % 50 FROM generate_series(1, 1000) g;} => 2,
      'VACUUM fairsched.jobs_0;' => 1 }, clients => $clients, transactions => 10)), 'no producer met an error');
my ($count) = split(/\|/, $node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT job_id) FROM fairsched.jobs_0}));
is($count % 1000, 0, 'whole batches');
$node->safe_psql('postgres', 'VACUUM fairsched.jobs_0');
my ($all) = split(/\|/, pages());

# What others left is used by who comes next
$node->safe_psql('postgres', $batch);
my ($later, $used) = split(/\|/, pages());
cmp_ok($later - $used, '<=', $most * ($clients + 1), 'few pages wait for rows');
fs_check_ok($node, 'memory agrees with the rows');

# After a crash
my $jobs = $node->safe_psql('postgres', 'SELECT count(*), sum(job_id), sum(position) FROM fairsched.jobs');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*), sum(job_id), sum(position) FROM fairsched.jobs'), $jobs, 'a crash loses nothing');
$node->safe_psql('postgres', "$batch; VACUUM fairsched.jobs_0");
my $ready = $node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.jobs WHERE state = 'available'});
is($node->safe_psql('postgres', q{SELECT count(DISTINCT job_id) FROM generate_series(1, 9) g, LATERAL fairsched_claim('last' || g, 10000, lease => '1 h')}), $ready,
  'and every job can be claimed');

$node->stop;
done_testing();
