# Each crossing of a threshold throttles once, whatever a crash falls between: the commit that crosses and what the
# scheduler writes of it, a change of the throttle and the next write, the end of one throttle and the next one.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main', init => [ allows_streaming => 1 ], conf => { max_connections => 40 });
my $holder;

# From here on the scheduler cannot write; until the server crashes, or it is let go on.
sub hold
{
  $holder = fs_session($node);
  $holder->ask('BEGIN; LOCK TABLE fairsched.quota_crossings IN SHARE MODE');
  return;
}

sub crash
{
  $node->stop('immediate');
  $holder->gone if $holder;
  undef $holder;
  $node->start;
  return;
}

# What the scheduler wrote of a workspace: the state of its row, and how often it was throttled, or an alert given.
sub written
{
  my ($ws, $wanted, $what, $on) = @_;
  my $sql = qq{SELECT (SELECT string_agg(resource || ' ' || state || CASE WHEN throttled_until IS NULL THEN '' ELSE ' throttled' END, ',' ORDER BY resource) FROM fairsched.quota_crossings WHERE workspace = '$ws'),
    (SELECT string_agg(n, ',' ORDER BY n) FROM (SELECT action || ' ' || sum(occurrences) AS n FROM fairsched.quota_violations WHERE workspace = '$ws' AND action IN ('throttle', 'alert') GROUP BY action) v)};

  ok(($on || $node)->poll_query_until('postgres', $sql, $wanted), "$ws: $what") or diag(($on || $node)->safe_psql('postgres', $sql));
  return;
}

# What was to be written is: the task has run since, and again.
sub settle
{
  my $ran = q{SELECT last_run FROM fairsched.maintenance_status WHERE task = 'admission'};

  foreach my $n (1, 2)
  {
    my $at = $node->safe_psql('postgres', $ran);
    ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM ($ran) r WHERE last_run > '$at'"), 'the scheduler comes');
  }
  return;
}

# Until when it is throttled; '' = it is not.
sub until_when
{
  my ($ws) = @_;

  return $node->safe_psql('postgres', "SELECT DISTINCT throttled_until FROM fairsched.workspace_usage_current WHERE workspace = '$ws'");
}

sub throttled
{
  my ($when, @expected) = @_;

  is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT workspace, ' ' ORDER BY workspace) FROM fairsched.workspace_usage_current WHERE throttled_until IS NOT NULL}),
    join(' ', sort @expected), "$when: who is throttled");
  return;
}

sub use_more
{
  my ($ws, $resource, $amount, @more) = @_;

  $node->safe_psql('postgres', join(', ', "SELECT fairsched_record_usage('$ws', '$resource', $amount)", @more));
  return;
}

sub level
{
  my ($ws, $level) = @_;

  $node->safe_psql('postgres', "SELECT fairsched_record_usage('$ws', 'storage', $level, absolute => true)");
  return;
}

sub claim
{
  my ($ws, $n) = @_;

  return $node->safe_psql('postgres', "SELECT count(*) FROM fairsched_claim('w', $n, lease => '1 h', lanes => '{$ws}')");
}

# ---------- the crash comes before anything is written ----------
my @lost = qw(tokens cost storage);
$node->safe_psql('postgres', q{
  SELECT fairsched_set_throttle(w, true, duration => '2 hours') FROM unnest('{tokens,cost,storage,off,early,two}'::text[]) w;
  SELECT fairsched_set_throttle('gpu', true, 0.5, '2 hours', '{gpu}'), fairsched_set_throttle('alert', false);
  SELECT fairsched_record_usage('early', 'tokens', 95);
  SELECT fairsched_set_quota(w, w, 100) FROM unnest('{tokens,cost,storage}'::text[]) w;
  SELECT fairsched_set_quota(w, 'tokens', 100) FROM unnest('{alert,off}'::text[]) w;
  SELECT fairsched_set_quota('two', r, 100) FROM unnest('{tokens,cost}'::text[]) r;
  SELECT fairsched_set_quota(w, 'gpu', 2) FROM unnest('{gpu,full}'::text[]) w;
  SELECT count(fairsched_enqueue(w, lane => w, resources => CASE WHEN w IN ('gpu', 'full') THEN '{"gpu": 1}' ELSE '{}' END::jsonb))
    FROM unnest('{tokens,cost,storage,off,early,two,gpu,full,alert}'::text[]) w, generate_series(1, 4)});
