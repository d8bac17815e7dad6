/* reentry verify: a bundle (FILE), or the whole store of a broker that is not running, or a backup of one (--log). No daemon, no network. */
#include "cli/proofs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/config.h"
#include "broker/core_verify.h"
#include "cli/bundle.h"
#include "lib/crypt.h"
#include "lib/pb.h"
#include "rules/rules.h"

#define FAULTS_TOLD 20
#define TOLD_TEXT "20"

struct verifying { struct cli *cli; const char *file; bool show; size_t faults; };

static const char *moment_of(int64_t when, char text[CIVIL_MOMENT_SIZE])
{
	return civil_format_moment(when, text);
}

/* --- a bundle ------------------------------------------------------------------------------------------------------------ */

static void on_fault(void *context, size_t line, const char *text)
{
	struct verifying *v = context;
	if (++v->faults > FAULTS_TOLD)
		return; /* they are counted */
	if (line > 0)
		(void)complain(v->cli, FAILED, "%s:%zu: %s", v->file, line, text); /* the count decides the exit status */
	else
		(void)complain(v->cli, FAILED, "%s: %s", v->file, text);
}

static const char *kind_name(Reentry__RecordKind__Value kind)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(&reentry__record_kind__value__descriptor, (int)kind);
	return value != NULL ? value->name : "?";
}

/* The event of a record as JSON, as it was recorded: not cut to any receiver. */
static bool write_event(struct buf *out, const struct bundle_record *record, struct arena *arena)
{
	void *message = NULL, *event = NULL;
	if (record->header->kind != REENTRY__RECORD_KIND__VALUE__EVENT || record->body == NULL)
		return false;
	if (pb_unpack(&reentry__event_record__descriptor, record->body, record->body_n, arena, &message, NULL) != OK)
		return false;
	const Reentry__EventRecord *body = message;
	if (pb_unpack(&reentry__event__descriptor, body->content.data, body->content.len, arena, &event, NULL) != OK)
		return false;
	struct json_event json = {
		.event = event, .has_time = body->has_time, .time = body->time, .sequence = record->header->position, .has_recorded = true,
		.recorded_at = record->header->recorded_at, .phase = body->has_phase ? (int)body->phase : 0, .municipality = body->municipality,
	};
	if (json.event->source == NULL)
		json.event->source = record->header->agency;
	(void)buf_text(out, ",\"event\":"); /* the buffer remembers its error */
	return json_event_write(out, &json, rules_payload_of) == OK;
}

static void write_audit(struct buf *out, const struct bundle_record *record, struct arena *arena)
{
	void *message = NULL;
	if (record->body == NULL || record->header->kind < REENTRY__RECORD_KIND__VALUE__REPLAY)
		return;
	if (pb_unpack(&reentry__audit_record__descriptor, record->body, record->body_n, arena, &message, NULL) != OK)
		return;
	(void)buf_text(out, ",\"audit\":"); /* see write_event */
	(void)json_from_message(out, message);
}

static void write_record(struct buf *out, const struct bundle_record *record, struct arena *arena)
{
	const Reentry__Header *header = record->header;
	char when[CIVIL_MOMENT_SIZE];
	(void)buf_printf(out, "{\"position\":%" PRIu64 ",\"recorded_at\":\"%s\",\"kind\":\"%s\",\"by\":", header->position, moment_of(header->recorded_at, when),
	                 kind_name(header->kind)); /* see write_event */
	(void)json_string(out, header->agency != NULL ? header->agency : "");
	(void)buf_text(out, ",\"to\":[");
	for (size_t i = 0; i < header->n_to; i++) {
		(void)buf_text(out, i > 0 ? "," : "");
		(void)json_string(out, header->to[i]);
	}
	(void)buf_text(out, "]");
	if (!write_event(out, record, arena))
		write_audit(out, record, arena);
	(void)buf_text(out, "}");
}

