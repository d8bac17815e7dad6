/* Which agency has which public key: read from the key files that the configuration names, once at start and at each reload. */
#ifndef BROKER_KEYRING_H
#define BROKER_KEYRING_H

#include <stddef.h>

#include "broker/config.h"
#include "lib/crypt.h"
#include "lib/err.h"

/* key: CURVE public key, Z85; agency: of the configuration's policy; sign_public: what its cosignatures hold under. */
struct keyring_entry { char key[41]; const struct agency *agency; uint8_t sign_public[KEY_SIZE]; };
struct keyring { struct keyring_entry *entries; size_t n; };

/* Reads every key file. ERR_INVALID names agency, file and what to do: a missing or unreadable file, two agencies (or the broker) with one key. */
int keyring_load(const struct broker_config *config, struct keyring *ret_keyring, struct err *err);
/* The key of the broker's own endpoints and that of its old_endpoints (zeroed if there is none). Errors name the file and what to do. */
int keyring_load_server(const struct broker_group *group, struct key_pair *ret_key, struct key_pair *ret_old_key, struct err *err);
/* For -n: what is wrong with the key files that are there (ERR_INVALID, ERR_DENIED …), and how many are not, and the first of these (borrowed from config). */
int keyring_check(const struct broker_config *config, size_t *ret_missing, const char **ret_first, struct err *err);
void keyring_release(struct keyring *keyring);
/* NULL: nobody has it. */
const struct keyring_entry *keyring_entry(const struct keyring *keyring, const char *key);
const struct agency *keyring_find(const struct keyring *keyring, const char *key);

#endif
