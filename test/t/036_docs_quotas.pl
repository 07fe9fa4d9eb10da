# docs/quotas.md, run as it is written.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use Test::More;

my $node = fs_node('main');

fs_page_ok($node, 'quotas.md', 10, qr/fairsched\./);
$node->stop;
done_testing();
