/* Proves that the control socket answers requests in their order, holds a slow reader back, tells of one that went away, is closed to others by its
 * permissions, and takes over from a dead process but not from a live one. */
#include "lib/control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS 1000
#define BIG 60000

struct scene {
	struct loop *loop;
	struct control *control;
	char directory[64], path[96];
	struct control_call *call;
	char asked[8][64];
	int n_asked, n_gone, n_drained;
	bool hold;
};

static void on_request(void *context, struct control_call *call, const char *line, size_t n)
{
	struct scene *scene = context;

	assert_int_equal(strlen(line), n);
	if (scene->n_asked < 8)
		(void)snprintf(scene->asked[scene->n_asked], sizeof scene->asked[0], "%s", line);
	scene->n_asked++;
	scene->call = call;
	if (scene->hold)
		return;
	if (!strcmp(line, "bad")) {
		control_end(call, "refused", "say \"what\" to do");
		return;
	}
	assert_int_equal(control_printf(call, "{\"echo\":\"%s\"}", line), OK);
	control_end(call, NULL, NULL);
}

static void on_drained(void *context, struct control_call *call)
{
	struct scene *scene = context;

	assert_ptr_equal(call, scene->call);
	scene->n_drained++;
}

static void on_gone(void *context, struct control_call *call)
{
	struct scene *scene = context;

	assert_ptr_equal(call, scene->call);
	scene->n_gone++;
}

static const struct control_handlers handlers = { on_request, on_drained, on_gone };

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof *scene);

	assert_non_null(scene);
	(void)snprintf(scene->directory, sizeof scene->directory, "/tmp/test_control.XXXXXX");
	assert_non_null(mkdtemp(scene->directory));
	(void)snprintf(scene->path, sizeof scene->path, "%s/sock", scene->directory);
	assert_int_equal(loop_new(&scene->loop, NULL), OK);
	assert_int_equal(control_new(scene->loop, scene->path, 0600, &handlers, scene, &scene->control, NULL), OK);
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	control_free(scene->control);
	loop_free(scene->loop);
	assert_int_equal(access(scene->path, F_OK), -1);
	assert_int_equal(rmdir(scene->directory), 0);
	free(scene);
	return 0;
}

static struct control_client ask(struct scene *scene, const char *line)
{
	struct control_client client;

	assert_int_equal(control_connect(scene->path, &client, NULL), OK);
	assert_int_equal(control_ask(&client, line, strlen(line), NULL), OK);
	return client;
}

/* The next line of the reply, while the loop turns. */
static int next(struct scene *scene, struct control_client *client, const char **line, struct err *err)
{
	size_t n;
	int rc = ERR_AGAIN;

	for (int i = 0; i < ROUNDS && rc == ERR_AGAIN; i++) {
		assert_int_equal(loop_once(scene->loop, 1), OK);
		rc = control_next(client, 0, line, &n, err);
	}
	return rc;
}

static void requests_are_answered_in_order(void **state)
{
	struct scene *scene = *state;
	struct control_client client = ask(scene, "one\ntwo\nbad\nthree");
	struct err err;
	const char *line;

	assert_int_equal(next(scene, &client, &line, &err), OK);
	assert_string_equal(line, "{\"echo\":\"one\"}");
	assert_int_equal(next(scene, &client, &line, &err), ERR_NOTFOUND);
	assert_int_equal(next(scene, &client, &line, &err), OK);
	assert_string_equal(line, "{\"echo\":\"two\"}");
	assert_int_equal(next(scene, &client, &line, &err), ERR_NOTFOUND);
	assert_int_equal(next(scene, &client, &line, &err), ERR_INVALID);
	assert_string_equal(err.text, "refused: say \"what\" to do");
	assert_int_equal(next(scene, &client, &line, &err), OK);
	assert_string_equal(line, "{\"echo\":\"three\"}");
	assert_int_equal(scene->n_asked, 4);
	control_close(&client);
}

static void an_answer_may_come_later_and_holds_the_next_request(void **state)
{
	struct scene *scene = *state;
	struct control_client client;
	struct err err;
	const char *line;

	scene->hold = true;
	client = ask(scene, "one\ntwo");
	for (int i = 0; i < 20; i++)
		assert_int_equal(loop_once(scene->loop, 1), OK);
	assert_int_equal(scene->n_asked, 1);
	assert_int_equal(control_uid(scene->call), getuid());
	scene->hold = false;
	control_end(scene->call, NULL, NULL);
	assert_int_equal(next(scene, &client, &line, &err), ERR_NOTFOUND);
	assert_int_equal(next(scene, &client, &line, &err), OK);
	assert_string_equal(line, "{\"echo\":\"two\"}");
	control_close(&client);
}

