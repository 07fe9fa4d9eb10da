# Quotas and rate limits under load: clients that claim, finish, roll back, roll back to savepoints and
# are killed. Never over any held quota, never over the window in any window, no leaked charge; after a
# crash what is held and consumed is known again before the first claim.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = 8;
my $node = fs_node('admission', conf => { restart_after_crash => 'on', max_connections => 60 });
my $stop = $node->basedir . '/stop';

$node->safe_psql('postgres', q{
  SELECT fairsched_create_workspace(w, max_running => 1000, own_table => w = 'cpu') FROM unnest('{cpu,runs,rate,free}'::text[]) w;
  SELECT fairsched_set_quota('cpu', 'cpu', 4), fairsched_set_quota('cpu', 'memory', 6), fairsched_set_quota('cpu', 'gpu', 3);
  SELECT fairsched_set_quota('runs', 'concurrent_runs', 5);
  SELECT fairsched_set_quota('runs', 'tokens', 1000000), fairsched_set_throttle('runs', false);
  SELECT fairsched_set_rate_limit('rate', 40, '1 s');
  SELECT fairsched_set_quota('calls', 'tokens', 100), fairsched_set_throttle('calls', false);
  CREATE UNLOGGED TABLE allowed (amount int);
  SELECT count(fairsched_enqueue_many('cpu', ARRAY(SELECT '{}'::jsonb FROM generate_series(1, 3000)),
    resources => r::jsonb)) FROM unnest('{"{\"cpu\": 0.5, \"memory\": 2}","{\"cpu\": 1.5, \"gpu\": 1}","{\"cpu\": 4}","{\"gpu\": 2, \"memory\": 0.25}"}'::text[]) r;
  SELECT count(fairsched_enqueue_many('runs', ARRAY(SELECT '{}'::jsonb FROM generate_series(1, 10000))));
  SELECT count(fairsched_enqueue_many('rate', ARRAY(SELECT '{}'::jsonb FROM generate_series(1, 10000))));
  SELECT count(fairsched_enqueue_many('free', ARRAY(SELECT '{}'::jsonb FROM generate_series(1, 10000))));
  CREATE UNLOGGED TABLE held (job_id bigint PRIMARY KEY, workspace text, token bigint, resources jsonb);
  CREATE UNLOGGED TABLE claims (workspace text, at timestamptz);
  CREATE UNLOGGED TABLE violation (what text, n numeric);
  CREATE UNLOGGED TABLE sampled (n int);
  -- what clients hold of each resource
  CREATE VIEW holds AS SELECT workspace, r.key AS resource, sum(r.value::numeric) AS n
    FROM held, jsonb_each_text(coalesce(resources, '{}') || '{"concurrent_runs": 1}') r GROUP BY 1, 2;
  CREATE FUNCTION take(worker text, n int) RETURNS void LANGUAGE sql AS $$
    WITH c AS MATERIALIZED (SELECT c.job_id, c.workspace, c.token, c.lease_expires_at - interval '1 hour' AS at
        FROM fairsched_claim(worker, n, lease => '1 hour') c),
      l AS (INSERT INTO claims SELECT workspace, at FROM c)
    INSERT INTO held SELECT c.job_id, c.workspace, c.token, (SELECT j.resources FROM fairsched.jobs j WHERE j.job_id = c.job_id) FROM c
  $$;
  -- finish and claim in one call: what is held passes from job to job
  CREATE FUNCTION swap(worker text, n int) RETURNS void LANGUAGE plpgsql AS $$
  DECLARE
    ids bigint[];
    tokens bigint[];
  BEGIN
    SELECT array_agg(job_id), array_agg(token) INTO ids, tokens
      FROM (SELECT job_id, token FROM held ORDER BY random() LIMIT n FOR UPDATE SKIP LOCKED) h;
    DELETE FROM held WHERE job_id = ANY (ids);
    WITH c AS MATERIALIZED (SELECT c.job_id, c.workspace, c.token, c.lease_expires_at - interval '1 hour' AS at
        FROM fairsched_complete_and_claim(coalesce(ids, '{}'), coalesce(tokens, '{}'), worker, n, lease => '1 hour') c),
      l AS (INSERT INTO claims SELECT workspace, at FROM c)
    INSERT INTO held SELECT c.job_id, c.workspace, c.token, (SELECT j.resources FROM fairsched.jobs j WHERE j.job_id = c.job_id) FROM c;
  END
  $$;
});

my $take = q{SELECT take('w' || :client_id, :n);};
my $give = q{WITH h AS (SELECT * FROM held ORDER BY random() LIMIT :n FOR UPDATE SKIP LOCKED),
    c AS MATERIALIZED (SELECT h.* FROM h WHERE fairsched_complete(h.job_id, h.token, usage => '{"tokens": 1.5}'))
  DELETE FROM held USING c WHERE held.job_id = c.job_id;};
