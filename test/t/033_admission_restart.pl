# What admission counts, after a clean restart, a crash and a promotion under load: held, consumed and
# levels, throttles, bursts, rate windows. Each is what it was, or errs to refusing.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $primary = fs_node('primary', init => [ allows_streaming => 1 ],
  conf => { max_connections => 40, restart_after_crash => 'on' });

# Claims in the window of a workspace, and what it allows: as the gate counts.
sub rate
{
  my ($node, $workspace) = @_;

  return $node->safe_psql('postgres', qq{SELECT verdict, value, limit_value FROM fairsched_explain(
    (SELECT min(job_id) FROM fairsched.jobs WHERE workspace = '$workspace' AND state = 'available')) WHERE gate = 'rate'});
}

sub claim
{
  my ($node, $lane, $n) = @_;

  return $node->safe_psql('postgres', "SELECT count(*) FROM fairsched_claim('w', $n, lease => '1 h', lanes => '{$lane}')");
}

$primary->safe_psql('postgres', q{
  SELECT fairsched_set_rate_limit('hour', 10, '1 hour');
  SELECT fairsched_set_rate_limit('idle', 5, '1 hour');
  SELECT count(fairsched_enqueue(w, lane => w)) FROM unnest('{hour,idle,late}'::text[]) w, generate_series(1, 20)});

# ---------- a clean restart: nothing is unknown ----------
is(claim($primary, 'hour', 3), '3', 'three of ten');
$primary->safe_psql('postgres', q{BEGIN; SELECT fairsched_claim('w', 5, lanes => '{hour}'); ROLLBACK});
foreach my $mode (qw(fast smart))
{
  my $open = fs_session($primary);

  if ($mode eq 'fast')
  {
    $open->ask('BEGIN');
    is($open->ask(q{SELECT count(*) FROM fairsched_claim('dies', 4, lanes => '{hour}')}), '4', 'a claim that will not be committed');
  }
  else
  {
    $open->quit;
  }
  $primary->stop($mode);
  $open->gone if $mode eq 'fast';
  $primary->start;
  is(rate($primary, 'hour'), 'pass|3|10', "$mode: the window is what it was");
  is(rate($primary, 'idle'), 'pass|0|5', "$mode: one that was not used is not used up");
}
is(claim($primary, 'hour', 100), '7', 'and the rest can be had');
is(rate($primary, 'hour'), 'refuse|10|10', 'not more');
$primary->restart;
is(rate($primary, 'hour'), 'refuse|10|10', 'again: full is full');
is(claim($primary, 'hour', 100), '0', 'again: nothing more');
is(claim($primary, 'idle', 1), '1', 'again: another one goes on');

# ---------- a crash: what was saved is known, and of what was claimed since, what was booked counts as used ----------
# The scheduler saved all that was claimed of a workspace, and nothing was claimed since.
sub saved
{
  my ($node, $workspace, $n) = @_;

  ok($node->poll_query_until('postgres', qq{SELECT count(*) = 1 FROM fairsched.rate_windows w WHERE workspace = '$workspace'
      AND (SELECT sum(c) FROM unnest(counts) c) = $n AND NOT EXISTS (SELECT FROM fairsched.rate_bookings b WHERE b.workspace = w.workspace)}),
    "the scheduler saved the window of $workspace");
  return;
}

# slices of two seconds: what was saved leaves the window when it would have left it
$primary->safe_psql('postgres', q{SELECT fairsched_create_workspace('unsaved', max_running => 2000);
  SELECT fairsched_set_rate_limit('late', 4, '128 s'), fairsched_set_rate_limit('unsaved', 1000, '1 hour'),
  count(fairsched_enqueue('unsaved', lane => 'unsaved')) FROM generate_series(1, 1100)});
$primary->safe_psql('postgres', q{CREATE TABLE claimed AS SELECT lease_expires_at - interval '1 h' AS at
  FROM fairsched_claim('w', 3, lease => '1 h', lanes => '{late}')});
