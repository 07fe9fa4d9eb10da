# docs/capacity.md, run as it is written: each block of SQL, and what it says comes out.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main');
my $text = slurp_file("$FindBin::RealBin/../../docs/capacity.md");
my @blocks;

while ($text =~ /^```sql\n(.*?)^```\n(?:```text\n(.*?)^```\n)?/msg)
{
  push @blocks, [ $1, $2 ];
}
cmp_ok(scalar @blocks, '>', 5, 'it has blocks of SQL');
# ready is exact once queues have been counted
$node->safe_psql('postgres', 'SELECT fairsched_enqueue(\'first\', lane => \'first\')');
ok($node->poll_query_until('postgres', 'SELECT counted FROM fairsched.database_status'), 'counted');
foreach my $block (@blocks)
{
  my ($sql, $want) = @$block;
  my ($first) = split /\n/, $sql;
  my $got = $node->safe_psql('postgres', $sql);

  if (defined $want) { is((split /\n/, $got)[-1] . "\n", $want, $first) }
  else { pass($first) }
}

# The query to poll needs no right but to read its view.
my ($poll) = $text =~ /## The query to poll\n```sql\n(.*?)```/s;

$node->safe_psql('postgres', 'CREATE ROLE autoscaler; GRANT USAGE ON SCHEMA fairsched TO autoscaler;
  GRANT SELECT ON fairsched.capacity_recommendation TO autoscaler');
like($node->safe_psql('postgres', "SET ROLE autoscaler;\n$poll"), qr/^mail\|1\|0\|backlog$/m, 'an autoscaler with that right alone may ask');

# Every wait event that the page names is one.
if ($node->safe_psql('postgres', 'SHOW server_version_num') >= 170000)
{
  my $session = fs_session($node);

  $session->start(q{SELECT fairsched_claim('w', max_wait => '1 s', lanes => '{nothing}')});
  ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_wait_events WHERE name = 'FairschedLongPoll'}), 'FairschedLongPoll is known');
  $session->finish;
  $session->quit;
}
$node->stop;
done_testing();
