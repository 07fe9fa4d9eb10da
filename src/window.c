/*
 * window.c
 *		A sliding window in fixed memory: see window.h.
 */
#include "window.h"

#include <string.h>

#define AT(w, slice) ((w)->count[(slice) % FS_WINDOW_KEPT])

/* window_init: empty, for windows of this length; now is the first time it will be asked at. */
void
window_init(FsWindow *w, int64_t period, int64_t now)
{
	memset(w, 0, sizeof(FsWindow));
	w->width = (period + FS_WINDOW_SLICES - 1) / FS_WINDOW_SLICES;
	if (w->width < 1)
		w->width = 1;
	w->head = now / w->width;
	w->until = (w->head + 1) * w->width;
}

/* window_advance_to: of window_advance: this is the newest slice. */
void
window_advance_to(FsWindow *w, int64_t head)
{
	if (head - w->head >= FS_WINDOW_KEPT)
	{
		memset(w->count, 0, sizeof(w->count));
		w->total = 0;
		w->head = head;
	}
	while (w->head < head)
	{
		w->head++;
		w->total -= AT(w, w->head);
		AT(w, w->head) = 0;
	}
	w->until = (w->head + 1) * w->width;
}

/* window_add_at: count n at a time that may be past; what is older than the window is not counted. */
void
window_add_at(FsWindow *w, int64_t at, int64_t n)
{
	int64_t		slice = at / w->width;

	if (slice > w->head)
		window_advance(w, at);
	else if (slice <= w->head - FS_WINDOW_KEPT)
		return;
	AT(w, slice) += n;
	w->total += n;
}

/* window_take_back: n of what was counted in a slice was not; false: it has left the window. */
bool
window_take_back(FsWindow *w, int64_t slice, int64_t n)
{
	if (slice > w->head || slice <= w->head - FS_WINDOW_KEPT)
		return false;
	AT(w, slice) -= n;
	w->total -= n;
	return true;
}

/*
 * window_lifts_at: when the sum is at most `allowed`, if nothing more is
 * counted; 0: it is already, -1: never, for a negative amount.
 */
int64_t
window_lifts_at(const FsWindow *w, int64_t allowed)
{
	int64_t		total = w->total;

	if (total <= allowed)
		return 0;
	if (allowed < 0)
		return -1;
	for (int64_t slice = w->head - FS_WINDOW_SLICES; slice <= w->head; slice++)
	{
		if (slice < 0)
			continue;
		total -= AT(w, slice);
		if (total <= allowed)
			return (slice + FS_WINDOW_KEPT) * w->width;
	}
	return -1;
}

/* window_counts: of the FS_WINDOW_KEPT slices up to head, oldest first. */
void
window_counts(const FsWindow *w, int64_t * counts)
{
	for (int i = 0; i < FS_WINDOW_KEPT; i++)
	{
		int64_t		slice = w->head - FS_WINDOW_SLICES + i;

		counts[i] = slice < 0 ? 0 : AT(w, slice);
	}
}

/* window_rescale: another period; what is known is kept, each slice's at its end. */
void
window_rescale(FsWindow *w, int64_t period, int64_t now)
{
	FsWindow	old = *w;

	window_init(w, period, now);
	if (old.width == 0)
		return;
	for (int64_t slice = old.head - FS_WINDOW_SLICES; slice <= old.head; slice++)
	{
		int64_t		end = (slice + 1) * old.width - 1;

		if (slice >= 0 && AT(&old, slice) != 0)
			window_add_at(w, end < now ? end : now, AT(&old, slice));
	}
}