my $back = q{WITH h AS (SELECT * FROM held ORDER BY random() LIMIT 2 FOR UPDATE SKIP LOCKED),
    c AS MATERIALIZED (SELECT h.* FROM h WHERE fairsched_release(h.job_id, h.token))
  DELETE FROM held USING c WHERE held.job_id = c.job_id;};
my $swap = q{SELECT swap('w' || :client_id, :n);};
my $n = "\\set n random(1, 6)\n";

my %steady = (
  "$n$take" => 4,
  "$n$give" => 5,
  "$n$back" => 2,
  "$n$swap" => 4,
  "${n}BEGIN;\n$swap\nSAVEPOINT a;\n$swap\nROLLBACK TO a;\n$swap\nCOMMIT;\n" => 2,
  "${n}BEGIN;\n$take\n$swap\nROLLBACK;\n" => 1,
  "${n}BEGIN;\n$take\nROLLBACK;\n" => 2,
  "${n}BEGIN;\n$give\nROLLBACK;\n" => 1,
  "${n}BEGIN;\n$take\nSAVEPOINT a;\n$take\nROLLBACK TO a;\n$give\nCOMMIT;\n" => 2,
  "${n}BEGIN;\nSAVEPOINT a;\n$give\nSAVEPOINT b;\n$take\nRELEASE b;\nROLLBACK TO a;\n$take\nCOMMIT;\n" => 2,
  "${n}BEGIN;\n$give\n$take\nCOMMIT;\n" => 3,
  # explicit calls
  "INSERT INTO allowed SELECT 3 FROM fairsched_enforce_quota('calls', 'tokens', 3) WHERE allowed;\n" => 2,
  "BEGIN;\nINSERT INTO allowed SELECT 3 FROM fairsched_enforce_quota('calls', 'tokens', 3) WHERE allowed;\nROLLBACK;\n" => 2,
  # quotas that are set again while all this goes on
  "SELECT fairsched_set_quota('cpu', 'memory', 6);\nSELECT fairsched_set_rate_limit('rate', 40, '1 s');\n" => 1);
my %victim = (
  "${n}BEGIN;\n$take\nSELECT pg_sleep(0.01);\n$give\nSAVEPOINT a;\n$take\nSELECT pg_sleep(0.01);\nCOMMIT;\n" => 1);
my $sampler = q{
WITH q(workspace, resource, quota) AS (VALUES ('cpu', 'cpu', 4), ('cpu', 'memory', 6), ('cpu', 'gpu', 3), ('runs', 'concurrent_runs', 5))
INSERT INTO violation
  SELECT 'held ' || resource, n FROM holds JOIN q USING (workspace, resource) WHERE n > quota
  UNION ALL
  SELECT 'counter ' || resource, used FROM fairsched.workspace_usage_current WHERE used > quota AND resource <> 'tokens'
  UNION ALL
  SELECT 'negative ' || resource, used FROM fairsched.workspace_usage_current WHERE used < 0;
INSERT INTO sampled VALUES (1);
};

my @load = (
  fs_pgbench($node, \%steady, clients => 10, time => 3, forever => $stop),
  fs_pgbench($node, { $sampler => 1 }, time => 3, forever => $stop, app => 'sampler'));
my @victims = map { fs_pgbench($node, \%victim, clients => 1, time => 1, forever => $stop,
    app => 'victim') } 1 .. 3;
my $killer = fs_session($node);
my $kills = 0;
# Some seconds, and more on a slow machine until enough has happened to mean something.
my $end = time + $seconds - 1;
my $deadline = time + 0.75 * $PostgreSQL::Test::Utils::timeout_default;
while (time < $end || (time < $deadline && ($kills <= 10 || $killer->ask(q{SELECT (SELECT count(*) FROM sampled) <= 50
    OR (SELECT count(*) FROM claims WHERE workspace = 'rate') <= 150 OR (SELECT coalesce(sum(amount), 0) FROM allowed) < 99}) eq 't')))
{
  $kills += $killer->ask(q{SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid
    FROM pg_stat_activity, pg_sleep(0.05) WHERE application_name = 'victim' AND xact_start IS NOT NULL
    ORDER BY random() LIMIT 1) v});
}
append_to_file($stop, 'now');
ok(fs_finish($_), 'no client met an error') foreach @load;
$_->{handle}->finish foreach @victims;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity
  WHERE application_name IN ('victim', 'pgbench')}), 'all clients are gone');

cmp_ok($kills, '>', 10, "$kills sessions were killed");
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM sampled'), '>', 50, 'many samples');
is($node->safe_psql('postgres', 'SELECT what, max(n), count(*) FROM violation GROUP BY 1'), '',
  'never over a held quota, by what clients hold and by the counters');
