# Retention drops whole partitions of history, each outcome after its own time, and nothing younger.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main',
  conf => { 'fairsched.completed_retention' => "'2d'", 'fairsched.dead_retention' => "'30d'" });

# finish: one completed, one discarded and one cancelled job; the ids.
sub finish
{
  my $ids = $node->safe_psql('postgres', q{
    SELECT array_to_string(fairsched_enqueue_many('acme', ARRAY['{}', '{}', '{}']::jsonb[]), ',')});
  my ($completed, $discarded, $cancelled) = split /,/, $ids;

  $node->safe_psql('postgres', qq{
    CREATE TEMP TABLE c AS SELECT * FROM fairsched_claim('w', 2);
    SELECT fairsched_complete(job_id, token, '{"ok": true}') FROM c WHERE job_id = $completed;
    SELECT fairsched_fail(job_id, token, 'no', discard => true) FROM c WHERE job_id = $discarded;
    SELECT fairsched_cancel($cancelled)});
  return ($completed, $discarded, $cancelled);
}

my @new = finish();
is($node->safe_psql('postgres', q{SELECT state, count(*) FROM fairsched.job_history
  GROUP BY state ORDER BY state}), "cancelled|1\ncompleted|1\ndiscarded|1",
  'each end is in the history');
is($node->safe_psql('postgres', "SELECT state, result FROM fairsched_job_status($new[0])"),
  'completed|{"ok": true}', 'a completed job is found with its result');

# Old days, made as the extension makes them, with a job each.
my %day = (completed => [ 1, 4, 9 ], dead => [ 4, 29, 35 ]);
foreach my $outcome (sort keys %day)
{
  foreach my $age (@{ $day{$outcome} })
  {
    $node->safe_psql('postgres', qq{
      SELECT fairsched.make_day_partition('job_history_$outcome', (now() AT TIME ZONE 'UTC')::date - $age);
      CREATE TEMP TABLE h AS SELECT * FROM fairsched.job_history WHERE outcome = '$outcome'
        AND worker IS DISTINCT FROM 'old' LIMIT 1;
      UPDATE h SET job_id = 1000 + $age, finished_at = finished_at - interval '$age days',
        worker = 'old';
      INSERT INTO fairsched.job_history SELECT * FROM h});
  }
}
my $old = q{SELECT string_agg(outcome || (job_id - 1000), ',' ORDER BY outcome, job_id)
  FROM fairsched.job_history WHERE worker = 'old'};
my $partitions = q{SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent IN ('fairsched.job_history_completed'::regclass,
                        'fairsched.job_history_dead'::regclass)};
is($node->safe_psql('postgres', $old),
  'completed1,completed4,completed9,dead4,dead29,dead35', 'history of several days');
my $before = $node->safe_psql('postgres', $partitions);
# Events of budgets: those that were resolved long ago.
$node->safe_psql('postgres', q{INSERT INTO fairsched.budget_events (budget, event_type, total, spent, remaining, percent_used, action, jobs_affected, classes_preempted, occurred_at, resolved_at)
  SELECT 'b' || n, 'warn', 1, 1, 0, 100, 'alert', 0, '{}', now() - n * interval '1 day', now() - resolved * interval '1 day' FROM (VALUES (500, 401), (501, 399), (399, 10), (502, NULL)) v(n, resolved)});
# It is looked at when the server has started, and then now and again.
$node->restart;
ok($node->poll_query_until('postgres', $old, 'completed1,dead4,dead29'),
  'what is past its retention goes, each outcome by its own');
ok($node->poll_query_until('postgres', q{SELECT string_agg(budget, ',' ORDER BY budget) FROM fairsched.budget_events}, 'b399,b501,b502'),
  'events of budgets go 400 days after they were resolved');
cmp_ok($node->safe_psql('postgres', $partitions), '<=', $before - 3 + 10, 'partitions are left');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class c JOIN pg_namespace n
  ON n.oid = c.relnamespace WHERE n.nspname = 'fairsched' AND c.relkind = 'r'
    AND c.relname ~ to_char((now() AT TIME ZONE 'UTC')::date - 35, 'YYYYMMDD')}), '0',
  'the partition itself is gone, not only its rows');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.job_history
  WHERE worker IS DISTINCT FROM 'old'}), '3', 'nothing younger is touched');
ok($node->poll_query_until('postgres', q{SELECT last_error IS NULL AND last_run IS NOT NULL
  AND next_run > now() FROM fairsched.maintenance_status WHERE task ~ 'retention'}),
  'maintenance_status says so');

# 0: completed jobs are deleted, dead ones are kept all the same.
$node->append_conf('postgresql.conf', 'fairsched.completed_retention = 0');
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT current_setting('fairsched.completed_retention') = '0'}),
  'retention of completed jobs switched off');
@new = finish();
is($node->safe_psql('postgres', "SELECT count(*) FROM fairsched.job_history WHERE job_id = $new[0]"),
  '0', 'a completed job is deleted');
is($node->safe_psql('postgres', "SELECT count(*) FROM fairsched.job_history
  WHERE job_id IN ($new[1], $new[2])"), '2', 'a discarded and a cancelled one are kept');

# The number of a dropped workspace's table leads to its dead jobs as long as they are kept, and is free then.
my $gone = $node->safe_psql('postgres', q{
  SELECT fairsched_create_workspace('gone', own_table => true);
  SELECT job_id FROM fairsched_enqueue('gone')}) =~ s/\s//gr;
$node->safe_psql('postgres', "SELECT fairsched_cancel($gone); SELECT fairsched_drop_workspace('gone')");
$node->restart;
my $ran = q{SELECT last_run > pg_postmaster_start_time() FROM fairsched.maintenance_status WHERE task = 'retention'};
ok($node->poll_query_until('postgres', $ran), 'retention ran');
is($node->safe_psql('postgres', "SELECT state FROM fairsched_job_status($gone)"), 'cancelled',
  'a job of a dropped workspace is found');
my $numbers = q{SELECT count(*) FROM fairsched.job_tables WHERE dropped_at IS NOT NULL};
is($node->safe_psql('postgres', $numbers), '1', 'the number of its table is taken');
$node->safe_psql('postgres', "DELETE FROM fairsched.job_history WHERE job_id = $gone");
$node->restart;
ok($node->poll_query_until('postgres', $numbers, '0'), 'and free when its history is gone');

$node->stop;
done_testing();
