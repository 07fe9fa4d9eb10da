# Large payloads, checkpoints and results go all the way; what jsonb cannot hold (256 MB) is refused by
# PostgreSQL before it reaches us, and counters stay right.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.completed_retention' => "'1d'" });
my $mb = 1024 * 1024;

sub big
{
  my ($bytes) = @_;

  return "jsonb_build_object('a', repeat('x', $bytes))";
}

# 64 MB through every step; the length is computed in the server.
my $job = $node->safe_psql('postgres', "SELECT job_id FROM fairsched_enqueue('big', @{[ big(64 * $mb) ]})");
my ($token, $length) = @{ (fs_rows($node, q{SELECT token, octet_length(payload->>'a')
  FROM fairsched_claim('w', lease => '10 min')}))[0] };
is($length, 64 * $mb, 'a payload of 64 MB is claimed whole');
is($node->safe_psql('postgres', "SELECT fairsched_checkpoint($job, $token, @{[ big(64 * $mb) ]})"),
  'continue', 'a checkpoint of 64 MB is saved');
is($node->safe_psql('postgres', "SELECT fairsched_release($job, $token)"), 't', 'the job goes back');
is($node->safe_psql('postgres', q{SELECT fairsched_isolate_workspace('big')}), '1',
  'it is moved to another table');
($token, $length, my $checkpoint) = @{ (fs_rows($node, q{SELECT token, octet_length(payload->>'a'),
  octet_length(checkpoint->>'a') FROM fairsched_claim('w', lease => '10 min')}))[0] };
is("$length $checkpoint", join(' ', 64 * $mb, 64 * $mb), 'and claimed again, whole, with its checkpoint');
is($node->safe_psql('postgres', "SELECT fairsched_complete($job, $token, @{[ big(64 * $mb) ]})"), 't',
  'a result of 64 MB is kept');
is($node->safe_psql('postgres', "SELECT octet_length(result->>'a'), octet_length(checkpoint->>'a')
  FROM fairsched_job_status($job)"), join('|', 64 * $mb, 64 * $mb), 'and found in the history');

# Beyond what jsonb, an array or a row can hold.
my %beyond = (
  'payload'  => "SELECT fairsched_enqueue('big', @{[ big(256 * $mb) ]})",
  'payloads' => "SELECT fairsched_enqueue_many('big', array_fill(@{[ big(10 * $mb) ]}, ARRAY[110]))",
  'result'   => "SELECT fairsched_complete($job, 1, @{[ big(256 * $mb) ]})",
  'repeat'   => "SELECT fairsched_enqueue('big', @{[ big(1024 * $mb) ]})");
foreach my $name (sort keys %beyond)
{
  like(fs_error($node, $beyond{$name}), qr/ERROR:  54000: /, "$name: larger than fits is refused");
}

# In one statement with what is right: all or nothing.
like(fs_error($node, "INSERT INTO fairsched.inbox (workspace, payload) SELECT 'big',
  jsonb_build_object('a', repeat('x', n * 64 * $mb)) FROM generate_series(1, 4) n"), qr/54000/,
  'some that fit before one that does not');
is($node->safe_psql('postgres', q{SELECT ready, scheduled, running FROM fairsched.workspace_status}),
  '0|0|0', 'none of them is there');

# A large payload in a transaction that claims others: an error leaves slots and deficits right.
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('small')});
like(fs_error($node, "BEGIN; SELECT count(*) FROM fairsched_claim('w');
  SELECT fairsched_enqueue('big', @{[ big(256 * $mb) ]})"), qr/54000/, 'an error after a claim');
is($node->safe_psql('postgres', q{SELECT workspace FROM fairsched_claim('w')}), 'small',
  'the claim is undone');
fs_check_ok($node, 'fairsched_check finds nothing');

$node->stop;
done_testing();
