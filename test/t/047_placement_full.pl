# There is no room for the rings of a placement: an error when it is made, and where they are lacking only at its commit the
# workspace waits, visibly, and is served nowhere else meanwhile.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use Test::More;

# 64 rings, 16 lanes and sets of capabilities, 32 sets of nodes
my $node = fs_node('main', conf => { 'fairsched.max_rings' => 16, 'fairsched.background_workers' => 'off', 'fairsched.default_quota' => 1000 });
my $caps = '{' . join(',', map { "c$_" } 1 .. 9) . '}';

$node->safe_psql('postgres', qq{
  SELECT fairsched_register_worker('a1', '$caps', node => 'a'), fairsched_register_worker('b1', '$caps', node => 'b');
  SELECT count(fairsched_enqueue('acme', lane => 'x')) FROM generate_series(1, 10)});
is($node->safe_psql('postgres', 'SELECT rings_used, rings_capacity FROM fairsched.database_status'), '1|64', 'one ring is in use');

# Others take the room while the placement is not committed yet
my $placer = fs_session($node);
$placer->ask('BEGIN');
$placer->ask(q{SELECT fairsched_place('acme', '{a}')});
$node->safe_psql('postgres', q{
  SELECT count(fairsched_enqueue('filler', lane => 'l' || l, capabilities => ARRAY['c' || c])) FROM generate_series(1, 7) l, generate_series(1, 9) c});
is($node->safe_psql('postgres', 'SELECT rings_used FROM fairsched.database_status'), '64', 'no ring is left');
$placer->ask('COMMIT');
is($node->safe_psql('postgres', q{SELECT parked_reason, parked_detail FROM fairsched.queue_status WHERE workspace = 'acme'}),
  'waiting_for_node|placed on a; no room for that: fairsched.max_rings is reached', 'it waits, in queue_status');
is($node->safe_psql('postgres', q{SELECT parked_reason, parked_since <= now() FROM fairsched.workspace_status WHERE workspace = 'acme'}),
  'waiting_for_node|t', 'in workspace_status');
is($node->safe_psql('postgres', q{SELECT gate, detail FROM fairsched_explain((SELECT min(job_id) FROM fairsched.jobs WHERE workspace = 'acme'))
    WHERE verdict = 'refuse'}), 'placement|placed on a: fairsched.max_rings is reached', 'in fairsched_explain');
my $claim = q{SELECT count(*) FROM fairsched_claim('%s', 1, lanes => '{x}')};
is($node->safe_psql('postgres', sprintf $claim, 'b1'), '0', 'it is not served where it was');
is($node->safe_psql('postgres', sprintf $claim, 'a1'), '0', 'nor where it is to be');
$node->safe_psql('postgres', q{SELECT fairsched_pause_workspace('acme')});
$node->safe_psql('postgres', q{SELECT fairsched_resume_workspace('acme')});
is($node->safe_psql('postgres', sprintf $claim, 'b1'), '0', 'not after a pause either');
like(fs_error($node, q{SELECT fairsched_place('filler', '{a}')}), qr/ERROR:  FS004: .*\n.*HINT:/, 'another placement is refused');

# Room again
$node->safe_psql('postgres', qq{SELECT count(fairsched_complete(job_id, token)) FROM fairsched_claim('b1', 1000, lanes => '{l1,l2,l3,l4,l5,l6,l7}')});
ok($node->poll_query_until('postgres', sprintf($claim, 'a1'), '1'), 'with room again it is served where it is placed');
is($node->safe_psql('postgres', sprintf $claim, 'b1'), '0', 'and only there');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.queue_status WHERE parked_reason IS NOT NULL}), '0', 'nothing waits');

# Sets of nodes come and go with what is placed on them
$node->safe_psql('postgres', qq{
  DO \$\$ BEGIN
    FOR i IN 1..200 LOOP
      PERFORM fairsched_set_node('n' || i);
      COMMIT;
      PERFORM fairsched_place('acme', ARRAY['n' || i, 'a']);
      COMMIT;
    END LOOP;
  END \$\$});
is($node->safe_psql('postgres', sprintf $claim, 'a1'), '1', 'many sets after each other are no more than one');
$node->safe_psql('postgres', q{SELECT fairsched_unplace('acme')});
is($node->safe_psql('postgres', sprintf $claim, 'b1'), '1', 'placed nowhere: served anywhere');
fs_check_ok($node, 'memory equals the rows');

$node->stop;
done_testing();
