/*
 * test_placement_decide.c
 *		Whether a chain moves: tables of scores, and random worlds that come to rest.  Prints TAP.
 */
#include "../../src/placement_decide.h"
#include "tap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND	INT64_C(1000000)
#define MINUTE	(60 * SECOND)

static const PlacementSettings defaults = {0.5, 0.2, 10, 1, 5 * MINUTE, 30 * SECOND, 1};

/* A holder that was scored; negative: no opinion. */
static PlacementHolder
holder(const char *node, double score)
{
	PlacementHolder h = {.node = node};

	h.score = (PlacementScore) {score < 0 ? PLACEMENT_NONE : PLACEMENT_SCORED, score};
	h.live = h.score;
	return h;
}

static PlacementChain
chain(PlacementHolder *h, int n, int desired, const char *alternative, double score)
{
	PlacementChain c = {.desired = desired, .nholders = n, .holders = h, .now = 100 * MINUTE};

	c.eligible = alternative != NULL;
	c.alternative_node = alternative;
	c.alternative = (PlacementScore) {score < 0 ? PLACEMENT_NONE : PLACEMENT_SCORED, score};
	return c;
}

static PlacementDecision
last(const PlacementChain *c, const PlacementSettings *s)
{
	PlacementDecision d[16];

	return d[placement_decide(c, s, d) - 1];
}

static bool
says(PlacementDecision d, PlacementAct act, PlacementWhy why)
{
	if (d.act != act || d.why != why)
		printf("# act %d why %s\n", d.act, PlacementWhyNames[d.why]);
	return d.act == act && d.why == why;
}

static void
test_tables(void)
{
	/* one holder's score, the alternative's, what comes of it */
	static const struct
	{
		double		score;
		double		better;
		PlacementAct act;
		PlacementWhy why;
		const char *what;
	}			rows[] = {
		{0.9, 1.0, PLACEMENT_STAY, PLACEMENT_GOOD, "above the floor nothing moves, however good another is"},
		{0.5, 1.0, PLACEMENT_STAY, PLACEMENT_GOOD, "the floor itself is good enough"},
		{0.49, 1.0, PLACEMENT_EVICT, PLACEMENT_SCORE, "below the floor, and another is clearly better"},
		{0.49, 0.68, PLACEMENT_STAY, PLACEMENT_GAP, "better, but not by the gap"},
		{0.4f, 0.6f, PLACEMENT_EVICT, PLACEMENT_SCORE, "better by the gap, in single precision"},
		{0.49, 0.1, PLACEMENT_STAY, PLACEMENT_GAP, "the alternative is worse"},
		{0.0, 0.19, PLACEMENT_STAY, PLACEMENT_GAP, "both are bad"},
		{0.0, 0.21, PLACEMENT_EVICT, PLACEMENT_SCORE, "an alternative below the floor is an alternative"},
		{-1, 1.0, PLACEMENT_STAY, PLACEMENT_NO_OPINION, "no opinion of the holder"},
		{0.2, -1, PLACEMENT_STAY, PLACEMENT_NO_OPINION, "no opinion of the alternative"},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		PlacementHolder h = holder("a", rows[i].score);
		PlacementChain c = chain(&h, 1, 1, "b", rows[i].better);

		ok(says(last(&c, &defaults), rows[i].act, rows[i].why), rows[i].what);
	}
}

