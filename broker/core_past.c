/* Past states: the records of a case evolved again up to some position, each under the policy on the record there (broker/core_past.h). The same lines that a rebuild runs. */
#include "broker/core_past.h"

#include <stdlib.h>
#include <string.h>

#include "broker/config.h"
#include "broker/core_internal.h"
#include "lib/pb.h"

#define CHAIN_MAX 1000000          /* records of one case */
#define CONFIGS_MAX 100000         /* CONFIG records of a log */
#define FOLD_ROUND 256             /* records evolved before the memory that they took is given back */

/* --- positions ------------------------------------------------------------------------------------------------------------ */

int past_header(struct core *core, uint64_t position, struct arena *arena, Reentry__Header **ret_header)
{
	struct db_txn txn;
	int error = position && position <= core->committed ? db_begin_read(core->db, &txn) : ERR_NOTFOUND;

	if (error)
		return error;
	error = log_header(&txn, position, arena, ret_header);
	db_abort(&txn);
	return error;
}

int past_position(struct core *core, moment when, uint64_t *ret_position)
{
	uint64_t low = 0, high = core->committed; /* the answer lies between, both included */
	struct arena arena;
	int error = OK;

	arena_init(&arena, 0);
	while (low < high && !error) {
		const uint64_t middle = low + (high - low + 1) / 2;
		Reentry__Header *header = NULL;

		arena_reset(&arena);
		error = past_header(core, middle, &arena, &header);
		if (!error && header->recorded_at <= when)
			low = middle;
		else if (!error)
			high = middle - 1;
	}
	arena_release(&arena);
	*ret_position = low;
	return error;
}

/* The newest record of the case's chain, also of an erased one. */
static int newest(struct core *core, const char *subject, struct arena *arena, uint64_t *ret_position)
{
	struct core_erasure erasure;
	Reentry__CaseState *state = NULL;
	int error = core_case(core, subject, arena, &state);

	if (!error)
		*ret_position = state->last;
	if (error != ERR_ERASED)
		return error;
	error = core_erasure(core, subject, arena, &erasure);
	*ret_position = error ? 0 : erasure.last;
	return error;
}

static void turn_round(uint64_t *positions, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		const uint64_t kept = positions[i];

		positions[i] = positions[n - 1 - i];
		positions[n - 1 - i] = kept;
	}
}

static int add_position(uint64_t **positions, size_t *n, uint64_t position)
{
	if ((*n & (*n - 1)) == 0) { /* a power of two, or none: as much room again */
		uint64_t *more = realloc(*positions, (*n ? *n * 2 : 1) * sizeof *more);

		if (!more)
			return ERR_NOMEM;
		*positions = more;
	}
	(*positions)[(*n)++] = position;
	return OK;
}

int past_chain(struct core *core, const char *subject, uint64_t through, uint64_t **ret_positions, size_t *ret_n)
{
	uint64_t *positions = NULL, at = 0;
	struct arena arena;
	struct db_txn txn;
	size_t n = 0;
	int error;

	arena_init(&arena, 0);
	error = newest(core, subject, &arena, &at);
	if (!error)
		error = db_begin_read(core->db, &txn);
	if (error) {
		arena_release(&arena);
		return error;
	}
	for (size_t seen = 0; at && !error; seen++) {
		Reentry__Header *header = NULL;

		arena_reset(&arena);
		error = seen < CHAIN_MAX ? log_header(&txn, at, &arena, &header) : ERR_TOOBIG;
		if (!error && at <= through)
			error = add_position(&positions, &n, at);
		at = error || header->previous >= at ? 0 : header->previous;
	}
	db_abort(&txn);
	arena_release(&arena);
	turn_round(positions, n);
	if (error) {
		free(positions);
		return error;
	}
	*ret_positions = positions;
	*ret_n = n;
	return OK;
}

bool past_took_part(struct core *core, const char *agency)
{
	uint16_t number;

	return policy_agency(core->policy, agency) || agency_number(core, agency, false, &number) == OK;
}

