#include "rules/policy.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"

static const char *const role_names[] = {
	[ROLE_NONE] = "", [ROLE_COURT] = "court", [ROLE_PRISON] = "prison", [ROLE_PROBATION] = "probation",
	[ROLE_MUNICIPALITY] = "municipality", [ROLE_CARE] = "care", [ROLE_HOUSING] = "housing", [ROLE_EDUCATION] = "education",
	[ROLE_EMPLOYER] = "employer", [ROLE_VOLUNTEER] = "volunteer", [ROLE_AUDITOR] = "auditor", [ROLE_DESK] = "desk",
	[ROLE_BROKER] = "broker",
};

enum role role_from_name(const char *name)
{
	for (unsigned role = ROLE_COURT; role <= ROLE_DESK; role++)
		if (strcmp(role_names[role], name) == 0)
			return (enum role)role;
	return ROLE_NONE;
}

const char *role_name(enum role role)
{
	return (unsigned)role < sizeof role_names / sizeof *role_names ? role_names[role] : "";
}

/* The place of an id in the hash: where it is, or the free one where it belongs. */
static size_t id_slot(const struct policy *policy, const uint16_t *slots, size_t n, const char *id)
{
	uint32_t hash = 2166136261u;
	size_t at;

	for (const char *c = id; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	for (at = (hash ^ hash >> 16) & (n - 1); slots[at]; at = (at + 1) & (n - 1))
		if (strcmp(policy->agencies[slots[at] - 1].id, id) == 0)
			break;
	return at;
}

const struct agency *policy_agency(const struct policy *policy, const char *id)
{
	size_t at;

	if (!id || !policy->n_by_id)
		return NULL;
	at = id_slot(policy, policy->by_id, policy->n_by_id, id);
	return policy->by_id[at] ? &policy->agencies[policy->by_id[at] - 1] : NULL;
}

static int by_code(const void *a, const void *b)
{
	return strcmp(((const struct policy_code *)a)->code, ((const struct policy_code *)b)->code);
}

/* 0 to 9999; negative: it is no municipality's code. */
static int code_number(const char *code)
{
	int n = 0;

	for (int i = 0; i < 4; i++) {
		if (code[i] < '0' || code[i] > '9')
			return -1;
		n = n * 10 + code[i] - '0';
	}
	return code[4] ? -1 : n;
}

static int index_ids(struct policy *policy, struct arena *arena)
{
	size_t n = 16;
	uint16_t *slots;

	while (n < policy->n_agencies * 2)
		n *= 2;
	slots = arena_alloc(arena, n * sizeof *slots);
	if (!slots || policy->n_agencies >= UINT16_MAX)
		return ERR_NOMEM;
	for (size_t i = 0; i < policy->n_agencies; i++)
		slots[id_slot(policy, slots, n, policy->agencies[i].id)] = (uint16_t)(i + 1);
	policy->by_id = slots;
	policy->n_by_id = n;
	return OK;
}

static int index_codes(struct policy *policy, struct arena *arena)
{
	uint16_t *numbers = arena_alloc(arena, 10000 * sizeof *numbers);

	if (!numbers)
		return ERR_NOMEM;
	for (size_t i = 0; i < policy->n_by_code; i++)
		if (code_number(policy->by_code[i].code) >= 0)
			numbers[code_number(policy->by_code[i].code)] = (uint16_t)(policy->by_code[i].agency - policy->agencies + 1);
	policy->by_number = numbers;
	return OK;
}

int policy_index(struct policy *policy, struct arena *arena, const char **ret_code)
{
	struct policy_code *codes = NULL;
	size_t n = 0;

	policy->desk = NULL;
	if (index_ids(policy, arena))
		return ERR_NOMEM;
	for (size_t i = 0; i < policy->n_agencies; i++) {
		const struct agency *agency = &policy->agencies[i];

		if (agency->role == ROLE_DESK && !policy->desk)
			policy->desk = agency;
		for (size_t k = 0; k < agency->n_codes; k++) {
			struct policy_code *place = ARENA_PUSH(arena, codes, n);

			if (!place)
				return ERR_NOMEM;
			*place = (struct policy_code){ agency->codes[k], agency };
		}
	}
	if (n)
		qsort(codes, n, sizeof *codes, by_code);
	for (size_t i = 1; i < n; i++)
		if (strcmp(codes[i].code, codes[i - 1].code) == 0) {
			if (ret_code)
				*ret_code = codes[i].code;
			return ERR_EXISTS;
		}
	policy->by_code = codes;
	policy->n_by_code = n;
	return index_codes(policy, arena);
}

const struct agency *policy_municipality(const struct policy *policy, const char *code)
{
	const int number = code && policy->by_number ? code_number(code) : -1;

	return number >= 0 && policy->by_number[number] ? &policy->agencies[policy->by_number[number] - 1] : NULL;
}

const struct agency *policy_desk(const struct policy *policy)
{
	return policy->desk;
}

moment policy_notice(const struct policy *policy, civil_date date)
{
	return civil_moment(policy->zone, date, policy->notice_time);
}

moment policy_day_end(const struct policy *policy, civil_date date)
{
	return civil_moment(policy->zone, date, policy->day_end);
}

civil_date policy_today(const struct policy *policy, moment now)
{
	return civil_date_of(policy->zone, now);
}

civil_date policy_working_days(const struct policy *policy, civil_date date, int n)
{
	return civil_add_working_days(policy->holidays, policy->n_holidays, date, n);
}
