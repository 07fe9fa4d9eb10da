/*
 * test_drr.c
 *		Deficit Round Robin in closed form against the textbook's list, side by
 *		side on the same random work.  Prints TAP.
 *
 * The ring is used as ring.c uses it: drr_key() orders shares in a ringheap,
 * its minimum is served.  The oracle walks a list in rounds and adds one
 * quantum a visit.  Who joins is visited once before the next round begins;
 * who comes back in the round it was visited in gets no second quantum.
 */
#include "../../src/drr.h"
#include "../../src/ringheap.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SHARES 24
#define QUEUE 64

/* ---------- the work: one queue of costs for each share ---------- */

typedef struct Queue
{
	int			cost[QUEUE];
	int			first;
	int			count;
	bool		parked;
} Queue;

static int	nshares;
static Queue queues[MAX_SHARES];
static int	quanta[MAX_SHARES];
static int	max_cost;

static int
head_cost(int i)
{
	return queues[i].cost[queues[i].first];
}

static bool
ready(int i)
{
	return queues[i].count > 0 && !queues[i].parked;
}

static void
push(int i, int cost)
{
	Queue	   *q = &queues[i];

	q->cost[(q->first + q->count++) % QUEUE] = cost;
}

static void
pop(int i)
{
	queues[i].first = (queues[i].first + 1) % QUEUE;
	queues[i].count--;
}

static int
some_cost(void)
{
	switch (rnd(10))
	{
		case 0:
			return max_cost;
		case 1:
		case 2:
			return 1 + rnd(max_cost);
		default:
			return 1 + rnd(max_cost < 8 ? max_cost : 8);
	}
}

/* ---------- the oracle: the textbook's list ---------- */

#define MARK (-1)				/* stands in the list where the round ends */

static struct
{
	int64_t		deficit;
	uint64_t	visited;		/* last round it got its quantum in */
	uint64_t	served;			/* last round it was served in */
	uint64_t	left;			/* round up to which its debt is paid, when away */
	bool		listed;
}			book[MAX_SHARES];
static int	list[MAX_SHARES + 2];
static int	listed;
static uint64_t book_round;
static uint64_t quanta_given;

static void
list_insert(int at, int what)
{
	memmove(&list[at + 1], &list[at], sizeof(list[0]) * (listed - at));
	list[at] = what;
	listed++;
}

static void
list_delete(int at)
{
	listed--;
	memmove(&list[at], &list[at + 1], sizeof(list[0]) * (listed - at));
}

static int
list_find(int what)
{
	for (int i = 0; i < listed; i++)
		if (list[i] == what)
			return i;
	return -1;
}

static void
book_start(void)
{
	memset(book, 0, sizeof(book));
	list[0] = MARK;
	listed = 1;
	book_round = 1;
	quanta_given = 0;
}

static void
book_join(int i)
{
	if (!book[i].listed)
	{
		/* every round it was away for paid a quantum of its debt */
		for (uint64_t r = book[i].left + 1; r < book_round && book[i].deficit < 0; r++)
		{
			book[i].deficit += quanta[i];
			if (book[i].deficit > 0)
				book[i].deficit = 0;
		}
		list_insert(list_find(MARK), i);
		book[i].listed = true;
	}
}

static void
book_leave(int i, bool emptied)
{
	if (!book[i].listed)
		return;
	/* a quantum of this round that it could not use waits for it */
	if (book[i].visited == book_round && book[i].served != book_round)
	{
		book[i].deficit -= quanta[i];
		book[i].visited = book_round - 1;
	}
	list_delete(list_find(i));
	book[i].listed = false;
	book[i].left = book[i].visited >= book_round ? book_round : book_round - 1;
	if (emptied && book[i].deficit > 0)
		book[i].deficit = 0;
}

