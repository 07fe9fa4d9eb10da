/*
 * late.c
 *		A commit that takes its time to tell: between the moment in which others
 *		can see what a transaction did and the callbacks of modules that were
 *		loaded before this one.  For tests of what may happen in between.
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(late_commit);

#define DEADLINE_MS	120000

static char file[MAXPGPATH] = "";

static void
callback(XactEvent event, void *arg)
{
	if (file[0] == '\0' || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT))
		return;
	for (int ms = 0; ms < DEADLINE_MS && access(file, F_OK) == 0; ms += 5)
		usleep(5000);
	file[0] = '\0';
}

/* late_commit(file text): this transaction tells nobody that it is over while the file exists. */
Datum
late_commit(PG_FUNCTION_ARGS)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(callback, NULL);
	registered = true;
	strlcpy(file, text_to_cstring(PG_GETARG_TEXT_PP(0)), sizeof(file));
	PG_RETURN_VOID();
}
