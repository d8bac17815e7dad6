/* From the queues in the store to the agents. The only memory of a delivery that is on its way is its number and size: what is sent again is read again. */
#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"
#include "lib/log.h"

#define BATCH_MAX 256                /* deliveries in one message */
#define BATCH_BYTES ((size_t)256 << 10)
#define PAUSE_MS 50
#define ATTEMPT_MAX 1000000

static size_t window_of(const struct broker *broker)
{
	return (size_t)broker->config->file.limits.window;
}

void deliver_want(struct broker *broker, struct session *session)
{
	if (!session->up)
		return;
	session->hungry = true;
	broker->hungry = true;
}

void deliver_note_touched(struct broker *broker)
{
	const char *const *agencies;
	size_t n;

	if (core_touched(broker->core, &agencies, &n))
		return;
	for (size_t i = 0; i < n; i++) {
		struct session *session = session_of(broker, agencies[i]);

		if (session)
			deliver_want(broker, session);
	}
}

/* What was handed over so far will be handed over again. */
static void count_attempt(struct session *session)
{
	if (!session->after)
		return;
	if (!session->n_sent || session->sent[0].sequence > session->again_through)
		session->attempt = 0; /* everything that had been sent more than once is acknowledged */
	session->attempt += session->attempt < ATTEMPT_MAX;
	session->again_through = session->after > session->again_through ? session->after : session->again_through;
}

void deliver_forget(struct session *session)
{
	count_attempt(session);
	free(session->sent);
	session->sent = NULL;
	session->n_sent = session->sent_room = session->sent_bytes = 0;
	session->after = 0;
	session->resend_ms = 0;
	session->hungry = false;
	session->paused_until = 0;
}

void deliver_rewind(struct broker *broker, struct session *session)
{
	if (!session->up)
		return;
	count_attempt(session);
	session->after = 0;
	session->n_sent = session->sent_bytes = 0;
	session->progress_at = clock_monotonic_ms();
	deliver_want(broker, session);
}

/* --- acknowledgements --------------------------------------------------------------------------------------------------- */

static struct sent *find_sent(const struct session *session, uint64_t sequence)
{
	size_t low = 0, high = session->n_sent;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (session->sent[middle].sequence < sequence)
			low = middle + 1;
		else
			high = middle;
	}
	return low < session->n_sent && session->sent[low].sequence == sequence ? &session->sent[low] : NULL;
}

/* Acknowledged entries get size 0 (no delivery has), and are swept out together. */
static void sweep(struct session *session)
{
	size_t n = 0;

	for (size_t i = 0; i < session->n_sent; i++)
		if (session->sent[i].size)
			session->sent[n++] = session->sent[i];
	session->n_sent = n;
	if (n == 0) { /* an idle agent costs no window */
		free(session->sent);
		session->sent = NULL;
		session->sent_room = session->sent_bytes = 0;
	}
}

void deliver_acked(struct broker *broker, struct session *session, const uint64_t *sequences, size_t n)
{
	size_t known = 0;

	for (size_t i = 0; i < n; i++) {
		struct sent *sent = session->n_sent ? find_sent(session, sequences[i]) : NULL;

		if (!sent || !sent->size)
			continue;
		session->sent_bytes -= sent->size;
		sent->size = 0;
		known++;
	}
	if (!known)
		return;
	sweep(session);
	broker->stats.acks += known;
	session->progress_at = clock_monotonic_ms();
	session->resend_ms = broker->config->file.limits.resend_after;
	deliver_want(broker, session);
}

/* --- one message -------------------------------------------------------------------------------------------------------- */

static bool note_sent(struct session *session, size_t window, const struct core_delivery *items, size_t n)
{
	if (session->n_sent + n > session->sent_room) {
		size_t room = session->sent_room ? session->sent_room : 32;
		struct sent *sent;

		while (room < session->n_sent + n)
			room *= 2;
		room = room > window && window >= session->n_sent + n ? window : room;
		sent = realloc(session->sent, room * sizeof *sent);
		if (!sent)
			return false;
		session->sent = sent;
		session->sent_room = room;
	}
	for (size_t i = 0; i < n; i++) {
		const size_t size = items[i].size;

		session->sent[session->n_sent++] = (struct sent){ items[i].sequence, size == 0 ? 1 : size > UINT32_MAX ? UINT32_MAX : (uint32_t)size };
		session->sent_bytes += session->sent[session->n_sent - 1].size;
	}
	return true;
}

/* What was handed over for the first time in this process's life is recorded as DELIVERED by the next turn, which may be that of the acknowledgement. */
static void note_told(struct broker *broker, struct session *session, const struct core_delivery *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (items[i].sequence <= session->told_through)
			continue;
		if (session->n_told == session->told_room) {
			const size_t room = session->told_room ? session->told_room * 2 : 16;
			uint64_t *told = realloc(session->told, room * sizeof *told);

			if (!told) /* lint: analyzer, because the memory hangs in the session */
				return; /* its record will be the acknowledgement */
			session->told = told;
			session->told_room = room;
		}
		session->told[session->n_told++] = items[i].sequence;
		session->told_through = items[i].sequence;
	}
	if (session->n_told && !broker->want_told) {
		broker->want_told = true;
		(void)loop_timer_set(broker->loop, &broker->told, TOLD_MS); /* one of the daemon's own places */
	}
}

