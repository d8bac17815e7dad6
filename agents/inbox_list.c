/* The inbox as a person wants it: the current state first, the most urgent at the top, what is superseded folded away. */
#include "agents/agent.h"

#include <stdlib.h>
#include <string.h>

#include "lib/pb.h"
#include "rules/rules.h"

/* The fields that a message asks attention for, the first that it has counts. */
static const char *const dates[] = {"decide_by", "release_date", "date", "start_date", "at", "first_contact", "until"};

static moment about(const void *data)
{
	for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
		moment when = payload_moment(data, dates[i]);
		if (when != MOMENT_NONE)
			return when;
	}
	return MOMENT_NONE;
}

static int read_line(struct agent *agent, const Reentry__AgentEntry *entry, uint64_t sequence, struct arena *arena, struct inbox_line *line)
{
	struct json_event event;
	Reentry__Delivery *delivery;
	struct place place = {TABLE_INBOX, sequence, entry->subject};
	if (entry->subject == NULL)
		return ERR_CORRUPT;
	int r = entry_open(agent, &place, entry, arena, &delivery);
	if (r == OK)
		r = delivery_event(delivery, arena, &event);
	if (r != OK)
		return r;
	*line = (struct inbox_line){.sequence = sequence, .subject = entry->subject, .delivery = delivery, .event = event.event,
	                            .done = entry->has_done_at, .ending = entry->ending, .received_at = entry->at};
	line->data = event_payload(event.event, arena);
	line->about = about(line->data);
	line->part = slot_of(event.event, line->data, line->slot);
	return OK;
}

int inbox_line_read(struct agent *agent, struct db_txn *txn, uint64_t sequence, struct arena *arena, struct inbox_line *ret_line)
{
	Reentry__AgentEntry *entry;
	int r = entry_get(txn, TABLE_INBOX, sequence, arena, &entry);
	return r == OK ? read_line(agent, entry, sequence, arena, ret_line) : r;
}

bool inbox_wanted(const struct inbox_filter *filter, const struct inbox_line *line)
{
	if (line->done && !filter->all)
		return false;
	if (filter->subject != NULL && strcmp(filter->subject, line->subject) != 0)
		return false;
	/* A type, or the first word of several: "release" for release.date-set and its like. */
	if (filter->type != NULL) {
		size_t n = strlen(filter->type);
		const char *type = line->event->type != NULL ? line->event->type : "";
		if (strncmp(type, filter->type, n) != 0 || (type[n] != '\0' && type[n] != '.'))
			return false;
	}
	return filter->since == MOMENT_NONE || line->received_at >= filter->since;
}

/* Which table to walk, backwards from its end: the case's entries, what is open, or everything. */
struct walk { enum table table; uint8_t prefix[DB_KEY_MAX]; size_t prefix_n; };
/* Of a walk over what is open: which of it. However much is open, nothing urgent is left out for something newer. */
enum part { ANY, URGENT_ONLY, NOT_URGENT };

static struct walk choose_walk(const struct inbox_filter *filter)
{
	struct walk walk = {.table = filter->all ? TABLE_INBOX : TABLE_OPEN};
	if (filter->subject != NULL) {
		walk.table = TABLE_CASES;
		walk.prefix_n = db_key(walk.prefix, "sb", filter->subject, (int)TABLE_INBOX);
	}
	return walk;
}

static bool is_part(const struct walk *walk, enum part part, struct db_value value)
{
	bool urgent = walk->table == TABLE_OPEN && value.n == 1 && (*(const uint8_t *)value.bytes & OPEN_URGENT) != 0;
	return part == ANY || urgent == (part == URGENT_ONLY);
}

static int collect_part(struct agent *agent, struct db_txn *txn, const struct inbox_filter *filter, enum part part, struct arena *arena, struct inbox_line **ret_lines,
                        size_t *ret_n)
{
	struct walk walk = choose_walk(filter);
	struct db_cursor cursor;
	size_t max = filter->max > 0 && filter->max < INBOX_LIST_MAX ? filter->max : INBOX_LIST_MAX;
	int r = OK;
	if (filter->subject != NULL && walk.prefix_n == 0)
		return OK; /* no case can have such a name */
	bool more = db_cursor_open(txn, (int)walk.table, &cursor) == OK && db_seek_last(&cursor, walk.prefix_n > 0 ? walk.prefix : NULL, walk.prefix_n);
	for (; more && *ret_n < max && r == OK; more = db_prev(&cursor)) {
		uint64_t sequence;
		struct inbox_line line;
		struct db_value tail = {(const uint8_t *)cursor.key.bytes + walk.prefix_n, cursor.key.n - walk.prefix_n};
		if (!number_read(tail, &sequence)) {
			r = ERR_CORRUPT;
			break;
		}
		if (!is_part(&walk, part, cursor.value))
			continue;
		int read = inbox_line_read(agent, txn, sequence, arena, &line);
		if (read == ERR_NOTFOUND || read == ERR_ERASED || (read == OK && !inbox_wanted(filter, &line)))
			continue;
		struct inbox_line *kept = read == OK ? ARENA_PUSH(arena, *ret_lines, *ret_n) : NULL;
		if (kept == NULL)
			r = read != OK ? read : ERR_NOMEM;
		else
			*kept = line;
	}
	db_cursor_close(&cursor);
	return r != OK ? r : txn->error;
}

