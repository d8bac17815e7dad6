/* The broker's configuration file (config/example/broker.cfg), read through the tables of lib/conf.h into what the programs use. */
#ifndef BROKER_CONFIG_H
#define BROKER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/arena.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "rules/policy.h"

/* As it stands in the file, one struct per group. Paths are absolute. */
struct broker_group {
	char *id, *oin, *key, *store, *control, *control_group, *signing_key, *master_key;
	struct conf_strings endpoints;
	char *old_key;                /* NULL: none; then there are no old_endpoints either */
	struct conf_strings old_endpoints;
};
struct limits_group {
	int64_t burst, turn, window, message_max, connections_max, store_size, store_reserve, resend_after, resend_after_max, checkpoint_interval;
};
struct calendar_group { char *zone; int notice_time, day_end; struct conf_ints holidays; };
struct rules_group {
	struct conf_ints milestones, followup_days;
	int64_t confirm_hold, offer_urgent, urgent_reminder, delivery_overdue;
	int64_t screening_days, offer_days, start_report_days, still_unknown_days, followup_reminder_days, behind_days, supervision_interval_days,
		contact_overdue_days, retention_months, erasure_chase_days, community_service_hours_max, gap_milestone_urgent, gap_milestone;
};
struct scope_group { struct conf_strings municipalities, types, classes, mandate; };
struct agency_group {
	char *id, *role, *oin, *contact;
	struct conf_strings keys;     /* paths of public key files */
	struct conf_strings codes;
	bool unconfirmed, has_scope;
	struct scope_group scope;
};
struct broker_file {
	struct broker_group broker;
	struct limits_group limits;
	struct calendar_group calendar;
	struct rules_group rules;
	struct conf_list agencies;    /* of struct agency_group */
};
extern const struct conf_row broker_rows[];

struct broker_config {
	struct arena arena;           /* owns everything below but the zone */
	struct broker_file file;
	struct policy policy;         /* agencies sorted by id; agency i of the policy has the key files of key_files[i] */
	const struct conf_strings *key_files;
	const char *policy_text;      /* the effective policy as text: what the log records */
	struct civil_zone *zone;
};

/* Reads and checks the whole file; needs no key file. On failure nothing is held and err names file, line or agency, and what to do. */
int broker_config_load(const char *path, struct broker_config **ret_config, struct err *err);
/* The same from policy_text, as a CONFIG record has it. err may be NULL. */
int broker_config_parse(const char *text, struct broker_config **ret_config, struct err *err);
void broker_config_free(struct broker_config *config);
/* -nv */
int broker_config_print(FILE *out, const struct broker_config *config);

#endif
