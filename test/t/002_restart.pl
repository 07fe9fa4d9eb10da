# A restart and an immediate stop: running jobs keep token, worker and request id, ceilings stay
# exact, nothing is lost and nothing runs twice.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main');
my $running = q{SELECT job_id, workspace, lane, worker, token, attempt
  FROM fairsched.running_jobs ORDER BY job_id};
my $request = '11111111-2222-3333-4444-555555555555';
my $claim = qq{SELECT job_id, token, worker, attempt FROM fairsched_claim('w1', 4,
  lease => '10 min', lanes => '{default,side}', request_id => '$request')};

# acme has its own table, beta lives in the shared one, slow waits, side is another lane.
$node->safe_psql('postgres', q{
  SELECT fairsched_create_workspace('acme', max_running => 5, own_table => true);
  SELECT fairsched_create_workspace('beta', max_running => 3, own_table => false);
  SELECT fairsched_enqueue_many('acme', array_agg('{}'::jsonb)) FROM generate_series(1, 20);
  SELECT fairsched_enqueue_many('beta', array_agg('{}'::jsonb)) FROM generate_series(1, 20);
  SELECT fairsched_enqueue('gamma', lane => 'side', priority => 'P1');
  SELECT fairsched_enqueue('gamma', run_at => now() + interval '1 day', unique_key => 'later');
});
my $enqueued = 42;
my %done;

my $claimed = $node->safe_psql('postgres', $claim);
is(scalar(split /\n/, $claimed), 4, 'four jobs claimed');

# One is completed, one is being completed and one more being claimed at the time of the crash.
my ($first, $second) = map { [ split /\|/ ] } split /\n/, $claimed;
is($node->safe_psql('postgres', "SELECT fairsched_complete($first->[0], $first->[1])"), 't',
  'one completed');
$done{ $first->[0] }++;
$claimed =~ s/^.*\n//;
my $before = $node->safe_psql('postgres', $running);

foreach my $mode (qw(fast immediate))
{
  my $open = fs_session($node);

  $open->ask('BEGIN');
  $open->ask("SELECT fairsched_complete($second->[0], $second->[1])");
  is($open->ask(q{SELECT count(*) FROM fairsched_claim('dies', 2)}), '2', "$mode: an open claim");
  $node->stop($mode);
  $open->gone;
  $node->start;

  is($node->safe_psql('postgres', $running), $before,
    "$mode: job, token, worker and attempt are what they were");
  is($node->safe_psql('postgres', q{
      SELECT coalesce(string_agg(workspace || ' ' || w.running || '<>' || r.n, ','), 'equal')
      FROM fairsched.workspace_status w
      JOIN (SELECT workspace, count(*) AS n FROM fairsched.jobs WHERE state = 'running'
            GROUP BY workspace) r USING (workspace)
      WHERE w.running <> r.n}),
    'equal', "$mode: counters equal the rows");
  is($node->safe_psql('postgres', $claim), $claimed, "$mode: the request id gives the same jobs");
  is($node->safe_psql('postgres', q{SELECT string_agg(directive, ',')
    FROM fairsched_heartbeat(worker => 'w1', extend => '10 min')}), 'continue,continue,continue',
    "$mode: the worker goes on");
  fs_check_ok($node, "$mode: fairsched_check finds nothing");
}

# All that the ceilings allow, and not one more.
$node->safe_psql('postgres', q{CREATE TABLE rest AS
  SELECT * FROM fairsched_claim('w2', 100, lease => '10 min', lanes => '{default,side}')});
is($node->safe_psql('postgres', q{SELECT workspace, count(*) FROM fairsched.jobs
  WHERE state = 'running' GROUP BY workspace ORDER BY workspace}),
  "acme|5\nbeta|3\ngamma|1", 'each ceiling is reached exactly');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w3', 100)}), '0',
  'and nothing is handed out above it');

# The old tokens finish the old jobs.
foreach my $job (map { [ split /\|/ ] } split /\n/, $claimed)
{
  is($node->safe_psql('postgres', "SELECT fairsched_complete($job->[0], $job->[1])"), 't',
    "job $job->[0] is completed with the token of before");
  $done{ $job->[0] }++;
}
$done{$_}++ foreach split /\n/, $node->safe_psql('postgres',
  'SELECT job_id FROM rest WHERE fairsched_complete(job_id, token)');

ok($node->safe_psql('postgres', q{SELECT is_duplicate
  FROM fairsched_enqueue('gamma', unique_key => 'later')}) eq 't', 'the unique key still holds');
$node->safe_psql('postgres', q{SELECT fairsched_reschedule(job_id, now())
  FROM fairsched.jobs WHERE state = 'scheduled'});
$done{$_}++ foreach fs_drain_all($node);

is(scalar(keys %done), $enqueued, 'every job was done');
is((grep { $_ > 1 } values %done), 0, 'none twice');
is($node->safe_psql('postgres', 'SELECT count(*) FROM fairsched.jobs'), '0', 'none is left');

# Heartbeats write no rows, so each lease is given its own length anew, and fairsched.rebuild_grace at least.
$node->safe_psql('postgres', q{
  SELECT fairsched_enqueue(w, lane => w) FROM unnest('{brief,long}'::text[]) w;
  SELECT fairsched_claim('w', lease => '45 s', lanes => '{brief}');
  SELECT fairsched_claim('w', lease => '10 min', lanes => '{long}')});
$node->restart;
is($node->safe_psql('postgres', q{SELECT string_agg(lane, ',' ORDER BY lane)
  FROM fairsched.running_jobs r, fairsched.database_status d
  WHERE lease_expires_at > rebuilt_at + interval '50 s'
    AND (lane = 'long') = (lease_expires_at > rebuilt_at + interval '9 min')}), 'brief,long',
  'a short lease gets the grace, a long one its length');

# What workers declared, a longest running time, and a drain outlive a crash as well.
$node->safe_psql('postgres', q{SELECT fairsched_register_worker('declared', '{}', 7);
  SELECT fairsched_enqueue('limited', lane => 'limited', max_runtime => '20 min')});
my ($limited) = fs_rows($node, q{SELECT job_id, token FROM fairsched_claim('declared', 1, lease => '1 min', lanes => '{limited}')});
$node->safe_psql('postgres', q{CALL fairsched_drain('0')});
foreach my $mode ('fast', 'immediate')
{
  $node->stop($mode);
  $node->start;
  is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('declared', 100, lanes => '{default,side,limited}')}), '0',
    "$mode: drained: nothing is handed out");
  is($node->safe_psql('postgres', q{SELECT drained, live_slots >= 7 FROM fairsched.database_status}), 't|t',
    "$mode: nor are the slots forgotten");
  is($node->safe_psql('postgres', q{SELECT slots, node IS NULL FROM fairsched.worker_status WHERE worker = 'declared'}), '7|t',
    "$mode: which it declared");
  is($node->safe_psql('postgres', "SELECT directive FROM fairsched_heartbeat(ARRAY[$limited->[0]], ARRAY[$limited->[1]], '1 day')"),
    'continue', "$mode: a heartbeat extends the lease");
  is($node->safe_psql('postgres', "SELECT lease_expires_at BETWEEN now() + interval '5 min' AND claimed_at + interval '20 min' FROM fairsched.running_jobs
    WHERE job_id = $limited->[0]"), 't', "$mode: not beyond the longest running time");
}
$node->safe_psql('postgres', 'SELECT fairsched_undrain()');

$node->stop;
done_testing();
