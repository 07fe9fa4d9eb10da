# Samples and alerts as the scheduler makes them: it samples by itself, raises an alert while its cause
# lasts and resolves it afterwards, tells listeners, and removes what is old.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.fairness_interval' => 1, 'fairsched.alert_interval' => 1,
  'fairsched.fairness_workspaces' => 2, 'fairsched.notify' => 'on' });
my $listener = fs_session($node);
my $heard = '';

# open: an open alert of this type, as severity|workspace|subject, once there is one.
sub is_open
{
  my ($type, $more, $name) = @_;

  return ok($node->poll_query_until('postgres', qq{SELECT count(*) = 1 FROM fairsched.alerts
    WHERE type = '$type' AND resolved_at IS NULL AND $more}), $name);
}

sub is_over
{
  my ($type, $name) = @_;

  return ok($node->poll_query_until('postgres', qq{SELECT count(*) > 0 AND bool_and(resolved_at IS NOT NULL)
    FROM fairsched.alerts WHERE type = '$type'}), $name);
}

sub listen_for
{
  my ($pattern) = @_;
  my $until = time + $PostgreSQL::Test::Utils::timeout_default;

  while (time < $until && $heard !~ $pattern)
  {
    $heard .= $listener->ask('SELECT 1');
    $node->safe_psql('postgres', 'SELECT pg_sleep(0.05)');
  }
  return like($heard, $pattern, "heard of $pattern");
}

$listener->ask('LISTEN fairsched_alerts');

# Samples: while something happens, with a bounded number of workspaces.
$node->safe_psql('postgres', q{SELECT count(fairsched_enqueue('w' || n % 5)) FROM generate_series(1, 3000) n});
my $bench = fs_pgbench($node, { q{SELECT count(fairsched_complete(job_id, token)) FROM fairsched_claim('a');
  SELECT pg_sleep(0.01);
} => 1 }, time => 60, app => 'busy');
ok($node->poll_query_until('postgres', q{SELECT count(*) FILTER (WHERE scope = 'all') > 1 AND
    count(*) FILTER (WHERE scope = 'tier') > 1 AND count(*) FILTER (WHERE scope = 'workspace') > 1
    FROM fairsched.fairness_samples WHERE served > 0}), 'the scheduler samples by itself');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'busy'});
$bench->{handle}->finish;
is($node->safe_psql('postgres', q{SELECT max(n) <= 2 FROM (SELECT count(*) AS n FROM fairsched.fairness_samples
    WHERE scope = 'workspace' GROUP BY sampled_at) s}), 't', 'no more workspaces than wanted');
is($node->safe_psql('postgres', q{SELECT bool_and(score = 1) FROM fairsched.fairness_samples WHERE scope = 'all'}), 't',
  'the score is 1');
fs_drain_all($node);
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM fairsched.maintenance_status
    WHERE task IN ('fairness', 'alerts') AND last_run IS NOT NULL AND last_error IS NULL AND next_run > now()}),
  'maintenance_status shows both tasks');
is($node->safe_psql('postgres', q{SELECT type, detail FROM fairsched.alerts}), '', 'no alert so far');

# Nothing happens: nothing is written.
ok($node->poll_query_until('postgres', q{SELECT max(sampled_at) < (SELECT last_run - interval '1 s' FROM fairsched.maintenance_status
    WHERE task = 'fairness') FROM fairsched.fairness_samples}), 'an idle database writes no samples');

# Leases that run out.
$node->safe_psql('postgres', q{SELECT count(fairsched_enqueue('lazy')) FROM generate_series(1, 20);
  SELECT count(*) FROM fairsched_claim('sleeper', 20, lease => '1 ms')});
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM fairsched.alerts WHERE type = 'lease_expiry_rate'}),
  'leases that run out');
like($node->safe_psql('postgres', q{SELECT severity, detail FROM fairsched.alerts WHERE type = 'lease_expiry_rate' LIMIT 1}),
  qr/^(medium|high)\|\d+ leases ran out while \d+ jobs were claimed$/, 'are told of with figures');
