/* A command for each event that arrives: the event in JSON on stdin, no shell, one at a time for a case, again with growing pauses
 * while it fails, and given up visibly in the end. At least once: a command that we do not see ending runs again. */
#include "agents/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/id.h"
#include "lib/log.h"
#include "lib/pb.h"

#define EXEC_RUNS_MAX 64
#define EXEC_SCAN_MAX 4096          /* waiting events looked at to find some that may start */
#define EXEC_BLOCKED_MAX 512        /* cases that wait for an earlier event of theirs */
#define EXEC_BACKOFF_MAX INT64_C(3600000)
#define STATUS_NOT_STARTED (-1)
#define STATUS_TIMED_OUT (-2)

struct run {
	struct exec *exec;
	pid_t pid;                      /* 0: free */
	int fd;                         /* pidfd */
	uint64_t sequence;
	char subject[REF_MAX + 1];
	bool timed_out;
	struct loop_timer timeout;
};
struct exec {
	struct agent *agent;
	struct run runs[EXEC_RUNS_MAX];
	size_t n_runs;
	struct loop_timer wake;         /* the earliest retry */
	bool look;                      /* something may be ready to start */
	uint64_t waiting, given_up;
};

/* Pauses are meant in real time, also where the agency's clock is a simulated one. */
static moment real_now(void)
{
	struct clock clock;
	clock_system(&clock);
	return clock_now(&clock);
}

/* --- the queue ------------------------------------------------------------------------------------------------------------- */

static int put_work(struct agent *agent, uint64_t sequence, const Reentry__AgentWork *work)
{
	uint8_t key[DB_KEY_MAX], *bytes;
	size_t n;
	int r = pb_pack(work, &agent->turn.arena, &bytes, &n);
	return r == OK ? db_put(turn_txn(agent), TABLE_EXEC, key, db_key(key, "q", sequence), bytes, n) : r;
}

static int get_work(struct agent *agent, uint64_t sequence, Reentry__AgentWork **ret_work)
{
	uint8_t key[DB_KEY_MAX];
	struct db_value value;
	int r = db_get(turn_txn(agent), TABLE_EXEC, key, db_key(key, "q", sequence), &value);
	return r == OK ? pb_unpack_own(&reentry__agent_work__descriptor, value.bytes, value.n, &agent->turn.arena, ret_work) : r;
}

static void drop_work(struct agent *agent, uint64_t sequence)
{
	uint8_t key[DB_KEY_MAX];
	(void)db_del(turn_txn(agent), TABLE_EXEC, key, db_key(key, "q", sequence)); /* remembered by the transaction */
}

static void look_again(struct agent *agent, void *context, uint64_t n, int result)
{
	(void)context;
	(void)n;
	(void)result;
	if (agent->exec != NULL)
		agent->exec->look = true;
}

void exec_queue(struct agent *agent, uint64_t sequence, const char *subject)
{
	Reentry__AgentWork work = REENTRY__AGENT_WORK__INIT;
	if (agent->exec == NULL)
		return;
	work.subject = arena_strdup(&agent->turn.arena, subject);
	if (work.subject == NULL || put_work(agent, sequence, &work) != OK) {
		if (turn_txn(agent)->error == OK)
			turn_txn(agent)->error = ERR_NOMEM; /* then it is not acknowledged either */
		return;
	}
	agent->exec->waiting++;
	turn_after(agent, look_again, NULL, 0);
}

int exec_retry(struct agent *agent, uint64_t sequence)
{
	Reentry__AgentWork *work;
	if (agent->exec == NULL || get_work(agent, sequence, &work) != OK || !work->given_up)
		return ERR_NOTFOUND;
	work->has_given_up = work->given_up = false;
	work->has_attempts = work->has_next_at = false;
	work->attempts = 0;
	work->next_at = 0;
	int r = put_work(agent, sequence, work);
	agent->exec->given_up--;
	agent->exec->waiting++;
	turn_after(agent, look_again, NULL, 0);
	return r;
}

void exec_done(struct agent *agent, uint64_t sequence)
{
	Reentry__AgentWork *work;
	if (agent->exec == NULL || get_work(agent, sequence, &work) != OK || !work->given_up)
		return;
	drop_work(agent, sequence);
	agent->exec->given_up--;
}

