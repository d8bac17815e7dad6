/* The state of cases as it was at a moment: their records evolved again up to it, each under the configuration that was on record then (core_past.c). Cases come in the order in which they
 * were opened: the log itself is the list of them, since the first record of a case follows none. */
#include <stdlib.h>
#include <string.h>

#include "broker/replay.h"

#define FOLDED_ROUND 512             /* records evolved for one part, about */

struct seeing { struct broker *broker; const struct scope *scope; struct replay *replay; struct arena arena; struct buf line; };

/* Whether one of the events that were asked about is among these: then the case is. */
static int chosen(struct seeing *s, const uint64_t *positions, size_t n, bool *ret_chosen)
{
	const struct replay *replay = s->replay;

	*ret_chosen = replay->first <= 1 && replay->last == replay->through && !replay->n_types;
	for (size_t i = 0; i < n && !*ret_chosen; i++) {
		struct core_record record;
		struct shown shown;
		int rc;

		if (positions[i] < replay->first || positions[i] > replay->last)
			continue;
		arena_reset(&s->arena);
		rc = core_record(s->broker->core, positions[i], &s->arena, &record);
		if (rc == ERR_ERASED)
			continue;
		if (rc)
			return rc;
		*ret_chosen = replay_wanted(replay, &record) && record.record.event && record.record.event->outcome == REENTRY__OUTCOME__VALUE__ACCEPTED &&
		              !scope_show(s->scope, &record.record, &s->arena, &shown);
	}
	return OK;
}

static void begin_line(struct seeing *s, const uint64_t *positions, size_t n)
{
	(void)buf_text(&s->line, "{\"record\":\"state\""); /* the buffer remembers its error */
	replay_sequence(&s->line, "opened", positions[0]);
	replay_sequence(&s->line, "sequence", positions[n - 1]);
	replay_moment(&s->line, "at", s->replay->as_of);
}

/* Fills the line, or leaves it empty where nothing may be shown. */
static int fold(struct seeing *s, const char *subject, const uint64_t *positions, size_t n)
{
	const uint32_t classes = scope_classes(s->scope);
	const struct policy *policy;
	Reentry__CaseState *state = NULL;
	char *json = NULL;
	int rc;

	arena_reset(&s->arena);
	rc = past_case(&s->replay->past, positions, n, &s->arena, &state);
	if (rc == ERR_ERASED && !scope_is_whole(s->scope))
		return OK;
	if (rc == ERR_ERASED) {
		begin_line(s, positions, n);
		replay_text(&s->line, "case", subject);
		replay_text(&s->line, "erased", replay_order(s->broker, subject));
		return buf_text(&s->line, "}");
	}
	if (rc || !state || !scope_municipality(s->scope, state->destination) || !(classes & (CLASS_BIT(REENTRY__CLASS__VALUE__A) | CLASS_BIT(REENTRY__CLASS__VALUE__B))))
		return rc;
	rc = past_policy(&s->replay->past, s->replay->through, &policy);
	if (!rc)
		rc = rules_case_state(state, policy, classes, s->replay->as_of, &s->arena, &json);
	if (rc)
		return rc;
	begin_line(s, positions, n);
	return buf_printf(&s->line, ",%s", json + 1);
}

static int one_case(struct seeing *s, struct query *query, const char *subject, Reentry__Answer *answer, size_t *ret_folded)
{
	uint64_t *positions = NULL;
	size_t n = 0;
	bool is = false;
	int rc = past_chain(s->broker->core, subject, s->replay->through, &positions, &n);

	if (rc == ERR_NOTFOUND || rc == ERR_ERASED)
		return OK; /* its state was lost with its key, and no erasure is on record */
	*ret_folded += n;
	if (!rc)
		rc = chosen(s, positions, n, &is);
	if (!rc && is && n)
		rc = fold(s, subject, positions, n);
	free(positions);
	if (rc || !s->line.n)
		return rc;
	query->at.given++;
	return replay_line(s->broker, answer, &s->line);
}

/* The subject of the case that this record opens; NULL: it opens none. */
static const char *opens(const Reentry__Header *header)
{
	return header->kind == REENTRY__RECORD_KIND__VALUE__EVENT && header->subject && header->has_class_ && header->has_previous && !header->previous ? header->subject : NULL;
}

int states_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err)
{
	struct seeing s = { .broker = broker, .scope = &session->agency->scope, .replay = query->own };
	const uint64_t last = s.replay->n_chain ? s.replay->chain[0] : s.replay->through;
	size_t folded = 0;
	int rc = OK;

	arena_init(&s.arena, 0);
	buf_init(&s.line);
	for (int looked = 0; looked < RECORDS_ROUND && query->at.position <= last && query->at.given < s.replay->limit && answer->n_json < ANSWER_MAX && folded < FOLDED_ROUND; looked++) {
		Reentry__Header *header = NULL;
		const char *subject;

		rc = past_header(broker->core, query->at.position, &broker->reading, &header);
		subject = rc ? NULL : opens(header);
		if (subject)
			rc = one_case(&s, query, subject, answer, &folded);
		if (rc)
			break;
		query->at.position++;
	}
	arena_release(&s.arena);
	buf_release(&s.line);
	answer->last = query->at.position > last || query->at.given >= s.replay->limit;
	if (rc)
		return rc == ERR_CORRUPT ? replay_unreadable(query->at.position, err) : err_set(err, rc, "the case cannot be folded");
	return OK;
}
