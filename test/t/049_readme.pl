# The example of README.md, run as it is written: what it says it prints is what comes out.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $readme = slurp_file("$FindBin::RealBin/../../README.md");
my ($example) = $readme =~ /^## An example\n(.*?)^## /ms or BAIL_OUT('README.md has no example');
my ($sql, $printed) = $example =~ /^```sql\n(.*?)^```\n.*?^```\n(.*?)^```/ms or BAIL_OUT('nor what it prints');

my $node = fs_node('readme', created => 0);
my ($rc, $out, $err) = (0, '', '');

# as psql prints it, which safe_psql does not
IPC::Run::run([ 'psql', '-X', '-P', 'footer=off', '-d', $node->connstr('postgres') ], '<', \$sql, '>', \$out, '2>', \$err)
  or $rc = $?;
is($rc . $err, '0', 'it runs');

sub lines
{
  return join "\n", grep { $_ ne '' } map { s/\s+$//r } split /\n/, $_[0];
}
my $from = index $out, ' workspace | count';
cmp_ok($from, '>', 0, 'the fifth statement prints');
is(lines(substr $out, $from), lines($printed), 'and so on, as it says');

# Every setting of the table is one, with that default, and all are there.
my %default;
while ($readme =~ /^\| `fairsched\.([a-z_]+)`(?:, `_([a-z]+)`, `_([a-z]+)`(?:, `_([a-z]+)`)?)? \| ([^|]+) \|/mg)
{
  my ($first, @more) = ($1, grep { defined } $2, $3, $4);
  my @defaults = split /, /, $5;
  my ($stem) = $first =~ /^(.*_)/;

  # deliberation_min_depth, _coherence: what they have in common is before and behind
  $stem = 'deliberation_min_' if $first =~ /^deliberation_min_/;
  my @names = ($first, map { /_/ ? "deliberation_$_" : $first =~ /_weight$/ ? "deliberation_${_}_weight" : $stem . $_ } @more);
  @defaults = ($defaults[0]) x @names if @defaults == 1;
  $default{ $names[$_] } = $defaults[$_] foreach 0 .. $#names;
}
my %real = map { $_->[0] => $_->[1] } fs_rows($node, q{SELECT substr(name, 11), boot_val FROM pg_settings WHERE name LIKE 'fairsched.%'});
my %unsaid = map { $_ => 1 } grep { !exists $default{$_} && !/^deliberation_/ } keys %real;
is(join(' ', sort keys %unsaid), '', 'every setting is in the table');
is(join(' ', grep { !exists $real{$_} && !/^deliberation_/ } sort keys %default), '', 'which has no others');
is(join(' ', grep { exists $real{$_} && $default{$_} !~ /^\Q$real{$_}\E(?: \(|$)/ } sort keys %default), '', 'with their defaults');

$node->stop;
done_testing();
