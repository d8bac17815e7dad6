/* The operator: one row per command of `reentry admin`, asked over the control socket as {"do":NAME, …}. Replies are JSON; the command makes text of them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"
#include "lib/civil.h"
#include "lib/daemon.h"
#include "lib/json.h"
#include "lib/log.h"

#define TIMERS_SHOWN 1000        /* unless --max says otherwise */
#define TIMERS_SHOWN_MAX 10000
#define NAME_SIZE 4096

struct request {
	struct broker *broker;
	struct control_call *call;
	struct arena arena;
	struct json_member *members; size_t n;
	bool later;                          /* it is answered when it is done */
	struct err err;
};

/* The member's text; NULL: not given, or no text. */
static const char *text_of(const struct request *request, const char *name)
{
	for (size_t i = 0; i < request->n; i++)
		if (!strcmp(request->members[i].name, name) && request->members[i].value.kind == JSON_STRING)
			return request->members[i].value.text;
	return NULL;
}

/* The member's number; `otherwise` if it is not given, or none that fits. */
static uint64_t number_of(const struct request *request, const char *name, uint64_t otherwise)
{
	for (size_t i = 0; i < request->n; i++)
		if (!strcmp(request->members[i].name, name) && request->members[i].value.kind == JSON_INT && request->members[i].value.integer >= 0)
			return (uint64_t)request->members[i].value.integer;
	return otherwise;
}

static int line(struct request *request, struct buf *text)
{
	int rc = text->error ? text->error : control_line(request->call, (const char *)text->bytes, text->n);

	buf_release(text);
	return rc ? err_set(&request->err, rc, "the answer does not fit") : OK;
}

/* What an operator did is on record: who (the Unix user), what, and how it ended. */
static int audit(struct request *request, const char *action, const char *filter, const char *outcome, uint64_t count)
{
	Reentry__AuditRecord body = REENTRY__AUDIT_RECORD__INIT;
	char who[32], action_text[32], outcome_text[64];

	(void)snprintf(who, sizeof who, "uid:%lu", (unsigned long)control_uid(request->call)); /* fits */
	(void)snprintf(action_text, sizeof action_text, "%s", action);
	(void)snprintf(outcome_text, sizeof outcome_text, "%s", outcome);
	body.who = who;
	body.action = action_text;
	body.outcome = outcome_text;
	body.filter = filter ? arena_strdup(&request->arena, filter) : NULL;
	body.has_count = true;
	body.count = count;
	return turn_audit(request->broker, REENTRY__RECORD_KIND__VALUE__ADMIN, &body, NULL);
}

/* --- questions ---------------------------------------------------------------------------------------------------------- */

static void write_moment(struct buf *out, const char *name, moment when)
{
	char text[CIVIL_MOMENT_SIZE];

	if (when != MOMENT_NONE && when != 0)
		(void)buf_printf(out, ",\"%s\":\"%s\"", name, civil_format_moment(when, text)); /* errors stay in out */
}