hold();
$node->safe_psql('postgres', q{SELECT fairsched_set_quota('early', 'tokens', 100)});
use_more($_, $_, 95) foreach @lost;
use_more($_, 'tokens', 95) foreach qw(off alert two);
use_more('two', 'cost', 91);
is(claim('gpu', 1), '1', 'one of two gpus, which is the threshold');
is(claim('full', 2), '2', 'two of two gpus, which nobody watches');
throttled('before', @lost, qw(gpu off two));
my $two = until_when('two');
$node->safe_psql('postgres', q{SELECT fairsched_set_throttle('off', false)});
$node->safe_psql('postgres', q{SELECT fairsched_set_throttle('off', true, duration => '2 hours')});
throttled('one is switched off, and on', @lost, qw(gpu two));
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.quota_violations WHERE action IN ('throttle', 'alert')}), '0', 'nothing is written');
crash();
throttled('crash: what nobody wrote down', @lost, qw(gpu two));
is(claim($_, 1), '0', "crash: $_ gets no jobs") foreach @lost, qw(gpu two);
is(claim($_, 1), '1', "crash: $_ does") foreach qw(off early alert);
written($_, "$_ crossed throttled|throttle 1", 'written now') foreach @lost, 'gpu';
written('alert', 'tokens crossed|alert 1', 'the alert, too');
written('off', 'tokens crossed|', 'had crossed before it was switched off');
written('early', 'tokens above|', 'was above when the quota was set: the next use throttles');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.quota_crossings WHERE workspace = 'full'}), '0', 'nobody watches, nothing is written');
is($node->safe_psql('postgres', q{SELECT actual, quota, severity FROM fairsched.quota_violations WHERE workspace = 'tokens'}), '95|100|low', 'with its figures');

# ---------- it is written: no crash, restart or crash after a crash throttles again, or for another time ----------
my %until = map { $_ => until_when($_) } @lost, qw(gpu two);
$node->safe_psql('postgres', q{SELECT fairsched_set_throttle('tokens', true, duration => '9 hours'), fairsched_set_throttle('cost', true, duration => '1 ms'),
  fairsched_set_throttle('gpu', true, 0.4, '1 min', '{gpu,cpu}')});
written('two', 'cost crossed throttled,tokens crossed throttled|throttle 2', 'both are written');
foreach my $how (qw(immediate fast immediate))
{
  is(until_when($_), $until{$_}, "before $how: $_ is throttled until then") foreach sort keys %until;
  $node->stop($how);
  $node->start;
}
is(until_when($_), $until{$_}, "after: $_ is throttled until then") foreach sort keys %until;
throttled('after', @lost, qw(gpu two));
written($_, "$_ crossed throttled|throttle 1", 'the same violation, not counted again') foreach @lost, 'gpu';
written('early', 'tokens above|', 'not because of a restart');
written('alert', 'tokens crossed|alert 1', 'no second alert');

# ---------- set while use is above, and used then ----------
hold();
use_more('early', 'tokens', 1);
throttled('used', @lost, qw(gpu two early));
crash();
throttled('used, and a crash', @lost, qw(gpu two early));
written('early', 'tokens crossed throttled|throttle 1', 'once');

# ---------- one throttle ends, the other lasts ----------
cmp_ok($two, 'ne', '', 'two resources throttle');
$node->safe_psql('postgres', q{SELECT fairsched_drop_quota('two', 'cost')});
isnt(until_when('two'), '', 'one of two is dropped');
crash();
isnt(until_when('two'), '', 'and a crash: the other lasts');
hold();
$node->safe_psql('postgres', q{SELECT fairsched_drop_quota('two', 'tokens')});
$node->safe_psql('postgres', q{SELECT fairsched_set_quota('two', 'tokens', 100)});
throttled('both dropped', @lost, qw(gpu early));
crash();
throttled('both dropped, and a crash', @lost, qw(gpu early));
written('two', 'tokens above|throttle 2', 'the new quota is crossed by the next use');
$node->safe_psql('postgres', q{BEGIN; DELETE FROM fairsched.workspace_quotas WHERE workspace = 'early';
  INSERT INTO fairsched.workspace_quotas (workspace, resource, quota) VALUES ('early', 'tokens', 100); COMMIT});
