/*
 * guc.c
 *		The settings, fairsched.*: README.md has the table.
 */
#include "fairsched.h"

#include <limits.h>

#include "utils/guc.h"

int			fs_max_databases = 8;
int			fs_max_workspaces = 10000;
int			fs_max_flows = 0;
int			fs_max_rings = 512;
int			fs_max_running = 10000;
int			fs_max_workers = 1024;
int			fs_max_limits = 0;
int			fs_max_budgets = 1000;
int			fs_max_own_tables = 500;
int			fs_default_quota = 64;
int			fs_enterprise_quota = 100;
double		fs_max_workspace_share = 0.8;
int			fs_max_queue_size = 1000000;
int			fs_max_cost = 10000;
int			fs_max_visits = 100000;
int			fs_completed_retention = 0;
int			fs_dead_retention = 30 * 86400;
int			fs_worker_timeout = 60000;
int			fs_rebuild_grace = 60000;
int			fs_max_wait = 1000;
int			fs_priority_aging = 60000;
int			fs_preemption_grace = 30000;
int			fs_preemption_interval = 30000;
int			fs_max_preemptions = 3;
int			fs_preemption_min_runtime = 10000;
int			fs_preemption_hold = 30000;
int			fs_preemption_resume_after = 10000;
int			fs_on_exhausted = FS_EXHAUSTED_DISCARD;
bool		fs_notify = false;
int			fs_retry_base = 1000;
int			fs_retry_max = 3600000;
int			fs_reconcile_interval = 3600;
int			fs_fairness_interval = 60;
int			fs_fairness_workspaces = 50;
int			fs_fairness_retention = 7 * 86400;
int			fs_alert_interval = 300;
int			fs_alert_retention = 30 * 86400;
double		fs_alert_min_share = 0.8;
double		fs_alert_min_weight = 1.2;
double		fs_alert_min_score = 0.7;
int			fs_alert_starvation = 600;
double		fs_alert_expiry_rate = 0.1;
int			fs_alert_task_failures = 3;
int			fs_alert_overdue = 60;
int			fs_dwell_target = 10000;
int			fs_capacity_interval = 5000;
int			fs_capacity_cooldown = 300;
double		fs_deliberation_depth_weight = 0.35;
double		fs_deliberation_coherence_weight = 0.35;
double		fs_deliberation_relevance_weight = 0.30;
double		fs_deliberation_min_depth = 0.6;
double		fs_deliberation_min_coherence = 0.6;
double		fs_deliberation_min_relevance = 0.6;
double		fs_deliberation_min_overall = 0.6;
int			fs_deliberation_max_tokens = 2000;
int			fs_deliberation_retention = 30 * 86400;
bool		fs_move_placements = true;
int			fs_placement_interval = 30000;
double		fs_placement_score_floor = 0.5;
double		fs_placement_hysteresis_gap = 0.2;
double		fs_placement_service_value = 10;
double		fs_placement_move_cost = 1;
int			fs_placement_cooldown = 300000;
int			fs_placement_max_moves = 1;
int			fs_scorer_timeout = 1000;
int			fs_placement_eviction = FS_EVICTION_FINISH;
bool		fs_background_workers = true;
bool		fs_durable_claims = true;

static const struct config_enum_entry exhausted_options[] = {
	{"discard", FS_EXHAUSTED_DISCARD, false},
	{"run_to_end", FS_EXHAUSTED_RUN, false},
	{NULL, 0, false}
};

static const struct config_enum_entry eviction_options[] = {
	{"finish", FS_EVICTION_FINISH, false},
	{"yield", FS_EVICTION_YIELD, false},
	{NULL, 0, false}
};

static void
size_setting(const char *name, const char *text, int *var, int dflt, int min, int max)
{
	DefineCustomIntVariable(name, text, NULL, var, dflt, min, max, PGC_POSTMASTER, 0,
							NULL, NULL, NULL);
}

static void
int_setting(const char *name, const char *text, int *var, int dflt, int min, int max, int flags)
{
	DefineCustomIntVariable(name, text, NULL, var, dflt, min, max, PGC_SIGHUP, flags,
							NULL, NULL, NULL);
}

