# A job whose lease ran out and is taken again by a heartbeat goes through the gates that hold for a
# running job, and no others; and the jitter of the rate limit.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('retake');

# Two jobs: the lease of the first runs out, the second takes what it had. Then what $room does is room again.
sub refused
{
  my ($ws, $put, $setup, $room, $held) = @_;

  $node->safe_psql('postgres', "SELECT fairsched_create_workspace('$ws', max_running => 100); $setup");
  $node->safe_psql('postgres', "SELECT fairsched_enqueue('$ws', lane => '$ws', $put) FROM generate_series(1, 2)");
  my ($job, $token) = @{ (fs_rows($node, "SELECT job_id, token FROM fairsched_claim('slow', 1, lease => '300 ms', lanes => '{$ws}')"))[0] };
  my ($other, $others) = fs_claim_until($node, "'next', 1, lease => '1 h', lanes => '{$ws}'");
  isnt($other, $job, "$ws: what it held goes to the next job");
  my $before = $node->safe_psql('postgres', $held);

  is($node->safe_psql('postgres', "SELECT directive FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token])"), 'lost', "$ws: heartbeat says lost");
  is($node->safe_psql('postgres', qq{SELECT fairsched_checkpoint($job, $token, '{"step": 3}')}), 'lost', "$ws: so does checkpoint");
  is($node->safe_psql('postgres', "SELECT state, checkpoint FROM fairsched.jobs WHERE job_id = $job"), 'available|{"step": 3}',
    "$ws: but what it says is saved");
  is($node->safe_psql('postgres', $held), $before, "$ws: nothing is held twice");
  is($node->safe_psql('postgres', "SELECT count(*) FROM fairsched.running_jobs WHERE workspace = '$ws'"), '1', "$ws: one runs");
  (my $sql = $room) =~ s/OTHER/$other, $others/;
  $node->safe_psql('postgres', $sql);
  $node->safe_psql('postgres', "BEGIN; SELECT fairsched_heartbeat(ARRAY[$job], ARRAY[$token]); ROLLBACK");
  is($node->safe_psql('postgres', "SELECT directive FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token], '1 h')"), 'continue', "$ws: room again: it goes on");
  is($node->safe_psql('postgres', "SELECT fairsched_complete($job, $token)"), 't', "$ws: and is done");
  $node->safe_psql('postgres', "SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs WHERE workspace = '$ws'");
  return;
}

sub used
{
  my ($ws, $resource) = @_;

  return "SELECT used FROM fairsched.workspace_usage_current WHERE workspace = '$ws' AND resource = '$resource'";
}

refused('cpu', q{resources => '{"cpu": 1.5}'}, q{SELECT fairsched_set_quota('cpu', 'cpu', 2)}, 'SELECT fairsched_complete(OTHER)', used('cpu', 'cpu'));
refused('runs', q{resources => '{}'}, q{SELECT fairsched_set_quota('runs', 'concurrent_runs', 1)}, q{SELECT fairsched_set_quota('runs', 'concurrent_runs', 2)},
  used('runs', 'concurrent_runs'));
refused('tokens', q{resources => '{"tokens": 60}'}, q{SELECT fairsched_set_quota('tokens', 'tokens', 100), fairsched_set_throttle('tokens', false)},
  'SELECT fairsched_complete(OTHER)', used('tokens', 'tokens'));
refused('budget', q{resources => '{"cost": 6}', budgets => '{b}'}, q{SELECT fairsched_set_budget('b', 10, pause_at => 1)}, q{SELECT fairsched_set_budget('b', 20, pause_at => 1)},
  q{SELECT reserved FROM fairsched.budget_status WHERE budget = 'b'});
refused('fleet', q{resources => '{"gpu": 3}'}, q{SELECT fairsched_set_capacity('gpu', 5)}, q{SELECT fairsched_set_capacity('gpu', 6)},
  q{SELECT sum((resources->>'gpu')::int) FROM fairsched.jobs WHERE state = 'running' AND workspace = 'fleet'});
$node->safe_psql('postgres', q{SELECT fairsched_set_capacity('gpu', NULL)});

# The rate was counted when it was claimed, and a throttle is for new jobs.
$node->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('rate', 1, '1 hour'), fairsched_set_quota('rate', 'tokens', 10),
  fairsched_enqueue('rate', lane => 'rate') FROM generate_series(1, 2)});
my ($job, $token) = @{ (fs_rows($node, q{SELECT job_id, token FROM fairsched_claim('slow', 1, lease => '300 ms', lanes => '{rate}')}))[0] };
ok($node->poll_query_until('postgres', "SELECT state = 'available' FROM fairsched.jobs WHERE job_id = $job"), 'rate: the lease runs out');
$node->safe_psql('postgres', q{SELECT fairsched_record_usage('rate', 'tokens', 9.5)});
is($node->safe_psql('postgres', qq{SELECT string_agg(gate, ',') FROM fairsched_explain($job) WHERE verdict = 'refuse'}), 'rate,throttle',
  'rate: no new claim is possible');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('next', 1, lanes => '{rate}')}), '0', 'rate: none is');
