/* The conversation with the broker: Hello, Welcome, then publishes and acknowledgements one way, receipts and deliveries the other. */
#include "agents/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/pb.h"

#define PROTOCOL_VERSION 2
#define CATALOGUE_VERSION 1

bool link_up(const struct agent *agent)
{
	return agent->link.state == LINK_UP;
}

const char *link_state_name(const struct agent *agent)
{
	static const char *const names[] = {[LINK_DOWN] = "down", [LINK_HELLO] = "connecting", [LINK_UP] = "up"};
	return names[agent->link.state];
}

static const char *endpoint(const struct agent *agent)
{
	return agent->config.agent.broker.items[agent->link.endpoint % agent->config.agent.broker.n];
}

/* Changes the state, and says so once; the same reason again is no news. */
static void set_state(struct agent *agent, enum link_state state, const char *reason)
{
	struct link *link = &agent->link;
	bool news = state != link->state || strcmp(reason, link->reason) != 0;
	if (state != link->state)
		link->since = clock_now(&agent->clock);
	link->state = state;
	(void)snprintf(link->reason, sizeof link->reason, "%s", reason); /* cut to fit */
	if (news && state == LINK_DOWN)
		log_warn("link=down broker=%s why=\"%s\" outbox=%llu", endpoint(agent), reason, (unsigned long long)agent->outbox.pending);
	else if (news && state == LINK_UP)
		log_info("link=up broker=%s endpoint=%s window=%u outbox=%llu", link->broker, endpoint(agent), link->window,
		         (unsigned long long)agent->outbox.pending);
}

int link_send(struct agent *agent, const Reentry__Frame *frame)
{
	struct link *link = &agent->link;
	if (link->client == NULL || !wire_client_up(link->client))
		return ERR_CLOSED;
	size_t n = reentry__frame__get_packed_size(frame);
	uint8_t *bytes = malloc(n > 0 ? n : 1);
	if (bytes == NULL)
		return ERR_NOMEM;
	(void)reentry__frame__pack(frame, bytes); /* exactly n bytes */
	int r = wire_client_send(link->client, bytes, n);
	free(bytes);
	return r;
}

/* --- acknowledgements ------------------------------------------------------------------------------------------------ */

static void send_acks(struct agent *agent, void *context, uint64_t n, int result)
{
	struct link *link = context;
	Reentry__Ack ack = REENTRY__ACK__INIT;
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	(void)n;
	ack.n_sequences = link->n_acks;
	ack.sequences = link->acks;
	frame.ack = &ack;
	/* Not sent, they come again, and are acknowledged then. */
	if (result == OK && link_up(agent))
		(void)link_send(agent, &frame);
	link->n_acks = 0;
}

void link_ack(struct agent *agent, uint64_t sequence)
{
	struct link *link = &agent->link;
	if (link->n_acks == link->acks_room) {
		size_t room = link->acks_room > 0 ? link->acks_room * 2 : 256;
		uint64_t *acks = reallocarray(link->acks, room, sizeof *acks);
		if (acks == NULL)
			return; /* it comes again */
		link->acks = acks;
		link->acks_room = room;
	}
	link->acks[link->n_acks++] = sequence;
	if (link->n_acks == 1)
		turn_after(agent, send_acks, link, 0);
}

/* --- what the broker says ---------------------------------------------------------------------------------------------- */

void link_leave(struct agent *agent)
{
	struct link *link = &agent->link;
	wire_client_free(link->client);
	link->client = NULL;
	loop_timer_stop(agent->loop, &link->beat);
	requests_link_down(agent);
}

/* Only a person can change it: tried again seldom. */
static void pause_link(struct agent *agent, int64_t ms)
{
	struct link *link = &agent->link;
	link_leave(agent);
	(void)loop_timer_set(agent->loop, &link->retry, ms + (int64_t)(link->session % (uint64_t)(ms / 2))); /* see on_welcome */
}

/* What the broker shows is not the log that we were shown: nothing goes to it, and nothing is taken from it. */
static void refuse(struct agent *agent, const struct err *err)
{
	char text[sizeof agent->link.reason];
	(void)snprintf(text, sizeof text, "the broker shows %.480s", err->text); /* cut to fit */
	log_error("log=refused broker=%s why=\"%s\" effect=\"nothing is sent or taken in\"", endpoint(agent), text);
	set_state(agent, LINK_DOWN, text);
	agent->link.alarm = true;
	pause_link(agent, LINK_REFUSED_MS);
}


