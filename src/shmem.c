/*
 * shmem.c
 *		Sizes, lays out and initialises the shared memory of shmem.h.
 */
#include "shmem.h"

#include "access/twophase.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "budget.h"
#include "recommend_task.h"
#include "stats.h"
#include "rate_file.h"
#include "ws_limits.h"
#include "placement.h"

/*
 * With AddressSanitizer each area has a gap on either side of it, as large as
 * one element, that nobody may touch: an index of -1 (FS_NONE), or one past the
 * end, is then an error at once, as it would be in a palloc'd array.  What is
 * poisoned is a matter of each process; backends have it from the postmaster.
 */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define AREA_GAP(size) MAXALIGN(size)
#define POISON(addr, size) ASAN_POISON_MEMORY_REGION(addr, size)
#else
#define AREA_GAP(size) ((Size) 0)
#define POISON(addr, size) ((void) 0)
#endif

FsShared   *fs = NULL;
FsDatabase *fs_dbs;
FsWorkspace *fs_workspaces;
FsLane	   *fs_lanes;
FsRing	   *fs_rings;
FsRingCaps *fs_ring_caps;
FsShare    *fs_shares;
FsMember   *fs_members;
RingNode   *fs_nodes;
RingNode   *fs_urgent_nodes;
RingNode   *fs_aging_nodes;
RingNode   *fs_wakes;
FsFlow	   *fs_flows;
FsBlock    *fs_blocks;
FsDwell    *fs_dwells;
FsLease    *fs_leases;
FsWorker   *fs_workers;
FsWaiter   *fs_waiters;
FsCountDelta *fs_deltas;
FsLaunch   *fs_launches;
pg_atomic_uint64 *fs_logged;
int32	   *fs_workspace_hash;
int32	   *fs_flow_hash;
int32	   *fs_flow_id_hash;
int32	   *fs_member_hash;
int32	   *fs_lease_hash;
int32	   *fs_request_hash;
int32	   *fs_limits_hash;
int32	   *fs_ring_hash;
int32	   *fs_ring_caps_hash;
FsPlaceNode *fs_place_nodes;
FsHolders  *fs_holders;
FsPlacement *fs_placements;
int32	   *fs_holders_hash;
int32	   *fs_place_node_hash;
uint32		fs_place_node_mask;
FsBudget   *fs_budgets;
FsBudgetSet *fs_budget_sets;
FsBudgetHold *fs_budget_holds;
FsAverage  *fs_averages;
FsBudgetNotices *fs_budget_notices;
FsLaneStats *fs_lane_stats;
FsLockStats *fs_lock_stats;
FsSignal   *fs_signals;
int32	   *fs_budget_hash;
int32	   *fs_budget_set_hash;
uint32		fs_budget_mask;
uint32		fs_budget_set_mask;
uint32		fs_workspace_mask;
uint32		fs_flow_mask;
uint32		fs_lease_mask;
uint32		fs_limits_mask;
uint32		fs_ring_mask;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* Every process that may wait for work; the same sum the server itself uses. */
static int
proc_capacity(void)
{
	return MaxBackends + NUM_AUXILIARY_PROCS + max_prepared_xacts + 64;
}

/* Flows that are being served at a time: the others do with the candidates of their own. */
static int
block_capacity(void)
{
	return Max(fs_max_workspaces / 16, 64);
}

/* fs_flow_capacity: flow slots, those for overflow flows included. */
int
fs_flow_capacity(void)
{
	return fs_max_flows > 0 ? fs_max_flows + fs_max_workspaces
		: fs_max_workspaces + fs_max_workspaces / 64 + 64;
}

/* fs_limits_capacity: workspaces that something may be set for. */
int
fs_limits_capacity(void)
{
	return fs_max_limits > 0 ? fs_max_limits : Max(fs_max_workspaces / 200, 500);
}

/*
 * One pass over all areas serves both purposes: with base NULL it only adds up
 * the size, else it also points the globals at their areas.
 */
