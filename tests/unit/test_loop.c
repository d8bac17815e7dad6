/* Proves that the loop calls timers in order of time, tells descriptors, signals and ready sources, and bears removal from within a callback. */
#include "lib/loop.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct scene {
	struct loop *loop;
	struct loop_timer timers[4];
	int order[8], n;
	int fds[2], more[2];
	int ready_left, told_signal;
};

static int setup(void **state)
{
	static struct scene scene;

	memset(&scene, 0, sizeof scene);
	assert_int_equal(loop_new(&scene.loop, NULL), OK);
	assert_int_equal(pipe(scene.fds), 0);
	assert_int_equal(pipe(scene.more), 0);
	*state = &scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	loop_free(scene->loop);
	for (int i = 0; i < 2; i++) {
		close(scene->fds[i]);
		close(scene->more[i]);
	}
	return 0;
}

struct named { struct scene *scene; int name; };

static void note(void *context)
{
	const struct named *named = context;

	named->scene->order[named->scene->n++] = named->name;
}

static void timers_fire_in_order(void **state)
{
	struct scene *scene = *state;
	struct named names[3] = { { scene, 1 }, { scene, 2 }, { scene, 3 } };

	for (int i = 0; i < 3; i++)
		scene->timers[i] = (struct loop_timer){ .fn = note, .context = &names[i] };
	assert_int_equal(loop_timer_set(scene->loop, &scene->timers[0], 30), OK);
	assert_int_equal(loop_timer_set(scene->loop, &scene->timers[1], 1), OK);
	assert_int_equal(loop_timer_set(scene->loop, &scene->timers[2], 15), OK);
	while (scene->n < 3)
		assert_int_equal(loop_once(scene->loop, 1000), OK);
	assert_int_equal(scene->order[0], 2);
	assert_int_equal(scene->order[1], 3);
	assert_int_equal(scene->order[2], 1);
}

static void a_stopped_timer_is_silent_and_a_set_one_moves(void **state)
{
	struct scene *scene = *state;
	struct named names[2] = { { scene, 1 }, { scene, 2 } };

	for (int i = 0; i < 2; i++)
		scene->timers[i] = (struct loop_timer){ .fn = note, .context = &names[i] };
	loop_timer_set(scene->loop, &scene->timers[0], 1);
	loop_timer_set(scene->loop, &scene->timers[1], 1000000);
	loop_timer_set(scene->loop, &scene->timers[1], 2);
	loop_timer_stop(scene->loop, &scene->timers[0]);
	assert_false(scene->timers[0].set);
	while (scene->n < 1)
		assert_int_equal(loop_once(scene->loop, 1000), OK);
	assert_int_equal(scene->order[0], 2);
	assert_int_equal(loop_once(scene->loop, 5), OK);
	assert_int_equal(scene->n, 1);
}

static void again(void *context)
{
	struct scene *scene = context;

	scene->n++;
	loop_timer_set(scene->loop, &scene->timers[0], 0);
}

static void a_timer_that_sets_itself_fires_once_a_round(void **state)
{
	struct scene *scene = *state;

	scene->timers[0] = (struct loop_timer){ .fn = again, .context = scene };
	loop_timer_set(scene->loop, &scene->timers[0], 0);
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(loop_once(scene->loop, 1000), OK);
		assert_int_equal(scene->n, i);
	}
	loop_timer_stop(scene->loop, &scene->timers[0]);
}

static void on_readable(void *context, int fd, unsigned events)
{
	struct scene *scene = context;
	char byte;

	assert_true(events & LOOP_READ);
	assert_int_equal(read(fd, &byte, 1), 1);
	scene->n++;
}

static void a_descriptor_is_told_until_it_is_paused(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(loop_add(scene->loop, scene->fds[0], LOOP_READ, on_readable, scene), OK);
	assert_int_equal(loop_add(scene->loop, scene->fds[0], LOOP_READ, on_readable, scene), ERR_EXISTS);
	assert_int_equal(write(scene->fds[1], "ab", 2), 2);
	loop_once(scene->loop, 1000);
	assert_int_equal(scene->n, 1);
	loop_change(scene->loop, scene->fds[0], 0);
	loop_once(scene->loop, 1);
	assert_int_equal(scene->n, 1);
	loop_change(scene->loop, scene->fds[0], LOOP_READ);
	loop_once(scene->loop, 1000);
	assert_int_equal(scene->n, 2);
}

