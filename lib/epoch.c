#include "lib/epoch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX ((size_t)4096)     /* bytes of extension lines */

/* --- writing ----------------------------------------------------------------------------------------------------------- */

static int write_lines(struct buf *lines, const struct epoch_record *record)
{
	(void)buf_printf(lines, "epoch %" PRIu64 " %" PRIu64 "\n", record->old_epoch, record->new_epoch); /* here and below: errors stay in lines */
	for (size_t i = 0; i < record->n_ends; i++)
		(void)buf_printf(lines, "ends %" PRIu64 " %" PRIu64 "\n", record->ends[i].epoch, record->ends[i].size);
	(void)buf_printf(lines, "reason %s\n", record->reason);
	return lines->error;
}

static bool are_ends_in_order(const struct epoch_record *record)
{
	for (size_t i = 0; i < record->n_ends; i++) {
		const struct epoch_end *next = i + 1 < record->n_ends ? &record->ends[i + 1] : NULL;

		if (record->ends[i].epoch >= (next ? next->epoch : record->old_epoch) || record->ends[i].size > (next ? next->size : record->from.size))
			return false;
	}
	return true;
}

static int check(const struct epoch_record *record, struct err *err)
{
	if (!record->reason[0] || strpbrk(record->reason, "\n\r\t"))
		return err_set(err, ERR_INVALID, "reason: one line of at most %d bytes is needed", EPOCH_REASON_MAX);
	if (record->old_epoch < EPOCH_FIRST || record->new_epoch <= record->old_epoch || !are_ends_in_order(record))
		return err_set(err, ERR_INVALID, "the epochs are out of order");
	return OK;
}

static int sign(struct buf *note, const char *name, const uint8_t seed[KEY_SIZE], struct err *err)
{
	const struct note_signer signer = { .name = name, .kind = NOTE_ED25519, .seed = seed };

	return note_sign(note, &signer, err);
}

int epoch_write(struct buf *out, const struct epoch_record *record, const uint8_t signing_seed[KEY_SIZE], struct err *err)
{
	struct checkpoint checkpoint = { .size = record->from.size };
	struct buf lines, note;
	int error = check(record, err);

	if (error)
		return error;
	buf_init(&lines);
	buf_init(&note);
	memcpy(checkpoint.origin, record->origin, sizeof checkpoint.origin);
	memcpy(checkpoint.root, record->from.root, sizeof checkpoint.root);
	error = write_lines(&lines, record);
	checkpoint.extensions = (const char *)lines.bytes;
	checkpoint.extensions_n = lines.n;
	if (!error)
		error = checkpoint_write(&note, &checkpoint, err);
	if (!error)
		error = sign(&note, record->origin, signing_seed, err);
	if (!error)
		error = buf_add(out, note.bytes, note.n);
	buf_release(&lines);
	buf_release(&note);
	return error;
}

/* --- reading ----------------------------------------------------------------------------------------------------------- */

/* "WORD N M" or "WORD N": how many numbers there are; 0 if the line is another. Only what we would write. */
static int read_numbers(const char *line, const char *word, uint64_t ret_numbers[2])
{
	char again[64], *end;
	int n;

	ret_numbers[0] = ret_numbers[1] = 0;
	if (strncmp(line, word, strlen(word)) != 0)
		return 0;
	line += strlen(word);
	for (n = 0; n < 2 && *line == ' '; n++, line = end) { /* lint: analyzer, because each line ends with a zero */
		ret_numbers[n] = strtoull(line + 1, &end, 10); /* what is out of range, signed or padded is not what is written again */
		(void)snprintf(again, sizeof again, " %" PRIu64, ret_numbers[n]); /* fits */
		if (strncmp(again, line, (size_t)(end - line)) != 0 || strlen(again) != (size_t)(end - line))
			return 0;
	}
	return *line ? 0 : n;
}

static int read_line(struct epoch_record *record, const char *line, size_t number)
{
	uint64_t numbers[2];

	if (number == 0) {
		if (read_numbers(line, "epoch", numbers) != 2)
			return ERR_INVALID;
		record->old_epoch = numbers[0];
		record->new_epoch = numbers[1];
		return OK;
	}
	if (record->reason[0])
		return ERR_INVALID; /* it is the last */
	if (strncmp(line, "reason ", 7) == 0 && strlen(line + 7) <= EPOCH_REASON_MAX) {
		(void)snprintf(record->reason, sizeof record->reason, "%s", line + 7); /* measured */
		return OK;
	}
	if (record->n_ends == EPOCH_ENDS_MAX || read_numbers(line, "ends", numbers) != 2)
		return ERR_INVALID;
	record->ends[record->n_ends++] = (struct epoch_end){ numbers[0], numbers[1] };
	return OK;
}

static int read_lines(struct epoch_record *record, const struct checkpoint *checkpoint)
{
	char lines[LINES_MAX + 1], *line = lines;
	int error = OK;

	if (!checkpoint->extensions_n || checkpoint->extensions_n > LINES_MAX)
		return ERR_INVALID;
	memcpy(lines, checkpoint->extensions, checkpoint->extensions_n);
	lines[checkpoint->extensions_n] = 0;
	for (size_t i = 0; *line && !error; i++) {
		char *end = strchr(line, '\n'); /* there: checkpoint_read */

		*end = 0; /* lint: analyzer, because each has one */
		error = read_line(record, line, i);
		line = end + 1;
	}
	return error ? error : check(record, NULL);
}

int epoch_read(const char *note, size_t n, const struct note_key *key, struct epoch_record *ret_record, struct err *err)
{
	struct epoch_record record = { .n_ends = 0 };
	struct checkpoint checkpoint;
	struct note_seen seen = { false, 0 };
	struct note parsed;
	int error = n > EPOCH_NOTE_MAX ? err_set(err, ERR_INVALID, "is longer than %zu bytes", EPOCH_NOTE_MAX) : note_read(note, n, &parsed, err);

	if (!error)
		error = note_verify(&parsed, key, 1, &seen, err);
	if (!error)
		error = checkpoint_read(parsed.text, parsed.text_n, &checkpoint, err);
	if (error)
		return error;
	if (strcmp(checkpoint.origin, key->name) != 0)
		return err_set(err, ERR_DENIED, "is of the log %s, not of %s", checkpoint.origin, key->name);
	memcpy(record.origin, checkpoint.origin, sizeof record.origin);
	record.from.size = checkpoint.size;
	memcpy(record.from.root, checkpoint.root, sizeof record.from.root);
	if (read_lines(&record, &checkpoint))
		return err_set(err, ERR_INVALID, "is no record of a new epoch");
	*ret_record = record;
	return OK;
}

uint64_t epoch_left(const struct epoch_record *record, uint64_t epoch)
{
	for (size_t i = 0; i < record->n_ends; i++)
		if (record->ends[i].epoch >= epoch)
			return record->ends[i].size;
	return record->from.size;
}

uint64_t epoch_of_checkpoint(const struct checkpoint *checkpoint)
{
	char line[64];
	uint64_t numbers[2];
	size_t n = 0;
	int count;

	while (n < checkpoint->extensions_n && n < sizeof line - 1 && checkpoint->extensions[n] != '\n')
		n++;
	memcpy(line, checkpoint->extensions_n ? checkpoint->extensions : "", n);
	line[n] = 0;
	count = read_numbers(line, "epoch", numbers);
	return count ? numbers[count - 1] : EPOCH_FIRST;
}
