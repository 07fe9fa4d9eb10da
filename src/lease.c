/*
 * lease.c
 *		Leases and workers in shared memory: their pools, hashes and lists.
 *
 * All functions: fs->lock held exclusively (finders: shared is enough);
 * nothing here allocates, waits or raises.  The states of a lease and who
 * changes them are in src/README.md.
 */
#include "lease.h"

#include "common/hashfn.h"

#include "holders.h"

static uint32
hash_job(int32 db, int64 job_id)
{
	return murmurhash32((uint32) job_id ^ (uint32) (job_id >> 32) ^ (uint32) (db << 27)) & fs_lease_mask;
}

static uint32
hash_request(int32 db, const pg_uuid_t *request)
{
	return (hash_bytes(request->data, UUID_LEN) ^ (uint32) db) & fs_lease_mask;
}

/* fs_lease_find: the lease of a job that somebody holds; not that of a claim which is still to look at its row. */
int32
fs_lease_find(int32 db, int64 job_id)
{
	int32		l = fs_lease_hash[hash_job(db, job_id)];

	while (l != FS_NONE && (fs_leases[l].job_id != job_id || fs_leases[l].db != db ||
							fs_leases[l].state == FS_LEASE_GONE || fs_leases[l].token == 0))
		l = fs_leases[l].next;
	return l;
}

/*
 * fs_lease_find_softly: the lease of a job of which the row need not tell: a
 * soft one, or that of any claim of an open transaction.
 */
int32
fs_lease_find_softly(int32 db, int64 job_id)
{
	int32		l = fs_lease_hash[hash_job(db, job_id)];

	while (l != FS_NONE && (fs_leases[l].job_id != job_id || fs_leases[l].db != db ||
							!(fs_leases[l].soft || fs_leases[l].state == FS_LEASE_CLAIMING)))
		l = fs_leases[l].next;
	return l;
}

/* fs_lease_find_gone: what is left of one that ended, for its worker to be told. */
int32
fs_lease_find_gone(int32 db, int64 job_id, int64 token)
{
	int32		l = fs_lease_hash[hash_job(db, job_id)];

	while (l != FS_NONE && (fs_leases[l].job_id != job_id || fs_leases[l].db != db ||
							fs_leases[l].state != FS_LEASE_GONE || fs_leases[l].token != token))
		l = fs_leases[l].next;
	return l;
}

/*
 * fs_lease_new: a lease in no list.  When all are in use, tombstones of ended
 * ones are given up; FS_NONE when fairsched.max_running really run.
 */
int32
fs_lease_new(int32 db, int64 job_id)
{
	int32		l;

	if (fs->leases.free_head == FS_NONE)
		for (int i = 0; i < fs->leases.capacity; i++)
			if (fs_leases[i].db != FS_NONE && fs_leases[i].state == FS_LEASE_GONE)
				fs_lease_free(i);
	FS_POOL_TAKE(fs->leases, fs_leases, l);
	if (l == FS_NONE)
		return FS_NONE;
	memset(&fs_leases[l], 0, sizeof(FsLease));
	fs_leases[l].db = db;
	fs_leases[l].workspace = fs_leases[l].share = fs_leases[l].flow = FS_NONE;
	fs_leases[l].worker = fs_leases[l].worker_next = fs_leases[l].worker_prev = FS_NONE;
	fs_leases[l].request_next = FS_NONE;
	fs_leases[l].slot_from = FS_NONE;
	fs_leases[l].budget_set = FS_NONE;
	fs_leases[l].next = FS_NONE;
	if (job_id)
		fs_lease_set_job(l, job_id);
	return l;
}

/* fs_lease_set_job: findable by its job from now on. */
void
fs_lease_set_job(int32 l, int64 job_id)
{
	uint32		bucket = hash_job(fs_leases[l].db, job_id);

	if (fs_leases[l].row_first)
	{
		fs_leases[l].row_first = false;
		fs_dbs[fs_leases[l].db].row_first--;
	}
	fs_leases[l].job_id = job_id;
	fs_leases[l].next = fs_lease_hash[bucket];
	fs_lease_hash[bucket] = l;
}

void
fs_lease_link_worker(int32 l, int32 worker)
{
	FsWorker   *w = &fs_workers[worker];

	fs_leases[l].worker = worker;
	fs_leases[l].worker_prev = FS_NONE;
	fs_leases[l].worker_next = w->leases;
	if (w->leases != FS_NONE)
		fs_leases[w->leases].worker_prev = l;
	w->leases = l;
	w->running++;
}

