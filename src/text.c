/*
 * text.c
 *		Checked arguments: names, priorities, capabilities, intervals.
 *
 * Everything a caller can get wrong is refused here, with a message that names
 * the argument, before anything is changed.
 */
#include "text.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

const char *const FsPriorityNames[] = {"P0", "P1", "P2", "P3"};

/* Can the caller leave this argument out? */
static bool
has_default(FunctionCallInfo fcinfo, int n)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	bool		result = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tuple);

		result = n >= proc->pronargs - proc->pronargdefaults;
		ReleaseSysCache(tuple);
	}
	return result;
}

/* fs_need_arg: the argument may not be null. */
void
fs_need_arg(FunctionCallInfo fcinfo, int n, const char *what)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", what),
				 has_default(fcinfo, n) ?
				 errhint("Leave the argument out to get its default, or give a value.") :
				 errhint("Give a value; there is no default.")));
}

/* fs_text_name: a name of 1 to FS_NAME_LEN bytes. */
char *
fs_text_name(Datum value, const char *what)
{
	text	   *t = DatumGetTextPP(value);
	int			len = VARSIZE_ANY_EXHDR(t);

	if (len < 1 || len > FS_NAME_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have 1 to %d bytes", what, FS_NAME_LEN),
				 errdetail("It has %d.", len),
				 len < 1 ? errhint("Give a name that is not empty.") :
				 errhint("Use a shorter name, or an identifier in its place.")));
	return text_to_cstring(t);
}

char *
fs_arg_name(FunctionCallInfo fcinfo, int n, const char *what)
{
	fs_need_arg(fcinfo, n, what);
	return fs_text_name(PG_GETARG_DATUM(n), what);
}

/* fs_text_priority: 'P0' … 'P3' as 0 … 3. */
int
fs_text_priority(Datum value)
{
	text	   *t = DatumGetTextPP(value);
	const char *s = VARDATA_ANY(t);

	if (VARSIZE_ANY_EXHDR(t) == 2 && s[0] == 'P' && s[1] >= '0' && s[1] <= '3')
		return s[1] - '0';
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("priority \"%s\" does not exist",
					pnstrdup(s, pg_mbcliplen(s, VARSIZE_ANY_EXHDR(t), 32))),
			 errhint("Priorities are P0 (most urgent), P1, P2 and P3.")));
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* fs_text_caps: text[] as a sorted list of NUL-terminated names without repeats; its length. */
int
fs_text_caps(Datum array, char *caps)
{
	Datum	   *elems;
	bool	   *nulls;
	int			n;
	char	  **names;
	int			len = 0;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT,
					  &elems, &nulls, &n);
	names = palloc(sizeof(char *) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("capabilities must not contain null"),
					 errhint("Use '{}' for no capabilities.")));
		names[i] = fs_text_name(elems[i], "capability");
	}
	if (n > 1)
		qsort(names, n, sizeof(char *), compare_names);
	for (int i = 0, kept = 0; i < n; i++)
	{
		int			size = strlen(names[i]) + 1;

		if (i > 0 && strcmp(names[i], names[i - 1]) == 0)
			continue;
		if (++kept > FS_CAPS_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("too many capabilities"),
					 errdetail("At most %d are possible.", FS_CAPS_MAX),
					 errhint("Use one name for what always comes together.")));
		if (len + size - kept > FS_CAPS_BYTES)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("capabilities are too long together"),
					 errdetail("At most %d bytes are possible.", FS_CAPS_BYTES),
					 errhint("Use fewer or shorter capability names.")));
		memcpy(caps + len, names[i], size);
		len += size;
	}
	return len;
}

/* Would this character make a token ambiguous in a list, a log, a shell? */
static bool
bad_in_token(const char *c, int len)
{
	pg_wchar	wide[2];

	if (len == 1)
		return (unsigned char) *c <= ' ' || *c == 0x7f || *c == ',';
	if (GetDatabaseEncoding() != PG_UTF8 || pg_mb2wchar_with_len(c, wide, len) != 1)
		return false;
	/* C1 controls, and what Unicode calls white space */
	return (wide[0] >= 0x80 && wide[0] <= 0xa0) || wide[0] == 0x1680 ||
		(wide[0] >= 0x2000 && wide[0] <= 0x200a) || wide[0] == 0x2028 || wide[0] == 0x2029 ||
		wide[0] == 0x202f || wide[0] == 0x205f || wide[0] == 0x3000 || wide[0] == 0xfeff;
}

/* fs_arg_caps: as fs_text_caps, of an argument: tokens without white space, control characters, commas. */
int
fs_arg_caps(Datum array, char *caps)
{
	int			caps_len = fs_text_caps(array, caps);

	for (const char *c = caps; c < caps + caps_len; c++)
	{
		int			len;

		if (*c == '\0')
			continue;
		len = pg_mblen(c);
		if (bad_in_token(c, len))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("capabilities must not contain white space, control characters or commas"),
					 errhint("Use tokens such as \"gpu\" or \"python-3.12\".")));
		c += len - 1;
	}
	return caps_len;
}

/* fs_caps_array: the list back as text[]. */
Datum
fs_caps_array(const char *caps, int caps_len)
{
	Datum		elems[FS_CAPS_MAX];
	int			n = 0;

	for (const char *c = caps; c < caps + caps_len; c += strlen(c) + 1)
		elems[n++] = CStringGetTextDatum(c);
	return PointerGetDatum(construct_array(elems, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* fs_class_names: classes, as bits, as text[] of their names. */
Datum
fs_class_names(int classes)
{
	Datum		elems[FS_CLASSES];
	int			n = 0;

	for (int c = 0; c < FS_CLASSES; c++)
		if (classes & (1 << c))
			elems[n++] = CStringGetTextDatum(FsPriorityNames[c]);
	return PointerGetDatum(construct_array(elems, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* fs_interval_usec: a finite interval, positive or perhaps zero, in microseconds; a month is 30 days. */
int64
fs_interval_usec(Datum value, const char *what, bool zero_ok)
{
	Interval   *i = DatumGetIntervalP(value);
	double		total = (double) i->time + (double) i->day * USECS_PER_DAY +
		(double) i->month * DAYS_PER_MONTH * USECS_PER_DAY;
	int64		usec;

	if (total > FS_MAX_INTERVAL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be finite", what),
				 errhint("Use at most 100 years.")));
	usec = (int64) total;
	if (total < 0 || (usec <= 0 && !zero_ok))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 zero_ok ? errmsg("%s must not be negative", what) : errmsg("%s must be positive", what),
				 errhint("Use an interval such as '30 s'.")));
	return usec;
}

/* fs_int8_array: the elements of a bigint[] without nulls. */
int64 *
fs_int8_array(Datum array, int *n, const char *what)
{
	ArrayType  *a = DatumGetArrayTypeP(array);
	int64	   *result;

	if (ARR_NDIM(a) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("%s must have one dimension", what),
				 errhint("Give a plain array such as '{1,2,3}'.")));
	if (array_contains_nulls(a))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not contain null", what),
				 errhint("Leave out the entries that you do not have.")));
	*n = ARR_NDIM(a) == 0 ? 0 : ARR_DIMS(a)[0];
	result = palloc(sizeof(int64) * (*n + 1));
	memcpy(result, ARR_DATA_PTR(a), sizeof(int64) * *n);
	return result;
}
