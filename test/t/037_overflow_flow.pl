# More kinds of jobs than fairsched.max_flows: they share a flow of their workspace and lane, and its
# head is admitted job by job. Never an error, never over a quota, and nobody waits for a job that is gone.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $seconds = 5;
my $node = fs_node('overflow', conf => { 'fairsched.max_flows' => 1, max_connections => 40 });

# One flow for itself, so that all others are beyond the limit.
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('first', lane => 'first', run_at => now() + interval '1 day');
  SELECT fairsched_enqueue('first', lane => 'first')});

sub put
{
  my ($ws, $resources, %more) = @_;
  my $args = join '', map { ", $_ => $more{$_}" } sort keys %more;

  return $node->safe_psql('postgres', "SELECT job_id FROM fairsched_enqueue('$ws', lane => '$ws', resources => '$resources'$args)");
}

sub claim
{
  my ($ws, $more) = @_;

  return $node->safe_psql('postgres', "SELECT string_agg(c.job_id::text, ',' ORDER BY c.ordinality) FROM fairsched_claim('w', 10, lease => '1 h', lanes => '{$ws}'" .
      ($more || '') . ') WITH ORDINALITY c');
}

sub done
{
  my ($ws) = @_;

  return $node->safe_psql('postgres', "SELECT count(fairsched_complete(job_id, token)) FROM fairsched.running_jobs WHERE workspace = '$ws'");
}

sub parked
{
  my ($ws) = @_;

  return $node->safe_psql('postgres', "SELECT flow < 0, parked_reason, parked_detail FROM fairsched.queue_status WHERE workspace = '$ws'");
}

# Each with what it needs, in their order.
$node->safe_psql('postgres', q{SELECT fairsched_set_quota('a', 'cpu', 4), fairsched_set_quota('a', 'gpu', 1)});
my @a = map { put('a', $_) } '{"cpu": 3}', '{"cpu": 2}', '{"cpu": 1}', '{"gpu": 1}', '{"cpu": 1, "gpu": 1}', '{}';
is($node->safe_psql('postgres', q{SELECT count(DISTINCT flow), bool_and(flow < 0) FROM fairsched.jobs WHERE workspace = 'a'}), '1|t',
  'jobs of all kinds share a flow');
is(claim('a'), $a[0], 'the first fits');
is(parked('a'), 't|waiting_for_resources|cpu 5 of 4', 'the second does not: the flow waits for it');
is($node->safe_psql('postgres', qq{SELECT string_agg(gate, ',') FROM fairsched_explain($a[1]) WHERE verdict = 'refuse'}), 'quota_cpu', 'explain says so');
is(done('a'), '1', 'it ends');
is(claim('a'), "$a[1],$a[2],$a[3]", 'and those that fit follow, one by one');
is(parked('a'), 't|waiting_for_resources|gpu 2 of 1', 'until one does not: for another reason');
is($node->safe_psql('postgres', q{SELECT string_agg(resource || ' ' || used, ', ' ORDER BY resource) FROM fairsched.workspace_usage_current WHERE workspace = 'a'}),
  'concurrent_runs 3, cpu 3, gpu 1', 'what is held is what each needs');
is(done('a'), '3', 'they end');
is(claim('a'), "$a[4],$a[5]", 'the rest');
is(done('a'), '2', 'done');

# The one that all wait for goes away; a more urgent one comes.
my $huge = put('a', '{"cpu": 100}');
my $small = put('a', '{"cpu": 1}');
is(claim('a'), '', 'a job that never fits holds the others up');
my $urgent = put('a', '{"gpu": 1}', priority => "'P0'");
is(claim('a'), $urgent, 'not one that is more urgent');
is(claim('a'), '', 'then it holds them up again');
is($node->safe_psql('postgres', "SELECT fairsched_cancel($huge)"), 't', 'it is cancelled');
is(claim('a'), $small, 'and the next one goes on');
$huge = put('a', '{"cpu": 100}');
$small = put('a', '{"cpu": 1}');
is(claim('a'), '', 'once more');
$node->safe_psql('postgres', "SELECT fairsched_assign_priority($small, 'P1')");
is(claim('a'), $small, 'one that is made more urgent goes on');
$small = put('a', '{"cpu": 2}');
$node->safe_psql('postgres', "BEGIN; SELECT fairsched_cancel($huge); ROLLBACK");
is(claim('a'), '', 'a cancellation that is rolled back changes nothing');
$node->safe_psql('postgres', "SELECT fairsched_reschedule($huge, now() + interval '1 day')");
is(claim('a'), $small, 'it is put off: the next one goes on');
done('a');

# Capabilities: the flow is served by who can do its head.
my @b = (put('b', '{}'), put('b', '{}', capabilities => "'{x}'"), put('b', '{"cpu": 1}'));
is(claim('b', ", capabilities => '{}'"), $b[0], 'capabilities: one that anybody can do');
is(claim('b', ", capabilities => '{}'"), '', 'capabilities: the next is not for this worker');
is(claim('b', ", capabilities => '{x}'"), "$b[1],$b[2]", 'capabilities: one that has them gets it');
done('b');