static int do_status(struct request *request)
{
	struct broker *broker = request->broker;
	struct core_status status = { 0 };
	unsigned open = 0, max = 0;
	struct buf out;
	int rc = core_status(broker->core, &status);

	if (rc)
		return err_set(&request->err, rc, "the store does not answer: %s", err_text(rc));
	(void)daemon_fds(&open, &max); /* 0 of 0 if it cannot be told */
	buf_init(&out);
	(void)buf_printf(&out, "{\"broker\":\"%s\",\"oin\":\"%s\",\"version\":\"%s\",\"zeromq\":\"%s\",\"pid\":%ld", broker->config->file.broker.id,
	                 broker->config->file.broker.oin, REENTRY_VERSION, wire_version(), (long)getpid()); /* here and below: errors stay in out */
	write_moment(&out, "now", clock_now(&broker->clock));
	(void)buf_text(&out, ",\"endpoints\":[");
	for (size_t i = 0; i < broker->n_endpoints; i++)
		(void)buf_printf(&out, "%s\"%s\"", i ? "," : "", broker->endpoints[i].bound);
	(void)buf_printf(&out, "],\"agencies\":%zu,\"connected\":%zu,\"cases\":%" PRIu64 ",\"last_sequence\":%" PRIu64 ",\"epoch\":%" PRIu64,
	                 broker->sessions.n, broker->sessions.n_up, status.cases, status.last_sequence, status.epoch);
	write_moment(&out, "last_recorded_at", status.last_recorded_at);
	if (core_held(broker->core)) {
		(void)buf_text(&out, ",\"held\":");
		(void)json_string(&out, core_held(broker->core));
	}
	(void)buf_printf(&out, ",\"backup_sequence\":%" PRIu64, core_horizon(broker->core));
	(void)buf_printf(&out, ",\"store_used\":%" PRIu64 ",\"store_max\":%" PRIu64 ",\"store_full\":%s,\"clock_jumps\":%" PRIu64
	                 ",\"cases_damaged\":%zu,\"files_open\":%u,\"files_max\":%u,\"counters\":{",
	                 status.map_used, status.map_max, status.full || broker->no_room ? "true" : "false", status.clock_jumps, status.damaged, open, max);
	(void)stats_write(&broker->stats, &out);
	(void)buf_text(&out, "}}");
	return line(request, &out);
}

static int do_queues(struct request *request)
{
	struct broker *broker = request->broker;
	const int64_t now = clock_monotonic_ms();
	struct core_queue *queues;
	size_t n;
	int rc = core_queues(broker->core, &request->arena, &queues, &n);

	if (rc)
		return err_set(&request->err, rc, "the queues cannot be read: %s", err_text(rc));
	for (size_t i = 0; i < n && !rc; i++) {
		const struct session *session = session_of(broker, queues[i].agency);
		const bool up = session && session->up;
		struct buf out;

		buf_init(&out);
		(void)buf_printf(&out, "{\"agency\":\"%s\",\"queued\":%" PRIu64 ",\"oldest_sequence\":%" PRIu64, queues[i].agency, queues[i].n, queues[i].oldest_sequence);
		write_moment(&out, "oldest_at", queues[i].oldest_at);
		(void)buf_printf(&out, ",\"connected\":%s,\"unacknowledged\":%zu", up ? "true" : "false", session ? session->n_sent : 0);
		if (up)
			(void)buf_printf(&out, ",\"connected_ms\":%" PRId64 ",\"silent_ms\":%" PRId64, now - session->up_since, now - session->seen_at);
		(void)buf_text(&out, "}");
		rc = line(request, &out);
	}
	return rc;
}

static int do_timers(struct request *request)
{
	struct core_timer *timers;
	const uint64_t max = number_of(request, "max", TIMERS_SHOWN);
	size_t n;
	int rc = core_timers(request->broker->core, max < TIMERS_SHOWN_MAX ? (size_t)max : TIMERS_SHOWN_MAX, &request->arena, &timers, &n);

	if (rc)
		return err_set(&request->err, rc, "the timers cannot be read: %s", err_text(rc));
	for (size_t i = 0; i < n && !rc; i++) {
		struct buf out;

		buf_init(&out);
		(void)buf_text(&out, "{\"case\":"); /* here and below: errors stay in out */
		(void)json_string(&out, timers[i].subject);
		write_moment(&out, "due", timers[i].due);
		(void)buf_printf(&out, ",\"kind\":\"%s\"", timers[i].kind);
		if (timers[i].ref && *timers[i].ref) {
			(void)buf_text(&out, ",\"ref\":");
			(void)json_string(&out, timers[i].ref);
		}
		(void)buf_printf(&out, ",\"n\":%" PRIu64 "}", timers[i].n);
		rc = line(request, &out);
	}
	return rc;
}

/* --- commands ----------------------------------------------------------------------------------------------------------- */