/* --- one run ----------------------------------------------------------------------------------------------------------------- */

static int64_t backoff(const struct exec_config *config, uint32_t attempts)
{
	int64_t pause = config->backoff;
	for (uint32_t i = 1; i < attempts && pause < EXEC_BACKOFF_MAX; i++)
		pause *= 2;
	return pause < EXEC_BACKOFF_MAX ? pause : EXEC_BACKOFF_MAX;
}

/* What came of an attempt: the event leaves the queue, waits for the next attempt, or is given up. */
static void settle(struct exec *exec, uint64_t sequence, int status)
{
	struct agent *agent = exec->agent;
	const struct exec_config *config = &agent->config.exec;
	Reentry__AgentWork *work;
	exec->look = true;
	if (get_work(agent, sequence, &work) != OK)
		return; /* purged meanwhile */
	if (status == 0) {
		drop_work(agent, sequence);
		exec->waiting--;
		if (config->done)
			(void)inbox_done(agent, sequence); /* errors are remembered by the transaction */
		inbox_passed_on(agent, sequence);
		return;
	}
	work->has_attempts = work->has_status = true;
	work->attempts++;
	work->status = status;
	if (work->attempts >= (uint32_t)config->attempts) {
		work->has_given_up = work->given_up = true;
		exec->waiting--;
		exec->given_up++;
		log_error("sequence=%llu exec=given-up attempts=%u status=%d effect=\"see reentry status; reentry retry tries again\"", (unsigned long long)sequence,
		          work->attempts, status);
	} else {
		work->has_next_at = true;
		work->next_at = real_now() + backoff(config, work->attempts);
		log_warn("sequence=%llu exec=failed attempt=%u status=%d", (unsigned long long)sequence, work->attempts, status);
	}
	(void)put_work(agent, sequence, work); /* remembered by the transaction */
}

static void end_run(struct run *run)
{
	struct exec *exec = run->exec;
	loop_timer_stop(exec->agent->loop, &run->timeout);
	if (run->fd >= 0) {
		loop_remove(exec->agent->loop, run->fd);
		(void)close(run->fd); /* a pidfd: nothing to lose */
	}
	run->pid = 0;
	run->fd = -1;
	exec->n_runs--;
}

static void on_exit_of(void *context, int fd, unsigned events)
{
	struct run *run = context;
	int status = 0;
	(void)fd;
	(void)events;
	if (waitpid(run->pid, &status, WNOHANG) == 0)
		return;
	/* What it left running in its group must not outlive it. */
	(void)kill(-run->pid, SIGKILL);
	int outcome = run->timed_out ? STATUS_TIMED_OUT : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	end_run(run);
	settle(run->exec, run->sequence, outcome);
}

static void on_timeout(void *context)
{
	struct run *run = context;
	run->timed_out = true;
	(void)kill(-run->pid, SIGKILL); /* its end is told by the pidfd */
}

/* The event as a file in memory: whatever the command reads of it, and when, we never wait. */
static int input_of(struct agent *agent, struct db_txn *txn, uint64_t sequence)
{
	struct inbox_line line;
	struct buf json;
	int fd = -1;
	buf_init(&json);
	if (inbox_line_read(agent, txn, sequence, &agent->turn.arena, &line) == OK && inbox_line_write(agent, txn, &line, &agent->turn.arena, &json) == OK &&
	    buf_text(&json, "\n") == OK)
		fd = memfd_create("event", MFD_CLOEXEC);
	if (fd >= 0 && (write(fd, json.bytes, json.n) != (ssize_t)json.n || lseek(fd, 0, SEEK_SET) != 0)) {
		(void)close(fd);
		fd = -1;
	}
	buf_release(&json);
	return fd;
}

