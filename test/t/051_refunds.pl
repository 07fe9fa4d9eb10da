# Claims that come to nothing cost their workspace nothing: rolled back while others are served, also in the
# next round; and a claim never takes the same job twice, whatever makes the queues be read again meanwhile.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.max_running' => 20000 });

# One in four claims of b is rolled back 45 services later: mostly in the round after its own.
$node->safe_psql('postgres', q{SELECT fairsched_create_workspace(w, tier => 'starter', max_running => 10000) FROM unnest('{a,b,c}'::text[]) w;
  SELECT cardinality(fairsched_enqueue_many(w, array_fill('{}'::jsonb, ARRAY[400]), lane => 'late')) FROM unnest('{a,b,c}'::text[]) w});
my @idle = map { fs_session($node) } 1 .. 12;
my @open;
my %served = map { $_ => 0 } qw(a b c);
my ($n, $undone, $widest) = (0, 0, 0);
my %lead = map { $_ => [ 0, 0 ] } qw(a c);

while ($n < 600)
{
  while (@open && ($open[0][1] <= $n || !@idle))
  {
    my $session = (shift @open)->[0];

    $session->ask('ROLLBACK');
    push @idle, $session;
    $undone++;
  }
  my $session = shift @idle;

  $session->ask('BEGIN');
  my $workspace = $session->ask(q{SELECT workspace FROM fairsched_claim('w', 1, lease => '1 h', lanes => '{late}')});

  $n++;
  if ($workspace eq 'b' && ++$served{claims_of_b} % 4 == 0)
  {
    push @open, [ $session, $n + 45 ];
    next;
  }
  $session->ask('COMMIT');
  push @idle, $session;
  $served{$workspace}++;
  foreach my $other (qw(a c))
  {
    my $d = $served{b} - $served{$other};
    my $range = $lead{$other};

    $range->[0] = $d if $d < $range->[0];
    $range->[1] = $d if $d > $range->[1];
    $widest = $range->[1] - $range->[0] if $range->[1] - $range->[0] > $widest;
  }
}
note("a $served{a}, b $served{b}, c $served{c}; $undone rolled back; widest $widest");
cmp_ok($undone, '>', 40, 'many claims of one workspace were rolled back after others had been served');
# a quantum and two jobs, and what is rolled back and not yet served again
cmp_ok($widest, '<=', 20 + 2 + 12, 'over every interval it got what the others got');
$_->ask('ROLLBACK') foreach map { $_->[0] } @open;

# A bunch of them, in the round after: all of it comes back at once, beside the visit that is to come.
$node->safe_psql('postgres', q{SELECT cardinality(fairsched_enqueue_many(w, array_fill('{}'::jsonb, ARRAY[100]), lane => 'bunch')) FROM unnest('{a,b}'::text[]) w});
my $take = sub {
  my ($who, $jobs) = @_;

  return $who->ask(qq{SELECT string_agg(workspace || jobs, ' ' ORDER BY first) FROM (SELECT workspace, count(*) AS jobs, min(n) AS first
    FROM fairsched_claim('w', $jobs, lanes => '{bunch}')
      WITH ORDINALITY c(job_id, workspace, lane, kind, payload, priority, attempt, token, lease_expires_at, checkpoint, run_id, worker, n)
    GROUP BY 1) s});
};
my ($stays, $goes) = @idle[0, 1];

is($take->($stays, 20), 'a20', 'a visit of a');
$goes->ask('BEGIN');
is($take->($goes, 12), 'b12', 'b is visited');
is($take->($stays, 8), 'b8', 'to the end');
is($take->($stays, 5), 'a5', 'the next round');
$goes->ask('ROLLBACK');
is($take->($stays, 12), 'b12', 'what was rolled back comes first');
is($take->($stays, 15), 'a15', 'then who was being visited');
is($take->($stays, 20), 'b20', 'and a whole visit');
is($take->($stays, 20), 'a20', 'and so on');

# The same, where it is alone for a moment: what it may still get is not counted as being ahead.
$goes->ask('BEGIN');
is($take->($goes, 15), 'b15', 'b is visited');
is($take->($stays, 10), 'b5 a5', 'the next round');
$goes->ask('ROLLBACK');
$stays->ask(q{SELECT fairsched_pause_workspace('a')});
is($take->($stays, 1), 'b1', 'alone');
$stays->ask(q{SELECT fairsched_resume_workspace('a')});
is($take->($stays, 14), 'b14', 'the rest of what was rolled back');
is($take->($stays, 15), 'a15', 'what is left of a visit');
is($take->($stays, 20), 'b20', 'and a whole one');
is($node->safe_psql('postgres', q{SELECT workspace, lag, bound FROM fairsched.fairness WHERE abs(lag) > bound}), '',
  'nobody is beyond the bound');