/* Who is served next; -1 when the list is empty. */
static int
book_next(void)
{
	if (listed == 1)
		return -1;
	for (;;)
	{
		int			i = list[0];

		if (i == MARK)
		{
			book_round++;
			list_delete(0);
			list_insert(listed, MARK);
			continue;
		}
		if (book[i].visited < book_round)
		{
			book[i].deficit += quanta[i];
			book[i].visited = book_round;
			quanta_given++;
		}
		if (head_cost(i) <= book[i].deficit)
		{
			book[i].served = book_round;
			return i;
		}
		list_delete(0);
		list_insert(listed, i);
	}
}

/* ---------- the closed form, as ring.c and pick.c use it ---------- */

static DrrShare shares[MAX_SHARES];
static RingNode nodes[MAX_SHARES];
static int32_t root;
static uint64_t ring_round;
static uint64_t stamps;
static uint64_t ring_steps;

static void
ring_start(void)
{
	memset(shares, 0, sizeof(shares));
	memset(nodes, 0, sizeof(nodes));
	for (int i = 0; i < nshares; i++)
		shares[i].quantum = quanta[i];
	root = RINGHEAP_NONE;
	ring_round = 1;
	stamps = 0;
	ring_steps = 0;
}

static void
ring_settle(int i)
{
	if (nodes[i].linked && shares[i].round + 1 < ring_round && nodes[i].round >= ring_round)
		drr_grant_until(&shares[i], ring_round - 1);
}

static void
ring_leave(int i, bool emptied)
{
	ring_settle(i);
	ringheap_remove(nodes, &root, i);
	if (emptied)
		drr_empty(&shares[i]);
}

static void
ring_place(int i, bool emptied)
{
	if (nodes[i].linked && !ready(i))
		ring_leave(i, emptied);
	else if (ready(i))
	{
		if (!nodes[i].linked)
		{
			drr_join(&shares[i], ring_round);
			drr_resume(&shares[i], ring_round, head_cost(i));
			nodes[i].stamp = ++stamps;
		}
		else
		{
			ring_settle(i);
			ringheap_remove(nodes, &root, i);
		}
		nodes[i].round = drr_key(&shares[i], head_cost(i));
		if (nodes[i].round < ring_round)
			nodes[i].round = ring_round;	/* some of its last visit is left */
		ringheap_insert(nodes, &root, i);
	}
}

static int
ring_next(void)
{
	ring_steps++;
	return root;
}

static void
ring_serve(int i, int cost)
{
	drr_grant_until(&shares[i], nodes[i].round);
	ring_round = nodes[i].round;
	drr_charge(&shares[i], cost);
}

/* ---------- both at once ---------- */

static int64_t served[MAX_SHARES];
static double high[MAX_SHARES][MAX_SHARES];
static double low[MAX_SHARES][MAX_SHARES];
static bool together[MAX_SHARES][MAX_SHARES];
static double worst;
static int	qmin;

/* S_i / f_i - S_j / f_j, its range over every stretch in which both are admissible. */
static void
note_bound(void)
{
	double		bound = qmin + 2.0 * max_cost;

	for (int i = 0; i < nshares; i++)
		for (int j = i + 1; j < nshares; j++)
		{
			double		d;

			if (!ready(i) || !ready(j))
			{
				together[i][j] = false;
				continue;
			}
			d = served[i] * (double) qmin / quanta[i] - served[j] * (double) qmin / quanta[j];
			if (!together[i][j])
			{
				together[i][j] = true;
				high[i][j] = low[i][j] = d;
			}
			if (d > high[i][j])
				high[i][j] = d;
			if (d < low[i][j])
				low[i][j] = d;
			if ((high[i][j] - low[i][j]) / bound > worst)
				worst = (high[i][j] - low[i][j]) / bound;
		}
}

static void
changed(int i, bool was)
{
	bool		emptied = queues[i].count == 0;

	ring_place(i, emptied);
	if (was && !ready(i))
		book_leave(i, emptied);
	else if (!was && ready(i))
		book_join(i);
}

