# The report as a page: in a real browser, light and dark, wide and narrow, nothing overflows and nothing is empty.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Compress::Zlib;
use Fairsched;
use PostgreSQL::Test::Utils;
use Test::More;

my ($chromium) = grep { -x } map { ("$_/chromium", "$_/chromium-browser", "$_/google-chrome") } split /:/, $ENV{PATH};
my $node = fs_node('page', conf => { 'fairsched.fairness_interval' => 0, 'fairsched.alert_interval' => 0 });
my $dir = $node->basedir;

# A page that says what is wrong with itself: appended to the report, never part of it.
my $judge = q{<script>
window.addEventListener('load', function () {
  var wrong = [], doc = document.documentElement;
  if (doc.scrollWidth > doc.clientWidth) wrong.push('the page is wider than the window: ' + doc.scrollWidth);
  document.querySelectorAll('body *').forEach(function (e) {
    var r = e.getBoundingClientRect(), s = getComputedStyle(e);
    if (e.closest('script')) return;
    if (r.right > doc.clientWidth + 1 && !e.closest('.scroll')) wrong.push(e.tagName + '.' + e.getAttribute('class') + ' ends at ' + r.right);
    if (e.scrollWidth > e.clientWidth + 1 && s.overflowX === 'visible' && s.display !== 'inline' && !e.closest('svg'))
      wrong.push(e.tagName + '.' + e.className + ' overflows: ' + e.textContent.slice(0, 40));
  });
  document.querySelectorAll('svg text').forEach(function (e) {
    var r = e.getBoundingClientRect(), p = e.closest('svg').getBoundingClientRect();
    if (r.left < p.left - 1 || r.right > p.right + 1 || r.bottom > p.bottom + 1) wrong.push('text outside its plot: ' + e.textContent);
  });
  // a heading in one line; a word is not cut in two; what is cut short is to be read in its title
  function lines(e) {
    var range = document.createRange(), top = Infinity, bottom = 0;
    range.selectNodeContents(e);
    Array.prototype.forEach.call(range.getClientRects(), function (r) { top = Math.min(top, r.top); bottom = Math.max(bottom, r.bottom); });
    return (bottom - top) / parseFloat(getComputedStyle(e).lineHeight) > 1.5 ? 2 : 1;
  }
  document.querySelectorAll('th').forEach(function (e) {
    if (lines(e) > 1) wrong.push('a heading in two lines: ' + e.textContent);
  });
  document.querySelectorAll('.cut, .name').forEach(function (e) {
    if (e.scrollWidth > e.clientWidth + 1 && e.title !== e.textContent) wrong.push('cut without a title: ' + e.textContent);
  });
  document.querySelectorAll('td').forEach(function (e) {
    if (e.textContent.length < 20 && !/\s/.test(e.textContent) && lines(e) > 1) wrong.push('a broken word: ' + e.textContent);
  });
  document.querySelectorAll('.rows .value').forEach(function (e) {
    var r = e.getBoundingClientRect(), p = e.closest('.card').getBoundingClientRect();
    if (r.right > p.right - 8) wrong.push('a figure at the edge of its card: ' + e.textContent);
  });
  document.querySelectorAll('.lines text').forEach(function (e) {
    if (e.getBoundingClientRect().height < 7) wrong.push('too small to read: ' + e.textContent);
  });
  // no hole beside a card: where there is room for two, they come in pairs
  if (doc.clientWidth > 1000) {
    var alone = 0;
    document.querySelectorAll('.card').forEach(function (e) {
      if (!e.classList.contains('wide')) alone++;
      else if (alone % 2) wrong.push('a hole before ' + e.querySelector('h2').textContent);
    });
  }
  document.querySelectorAll('.card').forEach(function (e) {
    if (e.getBoundingClientRect().height < 50 || !e.querySelector('svg, table, li, .nothing')) wrong.push('empty: ' + e.textContent.slice(0, 40));
  });
  document.querySelectorAll('svg').forEach(function (e) {
    var r = e.getBoundingClientRect();
    if (r.width < 20 || r.height < 5) wrong.push('a plot of ' + r.width + ' x ' + r.height);
    if (/NaN|undefined|Infinity/.test(e.outerHTML)) wrong.push('a plot with NaN');
  });
  var cards = Array.prototype.map.call(document.querySelectorAll('.card > h2'), function (e) { return e.textContent; });
  document.title = 'JUDGED ' + JSON.stringify({wrong: wrong, cards: cards, background: getComputedStyle(document.body).backgroundColor,
    plots: document.querySelectorAll('svg').length, scripts: document.querySelectorAll('script').length - 1,
    marked: window.marked || null});
});
</script>};

