/* Plays a scenario. Each line: first everything that falls due up to its moment, one moment at a time; then the line; after each turn the agencies
 * that are online get what is queued for them and acknowledge it, until nothing moves. What a moment produced is printed in the order of the log. */
#include "cli/rehearse.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config.h"
#include "broker/core.h"
#include "cli/rehearse_folder.h"
#include "lib/buf.h"
#include "lib/crypt.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/pb.h"

#define STORE_SIZE ((size_t)16 << 30)
#define RESERVE ((size_t)65536)
#define LINE_BYTES_MAX ((size_t)1 << 20)
#define ROUNDS_MAX 10000           /* turns that one moment may take */
#define SCENARIO_MAX ((size_t)256 << 20)

struct line { uint64_t sequence; const char *to; char *text; size_t n; }; /* to NULL: a receipt, before the deliveries of its sequence */

struct rehearsal {
	struct broker_config *config;
	struct core *core;
	struct rehearse_folder folder;
	char store[300], keys[300];
	uint8_t master[KEY_SIZE];
	moment now;
	bool *offline;                  /* by index in the policy */
	struct arena arena;             /* of one line */
	struct buf out;
	struct line *lines; size_t n_lines;
	uint64_t ordinal;               /* of event lines */
	size_t line_number;
	struct err err;
};

static volatile sig_atomic_t stopped;  /* by this signal: the folder is removed on the way out */

static void on_signal(int number)
{
	stopped = number;
}

