# Aging: a job that waits fairsched.priority_aging counts as one class higher, P1 at most, so P3 has
# a longest wait. A stream of fresh P1 jobs stands for the work that would starve it.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.priority_aging' => 0 });

$node->safe_psql('postgres', q{
  CREATE TABLE served (at bigserial, job_id bigint, priority text);
  CREATE PROCEDURE stream(lowly text, most int, seconds float) LANGUAGE plpgsql AS $$
  DECLARE
    give_up timestamptz := clock_timestamp() + make_interval(secs => seconds);
    n int := 0;
  BEGIN
    WHILE n < most AND clock_timestamp() < give_up
      AND EXISTS (SELECT FROM fairsched.jobs WHERE priority = lowly)
    LOOP
      PERFORM fairsched_enqueue('acme', priority => 'P1');
      COMMIT;
      INSERT INTO served (job_id, priority) SELECT job_id, priority
        FROM fairsched_claim('w') WHERE fairsched_complete(job_id, token);
      COMMIT;
      n := n + 1;
    END LOOP;
  END
  $$});

sub aging
{
  my ($value) = @_;

  $node->safe_psql('postgres', "ALTER SYSTEM SET fairsched.priority_aging = '$value'");
  $node->reload;
  $node->poll_query_until('postgres',
    "SELECT current_setting('fairsched.priority_aging') = '$value'") or die;
  return;
}

sub served
{
  my ($class) = @_;

  return $node->safe_psql('postgres', "SELECT count(*) FROM served WHERE priority = '$class'");
}

# Off: only the class counts, however long it takes.
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('acme', priority => 'P3')});
$node->safe_psql('postgres', q{CALL stream('P3', 200, 600)});
is(served('P3'), '0', 'without aging, P3 waits as long as there is P1');
is(served('P1'), '200', 'which is served all the time');

# On: it gets there. One more P3 in flows of its own, and P2 too.
aging('20ms');
my $seconds = $PostgreSQL::Test::Utils::timeout_default;
$node->safe_psql('postgres', "CALL stream('P3', 1000000, $seconds)");
is(served('P3'), '1', 'with aging, P3 is served while there is P1');
$node->safe_psql('postgres', q{
  SELECT fairsched_enqueue('acme', priority => 'P3', resources => jsonb_build_object('memory', n))
  FROM generate_series(1, 5) n;
  SELECT fairsched_enqueue('acme', priority => 'P2')});
$node->safe_psql('postgres', "CALL stream('P2', 1000000, $seconds)");
is(served('P2'), '1', 'P2 as well');
$node->safe_psql('postgres', "CALL stream('P3', 1000000, $seconds)");
is(served('P3'), '6', 'and P3 jobs of other flows');

# All that counts as P1 goes by age: an old P3 before P1 jobs that came later, after an older P1.
fs_drain_all($node);
aging('1h');
my @ids = map { $_->[0] } fs_rows($node, q{SELECT job_id FROM unnest('{P1,P3,P2,P1}'::text[])
  WITH ORDINALITY u(p, n), fairsched_enqueue('acme', jsonb_build_object('n', n), priority => p)});
$node->safe_psql('postgres', q{UPDATE fairsched.jobs SET run_at = now() - interval '3 hours',
  created_at = now() - interval '3 hours' WHERE payload ->> 'n' IN ('2', '3')});
is_deeply([ fs_drain_all($node) ], [ @ids[0, 3, 2, 1] ], 'before the restart they are fresh');

@ids = map { $_->[0] } fs_rows($node, q{SELECT job_id FROM unnest('{P1,P3,P2,P1,P0}'::text[])
  WITH ORDINALITY u(p, n), fairsched_enqueue('acme', jsonb_build_object('n', n), priority => p)});
$node->safe_psql('postgres', q{UPDATE fairsched.jobs SET run_at = now() - interval '3 hours',
  created_at = now() - interval '3 hours' WHERE payload ->> 'n' IN ('2', '3')});
# nothing was saved: the heads of the queues tell
$node->safe_psql('postgres', 'TRUNCATE fairsched.position_times');
$node->restart;
is_deeply([ fs_drain_all($node) ], [ @ids[4, 0, 1, 2, 3] ],
  'P0 first, then by age what counts as P1; a restart does not make a job younger');

# P3 that waited once counts as P2, no more.
@ids = map { $_->[0] } fs_rows($node, q{SELECT job_id FROM unnest('{P3,P2,P1}'::text[])
  WITH ORDINALITY u(p, n), fairsched_enqueue('acme', jsonb_build_object('n', n), priority => p)});
$node->safe_psql('postgres', q{UPDATE fairsched.jobs SET run_at = now() - interval '90 min',
  created_at = now() - interval '90 min' WHERE payload ->> 'n' = '1'});
$node->safe_psql('postgres', 'TRUNCATE fairsched.position_times');
$node->stop('immediate');
$node->start;
is_deeply([ fs_drain_all($node) ], [ @ids[2, 0, 1] ], 'one aging, one class');

# What was saved tells of every job, not only of the first of a queue. Old here is what was given out by
# the last time that was saved.
aging('30s');

# put: jobs of these classes, all of one flow; saved: until the scheduler has saved that they were given out
sub put
{
  return map { $_->[0] } fs_rows($node, "SELECT job_id FROM unnest('{$_[0]}'::text[]) WITH ORDINALITY u(p, n),
    fairsched_enqueue('acme', jsonb_build_object('n', n), priority => p) ORDER BY n");
}

sub saved
{
  $node->poll_query_until('postgres', q{SELECT max(t.position) > (SELECT max(position) FROM fairsched.jobs)
    FROM fairsched.position_times t}) or die 'nothing was saved';
  return;
}

foreach my $how (qw(restart crash))
{
  my @old = put('P3,P2,P3,P3');
  saved();
  $node->safe_psql('postgres', q{UPDATE fairsched.position_times SET at = at - interval '1 hour'});
  my @new = put('P1,P3');
  $node->stop($how eq 'crash' ? 'immediate' : 'fast');
  $node->start;
  is_deeply([ fs_drain_all($node) ], [ @old, @new ], "after a $how all jobs are as old as they were");
  $node->safe_psql('postgres', 'TRUNCATE fairsched.position_times');
}

# A row may be older than its place: its job came back. It does not make others old.
put('P2');
saved();
@ids = put('P3,P3,P1');
$node->safe_psql('postgres', q{UPDATE fairsched.jobs SET run_at = now() - interval '3 hours',
  created_at = now() - interval '3 hours' WHERE priority = 'P3'});
$node->restart;
my @drained = fs_drain_all($node);
is($drained[0], $ids[2], 'a place that was given out late is not old, whatever the row says');

# What is old goes.
put('P2');
saved();
$node->safe_psql('postgres', q{INSERT INTO fairsched.position_times SELECT now() - n * interval '1 hour', 1 FROM generate_series(1, 20) n});
put('P2');
saved();
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.position_times WHERE at < now() - interval '10 min'}), '1',
  'of the old ones one is kept');
fs_drain_all($node);

fs_check_ok($node, 'fairsched_check finds nothing');
$node->stop;
done_testing();
