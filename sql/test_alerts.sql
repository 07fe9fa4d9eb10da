-- Alerts: one open row for a cause, resolved when it is gone. The checks run with a time of the test's own.
SET client_min_messages = warning;
CREATE VIEW al AS SELECT type, severity, workspace, subject, occurrences, acknowledged_at IS NOT NULL AS acknowledged,
	resolved_at IS NOT NULL AS resolved, detail FROM fairsched.alerts
	WHERE workspace LIKE 'al\_%' OR subject LIKE 'al\_%' OR type IN ('al', 'low_fairness_score') ORDER BY alert_id;
CREATE TEMP TABLE ids AS SELECT coalesce(max(alert_id), 0) AS last FROM fairsched.alerts;

-- raising again counts; another workspace or subject is another alert
SELECT fairsched.raise_alert('al', 'low', NULL, NULL, 'first'), fairsched.raise_alert('al', 'medium', NULL, NULL, 'second'),
	fairsched.raise_alert('al', 'low', 'al_a', NULL, 'of a'), fairsched.raise_alert('al', 'low', NULL, 'al_s', 'of s'),
	fairsched.raise_alert('al', 'low', 'al_a', 'al_s', 'of both');
SELECT * FROM al;
SELECT first_seen < last_seen AS later FROM fairsched.alerts WHERE type = 'al' AND workspace IS NULL AND subject IS NULL;

-- acknowledged until it becomes worse
SELECT fairsched_acknowledge_alert(alert_id) FROM fairsched.alerts WHERE type = 'al' AND workspace IS NULL AND subject IS NULL;
SELECT fairsched_acknowledge_alert(alert_id) FROM fairsched.alerts WHERE type = 'al' AND workspace IS NULL AND subject IS NULL;
SELECT fairsched.raise_alert('al', 'low', NULL, NULL, 'less');
SELECT acknowledged, severity FROM al WHERE type = 'al' AND workspace IS NULL AND subject IS NULL;
SELECT fairsched.raise_alert('al', 'critical', NULL, NULL, 'worse');
SELECT acknowledged, severity FROM al WHERE type = 'al' AND workspace IS NULL AND subject IS NULL;

-- resolved; the next one is new
SELECT fairsched.resolve_alert('al', NULL, NULL), fairsched.resolve_alert('al', 'al_none', NULL);
SELECT fairsched_acknowledge_alert(alert_id) FROM fairsched.alerts WHERE type = 'al' AND workspace IS NULL AND subject IS NULL;
SELECT fairsched.raise_alert('al', 'low', NULL, NULL, 'anew');
SELECT severity, occurrences, resolved, detail FROM al WHERE type = 'al' AND workspace IS NULL AND subject IS NULL;

-- nothing of a transaction that is rolled back
BEGIN;
SELECT fairsched.raise_alert('al', 'low', 'al_gone', NULL, 'gone');
ROLLBACK;
SELECT count(*) FROM al WHERE workspace = 'al_gone';

-- bad input
SELECT fairsched_acknowledge_alert(-1);
SELECT fairsched_acknowledge_alert(NULL);
SELECT fairsched.raise_alert('al', NULL, NULL, NULL, 'x');
SELECT fairsched.resolve_alert(NULL, NULL, NULL);
\set VERBOSITY terse
SELECT fairsched.raise_alert('al', 'worst', NULL, NULL, 'x');
SELECT fairsched.raise_alert('al', 'low', '', NULL, 'x');
\set VERBOSITY default
DELETE FROM fairsched.alerts WHERE type = 'al';