is($node->safe_psql('postgres', "SELECT directive FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token], '1 h')"), 'continue', 'rate: its own worker goes on');
is($node->safe_psql('postgres', qq{SELECT value FROM fairsched_explain((SELECT max(job_id) FROM fairsched.jobs WHERE workspace = 'rate')) WHERE gate = 'rate'}), '1',
  'rate: it counts once');
is($node->safe_psql('postgres', "SELECT fairsched_complete($job, $token)"), 't', 'rate: done');

# Nor is a job taken again while the database is drained.
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('still', lane => 'still')});
($job, $token) = @{ (fs_rows($node, q{SELECT job_id, token FROM fairsched_claim('slow', 1, lease => '300 ms', lanes => '{still}')}))[0] };
ok($node->poll_query_until('postgres', "SELECT state = 'available' FROM fairsched.jobs WHERE job_id = $job"), 'drained: the lease runs out');
$node->safe_psql('postgres', q{CALL fairsched_drain('0')});
is($node->safe_psql('postgres', "SELECT directive FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token], '1 h')"), 'lost', 'drained: heartbeat says lost');
$node->safe_psql('postgres', 'SELECT fairsched_undrain()');
is($node->safe_psql('postgres', "SELECT directive FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token], '1 h')"), 'continue', 'undrained: it goes on');
is($node->safe_psql('postgres', "SELECT fairsched_complete($job, $token)"), 't', 'undrained: done');

# Jitter: workspaces that are refused at one moment do not return at one moment.
$node->safe_psql('postgres', q{
  SELECT fairsched_set_rate_limit(kind || n, 1, '2 s', CASE kind WHEN 'even' THEN '0' ELSE '1 hour' END::interval)
    FROM unnest('{even,spread}'::text[]) kind, generate_series(1, 20) n;
  SELECT fairsched_enqueue(kind || n, lane => kind) FROM unnest('{even,spread}'::text[]) kind, generate_series(1, 20) n, generate_series(1, 2)});
# parked until, and the earliest that could be: the end of the window, a slice of 31250 us later at most; looked at before that
$node->safe_psql('postgres', q{CREATE TABLE jitter AS SELECT workspace, lane, lease_expires_at - interval '1 h' AS at
    FROM fairsched_claim('w', 100, lease => '1 h', lanes => '{even,spread}');
  CREATE TABLE returns AS SELECT lane, parked_until - at AS after
  FROM jitter JOIN fairsched.workspace_status USING (workspace) WHERE parked_reason = 'rate_limited' AND lane = 'spread'});
is($node->safe_psql('postgres', q{SELECT lane, count(*) FROM jitter GROUP BY 1 ORDER BY 1}), "even|20\nspread|20", 'jitter: one job of each');
is($node->safe_psql('postgres', q{SELECT count(*), min(after) >= '2 s', max(after) <= '1 hour 2.04 s' FROM returns}), '20|t|t',
  'jitter: a workspace returns at the end of its window at the earliest, and so much later at most');
is($node->safe_psql('postgres', q{SELECT max(after) - min(after) > interval '10 min' AND count(DISTINCT after) > 15 FROM returns}), 't', 'jitter: at moments of their own');
ok($node->poll_query_until('postgres', q{SELECT clock_timestamp() > max(at) + interval '2.1 s' FROM jitter}), 'jitter: the windows are over');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 100, lease => '1 h', lanes => '{even}')}), '20', 'jitter: without it all return at once');
my $soon = $node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 100, lease => '1 h', lanes => '{spread}')});
cmp_ok($soon, '<', 10, 'jitter: with it most wait still');
is($node->safe_psql('postgres', q{SELECT bool_and(e.verdict = 'refuse' AND e.retry_at = s.parked_until)
    FROM fairsched.workspace_status s, LATERAL (SELECT min(job_id) AS job FROM fairsched.jobs j WHERE j.workspace = s.workspace AND state = 'available') j,
      fairsched_explain(j.job) e WHERE s.workspace LIKE 'spread%' AND s.parked_reason = 'rate_limited' AND e.gate = 'rate'}), 't', 'jitter: explain says until when');
# of a moment: it comes by itself
$node->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('brief', 1, '200 ms', '300 ms'), count(fairsched_enqueue('brief', lane => 'brief')) FROM generate_series(1, 3)});
is(scalar(map { fs_claim_until($node, q{'w', 1, lease => '1 h', lanes => '{brief}', max_wait => '1 s'}) ? 1 : () } 1 .. 3), 3, 'jitter: and then they go on');

# A limit that is changed while it refuses: until when is decided by the new one.
$node->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('shorter', 1, '1 day'), count(fairsched_enqueue('shorter', lane => 'shorter')) FROM generate_series(1, 3)});
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 3, lease => '1 h', lanes => '{shorter}')}), '1', 'shorter: one a day');
is($node->safe_psql('postgres', q{SELECT parked_until > now() + interval '1 h' FROM fairsched.workspace_status WHERE workspace = 'shorter'}), 't', 'shorter: the next one tomorrow');
$node->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('shorter', 1, '1 s')});
ok(fs_claim_until($node, q{'w', 1, lease => '1 h', lanes => '{shorter}'}), 'shorter: with a shorter period the next one in a moment');
fs_check_ok($node, 'fairsched_check finds nothing');

$node->stop;
done_testing();
