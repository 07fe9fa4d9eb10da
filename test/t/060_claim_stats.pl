# fairsched.claim_stats under load: what it says equals what sessions wrote down, in the transactions
# that did it (tables) or whatever became of them (sequences).
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => { max_connections => 60, 'fairsched.max_wait' => "'1h'" });
my @lanes = qw(a b);
my $wait_events = $node->safe_psql('postgres', 'SHOW server_version_num') >= 170000;

# ---------- long polls: waits, wakes, the wait event ----------

my @waiters = map { fs_session($node) } 1 .. 3;

$node->safe_psql('postgres', q{SELECT fairsched_enqueue('w', lane => 'poll');
  SELECT fairsched_complete(job_id, token) FROM fairsched_claim('first', 1, lanes => '{poll}');
  SELECT fairsched_reset_stats()});
foreach my $i (0 .. 2)
{
  $waiters[$i]->start("SELECT job_id > 0 FROM fairsched_claim('w$i', 1, lanes => '{poll}', max_wait => '1000 s')");
}
ok($node->poll_query_until('postgres',
    q{SELECT waits = 3 AND wakes = 0 AND claims = 0 FROM fairsched.claim_stats WHERE lane = 'poll'}), 'three claims wait');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 3 FROM pg_stat_activity WHERE wait_event = '
      . ($wait_events ? q{'FairschedLongPoll'} : q{'Extension'}) . ' AND pid IN ('
      . join(', ', map { $_->pid } @waiters) . ')'), 'and pg_stat_activity says for what');
my $waiting = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
$node->poll_query_until('postgres', qq{SELECT clock_timestamp() > timestamptz '$waiting' + interval '3 s'});
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('w', lane => 'poll')});
ok($node->poll_query_until('postgres',
    q{SELECT wakes = 1 AND jobs = 1 AND claims = 1 AND empties = 0 FROM fairsched.claim_stats WHERE lane = 'poll'}),
  'one job wakes one of them');
$node->safe_psql('postgres', q{SELECT fairsched_enqueue_many('w', '{"{}","{}"}'::jsonb[], lane => 'poll')});
is($_->finish, 't', 'each gets a job') foreach @waiters;
is($node->safe_psql('postgres', q{SELECT waits, wakes, claims, jobs, empties FROM fairsched.claim_stats WHERE lane = 'poll'}),
  '3|3|3|3|0', 'two jobs wake the others');
is($node->safe_psql('postgres', q{SELECT latency_sum < 3 * 3 FROM fairsched.claim_stats WHERE lane = 'poll'}), 't',
  'waiting is no latency: three claims took less than they waited');
$_->quit foreach @waiters;

# ---------- load ----------

$node->safe_psql('postgres', q{
  SELECT fairsched_unregister_worker('w' || i) FROM generate_series(0, 2) i;
  SELECT fairsched_cancel(job_id) FROM fairsched.jobs;
  CREATE TABLE done (lane text, what text, n bigint);
  CREATE FUNCTION noted(lane text, what text, n bigint) RETURNS bigint LANGUAGE sql AS
    'INSERT INTO done SELECT lane, what, n WHERE n > 0; SELECT n';
  -- rolled back or not
  CREATE FUNCTION seen(lane text, what text, n bigint) RETURNS void LANGUAGE sql AS
    'SELECT nextval(what || ''_'' || lane) FROM generate_series(1, n)';
  SELECT fairsched_create_workspace('full', max_running => 2);
} . join('', map { my $l = $_; map { "CREATE SEQUENCE ${_}_$l MINVALUE 0 START 0; SELECT nextval('${_}_$l');\n" }
    qw(calls empties got stale) } @lanes));
# every lane is known, and nothing has happened
$node->safe_psql('postgres', qq{SELECT fairsched_enqueue('w1', lane => '$_'); SELECT noted('$_', 'arrivals', 1)}) foreach @lanes;
$node->safe_psql('postgres', 'SELECT fairsched_reset_stats(); DELETE FROM done');

my $some = "\\set n random(1, 6)\n\\set w random(1, 4)\n\\set l random(0, 1)\n";
my $lane = q{(ARRAY['a','b'])[1 + :l]};
my $enqueue = qq{SELECT noted($lane, 'arrivals', (SELECT count(fairsched_enqueue(
  CASE :w WHEN 1 THEN 'full' ELSE 'w' || :w END, lane => $lane)) FROM generate_series(1, :n)));\n};
my $asked = qq{SELECT seen($lane, 'calls', 1), seen($lane, 'empties', (SELECT count(*) FROM (SELECT WHERE NOT EXISTS (SELECT FROM got)) x)),
  seen($lane, 'got', (SELECT count(*) FROM got));\n};
