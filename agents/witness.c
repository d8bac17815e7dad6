/* The agent as a witness of the broker's log: it keeps the last checkpoint that it was shown, takes a new one only with the proof that it continues that one, and cosigns what it took.
 * Nobody is told that we have seen it before it is on our disk. */
#include "agents/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

/* --- opening ---------------------------------------------------------------------------------------------------------- */

static int read_number(struct db_txn *txn, const char *name, uint64_t *ret_number)
{
	struct db_value value;
	int r = store_meta_get(txn, name, &value);
	if (r != OK)
		return r == ERR_NOTFOUND ? OK : r;
	return number_read(value, ret_number) ? OK : ERR_CORRUPT;
}

/* What was kept is our own: its signatures were looked at when it came. */
static int read_head(struct db_txn *txn, struct witness *witness)
{
	struct checkpoint checkpoint;
	struct db_value value;
	struct note note;
	int r = store_meta_get(txn, "checkpoint", &value);
	if (r != OK)
		return r == ERR_NOTFOUND ? OK : r;
	if (note_read(value.bytes, value.n, &note, NULL) != OK || checkpoint_read(note.text, note.text_n, &checkpoint, NULL) != OK)
		return ERR_CORRUPT;
	memcpy(witness->origin, checkpoint.origin, sizeof witness->origin);
	memcpy(witness->head.root, checkpoint.root, sizeof witness->head.root);
	witness->head.size = checkpoint.size;
	return OK;
}

int witness_open(struct agent *agent, struct err *err)
{
	struct witness *witness = &agent->witness;
	struct db_txn txn;
	*witness = (struct witness){.has_key = false};
	int r = turn_read(agent, &txn);
	if (r == OK)
		r = read_number(&txn, "epoch", &witness->epoch);
	if (r == OK)
		r = read_number(&txn, "horizon", &witness->horizon);
	if (r == OK)
		r = read_head(&txn, witness);
	db_abort(&txn);
	return r == OK ? OK : err_set(err, r, "%s: the checkpoint that was kept cannot be read: %s", agent->config.agent.store, err_text(r));
}

void witness_close(struct agent *agent)
{
	free(agent->witness.new_epoch);
	agent->witness = (struct witness){.has_key = false};
}

int witness_key(struct agent *agent, struct err *err)
{
	struct witness *witness = &agent->witness;
	struct key_pair pair;
	witness->has_key = agent->config.agent.log_key != NULL;
	if (!witness->has_key)
		return OK;
	int r = key_read_public(agent->config.agent.log_key, &pair, err);
	if (r != OK)
		return r;
	witness->log = (struct note_key){.name = witness->origin, .kind = NOTE_ED25519};
	memcpy(witness->log.public_key, pair.sign_public, KEY_SIZE);
	return OK;
}

/* --- cosigning ---------------------------------------------------------------------------------------------------------- */

static int sign(struct agent *agent, const struct note *note, struct buf *out)
{
	struct key_pair own;
	struct note_signer signer = {.name = agent->config.agent.id, .kind = NOTE_COSIGNATURE, .seed = own.sign_seed};
	moment now = clock_now(&agent->clock);
	int r = key_read_secret(agent->config.agent.key, &own, NULL);
	signer.time = now > 0 ? (uint64_t)now / 1000 : 0;
	if (r == OK)
		r = buf_add(out, note->text, note->text_n);
	if (r == OK)
		r = note_sign(out, &signer, NULL);
	crypt_wipe(&own, sizeof own);
	return r;
}

/* A cosignature that does not arrive is missing: the next checkpoint is signed all the same. */
static void send_cosignature(struct agent *agent, void *context, uint64_t n, int result)
{
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Cosign cosign = REENTRY__COSIGN__INIT;
	(void)n;
	cosign.note = context;
	frame.cosign = &cosign;
	if (result == OK && link_up(agent))
		(void)link_send(agent, &frame);
}

static void cosign(struct agent *agent, const struct note *note)
{
	struct buf signed_note;
	buf_init(&signed_note);
	int r = sign(agent, note, &signed_note);
	char *text = r == OK ? arena_strdup(&agent->turn.arena, (const char *)signed_note.bytes) : NULL;
	buf_release(&signed_note);
	if (text != NULL)
		turn_after(agent, send_cosignature, text, 0);
	else
		log_warn("checkpoint=uncosigned why=\"%s\"", err_text(r == OK ? ERR_NOMEM : r));
}

/* --- taking a checkpoint ---------------------------------------------------------------------------------------------------- */

static int read_checkpoint(const struct witness *witness, const char *text, struct note *note, struct checkpoint *checkpoint, struct err *err)
{
	struct note_seen seen;
	int r = note_read(text, strlen(text), note, err);
	if (r == OK)
		r = checkpoint_read(note->text, note->text_n, checkpoint, err);
	if (r == OK && strcmp(checkpoint->origin, witness->origin) != 0)
		return err_set(err, ERR_DENIED, "a checkpoint of another log, %s", checkpoint->origin);
	if (r == OK && witness->has_key && note_verify(note, &witness->log, 1, &seen, err) != OK)
		return err_set(err, ERR_DENIED, "a checkpoint that the log's key has not signed (agent.log_key)");
	return r;
}

