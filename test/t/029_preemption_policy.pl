# Policies as the scheduler lets them act: at once when urgent work is refused, again when jobs have run
# long enough, and stopped work goes on with hysteresis, so that nothing goes to and fro.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.preemption_min_runtime' => 0,
  'fairsched.preemption_interval' => '1h', 'fairsched.preemption_resume_after' => '300ms' });

# sql: run it; put: jobs of one cpu; take: who is claimed.
sub sql { return $node->safe_psql('postgres', $_[0]) }

sub put
{
  my ($workspace, $priority, $n, $cpu) = @_;

  $cpu ||= 1;
  return sql(qq{SELECT count(fairsched_enqueue('$workspace', priority => '$priority',
    resources => '{"cpu": $cpu}')) FROM generate_series(1, $n)});
}

sub take
{
  my ($n) = @_;

  return sql(qq{SELECT string_agg(workspace || ' ' || priority, ',' ORDER BY workspace)
    FROM fairsched_claim('w', $n, lease => '1 h')});
}

my $asked = q{SELECT count(*) FROM fairsched.preemption_history};
my $answer = q{SELECT count(*) FROM fairsched.running_jobs
  WHERE directive = 'preempt' AND fairsched_yield(job_id, token, '{"saved": true}')};

sql(q{SELECT fairsched_set_capacity('cpu', 10)});
put('hog', 'P3', 30);
is(take(100), join(',', ('hog P3') x 10), 'a full fleet');

# The interval is an hour: what follows happens at once.
put('rush', 'P1', 1, 2);
is(take(1), '', 'urgent work is refused');
ok($node->poll_query_until('postgres', $asked, '2'), 'and two jobs are asked at once');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM fairsched.running_jobs WHERE directive = 'preempt'}, '2'), 'which their workers are told');
is(sql(q{SELECT DISTINCT reason, resource, utilisation, threshold, priority FROM fairsched.preemption_history}),
  'high_priority_job|cpu|100|85|P3', 'for it');
is(sql($answer), '2', 'their workers answer');
is(take(100), 'rush P1', 'the room is had by the one it was made for');

# P2 is not that urgent: it waits for the next evaluation.
put('calm', 'P2', 1, 1);
is(take(1), '', 'P2 is refused');
is(sql(q{SELECT fairsched_evaluate_preemption()}), '1', 'and served by the next evaluation');
is(sql($answer), '1', 'answered');
is(take(100), 'calm P2', 'the room again');

# Use has to fall 5 points below the threshold (85 and 80) for a while before stopped work goes on.
my $preempted = q{SELECT count(*) FROM fairsched.jobs WHERE state = 'preempted'};
is(sql($preempted), '3', 'three wait to be resumed');
sql(q{SELECT fairsched_pause_workspace('hog')});
sql(q{SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs WHERE workspace = 'calm'});
is(sql(q{SELECT percent FROM fairsched.capacity_status WHERE resource = 'cpu'}), '90.0', 'at 90 %');
sql(q{SELECT fairsched_evaluate_preemption()});
is(sql($preempted), '3', 'nobody is resumed');
sql(q{SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs WHERE workspace = 'hog' LIMIT 1});
is(sql(q{SELECT percent FROM fairsched.capacity_status WHERE resource = 'cpu'}), '80.0', 'at 80 %');
sql(q{SELECT fairsched_evaluate_preemption()});
is(sql($preempted), '3', 'neither: not 5 points below 85');
sql(q{SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs WHERE workspace = 'hog' LIMIT 3});
is(sql(q{SELECT percent FROM fairsched.capacity_status WHERE resource = 'cpu'}), '50.0', 'at 50 %');
ok($node->poll_query_until('postgres', $preempted, '0'), 'then they are, by the scheduler, without an hour passing');
cmp_ok(sql(q{SELECT min(extract(epoch FROM resumed_at - preempted_at)) FROM fairsched.preemption_history}), '>=', 0.3,
  'and not before it was so for a while');
is(sql(q{SELECT count(*) FROM fairsched.preemption_history WHERE outcome = 'resumed' AND has_checkpoint}), '3', 'with checkpoints');
sql(q{SELECT fairsched_resume_workspace('hog')});
is(sql(q{SELECT string_agg(coalesce(checkpoint ->> 'saved', '-'), ',' ORDER BY checkpoint)
  FROM fairsched_claim('w', 4, lease => '1 h')}), 'true,true,true,-', 'first in their class, where they left off');

