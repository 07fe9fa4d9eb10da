# fairsched.durable_claims = off: a claim writes nothing. What that leaves true, and what a crash makes of it.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.durable_claims' => 'off', restart_after_crash => 'on' });
my $states = q{SELECT j.payload->>'n', j.state, j.attempt, s.state, s.attempt, s.worker
  FROM fairsched.jobs j, fairsched_job_status(j.job_id) s ORDER BY j.job_id};
my $running = q{SELECT j.payload->>'n', r.worker, r.attempt, r.durable FROM fairsched.running_jobs r
  JOIN fairsched.jobs j USING (job_id) ORDER BY 1};

sub put
{
  my ($n, $more) = @_;

  $node->safe_psql('postgres', "SELECT count(fairsched_enqueue('acme', jsonb_build_object('n', i)"
    . ($more || '') . ")) FROM generate_series(1, $n) i");
  return;
}

# claim: [ job_id, token ] of the jobs, in order.
sub claim
{
  my ($n, $args) = @_;

  return fs_rows($node, "SELECT job_id, token FROM fairsched_claim('w', $n, lease => '1 h'"
    . ($args || '') . ')');
}

sub set_durable
{
  my ($on) = @_;

  $node->adjust_conf('postgresql.conf', 'fairsched.durable_claims', $on);
  $node->reload;
  return $node->poll_query_until('postgres', "SELECT current_setting('fairsched.durable_claims') = '$on'");
}

is($node->safe_psql('postgres', q{SELECT context, boot_val FROM pg_settings
  WHERE name = 'fairsched.durable_claims'}), 'sighup|on', 'a setting for the operator, on by default');
ok(fs_wait_scheduler($node), 'there is a scheduler');

# Nothing is written, and the transaction has no id. The first claim draws a block of tokens.
put(8);
claim(1);
my $session = fs_session($node);
$session->ask('BEGIN');
$session->ask("SELECT count(*) FROM fairsched_claim('w', 3, lease => '1 h')");
is($session->ask('SELECT pg_current_xact_id_if_assigned() IS NULL'), 't', 'a claim gets no transaction id');
is($session->ask('SELECT count(*) FROM fairsched.claim_log_0'), '0', 'nor an entry in the claim log');
is($session->ask(q{SELECT count(*) FROM fairsched.jobs WHERE xmax <> 0 OR state <> 'available'}), '0',
  'nor a mark in a row');
is($session->ask(q{SELECT string_agg(s.state, ' ' ORDER BY j.job_id) FROM fairsched.jobs j,
  fairsched_job_status(j.job_id) s}), join(' ', ('running') x 4, ('available') x 4), 'its own jobs run, to itself');
is($node->safe_psql('postgres', q{SELECT string_agg(s.state, ' ' ORDER BY j.job_id) FROM fairsched.jobs j,
  fairsched_job_status(j.job_id) s}), join(' ', ('running'), ('available') x 7), 'not yet to others');
$session->ask('ROLLBACK');
is($node->safe_psql('postgres', q{SELECT running, ready FROM fairsched.workspace_status}), '1|7',
  'rolled back: they wait');
is(join(' ', map { $_->[0] } fs_rows($node, q{SELECT payload->>'n' FROM fairsched_claim('w', 3, lease => '1 h')})),
  '2 3 4', 'and come again in their order');
fs_check_ok($node, 'counters equal rows and leases');
is($node->safe_psql('postgres', q{SELECT fairsched.recount(); SELECT running, ready FROM fairsched.workspace_status}),
  "t\n4|4", 'counted anew: the same');

# Not where nothing may be written, although nothing is.
like(fs_error($node, q{BEGIN READ ONLY; SELECT * FROM fairsched_claim()}), qr/ERROR:  25006:/,
  'refused in a read-only transaction');

# Rows that memory is told to look at again: what runs is not handed out twice.
$node->safe_psql('postgres', q{UPDATE fairsched.jobs SET run_id = 'by hand' WHERE payload->>'n' IN ('2', '6')});
is(join(' ', map { $_->[0] } fs_rows($node, q{SELECT payload->>'n' FROM fairsched_claim('w', 10, lease => '1 h')
  ORDER BY 1})), '5 6 7 8', 'a rescan passes over what runs');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_complete_many(ARRAY(SELECT job_id
    FROM fairsched.running_jobs ORDER BY job_id), ARRAY(SELECT token FROM fairsched.running_jobs ORDER BY job_id)) c,
  unnest(c)}), '8', 'all can be completed, those with rows that moved too');
fs_check_ok($node, 'and all is counted');

# More run than a scan reads at once: it goes on behind them.
put(60);
claim(40);
$node->safe_psql('postgres', q{UPDATE fairsched.jobs SET run_id = 'again' WHERE payload->>'n' = '60'});
is(scalar(claim(100)), 20, 'a scan that meets 40 running jobs finds the 20 behind them');
$node->safe_psql('postgres', q{SELECT count(fairsched_complete(job_id, token)) FROM fairsched.running_jobs});

