/* reentry admin restore: a backup takes the place of the store of a broker that is stopped. No daemon, no network. */
#include "cli/cli.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "broker/config.h"
#include "broker/restore.h"
#include "lib/crypt.h"
#include "lib/daemon.h"

#define PATH_SIZE 4200

struct restoring { struct cli *cli; const char *backup; };

static void on_fault(void *context, const char *line)
{
	const struct restoring *r = context;
	(void)complain(r->cli, FAILED, "%s: %s", r->backup, line); /* the count decides */
}

static int lock_broker(struct cli *cli, const struct broker_config *config, int *ret_fd)
{
	char path[PATH_SIZE];
	struct err err;
	if (snprintf(path, sizeof path, "%s.pid", config->file.broker.control) >= (int)sizeof path)
		return complain(cli, FAILED, "broker.control: the path is too long");
	char *slash = strrchr(path, '/');
	if (slash != NULL && slash != path) {
		*slash = '\0';
		if (daemon_mkdir(path, &err) != OK)
			return complain(cli, FAILED, "%s", err.text);
		*slash = '/';
	}
	if (daemon_lock(path, ret_fd, &err) != OK)
		return complain(cli, FAILED, "%s: stop the broker first, then restore", err.text);
	return DONE;
}

static int tell(struct cli *cli, const struct restore_options *options, const struct restore_result *result)
{
	if (cli->json) {
		struct buf out;
		buf_init(&out);
		(void)buf_printf(&out, "{\"restored\":true,\"records\":%" PRIu64 ",\"before\":", result->left); /* the buffer remembers its error */
		(void)json_string(&out, result->before);
		(void)buf_text(&out, "}");
		if (out.error == OK)
			puts((const char *)out.bytes);
		int status = out.error == OK ? DONE : complain(cli, FAILED, "out of memory");
		buf_release(&out);
		return status;
	}
	printf("%s is in place: %" PRIu64 " records, verified. The keys %s.\n", options->backup, result->left, options->keys_backup != NULL ? "were restored too" : "stay as they are");
	if (result->before[0] != '\0')
		printf("What was there is kept in %s.\n", result->before);
	puts("Start the broker: it is held until you begin a new epoch (reentry admin epoch --reason TEXT --out FILE), then agencies offer again what is lost.");
	return DONE;
}

static int restore(struct cli *cli, const struct broker_config *config, struct restore_options *options)
{
	const struct broker_group *broker = &config->file.broker;
	struct restoring r = {cli, options->backup};
	struct restore_result result;
	struct key_pair pair;
	char keys[PATH_SIZE];
	int fd = -1;
	struct err err = {0};
	int status = lock_broker(cli, config, &fd);
	if (status != DONE)
		return status;
	(void)snprintf(keys, sizeof keys, "%.4000s-keys", broker->store); /* as the broker names it (core.c); a longer path was refused at its start */
	options->store = broker->store;
	options->keys = keys;
	options->tell = on_fault;
	options->context = &r;
	options->verify = (struct verify_options){.policy = &config->policy, .policy_text = config->policy_text};
	if (access(broker->signing_key, R_OK) == 0 && key_read_secret(broker->signing_key, &pair, &err) != OK)
		status = complain(cli, FAILED, "%s", err.text);
	else if (access(broker->signing_key, R_OK) == 0)
		options->verify.signing_public = pair.sign_public;
	if (status == DONE && restore_store(options, &result, &err) != OK)
		status = complain(cli, FAILED, "%s", err.text);
	crypt_wipe(&pair, sizeof pair);
	options->keys = NULL; /* these end here */
	options->context = NULL;
	(void)close(fd); /* gives the lock back */
	return status == DONE ? tell(cli, options, &result) : status;
}

int restore_main(struct cli *cli, const char *backup, const char *keys_backup)
{
	struct restore_options options = {.backup = backup, .keys_backup = keys_backup};
	struct broker_config *config = NULL;
	struct err err = {0};
	if (cli->config == NULL)
		return misuse(cli, "which broker? name its configuration: reentry -c FILE admin restore DIR");
	if (broker_config_load(cli->config, &config, &err) != OK)
		return complain(cli, FAILED, "%s", err.text);
	int status = restore(cli, config, &options);
	broker_config_free(config);
	return status;
}