-- fairness: by the samples of the last five minutes (days that are made as the sampler makes them). al_a got half, of two samples; al_b 90 %; al_c lacks less than a visit;
-- al_d is not paid for; al_e lacked before
SELECT count(fairsched.make_day_partition('fairness_samples', d::date)) FROM generate_series(timestamp '2029-12-31', '2030-01-08', '1 day') d;
INSERT INTO fairsched.fairness_samples (sampled_at, scope, workspace, tier, seconds, weight, entitled, competed, served, lacking, tolerance, lag, bound, running)
VALUES ('2030-01-01 00:01', 'workspace', 'al_a', 'scale', 60, 2, 500, 400, 0, 0, 50, 1, 22, 0),
	('2030-01-01 00:04', 'workspace', 'al_a', 'scale', 60, 2, 500, 100, 0, 0, 50, 1, 22, 0),
	('2030-01-01 00:04', 'workspace', 'al_b', 'scale', 60, 2, 1000, 900, 0, 0, 50, 1, 22, 0),
	('2030-01-01 00:04', 'workspace', 'al_c', 'scale', 60, 2, 40, 0, 0, 0, 50, 1, 22, 0),
	('2030-01-01 00:04', 'workspace', 'al_d', 'starter', 60, 1, 1000, 0, 0, 0, 50, 1, 22, 0),
	('2029-12-31 23:59', 'workspace', 'al_e', 'scale', 60, 2, 1000, 0, 0, 0, 50, 1, 22, 0),
	('2030-01-01 00:04', 'tier', NULL, 'al_tier', 60, 4, 1000, 100, 0, 0, 50, 1, 22, 0);
SELECT fairsched.check_alerts('2030-01-01 00:05');
SELECT * FROM al;
SELECT type, first_seen, last_seen FROM fairsched.alerts WHERE workspace = 'al_a';
-- later: al_a's first sample is out of the window, so it got 20 %; the tier lacks nothing any more
INSERT INTO fairsched.fairness_samples (sampled_at, scope, workspace, tier, seconds, weight, entitled, competed, served, lacking, tolerance, lag, bound, running)
VALUES ('2030-01-01 00:06', 'tier', NULL, 'al_tier', 60, 4, 90000, 90000, 0, 0, 50, 1, 22, 0);
SELECT fairsched.check_alerts('2030-01-01 00:07');
SELECT * FROM al;
-- and nothing of that is left
SELECT fairsched.check_alerts('2030-01-01 01:00');
SELECT type, workspace, resolved FROM al;

-- the score, and the bound
INSERT INTO fairsched.fairness_samples (sampled_at, scope, workspace, seconds, weight, entitled, competed, served, lacking, tolerance, lag, bound, running, score, worst_workspace)
VALUES ('2030-01-02 00:01', 'all', NULL, 60, NULL, 1000, 1000, 0, 0, 50, NULL, NULL, 0, 1, NULL),
	('2030-01-02 00:02', 'all', NULL, 60, NULL, 1000, 1000, 0, 800, 50, NULL, NULL, 0, 0.2, 'al_w'),
	('2030-01-02 00:02', 'workspace', 'al_w', 60, 1, 1000, 1000, 0, 0, 50, -23, 22, 0, NULL, NULL),
	('2030-01-02 00:03', 'workspace', 'al_w', 60, 1, 1000, 1000, 0, 0, 50, 3, 22, 0, NULL, NULL);
SELECT fairsched.check_alerts('2030-01-02 00:05');
SELECT type, severity, workspace, detail FROM al WHERE NOT resolved;
SELECT fairsched.check_alerts('2030-01-03');
SELECT count(*) FROM al WHERE NOT resolved;
DELETE FROM fairsched.fairness_samples WHERE sampled_at > '2029-01-01';

