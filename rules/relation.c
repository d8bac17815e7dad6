/* Who has a relation to a case, and who is responsible (domain.md 2 and 6.2). Derived from the state at each question; never stored. */
#include "rules/internal.h"

bool needs_desk(const state *c, const struct policy *policy)
{
	if (!c->destination || same(c->destination, "0000"))
		return true;
	return !same(c->destination, "9999") && !policy_municipality(policy, c->destination);
}

/* The case was merged into one that this agency has no relation to. */
static bool has_left(const state *c, const char *agency)
{
	for (size_t i = 0; i < c->n_left; i++)
		if (same(c->left[i], agency))
			return true;
	return false;
}

uint32_t relations_of_agency(const state *c, const struct policy *policy, const char *agency)
{
	const struct agency *who = policy_agency(policy, agency);
	uint32_t bits = 0;

	if (!c || !who || has_left(c, agency))
		return 0;
	if (same(c->custodian, agency))
		bits |= REL_CUSTODIAN;
	if (policy_municipality(policy, c->origin) == who || policy_municipality(policy, c->destination) == who)
		bits |= REL_MUNICIPALITY;
	if (who->role == ROLE_DESK && needs_desk(c, policy) && policy_desk(policy) == who)
		bits |= REL_DESK;
	for (size_t i = 0; i < c->n_sanctions; i++) {
		const sanction *s = c->sanctions[i];

		if (same(s->authority, agency))
			bits |= REL_AUTHORITY;
		if (s->running && same(s->supervisor, agency))
			bits |= REL_SUPERVISOR;
	}
	for (size_t i = 0; i < c->n_handovers; i++) {
		const handover *h = c->handovers[i];

		if (same(h->to, agency))
			bits |= h->provider ? REL_PROVIDER : handover_is_candidate(h) ? REL_CANDIDATE : 0;
	}
	return bits;
}

