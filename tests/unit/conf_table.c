#include "tests/unit/conf_table.h"

#define ROW(name_, type_, where_, fallback_, min_, max_) { .name = name_, .type = type_, .offset = where_, .fallback = fallback_, .min = min_, .max = max_, .unit = "unit of " name_, .help = "What " name_ " is for." }

#define AT(field) (offsetof(struct conf_table, broker.field) - offsetof(struct conf_table, broker))
static const struct conf_row broker_rows[] = {
	ROW("id", CONF_STRING, AT(id), NULL, 1, 32),
	ROW("key", CONF_PATH, AT(key), NULL, 0, 0),
	ROW("log", CONF_PATH, AT(log), "", 0, 0),
	ROW("note", CONF_STRING, AT(note), "", 0, 0),
	ROW("endpoints", CONF_STRINGS, AT(endpoints), NULL, 1, 3),
	ROW("numbers", CONF_INTS, AT(numbers), "[ 3, 1, 2 ]", 0, 0),
	ROW("files", CONF_PATHS, AT(files), "[ \"a\", \"/b\" ]", 0, 0),
	{ 0 },
};
#undef AT
#define AT(field) (offsetof(struct conf_table, limits.field) - offsetof(struct conf_table, limits))
static const struct conf_row limits_rows[] = {
	ROW("burst", CONF_INT, AT(burst), "1024", 1, 65536),
	ROW("free", CONF_INT, AT(free), "-5000000000L", 0, 0),
	ROW("turn", CONF_DURATION, AT(turn), "5ms", 0, 86400000),
	ROW("size", CONF_SIZE, AT(size), "4MiB", 1024, INT64_C(1) << 40),
	ROW("least", CONF_INT, AT(least), "7", 5, 0),
	ROW("strict", CONF_BOOL, AT(strict), "true", 0, 0),
	{ 0 },
};
#undef AT
#define AT(field) (offsetof(struct conf_table, calendar.field) - offsetof(struct conf_table, calendar))
static const struct conf_row calendar_rows[] = {
	ROW("zone", CONF_STRING, AT(zone), "Europe/Amsterdam", 0, 0),
	ROW("notice_time", CONF_TIME, AT(notice_time), "08:00", 0, 0),
	ROW("holidays", CONF_DATES, AT(holidays), "[]", 0, 40),
	{ 0 },
};
#undef AT
#define AT(field) (offsetof(struct conf_table, extra.field) - offsetof(struct conf_table, extra))
static const struct conf_row extra_rows[] = {
	ROW("on", CONF_BOOL, AT(on), "true", 0, 0),
	ROW("days", CONF_INT, AT(days), "", 0, 366),
	{ 0 },
};
#undef AT
static const struct conf_row inner_rows[] = {
	ROW("depth", CONF_INT, 0, NULL, 0, 0),
	{ 0 },
};
#define AT(field) (offsetof(struct conf_table_agency, scope.field) - offsetof(struct conf_table_agency, scope))
static const struct conf_row scope_rows[] = {
	ROW("types", CONF_STRINGS, AT(types), "[]", 0, 0),
	{ .name = "inner", .type = CONF_GROUP, .offset = AT(inner), .rows = inner_rows,
	  .set_offset = offsetof(struct conf_table_agency, has_inner) - offsetof(struct conf_table_agency, scope) + 1 },
	{ 0 },
};
#undef AT
static const struct conf_row agency_rows[] = {
	ROW("id", CONF_STRING, offsetof(struct conf_table_agency, id), NULL, 1, 32),
	ROW("contact", CONF_STRING, offsetof(struct conf_table_agency, contact), "", 0, 256),
	ROW("keys", CONF_PATHS, offsetof(struct conf_table_agency, keys), NULL, 1, 8),
	{ .name = "scope", .type = CONF_GROUP, .offset = offsetof(struct conf_table_agency, scope), .rows = scope_rows,
	  .set_offset = offsetof(struct conf_table_agency, has_scope) + 1, .help = "What it may see." },
	{ 0 },
};
#define GROUP(name_) { .name = #name_, .type = CONF_GROUP, .offset = offsetof(struct conf_table, name_), .rows = name_##_rows, .help = "All of " #name_ "." }
const struct conf_row conf_table_rows[] = {
	GROUP(broker),
	GROUP(limits),
	GROUP(calendar),
	{ .name = "agencies", .type = CONF_LIST, .offset = offsetof(struct conf_table, agencies), .rows = agency_rows, .size = sizeof(struct conf_table_agency),
	  .min = 1, .max = 100, .help = "Who takes part." },
	{ .name = "extra", .type = CONF_GROUP, .offset = offsetof(struct conf_table, extra), .rows = extra_rows, .set_offset = offsetof(struct conf_table, has_extra) + 1 },
	{ 0 },
};
