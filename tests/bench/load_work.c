/* What the load does: publishing as fast as receipts come, publishing at a pace, replaying. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "lib/pb.h"
#include "tests/bench/load_own.h"

#define BATCH 256                    /* events in one message */
#define NUMBER_AT 24                 /* of an event's id: its last 12 hex digits tell the paced event's number */
#define CREDIT 64

/* --- as fast as receipts come ----------------------------------------------------------------------------------------------- */

struct agent *load_publisher(struct load *load, size_t who, const struct pattern *patterns, size_t n_patterns)
{
	struct agent *agent = &load->agents[who];

	agent->patterns = patterns;
	agent->n_patterns = n_patterns;
	agent->n_cases = agent->step = 1;
	if (!agent->sent_at)
		agent->sent_at = calloc(SENT_ROOM, sizeof *agent->sent_at);
	if (!agent->sent_at)
		stop("out of memory");
	return agent;
}

/* One message of n events. number: of the first, in its id; negative: none. */
static void send_events(struct agent *agent, size_t n, int64_t number)
{
	static uint8_t contents[BATCH][EVENT_ROOM];
	struct load *load = agent->load;
	const moment now = moment_now();
	Reentry__Publish__Item items[BATCH], *pointers[BATCH];
	Reentry__Publish publish = REENTRY__PUBLISH__INIT;
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	double at;

	for (size_t i = 0; i < n; i++) {
		const struct pattern *pattern = &agent->patterns[agent->tag / (agent->n_cases) % agent->n_patterns];
		Reentry__Publish__Item *item = pointers[i] = &items[i];

		pattern_stamp(pattern, agent->first + agent->step * (unsigned)dice_throw(&load->dice, agent->n_cases), now, contents[i]);
		if (number >= 0) {
			char text[24];

			(void)snprintf(text, sizeof text, "%012llx", (unsigned long long)number + i); /* fits */
			memcpy(contents[i] + pattern->id_at + NUMBER_AT, text, 12);
		}
		reentry__publish__item__init(item);
		item->has_content = item->has_time = item->has_tag = true;
		item->content = (ProtobufCBinaryData){ pattern->n, contents[i] };
		item->time = now;
		item->tag = agent->tag++;
	}
	publish.items = pointers;
	publish.n_items = n;
	frame.publish = &publish;
	at = now_us();
	for (size_t i = 0; i < n; i++) {
		agent->sent_at[items[i].tag % SENT_ROOM] = at;
		if (number >= 0)
			load->paced_at[(size_t)number + i] = at;
	}
	load_send(agent, &frame);
	agent->in_flight += n;
	agent->to_send -= n;
}

void load_refill(struct agent *agent)
{
	while (agent->to_send && agent->in_flight < agent->outstanding) {
		size_t n = agent->outstanding - agent->in_flight;

		n = n < BATCH ? n : BATCH;
		send_events(agent, n < agent->to_send ? n : (size_t)agent->to_send, -1);
	}
}

static bool all_receipts(const struct load *load, uint64_t n)
{
	return load->receipts >= n;
}

static bool all_deliveries(const struct load *load, uint64_t n)
{
	return load->deliveries >= n;
}

double load_publish(struct load *load, size_t n, size_t outstanding, uint64_t events)
{
	const uint64_t before = load->receipts;
	const double begin = now_us();

	for (size_t i = 0; i < n; i++) {
		struct agent *agent = &load->agents[PRISON(i)];

		agent->outstanding = outstanding;
		agent->to_send = events;
		arena_reset(&load->arena);
		load_refill(agent);
	}
	load_until(load, all_receipts, before + n * events, "receipts");
	return (now_us() - begin) / 1e6;
}

void load_await_deliveries(struct load *load, uint64_t n)
{
	load_until(load, all_deliveries, n, "deliveries");
}

/* --- at a pace ---------------------------------------------------------------------------------------------------------------- */

struct pace { struct load *load; uint64_t sent, events; };

