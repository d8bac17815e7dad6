/* Replay of events as they were recorded (broker/replay.h). Most of them pass as they are, so the fields of a Delivery are put one after the other from what stands in the record, and
 * nothing is unpacked; what is erased, or of a class that the auditor may see in part only, is shown by replay_show. Who may see what is decided in rules/scope.c for both. */
#include <string.h>

#include "broker/core_read.h"
#include "broker/replay.h"
#include "lib/pb_put.h"

#define ANSWER_ITEMS 2               /* fields of proto/wire.proto and proto/event.proto */
enum { DELIVERY_SEQUENCE = 1, DELIVERY_RECORDED_AT, DELIVERY_TIME, DELIVERY_PHASE, DELIVERY_MUNICIPALITY, DELIVERY_SLOT_VERSION, DELIVERY_CONTENT, DELIVERY_CLASS, DELIVERY_SOURCE_OIN = 11 };
enum { EVENT_TYPE = 2, EVENT_FIELDS };
#define FIELDS_SIZE 256              /* of a Delivery without its content: numbers, a municipality, an OIN */
#define NAME_SIZE 65                 /* of an agency, a municipality, a type */

struct events {
	struct broker *broker;
	const struct scope *scope;
	struct query *query;
	struct reading reading;
	uint8_t *out; size_t n, room;
	size_t n_items;
};

/* --- what is written ------------------------------------------------------------------------------------------------------ */

/* NULL: no memory. */
static uint8_t *room_for(struct events *e, size_t n)
{
	uint8_t *more;

	if (e->n + n <= e->room)
		return e->out + e->n;
	more = arena_room(&e->broker->reading, 2 * (e->n + n));
	if (!more)
		return NULL;
	if (e->n)
		memcpy(more, e->out, e->n);
	e->out = more;
	e->room = 2 * (e->n + n);
	return e->out + e->n;
}

static int put_item(struct events *e, const uint8_t *fields, size_t fields_n, const uint8_t *content, size_t content_n)
{
	const size_t n = fields_n + pb_bytes_size(DELIVERY_CONTENT, content_n);
	uint8_t *at = room_for(e, pb_bytes_size(ANSWER_ITEMS, n));

	if (!at)
		return ERR_NOMEM;
	at = pb_put_head(at, ANSWER_ITEMS, n);
	memcpy(at, fields, fields_n);
	at = pb_put_bytes(at + fields_n, DELIVERY_CONTENT, content, content_n);
	e->n = (size_t)(at - e->out);
	e->n_items++;
	return OK;
}

static uint8_t *copy_number(uint8_t *at, unsigned field, const struct pb_peek *value)
{
	return value->there ? pb_put_number(at, field, value->number) : at;
}

static int put_plain(struct events *e, const struct reading_record *record, const struct pb_peek *body)
{
	const struct policy *policy = &e->broker->config->policy;
	const struct pb_peek *header = record->header, *municipality = &body[EVENT_RECORD_MUNICIPALITY];
	const struct agency *source;
	uint8_t fields[FIELDS_SIZE], *at = fields;
	char agency[NAME_SIZE];
	const char *oin;

	source = reading_text(&header[HEADER_AGENCY], agency, sizeof agency) ? policy_agency(policy, agency) : NULL;
	oin = source ? source->oin : policy->broker_oin;
	at = copy_number(at, DELIVERY_SEQUENCE, &header[HEADER_POSITION]);
	at = copy_number(at, DELIVERY_RECORDED_AT, &header[HEADER_RECORDED_AT]);
	at = copy_number(at, DELIVERY_TIME, &body[EVENT_RECORD_TIME]);
	at = copy_number(at, DELIVERY_PHASE, &body[EVENT_RECORD_PHASE]);
	if (municipality->there)
		at = pb_put_bytes(at, DELIVERY_MUNICIPALITY, municipality->bytes, municipality->n);
	at = copy_number(at, DELIVERY_SLOT_VERSION, &body[EVENT_RECORD_SLOT_VERSION]);
	at = pb_put_number(at, DELIVERY_CLASS, header[HEADER_CLASS].there ? header[HEADER_CLASS].number : REENTRY__CLASS__VALUE__A);
	at = pb_put_bytes(at, DELIVERY_SOURCE_OIN, oin, strlen(oin));
	return put_item(e, fields, (size_t)(at - fields), body[EVENT_RECORD_CONTENT].bytes, body[EVENT_RECORD_CONTENT].n);
}

/* --- what may be seen ------------------------------------------------------------------------------------------------------- */

/* What has to be unpacked to be shown, or has nothing left to be. */
static int show(struct events *e, uint64_t position)
{
	const struct replay *replay = e->query->own;
	struct core_record record;
	Reentry__Delivery *item;
	uint8_t *at, *packed;
	size_t n;
	int rc = core_record(e->broker->core, position, &e->broker->reading, &record);

	if (rc && rc != ERR_ERASED)
		return ERR_CORRUPT;
	if (!replay_wanted(replay, &record))
		return OK;
	rc = replay_show(e->broker, e->scope, &record, &item);
	if (!rc)
		rc = pb_pack(item, &e->broker->reading, &packed, &n);
	if (rc)
		return rc == ERR_NOTFOUND ? OK : rc;
	at = room_for(e, pb_bytes_size(ANSWER_ITEMS, n));
	if (!at)
		return ERR_NOMEM;
	e->n = (size_t)(pb_put_bytes(at, ANSWER_ITEMS, packed, n) - e->out);
	e->n_items++;
	return OK;
}

