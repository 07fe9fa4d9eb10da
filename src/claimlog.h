/*
 * claimlog.h
 *		Where running jobs may be: durable, so that a rebuild finds them.
 */
#ifndef FS_CLAIMLOG_H
#define FS_CLAIMLOG_H

#include "state.h"

#include "storage/block.h"

/* A page of a job table. */
typedef struct FsPage
{
	int32		job_table;
	Oid			relfile;		/* InvalidOid: all of the table */
	BlockNumber block;
} FsPage;

/* The calling transaction has made rows on these pages run. */
extern void fs_claim_log_pages(FsDatabase *db, const FsPage *pages, int n);

/* Running rows came into a table by other ways: all of it is to be read. */
extern void fs_claim_log_table(FsDatabase *db, int job_table);

/* A page's row is committed; fs->lock held. */
extern void fs_claim_log_listed(uint64 page);

/* Nothing is known to be listed in this database's logs; fs->lock held, walks fs_logged. */
extern void fs_claim_log_forget(int32 db);

/* The task: swap the logs, keep what still holds. Returns when to run again. */
extern TimestampTz fs_claim_log_rotate(FsDatabase *db);

/* For the rebuild: all that both logs list, sorted and without repetition; palloc'd. */
extern FsPage *fs_claim_log_read(FsDatabase *db, int *n);

#endif							/* FS_CLAIMLOG_H */