throttled('dropped and set by hand at once', @lost, 'gpu');
$node->safe_psql('postgres', q{BEGIN; UPDATE fairsched.workspace_throttles SET enabled = false WHERE workspace = 'cost';
  UPDATE fairsched.workspace_throttles SET enabled = true WHERE workspace = 'cost'; COMMIT});
throttled('off and on by hand at once', qw(tokens storage gpu));
crash();
throttled('by hand, and a crash', qw(tokens storage gpu));

# ---------- below again ----------
is(until_when('storage'), $until{storage}, 'storage is throttled');
level('storage', 10);
written('storage', 'storage below throttled|throttle 1', 'below, and still throttled');
crash();
is(until_when('storage'), $until{storage}, 'also after a crash');
hold();
level('storage', 92);
my $longer = until_when('storage');
cmp_ok($longer, 'gt', $until{storage}, 'it crosses again: throttled for longer');
crash();
cmp_ok(until_when('storage'), 'ge', $longer, 'also after a crash that forgot the second crossing');
written('storage', 'storage crossed throttled|throttle 2', 'which counts');
# a throttle that is over soon: crossed, below, crossed
$node->safe_psql('postgres', q{SELECT fairsched_set_throttle('again', true, duration => '1 ms'), fairsched_set_quota('again', 'storage', 100)});
level('again', 95);
written('again', 'storage crossed|throttle 1', 'crossed');
level('again', 96);
crash();
written('again', 'storage crossed|throttle 1', 'above, and used: it is the same crossing');
level('again', 97);
level('again', 50);
written('again', '|throttle 1', 'below');
level('again', 95);
written('again', 'storage crossed|throttle 2', 'crossed again: counted again');
crash();
written('again', 'storage crossed|throttle 2', 'and not again by a crash');
$node->safe_psql('postgres', q{SELECT fairsched_set_quota('again', 'storage', 1000)});
written('again', '|throttle 2', 'a raised quota: below');
hold();
level('again', 990);
crash();
written('again', 'storage crossed|throttle 3', 'crossed a third time, in the moment before a crash');
$node->safe_psql('postgres', q{DELETE FROM fairsched.workspace_levels WHERE workspace = 'again'});
written('again', '|throttle 3', 'below by hand');
# below while the throttle lasts, and then it is over
$node->safe_psql('postgres', q{SELECT fairsched_set_throttle('brief', true, duration => '3 s'), fairsched_set_quota('brief', 'storage', 100)});
level('brief', 95);
level('brief', 10);
written('brief', '|throttle 1', 'no row is left of a throttle that is over');
# held resources
$node->safe_psql('postgres', q{SELECT fairsched_set_throttle('gpu', false)});
$node->safe_psql('postgres', q{SELECT fairsched_set_throttle('gpu', true, 0.5, '2 hours', '{gpu}')});
written('gpu', 'gpu crossed|throttle 1', 'the throttle is over');
is($node->safe_psql('postgres', q{SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs WHERE workspace = 'gpu'}), 't', 'a job ends');
written('gpu', '|throttle 1', 'below');
is(claim('gpu', 1), '1', 'the next one');
written('gpu', 'gpu crossed throttled|throttle 2', 'crosses again');
crash();
written('gpu', 'gpu crossed throttled|throttle 2', 'and not again by a crash');

# ---------- who ends a throttle wins over who writes it at that moment ----------
$node->safe_psql('postgres', q{
  SELECT fairsched_set_throttle(w, true, duration => '2 hours') FROM unnest('{raceoff,racedrop,raceother}'::text[]) w;
  SELECT fairsched_set_quota(w, 'tokens', 100) FROM unnest('{raceoff,racedrop,raceother}'::text[]) w});
