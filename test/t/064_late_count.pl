# Queues are counted while a transaction can be seen by others and has not told memory yet: what it did is
# in the count, and is not added once more when it does.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main');
my $file = $node->basedir . '/late';
my $depths = q{SELECT workspace, ready, scheduled FROM fairsched.workspace_status ORDER BY 1};

$node->safe_psql('postgres', q{CREATE FUNCTION late_commit(text) RETURNS void LANGUAGE c AS '$libdir/fairsched_test_late';
  SELECT count(fairsched_enqueue('a')) FROM generate_series(1, 5)});

foreach my $durable ('on', 'off')
{
  $node->safe_psql('postgres', "ALTER SYSTEM SET fairsched.durable_claims = $durable");
  $node->reload;
  $node->poll_query_until('postgres', "SELECT current_setting('fairsched.durable_claims') = '$durable'") or die;
  my $late = fs_session($node);

  # what others did before and after, and an old transaction that is still open, count as ever
  my $open = fs_session($node);
  $open->ask(q{BEGIN; SELECT fairsched_enqueue('open')});
  my $mine = $late->ask(q{SELECT string_agg(job_id || ', ' || token, ';') FROM fairsched_claim('w', 2, lease => '1 h')});
  my @end = map { "SELECT fairsched_complete($_);" } split /;/, $mine;
  append_to_file($file, 'wait');
  $late->ask("BEGIN; SELECT late_commit('$file'); @end SELECT fairsched_enqueue('b'), fairsched_enqueue('b', run_at => now() + interval '1 day');"
    . q{SELECT fairsched_fail(job_id, token, 'x', retry_in => '1 day') FROM fairsched_claim('w', 1, lease => '1 h')});
  $late->start('COMMIT');
  ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM fairsched.jobs WHERE workspace = 'b' AND run_at > now()
    AND created_at > (SELECT backend_start FROM pg_stat_activity WHERE pid = " . $late->pid . ')'), "durable_claims $durable: its work can be seen");
  is($node->safe_psql('postgres', 'SELECT fairsched.recount()'), 't', "durable_claims $durable: the queues are counted");
  unlink $file;
  $late->finish;
  $open->ask('COMMIT');
  is($node->safe_psql('postgres', $depths), $node->safe_psql('postgres', q{SELECT workspace,
      count(*) FILTER (WHERE state = 'available'), count(*) FILTER (WHERE state <> 'available') FROM fairsched.jobs GROUP BY 1 ORDER BY 1}),
    "durable_claims $durable: the depths are those of the rows");
  fs_check_ok($node, "durable_claims $durable: counters equal the rows");
  $_->quit foreach $late, $open;
}

$node->stop;
done_testing();
