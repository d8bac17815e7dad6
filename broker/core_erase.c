/* Erasure of a person's data (domain.md 9): an order by one operator, a confirmation by another, then the destruction of the keys.
 *
 *   order      an ERASE record; nothing else happens
 *   confirm    an ERASE record, and in the same transaction everything that is derived from the case goes: its state becomes a tombstone (position of its last record, and of the confirmation),
 *              its deadline, relations, queue entries and de-duplication entries are deleted, and every agency that was ever given something is told to destroy it (erasure.due)
 *   sync       from here on there is no way back: if we die, the next start goes on
 *   destroy    the keys are deleted from the key environment, and its file is rewritten without them (db_rewrite)
 *   executed   an ERASE record
 *
 * Each step may be repeated. Cases that were merged are names of one person and are erased together. What is said after the confirmation (erasure.due, and the agencies' erasure.executed) holds no
 * personal data and lies under the broker's own key, on the chain of the case. Table: reference → positions of order, confirmation and execution (8 bytes each; 0: not yet). */
#include <stdio.h>
#include <string.h>

#include "broker/core_internal.h"
#include "lib/id.h"
#include "lib/pb.h"

#define TOMBSTONE_SIZE 16        /* shorter than any sealed state */
#define LINKED_MAX 64            /* references of one person */
#define TOLD_MAX 1024            /* agencies that are told to destroy what they have */
#define RUN_MAX 256              /* erasures executed with one rewrite of the key file */
#define PURPOSE_MAX 500

struct names { const char **items; size_t n; };

static bool listed(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (strcmp(names->items[i], name) == 0)
			return true;
	return false;
}

static int add_name(struct arena *arena, struct names *names, size_t max, const char *name)
{
	const char **place;

	if (!name || names->n >= max || listed(names, name))
		return OK;
	place = ARENA_PUSH(arena, names->items, names->n);
	if (!place || !(*place = arena_strdup(arena, name)))
		return ERR_NOMEM;
	return OK;
}

/* --- what is stored ---------------------------------------------------------------------------------------------------------- */

int erasure_get(struct db_txn *txn, const char *ref, struct erasure *ret_erasure)
{
	struct db_value value;
	int error = db_get(txn, T_ERASURES, ref, strlen(ref), &value);

	if (error)
		return error;
	if (value.n != 24)
		return ERR_CORRUPT;
	*ret_erasure = (struct erasure){ get64(value.bytes), get64((const uint8_t *)value.bytes + 8), get64((const uint8_t *)value.bytes + 16) };
	return OK;
}

static int erasure_put(struct core *core, const char *ref, const struct erasure *erasure)
{
	uint8_t value[24];

	put64(value, erasure->ordered);
	put64(value + 8, erasure->confirmed);
	put64(value + 16, erasure->executed);
	return db_put(&core->txn, T_ERASURES, ref, strlen(ref), value, sizeof value);
}

bool erasure_is_known(struct db_txn *txn, const char *ref)
{
	struct erasure erasure;

	return ref && erasure_get(txn, ref, &erasure) == OK && erasure.confirmed;
}

bool tombstone_is(const struct db_value *value)
{
	return value->n == TOMBSTONE_SIZE;
}

/* ERR_NOTFOUND: the case is not erased. */
static int tombstone_get(struct db_txn *txn, const char *ref, uint64_t *ret_last)
{
	struct db_value value;
	int error = db_get(txn, T_CASES, ref, strlen(ref), &value);

	if (error || !tombstone_is(&value))
		return error ? error : ERR_NOTFOUND;
	*ret_last = get64(value.bytes);
	return OK;
}

int tombstone_put(struct core *core, const char *ref, uint64_t last)
{
	struct erasure erasure = { 0 };
	uint8_t value[TOMBSTONE_SIZE];
	int error = erasure_get(&core->txn, ref, &erasure);

	if (error && error != ERR_NOTFOUND)
		return error;
	put64(value, last);
	put64(value + 8, erasure.confirmed);
	return db_put(&core->txn, T_CASES, ref, strlen(ref), value, sizeof value);
}

