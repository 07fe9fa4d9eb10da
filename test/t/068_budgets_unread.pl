# Budgets whose figures are not known, because their tables changed and cannot be read yet, let nobody in, and say so;
# nor do they let a job in that names more than a job can, whoever brought its row.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use Test::More;

my $node = fs_node('unread');

sub claim
{
  my ($lane, $n) = @_;

  return $node->safe_psql('postgres', "SELECT count(*) FROM fairsched_claim('w', $n, lease => '1 h', lanes => '{$lane}')");
}

sub why
{
  my ($lane) = @_;

  return $node->safe_psql('postgres', qq{SELECT parked_reason, parked_detail, retry_at FROM fairsched.queue_status WHERE lane = '$lane'});
}

sub explained
{
  my ($lane) = @_;

  return $node->safe_psql('postgres', qq{SELECT verdict, detail, retry_at FROM fairsched_explain(
    (SELECT min(job_id) FROM fairsched.jobs WHERE lane = '$lane' AND state = 'available')) WHERE gate = 'budget'});
}

# What was spent of a budget, as a hand, or a restore, writes it.
sub spent_by_hand
{
  my ($budget, $millionths) = @_;

  $node->safe_psql('postgres', qq{INSERT INTO fairsched.budget_totals (budget_id, period, spent)
    SELECT budget_id, period, $millionths FROM fairsched.budgets WHERE budget = '$budget'});
  return;
}

my $spent = q{SELECT spent FROM fairsched.budget_status WHERE budget = 'b'};
$node->safe_psql('postgres', q{
  SELECT fairsched_set_budget('b', 100);
  SELECT count(fairsched_enqueue('ws', lane => 'b', budgets => '{b}', resources => '{"cost": 1}')) FROM generate_series(1, 9);
  SELECT fairsched_enqueue('ws', lane => 'free')});
is(claim('b', 1), '1', 'at first there is room');

# Somebody spends for long, so that nobody can add up.
my $spender = fs_session($node);
$spender->ask(q{BEGIN; SELECT fairsched_record_spend('b', 2)});
spent_by_hand('b', 40000000);
is(claim('b', 9), '0', 'what is spent is not known: nobody is let in');
is(why('b'), 'waiting_for_budget|budgets are being read again|', 'and that is the reason');
is(explained('b'), 'refuse|budgets are being read again|', 'which the explanation says, too');
is(claim('free', 1), '1', 'who names no budget goes on');
my $scheduler = fs_scheduler_pid($node);
ok($node->poll_query_until('postgres', q{SELECT last_run > now() - interval '1 min' AND last_error IS NULL FROM fairsched.maintenance_status WHERE task = 'budgets'}),
  'the scheduler is not held up');
is(claim('b', 9), '0', 'nobody is let in still');
$spender->ask('COMMIT');
ok($node->poll_query_until('postgres', "SELECT ($spent) = 42"), 'read, when the spender is done');
ok(fs_claim_until($node, q{'w', 1, lease => '1 h', lanes => '{b}'}), 'and who waited is let in');
is(claim('b', 9), '7', 'all that are left');

# What changes while it is being read is read again.
my $holder = fs_session($node);
$holder->ask('BEGIN; LOCK TABLE fairsched.budget_averages IN ACCESS EXCLUSIVE MODE');
spent_by_hand('b', 50000000);
ok($node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $scheduler"), 'it is being read');
spent_by_hand('b', 60000000);
$holder->ask('ROLLBACK');
ok($node->poll_query_until('postgres', "SELECT ($spent) BETWEEN 60 AND 62"), 'the last figure counts');
$_->quit foreach $spender, $holder;

# Rows that name or declare too much, as if they came from elsewhere: of queues that nobody knows here.
my $flow = 12345;
foreach my $what (
  [ many => q{budgets = ARRAY(SELECT 'm' || n FROM generate_series(1, 9) n)}, q{budgets = ARRAY(SELECT 'm' || n FROM generate_series(1, 8) n)} ],
  [ much => q{resources = (SELECT jsonb_object_agg('r' || n, 1) FROM generate_series(1, 17) n)}, q{resources = (SELECT jsonb_object_agg('r' || n, 1) FROM generate_series(1, 16) n)} ])
{
  my ($lane, $too_many, $most) = @$what;

  $node->safe_psql('postgres', qq{
    SELECT fairsched_set_budget('m' || n, 10) FROM generate_series(1, 9) n;
    SELECT fairsched_enqueue('ws', lane => '$lane', budgets => '{m1}');
    UPDATE fairsched.jobs SET $too_many, flow = @{[ $flow += 1000 ]} WHERE lane = '$lane'});
  is(claim($lane, 1), '0', "$lane: not let in");
  is(why($lane), 'waiting_for_budget|the job names too many budgets, or declares too many resources|', "$lane: the reason");
  is(explained($lane), 'refuse|the job names too many budgets, or declares too many resources|', "$lane: explained");
  $node->safe_psql('postgres', q{SELECT fairsched_set_budget('m1', 20)});
  is(claim($lane, 1), '0', "$lane: more room is of no use");
  $node->safe_psql('postgres', "UPDATE fairsched.jobs SET $most, flow = @{[ $flow += 1000 ]} WHERE lane = '$lane'");
  ok(fs_claim_until($node, "'w', 1, lease => '1 h', lanes => '{$lane}'"), "$lane: one less is fine");
}
fs_check_ok($node, 'memory equals the rows');
$node->stop;
done_testing();
