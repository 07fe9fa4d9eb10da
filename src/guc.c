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
int			fs_max_rings = 1024;
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
int			fs_retry_base = 1000;
int			fs_retry_max = 3600000;
int			fs_reconcile_interval = 3600;
bool		fs_background_workers = true;

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

void
fs_guc_define(void)
{
	if (fs_preloaded)
	{
		size_setting("fairsched.max_databases", "Databases of the cluster that may use fairsched.",
					 &fs_max_databases, 8, 1, 1000);
		size_setting("fairsched.max_workspaces", "Workspaces that may have jobs at once, in the cluster.",
					 &fs_max_workspaces, 10000, 10, 1000000);
		size_setting("fairsched.max_flows", "Flows that may have jobs at once; beyond, jobs of a workspace and lane share one. 0 = a quarter more than workspaces.",
					 &fs_max_flows, 0, 0, 4000000);
		size_setting("fairsched.max_rings", "Combinations of lane and required capabilities in use at once.",
					 &fs_max_rings, 1024, 16, 100000);
		size_setting("fairsched.max_running", "Jobs that may run at once, in the cluster.",
					 &fs_max_running, 10000, 16, 4000000);
		size_setting("fairsched.max_workers", "Workers that may be known at once, in the cluster.",
					 &fs_max_workers, 1024, 16, 100000);
		size_setting("fairsched.max_limits", "Workspaces that may have quotas, a rate limit or a throttle, in the cluster. 0 = a fifth of max_workspaces.",
					 &fs_max_limits, 0, 0, 1000000);
		size_setting("fairsched.max_budgets", "Budgets that may be defined, or named by jobs, in the cluster.",
					 &fs_max_budgets, 1000, 10, 100000);
		DefineCustomBoolVariable("fairsched.background_workers",
								 "Start the launcher and a scheduler worker for each database.",
								 NULL, &fs_background_workers, true, PGC_POSTMASTER, 0,
								 NULL, NULL, NULL);
	}
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
	int_setting("fairsched.retry_base", "Delay before the first retry of a failed job; doubled with each attempt.",
				&fs_retry_base, 1000, 0, INT_MAX, GUC_UNIT_MS);
	int_setting("fairsched.retry_max", "Longest delay before a retry.",
				&fs_retry_max, 3600000, 0, INT_MAX, GUC_UNIT_MS);
	int_setting("fairsched.reconcile_interval", "How often memory is compared with rows.",
				&fs_reconcile_interval, 3600, 1, INT_MAX / 1000, GUC_UNIT_S);
	MarkGUCPrefixReserved("fairsched");
}
