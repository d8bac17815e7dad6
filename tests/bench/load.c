/* Connections of the load, and what comes in by them. */
#include "tests/bench/load.h"

#include <stdlib.h>
#include <string.h>

#include "lib/pb.h"
#include "proto/wire.pb-c.h"
#include "tests/bench/load_own.h"

void load_send(struct agent *agent, const Reentry__Frame *frame)
{
	const size_t n = reentry__frame__get_packed_size(frame);
	uint8_t *bytes = arena_alloc(&agent->load->arena, n);
	int rc;

	if (!bytes)
		stop("out of memory");
	(void)reentry__frame__pack(frame, bytes); /* as many as it said */
	rc = wire_client_send(agent->client, bytes, n);
	if (rc)
		stop("%s cannot send: %s", agent->person->id, err_text(rc));
}

/* --- what comes in -------------------------------------------------------------------------------------------------------- */

static void on_receipts(struct agent *agent, const Reentry__Receipts *receipts)
{
	struct load *load = agent->load;
	const double now = now_us();

	for (size_t i = 0; i < receipts->n_items; i++) {
		const Reentry__Receipt *receipt = receipts->items[i];

		if (receipt->result != REENTRY__OUTCOME__VALUE__ACCEPTED)
			stop("%s: an event was not accepted: %s %s", agent->person->id, receipt->code ? receipt->code : "?", receipt->detail ? receipt->detail : "");
		if (load->receipt_us)
			samples_add(load->receipt_us, now - agent->sent_at[receipt->tag % SENT_ROOM]);
	}
	load->receipts += receipts->n_items;
	agent->in_flight -= receipts->n_items;
	load_refill(agent);
}

static void on_deliver(struct agent *agent, const Reentry__Deliver *deliver)
{
	struct load *load = agent->load;
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Ack ack = REENTRY__ACK__INIT;
	const double now = now_us();

	ack.sequences = arena_alloc(&load->arena, deliver->n_items * sizeof *ack.sequences);
	if (!ack.sequences)
		stop("out of memory");
	for (size_t i = 0; i < deliver->n_items; i++) {
		const Reentry__Delivery *delivery = deliver->items[i];

		ack.sequences[ack.n_sequences++] = delivery->sequence;
		if (delivery->sequence <= agent->last_sequence) {
			agent->again++;
			continue;
		}
		agent->last_sequence = delivery->sequence;
		agent->deliveries++;
		load->deliveries++;
		if (load->delivery_us && load->paced_at)
			load_paced_arrived(load, delivery, now);
	}
	frame.ack = &ack;
	load_send(agent, &frame);
}

static void on_ping(struct agent *agent, const Reentry__Ping *ping)
{
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Ping reply = *ping;

	if (ping->reply)
		return;
	reply.has_reply = reply.reply = true;
	frame.ping = &reply;
	load_send(agent, &frame);
}

static void on_message(void *context, const uint8_t *bytes, size_t n)
{
	struct agent *agent = context;
	struct load *load = agent->load;
	void *message;
	const Reentry__Frame *frame;

	arena_reset(&load->arena);
	need(pb_unpack_own(&reentry__frame__descriptor, bytes, n, &load->arena, &message), "a message of the broker", NULL);
	frame = message;
	if (frame->welcome) {
		agent->welcome = true;
		load->welcomes++;
		wire_client_settled(agent->client);
	}
	if (frame->receipts)
		on_receipts(agent, frame->receipts);
	if (frame->deliver)
		on_deliver(agent, frame->deliver);
	if (frame->answer)
		load_answered(agent, frame->answer);
	if (frame->ping)
		on_ping(agent, frame->ping);
	if (frame->bye)
		stop("%s: the broker ended the session: %s %s", agent->person->id, frame->bye->reason, frame->bye->detail ? frame->bye->detail : "");
}