/* --- the policy on record --------------------------------------------------------------------------------------------------- */

void past_init(struct past *past, struct core *core)
{
	*past = (struct past){ .core = core };
}

void past_release(struct past *past)
{
	free(past->configs);
	for (size_t i = 0; i < PAST_CONFIGS_KEPT; i++)
		broker_config_free(past->kept[i].config);
	past_init(past, past->core);
}

/* The CONFIG record before the one at `at`. A log that was begun by an earlier version does not name it: then it is looked for. */
static int config_before(struct db_txn *txn, uint64_t at, struct arena *arena, uint64_t *ret_at)
{
	Reentry__Header *header = NULL;
	int error;

	arena_reset(arena);
	error = log_header(txn, at, arena, &header);
	if (error)
		return error;
	*ret_at = header->has_previous && header->previous < at ? header->previous : 0;
	if (header->has_previous)
		return OK;
	for (*ret_at = at - 1; *ret_at && !error; (*ret_at)--) {
		arena_reset(arena);
		error = log_header(txn, *ret_at, arena, &header);
		if (!error && header->kind == REENTRY__RECORD_KIND__VALUE__CONFIG)
			break;
	}
	return error;
}

/* Goes back along the CONFIG records until one stands before the position. */
static int know_configs(struct past *past, uint64_t position)
{
	struct core *core = past->core;
	struct arena arena;
	struct db_txn txn;
	uint64_t at = past->n_configs ? past->configs[past->n_configs - 1] : 0;
	int error = db_begin_read(core->db, &txn);

	if (error)
		return error;
	arena_init(&arena, 0);
	while (!error && !past->all_configs && (!at || at > position)) {
		error = at ? config_before(&txn, at, &arena, &at) : policy_recorded_at(&txn, &at);
		past->all_configs = at == 0;
		if (!error && at)
			error = past->n_configs < CONFIGS_MAX ? add_position(&past->configs, &past->n_configs, at) : ERR_TOOBIG;
	}
	arena_release(&arena);
	db_abort(&txn);
	return error;
}

static int config_load(struct past *past, uint64_t at, struct past_config *room)
{
	struct core_record record;
	struct arena arena;
	void *message = NULL;
	char *text = NULL;
	int error;

	arena_init(&arena, 0);
	error = core_record(past->core, at, &arena, &record);
	if (!error)
		error = pb_unpack_own(&reentry__config_record__descriptor, record.body, record.body_n, &arena, &message);
	if (!error) {
		const ProtobufCBinaryData *policy = &((const Reentry__ConfigRecord *)message)->policy;

		text = strndup((const char *)policy->data, policy->len);
		error = text ? OK : ERR_NOMEM;
	}
	broker_config_free(room->config);
	*room = (struct past_config){ 0 };
	if (!error && strcmp(text, past->core->policy_text) != 0) /* the present one is parsed already */
		error = broker_config_parse(text, &room->config, NULL);
	room->at = error ? 0 : at;
	free(text);
	arena_release(&arena);
	return error;
}

int past_policy(struct past *past, uint64_t position, const struct policy **ret_policy)
{
	const struct past_config *found = NULL;
	uint64_t at = 0;
	int error = know_configs(past, position);

	for (size_t i = 0; !error && i < past->n_configs && !at; i++)
		if (past->configs[i] <= position)
			at = past->configs[i];
	for (size_t i = 0; !error && at && i < PAST_CONFIGS_KEPT && !found; i++)
		if (past->kept[i].at == at)
			found = &past->kept[i];
	if (!error && at && !found) {
		found = &past->kept[past->next];
		error = config_load(past, at, &past->kept[past->next]);
		past->next = (past->next + 1) % PAST_CONFIGS_KEPT;
	}
	*ret_policy = !error && found && found->config ? &found->config->policy : past->core->policy;
	return error;
}

/* --- states ------------------------------------------------------------------------------------------------------------------ */

