#include "lib/json_tree.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* jansson recurses as deep as its input nests (to 2048). This looks at brackets outside strings only, so on text that is
 * not JSON it may err, but never lets more levels through. */
static bool too_deep(const char *text, size_t n)
{
	int depth = 0;
	bool quoted = false;
	for (size_t i = 0; i < n; i++) {
		if (quoted) {
			if (text[i] == '\\')
				i++;
			else if (text[i] == '"')
				quoted = false;
		} else if (text[i] == '"') {
			quoted = true;
		} else if (text[i] == '{' || text[i] == '[') {
			if (++depth > JSON_DEPTH_MAX)
				return true;
		} else if (text[i] == '}' || text[i] == ']') {
			depth--;
		}
	}
	return false;
}

/* jansson's own messages quote the text, which may hold what nobody else should read. */
static const char *phrase(enum json_error_code code)
{
	static const char *const phrases[] = {
		[json_error_stack_overflow] = "nested too deep",
		[json_error_invalid_utf8] = "text that is not UTF-8",
		[json_error_premature_end_of_input] = "ends too early",
		[json_error_end_of_input_expected] = "something follows the end",
		[json_error_null_character] = "a NUL character in text",
		[json_error_null_byte_in_key] = "a NUL character in a name",
		[json_error_duplicate_key] = "a member occurs twice",
		[json_error_numeric_overflow] = "a number that is too large",
	};
	const char *found = (size_t)code < sizeof phrases / sizeof *phrases ? phrases[code] : NULL;
	return found != NULL ? found : "not JSON";
}

static int parse_error(const json_error_t *error, struct err *err)
{
	enum json_error_code code = json_error_code(error);
	if (code == json_error_out_of_memory)
		return err_set(err, ERR_NOMEM, "not enough memory for this JSON");
	/* jansson ends this one message with: near '"name"' */
	const char *name = code == json_error_duplicate_key ? strstr(error->text, " near '\"") : NULL;
	char line[32] = "";
	if (error->line > 1) /* an event is a line: its file has lines of its own */
		(void)snprintf(line, sizeof line, "line %d, ", error->line); /* fits */
	if (name == NULL)
		return err_set(err, ERR_INVALID, "%scolumn %d: %s", line, error->column, phrase(code));
	name += strlen(" near '\"");
	int n = (int)strcspn(name, "\"");
	return err_set(err, ERR_INVALID, "%scolumn %d: %s: %.*s", line, error->column, phrase(code), n, name);
}

static int copy(json_t *from, struct arena *arena, struct json_node *node);

static int copy_object(json_t *from, struct arena *arena, struct json_node *node)
{
	const char *name;
	json_t *value;
	size_t i = 0;

	node->kind = NODE_OBJECT;
	node->n = json_object_size(from);
	node->names = arena_alloc(arena, node->n * sizeof *node->names);
	node->items = arena_alloc(arena, node->n * sizeof *node->items);
	if (node->names == NULL || node->items == NULL)
		return ERR_NOMEM;
	json_object_foreach(from, name, value) {
		node->names[i] = arena_strdup(arena, name);
		if (node->names[i] == NULL || copy(value, arena, &node->items[i]) != 0)
			return ERR_NOMEM;
		i++;
	}
	return 0;
}

static int copy_array(const json_t *from, struct arena *arena, struct json_node *node)
{
	node->kind = NODE_ARRAY;
	node->n = json_array_size(from);
	node->items = arena_alloc(arena, node->n * sizeof *node->items);
	if (node->items == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < node->n; i++)
		if (copy(json_array_get(from, i), arena, &node->items[i]) != 0)
			return ERR_NOMEM;
	return 0;
}

/* Recursion is bounded by too_deep(). */
static int copy(json_t *from, struct arena *arena, struct json_node *node)
{
	static const enum node_kind kinds[] = {
		[JSON_OBJECT] = NODE_OBJECT, [JSON_ARRAY] = NODE_ARRAY, [JSON_STRING] = NODE_STRING, [JSON_INTEGER] = NODE_INT,
		[JSON_REAL] = NODE_REAL, [JSON_TRUE] = NODE_BOOL, [JSON_FALSE] = NODE_BOOL, [JSON_NULL] = NODE_NULL,
	};
	node->kind = kinds[json_typeof(from)];
	node->boolean = json_is_true(from);
	node->integer = json_integer_value(from);
	node->real = json_number_value(from);
	if (node->kind == NODE_ARRAY)
		return copy_array(from, arena, node);
	if (node->kind == NODE_OBJECT)
		return copy_object(from, arena, node);
	if (node->kind == NODE_STRING) {
		node->n = json_string_length(from);
		node->text = arena_strdup(arena, json_string_value(from));
		return node->text != NULL ? 0 : ERR_NOMEM;
	}
	return 0;
}

/* jansson calls some text wrong when it only had no memory for it, and (2.14) goes on without a character of a string for which it had none. So what an allocation failed for counts as not read. */
static _Thread_local bool starved;

static void *take(size_t n)
{
	void *room = malloc(n);

	starved = starved || room == NULL;
	return room;
}

int json_tree_read(const char *text, size_t n, struct arena *arena, struct json_node *ret_root, struct err *err)
{
	json_error_t error;
	struct json_node root = {.kind = NODE_NULL};

	if (n > JSON_TEXT_MAX)
		return err_set(err, ERR_TOOBIG, "more than %zu bytes of JSON", JSON_TEXT_MAX);
	if (too_deep(text, n))
		return err_set(err, ERR_INVALID, "nested too deep");
	json_set_alloc_funcs(take, free);
	starved = false;
	json_t *parsed = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
	if (parsed == NULL && !starved)
		return parse_error(&error, err);
	int failed = starved ? ERR_NOMEM : copy(parsed, arena, &root);
	json_decref(parsed);
	if (failed != 0)
		return err_set(err, failed, "not enough memory for this JSON");
	*ret_root = root;
	return 0;
}
