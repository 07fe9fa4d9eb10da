# DROP and CREATE EXTENSION with the scheduler alive and jobs running.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.max_databases' => 3 });
my $fill = q{
  SELECT fairsched_create_workspace('acme', max_running => 3, own_table => true);
  SELECT fairsched_enqueue_many('acme', array_agg('{}'::jsonb)) FROM generate_series(1, 10);
  SELECT fairsched_enqueue_many('beta', array_agg('{}'::jsonb)) FROM generate_series(1, 10);
  SELECT fairsched.make_day_partition(t, current_date) FROM unnest('{job_history_dead,fairness_samples}'::text[]) t;
};

$node->safe_psql('postgres', $fill);
ok(fs_wait_scheduler($node), 'a scheduler runs');
my $scheduler = fs_scheduler_pid($node);

# A session that has everything cached.
my $old = fs_session($node);
$old->ask(q{PREPARE take AS SELECT workspace FROM fairsched_claim('old', 1, lease => '10 min')});
$old->ask(q{PREPARE give AS SELECT is_duplicate FROM fairsched_enqueue('beta')});
$old->ask('EXECUTE take') foreach 1 .. 7;

# Rolled back, it is as if nothing had been.
$node->safe_psql('postgres', 'BEGIN; DROP EXTENSION fairsched; ROLLBACK');
is($node->safe_psql('postgres', q{SELECT sum(running) FROM fairsched.workspace_status}), '7',
  'DROP rolled back: what runs still runs');
is($old->ask('EXECUTE take'), 'beta', 'DROP rolled back: claims go on');
ok(fs_wait_scheduler($node), 'DROP rolled back: the scheduler is there');

$node->safe_psql('postgres', 'DROP EXTENSION fairsched');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity
  WHERE backend_type LIKE 'fairsched%' AND datname IS NOT NULL}), 'dropped: the scheduler leaves');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class c JOIN pg_namespace n
  ON n.oid = c.relnamespace WHERE n.nspname = 'fairsched'}), '0', 'dropped: own tables and days are gone too');
like($old->fails('EXECUTE take'), qr/ERROR/, 'dropped: a prepared claim fails');
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'dropped: the server is well');

# A new extension knows nothing of the old one.
$node->safe_psql('postgres', 'CREATE EXTENSION fairsched');
is($node->safe_psql('postgres', 'SELECT count(*) FROM fairsched_claim(max_jobs => 100)'), '0',
  'created again: there is nothing to claim');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.running_jobs}), '0',
  'created again: nothing runs');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.workspace_status}), '0',
  'created again: no workspace is left');
$node->safe_psql('postgres', $fill);
$old->ask('DEALLOCATE ALL');
$old->ask(q{PREPARE take AS SELECT workspace FROM fairsched_claim('old', 1, lease => '10 min')});
my %got;
$got{ $old->ask('EXECUTE take') }++ foreach 1 .. 20;
is(join(',', map { "$_=$got{$_}" } grep { $_ ne '' } sort keys %got), 'acme=3,beta=10',
  'created again: an old session claims new jobs, up to the ceiling');
ok(fs_wait_scheduler($node, 'postgres', $scheduler), 'created again: a new scheduler comes');
fs_check_ok($node, 'created again: fairsched_check finds nothing');

# Dropped and created in one transaction, by a session that used it, in another schema.
$old->ask(q{CREATE SCHEMA queue});
$old->ask(q{BEGIN});
$old->ask(q{DROP EXTENSION fairsched});
$old->ask(q{CREATE EXTENSION fairsched SCHEMA queue});
$old->ask(q{SELECT queue.fairsched_enqueue('acme')});
$old->ask(q{COMMIT});
is($old->ask('SELECT workspace FROM queue.fairsched_claim()'), 'acme',
  'in another schema, in one transaction: it works');
like(fs_error($node, 'SELECT * FROM public.fairsched_claim()'), qr/42883/,
  'and nothing is left in the old schema');
ok(fs_wait_scheduler($node), 'a scheduler serves it');
$old->ask(q{SELECT queue.fairsched_enqueue('acme',
  run_at => clock_timestamp() + interval '300 ms')});
ok($node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM queue.fairsched_claim()'),
  'and does what is due');
$old->quit;

# A CREATE that is rolled back after it was used leaves nothing behind, however often: there is room
# for few databases (fairsched.max_databases).
$node->safe_psql('postgres', 'CREATE DATABASE again');
$node->safe_psql('again', q{
  BEGIN;
  CREATE EXTENSION fairsched;
  SELECT fairsched_enqueue('acme');
  SELECT count(*) FROM fairsched_claim();
  ROLLBACK;
  BEGIN;
  DO $$ BEGIN
    CREATE EXTENSION fairsched;
    PERFORM fairsched_enqueue('acme');
    RAISE division_by_zero;
  EXCEPTION WHEN division_by_zero THEN NULL;
  END $$;
  COMMIT;
}) foreach 1 .. 3;
$node->safe_psql('again', 'CREATE EXTENSION fairsched');
is($node->safe_psql('again', q{SELECT is_duplicate FROM fairsched_enqueue('acme')}), 'f',
  'rolled back CREATEs leave no slot behind');
ok(fs_wait_scheduler($node, 'again'), 'and the scheduler comes once there is a committed one');
fs_check_ok($node, 'rolled back CREATEs: fairsched_check finds nothing', 'again');

$node->stop;
done_testing();