/* --- everything that is derived from a case ------------------------------------------------------------------------------------ */

struct forgetting { struct core *core, *from; struct db_txn *txn; struct arena *arena; struct names *told; };

static int forget_queued(struct core *core, const Reentry__Header *header)
{
	uint8_t key[DB_KEY_MAX];
	uint16_t number = 0;
	int error = OK;

	for (size_t i = 0; i < header->n_to && !error; i++) {
		error = agency_number(core, header->to[i], false, &number);
		if (!error)
			error = db_del(&core->txn, T_QUEUE, key, db_key(key, "hq", number, header->position));
		error = error == ERR_NOTFOUND ? OK : error;
	}
	return error;
}

/* What is kept of the content to know it again goes as well; without the key there is nothing left that would tell its id. */
static int forget_id(struct core *core, const struct core_record *record)
{
	uint8_t key[DB_KEY_MAX];
	uint16_t number = 0;
	int error;

	if (!record->record.envelope || !record->record.envelope->id || !record->header->agency)
		return OK;
	error = agency_number(core, record->header->agency, false, &number);
	if (!error)
		error = db_del(&core->txn, T_IDS, key, db_key(key, "hs", number, record->record.envelope->id));
	return error == ERR_NOTFOUND ? OK : error;
}

static int forget_record(struct forgetting *f, uint64_t position, uint64_t *ret_previous)
{
	struct core_record record;
	int error;

	arena_reset(f->arena);
	error = log_read(f->from, f->txn, position, f->arena, &record);
	if (error && error != ERR_ERASED)
		return error;
	*ret_previous = record.header->has_previous ? record.header->previous : 0;
	if (*ret_previous >= position)
		return ERR_CORRUPT;
	error = forget_queued(f->core, record.header);
	if (!error)
		error = forget_id(f->core, &record);
	if (!error && f->told)
		error = add_name(&f->core->arena, f->told, TOLD_MAX, record.header->agency);
	for (size_t i = 0; i < record.header->n_to && f->told && !error; i++)
		error = add_name(&f->core->arena, f->told, TOLD_MAX, record.header->to[i]);
	return error;
}

static int forget_chain(struct core *core, uint64_t last, struct names *told)
{
	struct arena arena;
	struct forgetting f = { .core = core, .from = core->live ? core->live : core, .txn = core->live ? core->live_txn : &core->txn, .arena = &arena, .told = told };
	int error = OK;

	arena_init(&arena, 0);
	for (uint64_t position = last; position && !error;)
		error = forget_record(&f, position, &position);
	arena_release(&arena);
	return error;
}

static int forget_indexes(struct core *core, struct loaded *it)
{
	uint8_t key[DB_KEY_MAX];
	int error = OK;

	if (it->due != MOMENT_NONE)
		error = db_del(&core->txn, T_DUE, key, db_key(key, "ts", it->due, it->ref));
	error = error == ERR_NOTFOUND ? OK : error;
	for (size_t i = 0; i < it->n_related && !error; i++)
		error = related_put(core, it->related[i].agency->id, it->ref, 0);
	return error;
}

/* The case's last record, looked for from the end of the log; 0: it has none. */
static int chain_end(struct core *core, const char *ref, uint64_t *ret_last)
{
	struct db_txn *txn = core->live ? core->live_txn : &core->txn;
	struct arena arena;
	int error = OK;

	*ret_last = 0;
	arena_init(&arena, 0);
	for (uint64_t position = core->last; position && !*ret_last && !error; position--) {
		Reentry__Header *header = NULL;

		arena_reset(&arena);
		error = log_header(txn, position, &arena, &header);
		if (!error && header->has_previous && header->subject && strcmp(header->subject, ref) == 0)
			*ret_last = position;
	}
	arena_release(&arena);
	return error;
}

