/* What a turn takes in: publishes, acknowledgements, deadlines (broker/core.h). */
#include <stdio.h>
#include <string.h>

#include "broker/core_internal.h"
#include "lib/id.h"
#include "lib/pb.h"

#define EVENT REENTRY__RECORD_KIND__VALUE__EVENT
#define REFUSED_KEPT ((size_t)1024) /* bytes that are kept of what was refused unread */

/* --- recording what the rules decided --------------------------------------------------------------------------------------- */

static int pack_body(struct core *core, const struct rules_record *record, uint8_t **ret_bytes, size_t *ret_n)
{
	return pb_pack(record->kind == EVENT ? (const void *)record->event : (const void *)record->timer, &core->arena, ret_bytes, ret_n);
}

/* Appends one record of a case and projects it. it NULL: a refusal that belongs to no case. */
static int record_append(struct core *core, const struct rules_record *record, struct loaded *it)
{
	Reentry__Header header = REENTRY__HEADER__INIT;
	uint8_t *body = NULL;
	size_t n = 0;
	char *to[1024];
	int error = pack_body(core, record, &body, &n);

	if (error)
		return error;
	header.has_kind = true;
	header.kind = record->kind;
	header.agency = (char *)(uintptr_t)record->agency;
	if (it) {
		header.subject = (char *)(uintptr_t)it->ref;
		header.has_class_ = header.has_previous = true;
		header.class_ = record->class;
		header.previous = it->state->last;
	}
	for (size_t i = 0; record->event && i < record->event->n_routes && i < sizeof to / sizeof *to; i++)
		to[header.n_to++] = record->event->routes[i]->agency;
	header.to = to;
	if (core->last + 1 != record->position)
		return ERR_CORRUPT;
	error = log_append(core, &header, body, n);
	if (error || !it)
		return error;
	it->state->has_last = true;
	it->state->last = record->position;
	it->dirty = true;
	if (record->kind != EVENT || !record->event)
		return OK;
	error = queue_project(core, record, it->ref);
	if (!error && record->event->n_routes && !core->shadow)
		recent_keep(core, &(struct core_record){ .header = &header, .record = *record }, &core->arena);
	return error;
}

static void run_begin(struct core *core, struct rules_run *run, struct loaded *it)
{
	*run = (struct rules_run){
		.policy = core->policy, .arena = &core->arena, .now = core->now, .position = core->last + 1, .subject = it->ref, .state = it->state, .relations = &it->relations,
	};
}

static int run_append(struct core *core, struct rules_run *run, struct loaded *it);

/* What an agency was given of the person under the references that were merged into this case ends as well. */
static int leave(struct core *core, const char *ref, const char *agency)
{
	struct loaded *it = NULL;
	struct rules_run run;
	int error = case_load(core, ref, &it);

	if (error == ERR_ERASED)
		return OK;
	if (error == ERR_CORRUPT)
		return case_damaged(core, ref);
	if (error || !it->state)
		return error;
	run_begin(core, &run, it);
	error = rules_leave(&run, agency);
	return error ? error : run_append(core, &run, it);
}

static int leave_names(struct core *core, const struct loaded *it, const char *agency)
{
	int error = OK;

	for (size_t i = 0; it->state && i < it->state->n_merges && !error; i++)
		if (it->state->merges[i]->done)
			error = leave(core, it->state->merges[i]->other, agency);
	return error;
}

static int run_append(struct core *core, struct rules_run *run, struct loaded *it)
{
	int error = run->error;

	if (!error)
		it->state = run->state;
	for (size_t i = 0; i < run->n_records && !error; i++)
		error = record_append(core, &run->records[i], it);
	for (size_t i = 0; i < run->n_records && !error; i++)
		for (size_t k = 0; run->records[i].event && k < run->records[i].event->n_ended && !error; k++)
			error = leave_names(core, it, run->records[i].event->ended[k]);
	return error;
}

/* The case that a reference is a name of: it may have been merged, and that one again. */
static int load_person(struct core *core, const char *ref, struct loaded **ret_case)
{
	int error = case_load(core, ref, ret_case);

	for (int i = 0; !error && (*ret_case)->state && (*ret_case)->state->merged_into; i++)
		error = i < MERGED_DEPTH_MAX ? case_load(core, (*ret_case)->state->merged_into, ret_case) : ERR_CORRUPT;
	return error;
}