void
fs_lease_link_request(int32 l, const pg_uuid_t *request)
{
	uint32		bucket = hash_request(fs_leases[l].db, request);

	fs_leases[l].has_request = true;
	fs_leases[l].request = *request;
	fs_leases[l].request_next = fs_request_hash[bucket];
	fs_request_hash[bucket] = l;
}

static int32
match_request(int32 l, int32 db, const pg_uuid_t *request)
{
	while (l != FS_NONE && (fs_leases[l].db != db ||
							memcmp(&fs_leases[l].request, request, sizeof(pg_uuid_t)) != 0))
		l = fs_leases[l].request_next;
	return l;
}

int32
fs_lease_first_by_request(int32 db, const pg_uuid_t *request)
{
	return match_request(fs_request_hash[hash_request(db, request)], db, request);
}

int32
fs_lease_next_by_request(int32 l, const pg_uuid_t *request)
{
	return match_request(fs_leases[l].request_next, fs_leases[l].db, request);
}

/* fs_lease_not_soft: its row says what becomes of it, or it ended. */
void
fs_lease_not_soft(int32 l)
{
	if (!fs_leases[l].soft)
		return;
	fs_leases[l].soft = fs_leases[l].hardened = fs_leases[l].counted = false;
	fs_dbs[fs_leases[l].db].soft_leases--;
}

/* fs_lease_free: out of all lists; its slot is the caller's affair. */
void
fs_lease_free(int32 l)
{
	FsLease    *lease = &fs_leases[l];

	fs_lease_not_soft(l);
	if (lease->row_first)
		fs_dbs[lease->db].row_first--;
	if (lease->job_id)
	{
		int32	   *at = &fs_lease_hash[hash_job(lease->db, lease->job_id)];

		while (*at != l)
			at = &fs_leases[*at].next;
		*at = lease->next;
	}
	if (lease->has_request)
	{
		int32	   *at = &fs_request_hash[hash_request(lease->db, &lease->request)];

		while (*at != l)
			at = &fs_leases[*at].request_next;
		*at = lease->request_next;
	}
	if (lease->worker != FS_NONE)
	{
		FsWorker   *w = &fs_workers[lease->worker];

		if (lease->worker_prev != FS_NONE)
			fs_leases[lease->worker_prev].worker_next = lease->worker_next;
		else
			w->leases = lease->worker_next;
		if (lease->worker_next != FS_NONE)
			fs_leases[lease->worker_next].worker_prev = lease->worker_prev;
		w->running--;
	}
	if (lease->flow != FS_NONE)
		fs_flows[lease->flow].running--;
	lease->state = FS_LEASE_FREE;
	lease->db = FS_NONE;
	lease->job_id = 0;
	FS_POOL_GIVE(fs->leases, fs_leases, l);
}

int32
fs_worker_find(int32 db, const char *name)
{
	for (int i = 0; i < fs->workers.capacity; i++)
		if (fs_workers[i].db == db && strcmp(fs_workers[i].name, name) == 0)
			return i;
	return FS_NONE;
}

/*
 * fs_worker_get: a worker by name, made known when it is not.  When the table
 * is full, those that are dead and hold nothing go; FS_NONE when none does.
 */
int32
fs_worker_get(int32 db, const char *name, TimestampTz now)
{
	int32		w = fs_worker_find(db, name);

	if (w != FS_NONE)
		return w;
	if (fs->workers.free_head == FS_NONE)
		for (int i = 0; i < fs->workers.capacity; i++)
			if (fs_workers[i].db != FS_NONE && fs_workers[i].leases == FS_NONE &&
				fs_workers[i].last_seen + FsMsToUsec(fs_worker_timeout) < now)
			{
				fs_place_worker(i, FS_NONE);
				fs_workers[i].db = FS_NONE;
				FS_POOL_GIVE(fs->workers, fs_workers, i);
			}
	FS_POOL_TAKE(fs->workers, fs_workers, w);
	if (w == FS_NONE)
		return FS_NONE;
	memset(&fs_workers[w], 0, sizeof(FsWorker));
	fs_workers[w].db = db;
	strlcpy(fs_workers[w].name, name, sizeof(fs_workers[w].name));
	fs_workers[w].leases = FS_NONE;
	fs_workers[w].place_node = FS_NONE;
	fs_workers[w].last_seen = now;
	return w;
}