# What each verb makes of such a job. All but complete write the claim down first.
my $n = 0;
foreach my $verb (
  [ release    => q{fairsched_release($1, $2)}, 'available', 0 ],
  [ fail       => q{fairsched_fail($1, $2, 'x', '1 h')}, 'retryable', 1 ],
  # the scheduler resumes what was not asked for
  [ yield      => q{fairsched_yield($1, $2, '{}')}, 'available', 0 ],
  [ checkpoint => q{fairsched_checkpoint($1, $2, '{"at": 1}')}, 'running', 1 ],
  [ preempt    => q{fairsched_preempt($1, 'manual')}, 'running', 1 ],
  [ priority   => q{fairsched_assign_priority($1, 'P1')}, 'running', 1 ],
  [ complete   => q{fairsched_complete($1, $2)}, undef, undef ],
  [ cancel     => q{fairsched_cancel($1)}, undef, undef ],
  [ heartbeat  => q{fairsched_heartbeat(ARRAY[$1], ARRAY[$2])}, 'available', 0 ])
{
  my ($name, $call, $state, $attempt) = @$verb;
  my $lane = "lane$n";

  $n++;
  put(1, ", lane => '$lane'");
  my ($job) = claim(1, ", lanes => '{$lane}'");

  $call =~ s/\$1/$job->[0]/;
  $call =~ s/\$2/$job->[1]/;
  # rolled back, the lease is what it was, and the row too
  $node->safe_psql('postgres', "BEGIN; SELECT $call; ROLLBACK");
  is($node->safe_psql('postgres', "SELECT j.state, attempt, r.durable FROM fairsched.jobs j
    JOIN fairsched.running_jobs r USING (job_id, attempt) WHERE job_id = $job->[0]"), '',
    "$name rolled back: the row knows nothing");
  is($node->safe_psql('postgres', "SELECT worker, durable FROM fairsched.running_jobs WHERE job_id = $job->[0]
    AND token = $job->[1]"), 'w|f', "$name rolled back: the job runs as before");
  $node->safe_psql('postgres', "SELECT $call");
  $node->poll_query_until('postgres', "SELECT state <> 'preempted' FROM fairsched.jobs WHERE job_id = $job->[0]")
    if $name eq 'yield';
  is($node->safe_psql('postgres', "SELECT state, attempt FROM fairsched.jobs WHERE job_id = $job->[0]"),
    defined $state ? "$state|$attempt" : '', "$name: the row");
  is($node->safe_psql('postgres', "SELECT durable FROM fairsched.running_jobs WHERE job_id = $job->[0]"),
    !defined $state ? '' : $state eq 'running' ? 't' : $name eq 'heartbeat' ? 'f' : '', "$name: the lease");
  fs_check_ok($node, "$name: counted");
}
is($node->safe_psql('postgres', q{SELECT state, attempt FROM fairsched.job_history WHERE state = 'cancelled'}),
  'cancelled|1', 'the history of a cancelled job has the attempt it was in');
like(fs_error($node, q{SELECT fairsched_reschedule(job_id, now()) FROM fairsched.running_jobs WHERE NOT durable}),
  qr/ERROR:  FS005: /, 'a running job is not rescheduled');
is($node->safe_psql('postgres', q{SELECT verdict, detail FROM fairsched.running_jobs r, fairsched_explain(r.job_id) e
  WHERE NOT durable AND gate = 'state'}), 'refuse|running', 'nor explained as one that waits');
$node->safe_psql('postgres', q{SELECT count(fairsched_cancel(job_id)) FROM fairsched.jobs});

# A lease that runs out counts the attempt, and its token completes until somebody has the job anew.
put(2, ", lane => 'late'");
my @late = fs_rows($node, q{SELECT job_id, token FROM fairsched_claim('w', 2, lease => '1 ms', lanes => '{late}')});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM fairsched.running_jobs}), 'two leases run out');
is($node->safe_psql('postgres', q{SELECT count(*), min(attempt) FROM fairsched.jobs WHERE state = 'available'}),
  '2|1', 'the attempt is counted');
my @anew = claim(1, ", lanes => '{late}'");
@late = reverse @late if $late[0][0] != $anew[0][0];
is($anew[0][0], $late[0][0], 'one is claimed anew');
is($node->safe_psql('postgres', "SELECT fairsched_complete($late[0][0], $late[0][1])"), 'f',
  'its old token is stale, although the row still has it');
