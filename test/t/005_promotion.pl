# A standby hands out nothing; once promoted, its state equals the rows before the first claim.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $primary = fs_node('primary', init => [ allows_streaming => 1 ],
  conf => { max_connections => 30 });
my $request = '11111111-2222-3333-4444-555555555555';
my $claim = qq{SELECT job_id, token, worker, attempt FROM fairsched_claim('w1', 4,
  lease => '10 min', request_id => '$request')};

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

$primary->safe_psql('postgres', q{
  SELECT fairsched_create_workspace('acme', max_running => 4);
  SELECT fairsched_enqueue_many('acme', array_agg('{}'::jsonb)) FROM generate_series(1, 10);
  SELECT fairsched_enqueue_many('beta', array_agg('{}'::jsonb)) FROM generate_series(1, 10);
  SELECT fairsched_enqueue('late', run_at => now() + interval '2 s', lane => 'side');
});
my $claimed = $primary->safe_psql('postgres', $claim);
is(scalar(split /\n/, $claimed), 4, 'four claimed on the primary');
$primary->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w2', 2, lease => '10 min')});
my $query = q{SELECT job_id, workspace, worker, token, attempt FROM fairsched.running_jobs
  ORDER BY job_id};
my $running = $primary->safe_psql('postgres', $query);
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));

my %refused = (
  claim     => q{SELECT * FROM fairsched_claim()},
  enqueue   => q{SELECT * FROM fairsched_enqueue('acme')},
  complete  => q{SELECT fairsched_complete(job_id, 1) FROM fairsched.jobs LIMIT 1},
  wait      => q{CALL fairsched_wait('1 s')},
  workspace => q{SELECT fairsched_create_workspace('new')});

foreach my $name (sort keys %refused)
{
  like(fs_error($standby, $refused{$name}), qr/ERROR:  (25006|55000|FS00.): /,
    "standby: $name is refused");
}
is($standby->safe_psql('postgres', 'SELECT count(*) FROM fairsched.jobs'), '21',
  'standby: the jobs can be read');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity
  WHERE backend_type LIKE 'fairsched%'}), '0', 'standby: no worker runs');

$primary->stop('immediate');
$standby->promote;

is($standby->safe_psql('postgres', $query), $running, 'promoted: the same jobs run');
is($standby->safe_psql('postgres', q{
    SELECT w.workspace, w.running FROM fairsched.workspace_status w
    WHERE w.running > 0 ORDER BY 1}),
  $standby->safe_psql('postgres', q{SELECT workspace, count(*) FROM fairsched.jobs
    WHERE state = 'running' GROUP BY 1 ORDER BY 1}), 'promoted: counters equal the rows');
is($standby->safe_psql('postgres', $claim), $claimed, 'promoted: the request id gives the same jobs');
$standby->safe_psql('postgres', q{CREATE TABLE rest AS
  SELECT * FROM fairsched_claim('w3', 100, lease => '10 min')});
is($standby->safe_psql('postgres', q{SELECT count(*) FROM fairsched.jobs
  WHERE state = 'running' AND workspace = 'acme'}), '4', 'promoted: the ceiling is reached exactly');
is($standby->safe_psql('postgres', q{SELECT count(*), count(DISTINCT job_id)
  FROM fairsched.running_jobs}), '14|14', 'promoted: no job runs twice');

ok(fs_wait_scheduler($standby), 'promoted: a scheduler comes');
ok($standby->poll_query_until('postgres', q{SELECT count(*) = 1
  FROM fairsched.jobs WHERE workspace = 'late' AND state = 'available'}),
  'promoted: a job that was scheduled on the old primary gets ready');

my %done;
$done{$_}++ foreach split /\n/, $standby->safe_psql('postgres', q{SELECT job_id
  FROM fairsched.running_jobs WHERE fairsched_complete(job_id, token)});
$done{$_}++ foreach fs_drain_all($standby, 'postgres', q{max_jobs => 100, lanes => '{default,side}'});
is(join(',', scalar(keys %done), scalar(grep { $_ > 1 } values %done)), '21,0',
  'promoted: every job is done once');

$standby->stop;
done_testing();
