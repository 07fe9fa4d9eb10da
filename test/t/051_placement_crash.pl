# A move that a crash, or a promotion, breaks off between eviction and refill is taken up again; on a
# standby nothing moves.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# without a scheduler: rounds are made by hand, so that it is known where a crash hits
my $node = fs_node('main', init => [ allows_streaming => 1 ], conf => {
  restart_after_crash            => 'on',
  'fairsched.background_workers' => 'off',
  'fairsched.placement_cooldown' => 0,
  'fairsched.placement_interval' => '10ms' });
my $at = q{SELECT chain, node, state FROM fairsched.placements ORDER BY 1, 2};
my $round = 'SELECT fairsched_evaluate_placement()';
my $last = q{SELECT chain, from_node, to_node, reason, state FROM fairsched.placement_events ORDER BY event_id DESC LIMIT 1};

sub crash
{
  my ($name) = @_;
  my $session = fs_session($node);

  ok(fs_kill($node, $session->pid), "$name: the server is back");
  $session->gone;
  return;
}

# settle: rounds until nothing is left to do.
sub settle
{
  my ($server) = @_;
  my $until = time + $PostgreSQL::Test::Utils::timeout_default;

  while (time < $until)
  {
    return 1 if $server->safe_psql('postgres', "$round; SELECT count(*) FROM fairsched.placement_watch WHERE due IS NOT NULL")
      =~ /\A0\n0\z/;
  }
  return 0;
}

$node->safe_psql('postgres', q{
  CREATE TABLE scores (node text PRIMARY KEY, score real);
  INSERT INTO scores VALUES ('a', 0.9), ('b', 0.8), ('c', 0.7);
  CREATE FUNCTION score(chain text, node text) RETURNS real LANGUAGE sql STABLE
    AS 'SELECT s.score FROM public.scores s WHERE s.node = $2';
  CREATE FUNCTION best(chain text, exclude text[]) RETURNS TABLE (node text, score real) LANGUAGE sql STABLE
    AS 'SELECT s.node, s.score FROM public.scores s WHERE s.node <> ALL ($2) ORDER BY s.score DESC, s.node LIMIT 1';
  SELECT fairsched_set_placement_scorer('score(text,text)', 'best(text,text[])');
  SELECT fairsched_register_worker('w-' || n, slots => 4, node => n) FROM unnest('{a,b,c}'::text[]) n;
  SELECT fairsched_create_workspace('acme');
  SELECT fairsched_place('acme', '{a,b,c}', 1);
  SELECT fairsched_enqueue_many('acme', array_fill('{}'::jsonb, '{3}'));
});
ok(settle($node), 'at rest');
is($node->safe_psql('postgres', $at), 'acme|a|holding', 'where it was placed');

# ---------- a crash between eviction and refill ----------
$node->safe_psql('postgres', q{UPDATE scores SET score = 0.1 WHERE node = 'a'; SELECT fairsched_rescore_placements('acme')});
is($node->safe_psql('postgres', $round), '1', 'a round evicts');
is($node->safe_psql('postgres', $at), 'acme|a|evicting', 'and no more');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w-a')}), '0', 'nothing is handed out where it was');
crash('in mid-move');
is($node->safe_psql('postgres', $at), 'acme|a|evicting', 'the eviction is known');
is($node->safe_psql('postgres', $last), 'acme|a||score|evicting', 'and told');
ok(settle($node), 'rounds after the crash');
is($node->safe_psql('postgres', $at), 'acme|b|holding', 'the refill is made up for');
is($node->safe_psql('postgres', $last), 'acme|a|b|score|done', 'and told as the same move');
is($node->safe_psql('postgres', 'SELECT count(*) FROM fairsched.placement_events'), '1', 'there is no other');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w-a', 2)}), '0', 'the old node serves it no more');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w-b', 2)}), '2', 'the new one does');

# ---------- a crash while jobs are waited for ----------
$node->safe_psql('postgres', q{UPDATE scores SET score = CASE node WHEN 'c' THEN 0.9 ELSE 0.1 END; SELECT fairsched_rescore_placements('acme')});
$node->safe_psql('postgres', $round) foreach 1 .. 3;
is($node->safe_psql('postgres', $at), "acme|b|evicting\nacme|c|holding", 'refilled; two jobs are waited for');
crash('while jobs run');
$node->safe_psql('postgres', $round) foreach 1 .. 3;
is($node->safe_psql('postgres', $at), "acme|b|evicting\nacme|c|holding", 'they are waited for still');
$node->safe_psql('postgres', q{SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs});
ok(settle($node), 'they are completed');
is($node->safe_psql('postgres', $at), 'acme|c|holding', 'which ends it');
is($node->safe_psql('postgres', $last), 'acme|b|c|score|done', 'as is told');

# ---------- a round that is rolled back ----------
$node->safe_psql('postgres', q{UPDATE scores SET score = CASE node WHEN 'a' THEN 0.9 ELSE 0.1 END; SELECT fairsched_rescore_placements('acme')});
is($node->safe_psql('postgres', "BEGIN; $round; ROLLBACK"), '1', 'a round, rolled back');
is($node->safe_psql('postgres', $at), 'acme|c|holding', 'did nothing');
is($node->safe_psql('postgres', $round), '1', 'the next one evicts');

