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
#define FS_UTF8_INVALID		UINT32_C(0xFFFFFFFF)	/* stands for bytes that are no character */

extern size_t fs_utf8_decode(const unsigned char *s, size_t len, uint32_t *c);
extern size_t fs_utf8_encode(uint32_t c, unsigned char *to);
extern bool fs_utf8_is_space(uint32_t c);
extern bool fs_utf8_is_word(uint32_t c);
extern uint32_t fs_utf8_fold(uint32_t c);

#endif							/* FS_UTF8_H */
