#include "lib/civil.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/civil_rule.h"

#define ZONE_FOLDER "/usr/share/zoneinfo"
#define ZONE_FILE_MAX ((size_t)256 << 10) /* bytes; the largest real ones have 4 KiB */
#define ZONE_NAME_MAX 64
#define ZONE_FOOTER_MAX 128
#define ZONE_OFFSET_MAX (26 * 3600) /* seconds; RFC 8536 3.2 */
#define ZONE_AT_MAX (INT64_C(1) << 50) /* seconds; nothing that we compare comes near, and sums cannot overflow */
#define RULE_YEAR_FIRST 1899
#define RULE_YEAR_LAST 2200
#define RULE_CHANGES_MAX (2 * (RULE_YEAR_LAST - RULE_YEAR_FIRST + 1))
#define DAY_MS INT64_C(86400000)

struct change {
	int64_t at;     /* seconds since 1970 UTC */
	int32_t offset; /* seconds east of UTC from then on */
	int32_t before; /* the same until then */
};

/* The rule for years beyond the table is written out when a zone is loaded, so a lookup is one binary search. */
struct civil_zone {
	int32_t first; /* offset before all changes */
	size_t n;
	struct change changes[];
};

/* --- lookup --------------------------------------------------------------------------------------------------- */

static int64_t floor_seconds(moment when)
{
	return when / 1000 - (when % 1000 < 0);
}

