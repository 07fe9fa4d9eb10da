/*
 * window.h
 *		A sliding window in fixed memory: how much was counted in the last period.
 *
 * Time is cut into slices of a 64th of the period; 65 of them are kept, so that
 * every window of the period's length, wherever it ends, lies within the slices
 * that are summed up.  What is counted therefore leaves the sum up to one slice
 * late, never early.
 *
 * Pure arithmetic: no locks, no PostgreSQL.  Times are microseconds.
 */
#ifndef FS_WINDOW_H
#define FS_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define FS_WINDOW_SLICES 64
#define FS_WINDOW_KEPT (FS_WINDOW_SLICES + 1)

typedef struct FsWindow
{
	int64_t		width;			/* usec of a slice; 0: not in use */
	int64_t		head;			/* number of the newest slice: time / width */
	int64_t		until;			/* when it ends: before, nothing moves */
	int64_t		total;			/* sum of count[] */
	int64_t		count[FS_WINDOW_KEPT];	/* of slice k at k % FS_WINDOW_KEPT */
} FsWindow;

extern void window_init(FsWindow *w, int64_t period, int64_t now);
extern void window_advance_to(FsWindow *w, int64_t head);
extern void window_add_at(FsWindow *w, int64_t at, int64_t n);
extern bool window_take_back(FsWindow *w, int64_t slice, int64_t n);
extern int64_t window_lifts_at(const FsWindow *w, int64_t allowed);
extern void window_counts(const FsWindow *w, int64_t * counts);
extern void window_rescale(FsWindow *w, int64_t period, int64_t now);

/* window_advance: drop what is older than the window that ends now. Time does not run backwards. */
static inline void
window_advance(FsWindow *w, int64_t now)
{
	if (now >= w->until)
		window_advance_to(w, now / w->width);
}

/* window_add: count n now; returns the slice, for window_take_back. */
static inline int64_t
window_add(FsWindow *w, int64_t now, int64_t n)
{
	window_advance(w, now);
	w->count[w->head % FS_WINDOW_KEPT] += n;
	w->total += n;
	return w->head;
}

#endif							/* FS_WINDOW_H */
