# Classes that a budget holds back: whoever waits for work is woken when they are let in, age does not lead
# around it, and a budget of a resource's name is no resource.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.preemption_resume_after' => 0, 'fairsched.preemption_interval' => '10ms',
    'fairsched.priority_aging' => '100ms' });
my $claim = q{SELECT count(*) FROM fairsched_claim('w', 10, lease => '1 hour')};

$node->safe_psql('postgres', q{SELECT fairsched_set_budget('cpu', 100, warn_at => NULL, throttle_at => 0.5, pause_at => NULL),
    fairsched_set_capacity('cpu', 100);
  SELECT fairsched_enqueue('a', budgets => '{cpu}', resources => '{"cpu": 1}', priority => 'P3')});
is($node->safe_psql('postgres', $claim), '1', 'it runs');
$node->safe_psql('postgres', q{SELECT fairsched_record_spend('cpu', 60)});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched.running_jobs WHERE directive = 'preempt'}), 'it is asked to yield');
$node->safe_psql('postgres', q{SELECT fairsched_yield(job_id, token, '{}') FROM fairsched.running_jobs});
$node->safe_psql('postgres', 'SELECT fairsched_evaluate_preemption()') foreach 1 .. 5;
is($node->safe_psql('postgres', q{SELECT state FROM fairsched.jobs}), 'preempted', 'the use of the resource cpu has nothing to do with it');

# another that waits; one that waits for long counts as more urgent, and is of its class all the same
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('b', budgets => '{cpu}', priority => 'P3')});
ok($node->poll_query_until('postgres', q{SELECT bool_or(effective_priority = 'P1') FROM fairsched.priority_queue WHERE workspace = 'b'}), 'it has aged');
is($node->safe_psql('postgres', $claim), '0', 'it is held back');
is($node->safe_psql('postgres', q{SELECT parked_reason FROM fairsched.workspace_status WHERE workspace = 'b'}), '', 'its workspace is not');
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('b', budgets => '{cpu}', priority => 'P1')});
is($node->safe_psql('postgres', q{SELECT string_agg(priority, ',') FROM fairsched_claim('w', 10, lease => '1 hour')}), 'P1',
  'a younger job of the same flow is handed out, the aged one is not');

$node->safe_psql('postgres', q{SELECT fairsched_enqueue('b', budgets => '{cpu}', priority => 'P3', lane => 'side')});
my $waiter = fs_session($node);
$waiter->start(q{CALL fairsched_wait('1000 s', '{side}')});
ok($node->poll_query_until('postgres', "SELECT state = 'active' AND wait_event_type IS NOT NULL
    AND wait_event_type NOT IN ('Client', 'IO', 'LWLock') FROM pg_stat_activity WHERE pid = " . $waiter->pid), 'a worker waits');
$node->safe_psql('postgres', q{SELECT fairsched_reset_budget('cpu')});
$waiter->finish;
pass('it is woken by the reset');
ok($node->poll_query_until('postgres', q{SELECT (SELECT count(*) FROM fairsched.jobs WHERE state = 'preempted') = 0}), 'the job that yielded goes on');
ok(fs_claim_until($node, q{'w', 1, lease => '1 hour'}), "$_ is let in") foreach 'one', 'the other';

# The budget is reset, and the server is gone before anybody has come to let its jobs go on.
$node->safe_psql('postgres', q{SELECT fairsched_record_spend('cpu', 60)});
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM fairsched.running_jobs WHERE directive = 'preempt'}), 'asked again');
$node->safe_psql('postgres', q{SELECT fairsched_yield(job_id, token, '{}') FROM fairsched.running_jobs WHERE directive = 'preempt'});
$node->append_conf('postgresql.conf', "fairsched.background_workers = off\n");
$node->restart;
$node->safe_psql('postgres', q{SELECT fairsched_reset_budget('cpu')});
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.jobs WHERE state = 'preempted'}), '>', 0, 'they wait');
$node->append_conf('postgresql.conf', "fairsched.background_workers = on\n");
$node->stop('immediate');
$node->start;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM fairsched.jobs WHERE state = 'preempted'}), 'they go on after the start');
fs_check_ok($node, 'memory equals the rows');
$node->stop;
done_testing();