static void say_hello(struct agent *agent)
{
	struct link *link = &agent->link;
	static char program[] = "reentry-agent " REENTRY_VERSION;
	Reentry__Hello hello = REENTRY__HELLO__INIT;
	Reentry__Checkpoint checkpoint = REENTRY__CHECKPOINT__INIT;
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	struct db_txn txn;
	struct db_value note;
	hello.has_protocol = hello.has_catalogue = hello.has_session = true;
	hello.protocol = PROTOCOL_VERSION;
	hello.catalogue = CATALOGUE_VERSION;
	hello.session = link->session;
	hello.agency = agent->config.agent.id;
	hello.program = program;
	if (db_begin_read(agent->store.db, &txn) == OK && store_meta_get(&txn, "checkpoint", &note) == OK) {
		checkpoint.note = arena_alloc(&link->arena, note.n + 1);
		if (checkpoint.note != NULL)
			memcpy(checkpoint.note, note.bytes, note.n);
		hello.checkpoint = checkpoint.note != NULL ? &checkpoint : NULL;
	}
	db_abort(&txn);
	frame.hello = &hello;
	(void)link_send(agent, &frame); /* fails only when the connection is gone, which `down` tells */
	set_state(agent, LINK_HELLO, "connected, waiting for the broker's welcome");
}

static void on_welcome(struct agent *agent, const Reentry__Frame *frame)
{
	struct link *link = &agent->link;
	const Reentry__Welcome *welcome = frame->welcome;
	struct err err;
	if (witness_hear(agent, welcome, &err) != OK) {
		refuse(agent, &err);
		return;
	}
	link->alarm = false;
	(void)snprintf(link->broker, sizeof link->broker, "%s", welcome->broker != NULL ? welcome->broker : ""); /* cut to fit */
	link->window = welcome->window > 0 ? welcome->window : 1;
	link->frame_max = welcome->frame_max > 0 && welcome->frame_max < LINK_FRAME_MAX ? welcome->frame_max : (uint32_t)LINK_FRAME_MAX;
	link->heartbeat_ms = welcome->heartbeat_ms > 0 ? welcome->heartbeat_ms : LINK_BEAT_MS;
	link->failures = 0;
	wire_client_settled(link->client);
	set_state(agent, LINK_UP, "");
	(void)loop_timer_set(agent->loop, &link->beat, link->heartbeat_ms); /* fails at a bound that our few timers never reach */
	outbox_link_up(agent);
}

static void on_receipts(struct agent *agent, const Reentry__Frame *frame) { outbox_receipts(agent, frame->receipts); }
static void on_deliver(struct agent *agent, const Reentry__Frame *frame) { inbox_deliver(agent, frame->deliver); }
static void on_answer(struct agent *agent, const Reentry__Frame *frame) { requests_answer(agent, frame->answer); }

static void on_checkpoint(struct agent *agent, const Reentry__Frame *frame)
{
	struct err err;
	if (witness_take(agent, frame->checkpoint, &err) != OK)
		refuse(agent, &err);
	else
		witness_horizon(agent, frame->checkpoint->horizon);
}

static void on_ping(struct agent *agent, const Reentry__Frame *frame)
{
	Reentry__Ping pong = REENTRY__PING__INIT;
	Reentry__Frame answer = REENTRY__FRAME__INIT;
	if (frame->ping->reply)
		return;
	pong.has_number = pong.has_reply = pong.reply = true;
	pong.number = frame->ping->number;
	answer.ping = &pong;
	(void)link_send(agent, &answer); /* a lost one is a heartbeat missed */
}

