#include "tests/unit/core_place.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "lib/json.h"
#include "lib/pb.h"

#define OIN(n) "oin = \"000000990000000000" n "\", keys = [ \"k\" ]"

const char place_agencies[] =
	"{ id = \"om\", role = \"court\", " OIN("11") " },\n"
	"{ id = \"pi-a\", role = \"prison\", " OIN("12") " },\n"
	"{ id = \"pi-b\", role = \"prison\", " OIN("13") " },\n"
	"{ id = \"gm-a\", role = \"municipality\", codes = [ \"0344\" ], " OIN("14") " },\n"
	"{ id = \"gm-b\", role = \"municipality\", codes = [ \"0599\" ], " OIN("15") " },\n"
	"{ id = \"care-a\", role = \"care\", " OIN("16") " },\n"
	"{ id = \"desk\", role = \"desk\", " OIN("17") " }\n";

static const char head[] =
	"broker = { id = \"broker\", oin = \"00000099000000000001\", endpoints = [ \"tcp://127.0.0.1:1\" ], key = \"k\", store = \"s\", control = \"c\", "
	"signing_key = \"g\", master_key = \"m\" };\n"
	"limits = {}; calendar = { holidays = []; };\n";

struct broker_config *place_config(struct core_place *place, const char *agencies, const char *rules)
{
	struct broker_config *config = NULL;
	char path[96];
	FILE *file;

	(void)snprintf(path, sizeof path, "%s/broker.cfg", place->root); /* root is shorter */
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fprintf(file, "%srules = { %s };\nagencies = (\n%s);\n", head, rules, agencies) > 0);
	assert_int_equal(fclose(file), 0);
	if (broker_config_load(path, &config, &place->err))
		fail_msg("%s", place->err.text);
	return config;
}

void place_use(struct core_place *place, struct broker_config *config)
{
	core_set_policy(place->core, &config->policy, config->policy_text);
	broker_config_free(place->old_config);
	place->old_config = place->config;
	place->config = config;
}

void place_open(struct core_place *place)
{
	struct core_options options = {
		.dir = place->dir, .keys_dir = place->keys, .size_max = place->size_max, .reserve = place->reserve, .behind_max = place->behind_max, .volatile_store = !place->durable, .master_key = place->master,
		.signing_seed = place->signing, .beside = true,
	};

	if (core_open(&options, &place->config->policy, place->config->policy_text, &place->core, &place->err))
		fail_msg("%s", place->err.text);
}

void place_close(struct core_place *place)
{
	core_close(place->core);
	place->core = NULL;
}

void place_crash(struct core_place *place)
{
	core_abandon(place->core);
	place_open(place);
}

int core_place_make(void **state)
{
	struct core_place *place = calloc(1, sizeof *place);

	if (!place)
		return -1;
	*state = place;
	(void)snprintf(place->root, sizeof place->root, "/tmp/test_core-XXXXXX"); /* all three are shorter than their room */
	if (!mkdtemp(place->root))
		return -1;
	(void)snprintf(place->dir, sizeof place->dir, "%s/store", place->root);
	(void)snprintf(place->keys, sizeof place->keys, "%s/keys", place->root);
	memset(place->master, 7, sizeof place->master);
	memset(place->signing, 9, sizeof place->signing);
	place->size_max = (size_t)64 << 20;
	place->reserve = 65536;
	place->now = place_moment("2027-02-01T10:00:00+01:00");
	arena_init(&place->arena, 0);
	place->config = place_config(place, place_agencies, "");
	place_open(place);
	return 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status, (void)kind, (void)walk;
	return remove(path);
}

int core_place_make_small(void **state, size_t reserve)
{
	struct core_place *place;

	if (core_place_make(state))
		return -1;
	place = *state;
	core_abandon(place->core);
	(void)snprintf(place->dir, sizeof place->dir, "%s/small", place->root); /* shorter than its room */
	place->size_max = (size_t)4 << 20;
	place->reserve = reserve;
	place_open(place);
	return 0;
}

