# What the loop that moves placements looks at: what has changed and nothing else, however much that
# is at a time; nothing of it is lost when a round is rolled back or prepared, or the server crashes.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => {
  'fairsched.move_placements' => 'off',
  'fairsched.worker_timeout'  => '1h',
  'max_prepared_transactions' => 5 });
my $chains = 200;

sub ask { return $node->safe_psql('postgres', $_[0]) }

# scored: how many are scored until nothing is due (what is to be looked at again later is not waited for).
sub scored
{
  my $until = time + $PostgreSQL::Test::Utils::timeout_default;
  my $before = ask('SELECT clock_timestamp()');

  while (time < $until)
  {
    last if ask('SELECT fairsched_evaluate_placement();' x 10 . q{
      SELECT count(*) FROM fairsched.placement_marks() UNION ALL SELECT count(*) FROM fairsched.placement_watch WHERE due <= clock_timestamp()})
      =~ /\n0\n0$/;
  }
  return ask("SELECT count(*) FROM fairsched.placement_scores WHERE scored_at > '$before'");
}

ask(qq{
  SELECT fairsched_register_worker('w' || i, slots => 4, node => 'n' || i) FROM generate_series(1, 100) i;
  SELECT fairsched_place_lane('l' || i, ARRAY['n' || (i % 100 + 1), 'n' || ((i + 1) % 100 + 1)], 1) FROM generate_series(1, $chains) i});
is(scored(), $chains, 'all, when they are placed');
is(scored(), 0, 'then none');

my $place = q{SELECT fairsched_place_lane('l' || i, ARRAY['n' || (i %% 100 + 1), 'n' || ((i + 1) %% 100 + 1)], 1) FROM generate_series(1, %d) i};

ask(sprintf $place, 10);
is(scored(), 10, 'of a few that change: these');
ask(sprintf $place, 150);
my $n = scored();
cmp_ok($n, '>=', 150, 'of many that change at once: all of these');
cmp_ok($n, '<=', 155, 'and hardly others');
ask(q{SELECT fairsched_set_node('n' || i, '{"x": 1}') FROM generate_series(1, 70) i});
$n = scored();
cmp_ok($n, '>=', 140, 'of many nodes that change at once: what they hold');
cmp_ok($n, '<=', 150, 'and hardly what others hold');
is(scored(), 0, 'then none');
ask(q{SELECT fairsched_place_lane('gone' || i, '{n1}') FROM generate_series(1, 70) i});
scored();
ask(q{SELECT fairsched_unplace_lane('gone' || i) FROM generate_series(1, 70) i});
is(scored() + ask(q{SELECT count(*) FROM fairsched.placement_watch WHERE chain LIKE 'gone%'}), 0, 'many that are placed no more: forgotten');

# ---------- rounds that come to nothing ----------
foreach my $many (5, 100)
{
  ask(sprintf $place, $many);
  ask('BEGIN; SELECT fairsched_evaluate_placement(); ROLLBACK');
  $n = scored();
  ok($n >= $many && $n <= $many + 10, "$many: rolled back, they are still marked, and not all ($n)");
  ask(sprintf $place, $many);
  ask('BEGIN; SAVEPOINT s; SELECT fairsched_evaluate_placement(); ROLLBACK TO s; SELECT fairsched_evaluate_placement(); COMMIT');
  $n = ask(q{SELECT count(*) FROM fairsched.placement_watch WHERE evaluated_at > now() - interval '1 h' AND due IS NULL});
  is($n, $chains, "$many: rolled back to a savepoint, looked at after it") if scored() >= 0;
}
ask(sprintf $place, 5);
ask(q{BEGIN; SELECT fairsched_evaluate_placement(); PREPARE TRANSACTION 'round'});
ask(q{ROLLBACK PREPARED 'round'});
is(scored(), 5, 'prepared and rolled back: likewise');

# ---------- a crash before they are looked at ----------
ask(q{SELECT fairsched_place_lane('fresh', '{n1,n2}', 1)});
$node->stop('immediate');
$node->start;
ask(q{SELECT fairsched_register_worker('w' || i, slots => 4, node => 'n' || i) FROM generate_series(1, 100) i});
scored();
is(scored(), 0, 'after a crash: at rest again');
is(ask(q{SELECT count(*) FROM fairsched.placement_scores WHERE chain = 'fresh'}), '1', 'what was placed before it was scored');
ask(q{
  CREATE FUNCTION good(chain text, node text) RETURNS real LANGUAGE sql AS 'SELECT 0.625::real';
  CREATE FUNCTION best(chain text, exclude text[]) RETURNS TABLE (node text, score real) LANGUAGE sql AS 'SELECT NULL::text, NULL::real WHERE false';
  SELECT fairsched_set_placement_scorer('public.good(text,text)', 'public.best(text,text[])')});
$node->stop('immediate');
$node->start;
ask(q{SELECT fairsched_evaluate_placement()});
ask(q{SELECT fairsched_register_worker('w' || i, slots => 4, node => 'n' || i) FROM generate_series(1, 100) i});
scored();
is(ask('SELECT count(*) FROM fairsched.placement_scores WHERE score = 0.625'), $chains + 1, 'a scorer that was installed right before it has scored all');
$node->stop;
done_testing();
