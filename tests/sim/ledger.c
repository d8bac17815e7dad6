/* The ledger: what each agency is owed, kept outside the core. What the core hands out must be exactly that: nothing lost, nothing twice, in order, and
 * nothing once it was acknowledged or its relation has ended - across crashes (domain.md 2, 3.4, 9). */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

static struct entry *entry_find(struct sim *s, int agency, uint64_t position)
{
	struct account *a = &s->accounts[agency];
	size_t low = 0, high = a->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (a->entries[middle].position < position)
			low = middle + 1;
		else
			high = middle;
	}
	return low < a->n && a->entries[low].position == position ? &a->entries[low] : NULL;
}

static struct entry *entry_add(struct sim *s, int agency)
{
	struct account *a = &s->accounts[agency];

	if (a->n == a->room) {
		size_t room = a->room ? 2 * a->room : 64;
		struct entry *grown = realloc(a->entries, room * sizeof *grown);

		if (!grown) {
			violated(s, "sim", "out of memory");
			return NULL;
		}
		a->entries = grown;
		a->room = room;
	}
	a->entries[a->n] = (struct entry){ 0 };
	return &a->entries[a->n++];
}

bool ledger_book(struct sim *s, const struct seen *r, int of_case)
{
	struct m_case *c = &s->cases[of_case];

	for (size_t i = 0; i < r->record->n_routes; i++) {
		int agency = agency_of(s, r->record->routes[i]->agency);
		struct entry *e = entry_add(s, agency);
		bool by_consent = false;

		if (!e)
			return false;
		e->position = r->position;
		e->of_case = (int8_t)of_case;
		e->at = r->at;
		e->relations = (uint8_t)(c->now[agency] ? c->now[agency] : c->before[agency]);
		e->care = care_of(s, c, agency, r->at, &by_consent);
		e->by_consent = by_consent;
		e->urgent = r->record->urgent || r->event->priority == REENTRY__PRIORITY__VALUE__URGENT;
	}
	return true;
}

/* The last relation has ended: what was queued before that decision is dropped; what came about in the same turn may still go out before the last message. */
void ledger_drop(struct sim *s, int agency, int of_case, uint64_t before)
{
	struct account *a = &s->accounts[agency];

	for (size_t i = a->first; i < a->n; i++) {
		if (a->entries[i].of_case == of_case && a->entries[i].position >= before)
			a->entries[i].urgent = 0; /* it still goes out, and nobody waits for it any more */
		if (a->entries[i].position >= before)
			continue;
		if (a->entries[i].state != QUEUED || a->entries[i].of_case != of_case)
			continue;
		else if (a->entries[i].position < s->turn_first)
			a->entries[i].state = DROPPED;
		else
			a->entries[i].maybe = 1;
	}
}

/* Consents end by the clock, too: looked at when something is handed out. */
static bool may_be_gone(struct sim *s, int agency, const struct entry *e)
{
	return e->maybe || (e->by_consent && s->told[e->position].class_c & ~care_of(s, &s->cases[e->of_case], agency, s->recorded, NULL));
}

/* A consent has ended: what it alone let through may be gone, and may only be shown without it. */
void ledger_stop(struct sim *s, int agency, int of_case)
{
	struct account *a;

	if (agency < 0)
		return;
	a = &s->accounts[agency];
	for (size_t i = a->first; i < a->n; i++)
		if (a->entries[i].state == QUEUED && a->entries[i].of_case == of_case && may_be_gone(s, agency, &a->entries[i]))
			a->entries[i].maybe = 1;
}

void ledger_acked(struct sim *s, const Reentry__Header *header)
{
	int agency = agency_of(s, header->agency);

	for (size_t i = 0; i < header->n_positions; i++) {
		struct entry *e = agency >= 0 ? entry_find(s, agency, header->positions[i]) : NULL;

		if (!e || e->state != QUEUED)
			violated(s, "acked", "%s acknowledged %llu, which was not queued for it", header->agency, (unsigned long long)header->positions[i]);
		else {
			e->state = ACKED;
			e->acked_at = header->recorded_at;
		}
	}
}

bool ledger_is_acked(struct sim *s, int agency, uint64_t position)
{
	const struct entry *e = entry_find(s, agency, position);

	return !e || e->state != QUEUED;
}

/* What was handed out, from the first on; all: nothing was held back by a limit. */
bool ledger_compare(struct sim *s, int agency, const struct core_delivery *items, size_t n, bool all)
{
	struct account *a = &s->accounts[agency];
	size_t i = a->first, k = 0;

	if (n && plant(s, FAULT_LOSE))
		items++, n--;
	if (n > 1 && plant(s, FAULT_SWAP)) {
		struct core_delivery *swapped = (struct core_delivery *)(uintptr_t)items, first = items[0]; /* the arena's */

		swapped[0] = swapped[1];
		swapped[1] = first;
	}
	while (a->first < a->n && a->entries[a->first].state != QUEUED)
		a->first++;
	for (i = a->first; i < a->n && FINE(s); i++) {
		struct entry *e = &a->entries[i];
		bool maybe = e->state == QUEUED && may_be_gone(s, agency, e);

		if (e->state != QUEUED)
			continue;
		if (k == n && !all)
			break;
		if (k == n || items[k].sequence > e->position) {
			if (!maybe)
				return violated(s, "delivery-lost", "%s is owed %llu (%s) and does not get it", agency_id(s, agency), (unsigned long long)e->position, s->told[e->position].type->name);
			continue;
		}
		if (items[k].sequence < e->position)
			break;
		shown_check(s, agency, e, items[k].delivery);
		e->delivered = 1;
		s->deliveries++;
		if (k && plant(s, FAULT_DOUBLE))
			continue;
		k++;
	}
	if (k < n && FINE(s))
		return violated(s, "delivery-doubled", "%s gets %llu, which is not owed to it (any more), or out of order", agency_id(s, agency), (unsigned long long)items[k].sequence);
	return FINE(s);
}

/* Urgent deliveries that are not acknowledged are reported after their time, once; those that were acknowledged in time never. */
bool ledger_check(struct sim *s)
{
	for (int agency = 0; agency < (int)s->policy->n_agencies; agency++) {
		const struct account *a = &s->accounts[agency];

		for (size_t i = a->first; i < a->n && FINE(s); i++) {
			const struct entry *e = &a->entries[i];

			if (e->state == QUEUED && e->urgent && !e->overdue && !e->maybe && e->at + s->policy->delivery_overdue <= world_now(s))
				violated(s, "overdue", "%s has not acknowledged %llu (%s, URGENT) and nobody was told", agency_id(s, agency), (unsigned long long)e->position, s->told[e->position].type->name);
		}
	}
	return FINE(s);
}

void ledger_free(struct sim *s)
{
	for (size_t i = 0; i < AGENCIES; i++)
		free(s->accounts[i].entries);
	for (size_t i = 0; i < s->n_receipts; i++)
		free(s->receipts[i].content);
	free(s->receipts);
	free(s->told);
}
