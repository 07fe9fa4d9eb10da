# Claims that write nothing against verbs on the same rows: heads of the queue are cancelled, moved and given another
# priority while they are being claimed, and the setting is switched on and off. Whoever comes second sees the first,
# so each job ends once, and no lease stays behind.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $jobs = 12000;
my $node = fs_node('main', conf => { max_connections => 60, log_min_messages => 'error',
  'fairsched.durable_claims' => 'off', 'fairsched.default_quota' => 1000 });

$node->safe_psql('postgres', qq{
  CREATE UNLOGGED TABLE ended (job_id bigint, how text);
  SELECT count(fairsched_enqueue_many('acme', (SELECT array_agg('{}'::jsonb) FROM generate_series(1, $jobs))));
});
my $claim = q{SELECT coalesce(max(job_id), 0) AS job, coalesce(max(token), 0) AS token
  FROM fairsched_claim('c' || :client_id, lease => '1 hour') \gset
INSERT INTO ended SELECT :job, 'completed' WHERE :job > 0 AND fairsched_complete(:job, :token);
};
my $undone = q{BEGIN;
SELECT count(*) FROM fairsched_claim('u' || :client_id, 2);
ROLLBACK;
};
# one of the next that are handed out
my $head = q{SELECT job_id FROM (SELECT job_id FROM fairsched.jobs_0 WHERE state = 'available' AND position > 0
  ORDER BY rank, position LIMIT 8) h ORDER BY random() LIMIT 1};
my $cancel = "INSERT INTO ended SELECT job_id, 'cancelled' FROM ($head) h WHERE fairsched_cancel(job_id);\n";
my $change = sub { my ($call) = @_;
  return "DO \$\$ BEGIN PERFORM $call FROM ($head) h; "
    . "EXCEPTION WHEN SQLSTATE 'FS005' OR SQLSTATE 'FS006' THEN NULL; END \$\$;\n" };

my @load = (
  fs_pgbench($node, { $claim => 6, $undone => 1 }, clients => 4, transactions => 1500),
  fs_pgbench($node, { $cancel => 3, $change->('fairsched_reschedule(job_id, now())') => 1,
      $change->(q{fairsched_assign_priority(job_id, 'P2')}) => 1 }, clients => 4, transactions => 750));
my $switched = 0;
do
{
  $node->adjust_conf('postgresql.conf', 'fairsched.durable_claims', $switched++ % 2 ? 'off' : 'on');
  $node->reload;
  $node->safe_psql('postgres', 'SELECT pg_sleep(0.05)');
} while ($switched < 4 || $node->safe_psql('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'pgbench'}) eq 't');
cmp_ok($switched, '>', 1, "the setting was switched $switched times");
ok(fs_finish($_), 'no client met an error') foreach @load;

is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.running_jobs}), '0', 'no lease stays behind');
fs_check_ok($node, 'counters equal the rows');
my $ended = $node->safe_psql('postgres', 'SELECT count(*) FROM ended');
cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM ended WHERE how = '$_'"), '>', 200, "many jobs were $_")
  foreach qw(completed cancelled);
my $rest = $node->safe_psql('postgres', 'SELECT count(*) FROM fairsched.jobs');
is($ended + $rest, $jobs, 'none ended twice, none is lost');
# a row that was locked when a claim came by is looked at again a moment later
my $left = $rest;
foreach (1 .. 300)
{
  $left -= fs_drain_all($node);
  last if $left <= 0;
  $node->safe_psql('postgres', 'SELECT pg_sleep(0.1)');
}
is($left, 0, 'what is left can be claimed');
is($node->safe_psql('postgres', 'SELECT count(*) - count(DISTINCT job_id) FROM ended'), '0', 'each ended once');

$node->stop;
done_testing();