/* A policy's agencies are sorted by id, and so are their places in memory: the list is in order of both. Returns where the agency stands, or would. */
static size_t related_at(const struct related *list, size_t n, const struct agency *agency)
{
	size_t low = 0, high = n;

	if (n && list[n - 1].agency < agency)
		return n; /* many are put in in their order */
	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (list[middle].agency < agency)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct related *related_find(const struct related *list, size_t n, const struct agency *agency)
{
	const size_t at = related_at(list, n, agency);

	return at < n && list[at].agency == agency ? &list[at] : NULL;
}

/* The list has room. */
static void related_add(struct related *list, size_t *n, const struct agency *agency, uint32_t bit)
{
	size_t at;

	if (!agency)
		return;
	at = related_at(list, *n, agency);
	if (at == *n || list[at].agency != agency) {
		if (at < *n)
			memmove(list + at + 1, list + at, (*n - at) * sizeof *list);
		list[at] = (struct related){ agency, 0 };
		(*n)++;
	}
	list[at].relations |= bit;
}

/* What a state names and gives a relation by it: an agency, or the code of a municipality. bit 0: none at present. */
struct naming { const char *name; uint32_t bit; };

static size_t namings(const state *c)
{
	return 3 + 2 * c->n_sanctions + c->n_handovers;
}

static struct naming naming_at(const state *c, size_t i)
{
	const sanction *s;
	const handover *h;

	if (i < 3)
		return i == 0 ? (struct naming){ c->custodian, REL_CUSTODIAN } : (struct naming){ i == 1 ? c->origin : c->destination, REL_MUNICIPALITY };
	i -= 3;
	if (i < 2 * c->n_sanctions) {
		s = c->sanctions[i / 2];
		return i % 2 == 0 ? (struct naming){ s->authority, REL_AUTHORITY } : (struct naming){ s->supervisor, s->running ? REL_SUPERVISOR : 0 };
	}
	h = c->handovers[i - 2 * c->n_sanctions];
	return (struct naming){ h->to, h->provider ? REL_PROVIDER : handover_is_candidate(h) ? REL_CANDIDATE : 0 };
}

/* Built from what the state names, not by asking each of some hundred agencies. */
int relations_of(const Reentry__CaseState *c, const struct policy *policy, struct arena *arena, struct related **ret_related, size_t *ret_n)
{
	const size_t all = c ? namings(c) : 0;
	struct related *list;
	size_t n = 0;

	*ret_related = NULL;
	*ret_n = 0;
	if (!c)
		return OK;
	list = arena_room(arena, (all + 1) * sizeof *list); /* each naming names one at most, and there is one desk */
	if (!list)
		return ERR_NOMEM;
	for (size_t i = 0; i < all; i++) {
		const struct naming it = naming_at(c, i);

		if (it.bit && it.name)
			related_add(list, &n, it.bit == REL_MUNICIPALITY ? policy_municipality(policy, it.name) : policy_agency(policy, it.name), it.bit);
	}
	if (needs_desk(c, policy))
		related_add(list, &n, policy_desk(policy), REL_DESK);
	*ret_related = list;
	for (size_t i = 0; i < n; i++)
		if (!has_left(c, list[i].agency->id))
			list[(*ret_n)++] = list[i];
	return OK;
}

/* A text of a state is never written to, and its memory lasts as long as the arena: the same place is the same name. */
static bool is_still(const struct relations *known, const state *c, const struct policy *policy)
{
	if (!known->namings || known->policy != policy || !c || c->n_left || known->n_namings != namings(c))
		return false;
	for (size_t i = 0; i < known->n_namings; i++) {
		const struct naming it = naming_at(c, i);

		if (it.name != known->namings[i].name || it.bit != known->namings[i].bit)
			return false;
	}
	return true;
}

int relations_again(struct relations *known, const Reentry__CaseState *c, const struct policy *policy, struct arena *arena)
{
	struct naming *names;
	int error;

	if (is_still(known, c, policy))
		return OK;
	*known = (struct relations){ .policy = policy };
	error = relations_of(c, policy, arena, &known->list, &known->n);
	names = !error && c && !c->n_left ? arena_room(arena, namings(c) * sizeof *names) : NULL;
	if (!names)
		return error; /* it is made anew the next time */
	known->n_namings = namings(c);
	for (size_t i = 0; i < known->n_namings; i++)
		names[i] = naming_at(c, i);
	known->namings = names;
	return OK;
}

uint32_t care_access(const state *c, const struct agency *agency, uint32_t relations, moment now, bool *ret_by_consent)
{
	uint32_t bits = 0;
	bool consent = false;

	if ((relations & REL_PROVIDER) && agency->role == ROLE_CARE)
		bits = CARE_ALL;
	for (size_t i = 0; i < c->n_needs; i++)
		for (size_t k = 0; k < c->needs[i]->n_publishers; k++)
			if (same(c->needs[i]->publishers[k], agency->id))
				bits |= care_bit(c->needs[i]->need);
	for (size_t i = 0; i < c->n_consents; i++) {
		const Reentry__Consent *given = c->consents[i];

		if (same(given->to, agency->id) && given->class_ == CLASS(C) && (!given->has_until || now < given->until) && bits != CARE_ALL)
			consent = true;
	}
	if (ret_by_consent)
		*ret_by_consent = consent;
	return consent ? CARE_ALL : bits;
}

uint32_t rules_care(const Reentry__CaseState *c, const struct policy *policy, const char *id, moment now)
{
	const struct agency *agency = policy_agency(policy, id);

	return agency ? care_access(c, agency, relations_of_agency(c, policy, id), now, NULL) : 0;
}

const char *responsible(const state *c, const handover *h, const struct policy *policy, moment now)
{
	const struct agency *who;

	if (h->provider && h->has_start_date && now >= civil_moment(policy->zone, h->start_date, 0))
		return h->to;
	who = policy_municipality(policy, c->destination);
	if (!who)
		who = policy_municipality(policy, c->origin);
	if (!who)
		who = policy_desk(policy);
	return who ? who->id : h->offerer;
}
