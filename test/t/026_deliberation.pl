# Reasoning quality: the text gets into no file of the server and not into its log, also where a call
# fails; it is read in every encoding; scores are dumped, restored, and removed in time.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use File::Find;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => { log_lock_waits => 'on', deadlock_timeout => '10ms' });
my $bin = $node->config_data('--bindir');

# holds: those of the files that it is in. One that was removed meanwhile has nothing.
sub holds
{
  my ($string, @files) = @_;
  my @found;

  foreach my $file (@files)
  {
    open my $fh, '<:raw', $file or next;
    local $/;
    my $content = <$fh>;

    push @found, $file if defined $content && index($content, $string) >= 0;
    close $fh;
  }
  return join ' ', @found;
}

# data_files: every file below the data directory, WAL included.
sub data_files
{
  my @files;

  find(sub { push @files, $File::Find::name if -f && -r }, $node->data_dir);
  return @files;
}

# ---------- nothing of the text ----------

# Nothing that this file is named by, and long enough not to be there by chance.
my $secret = join '', map { chr(97 + ($_ * 7) % 26) } 1 .. 40;
my $goal = join '', reverse split //, $secret;
my $text = "First $secret. Then it is so, because of $secret.";
my $call = "fairsched_score_deliberation('$text', goal => '$goal'";

$node->safe_psql('postgres', "SELECT $call, run_id => 'kept_run', model => 'kept_model')");
is($node->safe_psql('postgres', q{SELECT recommendation FROM fairsched.low_quality_reasoning}),
  'reject', 'scored');
my $run = fs_pgbench($node, { "SELECT fairsched_score_deliberation(:text, run_id => 'by_parameter');" => 1 },
  transactions => 3, mode => 'extended', vars => { text => $secret });
ok(fs_finish($run), 'by parameter');

# What fails: refused here, or interrupted while the row is inserted.
my %fails = (
  'tokens => -1'                          => qr/tokens must not be negative/,
  'job_id => 0'                           => qr/job_id must be positive/,
  "run_id => ''"                          => qr/run_id must have 1 to 128 bytes/,
  "phase => ''"                           => qr/phase must have 1 to 128 bytes/,
  "model => repeat('m', 200)"             => qr/model must have 1 to 128 bytes/);
foreach my $argument (sort keys %fails)
{
  my $error = fs_error($node, "SELECT $call, $argument)");

  like($error, $fails{$argument}, "$argument is refused");
  unlike($error, qr/$secret|$goal/, 'without the text');
}
like(fs_error($node, "BEGIN READ ONLY; SELECT $call)"), qr/ERROR:  25006/, 'a read-only transaction');
like(fs_error($node, qq{DO \$\$ BEGIN EXECUTE format('SELECT fairsched_score_deliberation(%L, -1)',
    '$text'); END \$\$}), qr/job_id must be positive/, 'text put together in a function');

my $locker = fs_session($node);
$locker->ask('BEGIN; LOCK TABLE fairsched.deliberation_scores');
my $error = fs_error($node, "SET lock_timeout = '100ms'; SELECT $call)");
like($error, qr/ERROR:  55P03/, 'lock timeout');
unlike($error, qr/$secret|$goal/, 'without the text');
like(fs_error($node, "SET statement_timeout = '100ms'; SELECT $call)"), qr/ERROR:  57014/,
  'statement timeout');
my $waiter = fs_session($node);
$waiter->start("SELECT $call)");
ok($node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity
  WHERE pid = " . $waiter->pid), 'a call waits');
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $waiter->pid . ')');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_activity
  WHERE pid = ' . $waiter->pid), 'and is terminated');
$waiter->gone;
$locker->ask('ROLLBACK');
$locker->quit;

# What the server itself says of a statement that fails elsewhere is its own affair: the log has a text
# that was written into the statement, but not one that came as a parameter. This also shows that
# the search finds what is there.
like(fs_error($node, q{SELECT fairsched_score_deliberation('seen in the statement'), no_such_column}),
  qr/42703/, 'an error of the statement');
$run = fs_pgbench($node, { 'SELECT fairsched_score_deliberation(:text), 1 / :zero::int;' => 1 },
  transactions => 1, mode => 'extended', vars => { text => $secret, zero => 0 });
fs_ended($run);
like($run->{err}, qr/division by zero/, 'an error after the call, with a parameter');