static int collect(struct agent *agent, struct db_txn *txn, const struct inbox_filter *filter, struct arena *arena, struct inbox_line **ret_lines, size_t *ret_n)
{
	*ret_lines = NULL;
	*ret_n = 0;
	if (filter->all || filter->subject != NULL)
		return collect_part(agent, txn, filter, ANY, arena, ret_lines, ret_n);
	int r = collect_part(agent, txn, filter, URGENT_ONLY, arena, ret_lines, ret_n);
	return r == OK ? collect_part(agent, txn, filter, NOT_URGENT, arena, ret_lines, ret_n) : r;
}

/* --- folding and sorting ------------------------------------------------------------------------------------------------ */

static int by_slot(const void *a, const void *b)
{
	const struct inbox_line *x = *(struct inbox_line *const *)a, *y = *(struct inbox_line *const *)b;
	int order = strcmp(x->subject, y->subject);
	if (order == 0)
		order = strcmp(x->slot, y->slot);
	return order != 0 ? order : (x->sequence < y->sequence) - (x->sequence > y->sequence);
}

/* Newest first within a slot: a version supersedes all that follow, a notice the notices that follow. */
static int fold(struct inbox_line *lines, size_t n, struct arena *arena)
{
	struct inbox_line **sorted = arena_alloc(arena, n * sizeof *sorted);
	if (sorted == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		sorted[i] = &lines[i];
	qsort(sorted, n, sizeof *sorted, by_slot);
	struct inbox_line *version = NULL, *notice = NULL;
	for (size_t i = 0; i < n; i++) {
		struct inbox_line *line = sorted[i];
		if (i == 0 || strcmp(line->subject, sorted[i - 1]->subject) != 0 || strcmp(line->slot, sorted[i - 1]->slot) != 0)
			version = notice = NULL;
		if (line->part == FOLD_NONE)
			continue;
		struct inbox_line *over = version != NULL ? version : line->part == FOLD_NOTICE ? notice : NULL;
		if (over != NULL) {
			line->superseded = true;
			over->folded++;
		} else if (line->part == FOLD_VERSION) {
			version = line;
		} else {
			notice = line;
		}
	}
	return OK;
}

static bool is_urgent(const struct inbox_line *line)
{
	return line->event->has_priority && line->event->priority == REENTRY__PRIORITY__VALUE__URGENT;
}

/* What says that nobody has done it, or that somebody waits for an answer: it comes before what merely has a date. */
static bool is_call(const struct inbox_line *line)
{
	static const char *const calls[] = {
		"community-service.behind", "delivery.overdue", "destination.unassigned", "followup.due", "gap.detected", "handover.escalated",
		"handover.info-requested", "handover.reconfirm", "handover.unplaced", "release.still-unknown", "screening.overdue", "supervision.contact-overdue",
	};
	for (size_t i = 0; i < sizeof calls / sizeof *calls && line->event->type != NULL; i++)
		if (strcmp(calls[i], line->event->type) == 0)
			return true;
	return false;
}

/* Urgent ones, then calls, then those with a date or deadline by that, then the rest as they came; what is done at the end. */
static int by_urgency(const void *a, const void *b)
{
	const struct inbox_line *x = a, *y = b;
	if (x->done != y->done)
		return x->done ? 1 : -1;
	if (is_urgent(x) != is_urgent(y))
		return is_urgent(x) ? -1 : 1;
	if (is_call(x) != is_call(y))
		return is_call(x) ? -1 : 1;
	if ((x->about == MOMENT_NONE) != (y->about == MOMENT_NONE))
		return x->about == MOMENT_NONE ? 1 : -1;
	if (x->about != y->about)
		return x->about < y->about ? -1 : 1;
	return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

int inbox_open_lines(struct agent *agent, struct db_txn *txn, const struct inbox_filter *filter, struct arena *arena, struct inbox_line **ret_lines, size_t *ret_n)
{
	return collect(agent, txn, filter, arena, ret_lines, ret_n);
}

int inbox_list(struct agent *agent, struct db_txn *txn, const struct inbox_filter *filter, struct arena *arena, struct inbox_line **ret_lines, size_t *ret_n)
{
	/* Whether a line is superseded does not depend on the type that was asked for: filtered only afterwards. */
	struct inbox_filter any = *filter;
	any.type = NULL;
	any.since = MOMENT_NONE;
	any.max = 0;
	struct inbox_line *lines;
	size_t n, shown = 0, max = filter->max > 0 ? filter->max : INBOX_LIST_MAX;
	int r = collect(agent, txn, &any, arena, &lines, &n);
	if (r == OK && n > 0)
		r = fold(lines, n, arena);
	if (r != OK)
		return r;
	for (size_t i = 0; i < n; i++)
		if (inbox_wanted(filter, &lines[i]) && (filter->all || !lines[i].superseded))
			lines[shown++] = lines[i];
	if (shown > 0)
		qsort(lines, shown, sizeof *lines, by_urgency);
	*ret_lines = lines;
	*ret_n = shown < max ? shown : max;
	return OK;
}

int inbox_line_write(struct agent *agent, struct db_txn *txn, const struct inbox_line *line, struct arena *arena, struct buf *out)
{
	struct json_event event;
	const char *number;
	int r = delivery_event(line->delivery, arena, &event);
	if (r == OK)
		r = json_event_write(out, &event, rules_payload_of);
	if (r != OK)
		return r;
	out->n--; /* the closing brace: our own members follow, named as CloudEvents names extensions */
	if (links_number(agent, txn, line->subject, arena, &number) == OK) {
		(void)buf_text(out, ",\"filenumber\":");
		(void)json_string(out, number);
	}
	if (line->done)
		(void)buf_text(out, ",\"done\":true");
	if (line->superseded)
		(void)buf_text(out, ",\"superseded\":true");
	if (line->folded > 0)
		(void)buf_printf(out, ",\"folded\":%zu", line->folded);
	return buf_text(out, "}");
}
