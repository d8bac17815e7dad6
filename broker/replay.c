/* What the modes of a replay share (broker/replay.h). */
#include "broker/replay.h"

#include <inttypes.h>
#include <string.h>

#include "lib/civil.h"
#include "lib/json.h"
#include "rules/delivery.h"

bool replay_wanted(const struct replay *replay, const struct core_record *record)
{
	const Reentry__Header *header = record->header;
	const bool published = !replay->agency || (header->agency && !strcmp(header->agency, replay->agency));

	return header->position >= replay->first && header->position <= replay->last && published && replay_type(replay, record);
}

bool replay_type(const struct replay *replay, const struct core_record *record)
{
	const Reentry__Event *event = record->record.envelope;
	bool wanted = replay->n_types == 0;

	for (size_t i = 0; i < replay->n_types && !wanted && event && event->type; i++)
		wanted = !strcmp(replay->types[i], event->type);
	return wanted;
}

bool replay_in_chain(const struct replay *replay, uint64_t position)
{
	size_t low = 0, high = replay->n_chain;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (replay->chain[middle] < position)
			low = middle + 1;
		else
			high = middle;
	}
	return low < replay->n_chain && replay->chain[low] == position;
}

const char *replay_order(struct broker *broker, const char *subject)
{
	struct core_erasure erasure;

	return core_erasure(broker->core, subject, &broker->reading, &erasure) || !erasure.order || !*erasure.order ? "no order is on record" : erasure.order;
}

static void show_content(const struct core_record *record, const struct shown *shown, Reentry__Delivery *item)
{
	const Reentry__EventRecord *event = record->record.event;

	item->has_time = event->has_time;
	item->time = event->time;
	item->has_phase = event->has_phase;
	item->phase = event->phase;
	item->municipality = event->municipality;
	item->has_slot_version = event->has_slot_version;
	item->slot_version = event->slot_version;
	item->has_content = true;
	item->content.data = (uint8_t *)(uintptr_t)shown->content; /* the generated structs want pointers that could be written through; packing only reads */
	item->content.len = shown->content_n;
}

int replay_show(struct broker *broker, const struct scope *scope, const struct core_record *record, Reentry__Delivery **ret_item)
{
	const struct agency *source = policy_agency(&broker->config->policy, record->header->agency);
	const char *oin = source ? source->oin : broker->config->policy.broker_oin;
	struct shown shown = { 0 };
	Reentry__Delivery *item;
	int rc = OK;

	if (record->header->kind != REENTRY__RECORD_KIND__VALUE__EVENT || !record->header->subject)
		return ERR_NOTFOUND;
	if (record->record.event)
		rc = record->record.event->outcome == REENTRY__OUTCOME__VALUE__ACCEPTED ? scope_show(scope, &record->record, &broker->reading, &shown) : ERR_NOTFOUND;
	else if (!scope_is_whole(scope) || !(scope_classes(scope) & CLASS_BIT(record->header->class_)))
		rc = ERR_NOTFOUND; /* erased: neither its type nor its municipality can be known any more */
	if (rc)
		return rc;
	item = arena_alloc(&broker->reading, sizeof *item);
	if (!item)
		return ERR_NOMEM;
	reentry__delivery__init(item);
	item->has_sequence = item->has_recorded_at = item->has_class_ = true;
	item->sequence = record->header->position;
	item->recorded_at = record->header->recorded_at;
	item->class_ = (uint32_t)record->record.class;
	item->source_oin = (char *)(uintptr_t)oin; /* as in show_content; so below */
	if (record->record.event) {
		show_content(record, &shown, item);
	} else {
		item->has_erased = item->erased = true;
		item->class_ = (uint32_t)record->header->class_;
		item->subject = record->header->subject;
		item->order = (char *)(uintptr_t)replay_order(broker, record->header->subject);
	}
	*ret_item = item;
	return OK;
}

int replay_room(struct broker *broker, Reentry__Answer *answer, struct err *err)
{
	answer->items = arena_alloc(&broker->reading, ANSWER_MAX * sizeof(Reentry__Delivery *));
	answer->json = arena_alloc(&broker->reading, ANSWER_MAX * sizeof(char *));
	return answer->items && answer->json ? OK : err_set(err, ERR_NOMEM, "try later");
}

int replay_line(struct broker *broker, Reentry__Answer *answer, struct buf *line)
{
	int rc = line->error;

	if (!rc && answer->n_json >= ANSWER_MAX)
		rc = ERR_TOOBIG;
	if (!rc && !(answer->json[answer->n_json] = arena_dup(&broker->reading, line->bytes, line->n + 1)))
		rc = ERR_NOMEM;
	answer->n_json += !rc;
	buf_clear(line);
	return rc;
}

int replay_unreadable(uint64_t position, struct err *err)
{
	return err_set(err, ERR_CORRUPT, "sequence %llu of the log does not match its hash; it is not served", (unsigned long long)position);
}

/* --- lines ------------------------------------------------------------------------------------------------------------------ */

void replay_text(struct buf *out, const char *name, const char *text)
{
	if (!text)
		return;
	(void)buf_printf(out, ",\"%s\":", name); /* here and below: the buffer remembers its error */
	(void)json_string(out, text);
}

void replay_sequence(struct buf *out, const char *name, uint64_t sequence)
{
	(void)buf_printf(out, ",\"%s\":\"%020" PRIu64 "\"", name, sequence);
}

void replay_moment(struct buf *out, const char *name, moment when)
{
	char text[CIVIL_MOMENT_SIZE];

	(void)buf_printf(out, ",\"%s\":\"%s\"", name, civil_format_moment(when, text));
}

void replay_head(struct buf *out, const char *name, const Reentry__Header *header)
{
	(void)buf_printf(out, "{\"record\":\"%s\"", name);
	replay_sequence(out, "sequence", header->position);
	replay_moment(out, "recordedtime", header->recorded_at);
}

int replay_event(const Reentry__Delivery *delivery, struct arena *arena, struct buf *out)
{
	struct json_event event;
	int rc = delivery_event(delivery, arena, &event);

	return rc ? rc : json_event_write(out, &event, rules_payload_of);
}