is(claim($primary, 'unsaved', 1), '1', 'one that is saved: what else its booking covers is void then');
saved($primary, @$_) foreach [ late => 3 ], [ idle => 1 ], [ hour => 10 ], [ unsaved => 1 ];
ok($primary->poll_query_until('postgres', q{SELECT clock_timestamp() > min(at) + interval '6 s' FROM claimed}), 'some slices later');
# from here on nothing can be saved
my $holder = fs_session($primary);
$holder->ask('BEGIN; LOCK TABLE fairsched.rate_windows IN SHARE MODE');
is(claim($primary, 'unsaved', $_), $_, "$_ are not saved") foreach 3, 1, 7;
$primary->safe_psql('postgres', q{BEGIN; SELECT fairsched_claim('w', 2, lanes => '{unsaved}'); SAVEPOINT a;
  SELECT fairsched_claim('w', 5, lanes => '{unsaved}'); ROLLBACK TO a; COMMIT});
$primary->stop('immediate');
$holder->gone;
$primary->start;
is(rate($primary, 'late'), 'pass|3|4', 'crash: what was saved is known');
is(claim($primary, 'late', 2), '1', 'crash: the rest can be had');
is($primary->safe_psql('postgres', q{SELECT max(retry_at) BETWEEN max(at) + interval '126 s' AND max(at) + interval '133 s'
    FROM claimed, fairsched_explain((SELECT max(job_id) FROM fairsched.jobs WHERE workspace = 'late')) WHERE gate = 'rate'}),
  't', 'crash: what was saved leaves the window at its time');
is(rate($primary, 'idle'), 'pass|1|5', 'crash: who claimed nothing since may go on');
is(rate($primary, 'hour'), 'refuse|10|10', 'crash: full is full');
# 14, and 5 that were undone
my (undef, $counted) = split /\|/, rate($primary, 'unsaved');
cmp_ok($counted, '>=', 14, 'crash: all that was claimed and not saved counts');
cmp_ok($counted, '<=', 100, 'crash: and a small part of the limit beyond');
is(claim($primary, 'unsaved', 1000), 1000 - $counted, 'crash: the rest can be had');
is($primary->safe_psql('postgres', q{SELECT bool_and(retry_at <= now() + interval '1 hour 1 min') FROM unnest('{hour,unsaved}'::text[]) w,
    fairsched_explain((SELECT max(job_id) FROM fairsched.jobs WHERE workspace = w)) WHERE gate = 'rate'}),
  't', 'crash: nothing is refused for longer than one period');
$primary->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('unsaved', NULL, NULL)});
is($primary->safe_psql('postgres', q{SELECT count(*) FROM fairsched.rate_bookings WHERE workspace = 'unsaved'}), '0', 'no limit, no bookings');

# What a session was told survives, though nothing else of it does: bookings are flushed.
$primary->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('async', 60, '1 hour'), count(fairsched_enqueue('async', lane => 'async')) FROM generate_series(1, 100)});
saved($primary, 'async', 0);
sub durable
{
  my ($to) = @_;

  $primary->safe_psql('postgres', "ALTER SYSTEM SET fairsched.durable_claims = $to");
  $primary->reload;
  ok($primary->poll_query_until('postgres', "SELECT current_setting('fairsched.durable_claims') = '$to'"), "durable_claims is $to");
  return;
}
durable('off');
my $async = fs_session($primary);
$async->ask('SET synchronous_commit = off');
my $told = 0;
$told += $async->ask(q{SELECT count(*) FROM fairsched_claim('w', 3, lanes => '{async}')}) foreach 1 .. 5;
$primary->stop('immediate');
$async->gone;
$primary->start;
is($told, 15, 'claims that leave no row');
(undef, $counted) = split /\|/, rate($primary, 'async');
cmp_ok($counted, '>=', $told, 'all that was told counts');
cmp_ok($counted, '<', 60, 'and not all of the limit');
durable('on');

