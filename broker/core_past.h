/* The log as it was: what stood on record at a moment, under the configuration that was on record then. Reads only; between turns. Nothing of it is kept between two calls but what
 * struct past holds, which is positions and a few parsed configurations. */
#ifndef BROKER_CORE_PAST_H
#define BROKER_CORE_PAST_H

#include "broker/core.h"

struct broker_config;

/* How many records there are that were recorded at or before the moment (recorded_at never goes back): the position of the last of them; 0: none. */
int past_position(struct core *core, moment when, uint64_t *ret_position);
/* A header alone, checked against its hash. ERR_NOTFOUND, ERR_CORRUPT. */
int past_header(struct core *core, uint64_t position, struct arena *arena, Reentry__Header **ret_header);
/* Positions of the case's own records (the chain of Header.previous) up to and with `through`, oldest first; also of an erased case. Caller frees. ERR_NOTFOUND, ERR_TOOBIG. */
int past_chain(struct core *core, const char *subject, uint64_t through, uint64_t **ret_positions, size_t *ret_n);
/* Whether the agency is in the configuration or ever took part. */
bool past_took_part(struct core *core, const char *agency);

#define PAST_CONFIGS_KEPT 8
struct past {
	struct core *core;
	uint64_t *configs; size_t n_configs;  /* positions of CONFIG records, newest first, as far back as they were needed */
	bool all_configs;
	struct past_config { uint64_t at; struct broker_config *config; } kept[PAST_CONFIGS_KEPT]; size_t next;   /* config NULL: the core's present one */
};
void past_init(struct past *past, struct core *core);
void past_release(struct past *past);
/* The policy that the record at `position` was decided under. Borrowed until the next but some calls: use it at once. */
int past_policy(struct past *past, uint64_t position, const struct policy **ret_policy);
/* The state of a case after the records at these positions (of its chain, oldest first), in the arena. *ret_state is NULL where they open no case. ERR_ERASED. */
int past_case(struct past *past, const uint64_t *positions, size_t n, struct arena *arena, Reentry__CaseState **ret_state);
/* The event at `position` as the agency was given it, by the DELIVERED (or ACKED) record at `given`. care: the class C needs that may be shown at all (bits of Route.care); what the agency
 * was given beyond them is masked. ERR_NOTFOUND: it was given nothing of it. ERR_ERASED. */
struct past_given { uint64_t position, given; uint32_t care; };
int past_given(struct past *past, const struct past_given *what, const char *agency, struct arena *arena, Reentry__Delivery **ret_delivery, bool *ret_masked);

#endif
