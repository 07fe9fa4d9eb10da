# Counters under load, with claims that write nothing: the test for durable ones, once more.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;

$ENV{FAIRSCHED_SOFT_CLAIMS} = 1;
require "$FindBin::RealBin/060_claim_stats.pl";
