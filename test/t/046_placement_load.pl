# Under load, with placements, lanes and draining changed at random: no worker is ever handed out what was placed elsewhere for as
# long as its claim took, and nothing is lost. And a claimer does not meet what is placed elsewhere: counted, not timed.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.default_quota' => 100000, 'fairsched.max_rings' => 4096,
  'fairsched.move_placements' => 'off' });
my ($workspaces, $lanes, $nodes) = (12, 3, 4);

$node->safe_psql('postgres', qq{
  SELECT count(fairsched_register_worker('w' || i, slots => 4, node => 'n' || i)) FROM generate_series(1, $nodes) i;
  SELECT count(fairsched_enqueue('s' || i % $workspaces, lane => 'l' || i % $lanes, capabilities => CASE WHEN i % 5 = 0 THEN '{gpu}' ELSE '{}' END::text[]))
    FROM generate_series(1, 3000) i;

  -- what was placed from when to when: it may hold between begun and the next one's ended
  CREATE TABLE version (what text, nodes text[], begun timestamptz, ended timestamptz);
  CREATE TABLE taken (job_id bigint, workspace text, lane text, node text, begun timestamptz, ended timestamptz DEFAULT clock_timestamp());
  INSERT INTO version SELECT w, NULL, '-infinity', '-infinity' FROM (SELECT 'ws' || i FROM generate_series(0, $workspaces - 1) i
    UNION ALL SELECT 'll' || i FROM generate_series(0, $lanes - 1) i UNION ALL SELECT 'nn' || i FROM generate_series(1, $nodes) i) v(w);

  CREATE PROCEDURE change(client int) LANGUAGE plpgsql AS \$\$
  DECLARE
    kind float := random();
    begun timestamptz := clock_timestamp();
    what text;
    list text[] := ARRAY(SELECT 'n' || i FROM generate_series(1, $nodes) i WHERE random() < 0.4);
  BEGIN
    -- a client changes things of its own, so versions of a thing are one after the other
    IF kind < 0.7 THEN
      what := 's' || client * 4 + floor(random() * 4)::int;
      PERFORM CASE WHEN list = '{}' THEN fairsched_unplace(what)
        ELSE fairsched_place(what, list, CASE WHEN random() < 0.2 THEN 1 END) END;
      SELECT CASE WHEN list <> '{}' THEN array_agg(p.node) END INTO list FROM fairsched.placements p WHERE p.chain_kind = 'workspace' AND p.chain = what;
      what := 'w' || what;
    ELSIF kind < 0.85 THEN
      what := 'l' || client;
      PERFORM CASE WHEN list = '{}' THEN fairsched_unplace_lane(what) ELSE fairsched_place_lane(what, list) END;
      SELECT CASE WHEN list <> '{}' THEN array_agg(p.node) END INTO list FROM fairsched.placements p WHERE p.chain_kind = 'lane' AND p.chain = what;
      what := 'l' || what;
    ELSE
      what := 'n' || client + 1;
      IF random() < 0.4 THEN
        PERFORM fairsched_drain_node(what);
        list := '{}';
      ELSE
        PERFORM fairsched_undrain_node(what);
        list := NULL;
      END IF;
      what := 'n' || what;
    END IF;
    IF random() < 0.1 THEN
      ROLLBACK;
      RETURN;
    END IF;
    COMMIT;
    INSERT INTO version VALUES (what, list, begun, clock_timestamp());
  END \$\$;

  CREATE FUNCTION work(n int, max int) RETURNS void LANGUAGE plpgsql AS \$\$
  DECLARE
    begun timestamptz := clock_timestamp();
    c record;
  BEGIN
    FOR c IN SELECT * FROM fairsched_claim('w' || n, max, '10 min', '{l0,l1,l2}', CASE WHEN random() < 0.5 THEN '{gpu}' ELSE '{}' END::text[]) LOOP
      INSERT INTO taken (job_id, workspace, lane, node, begun) VALUES (c.job_id, c.workspace, c.lane, 'n' || n, begun);
      IF random() < 0.8 THEN
        PERFORM fairsched_complete(c.job_id, c.token);
      ELSE
        PERFORM fairsched_release(c.job_id, c.token);
      END IF;
    END LOOP;
    IF random() < 0.1 THEN
      RAISE EXCEPTION 'thrown away';
    END IF;
  EXCEPTION WHEN raise_exception THEN
    NULL;
  END \$\$;
});