/* Timers due at or before a moment fire before anything else of that moment (domain.md 4.1). */
static int fire_case(struct core *core, struct loaded *it)
{
	struct rules_run run;
	moment due = it->state ? rules_next_due(it->state) : MOMENT_NONE;
	int error;

	if (due == MOMENT_NONE || due > core->now)
		return OK;
	run_begin(core, &run, it);
	error = rules_fire(&run);
	return error ? error : run_append(core, &run, it);
}

/* --- publishing ------------------------------------------------------------------------------------------------------------------- */

/* Refused before the rules saw it: on the record, under the broker's own key, since it belongs to no case that is known to exist. */
static int refuse_raw(struct core *core, const struct agency *agency, const uint8_t *content, size_t n, moment time, struct core_receipt *receipt)
{
	Reentry__EventRecord event = REENTRY__EVENT_RECORD__INIT;
	struct rules_record record = { .kind = EVENT, .position = core->last + 1, .agency = agency->id, .event = &event };

	receipt->result = REENTRY__OUTCOME__VALUE__REFUSED;
	event.has_outcome = event.has_time = event.has_content = true;
	event.outcome = REENTRY__OUTCOME__VALUE__REFUSED;
	event.time = time;
	event.content.data = (uint8_t *)(uintptr_t)content;
	event.content.len = n > REFUSED_KEPT ? REFUSED_KEPT : n; /* its beginning tells what it was; more would let anybody fill the store with what is refused */
	event.code = (char *)(uintptr_t)receipt->code;
	event.detail = (char *)(uintptr_t)receipt->detail;
	return record_append(core, &record, NULL);
}

static int refuse_with(struct core *core, struct core_receipt *receipt, const char *code, const char *detail)
{
	receipt->code = code;
	receipt->detail = arena_strdup(&core->arena, detail);
	return receipt->detail ? OK : ERR_NOMEM;
}

/* Of an erased case only that an agency has destroyed what it had of it is still heard. */
static int decide_erased(struct core *core, struct rules_input *input, struct core_receipt *receipt)
{
	int error = erase_reported(core, input, &receipt->sequence);

	if (error == OK)
		receipt->result = REENTRY__OUTCOME__VALUE__ACCEPTED;
	if (error != ERR_NOTFOUND)
		return error;
	error = refuse_with(core, receipt, "no-such-case", "subject: there is no such case");
	return error ? error : refuse_raw(core, input->agency, input->content, input->content_n, input->time, receipt);
}

/* Its state cannot be read. The publisher keeps the event and tries again; nobody else is held up. */
static int decide_damaged(struct core *core, const char *ref, struct rules_input *input, struct core_receipt *receipt)
{
	int error = case_damaged(core, ref);

	if (!error)
		error = refuse_with(core, receipt, "busy", "the broker cannot read this case at present; its operator is told");
	return error ? error : refuse_raw(core, input->agency, input->content, input->content_n, input->time, receipt);
}

/* After a merge: who has a relation to the reference that was taken in, and none to the case that goes on. */
static int leave_strangers(struct core *core, const struct loaded *it, const struct loaded *other)
{
	struct related *theirs = NULL, *ours = NULL;
	size_t n_theirs = 0, n_ours = 0;
	int error = relations_of(other->state, core->policy, &core->arena, &theirs, &n_theirs);

	if (!error)
		error = relations_of(it->state, core->policy, &core->arena, &ours, &n_ours);
	for (size_t i = 0; i < n_theirs && !error; i++) {
		bool stays = false;

		for (size_t k = 0; k < n_ours; k++)
			stays = stays || ours[k].agency == theirs[i].agency;
		if (!stays)
			error = leave(core, other->ref, theirs[i].agency->id);
	}
	return error;
}

/* The second case of a merge. Erased: as if there had never been one. */
static int load_other(struct core *core, const char *ref, struct loaded **ret_other)
{
	int error = case_load(core, ref, ret_other);

	if (!error)
		error = fire_case(core, *ret_other);
	if (error)
		*ret_other = NULL;
	return error == ERR_ERASED ? OK : error;
}