static void remove_both(void *context, int fd, unsigned events)
{
	struct scene *scene = context;

	(void)fd;
	(void)events;
	scene->n++;
	loop_remove(scene->loop, scene->fds[0]);
	loop_remove(scene->loop, scene->more[0]);
}

static void a_callback_may_remove_another_that_is_ready_too(void **state)
{
	struct scene *scene = *state;

	loop_add(scene->loop, scene->fds[0], LOOP_READ, remove_both, scene);
	loop_add(scene->loop, scene->more[0], LOOP_READ, remove_both, scene);
	assert_int_equal(write(scene->fds[1], "a", 1), 1);
	assert_int_equal(write(scene->more[1], "a", 1), 1);
	loop_once(scene->loop, 1000);
	loop_once(scene->loop, 1);
	assert_int_equal(scene->n, 1);
	assert_int_equal(loop_add(scene->loop, scene->fds[0], LOOP_READ, on_readable, scene), OK);
	loop_once(scene->loop, 1000);
	assert_int_equal(scene->n, 2);
}

static void on_hangup(void *context, int fd, unsigned events)
{
	struct scene *scene = context;

	assert_true(events & LOOP_HANGUP);
	loop_remove(scene->loop, fd);
	scene->n++;
}

static void a_hangup_is_told_unasked(void **state)
{
	struct scene *scene = *state;

	loop_add(scene->loop, scene->fds[1], LOOP_WRITE, on_hangup, scene);
	close(scene->fds[0]);
	loop_once(scene->loop, 1000);
	assert_int_equal(scene->n, 1);
	assert_int_equal(pipe(scene->more), 0); /* so that teardown closes what is open */
	scene->fds[0] = scene->more[0];
}

static bool is_ready(void *context)
{
	return ((struct scene *)context)->ready_left > 0;
}

static void on_ready(void *context)
{
	((struct scene *)context)->ready_left--;
}

static void a_ready_source_keeps_the_loop_from_waiting(void **state)
{
	struct scene *scene = *state;

	scene->ready_left = 3;
	assert_int_equal(loop_add_ready(scene->loop, is_ready, on_ready, scene), OK);
	for (int left = 2; left >= 0; left--) {
		assert_int_equal(loop_once(scene->loop, -1), OK);
		assert_int_equal(scene->ready_left, left);
	}
	scene->ready_left = 1;
	loop_remove_ready(scene->loop, scene);
	loop_once(scene->loop, 1);
	assert_int_equal(scene->ready_left, 1);
}

static void on_signal(void *context, int number)
{
	struct scene *scene = context;

	scene->told_signal = number;
	loop_stop(scene->loop);
}

static void a_signal_is_told_and_stops_the_loop(void **state)
{
	struct scene *scene = *state;
	const int signals[] = { SIGUSR1, SIGUSR2 };

	assert_int_equal(loop_signals(scene->loop, signals, 2, on_signal, scene, NULL), OK);
	raise(SIGUSR2);
	assert_int_equal(loop_run(scene->loop), OK);
	assert_int_equal(scene->told_signal, SIGUSR2);
	assert_true(loop_stopping(scene->loop));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(timers_fire_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stopped_timer_is_silent_and_a_set_one_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(a_timer_that_sets_itself_fires_once_a_round, setup, teardown),
		cmocka_unit_test_setup_teardown(a_descriptor_is_told_until_it_is_paused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_callback_may_remove_another_that_is_ready_too, setup, teardown),
		cmocka_unit_test_setup_teardown(a_hangup_is_told_unasked, setup, teardown),
		cmocka_unit_test_setup_teardown(a_ready_source_keeps_the_loop_from_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(a_signal_is_told_and_stops_the_loop, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
