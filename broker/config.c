#include "broker/config.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/id.h"
#include "rules/rules.h"

#define AGENCIES_MAX 4096
#define LIST_MAX 4096

/* One row per key: name, type, where, default, range, unit and its sentence. -nv and the man page come from here. */
#define ROW(s, key, t, def, lo, hi, u, h) { .name = #key, .type = (t), .offset = offsetof(struct s, key), .fallback = (def), .min = (lo), .max = (hi), .unit = (u), .help = (h) }

static const struct conf_row broker_group_rows[] = {
	ROW(broker_group, id, CONF_STRING, NULL, 1, 32, "name", "Name of the broker: the source of the events that it makes itself."),
	ROW(broker_group, oin, CONF_STRING, NULL, 20, 20, "20 digits", "Its organisation number (OIN)."),
	ROW(broker_group, endpoints, CONF_STRINGS, NULL, 1, 8, "ZeroMQ endpoints", "Where it listens."),
	ROW(broker_group, key, CONF_PATH, NULL, 0, 0, "path", "The key pair of its sockets (CURVE), secret half."),
	ROW(broker_group, old_endpoints, CONF_STRINGS, "", 0, 8, "ZeroMQ endpoints", "Where it goes on listening with old_key while agents move to endpoints and key."),
	ROW(broker_group, old_key, CONF_PATH, "", 0, 0, "path", "The key pair of old_endpoints, secret half."),
	ROW(broker_group, store, CONF_PATH, NULL, 0, 0, "path", "Folder of the log and of everything derived from it."),
	ROW(broker_group, control, CONF_PATH, NULL, 0, 0, "path", "Unix socket of reentry admin."),
	ROW(broker_group, control_group, CONF_STRING, "", 0, 0, "name", "A group of this machine whose members may open that socket too; otherwise only the user that runs the broker."),
	ROW(broker_group, signing_key, CONF_PATH, NULL, 0, 0, "path", "Signs the checkpoints of the log."),
	ROW(broker_group, master_key, CONF_PATH, NULL, 0, 0, "path", "Wraps the key of each case."),
	{ 0 },
};
static const struct conf_row limits_rows[] = {
	ROW(limits_group, burst, CONF_INT, "1024", 1, 65536, "messages", "Messages taken in one turn of the loop, at most."),
	ROW(limits_group, turn, CONF_DURATION, "5ms", 0, 1000, "duration", "Time that a turn may go on receiving; if the sync of the one before takes longer, until that is done (50 ms at most)."),
	ROW(limits_group, window, CONF_INT, "4096", 1, 65536, "deliveries", "Deliveries that one agency may have unacknowledged."),
	ROW(limits_group, message_max, CONF_SIZE, "4MiB", 131072, 67108864, "size", "One message on the wire, at most."),
	ROW(limits_group, connections_max, CONF_INT, "1024", 1, 65536, "connections", "Agencies connected at the same time, at most."),
	ROW(limits_group, store_size, CONF_SIZE, "64GiB", 1048576, INT64_C(17592186044416), "size", "The largest that the store may become."),
	ROW(limits_group, store_reserve, CONF_SIZE, "64MiB", 65536, INT64_C(17592186044416), "size", "Room kept for acknowledgements, replays and administration when the disk is full."),
	ROW(limits_group, resend_after, CONF_DURATION, "30s", 10, 86400000, "duration", "A delivery without acknowledgement is sent again after this time, doubled each time."),
	ROW(limits_group, resend_after_max, CONF_DURATION, "10min", 10, 86400000, "duration", "The doubling stops here."),
	ROW(limits_group, checkpoint_interval, CONF_DURATION, "10s", 10, 86400000, "duration", "Signed checkpoints of the log are at most this far apart while something happens."),
	{ 0 },
};
static const struct conf_row calendar_rows[] = {
	ROW(calendar_group, zone, CONF_STRING, "Europe/Amsterdam", 0, 0, "tz name", "Zone in which dates, notice times and working days are meant."),
	ROW(calendar_group, notice_time, CONF_TIME, "08:00", 0, 0, "HH:MM", "Local time at which notices go out."),
	ROW(calendar_group, day_end, CONF_TIME, "17:00", 0, 0, "HH:MM", "Local time at which a deadline in working days ends."),
	ROW(calendar_group, holidays, CONF_DATES, "[]", 0, LIST_MAX, "dates", "Days besides Saturday and Sunday that are not working days."),
	{ 0 },
};
static const struct conf_row rules_rows[] = {
	ROW(rules_group, milestones, CONF_INTS, "[90, 56, 24, 14, 7, 2, 1, 0]", 0, 32, "days", "Days before a release (or a planned start) at which its receivers are told."),
	ROW(rules_group, confirm_hold, CONF_DURATION, "45min", 0, 86400000, "duration", "A recorded release is confirmed to all after this time."),
	ROW(rules_group, screening_days, CONF_INT, "10", 1, 366, "working days", "Within which the needs are screened."),
	ROW(rules_group, offer_days, CONF_INT, "3", 1, 366, "working days", "To decide on an offer."),
	ROW(rules_group, offer_urgent, CONF_DURATION, "2h", 60000, 86400000, "duration", "To decide on an urgent offer."),
	ROW(rules_group, urgent_reminder, CONF_DURATION, "30min", 60000, 86400000, "duration", "Between reminders of an urgent offer that nobody has received."),
	ROW(rules_group, start_report_days, CONF_INT, "5", 1, 366, "working days", "After the agreed start within which a provider reports it."),
	ROW(rules_group, still_unknown_days, CONF_INT, "7", 1, 366, "days", "Between two reminders that a release date is unknown."),
	ROW(rules_group, followup_days, CONF_INTS, "[1, 7, 14]", 0, 32, "days", "After the release at which a follow-up is due."),
	ROW(rules_group, followup_reminder_days, CONF_INT, "3", 1, 366, "working days", "After which an undone follow-up is reminded once."),
	ROW(rules_group, behind_days, CONF_INT, "14", 0, 366, "days", "Before a community service must be complete at which its supervisor is warned."),
	ROW(rules_group, supervision_interval_days, CONF_INT, "21", 1, 366, "days", "Between two contacts, unless the supervision says otherwise."),
	ROW(rules_group, contact_overdue_days, CONF_INT, "3", 1, 366, "days", "After a planned contact at which nobody has reported on it."),
	ROW(rules_group, delivery_overdue, CONF_DURATION, "15min", 1000, 86400000, "duration", "After which an unacknowledged URGENT delivery is told to its publisher."),
	ROW(rules_group, retention_months, CONF_INT, "6", 1, 1200, "months", "After the release at which receivers must destroy what they got."),
	ROW(rules_group, erasure_chase_days, CONF_INT, "7", 1, 366, "days", "Between two reminders of that."),
	ROW(rules_group, community_service_hours_max, CONF_INT, "240", 1, 100000, "hours", "Of one community service, at most."),
	ROW(rules_group, gap_milestone_urgent, CONF_INT, "2", 0, 3660, "days", "Before the release at which housing, income, identity and care become gaps."),
	ROW(rules_group, gap_milestone, CONF_INT, "7", 0, 3660, "days", "Before the release at which all other needs become gaps."),
	{ 0 },
};
static const struct conf_row scope_rows[] = {
	ROW(scope_group, municipalities, CONF_STRINGS, "[]", 0, LIST_MAX, "codes", "Municipalities whose cases an auditor may see; * is all; missing is none."),
	ROW(scope_group, types, CONF_STRINGS, "[]", 0, LIST_MAX, "types", "Types of events it may see; * is all; missing is none."),
	ROW(scope_group, classes, CONF_STRINGS, "[]", 0, 4, "A B C D", "Classes it may see; missing is none."),
	ROW(scope_group, mandate, CONF_STRINGS, "[]", 0, 4, "classes", "Class C needs its mandate named here as well."),
	{ 0 },
};
static const struct conf_row agency_rows[] = {
	ROW(agency_group, id, CONF_STRING, NULL, 1, 32, "name", "Name of the agency."),
	ROW(agency_group, role, CONF_STRING, NULL, 1, 32, "role", "court prison probation municipality care housing education employer volunteer auditor desk"),
	ROW(agency_group, oin, CONF_STRING, NULL, 20, 20, "20 digits", "Its organisation number (OIN)."),
	ROW(agency_group, keys, CONF_PATHS, NULL, 1, 8, "paths", "Its public keys; several while it changes them."),
	ROW(agency_group, codes, CONF_STRINGS, "[]", 0, LIST_MAX, "codes", "Municipality codes that it holds; role municipality only."),
	ROW(agency_group, unconfirmed, CONF_BOOL, "false", 0, 0, "", "It wants to hear of a release before it is confirmed."),
	ROW(agency_group, contact, CONF_STRING, "", 0, 256, "text", "How to reach it by telephone; a function, never a person."),
	{ .name = "scope", .type = CONF_GROUP, .offset = offsetof(struct agency_group, scope), .rows = scope_rows, .size = sizeof(struct scope_group),
		.set_offset = offsetof(struct agency_group, has_scope) + 1, .unit = "", .help = "What an auditor may see; role auditor only." },
	{ 0 },
};
#define GROUP(name_, struct_, rows_, help_) { .name = #name_, .type = CONF_GROUP, .offset = offsetof(struct broker_file, name_), .rows = (rows_), .size = sizeof(struct struct_), .unit = "", .help = (help_) }
const struct conf_row broker_rows[] = {
	GROUP(broker, broker_group, broker_group_rows, "The broker itself."),
	GROUP(limits, limits_group, limits_rows, "Bounds."),
	GROUP(calendar, calendar_group, calendar_rows, "Dates, notice times, working days."),
	GROUP(rules, rules_group, rules_rows, "Intervals of the rules."),
	{ .name = "agencies", .type = CONF_LIST, .offset = offsetof(struct broker_file, agencies), .rows = agency_rows, .size = sizeof(struct agency_group),
		.min = 1, .max = AGENCIES_MAX, .unit = "", .help = "Who takes part." },
	{ 0 },
};

