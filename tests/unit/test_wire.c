/* Proves that only known keys get in, that who somebody is follows from the key, that nothing is dropped silently towards a full or vanished peer,
 * that a client comes back by itself and never sends on a connection what it queued on an earlier one, and that a server key rotates by a second endpoint. */
#include "lib/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <zmq.h>

#include "lib/clock.h"

#define ROUNDS 2000
#define ROUND_MS 10

struct end {
	struct wire_client *client;
	int ups, downs, messages;
	bool given_up, free_on_down;
	struct err why;
	char last[64];
};

struct scene {
	struct loop *loop;
	struct wire *wire;
	struct wire_server *server;
	struct key_pair server_key, other_key, agency_key, stranger_key;
	char endpoint[128], directory[64];
	struct wire_message got;
	int n_got;
	bool echo;
	const char *name;                 /* of the agency whose key it is */
	struct end end;
};

static void make_key(const char *directory, const char *name, struct key_pair *pair)
{
	char path[128];

	assert_int_equal(key_generate(directory, name, NULL), OK);
	(void)snprintf(path, sizeof path, "%s/%s.key", directory, name);
	assert_int_equal(key_read_secret(path, pair, NULL), OK);
	(void)remove(path);
	(void)snprintf(path, sizeof path, "%s/%s.pub", directory, name);
	(void)remove(path);
}

static const char *who(void *context, const char *curve_public, const char *address)
{
	struct scene *scene = context;

	assert_string_equal(address, "127.0.0.1");
	return strcmp(curve_public, scene->agency_key.curve_public) ? NULL : scene->name;
}

static void on_ready(void *context)
{
	struct scene *scene = context;

	wire_message_release(&scene->got);
	if (wire_receive(scene->server, &scene->got))
		return;
	scene->n_got++;
	if (scene->echo)
		assert_int_equal(wire_send(scene->server, &scene->got.peer, scene->got.bytes, scene->got.n), OK);
}

static void on_up(void *context)
{
	((struct end *)context)->ups++;
}

static void on_down(void *context, const struct err *why, bool given_up)
{
	struct end *end = context;

	end->downs++;
	end->why = *why;
	end->given_up = given_up;
	if (end->free_on_down) {
		wire_client_free(end->client);
		end->client = NULL;
	}
}

static void on_message(void *context, const uint8_t *bytes, size_t n)
{
	struct end *end = context;

	end->messages++;
	(void)snprintf(end->last, sizeof end->last, "%.*s", (int)n, (const char *)bytes);
}

static const struct wire_handlers handlers = { on_up, on_down, on_message };

static void open_server(struct scene *scene, const char *endpoint)
{
	assert_int_equal(wire_server_new(scene->wire, who, on_ready, scene, &scene->server, NULL), OK);
	assert_int_equal(wire_bind(scene->server, endpoint, &scene->server_key, scene->endpoint, sizeof scene->endpoint, NULL), OK);
	assert_null(strchr(scene->endpoint, '*'));
}

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof *scene);
	struct wire_tuning tuning;

	assert_non_null(scene);
	scene->name = "gm0344";
	(void)snprintf(scene->directory, sizeof scene->directory, "/tmp/test_wire.XXXXXX");
	assert_non_null(mkdtemp(scene->directory));
	assert_int_equal(crypt_init(), OK);
	make_key(scene->directory, "server", &scene->server_key);
	make_key(scene->directory, "other", &scene->other_key);
	make_key(scene->directory, "agency", &scene->agency_key);
	make_key(scene->directory, "stranger", &scene->stranger_key);
	wire_tuning_default(&tuning);
	tuning.retry_ms = 5;
	tuning.retry_ms_max = 20;
	tuning.refused_max = 3;
	tuning.hwm = 16;
	tuning.sndbuf = tuning.rcvbuf = 4096;
	tuning.handshake_ms = 2000;
	assert_int_equal(loop_new(&scene->loop, NULL), OK);
	assert_int_equal(wire_new(scene->loop, &tuning, &scene->wire, NULL), OK);
	open_server(scene, "tcp://127.0.0.1:*");
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	wire_message_release(&scene->got);
	wire_client_free(scene->end.client);
	wire_server_free(scene->server);
	wire_free(scene->wire);
	loop_free(scene->loop);
	(void)remove(scene->directory);
	free(scene);
	return 0;
}

static void connect_as(struct scene *scene, const struct key_pair *key, const char *server_public)
{
	struct wire_client_options options = { .endpoint = scene->endpoint, .key = key };

	memcpy(options.server_key, server_public, sizeof options.server_key);
	assert_int_equal(wire_client_new(scene->wire, &options, &handlers, &scene->end, &scene->end.client, NULL), OK);
}

