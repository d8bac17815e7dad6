#include "broker/keyring.h"

#include <stdlib.h>
#include <string.h>

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct keyring_entry *)a)->key, ((const struct keyring_entry *)b)->key);
}

static int add_files(const struct broker_config *config, size_t agency, struct keyring *keyring, struct err *err)
{
	const struct conf_strings *files = &config->key_files[agency];

	for (size_t i = 0; i < files->n; i++) {
		struct keyring_entry *entry = &keyring->entries[keyring->n];
		struct key_pair pair;
		const int rc = key_read_public(files->items[i], &pair, err);

		if (rc) {
			err_prefix(err, "agency %s", config->policy.agencies[agency].id);
			return rc;
		}
		memcpy(entry->key, pair.curve_public, sizeof entry->key);
		entry->agency = &config->policy.agencies[agency];
		memcpy(entry->sign_public, pair.sign_public, sizeof entry->sign_public);
		keyring->n++;
	}
	return OK;
}

/* One key is one agency: else the key could not say who somebody is. */
static int check_unique(const struct keyring *keyring, struct err *err)
{
	for (size_t i = 1; i < keyring->n; i++) {
		const struct keyring_entry *a = &keyring->entries[i - 1], *b = &keyring->entries[i];

		if (strcmp(a->key, b->key) != 0)
			continue;
		if (a->agency == b->agency)
			return err_set(err, ERR_INVALID, "agency %s: has one key twice; remove one of the files", a->agency->id);
		return err_set(err, ERR_INVALID, "agencies %s and %s have the same key; make one of them another (reentry keygen)", a->agency->id, b->agency->id);
	}
	return OK;
}

int keyring_load(const struct broker_config *config, struct keyring *ret_keyring, struct err *err)
{
	struct keyring keyring = { 0 };
	size_t n = 0;
	int rc = OK;

	for (size_t i = 0; i < config->policy.n_agencies; i++)
		n += config->key_files[i].n;
	keyring.entries = calloc(n ? n : 1, sizeof *keyring.entries);
	if (!keyring.entries)
		return err_set(err, ERR_NOMEM, "no memory for the keys of %zu agencies", config->policy.n_agencies);
	for (size_t i = 0; i < config->policy.n_agencies && !rc; i++)
		rc = add_files(config, i, &keyring, err);
	if (!rc) {
		qsort(keyring.entries, keyring.n, sizeof *keyring.entries, by_key);
		rc = check_unique(&keyring, err);
	}
	if (rc) {
		keyring_release(&keyring);
		return rc;
	}
	*ret_keyring = keyring;
	return OK;
}

void keyring_release(struct keyring *keyring)
{
	free(keyring->entries);
	*keyring = (struct keyring){ 0 };
}

const struct keyring_entry *keyring_entry(const struct keyring *keyring, const char *key)
{
	struct keyring_entry wanted = { .agency = NULL };

	if (strlen(key) != sizeof wanted.key - 1 || !keyring->n)
		return NULL;
	memcpy(wanted.key, key, sizeof wanted.key);
	return bsearch(&wanted, keyring->entries, keyring->n, sizeof *keyring->entries, by_key);
}

const struct agency *keyring_find(const struct keyring *keyring, const char *key)
{
	const struct keyring_entry *found = keyring_entry(keyring, key);

	return found ? found->agency : NULL;
}
