# Placement outlives whatever happens: a node's workers die and come back, restart, crash, promotion, dump and restore; other
# databases do not see it.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', init => [ allows_streaming => 1 ],
  conf => { 'fairsched.worker_timeout' => "'1 h'", 'fairsched.background_workers' => 'off', 'fairsched.default_quota' => 10000 });

# Claims for a worker that registers just before, so that it is alive; workspaces and counts.
sub claims
{
  my ($server, $worker, $on, $db, $max) = @_;

  $max ||= 1;
  return $server->safe_psql($db || 'postgres', qq{
    DO \$\$ BEGIN PERFORM fairsched_register_worker('$worker', node => '$on'); END \$\$;
    SELECT workspace, count(*) FROM fairsched_claim('$worker', $max, '1 h') GROUP BY 1 ORDER BY 1});
}

sub marks
{
  my ($forget) = @_;
  my $marks = $node->safe_psql('postgres', q{SELECT kind, name FROM fairsched.placement_marks() ORDER BY 1, 2});

  $node->safe_psql('postgres', 'SELECT fairsched.forget_placement_marks()') if $forget;
  return $marks;
}

$node->safe_psql('postgres', q{
  SELECT fairsched_enqueue_many('acme', array_agg('{}'::jsonb)) FROM generate_series(1, 100);
  SELECT fairsched_register_worker('a1', node => 'a');
  SELECT fairsched_register_worker('b1', node => 'b');
});
like(marks(1), qr/^all\|/, 'in the beginning rows are to be looked at');
is(marks(), '', 'taken');
$node->safe_psql('postgres', q{SELECT fairsched_place('acme', '{a}')});
is(marks(1), 'workspace|acme', 'a workspace that is placed is marked');
$node->safe_psql('postgres', q{SELECT fairsched_place_lane('other', '{a}'); SELECT fairsched_set_node('a', '{"x": 1}')});
is(marks(1), "lane|other\nnode|a", 'so are a lane, and a node with new labels');
$node->safe_psql('postgres', q{BEGIN; SELECT fairsched_place('acme', '{b}'); ROLLBACK});
is(marks(), '', 'not by a rollback');
$node->safe_psql('postgres', q{ALTER SYSTEM SET fairsched.worker_timeout = '1 s'; SELECT pg_reload_conf()});
$node->poll_query_until('postgres', q{SELECT current_setting('fairsched.worker_timeout') = '1s'});
$node->safe_psql('postgres', q{SELECT fairsched_register_worker(w || '1', node => w) FROM unnest('{a,b}'::text[]) w});

# The worker there dies: the workspace waits, visibly. (Until here a slow machine's workers lived, or their nodes' deaths were marks too.)
$node->safe_psql('postgres', q{ALTER SYSTEM SET fairsched.worker_timeout = '1 s'; SELECT pg_reload_conf()});
ok($node->poll_query_until('postgres', q{SELECT parked_reason = 'waiting_for_node' AND parked_detail = 'placed on a'
    AND parked_since <= now() FROM fairsched.queue_status}), 'its worker died: it waits, in queue_status');
is($node->safe_psql('postgres', q{SELECT parked_reason, parked_since <= now() FROM fairsched.workspace_status WHERE workspace = 'acme'}),
  'waiting_for_node|t', 'in workspace_status');
is($node->safe_psql('postgres', q{SELECT verdict, detail FROM fairsched_explain((SELECT min(job_id) FROM fairsched.jobs)) WHERE gate = 'placement'}),
  'refuse|placed on a: no live worker there that can do it', 'in fairsched_explain');
ok($node->poll_query_until('postgres', q{SELECT bool_or(name = 'a') FROM fairsched.placement_marks() WHERE kind = 'node'}),
  'the dead node is marked');
marks(1);
is(claims($node, 'b1', 'b'), '', 'a worker elsewhere gets nothing of it');
is(claims($node, 'a2', 'a'), 'acme|1', 'a worker of the node gets it at once');
like(marks(1), qr/node\|a/, 'the node that lives again is marked');
ok($node->poll_query_until('postgres', q{SELECT NOT bool_or(alive) FROM fairsched.node_status}), 'nobody lives again');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('a1')}), '1', 'who is back by a claim alone gets it too');

# A waiter is woken by what it may be given, another waiter of the lane or not
$node->safe_psql('postgres', q{ALTER SYSTEM SET fairsched.max_wait = '10 min'; SELECT pg_reload_conf()});
$node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('a1', 1000)});
my $waiting = q{SELECT count(*) = %d FROM pg_stat_activity WHERE state = 'active' AND wait_event_type = 'Extension' AND query LIKE '%%max_wait%%'
  AND pid <> pg_backend_pid()};
