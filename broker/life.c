/* Start, the loop's duties, end. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"
#include "lib/daemon.h"
#include "lib/log.h"

#define FDS_OF_OUR_OWN 128
#define MINUTE_MS 60000
#define PATH_SIZE 4096

void broker_die(const char *what, int code)
{
	log_error("%s can no longer be trusted to keep what it was given: %s; stopping at once, nothing of the last turn was told to anybody", what, err_text(code));
	_exit(1);
}

/* --- the loop's duties ---------------------------------------------------------------------------------------------------- */

static bool work_ready(void *context)
{
	struct broker *broker = context;

	return broker->incoming || (broker->hungry && !broker->open) || broker->asking || turn_wanted(broker);
}

static void work(void *context)
{
	struct broker *broker = context;

	if (broker->incoming || turn_wanted(broker))
		turn_run(broker);
	broker->incoming = false;
	if (broker->hungry && !broker->open)
		deliver_all(broker);
	if (broker->asking) {
		turn_settle(broker);
		query_round(broker);
	}
}

static void on_committed(void *context, int fd, unsigned events)
{
	(void)fd;
	(void)events;
	if (((struct broker *)context)->open)
		turn_run(context); /* it takes off now */
	else
		turn_settle(context);
}

static void on_due(void *context)
{
	struct broker *broker = context;

	broker->timers_stuck = broker->stalled = false;
	turn_run(broker);
	turn_schedule(broker);
}

static void on_told(void *context)
{
	struct broker *broker = context;

	broker->turn_now = true;
	turn_run(broker);
}

static void on_tick(void *context)
{
	struct broker *broker = context;
	const int64_t now = clock_monotonic_ms();

	turn_settle(broker);
	zap_record(broker);
	sessions_tick(broker, now);
	deliver_tick(broker, now);
	witness_tick(broker);
	if (core_held(broker->core) && core_hold(broker->core, core_held(broker->core)) == ERR_UNSYNCED)
		broker_die("the store", ERR_UNSYNCED);
	broker->asking = true; /* whoever could not be answered for a full connection */
	(void)loop_timer_set(broker->loop, &broker->tick, TICK_MS); /* its own place was just freed; so below */
}

static void on_minute(void *context)
{
	struct broker *broker = context;
	unsigned open, max;
	struct err err;
	size_t n;

	turn_settle(broker);
	if (broker->erase_again && control_erase_pending(broker, &n, &err))
		log_error("erasure confirmed and not executed: %s; it is tried again each minute", err.text);
	if (!daemon_fds(&open, &max) && open > max - max / 5)
		log_error("%u of %u files are open: raise LimitNOFILE= before new agents are turned away", open, max);
	(void)loop_timer_set(broker->loop, &broker->minute, MINUTE_MS);
}

static void on_watchdog(void *context)
{
	struct broker *broker = context;

	(void)daemon_notify("WATCHDOG=1"); /* systemd restarts us if it does not arrive */
	(void)loop_timer_set(broker->loop, &broker->watchdog, daemon_watchdog_ms());
}

static void on_signal(void *context, int number)
{
	struct broker *broker = context;
	struct err err;

	if (number != SIGHUP) {
		loop_stop(broker->loop);
		return;
	}
	turn_settle(broker);
	(void)daemon_notify("RELOADING=1"); /* a courtesy to systemctl */
	(void)broker_reload(broker, &err); /* it logs what it did */
	(void)daemon_notify("READY=1");
}

/* --- start ---------------------------------------------------------------------------------------------------------------- */

/* The folder that a file of ours goes into. */
static int make_folder_of(const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_SIZE];

	if (!slash || slash == path)
		return OK;
	if (snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path) >= (int)sizeof folder)
		return err_set(err, ERR_INVALID, "%s: the path is too long", path);
	return daemon_mkdir(folder, err);
}

static int open_lock(struct broker *broker, struct err *err)
{
	const char *control = broker->config->file.broker.control;
	char path[PATH_SIZE];
	int rc = make_folder_of(control, err);

	if (rc)
		return rc;
	if (snprintf(path, sizeof path, "%s.pid", control) >= (int)sizeof path)
		return err_set(err, ERR_INVALID, "%s: the path is too long", control);
	return daemon_lock(path, &broker->lock_fd, err);
}

static int open_keys(struct broker *broker, struct core_options *options, uint8_t master[KEY_SIZE], struct key_pair *signing, struct err *err)
{
	const struct broker_group *group = &broker->config->file.broker;
	int rc = keyring_load_server(group, &broker->key, &broker->old_key, err);

	if (!rc)
		rc = keyring_load(broker->config, &broker->keyring, err);
	if (!rc)
		rc = make_folder_of(group->master_key, err);
	if (!rc)
		rc = key_read_or_make_raw(group->master_key, master, err);
	if (!rc && access(group->signing_key, F_OK) == 0)
		rc = key_read_secret(group->signing_key, signing, err);
	else if (!rc)
		log_warn("signing_key=%s is not there: no checkpoints are signed (reentry keygen)", group->signing_key);
	options->master_key = master;
	broker->signs = signing->has_secret;
	if (broker->signs)
		crypt_sign_public(signing->sign_seed, broker->log_public);
	options->signing_seed = signing->has_secret ? signing->sign_seed : NULL;
	return rc;
}

