# Saving of rate windows that is held up half-way: what is claimed meanwhile stays known over a crash. What could not
# be written is written later.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use Test::More;

my $node = fs_node('saves', conf => { 'fairsched.background_workers' => 'off', max_prepared_transactions => 2 });

sub claim
{
  my ($ws, $n) = @_;

  return $node->safe_psql('postgres', "SELECT count(*) FROM fairsched_claim('w', $n, lease => '1 h', lanes => '{$ws}')");
}

# How many claims of a workspace a server that starts after a crash knows of.
sub known
{
  my ($ws) = @_;

  return $node->safe_psql('postgres', qq{SELECT value FROM fairsched_explain((SELECT max(job_id) FROM fairsched.jobs WHERE workspace = '$ws')) WHERE gate = 'rate'});
}

# A claimer writes what is due, before it claims, where there is no scheduler.
my $save = q{SELECT count(*) FROM fairsched_claim('saver', lanes => '{nothing}')};

sub saved
{
  my ($ws, $n) = @_;

  return ok($node->poll_query_until('postgres', "SELECT ($save) = 0 AND (SELECT sum(c) FROM fairsched.rate_windows, unnest(counts) c WHERE workspace = '$ws') = $n
      AND NOT EXISTS (SELECT FROM fairsched.rate_bookings WHERE workspace = '$ws')"), "$ws: saved");
}

# A session that writes, as soon as it is time to, and has to wait for a lock.
sub held_up
{
  my ($session) = @_;

  $node->poll_query_until('postgres', q{SELECT last_run < clock_timestamp() - interval '1 s' FROM fairsched.maintenance_status WHERE task = 'admission'});
  $session->start($save);
  return ok($node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = " . $session->pid), 'a save is held up');
}

# ---------- claims that are made between the copy of a window and its row ----------
$node->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('between', 6, '1 hour'), count(fairsched_enqueue('between', lane => 'between')) FROM generate_series(1, 9)});
saved('between', 0);
my ($holder, $saver, $next) = map { fs_session($node) } 1 .. 3;
$holder->ask('BEGIN; LOCK TABLE fairsched.rate_windows IN SHARE MODE');
is(claim('between', 2), '2', 'between: two are in the copy');
held_up($saver);
is(claim('between', 3), '3', 'between: three are not');
# nobody saves after that one
$next->start('BEGIN; LOCK TABLE fairsched.rate_windows IN SHARE MODE');
ok($node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = " . $next->pid), 'between: the next one waits');
$holder->ask('ROLLBACK');
$saver->finish;
$next->finish;
is($node->safe_psql('postgres', q{SELECT sum(c), (SELECT sum(claims) FROM fairsched.rate_bookings WHERE workspace = 'between') FROM fairsched.rate_windows, unnest(counts) c WHERE workspace = 'between'}),
  '2|3', 'between: two are saved, and the others still booked');
$node->stop('immediate');
$_->gone foreach $holder, $saver, $next;
$node->start;
is(known('between'), '5', 'between: after a crash all count');
is(claim('between', 9), '1', 'between: and the rest can be had');

# ---------- a copy that is written after a newer one ----------
$node->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('older', 6, '1 hour'), count(fairsched_enqueue('older', lane => 'older')) FROM generate_series(1, 9);
  SELECT fairsched_set_quota('full', 'cpu', 1), count(fairsched_enqueue('full', lane => 'full', resources => '{"cpu": 2}')) FROM generate_series(1, 2)});
