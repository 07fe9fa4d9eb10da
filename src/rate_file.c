/*
 * rate_file.c
 *		Rate windows across a clean shutdown.
 *
 * What the scheduler saves each second (fairsched.rate_windows) is at most a
 * moment old, and of what was claimed after it only a bound is known.  At a clean
 * shutdown everything is known: the postmaster is the last process, all transactions are
 * over and what they counted is confirmed or taken back.  It then writes the
 * windows to a file.
 *
 * The file counts only for the start that follows.  It is renamed there, so that
 * a crash finds none, and only used when the control file says that the server
 * was shut down cleanly, and not as a standby, and does not begin as one: else
 * claims may have been made elsewhere, or after it.  Without it the saved rows
 * are used, and what was booked since (rate_book.c) counts as claimed.
 *
 * Errors on the way out are logged: nothing is lost but the knowledge.
 */
#include "rate_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "ws_limits.h"

#define FILE_SAVED	PGSTAT_STAT_PERMANENT_DIRECTORY "/fairsched_rates.stat"
#define FILE_NEW	FILE_SAVED ".tmp"
#define FILE_TAKEN	PGSTAT_STAT_PERMANENT_DIRECTORY "/fairsched_rates.taken"
#define RATES_MAGIC		UINT32_C(0x46535257)

typedef struct FsRateHeader
{
	uint32		magic;
	uint32		entry_size;		/* another: written by another version */
	uint32		count;
	pg_crc32c	crc;			/* of the entries */
} FsRateHeader;

typedef struct FsRateEntry
{
	Oid			dboid;
	Oid			extoid;
	FsSavedRate rate;
} FsRateEntry;

/* ---------- at the end ---------- */

static bool
worth_saving(const FsLimits *limits)
{
	return limits->db != FS_NONE && fs_dbs[limits->db].state == FS_DB_READY &&
		(limits->set.has & FS_LIMIT_RATE);
}

static bool
write_all(FILE *file)
{
	FsRateHeader header = {
		.magic = RATES_MAGIC,
		.entry_size = sizeof(FsRateEntry),
	};

	/* twice over: the sum stands before what it is of */
	INIT_CRC32C(header.crc);
	for (int pass = 0; pass < 2; pass++)
	{
		if (pass == 1)
		{
			FIN_CRC32C(header.crc);
			if (fwrite(&header, sizeof(header), 1, file) != 1)
				return false;
		}
		for (int l = 0; l < fs->limits.capacity; l++)
		{
			const FsLimits *limits = &fs_limits[l];
			FsRateEntry entry;

			if (!worth_saving(limits))
				continue;
			memset(&entry, 0, sizeof(entry));
			entry.dboid = fs_dbs[limits->db].dboid;
			entry.extoid = fs_dbs[limits->db].extoid;
			strcpy(entry.rate.workspace, limits->name);
			entry.rate.complete = true;
			entry.rate.width = limits->rate.width;
			entry.rate.head = limits->rate.head;
			entry.rate.n = FS_WINDOW_KEPT;
			window_counts(&limits->rate, entry.rate.count);
			if (pass == 0)
			{
				header.count++;
				COMP_CRC32C(header.crc, &entry, sizeof(entry));
			}
			else if (fwrite(&entry, sizeof(entry), 1, file) != 1)
				return false;
		}
	}
	return true;
}

/* Of the postmaster: there is nobody else any more, so nothing is locked. */
static void
save(int code, Datum arg)
{
	FILE	   *file;
	bool		written;

	if (code != 0 || fs == NULL)
		return;					/* a crash: memory is not to be trusted */
	file = AllocateFile(FILE_NEW, PG_BINARY_W);
	written = file != NULL && write_all(file);
	if (file != NULL && FreeFile(file) != 0)
		written = false;
	if (!written || durable_rename(FILE_NEW, FILE_SAVED, LOG) != 0)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not save the rate windows of fairsched to file \"%s\": %m", FILE_SAVED),
				 errdetail("After the start they are what was saved last, and what was booked since counts as claimed.")));
		unlink(FILE_NEW);
	}
}

/* ---------- at the start ---------- */

/* Did the server end cleanly as what it is going to be again? */
static bool
begins_where_it_ended(void)
{
	bool		crc_ok;
	ControlFileData *control;
	struct stat st;
	bool		result;

	/*
	 * it cannot be told where there is none yet, nor with a bad one: the
	 * server will say so itself
	 */
	if (stat(XLOG_CONTROL_FILE, &st) != 0)
		return false;
	control = get_controlfile(DataDir, &crc_ok);
	result = crc_ok && control->state == DB_SHUTDOWNED &&
		stat(STANDBY_SIGNAL_FILE, &st) != 0 && stat(RECOVERY_SIGNAL_FILE, &st) != 0;
	pfree(control);
	return result;
}

/* fs_rate_file_startup: what was saved becomes the file of this run; saves at the end of it. */
void
fs_rate_file_startup(void)
{
	struct stat st;

	if (IsUnderPostmaster)
		return;
	unlink(FILE_TAKEN);
	if (stat(FILE_SAVED, &st) == 0)
	{
		if (!begins_where_it_ended() || durable_rename(FILE_SAVED, FILE_TAKEN, LOG) != 0)
			durable_unlink(FILE_SAVED, LOG);
	}
	on_shmem_exit(save, (Datum) 0);
}

/* fs_rate_file_read: empty where nothing is known. */
FsSavedRate *
fs_rate_file_read(const FsDatabase *db, int *count)
{
	FsRateHeader header;
	FsSavedRate *rates;
	FILE	   *file;
	pg_crc32c	crc;
	int			n = 0;
	uint32		got = 0;
	FsRateEntry entry;

	*count = 0;
	file = AllocateFile(FILE_TAKEN, PG_BINARY_R);
	if (file == NULL)
	{
		if (errno != ENOENT)
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("could not open file \"%s\": %m", FILE_TAKEN)));
		return NULL;
	}
	if (fread(&header, sizeof(header), 1, file) != 1 || header.magic != RATES_MAGIC ||
		header.entry_size != sizeof(FsRateEntry) || header.count > (uint32) fs->limits.capacity * 64)
	{
		FreeFile(file);
		return NULL;
	}
	rates = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(FsSavedRate) * (header.count + 1));
	INIT_CRC32C(crc);
	while (got < header.count && fread(&entry, sizeof(entry), 1, file) == 1)
	{
		got++;
		COMP_CRC32C(crc, &entry, sizeof(entry));
		if (entry.dboid == db->dboid && entry.extoid == db->extoid)
			rates[n++] = entry.rate;
	}
	FIN_CRC32C(crc);
	FreeFile(file);
	if (got != header.count || !EQ_CRC32C(crc, header.crc))
		return NULL;			/* cut off, or not what was written */
	*count = n;
	return rates;
}
