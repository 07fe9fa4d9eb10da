-- Thresholds of budgets raise alerts, one each while they are crossed.
SET client_min_messages = warning;
-- what the scheduler has written, when it has written all that memory says is crossed
CREATE FUNCTION alerts(of text) RETURNS TABLE (type text, severity text, workspace text, detail text, occurrences bigint, open boolean) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..6000 LOOP
		EXIT WHEN coalesce((SELECT m.crossed = coalesce(t.crossed, 0) AND
				(m.crossed = 0) = NOT EXISTS (SELECT FROM fairsched.budget_events e WHERE e.budget = of AND e.resolved_at IS NULL)
			FROM fairsched.memory_budgets() m JOIN fairsched.budgets b USING (budget)
			LEFT JOIN fairsched.budget_totals t USING (budget_id) WHERE m.budget = of),
			NOT EXISTS (SELECT FROM fairsched.budget_events e WHERE e.budget = of AND e.resolved_at IS NULL));
		PERFORM pg_sleep(0.1);
	END LOOP;
	RETURN QUERY SELECT a.type, a.severity, a.workspace, a.detail, a.occurrences, a.resolved_at IS NULL
		FROM fairsched.alerts a WHERE a.subject = of ORDER BY a.alert_id;
END
$$;
SELECT fairsched_set_budget('bz', 10, preempt_at => 0.9);
SELECT fairsched_record_spend('bz', 4);
SELECT * FROM alerts('bz');
SELECT fairsched_record_spend('bz', 1);
SELECT * FROM alerts('bz');
SELECT fairsched_record_spend('bz', 4.75);
SELECT * FROM alerts('bz');
-- one is over when its threshold is armed again, and another comes with the next crossing
SELECT fairsched_set_budget('bz', 12, preempt_at => 0.9);
SELECT type, open FROM alerts('bz');
SELECT fairsched_record_spend('bz', 2);
SELECT type, open FROM alerts('bz');
SELECT fairsched_reset_budget('bz');
SELECT type, open FROM alerts('bz') WHERE open;
-- of a workspace; the action decides as well how bad it is
SELECT fairsched_set_budget('bz_ws', 10, workspace => 'bz_w', dimension => 'tokens', warn_action => 'pause all', throttle_at => NULL, pause_at => NULL);
SELECT fairsched_record_spend('bz_ws', 6);
SELECT * FROM alerts('bz_ws');
-- it is given to another workspace, and removed: the alert goes as well
SELECT fairsched_set_budget('bz_ws', 10, workspace => 'bz_v', warn_action => 'pause all', throttle_at => NULL, pause_at => NULL);
DELETE FROM fairsched.budgets WHERE budget = 'bz_ws';
SELECT type, workspace, open FROM alerts('bz_ws');
SELECT event_type, resolved_at IS NULL AS open FROM fairsched.budget_events WHERE budget = 'bz_ws';
DELETE FROM fairsched.budgets WHERE budget LIKE 'bz%';
DROP FUNCTION alerts;
