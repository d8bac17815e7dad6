#include "broker/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"
#include "lib/log.h"

/* --- the table ---------------------------------------------------------------------------------------------------------- */

static void session_clear_input(struct broker *broker, struct session *session)
{
	while (session->first)
		session_frame_done(broker, session);
}

static void session_free(struct broker *broker, struct session *session)
{
	if (!session)
		return;
	session_clear_input(broker, session);
	hold_forget(session);
	free(session->sent);
	free(session->told);
	free(session);
}

struct session *session_of(struct broker *broker, const char *agency)
{
	const struct policy *policy = &broker->config->policy;
	const struct agency *found = policy_agency(policy, agency);

	return found ? broker->sessions.items[found - policy->agencies] : NULL;
}

static struct session *find_old(const struct sessions *sessions, const char *agency)
{
	for (size_t i = 0; i < sessions->n; i++)
		if (sessions->items[i] && !strcmp(sessions->items[i]->agency->id, agency))
			return sessions->items[i];
	return NULL;
}

/* Sessions of the old table that are not in the new one, or whose key was withdrawn, end. */
static void end_outdated(struct broker *broker, struct sessions *old, struct session **items, size_t n)
{
	for (size_t i = 0; i < old->n; i++) {
		struct session *session = old->items[i];
		const struct agency *by_key;
		bool kept = false;

		for (size_t k = 0; k < n && !kept; k++)
			kept = items[k] == session;
		by_key = session->up ? keyring_find(&broker->keyring, session->key) : NULL;
		if (session->up && (!kept || !by_key || strcmp(by_key->id, session->agency->id) != 0))
			session_end(broker, session, "unknown-agency", "this key is no longer in the broker's configuration");
		if (!kept) {
			session->active = false;
			session_free(broker, session);
		}
	}
}

/* The ring may hold sessions that are about to be freed: it is built again. */
static void rebuild_ring(struct sessions *sessions)
{
	sessions->ring_first = sessions->ring_last = NULL;
	for (size_t i = 0; i < sessions->n; i++) {
		sessions->items[i]->active = false;
		session_rejoin(sessions, sessions->items[i]);
	}
}

int sessions_adopt(struct broker *broker, const struct policy *policy)
{
	struct sessions *sessions = &broker->sessions, old = *sessions;
	struct session **items = calloc(policy->n_agencies ? policy->n_agencies : 1, sizeof(struct session *));
	bool *made = calloc(policy->n_agencies ? policy->n_agencies : 1, sizeof *made);
	size_t n = 0;

	for (; items && made && n < policy->n_agencies; n++) {
		items[n] = find_old(&old, policy->agencies[n].id);
		made[n] = !items[n];
		if (made[n] && !(items[n] = calloc(1, sizeof *items[n])))
			break;
	}
	if (!items || !made || n < policy->n_agencies) {
		for (size_t i = 0; i < n; i++)
			if (made[i])
				free(items[i]);
		free(items);
		free(made);
		return ERR_NOMEM;
	}
	end_outdated(broker, &old, items, n);
	for (size_t i = 0; i < n; i++)
		items[i]->agency = &policy->agencies[i];
	sessions->items = items;
	sessions->n = n;
	rebuild_ring(sessions);
	free(old.items);
	free(made);
	return OK;
}

void sessions_release(struct broker *broker)
{
	struct sessions *sessions = &broker->sessions;

	for (size_t i = 0; i < sessions->n; i++) {
		query_forget(broker, sessions->items[i]);
		session_free(broker, sessions->items[i]);
	}
	free(sessions->items);
	while (sessions->spare) {
		struct frame *frame = sessions->spare;

		sessions->spare = frame->next;
		free(frame);
	}
	*sessions = (struct sessions){ 0 };
}

size_t sessions_frames_max(const struct broker *broker)
{
	const struct limits_group *limits = &broker->config->file.limits;
	const int64_t windows = limits->window * 4;

	return (size_t)(windows > limits->burst ? windows : limits->burst);
}

/* --- the ring of sessions with input ---------------------------------------------------------------------------------- */

void session_rejoin(struct sessions *sessions, struct session *session)
{
	if (session->active || !session->first)
		return;
	session->active = true;
	session->next_active = NULL;
	if (sessions->ring_last)
		sessions->ring_last->next_active = session;
	else
		sessions->ring_first = session;
	sessions->ring_last = session;
}

/* Sessions that have lost their input since they joined are passed over. */
struct session *sessions_next(struct sessions *sessions)
{
	struct session *session;

