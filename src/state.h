/*
 * state.h
 *		A database's place in shared memory: found, built before use, given up.
 */
#ifndef FS_STATE_H
#define FS_STATE_H

#include "shmem.h"

#include "utils/snapshot.h"

/* OIDs of the extension's own relations in this database; cached, see state.c */
typedef struct FsCatalog
{
	Oid			extension;
	Oid			owner;
	Oid			nsp;			/* schema fairsched */
	Oid			jobs;
	Oid			claim_log[2];
	Oid			job_seq;
	Oid			position_seq;
	Oid			token_seq;
} FsCatalog;

/* The catalog; raises ERRCODE_FS_NOT_PRELOADED or ERRCODE_FS_NOT_INSTALLED. */
extern const FsCatalog *fs_catalog(void);

/* OID of fairsched.jobs as far as it is known here; never looks anything up. */
extern Oid	fs_catalog_jobs(void);

/* The slot of this database and extension, whatever its state (made when new). */
extern FsDatabase *fs_state_attach(void);

/*
 * fs_state_ready: for every verb that changes something: refuses on a standby
 * and in a read-only transaction, builds the state from rows if memory is
 * empty (or waits for who does), and applies what changed since.
 */
extern FsDatabase *fs_state_ready(const char *command);

/* For views: NULL when memory is not built, never raises for that. */
extern FsDatabase *fs_state_peek(void);

extern int32 fs_my_db;			/* slot index, valid after any of the above */

/* Set while our own SQL changes job tables: their triggers then stay quiet. */
extern bool fs_own_changes;

/* SPI as the extension's owner, with a snapshot of now. */
extern int	fs_safe_search_path(void);
extern void fs_spi_begin(void);
extern void fs_spi_end(void);
extern uint64 fs_spi(const char *sql, int nargs, const Oid *types, const Datum *values,
					 const char *nulls);

/* Take numbers from a counter that a sequence reserves in blocks. */
typedef enum FsCounter
{
	FS_COUNTER_JOB,
	FS_COUNTER_POSITION,
	FS_COUNTER_TOKEN
} FsCounter;
extern int64 fs_state_numbers(FsDatabase *db, FsCounter which, int n);

/*
 * A job's position is a number of FS_COUNTER_POSITION and its cost, so that the
 * ready index alone tells both.  A cost that does not fit is FS_COST_IN_ROW.
 */
#define FS_COST_BITS 16
#define FS_COST_IN_ROW ((1 << FS_COST_BITS) - 1)
#define FsPosition(number, cost) (((number) << FS_COST_BITS) | Min((cost), FS_COST_IN_ROW))
#define FsPositionCost(position) ((int32) ((position) & FS_COST_IN_ROW))
extern void fs_state_numbers_unused(FsDatabase *db, FsCounter which, int64 from, int64 to);

/* A snapshot newer than anything the caller read from shared memory before. */
extern void fs_push_snapshot(void);
extern void fs_pop_snapshot(void);

extern void fs_state_filling(int32 flow);

/*
 * A reading of rows that memory waits for: between begin and end an error puts
 * back what asked for it, so that somebody does it again.
 */
typedef enum FsReading
{
	FS_READING_NONE,
	FS_READING_RESCAN,
	FS_READING_SETTINGS,
	FS_READING_ADOPT,
	FS_READING_COUNT
} FsReading;
extern void fs_state_reading(FsReading what);
extern void fs_state_abort_cleanup(void);

#endif							/* FS_STATE_H */