static void
test_gates(void)
{
	PlacementHolder h = holder("a", 0.1);
	PlacementChain c = chain(&h, 1, 1, "b", 0.9);
	PlacementSettings s = defaults;
	PlacementDecision d;

	c.last_move = c.now - 4 * MINUTE;
	d = last(&c, &s);
	ok(says(d, PLACEMENT_STAY, PLACEMENT_COOLDOWN) && d.due == c.now + MINUTE, "within the cooldown; due when it ends");
	c.last_move = c.now - 5 * MINUTE;
	ok(says(last(&c, &s), PLACEMENT_EVICT, PLACEMENT_SCORE), "the cooldown is over");

	c.moves = 1;
	d = last(&c, &s);
	ok(says(d, PLACEMENT_STAY, PLACEMENT_MAX_MOVES) && d.due == PLACEMENT_NEVER, "one move is in flight");
	s.max_moves = 2;
	ok(says(last(&c, &s), PLACEMENT_EVICT, PLACEMENT_SCORE), "two may be");
	s = defaults;
	c.moves = 0;

	h.pinned = true;
	h.pinned_until = c.now + MINUTE;
	d = last(&c, &s);
	ok(says(d, PLACEMENT_STAY, PLACEMENT_PINNED) && d.due == c.now + MINUTE, "pinned; due when that ends");
	h.pinned_until = PLACEMENT_NEVER;
	d = last(&c, &s);
	ok(says(d, PLACEMENT_STAY, PLACEMENT_PINNED) && d.due == PLACEMENT_NEVER, "pinned for good");
	h.pinned = false;

	/* the cost: 8 points of gain; 1 * (1 + 0.1 * running + 0.1 * ln(1 + backlog)) */
	ok(fabs(placement_move_cost(&s, 0, 0) - 1) < 1e-9 && fabs(placement_move_cost(&s, 20, 0) - 3) < 1e-9,
	   "the cost grows with running jobs");
	ok(placement_move_cost(&s, 0, 1000) > placement_move_cost(&s, 0, 10) && placement_move_cost(&s, 0, 10) > 1,
	   "and with the backlog");
	h.running = 69;
	ok(says(last(&c, &s), PLACEMENT_EVICT, PLACEMENT_SCORE), "worth it with 69 jobs");
	h.running = 70;
	d = last(&c, &s);
	ok(says(d, PLACEMENT_STAY, PLACEMENT_COST) && d.due == c.now + s.interval,
	   "not with 70, which are looked at again");
	h.running = 69;
	c.backlog = 10;
	ok(says(last(&c, &s), PLACEMENT_STAY, PLACEMENT_COST), "nor with 69 and a backlog");
	s.service_value = 20;
	ok(says(last(&c, &s), PLACEMENT_EVICT, PLACEMENT_SCORE), "unless service is worth more");
	s = defaults;
	h.running = 0;
	c.backlog = 0;

	h.live = (PlacementScore) {PLACEMENT_NOT_ASKED, 0};
	ok(last(&c, &s).act == PLACEMENT_ASK_LIVE, "the victim is scored again before it moves");
	h.live = (PlacementScore) {PLACEMENT_SCORED, 0.6};
	ok(says(last(&c, &s), PLACEMENT_STAY, PLACEMENT_RECOVERED), "and is good now");
	h.live = (PlacementScore) {PLACEMENT_SCORED, 0.45};
	c.alternative.value = 0.6;
	ok(says(last(&c, &s), PLACEMENT_STAY, PLACEMENT_GAP), "or bad, but the gap is gone");
	h.live = (PlacementScore) {PLACEMENT_FAILED, 0};
	d = last(&c, &s);
	ok(says(d, PLACEMENT_STAY, PLACEMENT_NO_OPINION) && d.due == c.now + s.interval,
	   "or nobody knows, who is asked again");
	h.live = h.score;

	c.alternative = (PlacementScore) {PLACEMENT_NOT_ASKED, 0};
	ok(last(&c, &s).act == PLACEMENT_ASK_ALTERNATIVE, "the alternative is asked for when it is needed");
	c.eligible = 0;
	ok(says(last(&c, &s), PLACEMENT_STAY, PLACEMENT_NO_ALTERNATIVE), "and not when there is none");
	c.eligible = 1;
	h.score.value = 0.7;
	ok(says(last(&c, &s), PLACEMENT_STAY, PLACEMENT_GOOD), "nor when it does not matter");
	h.score.opinion = PLACEMENT_NOT_ASKED;
	ok(last(&c, &s).act == PLACEMENT_ASK_SCORES, "scores are asked for");

	h = holder("a", -1);
	c = chain(&h, 1, 1, "b", 0.9);
	d = last(&c, &s);
	ok(d.due == PLACEMENT_NEVER, "who has no opinion is not asked again");
	h.score.opinion = PLACEMENT_FAILED;
	ok(last(&c, &s).due == c.now + s.interval, "who failed is");

	h = holder("a", 0.4);
	c = chain(&h, 1, 1, "b", 0.5);
	ok(last(&c, &s).due == PLACEMENT_NEVER, "bad scores that stand still are at rest");
	c.moving = true;
	ok(last(&c, &s).due == c.now + s.interval, "while they move they are watched");
	h = holder("a", 0.8);
	ok(last(&c, &s).due == PLACEMENT_NEVER, "good ones are not");
	c.degrading = true;
	ok(last(&c, &s).due == c.now + s.interval, "unless they get worse");
}