# Under load, in random moments: never more than the limit, and nearly all of it. What is committed is in a table.
$primary->safe_psql('postgres', q{CREATE TABLE taken (workspace text, job_id bigint)});
my $crashes = 4;
foreach my $round (1 .. $crashes)
{
  my $ws = "rush$round";
  my $take = "\\set n random(1, 6)\nBEGIN;\nINSERT INTO taken SELECT '$ws', job_id FROM fairsched_claim('w' || :client_id, :n, lease => '1 h', lanes => '{$ws}');\n";
  my $done = "WITH h AS MATERIALIZED (SELECT job_id, token FROM fairsched.running_jobs WHERE workspace = '$ws' LIMIT 3)\nSELECT count(fairsched_complete(job_id, token)) FROM h;\n";

  $primary->safe_psql('postgres', qq{SELECT fairsched_create_workspace('$ws', max_running => 5000);
    SELECT fairsched_set_rate_limit('$ws', 2000, '1 hour'),
    count(fairsched_enqueue('$ws', lane => '$ws')) FROM generate_series(1, 2200)});
  saved($primary, $ws, 0);
  durable('off') if $round == $crashes;
  my $load = fs_pgbench($primary, { "${take}COMMIT;\n$done" => 4, "${take}ROLLBACK;\n" => 1, "${take}SAVEPOINT a;\n" . ($take =~ s/^.*BEGIN;\n//sr) .
      "ROLLBACK TO a;\nCOMMIT;\n" => 1 }, clients => 6, transactions => 1000000);
  my $enough = 100 * $round;
  ok($primary->poll_query_until('postgres', "SELECT count(*) > $enough FROM taken WHERE workspace = '$ws'"), "crash $round: a load");
  $primary->stop('immediate');
  eval { $load->{handle}->finish };
  $primary->start;
  my $taken = $primary->safe_psql('postgres', "SELECT count(*) FROM taken WHERE workspace = '$ws'");
  my (undef, $used) = split /\|/, rate($primary, $ws) || '|2000';
  my $rest = 0;
  while (my $n = claim($primary, $ws, 1000)) { $rest += $n; }
  cmp_ok($used, '>=', $taken, "crash $round: all $taken claims that were committed count");
  cmp_ok($used, '<=', 2000, "crash $round: not more than the limit does");
  is($rest, 2000 - $used, "crash $round: the rest can be had, and no more");
}

durable('on');

# a backend that is killed takes the memory of all with it
$primary->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('shot', 3, '1 hour'), count(fairsched_enqueue('shot', lane => 'shot')) FROM generate_series(1, 5)});
$primary->restart;
is(rate($primary, 'shot'), 'pass|0|3', 'killed: before');
is(claim($primary, 'shot', 1), '1', 'killed: one is claimed');
saved($primary, 'shot', 1);
my $victim = fs_session($primary);
ok(fs_kill($primary, $victim->pid), 'killed: the server is back');
$victim->gone;
is(rate($primary, 'shot'), 'pass|1|3', 'killed: after');

# ---------- bursts and throttles ----------
$primary->safe_psql('postgres', q{
  SELECT fairsched_set_quota('burst', 'memory', 2, burst => 1, burst_duration => '1 s'),
    count(fairsched_enqueue('burst', lane => 'burst', resources => '{"memory": 1}')) FROM generate_series(1, 5)});
is(claim($primary, 'burst', 10), '3', 'burst: one above the quota');
ok($primary->poll_query_until('postgres', q{SELECT NOT allowed FROM fairsched_check_quota('burst', 'memory', 0)}), 'burst: used up');
is($primary->safe_psql('postgres', q{SELECT count(fairsched_complete(job_id, token)) FROM fairsched.running_jobs WHERE workspace = 'burst'}), '3',
  'burst: all are done');
is($primary->safe_psql('postgres', q{SELECT allowed, retry_after BETWEEN '50 min' AND '62 min' FROM fairsched_check_quota('burst', 'memory', 3)}), 'f|t', 'burst: not again within the hour');
$primary->safe_psql('postgres', q{SELECT fairsched_enqueue('burst', lane => 'burst', resources => '{"memory": 1}')});
is(claim($primary, 'burst', 10), '2', 'burst: jobs are claimed up to the quota');
is($primary->safe_psql('postgres', q{SELECT parked_reason, retry_at BETWEEN now() + interval '50 min' AND now() + interval '62 min' FROM fairsched.queue_status WHERE workspace = 'burst'}),
  'waiting_for_resources|t', 'burst: the next one waits, and until when is known');
$primary->safe_psql('postgres', q{SELECT fairsched_complete(job_id, token) FROM fairsched.running_jobs WHERE workspace = 'burst' ORDER BY job_id LIMIT 1});
$primary->safe_psql('postgres', q{SELECT fairsched_release(job_id, token) FROM fairsched.running_jobs WHERE workspace = 'burst'});
ok($primary->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched.quota_violations
    WHERE workspace = 'burst' AND action = 'burst_allowed' AND resolved_at - first_seen > interval '1 s'}), 'burst: it is on record');