/* told: who was ever given something, or gave it; NULL in a rebuild. */
static int forget_case(struct core *core, const char *ref, struct names *told)
{
	struct loaded *it = NULL;
	uint64_t last = 0;
	int error = case_load(core, ref, &it);

	if (error == ERR_ERASED) {
		error = tombstone_get(&core->txn, ref, &last);
		if (error == ERR_NOTFOUND)
			error = chain_end(core, ref, &last); /* its key was lost before: nothing tells but the headers */
	} else if (!error && it->state) {
		last = it->state->last;
		error = forget_indexes(core, it);
	}
	if (!error)
		error = forget_chain(core, last, told);
	if (!error && it) {
		it->erased = true;
		it->dirty = false;
		it->state = NULL;
	}
	return error ? error : tombstone_put(core, ref, last);
}

/* --- records ---------------------------------------------------------------------------------------------------------------------- */

int erase_project(struct core *core, const Reentry__Header *header, const Reentry__AuditRecord *audit, struct erase_told *told)
{
	struct erasure erasure = { 0 };
	struct names names = { 0 };
	int error = erasure_get(&core->txn, header->subject, &erasure);

	if (error && error != ERR_NOTFOUND)
		return error;
	if (strcmp(audit->action, "withdraw") == 0) {
		error = db_del(&core->txn, T_ERASURES, header->subject, strlen(header->subject));
		return error == ERR_NOTFOUND ? OK : error;
	}
	if (strcmp(audit->action, "order") == 0)
		erasure.ordered = header->position;
	else
		erasure.ordered = audit->order;
	if (strcmp(audit->action, "confirm") == 0)
		erasure.confirmed = header->position;
	if (strcmp(audit->action, "executed") == 0)
		erasure.executed = header->position;
	error = erasure_put(core, header->subject, &erasure);
	core->settle = core->settle || erasure.confirmed == header->position; /* what goes must not come back at a start, when its key is gone and nothing tells what it was */
	if (!error && erasure.confirmed == header->position)
		error = forget_case(core, header->subject, told ? &names : NULL);
	if (told)
		*told = (struct erase_told){ names.items, names.n };
	return error;
}

struct step { const char *action, *subject, *who, *purpose; uint64_t order; };

static int append_step(struct core *core, const struct step *step, struct erase_told *told)
{
	Reentry__Header header = REENTRY__HEADER__INIT;
	Reentry__AuditRecord audit = REENTRY__AUDIT_RECORD__INIT;
	static char outcome[] = "recorded";
	uint8_t *bytes = NULL;
	size_t n = 0;
	int error;

	audit.who = (char *)(uintptr_t)step->who;
	audit.action = (char *)(uintptr_t)step->action;
	audit.purpose = (char *)(uintptr_t)step->purpose;
	audit.outcome = outcome;
	audit.has_order = step->order != 0;
	audit.order = step->order;
	header.has_kind = true;
	header.kind = REENTRY__RECORD_KIND__VALUE__ERASE;
	header.agency = audit.who;
	header.subject = (char *)(uintptr_t)step->subject;
	error = pb_pack(&audit, &core->arena, &bytes, &n);
	if (!error)
		error = log_append(core, &header, bytes, n);
	return error ? error : erase_project(core, &header, &audit, told);
}

static int read_step(struct core *core, struct db_txn *txn, uint64_t position, struct arena *arena, struct core_record *ret_record, Reentry__AuditRecord **ret_audit)
{
	void *message = NULL;
	int error = log_read(core, txn, position, arena, ret_record);

	if (!error && ret_record->header->kind != REENTRY__RECORD_KIND__VALUE__ERASE)
		error = ERR_CORRUPT;
	if (!error)
		error = pb_unpack_own(&reentry__audit_record__descriptor, ret_record->body, ret_record->body_n, arena, &message);
	*ret_audit = message;
	return error;
}

/* --- telling the agencies ------------------------------------------------------------------------------------------------------------- */

