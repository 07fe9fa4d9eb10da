# Entries of the job and the ready index are written many to a leaf: sessions that insert side by
# side, into few and into many queues, while jobs are claimed, deleted and vacuumed; rolled back and
# replayed after a crash. The indexes hold what the tables hold, in order, and the log is short.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.default_quota' => 100000, autovacuum => 'off',
  wal_consistency_checking => "'all'", full_page_writes => 'on' });

my $amcheck = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'});
$node->safe_psql('postgres', 'CREATE EXTENSION amcheck') if $amcheck;
$node->safe_psql('postgres', q{
  SELECT fairsched_create_workspace('own', own_table => true);
  CREATE TABLE served (job_id bigint);
});

# What each index says against what the table says, in the index's order
sub indexes_ok
{
  my ($when) = @_;

  foreach my $table (map { $_->[0] } fs_rows($node, q{SELECT relid FROM pg_partition_tree('fairsched.jobs') WHERE isleaf}))
  {
    my $wrong = $node->safe_psql('postgres', qq{
      SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;
      CREATE TEMP TABLE by_job AS SELECT job_id, row_number() OVER () AS n FROM (SELECT job_id FROM $table ORDER BY job_id) j;
      CREATE TEMP TABLE by_ready AS SELECT flow, rank, position, row_number() OVER () AS n
        FROM (SELECT flow, rank, position FROM $table WHERE position > 0 ORDER BY flow, rank, position) j;
      RESET ALL; SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off;
      SELECT (SELECT count(*) FROM $table FULL JOIN by_job USING (job_id) WHERE workspace IS NULL OR n IS NULL),
        (SELECT count(*) FROM (SELECT * FROM $table WHERE position > 0) t FULL JOIN by_ready USING (flow, rank, position)
          WHERE workspace IS NULL OR n IS NULL),
        (SELECT count(*) FROM (SELECT job_id, lag(job_id) OVER (ORDER BY n) AS before FROM by_job) b WHERE job_id <= before),
        (SELECT count(*) FROM (SELECT (flow, rank, position) <= lag((flow, rank, position)) OVER (ORDER BY n) AS bad FROM by_ready) b
          WHERE bad)});

    is($wrong, '0|0|0|0', "$when: the indexes of $table hold its jobs, in order");
    next unless $amcheck;
    is($node->safe_psql('postgres', qq{SELECT count(bt_index_parent_check(indexrelid::regclass, true, true)) FROM pg_index
      WHERE indrelid = '$table'::regclass}), '6', "$when: amcheck agrees");
  }
  return;
}

# A session of each kind of producer: one by one, 300 a call, 500 rows over few or many queues
my %producers = (
  q{\set w random(1, 7)
SELECT fairsched_enqueue('few' || :w, '{}');} => 6,
  q{\set w random(1, 7)
SELECT fairsched_enqueue_many('few' || :w, array_fill('{}'::jsonb, '{300}'));} => 2,
  q{SELECT fairsched_enqueue_many('own', array_fill('{}'::jsonb, '{300}'), priority => 'P1');} => 1,
  q{INSERT INTO fairsched.inbox (workspace, priority, run_at)
  SELECT 'many' || hashint4(g * 7) % 400, 'P' || g % 4, CASE WHEN g % 50 = 0 THEN now() + '1 day' END FROM generate_series(1, 500) g;} => 4,
  qq{BEGIN;\nINSERT INTO fairsched.inbox (workspace) SELECT 'many' || g % 400 FROM generate_series(1, 500) g;\nROLLBACK;} => 1);
my $worker = q{BEGIN;
CREATE TEMP TABLE got ON COMMIT DROP AS SELECT * FROM fairsched_claim(max_jobs => 200, lease => '1 h');
INSERT INTO served SELECT job_id FROM got WHERE fairsched_complete(job_id, token);
COMMIT;};
my $stop = $node->basedir . '/stop';
my $workers = fs_pgbench($node, { $worker => 1 }, clients => 1, transactions => 3, forever => $stop);

foreach my $round (1 .. 3)
{
  ok(fs_finish(fs_pgbench($node, \%producers, clients => 4, transactions => 8)), 'no producer met an error');
  # entries go, pages are given back, and others come into their places
  $node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) fairsched.jobs_0');
}
append_to_file($stop, 'now');
ok(fs_finish($workers), 'no worker met an error');
indexes_ok('under load');
fs_check_ok($node, 'memory agrees with the rows');

# REINDEX and TRUNCATE give the index another file: what a session remembers is nobody's then
my $session = fs_session($node);
foreach my $change ('REINDEX INDEX fairsched.jobs_0_ready', 'TRUNCATE fairsched.jobs_0')
{
  $session->ask(q{SELECT cardinality(fairsched_enqueue_many('few1', array_fill('{}'::jsonb, '{700}')))});
  $node->safe_psql('postgres', $change);
  is($session->ask(q{SELECT cardinality(fairsched_enqueue_many('few1', array_fill('{}'::jsonb, '{700}')))}), '700', "after $change");
  indexes_ok("after $change");
}

# An id that is there is refused, whoever wrote it
$node->safe_psql('postgres', q{CREATE TABLE copied AS SELECT * FROM fairsched.jobs_0 ORDER BY job_id DESC LIMIT 1});
like(fs_error($node, q{INSERT INTO fairsched.jobs SELECT * FROM copied}), qr/23505.*jobs_0_job/s, 'a job_id is there once');
$session->ask('BEGIN');
my ($next) = $session->ask(q{SELECT max(job_id) + 1 FROM unnest(fairsched_enqueue_many('few1', array_fill('{}'::jsonb, '{2}'))) j(job_id)});
$session->ask('ROLLBACK');
$node->safe_psql('postgres', qq{UPDATE copied SET job_id = $next; INSERT INTO fairsched.jobs SELECT * FROM copied});
like($session->fails(q{SELECT fairsched_enqueue_many('few1', array_fill('{}'::jsonb, '{3}'))}), qr/duplicate key value.*jobs_0_job/s,
  'also by new jobs, if a number is taken');
$session->quit;
$node->safe_psql('postgres', qq{DELETE FROM fairsched.jobs WHERE job_id = $next});

# The log of 1,000 jobs of a queue is little more than the rows
$node->safe_psql('postgres', q{SELECT cardinality(fairsched_enqueue_many('few2', array_fill('{}'::jsonb, '{1000}')))});
$node->append_conf('postgresql.conf', "wal_consistency_checking = ''\nfull_page_writes = off");
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT current_setting('full_page_writes') = 'off' AND current_setting('wal_consistency_checking') = ''}),
  'pages are not logged whole');
my $bytes = $node->safe_psql('postgres', q{SELECT pg_current_wal_insert_lsn() AS before \gset
  DO $$ BEGIN PERFORM fairsched_enqueue_many('few2', array_fill('{}'::jsonb, '{1000}')); END $$;
  SELECT (pg_current_wal_insert_lsn() - :'before'::pg_lsn)::bigint / 1000});
cmp_ok($bytes, '<', 215, "$bytes bytes a job are logged");

# Replayed as written
my $jobs = $node->safe_psql('postgres', 'SELECT count(*) FROM fairsched.jobs');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM fairsched.jobs'), $jobs, 'nothing is lost in a crash');
indexes_ok('after a crash');
my $ready = $node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.jobs WHERE state = 'available'});
is($node->safe_psql('postgres', q{SELECT count(DISTINCT job_id) FROM generate_series(1, 9) g, LATERAL fairsched_claim('last' || g, 10000, lease => '1 h')}), $ready,
  'and every job can be claimed');

$node->stop;
done_testing();
