#include "cli/notice.h"

#include <stdlib.h>
#include <string.h>

#define MEMORY_MAX ((size_t)2 << 30)
#define BUCKETS 65536
#define NO_DATE INT32_MIN

const char notice_types[] = "custody.started,release.date-set,release.date-unknown,release.ordered,release.approaching,release.recorded,release.reversed,release.confirmed,case.snapshot";

struct folded;
/* Something that was said of a case's release. */
struct said {
	uint64_t sequence;
	struct folded *of;
	civil_date date;                /* NO_DATE: that there is none */
	enum { SAID_DATE, SAID_ORDERED, SAID_RECORDED, SAID_RELEASED } kind;
	bool undone;                    /* it was never true */
	struct tell *tells;             /* to whom it went */
};
struct tell { struct said *said; struct town *town; moment acked; struct tell *next_of_said, *older; };
struct town { const char *id; struct tell *newest; struct town *next; };
struct custody { uint64_t sequence; civil_date day; struct custody *before; };
struct folded { const char *subject; struct town *towns; struct custody *custody; struct folded *next; };
struct notice {
	struct arena arena;
	const struct civil_zone *zone;
	struct folded *buckets[BUCKETS];
	struct said **said; size_t n_said;          /* by sequence: so they come */
	struct release **releases; size_t n_releases;
};
struct release { struct said *said; struct custody *custody; struct town **towns; size_t n_towns; };

struct notice *notice_new(const struct civil_zone *zone)
{
	struct notice *notice = calloc(1, sizeof *notice);
	if (notice == NULL)
		return NULL;
	arena_init(&notice->arena, MEMORY_MAX);
	notice->zone = zone;
	return notice;
}

void notice_free(struct notice *notice)
{
	if (notice != NULL)
		arena_release(&notice->arena);
	free(notice);
}

/* --- what is known of a case --------------------------------------------------------------------------------------------- */

static struct folded *case_of(struct notice *notice, const char *subject)
{
	uint32_t hash = 2166136261u;
	for (const char *c = subject; *c != '\0'; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	struct folded **at = &notice->buckets[(hash ^ hash >> 16) % BUCKETS];
	for (struct folded *it = *at; it != NULL; it = it->next)
		if (strcmp(it->subject, subject) == 0)
			return it;
	struct folded *made = arena_alloc(&notice->arena, sizeof *made);
	if (made == NULL || (made->subject = arena_strdup(&notice->arena, subject)) == NULL)
		return NULL;
	made->next = *at;
	return *at = made;
}

static struct town *town_of(struct notice *notice, struct folded *of, const char *id)
{
	for (struct town *it = of->towns; it != NULL; it = it->next)
		if (strcmp(it->id, id) == 0)
			return it;
	struct town *made = arena_alloc(&notice->arena, sizeof *made);
	if (made == NULL || (made->id = arena_strdup(&notice->arena, id)) == NULL)
		return NULL;
	made->next = of->towns;
	return of->towns = made;
}

static civil_date day_of(const struct notice *notice, moment when)
{
	return notice->zone != NULL ? civil_date_of(notice->zone, when) : (civil_date)(when / 86400000);
}

static struct said *find_said(const struct notice *notice, uint64_t sequence)
{
	size_t low = 0, high = notice->n_said;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (notice->said[middle]->sequence < sequence)
			low = middle + 1;
		else
			high = middle;
	}
	return low < notice->n_said && notice->said[low]->sequence == sequence ? notice->said[low] : NULL;
}

static struct said *add_said(struct notice *notice, struct folded *of, uint64_t sequence, civil_date date)
{
	struct said *made = arena_alloc(&notice->arena, sizeof *made), **place = ARENA_PUSH(&notice->arena, notice->said, notice->n_said);
	if (place == NULL)
		return NULL;
	if (made == NULL) {
		notice->n_said--;
		return NULL;
	}
	*made = (struct said){.sequence = sequence, .of = of, .date = date};
	return *place = made;
}

/* --- events ---------------------------------------------------------------------------------------------------------------- */

struct event { uint64_t sequence; moment recorded; bool off; const struct object *data; struct folded *of; };