my $claim = qq{CREATE TEMP TABLE got ON COMMIT DROP AS SELECT job_id, token, lane
  FROM fairsched_claim('c' || :client_id, :n, '1 hour', ARRAY[$lane]);
$asked SELECT noted($lane, 'jobs', (SELECT count(*) FROM got));\n};
my $both = qq{CREATE TEMP TABLE got ON COMMIT DROP AS SELECT job_id, token, lane
  FROM fairsched_claim('c' || :client_id, :n, '1 hour', '{a,b}');
SELECT seen(l, 'calls', 1), seen(l, 'empties', (SELECT count(*) FROM (SELECT WHERE NOT EXISTS (SELECT FROM got)) x)),
  seen(l, 'got', (SELECT count(*) FROM got WHERE lane = l)), noted(l, 'jobs', (SELECT count(*) FROM got WHERE lane = l))
  FROM unnest('{a,b}'::text[]) l;\n};
my $end = sub { my ($what, $call) = @_;
  return "SELECT noted(lane, '$what', count(*)) FROM got WHERE $call GROUP BY lane;\n" };
my $complete = $end->('completed', 'fairsched_complete(job_id, token)');
my $fail = $end->('failed', q{fairsched_fail(job_id, token, 'x', retry_in => '1 hour') = 'retryable'});
my $discard = q{CREATE TEMP TABLE bad ON COMMIT DROP AS SELECT lane, fairsched_fail(job_id, token, 'x', discard => true) AS s FROM got;
  SELECT noted(lane, 'failed', count(*)), noted(lane, 'discarded', count(*)) FROM bad WHERE s = 'discarded' GROUP BY lane;} . "\n";
my $release = $end->('released', q{fairsched_release(job_id, token, now() + interval '1 hour')});
my $cancel = $end->('cancelled', 'fairsched_cancel(job_id)');
my $stale = q{SELECT seen(lane, 'stale', count(*)) FROM got WHERE NOT fairsched_complete(job_id, token + 1000000) GROUP BY lane;} . "\n";

my %load = (
  "$some$enqueue" => 5,
  "${some}BEGIN;\n$enqueue\nROLLBACK;\n" => 1,
  "${some}BEGIN;\n$claim$complete" . "COMMIT;\n" => 4,
  "${some}BEGIN;\n$both$complete" . "COMMIT;\n" => 2,
  "${some}BEGIN;\n$claim$complete" . "ROLLBACK;\n" => 1,
  "${some}BEGIN;\n$claim" . "SAVEPOINT s;\n$complete" . "ROLLBACK TO s;\n$fail" . "COMMIT;\n" => 1,
  "${some}BEGIN;\nSAVEPOINT s;\n$both" . "ROLLBACK TO s;\n$claim$stale$release" . "COMMIT;\n" => 1,
  "${some}BEGIN;\n$claim$discard" . "COMMIT;\n" => 1,
  "${some}BEGIN;\n$claim$cancel" . "COMMIT;\n" => 1,
  # the lease of these runs out, and nobody asks for them again
  "${some}BEGIN;\n" . $claim =~ s/'1 hour'/'10 ms'/r . "COMMIT;\n" => 1);

my $run = fs_pgbench($node, \%load, clients => 8, transactions => 150);

ok(fs_finish($run), 'eight sessions claim, complete, fail, release, cancel, roll back');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM fairsched.running_jobs}), 'leases have run out');

