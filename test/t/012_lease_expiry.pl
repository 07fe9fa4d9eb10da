# Leases that run out: the job goes to somebody else, and the one who was late cannot harm.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main');

$node->safe_psql('postgres', q{SELECT fairsched_create_workspace('acme', max_running => 1);
  SELECT fairsched_enqueue('acme')});

# While it lasts nobody else gets the job. One that lasts: others are over before a slow machine has looked.
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('held', lane => 'held')});
my ($held, $its) = @{ (fs_rows($node, q{SELECT job_id, token FROM fairsched_claim('slow', 1, lease => '10 min', lanes => '{held}')}))[0] };
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('next', 1, lanes => '{held}')}), '0', 'the lease holds');
is($node->safe_psql('postgres', "SELECT fairsched_complete($held, $its)"), 't', 'until its job is completed');

# Taken over by another worker: the ceiling of one proves that the slot was given back.
my ($job, $token) = @{ (fs_rows($node, q{SELECT job_id, token
  FROM fairsched_claim('slow', 1, lease => '500 ms')}))[0] };
my ($again, $new, $attempt) = fs_claim_until($node, q{'next', 1, lease => '10 min'});
is($again, $job, 'when it has run out, another worker gets the job');
cmp_ok($new, '>', $token, 'with a greater token');
is($attempt, '2', 'on its second attempt');

is($node->safe_psql('postgres', "SELECT fairsched_complete($job, $token)"), 'f',
  'late: complete says no');
is($node->safe_psql('postgres', "SELECT directive FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token])"),
  'lost', 'late: heartbeat says lost');
is($node->safe_psql('postgres', q{SELECT string_agg(directive, ',') FROM fairsched_heartbeat('slow')}),
  'lost', 'late: the heartbeat of the worker says lost');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_heartbeat('slow')}), '0',
  'late: once');
unlike($node->safe_psql('postgres', "SELECT fairsched_fail($job, $token, 'late')"), qr/retry|discard/,
  'late: fail does nothing');
$node->safe_psql('postgres', "SELECT fairsched_release($job, $token)");
$node->safe_psql('postgres', qq{SELECT fairsched_checkpoint($job, $token, '{"late": true}')});
is($node->safe_psql('postgres', "SELECT worker, token FROM fairsched.running_jobs"), "next|$new",
  'late: and nothing changed for the one who has it');
is($node->safe_psql('postgres', "SELECT fairsched_complete($job, $new)"), 't',
  'the new holder completes it');

# Expired, but nobody took it: finishing it is still right.
$node->safe_psql('postgres', q{SELECT fairsched_create_workspace('calm', max_running => 1);
  SELECT fairsched_enqueue('calm', lane => 'calm')});
($job, $token) = @{ (fs_rows($node, q{SELECT job_id, token
  FROM fairsched_claim('slow', 1, lease => '300 ms', lanes => '{calm}')}))[0] };
