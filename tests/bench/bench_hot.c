/* What an event costs the broker's own thread, without network and without waiting: a Frame of publishes unpacked, the turn, its commit, the delivery's Frame, and the acknowledgement in the next turn.
 * usage: bench_hot [EVENTS [CASES]]; the store is in TMPDIR (memory: /dev/shm). For counts that no other program on the machine disturbs:
 *   valgrind --tool=callgrind --toggle-collect=hot_turn build/release/test/bench/bench_hot 20000
 * and divide by the events that it names. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/broker.h"
#include "lib/crypt.h"
#include "lib/id.h"
#include "lib/pb.h"

#define FRAME 64                     /* events in a Publish */
#define FRAMES 8                     /* of them in a turn */
#define TURN (FRAME * FRAMES)
#define RECEIVER "gm0344"
#define START INT64_C(1801558800000) /* 2027-02-02T09:00:00+01:00 */

static struct core *core;
static struct broker_config *config;
static struct arena making, taking;
static struct session session;
static const struct agency *publisher;
static moment now = START;
static uint8_t master[KEY_SIZE];
static char dir[256], store[300], keys[300];
static unsigned long cases = 1600;

static double cpu_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts); /* cannot fail */
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void need(int rc, const char *what)
{
	if (rc == OK)
		return;
	fprintf(stderr, "bench_hot: %s: %s\n", what, err_text(rc));
	exit(1);
}

/* --- what comes in --------------------------------------------------------------------------------------------------- */

struct frame_bytes { uint8_t *bytes; size_t n; };

static ProtobufCBinaryData event_bytes(const char *type, const void *data, unsigned long on)
{
	Reentry__Event event = REENTRY__EVENT__INIT;
	ProtobufCBinaryData content;
	char id[ID_TEXT_SIZE], subject[32];

	id_new(id, now);
	(void)snprintf(subject, sizeof subject, "C-%07lu", on);
	event.id = id;
	event.type = (char *)(uintptr_t)type;
	event.subject = subject;
	event.has_data = true;
	need(pb_pack(data, &making, &event.data.data, &event.data.len), "pack");
	need(pb_pack(&event, &making, &content.data, &content.len), "pack");
	return content;
}

static ProtobufCBinaryData screened(unsigned long i)
{
	static char note[500];
	Reentry__NeedStatusChanged n = REENTRY__NEED_STATUS_CHANGED__INIT;

	memset(note, 'x', sizeof note - 1);
	n.has_need = n.has_status = true;
	n.need = REENTRY__NEED__VALUE__HOUSING;
	n.status = i & 1 ? REENTRY__NEED_STATUS__VALUE__OPEN : REENTRY__NEED_STATUS__VALUE__IN_PROGRESS;
	n.note = note;
	return event_bytes("need.screened", &n, i * 7919 % cases);
}

static struct frame_bytes publish_frame(unsigned long first)
{
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Publish publish = REENTRY__PUBLISH__INIT;
	Reentry__Publish__Item items[FRAME], *pointers[FRAME];
	struct frame_bytes packed;

	for (unsigned long i = 0; i < FRAME; i++) {
		pointers[i] = &items[i];
		reentry__publish__item__init(&items[i]);
		items[i].has_content = items[i].has_time = items[i].has_tag = true;
		items[i].content = screened(first + i);
		items[i].time = now;
		items[i].tag = first + i;
	}
	publish.items = pointers;
	publish.n_items = FRAME;
	frame.publish = &publish;
	need(pb_pack(&frame, &making, &packed.bytes, &packed.n), "pack");
	return packed;
}

/* --- what is measured ------------------------------------------------------------------------------------------------ */

static void publish(const struct frame_bytes *bytes)
{
	struct wire_message message = { .bytes = bytes->bytes, .n = bytes->n };
	Reentry__Frame *frame;
	struct err err;

	need(net_unpack(&message, &taking, &frame, &err), "a frame");
	for (size_t i = 0; i < frame->publish->n_items; i++) {
		const Reentry__Publish__Item *item = frame->publish->items[i];
		struct core_receipt receipt;

		need(core_publish(core, publisher, item->content.data, item->content.len, item->time, &receipt), "publish");
		if (receipt.result != REENTRY__OUTCOME__VALUE__ACCEPTED) {
			fprintf(stderr, "bench_hot: %s %s\n", receipt.code, receipt.detail ? receipt.detail : "");
			exit(1);
		}
	}
}