/* --- from the file to the policy ------------------------------------------------------------------------------------------ */

static int check_endpoints(const struct broker_group *broker, struct err *err)
{
	if (!broker->old_key != !broker->old_endpoints.n)
		return err_set(err, ERR_INVALID, "broker.old_endpoints and broker.old_key: one goes with the other; name both or neither");
	for (size_t i = 0; i < broker->old_endpoints.n; i++)
		for (size_t k = 0; k < broker->endpoints.n; k++)
			if (strcmp(broker->old_endpoints.items[i], broker->endpoints.items[k]) == 0)
				return err_set(err, ERR_INVALID, "broker.old_endpoints: %s is also in endpoints; an endpoint has one key, leave it in one of them", broker->endpoints.items[k]);
	return OK;
}

static int check_code(const char *agency, const char *code, struct err *err)
{
	if (strlen(code) != 4 || strspn(code, "0123456789") != 4)
		return err_set(err, ERR_INVALID, "agency %s: code \"%s\" must have 4 digits", agency, code);
	if (strcmp(code, "0000") == 0 || strcmp(code, "9999") == 0)
		return err_set(err, ERR_INVALID, "agency %s: code %s means unknown or abroad; nobody can hold it", agency, code);
	return OK;
}

static bool has(const struct conf_strings *list, const char *text)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->items[i], text) == 0)
			return true;
	return false;
}

