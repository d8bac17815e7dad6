/* One seed: some cases, some dozen random steps - bursts of events, jumps of the clock, links, crashes, things handed in again - and a check after each. */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STEPS_MIN 40
#define STEPS_MORE 60
#define MINUTE INT64_C(60000)
#define DAY INT64_C(86400000)

uint64_t draw(struct sim *s)
{
	uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

size_t below(struct sim *s, size_t n)
{
	return (size_t)(draw(s) % n);
}

bool chance(struct sim *s, unsigned percent)
{
	return below(s, 100) < percent;
}

bool plant(struct sim *s, enum fault fault)
{
	if (s->fault != fault || s->planted)
		return false;
	s->planted = true;
	return true;
}

void trace(struct sim *s, const char *format, ...)
{
	char *line = s->lines[s->n_lines++ % TRACE_LINES], when[CIVIL_MOMENT_SIZE];
	va_list args;
	int n = snprintf(line, TRACE_SIZE, "%d ", s->step);

	va_start(args, format);
	(void)vsnprintf(line + n, (size_t)(TRACE_SIZE - n), format, args); /* cut to fit: it is for people */
	va_end(args);
	if (s->tracing)
		printf("%s %s\n", civil_format_moment(world_now(s), when), line);
}

bool violated(struct sim *s, const char *invariant, const char *format, ...)
{
	va_list args;

	if (s->violation)
		return false;
	s->violation = invariant;
	va_start(args, format);
	(void)vsnprintf(s->why, sizeof s->why, format, args); /* cut to fit: it is for people */
	va_end(args);
	return false;
}

/* --- steps --------------------------------------------------------------------------------------------------------------------- */

/* Something handed in before, as it was or changed. */
static bool publish_again(struct sim *s)
{
	const struct handed_in *known = &s->receipts[below(s, s->n_receipts)];
	uint8_t *content = arena_dup(&s->arena, known->content, known->n);
	bool changed = chance(s, 25);

	if (!content)
		return violated(s, "sim", "out of memory");
	if (changed) /* another subject: the last letter of the reference */
		for (size_t i = 0; i + 3 < known->n; i++)
			if (content[i] == 'C' && content[i + 1] == '-' && content[i + 2] >= '1' && content[i + 2] <= '9') {
				content[i + 2] = content[i + 2] == '1' ? '2' : '1';
				break;
			}
	trace(s, "publish again%s %s by %s", changed ? " changed" : "", known->id, agency_id(s, known->agency));
	return world_publish(s, known->agency, content, known->n);
}

static bool publish_garbage(struct sim *s)
{
	size_t n = below(s, 200);
	uint8_t *content = arena_alloc(&s->arena, n + 1);

	if (!content)
		return violated(s, "sim", "out of memory");
	for (size_t i = 0; i < n; i++)
		content[i] = (uint8_t)draw(s);
	trace(s, "publish %zu bytes of garbage", n);
	return world_publish(s, (int)below(s, s->policy->n_agencies), content, n);
}

static bool publish_one(struct sim *s)
{
	struct m_case *c = &s->cases[below(s, s->n_cases)];
	uint8_t *content = NULL;
	size_t n = 0;
	int agency = 0;

	if (s->n_receipts && chance(s, 5))
		return publish_again(s);
	if (chance(s, 1))
		return publish_garbage(s);
	relations_refresh(s, c);
	return make_event(s, c, &agency, &content, &n) && world_publish(s, agency, content, n);
}

/* A burst of one to some events in one turn; now and then deadlines and acknowledgements in the same one; now and then the broker dies in it. */
static bool step_publish(struct sim *s)
{
	size_t n = chance(s, 70) ? 1 : 2 + below(s, 4);
	bool more = false;

	if (!world_begin(s))
		return false;
	if (chance(s, 5) && core_fire(s->core, 1 + below(s, 3), &more))
		return violated(s, "turn", "core_fire");
	for (size_t i = 0; i < n && FINE(s); i++)
		if (!publish_one(s))
			return false;
	if (chance(s, 3))
		return world_crash(s);
	return world_commit(s);
}

static bool step_clock(struct sim *s)
{
	moment due = core_next_due(s->core);
	size_t how = below(s, 100);

	if (how < 45 && due != MOMENT_NONE && due - s->now < 200 * DAY) {
		s->now = due + (chance(s, 70) ? 0 : chance(s, 50) ? -1 : 1) * (moment)below(s, 2000);
		if (s->now < s->recorded)
			s->now = s->recorded;
	} else if (how < 65)
		s->now += (moment)below(s, 120) * MINUTE;
	else if (how < 85)
		s->now += (moment)below(s, 72) * 60 * MINUTE;
	else if (how < 97)
		s->now += (moment)below(s, 30) * DAY;
	else
		s->now -= (moment)below(s, 3 * 24 * 60) * MINUTE;
	trace(s, "clock %s", how < 97 ? "on" : "back");
	return true;
}

static bool step_link(struct sim *s)
{
	size_t i = below(s, s->policy->n_agencies);

	s->down[i] = !s->down[i];
	trace(s, "link %s %s", agency_id(s, (int)i), s->down[i] ? "down" : "up");
	return true;
}

static bool step(struct sim *s)
{
	size_t how = below(s, 100);
	bool fine;

	s->settled = false;
	arena_reset(&s->arena);
	fine = how < 72 ? step_publish(s) : how < 92 ? step_clock(s) : how < 97 ? step_link(s) : world_crash(s);
	if (fine && chance(s, 80))
		fine = world_settle(s);
	s->steps++;
	return fine && check_all(s);
}

/* At the end everybody comes back and gets what is owed, and the log is folded again. */
static bool finish(struct sim *s)
{
	memset(s->down, 0, sizeof s->down);
	trace(s, "all links up");
	s->settled = false;
	arena_reset(&s->arena);
	return world_settle(s) && check_all(s) && check_rebuild(s);
}

bool play_seed(struct sim *s)
{
	int steps;

	s->random = s->seed * UINT64_C(0x2545f4914f6cdd1d) + 1;
	s->now = INT64_C(1798790400000) + (moment)below(s, 400) * DAY + (moment)below(s, 1440) * MINUTE; /* from 1 January 2027 on */
	s->n_cases = 1 + below(s, CASES - 1);
	for (size_t i = 0; i < s->n_cases; i++) {
		snprintf(s->cases[i].ref, sizeof s->cases[i].ref, "C-%u", (unsigned)i + 1);
		s->cases[i].custodian = NOBODY;
		s->cases[i].origin = s->cases[i].destination = -1;
		s->cases[i].expect_next = -1;
	}
	if (!world_open(s))
		return false;
	steps = STEPS_MIN + (int)below(s, STEPS_MORE);
	for (s->step = 1; s->step <= steps && FINE(s); s->step++)
		step(s);
	return FINE(s) && finish(s);
}
