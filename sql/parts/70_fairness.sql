-- Fairness: who got what of what is due to it. docs/fairness.md has the formulas.

CREATE FUNCTION fairsched.fairness_internal(
	OUT workspace text, OUT tier text, OUT weight double precision, OUT quantum integer,
	OUT entitled double precision, OUT served bigint, OUT lag double precision, OUT bound double precision,
	OUT depth bigint, OUT running integer, OUT max_running integer,
	OUT dwell_p50 interval, OUT dwell_p95 interval, OUT dwell_p99 interval,
	OUT contending boolean, OUT competed bigint, OUT tolerance double precision, OUT satisfaction double precision)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 1000
	AS 'MODULE_PATHNAME', 'fs_view_fairness';
COMMENT ON FUNCTION fairsched.fairness_internal() IS 'Internal: what shared memory counted of each workspace. Needs SELECT on fairsched.fairness or fairsched.fairness_tiers.';

CREATE VIEW fairsched.fairness AS
SELECT coalesce(f.workspace, w.workspace) COLLATE "C" AS workspace, coalesce(f.tier, w.tier) COLLATE "C" AS tier,
	coalesce(f.weight, t.weight) AS weight, coalesce(f.entitled, z.zero) AS entitled, coalesce(f.served, z.zero) AS served,
	coalesce(f.served / nullif(sum(f.served::double precision) OVER (), 0), z.zero) AS share,
	f.lag, f.bound, CASE WHEN f.workspace IS NULL THEN z.zero_counted ELSE f.depth END AS depth,
	coalesce(f.running, z.zero::integer) AS running,
	coalesce(f.max_running, w.max_running, current_setting('fairsched.' || w.quota_class || '_quota', true)::integer) AS max_running,
	f.dwell_p50, f.dwell_p95, f.dwell_p99,
	CASE WHEN f.depth > 0 OR f.workspace IS NOT NULL AND f.depth IS NULL THEN fairsched.oldest_ready_age(f.workspace) END AS oldest_ready_age,
	coalesce(f.contending, z.zero <> 0) AS contending, coalesce(f.competed, z.zero) AS competed,
	coalesce(f.satisfaction, z.zero + 1) AS satisfaction,
	coalesce(f.entitled / nullif(sum(f.entitled) OVER (), 0), z.zero) AS entitled_share,
	coalesce(f.competed / f.weight, z.zero) AS normalised, coalesce(f.tolerance, z.zero) AS tolerance,
	coalesce(f.quantum, t.quantum) AS quantum
FROM fairsched.fairness_internal() f
	FULL JOIN fairsched.workspaces w ON w.workspace = f.workspace
	LEFT JOIN fairsched.tiers t ON t.tier = w.tier
	-- what holds for a workspace that memory does not know
	CROSS JOIN (SELECT CASE WHEN s IN ('ready', 'counted') THEN 0::bigint END AS zero,
			CASE WHEN s = 'counted' THEN 0::bigint END AS zero_counted
		FROM fairsched.scheduler_state() s) z;
