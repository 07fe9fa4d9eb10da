/*
 * inbox.h
 *		INSERT and COPY into fairsched.inbox.
 */
#ifndef FS_INBOX_H
#define FS_INBOX_H

#include "fairsched.h"

/* fs_inbox_install_hooks: once a process, from _PG_init. */
extern void fs_inbox_install_hooks(void);

/* Write out the rows that wait in the current subtransaction; raises what an insert may. */
extern void fs_inbox_settle(void);

/* From the transaction callbacks (ledger.c); only the first may raise. */
extern void fs_inbox_before_commit(void);
extern void fs_inbox_hand_up(SubTransactionId child, SubTransactionId parent);
extern void fs_inbox_discard(SubTransactionId subid);

#endif							/* FS_INBOX_H */