-- starvation: admissible, and it waits for longer than the setting
SELECT fairsched_create_workspace(w, own_table => false) FROM unnest('{al_wait,al_paused,al_cap}'::text[]) w;
SELECT fairsched_register_worker('al_worker', slots => 0);
SELECT count(fairsched_enqueue(w, lane => 'al_lane')) FROM unnest('{al_wait,al_paused}'::text[]) w;
SELECT count(fairsched_enqueue('al_cap', lane => 'al_lane', capabilities => '{al_nobody}'));
SELECT fairsched_pause_workspace('al_paused');
SELECT fairsched.check_alerts(now() + interval '9 min');
SELECT * FROM al WHERE NOT resolved;
SELECT fairsched.check_alerts(now() + interval '11 min');
SELECT type, severity, workspace, subject, occurrences, regexp_replace(detail, '\d{3} s,', '66x s,') FROM al WHERE NOT resolved;
SELECT fairsched.check_alerts(now() + interval '21 min');
SELECT type, severity, workspace, subject, occurrences FROM al WHERE NOT resolved;
-- a job that is claimed starves no more
SELECT workspace FROM fairsched_claim('al_worker', lanes => '{al_lane}');
SELECT fairsched.check_alerts(now() + interval '22 min');
SELECT type, workspace FROM al WHERE NOT resolved;
SELECT fairsched_unregister_worker('al_worker') >= 0;
INSERT INTO fairsched.fairness_samples (sampled_at, scope, workspace, seconds, entitled, competed, served, lacking, tolerance, running, worst_workspace)
VALUES ('2030-01-06', 'workspace', 'al_cap', 60, 1, 1, 1, 0, 1, 0, NULL), ('2030-01-06', 'all', NULL, 60, 1, 1, 1, 0, 1, 0, 'al_cap');
-- a workspace that is dropped with its history leaves none here
SELECT count(fairsched_drop_workspace(w, force => true)) FROM unnest('{al_wait,al_paused,al_cap}'::text[]) w;
SELECT count(*) FROM fairsched.alerts WHERE workspace IN ('al_wait', 'al_cap');
SELECT scope, worst_workspace FROM fairsched.fairness_samples WHERE sampled_at = '2030-01-06';
-- days that are over go as a whole, those that are not stay
SELECT fairsched.drop_old_days('fairness_samples', now() - '2030-01-03'), fairsched.drop_old_days('fairness_samples', now() - '2030-01-03');
SELECT min(sampled_at) > '2030-01-03' FROM fairsched.fairness_samples WHERE sampled_at > '2029-01-01';
SELECT fairsched.drop_old_days('fairness_samples', now() - '2031-01-01') >= 6;

-- quotas
INSERT INTO fairsched.quota_violations (workspace, resource, quota, actual, overage, action, severity)
	VALUES ('al_q', 'cpu', 10, 12, 2, 'reject', 'medium'), ('al_q', 'cpu', 10, 12, 2, 'burst_allowed', 'critical'), ('al_q', 'tokens', 10, 20, 10, 'throttle', 'critical');
SELECT fairsched.check_alerts('2030-01-04');
SELECT type, severity, workspace, subject, detail FROM al WHERE NOT resolved;
UPDATE fairsched.quota_violations SET resolved_at = now() WHERE workspace = 'al_q' AND resource = 'cpu';
SELECT fairsched.check_alerts('2030-01-04 00:05');
SELECT workspace, subject FROM al WHERE NOT resolved;
DELETE FROM fairsched.quota_violations WHERE workspace = 'al_q';

-- the scheduler: what would be overdue if it slept until then
SELECT count(fairsched_enqueue('al_due', run_at => now() + interval '1 hour'));
SELECT fairsched.check_alerts(now() + interval '65 min');
SELECT occurrences >= 1, severity IN ('high', 'critical') FROM fairsched.alerts WHERE type = 'due_backlog' AND resolved_at IS NULL;
SELECT fairsched.check_alerts(now() + interval '90 min');
SELECT occurrences > 1, severity, detail ~ '^due jobs and leases wait for the scheduler since \d{4} s$' FROM fairsched.alerts WHERE type = 'due_backlog' AND resolved_at IS NULL;
SELECT fairsched_drop_workspace('al_due', force => true);
SELECT fairsched.check_alerts(clock_timestamp());
SELECT count(*) FROM fairsched.alerts WHERE type = 'due_backlog' AND resolved_at IS NULL;

-- rights
CREATE ROLE al_nobody;
GRANT USAGE ON SCHEMA fairsched TO al_nobody;
SET ROLE al_nobody;
SELECT count(*) FROM fairsched.alerts;
SELECT fairsched.raise_alert('al', 'low', NULL, NULL, 'x');
SELECT fairsched.check_alerts(now());
SELECT fairsched_acknowledge_alert(1);
RESET ROLE;
GRANT EXECUTE ON FUNCTION fairsched_acknowledge_alert TO al_nobody;
SELECT fairsched.raise_alert('al', 'low', NULL, NULL, 'x');
SET ROLE al_nobody;
SELECT fairsched_acknowledge_alert(0);
RESET ROLE;
DROP OWNED BY al_nobody;
DROP ROLE al_nobody;

-- leave nothing
DELETE FROM fairsched.alerts USING ids WHERE alert_id > last;
DROP VIEW al;