static void show_record(struct cli *cli, const struct bundle_record *record, struct arena *arena)
{
	const Reentry__Header *header = record->header;
	char when[CIVIL_MOMENT_SIZE];
	struct columns columns;
	void *message = NULL, *event = NULL;
	const char *what = kind_name(header->kind);
	struct buf to;
	buf_init(&to);
	for (size_t i = 0; i < header->n_to; i++)
		(void)buf_printf(&to, "%s%s", i > 0 ? ", " : "", header->to[i]); /* see write_event */
	if (header->kind == REENTRY__RECORD_KIND__VALUE__EVENT && record->body != NULL &&
	    pb_unpack(&reentry__event_record__descriptor, record->body, record->body_n, arena, &message, NULL) == OK &&
	    pb_unpack(&reentry__event__descriptor, ((Reentry__EventRecord *)message)->content.data, ((Reentry__EventRecord *)message)->content.len, arena, &event, NULL) == OK)
		what = word_type(cli, ((Reentry__Event *)event)->type != NULL ? ((Reentry__Event *)event)->type : "");
	columns_begin(&columns, cli, 5);
	columns_cell(&columns, DIM, "#%-8" PRIu64, header->position);
	columns_cell(&columns, DIM, "%-26s", show_moment(cli, moment_of(header->recorded_at, when)));
	columns_cell(&columns, PLAIN, "%-16s", header->agency != NULL ? header->agency : "");
	columns_cell(&columns, BOLD, "%-28s", what);
	columns_cell(&columns, PLAIN, "%s", to.n > 0 ? (const char *)to.bytes : "");
	columns_print(&columns, stdout);
	buf_release(&to);
	arena_reset(&cli->shown);
}

static void on_record(void *context, const struct bundle_record *record)
{
	const struct verifying *v = context;
	struct arena arena;
	struct buf out;
	arena_init(&arena, 0);
	buf_init(&out);
	if (v->cli->json) {
		write_record(&out, record, &arena);
		if (out.error == OK)
			(void)puts((const char *)out.bytes); /* found when stdout is flushed */
	} else if (v->show) {
		show_record(v->cli, record, &arena);
	}
	buf_release(&out);
	arena_release(&arena);
}

static void tell_bundle(struct cli *cli, const char *file, const struct bundle_result *result)
{
	char when[CIVIL_MOMENT_SIZE];
	if (cli->json) {
		printf("{\"verified\":true,\"case\":\"%s\",\"records\":%" PRIu64 ",\"opened\":%" PRIu64 ",\"first\":%" PRIu64 ",\"last\":%" PRIu64 ",\"log\":\"%s\",\"log_records\":%" PRIu64
		       ",\"cosigned\":%zu}\n", result->reference, result->records, result->opened, result->first, result->last, result->origin, result->size, result->cosigned);
		return;
	}
	printf("%s holds: %" PRIu64 " records of case %s, from sequence %" PRIu64 " to %" PRIu64 ", none left out between, %" PRIu64 " of them opened.\n", file, result->records,
	       result->reference, result->first, result->last, result->opened);
	printf("They are in the log %s as it was signed over %" PRIu64 " records", result->origin, result->size);
	if (result->cosigned > 0)
		printf("; %zu witness%s cosigned, the first at %s", result->cosigned, result->cosigned == 1 ? "" : "es", moment_of((int64_t)result->cosigned_at * 1000, when));
	puts(".");
}

static int read_witnesses(struct cli *cli, const char **paths, struct bundle_key **ret_keys, size_t *ret_n)
{
	struct key_pair pair;
	struct err err = {0};
	size_t n = 0;
	while (paths[n] != NULL)
		n++;
	*ret_keys = calloc(n + 1, sizeof **ret_keys);
	if (*ret_keys == NULL)
		return complain(cli, FAILED, "out of memory");
	for (size_t i = 0; i < n; i++) {
		if (key_read_public(paths[i], &pair, &err) != OK)
			return complain(cli, FAILED, "%s", err.text);
		(*ret_keys)[i].path = paths[i];
		memcpy((*ret_keys)[i].public_key, pair.sign_public, KEY_SIZE);
	}
	*ret_n = n;
	return DONE;
}