is($node->safe_psql('postgres', "SELECT fairsched_fail($late[0][0], $late[0][1], 'x'),
  fairsched_release($late[0][0], $late[0][1])"), 'lost|f', 'for every verb');
is($node->safe_psql('postgres', "SELECT directive FROM fairsched_heartbeat(ARRAY[$late[0][0]]::bigint[],
  ARRAY[$late[0][1]]::bigint[])"), 'lost', 'and heartbeats');
is($node->safe_psql('postgres', "SELECT fairsched_complete($late[1][0], $late[1][1])"), 't',
  'the other, which nobody took, is completed late');
is($node->safe_psql('postgres', "SELECT fairsched_complete($anew[0][0], $anew[0][1])"), 't', 'by its new token');

# Both kinds at once, and switching.
put(6);
claim(2);
ok(set_durable('on'), 'switched on');
claim(2);
ok(set_durable('off'), 'and off');
claim(1);
is($node->safe_psql('postgres', $running), "1|w|1|f\n2|w|1|f\n3|w|1|t\n4|w|1|t\n5|w|1|f",
  'each lease is what it was when it was made');
fs_check_ok($node, 'counters equal both');

# A crash: what was written down runs on, all else is run again.
my %before = map { $_->[0] => $_->[1] } fs_rows($node, 'SELECT job_id, token FROM fairsched.running_jobs');
my $doomed = fs_session($node);
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
ok(fs_kill($node, $doomed->pid), 'a backend was killed: the server is back');
$doomed->gone;
$session->gone;
is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'by a crash restart');
is($node->safe_psql('postgres', $running), "3|w|1|t\n4|w|1|t", 'durable claims go on');
my @again = claim(10);
is(scalar(@again), 4, 'the soft ones run again, and what waited');
is((grep { exists $before{ $_->[0] } } @again), 3, 'three of them ran before');
my ($highest) = sort { $b <=> $a } values %before;
is((grep { $_->[1] <= $highest } @again), 0, 'all tokens are higher than any before');
foreach my $job (grep { exists $before{ $_->[0] } } @again)
{
  my ($id, $old) = ($job->[0], $before{ $job->[0] });

  is($node->safe_psql('postgres', "SELECT fairsched_complete($id, $old), fairsched_fail($id, $old, 'x'),
    fairsched_checkpoint($id, $old, '{}')"), 'f|lost|lost', 'a token of before the crash changes nothing');
}
is($node->safe_psql('postgres', 'SELECT max(attempt) FROM fairsched.running_jobs'), '1', 'no attempt was counted for it');
fs_check_ok($node, 'counters equal rows and leases');
is($node->safe_psql('postgres', q{SELECT cardinality(fairsched_complete_many(array_agg(job_id), array_agg(token)))
  FROM fairsched.running_jobs}), '6', 'each is completed once');

# The block of tokens is on disk before a token of it is given out, although the claim that drew it is open and
# nobody flushes the claims of others.
$node->append_conf('postgresql.conf', "wal_writer_delay = '10s'");
put(2);
$node->restart;
my ($drew, $other) = (fs_session($node), fs_session($node));
$drew->ask('BEGIN');
is($drew->ask(q{SELECT count(*) FROM fairsched_claim('w', lease => '1 h')}), '1', 'an open claim drew a block of tokens');
is($drew->ask('SELECT pg_current_xact_id_if_assigned() IS NOT NULL'), 't', 'which is logged');
my $token = $other->ask(q{SELECT token FROM fairsched_claim('w', lease => '1 h')});
cmp_ok($token, '>', $highest, 'another one has a token of it');
$node->stop('immediate');
$_->gone foreach $drew, $other;
$node->start;
my @last = claim(2);
is((grep { $_->[1] <= $token } @last), 0, 'after an immediate stop tokens are higher');
is(scalar(fs_drain_all($node)), 0, 'none is left to be claimed');
is($node->safe_psql('postgres', "SELECT fairsched_complete($_->[0], $_->[1])"), 't', 'completed') foreach @last;
$node->stop;

# A standby hands out nothing, although it would not have to write.
my $primary = fs_node('primary', init => [ allows_streaming => 1 ], conf => { 'fairsched.durable_claims' => 'off' });
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->safe_psql('postgres', q{SELECT fairsched_enqueue('acme')});
my $held = $primary->safe_psql('postgres', q{SELECT job_id || ', ' || token FROM fairsched_claim('w')});
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
like(fs_error($standby, 'SELECT * FROM fairsched_claim()'), qr/ERROR:  25006:/, 'a standby refuses');
is($standby->safe_psql('postgres', 'SELECT s.state FROM fairsched.jobs j, fairsched_job_status(j.job_id) s'), 'available',
  'and knows nothing of soft claims');
$primary->stop('immediate');
$standby->promote;
is($standby->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('new')}), '1', 'promoted: the job runs again');
is($standby->safe_psql('postgres', "SELECT fairsched_complete($held)"), 'f', 'promoted: the old token is stale');
$standby->stop;

done_testing();