static void
test_repairs(void)
{
	PlacementHolder h[3] = {holder("c", 0.9), holder("a", 0.9), holder("b", 0.9)};
	PlacementChain c = chain(h, 3, 3, "d", 0.3);
	PlacementDecision d[8];
	int			n;

	c.last_move = c.now;		/* none of these minds the cooldown, nor max_moves */
	c.moves = 7;
	h[0].lost = PLACEMENT_DEAD;
	h[1].lost = PLACEMENT_DRAINING;
	n = placement_decide(&c, &defaults, d);
	ok(n == 2 && says(d[0], PLACEMENT_EVICT, PLACEMENT_DRAINING) && d[0].holder == 1 &&
	   says(d[1], PLACEMENT_EVICT, PLACEMENT_DEAD) && d[1].holder == 0,
	   "nodes that are lost are left, by name; no refill yet");
	h[1].pinned = true;
	n = placement_decide(&c, &defaults, d);
	ok(n == 1 && d[0].holder == 0, "a pinned one keeps its place");
	h[0].pinned = true;
	ok(says(last(&c, &defaults), PLACEMENT_REFILL, PLACEMENT_SHORT), "and does not count");
	h[0].pinned = h[1].pinned = false;
	c.eligible = 0;
	c.alternative_node = NULL;
	ok(says(last(&c, &defaults), PLACEMENT_STAY, PLACEMENT_NO_NODE), "where there is no other node it stays and waits");
	h[0].lost = PLACEMENT_NOT_CANDIDATE;
	ok(says(last(&c, &defaults), PLACEMENT_EVICT, PLACEMENT_NOT_CANDIDATE), "but on a node that it must not be on");

	h[0] = holder("c", 0.9);
	h[1] = holder("a", 0.9);
	h[0].since = 5;
	h[1].since = 9;
	h[2].since = 9;
	c.desired = 1;
	n = placement_decide(&c, &defaults, d);
	ok(n == 2 && says(d[0], PLACEMENT_EVICT, PLACEMENT_SURPLUS) && d[0].holder == 2 && d[1].holder == 1,
	   "surplus: the newest first, then by name");
	h[2].pinned = h[1].pinned = true;
	n = placement_decide(&c, &defaults, d);
	ok(n == 1 && d[0].holder == 0, "surplus: not the pinned ones");
	c.desired = 0;
	h[2].pinned = h[1].pinned = false;
	ok(placement_decide(&c, &defaults, d) == 3, "none is desired: all go");
	c.nholders = 0;
	ok(says(last(&c, &defaults), PLACEMENT_STAY, PLACEMENT_ANYWHERE), "none is desired, none is there");

	c = chain(h, 0, 1, "d", 0.1);
	ok(says(last(&c, &defaults), PLACEMENT_REFILL, PLACEMENT_SHORT), "refilled whatever the score");
	c.alternative.opinion = PLACEMENT_NONE;
	ok(says(last(&c, &defaults), PLACEMENT_REFILL, PLACEMENT_SHORT), "or without one");
	c.alternative_node = NULL;
	ok(says(last(&c, &defaults), PLACEMENT_STAY, PLACEMENT_NO_NODE), "the scorer names none");
	c.alternative.opinion = PLACEMENT_NOT_ASKED;
	ok(last(&c, &defaults).act == PLACEMENT_ASK_ALTERNATIVE, "the alternative is asked for");

	h[0] = holder("a", 0.9);
	h[1] = holder("b", 0.9);
	h[0].evicting = true;
	h[0].running = 3;
	c = chain(h, 2, 1, "d", 0.9);
	n = placement_decide(&c, &defaults, d);
	ok(n == 1 && says(d[0], PLACEMENT_STAY, PLACEMENT_EVICTING) && d[0].due == c.now + defaults.interval,
	   "jobs finish where it was");
	h[0].running = 0;
	n = placement_decide(&c, &defaults, d);
	ok(n == 2 && d[0].act == PLACEMENT_FINISH && d[0].holder == 0 && says(d[1], PLACEMENT_STAY, PLACEMENT_GOOD),
	   "and have finished");
	h[0].running = 3;
	h[0].lost = PLACEMENT_DEAD;
	ok(placement_decide(&c, &defaults, d) == 2 && d[0].act == PLACEMENT_FINISH, "or will not, there");
	c.nholders = 1;
	h[0].lost = PLACEMENT_WHY_NONE;
	ok(says(last(&c, &defaults), PLACEMENT_REFILL, PLACEMENT_SHORT), "evicted, and the refill taken up again");
}

