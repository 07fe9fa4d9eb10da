# Two-phase commit: refused where it would hold slots, served once it is over where it only enqueues.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main', conf => { max_prepared_transactions => 10 });

$node->safe_psql('postgres', q{
  SELECT fairsched_create_workspace('acme', max_running => 4);
  SELECT fairsched_enqueue_many('acme', array_agg('{}'::jsonb)) FROM generate_series(1, 10);
  CREATE TABLE held AS SELECT * FROM fairsched_claim('w', 2, lease => '10 min');
});
# Jobs that wait for their time, in another workspace: changing one is a change as well.
$node->safe_psql('postgres', q{
  SELECT fairsched_enqueue('timed', run_at => now() + interval '1 day')});
my $running = q{SELECT running, ready FROM fairsched.workspace_status WHERE workspace = 'acme'};
ok($node->poll_query_until('postgres', $running, '2|8'), 'two run, eight wait');

my %refused = (
  claim      => q{SELECT * FROM fairsched_claim('w', 2)},
  complete   => q{SELECT fairsched_complete(job_id, token) FROM held},
  fail       => q{SELECT fairsched_fail(job_id, token, 'x') FROM held},
  release    => q{SELECT fairsched_release(job_id, token) FROM held},
  cancel     => q{SELECT fairsched_cancel(max(job_id)) FROM fairsched.jobs WHERE workspace = 'acme'},
  reschedule => q{SELECT fairsched_reschedule(job_id, now()) FROM fairsched.jobs WHERE workspace = 'timed'},
  later      => q{SELECT fairsched_reschedule(job_id, now() + interval '2 days') FROM fairsched.jobs
    WHERE workspace = 'timed'},
  cancel_later => q{SELECT fairsched_cancel(job_id) FROM fairsched.jobs WHERE workspace = 'timed'},
  savepoint  => q{SAVEPOINT a; SELECT * FROM fairsched_claim('w', 1); RELEASE SAVEPOINT a},
  both       => q{SELECT fairsched_enqueue('acme'); SELECT * FROM fairsched_claim('w', 1)});

foreach my $name (sort keys %refused)
{
  my $error = fs_error($node, "BEGIN; $refused{$name}; PREPARE TRANSACTION 'p';");

  like($error, qr/ERROR:  FS008: /, "$name: PREPARE TRANSACTION is refused");
  like($error, qr/HINT: /, "$name: with a hint");
  is($node->safe_psql('postgres', $running), '2|8', "$name: and leaves no trace");
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_prepared_xacts'), '0', 'nothing is prepared');
is($node->safe_psql('postgres', q{BEGIN; SELECT count(*) FROM fairsched_claim('w', 9); ROLLBACK}),
  '2', 'the slots are free');

# A claim that a savepoint took back is no obstacle.
is(fs_error($node, q{BEGIN; SAVEPOINT a; SELECT * FROM fairsched_claim('w', 1);
  ROLLBACK TO a; SELECT fairsched_enqueue('acme'); PREPARE TRANSACTION 'p0';}), '',
  'a claim rolled back to a savepoint does not count');
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'p0'});

# Enqueues: each in a workspace of its own, ended from other sessions.
sub prepare
{
  my ($name) = @_;
  $node->safe_psql('postgres', qq{BEGIN; SELECT fairsched_enqueue('$name', lane => 'two');
    INSERT INTO fairsched.inbox (workspace, lane) VALUES ('$name', 'two');
    PREPARE TRANSACTION '$name';});
  return;
}

my $claim = q{SELECT count(*) FROM fairsched_claim('v', 10, lanes => '{two}')};
my $first = q{SELECT string_agg(workspace, ',') FROM fairsched_claim('v', 2, lanes => '{two}')};

prepare($_) foreach qw(kept dropped later);
is($node->safe_psql('postgres', $claim), '0', 'prepared: not served yet');
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'dropped'});
$node->safe_psql('postgres', q{COMMIT PREPARED 'kept'});
ok($node->poll_query_until('postgres', $first, 'kept,kept'), 'COMMIT PREPARED: served');
is($node->safe_psql('postgres', $claim), '0', 'ROLLBACK PREPARED: never');

# Across a crash: one that ends after it, one that is rolled back after it.
prepare('undone');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', $claim), '0', 'after a crash: still in doubt');
$node->safe_psql('postgres', q{COMMIT PREPARED 'later'});
ok($node->poll_query_until('postgres', $first, 'later,later'), 'after a crash: COMMIT PREPARED: served');
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'undone'});
is($node->safe_psql('postgres', $claim), '0', 'after a crash: ROLLBACK PREPARED: never');

is($node->safe_psql('postgres', q{SELECT count(*) FROM held
  WHERE fairsched_complete(job_id, token)}), '2', 'the jobs that were held can be completed');
my @left = fs_drain_all($node);
is(scalar(@left), 8, 'and all others are there, once');
$node->safe_psql('postgres', q{SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs});
fs_check_ok($node, 'fairsched_check finds nothing');

# Other extensions are no business of ours.
$node->safe_psql('postgres', 'CREATE DATABASE plain');
is(fs_error($node, q{BEGIN; DROP EXTENSION plpgsql; CREATE EXTENSION plpgsql; PREPARE TRANSACTION 'other';
  COMMIT PREPARED 'other'}, 'plain'), '', 'CREATE EXTENSION of another extension can be prepared');
like(fs_error($node, q{BEGIN; CREATE EXTENSION fairsched; PREPARE TRANSACTION 'ours'}, 'plain'), qr/FS008/,
  'of this one it cannot');

$node->stop;
done_testing();
