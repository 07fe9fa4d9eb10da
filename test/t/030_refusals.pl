# Every verb where it cannot work: not preloaded, on a standby, in a read-only transaction. Each says so,
# with an SQLSTATE and a hint, and nothing changes; what only reads works as far as it can.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my %verbs = (
  enqueue            => q{SELECT * FROM fairsched_enqueue('acme')},
  enqueue_many       => q{SELECT fairsched_enqueue_many('acme', '{"{}"}')},
  inbox              => q{INSERT INTO fairsched.inbox (workspace) VALUES ('acme')},
  cancel             => q{SELECT fairsched_cancel(1)},
  cancel_many        => q{SELECT fairsched_cancel_many('{1}')},
  cancel_run         => q{SELECT fairsched_cancel_run('r')},
  retry              => q{SELECT fairsched_retry(1)},
  reschedule         => q{SELECT fairsched_reschedule(1, now())},
  assign_priority    => q{SELECT fairsched_assign_priority(1, 'P1')},
  claim              => q{SELECT * FROM fairsched_claim()},
  complete           => q{SELECT fairsched_complete(1, 1)},
  complete_many      => q{SELECT fairsched_complete_many('{1}', '{1}')},
  complete_and_claim => q{SELECT * FROM fairsched_complete_and_claim('{1}', '{1}')},
  fail               => q{SELECT fairsched_fail(1, 1, 'x')},
  fail_many          => q{SELECT fairsched_fail_many('{1}', '{1}', 'x')},
  release            => q{SELECT fairsched_release(1, 1)},
  checkpoint         => q{SELECT fairsched_checkpoint(1, 1, '{}')},
  yield              => q{SELECT fairsched_yield(1, 1, '{}')},
  heartbeat          => q{SELECT * FROM fairsched_heartbeat('{1}'::bigint[], '{1}'::bigint[])},
  heartbeat_worker   => q{SELECT * FROM fairsched_heartbeat('w'::text)},
  register_worker    => q{SELECT fairsched_register_worker('w')},
  unregister_worker  => q{SELECT fairsched_unregister_worker('w1')},
  create_workspace   => q{SELECT fairsched_create_workspace('new')},
  alter_workspace    => q{SELECT fairsched_alter_workspace('acme', max_running => 1)},
  drop_workspace     => q{SELECT fairsched_drop_workspace('acme', true)},
  isolate_workspace  => q{SELECT fairsched_isolate_workspace('acme')},
  pause_workspace    => q{SELECT fairsched_pause_workspace('acme')},
  resume_workspace   => q{SELECT fairsched_resume_workspace('acme')},
  undrain            => q{SELECT fairsched_undrain()},
  check              => q{SELECT * FROM fairsched_check()},
  repair             => q{SELECT * FROM fairsched_check(true)});
# They commit, so they cannot be in a transaction block.
my %procedures = (
  wait  => q{CALL fairsched_wait('1 s')},
  drain => q{CALL fairsched_drain('1 s')});

sub refused
{
  my ($node, $where, $state, $hint, $before, %calls) = @_;
  local $Test::Builder::Level = $Test::Builder::Level + 1;

  foreach my $name (sort keys %calls)
  {
    my $error = fs_error($node, "$before$calls{$name}");

    like($error, qr/ERROR:  $state: /, "$where: $name is refused");
    # an INSERT by hand, or by the body of a function, is PostgreSQL's own to refuse
    like($error, $hint, "$where: $name: and says what to do")
      unless $error =~ /cannot execute (INSERT|UPDATE|DELETE|SELECT FOR UPDATE) in/;
  }
  return;
}

my $bare = fs_node('bare', conf => { shared_preload_libraries => "''" });

refused($bare, 'not preloaded', 'FS001', qr/HINT: .*shared_preload_libraries = 'fairsched'/, '',
  %verbs, %procedures);
is($bare->safe_psql('postgres', 'SELECT count(*) FROM fairsched_job_status(1)'), '0',
  'not preloaded: job_status reads the tables');
is($bare->safe_psql('postgres', 'SELECT count(*) FROM fairsched.job_history'), '0',
  'not preloaded: so does job_history');
$bare->stop;

my $node = fs_node('main', init => [ allows_streaming => 1 ]);
$node->safe_psql('postgres', q{
  SELECT fairsched_create_workspace('acme', max_running => 5);
  SELECT fairsched_register_worker('w1', '{}', 4);
  SELECT fairsched_enqueue_many('acme', array_agg('{}'::jsonb)) FROM generate_series(1, 5);
  SELECT count(*) FROM fairsched_claim('w1', 2, lease => '10 min')});
my $picture = q{SELECT j.state, count(*), w.running, w.ready, w.max_running, w.paused,
    (SELECT count(*) FROM fairsched.worker_status), (SELECT drained FROM fairsched.database_status)
  FROM fairsched.jobs j, fairsched.workspace_status w GROUP BY j.state, w.running, w.ready, w.max_running,
    w.paused ORDER BY 1};
my $before = $node->safe_psql('postgres', $picture);
my $read_only = qr/HINT: .*READ WRITE/;

refused($node, 'read-only', '25006', $read_only, 'BEGIN READ ONLY; ', %verbs);
refused($node, 'read-only by default', '25006', $read_only, 'SET default_transaction_read_only = on; ',
  %procedures);
is($node->safe_psql('postgres', q{BEGIN READ ONLY; SELECT s.state, s.worker FROM fairsched.running_jobs r,
    fairsched_job_status(r.job_id) s LIMIT 1}), 'running|w1', 'read-only: status can be read');
is($node->safe_psql('postgres', $picture), $before, 'read-only: and nothing changed');

$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay');
refused($standby, 'standby', '25006', qr/HINT: .*primary/, '', %verbs, %procedures);
is($standby->safe_psql('postgres', q{SELECT s.state, s.worker IS NULL FROM fairsched.jobs j,
    fairsched_job_status(j.job_id) s WHERE j.state = 'running' LIMIT 1}), 'running|t',
  'standby: status can be read, but not who runs a job');
$standby->stop;

is($node->safe_psql('postgres', $picture), $before, 'nothing changed on the primary');
fs_check_ok($node, 'fairsched_check finds nothing');
$node->stop;
done_testing();
