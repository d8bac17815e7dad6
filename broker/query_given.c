/* What an agency had been given: the events that were handed over to it by the moment that is asked about, in the form that it was given, when, and whether its agent acknowledged.
 * First the log is searched for what was handed over (headers only, a stretch for each part), then it is shown in the order of the log. */
#include <stdlib.h>
#include <string.h>

#include "broker/replay.h"

#define GIVEN_MAX 2000000            /* events of one answer: 48 MB while it lasts */

/* Where the position stands, or would stand. */
static size_t place_of(const struct replay *replay, uint64_t position)
{
	size_t low = 0, high = replay->n_given;

	if (high && replay->given[high - 1].position < position)
		return high; /* mostly what comes is newer than what came before */
	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (replay->given[middle].position < position)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int make_room(struct replay *replay, struct err *err)
{
	const size_t room = replay->room ? replay->room * 2 : 256;
	struct given *more;

	if (replay->n_given < replay->room)
		return OK;
	if (replay->n_given >= GIVEN_MAX)
		return err_set(err, ERR_TOOBIG, "more than %d events were given to it: ask for less at one time, by case, from and to", GIVEN_MAX);
	more = realloc(replay->given, room * sizeof *more);
	if (!more)
		return err_set(err, ERR_NOMEM, "try later");
	replay->given = more;
	replay->room = room;
	return OK;
}

/* Once more the same changes nothing: a part that could not be sent is made again. */
static int note(struct replay *replay, uint64_t position, uint64_t at, bool acked, struct err *err)
{
	const size_t place = place_of(replay, position);
	const bool known = place < replay->n_given && replay->given[place].position == position;
	int rc = known ? OK : make_room(replay, err);

	if (rc)
		return rc;
	if (!known) {
		memmove(&replay->given[place + 1], &replay->given[place], (replay->n_given - place) * sizeof *replay->given);
		replay->given[place] = (struct given){ .position = position, .at = at };
		replay->n_given++;
	}
	if (acked && !replay->given[place].acked)
		replay->given[place].acked = at;
	return OK;
}

static int gather(struct replay *replay, const Reentry__Header *header, struct err *err)
{
	const bool acked = header->kind == REENTRY__RECORD_KIND__VALUE__ACKED;
	int rc = OK;

	if ((!acked && header->kind != REENTRY__RECORD_KIND__VALUE__DELIVERED) || !header->agency || strcmp(header->agency, replay->seen_by) != 0)
		return OK;
	for (size_t i = 0; i < header->n_positions && !rc; i++) {
		const uint64_t position = header->positions[i];

		if (position >= replay->first && position <= replay->last && (!replay->subject || replay_in_chain(replay, position)))
			rc = note(replay, position, header->position, acked, err);
	}
	return rc;
}

static int time_of(struct broker *broker, uint64_t position, moment *ret_when)
{
	Reentry__Header *header = NULL;
	int rc = past_header(broker->core, position, &broker->reading, &header);

	*ret_when = rc ? MOMENT_NONE : header->recorded_at;
	return rc;
}

/* What it was given, if the auditor may see any of it: the scope is asked of the event as it was recorded. */
static int find(struct broker *broker, const struct session *session, struct replay *replay, const struct given *given, Reentry__Delivery **ret_item, bool *ret_masked)
{
	const struct scope *scope = &session->agency->scope;
	const struct past_given what = { given->position, given->at, scope->class_c ? ~0u : 0 };
	struct core_record record;
	int rc = core_record(broker->core, given->position, &broker->reading, &record);

	*ret_masked = false;
	if (rc && rc != ERR_ERASED)
		return rc;
	if (!replay_wanted(replay, &record))
		return ERR_NOTFOUND;
	rc = replay_show(broker, scope, &record, ret_item);
	if (rc || !record.record.event)
		return rc;
	return past_given(&replay->past, &what, replay->seen_by, &broker->reading, ret_item, ret_masked);
}

static int show(struct broker *broker, const struct given *given, const Reentry__Delivery *item, bool masked, struct buf *line)
{
	moment at, acked = MOMENT_NONE;
	int rc = replay_event(item, &broker->reading, line);

	if (!rc)
		rc = time_of(broker, given->at, &at);
	if (!rc && given->acked)
		rc = time_of(broker, given->acked, &acked);
	if (rc)
		return rc;
	line->n--; /* the closing brace: extension attributes follow */
	replay_moment(line, "deliveredtime", at);
	if (given->acked)
		replay_moment(line, "acknowledgedtime", acked);
	return buf_text(line, masked ? ",\"masked\":true}" : "}");
}

static int shown_part(struct broker *broker, const struct session *session, struct query *query, Reentry__Answer *answer, struct err *err)
{
	struct replay *replay = query->own;
	struct buf line;
	size_t bytes = 0;
	int rc = OK;

	buf_init(&line);
	while (!rc && query->at.index < replay->n_given && query->at.given < replay->limit && answer->n_json < ANSWER_MAX && bytes < net_batch(broker, ANSWER_BYTES)) {
		const struct given *given = &replay->given[query->at.index++];
		Reentry__Delivery *item;
		bool masked;

		bytes += 512; /* also for what is not shown, so that a part does not take long */
		rc = find(broker, session, replay, given, &item, &masked);
		if (rc == ERR_NOTFOUND) {
			rc = OK;
			continue;
		}
		if (!rc)
			rc = show(broker, given, item, masked, &line);
		bytes += line.n;
		if (!rc)
			rc = replay_line(broker, answer, &line);
		query->at.given += !rc;
		if (rc)
			rc = rc == ERR_CORRUPT ? replay_unreadable(given->position, err) : err_set(err, rc, "try later");
	}
	buf_release(&line);
	answer->last = query->at.index >= replay->n_given || query->at.given >= replay->limit;
	return rc;
}

int given_part(struct broker *broker, struct session *session, struct query *query, Reentry__Answer *answer, struct err *err)
{
	struct replay *replay = query->own;
	int rc = OK;

	for (int looked = 0; looked < RECORDS_ROUND && query->at.position <= replay->through && !rc; looked++) {
		Reentry__Header *header = NULL;

		rc = past_header(broker->core, query->at.position, &broker->reading, &header);
		if (rc)
			return replay_unreadable(query->at.position, err);
		rc = gather(replay, header, err);
		query->at.position += !rc;
	}
	if (rc || query->at.position <= replay->through)
		return rc;
	return shown_part(broker, session, query, answer, err);
}
