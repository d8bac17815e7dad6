#include "tests/bench/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config.h"
#include "broker/core.h"
#include "lib/id.h"
#include "lib/pb.h"
#include "tests/bench/event.h"

#define TURN 1024
#define DRAIN 4096
#define HOUR_MS 3600000
#define DAYS_AHEAD 120           /* beyond the first milestone: nothing is due at once */

/* Deliveries of the last turn, acknowledged in the next one. */
struct given { const struct agency *agency; uint64_t sequence; };

struct store {
	const struct country *country;
	struct broker_config *config;
	struct core *core;
	struct arena arena;
	unsigned n_cases, next_case;
	size_t in_turn;
	struct given given[TURN + 1]; size_t n_given;
};

struct store *store_open(const struct country *country)
{
	struct store *store = calloc(1, sizeof *store);
	struct core_options options = { 0 };
	struct err err = { 0 };
	struct key_pair signing;
	uint8_t master[KEY_SIZE];
	char path[FOLDER_SIZE + 64];

	if (!store)
		stop("out of memory");
	store->country = country;
	need(broker_config_load(country->config, &store->config, &err), "the configuration", &err);
	need(key_read_or_make_raw(store->config->file.broker.master_key, master, &err), "the master key", &err);
	(void)snprintf(path, sizeof path, "%s/keys/log.key", country->folder); /* fits */
	need(key_read_secret(path, &signing, &err), "the signing key", &err);
	options.dir = store->config->file.broker.store;
	options.size_max = (size_t)store->config->file.limits.store_size;
	options.reserve = (size_t)store->config->file.limits.store_reserve;
	options.master_key = master;
	options.signing_seed = signing.sign_seed;
	need(core_open(&options, &store->config->policy, store->config->policy_text, &store->core, &err), "the store", &err);
	arena_init(&store->arena, 0);
	return store;
}

/* --- turns ---------------------------------------------------------------------------------------------------------------- */

static void commit(struct store *store)
{
	if (!store->in_turn)
		return;
	need(core_commit(store->core), "commit", NULL);
	store->in_turn = 0;
}

/* What was given to one agency in a row becomes one acknowledgement. */
static void acknowledge(struct store *store)
{
	uint64_t sequences[TURN + 1];
	size_t n = 0;

	for (size_t i = 0; i < store->n_given; i++) {
		sequences[n++] = store->given[i].sequence;
		if (i + 1 < store->n_given && store->given[i + 1].agency == store->given[i].agency)
			continue;
		need(core_acked(store->core, store->given[i].agency->id, sequences, n), "acknowledgement", NULL);
		n = 0;
	}
	store->n_given = 0;
}

/* An event in the present turn; `to` hears of it (NULL: nobody is noted). */
static void publish(struct store *store, size_t by, size_t to, const uint8_t *content, size_t n)
{
	const struct policy *policy = &store->config->policy;
	struct core_receipt receipt;

	if (!store->in_turn) {
		need(core_begin(store->core, moment_now()), "begin", NULL);
		acknowledge(store);
	}
	need(core_publish(store->core, policy_agency(policy, store->country->people[by].id), content, n, moment_now(), &receipt), "publish", NULL);
	if (receipt.result != REENTRY__OUTCOME__VALUE__ACCEPTED)
		stop("an event for the store was refused: %s %s", receipt.code, receipt.detail ? receipt.detail : "");
	if (to)
		store->given[store->n_given++] = (struct given){ policy_agency(policy, store->country->people[to].id), receipt.sequence };
	if (++store->in_turn == TURN)
		commit(store);
}

/* What is still queued for anybody, read and acknowledged. */
static void drain(struct store *store)
{
	struct core_queue *queues;
	size_t n_queues;

	commit(store);
	arena_reset(&store->arena);
	need(core_queues(store->core, &store->arena, &queues, &n_queues), "queues", NULL);
	for (size_t i = 0; i < n_queues; i++)
		for (;;) {
			struct arena reading;
			struct core_delivery *items;
			uint64_t sequences[DRAIN];
			size_t n;

			arena_init(&reading, 0);
			need(core_deliveries(store->core, queues[i].agency, 0, DRAIN, (size_t)32 << 20, &reading, &items, &n), "deliveries", NULL);
			for (size_t k = 0; k < n; k++)
				sequences[k] = items[k].sequence;
			arena_release(&reading);
			if (!n)
				break;
			need(core_begin(store->core, moment_now()), "begin", NULL);
			need(core_acked(store->core, queues[i].agency, sequences, n), "acknowledgement", NULL);
			need(core_commit(store->core), "commit", NULL);
		}
	store->n_given = 0;
}

