/*
 * aging_task.c
 *		Saving how long jobs have waited, and reading it after a restart.
 *
 * The marks of aging.c are in memory.  The scheduler saves one now and then while
 * positions are given out: a row of fairsched.position_times says which were
 * given out by when.  A rebuild makes marks of these rows, so a job's age after
 * a restart, a crash or a promotion is what it was; only positions that were given
 * out after the last row count from the restart.  Rows are few (those of twice
 * fairsched.priority_aging), and a server where no job becomes ready writes none.
 */
#include "aging_task.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "aging.h"

#define SAVE_EVERY	USECS_PER_SEC	/* at most so often */
#define ROWS		100			/* the newest of them that are read */

/* Marks of twice the aging, of the time before, at the start of memory and now have to fit as well. */
StaticAssertDecl(ROWS + 3 <= FS_AGE_MARKS, "there is room for all rows");

TimestampTz
fs_aging_save_due(const FsDatabase *db)
{
	if (!db->aging_unsaved || fs_priority_aging == 0)
		return DT_NOEND;
	return db->tasks[FS_TASK_AGING].last_run + Max(FsMsToUsec(fs_priority_aging) / 32, SAVE_EVERY);
}

/* fs_aging_task: save a mark. Returns when to come back of its own accord: never. */
TimestampTz
fs_aging_task(FsDatabase *db)
{
	Oid			types[3] = {TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID};
	Datum		args[3];
	TimestampTz now;
	int64		number;
	int64		position;
	bool		wanted;

	FsLock();

	/*
	 * after the lock is had: nobody gives out positions with an earlier time
	 * from here on
	 */
	now = GetCurrentTimestamp();
	number = db->next_position;
	position = FsPosition(number, 0);
	wanted = db->aging_unsaved && number > 0 && fs_priority_aging > 0;
	FsUnlock();
	if (!wanted)
		return DT_NOEND;
	args[0] = TimestampTzGetDatum(now);
	args[1] = Int64GetDatum(position);
	args[2] = TimestampTzGetDatum(now - 2 * FsMsToUsec(fs_priority_aging));
	fs_spi_begin();
	fs_spi("INSERT INTO fairsched.position_times VALUES ($1, $2)", 2, types, args, NULL);
	/* of those that are twice the aging old, the newest says all */
	fs_spi("DELETE FROM fairsched.position_times t USING "
		   "(SELECT max(at) AS at FROM fairsched.position_times WHERE at <= $1) old WHERE t.at < old.at",
		   1, &types[2], &args[2], NULL);
	fs_spi_end();
	FsLock();
	if (db->next_position == number)
		db->aging_unsaved = false;	/* else there is more to save, in time */
	FsUnlock();
	return DT_NOEND;
}

/* fs_aging_load: while memory is built, after fs_aging_start. */
void
fs_aging_load(FsDatabase *db)
{
	uint64		n;

	fs_spi_begin();
	n = fs_spi("SELECT at, position FROM (SELECT at, position FROM fairsched.position_times "
			   "ORDER BY at DESC LIMIT " CppAsString2(ROWS) ") t ORDER BY at", 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		at = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
		Datum		position = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull);

		FsLock();
		fs_aging_saved(db, DatumGetTimestampTz(at), DatumGetInt64(position));
		FsUnlock();
	}
	fs_spi_end();
}