/* Goes round until *counter has reached n. */
static void wait_for(struct scene *scene, const int *counter, int n)
{
	for (int i = 0; i < ROUNDS && *counter < n; i++)
		assert_int_equal(loop_once(scene->loop, ROUND_MS), OK);
	assert_true(*counter >= n);
}

static void a_known_key_gets_in_under_its_name(void **state)
{
	struct scene *scene = *state;

	scene->echo = true;
	connect_as(scene, &scene->agency_key, scene->server_key.curve_public);
	assert_int_equal(wire_client_send(scene->end.client, "early", 5), ERR_CLOSED);
	wait_for(scene, &scene->end.ups, 1);
	assert_int_equal(wire_client_send(scene->end.client, "hello", 5), OK);
	wait_for(scene, &scene->end.messages, 1);
	assert_string_equal(scene->end.last, "hello");
	assert_string_equal(scene->got.user, "gm0344");
	assert_false(scene->got.parts);
	assert_int_equal(scene->end.downs, 0);
}

#define LONG_NAME "an agency with a name and a key of forty characters" /* as long as nothing that libzmq itself makes a message of */

static int without_memory; /* so many messages with that name */

/* Stands before libzmq's own. */
int zmq_msg_init_size(zmq_msg_t *message, size_t n)
{
	static int (*own)(zmq_msg_t *, size_t);

	if (own == NULL)
		*(void **)&own = dlsym(RTLD_NEXT, "zmq_msg_init_size");
	if (n == sizeof LONG_NAME - 1 && without_memory > 0) {
		without_memory--;
		errno = ENOMEM;
		return -1;
	}
	return own(message, n);
}

static void without_memory_for_an_answer_a_peer_comes_again(void **state)
{
	struct scene *scene = *state;

	scene->name = LONG_NAME;
	without_memory = 2;
	connect_as(scene, &scene->agency_key, scene->server_key.curve_public);
	wait_for(scene, &scene->end.ups, 1);
	assert_int_equal(without_memory, 0);
	assert_false(scene->end.given_up);
}

static void an_unknown_key_is_told_so_and_gives_up(void **state)
{
	struct scene *scene = *state;

	connect_as(scene, &scene->stranger_key, scene->server_key.curve_public);
	wait_for(scene, &scene->end.downs, 3);
	assert_int_equal(scene->end.why.code, ERR_DENIED);
	assert_non_null(strstr(scene->end.why.text, "does not know this agency's key"));
	assert_true(scene->end.given_up);
	assert_int_equal(scene->end.ups, 0);
	assert_int_equal(scene->n_got, 0);
}

static void a_broker_with_another_key_is_not_talked_to(void **state)
{
	struct scene *scene = *state;

	connect_as(scene, &scene->agency_key, scene->other_key.curve_public);
	wait_for(scene, &scene->end.downs, 1);
	assert_int_equal(scene->end.ups, 0);
	assert_int_equal(scene->end.why.code, ERR_DENIED);
}

static void a_vanished_peer_is_an_error_and_not_silence(void **state)
{
	struct scene *scene = *state;
	struct wire_peer peer;
	int rc = OK;

	connect_as(scene, &scene->agency_key, scene->server_key.curve_public);
	wait_for(scene, &scene->end.ups, 1);
	assert_int_equal(wire_client_send(scene->end.client, "x", 1), OK);
	wait_for(scene, &scene->n_got, 1);
	peer = scene->got.peer;
	wire_client_free(scene->end.client);
	scene->end.client = NULL;
	for (int i = 0; i < ROUNDS && rc != ERR_CLOSED; i++) {
		assert_int_equal(loop_once(scene->loop, 1), OK);
		rc = wire_send(scene->server, &peer, "y", 1);
	}
	assert_int_equal(rc, ERR_CLOSED);
	peer.id[0] ^= 0x55;
	assert_int_equal(wire_send(scene->server, &peer, "y", 1), ERR_CLOSED);
}

static void a_full_peer_is_told(void **state)
{
	struct scene *scene = *state;
	static uint8_t big[65536];
	int rc = OK;

	connect_as(scene, &scene->agency_key, scene->server_key.curve_public);
	wait_for(scene, &scene->end.ups, 1);
	assert_int_equal(wire_client_send(scene->end.client, "x", 1), OK);
	wait_for(scene, &scene->n_got, 1);
	/* The client reads nothing while its loop does not turn. */
	for (int i = 0; i < 10000 && !rc; i++)
		rc = wire_send(scene->server, &scene->got.peer, big, sizeof big);
	assert_int_equal(rc, ERR_AGAIN);
}

