# Many sessions claim, complete, fail and roll back jobs that name several budgets, in four classes, while
# budgets are reset and thresholds hold classes back: never over an amount by more than what the jobs that run
# use beyond their estimates, all budgets of a job or none, nobody of a class that is preempted is left running.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => { max_connections => 60, log_min_messages => 'error', 'fairsched.worker_timeout' => '10min',
    'fairsched.preemption_grace' => '200ms', 'fairsched.max_preemptions' => 1000000 });
my $settled = q{SELECT bool_and(m.crossed = coalesce(t.crossed, 0)) FROM fairsched.memory_budgets() m
  JOIN fairsched.budgets b USING (budget) LEFT JOIN fairsched.budget_totals t USING (budget_id)};

# money and tokens: named by both kinds of jobs together, which use at most what they declare.
# loose: jobs of at most 10 at a time use up to one unit more than they declare.  classes: preempts P3 at 30
# percent and P2 as well at 60; at most 10 of its jobs declare nothing, and use up to one unit whatever the mean is.
$node->safe_psql('postgres', q{
  SELECT fairsched_set_budget('money', 400, throttle_action => 'alert', pause_at => NULL),
    fairsched_set_budget('tokens', 900, dimension => 'tokens', throttle_action => 'alert', pause_at => NULL),
    fairsched_set_budget('loose', 150, throttle_action => 'alert', pause_at => NULL),
    fairsched_set_budget('classes', 300, warn_at => NULL, throttle_at => 0.3, preempt_at => 0.6, pause_at => NULL),
    fairsched_set_budget('mean', 100000, throttle_at => NULL, pause_at => NULL);
  SELECT fairsched_create_workspace(w, max_running => 10, own_table => false) FROM unnest('{loose,mean}'::text[]) w;
  SELECT count(fairsched_enqueue_many(w, (SELECT array_agg('{}'::jsonb) FROM generate_series(1, 10000)), budgets => b, resources => r,
      priority => p, kind => w))
    FROM (VALUES ('both', '{money,tokens}'::text[], '{"cost": 1, "tokens": 3}'::jsonb), ('both2', '{tokens,money,classes}', '{"cost": 2, "tokens": 3}'),
      ('loose', '{loose}', '{"cost": 1}'), ('classes', '{classes}', '{"cost": 1}'), ('mean', '{mean,classes}', '{}')) v(w, b, r),
      unnest('{P1,P2,P3}'::text[]) p;
  CREATE UNLOGGED TABLE held (job_id bigint PRIMARY KEY, workspace text, token bigint);
  CREATE UNLOGGED TABLE violation (what text, budget text, spent numeric, reserved numeric);
  CREATE UNLOGGED TABLE sampled (resets bigint);
  ALTER TABLE held SET (autovacuum_enabled = off);
});

my $n = "\\set n random(1, 5)\n\\set u random(0, 2000)\n";
my $take = q{INSERT INTO held SELECT job_id, workspace, token FROM fairsched_claim('w' || :client_id, :n, lease => '1 hour');};
my $usage = q{jsonb_build_object('cost', :u / CASE h.workspace WHEN 'loose' THEN 1000.0 ELSE 2000.0 END, 'tokens', :u / 1000.0)};
my $give = qq{WITH h AS (SELECT * FROM held ORDER BY random() LIMIT :n FOR UPDATE SKIP LOCKED),
    c AS MATERIALIZED (SELECT h.job_id, fairsched_complete(h.job_id, h.token, usage => $usage) FROM h)
  DELETE FROM held USING c WHERE held.job_id = c.job_id;};
my $lose = q{WITH h AS (SELECT * FROM held ORDER BY random() LIMIT 2 FOR UPDATE SKIP LOCKED),
    c AS MATERIALIZED (SELECT h.job_id, CASE h.job_id % 3 WHEN 0 THEN fairsched_release(h.job_id, h.token)
      WHEN 1 THEN fairsched_yield(h.job_id, h.token, '{}') ELSE fairsched_fail(h.job_id, h.token, 'no', '0 s') <> 'lost' END FROM h)
  DELETE FROM held USING c WHERE held.job_id = c.job_id;};
# finish and take the next in one call
my $swap = q{WITH h AS (SELECT * FROM held ORDER BY random() LIMIT :n FOR UPDATE SKIP LOCKED),
    d AS (DELETE FROM held USING h WHERE held.job_id = h.job_id),
    a AS (SELECT array_agg(job_id) AS ids, array_agg(token) AS tokens FROM h HAVING count(*) > 0)
  INSERT INTO held SELECT c.job_id, c.workspace, c.token FROM a, fairsched_complete_and_claim(a.ids, a.tokens, 'w' || :client_id, :n, lease => '1 hour') c;};