# Jobs of ten quanta, of which every second one is rolled back 36 services later: what is saved for the next
# one is no hoard.
$node->safe_psql('postgres', q{SELECT cardinality(fairsched_enqueue_many(w, array_fill('{"cost": 10}'::jsonb, ARRAY[900]), cost => 10, lane => 'dear'))
    FROM unnest('{a,c}'::text[]) w;
  SELECT count(fairsched_enqueue('b', jsonb_build_object('cost', 200 + n % 2, 'undo', n % 2 = 0), cost => 200 + n % 2, lane => 'dear'))
    FROM generate_series(1, 80) n});
my %cost = map { $_ => 0 } qw(a b c);
my %seen;

@open = ();
for my $i (1 .. 900)
{
  while (@open && ($open[0][1] <= $i || !@idle))
  {
    my $session = (shift @open)->[0];

    $session->ask('ROLLBACK');
    push @idle, $session;
  }
  my $session = shift @idle;

  $session->ask('BEGIN');
  my ($workspace, $job, $cost, $undo) = split /\|/,
    $session->ask(q{SELECT workspace, job_id, payload->>'cost', payload->>'undo' FROM fairsched_claim('w', 1, lease => '1 h', lanes => '{dear}')});

  if (($undo || '') eq 'true' && !$seen{$job}++)
  {
    push @open, [ $session, $i + 36 ];
    next;
  }
  $session->ask('COMMIT');
  push @idle, $session;
  $cost{$workspace} += $cost;
}
note("cost of a $cost{a}, b $cost{b}, c $cost{c}");
cmp_ok(abs($cost{b} - $cost{a}), '<=', 2 * 20 + 3 * 201, 'jobs of many quanta: within the bound for intervals with refunds');
while (@open)
{
  my $session = (shift @open)->[0];

  $session->ask('ROLLBACK');
  push @idle, $session;
}

# The queues are read again (rows changed by hand) while a claim is under way, over and over: its jobs are
# all different, and in order.
$node->safe_psql('postgres', q{SELECT fairsched_create_workspace(w, tier => 'starter', max_running => 10000) FROM unnest('{x,y}'::text[]) w;
  SELECT cardinality(fairsched_enqueue_many(w, array_fill('{}'::jsonb, ARRAY[1500]), lane => 'again')) FROM unnest('{x,y}'::text[]) w;
  SELECT fairsched_enqueue('by hand', lane => 'by hand');
  CREATE TABLE widest (spread int)});
my $changes = fs_pgbench($node, { q{BEGIN;
UPDATE fairsched.jobs SET payload = jsonb_build_object('n', :client_id) WHERE workspace = 'by hand';
COMMIT;
SELECT count(*) FROM fairsched_claim('other', 1, lanes => '{none}');
} => 1 }, time => 600, clients => 2, app => 'changes');
my $claim = q{WITH c AS MATERIALIZED (SELECT workspace, n FROM fairsched_claim('w', 2000, lanes => '{again}')
      WITH ORDINALITY c(job_id, workspace, lane, kind, payload, priority, attempt, token, lease_expires_at, checkpoint, run_id, worker, n)),
    d AS (SELECT sum(CASE workspace WHEN 'x' THEN 1 ELSE -1 END) OVER (ORDER BY n) AS d FROM c)
  SELECT count(*), greatest(max(d), 0) - least(min(d), 0) FROM d};
my $session = fs_session($node);
my ($jobs, $spread) = (2000, 0);

ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'changes'}), 'rows are changed by hand');
foreach my $i (1 .. 25)
{
  $session->ask('BEGIN');
  my ($count, $wide) = split /\|/, $session->ask($claim);

  $session->ask('ROLLBACK');
  $jobs = $count if $count < $jobs;
  $spread = $wide if $wide > $spread;
}
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'changes'});
$changes->{handle}->finish;
is($jobs, 2000, 'each claim got all that it asked for');
cmp_ok($spread, '<=', 22, 'and in the order of the round robin');
fs_check_ok($node, 'fairsched_check finds nothing');
done_testing();
