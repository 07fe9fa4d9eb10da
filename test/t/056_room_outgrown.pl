# Room is made for a job that is less urgent then: whoever claims next finds out, without a scheduler.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => {
  'fairsched.background_workers'     => 'off',
  'fairsched.preemption_min_runtime' => 0 });

sub ask { return $node->safe_psql('postgres', $_[0]) }
sub put { return ask("SELECT job_id FROM fairsched_enqueue('$_[0]', priority => '$_[1]', resources => '{\"gpu\": 1}')") }
sub take { return ask(q{SELECT workspace, priority FROM fairsched_claim('w', lease => '1 h')}) }

ask(q{SELECT fairsched_set_capacity('gpu', 1)});
put('low', 'P3');
is(take(), 'low|P3', 'the fleet is full');
put('high', 'P3');
my $urgent = put('high', 'P0');
put('mid', 'P2');
is(take(), '', 'others wait');
is(ask('SELECT fairsched_evaluate_preemption()'), 1, 'one is asked to make room');
my $kept = q{SELECT kept FROM fairsched.capacity_status WHERE resource = 'gpu'};
is(ask($kept), 1, 'its room is kept');
ask("SELECT fairsched_assign_priority($urgent, 'P3')");
is(take(), '', 'there is nothing yet');
is(ask($kept), 0, 'who is less urgent now, and looks, has no room');
is(ask(q{SELECT fairsched_yield(job_id, token, '{}') FROM fairsched.running_jobs}), 't', 'and does');
is(take(), 'mid|P2', 'the next claim takes what is most urgent now');

# the same where it is cancelled, and nobody looks before there is room
ask('SELECT count(fairsched_cancel(job_id)) FROM fairsched.jobs');
put('low', 'P3');
is(take(), 'low|P3', 'the fleet is full again');
put('high', 'P3');
$urgent = put('high', 'P0');
put('mid', 'P2');
is(take(), '', 'others wait again');
is(ask('SELECT fairsched_evaluate_preemption()'), 1, 'one is asked again');
ask("SELECT fairsched_cancel($urgent)");
is(ask(q{SELECT fairsched_yield(job_id, token, '{}') FROM fairsched.running_jobs}), 't', 'it makes room');
is(take(), 'mid|P2', 'whoever claims finds out, and takes what is most urgent');
is(ask($kept), 0, 'no room is kept');

# and where it is less urgent, and nobody looks before there is room: it is not for what is left of it
ask('SELECT count(fairsched_cancel(job_id)) FROM fairsched.jobs');
put('low', 'P3');
is(take(), 'low|P3', 'full once more');
$urgent = put('high', 'P0');
put('mid', 'P2');
is(take(), '', 'others wait once more');
is(ask('SELECT fairsched_evaluate_preemption()'), 1, 'one is asked once more');
ask("SELECT fairsched_assign_priority($urgent, 'P3')");
is(ask(q{SELECT fairsched_yield(job_id, token, '{}') FROM fairsched.running_jobs}), 't', 'it makes room, too');
is(take(), 'mid|P2', 'the most urgent has it');
fs_check_ok($node, 'memory equals the rows');
$node->stop;
done_testing();
