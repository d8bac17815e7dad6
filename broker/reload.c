/* A new configuration without a restart. The whole of it is read and checked before any of it is taken over. */
#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"
#include "lib/log.h"

/* What a running broker cannot change: these need a restart, and the file is refused as a whole so that nobody takes it for done. */
static int check_fixed(const struct broker_group *old, const struct broker_group *now, struct err *err)
{
	const struct { const char *name, *old, *now; } fixed[] = {
		{ "id", old->id, now->id }, { "oin", old->oin, now->oin }, { "store", old->store, now->store }, { "control", old->control, now->control }, { "control_group", old->control_group, now->control_group },
		{ "signing_key", old->signing_key, now->signing_key }, { "master_key", old->master_key, now->master_key },
	};

	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		if (strcmp(fixed[i].old, fixed[i].now) != 0)
			return err_set(err, ERR_INVALID, "broker.%s: cannot change while the broker runs; restart it, or put back \"%s\"", fixed[i].name, fixed[i].old);
	return OK;
}

/* These were given to the store and the sockets at start. */
static void keep_fixed_limits(const struct limits_group *old, struct limits_group *now)
{
	const struct { const char *name; int64_t old, *now; } kept[] = {
		{ "window", old->window, &now->window }, { "message_max", old->message_max, &now->message_max },
		{ "store_size", old->store_size, &now->store_size }, { "store_reserve", old->store_reserve, &now->store_reserve },
	};

	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		if (kept[i].old != *kept[i].now) {
			log_warn("limits.%s changes with the next restart", kept[i].name);
			*kept[i].now = kept[i].old;
		}
}

static int read_all(struct broker *broker, struct broker_config **ret_config, struct keyring *ret_keyring, struct key_pair ret_keys[2], struct err *err)
{
	struct broker_config *config;
	int rc = broker_config_load(broker->config_path, &config, err);

	if (rc)
		return rc;
	rc = check_fixed(&broker->config->file.broker, &config->file.broker, err);
	if (!rc)
		rc = keyring_load_server(&config->file.broker, &ret_keys[0], &ret_keys[1], err);
	if (!rc)
		rc = keyring_load(config, ret_keyring, err);
	if (rc) {
		broker_config_free(config);
		return rc;
	}
	*ret_config = config;
	return OK;
}

static int take_over(struct broker *broker, struct broker_config *config, const struct keyring *keyring, struct err *err)
{
	struct broker_config *old_config = broker->config;
	struct keyring old_keyring = broker->keyring;

	broker->keyring = *keyring; /* sessions_adopt asks it whose key still counts */
	if (sessions_adopt(broker, &config->policy)) {
		broker->keyring = old_keyring;
		return err_set(err, ERR_NOMEM, "no memory for the new configuration");
	}
	keep_fixed_limits(&old_config->file.limits, &config->file.limits);
	broker->config = config;
	core_set_policy(broker->core, &config->policy, config->policy_text);
	keyring_release(&old_keyring);
	broker_config_free(old_config);
	return OK;
}

int broker_reload(struct broker *broker, struct err *err)
{
	struct broker_config *config = NULL;
	struct keyring keyring = { 0 };
	struct key_pair keys[2];
	int rc = read_all(broker, &config, &keyring, keys, err);

	if (!rc && (rc = take_over(broker, config, &keyring, err))) {
		keyring_release(&keyring);
		broker_config_free(config);
	}
	if (rc) {
		broker->stats.reloads_failed++;
		log_error("configuration not taken over, the old one goes on: %s", err->text);
		return rc;
	}
	broker->key = keys[0];
	broker->old_key = keys[1];
	net_follow(broker);
	broker->turn_now = true; /* the change is a record */
	broker->stats.reloads++;
	log_info("configuration taken over agencies=%zu", broker->sessions.n);
	return OK;
}