static int spawn(const struct exec_config *config, int input, uint64_t sequence, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	char number[64], path[] = "PATH=/usr/local/bin:/usr/bin:/bin", lang[] = "LANG=C.UTF-8";
	char *environment[] = {path, lang, number, NULL}, *arguments[65] = {0};
	(void)snprintf(number, sizeof number, "REENTRY_SEQUENCE=%020llu", (unsigned long long)sequence); /* fits */
	for (size_t i = 0; i < config->command.n && i < 64; i++)
		arguments[i] = config->command.items[i];
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	if (posix_spawn_file_actions_init(&actions) != 0)
		return ERR_NOMEM;
	if (posix_spawnattr_init(&attributes) != 0) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return ERR_NOMEM;
	}
	int r = posix_spawn_file_actions_adddup2(&actions, input, 0);
	r = r != 0 ? r : posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	if (!config->errors)
		r = r != 0 ? r : posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	r = r != 0 ? r : posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	r = r != 0 ? r : posix_spawnattr_setsigmask(&attributes, &none);
	r = r != 0 ? r : posix_spawnattr_setsigdefault(&attributes, &all);
	r = r != 0 ? r : posix_spawnattr_setpgroup(&attributes, 0);
	r = r != 0 ? r : posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	r = r != 0 ? r : posix_spawn(ret_pid, config->command.items[0], &actions, &attributes, arguments, environment);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	return r == 0 ? OK : ERR_IO;
}

static void start(struct exec *exec, struct db_txn *txn, uint64_t sequence, const char *subject)
{
	struct agent *agent = exec->agent;
	struct run *run = exec->runs;
	while (run->pid != 0)
		run++; /* the caller has seen that one is free */
	int input = input_of(agent, txn, sequence);
	int r = input >= 0 ? spawn(&agent->config.exec, input, sequence, &run->pid) : ERR_IO;
	if (input >= 0)
		(void)close(input); /* the command has its own */
	if (r != OK) {
		run->pid = 0;
		settle(exec, sequence, STATUS_NOT_STARTED);
		return;
	}
	exec->n_runs++;
	run->sequence = sequence;
	run->timed_out = false;
	(void)snprintf(run->subject, sizeof run->subject, "%s", subject); /* fits */
	run->timeout = (struct loop_timer){.fn = on_timeout, .context = run};
	run->fd = (int)syscall(SYS_pidfd_open, run->pid, 0);
	if (run->fd >= 0 && loop_add(agent->loop, run->fd, LOOP_READ, on_exit_of, run) == OK &&
	    loop_timer_set(agent->loop, &run->timeout, agent->config.exec.timeout) == OK)
		return;
	/* We could not hear of its end. */
	(void)kill(-run->pid, SIGKILL);
	(void)waitpid(run->pid, NULL, 0);
	end_run(run);
	settle(exec, sequence, STATUS_NOT_STARTED);
}

/* --- choosing ------------------------------------------------------------------------------------------------------------------- */

struct blocked { const char *subjects[EXEC_BLOCKED_MAX]; size_t n; };

static bool is_blocked(const struct blocked *blocked, const char *subject)
{
	for (size_t i = 0; i < blocked->n; i++)
		if (strcmp(blocked->subjects[i], subject) == 0)
			return true;
	return false;
}

struct choice { uint64_t sequence; const char *subject; };

/* Events that may start now, in order, at most as many as there are places; *ret_next is when a later look is worth while. */
static size_t choose(struct exec *exec, struct db_txn *txn, struct choice *choices, size_t max, moment *ret_next)
{
	struct agent *agent = exec->agent;
	struct blocked *blocked = arena_alloc(&agent->turn.arena, sizeof *blocked);
	moment now = real_now();
	struct db_cursor cursor;
	size_t n = 0, looked = 0;
	*ret_next = MOMENT_NONE;
	if (blocked == NULL)
		return 0;
	for (size_t i = 0; i < EXEC_RUNS_MAX; i++)
		if (exec->runs[i].pid != 0)
			blocked->subjects[blocked->n++] = exec->runs[i].subject;
	for (bool more = db_cursor_open(txn, TABLE_EXEC, &cursor) == OK && db_seek(&cursor, NULL, 0, 0);
	     more && n < max && looked < EXEC_SCAN_MAX && blocked->n < EXEC_BLOCKED_MAX; more = db_next(&cursor), looked++) {
		Reentry__AgentWork *work;
		uint64_t sequence;
		if (!number_read(cursor.key, &sequence) || pb_unpack_own(&reentry__agent_work__descriptor, cursor.value.bytes, cursor.value.n, &agent->turn.arena, &work) != OK ||
		    work->subject == NULL || work->given_up || is_blocked(blocked, work->subject))
			continue;
		blocked->subjects[blocked->n++] = work->subject;
		if (work->next_at <= now)
			choices[n++] = (struct choice){sequence, work->subject};
		else if (*ret_next == MOMENT_NONE || work->next_at < *ret_next)
			*ret_next = work->next_at;
	}
	db_cursor_close(&cursor);
	return n;
}

