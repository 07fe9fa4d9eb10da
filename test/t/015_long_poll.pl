# max_wait: a claim that waits is woken by the commit of an enqueue, and by nothing less.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;
use Time::HiRes qw(time);

my $node = fs_node('main', conf => { 'fairsched.max_wait' => "'1h'" });

# waiting: until the session waits inside the extension.
sub waiting
{
  my ($session, $name) = @_;

  return ok($node->poll_query_until('postgres', 'SELECT state = \'active\' AND wait_event_type IS NOT NULL
    AND wait_event_type NOT IN (\'Client\', \'IO\', \'LWLock\') FROM pg_stat_activity WHERE pid = '
      . $session->pid), $name);
}

sub still_waits
{
  my ($session, $name) = @_;

  return is($node->safe_psql('postgres', 'SELECT state FROM pg_stat_activity WHERE pid = '
      . $session->pid), 'active', $name);
}

my $claimer = fs_session($node);
my $producer = fs_session($node);
my $wait = q{SELECT workspace, payload->>'n' FROM fairsched_claim('w', 1, lease => '1 h', max_wait => '1000 s',
  lanes => '{wait}')};

$claimer->start($wait);
waiting($claimer, 'a claim waits');
$producer->ask('BEGIN');
$producer->ask(q{SELECT fairsched_enqueue('acme', '{"n": 1}', lane => 'wait')});
$producer->ask('ROLLBACK');
still_waits($claimer, 'an enqueue that is rolled back does not end the wait');
$producer->ask(q{SELECT fairsched_enqueue('acme', '{"n": 2}', lane => 'other')});
still_waits($claimer, 'nor does one in another lane');
$producer->ask(q{SELECT fairsched_enqueue('acme', '{"n": 3}', lane => 'wait', capabilities => '{gpu}')});
still_waits($claimer, 'nor one that this worker cannot do');
$producer->ask('BEGIN');
$producer->ask(q{SELECT fairsched_enqueue('acme', '{"n": 4}', lane => 'wait')});
still_waits($claimer, 'nor one that is not committed yet');
my $start = time;
$producer->ask('COMMIT');
is($claimer->finish, 'acme|4', 'the commit ends it, with the job');
cmp_ok(time - $start, '<', 900, 'long before the time is over');

# Other events that make a job claimable.
my %event = (
  'a slot that is given back' => [
    q{SELECT fairsched_create_workspace('full', max_running => 1);
      SELECT fairsched_enqueue('full', '{"n": 5}', lane => 'wait');
      SELECT fairsched_enqueue('full', '{"n": 6}', lane => 'wait');
      CREATE TABLE held AS SELECT * FROM fairsched_claim('v', 1, lease => '10 min', lanes => '{wait}')},
    q{SELECT fairsched_complete(job_id, token) FROM held}, 'full|6' ],
  'a workspace that is resumed' => [
    q{SELECT fairsched_create_workspace('paused'); SELECT fairsched_pause_workspace('paused');
      SELECT fairsched_enqueue('paused', '{"n": 7}', lane => 'wait')},
    q{SELECT fairsched_resume_workspace('paused')}, 'paused|7' ],
  'a job that gets due' => [
    q{SELECT fairsched_enqueue('due', '{"n": 8}', lane => 'wait', run_at => now() + interval '1 day')},
    q{SELECT fairsched_reschedule(job_id, clock_timestamp() + interval '700 ms') FROM fairsched.jobs WHERE workspace = 'due'},
    'due|8' ],
  'room in a budget' => [
    # those of a lane that nobody serves are before it
    q{SELECT fairsched_set_budget('tight', 10, warn_at => NULL, throttle_at => NULL, pause_at => NULL);
      SELECT count(fairsched_enqueue('tight' || n, '{"n": 10}', lane => CASE n WHEN 4 THEN 'wait' ELSE 'none' || n END, budgets => '{tight}',
        resources => '{"cost": 10}')) FROM generate_series(1, 4) n;
      CREATE TABLE spender AS SELECT * FROM fairsched_claim('v', 1, lease => '10 min', lanes => '{none1}');
      SELECT (SELECT count(*) FROM fairsched_claim('v', 1, lanes => '{none2}')) + (SELECT count(*) FROM fairsched_claim('v', 1, lanes => '{none3}'))},
    q{SELECT fairsched_complete(job_id, token, usage => '{"cost": 0}') FROM spender}, 'tight4|10' ],
  'an INSERT into the inbox' => [ 'SELECT 1',
    q{INSERT INTO fairsched.inbox (workspace, payload, lane) VALUES ('inbox', '{"n": 9}', 'wait')},
    'inbox|9' ]);

foreach my $name (sort keys %event)
{
  my ($prepare, $do, $expected) = @{ $event{$name} };

  $node->safe_psql('postgres', $prepare);
  $claimer->start($wait);
  waiting($claimer, "waits for $name");
  $start = time;
  $node->safe_psql('postgres', $do);
  is($claimer->finish, $expected, "woken by $name");
  cmp_ok(time - $start, '<', 900, "$name: soon");
}

# Several wait, one job comes: one gets it, the others go on waiting. A cancel ends a wait.
my @more = map { fs_session($node) } 1 .. 2;
foreach my $session ($claimer, @more)
{
  $session->start($wait);
  waiting($session, 'one of three waits');
}
$producer->ask(q{SELECT fairsched_enqueue('acme', '{"n": 10}', lane => 'wait')});
my $pids = join ',', map { $_->pid } $claimer, @more;
ok($node->poll_query_until('postgres', "SELECT count(*) = 2 FROM pg_stat_activity
  WHERE pid IN ($pids) AND state = 'active'"), 'one job wakes one of them for good');
$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
  WHERE pid IN ($pids) AND state = 'active'");
my $got = join ',', sort grep { $_ ne '' } map { $_->finish } $claimer, @more;
is($got, 'acme|10', 'it has the job, and a cancelled wait has none');

# The first call of all, in a new database without a scheduler, waits: it holds up nobody.
$node->append_conf('postgresql.conf', 'fairsched.background_workers = off');
$node->restart;
$node->safe_psql('postgres', 'CREATE DATABASE new');
$node->safe_psql('new', 'CREATE EXTENSION fairsched');
my $first = fs_session($node, 'new');
$first->start($wait);
waiting($first, 'the first call waits');
like(fs_error($node, q{SET lock_timeout = '60 s'; SELECT fairsched_enqueue('acme', '{"n": 11}', lane => 'wait')}, 'new'), qr/\A\z/, 'and holds up no producer');
is($first->finish, 'acme|11', 'it has the job');
$first->quit;
$node->append_conf('postgresql.conf', 'fairsched.background_workers = on');
$node->restart;
$claimer = fs_session($node);
@more = ();

# The cap: a waiting SELECT pins a snapshot, so the server's setting bounds what a client asks for.
$node->append_conf('postgresql.conf', q{fairsched.max_wait = '100 ms'});
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT current_setting('fairsched.max_wait') = '100ms'}),
  'max_wait lowered');
$producer->quit;
$producer = fs_session($node);
$start = time;
is($producer->ask(q{SELECT count(*) FROM fairsched_claim('w', 1, lanes => '{nobody}',
  max_wait => '1 hour')}), '0', 'max_wait is capped: empty, no error');
cmp_ok(time - $start, '<', 900, 'after the capped time');
$_->quit foreach $claimer, $producer, @more;

$node->stop;
done_testing();
