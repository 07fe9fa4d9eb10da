/*
 * amount.c
 *		Amounts of resources and money: numeric outside, fixed point inside.
 */
#include "amount.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "ws_limits.h"

int64
fs_amount_numeric(Datum value, const char *what, int64 max, bool negative_ok)
{
	Numeric		n = DatumGetNumeric(value);
	Numeric		unit = int64_to_numeric(FS_UNIT);
	Datum		scaled;
	int64		amount;

	if (numeric_is_nan(n) || numeric_is_inf(n))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a finite number", what),
				 errhint("NaN and infinity are no amounts.")));
	scaled = DirectFunctionCall2(numeric_mul, value, NumericGetDatum(unit));
	if (!negative_ok &&
		DatumGetBool(DirectFunctionCall2(numeric_lt, value, NumericGetDatum(int64_to_numeric(0)))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative", what),
				 errhint("Use 0 or more.")));
	if (DatumGetBool(DirectFunctionCall2(numeric_gt, DirectFunctionCall1(numeric_abs, scaled),
										 NumericGetDatum(int64_to_numeric(max)))))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%s is too large", what),
				 errhint("At most " INT64_FORMAT " is possible.", max / FS_UNIT)));
	amount = DatumGetInt64(DirectFunctionCall1(numeric_int8, scaled));
	if (amount == 0 && DatumGetBool(DirectFunctionCall2(numeric_ne, value, NumericGetDatum(int64_to_numeric(0)))))
		amount = DatumGetBool(DirectFunctionCall2(numeric_gt, value, NumericGetDatum(int64_to_numeric(0)))) ? 1 : -1;
	return amount;
}

/* fs_amount_datum: without trailing zeros. */
Datum
fs_amount_datum(int64 amount)
{
	return DirectFunctionCall1(numeric_trim_scale,
							   NumericGetDatum(int64_div_fast_to_numeric(amount, 6)));
}

char *
fs_amount_text(int64 amount, char *buf, Size len)
{
	uint64		n = amount < 0 ? -(uint64) amount : (uint64) amount;
	int			end;

	snprintf(buf, len, "%s" UINT64_FORMAT ".%06d", amount < 0 ? "-" : "", n / FS_UNIT, (int) (n % FS_UNIT));
	end = strlen(buf);
	while (buf[end - 1] == '0')
		buf[--end] = '\0';
	if (buf[end - 1] == '.')
		buf[end - 1] = '\0';
	return buf;
}

void
fs_amount_needs(Datum resources, FsNeeds *needs)
{
	memset(needs, 0, sizeof(FsNeeds));
	needs->amount[FS_RES_RUNS] = FS_UNIT;
	needs->mask = FsResourceBit(FS_RES_RUNS);
	if (resources == 0)
		return;
	for (int r = 0; r < FS_RESOURCES; r++)
	{
		JsonbValue *v = getKeyJsonValueFromContainer(&DatumGetJsonbP(resources)->root, FsResourceNames[r],
													 strlen(FsResourceNames[r]), NULL);
		int64		amount;

		if (v == NULL || v->type != jbvNumeric)
			continue;
		amount = fs_amount_numeric(NumericGetDatum(v->val.numeric), FsResourceNames[r], FS_NEED_MAX, false);
		if (amount == 0)
			continue;
		/* a job is at least one run, whatever it says */
		needs->amount[r] = r == FS_RES_RUNS ? Max(amount, FS_UNIT) : amount;
		needs->mask |= FsResourceBit(r);
	}
}
