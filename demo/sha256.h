/*
 * sha256.h
 *	  SHA-256 (FIPS 180-4) of a file. Written out here so that the demo needs no library; the demo
 *	  checks every result against sha256sum.
 */
#ifndef FAIRSCHED_DEMO_SHA256_H
#define FAIRSCHED_DEMO_SHA256_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const uint32_t sha256_k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};

static inline uint32_t
sha256_rotr(uint32_t x, int n)
{
	return (x >> n) | (x << (32 - n));
}

static void
sha256_block(uint32_t h[8], const unsigned char *p)
{
	uint32_t	w[64];
	uint32_t	a = h[0],
				b = h[1],
				c = h[2],
				d = h[3],
				e = h[4],
				f = h[5],
				g = h[6],
				k = h[7];

	for (int i = 0; i < 16; i++, p += 4)
		w[i] = (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
	for (int i = 16; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] +
			(sha256_rotr(w[i - 15], 7) ^ sha256_rotr(w[i - 15], 18) ^ (w[i - 15] >> 3)) +
			(sha256_rotr(w[i - 2], 17) ^ sha256_rotr(w[i - 2], 19) ^ (w[i - 2] >> 10));

	for (int i = 0; i < 64; i++)
	{
		uint32_t	t1 = k + (sha256_rotr(e, 6) ^ sha256_rotr(e, 11) ^ sha256_rotr(e, 25)) +
			((e & f) ^ (~e & g)) + sha256_k[i] + w[i];
		uint32_t	t2 = (sha256_rotr(a, 2) ^ sha256_rotr(a, 13) ^ sha256_rotr(a, 22)) +
			((a & b) ^ (a & c) ^ (b & c));

		k = g;
		g = f;
		f = e;
		e = d + t1;
		d = c;
		c = b;
		b = a;
		a = t1 + t2;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
	h[5] += f;
	h[6] += g;
	h[7] += k;
}

/*
 * sha256_file: write the sum of the file as 64 hexadecimal digits and a NUL to hex, calling meanwhile()
 * now and then. Returns false, with errno set, if the file could not be read.
 */
static bool
sha256_file(const char *path, char hex[65], void (*meanwhile) (void))
{
	uint32_t	h[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
	};
	static unsigned char buf[1 << 16];
	uint64_t	total = 0;
	size_t		n;
	FILE	   *f = fopen(path, "rb");

	if (f == NULL)
		return false;
	setvbuf(f, NULL, _IONBF, 0);

	/* fread() fills the whole buffer except at the end, so only the last round has a remainder. */
	while ((n = fread(buf, 1, sizeof(buf), f)) == sizeof(buf))
	{
		for (size_t i = 0; i < n; i += 64)
			sha256_block(h, buf + i);
		total += n;
		meanwhile();
	}
	if (ferror(f))
	{
		int			save = errno;

		fclose(f);
		errno = save;
		return false;
	}
	fclose(f);

	total += n;
	{
		size_t		i = 0;
		unsigned char last[128] = {0};
		size_t		rest;
		size_t		padded;

		for (; i + 64 <= n; i += 64)
			sha256_block(h, buf + i);
		rest = n - i;
		memcpy(last, buf + i, rest);
		last[rest] = 0x80;
		padded = rest < 56 ? 64 : 128;
		for (int b = 0; b < 8; b++)
			last[padded - 1 - b] = (unsigned char) (total * 8 >> (8 * b));
		for (size_t k = 0; k < padded; k += 64)
			sha256_block(h, last + k);
	}

	for (int i = 0; i < 8; i++)
		snprintf(hex + 8 * i, 9, "%08x", (unsigned) h[i]);
	return true;
}

#endif
