/* Who is this? The key of the connection says so, never what a message claims. */
#include <stdio.h>
#include <string.h>

#include "broker/broker.h"
#include "lib/log.h"

_Static_assert(AGENCY_SIZE + 41 <= WIRE_USER_MAX, "an agency and a key fit into the user's name");

/* Refusals are logged and recorded at most once per period: a client with a wrong key may try for ever. */
static void deny(struct broker *broker, const char *curve_public, const char *address)
{
	unsigned held;

	broker->stats.unknown_keys++;
	if (!limiter_pass(&broker->denials, &held))
		return;
	log_warn("key=%.8s… address=%s refused: no agency of the configuration has this key%s", curve_public, address, limiter_more(held, (char[LIMITER_MORE]){ 0 }));
	(void)snprintf(broker->denied_key, sizeof broker->denied_key, "%.8s", curve_public); /* recorded by the next tick: no turn within a handshake */
	broker->denied_more = held;
}

const char *zap_who(void *context, const char *curve_public, const char *address)
{
	struct broker *broker = context;
	const struct agency *agency = keyring_find(&broker->keyring, curve_public);

	if (!agency) {
		deny(broker, curve_public, address);
		return NULL;
	}
	(void)snprintf(broker->user, sizeof broker->user, "%s %s", agency->id, curve_public); /* fits */
	return broker->user;
}

int zap_split(const char *user, char ret_agency[AGENCY_SIZE], char ret_key[41])
{
	const char *space = strchr(user, ' ');

	if (!space || space - user >= AGENCY_SIZE || strlen(space + 1) != 40)
		return ERR_INVALID;
	memcpy(ret_agency, user, (size_t)(space - user));
	ret_agency[space - user] = 0;
	memcpy(ret_key, space + 1, 41);
	return OK;
}

void zap_record(struct broker *broker)
{
	Reentry__AuditRecord body = REENTRY__AUDIT_RECORD__INIT;
	char action[] = "connect", outcome[] = "unknown-key";

	if (!*broker->denied_key)
		return;
	body.who = broker->denied_key;
	body.action = action;
	body.outcome = outcome;
	body.has_count = true;
	body.count = 1 + broker->denied_more;
	(void)turn_audit(broker, REENTRY__RECORD_KIND__VALUE__DENIED, &body, NULL); /* it logs its own failure; the refusal stands either way */
	*broker->denied_key = 0;
}
