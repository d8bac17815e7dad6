/* Requests that the agent answers from its own store. */
#include "agents/agent.h"

#include <stdlib.h>
#include <string.h>

#include "lib/civil.h"
#include "lib/log.h"
#include "lib/pb.h"
#include "rules/rules.h"

static void failed(struct request *request, int r)
{
	request_end(request, "failed", err_text(r));
}

/* --- inbox ------------------------------------------------------------------------------------------------------------- */

/* Texts of a filter live as long as the request, not the turn. */
struct follow { char *subject, *type; };

static void follow_gone(struct request *request)
{
	struct follow *follow = request->data;
	free(follow->subject);
	free(follow->type);
	free(follow);
}

static bool begin_follow(struct request *request, const struct inbox_filter *filter)
{
	struct follow *follow = calloc(1, sizeof *follow);
	if (follow == NULL)
		return false;
	request->data = follow;
	request->gone = follow_gone;
	follow->subject = filter->subject != NULL ? strdup(filter->subject) : NULL;
	follow->type = filter->type != NULL ? strdup(filter->type) : NULL;
	request->follow = *filter;
	request->follow.subject = follow->subject;
	request->follow.type = follow->type;
	request->following = true;
	return (filter->subject == NULL || follow->subject != NULL) && (filter->type == NULL || follow->type != NULL);
}

static int read_filter(struct agent *agent, struct db_txn *txn, const struct request_input *input, struct arena *arena, struct inbox_filter *filter)
{
	const char *name = input_text(input, "case"), *since = input_text(input, "since");
	int64_t max = input_number(input, "max", 0);
	*filter = (struct inbox_filter){.all = input_flag(input, "all"), .type = input_text(input, "type"), .since = MOMENT_NONE, .max = max > 0 ? (size_t)max : 0};
	if (name != NULL)
		filter->subject = links_subject(agent, txn, name, arena);
	if (filter->type != NULL && strncmp(filter->type, "nl.reentry.", 11) == 0)
		filter->type += 11;
	return since != NULL ? civil_parse_moment(since, &filter->since) : OK;
}

static void write_line(struct request *request, struct db_txn *txn, const struct inbox_line *line, struct arena *arena)
{
	struct buf out;
	buf_init(&out);
	int r = inbox_line_write(request->agent, txn, line, arena, &out);
	if (r == OK)
		request_buf(request, &out);
	else
		log_error("sequence=%llu inbox=unreadable why=\"%s\"", (unsigned long long)line->sequence, err_text(r));
	buf_release(&out);
}

void request_inbox(struct request *request, const struct request_input *input, struct arena *arena)
{
	struct agent *agent = request->agent;
	struct inbox_filter filter;
	struct inbox_line *lines;
	struct db_txn txn;
	size_t n = 0;
	int r = db_begin_read(agent->store.db, &txn);
	if (r == OK && read_filter(agent, &txn, input, arena, &filter) != OK) {
		db_abort(&txn);
		request_end(request, "malformed", "since: no moment (RFC 3339, such as 2027-02-01T10:00:00+01:00)");
		return;
	}
	if (r == OK)
		r = inbox_list(agent, &txn, &filter, arena, &lines, &n);
	for (size_t i = 0; i < n && r == OK; i++)
		write_line(request, &txn, &lines[i], arena);
	db_abort(&txn);
	if (r == OK && input_flag(input, "follow") && !begin_follow(request, &filter))
		r = ERR_NOMEM;
	if (r != OK)
		failed(request, r);
	else if (!request->following)
		request_end(request, NULL, NULL);
}

/* One that has just arrived, for those who follow. */
static void tell_follower(struct request *request, uint64_t sequence)
{
	struct agent *agent = request->agent;
	struct arena *arena = &agent->turn.arena;
	struct inbox_line line;
	struct db_txn txn;
	const struct inbox_filter *filter = &request->follow;
	if (db_begin_read(agent->store.db, &txn) != OK)
		return; /* it stands in the inbox all the same */
	if (inbox_line_read(agent, &txn, sequence, arena, &line) == OK && inbox_wanted(filter, &line))
		write_line(request, &txn, &line, arena);
	db_abort(&txn);
}

void requests_arrived(struct agent *agent, uint64_t sequence)
{
	for (struct request *request = agent->requests.first, *next; request != NULL; request = next) {
		next = request->next;
		if (request->following)
			tell_follower(request, sequence);
	}
}

