/* A plain model of a table, beside which one in a store is tried: whatever is put, deleted and walked, it holds what the model does. */
#ifndef TESTS_UNIT_DB_MODEL_H
#define TESTS_UNIT_DB_MODEL_H

#include "tests/unit/db_place.h"

#define MODEL_KEYS 400

/* value: 0 none, else what its first byte says and how long it is. */
struct model_pairs { uint16_t value[MODEL_KEYS]; };
/* now: as the transaction at hand sees it; kept: as the next one will begin; written: as it is on disk. */
struct model { struct db_place *place; int table; struct model_pairs now, kept, written; bool settled; uint32_t seed; struct db_txn txn; };

uint32_t model_draw(struct model *m, uint32_t below);
void model_put(struct model *m, uint32_t i);
void model_del(struct model *m, uint32_t i);
/* A walk over a third of the table, from some key on; change: what is met may be deleted, and others may come and go behind and before it. */
void model_walk(struct model *m, struct db_txn *txn, bool change);
void model_assert(struct model *m, struct db_txn *txn); /* the table is what `now` says */
void model_open(struct model *m, const struct db_options *options); /* again, as after a kill: now and kept are what is written */

#endif