my %load = (
  "$n$take" => 5, "$n$give" => 5, "$n$lose" => 2, "$n$swap" => 3,
  "${n}BEGIN;\n$take\nROLLBACK;\n" => 2,
  "${n}BEGIN;\n$give\nROLLBACK;\n" => 2,
  "${n}BEGIN;\n$swap\nROLLBACK;\n" => 1,
  "${n}BEGIN;\n$take\nSAVEPOINT a;\n$swap\nROLLBACK TO a;\n$give\nCOMMIT;\n" => 2,
  "${n}BEGIN;\nSAVEPOINT a;\n$give\nSAVEPOINT b;\n$take\nRELEASE b;\nROLLBACK TO a;\n$take\nCOMMIT;\n" => 2,
  # money comes again in both of its budgets, together or apart
  "\\set b random(0, 4)\nSELECT fairsched_reset_budget((ARRAY['money', 'tokens', 'loose', 'classes', 'mean'])[:b + 1]);\n\\sleep 20 ms\n" => 1);
# all of one moment: memory_budgets() looks under the lock
my $sampler = q{
INSERT INTO violation SELECT 'over', m.budget, m.spent, m.reserved FROM fairsched.memory_budgets() m JOIN fairsched.budgets b USING (budget)
  WHERE m.budget <> 'mean' AND m.spent + m.reserved > 1000000 * (b.amount + CASE WHEN m.budget IN ('loose', 'classes') THEN 10 ELSE 0 END);
INSERT INTO violation SELECT 'not what is held', m.budget, m.held, m.reserved FROM fairsched.memory_budgets() m WHERE m.held <> m.reserved;
-- tokens: 3 a job; money: 1 or 2 a job
WITH m AS MATERIALIZED (SELECT * FROM fairsched.memory_budgets())
INSERT INTO violation SELECT 'in part', 'money', x.reserved, y.reserved FROM m x, m y WHERE x.budget = 'money' AND y.budget = 'tokens' AND
  (y.reserved % 3000000 <> 0 OR x.reserved % 1000000 <> 0 OR x.reserved NOT BETWEEN y.reserved / 3 AND y.reserved / 3 * 2);
INSERT INTO sampled SELECT sum(period) FROM fairsched.budgets;
};
my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
my @fine = (1, 1);
# in rounds, so that on a slow machine enough happens as well
do
{
  my @load = (fs_pgbench($node, \%load, clients => 14, time => 8), fs_pgbench($node, { $sampler => 1 }, time => 8, app => 'sampler'));

  $fine[$_] &&= fs_finish($load[$_]) foreach 0, 1;
} while (time < $deadline && $node->safe_psql('postgres', q{SELECT count(*) <= 10 OR max(resets) <= 15
  OR (SELECT count(*) FROM fairsched.budget_events) <= 5 FROM sampled}) eq 't');
ok($_, 'no client met an error') foreach @fine;
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM sampled'), '>', 10, 'many samples');
cmp_ok($node->safe_psql('postgres', 'SELECT max(resets) FROM sampled'), '>', 15, 'many resets');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.budget_events}), '>', 5, 'and crossings');
is($node->safe_psql('postgres', 'SELECT what, budget, count(*), max(spent + reserved) FROM violation GROUP BY 1, 2'), '',
  'never over an amount but for errors of estimates; what is reserved is what running jobs hold; all budgets of a job or none');
fs_check_ok($node, 'memory equals the rows');

# A threshold is crossed while claims are under way: in the end nobody of its classes runs who was not
# asked, although claims that were open when it was crossed commit afterwards. They are given back, and go on when it is lifted.
$node->safe_psql('postgres', q{SELECT fairsched_set_budget('classes', 100000, warn_at => NULL, throttle_at => 0.3, preempt_at => 0.6, pause_at => NULL);
  SELECT fairsched_reset_budget(budget) FROM fairsched.budgets;
  SELECT count(fairsched_complete(job_id, token)) FROM fairsched.running_jobs;
  SELECT fairsched_create_workspace('late', max_running => 1000);
  SELECT count(fairsched_enqueue('late', lane => 'late', priority => p, budgets => '{classes}', resources => '{"cost": 1}'))
    FROM unnest('{P2,P3}'::text[]) p, generate_series(1, 400)});
my $late = "BEGIN;\nSELECT count(*) FROM fairsched_claim('w' || :client_id, 1, lanes => '{late}', lease => '1 hour');\n\\sleep 40 ms\nCOMMIT;\n";
my $stop = $node->basedir . '/stop';
my $claims = fs_pgbench($node, { $late => 1 }, clients => 8, transactions => 20, forever => $stop);
my $p3 = q{FROM fairsched.running_jobs r JOIN fairsched.jobs j USING (job_id) WHERE j.priority IN ('P2', 'P3') AND 'classes' = ANY (j.budgets)};
ok($node->poll_query_until('postgres', "SELECT count(*) > 20 $p3"), 'jobs of the classes run');
$node->safe_psql('postgres', q{SELECT fairsched_record_spend('classes', 70000)});
append_to_file($stop, 'now');
ok(fs_finish($claims), 'claims and a crossing at once');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 $p3"), 'all of them were asked, and gave back what they had');
is($node->safe_psql('postgres', q{SELECT priority FROM fairsched_claim('late', 50) JOIN fairsched.jobs USING (job_id, priority)
    WHERE 'classes' = ANY (budgets) AND priority <> 'P1'}), '', 'nobody of them is handed out again');
