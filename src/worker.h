/*
 * worker.h
 *		The scheduler worker of one database.
 */
#ifndef FS_WORKER_H
#define FS_WORKER_H

#include "fairsched.h"

#define FS_WORKER_NAME "fairsched scheduler"

/* What every worker of ours sets up before it connects, and after. */
extern void fs_worker_signals(void);
extern void fs_worker_settings(const char *name);
extern void fs_worker_interrupts(void);

extern PGDLLEXPORT void fs_worker_main(Datum dboid);

#endif							/* FS_WORKER_H */