static int check_scope(const struct agency_group *from, struct err *err)
{
	const struct scope_group *scope = &from->scope;

	for (size_t i = 0; i < scope->municipalities.n; i++)
		if (strcmp(scope->municipalities.items[i], "*") != 0 && (strlen(scope->municipalities.items[i]) != 4 || strspn(scope->municipalities.items[i], "0123456789") != 4))
			return err_set(err, ERR_INVALID, "agency %s: scope.municipalities: \"%s\" must be a code of 4 digits, or *", from->id, scope->municipalities.items[i]);
	for (size_t i = 0; i < scope->types.n; i++)
		if (strcmp(scope->types.items[i], "*") != 0 && !rules_payload_of(scope->types.items[i]))
			return err_set(err, ERR_INVALID, "agency %s: scope.types: \"%s\" is no type of the catalogue; use its names, or *", from->id, scope->types.items[i]);
	for (size_t i = 0; i < scope->classes.n; i++)
		if (strlen(scope->classes.items[i]) != 1 || !strchr("ABCD", scope->classes.items[i][0]))
			return err_set(err, ERR_INVALID, "agency %s: scope.classes: \"%s\" is no class; use A B C D", from->id, scope->classes.items[i]);
	for (size_t i = 0; i < scope->mandate.n; i++)
		if (strcmp(scope->mandate.items[i], "C") != 0)
			return err_set(err, ERR_INVALID, "agency %s: scope.mandate: only class C needs one, not \"%s\"", from->id, scope->mandate.items[i]);
	return OK;
}

