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

/*
 * fs_utf8_decode: the character at s (len > 0 bytes are there); returns its
 * bytes.  Bytes that are no character come one at a time as FS_UTF8_INVALID.
 */
size_t
fs_utf8_decode(const unsigned char *s, size_t len, uint32_t *c)
{
	size_t		n = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 :
		s[0] < 0xF5 ? 4 : 0;
	uint32_t	v;

	*c = FS_UTF8_INVALID;
	if (n == 0 || n > len)
		return 1;
	v = n == 1 ? s[0] : s[0] & (0x7F >> n);
	for (size_t i = 1; i < n; i++)
	{
		if ((s[i] & 0xC0) != 0x80)
			return 1;
		v = v << 6 | (s[i] & 0x3F);
	}
	*c = v;
	return n;
}

/* fs_utf8_encode: the character as bytes; an invalid one as a byte that is none. */
size_t
fs_utf8_encode(uint32_t c, unsigned char *to)
{
	if (c < 0x80)
	{
		to[0] = c;
		return 1;
	}
	if (c == FS_UTF8_INVALID)
	{
		to[0] = 0xFF;
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

/* fs_utf8_is_space: has it the property White_Space? */
bool
fs_utf8_is_space(uint32_t c)
{
	if (c < 0x80)
		return c == ' ' || (c >= '\t' && c <= '\r');
	return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
		c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/* fs_utf8_is_word: is it part of a word?  Bytes that are no character are taken for letters. */
bool
fs_utf8_is_word(uint32_t c)
{
	int			lo = 0;
	int			hi = sizeof(breaks) / sizeof(breaks[0]);

	if (c < 0x80)
		return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
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

/* fs_utf8_fold: the character without its case. */
uint32_t
fs_utf8_fold(uint32_t c)
{
	int			lo = 0;
	int			hi = sizeof(folds) / sizeof(folds[0]);

	if (c < 0x80)
		return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
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