static void on_up(void *context)
{
	struct agent *agent = context;
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Hello hello = REENTRY__HELLO__INIT;
	char id[33], program[] = "bench";

	memcpy(id, agent->person->id, sizeof id);
	hello.has_protocol = hello.has_catalogue = hello.has_session = true;
	hello.protocol = hello.catalogue = 1;
	hello.session = (uint64_t)now_us();
	hello.agency = id;
	hello.program = program;
	frame.hello = &hello;
	arena_reset(&agent->load->arena);
	load_send(agent, &frame);
}

static void on_down(void *context, const struct err *why, bool given_up)
{
	const struct agent *agent = context;

	(void)given_up; /* the first loss is one too many */
	stop("%s: %s", agent->person->id, why->text);
}

/* --- life ------------------------------------------------------------------------------------------------------------------- */

void load_new(struct load *load, const struct host *host)
{
	struct wire_tuning tuning;
	struct err err = { 0 };

	*load = (struct load){ .host = host, .n = host->country->n };
	arena_init(&load->arena, 0);
	load->agents = calloc(load->n, sizeof *load->agents);
	if (!load->agents)
		stop("out of memory");
	for (size_t i = 0; i < load->n; i++)
		load->agents[i] = (struct agent){ .load = load, .person = &host->country->people[i] };
	wire_tuning_default(&tuning);
	tuning.hwm = 10000;
	need(loop_new(&load->loop, &err), "a loop", &err);
	need(wire_new(load->loop, &tuning, &load->wire, &err), "ZeroMQ", &err);
}

void load_disconnect(struct load *load)
{
	for (size_t i = 0; i < load->n; i++) {
		struct agent *agent = &load->agents[i];

		wire_client_free(agent->client);
		free(agent->sent_at);
		*agent = (struct agent){ .load = load, .person = agent->person };
	}
	load->receipts = load->deliveries = load->welcomes = 0;
}

void load_free(struct load *load)
{
	load_disconnect(load);
	wire_free(load->wire);
	loop_free(load->loop);
	free(load->agents);
	free(load->paced_at);
	arena_release(&load->arena);
}

void load_until(struct load *load, bool (*done)(const struct load *load, uint64_t n), uint64_t n, const char *what)
{
	uint64_t seen = 0;
	double since = now_us();

	while (!done(load, n)) {
		uint64_t now = load->receipts + load->deliveries + load->welcomes;

		need(loop_once(load->loop, 100), "the loop", NULL);
		for (size_t i = 0; i < load->n; i++)
			now += load->agents[i].answered;
		if (now != seen) {
			seen = now;
			since = now_us();
		} else if (now_us() - since > LOAD_PATIENCE_MS * 1000.0) {
			stop("waiting for %s: nothing came for %d s (receipts %llu, deliveries %llu, wanted %llu)", what, LOAD_PATIENCE_MS / 1000,
			     (unsigned long long)load->receipts, (unsigned long long)load->deliveries, (unsigned long long)n);
		}
	}
}

static bool all_welcome(const struct load *load, uint64_t n)
{
	return load->welcomes >= n;
}

void load_connect(struct load *load, const size_t *who, size_t n)
{
	uint64_t wanted = load->welcomes;
	struct err err = { 0 };

	for (size_t i = 0; i < n; i++) {
		struct agent *agent = &load->agents[who[i]];
		struct wire_client_options options = { .endpoint = load->host->endpoint, .key = &agent->person->key };
		static const struct wire_handlers handlers = { on_up, on_down, on_message };

		if (agent->client)
			continue;
		memcpy(options.server_key, load->host->country->broker_key, sizeof options.server_key);
		need(wire_client_new(load->wire, &options, &handlers, agent, &agent->client, &err), "a connection", &err);
		wanted++;
	}
	load_until(load, all_welcome, wanted, "welcome");
}

void load_connect_range(struct load *load, size_t first, size_t n)
{
	size_t *who = calloc(n ? n : 1, sizeof *who);

	if (!who)
		stop("out of memory");
	for (size_t i = 0; i < n; i++)
		who[i] = first + i;
	load_connect(load, who, n);
	free(who);
}