is_over('lease_expiry_rate', 'and it is over when no more do');
fs_drain_all($node);
listen_for(qr/"fairsched_alerts" with payload "\{"raised": [1-9]/);
listen_for(qr/"fairsched_alerts" with payload "\{"raised": \d+, "resolved": [1-9]/);
unlike($heard, qr/lazy|lease/, 'payloads are numbers');

# A task that fails; an alert that is open stays so over a restart; what is old goes.
$node->safe_psql('postgres', q{INSERT INTO fairsched.alerts (type, severity, detail, first_seen, last_seen, resolved_at)
    VALUES ('old', 'low', 'x', now() - interval '40 days', now() - interval '40 days', now() - interval '31 days'),
      ('young', 'low', 'x', now() - interval '40 days', now() - interval '40 days', now() - interval '29 days'),
      ('open', 'low', 'x', now() - interval '40 days', now() - interval '40 days', NULL);
  SELECT fairsched.make_day_partition('fairness_samples', (now() AT TIME ZONE 'UTC')::date - d) FROM generate_series(5, 9) d;
  INSERT INTO fairsched.fairness_samples (sampled_at, scope, seconds, entitled, competed, served, lacking, tolerance, running)
    VALUES (now() - interval '8 days', 'all', 60, 0, 0, 0, 0, 0, 0), (now() - interval '6 days', 'all', 60, 0, 0, 0, 0, 0, 0)});
my ($good) = $node->safe_psql('postgres', q{SELECT pg_get_functiondef('fairsched.drop_old_budget_events'::regproc)});
$node->safe_psql('postgres', q{CREATE OR REPLACE FUNCTION fairsched.drop_old_budget_events() RETURNS void
  LANGUAGE sql SET search_path = pg_catalog, pg_temp AS 'SELECT 1 / 0'});
$node->restart;
is_open('task_failing', q{subject = 'retention' AND severity = 'high' AND workspace IS NULL
    AND detail LIKE 'failed % times in a row: division by zero'}, 'a task that fails again and again');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.alerts WHERE type = 'task_failing'}), 1, 'once');
$node->safe_psql('postgres', $good);
is_over('task_failing', 'and it is over when the task runs again');
ok($node->poll_query_until('postgres', q{SELECT string_agg(type, ' ' ORDER BY type) = 'open young' FROM fairsched.alerts
    WHERE type IN ('open', 'young', 'old')}), 'alerts that were resolved long ago go');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched.fairness_samples WHERE sampled_at < now() - interval '1 day'}),
  'so do old samples');
is($node->safe_psql('postgres', q{SELECT to_regclass('fairsched.fairness_samples_' || to_char(now() AT TIME ZONE 'UTC' - interval '8 days', 'YYYYMMDD')) IS NULL}),
  't', 'by the day, which is a partition');
is($node->safe_psql('postgres', q{SELECT bool_and(to_regclass('fairsched.fairness_samples_' || to_char(now() AT TIME ZONE 'UTC' + d * interval '1 day', 'YYYYMMDD')) IS NOT NULL)
  FROM generate_series(0, 1) d}), 't', 'and those of the next days are made ahead');

# Two sessions that raise the same make one alert.
my @sessions = map { fs_session($node) } 1 .. 2;
$sessions[0]->ask(q{BEGIN; SELECT fairsched.raise_alert('both', 'low', NULL, NULL, 'x')});
$sessions[1]->start(q{SELECT fairsched.raise_alert('both', 'low', NULL, NULL, 'x')});
$sessions[0]->ask('COMMIT');
$sessions[1]->finish;
is($node->safe_psql('postgres', q{SELECT occurrences FROM fairsched.alerts WHERE type = 'both'}), '2', 'two raise the same: one alert');
$_->quit foreach @sessions;

# Settings are followed without a restart; off is off.
$node->adjust_conf('postgresql.conf', 'fairsched.fairness_interval', '0');
$node->adjust_conf('postgresql.conf', 'fairsched.alert_interval', '0');
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM fairsched.maintenance_status
    WHERE task IN ('fairness', 'alerts') AND next_run > now() + interval '30 s'}), 'both can be switched off');

# Each alert has a section that says what to do: whatever the sources raise, wherever.
my $page = PostgreSQL::Test::Utils::slurp_file("$FindBin::RealBin/../../docs/alerts.md");
my %types;
# alerts.c keeps them, and raises none of its own
foreach my $file (grep { !m{/alerts\.c$} } glob "$FindBin::RealBin/../../src/*.c")
{
  my $source = PostgreSQL::Test::Utils::slurp_file($file);

  while ($source =~ /\b(?:fs_alert_raise|check_query)\((?:"(\w+)"|(\w+))/g)
  {
    my ($literal, $name) = ($1, $2);

    # of check_query itself
    next if defined $name && ($name eq 'const' || $name eq 'type');
    my ($list) = defined $literal ? qq{"$literal"} : $source =~ /(?:^#define $name |\b$name\[[^\]]*\]\s*=\s*\{)([^\n;]*(?:\n[^;#]*?\})?)/m;
    my @found = ($list // '') =~ /"(\w+)"/g;

    ok(scalar @found, "$file: which alerts $name stands for is found") if defined $name;
    $types{$_} = 1 foreach @found;
  }
}
ok(exists $types{$_}, "$_ is among them") foreach qw(fairness_violation budget_paused placement_scorer);

cmp_ok(scalar(keys %types), '>=', 10, 'types of alerts: ' . join(' ', sort keys %types));
is(join(' ', sort $page =~ /^## (\w+)$/mg), join(' ', sort keys %types), 'docs/alerts.md has them all');
is(scalar(() = $page =~ /^What to do: /mg), scalar(keys %types), 'and says what to do');

$listener->quit;
$node->stop;
done_testing();
