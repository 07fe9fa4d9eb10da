/*
 * victim.c
 *		Who is to make room: the order of candidates.
 *
 * The lowest class first.  Then the workspace that holds most of the resource
 * by its weight: fair shares are weights over the same sum, so the one furthest
 * above its share is the one with the largest held / weight.  What is chosen
 * counts as given back, so that a workspace only a little above the others does
 * not lose all it has.  Then the job that loses the least work.  Jobs that are
 * alike in all of that are taken by their number: the youngest first.
 */
#include "victim.h"

static int
compare(double a, double b)
{
	return a < b ? -1 : a > b;
}

/* Does x make room before y? */
static bool
before(const Victim *x, const Victim *y, const VictimOwner *owners, VictimOrder order)
{
	int			by_share = compare(owners[y->owner].held / owners[y->owner].weight,
								   owners[x->owner].held / owners[x->owner].weight);
	int			by_loss = compare((double) x->lost, (double) y->lost);

	if (x->cls != y->cls)
		return x->cls > y->cls;
	if (order == VICTIM_BY_LOSS && by_loss != 0)
		return by_loss < 0;
	if (by_share != 0)
		return by_share < 0;
	if (by_loss != 0)
		return by_loss < 0;
	return x->job_id > y->job_id;
}

/* victim_next: who makes room next, of those that are not chosen; -1: nobody is left. O(n). */
int
victim_next(const Victim *v, int n, const VictimOwner *owners, VictimOrder order)
{
	int			best = -1;

	for (int i = 0; i < n; i++)
		if (!v[i].chosen && (best < 0 || before(&v[i], &v[best], owners, order)))
			best = i;
	return best;
}

/* victim_choose: it is asked; what it holds is as good as given back. */
void
victim_choose(Victim *v, VictimOwner *owners)
{
	v->chosen = true;
	owners[v->owner].held -= v->amount;
}

/* victim_enough: do all candidates together hold so much? */
bool
victim_enough(const Victim *v, int n, int64_t need)
{
	for (int i = 0; i < n && need > 0; i++)
		if (!v[i].chosen)
			need -= v[i].amount;
	return need <= 0;
}
