# A simulation of mixed load: tenants that flood, that come in bursts and that come seldom, dear and cheap,
# long and short jobs. Nobody starves, and what each gets is weighted max-min fair. The table of shares
# is in the log of the test.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use List::Util qw(max min sum);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = 12;
my $tiny = 12;
my %weight = (heavy => 4, flood => 1, steady => 2, bursty => 1.2);
my $node = fs_node('main', conf => { max_connections => 60, synchronous_commit => 'off' });

# Payloads say how long a job takes. heavy: dear and long; flood: cheap and short; steady: mixed.
$node->safe_psql('postgres', qq{
  CREATE TABLE log (at bigserial, workspace text, cost int, token bigint, job_id bigint,
    claimed_at timestamptz DEFAULT clock_timestamp());
  -- not before its enqueue was committed
  CREATE TABLE born (job_id bigint PRIMARY KEY, at timestamptz DEFAULT clock_timestamp());
  CREATE FUNCTION job(cost int, ms int) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
    'SELECT jsonb_build_object(''cost'', cost, ''ms'', ms)';
  SELECT fairsched_create_workspace('heavy', tier => 'enterprise', max_running => 1000);
  SELECT fairsched_create_workspace('flood', tier => 'starter', max_running => 1000);
  SELECT fairsched_create_workspace('steady', tier => 'scale', max_running => 1000);
  SELECT fairsched_create_workspace('bursty', tier => 'growth', max_running => 1000);
  SELECT fairsched_create_workspace('tiny' || n, own_table => false) FROM generate_series(1, $tiny) n;
  SELECT count(fairsched_enqueue('heavy', job(4, 12), cost => 4)) FROM generate_series(1, 8000);
  SELECT count(fairsched_enqueue_many('flood', (SELECT array_agg(job(1, 1))
    FROM generate_series(1, 20000)), cost => 1));
  SELECT count(fairsched_enqueue('steady', job(1 + n % 5, n % 10), cost => 1 + n % 5))
    FROM generate_series(1, 8000) n;
});
$weight{"tiny$_"} = 1 foreach 1 .. $tiny;

my $work = q{
CREATE TEMP TABLE IF NOT EXISTS mine (workspace text, job_id bigint, token bigint, payload jsonb);
DELETE FROM mine;
INSERT INTO mine SELECT workspace, job_id, token, payload
  FROM fairsched_claim('w' || :client_id, 2, max_wait => '100 ms');
INSERT INTO log (workspace, cost, token, job_id)
  SELECT workspace, (payload->>'cost')::int, token, job_id FROM mine ORDER BY token;
SELECT pg_sleep(coalesce(sum((payload->>'ms')::int), 0) / 1000.0) FROM mine;
SELECT fairsched_complete(job_id, token) FROM mine;
};
my $seldom = qq{
\\set t random(1, $tiny)
\\sleep 20 ms
SELECT job_id FROM fairsched_enqueue('tiny' || :t, job(2, 2), cost => 2) \\gset
INSERT INTO born (job_id) VALUES (:job_id);
};
my $burst = q{
\sleep 1500 ms
SELECT count(fairsched_enqueue('bursty', job(2, 3), cost => 2))
  FROM generate_series(1, 60);
};
# Workers go on until those who do not always have work have none left, however slow the machine is.
my $stop = $node->basedir . '/stop';
my $workers = fs_pgbench($node, { $work => 1 }, clients => 10, time => 3, forever => $stop);
my @load = (
  fs_pgbench($node, { $seldom => 1 }, time => $seconds - 2),
  fs_pgbench($node, { $burst => 1 }, time => $seconds - 2));
ok(fs_finish($_), 'no client met an error') foreach @load;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM fairsched.jobs WHERE workspace LIKE 'tiny%' OR workspace = 'bursty'}),
  'tiny tenants got all they asked for, and so did bursts');
append_to_file($stop, 'now');
ok(fs_finish($workers), 'no worker met an error');

# What each asked for and got, in cost units.
my %served = map { $_->[0] => $_->[1] }
  fs_rows($node, 'SELECT workspace, sum(cost) FROM log GROUP BY workspace');