saved('older', 0);
is(claim('full', 1), '0', 'older: one is refused');
ok($node->poll_query_until('postgres', "SELECT ($save) = 0 AND EXISTS (SELECT FROM fairsched.quota_violations WHERE workspace = 'full')"), 'older: which is on record');
($holder, $saver) = map { fs_session($node) } 1 .. 2;
$holder->ask(q{BEGIN; SELECT violation_id FROM fairsched.quota_violations WHERE workspace = 'full' FOR UPDATE});
is(claim('older', 2), '2', 'older: two are in the first copy');
is($node->safe_psql('postgres', q{SELECT allowed FROM fairsched_enforce_quota('full', 'cpu', 3)}), 'f', 'older: what is written before it is locked');
held_up($saver);
is(claim('older', 3), '3', 'older: three more are in the second');
# it is written before the first one, or nobody writes while somebody else does
ok($node->poll_query_until('postgres', "SELECT ($save) = 0 AND ((SELECT sum(c) FROM fairsched.rate_windows, unnest(counts) c WHERE workspace = 'older') = 5
    OR clock_timestamp() > (SELECT xact_start FROM pg_stat_activity WHERE pid = @{[ $saver->pid ]}) + interval '4 s')"), 'older: and may be written');
$holder->ask('ROLLBACK');
$saver->finish;
is($node->safe_psql('postgres', q{SELECT occurrences FROM fairsched.quota_violations WHERE workspace = 'full'}), '2', 'older: the first is written as well');
$node->stop('immediate');
$_->gone foreach $holder, $saver;
$node->start;
is(known('older'), '5', 'older: the newer one counts');
is(claim('older', 9), '1', 'older: and the rest can be had');

# ---------- one booking covers the claims that follow: a 64th of the limit, or as many as there were, and no more than it leaves ----------
$node->safe_psql('postgres', q{SELECT fairsched_set_rate_limit('book', 640, '1 hour'), count(fairsched_enqueue('book', lane => 'book')) FROM generate_series(1, 20);
  SELECT fairsched_set_rate_limit('cap', 20, '1 hour'), count(fairsched_enqueue('cap', lane => 'cap')) FROM generate_series(1, 20)});
saved($_, 0) foreach 'book', 'cap';
$holder = fs_session($node);
$holder->ask('BEGIN; LOCK TABLE fairsched.quota_crossings IN ROW EXCLUSIVE MODE');    # nobody saves meanwhile
my $booked = q{SELECT string_agg(claims::text, ',' ORDER BY ctid) FROM fairsched.rate_bookings WHERE workspace = '%s'};
claim('book', 1) foreach 1 .. 10;
is($node->safe_psql('postgres', sprintf($booked, 'book')), '10', 'book: ten claims write one row');
claim('book', 1);
is($node->safe_psql('postgres', sprintf($booked, 'book')), '10,11', 'book: the next one as many as there were');
is(claim('cap', 12), '12', 'cap: twelve of one call');
is($node->safe_psql('postgres', sprintf($booked, 'cap')), '12', 'cap: and they are booked');
claim('cap', 1);
is($node->safe_psql('postgres', sprintf($booked, 'cap')), '12,8', 'cap: no more than the limit leaves');
$holder->quit;

# ---------- what is written by a transaction that is prepared is not known to be ----------
$node->safe_psql('postgres', q{SELECT fairsched_set_quota('prepared', 'cpu', 1)});
is($node->safe_psql('postgres', q{SELECT allowed FROM fairsched_enforce_quota('prepared', 'cpu', 3)}), 'f', 'prepared: refused');
my $there = q{SELECT count(*) FROM fairsched.quota_violations WHERE workspace = 'prepared'};
my $until = time + $PostgreSQL::Test::Utils::timeout_default;
$holder = fs_session($node);
while (1)
{
  $holder->ask('BEGIN');
  $holder->ask($save);
  last if $holder->ask($there) eq '1' || time > $until;
  $holder->ask('ROLLBACK');
}
$holder->ask(q{PREPARE TRANSACTION 'noted'});
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'noted'});
$holder->quit;
is($node->safe_psql('postgres', $there), '0', 'prepared: and rolled back');
ok($node->poll_query_until('postgres', "SELECT ($save) = 0 AND ($there) = 1"), 'prepared: it is written later');

# ---------- violations that cannot be written ----------
$node->safe_psql('postgres', q{SELECT fairsched_set_quota(w, 'cpu', 1) FROM unnest('{lost,dropped}'::text[]) w});
$node->safe_psql('postgres', 'ALTER TABLE fairsched.quota_violations RENAME COLUMN overage TO other');
is($node->safe_psql('postgres', qq{SELECT allowed FROM fairsched_enforce_quota('$_', 'cpu', 3, 77, 'run 1')}), 'f', "$_: refused") foreach qw(lost dropped);
is($node->safe_psql('postgres', q{SELECT fairsched_drop_quota('dropped', 'cpu')}), 't', 'dropped: it has no limits any more');
$until = time + $PostgreSQL::Test::Utils::timeout_default;
my $error = '';
$error = fs_error($node, $save) while $error eq '' && time < $until;
like($error, qr/42703/, 'lost: it cannot be written');
$node->safe_psql('postgres', 'ALTER TABLE fairsched.quota_violations RENAME COLUMN other TO overage');
ok($node->poll_query_until('postgres', "SELECT ($save) = 0 AND (SELECT count(*) = 1 AND sum(occurrences) = 1 AND max(job_id) = 77 FROM fairsched.quota_violations WHERE workspace = 'lost')"),
  'lost: it is, when it can be');
is($node->safe_psql('postgres', q{SELECT count(*) = 1 AND sum(occurrences) = 1 AND bool_and(resolved_at IS NOT NULL) FROM fairsched.quota_violations WHERE workspace = 'dropped'}),
  't', 'dropped: and is over');
$node->stop;
done_testing();
