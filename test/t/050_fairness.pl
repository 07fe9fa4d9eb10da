# What fairsched.fairness says agrees with a count of its own over fairsched.job_history: several claimers
# at once, claims that are rolled back as a whole and to a savepoint, who asks now and then, and who asks
# for nothing; claims of both kinds, durable and not.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = fs_node('main', conf => { max_connections => 40, 'fairsched.max_running' => 20000, 'fairsched.durable_claims' => 'on',
  'fairsched.completed_retention' => "'1d'", 'fairsched.alert_interval' => 0 });
my @steady = ([ 'small', 'starter', 1 ], [ 'other', 'starter', 1 ], [ 'large', 'enterprise', 4 ]);

$node->safe_psql('postgres', q{CREATE TABLE beyond (workspace text, lag float8, bound float8);
  CREATE TABLE looks (n bigserial)});
$node->safe_psql('postgres', "SELECT fairsched_create_workspace('$_->[0]', tier => '$_->[1]', max_running => 10000)")
  foreach @steady, [ 'sparse', 'scale' ], [ 'silent', 'scale' ];

my $work = q{WITH c AS MATERIALIZED (SELECT * FROM fairsched_claim('w' || :client_id, 5))
  SELECT count(fairsched_complete(job_id, token)) FROM c;
};
my $abort = q{BEGIN;
  SELECT count(*) FROM fairsched_claim('w' || :client_id, 7);
  ROLLBACK;
};
my $savepoint = q{BEGIN;
  SELECT count(*) FROM fairsched_claim('w' || :client_id, 2);
  SAVEPOINT s;
  SELECT count(*) FROM fairsched_claim('w' || :client_id, 30);
  ROLLBACK TO s;
  COMMIT;
  WITH r AS MATERIALIZED (SELECT job_id, token FROM fairsched.running_jobs WHERE worker = 'w' || :client_id)
    SELECT count(fairsched_complete(job_id, token)) FROM r;
};
my $ask = q{SELECT fairsched_enqueue('sparse', cost => 2);
};
my $eye = q{INSERT INTO beyond SELECT workspace, lag, bound FROM fairsched.fairness WHERE abs(lag) > bound;
INSERT INTO looks DEFAULT VALUES;
};

# round: some clients at work; what each workspace was due and got meanwhile.
sub round_of
{
  my ($name, $scripts) = @_;
  my $counts = 'SELECT workspace, entitled, competed FROM fairsched.fairness';

  # enough for all claims of this round, also where one tenant would get them all
  foreach my $s (@steady)
  {
    $node->safe_psql('postgres', qq{SELECT count(fairsched_enqueue('$s->[0]', cost => 1 + n % 3))
      FROM generate_series(1, 6000) n});
  }
  $node->safe_psql('postgres', 'TRUNCATE looks');
  my %was = map { $_->[0] => $_ } fs_rows($node, $counts);
  my $watch = fs_pgbench($node, { $eye => 1 }, time => 60, app => 'eye');

  ok(fs_finish(fs_pgbench($node, $scripts, clients => 6, transactions => 200)), "$name: several claimers");
  ok($node->poll_query_until('postgres', 'SELECT count(*) > 3 FROM looks'), "$name: somebody looked");
  $node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'eye'});
  $watch->{handle}->finish;
  is($node->safe_psql('postgres', 'SELECT * FROM beyond LIMIT 5'), '', "$name: lag was never beyond the bound");
  $node->safe_psql('postgres', q{SELECT count(fairsched_complete(job_id, token)) FROM fairsched.running_jobs});

  # independently: what was handed out by claims that were committed
  is($node->safe_psql('postgres', q{SELECT f.workspace, f.served, h.cost FROM fairsched.fairness f
      LEFT JOIN (SELECT workspace, sum(cost) AS cost FROM fairsched.job_history WHERE state = 'completed' GROUP BY 1) h
        USING (workspace) WHERE f.served <> coalesce(h.cost, 0)}), '', "$name: served is what the history says");
  is($node->safe_psql('postgres', q{SELECT workspace, competed, served FROM fairsched.fairness
      WHERE competed <> served}), '', "$name: all of it in competition, as some always had work");
  is($node->safe_psql('postgres', q{SELECT max(abs(share - cost / total)) < 1e-9 FROM fairsched.fairness
      JOIN (SELECT workspace, sum(cost) AS cost, sum(sum(cost)) OVER () AS total FROM fairsched.job_history
        WHERE state = 'completed' GROUP BY 1) h USING (workspace)}), 't', "$name: shares are those of the history");
  is($node->safe_psql('postgres', q{SELECT workspace, entitled, served, share, satisfaction, contending FROM fairsched.fairness
      WHERE workspace = 'silent'}), 'silent|0|0|0|1|f', "$name: who asks for nothing is due nothing, and not badly served");

  # all that competed for it: less what who leaves forfeits, at most a visit each time
  my ($due, $got) = @{ (fs_rows($node, 'SELECT sum(entitled), sum(competed) FROM fairsched.fairness'))[0] };
  cmp_ok($due, '<=', $got + 1, "$name: no more is due than was served");
  cmp_ok($due, '>=', 0.7 * $got, "$name: nor much less");

  my %did = map { my $w = $was{ $_->[0] } || [ '', 0, 0 ]; $_->[0] => [ $_->[1] - $w->[1], $_->[2] - $w->[2] ] }
    fs_rows($node, $counts);
  note("$name: $_ was due $did{$_}[0], got $did{$_}[1]") foreach sort keys %did;
  # those that always had work are due the same for each unit of weight; begun periods may be off by a little
  cmp_ok(abs($did{ $_->[0] }[0] / $_->[2] / $did{small}[0] - 1), '<', 0.1, "$name: due by weight: $_->[0]")
    foreach grep { $_->[0] ne 'small' } @steady;
  return %did;
}

