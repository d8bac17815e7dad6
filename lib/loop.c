#include "lib/loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/clock.h"

struct watch {
	int fd;                   /* -1: removed in this round */
	unsigned events;
	loop_fd_fn *fn;
	void *context;
};
struct source {
	loop_ready_fn *ready;     /* NULL: removed in this round */
	loop_work_fn *work;
	void *context;
};

/* Arrays only shrink between rounds, so that a callback may remove what the round is still going to look at. */
struct loop {
	struct watch *watches;
	struct pollfd *polls;     /* beside watches, same index */
	size_t n_watches, room;
	struct source *sources;
	size_t n_sources, sources_room;
	struct loop_timer **timers;   /* unordered: there are few, and a scan of pointers costs less than keeping order */
	size_t n_timers, timers_room;
	int signal_fd;
	void (*signal_fn)(void *, int);
	void *signal_context;
	bool stopping, dirty;
};

int loop_new(struct loop **ret_loop, struct err *err)
{
	struct loop *loop = calloc(1, sizeof *loop);

	if (!loop)
		return err_set(err, ERR_NOMEM, "no memory for the event loop");
	loop->signal_fd = -1;
	*ret_loop = loop;
	return OK;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	for (size_t i = 0; i < loop->n_timers; i++)
		loop->timers[i]->set = false;
	if (loop->signal_fd >= 0)
		(void)close(loop->signal_fd); /* only read from: nothing to lose */
	free(loop->watches);
	free(loop->polls);
	free(loop->sources);
	free(loop->timers);
	free(loop);
}

/* Room for one more in an array that may have at most `max`. */
static int grow(void *array, size_t *room, size_t n, size_t size, size_t max)
{
	void *items, *more;
	size_t wanted;

	if (n < *room)
		return OK;
	wanted = *room ? *room * 2 : 16;
	memcpy(&items, array, sizeof items); /* any pointer type: a cast would break aliasing */
	more = n < max ? realloc(items, wanted * size) : NULL;
	if (!more)
		return ERR_NOMEM;
	memcpy(array, &more, sizeof more);
	*room = wanted;
	return OK;
}

/* --- descriptors ---------------------------------------------------------------------------------------------------- */

static struct watch *find_watch(struct loop *loop, int fd)
{
	for (size_t i = 0; i < loop->n_watches; i++)
		if (loop->watches[i].fd == fd && fd >= 0)
			return &loop->watches[i];
	return NULL;
}

int loop_add(struct loop *loop, int fd, unsigned events, loop_fd_fn *fn, void *context)
{
	size_t room = loop->room;

	if (fd < 0)
		return ERR_INVALID;
	if (find_watch(loop, fd))
		return ERR_EXISTS;
	if (grow(&loop->watches, &room, loop->n_watches, sizeof *loop->watches, LOOP_FDS_MAX))
		return ERR_NOMEM;
	if (room != loop->room) {
		struct pollfd *polls = realloc(loop->polls, room * sizeof *polls);

		if (!polls)
			return ERR_NOMEM; /* watches is larger than it says: harmless */
		loop->polls = polls;
		loop->room = room;
	}
	loop->polls[loop->n_watches] = (struct pollfd){ .fd = -1 }; /* not part of the round that is on */
	loop->watches[loop->n_watches++] = (struct watch){ fd, events, fn, context };
	return OK;
}

void loop_change(struct loop *loop, int fd, unsigned events)
{
	struct watch *watch = find_watch(loop, fd);

	if (watch)
		watch->events = events;
}

void loop_remove(struct loop *loop, int fd)
{
	struct watch *watch = find_watch(loop, fd);

	if (watch) {
		watch->fd = -1;
		loop->dirty = true;
	}
}

/* --- sources -------------------------------------------------------------------------------------------------------- */

int loop_add_ready(struct loop *loop, loop_ready_fn *ready, loop_work_fn *work, void *context)
{
	if (grow(&loop->sources, &loop->sources_room, loop->n_sources, sizeof *loop->sources, LOOP_READY_MAX))
		return ERR_NOMEM;
	loop->sources[loop->n_sources++] = (struct source){ ready, work, context };
	return OK;
}

void loop_remove_ready(struct loop *loop, void *context)
{
	for (size_t i = 0; i < loop->n_sources; i++)
		if (loop->sources[i].context == context) {
			loop->sources[i].ready = NULL;
			loop->dirty = true;
		}
}

/* --- timers --------------------------------------------------------------------------------------------------------- */

int loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t ms)
{
	timer->at = clock_monotonic_ms() + (ms > 0 ? ms : 0);
	if (timer->set)
		return OK;
	if (grow(&loop->timers, &loop->timers_room, loop->n_timers, sizeof(struct loop_timer *), LOOP_TIMERS_MAX))
		return ERR_NOMEM;
	loop->timers[loop->n_timers++] = timer;
	timer->set = true;
	return OK;
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
	if (!timer->set)
		return;
	for (size_t i = 0; i < loop->n_timers; i++)
		if (loop->timers[i] == timer) {
			loop->timers[i] = loop->timers[--loop->n_timers];
			break;
		}
	timer->set = false;
}

