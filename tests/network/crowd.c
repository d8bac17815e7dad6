/* A crowd of light agents in one process, over the real agent's own lib/wire.h: each says Hello, publishes one event on its case, and takes and acknowledges what
 * is delivered. Arguments: ENDPOINT BROKER_KEY KEYS_FOLDER CASE_PREFIX AGENCY... A line on stdin begins a round: `connect` (all at once), `drop` (all drop their
 * connections at once, and connect again as agents do) or `wait` (somebody else will break them). When each agent has been welcomed in this round, has its receipt
 * and has been delivered something, one line tells the milliseconds since the round began: `welcome N...` and `served N...`. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/arena.h"
#include "lib/clock.h"
#include "lib/crypt.h"
#include "lib/id.h"
#include "lib/loop.h"
#include "lib/pb.h"
#include "lib/wire.h"
#include "proto/event.pb-c.h"
#include "proto/wire.pb-c.h"

#define PATH_ROOM 512

struct member {
	struct crowd *crowd;
	char *agency, *subject;
	struct key_pair key;
	struct wire_client *client;
	int64_t welcome_ms, receipt_ms, deliver_ms;   /* since the round began; -1: not yet */
};

struct crowd {
	struct loop *loop;
	struct wire *wire;
	struct arena arena;
	const char *endpoint, *broker_key;
	struct member *members; size_t n, n_served;
	struct clock clock;
	int64_t began;
	bool running;
};

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "crowd: %s: %s\n", what, why);
	exit(1);
}

static void need(int rc, const char *what, const struct err *err)
{
	if (rc)
		fail(what, err ? err->text : err_text(rc));
}

/* What cannot be sent is not: the broker, or the lost connection, begins anew. */
static void send_frame(struct member *member, const Reentry__Frame *frame)
{
	const size_t n = reentry__frame__get_packed_size(frame);
	uint8_t *bytes = arena_alloc(&member->crowd->arena, n);

	if (!bytes)
		fail(member->agency, "out of memory");
	(void)reentry__frame__pack(frame, bytes); /* as many as it said */
	(void)wire_client_send(member->client, bytes, n);
}

static void publish(struct member *member)
{
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Publish message = REENTRY__PUBLISH__INIT;
	Reentry__Publish__Item item = REENTRY__PUBLISH__ITEM__INIT, *items[] = { &item };
	Reentry__Event event = REENTRY__EVENT__INIT;
	Reentry__NeedStatusChanged data = REENTRY__NEED_STATUS_CHANGED__INIT;
	char id[ID_TEXT_SIZE], type[] = "need.screened";

	data.has_need = data.has_status = true;
	data.need = REENTRY__NEED__VALUE__DEBT;
	data.status = REENTRY__NEED_STATUS__VALUE__OPEN;
	id_new(id, clock_now(&member->crowd->clock));
	event.id = id;
	event.type = type;
	event.source = member->agency;
	event.subject = member->subject;
	event.has_data = true;
	need(pb_pack(&data, &member->crowd->arena, &event.data.data, &event.data.len), "an event", NULL);
	item.has_content = item.has_time = item.has_tag = true;
	item.time = clock_now(&member->crowd->clock);
	item.tag = 1;
	need(pb_pack(&event, &member->crowd->arena, &item.content.data, &item.content.len), "an event", NULL);
	message.items = items;
	message.n_items = 1;
	frame.publish = &message;
	send_frame(member, &frame);
}

/* --- a round ------------------------------------------------------------------------------------------------------------------ */

static void tell(const struct crowd *crowd)
{
	printf("welcome");
	for (size_t i = 0; i < crowd->n; i++)
		printf(" %lld", (long long)crowd->members[i].welcome_ms);
	printf("\nserved");
	for (size_t i = 0; i < crowd->n; i++) {
		const struct member *member = &crowd->members[i];

		printf(" %lld", (long long)(member->receipt_ms > member->deliver_ms ? member->receipt_ms : member->deliver_ms));
	}
	printf("\n");
	(void)fflush(stdout); /* whoever does not read any more has ended us */
}

/* Sets the first time of something in this round. */
static void mark(struct member *member, int64_t *at)
{
	struct crowd *crowd = member->crowd;
	const bool before = member->receipt_ms >= 0 && member->deliver_ms >= 0;

	if (*at >= 0 || !crowd->running)
		return;
	*at = clock_monotonic_ms() - crowd->began;
	if (before || member->receipt_ms < 0 || member->deliver_ms < 0 || ++crowd->n_served < crowd->n)
		return;
	crowd->running = false;
	tell(crowd);
}

static void on_deliver(struct member *member, const Reentry__Deliver *deliver)
{
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Ack ack = REENTRY__ACK__INIT;

	ack.sequences = arena_alloc(&member->crowd->arena, deliver->n_items * sizeof *ack.sequences);
	if (!ack.sequences)
		fail(member->agency, "out of memory");
	for (size_t i = 0; i < deliver->n_items; i++)
		ack.sequences[ack.n_sequences++] = deliver->items[i]->sequence;
	frame.ack = &ack;
	send_frame(member, &frame);
	if (member->welcome_ms >= 0)
		mark(member, &member->deliver_ms);
}

static void on_receipt(struct member *member, const Reentry__Receipt *receipt)
{
	if (receipt->result == REENTRY__OUTCOME__VALUE__REFUSED && receipt->code && !strcmp(receipt->code, "busy"))
		publish(member);
	else if (receipt->result != REENTRY__OUTCOME__VALUE__ACCEPTED)
		fail(member->agency, receipt->detail ? receipt->detail : "its event was refused");
	else if (member->welcome_ms >= 0)
		mark(member, &member->receipt_ms);
}