$node->safe_psql('postgres', q{SELECT fairsched_pause_workspace('calm')});
ok($node->poll_query_until('postgres', "SELECT state <> 'running' FROM fairsched.jobs
  WHERE job_id = $job"), 'another lease runs out');
ok($node->poll_query_until('postgres', q{SELECT running FROM fairsched.workspace_status
  WHERE workspace = 'calm'}, '0'), 'its slot is free');
is($node->safe_psql('postgres', "SELECT fairsched_complete($job, $token)"), 't',
  'not claimed anew: late completion succeeds');
is($node->safe_psql('postgres', "SELECT fairsched_complete($job, $token)"), 'f', 'once');
is($node->safe_psql('postgres', q{SELECT fairsched_resume_workspace('calm');
  SELECT count(*) FROM fairsched_claim('next', 1, lanes => '{calm}')}) =~ /0$/, 1,
  'and the job does not come again');

# Expired, and no room any more: a heartbeat or checkpoint does not take it above the ceiling.
$node->safe_psql('postgres', q{SELECT fairsched_create_workspace('full', max_running => 1);
  SELECT fairsched_enqueue('full', lane => 'full') FROM generate_series(1, 2)});
($job, $token) = @{ (fs_rows($node, q{SELECT job_id, token
  FROM fairsched_claim('slow', 1, lease => '300 ms', lanes => '{full}')}))[0] };
my ($other, $others) = fs_claim_until($node, q{'next', 1, lease => '10 min', lanes => '{full}'});
cmp_ok($other, '!=', $job, 'its slot goes to the next job');
is($node->safe_psql('postgres', "SELECT directive FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token])"),
  'lost', 'no room: heartbeat says lost');
is($node->safe_psql('postgres', qq{SELECT fairsched_checkpoint($job, $token, '{"at": 1}')}), 'lost',
  'no room: so does checkpoint');
is($node->safe_psql('postgres', "SELECT checkpoint FROM fairsched.jobs WHERE job_id = $job"), '{"at": 1}',
  'no room: but what it says is saved');
is($node->safe_psql('postgres', q{SELECT running FROM fairsched.workspace_status WHERE workspace = 'full'}),
  '1', 'no room: nothing changed');
is($node->safe_psql('postgres', "SELECT fairsched_pause_workspace('full')::text || fairsched_complete($other, $others)"),
  'true', 'the other one ends');
is($node->safe_psql('postgres', "SELECT directive FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token])"),
  'lost', 'paused: heartbeat says lost');
$node->safe_psql('postgres', q{SELECT fairsched_resume_workspace('full')});
is($node->safe_psql('postgres', "SELECT directive FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token])"),
  'continue', 'room again: it goes on');
is($node->safe_psql('postgres', "SELECT fairsched_complete($job, $token)"), 't', 'and is done');

# Heartbeats keep a lease.
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('kept', lane => 'kept')
  FROM generate_series(1, 2)});
my @kept = fs_rows($node, q{SELECT job_id, token
  FROM fairsched_claim('beats', 2, lease => '10 min', lanes => '{kept}')});
is($node->safe_psql('postgres', "SELECT directive
  FROM fairsched_heartbeat(ARRAY[$kept[0][0]], ARRAY[$kept[0][1]], '1 hour')"), 'continue', 'heartbeat');
is($node->safe_psql('postgres', "SELECT job_id, lease_expires_at > now() + interval '59 min'
  FROM fairsched.running_jobs ORDER BY job_id"), "$kept[0][0]|t\n$kept[1][0]|f",
  'extends the lease of the job it names');
is($node->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE directive = 'continue')
  FROM fairsched_heartbeat(worker => 'beats', extend => '2 hours')}), '2', 'heartbeat by worker');
is($node->safe_psql('postgres', q{SELECT bool_and(lease_expires_at > now() + interval '119 min')
  FROM fairsched.running_jobs}), 't', 'extends all of its leases');
$node->safe_psql('postgres', "SELECT fairsched_complete($_->[0], $_->[1])") foreach @kept;

# Expiry uses up attempts, and the last one discards.
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('last', '{"n": 1}', lane => 'last',
  max_attempts => 1)});
($job, $token) = @{ (fs_rows($node, q{SELECT job_id, token
  FROM fairsched_claim('slow', 1, lease => '300 ms', lanes => '{last}')}))[0] };
ok($node->poll_query_until('postgres', "SELECT state = 'discarded' FROM fairsched_job_status($job)"),
  'the last attempt ran out: discarded');
is($node->safe_psql('postgres', "SELECT workspace, payload->>'n', attempt
  FROM fairsched.dead_letters WHERE job_id = $job"), 'last|1|1', 'it is a dead letter');
is($node->safe_psql('postgres', "SELECT fairsched_complete($job, $token)"), 'f',
  'discarded: late completion is refused');

# max_runtime ends a lease that heartbeats would keep for ever.
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('long', lane => 'long',
  max_attempts => 1, max_runtime => '700 ms')});
