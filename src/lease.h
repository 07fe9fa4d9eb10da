/*
 * lease.h
 *		Leases and workers in shared memory: their pools, hashes and lists.
 *		fs->lock held (exclusively but for finders); nothing here allocates,
 *		waits or raises.
 */
#ifndef FS_LEASE_H
#define FS_LEASE_H

#include "shmem.h"

extern int32 fs_lease_find(int32 db, int64 job_id);
extern int32 fs_lease_find_softly(int32 db, int64 job_id);
extern int32 fs_lease_find_gone(int32 db, int64 job_id, int64 token);
extern int32 fs_lease_new(int32 db, int64 job_id);
extern void fs_lease_set_job(int32 lease, int64 job_id);
extern void fs_lease_link_worker(int32 lease, int32 worker);
extern void fs_lease_link_request(int32 lease, const pg_uuid_t *request);
extern int32 fs_lease_first_by_request(int32 db, const pg_uuid_t *request);
extern int32 fs_lease_next_by_request(int32 lease, const pg_uuid_t *request);
extern void fs_lease_not_soft(int32 lease);
extern void fs_lease_free(int32 lease);

extern int32 fs_worker_find(int32 db, const char *name);
extern int32 fs_worker_get(int32 db, const char *name, TimestampTz now);

#endif							/* FS_LEASE_H */
