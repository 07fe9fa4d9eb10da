# P0 with sixteen claimers: it jumps, and it pays. Whoever marks everything P0, or brings P0 one at a time,
# gets no more than its share over time; a rare P0 job is the next that is claimed.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use List::Util qw(max min);
use PostgreSQL::Test::Cluster;
use Test::More;

my $claimers = 16;
my $tenants = 40;
my $quantum = 20;
my $bound = 3 * $quantum + 2;     # 3 * Qmin + 2 * Max, with jobs of cost 1

my $node = fs_node('main', conf => { max_connections => 60, 'fairsched.max_running' => 50000,
  'fairsched.preemption_interval' => '1h' });

# Nothing is completed, so fairsched.workspace_status counts all that was handed out.
$node->safe_psql('postgres', qq{
  SELECT count(fairsched_create_workspace(w, max_running => 1000000))
    FROM (SELECT 'n' || n FROM generate_series(1, $tenants) n UNION ALL VALUES ('urgent'), ('drip'), ('rare')) t(w);
  SELECT count(fairsched_enqueue('n' || w)) FROM generate_series(1, $tenants) w, generate_series(1, 400);
  SELECT count(fairsched_enqueue('urgent', priority => 'P0')) FROM generate_series(1, 1200);
  -- one at a time: the queue is empty each time it was served
  CREATE PROCEDURE drip() LANGUAGE plpgsql AS \$\$
  DECLARE
    job bigint;
  BEGIN
    SELECT job_id INTO job FROM fairsched_enqueue('drip', priority => 'P0');
    COMMIT;
    FOR i IN 1..300 LOOP
      EXIT WHEN (SELECT state FROM fairsched_job_status(job)) = 'running';
      COMMIT;
      PERFORM pg_sleep(0.001);
    END LOOP;
    COMMIT;
  END \$\$;
  CREATE TABLE rare (job_id bigint, committed timestamptz);
  CREATE PROCEDURE rare() LANGUAGE plpgsql AS \$\$
  DECLARE
    job bigint;
  BEGIN
    SELECT job_id INTO job FROM fairsched_enqueue('rare', priority => 'P0');
    COMMIT;
    INSERT INTO rare VALUES (job, clock_timestamp());
    COMMIT;
    -- and not before it was claimed, and a round has passed
    PERFORM pg_sleep(0.2);
  END \$\$});

# served: what each workspace was given, as a hash
sub served
{
  return { map { $_->[0] => $_->[1] } fs_rows($node, 'SELECT workspace, running FROM fairsched.workspace_status') };
}

my $claim = "SELECT count(*) FROM fairsched_claim('w' || :client_id, lease => '1 h');\n";
my $stop = $node->basedir . '/stop';
my $drip = fs_pgbench($node, { "CALL drip();\n" => 1 }, clients => 4, transactions => 20, forever => $stop, app => 'drip');
my $before = served();

foreach my $slice (1 .. 3)
{
  ok(fs_finish(fs_pgbench($node, { $claim => 1 }, clients => $claimers, transactions => 120)),
    "slice $slice: $claimers claimers met no error");
  my $now = served();
  my %got = map { $_ => $now->{$_} - ($before->{$_} || 0) } keys %$now;
  my @normal = map { $got{"n$_"} } 1 .. $tenants;

  note("slice $slice: urgent $got{urgent}, drip $got{drip}, others " . min(@normal) . ' to ' . max(@normal));
  cmp_ok(min(@normal), '>', 0, "slice $slice: everybody is served");
  cmp_ok($got{urgent} - min(@normal), '<=', $bound, "slice $slice: who marks everything P0 gets no more than others");
  cmp_ok(max(@normal) - $got{urgent}, '<=', $bound, "slice $slice: nor less");
  cmp_ok($got{drip} - min(@normal), '<=', $bound, "slice $slice: nor does who brings P0 one at a time");
}
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM fairsched.running_jobs WHERE workspace = 'drip'}), 't', 'which was served');
PostgreSQL::Test::Utils::append_to_file($stop, '');
ok(fs_finish($drip), 'and met no error');

# A rare one: claims that begin after its commit find it, so of those there are at most the others that were
# under way with the one that took it. A turn of the ring is hundreds of jobs.
$node->safe_psql('postgres', q{SELECT fairsched_drop_workspace('urgent', force => true); SELECT fairsched_drop_workspace('drip', force => true)});
my $work = fs_pgbench($node, { $claim => 1 }, clients => $claimers, transactions => 400);
my $rare = fs_pgbench($node, { "CALL rare();\n" => 1 }, clients => 1, transactions => 8, app => 'rare');
ok(fs_finish($rare), 'rare jobs of P0');
ok(fs_finish($work), 'among claims');
my @late = fs_rows($node, q{
  SELECT (SELECT count(*) FROM fairsched.running_jobs o WHERE o.workspace <> 'rare'
      AND o.claimed_at > r.committed AND o.claimed_at < j.claimed_at)
  FROM rare r LEFT JOIN fairsched.running_jobs j USING (job_id) WHERE j.claimed_at IS NOT NULL ORDER BY r.committed});
cmp_ok(scalar(@late), '>', 0, scalar(@late) . ' of them were claimed');
cmp_ok(max(map { $_->[0] } @late), '<', $claimers, 'each before any other: behind '
  . join(', ', map { $_->[0] } @late) . ' that were under way');
fs_check_ok($node, 'counters equal the rows');
$node->stop;
done_testing();
