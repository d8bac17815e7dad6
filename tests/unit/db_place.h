/* A temporary folder for a store, for the tests of lib/db; as cmocka's setup and teardown. */
#ifndef TESTS_UNIT_DB_PLACE_H
#define TESTS_UNIT_DB_PLACE_H

#include "lib/db.h"

/* root: the temporary folder; dir: where the store goes; other: where another may go. db: given to db_abandon at the end. */
struct db_place { char root[64], dir[80], other[80]; struct err err; struct db *db; };

int db_place_make(void **state);
int db_place_remove(void **state);

#endif