/* An EVENT record of an erased case: sealed under the broker's own key, on the case's chain. */
static int append_event(struct core *core, const char *ref, const char *agency, Reentry__EventRecord *body)
{
	Reentry__Header header = REENTRY__HEADER__INIT;
	uint8_t *bytes = NULL;
	size_t n = 0;
	uint64_t last = 0;
	int error = tombstone_get(&core->txn, ref, &last);

	header.has_kind = header.has_previous = true;
	header.kind = REENTRY__RECORD_KIND__VALUE__EVENT;
	header.agency = (char *)(uintptr_t)agency;
	header.subject = (char *)(uintptr_t)ref;
	header.previous = last;
	header.to = arena_alloc(&core->arena, (body->n_routes + 1) * sizeof(char *));
	if (!error && !header.to)
		error = ERR_NOMEM;
	for (size_t i = 0; i < body->n_routes && !error; i++)
		header.to[header.n_to++] = body->routes[i]->agency;
	body->has_time = body->has_outcome = body->has_rules_version = true;
	body->outcome = REENTRY__OUTCOME__VALUE__ACCEPTED;
	body->rules_version = RULES_VERSION;
	if (!error)
		error = pb_pack(body, &core->arena, &bytes, &n);
	if (!error)
		error = log_append(core, &header, bytes, n);
	return error ? error : erased_event_project(core, &header, body);
}

int erased_event_project(struct core *core, const Reentry__Header *header, Reentry__EventRecord *event)
{
	int error = tombstone_put(core, header->subject, header->position);

	return error ? error : erased_event_index(core, header, event);
}

int erased_event_index(struct core *core, const Reentry__Header *header, Reentry__EventRecord *event)
{
	struct rules_record record = { .kind = header->kind, .position = header->position, .agency = header->agency, .class = REENTRY__CLASS__VALUE__A, .event = event };
	void *envelope = NULL;
	int error = queue_project(core, &record, header->subject);

	if (error || strcmp(header->agency, core->policy->broker_id) == 0)
		return error;
	error = pb_unpack_own(&reentry__event__descriptor, event->content.data, event->content.len, &core->arena, &envelope);
	return error ? error : ids_put(core, header->agency, ((Reentry__Event *)envelope)->id, event->content.data, event->content.len, header->position, event->outcome);
}

static int due_content(struct core *core, const char *ref, ProtobufCBinaryData *ret_content)
{
	Reentry__Event event = REENTRY__EVENT__INIT;
	Reentry__Erasure erasure = REENTRY__ERASURE__INIT;
	static char type[] = "erasure.due", reason[] = "erasure was ordered";
	char id[ID_TEXT_SIZE], seed[160];
	int n = snprintf(seed, sizeof seed, "%s %llu %s", core->policy->broker_id, (unsigned long long)core->last + 1, type), error;

	id_derive(id, core->now, seed, (size_t)n < sizeof seed ? (size_t)n : sizeof seed - 1);
	event.id = id;
	event.type = type;
	event.source = (char *)(uintptr_t)core->policy->broker_id;
	event.subject = (char *)(uintptr_t)ref;
	event.has_op = event.has_priority = event.has_data = true;
	event.op = REENTRY__OP__VALUE__NEW;
	event.priority = REENTRY__PRIORITY__VALUE__NORMAL;
	erasure.reason = reason;
	error = pb_pack(&erasure, &core->arena, &event.data.data, &event.data.len);
	return error ? error : pb_pack(&event, &core->arena, &ret_content->data, &ret_content->len);
}