foreach my $durable (qw(on off))
{
  $node->adjust_conf('postgresql.conf', 'fairsched.durable_claims', $durable);
  $node->reload;
  $node->poll_query_until('postgres', "SELECT current_setting('fairsched.durable_claims') = '$durable'") or die;

  # begin anew, so that what is behind from rollbacks of the round before is not counted
  $node->restart if $durable eq 'off';
  $node->safe_psql('postgres', 'TRUNCATE fairsched.job_history');
  my %did = round_of("durable $durable", { $work => 18, $ask => 2 });

  is($node->safe_psql('postgres', q{SELECT score, worst_workspace FROM fairsched.fairness_summary}), '1|',
    "durable $durable: everybody got what was due");
  foreach my $s (@steady)
  {
    cmp_ok($did{ $s->[0] }[1], '>=', $did{ $s->[0] }[0] - $s->[2] * (20 + 2 * 3),
      "durable $durable: $s->[0] got what was due, within the bound");
  }
  round_of("durable $durable, rollbacks", { $work => 12, $abort => 4, $savepoint => 2, $ask => 2 });
}
fs_check_ok($node, 'fairsched_check finds nothing');

# Workers of two kinds, dear jobs, and cheaper ones that come in between: nobody loses a quantum for having
# waited in one ring while others went past him in another.
$node->safe_psql('postgres', 'CREATE DATABASE kinds');
$node->safe_psql('kinds', q{CREATE EXTENSION fairsched;
  CREATE TABLE beyond (workspace text, lag float8, bound float8);
  CREATE TABLE looks (n bigserial);
  SELECT fairsched_create_workspace('w' || n, tier => (ARRAY['starter', 'growth', 'scale', 'enterprise'])[1 + n % 4],
    max_running => 10000) FROM generate_series(1, 12) n;
  SELECT count(fairsched_enqueue('w' || (1 + n % 12), cost => 1 + (n * 7) % 40, priority => 'P' || (1 + n % 3),
    capabilities => CASE WHEN n % 3 = 0 THEN '{gpu}'::text[] ELSE '{}' END)) FROM generate_series(1, 6000) n});
my $watch = fs_pgbench($node, { $eye => 1 }, db => 'kinds', time => 60, app => 'eye');

ok(fs_finish(fs_pgbench($node, {
      $work => 5,
      q{WITH c AS MATERIALIZED (SELECT * FROM fairsched_claim('g' || :client_id, 3, capabilities => '{gpu}'))
        SELECT count(fairsched_complete(job_id, token)) FROM c;
      } => 5,
      q{\set w random(1, 12)
        \set p random(1, 3)
        \set c random(1, 60)
        \set g random(0, 1)
        SELECT count(fairsched_enqueue('w' || :w, cost => :c, priority => 'P' || :p,
          capabilities => CASE WHEN :g = 1 THEN '{gpu}'::text[] ELSE '{}' END)) FROM generate_series(1, 8);
      } => 6 }, db => 'kinds', clients => 4, transactions => 1000)), 'workers of two kinds');
ok($node->poll_query_until('kinds', 'SELECT count(*) > 3 FROM looks'), 'two kinds: somebody looked');
$node->safe_psql('kinds', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'eye'});
$watch->{handle}->finish;
is($node->safe_psql('kinds', 'SELECT workspace, max(abs(lag) / bound) FROM beyond GROUP BY 1'), '',
  'two kinds: lag was never beyond the bound');

# After a restart it begins anew.
$node->restart;
is($node->safe_psql('postgres', q{SELECT bool_and(served = 0 AND entitled = 0 AND competed = 0) FROM fairsched.fairness}), 't',
  'a restart begins anew');

# Waiting times of more workspaces than there are histograms for: those that claimed last have one.
$node->safe_psql('postgres', q{SELECT count(fairsched_enqueue('many_' || n, lane => 'many')) FROM generate_series(1, 1500) n;
  SELECT count(*) FROM fairsched_claim('w', 1500, lanes => '{many}')});
is($node->safe_psql('postgres', q{SELECT count(dwell_p99) FROM fairsched.fairness}), 1024, 'a bounded number of histograms');
ok($node->safe_psql('postgres', q{SELECT dwell_p50 > '0' FROM fairsched.fairness_tiers WHERE tier = 'starter'}) eq 't', 'tiers have theirs');

$node->stop;
done_testing();