static moment moment_in(const struct object *data, const char *name)
{
	const char *text = object_text(data, name);
	moment when;
	return text != NULL && civil_parse_moment(text, &when) == OK ? when : MOMENT_NONE;
}

static int say_date(struct notice *notice, const struct event *event, const char *field)
{
	const char *text = object_text(event->data, field);
	civil_date date = NO_DATE;
	if (event->off || text == NULL || civil_parse_date(text, &date) != OK)
		date = NO_DATE;
	return add_said(notice, event->of, event->sequence, date) != NULL ? OK : ERR_NOMEM;
}

static int on_date_set(struct notice *notice, const struct event *event)
{
	return say_date(notice, event, "date");
}

static int on_notice(struct notice *notice, const struct event *event)
{
	return say_date(notice, event, "release_date");
}

static int on_unknown(struct notice *notice, const struct event *event)
{
	return say_date(notice, event, "");
}

/* An order is for the day on which it came. */
static int on_ordered(struct notice *notice, const struct event *event)
{
	struct said *said = add_said(notice, event->of, event->sequence, event->off ? NO_DATE : day_of(notice, event->recorded));
	if (said != NULL && !event->off)
		said->kind = SAID_ORDERED;
	return said != NULL ? OK : ERR_NOMEM;
}

/* Takes back what was said of a release since the custody began, newest first. */
static void undo(struct notice *notice, const struct folded *of, bool confirmed_too)
{
	uint64_t since = of->custody != NULL ? of->custody->sequence : 0;
	for (size_t i = notice->n_said; i-- > 0 && notice->said[i]->sequence > since;)
		if (notice->said[i]->of == of && (notice->said[i]->kind == SAID_RECORDED || (confirmed_too && notice->said[i]->kind == SAID_RELEASED)))
			notice->said[i]->undone = true;
}

static int on_released(struct notice *notice, const struct event *event, bool confirmed)
{
	moment at = moment_in(event->data, "released_at");
	if (event->off) {
		undo(notice, event->of, true);
		return OK;
	}
	struct said *said = add_said(notice, event->of, event->sequence, day_of(notice, at != MOMENT_NONE ? at : event->recorded));
	if (said == NULL)
		return ERR_NOMEM;
	said->kind = confirmed ? SAID_RELEASED : SAID_RECORDED;
	struct release **place = confirmed ? ARENA_PUSH(&notice->arena, notice->releases, notice->n_releases) : NULL;
	if (!confirmed)
		return OK;
	struct release *release = place != NULL ? arena_alloc(&notice->arena, sizeof *release) : NULL;
	if (release == NULL) {
		notice->n_releases -= place != NULL;
		return ERR_NOMEM;
	}
	*release = (struct release){.said = said, .custody = event->of->custody};
	*place = release;
	return OK;
}

static int on_recorded(struct notice *notice, const struct event *event)
{
	return on_released(notice, event, false);
}

static int on_confirmed(struct notice *notice, const struct event *event)
{
	return on_released(notice, event, true);
}

static int on_reversed(struct notice *notice, const struct event *event)
{
	undo(notice, event->of, false); /* a confirmation that went before is retracted by an event of its own */
	return OK;
}

static int on_custody(struct notice *notice, const struct event *event)
{
	moment start = moment_in(event->data, "start");
	struct custody *made = event->off ? NULL : arena_alloc(&notice->arena, sizeof *made);
	if (event->off)
		return OK;
	if (made == NULL)
		return ERR_NOMEM;
	*made = (struct custody){event->sequence, day_of(notice, start != MOMENT_NONE ? start : event->recorded), event->of->custody};
	event->of->custody = made;
	return OK;
}

static const struct { const char *type; int (*take)(struct notice *, const struct event *); } rows[] = {
	{"custody.started", on_custody},       {"release.date-set", on_date_set}, {"release.date-unknown", on_unknown}, {"release.ordered", on_ordered},    {"release.approaching", on_notice},
	{"release.recorded", on_recorded},     {"release.reversed", on_reversed}, {"release.confirmed", on_confirmed},  {"case.snapshot", on_notice},
};

