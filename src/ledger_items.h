/*
 * ledger_items.h
 *		Ledger items: what they hold and how they end.  Only for ledger.c.
 */
#ifndef FS_LEDGER_ITEMS_H
#define FS_LEDGER_ITEMS_H

#include "admission_notes.h"
#include "budget.h"
#include "ws_limits.h"
#include "placement.h"

typedef enum FsItemKind
{
	ITEM_CLAIM,
	ITEM_FINISH,
	ITEM_QUEUE,
	ITEM_RESERVED,
	ITEM_HARD,
	ITEM_PLACE,
	ITEM_CLOSING,
	ITEM_FROZEN,
	ITEM_SETTINGS,
	ITEM_DRAINED,
	ITEM_DUE,
	ITEM_RESCAN,
	ITEM_STALE,
	ITEM_EXTENSION,
	ITEM_WORKER,
	ITEM_LOGGED,
	ITEM_LIMITS,
	ITEM_BOOKED,
	ITEM_USAGE,
	ITEM_USAGE_STALE,
	ITEM_PREEMPT,
	ITEM_EVENTS,
	ITEM_SPEND,
	ITEM_BUDGET,
	ITEM_BUDGETS_STALE,
	ITEM_BUDGET_RUN,
	ITEM_ENDED,
	ITEM_PLACEMENT,
	ITEM_NOTES
} FsItemKind;

typedef struct FsSettingsChange
{
	char		workspace[FS_NAME_LEN + 1];
	FsWorkspaceSettings set;
	FsWorkspaceSettings old;
	bool		applied;		/* in force already: abort restores `old` */
	bool		forget;			/* dropped: it has no jobs either */
} FsSettingsChange;

typedef struct FsWorkerChange
{
	int32		worker;
	bool		declared;
	int32		slots;
	int32		caps_len;
	char		caps[FS_CAPS_LEN];
	char		node[FS_NAME_LEN + 1];
	int32		place_node;		/* with a reference, or FS_NONE */
} FsWorkerChange;

typedef struct FsLedgerItem
{
	FsItemKind	kind;
	SubTransactionId subid;
	int32		db;
	union
	{
		struct
		{
			int32		lease;
			FsLeaseState before;
			uint64		stamp;
			uint64		stamp_before;	/* of an end: what it was */
			FsDirective tell;	/* not FS_CONTINUE: leave a tombstone that
								 * says so */
			ItemPointerData tid;
			Oid			relfile;
			int32		job_table;
			int32		workspace;	/* of a claim: the lease may be another's
									 * by then */
			int32		slot;
			int32		charged;
			TimestampTz saved_at;
			bool		soft;
			int64		token;	/* by which the lease is known again */
			int32		lane;
			int32		flow;	/* of a claim, and its number: it may be
								 * another's by then */
			int32		flow_id;
			int			how;	/* of an end: FS_ENDED_* */
		}			lease;
		struct
		{
			int32		workspace;
			int32		flow;
			int32		slot;
			int32		count;	/* jobs hinted */
			int16		cls_delta;	/* ready jobs of the slot's class, a job */
			int16		waiting_delta;
			bool		on_commit;
			bool		on_abort;
			FsCandidate cand;	/* the job, or the first position of several */
			TimestampTz due;
		}			queue;
		struct
		{
			int32		workspace;
			int32		flow;
			int32		n;
		}			reserved;
		struct
		{
			TimestampTz due;
			TimestampTz expiry;
			TimestampTz preempt;
			bool		placements;
		}			times;
		struct
		{
			uint64		page;	/* key in fs_logged */
			uint64		gen;
		}			logged;
		struct
		{
			Oid			oid;
			bool		created;
		}			extension;
		struct
		{
			int32		limits;
			uint32		part;	/* 0: only keeps the entry */
			FsLimitSettings *set;
		}			limits;
		struct
		{
			int32		limits;
			int64		epoch;
			int64		left;	/* claims that others may make on it after the
								 * commit */
		}			booked;
		struct
		{
			int32		limits;
			FsResource	resource;
			int64		amount;
			int64		slice;
			int64		job_id; /* 0: not known */
			const char *run_id; /* NULL: not known */
		}			usage;
		struct
		{
			int64		job_id;
			int64		token;
			int64		grace;	/* usec */
		}			preempt;
		int64		events[FS_EVENTS];
		FsSettingsChange *settings;
		FsWorkerChange *worker;
		FsSpendItem spend;
		FsBudgetSettings *budget;
		FsBudgetRun run;
		FsPlacementChange *placement;
		const FsAdmissionNotes *notes;
		bool		flag;
	}			u;
} FsLedgerItem;

/* fs->lock held exclusively; they do not raise. */
extern void fs_ledger_fetch_item(const FsLedgerItem *item);
extern void fs_ledger_commit_item(FsLedgerItem *item, TimestampTz now);
extern void fs_ledger_settle_item(const FsLedgerItem *item, TimestampTz now);
extern void fs_ledger_abort_item(FsLedgerItem *item);
extern void fs_ledger_prepare_item(FsLedgerItem *item);
extern void fs_ledger_undo_claim(int32 lease);
extern void fs_ledger_take_back_gift(int32 lease);
extern void fs_ledger_undo_finish(const FsLedgerItem *item);
extern void fs_ledger_wake_scheduler(FsDatabase *db);

#endif							/* FS_LEDGER_ITEMS_H */