/* --- what changes the store: told after the commit ------------------------------------------------------------------------ */

struct reply { struct buf lines; };

static void reply_gone(struct request *request)
{
	struct reply *reply = request->data;
	buf_release(&reply->lines);
	free(reply);
}

static struct reply *reply_new(struct request *request)
{
	struct reply *reply = calloc(1, sizeof *reply);
	if (reply == NULL) {
		request_end(request, "no-memory", NULL);
		return NULL;
	}
	buf_init(&reply->lines);
	request->data = reply;
	request->gone = reply_gone;
	return reply;
}

static void committed(struct agent *agent, void *context, uint64_t n, int result)
{
	struct request *request = context;
	struct reply *reply = request->data;
	(void)agent;
	(void)n;
	if (result != OK || reply->lines.error != OK) {
		failed(request, result != OK ? result : reply->lines.error);
		return;
	}
	for (size_t at = 0; at < reply->lines.n;) {
		const char *line = (const char *)reply->lines.bytes + at;
		size_t length = strcspn(line, "\n");
		request_line(request, line, length);
		at += length + 1;
	}
	request_end(request, NULL, NULL);
}

static bool sequence_of(const struct json_value *value, uint64_t *ret_sequence)
{
	if (value->kind == JSON_INT && value->integer > 0) {
		*ret_sequence = (uint64_t)value->integer;
		return true;
	}
	if (value->kind != JSON_STRING || value->n == 0 || value->n > 20 || strspn(value->text, "0123456789") != value->n)
		return false;
	*ret_sequence = strtoull(value->text, NULL, 10); /* digits only: cannot fail but by range, which gives one that is not there */
	return true;
}

void request_done(struct request *request, const struct request_input *input, struct arena *arena)
{
	const struct json_value *list = input_list(input, "sequences");
	struct reply *reply = reply_new(request);
	(void)arena;
	if (reply == NULL)
		return;
	if (list == NULL || list->n > REQUEST_LINES_MAX) {
		request_end(request, "malformed", "sequences: a list of numbers");
		return;
	}
	for (size_t i = 0; i < list->n; i++) {
		uint64_t sequence = 0;
		int r = sequence_of(&list->items[i], &sequence) ? inbox_done(request->agent, sequence) : ERR_NOTFOUND;
		(void)buf_printf(&reply->lines, "{\"sequence\":\"%020llu\",\"result\":\"%s\"}\n", (unsigned long long)sequence,
		                 r == OK ? "done" : r == ERR_NOTFOUND ? "unknown" : "failed"); /* the buffer remembers its error */
	}
	turn_after(request->agent, committed, request, 0);
}

void request_retry(struct request *request, const struct request_input *input, struct arena *arena)
{
	const struct json_value *list = input_list(input, "sequences");
	struct reply *reply = reply_new(request);
	(void)arena;
	if (reply == NULL)
		return;
	for (size_t i = 0; list != NULL && i < list->n && i < REQUEST_LINES_MAX; i++) {
		uint64_t sequence = 0;
		int r = sequence_of(&list->items[i], &sequence) ? exec_retry(request->agent, sequence) : ERR_NOTFOUND;
		(void)buf_printf(&reply->lines, "{\"sequence\":\"%020llu\",\"result\":\"%s\"}\n", (unsigned long long)sequence,
		                 r == OK ? "queued" : "unknown"); /* the buffer remembers its error */
	}
	turn_after(request->agent, committed, request, 0);
}

static void write_names(struct buf *out, const char *subject, const char *number)
{
	(void)buf_text(out, "{\"case\":");
	(void)json_string(out, subject);
	if (number != NULL && number[0] != '\0') {
		(void)buf_text(out, ",\"filenumber\":");
		(void)json_string(out, number);
	}
	(void)buf_text(out, "}\n"); /* the buffer remembers its error */
}

void request_link(struct request *request, const struct request_input *input, struct arena *arena)
{
	struct agent *agent = request->agent;
	const char *name = input_text(input, "case"), *number = input_text(input, "number");
	struct reply *reply = reply_new(request);
	struct err err;
	if (reply == NULL)
		return;
	if (name == NULL) {
		request_end(request, "malformed", "case: which one?");
		return;
	}
	const char *subject = links_subject(agent, turn_txn(agent), name, arena);
	if (number != NULL && links_set(agent, subject, number, &err) != OK) {
		request_end(request, "refused", err.text);
		return;
	}
	if (number == NULL)
		(void)links_number(agent, turn_txn(agent), subject, arena, &number); /* none: shown without */
	write_names(&reply->lines, subject, number);
	turn_after(agent, committed, request, 0);
}