static int fill_scope(const struct agency_group *from, struct scope *to, struct err *err)
{
	const struct scope_group *scope = &from->scope;

	if (check_scope(from, err))
		return ERR_INVALID;
	to->municipalities = (const char *const *)scope->municipalities.items;
	to->n_municipalities = scope->municipalities.n;
	to->types = (const char *const *)scope->types.items;
	to->n_types = scope->types.n;
	to->class_a = has(&scope->classes, "A");
	to->class_b = has(&scope->classes, "B");
	to->class_c = has(&scope->classes, "C") && has(&scope->mandate, "C");
	to->class_d = has(&scope->classes, "D");
	return OK;
}

static const char *role_names(char names[256])
{
	int used = 0;

	for (int role = ROLE_NONE + 1; role < ROLE_BROKER; role++)
		used += snprintf(names + used, (size_t)(256 - used), "%s%s", used ? ", " : "", role_name((enum role)role)); /* fits */
	return names;
}

static int fill_agency(const struct agency_group *from, struct agency *to, struct err *err)
{
	char names[256];

	if (!agency_id_is_valid(from->id))
		return err_set(err, ERR_INVALID, "agency \"%s\": id must be 1-32 of a-z, 0-9 and -", from->id);
	if (!oin_is_valid(from->oin))
		return err_set(err, ERR_INVALID, "agency %s: oin must have 20 digits", from->id);
	*to = (struct agency){ .id = from->id, .oin = from->oin, .contact = from->contact, .role = role_from_name(from->role), .unconfirmed = from->unconfirmed };
	if (to->role == ROLE_NONE || to->role == ROLE_BROKER)
		return err_set(err, ERR_INVALID, "agency %s: role \"%s\" is unknown; write one of %s", from->id, from->role, role_names(names));
	if (from->codes.n && to->role != ROLE_MUNICIPALITY)
		return err_set(err, ERR_INVALID, "agency %s: only a municipality holds codes", from->id);
	if (from->has_scope && to->role != ROLE_AUDITOR)
		return err_set(err, ERR_INVALID, "agency %s: only an auditor has a scope", from->id);
	for (size_t i = 0; i < from->codes.n; i++)
		if (check_code(from->id, from->codes.items[i], err))
			return ERR_INVALID;
	to->codes = (const char *const *)from->codes.items;
	to->n_codes = from->codes.n;
	return from->has_scope ? fill_scope(from, &to->scope, err) : OK;
}

struct pair { struct agency agency; struct conf_strings keys; };

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct pair *)a)->agency.id, ((const struct pair *)b)->agency.id);
}

static int check_unique(const struct pair *pairs, size_t n, const struct broker_group *broker, struct err *err)
{
	const char *desk = NULL;

	for (size_t i = 0; i < n; i++) {
		if (pairs[i].agency.role == ROLE_DESK && desk)
			return err_set(err, ERR_INVALID, "agencies %s and %s: there is one national desk; give one of them another role", desk, pairs[i].agency.id);
		if (pairs[i].agency.role == ROLE_DESK)
			desk = pairs[i].agency.id;
		if (strcmp(pairs[i].agency.id, broker->id) == 0)
			return err_set(err, ERR_INVALID, "agency %s: has the broker's own id", broker->id);
		for (size_t k = i + 1; k < n; k++) {
			if (strcmp(pairs[i].agency.id, pairs[k].agency.id) == 0)
				return err_set(err, ERR_INVALID, "agency %s: stands there twice; remove one", pairs[i].agency.id);
			if (strcmp(pairs[i].agency.oin, pairs[k].agency.oin) == 0)
				return err_set(err, ERR_INVALID, "agencies %s and %s: have the same oin", pairs[i].agency.id, pairs[k].agency.id);
		}
	}
	return OK;
}