static Size
layout(char *base)
{
	Size		at = 0;
	int			flows = fs_flow_capacity();

#define GAP(ptr) \
	do { \
		if (base) \
			POISON(base + at, AREA_GAP(sizeof(*(ptr)))); \
		at = add_size(at, AREA_GAP(sizeof(*(ptr)))); \
	} while (0)
#define AREA(ptr, n) \
	do { \
		GAP(ptr); \
		if (base) \
			(ptr) = (void *) (base + at); \
		at = add_size(at, MAXALIGN(mul_size(sizeof(*(ptr)), (n)))); \
		GAP(ptr); \
	} while (0)

	fs_workspace_mask = pg_nextpower2_32(fs_max_workspaces) - 1;
	fs_flow_mask = pg_nextpower2_32(flows) - 1;
	fs_lease_mask = pg_nextpower2_32(fs_max_running) - 1;
	fs_limits_mask = pg_nextpower2_32(fs_limits_capacity()) - 1;
	fs_ring_mask = pg_nextpower2_32(FsRingCapacity()) - 1;
	fs_place_node_mask = pg_nextpower2_32(fs_max_workers * 2) - 1;

	fs_budget_mask = pg_nextpower2_32(fs_max_budgets) - 1;
	fs_budget_set_mask = pg_nextpower2_32(fs_max_budgets * FS_BUDGET_SETS) - 1;

	AREA(fs, 1);
	AREA(fs_dbs, fs_max_databases);
	AREA(fs_workspaces, fs_max_workspaces);
	AREA(fs_lanes, fs_max_rings);
	AREA(fs_rings, FsRingCapacity());
	AREA(fs_ring_caps, fs_max_rings);
	AREA(fs_shares, flows);
	AREA(fs_members, flows);
	AREA(fs_nodes, flows);
	AREA(fs_urgent_nodes, flows);
	AREA(fs_aging_nodes, mul_size(flows, FS_AGING));
	StaticAssertStmt(sizeof(NeedNode) <= FS_AGING * sizeof(RingNode), "a NeedNode takes the room of a flow's aging nodes");
	AREA(fs_wakes, fs_max_workspaces);
	AREA(fs_flows, flows);
	AREA(fs_blocks, block_capacity());
	AREA(fs_dwells, FS_DWELLS);
	AREA(fs_leases, fs_max_running);
	AREA(fs_workers, fs_max_workers);
	AREA(fs_limits, fs_limits_capacity());
	AREA(fs_place_nodes, fs_max_workers * 2);	/* those of workers, and
												 * others that hold something */
	AREA(fs_holders, fs_max_rings * 2);
	AREA(fs_placements, fs_max_databases);
	AREA(fs_budgets, fs_max_budgets);
	AREA(fs_budget_sets, fs_max_budgets * FS_BUDGET_SETS);
	AREA(fs_budget_holds, fs_max_running);
	AREA(fs_averages, FS_AVERAGES);
	AREA(fs_budget_notices, fs_max_databases);
	AREA(fs_lane_stats, FsStatsSlots());
	AREA(fs_lock_stats, 1);
	AREA(fs_signals, fs_max_rings);
	AREA(fs_waiters, proc_capacity());
	AREA(fs_deltas, FS_COUNT_DELTAS);
	AREA(fs_launches, fs_max_databases + FS_LAUNCH_SPARE);
	AREA(fs_logged, FS_LOGGED_PAGES);
	AREA(fs_workspace_hash, fs_workspace_mask + 1);
	AREA(fs_flow_hash, fs_flow_mask + 1);
	AREA(fs_flow_id_hash, fs_flow_mask + 1);
	AREA(fs_member_hash, fs_flow_mask + 1);
	AREA(fs_lease_hash, fs_lease_mask + 1);
	AREA(fs_request_hash, fs_lease_mask + 1);
	AREA(fs_limits_hash, fs_limits_mask + 1);
	AREA(fs_ring_hash, fs_ring_mask + 1);
	AREA(fs_ring_caps_hash, fs_ring_mask + 1);
	AREA(fs_holders_hash, fs_ring_mask + 1);
	AREA(fs_place_node_hash, fs_place_node_mask + 1);
	AREA(fs_budget_hash, fs_budget_mask + 1);
	AREA(fs_budget_set_hash, fs_budget_set_mask + 1);
#undef AREA
#undef GAP
	return at;
}

Size
fs_shmem_size(void)
{
	FsShared   *keep = fs;
	Size		size = layout(NULL);

	fs = keep;
	return size;
}

#define INIT_POOL(pool, array, n) \
	do { \
		for (int i_ = 0; i_ < (n); i_++) \
			*(int32 *) &(array)[i_] = (i_ + 1 < (n)) ? i_ + 1 : FS_NONE; \
		(pool).free_head = 0; \
		(pool).used = 0; \
		(pool).high = 0; \
		(pool).capacity = (n); \
	} while (0)

static void
init_chains(int32 *heads, uint32 mask)
{
	for (uint32 i = 0; i <= mask; i++)
		heads[i] = FS_NONE;
}

static void
shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(fs_shmem_size());
	RequestNamedLWLockTranche("fairsched", 1);
}

#ifdef __SANITIZE_ADDRESS__
/* The addresses will be somebody else's: after a crash all shared memory is made anew. */
static void
unpoison(int code, Datum base)
{
	ASAN_UNPOISON_MEMORY_REGION(DatumGetPointer(base), fs_shmem_size());
}
#endif