static void on_pace(void *context, int fd, unsigned events)
{
	struct pace *pace = context;
	struct agent *agent = &pace->load->agents[PRISON(0)];
	uint64_t due = 0;

	(void)events;
	if (read(fd, &due, sizeof due) != (ssize_t)sizeof due)
		return;
	due = due < pace->events - pace->sent ? due : pace->events - pace->sent;
	due = due < BATCH ? due : BATCH;
	if (!due)
		return;
	arena_reset(&pace->load->arena);
	agent->to_send += due;
	send_events(agent, due, (int64_t)pace->sent);
	pace->sent += due;
}

void load_paced_arrived(struct load *load, const Reentry__Delivery *delivery, double now)
{
	void *message;
	const Reentry__Event *event;
	uint64_t number;

	need(pb_unpack_own(&reentry__event__descriptor, delivery->content.data, delivery->content.len, &load->arena, &message), "a delivery", NULL);
	event = message;
	if (!event->id || strlen(event->id) != NUMBER_AT + 12)
		return; /* the broker's own */
	number = strtoull(event->id + NUMBER_AT, NULL, 16);
	if (number < SENT_ROOM)
		samples_add(load->delivery_us, now - load->paced_at[number]);
}

void load_paced(struct load *load, unsigned per_second, unsigned ms)
{
	const struct itimerspec spec = { .it_interval = { .tv_nsec = 1000000000 / per_second }, .it_value = { .tv_nsec = 1000000000 / per_second } };
	struct pace pace = { .load = load, .events = (uint64_t)per_second * ms / 1000 };
	const uint64_t before = load->deliveries;
	const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (!load->paced_at)
		load->paced_at = calloc(SENT_ROOM, sizeof *load->paced_at);
	if (!load->paced_at || pace.events >= SENT_ROOM || fd < 0)
		stop("out of memory");
	need(loop_add(load->loop, fd, LOOP_READ, on_pace, &pace), "a timer", NULL);
	if (timerfd_settime(fd, 0, &spec, NULL))
		stop("the timer cannot be set");
	load_await_deliveries(load, before + pace.events);
	loop_remove(load->loop, fd);
	(void)close(fd); /* only read from */
	free(load->paced_at);
	load->paced_at = NULL;
}

/* --- replay --------------------------------------------------------------------------------------------------------------------- */

void load_answered(struct agent *agent, const Reentry__Answer *answer)
{
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Credit credit = REENTRY__CREDIT__INIT;

	if (answer->code)
		stop("%s: the replay was refused: %s %s", agent->person->id, answer->code, answer->detail ? answer->detail : "");
	agent->answered += answer->n_items;
	agent->answer_last |= answer->last;
	if (answer->last)
		return;
	credit.has_number = credit.has_credit = true;
	credit.number = answer->number;
	credit.credit = 1;
	frame.credit = &credit;
	load_send(agent, &frame);
}

static bool answer_is_whole(const struct load *load, uint64_t n)
{
	return load->agents[n].answer_last;
}

uint64_t load_replay(struct load *load, size_t who, uint64_t limit, double *ret_seconds)
{
	struct agent *agent = &load->agents[who];
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Query query = REENTRY__QUERY__INIT;
	char kind[] = "replay", purpose[] = "purpose=bench", text[40];
	char *parameters[] = { purpose, text };
	const double begin = now_us();

	(void)snprintf(text, sizeof text, "limit=%llu", (unsigned long long)limit); /* fits */
	agent->answered = 0;
	agent->answer_last = false;
	query.has_number = query.has_credit = true;
	query.number = ++agent->tag;
	query.kind = kind;
	query.parameters = parameters;
	query.n_parameters = 2;
	query.credit = CREDIT;
	frame.query = &query;
	arena_reset(&load->arena);
	load_send(agent, &frame);
	load_until(load, answer_is_whole, who, "a replay");
	*ret_seconds = (now_us() - begin) / 1e6;
	return agent->answered;
}