static int take_event(struct notice *notice, const struct object *line, const char *type)
{
	static const char prefix[] = "nl.reentry.";
	const char *subject = object_text(line, "subject"), *op = object_text(line, "op"), *sequence = object_text(line, "sequence"), *recorded = object_text(line, "recordedtime");
	struct event event = {0};
	struct object data;
	struct arena arena;
	int r = OK;
	if (strncmp(type, prefix, sizeof prefix - 1) == 0)
		type += sizeof prefix - 1;
	if (subject == NULL || sequence == NULL || recorded == NULL || civil_parse_moment(recorded, &event.recorded) != OK)
		return OK;
	arena_init(&arena, 0);
	event.sequence = strtoull(sequence, NULL, 10); /* 20 digits of the broker's */
	event.off = op != NULL && (strcmp(op, "CANCEL") == 0 || strcmp(op, "RETRACT") == 0);
	event.data = object_inside(line, "data", &arena, &data) ? &data : NULL;
	for (size_t i = 0; event.data != NULL && i < sizeof rows / sizeof *rows; i++)
		if (strcmp(rows[i].type, type) == 0) {
			event.of = case_of(notice, subject);
			r = event.of != NULL ? rows[i].take(notice, &event) : ERR_NOMEM;
		}
	arena_release(&arena);
	return r;
}

/* --- whom it went to, and who has it ----------------------------------------------------------------------------------------- */

static bool is_municipality(const struct object *to)
{
	const struct json_value *relations = object_get(to, "relations");
	for (size_t i = 0; relations != NULL && relations->kind == JSON_ARRAY && i < relations->n; i++)
		if (relations->items[i].kind == JSON_STRING && strcmp(relations->items[i].text, "municipality") == 0)
			return true;
	return false;
}

static int add_tell(struct notice *notice, struct said *said, const char *agency)
{
	struct town *town = town_of(notice, said->of, agency);
	struct tell *tell = town != NULL ? arena_alloc(&notice->arena, sizeof *tell) : NULL;
	if (tell == NULL)
		return ERR_NOMEM;
	*tell = (struct tell){said, town, MOMENT_NONE, said->tells, town->newest};
	said->tells = town->newest = tell;
	if (said->kind != SAID_RELEASED || notice->n_releases == 0 || notice->releases[notice->n_releases - 1]->said != said)
		return OK;
	struct release *release = notice->releases[notice->n_releases - 1];
	struct town **place = ARENA_PUSH(&notice->arena, release->towns, release->n_towns);
	if (place == NULL)
		return ERR_NOMEM;
	*place = town;
	return OK;
}

static int take_routed(struct notice *notice, const struct object *line)
{
	const char *sequence = object_text(line, "sequence");
	struct said *said = sequence != NULL ? find_said(notice, strtoull(sequence, NULL, 10)) : NULL;
	struct arena arena;
	struct object to;
	int r = OK;
	arena_init(&arena, 0);
	for (size_t i = 0; said != NULL && r == OK && object_at(line, "to", i, &arena, &to); i++)
		if (is_municipality(&to) && object_text(&to, "agency") != NULL)
			r = add_tell(notice, said, object_text(&to, "agency"));
	arena_release(&arena);
	return r;
}

static void take_acked(struct notice *notice, const struct object *line)
{
	const char *agency = object_text(line, "agency"), *recorded = object_text(line, "recordedtime");
	const struct json_value *list = object_get(line, "sequences");
	moment at;
	if (agency == NULL || recorded == NULL || civil_parse_moment(recorded, &at) != OK || list == NULL || list->kind != JSON_ARRAY)
		return;
	for (size_t i = 0; i < list->n; i++) {
		struct said *said = list->items[i].kind == JSON_STRING ? find_said(notice, strtoull(list->items[i].text, NULL, 10)) : NULL;
		for (struct tell *tell = said != NULL ? said->tells : NULL; tell != NULL; tell = tell->next_of_said)
			if (strcmp(tell->town->id, agency) == 0 && tell->acked == MOMENT_NONE)
				tell->acked = at;
	}
}

int notice_take(struct notice *notice, const struct object *line)
{
	const char *record = object_text(line, "record"), *type = object_text(line, "type");
	if (record == NULL)
		return type != NULL ? take_event(notice, line, type) : OK;
	if (strcmp(record, "routed") == 0)
		return take_routed(notice, line);
	if (strcmp(record, "acked") == 0)
		take_acked(notice, line);
	return OK;
}

