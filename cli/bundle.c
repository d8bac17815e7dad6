#include "cli/bundle.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/json.h"
#include "lib/pb.h"
#include "lib/tree.h"

#define FAULT_SIZE 400
#define MEMBERS_MAX 8

struct check {
	const struct bundle_options *options;
	struct bundle_result *result;
	size_t line;
	struct arena arena;            /* of one line */
	struct arena keep;             /* of the whole */
	bool begun, ended;
	uint8_t root[HASH_SIZE];
	uint64_t chained;              /* position of the case's last record on its chain */
	moment recorded_at;
	uint64_t *events; size_t n_events; /* positions, ascending */
	int error;
};

static void fault(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fault(struct check *c, const char *format, ...)
{
	char text[FAULT_SIZE];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text, sizeof text, format, arguments); /* cut where it is too long */
	va_end(arguments);
	for (char *at = text; *at; at++)
		if ((unsigned char)*at < ' ')
			*at = '?';
	c->result->faults++;
	c->options->fault(c->options->context, c->line, text);
}

/* --- members of a line ------------------------------------------------------------------------------------------------------- */

struct line { const struct json_member *members; size_t n; };

static const struct json_value *get(const struct line *line, const char *name)
{
	for (size_t i = 0; i < line->n; i++)
		if (strcmp(line->members[i].name, name) == 0)
			return &line->members[i].value;
	return NULL;
}

/* Exactly these, in this order: what is not checked must not be there. wanted: separated by blanks; behind a '?' the rest may be missing, but only all of it. */
static bool has_members(struct check *c, const struct line *line, const char *wanted)
{
	size_t i = 0;
	bool optional = false;

	for (const char *at = wanted; *at;) {
		size_t n = strcspn(at, " ");

		if (*at == '?') {
			optional = i == line->n;
			at++, n--;
		}
		if (i == line->n && optional)
			return true;
		if (i == line->n || strlen(line->members[i].name) != n || memcmp(line->members[i].name, at, n) != 0) {
			fault(c, "%.*s: is missing, or another member stands in its place", (int)n, at);
			return false;
		}
		i++;
		at += n;
		at += strspn(at, " ");
	}
	if (i == line->n)
		return true;
	fault(c, "%.60s: no such member belongs here", line->members[i].name);
	return false;
}

static bool get_number(struct check *c, const struct line *line, const char *name, uint64_t *ret_number)
{
	const struct json_value *value = get(line, name);

	if (value && value->kind == JSON_INT && value->integer >= 0) {
		*ret_number = (uint64_t)value->integer;
		return true;
	}
	fault(c, "%s: is no number", name);
	return false;
}

struct bytes { uint8_t *bytes; size_t n; };

static bool get_bytes(struct check *c, const struct line *line, const char *name, struct bytes *ret_bytes)
{
	const struct json_value *value = get(line, name);
	size_t room;

	if (value && value->kind == JSON_STRING) {
		room = value->n / 4 * 3 + 3;
		ret_bytes->bytes = arena_alloc(&c->arena, room);
		if (!ret_bytes->bytes) {
			c->error = ERR_NOMEM;
			return false;
		}
		if (crypt_base64_read(value->text, value->n, ret_bytes->bytes, room, &ret_bytes->n) == OK)
			return true;
	}
	fault(c, "%s: is no base64", name);
	return false;
}

/* --- the checkpoint ------------------------------------------------------------------------------------------------------------ */

static bool is_log(const struct check *c, const struct note_line *line)
{
	return line->name_n == strlen(c->result->origin) && memcmp(line->name, c->result->origin, line->name_n) == 0 &&
	       line->key_id == note_key_id(c->result->origin, NOTE_ED25519, c->options->log_key);
}

/* Which of the given witnesses a line is of; NULL: of none. */
static const struct bundle_key *witness_of(const struct check *c, const struct note_line *line, char name[NOTE_NAME_MAX + 1])
{
	if (line->name_n > NOTE_NAME_MAX)
		return NULL;
	memcpy(name, line->name, line->name_n);
	name[line->name_n] = 0;
	for (size_t i = 0; i < c->options->n_witnesses; i++)
		if (line->key_id == note_key_id(name, NOTE_COSIGNATURE, c->options->witnesses[i].public_key))
			return &c->options->witnesses[i];
	return NULL;
}

static void check_log_signature(struct check *c, const struct note *note)
{
	struct note_key key = { .name = c->result->origin, .kind = NOTE_ED25519 };
	struct note_seen seen;
	struct err err = { 0 };

	memcpy(key.public_key, c->options->log_key, KEY_SIZE);
	if (note_verify(note, &key, 1, &seen, &err))
		fault(c, "checkpoint: is not signed by the key that was given (%s)", err.text);
}