/* Its name stands in the usage above: callgrind counts what happens in it. */
void hot_turn(const struct frame_bytes frames[FRAMES], uint64_t *sequences, size_t *n, uint64_t *after);
__attribute__((noinline)) void hot_turn(const struct frame_bytes frames[FRAMES], uint64_t *sequences, size_t *n, uint64_t *after)
{
	static uint8_t out[TURN * 2048];
	struct core_delivery *items;
	size_t got;

	arena_reset(&taking);
	need(core_begin(core, ++now), "begin");
	need(core_delivered(core, RECEIVER, sequences, *n), "told");
	need(core_acked(core, RECEIVER, sequences, *n), "ack");
	for (size_t i = 0; i < FRAMES; i++)
		publish(&frames[i]);
	need(core_commit(core), "commit");
	*n = 0;
	do {
		arena_reset(&taking);
		need(core_deliveries_packed(core, RECEIVER, *after, 256, (size_t)256 << 10, &taking, &items, &got), "deliveries");
		if (deliver_frame_size(&session, items, got) > sizeof out)
			need(ERR_TOOBIG, "a frame");
		(void)deliver_frame_pack(&session, items, got, out); /* as many as it said */
		for (size_t i = 0; i < got && *n < TURN; i++)
			sequences[(*n)++] = *after = items[i].sequence;
	} while (got);
}

/* --- around it --------------------------------------------------------------------------------------------------------- */

static void open_cases(void)
{
	Reentry__CustodyStarted started = REENTRY__CUSTODY_STARTED__INIT;
	Reentry__Moment at = REENTRY__MOMENT__INIT;

	at.has_ms = true;
	at.ms = now - 3600000;
	started.start = &at;
	started.origin = started.destination = (char *)(uintptr_t)"0344";
	for (unsigned long i = 0; i < cases;) {
		arena_reset(&making);
		need(core_begin(core, now), "begin");
		for (unsigned long k = 0; k < TURN && i < cases; k++, i++) {
			const ProtobufCBinaryData content = event_bytes("custody.started", &started, i);
			struct core_receipt receipt;

			need(core_publish(core, publisher, content.data, content.len, now, &receipt), "publish");
		}
		need(core_commit(core), "commit");
	}
}

static void open_core(void)
{
	struct err err = { 0 };
	struct core_options options = { .dir = store, .keys_dir = keys, .size_max = (size_t)8 << 30, .reserve = (size_t)1 << 20, .master_key = master };

	if (core_open(&options, &config->policy, config->policy_text, &core, &err)) {
		fprintf(stderr, "bench_hot: %s\n", err.text);
		exit(1);
	}
	publisher = policy_agency(&config->policy, "pi-utrecht");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int main(int argc, char **argv)
{
	unsigned long events = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000, done = 0;
	const char *tmp = getenv("TMPDIR"); /* lint: getenv, because the bench may need another disk */
	static uint64_t sequences[TURN];
	struct err err = { 0 };
	size_t n = 0;
	uint64_t after;
	double us = 0;

	(void)snprintf(dir, sizeof dir, "%s/reentry-bench-XXXXXX", tmp && strlen(tmp) < 200 ? tmp : "/tmp");
	if (!mkdtemp(dir) || crypt_init() || broker_config_load("config/example/broker.cfg", &config, &err)) {
		fprintf(stderr, "bench_hot: %s\n", err.text);
		return 1;
	}
	(void)snprintf(store, sizeof store, "%s/store", dir);
	(void)snprintf(keys, sizeof keys, "%s/keys", dir);
	crypt_random(master, sizeof master);
	arena_init(&making, 0);
	arena_init(&taking, 0);
	cases = argc > 2 ? strtoul(argv[2], NULL, 10) : cases;
	open_core();
	open_cases();
	after = cases + 10; /* what opened them stays in the queue */
	for (; done < events; done += TURN) {
		struct frame_bytes frames[FRAMES];
		double begin;

		arena_reset(&making);
		for (unsigned long i = 0; i < FRAMES; i++)
			frames[i] = publish_frame(done + i * FRAME);
		begin = cpu_us();
		hot_turn(frames, sequences, &n, &after);
		us += cpu_us() - begin;
	}
	printf("%lu events, %d a turn: %.2f us of CPU each\n", done, TURN, us / (double)done);
	core_close(core);
	broker_config_free(config);
	arena_release(&making);
	arena_release(&taking);
	(void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS); /* best effort: a temporary folder */
	return 0;
}