$primary->safe_psql('postgres', q{
  SELECT fairsched_set_throttle('slow', true, duration => '1 hour'), fairsched_set_quota('slow', 'tokens', 100), fairsched_record_usage('slow', 'tokens', 95), fairsched_enqueue('slow', lane => 'slow');
  SELECT fairsched_set_quota('slow', 'storage', 10), fairsched_record_usage('slow', 'storage', 4);
  SELECT fairsched_set_throttle('held', true, 0.5, '20 s', '{gpu}'), fairsched_set_quota('held', 'gpu', 2),
    count(fairsched_enqueue('held', lane => 'held', resources => '{"gpu": 1}')) FROM generate_series(1, 3)});
ok($primary->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched.quota_violations WHERE workspace = 'slow' AND action = 'throttle' AND resolved_at IS NULL}),
  'throttle: it is on record');
my $until = q{SELECT throttled_until FROM fairsched.workspace_usage_current WHERE workspace = 'slow' AND resource = 'tokens'};
my $throttled = $primary->safe_psql('postgres', $until);
is(claim($primary, 'held', 1), '1', 'throttle: one of two gpus is half of them');
is(claim($primary, 'held', 1), '0', 'throttle: held resources throttle where the list names them');
my $breaches = q{FROM fairsched.quota_violations WHERE workspace = 'held' AND action = 'throttle'};
ok($primary->poll_query_until('postgres', "SELECT count(*) = 1 $breaches AND resolved_at IS NULL"), 'throttle: that is on record as well');
$primary->safe_psql('postgres', q{SELECT fairsched_set_throttle('held', false)});
ok($primary->poll_query_until('postgres', "SELECT count(*) = 1 $breaches AND resolved_at IS NOT NULL"), 'throttle: until it is turned off');
$primary->safe_psql('postgres', q{SELECT fairsched_set_throttle('held', true, 0.5, '20 s', '{gpu}')});
# the same of what is used, or is a level: crossed, and ended
$primary->safe_psql('postgres', q{
  SELECT fairsched_set_quota(w, r, 10), fairsched_record_usage(w, r, 9.5) FROM (VALUES ('once1', 'tokens'), ('once2', 'storage')) v(w, r);
  SELECT fairsched_set_throttle(w, false) FROM unnest('{once1,once2}'::text[]) w});
$primary->safe_psql('postgres', q{SELECT fairsched_set_throttle(w, true) FROM unnest('{once1,once2}'::text[]) w});
# more than there is room for, and nearly
$primary->safe_psql('postgres', q{SELECT fairsched_set_quota(w, 'tokens', 100), fairsched_set_throttle(w, false) FROM unnest('{huge,large}'::text[]) w;
  SELECT fairsched_record_usage('large', 'tokens', 5000000000.5), fairsched_record_usage('huge', 'tokens', 1e12) FROM generate_series(1, 9)});
my $again = q{SELECT count(*) FROM fairsched.workspace_usage_current WHERE workspace IN ('held', 'once1', 'once2') AND throttled_until IS NOT NULL};

sub same
{
  my ($node, $when) = @_;

  is($node->safe_psql('postgres', q{SELECT allowed FROM fairsched_check_quota('burst', 'memory', 3)}), 'f', "$when: the burst is used up");
  is(claim($node, 'burst', 10), '2', "$when: and jobs are claimed up to the quota");
  is($node->safe_psql('postgres', q{SELECT count(fairsched_release(job_id, token)) FROM fairsched.running_jobs WHERE workspace = 'burst'}), '2',
    "$when: they go back");
  is($node->safe_psql('postgres', "SELECT ($until) BETWEEN '$throttled'::timestamptz - interval '1 s' AND '$throttled'::timestamptz + interval '1 s'"),
    't', "$when: the throttle lasts until it would have");
  is(claim($node, 'slow', 1), '0', "$when: and holds");
  is($node->safe_psql('postgres', q{SELECT resource, used, quota FROM fairsched.workspace_usage_current WHERE workspace = 'slow' AND quota > 0 ORDER BY 1}),
    "storage|4|10\ntokens|95|100", "$when: level and consumption are what they were");
  return;
}
$primary->restart;
same($primary, 'restart');
is(claim($primary, 'held', 1), '1', 'restart: what was above the threshold before is let in');
$primary->safe_psql('postgres', q{SELECT fairsched_record_usage('once1', 'tokens', 0.1), fairsched_record_usage('once2', 'storage', 0.1)});
is($primary->safe_psql('postgres', $again), '0', 'restart: and does not throttle again');
is($primary->safe_psql('postgres', q{SELECT workspace, used FROM fairsched.workspace_usage_current WHERE workspace IN ('huge', 'large') ORDER BY 1}),
  "huge|4000000000000\nlarge|45000000004.5", 'restart: large sums, or the most there is');