COMMENT ON VIEW fairsched.fairness IS 'What each workspace that has jobs or settings got of what is due to it, since memory was built (a restart begins anew). O(workspaces), from memory; NULL counts of a workspace that has settings only: memory is not built, as on a standby. docs/fairness.md has the formulas.';
COMMENT ON COLUMN fairsched.fairness.workspace IS 'Name.';
COMMENT ON COLUMN fairsched.fairness.tier IS 'Tier: weight and quantum (fairsched.tiers).';
COMMENT ON COLUMN fairsched.fairness.weight IS 'Share of the workers relative to a tier of weight 1.0.';
COMMENT ON COLUMN fairsched.fairness.entitled IS 'Cost units due to it: while it had admissible work and others of its lane did too, its quantum''s part of all that was served there. Time in which it asked for nothing, was parked, or was alone counts for nothing.';
COMMENT ON COLUMN fairsched.fairness.served IS 'Cost units handed out to it by committed claims, in competition or not.';
COMMENT ON COLUMN fairsched.fairness.share IS 'served as a part of that of all workspaces, from 0 to 1.';
COMMENT ON COLUMN fairsched.fairness.lag IS 'How far it is behind a quantum in each round (negative: ahead), since it last began to compete, or a claim of it was rolled back, in cost units of a workspace of the least quantum: (rounds * quantum - service) * least quantum / quantum. Of its lane where it is largest. NULL = it has nothing admissible now.';
COMMENT ON COLUMN fairsched.fairness.bound IS 'What lag is never beyond, in either direction and the same units: least quantum + 2 * dearest job; 3 * least quantum + 2 * dearest job when P0 was served in that time. Beyond it is a defect of fairsched.';
COMMENT ON COLUMN fairsched.fairness.depth IS 'Jobs that may be claimed. NULL = not counted yet.';
COMMENT ON COLUMN fairsched.fairness.running IS 'Jobs that occupy a slot.';
COMMENT ON COLUMN fairsched.fairness.max_running IS 'Ceiling on running.';
COMMENT ON COLUMN fairsched.fairness.dwell_p50 IS 'Half of its jobs were claimed within this time after they became ready. Recent jobs count most (half-life 5 minutes); to within 20 %. NULL = none lately, or it is not among the 1024 workspaces that claimed last.';
COMMENT ON COLUMN fairsched.fairness.dwell_p95 IS 'The same of 95 %.';
COMMENT ON COLUMN fairsched.fairness.dwell_p99 IS 'The same of 99 %.';
COMMENT ON COLUMN fairsched.fairness.oldest_ready_age IS 'How long its oldest ready job has been ready. Jobs that a gate or a pause holds up count too. NULL = nothing is ready, or not known. Costs a look at a row or into an index for each flow with ready jobs, about 1 µs; nothing when the column is not selected.';
COMMENT ON COLUMN fairsched.fairness.contending IS 'True: it has admissible work now, and others of its lane do too.';
COMMENT ON COLUMN fairsched.fairness.competed IS 'Cost units handed out to it in competition, those of claims that are not committed yet included: what to compare entitled with.';
COMMENT ON COLUMN fairsched.fairness.satisfaction IS 'competed / entitled; 1 when they differ by no more than tolerance.';
COMMENT ON COLUMN fairsched.fairness.entitled_share IS 'entitled as a part of that of all workspaces, from 0 to 1.';
COMMENT ON COLUMN fairsched.fairness.normalised IS 'competed / weight: equal among workspaces that compete all the time.';
COMMENT ON COLUMN fairsched.fairness.tolerance IS 'Cost units by which the round robin may be ahead or behind at any moment: the bound, in its own cost units (bound * quantum / least quantum), summed over its lanes.';
COMMENT ON COLUMN fairsched.fairness.quantum IS 'Cost units it may use in one round.';

CREATE FUNCTION fairsched.tier_dwell_internal(
	OUT tier text, OUT dwell_p50 interval, OUT dwell_p95 interval, OUT dwell_p99 interval)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 4
	AS 'MODULE_PATHNAME', 'fs_view_tier_dwell';
COMMENT ON FUNCTION fairsched.tier_dwell_internal() IS 'Internal: how long jobs waited, by tier. Needs SELECT on fairsched.fairness_tiers.';

CREATE VIEW fairsched.fairness_tiers AS
SELECT d.tier COLLATE "C" AS tier, t.weight, coalesce(f.entitled, 0) AS entitled, coalesce(f.served, 0) AS served,
	coalesce(f.served / nullif(sum(f.served) OVER (), 0), 0)::double precision AS share,
	coalesce(f.competed, 0) AS competed,
	coalesce(f.entitled / nullif(sum(f.entitled) OVER (), 0), 0)::double precision AS entitled_share,
	coalesce(f.workspaces, 0) AS workspaces, coalesce(f.contending, 0) AS contending,
	CASE WHEN f.tier IS NULL THEN 0 ELSE f.depth END AS depth, coalesce(f.running, 0) AS running,
	d.dwell_p50, d.dwell_p95, d.dwell_p99
FROM fairsched.tier_dwell_internal() d
	JOIN fairsched.tiers t ON t.tier = d.tier
	LEFT JOIN (SELECT i.tier, sum(i.entitled) AS entitled, sum(i.served)::bigint AS served,
			sum(i.competed)::bigint AS competed, count(*) AS workspaces,
			count(*) FILTER (WHERE i.contending) AS contending,
			CASE WHEN count(*) = count(i.depth) THEN sum(i.depth)::bigint END AS depth,
			sum(i.running) AS running
		FROM fairsched.fairness_internal() i GROUP BY i.tier) f ON f.tier = d.tier;
