# Scheduled jobs: not before run_at, soon after it; rescheduled, released and cancelled ones too.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main');
my $state = q{SELECT state FROM fairsched_job_status};

# enqueue: the id of a job that is due in $in.
sub enqueue
{
  my ($lane, $in) = @_;

  return $node->safe_psql('postgres', qq{SELECT job_id FROM fairsched_enqueue('acme',
    lane => '$lane', run_at => clock_timestamp() + interval '$in')});
}

# claims: a claim of the lane gives exactly this job, and not before it is due.
sub claims
{
  my ($lane, $id, $name) = @_;

  return ok($node->poll_query_until('postgres', qq{
    SELECT c.job_id = $id AND clock_timestamp() >= j.run_at
    FROM fairsched_claim('w', 1, lanes => '{$lane}') c
    JOIN fairsched.jobs j USING (job_id)}), $name);
}

my $claim = q{SELECT count(*) FROM fairsched_claim('w', 10, lanes => };

my $far = enqueue('far', '1 day');
is($node->safe_psql('postgres', "$state($far)"), 'scheduled', 'a job of the future is scheduled');
is($node->safe_psql('postgres', "$claim '{far}')"), '0', 'and not handed out');
is($node->safe_psql('postgres', q{SELECT ready, scheduled FROM fairsched.workspace_status
  WHERE workspace = 'acme'}), '0|1', 'it counts as scheduled');
claims('soon', enqueue('soon', '700 ms'), 'until it is due');

# Nobody calls anything: the worker does it by itself.
my $alone = enqueue('alone', '300 ms');
ok($node->poll_query_until('postgres', "SELECT state = 'available' FROM fairsched.jobs
  WHERE job_id = $alone"), 'the scheduler promotes it without a claimer');

my $earlier = enqueue('earlier', '1 day');
$node->safe_psql('postgres', qq{SELECT fairsched_reschedule($earlier,
  clock_timestamp() + interval '300 ms')});
claims('earlier', $earlier, 'rescheduled to be earlier');

my $now = enqueue('now', '1 day');
$node->safe_psql('postgres', "SELECT fairsched_reschedule($now, now())");
is($node->safe_psql('postgres', qq{SELECT job_id FROM fairsched_claim('w', 1, lanes => '{now}')}),
  $now, 'rescheduled to now: at once');

my $later = enqueue('later', '0 s');
$node->safe_psql('postgres', qq{SELECT fairsched_reschedule($later, now() + interval '1 day')});
is($node->safe_psql('postgres', "$claim '{later}')"), '0', 'rescheduled to be later');
is($node->safe_psql('postgres', "$state($later)"), 'scheduled', 'it is scheduled');

my $back = enqueue('back', '0 s');
$node->safe_psql('postgres', qq{SELECT fairsched_release(job_id, token,
    clock_timestamp() + interval '1 day')
  FROM fairsched_claim('w', 1, lanes => '{back}')});
is($node->safe_psql('postgres', "$state($back)"), 'scheduled', 'released for later: it is scheduled');
$node->safe_psql('postgres', qq{SELECT fairsched_reschedule($back, clock_timestamp() + interval '300 ms')});
claims('back', $back, 'and comes back');
is($node->safe_psql('postgres', "SELECT attempt FROM fairsched.jobs WHERE job_id = $back"), '1',
  'on the same attempt');

my $never = enqueue('never', '500 ms');
my $after = enqueue('never', '800 ms');
$node->safe_psql('postgres', "SELECT fairsched_cancel($never)");
claims('never', $after, 'a cancelled job does not come');
is($node->safe_psql('postgres', "$state($never)"), 'cancelled', 'it is cancelled');

# Order of many that are due at once: by time, in their own and in the shared table.
$node->safe_psql('postgres', q{
  SELECT fairsched_create_workspace('own', own_table => true);
  SELECT fairsched_enqueue('own', jsonb_build_object('n', n), lane => 'many',
      run_at => date_trunc('second', clock_timestamp()) + interval '2 s' - n * interval '1 ms')
    FROM generate_series(1, 50) n});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 50 FROM fairsched.jobs
  WHERE workspace = 'own' AND state = 'available'}), 'fifty are promoted');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 100,
  lanes => '{many}')}), '50', 'and claimed, each once');
is($node->safe_psql('postgres', q{SELECT last_error IS NULL AND last_run IS NOT NULL
  FROM fairsched.maintenance_status WHERE task ~ 'promote'}), 't', 'maintenance_status says so');

# Due after a restart, and after a crash, with nobody else about: still the scheduler's business.
foreach my $mode ('fast', 'immediate')
{
  $node->safe_psql('postgres', qq{SELECT fairsched_enqueue('asleep', lane => '$mode', run_at => now() + interval '2 s')});
  $node->stop($mode);
  $node->start;
  ok($node->poll_query_until('postgres', "SELECT state = 'available' FROM fairsched.jobs WHERE lane = '$mode'"), "$mode: and due: it gets ready");
}

$node->stop;
done_testing();