/* A second signal ends the process at once. */
static void catch_signals(void)
{
	static const int caught[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
		(void)sigaction(caught[i], &action, NULL); /* fails for no signal of these */
	(void)signal(SIGPIPE, SIG_IGN);                    /* a reader that went away is an error of the output */
}

static int go_on(struct rehearsal *r)
{
	if (stopped)
		return err_set(&r->err, ERR_CLOSED, "stopped by a signal");
	return ferror(stdout) ? err_set(&r->err, ERR_IO, "the output cannot be written") : OK;
}

/* --- store ---------------------------------------------------------------------------------------------------------------- */

static int make_folder(struct rehearsal *r)
{
	if (rehearse_folder_make(&r->folder))
		return err_errno(&r->err, ERR_IO, "no folder for a temporary store; set TMPDIR to one that can be written");
	(void)snprintf(r->store, sizeof r->store, "%s/store", r->folder.path); /* fits */
	(void)snprintf(r->keys, sizeof r->keys, "%s/keys", r->folder.path);
	catch_signals();
	return OK;
}

static int open_core(struct rehearsal *r)
{
	struct core_options options = {
		.dir = r->store, .keys_dir = r->keys, .size_max = STORE_SIZE, .reserve = RESERVE, .volatile_store = true, .master_key = r->master,
	};

	return core_open(&options, &r->config->policy, r->config->policy_text, &r->core, &r->err);
}

/* --- output ------------------------------------------------------------------------------------------------------------------ */

static int add_line(struct rehearsal *r, uint64_t sequence, const char *to)
{
	struct line *grown = realloc(r->lines, (r->n_lines + 1) * sizeof *grown);

	if (grown)
		r->lines = grown;
	if (!grown || r->out.error)
		return err_set(&r->err, ERR_NOMEM, "out of memory");
	grown[r->n_lines] = (struct line){ sequence, to, (char *)buf_take(&r->out, NULL), r->n_lines };
	r->n_lines++;
	return OK;
}

static int by_sequence(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	if (x->sequence != y->sequence)
		return x->sequence < y->sequence ? -1 : 1;
	if (!x->to && !y->to)
		return x->n < y->n ? -1 : x->n > y->n; /* as they came: a duplicate's receipt has no sequence of its own */
	if (!x->to || !y->to)
		return x->to ? 1 : -1;
	return strcmp(x->to, y->to);
}

static void flush_lines(struct rehearsal *r)
{
	if (r->n_lines)
		qsort(r->lines, r->n_lines, sizeof *r->lines, by_sequence);
	for (size_t i = 0; i < r->n_lines; i++) {
		puts(r->lines[i].text);
		free(r->lines[i].text);
	}
	r->n_lines = 0;
}

static const char *outcome_name(Reentry__Outcome__Value outcome)
{
	static const char *const names[] = { "", "accepted", "duplicate", "stale", "refused" };

	return names[outcome];
}

static int print_receipt(struct rehearsal *r, const char *by, const struct core_receipt *receipt, uint64_t at)
{
	struct json_receipt json = { .id = receipt->id, .result = outcome_name(receipt->result), .sequence = receipt->sequence, .code = receipt->code, .detail = receipt->detail };
	char when[CIVIL_MOMENT_SIZE];

	buf_printf(&r->out, "{\"at\":\"%s\",\"by\":\"%s\",\"receipt\":", civil_format_moment(r->now, when), by);
	json_receipt_write(&r->out, &json);
	buf_text(&r->out, "}");
	return add_line(r, at, NULL);
}

static int print_delivery(struct rehearsal *r, const char *to, const Reentry__Delivery *d, struct arena *arena)
{
	struct json_event json = {
		.has_time = true, .time = d->time, .sequence = d->sequence, .has_recorded = true, .recorded_at = d->recorded_at, .phase = (int)d->phase,
		.municipality = d->municipality, .source_oin = d->source_oin,
	};
	char when[CIVIL_MOMENT_SIZE];
	void *event = NULL;

	if (pb_unpack_own(&reentry__event__descriptor, d->content.data, d->content.len, arena, &event))
		return err_set(&r->err, ERR_CORRUPT, "a stored event cannot be read");
	json.event = event;
	if (d->has_slot_version) {
		json.event->has_slot_version = true;
		json.event->slot_version = d->slot_version;
	}
	if (!json.event->source) {
		Reentry__Header *header = NULL;
		struct core_record record;

		if (core_record(r->core, d->sequence, arena, &record))
			return err_set(&r->err, ERR_CORRUPT, "a stored event cannot be read");
		header = (Reentry__Header *)(uintptr_t)record.header;
		json.event->source = header->agency;
	}
	buf_printf(&r->out, "{\"at\":\"%s\",\"to\":\"%s\",\"event\":", civil_format_moment(r->now, when), to);
	json_event_write(&r->out, &json, rules_payload_of);
	buf_text(&r->out, "}");
	return add_line(r, d->sequence, to);
}

/* --- a moment -------------------------------------------------------------------------------------------------------------------- */

static int core_failed(struct rehearsal *r, int error)
{
	if (error == ERR_FULL)
		return err_set(&r->err, error, "no room in %s for the rehearsal's own store; free some, or play a smaller scenario", r->folder.path);
	return err_set(&r->err, error, "the core failed: %s", err_text(error));
}

/* Delivers to one agency that is online, and acknowledges. */
static int serve(struct rehearsal *r, const char *agency, bool *ret_moved)
{
	struct core_delivery *items = NULL;
	struct arena arena;
	uint64_t *sequences;
	size_t n = 0;
	int error;

	arena_init(&arena, 0);
	error = core_deliveries(r->core, agency, 0, 256, (size_t)8 << 20, &arena, &items, &n);
	for (size_t i = 0; i < n && !error; i++)
		error = print_delivery(r, agency, items[i].delivery, &arena);
	sequences = n && !error ? arena_alloc(&arena, n * sizeof *sequences) : NULL;
	if (sequences) {
		for (size_t i = 0; i < n; i++)
			sequences[i] = items[i].sequence;
		error = core_begin(r->core, r->now);
		if (!error)
			error = core_delivered(r->core, agency, sequences, n);
		if (!error)
			error = core_acked(r->core, agency, sequences, n);
		if (!error)
			error = core_commit(r->core);
		*ret_moved = true;
	}
	arena_release(&arena);
	return error && !r->err.code ? core_failed(r, error) : error;
}

/* Fires what is due now and serves everybody, until nothing moves. */
static int settle(struct rehearsal *r)
{
	const struct policy *policy = &r->config->policy;
	bool moved = true;

	for (int round = 0; moved; round++) {
		moment due = core_next_due(r->core);
		int error;

		if (round == ROUNDS_MAX)
			return err_set(&r->err, ERR_INVALID, "one moment never comes to rest");
		error = go_on(r);
		if (error)
			return error;
		moved = false;
		if (due != MOMENT_NONE && due <= r->now) {
			bool more; /* comes in the next round */

			error = core_begin(r->core, r->now);
			if (!error)
				error = core_fire(r->core, 1000, &more);
			if (!error)
				error = core_commit(r->core);
			if (error)
				return core_failed(r, error);
			moved = true;
		}
		for (size_t i = 0; i < policy->n_agencies; i++)
			if (!r->offline[i] && (error = serve(r, policy->agencies[i].id, &moved)))
				return error;
	}
	return OK;
}

/* Every deadline up to and at `until`, each at its own moment. */
static int advance(struct rehearsal *r, moment until)
{
	moment due;
	int error;

	while ((due = core_next_due(r->core)) != MOMENT_NONE && due <= until) {
		if (due > r->now) {
			flush_lines(r);
			r->now = due;
		}
		error = settle(r);
		if (error)
			return error;
	}
	if (until > r->now) {
		flush_lines(r);
		r->now = until;
	}
	return OK;
}

/* --- lines ---------------------------------------------------------------------------------------------------------------------- */

static int play_event(struct rehearsal *r, const struct rehearse_line *in)
{
	const struct agency *agency = policy_agency(&r->config->policy, in->by);
	struct json_event json = { 0 };
	struct core_receipt receipt = { 0 };
	struct core_status status;
	struct err why = { 0 };
	char made[ID_TEXT_SIZE], seed[64];
	const char *id;
	uint8_t *content = NULL;
	size_t n = 0;
	uint64_t first;
	int error, unread;

	if (!agency)
		return err_set(&r->err, ERR_INVALID, "by: %s is no agency of this configuration", in->by);
	(void)snprintf(seed, sizeof seed, "rehearsal line %llu", (unsigned long long)++r->ordinal);
	id_derive(made, r->now, seed, strlen(seed));
	unread = json_event_read(in->event, in->event_n, rules_payload_of, &r->arena, &json, &why);
	if (!unread) {
		if (!json.event->id)
			json.event->id = made;
		id = json.event->id;
		unread = pb_pack(json.event, &r->arena, &content, &n);
	} else if ((id = rehearse_line_id(in, &r->arena)) == NULL) {
		id = made;
	}
	error = core_status(r->core, &status);
	first = status.last_sequence + 1;
	if (!error)
		error = core_begin(r->core, r->now);
	if (!error)
		error = unread ? core_refuse(r->core, agency, id, unread == ERR_TOOBIG ? "too-large" : "malformed", why.text, &receipt)
			: core_publish(r->core, agency, content, n, json.has_time ? json.time : r->now, &receipt);
	if (!error)
		error = core_commit(r->core);
	if (error)
		return core_failed(r, error);
	if (!receipt.id || !receipt.id[0])
		receipt.id = id; /* too large to be looked into */
	return print_receipt(r, in->by, &receipt, receipt.sequence && receipt.result != REENTRY__OUTCOME__VALUE__DUPLICATE ? receipt.sequence : first);
}

static int play_link(struct rehearsal *r, const struct rehearse_line *in)
{
	for (size_t i = 0; i < r->config->policy.n_agencies; i++)
		if (strcmp(r->config->policy.agencies[i].id, in->link) == 0) {
			r->offline[i] = !in->up;
			return OK;
		}
	return err_set(&r->err, ERR_INVALID, "link: %s is no agency of this configuration", in->link);
}

static int play_crash(struct rehearsal *r)
{
	core_abandon(r->core);
	r->core = NULL;
	return open_core(r);
}

static int play_line(struct rehearsal *r, const char *text, size_t n)
{
	struct rehearse_line in = { 0 };
	moment at = 0;
	int error;

	arena_reset(&r->arena);
	error = rehearse_line_read(text, n, &r->arena, &in, &r->err);
	if (!error && civil_parse_moment(in.at, &at))
		error = err_set(&r->err, ERR_INVALID, "at: is no moment (RFC 3339, for example 2027-02-01T10:00:00+01:00)");
	if (!error && r->now != MOMENT_NONE && at < r->now)
		error = err_set(&r->err, ERR_INVALID, "at: lies before the line above; lines stand in order of time");
	if (error)
		return error;
	error = advance(r, at);
	if (!error && in.crash)
		error = play_crash(r);
	if (!error && in.link)
		error = play_link(r, &in);
	if (!error && in.event)
		error = play_event(r, &in);
	return error ? error : settle(r);
}

static int play(struct rehearsal *r, const struct buf *scenario)
{
	const char *at = (const char *)scenario->bytes, *end = at + scenario->n;

	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t n = stop ? (size_t)(stop - at) : (size_t)(end - at);
		int error;

		r->line_number++;
		if (n > LINE_BYTES_MAX)
			return err_set(&r->err, ERR_TOOBIG, "the line is longer than 1 MiB");
		if (strspn(at, " \t\r") < n) {
			error = play_line(r, at, n);
			if (error)
				return error;
		}
		at += n + 1;
	}
	return OK;
}