COMMENT ON VIEW fairsched.fairness_tiers IS 'fairsched.fairness by tier. O(workspaces), from memory.';
COMMENT ON COLUMN fairsched.fairness_tiers.tier IS 'Name of the tier (fairsched.tiers).';
COMMENT ON COLUMN fairsched.fairness_tiers.weight IS 'Weight of each workspace of the tier.';
COMMENT ON COLUMN fairsched.fairness_tiers.entitled IS 'Cost units due to its workspaces while they competed.';
COMMENT ON COLUMN fairsched.fairness_tiers.served IS 'Cost units handed out to them by committed claims, in competition or not.';
COMMENT ON COLUMN fairsched.fairness_tiers.share IS 'served as a part of that of all tiers, from 0 to 1.';
COMMENT ON COLUMN fairsched.fairness_tiers.competed IS 'Cost units handed out to them in competition: what to compare entitled with.';
COMMENT ON COLUMN fairsched.fairness_tiers.entitled_share IS 'entitled as a part of that of all tiers, from 0 to 1.';
COMMENT ON COLUMN fairsched.fairness_tiers.workspaces IS 'Workspaces of the tier that memory knows.';
COMMENT ON COLUMN fairsched.fairness_tiers.contending IS 'How many of them compete now.';
COMMENT ON COLUMN fairsched.fairness_tiers.depth IS 'Jobs of theirs that may be claimed. NULL = not counted yet.';
COMMENT ON COLUMN fairsched.fairness_tiers.running IS 'Jobs of theirs that occupy a slot.';
COMMENT ON COLUMN fairsched.fairness_tiers.dwell_p50 IS 'Half of their jobs were claimed within this time after they became ready. Recent jobs count most (half-life 5 minutes); to within 20 %. NULL = none lately.';
COMMENT ON COLUMN fairsched.fairness_tiers.dwell_p95 IS 'The same of 95 %.';
COMMENT ON COLUMN fairsched.fairness_tiers.dwell_p99 IS 'The same of 99 %.';

CREATE TABLE fairsched.fairness_samples (
	sampled_at timestamptz NOT NULL,
	scope text COLLATE "C" NOT NULL CHECK (scope IN ('all', 'tier', 'workspace')),
	workspace text COLLATE "C",
	tier text COLLATE "C",
	seconds double precision NOT NULL,
	weight double precision,
	entitled double precision NOT NULL,
	competed double precision NOT NULL,
	served bigint NOT NULL,
	lacking double precision NOT NULL,
	tolerance double precision NOT NULL,
	lag double precision,
	bound double precision,
	depth bigint,
	running bigint NOT NULL,
	dwell_p50 interval,
	dwell_p95 interval,
	dwell_p99 interval,
	jain_index double precision,
	score double precision,
	contending integer,
	worst_workspace text COLLATE "C"
) PARTITION BY RANGE (sampled_at);
COMMENT ON TABLE fairsched.fairness_samples IS 'What happened in each fairsched.fairness_interval in which something did: one row for all, one for each tier, and one for each of the fairsched.fairness_workspaces workspaces that lacked or got most. Written by the scheduler. Partitioned by day (UTC): a day that ended longer ago than fairsched.fairness_retention is dropped.';
COMMENT ON COLUMN fairsched.fairness_samples.sampled_at IS 'End of the time it is about.';
COMMENT ON COLUMN fairsched.fairness_samples.scope IS 'all, tier or workspace: what the row is about.';
COMMENT ON COLUMN fairsched.fairness_samples.workspace IS 'Name of the workspace; NULL in other scopes.';
COMMENT ON COLUMN fairsched.fairness_samples.tier IS 'Tier, or that of the workspace; NULL in scope all.';
COMMENT ON COLUMN fairsched.fairness_samples.seconds IS 'Length of the time it is about.';
COMMENT ON COLUMN fairsched.fairness_samples.weight IS 'Weight of the workspace, or of each of the tier.';
COMMENT ON COLUMN fairsched.fairness_samples.entitled IS 'Cost units due in that time, as in fairsched.fairness.';
COMMENT ON COLUMN fairsched.fairness_samples.competed IS 'Cost units handed out in competition in that time.';
COMMENT ON COLUMN fairsched.fairness_samples.served IS 'Cost units handed out by claims that were committed in that time.';
COMMENT ON COLUMN fairsched.fairness_samples.lacking IS 'Cost units by which competed is below entitled, of workspaces where that is more than tolerance.';
COMMENT ON COLUMN fairsched.fairness_samples.tolerance IS 'Cost units by which the round robin may be ahead or behind at any moment, as in fairsched.fairness.';
COMMENT ON COLUMN fairsched.fairness_samples.lag IS 'As in fairsched.fairness, at the end; of a tier, and all: that which is largest for its bound.';
COMMENT ON COLUMN fairsched.fairness_samples.bound IS 'As in fairsched.fairness, of the same.';
COMMENT ON COLUMN fairsched.fairness_samples.depth IS 'Jobs that may be claimed, at the end; of tiers and all: of workspaces that competed or were served. NULL = not counted yet.';
COMMENT ON COLUMN fairsched.fairness_samples.running IS 'Jobs that occupy a slot, at the end, of the same.';
COMMENT ON COLUMN fairsched.fairness_samples.dwell_p50 IS 'As in fairsched.fairness, at the end; NULL in scope all.';
COMMENT ON COLUMN fairsched.fairness_samples.dwell_p95 IS 'The same of 95 %.';
COMMENT ON COLUMN fairsched.fairness_samples.dwell_p99 IS 'The same of 99 %.';
COMMENT ON COLUMN fairsched.fairness_samples.jain_index IS 'Scope all: Jain''s index of that time, as in fairsched.fairness_summary.';
COMMENT ON COLUMN fairsched.fairness_samples.score IS 'Scope all: fairness score of that time, from 0 to 1.';
COMMENT ON COLUMN fairsched.fairness_samples.contending IS 'Scopes all, tier: workspaces that competed in that time.';
COMMENT ON COLUMN fairsched.fairness_samples.worst_workspace IS 'Scope all: who lacked the largest part of what was due; NULL = nobody.';

