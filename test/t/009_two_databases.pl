# Two databases of one cluster, each with a scheduler state of its own.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main', created => 0);
my $request = '11111111-2222-3333-4444-555555555555';

foreach my $db (qw(one two))
{
  my $ceiling = $db eq 'one' ? 3 : 5;

  $node->safe_psql('postgres', "CREATE DATABASE $db");
  $node->safe_psql($db, qq{CREATE EXTENSION fairsched;
    SELECT fairsched_create_workspace('acme', max_running => $ceiling);
    SELECT fairsched_enqueue_many('acme', array_agg(jsonb_build_object('db', '$db', 'n', i)))
      FROM generate_series(1, 10) i});
}
ok(fs_wait_scheduler($node, $_), "$_: has a scheduler of its own") foreach qw(one two);

# The same names, worker, request and even job ids in both.
foreach my $db (qw(one two))
{
  $node->safe_psql($db, qq{CREATE TABLE held AS SELECT * FROM fairsched_claim('w', 100,
    lease => '10 min', request_id => '$request')});
}
foreach my $db (qw(one two))
{
  my $ceiling = $db eq 'one' ? 3 : 5;

  is($node->safe_psql($db, q{SELECT count(*), min(payload->>'db'), max(payload->>'db') FROM held}),
    "$ceiling|$db|$db", "$db: claims its own jobs up to its own ceiling");
  is($node->safe_psql($db, q{SELECT running FROM fairsched.workspace_status}), $ceiling,
    "$db: counts its own");
  is($node->safe_psql($db, 'SELECT count(*) FROM fairsched.running_jobs'), $ceiling,
    "$db: shows its own");
  is($node->safe_psql($db, 'SELECT worker, running FROM fairsched.worker_status'), "w|$ceiling",
    "$db: has its own workers");
}

# A pause, a drain and a drop in one are none in the other.
$node->safe_psql('one', q{SELECT fairsched_pause_workspace('acme')});
is($node->safe_psql('two', q{SELECT paused FROM fairsched.workspace_status}), 'f',
  'a pause in one is no pause in two');
$node->safe_psql('one', q{SELECT fairsched_resume_workspace('acme')});
$node->safe_psql('one', q{CALL fairsched_drain('1 ms')});
$node->safe_psql('two', q{SELECT count(*) FROM held WHERE fairsched_complete(job_id, token)});
is($node->safe_psql('two', q{SELECT count(*) FROM fairsched_claim('w', 2, lease => '1 h')}), '2',
  'a drain of one does not stop two');
is($node->safe_psql('one', q{SELECT fairsched_undrain();
  SELECT count(*) FROM held WHERE fairsched_complete(job_id, token)}) =~ /3$/, 1,
  'and one goes on afterwards');

# An enqueue in one does not wake those who wait in two.
$node->safe_psql('one', q{SELECT fairsched_drop_workspace('acme', true)});
is($node->safe_psql('one', 'SELECT count(*) FROM fairsched_claim(max_jobs => 100)'), '0',
  'dropped in one');
is($node->safe_psql('two', q{SELECT count(*) FROM fairsched_claim(max_jobs => 100, lease => '1 h')}), '3',
  'but not in two');
$node->safe_psql('one', 'DROP EXTENSION fairsched');
is($node->safe_psql('two', q{SELECT sum(running) FROM fairsched.workspace_status}), '5',
  'DROP EXTENSION in one leaves two alone');
fs_check_ok($node, 'two: fairsched_check finds nothing', 'two');
ok(fs_wait_scheduler($node, 'two'), 'two: its scheduler is there');

$node->stop;
done_testing();