/* --- the command ------------------------------------------------------------------------------------------------------------------ */

static int check_rebuild(struct rehearsal *r)
{
	const char *difference = NULL;
	int error = core_rebuild(r->core, true, &r->arena, &difference, &r->err);

	if (!error && difference)
		return err_set(&r->err, ERR_CORRUPT, "the state rebuilt from the log differs from the live one: %s", difference);
	return error;
}

static int rehearse(struct rehearsal *r, const char *config, const char *path, bool rebuild)
{
	struct buf scenario;
	int error = broker_config_load(config, &r->config, &r->err);

	buf_init(&scenario);
	if (!error) {
		error = buf_read_file(&scenario, strcmp(path, "-") == 0 ? "/dev/stdin" : path, SCENARIO_MAX);
		if (error)
			err_set(&r->err, error, "%s: cannot be read (%s)", path, err_text(error));
	}
	if (!error) {
		r->offline = calloc(r->config->policy.n_agencies, sizeof *r->offline);
		error = r->offline ? make_folder(r) : err_set(&r->err, ERR_NOMEM, "out of memory");
	}
	crypt_random(r->master, sizeof r->master);
	if (!error)
		error = open_core(r);
	if (!error) {
		error = play(r, &scenario);
		if (error && r->line_number)
			err_prefix(&r->err, "%s:%zu", strcmp(path, "-") == 0 ? "standard input" : path, r->line_number);
		flush_lines(r);
	}
	if (!error && rebuild)
		error = check_rebuild(r);
	if (r->core)
		core_abandon(r->core);
	buf_release(&scenario);
	return error;
}