CREATE FUNCTION fairsched.fairness_summary_internal(
	OUT jain_index double precision, OUT score double precision, OUT contending integer, OUT worst_workspace text,
	OUT entitled double precision, OUT competed bigint)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 1
	AS 'MODULE_PATHNAME', 'fs_view_fairness_summary';
COMMENT ON FUNCTION fairsched.fairness_summary_internal() IS 'Internal: fairness over all workspaces. Needs SELECT on fairsched.fairness_summary.';

CREATE VIEW fairsched.fairness_summary AS
SELECT i.jain_index, i.score, i.contending, i.worst_workspace COLLATE "C" AS worst_workspace,
	i.entitled, i.competed, s.jain_index AS sampled_jain_index, s.score AS sampled_score, s.sampled_at
FROM (SELECT) one
	LEFT JOIN fairsched.fairness_summary_internal() i ON true
	LEFT JOIN LATERAL (SELECT f.jain_index, f.score, f.sampled_at FROM fairsched.fairness_samples f
		WHERE f.scope = 'all' ORDER BY f.sampled_at DESC LIMIT 1) s ON true;
COMMENT ON VIEW fairsched.fairness_summary IS 'One row: is everybody who competes served what is due, since memory was built, and in the last sample. NULLs where memory is not built, as on a standby. docs/fairness.md has the formulas.';
COMMENT ON COLUMN fairsched.fairness_summary.jain_index IS 'Jain''s index of the satisfactions x of all workspaces that competed, (sum x)^2 / (n * sum x^2): 1 = all alike, 1/n = one got everything.';
COMMENT ON COLUMN fairsched.fairness_summary.score IS 'From 0 to 1, which is when each workspace that competed got its entitlement: 1 - what workspaces lack beyond tolerance / all entitlement.';
COMMENT ON COLUMN fairsched.fairness_summary.contending IS 'Workspaces that compete now.';
COMMENT ON COLUMN fairsched.fairness_summary.worst_workspace IS 'Who lacks the largest part of its entitlement, beyond tolerance; NULL = nobody.';
COMMENT ON COLUMN fairsched.fairness_summary.entitled IS 'Cost units due to all workspaces while they competed.';
COMMENT ON COLUMN fairsched.fairness_summary.competed IS 'Cost units handed out in competition.';
COMMENT ON COLUMN fairsched.fairness_summary.sampled_jain_index IS 'jain_index of the last sample; NULL = there is none.';
COMMENT ON COLUMN fairsched.fairness_summary.sampled_score IS 'score of the last sample; NULL = there is none.';
COMMENT ON COLUMN fairsched.fairness_summary.sampled_at IS 'When that was.';

REVOKE ALL ON fairsched.fairness, fairsched.fairness_tiers, fairsched.fairness_summary, fairsched.fairness_samples FROM PUBLIC;

CREATE FUNCTION fairsched.sample_fairness(now timestamptz DEFAULT clock_timestamp()) RETURNS integer
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'fs_sample_fairness';
COMMENT ON FUNCTION fairsched.sample_fairness(timestamptz) IS 'Internal: what the scheduler does every fairsched.fairness_interval: writes rows of fairsched.fairness_samples about the time since this process did so before, as of now. Returns how many; NULL when it is the first time, which writes none.';
REVOKE ALL ON FUNCTION fairsched.sample_fairness(timestamptz) FROM PUBLIC;
