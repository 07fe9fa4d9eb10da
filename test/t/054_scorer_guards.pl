# Scorers of placements: one that catches its cancellation cannot hold up the loop; whoever runs a round
# has no say in what the names in a scorer mean; one that is renamed or dropped has no opinion.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use Fairsched;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = fs_node('main', conf => {
  'fairsched.move_placements' => 'off',
  'fairsched.scorer_timeout'  => '500ms' });

sub ask { return $node->safe_psql('postgres', $_[0]) }

# look: a round of the loop, by hand; node and score of the holder.
sub look
{
  return ask(q{SELECT fairsched_rescore_placements('acme');
    SELECT fairsched_evaluate_placement();
    SELECT h ->> 'node' || ' ' || coalesce(h ->> 'score', 'none') FROM fairsched.placement_status, jsonb_array_elements(holders) h})
    =~ s/^.*\n//sr;
}

my $alert = q{SELECT substring(detail FROM ': (.*)$') FROM fairsched.alerts WHERE type = 'placement_scorer' AND resolved_at IS NULL};

ask(q{
  SELECT fairsched_register_worker('w' || n, slots => 4, node => n) FROM unnest('{a,b}'::text[]) n;
  SELECT fairsched_create_workspace('acme');
  SELECT fairsched_place('acme', '{a,b}', 1);
  CREATE ROLE owner; CREATE ROLE other;
  CREATE SCHEMA mine AUTHORIZATION owner; CREATE SCHEMA evil AUTHORIZATION other;
  GRANT USAGE ON SCHEMA evil TO owner;
  GRANT EXECUTE ON FUNCTION fairsched_set_placement_scorer(regprocedure, regprocedure) TO owner;
  GRANT EXECUTE ON FUNCTION fairsched_evaluate_placement() TO other;
  SET ROLE owner;
  CREATE FUNCTION mine.best(chain text, exclude text[]) RETURNS TABLE (node text, score real) LANGUAGE sql AS $$
    SELECT NULL::text, NULL::real WHERE false $$;
  CREATE FUNCTION mine.score(chain text, node text) RETURNS real LANGUAGE plpgsql AS $$
  BEGIN
    LOOP
      BEGIN
        BEGIN
          PERFORM pg_sleep(600);
        EXCEPTION WHEN query_canceled THEN
          PERFORM pg_sleep(600);
        END;
      EXCEPTION WHEN query_canceled OR assert_failure OR OTHERS THEN
        NULL;
      END;
    END LOOP;
  END $$;
  SELECT fairsched_set_placement_scorer('mine.score(text,text)', 'mine.best(text,text[])')});

is(look(), 'a none', 'a scorer that catches its cancellation again and again: a round ends');
is(ask($alert), 'it took longer than fairsched.scorer_timeout.', 'and says why there is no opinion');

# ---------- what names mean ----------
$node->append_conf('postgresql.conf', "fairsched.scorer_timeout = '60s'");
$node->reload;
$node->poll_query_until('postgres', q{SELECT current_setting('fairsched.scorer_timeout') = '1min'});
ask(q{SET ROLE owner;
  CREATE OR REPLACE FUNCTION mine.score(chain text, node text) RETURNS real LANGUAGE plpgsql AS $$
  BEGIN
    RETURN helper(0.25::real);
  EXCEPTION WHEN undefined_function THEN
    RETURN 0.75;
  END $$;
  SET ROLE other;
  CREATE FUNCTION evil.helper(x real) RETURNS real LANGUAGE sql AS 'SELECT 0.5::real';
  RESET ROLE;
  SELECT fairsched_rescore_placements('acme');
  SET ROLE other;
  SET search_path = evil, pg_catalog;
  SELECT public.fairsched_evaluate_placement()});
is(ask(q{SELECT score FROM fairsched.placement_scores}), '0.75', 'the search_path of who runs a round does not reach a scorer');

# ---------- renamed, dropped ----------
is(look(), 'a 0.75', 'it has an opinion');
is(ask($alert), '', 'and the alert is over');
ask('ALTER FUNCTION mine.score(text, text) RENAME TO score2');
is(look(), 'a none', 'renamed: no opinion');
is(ask($alert), 'it does not exist any more, or has other arguments.', 'and an alert');
ask('ALTER FUNCTION mine.score2(text, text) RENAME TO score');
is(look(), 'a 0.75', 'it has its name again');
ask('REASSIGN OWNED BY owner TO postgres; DROP OWNED BY owner; DROP ROLE owner; DROP SCHEMA mine CASCADE');
is(look(), 'a none', 'dropped, with its owner: no opinion');
ask(q{SELECT fairsched_drain_node('a'); SELECT fairsched_evaluate_placement(); SELECT fairsched_evaluate_placement()});
is(ask('SELECT node, state FROM fairsched.placements'), 'b|holding', 'what has to move does so without it');
is(ask(q{SELECT previous_score IS NULL AND previous_best_alternative IS NULL FROM fairsched_set_placement_scorer(NULL, NULL)}),
  't', 'a pair that does not exist any more is not returned');
is(ask($alert), '', 'nothing is wrong with the built-in one');
$node->stop;
done_testing();