/* To every agency of the configuration that was ever given something of the case, or gave it. */
static int tell(struct core *core, const char *ref, const struct erase_told *told)
{
	Reentry__EventRecord body = REENTRY__EVENT_RECORD__INIT;
	Reentry__Route **place;
	int error = due_content(core, ref, &body.content);

	for (size_t i = 0; i < told->n && !error; i++) {
		Reentry__Route *route = policy_agency(core->policy, told->ids[i]) ? PB_NEW(&core->arena, Reentry__Route, reentry__route) : NULL;

		if (!policy_agency(core->policy, told->ids[i]))
			continue;
		place = route ? ARENA_PUSH(&core->arena, body.routes, body.n_routes) : NULL;
		if (!place)
			return ERR_NOMEM;
		route->agency = (char *)(uintptr_t)told->ids[i];
		route->has_relations = true;
		route->relations = REL_NAMED;
		*place = route;
	}
	body.has_content = true;
	body.time = core->now;
	return error || !body.n_routes ? error : append_event(core, ref, core->policy->broker_id, &body);
}

/* Whether the agency was told to destroy what it has: what it answers is taken in, though the case is gone. */
static int was_told(struct core *core, const char *ref, const char *agency)
{
	uint64_t position = 0;
	int error = tombstone_get(&core->txn, ref, &position);

	while (!error && position) {
		Reentry__Header *header = NULL;

		error = log_header(&core->txn, position, &core->arena, &header);
		if (error || header->has_class_)
			break; /* of before the erasure */
		for (size_t i = 0; i < header->n_to; i++)
			if (strcmp(header->to[i], agency) == 0)
				return OK;
		position = header->previous < position ? header->previous : 0;
	}
	return error ? error : ERR_NOTFOUND;
}

int erase_reported(struct core *core, const struct rules_input *input, uint64_t *ret_position)
{
	Reentry__EventRecord body = REENTRY__EVENT_RECORD__INIT;
	int error = strcmp(input->event->type, "erasure.executed") == 0 ? was_told(core, input->event->subject, input->agency->id) : ERR_NOTFOUND;

	if (error)
		return error;
	body.has_content = true;
	body.content = (ProtobufCBinaryData){ input->content_n, (uint8_t *)(uintptr_t)input->content };
	body.time = input->time;
	error = append_event(core, input->event->subject, input->agency->id, &body);
	*ret_position = core->last;
	return error;
}

/* --- order and confirmation --------------------------------------------------------------------------------------------------------------- */

static int check_step(struct core *core, const struct step *step, struct erasure *ret_erasure, struct err *err)
{
	struct db_value value;
	Reentry__CaseState *state;
	int error;

	*ret_erasure = (struct erasure){ 0 };
	if (!step->subject || !ref_is_valid(step->subject))
		return err_set(err, ERR_INVALID, "case: is no case reference");
	if (!step->purpose || !step->purpose[strspn(step->purpose, " \t")] || strlen(step->purpose) > PURPOSE_MAX)
		return err_set(err, ERR_INVALID, "order: a text of at most %d characters that says on what ground", PURPOSE_MAX);
	error = erasure_get(&core->txn, step->subject, ret_erasure);
	if (error == OK && ret_erasure->confirmed)
		return err_set(err, ERR_EXISTS, "case %s is erased, by the order at sequence %llu", step->subject, (unsigned long long)ret_erasure->ordered);
	if (error && error != ERR_NOTFOUND)
		return err_set(err, error, "the table of erasures cannot be read: %s", err_text(error));
	error = db_get(&core->txn, T_CASES, step->subject, strlen(step->subject), &value);
	if (error == ERR_NOTFOUND)
		error = case_read(core, &core->txn, step->subject, &core->arena, &state);
	return error ? err_set(err, error, error == ERR_NOTFOUND ? "there is no case %s" : "case %s cannot be read", step->subject) : OK;
}

int core_erase_order(struct core *core, const char *subject, const char *who, const char *purpose, struct err *err)
{
	struct step step = { .action = "order", .subject = subject, .who = who, .purpose = purpose };
	struct erasure erasure;
	int error = check_step(core, &step, &erasure, err);

	if (!error && erasure.ordered)
		error = err_set(err, ERR_EXISTS, "the erasure of case %s is ordered at sequence %llu already: another operator confirms it", subject, (unsigned long long)erasure.ordered);
	if (error)
		return error;
	error = append_step(core, &step, NULL);
	return error ? err_set(err, error, "the order could not be recorded: %s", err_text(error)) : OK;
}