/* One witness's line: its cosignature holds. */
static bool check_cosignature(struct check *c, const struct note *note, const char *name, const struct bundle_key *witness)
{
	struct note_key key = { .name = name, .kind = NOTE_COSIGNATURE };
	struct note_seen seen = { false, 0 };
	struct err err = { 0 };

	memcpy(key.public_key, witness->public_key, KEY_SIZE);
	if (note_verify(note, &key, 1, &seen, &err) || !seen.verified) {
		fault(c, "checkpoint: the cosignature of %s does not hold", name);
		return false;
	}
	c->result->cosigned++;
	if (!c->result->cosigned_at || seen.time < c->result->cosigned_at)
		c->result->cosigned_at = seen.time;
	return true;
}

static bool is_listed(const struct json_value *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->items[i].kind == JSON_STRING && strcmp(list->items[i].text, name) == 0)
			return true;
	return false;
}

/* Every line is one that can be checked, every witness that is needed is there: those that the bundle lists, and those whose keys were given. */
static void check_signatures(struct check *c, const struct note *note, const struct json_value *listed)
{
	bool *given = arena_alloc(&c->arena, (c->options->n_witnesses + 1) * sizeof *given), *there = arena_alloc(&c->arena, (listed->n + 1) * sizeof *there);
	char name[NOTE_NAME_MAX + 1];
	struct note_line line;
	size_t at = 0;

	if (!given || !there) {
		c->error = ERR_NOMEM;
		return;
	}
	check_log_signature(c, note);
	while (note_next(note, &at, &line)) {
		const struct bundle_key *witness;

		if (is_log(c, &line))
			continue;
		witness = witness_of(c, &line, name);
		if (!witness || !is_listed(listed, name)) {
			fault(c, "checkpoint: a signature by %.*s, which nobody asked for, or of which the key was not given (--witness)", (int)line.name_n, line.name);
			continue;
		}
		given[witness - c->options->witnesses] = check_cosignature(c, note, name, witness);
		for (size_t i = 0; i < listed->n; i++)
			there[i] = there[i] || (listed->items[i].kind == JSON_STRING && strcmp(listed->items[i].text, name) == 0);
	}
	for (size_t i = 0; i < listed->n; i++)
		if (!there[i])
			fault(c, "checkpoint: the witness %s is needed and has not cosigned, or its key was not given (--witness)", listed->items[i].kind == JSON_STRING ? listed->items[i].text : "?");
	for (size_t i = 0; i < c->options->n_witnesses; i++)
		if (!given[i])
			fault(c, "checkpoint: is not cosigned by the witness of %s", c->options->witnesses[i].path);
}

static void check_checkpoint(struct check *c, const struct json_value *text, const struct json_value *listed)
{
	struct checkpoint checkpoint;
	struct note note;
	struct err err = { 0 };

	if (note_read(text->text, text->n, &note, &err) || checkpoint_read(note.text, note.text_n, &checkpoint, &err)) {
		fault(c, "checkpoint: %s", err.text);
		return;
	}
	if (checkpoint.extensions_n)
		fault(c, "checkpoint: has lines that this program does not know");
	memcpy(c->result->origin, checkpoint.origin, sizeof c->result->origin);
	c->result->size = checkpoint.size;
	memcpy(c->root, checkpoint.root, HASH_SIZE);
	check_signatures(c, &note, listed);
}

static void first_line(struct check *c, const struct line *line)
{
	const struct json_value *reference = get(line, "reference"), *checkpoint = get(line, "checkpoint"), *witnesses = get(line, "witnesses");
	uint64_t version = 0;

	c->begun = true;
	if (!has_members(c, line, "bundle reference checkpoint witnesses") || !get_number(c, line, "bundle", &version))
		return;
	if (version != 1)
		fault(c, "bundle: version %" PRIu64 " is not known to this program", version);
	if (reference->kind != JSON_STRING || reference->n == 0 || reference->n >= sizeof c->result->reference)
		fault(c, "reference: is no case reference");
	else
		memcpy(c->result->reference, reference->text, reference->n + 1);
	if (checkpoint->kind != JSON_STRING || /* lint: analyzer, because has_members has found it */ witnesses->kind != JSON_ARRAY || witnesses->n > BUNDLE_WITNESSES_MAX)
		fault(c, "checkpoint or witnesses: is of the wrong kind");
	else
		check_checkpoint(c, checkpoint, witnesses);
}

