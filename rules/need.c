/* Needs, the arranging types, and the combined need CARE (domain.md 5.1). */
#include "lib/pb.h"
#include "rules/handlers.h"

const char *need_name(need code)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(&reentry__need__value__descriptor, (int)code);

	return value ? value->name : "";
}

need_state *need_find(const state *c, need code)
{
	if (code == NEED(CARE))
		return c->care;
	for (size_t i = 0; i < c->n_needs; i++)
		if (c->needs[i]->need == code)
			return c->needs[i];
	return NULL;
}

/* The place of a need's name in their alphabetical order. */
static unsigned name_rank(need code)
{
	static const uint8_t ranks[] = {
		[NEED(ADDICTION)] = 1, [NEED(CARE)] = 2, [NEED(DEBT)] = 3, [NEED(EDUCATION)] = 4, [NEED(FAMILY)] = 5, [NEED(HOUSING)] = 6, [NEED(IDENTITY)] = 7,
		[NEED(INCOME)] = 8, [NEED(INSURANCE)] = 9, [NEED(LVB)] = 10, [NEED(NETWORK)] = 11, [NEED(PSYCHIATRIC)] = 12, [NEED(WORK)] = 13,
	};

	return (size_t)code < sizeof ranks ? ranks[code] : 0;
}

void needs_sort(need *codes, size_t *n)
{
	size_t kept = 0;

	for (size_t i = 0; i < *n; i++) {
		size_t at = 0;

		while (at < kept && name_rank(codes[at]) < name_rank(codes[i]))
			at++;
		if (at < kept && codes[at] == codes[i])
			continue;
		need code = codes[i];

		memmove(codes + at + 1, codes + at, (kept - at) * sizeof *codes);
		codes[at] = code;
		kept++;
	}
	*n = kept;
}

size_t open_needs(const state *c, need codes[16])
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_needs && n < 16; i++) {
		const need_state *it = c->needs[i];

		if (it->has_status && it->status != STATUS(NONE) && it->status != STATUS(ARRANGED))
			codes[n++] = it->need;
	}
	needs_sort(codes, &n);
	return n;
}

/* --- need.screened, need.status-changed ------------------------------------------------------------------------------------ */

CHECK(check_need)
{
	const Reentry__NeedStatusChanged *n = d->data;

	if (n->need == NEED(CARE))
		return refuse(d, "invalid-value", "need: CARE is a combination; name PSYCHIATRIC, ADDICTION or LVB");
	if (n->status == STATUS(ARRANGED) && !n->from_date && !n->until)
		return refuse(d, "invalid-value", "from_date: ARRANGED needs from_date or until");
	return 0;
}

static need_state *need_make(struct rules_run *run, need code)
{
	state *c = run->state;
	need_state *n = need_find(c, code);
	need_state **place;

	if (n)
		return n;
	n = PB_NEW(run->arena, Reentry__NeedState, reentry__need_state);
	if (!n) {
		run->error = ERR_NOMEM;
		return NULL;
	}
	SET(n, need, code);
	if (code == NEED(CARE)) {
		c->care = n;
		return n;
	}
	place = ARENA_PUSH(run->arena, c->needs, c->n_needs);
	if (!place) {
		run->error = ERR_NOMEM;
		return NULL;
	}
	*place = n;
	return n;
}

static void remember_publisher(struct rules_run *run, need_state *n, const char *agency)
{
	char **place;

	for (size_t i = 0; i < n->n_publishers; i++)
		if (same(n->publishers[i], agency))
			return;
	place = ARENA_PUSH(run->arena, n->publishers, n->n_publishers);
	if (!place) {
		run->error = ERR_NOMEM;
		return;
	}
	*place = keep(run, agency);
}

struct need_change { need code; Reentry__NeedStatus__Value status; const Reentry__Date *from, *until; };

