/*
 * launcher.h
 *		One scheduler worker in each database that has the extension.
 */
#ifndef FS_LAUNCHER_H
#define FS_LAUNCHER_H

#include "shmem.h"

/* From _PG_init, while the server preloads; does nothing where that does not apply. */
extern void fs_launcher_register(void);

/*
 * fs_launcher_ask: the launcher should look again whether this database needs a
 * scheduler (InvalidOid: all of them).  fs->lock held exclusively; for commit
 * callbacks: neither allocates nor raises.
 */
extern void fs_launcher_ask(Oid dboid);

/* fs_launcher_wake: it should see what changed.  fs->lock held, any mode. */
extern void fs_launcher_wake(void);

extern PGDLLEXPORT void fs_launcher_main(Datum arg);

#endif							/* FS_LAUNCHER_H */
