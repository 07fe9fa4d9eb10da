/*
 * utf8.c
 *		Characters of UTF-8 text: what they are, and without their case.
 *
 * Letters, digits, marks and the underscore make words, in every script: what
 * regular expressions call \w.  Case is folded character by character (simple
 * case folding), so "ß" stays one and "É" written as one character or as two
 * are not the same.
 */
#include "utf8.h"

typedef struct Utf8Range
{
	uint32_t	first;
	uint32_t	last;
} Utf8Range;

typedef struct Utf8Fold
{
	uint32_t	first;
	uint32_t	last;
	int			stride;			/* 2: every second one only */
	int			delta;			/* what is added */
} Utf8Fold;

#include "utf8_tables.h"

size_t
fs_utf8_decode_wide(const unsigned char *s, size_t len, uint32_t *c)
{
	size_t		n = s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF5 ? 4 : 0;
	uint32_t	v;

	*c = FS_UTF8_BYTE + s[0];
	if (n == 0 || n > len)
		return 1;
	v = s[0] & (0x7F >> n);
	for (size_t i = 1; i < n; i++)
	{
		if ((s[i] & 0xC0) != 0x80)
			return 1;
		v = v << 6 | (s[i] & 0x3F);
	}
	if (v >= FS_UTF8_BYTE)
		return 1;
	*c = v;
	return n;
}

size_t
fs_utf8_encode_wide(uint32_t c, unsigned char *to)
{
	if (c >= FS_UTF8_BYTE)
	{
		to[0] = c - FS_UTF8_BYTE;
		return 1;
	}
	if (c < 0x800)
	{
		to[0] = 0xC0 | c >> 6;
		to[1] = 0x80 | (c & 0x3F);
		return 2;
	}
	if (c < 0x10000)
	{
		to[0] = 0xE0 | c >> 12;
		to[1] = 0x80 | (c >> 6 & 0x3F);
		to[2] = 0x80 | (c & 0x3F);
		return 3;
	}
	to[0] = 0xF0 | c >> 18;
	to[1] = 0x80 | (c >> 12 & 0x3F);
	to[2] = 0x80 | (c >> 6 & 0x3F);
	to[3] = 0x80 | (c & 0x3F);
	return 4;
}

bool
fs_utf8_is_space_wide(uint32_t c)
{
	return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
		c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool
fs_utf8_is_word_wide(uint32_t c)
{
	int			lo = 0;
	int			hi = sizeof(breaks) / sizeof(breaks[0]);

	while (lo < hi)
	{
		int			mid = (lo + hi) / 2;

		if (c > breaks[mid].last)
			lo = mid + 1;
		else if (c < breaks[mid].first)
			hi = mid;
		else
			return false;
	}
	return true;
}

uint32_t
fs_utf8_fold_wide(uint32_t c)
{
	int			lo = 0;
	int			hi = sizeof(folds) / sizeof(folds[0]);

	while (lo < hi)
	{
		int			mid = (lo + hi) / 2;

		if (c > folds[mid].last)
			lo = mid + 1;
		else if (c < folds[mid].first)
			hi = mid;
		else
			return (c - folds[mid].first) % folds[mid].stride == 0 ? c + folds[mid].delta : c;
	}
	return c;
}