# ---------- a scorer that sleeps: who calls it can be cancelled and terminated ----------
$node->safe_psql('postgres', q{ALTER SYSTEM SET fairsched.scorer_timeout = '1h'; SELECT pg_reload_conf();
  CREATE FUNCTION sleepy(chain text, node text) RETURNS real LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(3600); RETURN 1; END'});
ok(settle($node), 'at rest');
$node->safe_psql('postgres', q{SELECT fairsched_set_placement_scorer('sleepy(text,text)', 'best(text,text[])')});
foreach my $how (qw(cancel terminate))
{
  my $session = fs_session($node);
  my $sleeps = 'SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = \'PgSleep\' AND pid = ' . $session->pid;

  $session->start($round);
  ok($node->poll_query_until('postgres', $sleeps), "$how: it sleeps");
  $node->safe_psql('postgres', "SELECT pg_${how}_backend(" . $session->pid . ')');
  if ($how eq 'cancel')
  {
    $session->finish;
    like($session->{psql}{stderr}, qr/canceling statement due to user request/, 'cancel: the round is cancelled');
    is($session->ask('SELECT 1'), '1', 'cancel: the session goes on');
    $session->quit;
  }
  else
  {
    ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = ' . $session->pid), 'terminate: it is gone');
    $session->gone;
  }
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.alerts WHERE type = 'placement_scorer'}), '0', 'neither is the scorer\'s failure');
$node->safe_psql('postgres', q{ALTER SYSTEM RESET fairsched.scorer_timeout; SELECT pg_reload_conf();
  SELECT fairsched_set_placement_scorer('score(text,text)', 'best(text,text[])')});

# ---------- jobs that yield ----------
ok(settle($node), 'at rest again');
$node->append_conf('postgresql.conf', "fairsched.placement_eviction = yield\nfairsched.preemption_grace = '1h'");
$node->reload;
is($node->safe_psql('postgres', $at), 'acme|a|holding', 'placed on a');
$node->safe_psql('postgres', q{SELECT fairsched_register_worker('w-' || n, slots => 4, node => n) FROM unnest('{a,b,c}'::text[]) n;
  SELECT fairsched_enqueue_many('acme', array_fill('{}'::jsonb, '{5}'))});
my @jobs = fs_rows($node, q{SELECT job_id, token FROM fairsched_claim('w-a', 2, lease => '1 h')});
is(scalar @jobs, 2, 'two jobs run there');
$node->safe_psql('postgres', q{UPDATE scores SET score = CASE node WHEN 'b' THEN 0.9 ELSE 0.1 END; SELECT fairsched_rescore_placements('acme')});
$node->safe_psql('postgres', $round) foreach 1 .. 3;
is($node->safe_psql('postgres', $at), "acme|a|evicting\nacme|b|holding", 'it moves to b');
is($node->safe_psql('postgres', q{SELECT string_agg(directive, ',') FROM fairsched_heartbeat(worker => 'w-a')}), 'preempt,preempt',
  'its jobs are asked to yield');
is($node->safe_psql('postgres', qq{SELECT fairsched_yield($jobs[0][0], $jobs[0][1], '{"at": 5}')}), 't', 'one does');
crash('one yields');
is($node->safe_psql('postgres', qq{SELECT fairsched_complete($jobs[1][0], $jobs[1][1])}), 't', 'the other is done');
# what is done is no open request any more; nobody but the preemption's own task says so
$node->safe_psql('postgres', 'SELECT fairsched_evaluate_preemption()');
ok(settle($node), 'rounds');
is($node->safe_psql('postgres', $at), 'acme|b|holding', 'it has moved');
is($node->safe_psql('postgres', q{SELECT job_id, checkpoint FROM fairsched_claim('w-b')}), qq{$jobs[0][0]|{"at": 5}},
  'the job that yielded is resumed there, from where it was');
is($node->safe_psql('postgres', q{SELECT state, (SELECT array_agg(a ORDER BY a) FROM unnest(asked) a)
    FROM fairsched.placement_events ORDER BY event_id DESC LIMIT 1}),
  'done|{' . join(',', sort { $a <=> $b } map { $_->[0] } @jobs) . '}', 'the move tells who was asked');
$node->safe_psql('postgres', q{UPDATE scores SET score = CASE node WHEN 'a' THEN 0.9 ELSE 0.1 END; SELECT fairsched_rescore_placements('acme');
  SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs});
is($node->safe_psql('postgres', $round), '1', 'a round evicts, once more');
is($node->safe_psql('postgres', $at), 'acme|b|evicting', 'from b');

# ---------- a standby ----------
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
like(fs_error($standby, $round), qr/ERROR:  25006: /, 'standby: no round');
like(fs_error($standby, q{SELECT fairsched_set_placement_scorer(NULL, NULL)}), qr/ERROR:  25006: /, 'standby: no scorer is installed');
is($standby->safe_psql('postgres', q{SELECT chain, holding, reason FROM fairsched.placement_status}), 'acme|0|evicting',
  'standby: but the status is to be seen');
is($standby->safe_psql('postgres', q{SELECT fairsched_builtin_score('workspace:acme', 'a') IS NULL}), 't',
  'standby: where nothing is known of nodes');
$standby->append_conf('postgresql.conf', 'fairsched.background_workers = on');
$standby->restart;
is($standby->safe_psql('postgres', $at), 'acme|b|evicting', 'standby: nothing moves, also where a scheduler is wanted');
$node->stop('immediate');
$standby->promote;
ok(fs_wait_scheduler($standby), 'promoted: a scheduler comes');
ok($standby->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched.placements WHERE node = 'a' AND state = 'holding'}),
  'promoted: the move is taken up again');
ok($standby->poll_query_until('postgres', "SELECT e = 'acme|b|a|score|done' FROM (SELECT concat_ws('|', q.chain, q.from_node, q.to_node, q.reason, q.state) AS e FROM ($last) q) s"),
  'promoted: and told');
fs_check_ok($standby, 'memory equals the rows');
$standby->stop;
done_testing();
