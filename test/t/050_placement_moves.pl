# The loop that moves placements: a node that dies under load, one that is drained, one that fails
# its jobs, jobs that finish where they were; and what a fleet costs where nothing changes.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => {
  'fairsched.placement_interval' => '200ms',
  'fairsched.worker_timeout'     => '6s' });
my $enough = $PostgreSQL::Test::Utils::timeout_default;

sub until_ok { my ($query, $name) = @_; return ok($node->poll_query_until('postgres', "SELECT $query"), $name) }
sub ask { return $node->safe_psql('postgres', $_[0]) }

# workers_of: clients that claim and complete at a node until $file exists; or until they are killed.
sub workers_of
{
  my ($name, $file) = @_;

  ask("SELECT fairsched_register_worker('$name-' || i, slots => 4, node => '$name') FROM generate_series(1, 2) i");
  return fs_pgbench($node, { <<"EOS" => 1 }, clients => 2, time => 4 * $enough, app => "worker of $name");
SELECT fairsched_heartbeat(worker => '$name-' || (:client_id + 1));
WITH c AS MATERIALIZED (SELECT job_id, token, workspace, worker FROM fairsched_claim('$name-' || (:client_id + 1), 2)),
  d AS MATERIALIZED (SELECT c.*, fairsched_complete(c.job_id, c.token) AS ok FROM c)
  INSERT INTO served SELECT workspace, left(worker, 1) FROM d WHERE ok;
\\sleep 5 ms
EOS
}

# kill_workers: no goodbye.
sub kill_workers
{
  my ($run, $name) = @_;

  $run->{handle}->kill_kill;
  until_ok("count(*) = 0 FROM pg_stat_activity WHERE application_name = 'worker of $name'", "the workers of $name are gone");
}

ask('CREATE TABLE served (workspace text, node text)');
my %run = map { $_ => workers_of($_) } qw(a b c);
ask(q{
  SELECT fairsched_create_workspace('w' || i, own_table => false) FROM generate_series(1, 8) i;
  SELECT fairsched_place('w' || i, CASE WHEN i <= 4 THEN '{a,b,c}' ELSE '{b,a,c}' END::text[], 1) FROM generate_series(1, 8) i;
  SELECT fairsched_place_lane('slow', '{a,b,c}', 1);
});
is(ask('SELECT node, count(*) FROM fairsched.placements GROUP BY 1 ORDER BY 1'), "a|5\nb|4", 'placed');

# ---------- nothing changes ----------
my $rest = q{NOT EXISTS (SELECT FROM fairsched.placement_watch WHERE due IS NOT NULL)
  AND (SELECT count(*) FROM fairsched.placement_watch WHERE verdict = 'good') = (SELECT count(*) FROM fairsched.placement_chains)};
my $calls = 'SELECT scorer_calls FROM fairsched.placement_scorer_status';

# rounds: until the loop has gone round so many times.
sub rounds
{
  my ($n) = @_;

  for (1 .. $n)
  {
    my $last = ask(q{SELECT last_run FROM fairsched.maintenance_status WHERE task = 'placement'});

    $node->poll_query_until('postgres', qq{SELECT last_run > '$last' FROM fairsched.maintenance_status WHERE task = 'placement'})
      or return 0;
  }
  return 1;
}

until_ok($rest, 'all is well, and at rest');
ok(rounds(2), 'for two rounds');
my $before = ask($calls);
ask(q{SELECT count(*) FROM fairsched_enqueue_many('w' || (1 + random() * 7)::int, array_fill('{}'::jsonb, '{100}'))});
ok(rounds(10), 'ten rounds, under load');
is(ask($calls), $before, 'a fleet where nothing changes is not scored');

# ---------- a node dies under load ----------
ask(q{SELECT fairsched_enqueue_many('w' || i, array_fill('{}'::jsonb, '{300}')) FROM generate_series(1, 8) i});
kill_workers($run{a}, 'a');
until_ok(q{count(*) = 0 FROM fairsched.placements WHERE node = 'a'}, 'what it held is evicted');
until_ok(q{count(*) = 9 AND bool_and(state = 'holding') FROM fairsched.placements}, 'and placed on others');
until_ok('count(*) = 0 FROM fairsched.jobs', 'which serve it all');
is(ask(q{SELECT count(*), bool_and(state = 'done' AND to_node IN ('b', 'c') AND took IS NOT NULL)
  FROM fairsched.placement_events WHERE from_node = 'a' AND reason = 'node_dead'}), '5|t', 'five moves, each told');
is(ask(q{SELECT count(*) FROM fairsched.placement_events}), '5', 'and no other');
fs_check_ok($node, 'memory equals the rows');

# ---------- a node is drained; a job that runs there goes on ----------
until_ok($rest, 'at rest again');
kill_workers($run{b}, 'b');
ask(q{SELECT fairsched_register_worker('b-9', slots => 1, node => 'b')});
my $beats = fs_pgbench($node, { <<'EOS' => 1 }, time => 4 * $enough, app => 'worker of b');
SELECT fairsched_heartbeat(worker => 'b-9');
\sleep 50 ms
EOS
ask(q{
  SELECT fairsched_create_workspace('long', own_table => false);
  SELECT fairsched_place('long', '{b,c}', 1);
  SELECT fairsched_enqueue('long')});