static void
test_ties(void)
{
	PlacementHolder h[3] = {holder("b", 0.1), holder("a", 0.1), holder("c", 0.1)};
	PlacementChain c = chain(h, 3, 3, "d", 0.9);
	PlacementHolder swap;

	ok(last(&c, &defaults).holder == 1, "of equals the first by name");
	swap = h[0];
	h[0] = h[1];
	h[1] = swap;
	ok(last(&c, &defaults).holder == 0, "in whatever order they are given");
	h[2].score.value = h[2].live.value = 0.05;
	ok(last(&c, &defaults).holder == 2, "of others the worst");
	h[2].pinned = true;
	ok(last(&c, &defaults).holder == 0, "that is not pinned");
	h[0].score.opinion = PLACEMENT_NONE;
	ok(last(&c, &defaults).holder == 1, "and of which there is an opinion");
}

/* ---------- random worlds ---------- */

#define NODES 6

typedef struct World
{
	double		score[NODES];	/* negative: no opinion */
	bool		dead[NODES];
	bool		drained[NODES];
	int			at[NODES];		/* 0 not here, 1 holding, 2 evicting */
	int			running[NODES];
	int64_t		since[NODES];
	int			desired;
	int64_t		now;
	int64_t		last_move;
	int			moves;			/* that scores decided */
	int			acts;
} World;

static const char *const names[NODES] = {"a", "b", "c", "d", "e", "f"};

/* The chain as it is; scores are known at once. `order` turns the list of holders. */
static PlacementChain
look(const World *w, PlacementHolder *h, int order)
{
	PlacementChain c = {.desired = w->desired, .holders = h, .now = w->now, .last_move = w->last_move};

	for (int k = 0; k < NODES; k++)
	{
		int			i = (k + order) % NODES;

		if (w->at[i] != 0)
		{
			h[c.nholders] = holder(names[i], w->score[i]);
			h[c.nholders].evicting = w->at[i] == 2;
			h[c.nholders].running = w->running[i];
			h[c.nholders].since = w->since[i];
			h[c.nholders++].lost = w->dead[i] ? PLACEMENT_DEAD :
				w->drained[i] ? PLACEMENT_DRAINING : PLACEMENT_WHY_NONE;
		}
	}
	for (int i = 0; i < NODES; i++)
		if (w->at[i] == 0 && !w->dead[i] && !w->drained[i])
		{
			c.eligible++;
			if (c.alternative_node == NULL || w->score[i] > c.alternative.value)
			{
				c.alternative_node = names[i];
				c.alternative.value = w->score[i];
				c.alternative.opinion = w->score[i] < 0 ? PLACEMENT_NONE : PLACEMENT_SCORED;
			}
		}
	return c;
}