is($node->safe_psql('postgres', q{SELECT sum(amount), (SELECT sum(amount) FROM fairsched.workspace_usage WHERE workspace = 'calls'),
    (SELECT used FROM fairsched.workspace_usage_current WHERE workspace = 'calls' AND resource = 'tokens') FROM allowed}), '99|99|99',
  'explicit calls are allowed exactly as often as fits');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM claims WHERE workspace = 'rate'}), '>', 150,
  'the rate limit let many through');
is($node->safe_psql('postgres', q{SELECT n FROM (SELECT count(*) OVER (ORDER BY at RANGE BETWEEN '999.999 ms'::interval PRECEDING
      AND CURRENT ROW) AS n FROM claims WHERE workspace = 'rate') c WHERE n > 40 LIMIT 1}), '',
  'never more claims than allowed in any window');

# The books agree, and nothing leaked: all that is free can be had.
sub books
{
  my ($when) = @_;
  my $q = q{WITH m AS (SELECT workspace, resource, used FROM fairsched.workspace_usage_current
        WHERE used <> 0 AND resource NOT IN ('tokens', 'cost', 'storage') AND workspace IN ('cpu', 'runs'))
      SELECT * FROM m FULL JOIN (SELECT workspace, r.key AS resource, sum(r.value::numeric) AS n
          FROM fairsched.jobs, jsonb_each_text(coalesce(resources, '{}') || '{"concurrent_runs": 1}') r
          WHERE state = 'running' AND workspace IN ('cpu', 'runs') GROUP BY 1, 2) h USING (workspace, resource)
        WHERE used IS DISTINCT FROM n};

  is($node->safe_psql('postgres', $q), '', "$when: held is what running rows declared");
  is($node->safe_psql('postgres', q{SELECT used = (SELECT coalesce(sum(amount), 0) FROM fairsched.workspace_usage
      WHERE workspace = 'runs' AND resource = 'tokens') FROM fairsched.workspace_usage_current WHERE workspace = 'runs' AND resource = 'tokens'}),
    't', "$when: consumed is what was recorded");
  fs_check_ok($node, "$when: fairsched_check finds nothing");
}
books('after the load');
$node->safe_psql('postgres', q{WITH c AS MATERIALIZED (SELECT h.job_id FROM held h WHERE fairsched_complete(h.job_id, h.token)),
  d AS (DELETE FROM held) SELECT 1 FROM c});
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.workspace_usage_current WHERE used <> 0 AND resource NOT IN ('tokens', 'cost', 'concurrent_runs')}),
  '0', 'all done: nothing is held');
$node->safe_psql('postgres', q{SELECT take('all', 60) FROM generate_series(1, 5)});
is($node->safe_psql('postgres', q{SELECT n FROM holds WHERE workspace = 'runs' AND resource = 'concurrent_runs'}), '5',
  'the quota of runs is reached exactly');
cmp_ok($node->safe_psql('postgres', q{SELECT coalesce(max(n), 0) FROM holds WHERE workspace = 'cpu' AND resource = 'cpu'}), '<=', 4,
  'that of cpu is not passed');
is($node->safe_psql('postgres', q{SELECT resources FROM (SELECT resources, min(job_id) AS j FROM fairsched.jobs
    WHERE workspace = 'cpu' AND state = 'available' GROUP BY 1) f
  WHERE NOT EXISTS (SELECT FROM fairsched_explain(j) WHERE verdict = 'refuse')}), '',
  'and no job that fits was left waiting');

# A crash. Everything is derived again before the first claim.
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM fairsched.rate_windows WHERE workspace = 'rate'}),
  'the scheduler saved the rate window');
$node->stop('immediate');
$node->start;
books('after the crash');
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM fairsched_claim('after', 100, lease => '1 h') WHERE workspace = 'rate'}),
  'the window opens again');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.workspace_usage_current WHERE used > quota}), '0',
  'and no quota is passed');

# A parked workspace whose time has come wakes who waits, without anybody else's doing.
$node->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('late', 1, '8 s');
  SELECT count(fairsched_enqueue('late', lane => 'late')) FROM generate_series(1, 2)});
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('late', lanes => '{late}');
  SELECT count(*) FROM fairsched_claim('late', lanes => '{late}')}), "1\n0", 'refused at first');
is($node->safe_psql('postgres', q{ALTER SYSTEM SET fairsched.max_wait = '10 min'}) . $node->safe_psql('postgres', 'SELECT pg_reload_conf()'), 't', 'a setting');
ok($node->poll_query_until('postgres', q{SELECT current_setting('fairsched.max_wait') = '10min'}), 'a long wait is allowed');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('late', lanes => '{late}', max_wait => '10 min')}), '1',
  'a waiting claim is woken when the window opens');

$node->stop;
done_testing();
