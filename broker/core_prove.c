/* Bundles (docs/audit.md): one JSON object a line.
 *   {"bundle":1,"reference":C,"checkpoint":NOTE,"witnesses":[NAME…]}
 *   {"position":N,"header":B64,"body_hash":B64,"proof":B64[,"salt":B64,"body":B64]}     each record of the case, and each DELIVERED and ACKED record that lists one of its events
 *   {"end":1,"records":N}
 * proof: the hashes of RFC 9162 2.1.3.1, one behind the other. With salt and body the opened body can be checked against the commitment in the header. */
#include "broker/core_prove.h"

#include <inttypes.h>
#include <string.h>

#include "broker/core_internal.h"
#include "lib/json.h"
#include "lib/pb.h"

#define CASE_RECORDS_MAX 1000000   /* of one case */

static void member(struct buf *out, const char *name, const void *bytes, size_t n)
{
	(void)buf_printf(out, ",\"%s\":\"", name); /* errors stay in out; so below */
	(void)crypt_base64(out, bytes, n);
	(void)buf_text(out, "\"");
}

/* --- which records -------------------------------------------------------------------------------------------------------- */

/* The last record of the case's chain, also of an erased one. */
static int newest(struct core *core, const char *subject, struct arena *arena, uint64_t *ret_position)
{
	struct core_erasure erasure;
	Reentry__CaseState *state = NULL;
	int error = core_case(core, subject, arena, &state);

	if (error == OK)
		*ret_position = state->last;
	if (error != ERR_ERASED)
		return error;
	error = core_erasure(core, subject, arena, &erasure);
	*ret_position = erasure.last;
	return error || !erasure.last ? ERR_ERASED : OK;
}

/* Where the case begins: nothing that belongs to it lies before. */
static int oldest(struct core *core, uint64_t position, uint64_t *ret_position)
{
	struct arena arena;
	struct db_txn txn;
	int error = db_begin_read(core->db, &txn);

	arena_init(&arena, 0);
	for (size_t i = 0; position && !error && i < CASE_RECORDS_MAX; i++) {
		Reentry__Header *header = NULL;

		arena_reset(&arena);
		error = log_header(&txn, position, &arena, &header);
		if (error)
			break;
		*ret_position = position;
		position = header->previous < position ? header->previous : 0;
	}
	arena_release(&arena);
	db_abort(&txn);
	return error;
}