/* pause_ms: the broker will not have us, and only a person can change that. */
static const struct bye { const char *reason, *text; int64_t pause_ms; } byes[] = {
	{"unknown-agency", "the broker does not know this agency: its operator must add it, with this agent's public key", LINK_REFUSED_MS},
	{"wrong-agency", "the broker knows our key as another agency's: check agent.id and agent.key", LINK_REFUSED_MS},
	{"protocol", "the broker speaks another version of the protocol: update this agent", LINK_REFUSED_MS},
	{"replaced", "another agent with our key has taken over: stop one of the two", LINK_REFUSED_MS},
	{"malformed", "the broker could not read what we sent: please report this", LINK_REFUSED_MS},
	{"held", "the broker's log was restored or rolled back: its operator has to begin a new epoch", LINK_HELD_MS},
	{"new-epoch", "the broker's log goes on in a new epoch, and lacks what this agency was shown: ask its operator for the record of it, then: reentry accept-epoch FILE", LINK_REFUSED_MS},
	{"shutdown", "the broker is stopping", 0},
	{"busy", "the broker has no room for another session", 0},
};

static void on_bye(struct agent *agent, const Reentry__Frame *frame)
{
	const char *reason = frame->bye->reason != NULL ? frame->bye->reason : "";
	const char *detail = frame->bye->detail != NULL ? frame->bye->detail : "";
	struct link *link = &agent->link;
	if (strcmp(reason, "hello-first") == 0) {
		say_hello(agent);
		return;
	}
	const struct bye *bye = NULL;
	for (size_t i = 0; i < sizeof byes / sizeof *byes && bye == NULL; i++)
		bye = strcmp(byes[i].reason, reason) == 0 ? &byes[i] : NULL;
	char text[sizeof link->reason];
	(void)snprintf(text, sizeof text, "%s%s%s", bye != NULL ? bye->text : reason, detail[0] != '\0' ? ": " : "", detail); /* cut to fit */
	if (strcmp(reason, "new-epoch") == 0 || strcmp(reason, "held") == 0) {
		epoch_show(agent, frame->bye->new_epoch);
		link->alarm = true;
		log_error("log=refused broker=%s why=\"%s\"", endpoint(agent), text);
	}
	set_state(agent, LINK_DOWN, text);
	if (bye == NULL || bye->pause_ms == 0) {
		requests_link_down(agent);
		wire_client_again(link->client, text);
		return;
	}
	pause_link(agent, bye->pause_ms);
}

static const struct { size_t offset; void (*handle)(struct agent *agent, const Reentry__Frame *frame); bool before_welcome; } frames[] = {
	{offsetof(Reentry__Frame, welcome), on_welcome, true},
	{offsetof(Reentry__Frame, receipts), on_receipts, false},
	{offsetof(Reentry__Frame, deliver), on_deliver, false},
	{offsetof(Reentry__Frame, answer), on_answer, false},
	{offsetof(Reentry__Frame, checkpoint), on_checkpoint, false},
	{offsetof(Reentry__Frame, ping), on_ping, true},
	{offsetof(Reentry__Frame, bye), on_bye, true},
};

static void on_message(void *context, const uint8_t *bytes, size_t n)
{
	struct agent *agent = context;
	struct link *link = &agent->link;
	Reentry__Frame *frame;
	struct err err;
	arena_reset(&link->arena);
	link->heard_at = clock_monotonic_ms();
	if (pb_unpack(&reentry__frame__descriptor, bytes, n, &link->arena, &frame, &err) != OK) {
		log_error("frame=malformed why=\"%s\" bytes=%zu effect=dropped", err.text, n);
		return;
	}
	for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
		const void *part = *(void *const *)(const void *)((const uint8_t *)frame + frames[i].offset);
		if (part != NULL && (frames[i].before_welcome || link->state == LINK_UP))
			frames[i].handle(agent, frame);
		if (link->client == NULL)
			break; /* we have just left */
	}
	turn_relief(agent);
}

/* --- coming and going ------------------------------------------------------------------------------------------------------ */

static void connect_broker(struct agent *agent);

static void on_up(void *context)
{
	struct agent *agent = context;
	struct link *link = &agent->link;
	arena_reset(&link->arena);
	link->heard_at = clock_monotonic_ms();
	say_hello(agent);
	(void)loop_timer_set(agent->loop, &link->beat, LINK_BEAT_MS); /* see on_welcome */
}

static void on_retry(void *context)
{
	connect_broker(context);
}

