# fairsched.max_budgets reached: one more is refused, jobs that name unknown ones wait, nobody else does.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => { 'fairsched.max_budgets' => 10 });
my $claim = q{SELECT count(*) FROM fairsched_claim('w', 10)};
my $detail = q{SELECT string_agg(parked_detail, ';' ORDER BY parked_detail) FROM fairsched.queue_status WHERE parked_reason = 'waiting_for_budget'};

$node->safe_psql('postgres', q{SELECT fairsched_set_budget('b' || n, 10) FROM generate_series(1, 9) n;
  SELECT fairsched_enqueue('w', budgets => '{unknown}')});
like(fs_error($node, q{SELECT fairsched_set_budget('b10', 10)}), qr/FS004: too many budgets.*fairsched\.max_budgets \(now 10\)/s,
  'no room for another while jobs name an unknown one');
is($node->safe_psql('postgres', $claim), '0', 'which waits');
is($node->safe_psql('postgres', $detail), 'budget "unknown" is not defined for this workspace', 'and says why');
$node->safe_psql('postgres', q{SELECT fairsched_set_budget('b1', 20)});
is($node->safe_psql('postgres', q{SELECT amount FROM fairsched.budget_status WHERE budget = 'b1'}), '20', 'those there are can be changed');
$node->safe_psql('postgres', q{SELECT fairsched_cancel(job_id) FROM fairsched.jobs});
$node->safe_psql('postgres', q{SELECT fairsched_set_budget('b10', 10)});
pass('the unknown one is forgotten with its jobs');
$node->safe_psql('postgres', q{BEGIN; DELETE FROM fairsched.budgets WHERE budget = 'b10'; ROLLBACK});
like(fs_error($node, q{SELECT fairsched_set_budget('b11', 10)}), qr/FS004/, 'full again');

# A job whose budget finds no room is not an error for whoever claims.
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('w', budgets => '{late}', lane => 'x'), fairsched_enqueue('w', budgets => '{b1}'),
  fairsched_enqueue('v')});
is($node->safe_psql('postgres', $claim), '2', 'others are served');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 10, lanes => '{x}')}), '0', 'it waits');
like($node->safe_psql('postgres', $detail), qr/^more budgets are named than fairsched\.max_budgets has room for$/, 'and says why');
$node->safe_psql('postgres', q{DELETE FROM fairsched.budgets WHERE budget = 'b10'});
ok($node->poll_query_until('postgres', q{SELECT (SELECT count(*) FROM fairsched_claim('w', 10, lanes => '{x}')) = 0 AND
  (SELECT string_agg(parked_detail, '') FROM fairsched.queue_status WHERE lane = 'x') = 'budget "late" is not defined for this workspace'}), 'room: it is looked for again');
$node->safe_psql('postgres', q{SELECT fairsched_set_budget('late', 1)});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched_claim('w', 10, lanes => '{x}')}), 'defined: it runs');
fs_check_ok($node, 'memory equals the rows');
$node->stop('immediate');
$node->start;
fs_check_ok($node, 'after a crash as well');

# Fewer than there are: the rebuild says so.
$node->safe_psql('postgres', q{DELETE FROM fairsched.budgets WHERE budget = 'b9'; SELECT fairsched_set_budget('b9', 1)});
$node->stop;

# All jobs share one flow: the budgets of its head hold its class back, and nobody else's once that is gone.
$node = fs_node('overflow', conf => { 'fairsched.max_flows' => 1 });
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('first', lane => 'first') FROM generate_series(1, 2);
  SELECT fairsched_set_budget('b', 10, warn_at => NULL, throttle_at => 0.5, throttle_action => 'preempt P2,P3'); SELECT fairsched_record_spend('b', 6)});
my $put = sub { return $node->safe_psql('postgres', "SELECT job_id FROM fairsched_enqueue('o', lane => 'o', priority => '$_[0]', budgets => '$_[1]')"); };
my $get = q{SELECT string_agg(job_id::text, ',') FROM fairsched_claim('w', 10, lanes => '{o}', lease => '1 h')};
my $held = $put->('P2', '{b}');
my $free = $put->('P2', '{}');
is($node->safe_psql('postgres', 'SELECT count(DISTINCT flow), bool_and(flow < 0) FROM fairsched.jobs WHERE lane = \'o\''), '1|t', 'they share a flow');
is($node->safe_psql('postgres', $get), '', 'the head is held back');
is($node->safe_psql('postgres', q{SELECT parked_detail FROM fairsched.queue_status WHERE lane = 'o'}), 'budget "b" holds P2 and P3 back: 6 of 10 spent', 'and says why');
my $urgent = $put->('P1', '{b}');
is($node->safe_psql('postgres', $get), $urgent, 'a more urgent one is not');
is($node->safe_psql('postgres', $get), '', 'the first still is');
$node->safe_psql('postgres', "SELECT fairsched_cancel($held)");
is($node->safe_psql('postgres', $get), $free, 'the head is cancelled: what is behind it is looked at');
my $behind = $put->('P3', '{b}');
is($node->safe_psql('postgres', $get), '', 'another is held back');
$free = $put->('P2', '{}');
is($node->safe_psql('postgres', $get), $free, 'one that comes before it goes, although of a class that was held back');
is($node->safe_psql('postgres', $get), '', 'it still is');
$node->safe_psql('postgres', q{SELECT fairsched_reset_budget('b')});
is($node->safe_psql('postgres', $get), $behind, 'until the budget is reset');
fs_check_ok($node, 'memory equals the rows');
$node->stop;
done_testing();