/* --- the answer ---------------------------------------------------------------------------------------------------------------- */

static moment earlier(moment a, moment b)
{
	return a == MOMENT_NONE || b < a ? b : a;
}

static int32_t days_before(const struct notice *notice, civil_date day, moment told)
{
	return told == MOMENT_NONE ? NOTICE_NEVER : day - day_of(notice, told);
}

/* Back from the release, through what the agency had on disk: as long as it was told that very day without another in between, it knew. */
static void measure(const struct notice *notice, const struct release *release, const struct town *town, int32_t late_days, struct notice_release *ret)
{
	const uint64_t since = release->custody != NULL ? release->custody->sequence : 0;
	const civil_date day = release->said->date;
	moment told = MOMENT_NONE, first = MOMENT_NONE;
	bool unbroken = true;
	*ret = (struct notice_release){.municipality = town->id, .subject = release->said->of->subject, .day = day};
	for (const struct tell *tell = town->newest; tell != NULL && tell->said->sequence >= since; tell = tell->older) {
		if (tell->said->sequence > release->said->sequence || tell->said->undone)
			continue;
		ret->ordered = ret->ordered || (tell->said->kind == SAID_ORDERED && tell->said->date == day);
		if (tell->acked == MOMENT_NONE)
			continue;
		unbroken = unbroken && tell->said->date == day;
		if (unbroken)
			told = earlier(told, tell->acked);
		if (tell->said->date != NO_DATE)
			first = earlier(first, tell->acked);
	}
	int32_t possible = release->custody != NULL ? day - release->custody->day : late_days, due = possible < late_days ? possible : late_days;
	ret->days = days_before(notice, day, told);
	ret->first_days = days_before(notice, day, first);
	ret->late = ret->days < due;
}

static int by_town(const void *a, const void *b)
{
	const struct notice_release *x = a, *y = b;
	int order = strcmp(x->municipality, y->municipality);
	if (order == 0)
		order = (x->day > y->day) - (x->day < y->day);
	return order != 0 ? order : strcmp(x->subject, y->subject);
}

static int by_days(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
	return (x > y) - (x < y);
}

static int32_t median_twice(const int32_t *sorted, size_t n)
{
	int32_t low = sorted[(n - 1) / 2], high = sorted[n / 2];
	return low == NOTICE_NEVER ? NOTICE_NEVER : low + high;
}

static int sum_up(struct notice *notice, struct notice_report *report)
{
	int32_t *days = arena_alloc(&notice->arena, report->n_releases * sizeof *days);
	if (days == NULL)
		return ERR_NOMEM;
	for (size_t i = 0, n; i < report->n_releases; i += n) {
		struct notice_town *town = ARENA_PUSH(&notice->arena, report->towns, report->n_towns);
		if (town == NULL)
			return ERR_NOMEM;
		town->municipality = report->releases[i].municipality;
		for (n = 0; i + n < report->n_releases && strcmp(report->releases[i + n].municipality, town->municipality) == 0; n++) {
			days[n] = report->releases[i + n].days;
			town->late += report->releases[i + n].late;
		}
		qsort(days, n, sizeof *days, by_days);
		town->releases = n;
		town->worst = days[0];
		town->median_twice = median_twice(days, n);
	}
	return OK;
}

int notice_finish(struct notice *notice, civil_date from, civil_date to, int32_t late_days, struct notice_report *ret_report)
{
	*ret_report = (struct notice_report){0};
	for (size_t i = 0; i < notice->n_releases; i++) {
		const struct release *release = notice->releases[i];
		if (release->said->undone || release->said->date < from || release->said->date >= to)
			continue;
		for (size_t k = 0; k < release->n_towns; k++) {
			struct notice_release *line = ARENA_PUSH(&notice->arena, ret_report->releases, ret_report->n_releases);
			if (line == NULL)
				return ERR_NOMEM;
			measure(notice, release, release->towns[k], late_days, line);
		}
	}
	if (ret_report->n_releases > 0)
		qsort(ret_report->releases, ret_report->n_releases, sizeof *ret_report->releases, by_town);
	return sum_up(notice, ret_report);
}
