# What the TAP tests of fairsched share: servers with the extension, sessions whose errors can be
# read, and pgbench clients in the background.
package Fairsched;

use strict;
use warnings FATAL => 'all';

# What a single wait may take: far more than it ever does, on a machine with much else to do. Set before
# PostgreSQL::Test::Utils reads it.
BEGIN
{
  $ENV{PG_TEST_TIMEOUT_DEFAULT} ||= 180;
  $ENV{PGCTLTIMEOUT} ||= 180;
}

use Exporter 'import';
use File::Basename qw(dirname);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT = qw(
  fs_node fs_conf fs_session fs_error fs_rows
  fs_pgbench fs_finish fs_ended fs_scheduler_pid fs_wait_scheduler
  fs_check_ok fs_drain_all fs_claim_until fs_kill fs_page_ok
);

# What happens by itself after some time, and would happen in the middle of a test on a slow machine: not
# before an hour. A test of such a thing sets its time.
my %calm = (
  autovacuum                       => 'off',
  'fairsched.worker_timeout'       => "'1h'",
  'fairsched.priority_aging'       => "'1h'",
  'fairsched.preemption_interval'  => "'1h'",
  'fairsched.preemption_grace'     => "'1h'",
  'fairsched.fairness_interval'    => "'1h'");

# fs_conf: the settings every test server has; %extra is appended, one "name = value" each. With
# $ENV{FAIRSCHED_SOFT_CLAIMS} claims are not durable: tests of another file set it and run this one.
sub fs_conf
{
  my ($node, %extra) = @_;
  my %conf = (
    shared_preload_libraries    => "'fairsched'",
    log_statement               => 'none',
    %calm,
    max_worker_processes        => 16,
    'fairsched.max_own_tables'  => 100,
    'fairsched.max_workspaces'  => 10000,
    $ENV{FAIRSCHED_SOFT_CLAIMS} ? ('fairsched.durable_claims' => 'off') : (),
    %extra);

  $node->append_conf('postgresql.conf',
    join('', map { "$_ = $conf{$_}\n" } grep { defined $conf{$_} } sort keys %conf));
  return;
}

# fs_node: a running server with the extension in database postgres.
#   conf    => {...}  settings
#   init    => [...]  arguments of $node->init
#   created => 0      without CREATE EXTENSION
#   as_installed => 1 claims without a lease have the usual one
sub fs_node
{
  my ($name, %opt) = @_;
  my $node = PostgreSQL::Test::Cluster->new($name);

  $node->init(@{ $opt{init} || [] });
  fs_conf($node, %{ $opt{conf} || {} });
  $node->start;
  if (!defined $opt{created} || $opt{created})
  {
    $node->safe_psql('postgres', 'CREATE EXTENSION fairsched');
    fs_calm_leases($node, 'postgres') unless $opt{as_installed};
  }
  return $node;
}

# fs_calm_leases: in this database a claim that names no lease gets one of an hour, so that on a slow machine it
# does not run out between two lines of a test.
sub fs_calm_leases
{
  my ($node, $db) = @_;

  return $node->safe_psql($db, PostgreSQL::Test::Utils::slurp_file(dirname(__FILE__) . '/../leases.sql'));
}

# fs_error: what psql writes to stderr for $sql, with the SQLSTATE; '' when it succeeds.
sub fs_error
{
  my ($node, $sql, $db) = @_;
  my ($rc, $out, $err) = $node->psql($db || 'postgres', "\\set VERBOSITY verbose\n$sql");

  return $rc == 0 ? '' : $err;
}

# fs_rows: the result of a query as a list of lists.
sub fs_rows
{
  my ($node, $sql, $db) = @_;

  return map { [ split /\|/, $_, -1 ] } split /\n/, $node->safe_psql($db || 'postgres', $sql);
}

# fs_pgbench: starts pgbench in the background. $scripts is a hash of script text => weight.
#   clients, db, time (seconds) or transactions (per client), app (application_name),
#   vars => {...}, forever => file: start again, whatever happens, until that file exists
my $nscripts = 0;

