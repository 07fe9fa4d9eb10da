/*
 * sched.h
 *		The scheduler: who is next.  Every function needs fs->lock held
 *		exclusively and neither allocates, waits nor raises.
 */
#ifndef FS_SCHED_H
#define FS_SCHED_H

#include "shmem.h"

extern const char *const FsParkNames[];

/* What a claimer may serve, and what the pick found (claim.c). */
typedef struct FsEligible
{
	int			nlanes;
	int32	   *lanes;			/* lane indexes */
	int			nrings;
	int32	   *rings;			/* ring indexes */
	int			ngifts;			/* slots that jobs finished in this call leave to it */
	int32	   *gifts;			/* lease indexes, FS_NONE once used */
} FsEligible;

typedef enum FsPick
{
	FS_PICK_NOTHING,			/* nothing admissible remains */
	FS_PICK_FILL,				/* scan this flow's index for candidates */
	FS_PICK_WAIT,				/* somebody scans; wait on db->filled */
	FS_PICK_TAKE,				/* *cand of *flow is next and paid for */
	FS_PICK_TIRED				/* fairsched.max_visits_per_claim reached */
} FsPick;

/* finding and making things; FS_NONE when full */
extern int32 fs_sched_workspace_find(int32 db, const char *name);
extern int32 fs_sched_workspace_add(int32 db, const char *name, const FsWorkspaceSettings *set);
extern int32 fs_sched_lane_find(int32 db, const char *name);
extern int32 fs_sched_ring_get(int32 db, const char *lane, const char *caps, int caps_len);
extern int32 fs_sched_flow_get(int32 workspace, int32 ring, const uint64 *spec);
extern int32 fs_sched_flow_overflow(int32 workspace, int32 ring);
extern int32 fs_sched_flow_by_id(int32 db, int32 id);
extern int32 fs_sched_flow_adopt(int32 workspace, int32 ring, const uint64 *spec, int32 id);
extern void fs_sched_flow_move(int32 flow, int32 ring);
extern int	fs_sched_reclaim(int32 db);
extern void fs_sched_sweep(int32 db);
extern bool fs_sched_caps_subset(const char *need, int need_len, const char *have, int have_len);

/* settings */
extern void fs_sched_apply_settings(int32 workspace, const FsWorkspaceSettings *set);
extern int32 fs_sched_ceiling(const FsWorkspace *ws);
extern void fs_sched_forget(int32 workspace);
extern void fs_sched_set_quotas(FsDatabase *db, int32 dflt, int32 enterprise, double share);
extern void fs_sched_refresh_slots(FsDatabase *db, TimestampTz now);
extern void fs_sched_park(int32 workspace, FsPark why);
extern void fs_sched_unpark_if_fits(int32 workspace);
extern void fs_sched_offer_gifts(const FsEligible *e);
extern int	fs_sched_gifts_left(const FsEligible *e, int32 workspace);

/* hints: something became ready, at a commit or an abort */
extern void fs_sched_ready_one(int32 flow, int slot, const FsCandidate *cand);
extern void fs_sched_ready_many(int32 flow, int slot, int64 from);
extern bool fs_sched_has_work(int32 db, const FsEligible *e);

/* choosing */
extern FsPick fs_sched_pick(int32 db, const FsEligible *e, int *visits, int32 *flow,
							int *slot, FsCandidate *cand);
extern void fs_sched_filled(int32 flow, int slot, const FsCandidate *found, int n, bool more);
extern void fs_sched_fill_abandoned(int32 flow);
extern void fs_sched_refund(int32 share, int32 cost);
extern void fs_sched_slot_freed(int32 workspace);

#define FsWorkspaceOfShare(s) (fs_shares[s].workspace)
#define FsShareOfFlow(f) (fs_members[fs_flows[f].member].share)
#define FsWorkspaceOfFlow(f) FsWorkspaceOfShare(FsShareOfFlow(f))
#define FsDbIndex(d) ((int32) ((d) - fs_dbs))

#endif							/* FS_SCHED_H */