	while ((session = sessions->ring_first)) {
		sessions->ring_first = session->next_active;
		if (!sessions->ring_first)
			sessions->ring_last = NULL;
		session->active = false;
		if (session->first)
			return session;
	}
	return NULL;
}

void session_frame_done(struct broker *broker, struct session *session)
{
	struct sessions *sessions = &broker->sessions;
	struct frame *frame = session->first;

	session->first = frame->next;
	if (!session->first)
		session->last = NULL;
	session->n_frames--;
	session->n_items -= frame->n_items;
	session->n_bytes -= frame->message.n;
	sessions->n_frames--;
	sessions->n_bytes -= frame->message.n;
	hold_sweep(session);
	wire_message_release(&frame->message);
	frame->next = sessions->spare;
	sessions->spare = frame;
}

static bool session_keep(struct broker *broker, struct session *session, struct wire_message *message, size_t items)
{
	struct sessions *sessions = &broker->sessions;
	struct frame *frame = sessions->spare;

	if (frame)
		sessions->spare = frame->next;
	else if (!(frame = malloc(sizeof *frame)))
		return false;
	*frame = (struct frame){ .n_items = items, .number = ++session->frames_in };
	session->n_items += items;
	session->n_frames++;
	session->n_bytes += message->n;
	sessions->n_frames++;
	sessions->n_bytes += message->n;
	wire_message_move(&frame->message, message);
	if (session->last)
		session->last->next = frame;
	else
		session->first = frame;
	session->last = frame;
	session_rejoin(sessions, session);
	return true;
}

/* --- ends --------------------------------------------------------------------------------------------------------------- */

/* new_epoch: NULL, or the record; only for who speaks protocol 2. */
static void say_bye_with(struct broker *broker, const struct wire_peer *peer, const char *reason, const char *detail, const char *new_epoch)
{
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Bye bye = REENTRY__BYE__INIT;
	char reason_text[32], detail_text[256];

	(void)snprintf(reason_text, sizeof reason_text, "%s", reason); /* the generated structs want char *; cutting is fine */
	(void)snprintf(detail_text, sizeof detail_text, "%s", detail ? detail : "");
	bye.reason = reason_text;
	bye.detail = detail ? detail_text : NULL;
	bye.new_epoch = (char *)(uintptr_t)new_epoch;
	frame.bye = &bye;
	(void)net_send_to(broker, peer, &frame); /* a courtesy: who does not get it notices by silence */
}

static void say_bye(struct broker *broker, const struct wire_peer *peer, const char *reason, const char *detail)
{
	say_bye_with(broker, peer, reason, detail, NULL);
}

static void session_down(struct broker *broker, struct session *session)
{
	session_clear_input(broker, session);
	hold_forget(session);
	deliver_forget(session);
	query_forget(broker, session);
	if (session->up)
		broker->sessions.n_up--;
	session->up = false;
	session->generation++;
}

void session_end(struct broker *broker, struct session *session, const char *reason, const char *detail)
{
	say_bye(broker, &session->peer, reason, detail);
	log_info("agency=%s session ended reason=%s", session->agency->id, reason);
	session_down(broker, session);
}

void session_lost(struct broker *broker, struct session *session, const char *why)
{
	broker->stats.lost++;
	log_info("agency=%s session down reason=%s unacknowledged=%zu", session->agency->id, why, session->n_sent);
	session_down(broker, session);
}

void sessions_tick(struct broker *broker, int64_t now)
{
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Ping ping = REENTRY__PING__INIT;

	frame.ping = &ping;
	for (size_t i = 0; i < broker->sessions.n; i++) {
		struct session *session = broker->sessions.items[i];

		if (session->up)
			hold_tick(broker, session, now);
		if (!session->up || now - session->seen_at < HEARTBEAT_MS)
			continue;
		if (now - session->seen_at >= 3 * HEARTBEAT_MS)
			session_lost(broker, session, "silent");
		else if (!session->pinged && net_send(broker, session, &frame) == ERR_CLOSED)
			session_lost(broker, session, "gone");
		session->pinged = true;
	}
}

/* --- what comes in ------------------------------------------------------------------------------------------------------ */

static void malformed(struct broker *broker, struct session *session, const struct wire_peer *peer, const struct err *err)
{
	unsigned held;

	broker->stats.malformed++;
	if (limiter_pass(&broker->malformed, &held))
		log_warn("agency=%s malformed message: %s%s", session->agency->id, err->text, limiter_more(held, (char[LIMITER_MORE]){ 0 }));
	if (session->up && wire_peer_equal(&session->peer, peer))
		session_end(broker, session, "malformed", err->text);
	else
		say_bye(broker, peer, "malformed", err->text);
}

