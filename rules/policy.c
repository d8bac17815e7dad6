#include "rules/policy.h"

#include <stdlib.h>
#include <string.h>

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

const struct agency *policy_agency(const struct policy *policy, const char *id)
{
	size_t low = 0, high = policy->n_agencies;

	while (id && low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(id, policy->agencies[middle].id);

		if (order == 0)
			return &policy->agencies[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static int by_code(const void *a, const void *b)
{
	return strcmp(((const struct policy_code *)a)->code, ((const struct policy_code *)b)->code);
}

int policy_index(struct policy *policy, struct arena *arena, const char **ret_code)
{
	struct policy_code *codes = NULL;
	size_t n = 0;

	policy->desk = NULL;
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
	return OK;
}

const struct agency *policy_municipality(const struct policy *policy, const char *code)
{
	struct policy_code wanted = { code, NULL };
	const struct policy_code *found = code && policy->n_by_code
		? bsearch(&wanted, policy->by_code, policy->n_by_code, sizeof wanted, by_code) : NULL;

	return found ? found->agency : NULL;
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
