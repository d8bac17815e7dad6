#include "lib/json.h"
#include "lib/json_tree.h"

_Static_assert((int)NODE_NULL == (int)JSON_NULL && (int)NODE_BOOL == (int)JSON_BOOL && (int)NODE_INT == (int)JSON_INT &&
	(int)NODE_REAL == (int)JSON_REAL && (int)NODE_STRING == (int)JSON_STRING && (int)NODE_OBJECT == (int)JSON_OBJECT &&
	(int)NODE_ARRAY == (int)JSON_ARRAY, "a node's kind is taken over as it is");

static int set_raw(const struct json_node *node, struct arena *arena, struct json_value *value)
{
	struct buf text;
	buf_init(&text);
	json_tree_write(&text, node);
	value->raw = text.error == 0 ? arena_dup(arena, text.bytes, text.n + 1) : NULL; /* with the NUL behind it */
	value->raw_n = text.n;
	buf_release(&text);
	return value->raw != NULL ? 0 : ERR_NOMEM;
}

static int convert(const struct json_node *node, struct arena *arena, struct json_value *value)
{
	value->kind = (enum json_kind)node->kind;
	value->boolean = node->boolean;
	value->integer = node->integer;
	value->real = node->real;
	value->text = node->text;
	value->n = node->n;
	if (node->kind != NODE_OBJECT && node->kind != NODE_ARRAY)
		return 0;
	if (set_raw(node, arena, value) != 0)
		return ERR_NOMEM;
	if (node->kind == NODE_OBJECT)
		return 0;
	value->items = arena_alloc(arena, node->n * sizeof *value->items);
	if (value->items == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < node->n; i++)
		if (convert(&node->items[i], arena, &value->items[i]) != 0)
			return ERR_NOMEM;
	return 0;
}

int json_object_read(const char *text, size_t n, struct arena *arena, struct json_member **ret_members, size_t *ret_n, struct err *err)
{
	struct json_node root;
	int error = json_tree_read(text, n, arena, &root, err);
	if (error != 0)
		return error;
	if (root.kind != NODE_OBJECT)
		return err_set(err, ERR_INVALID, "not a JSON object");
	struct json_member *members = arena_alloc(arena, root.n * sizeof *members);
	for (size_t i = 0; members != NULL && i < root.n; i++) {
		members[i].name = root.names[i];
		if (convert(&root.items[i], arena, &members[i].value) != 0)
			members = NULL;
	}
	if (members == NULL)
		return err_set(err, ERR_NOMEM, "not enough memory for this JSON");
	*ret_members = members;
	*ret_n = root.n;
	return 0;
}