my ($job, $token) = fs_claim_until($node, q{'b-9', lease => '10 min'});
my $of = ask("SELECT workspace FROM fairsched.running_jobs WHERE job_id = $job");
ask(q{SELECT fairsched_drain_node('b')});
until_ok(q{count(*) = 0 FROM fairsched.placements WHERE node = 'b' AND state = 'holding'}, 'drained: nothing is held there');
until_ok(qq{count(*) = 1 FROM fairsched.placements WHERE chain = '$of' AND node = 'c' AND state = 'holding'}, "drained: $of is held by c");
is(ask(q{SELECT string_agg(chain, ',') FROM fairsched.placements WHERE state = 'evicting'}), $of, 'drained: its job is waited for');
is(ask(qq{SELECT state, to_node FROM fairsched.placement_events WHERE chain = '$of' ORDER BY event_id DESC LIMIT 1}), 'evicting|c',
  'drained: and the event says so');
is(ask("SELECT reason FROM fairsched.placement_status WHERE chain = '$of'"), 'evicting', 'drained: and the status');
is(ask("SELECT fairsched_complete($job, $token)"), 't', 'drained: it is completed');
until_ok(q{count(*) = 0 FROM fairsched.placements WHERE node = 'b'}, 'drained: which ends it');
is(ask(qq{SELECT state FROM fairsched.placement_events WHERE chain = '$of' ORDER BY event_id DESC LIMIT 1}), 'done', 'drained: done');

# ---------- a node fails its jobs ----------
kill_workers($beats, 'b');
ask(q{SELECT fairsched_undrain_node('b')});
%run = (c => $run{c}, b => workers_of('b'));
ask(q{UPDATE fairsched.placement_chains SET last_move = NULL});
until_ok($rest, 'b is back, and all is at rest');
my $moves = ask('SELECT count(*) FROM fairsched.placement_events');
kill_workers($run{c}, 'c');
until_ok(q{count(*) = 0 FROM fairsched.placements WHERE node = 'c'}, 'all is with b');
ask(q{SELECT fairsched_register_worker('d-1', slots => 4, node => 'd')});
my $failing = fs_pgbench($node, { <<'EOS' => 1 }, time => 4 * $enough, app => 'failing');
SELECT fairsched_heartbeat(worker => 'd-1');
SELECT fairsched_fail(job_id, token, 'broken', retry_in => '1 s') FROM fairsched_claim('d-1', 1);
\sleep 20 ms
EOS
ask(q{
  SELECT fairsched_create_workspace('x', own_table => false);
  SELECT fairsched_place('x', '{d,b}', 1);
  SELECT fairsched_enqueue_many('x', array_fill('{}'::jsonb, '{200}'))});
until_ok(q{count(*) = 1 FROM fairsched.placement_events WHERE chain = 'x' AND from_node = 'd' AND to_node = 'b'
  AND reason = 'score' AND state = 'done'}, 'a node that fails its jobs is left, for a better one');
is(ask(q{SELECT from_score < 0.5 AND to_score - from_score >= 0.2 AND detail LIKE '"d" scores 0.%'
  FROM fairsched.placement_events WHERE chain = 'x' AND reason = 'score'}), 't', 'by floor and gap, with figures');
$failing->{handle}->kill_kill;
until_ok(q{count(*) = 0 FROM fairsched.jobs}, 'which serves its jobs');
fs_check_ok($node, 'memory equals the rows, after all of it');

# ---------- of many, ten change ----------
ask(q{
  SELECT fairsched_register_worker('e-' || i, slots => 1, node => 'e' || i) FROM generate_series(1, 3) i;
  SELECT fairsched_create_workspace('last', own_table => false);
  SELECT fairsched_place('last', '{b}', 1)});
my $many = fs_pgbench($node, { <<'EOS' => 1 }, time => 4 * $enough, app => 'heartbeats');
SELECT fairsched_heartbeat(worker => 'e-1'), fairsched_heartbeat(worker => 'e-2'), fairsched_heartbeat(worker => 'e-3');
\sleep 100 ms
EOS
ask(q{
  INSERT INTO fairsched.placement_chains (chain_kind, chain, desired) SELECT 'workspace', 'many-' || i, 1 FROM generate_series(1, 3000) i;
  INSERT INTO fairsched.placements (chain_kind, chain, node) SELECT 'workspace', 'many-' || i, 'e1' FROM generate_series(1, 3000) i});
until_ok(q{count(*) = 3000 FROM fairsched.placement_watch WHERE verdict = 'good' AND due IS NULL AND chain LIKE 'many-%'}, '3000 chains are well');
until_ok(q{count(*) = 0 FROM fairsched.placement_watch WHERE due IS NOT NULL}, 'and all at rest');
ok(rounds(2), 'for two rounds');
$before = ask($calls);
ask(q{UPDATE fairsched.placement_chains SET desired = desired WHERE chain IN (SELECT 'many-' || i FROM generate_series(10, 100, 10) i)});
until_ok(qq{scorer_calls >= $before + 10 FROM fairsched.placement_scorer_status}, 'ten that change are scored');
ok(rounds(5), 'and five rounds later');
is(ask($calls), $before + 10, 'nothing else was');

$_->{handle}->kill_kill foreach values %run, $many;
$node->stop;
done_testing();
