# What is read again in the background fails: nothing is forgotten, it is done once the cause is gone.
# The causes are those an administrator makes: a lock that is held (and a cancelled wait), a column
# under another name.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.reconcile_interval' => 1 });
my $admin = fs_session($node);

# A reader who may not write sees memory as it is, and does no work for it.
sub poll_seen
{
  my ($sql, $what) = @_;
  local $Test::Builder::Level = $Test::Builder::Level + 1;
  local $ENV{PGOPTIONS} = '-c default_transaction_read_only=on';

  return ok($node->poll_query_until('postgres', $sql), $what);
}

# The scheduler waits in this task for a lock; break the wait off.
sub break_off
{
  my ($task) = @_;
  local $Test::Builder::Level = $Test::Builder::Level + 1;

  ok($node->poll_query_until('postgres', qq{SELECT count(pg_cancel_backend(pid)) > 0 FROM pg_stat_activity
    WHERE backend_type LIKE 'fairsched%' AND query = 'fairsched: $task' AND wait_event_type = 'Lock'}),
    "$task: the scheduler waits for a lock, and is cancelled");
  poll_seen(qq{SELECT last_error LIKE 'canceling%' FROM fairsched.maintenance_status WHERE task = '$task'},
    "$task: which is on record");
  return;
}

sub well
{
  my ($task) = @_;
  local $Test::Builder::Level = $Test::Builder::Level + 1;

  return poll_seen(qq{SELECT last_run IS NOT NULL AND last_error IS NULL AND failures = 0
    FROM fairsched.maintenance_status WHERE task = '$task'}, "$task: later it runs without an error");
}

$node->safe_psql('postgres', q{
  SELECT fairsched_create_workspace('acme', own_table => false);
  SELECT fairsched_enqueue_many('acme', array_agg('{}'::jsonb)) FROM generate_series(1, 10)});
ok(fs_wait_scheduler($node), 'a scheduler runs');
poll_seen(q{SELECT ready = 10 FROM fairsched.workspace_status WHERE workspace = 'acme'}, 'the queue is counted');

# Counting.
$admin->ask('BEGIN; LOCK TABLE fairsched.jobs_0 IN ACCESS EXCLUSIVE MODE');
break_off('reconcile');
$admin->ask('ROLLBACK');
well('reconcile');
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('acme')});
is($node->safe_psql('postgres', q{SELECT ready FROM fairsched.workspace_status WHERE workspace = 'acme'}), '11',
  'reconcile: the count is right');

# From here on it stays out of the way.
$node->safe_psql('postgres', $_)
  foreach 'ALTER SYSTEM SET fairsched.reconcile_interval = 3600', 'SELECT pg_reload_conf()';
poll_seen(q{SELECT next_run > now() + interval '10 min' FROM fairsched.maintenance_status WHERE task = 'reconcile'},
  'reconcile: not due for a while');

# The same by a session that gives up.
$admin->ask('BEGIN; LOCK TABLE fairsched.jobs_0 IN ACCESS EXCLUSIVE MODE');
like(fs_error($node, q{SET statement_timeout = '200ms'; SELECT fairsched.recount()}), qr/57014/,
  'recount: a session gives up');
$admin->ask('ROLLBACK');
is($node->safe_psql('postgres', 'SELECT fairsched.recount()'), 't', 'recount: another has its turn');

# A job that is due, and a lease that runs out.
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('acme', '{"n": "due"}', lane => 'due',
  run_at => clock_timestamp() + interval '5 s')});
$admin->ask('BEGIN; LOCK TABLE fairsched.jobs_0 IN ACCESS EXCLUSIVE MODE');
break_off('promote');
$admin->ask('ROLLBACK');
poll_seen(q{SELECT state = 'available' FROM fairsched.jobs WHERE lane = 'due'},
  'promote: the job is promoted after all');
well('promote');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 1, lease => '5 s', lanes => '{due}')}),
  '1', 'a job runs');
$admin->ask('BEGIN; LOCK TABLE fairsched.jobs_0 IN ACCESS EXCLUSIVE MODE');
break_off('expire');
$admin->ask('ROLLBACK');
poll_seen(q{SELECT state = 'available' AND running = 0 FROM fairsched.jobs, fairsched.workspace_status w
  WHERE lane = 'due' AND w.workspace = 'acme'}, 'expire: the lease runs out after all');
well('expire');

# Rows that changed by hand are looked at again.
$admin->ask('ALTER TABLE fairsched.job_tables RENAME COLUMN relid TO other');
$node->safe_psql('postgres', q{UPDATE fairsched.jobs SET priority = priority WHERE lane = 'due'});
poll_seen(q{SELECT last_error LIKE '%relid%' FROM fairsched.maintenance_status WHERE task = 'in_doubt'},
  'rescan: it fails');
like(fs_error($node, q{SELECT * FROM fairsched_claim('w', lanes => '{due}')}), qr/42703/,
  'rescan: so does a claim, rather than pass over what changed');
like(fs_error($node, q{BEGIN; SAVEPOINT a; SELECT * FROM fairsched_claim('w')}), qr/42703/,
  'rescan: each time');
# a job that nobody hinted: only the rescan can find it
$node->safe_psql('postgres', q{SELECT fairsched.own_changes(true);
  UPDATE fairsched.jobs SET lane = 'hidden', flow = 12345 WHERE lane = 'due'});
$admin->ask('ALTER TABLE fairsched.job_tables RENAME COLUMN other TO relid');
poll_seen(q{SELECT count(*) = 1 FROM fairsched.queue_status WHERE lane = 'hidden'},
  'rescan: with the cause gone the scheduler does it');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', lanes => '{hidden}')}), '1',
  'rescan: and what it found is served');

