# The capacity signal from the outside: who counts as a worker of a lane, how many are wanted, what
# survives a restart, a crash and a dump, who keeps it going. The decision over time is in
# test/unit/test_recommend.c.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => { max_connections => 60, 'fairsched.capacity_interval' => "'100ms'",
  'fairsched.capacity_cooldown' => "'0s'", 'fairsched.worker_timeout' => "'600s'" });

sub signal
{
  my ($columns, $lane, $db) = @_;

  return $node->safe_psql($db || 'postgres', "SELECT $columns FROM fairsched.capacity_recommendation WHERE lane = '"
    . ($lane || 'default') . q{'});
}

sub signal_until
{
  my ($condition, $name, $lane) = @_;
  local $Test::Builder::Level = $Test::Builder::Level + 1;

  return ok($node->poll_query_until('postgres', "SELECT $condition FROM fairsched.capacity_recommendation WHERE lane = '"
        . ($lane || 'default') . q{'}), $name);
}

# ---------- the scheduler keeps it going, and rests ----------

ok($node->poll_query_until('postgres', q{SELECT last_run IS NOT NULL AND next_run IS NULL AND failures = 0
  FROM fairsched.maintenance_status WHERE task = 'capacity'}), 'nothing to do: the task rests');
my $rested = $node->safe_psql('postgres', q{SELECT last_run FROM fairsched.maintenance_status WHERE task = 'capacity'});
$node->safe_psql('postgres', q{SELECT count(fairsched_enqueue('w' || i % 7)) FROM generate_series(1, 200) i});
ok($node->poll_query_until('postgres', qq{SELECT last_run > '$rested' AND next_run IS NOT NULL
  FROM fairsched.maintenance_status WHERE task = 'capacity'}), 'jobs wake it');

# ---------- workers: who serves a lane, who is busy ----------

is(signal('desired_workers, current_workers, reason'), '1|0|backlog', 'one worker to begin with');
$node->safe_psql('postgres', qq{SELECT fairsched_register_worker('r$_', slots => 4)}) foreach 1 .. 3;
is(signal('current_workers'), '0', 'a worker serves what it asks for');
$node->safe_psql('postgres', qq{SELECT count(*) FROM fairsched_claim('r$_', 2, lease => '1 hour', lanes => '{default,other}')})
  foreach 1 .. 3;
is(signal('current_workers, busy_workers, running, slots_per_worker'), '3|3|6|4', 'three workers of four slots');
$node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('more', 10, lease => '1 hour')});
is(signal('current_workers, busy_workers, running, slots_per_worker'), '4|4|16|5.5', 'who claims ten at a time has ten slots');
is(signal('desired_workers >= busy_workers'), 't', 'none who holds jobs is sent away');
$node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('idler', 1, capabilities => '{}', lanes => '{default}'), fairsched_release(job_id, token)});
is(signal('current_workers, busy_workers'), '5|4', 'nor is one who holds nothing forgotten');
$node->safe_psql('postgres', q{SELECT fairsched_unregister_worker('idler')});
is(signal('current_workers, busy_workers'), '4|4', 'but one who said goodbye');
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('w1', lane => 'other')});
is(signal('current_workers, busy_workers', 'other'), '0|0',
  'a lane that had no job when it was asked for is served by nobody yet');
$node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('r1', 1, lease => '1 hour', lanes => '{other}')});
is(signal('current_workers, busy_workers', 'other'), '1|1', 'then by who asks');
is(signal('current_workers, busy_workers'), '4|4', 'and who holds jobs of another lane serves that too');

# ---------- as many as needed ----------

$node->safe_psql('postgres', q{INSERT INTO fairsched.capacity_settings (lane, dwell_target) VALUES ('default', '1 ms')});
signal_until('desired_workers > current_workers AND reason = \'backlog\' AND wanted_workers = desired_workers', 'the backlog wants more workers');
$node->safe_psql('postgres', q{UPDATE fairsched.capacity_settings SET dwell_target = '1 day'});
is(signal('dwell_target, desired_workers = greatest(wanted_workers, busy_workers)'), '24:00:00|t', 'patience does with fewer, at once without a cool-down');
$node->append_conf('postgresql.conf', "fairsched.capacity_cooldown = '1h'\n");
$node->safe_psql('postgres', q{UPDATE fairsched.capacity_settings SET dwell_target = '1 ms'});
$node->reload;
signal_until('desired_workers > current_workers', 'more again');
$node->poll_query_until('postgres', q{SELECT current_setting('fairsched.capacity_cooldown') = '1h'});
my $before = signal('desired_workers');
$node->safe_psql('postgres', q{UPDATE fairsched.capacity_settings SET dwell_target = '1 day'});
signal_until(qq{desired_workers >= $before AND wanted_workers < desired_workers AND detail ~ 'fewer not before'}, 'with one they stay');

# ---------- many readers at once, and a pin ----------

my $readers = fs_pgbench($node, { "SELECT desired_workers FROM fairsched.capacity_recommendation;\n" => 3,
    "SELECT fairsched_pin_capacity('default', 77, now() + interval '1 hour');\nSELECT fairsched_pin_capacity('default', NULL);\n" => 1 },
  clients => 6, transactions => 60);

ok(fs_finish($readers), 'six sessions read and pin');
is(signal('reason = \'pinned\', pinned_workers'), 'f|', 'the last that was committed holds: not pinned');
$node->safe_psql('postgres', q{SELECT fairsched_pin_capacity('default', 42); SELECT fairsched_pin_capacity('other', 5, now() + interval '1 day')});
is(signal('desired_workers, reason'), '42|pinned', 'pinned');