$node->safe_psql('postgres', 'CHECKPOINT');
my @files = data_files();
my $log = $node->logfile;
isnt(holds('kept_run', @files), '', 'what is kept is found in the files');
is(holds($_, @files), '', 'the text is not') foreach $secret, $goal;
isnt(holds('tokens must not be negative', $log), '', 'errors are in the log');
isnt(holds('canceling statement due to lock timeout', $log), '', 'those of interrupted calls too');
isnt(holds('terminating connection', $log), '', 'and their end');
isnt(holds('still waiting for', $log), '', 'and that they waited');
isnt(holds('division by zero', $log), '', 'and what failed with a parameter');
isnt(holds('seen in the statement', $log), '', 'a statement that fails elsewhere is logged by the server');
is(holds($_, $log), '', 'the text is not') foreach $secret, $goal;
$node->restart;
@files = data_files();
is(holds($_, @files, $log), '', 'nor after a restart') foreach $secret, $goal;

# ---------- encodings ----------

my %encoded = (
  UTF8      => q{('Die GRÖßE ist, was sie ist', goal => 'größe Straße')},
  LATIN1    => q{('Die GRÖßE ist, was sie ist', goal => 'größe Straße')},
  # bytes, whatever they mean
  SQL_ASCII => q{(E'Die gr\\xF6\\xDFe ist, was sie ist', goal => E'gr\\xF6\\xDFe stra\\xDFe')},
  # 0x81 stands for nothing in this one
  WIN1252   => q{(convert_from('\x446965206772f6df6520818181', 'WIN1252'), goal => 'größe Straße')},
  EUC_JP    => q{('計画は計画です。', goal => '計画は計 実行する')});
foreach my $encoding (sort keys %encoded)
{
  my $db = 'in_' . lc $encoding;

  $node->safe_psql('postgres',
    "CREATE DATABASE $db ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
  $node->safe_psql($db, 'CREATE EXTENSION fairsched');
  is($node->safe_psql($db, "SET client_encoding = 'UTF8';
    SELECT relevance_score FROM fairsched_score_deliberation$encoded{$encoding}"),
    '0.50', "$encoding: half of the goal is found");
}
is($node->safe_psql('in_latin1', q{SET client_encoding = 'UTF8';
  SELECT tokens FROM fairsched_score_deliberation(repeat('ä', 40000))}), '10000',
  'a large text in another encoding');

# Settings may be those of a database.
$node->safe_psql('postgres', 'ALTER DATABASE in_latin1 SET fairsched.deliberation_max_tokens = 1');
is($node->safe_psql($_->[0], q{SELECT recommendation FROM fairsched_score_deliberation('12345678')}),
  $_->[1], "$_->[0]: $_->[1]") foreach [ 'in_latin1', 'fallback' ], [ 'in_utf8', 'reject' ];

# ---------- dump and restore ----------

my $scores = 'SELECT * FROM fairsched.deliberation_scores ORDER BY score_id';
my $dump = $node->basedir . '/dump.custom';
my @connect = ('-h', $node->host, '-p', $node->port);
command_ok([ "$bin/pg_dump", @connect, '-Fc', '-f', $dump, 'postgres' ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
command_ok([ "$bin/pg_restore", @connect, '--exit-on-error', '-d', 'restored', $dump ], 'pg_restore');
is($node->safe_psql('restored', $scores), $node->safe_psql('postgres', $scores), 'the scores are there');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM fairsched.deliberation_scores'), '>=', 4,
  'and there are some');
is($node->safe_psql('restored', q{SELECT s.score_id > max(d.score_id)
  FROM fairsched_score_deliberation('x') s, fairsched.deliberation_scores d
  GROUP BY s.score_id}), 't', 'a new one has a new id');

# ---------- retention ----------

$node->safe_psql('postgres', q{
  TRUNCATE fairsched.deliberation_scores;
  INSERT INTO fairsched.deliberation_scores (run_id, depth_score, coherence_score, relevance_score,
    overall_score, tokens, recommendation, reasoning_steps, logical_issues, off_topic_segments,
    scored_at)
  SELECT CASE WHEN i <= 25000 THEN 'old' ELSE 'young' END, 0, 0, 0, 0, 0, 'reject', 0, 0, 0,
    now() - CASE WHEN i <= 25000 THEN interval '49 hours' ELSE interval '47 hours' END
  FROM generate_series(1, 25010) i});
$node->append_conf('postgresql.conf', "fairsched.deliberation_retention = '2d'");
# It is looked at when the server has started.
$node->restart;
ok($node->poll_query_until('postgres',
  "SELECT count(*) = 0 FROM fairsched.deliberation_scores WHERE run_id = 'old'"),
  'scores past their retention are removed, also more than are at once');
is($node->safe_psql('postgres', q{SELECT run_id, count(*) FROM fairsched.deliberation_scores
  GROUP BY run_id}), 'young|10', 'others are not');

$node->stop;
done_testing();
