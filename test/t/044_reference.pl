# docs/reference.md says what the catalog says.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Utils;
use Test::More;

my $docs = "$FindBin::RealBin/../../docs";
my $node = fs_node('reference', as_installed => 1);
my ($printed, $errors);

IPC::Run::run(['psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', "$docs/reference.sql"],
  '>', \$printed, '2>', \$errors);
is($errors, '', 'docs/reference.sql runs');
my @have = split /\n/, slurp_file("$docs/reference.md");
my @want = split /\n/, slurp_file("$docs/reference.head.md") . $printed;
my $line = 0;
$line++ while ($line < @have && $line < @want && $have[$line] eq $want[$line]);
is($have[$line], $want[$line], 'docs/reference.md is what "make reference" writes');
unlike($printed, qr/^## Other functions/m, 'every function has its section');
unlike($printed, qr/^\| `[^`]*` \|  \|$/m, 'every column has a comment');
$node->stop;
done_testing();