/* --- records ---------------------------------------------------------------------------------------------------------------------- */

/* As the log makes it: SHA-256(0x00 || length of the header, 4 bytes || header || SHA-256(sealed body)). */
static void leaf_of(const struct bytes *header, const struct bytes *body_hash, uint8_t ret_leaf[HASH_SIZE])
{
	uint8_t length[4] = { (uint8_t)(header->n >> 24), (uint8_t)(header->n >> 16), (uint8_t)(header->n >> 8), (uint8_t)header->n };
	struct crypt_part parts[] = { { length, 4 }, { header->bytes, header->n }, { body_hash->bytes, body_hash->n } };

	tree_leaf_hash(parts, 3, ret_leaf);
}

static bool check_inclusion(struct check *c, const struct bytes *header, const struct line *line, uint64_t position)
{
	struct bytes body_hash, hashes;
	uint8_t leaf[HASH_SIZE];
	struct tree_proof proof;

	if (!get_bytes(c, line, "body_hash", &body_hash) || !get_bytes(c, line, "proof", &hashes))
		return false;
	if (body_hash.n != HASH_SIZE || hashes.n % HASH_SIZE || hashes.n / HASH_SIZE > TREE_PROOF_MAX) {
		fault(c, "record %" PRIu64 ": a hash is of the wrong length", position);
		return false;
	}
	proof.n = hashes.n / HASH_SIZE;
	memcpy(proof.hashes, hashes.bytes, hashes.n);
	leaf_of(header, &body_hash, leaf);
	if (position && tree_verify_inclusion(leaf, position - 1, c->result->size, &proof, c->root) == OK)
		return true;
	fault(c, "record %" PRIu64 ": is not in the log that the checkpoint speaks of", position);
	return false;
}

static const struct { Reentry__RecordKind__Value kind; const ProtobufCMessageDescriptor *body; } bodies[] = {
	{ REENTRY__RECORD_KIND__VALUE__EVENT, &reentry__event_record__descriptor }, { REENTRY__RECORD_KIND__VALUE__TIMER, &reentry__timer_record__descriptor },
	{ REENTRY__RECORD_KIND__VALUE__REPLAY, &reentry__audit_record__descriptor }, { REENTRY__RECORD_KIND__VALUE__DENIED, &reentry__audit_record__descriptor },
	{ REENTRY__RECORD_KIND__VALUE__ERASE, &reentry__audit_record__descriptor }, { REENTRY__RECORD_KIND__VALUE__ADMIN, &reentry__audit_record__descriptor },
};

static void check_body(struct check *c, const struct line *line, const Reentry__Header *header, struct bytes *ret_body)
{
	uint8_t commitment[HASH_SIZE];
	struct bytes salt, body;
	void *message = NULL;
	struct err err = { 0 };
	size_t i = 0;

	if (!get(line, "salt") || !get_bytes(c, line, "salt", &salt) || !get_bytes(c, line, "body", &body))
		return;
	crypt_sha256_parts((struct crypt_part[]){ { salt.bytes, salt.n }, { body.bytes, body.n } }, 2, commitment);
	if (salt.n != KEY_SIZE || !header->has_commitment || header->commitment.len != HASH_SIZE || memcmp(header->commitment.data, commitment, HASH_SIZE) != 0) {
		fault(c, "record %" PRIu64 ": the opened body is not the one that was recorded", header->position);
		return;
	}
	while (i < sizeof bodies / sizeof *bodies && bodies[i].kind != header->kind)
		i++;
	if (i == sizeof bodies / sizeof *bodies || pb_unpack(bodies[i].body, body.bytes, body.n, &c->arena, &message, &err))
		fault(c, "record %" PRIu64 ": the body cannot be read (%s)", header->position, err.text);
	*ret_body = body;
	c->result->opened++;
}

static bool lists_event(const struct check *c, const Reentry__Header *header)
{
	for (size_t i = 0; i < header->n_positions; i++)
		for (size_t low = 0, high = c->n_events; low < high;) {
			size_t middle = low + (high - low) / 2;

			if (c->events[middle] == header->positions[i])
				return true;
			if (c->events[middle] < header->positions[i])
				low = middle + 1;
			else
				high = middle;
		}
	return false;
}