static int do_backup(struct request *request)
{
	const char *dir = text_of(request, "dir");
	int rc;

	if (!dir || *dir != '/' || strlen(dir) >= NAME_SIZE)
		return err_set(&request->err, ERR_INVALID, "dir: an absolute path is needed");
	rc = audit(request, "backup", dir, "started", 0);
	if (rc)
		return err_set(&request->err, rc, "the backup could not be recorded, so it was not begun");
	rc = backup_begin(request->broker, request->call, dir, &request->err);
	request->later = !rc;
	return rc;
}

/* The keys apart from the log: a small copy, made at once. */
static int do_backup_keys(struct request *request)
{
	const char *dir = text_of(request, "dir");
	int rc;

	if (!dir || *dir != '/' || strlen(dir) >= NAME_SIZE)
		return err_set(&request->err, ERR_INVALID, "dir: an absolute path is needed");
	rc = audit(request, "backup-keys", dir, "started", 0);
	if (rc)
		return err_set(&request->err, rc, "the backup could not be recorded, so it was not begun");
	rc = core_backup_keys(request->broker->core, dir, &request->err);
	if (!rc)
		log_info("backup of the keys written dir=%s", dir);
	return rc;
}

/* After a restore, or a roll-back that an agent has shown. */
static int do_epoch(struct request *request)
{
	struct broker *broker = request->broker;
	char who[32];
	const struct core_new_epoch wanted = { .reason = text_of(request, "reason"), .who = who, .left = number_of(request, "from", CORE_LEFT_UNKNOWN) };
	struct err err = { 0 };
	struct buf out;
	size_t erased;
	int rc;

	(void)snprintf(who, sizeof who, "uid:%lu", (unsigned long)control_uid(request->call)); /* fits */
	rc = core_epoch(broker->core, clock_now(&broker->clock), &wanted, &request->arena, &request->err);
	if (rc == ERR_UNSYNCED)
		broker_die("the store", rc);
	if (rc)
		return rc;
	if (control_erase_pending(broker, &erased, &err))
		log_error("the keys of cases that were erased before could not be destroyed again yet: %s; it is tried again each minute", err.text);
	log_info("a new epoch has begun: %s", wanted.reason);
	broker->turn_now = true;
	turn_schedule(broker);
	buf_init(&out);
	(void)buf_text(&out, "{\"note\":"); /* errors stay in out */
	(void)json_string(&out, core_epoch_note(broker->core));
	(void)buf_text(&out, "}");
	return line(request, &out);
}

static int do_rebuild(struct request *request)
{
	const char *difference = NULL;
	struct buf out;
	int rc = core_rebuild(request->broker->core, true, &request->arena, &difference, &request->err);

	if (rc)
		return rc;
	(void)audit(request, "rebuild", "compare", difference ? "different" : "equal", 0); /* it logs its own failure; what was found is told either way */
	if (difference)
		log_error("rebuild: the projections differ from the log: %s", difference);
	buf_init(&out);
	(void)buf_printf(&out, "{\"equal\":%s", difference ? "false" : "true"); /* errors stay in out */
	if (difference) {
		(void)buf_text(&out, ",\"difference\":");
		(void)json_string(&out, difference);
	}
	(void)buf_text(&out, "}");
	return line(request, &out);
}

/* As above, and where the projections differ from the log, which is right, they are replaced. */
static int do_repair(struct request *request)
{
	const char *difference = NULL, *none = NULL;
	struct buf out;
	int rc = core_rebuild(request->broker->core, true, &request->arena, &difference, &request->err);

	if (!rc && difference)
		rc = core_rebuild(request->broker->core, false, &request->arena, &none, &request->err);
	(void)audit(request, "repair", difference ? difference : "equal", rc ? "failed" : difference ? "replaced" : "nothing to do", 0); /* it logs its own failure */
	if (rc)
		return rc;
	if (difference)
		log_info("repair: what differed from the log was replaced: %s", difference);
	request->broker->turn_now = true; /* deadlines may have come back */
	for (size_t i = 0; i < request->broker->sessions.n; i++)
		deliver_rewind(request->broker, request->broker->sessions.items[i]); /* and what was held back of damaged cases */
	buf_init(&out);
	(void)buf_printf(&out, "{\"replaced\":%s}", difference ? "true" : "false"); /* errors stay in out */
	return line(request, &out);
}