/* One round of the loop; false when there was nothing to do. */
static bool
round_of(World *w, bool *same)
{
	PlacementHolder h[NODES];
	PlacementHolder turned[NODES];
	PlacementDecision d[NODES + 1];
	PlacementDecision e[NODES + 1];
	PlacementChain c = look(w, h, 0);
	PlacementChain t = look(w, turned, rand() % NODES);
	int			n = placement_decide(&c, &defaults, d);
	bool		acted = false;

	*same &= n == placement_decide(&t, &defaults, e);
	for (int i = 0; i < n; i++)
	{
		int			at = d[i].holder >= 0 ? h[d[i].holder].node[0] - 'a' : -1;

		*same &= d[i].act == e[i].act && d[i].why == e[i].why && d[i].due == e[i].due &&
			(d[i].act == PLACEMENT_STAY || (at < 0) == (e[i].holder < 0)) &&
			(at < 0 || strcmp(h[d[i].holder].node, turned[e[i].holder].node) == 0);
		if (d[i].act == PLACEMENT_STAY)
			continue;
		acted = true;
		w->acts++;
		if (d[i].act == PLACEMENT_FINISH)
			w->at[at] = 0;
		else if (d[i].act == PLACEMENT_EVICT)
		{
			w->at[at] = 2;
			w->last_move = w->now;
			w->moves += d[i].why == PLACEMENT_SCORE;
		}
		else if (d[i].act == PLACEMENT_REFILL)
		{
			at = d[i].node[0] - 'a';
			w->at[at] = 1;
			w->since[at] = w->now;
			w->last_move = w->now;
		}
		else
			*same = false;		/* everything is known */
	}
	return acted;
}

static int
live(const World *w, int *eligible)
{
	int			n = 0;

	*eligible = 0;
	for (int i = 0; i < NODES; i++)
		if (!w->dead[i] && !w->drained[i])
		{
			n += w->at[i] == 1;
			*eligible += w->at[i] != 2;
		}
	return n;
}

static void
test_worlds(void)
{
	bool		rests = true;
	bool		same = true;
	bool		filled = true;
	bool		bounded = true;
	bool		still = true;

	srand(7);
	for (int run = 0; run < 3000; run++)
	{
		World		w = {.desired = rand() % 4, .now = 1000 * MINUTE};
		int			changes = rand() % 40;
		int			eligible;
		int			before;
		int			quiet = 0;

		for (int i = 0; i < NODES; i++)
			w.score[i] = (rand() % 101) / 100.0;
		for (int k = 0; k < changes; k++)
		{
			int			i = rand() % NODES;

			switch (rand() % 6)
			{
				case 0:
					w.dead[i] = !w.dead[i];
					break;
				case 1:
					w.drained[i] = !w.drained[i];
					break;
				case 2:
					w.desired = rand() % 4;
					break;
				default:
					w.score[i] = rand() % 8 == 0 ? -1 : (rand() % 101) / 100.0;
			}
			(void) round_of(&w, &same);
			w.now += 30 * SECOND;
		}
		/* no more changes: jobs finish, and the chain comes to rest */
		before = w.moves;
		memset(w.running, 0, sizeof(w.running));
		for (int k = 0; k < 1000 && quiet < 20; k++)
		{
			quiet = round_of(&w, &same) ? 0 : quiet + 1;
			w.now += 30 * SECOND;
		}
		rests &= quiet == 20;
		/* each of them gains the gap at least, for one of at most 3 holders */
		bounded &= w.moves - before <= 3 * 5;
		filled &= live(&w, &eligible) == (w.desired < eligible ? w.desired : eligible);
		w.now += 1000 * MINUTE;
		for (int k = 0; k < 5; k++)
			still &= !round_of(&w, &same);
	}
	ok(rests, "whatever happened before, it comes to rest");
	ok(bounded, "after at most 1 / gap moves for each holder");
	ok(filled, "with as many live holders as desired, or as there are nodes");
	ok(still, "and a cooldown that ends wakes nothing");
	ok(same, "the same decisions in the same order, in whatever order the holders are given");
}

