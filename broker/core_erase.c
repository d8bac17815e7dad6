/* Erasure of a person's data (domain.md 9): an order by one operator, a confirmation by another, then the destruction of the keys.
 *
 *   order      an ERASE record; nothing else happens
 *   confirm    an ERASE record, and in the same transaction everything that is derived from the case goes, and every agency that was ever given something is told to destroy it (erasure.due)
 *   sync       from here on there is no way back: if we die, the next start goes on
 *   destroy    the keys are deleted from the key environment, and its file is rewritten without them (db_rewrite)
 *   executed   an ERASE record
 *
 * Each step may be repeated. Cases that were merged are names of one person and are erased together. What is said after the confirmation (erasure.due, and the agencies' erasure.executed) holds no
 * personal data and lies under the broker's own key, on the chain of the case. What goes, and what is left, is core_forget.c's. */
#include <stdio.h>
#include <string.h>

#include "broker/core_internal.h"
#include "lib/id.h"
#include "lib/pb.h"

#define LINKED_MAX 64            /* references of one person */
#define RUN_MAX 256              /* erasures executed with one rewrite of the key file */
#define PURPOSE_MAX 500

/* --- records ---------------------------------------------------------------------------------------------------------------------- */

int erase_project(struct core *core, const Reentry__Header *header, const Reentry__AuditRecord *audit, struct erase_names *told)
{
	struct erasure erasure = { 0 };
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
		error = forget_case(core, header->subject, told);
	return error;
}

struct step { const char *action, *subject, *who, *purpose; uint64_t order; bool confirms; };

static int append_step(struct core *core, const struct step *step, struct erase_names *told)
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
static int tell(struct core *core, const char *ref, const struct erase_names *told)
{
	Reentry__EventRecord body = REENTRY__EVENT_RECORD__INIT;
	Reentry__Route **place;
	int error = due_content(core, ref, &body.content);

	for (size_t i = 0; i < told->n && !error; i++) {
		Reentry__Route *route = policy_agency(core->policy, told->items[i]) ? PB_NEW(&core->arena, Reentry__Route, reentry__route) : NULL;

		if (!policy_agency(core->policy, told->items[i]))
			continue;
		place = route ? ARENA_PUSH(&core->arena, body.routes, body.n_routes) : NULL;
		if (!place)
			return ERR_NOMEM;
		route->agency = (char *)(uintptr_t)told->items[i];
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

	seals_wait(core);
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
	if (!step->purpose ? !step->confirms : !step->purpose[strspn(step->purpose, " \t")] || strlen(step->purpose) > PURPOSE_MAX)
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
static int all_names(struct core *core, const char *subject, struct erase_names *names)
{
	int error = erase_name(&core->arena, names, LINKED_MAX, subject);

	for (size_t i = 0; i < names->n && !error; i++) {
		struct loaded *it = NULL;

		error = case_load(core, names->items[i], &it);
		if (error == ERR_ERASED || (!error && !it->state)) {
			error = OK;
			continue;
		}
		if (!error)
			error = erase_name(&core->arena, names, LINKED_MAX, it->state->merged_into);
		for (size_t k = 0; !error && k < it->state->n_merges; k++)
			if (it->state->merges[k]->done)
				error = erase_name(&core->arena, names, LINKED_MAX, it->state->merges[k]->other);
	}
	return error;
}

static int erase_all(struct core *core, const struct step *confirm, const struct erase_names *names)
{
	struct erase_names told[LINKED_MAX] = { 0 };
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
	struct step step = { .action = "confirm", .subject = subject, .who = who, .purpose = purpose, .confirms = true };
	Reentry__AuditRecord *order = NULL;
	struct core_record record;
	struct erase_names names = { 0 };
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
	if (!error && !purpose)
		step.purpose = order->purpose;
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
	const struct erase_names names = { .items = &ref, .n = 1 };
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
		error = append_step(core, &(struct step){ "executed", pending->refs[i], core->policy->broker_id, NULL, pending->orders[i], false }, NULL);
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
			arena_wipe(&core->arena), arena_wipe(&core->other_arena); /* what earlier turns left in them */
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