static int open_core(struct broker *broker, struct err *err)
{
	const struct broker_file *file = &broker->config->file;
	struct core_options options = { .dir = file->broker.store, .size_max = (size_t)file->limits.store_size, .reserve = (size_t)file->limits.store_reserve, .beside = true };
	struct key_pair signing = { 0 };
	uint8_t master[KEY_SIZE];
	int rc = open_keys(broker, &options, master, &signing, err);

	if (!rc)
		rc = core_open(&options, &broker->config->policy, broker->config->policy_text, &broker->core, err);
	crypt_wipe(master, sizeof master);
	crypt_wipe(&signing, sizeof signing);
	return rc;
}

static int open_loop(struct broker *broker, struct err *err)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	const int rc = loop_new(&broker->loop, err);

	if (rc)
		return rc;
	broker->due = (struct loop_timer){ .fn = on_due, .context = broker };
	broker->told = (struct loop_timer){ .fn = on_told, .context = broker };
	broker->tick = (struct loop_timer){ .fn = on_tick, .context = broker };
	broker->minute = (struct loop_timer){ .fn = on_minute, .context = broker };
	broker->watchdog = (struct loop_timer){ .fn = on_watchdog, .context = broker };
	return loop_signals(broker->loop, signals, sizeof signals / sizeof *signals, on_signal, broker, err);
}

static int start_duties(struct broker *broker, struct err *err)
{
	int fd = -1, rc = loop_add_ready(broker->loop, work_ready, work, broker);

	if (!rc)
		rc = core_commit_fd(broker->core, &fd);
	if (!rc)
		rc = loop_add(broker->loop, fd, LOOP_READ, on_committed, broker);
	if (!rc)
		rc = loop_timer_set(broker->loop, &broker->tick, TICK_MS);
	if (!rc)
		rc = loop_timer_set(broker->loop, &broker->minute, MINUTE_MS);
	if (!rc && daemon_watchdog_ms())
		rc = loop_timer_set(broker->loop, &broker->watchdog, daemon_watchdog_ms());
	turn_schedule(broker);
	broker->turn_now = true; /* a changed configuration is the first record */
	return rc ? err_set(err, rc, "no room in the event loop, or no thread") : OK;
}

int broker_open(struct broker *broker, const char *config_path, struct err *err)
{
	size_t erased;
	int rc;

	*broker = (struct broker){ .config_path = config_path, .lock_fd = -1, .next_due = MOMENT_NONE };
	stats_init(&broker->stats);
	arena_init(&broker->reading, 0);
	rc = broker_config_load(config_path, &broker->config, err);
	if (!rc)
		rc = daemon_start((unsigned)broker->config->file.limits.connections_max + FDS_OF_OUR_OWN, err);
	if (!rc && clock_from_environment(&broker->clock))
		rc = err_set(err, ERR_INVALID, "REENTRY_CLOCK has a value that is not understood; unset it");
	if (!rc && crypt_init())
		rc = err_set(err, ERR_IO, "the cryptographic library does not start");
	if (!rc)
		rc = open_lock(broker, err);
	if (!rc)
		rc = open_loop(broker, err); /* signals are blocked before any thread exists */
	if (!rc)
		rc = open_core(broker, err);
	if (!rc)
		rc = control_erase_pending(broker, &erased, err);
	if (!rc && sessions_adopt(broker, &broker->config->policy))
		rc = err_set(err, ERR_NOMEM, "no memory for the sessions");
	if (!rc)
		rc = turn_new(broker, err);
	if (!rc)
		rc = control_open(broker, err);
	if (!rc)
		rc = net_open(broker, err);
	return rc ? rc : start_duties(broker, err);
}

int broker_run(struct broker *broker)
{
	struct core_status status = { 0 };

	(void)core_status(broker->core, &status); /* for the line below only */
	log_info("ready broker=%s agencies=%zu last_sequence=%llu", broker->config->file.broker.id, broker->sessions.n, (unsigned long long)status.last_sequence);
	if (core_held(broker->core))
		log_error("held: %s; nothing is taken in, delivered or fired until an operator begins a new epoch (docs/operations.md)", core_held(broker->core));
	(void)daemon_notify("READY=1"); /* systemd gives up on us if it does not arrive */
	if (loop_run(broker->loop)) {
		log_error("waiting for events failed; stopping");
		broker->exit_code = 1;
	}
	(void)daemon_notify("STOPPING=1"); /* a courtesy */
	return broker->exit_code;
}

void broker_close(struct broker *broker)
{
	if (broker->turn)
		turn_settle(broker);
	for (size_t i = 0; broker->server && i < broker->sessions.n; i++)
		if (broker->sessions.items[i]->up)
			session_end(broker, broker->sessions.items[i], "shutdown", NULL);
	control_free(broker->control);
	net_close(broker);
	if (broker->sessions.items)
		sessions_release(broker);
	turn_free(broker);
	backup_end(broker);
	if (broker->core)
		core_close(broker->core);
	keyring_release(&broker->keyring);
	crypt_wipe(&broker->key, sizeof broker->key);
	loop_free(broker->loop);
	arena_release(&broker->reading);
	broker_config_free(broker->config);
	if (broker->lock_fd >= 0)
		(void)close(broker->lock_fd); /* gives the lock back */
}
