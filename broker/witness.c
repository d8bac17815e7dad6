/* Checkpoints to the agents, their cosignatures to the store: each agent is a witness of the log. A checkpoint is told with the proof that the one which the
 * agent knew before is its beginning, so that nobody can be shown two histories. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"
#include "lib/epoch.h"
#include "lib/log.h"

/* The hashes of a consistency proof, one behind the other. Empty: nothing to prove (from 0, or to itself), or it cannot be proved. */
static void prove(struct broker *broker, uint64_t from, uint64_t to, struct proof *proof, ProtobufCBinaryData *ret_bytes)
{
	if (!proof->made || proof->from != from || proof->to != to) {
		*proof = (struct proof){ .from = from, .to = to, .made = true };
		if (core_consistency(broker->core, from, to, &proof->hashes))
			proof->hashes.n = 0; /* the agent finds it missing, and refuses */
	}
	ret_bytes->data = proof->hashes.hashes[0];
	ret_bytes->len = proof->hashes.n * HASH_SIZE;
}

static void fill(struct broker *broker, uint64_t known, uint64_t size, char *note, struct proof *proof, Reentry__Checkpoint *ret_checkpoint)
{
	ret_checkpoint->note = note;
	if (known && known < size)
		prove(broker, known, size, proof, &ret_checkpoint->consistency);
	ret_checkpoint->has_consistency = ret_checkpoint->consistency.len > 0;
}

/* The last checkpoint; false: there is none. */
static bool last(struct broker *broker, struct arena *arena, uint64_t *ret_size, char **ret_note)
{
	const char *note;

	if (core_checkpoint_last(broker->core, arena, ret_size, &note))
		return false;
	*ret_note = arena_strdup(arena, note);
	return *ret_note != NULL;
}

/* --- what an agent says that it knows ------------------------------------------------------------------------------------- */

/* A checkpoint that the agent has, if our own log signed it; size 0 if not. ret_epoch may be NULL. */
static struct tree_head known_head(struct broker *broker, const Reentry__Checkpoint *claimed, uint64_t *ret_epoch)
{
	char origin[NOTE_NAME_MAX + 1];
	struct note_key key = { .name = origin, .kind = NOTE_ED25519 };
	struct tree_head head = { 0 };
	struct checkpoint checkpoint;
	struct note_seen seen;
	struct note note;

	if (!claimed || !claimed->note || !broker->signs)
		return head;
	core_origin(broker->core, origin);
	memcpy(key.public_key, broker->log_public, sizeof key.public_key);
	if (note_read(claimed->note, strlen(claimed->note), &note, NULL) || note_verify(&note, &key, 1, &seen, NULL) ||
	    checkpoint_read(note.text, note.text_n, &checkpoint, NULL) || strcmp(checkpoint.origin, origin) != 0)
		return head;
	head.size = checkpoint.size;
	if (ret_epoch)
		*ret_epoch = epoch_of_checkpoint(&checkpoint);
	memcpy(head.root, checkpoint.root, sizeof head.root);
	return head;
}

/* An agent that holds a signed checkpoint which our log has not reached, or reached otherwise, shows that the store was rolled back or replaced. */
static void alarm_contradiction(struct broker *broker, const struct session *session, uint64_t known)
{
	unsigned held;

	broker->stats.contradictions++;
	if (limiter_pass(&broker->contradictions, &held))
		log_error("agency=%s holds a signed checkpoint of %llu records that this log contradicts: the store was rolled back or replaced; see docs/operations.md%s",
		          session->agency->id, (unsigned long long)known, limiter_more(held, (char[LIMITER_MORE]){ 0 }));
}

/* Whether the end of the agent's epoch was given up by a new one that an operator began: what it holds of that end contradicts nothing. */
static bool left_behind(const struct broker *broker, uint64_t epoch, uint64_t size)
{
	const char *note = core_epoch_note(broker->core);
	char origin[NOTE_NAME_MAX + 1];
	struct note_key key = { .name = origin, .kind = NOTE_ED25519 };
	struct epoch_record record;

	if (!note)
		return false;
	core_origin(broker->core, origin);
	memcpy(key.public_key, broker->log_public, sizeof key.public_key);
	return epoch_read(note, strlen(note), &key, &record, NULL) == OK && epoch < record.new_epoch && size > epoch_left(&record, epoch);
}

void broker_hold(struct broker *broker, const char *why)
{
	int rc = core_hold(broker->core, why);

	if (rc == ERR_UNSYNCED)
		broker_die("the store", rc);
	if (rc && rc != ERR_BUSY) /* within a turn: the next tick does it */
		log_error("that the log is held could not be written down: %s; after a restart the next agent that knows shows it again", err_text(rc));
	log_error("held: %s; nothing is taken in, delivered or fired until an operator begins a new epoch (docs/operations.md)", why);
	for (size_t i = 0; i < broker->sessions.n; i++)
		if (broker->sessions.items[i]->up)
			session_end(broker, broker->sessions.items[i], "held", why);
	turn_schedule(broker);
}

