# A worker does not pay for flows that it cannot serve, however many: 10,000 of capabilities it lacks, of other workspaces
# and of its own, ready, parked and urgent. Counted in workspaces that claims looked at, and flows that they asked about.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use Test::More;

# no scheduler: nobody but the claims of this test looks
my $node = fs_node('caps', conf => { 'fairsched.background_workers' => 'off', 'fairsched.max_flows' => 20000, log_min_messages => 'error' });

# What it looked at: workspaces in rings; and gates that said no, for flows that were asked about.
sub looks
{
  return $node->safe_psql('postgres', q{SELECT d.visits, (SELECT coalesce(sum(refusals), 0) FROM fairsched.claim_refusals), (SELECT sum(c.jobs) FROM fairsched.claim_stats c)
    FROM fairsched.database_status d});
}

# 40 jobs in calls of 8, and an empty claim; what that took
sub forty
{
  my ($name) = @_;
  my @before = split /\|/, looks();
  my $session = fs_session($node);
  my $got = 0;

  $got += $session->ask(q{SELECT count(fairsched_complete(job_id, token)) FROM fairsched_claim('plain', 8, lanes => '{work}', capabilities => '{plain}')}) foreach 1 .. 6;
  $session->quit;
  is($got, 40, "$name: forty jobs, and nothing more");
  my @after = split /\|/, looks();
  return join '|', map { $after[$_] - $before[$_] } 0 .. 2;
}

sub some
{
  $node->safe_psql('postgres', q{SELECT count(fairsched_enqueue('w' || i % 4, lane => 'work')) FROM generate_series(1, 40) i});
  return;
}

some();
my $alone = forty('alone');
like($alone, qr/^\d+\|0\|40$/, 'what forty jobs take, when there is nothing else');

$node->safe_psql('postgres', q{
  SELECT count(fairsched_create_workspace('other' || i, own_table => false)) FROM generate_series(1, 4000) i;
  -- of others
  SELECT count(fairsched_enqueue('other' || i, lane => 'work', capabilities => '{gpu}')) FROM generate_series(1, 4000) i});
$node->safe_psql('postgres', q{
  -- of its own: as many flows as jobs, since each declares something else
  SELECT count(fairsched_enqueue('w' || i % 4, lane => 'work', capabilities => '{gpu}', resources => jsonb_build_object('cpu', i / 1000.0))) FROM generate_series(1, 6000) i});
$node->safe_psql('postgres', q{
  -- urgent, aged, of many sets, and some that also need what it has
  SELECT count(fairsched_enqueue('w' || i % 4, lane => 'work', capabilities => ARRAY['plain', 'c' || i % 300], priority => CASE i % 3 WHEN 0 THEN 'P0' ELSE 'P3' END))
    FROM generate_series(1, 1200) i});
cmp_ok($node->safe_psql('postgres', 'SELECT flows_used FROM fairsched.database_status'), '>', 10000, 'more than 10,000 flows');
some();
is(forty('beside 10,000 flows'), $alone, 'with 10,000 flows that it cannot serve it looks at as much as without');

# ... also when they are refused for other reasons, whose causes come and go
$node->safe_psql('postgres', q{SELECT fairsched_set_quota('w' || i, 'cpu', 0.0001) FROM generate_series(0, 3) i});
$node->safe_psql('postgres', q{SELECT count(fairsched_complete(job_id, token)) FROM fairsched_claim('gpu', 1000, lanes => '{work}', capabilities => '{gpu}')}) foreach 1 .. 5;
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.queue_status WHERE parked_reason = 'waiting_for_resources'}), '>', 5000, 'thousands are parked')
  or diag($node->safe_psql('postgres', q{SELECT parked_reason, count(*) FROM fairsched.queue_status GROUP BY 1}));
some();
is(forty('beside parked flows'), $alone, 'with parked ones neither');

# two kinds of workers in turns: each finds places that the other's claims made old, and puts right its own, not those
# of the 300 sets that neither serves
$node->safe_psql('postgres', q{SELECT count(fairsched_enqueue('w' || i % 4, lane => 'work', capabilities => CASE WHEN i % 8 < 4 THEN '{odd}'::text[] ELSE '{plain}' END))
    FROM generate_series(1, 240) i});
{
  my $before = $node->safe_psql('postgres', 'SELECT visits FROM fairsched.database_status');
  my $got = 0;
  my $session = fs_session($node);

  foreach (1 .. 20)
  {
    $got += $session->ask(qq{SELECT count(fairsched_complete(job_id, token)) FROM fairsched_claim('$_', 5, lanes => '{work}', capabilities => '{$_}')}) foreach qw(odd plain);
  }
  $session->quit;
  is($got, 200, 'both kinds get jobs');
  my $looks = $node->safe_psql('postgres', 'SELECT visits FROM fairsched.database_status') - $before;
  cmp_ok($looks, '<=', 3 * $got, 'and look at a few places for each, not at all that their workspaces have');
  note("$looks looks");
  $node->safe_psql('postgres', q{SELECT count(fairsched_complete(job_id, token)) FROM fairsched_claim('both', 1000, lanes => '{work}', capabilities => '{odd,plain}')}) foreach 1 .. 2;
}

# one who has the capabilities pays for what it serves
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('all', 30, lanes => '{work}', capabilities => ARRAY(SELECT 'plain' UNION ALL SELECT 'c' || i FROM generate_series(0, 29) i))}),
  '30', 'who has them gets the jobs');
fs_check_ok($node, 'fairsched_check finds nothing');
$node->stop;
done_testing();