static int check_proof(const struct tree_head *known, const struct tree_head *shown, const ProtobufCBinaryData *bytes, struct err *err)
{
	struct tree_proof proof = {.n = bytes->len / HASH_SIZE};
	if (bytes->len % HASH_SIZE != 0 || proof.n > TREE_PROOF_MAX)
		return err_set(err, ERR_DENIED, "a consistency proof that is none");
	if (proof.n > 0)
		memcpy(proof.hashes, bytes->data, bytes->len);
	if (tree_verify_consistency(known, shown, &proof) != OK)
		return err_set(err, ERR_DENIED, "a log of %llu records that does not begin with the %llu that this agency was shown", (unsigned long long)shown->size,
		               (unsigned long long)known->size);
	return OK;
}

static int continues(const struct witness *witness, const struct tree_head *shown, const Reentry__Checkpoint *checkpoint, struct err *err)
{
	const struct tree_head *known = &witness->head;
	if (known->size == 0)
		return OK;
	if (shown->size < known->size)
		return err_set(err, ERR_DENIED, "a log of %llu records, and this agency has been shown %llu", (unsigned long long)shown->size, (unsigned long long)known->size);
	if (shown->size == known->size)
		return memcmp(shown->root, known->root, HASH_SIZE) == 0 ? OK
		       : err_set(err, ERR_DENIED, "another log of %llu records than this agency was shown", (unsigned long long)shown->size);
	return check_proof(known, shown, &checkpoint->consistency, err);
}

void witness_horizon(struct agent *agent, uint64_t horizon)
{
	uint8_t number[DB_KEY_MAX];
	if (horizon <= agent->witness.horizon)
		return;
	agent->witness.horizon = horizon;
	(void)store_meta_put(turn_txn(agent), "horizon", number, db_key(number, "q", horizon)); /* remembered by the transaction */
}

/* What is not on disk was not seen. */
static void kept(struct agent *agent, void *context, uint64_t n, int result)
{
	struct db_txn txn;
	(void)context;
	(void)n;
	if (result == OK || db_begin_read(agent->store.db, &txn) != OK)
		return;
	agent->witness.head.size = 0;
	(void)read_head(&txn, &agent->witness); /* without it the next Welcome is taken as the first */
	db_abort(&txn);
}

int witness_take(struct agent *agent, const Reentry__Checkpoint *checkpoint, struct err *err)
{
	struct witness *witness = &agent->witness;
	struct checkpoint read;
	struct note note;
	int r = checkpoint->note == NULL ? err_set(err, ERR_INVALID, "no note") : read_checkpoint(witness, checkpoint->note, &note, &read, err);
	struct tree_head shown = {.size = read.size};
	if (r != OK)
		return r;
	memcpy(shown.root, read.root, sizeof shown.root);
	r = continues(witness, &shown, checkpoint, err);
	if (r != OK)
		return r;
	bool is_new = shown.size != witness->head.size;
	if (is_new) {
		witness->head = shown;
		(void)store_meta_put(turn_txn(agent), "checkpoint", checkpoint->note, strlen(checkpoint->note)); /* remembered by the transaction */
		turn_after(agent, kept, NULL, 0);
	}
	if (witness->has_key && (is_new || !witness->cosigned)) {
		cosign(agent, &note);
		witness->cosigned = true;
	}
	return OK;
}

/* --- the broker's Welcome ------------------------------------------------------------------------------------------------------ */

static int know_log(struct witness *witness, const Reentry__Welcome *welcome, struct err *err)
{
	char origin[NOTE_NAME_MAX + 1];
	int n = snprintf(origin, sizeof origin, "urn:nld:oin:%s:systeem:%s", welcome->oin != NULL ? welcome->oin : "", welcome->broker != NULL ? welcome->broker : "");
	if (n < 0 || (size_t)n >= sizeof origin || !note_name_is_valid(origin, (size_t)n))
		return err_set(err, ERR_INVALID, "no name of its log");
	if (witness->head.size > 0 && strcmp(origin, witness->origin) != 0)
		return err_set(err, ERR_DENIED, "the log %s, and this agency was shown that of %s", origin, witness->origin);
	memcpy(witness->origin, origin, sizeof origin);
	return OK;
}

static void keep_epoch(struct agent *agent, uint64_t epoch)
{
	uint8_t number[DB_KEY_MAX];
	if (epoch == 0 || epoch == agent->witness.epoch)
		return;
	agent->witness.epoch = epoch;
	(void)store_meta_put(turn_txn(agent), "epoch", number, db_key(number, "q", epoch)); /* remembered by the transaction */
}

int witness_hear(struct agent *agent, const Reentry__Welcome *welcome, struct err *err)
{
	struct witness *witness = &agent->witness;
	int r = know_log(witness, welcome, err);
	witness->cosigned = false;
	if (r == OK && witness->epoch != 0 && welcome->epoch != 0 && welcome->epoch != witness->epoch)
		r = epoch_follow(agent, welcome, err);
	else if (r == OK && welcome->has_last && welcome->last < epoch_reached(agent))
		r = err_set(err, ERR_DENIED, "a log of %llu records, and this agency has been given number %llu", (unsigned long long)welcome->last,
		            (unsigned long long)epoch_reached(agent));
	if (r == OK && welcome->checkpoint != NULL)
		r = witness_take(agent, welcome->checkpoint, err);
	else if (r == OK && witness->head.size > 0)
		r = err_set(err, ERR_DENIED, "no checkpoint, and this agency has been shown one of %llu records", (unsigned long long)witness->head.size);
	if (r != OK)
		return r;
	keep_epoch(agent, welcome->epoch);
	witness_horizon(agent, welcome->horizon);
	return OK;
}
