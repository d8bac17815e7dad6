/* The log: dense positions, a header in the clear, a sealed body, and a hash over both that is checked on every read.
 * Value: 32 bytes leaf hash, 4 bytes header length (big-endian), header (packed Header), sealed body.
 * Leaf: SHA-256(0x00 || header length || header || SHA-256(sealed body)), RFC 6962's leaf over clear header and hash of the ciphertext. */
#include <string.h>

#include "broker/core_internal.h"
#include "lib/pb.h"

#define PREFIX (HASH_SIZE + 4)

static void put32(uint8_t *bytes, uint32_t n)
{
	for (int i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(n >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void leaf_hash(const uint8_t *header, size_t header_n, const uint8_t *sealed, size_t sealed_n, uint8_t hash[HASH_SIZE])
{
	static const uint8_t zero = 0;
	uint8_t body[HASH_SIZE], length[4];
	struct crypt_part parts[] = { { &zero, 1 }, { length, 4 }, { header, header_n }, { body, sizeof body } };

	put32(length, (uint32_t)header_n);
	crypt_sha256(sealed, sealed_n, body);
	crypt_sha256_parts(parts, 4, hash);
}

int log_key(struct core *core, const Reentry__Header *header, bool make, const uint8_t **ret_key)
{
	if (header->has_class_ && header->subject)
		return keys_get(core, header->subject, header->class_, make, ret_key);
	*ret_key = core->body_key;
	return OK;
}

void log_salt(const uint8_t key[KEY_SIZE], uint64_t position, uint8_t ret_salt[KEY_SIZE])
{
	crypt_derive(key, "bodysalt", position, ret_salt);
}

void log_commitment(const uint8_t salt[KEY_SIZE], const void *body, size_t body_n, uint8_t ret_commitment[HASH_SIZE])
{
	struct crypt_part parts[] = { { salt, KEY_SIZE }, { body, body_n } };

	crypt_sha256_parts(parts, 2, ret_commitment);
}

/* The commitment is the last field of a packed header, and takes its place there when it is known. */
void log_seal(struct seal_job *job)
{
	uint8_t *header = job->value + PREFIX, *sealed = header + job->header_n, salt[KEY_SIZE];

	if (job->body_n) {
		log_salt(job->key, job->position, salt);
		log_commitment(salt, job->body, job->body_n, sealed - HASH_SIZE);
	}
	/* The header is authenticated with the body: a body cannot be moved to another position, case or time. */
	crypt_seal(job->key, job->body, job->body_n, header, job->header_n, sealed);
	leaf_hash(header, job->header_n, sealed, job->body_n + SEAL_OVERHEAD, job->leaf);
	memcpy(job->value, job->leaf, HASH_SIZE);
}

/* Into the tree at once, or when the turn ends: all of them in order. */
static int seal(struct core *core, const struct seal_job *job)
{
	struct seal_job *beside = seals_room(core), here;
	int error = OK;

	if (beside) {
		*beside = *job;
		seals_publish(core);
		return OK;
	}
	error = seals_collect(core);
	here = *job;
	log_seal(&here);
	crypt_wipe(here.key, KEY_SIZE);
	return error ? error : nodes_add(core, here.leaf);
}

int log_append(struct core *core, Reentry__Header *header, const void *body, size_t body_n)
{
	static const uint8_t later[HASH_SIZE];
	struct seal_job job = { .position = core->last + 1, .body = body, .body_n = body_n };
	const uint8_t *key = NULL;
	uint8_t at[DB_KEY_MAX], *packed = NULL;
	void *room = NULL;
	int error;

	header->has_position = header->has_recorded_at = header->has_epoch = true;
	header->position = job.position;
	header->recorded_at = core->now;
	header->epoch = core->epoch;
	header->has_commitment = body_n != 0;
	header->commitment = (ProtobufCBinaryData){ HASH_SIZE, (uint8_t *)(uintptr_t)later };
	error = log_key(core, header, true, &key);
	if (!error)
		error = pb_pack(header, &core->arena, &packed, &job.header_n);
	if (!error)
		error = db_put_room(&core->txn, T_LOG, at, db_key(at, "q", job.position), PREFIX + job.header_n + body_n + SEAL_OVERHEAD, &room);
	header->has_commitment = false; /* whoever reads the header has another one */
	if (error)
		return error;
	job.value = room;
	memcpy(job.key, key, KEY_SIZE);
	put32(job.value + HASH_SIZE, (uint32_t)job.header_n);
	memcpy(job.value + PREFIX, packed, job.header_n);
	error = seal(core, &job);
	crypt_wipe(job.key, KEY_SIZE);
	if (!error)
		core->last++;
	return error;
}

static int unpack_body(struct arena *arena, struct core_record *record)
{
	struct rules_record *r = &record->record;
	void *message = NULL;
	int error = OK;

	r->kind = record->header->kind;
	r->position = record->header->position;
	r->agency = record->header->agency;
	r->subject = record->header->subject;
	r->class = record->header->has_class_ ? record->header->class_ : REENTRY__CLASS__VALUE__A;
	if (r->kind == REENTRY__RECORD_KIND__VALUE__EVENT) {
		error = pb_unpack_own(&reentry__event_record__descriptor, record->body, record->body_n, arena, &message);
		r->event = message;
		if (!error && r->event->outcome != REENTRY__OUTCOME__VALUE__REFUSED)
			error = rules_record_load(r, arena);
	} else if (r->kind == REENTRY__RECORD_KIND__VALUE__TIMER) {
		error = pb_unpack_own(&reentry__timer_record__descriptor, record->body, record->body_n, arena, &message);
		r->timer = message;
	}
	return error;
}

int log_unseal(const uint8_t key[KEY_SIZE], const struct log_sealed *it, struct arena *arena, const uint8_t **ret_body, size_t *ret_n)
{
	uint8_t *body;

	if (it->n < SEAL_OVERHEAD)
		return ERR_CORRUPT;
	body = arena_room(arena, it->n - SEAL_OVERHEAD);
	if (!body)
		return ERR_NOMEM;
	if (crypt_open(key, it->bytes, it->n, it->header, it->header_n, body))
		return ERR_CORRUPT;
	*ret_body = body;
	*ret_n = it->n - SEAL_OVERHEAD;
	return OK;
}

int log_open(struct core *core, const struct log_parts *parts, struct arena *arena, struct core_record *ret_record)
{
	const struct log_sealed sealed = { parts->sealed, parts->sealed_n, parts->header_bytes, parts->header_n };
	const uint8_t *key = NULL, *body = NULL;
	int error = log_key(core, parts->header, false, &key);

	memset(ret_record, 0, sizeof *ret_record);
	ret_record->header = parts->header;
	if (!error)
		error = log_unseal(key, &sealed, arena, &body, &ret_record->body_n);
	ret_record->body = body;
	return error ? error : unpack_body(arena, ret_record);
}

int log_take(const struct db_value *value, struct log_parts *ret_parts)
{
	const uint8_t *bytes = value->bytes;
	uint8_t hash[HASH_SIZE];
	size_t header_n;

	memset(ret_parts, 0, sizeof *ret_parts);
	if (value->n < PREFIX || (header_n = get32(bytes + HASH_SIZE)) > value->n - PREFIX)
		return ERR_CORRUPT;
	*ret_parts = (struct log_parts){
		.leaf = bytes, .header_bytes = bytes + PREFIX, .header_n = header_n, .sealed = bytes + PREFIX + header_n, .sealed_n = value->n - PREFIX - header_n,
	};
	leaf_hash(ret_parts->header_bytes, header_n, ret_parts->sealed, ret_parts->sealed_n, hash);
	return memcmp(hash, bytes, HASH_SIZE) == 0 ? OK : ERR_CORRUPT;
}

int log_parse(const struct db_value *value, uint64_t position, struct arena *arena, struct log_parts *ret_parts)
{
	void *message = NULL;
	int error = log_take(value, ret_parts);

	if (error)
		return error;
	if (pb_unpack_own(&reentry__header__descriptor, ret_parts->header_bytes, ret_parts->header_n, arena, &message) || ((Reentry__Header *)message)->position != position)
		return ERR_CORRUPT;
	ret_parts->header = message;
	return OK;
}

int log_read(struct core *core, struct db_txn *txn, uint64_t position, struct arena *arena, struct core_record *ret_record)
{
	struct log_parts parts;
	struct db_value value;
	uint8_t at[DB_KEY_MAX];
	int error;

	if (txn == &core->txn)
		seals_wait(core); /* it may be one of this turn */
	error = db_get(txn, T_LOG, at, db_key(at, "q", position), &value);

	memset(ret_record, 0, sizeof *ret_record);
	if (!error)
		error = log_parse(&value, position, arena, &parts);
	return error ? error : log_open(core, &parts, arena, ret_record);
}

int log_header(struct db_txn *txn, uint64_t position, struct arena *arena, Reentry__Header **ret_header)
{
	uint8_t at[DB_KEY_MAX], hash[HASH_SIZE];
	struct db_value value;
	size_t header_n;
	const uint8_t *bytes;
	void *message = NULL;
	int error = db_get(txn, T_LOG, at, db_key(at, "q", position), &value);

	if (error)
		return error == ERR_NOTFOUND ? ERR_CORRUPT : error;
	bytes = value.bytes;
	if (value.n < PREFIX || (header_n = get32(bytes + HASH_SIZE)) > value.n - PREFIX)
		return ERR_CORRUPT;
	leaf_hash(bytes + PREFIX, header_n, bytes + PREFIX + header_n, value.n - PREFIX - header_n, hash);
	if (memcmp(hash, bytes, HASH_SIZE) != 0)
		return ERR_CORRUPT;
	if (pb_unpack_own(&reentry__header__descriptor, bytes + PREFIX, header_n, arena, &message) || ((Reentry__Header *)message)->position != position)
		return ERR_CORRUPT;
	*ret_header = message;
	return OK;
}

int log_leaf(struct db_txn *txn, uint64_t position, uint8_t ret_hash[HASH_SIZE])
{
	uint8_t at[DB_KEY_MAX];
	struct db_value value;
	int error = db_get(txn, T_LOG, at, db_key(at, "q", position), &value);

	if (error || value.n < PREFIX)
		return error && error != ERR_NOTFOUND ? error : ERR_CORRUPT;
	memcpy(ret_hash, value.bytes, HASH_SIZE);
	return OK;
}

int log_last(struct core *core)
{
	struct db_txn txn;
	struct db_value key, value;
	Reentry__Header *header = NULL;
	uint64_t position = 0;
	int error = db_begin_read(core->db, &txn);

	if (!error)
		error = db_last(&txn, T_LOG, &key, &value);
	if (error == ERR_NOTFOUND) {
		db_abort(&txn);
		return OK;
	}
	for (size_t i = 0; !error && i < key.n; i++)
		position = position << 8 | ((const uint8_t *)key.bytes)[i];
	if (!error)
		error = log_header(&txn, position, &core->arena, &header);
	if (!error) {
		core->last = core->handed = core->committed = position;
		core->recorded_at = header->recorded_at;
		core->epoch = header->epoch;
	}
	db_abort(&txn);
	return error;
}
