#include "broker/keyring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct keyring_entry *)a)->key, ((const struct keyring_entry *)b)->key);
}

struct missing { size_t n; const char *first; };

/* For -n a file that is not there is counted; for a start (missing is NULL) it is an error. */
static bool pass_over(const char *path, struct missing *missing)
{
	if (!missing || access(path, F_OK) == 0 || errno != ENOENT)
		return false;
	if (!missing->n++)
		missing->first = path;
	return true;
}

/* Adds what to do; rc as it was. */
static int hint(int rc, const char *what, struct err *err)
{
	const struct err was = *err;

	if (rc == ERR_NOTFOUND)
		(void)err_set(err, rc, "%s; %s", was.text, what);
	else if (rc == ERR_DENIED && !strstr(was.text, "chmod"))
		(void)err_set(err, rc, "%s; give it to the user that runs the broker (chown)", was.text);
	return rc;
}

static int add_files(const struct broker_config *config, size_t agency, struct keyring *keyring, struct missing *missing, struct err *err)
{
	const struct conf_strings *files = &config->key_files[agency];

	for (size_t i = 0; i < files->n; i++) {
		struct keyring_entry *entry = &keyring->entries[keyring->n];
		struct key_pair pair;
		int rc;

		if (pass_over(files->items[i], missing))
			continue;
		rc = key_read_public(files->items[i], &pair, err);
		if (rc) {
			(void)hint(rc, "put the .pub file of the agency there (reentry keygen makes it, at the agency)", err); /* only the text changes */
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

static int load(const struct broker_config *config, struct keyring *ret_keyring, struct missing *missing, struct err *err)
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
		rc = add_files(config, i, &keyring, missing, err);
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

int keyring_load(const struct broker_config *config, struct keyring *ret_keyring, struct err *err)
{
	return load(config, ret_keyring, NULL, err);
}

static int load_secret(const char *path, struct key_pair *ret_key, struct missing *missing, struct err *err)
{
	int rc;

	if (pass_over(path, missing))
		return OK;
	rc = key_read_secret(path, ret_key, err);
	return rc ? hint(rc, "make it: reentry keygen FOLDER NAME", err) : OK;
}

int keyring_load_server(const struct broker_group *group, struct key_pair *ret_key, struct key_pair *ret_old_key, struct err *err)
{
	const int rc = load_secret(group->key, ret_key, NULL, err);

	*ret_old_key = (struct key_pair){ 0 };
	return rc || !group->old_key ? rc : load_secret(group->old_key, ret_old_key, NULL, err);
}

int keyring_check(const struct broker_config *config, size_t *ret_missing, const char **ret_first, struct err *err)
{
	const struct broker_group *group = &config->file.broker;
	const char *const secrets[] = { group->key, group->signing_key, group->old_key };
	struct missing missing = { 0 };
	struct keyring keyring = { 0 };
	int rc = OK;

	for (size_t i = 0; i < sizeof secrets / sizeof *secrets && !rc; i++) {
		struct key_pair pair = { 0 };

		if (secrets[i])
			rc = load_secret(secrets[i], &pair, &missing, err);
		crypt_wipe(&pair, sizeof pair);
	}
	if (!rc)
		rc = load(config, &keyring, &missing, err);
	keyring_release(&keyring);
	*ret_missing = missing.n;
	*ret_first = missing.first;
	return rc;
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
