# The claim log lists the pages on which jobs may be running: after a crash every running job is
# found, whatever happened to its row's place, and however seldom a claim had to write an entry.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main', conf => { autovacuum => 'off', 'fairsched.default_quota' => 20000,
  'fairsched.max_running' => 20000 });
my $running = q{SELECT job_id, token, worker, attempt FROM fairsched.running_jobs ORDER BY job_id};
my $entries = q{SELECT (SELECT count(*) FROM fairsched.claim_log_0) + (SELECT count(*) FROM fairsched.claim_log_1)};

# What memory knows before a crash is what it knows afterwards; returns how many run.
sub crash_keeps
{
  my ($what) = @_;
  my $before = $node->safe_psql('postgres', $running);

  $node->stop('immediate');
  $node->start;
  is($node->safe_psql('postgres', $running), $before, "$what: found after a crash");
  fs_check_ok($node, $what);
  return scalar(split /\n/, $before);
}

$node->safe_psql('postgres', q{
  SELECT fairsched_create_workspace('moves', own_table => false);
  SELECT fairsched_enqueue_many('moves', array_agg('{}'::jsonb)) FROM generate_series(1, 300);
  SELECT fairsched_enqueue_many('stays', array_agg('{}'::jsonb)) FROM generate_series(1, 300);
});

# Claims of one page write one entry, and the others rely on it.
$node->safe_psql('postgres', q{SELECT * FROM fairsched_claim('w', 1, lease => '1 hour')});
my $one = $node->safe_psql('postgres', $entries);
$node->safe_psql('postgres', q{SELECT * FROM fairsched_claim('w', 1, lease => '1 hour')}) for 1 .. 8;
is($node->safe_psql('postgres', $entries), $one, 'a page that is listed is not listed again');
is(crash_keeps('claims without an entry of their own'), 9, 'nine run');

# An entry that was rolled back is nobody's to rely on: the next claim of the page writes it.
my $open = fs_session($node);
$open->ask('BEGIN');
$open->ask(q{SELECT count(*) FROM fairsched_claim('w', 60, lease => '1 hour')});
$open->ask('ROLLBACK');
$open->quit;
$node->safe_psql('postgres', q{SELECT * FROM fairsched_claim('w', 60, lease => '1 hour')});
is(crash_keeps('after a claim that was rolled back'), 69, 'sixty-nine run');

# A checkpoint too large for its page puts the row on another one.
$node->safe_psql('postgres', q{
  CREATE TEMP TABLE before AS SELECT job_id, ctid AS place FROM fairsched.jobs WHERE state = 'running';
  SELECT fairsched_checkpoint(job_id, token, (SELECT jsonb_object_agg('k' || i, md5(i::text)) FROM generate_series(1, 30) i))
    FROM fairsched.running_jobs;
  SELECT 1 / count(*) FROM fairsched.jobs j JOIN before b USING (job_id) WHERE (j.ctid::text::point)[0] <> (b.place::text::point)[0];
});
crash_keeps('rows that a checkpoint moved to other pages');

# The same, rolled back: the old place counts.
$open = fs_session($node);
$open->ask('BEGIN');
$open->ask(q{SELECT count(fairsched_checkpoint(job_id, token,
  (SELECT jsonb_object_agg('k' || i, md5(i::text)) FROM generate_series(1, 60) i))) FROM fairsched.running_jobs});
$open->ask('ROLLBACK');
$open->quit;
crash_keeps('a checkpoint that was rolled back');

# The table is rewritten: page numbers of before mean nothing.
$node->safe_psql('postgres', 'VACUUM FULL fairsched.jobs_0');
crash_keeps('VACUUM FULL');

# The workspace moves to a table of its own with its running jobs.
$node->safe_psql('postgres', q{SELECT fairsched_isolate_workspace('moves')});
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.jobs WHERE state = 'running' AND job_table > 0}),
  '>', 0, 'running jobs are in the new table');
crash_keeps('isolate_workspace');

# A hand that moves running rows (a superuser's) is seen too.
$node->safe_psql('postgres', q{UPDATE fairsched.jobs SET payload = jsonb_build_object('x', repeat(md5(job_id::text), 40))
  WHERE state = 'running'});
crash_keeps('an UPDATE by hand');

# Rotation: the log is swapped, what runs is kept, what is over is not.
$node->safe_psql('postgres', q{SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs});
$node->safe_psql('postgres', q{INSERT INTO fairsched.inbox (workspace, payload)
  SELECT 'w' || i % 20, jsonb_build_object('x', repeat('x', 1500)) FROM generate_series(1, 13000) i});
my $long = fs_session($node);
$long->ask('BEGIN');
$long->ask(q{SELECT count(*) FROM fairsched_claim('long', 3, lease => '1 hour')});
$node->safe_psql('postgres', q{SELECT fairsched_complete_many(array_agg(job_id), array_agg(token))
  FROM fairsched_claim('w', 1000, lease => '1 hour')}) for 1 .. 11;
$node->safe_psql('postgres', q{SELECT * FROM fairsched_claim('w', 100, lease => '1 hour')});
my $was = $node->safe_psql('postgres', q{SELECT last_run FROM fairsched.maintenance_status WHERE task = 'claim_log'});
$long->ask('COMMIT');
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM (SELECT 1 FROM fairsched.claim_log_0 HAVING count(*) < 3000
  INTERSECT ALL SELECT 1 FROM fairsched.claim_log_1 HAVING count(*) < 3000) s})
  or die 'the claim log was not rotated';
is(crash_keeps('rotation, with a claim open all the while'), 103, 'a hundred and three run');
$long->quit;

done_testing();