static void welcome(struct broker *broker, struct session *session, const Reentry__Hello *hello)
{
	const struct limits_group *limits = &broker->config->file.limits;
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Welcome message = REENTRY__WELCOME__INIT;
	Reentry__Checkpoint checkpoint = REENTRY__CHECKPOINT__INIT;
	struct core_status status = { 0 };

	(void)core_status(broker->core, &status); /* only epoch and last sequence are wanted; unknown is 0 */
	message.has_protocol = message.has_catalogue = message.has_epoch = message.has_window = message.has_frame_max = true;
	message.protocol = session->protocol;
	if (session->protocol >= 2) {
		message.has_last = message.has_horizon = true;
		message.last = status.last_sequence;
		message.horizon = core_horizon(broker->core);
		message.new_epoch = (char *)(uintptr_t)core_epoch_note(broker->core);
	}
	message.catalogue = CATALOGUE_VERSION;
	message.epoch = status.epoch;
	message.window = (uint32_t)limits->window;
	message.frame_max = (uint32_t)limits->message_max;
	message.has_heartbeat_ms = message.has_now = true;
	message.heartbeat_ms = HEARTBEAT_MS;
	message.now = clock_now(&broker->clock);
	message.broker = broker->config->file.broker.id;
	message.oin = broker->config->file.broker.oin;
	witness_welcome(broker, session, hello, &message, &checkpoint);
	frame.welcome = &message;
	if (net_send(broker, session, &frame))
		session_lost(broker, session, "unread");
}

/* NULL: it may begin. */
static const char *refusal(struct broker *broker, struct session *session, const char *key, const Reentry__Hello *hello, const char **ret_detail)
{
	const struct agency *by_key = keyring_find(&broker->keyring, key);

	*ret_detail = NULL;
	if (!by_key || strcmp(by_key->id, session->agency->id) != 0) {
		*ret_detail = "this key is no longer in the broker's configuration";
		return "unknown-agency";
	}
	if (!hello->has_protocol || hello->protocol < PROTOCOL_VERSION_MIN || hello->protocol > PROTOCOL_VERSION) {
		*ret_detail = "this broker speaks protocols 1 and 2";
		return "protocol";
	}
	if (!hello->agency || strcmp(hello->agency, session->agency->id) != 0) {
		*ret_detail = "the key belongs to another agency than Hello names";
		return "wrong-agency";
	}
	if (!session->up && broker->sessions.n_up >= (size_t)broker->config->file.limits.connections_max) {
		*ret_detail = "too many agencies are connected; try again later";
		return "busy";
	}
	return witness_refusal(broker, session, hello, ret_detail);
}

static void on_hello(struct broker *broker, struct session *session, const struct wire_message *message, const char *key, const Reentry__Hello *hello)
{
	const char *detail, *reason = refusal(broker, session, key, hello, &detail);
	const int64_t now = clock_monotonic_ms();

	if (reason) {
		broker->stats.denied++;
		log_warn("agency=%s hello refused reason=%s", session->agency->id, reason);
		if (session->up && wire_peer_equal(&session->peer, &message->peer))
			session_down(broker, session);
		say_bye_with(broker, &message->peer, reason, detail, hello->protocol >= 2 ? core_epoch_note(broker->core) : NULL);
		return;
	}
	if (session->up && !wire_peer_equal(&session->peer, &message->peer)) {
		broker->stats.replaced++;
		session_end(broker, session, "replaced", "a newer session of this agency began");
	} else if (session->up) {
		session_down(broker, session);
	}
	broker->stats.hellos++;
	broker->sessions.n_up++;
	session->up = true;
	session->protocol = hello->protocol;
	session->peer = message->peer;
	memcpy(session->key, key, sizeof session->key);
	session->seen_at = session->up_since = now;
	log_info("agency=%s session up program=%.40s", session->agency->id, hello->program ? hello->program : "?");
	welcome(broker, session, hello);
	if (session->up)
		deliver_want(broker, session);
}

static void on_ping(struct broker *broker, struct session *session, const Reentry__Ping *ping)
{
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Ping pong = REENTRY__PING__INIT;

	if (ping->has_reply && ping->reply) {
		if (session->up && ping->has_number)
			hold_answered(session, ping->number);
		return;
	}
	pong.has_number = ping->has_number;
	pong.number = ping->number;
	pong.has_reply = pong.reply = true;
	frame.ping = &pong;
	if (net_send(broker, session, &frame) == ERR_CLOSED)
		session_lost(broker, session, "gone");
}

