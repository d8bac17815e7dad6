/* Pieces of JSON text, written straight into a buffer: an agent writes thousands of events a second. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/json.h"
#include "lib/json_tree.h"
#include "lib/pb_field.h"

void json_put_uint(struct buf *out, uint64_t number)
{
	char digits[20];
	size_t at = sizeof digits;
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	(void)buf_add(out, digits + at, sizeof digits - at); /* out->error remembers */
}

void json_put_int(struct buf *out, int64_t number)
{
	if (number < 0)
		(void)buf_text(out, "-");
	json_put_uint(out, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
}

void json_put_real(struct buf *out, double number)
{
	char text[40];
	if (!isfinite(number)) {
		(void)buf_text(out, "null");
		return;
	}
	(void)snprintf(text, sizeof text, "%.17g", number); /* 24 characters at most */
	(void)buf_text(out, text);
	if (strpbrk(text, ".e") == NULL)
		(void)buf_text(out, ".0");
}

static void put_escaped(struct buf *out, uint8_t byte)
{
	static const char letters[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'};
	char text[7] = {'\\', byte < sizeof letters ? letters[byte] : '\0'};
	if (text[1] == '\0')
		(void)snprintf(text, sizeof text, "\\u%04x", byte);
	(void)buf_text(out, text);
}

/* Bytes from `at` on that stand in JSON as they are. */
static size_t plain_run(const uint8_t *at, size_t n)
{
	size_t run = 0;
	while (run < n && at[run] >= 0x20 && at[run] != '"' && at[run] != '\\') {
		size_t size = at[run] < 0x80 ? 1 : pb_utf8_size(at + run, n - run);
		if (size == 0)
			break;
		run += size;
	}
	return run;
}

void json_rewind(struct buf *out, size_t n)
{
	out->n = n;
	if (out->bytes != NULL)
		out->bytes[n] = 0;
}

int json_quote(struct buf *out, const char *text)
{
	const uint8_t *at = (const uint8_t *)text, *end = at + strlen(text);
	(void)buf_text(out, "\"");
	while (at < end) {
		size_t run = plain_run(at, (size_t)(end - at));
		(void)buf_add(out, at, run);
		at += run;
		if (at == end)
			break;
		if (*at < 0x80)
			put_escaped(out, *at);
		else
			(void)buf_text(out, "\xef\xbf\xbd"); /* U+FFFD for what is not UTF-8 */
		at++;
	}
	(void)buf_text(out, "\"");
	return out->error;
}

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static char standard(char letter)
{
	return letter == '-' ? '+' : letter == '_' ? '/' : letter;
}

void json_put_base64(struct buf *out, const void *bytes, size_t n, bool url)
{
	const uint8_t *at = bytes;
	(void)buf_text(out, "\"");
	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		uint32_t word = (uint32_t)at[i] << 16 | (left > 1 ? (uint32_t)at[i + 1] << 8 : 0) | (left > 2 ? at[i + 2] : 0);
		char text[4] = "====";
		for (size_t c = 0; c < 4 && c <= left; c++)
			text[c] = url ? base64url[word >> (18 - 6 * c) & 0x3f] : standard(base64url[word >> (18 - 6 * c) & 0x3f]);
		(void)buf_add(out, text, url && left < 3 ? left + 1 : 4);
	}
	(void)buf_text(out, "\"");
}

bool json_get_base64url(const char *text, size_t n, uint8_t *ret_bytes, size_t *ret_n)
{
	uint32_t word = 0;
	size_t bits = 0, count = 0;
	if (n % 4 == 0)
		for (int padding = 0; padding < 2 && n > 0 && text[n - 1] == '='; padding++)
			n--;
	if (n % 4 == 1)
		return false;
	for (size_t i = 0; i < n; i++) {
		const char *found = text[i] != '\0' ? strchr(base64url, text[i]) : NULL;
		if (found == NULL)
			return false;
		word = word << 6 | (uint32_t)(found - base64url);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			ret_bytes[count++] = (uint8_t)(word >> bits);
		}
	}
	*ret_n = count;
	return (word & ((1u << bits) - 1)) == 0; /* one text for one value: the bits that are left over are 0 */
}

void json_tree_write(struct buf *out, const struct json_node *node)
{
	static const char *const open[] = {[NODE_OBJECT] = "{", [NODE_ARRAY] = "["}, *const close[] = {[NODE_OBJECT] = "}", [NODE_ARRAY] = "]"};
	switch (node->kind) {
	case NODE_NULL:
		(void)buf_text(out, "null");
		return;
	case NODE_BOOL:
		(void)buf_text(out, node->boolean ? "true" : "false");
		return;
	case NODE_INT:
		json_put_int(out, node->integer);
		return;
	case NODE_REAL:
		json_put_real(out, node->real);
		return;
	case NODE_STRING:
		(void)json_quote(out, node->text);
		return;
	case NODE_OBJECT:
	case NODE_ARRAY:
		break;
	}
	(void)buf_text(out, open[node->kind]);
	for (size_t i = 0; i < node->n; i++) {
		if (i > 0)
			(void)buf_text(out, ",");
		if (node->kind == NODE_OBJECT) {
			(void)json_quote(out, node->names[i]);
			(void)buf_text(out, ":");
		}
		json_tree_write(out, &node->items[i]);
	}
	(void)buf_text(out, close[node->kind]);
}
