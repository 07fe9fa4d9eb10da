#!/usr/bin/env perl
# Writes utf8_tables.h from the Unicode data that Perl has:
#
#   perl src/utf8_tables.pl > src/utf8_tables.h
use strict;
use warnings;
use Unicode::UCD qw(prop_invmap);

# table TYPE NAME FORMAT WIDTH ROWS: rows side by side
sub table
{
  my ($type, $name, $format, $width, @rows) = @_;

  print "\nstatic const $type $name\[\] = {\n";
  while (my @line = splice @rows, 0, $width)
  {
    print "\t", join(', ', map { sprintf $format, @$_ } @line), ",\n";
  }
  print "};\n";
}

# Simple case folding: one character to one character.
my ($first, $to) = prop_invmap('Simple_Case_Folding');
my @folds;
for my $i (0 .. $#$first)
{
  next if $to->[$i] eq '0';
  for my $c ($first->[$i] .. ($i < $#$first ? $first->[ $i + 1 ] : 0x110000) - 1)
  {
    my $delta = $to->[$i] - $first->[$i];
    my $last = $folds[-1];

    next if $c < 0x80;
    # neighbours, or every second one, that move by the same distance are one row
    if ($last && $last->[3] == $delta)
    {
      my $stride = $c - $last->[1];

      if ($stride <= 2 && ($last->[0] == $last->[1] || $stride == $last->[2]))
      {
        @$last[ 1, 2 ] = ($c, $stride);
        next;
      }
    }
    push @folds, [ $c, $c, 1, $delta ];
  }
}

# What is assigned and not part of a word; code points not assigned go with their neighbours.
my (@breaks, $breaking);
for my $c (0x80 .. 0xD7FF, 0xE000 .. 0x10FFFF)
{
  next if chr($c) =~ /\p{Unassigned}/;
  my $is_break = chr($c) !~ /[\w\x{200C}\x{200D}]/;

  if ($is_break && $breaking) { $breaks[-1][1] = $c }
  elsif ($is_break) { push @breaks, [ $c, $c ] }
  $breaking = $is_break;
}

printf <<'END', Unicode::UCD::UnicodeVersion();
/*
 * utf8_tables.h
 *		Case folding and word boundaries of Unicode %s beyond ASCII; included
 *		by utf8.c only.  Made by utf8_tables.pl, not by hand.
 */
END
table('Utf8Fold', 'folds', '{0x%04X, 0x%04X, %d, %d}', 4, @folds);
table('Utf8Range', 'breaks', '{0x%04X, 0x%04X}', 5, @breaks);
