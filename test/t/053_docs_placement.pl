# docs/placement.md, run as it is written. The scorer in it is the one to adapt.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.worker_timeout' => '1h' });

fs_page_ok($node, 'placement.md', 10, qr/(?:fairsched\.|placement_best)/);
$node->stop;
done_testing();
