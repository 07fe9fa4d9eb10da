# monitoring/: the real postgres_exporter gives every metric its file names, with the values that the
# database has; Prometheus takes the rules, and the dashboard's queries find what they ask for.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use Encode ();
use HTTP::Tiny;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# where: the program's path, or ''.
sub where
{
  my ($program) = @_;

  foreach my $dir (split(/:/, $ENV{PATH}), '/usr/bin', '/usr/local/bin')
  {
    return "$dir/$program" if -x "$dir/$program" && !-d "$dir/$program";
  }
  return '';
}

my $exporter = where('prometheus-postgres-exporter') || where('postgres_exporter');
my $promtool = where('promtool');
my $prometheus = where('prometheus');
plan skip_all => 'postgres_exporter is not installed (Debian: prometheus-postgres-exporter)' unless $exporter;
plan skip_all => 'promtool and prometheus are not installed (Debian: prometheus)' unless $promtool && $prometheus;

my $top = "$FindBin::RealBin/../..";
my $dir = "$top/monitoring";
my $json = JSON::PP->new->utf8;
my $http = HTTP::Tiny->new(timeout => 120);

# ---------- the rules, by themselves ----------

command_ok([ $promtool, 'check', 'rules', "$dir/alerts.yml" ], 'promtool takes the rules');
command_ok([ $promtool, 'test', 'rules', "$dir/alerts_test.yml" ], 'and they do what their tests say');
my $rules = slurp_file("$dir/alerts.yml");
my $rule_tests = slurp_file("$dir/alerts_test.yml");
my @rules = $rules =~ /^\s+- alert: (\w+)$/mg;
foreach my $rule (@rules)
{
  like($rule_tests, qr/alertname: $rule\n\s+exp_alerts:/, "$rule is tested");
}
# every type has a rule of its own: those that the documentation has a section for, and those in the sources
my %types = map { $_ => 1 } slurp_file("$top/docs/alerts.md") =~ /^## ([a-z]+_[a-z_]+)$/mg;
cmp_ok(scalar keys %types, '>=', 10, 'docs/alerts.md has types of alerts');
foreach my $file (glob "$top/src/*.c")
{
  $types{$_} = 1 foreach slurp_file($file) =~ /(?:check_query|fs_alert_raise)\("(\w+)"/g;
}
like($rules, qr/expr: fairsched_alerts_open\{type="$_"\}/, "type $_ has a rule in monitoring/alerts.yml")
  foreach sort keys %types;

# ---------- what the exporter is told ----------

# The file is YAML of a simple form: namespaces, each with a query and a list of columns.
my %asked;
my @order;
{
  my $name;

  foreach my $line (split /\n/, slurp_file("$dir/postgres_exporter.yml"))
  {
    if ($line =~ /^(\w+):$/)
    {
      $name = $1;
      ok(!$asked{$name}, "$name is there once");
      push @order, $name;
      $asked{$name} = { query => '', columns => {} };
    }
    elsif ($line =~ /^    - (\w+): \{usage: "(\w+)", description: "(.+)"\}$/)
    {
      $asked{$name}{columns}{$1} = $2;
      $asked{$name}{help}{$1} = $3;
    }
    elsif ($line =~ /^    (.*)$/)
    {
      $asked{$name}{query} .= "$1\n";
    }
    elsif ($line !~ /^(?:#.*|  query: \||  metrics:|)$/)
    {
      fail("unexpected line in postgres_exporter.yml: $line");
    }
  }
}
cmp_ok(scalar @order, '>=', 15, 'there are queries');

# ---------- a server with work ----------

my $node = fs_node('main', conf => {
  'fairsched.max_own_tables' => 0, 'fairsched.fairness_interval' => '1', 'fairsched.alert_interval' => '0' });
my $bin = $node->config_data('--bindir');
my $odd = qq{quo"te 'single' back\\slash\nnew line, {brace}=\$1 gr\xc3\xbcn \xe2\x98\x83 \xf0\x9f\x90\x98};
my $long = '<b>&amp;' . 'x' x 120;

foreach my $db (qw(postgres bytes))
{
  $node->safe_psql('postgres', "CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0") if $db eq 'bytes';
  $node->safe_psql($db, 'CREATE EXTENSION fairsched') if $db eq 'bytes';
  command_ok([ "$bin/psql", '-X', '-q', '-h', $node->host, '-p', $node->port, '-d', $db, '-f', "$dir/grants.sql" ],
    "$db: the exporter's role");
}
# no text of this encoding, and two names that differ in such a byte only
$node->safe_psql('bytes', q{SET client_encoding = 'SQL_ASCII';
  SELECT fairsched_enqueue(E'caf\xe9 \\\\', lane => E'\xff'), fairsched_enqueue(E'caf\xe8 \\\\', lane => E'\xfe');
  SELECT fairsched.raise_alert('starvation', 'high', E'caf\xe9', E'\xff', 'x')});
{
  my $q = sub { my ($s) = @_; $s =~ s/([\\'])/$1$1/g; $s =~ s/\n/\\n/g; return "E'$s'" };
  my ($o, $l) = map { $q->($_) } $odd, $long;

  $node->safe_psql('postgres', qq{SET client_encoding = 'UTF8';
    SELECT fairsched_create_workspace($o, 'enterprise');
    SELECT fairsched_create_workspace($l, 'growth');
    SELECT fairsched_create_workspace('ceiling', max_running => 1);
    SELECT fairsched_set_quota($o, 'tokens', 1000);
    SELECT fairsched_set_quota('ceiling', 'cpu', 4);
    SELECT fairsched_set_budget($o, 100, dimension => 'cost');
    SELECT fairsched_record_spend($o, 25);
    SELECT fairsched_set_capacity('cpu', 16);
    SELECT fairsched_register_worker('w', slots => 8);
    SELECT fairsched_register_worker('gone');
    SELECT count(fairsched_enqueue_many(w, array_fill('{}'::jsonb, ARRAY[20])))
      FROM unnest(ARRAY[$o, $l, 'ceiling', 'still']) w;
    SELECT count(fairsched_enqueue('w' || i)) FROM generate_series(1, 120) i;
    SELECT count(fairsched_enqueue('w' || i, lane => 'lane ' || i)) FROM generate_series(1, 60) i;
    SELECT fairsched_enqueue('later', run_at => now() + interval '1 day') FROM generate_series(1, 7);
    SELECT fairsched_enqueue($o, lane => $o) FROM generate_series(1, 3);
    SELECT fairsched_create_workspace('paused');
    SELECT fairsched_pause_workspace('paused');
    SELECT fairsched_enqueue('paused', resources => '{"cpu": 1}');
    SELECT fairsched.raise_alert('starvation', 'high', $o, 'default', 'waits');
    SELECT fairsched.raise_alert('fairness_violation', 'medium', 'w' || i, NULL, 'lacks') FROM generate_series(1, 70) i;
    SELECT fairsched_acknowledge_alert(min(alert_id)) FROM fairsched.alerts});
}
my $load = fs_pgbench($node, {
  q{SELECT fairsched_enqueue('load' || (random() * 5)::int, kind => 'sign');} => 5,
  q{SELECT fairsched_complete(job_id, token) FROM fairsched_claim('w', 2);} => 5,
  q{SELECT fairsched_fail(job_id, token, 'x', discard => true) FROM fairsched_claim('w', 1);} => 1 },
  clients => 3, transactions => 100);

# ---------- the exporter ----------

my ($handle, $out) = (undef, '');
my $port = PostgreSQL::Test::Cluster::get_free_port();
{
  local $ENV{DATA_SOURCE_NAME} = join ',',
    map { 'host=' . $node->host . ' port=' . $node->port . " user=fairsched_exporter dbname=$_ sslmode=disable" } qw(postgres bytes);
  # without its own metrics, which two databases of one server would both give
  $handle = IPC::Run::start([ $exporter, "--web.listen-address=127.0.0.1:$port", "--extend.query-path=$dir/postgres_exporter.yml",
      '--disable-default-metrics', '--disable-settings-metrics', '--no-collector.database', '--no-collector.bgwriter' ],
    '<', \undef, '>&', \$out);
}
my $prom_handle;
END
{
  local $?;
  $_->kill_kill foreach grep { $_ } $handle, $prom_handle;
}

# until: what $try gives, as soon as it is true.
sub until_true
{
  my ($try) = @_;
  my $end = time + 2 * $PostgreSQL::Test::Utils::timeout_default;
  my $got;

  until ($got = $try->())
  {
    last if time > $end;
    select undef, undef, undef, 0.1;
  }
  return $got;
}

# scrape: what the exporter answers, or ''.
sub scrape
{
  my $answer = $http->get("http://127.0.0.1:$port/metrics");

  $handle->pump_nb;
  return $answer->{success} ? $answer->{content} : '';
}

# samples: metric => list of [ labels, value ].
sub samples
{
  my ($text) = @_;
  my %found;

  foreach my $line (split /\n/, $text)
  {
    next if $line =~ /^#/;
    $line =~ /^(\w+)(?:\{(.*)\})? (\S+)$/ or next;
    my ($name, $labels, $value) = ($1, $2 || '', $3);
    my %labels;

    while ($labels =~ /(\w+)="((?:[^"\\]|\\.)*)"/g)
    {
      my ($key, $text_of) = ($1, $2);

      $text_of =~ s/\\(.)/$1 eq 'n' ? "\n" : $1/ge;
      $labels{$key} = $text_of;
    }
    push @{ $found{$name} }, [ \%labels, $value ];
  }
  return \%found;
}

ok(until_true(sub { scrape() =~ /^fairsched_database_ready/m }), 'the exporter answers with metrics of fairsched');
# under load: every scrape is whole
my $whole = 0;
for (1 .. 5)
{
  my $text = scrape();
  $whole++ if $text =~ /^pg_exporter_last_scrape_error 0$/m && $text =~ /^fairsched_lane_jobs_total/m;
}
is($whole, 5, 'no scrape fails while jobs come and go');
ok(fs_finish($load), 'and jobs do');
# whatever the load left
$node->safe_psql('postgres', qq{SELECT count(fairsched_enqueue_many(w, array_fill('{}'::jsonb, ARRAY[20])))
  FROM unnest(ARRAY['$long', 'still', 'load1', 'load2']) w});
my $claimed = $node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 5, lease => '10 min')});
cmp_ok($claimed, '>', 0, 'some run');
ok($node->poll_query_until('postgres', q{SELECT sampled_score IS NOT NULL FROM fairsched.fairness_summary}),
  'there is a sample of fairness');
# and no other while figures are compared
$node->append_conf('postgresql.conf', "fairsched.fairness_interval = '1h'");
$node->reload;
ok($node->poll_query_until($_, q{SELECT next_run > now() + interval '10 min' FROM fairsched.maintenance_status WHERE task = 'fairness'}), "$_: none is due")
  foreach qw(postgres bytes);

# ---------- each metric, and its value ----------

# rows_of: the rows of a query, as the role of the exporter.
sub rows_of
{
  my ($query, $db) = @_;
  my $text = $node->safe_psql($db, "SET client_encoding = 'UTF8'; SELECT row_to_json(q)::text FROM ($query) q",
    extra_params => [ '-U', 'fairsched_exporter' ]);

  return map { $json->decode(utf8::is_utf8($_) ? Encode::encode('UTF-8', $_) : $_) } split /\n/, $text;
}

# bytes: a string as the exporter writes it.
sub bytes
{
  my ($s) = @_;

  return '' unless defined $s;
  return Encode::encode('UTF-8', $s);
}

# Rows of one scrape, between what the database said before and after it.
my (%before, %after);
foreach my $db (qw(postgres bytes))
{
  $before{$db}{$_} = [ rows_of($asked{$_}{query}, $db) ] foreach @order;
}
my $text = scrape();
foreach my $db (qw(postgres bytes))
{
  $after{$db}{$_} = [ rows_of($asked{$_}{query}, $db) ] foreach @order;
}
my $seen = samples($text);

like($text, qr/^pg_exporter_last_scrape_error 0$/m, 'the scrape has no error');
like($text, qr/^pg_exporter_user_queries_load_error\{.*\} 0$/m, 'nor has the file of queries');
ok(Encode::is_utf8(Encode::decode('UTF-8', $text, Encode::FB_CROAK | Encode::LEAVE_SRC)), 'it is UTF-8');

my $within = sub {
  my ($got, $x, $y) = @_;

  return 1 if $got eq 'NaN' && !(defined $x && defined $y);
  return 0 if $got eq 'NaN' || !defined $x && !defined $y;
  $x = $y unless defined $x;
  $y = $x unless defined $y;
  ($x, $y) = ($y, $x) if $x > $y;
  my $slack = 1e-6 * (abs($x) + abs($y)) + 1e-9;
  return $got >= $x - $slack && $got <= $y + $slack;
};

foreach my $name (@order)
{
  my %columns = %{ $asked{$name}{columns} };
  my @labels = grep { $columns{$_} eq 'LABEL' } keys %columns;
  my @wrong;
  my $key = sub { my ($row) = @_; return join "\0", map { bytes($row->{$_}) } sort @labels };
  my (%was, %is);

  foreach my $db (qw(postgres bytes))
  {
    $was{ $key->($_) } = $_ foreach @{ $before{$db}{$name} };
    $is{ $key->($_) } = $_ foreach @{ $after{$db}{$name} };
  }
  foreach my $column (sort keys %columns)
  {
    next if $columns{$column} =~ /^(?:LABEL|DISCARD)$/;
    my $metric = "${name}_$column";
    my $type = lc $columns{$column};
    my @found = @{ $seen->{ $type eq 'histogram' ? "${metric}_bucket" : $metric } || [] };

    like($text, qr/^# HELP \Q$metric $asked{$name}{help}{$column}\E$/m, "$metric: its meaning");
    like($text, qr/^# TYPE $metric $type$/m, "$metric: $type");
    push @wrong, "$metric is not there" unless @found;
    my %matched;
    foreach my $sample (@found)
    {
      my ($labels, $value) = @$sample;
      my $id = join "\0", map { $labels->{$_} } sort @labels;
      my ($x, $y) = ($was{$id} || $is{$id}, $is{$id} || $was{$id});

      if (!$x)
      {
        push @wrong, "$metric: no such row: $id";
        next;
      }
      $matched{$id} = 1;
      if ($type eq 'histogram')
      {
        my @bounds = @{ $x->{$column} };
        my ($i) = $labels->{le} eq '+Inf' ? (-1) : grep { abs($bounds[$_] - $labels->{le}) < 1e-9 } 0 .. $#bounds;

        push @wrong, "$metric: no such bound $labels->{le}" unless defined $i;
        my ($low, $high) = map { $i < 0 ? $_->{"${column}_count"} : $_->{"${column}_bucket"}[$i] } $x, $y
          if defined $i;
        push @wrong, "$metric le $labels->{le} is $value, not $low to $high"
          if defined $i && !$within->($value, $low, $high);
        next;
      }
      # a task may have run in between: it took as long as it took
      next if $metric eq 'fairsched_task_last_duration_seconds' && $value ne 'NaN' && $value >= 0;
      push @wrong, sprintf('%s of %s is %s, not %s to %s', $metric, $id, $value, $x->{$column} // 'NULL', $y->{$column} // 'NULL')
        unless $within->($value, $x->{$column}, $y->{$column});
    }
    push @wrong, "$metric: a row is missing" if grep { $is{$_} && !$matched{$_} } keys %was;
  }
  is(join("\n", @wrong), '', "$name: every row, with its values");
}

# value: of one sample.
sub value
{
  my ($metric, %labels) = @_;

  $labels{datname} ||= 'postgres';
  my @found = grep { my $s = $_; !grep { $s->[0]{$_} ne $labels{$_} } keys %labels } @{ $seen->{$metric} || [] };
  return @found == 1 ? $found[0][1] : scalar(@found) . ' samples';
}

# What was made above, without the queries of the file.
is(value('fairsched_workspace_max_running_jobs', workspace => $odd), 64, 'quotes, line breaks and Unicode in a label');
is(value('fairsched_workspace_max_running_jobs', workspace => $long, tier => 'growth'), 64, 'a long name');
is(value('fairsched_lane_arrivals_total', lane => $odd), 3, 'and of a lane');
is(value('fairsched_budget_spent', budget => $odd), 25, 'and of a budget');
is(value('fairsched_budget_amount', budget => $odd), 100, 'its amount');
is(value('fairsched_quota_quota', workspace => 'ceiling', resource => 'cpu'), 4, 'a quota');
is(value('fairsched_fleet_capacity', resource => 'cpu'), 16, 'a capacity of the fleet');
is(value('fairsched_fleet_capacity', resource => 'gpu'), 'NaN', 'and none');
is(value('fairsched_alerts_open', type => 'fairness_violation'), 70, 'open alerts');
is(value('fairsched_alerts_unacknowledged', type => 'starvation'), 0, 'one is acknowledged');
is(value('fairsched_alert_occurrences', type => 'starvation', workspace => $odd, subject => 'default'), 1, 'an alert with its names');
is(value('fairsched_parked_workspaces', reason => 'paused'), 1, 'a paused workspace');
is(value('fairsched_queue_waiting_jobs'), 7, 'jobs that wait for their time');
is(value('fairsched_database_running_jobs'), $claimed, 'jobs that run');
is(value('fairsched_workers_slots'), 9, 'slots of workers');
is(value('fairsched_workers_alive'), 2, 'workers');
cmp_ok(value('fairsched_refusal_refusals_total', gate => 'ceiling'), '>', 0, 'refusals by a ceiling');
is(value('fairsched_queue_ready_jobs'), $node->safe_psql('postgres', q{SELECT count(*) FROM fairsched.jobs
  WHERE state = 'available' AND workspace <> 'nobody'}), 'ready jobs, as the rows have them');
{
  my ($jobs) = map { $_->[0] } fs_rows($node, q{SELECT count(*) FROM fairsched.job_history WHERE state = 'discarded'});
  my $sum = 0;

  $sum += $_->[1] foreach grep { $_->[0]{datname} eq 'postgres' } @{ $seen->{fairsched_lane_discarded_total} };
  is($sum, $jobs, 'dead letters, as the history has them');
}
is(join(' ', sort map { $_->[0]{workspace} } grep { $_->[0]{datname} eq 'bytes' } @{ $seen->{fairsched_workspace_ready_jobs} }),
  'caf\\350 \\\\ caf\\351 \\\\', 'bytes that are no text are shown as such, and apart');

# ---------- bounded ----------

foreach my $metric (sort grep { /^fairsched_/ } keys %$seen)
{
  my %count;

  foreach my $label (qw(workspace lane budget))
  {
    my %distinct = map { $_->[0]{$label} => 1 } grep { exists $_->[0]{$label} && $_->[0]{datname} eq 'postgres' } @{ $seen->{$metric} };

    $count{$label} = scalar keys %distinct;
  }
  cmp_ok((sort { $b <=> $a } values %count)[0], '<=', 50, "$metric: bounded")
    if grep { $_ > 20 } values %count;
}
is(scalar(grep { $_->[0]{datname} eq 'postgres' } @{ $seen->{$_} }), 50, "$_: 50 of more")
  foreach qw(fairsched_workspace_ready_jobs fairsched_fairness_workspace_bound fairsched_lane_jobs_total fairsched_alert_occurrences);
# those with most are among them
ok((grep { $_->[0]{workspace} eq 'still' } @{ $seen->{fairsched_workspace_ready_jobs} }), 'a workspace with many jobs is shown');
# the age of the oldest job costs an index look-up: for those that are shown only
like($node->safe_psql('postgres', "EXPLAIN (VERBOSE, COSTS OFF) $asked{fairsched_workspace}{query}"),
  qr/^Limit\n|^\s*Result\n.*\n\s*->  Limit/m, 'rows are limited');
unlike($node->safe_psql('postgres', "EXPLAIN (VERBOSE, COSTS OFF) $asked{fairsched_workspace}{query}"),
  qr/Sort\n\s+Output:[^\n]*oldest_ready_age/, 'before ages are looked up');

# ---------- rights ----------

like(fs_error($node, "SET ROLE fairsched_exporter; $_"), qr/ERROR:  42501/, "the exporter may not: $_")
  foreach 'SELECT payload FROM fairsched.jobs', 'SELECT * FROM fairsched.job_history', 'SELECT fairsched_claim()',
  "SELECT fairsched.raise_alert('x', 'low', NULL, NULL, 'x')";

# ---------- the dashboard ----------

my $dashboard = $json->decode(slurp_file("$dir/grafana_dashboard.json"));
my @panels = grep { $_->{type} ne 'row' } @{ $dashboard->{panels} };
my %ids;
my @expressions;
my @cells;

cmp_ok(scalar @panels, '>=', 10, 'ten panels or more');
is($dashboard->{schemaVersion}, 37, 'schema of Grafana 9');
is(join(' ', map { "$_->{type}:$_->{name}" } @{ $dashboard->{templating}{list} }),
  'datasource:datasource query:server query:datname', 'variables: the data source, then what to look at');
is($dashboard->{templating}{list}[0]{query}, 'prometheus', 'a data source of type Prometheus');
foreach my $panel (@{ $dashboard->{panels} })
{
  my $where = $panel->{gridPos};

  ok(!$ids{ $panel->{id} }++, "panel $panel->{title}: an id of its own");
  ok($where->{w} > 0 && $where->{h} > 0 && $where->{x} >= 0 && $where->{x} + $where->{w} <= 24, 'on the grid');
  foreach my $row ($where->{y} .. $where->{y} + $where->{h} - 1)
  {
    foreach my $column ($where->{x} .. $where->{x} + $where->{w} - 1)
    {
      fail("$panel->{title} lies on another panel") if $cells[$row][$column]++;
    }
  }
}
my %metrics = map { $_ => 1 } keys %$seen;
foreach my $panel (@panels)
{
  my %refs;

  like($panel->{type}, qr/^(?:timeseries|stat|table|heatmap)$/, "$panel->{title}: a panel that Grafana has");
  isnt($panel->{description} // '', '', 'with a description');
  is($panel->{datasource}{uid}, '${datasource}', 'of the chosen data source');
  cmp_ok(scalar @{ $panel->{targets} }, '>', 0, 'with queries');
  foreach my $target (@{ $panel->{targets} })
  {
    my $expr = $target->{expr};

    ok(!$refs{ $target->{refId} }++, "query $target->{refId}");
    is($target->{datasource}{uid}, '${datasource}', 'of the chosen data source');
    my @names = $expr =~ /\b((?:fairsched|pg)_\w+)/g;
    cmp_ok(scalar @names, '>', 0, 'asks for metrics');
    is(join(' ', grep { !$metrics{$_} } @names), '', "that are scraped: @names");
    is(scalar(() = $expr =~ /\{datname=~"\$datname",server=~"\$server"\}/g), scalar @names, 'of the chosen database');
    $expr =~ s/"\$(?:datname|server)"/".*"/g;
    $expr =~ s/\$__rate_interval/1m/g;
    unlike($expr, qr/\$/, 'without variables that are not defined');
    push @expressions, [ "$panel->{title} $target->{refId}", $expr ];
  }
}
# so do the rules
is(join(' ', grep { !$metrics{$_} } $rules =~ /\b((?:fairsched|pg)_[a-z_]+)(?=[{ \[)])/g), '', 'metrics of the rules are scraped');
{
  my $file = $node->basedir . '/dashboard_rules.yml';
  my $n = 0;

  append_to_file($file, "groups:\n- name: dashboard\n  rules:\n"
      . join('', map { my $e = $_->[1]; $e =~ s/'/''/g; "  - record: panel_" . $n++ . "\n    expr: '$e'\n" } @expressions));
  command_ok([ $promtool, 'check', 'rules', $file ], 'promtool parses every query of the dashboard');
}

# ---------- Prometheus ----------

my $prom_port = PostgreSQL::Test::Cluster::get_free_port();
my $prom_out = '';
my $config = $node->basedir . '/prometheus.yml';
append_to_file($config, qq{global: {scrape_interval: 3s, scrape_timeout: 3s, evaluation_interval: 1s}
rule_files: ['$dir/alerts.yml']
scrape_configs:
  - job_name: fairsched
    static_configs:
      - targets: ['127.0.0.1:$port']
});
command_ok([ $promtool, 'check', 'config', $config ], 'promtool takes the configuration');
$prom_handle = IPC::Run::start([ $prometheus, "--config.file=$config", '--storage.tsdb.path=' . $node->basedir . '/tsdb',
    "--web.listen-address=127.0.0.1:$prom_port", '--log.level=warn' ], '<', \undef, '>&', \$prom_out);

# asks: what Prometheus answers, decoded, or nothing.
sub asks
{
  my ($path, %form) = @_;
  my $answer = $http->get("http://127.0.0.1:$prom_port/api/v1/$path?" . $http->www_form_urlencode(\%form));

  $_->pump_nb foreach $handle, $prom_handle;
  return unless $answer->{success} || $answer->{status} == 400;
  return $json->decode($answer->{content});
}

ok(until_true(sub {
      my $r = asks('query', query => 'min(count_over_time(fairsched_database_ready[5m])) >= 3');
      return $r && $r->{status} eq 'success' && @{ $r->{data}{result} };
    }), 'Prometheus scrapes the exporter') or diag($prom_out);
foreach my $e (@expressions)
{
  # a scrape that takes too long makes gaps
  my $r = until_true(sub {
    my $r = asks('query', query => $e->[1]);
    return $r && ($r->{status} ne 'success' || @{ $r->{data}{result} || [] }) ? $r : undef;
  });

  is($r->{status}, 'success', "$e->[0]: the query runs") or diag($r->{error});
  cmp_ok(scalar @{ $r->{data}{result} || [] }, '>', 0, 'and finds something');
}
ok(until_true(sub {
      my $r = asks('alerts');
      return $r && grep { $_->{labels}{alertname} eq 'FairschedStarvation' && $_->{state} eq 'firing'
          && $_->{labels}{datname} eq 'postgres' && index(bytes($_->{annotations}{description}), $odd) >= 0 } @{ $r->{data}{alerts} };
    }), 'an open alert of fairsched is one of Prometheus, with the name of the workspace');
{
  my $expected = 'FairschedFairnessViolation FairschedNoWorkers FairschedStarvation';
  my $firing = '';

  # (for a moment a scrape may take too long)
  until_true(sub {
    my $r = asks('alerts');
    my %firing = map { $_->{labels}{alertname} => 1 } @{ $r ? $r->{data}{alerts} : [] };

    return ($firing = join(' ', sort keys %firing)) eq $expected;
  });
  is($firing, $expected, 'and nothing else is wrong');
}

# ---------- the end of an alert; the end of the server ----------

$node->safe_psql('postgres', q{SELECT fairsched.resolve_alert(type, workspace, subject) FROM fairsched.alerts});
ok(until_true(sub {
      my $r = asks('query', query => 'sum(fairsched_alerts_open{datname="postgres"}) or vector(0)');
      return $r && @{ $r->{data}{result} } && $r->{data}{result}[0]{value}[1] eq '0';
    }), 'a resolved alert is one no more');
$node->stop;
ok(until_true(sub { my $t = scrape(); return $t ne '' && $t !~ /^fairsched_/m }), 'a server that is down has no metrics, and the exporter lives');
$node->start;
ok(until_true(sub { return scrape() =~ /^fairsched_database_ready\{.*datname="postgres".*\} 1$/m }), 'nor does it need a restart after that')
  or diag($out);

$_->kill_kill foreach $prom_handle, $handle;
$node->stop;
done_testing();
