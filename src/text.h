/*
 * text.h
 *		Checked arguments: names, priorities, capabilities, intervals.
 */
#ifndef FS_TEXT_H
#define FS_TEXT_H

#include "fairsched.h"

#include "utils/timestamp.h"

extern char *fs_arg_name(FunctionCallInfo fcinfo, int n, const char *what);
extern char *fs_text_name(Datum text, const char *what);
extern int	fs_text_priority(Datum text);
extern int	fs_text_caps(Datum array, char *caps);
extern int	fs_arg_caps(Datum array, char *caps);
extern Datum fs_caps_array(const char *caps, int caps_len);
extern Datum fs_class_names(int classes);
extern int64 fs_interval_usec(Datum interval, const char *what, bool zero_ok);
extern const char *const FsPriorityNames[];
extern void fs_need_arg(FunctionCallInfo fcinfo, int n, const char *what);
extern int64 *fs_int8_array(Datum array, int *n, const char *what);

#define FS_MAX_INTERVAL ((int64) 100 * 366 * USECS_PER_DAY)

#endif							/* FS_TEXT_H */
