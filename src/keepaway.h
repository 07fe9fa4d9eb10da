/*
 * keepaway.h
 *		Keeps our workers out of a database while a statement needs it for itself.
 */
#ifndef FS_KEEPAWAY_H
#define FS_KEEPAWAY_H

#include "shmem.h"

/* From _PG_init, while the server preloads; does nothing where that does not apply. */
extern void fs_keepaway_install_hooks(void);

/* Does somebody want our workers out of this database?  fs->lock held, any mode. */
extern bool fs_keepaway_asked(Oid dboid);

/*
 * fs_keepaway_at_xact_end: from the transaction callbacks, at commit, abort and
 * prepare (committed = false), without fs->lock; does not raise.
 */
extern void fs_keepaway_at_xact_end(bool committed);

#endif							/* FS_KEEPAWAY_H */
