# Random scores of a real fleet: the loop comes to rest, moves seldom, and never away from where it is good.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => {
  'fairsched.placement_interval'  => '50ms',
  'fairsched.placement_cooldown'  => 0,
  'fairsched.placement_max_moves' => 3,
  'fairsched.worker_timeout'      => '1h' });
my $chains = 12;
my $changes = 20;

$node->safe_psql('postgres', qq{
  CREATE TABLE scores (chain text, node text, score real, PRIMARY KEY (chain, node));
  CREATE FUNCTION score(chain text, node text) RETURNS real LANGUAGE sql STABLE
    AS 'SELECT s.score FROM public.scores s WHERE s.chain = \$1 AND s.node = \$2';
  CREATE FUNCTION best(chain text, exclude text[]) RETURNS TABLE (node text, score real) LANGUAGE sql STABLE
    AS 'SELECT s.node, s.score FROM public.scores s WHERE s.chain = \$1 AND s.node <> ALL (\$2) ORDER BY s.score DESC, s.node LIMIT 1';
  SELECT fairsched_register_worker('w-' || n, slots => 4, node => n) FROM unnest('{a,b,c,d}'::text[]) n;
  SELECT fairsched_create_workspace('w' || i, own_table => false),
    fairsched_place('w' || i, '{a,b,c,d}', 1 + i % 3) FROM generate_series(1, $chains) i;
  INSERT INTO scores SELECT 'workspace:w' || i, n, 1 FROM generate_series(1, $chains) i, unnest('{a,b,c,d}'::text[]) n;
  SELECT fairsched_set_placement_scorer('score(text,text)', 'best(text,text[])');
});
my $changed = '-infinity';

# rest: all of them were looked at since the last change, and none is to be looked at again.
sub rest
{
  return $node->poll_query_until('postgres', qq{SELECT count(*) = $chains AND bool_and(due IS NULL AND evaluated_at > '$changed')
    FROM fairsched.placement_watch});
}
my $moves = q{SELECT count(*) FROM fairsched.placement_events WHERE reason = 'score'};
my $holding = q{SELECT string_agg(chain || node, ',' ORDER BY chain, node) FROM fairsched.placements};

# change: new scores by $sql for some chains; then the loop is left alone.
sub change
{
  my ($score, $seed) = @_;

  $node->safe_psql('postgres', qq{
    SELECT setseed($seed);
    UPDATE scores s SET score = $score;
    SELECT fairsched_rescore_placements()});
  $changed = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
  # what was looked at before this moment is looked at once more
  $node->safe_psql('postgres', 'SELECT fairsched_rescore_placements()');
  return;
}

ok(rest(), 'at rest in the beginning');
is($node->safe_psql('postgres', $moves), '0', 'where nothing moved');

# swings around the floor
for (1 .. $changes)
{
  change('0.41 + random() * 0.18', $_ / 100);
  rest() or last;
}
is($node->safe_psql('postgres', $moves), '0', 'scores that swing around the floor move nothing');

# anything
my $bounded = 1;
my $settled = 1;
for (1 .. $changes)
{
  my $before = $node->safe_psql('postgres', $moves);

  change('random()', $_ / 50);
  $settled &&= rest() or last;
  # each gains the gap, so a holder moves four times at most
  $bounded &&= $node->safe_psql('postgres', $moves) - $before <= 4 * 2 * $chains;
  # and in the end no move is left to be made
  is($node->safe_psql('postgres', q{
    SELECT count(*) FROM fairsched.placement_chains c
      JOIN LATERAL (SELECT s.score FROM fairsched.placements p JOIN scores s ON s.node = p.node AND s.chain = 'workspace:' || c.chain
        WHERE p.chain = c.chain ORDER BY s.score LIMIT 1) worst ON true
      JOIN LATERAL (SELECT s.score FROM scores s WHERE s.chain = 'workspace:' || c.chain AND NOT EXISTS
        (SELECT FROM fairsched.placements p WHERE p.chain = c.chain AND p.node = s.node) ORDER BY s.score DESC LIMIT 1) best ON true
      WHERE worst.score < 0.5 AND best.score - worst.score >= 0.2}), '0', "change $_: no move is left");
}
ok($settled, 'whatever the scores, it comes to rest');
ok($bounded, 'after few moves');
cmp_ok($node->safe_psql('postgres', $moves), '>', 5, 'which there were');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.placement_chains c WHERE desired <>
  (SELECT count(*) FROM fairsched.placements p WHERE p.chain = c.chain AND p.state = 'holding')}), '0',
  'each is held by as many nodes as desired');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.placement_events WHERE state <> 'done'}), '0', 'every move is done');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.placement_events
  WHERE reason = 'score' AND (from_score >= 0.5 OR to_score - from_score < 0.1999)}), '0', 'none was without reason');
is($node->safe_psql('postgres', q{SELECT max(cardinality(samples)) <= 64 AND bool_and(mean BETWEEN 0 AND 1)
  FROM fairsched.placement_scores}), 't', 'the history is bounded');

# at rest means at rest
my $held = $node->safe_psql('postgres', $holding);
my $calls = $node->safe_psql('postgres', 'SELECT scorer_calls FROM fairsched.placement_scorer_status');
for (1 .. 5)
{
  my $last = $node->safe_psql('postgres', q{SELECT last_run FROM fairsched.maintenance_status WHERE task = 'placement'});

  $node->poll_query_until('postgres', qq{SELECT last_run > '$last' FROM fairsched.maintenance_status WHERE task = 'placement'});
}
is($node->safe_psql('postgres', $holding), $held, 'nothing moves any more');
is($node->safe_psql('postgres', 'SELECT scorer_calls FROM fairsched.placement_scorer_status'), $calls, 'and nobody asks');
fs_check_ok($node, 'memory equals the rows');

# a dump has the scorer, and what happened
my $events = $node->safe_psql('postgres', 'SELECT count(*), max(event_id) FROM fairsched.placement_events');
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'dumped');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('restored') ], 'restored');
is($node->safe_psql('restored', 'SELECT score FROM fairsched.placement_scorer'), 'public.score(pg_catalog.text,pg_catalog.text)', 'with its scorer');
is($node->safe_psql('restored', 'SELECT count(*), max(event_id) FROM fairsched.placement_events'), $events, 'and what happened');
$node->safe_psql('restored', q{SELECT fairsched_register_worker('w-a', node => 'a'); UPDATE scores SET score = 0.6; SELECT fairsched_rescore_placements()});
ok($node->poll_query_until('restored', q{SELECT count(*) > 0 FROM fairsched.placement_scores WHERE score = 0.6::real}), 'which is asked');
$node->stop;
done_testing();