my $waiting = q{SELECT count(*) FROM fairsched.preemption_history WHERE outcome = 'preempted' AND reason = 'budget_exceeded'};
cmp_ok($node->safe_psql('postgres', $waiting), '>', 10, 'they wait as preempted');
$node->stop('immediate');
$node->start;
fs_check_ok($node, 'memory equals the rows after a crash');
is($node->safe_psql('postgres', q{SELECT classes_held_back FROM fairsched.budget_status WHERE budget = 'classes'}), '{P2,P3}',
  'after a crash the classes are held back as before');
cmp_ok($node->safe_psql('postgres', $waiting), '>', 10, 'and they wait still');
$node->safe_psql('postgres', q{SELECT fairsched_reset_budget('classes')});
ok($node->poll_query_until('postgres', "SELECT ($waiting) = 0"), 'a reset: all go on');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.jobs WHERE state = 'preempted' AND run_at = 'infinity'}), '0', 'none is forgotten');

# A paused budget resumes once, however it comes to it, while the scheduler is terminated again and again.
$node->safe_psql('postgres', q{SELECT fairsched_set_budget(b, 10, warn_at => NULL, throttle_at => NULL) FROM unnest('{raised,by_hand}'::text[]) b;
  SELECT fairsched_set_budget('itself', 10, warn_at => NULL, throttle_at => NULL, reset_every => '1 s')});
foreach my $round (1 .. 3)
{
  $node->safe_psql('postgres', q{SELECT fairsched_record_spend(b, 10) FROM unnest('{raised,by_hand,itself}'::text[]) b});
  my $old = fs_scheduler_pid($node);
  $node->safe_psql('postgres', "SELECT pg_terminate_backend($old)") if $old;
  ok($node->poll_query_until('postgres', $settled), "round $round: paused");
  $node->safe_psql('postgres', qq{SELECT fairsched_set_budget('raised', 10 + 20 * $round, warn_at => NULL, throttle_at => NULL);
    SELECT fairsched_reset_budget('raised'); SELECT fairsched_set_budget('raised', 10, warn_at => NULL, throttle_at => NULL)}) if $round % 2;
  $node->safe_psql('postgres', qq{SELECT fairsched_set_budget('raised', 10 + 20 * $round, warn_at => NULL, throttle_at => NULL)}) unless $round % 2;
  $node->safe_psql('postgres', q{SELECT fairsched_reset_budget('by_hand')});
  ok($node->poll_query_until('postgres', q{SELECT NOT paused AND spent = 0 FROM fairsched.budget_status WHERE budget = 'itself'}), 'reset by itself');
  ok($node->poll_query_until('postgres', $settled), 'written');
  is($node->safe_psql('postgres', q{SELECT budget, count(*) FILTER (WHERE event_type = 'pause'), count(*) FILTER (WHERE event_type = 'resume'),
      count(*) FILTER (WHERE resolved_at IS NULL) FROM fairsched.budget_events WHERE budget IN ('raised', 'by_hand', 'itself') GROUP BY 1 ORDER BY 1}),
    "by_hand|$round|$round|0\nitself|$round|$round|0\nraised|$round|$round|0", 'each pause has one resume');
  $node->safe_psql('postgres', q{SELECT fairsched_reset_budget('raised'); SELECT fairsched_set_budget('raised', 10, warn_at => NULL, throttle_at => NULL)});
}
is($node->safe_psql('postgres', q{SELECT type, count(*) FROM fairsched.alerts WHERE resolved_at IS NULL AND subject IN ('raised', 'by_hand', 'itself') GROUP BY 1}),
  '', 'no alert is left open');
is($node->safe_psql('postgres', q{SELECT DISTINCT occurrences FROM fairsched.alerts WHERE type = 'budget_paused'}), '1', 'each was raised once');
# events and alerts of a budget that was removed unnoticed are resolved as well
$node->safe_psql('postgres', q{SELECT fairsched_record_spend('by_hand', 10)});
ok($node->poll_query_until('postgres', $settled), 'paused once more');
$node->append_conf('postgresql.conf', "fairsched.background_workers = off\n");
$node->restart;
$node->safe_psql('postgres', q{DELETE FROM fairsched.budgets WHERE budget = 'by_hand'});
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.budget_events WHERE budget = 'by_hand' AND resolved_at IS NULL}), '1', 'nobody came to write');
$node->append_conf('postgresql.conf', "fairsched.background_workers = on\n");
$node->stop('immediate');
$node->start;
ok($node->poll_query_until('postgres', q{SELECT (SELECT count(*) FROM fairsched.budget_events WHERE budget = 'by_hand' AND resolved_at IS NULL) +
  (SELECT count(*) FROM fairsched.alerts WHERE subject = 'by_hand' AND resolved_at IS NULL) = 0}), 'they are resolved after the start');
$node->stop;
done_testing();