sub browse
{
  my ($file, $width, $dark, @more) = @_;
  my ($out, $err) = ('', '');

  IPC::Run::run([$chromium, '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--hide-scrollbars', '--blink-settings=preferredColorScheme=' . ($dark ? 0 : 1),
      "--user-data-dir=$dir/chromium.$width.$dark", "--window-size=$width,2400", '--virtual-time-budget=5000', @more, "file://$file"],
    '>', \$out, '2>', \$err, IPC::Run::timeout(180));
  return $out;
}

# How many colours a PNG has, by reading its pixels.
sub colours
{
  my ($png) = @_;
  my $data = slurp_file($png);
  my ($w, $h, $depth, $type) = unpack 'x16 N N C C', $data;
  my ($at, $packed) = (8, '');

  while ($at < length $data)
  {
    my ($len, $kind) = unpack "x$at N a4", $data;
    $packed .= substr $data, $at + 8, $len if $kind eq 'IDAT';
    $at += $len + 12;
  }
  my $raw = uncompress($packed);
  my $bpp = $type == 6 ? 4 : 3;
  my @before = (0) x ($w * $bpp);
  my %seen;
  # every 4th line is looked at, but each has to be undone to know the next
  foreach my $y (0 .. ($h < 700 ? $h : 700) - 1)
  {
    my ($filter, @line) = unpack 'C*', substr $raw, $y * ($w * $bpp + 1), $w * $bpp + 1;
    foreach my $i (0 .. $#line)
    {
      my $a = $i >= $bpp ? $line[ $i - $bpp ] : 0;
      my $b = $before[$i];
      my $c = $i >= $bpp ? $before[ $i - $bpp ] : 0;
      my $p = 0;
      if    ($filter == 1) { $p = $a }
      elsif ($filter == 2) { $p = $b }
      elsif ($filter == 3) { $p = int(($a + $b) / 2) }
      elsif ($filter == 4)
      {
        my ($pa, $pb, $pc) = (abs($b - $c), abs($a - $c), abs($a + $b - 2 * $c));
        $p = $pa <= $pb && $pa <= $pc ? $a : $pb <= $pc ? $b : $c;
      }
      $line[$i] = ($line[$i] + $p) & 255;
    }
    if ($y % 4 == 0)
    {
      $seen{ join ',', @line[ $_ * $bpp .. $_ * $bpp + 2 ] }++ for grep { $_ % 3 == 0 } 0 .. $w - 1;
    }
    @before = @line;
  }
  return \%seen;
}

sub judged
{
  my ($name, $html, $once) = @_;

  SKIP:
  {
    skip 'there is no chromium on the PATH', 1 unless $chromium;
    append_to_file("$dir/$name.html", $html . $judge);
    append_to_file("$dir/$name.plain.html", $html);
    foreach my $width ($once ? 700 : (1200, 390))
    {
      foreach my $dark ($once ? 0 : (0, 1))
      {
        my $what = "$name, $width wide, " . ($dark ? 'dark' : 'light');
        my ($verdict) = browse("$dir/$name.html", $width, $dark, '--dump-dom') =~ m{<title>JUDGED (.*?)</title>}s;

        ok(defined $verdict, "$what: the browser showed it") or next;
        my ($wrong) = $verdict =~ /"wrong":\[(.*?)\],"cards"/s;
        is($wrong, '', "$what: nothing overflows, nothing is empty");
        like($verdict, qr/"cards":\["What to change","Shares against entitlement","Waiting times","Depth","Fairness over time","Budgets","Quota violations","Preemptions","Tiers","Alerts"\]/,
          "$what: all parts are there");
        like($verdict, qr/"scripts":0,"marked":null/, "$what: no script of it ran");
        like($verdict, $dark ? qr/"background":"rgb\(20, 23, 27\)"/ : qr/"background":"rgb\(246, 247, 249\)"/, "$what: its colours");
      }
    }
    last SKIP if $once;
    browse("$dir/$name.plain.html", 1200, 0, "--screenshot=$dir/$name.png");
    my $seen = colours("$dir/$name.png");
    cmp_ok(scalar keys %$seen, '>', 20, "$name: the screenshot is a picture");
    cmp_ok($seen->{'255,255,255'} || 0, '>', 1000, "$name: with the white of its cards");
    cmp_ok($seen->{'37,99,168'} || 0, '>', 50, "$name: and the blue of its plots") if $name ne 'empty';
  }
  return;
}

judged('empty', $node->safe_psql('postgres', 'SELECT fairsched_report_html()'));

# Everything in it, with names that try to break it.
my $evil = q{<script>window.marked=1</script> & "quoted" 'x'};
my $q = $evil =~ s/'/''/gr;
$node->safe_psql('postgres', qq{
  SELECT fairsched_create_workspace('acme', 'enterprise', max_running => 500), fairsched_create_workspace('$q', 'growth', max_running => 100);
  SELECT count(fairsched_enqueue_many(w, array_fill('{}'::jsonb, array[900]))) FROM unnest(ARRAY['acme', '$q', repeat('W', 128), repeat('long name ', 12), 'ünïcödé 日本語']) w;
  SELECT fairsched_set_budget('spent', 100), fairsched_record_spend('spent', 97), fairsched_set_budget('$q', 1e9), fairsched_set_budget('none', 1);
  SELECT fairsched_enqueue('acme', lane => 'l', capabilities => '{gpu}');
  SELECT count(*) FROM fairsched_claim('w', 1, lanes => '{l}');
  SELECT fairsched.sample_fairness(now() - interval '3 h');
  SELECT fairsched.raise_alert('starvation', s, 'acme', s, 'a job waits for <b>very</b> ' || repeat('long ', 40)) FROM unnest('{low,medium,high,critical}'::text[]) s;
  INSERT INTO fairsched.quota_violations (workspace, resource, quota, actual, overage, overage_percent, action, severity, first_seen, last_seen)
    SELECT repeat('W', 128), 'tokens', 100, 130, 30, 30, 'throttle', 'high', now() - i * interval '1 h', now() FROM generate_series(1, 1) i
    UNION ALL SELECT '$q', 'storage', 100, 130, 30, 30, 'alert', 'low', now() - i * interval '2 h', now() FROM generate_series(1, 1) i;
  INSERT INTO fairsched.preemption_history (job_id, token, workspace, priority, reason, resource, requested_at, preempted_at, outcome)
    SELECT i, i, 'acme', 'P3', 'resource_constraint', 'cpu', now() - i * interval '1 h', now(), 'preempted' FROM generate_series(1, 9) i;
});
$node->safe_psql('postgres', q{SELECT count(*) FROM fairsched_claim('w', 5)});
$node->safe_psql('postgres', qq{DO \$\$ BEGIN
  FOR i IN 1 .. 40 LOOP
    PERFORM fairsched_claim('w', 5 + i % 7);
    PERFORM fairsched.sample_fairness(now() - interval '3 h' + i * interval '4 min');
    COMMIT;
  END LOOP;
END \$\$});
my $full = $node->safe_psql('postgres', 'SELECT fairsched_report_html()');
unlike($full, qr/<script/i, 'a name is text');
unlike($full, qr{(?:src|href)\s*=|url\(|\@import}i, 'nothing is loaded');
judged('full', $full);

# A period without samples; one that is long.
judged('minute', $node->safe_psql('postgres', q{SELECT fairsched_report_html('1 minute')}), 1);
judged('year', $node->safe_psql('postgres', q{SELECT fairsched_report_html('366 days')}), 1);

$node->stop;
done_testing();
