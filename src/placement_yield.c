/*
 * placement_yield.c
 *		Jobs that run where their chain is evicted from: asked to yield, and resumed.
 *
 * The move keeps the numbers of the jobs that it asked (placement_events.asked):
 * what was preempted for it is resumed by it, at the place that it has found, and
 * a crash forgets none.  Asking and resuming is preemption as any other
 * (preempt.c), with its grace, its history, and fairsched.max_preemptions, beyond
 * which a job runs to its end.
 */
#include "placement_yield.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "preempt.h"

#define ASK_AT_ONCE	100			/* the others have their turn with the next
								 * look */
#define PIECE		1024		/* leases looked at while the lock is held */

typedef struct Running
{
	int64		job_id;
	int64		token;
} Running;

/* Jobs of the chain on the node that were not asked yet. */
static int
not_asked(FsDatabase *db, FsChainKind kind, const char *name, const char *node, Running *jobs)
{
	int			n = 0;

	for (int from = 0; from < fs->leases.capacity && n < ASK_AT_ONCE; from += PIECE)
	{
		FsLockShared();
		for (int i = from; i < Min(from + PIECE, fs->leases.capacity) && n < ASK_AT_ONCE; i++)
		{
			const FsLease *lease = &fs_leases[i];

			if (lease->state != FS_LEASE_ACTIVE || lease->directive != FS_CONTINUE ||
				!fs_fleet_runs(db, lease, kind, name, node))
				continue;
			jobs[n].job_id = lease->job_id;
			jobs[n++].token = lease->token;
		}
		FsUnlock();
		CHECK_FOR_INTERRUPTS();
	}
	return n;
}

void
fs_placement_ask_to_yield(FsDatabase *db, FsChainKind kind, const char *name, const char *node)
{
	Running		jobs[ASK_AT_ONCE];
	Datum		asked[ASK_AT_ONCE];
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, INT8ARRAYOID};
	Datum		args[4];
	int			n;
	int			m = 0;

	if (fs_placement_eviction != FS_EVICTION_YIELD)
		return;
	n = not_asked(db, kind, name, node, jobs);
	for (int i = 0; i < n; i++)
	{
		FsPreemptRequest r = {
			.job_id = jobs[i].job_id,
			.token = jobs[i].token,
			.reason = "manual",
			.utilisation = -1,
			.threshold = -1,
			.on_exhausted = FS_EXHAUSTED_RUN,
		};

		if (fs_preempt_request(db, &r) == FS_PREEMPT_ASKED)
			asked[m++] = Int64GetDatum(jobs[i].job_id);
	}
	if (m == 0)
		return;
	args[0] = CStringGetTextDatum(FsChainKindNames[kind]);
	args[1] = CStringGetTextDatum(name);
	args[2] = CStringGetTextDatum(node);
	args[3] = PointerGetDatum(construct_array(asked, m, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	fs_spi_begin();
	fs_spi("UPDATE fairsched.placement_events SET asked = asked || $4 "
		   "WHERE chain_kind = $1 AND chain = $2 AND from_node = $3 AND state = 'evicting'", 4, types, args, NULL);
	fs_spi_end();
}

int
fs_placement_resume(FsDatabase *db, FsChainKind kind, const char *name)
{
	MemoryContext mine = CurrentMemoryContext;
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		args[2];
	int64	   *jobs;
	int			n;
	int			m = 0;
	int			left = 0;

	args[0] = CStringGetTextDatum(FsChainKindNames[kind]);
	args[1] = CStringGetTextDatum(name);
	fs_spi_begin();
	n = (int) fs_spi("SELECT DISTINCT h.job_id, h.outcome "
					 "FROM fairsched.placement_events e, unnest(e.asked) a(job_id), "
					 "fairsched.preemption_history h WHERE e.chain_kind = $1 AND e.chain = $2 "
					 "AND e.state IN ('evicting', 'refilling') AND h.job_id = a.job_id "
					 "AND h.outcome IN ('requested', 'preempted') "
					 "ORDER BY h.job_id", 2, types, args, NULL);
	jobs = MemoryContextAlloc(mine, sizeof(int64) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		if (*SPI_getvalue(row, desc, 2) == 'r')
			left++;
		else
			jobs[m++] = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
	}
	fs_spi_end();
	for (int i = 0; i < m; i++)
		left += fs_preempt_resume(db, jobs[i], false) == FS_PREEMPT_ALREADY;
	return left;
}
