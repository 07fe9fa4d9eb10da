# What is spent is what the rows say, at every moment: on a standby while jobs spend, in a dump taken
# meanwhile, after promotion, after kill -9 of who spends. Every job spends one of the budget when it completes
# and leaves the table in the same transaction, so that spent plus jobs left is always the number of jobs.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $jobs = 30000;
my $node = fs_node('primary', init => [ allows_streaming => 1 ],
  conf => { max_connections => 60, log_min_messages => 'error', restart_after_crash => 'on', 'fairsched.worker_timeout' => '10min' });

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

$node->safe_psql('postgres', qq{
  SELECT fairsched_set_budget('sum', $jobs, warn_at => 0.01, throttle_at => 0.02, throttle_action => 'alert', pause_at => NULL),
    fairsched_set_budget('tokens', $jobs * 3, dimension => 'tokens', pause_at => NULL), fairsched_set_budget('other', 5, pause_at => NULL);
  SELECT fairsched_create_workspace('acme', max_running => 40);
  SELECT count(fairsched_enqueue_many('acme', (SELECT array_agg('{}'::jsonb) FROM generate_series(1, 10000)), budgets => '{sum,tokens}',
    resources => '{"cost": 1, "tokens": 3}')) FROM generate_series(1, $jobs / 10000);
  CREATE UNLOGGED TABLE held (job_id bigint PRIMARY KEY, token bigint);
  ALTER TABLE held SET (autovacuum_enabled = off)});

# one statement, one snapshot: how far rows are from the truth; NULL where there are none
my $off = qq{SELECT (SELECT count(*) FROM fairsched.jobs WHERE workspace = 'acme') + (SELECT spent / 1000000 FROM fairsched.budget_rows() WHERE (b).budget = 'sum') - $jobs,
  (SELECT count(*) FROM fairsched.jobs WHERE workspace = 'acme') * 3 + (SELECT spent / 1000000 FROM fairsched.budget_rows() WHERE (b).budget = 'tokens') - $jobs * 3};
my $left = q{SELECT count(*) FROM fairsched.jobs WHERE workspace = 'acme'};
my $take = q{INSERT INTO held SELECT job_id, token FROM fairsched_claim('w' || :client_id, :n, lease => '1 hour');};
my $give = q{WITH h AS (SELECT * FROM held ORDER BY random() LIMIT :n FOR UPDATE SKIP LOCKED),
    c AS MATERIALIZED (SELECT h.* FROM h WHERE fairsched_complete(h.job_id, h.token, usage => '{"cost": 1, "tokens": 3}'))
  DELETE FROM held USING c WHERE held.job_id = c.job_id;};
my $n = "\\set n random(1, 4)\n\\sleep 2 ms\n";
my %load = (
  "$n$take" => 6,
  "$n$give" => 6,
  "${n}BEGIN;\n$give\n$take\nCOMMIT;\n" => 2,
  "${n}BEGIN;\n$give\n$take\nROLLBACK;\n" => 1,
  "${n}BEGIN;\n$take\nSAVEPOINT a;\n$give\nROLLBACK TO a;\n$give\nCOMMIT;\n" => 2,
  # what one job records on the way is of another budget
  "${n}SELECT fairsched_record_spend('other', 0.001);\n" => 1,
  # the rows are added up again and again while others spend
  "BEGIN;\nSELECT fairsched.own_changes(true);\nSELECT fairsched.fold_budget_spend() FROM pg_advisory_xact_lock(1);\nCOMMIT;\n\\sleep 50 ms\n" => 1);

# the same on every server: memory equals the rows, and what is reserved is what the running jobs declare
sub settled_ok
{
  my ($server, $name) = @_;
  local $Test::Builder::Level = $Test::Builder::Level + 1;

  fs_check_ok($server, "$name: memory equals the rows before the first claim");
  is($server->safe_psql('postgres', $off), '0|0', "$name: nothing is lost, nothing counted twice");
  is($server->safe_psql('postgres', q{SELECT budget, spent, reserved, running FROM fairsched.budget_status WHERE budget <> 'other' ORDER BY 1}),
    $server->safe_psql('postgres', q{SELECT v.name, (r.spent / 1000000), n * f, n FROM (VALUES ('sum', 1), ('tokens', 3)) v(name, f)
      JOIN fairsched.budget_rows() r ON (r.b).budget = v.name, (SELECT count(*) AS n FROM fairsched.jobs WHERE state = 'running') c ORDER BY 1}),
    "$name: spent and reserved are what the rows say");
}

# --- a standby, and a dump, while jobs spend
my $stop = $node->basedir . '/stop';
my $load = fs_pgbench($node, \%load, clients => 6, transactions => 20, forever => $stop);
my @wrong;
my $dump = $node->basedir . '/dump.sql';
my $looks = 20;

ok($node->poll_query_until('postgres', "SELECT ($left) < $jobs - 100"), 'jobs spend');
for (1 .. $looks)
{
  foreach ($node, $standby)
  {
    my $is = $_->safe_psql('postgres', $off);

    # the standby may not have come to the budget yet
    push @wrong, $_->name . ": $is" if $is ne '0|0' && ($is ne '|' || $_ == $node);
  }
  # enough for what follows is to be left
  last if $node->safe_psql('postgres', $left) < $jobs / 2;
}
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'dumped while jobs spend');
append_to_file($stop, 'now');
ok(fs_finish($load), 'no client met an error');
is("@wrong", '', "rows agree at each of $looks looks, on the standby as well");
fs_check_ok($node, 'memory equals the rows');