foreach my $l (@lanes)
{
  my ($stats) = $node->safe_psql('postgres', qq{SELECT claims, empties, jobs, undone, completed, failed, discarded, released,
    cancelled, retaken, preempted, stale_tokens FROM fairsched.claim_stats WHERE lane = '$l'});
  my ($noted) = $node->safe_psql('postgres', qq{
    WITH d AS (SELECT what, sum(n) AS n FROM done WHERE lane = '$l' GROUP BY 1),
      s AS (SELECT (SELECT last_value FROM calls_$l) AS calls, (SELECT last_value FROM empties_$l) AS empties,
        (SELECT last_value FROM got_$l) AS got, (SELECT last_value FROM stale_$l) AS stale)
    SELECT calls, empties, (SELECT n FROM d WHERE what = 'jobs'), got - (SELECT n FROM d WHERE what = 'jobs'),
      (SELECT n FROM d WHERE what = 'completed'), (SELECT n FROM d WHERE what = 'failed'),
      (SELECT n FROM d WHERE what = 'discarded'), (SELECT n FROM d WHERE what = 'released'),
      (SELECT n FROM d WHERE what = 'cancelled'), 0, 0, stale FROM s});

  is($stats, $noted, "lane $l: every counter is what sessions wrote down");
  is($node->safe_psql('postgres', qq{SELECT arrivals - expired - (SELECT sum(n) FROM done WHERE lane = '$l' AND what = 'arrivals')
    FROM fairsched.claim_stats WHERE lane = '$l'}), '0', "lane $l: arrivals are new jobs, and those whose lease ran out");
  is($node->safe_psql('postgres', qq{SELECT jobs - completed - failed - released - cancelled - expired FROM fairsched.claim_stats
    WHERE lane = '$l'}), '0', "lane $l: every job handed out ended in one way");
  is($node->safe_psql('postgres', qq{SELECT claims - (SELECT sum(n) FROM unnest(latency_counts) n), latency_p50 <= latency_p99,
    latency_sum > 0, busy_seconds > 0 FROM fairsched.claim_stats WHERE lane = '$l'}), '0|t|t|t', "lane $l: all are in the histogram");
}
cmp_ok($node->safe_psql('postgres', q{SELECT min(jobs) FROM fairsched.claim_stats WHERE lane IN ('a', 'b')}), '>', 100, 'there was something to count');
cmp_ok($node->safe_psql('postgres', q{SELECT min(expired) FROM fairsched.claim_stats WHERE lane IN ('a', 'b')}), '>', 0, 'and leases ran out');
is($node->safe_psql('postgres', q{SELECT sum(r.refusals) = sum(DISTINCT s.refusals) FROM fairsched.claim_refusals r
  JOIN (SELECT sum(refusals) AS refusals FROM fairsched.claim_stats) s ON true}), 't', 'refusals by gate add up');

# ---------- gates that the load did not meet ----------

# Nobody gets more than 0.8 of the declared slots while others want some.
$node->safe_psql('postgres', q{
  SELECT fairsched_register_worker('slots', slots => 10);
  SELECT fairsched_enqueue_many(w, array_fill('{}'::jsonb, ARRAY[20]), lane => 'share') FROM unnest('{s1,s2}'::text[]) w;
  SELECT count(*) FROM fairsched_claim('slots', 30, lanes => '{share}');
  SELECT fairsched_set_capacity('gpu', 1);
  SELECT fairsched_enqueue_many('g', array_fill('{}'::jsonb, ARRAY[2]), lane => 'fleet', resources => '{"gpu": 1}');
  SELECT count(*) FROM fairsched_claim('slots', 2, lanes => '{fleet}');
  SELECT fairsched_set_quota('t', 'tokens', 100);
  SELECT fairsched_enqueue('t', lane => 'throttle');
  SELECT fairsched_record_usage('t', 'tokens', 95);
  SELECT count(*) FROM fairsched_claim('slots', 1, lanes => '{throttle}')});
is($node->safe_psql('postgres', q{SELECT lane, gate, reason, resource, refusals > 0 FROM fairsched.claim_refusals
  WHERE lane IN ('share', 'fleet', 'throttle') AND gate <> 'ceiling' ORDER BY 1}),
  "fleet|capacity_gpu|waiting_for_capacity|gpu|t\nshare|workspace_share|workspace_share||t\nthrottle|throttle|throttled||t",
  'share of the slots, capacity of the fleet, throttle');

# ---------- the lock ----------

my $tries = 0;
while ($tries++ < 100 && $node->safe_psql('postgres', 'SELECT lock_waits = 0 OR lock_wait_seconds = 0 FROM fairsched.scheduler_stats') eq 't')
{
  fs_finish(fs_pgbench($node, { "SELECT count(*) FROM fairsched_claim('x', lanes => '{a}');\n" => 1 }, clients => 8, transactions => 200));
}
is($node->safe_psql('postgres', 'SELECT lock_waits > 0, lock_wait_seconds > 0 FROM fairsched.scheduler_stats'), 't|t',
  'who does not get the scheduler\'s lock at once is counted');

is($node->safe_psql('postgres', q{CREATE TEMP TABLE was AS SELECT lock_waits, fairsched_reset_stats() AS at FROM fairsched.scheduler_stats;
  SELECT s.stats_since = w.at, s.lock_waits < w.lock_waits OR w.lock_waits < 3 FROM fairsched.scheduler_stats s, was w}), 't|t', 'and a reset begins anew');

# ---------- a restart starts from zero ----------

my $since = $node->safe_psql('postgres', q{SELECT max(stats_since) FROM fairsched.claim_stats});
$node->restart;
is($node->safe_psql('postgres', qq{SELECT count(*) FILTER (WHERE claims + jobs + completed + refusals > 0),
  bool_and(stats_since > '$since') FROM fairsched.claim_stats}), '0|t', 'counters are zero after a restart');
fs_check_ok($node, 'memory equals the rows');
$node->stop;
done_testing();
