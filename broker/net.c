/* Endpoints, and what goes in and out by them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"
#include "lib/daemon.h"
#include "lib/log.h"
#include "lib/pb.h"

#define PATH_SIZE 4096
#define EVENT_SUBJECT 4                        /* field of Event (proto/event.proto) */
#define MESSAGES_IN_MAX 32                     /* of one connection, between libzmq and us */
#define WAITING_BYTES_MAX ((size_t)64 << 20)   /* of all sessions' frames that wait for their turn */

/* --- endpoints ---------------------------------------------------------------------------------------------------------- */

/* The i-th endpoint of the configuration and its key; false behind the last one. */
static bool wanted_endpoint(const struct broker *broker, size_t i, const char **ret_wanted, const struct key_pair **ret_key)
{
	const struct broker_group *group = &broker->config->file.broker;
	const bool old = i >= group->endpoints.n;
	const struct conf_strings *list = old ? &group->old_endpoints : &group->endpoints;

	i -= old ? group->endpoints.n : 0;
	if (i >= list->n)
		return false;
	*ret_wanted = list->items[i];
	*ret_key = old ? &broker->old_key : &broker->key;
	return true;
}

static int add_endpoint(struct broker *broker, const char *wanted, const struct key_pair *key, struct err *err)
{
	struct endpoint *endpoint = &broker->endpoints[broker->n_endpoints];
	char bound[256];
	int rc;

	if (broker->n_endpoints == ENDPOINTS_MAX)
		return err_set(err, ERR_INVALID, "%s: more than %d endpoints; remove old ones from the configuration", wanted, ENDPOINTS_MAX);
	rc = wire_bind(broker->server, wanted, key, bound, sizeof bound, err);
	if (rc)
		return rc;
	*endpoint = (struct endpoint){ .wanted = strdup(wanted), .bound = strdup(bound) };
	if (!endpoint->wanted || !endpoint->bound)
		return err_set(err, ERR_NOMEM, "no memory for endpoint %s", wanted);
	memcpy(endpoint->key, key->curve_public, sizeof endpoint->key);
	broker->n_endpoints++;
	log_info("listening endpoint=%s key=%.8s…", bound, key->curve_public);
	return OK;
}

static void drop_endpoint(struct broker *broker, size_t i)
{
	struct endpoint *endpoint = &broker->endpoints[i];
	struct err err;

	if (wire_unbind(broker->server, endpoint->bound, &err))
		log_warn("endpoint=%s %s", endpoint->bound, err.text);
	else
		log_info("no longer listening endpoint=%s", endpoint->bound);
	free(endpoint->wanted);
	free(endpoint->bound);
	*endpoint = broker->endpoints[--broker->n_endpoints];
}

/* CONTROL.endpoint, beside the control socket: who starts a broker with port "*" reads there what it became. */
static int endpoints_path(const struct broker *broker, char path[PATH_SIZE], struct err *err)
{
	const char *control = broker->config->file.broker.control;
	size_t n = strlen(control);

	if (n > 5 && !strcmp(control + n - 5, ".sock"))
		n -= 5;
	if (snprintf(path, PATH_SIZE, "%.*s.endpoint", (int)n, control) >= PATH_SIZE)
		return err_set(err, ERR_INVALID, "%s: the path is too long", control);
	return OK;
}

static int write_endpoints(struct broker *broker, struct err *err)
{
	struct buf text;
	char path[PATH_SIZE];
	int rc = endpoints_path(broker, path, err);

	if (rc)
		return rc;
	buf_init(&text);
	for (size_t i = 0; i < broker->n_endpoints; i++)
		(void)buf_printf(&text, "%s\n", broker->endpoints[i].bound); /* an error stays in text.error */
	rc = text.error ? err_set(err, ERR_NOMEM, "no memory for the list of endpoints") : daemon_write_file(path, text.bytes, text.n, err);
	buf_release(&text);
	return rc;
}

