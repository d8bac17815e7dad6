/* A configuration of the shape of the broker's, for the tests of lib/conf: each type, required and not, in groups, in a list, within each other. */
#ifndef TESTS_UNIT_CONF_TABLE_H
#define TESTS_UNIT_CONF_TABLE_H

#include "lib/conf.h"

struct conf_table {
	struct { char *id, *key, *log, *note; struct conf_strings endpoints; struct conf_ints numbers; struct conf_strings files; } broker;
	struct { int64_t burst, free, turn, size, least; bool strict; } limits;
	struct { char *zone; int notice_time; struct conf_ints holidays; } calendar;
	struct { bool on; int64_t days; } extra;
	bool has_extra;
	struct conf_list agencies; /* of struct conf_table_agency */
};
struct conf_table_agency {
	char *id, *contact;
	struct conf_strings keys;
	struct { struct conf_strings types; struct { int64_t depth; } inner; } scope;
	bool has_scope, has_inner;
};
extern const struct conf_row conf_table_rows[];

#endif