$primary->safe_psql('postgres', q{SELECT fairsched_drop_quota(w, 'tokens') FROM unnest('{huge,large}'::text[]) w});
$primary->safe_psql('postgres', q{SELECT fairsched_record_usage('once2', 'storage', -1)});
$primary->safe_psql('postgres', q{SELECT fairsched_record_usage('once2', 'storage', 1)});
is($primary->safe_psql('postgres', $again), '1', 'restart: but when it was below in between');
is($primary->safe_psql('postgres', q{SELECT count(*) FROM fairsched.quota_violations WHERE workspace = 'slow' AND resource = 'tokens'}), '1',
  'restart: it is the same violation');
$primary->stop('immediate');
$primary->start;
same($primary, 'crash');

# ---------- a promotion while quotas are pressed ----------
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->safe_psql('postgres', q{
  SELECT fairsched_create_workspace(w, max_running => 1000) FROM unnest('{cpu,use,pace}'::text[]) w;
  SELECT fairsched_set_quota('cpu', 'cpu', 4), fairsched_set_quota('cpu', 'concurrent_runs', 6), fairsched_set_quota('use', 'tokens', 100000000),
    fairsched_set_quota('use', 'storage', 1000000), fairsched_set_throttle('use', false), fairsched_set_rate_limit('pace', 50, '1 hour');
  SELECT count(fairsched_enqueue_many(w, ARRAY(SELECT '{}'::jsonb FROM generate_series(1, 3000)), lane => 'load',
    resources => r::jsonb)) FROM (VALUES ('cpu', '{"cpu": 0.5}'), ('cpu', '{"cpu": 1.5}'), ('use', '{"tokens": 7}'), ('pace', '{}')) v(w, r)});
my $take = "\\set n random(1, 5)\nSELECT count(*) FROM fairsched_claim('w' || :client_id, :n, lease => '1 h', lanes => '{load}');\n";
my $give = "\\set n random(1, 5)\nWITH h AS MATERIALIZED (SELECT job_id, token FROM fairsched.running_jobs WHERE worker = 'w' || :client_id LIMIT :n)\n" .
  "SELECT count(fairsched_complete(job_id, token, usage => '{\"tokens\": 3, \"storage\": 0.5}')) FROM h;\n";
my $load = fs_pgbench($primary, { $take => 3, $give => 3, "BEGIN;\n$take${give}ROLLBACK;\n" => 1,
    "SELECT fairsched_record_usage('use', 'tokens', 1.25);\n" => 1 }, clients => 6, transactions => 1000000);
ok($standby->poll_query_until('postgres', q{SELECT count(*) > 300 FROM fairsched.workspace_usage WHERE workspace = 'use'}),
  'a standby follows');
ok($standby->poll_query_until('postgres', q{SELECT sum(c) = 50 FROM fairsched.rate_windows, unnest(counts) c WHERE workspace = 'pace'}),
  'the saved rate window came, too');
$primary->stop('immediate');
eval { $load->{handle}->finish };
$standby->promote;

is($standby->safe_psql('postgres', q{
    WITH m AS (SELECT workspace, resource, used FROM fairsched.workspace_usage_current
        WHERE used <> 0 AND resource IN ('cpu', 'concurrent_runs') AND workspace IN ('cpu', 'use', 'pace')),
      h AS (SELECT workspace, r.key AS resource, sum(r.value::numeric) AS n
        FROM fairsched.jobs, jsonb_each_text(coalesce(resources, '{}') || '{"concurrent_runs": 1}') r
        WHERE state = 'running' AND r.key IN ('cpu', 'concurrent_runs') AND workspace IN ('cpu', 'use', 'pace') GROUP BY 1, 2)
    SELECT * FROM m FULL JOIN h USING (workspace, resource) WHERE used IS DISTINCT FROM n}),
  '', 'promoted: held is what running rows declared');