static int decide(struct core *core, struct rules_input *input, struct core_receipt *receipt)
{
	struct loaded *it = NULL, *other = NULL;
	struct rules_run run;
	struct verdict verdict;
	const char *other_ref;
	/* Under another name of the person nothing is lost; what was destroyed was destroyed under the name that it was given under. */
	int error = strcmp(input->event->type, "erasure.executed") == 0 ? case_load(core, input->event->subject, &it) : load_person(core, input->event->subject, &it);

	if (error == ERR_ERASED)
		return decide_erased(core, input, receipt);
	if (error == ERR_CORRUPT)
		return decide_damaged(core, it && it->state && it->state->merged_into ? it->state->merged_into : input->event->subject, input, receipt);
	if (!error)
		error = fire_case(core, it);
	if (error)
		return error;
	other_ref = rules_needs_other(input->event, &core->arena);
	error = other_ref && ref_is_valid(other_ref) ? load_other(core, other_ref, &other) : OK;
	if (error == ERR_CORRUPT)
		return decide_damaged(core, other_ref, input, receipt);
	if (error)
		return error;
	run_begin(core, &run, it);
	run.other = other ? other->state : NULL;
	error = rules_publish(&run, input, &verdict);
	if (error)
		return error;
	receipt->result = verdict.result;
	receipt->code = verdict.code;
	receipt->detail = verdict.detail[0] ? arena_strdup(&core->arena, verdict.detail) : NULL;
	if (verdict.result == REENTRY__OUTCOME__VALUE__REFUSED) {
		/* It joins the case only where its publisher may know that there is one. */
		struct related *related = NULL;
		size_t n = 0;
		bool knows = false;

		error = relations_of(it->state, core->policy, &core->arena, &related, &n);
		for (size_t i = 0; i < n; i++)
			knows = knows || related[i].agency == input->agency;
		return error ? error : record_append(core, &run.records[0], knows ? it : NULL);
	}
	receipt->sequence = verdict.position;
	error = run_append(core, &run, it);
	if (!error && run.follow && other) {
		struct rules_run second;

		run_begin(core, &second, other);
		error = rules_follow(&second, &run);
		if (!error)
			error = run_append(core, &second, other);
		if (!error && other->state->merged_into)
			error = leave_strangers(core, it, other);
	}
	return error ? error : ids_put(core, input->agency->id, input->event->id, input->content, input->content_n, verdict.position, verdict.result);
}

/* Unpacks with a bound on memory, and checks the form. ERR_INVALID: malformed. */
static int take_form(struct core *core, struct rules_input *input, struct core_receipt *receipt, struct err *err)
{
	const size_t turn_max = core->arena.max;
	bool bounded = core->arena.used + EVENT_MEMORY_MAX < turn_max;
	void *event = NULL;
	int error;

	if (bounded)
		core->arena.max = core->arena.used + EVENT_MEMORY_MAX;
	error = pb_unpack(&reentry__event__descriptor, input->content, input->content_n, &core->arena, &event, err);
	input->event = event;
	if (!error) {
		if (input->event->id && ref_is_valid(input->event->id))
			receipt->id = input->event->id;
		error = rules_form(input, &core->arena, err);
	}
	core->arena.max = turn_max;
	if (error == ERR_NOMEM && bounded)
		return err_set(err, ERR_INVALID, "the event needs more memory than an event may; it has too many fields");
	return error;
}