($job, $token) = @{ (fs_rows($node, q{SELECT job_id, token
  FROM fairsched_claim('slow', 1, lease => '1 hour', lanes => '{long}')}))[0] };
ok($node->poll_query_until('postgres', "SELECT bool_and(directive <> 'continue')
  FROM fairsched_heartbeat(ARRAY[$job], ARRAY[$token], '1 hour')"),
  'max_runtime: the heartbeat stops saying continue');
ok($node->poll_query_until('postgres', "SELECT state = 'discarded' FROM fairsched_job_status($job)"),
  'max_runtime: and the job is taken away');
ok($node->poll_query_until('postgres', q{SELECT sum(running) FROM fairsched.workspace_status}, '0'),
  'no slot is held any more');
fs_check_ok($node, 'fairsched_check finds nothing');

# Two leases that ran out together: while the scheduler is busy with one, the other is extended, and stays.
$node->safe_psql('postgres', q{SELECT fairsched_enqueue_many('two', '{"{}","{}"}', lane => 'two', max_attempts => 1)});
my $locker = fs_session($node);
$locker->ask('BEGIN; LOCK TABLE fairsched.job_history IN ACCESS EXCLUSIVE MODE');
my @two = fs_rows($node, q{SELECT job_id, token FROM fairsched_claim('slow', 2, lease => '1 ms', lanes => '{two}')});
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity a, fairsched.database_status d
  WHERE a.pid = d.scheduler_pid AND a.wait_event_type = 'Lock'}), 'the scheduler waits to discard the first');
$node->safe_psql('postgres', "SELECT directive FROM fairsched_heartbeat(ARRAY[$two[0][0], $two[1][0]], ARRAY[$two[0][1], $two[1][1]], '1 hour')");
$locker->ask('COMMIT');
$locker->quit;
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM fairsched.job_history WHERE job_id IN ($two[0][0], $two[1][0])"),
  'one of the two is discarded');
# the next round of the scheduler is over when this one is
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('two', lane => 'three', max_attempts => 1)});
my $three = $node->safe_psql('postgres', q{SELECT job_id FROM fairsched_claim('slow', 1, lease => '1 ms', lanes => '{three}')});
ok($node->poll_query_until('postgres', "SELECT state = 'discarded' FROM fairsched_job_status($three)"), 'a later one is discarded');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.running_jobs WHERE lane = 'two'}), '1', 'the other was extended, and runs');
fs_check_ok($node, 'fairsched_check finds nothing');

$node->stop;

# Where no scheduler can start, for want of processes, the log says how many it takes, and claimers do due work.
my $alone = fs_node('alone', conf => { max_worker_processes => 2 });
$job = $alone->safe_psql('postgres', q{SELECT job_id FROM fairsched_enqueue('acme')});
$alone->safe_psql('postgres', q{SELECT fairsched_claim('slow', 1, lease => '1 ms')});
my ($late) = fs_claim_until($alone, q{'w', 1, lease => '1 h'});
is($late, $job, 'without a scheduler: a lease that ran out is found by a claim');
$alone->safe_psql('postgres', q{SELECT fairsched_fail(job_id, token, 'x', '50 ms') FROM fairsched.running_jobs});
($late) = fs_claim_until($alone, q{'w', 1, lease => '1 h'});
is($late, $job, 'and so is a job that waited for its retry');
$job = $alone->safe_psql('postgres', q{SELECT job_id FROM fairsched_enqueue('acme', run_at => now() + interval '50 ms')});
($late) = fs_claim_until($alone, q{'w', 1, lease => '1 h'});
is($late, $job, 'and one that waited for its time');
is($alone->safe_psql('postgres', 'SELECT scheduler_pid IS NULL FROM fairsched.database_status'), 't', 'there was no scheduler');
ok($alone->wait_for_log(qr/WARNING:.*HINT:  Set max_worker_processes to at least [0-9]+ /s), 'the log says what to raise');
fs_check_ok($alone, 'fairsched_check finds nothing');
$alone->stop;
done_testing();