static bool has_work(void *context)
{
	const struct exec *exec = context;
	return exec->look && exec->n_runs < (size_t)exec->agent->config.exec.parallel;
}

static void work(void *context)
{
	struct exec *exec = context;
	struct agent *agent = exec->agent;
	struct choice choices[EXEC_RUNS_MAX];
	struct db_txn txn;
	moment next;
	exec->look = false;
	if (turn_read(agent, &txn) != OK)
		return;
	size_t n = choose(exec, &txn, choices, (size_t)agent->config.exec.parallel - exec->n_runs, &next);
	for (size_t i = 0; i < n; i++)
		start(exec, &txn, choices[i].sequence, choices[i].subject);
	db_abort(&txn);
	if (next != MOMENT_NONE)
		(void)loop_timer_set(agent->loop, &exec->wake, next - real_now()); /* the end of any run looks again as well */
}

static void on_wake(void *context)
{
	((struct exec *)context)->look = true;
}

/* --- life ------------------------------------------------------------------------------------------------------------------------ */

static int count_queue(struct exec *exec)
{
	struct db_txn txn;
	struct db_cursor cursor;
	struct arena arena;
	int r = turn_read(exec->agent, &txn);
	arena_init(&arena, 0);
	for (bool more = r == OK && db_cursor_open(&txn, TABLE_EXEC, &cursor) == OK && db_seek(&cursor, NULL, 0, 0); more; more = db_next(&cursor)) {
		Reentry__AgentWork *work;
		arena_reset(&arena);
		if (pb_unpack_own(&reentry__agent_work__descriptor, cursor.value.bytes, cursor.value.n, &arena, &work) != OK)
			continue;
		if (work->given_up)
			exec->given_up++;
		else
			exec->waiting++;
	}
	if (txn.txn != NULL)
		db_cursor_close(&cursor);
	db_abort(&txn);
	arena_release(&arena);
	return r;
}

int exec_open(struct agent *agent, struct err *err)
{
	if (!agent->config.has_exec)
		return OK;
	struct exec *exec = calloc(1, sizeof *exec);
	if (exec == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	exec->agent = agent;
	exec->look = true;
	exec->wake = (struct loop_timer){.fn = on_wake, .context = exec};
	for (size_t i = 0; i < EXEC_RUNS_MAX; i++)
		exec->runs[i] = (struct run){.exec = exec, .fd = -1};
	agent->exec = exec;
	int r = count_queue(exec);
	if (r == OK)
		r = loop_add_ready(agent->loop, has_work, work, exec);
	if (r != OK) {
		exec_close(agent);
		return err_set(err, r, "exec: %s", err_text(r));
	}
	return OK;
}

void exec_close(struct agent *agent)
{
	struct exec *exec = agent->exec;
	if (exec == NULL)
		return;
	for (size_t i = 0; i < EXEC_RUNS_MAX; i++) {
		struct run *run = &exec->runs[i];
		if (run->pid == 0)
			continue;
		/* It runs again after the next start, as after a crash. */
		(void)kill(-run->pid, SIGKILL);
		(void)waitpid(run->pid, NULL, 0);
		end_run(run);
	}
	loop_timer_stop(agent->loop, &exec->wake);
	loop_remove_ready(agent->loop, exec);
	free(exec);
	agent->exec = NULL;
}

bool exec_busy(const struct agent *agent)
{
	return agent->exec != NULL && agent->exec->n_runs > 0;
}

void exec_status(struct agent *agent, struct buf *out)
{
	const struct exec *exec = agent->exec;
	if (exec != NULL)
		(void)buf_printf(out, ",\"exec\":{\"waiting\":%llu,\"running\":%zu,\"given_up\":%llu}", (unsigned long long)exec->waiting, exec->n_runs,
		                 (unsigned long long)exec->given_up); /* the buffer remembers its error */
}
