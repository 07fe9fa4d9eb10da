# The bound of Deficit Round Robin, measured from outside: over any interval in which two workspaces
# both have work, |S_i/f_i - S_j/f_j| <= Qmin + 2 * Max. One and sixteen claimers, batches of 1 and 100.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use List::Util qw(max min sum);
use PostgreSQL::Test::Cluster;
use Test::More;

my %quantum = (starter => 20, growth => 24, scale => 40, enterprise => 80);
my $qmin = 20;
my @tenants = (    # tier, costs of its jobs in turn
  [ 'small',  'starter',    [ 1 ] ],
  [ 'mixed',  'starter',    [ 7, 1, 1, 30, 2 ] ],
  [ 'grown',  'growth',     [ 3 ] ],
  [ 'large',  'scale',      [ 1, 2, 9 ] ],
  [ 'huge',   'enterprise', [ 5 ] ],
  [ 'rich',   'enterprise', [ 1, 13 ] ]);
my %factor = map { $_->[0] => $quantum{ $_->[1] } / $qmin } @tenants;
my $most = max(map { @{ $_->[2] } } @tenants);
my $bound = $qmin + 2 * $most;

my $node = fs_node('main', conf => { max_connections => 60,
  'fairsched.max_running' => 100000, 'fairsched.max_cost' => 1000 });

# fill: a database with a backlog that does not run out: $rounds rounds' worth and half as much again.
# With $even all jobs of a tenant cost the same, the most that one of its jobs costs otherwise.
sub fill
{
  my ($db, $rounds, $even) = @_;

  $node->safe_psql('postgres', "CREATE DATABASE $db");
  $node->safe_psql($db, q{CREATE EXTENSION fairsched;
    CREATE TABLE log (at bigserial, job_id bigint, workspace text, cost int, token bigint,
      batch bigint, ordinality bigint);
    CREATE TABLE sample (at bigint, workspace text, running bigint);
    CREATE SEQUENCE batch; CREATE SEQUENCE sample_at});
  foreach my $t (@tenants)
  {
    my ($name, $tier, $costs) = @$t;
    $costs = [ max(@$costs) ] if $even;
    my $list = join ',', @$costs;
    my $each = @$costs;
    my $n = int(1.5 * $rounds * $quantum{$tier} * @$costs / sum(@$costs)) + 100;

    $node->safe_psql($db, qq{
      SELECT fairsched_create_workspace('$name', tier => '$tier', max_running => 1000000);
      SELECT fairsched_enqueue('$name', cost => (ARRAY[$list])[1 + n % $each])
        FROM generate_series(0, $n - 1) n});
  }
  return;
}

