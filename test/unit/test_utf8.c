/*
 * test_utf8.c
 *		Characters of UTF-8: decoded, encoded, folded, told apart.  Prints TAP.
 */
#include "../../src/utf8.h"
#include "tap.h"

#include <stdio.h>
#include <string.h>

/* The characters of a text, decoded one after the other. */
static int
decode(const char *text, size_t len, uint32_t *chars)
{
	int			n = 0;

	for (size_t at = 0; at < len;)
		at += fs_utf8_decode((const unsigned char *) text + at, len - at, &chars[n++]);
	return n;
}

/* Does it come as a, n characters that are none, b? */
static bool
none_between(const char *text, int n)
{
	uint32_t	chars[16];
	int			m = decode(text, strlen(text), chars);

	for (int i = 1; i < m - 1; i++)
		if (chars[i] != FS_UTF8_BYTE + (unsigned char) text[i])
			return false;
	return m == n + 2 && chars[0] == 'a' && chars[m - 1] == 'b';
}

/* Is `upper` the same as `lower` without case, character by character? */
static bool
same(const char *upper, const char *lower)
{
	uint32_t	u[64];
	uint32_t	l[64];
	int			n = decode(upper, strlen(upper), u);

	if (decode(lower, strlen(lower), l) != n)
		return false;
	for (int i = 0; i < n; i++)
		if (fs_utf8_fold(u[i]) != fs_utf8_fold(l[i]))
			return false;
	return true;
}

/* Are all characters of the text part of words (or none)? */
static bool
words(const char *text, bool expected)
{
	uint32_t	c[64];
	int			n = decode(text, strlen(text), c);

	for (int i = 0; i < n; i++)
		if (fs_utf8_is_word(c[i]) != expected)
			return false;
	return n > 0;
}

int
main(void)
{
	bool		round_trip = true;
	bool		once = true;
	bool		growth = true;
	bool		apart = true;
	bool		as_letters = true;
	int			spaces = 0;
	uint32_t	c;

	for (uint32_t i = 0; i <= 0x10FFFF; i++)
	{
		unsigned char bytes[FS_UTF8_MAX];
		unsigned char folded[FS_UTF8_MAX];
		size_t		n = fs_utf8_encode(i, bytes);
		uint32_t	f = fs_utf8_fold(i);

		round_trip &= n <= FS_UTF8_MAX && fs_utf8_decode(bytes, n, &c) == n && c == i;
		once &= fs_utf8_fold(f) == f;
		growth &= 2 * fs_utf8_encode(f, folded) <= 3 * n;
		apart &= !(fs_utf8_is_space(i) && fs_utf8_is_word(i)) &&
			(fs_utf8_is_word(i) == fs_utf8_is_word(f));
		spaces += fs_utf8_is_space(i);
	}
	ok(round_trip, "every character is what its bytes are decoded to");
	ok(once, "folding twice is folding once");
	ok(growth, "without its case a character has at most half as many bytes again");
	ok(apart, "blanks are not in words, and case makes no difference to that");
	ok(spaces == 25, "there are 25 blanks");

	ok(none_between("a\xFF" "b", 1), "a byte that never occurs");
	ok(none_between("a\x80" "b", 1), "a continuation without a beginning");
	ok(none_between("a\xC3" "b", 1), "a beginning without its continuation");
	ok(none_between("a\xE4\xB8" "b", 2), "a character cut short");
	ok(none_between("a\xC0\x80" "b", 2), "an overlong form");
	ok(none_between("a\xF4\x90\x80\x80" "b", 4), "beyond the last plane");
	ok(fs_utf8_decode((const unsigned char *) "\xE4\xB8\x96", 2, &c) == 1 && c == FS_UTF8_BYTE + 0xE4,
	   "nothing is read beyond the end");
	for (uint32_t i = FS_UTF8_BYTE + 0x80; i <= FS_UTF8_BYTE + 0xFF; i++)
	{
		unsigned char byte;

		as_letters &= fs_utf8_is_word(i) && !fs_utf8_is_space(i) && fs_utf8_fold(i) == i &&
			fs_utf8_encode(i, &byte) == 1 && FS_UTF8_BYTE + byte == i;
	}
	ok(as_letters, "a byte of no character is taken for a letter of its own");

	ok(same("ABCXYZ", "abcxyz"), "ASCII without case");
	ok(same("ÄÖÜÉÑØÞ", "äöüéñøþ"), "Latin");
	ok(same("ŁŐŽŸ", "łőžÿ"), "more Latin");
	ok(same("ΑΒΓΣΩ", "αβγςω"), "Greek, with the final sigma");
	ok(same("ЖЁЇ", "жёї"), "Cyrillic");
	ok(same("ẞ", "ß") && !same("ß", "s"), "the sharp s");
	ok(same("Ａｚ", "ａＺ") && same("𐐀", "𐐨"), "wide letters, and beyond the first plane");
	ok(!same("a", "ä") && !same("é", "e"), "letters with marks are others");
	ok(same("×÷", "×÷") && !same("×", "÷") && !same("[", "{") && !same("@", "`"),
	   "signs next to letters are left alone");

	ok(words("azAZ09_äßñЖω世の한ा٣", true), "letters, digits, marks, underscore");
	ok(words("\xC3\xA9" "e\xCC\x81", true), "a mark of its own");
	ok(words(" \t\n-'\"/@[`{~.,;:", false), "what is none of these in ASCII");
	ok(words("«»„“”‘’–—…•§©€×÷  。，、！？「」😀→", false), "and beyond");

	return done_testing();
}
