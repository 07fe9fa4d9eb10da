# Reasoning quality against a slow reading of the same rules with regular expressions: every score, count and
# recommendation of random texts, also where case and letters are not ASCII.
use strict;
use warnings FATAL => 'all';
use utf8;
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use Encode ();
use List::Util qw(max min sum0);
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.background_workers' => 'off' });

# ---------- the rules ----------

my $in = '[\p{L}\p{N}\p{M}_]';
# a phrase as whole words, or where a word begins with it
sub whole { return "(?<!$in)(?:" . join('|', map { s/ /\\s+/gr } @_) . ")(?!$in)" }
sub begins { return "(?<!$in)(?:" . join('|', map { s/ /\\s+/gr } @_) . ')' }

my $step = begins(qw(first second third next then therefore thus consequently because since step), 'as a result');
my $concludes = whole(qw(therefore thus consequently), 'in conclusion', 'as a result', 'in summary', 'to sum up');
my $justifies = whole(qw(because since as considering), 'due to', 'given that', 'based on');
my $hedge = whole(qw(maybe perhaps possibly might), 'could be', 'seems like');
my @contradictions = (whole('however') . '.*' . whole(qw(but although though)),
  whole(qw(not never no)) . '.*' . whole(qw(always must definitely)),
  whole('both') . '.*' . whole(qw(and but)) . '.*' . whole('neither'));
my %phase = (
  plan => [ 'requirement', 'user story', 'feature', 'goal', 'objective' ],
  design => [ qw(architecture api endpoint schema model) ],
  build => [ qw(implement code function class module) ],
  test => [ qw(test assert validate verify coverage) ],
  deploy => [ qw(deploy release production environment) ]);

# expected: what the rules say of a text.
sub expected
{
  my ($text, $goal, $phase) = @_;
  my @sentences = grep { $_ ne '' } map { s/^\s+|\s+$//gr } split /[.!?]/, $text;
  my $n = @sentences;
  my $marked = grep { /$step/i } @sentences;
  my $steps = max($marked, $n / 3);
  my $mean = $n ? sum0(map { length } @sentences) / $n : 0;
  my $depth = min($steps / 5, 1) * 0.5 + (grep({ /$concludes/i } @sentences) ? 0.2 : 0)
    + (grep({ /$justifies/i } @sentences) ? 0.2 : 0) + ($mean > 50 ? 0.1 : 0);

  my %words = map { lc($_) => 1 } grep { length > 3 } ($goal // '') =~ /$in+/g;
  my $issues = grep { my $c = $_; grep { /$c/is } @sentences } @contradictions;
  my $hedges = sum0(map { scalar(() = /$hedge/gi) } @sentences);
  $issues++ if $hedges > 3;
  my $any = %words ? begins(map { quotemeta } sort keys %words) : '';
  my $off = %words ? grep({ length > 50 && !/$any/i } @sentences) : 0;
  my $coherence = max(1 - 0.15 * $issues - 0.1 * $off, 0);

  my $found = grep { my $w = begins(quotemeta); grep { /$w/i } @sentences } keys %words;
  my $of = $phase{ lc($phase // '') };
  my $met = grep { my $w = begins($_); grep { /$w/i } @sentences } @{ $of || [] };
  my $given = ($goal // '') =~ /\S/ || ($phase // '') =~ /\S/;
  my $relevance = !$given ? 0.8 : 0.6 * (%words ? $found / keys %words : 0.5) + 0.4 * ($of ? $met / @$of : 0.5);

  my $overall = 0.35 * $depth + 0.35 * $coherence + 0.30 * $relevance;
  my $tokens = int(length($text) / 4);
  my $least = min($depth, $coherence, $relevance, $overall);
  my $what = $tokens > 2000 ? 'fallback' : $least < 0.3 - 1e-9 ? 'reject' : $least < 0.6 - 1e-9 ? 'review' : 'pass';

  return ([ $depth, $coherence, $relevance, $overall ],
    join('|', $tokens, $what, max($marked, int(($n + 2) / 3)), $issues, $off));
}

# ---------- random texts ----------

my @vocabulary = (qw(first Second latest then THUS thusly because as a result results in conclusion summary to sum up due
    given that considering based on however but although though not never no nothing always must mustard definitely both and
    neither maybe perhaps possibly might could be seems like step stepwise user story testing contest api rapid models payment
    payments repayment ledger x the a_result 42 implementation verification goal environments producer deploy releases covered
    Größe größer ÜBERALL überall Ведомость ведомости платежа élan ÉLAN 日本語 naïve),
  'in summary', 'As  a result', "could\nbe", 'user story', 'we look at every single one of the invoices that were sent this month');
my @gaps = ((' ') x 6, '  ', "\n", ', ', '-', "'", '. ', '! ', '?', '... ', ' (', ' . ', '; ');
my @goals = (undef, '', ' ', 'to do it', 'The Payment; a ledger, payment IMPLEMENTATION', 'größe ÜBERALL Ведомость', 'élan 日本語日本語 naïve goal');
my @phases = (undef, undef, 'plan', 'Design', 'build', 'TEST', 'deploy', 'other');
my $seed = 20261121;
# rnd: of a generator of its own, so that what fails once fails always.
sub rnd { $seed = ($seed * 1103515245 + 12345) % 2147483648; return int($seed / 65536) % $_[0] }

my $q = sub { my ($s) = @_; return 'NULL' unless defined $s; return "E'" . ($s =~ s/([\\'])/\\$1/gr =~ s/\n/\\n/gr) . "'" };
my (@rows, @values);
foreach my $i (0 .. 1499)
{
  my $text = '';

  $text .= $vocabulary[ rnd(scalar @vocabulary) ] . $gaps[ rnd(scalar @gaps) ] foreach 1 .. rnd($i % 100 ? 60 : 1800);
  push @rows, [ $text, $goals[ rnd(scalar @goals) ], $phases[ rnd(scalar @phases) ] ];
  # a phase of blanks is refused, so none is made; the goal may be anything
  push @values, "($i, " . join(', ', map { $q->($_) . '::text' } @{ $rows[-1] }) . ')';
}
my $sql = "SET client_encoding = 'UTF8'; SELECT n, depth_score, coherence_score, relevance_score, overall_score,
  tokens, recommendation, reasoning_steps, logical_issues, off_topic_segments
  FROM (VALUES " . join(",\n", @values) . ") v (n, reasoning, goal, phase)
  CROSS JOIN LATERAL fairsched_score_deliberation(v.reasoning, goal => v.goal, phase => v.phase) ORDER BY n";
my @got = split /\n/, $node->safe_psql('postgres', Encode::encode('UTF-8', $sql));
my (@wrong, %seen);

is(scalar @got, scalar @rows, 'each text has its scores');
foreach my $line (@got)
{
  my ($i, @figures) = split /\|/, $line;
  my ($scores, $rest) = expected(@{ $rows[$i] });

  $seen{ $figures[5] }++;
  push @wrong, "text $i: " . join('|', @figures) . ", not " . join('|', @$scores) . "|$rest"
    if join('|', @figures[ 4 .. 8 ]) ne $rest || grep { abs($figures[$_] - $scores->[$_]) > 0.005 + 1e-9 } 0 .. 3;
}
is(join("\n", splice @wrong, 0, 5), '', 'every score, count and recommendation is what the rules say');
cmp_ok($seen{$_} // 0, '>', 3, "some are for: $_") foreach qw(pass review reject fallback);

$node->stop;
done_testing();