int core_publish(struct core *core, const struct agency *agency, const uint8_t *content, size_t n, moment time, struct core_receipt *ret_receipt)
{
	struct rules_input input = { .agency = agency, .content = content, .content_n = n, .time = time };
	struct err err = { 0 };
	int error;

	*ret_receipt = (struct core_receipt){ .id = "" };
	error = turn_room(core);
	if (error)
		return error;
	if (n > EVENT_MAX) {
		error = refuse_with(core, ret_receipt, "too-large", "an event is at most 64 KiB");
		return error ? error : refuse_raw(core, agency, content, n, time, ret_receipt);
	}
	error = take_form(core, &input, ret_receipt, &err);
	if (error == ERR_INVALID) {
		error = refuse_with(core, ret_receipt, "malformed", err.text);
		return error ? error : refuse_raw(core, agency, content, n, time, ret_receipt);
	}
	if (error)
		return error;
	error = ids_find(core, agency->id, input.event->id, content, n, &ret_receipt->sequence);
	if (error == OK) {
		ret_receipt->result = REENTRY__OUTCOME__VALUE__DUPLICATE;
		return OK;
	}
	if (error == ERR_EXISTS) {
		ret_receipt->sequence = 0;
		error = refuse_with(core, ret_receipt, "id-conflict", "id: was used before for other content; make a new id");
		return error ? error : refuse_raw(core, agency, content, n, time, ret_receipt);
	}
	return error == ERR_NOTFOUND ? decide(core, &input, ret_receipt) : error;
}

int core_refuse(struct core *core, const struct agency *agency, const char *id, const char *code, const char *detail, struct core_receipt *ret_receipt)
{
	int error = turn_room(core);

	*ret_receipt = (struct core_receipt){ .id = arena_strdup(&core->arena, id), .code = code, .detail = arena_strdup(&core->arena, detail) };
	return error ? error : refuse_raw(core, agency, NULL, 0, core->now, ret_receipt);
}

/* --- deliveries and acknowledgements -------------------------------------------------------------------------------------------------- */

static int positions_append(struct core *core, Reentry__RecordKind__Value kind, const char *agency, uint64_t *positions, size_t n)
{
	Reentry__Header header = REENTRY__HEADER__INIT;

	header.has_kind = true;
	header.kind = kind;
	header.agency = (char *)(uintptr_t)agency;
	header.positions = positions;
	header.n_positions = n;
	return log_append(core, &header, NULL, 0);
}

int core_delivered(struct core *core, const char *agency, const uint64_t *sequences, size_t n)
{
	return n ? positions_append(core, REENTRY__RECORD_KIND__VALUE__DELIVERED, agency, (uint64_t *)(uintptr_t)sequences, n) : OK;
}

struct watched { uint64_t position; const char *ref; };

static int acked_case(struct core *core, const char *agency, const struct watched *w)
{
	struct loaded *it = NULL;
	struct rules_run run;
	int error = load_person(core, w->ref, &it);

	if (error == ERR_ERASED)
		return OK;
	if (error == ERR_CORRUPT)
		return case_damaged(core, w->ref); /* the acknowledgement counts, what it would have led to is not known */
	if (!error && it->state)
		error = fire_case(core, it);
	if (error || !it->state)
		return error;
	run_begin(core, &run, it);
	error = rules_acked(&run, agency, w->position);
	return error ? error : run_append(core, &run, it);
}

int core_acked(struct core *core, const char *agency, const uint64_t *sequences, size_t n)
{
	uint64_t *taken = NULL, *place;
	struct watched *watched = NULL, *watch;
	size_t n_taken = 0, n_watched = 0;
	struct queued entry;
	uint16_t number = 0;
	int error = agency_number(core, agency, false, &number);

	if (error)
		return error == ERR_NOTFOUND ? OK : error;
	for (size_t i = 0; i < n; i++) {
		error = queue_take(core, number, sequences[i], &entry);
		if (error == ERR_NOTFOUND)
			continue; /* acknowledged before, or never its own */
		place = error ? NULL : ARENA_PUSH(&core->arena, taken, n_taken);
		if (!place)
			return error ? error : ERR_NOMEM;
		*place = sequences[i];
		if (!(entry.flags & QUEUE_WATCH))
			continue;
		watch = ARENA_PUSH(&core->arena, watched, n_watched);
		if (!watch)
			return ERR_NOMEM;
		*watch = (struct watched){ sequences[i], entry.ref };
	}
	error = n_taken ? positions_append(core, REENTRY__RECORD_KIND__VALUE__ACKED, agency, taken, n_taken) : OK;
	for (size_t i = 0; i < n_watched && !error; i++)
		error = acked_case(core, agency, &watched[i]);
	return error;
}

/* --- deadlines ---------------------------------------------------------------------------------------------------------------------------- */

/* Keys of the due table: moment, case reference with its NUL. */
#define DUE_REF 8