/* What belongs here, in its order; and the case's own records, each naming the one before, without a gap. */
static void check_place(struct check *c, const Reentry__Header *header)
{
	bool of_case = header->subject && strcmp(header->subject, c->result->reference) == 0;
	uint64_t *place;

	if (header->position <= c->result->last)
		fault(c, "record %" PRIu64 ": stands behind a later one", header->position);
	if (c->recorded_at != MOMENT_NONE && header->recorded_at < c->recorded_at)
		fault(c, "record %" PRIu64 ": was recorded before the one that it follows", header->position);
	c->recorded_at = header->recorded_at;
	c->result->last = header->position;
	if (!c->result->first)
		c->result->first = header->position;
	if (!of_case && !(header->subject == NULL && lists_event(c, header)))
		fault(c, "record %" PRIu64 ": is not of case %s", header->position, c->result->reference);
	if (of_case && header->has_previous) {
		if (header->previous != c->chained)
			fault(c, "record %" PRIu64 ": record %" PRIu64 " of the case, which it follows, is left out", header->position, header->previous);
		c->chained = header->position;
	}
	if (!of_case || header->kind != REENTRY__RECORD_KIND__VALUE__EVENT)
		return;
	place = ARENA_PUSH(&c->keep, c->events, c->n_events);
	if (place)
		*place = header->position;
	else
		c->error = ERR_NOMEM;
}

static void record_line(struct check *c, const struct line *line)
{
	struct bytes header_bytes, body = { NULL, 0 };
	Reentry__Header *header;
	void *message = NULL;
	struct err err = { 0 };
	uint64_t position;

	if (!has_members(c, line, "position header body_hash proof ?salt body") || !get_number(c, line, "position", &position) || !get_bytes(c, line, "header", &header_bytes))
		return;
	if (pb_unpack(&reentry__header__descriptor, header_bytes.bytes, header_bytes.n, &c->arena, &message, &err)) {
		fault(c, "record %" PRIu64 ": its header cannot be read (%s)", position, err.text);
		return;
	}
	header = message;
	if (header->position != position) {
		fault(c, "record %" PRIu64 ": its header says that it is record %" PRIu64, position, header->position);
		return;
	}
	c->result->records++;
	if (!check_inclusion(c, &header_bytes, line, position))
		return;
	check_place(c, header);
	check_body(c, line, header, &body);
	if (c->options->record)
		c->options->record(c->options->context, &(struct bundle_record){ header, body.bytes, body.n });
}

static void last_line(struct check *c, const struct line *line)
{
	uint64_t version = 0, records = 0;

	c->ended = true;
	if (!has_members(c, line, "end records") || !get_number(c, line, "end", &version) || !get_number(c, line, "records", &records))
		return;
	if (version != 1)
		fault(c, "end: is not that of version 1");
	if (records != c->result->records)
		fault(c, "records: %" PRIu64 " are said to be here, there are %" PRIu64, records, c->result->records);
}

/* --- the whole --------------------------------------------------------------------------------------------------------------------- */

static void take_line(struct check *c, const char *text, size_t n)
{
	struct json_member *members = NULL;
	struct line line = { NULL, 0 };
	struct err err = { 0 };

	arena_reset(&c->arena);
	if (n > BUNDLE_LINE_MAX) {
		fault(c, "the line is too long");
		return;
	}
	if (n == 0 || text[0] != '{' || text[n - 1] != '}' || json_object_read(text, n, &c->arena, &members, &line.n, &err)) {
		fault(c, "is no line of a bundle%s%s", err.text[0] ? ": " : "", err.text);
		return;
	}
	line.members = members;
	if (c->ended)
		fault(c, "stands behind the end");
	else if (!c->begun)
		first_line(c, &line);
	else if (line.n && strcmp(line.members[0].name, "end") == 0)
		last_line(c, &line);
	else
		record_line(c, &line);
}

int bundle_check(const char *bytes, size_t n, const struct bundle_options *options, struct bundle_result *ret_result)
{
	struct check c = { .options = options, .result = ret_result, .recorded_at = MOMENT_NONE };
	const char *at = bytes, *end = bytes + n;

	*ret_result = (struct bundle_result){ 0 };
	arena_init(&c.arena, 0);
	arena_init(&c.keep, 0);
	while (at < end && !c.error) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));

		c.line++;
		if (!stop)
			fault(&c, "the line does not end: the file is cut");
		take_line(&c, at, (size_t)((stop ? stop : end) - at));
		at = stop ? stop + 1 : end;
	}
	c.line = 0;
	if (!c.ended)
		fault(&c, "the end is missing: the file is cut");
	if (c.begun && !c.result->records)
		fault(&c, "there is no record in it");
	arena_release(&c.arena);
	arena_release(&c.keep);
	return c.error;
}
