/*
 * test_window.c
 *		The sliding window against a list of times: never more than is allowed in
 *		any window of the period, and lifted at most one slice late.  Prints TAP.
 */
#include "../../src/window.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST 20000

/* Claims at random times: what the window admits, checked against all admitted so far. */
static void
random_run(int64_t period, int max)
{
	static int64_t at[MOST];
	static bool kept[MOST];
	static int64_t slice[MOST];
	FsWindow	w;
	int64_t		now = INT64_C(800000000000000) + rnd(period);
	int			n = 0;
	bool		never_over = true;
	bool		late = false;
	bool		told = true;
	int64_t		width;

	window_init(&w, period, now);
	width = w.width;
	for (int i = 0; i < 50000 && n < MOST; i++)
	{
		int64_t		in_window = 0;
		int64_t		in_more = 0;

		now += rnd(3) ? rnd(period / max + 2) / 2 : rnd(period);
		window_advance(&w, now);
		for (int j = n - 1; j >= 0 && at[j] > now - period - width; j--)
		{
			in_window += kept[j] && at[j] > now - period;
			in_more += kept[j];
		}
		if (in_window > max)
			never_over = false;
		if (w.total >= max)
		{
			int64_t		lifts = window_lifts_at(&w, max - 1);
			FsWindow	copy = w;

			if (in_more < max)
				late = true;
			window_advance(&copy, lifts - 1);
			told = told && lifts > now && copy.total >= max;
			window_advance(&copy, lifts);
			told = told && copy.total < max;
			continue;
		}
		at[n] = now;
		kept[n] = true;
		slice[n] = window_add(&w, now, 1);
		n++;
		if (rnd(5) == 0 && n > 0)
		{
			/* a claim that aborts, perhaps much later */
			int			j = n - 1 - (int) rnd(n < 40 ? n : 40);

			if (kept[j])
			{
				kept[j] = false;
				(void) window_take_back(&w, slice[j], 1);
			}
		}
	}
	ok(never_over, "never more in any window of the period");
	ok(!late, "refused only where a window one slice longer is full");
	ok(told, "window_lifts_at is the moment it opens");
	ok(n > 1000, "many were admitted");
}

int
main(void)
{
	FsWindow	w;
	int64_t		slice;

	random_run(1000000, 10);
	random_run(60000000, 100);
	random_run(INT64_C(86400000000), 7);
	random_run(6400, 3);

	window_init(&w, 64000, 1000000);
	slice = window_add(&w, 1000000, 5);
	ok(w.total == 5 && w.width == 1000, "counted");
	ok(window_take_back(&w, slice, 2) && w.total == 3, "given back to its slice");
	window_advance(&w, 1000000 + 65000);
	ok(w.total == 0, "gone after period and slice");
	ok(!window_take_back(&w, slice, 3) && w.total == 0, "what has left is not given back");
	window_add_at(&w, 1000000, 9);
	ok(w.total == 0, "what is older than the window is not counted");
	window_add_at(&w, 1000000 + 64000, 2);
	window_add_at(&w, 1000000 + 65000, 4);
	ok(w.total == 6, "past slices can be filled");
	ok(window_lifts_at(&w, 4) == 1000000 + 64000 + 65000, "the oldest leaves first");
	ok(window_lifts_at(&w, 6) == 0 && window_lifts_at(&w, -1) == -1, "now, and never");

	/* as it is saved, and put together again */
	{
		int64_t		counts[FS_WINDOW_KEPT];
		FsWindow	again;

		window_counts(&w, counts);
		window_init(&again, 64000, w.head * w.width);
		for (int i = 0; i < FS_WINDOW_KEPT; i++)
			window_add_at(&again, (w.head - FS_WINDOW_SLICES + i) * w.width, counts[i]);
		ok(counts[63] == 2 && counts[64] == 4 && counts[0] == 0, "slices oldest first");
		ok(again.total == w.total && window_lifts_at(&again, 4) == window_lifts_at(&w, 4), "the same window again");
	}

	/* another period: nothing is lost that counts, nothing counts twice */
	window_init(&w, 64000, 1000000);
	for (int i = 0; i < 64; i++)
		(void) window_add(&w, 1000000 + i * 1000, 1);
	window_rescale(&w, 640000, 1063000);
	ok(w.total == 64 && w.width == 10000, "longer: all is kept");
	window_rescale(&w, 6400, 1063000);
	ok(w.total >= 6 && w.total <= 64 && w.width == 100, "shorter: what is recent is kept, perhaps more");
	window_advance(&w, 1063000 + 6500);
	ok(w.total == 0, "and no longer than a period");
	return done_testing();
}
