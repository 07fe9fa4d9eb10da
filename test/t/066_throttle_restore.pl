# A restore brings what is used, quotas, throttles, violations and crossings one after the other, and the scheduler is at
# work meanwhile.  In the end what is throttled is, until then, and nothing crosses a second time.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => { max_connections => 60 });
my $violations = q{SELECT workspace, resource, action, occurrences, resolved_at IS NULL FROM fairsched.quota_violations ORDER BY 1, 2, 3};
my $counts = q{SELECT workspace, resource, action, occurrences FROM fairsched.quota_violations ORDER BY 1, 2, 3};
my $until = q{SELECT workspace, max(throttled_until) FROM fairsched.workspace_usage_current GROUP BY 1 ORDER BY 1};

$node->safe_psql('postgres', q{
  SELECT fairsched_set_throttle(w, true, duration => '5 hours') FROM unnest('{toggled,stored}'::text[]) w;
  SELECT fairsched_set_throttle('toggled', false);
  SELECT fairsched_set_throttle('toggled', true, 0.8, duration => '5 hours'), fairsched_set_throttle('over', true, duration => '1 ms'), fairsched_set_throttle('quiet', false);
  SELECT fairsched_set_quota('stored', 'storage', 100);
  SELECT fairsched_set_quota(w, 'tokens', 100) FROM unnest('{toggled,over,quiet,plain}'::text[]) w;
  SELECT fairsched_record_usage(w, 'tokens', 85), fairsched_record_usage(w, 'tokens', 10) FROM unnest('{toggled,over,quiet,plain}'::text[]) w;
  SELECT fairsched_record_usage('stored', 'storage', 95)});
my $written = q{SELECT count(*) = 5 AND count(*) FILTER (WHERE throttled_until IS NOT NULL) = 3 FROM fairsched.quota_crossings WHERE state = 'crossed'};
ok($node->poll_query_until('postgres', $written), 'five have crossed, three are throttled');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM fairsched.quota_violations WHERE workspace = 'over' AND resolved_at IS NOT NULL}), 'and one was');
$node->safe_psql('postgres', q{SELECT fairsched_set_throttle('plain', true, duration => '5 hours')});
my %was = map { $_ => $node->safe_psql('postgres', $_) } $violations, $counts, $until;
is($was{$violations}, join("\n", 'over|tokens|throttle|1|f', 'plain|tokens|throttle|1|t', 'quiet|tokens|alert|1|t', 'stored|storage|throttle|1|t', 'toggled|tokens|throttle|1|t'), 'each once');

my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'dumped');
my $sql = slurp_file($dump);
$sql =~ s/^\\(un)?restrict .*\n//mg;
# the dump's head, the data of each table, and what follows
my ($head, %copy);
my $rest = '';
foreach my $part (split /^(?=COPY |-- Name: )/m, $sql)
{
  if ($part =~ /^COPY fairsched\.(quota_crossings|quota_violations|workspace_(?:levels|quotas|throttles|usage)) /) { $part =~ s/^(\\\.\n).*//ms; $copy{ $part =~ /^COPY fairsched\.(\w+)/ ? $1 : '' } = $part . "\\.\n"; }
  else { $rest .= $part; }
}
is(join(' ', sort keys %copy), 'quota_crossings quota_violations workspace_levels workspace_quotas workspace_throttles workspace_usage', 'all of it is dumped');

sub restore
{
  my ($db, @parts) = @_;
  my $file = "$dump.$db";

  unlink $file;
  append_to_file($file, "SET session_replication_role = DEFAULT;\n" . join('', @parts));
  $node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $file, '-d', $node->connstr($db) ], "$db: restored");
  return;
}

# tables in these orders, and the scheduler has read what there is before the next one comes
my %orders = (
  last    => [ qw(workspace_levels workspace_quotas workspace_throttles workspace_usage quota_violations quota_crossings) ],
  first   => [ qw(quota_crossings quota_violations workspace_usage workspace_levels workspace_quotas workspace_throttles) ],
  between => [ qw(workspace_throttles workspace_usage quota_crossings workspace_quotas workspace_levels quota_violations) ]);
foreach my $db (sort keys %orders)
{
  $node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
  restore($db, $rest);
  fs_wait_scheduler($node, $db);
  foreach my $table (@{ $orders{$db} })
  {
    restore($db, $copy{$table});
    $node->safe_psql($db, 'SELECT public.fairsched_cancel(0)');
    my $at = $node->safe_psql($db, 'SELECT clock_timestamp()');
    ok($node->poll_query_until($db, qq{SELECT last_run > '$at'::timestamptz + interval '1500 ms' OR clock_timestamp() > '$at'::timestamptz + interval '4 s'
      FROM fairsched.maintenance_status WHERE task = 'admission'}), "$db: the scheduler had its time after $table");
  }
  ok($node->poll_query_until($db, $until, $was{$until}), "$db: throttled until then") or diag($node->safe_psql($db, $until));
  $node->safe_psql($db, q{SELECT public.fairsched_record_usage(w, 'tokens', 1) FROM unnest('{toggled,over,quiet,plain}'::text[]) w;
    SELECT public.fairsched_record_usage('stored', 'storage', 1)});
  is($node->safe_psql($db, $until), $was{$until}, "$db: what is used now crosses nothing");
}
$node->stop('immediate');
$node->start;
foreach my $db (sort keys %orders)
{
  is($node->safe_psql($db, $until), $was{$until}, "$db: nor does a crash");
  is($node->safe_psql($db, $counts), $was{$counts}, "$db: each violation is there, and counted once");
  # one whose throttle nobody knew of for so long was taken for over
  is($node->safe_psql($db, $violations), $was{$violations}, "$db: and is as open as it was") if $db ne 'last';
}
$node->stop;
done_testing();