# --- the dump: all of one moment
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('copy') ], 'restored');
is($node->safe_psql('copy', $off), '0|0', 'what was spent and what is left add up in the dump');
ok($node->poll_query_until('copy', q{SELECT bool_and(ok) FROM fairsched_check()}), 'memory takes it over');
is($node->safe_psql('copy', q{SELECT sum(reserved), sum(running) FROM fairsched.budget_status}), '0|0', 'nobody runs there, nothing is reserved');
my $settled = q{SELECT bool_and(m.crossed = coalesce(t.crossed, 0)) FROM fairsched.memory_budgets() m
  JOIN fairsched.budgets b USING (budget) LEFT JOIN fairsched.budget_totals t USING (budget_id)};
ok($node->poll_query_until('copy', $settled), 'its events are written');
is($node->safe_psql('copy', q{SELECT count(*) FROM (SELECT budget, event_type FROM fairsched.budget_events GROUP BY 1, 2 HAVING count(*) <> 1) e}),
  '0', 'each once, whether it came with the dump or was written here');
is($node->safe_psql('copy', q{SELECT fairsched_set_budget('new', 1);
    SELECT budget_id > ALL (SELECT budget_id FROM fairsched.budgets WHERE budget <> 'new') FROM fairsched.budgets WHERE budget = 'new'}),
  "\nt", 'a new budget has a new number');
ok($node->poll_query_until('copy', q{SELECT count(*) FILTER (WHERE fairsched_complete(job_id, token, usage => '{"cost": 1, "tokens": 3}')) > 0
    FROM fairsched_claim('w', 40)}), 'and jobs of it run there');
is($node->safe_psql('copy', $off), '0|0', 'and spend');
fs_check_ok($node, 'memory equals the rows there', 'copy');
$node->safe_psql('postgres', 'DROP DATABASE copy (FORCE)');

# --- kill -9 of a session that spends, several times
foreach my $round (1 .. 3)
{
  my $killed = fs_pgbench($node, \%load, clients => 6, time => 150);
  my $before = $node->safe_psql('postgres', $left);
  ok($node->poll_query_until('postgres', "SELECT ($left) < $before - 200"), "round $round: jobs spend");
  my $open = fs_session($node);
  $open->ask('BEGIN');
  $open->ask(q{SELECT count(*) FILTER (WHERE fairsched_complete(job_id, token, usage => '{"cost": 1, "tokens": 3}')) FROM fairsched_claim('victim', 2)});
  ok(fs_kill($node, $open->pid), 'the server is back');
  $open->gone;
  $killed->{handle}->finish;
  settled_ok($node, "kill -9, round $round");
  # an unlogged table is empty after a crash; those that run are found by their tokens
  $node->safe_psql('postgres', 'INSERT INTO held SELECT job_id, token FROM fairsched.running_jobs ON CONFLICT DO NOTHING');
}

# --- promotion while jobs spend
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'}), 'the standby is there');
$load = fs_pgbench($node, \%load, clients => 6, time => 150);
my $before = $node->safe_psql('postgres', $left);
ok($node->poll_query_until('postgres', "SELECT ($left) < $before - 200"), 'jobs spend');
$node->safe_psql('postgres', q{SELECT fairsched_record_spend('tokens', 0)});
$node->stop('immediate');
$load->{handle}->finish;
cmp_ok($standby->safe_psql('postgres', $left), '>', 1000, 'there is something left to do');
is($standby->safe_psql('postgres', q{SELECT spent = (SELECT spent / 1e6 FROM fairsched.budget_rows() WHERE (b).budget = 'sum'), reserved IS NULL
    FROM fairsched.budget_status WHERE budget = 'sum'}), 't|t', 'a standby shows what is spent, from rows');
$standby->promote;
settled_ok($standby, 'promoted');

# --- to the end: every job has spent once
my $finish = q{SELECT count(*) FILTER (WHERE fairsched_complete(job_id, token, usage => '{"cost": 1, "tokens": 3}')) FROM };
$standby->safe_psql('postgres', "$finish fairsched.running_jobs");
1 while $standby->safe_psql('postgres', "$finish fairsched_claim('last', 1000)") > 0;
is($standby->safe_psql('postgres', $left), '0', 'all jobs are done');
is($standby->safe_psql('postgres', q{SELECT budget, spent, reserved, running FROM fairsched.budget_status WHERE budget <> 'other' ORDER BY 1}),
  "sum|$jobs|0|0\ntokens|" . $jobs * 3 . '|0|0', 'and each has spent what it had to, once');
ok($standby->poll_query_until('postgres', $settled), 'events are written');
is($standby->safe_psql('postgres', q{SELECT budget, string_agg(event_type, ',' ORDER BY event_id) FROM fairsched.budget_events WHERE budget <> 'other' GROUP BY 1 ORDER BY 1}),
  "sum|warn,throttle\ntokens|warn,throttle", 'each once, through all of that');
fs_check_ok($standby, 'memory equals the rows');
$standby->stop;
done_testing();