static void on_down(void *context, const struct err *why, bool given_up)
{
	struct agent *agent = context;
	struct link *link = &agent->link;
	(void)given_up; /* we never let it */
	set_state(agent, LINK_DOWN, why->code == ERR_DENIED ? "the broker refuses our key, or is not the one of agent.broker_key: ask its operator to add our public key" : why->text);
	loop_timer_stop(agent->loop, &link->beat);
	requests_link_down(agent);
	if (++link->failures < 2 || agent->config.agent.broker.n < 2)
		return; /* the client tries again by itself */
	link->failures = 0;
	link->endpoint = (link->endpoint + 1) % agent->config.agent.broker.n;
	wire_client_free(link->client);
	link->client = NULL;
	(void)loop_timer_set(agent->loop, &link->retry, 250 + (int64_t)(link->session % 250)); /* see on_welcome */
}

static int try_connect(struct agent *agent, struct err *err)
{
	static const struct wire_handlers handlers = {on_up, on_down, on_message};
	struct wire_client_options options = {.endpoint = endpoint(agent)};
	struct key_pair broker, own;
	int r = witness_key(agent, err);
	if (r == OK)
		r = key_read_public(agent->config.agent.broker_key, &broker, err);
	if (r == OK)
		r = key_read_secret(agent->config.agent.key, &own, err);
	if (r != OK)
		return r;
	memcpy(options.server_key, broker.curve_public, sizeof options.server_key);
	options.key = &own;
	r = wire_client_new(agent->link.wire, &options, &handlers, agent, &agent->link.client, err);
	crypt_wipe(&own, sizeof own);
	return r;
}

static void connect_broker(struct agent *agent)
{
	struct err err;
	if (agent->link.client != NULL || try_connect(agent, &err) == OK)
		return;
	set_state(agent, LINK_DOWN, err.text);
	(void)loop_timer_set(agent->loop, &agent->link.retry, LINK_REFUSED_MS); /* see on_welcome */
}

static void on_beat(void *context)
{
	struct agent *agent = context;
	struct link *link = &agent->link;
	Reentry__Ping ping = REENTRY__PING__INIT;
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	int64_t beat = link_up(agent) ? link->heartbeat_ms : LINK_BEAT_MS;
	if (clock_monotonic_ms() - link->heard_at > LINK_SILENT_BEATS * beat) {
		static const char silent[] = "the broker is silent";
		set_state(agent, LINK_DOWN, silent);
		requests_link_down(agent);
		wire_client_again(link->client, silent);
		return;
	}
	ping.has_number = true;
	ping.number = ++link->pings;
	frame.ping = &ping;
	if (link_up(agent))
		(void)link_send(agent, &frame); /* a lost one is a heartbeat missed */
	outbox_watch(agent);
	outbox_send(agent);
	(void)loop_timer_set(agent->loop, &link->beat, beat); /* see on_welcome */
}

void link_reload(struct agent *agent, const char *why)
{
	struct link *link = &agent->link;
	if (link->wire == NULL)
		return; /* offline */
	link_leave(agent);
	link->endpoint = 0;
	link->failures = 0;
	link->alarm = false;
	set_state(agent, LINK_DOWN, why);
	loop_timer_stop(agent->loop, &link->retry);
	connect_broker(agent);
}

int link_open(struct agent *agent, struct err *err)
{
	struct link *link = &agent->link;
	struct wire_tuning tuning;
	*link = (struct link){.since = clock_now(&agent->clock), .beat = {.fn = on_beat, .context = agent}, .retry = {.fn = on_retry, .context = agent}};
	arena_init(&link->arena, 0);
	crypt_random(&link->session, sizeof link->session);
	wire_tuning_default(&tuning);
	tuning.frame_max = LINK_FRAME_MAX;
	int r = wire_new(agent->loop, &tuning, &link->wire, err);
	if (r != OK)
		return r;
	(void)snprintf(link->reason, sizeof link->reason, "connecting"); /* fits */
	connect_broker(agent);
	return OK;
}

void link_close(struct agent *agent)
{
	struct link *link = &agent->link;
	if (link->wire != NULL) {
		loop_timer_stop(agent->loop, &link->beat);
		loop_timer_stop(agent->loop, &link->retry);
		wire_client_free(link->client);
		wire_free(link->wire);
		arena_release(&link->arena);
	}
	free(link->acks);
	*link = (struct link){0};
}
