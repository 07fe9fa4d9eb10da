# The report: its figures, the trend, and each of its recommendations where there is cause, and not before.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use Test::More;

my $node = fs_node('report', conf => {
  max_prepared_transactions => 5, autovacuum => 'off', 'fairsched.max_workers' => 16, 'fairsched.dwell_target' => 100,
  'fairsched.capacity_interval' => 200, 'fairsched.fairness_interval' => 0, 'fairsched.fairness_workspaces' => 1, 'fairsched.alert_interval' => 0 });

# The recommendations of one rule, as lines "severity|subject|setting|reason".
sub rule
{
  my ($rule, $later) = @_;

  $later //= '0';
  return $node->safe_psql('postgres', qq{SELECT severity, subject, setting, reason
    FROM fairsched.recommendations('24 hours', clock_timestamp() + '$later') WHERE rule = '$rule' ORDER BY subject});
}

# Of an empty database.
my $empty = q{SELECT r -> 'recommendations', r -> 'workspaces', r #>> '{history,samples}', r #>> '{alerts,open}', r ->> 'database',
  (SELECT string_agg(k, ' ' ORDER BY k) FROM jsonb_object_keys(r) k) FROM fairsched_fairness_report() r};
is($node->safe_psql('postgres', $empty),
  '[]|[]|0|[]|postgres|alerts budgets database generated_at history preemptions recommendations state summary tiers totals violations workspaces',
  'a new database: nothing to say');

# History: average, variance and trend.
$node->safe_psql('postgres', q{
  SELECT fairsched.make_day_partition('fairness_samples', (now() AT TIME ZONE 'UTC')::date - d) FROM generate_series(-1, 2) d;
  INSERT INTO fairsched.fairness_samples (sampled_at, scope, tier, seconds, entitled, competed, served, lacking, tolerance, depth, running, score)
    SELECT clock_timestamp() - (20 - i) * interval '1 min', s, CASE s WHEN 'tier' THEN 'growth' END, 60, 10, 10, 60, 0, 1, 100 + 10 * i, 7, 1 - (i % 2) * 0.01
      FROM generate_series(1, 20) i, unnest('{all,tier}'::text[]) s;
  INSERT INTO fairsched.fairness_samples (sampled_at, scope, seconds, entitled, competed, served, lacking, tolerance, depth, running, score)
    VALUES (clock_timestamp() - interval '30 hours', 'all', 60, 0, 0, 0, 0, 0, 1000000, 0, 0);
});
my $trend = sub {
  my ($about, $name) = @_;
  return $node->safe_psql('postgres', qq{SELECT m ->> 'samples', round((m ->> 'average')::numeric, 3), round((m ->> 'variance')::numeric, 2),
    m ->> 'min', m ->> 'max', m ->> 'last', m ->> 'trend' FROM (SELECT fairsched_fairness_report() #> '{history,$about,$name}' AS m) x});
};
is($trend->('all', 'depth'), '20|205.000|3325.00|110.0000|300.0000|300.0000|increasing', 'a depth that grows, of the period only');
is($trend->('all', 'running'), '20|7.000|0.00|7.0000|7.0000|7.0000|stable', 'what stays the same');
is($trend->('all', 'score'), '20|0.995|0.00|0.9900|1.0000|1.0000|stable', 'what goes up and down by little');
is($trend->('all', 'served_per_second'), '20|1.000|0.00|1.0000|1.0000|1.0000|stable', 'a rate');
is($trend->('tiers,growth', 'depth'), '20|205.000|3325.00|110.0000|300.0000|300.0000|increasing', 'by tier');
$node->safe_psql('postgres', q{UPDATE fairsched.fairness_samples SET depth = 410 - depth WHERE scope = 'all'});
like($trend->('all', 'depth'), qr/\|decreasing$/, 'a depth that falls');
$node->safe_psql('postgres', q{DELETE FROM fairsched.fairness_samples WHERE sampled_at < clock_timestamp() - interval '3 min 30 s'});
like($trend->('all', 'depth'), qr/^4\|.*\|stable$/, 'four samples make no trend');
$node->safe_psql('postgres', 'TRUNCATE fairsched.fairness_samples');

# Each rule.
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.recommendations('24 hours', clock_timestamp())}), '0', 'still nothing to recommend');
# Workers: jobs come, and nobody is there. Bounded only by the test's own patience.
$node->safe_psql('postgres', q{SELECT count(fairsched_enqueue_many('crowd', ARRAY(SELECT '{}'::jsonb FROM generate_series(1, 60)), lane => 'crowd'));
  SELECT count(*) FROM fairsched_claim('crowd', 5, lanes => '{crowd}'), pg_sleep(0.2);
  SELECT count(fairsched_complete(job_id, token)) FROM fairsched.running_jobs WHERE lane = 'crowd'});
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM fairsched.recommendations('24 hours', clock_timestamp())
  WHERE rule = 'workers' AND subject = 'lane crowd' AND action ~ '^Run \d+ more workers'}), 'workers: too few for what waits');

