/*
 * main.c
 *		Load the library: settings, shared memory, callbacks, background workers.
 *
 * Not preloaded, the library stays quiet, so that CREATE EXTENSION, a restore
 * and pg_upgrade work; every function then says what to set.
 */
#include "fairsched.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "config.h"
#include "inbox.h"
#include "keepaway.h"
#include "launcher.h"
#include "ledger.h"
#include "shmem.h"
#include "tables.h"

PG_MODULE_MAGIC;

bool		fs_preloaded = false;

void		_PG_init(void);

static object_access_hook_type prev_object_access_hook = NULL;

/* Is this extension, which the current command made, ours? */
static bool
created_ours(Oid extension)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(extension));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	result = HeapTupleIsValid(tuple) &&
		strcmp(NameStr(((Form_pg_extension) GETSTRUCT(tuple))->extname), "fairsched") == 0;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

/*
 * CREATE and DROP EXTENSION take effect on memory at commit.  The dependencies
 * of an extension are dropped before it, under locks that no open transaction
 * of ours can hold, so a slot that dies has no ledger items.
 */
static void
object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (prev_object_access_hook)
		prev_object_access_hook(access, class_id, object_id, sub_id, arg);
	if (class_id != ExtensionRelationId || sub_id != 0)
		return;
	if (access == OAT_POST_CREATE)
	{
		if (created_ours(object_id))
			fs_ledger_extension(object_id, true);
	}
	else if (access == OAT_DROP && object_id == get_extension_oid("fairsched", true))
	{
		for (int i = 0; i < fs_max_databases; i++)
			if (fs_dbs[i].dboid == MyDatabaseId && fs_dbs[i].extoid == object_id &&
				fs_dbs[i].state != FS_DB_FREE)
			{
				fs_my_db = i;
				fs_ledger_extension(object_id, false);
				break;
			}
	}
}

void
_PG_init(void)
{
	fs_preloaded = process_shared_preload_libraries_in_progress && !IsBinaryUpgrade;
	fs_guc_define();
	if (!fs_preloaded)
		return;
	fs_shmem_install_hooks();
	fs_ledger_init();
	fs_tables_init();
	fs_config_init();
	fs_keepaway_install_hooks();
	fs_inbox_install_hooks();
	fs_launcher_register();
	prev_object_access_hook = object_access_hook;
	object_access_hook = object_access;
}