static struct loop_timer *first_timer(const struct loop *loop)
{
	struct loop_timer *first = NULL;

	for (size_t i = 0; i < loop->n_timers; i++)
		if (!first || loop->timers[i]->at < first->at)
			first = loop->timers[i];
	return first;
}

/* Those due when the round began; one that sets itself again with 0 waits for the next round, so that it cannot hold the loop. */
static void run_timers(struct loop *loop)
{
	const int64_t now = clock_monotonic_ms();
	size_t bound = loop->n_timers;

	for (struct loop_timer *timer; bound-- > 0 && (timer = first_timer(loop)) && timer->at <= now;) {
		loop_timer_stop(loop, timer);
		timer->fn(timer->context);
	}
}

/* --- signals -------------------------------------------------------------------------------------------------------- */

static void on_signal(void *context, int fd, unsigned events)
{
	struct loop *loop = context;
	struct signalfd_siginfo info;

	(void)events;
	while (read(fd, &info, sizeof info) == (ssize_t)sizeof info)
		loop->signal_fn(loop->signal_context, (int)info.ssi_signo);
}

int loop_signals(struct loop *loop, const int *signals, size_t n, void (*fn)(void *, int), void *context, struct err *err)
{
	sigset_t set;

	(void)sigemptyset(&set); /* cannot fail */
	for (size_t i = 0; i < n; i++)
		if (sigaddset(&set, signals[i]))
			return err_set(err, ERR_INVALID, "signal %d does not exist", signals[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return err_errno(err, ERR_IO, "blocking signals failed");
	loop->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (loop->signal_fd < 0)
		return err_errno(err, ERR_IO, "signalfd failed");
	loop->signal_fn = fn;
	loop->signal_context = context;
	if (loop_add(loop, loop->signal_fd, LOOP_READ, on_signal, loop))
		return err_set(err, ERR_NOMEM, "no memory for the event loop");
	return OK;
}

void loop_child_reset(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL); /* fails for KILL, STOP and the library's own: those are at their defaults anyway */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL); /* arguments are right, so it cannot fail */
}

/* --- rounds --------------------------------------------------------------------------------------------------------- */

static void compact(struct loop *loop)
{
	size_t n = 0;

	if (!loop->dirty)
		return;
	for (size_t i = 0; i < loop->n_watches; i++)
		if (loop->watches[i].fd >= 0)
			loop->watches[n++] = loop->watches[i];
	loop->n_watches = n;
	n = 0;
	for (size_t i = 0; i < loop->n_sources; i++)
		if (loop->sources[i].ready)
			loop->sources[n++] = loop->sources[i];
	loop->n_sources = n;
	loop->dirty = false;
}

static int wait_ms(const struct loop *loop, int timeout_ms)
{
	const struct loop_timer *timer = first_timer(loop);
	int64_t ms = timeout_ms;

	for (size_t i = 0; i < loop->n_sources; i++)
		if (loop->sources[i].ready && loop->sources[i].ready(loop->sources[i].context))
			return 0;
	if (timer) {
		int64_t left = timer->at - clock_monotonic_ms();

		left = left < 0 ? 0 : left;
		ms = ms < 0 || left < ms ? left : ms;
	}
	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

static void run_sources(struct loop *loop)
{
	const size_t n = loop->n_sources;

	for (size_t i = 0; i < n && !loop->stopping; i++) {
		const struct source source = loop->sources[i];

		if (source.ready && source.ready(source.context))
			source.work(source.context);
	}
}

static void run_watches(struct loop *loop, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct watch watch = loop->watches[i];
		const short revents = loop->polls[i].fd == watch.fd ? loop->polls[i].revents : 0;
		unsigned events = 0;

		if (watch.fd < 0 || !revents)
			continue;
		events |= revents & POLLIN ? LOOP_READ : 0;
		events |= revents & POLLOUT ? LOOP_WRITE : 0;
		events |= revents & (POLLHUP | POLLERR | POLLNVAL) ? LOOP_HANGUP : 0;
		events &= watch.events | LOOP_HANGUP; /* an earlier callback of this round may have paused it */
		if (events && watch.events)
			watch.fn(watch.context, watch.fd, events);
	}
}

int loop_once(struct loop *loop, int timeout_ms)
{
	size_t n;
	int rc;

	compact(loop);
	n = loop->n_watches;
	for (size_t i = 0; i < n; i++) {
		const struct watch *watch = &loop->watches[i];

		loop->polls[i] = (struct pollfd){ .fd = watch->events ? watch->fd : -1 };
		loop->polls[i].events = (short)((watch->events & LOOP_READ ? POLLIN : 0) | (watch->events & LOOP_WRITE ? POLLOUT : 0));
	}
	rc = poll(loop->polls, n, wait_ms(loop, timeout_ms));
	if (rc < 0 && errno != EINTR)
		return ERR_IO;
	run_timers(loop);
	if (rc > 0)
		run_watches(loop, n);
	run_sources(loop);
	return OK;
}

int loop_run(struct loop *loop)
{
	int rc = OK;

	while (!loop->stopping && !rc)
		rc = loop_once(loop, -1);
	return rc;
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
}

bool loop_stopping(const struct loop *loop)
{
	return loop->stopping;
}
