#include "cli/access.h"

#include <string.h>

void access_init(struct access *access)
{
	*access = (struct access){0};
	arena_init(&access->arena, 0);
}

void access_release(struct access *access)
{
	arena_release(&access->arena);
}

static const char *kept(struct access *access, const struct object *line, const char *name)
{
	return arena_strdup(&access->arena, object_text(line, name));
}

static struct access_fact *add(struct access *access, enum access_what what, const struct object *line)
{
	struct access_fact **place = ARENA_PUSH(&access->arena, access->facts, access->n), *fact = arena_alloc(&access->arena, sizeof *fact);
	if (place == NULL || fact == NULL) {
		access->n -= place != NULL;
		return NULL;
	}
	*fact = (struct access_fact){.what = what, .sequence = kept(access, line, "sequence"), .at = kept(access, line, "recordedtime"), .agency = kept(access, line, "agency")};
	return *place = fact;
}

/* --- what was said, and to whom it went ------------------------------------------------------------------------------------ */

static int take_relations(struct access *access, const struct object *from, struct access_to *to)
{
	const struct json_value *list = object_get(from, "relations");
	for (size_t i = 0; list != NULL && list->kind == JSON_ARRAY && i < list->n; i++) {
		const char **place = ARENA_PUSH(&access->arena, to->relations, to->n_relations);
		if (place == NULL || list->items[i].kind != JSON_STRING || (*place = arena_strdup(&access->arena, list->items[i].text)) == NULL)
			return ERR_NOMEM;
	}
	return OK;
}

static int take_routed(struct access *access, const struct object *line)
{
	struct access_fact *fact = add(access, ACCESS_REPORTED, line);
	struct object from;
	int r = fact != NULL ? OK : ERR_NOMEM;
	if (r != OK)
		return r;
	fact->type = kept(access, line, "type");
	fact->class = kept(access, line, "class");
	fact->erased = kept(access, line, "erased");
	for (size_t i = 0; r == OK && object_at(line, "to", i, &access->arena, &from); i++) {
		struct access_to *to = ARENA_PUSH(&access->arena, fact->to, fact->n_to);
		if (to == NULL)
			return ERR_NOMEM;
		to->agency = kept(access, &from, "agency");
		to->consent = object_flag(&from, "consent");
		r = take_relations(access, &from, to);
	}
	return r;
}

/* What was given before: the events stand in order of their sequences, and 20 digits sort as text. */
static struct access_fact *find(struct access *access, const char *sequence)
{
	size_t low = 0, high = access->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(access->facts[middle]->sequence, sequence) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < access->n && strcmp(access->facts[low]->sequence, sequence) == 0 ? access->facts[low] : NULL;
}

static int take_given(struct access *access, const struct object *line, bool acked)
{
	const char *agency = object_text(line, "agency"), *at = kept(access, line, "recordedtime");
	const struct json_value *list = object_get(line, "sequences");
	for (size_t i = 0; agency != NULL && at != NULL && list != NULL && list->kind == JSON_ARRAY && i < list->n; i++) {
		struct access_fact *fact = list->items[i].kind == JSON_STRING ? find(access, list->items[i].text) : NULL;
		for (size_t k = 0; fact != NULL && k < fact->n_to; k++) {
			struct access_to *to = &fact->to[k];
			if (to->agency == NULL || strcmp(to->agency, agency) != 0)
				continue;
			to->delivered = to->delivered != NULL ? to->delivered : at;
			if (acked && to->acked == NULL)
				to->acked = at;
		}
	}
	return at != NULL ? OK : ERR_NOMEM;
}

/* --- who looked, asked, ordered ------------------------------------------------------------------------------------------------ */

static const struct { const char *record, *action; enum access_what what; } rows[] = {
	{"replay", "case", ACCESS_SHOWN},       {"replay", "replay", ACCESS_READ},         {"replay", "prove", ACCESS_PROVED},
	{"denied", NULL, ACCESS_DENIED},        {"refused", NULL, ACCESS_REFUSED},         {"stale", NULL, ACCESS_STALE},
	{"erase", "order", ACCESS_ERASE_ORDERED}, {"erase", "withdraw", ACCESS_ERASE_WITHDRAWN}, {"erase", "confirm", ACCESS_ERASE_CONFIRMED}, {"erase", "executed", ACCESS_ERASED},
};

static int take_question(struct access *access, const struct object *line, const char *record)
{
	struct object audit = {0};
	struct access_fact *fact = NULL;
	const char *action = object_inside(line, "audit", &access->arena, &audit) ? object_text(&audit, "action") : NULL, *outcome = object_text(&audit, "outcome");
	if (outcome != NULL && strcmp(outcome, "finished") == 0)
		return OK; /* that it began was told */
	for (size_t i = 0; fact == NULL && i < sizeof rows / sizeof *rows; i++) {
		if (strcmp(rows[i].record, record) != 0 || (rows[i].action != NULL && (action == NULL || strcmp(rows[i].action, action) != 0)))
			continue;
		fact = add(access, rows[i].what, line);
		if (fact == NULL)
			return ERR_NOMEM;
	}
	if (fact == NULL)
		return OK;
	if (fact->what == ACCESS_READ && object_text(line, "case") == NULL)
		fact->what = ACCESS_READ_ALL;
	fact->purpose = kept(access, &audit, "purpose");
	fact->on_behalf_of = kept(access, &audit, "on_behalf_of");
	fact->code = object_text(line, "code") != NULL ? kept(access, line, "code") : kept(access, &audit, "outcome");
	return OK;
}

int access_take(struct access *access, const struct object *line)
{
	const char *record = object_text(line, "record");
	if (record == NULL || object_text(line, "sequence") == NULL)
		return OK; /* an event itself: what is behind it says where it went */
	if (strcmp(record, "routed") == 0)
		return take_routed(access, line);
	if (strcmp(record, "delivered") == 0 || strcmp(record, "acked") == 0)
		return take_given(access, line, record[0] == 'a');
	return take_question(access, line, record);
}