/* The administrator's word, after he has spoken with the broker's operator. */
void request_accept_epoch(struct request *request, const struct request_input *input, struct arena *arena)
{
	const char *note = input_text(input, "note");
	struct agent *agent = request->agent;
	struct err err;
	(void)arena;
	if (note == NULL) {
		request_end(request, "malformed", "note: the record of the new epoch");
		return;
	}
	if (epoch_accept(agent, note, &err) != OK) {
		request_end(request, "refused", err.text);
		return;
	}
	struct buf line;
	buf_init(&line);
	(void)buf_printf(&line, "{\"epoch\":%llu,\"offered\":%llu,\"lost\":%llu}", (unsigned long long)agent->witness.epoch, (unsigned long long)agent->outbox.pending,
	                 (unsigned long long)agent->inbox.lost); /* the buffer remembers its error */
	request_buf(request, &line);
	buf_release(&line);
	request_end(request, NULL, NULL);
}

/* --- looking up -------------------------------------------------------------------------------------------------------------- */

void request_resolve(struct request *request, const struct request_input *input, struct arena *arena)
{
	struct agent *agent = request->agent;
	const char *name = input_text(input, "name"), *number = NULL;
	struct db_txn txn;
	struct buf out;
	if (name == NULL || db_begin_read(agent->store.db, &txn) != OK) {
		request_end(request, "malformed", "name: which case?");
		return;
	}
	buf_init(&out);
	const char *subject = links_subject(agent, &txn, name, arena);
	(void)links_number(agent, &txn, subject, arena, &number); /* none: shown without */
	write_names(&out, subject, number);
	db_abort(&txn);
	if (out.error == OK)
		out.n--; /* the newline */
	request_buf(request, &out);
	buf_release(&out);
	request_end(request, NULL, NULL);
}

void request_handover(struct request *request, const struct request_input *input, struct arena *arena)
{
	struct agent *agent = request->agent;
	const char *ref = input_text(input, "handover");
	struct handover_known known;
	struct db_txn txn;
	struct buf out;
	int r = ref == NULL ? ERR_INVALID : db_begin_read(agent->store.db, &txn);
	if (r == OK) {
		r = handover_lookup(agent, &txn, ref, arena, &known);
		db_abort(&txn);
	}
	if (r != OK) {
		request_end(request, "unknown", "this agent has neither received nor sent anything about that handover: name its case with --case");
		return;
	}
	buf_init(&out);
	(void)buf_text(&out, "{\"handover\":");
	(void)json_string(&out, ref);
	(void)buf_text(&out, ",\"case\":");
	(void)json_string(&out, known.subject);
	if (known.offer > 0)
		(void)buf_printf(&out, ",\"offer\":%u", known.offer);
	(void)buf_text(&out, "}"); /* the buffer remembers its error */
	request_buf(request, &out);
	buf_release(&out);
	request_end(request, NULL, NULL);
}

static int write_receipt(struct agent *agent, struct db_txn *txn, uint64_t number, struct arena *arena, struct buf *out)
{
	Reentry__AgentEntry *entry;
	Reentry__AgentSent *sent;
	Reentry__Event *event;
	char at[CIVIL_MOMENT_SIZE];
	int r = entry_get(txn, TABLE_SENT, number, arena, &entry);
	if (r != OK || entry->subject == NULL)
		return r != OK ? r : ERR_CORRUPT;
	struct place place = {TABLE_SENT, number, entry->subject};
	r = entry_open(agent, &place, entry, arena, &sent);
	if (r == OK)
		r = pb_unpack_own(&reentry__event__descriptor, sent->content.data, sent->content.len, arena, &event);
	if (r != OK || sent->receipt == NULL)
		return r != OK ? r : ERR_CORRUPT;
	const Reentry__Receipt *receipt = sent->receipt;
	struct json_receipt shown = {.id = entry->id, .result = outcome_name(receipt->result), .sequence = receipt->sequence, .code = receipt->code, .detail = receipt->detail};
	r = json_receipt_write(out, &shown);
	if (r != OK)
		return r;
	out->n--; /* the closing brace */
	(void)buf_text(out, ",\"type\":");
	(void)json_string(out, event->type != NULL ? event->type : "");
	(void)buf_text(out, ",\"case\":");
	(void)json_string(out, entry->subject);
	return buf_printf(out, ",\"at\":\"%s\"}", civil_format_moment(entry->receipt_at, at));
}

