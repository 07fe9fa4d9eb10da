# Budgets under load: never over the amount by more than what jobs used beyond their estimates, each
# crossing one event, nothing leaked by rollbacks, savepoints, failures, killed sessions, or a crash.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = fs_node('main', conf => { max_connections => 60, log_min_messages => 'error',
    restart_after_crash => 'on', 'fairsched.worker_timeout' => '10min' });
my $stop = $node->basedir . '/stop';
my $seconds = 7;
my $events = q{SELECT b.budget, coalesce(string_agg(e.event_type, ',' ORDER BY e.event_id), '')
  FROM fairsched.budgets b LEFT JOIN fairsched.budget_events e USING (budget) GROUP BY 1 ORDER BY 1};
# the scheduler has written all that memory says is crossed
my $settled = q{SELECT bool_and(m.crossed = coalesce(t.crossed, 0)) FROM fairsched.memory_budgets() m
  JOIN fairsched.budgets b USING (budget) LEFT JOIN fairsched.budget_totals t USING (budget_id)};

# exact: jobs use at most what they declare. loose: up to a unit more, ten at a time at most.
# both: two budgets a job. spent: recorded from outside while jobs run.
$node->safe_psql('postgres', q{
  SELECT fairsched_set_budget('exact', 300, pause_at => NULL), fairsched_set_budget('loose', 2000, pause_at => NULL),
    fairsched_set_budget('one', 1000, pause_at => NULL), fairsched_set_budget('two', 1e6, dimension => 'tokens', pause_at => NULL),
    fairsched_set_budget('paused', 200);
  SELECT fairsched_create_workspace('loose', max_running => 10, own_table => false);
  SELECT count(fairsched_enqueue_many(w, (SELECT array_agg('{}'::jsonb) FROM generate_series(1, 20000)), budgets => b, resources => r))
    FROM (VALUES ('exact', '{exact}'::text[], '{"cost": 2}'::jsonb), ('loose', '{loose}', '{"cost": 1}'),
      ('both', '{one,two}', '{"cost": 1, "tokens": 3}'), ('paused', '{paused}', '{"cost": 1}')) v(w, b, r);
  CREATE UNLOGGED TABLE held (job_id bigint PRIMARY KEY, workspace text, token bigint);
  CREATE UNLOGGED TABLE violation (budget text, spent numeric, reserved numeric);
  CREATE UNLOGGED TABLE sampled (n int);
  ALTER TABLE held SET (autovacuum_enabled = off);
});

my $n = "\\set n random(1, 5)\n\\set u random(0, 2000)\n";
my $take = q{INSERT INTO held SELECT job_id, workspace, token
  FROM fairsched_claim('w' || :client_id, :n, lease => '1 hour');};
# what is used: at most the estimate; of workspace loose up to one more
my $give = q{WITH h AS (SELECT * FROM held ORDER BY random() LIMIT :n FOR UPDATE SKIP LOCKED),
    c AS MATERIALIZED (SELECT h.* FROM h WHERE fairsched_complete(h.job_id, h.token,
      usage => jsonb_build_object('cost', :u / CASE h.workspace WHEN 'loose' THEN 1000.0 ELSE 2000.0 END,
        'tokens', :u / 1000.0)))
  DELETE FROM held USING c WHERE held.job_id = c.job_id;};
my $lose = q{WITH h AS (SELECT * FROM held ORDER BY random() LIMIT 2 FOR UPDATE SKIP LOCKED),
    c AS MATERIALIZED (SELECT h.* FROM h WHERE CASE WHEN h.job_id % 2 = 0 THEN fairsched_release(h.job_id, h.token)
      ELSE fairsched_fail(h.job_id, h.token, 'no', '0 s') <> 'lost' END)
  DELETE FROM held USING c WHERE held.job_id = c.job_id;};