$node->safe_psql('postgres', q{
  SELECT fairsched_create_workspace(w, max_running => 30, own_table => false) FROM unnest('{full,other}'::text[]) w;
  SELECT count(fairsched_enqueue_many(w, ARRAY(SELECT '{}'::jsonb FROM generate_series(1, 200)))) FROM unnest('{full,other}'::text[]) w;
  SELECT count(*) FROM fairsched_claim('one', 50, lease => '1 h')});
is(rule('ceiling'), '', 'below the ceiling');
$node->safe_psql('postgres', q{INSERT INTO fairsched.fairness_samples (sampled_at, scope, workspace, tier, seconds, entitled, competed, served, lacking, tolerance, depth, running)
  SELECT clock_timestamp() - (20 - i) * interval '1 min', 'workspace', 'full', 'starter', 60, 10, 10, 60, 0, 1, 100 + 100 * i, 7 FROM generate_series(1, 20) i});
like(rule('weight'), qr/^medium\|workspace full\|tier\|It competes all the time, gets what is due to it \(100 % of the entitlement\), and its queue grows by 6000 jobs an hour\.$/,
  'weight: who is served fairly and falls behind');
$node->safe_psql('postgres', q{UPDATE fairsched.fairness_samples SET depth = 2200 - depth});
is(rule('weight'), '', 'weight: not when the queue shrinks');
$node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('one', 50, lease => '1 h')});
is(rule('ceiling'), join("\n", map { "medium|workspace $_|max_running|30 of 30 jobs run and 170 wait: more workers would not help it." } qw(full other)),
  'ceiling');
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('needs', lane => 'special', capabilities => '{gpu,arm}')});
$node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('one', lanes => '{special}')});
like(rule('capability'), qr/^high\|lane special, workspace needs\|capabilities\|.*(arm|gpu)/, 'capability: nobody has what a job requires');
$node->safe_psql('postgres', q{SELECT fairsched_register_worker('has', '{gpu,arm}')});
is(rule('capability'), '', 'capability: until somebody has');
$node->safe_psql('postgres', q{SELECT fairsched_set_budget('calls', 10), fairsched_record_spend('calls', 9)});
is(rule('budget'), '', 'budget: 90 %');
$node->safe_psql('postgres', q{SELECT fairsched_record_spend('calls', 0.75)});
is(rule('budget'), 'high|budget calls|amount|9.75 of 10 cost are spent, and it is paused: jobs that name it wait.', 'budget');
$node->safe_psql('postgres', q{INSERT INTO fairsched.quota_violations (workspace, resource, quota, actual, overage, overage_percent, action, severity, occurrences)
  VALUES ('full', 'tokens', 100, 104, 4, 4, 'alert', 'low', 1), ('other', 'storage', 10, 16, 6, 60, 'throttle', 'critical', 3)});
like(rule('quota'), qr/^critical\|workspace other\|quota of storage\|16 of 10 were used or wanted; seen 3 times since .*\.$/, 'quota: severe ones');
$node->safe_psql('postgres', q{UPDATE fairsched.quota_violations SET resolved_at = now()});
is(rule('quota'), '', 'quota: not when resolved');
$node->safe_psql('postgres', q{SELECT fairsched_register_worker('w' || i) FROM generate_series(1, 11) i});
like(rule('memory'), qr/^high\|workers\|fairsched\.max_workers\|\d+ of 16 are in use\.$/, 'memory: a table that fills up');

# Quanta: a job that costs many of them.
$node->safe_psql('postgres', q{SELECT fairsched_enqueue(w, cost => c, lane => 'dear') FROM unnest('{dear1,dear2}'::text[]) w, unnest('{1,1000,1,1}'::int[]) c;
  SELECT count(*) FROM fairsched_claim('one', 6, lanes => '{dear}')});
like(rule('quantum'), qr/^low\|tier starter\|fairsched\.tiers\.quantum\|The dearest job costs 1000, 50 times the quantum of 20/, 'quantum');

# Entitlement: claims that are rolled back while others go on. Two sessions hold a round of each; whoever has
# the short one's jobs gives them up, so the rounds pass without it. No slots are declared, so nobody is capped.
$node->safe_psql('postgres', q{
  SELECT fairsched_unregister_worker('w' || i) FROM generate_series(1, 11) i;
  SELECT fairsched_create_workspace(w, max_running => 1000, own_table => false) FROM unnest('{short,long}'::text[]) w;
  SELECT count(fairsched_enqueue_many(w, array_fill('{}'::jsonb, ARRAY[1000]), lane => 'unfair')) FROM unnest('{short,long}'::text[]) w});