int core_erase_withdraw(struct core *core, const char *subject, const char *who, const char *purpose, struct err *err)
{
	struct step step = { .action = "withdraw", .subject = subject, .who = who, .purpose = purpose };
	struct erasure erasure;
	int error = check_step(core, &step, &erasure, err);

	if (!error && !erasure.ordered)
		error = err_set(err, ERR_NOTFOUND, "no erasure of case %s is ordered", subject);
	if (error)
		return error;
	step.order = erasure.ordered;
	error = append_step(core, &step, NULL);
	return error ? err_set(err, error, "it could not be recorded: %s", err_text(error)) : OK;
}

/* The case and all that is merged with it: one person has one right. */
static int all_names(struct core *core, const char *subject, struct names *names)
{
	int error = add_name(&core->arena, names, LINKED_MAX, subject);

	for (size_t i = 0; i < names->n && !error; i++) {
		struct loaded *it = NULL;

		error = case_load(core, names->items[i], &it);
		if (error == ERR_ERASED || (!error && !it->state)) {
			error = OK;
			continue;
		}
		if (!error)
			error = add_name(&core->arena, names, LINKED_MAX, it->state->merged_into);
		for (size_t k = 0; !error && k < it->state->n_merges; k++)
			if (it->state->merges[k]->done)
				error = add_name(&core->arena, names, LINKED_MAX, it->state->merges[k]->other);
	}
	return error;
}

static int erase_all(struct core *core, const struct step *confirm, const struct names *names)
{
	struct erase_told told[LINKED_MAX] = { 0 };
	int error = OK;

	for (size_t i = 0; i < names->n && !error; i++) {
		struct step step = *confirm;

		step.subject = names->items[i];
		error = append_step(core, &step, &told[i]);
	}
	for (size_t i = 0; i < names->n && !error; i++)
		error = tell(core, names->items[i], &told[i]);
	return error;
}

int core_erase_confirm(struct core *core, const char *subject, const char *who, const char *purpose, struct err *err)
{
	struct step step = { .action = "confirm", .subject = subject, .who = who, .purpose = purpose };
	Reentry__AuditRecord *order = NULL;
	struct core_record record;
	struct names names = { 0 };
	struct erasure erasure;
	int error = check_step(core, &step, &erasure, err);

	if (!error && !erasure.ordered)
		error = err_set(err, ERR_NOTFOUND, "no erasure of case %s is ordered: one operator orders it, another confirms", subject);
	if (error)
		return error;
	error = read_step(core, &core->txn, erasure.ordered, &core->arena, &record, &order);
	if (!error && order->who && strcmp(order->who, who) == 0)
		return err_set(err, ERR_DENIED, "the order was given by %s: another operator must confirm it", who);
	step.order = erasure.ordered;
	if (!error)
		error = all_names(core, subject, &names);
	if (!error)
		error = erase_all(core, &step, &names);
	return error ? err_set(err, error, "the erasure could not be confirmed: %s", err_text(error)) : OK;
}

int erase_repeat(struct core *core, const char *ref, const Reentry__ErasedCase *kept)
{
	const struct step confirm = { .action = "confirm", .subject = ref, .who = kept->confirmed_by, .purpose = kept->order };
	struct step order = { .action = "order", .subject = ref, .who = kept->ordered_by, .purpose = kept->order };
	const struct names names = { .items = &ref, .n = 1 };
	struct step again = confirm;
	int error = append_step(core, &order, NULL);

	again.order = core->last;
	return error ? error : erase_all(core, &again, &names);
}

/* --- execution ------------------------------------------------------------------------------------------------------------------------------ */

struct pending { const char *refs[RUN_MAX]; uint64_t orders[RUN_MAX]; size_t n; };