static void
shmem_startup(void)
{
	bool		found;
	char	   *base;
	Size		size;
	int			flows = fs_flow_capacity();

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	size = fs_shmem_size();
	base = ShmemInitStruct("fairsched", size, &found);
	if (!found)
		memset(base, 0, size);
	layout(base);
#ifdef __SANITIZE_ADDRESS__
	on_shmem_exit(unpoison, PointerGetDatum(base));
#endif
	if (!found)
	{
		fs->lock = &(GetNamedLWLockTranche("fairsched"))->lock;
		fs->max_procs = proc_capacity();
		fs->counting_db = FS_NONE;
		fs->nlaunches = fs_max_databases + FS_LAUNCH_SPARE;
		INIT_POOL(fs->workspaces, fs_workspaces, fs_max_workspaces);
		INIT_POOL(fs->lanes, fs_lanes, fs_max_rings);
		INIT_POOL(fs->rings, fs_rings, FsRingCapacity());
		INIT_POOL(fs->ring_caps, fs_ring_caps, fs_max_rings);
		INIT_POOL(fs->shares, fs_shares, flows);
		INIT_POOL(fs->members, fs_members, flows);
		INIT_POOL(fs->flows, fs_flows, flows);
		INIT_POOL(fs->blocks, fs_blocks, block_capacity());
		INIT_POOL(fs->dwells, fs_dwells, FS_DWELLS);
		fs->dwell_first = fs->dwell_last = FS_NONE;
		INIT_POOL(fs->leases, fs_leases, fs_max_running);
		INIT_POOL(fs->workers, fs_workers, fs_max_workers);
		for (int i = 0; i < FS_LOGGED_PAGES; i++)
			pg_atomic_init_u64(&fs_logged[i], 0);
		fs_stats_init();
		INIT_POOL(fs->limits, fs_limits, fs_limits_capacity());
		INIT_POOL(fs->place_nodes, fs_place_nodes, fs_max_workers * 2);
		INIT_POOL(fs->holders, fs_holders, fs_max_rings * 2);
		INIT_POOL(fs->budgets, fs_budgets, fs_max_budgets);
		INIT_POOL(fs->budget_sets, fs_budget_sets, fs_max_budgets * FS_BUDGET_SETS);
		for (int i = 0; i < fs_max_budgets; i++)
			fs_budgets[i].db = FS_NONE;
		for (int i = 0; i < fs_max_budgets * FS_BUDGET_SETS; i++)
			fs_budget_sets[i].db = FS_NONE;
		for (int i = 0; i < FS_AVERAGES; i++)
			fs_averages[i].db = FS_NONE;
		for (int i = 0; i < fs_max_workspaces; i++)
			fs_workspaces[i].db = FS_NONE;
		for (int i = 0; i < fs_max_rings; i++)
			fs_lanes[i].db = FS_NONE;
		for (int i = 0; i < FsRingCapacity(); i++)
			fs_rings[i].db = FS_NONE;
		for (int i = 0; i < fs_max_rings * 2; i++)
			fs_holders[i].db = FS_NONE;
		for (int i = 0; i < flows; i++)
			fs_shares[i].workspace = fs_members[i].share = fs_flows[i].member = FS_NONE;
		for (int i = 0; i < fs_max_running; i++)
			fs_leases[i].db = FS_NONE;
		for (int i = 0; i < fs_max_workers; i++)
			fs_workers[i].db = FS_NONE;
		for (int i = 0; i < fs_max_workers * 2; i++)
			fs_place_nodes[i].db = FS_NONE;
		for (int i = 0; i < fs_limits_capacity(); i++)
			fs_limits[i].db = FS_NONE;
		for (int i = 0; i < fs_max_databases; i++)
		{
			fs_dbs[i].state = FS_DB_FREE;
			fs_dbs[i].wake_root = RINGHEAP_NONE;
			fs_budget_forget(i);
			ConditionVariableInit(&fs_dbs[i].built);
			ConditionVariableInit(&fs_dbs[i].filled);
		}
		init_chains(fs_workspace_hash, fs_workspace_mask);
		init_chains(fs_flow_hash, fs_flow_mask);
		init_chains(fs_flow_id_hash, fs_flow_mask);
		init_chains(fs_member_hash, fs_flow_mask);
		init_chains(fs_lease_hash, fs_lease_mask);
		init_chains(fs_request_hash, fs_lease_mask);
		init_chains(fs_limits_hash, fs_limits_mask);
		init_chains(fs_ring_hash, fs_ring_mask);
		init_chains(fs_ring_caps_hash, fs_ring_mask);
		init_chains(fs_holders_hash, fs_ring_mask);
		init_chains(fs_place_node_hash, fs_place_node_mask);
		init_chains(fs_budget_hash, fs_budget_mask);
		init_chains(fs_budget_set_hash, fs_budget_set_mask);
	}
	LWLockRelease(AddinShmemInitLock);
	if (!found)
		fs_rate_file_startup();
}

/* fs_shmem_install_hooks: called once, from _PG_init in the postmaster. */
void
fs_shmem_install_hooks(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = shmem_request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;
}
