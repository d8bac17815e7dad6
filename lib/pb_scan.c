/* A look at the wire form before protobuf-c sees it. protobuf-c 1.4.1 recurses as deep as its input nests, and has
 * allocated for every field before it can tell that the whole is wrong; this allocates nothing and stops early. */
#include <assert.h>

#include "lib/pb_field.h"

struct scan {
	struct err *err;
	size_t fields;         /* seen so far, submessages and elements of packed fields included */
	struct pb_path path;
};
struct input {
	const uint8_t *at, *end;
};

#define TAG_BYTES_MAX 5        /* what protobuf-c reads of a tag or a length */
#define VARINT_BYTES_MAX 10
#define TYPE_FIELDS_MAX 128    /* fields in one of our message types: the bits of `seen` */
#define WRONG_LENGTH "cut off, or a wrong length"

static int scan_message(struct scan *scan, const ProtobufCMessageDescriptor *type, struct input in);

static int fail(const struct scan *scan, const ProtobufCFieldDescriptor *field, const char *why)
{
	return pb_path_fail(&scan->path, field != NULL ? field->name : NULL, why, ERR_INVALID, scan->err);
}

static bool read_varint(struct input *in, unsigned bytes_max, uint64_t *ret_value)
{
	uint64_t value = 0;
	for (unsigned i = 0; i < bytes_max && in->at < in->end; i++) {
		uint8_t byte = *in->at++;
		if (i == VARINT_BYTES_MAX - 1 && byte > 1)
			return false;
		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte < 0x80) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

/* The bytes of a length-prefixed value; `in` moves behind them. */
static bool read_span(struct input *in, struct input *ret_span)
{
	uint64_t n;
	if (!read_varint(in, TAG_BYTES_MAX, &n) || n > (uint64_t)(in->end - in->at))
		return false;
	*ret_span = (struct input){in->at, in->at + n};
	in->at += n;
	return true;
}

static ProtobufCWireType wire_type_of(ProtobufCType type)
{
	static const uint8_t wire[] = {
		[PROTOBUF_C_TYPE_INT32] = PROTOBUF_C_WIRE_TYPE_VARINT,    [PROTOBUF_C_TYPE_SINT32] = PROTOBUF_C_WIRE_TYPE_VARINT,
		[PROTOBUF_C_TYPE_INT64] = PROTOBUF_C_WIRE_TYPE_VARINT,    [PROTOBUF_C_TYPE_SINT64] = PROTOBUF_C_WIRE_TYPE_VARINT,
		[PROTOBUF_C_TYPE_UINT32] = PROTOBUF_C_WIRE_TYPE_VARINT,   [PROTOBUF_C_TYPE_UINT64] = PROTOBUF_C_WIRE_TYPE_VARINT,
		[PROTOBUF_C_TYPE_BOOL] = PROTOBUF_C_WIRE_TYPE_VARINT,     [PROTOBUF_C_TYPE_ENUM] = PROTOBUF_C_WIRE_TYPE_VARINT,
		[PROTOBUF_C_TYPE_SFIXED32] = PROTOBUF_C_WIRE_TYPE_32BIT,  [PROTOBUF_C_TYPE_FIXED32] = PROTOBUF_C_WIRE_TYPE_32BIT,
		[PROTOBUF_C_TYPE_FLOAT] = PROTOBUF_C_WIRE_TYPE_32BIT,     [PROTOBUF_C_TYPE_SFIXED64] = PROTOBUF_C_WIRE_TYPE_64BIT,
		[PROTOBUF_C_TYPE_FIXED64] = PROTOBUF_C_WIRE_TYPE_64BIT,   [PROTOBUF_C_TYPE_DOUBLE] = PROTOBUF_C_WIRE_TYPE_64BIT,
		[PROTOBUF_C_TYPE_STRING] = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
		[PROTOBUF_C_TYPE_BYTES] = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
		[PROTOBUF_C_TYPE_MESSAGE] = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
	};
	return (ProtobufCWireType)wire[type];
}

/* protobuf-c cuts a number that is too large for its field; then what was hashed and what is acted on would differ. */
static bool fits(ProtobufCType type, uint64_t value)
{
	int64_t number = (int64_t)value;
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_ENUM:
		return number >= INT32_MIN && number <= INT32_MAX;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_SINT32:
		return value <= UINT32_MAX;
	case PROTOBUF_C_TYPE_BOOL:
		return value <= 1;
	default:
		return true;
	}
}

