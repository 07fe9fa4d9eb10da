# DROP DATABASE, RENAME, SET TABLESPACE and TEMPLATE of a database whose scheduler is at work: each
# is refused by PostgreSQL while another session is connected, so the scheduler has to make way.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', created => 0);

$node->safe_psql('postgres', 'CREATE DATABASE one');
$node->safe_psql('one', q{CREATE EXTENSION fairsched;
  SELECT fairsched_create_workspace('acme', max_running => 4);
  SELECT fairsched_enqueue_many('acme', array_agg('{}'::jsonb)) FROM generate_series(1, 10);
  CREATE TABLE held AS SELECT * FROM fairsched_claim('w', 3, lease => '10 min');
});
ok(fs_wait_scheduler($node, 'one'), 'a scheduler is connected');

# RENAME: the same database under another name.
is(fs_error($node, 'ALTER DATABASE one RENAME TO two'), '', 'ALTER DATABASE RENAME');
is($node->safe_psql('two', q{SELECT sum(running) FROM fairsched.workspace_status}), '3',
  'renamed: what ran still runs');
is($node->safe_psql('two', q{SELECT fairsched_complete(job_id, token) FROM held LIMIT 1}), 't',
  'renamed: with its token');
ok(fs_wait_scheduler($node, 'two'), 'renamed: the scheduler comes back');

# TEMPLATE: a copy with a state of its own.
is(fs_error($node, 'CREATE DATABASE copy TEMPLATE two'), '', 'CREATE DATABASE TEMPLATE');
ok(fs_wait_scheduler($node, 'two'), 'template: the scheduler comes back');
ok(fs_wait_scheduler($node, 'copy'), 'template: the copy gets one of its own');
my @ids = fs_drain_all($node, 'copy', q{worker => 'd', max_jobs => 2});
is(scalar(@ids), 7, 'template: what was ready can be claimed in the copy');
is($node->safe_psql('two', 'SELECT count(*) FROM fairsched.jobs'), '9',
  'template: the original has all of its jobs');
is($node->safe_psql('two', q{SELECT count(*) FROM fairsched_claim('w', 10, lease => '10 min')}),
  '2', 'template: and its own ceiling');
fs_check_ok($node, 'template: fairsched_check finds nothing in the copy', 'copy');

# SET TABLESPACE: the files move.
my $dir = $node->basedir . '/space';
mkdir $dir;
$node->safe_psql('postgres', "CREATE TABLESPACE space LOCATION '$dir'");
ok(fs_wait_scheduler($node, 'copy'), 'a scheduler is connected to the copy');
is(fs_error($node, 'ALTER DATABASE copy SET TABLESPACE space'), '', 'ALTER DATABASE SET TABLESPACE');
$node->safe_psql('copy', q{SELECT fairsched_enqueue('acme')});
is($node->safe_psql('copy', 'SELECT workspace FROM fairsched_claim()'), 'acme', 'moved: it works');
ok(fs_wait_scheduler($node, 'copy'), 'moved: the scheduler comes back');

# DROP: no FORCE needed, and the name can be used again at once.
is(fs_error($node, 'DROP DATABASE copy'), '', 'DROP DATABASE');
ok(fs_wait_scheduler($node, 'two'), 'a scheduler is connected');
is(fs_error($node, 'DROP DATABASE two'), '', 'DROP DATABASE with running jobs');
is(fs_error($node, 'CREATE DATABASE two'), '', 'and the name is free');
$node->safe_psql('two', q{CREATE EXTENSION fairsched; SELECT fairsched_enqueue('acme')});
is($node->safe_psql('two', 'SELECT workspace FROM fairsched_claim()'), 'acme',
  'a new database of the old name starts from nothing');

# A command that fails must not leave the database without its scheduler.
my $guest = fs_session($node, 'two');
ok(fs_wait_scheduler($node, 'two'), 'a scheduler is connected');
like(fs_error($node, 'DROP DATABASE two'), qr/ERROR:  55006: /,
  'somebody else is connected: DROP DATABASE fails');
$guest->quit;
ok(fs_wait_scheduler($node, 'two'), 'and the scheduler is there again');
is(fs_error($node, 'DROP DATABASE two'), '', 'DROP DATABASE once the guest has left');

# Slots of databases are given back: more databases in turn than fit at once.
foreach my $round (1 .. 12)
{
  $node->safe_psql('postgres', 'CREATE DATABASE brief');
  my $error = fs_error($node, q{CREATE EXTENSION fairsched; SELECT fairsched_enqueue('acme');
    SELECT fairsched_claim()}, 'brief');
  $error .= fs_error($node, 'DROP DATABASE brief');
  next if $error eq '' && $round < 12;
  is($error, '', "a short life, $round times");
  last;
}

$node->stop;
done_testing();
