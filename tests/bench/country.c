#include "tests/bench/country.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FIRST_CODE 1000

static const char limits[] =
	"limits = { burst = 1024; turn = \"5ms\"; window = 1024; message_max = \"4MiB\"; connections_max = 1024; store_size = \"32GiB\"; store_reserve = \"64MiB\";\n"
	"  resend_after = \"30s\"; resend_after_max = \"10min\"; checkpoint_interval = \"10s\"; };\n"
	"calendar = { zone = \"Europe/Amsterdam\"; notice_time = \"08:00\"; day_end = \"17:00\"; holidays = [ ]; };\n"
	"rules = { milestones = [ 90, 56, 24, 14, 7, 2, 1, 0 ]; confirm_hold = \"45min\"; screening_days = 10; offer_days = 3; offer_urgent = \"2h\";\n"
	"  urgent_reminder = \"30min\"; start_report_days = 5; still_unknown_days = 7; followup_days = [ 1, 7, 14 ]; followup_reminder_days = 3; behind_days = 14;\n"
	"  supervision_interval_days = 21; contact_overdue_days = 3; delivery_overdue = \"15min\"; retention_months = 6; erasure_chase_days = 7;\n"
	"  community_service_hours_max = 240; gap_milestone_urgent = 2; gap_milestone = 7; };\n";

static void name_people(struct country *country)
{
	for (size_t i = 0; i < country->n; i++) {
		struct person *person = &country->people[i];

		if (i < PROVIDER(0)) {
			person->role = "prison";
			(void)snprintf(person->id, sizeof person->id, "pi-%02zu", i);
		} else if (i < MUNICIPALITY(0)) {
			person->role = "housing";
			(void)snprintf(person->id, sizeof person->id, "shelter-%03zu", i - PROVIDER(0));
		} else if (i < country->auditor) {
			person->role = "municipality";
			(void)snprintf(person->code, sizeof person->code, "%04u", (unsigned)(FIRST_CODE + i - MUNICIPALITY(0)) % 10000);
			(void)snprintf(person->id, sizeof person->id, "gm%s", person->code);
		} else {
			person->role = "auditor";
			(void)snprintf(person->id, sizeof person->id, "audit");
		}
	}
}

static void make_key(const char *folder, const char *name, struct key_pair *ret_pair)
{
	char path[FOLDER_SIZE + 64];
	struct err err = { 0 };

	need(key_generate(folder, name, &err), "a key", &err);
	(void)snprintf(path, sizeof path, "%s/%s.key", folder, name); /* fits */
	need(key_read_secret(path, ret_pair, &err), "a key", &err);
}

static void make_keys(struct country *country)
{
	char folder[FOLDER_SIZE + 16];
	struct key_pair pair;

	(void)snprintf(folder, sizeof folder, "%s/keys", country->folder); /* fits */
	if (mkdir(folder, 0700))
		stop("%s cannot be made", folder);
	make_key(folder, "broker", &pair);
	memcpy(country->broker_key, pair.curve_public, sizeof country->broker_key);
	make_key(folder, "log", &pair);
	for (size_t i = 0; i < country->n; i++)
		make_key(folder, country->people[i].id, &country->people[i].key);
	crypt_wipe(&pair, sizeof pair);
}

static void write_agency(FILE *out, const struct person *person, size_t i, bool last)
{
	fprintf(out, "  { id = \"%s\"; role = \"%s\"; oin = \"00000099%012zu\"; keys = [ \"keys/%s.pub\" ]; contact = \"bench\";", person->id, person->role, i + 1,
	        person->id);
	if (*person->code)
		fprintf(out, " codes = [ \"%s\" ];", person->code);
	if (!strcmp(person->role, "auditor"))
		fprintf(out, " scope = { municipalities = [ \"*\" ]; types = [ \"*\" ]; classes = [ \"A\", \"B\", \"C\", \"D\" ]; mandate = [ \"C\" ]; };");
	fprintf(out, " }%s\n", last ? "" : ",");
}

static void write_config(const struct country *country)
{
	FILE *out = fopen(country->config, "w");

	if (!out)
		stop("%s cannot be written", country->config);
	fprintf(out, "broker = { id = \"broker\"; oin = \"00000099999999999999\"; endpoints = [ \"tcp://127.0.0.1:*\" ]; key = \"keys/broker.key\"; store = \"store\";\n"
	             "  control = \"run/broker.sock\"; signing_key = \"keys/log.key\"; master_key = \"keys/master.key\"; };\n%sagencies = (\n", limits);
	for (size_t i = 0; i < country->n; i++)
		write_agency(out, &country->people[i], i, i + 1 == country->n);
	fprintf(out, ");\n");
	if (fclose(out))
		stop("%s cannot be written", country->config);
}

void country_make(struct country *country, size_t municipalities)
{
	*country = (struct country){ .n_municipalities = municipalities, .auditor = MUNICIPALITY(municipalities), .n = MUNICIPALITY(municipalities) + 1 };
	country->people = calloc(country->n, sizeof *country->people);
	if (!country->people)
		stop("out of memory");
	folder_make(country->folder);
	(void)snprintf(country->config, sizeof country->config, "%s/broker.cfg", country->folder); /* fits */
	name_people(country);
	make_keys(country);
	write_config(country);
}

void country_remove(struct country *country, bool keep)
{
	if (!keep)
		folder_remove(country->folder);
	*country->folder = 0;
	free(country->people);
	country->people = NULL;
}