my %load = (
  "$n$take" => 5,
  "$n$give" => 5,
  "$n$lose" => 2,
  "${n}BEGIN;\n$take\nROLLBACK;\n" => 2,
  "${n}BEGIN;\n$give\nROLLBACK;\n" => 2,
  "${n}BEGIN;\n$take\nSAVEPOINT a;\n$take\nROLLBACK TO a;\n$give\nCOMMIT;\n" => 2,
  "${n}BEGIN;\nSAVEPOINT a;\n$give\nSAVEPOINT b;\n$take\nRELEASE b;\nROLLBACK TO a;\n$take\nCOMMIT;\n" => 2,
  "${n}BEGIN;\n$give\n$take\nCOMMIT;\n" => 3,
  "${n}SELECT fairsched_record_spend('paused', :u / 100000.0);\n" => 1);
my %victim = (
  "${n}BEGIN;\n$take\nSELECT pg_sleep(0.01);\n$give\nSAVEPOINT a;\n$take\nSELECT pg_sleep(0.01);\nCOMMIT;\n" => 1);
my $sampler = q{
INSERT INTO violation SELECT budget, spent, reserved FROM fairsched.budget_status
  WHERE budget <> 'paused' AND spent + reserved > amount + CASE budget WHEN 'loose' THEN 10 ELSE 0 END;
INSERT INTO sampled VALUES (1);
};

my @load = (fs_pgbench($node, \%load, clients => 12, time => 3, forever => $stop),
  fs_pgbench($node, { $sampler => 1 }, time => 3, forever => $stop, app => 'sampler'));
my @victims = map { fs_pgbench($node, \%victim, clients => 1, time => 1, forever => $stop, app => 'victim') } 1 .. 3;
my $killer = fs_session($node);
my $kills = 0;
# Some seconds, and more on a slow machine until enough has happened to mean something.
my $end = time + $seconds - 1;
my $deadline = time + 0.75 * $PostgreSQL::Test::Utils::timeout_default;
while (time < $end || (time < $deadline && ($kills <= 3 || $killer->ask('SELECT count(*) <= 20 FROM sampled') eq 't')))
{
  $kills += $killer->ask(q{SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid
    FROM pg_stat_activity, pg_sleep(0.05) WHERE application_name = 'victim' AND xact_start IS NOT NULL
    ORDER BY random() LIMIT 1) v});
}
append_to_file($stop, 'now');
ok(fs_finish($_), 'no client met an error') foreach @load;
$_->{handle}->finish foreach @victims;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity
  WHERE application_name IN ('victim', 'pgbench')}), 'all clients are gone');
cmp_ok($kills, '>', 3, "$kills sessions were killed");
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM sampled'), '>', 20, 'many samples');
is($node->safe_psql('postgres', 'SELECT budget, count(*), max(spent + reserved) FROM violation GROUP BY 1'), '',
  'never more spent and reserved than there is, but for errors of estimates');
fs_check_ok($node, 'memory equals the rows, reservations what running jobs hold');

# To the end: until nothing fits any more.
my $finish = q{SELECT count(*) FILTER (WHERE fairsched_complete(job_id, token, usage => '{"cost": 1, "tokens": 3}'))
  FROM fairsched_claim('last', 500)};
$node->safe_psql('postgres', q{SELECT count(fairsched_complete(job_id, token, usage => '{"cost": 0, "tokens": 0}')) FROM held});
$node->safe_psql('postgres', 'TRUNCATE held');
1 while $node->safe_psql('postgres', $finish) > 0;
is($node->safe_psql('postgres', q{SELECT budget FROM fairsched.budget_status
  WHERE reserved <> 0 OR running <> 0 ORDER BY 1}), '', 'no reservation is left');
is($node->safe_psql('postgres', q{SELECT budget FROM fairsched.budget_status WHERE spent > amount AND budget NOT IN ('paused', 'loose')}),
  '', 'nothing is overspent');
ok($node->poll_query_until('postgres', $settled), 'all events are written');
my $written = $node->safe_psql('postgres', $events);
is($written, "exact|warn,throttle\nloose|warn,throttle\none|warn,throttle\npaused|warn,throttle,pause\ntwo|",
  'each threshold once') or diag($node->safe_psql('postgres', 'SELECT * FROM fairsched.budget_status'));
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.budget_events
  WHERE spent < total * threshold OR percent_used <> round(100 * spent / total, 2)}), '0', 'each at the amount that crossed it');