int core_place_remove(void **state)
{
	struct core_place *place = *state;
	int error;

	core_abandon(place->core);
	broker_config_free(place->config);
	broker_config_free(place->old_config);
	arena_release(&place->arena);
	error = nftw(place->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(place);
	return error;
}

static struct core_place *lasting;

static void remove_lasting(void)
{
	void *state = lasting;

	(void)core_place_remove(&state); /* the process ends */
}

struct core_place *core_place_lasting(void)
{
	void *state = NULL;

	if (lasting)
		return lasting;
	if (core_place_make(&state) || atexit(remove_lasting))
		abort();
	lasting = state;
	place_case(lasting, "C-1");
	return lasting;
}

moment place_moment(const char *text)
{
	moment when = MOMENT_NONE;

	assert_int_equal(civil_parse_moment(text, &when), OK);
	return when;
}

void place_begin(struct core_place *place)
{
	assert_int_equal(core_begin(place->core, place->now), OK);
}

void place_commit(struct core_place *place)
{
	assert_int_equal(core_commit(place->core), OK);
}

struct packed place_event(struct core_place *place, const char *id, const char *type, const char *subject, const char *data)
{
	struct packed packed = { NULL, 0 };
	struct json_event event = { 0 };
	char *text = arena_printf(&place->arena, "{\"type\":\"%s\",\"subject\":\"%s\"%s%s}", type, subject, data ? ",\"data\":" : "", data ? data : "");

	assert_non_null(text);
	if (json_event_read(text, strlen(text), rules_payload_of, &place->arena, &event, &place->err))
		fail_msg("%s", place->err.text);
	event.event->id = id ? arena_strdup(&place->arena, id) : arena_printf(&place->arena, "e-%u", ++place->ids);
	assert_int_equal(pb_pack(event.event, &place->arena, &packed.bytes, &packed.n), OK);
	return packed;
}

struct core_receipt place_publish(struct core_place *place, const char *by, struct packed event)
{
	struct core_receipt receipt = { 0 };

	assert_int_equal(core_publish(place->core, policy_agency(&place->config->policy, by), event.bytes, event.n, place->now, &receipt), OK);
	return receipt;
}

uint64_t place_accept(struct core_place *place, const char *by, const char *type, const char *subject, const char *data)
{
	struct core_receipt receipt;

	place_begin(place);
	receipt = place_publish(place, by, place_event(place, NULL, type, subject, data));
	if (receipt.result != REENTRY__OUTCOME__VALUE__ACCEPTED)
		fail_msg("%s by %s: %s, %s", type, by, receipt.code ? receipt.code : "not accepted", receipt.detail ? receipt.detail : "");
	place_commit(place);
	return receipt.sequence;
}

void place_case(struct core_place *place, const char *subject)
{
	place_accept(place, "pi-a", "custody.started", subject, "{\"start\":\"2027-02-01T08:00:00+01:00\",\"origin\":\"0344\",\"destination\":\"0344\"}");
	place_accept(place, "pi-a", "release.date-set", subject, "{\"date\":\"2027-02-25\",\"kind\":\"EXPECTED\"}");
}

const char *place_queue(struct core_place *place, const char *agency)
{
	struct core_delivery *items = NULL;
	const char *text = "";
	size_t n = 0;

	assert_int_equal(core_deliveries(place->core, agency, 0, 1000, (size_t)64 << 20, &place->arena, &items, &n), OK);
	for (size_t i = 0; i < n; i++) {
		void *message = NULL;

		assert_int_equal(pb_unpack_own(&reentry__event__descriptor, items[i].delivery->content.data, items[i].delivery->content.len, &place->arena, &message), OK);
		text = arena_printf(&place->arena, "%s%s%s", text, i ? " " : "", ((Reentry__Event *)message)->type);
		assert_non_null(text);
	}
	return text;
}

size_t place_ack_all(struct core_place *place, const char *agency)
{
	struct core_delivery *items = NULL;
	uint64_t sequences[1000];
	size_t n = 0;

	assert_int_equal(core_deliveries(place->core, agency, 0, 1000, (size_t)64 << 20, &place->arena, &items, &n), OK);
	for (size_t i = 0; i < n; i++)
		sequences[i] = items[i].sequence;
	place_begin(place);
	assert_int_equal(core_acked(place->core, agency, sequences, n), OK);
	place_commit(place);
	return n;
}

uint64_t place_last(struct core_place *place)
{
	struct core_status status;

	assert_int_equal(core_status(place->core, &status), OK);
	return status.last_sequence;
}

struct core_record place_record(struct core_place *place, uint64_t position)
{
	struct core_record record;

	assert_int_equal(core_record(place->core, position, &place->arena, &record), OK);
	return record;
}
