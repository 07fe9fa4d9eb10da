/*
 * recommend_view.c
 *		The capacity signal for who scales the workers: the view's rows, and words.
 */
#include "recommend_task.h"

#include "commands/trigger.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/rel.h"

#include "ledger.h"
#include "park.h"
#include "views.h"

PG_FUNCTION_INFO_V1(fs_view_capacity_recommendation);
PG_FUNCTION_INFO_V1(fs_signal_changed);

static const char *const reasons[] = {"idle", "dwell", "backlog", "at_quota", "budget_paused", "stepping", "pinned"};

static const char *
moment(int64 usec)
{
	return pstrdup(timestamptz_to_str(usec));
}

/* Why so many, in words: what makes it so first, then what bounds it. */
static char *
words(const FsRecommended *r)
{
	const FsSignal *s = &r->signal;
	const Recommendation *what = &r->result;
	StringInfoData buf;

	initStringInfo(&buf);
	if (what->reason == RECOMMEND_PINNED)
	{
		appendStringInfo(&buf, "pinned to %d %s", s->limits.pin,
						 s->limits.pin_until == DT_NOEND ? "until it is unpinned" :
						 psprintf("until %s", moment(s->limits.pin_until)));
		if (what->workers > s->limits.pin)
			appendStringInfo(&buf, "; %d workers hold jobs", s->input.busy);
		appendStringInfo(&buf, "; %d are wanted", what->wanted);
		return buf.data;
	}
	appendStringInfo(&buf, "%d wanted", what->wanted);
	if (s->service > 0)
		appendStringInfo(&buf, ": %.3g jobs a second arrive and take %.3g s each, %.3g of a worker's slots at a time",
						 r->arrival_rate, s->service, s->input.slots);
	if (s->ready > 0)
		appendStringInfo(&buf, "; " INT64_FORMAT " wait", s->ready);
	if (s->refused > 0)
		appendStringInfo(&buf, "; " INT64_FORMAT " more are held up (%s)", s->refused,
						 FsParkNames[s->refused_by]);
	if (s->limits.max_workers != RECOMMEND_NONE && what->wanted > s->limits.max_workers)
		appendStringInfo(&buf, "; max_workers is %d", s->limits.max_workers);
	if (what->wanted < s->limits.min_workers)
		appendStringInfo(&buf, "; min_workers is %d", s->limits.min_workers);
	if (what->workers < s->state.desired)
		appendStringInfo(&buf, "; %d above the present number at most", s->limits.step_up);
	else if (what->workers > s->state.desired)
		appendStringInfo(&buf, "; %d below the present number at most", s->limits.step_down);
	if (what->shrinks_at != 0 && what->workers > what->wanted)
		appendStringInfo(&buf, "; fewer not before %s", moment(what->shrinks_at));
	return buf.data;
}

/* fairsched.capacity_recommendation_internal() */
Datum
fs_view_capacity_recommendation(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FsDatabase *db;
	FsRecommended *all;
	int			n;

	fs_view_check("capacity_recommendation", NULL);
	InitMaterializedSRF(fcinfo, 0);
	db = fs_view_state("capacity_recommendation");
	if (db == NULL)
		return (Datum) 0;
	all = fs_recommend_evaluate(db, &n);
	for (int i = 0; i < n; i++)
	{
		const FsRecommended *r = &all[i];
		const FsSignal *s = &r->signal;
		bool		pinned = s->limits.pin != RECOMMEND_NONE && s->at < s->limits.pin_until;
		Datum		out[16];
		bool		nulls[16] = {0};

		out[0] = CStringGetTextDatum(r->name);
		out[1] = Int32GetDatum(r->result.workers);
		out[2] = Int32GetDatum(s->input.current);
		out[3] = CStringGetTextDatum(reasons[r->result.reason]);
		out[4] = CStringGetTextDatum(words(r));
		out[5] = Int32GetDatum(r->result.wanted);
		out[6] = Int32GetDatum(s->input.busy);
		out[7] = Int32GetDatum(s->running);
		nulls[8] = s->ready < 0;
		out[8] = Int64GetDatum(s->ready);
		nulls[9] = s->refused < 0;
		out[9] = Int64GetDatum(s->refused);
		out[10] = Float8GetDatum(r->arrival_rate);
		nulls[11] = s->service == 0;
		out[11] = Float8GetDatum(s->service);
		out[12] = Float8GetDatum(s->input.slots);
		out[13] = Float8GetDatum(r->target / 1e6);
		nulls[14] = !pinned;
		out[14] = Int32GetDatum(s->limits.pin);
		nulls[15] = !pinned;
		out[15] = TimestampTzGetDatum(s->limits.pin_until);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, out, nulls);
	}
	return (Datum) 0;
}

/* Trigger of capacity_settings and capacity_pins: at commit whoever evaluates next reads them again. */
Datum
fs_signal_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("fairsched.signal_changed() must be called as a trigger")));
	if (fs_preloaded)
	{
		(void) fs_state_attach();
		fs_ledger_signal_stale();
	}
	return PointerGetDatum(NULL);
}