my $elsewhere = fs_session($node);
$elsewhere->start(q{SELECT count(*) FROM fairsched_claim('b1', max_wait => '10 min')});
ok($node->poll_query_until('postgres', sprintf($waiting, 1)), 'a worker elsewhere waits');
my $there = fs_session($node);
$there->start(q{SELECT workspace FROM fairsched_claim('a1', max_wait => '10 min')});
ok($node->poll_query_until('postgres', sprintf($waiting, 2)), 'so does one that holds the workspace');
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('acme')});
is($there->finish, 'acme', 'it is woken for its job');
ok($node->poll_query_until('postgres', sprintf($waiting, 1)), 'the other waits on');
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('acme'); SELECT fairsched_place('acme', '{b}')});
is($elsewhere->finish, '1', 'until the workspace is placed with it');
$_->quit foreach $elsewhere, $there;
$elsewhere = fs_session($node);
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('acme')});
my $end = time + 600;
$elsewhere->start(q{CALL fairsched_wait('10 min', worker => 'a1')});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND query LIKE 'CALL%'}),
  'fairsched_wait for a worker does not end for jobs of others');
$node->safe_psql('postgres', q{SELECT fairsched_place('acme', '{a}')});
$elsewhere->finish;
cmp_ok(time, '<', $end, 'but for its own');
$elsewhere->quit;

# Restart and crash
$node->safe_psql('postgres', q{
  SELECT fairsched_enqueue_many('acme', array_agg('{}'::jsonb)) FROM generate_series(1, 1000);
  SELECT fairsched_enqueue_many('free', array_agg('{}'::jsonb)) FROM generate_series(1, 1000);
  SELECT fairsched_enqueue_many('laned', array_agg('{}'::jsonb), lane => 'other') FROM generate_series(1, 100);
  SELECT fairsched_register_worker('c1', node => 'c');
  SELECT fairsched_drain_node('c')});

sub holds
{
  my ($server, $when, $db) = @_;

  is(claims($server, 'b1', 'b', $db, 10), 'free|10', "$when: a worker elsewhere gets only what is placed nowhere");
  is(claims($server, 'c1', 'c', $db, 10), '', "$when: one of a draining node gets nothing");
  like(claims($server, 'a1', 'a', $db, 50), qr/acme/, "$when: one of the node gets it");
  is($server->safe_psql($db || 'postgres', q{SELECT count(*) FROM fairsched_claim('b1', 10, lanes => '{other}')}), '0',
    "$when: the lane is placed");
  is($server->safe_psql($db || 'postgres', q{SELECT count(*) FROM fairsched_claim('a1', 10, lanes => '{other}')}), '10',
    "$when: there");
}

holds($node, 'before');
$node->restart;
holds($node, 'restarted');
$node->stop('immediate');
$node->start;
holds($node, 'after a crash');

# Promotion
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', q{SELECT node, draining, alive, placements FROM fairsched.node_status ORDER BY 1}),
  "a|f|f|2\nb|f|f|0\nc|t|f|0", 'standby: nodes can be read');
like(fs_error($standby, q{SELECT fairsched_place('acme', '{b}')}), qr/ERROR:  25006/, 'standby: nothing is placed');
$standby->promote;
holds($standby, 'promoted');
$standby->stop;

# Another database, and a dump that is restored into a third
$node->safe_psql('postgres', 'CREATE DATABASE second');
$node->safe_psql('second', q{CREATE EXTENSION fairsched; SELECT fairsched_enqueue_many('acme', array_agg('{}'::jsonb)) FROM generate_series(1, 3)});
is(claims($node, 'c1', 'c', 'second', 10), 'acme|3', 'another database is placed nowhere, and its nodes are its own');
my $dump = $node->basedir . '/dump';
command_ok([ 'pg_dump', '-h', $node->host, '-p', $node->port, '-Fc', '-f', $dump, 'postgres' ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE third');
command_ok([ 'pg_restore', '-h', $node->host, '-p', $node->port, '--exit-on-error', '-j', 2, '-d', 'third', $dump ], 'pg_restore');
my $placed = q{SELECT c.*, p.node, p.since, p.pinned_until, p.state FROM fairsched.placement_chains c
  LEFT JOIN fairsched.placements p USING (chain_kind, chain) ORDER BY 1, 2, p.node};
is($node->safe_psql('third', $placed), $node->safe_psql('postgres', $placed), 'restored: the same placements');
holds($node, 'restored', 'third');

# The extension goes and comes: nothing of it is left
$node->safe_psql('third', 'DROP EXTENSION fairsched CASCADE; CREATE EXTENSION fairsched');
$node->safe_psql('third', q{SELECT fairsched_enqueue_many('acme', array_agg('{}'::jsonb)) FROM generate_series(1, 3)});
is(claims($node, 'c1', 'c', 'third', 10), 'acme|3', 'a new extension has no placements');
fs_check_ok($node, 'memory equals the rows');

$node->stop;
done_testing();
