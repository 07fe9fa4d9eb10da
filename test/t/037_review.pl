# Jobs that wait for a review: held across restart, crash, dump and restore, and until the last moment
# of the transaction that lets them go; nobody comes across them; rows of other jobs are as short as ever.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => { max_prepared_transactions => 10, 'fairsched.max_wait' => "'1min'" });
my $bin = $node->config_data('--bindir');
my @connect = ('-h', $node->host, '-p', $node->port);
my $text = 'First a. Then b. Next c. Because of that: thus d. Since e.';

# enqueue: the id of a held job.
sub enqueue
{
  my ($workspace, $options) = @_;

  return $node->safe_psql('postgres',
    "SELECT job_id FROM fairsched_enqueue('$workspace', min_deliberation => 0.8" . ($options || '') . ')');
}

sub reason
{
  my ($job, $db) = @_;

  return $node->safe_psql($db || 'postgres', "SELECT state, held_reason FROM fairsched_job_status($job)");
}

my $claim = q{SELECT string_agg(job_id::text, ',' ORDER BY job_id) FROM fairsched_claim('w', 100)
  WHERE fairsched_complete(job_id, token)};
my $held = 'scheduled|waiting_for_review';

$node->safe_psql('postgres', q{
  SELECT fairsched_create_workspace('own', own_table => true);
  SELECT fairsched_create_workspace('shared', own_table => false)});

# ---------- restart and crash ----------

my @jobs = map { enqueue($_) } qw(own shared own shared shared);
my $later = enqueue('own', q{, run_at => now() + interval '1 day'});

foreach my $how (qw(fast immediate))
{
  $node->stop($how);
  $node->start;
  is(reason($_), $held, "$how stop: job $_ is held") foreach @jobs, $later;
  is($node->safe_psql('postgres', $claim), '', "$how stop: none is handed out");
}
ok($node->poll_query_until('postgres', q{SELECT string_agg(scheduled::text, ',' ORDER BY workspace) = '3,3'
  FROM fairsched.workspace_status WHERE workspace IN ('own', 'shared')}), 'they are counted as waiting');
fs_check_ok($node, 'memory and rows agree');
$node->safe_psql('postgres', "SELECT fairsched_score_deliberation('$text', $_)") foreach @jobs[ 0, 1 ];
$node->safe_psql('postgres', "SELECT fairsched_score_deliberation('$text', $later)");
is(reason($later), 'scheduled|', 'let go, but its time has not come');
# what was let go is so for good
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', $claim), join(',', sort { $a <=> $b } @jobs[ 0, 1 ]), 'after a crash: those that passed');
fs_drain_all($node);

# ---------- dump and restore ----------

