/*
 * compat.h
 *		The only file that knows about PostgreSQL's major versions.
 */
#ifndef FS_COMPAT_H
#define FS_COMPAT_H

#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "catalog/pg_database.h"
#include "storage/proc.h"
#include "utils/rel.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#error "fairsched needs PostgreSQL 15 or later"
#endif

/* Before the declaration of a function that does not return. */
#if PG_VERSION_NUM >= 180000
#define FS_NORETURN pg_noreturn
#else
#define FS_NORETURN pg_attribute_noreturn()
#endif

/* The file that holds a relation's rows: it changes with TRUNCATE, CLUSTER, VACUUM FULL. */
#if PG_VERSION_NUM >= 160000
#define FsRelFile(rel) ((rel)->rd_locator.relNumber)
#else
#define FsRelFile(rel) ((rel)->rd_node.relNode)
#endif

/*
 * heap_update; *hot tells whether indexes need no new entries.  Without wait, a
 * row that somebody is changing gives TM_BeingModified; a server with
 * assertions holds that no caller asks for that, so there we look first and
 * then, in the moment between, would rather wait.
 */
#ifdef USE_ASSERT_CHECKING
#define FS_UPDATE_WAIT(wait) true
#define FS_UPDATE_LOOK_FIRST true
#else
#define FS_UPDATE_WAIT(wait) (wait)
#define FS_UPDATE_LOOK_FIRST false
#endif

static inline TM_Result
fs_heap_update(Relation rel, ItemPointer tid, HeapTuple tup, CommandId cid,
			   bool wait, bool *hot)
{
	TM_FailureData failure;
	LockTupleMode lockmode;
	TM_Result	result;
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes update_indexes;

	result = heap_update(rel, tid, tup, cid, InvalidSnapshot, FS_UPDATE_WAIT(wait),
						 &failure, &lockmode, &update_indexes);
#else
	result = heap_update(rel, tid, tup, cid, InvalidSnapshot, FS_UPDATE_WAIT(wait),
						 &failure, &lockmode);
#endif
	*hot = HeapTupleIsHeapOnly(tup);
	return result;
}

/* My slot among all processes, from 0. */
#if PG_VERSION_NUM >= 170000
#define FsMyProcNumber() ((int) MyProcNumber)
#else
#define FsMyProcNumber() ((int) MyProc->pgprocno)
#endif

#if PG_VERSION_NUM >= 170000
#define FS_INDEX_INSERT_CLEANUP(rel, info) index_insert_cleanup(rel, info)
#else
#define FS_INDEX_INSERT_CLEANUP(rel, info) ((void) 0)
#endif

#if PG_VERSION_NUM >= 180000
#define FS_INDEX_BEGINSCAN(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define FS_INDEX_BEGINSCAN(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

/* The leaf of a btree for a key, locked for writing. */
#if PG_VERSION_NUM >= 170000
#define FsBtreeSearch(index, heap, key, buf) _bt_search(index, heap, key, buf, BT_WRITE)
#elif PG_VERSION_NUM >= 160000
#define FsBtreeSearch(index, heap, key, buf) _bt_search(index, heap, key, buf, BT_WRITE, NULL)
#else
#define FsBtreeSearch(index, heap, key, buf) _bt_search(index, key, buf, BT_WRITE, NULL)
#endif

/* Pin a buffer if it still holds this block. */
#if PG_VERSION_NUM >= 160000
#define FsReadRecentBuffer(rel, block, buffer) ReadRecentBuffer((rel)->rd_locator, MAIN_FORKNUM, block, buffer)
#else
#define FsReadRecentBuffer(rel, block, buffer) ReadRecentBuffer((rel)->rd_node, MAIN_FORKNUM, block, buffer)
#endif

/* Does heap_multi_insert extend a table by many pages at once, or can we not? (extend.c) */
#if PG_VERSION_NUM >= 160000 || !defined(__linux__)
#define FS_EXTENDS_IN_BULK 1
#else
#define FS_EXTENDS_IN_BULK 0
#endif

/* May the current user own-level operate on this database? */
#if PG_VERSION_NUM >= 160000
#define FsOwnsDatabase(dboid) object_ownercheck(DatabaseRelationId, dboid, GetUserId())
#else
#define FsOwnsDatabase(dboid) pg_database_ownercheck(dboid, GetUserId())
#endif

/* May the current user do with this function what its owner may, and call it? */
#if PG_VERSION_NUM >= 160000
#define FsOwnsFunction(func) object_ownercheck(ProcedureRelationId, func, GetUserId())
#define FsMayExecute(func) (object_aclcheck(ProcedureRelationId, func, GetUserId(), ACL_EXECUTE) == ACLCHECK_OK)
#else
#define FsOwnsFunction(func) pg_proc_ownercheck(func, GetUserId())
#define FsMayExecute(func) (pg_proc_aclcheck(func, GetUserId(), ACL_EXECUTE) == ACLCHECK_OK)
#endif

/* Databases half dropped by an interrupted DROP DATABASE; minor versions before 15.4 lack it. */
#ifndef DATCONNLIMIT_INVALID_DB
#define DATCONNLIMIT_INVALID_DB -2
#endif

/* A wait event of our own by name; *cache starts as 0. */
static inline uint32
fs_wait_event(uint32 *cache, const char *name)
{
	if (*cache == 0)
#if PG_VERSION_NUM >= 170000
		*cache = WaitEventExtensionNew(name);
#else
		*cache = PG_WAIT_EXTENSION;
#endif
	return *cache;
}

#if PG_VERSION_NUM >= 170000
#define FS_HAS_TRANSACTION_TIMEOUT true
#else
#define FS_HAS_TRANSACTION_TIMEOUT false
#endif

#endif							/* FS_COMPAT_H */