static void change(struct rules_run *run, const struct rules_record *record, const struct need_change *to)
{
	need_state *n = need_make(run, to->code);
	bool off = record->envelope->op == OP(CANCEL) || record->envelope->op == OP(RETRACT);

	if (!n)
		return;
	UNSET(n, status);
	UNSET(n, from_date);
	UNSET(n, until);
	if (off)
		UNSET(n, at_risk);
	else
		SET(n, status, to->status);
	if (!off && to->from)
		SET(n, from_date, to->from->days);
	if (!off && to->until)
		SET(n, until, to->until->days);
	if (run->working)
		run->working->touched |= 1u << to->code;
	if (to->code == NEED(CARE))
		return;
	slot_bump(run, &n->slot, record);
	remember_publisher(run, n, record->agency);
}

APPLY(apply_need)
{
	const Reentry__NeedStatusChanged *n = data;
	const need_state *now;

	change(run, record, &(struct need_change){ n->need, n->status, n->from_date, n->until });
	now = need_find(run->state, n->need);
	if (now && now->has_status && same(record->envelope->type, "need.screened") && run->state->inside && !run->state->screened) {
		SET(run->state, screened, true);
		timer_disarm(run->state, TIMER_SCREENING, NULL);
	}
}

/* --- the arranging types --------------------------------------------------------------------------------------------------- */

CHECK(check_arranging)
{
	const Reentry__Arranging *a = d->data;

	if (!d->row->need && !class_c(a->need))
		return refuse(d, "invalid-value", "need: must be PSYCHIATRIC, ADDICTION or LVB");
	if (d->row->need && a->has_need && a->need != d->row->need)
		return refuse(d, "invalid-value", "need: only care.arranged and care.ended name one");
	return 0;
}

APPLY(apply_arranging)
{
	const struct type_row *row = catalogue_find(record->envelope->type);
	const Reentry__Arranging *a = data;
	need code = row->need ? row->need : a->need;
	need_state *n;

	change(run, record, &(struct need_change){ code, row->status, a->from_date, a->until });
	n = need_find(run->state, code);
	if (n && n->has_status && strstr(row->name, ".at-risk"))
		SET(n, at_risk, true);
}

/* --- CARE ------------------------------------------------------------------------------------------------------------------ */

static int worse(Reentry__NeedStatus__Value status)
{
	static const int rank[] = {
		[STATUS(OPEN)] = 7, [STATUS(NOT_POSSIBLE)] = 6, [STATUS(IN_PROGRESS)] = 5, [STATUS(UNKNOWN)] = 4,
		[STATUS(DECLINED_BY_PERSON)] = 3, [STATUS(ARRANGED)] = 2, [STATUS(NONE)] = 1,
	};

	return (size_t)status < sizeof rank / sizeof *rank ? rank[status] : 0;
}

bool care_combined(const state *c, Reentry__NeedStatus__Value *ret_status, bool *ret_has_from, civil_date *ret_from)
{
	bool any = false;

	*ret_has_from = false;
	for (size_t i = 0; i < c->n_needs; i++) {
		const need_state *n = c->needs[i];

		if (!class_c(n->need) || !n->has_status)
			continue;
		if (!any || worse(n->status) > worse(*ret_status))
			*ret_status = n->status;
		any = true;
		if (n->has_from_date && (!*ret_has_from || n->from_date > *ret_from)) {
			*ret_has_from = true;
			*ret_from = n->from_date;
		}
	}
	return any;
}

/* Tells CARE to those who do not see what it combines, only when it changed. */
void care_settle(struct rules_run *run)
{
	Reentry__NeedStatusChanged changed = REENTRY__NEED_STATUS_CHANGED__INIT;
	Reentry__Date from = REENTRY__DATE__INIT;
	const need_state *told = run->state->care;
	Reentry__NeedStatus__Value status = STATUS(UNKNOWN);
	bool has_from = false;
	civil_date from_date = 0;

	if (!care_combined(run->state, &status, &has_from, &from_date) && !told)
		return;
	if (told && told->has_status && told->status == status && told->has_from_date == has_from && (!has_from || told->from_date == from_date))
		return;
	SET(&changed, need, NEED(CARE));
	SET(&changed, status, status);
	if (has_from) {
		SET(&from, days, from_date);
		changed.from_date = &from;
	}
	emit(run, &(struct made){ .type = "need.status-changed", .data = &changed });
}