static bool due_counts(const struct core *core, const struct db_value *key)
{
	const char *bytes = key->bytes;

	return key->n > DUE_REF && !bytes[key->n - 1] && !case_is_damaged(core, bytes + DUE_REF);
}

moment core_next_due(struct core *core)
{
	struct db_cursor cursor;
	struct db_txn txn;
	moment due = MOMENT_NONE;

	if (db_begin_read(core->db, &txn) == OK && db_cursor_open(&txn, T_DUE, &cursor) == OK) {
		bool more = db_seek(&cursor, NULL, 0, 0);

		while (more && !due_counts(core, &cursor.key))
			more = db_next(&cursor);
		if (more) {
			uint64_t n = 0;

			for (int i = 0; i < DUE_REF; i++)
				n = n << 8 | ((const uint8_t *)cursor.key.bytes)[i];
			due = (moment)(n ^ UINT64_C(1) << 63);
		}
		db_cursor_close(&cursor);
	}
	db_abort(&txn);
	return due;
}

int core_fire(struct core *core, size_t max, bool *ret_more)
{
	struct db_value *keys = NULL, *place;
	uint8_t limit[DB_KEY_MAX];
	struct db_cursor cursor;
	size_t n = 0, limit_n = db_key(limit, "t", core->now + 1);
	int error = OK;

	*ret_more = false;
	error = turn_room(core);
	if (error)
		return error;
	DB_FOREACH(&cursor, &core->txn, T_DUE, NULL, 0) {
		if (memcmp(cursor.key.bytes, limit, limit_n < cursor.key.n ? limit_n : cursor.key.n) >= 0 || (*ret_more = n >= max)) {
			db_cursor_close(&cursor);
			break;
		}
		if (!due_counts(core, &cursor.key))
			continue;
		place = ARENA_PUSH(&core->arena, keys, n);
		if (place)
			*place = (struct db_value){ arena_dup(&core->arena, cursor.key.bytes, cursor.key.n), cursor.key.n };
		if (!place || !place->bytes) {
			db_cursor_close(&cursor);
			return ERR_NOMEM;
		}
	}
	for (size_t i = 0; i < n && !error; i++) {
		struct loaded *it = NULL;

		error = case_load(core, (const char *)keys[i].bytes + DUE_REF, &it);
		if (error == ERR_CORRUPT)
			error = case_damaged(core, (const char *)keys[i].bytes + DUE_REF);
		else if (!error)
			error = fire_case(core, it);
		else if (error == ERR_ERASED)
			error = db_del(&core->txn, T_DUE, keys[i].bytes, keys[i].n); /* its key is lost: nothing can fall due any more */
	}
	return error ? error : core->txn.error;
}

int core_resend_cases(struct core *core, struct core_resend *resend, size_t max)
{
	const char **refs = NULL;
	size_t n = 0;
	int error = core_cases_of(core, resend->agency, resend->after[0] ? resend->after : NULL, max, &core->arena, &refs, &n);

	for (size_t i = 0; i < n && !error; i++) {
		struct loaded *it = NULL;
		struct rules_run run;

		error = case_load(core, refs[i], &it);
		if (error == ERR_CORRUPT)
			error = case_damaged(core, refs[i]);
		if (error || !it || !it->state)
			continue;
		run_begin(core, &run, it);
		error = rules_snapshot(&run, resend->agency);
		if (!error)
			error = run_append(core, &run, it);
		resend->n += run.n_records != 0;
	}
	resend->more = n == max;
	if (n && !error)
		(void)snprintf(resend->after, sizeof resend->after, "%s", refs[n - 1]); /* fits: a reference */
	return error;
}

int core_audit(struct core *core, Reentry__RecordKind__Value kind, const Reentry__AuditRecord *body, const char *subject)
{
	Reentry__Header header = REENTRY__HEADER__INIT;
	uint8_t *bytes = NULL;
	size_t n = 0;
	int error = pb_pack(body, &core->arena, &bytes, &n);

	header.has_kind = true;
	header.kind = kind;
	header.agency = body->who;
	header.subject = (char *)(uintptr_t)subject;
	return error ? error : log_append(core, &header, bytes, n);
}