# Settings.
$admin->ask('ALTER TABLE fairsched.tiers RENAME COLUMN weight TO other');
$admin->ask(q{UPDATE fairsched.tiers SET quantum = 33 WHERE tier = 'starter'});
like(fs_error($node, q{SELECT fairsched_enqueue('acme')}), qr/42703/, 'settings: they cannot be read');
like(fs_error($node, q{SELECT fairsched_enqueue('acme')}), qr/42703/, 'settings: each time');
$admin->ask('ALTER TABLE fairsched.tiers RENAME COLUMN other TO weight');
is($node->safe_psql('postgres', q{SELECT quantum FROM fairsched.workspace_status WHERE workspace = 'acme'}), '33',
  'settings: with the cause gone they take effect');

# Kinds, which each session reads for itself.
my $session = fs_session($node);
$admin->ask('BEGIN; LOCK TABLE fairsched.job_kinds IN ACCESS EXCLUSIVE MODE');
like($session->fails(q{BEGIN; SET LOCAL statement_timeout = '1s'; SELECT fairsched_enqueue('acme', '{"items": [1, 2, 3]}', 'batch')}), qr/57014/,
  'kinds: they cannot be read');
$session->ask('ROLLBACK');
$admin->ask('ROLLBACK');
$session->ask(q{SELECT fairsched_enqueue('acme', '{"items": [1, 2, 3]}', 'batch', lane => 'kinds')});
is($session->ask(q{SELECT cost FROM fairsched.jobs WHERE lane = 'kinds'}), '3',
  'kinds: with the cause gone costs are right');

# More indexes than a job table may have: refused each time, not once.
$session->ask(join ';', map { "CREATE INDEX extra_$_ ON fairsched.jobs_0 (created_at)" } 1 .. 40);
like($session->fails(q{SELECT fairsched_enqueue('acme')}), qr/54000/, 'too many indexes: refused')
  foreach 1 .. 2;
$session->ask(join ';', map { "DROP INDEX fairsched.extra_$_" } 1 .. 40);
is($session->ask(q{SELECT is_duplicate FROM fairsched_enqueue('acme')}), 'f', 'without them: served');
$_->quit foreach $session;

# A count that was given up is in nobody's way: other databases are counted. (This one is not due again.)
$node->safe_psql('postgres', 'CREATE DATABASE two');
$node->safe_psql('two', q{CREATE EXTENSION fairsched});
$node->safe_psql('two', q{SELECT fairsched_enqueue_many('beta', array_agg('{}'::jsonb)) FROM generate_series(1, 7)});
$admin->ask('BEGIN; LOCK TABLE fairsched.jobs_0 IN ACCESS EXCLUSIVE MODE');
like(fs_error($node, q{SET statement_timeout = '200ms'; SELECT fairsched.recount()}), qr/57014/,
  'two databases: a count is given up in one');
$admin->ask('ROLLBACK');
$node->safe_psql('two', q{UPDATE fairsched.jobs SET priority = priority});
ok($node->poll_query_until('two', q{SELECT ready = 7 FROM fairsched.workspace_status WHERE workspace = 'beta'}),
  'two databases: the other is counted');
$admin->quit;

fs_check_ok($node, 'fairsched_check finds nothing');
$node->stop;

# A job table that came from elsewhere (a restore, say) and could not be taken over when a session first
# saw it.  No scheduler here, so that nobody else does it.
my $alone = fs_node('alone', conf => { 'fairsched.background_workers' => 'off' });
$admin = fs_session($alone);
$session = fs_session($alone);
$session->ask(q{SELECT fairsched_create_workspace('acme', own_table => true)});
$session->ask(q{SELECT fairsched_enqueue('acme')});
$session->ask(q{SELECT count(*) FROM fairsched_claim('w')});
$admin->ask(q{UPDATE fairsched.job_tables SET relid = 0 WHERE job_table <> 0});
$admin->ask(q{GRANT SELECT ON fairsched.jobs TO CURRENT_USER});
$admin->ask('BEGIN; LOCK TABLE fairsched.job_tables IN ACCESS EXCLUSIVE MODE');
like($session->fails(q{BEGIN; SET LOCAL statement_timeout = '1s'; SELECT count(*) FROM fairsched_claim('w')}), qr/57014/, 'a table to take over: it cannot be');
$session->ask('ROLLBACK');
$admin->ask('ROLLBACK');
$session->ask(q{SELECT count(*) FROM fairsched_claim('w')});
is($session->ask(q{SELECT relid = 'fairsched.jobs_1'::regclass FROM fairsched.job_tables WHERE job_table = 1}), 't',
  'a table to take over: it is, once it can');

# Settings that somebody is reading: nobody else goes on with the old ones.
$admin->ask(q{UPDATE fairsched.tiers SET quantum = 34 WHERE tier = 'starter'});
$admin->ask('BEGIN; LOCK TABLE fairsched.tiers IN ACCESS EXCLUSIVE MODE');
$session->start(q{SELECT is_duplicate FROM fairsched_enqueue('acme')});
ok($alone->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = " . $session->pid), 'settings are being read');
like(fs_error($alone, q{SET lock_timeout = '1s'; SELECT fairsched_enqueue('acme')}), qr/55P03/, 'others wait as well');
$admin->ask('ROLLBACK');
is($session->finish, 'f', 'they are read');
is($alone->safe_psql('postgres', q{SELECT quantum FROM fairsched.workspace_status WHERE workspace = 'acme'}), '34', 'and hold');
$_->quit foreach $session, $admin;
$alone->stop;
done_testing();