# spread: the widest that S_i/f_i - S_j/f_j ever moves between two moments, over all pairs. $log is a
# list of [workspace, cost] in the order of service.
sub spread
{
  my ($log) = @_;
  my @names = sort keys %factor;
  my %served = map { $_ => 0 } @names;
  my (%low, %high);
  my $worst = 0;
  my $pair = '';

  foreach my $entry (@$log)
  {
    my ($name, $cost) = @$entry;

    $served{$name} += $cost / $factor{$name};
    foreach my $other (@names)
    {
      next if $other eq $name;
      my ($i, $j) = sort ($name, $other);
      my $d = $served{$i} - $served{$j};

      $low{"$i-$j"} = min($low{"$i-$j"} // 0, $d);
      $high{"$i-$j"} = max($high{"$i-$j"} // 0, $d);
      if ($high{"$i-$j"} - $low{"$i-$j"} > $worst)
      {
        $worst = $high{"$i-$j"} - $low{"$i-$j"};
        $pair = "$i-$j";
      }
    }
  }
  return ($worst, $pair, \%served);
}

sub read_log
{
  my ($db) = @_;

  return [ map { [ $_->[0], $_->[1] ] }
      fs_rows($node, 'SELECT workspace, cost FROM log ORDER BY at', $db) ];
}

# Several claimers: the order in which they get to log their claims is not that of the decisions. But
# as nothing is completed, "running" counts all that was ever handed out, open claims included, and one
# look at workspace_status shows all tenants at one moment. One client does nothing but look, and each
# claimer looks after each of its claims, so however little the one gets to run, there are moments.
my $sampler = q{INSERT INTO sample SELECT s.n, workspace, running
  FROM (SELECT nextval('sample_at') AS n OFFSET 0) s, fairsched.workspace_status;
};

# read_samples: the growth from sample to sample, as a log.
sub read_samples
{
  my ($db) = @_;
  my %cost = map { $_->[0] => max(@{ $_->[2] }) } @tenants;
  my (%last, @moments);

  foreach my $row (fs_rows($node, 'SELECT at, workspace, running FROM sample ORDER BY at', $db))
  {
    my ($at, $name, $running) = @$row;

    push @moments, { at => $at } if !@moments || $moments[-1]{at} != $at;
    $moments[-1]{$name} = $running * $cost{$name};
  }
  return @moments;
}

# spread_of_moments: as spread, from what had been served at some moments.
sub spread_of_moments
{
  my @moments = @_;
  my @names = sort keys %factor;
  my ($worst, $pair) = (0, '');

  foreach my $i (@names)
  {
    foreach my $j (grep { $_ gt $i } @names)
    {
      my @d = map { $_->{$i} / $factor{$i} - $_->{$j} / $factor{$j} } @moments;
      my $d = max(@d) - min(@d);

      ($worst, $pair) = ($d, "$i-$j") if $d > $worst;
    }
  }
  return ($worst, $pair);
}

my $claim = q{WITH c AS MATERIALIZED (
    SELECT * FROM fairsched_claim('w' || :client_id, %d, lease => '1 hour') WITH ORDINALITY)
  INSERT INTO log (job_id, workspace, cost, token, batch, ordinality)
    SELECT c.job_id, c.workspace, j.cost, c.token, b.n, c.ordinality
    FROM c JOIN fairsched.jobs j USING (job_id), (SELECT nextval('batch') AS n OFFSET 0) b
    ORDER BY c.ordinality;
};
my %order;

foreach my $case ([ 1, 1, 1200 ], [ 100, 1, 14 ], [ 1, 16, 90 ], [ 100, 16, 3 ])
{
  my ($batch, $clients, $transactions) = @$case;
  my $db = "b${batch}_c$clients";
  my $jobs = $batch * $clients * $transactions;
  my $name = "$clients claimer(s), batches of $batch";

  fill($db, $clients == 1 ? 20 : 80, $clients > 1);
  my $eye = $clients > 1 ? fs_pgbench($node, { $sampler => 1 }, db => $db, time => 60, app => 'eye')
    : undef;
  ok(!$eye || $node->poll_query_until($db, 'SELECT count(*) > 6 FROM sample'), "$name: ready");
  ok(fs_finish(fs_pgbench($node, { sprintf($claim, $batch) . ($eye ? $sampler : '') => 1 }, db => $db,
      clients => $clients, transactions => $transactions)), "$name: no error");
  is($node->safe_psql($db, 'SELECT count(*), count(DISTINCT job_id), count(DISTINCT token) FROM log'),
    "$jobs|$jobs|$jobs", "$name: each job and token once, no claim came back short");
  is($node->safe_psql($db, q{SELECT count(*) FROM (SELECT workspace FROM fairsched.jobs
    WHERE state = 'available' GROUP BY workspace) w}), scalar(@tenants), "$name: the backlog lasted");

  my ($worst, $pair);
  if ($eye)
  {
    $node->safe_psql($db, q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE application_name = 'eye'});
    $eye->{handle}->finish;

    my @moments = read_samples($db);
    my %distinct = map { join(',', map { $_ // '' } @{$_}{ sort keys %factor }) => 1 } @moments;

    # the one before the load, and those of a claimer: it has more at each
    cmp_ok(scalar(keys %distinct), '>', $transactions, "$name: " . keys(%distinct) . ' different moments seen');
    ($worst, $pair) = spread_of_moments(@moments);
    note("$name: spread in the order of logging is " . (spread(read_log($db)))[0]);
  }
  else
  {
    my $log = read_log($db);
    my $served;

    ($worst, $pair, $served) = spread($log);
    # It is a weighted share, not an equal one.
    my $total = sum(map { $served->{$_} * $factor{$_} } keys %$served);
    note(sprintf('%-6s served %6.1f cost units, %5.2f%%, entitled %5.2f%%', $_,
      $served->{$_} * $factor{$_}, 100 * $served->{$_} * $factor{$_} / $total,
      100 * $factor{$_} / sum(values %factor))) foreach sort keys %$served;
    $order{$batch} = join ' ', map { $_->[0] } @$log[ 0 .. 1199 ];
  }
  cmp_ok($worst, '<=', $bound, sprintf('%s: %d jobs, spread %.1f (%s), bound %d',
    $name, $jobs, $worst, $pair, $bound));
  fs_check_ok($node, "$name: fairsched_check finds nothing", $db);
}
is($order{1}, $order{100}, 'the order of 1200 claims of 1 is that of 12 claims of 100');

# A cost above the quantum is served, after the rounds it needs, and at its price.
fill('dear', 20);
$node->safe_psql('dear', q{
  SELECT fairsched_create_workspace('dear', max_running => 1000);
  SELECT fairsched_enqueue('dear', cost => 200) FROM generate_series(1, 5)});
ok(fs_finish(fs_pgbench($node, { sprintf($claim, 1) => 1 }, db => 'dear', transactions => 1500)),
  'a workspace with jobs of ten quanta each');
my ($served, $small) = @{ (fs_rows($node, q{
  SELECT coalesce(sum(cost) FILTER (WHERE workspace = 'dear'), 0),
    sum(cost) FILTER (WHERE workspace = 'small') FROM log}, 'dear'))[0] };
cmp_ok($served, '>', 0, 'it is served');
cmp_ok(abs($served - $small), '<=', $qmin + 2 * 200, 'as much as its peer, within the bound');

# The weight can be changed while there is a backlog.
$node->safe_psql('b1_c1', q{TRUNCATE log;
  SELECT fairsched_alter_workspace('small', tier => 'enterprise');
  SELECT fairsched_alter_workspace('rich', tier => 'starter')});
ok(fs_finish(fs_pgbench($node, { sprintf($claim, 1) => 1 }, db => 'b1_c1', transactions => 400)),
  'with other tiers');
$factor{small} = 4;
$factor{rich} = 1;
my $log = read_log('b1_c1');
my ($worst, $pair) = spread($log);
cmp_ok($worst, '<=', $bound, sprintf('the new weights hold at once: spread %.1f (%s)', $worst, $pair));

$node->stop;
done_testing();