# Budgets: each job names another.
$node->safe_psql('postgres', q{SELECT fairsched_set_budget('b' || n, 10, pause_at => 1) FROM generate_series(1, 2) n});
my @c = (put('c', '{"cost": 4}', budgets => "'{b1}'"), put('c', '{"cost": 11}', budgets => "'{b2}'"), put('c', '{"cost": 4}', budgets => "'{b1}'"));
is(claim('c'), $c[0], 'budgets: one that admits');
is($node->safe_psql('postgres', q{SELECT parked_reason FROM fairsched.queue_status WHERE workspace = 'c'}), 'waiting_for_budget', 'budgets: one that does not');
is($node->safe_psql('postgres', q{SELECT string_agg(budget || ' ' || reserved, ', ' ORDER BY budget) FROM fairsched.budget_status}), 'b1 4, b2 0',
  'budgets: each job reserves from its own');
$node->safe_psql('postgres', q{SELECT fairsched_set_budget('b2', 20, pause_at => 1)});
is(claim('c'), "$c[1],$c[2]", 'budgets: raised');
done('c');

# A restart, and load: random needs, aborts, and a quota that is never passed.
$node->safe_psql('postgres', q{
  SELECT fairsched_create_workspace('load', max_running => 1000);
  SELECT fairsched_set_quota('load', 'cpu', 6), fairsched_set_quota('load', 'memory', 5);
  SELECT count(fairsched_enqueue('load', lane => 'load', resources => jsonb_build_object('cpu', 0.5 * (1 + n * 7 % 5), 'memory', n * 11 % 3)))
    FROM generate_series(1, 600) n;
  CREATE UNLOGGED TABLE violation (what text, n numeric)});
$node->restart;
my $take = "\\set n random(1, 4)\nSELECT count(*) FROM fairsched_claim('w' || :client_id, :n, lease => '1 h', lanes => '{load}');\n";
my $give = "\\set n random(1, 4)\nSELECT count(fairsched_complete(job_id, token)) FROM (SELECT job_id, token FROM fairsched.running_jobs WHERE worker = 'w' || :client_id LIMIT :n) r;\n";
my $back = "SELECT count(fairsched_release(job_id, token)) FROM (SELECT job_id, token FROM fairsched.running_jobs WHERE worker = 'w' || :client_id LIMIT 1) r;\n";
my $drop = "SELECT count(fairsched_cancel(job_id)) FROM (SELECT job_id FROM fairsched.jobs WHERE workspace = 'load' AND state = 'available' ORDER BY position LIMIT 1) j;\n";
my $put = "\\set n random(1, 9)\nSELECT fairsched_enqueue('load', lane => 'load', resources => jsonb_build_object('cpu', 0.5 * :n));\n";
my @load = (
  fs_pgbench($node, { $take => 4, $give => 5, $back => 1, $drop => 1, $put => 2, "BEGIN;\n${take}ROLLBACK;\n" => 1,
      "BEGIN;\n${take}SAVEPOINT a;\n${take}${give}ROLLBACK TO a;\n${take}COMMIT;\n" => 1 }, clients => 6, time => $seconds),
  fs_pgbench($node, { q{INSERT INTO violation SELECT resource, used FROM fairsched.workspace_usage_current
        WHERE workspace = 'load' AND (used > quota OR used < 0);} . "\n" => 1 }, time => $seconds));
ok(fs_finish($_), 'load: no client met an error') foreach @load;
is($node->safe_psql('postgres', 'SELECT what, max(n) FROM violation GROUP BY 1'), '', 'load: never over a quota');
is($node->safe_psql('postgres', q{
    WITH m AS (SELECT resource, used FROM fairsched.workspace_usage_current WHERE used <> 0 AND workspace = 'load'),
      h AS (SELECT r.key AS resource, sum(r.value::numeric) AS n FROM fairsched.jobs,
          jsonb_each_text(resources || '{"concurrent_runs": 1}') r WHERE state = 'running' AND workspace = 'load' GROUP BY 1)
    SELECT * FROM m FULL JOIN h USING (resource) WHERE used IS DISTINCT FROM n AND coalesce(n, 1) <> 0}), '',
  'load: held is what running rows declared');
fs_check_ok($node, 'load: fairsched_check finds nothing');
$node->safe_psql('postgres', q{DO $$
BEGIN
  FOR i IN 1..5000 LOOP
    PERFORM fairsched_complete(job_id, token) FROM fairsched.running_jobs WHERE workspace = 'load';
    COMMIT;
    PERFORM fairsched_claim('rest', 100, lease => '1 h', lanes => '{load}');
    COMMIT;
    EXIT WHEN NOT EXISTS (SELECT FROM fairsched.jobs WHERE workspace = 'load');
  END LOOP;
END
$$});
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.jobs WHERE workspace = 'load'}), '0', 'load: every job is done');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.workspace_usage_current WHERE used <> 0 AND workspace = 'load'}), '0', 'load: nothing is held');

$node->stop;
done_testing();