static bool of_type(const struct replay *replay, const char *type)
{
	bool wanted = replay->n_types == 0;

	for (size_t i = 0; i < replay->n_types && !wanted; i++)
		wanted = !strcmp(replay->types[i], type);
	return wanted;
}

/* The municipality of the case as the scope takes it: NULL, none is known. */
static bool in_municipality(const struct scope *scope, const struct pb_peek *municipality)
{
	char code[NAME_SIZE];

	return scope_municipality(scope, reading_text(municipality, code, sizeof code) ? code : NULL);
}

static int open_and_put(struct events *e, const struct reading_record *record)
{
	const uint32_t class = record->header[HEADER_CLASS].there ? (uint32_t)record->header[HEADER_CLASS].number : REENTRY__CLASS__VALUE__A;
	const struct replay *replay = e->query->own;
	struct pb_peek body[EVENT_RECORD_FIELDS], event[EVENT_FIELDS];
	char type[NAME_SIZE];
	const uint8_t *bytes;
	size_t n;
	int rc = reading_body(&e->reading, record, &e->broker->reading, &bytes, &n);

	if (rc == ERR_ERASED)
		return show(e, record->header[HEADER_POSITION].number);
	if (rc || pb_peek(bytes, n, EVENT_RECORD_FIELDS, body))
		return rc ? rc : ERR_CORRUPT;
	if (body[EVENT_RECORD_OUTCOME].number != REENTRY__OUTCOME__VALUE__ACCEPTED)
		return OK;
	if (body[EVENT_RECORD_MUNICIPALITY].n >= NAME_SIZE || pb_peek(body[EVENT_RECORD_CONTENT].bytes, body[EVENT_RECORD_CONTENT].n, EVENT_FIELDS, event))
		return ERR_CORRUPT;
	if (!reading_text(&event[EVENT_TYPE], type, sizeof type))
		return ERR_CORRUPT; /* what was accepted has one, of the catalogue */
	if (!of_type(replay, type) || !in_municipality(e->scope, &body[EVENT_RECORD_MUNICIPALITY]) || !scope_type(e->scope, type) || !rules_payload_of(type))
		return OK;
	if (!(scope_classes(e->scope) & CLASS_BIT(class)))
		return show(e, record->header[HEADER_POSITION].number);
	return put_plain(e, record, body);
}

static bool published_by(const struct replay *replay, const struct pb_peek *agency)
{
	return !replay->agency || (agency->there && agency->n == strlen(replay->agency) && !memcmp(agency->bytes, replay->agency, agency->n));
}

static int one(struct events *e, uint64_t position)
{
	const struct replay *replay = e->query->own;
	struct reading_record record;
	int rc = reading_record(&e->reading, position, &record);

	if (rc)
		return rc;
	if (record.header[HEADER_KIND].number != REENTRY__RECORD_KIND__VALUE__EVENT || !record.header[HEADER_SUBJECT].there)
		return OK;
	if (position < replay->first || position > replay->last || !published_by(replay, &record.header[HEADER_AGENCY]))
		return OK;
	return open_and_put(e, &record);
}

/* --- a part --------------------------------------------------------------------------------------------------------------------- */

/* The next position to look at; 0 when the replay is through. */
static uint64_t next_position(const struct replay *replay, struct query_at *at)
{
	if (replay->subject) {
		while (at->index < replay->n_chain && replay->chain[at->index] < replay->first)
			at->index++;
		return at->index < replay->n_chain && replay->chain[at->index] <= replay->last ? replay->chain[at->index++] : 0;
	}
	return at->position <= replay->last ? at->position++ : 0;
}

static int fill(struct events *e, Reentry__Answer *answer, struct err *err)
{
	const struct replay *replay = e->query->own;
	struct query_at *at = &e->query->at;
	const size_t bytes_max = net_batch(e->broker, ANSWER_BYTES), given = at->given;
	int rc;

	for (int looked = 0; looked < RECORDS_ROUND && e->n_items < ANSWER_MAX && e->n < bytes_max; looked++) {
		const uint64_t position = replay->limit > at->given ? next_position(replay, at) : 0;

		if (!position) {
			answer->last = true;
			break;
		}
		rc = one(e, position);
		if (rc)
			return rc == ERR_NOMEM ? err_set(err, rc, "try later") : replay_unreadable(position, err);
		at->given = given + e->n_items;
	}
	return OK;
}

int events_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err)
{
	struct events e = { .broker = broker, .scope = &session->agency->scope, .query = query };
	int rc = reading_begin(broker->core, &e.reading);

	if (rc)
		err_set(err, rc, "try later");
	else
		rc = fill(&e, answer, err);
	reading_end(&e.reading);
	query->packed = e.out;
	query->packed_n = e.n;
	return rc;
}