static int verify_bundle(struct verifying *v, const char *key, const char **witness_paths)
{
	struct bundle_options options = {.fault = on_fault, .record = on_record, .context = v};
	struct bundle_result result;
	struct bundle_key *witnesses = NULL;
	struct key_pair pair;
	struct err err = {0};
	struct buf file;
	if (key_read_public(key, &pair, &err) != OK)
		return complain(v->cli, FAILED, "%s", err.text);
	memcpy(options.log_key, pair.sign_public, KEY_SIZE);
	int status = read_witnesses(v->cli, witness_paths, &witnesses, &options.n_witnesses);
	options.witnesses = witnesses;
	buf_init(&file);
	int r = status == DONE ? buf_read_file(&file, v->file, BUNDLE_SIZE_MAX) : OK;
	if (r != OK)
		status = complain(v->cli, FAILED, "%s: cannot be read (%s)", v->file, err_text(r));
	if (status == DONE && (file.n == 0 || file.bytes[0] != '{'))
		status = complain(v->cli, FAILED, "%s: is no bundle; reentry prove makes one", v->file);
	else if (status == DONE && bundle_check((const char *)file.bytes, file.n, &options, &result) != OK)
		status = complain(v->cli, FAILED, "out of memory");
	else if (status == DONE && result.faults > 0)
		status = complain(v->cli, FAILED, "%s does not hold: %zu fault%s%s; do not rely on anything in it", v->file, result.faults, result.faults == 1 ? "" : "s",
		                  v->faults > FAULTS_TOLD ? ", of which " TOLD_TEXT " are told" : "");
	else if (status == DONE)
		tell_bundle(v->cli, v->file, &result);
	buf_release(&file);
	free(witnesses);
	return status;
}

/* --- a store --------------------------------------------------------------------------------------------------------------- */

static void on_store_fault(void *context, const char *line)
{
	const struct verifying *v = context;
	(void)complain(v->cli, FAILED, "%s: %s", v->file, line); /* the count decides the exit status */
}

/* The keys of the agencies, under their names as witnesses; those that cannot be read are left out. */
static size_t witness_keys(const struct broker_config *config, struct note_key *keys, size_t max)
{
	struct key_pair pair;
	size_t n = 0;
	for (size_t i = 0; i < config->policy.n_agencies; i++)
		for (size_t k = 0; k < config->key_files[i].n && n < max; k++) {
			if (key_read_public(config->key_files[i].items[k], &pair, NULL) != OK)
				continue;
			keys[n] = (struct note_key){.name = config->policy.agencies[i].id, .kind = NOTE_COSIGNATURE};
			memcpy(keys[n++].public_key, pair.sign_public, KEY_SIZE);
		}
	return n;
}

/* What the log is signed with: as given, or from the broker's own key. */
static int log_key(struct cli *cli, const struct broker_config *config, const char *path, uint8_t ret_key[KEY_SIZE], bool *ret_has)
{
	const char *own = config->file.broker.signing_key;
	struct key_pair pair;
	struct err err = {0};
	int r = OK;
	*ret_has = path != NULL || access(own, F_OK) == 0;
	if (*ret_has)
		r = path != NULL ? key_read_public(path, &pair, &err) : key_read_secret(own, &pair, &err);
	if (r != OK)
		return complain(cli, FAILED, "%s", err.text);
	if (*ret_has)
		memcpy(ret_key, pair.sign_public, KEY_SIZE);
	crypt_wipe(&pair, sizeof pair);
	return DONE;
}

