# fairsched.notify: listeners are told by the scheduler worker, numbers only, at most once a second and
# channel; never by the session that enqueues or claims. Off by default.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main');
my $listener = fs_session($node);
my @channels = qw(fairsched_ready fairsched_finished fairsched_preemption);

$listener->ask("LISTEN $_") foreach @channels;

# heard: what came until $done says so, as a list of [channel, payload, pid of the sender]
my @heard;

sub heard_until
{
  my ($done) = @_;
  my $until = time + $PostgreSQL::Test::Utils::timeout_default;

  while (time < $until)
  {
    my $out = $listener->ask('SELECT 1');

    push @heard, [ $1, $2, $3 ]
      while $out =~ /notification "(\w+)" with payload "(.*?)" received from server process with PID (\d+)/g;
    return 1 if $done->();
    $node->safe_psql('postgres', 'SELECT pg_sleep(0.05)');
  }
  return 0;
}

sub total
{
  my ($channel, $key) = @_;
  my $sum = 0;

  foreach my $n (@heard)
  {
    $sum += $1 if $n->[0] eq $channel && $n->[1] =~ /"$key": (\d+)/;
  }
  return $sum;
}

sub some_work
{
  $node->safe_psql('postgres', q{SELECT fairsched_enqueue('a') FROM generate_series(1, 30)});
  $node->safe_psql('postgres', q{SELECT fairsched_enqueue('a')}) foreach 1 .. 10;
  my ($row) = fs_rows($node, q{SELECT job_id, token FROM fairsched_claim('w')});
  $node->safe_psql('postgres', "SELECT fairsched_preempt($row->[0], 'manual')");
  $node->safe_psql('postgres', "SELECT fairsched_yield($row->[0], $row->[1], '{}')");
  $node->safe_psql('postgres', "SELECT fairsched_resume_job($row->[0])");
  return fs_drain_all($node);
}

is(some_work(), 40, 'without the setting');
$node->safe_psql('postgres', q{ALTER SYSTEM SET fairsched.notify = on});
$node->reload;
$node->poll_query_until('postgres', q{SELECT current_setting('fairsched.notify') = 'on'}) or die;
$node->safe_psql('postgres', q{BEGIN; SELECT fairsched_enqueue('gone') FROM generate_series(1, 1000); ROLLBACK});
my $scheduler = fs_scheduler_pid($node);
my $begun = $node->safe_psql('postgres', 'SELECT extract(epoch FROM clock_timestamp())');
is(some_work(), 40, 'and with it');
ok(heard_until(sub { total('fairsched_ready', 'ready') >= 41 && total('fairsched_finished', 'finished') >= 41
    && total('fairsched_preemption', 'resumed') >= 1 }), 'listeners are told');
is(total('fairsched_ready', 'ready'), 41, 'what became ready since the setting: 40 jobs, and one again');
is(total('fairsched_finished', 'finished'), 41, 'what ended or was given back');
is(join(' ', map { total('fairsched_preemption', $_) } qw(requested preempted resumed)), '1 1 1', 'preemptions');
is(join(' ', grep { $_ ne $scheduler } map { $_->[2] } @heard), '', 'by the scheduler alone');
is(join(' ', grep { !/^[\{\}"a-z0-9:, ]+$/ } map { $_->[1] } @heard), '', 'payloads are numbers');
cmp_ok(scalar(@heard), '<=', 3 * ($node->safe_psql('postgres', 'SELECT extract(epoch FROM clock_timestamp())') - $begun + 2),
  'few messages for many commits: one a second and channel at most');

# A job for each of many commits in one second: still at most one message a second.
my $before = grep { $_->[0] eq 'fairsched_ready' } @heard;
my $started = $node->safe_psql('postgres', 'SELECT extract(epoch FROM clock_timestamp())');
$node->safe_psql('postgres', q{DO $$ BEGIN FOR i IN 1..2000 LOOP PERFORM fairsched_enqueue('b'); COMMIT; END LOOP; END $$});
ok(heard_until(sub { total('fairsched_ready', 'ready') >= 2041 }), 'all of 2000 commits are counted');
my $took = $node->safe_psql('postgres', 'SELECT extract(epoch FROM clock_timestamp())') - $started;
cmp_ok((grep { $_->[0] eq 'fairsched_ready' } @heard) - $before, '<=', $took + 2, 'in at most a message a second');

$listener->quit;
$node->stop;
done_testing();
