/*
 * utf8.h
 *		Characters of UTF-8 text: what they are, and without their case.
 *
 * Pure arithmetic over fixed tables: no locks, no locale, no PostgreSQL.  The
 * same text gives the same result on every server.
 */
#ifndef FS_UTF8_H
#define FS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FS_UTF8_MAX			4	/* bytes of a character */
#define FS_UTF8_BYTE		UINT32_C(0x110000)	/* plus a byte: one that is in
												 * no character */

/* Beyond ASCII; use the functions below. */
extern size_t fs_utf8_decode_wide(const unsigned char *s, size_t len, uint32_t *c);
extern size_t fs_utf8_encode_wide(uint32_t c, unsigned char *to);
extern bool fs_utf8_is_space_wide(uint32_t c);
extern bool fs_utf8_is_word_wide(uint32_t c);
extern uint32_t fs_utf8_fold_wide(uint32_t c);

/*
 * fs_utf8_decode: the character at s (len > 0 bytes are there); returns its
 * bytes.  Bytes that are in no character come one at a time, as FS_UTF8_BYTE and
 * the byte.
 */
static inline size_t
fs_utf8_decode(const unsigned char *s, size_t len, uint32_t *c)
{
	if (s[0] >= 0x80)
		return fs_utf8_decode_wide(s, len, c);
	*c = s[0];
	return 1;
}

/* fs_utf8_encode: what fs_utf8_decode read; returns the bytes, at most FS_UTF8_MAX. */
static inline size_t
fs_utf8_encode(uint32_t c, unsigned char *to)
{
	if (c >= 0x80)
		return fs_utf8_encode_wide(c, to);
	to[0] = c;
	return 1;
}

/* fs_utf8_is_space: has it the property White_Space? */
static inline bool
fs_utf8_is_space(uint32_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x80 && fs_utf8_is_space_wide(c));
}

/* fs_utf8_is_word: is it part of a word?  Bytes that are in no character are taken for letters. */
static inline bool
fs_utf8_is_word(uint32_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
		(c >= 0x80 && fs_utf8_is_word_wide(c));
}

/* fs_utf8_fold: the character without its case. */
static inline uint32_t
fs_utf8_fold(uint32_t c)
{
	if (c >= 0x80)
		return fs_utf8_fold_wide(c);
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

#endif							/* FS_UTF8_H */
