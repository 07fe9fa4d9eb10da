/*
 * day_partition.c
 *		Partitions by day of the tables that keep history.
 *
 * They are made by fairsched.make_day_partition and dropped by
 * fairsched.drop_old_days (10_schema.sql), at run time, so none is a member of
 * the extension and pg_dump takes them as they are.  Two sessions that need the
 * same one wait for each other by an advisory lock inside.  Dropping takes
 * AccessExclusiveLock on the parent, for which it waits a short time only; who
 * writes holds RowExclusiveLock on a partition, and reads the parent nowhere.
 */
#include "day_partition.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "state.h"
#include "tables.h"

#define DAYS_AHEAD "2"

/* fs_day_partition_open: raises 42P01 where it cannot be made. */
Relation
fs_day_partition_open(const char *parent, TimestampTz at)
{
	char		name[NAMEDATALEN];
	int			days = (int) (at / USECS_PER_DAY) - (at < 0 && at % USECS_PER_DAY ? 1 : 0);
	int			y,
				m,
				d;

	j2date(days + POSTGRES_EPOCH_JDATE, &y, &m, &d);
	snprintf(name, sizeof(name), "%s_%04d%02d%02d", parent, y, m, d);
	for (int try = 0; try < 2; try++)
	{
		Oid			relid;
		char		date[32];
		Datum		args[2];
		Oid			types[2] = {TEXTOID, TEXTOID};

		AcceptInvalidationMessages();
		relid = get_relname_relid(name, fs_catalog()->nsp);
		if (OidIsValid(relid))
			return table_open(relid, RowExclusiveLock);
		snprintf(date, sizeof(date), "%04d-%02d-%02d", y, m, d);
		args[0] = CStringGetTextDatum(parent);
		args[1] = CStringGetTextDatum(date);
		fs_spi_begin();
		fs_spi("SELECT fairsched.make_day_partition($1, $2::date)", 2, types, args, NULL);
		fs_spi_end();
		CommandCounterIncrement();
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("history partition \"%s\" could not be made", name),
			 errhint("See fairsched.maintenance_status.")));
}

void
fs_day_partitions_ahead(const char *parent)
{
	Oid			types[1] = {TEXTOID};
	Datum		args[1];

	args[0] = CStringGetTextDatum(parent);
	fs_spi("SELECT fairsched.make_day_partition($1, (now() AT TIME ZONE 'UTC')::date + d) "
		   "FROM generate_series(0, " DAYS_AHEAD ") d", 1, types, args, NULL);
}

/* fs_day_partitions_drop: retention in seconds; raises 55P03 where somebody reads for long. */
void
fs_day_partitions_drop(const char *parent, int retention)
{
	Oid			types[2] = {TEXTOID, FLOAT8OID};
	Datum		args[2];

	args[0] = CStringGetTextDatum(parent);
	args[1] = Float8GetDatum((double) retention);
	fs_spi("SELECT fairsched.drop_old_days($1, make_interval(secs => $2))", 2, types, args, NULL);
}