is($node->safe_psql('postgres', q{SELECT DISTINCT parked_reason FROM fairsched.queue_status WHERE ready IS DISTINCT FROM 0}),
  'waiting_for_budget', 'all that is left waits for its budget');

# Resets and raises while others spend: a pause and a resume for each, in turns.
$node->safe_psql('postgres', q{SELECT fairsched_set_budget('turns', 20, warn_at => NULL, throttle_at => NULL)});
my $until = time + $PostgreSQL::Test::Utils::timeout_default;
my ($clean, $all, $turns) = (1, 1);
# in rounds, so that a slow machine comes to many turns as well
do
{
  my $spend = fs_pgbench($node, { "SELECT fairsched_record_spend('turns', 1);\n" => 5, "SELECT fairsched_reset_budget('turns');\n" => 1,
      "BEGIN;\nSELECT fairsched_record_spend('turns', 2);\nROLLBACK;\n" => 1 }, clients => 6, time => 3);

  $clean &&= fs_finish($spend);
  $node->safe_psql('postgres', q{SELECT fairsched_reset_budget('turns')});
  $all &&= $node->poll_query_until('postgres', $settled);
  $turns = $node->safe_psql('postgres', q{SELECT string_agg(event_type, ',' ORDER BY event_id) FROM fairsched.budget_events WHERE budget = 'turns'});
} while ((() = $turns =~ /pause/g) <= 5 && time < $until);
ok($clean, 'spending and resets at once');
ok($all, 'all are written');
like($turns, qr/^(pause,resume,)*pause,resume$/, 'pause and resume alternate: none twice, none missing');
cmp_ok(scalar(() = $turns =~ /pause/g), '>', 5, 'and there were many');
fs_check_ok($node, 'memory equals the rows');

# What jobs of a kind used is kept for the next start.
$node->safe_psql('postgres', q{
  SELECT fairsched_set_budget('kinds', 100); SELECT fairsched_enqueue('crash', lane => 'kinds', budgets => '{kinds}', kind => 'average');
  SELECT fairsched_complete(job_id, token, usage => '{"cost": 7}') FROM fairsched_claim('crash', lanes => '{kinds}')});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched.budget_averages WHERE kind = 'average'}), 'saved');
$node->restart;
is($node->safe_psql('postgres', q{SELECT mean FROM fairsched.budget_averages WHERE kind = 'average' AND dimension = 'cost'}), '7000000',
  'the average of a kind is kept');

# A crash: what is spent and reserved is as before, also what was recorded by jobs that run; events
# that were not written are, those that were are not again.
$node->safe_psql('postgres', q{
  SELECT fairsched_set_budget('crash', 100);
  SELECT count(fairsched_enqueue('crash', lane => 'crash', budgets => '{crash}', resources => '{"cost": 10}', priority => 'P3'))
    FROM generate_series(1, 20);
  SELECT count(fairsched_enqueue('crash', lane => 'crash', budgets => '{crash}', kind => 'average', priority => 'P3'))
    FROM generate_series(1, 20);
  SELECT count(*) FROM fairsched_claim('crash', 4, lease => '1 hour', lanes => '{crash}');
  SELECT fairsched_record_spend('crash', 4, min(job_id)), fairsched_record_spend('crash', 46) FROM fairsched.running_jobs WHERE lane = 'crash'});
ok($node->poll_query_until('postgres', $settled), 'written before the crash');
my $before_events = $node->safe_psql('postgres', $events);
my $state = q{SELECT budget, amount, spent, reserved, remaining, percent_used, status, paused, running
  FROM fairsched.budget_status WHERE budget <> 'crash2' ORDER BY 1};