my @claimers = map { fs_session($node) } 1 .. 2;
my $round = sub {
  my ($commits, $rounds) = @_;
  foreach my $i (1 .. $rounds)
  {
    my @got = map { $_->ask('BEGIN'); $_->ask(q{SELECT DISTINCT workspace FROM fairsched_claim('one', 20, lanes => '{unfair}', lease => '1 h')}) } @claimers;
    $claimers[$_]->ask($got[$_] =~ $commits ? 'COMMIT' : 'ROLLBACK') foreach 1, 0;
  }
};
$round->(qr/./, 3);
is(rule('entitlement'), '', 'entitlement: not while each gets what is due');
$claimers[0]->ask(q{SELECT fairsched.sample_fairness(now() - interval '1 min')});
$round->(qr/^long$/, 20);
$claimers[0]->ask('SELECT fairsched.sample_fairness(now())');
is($node->safe_psql('postgres', q{SELECT workspace, lacking > 0, competed FROM fairsched.fairness_samples WHERE scope = 'workspace' AND workspace <> 'full'}),
  'short|t|0', 'a sample with room for one workspace has who lacks most, not who was served most');
is($node->safe_psql('postgres', q{SELECT worst_workspace, score < 0.7 FROM fairsched.fairness_samples WHERE scope = 'all'}), 'short|t', 'and names it');
like(rule('entitlement'), qr/^high\|workspace short\|claims\|While it competed it got \d+ of the \d+ cost units that were due to it; of \d+ jobs handed out, to whomever, claims of [1-9]\d* were rolled back\.$/,
  'entitlement: who is short of it, and why');
$_->quit foreach @claimers;

# Leases that run out.
$node->safe_psql('postgres', q{SELECT count(fairsched_enqueue_many('lost', ARRAY(SELECT '{}'::jsonb FROM generate_series(1, 25)), lane => 'lost'));
  SELECT count(*) FROM fairsched_claim('one', 25, lease => '50 ms', lanes => '{lost}')});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched.recommendations('24 hours', clock_timestamp())
  WHERE rule = 'leases' AND subject = 'lane lost' AND reason ~ '^25 of 25 jobs'}), 'leases: workers that do not come back');

# Snapshots, as of a moment to come.
my $old = fs_session($node);
$old->ask('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$node->safe_psql('postgres', q{BEGIN; CREATE TEMP TABLE t (); DROP TABLE t; COMMIT});
$node->safe_psql('postgres', q{BEGIN; SELECT fairsched_enqueue('prepared'); PREPARE TRANSACTION 'held'});
is(rule('snapshot'), '', 'snapshot: none is old');
like(rule('snapshot', '11 minutes'), qr/prepared transaction held\|max_prepared_transactions\|It was prepared 00:1/, 'snapshot: a prepared transaction');
like(rule('snapshot', '11 minutes'), qr/^high\|session \d+\|idle_in_transaction_session_timeout\|It is idle in transaction and has held a snapshot for 00:1/m,
  'snapshot: a session');
$old->ask('COMMIT');
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'held'});

# Autovacuum that does not come.
$node->safe_psql('postgres', q{SELECT fairsched_create_workspace('churn', max_running => 200000, own_table => true);
  SELECT count(fairsched_enqueue_many('churn', ARRAY(SELECT '{}'::jsonb FROM generate_series(1, 10000)), lane => 'churn')) FROM generate_series(1, 11);
  DO $$ BEGIN
    FOR i IN 1 .. 11 LOOP
      PERFORM count(fairsched_cancel_many(ids)) FROM (SELECT array_agg(job_id) AS ids FROM
        (SELECT job_id FROM fairsched.jobs WHERE workspace = 'churn' LIMIT 10000) j) c;
    END LOOP;
  END $$});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched.recommendations('24 hours', clock_timestamp())
  WHERE rule = 'autovacuum' AND subject ~ '^table fairsched\.jobs_\d+$' AND reason ~ '^1\d{5} dead rows beside 0 live ones; the last autovacuum was never'}), 'autovacuum');

# What is said in the report is what the rules say; the most severe comes first.
is($node->safe_psql('postgres', q{SELECT jsonb_array_length(r -> 'recommendations') > 5, r #>> '{recommendations,0,severity}' IN ('high', 'critical'),
  r #>> '{budgets,0,budget}', r #>> '{violations,in_period}', jsonb_array_length(r -> 'workspaces') > 3, r #>> '{totals,running}' <> '0' FROM fairsched_fairness_report() r}),
  't|t|calls|2|t|t', 'the report has it all');

# Bad input, and rights.
like(fs_error($node, 'SELECT fairsched_fairness_report(NULL)'), qr/22004.*period must not be null/s, 'no period');
like(fs_error($node, q{SELECT fairsched_fairness_report('0')}), qr/22023.*period must be between/s, 'an empty period');
like(fs_error($node, q{SELECT fairsched_report_html('-1 day')}), qr/22023.*period must be between.*HINT/s, 'a negative period');
like(fs_error($node, q{SELECT fairsched_report_html('401 days')}), qr/22023/, 'a huge period');
$node->safe_psql('postgres', 'CREATE ROLE nobody');
like(fs_error($node, 'SET ROLE nobody; SELECT fairsched_fairness_report()'), qr/42501/, 'not for everybody');
like(fs_error($node, 'SET ROLE nobody; SELECT fairsched_report_html()'), qr/42501/, 'nor the page');

$node->stop;
done_testing();