static void look_at_hello(struct broker *broker, struct session *session, const Reentry__Hello *hello, const char **ret_reason)
{
	uint64_t epoch = 0;
	const struct tree_head known = known_head(broker, hello->checkpoint, &epoch);
	struct tree_head ours;
	char why[160];

	if (!known.size || (!core_root(broker->core, known.size, &ours) && memcmp(ours.root, known.root, sizeof ours.root) == 0))
		return;
	if (left_behind(broker, epoch, known.size)) {
		*ret_reason = "new-epoch";
		return;
	}
	if (core_held(broker->core))
		return; /* known already */
	alarm_contradiction(broker, session, known.size);
	(void)snprintf(why, sizeof why, "%s holds a signed checkpoint of %llu records that this log contradicts", session->agency->id, (unsigned long long)known.size); /* bounded */
	broker_hold(broker, why);
}

const char *witness_refusal(struct broker *broker, struct session *session, const Reentry__Hello *hello, const char **ret_detail)
{
	const char *reason = NULL;

	look_at_hello(broker, session, hello, &reason);
	if (core_held(broker->core)) {
		*ret_detail = core_held(broker->core);
		return "held";
	}
	if (reason)
		*ret_detail = "this agency was shown more than is left of the log: its administrator has to accept the new epoch";
	return reason;
}

void witness_welcome(struct broker *broker, struct session *session, const Reentry__Hello *hello, Reentry__Welcome *welcome, Reentry__Checkpoint *room)
{
	const struct tree_head known = known_head(broker, hello->checkpoint, NULL);
	uint64_t size;
	char *note;

	session->witnessed = 0;
	if (!last(broker, &broker->reading, &size, &note))
		return;
	fill(broker, known.size, size, note, &broker->proof_room, room);
	session->witnessed = size;
	welcome->checkpoint = room;
}

/* --- issuing -------------------------------------------------------------------------------------------------------------- */

static void broadcast(struct broker *broker)
{
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	uint64_t size;
	char *note;

	arena_reset(&broker->reading);
	if (!last(broker, &broker->reading, &size, &note))
		return;
	for (size_t i = 0; i < broker->sessions.n; i++) {
		struct session *session = broker->sessions.items[i];
		Reentry__Checkpoint checkpoint = REENTRY__CHECKPOINT__INIT;
		int rc;

		if (!session->up || session->witnessed == size)
			continue;
		fill(broker, session->witnessed, size, note, &broker->proof_room, &checkpoint);
		checkpoint.has_horizon = session->protocol >= 2;
		checkpoint.horizon = core_horizon(broker->core);
		frame.checkpoint = &checkpoint;
		rc = net_send(broker, session, &frame);
		if (!rc)
			session->witnessed = size;
		else if (rc == ERR_CLOSED)
			session_lost(broker, session, "gone");
	}
	arena_reset(&broker->reading);
}

static int issue_step(void *context, struct broker *broker)
{
	const char *note;

	(void)context;
	return core_checkpoint(broker->core, &broker->reading, &note);
}

int witness_issue(struct broker *broker)
{
	const int rc = turn_alone(broker, issue_step, NULL);

	arena_reset(&broker->reading);
	if (!rc)
		broadcast(broker);
	return rc;
}

void witness_tick(struct broker *broker)
{
	unsigned held;
	int rc;

	if (core_held(broker->core) || !core_checkpoint_due(broker->core, clock_now(&broker->clock), broker->config->file.limits.checkpoint_interval))
		return;
	rc = witness_issue(broker);
	if (rc && limiter_pass(&broker->failures, &held))
		log_error("no checkpoint could be signed: %s%s", err_text(rc), limiter_more(held, (char[LIMITER_MORE]){ 0 }));
}

/* --- cosignatures ----------------------------------------------------------------------------------------------------------- */

int witness_cosign(struct broker *broker, struct session *session, const char *note)
{
	const struct keyring_entry *entry = keyring_entry(&broker->keyring, session->key);
	struct note_key key = { .name = session->agency->id, .kind = NOTE_COSIGNATURE };
	struct err err = { 0 };
	unsigned held;
	int rc;

	if (!entry)
		return OK; /* withdrawn meanwhile: its session is ending */
	memcpy(key.public_key, entry->sign_public, sizeof key.public_key);
	rc = core_cosign(broker->core, &key, note, strlen(note), &err);
	if (rc != ERR_INVALID && rc != ERR_DENIED && rc != ERR_NOTFOUND) {
		broker->stats.cosignatures += rc == OK;
		return rc;
	}
	broker->stats.denied++;
	if (limiter_pass(&broker->malformed, &held))
		log_warn("agency=%s its cosignature was not taken: %s%s", session->agency->id, err.text, limiter_more(held, (char[LIMITER_MORE]){ 0 }));
	return OK; /* of no consequence to the rest of the turn */
}
