/*
 * heartbeat.h
 *		Heartbeats, and a lease that is taken again after it ran out.
 */
#ifndef FS_HEARTBEAT_H
#define FS_HEARTBEAT_H

#include "rows.h"

extern const char *const FsDirectiveNames[];

/* A sign of life for one job: extend (usec, 0 = not), take again if it expired. */
extern FsDirective fs_lease_beat(FsDatabase *db, int64 job_id, int64 token, int64 extend);

/* A row of a running or waiting job was updated in place and moved. */
extern void fs_lease_moved(FsDatabase *db, FsJobRel *jr, HeapTuple row, ItemPointer was);

#endif							/* FS_HEARTBEAT_H */