/*
 * One random run; false when the two disagree.  kinds: 1 queues that empty and
 * fill, 2 parking, 4 urgent work charged out of turn, 8 claims rolled back.
 */
static bool
run(int n, int biggest, int kinds, int steps)
{
	nshares = n;
	max_cost = biggest;
	memset(queues, 0, sizeof(queues));
	memset(served, 0, sizeof(served));
	memset(together, 0, sizeof(together));
	qmin = 1000000;
	for (int i = 0; i < n; i++)
	{
		static const int tiers[] = {20, 24, 40, 80};

		quanta[i] = rnd(4) == 0 ? 1 + (int) rnd(100) : tiers[rnd(4)];
		if (quanta[i] < qmin)
			qmin = quanta[i];
	}
	book_start();
	ring_start();
	for (int i = 0; i < n; i++)
	{
		int			jobs = (kinds & 1) ? rnd(4) : 8;

		for (int k = 0; k < jobs; k++)
			push(i, some_cost());
		changed(i, false);
	}
	for (int step = 0; step < steps; step++)
	{
		int			i = rnd(n);
		bool		was = ready(i);
		int			next;
		int			cost;

		if ((kinds & 1) && rnd(3) == 0 && queues[i].count < QUEUE)
		{
			push(i, some_cost());
			changed(i, was);
		}
		i = rnd(n);
		was = ready(i);
		/* parked between two visits */
		if ((kinds & 2) && rnd(3) == 0 && queues[i].count > 0 && book[i].deficit < head_cost(i))
		{
			queues[i].parked = !queues[i].parked;
			changed(i, was);
		}
		i = rnd(n);
		if ((kinds & 4) && rnd(20) == 0 && ready(i))
		{
			/* urgent: at most one quantum into debt */
			cost = 1 + rnd(10);
			ring_settle(i);
			if (shares[i].deficit - cost >= -quanta[i])
			{
				drr_charge(&shares[i], cost);
				book[i].deficit -= cost;
				ring_place(i, false);
			}
		}
		note_bound();

		next = book_next();
		if (next != ring_next())
		{
			printf("# step %d: the list serves %d, the ring %d\n", step, next, (int) root);
			return false;
		}
		if (next < 0)
			continue;
		cost = head_cost(next);
		ring_serve(next, cost);
		book[next].deficit -= cost;
		served[next] += cost;
		if (shares[next].deficit != book[next].deficit || ring_round != book_round)
		{
			printf("# step %d: share %d has %lld in round %llu, in the list %lld in round %llu\n", step, next,
				   (long long) shares[next].deficit, (unsigned long long) ring_round,
				   (long long) book[next].deficit, (unsigned long long) book_round);
			return false;
		}
		if ((kinds & 8) && queues[next].count > 1 && rnd(5) == 0)
		{
			/* the claim was rolled back: as if it had not been */
			(void) drr_refund(&shares[next], cost, cost);
			book[next].deficit += cost;
			served[next] -= cost;
			ring_place(next, false);
			if (ring_next() != next)
			{
				printf("# step %d: share %d was rolled back, the ring serves %d\n", step, next, (int) root);
				return false;
			}
			continue;
		}
		pop(next);
		if (!(kinds & 1))
			push(next, some_cost());
		changed(next, true);
		note_bound();
	}
	return true;
}

static bool
runs(int biggest, int kinds)
{
	for (int r = 0; r < 60; r++)
		if (!run(1 + rnd(MAX_SHARES), biggest, kinds, 3000))
			return false;
	return true;
}

/* Of shares that are all backlogged: the widest |Si/fi - Sj/fj| so far as a part of the bound, `most` up to now. */
static double
widest(int n, double bound, double most)
{
	for (int a = 0; a < n; a++)
		for (int b = a + 1; b < n; b++)
		{
			double		d = served[a] * (double) qmin / quanta[a] - served[b] * (double) qmin / quanta[b];

			if (d > high[a][b])
				high[a][b] = d;
			if (d < low[a][b])
				low[a][b] = d;
			if ((high[a][b] - low[a][b]) / bound > most)
				most = (high[a][b] - low[a][b]) / bound;
		}
	return most;
}

