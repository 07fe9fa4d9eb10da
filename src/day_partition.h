/*
 * day_partition.h
 *		Tables that keep history by day (UTC): fairsched.job_history_completed and
 *		_dead, fairsched.fairness_samples.  Each day is a partition, made when it is
 *		needed and a few days ahead, so that retention drops a table.
 */
#ifndef FS_DAY_PARTITION_H
#define FS_DAY_PARTITION_H

#include "fairsched.h"

#include "utils/rel.h"

/* The partition of a moment, with RowExclusiveLock; made when there is none. */
extern Relation fs_day_partition_open(const char *parent, TimestampTz at);

/* Today's and those of the next two days. An SPI connection is open. */
extern void fs_day_partitions_ahead(const char *parent);

/* Drop the days that ended longer ago. An SPI connection is open. */
extern void fs_day_partitions_drop(const char *parent, int retention);

#endif