static int evolve_one(struct past *past, uint64_t position, struct arena *arena, Reentry__CaseState **state)
{
	struct rules_run run = { .arena = arena, .position = position, .state = *state };
	struct core_record record;
	int error = core_record(past->core, position, arena, &record);

	if (!error && !record.header->has_class_)
		error = ERR_ERASED; /* said of a case that was erased before */
	if (!error)
		error = past_policy(past, position, &run.policy);
	if (error)
		return error;
	run.now = record.header->recorded_at;
	run.subject = record.header->subject;
	error = rules_evolve(&run, &record.record);
	*state = run.state;
	if (error || !run.state)
		return error;
	run.state->has_last = true;
	run.state->last = position;
	return OK;
}

/* Moves the state into an arena of its own, so that what it was made of can be forgotten. */
static int settle(struct arena *from, struct arena *to, Reentry__CaseState **state)
{
	uint8_t *bytes = NULL;
	void *moved = NULL;
	size_t n = 0;
	int error = *state ? pb_pack(*state, from, &bytes, &n) : OK;

	if (!error && *state)
		error = pb_unpack_own(&reentry__case_state__descriptor, bytes, n, to, &moved);
	*state = moved;
	return error;
}

int past_case(struct past *past, const uint64_t *positions, size_t n, struct arena *arena, Reentry__CaseState **ret_state)
{
	struct arena rounds[2];
	Reentry__CaseState *state = NULL;
	size_t in = 0;
	int error = OK;

	arena_init(&rounds[0], 0);
	arena_init(&rounds[1], 0);
	for (size_t i = 0; i < n && !error; i++) {
		error = evolve_one(past, positions[i], &rounds[in], &state);
		if (error || (i + 1) % FOLD_ROUND != 0)
			continue;
		error = settle(&rounds[in], &rounds[!in], &state);
		arena_reset(&rounds[in]);
		in = !in;
	}
	if (!error)
		error = settle(&rounds[in], arena, &state);
	arena_release(&rounds[0]);
	arena_release(&rounds[1]);
	*ret_state = error ? NULL : state;
	return error;
}

/* --- what an agency was given -------------------------------------------------------------------------------------------------- */

/* The class C needs that consent let the agency see when it was handed the event: of the state then. */
static int narrow(struct past *past, const struct past_given *what, const char *subject, Reentry__Route *route)
{
	Reentry__CaseState *state = NULL;
	const struct policy *policy;
	Reentry__Header *header = NULL;
	uint64_t *positions = NULL;
	struct arena arena;
	size_t n = 0;
	int error = past_chain(past->core, subject, what->given - 1, &positions, &n);

	arena_init(&arena, 0);
	if (!error)
		error = past_case(past, positions, n, &arena, &state);
	if (!error)
		error = past_header(past->core, what->given - 1, &arena, &header);
	if (!error)
		error = past_policy(past, what->given - 1, &policy);
	if (!error)
		route->care &= rules_care(state, policy, route->agency, header->recorded_at);
	arena_release(&arena);
	free(positions);
	return error;
}

int past_given(struct past *past, const struct past_given *what, const char *agency, struct arena *arena, Reentry__Delivery **ret_delivery, bool *ret_masked)
{
	const struct policy *policy;
	const Reentry__Route *found;
	struct core_record record;
	Reentry__Route route;
	int error = core_record(past->core, what->position, arena, &record);

	if (error)
		return error;
	found = record.record.event && record.record.envelope ? route_of(&record.record, agency) : NULL;
	if (!found)
		return ERR_NOTFOUND;
	route = *found;
	if (route.consent)
		error = narrow(past, what, record.header->subject, &route);
	if (!error)
		error = past_policy(past, what->given, &policy); /* looking back may have moved it */
	if (error)
		return error;
	*ret_masked = (route.care & ~what->care) != 0;
	route.care &= what->care;
	route.has_care = route.care != 0;
	return delivery_make(policy, &record, &route, arena, ret_delivery);
}