my @runs = (
  fs_pgbench($node, { "CALL change(:client_id)" => 1 }, clients => 3, transactions => 200),
  fs_pgbench($node, { "\\set n random(1, $nodes)\n\\set max random(1, 5)\nSELECT work(:n, :max)" => 1 }, clients => 4, transactions => 300),
  fs_pgbench($node, { "\\set w random(0, $workspaces - 1)\n\\set l random(0, $lanes - 1)\nSELECT job_id FROM fairsched_enqueue('s' || :w, lane => 'l' || :l)" => 1 },
    clients => 1, transactions => 300));
ok(fs_finish($_), 'clients ended without an error') foreach @runs;

cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM taken'), '>', 300, 'jobs were handed out');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM version WHERE ended > begun'), '>', 400, 'placements were changed');

# A version holds at the earliest when it was begun, and at the latest until the next one has ended.
is($node->safe_psql('postgres', q{
  WITH v AS (SELECT what, nodes, begun, lead(ended, 1, 'infinity') OVER (PARTITION BY what ORDER BY begun) AS until FROM version),
  rule AS (SELECT t.*, 'w' || t.workspace AS what FROM taken t UNION ALL SELECT t.*, 'l' || t.lane FROM taken t UNION ALL SELECT t.*, 'n' || t.node FROM taken t)
  SELECT r.job_id, r.node, r.what, r.begun, r.ended FROM rule r WHERE NOT EXISTS (SELECT FROM v WHERE v.what = r.what
    AND v.begun <= r.ended AND v.until >= r.begun AND (v.nodes IS NULL OR r.node = ANY (v.nodes)))}),
  '', 'no worker was ever handed out what was placed elsewhere');

# In the end memory says what the rows say
my $wrong = $node->safe_psql('postgres', q{
  CREATE TABLE final AS SELECT n, c.workspace, c.lane FROM generate_series(1, 4) n,
    LATERAL fairsched_claim('w' || n, 10000, '10 min', '{l0,l1,l2}', '{gpu}') c;
  SELECT DISTINCT f.* FROM final f WHERE (SELECT draining FROM fairsched.nodes WHERE node = 'n' || f.n)
    OR EXISTS (SELECT FROM fairsched.placement_chains c WHERE (c.chain_kind = 'workspace' AND c.chain = f.workspace OR c.chain_kind = 'lane' AND c.chain = f.lane)
      AND c.desired > 0 AND NOT EXISTS (SELECT FROM fairsched.placements p WHERE p.chain_kind = c.chain_kind AND p.chain = c.chain AND p.node = 'n' || f.n))});
is($wrong, '', 'in the end placements hold as the rows say');
$node->safe_psql('postgres', q{SELECT count(fairsched_release(job_id, token)) FROM fairsched.running_jobs;
  DELETE FROM fairsched.placement_chains; SELECT fairsched_undrain_node(node) FROM fairsched.nodes});
my $left = $node->safe_psql('postgres', 'SELECT count(*) FROM fairsched.jobs');
is(scalar(fs_drain_all($node, 'postgres', q{worker => 'w1', max_jobs => 1000, lanes => '{l0,l1,l2}', capabilities => '{gpu}'})), $left,
  'once nothing is placed, everything that is left is served');
fs_check_ok($node, 'memory equals the rows');

# Ten thousand workspaces are placed elsewhere: not one is looked at
$node->safe_psql('postgres', q{
  INSERT INTO fairsched.placement_chains (chain_kind, chain, desired) SELECT 'workspace', 'm' || i, 1 FROM generate_series(1, 9000) i;
  INSERT INTO fairsched.placements (chain_kind, chain, node) SELECT 'workspace', 'm' || i, 'n' || 1 + i % 2 FROM generate_series(1, 9000) i;
  SELECT count(fairsched_enqueue('m' || i)) FROM generate_series(1, 9000) i});
my $visits = 'SELECT visits FROM fairsched.database_status';
my $before = $node->safe_psql('postgres', $visits);
is($node->safe_psql('postgres', q{SELECT count(*) FROM generate_series(1, 50), LATERAL fairsched_claim('w3')}), '0', 'a worker elsewhere gets nothing');
is($node->safe_psql('postgres', $visits), $before, 'and looks at none of them');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w1', 50)}), '50', 'one that holds half of them is served');
cmp_ok($node->safe_psql('postgres', $visits) - $before, '<=', 100, 'and looks at those it takes');

# All move at once
$before = $node->safe_psql('postgres', $visits);
$node->safe_psql('postgres', q{UPDATE fairsched.placements SET node = 'n3'});
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w1')}), '0', 'all were moved');
is($node->safe_psql('postgres', $visits), $before, 'and are not met there any more');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w3', 1000)}), '1000', 'but where they are');

$node->stop;
done_testing();
