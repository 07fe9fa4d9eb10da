/*
 * tables.c
 *		The job tables of this database as a backend knows them: OIDs, cached.
 *
 * A relcache invalidation only marks what it concerns; the next use looks the
 * table up again, by name and under the lock that opening it takes anyway.
 * "Not there" is never cached.
 */
#include "tables.h"

#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

static HTAB *tables = NULL;
static bool changed = true;
static uint64 invalidations = 0;

static void
invalidate(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	FsTable    *t;

	invalidations++;
	if (tables == NULL)
		return;
	hash_seq_init(&status, tables);
	while ((t = hash_seq_search(&status)) != NULL)
	{
		bool		mine = relid == InvalidOid || relid == t->relid;

		for (int i = 0; i < t->nindexes && !mine; i++)
			mine = t->index[i] == relid;
		if (mine)
			t->valid = false;
	}
	/* partitions come and go with an invalidation of their parent */
	if (relid == InvalidOid || relid == fs_catalog_jobs())
		changed = true;
}

void
fs_tables_init(void)
{
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
}

bool
fs_tables_changed(void)
{
	bool		was = changed;

	changed = false;
	return was;
}

static FsIndexKind
kind_of(const char *name, int job_table)
{
	static const struct
	{
		const char *suffix;
		FsIndexKind kind;
	}			kinds[] = {
		{"job", FS_INDEX_JOB}, {"ready", FS_INDEX_READY}, {"due", FS_INDEX_DUE},
		{"unique", FS_INDEX_UNIQUE}, {"run", FS_INDEX_RUN}, {"waiting", FS_INDEX_WAITING}
	};

	for (int i = 0; i < lengthof(kinds); i++)
	{
		char		want[NAMEDATALEN];

		snprintf(want, sizeof(want), "jobs_%d_%s", job_table, kinds[i].suffix);
		if (strcmp(name, want) == 0)
			return kinds[i].kind;
	}
	return FS_INDEX_OTHER;
}

const FsTable *
fs_table_get(int job_table)
{
	FsTable    *t;
	bool		found;
	char		name[NAMEDATALEN];
	Relation	rel;
	List	   *indexes;
	ListCell   *lc;
	Oid			relid;
	uint64		before;

	if (tables == NULL)
	{
		HASHCTL		ctl = {0};

		ctl.keysize = sizeof(int32);
		ctl.entrysize = sizeof(FsTable);
		ctl.hcxt = AllocSetContextCreate(TopMemoryContext, "fairsched job tables",
										 ALLOCSET_DEFAULT_SIZES);
		tables = hash_create("fairsched job tables", 16, &ctl,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	t = hash_search(tables, &job_table, HASH_FIND, NULL);
	if (t && t->valid)
		return t;

	AcceptInvalidationMessages();	/* it may have been made a moment ago */
	snprintf(name, sizeof(name), "jobs_%d", job_table);
	relid = get_relname_relid(name, fs_catalog()->nsp);
	if (!OidIsValid(relid))
		return NULL;
	rel = try_relation_open(relid, AccessShareLock);
	if (rel == NULL)
		return NULL;
	t = hash_search(tables, &job_table, HASH_ENTER, &found);
	t->valid = false;
	t->relid = relid;
	t->nindexes = 0;
	before = invalidations;
	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		char	   *iname = get_rel_name(lfirst_oid(lc));

		if (t->nindexes == FS_TABLE_INDEXES)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("job table \"%s\" has too many indexes", name),
					 errhint("Drop indexes that you added; at most %d are supported.",
							 FS_TABLE_INDEXES)));
		t->index[t->nindexes] = lfirst_oid(lc);
		t->kind[t->nindexes] = iname ? kind_of(iname, job_table) : FS_INDEX_OTHER;
		t->nindexes++;
	}
	/* an error or an invalidation on the way: read again */
	t->valid = before == invalidations;
	table_close(rel, NoLock);
	return t;
}

bool
fs_table_complete(const FsTable *table)
{
	int			have = 0;

	for (int i = 0; i < table->nindexes; i++)
		if (table->kind[i] != FS_INDEX_OTHER)
			have++;
	return have == FS_INDEX_OTHER;
}

Oid
fs_table_index(const FsTable *table, FsIndexKind kind)
{
	for (int i = 0; i < table->nindexes; i++)
		if (table->kind[i] == kind)
			return table->index[i];
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("job table %d lacks one of its indexes", table->job_table),
			 errhint("Restore the index; its name is jobs_%d_ followed by job, ready, due, unique, run or waiting.",
					 table->job_table)));
}

int *
fs_table_list(int *n)
{
	List	   *children = find_inheritance_children(fs_catalog()->jobs, AccessShareLock);
	int		   *result = palloc(sizeof(int) * (list_length(children) + 1));
	ListCell   *lc;

	*n = 0;
	foreach(lc, children)
	{
		char	   *name = get_rel_name(lfirst_oid(lc));
		int			number;

		if (name && sscanf(name, "jobs_%d", &number) == 1)
			result[(*n)++] = number;
	}
	return result;
}
