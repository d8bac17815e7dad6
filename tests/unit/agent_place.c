#include "tests/unit/agent_place.h"

#include <assert.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/log.h"
#include "lib/pb.h"
#include "rules/rules.h"

#define ROUNDS_MAX 2000

static void write_config(const struct agent_place *place)
{
	FILE *out = fopen(place->config, "we");
	assert_non_null(out);
	fprintf(out, "agent = { id = \"gm0344\"; broker = [ \"tcp://127.0.0.1:1\" ]; broker_key = \"b.pub\"; key = \"k.key\"; store = \"store\"; control = \"sock\"; size_max = \"64MiB\"; };\n"
	             "spool = { dir = \"spool\"; };\n");
	assert_int_equal(fclose(out), 0);
}

int agent_place_make(void **state)
{
	struct agent_place *place = calloc(1, sizeof *place);
	if (place == NULL || crypt_init() != OK)
		return -1;
	log_set_level(LOG_ERROR);
	(void)snprintf(place->root, sizeof place->root, "/tmp/test_agent-XXXXXX"); /* all of them are shorter than their room */
	if (mkdtemp(place->root) == NULL)
		return -1;
	(void)snprintf(place->config, sizeof place->config, "%s/agent.cfg", place->root);
	(void)snprintf(place->spool, sizeof place->spool, "%s/spool", place->root);
	write_config(place);
	*state = place;
	return agent_open(&place->agent, place->config, true, &place->err);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status, (void)kind, (void)walk;
	return remove(path);
}

int agent_place_remove(void **state)
{
	struct agent_place *place = *state;
	agent_close(&place->agent);
	int error = nftw(place->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(place);
	return error;
}

void agent_place_reopen(struct agent_place *place)
{
	agent_close(&place->agent);
	assert_int_equal(agent_open(&place->agent, place->config, true, &place->err), OK);
}

uint64_t agent_place_hand_in(struct agent_place *place, const char *json)
{
	struct outbox_put put;
	assert_int_equal(outbox_hand_in(&place->agent, json, strlen(json), NULL, &put, &place->err), OK);
	uint64_t number = put.number;
	assert_int_equal(turn_end(&place->agent), OK);
	return number;
}

void agent_place_answer(struct agent_place *place, uint64_t first, uint64_t last, const char *code)
{
	struct agent *agent = &place->agent;
	agent->outbox.sent = agent->outbox.durable;
	for (uint64_t number = first; number <= last; number++) {
		Reentry__Receipt receipt = REENTRY__RECEIPT__INIT, *list[] = {&receipt};
		Reentry__Receipts receipts = REENTRY__RECEIPTS__INIT;
		char text[32];
		receipt.has_tag = receipt.has_result = true;
		receipt.tag = number;
		receipt.result = code == NULL ? REENTRY__OUTCOME__VALUE__ACCEPTED : REENTRY__OUTCOME__VALUE__REFUSED;
		receipt.has_sequence = code == NULL;
		receipt.sequence = number;
		(void)snprintf(text, sizeof text, "%s", code != NULL ? code : ""); /* fits */
		receipt.code = code != NULL ? text : NULL;
		receipts.n_items = 1;
		receipts.items = list;
		outbox_receipts(agent, &receipts);
	}
	assert_int_equal(turn_end(agent), OK);
}

struct arrival { uint64_t sequence, id; const char *type, *subject, *data; bool urgent; };

static void arrive(struct agent_place *place, const struct arrival *a)
{
	struct agent *agent = &place->agent;
	struct arena arena;
	struct json_event event;
	Reentry__Delivery delivery = REENTRY__DELIVERY__INIT, *list[] = {&delivery};
	Reentry__Deliver deliver = REENTRY__DELIVER__INIT;
	arena_init(&arena, 0);
	char *json = arena_printf(&arena, "{\"id\":\"01890000-0000-7000-8000-%012llu\",\"source\":\"pi-utrecht\",\"type\":\"%s\",\"subject\":\"%s\",\"priority\":\"%s\",\"data\":%s}",
	                          (unsigned long long)a->id, a->type, a->subject, a->urgent ? "URGENT" : "NORMAL", a->data);
	assert_int_equal(json_event_read(json, strlen(json), rules_payload_of, &arena, &event, &place->err), OK);
	delivery.has_sequence = delivery.has_content = delivery.has_recorded_at = delivery.has_class_ = true;
	delivery.sequence = a->sequence;
	delivery.recorded_at = INT64_C(1800000000000) + (int64_t)a->sequence;
	delivery.class_ = strncmp(a->type, "care.", 5) == 0 ? REENTRY__CLASS__VALUE__C : REENTRY__CLASS__VALUE__A;
	assert_int_equal(pb_pack(event.event, &arena, &delivery.content.data, &delivery.content.len), OK);
	delivery.has_ends = delivery.ends = place->ends;
	place->ends = false;
	deliver.n_items = 1;
	deliver.items = list;
	inbox_deliver(agent, &deliver);
	assert_int_equal(turn_end(agent), OK);
	arena_release(&arena);
}

void agent_place_arrive(struct agent_place *place, uint64_t sequence, const char *type, const char *subject, const char *data, bool urgent)
{
	arrive(place, &(struct arrival){sequence, sequence, type, subject, data, urgent});
}

void agent_place_arrive_again(struct agent_place *place, const uint64_t sequences[2], const char *type, const char *subject, const char *data)
{
	arrive(place, &(struct arrival){sequences[0], sequences[1], type, subject, data, false});
}

static const void *wanted;
static size_t wanted_n;
static bool found;

static int look_into(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	struct buf content;
	(void)status, (void)walk;
	if (kind != FTW_F)
		return 0;
	buf_init(&content);
	if (buf_read_file(&content, path, (size_t)64 << 20) == OK && content.n >= wanted_n && memmem(content.bytes, content.n, wanted, wanted_n) != NULL)
		found = true;
	buf_release(&content);
	return 0;
}

bool agent_place_holds(const struct agent_place *place, const void *bytes, size_t n)
{
	wanted = bytes;
	wanted_n = n;
	found = false;
	assert_int_equal(nftw(place->root, look_into, 8, FTW_PHYS), 0);
	return found;
}

bool agent_place_has(const struct agent_place *place, const char *path)
{
	char full[512];
	(void)snprintf(full, sizeof full, "%s/%s", place->root, path); /* fits */
	return access(full, F_OK) == 0;
}

void agent_place_written(struct agent_place *place)
{
	struct db_txn txn;
	uint64_t left = 1;
	for (int i = 0; i < ROUNDS_MAX && left > 0; i++) {
		assert_int_equal(loop_once(place->agent.loop, 10), OK);
		assert_int_equal(turn_read(&place->agent, &txn), OK);
		assert_int_equal(db_count(&txn, TABLE_OUT, &left), OK);
		db_abort(&txn);
	}
	assert_int_equal(left, 0);
}

void agent_place_until(struct agent_place *place, const char *path)
{
	for (int i = 0; i < ROUNDS_MAX && !agent_place_has(place, path); i++)
		assert_int_equal(loop_once(place->agent.loop, 20), OK);
	assert_true(agent_place_has(place, path));
}