settle();
my $violations = fs_session($node);
$violations->ask('BEGIN; LOCK TABLE fairsched.quota_violations IN SHARE MODE');
$node->safe_psql('postgres', q{SELECT fairsched_record_usage(w, 'tokens', 95) FROM unnest('{raceoff,racedrop,raceother}'::text[]) w});
my $writing = q{SELECT count(*) = 1 FROM pg_locks WHERE relation = 'fairsched.quota_violations'::regclass AND NOT granted};
ok($node->poll_query_until('postgres', $writing), 'the scheduler is about to write that three are throttled');
$node->safe_psql('postgres', q{SELECT fairsched_set_throttle('raceoff', false), fairsched_drop_quota('racedrop', 'tokens')});
$node->safe_psql('postgres', q{SELECT fairsched_set_throttle('raceoff', true, duration => '2 hours'), fairsched_set_quota('racedrop', 'tokens', 100)});
throttled('race', qw(tokens storage gpu raceother));
my $next = fs_session($node);
$next->start('BEGIN; LOCK TABLE fairsched.quota_crossings IN SHARE MODE; SELECT 1');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE relation = 'fairsched.quota_crossings'::regclass AND NOT granted}),
  'nor will it write anything after that');
$violations->ask('COMMIT');
$violations->quit;
is($next->finish, '1', 'it has written');
is($node->safe_psql('postgres', q{SELECT workspace, state, throttled_until IS NOT NULL FROM fairsched.quota_crossings WHERE workspace LIKE 'race%' ORDER BY 1}),
  "racedrop|crossed|t\nraceoff|crossed|t\nraceother|crossed|t", 'what was so');
$holder = $next;
crash();
throttled('race, and a crash', qw(tokens storage gpu raceother));
written('raceoff', 'tokens crossed|throttle 1', 'the throttle is over');
written('racedrop', 'tokens above|throttle 1', 'the crossing was of the old quota');
written('raceother', 'tokens crossed throttled|throttle 1', 'the other one lasts');

# ---------- who writes does not come to it ----------
$node->safe_psql('postgres', q{SELECT fairsched_set_throttle('killed', true, duration => '2 hours'), fairsched_set_quota('killed', 'tokens', 100)});
settle();
$violations = fs_session($node);
$violations->ask('BEGIN; LOCK TABLE fairsched.quota_violations IN SHARE MODE');
use_more('killed', 'tokens', 95);
ok($node->poll_query_until('postgres', $writing), 'the scheduler is about to write');
my $scheduler = fs_scheduler_pid($node);
is($node->safe_psql('postgres', "SELECT pg_terminate_backend($scheduler)"), 't', 'and is terminated');
ok($node->poll_query_until('postgres', "$writing AND pid <> $scheduler"), 'the next one as well is about to');
$violations->ask('COMMIT');
$violations->quit;
written('killed', 'tokens crossed throttled|throttle 1', 'in the end it is written');

# ---------- the last limit of a workspace goes, and nobody comes to write that its violation is over ----------
$node->safe_psql('postgres', q{SELECT fairsched_set_quota('gone', 'tokens', 100)});
use_more('gone', 'tokens', 95);
written('gone', 'tokens crossed throttled|throttle 1', 'throttled');
hold();
is($node->safe_psql('postgres', q{SELECT fairsched_drop_quota('gone', 'tokens')}), 't', 'gone: its only quota is dropped');
crash();
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 AND bool_and(resolved_at IS NOT NULL) AND NOT EXISTS (SELECT FROM fairsched.workspace_usage_current WHERE workspace = 'gone')
  FROM fairsched.quota_violations WHERE workspace = 'gone'}), 'gone: the violation is over, and memory forgets the workspace');

# ---------- a promotion ----------
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->safe_psql('postgres', q{SELECT fairsched_set_throttle('moved', true, duration => '2 hours'), fairsched_set_quota('moved', 'cost', 10), fairsched_set_quota('moved', 'gpu', 2)});
hold();
use_more('moved', 'cost', 9.5);
throttled('primary', qw(tokens storage gpu raceother killed moved));
%until = map { $_ => until_when($_) } qw(tokens storage gpu raceother killed);
$node->wait_for_catchup('standby');
$node->stop('immediate');
$holder->gone;
$standby->promote;
$node = $standby;
throttled('promoted', qw(tokens storage gpu raceother killed moved));
is(until_when($_), $until{$_}, "promoted: $_ is throttled until then") foreach sort keys %until;
written('moved', 'cost crossed throttled|throttle 1', 'it is written where it was not');
written('killed', 'tokens crossed throttled|throttle 1', 'and no other one again');
fs_check_ok($node, 'promoted: fairsched_check finds nothing');
$node->stop;
done_testing();
