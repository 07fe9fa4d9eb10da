# docs/quotas.md, run as written.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('page');
my $page = slurp_file("$FindBin::RealBin/../../docs/quotas.md");
my @sql = $page =~ /```sql\n(.*?)```/sg;

cmp_ok(scalar @sql, '>', 7, 'the page has commands');
my ($rc, $out, $err) = $node->psql('postgres', join("\n", @sql), on_error_stop => 1);
is($rc, 0, 'they all succeed');
is($err, '', 'without a complaint');
like($out, qr/^waiting_for_resources\|cpu 2\.25 of 2$/m, 'they show what the page says');
like($out, qr/^quota_cpu\|refuse\|1\.5\|2\|/m, 'the explanation too');
is($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched.quota_violations
  WHERE workspace = 'acme' AND resource = 'cpu' AND action = 'reject' AND severity = 'medium'}), 1, 'and the violation is written');
$node->stop;
done_testing();