/* --- erasure: one operator orders it, another one confirms or withdraws it ------------------------------------------------ */

typedef int erase_fn(struct core *core, const char *subject, const char *who, const char *purpose, struct err *err);
struct erase { erase_fn *step; const char *subject, *purpose; char who[32]; struct err *err; };

static bool flag_of(const struct request *request, const char *name)
{
	for (size_t i = 0; i < request->n; i++)
		if (!strcmp(request->members[i].name, name) && request->members[i].value.kind == JSON_BOOL)
			return request->members[i].value.boolean;
	return false;
}

static int erase_step(void *context, struct broker *broker)
{
	const struct erase *erase = context;

	return erase->step(broker->core, erase->subject, erase->who, erase->purpose, erase->err);
}

int control_erase_pending(struct broker *broker, size_t *ret_n, struct err *err)
{
	const int rc = core_erase_run(broker->core, clock_now(&broker->clock), ret_n, err);

	if (rc == ERR_UNSYNCED)
		broker_die("the store of keys", rc);
	broker->erase_again = rc != OK;
	if (!*ret_n)
		return rc;
	turn_wipe(broker);
	arena_wipe(&broker->reading);
	daemon_release_memory(); /* what was sent, and is free by now */
	log_info("erasures executed n=%zu", *ret_n);
	return rc;
}

/* Behind a confirmation, now or earlier: its keys go. The next minute tries again if that is not possible. */
static int execute(struct request *request, int confirmed)
{
	struct err err = { 0 };
	size_t n;
	const int rc = control_erase_pending(request->broker, &n, &err);

	if (rc) {
		log_error("erasure confirmed and not executed: %s; it is tried again each minute", err.text);
		return err_set(&request->err, rc, "the erasure is confirmed, but the keys could not be destroyed yet: %s; it is tried again each minute", err.text);
	}
	return n ? OK : confirmed; /* it had been confirmed before, and was executed only now */
}

static int do_erase(struct request *request)
{
	const bool confirm = flag_of(request, "confirm"), withdraw = flag_of(request, "withdraw");
	struct erase erase = { .step = confirm ? core_erase_confirm : withdraw ? core_erase_withdraw : core_erase_order, .subject = text_of(request, "case"),
		.purpose = text_of(request, "order"), .err = &request->err };
	int rc;

	if (!erase.subject || (!erase.purpose && !confirm) || (confirm && withdraw))
		return err_set(&request->err, ERR_INVALID, "erase: name the case, and with --order on what ground; another operator confirms it with --confirm");
	(void)snprintf(erase.who, sizeof erase.who, "uid:%lu", (unsigned long)control_uid(request->call)); /* fits */
	rc = turn_alone(request->broker, erase_step, &erase);
	if (rc && !request->err.text[0])
		(void)err_set(&request->err, rc, "the order could not be recorded: %s", err_text(rc));
	if (confirm && (!rc || rc == ERR_EXISTS))
		rc = execute(request, rc);
	else if (rc)
		(void)audit(request, "erase", erase.purpose, "refused", 0); /* it logs its own failure */
	request->broker->turn_now = true; /* deadlines have gone, and its receivers are to be told */
	if (rc)
		return rc;
	rc = control_printf(request->call, "{\"erase\":\"%s\"}", confirm ? "executed" : withdraw ? "withdrawn" : "ordered");
	return rc ? err_set(&request->err, rc, "the answer does not fit") : OK;
}

#define RESEND_TURN 500         /* cases in one turn */

static int resend_step(void *context, struct broker *broker)
{
	return core_resend_cases(broker->core, context, RESEND_TURN);
}

