# A restore takes its time: memory is built, and the scheduler at work, when some tables of budgets are there and
# others are to come.  What was spent counts in the end, and no threshold's crossing is written a second time.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => { max_connections => 60 });
my $settled = q{SELECT count(*) = 2 AND bool_and(m.crossed = coalesce(t.crossed, 0)) FROM fairsched.memory_budgets() m
  JOIN fairsched.budgets b USING (budget) LEFT JOIN fairsched.budget_totals t USING (budget_id)};
my $events = q{SELECT budget, event_type, resolved_at IS NULL FROM fairsched.budget_events ORDER BY event_id};
my $spent = q{SELECT budget, spent, status FROM fairsched.budget_status ORDER BY 1};
my $was = "folded|throttle|t\nnot|warn|t";

$node->safe_psql('postgres', q{
  SELECT fairsched_set_budget('folded', 10, warn_at => NULL, pause_at => NULL), fairsched_set_budget('not', 10, throttle_at => NULL, pause_at => NULL);
  SELECT fairsched_record_spend('folded', 9)});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched.budget_events}), 'a threshold is crossed');
$node->safe_psql('postgres', q{SELECT fairsched.own_changes(true); SELECT fairsched.fold_budget_spend()});
$node->safe_psql('postgres', q{SELECT fairsched_record_spend('not', 6)});
ok($node->poll_query_until('postgres', $settled), 'and another one');
is($node->safe_psql('postgres', $events), "folded|throttle|t\nnot|warn|t", 'both are written');
my $is = $node->safe_psql('postgres', $spent);

my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'dumped');
my $sql = slurp_file($dump);
$sql =~ s/^\\(un)?restrict .*\n//mg;
my @tables = $sql =~ /^(?=COPY (fairsched\.\w+) )/mg;
my @budget_tables = grep { /budget/ } @tables;

# the dump cut before each of the tables in turn: between the parts the scheduler comes
foreach my $cut (@budget_tables)
{
  my ($db) = $cut =~ /(\w+)$/;
  my $at = index($sql, "COPY $cut ");
  my @part = map { "$dump.$_" } 1, 2;

  append_to_file($part[0], substr($sql, 0, $at));
  append_to_file($part[1], "SET session_replication_role = DEFAULT;\nSELECT pg_catalog.set_config('search_path', '', false);\n" . substr($sql, $at));
  $node->safe_psql('postgres', "CREATE DATABASE cut_$db");
  $node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $part[0], '-d', $node->connstr("cut_$db") ], "$cut: restored to there");
  $node->safe_psql("cut_$db", 'SELECT public.fairsched_cancel(0)');
  fs_wait_scheduler($node, "cut_$db");
  ok($node->poll_query_until("cut_$db", q{SELECT last_run IS NOT NULL FROM fairsched.maintenance_status WHERE task = 'budgets'}), 'the scheduler was there');
  $node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $part[1], '-d', $node->connstr("cut_$db") ], 'and the rest');
  ok($node->poll_query_until("cut_$db", $settled), 'what is written and memory agree');
  fs_check_ok($node, 'memory equals the rows', "cut_$db");
  is($node->safe_psql("cut_$db", $spent), $is, 'what was spent is spent');
  is($node->safe_psql("cut_$db", $events), $was, 'each crossing is written once, and goes on');
  unlink @part;
}

# The scheduler comes when all is there, but cannot read yet what was spent: somebody spends.  Memory is new, so what it
# knows is to be compared with what is written; but it does not know enough.
my $launcher = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'fairsched launcher'});
kill 'STOP', $launcher;
my $at = index($sql, 'COPY fairsched.budget_totals ');
my @part = map { "$dump.$_" } 1, 2;
append_to_file($part[0], substr($sql, 0, $at));
append_to_file($part[1], "SELECT pg_catalog.set_config('search_path', '', false);\n" . substr($sql, $at));
$node->safe_psql('postgres', 'CREATE DATABASE alone');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $part[0], '-d', $node->connstr('alone') ], 'restored to the totals, nobody there');
$node->safe_psql('alone', 'SELECT public.fairsched_cancel(0)');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $part[1], '-d', $node->connstr('alone') ], 'and the rest');
my $spends = fs_session($node, 'alone');
$spends->ask('BEGIN; LOCK TABLE fairsched.budget_spend IN ROW EXCLUSIVE MODE');
kill 'CONT', $launcher;
fs_wait_scheduler($node, 'alone');
my $runs = q{SELECT last_run FROM fairsched.maintenance_status WHERE task = 'budgets'};
ok($node->poll_query_until('alone', "SELECT count(*) = 1 FROM ($runs) r WHERE last_run IS NOT NULL"), 'the scheduler was there');
my $ran = $node->safe_psql('alone', $runs);
ok($node->poll_query_until('alone', "SELECT last_run > '$ran'::timestamptz + interval '3 s' FROM ($runs) r"), 'again and again');
is($node->safe_psql('alone', $events), $was, 'it wrote nothing');
$spends->ask('COMMIT');
$spends->quit;
ok($node->poll_query_until('alone', $settled), 'what is written and memory agree');
is($node->safe_psql('alone', $spent), $is, 'what was spent is spent');
is($node->safe_psql('alone', $events), $was, 'each crossing is written once, and goes on');
$node->stop;
done_testing();