static int send_batch(struct broker *broker, struct session *session, const struct core_delivery *items, size_t n)
{
	const size_t size = deliver_frame_size(session, items, n);
	uint8_t *room;
	int rc = net_room(broker, size, &room);

	if (rc)
		return rc;
	(void)deliver_frame_pack(session, items, n, room); /* as many bytes as it said */
	return net_send_room(broker, session, size);
}

static void handed_over(struct broker *broker, struct session *session, const struct core_delivery *items, size_t n)
{
	const uint64_t last = items[n - 1].sequence;

	if (!session->n_sent)
		session->progress_at = clock_monotonic_ms();
	if (!session->resend_ms)
		session->resend_ms = broker->config->file.limits.resend_after;
	broker->stats.deliveries += n;
	for (size_t i = 0; i < n; i++)
		broker->stats.resends += items[i].sequence <= session->again_through;
	session->after = last;
	note_told(broker, session, items, n);
	if (!note_sent(session, window_of(broker), items, n)) /* lint: analyzer, because the memory hangs in the session */
		session_lost(broker, session, "no-memory"); /* no memory even for the window: it begins again when it comes back */
}

/* What one agency may have unacknowledged: receivers that do not read must not take all memory together. */
static size_t session_bytes(const struct broker *broker)
{
	size_t sum = 0;

	for (size_t i = 0; i < broker->sessions.n; i++)
		sum += broker->sessions.items[i]->sent_bytes;
	return sum < SENT_BYTES_MAX ? SESSION_BYTES_MAX : SESSION_BYTES_LEAST;
}

static size_t size_of(const struct core_delivery *items, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += items[i].size;
	return sum;
}

/* Hands one message over. False: there is nothing more to hand over for now. */
static bool feed(struct broker *broker, struct session *session, size_t bytes_max)
{
	const size_t room = window_of(broker) - (session->n_sent < window_of(broker) ? session->n_sent : window_of(broker));
	const size_t bytes = bytes_max - (session->sent_bytes < bytes_max ? session->sent_bytes : bytes_max);
	const size_t n_max = room < BATCH_MAX ? room : BATCH_MAX, size_max = net_batch(broker, bytes < BATCH_BYTES ? bytes : BATCH_BYTES);
	struct core_delivery *items;
	size_t n;
	int rc;

	if (!room || !bytes)
		return false; /* an acknowledgement brings it back */
	arena_reset(&broker->reading);
	rc = core_deliveries_packed(broker->core, session->agency->id, session->after, n_max, size_max, &broker->reading, &items, &n);
	if (rc) {
		unsigned held;

		if (limiter_pass(&broker->failures, &held))
			log_error("agency=%s its queue cannot be read: %s%s", session->agency->id, err_text(rc), limiter_more(held, (char[LIMITER_MORE]){ 0 }));
		session->paused_until = clock_monotonic_ms() + PAUSE_MS;
		return false;
	}
	if (!n)
		return false;
	rc = send_batch(broker, session, items, n);
	if (!rc) {
		handed_over(broker, session, items, n);
		return session->up && (n == n_max || size_of(items, n) >= size_max); /* else that was all there is */
	}
	if (rc == ERR_CLOSED) {
		session_lost(broker, session, "gone");
		return false;
	}
	broker->stats.paused++;
	session->paused_until = clock_monotonic_ms() + PAUSE_MS;
	return false;
}

static void deliver_round(struct broker *broker)
{
	const size_t bytes_max = session_bytes(broker);
	bool more = false;

	broker->hungry = false;
	for (size_t i = 0; i < broker->sessions.n; i++) {
		struct session *session = broker->sessions.items[i];

		if (!session->hungry || !session->up || session->paused_until)
			continue;
		session->hungry = feed(broker, session, bytes_max);
		more |= session->hungry;
	}
	arena_reset(&broker->reading);
	broker->hungry |= more;
}

void deliver_all(struct broker *broker)
{
	const uint64_t until = stats_us() + (uint64_t)broker->config->file.limits.turn * 1000;

	do
		deliver_round(broker);
	while (broker->hungry && stats_us() < until);
}

/* --- patience ----------------------------------------------------------------------------------------------------------- */

/* Per-case order is kept: from the first unacknowledged one on, everything comes again. */
static void resend(struct broker *broker, struct session *session, int64_t now)
{
	const struct limits_group *limits = &broker->config->file.limits;

	log_info("agency=%s no acknowledgement for %lld ms: sent again from sequence=%llu unacknowledged=%zu", session->agency->id,
	         (long long)session->resend_ms, (unsigned long long)session->sent[0].sequence, session->n_sent);
	session->resend_ms = session->resend_ms > limits->resend_after_max / 2 ? limits->resend_after_max : session->resend_ms * 2;
	deliver_rewind(broker, session);
	session->progress_at = now;
}

void deliver_tick(struct broker *broker, int64_t now)
{
	for (size_t i = 0; i < broker->sessions.n; i++) {
		struct session *session = broker->sessions.items[i];

		if (!session->up)
			continue;
		if (session->paused_until && now >= session->paused_until) {
			session->paused_until = 0;
			deliver_want(broker, session);
		}
		if (session->n_sent && !session->paused_until && now - session->progress_at >= session->resend_ms)
			resend(broker, session, now);
	}
}
