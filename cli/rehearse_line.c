/* One line of a scenario. The event is cut out before the line is read: what is wrong inside it (deep nesting, a NUL, a member twice) is
 * answered by a receipt, as an agency would be answered, and does not end the rehearsal. */
#include "cli/rehearse.h"

#include <string.h>

#include "lib/id.h"
#include "lib/json.h"

static const char space[] = " \t\r\n";

static size_t skip_space(const char *text, size_t n, size_t at)
{
	while (at < n && text[at] != 0 && strchr(space, text[at]))
		at++;
	return at;
}

/* From an opening quote to behind the closing one. */
static size_t skip_string(const char *text, size_t n, size_t at)
{
	for (at++; at < n && text[at] != '"'; at++)
		if (text[at] == '\\')
			at++;
	return at < n ? at + 1 : n;
}

/* From an opening brace to behind its partner; 0 if there is none. */
static size_t skip_object(const char *text, size_t n, size_t at)
{
	int depth = 0;

	while (at < n) {
		if (text[at] == '"') {
			at = skip_string(text, n, at);
			continue;
		}
		depth += text[at] == '{' ? 1 : text[at] == '}' ? -1 : 0;
		at++;
		if (depth == 0)
			return at;
	}
	return 0;
}

/* The object behind "event": in the line; false: there is none, and reading the line as it stands will say what it is. */
static bool find_event(const char *text, size_t n, size_t *ret_at, size_t *ret_end)
{
	static const char name[] = "\"event\"";
	int depth = 0;
	size_t at = 0;

	while (at < n) {
		size_t end = text[at] == '"' ? skip_string(text, n, at) : at + 1;
		size_t colon = skip_space(text, n, end);

		depth += text[at] == '{' || text[at] == '[' ? 1 : text[at] == '}' || text[at] == ']' ? -1 : 0;
		if (depth == 1 && end - at == sizeof name - 1 && memcmp(text + at, name, end - at) == 0 && colon < n && text[colon] == ':') {
			*ret_at = skip_space(text, n, colon + 1);
			*ret_end = *ret_at < n && text[*ret_at] == '{' ? skip_object(text, n, *ret_at) : 0;
			return *ret_end != 0;
		}
		at = end;
	}
	return false;
}

static int read_member(const struct json_member *member, struct rehearse_line *line)
{
	const char *name = member->name;
	const struct json_value *value = &member->value;

	if (strcmp(name, "at") == 0 && value->kind == JSON_STRING)
		line->at = value->text;
	else if (strcmp(name, "by") == 0 && value->kind == JSON_STRING)
		line->by = value->text;
	else if (strcmp(name, "link") == 0 && value->kind == JSON_STRING)
		line->link = value->text;
	else if (strcmp(name, "event") == 0 && value->kind == JSON_OBJECT && line->event)
		return OK; /* cut out */
	else if (strcmp(name, "event") == 0 && value->kind == JSON_OBJECT)
		line->event = value->raw, line->event_n = value->raw_n;
	else if (strcmp(name, "up") == 0 && value->kind == JSON_BOOL)
		line->has_up = true, line->up = value->boolean;
	else if (strcmp(name, "crash") == 0 && value->kind == JSON_BOOL)
		line->crash = value->boolean;
	else
		return ERR_INVALID;
	return OK;
}

int rehearse_line_read(const char *text, size_t n, struct arena *arena, struct rehearse_line *ret_line, struct err *err)
{
	struct rehearse_line line = { 0 };
	struct json_member *members = NULL;
	size_t n_members = 0, at, end;
	int error = OK;

	if (find_event(text, n, &at, &end)) {
		char *rest = arena_alloc(arena, n + 2);

		line.event = arena_dup(arena, text + at, end - at);
		line.event_n = end - at;
		if (!rest || !line.event)
			return err_set(err, ERR_NOMEM, "out of memory");
		memcpy(rest, text, at);
		rest[at] = '{';
		rest[at + 1] = '}';
		memcpy(rest + at + 2, text + end, n - end);
		text = rest;
		n = n - line.event_n + 2;
	}
	error = json_object_read(text, n, arena, &members, &n_members, err);
	for (size_t i = 0; i < n_members && !error; i++)
		if (read_member(&members[i], &line))
			error = err_set(err, ERR_INVALID, "%s: is not known here, or of the wrong kind; a line has at, and by with event, link with up, or crash", members[i].name);
	if (!error && !line.at)
		error = err_set(err, ERR_INVALID, "at: is missing");
	if (!error && (line.by != NULL) != (line.event != NULL))
		error = err_set(err, ERR_INVALID, "by and event belong together");
	if (!error && (line.link != NULL) != line.has_up)
		error = err_set(err, ERR_INVALID, "link and up belong together");
	if (!error)
		*ret_line = line;
	return error;
}

const char *rehearse_line_id(const struct rehearse_line *line, struct arena *arena)
{
	struct json_member *members = NULL;
	struct err ignored = { 0 };
	size_t n = 0;

	if (json_object_read(line->event, line->event_n, arena, &members, &n, &ignored))
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (strcmp(members[i].name, "id") == 0 && members[i].value.kind == JSON_STRING && ref_is_valid(members[i].value.text))
			return members[i].value.text;
	return NULL;
}