/* ---------- urgent work, as ring.c and pick.c serve it ---------- */

static int64_t urgent_left[MAX_SHARES]; /* urgent jobs of a share, cost 1 + i % 3 */
static RingNode urgent_nodes[MAX_SHARES];
static int32_t urgent_root;

static int
urgent_cost(int i)
{
	return 1 + i % 3;
}

static int
next_cost(int i)
{
	return urgent_left[i] > 0 ? urgent_cost(i) : head_cost(i);
}

static void
urgent_place(int i, bool behind)
{
	uint64_t	key = drr_jump_round(&shares[i], urgent_cost(i));

	if (urgent_nodes[i].linked)
		ringheap_remove(urgent_nodes, &urgent_root, i);
	if (urgent_left[i] == 0)
		return;
	if (behind || urgent_nodes[i].stamp == 0)
		urgent_nodes[i].stamp = ++stamps;
	urgent_nodes[i].round = key;
	ringheap_insert(urgent_nodes, &urgent_root, i);
}

static void
rejoin(int i)
{
	if (nodes[i].linked)
	{
		ring_settle(i);
		ringheap_remove(nodes, &root, i);
	}
	nodes[i].round = drr_key(&shares[i], next_cost(i));
	ringheap_insert(nodes, &root, i);
	urgent_place(i, false);
}

/*
 * All shares are backlogged; some also have urgent work, some nothing but.
 * Returns the widest |Si/fi - Sj/fj| as a part of 3 Qmin + 2 Max; *jumps and
 * *late count urgent jobs served before their turn, and at it.
 */
static double
run_urgent(int n, int steps, int *jumps, int *late)
{
	double		most = 0;
	double		bound;
	int			biggest = 0;
	int			cost_of[MAX_SHARES];

	nshares = n;
	qmin = 1000000;
	memset(queues, 0, sizeof(queues));
	memset(served, 0, sizeof(served));
	memset(urgent_left, 0, sizeof(urgent_left));
	memset(urgent_nodes, 0, sizeof(urgent_nodes));
	memset(high, 0, sizeof(high));
	memset(low, 0, sizeof(low));
	urgent_root = RINGHEAP_NONE;
	for (int i = 0; i < n; i++)
	{
		quanta[i] = 5 + rnd(40);
		if (quanta[i] < qmin)
			qmin = quanta[i];
		cost_of[i] = 1 + rnd(30);
		if (cost_of[i] > biggest)
			biggest = cost_of[i];
	}
	if (biggest < 3)
		biggest = 3;
	ring_start();
	for (int i = 0; i < n; i++)
	{
		push(i, cost_of[i]);
		if (i % 3 == 0)
			urgent_left[i] = INT64_C(1) << 40;	/* marks everything urgent */
		nodes[i].stamp = ++stamps;
		rejoin(i);
	}
	bound = 3.0 * qmin + 2.0 * biggest;
	for (int step = 0; step < steps; step++)
	{
		int			i = rnd(n);
		int			cost;

		if (i % 3 == 1 && rnd(10) == 0)
		{
			urgent_left[i]++;	/* now and then */
			rejoin(i);
		}
		if (urgent_root != RINGHEAP_NONE && urgent_nodes[urgent_root].round <= ring_round)
		{
			i = urgent_root;
			ring_settle(i);
			drr_join(&shares[i], ring_round);
			cost = urgent_cost(i);
			if (!drr_may_jump(&shares[i], cost))
				return 1e9;		/* nobody else changed it: the key was right */
			drr_charge(&shares[i], cost);
			if (shares[i].deficit < -quanta[i])
				return 1e9;
			urgent_left[i]--;
			urgent_place(i, true);
			(*jumps)++;
		}
		else
		{
			i = root;
			cost = next_cost(i);
			if (urgent_left[i] > 0)
			{
				urgent_left[i]--;
				(*late)++;
			}
			ring_serve(i, cost);
		}
		rejoin(i);
		served[i] += cost;
		most = widest(n, bound, most);
	}
	return most;
}

