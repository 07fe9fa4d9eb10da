/*
 * rate_book.h
 *		Claims that count against a rate limit, durably before they are saved.
 */
#ifndef FS_RATE_BOOK_H
#define FS_RATE_BOOK_H

#include "claim.h"

/*
 * fs_rate_book: what was claimed here and no booking covers gets one, in this
 * transaction.  The leases are ours, in state CLAIMING.  May raise.
 */
extern void fs_rate_book(const FsTaken *taken, int n);

#endif							/* FS_RATE_BOOK_H */
