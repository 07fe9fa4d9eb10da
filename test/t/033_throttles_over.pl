# A throttle that is over is over for a server that starts anew as well, though nobody could write that down yet:
# switched off (and on again), by hand too, its quota dropped, its workspace dropped. One that lasts, lasts.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use Test::More;

my $node = fs_node('throttles');
my $ended = q{'{off,hand,dropped,gone}'::text[]};
my @all = qw(off hand dropped gone other lasts never);

$node->safe_psql('postgres', q{
  SELECT fairsched_set_throttle(w, true, duration => '2 hours') FROM unnest('{off,hand,dropped,gone,other,lasts,never}'::text[]) w;
  SELECT fairsched_set_quota(w, r, 100) FROM unnest('{off,hand,dropped,gone,other,lasts,never}'::text[]) w, unnest('{tokens,cost}'::text[]) r;
  SELECT fairsched_record_usage(w, 'tokens', 95) FROM unnest('{off,hand,dropped,gone,other,lasts}'::text[]) w;
  SELECT fairsched_record_usage('other', 'cost', 95)});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 7 FROM fairsched.quota_violations WHERE action = 'throttle' AND resolved_at IS NULL}),
  'all are on record');
my $throttled = q{SELECT string_agg(DISTINCT workspace, ',' ORDER BY workspace) FROM fairsched.workspace_usage_current WHERE throttled_until IS NOT NULL};
is($node->safe_psql('postgres', $throttled), 'dropped,gone,hand,lasts,off,other', 'and all are throttled');

# from here on nothing can be resolved
my $holder = fs_session($node);
$holder->ask('BEGIN; LOCK TABLE fairsched.quota_violations IN SHARE MODE');
$node->safe_psql('postgres', q{SELECT fairsched_set_throttle('off', false)});
$node->safe_psql('postgres', q{SELECT fairsched_set_throttle('off', true, duration => '2 hours')});
$node->safe_psql('postgres', q{UPDATE fairsched.workspace_throttles SET enabled = false WHERE workspace = 'hand'});
is($node->safe_psql('postgres', "SELECT count(*) FROM fairsched.workspace_usage_current WHERE workspace = 'hand' AND throttled_until IS NOT NULL"), '0', 'switched off by hand');
$node->safe_psql('postgres', q{UPDATE fairsched.workspace_throttles SET enabled = true WHERE workspace = 'hand'});
$node->safe_psql('postgres', q{SELECT fairsched_drop_quota(w, 'tokens') FROM unnest('{dropped,other}'::text[]) w});
$node->safe_psql('postgres', q{SELECT fairsched_set_quota(w, 'tokens', 100) FROM unnest('{dropped,other}'::text[]) w});
$node->safe_psql('postgres', q{SELECT fairsched_enqueue('gone', lane => 'gone')});
$node->safe_psql('postgres', q{SELECT fairsched_drop_workspace('gone', force => true)});
$node->safe_psql('postgres', q{SELECT fairsched_set_throttle('gone', true, duration => '2 hours'), fairsched_set_quota('gone', 'tokens', 100)});
$node->safe_psql('postgres', "SELECT fairsched_enqueue(w, lane => w) FROM unnest('{@{[ join ',', @all ]}}'::text[]) w");

sub over
{
  my ($when) = @_;

  is($node->safe_psql('postgres', $throttled), 'lasts,other', "$when: only those throttles last that were not ended");
  foreach my $ws (@all)
  {
    is($node->safe_psql('postgres', "SELECT count(*) FROM (SELECT fairsched_release(job_id, token) FROM fairsched_claim('w', 1, lanes => '{$ws}')) c"),
      $ws =~ /lasts|other/ ? '0' : '1', "$when: $ws");
  }
  return;
}
over('before');
is($node->safe_psql('postgres', "SELECT count(*) FROM fairsched.quota_violations WHERE workspace = ANY ($ended) AND resolved_at IS NULL"), '4',
  'though their violations are still open');
$node->stop('immediate');
$holder->gone;
$node->start;
over('after a crash');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM fairsched.quota_violations WHERE workspace = ANY ($ended) AND resolved_at IS NULL"),
  'their violations are resolved');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT workspace, ',' ORDER BY workspace) FROM fairsched.quota_violations WHERE resolved_at IS NULL AND action = 'throttle'}),
  'lasts,other', 'the others are not');
# what is above its threshold throttles again when it was below in between
$node->safe_psql('postgres', q{SELECT fairsched_set_quota('off', 'tokens', 1000), fairsched_record_usage('off', 'tokens', 1)});
$node->safe_psql('postgres', q{SELECT fairsched_record_usage('off', 'tokens', 900)});
is($node->safe_psql('postgres', $throttled), 'lasts,off,other', 'a throttle that was over can throttle again');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched.quota_violations WHERE workspace = 'off' AND action = 'throttle' AND resolved_at IS NULL}),
  'and when that is on record');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', $throttled), 'lasts,off,other', 'it lasts over a crash');
is($node->safe_psql('postgres', "SELECT count(*) FROM fairsched_claim('w', 10, lanes => '{off,lasts}')"), '0', 'as one that was never off');
$node->stop;
done_testing();
