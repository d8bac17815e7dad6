/* Verification of a whole store that nobody is using: a stopped broker's, or a backup. What is read may be damaged, and LMDB itself may fall over it, so a child process
 * reads and tells through a pipe; that it was ended by a signal is a finding like any other.
 * In this order: every record (hash, place, time, body), every node of the tree against the two below it, every checkpoint, and then, where the keys are at hand, the whole log
 * is folded again and compared with what lies in the other tables. */
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/core_internal.h"
#include "broker/core_verify.h"
#include "lib/db_check.h"
#include "lib/pb.h"

#define FAULTS_TOLD_MAX 100
#define LINE_SIZE 1024

struct verify {
	const struct verify_options *options;
	struct core *core;
	struct db_txn txn;
	struct arena arena;
	FILE *out;
	const char *scratch;
	struct verify_result result;
	moment recorded_at;
	uint64_t epoch;
	uint64_t missing;            /* positions that are not there */
};

/* --- what the child tells -------------------------------------------------------------------------------------------------- */

static void fault(struct verify *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fault(struct verify *v, const char *format, ...)
{
	char text[LINE_SIZE];
	va_list arguments;

	v->result.faults++;
	if (v->result.faults > FAULTS_TOLD_MAX)
		return;
	va_start(arguments, format);
	(void)vsnprintf(text, sizeof text, format, arguments); /* cut where it is too long */
	va_end(arguments);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = '?'; /* names out of a damaged store */
	(void)fprintf(v->out, "fault %s\n", text); /* an error shows at the last line, which must arrive */
	(void)fflush(v->out);
}

static void verify_note(struct verify *v, uint64_t position, const char *text, bool with_witnesses);

/* --- records ----------------------------------------------------------------------------------------------------------------- */

static void check_commitment(struct verify *v, const struct core_record *record)
{
	const Reentry__Header *header = record->header;
	uint8_t salt[KEY_SIZE], commitment[HASH_SIZE];
	const uint8_t *key = NULL;

	if (record->body_n == 0 && !header->has_commitment)
		return;
	if (log_key(v->core, header, false, &key))
		return;
	log_salt(key, header->position, salt);
	log_commitment(salt, record->body, record->body_n, commitment);
	if (!header->has_commitment || header->commitment.len != HASH_SIZE || memcmp(header->commitment.data, commitment, HASH_SIZE) != 0)
		fault(v, "record %llu: the commitment in its header is not to its body", (unsigned long long)header->position);
}

static void check_checkpoint_record(struct verify *v, const struct core_record *record)
{
	void *message = NULL;
	const char *note = NULL;

	if (!pb_unpack_own(&reentry__checkpoint_record__descriptor, record->body, record->body_n, &v->arena, &message))
		note = ((Reentry__CheckpointRecord *)message)->note;
	if (!note)
		fault(v, "record %llu: holds no checkpoint", (unsigned long long)record->header->position);
	else
		verify_note(v, record->header->position, note, false);
}

static void check_body(struct verify *v, const struct log_parts *parts)
{
	unsigned long long position = parts->header->position;
	struct core_record record;
	int error;

	if (!v->result.opened)
		return; /* sealed under keys that are not here */
	error = log_open(v->core, parts, &v->arena, &record);
	if (error == ERR_ERASED) {
		v->result.erased++;
		if (!erasure_is_known(&v->txn, parts->header->subject))
			fault(v, "record %llu: the key of case %s is gone, and no erasure of it is on record", position, parts->header->subject);
	} else if (error) {
		fault(v, "record %llu: its body cannot be opened (%s)", position, err_text(error));
	} else {
		check_commitment(v, &record);
		if (parts->header->kind == REENTRY__RECORD_KIND__VALUE__CHECKPOINT)
			check_checkpoint_record(v, &record);
	}
}

static void check_header(struct verify *v, const Reentry__Header *header)
{
	unsigned long long position = header->position;

	if (header->recorded_at < v->recorded_at && v->recorded_at != MOMENT_NONE)
		fault(v, "record %llu: was recorded before the record that it follows", position);
	if (header->epoch < v->epoch)
		fault(v, "record %llu: is of an earlier epoch than the record that it follows", position);
	if (header->has_previous && header->previous >= header->position)
		fault(v, "record %llu: says that it follows record %llu of its case", position, (unsigned long long)header->previous);
	if (!protobuf_c_enum_descriptor_get_value(&reentry__record_kind__value__descriptor, (int)header->kind))
		fault(v, "record %llu: is of no known kind", position);
	v->recorded_at = header->recorded_at;
	v->epoch = header->epoch;
}

/* With every record the nodes that it completes: each is the hash of the two below it, so that what is wrong is named where it is. */
static void check_nodes(struct verify *v, uint64_t position)
{
	struct tree_store store = nodes_stored(&v->txn);
	uint8_t left[HASH_SIZE], right[HASH_SIZE], node[HASH_SIZE];

	for (unsigned level = 1; level <= TREE_LEVELS && position % (UINT64_C(1) << level) == 0; level++) {
		uint64_t index = (position >> level) - 1, first = (index << level) + 1;
		int error = store.read(store.context, level, index, node);

		v->result.nodes++;
		if (error) {
			fault(v, "tree node (%u, %llu) over the records %llu to %llu is not there", level, (unsigned long long)index,
			      (unsigned long long)first, (unsigned long long)position);
			continue;
		}
		if (store.read(store.context, level - 1, 2 * index, left) || store.read(store.context, level - 1, 2 * index + 1, right))
			continue; /* told with those */
		tree_node_hash(left, right, left);
		if (memcmp(left, node, HASH_SIZE) != 0)
			fault(v, "tree node (%u, %llu) over the records %llu to %llu is not the hash of the two below it", level, (unsigned long long)index,
			      (unsigned long long)first, (unsigned long long)position);
	}
}

static uint64_t number_of(const struct db_value *key)
{
	uint64_t n = 0;

	for (size_t i = 0; i < key->n && i < 8; i++)
		n = n << 8 | ((const uint8_t *)key->bytes)[i];
	return n;
}

static int check_records(struct verify *v)
{
	struct core *core = v->core;
	struct db_cursor cursor;

	DB_FOREACH(&cursor, &v->txn, T_LOG, NULL, 0) {
		uint64_t position = cursor.key.n == 8 ? number_of(&cursor.key) : 0;
		struct log_parts parts;

		if (position <= core->last) {
			fault(v, "the log holds a key that is no position, or out of order, behind record %llu", (unsigned long long)core->last);
			db_cursor_close(&cursor);
			break;
		}
		if (position != core->last + 1) {
			fault(v, "the records %llu to %llu are missing", (unsigned long long)core->last + 1, (unsigned long long)position - 1);
			v->missing += position - core->last - 1;
		}
		core->last = core->handed = core->committed = position;
		v->result.records++;
		arena_reset(&v->arena);
		check_nodes(v, position);
		if (log_parse(&cursor.value, position, &v->arena, &parts)) {
			fault(v, "record %llu: does not match its hash", (unsigned long long)position);
			continue;
		}
		check_header(v, parts.header);
		check_body(v, &parts);
	}
	return v->txn.error;
}

/* --- the tree as a whole ------------------------------------------------------------------------------------------------------- */

/* No tile has more or less in it than it should, and there is none besides. */
static int check_tiles(struct verify *v)
{
	uint64_t tiles[TREE_TIERS] = { 0 };
	struct db_cursor cursor;

	DB_FOREACH(&cursor, &v->txn, T_TREE, NULL, 0) {
		const uint8_t *key = cursor.key.bytes;
		struct db_value rest = { key + 1, cursor.key.n - 1 };
		unsigned tier = cursor.key.n == 9 ? key[0] : TREE_TIERS;

		if (tier >= TREE_TIERS || number_of(&rest) != tiles[tier] || cursor.value.n != nodes_tile_size(v->core->last, tier, tiles[tier])) {
			fault(v, "a tile of the tree is of another size than it should be, or should not be there (tier %u)", tier);
			db_cursor_close(&cursor);
			break;
		}
		tiles[tier]++;
	}
	return v->txn.error;
}

/* --- checkpoints ----------------------------------------------------------------------------------------------------------------- */

static bool line_is_of(const struct note_line *line, const struct note_key *key)
{
	return line->name_n == strlen(key->name) && memcmp(line->name, key->name, line->name_n) == 0 && line->key_id == note_key_id(key->name, key->kind, key->public_key);
}

static void check_signatures(struct verify *v, const struct note *note, uint64_t position, bool with_witnesses)
{
	char origin[NOTE_NAME_MAX + 1];
	struct note_key key = { .name = origin, .kind = NOTE_ED25519 };
	struct note_seen seen;
	struct note_line line;
	size_t at = 0;
	struct err err = { 0 };

	core_origin(v->core, origin);
	if (v->options->signing_public)
		memcpy(key.public_key, v->options->signing_public, KEY_SIZE);
	while (note_next(note, &at, &line)) {
		const struct note_key *of = v->options->signing_public && line_is_of(&line, &key) ? &key : NULL;

		for (size_t i = 0; with_witnesses && i < v->options->n_witnesses && !of; i++)
			of = line_is_of(&line, &v->options->witnesses[i]) ? &v->options->witnesses[i] : NULL;
		if (of && note_verify(note, of, 1, &seen, &err))
			fault(v, "checkpoint of record %llu: %s", (unsigned long long)position, err.text);
	}
	if (v->options->signing_public && note_verify(note, &key, 1, &seen, &err))
		fault(v, "checkpoint of record %llu: is not signed by the key of this log", (unsigned long long)position);
}

static void verify_note(struct verify *v, uint64_t position, const char *text, bool with_witnesses)
{
	char origin[NOTE_NAME_MAX + 1];
	struct checkpoint checkpoint;
	uint8_t root[HASH_SIZE];
	struct note note;

	v->result.checkpoints++;
	core_origin(v->core, origin);
	if (note_read(text, strlen(text), &note, NULL) || checkpoint_read(note.text, note.text_n, &checkpoint, NULL)) {
		fault(v, "checkpoint of record %llu: is no checkpoint", (unsigned long long)position);
		return;
	}
	if (strcmp(checkpoint.origin, origin) != 0)
		fault(v, "checkpoint of record %llu: is of the log %s, not of %s", (unsigned long long)position, checkpoint.origin, origin);
	check_signatures(v, &note, position, with_witnesses);
	if (checkpoint.size >= position || checkpoint.size > v->core->last)
		fault(v, "checkpoint of record %llu: speaks of %llu records, more than there were", (unsigned long long)position, (unsigned long long)checkpoint.size);
	else if (tree_root_at(checkpoint.size, nodes_stored(&v->txn), root))
		fault(v, "checkpoint of record %llu: the tree over its %llu records is not whole", (unsigned long long)position, (unsigned long long)checkpoint.size);
	else if (memcmp(root, checkpoint.root, HASH_SIZE) != 0)
		fault(v, "checkpoint of record %llu: the first %llu records are not those that were signed", (unsigned long long)position, (unsigned long long)checkpoint.size);
}

static int check_kept_checkpoints(struct verify *v)
{
	struct db_cursor cursor;
	uint64_t last = 0;

	DB_FOREACH(&cursor, &v->txn, T_CHECKPOINTS, NULL, 0) {
		struct issued issued;
		const char *note;

		arena_reset(&v->arena);
		if (checkpoint_row(&cursor.key, &cursor.value, &v->arena, &issued, &note) || issued.size <= last) {
			fault(v, "the checkpoint that is kept over more than %llu records does not match its hash", (unsigned long long)last);
			continue;
		}
		last = issued.size;
		verify_note(v, issued.position, note, true);
	}
	return v->txn.error;
}

/* --- what is behind the log ---------------------------------------------------------------------------------------------------------- */

static int check_list(void *context, struct behind_cases *list)
{
	if (!list->whole)
		fault(context, "the list of cases with records before %llu does not match its hash", (unsigned long long)list->to);
	return OK;
}

/* The tree of a store that was not stopped, or of a backup, ends before the log does: what follows is made again in memory. What is missing there shows with each node. */
static int check_behind(struct verify *v)
{
	struct db_value key, value;
	struct behind_mark mark;
	int error = db_last(&v->txn, T_LOG, &key, &value);
	uint64_t last = error == OK && key.n == 8 ? number_of(&key) : 0;

	if (error && error != ERR_NOTFOUND)
		return error;
	error = behind_read(&v->txn, last, &mark);
	if (error == ERR_CORRUPT)
		fault(v, "up to where the tables are written does not match its hash");
	else if (error)
		return error;
	else
		(void)nodes_load(v->core, last); /* see above */
	return behind_lists(&v->txn, check_list, v);
}

/* --- everything derived ------------------------------------------------------------------------------------------------------------ */

static int check_projections(struct verify *v)
{
	const char *difference = NULL;
	struct core *again = NULL;
	struct err err = { 0 };
	int error = agencies_load(v->core);

	if (error) {
		fault(v, "the table of agencies cannot be read (%s)", err_text(error));
		return OK;
	}
	error = shadow_fold(v->core, &again, &err);
	if (!error) {
		v->core->policy = again->policy; /* the one on record: what this program was given may be newer */
		error = delta_open(v->core);
	}
	if (!error)
		error = behind_open(v->core);
	if (!error)
		error = compare_cores(v->core, again, &v->arena, &difference);
	if (error)
		fault(v, "%s", err.text[0] ? err.text : err_text(error));
	else if (difference)
		fault(v, "what is derived from the log differs from it: %s", difference);
	return OK; /* nothing is closed: the process ends soon, and the parent removes the scratch space */
}

/* --- keys ---------------------------------------------------------------------------------------------------------------------------- */

/* Also those that no record has been opened with. */
static int check_keys(struct verify *v)
{
	struct db_cursor cursor;
	const uint8_t *key;
	struct db_txn txn;
	int error = db_begin_read(v->core->keys, &txn);

	DB_FOREACH(&cursor, &txn, 0, NULL, 0) {
		char ref[DB_KEY_MAX + 1];
		size_t n = cursor.key.n < DB_KEY_MAX ? cursor.key.n : DB_KEY_MAX;

		memcpy(ref, cursor.key.bytes, n);
		ref[n] = 0;
		if (keys_get(v->core, ref, REENTRY__CLASS__VALUE__A, false, &key))
			fault(v, "the key of case %s cannot be opened", ref);
	}
	if (db_has(v->core->keys, K_ERASED))
		DB_FOREACH(&cursor, &txn, K_ERASED, NULL, 0)
			if (erased_check(v->core, &cursor.key, &cursor.value))
				fault(v, "what is kept of the erasure of case %.*s cannot be opened", (int)cursor.key.n, (const char *)cursor.key.bytes);
	error = error ? error : txn.error;
	db_abort(&txn);
	return error;
}

/* --- structure ------------------------------------------------------------------------------------------------------------------------ */

static void on_structure(void *context, const char *text)
{
	struct verify *v = context;

	fault(v, "store structure damaged: %s", text);
}

/* Without LMDB, before it reads anything: it trusts what it finds. The folder of keys may be missing. */
static int check_structure(struct verify *v, struct err *err)
{
	const struct core_options *core = &v->options->core;
	char keys[4096];
	struct db_check check;
	int error = db_check_folder(core->dir, core_tables, on_structure, v, &check, err);

	if (error || !core->master_key)
		return error;
	(void)snprintf(keys, sizeof keys, "%s%s", core->keys_dir ? core->keys_dir : core->dir, core->keys_dir ? "" : "-keys"); /* db_open refuses what does not fit */
	error = db_check_folder(keys, key_tables, on_structure, v, &check, err);
	return error == ERR_NOTFOUND ? OK : error;
}

/* --- the child ------------------------------------------------------------------------------------------------------------------------ */

static int walk(struct verify *v, struct err *err)
{
	int error = check_structure(v, err);

	if (error || v->result.faults)
		return error; /* nothing that LMDB should be asked to read */
	error = core_open_to_read(&v->options->core, v->options->policy, v->options->policy_text, &v->core, err);
	if (error)
		return error;
	free(v->core->dir); /* the folded log goes beside it, and the store's own folder may not be ours to write in */
	v->core->dir = strdup(v->scratch);
	if (!v->core->dir)
		return err_set(err, ERR_NOMEM, "out of memory");
	v->result.opened = v->core->keys != NULL;
	v->recorded_at = MOMENT_NONE;
	error = db_begin_read(v->core->db, &v->txn);
	if (!error)
		error = check_behind(v);
	if (!error)
		error = check_records(v);
	if (!error)
		error = check_tiles(v);
	if (!error)
		error = check_kept_checkpoints(v);
	db_abort(&v->txn);
	if (!error && v->result.opened)
		error = check_keys(v);
	if (!error && v->result.opened && !v->missing)
		error = check_projections(v);
	return error ? err_set(err, error, "the store cannot be read: %s", err_text(error)) : OK;
}

static void child(const struct verify_options *options, const char *scratch, int fd)
{
	struct verify v = { .options = options, .scratch = scratch, .out = fdopen(fd, "w") };
	static const int deadly[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };
	struct err err = { 0 };
	int error;

	for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
		(void)signal(deadly[i], SIG_DFL); /* whatever the program does with them: here they end the process, and that is told */
	if (!v.out)
		_exit(1);
	arena_init(&v.arena, 0);
	error = walk(&v, &err);
	if (error == ERR_CORRUPT)
		fault(&v, "store structure damaged: %s", err.text);
	else if (error)
		(void)fprintf(v.out, "error %d %s\n", -error, err.text); /* a line that does not arrive is one that is missed */
	(void)fprintf(v.out, "end %llu %llu %llu %llu %llu %d\n", (unsigned long long)v.result.records, (unsigned long long)v.result.nodes, (unsigned long long)v.result.checkpoints,
	              (unsigned long long)v.result.erased, (unsigned long long)v.result.faults, v.result.opened);
	_exit(fflush(v.out) ? 1 : 0);
}

/* --- the parent ------------------------------------------------------------------------------------------------------------------------- */

struct listening { verify_tell *tell; void *context; struct verify_result *result; struct err *err; int error; uint64_t told; bool ended; };

/* Numbers with a blank before each. */
static bool read_numbers(const char *text, uint64_t *numbers, size_t n)
{
	char *end;

	for (size_t i = 0; i < n; i++, text = end) {
		errno = 0;
		numbers[i] = strtoull(text, &end, 10);
		if (end == text || errno)
			return false;
	}
	return true;
}

static void take_line(struct listening *l, char *line)
{
	size_t length = strlen(line);
	uint64_t n[6], code = 0;

	if (length && line[length - 1] == '\n')
		line[length - 1] = 0;
	if (strncmp(line, "fault ", 6) == 0) {
		l->told++;
		l->tell(l->context, line + 6);
	} else if (strncmp(line, "error ", 6) == 0 && read_numbers(line + 6, &code, 1)) {
		const char *text = strchr(line + 6, ' ');

		l->error = err_set(l->err, -(int)code, "%s", text ? text + 1 : "");
	} else if (strncmp(line, "end ", 4) == 0 && read_numbers(line + 4, n, 6)) {
		*l->result = (struct verify_result){ .records = n[0], .nodes = n[1], .checkpoints = n[2], .erased = n[3], .faults = n[4], .opened = n[5] != 0 };
		l->ended = true;
	}
}

static int listen_to(struct listening *l, int fd, pid_t pid)
{
	FILE *in = fdopen(fd, "r");
	char line[LINE_SIZE + 64], text[160];
	int status = 0;

	while (in && fgets(line, sizeof line, in))
		take_line(l, line);
	if (in)
		(void)fclose(in); /* only read */
	else
		(void)close(fd); /* the same */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (l->error)
		return l->error;
	if (l->ended && WIFEXITED(status))
		return OK;
	l->result->faults = l->told + 1;
	if (WIFSIGNALED(status))
		(void)snprintf(text, sizeof text, "store structure damaged: the process that read it was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		(void)snprintf(text, sizeof text, "store structure damaged: the process that read it did not come to an end"); /* both are cut where they are too long */
	l->tell(l->context, text);
	return OK;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int fork_child(const struct verify_options *options, const char *scratch, int *ret_fd, pid_t *ret_pid, struct err *err)
{
	int ends[2];

	if (pipe(ends))
		return err_errno(err, ERR_IO, "no pipe to a process that verifies");
	(void)fflush(NULL); /* what stands in buffers is written once, by us */
	*ret_pid = fork();
	if (*ret_pid == 0) {
		(void)close(ends[0]);
		child(options, scratch, ends[1]);
	}
	(void)close(ends[1]); /* the child's end */
	*ret_fd = ends[0];
	if (*ret_pid > 0)
		return OK;
	(void)close(ends[0]); /* nothing will come */
	return err_errno(err, ERR_IO, "no process that verifies");
}

int core_verify(const struct verify_options *options, verify_tell *tell, void *context, struct verify_result *ret_result, struct err *err)
{
	struct listening l = { .tell = tell, .context = context, .result = ret_result, .err = err };
	const char *tmp = getenv("TMPDIR"); /* lint: getenv, because a large log needs a large scratch folder */
	char folder[256], scratch[300];
	int fd = -1, error;
	pid_t pid = -1;

	*ret_result = (struct verify_result){ 0 };
	(void)snprintf(folder, sizeof folder, "%s/reentry-verify-XXXXXX", tmp && strlen(tmp) < 200 ? tmp : "/tmp"); /* bounded */
	if (!mkdtemp(folder))
		return err_errno(err, ERR_IO, "no folder for scratch space; set TMPDIR to one that can be written");
	(void)snprintf(scratch, sizeof scratch, "%s/store", folder); /* bounded */
	error = fork_child(options, scratch, &fd, &pid, err);
	if (!error)
		error = listen_to(&l, fd, pid);
	(void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS); /* best effort: a temporary folder */
	return error;
}