static void on_message(void *context, const uint8_t *bytes, size_t n)
{
	struct member *member = context;
	Reentry__Frame answer = REENTRY__FRAME__INIT, *frame;
	Reentry__Ping pong = REENTRY__PING__INIT;
	void *message;

	arena_reset(&member->crowd->arena);
	need(pb_unpack_own(&reentry__frame__descriptor, bytes, n, &member->crowd->arena, &message), "a message of the broker", NULL);
	frame = message;
	if (frame->welcome) {
		wire_client_settled(member->client);
		mark(member, &member->welcome_ms);
		publish(member);
	}
	if (frame->deliver)
		on_deliver(member, frame->deliver);
	for (size_t i = 0; frame->receipts && i < frame->receipts->n_items; i++)
		on_receipt(member, frame->receipts->items[i]);
	if (frame->ping && !frame->ping->reply) {
		pong = *frame->ping;
		pong.has_reply = pong.reply = true;
		answer.ping = &pong;
		send_frame(member, &answer);
	}
	if (frame->bye && strcmp(frame->bye->reason, "shutdown") != 0)
		fail(member->agency, frame->bye->reason);
}

static void on_up(void *context)
{
	struct member *member = context;
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Hello hello = REENTRY__HELLO__INIT;
	char program[] = "crowd";

	hello.has_protocol = hello.has_catalogue = true;
	hello.protocol = hello.catalogue = 1;
	hello.agency = member->agency;
	hello.program = program;
	frame.hello = &hello;
	arena_reset(&member->crowd->arena);
	send_frame(member, &frame);
}

static void on_down(void *context, const struct err *why, bool given_up)
{
	const struct member *member = context;

	if (given_up || why->code == ERR_DENIED)
		fail(member->agency, why->text);
}

static void connect_all(struct crowd *crowd)
{
	static const struct wire_handlers handlers = { on_up, on_down, on_message };
	struct err err;

	for (size_t i = 0; i < crowd->n; i++) {
		struct member *member = &crowd->members[i];
		struct wire_client_options options = { .endpoint = crowd->endpoint, .key = &member->key };

		(void)snprintf(options.server_key, sizeof options.server_key, "%s", crowd->broker_key); /* a key has 40 characters */
		need(wire_client_new(crowd->wire, &options, &handlers, member, &member->client, &err), "a connection", &err);
	}
}

static void begin(struct crowd *crowd, const char *how)
{
	crowd->n_served = 0;
	crowd->running = true;
	crowd->began = clock_monotonic_ms();
	for (size_t i = 0; i < crowd->n; i++)
		crowd->members[i].welcome_ms = crowd->members[i].receipt_ms = crowd->members[i].deliver_ms = -1;
	if (!strcmp(how, "connect"))
		connect_all(crowd);
	for (size_t i = 0; !strcmp(how, "drop") && i < crowd->n; i++)
		wire_client_again(crowd->members[i].client, "dropped by the test");
	printf("begun\n");
	(void)fflush(stdout); /* as above */
}

static void on_stdin(void *context, int fd, unsigned events)
{
	struct crowd *crowd = context;
	char line[64];
	const ssize_t n = read(fd, line, sizeof line - 1);

	(void)events;
	if (n <= 0) {
		loop_stop(crowd->loop);
		return;
	}
	line[n] = 0;
	line[strcspn(line, "\n")] = 0;
	begin(crowd, line);
}

/* --- life --------------------------------------------------------------------------------------------------------------------- */

static void make_members(struct crowd *crowd, const char *keys, const char *prefix, char **agencies)
{
	struct err err;

	crowd->members = calloc(crowd->n, sizeof *crowd->members);
	for (size_t i = 0; crowd->members && i < crowd->n; i++) {
		struct member *member = &crowd->members[i];
		char path[PATH_ROOM];

		member->crowd = crowd;
		member->agency = agencies[i];
		(void)snprintf(path, sizeof path, "%s/%s.key", keys, agencies[i]); /* a path that is cut is not found */
		need(key_read_secret(path, &member->key, &err), path, &err);
		(void)snprintf(path, sizeof path, "%s%s", prefix, agencies[i]); /* fits */
		member->subject = strdup(path);
		if (!member->subject)
			fail(member->agency, "out of memory");
	}
	if (!crowd->members)
		fail("members", "out of memory");
}

int main(int argc, char **argv)
{
	struct crowd crowd = { 0 };
	struct wire_tuning tuning;
	struct err err;

	if (argc < 6)
		fail("usage", "ENDPOINT BROKER_KEY KEYS_FOLDER CASE_PREFIX AGENCY...");
	(void)signal(SIGPIPE, SIG_IGN); /* cannot fail for SIGPIPE */
	crowd = (struct crowd){ .endpoint = argv[1], .broker_key = argv[2], .n = (size_t)argc - 5 };
	arena_init(&crowd.arena, 0);
	clock_system(&crowd.clock);
	make_members(&crowd, argv[3], argv[4], argv + 5);
	wire_tuning_default(&tuning);
	need(loop_new(&crowd.loop, &err), "a loop", &err);
	need(wire_new(crowd.loop, &tuning, &crowd.wire, &err), "ZeroMQ", &err);
	need(loop_add(crowd.loop, STDIN_FILENO, LOOP_READ, on_stdin, &crowd), "stdin", NULL);
	need(loop_run(crowd.loop), "the loop", NULL);
	for (size_t i = 0; i < crowd.n; i++) {
		wire_client_free(crowd.members[i].client);
		free(crowd.members[i].subject);
	}
	wire_free(crowd.wire);
	loop_free(crowd.loop);
	free(crowd.members);
	arena_release(&crowd.arena);
	return 0;
}