static void a_slow_reader_is_held_back_and_told(void **state)
{
	struct scene *scene = *state;
	static char big[BIG + 1];
	struct control_client client;
	struct err err;
	const char *line;
	int sent = 0, read_lines = 0, rc;

	memset(big, 'x', BIG);
	scene->hold = true;
	client = ask(scene, "much");
	while (!scene->call)
		assert_int_equal(loop_once(scene->loop, 1), OK);
	while (!(rc = control_line(scene->call, big, BIG)))
		sent++;
	assert_int_equal(rc, ERR_AGAIN);
	assert_in_range(sent, 1, CONTROL_OUT_MAX / BIG + 1);
	while (read_lines < sent) {
		assert_int_equal(next(scene, &client, &line, &err), OK);
		read_lines++;
	}
	assert_int_equal(scene->n_drained, 1);
	control_end(scene->call, NULL, NULL);
	assert_int_equal(next(scene, &client, &line, &err), ERR_NOTFOUND);
	control_close(&client);
}

static void one_that_goes_away_is_told(void **state)
{
	struct scene *scene = *state;
	struct control_client client;

	scene->hold = true;
	client = ask(scene, "follow");
	while (!scene->call)
		assert_int_equal(loop_once(scene->loop, 1), OK);
	control_close(&client);
	for (int i = 0; i < ROUNDS && !scene->n_gone; i++)
		assert_int_equal(loop_once(scene->loop, 1), OK);
	assert_int_equal(scene->n_gone, 1);
}

static void an_endless_line_ends_the_connection(void **state)
{
	struct scene *scene = *state;
	static char big[BIG];
	struct control_client client;
	ssize_t n = 1;

	memset(big, 'x', BIG);
	assert_int_equal(control_connect(scene->path, &client, NULL), OK);
	for (int i = 0; i < ROUNDS && n > 0; i++) {
		n = send(client.fd, big, BIG, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			n = 1; /* full for now: the loop reads */
		assert_int_equal(loop_once(scene->loop, 1), OK);
		if (recv(client.fd, big, 1, MSG_DONTWAIT) == 0)
			n = 0;
	}
	assert_int_equal(n, 0);
	assert_int_equal(scene->n_asked, 0);
	control_close(&client);
}

static void connections_are_bounded(void **state)
{
	struct scene *scene = *state;
	struct control_client clients[CONTROL_CONNECTIONS_MAX + 1];
	char byte;

	for (int i = 0; i <= CONTROL_CONNECTIONS_MAX; i++) {
		assert_int_equal(control_connect(scene->path, &clients[i], NULL), OK);
		assert_int_equal(loop_once(scene->loop, 10), OK);
	}
	assert_int_equal(recv(clients[CONTROL_CONNECTIONS_MAX].fd, &byte, 1, 0), 0);
	assert_int_equal(recv(clients[0].fd, &byte, 1, MSG_DONTWAIT), -1);
	for (int i = 0; i <= CONTROL_CONNECTIONS_MAX; i++)
		control_close(&clients[i]);
}

static void permissions_protect_it(void **state)
{
	struct scene *scene = *state;
	struct stat st;

	assert_int_equal(stat(scene->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_live_socket_is_not_taken_a_dead_one_is(void **state)
{
	struct scene *scene = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct control *other = NULL;
	struct err err;
	int fd;

	assert_int_equal(control_new(scene->loop, scene->path, 0600, &handlers, scene, &other, &err), ERR_BUSY);
	assert_int_equal(access(scene->path, F_OK), 0);
	control_free(scene->control);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", scene->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	close(fd);
	assert_int_equal(control_new(scene->loop, scene->path, 0600, &handlers, scene, &scene->control, &err), OK);
}

static void nobody_listening_is_said_so(void **state)
{
	struct scene *scene = *state;
	struct control_client client;
	struct err err;
	char path[160];

	(void)snprintf(path, sizeof path, "%s/none", scene->directory);
	assert_int_equal(control_connect(path, &client, &err), ERR_NOTFOUND);
	assert_non_null(strstr(err.text, "is the daemon running"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(requests_are_answered_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(an_answer_may_come_later_and_holds_the_next_request, setup, teardown),
		cmocka_unit_test_setup_teardown(a_slow_reader_is_held_back_and_told, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_goes_away_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(an_endless_line_ends_the_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(connections_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(permissions_protect_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_live_socket_is_not_taken_a_dead_one_is, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_listening_is_said_so, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
