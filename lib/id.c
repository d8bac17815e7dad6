#include "lib/id.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/crypt.h"
#include "lib/err.h"

static void format(char text[ID_TEXT_SIZE], const uint8_t b[16])
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	for (size_t i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			text[n++] = '-';
		text[n++] = digits[b[i] >> 4];
		text[n++] = digits[b[i] & 15];
	}
	text[n] = 0;
}

/* RFC 9562 5.7: 48 bits of ms, version, 12 bits, variant, 62 bits. */
static void stamp(uint8_t b[16], moment when)
{
	for (int i = 0; i < 6; i++)
		b[i] = (uint8_t)((uint64_t)when >> (40 - 8 * i));
	b[6] = (uint8_t)(0x70 | (b[6] & 0x0f));
	b[8] = (uint8_t)(0x80 | (b[8] & 0x3f));
}

void id_new(char text[ID_TEXT_SIZE], moment when)
{
	static _Thread_local uint8_t last[16];
	static _Thread_local moment last_when = MOMENT_NONE;
	static _Thread_local pid_t last_pid;

	if (when == last_when && getpid() == last_pid) {
		/* One draw serves all ids of a ms (RFC 9562 6.2 method 2): the random part counts up, below version and variant. */
		for (int i = 15; i > 8 && ++last[i] == 0; i--)
			;
	} else {
		/* A child of fork draws anew, or it would go on with the ids of its parent. */
		crypt_random(last, sizeof last);
		last[9] &= 0x7f; /* room to count: 2^55 ids before a carry could be lost */
		last_when = when;
		last_pid = getpid();
	}
	stamp(last, when);
	format(text, last);
}

void id_derive(char text[ID_TEXT_SIZE], moment when, const void *seed, size_t n)
{
	uint8_t hash[HASH_SIZE], b[16];

	crypt_sha256(seed, n, hash);
	memcpy(b, hash, sizeof b);
	stamp(b, when);
	format(text, b);
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int id_parse(const char *text, uint8_t ret_bytes[16])
{
	uint8_t b[16];
	size_t n = 0;

	for (size_t i = 0; i < ID_TEXT_SIZE - 1; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text[i] != '-')
				return ERR_INVALID;
			continue;
		}
		if (hex(text[i]) < 0)
			return ERR_INVALID;
		if (n % 2)
			b[n / 2] = (uint8_t)(b[n / 2] << 4 | hex(text[i]));
		else
			b[n / 2] = (uint8_t)hex(text[i]);
		n++;
	}
	if (text[ID_TEXT_SIZE - 1])
		return ERR_INVALID;
	memcpy(ret_bytes, b, sizeof b);
	return OK;
}

bool id_is_uuid(const char *text)
{
	uint8_t b[16];

	return id_parse(text, b) == OK;
}

bool ref_is_valid(const char *text)
{
	/* One bit for each character: strspn would make such a table of the allowed ones at each call. */
	static const uint64_t allowed[4] = { UINT64_C(0x03ff600000000000), UINT64_C(0x07fffffe87fffffe) };
	size_t n = 0;

	while (allowed[(uint8_t)text[n] >> 6] >> ((uint8_t)text[n] & 63) & 1)
		n++;
	return n >= 1 && n <= REF_MAX && !text[n];
}

bool agency_id_is_valid(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return n >= 1 && n <= 32 && !text[n] && text[0] != '-' && text[n - 1] != '-';
}

bool oin_is_valid(const char *text)
{
	return strspn(text, "0123456789") == 20 && !text[20];
}