static const char help[] =
	"usage: reentry rehearse -c BROKERCFG [--verify-rebuild] [SCENARIO.jsonl|-]\n"
	"\n"
	"Plays a scenario on the broker's own core with a simulated clock: no network, no daemon, nothing left on disk.\n"
	"\n"
	"  -c, --config FILE    the broker's configuration: agencies, calendar, intervals\n"
	"      --verify-rebuild afterwards fold the whole log again and compare with the live state\n"
	"      --help           this text\n"
	"\n"
	"Each line of the scenario is one JSON object with \"at\" (a moment, never decreasing) and one of\n"
	"  \"by\" and \"event\"   an agency publishes\n"
	"  \"link\" and \"up\"    an agency's connection goes down or comes back\n"
	"  \"crash\": true      the broker is killed and recovers from disk\n"
	"or nothing more: time passes. Printed are all receipts and all deliveries, in order of time and log.\n";

int rehearse_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "help", no_argument, NULL, 'h' }, { "verify-rebuild", no_argument, NULL, 'r' }, { NULL, 0, NULL, 0 },
	};
	struct rehearsal r = { .now = MOMENT_NONE };
	const char *config = NULL;
	bool rebuild = false;
	int option, error;

	optind = 0; /* begins anew: the options in front of the command were read with the same function */
	opterr = 1;
	while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		if (option == 'c')
			config = optarg;
		else if (option == 'r')
			rebuild = true;
		else if (option == 'h')
			return fputs(help, stdout) < 0;
		else
			return 2;
	}
	if (!config || argc - optind > 1) {
		fputs("reentry rehearse: needs -c BROKERCFG and one scenario; see reentry rehearse --help\n", stderr);
		return 2;
	}
	if (crypt_init())
		return 1;
	arena_init(&r.arena, 0);
	buf_init(&r.out);
	error = rehearse(&r, config, optind < argc ? argv[optind] : "-", rebuild);
	rehearse_folder_remove(&r.folder);
	if (!error && (fflush(stdout) || ferror(stdout)))
		error = err_set(&r.err, ERR_IO, "the output cannot be written");
	if (error)
		fprintf(stderr, "reentry rehearse: %s\n", r.err.text);
	free(r.lines);
	free(r.offline);
	arena_release(&r.arena);
	buf_release(&r.out);
	broker_config_free(r.config);
	return error ? 1 : 0;
}