/* Receipts for n items, none of which was looked at. False: the connection is gone, or there is no memory (the agent offers them again). */
static bool send_busy(struct broker *broker, struct session *session, Reentry__Publish__Item *const *items, size_t n)
{
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Receipts receipts = REENTRY__RECEIPTS__INIT;
	Reentry__Receipt *room = arena_alloc(&broker->reading, n * sizeof *room);
	char code[] = "busy", detail[] = "more is outstanding than the window allows; wait for receipts";

	receipts.items = arena_alloc(&broker->reading, n * sizeof(Reentry__Receipt *));
	if (!room || !receipts.items)
		return false;
	for (size_t i = 0; i < n; i++) {
		reentry__receipt__init(&room[i]);
		room[i].has_tag = items[i]->has_tag;
		room[i].tag = items[i]->tag;
		room[i].has_result = true;
		room[i].result = REENTRY__OUTCOME__VALUE__REFUSED;
		room[i].code = code;
		room[i].detail = detail;
		receipts.items[i] = &room[i];
	}
	receipts.n_items = n;
	frame.receipts = &receipts;
	broker->stats.busy += n;
	if (!net_send(broker, session, &frame))
		return true;
	session_lost(broker, session, "unread"); /* it floods and does not read: let it begin again */
	return false;
}

/* Items beyond the window are answered at once, and only looked at for their cases. */
static void answer_busy(struct broker *broker, struct session *session, const struct wire_message *message)
{
	const size_t max = net_batch(broker, RECEIPTS_MAX * RECEIPT_BYTES) / RECEIPT_BYTES;
	Reentry__Frame *frame;
	struct err err;
	size_t n;

	arena_reset(&broker->reading);
	if (net_unpack(message, &broker->reading, &frame, &err)) {
		malformed(broker, session, &message->peer, &err);
		return;
	}
	for (size_t i = 0; i < frame->publish->n_items; i += n) {
		n = frame->publish->n_items - i < max ? frame->publish->n_items - i : max;
		if (!send_busy(broker, session, frame->publish->items + i, n))
			break;
		for (size_t k = i; k < i + n && session->up; k++)
			hold_begin(broker, session, session->frames_in, &frame->publish->items[k]->content);
	}
	hold_ask(broker, session);
	arena_reset(&broker->reading);
}

static void on_now(struct broker *broker, struct session *session, const struct wire_message *message, const char *key)
{
	Reentry__Frame *frame;
	struct err err;

	arena_reset(&broker->reading);
	if (net_unpack(message, &broker->reading, &frame, &err))
		malformed(broker, session, &message->peer, &err);
	else if (frame->hello)
		on_hello(broker, session, message, key, frame->hello);
	else if (frame->ping)
		on_ping(broker, session, frame->ping);
	else if (frame->query)
		query_begin(broker, session, frame->query);
	else if (frame->credit)
		query_credit(broker, session, frame->credit);
	else
		malformed(broker, session, &message->peer, (err_set(&err, ERR_INVALID, "a Frame begins in no usual way"), &err));
	arena_reset(&broker->reading);
}

void session_receive(struct broker *broker, struct wire_message *message)
{
	char agency[AGENCY_SIZE], key[41];
	struct session *session;
	unsigned kind;
	size_t items;

	if (zap_split(message->user, agency, key))
		return; /* the name is ours */
	session = session_of(broker, agency);
	if (!session) {
		broker->stats.strangers++;
		say_bye(broker, &message->peer, "unknown-agency", "this agency is no longer in the broker's configuration");
		return;
	}
	kind = message->parts ? 0 : net_peek(message->bytes, message->n, &items);
	if (kind != FRAME_HELLO && kind && (!session->up || !wire_peer_equal(&session->peer, &message->peer))) {
		broker->stats.strangers++;
		say_bye(broker, &message->peer, "hello-first", "no session stands on this connection");
		return;
	}
	if (session->up && wire_peer_equal(&session->peer, &message->peer)) {
		session->seen_at = clock_monotonic_ms();
		session->pinged = false;
	}
	if (kind != FRAME_PUBLISH && kind != FRAME_ACK && kind != FRAME_COSIGN)
		on_now(broker, session, message, key);
	else if (kind == FRAME_PUBLISH && session->first &&
	         (session->n_items + items > (size_t)broker->config->file.limits.window || session->n_bytes + message->n > INPUT_BYTES_MAX))
		answer_busy(broker, session, message);
	else if (!session_keep(broker, session, message, items)) /* lint: analyzer, because the frame hangs in the session */
		log_error("agency=%s no memory for its input", agency);
}
