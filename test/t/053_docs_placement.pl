# docs/placement.md, run as it is written: each block of SQL, and what it says comes out. The scorer in it is the one to adapt.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.worker_timeout' => '1h' });
my $text = slurp_file("$FindBin::RealBin/../../docs/placement.md");
my @blocks;

while ($text =~ /^```sql\n(.*?)^```\n(?:```text\n(.*?)^```\n)?/msg)
{
  push @blocks, [ $1, $2 ];
}
cmp_ok(scalar @blocks, '>', 10, 'it has blocks of SQL');
foreach my $block (@blocks)
{
  my ($sql, $want) = @$block;
  my ($first) = split /\n/, $sql;
  my $got;
  my $until = time + $PostgreSQL::Test::Utils::timeout_default;

  # what only reads is repeated: the loop comes a moment later
  while (1)
  {
    $got = $node->safe_psql('postgres', $sql);
    $got =~ s/^\n+//;
    last if !defined $want || $got eq $want =~ s/\n\z//r || $sql !~ /\A\s*SELECT [^;]* FROM (?:fairsched\.|placement_best)[^;]*;\s*\z/ || time > $until;
    $node->safe_psql('postgres', 'SELECT pg_sleep(0.05)');
  }
  $got =~ s/^\n//mg;
  if (defined $want) { is("$got\n", $want, $first) }
  else { pass($first) }
}
fs_check_ok($node, 'memory equals the rows');
$node->stop;
done_testing();