static void a_client_comes_back_without_old_messages(void **state)
{
	struct scene *scene = *state;
	char endpoint[128];

	connect_as(scene, &scene->agency_key, scene->server_key.curve_public);
	wait_for(scene, &scene->end.ups, 1);
	(void)snprintf(endpoint, sizeof endpoint, "%s", scene->endpoint);
	wire_message_release(&scene->got);
	wire_server_free(scene->server);
	scene->server = NULL;
	(void)wire_client_send(scene->end.client, "old", 3); /* whether or not the loss is known already */
	wait_for(scene, &scene->end.downs, 2);
	assert_false(wire_client_up(scene->end.client));
	open_server(scene, endpoint);
	wait_for(scene, &scene->end.ups, 2);
	assert_int_equal(wire_client_send(scene->end.client, "new", 3), OK);
	wait_for(scene, &scene->n_got, 1);
	assert_memory_equal(scene->got.bytes, "new", 3);
}

static void a_client_may_be_freed_by_its_handler(void **state)
{
	struct scene *scene = *state;

	scene->end.free_on_down = true;
	connect_as(scene, &scene->stranger_key, scene->server_key.curve_public);
	wait_for(scene, &scene->end.downs, 1);
	assert_null(scene->end.client);
	assert_int_equal(loop_once(scene->loop, 1), OK);
}

static void what_is_too_large_is_refused_before_it_is_sent(void **state)
{
	struct scene *scene = *state;
	uint8_t *big = calloc(1, (4 << 20) + 1);

	assert_non_null(big);
	connect_as(scene, &scene->agency_key, scene->server_key.curve_public);
	wait_for(scene, &scene->end.ups, 1);
	assert_int_equal(wire_client_send(scene->end.client, big, (4 << 20) + 1), ERR_TOOBIG);
	free(big);
}

static void a_second_endpoint_has_its_own_key(void **state)
{
	struct scene *scene = *state;
	char second[128];

	connect_as(scene, &scene->agency_key, scene->server_key.curve_public);
	wait_for(scene, &scene->end.ups, 1);
	assert_int_equal(wire_bind(scene->server, "tcp://127.0.0.1:*", &scene->other_key, second, sizeof second, NULL), OK);
	assert_string_not_equal(second, scene->endpoint);
	/* The first connection goes on. */
	assert_int_equal(wire_client_send(scene->end.client, "still", 5), OK);
	wait_for(scene, &scene->n_got, 1);
	wire_client_free(scene->end.client);
	/* The first endpoint keeps the old key, the second has the new one. */
	connect_as(scene, &scene->agency_key, scene->server_key.curve_public);
	wait_for(scene, &scene->end.ups, 2);
	wire_client_free(scene->end.client);
	(void)snprintf(scene->endpoint, sizeof scene->endpoint, "%s", second);
	connect_as(scene, &scene->agency_key, scene->other_key.curve_public);
	wait_for(scene, &scene->end.ups, 3);
}

static void a_taken_address_is_named(void **state)
{
	struct scene *scene = *state;
	struct err err;
	char room[128];

	assert_int_equal(wire_bind(scene->server, scene->endpoint, &scene->server_key, room, sizeof room, &err), ERR_BUSY);
	assert_non_null(strstr(err.text, scene->endpoint));
	assert_int_equal(wire_bind(scene->server, "ipc:///tmp/x", &scene->server_key, room, sizeof room, &err), ERR_INVALID);
	assert_int_equal(wire_bind(scene->server, "tcp://nowhere.invalid:x", &scene->server_key, room, sizeof room, &err), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_known_key_gets_in_under_its_name, setup, teardown),
		cmocka_unit_test_setup_teardown(without_memory_for_an_answer_a_peer_comes_again, setup, teardown),
		cmocka_unit_test_setup_teardown(an_unknown_key_is_told_so_and_gives_up, setup, teardown),
		cmocka_unit_test_setup_teardown(a_broker_with_another_key_is_not_talked_to, setup, teardown),
		cmocka_unit_test_setup_teardown(a_vanished_peer_is_an_error_and_not_silence, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_peer_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(a_client_comes_back_without_old_messages, setup, teardown),
		cmocka_unit_test_setup_teardown(a_client_may_be_freed_by_its_handler, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_too_large_is_refused_before_it_is_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(a_second_endpoint_has_its_own_key, setup, teardown),
		cmocka_unit_test_setup_teardown(a_taken_address_is_named, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
