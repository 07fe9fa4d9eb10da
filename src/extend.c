/*
 * extend.c
 *		New pages of a table, many at once.
 *
 * Before PostgreSQL 16 a table grows by one page of zeros that is written to
 * the file, which is a fifth of what a COPY of many jobs costs: the system
 * makes room for the page in memory, and fills it, once more when the page is
 * written with its rows.  From 16 on heap_multi_insert has the system reserve a
 * range of the file instead, as is done here for older servers.
 *
 * What comes out is what RelationAddExtraBlocks (hio.c) leaves behind: pages of
 * zeros at the end of the table, which the free space map knows, and which
 * whoever uses one first initialises.  A crash may leave them there, or not:
 * VACUUM knows such pages.
 *
 * The order matters.  Under the extension lock, where no one else can make the
 * file longer, the new pages first get buffers, which are pinned: the file is
 * not read for them, and until it is longer nobody else can ask for them.  Then
 * it is made longer, and only then can others find the pages, and put rows on
 * them: by buffers that are there.  Were the buffers made after that, one could
 * be zeroed over rows that somebody had written, and that had left memory
 * already.  If the file cannot be made longer, the buffers are not dirty, and
 * who extends the table by the usual way may find them (ReadBuffer_common).
 *
 * The next checkpoint is told of the file before the free space map is, as for
 * a page that is added the usual way: else the map could outlive a crash of the
 * machine that the length of the file did not, and older minor
 * versions of the server go by the map without a look at the file.
 *
 * The range is reserved, not left as a hole, so that a full disk shows when
 * rows are inserted, and not when they are written to the file later.
 *
 * Locks: the relation extension lock of the table; in it one buffer lock at a
 * time, of pages that nobody else knows.
 */
#include "extend.h"

#if FS_EXTENDS_IN_BULK

void
fs_extend_for(Relation rel, Size row, int pages)
{
}

#else

#include <fcntl.h>

#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/fd.h"
#include "storage/freespace.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "storage/sync.h"
#include "utils/wait_event.h"

#define FEWEST 4				/* pages: fewer are not worth it */
#define MOST 64

static bool impossible = false; /* here */

/* Make the file of the table longer, from nblocks to nblocks + n, within one segment; false: it is not. */
static bool
reserve_range(Relation rel, BlockNumber nblocks, int n)
{
	char	   *path = relpathperm(rel->rd_node, MAIN_FORKNUM);
	BlockNumber segment = nblocks / RELSEG_SIZE;
	int			fd;
	int			result;

	if (segment > 0)
		path = psprintf("%s.%u", path, segment);
	fd = OpenTransientFile(path, O_RDWR | PG_BINARY);
	if (fd < 0)
		return false;
	pgstat_report_wait_start(WAIT_EVENT_DATA_FILE_EXTEND);

	/*
	 * not posix_fallocate: where the file system knows no such thing that
	 * writes to each page
	 */
	result = fallocate(fd, 0, (off_t) (nblocks % RELSEG_SIZE) * BLCKSZ, (off_t) n * BLCKSZ);
	pgstat_report_wait_end();
	if (result != 0 && errno != ENOSPC && errno != EDQUOT && errno != EINTR)
	{
		elog(DEBUG1, "could not reserve a range of file \"%s\": %m", path);
		impossible = true;
	}
	CloseTransientFile(fd);
	if (result == 0)
	{
		FileTag		tag;

		memset(&tag, 0, sizeof(tag));	/* its bytes are compared */
		tag.handler = SYNC_HANDLER_MD;
		tag.forknum = MAIN_FORKNUM;
		tag.rnode = rel->rd_node;
		tag.segno = segment;
		(void) RegisterSyncRequest(&tag, SYNC_REQUEST, true);
	}
	return result == 0;
}

/* Extension lock held. */
static void
add_pages(Relation rel, int n)
{
	Buffer		buffers[MOST];
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	BlockNumber in_segment = nblocks % RELSEG_SIZE;
	int			have = 0;
	bool		done = false;

	if (in_segment == 0)		/* the usual way makes the file */
		return;
	n = Min(n, RELSEG_SIZE - in_segment);
	while (have < n)
	{
		Buffer		buf = ReadBufferExtended(rel, MAIN_FORKNUM, nblocks + have, RBM_ZERO_AND_LOCK, NULL);
		bool		empty = PageIsNew(BufferGetPage(buf));

		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		if (!empty)				/* no page beyond the end should have
								 * something on it: not our way, then */
		{
			ReleaseBuffer(buf);
			break;
		}
		buffers[have++] = buf;
	}
	if (have > 0)
		done = reserve_range(rel, nblocks, have);
	for (int i = 0; i < have; i++)
		ReleaseBuffer(buffers[i]);
	if (!done)
		return;
	for (int i = 0; i < have; i++)
		RecordPageWithFreeSpace(rel, nblocks + i, BLCKSZ - SizeOfPageHeaderData);
	FreeSpaceMapVacuumRange(rel, nblocks, nblocks + have);
	elog(DEBUG1, "extended table \"%s\" by %d pages at once", RelationGetRelationName(rel), have);
}

/* Buffers that a session may pin at once without harm to the others. */
static int
most_pins(void)
{
	return NBuffers / (MaxBackends + NUM_AUXILIARY_PROCS);
}

void
fs_extend_for(Relation rel, Size row, int pages)
{
	Size		room = row + RelationGetTargetPageFreeSpace(rel, HEAP_DEFAULT_FILLFACTOR);

	pages = Min(pages, Min(MOST, most_pins()));
	if (impossible || pages < FEWEST || RelationUsesLocalBuffers(rel) ||
		GetPageWithFreeSpace(rel, room) != InvalidBlockNumber)
		return;
	/* who else is extending it may be doing this */
	if (!ConditionalLockRelationForExtension(rel, ExclusiveLock))
	{
		LockRelationForExtension(rel, ExclusiveLock);
		if (GetPageWithFreeSpace(rel, room) != InvalidBlockNumber)
			pages = 0;
	}
	if (pages > 0)
		add_pages(rel, pages);
	UnlockRelationForExtension(rel, ExclusiveLock);
}

#endif
