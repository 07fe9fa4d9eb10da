# CALL fairsched_wait waits without a snapshot, is woken by a commit, and refuses inside BEGIN.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;
use Time::HiRes qw(time);

my $node = fs_node('main');
my $waiter = fs_session($node);
my $state = 'FROM pg_stat_activity WHERE pid = ' . $waiter->pid;

# wait_for: starts CALL fairsched_wait and returns once it waits.
sub wait_for
{
  my ($name, $args) = @_;

  $waiter->start("CALL fairsched_wait($args)");
  return ok($node->poll_query_until('postgres', "SELECT state = 'active' AND wait_event_type IS NOT NULL
    AND wait_event_type NOT IN ('Client', 'IO', 'LWLock') $state"), $name);
}

wait_for('it waits', q{'1000 s'});
# (polled: what it waits for first may be memory that is being built)
ok($node->poll_query_until('postgres', "SELECT state = 'active' AND backend_xmin IS NULL AND backend_xid IS NULL $state"),
  'without a snapshot and without a transaction id');
# Nothing holds back vacuum: the horizon moves on while it waits.
$node->safe_psql('postgres', 'CREATE TABLE t (i int); INSERT INTO t VALUES (1); DELETE FROM t');
# (again and again: for a moment somebody else may look, too)
my $size;
for (my $until = time + $PostgreSQL::Test::Utils::timeout_default; time < $until;)
{
  $node->safe_psql('postgres', 'VACUUM t');
  $size = $node->safe_psql('postgres', q{SELECT pg_relation_size('t')}) or last;
}
is($size, '0', 'so that vacuum can clean up');

my $start = time;
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('acme', lane => 'other')});
is($node->safe_psql('postgres', "SELECT state $state"), 'active', 'a job of another lane: it waits on');
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('acme')});
$waiter->finish;
cmp_ok(time - $start, '<', 900, 'a job of the lane wakes it');
$start = time;
$waiter->ask(q{CALL fairsched_wait('1000 s')});
cmp_ok(time - $start, '<', 900, 'with work to do it returns at once');
is($waiter->ask('SELECT count(*) FROM fairsched_claim(max_jobs => 2)'), '1', 'and a claim gets the job');

$start = time;
$waiter->ask(q{CALL fairsched_wait('300 ms')});
cmp_ok(time - $start, '>=', 0.3, 'without work it waits for as long as it was told');
cmp_ok(time - $start, '<', 900, 'and not longer');

wait_for('it waits for several lanes', q{timeout => '1000 s', lanes => '{a,b}'});
$start = time;
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('acme', lane => 'b')});
$waiter->finish;
cmp_ok(time - $start, '<', 900, 'each of them wakes it');

# While the database is drained there is nothing to get; the end of that wakes who waits.
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('acme', lane => 'drained')});
$node->safe_psql('postgres', q{CALL fairsched_drain('0')});
wait_for('drained: it waits, although there is a job', q{'1000 s', '{drained}'});
$node->safe_psql('postgres', 'SELECT fairsched_undrain()');
$waiter->finish;
is($waiter->ask(q{SELECT count(*) FROM fairsched_claim(lanes => '{drained}')}), '1', 'undrained: it is woken, and gets the job');

# Where it could not commit, it says so.
like($waiter->fails(q{BEGIN; CALL fairsched_wait('1 s')}), qr/ERROR:  (2D000|25001|FS...): /,
  'inside BEGIN: an error');
$waiter->ask('ROLLBACK');
like($waiter->fails(q{CREATE FUNCTION pg_temp.f() RETURNS void LANGUAGE plpgsql AS
  'BEGIN CALL fairsched_wait(''1 s''); END'; SELECT pg_temp.f()}), qr/ERROR:  (2D000|25001|FS...): /,
  'inside a function: an error');
like($waiter->fails(q{CALL fairsched_wait('-1 s')}), qr/ERROR:  (22023|22008|FS...): /,
  'a negative time: an error');
like($waiter->fails(q{CALL fairsched_wait(NULL)}), qr/ERROR:  (22004|22023|FS...): /,
  'no time: an error');
$waiter->ask(q{CALL fairsched_wait('1 ms', '{nobody}')});

# Cancelled and terminated, it leaves nothing behind.
wait_for('it waits again', q{'1000 s', '{nobody}'});
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . $waiter->pid . ')');
$waiter->finish;
is($waiter->ask('SELECT 1'), '1', 'a cancel ends the wait');
wait_for('and again', q{'1000 s', '{nobody}'});
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $waiter->pid . ', 20000)');
ok($node->poll_query_until('postgres', "SELECT count(*) $state", '0'), 'so does a termination');
$waiter->gone;
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('acme', lane => 'nobody')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim(lanes => '{nobody}')}), '1',
  'and the next one is served');

$node->stop;
done_testing();