static void
real_setting(const char *name, const char *text, double *var, double dflt, double max)
{
	DefineCustomRealVariable(name, text, NULL, var, dflt, 0.0, max, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/* Of scoring, from 0 to 1: nothing in shared memory follows it, so a database may have its own. */
static void
score_setting(const char *name, const char *text, double *var, double dflt)
{
	DefineCustomRealVariable(name, text, NULL, var, dflt, 0.0, 1.0, PGC_SUSET, 0, NULL, NULL, NULL);
}

void
fs_guc_define(void)
{
	if (fs_preloaded)
	{
		size_setting("fairsched.max_databases", "Databases of the cluster that may use fairsched.",
					 &fs_max_databases, 8, 1, 1000);
		size_setting("fairsched.max_workspaces", "Workspaces that may have jobs at once, in the cluster.",
					 &fs_max_workspaces, 10000, 10, 1000000);
		size_setting("fairsched.max_flows", "Flows that may have jobs at once; beyond, jobs of a workspace and lane share one. 0 = a 64th more than workspaces.",
					 &fs_max_flows, 0, 0, 4000000);
		size_setting("fairsched.max_rings", "Lanes, and sets of required capabilities, in use at once; of both with the nodes of placements, four times as many.",
					 &fs_max_rings, 512, 16, 100000);
		size_setting("fairsched.max_running", "Jobs that may run at once, in the cluster.",
					 &fs_max_running, 10000, 16, 4000000);
		size_setting("fairsched.max_workers", "Workers that may be known at once, in the cluster.",
					 &fs_max_workers, 1024, 16, 100000);
		size_setting("fairsched.max_limits", "Workspaces that may have quotas, a rate limit or a throttle, in the cluster. 0 = a 200th of max_workspaces, at least 500.",
					 &fs_max_limits, 0, 0, 1000000);
		size_setting("fairsched.max_budgets", "Budgets that may be defined, or named by jobs, in the cluster.",
					 &fs_max_budgets, 1000, 10, 100000);
		DefineCustomBoolVariable("fairsched.background_workers",
								 "Start the launcher and a scheduler worker for each database.",
								 NULL, &fs_background_workers, true, PGC_POSTMASTER, 0,
								 NULL, NULL, NULL);
	}
	DefineCustomBoolVariable("fairsched.durable_claims",
							 "Write each claim into the job's row.",
							 "Off is faster and gives up what a claim guarantees after a crash: claims are kept in shared memory "
							 "only, so after a crash of the server, or of any of its processes, ALL running jobs are handed out "
							 "and run again, no attempt is counted for it, and the tokens of before are stale. Jobs and "
							 "completions stay durable.",
							 &fs_durable_claims, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	int_setting("fairsched.max_own_tables", "Workspaces that get a job table of their own when it is not said.",
				&fs_max_own_tables, 500, 0, 4095, 0);
	int_setting("fairsched.default_quota", "Jobs a workspace of class default may run at once.",
				&fs_default_quota, 64, 0, INT_MAX, 0);
	int_setting("fairsched.enterprise_quota", "Jobs a workspace of class enterprise may run at once.",
				&fs_enterprise_quota, 100, 0, INT_MAX, 0);
	DefineCustomRealVariable("fairsched.max_workspace_share",
							 "Share of the declared worker slots one workspace may hold while others want them.",
							 NULL, &fs_max_workspace_share, 0.8, 0.0, 1.0, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	int_setting("fairsched.max_queue_size", "Jobs of a workspace that may wait at once; 0 = no limit.",
				&fs_max_queue_size, 1000000, 0, INT_MAX, 0);
	int_setting("fairsched.max_cost", "Largest cost of a job, in cost units.",
				&fs_max_cost, 10000, 1, 1000000000, 0);
	int_setting("fairsched.max_visits_per_claim", "Workspaces one claim may look at.",
				&fs_max_visits, 100000, 100, INT_MAX, 0);
	int_setting("fairsched.completed_retention", "How long completed jobs are kept in fairsched.job_history; 0 = not at all.",
				&fs_completed_retention, 0, 0, INT_MAX, GUC_UNIT_S);
	int_setting("fairsched.dead_retention", "How long discarded and cancelled jobs are kept in fairsched.job_history.",
				&fs_dead_retention, 30 * 86400, 0, INT_MAX, GUC_UNIT_S);
	int_setting("fairsched.worker_timeout", "A worker that made no call for this long is not alive.",
				&fs_worker_timeout, 60000, 100, INT_MAX, GUC_UNIT_MS);
	int_setting("fairsched.rebuild_grace", "Least lease of running jobs after a restart.",
				&fs_rebuild_grace, 60000, 0, INT_MAX, GUC_UNIT_MS);
	int_setting("fairsched.max_wait", "Longest max_wait of a claim.",
				&fs_max_wait, 1000, 0, INT_MAX, GUC_UNIT_MS);
	int_setting("fairsched.priority_aging", "A job that waits for this long counts as one class higher, P1 at most; 0 = jobs do not age.",
				&fs_priority_aging, 60000, 0, INT_MAX, GUC_UNIT_MS);
	DefineCustomIntVariable("fairsched.preemption_grace",
							"How long a worker has to give back a job that is preempted; then its lease is revoked.",
							NULL, &fs_preemption_grace, 30000, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MS,
							NULL, NULL, NULL);
	int_setting("fairsched.preemption_interval", "How often preemption policies are evaluated.",
				&fs_preemption_interval, 30000, 10, INT_MAX, GUC_UNIT_MS);
	DefineCustomIntVariable("fairsched.preemption_min_runtime",
							"A policy preempts no job that has run for less.",
							NULL, &fs_preemption_min_runtime, 10000, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("fairsched.preemption_hold",
							"How long room that was made is kept for the job it was made for, beyond fairsched.preemption_grace.",
							NULL, &fs_preemption_hold, 30000, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MS,
							NULL, NULL, NULL);
	int_setting("fairsched.preemption_resume_after",
				"Preempted jobs are resumed when the use of the resource was 5 points below the threshold for this long.",
				&fs_preemption_resume_after, 10000, 0, INT_MAX, GUC_UNIT_MS);
	DefineCustomIntVariable("fairsched.max_preemptions", "How often a job may be preempted.",
							NULL, &fs_max_preemptions, 3, 0, INT_MAX, PGC_SUSET, 0,
							NULL, NULL, NULL);
	DefineCustomEnumVariable("fairsched.preemption_on_exhausted",
							 "What becomes of a job that is to be preempted once more than fairsched.max_preemptions.",
							 NULL, &fs_on_exhausted, FS_EXHAUSTED_DISCARD, exhausted_options, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("fairsched.notify",
							 "Tell listeners of what happens, at most once a second and channel.",
							 NULL, &fs_notify, false, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	int_setting("fairsched.retry_base", "Delay before the first retry of a failed job; doubled with each attempt.",
				&fs_retry_base, 1000, 0, INT_MAX, GUC_UNIT_MS);
	int_setting("fairsched.retry_max", "Longest delay before a retry.",
				&fs_retry_max, 3600000, 0, INT_MAX, GUC_UNIT_MS);
	int_setting("fairsched.reconcile_interval", "How often memory is compared with rows.",
				&fs_reconcile_interval, 3600, 1, INT_MAX / 1000, GUC_UNIT_S);
	int_setting("fairsched.fairness_interval", "How often fairness is sampled into fairsched.fairness_samples; 0 = never.",
				&fs_fairness_interval, 60, 0, 86400, GUC_UNIT_S);
	int_setting("fairsched.fairness_workspaces", "Workspaces that a sample of fairness has a row for.",
				&fs_fairness_workspaces, 50, 0, 10000, 0);
	int_setting("fairsched.fairness_retention", "How long samples of fairness are kept.",
				&fs_fairness_retention, 7 * 86400, 0, INT_MAX, GUC_UNIT_S);
	int_setting("fairsched.alert_interval", "How often alerts are raised and resolved, and the time that fairness is judged by; 0 = never.",
				&fs_alert_interval, 300, 0, 86400, GUC_UNIT_S);
	real_setting("fairsched.alert_min_share",
				 "Alert fairness_violation: a workspace or tier got less than this part of its entitlement.",
				 &fs_alert_min_share, 0.8, 1.0);
	real_setting("fairsched.alert_min_weight",
				 "Alert fairness_violation: least weight of the tiers and workspaces that are watched; 0 = all.",
				 &fs_alert_min_weight, 1.2, 1e6);
	real_setting("fairsched.alert_min_score", "Alert low_fairness_score: the score is below.",
				 &fs_alert_min_score, 0.7, 1.0);
	int_setting("fairsched.alert_starvation", "Alerts starvation, no_capable_worker: a job was ready for longer.",
				&fs_alert_starvation, 600, 1, INT_MAX / 1000, GUC_UNIT_S);
	real_setting("fairsched.alert_expiry_rate",
				 "Alert lease_expiry_rate: a larger part of the claimed jobs came back because the lease ran out.",
				 &fs_alert_expiry_rate, 0.1, 1.0);
	int_setting("fairsched.alert_task_failures", "Alert task_failing: a task of the scheduler failed so often in a row.",
				&fs_alert_task_failures, 3, 1, INT_MAX, 0);
	int_setting("fairsched.alert_overdue", "Alert due_backlog: due jobs or leases wait for the scheduler for longer.",
				&fs_alert_overdue, 60, 1, INT_MAX / 1000, GUC_UNIT_S);
	int_setting("fairsched.alert_retention", "How long resolved alerts are kept in fairsched.alerts.",
				&fs_alert_retention, 30 * 86400, 0, INT_MAX, GUC_UNIT_S);
	int_setting("fairsched.dwell_target", "How long a ready job should wait for a worker, on average: what fairsched.capacity_recommendation aims at.",
				&fs_dwell_target, 10000, 1, INT_MAX, GUC_UNIT_MS);
	int_setting("fairsched.capacity_interval", "How often fairsched.capacity_recommendation is worked out while jobs come or run.",
				&fs_capacity_interval, 5000, 100, 3600000, GUC_UNIT_MS);
	int_setting("fairsched.capacity_cooldown", "For how long fewer workers must have been wanted before fewer are recommended.",
				&fs_capacity_cooldown, 300, 0, 86400 * 7, GUC_UNIT_S);
	score_setting("fairsched.deliberation_depth_weight",
				  "Weight of depth in the overall score; weights are divided by their sum.",
				  &fs_deliberation_depth_weight, 0.35);
	score_setting("fairsched.deliberation_coherence_weight", "Weight of coherence in the overall score.",
				  &fs_deliberation_coherence_weight, 0.35);
	score_setting("fairsched.deliberation_relevance_weight", "Weight of relevance in the overall score.",
				  &fs_deliberation_relevance_weight, 0.30);
	score_setting("fairsched.deliberation_min_depth", "Reasoning of less depth is for review.",
				  &fs_deliberation_min_depth, 0.6);
	score_setting("fairsched.deliberation_min_coherence", "Reasoning of less coherence is for review.",
				  &fs_deliberation_min_coherence, 0.6);
	score_setting("fairsched.deliberation_min_relevance", "Reasoning of less relevance is for review.",
				  &fs_deliberation_min_relevance, 0.6);
	score_setting("fairsched.deliberation_min_overall", "Reasoning of a lower overall score is for review.",
				  &fs_deliberation_min_overall, 0.6);
	DefineCustomIntVariable("fairsched.deliberation_max_tokens", "Reasoning of more tokens is for a fallback.",
							NULL, &fs_deliberation_max_tokens, 2000, 1, INT_MAX, PGC_SUSET, 0,
							NULL, NULL, NULL);
	int_setting("fairsched.deliberation_retention",
				"How long scores of reasoning are kept in fairsched.deliberation_scores.",
				&fs_deliberation_retention, 30 * 86400, 0, INT_MAX, GUC_UNIT_S);
	DefineCustomBoolVariable("fairsched.move_placements",
							 "Let the scheduler move placements away from nodes that are dead, draining or worse than others.",
							 NULL, &fs_move_placements, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	int_setting("fairsched.placement_interval",
				"How often placements are looked at that are waited for; those that changed are looked at at once.",
				&fs_placement_interval, 30000, 10, INT_MAX, GUC_UNIT_MS);
	real_setting("fairsched.placement_score_floor", "A placement moves only away from a node that scores below.",
				 &fs_placement_score_floor, 0.5, 1.0);
	real_setting("fairsched.placement_hysteresis_gap",
				 "A placement moves only to a node that scores higher by so much.",
				 &fs_placement_hysteresis_gap, 0.2, 1.0);
	real_setting("fairsched.placement_service_value",
				 "What a score higher by 1 is worth, against the cost of a move.",
				 &fs_placement_service_value, 10, 1e9);
	real_setting("fairsched.placement_move_cost",
				 "What it costs to move a placement that has nothing to do.",
				 &fs_placement_move_cost, 1, 1e9);
	int_setting("fairsched.placement_cooldown", "A placement does not move for a better score so soon after it moved.",
				&fs_placement_cooldown, 300000, 0, INT_MAX, GUC_UNIT_MS);
	int_setting("fairsched.placement_max_moves", "Moves for a better score that may be under way at once.",
				&fs_placement_max_moves, 1, 0, INT_MAX, 0);
	DefineCustomEnumVariable("fairsched.placement_eviction",
							 "What becomes of jobs that run on a node that a placement moves away from.",
							 NULL, &fs_placement_eviction, FS_EVICTION_FINISH, eviction_options, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	int_setting("fairsched.scorer_timeout", "Longest time a call of a scorer of placements may take.",
				&fs_scorer_timeout, 1000, 1, INT_MAX, GUC_UNIT_MS);
	MarkGUCPrefixReserved("fairsched");
}