/* The last receipts, newest first; refused: only those that were refused. */
void request_receipts(struct request *request, const struct request_input *input, struct arena *arena)
{
	struct agent *agent = request->agent;
	enum table table = input_flag(input, "refused") ? TABLE_REFUSED : TABLE_SENT;
	int64_t max = input_number(input, "max", 100);
	struct db_txn txn;
	struct db_cursor cursor;
	struct buf out;
	uint64_t number;
	if (db_begin_read(agent->store.db, &txn) != OK) {
		failed(request, txn.error);
		return;
	}
	buf_init(&out);
	for (bool more = db_cursor_open(&txn, (int)table, &cursor) == OK && db_seek_last(&cursor, NULL, 0); more && max > 0; more = db_prev(&cursor), max--)
		if (number_read(cursor.key, &number) && write_receipt(agent, &txn, number, arena, &out) == OK)
			request_buf(request, &out);
		else
			buf_clear(&out);
	db_cursor_close(&cursor);
	db_abort(&txn);
	buf_release(&out);
	request_end(request, NULL, NULL);
}

/* --- status --------------------------------------------------------------------------------------------------------------------- */

static void write_oldest(struct agent *agent, struct buf *out)
{
	struct db_txn txn;
	struct db_cursor cursor;
	Reentry__AgentEntry *entry;
	char at[CIVIL_MOMENT_SIZE];
	if (db_begin_read(agent->store.db, &txn) == OK && db_cursor_open(&txn, TABLE_OUTBOX, &cursor) == OK) {
		if (db_seek(&cursor, NULL, 0, 0) && entry_read(cursor.value, &agent->turn.arena, &entry) == OK)
			(void)buf_printf(out, ",\"oldest\":\"%s\"", civil_format_moment(entry->at, at)); /* the buffer remembers its error */
		db_cursor_close(&cursor);
	}
	db_abort(&txn);
}

static void write_inbox(struct agent *agent, struct buf *out)
{
	struct db_txn txn;
	bool readable = db_begin_read(agent->store.db, &txn) == OK;
	size_t urgent = readable ? inbox_count(&txn, OPEN_URGENT) : 0, overdue = readable ? inbox_count(&txn, OPEN_OVERDUE) : 0;
	db_abort(&txn);
	(void)buf_printf(out, ",\"inbox\":{\"open\":%llu,\"urgent\":%zu,\"last\":\"%020llu\"},\"undelivered\":%zu", (unsigned long long)agent->inbox.open, urgent,
	                 (unsigned long long)agent->inbox.last, overdue); /* the buffer remembers its error */
}

void request_status(struct request *request, const struct request_input *input, struct arena *arena)
{
	struct agent *agent = request->agent;
	const struct link *link = &agent->link;
	char since[CIVIL_MOMENT_SIZE];
	struct buf out;
	(void)input;
	(void)arena;
	buf_init(&out);
	(void)buf_printf(&out, "{\"agency\":\"%s\",\"version\":\"%s\",\"link\":\"%s\",\"since\":\"%s\",\"endpoint\":", agent->config.agent.id, REENTRY_VERSION,
	                 link_state_name(agent), civil_format_moment(link->since, since));
	(void)json_string(&out, agent->config.agent.broker.items[link->endpoint % agent->config.agent.broker.n]);
	if (link->broker[0] != '\0') {
		(void)buf_text(&out, ",\"broker\":");
		(void)json_string(&out, link->broker);
	}
	if (link->reason[0] != '\0') {
		(void)buf_text(&out, ",\"why\":");
		(void)json_string(&out, link->reason);
	}
	if (link->alarm)
		(void)buf_text(&out, ",\"alarm\":true");
	epoch_status(agent, &out);
	(void)buf_printf(&out, ",\"outbox\":{\"waiting\":%llu,\"refused\":%llu", (unsigned long long)agent->outbox.pending, (unsigned long long)agent->outbox.refused);
	write_oldest(agent, &out);
	(void)buf_text(&out, "}");
	write_inbox(agent, &out);
	spool_status(agent, &out);
	exec_status(agent, &out);
	(void)buf_text(&out, "}"); /* the buffer remembers its error */
	request_buf(request, &out);
	buf_release(&out);
	request_end(request, NULL, NULL);
}