# Not while somebody more urgent waits for the same.
sql(q{SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs});
sql(q{SELECT fairsched_cancel(job_id) FROM fairsched.jobs});
sql(q{TRUNCATE fairsched.preemption_history});
sql(q{ALTER SYSTEM SET fairsched.preemption_resume_after = 0});
$node->reload;
$node->poll_query_until('postgres', q{SELECT current_setting('fairsched.preemption_resume_after') = '0'}) or die;
put('hog', 'P3', 1, 2);
put('filler', 'P1', 1, 6);
is(take(10), 'filler P1,hog P3', 'at 80 %');
put('big', 'P1', 1, 6);
is(take(10), '', 'a large job is refused, and would be with all that P3 holds');
sql(q{SELECT fairsched_evaluate_preemption()});
is(sql($asked), '0', 'so nobody is asked in vain');
sql(q{SELECT fairsched_preempt(job_id, 'resource_constraint', 'cpu') FROM fairsched.running_jobs WHERE workspace = 'hog'});
is(sql($answer), '1', 'P3 stops by hand');
sql(q{SELECT fairsched_evaluate_preemption()});
is(sql($preempted), '1', 'stopped work stays so while a higher class waits for the resource');
sql(q{SELECT fairsched_cancel(job_id) FROM fairsched.jobs WHERE workspace = 'big' AND state = 'available'});
ok($node->poll_query_until('postgres', "SELECT fairsched_evaluate_preemption() IS NOT NULL AND ($preempted) = 0"),
  'and goes on after that');

# A job that has not run long enough is asked as soon as it has.
sql(q{SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs});
sql(q{SELECT fairsched_cancel(job_id) FROM fairsched.jobs});
sql(q{TRUNCATE fairsched.preemption_history});
sql(q{ALTER SYSTEM SET fairsched.preemption_min_runtime = '1s'});
$node->reload;
$node->poll_query_until('postgres', q{SELECT current_setting('fairsched.preemption_min_runtime') = '1s'}) or die;
put('hog', 'P3', 10);
take(100);
put('rush', 'P0', 1);
is(take(1), '', 'refused');
ok($node->poll_query_until('postgres', $asked, '1'), 'asked when it has run long enough');
is(sql(q{SELECT bool_and(h.requested_at - r.claimed_at >= '1s') FROM fairsched.preemption_history h
  JOIN fairsched.running_jobs r USING (job_id)}), 't', 'not before');

# The room is given up when its time is over.
sql(q{ALTER SYSTEM SET fairsched.preemption_hold = '100ms'; });
sql(q{ALTER SYSTEM SET fairsched.preemption_grace = '100ms'; });
sql(q{ALTER SYSTEM SET fairsched.preemption_min_runtime = 0});
$node->restart;
sql(q{SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs});
sql(q{SELECT fairsched_cancel(job_id) FROM fairsched.jobs});
put('hog', 'P3', 11);
take(100);
put('rush', 'P0', 1);
sql(q{SELECT fairsched_enqueue('rush', priority => 'P0', resources => '{"cpu": 1}')});
is(take(1), '', 'refused');
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM fairsched.jobs WHERE state = 'preempted'}), 'room is made');
sql(q{SELECT fairsched_pause_workspace('rush')});
ok($node->poll_query_until('postgres', q{SELECT kept = 0 FROM fairsched.capacity_status WHERE resource = 'cpu'}),
  'nobody takes it in time: it is given up');
is(take(1), 'hog P3', 'to whoever waits');

# Restart: what is held, and what the fleet has, is as it was.
my $fleet = q{SELECT capacity, used FROM fairsched.capacity_status WHERE resource = 'cpu'};
$node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM fairsched.preemption_history WHERE outcome = 'requested')}) or die;
my $before;
$node->poll_query_until('postgres', q{SELECT bool_and(ok) FROM fairsched_check()}) or die;
$before = sql($fleet);
$node->stop('immediate');
$node->start;
is(sql($fleet), $before, 'after a crash the fleet holds what it held');
fs_check_ok($node, 'counters equal the rows');
$node->stop;
done_testing();
