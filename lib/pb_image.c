#include "lib/pb_image.h"

#include <string.h>

#include "lib/pb_field.h"

#define ALIGN ((size_t)8)
#define GUARD ((size_t)16)           /* zeros before an array: what arena_push looks at, to tell its own ones */

/* From `at` on what the message holds, before `places` where the pointers in it are: free is what lies between. */
struct writer { uint8_t *bytes, *at, *places; };

static bool write_message(struct writer *w, const ProtobufCMessage *message, uint8_t **ret_copy);

/* Puts n bytes behind what is there, and leaves room for the place of a pointer. NULL: there is none. */
static inline uint8_t *put(struct writer *w, const void *from, size_t n)
{
	const size_t rounded = (n + ALIGN - 1) & ~(ALIGN - 1);
	uint8_t *copy = w->at;

	if (n > PB_IMAGE_MAX || (size_t)(w->places - w->at) < rounded + sizeof(uint32_t))
		return NULL;
	memcpy(copy, from, n);
	w->at += rounded;
	return copy;
}

/* The pointer at `place` becomes one to what was put last. */
static inline bool point(struct writer *w, uint8_t *place, const uint8_t *copy)
{
	const uint32_t at = (uint32_t)(place - w->bytes);

	if (copy == NULL)
		return false;
	memcpy(place, &copy, sizeof copy);
	w->places -= sizeof at;
	memcpy(w->places, &at, sizeof at);
	return true;
}

static bool write_bytes(struct writer *w, const ProtobufCBinaryData *bytes, uint8_t *place)
{
	static const uint8_t *const none;

	place += offsetof(ProtobufCBinaryData, data);
	if (bytes->len > 0)
		return point(w, place, put(w, bytes->data, bytes->len));
	memcpy(place, &none, sizeof none);
	return true;
}

static bool write_nested(struct writer *w, const ProtobufCMessage *message, uint8_t *place)
{
	uint8_t *copy;

	return write_message(w, message, &copy) && (size_t)(w->places - w->at) >= sizeof(uint32_t) && point(w, place, copy);
}

/* value: in the message; place: where it was copied to. */
static inline bool write_value(struct writer *w, ProtobufCType type, const uint8_t *value, uint8_t *place)
{
	const char *text;

	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
		text = PB_AT(char *, value);
		return text == NULL || point(w, place, put(w, text, strlen(text) + 1));
	case PROTOBUF_C_TYPE_MESSAGE:
		return PB_AT(void *, value) == NULL || write_nested(w, PB_AT(ProtobufCMessage *, value), place);
	case PROTOBUF_C_TYPE_BYTES:
		return write_bytes(w, &PB_AT(ProtobufCBinaryData, value), place);
	default:
		return true; /* it came with its message or array */
	}
}

static bool write_repeated(struct writer *w, const ProtobufCFieldDescriptor *field, const uint8_t *message, uint8_t *place)
{
	static const uint8_t guard[GUARD];
	const size_t n = PB_AT(size_t, message + field->quantifier_offset), size = pb_value_size(field->type);
	const uint8_t *first = PB_AT(uint8_t *, message + field->offset);
	uint8_t *copy;

	if (n > PB_IMAGE_MAX / size || put(w, guard, sizeof guard) == NULL)
		return false;
	copy = put(w, first, n * size);
	if (!point(w, place, copy))
		return false;
	for (size_t i = 0; i < n && field->type >= PROTOBUF_C_TYPE_STRING; i++)
		if (!write_value(w, field->type, first + i * size, copy + i * size))
			return false;
	return true;
}

/* One that is empty may have memory all the same, which nobody looks at. */
static inline void clear(uint8_t *place)
{
	static const void *const none;

	memcpy(place, &none, sizeof none);
}

static bool write_message(struct writer *w, const ProtobufCMessage *message, uint8_t **ret_copy)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	const uint8_t *base = (const uint8_t *)message;
	uint8_t *copy = message->n_unknown_fields > 0 ? NULL : put(w, message, type->sizeof_message);

	if (copy == NULL)
		return false;
	for (const ProtobufCFieldDescriptor *field = type->fields, *behind = field + type->n_fields; field < behind; field++) {
		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			if (PB_AT(size_t, base + field->quantifier_offset) == 0)
				clear(copy + field->offset);
			else if (!write_repeated(w, field, base, copy + field->offset))
				return false;
		} else if (field->type >= PROTOBUF_C_TYPE_STRING) {
			if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 || !write_value(w, field->type, base + field->offset, copy + field->offset))
				return false;
		}
	}
	*ret_copy = copy;
	return true;
}
_Static_assert(PROTOBUF_C_TYPE_STRING < PROTOBUF_C_TYPE_BYTES && PROTOBUF_C_TYPE_BYTES < PROTOBUF_C_TYPE_MESSAGE && PROTOBUF_C_TYPE_ENUM < PROTOBUF_C_TYPE_STRING, "the types with pointers are the last");

bool pb_image_fill(struct pb_image *image, const void *message)
{
	uint8_t *const end = image->bytes + image->room;
	struct writer w = { .bytes = image->bytes, .at = image->bytes, .places = end };
	uint8_t *first;
	bool done = write_message(&w, message, &first);
	size_t n = (size_t)(w.at - w.bytes);

	n = (n + GUARD - 1) & ~(GUARD - 1); /* what stands behind a copy begins where the arena's own things begin */
	done = done && n <= (size_t)(w.places - w.bytes);
	image->n = done ? (uint32_t)n : 0;
	image->n_places = done ? (uint32_t)((size_t)(end - w.places) / sizeof(uint32_t)) : 0;
	return done;
}

uint32_t pb_image_room(const void *message, struct arena *arena)
{
	size_t room;
	uint8_t *lent = arena_end(arena, sizeof(struct pb_image) + PB_IMAGE_MAX, &room);
	struct pb_image *image = (struct pb_image *)(void *)lent;

	if (image == NULL)
		return 0;
	image->room = PB_IMAGE_MAX;
	return pb_image_fill(image, message) ? (image->n + image->n_places * (uint32_t)sizeof(uint32_t) + sizeof(uint32_t) + 15) & ~15u : 0;
}

void *pb_image_copy(const struct pb_image *image, struct arena *arena)
{
	uint8_t *copy = arena_room(arena, image->n);
	const uint8_t *place = image->bytes + image->room;

	if (copy == NULL)
		return NULL;
	memcpy(copy, image->bytes, image->n);
	for (uint32_t i = 0; i < image->n_places; i++) {
		uint8_t *pointer;
		uint32_t at;

		place -= sizeof at;
		memcpy(&at, place, sizeof at);
		memcpy(&pointer, copy + at, sizeof pointer);
		pointer = copy + (pointer - image->bytes);
		memcpy(copy + at, &pointer, sizeof pointer);
	}
	return copy;
}
