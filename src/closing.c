/*
 * closing.c
 *		Workspaces that are about to be frozen, and served up to a position: closing.h.
 */
#include "closing.h"

/* fs_closing_begin: false when there are too many; the workspace has to be frozen at once, then. */
bool
fs_closing_begin(int32 workspace, int64 position)
{
	if (fs->nclosing == FS_CLOSING)
		return false;
	fs->closing[fs->nclosing].workspace = workspace;
	fs->closing[fs->nclosing].position = position;
	fs->nclosing++;
	return true;
}

void
fs_closing_end(int32 workspace)
{
	for (int i = 0; i < fs->nclosing; i++)
		if (fs->closing[i].workspace == workspace)
		{
			fs->closing[i] = fs->closing[--fs->nclosing];
			return;
		}
}

bool
fs_closing_find(int32 workspace, int64 position)
{
	for (int i = 0; i < fs->nclosing; i++)
		if (fs->closing[i].workspace == workspace)
			return position > fs->closing[i].position;
	return false;
}