static const char *text_problem(struct input text)
{
	while ((text.at += pb_plain(text.at, (size_t)(text.end - text.at))) < text.end) {
		if (*text.at == 0)
			return "a NUL character in text";
		size_t size = *text.at < 0x80 ? 1 : pb_utf8_size(text.at, (size_t)(text.end - text.at));
		if (size == 0)
			return "text that is not UTF-8";
		text.at += size;
	}
	return NULL;
}

static int count_field(struct scan *scan, const ProtobufCFieldDescriptor *field)
{
	if (++scan->fields > PB_FIELDS_MAX)
		return fail(scan, field, "too many fields in one message");
	return 0;
}

static int scan_number(struct scan *scan, const ProtobufCFieldDescriptor *field, struct input *in)
{
	ProtobufCWireType wire = wire_type_of(field->type);
	if (wire == PROTOBUF_C_WIRE_TYPE_VARINT) {
		uint64_t value;
		if (!read_varint(in, VARINT_BYTES_MAX, &value))
			return fail(scan, field, "cut off, or not a number");
		return fits(field->type, value) ? 0 : fail(scan, field, "a number outside its range");
	}
	ptrdiff_t size = wire == PROTOBUF_C_WIRE_TYPE_64BIT ? 8 : 4;
	if (in->end - in->at < size)
		return fail(scan, field, "cut off");
	in->at += size;
	return 0;
}

static int scan_packed(struct scan *scan, const ProtobufCFieldDescriptor *field, struct input *in)
{
	struct input span;
	int error = 0;
	if (!read_span(in, &span))
		return fail(scan, field, WRONG_LENGTH);
	while (error == 0 && span.at < span.end) {
		error = count_field(scan, field);
		if (error == 0)
			error = scan_number(scan, field, &span);
	}
	return error;
}

static int scan_span(struct scan *scan, const ProtobufCFieldDescriptor *field, struct input *in)
{
	struct input span;
	if (!read_span(in, &span))
		return fail(scan, field, WRONG_LENGTH);
	if (field->type == PROTOBUF_C_TYPE_STRING) {
		const char *problem = text_problem(span);
		return problem == NULL ? 0 : fail(scan, field, problem);
	}
	if (field->type == PROTOBUF_C_TYPE_BYTES)
		return 0;
	if (scan->path.depth == PB_DEPTH_MAX - 1)
		return fail(scan, field, "nested too deep");
	(void)pb_path_push(&scan->path, field->name); /* has room for PB_DEPTH_MAX */
	int error = scan_message(scan, field->descriptor, span);
	pb_path_pop(&scan->path);
	return error;
}

static int scan_field(struct scan *scan, const ProtobufCFieldDescriptor *field, unsigned wire, struct input *in)
{
	bool span = wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
	bool number = wire_type_of(field->type) != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
	if (span && number && field->label == PROTOBUF_C_LABEL_REPEATED)
		return scan_packed(scan, field, in);
	if (wire != wire_type_of(field->type))
		return fail(scan, field, "wrong wire type");
	return span ? scan_span(scan, field, in) : scan_number(scan, field, in);
}

static int scan_message(struct scan *scan, const ProtobufCMessageDescriptor *type, struct input in)
{
	uint64_t seen[TYPE_FIELDS_MAX / 64] = {0};
	int error = 0;

	assert(type->n_fields <= TYPE_FIELDS_MAX);
	while (error == 0 && in.at < in.end) {
		uint64_t tag;
		if (!read_varint(&in, TAG_BYTES_MAX, &tag) || tag > UINT32_MAX)
			return fail(scan, NULL, "cut off, or not a field");
		const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
		if (field == NULL)
			return fail(scan, NULL, "a field number that is not known here");
		size_t index = (size_t)(field - type->fields);
		uint64_t bit = UINT64_C(1) << (index % 64);
		if (field->label != PROTOBUF_C_LABEL_REPEATED && (seen[index / 64] & bit) != 0)
			return fail(scan, field, "occurs twice");
		seen[index / 64] |= bit;
		error = count_field(scan, field);
		if (error == 0)
			error = scan_field(scan, field, (unsigned)(tag & 7), &in);
	}
	return error;
}

int pb_scan(const ProtobufCMessageDescriptor *type, const void *bytes, size_t n, struct err *err)
{
	struct scan scan = {.err = err};
	const uint8_t *at = bytes;
	if (n == 0)
		return 0;
	return scan_message(&scan, type, (struct input){at, at + n});
}
