/* Messages made up by descriptor: the same seed gives the same message. For tests of codecs. */
#ifndef TESTS_UNIT_SAMPLES_H
#define TESTS_UNIT_SAMPLES_H

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

#include "lib/arena.h"

/* Every message of event.proto that stands in an event, Event included; ends with NULL. */
extern const ProtobufCMessageDescriptor *const sample_event_types[];
/* What travels and what is stored: Frame, EventRecord, CaseState and others; ends with NULL. */
extern const ProtobufCMessageDescriptor *const sample_other_types[];

/* Kinds of numbers that no message of ours has yet, in a type made by hand. */
struct sample_numbers {
	ProtobufCMessage base;
	protobuf_c_boolean has_f, has_d, has_w, has_q, has_i, has_l;
	float f;
	double d;
	uint32_t w;
	int64_t q;
	int32_t i;
	int64_t l;
	size_t n_many;
	double *many;
};
extern const ProtobufCMessageDescriptor sample_numbers_type;

uint64_t sample_random(uint64_t *state); /* state: not 0 */
/* Values that pb_check accepts; about three in four fields are set. Numbers fit in an int64_t, so that JSON can tell them. */
ProtobufCMessage *sample_message(const ProtobufCMessageDescriptor *type, struct arena *arena, uint64_t *state);

#endif