my $before = $node->safe_psql('postgres', $state);
like($before, qr/^crash\|100\|50\|30\|50\|50.00\|caution\|f\|4$/m, 'two reserve ten, four of one used up; two seven, as their kind');
my $open = fs_session($node);
$open->ask('BEGIN');
$open->ask(q{SELECT count(*) FROM fairsched_claim('crash', 1, lanes => '{crash}')});
$open->ask(q{SELECT fairsched_record_spend('crash', 30)});
ok(fs_kill($node, $open->pid), 'the server is back');
$open->gone;
is($node->safe_psql('postgres', $state), $before, 'what is spent and reserved is as before the crash');
fs_check_ok($node, 'and equals the rows');
ok($node->poll_query_until('postgres', $settled), 'compared');
is($node->safe_psql('postgres', $events), $before_events, 'no event was written twice');
$node->safe_psql('postgres', q{SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs WHERE lane = 'crash' ORDER BY job_id LIMIT 1});
is($node->safe_psql('postgres', q{SELECT spent, reserved FROM fairsched.budget_status WHERE budget = 'crash'}), '50|24',
  'what it recorded before the crash is not charged again');

# An event that was not written when the server went down comes after the start; jobs asked to yield
# are asked again.
$node->safe_psql('postgres', q{SELECT fairsched_record_spend('crash', 30)});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 3 FROM fairsched.running_jobs WHERE lane = 'crash' AND directive = 'preempt'}),
  'running jobs are asked to yield');
$node->safe_psql('postgres', q{BEGIN; SELECT fairsched.own_changes(true);
  DELETE FROM fairsched.budget_events WHERE budget = 'crash' AND event_type = 'throttle';
  UPDATE fairsched.budget_totals SET crossed = crossed & ~2 WHERE budget_id = (SELECT budget_id FROM fairsched.budgets WHERE budget = 'crash'); COMMIT});
$node->stop('immediate');
$node->start;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched.budget_events WHERE budget = 'crash' AND event_type = 'throttle'}),
  'the missing event is written');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 3 FROM fairsched.running_jobs WHERE lane = 'crash' AND directive = 'preempt'}),
  'and they are asked again');
# ... also one that was crossed again after a reset nobody had noticed
$node->safe_psql('postgres', q{BEGIN; SELECT fairsched.own_changes(true);
  UPDATE fairsched.budget_totals SET crossed_period = 0 WHERE budget_id = (SELECT budget_id FROM fairsched.budgets WHERE budget = 'crash'); COMMIT});
$node->stop('immediate');
$node->start;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM fairsched.budget_events WHERE budget = 'crash' AND event_type = 'throttle'
  HAVING count(*) FILTER (WHERE resolved_at IS NULL) = 1}), 'what was crossed in a new period has its event');
fs_check_ok($node, 'memory equals the rows');

# A dump keeps all of it.
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'dumped');
$before = $node->safe_psql('postgres', q{SELECT budget, amount, spent, status, paused FROM fairsched.budget_status ORDER BY 1});
$before_events = $node->safe_psql('postgres', $events);
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('copy') ], 'restored');
ok($node->poll_query_until('copy', q{SELECT count(*) > 5 AND bool_and(ok) FROM fairsched_check() WHERE "check" LIKE '%budget%'}),
  'what was restored is read') or diag($node->safe_psql('copy', 'SELECT * FROM fairsched.maintenance_status; SELECT * FROM fairsched_check(); SELECT pid, datname, query, state FROM pg_stat_activity'));
is($node->safe_psql('copy', q{SELECT budget, amount, spent, status, paused FROM fairsched.budget_status ORDER BY 1}), $before,
  'budgets are the same');
ok($node->poll_query_until('copy', $settled), 'compared');
is($node->safe_psql('copy', $events), $before_events, 'so are the events');

# Without background workers claimers write the events and do the resets.
$node->append_conf('postgresql.conf', "fairsched.background_workers = off\n");
$node->restart;
$node->safe_psql('postgres', q{SELECT fairsched_set_budget('alone', 10, reset_every => '1 s');
  SELECT fairsched_record_spend('alone', 10)});
ok($node->poll_query_until('postgres', q{SELECT (SELECT count(*) FROM fairsched_claim(lanes => '{none}')) = 0 AND
  (SELECT string_agg(event_type, ',' ORDER BY event_id) FROM fairsched.budget_events WHERE budget = 'alone') = 'warn,throttle,pause,resume'}), 'events and resets without a scheduler');

$node->stop;
done_testing();
