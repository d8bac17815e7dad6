/* One delivery as its receiver gets it: what it may see of class C, of an offer, of a case that it loses (domain.md 4.6, 5.1, 6.2). */
#include "tests/sim/sim.h"

#include <string.h>

#include "lib/pb.h"

#define NEED(name) REENTRY__NEED__VALUE__##name

/* Bits of the class C needs that a message names, whatever its type. */
uint8_t class_c_in(const ProtobufCMessage *message)
{
	uint8_t bits = 0;

	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &message->descriptor->fields[i];
		const char *at = (const char *)message + f->offset;
		bool repeated = f->label == PROTOBUF_C_LABEL_REPEATED;
		size_t n = repeated ? *(const size_t *)(const void *)((const char *)message + f->quantifier_offset) : 1;

		for (size_t k = 0; k < n; k++) {
			if (f->type == PROTOBUF_C_TYPE_ENUM && f->descriptor == &reentry__need__value__descriptor) {
				int need = repeated ? (*(const int *const *)(const void *)at)[k] : *(const int *)(const void *)at;

				if (is_class_c(need) && (repeated || *(const protobuf_c_boolean *)((const char *)message + f->quantifier_offset)))
					bits |= (uint8_t)(1u << (need - NEED(PSYCHIATRIC)));
			} else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
				const ProtobufCMessage *part = repeated ? (*(ProtobufCMessage *const *const *)(const void *)at)[k] : *(ProtobufCMessage *const *)(const void *)at;

				bits |= part ? class_c_in(part) : 0;
			}
		}
	}
	return bits;
}

/* Number, need, region, dates and level of support: no identity, nothing else of the case. */
static bool candidate_fine(struct sim *s, const Reentry__Event *event, const Reentry__Delivery *d, const void *data)
{
	const Reentry__HandoverOffered *o = data;

	if (s->planted == false && s->fault == FAULT_CANDIDATE && plant(s, FAULT_CANDIDATE))
		return violated(s, "candidate-sees", "planted");
	if (event->sanction || event->cause || d->municipality)
		return violated(s, "candidate-sees", "%llu: sanction, cause or municipality in what a candidate gets", (unsigned long long)d->sequence);
	if (strcmp(event->type, "handover.offered") != 0)
		return true;
	if (o->note || o->n_then)
		return violated(s, "candidate-sees", "%llu: note or list of others in an offer", (unsigned long long)d->sequence);
	if (is_class_c((int)o->need))
		return violated(s, "candidate-sees", "%llu: class C need in an offer", (unsigned long long)d->sequence);
	if ((!o->has_offer || !o->decide_by) && event->op != REENTRY__OP__VALUE__CANCEL && event->op != REENTRY__OP__VALUE__RETRACT)
		return violated(s, "offer-number", "%llu: an offer without number or deadline", (unsigned long long)d->sequence);
	return true;
}

/* The codes of open needs as this receiver may see them: class C as CARE. Schools, employers and volunteers see fewer. */
static bool open_needs_fine(struct sim *s, int agency, const struct entry *e, uint8_t care, const Reentry__ReleaseApproaching *a)
{
	uint16_t open = s->told[e->position].open_needs, seen = 0, expected = 0;
	int role = role_of(s, agency);
	const char *before = "";

	for (size_t i = 0; i < a->n_open_needs; i++) {
		const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(&reentry__need__value__descriptor, (int)a->open_needs[i]);

		if (!value || strcmp(before, value->name) >= 0)
			return violated(s, "open-needs", "%llu: not sorted, or twice the same", (unsigned long long)e->position);
		before = value->name;
		seen |= (uint16_t)(1u << a->open_needs[i]);
	}
	if (role == ROLE_EDUCATION || role == ROLE_EMPLOYER || role == ROLE_VOLUNTEER)
		return true;
	for (int need = 1; need < NEED(CARE); need++)
		if (open & 1u << need)
			expected |= (uint16_t)(is_class_c(need) && !(care & 1u << (need - NEED(PSYCHIATRIC))) ? 1u << NEED(CARE) : 1u << need);
	return seen == expected || violated(s, "open-needs", "%llu for %s: %x, should be %x", (unsigned long long)e->position, agency_id(s, agency), seen, expected);
}

bool shown_check(struct sim *s, int agency, const struct entry *e, const Reentry__Delivery *d)
{
	const struct told *told = &s->told[e->position];
	struct m_case *c = &s->cases[e->of_case];
	uint8_t care = e->care, named;
	const ProtobufCMessage *data;
	const Reentry__Event *event;
	void *unpacked = NULL;

	arena_reset(&s->reading);
	if (pb_unpack_own(&reentry__event__descriptor, d->content.data, d->content.len, &s->reading, &unpacked))
		return violated(s, "delivery-form", "%llu cannot be read", (unsigned long long)d->sequence);
	event = unpacked;
	if (!event->type || strcmp(event->type, told->type->name) != 0 || !event->subject || strcmp(event->subject, c->ref) != 0 || d->recorded_at != told->at)
		return violated(s, "delivery-form", "%llu is another event than the record", (unsigned long long)d->sequence);
	if (pb_unpack_own(told->type->payload, event->data.data, event->data.len, &s->reading, &unpacked))
		return violated(s, "delivery-form", "%llu: the payload cannot be read", (unsigned long long)d->sequence);
	data = unpacked;
	if (e->by_consent) /* access by consent is asked at the moment of delivery */
		care = care_of(s, c, agency, s->recorded, NULL) & e->care;
	named = class_c_in(data);
	if (plant(s, FAULT_CLASS_C))
		named |= (uint8_t)~care & 7;
	if (named & ~care)
		return violated(s, "class-c", "%s gets %llu (%s) with class C needs that it may not see", agency_id(s, agency), (unsigned long long)d->sequence, event->type);
	if (!(e->relations & ALL) && !candidate_fine(s, event, d, data))
		return false;
	if (strcmp(event->type, "case.withdrawn") == 0 && (d->municipality || event->cause || event->sanction))
		return violated(s, "withdrawn", "%llu tells more than that it ended", (unsigned long long)d->sequence);
	if (strcmp(event->type, "release.approaching") == 0)
		return open_needs_fine(s, agency, e, care, (const Reentry__ReleaseApproaching *)(const void *)data);
	return true;
}