# ---------- restart, crash ----------

my $figures = q{lane, desired_workers, reason, pinned_workers, pinned_until, dwell_target};
my $all = "SELECT $figures FROM fairsched.capacity_recommendation ORDER BY lane";
my $kept = $node->safe_psql('postgres', $all);

foreach my $how (qw(restart crash))
{
  if ($how eq 'restart') { $node->restart }
  else { $node->stop('immediate'); $node->start }
  is($node->safe_psql('postgres', $all), $kept, "$how: pins and settings hold at once");
  is(signal('busy_workers, running, current_workers'), '4|16|4', "$how: so does who holds jobs");
  ok($node->poll_query_until('postgres', q{SELECT counted FROM fairsched.database_status}), "$how: counted");
  is($node->safe_psql('postgres', q{SELECT sum(ready + held_up) = (SELECT count(*) FROM fairsched.jobs WHERE state = 'available')
    FROM fairsched.capacity_recommendation}), 't', "$how: what waits equals the rows");
}

# ---------- a dump ----------

$node->safe_psql('postgres', 'CREATE DATABASE copy');
my $dump = $node->basedir . '/dump.sql';
command_ok([ $node->config_data('--bindir') . '/pg_dump', '-h', $node->host, '-p', $node->port, '-f', $dump, 'postgres' ], 'pg_dump');
my ($rc, $out, $err) = $node->psql('copy', slurp_file($dump), on_error_stop => 0);
unlike($err, qr/ERROR/, 'and a restore');
my $tables = q{SELECT * FROM fairsched.capacity_settings; SELECT * FROM fairsched.capacity_pins};
is($node->safe_psql('copy', $tables), $node->safe_psql('postgres', $tables), 'settings and pins are in it');
is(signal('desired_workers, reason', 'default', 'copy'), '42|pinned', 'and hold there');

# ---------- without a scheduler: whoever reads decides ----------

my $alone = fs_node('alone', conf => { 'fairsched.background_workers' => 'off', 'fairsched.capacity_cooldown' => "'0s'" });
$alone->safe_psql('postgres', q{SELECT fairsched_enqueue('w')});
is($alone->safe_psql('postgres', 'SELECT desired_workers, current_workers FROM fairsched.capacity_recommendation'), '1|0', 'without a scheduler');
$alone->safe_psql('postgres', q{SELECT fairsched_complete(job_id, token) FROM fairsched_claim('w')});
is($alone->safe_psql('postgres', 'SELECT current_workers, busy_workers, running FROM fairsched.capacity_recommendation'), '1|0|0', 'too');
is($alone->safe_psql('postgres', q{SELECT count(fairsched_enqueue('w')) FROM generate_series(1, 10);
  BEGIN; SELECT count(*) FROM fairsched_claim('w', 10); SELECT slots_per_worker FROM fairsched.capacity_recommendation; ROLLBACK;
  SELECT running, slots_per_worker > 9 AND slots_per_worker < 10 FROM fairsched.capacity_recommendation}), "10\n10\n10\n0|t",
  'who claimed ten at a time is expected to do it again');
$alone->safe_psql('postgres', q{SELECT fairsched_register_worker('w', slots => 2)});
is($alone->safe_psql('postgres', 'SELECT slots_per_worker FROM fairsched.capacity_recommendation'), '2', 'unless it declared how many');
fs_check_ok($alone, 'memory equals the rows');
$alone->stop;

# ---------- counts of flows under load ----------

my $some = "\\set n random(1, 5)\n\\set w random(1, 9)\n";
my $load = fs_pgbench($node, {
    "${some}SELECT count(fairsched_enqueue('w' || :w, lane => 'l' || :w % 2, resources => format('{\"cpu\": %s}', :n)::jsonb)) FROM generate_series(1, :n);\n" => 3,
    "${some}BEGIN;\nSELECT count(fairsched_enqueue('w' || :w, lane => 'l' || :w % 2)) FROM generate_series(1, :n);\nROLLBACK;\n" => 1,
    "${some}SELECT count(fairsched_complete(job_id, token)) FROM fairsched_claim('c' || :client_id, :n, lanes => '{l0,l1}');\n" => 2,
    "${some}BEGIN;\nSELECT count(fairsched_complete(job_id, token)) FROM fairsched_claim('c' || :client_id, :n, lanes => '{l0,l1}');\nROLLBACK;\n" => 1,
    "${some}SELECT count(fairsched_release(job_id, token)) FROM fairsched_claim('c' || :client_id, :n, lanes => '{l0,l1}');\n" => 1,
    "${some}SELECT fairsched_cancel(job_id) FROM fairsched.jobs WHERE lane = 'l0' AND state = 'available' LIMIT 1;\n" => 1,
    "SELECT sum(ready) FROM fairsched.capacity_recommendation;\n" => 1,
    "SELECT count(*) FROM fairsched_check(true);\n" => 1 },
  clients => 8, transactions => 60);

ok(fs_finish($load), 'load');
ok($node->poll_query_until('postgres', q{SELECT counted FROM fairsched.database_status}), 'counted');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM fairsched.capacity_recommendation c
  JOIN (SELECT lane, count(*) AS n FROM fairsched.jobs WHERE state = 'available' GROUP BY 1) j ON j.lane = c.lane
  WHERE c.ready + c.held_up <> j.n}, '0'), 'what waits in each lane equals the rows');
fs_check_ok($node, 'memory equals the rows');
$node->stop;
done_testing();