int civil_zone_offset(const struct civil_zone *zone, moment when)
{
	int64_t at = floor_seconds(when);
	size_t low = 0, high = zone->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (zone->changes[middle].at <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? zone->changes[low - 1].offset : zone->first;
}

/* local: ms since 1970-01-01 00:00 by the wall clock. Each change ends a stretch of local time at `at + before`: the first stretch that
 * ends behind `local` holds it, or begins behind it, and then `local` is in the gap between the two. */
static moment from_local(const struct civil_zone *zone, int64_t local)
{
	int64_t at = floor_seconds(local);
	size_t low = 0, high = zone->n;
	int32_t offset;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (zone->changes[middle].at + zone->changes[middle].before <= at)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		offset = zone->first;
	else if (at < zone->changes[low - 1].at + zone->changes[low - 1].offset)
		offset = zone->changes[low - 1].before;
	else
		offset = zone->changes[low - 1].offset;
	return local - offset * INT64_C(1000);
}

moment civil_moment(const struct civil_zone *zone, civil_date date, int minutes)
{
	return from_local(zone, date * DAY_MS + minutes * INT64_C(60000));
}

/* The wall clock at `when`, in ms since 1970-01-01 00:00; what is no moment counts as the nearest one. */
static int64_t to_local(const struct civil_zone *zone, moment when)
{
	if (when < MOMENT_MIN)
		when = MOMENT_MIN;
	if (when > MOMENT_MAX)
		when = MOMENT_MAX;
	return when + civil_zone_offset(zone, when) * INT64_C(1000);
}

static int64_t floor_days(int64_t ms)
{
	return ms / DAY_MS - (ms % DAY_MS < 0);
}

civil_date civil_date_of(const struct civil_zone *zone, moment when)
{
	return (civil_date)floor_days(to_local(zone, when));
}

int civil_time_of(const struct civil_zone *zone, moment when)
{
	int64_t local = to_local(zone, when);

	return (int)(local - floor_days(local) * DAY_MS);
}

moment civil_add_days(const struct civil_zone *zone, moment when, int days)
{
	if (!days)
		return when; /* also the second of two equal wall-clock times */
	return from_local(zone, to_local(zone, when) + days * DAY_MS);
}

/* --- TZif (RFC 8536 3) ---------------------------------------------------------------------------------------- */

struct block {
	uint32_t n_ut, n_std, n_leap, n_times, n_types, n_chars;
	size_t size; /* of its data */
};

struct reader {
	const uint8_t *p;
	size_t left;
};

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be64(const uint8_t *p)
{
	return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

static const uint8_t *take(struct reader *in, size_t n)
{
	const uint8_t *p = in->p;

	if (n > in->left)
		return NULL;
	in->p += n;
	in->left -= n;
	return p;
}

/* width: bytes of a time in this block, 4 in the first and 8 in the second one. Its data is all there when this succeeds. */
static bool take_header(struct reader *in, uint32_t width, struct block *block)
{
	const uint8_t *p = take(in, 44);
	uint64_t size;

	if (!p || memcmp(p, "TZif", 4) != 0 || p[4] < '2') /* without version 2 there is no 64-bit block */
		return false;
	*block = (struct block){ .n_ut = be32(p + 20), .n_std = be32(p + 24), .n_leap = be32(p + 28),
		                 .n_times = be32(p + 32), .n_types = be32(p + 36), .n_chars = be32(p + 40) };
	size = (uint64_t)block->n_times * (width + 1) + (uint64_t)block->n_types * 6 + block->n_chars +
	       (uint64_t)block->n_leap * (width + 4) + block->n_std + block->n_ut;
	if (size > in->left)
		return false;
	block->size = (size_t)size;
	return true;
}

/* times, then one type index per time, then the types: offset (4 bytes), summer (1), name (1). */
static bool read_changes(const uint8_t *data, const struct block *block, struct civil_zone *zone)
{
	const uint8_t *times = data, *indices = times + (size_t)block->n_times * 8, *types = indices + block->n_times;
	int64_t last = INT64_MIN;
	int32_t before;

	for (uint32_t i = 0; i < block->n_types; i++) {
		int32_t offset = (int32_t)be32(types + (size_t)i * 6);

		if (offset <= -ZONE_OFFSET_MAX || offset >= ZONE_OFFSET_MAX)
			return false;
	}
	before = zone->first = (int32_t)be32(types);
	for (uint32_t i = 0; i < block->n_times; i++) {
		int64_t at = be64(times + (size_t)i * 8);
		struct change *change = &zone->changes[zone->n++];

		if (indices[i] >= block->n_types || (i && at <= last))
			return false;
		last = at;
		change->at = at < -ZONE_AT_MAX ? -ZONE_AT_MAX : at > ZONE_AT_MAX ? ZONE_AT_MAX : at;
		change->before = before;
		before = change->offset = (int32_t)be32(types + (size_t)indices[i] * 6);
	}
	return true;
}

/* The line between two newlines behind the second block. */
static bool take_footer(struct reader *in, char text[ZONE_FOOTER_MAX])
{
	size_t n = 0;

	if (!in->left || in->p[0] != '\n')
		return false;
	for (n = 0; 1 + n < in->left && in->p[1 + n] != '\n'; n++) {
		if (n + 1 >= ZONE_FOOTER_MAX || in->p[1 + n] < ' ' || in->p[1 + n] > '~')
			return false;
		text[n] = (char)in->p[1 + n];
	}
	text[n] = 0;
	return 1 + n < in->left;
}

/* --- beyond the table ----------------------------------------------------------------------------------------- */

/* Keeps the array in order of time; of two at one instant the later one of the rule stays behind. */
static void insert(struct change *changes, size_t *n, int64_t at, int offset)
{
	size_t i = (*n)++;

	for (; i && changes[i - 1].at > at; i--)
		changes[i] = changes[i - 1];
	changes[i] = (struct change){ .at = at, .offset = offset };
}

static void append_changes(struct civil_zone *zone, const struct change *changes, size_t n)
{
	int64_t after = zone->n ? zone->changes[zone->n - 1].at : INT64_MIN;

	for (size_t i = 0; i < n; i++) {
		int32_t before = zone->n ? zone->changes[zone->n - 1].offset : zone->first;

		if (changes[i].at <= after || (i + 1 < n && changes[i + 1].at == changes[i].at) || changes[i].offset == before)
			continue;
		zone->changes[zone->n] = changes[i];
		zone->changes[zone->n++].before = before;
	}
}

/* The zone has room for RULE_CHANGES_MAX more. */
static void continue_by_rule(struct civil_zone *zone, const struct civil_rule *rule)
{
	struct change changes[RULE_CHANGES_MAX];
	size_t n = 0;

	if (!zone->n)
		zone->first = rule->standard;
	if (!rule->has_summer)
		return;
	for (int year = RULE_YEAR_FIRST; year <= RULE_YEAR_LAST; year++) {
		int64_t start, end;

		civil_rule_year(rule, year, &start, &end);
		insert(changes, &n, start, rule->summer);
		insert(changes, &n, end, rule->standard);
	}
	append_changes(zone, changes, n);
}

/* --- loading -------------------------------------------------------------------------------------------------- */

static const char *parse(const uint8_t *bytes, size_t n, struct civil_zone **ret_zone)
{
	struct reader in = { bytes, n };
	struct block block;
	struct civil_rule rule;
	char footer[ZONE_FOOTER_MAX];
	struct civil_zone *zone;
	const uint8_t *data;

	if (!take_header(&in, 4, &block) || !take(&in, block.size) || !take_header(&in, 8, &block))
		return "is no complete TZif file of version 2 or later";
	if (block.n_leap)
		return "counts leap seconds, which the clock of the system does not";
	data = take(&in, block.size);
	if (!data || !block.n_types || !take_footer(&in, footer))
		return "is no complete TZif file of version 2 or later";
	if (footer[0] && civil_rule_parse(footer, &rule) != OK)
		return "has a rule for later years that cannot be read";
	zone = calloc(1, sizeof *zone + (block.n_times + (size_t)RULE_CHANGES_MAX) * sizeof *zone->changes);
	if (!zone)
		return NULL;
	if (!read_changes(data, &block, zone)) {
		free(zone);
		return "is damaged";
	}
	if (footer[0])
		continue_by_rule(zone, &rule);
	*ret_zone = zone;
	return NULL;
}

static bool name_is_valid(const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/.";
	size_t n = strspn(name, allowed);

	return n && n <= ZONE_NAME_MAX && !name[n] && name[0] != '/' && !strstr(name, "..");
}

int civil_zone_load(const char *name, struct civil_zone **ret_zone, struct err *err)
{
	const char *folder = getenv("TZDIR"); /* lint: getenv, because every reader of tzdata obeys TZDIR */
	const char *why;
	struct civil_zone *zone = NULL;
	struct buf buf;
	char path[4096];
	int r;

	if (!name_is_valid(name))
		return err_set(err, ERR_INVALID, "\"%.*s\" is no name of a time zone; write one as \"Europe/Amsterdam\"", ZONE_NAME_MAX, name);
	if ((size_t)snprintf(path, sizeof path, "%s/%s", folder && *folder ? folder : ZONE_FOLDER, name) >= sizeof path)
		return err_set(err, ERR_INVALID, "the path in TZDIR is too long");
	buf_init(&buf);
	r = buf_read_file(&buf, path, ZONE_FILE_MAX);
	if (r == OK) {
		why = parse(buf.bytes, buf.n, &zone);
		r = why ? ERR_CORRUPT : zone ? OK : ERR_NOMEM;
		if (why)
			(void)err_set(err, r, "time zone \"%s\": %s %s", name, path, why); /* r is returned below */
		else if (r)
			(void)err_set(err, r, "time zone \"%s\": out of memory", name);
	} else if (r == ERR_NOTFOUND) {
		(void)err_set(err, r, "there is no time zone \"%s\" (%s); check the name, and that tzdata is installed", name, path);
	} else {
		(void)err_set(err, r, "time zone \"%s\": %s cannot be read: %s", name, path, err_text(r));
	}
	buf_release(&buf);
	if (r == OK)
		*ret_zone = zone;
	return r;
}

void civil_zone_free(struct civil_zone *zone)
{
	free(zone);
}