static void
test_swings(void)
{
	World		w = {.desired = 1, .now = 1000 * MINUTE};
	bool		same = true;
	int			rounds = 10000;

	srand(11);
	w.at[0] = 1;
	for (int k = 0; k < rounds; k++)
	{
		for (int i = 0; i < NODES; i++)
			w.score[i] = 0.5 + (rand() % 19 - 9) / 100.0;	/* 0.41 ... 0.59 */
		(void) round_of(&w, &same);
		w.now += 30 * SECOND;
	}
	ok(w.acts == 0, "scores that swing around the floor by less than the gap move nothing");

	for (int k = 0; k < rounds; k++)
	{
		for (int i = 0; i < NODES; i++)
			w.score[i] = (rand() % 101) / 100.0;
		(void) round_of(&w, &same);
		(void) round_of(&w, &same);
		(void) round_of(&w, &same);
		w.now += 30 * SECOND;
	}
	ok(w.moves > 10 && w.moves <= rounds / 10 + 1, "however they swing, one move in a cooldown");

	w.desired = 3;
	w.moves = 0;
	for (int k = 0; k < rounds; k++)
	{
		int			bad = k % 2;

		for (int i = 0; i < NODES; i++)
			w.score[i] = i % 2 == bad ? 0.0 : 1.0;
		(void) round_of(&w, &same);
		w.now += 30 * SECOND;
	}
	ok(w.moves <= rounds / 10 + 1, "of several holders too");
	ok(same, "all of it determined");
}

static void
test_history(void)
{
	float		up[10],
				down[10],
				flat[10],
				spike[10];

	for (int i = 0; i < 10; i++)
	{
		up[i] = 0.1f * i;
		down[i] = 1 - up[i];
		flat[i] = 0.5f + (i % 2) * 0.04f;
		spike[i] = i == 1 ? 1 : 0.5f;
	}
	ok(placement_trend(up, 10) == PLACEMENT_IMPROVING && placement_trend(down, 10) == PLACEMENT_DEGRADING, "trends");
	ok(placement_trend(flat, 10) == PLACEMENT_STABLE, "noise is none");
	ok(placement_trend(spike, 10) == PLACEMENT_STABLE, "nor what is long past");
	ok(placement_trend(down, 3) == PLACEMENT_STABLE, "nor three samples");
	ok(placement_trend(down, 5) == PLACEMENT_DEGRADING, "five are enough");
	ok(fabs(placement_mean(up, 10) - 0.45) < 1e-6 && placement_mean(up, 0) == 0, "mean");
	ok(placement_moved(0.5, 0.6) && placement_moved(0.6, 0.5) && !placement_moved(0.5, 0.51), "a score that moved");
	ok(strcmp(PlacementWhyNames[PLACEMENT_NO_NODE], "waiting_for_node") == 0 &&
	   strcmp(PlacementWhyNames[PLACEMENT_SHORT], "short") == 0, "words");
}

int
main(void)
{
	test_tables();
	test_gates();
	test_repairs();
	test_ties();
	test_worlds();
	test_swings();
	test_history();
	return done_testing();
}
