/* The agent as a whole: opening in order, running, reading the configuration again, ending. */
#include "agents/agent.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/daemon.h"
#include "lib/log.h"

#define HOUSEKEEPING_MS 60000

void agent_die(struct agent *agent, const char *what, const char *why)
{
	(void)agent;
	log_error("durability=lost where=\"%s\" why=\"%s\" effect=\"the agent stops; nothing that it acknowledged is affected\"", what, why);
	/* Nothing may be told or flushed any more: this is a kill -9 by our own hand. */
	_exit(1);
}

/* --- reading the configuration again ---------------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return (a == NULL && b == NULL) || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* What is open under a path or a name cannot change while it is open. */
static const char *fixed_change(const struct agent_config *now, const struct agent_config *then)
{
	if (!same_text(now->agent.id, then->agent.id))
		return "agent.id";
	if (!same_text(now->agent.store, then->agent.store))
		return "agent.store";
	if (!same_text(now->agent.control, then->agent.control))
		return "agent.control";
	if (!same_text(now->agent.control_group, then->agent.control_group))
		return "agent.control_group";
	if (now->has_spool != then->has_spool || !same_text(now->spool.dir, then->spool.dir))
		return "spool";
	if (now->has_exec != then->has_exec)
		return "exec";
	return NULL;
}

void agent_reload(struct agent *agent)
{
	struct agent_config config;
	struct arena arena;
	struct err err;
	arena_init(&arena, 0);
	int r = agent_config_read(agent->config_path, &arena, &config, &err);
	if (r == OK)
		r = agent_config_check_keys(&config, &err);
	const char *fixed = r == OK ? fixed_change(&agent->config, &config) : NULL;
	if (fixed != NULL)
		r = err_set(&err, ERR_INVALID, "%s: %s can only change with a restart", agent->config_path, fixed);
	if (r != OK) {
		log_error("reload=refused why=\"%s\" effect=\"the former configuration stays\"", err.text);
		arena_release(&arena);
		return;
	}
	arena_release(&agent->config_arena);
	agent->config_arena = arena;
	agent->config = config;
	log_info("reload=done file=%s", agent->config_path);
	link_reload(agent, "the configuration was read again");
}

static void on_signal(void *context, int signal)
{
	struct agent *agent = context;
	if (signal == SIGHUP) {
		(void)daemon_notify("RELOADING=1"); /* systemd only wants to know */
		agent_reload(agent);
		(void)daemon_notify("READY=1");
		return;
	}
	log_info("stopping signal=%d", signal);
	loop_stop(agent->loop);
}

static void on_housekeeping(void *context)
{
	struct agent *agent = context;
	(void)db_reader_check(agent->store.db);      /* frees slots only; tried again in a minute */
	(void)db_reader_check(agent->store.keys.db);
	outbox_expire(agent);
	(void)loop_timer_set(agent->loop, &agent->housekeeping, HOUSEKEEPING_MS); /* its own place was just freed */
}

static void on_watchdog(void *context)
{
	struct agent *agent = context;
	(void)daemon_notify("WATCHDOG=1"); /* if it does not arrive, systemd restarts us, which is what it is for */
	(void)loop_timer_set(agent->loop, &agent->watchdog, daemon_watchdog_ms()); /* its own place was just freed */
}

/* --- opening and closing -------------------------------------------------------------------------------------------------------- */

static int open_store(struct agent *agent, struct err *err)
{
	int r = store_open(&agent->store, agent->config.agent.store, agent->config.agent.size_max, agent->config.agent.id, err);
	if (r == OK)
		r = turn_open(agent) == OK ? OK : err_set(err, ERR_NOMEM, "no room in the event loop");
	if (r == OK)
		r = outbox_open(agent, err);
	if (r == OK)
		r = inbox_open(agent, err);
	if (r == OK)
		r = witness_open(agent, err);
	if (r == OK && agent->config.agent.log_key != NULL && access(agent->config.agent.log_key, R_OK) == 0)
		r = witness_key(agent, err);
	if (r == OK)
		r = epoch_open(agent, err);
	if (r == OK)
		r = spool_open(agent, err);
	if (r == OK)
		r = exec_open(agent, err);
	if (r == OK && purge_resume(agent) != OK)
		r = err_set(err, ERR_IO, "%s: a purge that was begun cannot be finished: see the log", agent->config.agent.store);
	if (r == OK)
		r = turn_end(agent) == OK ? OK : err_set(err, ERR_IO, "%s: cannot be written", agent->config.agent.store);
	return r;
}

int agent_open(struct agent *agent, const char *config_path, bool offline, struct err *err)
{
	static const int signals[] = {SIGHUP, SIGTERM, SIGINT};
	*agent = (struct agent){.config_path = config_path};
	agent->housekeeping = (struct loop_timer){.fn = on_housekeeping, .context = agent};
	agent->watchdog = (struct loop_timer){.fn = on_watchdog, .context = agent};
	arena_init(&agent->config_arena, 0);
	int r = agent_config_read(config_path, &agent->config_arena, &agent->config, err);
	if (r == OK && !offline)
		r = agent_config_check_keys(&agent->config, err);
	if (r == OK)
		r = clock_from_environment(&agent->clock) == OK ? OK : err_set(err, ERR_INVALID, "REENTRY_CLOCK: not MOMENT@RATE#REALSTART_MS");
	if (r == OK)
		r = loop_new(&agent->loop, err);
	if (r == OK && !offline)
		r = loop_signals(agent->loop, signals, sizeof signals / sizeof *signals, on_signal, agent, err);
	if (r == OK)
		r = open_store(agent, err);
	if (r == OK && !offline)
		r = requests_open(agent, err);
	if (r == OK && !offline)
		r = link_open(agent, err);
	if (r != OK)
		agent_close(agent);
	return r;
}

void agent_close(struct agent *agent)
{
	if (agent->loop == NULL) {
		arena_release(&agent->config_arena);
		return;
	}
	loop_timer_stop(agent->loop, &agent->housekeeping);
	loop_timer_stop(agent->loop, &agent->watchdog);
	requests_close(agent);
	link_close(agent);
	exec_close(agent);
	spool_close(agent);
	outbox_close(agent);
	witness_close(agent);
	turn_close(agent);
	store_close(&agent->store);
	loop_free(agent->loop);
	arena_release(&agent->config_arena);
	*agent = (struct agent){0};
}

int agent_run(struct agent *agent)
{
	log_info("started agency=%s version=%s outbox=%llu inbox=%llu", agent->config.agent.id, REENTRY_VERSION, (unsigned long long)agent->outbox.pending,
	         (unsigned long long)agent->inbox.open);
	(void)loop_timer_set(agent->loop, &agent->housekeeping, 0); /* the loop is empty yet */
	if (daemon_watchdog_ms() > 0)
		on_watchdog(agent);
	(void)daemon_notify("READY=1"); /* systemd only wants to know */
	int r = loop_run(agent->loop);
	(void)daemon_notify("STOPPING=1");
	(void)turn_end(agent); /* what is not committed was promised to nobody */
	return r;
}