void store_close(struct store *store)
{
	drain(store);
	core_close(store->core);
	broker_config_free(store->config);
	arena_release(&store->arena);
	free(store);
}

uint64_t store_last(const struct store *store)
{
	struct core_status status = { 0 };

	need(core_status(store->core, &status), "status", NULL);
	return status.last_sequence;
}

/* --- what is published ------------------------------------------------------------------------------------------------------ */

struct said { size_t by, to; const char *type; unsigned on; }; /* to: who hears of it; 0: is not noted */

static void publish_message(struct store *store, const struct said *said, const void *message)
{
	Reentry__Event event = REENTRY__EVENT__INIT;
	char id[ID_TEXT_SIZE], subject[32], name[32];
	uint8_t *content;
	size_t n;

	arena_reset(&store->arena);
	id_new(id, moment_now());
	(void)snprintf(subject, sizeof subject, SUBJECT_FORM, said->on % 10000000); /* fits */
	(void)snprintf(name, sizeof name, "%s", said->type); /* the generated structs want char * */
	event.id = id;
	event.type = name;
	event.subject = subject;
	event.has_data = true;
	need(pb_pack(message, &store->arena, &event.data.data, &event.data.len), "pack", NULL);
	need(pb_pack(&event, &store->arena, &content, &n), "pack", NULL);
	publish(store, said->by, said->to, content, n);
}

size_t municipality_of(const struct country *country, unsigned number, unsigned n_cases)
{
	const unsigned half = n_cases / 2;

	if (number < half || country->n_municipalities == 1)
		return MUNICIPALITY(0);
	return MUNICIPALITY(1 + (size_t)(number - half) * (country->n_municipalities - 1) / (n_cases - half));
}

static void open_case(struct store *store, unsigned number, size_t municipality)
{
	Reentry__CustodyStarted started = REENTRY__CUSTODY_STARTED__INIT;
	Reentry__Moment at = REENTRY__MOMENT__INIT;
	char text[5];

	(void)snprintf(text, sizeof text, "%s", municipality ? store->country->people[municipality].code : "9999");
	at.has_ms = true;
	at.ms = moment_now() - HOUR_MS;
	started.start = &at;
	started.origin = started.destination = text;
	publish_message(store, &(struct said){ PRISON(number % PRISONS), municipality, "custody.started", number }, &started);
}

void store_cases(struct store *store, unsigned n)
{
	uint8_t content[EVENT_ROOM];
	struct pattern pattern;

	store->n_cases = n;
	for (unsigned i = 0; i < n; i++)
		open_case(store, i, municipality_of(store->country, i, n));
	drain(store);
	for (unsigned i = 0; i < n; i++) {
		if (i % TURN == 0)
			pattern_date(&pattern, today() + DAYS_AHEAD + (int32_t)(i / TURN % 40));
		pattern_stamp(&pattern, i, moment_now(), content);
		publish(store, PRISON(i % PRISONS), municipality_of(store->country, i, n), content, pattern.n);
	}
	drain(store);
}

void store_events(struct store *store, size_t n)
{
	uint8_t content[EVENT_ROOM];
	struct pattern patterns[2];

	pattern_screened(&patterns[0], false);
	pattern_screened(&patterns[1], true);
	for (size_t i = 0; i < n; i++, store->next_case++) {
		const unsigned on = store->next_case % store->n_cases;
		const struct pattern *pattern = &patterns[store->next_case / store->n_cases % 2];

		pattern_stamp(pattern, on, moment_now(), content);
		publish(store, PRISON(on % PRISONS), municipality_of(store->country, on, store->n_cases), content, pattern->n);
	}
	drain(store);
}

void store_wide_case(struct store *store, unsigned number)
{
	open_case(store, number, 0);
	for (size_t i = 0; i < PROVIDERS; i++) {
		Reentry__HandoverOffered offered = REENTRY__HANDOVER_OFFERED__INIT;
		Reentry__HandoverAccepted accepted = REENTRY__HANDOVER_ACCEPTED__INIT;
		Reentry__Date start = REENTRY__DATE__INIT;
		char ref[32];

		(void)snprintf(ref, sizeof ref, "H-%03zu", i); /* fits */
		offered.handover = accepted.handover = ref;
		offered.to = store->country->people[PROVIDER(i)].id;
		offered.has_need = start.has_days = true;
		offered.need = REENTRY__NEED__VALUE__HOUSING;
		start.days = today();
		accepted.start_date = &start;
		publish_message(store, &(struct said){ PRISON(number % PRISONS), 0, "handover.offered", number }, &offered);
		publish_message(store, &(struct said){ PROVIDER(i), 0, "handover.accepted", number }, &accepted);
	}
	drain(store);
}