/* Confirmed and not executed; or executed, and the key is there again, out of a backup. */
static int find_pending(struct core *core, struct arena *arena, struct pending *pending)
{
	struct db_cursor cursor;
	struct db_txn txn;
	int error = db_begin_read(core->db, &txn);

	DB_FOREACH(&cursor, &txn, T_ERASURES, NULL, 0) {
		char ref[DB_KEY_MAX + 1];
		struct erasure erasure;

		memcpy(ref, cursor.key.bytes, cursor.key.n);
		ref[cursor.key.n] = 0;
		if (!error)
			error = erasure_get(&txn, ref, &erasure);
		if (!error && erasure.confirmed && (!erasure.executed || keys_exist(core, ref))) {
			pending->refs[pending->n] = arena_strdup(arena, ref);
			pending->orders[pending->n] = erasure.ordered;
			error = pending->refs[pending->n++] ? OK : ERR_NOMEM;
		}
		if (error || pending->n == RUN_MAX) {
			db_cursor_close(&cursor);
			break;
		}
	}
	if (!error)
		error = txn.error;
	db_abort(&txn);
	return error;
}

static int record_executed(struct core *core, moment now, const struct pending *pending)
{
	int error = core_begin(core, now);

	for (size_t i = 0; i < pending->n && !error; i++)
		error = append_step(core, &(struct step){ "executed", pending->refs[i], core->policy->broker_id, NULL, pending->orders[i] }, NULL);
	if (!error)
		return core_commit(core);
	if (core->in_turn)
		core_rollback(core);
	return error;
}

int core_erase_run(struct core *core, moment now, size_t *ret_n, struct err *err)
{
	struct pending pending;
	struct arena arena;
	int error = OK;

	*ret_n = 0;
	arena_init(&arena, 0);
	do {
		pending.n = 0;
		arena_reset(&arena);
		error = find_pending(core, &arena, &pending);
		if (error)
			(void)err_set(err, error, "the table of erasures cannot be read: %s", err_text(error)); /* returned below; so the others */
		else if (pending.n)
			error = keys_destroy(core, pending.refs, pending.n, err);
		if (!error && pending.n) {
			error = record_executed(core, now, &pending);
			if (error)
				(void)err_set(err, error, "the keys are destroyed, and it could not be recorded: %s; it is done again at the next start", err_text(error));
		}
		if (!error && pending.n)
			arena_wipe(&core->arena); /* what earlier turns left in it */
		*ret_n += error ? 0 : pending.n;
	} while (!error && pending.n == RUN_MAX);
	arena_release(&arena);
	return error;
}

/* --- questions --------------------------------------------------------------------------------------------------------------------------------- */

static int read_who(struct core *core, struct db_txn *txn, uint64_t position, struct arena *arena, const char **ret_who, const char **ret_text)
{
	Reentry__AuditRecord *audit = NULL;
	struct core_record record;
	int error = position ? read_step(core, txn, position, arena, &record, &audit) : OK;

	if (position && !error) {
		*ret_who = audit->who;
		if (ret_text)
			*ret_text = audit->purpose;
	}
	return error;
}

int core_erasure(struct core *core, const char *subject, struct arena *arena, struct core_erasure *ret_erasure)
{
	struct erasure erasure;
	struct db_txn txn;
	int error = db_begin_read(core->db, &txn);

	*ret_erasure = (struct core_erasure){ 0 };
	if (!error)
		error = erasure_get(&txn, subject, &erasure);
	if (!error) {
		*ret_erasure = (struct core_erasure){ .ordered = erasure.ordered, .confirmed = erasure.confirmed, .executed = erasure.executed };
		error = read_who(core, &txn, erasure.ordered, arena, &ret_erasure->ordered_by, &ret_erasure->order);
	}
	if (!error)
		error = read_who(core, &txn, erasure.confirmed, arena, &ret_erasure->confirmed_by, NULL);
	if (!error && erasure.confirmed)
		error = tombstone_get(&txn, subject, &ret_erasure->last);
	db_abort(&txn);
	return error;
}