sub fs_pgbench
{
  my ($node, $scripts, %opt) = @_;
  my $clients = $opt{clients} || 1;
  my $dir = $node->basedir;
  my @cmd = (
    $node->config_data('--bindir') . '/pgbench',
    '-n', '-c', $clients, '-j', $clients > 4 ? 2 : 1, '-M', $opt{mode} || 'simple',
    '-h', $node->host, '-p', $node->port);
  # into files: nobody reads what it says before it ends, and a pipe that is full would stop it
  my $run = { err => '', errfile => "$dir/pgbench_" . $nscripts++ . '.err' };

  push @cmd, '-T', $opt{time} if $opt{time};
  push @cmd, '-t', $opt{transactions} if $opt{transactions};
  push @cmd, '-D', "$_=$opt{vars}{$_}" foreach sort keys %{ $opt{vars} || {} };
  foreach my $text (sort keys %$scripts)
  {
    my $file = "$dir/script_" . $nscripts++ . '.sql';

    append_to_file($file, $text);
    push @cmd, '-f', "$file\@$scripts->{$text}";
  }
  push @cmd, $opt{db} || 'postgres';
  if ($opt{forever})
  {
    my $words = join ' ', map { "'$_'" } @cmd;

    # and not longer than this test, however that ends
    @cmd = ('sh', '-c', "while [ ! -e '$opt{forever}' ] && kill -0 $$ 2>/dev/null; do $words; done; true");
  }
  {
    local $ENV{PGAPPNAME} = $opt{app} || 'pgbench';
    $run->{handle} = IPC::Run::start(\@cmd, '<', \undef, '>', '/dev/null', '2>', $run->{errfile},
      IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
  }
  return $run;
}

# fs_ended: waits for a pgbench that may have met errors; they are in $run->{err}.
sub fs_ended
{
  my ($run) = @_;
  my $ok = $run->{handle}->finish;

  $run->{err} = slurp_file($run->{errfile});
  return $ok;
}

# fs_finish: waits for a pgbench; true when no client of it met an error.
sub fs_finish
{
  my ($run) = @_;
  my $ok = fs_ended($run) && $run->{err} !~ /ERROR|FATAL|PANIC|aborted/;

  diag($run->{err}) unless $ok;
  return $ok;
}

my $scheduler = q{SELECT pid FROM pg_stat_activity
  WHERE backend_type LIKE 'fairsched%' AND datname = current_database()};

# fs_scheduler_pid: the scheduler worker of a database, as soon as there is one.
sub fs_scheduler_pid
{
  my ($node, $db) = @_;

  fs_wait_scheduler($node, $db);
  return $node->safe_psql($db || 'postgres', $scheduler);
}

# fs_wait_scheduler: until the database has one that is not $old.
sub fs_wait_scheduler
{
  my ($node, $db, $old) = @_;

  $old ||= 0;
  return $node->poll_query_until($db || 'postgres',
    "SELECT count(*) = 1 AND bool_and(pid <> $old) FROM ($scheduler) s");
}

# fs_check_ok: the counters in memory equal the rows.  What a background worker has under way is a difference
# until it is committed, so there may be several looks; what is wrong stays.
sub fs_check_ok
{
  my ($node, $name, $db) = @_;
  my $until = time() + 30;
  my $different;
  local $Test::Builder::Level = $Test::Builder::Level + 1;

  while (($different = $node->safe_psql($db || 'postgres', 'SELECT * FROM fairsched_check() WHERE NOT ok')) ne '' && time() < $until)
  {
    usleep(50_000);
  }
  return is($different, '', $name);
}

# fs_drain_all: claims and completes until nothing is left; the ids in the order they came.
sub fs_drain_all
{
  my ($node, $db, $args) = @_;
  my @ids;

  $args ||= "worker => 'drainer', max_jobs => 1000";
  while (1)
  {
    my @got = split /\n/, $node->safe_psql($db || 'postgres', qq{
      SELECT c.job_id FROM fairsched_claim($args) WITH ORDINALITY c
        WHERE fairsched_complete(c.job_id, c.token) ORDER BY c.ordinality});

    last unless @got;
    push @ids, @got;
  }
  return @ids;
}

# fs_page_ok: docs/PAGE, run as it is written: each block of SQL, and what it says comes out. One SELECT that only reads from
# what $read matches is repeated until it does: some things come a moment later.
sub fs_page_ok
{
  my ($node, $page, $least, $read) = @_;
  my $text = slurp_file("$FindBin::RealBin/../../docs/$page");
  my @blocks;

  push @blocks, [ $1, $2 ] while $text =~ /^```sql\n(.*?)^```\n(?:```text\n(.*?)^```\n)?/msg;
  cmp_ok(scalar @blocks, '>', $least, "$page: it has blocks of SQL");
  foreach my $block (@blocks)
  {
    my ($sql, $want) = @$block;
    my ($first) = split /\n/, $sql;
    my $got;
    my $until = time + $PostgreSQL::Test::Utils::timeout_default;

    while (1)
    {
      $got = $node->safe_psql('postgres', $sql);
      $got =~ s/^\n+//;
      last if !defined $want || $got eq $want =~ s/\n\z//r || $sql !~ /\A\s*SELECT [^;]* FROM $read[^;]*;\s*\z/ || time > $until;
      $node->safe_psql('postgres', 'SELECT pg_sleep(0.05)');
    }
    $got =~ s/^\n//mg;
    if (defined $want) { is("$got\n", $want, $first) }
    else { pass($first) }
  }
  fs_check_ok($node, 'memory equals the rows');
  return;
}

# fs_claim_until: claims until there is something; job_id, token and attempt of the first job, or
# nothing when the time is over.
sub fs_claim_until
{
  my ($node, $args, $db) = @_;
  my $until = time + $PostgreSQL::Test::Utils::timeout_default;

  while (time < $until)
  {
    my ($row) = fs_rows($node, "SELECT job_id, token, attempt FROM fairsched_claim($args)", $db);

    return @$row if $row;
    $node->safe_psql($db || 'postgres', 'SELECT pg_sleep(0.05)');
  }
  return;
}

# fs_kill: kills a backend with -9, and returns when the server is there again after its crash. Not by
# poll_query_until, which may die of a psql that is refused before it was told the query.
sub fs_kill
{
  my ($node, $pid) = @_;
  my $checkpointer = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'};
  my $before = $node->safe_psql('postgres', $checkpointer);
  my $until = time() + $PostgreSQL::Test::Utils::timeout_default;

  kill 'KILL', $pid;
  while (time() < $until)
  {
    my ($out, $err) = ('', '');

    IPC::Run::run([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', $checkpointer ], '<', \undef, '>', \$out, '2>', \$err);
    return 1 if $out =~ /^(\d+)$/ && $1 != $before;
    usleep(50_000);
  }
  return 0;
}

# fs_session: a psql that stays, for open transactions.
sub fs_session
{
  my ($node, $db) = @_;

  return Fairsched::Session->new($node, $db || 'postgres');
}

package Fairsched::Session;

use Test::More;

sub new
{
  my ($class, $node, $db) = @_;
  my $self = bless { psql => $node->background_psql($db, on_error_stop => 0) }, $class;

  # the time is for each query, not for all of the session
  $self->{psql}->set_query_timer_restart();
  $self->ask('\set VERBOSITY verbose');
  $self->{pid} = $self->ask('SELECT pg_backend_pid()');
  return $self;
}

sub pid { return $_[0]{pid} }

# ask: the output of a query that must succeed.
sub ask
{
  my ($self, $sql) = @_;
  my ($out, $err) = $self->try($sql);

  die "query failed: $sql\n$err" if $err =~ /ERROR|FATAL|PANIC/;
  return $out;
}

# try: output and messages of a query that may fail. With separators of our own: BackgroundPsql's
# query() of some minor versions leaves half a separator to the next query, and may return before
# the messages came.
sub try
{
  my ($self, $sql) = @_;
  my $psql = $self->{psql};
  my $end = 'end of query ' . ++$self->{queries};

  note "session query: $sql";
  $psql->{stderr} = '';
  my $out = $psql->query_until(qr/$end\n/, "$sql\n;\n\\echo $end\n\\warn $end\n");
  die "no messages: $sql"
    unless PostgreSQL::Test::Utils::pump_until($psql->{run}, $psql->{timeout}, \$psql->{stderr}, qr/$end\n/);
  my $err = $psql->{stderr};
  $psql->{stderr} = '';
  s/\n?$end\n// foreach $out, $err;
  return ($out, $err);
}

# fails: the messages of a query.
sub fails
{
  my ($self, $sql) = @_;

  return ($self->try($sql))[1];
}

# start: sends a query whose end somebody else decides; finish gives its output.
sub start
{
  my ($self, $sql) = @_;

  $self->{psql}{stderr} = '';
  $self->{psql}->query_until(qr/started\n/, "\\echo started\n$sql;\n\\echo finished\n");
  return;
}

sub finish
{
  my ($self) = @_;
  my $out = $self->{psql}->query_until(qr/finished\n/, '');

  $out =~ s/\n?finished\n//;
  return $out;
}

# gone: for a session whose backend was killed.
sub gone
{
  my ($self) = @_;

  eval { $self->{psql}{run}->kill_kill };
  return;
}

sub quit
{
  my ($self) = @_;

  return $self->{psql}->quit;
}

1;