is($standby->safe_psql('postgres', q{
    SELECT u.used = (SELECT sum(amount) FROM fairsched.workspace_usage w WHERE w.workspace = 'use' AND w.resource = 'tokens') +
      (SELECT coalesce(sum((resources->>'tokens')::numeric), 0) FROM fairsched.jobs WHERE workspace = 'use' AND state = 'running')
    FROM fairsched.workspace_usage_current u WHERE workspace = 'use' AND resource = 'tokens'}),
  't', 'promoted: consumed is what was recorded, and what running jobs reserve');
is($standby->safe_psql('postgres', q{
    SELECT u.used = l.level AND l.level = (SELECT sum(amount) FROM fairsched.workspace_usage w WHERE w.workspace = 'use' AND w.resource = 'storage')
    FROM fairsched.workspace_usage_current u JOIN fairsched.workspace_levels l USING (workspace, resource)
    WHERE workspace = 'use' AND resource = 'storage'}), 't', 'promoted: so is the level');
same($standby, 'promoted');
is(rate($standby, 'pace'), 'refuse|50|50', 'promoted: the rate window is full');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('after', 1000, lease => '1 h', lanes => '{load}') WHERE workspace = 'pace'}), '0',
  'promoted: and refuses');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM fairsched.workspace_usage_current WHERE used > quota}), '0',
  'promoted: no quota is passed');
is($standby->safe_psql('postgres', q{SELECT used FROM fairsched.workspace_usage_current WHERE workspace = 'cpu' AND resource = 'cpu'}) >= 3, 1,
  'promoted: and what is left of it is handed out');
fs_check_ok($standby, 'promoted: fairsched_check finds nothing');

# What a clean shutdown saved is not there, or not whole: what the scheduler saved tells, and what was booked.
my $file = $standby->data_dir . '/pg_stat/fairsched_rates.stat';
$standby->safe_psql('postgres', q{SELECT fairsched_set_rate_limit(w, 4, '1 hour'), count(fairsched_enqueue(w, lane => w)) FROM unnest('{cut,gone}'::text[]) w, generate_series(1, 5) GROUP BY w});
$standby->restart;
is(rate($standby, 'cut'), 'pass|0|4', 'file: a restart knows');
is(claim($standby, 'cut', 2), '2', 'file: two of four');
saved($standby, 'cut', 2);
$standby->stop;
ok(truncate($file, (-s $file) - 10), 'file: cut off');
$standby->start;
is(rate($standby, 'cut'), 'pass|2|4', 'file: cut off, so as saved before');
$standby->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('gone', NULL, NULL)});
$standby->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('gone', 4, '1 hour')});
is(rate($standby, 'gone'), 'pass|0|4', 'file: set anew, the window begins anew');
saved($standby, 'gone', 0);
is(claim($standby, 'gone', 1), '1', 'file: one of four');
$standby->stop;
ok(unlink($file), 'file: removed');
$standby->start;
is(rate($standby, 'gone'), 'pass|1|4', 'file: removed, so as saved before, or booked since');
ok(!-e $file, 'file: it counts for one start');
# what was never saved is not known
$holder = fs_session($standby);
$holder->ask('BEGIN; LOCK TABLE fairsched.rate_windows IN SHARE MODE');
$standby->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('new', 7, '1 hour'), fairsched_enqueue('new', lane => 'new')});
is(rate($standby, 'new'), 'pass|0|7', 'never saved: before');
$standby->stop('immediate');
$holder->gone;
$standby->start;
is(rate($standby, 'new'), 'refuse|7|7', 'never saved: not known, so used');

# A server that was stopped cleanly and is then a standby: others may have claimed meanwhile.
$standby->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('role', 9, '1 hour'), fairsched_enqueue('role', lane => 'role')});
$standby->restart;
is(rate($standby, 'role'), 'pass|0|9', 'roles: known after a clean restart');
saved($standby, 'role', 0);
$standby->stop;
$standby->set_standby_mode;
$standby->start;
$standby->promote;
is(rate($standby, 'role'), 'refuse|9|9', 'roles: not known after a time as a standby');
saved($standby, 'role', 9);
$standby->stop('immediate');
$standby->start;
is(rate($standby, 'role'), 'refuse|9|9', 'roles: nor after a crash that follows');
$standby->stop;
done_testing();
