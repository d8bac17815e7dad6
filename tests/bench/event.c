#include "tests/bench/event.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/id.h"
#include "proto/event.pb-c.h"

#define DAY_MS INT64_C(86400000)

moment moment_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail */
	return (moment)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int32_t today(void)
{
	return (int32_t)(moment_now() / DAY_MS);
}

static size_t find(const struct pattern *pattern, const char *text)
{
	const uint8_t *at = memmem(pattern->bytes, pattern->n, text, strlen(text));

	if (!at)
		stop("an event does not hold its %s", text);
	return (size_t)(at - pattern->bytes);
}

static void make(struct pattern *pattern, const char *type, const uint8_t *data, size_t n)
{
	static char id[] = "00000000-0000-7000-8000-000000000000", subject[] = "C-0000000";
	Reentry__Event event = REENTRY__EVENT__INIT;
	char name[32];

	(void)snprintf(name, sizeof name, "%s", type); /* the generated structs want char * */
	event.id = id;
	event.type = name;
	event.subject = subject;
	event.has_data = true;
	event.data = (ProtobufCBinaryData){ n, (uint8_t *)(uintptr_t)data };
	pattern->n = reentry__event__get_packed_size(&event);
	if (n != PAYLOAD || pattern->n > EVENT_ROOM)
		stop("the payload has %zu bytes", n);
	(void)reentry__event__pack(&event, pattern->bytes); /* as many as it said */
	pattern->id_at = find(pattern, id);
	pattern->subject_at = find(pattern, subject);
}

/* Free text that fills a payload: two bytes of length are its overhead beyond `others`. */
static char *fill(char text[PAYLOAD], size_t others)
{
	const size_t n = PAYLOAD - others - 3;

	for (size_t i = 0; i < n; i++)
		text[i] = (char)('a' + i % 26);
	text[n] = 0;
	return text;
}

void pattern_screened(struct pattern *pattern, bool open)
{
	Reentry__NeedStatusChanged need_status = REENTRY__NEED_STATUS_CHANGED__INIT;
	uint8_t data[PAYLOAD + 64];
	char text[PAYLOAD];

	need_status.has_need = need_status.has_status = true;
	need_status.need = REENTRY__NEED__VALUE__HOUSING;
	need_status.status = open ? REENTRY__NEED_STATUS__VALUE__OPEN : REENTRY__NEED_STATUS__VALUE__IN_PROGRESS;
	need_status.note = fill(text, reentry__need_status_changed__get_packed_size(&need_status));
	make(pattern, "need.screened", data, reentry__need_status_changed__pack(&need_status, data));
}

void pattern_date(struct pattern *pattern, int32_t day)
{
	Reentry__ReleaseDateSet set = REENTRY__RELEASE_DATE_SET__INIT;
	Reentry__Date date = REENTRY__DATE__INIT;
	uint8_t data[PAYLOAD + 64];
	char text[PAYLOAD];

	date.has_days = set.has_kind = true;
	date.days = day;
	set.date = &date;
	set.kind = REENTRY__RELEASE_KIND__VALUE__EXPECTED;
	set.reason = fill(text, reentry__release_date_set__get_packed_size(&set));
	make(pattern, "release.date-set", data, reentry__release_date_set__pack(&set, data));
}

void pattern_stamp(const struct pattern *pattern, unsigned on, moment now, uint8_t *bytes)
{
	char id[ID_TEXT_SIZE], subject[32];

	id_new(id, now);
	(void)snprintf(subject, sizeof subject, SUBJECT_FORM, on % 10000000); /* fits */
	memcpy(bytes, pattern->bytes, pattern->n);
	memcpy(bytes + pattern->id_at, id, ID_TEXT_SIZE - 1);
	memcpy(bytes + pattern->subject_at, subject, SUBJECT_SIZE - 1);
}
