/* What a line of a reply says. */
#include "cli/cli.h"

#include <string.h>

bool object_read(struct object *object, const char *text, size_t n, struct arena *arena)
{
	*object = (struct object){0};
	return json_object_read(text, n, arena, &object->members, &object->n, NULL) == OK;
}

const struct json_value *object_get(const struct object *object, const char *name)
{
	for (size_t i = 0; i < object->n; i++)
		if (strcmp(object->members[i].name, name) == 0)
			return &object->members[i].value;
	return NULL;
}

const char *object_text(const struct object *object, const char *name)
{
	const struct json_value *value = object_get(object, name);
	return value != NULL && value->kind == JSON_STRING ? value->text : NULL;
}

int64_t object_number(const struct object *object, const char *name, int64_t fallback)
{
	const struct json_value *value = object_get(object, name);
	return value != NULL && value->kind == JSON_INT ? value->integer : fallback;
}

bool object_flag(const struct object *object, const char *name)
{
	const struct json_value *value = object_get(object, name);
	return value != NULL && value->kind == JSON_BOOL && value->boolean;
}

bool object_inside(const struct object *object, const char *name, struct arena *arena, struct object *ret_inner)
{
	const struct json_value *value = object_get(object, name);
	return value != NULL && value->kind == JSON_OBJECT && object_read(ret_inner, value->raw, value->raw_n, arena);
}

bool object_at(const struct object *object, const char *name, size_t i, struct arena *arena, struct object *ret_inner)
{
	const struct json_value *value = object_get(object, name);
	if (value == NULL || value->kind != JSON_ARRAY || i >= value->n || value->items[i].kind != JSON_OBJECT)
		return false;
	return object_read(ret_inner, value->items[i].raw, value->items[i].raw_n, arena);
}

const char *short_sequence(const char *sequence)
{
	while (*sequence == '0' && sequence[1] != '\0')
		sequence++;
	return sequence;
}