my %waiting = map { $_->[0] => $_->[1] }
  fs_rows($node, 'SELECT workspace, sum(cost) FROM fairsched.jobs GROUP BY workspace');
my %asked = map { $_ => ($served{$_} // 0) + ($waiting{$_} // 0) } keys %weight;
my $total = sum(values %served);

# Weighted max-min: who asks for less than its share gets what it asks for, the others share the rest.
my %entitled;
my %open = map { $_ => 1 } grep { $asked{$_} > 0 } keys %weight;
my $rest = $total;
while (%open)
{
  my $weights = sum(map { $weight{$_} } keys %open);
  my @content = grep { $asked{$_} <= $rest * $weight{$_} / $weights } keys %open;

  if (!@content)
  {
    $entitled{$_} = $rest * $weight{$_} / $weights foreach keys %open;
    last;
  }
  $entitled{$_} = $asked{$_} foreach @content;
  delete @open{@content};
  $rest -= sum(map { $asked{$_} } @content);
}

note(sprintf('%-8s %6s %8s %8s %8s %9s', qw(who weight asked served share entitled)));
foreach my $who (sort { $weight{$b} <=> $weight{$a} || $a cmp $b } keys %weight)
{
  note(sprintf('%-8s %6.1f %8d %8d %7.2f%% %8.2f%%', $who, $weight{$who}, $asked{$who},
    $served{$who} // 0, 100 * ($served{$who} // 0) / $total, 100 * ($entitled{$who} // 0) / $total));
}
my ($longest) = $node->safe_psql('postgres', q{SELECT round(1000 * extract(epoch FROM max(l.claimed_at - b.at)))
  FROM log l JOIN born b USING (job_id)});
my ($count) = $node->safe_psql('postgres', 'SELECT count(*) FROM log');
note("$count jobs in about $seconds s; the longest wait of a tiny tenant: $longest ms");

cmp_ok($count, '>', 300, 'there was work');
ok($waiting{$_}, "$_ had a backlog all the time") foreach qw(heavy flood steady);
is(join(',', grep { !$served{$_} && $asked{$_} } sort keys %weight), '', 'everybody was served');

# Those who ask for little get it, at once: within a round, whatever backlog the others have.
my $round = 20 * sum(values %weight) + 10 * 2 * 5;
is($node->safe_psql('postgres', qq{
  SELECT count(*) FROM log t JOIN born b USING (job_id) WHERE $round < (
    SELECT sum(cost) FROM log o WHERE o.claimed_at > b.at AND o.token < t.token)}), '0',
  "each of their jobs within one round ($round cost units)");

# Those who could never have enough share by weight.
foreach my $who (qw(heavy flood steady))
{
  cmp_ok(abs($served{$who} - $entitled{$who}), '<=', 0.1 * $entitled{$who} + 4 * 30,
    sprintf('%s got %.1f%% of its entitlement', $who, 100 * $served{$who} / $entitled{$who}));
}
# Over the same interval, by the bound. Tokens are in the order of the decisions but for what was being
# claimed at the same time: ten claims of two jobs, each worth 1 by weight.
my ($low, $high, %s) = (0, 0, heavy => 0, flood => 0);
foreach my $entry (fs_rows($node, q{SELECT workspace, cost FROM log
  WHERE workspace IN ('heavy', 'flood') ORDER BY token}))
{
  $s{ $entry->[0] } += $entry->[1] / $weight{ $entry->[0] };
  $low = min($low, $s{heavy} - $s{flood});
  $high = max($high, $s{heavy} - $s{flood});
}
cmp_ok($high - $low, '<=', 20 + 2 * 5 + 10 * 2, 'heavy and flood never drift apart by more than the bound');

# A burst does not harm the others, and is not starved either.
cmp_ok($served{bursty}, '>=', 0.9 * $entitled{bursty} - 24, 'bursty got what is due to it');
fs_check_ok($node, 'fairsched_check finds nothing');

$node->stop;
done_testing();