/* ---------- claims rolled back when others were served since, as pick.c refunds them ---------- */

#define OPEN 64

/*
 * All shares are backlogged; one claim in `every` of share 0 is rolled back up to
 * OPEN services later, `bunch` at once.  Returns the widest |Si/fi - Sj/fj| over
 * intervals without a refund as a part of 2 Qmin + 3 Max, as a visit or a job may
 * come back that others went past; *net is what share 0 got, without what was
 * rolled back, as a part of what the others got.
 */
static double
run_late_refunds(int n, int biggest, int every, int bunch, int steps, double *net)
{
	struct
	{
		int			cost;
		int			at;			/* step in which it is rolled back; 0: none */
	}			open[OPEN] = {{0}};
	double		most = 0;
	double		others = 0;
	int			waits = 0;
	uint64_t	joined = 0;		/* round in which share 0 was refunded last */

	nshares = n;
	qmin = 20;
	memset(queues, 0, sizeof(queues));
	memset(served, 0, sizeof(served));
	memset(high, 0, sizeof(high));
	memset(low, 0, sizeof(low));
	for (int i = 0; i < n; i++)
		quanta[i] = 20 << rnd(3);
	ring_start();
	for (int i = 0; i < n; i++)
	{
		push(i, 1 + (int) rnd(biggest));
		ring_place(i, false);
	}
	for (int step = 1; step <= steps; step++)
	{
		int			i = ring_next();
		int			cost = head_cost(i);
		bool		refunded = false;

		if (nodes[i].round < ring_round)
		{
			drr_join(&shares[i], ring_round);
			if (i != 0 || joined != ring_round)
				drr_resume(&shares[i], ring_round, cost);
		}
		drr_grant_until(&shares[i], drr_key(&shares[i], cost));
		if (nodes[i].round > ring_round)
			ring_round = nodes[i].round;
		drr_charge(&shares[i], cost);
		served[i] += cost;
		if (i == 0 && rnd(every) == 0)
			waits = bunch;
		if (i == 0 && waits > 0)
			for (int k = 0; k < OPEN; k++)
				if (open[k].at == 0)
				{
					open[k].cost = cost;
					open[k].at = step / OPEN * OPEN + OPEN;
					waits--;
					break;
				}
		pop(i);
		push(i, 1 + (int) rnd(biggest));
		ring_place(i, false);
		most = widest(n, 2.0 * qmin + 3.0 * biggest, most);
		for (int k = 0; k < OPEN; k++)
			if (open[k].at != 0 && (bunch > 1 ? open[k].at <= step : rnd(OPEN) == 0))
			{
				ring_settle(0);
				drr_join(&shares[0], ring_round);
				joined = ring_round;
				(void) drr_refund(&shares[0], open[k].cost, head_cost(0));
				if (drr_key(&shares[0], head_cost(0)) < nodes[0].round)
				{
					ringheap_remove(nodes, &root, 0);
					nodes[0].round = drr_key(&shares[0], head_cost(0));
					ringheap_insert(nodes, &root, 0);
				}
				served[0] -= open[k].cost;
				open[k].at = 0;
				refunded = true;
			}
		if (refunded)
			for (int b = 1; b < n; b++)
				high[0][b] = low[0][b] = served[0] * (double) qmin / quanta[0] - served[b] * (double) qmin / quanta[b];
	}
	for (int i = 1; i < n; i++)
		others += served[i] / (double) quanta[i] / (n - 1);
	*net = served[0] / (double) quanta[0] / others;
	return most;
}