/* An agency that lost its store is given its current cases again, and what is queued for it once more. */
static int do_resend(struct request *request)
{
	struct broker *broker = request->broker;
	struct core_resend resend = { .agency = text_of(request, "agency") };
	struct session *session = resend.agency ? session_of(broker, resend.agency) : NULL;
	int rc;

	if (!session)
		return err_set(&request->err, ERR_NOTFOUND, "agency: is not in the configuration");
	do
		rc = turn_alone(broker, resend_step, &resend);
	while (!rc && resend.more);
	if (rc)
		return err_set(&request->err, rc, "the cases of %s could not be queued: %s", resend.agency, err_text(rc));
	(void)audit(request, "resend", resend.agency, "queued", resend.n); /* it logs its own failure; the snapshots are on record themselves */
	deliver_rewind(broker, session);
	rc = control_printf(request->call, "{\"agency\":\"%s\",\"cases\":%zu}", resend.agency, resend.n);
	return rc ? err_set(&request->err, rc, "the answer does not fit") : OK;
}

static int do_checkpoint(struct request *request)
{
	struct broker *broker = request->broker;
	uint64_t size;
	const char *note;
	struct buf out;
	int rc = core_held(broker->core) ? ERR_BUSY : witness_issue(broker);

	if (rc == ERR_BUSY)
		return err_set(&request->err, rc, "the log is held: begin a new epoch first (reentry admin epoch)");
	if (rc == ERR_DENIED)
		return err_set(&request->err, rc, "there is no signing key: make one (reentry keygen) at %s and restart", broker->config->file.broker.signing_key);
	if (!rc)
		rc = core_checkpoint_last(broker->core, &request->arena, &size, &note);
	if (rc)
		return err_set(&request->err, rc, rc == ERR_NOTFOUND ? "the log is empty" : "no checkpoint could be signed: %s", err_text(rc));
	buf_init(&out);
	(void)buf_printf(&out, "{\"size\":%" PRIu64 ",\"note\":", size); /* errors stay in out */
	(void)json_string(&out, note);
	(void)buf_text(&out, "}");
	return line(request, &out);
}

static int do_reload(struct request *request)
{
	const int rc = broker_reload(request->broker, &request->err);

	(void)audit(request, "reload", NULL, rc ? "refused" : "done", 0); /* it logs its own failure; the reload stands either way */
	return rc;
}

static const struct { const char *name; int (*run)(struct request *); } commands[] = {
	{ "status", do_status }, { "queues", do_queues }, { "timers", do_timers }, { "backup", do_backup },
	{ "rebuild", do_rebuild }, { "repair", do_repair }, { "erase", do_erase }, { "resend", do_resend }, { "reload", do_reload },
	{ "checkpoint", do_checkpoint }, { "backup-keys", do_backup_keys }, { "epoch", do_epoch },
};

static int run(struct request *request, const char *text, size_t n)
{
	const char *name;
	int rc = json_object_read(text, n, &request->arena, &request->members, &request->n, &request->err);

	if (rc)
		return rc;
	name = text_of(request, "do");
	for (size_t i = 0; name && i < sizeof commands / sizeof *commands; i++)
		if (!strcmp(commands[i].name, name))
			return commands[i].run(request);
	return err_set(&request->err, ERR_INVALID, "do: is not a command of this broker");
}

static void on_request(void *context, struct control_call *call, const char *text, size_t n)
{
	struct request request = { .broker = context, .call = call };
	int rc;

	turn_settle(context);
	arena_init(&request.arena, 0);
	rc = run(&request, text, n);
	if (!request.later)
		control_end(call, rc ? "refused" : NULL, rc ? request.err.text : NULL);
	arena_release(&request.arena);
}

static void on_gone(void *context, struct control_call *call)
{
	backup_gone(context, call);
}

int control_open(struct broker *broker, struct err *err)
{
	const struct control_handlers handlers = { .request = on_request, .gone = on_gone };

	const struct broker_group *group = &broker->config->file.broker;
	const int rc = control_new(broker->loop, group->control, 0600, &handlers, broker, &broker->control, err);

	return rc ? rc : control_share(broker->control, group->control_group, err);
}