int net_open(struct broker *broker, struct err *err)
{
	const struct limits_group *limits = &broker->config->file.limits;
	struct wire_tuning tuning;
	const struct key_pair *key;
	const char *wanted;
	int rc;

	wire_tuning_default(&tuning);
	tuning.frame_max = limits->message_max;
	tuning.heartbeat_ms = HEARTBEAT_MS;
	tuning.backlog = (int)(limits->connections_max > 1024 ? limits->connections_max : 1024);
	/* Below the high-water mark: a window of deliveries one a message, as many receipts, and the rest of the conversation. */
	tuning.hwm = (int)limits->window * 2 + 1000;
	tuning.hwm_in = MESSAGES_IN_MAX;
	rc = wire_new(broker->loop, &tuning, &broker->wire, err);
	if (!rc)
		rc = wire_server_new(broker->wire, zap_who, net_ready, broker, &broker->server, err);
	for (size_t i = 0; !rc && wanted_endpoint(broker, i, &wanted, &key); i++)
		rc = add_endpoint(broker, wanted, key, err);
	return rc ? rc : write_endpoints(broker, err);
}

void net_close(struct broker *broker)
{
	char path[PATH_SIZE];

	if (broker->server && !endpoints_path(broker, path, NULL))
		(void)unlink(path); /* nobody listens there any more; gone already is fine */
	for (size_t i = 0; i < broker->n_endpoints; i++) {
		free(broker->endpoints[i].wanted);
		free(broker->endpoints[i].bound);
	}
	broker->n_endpoints = 0;
	wire_server_free(broker->server);
	wire_free(broker->wire);
	broker->server = NULL;
	broker->wire = NULL;
}

static struct endpoint *find_endpoint(struct broker *broker, const char *wanted)
{
	for (size_t i = 0; i < broker->n_endpoints; i++)
		if (!strcmp(broker->endpoints[i].wanted, wanted))
			return &broker->endpoints[i];
	return NULL;
}

static void add_new(struct broker *broker)
{
	const struct key_pair *key;
	const char *wanted;
	struct err err;

	for (size_t i = 0; wanted_endpoint(broker, i, &wanted, &key); i++) {
		const struct endpoint *endpoint = find_endpoint(broker, wanted);

		if (!endpoint && add_endpoint(broker, wanted, key, &err))
			log_error("%s; the others go on", err.text);
		else if (endpoint && strcmp(endpoint->key, key->curve_public) != 0)
			log_warn("endpoint=%s goes on with key=%.8s… and gets key=%.8s… with the next restart, which its agents do not know: name it in old_endpoints with its old_key",
			         wanted, endpoint->key, key->curve_public);
	}
}

static void drop_outdated(struct broker *broker)
{
	for (size_t i = broker->n_endpoints; i-- > 0;) {
		const struct key_pair *key;
		const char *wanted;
		bool stays = false;

		for (size_t k = 0; !stays && wanted_endpoint(broker, k, &wanted, &key); k++)
			stays = !strcmp(broker->endpoints[i].wanted, wanted);
		if (!stays)
			drop_endpoint(broker, i);
	}
}

void net_follow(struct broker *broker)
{
	struct err err;

	add_new(broker);
	drop_outdated(broker);
	if (write_endpoints(broker, &err))
		log_error("%s", err.text);
}

/* --- in ----------------------------------------------------------------------------------------------------------------- */

void net_ready(void *context)
{
	((struct broker *)context)->incoming = true; /* the loop's work comes next, and begins with a turn */
}

size_t net_receive(struct broker *broker, size_t max)
{
	struct wire_message message = { 0 };
	size_t n = 0;

	while (n < max && broker->sessions.n_bytes < WAITING_BYTES_MAX && broker->sessions.n_frames < sessions_frames_max(broker)) {
		if (wire_receive(broker->server, &message))
			break;
		n++;
		broker->stats.messages++;
		broker->stats.bytes_in += message.n;
		session_receive(broker, &message);
		wire_message_release(&message);
	}
	return n;
}