int
main(void)
{
	DrrShare	s = {.quantum = 20};
	DrrShare	before;
	bool		right;

	/* single steps */
	ok(drr_rounds_needed(&s, 1) == 1 && drr_rounds_needed(&s, 20) == 1, "a first visit pays for up to one quantum");
	ok(drr_rounds_needed(&s, 21) == 2 && drr_rounds_needed(&s, 40) == 2, "21 to 40 need two");
	s.deficit = 5;
	ok(drr_rounds_needed(&s, 5) == 0 && drr_rounds_needed(&s, 6) == 1 && drr_rounds_needed(&s, 25) == 1,
	   "what is left counts");
	s.deficit = -20;
	ok(drr_rounds_needed(&s, 1) == 2, "a debt is paid first");
	s = (DrrShare) {.quantum = 20,.deficit = 5,.round = 10};
	ok(drr_key(&s, 5) == 10 && drr_key(&s, 6) == 11 && drr_key(&s, 46) == 13, "the round a head is served in");
	before = s;
	ok(drr_key(&s, 1000) == 10 + 50 && memcmp(&s, &before, sizeof(s)) == 0, "computing it changes nothing");
	drr_grant_until(&s, 13);
	ok(s.deficit == 65 && s.round == 13, "three rounds bring three quanta");
	drr_grant_until(&s, 13);
	drr_grant_until(&s, 7);
	ok(s.deficit == 65 && s.round == 13, "a round is granted once, and time does not go back");
	drr_charge(&s, 46);
	ok(s.deficit == 19, "cost is charged");
	ok(drr_refund(&s, 46, 46) == 0 && s.deficit == 65 && s.round == 13, "and refunded: as if it had not been");
	ok(drr_refund(&s, 1, 1) == 1 && s.deficit == 65, "what cannot have been of one visit is lost");
	s.deficit = 10;
	ok(drr_refund(&s, 30, 1) == 0 && s.deficit == 40 && drr_refund(&s, 30, 1) == 21 && s.deficit == 49, "or a part of it");
	s.deficit = 900;
	ok(drr_refund(&s, 30, 1000) == 0 && s.deficit == 930, "what is saved for a dear head stays");
	s.deficit = 0;
	{
		int64_t		lost = 0;

		for (int i = 0; i < 1000; i++)
			lost += drr_refund(&s, 1, 1);
		ok(s.deficit == 20 && lost == 980, "a large claim that is undone leaves a visit, not a hoard");
	}
	s.deficit = -15;
	ok(drr_refund(&s, 5, 1) == 0 && s.deficit == -10, "a debt is refunded in full");
	s.deficit = 5;
	drr_empty(&s);
	ok(s.deficit == 0, "a queue that empties loses what it did not use");
	s.deficit = -7;
	drr_empty(&s);
	ok(s.deficit == -7, "but not its debt");

	/* joins */
	s = (DrrShare) {.quantum = 20,.round = 3};
	drr_join(&s, 100);
	ok(s.deficit == 0 && s.round == 99, "rounds of absence bring nothing, and it is visited in this round");
	drr_join(&s, 100);
	ok(s.deficit == 0 && s.round == 99, "twice is once");
	s = (DrrShare) {.quantum = 20,.round = 100};
	drr_join(&s, 100);
	ok(s.deficit == 0 && s.round == 100, "no second quantum in the round it was visited in");
	s = (DrrShare) {.quantum = 20,.round = 98,.deficit = 17};
	drr_join(&s, 100);
	drr_resume(&s, 100, 5);
	ok(s.deficit == 20 && s.round == 100, "who was taken away in the middle of a visit has one of this round, and no more");
	s = (DrrShare) {.quantum = 20,.round = 98,.deficit = 17};
	drr_join(&s, 100);
	drr_resume(&s, 100, 18);
	ok(s.deficit == 17 && s.round == 99, "what is left of one that ended counts");
	s = (DrrShare) {.quantum = 20,.round = 100,.deficit = 17};
	drr_join(&s, 100);
	drr_resume(&s, 100, 5);
	ok(s.deficit == 17, "and all of it in the same round");
	s = (DrrShare) {.quantum = 20,.round = 3,.deficit = 13};
	drr_join(&s, 100);
	ok(s.deficit == 13 && s.round == 99, "a frozen deficit comes back as it was");
	s = (DrrShare) {.quantum = 20,.round = 3,.deficit = -50};
	drr_join(&s, 6);
	ok(s.deficit == -10 && s.round == 5, "rounds that passed pay a debt, one quantum each");
	s = (DrrShare) {.quantum = 20,.round = 3,.deficit = -50};
	drr_join(&s, 100);
	ok(s.deficit == 0 && s.round == 99, "and no more than the debt");
	s = (DrrShare) {.quantum = 20,.round = 3,.deficit = -40};
	drr_join(&s, 6);
	ok(s.deficit == 0 && s.round == 5, "exactly paid is zero");

	/* urgent work: one quantum into debt, and the rounds that pass pay it */
	s = (DrrShare) {.quantum = 20,.round = 10};
	ok(drr_may_jump(&s, 20) && !drr_may_jump(&s, 21), "urgent work may leave a debt of one quantum, no more");
	ok(drr_jump_round(&s, 20) == 0, "what fits may jump at once");
	ok(drr_jump_round(&s, 21) == 12 && drr_jump_round(&s, 40) == 12 && drr_jump_round(&s, 41) == 13,
	   "what does not waits until enough rounds have passed");
	drr_charge(&s, 20);
	ok(drr_jump_round(&s, 1) == 12, "the same for a share in debt");
	ok(drr_key(&s, 1) == 12, "whose turn in the ring comes in that round too");
	ok(drr_debt(&s, 11) == 20, "a debt outlives an empty queue");
	ok(drr_debt(&s, 12) == 0, "a round that passed pays one quantum of it");
	s.deficit = -19;
	drr_empty(&s);
	drr_join(&s, 12);
	ok(s.deficit == 0 && s.round == 11, "an odd debt is paid by a whole round");
	s = (DrrShare) {.quantum = 20,.round = 10,.deficit = -50};
	ok(drr_debt(&s, 12) == 30 && drr_debt(&s, 13) == 10 && drr_debt(&s, 14) == 0,
	   "each round pays one quantum");
	s = (DrrShare) {.quantum = 20,.round = 10};
	{
		uint64_t	round = 10;
		int			jumped = 0;

		/* one urgent job at a time, the queue empty in between */
		for (int k = 0; k < 1000; k++)
		{
			if (k % 10 == 9)
				round++;
			drr_join(&s, round);
			if (drr_may_jump(&s, 5))
			{
				drr_charge(&s, 5);
				jumped += 5;
			}
			drr_empty(&s);
		}
		ok(jumped <= (100 + 2) * 20 && jumped > 90 * 20, "one at a time, urgent work gets a quantum a round");
	}

	/* computed, not spun */
	s = (DrrShare) {.quantum = 1};
	ok(drr_key(&s, INT64_C(1) << 40) == UINT64_C(1) << 40, "a cost of 2^40 quanta is one division");
	drr_grant_until(&s, UINT64_C(1) << 40);
	ok(s.deficit == INT64_C(1) << 40, "and one multiplication");
	s = (DrrShare) {.quantum = 1,.deficit = -(INT64_C(1) << 40)};
	drr_join(&s, UINT64_C(1) << 50);
	ok(s.deficit == 0, "a debt of 2^40 quanta too");
	s = (DrrShare) {.quantum = 1000000};
	ok(drr_key(&s, 1000000000) == 1000, "the largest quantum and the largest cost");
	right = run(8, 1000000, 0, 400);
	ok(right && quanta_given > 1000 * ring_steps,
	   "costs of a million units: the list takes a thousand visits a job, the ring one look");

	/* side by side */
	worst = 0;
	ok(runs(10, 0), "order of the textbook: always backlogged, small costs");
	ok(runs(60, 0), "order of the textbook: costs around the quantum");
	ok(runs(2000, 0), "order of the textbook: costs of many quanta");
	printf("# worst |Si/fi - Sj/fj|: %.3f of Qmin + 2 Max\n", worst);
	ok(worst > 0.2 && worst <= 1, "|Si/fi - Sj/fj| <= Qmin + 2 Max over every interval, always backlogged");
	worst = 0;
	ok(runs(60, 1), "order of the textbook: queues that empty and fill");
	ok(runs(2000, 1), "the same with big costs");
	ok(runs(60, 3), "order of the textbook: parked and back");
	ok(runs(2000, 3), "the same with big costs");
	printf("# worst |Si/fi - Sj/fj|: %.3f of Qmin + 2 Max\n", worst);
	ok(worst > 0.2 && worst <= 1, "|Si/fi - Sj/fj| <= Qmin + 2 Max while both are admissible, with joins, empties and parking");
	ok(runs(60, 5), "order of the textbook: debts of urgent work");
	ok(runs(60, 9), "order of the textbook: claims rolled back");
	ok(runs(60, 15), "order of the textbook: all of it");

	/* claims rolled back later */
	{
		double		most = 0;
		double		least = 2;
		double		bunches = 2;
		double		net;

		for (int r = 0; r < 40; r++)
		{
			double		w = run_late_refunds(2 + rnd(20), 1 + rnd(30), 4, 1, 20000, &net);

			most = w > most ? w : most;
			least = net < least ? net : least;
			w = run_late_refunds(2 + rnd(20), 1, 40, 10, 20000, &net);
			most = w > most ? w : most;
			bunches = net < bunches ? net : bunches;
		}
		printf("# worst |Si/fi - Sj/fj|: %.3f of 2 Qmin + 3 Max; a share of whose claims a quarter is undone got %.3f of what is due; in bunches %.3f\n",
			   most, least, bunches);
		ok(most > 0.2 && most <= 1, "|Si/fi - Sj/fj| <= 2 Qmin + 3 Max over every interval after refunds");
		ok(least > 0.98, "claims undone one by one cost a share nothing");
		ok(bunches > 0.9, "ten at once little");
	}

	/* urgent work in a full ring */
	{
		double		most = 0;
		int			jumps = 0;
		int			late = 0;

		for (int r = 0; r < 60; r++)
		{
			double		w = run_urgent(2 + rnd(MAX_SHARES - 2), 4000, &jumps, &late);

			if (w > most)
				most = w;
		}
		printf("# worst |Si/fi - Sj/fj|: %.3f of 3 Qmin + 2 Max, %d jumps, %d at their turn\n", most, jumps, late);
		ok(most > 0.2 && most <= 1, "|Si/fi - Sj/fj| <= 3 Qmin + 2 Max with urgent work");
		ok(jumps > 10000 && late > 1000, "urgent jobs jumped, and those that would exceed the debt waited");
	}

	/* weights */
	nshares = 0;
	right = true;
	{
		static const int q[4] = {20, 24, 40, 80};

		nshares = 4;
		memset(queues, 0, sizeof(queues));
		memset(served, 0, sizeof(served));
		for (int i = 0; i < 4; i++)
			quanta[i] = q[i];
		ring_start();
		for (int i = 0; i < 4; i++)
		{
			push(i, 1);
			ring_place(i, false);
		}
		for (int k = 0; k < 164 * 50; k++)
		{
			int			i = ring_next();

			ring_serve(i, 1);
			served[i]++;
			ring_place(i, false);
		}
		for (int i = 0; i < 4; i++)
			right &= served[i] == 50 * q[i];
	}
	ok(right, "the four tiers share 50 rounds as 20 : 24 : 40 : 80");

	return done_testing();
}