static int tell_store(struct cli *cli, const char *dir, const struct verify_result *result, bool with_key)
{
	if (result->faults > 0)
		return complain(cli, FAILED, "%s does not hold: %" PRIu64 " faults%s; keep it as it is, and restore a backup that verifies", dir, result->faults,
		                result->faults > 100 ? ", of which 100 are told" : "");
	if (cli->json) {
		printf("{\"verified\":true,\"records\":%" PRIu64 ",\"nodes\":%" PRIu64 ",\"checkpoints\":%" PRIu64 ",\"erased\":%" PRIu64 ",\"opened\":%s,\"signatures\":%s}\n", result->records,
		       result->nodes, result->checkpoints, result->erased, result->opened ? "true" : "false", with_key ? "true" : "false");
		return DONE;
	}
	printf("%s holds: %" PRIu64 " records, %" PRIu64 " nodes of the tree, %" PRIu64 " checkpoints; the bodies of %" PRIu64 " records are erased.\n", dir, result->records,
	       result->nodes, result->checkpoints, result->erased);
	if (!result->opened)
		puts("The keys are not here: bodies, and what is derived from them, were not looked into.");
	if (!with_key)
		puts("No key of the log was given (--key): the signatures of the checkpoints were not verified.");
	return DONE;
}

static int verify_loaded(struct verifying *v, const struct broker_config *config, const char *store, const char *key)
{
	static struct note_key witnesses[BUNDLE_WITNESSES_MAX];
	uint8_t master[KEY_SIZE], signing[KEY_SIZE];
	struct verify_options options = {.policy = &config->policy, .policy_text = config->policy_text, .witnesses = witnesses};
	struct verify_result result;
	struct err err = {0};
	bool has_key = false;
	int status = log_key(v->cli, config, key, signing, &has_key);
	if (status != DONE)
		return status;
	options.core.dir = v->file = store != NULL ? store : config->file.broker.store;
	options.signing_public = has_key ? signing : NULL;
	options.n_witnesses = witness_keys(config, witnesses, BUNDLE_WITNESSES_MAX);
	if (access(config->file.broker.master_key, R_OK) == 0 && key_read_or_make_raw(config->file.broker.master_key, master, &err) != OK)
		return complain(v->cli, FAILED, "%s", err.text);
	options.core.master_key = access(config->file.broker.master_key, R_OK) == 0 ? master : NULL;
	int r = core_verify(&options, on_store_fault, v, &result, &err);
	crypt_wipe(master, sizeof master);
	return r != OK ? complain(v->cli, FAILED, "%s", err.text) : tell_store(v->cli, options.core.dir, &result, has_key);
}

static int verify_store(struct verifying *v, const char *store, const char *key)
{
	struct broker_config *config = NULL;
	struct err err = {0};
	if (v->cli->config == NULL)
		return misuse(v->cli, "--log needs -c with the broker's configuration");
	if (broker_config_load(v->cli->config, &config, &err) != OK)
		return complain(v->cli, FAILED, "%s", err.text);
	int status = verify_loaded(v, config, store, key);
	broker_config_free(config);
	return status;
}

int verify_main(struct cli *cli, int argc, char **argv)
{
	const char *log = NULL, *store = NULL, *key = NULL, *show = NULL, *witnesses[OPTION_MANY_MAX] = {NULL};
	const struct option_row options[] = {
		{"log", 0, true, false, &log}, {"store", 0, false, false, &store},        {"key", 0, false, false, &key},
		{"show", 0, true, false, &show}, {"witness", 0, false, true, witnesses}, {0},
	};
	struct verifying v = {.cli = cli};
	int first;
	if (!read_options(cli, argc, argv, options, &first))
		return USAGE;
	v.show = show != NULL;
	if (log != NULL)
		return first == argc ? verify_store(&v, store, key) : misuse(cli, "%s: with --log there is no file", argv[first]);
	if (argc - first != 1)
		return misuse(cli, "one bundle, or --log, is needed");
	if (key == NULL)
		return misuse(cli, "--key is needed: the public key of the log (.pub), from somebody you trust");
	v.file = argv[first];
	return verify_bundle(&v, key, witnesses);
}