/* A varint at *at, which moves behind it. False: there is none. */
static bool varint(const uint8_t **at, const uint8_t *end, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
		const uint8_t byte = *(*at)++;

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

/* The next length-delimited field: its number, its bytes. False: the end, or something else, which the unpacking will name. */
static bool next_field(const uint8_t **at, const uint8_t *end, unsigned *ret_number, const uint8_t **ret_bytes, size_t *ret_n)
{
	uint64_t tag, n;

	if (*at >= end || !varint(at, end, &tag) || (tag & 7) != 2 || tag >> 3 > 1000 || !varint(at, end, &n) || n > (uint64_t)(end - *at))
		return false;
	*ret_number = (unsigned)(tag >> 3);
	*ret_bytes = *at;
	*ret_n = (size_t)n;
	*at += n;
	return true;
}

unsigned net_peek(const uint8_t *bytes, size_t n, size_t *ret_items)
{
	const uint8_t *at = bytes, *inner, *item;
	size_t inner_n, item_n, items = 0;
	unsigned number, field;

	*ret_items = 0;
	if (!n || !next_field(&at, bytes + n, &number, &inner, &inner_n))
		return 0;
	if (number == FRAME_PUBLISH) {
		for (at = inner; next_field(&at, inner + inner_n, &field, &item, &item_n);)
			items++;
		*ret_items = items;
	}
	return number;
}

/* Behind a field's value; false: it has none of that wire type. */
static bool skip_value(const uint8_t **at, const uint8_t *end, unsigned wire_type)
{
	uint64_t n = wire_type == 1 ? 8 : 4, ignored;

	if (wire_type == 0)
		return varint(at, end, &ignored);
	if (wire_type == 2 && !varint(at, end, &n))
		return false;
	if ((wire_type != 1 && wire_type != 2 && wire_type != 5) || n > (uint64_t)(end - *at))
		return false;
	*at += n;
	return true;
}

bool net_subject(const uint8_t *bytes, size_t n, const uint8_t **ret_subject, size_t *ret_n)
{
	const uint8_t *at = bytes, *const end = bytes + n;
	uint64_t tag;

	while (at < end) {
		const uint8_t *field = at;
		unsigned number;

		if (next_field(&field, end, &number, ret_subject, ret_n) && number == EVENT_SUBJECT)
			return *ret_n > 0;
		if (!varint(&at, end, &tag) || !skip_value(&at, end, tag & 7))
			return false;
	}
	return false;
}

int net_unpack(const struct wire_message *message, struct arena *arena, Reentry__Frame **ret_frame, struct err *err)
{
	const Reentry__Frame *frame;
	int rc, n = 0;

	if (message->parts)
		return err_set(err, ERR_INVALID, "more than one part; a Frame is one message");
	rc = pb_unpack(&reentry__frame__descriptor, message->bytes, message->n, arena, ret_frame, err);
	if (rc)
		return rc;
	frame = *ret_frame;
	n += frame->hello != NULL;
	n += frame->publish != NULL;
	n += frame->ack != NULL;
	n += frame->query != NULL;
	n += frame->credit != NULL;
	n += frame->cosign != NULL;
	n += frame->ping != NULL;
	if (frame->welcome || frame->receipts || frame->deliver || frame->answer || frame->bye || frame->checkpoint)
		return err_set(err, ERR_INVALID, "a message that only the broker sends");
	return n == 1 ? OK : err_set(err, ERR_INVALID, "exactly one thing in a Frame");
}

/* --- out ---------------------------------------------------------------------------------------------------------------- */

size_t net_batch(const struct broker *broker, size_t wanted)
{
	const size_t part = (size_t)broker->config->file.limits.message_max / 4;

	return wanted < part ? wanted : part;
}

int net_room(struct broker *broker, size_t n, uint8_t **ret_room)
{
	return wire_room(broker->server, n, ret_room);
}

int net_send_room(struct broker *broker, const struct session *session, size_t n)
{
	broker->stats.bytes_out += n;
	return wire_send_room(broker->server, &session->peer);
}

int net_send_to(struct broker *broker, const struct wire_peer *peer, const Reentry__Frame *frame)
{
	const size_t n = reentry__frame__get_packed_size(frame);
	uint8_t *room;

	if (wire_room(broker->server, n, &room))
		return ERR_NOMEM;
	(void)reentry__frame__pack(frame, room); /* writes the n bytes that it was asked for */
	broker->stats.bytes_out += n;
	return wire_send_room(broker->server, peer);
}

int net_send(struct broker *broker, const struct session *session, const Reentry__Frame *frame)
{
	return net_send_to(broker, &session->peer, frame);
}