static int fill_agencies(struct broker_config *config, struct err *err)
{
	const struct agency_group *from = config->file.agencies.items;
	size_t n = config->file.agencies.n;
	struct pair *pairs = arena_alloc(&config->arena, n * sizeof *pairs);
	struct agency *agencies = arena_alloc(&config->arena, n * sizeof *agencies);
	struct conf_strings *keys = arena_alloc(&config->arena, n * sizeof *keys);
	int error;

	if (!pairs || !agencies || !keys)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		error = fill_agency(&from[i], &pairs[i].agency, err);
		if (error)
			return error;
		pairs[i].keys = from[i].keys;
	}
	if (check_unique(pairs, n, &config->file.broker, err))
		return ERR_INVALID;
	qsort(pairs, n, sizeof *pairs, by_id);
	for (size_t i = 0; i < n; i++) {
		agencies[i] = pairs[i].agency;
		keys[i] = pairs[i].keys;
	}
	config->policy.agencies = agencies;
	config->policy.n_agencies = n;
	config->key_files = keys;
	return OK;
}

static int by_size_down(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

static int fill_days(struct broker_config *config, const struct conf_ints *from, const char *name, const uint32_t **ret_days, struct err *err)
{
	uint32_t *days = arena_alloc(&config->arena, from->n * sizeof *days);

	if (!days)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < from->n; i++) {
		if (from->items[i] < 0 || from->items[i] > 3660)
			return err_set(err, ERR_INVALID, "rules.%s: %lld is no number of days from 0 to 3660", name, (long long)from->items[i]);
		days[i] = (uint32_t)from->items[i];
	}
	if (from->n)
		qsort(days, from->n, sizeof *days, by_size_down);
	for (size_t i = 1; i < from->n; i++)
		if (days[i] == days[i - 1])
			return err_set(err, ERR_INVALID, "rules.%s: %u stands there twice", name, days[i]);
	*ret_days = days;
	return OK;
}

static int fill_calendar(struct broker_config *config, struct err *err)
{
	const struct calendar_group *from = &config->file.calendar;
	civil_date *holidays = arena_alloc(&config->arena, from->holidays.n * sizeof *holidays);

	if (!holidays)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < from->holidays.n; i++)
		holidays[i] = (civil_date)from->holidays.items[i];
	config->policy.holidays = holidays;
	config->policy.n_holidays = from->holidays.n;
	config->policy.notice_time = from->notice_time;
	config->policy.day_end = from->day_end;
	if (civil_zone_load(from->zone, &config->zone, err))
		return err->code;
	config->policy.zone = config->zone;
	return OK;
}

static void fill_rules(struct policy *to, const struct rules_group *from)
{
	to->confirm_hold = from->confirm_hold;
	to->offer_urgent = from->offer_urgent;
	to->urgent_reminder = from->urgent_reminder;
	to->delivery_overdue = from->delivery_overdue;
	to->screening_days = (int)from->screening_days;
	to->offer_days = (int)from->offer_days;
	to->start_report_days = (int)from->start_report_days;
	to->followup_reminder_days = (int)from->followup_reminder_days;
	to->still_unknown_days = (int)from->still_unknown_days;
	to->behind_days = (int)from->behind_days;
	to->supervision_interval_days = (int)from->supervision_interval_days;
	to->contact_overdue_days = (int)from->contact_overdue_days;
	to->erasure_chase_days = (int)from->erasure_chase_days;
	to->retention_months = (int)from->retention_months;
	to->service_hours_max = (int)from->community_service_hours_max;
	to->gap_milestone_urgent = (int)from->gap_milestone_urgent;
	to->gap_milestone = (int)from->gap_milestone;
}