static bool is_position(const struct prove *p, uint64_t position)
{
	size_t low = 0, high = p->n_positions;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (p->positions[middle] == position)
			return true;
		if (p->positions[middle] < position)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static int belongs(struct prove *p, const Reentry__Header *header, bool *ret_belongs)
{
	uint64_t *place;

	*ret_belongs = header->subject && strcmp(header->subject, p->options.subject) == 0;
	if (*ret_belongs && header->kind == REENTRY__RECORD_KIND__VALUE__EVENT) {
		place = ARENA_PUSH(p->arena, p->positions, p->n_positions);
		if (!place)
			return ERR_NOMEM;
		*place = header->position;
	}
	for (size_t i = 0; i < header->n_positions && !*ret_belongs; i++)
		*ret_belongs = is_position(p, header->positions[i]);
	return OK;
}

/* --- lines ------------------------------------------------------------------------------------------------------------------ */

static int write_body(struct core *core, const struct prove *p, const struct log_parts *parts, struct arena *arena, struct buf *out)
{
	const uint8_t *key = NULL;
	uint8_t salt[KEY_SIZE];
	struct core_record record;
	int error = p->options.may ? log_open(core, parts, arena, &record) : ERR_ERASED;

	if (error || !record.body_n || !p->options.may(p->options.context, &record))
		return error == ERR_ERASED ? OK : error;
	error = log_key(core, parts->header, false, &key);
	if (error)
		return error;
	log_salt(key, parts->header->position, salt);
	member(out, "salt", salt, sizeof salt);
	member(out, "body", record.body, record.body_n);
	return OK;
}

static int write_record(struct core *core, struct prove *p, struct db_txn *txn, struct arena *arena, struct buf *out)
{
	uint8_t at[DB_KEY_MAX], hash[HASH_SIZE];
	struct tree_proof proof;
	struct log_parts parts;
	struct db_value value;
	int error = db_get(txn, T_LOG, at, db_key(at, "q", p->at), &value);

	if (!error)
		error = log_parse(&value, p->at, arena, &parts);
	if (!error)
		error = tree_inclusion(p->at - 1, p->size, nodes_stored(txn), &proof);
	if (error)
		return error == ERR_NOTFOUND ? ERR_CORRUPT : error;
	crypt_sha256(parts.sealed, parts.sealed_n, hash);
	(void)buf_printf(out, "{\"position\":%" PRIu64, p->at); /* see member */
	member(out, "header", parts.header_bytes, parts.header_n);
	member(out, "body_hash", hash, sizeof hash);
	member(out, "proof", proof.hashes, proof.n * HASH_SIZE);
	error = write_body(core, p, &parts, arena, out);
	(void)buf_text(out, "}\n");
	p->records++;
	return error ? error : out->error;
}

static int first_line(const struct prove *p, const char *note, struct buf *out)
{
	(void)buf_printf(out, "{\"bundle\":%d,\"reference\":", BUNDLE_VERSION); /* see member */
	(void)json_string(out, p->options.subject);
	(void)buf_text(out, ",\"checkpoint\":");
	(void)json_string(out, note);
	(void)buf_text(out, ",\"witnesses\":[");
	for (size_t i = 0; i < p->options.n_witnesses; i++) {
		(void)buf_text(out, i ? "," : "");
		(void)json_string(out, p->options.witnesses[i].name);
	}
	return buf_text(out, "]}\n");
}

/* Of the signatures only the log's and those that are needed: what a reader cannot check has no place in a bundle. */
static int trim_note(const struct prove *p, const char *note, const char *origin, struct arena *arena, const char **ret_note)
{
	struct note parsed;
	struct note_line line;
	struct buf out;
	size_t at = 0, start = 0;
	int error = note_read(note, strlen(note), &parsed, NULL);

	if (error)
		return ERR_CORRUPT;
	buf_init(&out);
	(void)buf_add(&out, parsed.text, parsed.text_n); /* see member */
	(void)buf_text(&out, "\n");
	for (; note_next(&parsed, &at, &line); start = at) {
		bool wanted = line.name_n == strlen(origin) && memcmp(line.name, origin, line.name_n) == 0;

		for (size_t i = 0; i < p->options.n_witnesses && !wanted; i++) {
			const struct note_key *key = &p->options.witnesses[i];

			wanted = line.key_id == note_key_id(key->name, key->kind, key->public_key) && line.name_n == strlen(key->name) && memcmp(line.name, key->name, line.name_n) == 0;
		}
		if (wanted)
			(void)buf_add(&out, parsed.lines + start, at - start);
	}
	error = out.error;
	*ret_note = error ? NULL : arena_strdup(arena, (const char *)out.bytes);
	buf_release(&out);
	return error ? error : *ret_note ? OK : ERR_NOMEM;
}

/* --- the whole ------------------------------------------------------------------------------------------------------------------ */

int prove_begin(struct core *core, const struct prove_options *options, struct arena *arena, struct prove *prove, struct buf *out, struct err *err)
{
	char origin[NOTE_NAME_MAX + 1];
	const char *note = NULL;
	uint64_t last = 0;
	int error;

	*prove = (struct prove){ .options = *options, .arena = arena };
	core_origin(core, origin);
	error = newest(core, options->subject, arena, &last);
	if (!error)
		error = oldest(core, last, &prove->at);
	if (error)
		return err_set(err, error == ERR_NOTFOUND || error == ERR_ERASED ? ERR_NOTFOUND : error, "there is no case %s", options->subject);
	error = core_checkpoint_cosigned(core, options->witnesses, options->n_witnesses, arena, &prove->size, &note);
	if (error == ERR_NOTFOUND)
		return err_set(err, error, "there is no checkpoint that all witnesses have cosigned: try again later, or with fewer");
	if (!error && prove->at > prove->size)
		return err_set(err, ERR_NOTFOUND, "case %s is newer than the latest checkpoint: try again when there is another (limits.checkpoint_interval)", options->subject);
	if (!error)
		error = trim_note(prove, note, origin, arena, &note);
	if (!error)
		error = first_line(prove, note, out);
	return error ? err_set(err, error, "the bundle cannot be begun: %s", err_text(error)) : OK;
}

int prove_more(struct core *core, struct prove *prove, size_t max, struct buf *out, struct err *err)
{
	struct arena arena;
	struct db_txn txn;
	int error = db_begin_read(core->db, &txn);

	arena_init(&arena, 0);
	for (size_t i = 0; i < max && prove->at <= prove->size && !error; i++) {
		Reentry__Header *header = NULL;
		bool is = false;

		arena_reset(&arena);
		error = log_header(&txn, prove->at, &arena, &header);
		if (!error)
			error = belongs(prove, header, &is);
		if (!error && is)
			error = write_record(core, prove, &txn, &arena, out);
		prove->at += !error;
	}
	arena_release(&arena);
	db_abort(&txn);
	if (error)
		return err_set(err, error, error == ERR_CORRUPT ? "sequence %llu of the log does not match its hash" : "sequence %llu of the log cannot be read", (unsigned long long)prove->at);
	if (prove->at <= prove->size)
		return OK;
	prove->done = true;
	return buf_printf(out, "{\"end\":%d,\"records\":%" PRIu64 "}\n", BUNDLE_VERSION, prove->records);
}

int core_prove(struct core *core, const struct prove_options *options, struct arena *arena, struct buf *out, struct err *err)
{
	struct prove prove;
	int error = prove_begin(core, options, arena, &prove, out, err);

	while (!error && !prove.done)
		error = prove_more(core, &prove, 4096, out, err);
	return error;
}
