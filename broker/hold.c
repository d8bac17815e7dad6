/* Order within a case when something of it could not be taken now. An item that is refused with "try later" comes again; what its agent had sent behind it,
 * not knowing, must not come before. So behind the receipts goes a Ping: what of that case arrives before its answer was sent in ignorance and is refused
 * likewise, what arrives after it was sent knowingly. Nobody can be stuck: who does not answer loses the session, and a new one holds nothing.
 *
 * Frames wait in a queue while answers to Pings are read at once: so a hold is a range of frames, not a flag. */
#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"
#include "lib/log.h"

#define ASKED_AGAIN_MAX 3            /* HEARTBEAT_MS apart */
#define EVERY_CASE 0

/* FNV-1a: a collision only makes another case of the same agency wait too. EVERY_CASE: it names no case, so there is no order to keep. */
static uint64_t subject_of(const ProtobufCBinaryData *content)
{
	uint64_t hash = UINT64_C(14695981039346656037);
	const uint8_t *subject;
	size_t n;

	if (!net_subject(content->data, content->len, &subject, &n))
		return EVERY_CASE;
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ subject[i]) * UINT64_C(1099511628211);
	return hash == EVERY_CASE ? 1 : hash;
}

static bool open_still(const struct hold *hold)
{
	return hold->through == UINT64_MAX;
}

bool hold_covers(const struct session *session, uint64_t frame, const ProtobufCBinaryData *content)
{
	const uint64_t subject = session->n_holds ? subject_of(content) : EVERY_CASE;

	for (size_t i = 0; i < session->n_holds && subject != EVERY_CASE; i++) {
		const struct hold *hold = &session->holds[i];

		if ((hold->subject == subject || hold->subject == EVERY_CASE) && frame > hold->from && frame <= hold->through)
			return true;
	}
	return false;
}

/* The hold on that case, or on every case, whose Ping is not answered yet. */
static struct hold *find_open(struct session *session, uint64_t subject)
{
	for (size_t i = 0; i < session->n_holds; i++)
		if (open_still(&session->holds[i]) && (session->holds[i].subject == subject || session->holds[i].subject == EVERY_CASE))
			return &session->holds[i];
	return NULL;
}

/* Too many cases: one hold for all of them, from the first of their frames on. */
static void hold_every_case(struct session *session, uint64_t from)
{
	for (size_t i = 0; i < session->n_holds; i++)
		from = session->holds[i].from < from ? session->holds[i].from : from;
	session->holds[0] = (struct hold){ EVERY_CASE, session->asked + 1, from, UINT64_MAX };
	session->n_holds = 1;
}

void hold_begin(struct broker *broker, struct session *session, uint64_t from, const ProtobufCBinaryData *content)
{
	const uint64_t subject = subject_of(content);
	struct hold *hold;

	if (subject == EVERY_CASE || !session->up)
		return;
	hold = find_open(session, subject);
	if (hold) {
		if (from < hold->from) { /* of this one the agent hears only now */
			hold->from = from;
			hold->asked = session->asked + 1;
		}
		return;
	}
	if (session->n_holds == HOLDS_MAX) {
		hold_every_case(session, from);
		return;
	}
	if (!session->holds)
		session->holds = malloc(HOLDS_MAX * sizeof *session->holds);
	if (session->holds)
		session->holds[session->n_holds++] = (struct hold){ subject, session->asked + 1, from, UINT64_MAX };
	else
		session_lost(broker, session, "no-memory");
}

/* --- asking ----------------------------------------------------------------------------------------------------------------- */

static void ping(struct broker *broker, struct session *session, uint64_t number)
{
	Reentry__Frame frame = REENTRY__FRAME__INIT;
	Reentry__Ping message = REENTRY__PING__INIT;
	int rc;

	message.has_number = true;
	message.number = number;
	frame.ping = &message;
	rc = net_send(broker, session, &frame);
	if (rc == ERR_CLOSED)
		session_lost(broker, session, "gone");
	else if (!rc)
		session->asked = number; /* else the next tick asks */
	session->asked_at = clock_monotonic_ms();
}

static bool unasked(const struct session *session)
{
	for (size_t i = 0; i < session->n_holds; i++)
		if (session->holds[i].asked > session->asked)
			return true;
	return false;
}

static bool unanswered(const struct session *session)
{
	for (size_t i = 0; i < session->n_holds; i++)
		if (open_still(&session->holds[i]))
			return true;
	return false;
}

void hold_ask(struct broker *broker, struct session *session)
{
	if (session->up && unasked(session))
		ping(broker, session, session->asked + 1);
}

void hold_answered(struct session *session, uint64_t number)
{
	if (number > session->asked)
		return;
	session->asked_again = 0;
	for (size_t i = 0; i < session->n_holds; i++)
		if (open_still(&session->holds[i]) && session->holds[i].asked <= number)
			session->holds[i].through = session->frames_in; /* these may wait for their turn yet */
	hold_sweep(session);
}

void hold_tick(struct broker *broker, struct session *session, int64_t now)
{
	if (unasked(session))
		ping(broker, session, session->asked + 1);
	else if (!unanswered(session) || now - session->asked_at < HEARTBEAT_MS)
		return;
	else if (session->asked_again++ < ASKED_AGAIN_MAX)
		ping(broker, session, session->asked);
	else
		session_end(broker, session, "hello-first", "a Ping behind a refusal was not answered");
}

/* --- the end ---------------------------------------------------------------------------------------------------------------- */

void hold_sweep(struct session *session)
{
	const uint64_t next = session->first ? session->first->number : session->frames_in + 1;
	size_t n = 0;

	for (size_t i = 0; i < session->n_holds; i++)
		if (session->holds[i].through >= next)
			session->holds[n++] = session->holds[i];
	session->n_holds = n;
	if (!n && session->holds) {
		free(session->holds);
		session->holds = NULL;
	}
}

void hold_forget(struct session *session)
{
	free(session->holds);
	session->holds = NULL;
	session->n_holds = 0;
	session->asked_again = 0;
}
