# A transaction that finished a job and passed its slot on is aborted. Its rows are free before its callback has undone in
# memory what it did; somebody else ends the job in between. What was passed on is that job's again, and goes back with it.
#
# To stop an abort there: callbacks are called in the order in which they were registered, the last one first. That of
# postgres_fdw tells the other server, which here is stopped (and waits for 30 s at most).
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('gift');

if ($node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'}) == 0)
{
  $node->stop;
  plan skip_all => 'postgres_fdw is not installed';
}
$node->safe_psql('postgres', sprintf(q{CREATE EXTENSION postgres_fdw;
  CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%s', port '%s', dbname 'postgres');
  CREATE USER MAPPING FOR CURRENT_USER SERVER other;
  CREATE FOREIGN TABLE fdw_one (relname name) SERVER other OPTIONS (schema_name 'pg_catalog', table_name 'pg_class')}, $node->host, $node->port));
$node->safe_psql('postgres', q{SELECT fairsched_set_budget('b', 100, pause_at => 1), fairsched_set_quota('acme', 'cpu', 50),
  count(fairsched_enqueue('acme', budgets => '{b}', resources => '{"cost": 4, "cpu": 2}')) FROM generate_series(1, 20)});
my $figures = q{SELECT (SELECT reserved FROM fairsched.budget_status WHERE budget = 'b'),
  (SELECT used FROM fairsched.workspace_usage_current WHERE workspace = 'acme' AND resource = 'cpu'),
  (SELECT running FROM fairsched.workspace_status WHERE workspace = 'acme')};
my $between;

for (1 .. 10)
{
  my $giver = fs_session($node);
  my ($job, $token) = split /\|/, $giver->ask(q{SELECT job_id, token FROM fairsched_claim('w', 1)});

  # of 4 one is spent: three may be passed on
  $giver->ask("SELECT fairsched_record_spend('b', 1, $job)");
  is($node->safe_psql('postgres', $figures), '3|2|1', 'one runs');
  $giver->ask('BEGIN');
  $giver->ask('SELECT FROM fdw_one LIMIT 1');
  is($giver->ask("SELECT count(*) FROM fairsched_complete_and_claim(ARRAY[$job], ARRAY[$token], 'w', 1)"), '1', 'its slot is passed on');
  is($node->safe_psql('postgres', $figures), '4|2|1', 'and what it held, to one that needs 4');
  my $other = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE application_name = 'postgres_fdw' AND state = 'idle in transaction'});
  my $waits = "SELECT wait_event_type = 'Extension' AND query = 'ROLLBACK;' FROM pg_stat_activity WHERE pid = " . $giver->pid;

  kill 'STOP', $other;
  eval
  {
    $giver->start('ROLLBACK');
    $node->poll_query_until('postgres', $waits);
    is($node->safe_psql('postgres', "SELECT fairsched_complete($job, $token)"), 't', 'somebody else ends the job');
    $between = $node->safe_psql('postgres', $figures);
    # the claim that nobody will ever see needs all for itself until it is undone
    undef $between unless $node->safe_psql('postgres', $waits) eq 't';
  };
  my $error = $@;

  kill 'CONT', $other;
  die $error if $error;
  $giver->finish;
  $giver->quit;
  is($node->safe_psql('postgres', $figures), '0|0|0', 'in the end nothing is held');
  last if defined $between;
}
is($between, '1|0|0', 'in between, what was passed on went back with the job');
fs_check_ok($node, 'memory equals the rows');
$node->stop;
done_testing();