my $dump = $node->basedir . '/dump.custom';
command_ok([ "$bin/pg_dump", @connect, '-Fc', '-f', $dump, 'postgres' ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
command_ok([ "$bin/pg_restore", @connect, '--exit-on-error', '-d', 'restored', $dump ], 'pg_restore');
is(reason($_, 'restored'), $held, "restored: job $_ is held") foreach @jobs[ 2 .. 4 ];
is(reason($later, 'restored'), 'scheduled|', 'restored: what has passed is not');
is($node->safe_psql('restored', "SELECT min_deliberation, isfinite(run_at) FROM fairsched.review_queue
  WHERE job_id = $jobs[2]"), '0.8|t', 'restored: with what it needs');
$node->safe_psql('restored', "SELECT fairsched_score_deliberation('$text', $jobs[2])");
$node->safe_psql('restored', "SELECT fairsched_release_review($jobs[3])");
my ($first) = fs_claim_until($node, q{worker => 'w', lease => '1 h'}, 'restored');
my ($second) = fs_claim_until($node, q{worker => 'w', lease => '1 h'}, 'restored');
is("$first $second", "$jobs[2] $jobs[3]", 'restored: a score or an operator lets a job go');
is($node->safe_psql('restored', $claim), '', 'restored: only those');
is(reason($jobs[2]), $held, 'in its own database only');

# ---------- the transaction that lets it go ----------

my $scorer = fs_session($node);
$scorer->ask("BEGIN; SELECT fairsched_score_deliberation('$text', $jobs[2])");
is(reason($jobs[2]), $held, 'not committed: held');
is($node->safe_psql('postgres', $claim), '', 'not committed: not handed out');
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $scorer->pid . ')');
$scorer->gone;
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = ' . $scorer->pid),
  'terminated');
is(reason($jobs[2]), $held, 'terminated: held');
$scorer = fs_session($node);
$scorer->ask("BEGIN; SAVEPOINT s; SELECT fairsched_score_deliberation('$text', $jobs[2]); ROLLBACK TO s");
$scorer->ask('COMMIT');
is(reason($jobs[2]), $held, 'rolled back to a savepoint: held');
is($node->safe_psql('postgres', $claim), '', 'and not handed out');
# who waits for work is woken by the commit
$scorer->ask("BEGIN; SELECT fairsched_score_deliberation('$text', $jobs[2])");
my $waiter = fs_session($node);
$waiter->start("SELECT 'got ' || job_id FROM fairsched_claim('w', max_wait => '1 min')");
ok($node->poll_query_until('postgres', "SELECT wait_event_type <> 'Client' FROM pg_stat_activity
  WHERE pid = " . $waiter->pid), 'a worker waits');
$scorer->ask('COMMIT');
like($waiter->finish, qr/got $jobs[2]/, 'and gets the job');
$_->quit foreach $scorer, $waiter;

# ---------- two-phase commit ----------

is(fs_error($node, q{BEGIN; SELECT fairsched_enqueue('two', min_deliberation => 0.8); PREPARE TRANSACTION 'p'}), '',
  'a held job may be enqueued');
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
my $two = $node->safe_psql('postgres', q{SELECT job_id FROM fairsched.jobs WHERE workspace = 'two'});
is(reason($two), $held, 'and is held');
like(fs_error($node, "BEGIN; SELECT fairsched_score_deliberation('$text', $two); PREPARE TRANSACTION 'q'"),
  qr/ERROR:  FS008/, 'but not let go');
is(reason($two), $held, 'it is held still');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM fairsched_check() WHERE NOT ok}),
  'memory and rows agree');

# ---------- who may ----------

$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN; CREATE ROLE operator LOGIN; CREATE ROLE scorer LOGIN');
command_ok([ "$bin/psql", @connect, '-X', '-q', '-d', 'postgres', '-f', "$FindBin::RealBin/../../docs/roles.sql" ], 'roles');
$node->safe_psql('postgres', 'GRANT fairsched_admin TO operator; GRANT fairsched_worker TO scorer');
like(fs_error($node, "SET ROLE $_; SELECT fairsched_release_review($two)"), qr/ERROR:  42501/,
  "$_ may not release it") foreach qw(nobody scorer);
is(fs_error($node, "SET ROLE operator; SELECT job_id FROM fairsched.review_queue; SELECT fairsched_release_review($two)"), '',
  'an administrator may');
is(fs_error($node, "SET ROLE scorer; SELECT fairsched_score_deliberation('$text', $jobs[3])"), '', 'who scores lets jobs go');
is(reason($jobs[3]), 'available|', 'by a score that passes');

# ---------- many held jobs cost nobody anything ----------

fs_drain_all($node);
$node->safe_psql('postgres', q{SELECT count(fairsched_enqueue_many('many', array_fill('{}'::jsonb, ARRAY[1000]),
  min_deliberation => 1)) FROM generate_series(1, 20)});
$node->safe_psql('postgres', q{VACUUM ANALYZE fairsched.jobs_0});
my $reads = q{SELECT idx_tup_read FROM pg_stat_all_indexes WHERE schemaname = 'fairsched' AND indexrelname = 'jobs_0_due'};
my $session = fs_session($node);
my $flush = $node->pg_version >= 15 ? 'SELECT pg_stat_force_next_flush()' : 'SELECT pg_stat_clear_snapshot()';
$session->ask($flush);
my $before = $node->safe_psql('postgres', $reads);
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('many', run_at => now() + interval '10 ms')}) for 1 .. 20;
my @got;
my $until = time + $PostgreSQL::Test::Utils::timeout_default;
push @got, fs_drain_all($node) while @got < 20 && time < $until;
is(scalar @got, 20, 'jobs that are due are promoted');
# the scheduler tells what it read now and then; 20,000 held jobs, 20 looks
cmp_ok($node->safe_psql('postgres', $reads) - $before, '<', 5000, 'without a look at those that are held');
# where they are few among many that are ready
like($node->safe_psql('postgres', q{SET enable_seqscan = off; SET enable_bitmapscan = off;
  EXPLAIN (COSTS OFF) SELECT * FROM fairsched.review_queue}),
  qr/Index Scan using jobs_0_due.*\n.*Index Cond: \(run_at = 'infinity'/, 'the view can read them by the index');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.review_queue WHERE workspace = 'many'}), '20000',
  'all of them');
$session->quit;

# ---------- rows ----------

SKIP:
{
  skip 'pageinspect is not installed', 2
    if $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pageinspect'}) eq '0';
  $node->safe_psql('postgres', 'CREATE DATABASE rows');
  $node->safe_psql('rows', q{CREATE EXTENSION fairsched; CREATE EXTENSION pageinspect;
    SELECT fairsched_enqueue('w'); SELECT fairsched_enqueue('w', min_deliberation => NULL);
    SELECT fairsched_enqueue('w', min_deliberation => 0.5); SELECT fairsched_enqueue('w', unique_key => 'k')});
  my $rows = q{SELECT string_agg((t_infomask2 & 2047)::text || CASE WHEN t_infomask & 1 = 1 THEN ' nulls' ELSE '' END
      || ' ' || t_hoff, ', ' ORDER BY lp) FROM heap_page_items(get_raw_page('fairsched.jobs_0', 0))};
  my $columns = $node->safe_psql('rows', q{SELECT count(*) FROM pg_attribute
    WHERE attrelid = 'fairsched.jobs'::regclass AND attnum > 0});
  is($node->safe_psql('rows', $rows), "20 24, 20 24, $columns nulls 32, $columns nulls 32",
    'a row without optional columns ends before them');
  $node->safe_psql('rows', q{SELECT fairsched_release_review(job_id) FROM fairsched.review_queue});
  my $lengths = q{SELECT count(*), count(*) FILTER (WHERE t_infomask2 & 2047 = 20 AND lp_len =
      (SELECT min(lp_len) FROM heap_page_items(get_raw_page('fairsched.jobs_0', 0)) WHERE lp_len > 0))
    FROM heap_page_items(get_raw_page('fairsched.jobs_0', 0)) WHERE lp <= 2};
  is($node->safe_psql('rows', $lengths), '2|2', 'and is the shortest');
}

$node->stop;
done_testing();