static int check_limits(const struct limits_group *limits, struct err *err)
{
	if (limits->store_reserve > limits->store_size / 2)
		return err_set(err, ERR_INVALID, "limits.store_reserve: must be at most half of limits.store_size; make the store larger");
	if (limits->resend_after > limits->resend_after_max)
		return err_set(err, ERR_INVALID, "limits.resend_after: must be at most limits.resend_after_max");
	return OK;
}

/* Names both. */
static int code_twice(const struct policy *policy, const char *code, struct err *err)
{
	const char *holders[2] = { "", "" };
	size_t found = 0;

	for (size_t i = 0; i < policy->n_agencies; i++)
		for (size_t k = 0; k < policy->agencies[i].n_codes && found < 2; k++)
			if (strcmp(policy->agencies[i].codes[k], code) == 0)
				holders[found++] = policy->agencies[i].id;
	if (strcmp(holders[0], holders[1]) == 0)
		return err_set(err, ERR_INVALID, "agency %s: code %s stands there twice", holders[0], code);
	return err_set(err, ERR_INVALID, "agencies %s and %s: both hold municipality code %s; leave it with one", holders[0], holders[1], code);
}

static int build(struct broker_config *config, struct err *err)
{
	struct policy *policy = &config->policy;
	const char *code = "";
	char *text = NULL;
	int error;

	if (!agency_id_is_valid(config->file.broker.id) || !oin_is_valid(config->file.broker.oin))
		return err_set(err, ERR_INVALID, "broker: id must be 1-32 of a-z, 0-9 and -, oin 20 digits");
	if (check_limits(&config->file.limits, err) || check_endpoints(&config->file.broker, err))
		return ERR_INVALID;
	policy->broker_id = config->file.broker.id;
	policy->broker_oin = config->file.broker.oin;
	error = fill_calendar(config, err);
	if (!error)
		error = fill_days(config, &config->file.rules.milestones, "milestones", &policy->milestones, err);
	if (!error)
		error = fill_days(config, &config->file.rules.followup_days, "followup_days", &policy->followup_days, err);
	if (!error)
		error = fill_agencies(config, err);
	if (error)
		return error;
	policy->n_milestones = config->file.rules.milestones.n;
	policy->n_followup_days = config->file.rules.followup_days.n;
	fill_rules(policy, &config->file.rules);
	error = policy_index(policy, &config->arena, &code);
	if (error == ERR_EXISTS)
		return code_twice(policy, code, err);
	if (error)
		return err_set(err, error, "out of memory");
	error = conf_text(&config->arena, broker_rows, &config->file, &text);
	config->policy_text = text;
	return error ? err_set(err, error, "out of memory") : OK;
}

/* text NULL: from the file. */
static int load(const char *text, const char *path, struct broker_config **ret_config, struct err *err)
{
	struct broker_config *config = calloc(1, sizeof *config);
	struct err own = { 0 };
	int error;

	if (!config)
		return err_set(err, ERR_NOMEM, "out of memory");
	arena_init(&config->arena, 0);
	error = text ? conf_parse(text, path, "/", broker_rows, &config->file, &config->arena, &own) : conf_read(path, broker_rows, &config->file, &config->arena, &own);
	if (!error)
		error = build(config, &own);
	if (error) {
		broker_config_free(config);
		return err_set(err, error, "%s", strstr(own.text, path) ? own.text : (err_prefix(&own, "%s", path), own.text));
	}
	*ret_config = config;
	return OK;
}

int broker_config_load(const char *path, struct broker_config **ret_config, struct err *err)
{
	return load(NULL, path, ret_config, err);
}

int broker_config_parse(const char *text, struct broker_config **ret_config, struct err *err)
{
	return load(text, "recorded configuration", ret_config, err);
}

void broker_config_free(struct broker_config *config)
{
	if (!config)
		return;
	civil_zone_free(config->zone);
	arena_release(&config->arena);
	free(config);
}

int broker_config_print(FILE *out, const struct broker_config *config)
{
	return conf_print(out, broker_rows, &config->file);
}
